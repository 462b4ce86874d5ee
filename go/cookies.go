package tokenpin

import (
	"runtime"
	"strings"
	"sync/atomic"
)

// CookieKey is one key of the cookie key ring.
type CookieKey struct {
	ID     uint8 // the number that cookies carry to say which key signed them
	Role   Role
	Secret Secret
}

// Cookie is the content of a cookie.
type Cookie struct {
	// Pin is the identity hash of the session's token.
	Pin uint64
	// IssuedAt is the first issue, in unix seconds; kept through every refresh.
	IssuedAt uint32
	// RefreshedAt is the latest issue, in unix seconds.
	RefreshedAt uint32
	// ID is the anonymous id; a nonce for the other kinds.
	ID   [16]byte
	Kind Kind
}

// Limits are the time limits of cookies, in seconds. 0 switches a limit off, except for Skew.
type Limits struct {
	Skew            uint32 // how far in the future another clock may have stamped a cookie
	MaxLife         uint32 // the longest life since the first issue
	MaxIdle         uint32 // the longest time since the latest issue
	RefreshInterval uint32 // a fifth of this after its latest issue a cookie is due to be issued again
}

// Attributes are the attributes of the cookie.
type Attributes struct {
	Path        string // Path; empty for "/"
	Domain      string // Domain; empty for none
	Secure      bool
	HTTPOnly    bool
	SameSite    SameSite
	Partitioned bool
}

// KeyRing makes and reads cookies. All its methods may be called from any number of goroutines
// concurrently, Close included.
type KeyRing struct{ handle atomic.Pointer[ring] }

// NewKeyRing makes a key ring of 1 to MaxCookieKeys keys, exactly one of which signs. placementKey
// may be nil; if it is not, no secret may equal it. An error is a [ConfigError].
func NewKeyRing(keys []CookieKey, placementKey *Secret) (*KeyRing, error) {
	handle, err := newRing(keys, placementKey)
	if err != nil {
		return nil, err
	}
	k := new(KeyRing)
	k.handle.Store(handle)
	return k, nil
}

// Close ends the life of the key ring, like [Affinity.Close].
func (k *KeyRing) Close() error {
	k.handle.Store(nil)
	return nil
}

// Encode appends the value of a cookie, signed with the ring's signing key. name is 1 to
// MaxCookieName token bytes, scope 0 to MaxScope bytes. key is the affinity key that the cookie is
// bound to, of the cookie's kind; the zero Key for an anonymous cookie. It allocates only if dst
// has no room for CookieValueLen bytes.
func (k *KeyRing) Encode(dst []byte, name, scope string, key Key, cookie Cookie) ([]byte, error) {
	h := k.handle.Load()
	if h == nil {
		return dst, ErrNotInitialised
	}
	var value [CookieValueLen]byte
	s := h.encode(name, scope, &key, &cookie, &value)
	runtime.KeepAlive(h)
	if s != StatusOK {
		return dst, s
	}
	return append(dst, value[:]...), nil
}

// Decode reads the value of a cookie. key is the affinity key of the request, the zero Key for an
// anonymous request. A bad value is a verdict, not an error. The cookie is returned only if its tag
// is good. Decode allocates nothing.
func (k *KeyRing) Decode(name, scope string, key Key, limits Limits, now int64, value string) (Verdict, Cookie, error) {
	h := k.handle.Load()
	if h == nil {
		return VerdictAbsent, Cookie{}, ErrNotInitialised
	}
	var cookie Cookie
	verdict, s := h.decode(name, scope, &key, &limits, now, value, &cookie)
	runtime.KeepAlive(h)
	return verdict, cookie, s.err()
}

// CookieDefaultName returns the default name of a scope's cookie: __Host-tokenpin, with a suffix
// unless the scope is empty.
func CookieDefaultName(scope string) (string, error) {
	name, s := backend{}.cookieDefaultName(scope)
	return name, s.err()
}

// CookieValues appends the values of the cookies called name in one Cookie field. They are parts of
// the field, not copies.
func CookieValues(dst []string, field, name string) []string {
	return backend{}.cookieValues(dst, field, name)
}

// CookieStrip removes every cookie called name from one Cookie field. The other pairs stay the
// same, byte for byte. If the result is empty, drop the field. CookieStrip allocates only if the
// field contains the name.
func CookieStrip(field, name string) string {
	if !strings.Contains(field, name) {
		return field
	}
	return backend{}.cookieStrip(field, name)
}

// SetCookieWrite appends the value of a Set-Cookie field. maxAge 0 makes a session cookie. value
// may be anything of at most 1024 bytes that RFC 6265 calls cookie-octets.
func SetCookieWrite(dst []byte, name, value string, attributes *Attributes, maxAge uint32) ([]byte, error) {
	if attributes == nil {
		return dst, ErrNullPointer
	}
	dst, s := backend{}.setCookieWrite(dst, name, value, attributes, maxAge)
	return dst, s.err()
}

// SetCookieMatches reports whether a Set-Cookie field sets a cookie called name. Drop such fields
// from an upstream's response.
func SetCookieMatches(field, name string) bool {
	return backend{}.setCookieMatches(field, name)
}
