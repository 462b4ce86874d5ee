package tokenpin

import (
	"bytes"
	"encoding/binary"
	"math"
	"runtime"
	"slices"
)

// This file and purego_ids_*.go follow docs/spec/sealed-ids.md. Here are one id and its ring, what
// holds for all requests, and what the ids of a request come to.

const (
	envelopeLen = 17
	endingLen   = 3
	headLen     = 64 // of encrypted content, under its mark's tag
	packedMin   = 1 + 44 + endingLen
	packedMax   = 32
	// noIDKey is the number of no key of the table.
	noIDKey uint8 = math.MaxUint8
)

// idKey is one key of a ring, with the keys derived from its secret.
type idKey struct {
	used       bool
	id         uint8
	seal, mask sipKey
}

// puregoIDRing is a ring of keys that seal ids. As with cookies, the signing key comes first.
type puregoIDRing struct{ keys *[MaxCookieKeys]idKey }

func newPuregoIDRing(keys []CookieKey, placementKey *Secret) (*puregoIDRing, error) {
	ring := &puregoIDRing{new([MaxCookieKeys]idKey)}
	if err := ring.init(keys, placementKey); err != nil {
		return nil, err
	}
	runtime.AddCleanup(ring, func(keys *[MaxCookieKeys]idKey) { clear(keys[:]) }, ring.keys)
	return ring, nil
}

func (r *puregoIDRing) init(keys []CookieKey, placementKey *Secret) error {
	place := 1
	return checkRing(FieldIDKeys, keys, placementKey, func(key *CookieKey) {
		secret := newSipKey((*[16]byte)(&key.Secret))
		made := idKey{true, key.ID, derived(secret, "tokenpin.v1.sid"), derived(secret, "tokenpin.v1.sim")}
		if key.Role == RoleSign {
			r.keys[0] = made
		} else {
			r.keys[place] = made
			place++
		}
	})
}

func (r *puregoIDRing) signing() *idKey { return &r.keys[0] }

func (r *puregoIDRing) find(id uint8) *idKey {
	for i := range r.keys {
		if r.keys[i].used && r.keys[i].id == id {
			return &r.keys[i]
		}
	}
	return nil
}

// idUse is what a seal is on.
type idUse uint8

const (
	useID idUse = iota
	useEncrypted
	useEcho // no seal: what stands for an id in memory
)

// idPlace is what ids are sealed and opened for: the ring, and whose they are.
type idPlace struct {
	ring         *puregoIDRing
	scope, owner string
}

func (p *idPlace) check() Status {
	switch {
	case len(p.scope) > MaxScope:
		return ErrScopeLength
	case len(p.owner) > MaxKey:
		return ErrKeyLength
	}
	return StatusOK
}

func (p *idPlace) tag(key *idKey, use idUse, pin uint64, native []byte) uint64 {
	s := newSip(key.seal, 2, 4)
	s.u8(uint8(use))
	s.counted(p.scope)
	s.counted(p.owner)
	s.u8(key.id)
	s.u64(pin)
	sipText(&s, native)
	return s.sum64()
}

// mask is what hides the pin of the seal with this tag.
func (k *idKey) hide(tag uint64) uint64 {
	s := newSip(k.mask, 2, 4)
	s.u64(tag)
	return s.sum64()
}

// echo stands for a native id in memory.
func (p *idPlace) echo(native []byte) uint64 {
	s := newSip(p.ring.signing().seal, 2, 4)
	s.u8(uint8(useEcho))
	sipText(&s, native)
	return s.sum64()
}

type envelope [envelopeLen]byte

func (p *idPlace) envelope(key *idKey, use idUse, pin uint64, native []byte) (e envelope) {
	tag := p.tag(key, use, pin, native)
	e[0] = key.id
	binary.LittleEndian.PutUint64(e[1:], pin^key.hide(tag))
	binary.LittleEndian.PutUint64(e[9:], tag)
	return e
}

// unseal gives the pin of an envelope if a key of the ring has made it for native.
func (p *idPlace) unseal(e *envelope, use idUse, native []byte) (IDVerdict, uint64) {
	key := p.ring.find(e[0])
	if key == nil {
		return IDVerdictUnknownKey, 0
	}
	given := binary.LittleEndian.Uint64(e[9:])
	pin := binary.LittleEndian.Uint64(e[1:]) ^ key.hide(given)
	// Words, not bytes: nothing here depends on where they differ.
	if p.tag(key, use, pin, native)^given != 0 {
		return IDVerdictBadSeal, 0
	}
	return IDVerdictSealed, pin
}

// seal appends the sealed form of an id by this key. What is sealed so already stays as it is.
func (p *idPlace) seal(dst []byte, key *idKey, id []byte, pin uint64) ([]byte, bool) {
	if len(id) == 0 || !isIDText(id) {
		return dst, false
	}
	var opened openedID
	if p.open(id, &opened) == IDVerdictSealed && opened.pin == pin {
		return append(dst, id...), true
	}
	if key == nil || len(id) > MaxID {
		return dst, false
	}
	e := p.envelope(key, useID, pin, id)
	var packed [packedMax + envelopeLen]byte
	form, n := formOf(id, packed[:packedMax])
	front := id
	if form != formText {
		front = id[:cutID(id)]
	}
	n += copy(packed[n:], e[:])
	dst = append(dst, front...)
	dst = base64url.AppendEncode(dst, packed[:n])
	return append(dst, 't', 'p', '0'+byte(form)), true
}

// openedID is what an authentic sealed id says.
type openedID struct {
	native [MaxID]byte
	len    int
	pin    uint64
	key    uint8
}

func (o *openedID) text() []byte { return o.native[:o.len] }

// open fills in opened where the verdict is IDVerdictSealed.
func (p *idPlace) open(text []byte, opened *openedID) IDVerdict {
	form, front, part := recognise(text)
	switch form {
	case formNone:
		return IDVerdictPlain
	case formLater:
		return IDVerdictUnknownVersion
	}
	var e envelope
	if !unpack(form, front, part, opened, &e) {
		return IDVerdictBadSeal
	}
	verdict, pin := p.unseal(&e, useID, opened.text())
	opened.pin, opened.key = pin, e[0]
	return verdict
}

func (p *idPlace) mark(content []byte, pin uint64) (mark [IDMarkLen]byte) {
	e := p.envelope(p.ring.signing(), useEncrypted, pin, content[:min(len(content), headLen)])
	base64url.Encode(mark[:], e[:])
	copy(mark[IDMarkLen-endingLen:], "tp0")
	return mark
}

// openMark says what a mark behind content that begins with head is.
func (p *idPlace) openMark(head, mark []byte) (IDVerdict, uint64) {
	part, ok := bytes.CutSuffix(mark, []byte("tp0"))
	if !ok || !isIDText(part) || !wellFormed(part) {
		return IDVerdictPlain, 0
	}
	var e envelope
	_, _ = base64url.Decode(e[:], part)
	return p.unseal(&e, useEncrypted, head)
}

// The text.

// idForm is how a native id is written when it is sealed: the digit of the ending.
type idForm uint8

const (
	formText idForm = iota
	formPacked
	formUUID
	formLater
	formNone
)

var idBytes = func() (set [256]bool) {
	for c := range set {
		set[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
	}
	return set
}()

func isIDText(text []byte) bool {
	for _, c := range text {
		if !idBytes[c] {
			return false
		}
	}
	return true
}

// cutID gives the length of an id's prefix, up to and with its first _ or -; 0 without one.
func cutID(id []byte) int {
	for i, c := range id {
		if c == '_' || c == '-' {
			return i + 1
		}
	}
	return 0
}

// formOf gives the form of a native id, and packs its digits.
func formOf(native, packed []byte) (idForm, int) {
	cut := cutID(native)
	rest := native[cut:]
	switch n := len(rest); {
	case cut == 0:
	case n == 36 && rest[8] == '-':
		var digits [32]byte
		d := digits[:0]
		for i, c := range rest {
			if i == 8 || i == 13 || i == 18 || i == 23 {
				if c != '-' {
					return formText, 0
				}
				continue
			}
			d = append(d, c)
		}
		if packHex(packed, d) {
			return formUUID, 16
		}
	case 32 <= n && n <= 2*packedMax && n%2 == 0 && packHex(packed, rest):
		return formPacked, n / 2
	}
	return formText, 0
}

func packHex(packed, digits []byte) bool {
	digit := func(c byte) byte {
		switch {
		case '0' <= c && c <= '9':
			return c - '0'
		case 'a' <= c && c <= 'f':
			return c - 'a' + 10
		}
		return 0xff
	}
	var all byte
	for i := 0; i+1 < len(digits); i += 2 {
		high, low := digit(digits[i]), digit(digits[i+1])
		all |= high | low
		packed[i/2] = high<<4 | low
	}
	return all < 16
}

// recognise tells by its looks what a text is, and cuts it.
func recognise(text []byte) (form idForm, front, part []byte) {
	n := len(text)
	// Nearly every text ends here.
	if n < endingLen || text[n-3] != 't' || text[n-2] != 'p' {
		return formNone, nil, nil
	}
	rest := text[:n-endingLen]
	switch version := text[n-1]; {
	case version == '0' && n > IDMarkLen:
		form, front, part = formText, rest[:n-IDMarkLen], rest[n-IDMarkLen:]
	case (version == '1' || version == '2') && n >= packedMin:
		cut := cutID(rest)
		if cut == 0 {
			return formNone, nil, nil
		}
		form, front, part = idForm(version-'0'), rest[:cut], rest[cut:]
	case '3' <= version && version <= '9' && n >= packedMin && isIDText(rest):
		return formLater, nil, nil
	default:
		return formNone, nil, nil
	}
	if !isIDText(rest) || !wellFormed(part) {
		return formNone, nil, nil
	}
	return form, front, part
}

// wellFormed says whether base64url makes such a text, of the characters of an id.
func wellFormed(part []byte) bool {
	var spare byte
	switch len(part) % 4 {
	case 0:
		return true
	case 1:
		return false
	case 2:
		spare = 0b1111
	case 3:
		spare = 0b11
	}
	var value byte
	switch last := part[len(part)-1]; {
	case 'A' <= last && last <= 'Z':
		value = last - 'A'
	case 'a' <= last && last <= 'z':
		value = last - 'a' + 26
	case '0' <= last && last <= '9':
		value = last - '0' + 52
	case last == '-':
		value = 62
	default:
		value = 63
	}
	return value&spare == 0
}

// unpack makes the native id, and says whether this is how it is sealed.
func unpack(form idForm, front, part []byte, opened *openedID, e *envelope) bool {
	var body [packedMax + envelopeLen + 1]byte
	if base64url.DecodedLen(len(part)) > len(body) {
		return false
	}
	n, err := base64url.Decode(body[:], part)
	n -= envelopeLen
	if err != nil || n < 0 {
		return false
	}
	copy(e[:], body[n:])
	digits := 2 * n
	switch form {
	case formText:
		var packed [packedMax]byte
		if other, _ := formOf(front, packed[:]); n != 0 || other != formText {
			return false
		}
	case formPacked:
		if n < 16 || n > packedMax {
			return false
		}
	case formUUID:
		if n != 16 {
			return false
		}
		digits = 36
	}
	if len(front)+digits > MaxID {
		return false
	}
	native := append(opened.native[:0], front...)
	for i, b := range body[:n] {
		if form == formUUID && (i == 4 || i == 6 || i == 8 || i == 10) {
			native = append(native, '-')
		}
		native = append(native, "0123456789abcdef"[b>>4], "0123456789abcdef"[b&15])
	}
	opened.len = len(native)
	return true
}

// The settings of all requests.

// idRules are a configuration's ring and table, and what it does with ids.
type idRules struct {
	ring      puregoIDRing
	mode      Mode
	foreign   ForeignSeals
	encrypted bool
	table     idTable
}

func (r *idRules) init(c *Config) error {
	keys := c.IDs.Keys
	if len(keys) == 0 {
		keys = c.CookieKeys
	}
	if err := r.ring.init(keys, &c.PlacementKey); err != nil {
		return err
	}
	if err := c.IDs.Fields.check(); err != nil {
		return err
	}
	r.mode, r.foreign, r.encrypted, r.table = c.IDs.Mode, c.IDs.ForeignSeals, c.IDs.Encrypted, newIDTable(&c.IDs.Fields)
	return nil
}

// idTable is the table of keys, by their length, with what a configuration adds to it.
type idTable struct {
	keys        []IDKey
	byLength    [maxKeyName + 1][]uint8
	prefixes    []string
	collections []string
}

// maxKeyName is the longest key, and maxAdded how many a configuration may add of each sort.
const (
	maxKeyName = 32
	maxAdded   = 32
)

func (f *IDFields) check() error {
	refused := func(field Field, i int) error { return &ConfigError{ErrIDField, field, i} }
	for i, key := range f.Keys {
		if !key.Kind.valid() {
			return &ConfigError{ErrBadEnum, FieldIDFields, i}
		}
		if key.Name == "" || len(key.Name) > maxKeyName || key.Kind == KeyKindPath || key.Kind == KeyKindOwn {
			return refused(FieldIDFields, i)
		}
	}
	if len(f.Keys) > maxAdded {
		return refused(FieldIDFields, maxAdded)
	}
	for i, prefix := range f.Prefixes {
		if prefix == "" || len(prefix) > MaxID || !isIDText([]byte(prefix)) {
			return refused(FieldIDPrefixes, i)
		}
	}
	if len(f.Prefixes) > maxAdded {
		return refused(FieldIDPrefixes, maxAdded)
	}
	for i, segment := range f.Collections {
		if segment == "" || bytes.IndexByte([]byte(segment), '/') >= 0 {
			return refused(FieldIDCollections, i)
		}
	}
	if len(f.Collections) > maxAdded {
		return refused(FieldIDCollections, maxAdded)
	}
	return nil
}

func newIDTable(f *IDFields) (t idTable) {
	t.keys = slices.Concat(idKeys, f.Keys)
	for number, key := range t.keys {
		if key.Kind != KeyKindPath && key.Kind != KeyKindQuery {
			t.byLength[len(key.Name)] = append(t.byLength[len(key.Name)], uint8(number))
		}
	}
	t.prefixes = slices.Clone(f.Prefixes)
	t.collections = slices.Concat(idCollections, f.Collections)
	return t
}

// numberOf gives the number of a key that something depends on.
func numberOf(name string) uint8 {
	return uint8(slices.IndexFunc(idKeys, func(key IDKey) bool { return key.Name == name }))
}

var (
	pathKey             = numberOf("path")
	ownKey              = numberOf("id")
	previousResponseKey = numberOf("previous_response_id")
	conversationKey     = numberOf("conversation")
	containerKey        = numberOf("container")
	encryptedKey        = numberOf("encrypted_content")
	fileKey             = numberOf("file_id")
)

// find gives the number of a key of a document, or noIDKey.
func (t *idTable) find(name []byte, anyCase bool) uint8 {
	if len(name) > maxKeyName {
		return noIDKey
	}
	for _, number := range t.byLength[len(name)] {
		key := t.keys[number].Name
		if (key[0]^name[0])&^0x20 == 0 && (string(name) == key || anyCase && equalFoldASCII(name, key)) {
			return number
		}
	}
	return noIDKey
}

func equalFoldASCII[T string | []byte](a T, b string) bool {
	lower := func(c byte) byte {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		return c
	}
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// findParameter gives the number of a parameter of a query, or noIDKey.
func (t *idTable) findParameter(name []byte) uint8 {
	for number, key := range t.keys {
		if key.Name == string(name) && (key.Kind == KeyKindQuery || key.Kind == KeyKindID || key.Kind == KeyKindNamed) {
			return uint8(number)
		}
	}
	return noIDKey
}

// seals says whether a text under a listed key is an id that is sealed in responses of such an API.
func (t *idTable) seals(ids IDs, text []byte) bool {
	if len(text) > MaxID {
		return false
	}
	prefix := text[:cutID(text)]
	known := slices.ContainsFunc(idPrefixes, func(p string) bool { return p == string(prefix) }) ||
		ids == IDsItems && slices.ContainsFunc(idItemPrefixes, func(p string) bool { return p == string(prefix) }) ||
		slices.ContainsFunc(t.prefixes, func(p string) bool { return len(text) >= len(p) && string(text[:len(p)]) == p })
	return known && isIDText(text)
}

// The ids of a request.

// puregoSummary is an IDSummary in pure Go. The zero value is that of a request without ids.
type puregoSummary struct {
	hardPin, softPin    uint64
	entries             [16]echoEntry
	opened, plain, lost uint32
	verdict             IDVerdict
	keys                [2]uint8 // where it is refused
	hardKey             uint8
	echoes              uint8
	refused, unreadable bool
	existing, unstored  bool
	uploads, downloads  bool
	seals, willEcho     bool // the ids of the response are sealed, all or what the client sent sealed
	hasHard, hasSoft    bool
	quotedLen           uint8
	quotedID            [64]byte
}

// idEcho is how a client wrote an id.
type idEcho struct {
	sealed bool
	key    uint8 // if it is sealed
}

// echoEntry is such an id, by a keyed hash.
type echoEntry struct {
	hash uint64
	rank uint8
	form idEcho
}

func (s *puregoSummary) report() IDReport {
	r := IDReport{Opened: s.opened, Plain: s.plain, EchoesLost: s.lost,
		Verdict: s.verdict, Keys: [2]uint8{noIDKey, noIDKey},
		Refused: s.refused, Unreadable: s.unreadable, Existing: s.existing, Seals: s.seals, Unstored: s.unstored,
		ChangesResponse: s.seals || s.willEcho && s.echoes != 0, Uploads: s.uploads, Downloads: s.downloads}
	if s.refused {
		r.Keys = s.keys
	}
	return r
}

// account gives the account that serves the request, and the key of the id that names it; noIDKey
// for history.
func (s *puregoSummary) account() (pin uint64, key uint8, ok bool) {
	if s.hasHard {
		return s.hardPin, s.hardKey, true
	}
	return s.softPin, noIDKey, s.hasSoft && !s.unstored
}

func (s *puregoSummary) quoted() string { return string(s.quotedID[:s.quotedLen]) }

// quote keeps an id for the text of a refusal, if it can stand there.
func (s *puregoSummary) quote(text []byte) {
	s.quotedLen = 0
	if len(text) <= len(s.quotedID) && isIDText(text) {
		s.quotedLen = uint8(copy(s.quotedID[:], text))
	}
}

// noteOpened takes that one was opened, which may be what names the account.
func (s *puregoSummary) noteOpened(text []byte) {
	s.opened = saturated(s.opened)
	s.verdict = max(s.verdict, IDVerdictSealed)
	if !s.hasHard {
		s.quote(text)
	}
}

func (s *puregoSummary) refuse(verdict IDVerdict, key, second uint8, text []byte) {
	if !s.refused {
		s.verdict, s.keys, s.refused = max(s.verdict, verdict), [2]uint8{key, second}, true
		s.quote(text)
	}
}

// idNamed is what a text names: an object of an account, or an object of an unknown account.
type idNamed struct {
	is, account bool
	pin         uint64
}

// take reads one text of a request that may be an id, under a key and with its rank for the echo.
// It says what that names, and whether it was opened.
func (w *idWork) take(key, rank uint8, text []byte, opened *openedID) (idNamed, bool) {
	s, p := w.summary, &w.place
	if s.refused {
		return idNamed{}, false
	}
	verdict := IDVerdictPlain
	if w.mode != ModeOff {
		verdict = p.open(text, opened)
	}
	switch {
	case verdict == IDVerdictSealed:
		s.noteOpened(text)
		if w.mode == ModeOpen || p.ring.signing().id != opened.key {
			s.note(p, rank, opened.text(), idEcho{sealed: true, key: opened.key})
		}
		return idNamed{true, true, opened.pin}, true
	case verdict != IDVerdictPlain && w.refusesForeign():
		s.refuse(verdict, key, noIDKey, text)
		return idNamed{}, false
	case len(text) == 0 || string(text) == "auto": // what names nothing
		return idNamed{}, false
	}
	s.plain = saturated(s.plain)
	s.verdict = max(s.verdict, IDVerdictPlain)
	if w.mode >= ModeSeal && w.rules.table.seals(w.ids, text) {
		if w.mode == ModeStrict {
			s.refuse(IDVerdictPlain, key, noIDKey, text)
			return idNamed{}, false
		}
		s.note(p, rank, text, idEcho{})
	}
	return idNamed{is: true}, false
}

func saturated(n uint32) uint32 { return n + uint32(min(1, math.MaxUint32-n)) }

// bindHard takes what names its account for good.
func (s *puregoSummary) bindHard(key uint8, named idNamed) {
	s.existing = true
	switch {
	case !named.account:
	case !s.hasHard:
		s.hasHard, s.hardPin, s.hardKey = true, named.pin, key
	case s.hardPin != named.pin:
		s.refuse(IDVerdictConflict, s.hardKey, key, nil)
	}
}

const lastRank = 5

// echoRank says which ids keep their place where there are too many. Those of the path have 0, of
// the query 1.
func echoRank(key uint8) uint8 {
	switch key {
	case previousResponseKey:
		return 2
	case conversationKey:
		return 3
	case containerKey:
		return 4
	}
	return lastRank
}

func (s *puregoSummary) note(p *idPlace, rank uint8, native []byte, form idEcho) {
	hash := p.echo(native)
	there := s.entries[:s.echoes]
	if slices.ContainsFunc(there, func(e echoEntry) bool { return e.hash == hash }) {
		return
	}
	if int(s.echoes) < len(s.entries) {
		s.entries[s.echoes] = echoEntry{hash, rank, form}
		s.echoes++
		return
	}
	s.lost = saturated(s.lost)
	// The last of those that matter least makes room for one that matters more.
	weakest := 0
	for i := range there {
		if there[i].rank >= there[weakest].rank {
			weakest = i
		}
	}
	if there[weakest].rank > rank {
		there[weakest] = echoEntry{hash, rank, form}
	}
}

// echoOf gives how the client wrote a native id.
func (s *puregoSummary) echoOf(p *idPlace, native []byte) (idEcho, bool) {
	if s == nil || s.echoes == 0 {
		return idEcho{}, false
	}
	hash := p.echo(native)
	for _, e := range s.entries[:s.echoes] {
		if e.hash == hash {
			return e.form, true
		}
	}
	return idEcho{}, false
}

// The ring by itself.

func (r *puregoIDRing) sealID(dst []byte, scope, owner string, pin uint64, id string) ([]byte, Status) {
	p := idPlace{r, scope, owner}
	if s := p.check(); s != StatusOK {
		return dst, s
	}
	dst, ok := p.seal(dst, r.signing(), []byte(id), pin)
	if !ok {
		return dst, ErrID
	}
	return dst, StatusOK
}

func (r *puregoIDRing) openID(dst []byte, scope, owner, text string) ([]byte, OpenedID, Status) {
	p := idPlace{r, scope, owner}
	if s := p.check(); s != StatusOK {
		return dst, OpenedID{}, s
	}
	var opened openedID
	verdict := p.open([]byte(text), &opened)
	if verdict != IDVerdictSealed {
		return dst, OpenedID{Verdict: verdict}, StatusOK
	}
	return append(dst, opened.text()...), OpenedID{opened.pin, verdict, opened.key}, StatusOK
}

func (r *puregoIDRing) markContent(dst []byte, scope, owner string, pin uint64, content string) ([]byte, Status) {
	p := idPlace{r, scope, owner}
	if s := p.check(); s != StatusOK {
		return dst, s
	}
	if content == "" {
		return dst, ErrID
	}
	mark := p.mark([]byte(content[:min(len(content), headLen)]), pin)
	return append(dst, mark[:]...), StatusOK
}

func (r *puregoIDRing) openMark(scope, owner, text string) (n int, verdict IDVerdict, pin uint64, s Status) {
	p := idPlace{r, scope, owner}
	if s = p.check(); s != StatusOK {
		return 0, IDVerdictNone, 0, s
	}
	if n = len(text) - IDMarkLen; n <= 0 {
		return 0, IDVerdictPlain, 0, StatusOK
	}
	verdict, pin = p.openMark([]byte(text[:min(n, headLen)]), []byte(text[n:]))
	if verdict != IDVerdictSealed {
		n = 0
	}
	return n, verdict, pin, StatusOK
}
