// The contract of every function, in one table: null and misaligned pointers one at a time, empty
// and huge lengths, buffers of every length, invalid handles. After any fault, no output has
// changed.
#include <stdlib.h>

#include "check.h"
#include "world.h"

enum { kParams = 9, kRoom = 1024, kPattern = 0xa5 };

typedef enum {
  kEnd,
  kIn,           // A pointer to one thing of `align`.
  kOptional,     // The same, or NULL.
  kHandle,       // An affinity.
  kRing,         // A key ring.
  kState,        // A thing of `unit` bytes that says whether it was initialised, and is changed.
  kSource,       // The same, only read, or NULL.
  kBody,         // Bytes that are rewritten in place.
  kBytes,        // A pointer and a length; empty gives the status `empty`.
  kArray,        // The same for elements of `unit` bytes.
  kMemory,       // The memory for an affinity.
  kOut,          // An output of `unit` bytes.
  kOptionalOut,  // The same, or NULL.
  kInOut,        // An output that is read first, zero here.
  kError,        // A tokenpin_config_error, or NULL.
  kBuffer,       // An output buffer; the length follows as kOut.
} Role;

typedef struct {
  Role role;
  const char* name;
  const void* pointer;
  size_t length, unit, align;
  int32_t empty;
} Param;

typedef struct {
  void* at[kParams];
  size_t len[kParams];
} Args;

typedef struct {
  const char* name;
  int32_t (*call)(const Args* args);
  Param params[kParams];
} Row;

// The objects that the calls work on.
static World world;
static tokenpin_affinity* affinity;
static size_t affinity_size;
static tokenpin_key_ring ring;
static tokenpin_key key;
static tokenpin_cookie cookie;
static tokenpin_limits limits;
static tokenpin_slot slots[2];
static tokenpin_slot_status status_up;
static tokenpin_filter filter;
static tokenpin_request request;
static tokenpin_decision decision;
static tokenpin_attributes attributes;
static tokenpin_id_ring id_ring;
static tokenpin_id_use use;
static tokenpin_id_summary summary;
static tokenpin_id_opener opener;
static tokenpin_id_sealer sealer;
static char sealed[TOKENPIN_MAX_SEALED_ID];
static char marked[8 + TOKENPIN_ID_MARK_LEN] = "gAAAAABo";
static uint64_t hashes[3] = {1, 2, 3};
static char cookie_value[TOKENPIN_COOKIE_VALUE_LEN];
static const char kName[] = "__Host-tokenpin";
static const char kField[] = "a=1; pin=2; b=3";
static const uint8_t kId[16] = {1};
_Alignas(TOKENPIN_AFFINITY_ALIGN) static unsigned char block[8192];
_Alignas(TOKENPIN_AFFINITY_ALIGN) static const unsigned char kZeroed[8192];

#define CALL(name) static int32_t name(const Args* args)
#define P(i) (args->at[i])
#define N(i) (args->len[i])

CALL(config_init) { return tokenpin_config_init(P(0), sizeof(tokenpin_config)); }
CALL(size_of_affinity) { return tokenpin_affinity_size(P(0), P(1), P(2)); }
CALL(init) {
  tokenpin_affinity** made = P(2);
  int32_t status = tokenpin_affinity_init(P(0), sizeof block, P(1), made, P(3));
  if (status == TOKENPIN_STATUS_OK) tokenpin_affinity_wipe(*made);
  return status;
}
CALL(new) {
  tokenpin_affinity** made = P(1);
  int32_t status = tokenpin_affinity_new(P(0), made, P(2));
  if (status == TOKENPIN_STATUS_OK) tokenpin_affinity_free(*made);
  return status;
}
CALL(set_slot) { return tokenpin_affinity_set_slot(P(0), 0, P(1)); }
CALL(get_slot) { return tokenpin_affinity_get_slot(P(0), 0, P(1), P(2)); }
CALL(find) { return tokenpin_affinity_find(P(0), P(1), N(1), P(2)); }
CALL(capacity) { return tokenpin_affinity_capacity(P(0), P(1)); }
CALL(cookie_name) { return tokenpin_affinity_cookie_name(P(0), P(1), N(1), P(2), N(2), P(3)); }
CALL(id_hint) { return tokenpin_affinity_id_hint(P(0), P(1), N(1), P(2)); }
CALL(affinity_classify) {
  return tokenpin_affinity_classify(P(0), P(1), N(1), P(2), N(2), P(3), P(4), P(5));
}
CALL(fingerprint) { return tokenpin_affinity_fingerprint(P(0), P(1)); }
CALL(live_fingerprint) { return tokenpin_affinity_live_fingerprint(P(0), kNow, P(1)); }
CALL(decide) { return tokenpin_affinity_decide(P(0), P(1), P(2)); }
CALL(finish) { return tokenpin_affinity_finish(P(0), P(1), 200, P(2), N(2), P(3), P(4)); }
CALL(enum_name) { return tokenpin_enum_name(TOKENPIN_ENUM_STATE, 0, P(0)); }
CALL(jump) { return tokenpin_jump(7, 10, P(0)); }
CALL(identity_hash) { return tokenpin_identity_hash(P(0), N(0), P(1)); }
CALL(key_hash) { return tokenpin_key_hash(P(0), P(1), N(1), P(2), P(3)); }
CALL(slot_init) { return tokenpin_slot_init(P(0), P(1), N(1), P(2)); }
CALL(slot_init_vacant) { return tokenpin_slot_init_vacant(P(0)); }
CALL(slot_set) { return tokenpin_slot_set(P(0), P(1)); }
CALL(slot_get) { return tokenpin_slot_get(P(0), P(1)); }
CALL(select_one) { return tokenpin_select(TOKENPIN_STRATEGY_JUMP, P(0), N(0), P(1), 9, P(2)); }
CALL(select_higress) { return tokenpin_select_higress(P(0), N(0), P(1), 9, P(2), P(3)); }
CALL(select_rendezvous) {
  return tokenpin_select_batch(TOKENPIN_STRATEGY_RENDEZVOUS, P(0), N(0), P(1), P(2), N(2), P(3));
}
CALL(ring_init) {
  tokenpin_key_ring* made = P(0);
  return tokenpin_key_ring_init(made, P(1), N(1), P(2), P(3));
}
CALL(encode) { return tokenpin_cookie_encode(P(0), P(1), N(1), P(2), N(2), P(3), P(4), P(5)); }
CALL(decode) {
  return tokenpin_cookie_decode(P(0), P(1), N(1), P(2), N(2), P(3), P(4), kNow, P(5), N(5), P(6),
                                P(7));
}
CALL(default_name) { return tokenpin_cookie_default_name(P(0), N(0), P(1), N(1), P(2)); }
CALL(next) { return tokenpin_cookie_next(P(0), N(0), P(1), N(1), P(2), P(3)); }
CALL(strip) { return tokenpin_cookie_strip(P(0), N(0), P(1), N(1), P(2), N(2), P(3)); }
CALL(set_cookie) {
  return tokenpin_set_cookie_write(P(0), N(0), P(1), N(1), P(2), 60, P(3), N(3), P(4));
}
CALL(matches) { return tokenpin_set_cookie_matches(P(0), N(0), P(1), N(1), P(2)); }
CALL(classify) {
  return tokenpin_classify(P(0), N(0), 0, 0, P(1), N(1), P(2), N(2), P(3), P(4), P(5));
}
CALL(refusal) { return tokenpin_decision_refusal(P(0), P(1), P(2)); }
CALL(id_ring_init) { return tokenpin_id_ring_init(P(0), P(1), N(1), P(2), P(3)); }
CALL(id_seal) {
  return tokenpin_id_seal(P(0), P(1), N(1), P(2), N(2), 7, P(3), N(3), P(4), N(4), P(5));
}
CALL(id_open) {
  return tokenpin_id_open(P(0), P(1), N(1), P(2), N(2), P(3), N(3), P(4), N(4), P(5), P(6), P(7),
                          P(8));
}
CALL(id_mark) { return tokenpin_id_mark(P(0), P(1), N(1), P(2), N(2), 7, P(3), N(3), P(4)); }
CALL(id_open_mark) {
  return tokenpin_id_open_mark(P(0), P(1), N(1), P(2), N(2), P(3), N(3), P(4), P(5), P(6));
}
CALL(summary_init) { return tokenpin_id_summary_init(P(0)); }
CALL(summary_report) { return tokenpin_id_summary_report(P(0), P(1)); }
CALL(id_owner) { return tokenpin_affinity_id_owner(P(0), P(1), P(2)); }
CALL(open_target) {
  return tokenpin_affinity_open_target(P(0), P(1), P(2), P(3), N(3), P(4), N(4), P(5));
}
CALL(opener_init) { return tokenpin_id_opener_init(P(0)); }
CALL(open_step) { return tokenpin_affinity_open_step(P(0), P(1), P(2), P(3), P(4), N(4), P(5)); }
CALL(open_end) { return tokenpin_affinity_open_end(P(0), P(1), P(2), P(3), P(4)); }
CALL(open_in_place) {
  return tokenpin_affinity_open_in_place(P(0), P(1), P(2), P(3), N(3), P(4), P(5));
}
CALL(sealer_init) { return tokenpin_id_sealer_init(P(0), TOKENPIN_FRAMING_EVENTS); }
CALL(seal_step) { return tokenpin_affinity_seal_step(P(0), P(1), P(2), 1, P(3), P(4), N(4), P(5)); }
CALL(seal_end) { return tokenpin_affinity_seal_end(P(0), P(1), P(2), 1, P(3), P(4)); }
CALL(seal_target) {
  return tokenpin_affinity_seal_target(P(0), P(1), P(2), 1, P(3), N(3), P(4), N(4), P(5));
}
CALL(id_key) { return tokenpin_affinity_id_key(P(0), 6, P(1)); }

#define OK TOKENPIN_STATUS_OK
#define POINT(role, thing, type) {role, #thing, &(thing), 0, sizeof(type), _Alignof(type), OK}
#define BYTES(what, empty) {kBytes, #what, what, sizeof(what) - 1, 1, 1, empty}
#define ARRAY(what, count, type, empty) \
  {kArray, #what, what, count, sizeof(type), _Alignof(type), empty}
#define OUT(what, type) {kOut, #what, NULL, 0, sizeof(type), _Alignof(type), OK}
#define OPTIONAL_OUT(what, type) {kOptionalOut, #what, NULL, 0, sizeof(type), _Alignof(type), OK}
#define HANDLE {kHandle, "affinity", NULL, 0, 0, _Alignof(uint64_t), OK}
#define RING {kRing, "ring", &ring, 0, 0, _Alignof(uint64_t), OK}
#define ID_RING {kRing, "id_ring", &id_ring, 0, 0, _Alignof(uint64_t), OK}
#define STATE(thing) {kState, #thing, &(thing), 0, sizeof(thing), _Alignof(uint64_t), OK}
#define USE POINT(kIn, use, tokenpin_id_use)
#define ECHO {kSource, "summary", &summary, 0, 0, _Alignof(uint64_t), OK}
#define ERROR {kError, "error", NULL, 0, sizeof(tokenpin_config_error), 8, OK}
#define BUFFER {kBuffer, "buffer", NULL, kRoom, 1, 1, OK}, OUT(len, size_t)
#define CONFIG POINT(kIn, world.config, tokenpin_config)
#define STATUS(suffix) TOKENPIN_STATUS_##suffix

static const char kMethod[] = "POST", kTarget[] = "/v1/jobs", kScope[] = "openai";
static const char kIdentity[] = "account-a";
static const char kOwner[] = "alice", kNative[] = "file-AbCdEfGhIjKlMnOpQrStUv";
static const char kContent[] = "gAAAAABo";
static const char kDocument[] = "{\"id\":\"file-1\",\"purpose\":\"batch\"}";

static const Row kRows[] = {
    {"config_init", config_init, {OUT(config, tokenpin_config)}},
    {"affinity_size", size_of_affinity, {CONFIG, OUT(size, size_t), ERROR}},
    {"affinity_init",
     init,
     {{kMemory, "memory", block, 0, 0, TOKENPIN_AFFINITY_ALIGN, OK},
      CONFIG,
      OUT(affinity, void*),
      ERROR}},
    {"affinity_new", new, {CONFIG, OUT(affinity, void*), ERROR}},
    {"affinity_set_slot", set_slot, {HANDLE, POINT(kIn, status_up, tokenpin_slot_status)}},
    {"affinity_get_slot",
     get_slot,
     {HANDLE, OUT(status, tokenpin_slot_status), OPTIONAL_OUT(identity_hash, uint64_t)}},
    {"affinity_find",
     find,
     {HANDLE, BYTES(kIdentity, STATUS(IDENTITY_EMPTY)), OUT(slot, uint32_t)}},
    {"affinity_capacity", capacity, {HANDLE, OUT(capacity, size_t)}},
    {"affinity_cookie_name", cookie_name, {HANDLE, BYTES(kScope, OK), BUFFER}},
    {"affinity_id_hint",
     id_hint,
     {HANDLE, BYTES(kIdentity, STATUS(KEY_LENGTH)), OUT(id_hint, uint8_t[16])}},
    {"affinity_classify",
     affinity_classify,
     {HANDLE, BYTES(kMethod, OK), BYTES(kTarget, OK), OUT(group, uint8_t), OUT(existing, uint8_t),
      OUT(ids, uint8_t)}},
    {"affinity_fingerprint", fingerprint, {HANDLE, OUT(fingerprint, uint64_t)}},
    {"affinity_live_fingerprint", live_fingerprint, {HANDLE, OUT(fingerprint, uint64_t)}},
    {"affinity_decide",
     decide,
     {HANDLE, POINT(kIn, request, tokenpin_request), OUT(decision, tokenpin_decision)}},
    {"affinity_finish",
     finish,
     {HANDLE, POINT(kIn, decision, tokenpin_decision), BUFFER, OUT(answer, uint8_t)}},
    {"enum_name", enum_name, {OUT(name, tokenpin_bytes)}},
    {"jump", jump, {OUT(bucket, uint32_t)}},
    {"identity_hash",
     identity_hash,
     {BYTES(kIdentity, STATUS(IDENTITY_EMPTY)), OUT(hash, uint64_t)}},
    {"key_hash",
     key_hash,
     {POINT(kIn, kId, uint8_t), BYTES(kScope, OK), POINT(kIn, key, tokenpin_key),
      OUT(hash, uint64_t)}},
    {"slot_init",
     slot_init,
     {OUT(slot, tokenpin_slot), BYTES(kIdentity, STATUS(IDENTITY_EMPTY)),
      POINT(kIn, status_up, tokenpin_slot_status)}},
    {"slot_init_vacant", slot_init_vacant, {OUT(slot, tokenpin_slot)}},
    {"slot_set",
     slot_set,
     {POINT(kIn, slots[0], tokenpin_slot), POINT(kIn, status_up, tokenpin_slot_status)}},
    {"slot_get",
     slot_get,
     {POINT(kIn, slots[0], tokenpin_slot), OUT(status, tokenpin_slot_status)}},
    {"select",
     select_one,
     {ARRAY(slots, 2, tokenpin_slot, STATUS(SLOT_COUNT)), POINT(kIn, filter, tokenpin_filter),
      OUT(slot, uint32_t)}},
    {"select_higress",
     select_higress,
     {ARRAY(slots, 2, tokenpin_slot, STATUS(SLOT_COUNT)), POINT(kIn, filter, tokenpin_filter),
      POINT(kIn, key, tokenpin_key), OUT(slot, uint32_t)}},
    {"select_batch, rendezvous",
     select_rendezvous,
     {ARRAY(slots, 2, tokenpin_slot, STATUS(SLOT_COUNT)), POINT(kIn, filter, tokenpin_filter),
      ARRAY(hashes, 3, uint64_t, OK), OUT(selected, uint32_t[3])}},
    {"key_ring_init",
     ring_init,
     {OUT(ring, tokenpin_key_ring), ARRAY(world.keys, 2, tokenpin_cookie_key, STATUS(KEY_COUNT)),
      POINT(kOptional, kId, uint8_t), ERROR}},
    {"cookie_encode",
     encode,
     {RING, BYTES(kName, STATUS(COOKIE_NAME)), BYTES(kScope, OK),
      POINT(kOptional, key, tokenpin_key), POINT(kIn, cookie, tokenpin_cookie),
      OUT(value, char[TOKENPIN_COOKIE_VALUE_LEN])}},
    {"cookie_decode",
     decode,
     {RING,
      BYTES(kName, STATUS(COOKIE_NAME)),
      BYTES(kScope, OK),
      POINT(kOptional, key, tokenpin_key),
      POINT(kIn, limits, tokenpin_limits),
      {kBytes, "value", cookie_value, sizeof cookie_value, 1, 1, OK},
      OUT(verdict, uint8_t),
      OPTIONAL_OUT(cookie, tokenpin_cookie)}},
    {"cookie_default_name", default_name, {BYTES(kScope, OK), BUFFER}},
    {"cookie_next",
     next,
     {BYTES(kField, STATUS(END)),
      {kBytes, "name", "pin", 3, 1, 1, STATUS(END)},
      {kInOut, "offset", NULL, 0, sizeof(size_t), _Alignof(size_t), OK},
      OUT(value, tokenpin_bytes)}},
    {"cookie_strip", strip, {BYTES(kField, OK), {kBytes, "name", "pin", 3, 1, 1, OK}, BUFFER}},
    {"set_cookie_write",
     set_cookie,
     {BYTES(kName, STATUS(COOKIE_NAME)),
      {kBytes, "value", "v", 1, 1, 1, OK},
      POINT(kIn, attributes, tokenpin_attributes),
      BUFFER}},
    {"set_cookie_matches",
     matches,
     {BYTES(kField, OK), {kBytes, "name", "a", 1, 1, 1, OK}, OUT(matches, uint8_t)}},
    {"classify",
     classify,
     {ARRAY(world.rules, 2, tokenpin_rule, OK), BYTES(kMethod, OK), BYTES(kTarget, OK),
      OUT(group, uint8_t), OUT(existing, uint8_t), OUT(ids, uint8_t)}},
    {"decision_refusal",
     refusal,
     {POINT(kIn, decision, tokenpin_decision), OUT(status, uint16_t), OUT(refusal, uint8_t)}},
    {"id_ring_init",
     id_ring_init,
     {OUT(ring, tokenpin_id_ring), ARRAY(world.keys, 2, tokenpin_cookie_key, STATUS(KEY_COUNT)),
      POINT(kOptional, kId, uint8_t), ERROR}},
    {"id_seal",
     id_seal,
     {ID_RING, BYTES(kScope, OK), BYTES(kOwner, OK), BYTES(kNative, STATUS(ID)), BUFFER}},
    {"id_open",
     id_open,
     {ID_RING,
      BYTES(kScope, OK),
      BYTES(kOwner, OK),
      {kBytes, "sealed", sealed, sizeof kNative - 1 + TOKENPIN_ID_MARK_LEN, 1, 1, OK},
      BUFFER,
      OUT(verdict, uint8_t),
      OUT(pin, uint64_t),
      OUT(key_id, uint8_t)}},
    {"id_mark",
     id_mark,
     {ID_RING, BYTES(kScope, OK), BYTES(kOwner, OK), BYTES(kContent, STATUS(ID)),
      OUT(mark, char[TOKENPIN_ID_MARK_LEN])}},
    {"id_open_mark",
     id_open_mark,
     {ID_RING,
      BYTES(kScope, OK),
      BYTES(kOwner, OK),
      {kBytes, "marked", marked, sizeof marked, 1, 1, OK},
      OUT(content_len, size_t),
      OUT(verdict, uint8_t),
      OUT(pin, uint64_t)}},
    {"id_summary_init", summary_init, {OUT(summary, tokenpin_id_summary)}},
    {"id_summary_report", summary_report, {STATE(summary), OUT(report, tokenpin_id_report)}},
    {"affinity_id_owner",
     id_owner,
     {HANDLE, POINT(kIn, request, tokenpin_request), OUT(owner, tokenpin_bytes)}},
    {"affinity_open_target",
     open_target,
     {HANDLE, USE, STATE(summary), BYTES(kTarget, OK), BUFFER}},
    {"id_opener_init", opener_init, {OUT(opener, tokenpin_id_opener)}},
    {"affinity_open_step",
     open_step,
     {HANDLE, USE, STATE(summary), STATE(opener), BYTES(kDocument, OK),
      OUT(piece, tokenpin_piece)}},
    {"affinity_open_end",
     open_end,
     {HANDLE, USE, STATE(summary), STATE(opener), OUT(piece, tokenpin_piece)}},
    {"affinity_open_in_place",
     open_in_place,
     {HANDLE,
      USE,
      STATE(summary),
      {kBody, "body", kDocument, sizeof kDocument - 1, 1, 1, OK},
      OUT(new_len, size_t),
      OUT(unexpected, uint32_t)}},
    {"id_sealer_init", sealer_init, {OUT(sealer, tokenpin_id_sealer)}},
    {"affinity_seal_step",
     seal_step,
     {HANDLE, USE, ECHO, STATE(sealer), BYTES(kDocument, OK), OUT(piece, tokenpin_piece)}},
    {"affinity_seal_end", seal_end, {HANDLE, USE, ECHO, STATE(sealer), OUT(piece, tokenpin_piece)}},
    {"affinity_seal_target", seal_target, {HANDLE, USE, ECHO, BYTES(kTarget, OK), BUFFER}},
    {"affinity_id_key", id_key, {HANDLE, OUT(name, tokenpin_bytes)}},
};

static void make_inputs(void) {
  CHECK(world_init(&world) == OK);
  world.config.id_mode = TOKENPIN_MODE_SEAL;
  CHECK(tokenpin_affinity_size(&world.config, &affinity_size, NULL) == OK);
  CHECK(affinity_size <= sizeof block);
  CHECK(tokenpin_affinity_new(&world.config, &affinity, NULL) == OK);
  CHECK(tokenpin_key_ring_init(&ring, world.keys, 2, NULL, NULL) == OK);
  key.kind = TOKENPIN_KIND_ANONYMOUS;
  key.key.ptr = kId;
  key.key.len = sizeof kId;
  cookie.issued_at = cookie.refreshed_at = kNow;
  CHECK(tokenpin_cookie_encode(&ring, kName, strlen(kName), kScope, strlen(kScope), &key, &cookie,
                               cookie_value) == OK);
  status_up.weight = TOKENPIN_MAX_WEIGHT;
  CHECK(tokenpin_slot_init(&slots[0], "a", 1, &status_up) == OK);
  CHECK(tokenpin_slot_init(&slots[1], "b", 1, &status_up) == OK);
  attributes.secure = 1;
  request = request_to_create();
  CHECK(tokenpin_affinity_decide(affinity, &request, &decision) == OK);
  size_t len = 0;
  use.ids = TOKENPIN_IDS_ITEMS;
  CHECK(tokenpin_id_ring_init(&id_ring, world.keys, 2, NULL, NULL) == OK);
  CHECK(tokenpin_id_summary_init(&summary) == OK && tokenpin_id_opener_init(&opener) == OK);
  CHECK(tokenpin_id_sealer_init(&sealer, TOKENPIN_FRAMING_JSON) == OK);
  CHECK(tokenpin_id_seal(&id_ring, kScope, strlen(kScope), kOwner, strlen(kOwner), 7, kNative,
                         strlen(kNative), sealed, sizeof sealed, &len) == OK);
  CHECK(len == strlen(kNative) + TOKENPIN_ID_MARK_LEN);
  CHECK(tokenpin_id_mark(&id_ring, kScope, strlen(kScope), kOwner, strlen(kOwner), 7, kContent,
                         strlen(kContent), marked + strlen(kContent)) == OK);
}

// The outputs of one call, each with room behind it.
_Alignas(16) static unsigned char outputs[kParams][kRoom + 16];

static bool is_output(Role role) { return role >= kOut && role != kError; }
// Returns whether the memory is changed in place: each call gets a copy.
static bool is_changed(Role role) { return role == kState || role == kBody; }
static size_t size_of_changed(const Param* param) {
  return param->role == kBody ? param->length : param->unit;
}

static Args good_args(const Row* row) {
  Args args;
  for (size_t i = 0; i < kParams; i++) {
    const Param* param = &row->params[i];
    void* pointer = outputs[i];
    if (param->role == kHandle) pointer = affinity;
    if (param->pointer != NULL && !is_changed(param->role)) {
      memcpy(&pointer, &param->pointer, sizeof pointer);
    }
    args.at[i] = pointer;
    args.len[i] = param->length;
  }
  return args;
}

static bool all(const void* bytes, size_t len, unsigned char value) {
  const unsigned char* at = bytes;
  for (size_t i = 0; i < len; i++) {
    if (at[i] != value) return false;
  }
  return true;
}

static unsigned char before(Role role) { return role == kInOut ? 0 : kPattern; }

// Makes a call, and checks the status and that outputs are written only on success and not past
// their end. `needed` is the length that a buffer that is too small must report.
static void expect(const Row* row, const Args* args, int32_t status, size_t needed) {
  for (size_t i = 0; i < kParams; i++) {
    const Param* param = &row->params[i];
    memset(outputs[i], before(param->role), kRoom + 16);
    if (is_changed(param->role)) memcpy(outputs[i], param->pointer, size_of_changed(param));
  }
  CHECK(row->call(args) == status);
  for (size_t i = 0; i < kParams; i++) {
    const Param* param = &row->params[i];
    size_t written = status == OK ? (param->role == kBuffer ? args->len[i] : param->unit) : 0;
    bool is_len = i > 0 && row->params[i - 1].role == kBuffer;
    if (status == STATUS(BUFFER_TOO_SMALL) && is_len) {
      written = sizeof(size_t);
      CHECK(memcmp(outputs[i], &needed, sizeof needed) == 0);
    }
    if (param->role == kError && status != OK && args->at[i] == outputs[i]) {
      written = param->unit;
      CHECK(memcmp(outputs[i], &status, sizeof status) == 0);
    } else if (param->role == kError) {
      written = 0;
    }
    if (is_changed(param->role)) {
      written = size_of_changed(param);
      CHECK(status == OK || memcmp(outputs[i], param->pointer, written) == 0);
    }
    if (is_output(param->role) || is_changed(param->role) || param->role == kError) {
      CHECK(all(outputs[i] + written, kRoom + 16 - written, before(param->role)));
    }
  }
}

static size_t needed_by(const Row* row, size_t buffer) {
  size_t needed = 0;
  Args args = good_args(row);
  CHECK(row->call(&args) == OK);
  memcpy(&needed, outputs[buffer + 1], sizeof needed);
  return needed;
}

static void expect_at(const Row* row, size_t i, void* pointer, size_t len, int32_t status) {
  Args args = good_args(row);
  args.at[i] = pointer;
  args.len[i] = len;
  snprintf(check_context, sizeof check_context, "%s, %s %s, length %zu", row->name,
           row->params[i].name, pointer == NULL ? "null" : "given", len);
  size_t needed =
      row->params[i].role == kBuffer && status == STATUS(BUFFER_TOO_SMALL) ? needed_by(row, i) : 0;
  expect(row, &args, status, needed);
}

static void* good(const Row* row, size_t i) { return good_args(row).at[i]; }

static void a_null_pointer_is_a_status_or_allowed(const Row* row, size_t i) {
  const Param* param = &row->params[i];
  size_t len = param->length;
  switch (param->role) {
    case kOptional:
    case kOptionalOut:
    case kSource:
    case kError:
      expect_at(row, i, NULL, 0, OK);
      break;
    case kBytes:
    case kArray:
    case kBody:
      expect_at(row, i, NULL, 1, STATUS(NULL_POINTER));
      expect_at(row, i, NULL, len, STATUS(NULL_POINTER));
      expect_at(row, i, NULL, 0, param->empty);
      break;
    case kBuffer:
      expect_at(row, i, NULL, 1, STATUS(NULL_POINTER));
      expect_at(row, i, NULL, len, STATUS(NULL_POINTER));
      expect_at(row, i, NULL, 0, STATUS(BUFFER_TOO_SMALL));
      break;
    default:
      expect_at(row, i, NULL, len, STATUS(NULL_POINTER));
  }
}

static void a_misaligned_pointer_is_a_status(const Row* row, size_t i) {
  const Param* param = &row->params[i];
  for (size_t off = 1; off < param->align; off++) {
    unsigned char* pointer = good(row, i);
    expect_at(row, i, pointer + off, param->length, STATUS(MISALIGNED));
  }
}

static void lengths_may_be_zero_but_not_huge(const Row* row, size_t i) {
  const Param* param = &row->params[i];
  if (param->role == kBytes || param->role == kArray || param->role == kBody) {
    expect_at(row, i, good(row, i), 0, param->empty);
    size_t too_many = (size_t)PTRDIFF_MAX / param->unit + 1;
    expect_at(row, i, good(row, i), too_many, STATUS(LENGTH));
    if (param->unit > 1)
      expect_at(row, i, good(row, i), SIZE_MAX / param->unit + 1, STATUS(LENGTH));
    expect_at(row, i, good(row, i), SIZE_MAX, STATUS(LENGTH));
  }
  if (param->role == kBuffer) {
    expect_at(row, i, good(row, i), (size_t)PTRDIFF_MAX + 1, STATUS(LENGTH));
    expect_at(row, i, good(row, i), SIZE_MAX, STATUS(LENGTH));
  }
}

static void a_short_buffer_is_left_alone(const Row* row, size_t i) {
  if (row->params[i].role != kBuffer) return;
  size_t needed = needed_by(row, i);
  if (!CHECK(needed > 0 && needed <= kRoom)) return;
  for (size_t len = 0; len < needed; len++) {
    expect_at(row, i, outputs[i], len, STATUS(BUFFER_TOO_SMALL));
  }
  expect_at(row, i, outputs[i], needed, OK);
}

static void a_handle_that_is_none_is_a_status(const Row* row, size_t i) {
  Role role = row->params[i].role;
  const Param* param = &row->params[i];
  if (role != kHandle && role != kRing && role != kState && role != kSource) return;
  void* zeroed;
  const void* zeroes = kZeroed;
  memcpy(&zeroed, &zeroes, sizeof zeroed);
  expect_at(row, i, zeroed, 0, STATUS(NOT_INITIALISED));
  memset(block, kPattern, sizeof block);
  expect_at(row, i, block, 0, STATUS(NOT_INITIALISED));
  // One kind of object is not another, and a wiped one is none. The block has room for any.
  tokenpin_key_ring wiped_ring = ring;
  tokenpin_id_ring wiped_id_ring = id_ring;
  tokenpin_key_ring_wipe(&wiped_ring);
  tokenpin_id_ring_wipe(&wiped_id_ring);
  const struct {
    const void* thing;
    size_t size;
  } things[] = {{&ring, sizeof ring},
                {&id_ring, sizeof id_ring},
                {&summary, sizeof summary},
                {&opener, sizeof opener},
                {&sealer, sizeof sealer},
                {&wiped_ring, sizeof wiped_ring},
                {&wiped_id_ring, sizeof wiped_id_ring}};
  for (size_t j = 0; j < sizeof things / sizeof things[0]; j++) {
    if (things[j].thing == param->pointer) continue;
    memcpy(block, things[j].thing, things[j].size);
    expect_at(row, i, block, 0, STATUS(NOT_INITIALISED));
  }
  tokenpin_affinity* wiped;
  CHECK(tokenpin_affinity_init(block, sizeof block, &world.config, &wiped, NULL) == OK);
  tokenpin_affinity_wipe(wiped);
  expect_at(row, i, wiped, 0, STATUS(NOT_INITIALISED));
}

// Also if nothing else is wrong: otherwise the fault would show only with the first refusal.
static void a_misaligned_error_is_a_status(const Row* row, size_t i) {
  if (row->params[i].role != kError) return;
  Args args = good_args(row);
  args.at[i] = outputs[i] + 1;
  memset(outputs[i], kPattern, kRoom);
  CHECK(row->call(&args) == STATUS(MISALIGNED));
  CHECK(all(outputs[i], kRoom, kPattern));
}

int main(void) {
  make_inputs();
  for (size_t r = 0; r < sizeof kRows / sizeof kRows[0]; r++) {
    const Row* row = &kRows[r];
    snprintf(check_context, sizeof check_context, "%s", row->name);
    Args args = good_args(row);
    expect(row, &args, OK, 0);
    for (size_t i = 0; i < kParams && row->params[i].role != kEnd; i++) {
      a_null_pointer_is_a_status_or_allowed(row, i);
      if (row->params[i].role != kError) a_misaligned_pointer_is_a_status(row, i);
      a_misaligned_error_is_a_status(row, i);
      lengths_may_be_zero_but_not_huge(row, i);
      a_short_buffer_is_left_alone(row, i);
      a_handle_that_is_none_is_a_status(row, i);
    }
  }
  tokenpin_affinity_free(affinity);
  return check_report();
}
