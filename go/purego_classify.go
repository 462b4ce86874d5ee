package tokenpin

import (
	"slices"
	"strings"
)

func (r *Rule) check() Status {
	if !r.Group.valid() {
		return ErrBadEnum
	}
	for i, segment := range strings.Split(r.Pattern, "/") {
		literal := segment
		if i > 0 {
			literal = strings.TrimPrefix(segment, "*")
		}
		if segment == "" || strings.ContainsAny(literal, "*%?#") {
			return ErrPattern
		}
	}
	return StatusOK
}

// namesFollow says whether the segment behind this one is a name, which is no collection.
func namesFollow(segment string) bool {
	switch segment {
	case "deployments", "engines", "model", "models", "projects":
		return true
	}
	return false
}

func puregoClassify(rules []Rule, promptCache bool, method, target string) (Group, bool) {
	tunnel := method == "CONNECT" && !strings.HasPrefix(target, "/")
	if method == "OPTIONS" || method == "TRACE" || tunnel {
		return GroupStateless, false
	}
	if i := strings.IndexAny(target, "?#"); i >= 0 {
		target = target[:i]
	}
	for rest, more := decodePath(target), true; more; {
		var best *Rule
		var least string // what is behind the match
		for i := range rules {
			pattern := rules[i].Pattern
			if rest == "" || rest[0] != pattern[0] {
				continue
			}
			below, ok := matchFront(rest, pattern)
			if ok && (best == nil || len(below) < len(least)) {
				best, least = &rules[i], below
			}
		}
		if best != nil {
			switch {
			case best.Group == GroupPromptCache && reads(method):
				return GroupStateful, true
			case best.Group == GroupPromptCache && !promptCache, best.Group == GroupStateless:
				return GroupStateless, false
			}
			existing := reads(method) || strings.HasSuffix(best.Pattern, "*") || strings.Trim(least, "/") != ""
			return best.Group, existing
		}
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if namesFollow(segment) {
			_, rest, more = strings.Cut(rest, "/")
		}
	}
	return GroupStateless, false
}

// matchFront gives what follows a pattern at the front of a path, if it stands there in whole segments.
func matchFront(path, pattern string) (below string, ok bool) {
	for {
		wanted, morePattern, goesOn := strings.Cut(pattern, "/")
		segment, morePath, pathGoesOn := strings.Cut(path, "/")
		literal, wild := strings.CutPrefix(wanted, "*")
		if wild && (len(segment) <= len(literal) || !strings.HasSuffix(segment, literal)) || !wild && segment != wanted {
			return "", false
		}
		if !goesOn {
			return path[len(segment):], true
		}
		if !pathGoesOn {
			return "", false
		}
		path, pattern = morePath, morePattern
	}
}

// decodePath undoes percent-encoding once, of any byte.
func decodePath(path string) string {
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	decoded := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			high, highOK := hexDigit(path[i+1])
			low, lowOK := hexDigit(path[i+2])
			if highOK && lowOK {
				decoded = append(decoded, high<<4|low)
				i += 2
				continue
			}
		}
		decoded = append(decoded, path[i])
	}
	return string(decoded)
}

func hexDigit(c byte) (digit byte, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// reads says whether a method names existing state whatever its target is.
func reads(method string) bool { return method == "GET" || method == "HEAD" || method == "DELETE" }

// tableOf is the classification table: one's own rules before the default ones, or instead of them.
func tableOf(own []Rule, replace bool) []Rule {
	if replace {
		return slices.Clone(own)
	}
	return slices.Concat(own, defaultRules)
}

func (purego) classify(rules []Rule, replace, promptCache bool, method, target string) (Group, bool, Status) {
	for i := range rules {
		if s := rules[i].check(); s != StatusOK {
			return 0, false, s
		}
	}
	group, existing := puregoClassify(tableOf(rules, replace), promptCache, method, target)
	return group, existing, StatusOK
}

func (a *puregoAffinity) classify(method, target string) (Group, bool, Status) {
	group, existing := puregoClassify(a.rules, a.config.PromptCache, method, target)
	return group, existing, StatusOK
}
