package tokenpin

import (
	"bytes"
	"math"
)

// A body in chunks that are cut anywhere. puregoBody knows just enough of JSON to say which key a
// string belongs to, and asks the work at hand about the strings that may be ids. It holds back the
// raw bytes of one of these, or the end of encrypted content, and nothing else. Everything that
// passes is appended to dst, which may be the front of the chunk itself where nothing gets longer.

const (
	holdMax   = 512 // the longest string that is looked at, as it stands in the document
	scanDepth = 256 // levels that are distinguished; what is deeper is someone else's
	keyHold   = 6 * maxKeyName
	tailAt    = headLen // where the end of encrypted content is held, behind its head
	// namedLevels is how many keys are remembered of arrays and objects in one another. Of deeper
	// ones the last is.
	namedLevels = 16
)

type scanState uint8

const (
	scanBegin scanState = iota
	scanValue
	scanValueOrEnd
	scanKeyOrEnd
	scanKey
	scanInKey
	scanColon
	scanScalar
	scanAfterValue
	scanText      // in a string that no one looks at
	scanCandidate // in a string that may be an id; what was read of it is held
	scanContent   // in encrypted content
	scanEscape    // in an escape of it
	scanQuote     // the closing quote is next
	scanStop      // in [DONE], which ends an event stream and is no document
	scanSkim      // below what is looked at
	scanSkimText  // in a string there
	scanDone
	scanBroken // not understood
)

// lineState says where in a line of events the body is.
type lineState uint8

const (
	lineNone  lineState = iota // there are no lines: the body is a document
	lineName                   // and up to lineName+4: that many letters of "data" were read
	lineData  = lineName + 5
	lineOther = lineData + 1
)

// levels has one bit for each level from 1 on.
type levels [scanDepth / 64]uint64

func (l *levels) set(level int, on bool) {
	word, bit := &l[(level-1)/64], uint64(1)<<((level-1)%64)
	if on {
		*word |= bit
	} else {
		*word &^= bit
	}
}

func (l *levels) get(level int) bool { return level > 0 && l[(level-1)/64]>>((level-1)%64)&1 == 1 }

// puregoBody is a body on its way. The zero value is a document that begins.
type puregoBody struct {
	hold       [holdMax]byte
	held       int
	skim       uint64 // levels open below what is looked at
	depth      int    // the innermost open level, 0 outside of all
	variables  int    // the level of variables, or 0
	objects    levels
	lists      levels // arrays of ids
	holders    levels // objects whose id is one
	unexpected uint32 // documents that were not understood
	changed    uint32 // ids that were rewritten

	state     scanState
	escaped   bool // the last byte was a backslash that escapes the next one
	hasEscape bool // the string has an escape
	key       uint8
	named     [namedLevels]uint8 // the keys of open arrays of ids, and of open objects that hold an id
	namedOpen int                // how many are open
	head      uint8              // how many bytes of encrypted content are known
	foreign   bool               // it has what is not ASCII there
	escape    uint8              // how many bytes of an escape were read
	stop      uint8              // how many letters of DONE were read
	unicode   uint16

	line        lineState
	afterReturn bool  // the last line ended in a carriage return, whose line feed may follow
	mark        uint8 // bytes of a byte order mark that the body began with

	element element
	recent  recentIDs
}

func newPuregoBody(events bool) (b puregoBody) {
	b.key = noIDKey
	if events {
		b.line = lineName
	}
	return b
}

// nextAt gives the position of the first c from at on, or the length of in. known is an earlier
// answer, or -1.
func nextAt(in []byte, c byte, at, known int) int {
	if known >= at {
		return known
	}
	if i := bytes.IndexByte(in[at:], c); i >= 0 {
		return at + i
	}
	return len(in)
}

// rewrite reads a chunk, and appends what goes out instead of it.
func (b *puregoBody) rewrite(w *idWork, dst, in []byte) []byte {
	feed := -1 // where the next line feed is
	for at := 0; at < len(in); {
		c := in[at]
		if int(b.mark) < len(byteOrderMark) && byteOrderMark[b.mark] == c {
			b.mark++
			at++
			dst = append(dst, c)
			continue
		}
		b.endMark()
		if b.line == lineNone {
			if b.state == scanBegin {
				switch c {
				case ' ', '\t', '\r', '\n':
					b.mark = math.MaxUint8
					at++
					dst = append(dst, c)
					continue
				case 'd', 'e', 'i', 'r', ':': // no document begins so
					b.line = lineName
					continue
				}
			}
			b.mark = math.MaxUint8
			return b.scan(w, dst, in[at:])
		}
		b.mark = math.MaxUint8
		ends := c == '\n' || c == '\r'
		if ends && b.afterReturn {
			b.afterReturn = false
			if c == '\n' {
				at++
				dst = append(dst, c)
				continue
			}
		}
		b.afterReturn = false
		switch {
		case ends:
			if b.line == lineName {
				dst = b.end(dst)
			} else {
				dst = b.lineEnd(dst)
			}
			b.line, b.afterReturn = lineName, c == '\r'
			at++
			dst = append(dst, c)
		case b.line < lineName+4 && "data"[b.line-lineName] == c:
			b.line++
			at++
			dst = append(dst, c)
		case b.line < lineName+4 || b.line == lineName+4 && c != ':':
			b.line = lineOther
		case b.line == lineName+4:
			// The space that may follow is white space to the document too.
			b.line = lineData
			at++
			dst = append(dst, c)
		default:
			feed = nextAt(in, '\n', at, feed)
			end := at + nextAt(in[at:feed], '\r', 0, -1)
			if b.line == lineData {
				dst = b.scan(w, dst, in[at:end])
			} else {
				dst = append(dst, in[at:end]...)
			}
			at = end
		}
	}
	return dst
}

const byteOrderMark = "\xef\xbb\xbf"

func (b *puregoBody) scan(w *idWork, dst, in []byte) []byte {
	at, from, quote := 0, 0, -1 // what is from from to at passes
	for at < len(in) {
		c := in[at]
		switch b.state {
		case scanBroken:
			at = len(in)
			continue
		case scanText, scanSkimText:
			end := b.stringEnd(in[at:])
			if end < 0 {
				at = len(in)
				continue
			}
			at += end + 1
			if b.state == scanSkimText {
				b.state = scanSkim
			} else {
				b.state = b.afterValue()
			}
			continue
		case scanQuote:
			at++
			b.state = b.afterValue()
			continue
		case scanCandidate: // at the front of a chunk
			var taken int
			dst, taken = b.candidate(w, dst, in)
			at, from = taken, taken
			continue
		case scanContent:
			quote = nextAt(in, '"', at, quote)
			end := at + nextAt(in[at:quote], '\\', 0, -1)
			if w.content() == contentMark {
				b.readHead(in[at:end])
			} else {
				dst = append(dst, in[from:at]...)
				dst = b.holdTail(dst, in[at:end])
				from = end
			}
			at = end
			switch {
			case at == len(in):
			case in[at] == '\\':
				// A mark is recognised as it was written, without escapes.
				dst = b.releaseTail(dst)
				b.state, b.escape = scanEscape, 0
			default:
				dst = append(dst, in[from:at]...)
				from = at
				dst = b.endContent(w, dst)
				b.state = scanQuote
			}
			continue
		case scanEscape:
			if b.readEscape(c) {
				at++
			}
			continue
		case scanInKey:
			end := b.stringEnd(in[at:])
			if end < 0 {
				b.holdKey(in[at:])
				at = len(in)
				continue
			}
			b.holdKey(in[at : at+end])
			at += end + 1
			b.endHeldKey(w)
			continue
		case scanSkim:
			at++
			switch c {
			case '"':
				b.beginString(scanSkimText)
			case '{', '[':
				b.skim++
			case '}', ']':
				if b.skim--; b.skim == 0 {
					b.state = b.afterValue()
				}
			}
			continue
		case scanStop:
			switch {
			case b.stop < 4 && "DONE"[b.stop] == c:
				at++
				b.stop++
			case b.stop == 4 && c == ']':
				at++
				b.close(w, false)
			default:
				b.giveUp()
			}
			continue
		case scanScalar:
			switch c {
			case ',', '}', ']', ' ', '\t', '\r', '\n':
				b.state = b.afterValue()
			case '"', '{', '[', ':':
				b.giveUp()
			default:
				at++
			}
			continue
		}
		if c == ' ' || c == '\n' || c == '\r' || c == '\t' {
			at++
			continue
		}
		switch b.state {
		case scanBegin, scanValue, scanValueOrEnd:
			switch {
			case c == '"':
				at++
				b.beginString(scanText)
				spot, listed := b.spot(w)
				if !listed {
					continue
				}
				switch spot.kind {
				case KeyKindID, KeyKindOwn, KeyKindNamed, KeyKindURL:
				case KeyKindEncrypted:
					if w.content() != contentLeave {
						b.state, b.head, b.foreign = scanContent, 0, false
					}
					continue
				default:
					continue
				}
				end := b.stringEnd(in[at:])
				switch {
				case end < 0 && len(in)-at > holdMax:
					w.tooLong(b, spot, in[at:at+holdMax])
					at = len(in)
				case end < 0:
					dst = append(dst, in[from:at]...)
					b.held = copy(b.hold[:], in[at:])
					b.state = scanCandidate
					return dst
				case end > holdMax:
					w.tooLong(b, spot, in[at:at+holdMax])
					at += end + 1
					b.state = b.afterValue()
				default:
					if n := b.decide(w, spot, in[at:at+end]); n >= 0 {
						dst = append(dst, in[from:at]...)
						dst = append(dst, b.hold[:n]...)
						from = at + end
					}
					at += end + 1
					b.state = b.afterValue()
				}
			case c == '{' || c == '[':
				at++
				b.open(w, c == '{')
			case c == ']' && b.state == scanValueOrEnd:
				at++
				b.close(w, false)
			case c == '-' || '0' <= c && c <= '9' || c == 't' || c == 'f' || c == 'n':
				at++
				w.scalar(b, c)
				b.state = scanScalar
			case c == 'D' && b.depth == 1 && b.state == scanValueOrEnd:
				b.state, b.stop = scanStop, 0
			default:
				b.giveUp()
			}
		case scanKeyOrEnd, scanKey:
			switch {
			case c == '"':
				at++
				b.beginString(scanInKey)
				end := b.stringEnd(in[at:])
				if end < 0 {
					b.holdKey(in[at:])
					at = len(in)
					continue
				}
				name := in[at : at+end]
				at += end + 1
				if b.hasEscape {
					b.holdKey(name)
					b.endHeldKey(w)
				} else {
					b.endKey(w, name)
				}
			case c == '}' && b.state == scanKeyOrEnd:
				at++
				b.close(w, true)
			default:
				b.giveUp()
			}
		case scanColon:
			if c != ':' {
				b.giveUp()
				continue
			}
			at++
			b.state = scanValue
		case scanAfterValue:
			switch c {
			case ',':
				at++
				b.state = scanValue
				if b.objects.get(b.depth) {
					b.state = scanKey
				}
			case '}', ']':
				at++
				b.close(w, c == '}')
			default:
				b.giveUp()
			}
		case scanDone:
			b.giveUp()
		}
	}
	return append(dst, in[from:]...)
}

// stringEnd finds the closing quote of a string that begins or continues here; -1 if it is not
// there.
func (b *puregoBody) stringEnd(text []byte) int {
	at, quote := 0, -1
	if b.escaped && len(text) > 0 {
		at, b.escaped = 1, false
	}
	// Most strings are short, and end sooner than a call begins to pay.
	for end := min(len(text), at+16); at < end && text[at] != '\\'; at++ {
		if text[at] == '"' {
			return at
		}
	}
	for {
		quote = nextAt(text, '"', at, quote)
		slash := bytes.IndexByte(text[at:quote], '\\')
		switch {
		case slash >= 0:
			b.hasEscape = true
			if at += slash + 2; at > len(text) {
				b.escaped = true
				return -1
			}
		case quote == len(text):
			return -1
		default:
			return quote
		}
	}
}

func (b *puregoBody) beginString(state scanState) {
	b.state, b.held, b.escaped, b.hasEscape = state, 0, false, false
}

// afterValue is the state behind a value.
func (b *puregoBody) afterValue() scanState {
	if b.depth == 0 {
		return scanDone
	}
	return scanAfterValue
}

// giveUp passes the rest of the document as it is.
func (b *puregoBody) giveUp() {
	b.state = scanBroken
	b.unexpected = saturated(b.unexpected)
}

// valueKind says what the value that begins here is, if its key is listed.
func (b *puregoBody) valueKind(w *idWork) (key uint8, kind KeyKind, listed bool) {
	switch {
	case b.objects.get(b.depth):
		if b.key != noIDKey {
			return b.key, w.rules.table.keys[b.key].Kind, true
		}
	case b.lists.get(b.depth):
		return b.innermost(), KeyKindID, true
	}
	return noIDKey, 0, false
}

// innermost is the key of the innermost array of ids, or object that holds an id.
func (b *puregoBody) innermost() uint8 { return b.named[min(b.namedOpen, namedLevels)-1] }

func (b *puregoBody) open(w *idWork, isObject bool) {
	key, kind, listed := b.valueKind(w)
	opaque := listed && (kind == KeyKindOpaque || kind == KeyKindOpaqueObject && isObject)
	if opaque || b.depth >= scanDepth {
		b.skim, b.state = 1, scanSkim
		return
	}
	b.depth++
	list := listed && !isObject && kind == KeyKindIDs
	holder := listed && isObject && (kind == KeyKindNamed || kind == KeyKindHolder)
	b.objects.set(b.depth, isObject)
	b.lists.set(b.depth, list)
	b.holders.set(b.depth, holder)
	if list || holder {
		b.namedOpen++
		b.named[min(b.namedOpen, namedLevels)-1] = key
	}
	if listed && kind == KeyKindVariables && b.variables == 0 {
		b.variables = b.depth
	}
	w.enter(b, isObject, listed && (kind == KeyKindOpaqueObject || kind == KeyKindItems))
	b.state = scanValueOrEnd
	if isObject {
		b.state = scanKeyOrEnd
	}
}

func (b *puregoBody) close(w *idWork, isObject bool) {
	if b.depth == 0 || b.objects.get(b.depth) != isObject {
		b.giveUp()
		return
	}
	w.leave(b)
	if b.lists.get(b.depth) || b.holders.get(b.depth) {
		b.namedOpen--
	}
	if b.variables == b.depth {
		b.variables = 0
	}
	b.depth--
	b.state = b.afterValue()
}

// Keys: never held back, only remembered.

func (b *puregoBody) holdKey(part []byte) {
	if b.held+len(part) > keyHold {
		b.held = keyHold + 1 // longer than any that is looked at, and stays so
		return
	}
	b.held += copy(b.hold[b.held:], part)
}

func (b *puregoBody) endHeldKey(w *idWork) {
	var text [maxKeyName + 1]byte
	n := -1
	if b.held <= keyHold {
		n = unescape(b.hold[:b.held], text[:])
	}
	b.held = 0
	b.endKey(w, text[:max(n, 0)])
}

func (b *puregoBody) endKey(w *idWork, name []byte) {
	b.key = w.rules.table.find(name, w.anyCase())
	if b.variables != 0 && b.key != fileKey {
		b.key = noIDKey
	}
	w.key(b, name)
	b.state = scanColon
}

// Values.

// spot is where a string stands.
type spot struct {
	key    uint8
	kind   KeyKind
	holder uint8 // the key of the object around it, if that is one that names an object; else noIDKey
}

func (b *puregoBody) spot(w *idWork) (s spot, listed bool) {
	s.key, s.kind, listed = b.valueKind(w)
	s.holder = noIDKey
	if b.holders.get(b.depth) {
		s.holder = b.innermost()
	}
	return s, listed
}

// decide asks about a string as it stands in the document. What replaces it is held then; -1 for
// none.
func (b *puregoBody) decide(w *idWork, where spot, raw []byte) int {
	if !b.hasEscape {
		return w.id(b, where, raw)
	}
	var text [holdMax]byte
	n := unescape(raw, text[:])
	if n < 0 {
		return -1
	}
	return w.id(b, where, text[:n])
}

// candidate continues with a string that may be an id, and says how much of in is done with.
func (b *puregoBody) candidate(w *idWork, dst, in []byte) ([]byte, int) {
	escaped, hasEscape := b.escaped, b.hasEscape
	end := b.stringEnd(in)
	part := in
	if end >= 0 {
		part = in[:end]
	}
	where, _ := b.spot(w)
	if b.held+len(part) > holdMax {
		copy(b.hold[b.held:], part)
		w.tooLong(b, where, b.hold[:])
		dst = append(dst, b.hold[:b.held]...)
		b.held, b.state, b.escaped, b.hasEscape = 0, scanText, escaped, hasEscape
		return dst, 0
	}
	b.held += copy(b.hold[b.held:], part)
	if end < 0 {
		return dst, len(in)
	}
	// Its replacement is held in its place.
	raw := b.hold
	out := raw[:b.held]
	if n := b.decide(w, where, out); n >= 0 {
		out = b.hold[:n]
	}
	b.held, b.state = 0, scanQuote
	return append(dst, out...), end
}

// Encrypted content: all passes, except for its end if that may be a mark.

// readHead adds to the head, as far as there is room.
func (b *puregoBody) readHead(content []byte) {
	b.head += uint8(copy(b.hold[b.head:headLen], content))
}

// holdTail passes all of what is held and of content but the last bytes, which are held then.
func (b *puregoBody) holdTail(dst, content []byte) []byte {
	tail := b.hold[tailAt : tailAt+IDMarkLen]
	out := max(b.held+len(content)-IDMarkLen, 0)
	held := min(out, b.held)
	b.readHead(tail[:held])
	dst = append(dst, tail[:held]...)
	b.held = copy(tail, tail[held:b.held])
	content, passes := content[out-held:], content[:out-held]
	b.readHead(passes)
	dst = append(dst, passes...)
	b.held += copy(tail[b.held:], content)
	return dst
}

// releaseTail passes what is held, as content.
func (b *puregoBody) releaseTail(dst []byte) []byte {
	tail := b.hold[tailAt : tailAt+b.held]
	b.readHead(tail)
	b.held = 0
	return append(dst, tail...)
}

// endContent marks content, or takes its mark off.
func (b *puregoBody) endContent(w *idWork, dst []byte) []byte {
	head, tail := b.hold[:b.head], b.hold[tailAt:tailAt+b.held]
	if w.content() == contentMark {
		if !b.foreign && len(head) > 0 {
			mark := w.place.mark(head, w.pin)
			dst = append(dst, mark[:]...)
		}
		return dst
	}
	marked := b.held == IDMarkLen && !b.foreign && len(head) > 0 && w.unmark(b, head, tail)
	if marked {
		tail = nil
	}
	b.held = 0
	return append(dst, tail...)
}

// readEscape continues with an escape of encrypted content, and says whether c is of it.
func (b *puregoBody) readEscape(c byte) bool {
	digit, isDigit := hexDigit(c)
	switch {
	case b.escape == 0:
		b.escape = 1
	case b.escape == 1 && c == 'u':
		b.escape, b.unicode = 2, 0
	case b.escape == 1:
		b.state = scanContent
		if plain, ok := unescaped(c); ok {
			b.readHead([]byte{plain})
		} else {
			b.foreign = true
		}
	case !isDigit:
		b.state, b.foreign = scanContent, true
		return false
	default:
		b.unicode = b.unicode<<4 | uint16(digit)
		if b.escape++; b.escape < 6 {
			return true
		}
		b.state = scanContent
		if b.unicode < 0x80 {
			b.readHead([]byte{byte(b.unicode)})
		} else if b.head < headLen {
			b.foreign = true
		}
	}
	return true
}

// The ends of documents.

// lineEnd is the end of a line of an event. No string reaches over it.
func (b *puregoBody) lineEnd(dst []byte) []byte {
	switch b.state {
	case scanScalar:
		b.state = b.afterValue()
	case scanText, scanInKey, scanCandidate, scanContent, scanEscape, scanSkimText, scanStop:
		dst = b.giveOut(dst)
		b.giveUp()
	}
	return dst
}

// endMark is the end of a byte order mark. Half of one is none: no document and no field that is
// looked at begins so.
func (b *puregoBody) endMark() {
	if b.mark != 1 && b.mark != 2 {
		return
	}
	b.mark = math.MaxUint8
	if b.line == lineNone {
		b.giveUp()
	} else {
		b.line = lineOther
	}
}

// end is the end of a document, behind which another may begin.
func (b *puregoBody) end(dst []byte) []byte {
	dst = b.giveOut(dst)
	switch {
	case b.state == scanBegin, b.state == scanDone, b.state == scanBroken, b.state == scanScalar && b.depth == 0:
	default:
		b.unexpected = saturated(b.unexpected)
	}
	b.state, b.depth, b.variables, b.namedOpen = scanBegin, 0, 0, 0
	b.element = element{}
	return dst
}

// giveOut passes what is held of a string that does not end.
func (b *puregoBody) giveOut(dst []byte) []byte {
	var held []byte
	switch b.state {
	case scanCandidate:
		held = b.hold[:b.held]
	case scanContent:
		held = b.hold[tailAt : tailAt+b.held]
	default:
		return dst
	}
	b.held = 0
	return append(dst, held...)
}

// unescaped is what the byte behind a backslash stands for; u apart.
func unescaped(c byte) (byte, bool) {
	switch c {
	case '"', '\\', '/':
		return c, true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	}
	return 0, false
}

// unescape says how long a string is without its escapes; -1 if that does not fit, or an escape is
// none. What is not ASCII becomes a byte that is in no id and no key.
func unescape(raw, out []byte) int {
	n := 0
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '\\' {
			if i++; i == len(raw) {
				return -1
			}
			if raw[i] == 'u' {
				if len(raw)-i < 5 {
					return -1
				}
				unicode := 0
				for _, d := range raw[i+1 : i+5] {
					digit, ok := hexDigit(d)
					if !ok {
						return -1
					}
					unicode = unicode<<4 | int(digit)
				}
				i += 4
				if c = byte(unicode); unicode >= 0x80 {
					c = 0xff
				}
			} else {
				var ok bool
				if c, ok = unescaped(raw[i]); !ok {
					return -1
				}
			}
		}
		if n == len(out) {
			return -1
		}
		out[n] = c
		n++
	}
	return n
}
