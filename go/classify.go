package tokenpin

// Rule is one row of a classification table.
type Rule struct {
	// Pattern is one or more path segments, such as "files" or "messages/batches". A * at the front
	// of a segment, but not of the first, is one or more bytes of it.
	Pattern string
	Group   Group
	// IDs says which ids of the requests that it matches, and of their responses, are looked at.
	IDs IDs
}

// Class is what classification makes of a request.
type Class struct {
	Group Group
	// Existing says that the request names existing state.
	Existing bool
	// IDs says which ids of the API's requests and responses are looked at, also where the group is
	// stateless.
	IDs IDs
}

// Classify classifies a request by its method and its target as the client sent it. The rules come
// before the default ones, or with replaceRules instead of them. promptCache opts in to that group.
func Classify(rules []Rule, replaceRules, promptCache bool, method, target string) (Class, error) {
	class, s := backend{}.classify(rules, replaceRules, promptCache, method, target)
	return class, s.err()
}
