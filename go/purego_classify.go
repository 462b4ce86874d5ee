package tokenpin

import (
	"slices"
	"strings"
)

func (r *Rule) check() Status {
	if !r.Group.valid() || !r.IDs.valid() {
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
func namesFollow[T string | []byte](segment T) bool {
	switch string(segment) {
	case "deployments", "endpoints", "engines", "model", "models", "projects", "serving-endpoints":
		return true
	}
	return false
}

func puregoClassify(rules []Rule, promptCache bool, method, target string) Class {
	tunnel := method == "CONNECT" && !strings.Contains(target, "/")
	if method == "OPTIONS" || method == "TRACE" || tunnel {
		return Class{}
	}
	if i := strings.IndexAny(target, "?#"); i >= 0 {
		target = target[:i]
	}
	// Absolute form, RFC 9112 section 3.2.2.
	if scheme, authority, ok := strings.Cut(target, "//"); ok && strings.HasSuffix(scheme, ":") &&
		!strings.Contains(scheme, "/") {
		_, target, _ = strings.Cut(authority, "/")
	}
	path, encoded := decodePath(target)
	for rest, more := path, true; more; {
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
			class := Class{Group: best.Group, IDs: best.IDs}
			switch {
			case best.Group == GroupPromptCache && reads(method):
				class.Group = GroupStateful
			case best.Group == GroupPromptCache && !promptCache:
				class.Group = GroupStateless
			}
			class.Existing = class.Group != GroupStateless &&
				(reads(method) || strings.HasSuffix(best.Pattern, "*") || strings.Trim(least, "/") != "")
			return class
		}
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if more && namesFollow(segment) {
			rest, more = behindName(path, rest, encoded)
		}
	}
	return Class{}
}

// behindName gives what follows a name. That goes over slashes that are encoded, unless the one in
// front of it is.
func behindName(path, rest string, encoded []int) (behind string, more bool) {
	isEncoded := func() bool { return slices.Contains(encoded, len(path)-len(rest)-1) } // the slash in front of rest
	segment := isEncoded()
	for {
		if _, rest, more = strings.Cut(rest, "/"); segment || !more || !isEncoded() {
			return rest, more
		}
	}
}

// matchFront gives what follows a pattern at the front of a path, if it stands there in whole
// segments.
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

// decodePath undoes percent-encoding once, of any byte, and says where slashes were encoded.
func decodePath(path string) (decoded string, encoded []int) {
	if strings.IndexByte(path, '%') < 0 {
		return path, nil
	}
	made := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			high, highOK := hexDigit(path[i+1])
			low, lowOK := hexDigit(path[i+2])
			if highOK && lowOK {
				if made = append(made, high<<4|low); high<<4|low == '/' {
					encoded = append(encoded, len(made)-1)
				}
				i += 2
				continue
			}
		}
		made = append(made, path[i])
	}
	return string(made), encoded
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

// reads says whether a method names existing state for any target.
func reads(method string) bool { return method == "GET" || method == "HEAD" || method == "DELETE" }

// tableOf is the classification table: one's own rules before the default ones, or instead of them.
func tableOf(own []Rule, replace bool) []Rule {
	if replace {
		return slices.Clone(own)
	}
	return slices.Concat(own, defaultRules)
}

func (purego) classify(rules []Rule, replace, promptCache bool, method, target string) (Class, Status) {
	for i := range rules {
		if s := rules[i].check(); s != StatusOK {
			return Class{}, s
		}
	}
	return puregoClassify(tableOf(rules, replace), promptCache, method, target), StatusOK
}

func (a *puregoAffinity) classify(method, target string) (Class, Status) {
	return puregoClassify(a.rules, a.config.PromptCache, method, target), StatusOK
}
