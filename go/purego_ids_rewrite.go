package tokenpin

import (
	"bytes"
	"slices"
)

// idWork is what is done with the ids of a body or a target: those of a request are opened, and
// those of a response sealed.
type idWork struct {
	place idPlace
	rules *idRules
	mode  Mode
	ids   IDs
	// Of a request: what it comes to, and whose accounts are known.
	summary *puregoSummary
	known   map[uint64]int32
	// Of a response: the account that answered, how the client wrote its ids, and where absolute
	// URLs lead.
	sealing          bool
	pin              uint64
	echo             *puregoSummary
	upstream, origin string
}

// passes says whether nothing is looked at.
func (w *idWork) passes() bool {
	if w.sealing {
		return w.ids < IDsBoth || w.mode == ModeOff
	}
	return w.ids == IDsNone
}

// sealsAll says whether the ids of the response are sealed regardless of what the client sends.
func (w *idWork) sealsAll() bool { return w.mode >= ModeSeal && w.ids >= IDsBoth }

// changesResponse says whether anything in the response may change.
func (w *idWork) changesResponse() bool {
	return w.sealsAll() || w.mode == ModeOpen && w.ids >= IDsBoth && w.echo != nil && w.echo.echoes != 0
}

// refusesForeign says whether what looks sealed, and was not sealed by this ring, is refused.
func (w *idWork) refusesForeign() bool {
	return w.rules.foreign == ForeignSealsRefuse || w.rules.foreign == ForeignSealsAuto && w.mode >= ModeSeal
}

func (w *idWork) anyCase() bool { return !w.sealing && w.mode == ModeStrict }

// idContent is what becomes of encrypted content.
type idContent uint8

const (
	contentLeave idContent = iota
	contentMark
	contentUnmark
)

func (w *idWork) content() idContent {
	switch {
	case !w.rules.encrypted || w.mode == ModeOff:
		return contentLeave
	case !w.sealing:
		return contentUnmark
	case w.ids == IDsItems && w.mode != ModeOpen:
		return contentMark
	}
	return contentLeave
}

// Requests.

// The levels of the document, of an array of elements, and of an element.
const (
	rootLevel    = 1
	arrayLevel   = 2
	elementLevel = 3
)

// element is one of input or items, which is history if it has more than an id.
type element struct {
	among       bool // the array on the second level is one of those
	inline      bool // it has a key that a mere reference has not
	first, last idNamed
	store       bool // the last key of the first level was store
}

func (w *idWork) is(name []byte, key string) bool {
	return string(name) == key || w.anyCase() && equalFoldASCII(name, key)
}

func (w *idWork) key(b *puregoBody, name []byte) {
	switch e := &b.element; {
	case w.sealing:
	case b.depth == rootLevel:
		e.store = w.is(name, "store")
	case b.depth == elementLevel && e.among && !e.inline:
		e.inline = !w.is(name, "id") && !w.is(name, "type") && !w.is(name, "status")
	}
}

// scalar takes a value that is neither string nor object nor array, by its first byte.
func (w *idWork) scalar(b *puregoBody, first byte) {
	if !w.sealing && b.depth == rootLevel && b.element.store {
		w.summary.unstored = first == 'f'
	}
}

// enter takes the level that begins; items says that an array of its key is one of elements.
func (w *idWork) enter(b *puregoBody, isObject, items bool) {
	if b.depth == arrayLevel {
		b.element.among = !isObject && items
	}
}

// leave takes the end of the innermost level. The ids of an element are followed when all its keys
// are known.
func (w *idWork) leave(b *puregoBody) {
	e := &b.element
	if b.depth == arrayLevel {
		e.among = false
	}
	if w.sealing || b.depth != elementLevel || !e.among {
		return
	}
	done := *e
	*e = element{among: true}
	if w.summary.refused {
		return
	}
	for _, named := range [...]idNamed{done.first, done.last} {
		switch {
		case !named.is:
		case !done.inline:
			w.summary.bindHard(ownKey, named)
		case named.account:
			if _, known := w.known[named.pin]; known {
				w.summary.softPin, w.summary.hasSoft = named.pin, true
			}
		}
	}
}

// id takes a string that may be an id. What replaces it is put into b.hold; -1 for none.
func (w *idWork) id(b *puregoBody, where spot, text []byte) int {
	if w.sealing {
		return w.sealHeld(b, where, text)
	}
	if where.kind == KeyKindURL {
		return -1
	}
	own, key := where.kind == KeyKindOwn, where.key
	if own && where.holder != noIDKey {
		key = where.holder
	}
	var opened openedID
	named, replaced := w.take(key, echoRank(key), text, &opened)
	switch e := &b.element; {
	case !named.is:
	case own && b.depth == elementLevel && e.among:
		if !e.first.is {
			e.first = named
		} else {
			e.last = named
		}
	case !own || where.holder != noIDKey || named.account:
		w.summary.bindHard(key, named)
	}
	if !replaced {
		return -1
	}
	b.changed = saturated(b.changed)
	return copy(b.hold[:], opened.text())
}

// tooLong takes the front of a string that is too long for an id.
func (w *idWork) tooLong(_ *puregoBody, where spot, front []byte) {
	if !w.sealing && where.kind != KeyKindURL && w.mode != ModeOff && bytes.IndexByte(front, '\\') >= 0 {
		w.summary.unreadable = true
	}
}

// unmark says whether this end of encrypted content is a mark that is taken off.
func (w *idWork) unmark(b *puregoBody, head, mark []byte) bool {
	s := w.summary
	if s.refused {
		return false
	}
	verdict, pin := w.place.openMark(head, mark)
	switch {
	case verdict == IDVerdictSealed:
		s.noteOpened(nil)
		s.bindHard(encryptedKey, idNamed{true, true, pin})
		b.changed = saturated(b.changed)
		return true
	case verdict != IDVerdictPlain && w.refusesForeign():
		s.refuse(verdict, encryptedKey, noIDKey, nil)
	}
	return false
}

// Responses.

// seal appends the sealed form of an id, if it gets one.
func (w *idWork) seal(dst, text []byte) ([]byte, bool) {
	if !w.rules.table.seals(w.ids, text) {
		return dst, false
	}
	key := w.place.ring.signing()
	form, echoes := w.echo.echoOf(&w.place, text)
	switch {
	case echoes && !form.sealed, !echoes && w.mode == ModeOpen:
		return dst, false
	case echoes:
		key = w.place.ring.find(form.key)
	}
	return w.place.seal(dst, key, text, w.pin)
}

func (w *idWork) sealHeld(b *puregoBody, where spot, text []byte) int {
	out := b.hold[:0]
	if where.kind == KeyKindURL {
		return w.sealURL(out, text)
	}
	sealed, ok := b.recent.find(out, text)
	if !ok {
		if sealed, ok = w.seal(out, text); !ok {
			return -1
		}
		b.recent.keep(text, sealed)
	}
	b.changed = saturated(b.changed)
	return len(sealed)
}

// recentIDs are the last ids that were sealed. Event streams repeat two of them in every event.
type recentIDs struct {
	entries [2]recentID
	next    uint8
}

// recentID is an id of today's length, native and sealed.
type recentID struct {
	native, sealed       [64]byte
	nativeLen, sealedLen uint8
}

func (r *recentIDs) find(dst, native []byte) ([]byte, bool) {
	i := slices.IndexFunc(r.entries[:], func(e recentID) bool {
		return e.nativeLen > 0 && bytes.Equal(e.native[:e.nativeLen], native)
	})
	if i < 0 {
		return dst, false
	}
	e := &r.entries[i]
	return append(dst, e.sealed[:e.sealedLen]...), true
}

func (r *recentIDs) keep(native, sealed []byte) {
	e := &r.entries[r.next]
	if len(sealed) > len(e.sealed) || len(native) > len(e.native) {
		return
	}
	e.nativeLen, e.sealedLen = uint8(copy(e.native[:], native)), uint8(copy(e.sealed[:], sealed))
	r.next ^= 1
}
