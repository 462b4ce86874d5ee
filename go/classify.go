package tokenpin

// Rule is one row of a classification table.
type Rule struct {
	Pattern string // one or more path segments, such as "files" or "messages/batches"
	Group   Group
}

// Classify classifies a request by its method and target. No rules are the default table. promptCache opts in
// to that group. It gives the group, and whether the request names existing state.
func Classify(rules []Rule, promptCache bool, method, target string) (group Group, existing bool, err error) {
	group, existing, s := backend{}.classify(rules, promptCache, method, target)
	return group, existing, s.err()
}
