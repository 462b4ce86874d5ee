package tokenpin

// Rule is one row of a classification table.
type Rule struct {
	// Pattern is one or more path segments, such as "files" or "messages/batches". A * at the front of a segment,
	// but not of the first, is one or more bytes of it.
	Pattern string
	Group   Group
}

// Classify classifies a request by its method and its target as the client sent it. The rules come before the default
// ones, or with replaceRules instead of them. promptCache opts in to that group. It gives the group, and whether the
// request names existing state.
func Classify(rules []Rule, replaceRules, promptCache bool, method, target string) (group Group, existing bool, err error) {
	group, existing, s := backend{}.classify(rules, replaceRules, promptCache, method, target)
	return group, existing, s.err()
}
