package tokenpin

// Rule is one row of a classification table.
type Rule struct {
	// Pattern is one or more path segments, such as "files" or "messages/batches". A * at the front of
	// a segment, except the first one, stands for one or more bytes of it.
	Pattern string
	Group   Group
	// IDs are the ids that are opened in these requests and sealed in their responses.
	IDs IDs
}

// Class is the result of classifying a request.
type Class struct {
	Group Group
	// Existing says that the request names existing state.
	Existing bool
	// IDs are the ids that are opened and sealed in this API, also if its group is stateless.
	IDs IDs
}

// Classify classifies a request by its method and its target as the client sent it. The rules come
// before the default ones, or replace them with replaceRules. promptCache opts in to that group.
func Classify(rules []Rule, replaceRules, promptCache bool, method, target string) (Class, error) {
	class, s := backend{}.classify(rules, replaceRules, promptCache, method, target)
	return class, s.err()
}
