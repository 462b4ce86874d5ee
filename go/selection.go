package tokenpin

import (
	"runtime"
	"strings"
	"sync/atomic"
)

// This file is the layer of pure functions: the parts of a decision, for hosts that put them together in their
// own way.

// Jump is the jump consistent hash: the bucket, 0 to buckets - 1, of key. buckets is 1 to MaxBuckets, else
// ErrBucketCount. It takes about ln(buckets) steps.
func Jump(key uint64, buckets int32) (int32, error) {
	bucket, s := backend{}.jump(key, buckets)
	return bucket, s.err()
}

// IdentityHash is the identity hash of the account named by identity, 1 byte or more.
func IdentityHash(identity string) (uint64, error) {
	hash, s := backend{}.identityHash(identity)
	return hash, s.err()
}

// KeyHash is the hash of an affinity key, which selection starts from.
func KeyHash(placementKey *Secret, scope string, key Key) (uint64, error) {
	if placementKey == nil {
		return 0, ErrNullPointer
	}
	hash, s := backend{}.keyHash(placementKey, scope, &key)
	return hash, s.err()
}

// FNV1a32 is the 32-bit FNV-1a hash of an affinity key's bytes, an anonymous id written as a UUID: for
// StrategyHigressFNV1aModulo alone.
func FNV1a32(key Key) (uint32, error) {
	hash, s := backend{}.fnv1a32(&key)
	return hash, s.err()
}

// Slots is a token set for selection alone. All its methods may be called from any number of goroutines at
// once.
type Slots struct{ slots slots }

// NewSlots makes a token set of 1 to MaxBuckets slots. An error is a [ConfigError].
func NewSlots(config []SlotConfig) (*Slots, error) {
	if len(config) == 0 || len(config) > MaxBuckets {
		return nil, &ConfigError{Status: ErrSlotCount, Field: FieldSlots}
	}
	made, err := newSlots(config)
	if err != nil {
		return nil, err
	}
	identities := make(map[string]struct{}, len(config))
	for i := range config {
		identity := config[i].Identity
		if config[i].Status.State == StateVacant {
			continue
		}
		if _, known := identities[identity]; known {
			return nil, &ConfigError{Status: ErrDuplicateIdentity, Field: FieldSlots, Index: i}
		}
		identities[identity] = struct{}{}
	}
	return &Slots{made}, nil
}

// Len is the number of slots, vacant ones included.
func (s *Slots) Len() int { return len(s.slots) }

// Set changes state, weight and until of a slot at once. A vacant slot stays vacant, and no other becomes so.
func (s *Slots) Set(slot int32, status SlotStatus) error {
	if slot < 0 || int(slot) >= len(s.slots) {
		return ErrSlotRange
	}
	return s.slots.set(slot, &status).err()
}

// Get reads state, weight and until of a slot at once.
func (s *Slots) Get(slot int32) (SlotStatus, error) {
	if slot < 0 || int(slot) >= len(s.slots) {
		return SlotStatus{}, ErrSlotRange
	}
	status, st := s.slots.get(slot)
	return status, st.err()
}

// Select gives the slot that serves the key with this hash, or NoSlot if no slot is a candidate. fnv1a is for
// StrategyHigressFNV1aModulo alone. Under StrategyJump it takes about ln(Len) steps where the home slot serves;
// else, and under the other strategies, linear time. It allocates nothing.
func (s *Slots) Select(strategy Strategy, filter Filter, hash uint64, fnv1a uint32) (int32, error) {
	slot, st := s.slots.choose(strategy, &filter, hash, fnv1a)
	return slot, st.err()
}

// SelectBatch is Select for many hashes: selected[i] becomes the slot of hashes[i]. fnv1as may be nil unless
// the strategy is StrategyHigressFNV1aModulo. ErrLength says that the slices differ in length. Through cgo it
// is one call for all of them, and much faster for each than Select. It allocates nothing.
func (s *Slots) SelectBatch(selected []int32, strategy Strategy, filter Filter, hashes []uint64, fnv1as []uint32) error {
	if len(selected) != len(hashes) {
		return ErrLength
	}
	if len(fnv1as) != len(hashes) && (fnv1as != nil || strategy == StrategyHigressFNV1aModulo) {
		return ErrLength
	}
	return s.slots.chooseBatch(selected, strategy, &filter, hashes, fnv1as).err()
}

// KeyRing makes and reads cookies. All its methods may be called from any number of goroutines at once, Close
// included.
type KeyRing struct{ handle atomic.Pointer[ring] }

// NewKeyRing makes a key ring of 1 to MaxCookieKeys keys, exactly one of which signs. placementKey may be nil;
// if it is not, no secret may equal it. An error is a [ConfigError].
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

// AppendCookie appends the value of a cookie, signed with the ring's signing key. name is 1 to MaxCookieName
// token bytes, scope 0 to MaxScope bytes. key is the affinity key that the cookie is bound to, of the cookie's
// kind; the zero Key for an anonymous cookie. It allocates only if dst has no room for CookieValueLen bytes.
func (k *KeyRing) AppendCookie(dst []byte, name, scope string, key Key, cookie Cookie) ([]byte, error) {
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

// ReadCookie reads the value of a cookie. key is the affinity key of the request, the zero Key for an anonymous
// request. A bad value is a verdict, not an error. The cookie is set for verdicts from VerdictOtherKey on: only
// then its tag was found good. It allocates nothing.
func (k *KeyRing) ReadCookie(name, scope string, key Key, limits Limits, now int64, value string) (Verdict, Cookie, error) {
	h := k.handle.Load()
	if h == nil {
		return VerdictAbsent, Cookie{}, ErrNotInitialised
	}
	var cookie Cookie
	verdict, s := h.decode(name, scope, &key, &limits, now, value, &cookie)
	runtime.KeepAlive(h)
	return verdict, cookie, s.err()
}

// DefaultCookieName is the default name of a scope's cookie: __Host-tokenpin, with a suffix unless the scope is
// empty.
func DefaultCookieName(scope string) (string, error) {
	name, s := backend{}.defaultCookieName(scope)
	return name, s.err()
}

// AppendCookieValues appends the values of the cookies called name in one Cookie field. They are parts of the
// field, not copies. Nothing has a name that is not 1 to MaxCookieName token bytes.
func AppendCookieValues(dst []string, field, name string) []string {
	if !isCookieName(name) {
		return dst
	}
	return backend{}.appendCookieValues(dst, field, name)
}

// StripCookie removes every cookie called name from one Cookie field and leaves the other pairs as they are,
// byte for byte. An empty answer means that the field should be dropped. It allocates only if the field contains
// the name.
func StripCookie(field, name string) string {
	if !isCookieName(name) || !strings.Contains(field, name) {
		return field
	}
	return backend{}.stripCookie(field, name)
}

// AppendSetCookie appends the value of a Set-Cookie field. maxAge 0 makes a session cookie. value may be
// anything of at most 1024 bytes that RFC 6265 calls cookie-octets.
func AppendSetCookie(dst []byte, name, value string, attributes *Attributes, maxAge uint32) ([]byte, error) {
	if attributes == nil {
		return dst, ErrNullPointer
	}
	dst, s := backend{}.appendSetCookie(dst, name, value, attributes, maxAge)
	return dst, s.err()
}

// SetCookieMatches says whether a Set-Cookie field sets a cookie called name. Those of an upstream are not for
// the client.
func SetCookieMatches(field, name string) bool {
	return isCookieName(name) && backend{}.setCookieMatches(field, name)
}

// Classify classifies a request by its method and target. No rules are the default table. promptCache opts in
// to that group. It gives the group, and whether the request names existing state.
func Classify(rules []Rule, promptCache bool, method, target string) (group Group, existing bool, err error) {
	group, existing, s := backend{}.classify(rules, promptCache, method, target)
	return group, existing, s.err()
}
