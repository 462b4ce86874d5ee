package tokenpin

import (
	"crypto/rand"
	"fmt"
	"time"
)

// NoSlot is no slot.
const NoSlot int32 = -1

const (
	defaultSkew    = 300
	defaultMaxLife = 30 * 24 * 60 * 60
)

// Secret is a key of 16 bytes. It is never printed.
type Secret [16]byte

// Format writes "[secret]", whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[secret]")) }

// MarshalText gives "[secret]", so that encoders such as those of encoding/json and log/slog do not reveal it.
func (s Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// CookieKey is one key of the cookie key ring.
type CookieKey struct {
	ID     uint8 // the number that cookies carry to say which key signed them
	Role   Role
	Secret Secret
}

// SlotStatus is the state, weight and until of a slot.
type SlotStatus struct {
	// Until is the unix second from which a draining or down slot counts as up again: a cooldown without a
	// timer. 0 is never; at most MaxUntil.
	Until int64
	// Weight is 0 to MaxWeight. It is absolute: MaxWeight is always, 0 takes no session that is not pinned to
	// the slot.
	Weight uint32
	State  State
}

// Up is the status of a slot that serves at full weight.
var Up = SlotStatus{Weight: MaxWeight}

// SlotConfig is one slot of a token set.
type SlotConfig struct {
	// Identity names the account behind the token and outlives the token's secret; unique in the set. Empty
	// for a vacant slot.
	Identity string
	// Status is the first status. Of a vacant slot the state is StateVacant, and the rest is not looked at.
	Status SlotStatus
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

// Rule is one row of a classification table.
type Rule struct {
	Pattern string // one or more path segments, such as "files" or "messages/batches"
	Group   Group
}

// Config is everything that an affinity is built from. DefaultConfig sets the defaults; then PlacementKey,
// CookieKeys and Slots have to be set. New copies all of it.
type Config struct {
	// PlacementKey decides the mapping of keys. The same on all replicas; not all zero.
	PlacementKey Secret
	// CookieKeys is the cookie key ring, 1 to MaxCookieKeys keys of which exactly one signs.
	CookieKeys []CookieKey
	// Slots are the slots, 1 to MaxBuckets, vacant ones included.
	Slots []SlotConfig
	// Strategy is how a slot is selected.
	Strategy Strategy
	// Scope is the set of accounts that the affinity is about, 0 to MaxScope bytes, used where a request
	// brings none.
	Scope string
	// CookieName is the cookie's name; empty for the default name of the request's scope.
	CookieName string
	// Attributes are the cookie's attributes. Default Secure and HTTPOnly.
	Attributes Attributes
	// Rules is the classification table; empty for the default table.
	Rules []Rule
	// MaxAge is Max-Age in seconds; 0 for a session cookie; MaxAgeAuto, the default, for as long as the cookie
	// can be valid.
	MaxAge uint32
	// Skew is the tolerance for clocks that run ahead, in seconds. Default 300.
	Skew uint32
	// MaxLife is the longest life of a cookie since its first issue, in seconds; 0 for no limit. Default 30
	// days.
	MaxLife uint32
	// MaxIdle is the longest time between refreshes of a cookie, in seconds; 0, the default, for no limit.
	MaxIdle uint32
	// SuccessFirst and SuccessLast are the response statuses on which a cookie is set. Default 200 to 299.
	SuccessFirst, SuccessLast uint16
	// PolicyExisting is for requests that name existing state. Default PolicyFailFast.
	PolicyExisting Policy
	// PolicyNew is for all others. Default PolicyFallbackAndUpdate.
	PolicyNew Policy
	// CombineKeys uses consumer and session key together where a request has both.
	CombineKeys bool
	// RejectBadKeys rejects a request whose key is untrusted, ambiguous or too long. Else the next source is
	// tried.
	RejectBadKeys bool
	// KeyedCookies gives cookies to sessions that have a key.
	KeyedCookies bool
	// MintSingle mints cookies also where only one slot holds an account.
	MintSingle bool
	// PromptCache gives affinity to the prompt-cache group too.
	PromptCache bool
}

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
	}
}

// Request is what a decision looks at. Its strings and slices are borrowed for the call. The zero value is a
// valid start; Stamp fills in what every request needs.
type Request struct {
	// Method and Target, such as "/v1/responses?x=1", are read only to classify.
	Method, Target string
	// Consumers are the values of the consumer header. Empty ones do not count.
	Consumers []string
	// ConsumerTrusted says that they come from somebody who may name consumers.
	ConsumerTrusted bool
	// Sessions are the values of the session header. Empty ones do not count.
	Sessions []string
	// Cookies are the values of the Cookie fields.
	Cookies []string
	// Carried is a cookie's value that came in a header of its own; empty for none.
	Carried string
	// Carrier says that the answer goes back in that header. Taken for granted if Carried is not empty.
	Carrier bool
	// Scope is 0 to MaxScope bytes; empty for the configured one.
	Scope string
	// Tried are the slots that this request has tried already.
	Tried []int32
	// HasGroup says that Group is the group. Else Method and Target are classified.
	HasGroup bool
	Group    Group
	// Existing says that the request names existing state, whatever classification says. Set it where the body
	// does (previous_response_id, input_file_id, ...).
	Existing bool
	// IDHint is nil, or what becomes the id of a new session, so that parallel first requests of one client
	// agree: a PRF, under a key of this process, of something that belongs to one client alone.
	IDHint *[16]byte
	// Now is the wall clock in unix seconds. A negative one counts as 0.
	Now int64
	// Entropy is 16 fresh random bytes.
	Entropy [16]byte
}

// Stamp sets Now to the wall clock and Entropy to fresh random bytes. Nothing else in this package reads a
// clock or draws random numbers.
func (r *Request) Stamp() {
	r.Now = time.Now().Unix()
	_, _ = rand.Read(r.Entropy[:]) // never fails
}

// Decision is the answer to a request, to be kept until its response. It holds no pointers. Its cookie is not
// printed.
//
// The layout is that of the C structure, so that the library writes it in place; cgo.go checks that.
type Decision struct {
	digest uint64
	// Slot is the slot that serves, or NoSlot: then a local error is the answer.
	Slot   int32
	maxAge uint32
	// Source is where the affinity comes from.
	Source Source
	// Outcome is what the decision came to.
	Outcome Outcome
	// PinState is what became of the pinned token.
	PinState PinState
	// Verdict is what came of the request's cookies.
	Verdict Verdict
	// KeyReason is what became of the request's keys.
	KeyReason KeyReason
	// Ambiguous says that valid cookies with different ids were there.
	Ambiguous bool
	hasCookie bool
	carrier   bool
	hasSuffix bool
	suffix    [4]byte
	value     [CookieValueLen]byte
}

// Digest is the fingerprint of the configuration that decided.
func (d *Decision) Digest() uint64 { return d.digest }

// SetsCookie says whether a cookie goes back if the response is a success.
func (d *Decision) SetsCookie() bool { return d.hasCookie }

// Format writes what the decision came to, without its cookie, whatever the verb.
func (d Decision) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "slot %d, source %v, outcome %v, pin %v, verdict %v, key %v", d.Slot, d.Source, d.Outcome,
		d.PinState, d.Verdict, d.KeyReason)
}

// Key is an affinity key. The zero Key is that of an anonymous request.
type Key struct {
	Kind Kind
	// Key is a consumer name or a session key, 1 to MaxKey bytes; of a combined key the consumer name; of an
	// anonymous key the 16 bytes of the id, or nothing where none is needed.
	Key string
	// Session is the session key of a combined key. Not looked at for the other kinds.
	Session string
}

// Filter says which slots are candidates.
type Filter struct {
	// Now is the wall clock in unix seconds. A negative one counts as 0.
	Now int64
	// Tried are the slots that this request has tried already.
	Tried []int32
	// Anonymous says that the key is an anonymous id: draining slots are left out then.
	Anonymous bool
}

// Cookie is what a cookie says.
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

// Limits are how long cookies are good for, in seconds. 0 switches a limit off, except for Skew.
type Limits struct {
	Skew            uint32 // how far in the future another clock may have stamped a cookie
	MaxLife         uint32 // the longest life since the first issue
	MaxIdle         uint32 // the longest time since the latest issue
	RefreshInterval uint32 // a fifth of this after its latest issue a cookie is due to be issued anew
}

func unix(now int64) uint64 { return uint64(max(now, 0)) }
