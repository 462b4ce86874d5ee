package tokenpin

import (
	"slices"
	"strings"
)

func (r *Rule) check() Status {
	switch {
	case !r.Group.valid():
		return ErrBadEnum
	case r.Pattern == "" || slices.Contains(strings.Split(r.Pattern, "/"), ""):
		return ErrPattern
	}
	return StatusOK
}

func puregoClassify(rules []Rule, promptCache bool, method, target string) (Group, bool) {
	tunnel := method == "CONNECT" && !strings.HasPrefix(target, "/")
	if method == "OPTIONS" || method == "TRACE" || tunnel {
		return GroupStateless, false
	}
	if i := strings.IndexAny(target, "?#"); i >= 0 {
		target = target[:i]
	}
	for rest := target; ; {
		var best *Rule
		for i := range rules {
			pattern := rules[i].Pattern
			if strings.HasPrefix(rest, pattern) && (len(rest) == len(pattern) || rest[len(pattern)] == '/') &&
				(best == nil || len(pattern) > len(best.Pattern)) {
				best = &rules[i]
			}
		}
		if best != nil {
			if best.Group == GroupPromptCache && !promptCache {
				return GroupStateless, false
			}
			behind := strings.TrimLeft(rest[len(best.Pattern):], "/")
			return best.Group, behind != "" || reads(method)
		}
		i := strings.IndexByte(rest, '/')
		if i < 0 {
			return GroupStateless, false
		}
		rest = rest[i+1:]
	}
}

// reads says whether a method names existing state whatever its target is.
func reads(method string) bool { return method == "GET" || method == "HEAD" || method == "DELETE" }

func (purego) classify(rules []Rule, promptCache bool, method, target string) (Group, bool, Status) {
	for i := range rules {
		if s := rules[i].check(); s != StatusOK {
			return 0, false, s
		}
	}
	if len(rules) == 0 {
		rules = defaultRules
	}
	group, existing := puregoClassify(rules, promptCache, method, target)
	return group, existing, StatusOK
}

func (a *puregoAffinity) classify(method, target string) (Group, bool, Status) {
	group, existing := puregoClassify(a.rules, a.config.PromptCache, method, target)
	return group, existing, StatusOK
}
