#ifndef TOKENPIN_GO_NATIVE_H
#define TOKENPIN_GO_NATIVE_H

// Shared by the files of the cgo backend; no other program includes it.

#if !__has_include(<tokenpin.h>)
#error \
    "tokenpin.h is missing. In a checkout of tokenpin, run `make go-lib`. With an installed library, \
build with `-tags tokenpin_pkgconfig`. For pure Go, build with CGO_ENABLED=0 or `-tags purego`."
#else
#include <string.h>
#include <tokenpin.h>
#if TOKENPIN_ABI_VERSION != 1
#error \
    "This Go module speaks version 1 of tokenpin's C interface, and tokenpin.h is of another version: \
take both from the same release."
#endif
#endif

// The library calls no one back, and keeps no pointer that is passed on the way of a request: so
// the Go files say noescape and nocallback of each function that they call.

// The functions below build the library's structures on the C stack, from arguments that cgo passes
// without copying what they point to. Each parameter points to Go memory without Go pointers in it,
// as cgo demands.

typedef struct {
  const char* ptr;
  size_t len;
} tp_str;

static inline tokenpin_bytes tp_bytes(tp_str s) { return (tokenpin_bytes){s.ptr, s.len}; }

typedef struct {
  uint8_t has_group, group, existing, trusted, carrier;
} tp_switches;

static inline int32_t tp_decide(const tokenpin_affinity* affinity, tp_str method, tp_str target,
                                tp_str consumer0, tp_str consumer1, tp_str session0,
                                tp_str session1, tp_str cookie0, tp_str cookie1, tp_str cookie2,
                                tp_str cookie3, size_t cookie_count, tp_str carrier_value,
                                tp_str scope, const uint32_t* tried, size_t tried_count,
                                const tokenpin_id_summary* ids, uint64_t now,
                                const uint8_t* id_hint, const uint8_t* entropy,
                                tp_switches switches, tokenpin_decision* decision) {
  tokenpin_bytes consumers[] = {tp_bytes(consumer0), tp_bytes(consumer1)};
  tokenpin_bytes sessions[] = {tp_bytes(session0), tp_bytes(session1)};
  tokenpin_bytes cookies[] = {tp_bytes(cookie0), tp_bytes(cookie1), tp_bytes(cookie2),
                              tp_bytes(cookie3)};
  tokenpin_request request = {
      .method = tp_bytes(method),
      .target = tp_bytes(target),
      .consumers = consumers,
      .consumer_count = 2,
      .sessions = sessions,
      .session_count = 2,
      .cookies = cookies,
      .cookie_count = cookie_count,
      .carrier_value = tp_bytes(carrier_value),
      .scope = tp_bytes(scope),
      .ids = ids,
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

static inline int32_t tp_finish(const tokenpin_affinity* affinity,
                                const tokenpin_decision* decision, uint16_t status, char* buffer,
                                size_t capacity, size_t* len, uint8_t* answer) {
  return tokenpin_affinity_finish(affinity, decision, status, buffer, capacity, len, answer);
}

static inline int32_t tp_find(const tokenpin_affinity* affinity, tp_str identity, uint32_t* slot) {
  return tokenpin_affinity_find(affinity, identity.ptr, identity.len, slot);
}

static inline int32_t tp_cookie_name(const tokenpin_affinity* affinity, tp_str scope, char* buffer,
                                     size_t* len) {
  return tokenpin_affinity_cookie_name(affinity, scope.ptr, scope.len, buffer,
                                       TOKENPIN_MAX_COOKIE_NAME, len);
}

static inline int32_t tp_id_hint(const tokenpin_affinity* affinity, tp_str of, uint8_t* id_hint) {
  return tokenpin_affinity_id_hint(affinity, of.ptr, of.len, id_hint);
}

static inline int32_t tp_affinity_classify(const tokenpin_affinity* affinity, tp_str method,
                                           tp_str target, uint8_t* group, uint8_t* existing,
                                           uint8_t* ids) {
  return tokenpin_affinity_classify(affinity, method.ptr, method.len, target.ptr, target.len, group,
                                    existing, ids);
}

static inline tokenpin_key tp_key(uint8_t kind, tp_str key, tp_str session) {
  return (tokenpin_key){kind, tp_bytes(key), tp_bytes(session)};
}

static inline int32_t tp_select(uint8_t strategy, const tokenpin_slot* slots, size_t count,
                                uint64_t now, const uint32_t* tried, size_t tried_count,
                                uint8_t anonymous, uint64_t hash, uint32_t* slot) {
  tokenpin_filter filter = {now, tried, tried_count, anonymous};
  return tokenpin_select(strategy, slots, count, &filter, hash, slot);
}

static inline int32_t tp_select_higress(const tokenpin_slot* slots, size_t count, uint64_t now,
                                        const uint32_t* tried, size_t tried_count,
                                        uint8_t anonymous, uint64_t hash, uint8_t kind, tp_str key,
                                        tp_str session, uint32_t* slot) {
  tokenpin_filter filter = {now, tried, tried_count, anonymous};
  tokenpin_key whole = tp_key(kind, key, session);
  return tokenpin_select_higress(slots, count, &filter, hash, &whole, slot);
}

static inline int32_t tp_select_batch(uint8_t strategy, const tokenpin_slot* slots, size_t count,
                                      uint64_t now, const uint32_t* tried, size_t tried_count,
                                      uint8_t anonymous, const uint64_t* hashes, size_t hash_count,
                                      uint32_t* selected) {
  tokenpin_filter filter = {now, tried, tried_count, anonymous};
  return tokenpin_select_batch(strategy, slots, count, &filter, hashes, hash_count, selected);
}

static inline int32_t tp_slot_init(tokenpin_slot* slot, tp_str identity,
                                   const tokenpin_slot_status* status) {
  if (status->state == TOKENPIN_STATE_VACANT && identity.len == 0)
    return tokenpin_slot_init_vacant(slot);
  return tokenpin_slot_init(slot, identity.ptr, identity.len, status);
}

static inline int32_t tp_identity_hash(tp_str identity, uint64_t* hash) {
  return tokenpin_identity_hash(identity.ptr, identity.len, hash);
}

static inline int32_t tp_key_hash(const uint8_t* placement_key, tp_str scope, uint8_t kind,
                                  tp_str key, tp_str session, uint64_t* hash) {
  tokenpin_key whole = tp_key(kind, key, session);
  return tokenpin_key_hash(placement_key, scope.ptr, scope.len, &whole, hash);
}

static inline int32_t tp_encode(const tokenpin_key_ring* ring, tp_str name, tp_str scope,
                                uint8_t kind, tp_str key, tp_str session,
                                const tokenpin_cookie* cookie, char* value) {
  tokenpin_key whole = tp_key(kind, key, session);
  const tokenpin_key* bound = kind == TOKENPIN_KIND_ANONYMOUS && key.len == 0 ? NULL : &whole;
  return tokenpin_cookie_encode(ring, name.ptr, name.len, scope.ptr, scope.len, bound, cookie,
                                value);
}

static inline int32_t tp_decode(const tokenpin_key_ring* ring, tp_str name, tp_str scope,
                                uint8_t kind, tp_str key, tp_str session,
                                const tokenpin_limits* limits, uint64_t now, tp_str value,
                                uint8_t* verdict, tokenpin_cookie* cookie) {
  tokenpin_key whole = tp_key(kind, key, session);
  const tokenpin_key* wanted = kind == TOKENPIN_KIND_ANONYMOUS && key.len == 0 ? NULL : &whole;
  return tokenpin_cookie_decode(ring, name.ptr, name.len, scope.ptr, scope.len, wanted, limits, now,
                                value.ptr, value.len, verdict, cookie);
}

static inline int32_t tp_default_name(tp_str scope, char* buffer, size_t* len) {
  return tokenpin_cookie_default_name(scope.ptr, scope.len, buffer, TOKENPIN_MAX_COOKIE_NAME, len);
}

// The position of the value instead of a pointer to it.
static inline int32_t tp_cookie_next(tp_str field, tp_str name, size_t* offset, size_t* start,
                                     size_t* len) {
  tokenpin_bytes value;
  int32_t status = tokenpin_cookie_next(field.ptr, field.len, name.ptr, name.len, offset, &value);
  if (status != TOKENPIN_STATUS_OK) return status;
  *len = value.len;
  *start = value.len == 0 ? 0 : (size_t)((const char*)value.ptr - field.ptr);
  return status;
}

static inline int32_t tp_strip(tp_str field, tp_str name, char* buffer, size_t capacity,
                               size_t* len) {
  return tokenpin_cookie_strip(field.ptr, field.len, name.ptr, name.len, buffer, capacity, len);
}

static inline int32_t tp_set_cookie(tp_str name, tp_str value, tp_str path, tp_str domain,
                                    uint8_t secure, uint8_t http_only, uint8_t same_site,
                                    uint8_t partitioned, uint32_t max_age, char* buffer,
                                    size_t capacity, size_t* len) {
  tokenpin_attributes attributes = {tp_bytes(path), tp_bytes(domain), secure,
                                    http_only,      same_site,        partitioned};
  return tokenpin_set_cookie_write(name.ptr, name.len, value.ptr, value.len, &attributes, max_age,
                                   buffer, capacity, len);
}

static inline int32_t tp_matches(tp_str field, tp_str name, uint8_t* matches) {
  return tokenpin_set_cookie_matches(field.ptr, field.len, name.ptr, name.len, matches);
}

static inline int32_t tp_classify(const tokenpin_rule* rules, size_t rule_count,
                                  uint8_t replace_rules, uint8_t prompt_cache, tp_str method,
                                  tp_str target, uint8_t* group, uint8_t* existing, uint8_t* ids) {
  return tokenpin_classify(rules, rule_count, replace_rules, prompt_cache, method.ptr, method.len,
                           target.ptr, target.len, group, existing, ids);
}

static inline int32_t tp_id_seal(const tokenpin_id_ring* ring, tp_str scope, tp_str owner,
                                 uint64_t pin, tp_str id, char* buffer, size_t* len) {
  return tokenpin_id_seal(ring, scope.ptr, scope.len, owner.ptr, owner.len, pin, id.ptr, id.len,
                          buffer, TOKENPIN_MAX_SEALED_ID, len);
}

static inline int32_t tp_id_open(const tokenpin_id_ring* ring, tp_str scope, tp_str owner,
                                 tp_str text, char* buffer, size_t* len, uint8_t* verdict,
                                 uint64_t* pin, uint8_t* key_id) {
  return tokenpin_id_open(ring, scope.ptr, scope.len, owner.ptr, owner.len, text.ptr, text.len,
                          buffer, TOKENPIN_MAX_ID, len, verdict, pin, key_id);
}

static inline int32_t tp_id_mark(const tokenpin_id_ring* ring, tp_str scope, tp_str owner,
                                 uint64_t pin, tp_str content, char* mark) {
  return tokenpin_id_mark(ring, scope.ptr, scope.len, owner.ptr, owner.len, pin, content.ptr,
                          content.len, mark);
}

static inline int32_t tp_id_open_mark(const tokenpin_id_ring* ring, tp_str scope, tp_str owner,
                                      tp_str text, size_t* content_len, uint8_t* verdict,
                                      uint64_t* pin) {
  return tokenpin_id_open_mark(ring, scope.ptr, scope.len, owner.ptr, owner.len, text.ptr, text.len,
                               content_len, verdict, pin);
}

typedef struct {
  tp_str scope, owner, upstream, origin;
  uint8_t ids, has_mode, mode;
} tp_use;

static inline tokenpin_id_use tp_id_use(tp_use with) {
  return (tokenpin_id_use){tp_bytes(with.scope),
                           tp_bytes(with.owner),
                           tp_bytes(with.upstream),
                           tp_bytes(with.origin),
                           with.ids,
                           with.has_mode,
                           with.mode};
}

static inline int32_t tp_id_owner(const tokenpin_affinity* affinity, tp_str consumer0,
                                  tp_str consumer1, uint8_t trusted, uint8_t* has) {
  tokenpin_bytes consumers[] = {tp_bytes(consumer0), tp_bytes(consumer1)}, owner = {0};
  tokenpin_request request = {
      .consumers = consumers, .consumer_count = 2, .consumer_trusted = trusted};
  int32_t status = tokenpin_affinity_id_owner(affinity, &request, &owner);
  *has = owner.len > 0;
  return status;
}

static inline int32_t tp_target(const tokenpin_affinity* affinity, tp_use with,
                                tokenpin_id_summary* summary, uint32_t slot, uint8_t sealing,
                                tp_str target, char* buffer, size_t capacity, size_t* len) {
  tokenpin_id_use use = tp_id_use(with);
  return sealing ? tokenpin_affinity_seal_target(affinity, &use, summary, slot, target.ptr,
                                                 target.len, buffer, capacity, len)
                 : tokenpin_affinity_open_target(affinity, &use, summary, target.ptr, target.len,
                                                 buffer, capacity, len);
}

static inline int32_t tp_open_in_place(const tokenpin_affinity* affinity, tp_use with,
                                       tokenpin_id_summary* summary, char* body, size_t len,
                                       size_t* new_len, uint32_t* unexpected) {
  tokenpin_id_use use = tp_id_use(with);
  return tokenpin_affinity_open_in_place(affinity, &use, summary, body, len, new_len, unexpected);
}

typedef struct {
  size_t taken, written;
  uint32_t changed, unexpected;
} tp_progress;

// No step puts out more than a rewriter's memory holds.
#define TP_PUT_ROOM sizeof(tokenpin_id_sealer)

// All steps through a chunk, as far as there is room; or the end of the body.
static inline int32_t tp_rewrite(const tokenpin_affinity* affinity, tp_use with,
                                 tokenpin_id_summary* summary, uint32_t slot, uint8_t sealing,
                                 tokenpin_id_sealer* state, const char* chunk, size_t len,
                                 uint8_t end, char* out, size_t capacity, tp_progress* progress) {
  tokenpin_id_use use = tp_id_use(with);
  tokenpin_id_opener* opener = (tokenpin_id_opener*)state;
  progress->taken = progress->written = 0;
  do {
    const char* next = chunk + progress->taken;
    size_t room = capacity - progress->written - TP_PUT_ROOM, left = len - progress->taken;
    if (left > room) left = room;
    tokenpin_piece piece;
    int32_t status;
    if (sealing && end)
      status = tokenpin_affinity_seal_end(affinity, &use, summary, slot, state, &piece);
    else if (sealing)
      status =
          tokenpin_affinity_seal_step(affinity, &use, summary, slot, state, next, left, &piece);
    else if (end)
      status = tokenpin_affinity_open_end(affinity, &use, summary, opener, &piece);
    else
      status = tokenpin_affinity_open_step(affinity, &use, summary, opener, next, left, &piece);
    if (status != TOKENPIN_STATUS_OK) return status;
    if (piece.pass > 0) memcpy(out + progress->written, next, piece.pass);
    progress->written += piece.pass;
    if (piece.put_len > 0) memcpy(out + progress->written, piece.put, piece.put_len);
    progress->written += piece.put_len;
    progress->taken += piece.taken;
    progress->changed = piece.changed;
    progress->unexpected = piece.unexpected;
  } while (progress->taken < len && capacity - progress->written > TP_PUT_ROOM);
  return TOKENPIN_STATUS_OK;
}

#endif
