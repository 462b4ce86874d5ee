package tokenpin

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

// Config is the input of an affinity. DefaultConfig sets the defaults; then PlacementKey,
// CookieKeys and Slots have to be set. New copies all of it.
type Config struct {
	// PlacementKey decides the mapping of keys. The same on all replicas; not all zero.
	PlacementKey Secret
	// CookieKeys is the cookie key ring, 1 to MaxCookieKeys keys of which exactly one signs.
	CookieKeys []CookieKey
	// Slots are the slots, 1 to MaxBuckets, vacant ones included.
	Slots []SlotConfig
	// Strategy selects slots. Default StrategyJump.
	Strategy Strategy
	// Scope names the set of accounts that the affinity is about, in 0 to MaxScope bytes. It is used
	// if a request has none.
	Scope string
	// CookieName is the cookie's name; empty for the default name of the request's scope.
	CookieName string
	// Attributes are the cookie's attributes. Default Secure and HTTPOnly.
	Attributes Attributes
	// Rules is the classification table: these rules, and behind them the default ones.
	Rules []Rule
	// MaxAge is Max-Age in seconds. 0 is a session cookie. MaxAgeAuto, the default, is as long as the
	// cookie can be valid.
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
	// CombineKeys uses consumer and session key together if a request has both.
	CombineKeys bool
	// RejectBadKeys rejects a request whose key is untrusted, ambiguous or too long, instead of trying
	// the next source.
	RejectBadKeys bool
	// KeyedCookies gives cookies to sessions that have a key.
	KeyedCookies bool
	// MintSingle mints cookies also if only one slot holds an account.
	MintSingle bool
	// PromptCache gives affinity to the prompt-cache group too.
	PromptCache bool
	// ReplaceRules leaves the default rules out of the classification table.
	ReplaceRules bool
	// IDs is the treatment of ids.
	IDs IDConfig
}

const (
	defaultSkew    = 300
	defaultMaxLife = 30 * 24 * 60 * 60
)

// DefaultConfig returns the defaults. PlacementKey, CookieKeys and Slots have to be set.
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

// Affinity decides which slot serves a request. It is built once from a configuration, and is
// immutable except for the status of its slots. Any number of goroutines may call all its methods
// concurrently, Close included; none waits for another.
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

// Close ends the life of the affinity: later calls return ErrNotInitialised. Calls under way
// continue. The first garbage collection after the last of them wipes the secrets and frees the
// memory. An affinity that is dropped without Close is wiped and freed in the same way. So when a
// new configuration takes over, just drop the old affinity, and finish the decisions that it made
// with it. The error is always nil.
func (a *Affinity) Close() error {
	a.handle.Store(nil)
	return nil
}

// Request is the input of a decision. Its strings and slices are borrowed for the call. The zero
// value is a valid start. Stamp sets the time and the random bytes.
type Request struct {
	// Method and Target, such as "/v1/responses?x=1", are only read to classify. With HasGroup, the
	// method still says whether the request names existing state. Use CONNECT for a WebSocket
	// handshake, also if it is a GET with Upgrade: a handshake reads nothing, and its connection may
	// create state.
	Method, Target string
	// Consumers are the values of the consumer header. Empty ones are skipped, and equal ones count as
	// one.
	Consumers []string
	// ConsumerTrusted says that they come from a source that may name consumers.
	ConsumerTrusted bool
	// Sessions are the values of the session header. Empty ones are skipped, and equal ones count as
	// one.
	Sessions []string
	// Cookies are the values of the Cookie fields.
	Cookies []string
	// CarrierValue is a cookie's value that came in a separate header; empty for none.
	CarrierValue string
	// Carrier says that the response returns the cookie in that header. Implied if CarrierValue is not
	// empty.
	Carrier bool
	// Scope is 0 to MaxScope bytes; empty for the configured one.
	Scope string
	// Tried are the slots that this request has tried already.
	Tried []int32
	// HasGroup says that Group is the group. Otherwise Method and Target are classified.
	HasGroup bool
	Group    Group
	// Existing says that the request names existing state. Then it is stateful, regardless of group,
	// method and target. Set it if the body names state (previous_response_id, input_file_id, ...);
	// the library learns that only from IDs.
	Existing bool
	// IDs is the summary of the ids in path, query and body; nil if they were not read.
	IDs *IDSummary
	// IDHint is nil, or the 16 bytes that become the id of a new session, so that parallel first
	// requests of one client agree: [Affinity.IDHint] of something that belongs to only one client.
	// Not a connection behind a CDN, which carries many clients, and not an address behind a NAT. Nil
	// if in doubt.
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

// Decision is the answer to a request. Keep it until the response. It holds no pointers, and its
// cookie is never printed.
//
// The layout is that of the C structure, so that the library writes it in place; native_affinity.go
// checks that.
type Decision struct {
	fingerprint uint64
	// Slot is the slot that serves, or NoSlot: then the host answers with an error itself.
	Slot   int32
	maxAge uint32
	// RetryAfter is, without a slot, the number of seconds until the first slot that can serve the
	// request is up again; under fail_fast, and for an id, until the pinned slot is. At most 1<<32 -
	// 1. 0 if that is unknown, if the slot can serve now but was tried, if the keys or ids were
	// refused, and if a slot serves.
	RetryAfter uint32
	// Source is the source of the affinity.
	Source Source
	// Outcome is the outcome.
	Outcome Outcome
	// PinState is the state of the pinned token.
	PinState PinState
	// Verdict is the verdict on the request's cookies.
	Verdict Verdict
	// IDVerdict is the verdict on the request's ids.
	IDVerdict IDVerdict
	// IDKeys are numbers of keys, 255 for none: the key of the id that names the account or is
	// refused, and for a conflict both keys. [Affinity.IDKey] spells them.
	IDKeys [2]uint8
	// KeyReason says why a key of the request was not used.
	KeyReason KeyReason
	// Ambiguous says that valid cookies with different ids came.
	Ambiguous bool
	// Existing says that the request names existing state, according to its method, its target, its
	// ids or the caller.
	Existing bool
	// MayMove says that a host may send the request to another token when this one refuses it. Such a
	// request names no state, and the state that it creates will be looked for at the token that
	// created it.
	MayMove   bool
	hasCookie bool
	carrier   bool
	hasSuffix bool
	suffix    [4]byte
	value     [CookieValueLen]byte
}

// Fingerprint is the fingerprint of the configuration that decided.
func (d *Decision) Fingerprint() uint64 { return d.fingerprint }

// Refusal returns the refusal with which a host answers if no slot serves, whose name is the code,
// and the HTTP status.
func (d *Decision) Refusal() (refusal Refusal, status int) {
	refusal, code := backend{}.refusal(d)
	return refusal, int(code)
}

// SetsCookie reports whether a cookie is returned if the response is a success.
func (d *Decision) SetsCookie() bool { return d.hasCookie }

// Format writes the decision without its cookie, for any verb.
func (d Decision) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "slot %d, source %v, outcome %v, pin %v, verdict %v, id %v, key %v", d.Slot, d.Source, d.Outcome,
		d.PinState, d.Verdict, d.IDVerdict, d.KeyReason)
}

// Decide decides which slot serves a request, and prepares the cookie that the response sets. With
// an error, the decision names no slot. The errors are ErrScopeLength, ErrSlotRange (of Tried),
// ErrEntropy if randomness is needed and all zero, ErrTime if a cookie is to be issued after the
// year 2106, and ErrBadEnum (of Group).
//
// It allocates nothing, unless the request has more than four Cookie fields. It costs about one
// selection, and one SipHash for each cookie of the affinity's name, up to 64.
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

// Finish ends a request. If its response's status is a success and there is a cookie to set, Finish
// appends the value of a Set-Cookie field, or of the carrier header, to dst. It only formats, and
// allocates only if dst has no room; MaxSetCookie bytes suffice.
//
// ErrStale says that another configuration decided: keep the affinity that decides until the
// response. With every error, dst is returned unchanged.
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

// Find returns the slot of the account that identity names, or NoSlot if there is none.
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

// CookieName returns the cookie's name for a scope. An empty scope is the configured one. Strip the
// cookie with this name from requests, and from the upstream's responses.
func (a *Affinity) CookieName(scope string) (string, error) {
	h := a.handle.Load()
	if h == nil {
		return "", ErrNotInitialised
	}
	name, s := h.cookieName(scope)
	runtime.KeepAlive(h)
	return name, s.err()
}

// IDHint returns the [Request.IDHint] of the client that of belongs to. It is the same on every
// replica. of is 1 to MaxKey bytes that no two clients share; otherwise the error is ErrKeyLength.
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

// LiveFingerprint returns the fingerprint of the weights, and of the states that count at now, in
// unix seconds. It is linear in the number of slots.
func (a *Affinity) LiveFingerprint(now int64) (uint64, error) {
	h := a.handle.Load()
	if h == nil {
		return 0, ErrNotInitialised
	}
	fingerprint := h.liveFingerprint(now)
	runtime.KeepAlive(h)
	return fingerprint, nil
}
