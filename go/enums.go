package tokenpin

import "strconv"

// The numbers of all enums are those of the C interface, and their names, which String gives, are stable
// and fit for a metric's label. A number without a name is written as the number.

func name(names []string, number int) string {
	if number >= 0 && number < len(names) && names[number] != "" {
		return names[number]
	}
	return strconv.Itoa(number)
}

// Kind is what an affinity key is made of, and what a cookie belongs to.
type Kind uint8

const (
	KindAnonymous Kind = 0 // a random id that a cookie carries
	KindConsumer  Kind = 1 // a consumer name
	KindSession   Kind = 2 // a session key
	KindCombined  Kind = 3 // a consumer name and a session key
)

var kindNames = []string{"anonymous", "consumer", "session", "combined"}

// String gives the name of the kind, such as "consumer".
func (k Kind) String() string { return name(kindNames, int(k)) }

// State is what a slot does.
type State uint8

const (
	StateUp       State = 0 // serves everyone
	StateDraining State = 1 // keeps the sessions it has; anonymous newcomers go elsewhere
	StateDown     State = 2 // serves nobody
	StateVacant   State = 3 // holds no account; fixed when the slot is made
)

var stateNames = []string{"up", "draining", "down", "vacant"}

// String gives the name of the state, such as "draining".
func (s State) String() string { return name(stateNames, int(s)) }

// Strategy is how a slot is selected.
type Strategy uint8

const (
	// StrategyJump, the default: the jump consistent hash gives the home slot, and weighted rendezvous takes
	// over where the home slot does not serve.
	StrategyJump Strategy = 0
	// StrategyRendezvous is weighted rendezvous alone: insensitive to the order of the list and to deletions
	// in its middle; its cost grows with the number of slots.
	StrategyRendezvous Strategy = 1
	// StrategyHigressFNV1aModulo is what Higress ai-proxy does: FNV-1a modulo the number of accounts. For
	// migration only: anyone can aim a key at a slot, and changing the list moves most sessions.
	StrategyHigressFNV1aModulo Strategy = 2
)

var strategyNames = []string{"jump", "rendezvous", "higress_fnv1a_modulo"}

// String gives the name of the strategy, such as "jump".
func (s Strategy) String() string { return name(strategyNames, int(s)) }

// Role is what a cookie key is used for.
type Role uint8

const (
	RoleSign   Role = 0 // signs new cookies, and its cookies are valid; exactly one key of a ring
	RoleAccept Role = 1 // its cookies are valid and left alone
	RoleRetire Role = 2 // its cookies are valid and issued anew with the signing key
)

var roleNames = []string{"sign", "accept", "retire"}

// String gives the name of the role, such as "sign".
func (r Role) String() string { return name(roleNames, int(r)) }

// Verdict is what came of reading a cookie, in the order in which the checks are made: of several cookies,
// the one that came furthest counts.
type Verdict uint8

const (
	VerdictAbsent         Verdict = 0  // there was no cookie, or nobody looked
	VerdictMalformed      Verdict = 1  // not 67 base64url characters with zero trailing bits, or an undefined kind
	VerdictUnknownVersion Verdict = 2  // of another version of the format
	VerdictUnknownKey     Verdict = 3  // signed by a key that is not in the ring
	VerdictBadTag         Verdict = 4  // forged, damaged, or made for another name, scope or affinity key
	VerdictOtherKey       Verdict = 5  // genuine, but of another kind than the request
	VerdictNotYetValid    Verdict = 6  // issued or refreshed later than now plus the skew
	VerdictExpiredLife    Verdict = 7  // issued longer ago than the maximum life
	VerdictExpiredIdle    Verdict = 8  // refreshed longer ago than the maximum idle time
	VerdictValid          Verdict = 9  // usable
	VerdictRefreshDue     Verdict = 10 // usable, and to be issued anew
)

var verdictNames = []string{
	"absent", "malformed", "unknown_version", "unknown_key", "bad_tag", "other_key", "not_yet_valid",
	"expired_life", "expired_idle", "valid", "refresh_due",
}

// String gives the name of the verdict, such as "bad_tag".
func (v Verdict) String() string { return name(verdictNames, int(v)) }

// SameSite is when a browser sends the cookie across sites.
type SameSite uint8

const (
	SameSiteLax    SameSite = 0 // on top-level navigation only; the default
	SameSiteStrict SameSite = 1 // never
	SameSiteNone   SameSite = 2 // always; needs Secure
)

var sameSiteNames = []string{"lax", "strict", "none"}

// String gives the name of the value, such as "lax".
func (s SameSite) String() string { return name(sameSiteNames, int(s)) }

// Group is how an API treats accounts.
type Group uint8

const (
	GroupStateless   Group = 0 // any account will do
	GroupStateful    Group = 1 // state lives inside the account
	GroupPromptCache Group = 2 // any account will do, and the one with the warm prompt cache does it cheaper
)

var groupNames = []string{"stateless", "stateful", "prompt_cache"}

// String gives the name of the group, such as "stateful".
func (g Group) String() string { return name(groupNames, int(g)) }

// Policy is what to do with a pinned request whose token is down or was tried.
type Policy uint8

const (
	// PolicyFailFast refuses: another account would not know the state.
	PolicyFailFast Policy = 0
	// PolicyFallbackAndUpdate selects another token, and pins the session to it if the request creates state
	// there and succeeds.
	PolicyFallbackAndUpdate Policy = 1
	// PolicyFallbackWithoutUpdate selects another token for this request; the session returns when its own
	// recovers.
	PolicyFallbackWithoutUpdate Policy = 2
)

var policyNames = []string{"fail_fast", "fallback_and_update", "fallback_without_update"}

// String gives the name of the policy, such as "fail_fast".
func (p Policy) String() string { return name(policyNames, int(p)) }

// Source is where the affinity of a request comes from.
type Source uint8

const (
	SourceNone      Source = 0 // affinity was wanted, but there was nothing to take it from, and nothing was minted
	SourceStateless Source = 1 // the request needs no affinity
	SourceConsumer  Source = 2 // the consumer name
	SourceSession   Source = 3 // the session key
	SourceCombined  Source = 4 // consumer name and session key together
	SourceCookie    Source = 5 // the id in a valid anonymous cookie
	SourceMinted    Source = 6 // a new anonymous id
)

var sourceNames = []string{"none", "stateless", "consumer", "session", "combined", "cookie", "minted"}

// String gives the name of the source, such as "cookie".
func (s Source) String() string { return name(sourceNames, int(s)) }

// Outcome is what a decision came to.
type Outcome uint8

const (
	OutcomePlaced   Outcome = 0 // selected; no pin had a say
	OutcomePinned   Outcome = 1 // the pinned token serves
	OutcomeRepinned Outcome = 2 // the pinned token cannot serve; another does, and becomes the pin on success
	OutcomeFallback Outcome = 3 // the pinned token cannot serve; another does, for this request only
	OutcomeRetried  Outcome = 4 // selected past the slots tried already; no pin had a say
	OutcomeRejected Outcome = 5 // refused by a policy, or for its keys
	OutcomeNone     Outcome = 6 // no slot can serve
)

var outcomeNames = []string{"placed", "pinned", "repinned", "fallback", "retried", "rejected", "none"}

// String gives the name of the outcome, such as "pinned".
func (o Outcome) String() string { return name(outcomeNames, int(o)) }

// PinState is what became of the pinned token.
type PinState uint8

const (
	PinStateNone      PinState = 0 // the request has no pin
	PinStateHome      PinState = 1 // up, and where the session would be placed without its pin
	PinStateElsewhere PinState = 2 // up, and elsewhere: without its pin, the session would move
	PinStateDraining  PinState = 3 // draining
	PinStateDown      PinState = 4 // down
	PinStateGone      PinState = 5 // not in the set
)

var pinStateNames = []string{"none", "home", "elsewhere", "draining", "down", "gone"}

// String gives the name of the pin state, such as "home".
func (p PinState) String() string { return name(pinStateNames, int(p)) }

// KeyReason is what became of the request's keys: of the first that could not be used, why, else ok if one
// is used.
type KeyReason uint8

const (
	KeyReasonOK            KeyReason = 0 // a key is used
	KeyReasonAbsent        KeyReason = 1 // there was none, or nobody looked
	KeyReasonUntrusted     KeyReason = 2 // a consumer name came from somebody who is not trusted to give one
	KeyReasonSeveralValues KeyReason = 3 // several values where one is expected
	KeyReasonTooLong       KeyReason = 4 // over MaxKey bytes
)

var keyReasonNames = []string{"ok", "absent", "untrusted", "several_values", "too_long"}

// String gives the name of the reason, such as "untrusted".
func (k KeyReason) String() string { return name(keyReasonNames, int(k)) }

// Answer is what Finish wrote.
type Answer uint8

const (
	AnswerNothing   Answer = 0 // nothing goes back
	AnswerSetCookie Answer = 1 // the value of a Set-Cookie field
	AnswerCarrier   Answer = 2 // the value of the carrier header
)

var answerNames = []string{"nothing", "set_cookie", "carrier"}

// String gives the name of the answer, such as "set_cookie".
func (a Answer) String() string { return name(answerNames, int(a)) }

// Field is the part of a configuration that a ConfigError is about.
type Field uint8

const (
	FieldConfig         Field = 0 // the configuration as a whole
	FieldPlacementKey   Field = 1
	FieldCookieKeys     Field = 2 // the index is the position in the ring
	FieldSlots          Field = 3 // the index is the slot's number
	FieldScope          Field = 4
	FieldCookieName     Field = 5
	FieldPath           Field = 6
	FieldDomain         Field = 7
	FieldMaxAge         Field = 8
	FieldSecure         Field = 9
	FieldSameSite       Field = 10
	FieldPartitioned    Field = 11
	FieldSuccess        Field = 12
	FieldRules          Field = 13 // the index is the position in the table
	FieldIndex          Field = 14 // the memory for the pin index
	FieldStrategy       Field = 15
	FieldPolicyExisting Field = 16
	FieldPolicyNew      Field = 17
	FieldHTTPOnly       Field = 18
	FieldCombineKeys    Field = 19
	FieldRejectBadKeys  Field = 20
	FieldKeyedCookies   Field = 21
	FieldMintSingle     Field = 22
	FieldPromptCache    Field = 23
)

var fieldNames = []string{
	"config", "placement_key", "cookie_keys", "slots", "scope", "cookie_name", "path", "domain", "max_age",
	"secure", "same_site", "partitioned", "success", "rules", "index", "strategy", "policy_existing",
	"policy_new", "http_only", "combine_keys", "reject_bad_keys", "keyed_cookies", "mint_single",
	"prompt_cache",
}

// String gives the name of the field, such as "cookie_keys".
func (f Field) String() string { return name(fieldNames, int(f)) }
