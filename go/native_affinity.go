//go:build cgo && !purego

package tokenpin

/*
#if !__has_include(<tokenpin.h>)
#error "tokenpin.h is missing. In a checkout of tokenpin, run `make go-lib`. With an installed library, build with `-tags tokenpin_pkgconfig`. For pure Go, build with CGO_ENABLED=0 or `-tags purego`."
#else
#include <tokenpin.h>
#if TOKENPIN_ABI_VERSION != 1
#error "This Go module speaks version 1 of tokenpin's C interface, and tokenpin.h is of another version: take both from the same release."
#endif
#endif

// A library of another version does not have this symbol, so it fails at link.
__attribute__((used)) static void (*const tp_link)(void) = tokenpin_abi_v1;

// What follows builds the library's structures on the C stack, from arguments that cgo passes without copying
// what they point to. Each parameter points to Go memory without Go pointers in it, as cgo demands.

typedef struct {
  const char *ptr;
  size_t len;
} tp_str;

static inline tokenpin_bytes tp_bytes(tp_str s) { return (tokenpin_bytes){s.ptr, s.len}; }

typedef struct {
  uint8_t has_group, group, existing, trusted, carrier;
} tp_switches;

static inline int32_t tp_decide(const tokenpin_affinity *affinity, tp_str method, tp_str target, tp_str consumer0,
                                tp_str consumer1, tp_str session0, tp_str session1, tp_str cookie0, tp_str cookie1,
                                tp_str cookie2, tp_str cookie3, size_t cookie_count, tp_str carried, tp_str scope,
                                const uint32_t *tried, size_t tried_count, uint64_t now, const uint8_t *id_hint,
                                const uint8_t *entropy, tp_switches switches, tokenpin_decision *decision) {
  tokenpin_bytes consumers[] = {tp_bytes(consumer0), tp_bytes(consumer1)};
  tokenpin_bytes sessions[] = {tp_bytes(session0), tp_bytes(session1)};
  tokenpin_bytes cookies[] = {tp_bytes(cookie0), tp_bytes(cookie1), tp_bytes(cookie2), tp_bytes(cookie3)};
  tokenpin_request request = {
      .method = tp_bytes(method),
      .target = tp_bytes(target),
      .consumers = consumers,
      .consumer_count = 2,
      .sessions = sessions,
      .session_count = 2,
      .cookies = cookies,
      .cookie_count = cookie_count,
      .carried = tp_bytes(carried),
      .scope = tp_bytes(scope),
      .tried = tried,
      .tried_count = tried_count,
      .now = now,
      .id_hint = id_hint,
      .has_group = switches.has_group,
      .group = switches.group,
      .existing = switches.existing,
      .consumer_trusted = switches.trusted,
      .carrier = switches.carrier,
  };
  for (int i = 0; i < 16; i++) request.entropy[i] = entropy[i];
  return tokenpin_affinity_decide(affinity, &request, decision);
}

static inline int32_t tp_finish(const tokenpin_affinity *affinity, const tokenpin_decision *decision, uint16_t status,
                                char *buffer, size_t capacity, size_t *len, uint8_t *answer) {
  return tokenpin_affinity_finish(affinity, decision, status, buffer, capacity, len, answer);
}

static inline int32_t tp_find(const tokenpin_affinity *affinity, tp_str identity, uint32_t *slot) {
  return tokenpin_affinity_find(affinity, identity.ptr, identity.len, slot);
}

static inline int32_t tp_cookie_name(const tokenpin_affinity *affinity, tp_str scope, char *buffer, size_t *len) {
  return tokenpin_affinity_cookie_name(affinity, scope.ptr, scope.len, buffer, TOKENPIN_MAX_COOKIE_NAME, len);
}

static inline int32_t tp_affinity_classify(const tokenpin_affinity *affinity, tp_str method, tp_str target,
                                           uint8_t *group, uint8_t *existing) {
  return tokenpin_affinity_classify(affinity, method.ptr, method.len, target.ptr, target.len, group, existing);
}

static inline int32_t tp_select(uint8_t strategy, const tokenpin_slot *slots, size_t count, uint64_t now,
                                const uint32_t *tried, size_t tried_count, uint8_t anonymous, uint64_t hash,
                                uint32_t fnv1a, uint32_t *slot) {
  tokenpin_filter filter = {now, tried, tried_count, anonymous};
  return tokenpin_select(strategy, slots, count, &filter, hash, fnv1a, slot);
}

static inline int32_t tp_select_batch(uint8_t strategy, const tokenpin_slot *slots, size_t count, uint64_t now,
                                      const uint32_t *tried, size_t tried_count, uint8_t anonymous,
                                      const uint64_t *hashes, const uint32_t *fnv1as, size_t hash_count,
                                      uint32_t *selected) {
  tokenpin_filter filter = {now, tried, tried_count, anonymous};
  return tokenpin_select_batch(strategy, slots, count, &filter, hashes, fnv1as, hash_count, selected);
}

static inline int32_t tp_slot_init(tokenpin_slot *slot, tp_str identity, const tokenpin_slot_status *status) {
  if (status->state == TOKENPIN_STATE_VACANT && identity.len == 0) return tokenpin_slot_init_vacant(slot);
  return tokenpin_slot_init(slot, identity.ptr, identity.len, status);
}

static inline int32_t tp_identity_hash(tp_str identity, uint64_t *hash) {
  return tokenpin_identity_hash(identity.ptr, identity.len, hash);
}

static inline tokenpin_key tp_key(uint8_t kind, tp_str key, tp_str session) {
  return (tokenpin_key){kind, tp_bytes(key), tp_bytes(session)};
}

static inline int32_t tp_key_hash(const uint8_t *placement_key, tp_str scope, uint8_t kind, tp_str key, tp_str session,
                                  uint64_t *hash) {
  tokenpin_key whole = tp_key(kind, key, session);
  return tokenpin_key_hash(placement_key, scope.ptr, scope.len, &whole, hash);
}

static inline int32_t tp_fnv1a32(uint8_t kind, tp_str key, tp_str session, uint32_t *hash) {
  tokenpin_key whole = tp_key(kind, key, session);
  return tokenpin_fnv1a32(&whole, hash);
}

static inline int32_t tp_encode(const tokenpin_key_ring *ring, tp_str name, tp_str scope, uint8_t kind, tp_str key,
                                tp_str session, const tokenpin_cookie *cookie, char *value) {
  tokenpin_key whole = tp_key(kind, key, session);
  const tokenpin_key *bound = kind == TOKENPIN_KIND_ANONYMOUS && key.len == 0 ? NULL : &whole;
  return tokenpin_cookie_encode(ring, name.ptr, name.len, scope.ptr, scope.len, bound, cookie, value);
}

static inline int32_t tp_decode(const tokenpin_key_ring *ring, tp_str name, tp_str scope, uint8_t kind, tp_str key,
                                tp_str session, const tokenpin_limits *limits, uint64_t now, tp_str value,
                                uint8_t *verdict, tokenpin_cookie *cookie) {
  tokenpin_key whole = tp_key(kind, key, session);
  const tokenpin_key *wanted = kind == TOKENPIN_KIND_ANONYMOUS && key.len == 0 ? NULL : &whole;
  return tokenpin_cookie_decode(ring, name.ptr, name.len, scope.ptr, scope.len, wanted, limits, now, value.ptr,
                                value.len, verdict, cookie);
}

static inline int32_t tp_default_name(tp_str scope, char *buffer, size_t *len) {
  return tokenpin_cookie_default_name(scope.ptr, scope.len, buffer, TOKENPIN_MAX_COOKIE_NAME, len);
}

// The position of the value instead of a pointer to it.
static inline int32_t tp_cookie_next(tp_str field, tp_str name, size_t *offset, size_t *start, size_t *len) {
  tokenpin_bytes value;
  int32_t status = tokenpin_cookie_next(field.ptr, field.len, name.ptr, name.len, offset, &value);
  if (status != TOKENPIN_STATUS_OK) return status;
  *len = value.len;
  *start = value.len == 0 ? 0 : (size_t)((const char *)value.ptr - field.ptr);
  return status;
}

static inline int32_t tp_strip(tp_str field, tp_str name, char *buffer, size_t capacity, size_t *len) {
  return tokenpin_cookie_strip(field.ptr, field.len, name.ptr, name.len, buffer, capacity, len);
}

static inline int32_t tp_set_cookie(tp_str name, tp_str value, tp_str path, tp_str domain, uint8_t secure,
                                    uint8_t http_only, uint8_t same_site, uint8_t partitioned, uint32_t max_age,
                                    char *buffer, size_t capacity, size_t *len) {
  tokenpin_attributes attributes = {tp_bytes(path), tp_bytes(domain), secure, http_only, same_site, partitioned};
  return tokenpin_set_cookie_write(name.ptr, name.len, value.ptr, value.len, &attributes, max_age, buffer, capacity,
                                   len);
}

static inline int32_t tp_matches(tp_str field, tp_str name, uint8_t *matches) {
  return tokenpin_set_cookie_matches(field.ptr, field.len, name.ptr, name.len, matches);
}

static inline int32_t tp_classify(const tokenpin_rule *rules, size_t rule_count, uint8_t prompt_cache, tp_str method,
                                  tp_str target, uint8_t *group, uint8_t *existing) {
  return tokenpin_classify(rules, rule_count, prompt_cache, method.ptr, method.len, target.ptr, target.len, group,
                           existing);
}

// The library calls nobody back, and keeps no pointer that is passed on the way of a request.
#cgo noescape tp_decide
#cgo nocallback tp_decide
#cgo noescape tp_finish
#cgo nocallback tp_finish
#cgo noescape tp_find
#cgo nocallback tp_find
#cgo noescape tp_cookie_name
#cgo nocallback tp_cookie_name
#cgo noescape tp_affinity_classify
#cgo nocallback tp_affinity_classify
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
#cgo noescape tp_select
#cgo nocallback tp_select
#cgo noescape tp_select_batch
#cgo nocallback tp_select_batch
#cgo noescape tp_slot_init
#cgo nocallback tp_slot_init
#cgo noescape tokenpin_slot_set
#cgo nocallback tokenpin_slot_set
#cgo noescape tokenpin_slot_get
#cgo nocallback tokenpin_slot_get
#cgo noescape tokenpin_jump
#cgo nocallback tokenpin_jump
#cgo noescape tp_identity_hash
#cgo nocallback tp_identity_hash
#cgo noescape tp_key_hash
#cgo nocallback tp_key_hash
#cgo noescape tp_fnv1a32
#cgo nocallback tp_fnv1a32
#cgo noescape tp_encode
#cgo nocallback tp_encode
#cgo noescape tp_decode
#cgo nocallback tp_decode
#cgo noescape tp_default_name
#cgo nocallback tp_default_name
#cgo noescape tp_cookie_next
#cgo nocallback tp_cookie_next
#cgo noescape tp_strip
#cgo nocallback tp_strip
#cgo noescape tp_set_cookie
#cgo nocallback tp_set_cookie
#cgo noescape tp_matches
#cgo nocallback tp_matches
#cgo noescape tp_classify
#cgo nocallback tp_classify
*/
import "C"

import (
	"runtime"
	"slices"
	"strings"
	"unsafe"
)

// Decision, SlotStatus, Cookie, CookieKey and Limits are passed as they are. These do not compile where their
// layout is not that of the C structures.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(Decision{})-C.sizeof_tokenpin_decision]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.Slot)-unsafe.Offsetof(C.tokenpin_decision{}.slot)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.maxAge)-unsafe.Offsetof(C.tokenpin_decision{}.max_age)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.Source)-unsafe.Offsetof(C.tokenpin_decision{}.source)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.Outcome)-unsafe.Offsetof(C.tokenpin_decision{}.outcome)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.PinState)-unsafe.Offsetof(C.tokenpin_decision{}.pin_state)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.Verdict)-unsafe.Offsetof(C.tokenpin_decision{}.verdict)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.KeyReason)-unsafe.Offsetof(C.tokenpin_decision{}.key_reason)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.Ambiguous)-unsafe.Offsetof(C.tokenpin_decision{}.ambiguous)]
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
	// The allocator for tiny objects without Go pointers, which would delay the cleanup, does not take this.
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

func nativeRules(pinner *runtime.Pinner, rules []Rule) []C.tokenpin_rule {
	made := make([]C.tokenpin_rule, len(rules))
	for i, rule := range rules {
		made[i] = C.tokenpin_rule{pattern: pinned(pinner, rule.Pattern), group: C.uint8_t(rule.Group)}
	}
	return made
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
		str(r.Carried), str(r.Scope), tried, triedCount, C.uint64_t(unix(r.Now)),
		(*C.uint8_t)(unsafe.Pointer(r.IDHint)), (*C.uint8_t)(unsafe.Pointer(&r.Entropy)),
		C.tp_switches{switched(r.HasGroup), C.uint8_t(r.Group), switched(r.Existing), switched(r.ConsumerTrusted),
			switched(r.Carrier)},
		(*C.tokenpin_decision)(unsafe.Pointer(d))))
}

// firstTwo gives the values that count: none, one, and several are told apart, and empty ones are none.
func firstTwo(values []string) (first, second string) {
	for _, value := range values {
		switch {
		case value == "":
		case first == "":
			first = value
		default:
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

func (a *nativeAffinity) slot(slot int32) (status SlotStatus, hash uint64, s Status) {
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

func (a *nativeAffinity) classify(method, target string) (Group, bool, Status) {
	var group, existing C.uint8_t
	s := Status(C.tp_affinity_classify(a.c, str(method), str(target), &group, &existing))
	return Group(group), existing == 1, s
}

func (a *nativeAffinity) fingerprint() (fingerprint uint64) {
	C.tokenpin_affinity_fingerprint(a.c, (*C.uint64_t)(&fingerprint))
	return fingerprint
}

func (a *nativeAffinity) liveFingerprint(now int64) (fingerprint uint64) {
	C.tokenpin_affinity_live_fingerprint(a.c, C.uint64_t(unix(now)), (*C.uint64_t)(&fingerprint))
	return fingerprint
}

// nativeSlots are slots of the C library, in Go memory.
type nativeSlots []C.tokenpin_slot

func newNativeSlots(config []SlotConfig) (nativeSlots, error) {
	slots := make(nativeSlots, len(config))
	for i := range config {
		s := Status(C.tp_slot_init(&slots[i], str(config[i].Identity),
			(*C.tokenpin_slot_status)(unsafe.Pointer(&config[i].Status))))
		if s != StatusOK {
			return nil, &ConfigError{s, FieldSlots, i}
		}
	}
	return slots, nil
}

func (s nativeSlots) set(slot int32, status *SlotStatus) Status {
	return Status(C.tokenpin_slot_set(&s[slot], (*C.tokenpin_slot_status)(unsafe.Pointer(status))))
}

func (s nativeSlots) get(slot int32) (status SlotStatus, st Status) {
	st = Status(C.tokenpin_slot_get(&s[slot], (*C.tokenpin_slot_status)(unsafe.Pointer(&status))))
	return status, st
}

func (s nativeSlots) choose(strategy Strategy, f *Filter, hash uint64, fnv1a uint32) (int32, Status) {
	slot := C.uint32_t(C.TOKENPIN_SLOT_NONE)
	tried, triedCount := numbers(f.Tried)
	st := Status(C.tp_select(C.uint8_t(strategy), unsafe.SliceData(s), C.size_t(len(s)), C.uint64_t(unix(f.Now)),
		tried, triedCount, switched(f.Anonymous), C.uint64_t(hash), C.uint32_t(fnv1a), &slot))
	return int32(slot), st
}

func (s nativeSlots) chooseBatch(selected []int32, strategy Strategy, f *Filter, hashes []uint64, fnv1as []uint32) Status {
	tried, triedCount := numbers(f.Tried)
	out, count := numbers(selected)
	return Status(C.tp_select_batch(C.uint8_t(strategy), unsafe.SliceData(s), C.size_t(len(s)),
		C.uint64_t(unix(f.Now)), tried, triedCount, switched(f.Anonymous),
		(*C.uint64_t)(unsafe.SliceData(hashes)), (*C.uint32_t)(unsafe.SliceData(fnv1as)), count, out))
}

// nativeRing is a key ring of the C library, in Go memory.
type nativeRing struct{ c *C.tokenpin_key_ring }

func newNativeRing(keys []CookieKey, placementKey *Secret) (*nativeRing, error) {
	r := &nativeRing{new(C.tokenpin_key_ring)}
	var e C.tokenpin_config_error
	if C.tokenpin_key_ring_init(r.c, (*C.tokenpin_cookie_key)(unsafe.Pointer(unsafe.SliceData(keys))),
		C.size_t(len(keys)), (*C.uint8_t)(unsafe.Pointer(placementKey)), &e) != C.TOKENPIN_STATUS_OK {
		return nil, configError(&e)
	}
	runtime.AddCleanup(r, func(c *C.tokenpin_key_ring) { C.tokenpin_key_ring_wipe(c) }, r.c)
	return r, nil
}

func (r *nativeRing) encode(name, scope string, key *Key, cookie *Cookie, value *[CookieValueLen]byte) Status {
	return Status(C.tp_encode(r.c, str(name), str(scope), C.uint8_t(key.Kind), str(key.Key), str(key.Session),
		(*C.tokenpin_cookie)(unsafe.Pointer(cookie)), (*C.char)(unsafe.Pointer(value))))
}

func (r *nativeRing) decode(name, scope string, key *Key, limits *Limits, now int64, value string, cookie *Cookie) (Verdict, Status) {
	var verdict C.uint8_t
	s := Status(C.tp_decode(r.c, str(name), str(scope), C.uint8_t(key.Kind), str(key.Key), str(key.Session),
		(*C.tokenpin_limits)(unsafe.Pointer(limits)), C.uint64_t(unix(now)), str(value), &verdict,
		(*C.tokenpin_cookie)(unsafe.Pointer(cookie))))
	return Verdict(verdict), s
}

// native holds the pure functions of the C library.
type native struct{}

func (native) jump(key uint64, buckets int32) (int32, Status) {
	var bucket C.uint32_t
	s := Status(C.tokenpin_jump(C.uint64_t(key), C.uint32_t(max(buckets, 0)), &bucket))
	return int32(bucket), s
}

func (native) identityHash(identity string) (hash uint64, s Status) {
	s = Status(C.tp_identity_hash(str(identity), (*C.uint64_t)(&hash)))
	return hash, s
}

func (native) keyHash(placementKey *Secret, scope string, key *Key) (hash uint64, s Status) {
	s = Status(C.tp_key_hash((*C.uint8_t)(unsafe.Pointer(placementKey)), str(scope), C.uint8_t(key.Kind),
		str(key.Key), str(key.Session), (*C.uint64_t)(&hash)))
	return hash, s
}

func (native) fnv1a32(key *Key) (hash uint32, s Status) {
	s = Status(C.tp_fnv1a32(C.uint8_t(key.Kind), str(key.Key), str(key.Session), (*C.uint32_t)(&hash)))
	return hash, s
}

func (native) defaultCookieName(scope string) (string, Status) {
	var buffer [MaxCookieName]byte
	var n C.size_t
	s := Status(C.tp_default_name(str(scope), (*C.char)(unsafe.Pointer(&buffer)), &n))
	return string(buffer[:n]), s
}

func (native) appendCookieValues(dst []string, field, name string) []string {
	var offset, start, length C.size_t
	for C.tp_cookie_next(str(field), str(name), &offset, &start, &length) == C.TOKENPIN_STATUS_OK {
		dst = append(dst, field[start:start+length])
	}
	return dst
}

func (native) stripCookie(field, name string) string {
	buffer := make([]byte, len(field))
	n := C.size_t(len(field))
	out, capacity := room(buffer[:0])
	C.tp_strip(str(field), str(name), out, capacity, &n) // it fits, so nothing can go wrong
	if int(n) == len(field) {
		return field
	}
	return string(buffer[:n])
}

func (native) appendSetCookie(dst []byte, name, value string, attributes *Attributes, maxAge uint32) ([]byte, Status) {
	grown := dst
	for {
		var n C.size_t
		buffer, capacity := room(grown)
		s := Status(C.tp_set_cookie(str(name), str(value), str(attributes.Path), str(attributes.Domain),
			switched(attributes.Secure), switched(attributes.HTTPOnly), C.uint8_t(attributes.SameSite),
			switched(attributes.Partitioned), C.uint32_t(maxAge), buffer, capacity, &n))
		switch s {
		case StatusOK:
			return grown[:len(grown)+int(n)], s
		case ErrBufferTooSmall:
			grown = slices.Grow(grown, int(n))
		default:
			return dst, s
		}
	}
}

func (native) setCookieMatches(field, name string) bool {
	var matches C.uint8_t
	C.tp_matches(str(field), str(name), &matches)
	return matches == 1
}

func (native) classify(rules []Rule, promptCache bool, method, target string) (Group, bool, Status) {
	var table *C.tokenpin_rule
	if len(rules) > 0 {
		var pinner runtime.Pinner
		defer pinner.Unpin()
		table = &nativeRules(&pinner, rules)[0]
	}
	var group, existing C.uint8_t
	s := Status(C.tp_classify(table, C.size_t(len(rules)), switched(promptCache), str(method), str(target), &group,
		&existing))
	return Group(group), existing == 1, s
}

// What the tests ask of the library; test files cannot use cgo.

func nativeName(which, number int) (string, bool) {
	var name C.tokenpin_bytes
	if C.tokenpin_enum_name(C.int32_t(which), C.int32_t(number), &name) != C.TOKENPIN_STATUS_OK {
		return "", false
	}
	return C.GoStringN((*C.char)(unsafe.Pointer(name.ptr)), C.int(name.len)), true
}

func nativeDefaults() Config {
	var c C.tokenpin_config
	C.tokenpin_config_init(&c, C.sizeof_tokenpin_config)
	return Config{
		Strategy: Strategy(c.strategy),
		Attributes: Attributes{
			Secure: c.attributes.secure == 1, HTTPOnly: c.attributes.http_only == 1,
			SameSite: SameSite(c.attributes.same_site), Partitioned: c.attributes.partitioned == 1,
		},
		MaxAge: uint32(c.max_age), Skew: uint32(c.skew), MaxLife: uint32(c.max_life), MaxIdle: uint32(c.max_idle),
		SuccessFirst: uint16(c.success_first), SuccessLast: uint16(c.success_last),
		PolicyExisting: Policy(c.policy_existing), PolicyNew: Policy(c.policy_new),
		CombineKeys: c.combine_keys == 1, RejectBadKeys: c.reject_bad_keys == 1, KeyedCookies: c.keyed_cookies == 1,
		MintSingle: c.mint_single == 1, PromptCache: c.prompt_cache == 1,
	}
}

func nativeLimits() [13]int64 {
	return [...]int64{C.TOKENPIN_SLOT_NONE, C.TOKENPIN_MAX_WEIGHT, C.TOKENPIN_MAX_UNTIL, C.TOKENPIN_MAX_BUCKETS, C.TOKENPIN_MAX_SCOPE,
		C.TOKENPIN_MAX_KEY, C.TOKENPIN_MAX_COOKIE_KEYS, C.TOKENPIN_MAX_COOKIE_NAME, C.TOKENPIN_COOKIE_VALUE_LEN,
		C.TOKENPIN_MAX_ATTRIBUTE, C.TOKENPIN_MAX_SET_COOKIE, C.TOKENPIN_MAX_MAX_AGE, C.TOKENPIN_MAX_AGE_AUTO}
}

// craft gives a slot an identity hash that no identity is known to have.
func (s nativeSlots) craft(slot int, hash uint64) { s[slot].identity_hash = C.uint64_t(hash) }
