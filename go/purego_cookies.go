package tokenpin

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

const (
	cookieVersion = 1
	cookieHead    = 26 // the bytes before the pin
	cookieLen     = 50
	maxTags       = 64 // tags computed for one request
)

var base64url = base64.RawURLEncoding.Strict()

// ringKey is one key of the ring, with the keys derived from its secret.
type ringKey struct {
	used           bool
	id             uint8
	role           Role
	mac, pin, bind sipKey
}

func derived(secret sipKey, label string) sipKey {
	s := sip128(secret)
	s.text(label)
	low, high := s.sum128()
	return sipKey{low, high}
}

// puregoRing is a key ring. Its keys are apart, so that they can be wiped when the ring is out of
// reach.
type puregoRing struct{ keys *[MaxCookieKeys]ringKey }

func newPuregoRing(keys []CookieKey, placementKey *Secret) (*puregoRing, error) {
	ring := &puregoRing{new([MaxCookieKeys]ringKey)}
	if err := ring.init(keys, placementKey); err != nil {
		return nil, err
	}
	runtime.AddCleanup(ring, func(keys *[MaxCookieKeys]ringKey) { clear(keys[:]) }, ring.keys)
	return ring, nil
}

// init fills the ring. The signing key comes first; the unused places last.
func (r *puregoRing) init(keys []CookieKey, placementKey *Secret) error {
	place := 1
	return checkRing(FieldCookieKeys, keys, placementKey, func(key *CookieKey) {
		secret := newSipKey((*[16]byte)(&key.Secret))
		made := ringKey{true, key.ID, key.Role, derived(secret, "tokenpin.v1.mac"),
			derived(secret, "tokenpin.v1.pin"), derived(secret, "tokenpin.v1.key")}
		if made.role == RoleSign {
			r.keys[0] = made
		} else {
			r.keys[place] = made
			place++
		}
	})
}

// checkRing checks the keys of a ring, and if they are right hands them to take.
func checkRing(field Field, keys []CookieKey, placementKey *Secret, take func(*CookieKey)) error {
	refused := func(s Status, i int) error { return &ConfigError{s, field, i} }
	if len(keys) == 0 || len(keys) > MaxCookieKeys {
		return refused(ErrKeyCount, min(len(keys), MaxCookieKeys))
	}
	for i := range keys {
		if !keys[i].Role.valid() {
			return refused(ErrBadEnum, i)
		}
	}
	signing, second := 0, 0
	for i := range keys {
		key := &keys[i]
		if key.Secret == (Secret{}) {
			return refused(ErrZeroSecret, i)
		}
		if placementKey != nil && key.Secret == *placementKey {
			return refused(ErrDuplicateSecret, i)
		}
		for j := range i {
			if keys[j].ID == key.ID {
				return refused(ErrDuplicateKeyID, i)
			}
			if keys[j].Secret == key.Secret {
				return refused(ErrDuplicateSecret, i)
			}
		}
		if key.Role == RoleSign {
			if signing++; signing == 2 {
				second = i
			}
		}
	}
	if signing != 1 {
		return refused(ErrSigningKeys, second)
	}
	for i := range keys {
		take(&keys[i])
	}
	return nil
}

func (r *puregoRing) signing() *ringKey { return &r.keys[0] }

func (r *puregoRing) find(id uint8) *ringKey {
	for i := range r.keys {
		if r.keys[i].used && r.keys[i].id == id {
			return &r.keys[i]
		}
	}
	return nil
}

// tag computes the tag of a cookie. key is not looked at for an anonymous cookie.
func (k *ringKey) tag(name, scope string, head *[cookieLen]byte, pin uint64, kind Kind, key *Key) (low, high uint64) {
	s := sip128(k.mac)
	s.u8(uint8(len(name)))
	s.text(name)
	s.counted(scope)
	for i := 0; i < 24; i += 8 {
		s.u64(binary.LittleEndian.Uint64(head[i:]))
	}
	s.bytes(uint64(binary.LittleEndian.Uint16(head[24:])), 2)
	s.u64(pin)
	if kind != KindAnonymous {
		bind := sip128(k.bind)
		bind.u8(uint8(kind))
		key.addTo(&bind)
		low, high := bind.sum128()
		s.u64(low)
		s.u64(high)
	}
	return s.sum128()
}

// mask is what hides the pin of the cookie with this tag.
func (k *ringKey) mask(low, high uint64) uint64 {
	s := newSip(k.pin, 2, 4)
	s.u64(low)
	s.u64(high)
	return s.sum64()
}

// write makes the value of a cookie.
func (r *puregoRing) write(name, scope string, key *Key, cookie *Cookie, value *[CookieValueLen]byte) {
	signing := r.signing()
	var b [cookieLen]byte
	b[0] = cookieVersion<<4 | uint8(cookie.Kind)
	b[1] = signing.id
	binary.BigEndian.PutUint32(b[2:], cookie.IssuedAt)
	binary.BigEndian.PutUint32(b[6:], cookie.RefreshedAt)
	copy(b[10:], cookie.ID[:])
	low, high := signing.tag(name, scope, &b, cookie.Pin, cookie.Kind, key)
	binary.LittleEndian.PutUint64(b[26:], cookie.Pin^signing.mask(low, high))
	binary.LittleEndian.PutUint64(b[34:], low)
	binary.LittleEndian.PutUint64(b[42:], high)
	base64url.Encode(value[:], b[:])
}

// read reads the value of a cookie. key is nil for a request without one. tags is the number of
// tags that may still be computed. The cookie is set where its tag is good.
func (r *puregoRing) read(
	name, scope string, key *Key, limits *Limits, now uint64, value string, tags *int, cookie *Cookie,
) Verdict {
	var text [CookieValueLen]byte
	var b [cookieLen]byte
	if len(value) != len(text) {
		return VerdictMalformed
	}
	copy(text[:], value)
	// Line ends, which the decoder skips, make it shorter.
	if n, err := base64url.Decode(b[:], text[:]); err != nil || n != len(b) {
		return VerdictMalformed
	}
	kind := Kind(b[0] & 15)
	if !kind.valid() {
		return VerdictMalformed
	}
	if b[0]>>4 != cookieVersion {
		return VerdictUnknownVersion
	}
	k := r.find(b[1])
	if k == nil {
		return VerdictUnknownKey
	}
	wanted := KindAnonymous
	if key != nil {
		wanted = key.Kind
	}
	if kind != KindAnonymous && key == nil || *tags == 0 {
		return VerdictBadTag
	}
	*tags--
	var computed [16]byte
	low, high := binary.LittleEndian.Uint64(b[34:]), binary.LittleEndian.Uint64(b[42:])
	pin := binary.LittleEndian.Uint64(b[26:]) ^ k.mask(low, high)
	low, high = k.tag(name, scope, &b, pin, kind, key)
	binary.LittleEndian.PutUint64(computed[:], low)
	binary.LittleEndian.PutUint64(computed[8:], high)
	if subtle.ConstantTimeCompare(computed[:], b[34:]) != 1 {
		return VerdictBadTag
	}
	*cookie = Cookie{
		Pin:         pin,
		IssuedAt:    binary.BigEndian.Uint32(b[2:]),
		RefreshedAt: binary.BigEndian.Uint32(b[6:]),
		ID:          [16]byte(b[10:26]),
		Kind:        kind,
	}
	issued, refreshed := uint64(cookie.IssuedAt), uint64(cookie.RefreshedAt)
	latest := uint64(math.MaxUint64)
	if now <= latest-uint64(limits.Skew) {
		latest = now + uint64(limits.Skew)
	}
	idle := since(now, refreshed)
	switch {
	case kind != wanted:
		return VerdictOtherKey
	case issued > latest || refreshed > latest:
		return VerdictNotYetValid
	case limits.MaxLife != 0 && since(now, issued) > uint64(limits.MaxLife):
		return VerdictExpiredLife
	case limits.MaxIdle != 0 && idle > uint64(limits.MaxIdle):
		return VerdictExpiredIdle
	case k.role == RoleRetire:
		return VerdictRefreshDue
	case limits.RefreshInterval != 0 && (idle >= math.MaxUint32 || idle*5 >= uint64(limits.RefreshInterval)):
		return VerdictRefreshDue
	}
	return VerdictValid
}

// since saturates at 0.
func since(now, then uint64) uint64 { return now - min(now, then) }

// checks are the verdicts in the order of the checks: of several cookies, the one that came
// furthest counts.
var checks = [...]Verdict{
	VerdictAbsent, VerdictMalformed, VerdictUnknownVersion, VerdictUnknownKey, VerdictBadTag, VerdictOtherKey,
	VerdictNotYetValid, VerdictExpiredLife, VerdictExpiredIdle, VerdictValid, VerdictRefreshDue,
}

func rank(v Verdict) int { return slices.Index(checks[:], v) }

func usable(v Verdict) bool { return v == VerdictValid || v == VerdictRefreshDue }

func (r *puregoRing) encode(name, scope string, key *Key, cookie *Cookie, value *[CookieValueLen]byte) Status {
	if !cookie.Kind.valid() {
		return ErrBadEnum
	}
	if s := checkPlace(name, scope, key); s != StatusOK {
		return s
	}
	if cookie.Kind != key.Kind {
		return ErrKeyLength
	}
	r.write(name, scope, key, cookie, value)
	return StatusOK
}

func (r *puregoRing) decode(
	name, scope string, key *Key, limits *Limits, now int64, value string, cookie *Cookie,
) (Verdict, Status) {
	if s := checkPlace(name, scope, key); s != StatusOK {
		return VerdictAbsent, s
	}
	if key.Kind == KindAnonymous {
		key = nil
	}
	tags := 1
	return r.read(name, scope, key, limits, unix(now), value, &tags, cookie), StatusOK
}

// checkPlace checks where a cookie belongs. An anonymous key may be empty.
func checkPlace(name, scope string, key *Key) Status {
	s := StatusOK
	if key.Kind != KindAnonymous || key.Key != "" {
		s = key.check()
	}
	switch {
	case s.isOfForm(key):
		return s
	case !isCookieName(name):
		return ErrCookieName
	case len(scope) > MaxScope:
		return ErrScopeLength
	}
	return s
}

// tokenBytes are those of RFC 9110, section 5.6.2.
var tokenBytes = func() (set [256]bool) {
	for c := range set {
		set[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		set[c] = true
	}
	return set
}()

func isCookieName(name string) bool {
	for i := range len(name) {
		if !tokenBytes[name[i]] {
			return false
		}
	}
	return 1 <= len(name) && len(name) <= MaxCookieName
}

func puregoDefaultName(scope string) string {
	if scope == "" {
		return "__Host-tokenpin"
	}
	return suffixedName(nameSuffix(scope))
}

func nameSuffix(scope string) (suffix [4]byte) {
	s := newSip(literalKey("tokenpin.v1.name"), 2, 4)
	s.text(scope)
	binary.LittleEndian.PutUint32(suffix[:], uint32(s.sum64()))
	return suffix
}

func suffixedName(suffix [4]byte) string {
	b := make([]byte, 0, MaxCookieName)
	b = append(b, "__Host-tokenpin-"...)
	for _, c := range suffix {
		b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
	}
	return string(b)
}

func trimmed(s string) string { return strings.Trim(s, " \t") }

// pairs calls yield with each part of a field between semicolons.
func pairs(field string) func(yield func(pair string) bool) {
	return func(yield func(string) bool) {
		for {
			i := strings.IndexByte(field, ';')
			if i < 0 {
				yield(field)
				return
			}
			if !yield(field[:i]) {
				return
			}
			field = field[i+1:]
		}
	}
}

// valueIn gives the value of the pair if its name is the one.
func valueIn(pair, name string) (value string, ok bool) {
	i := strings.IndexByte(pair, '=')
	if i < 0 || name == "" || trimmed(pair[:i]) != name {
		return "", false
	}
	value = trimmed(pair[i+1:])
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	return value, true
}

func (purego) cookieValues(dst []string, field, name string) []string {
	for pair := range pairs(field) {
		if value, ok := valueIn(pair, name); ok {
			dst = append(dst, value)
		}
	}
	return dst
}

func (purego) cookieStrip(field, name string) string {
	var kept []string
	removed, firstGone, first, onlyBlanks := false, false, true, true
	for pair := range pairs(field) {
		if _, ours := valueIn(pair, name); ours {
			removed = true
			firstGone = firstGone || first
		} else {
			kept = append(kept, pair)
			onlyBlanks = onlyBlanks && trimmed(pair) == ""
		}
		first = false
	}
	switch {
	case !removed:
		return field
	case onlyBlanks:
		return ""
	case firstGone:
		kept[0] = strings.TrimLeft(kept[0], " \t")
	}
	return strings.Join(kept, ";")
}

func (purego) setCookieMatches(field, name string) bool {
	pair, _, _ := strings.Cut(field, ";")
	_, ours := valueIn(pair, name)
	return ours
}

func (purego) cookieDefaultName(scope string) (string, Status) {
	if len(scope) > MaxScope {
		return "", ErrScopeLength
	}
	return puregoDefaultName(scope), StatusOK
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func isAttributeText(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e || s[i] == ';' {
			return false
		}
	}
	return len(s) <= MaxAttribute
}

func isCookieText(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e || strings.IndexByte("\",;\\", s[i]) >= 0 {
			return false
		}
	}
	return len(s) <= MaxAttribute
}

// check says what is wrong with the attributes of a cookie of this name, and with which.
func (a *Attributes) check(name string) (Status, Field) {
	host := hasPrefixFold(name, "__Host-")
	switch {
	case !isAttributeText(a.Path) || a.Path != "" && a.Path[0] != '/':
		return ErrAttribute, FieldPath
	case !isAttributeText(a.Domain):
		return ErrAttribute, FieldDomain
	case !a.SameSite.valid():
		return ErrBadEnum, FieldSameSite
	case !a.Secure && a.SameSite == SameSiteNone:
		return ErrNeedsSecure, FieldSameSite
	case !a.Secure && a.Partitioned:
		return ErrNeedsSecure, FieldPartitioned
	case !a.Secure && (host || hasPrefixFold(name, "__Secure-")):
		return ErrNamePrefix, FieldSecure
	case host && a.Path != "" && a.Path != "/":
		return ErrNamePrefix, FieldPath
	case host && a.Domain != "":
		return ErrNamePrefix, FieldDomain
	}
	return StatusOK, FieldConfig
}

func (purego) setCookieWrite(dst []byte, name, value string, attributes *Attributes, maxAge uint32) ([]byte, Status) {
	switch s, _ := attributes.check(name); {
	case s == ErrBadEnum:
		return dst, s
	case !isCookieName(name):
		return dst, ErrCookieName
	case !isCookieText(value):
		return dst, ErrAttribute
	case maxAge > MaxMaxAge:
		return dst, ErrMaxAge
	case s != StatusOK:
		return dst, s
	}
	return puregoSetCookie(dst, name, value, attributes, maxAge), StatusOK
}

func puregoSetCookie[T string | []byte](dst []byte, name string, value T, a *Attributes, maxAge uint32) []byte {
	dst = append(append(append(dst, name...), '='), value...)
	path := a.Path
	if path == "" {
		path = "/"
	}
	dst = append(append(dst, "; Path="...), path...)
	if a.Domain != "" {
		dst = append(append(dst, "; Domain="...), a.Domain...)
	}
	if maxAge != 0 {
		dst = strconv.AppendUint(append(dst, "; Max-Age="...), uint64(maxAge), 10)
	}
	if a.Secure {
		dst = append(dst, "; Secure"...)
	}
	if a.HTTPOnly {
		dst = append(dst, "; HttpOnly"...)
	}
	dst = append(append(dst, "; SameSite="...), [...]string{"Lax", "Strict", "None"}[a.SameSite]...)
	if a.Partitioned {
		dst = append(dst, "; Partitioned"...)
	}
	return dst
}
