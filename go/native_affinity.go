//go:build cgo && !purego

package tokenpin

/*
#include "native.h"

// A library of another version does not have this symbol, so it fails at link.
__attribute__((used)) static void (*const tp_link)(void) = tokenpin_abi_v1;

// See native.h.
#cgo noescape tp_decide
#cgo nocallback tp_decide
#cgo noescape tp_finish
#cgo nocallback tp_finish
#cgo noescape tp_find
#cgo nocallback tp_find
#cgo noescape tp_cookie_name
#cgo nocallback tp_cookie_name
#cgo noescape tp_id_hint
#cgo nocallback tp_id_hint
#cgo noescape tokenpin_affinity_set_slot
#cgo nocallback tokenpin_affinity_set_slot
#cgo noescape tokenpin_affinity_get_slot
#cgo nocallback tokenpin_affinity_get_slot
#cgo noescape tokenpin_affinity_capacity
#cgo nocallback tokenpin_affinity_capacity
#cgo noescape tokenpin_affinity_fingerprint
#cgo nocallback tokenpin_affinity_fingerprint
#cgo noescape tokenpin_affinity_live_fingerprint
#cgo nocallback tokenpin_affinity_live_fingerprint
*/
import "C"

import (
	"runtime"
	"slices"
	"strings"
	"unsafe"
)

// Decision, SlotStatus, Cookie, CookieKey and Limits are passed as they are. These do not compile
// where their layout is not that of the C structures.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(Decision{})-C.sizeof_tokenpin_decision]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.fingerprint)-unsafe.Offsetof(C.tokenpin_decision{}.fingerprint)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.Slot)-unsafe.Offsetof(C.tokenpin_decision{}.slot)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.maxAge)-unsafe.Offsetof(C.tokenpin_decision{}.max_age)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.RetryAfter)-unsafe.Offsetof(C.tokenpin_decision{}.retry_after)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.Source)-unsafe.Offsetof(C.tokenpin_decision{}.source)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.Outcome)-unsafe.Offsetof(C.tokenpin_decision{}.outcome)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.PinState)-unsafe.Offsetof(C.tokenpin_decision{}.pin_state)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.Verdict)-unsafe.Offsetof(C.tokenpin_decision{}.verdict)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.IDVerdict)-unsafe.Offsetof(C.tokenpin_decision{}.id_verdict)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.IDKeys)-unsafe.Offsetof(C.tokenpin_decision{}.id_keys)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.KeyReason)-unsafe.Offsetof(C.tokenpin_decision{}.key_reason)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.Ambiguous)-unsafe.Offsetof(C.tokenpin_decision{}.ambiguous)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.Existing)-unsafe.Offsetof(C.tokenpin_decision{}.existing)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.MayMove)-unsafe.Offsetof(C.tokenpin_decision{}.may_move)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.hasCookie)-unsafe.Offsetof(C.tokenpin_decision{}.cookie)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.carrier)-unsafe.Offsetof(C.tokenpin_decision{}.carrier)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.hasSuffix)-unsafe.Offsetof(C.tokenpin_decision{}.has_name_suffix)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.suffix)-unsafe.Offsetof(C.tokenpin_decision{}.name_suffix)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.value)-unsafe.Offsetof(C.tokenpin_decision{}.value)]

	_ = [1]struct{}{}[unsafe.Sizeof(SlotStatus{})-C.sizeof_tokenpin_slot_status]
	_ = [1]struct{}{}[unsafe.Offsetof(SlotStatus{}.Weight)-unsafe.Offsetof(C.tokenpin_slot_status{}.weight)]
	_ = [1]struct{}{}[unsafe.Offsetof(SlotStatus{}.State)-unsafe.Offsetof(C.tokenpin_slot_status{}.state)]

	_ = [1]struct{}{}[unsafe.Sizeof(Cookie{})-C.sizeof_tokenpin_cookie]
	_ = [1]struct{}{}[unsafe.Offsetof(Cookie{}.IssuedAt)-unsafe.Offsetof(C.tokenpin_cookie{}.issued_at)]
	_ = [1]struct{}{}[unsafe.Offsetof(Cookie{}.RefreshedAt)-unsafe.Offsetof(C.tokenpin_cookie{}.refreshed_at)]
	_ = [1]struct{}{}[unsafe.Offsetof(Cookie{}.ID)-unsafe.Offsetof(C.tokenpin_cookie{}.id)]
	_ = [1]struct{}{}[unsafe.Offsetof(Cookie{}.Kind)-unsafe.Offsetof(C.tokenpin_cookie{}.kind)]

	_ = [1]struct{}{}[unsafe.Sizeof(CookieKey{})-C.sizeof_tokenpin_cookie_key]
	_ = [1]struct{}{}[unsafe.Offsetof(CookieKey{}.Role)-unsafe.Offsetof(C.tokenpin_cookie_key{}.role)]
	_ = [1]struct{}{}[unsafe.Offsetof(CookieKey{}.Secret)-unsafe.Offsetof(C.tokenpin_cookie_key{}.secret)]

	_ = [1]struct{}{}[unsafe.Sizeof(Limits{})-C.sizeof_tokenpin_limits]
	_ = [1]struct{}{}[unsafe.Offsetof(Limits{}.MaxLife)-unsafe.Offsetof(C.tokenpin_limits{}.max_life)]
	_ = [1]struct{}{}[unsafe.Offsetof(Limits{}.MaxIdle)-unsafe.Offsetof(C.tokenpin_limits{}.max_idle)]
	_ = [1]struct{}{}[unsafe.Offsetof(Limits{}.RefreshInterval)-unsafe.Offsetof(C.tokenpin_limits{}.refresh_interval)]
)

func str(s string) C.tp_str {
	return C.tp_str{(*C.char)(unsafe.Pointer(unsafe.StringData(s))), C.size_t(len(s))}
}

func switched(on bool) C.uint8_t {
	if on {
		return 1
	}
	return 0
}

func numbers(slots []int32) (*C.uint32_t, C.size_t) {
	return (*C.uint32_t)(unsafe.Pointer(unsafe.SliceData(slots))), C.size_t(len(slots))
}

// room is the free part of a slice.
func room(dst []byte) (*C.char, C.size_t) {
	free := dst[len(dst):cap(dst)]
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(free))), C.size_t(len(free))
}

// nativeAffinity is an affinity of the C library.
type nativeAffinity struct {
	c *C.tokenpin_affinity
	// The allocator for tiny objects without Go pointers, which would delay the cleanup, does not
	// take this.
	_ [16]byte
}

func newNativeAffinity(config *Config) (*nativeAffinity, error) {
	var pinner runtime.Pinner
	defer pinner.Unpin()
	var c C.tokenpin_config
	defer func() { clear(c.placement_key[:]) }()
	C.tokenpin_config_init(&c, C.sizeof_tokenpin_config)
	if len(config.CookieKeys) > 0 {
		c.cookie_keys = (*C.tokenpin_cookie_key)(unsafe.Pointer(&config.CookieKeys[0]))
		pinner.Pin(c.cookie_keys)
	}
	c.cookie_key_count = C.size_t(len(config.CookieKeys))
	ids := &config.IDs
	if len(ids.Keys) > 0 {
		c.id_keys = (*C.tokenpin_cookie_key)(unsafe.Pointer(&ids.Keys[0]))
		pinner.Pin(c.id_keys)
	}
	c.id_key_count = C.size_t(len(ids.Keys))
	fields := make([]C.tokenpin_id_field, len(ids.Fields.Keys))
	for i, key := range ids.Fields.Keys {
		fields[i] = C.tokenpin_id_field{name: pinned(&pinner, key.Name), kind: C.uint8_t(key.Kind)}
	}
	if len(fields) > 0 {
		c.id_fields = &fields[0]
		pinner.Pin(c.id_fields)
	}
	c.id_field_count = C.size_t(len(fields))
	c.id_prefixes, c.id_prefix_count = pinnedAll(&pinner, ids.Fields.Prefixes)
	c.id_collections, c.id_collection_count = pinnedAll(&pinner, ids.Fields.Collections)
	c.id_mode = C.uint8_t(ids.Mode)
	c.id_owner = C.uint8_t(ids.Owner)
	c.foreign_seals = C.uint8_t(ids.ForeignSeals)
	c.encrypted_content = switched(ids.Encrypted)
	slots := make([]C.tokenpin_slot_config, len(config.Slots))
	for i := range slots {
		slot := &config.Slots[i]
		slots[i].identity = pinned(&pinner, slot.Identity)
		slots[i].status = *(*C.tokenpin_slot_status)(unsafe.Pointer(&slot.Status))
	}
	if len(slots) > 0 {
		c.slots = &slots[0]
		pinner.Pin(c.slots)
	}
	c.slot_count = C.size_t(len(slots))
	rules := nativeRules(&pinner, config.Rules)
	if len(rules) > 0 {
		c.rules = &rules[0]
		pinner.Pin(c.rules)
	}
	c.rule_count = C.size_t(len(rules))
	c.scope = pinned(&pinner, config.Scope)
	c.cookie_name = pinned(&pinner, config.CookieName)
	c.attributes = C.tokenpin_attributes{
		path:        pinned(&pinner, config.Attributes.Path),
		domain:      pinned(&pinner, config.Attributes.Domain),
		secure:      switched(config.Attributes.Secure),
		http_only:   switched(config.Attributes.HTTPOnly),
		same_site:   C.uint8_t(config.Attributes.SameSite),
		partitioned: switched(config.Attributes.Partitioned),
	}
	c.max_age = C.uint32_t(config.MaxAge)
	c.skew = C.uint32_t(config.Skew)
	c.max_life = C.uint32_t(config.MaxLife)
	c.max_idle = C.uint32_t(config.MaxIdle)
	c.success_first = C.uint16_t(config.SuccessFirst)
	c.success_last = C.uint16_t(config.SuccessLast)
	for i, b := range config.PlacementKey {
		c.placement_key[i] = C.uint8_t(b)
	}
	c.strategy = C.uint8_t(config.Strategy)
	c.policy_existing = C.uint8_t(config.PolicyExisting)
	c.policy_new = C.uint8_t(config.PolicyNew)
	c.combine_keys = switched(config.CombineKeys)
	c.reject_bad_keys = switched(config.RejectBadKeys)
	c.keyed_cookies = switched(config.KeyedCookies)
	c.mint_single = switched(config.MintSingle)
	c.prompt_cache = switched(config.PromptCache)
	c.replace_rules = switched(config.ReplaceRules)

	var e C.tokenpin_config_error
	a := new(nativeAffinity)
	if C.tokenpin_affinity_new(&c, &a.c, &e) != C.TOKENPIN_STATUS_OK {
		return nil, configError(&e)
	}
	runtime.AddCleanup(a, func(c *C.tokenpin_affinity) { C.tokenpin_affinity_free(c) }, a.c)
	return a, nil
}

func pinned(pinner *runtime.Pinner, s string) C.tokenpin_bytes {
	if s == "" {
		return C.tokenpin_bytes{}
	}
	p := unsafe.StringData(s)
	pinner.Pin(p)
	return C.tokenpin_bytes{unsafe.Pointer(p), C.size_t(len(s))}
}

func pinnedAll(pinner *runtime.Pinner, texts []string) (*C.tokenpin_bytes, C.size_t) {
	if len(texts) == 0 {
		return nil, 0
	}
	all := make([]C.tokenpin_bytes, len(texts))
	for i, text := range texts {
		all[i] = pinned(pinner, text)
	}
	pinner.Pin(&all[0])
	return &all[0], C.size_t(len(all))
}

func configError(e *C.tokenpin_config_error) error {
	return &ConfigError{Status(e.status), Field(e.field), int(e.index)}
}

func (a *nativeAffinity) decide(r *Request, d *Decision) Status {
	consumer0, consumer1 := firstTwo(r.Consumers)
	session0, session1 := firstTwo(r.Sessions)
	var cookies [4]string
	count := copy(cookies[:], r.Cookies)
	if len(r.Cookies) > len(cookies) {
		// Several fields are the same as one of theirs joined by semicolons.
		cookies[3] = strings.Join(r.Cookies[3:], ";")
	}
	tried, triedCount := numbers(r.Tried)
	return Status(C.tp_decide(a.c, str(r.Method), str(r.Target), str(consumer0), str(consumer1), str(session0),
		str(session1), str(cookies[0]), str(cookies[1]), str(cookies[2]), str(cookies[3]), C.size_t(count),
		str(r.CarrierValue), str(r.Scope), tried, triedCount, r.IDs.native(), C.uint64_t(unix(r.Now)),
		(*C.uint8_t)(unsafe.Pointer(r.IDHint)), (*C.uint8_t)(unsafe.Pointer(&r.Entropy)),
		C.tp_switches{switched(r.HasGroup), C.uint8_t(r.Group), switched(r.Existing), switched(r.ConsumerTrusted),
			switched(r.Carrier)},
		(*C.tokenpin_decision)(unsafe.Pointer(d))))
}

// firstTwo gives the values that count: none, one, and several that differ are distinguished, and
// empty ones are none.
func firstTwo(values []string) (first, second string) {
	for _, value := range values {
		switch {
		case value == "":
		case first == "":
			first = value
		case value != first:
			return first, value
		}
	}
	return first, ""
}

func (a *nativeAffinity) finish(dst []byte, d *Decision, status uint16) ([]byte, Answer, Status) {
	grown := dst
	for {
		var n C.size_t
		var answer C.uint8_t
		buffer, capacity := room(grown)
		s := Status(C.tp_finish(a.c, (*C.tokenpin_decision)(unsafe.Pointer(d)), C.uint16_t(status), buffer,
			capacity, &n, &answer))
		switch s {
		case StatusOK:
			return grown[:len(grown)+int(n)], Answer(answer), s
		case ErrBufferTooSmall:
			grown = slices.Grow(grown, int(n))
		default:
			return dst, AnswerNothing, s
		}
	}
}

func (a *nativeAffinity) setSlot(slot int32, status *SlotStatus) Status {
	return Status(C.tokenpin_affinity_set_slot(a.c, C.uint32_t(slot),
		(*C.tokenpin_slot_status)(unsafe.Pointer(status))))
}

func (a *nativeAffinity) getSlot(slot int32) (status SlotStatus, hash uint64, s Status) {
	s = Status(C.tokenpin_affinity_get_slot(a.c, C.uint32_t(slot),
		(*C.tokenpin_slot_status)(unsafe.Pointer(&status)), (*C.uint64_t)(&hash)))
	return status, hash, s
}

func (a *nativeAffinity) find(identity string) (int32, Status) {
	slot := C.uint32_t(C.TOKENPIN_SLOT_NONE)
	s := Status(C.tp_find(a.c, str(identity), &slot))
	return int32(slot), s
}

func (a *nativeAffinity) capacity() int {
	var n C.size_t
	C.tokenpin_affinity_capacity(a.c, &n)
	return int(n)
}

func (a *nativeAffinity) cookieName(scope string) (string, Status) {
	var buffer [MaxCookieName]byte
	var n C.size_t
	s := Status(C.tp_cookie_name(a.c, str(scope), (*C.char)(unsafe.Pointer(&buffer)), &n))
	return string(buffer[:n]), s
}

func (a *nativeAffinity) idHint(of string) (hint [16]byte, s Status) {
	s = Status(C.tp_id_hint(a.c, str(of), (*C.uint8_t)(&hint[0])))
	return hint, s
}

func (a *nativeAffinity) fingerprint() (fingerprint uint64) {
	C.tokenpin_affinity_fingerprint(a.c, (*C.uint64_t)(&fingerprint))
	return fingerprint
}

func (a *nativeAffinity) liveFingerprint(now int64) (fingerprint uint64) {
	C.tokenpin_affinity_live_fingerprint(a.c, C.uint64_t(unix(now)), (*C.uint64_t)(&fingerprint))
	return fingerprint
}
