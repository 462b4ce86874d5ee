package tokenpin

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

// Config is everything that an affinity is built from. DefaultConfig sets the defaults; then
// PlacementKey, CookieKeys and Slots have to be set. New copies all of it.
type Config struct {
	// PlacementKey decides the mapping of keys. The same on all replicas; not all zero.
	PlacementKey Secret
	// CookieKeys is the cookie key ring, 1 to MaxCookieKeys keys of which exactly one signs.
	CookieKeys []CookieKey
	// Slots are the slots, 1 to MaxBuckets, vacant ones included.
	Slots []SlotConfig
	// Strategy is how a slot is selected.
	Strategy Strategy
	// Scope is the set of accounts that the affinity is about, 0 to MaxScope bytes, used where a
	// request brings none.
	Scope string
	// CookieName is the cookie's name; empty for the default name of the request's scope.
	CookieName string
	// Attributes are the cookie's attributes. Default Secure and HTTPOnly.
	Attributes Attributes
	// Rules is the classification table: these rules, and behind them the default ones.
	Rules []Rule
	// MaxAge is Max-Age in seconds; 0 for a session cookie; MaxAgeAuto, the default, for as long as
	// the cookie can be valid.
	MaxAge uint32
	// Skew is the tolerance for clocks that run ahead, in seconds. Default 300.
	Skew uint32
	// MaxLife is the longest life of a cookie since its first issue, in seconds; 0 for no limit.
	// Default 30 days.
	MaxLife uint32
	// MaxIdle is the longest time between refreshes of a cookie, in seconds; 0, the default, for no
	// limit.
	MaxIdle uint32
	// SuccessFirst and SuccessLast are the response statuses on which a cookie is set. Default 200
	// to 299.
	SuccessFirst, SuccessLast uint16
	// PolicyExisting is for requests that name existing state. Default PolicyFailFast.
	PolicyExisting Policy
	// PolicyNew is for all others. Default PolicyFallbackAndUpdate.
	PolicyNew Policy
	// CombineKeys uses consumer and session key together where a request has both.
	CombineKeys bool
	// RejectBadKeys rejects a request whose key is untrusted, ambiguous or too long. Else the next
	// source is tried.
	RejectBadKeys bool
	// KeyedCookies gives cookies to sessions that have a key.
	KeyedCookies bool
	// MintSingle mints cookies also where only one slot holds an account.
	MintSingle bool
	// PromptCache gives affinity to the prompt-cache group too.
	PromptCache bool
	// ReplaceRules leaves the default rules out of the classification table.
	ReplaceRules bool
	// IDs says what is done with the ids of requests and responses.
	IDs IDConfig
}

const (
	defaultSkew    = 300
	defaultMaxLife = 30 * 24 * 60 * 60
)

// DefaultConfig gives the defaults. PlacementKey, CookieKeys and Slots have to be set.
func DefaultConfig() Config {
	return Config{
		Attributes:   Attributes{Secure: true, HTTPOnly: true},
		MaxAge:       MaxAgeAuto,
		Skew:         defaultSkew,
		MaxLife:      defaultMaxLife,
		SuccessFirst: 200,
		SuccessLast:  299,
		PolicyNew:    PolicyFallbackAndUpdate,
		IDs:          IDConfig{Encrypted: true},
	}
}

// Affinity decides. It is built once from a configuration and is immutable except for the status of
// its slots. All its methods may be called from any number of goroutines concurrently, Close
// included; none waits for another.
type Affinity struct {
	// The library's memory is freed when no one can reach what this points to, so a call that is
	// under way keeps it alive without a lock or a count.
	handle atomic.Pointer[affinity]
	idMode Mode
}

// New builds an affinity. An error is a [ConfigError].
func New(config *Config) (*Affinity, error) {
	handle, err := newAffinity(config)
	if err != nil {
		return nil, err
	}
	a := &Affinity{idMode: config.IDs.Mode}
	a.handle.Store(handle)
	return a, nil
}

// Close ends the life of the affinity: later calls return ErrNotInitialised. Calls under way are
// not disturbed; the secrets are wiped and the memory is freed by the first garbage collection
// after the last of them. An affinity that is dropped without Close is wiped and freed in the same
// way, so where a new configuration takes over, drop the old affinity and let the decisions that it
// made be finished. The error is always nil.
func (a *Affinity) Close() error {
	a.handle.Store(nil)
	return nil
}

// Request is what a decision looks at. Its strings and slices are borrowed for the call. The zero
// value is a valid start; Stamp fills in what every request needs.
type Request struct {
	// Method and Target, such as "/v1/responses?x=1", are read to classify, and for nothing else.
	// With HasGroup, the method still tells whether the request names existing state. It is CONNECT
	// for a WebSocket handshake, also where that is a GET with Upgrade: it reads nothing, and what
	// comes of it may create.
	Method, Target string
	// Consumers are the values of the consumer header. Empty ones do not count, equal ones count as
	// one.
	Consumers []string
	// ConsumerTrusted says that they come from someone who may name consumers.
	ConsumerTrusted bool
	// Sessions are the values of the session header. Empty ones do not count, equal ones count as
	// one.
	Sessions []string
	// Cookies are the values of the Cookie fields.
	Cookies []string
	// CarrierValue is a cookie's value that came in a separate header; empty for none.
	CarrierValue string
	// Carrier says that the answer is returned in that header. Taken for granted if CarrierValue is
	// not empty.
	Carrier bool
	// Scope is 0 to MaxScope bytes; empty for the configured one.
	Scope string
	// Tried are the slots that this request has tried already.
	Tried []int32
	// HasGroup says that Group is the group. Else Method and Target are classified.
	HasGroup bool
	Group    Group
	// Existing says that the request names existing state, and so is stateful, for any group,
	// method and target say. Set it where the body names some (previous_response_id, input_file_id,
	// ...), which only IDs tells.
	Existing bool
	// IDs is what the ids of path, query and body come to; nil where no one looked.
	IDs *IDSummary
	// IDHint is nil, or what becomes the id of a new session, so that parallel first requests of
	// one client agree: what [Affinity.IDHint] makes of something that belongs only to one client.
	// A connection is not that behind a CDN, which sends many clients over one; nor is an address
	// behind a NAT. Nil if in doubt.
	IDHint *[16]byte
	// Now is the wall clock in unix seconds. A negative one counts as 0.
	Now int64
	// Entropy is 16 fresh random bytes.
	Entropy [16]byte
}

// Stamp sets Now to the wall clock and Entropy to fresh random bytes. Nothing else in this package
// reads a clock or draws random numbers.
func (r *Request) Stamp() {
	r.Now = time.Now().Unix()
	_, _ = rand.Read(r.Entropy[:]) // never fails
}

// Decision is the answer to a request, to be kept until its response. It holds no pointers. Its
// cookie is not printed.
//
// The layout is that of the C structure, so that the library writes it in place; native_affinity.go
// checks that.
type Decision struct {
	fingerprint uint64
	// Slot is the slot that serves, or NoSlot: then a local error is the answer.
	Slot   int32
	maxAge uint32
	// RetryAfter is, without a slot, in how many seconds the first slot that can serve the request
	// is up again, under fail_fast, and for an id, the pinned one; at most 1<<32 - 1. 0 if that is
	// unknown, if it can serve now but was tried, if the keys or ids were refused, and where a slot
	// serves.
	RetryAfter uint32
	// Source is where the affinity comes from.
	Source Source
	// Outcome is what the decision came to.
	Outcome Outcome
	// PinState is what became of the pinned token.
	PinState PinState
	// Verdict is what came of the request's cookies.
	Verdict Verdict
	// IDVerdict is what came of the request's ids.
	IDVerdict IDVerdict
	// IDKeys are numbers of keys, 255 for none: of the id that names the account or is refused; of
	// a conflict both. [Affinity.IDKey] spells them.
	IDKeys [2]uint8
	// KeyReason is what became of the request's keys.
	KeyReason KeyReason
	// Ambiguous says that valid cookies with different ids were there.
	Ambiguous bool
	// Existing says that the request names existing state: its method, its target, its ids or the
	// caller says so.
	Existing bool
	// MayMove says that a host may send the request to another token where this one refuses it: it
	// names no state, and what it creates will be looked for at the token that gave it.
	MayMove   bool
	hasCookie bool
	carrier   bool
	hasSuffix bool
	suffix    [4]byte
	value     [CookieValueLen]byte
}

// Fingerprint is the fingerprint of the configuration that decided.
func (d *Decision) Fingerprint() uint64 { return d.fingerprint }

// Refusal is what a host answers if no slot serves: the code, which is its name, and the HTTP
// status.
func (d *Decision) Refusal() (refusal Refusal, status int) {
	refusal, code := backend{}.refusal(d)
	return refusal, int(code)
}

// SetsCookie says whether a cookie is returned if the response is a success.
func (d *Decision) SetsCookie() bool { return d.hasCookie }

// Format writes what the decision came to, without its cookie, for any verb.
func (d Decision) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "slot %d, source %v, outcome %v, pin %v, verdict %v, id %v, key %v", d.Slot, d.Source, d.Outcome,
		d.PinState, d.Verdict, d.IDVerdict, d.KeyReason)
}

// Decide decides which slot serves a request, and prepares the cookie that is returned. Where there
// is an error, the decision names no slot: ErrScopeLength, ErrSlotRange (of Tried), ErrEntropy
// where randomness is needed and all zero, ErrTime where a cookie is to be issued after the year
// 2106, ErrBadEnum (of Group).
//
// It allocates nothing, unless the request has more than four Cookie fields. Its cost is about that
// of one selection, and of one SipHash for each cookie of the affinity's name, of which it looks at
// 64.
func (a *Affinity) Decide(r *Request) (Decision, error) {
	h := a.handle.Load()
	if h == nil {
		return Decision{Slot: NoSlot}, ErrNotInitialised
	}
	var d Decision
	status := h.decide(r, &d)
	runtime.KeepAlive(h)
	if status != StatusOK {
		return Decision{Slot: NoSlot}, status
	}
	return d, nil
}

// Finish ends a request: if its response's status is a success and there is a cookie to set, it
// appends what is returned to dst: the value of a Set-Cookie field, or the value of the carrier
// header. It only formats, and allocates only if dst has no room; MaxSetCookie bytes suffice.
//
// ErrStale says that another configuration decided: keep the affinity that decides until the
// response. Then, and with every other error, dst comes back as it was.
func (a *Affinity) Finish(dst []byte, d *Decision, status int) ([]byte, Answer, error) {
	h := a.handle.Load()
	if h == nil {
		return dst, AnswerNothing, ErrNotInitialised
	}
	if status < 0 || status > 1<<16-1 {
		status = 0 // no success either
	}
	dst, answer, s := h.finish(dst, d, uint16(status))
	runtime.KeepAlive(h)
	return dst, answer, s.err()
}

// SetSlot changes state, weight and until of a slot atomically, while others decide, and never
// waits. Errors: ErrSlotRange, ErrWeight, ErrUntil, ErrVacant, ErrBadEnum.
func (a *Affinity) SetSlot(slot int32, status SlotStatus) error {
	h := a.handle.Load()
	if h == nil {
		return ErrNotInitialised
	}
	s := h.setSlot(slot, &status)
	runtime.KeepAlive(h)
	return s.err()
}

// GetSlot reads state, weight and until of a slot atomically, and the identity hash of its account,
// 0 for a vacant slot.
func (a *Affinity) GetSlot(slot int32) (status SlotStatus, identityHash uint64, err error) {
	h := a.handle.Load()
	if h == nil {
		return SlotStatus{}, 0, ErrNotInitialised
	}
	status, identityHash, s := h.getSlot(slot)
	runtime.KeepAlive(h)
	return status, identityHash, s.err()
}

// Find gives the slot of the account named by identity, or NoSlot if there is none.
func (a *Affinity) Find(identity string) (int32, error) {
	h := a.handle.Load()
	if h == nil {
		return NoSlot, ErrNotInitialised
	}
	slot, s := h.find(identity)
	runtime.KeepAlive(h)
	return slot, s.err()
}

// Capacity is the number of slots, vacant ones included; 0 once closed.
func (a *Affinity) Capacity() int {
	h := a.handle.Load()
	if h == nil {
		return 0
	}
	n := h.capacity()
	runtime.KeepAlive(h)
	return n
}

// CookieName is the cookie's name for a scope, an empty one being the configured one: what has to
// be stripped from requests and responses.
func (a *Affinity) CookieName(scope string) (string, error) {
	h := a.handle.Load()
	if h == nil {
		return "", ErrNotInitialised
	}
	name, s := h.cookieName(scope)
	runtime.KeepAlive(h)
	return name, s.err()
}

// IDHint gives the [Request.IDHint] of the client that of belongs to, the same on every replica. It
// is 1 to MaxKey bytes that no two clients share, else the error is ErrKeyLength.
func (a *Affinity) IDHint(of string) ([16]byte, error) {
	h := a.handle.Load()
	if h == nil {
		return [16]byte{}, ErrNotInitialised
	}
	hint, s := h.idHint(of)
	runtime.KeepAlive(h)
	return hint, s.err()
}

// Classify classifies a request by the configured table.
func (a *Affinity) Classify(method, target string) (Class, error) {
	h := a.handle.Load()
	if h == nil {
		return Class{}, ErrNotInitialised
	}
	class, s := h.classify(method, target)
	runtime.KeepAlive(h)
	return class, s.err()
}

// Fingerprint is the configuration's fingerprint. Replicas that show different ones do not agree on
// which token serves a key, or on which cookies are good.
func (a *Affinity) Fingerprint() (uint64, error) {
	h := a.handle.Load()
	if h == nil {
		return 0, ErrNotInitialised
	}
	fingerprint := h.fingerprint()
	runtime.KeepAlive(h)
	return fingerprint, nil
}

// LiveFingerprint is the fingerprint of the weights, and of the states that count at now, in unix
// seconds. It takes time linear in the number of slots.
func (a *Affinity) LiveFingerprint(now int64) (uint64, error) {
	h := a.handle.Load()
	if h == nil {
		return 0, ErrNotInitialised
	}
	fingerprint := h.liveFingerprint(now)
	runtime.KeepAlive(h)
	return fingerprint, nil
}
