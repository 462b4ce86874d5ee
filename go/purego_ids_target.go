package tokenpin

import (
	"bytes"
	"slices"
)

// Ids in a target: in the path behind the name of a collection, and under listed names in the
// query.

// targetState says what part of a target is next.
type targetState uint8

const (
	targetStart     targetState = iota // the scheme, or the first segment
	targetSlashes                      // between the slashes in front of the authority
	targetAuthority                    // the authority
	targetPath
	targetName
	targetValue
	targetFragment
)

// targetParts cuts a target, a path with or without query or an absolute URI, into its parts.
type targetParts struct {
	rest, before []byte // before is the segment before this one, or the name of this value
	state        targetState
}

// next gives the next part, and what ends it: one byte, or nothing at the end of the target.
func (p *targetParts) next() (text, end []byte) {
	var ends string
	switch p.state {
	case targetFragment:
	case targetName:
		ends = "=&#"
	case targetValue:
		ends = "&#"
	default:
		ends = "/?#"
	}
	n := bytes.IndexAny(p.rest, ends)
	if n < 0 {
		n = len(p.rest)
	}
	text, end, p.rest = p.rest[:n], p.rest[n:min(n+1, len(p.rest))], p.rest[min(n+1, len(p.rest)):]
	return text, end
}

// behind continues behind a part, which may have become another text.
func (p targetParts) behind(text, end []byte) targetParts {
	switch {
	case p.state == targetPath && len(text) == 0: // two slashes are as one, to many a server
	case p.state == targetPath && p.isName(), p.state == targetSlashes, p.state == targetAuthority:
		p.before = nil // a name and a host are no segments
	default:
		p.before = text
	}
	switch in := p.state; {
	case in == targetFragment || string(end) == "#":
		p.state = targetFragment
	case in == targetName && string(end) == "=":
		p.state = targetValue
	case in == targetName || in == targetValue || string(end) == "?":
		p.state = targetName
	case in == targetStart && bytes.HasSuffix(text, []byte(":")):
		p.state = targetSlashes
	case in == targetSlashes && len(text) == 0:
		p.state = targetAuthority
	default:
		p.state = targetPath
	}
	return p
}

// isName says whether this segment is a name: neither a collection nor an id.
func (p *targetParts) isName() bool {
	var buffer [MaxSealedID]byte
	before, ok := percentDecoded(buffer[:0], p.before)
	return ok && namesFollow(before)
}

// key gives the number of the key whose id this part may be, or noIDKey.
func (p *targetParts) key(t *idTable, text []byte) uint8 {
	var ofBefore, ofText [MaxSealedID]byte
	if p.state != targetValue && (p.state != targetPath || len(text) == 0) {
		return noIDKey
	}
	before, ok := percentDecoded(ofBefore[:0], p.before)
	switch {
	case !ok:
	case p.state == targetValue:
		return t.findParameter(before)
	case isOneOf(before, t.collections):
		if decoded, ok := percentDecoded(ofText[:0], text); !ok ||
			!isOneOf(decoded, t.collections) && !isOneOf(decoded, idLiterals) {
			return pathKey
		}
	}
	return noIDKey
}

func isOneOf(text []byte, words []string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return word == string(text) })
}

// percentDecoded is a text without its percent-encoding, if it has one.
func percentDecoded(buffer, text []byte) ([]byte, bool) {
	if bytes.IndexByte(text, '%') < 0 {
		return text, true
	}
	return percentDecode(buffer, text)
}

// openTarget opens the ids of a request's target where it lies, and gives what it is then: never
// longer.
func (w *idWork) openTarget(target []byte) []byte {
	w.summary.seals, w.summary.willEcho = w.sealsAll(), w.mode == ModeOpen && w.ids >= IDsBoth
	if w.passes() {
		return target
	}
	dst := target[:0]
	for p := (targetParts{rest: target}); len(p.rest) > 0; {
		text, end := p.next()
		start := len(dst)
		var opened openedID
		key := p.key(&w.rules.table, text)
		w.refuseUnclear(&p, key, text)
		w.noteSegment(&p, text)
		if key != noIDKey && w.openPart(key, text, &opened) {
			dst = append(dst, opened.text()...)
		} else {
			dst = append(dst, text...)
		}
		written := dst[start:]
		dst = append(dst, end...)
		p = p.behind(written, dst[len(dst)-len(end):])
	}
	return dst
}

// refuseUnclear refuses, in the mode strict, a segment that another reader would cut, or decode
// again.
func (w *idWork) refuseUnclear(p *targetParts, key uint8, text []byte) {
	if key == noIDKey && p.state == targetPath && !p.isName() {
		key = pathKey
	}
	if key == noIDKey || w.mode != ModeStrict || bytes.IndexByte(text, '%') < 0 {
		return
	}
	var buffer [MaxSealedID]byte
	decoded, ok := percentDecode(buffer[:0], text)
	if !ok || bytes.IndexByte(decoded, '%') >= 0 || bytes.IndexByte(decoded, '/') >= 0 {
		w.summary.refuse(IDVerdictPlain, key, noIDKey, nil)
	}
}

// noteSegment notes what a segment says of the bodies of request and response.
func (w *idWork) noteSegment(p *targetParts, text []byte) {
	if p.state != targetPath || len(text) == 0 || p.isName() {
		return
	}
	var buffer [MaxSealedID]byte
	decoded, ok := percentDecoded(buffer[:0], text)
	w.summary.uploads = w.summary.uploads || ok && isOneOf(decoded, idUploads)
	w.summary.downloads = ok && isOneOf(decoded, idDownloads)
}

func (w *idWork) openPart(key uint8, text []byte, opened *openedID) bool {
	var buffer [MaxSealedID]byte
	decoded, ok := percentDecode(buffer[:0], text)
	if !ok {
		decoded = text // longer than any id, or encoded wrongly
	}
	rank := uint8(1)
	if key == pathKey {
		rank = 0
	}
	named, replaced := w.take(key, rank, decoded, opened)
	if named.is {
		w.summary.bindHard(key, named)
	}
	return replaced
}

// percentDecode undoes percent-encoding once, as long as there is room.
func percentDecode(dst, text []byte) ([]byte, bool) {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' {
			if i+2 >= len(text) {
				return dst, false
			}
			high, highOK := hexDigit(text[i+1])
			low, lowOK := hexDigit(text[i+2])
			if !highOK || !lowOK {
				return dst, false
			}
			c = high<<4 | low
			i += 2
		}
		if len(dst) == cap(dst) {
			return dst, false
		}
		dst = append(dst, c)
	}
	return dst, true
}

// splitAbsolute gives the authority of an absolute URI, and what is behind it.
func splitAbsolute(uri []byte) (authority, rest []byte, ok bool) {
	const ends = "/?#"
	n := bytes.IndexAny(uri, ends)
	if n < 2 || uri[n-1] != ':' || !bytes.HasPrefix(uri[n:], []byte("//")) {
		return nil, nil, false
	}
	rest = uri[n+2:]
	if n = bytes.IndexAny(rest, ends); n < 0 {
		n = len(rest)
	}
	return rest[:n], rest[n:], true
}

// sealTarget appends a target or a URI, such as the value of Location, with its ids sealed. An
// absolute one of the upstream's leads to the gateway then; one of another host may be signed, and
// stays as it is.
func (w *idWork) sealTarget(dst, target []byte) []byte {
	authority, path, absolute := splitAbsolute(target)
	switch {
	case absolute && w.leadsHere(authority):
		dst, target = append(dst, w.origin...), path
	case absolute, w.passes(), bytes.HasPrefix(target, []byte("//")):
		return append(dst, target...)
	}
	for p := (targetParts{rest: target}); len(p.rest) > 0; {
		text, end := p.next()
		sealed := false
		if p.key(&w.rules.table, text) != noIDKey {
			dst, sealed = w.seal(dst, text)
		}
		if !sealed {
			dst = append(dst, text...)
		}
		dst = append(dst, end...)
		p = p.behind(text, end)
	}
	return dst
}

// leadsHere says whether an absolute URI with this authority becomes one of the gateway's.
func (w *idWork) leadsHere(authority []byte) bool {
	return w.origin != "" && w.upstream != "" && equalFoldASCII(authority, w.upstream) && w.changesResponse()
}

// sealURL puts an absolute URL of the upstream's into dst, as it goes into a string of JSON, and
// says how long that is.
// -1 if it is another's, or has no room.
func (w *idWork) sealURL(dst, url []byte) int {
	if authority, _, ok := splitAbsolute(url); !ok || !w.leadsHere(authority) {
		return -1
	}
	for _, c := range url {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return -1
		}
	}
	var copied [holdMax]byte
	whole := w.sealTarget(dst, copied[:copy(copied[:], url)])
	if len(whole) > cap(dst) {
		return -1
	}
	return len(whole)
}
