// Sealed ids, as C sees them: the vectors, cut at every byte; every life of a state, every overlap,
// every number. contract.c tests the contract that all functions share.
//
// Argument: the folder of the vectors.
#include <stdlib.h>

#include "check.h"
#include "vectors.h"
#include "world.h"

#define OK TOKENPIN_STATUS_OK
#define STATUS(suffix) TOKENPIN_STATUS_##suffix
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SAY(...) snprintf(check_context, sizeof check_context, __VA_ARGS__)

enum { kPattern = 0xa5 };

// ---- One id ----

static void one_row(const Rows* rows) {
  const char* row = rows->row;
  tokenpin_cookie_key keys[TOKENPIN_MAX_COOKIE_KEYS];
  memset(keys, 0, sizeof keys);
  static tokenpin_id_ring ring;
  CHECK(tokenpin_id_ring_init(&ring, keys, keys_of(row, "ring", keys), NULL, NULL) == OK);
  static char scope[kRoom], owner[kRoom], out[kRoom];
  Value value = value_of(row, "scope");
  const size_t scope_len = from_hex(value.bytes, value.len, scope);
  value = value_of(row, "owner");
  const size_t owner_len = from_hex(value.bytes, value.len, owner);
  uint64_t pin = 77;
  uint8_t verdict = 77, key_id = 77;
  size_t len = 77;
  memset(out, kPattern, sizeof out);
  if (is_section(rows, "seal")) {
    pin = number_of(row, "pin", 16);
    value = value_of(row, "id");
    int32_t status = tokenpin_id_seal(&ring, scope, scope_len, owner, owner_len, pin, value.bytes,
                                      value.len, out, TOKENPIN_MAX_SEALED_ID, &len);
    value = value_of(row, "sealed");
    CHECK(status == (value.there ? OK : STATUS(ID)));
    if (value.there) CHECK(same(out, len, &value));
  } else if (is_section(rows, "mark")) {
    value = value_of(row, "content");
    CHECK(tokenpin_id_mark(&ring, scope, scope_len, owner, owner_len, number_of(row, "pin", 16),
                           value.bytes, value.len, out) == OK);
    value = value_of(row, "mark");
    CHECK(same(out, TOKENPIN_ID_MARK_LEN, &value));
  } else if (is_section(rows, "open")) {
    value = value_of(row, "text");
    CHECK(tokenpin_id_open(&ring, scope, scope_len, owner, owner_len, value.bytes, value.len, out,
                           TOKENPIN_MAX_ID, &len, &verdict, &pin, &key_id) == OK);
    value = value_of(row, "native");
    if (value.there) CHECK(same(out, len, &value));
  } else {
    value = value_of(row, "text");
    const Value text = value;
    CHECK(tokenpin_id_open_mark(&ring, scope, scope_len, owner, owner_len, value.bytes, value.len,
                                &len, &verdict, &pin) == OK);
    value = value_of(row, "content");
    if (value.there) CHECK(same(text.bytes, len, &value));
  }
  if (verdict != 77) {
    CHECK(verdict == number_named(TOKENPIN_ENUM_ID_VERDICT, value_of(row, "verdict").bytes));
    const bool sealed = verdict == TOKENPIN_ID_VERDICT_SEALED;
    value = value_of(row, "pin");
    CHECK(value.there == sealed);
    CHECK(pin == (sealed ? strtoull(value.bytes, NULL, 16) : 77));
    // Otherwise only the verdict is written.
    CHECK(sealed || (len == 77 && key_id == 77 && (uint8_t)out[0] == kPattern));
  }
  tokenpin_id_ring_wipe(&ring);
}

static void ids_are_those_of_the_vectors(const char* folder) {
  static Rows rows;
  rows.file = open_file(folder, "ids_v1.json");
  size_t count = 0;
  for (; next_row(&rows); count++) {
    SAY("ids_v1.json, %s, row %zu", rows.section, count);
    one_row(&rows);
  }
  CHECK(count > 1000);
  fclose(rows.file);
}

// ---- Bodies and targets ----

static World world;
static tokenpin_affinity* affinity;
static tokenpin_id_use use;

static void begin(const char* row, uint8_t mode) {
  world_init(&world);
  tokenpin_cookie_key keys[TOKENPIN_MAX_COOKIE_KEYS];
  memset(keys, 0, sizeof keys);
  world.config.id_keys = keys;
  world.config.id_key_count = keys_of(row, "ring", keys);
  world.config.slot_count = 2;  // account-a and account-b
  world.config.id_mode = mode;
  CHECK(tokenpin_affinity_new(&world.config, &affinity, NULL) == OK);
  memset(&use, 0, sizeof use);
}

// A body in chunks with given ends, each in memory of exactly its size.
typedef struct {
  char out[kRoom];
  size_t len;
  uint32_t changed, unexpected;
} Made;

static Made made;

static void put(const void* bytes, size_t len) {
  if (!CHECK(made.len + len <= kRoom)) return;
  if (len != 0) memcpy(made.out + made.len, bytes, len);
  made.len += len;
}

// Keeps a piece. Returns the number of consumed bytes.
static size_t keep(const tokenpin_piece* piece, const char* chunk, size_t len) {
  if (!CHECK(piece->pass <= piece->taken && piece->taken <= len)) return len;
  CHECK(piece->taken > 0 || piece->put_len > 0 || len == 0);
  put(chunk, piece->pass);
  put(piece->put, piece->put_len);
  made.changed = piece->changed;
  made.unexpected = piece->unexpected;
  return piece->taken;
}

static tokenpin_id_summary summary;
static tokenpin_id_opener opener;
static tokenpin_id_sealer sealer;

static void chunk_of(const char* bytes, size_t len, bool seals) {
  char* chunk = malloc(len + 1);
  for (size_t at = 0, steps = 0; at < len || steps == 0; steps++) {
    memcpy(chunk, bytes + at, len - at);
    // The state holds no pointer into the chunk: the chunk may move at any time, and so may the
    // state.
    const tokenpin_id_opener opener_copy = opener;
    const tokenpin_id_sealer sealer_copy = sealer;
    memset(&opener, kPattern, sizeof opener);
    memset(&sealer, kPattern, sizeof sealer);
    opener = opener_copy;
    sealer = sealer_copy;
    tokenpin_piece piece;
    int32_t status = seals ? tokenpin_affinity_seal_step(affinity, &use, &summary, 0, &sealer,
                                                         chunk, len - at, &piece)
                           : tokenpin_affinity_open_step(affinity, &use, &summary, &opener, chunk,
                                                         len - at, &piece);
    if (!CHECK(status == OK) || !CHECK(steps < 10000)) break;
    at += keep(&piece, chunk, len - at);
    if (len == 0) break;
  }
  free(chunk);
}

// Cut into chunks of `first` and then `more` bytes.
static void rewrite(const char* body, size_t len, size_t first, size_t more, bool seals,
                    uint8_t framing) {
  memset(&made, 0, sizeof made);
  CHECK(tokenpin_id_summary_init(&summary) == OK && tokenpin_id_opener_init(&opener) == OK);
  CHECK(tokenpin_id_sealer_init(&sealer, framing) == OK);
  size_t at = 0;
  for (size_t part = first; at < len; part = more) {
    if (part > len - at) part = len - at;
    chunk_of(body + at, part, seals);
    at += part;
  }
  tokenpin_piece piece;
  CHECK((seals ? tokenpin_affinity_seal_end(affinity, &use, &summary, 0, &sealer, &piece)
               : tokenpin_affinity_open_end(affinity, &use, &summary, &opener, &piece)) == OK);
  keep(&piece, NULL, 0);
}

static void check_summary(const char* row) {
  tokenpin_id_report report;
  CHECK(tokenpin_id_summary_report(&summary, &report) == OK);
  report_is(&report, strstr(row, "\"summary\":"));
}

static void a_response(const char* row) {
  static Value body, out;
  body = value_of(row, "body");
  out = value_of(row, "out");
  use.ids = number_named(TOKENPIN_ENUM_IDS, value_of(row, "ids").bytes);
  use.mode = TOKENPIN_MODE_SEAL;
  const uint8_t framing = is_true(row, "events");
  const uint64_t sealed = number_of(row, "sealed", 10);
  const uint64_t unexpected = number_of(row, "unexpected", 10);
  for (size_t cut = 0; cut <= body.len; cut++) {
    SAY("response cut at %zu: %.80s", cut, body.bytes);
    rewrite(body.bytes, body.len, cut == 0 ? 1 : cut, cut == 0 ? 1 : body.len, true, framing);
    CHECK(same(made.out, made.len, &out));
    CHECK(made.changed == sealed && made.unexpected == unexpected);
  }
}

static void a_request(const char* row) {
  static Value body, out;
  body = value_of(row, "body");
  out = value_of(row, "out");
  const uint64_t unexpected = number_of(row, "unexpected", 10);
  for (size_t cut = 0; cut <= body.len; cut++) {
    SAY("request cut at %zu: %.80s", cut, body.bytes);
    rewrite(body.bytes, body.len, cut == 0 ? 1 : cut, cut == 0 ? 1 : body.len, false, 0);
    CHECK(same(made.out, made.len, &out));
    CHECK(made.unexpected == unexpected);
    check_summary(row);
    tokenpin_id_report report;
    CHECK(tokenpin_id_summary_report(&summary, &report) == OK && made.changed == report.opened);
  }
  SAY("request in place: %.80s", body.bytes);
  char* place = malloc(body.len + 1);
  memcpy(place, body.bytes, body.len);
  size_t len = 77;
  uint32_t documents = 77;
  CHECK(tokenpin_id_summary_init(&summary) == OK);
  CHECK(tokenpin_affinity_open_in_place(affinity, &use, &summary, place, body.len, &len,
                                        &documents) == OK);
  CHECK(same(place, len, &out) && documents == unexpected);
  check_summary(row);
  free(place);
}

static void a_target(const char* row) {
  static Value target, out;
  target = value_of(row, "target");
  out = value_of(row, "out");
  SAY("target %.100s", target.bytes);
  CHECK(tokenpin_id_summary_init(&summary) == OK);
  const tokenpin_id_summary before = summary;
  char* buffer = malloc(target.len + 1);
  memset(buffer, kPattern, target.len + 1);
  size_t len = 77;
  // Enough for the original, regardless of the result.
  for (size_t room = 0; room < target.len; room++) {
    CHECK(tokenpin_affinity_open_target(affinity, &use, &summary, target.bytes, target.len, buffer,
                                        room, &len) == STATUS(BUFFER_TOO_SMALL));
    CHECK(len == target.len && (uint8_t)buffer[0] == kPattern);
    CHECK(memcmp(&summary, &before, sizeof summary) == 0);
  }
  CHECK(tokenpin_affinity_open_target(affinity, &use, &summary, target.bytes, target.len, buffer,
                                      target.len, &len) == OK);
  CHECK(same(buffer, len, &out) && (uint8_t)buffer[target.len] == kPattern);
  check_summary(row);
  tokenpin_id_report report;
  CHECK(tokenpin_id_summary_report(&summary, &report) == OK);
  CHECK(report.seals == (use.mode >= TOKENPIN_MODE_SEAL));
  CHECK(report.changes_response ==
        (report.seals || (use.mode == TOKENPIN_MODE_OPEN && report.opened != 0)));
  free(buffer);
}

// The gateway that seals the locations.
static Value upstream, origin;

static void a_location(const char* row) {
  static Value target, out;
  target = value_of(row, "target");
  out = value_of(row, "out");
  SAY("location %.100s", target.bytes);
  use.mode = TOKENPIN_MODE_SEAL;
  use.upstream = (tokenpin_bytes){upstream.bytes, upstream.len};
  use.origin = (tokenpin_bytes){origin.bytes, origin.len};
  char* buffer = malloc(out.len + 1);
  size_t len = 77;
  for (size_t room = 0; room <= out.len; room++) {
    int32_t status = tokenpin_affinity_seal_target(affinity, &use, NULL, 0, target.bytes,
                                                   target.len, buffer, room, &len);
    CHECK(status == (room < out.len ? STATUS(BUFFER_TOO_SMALL) : OK) && len == out.len);
  }
  CHECK(same(buffer, len, &out));
  free(buffer);
}

static void bodies_are_those_of_the_vectors(const char* folder) {
  static Rows rows;
  rows.file = open_file(folder, "id_bodies_v1.json");
  size_t count = 0;
  for (; next_row(&rows); count++) {
    if (is_section(&rows, "with")) {
      begin(rows.row, TOKENPIN_MODE_OFF);
      upstream = value_of(rows.row, "upstream");
      origin = value_of(rows.row, "origin");
      use.has_mode = 1;
      continue;
    }
    use.ids = TOKENPIN_IDS_ITEMS;
    if (is_section(&rows, "requests") || is_section(&rows, "targets")) {
      use.mode = number_named(TOKENPIN_ENUM_MODE, value_of(rows.row, "mode").bytes);
    }
    if (is_section(&rows, "responses")) a_response(rows.row);
    if (is_section(&rows, "requests")) a_request(rows.row);
    if (is_section(&rows, "targets")) a_target(rows.row);
    if (is_section(&rows, "locations")) a_location(rows.row);
  }
  CHECK(count > 200);
  fclose(rows.file);
  tokenpin_affinity_free(affinity);
}

// ---- Neighbours ----

static void begin_sealing(void) {
  world_init(&world);
  world.config.id_mode = TOKENPIN_MODE_SEAL;
  CHECK(tokenpin_affinity_new(&world.config, &affinity, NULL) == OK);
  memset(&use, 0, sizeof use);
  use.ids = TOKENPIN_IDS_ITEMS;
  CHECK(tokenpin_id_summary_init(&summary) == OK && tokenpin_id_opener_init(&opener) == OK);
  CHECK(tokenpin_id_sealer_init(&sealer, TOKENPIN_FRAMING_JSON) == OK);
}

static const char kBody[] = "{\"previous_response_id\":\"resp_1\",\"file_id\":\"file-1\"}";

static int32_t open_body(tokenpin_piece* piece) {
  return tokenpin_affinity_open_step(affinity, &use, &summary, &opener, kBody, strlen(kBody),
                                     piece);
}

static int32_t seal_body(uint32_t slot, tokenpin_piece* piece) {
  return tokenpin_affinity_seal_step(affinity, &use, &summary, slot, &sealer, kBody, strlen(kBody),
                                     piece);
}

// Each fault in the context of rewriting, in each function.
static void what_is_used_is_checked(void) {
  begin_sealing();
  const tokenpin_id_use good = use;
  char place[sizeof kBody], out[100];
  size_t len;
  uint32_t unexpected;
  tokenpin_piece piece;
  memcpy(place, kBody, sizeof kBody);
#define EACH(status)                                                                             \
  do {                                                                                           \
    CHECK(open_body(&piece) == (status));                                                        \
    CHECK(tokenpin_affinity_open_end(affinity, &use, &summary, &opener, &piece) == (status));    \
    CHECK(tokenpin_affinity_open_in_place(affinity, &use, &summary, place, strlen(kBody), &len,  \
                                          &unexpected) == (status));                             \
    CHECK(tokenpin_affinity_open_target(affinity, &use, &summary, "/", 1, out, sizeof out,       \
                                        &len) == (status));                                      \
    CHECK(seal_body(0, &piece) == (status));                                                     \
    CHECK(tokenpin_affinity_seal_end(affinity, &use, &summary, 0, &sealer, &piece) == (status)); \
    CHECK(tokenpin_affinity_seal_target(affinity, &use, &summary, 0, "/", 1, out, sizeof out,    \
                                        &len) == (status));                                      \
    use = good;                                                                                  \
  } while (0)
  for (int number = 0; number < 256; number++) {
    SAY("number %d", number);
    use.ids = (uint8_t)number;
    EACH(number > TOKENPIN_IDS_ITEMS ? STATUS(BAD_ENUM) : OK);
    use.has_mode = (uint8_t)number;
    EACH(number > 1 ? STATUS(BAD_ENUM) : OK);
    use.has_mode = 1;
    use.mode = (uint8_t)number;
    EACH(number > TOKENPIN_MODE_STRICT ? STATUS(BAD_ENUM) : OK);
    // A mode that is not used may have any value.
    use.mode = (uint8_t)number;
    EACH(OK);
    tokenpin_id_sealer other;
    CHECK(tokenpin_id_sealer_init(&other, (uint8_t)number) ==
          (number > TOKENPIN_FRAMING_EVENTS ? STATUS(BAD_ENUM) : OK));
  }
  tokenpin_bytes* const kBytes[] = {&use.scope, &use.owner, &use.upstream, &use.origin};
  static char longest[TOKENPIN_MAX_KEY + 1];
  for (size_t i = 0; i < COUNT(kBytes); i++) {
    SAY("bytes %zu", i);
    kBytes[i]->len = 1;
    EACH(STATUS(NULL_POINTER));
    kBytes[i]->ptr = "x";
    kBytes[i]->len = (size_t)PTRDIFF_MAX + 1;
    EACH(STATUS(LENGTH));
  }
  use.scope.ptr = use.owner.ptr = longest;
  use.scope.len = TOKENPIN_MAX_SCOPE;
  use.owner.len = TOKENPIN_MAX_KEY;
  const tokenpin_id_use largest = use;
  EACH(OK);
  use = largest;
  use.scope.len++;
  EACH(STATUS(SCOPE_LENGTH));
  use = largest;
  use.owner.len++;
  EACH(STATUS(KEY_LENGTH));
  // A failure changes nothing: the document still begins.
  CHECK(memcmp(place, kBody, sizeof kBody) == 0);
  for (uint32_t slot = 0; slot < 6; slot++) {
    SAY("slot %u", slot);
    const int32_t status =
        slot < kAccounts ? OK : (slot < kSlots ? STATUS(VACANT) : STATUS(SLOT_RANGE));
    CHECK(seal_body(slot, &piece) == status);
    CHECK(tokenpin_affinity_seal_end(affinity, &use, &summary, slot, &sealer, &piece) == status);
    CHECK(tokenpin_affinity_seal_target(affinity, &use, NULL, slot, "/", 1, out, sizeof out,
                                        &len) == status);
  }
  tokenpin_affinity_free(affinity);
}

// Memory that is written to must not overlap other memory of the call, but may touch it.
static void overlaps_are_refused_and_neighbours_are_not(void) {
  begin_sealing();
  _Alignas(16) static union {
    unsigned char bytes[1 << 14];
    uint64_t words[1 << 11];
  } area;
  enum { kMiddle = 1 << 13, kUse = 0, kSummary, kState, kChunk, kScope, kPiece, kThings };
  const size_t body = strlen(kBody);
  static const char* const kNames[kThings] = {"use", "summary", "state", "chunk", "scope", "piece"};
  const void* const from[kThings] = {&use, &summary, NULL, kBody, "scopexyz", NULL};
  // Two of the objects lie in the area, the second from `off` bytes behind the start of the first.
  for (int i = 0; i < kThings * kThings * 2; i++) {
    const int a = i % kThings, b = i / kThings % kThings, seals = i / kThings / kThings;
    const void* state = seals ? (const void*)&sealer : (const void*)&opener;
    const size_t sizes[kThings] = {
        sizeof use, sizeof summary,        seals ? sizeof sealer : sizeof opener, body,
        8,          sizeof(tokenpin_piece)};
    const ptrdiff_t size_a = (ptrdiff_t)sizes[a], size_b = (ptrdiff_t)sizes[b];
    // Read-only memory may overlap.
    const bool written = a == kState || b == kState || a == kPiece || b == kPiece ||
                         (!seals && (a == kSummary || b == kSummary));
    if (a == b || !written) continue;
    for (ptrdiff_t off = -size_b - 16; off <= size_a + 16; off += 8) {
      SAY("%d, %s, and %s at %td", seals, kNames[a], kNames[b], off);
      const bool overlap = off > -size_b && off < size_a;
      // If two overlap, only the first is valid, which has to be the context.
      if (overlap && b == kUse) continue;
      static _Alignas(16) unsigned char others[kThings][2048];
      unsigned char* at[kThings];
      for (int j = 0; j < kThings; j++) {
        at[j] = j == a ? area.bytes + kMiddle : (j == b ? area.bytes + kMiddle + off : others[j]);
        const void* made_of = j == kState ? state : from[j];
        if (made_of != NULL && !(j == b && overlap)) memcpy(at[j], made_of, sizes[j]);
      }
      tokenpin_id_use* its_use = (tokenpin_id_use*)(void*)at[kUse];
      its_use->scope.ptr = at[kScope];
      its_use->scope.len = 8;
      tokenpin_piece* piece = (tokenpin_piece*)(void*)at[kPiece];
      tokenpin_id_summary* its_summary = (tokenpin_id_summary*)(void*)at[kSummary];
      const int32_t status =
          seals ? tokenpin_affinity_seal_step(affinity, its_use, its_summary, 0,
                                              (tokenpin_id_sealer*)(void*)at[kState], at[kChunk],
                                              body, piece)
                : tokenpin_affinity_open_step(affinity, its_use, its_summary,
                                              (tokenpin_id_opener*)(void*)at[kState], at[kChunk],
                                              body, piece);
      CHECK(status == (overlap ? STATUS(OVERLAP) : OK));
    }
  }
  SAY("a state within the affinity's memory");
  tokenpin_piece piece;
  unsigned char* inside = (unsigned char*)affinity;
  tokenpin_id_sealer* there = (tokenpin_id_sealer*)(void*)(inside + 64);
  tokenpin_id_sealer kept;
  memcpy(&kept, there, 64);
  CHECK(tokenpin_affinity_seal_step(affinity, &use, &summary, 0, there, kBody, body, &piece) ==
        STATUS(OVERLAP));
  CHECK(memcmp(&kept, there, 64) == 0);
  SAY("a body that is rewritten, within what it is rewritten with");
  size_t len;
  uint32_t unexpected;
  char* const kPlaces[] = {(char*)affinity, (char*)&use, (char*)&summary, (char*)&len,
                           (char*)&unexpected};
  for (size_t i = 0; i < COUNT(kPlaces); i++) {
    CHECK(tokenpin_affinity_open_in_place(affinity, &use, &summary, kPlaces[i], 4, &len,
                                          &unexpected) == STATUS(OVERLAP));
  }
  SAY("an output within a target");
  char target[64] = "/v1/files/file-1";
  for (size_t off = 0; off < 32; off++) {
    const int32_t status = off < 16 ? STATUS(OVERLAP) : OK;
    CHECK(tokenpin_affinity_open_target(affinity, &use, &summary, target, 16, target + off, 16,
                                        &len) == status);
    CHECK(tokenpin_affinity_open_target(affinity, &use, &summary, "/v1/files/file-1", 16, &summary,
                                        16, &len) == STATUS(OVERLAP));
    memcpy(target, "/v1/files/file-1", 16);
    char far[64];
    CHECK(tokenpin_affinity_seal_target(affinity, &use, &summary, 0, far, 16, far + off, 48,
                                        &len) == status);
    if (off == 16) break;
  }
  tokenpin_affinity_free(affinity);
}

// ---- A request and its response ----

static void seal_into(char* out, size_t room, const char* account, const char* native) {
  tokenpin_id_ring ring;
  uint64_t pin;
  size_t len = 0;
  CHECK(tokenpin_id_ring_init(&ring, world.keys, 2, NULL, NULL) == OK);
  CHECK(tokenpin_identity_hash(account, strlen(account), &pin) == OK);
  CHECK(tokenpin_id_seal(&ring, NULL, 0, use.owner.ptr, use.owner.len, pin, native, strlen(native),
                         out, room - 1, &len) == OK);
  out[len] = 0;
  tokenpin_id_ring_wipe(&ring);
}

static tokenpin_decision decide_body(const char* body) {
  static char place[2000];
  size_t len;
  uint32_t unexpected;
  snprintf(place, sizeof place, "%s", body);
  CHECK(tokenpin_id_summary_init(&summary) == OK);
  CHECK(tokenpin_affinity_open_in_place(affinity, &use, &summary, place, strlen(place), &len,
                                        &unexpected) == OK);
  tokenpin_request request = request_to_create();
  request.ids = &summary;
  tokenpin_decision decision;
  CHECK(tokenpin_affinity_decide(affinity, &request, &decision) == OK);
  return decision;
}

static void refused(const tokenpin_decision* decision, uint8_t expected, uint16_t http) {
  uint8_t refusal = 77;
  uint16_t status = 77;
  CHECK(tokenpin_decision_refusal(decision, &status, &refusal) == OK);
  CHECK(refusal == expected && status == http);
}

static void a_decision_follows_the_ids(void) {
  begin_sealing();
  const char* const kAccountNames[] = {"account-a", "account-b", "account-c"};
  char id[TOKENPIN_MAX_SEALED_ID + 1], other[TOKENPIN_MAX_SEALED_ID + 1], body[2000];
  tokenpin_decision decision;
  for (uint32_t slot = 0; slot < kAccounts; slot++) {
    SAY("slot %u", slot);
    seal_into(id, sizeof id, kAccountNames[slot], "resp_1");
    snprintf(body, sizeof body, "{\"previous_response_id\":\"%s\"}", id);
    decision = decide_body(body);
    CHECK(decision.slot == slot && decision.source == TOKENPIN_SOURCE_ID);
    CHECK(decision.outcome == TOKENPIN_OUTCOME_PINNED && decision.existing == 1);
    CHECK(decision.id_verdict == TOKENPIN_ID_VERDICT_SEALED);
    CHECK(decision.id_keys[0] == 6 && decision.id_keys[1] == TOKENPIN_ID_KEY_NONE);
    refused(&decision, TOKENPIN_REFUSAL_NONE, 200);
    const tokenpin_slot_status down = {kNow + 60, TOKENPIN_MAX_WEIGHT, TOKENPIN_STATE_DOWN};
    const tokenpin_slot_status up = {0, TOKENPIN_MAX_WEIGHT, TOKENPIN_STATE_UP};
    CHECK(tokenpin_affinity_set_slot(affinity, slot, &down) == OK);
    decision = decide_body(body);
    CHECK(decision.slot == TOKENPIN_SLOT_NONE && decision.retry_after == 60);
    refused(&decision, TOKENPIN_REFUSAL_SESSION_UNAVAILABLE, 503);
    CHECK(tokenpin_affinity_set_slot(affinity, slot, &up) == OK);
  }
  SAY("refusals");
  seal_into(id, sizeof id, "account-x", "resp_1");
  snprintf(body, sizeof body, "{\"previous_response_id\":\"%s\"}", id);
  decision = decide_body(body);
  refused(&decision, TOKENPIN_REFUSAL_PREVIOUS_RESPONSE_NOT_FOUND, 400);
  snprintf(body, sizeof body, "{\"file_id\":\"%s\"}", id);
  decision = decide_body(body);
  refused(&decision, TOKENPIN_REFUSAL_NOT_FOUND, 404);
  seal_into(id, sizeof id, "account-a", "file-1");
  seal_into(other, sizeof other, "account-b", "file-2");
  snprintf(body, sizeof body, "{\"file_id\":\"%s\",\"container\":\"%s\"}", id, other);
  decision = decide_body(body);
  CHECK(decision.id_verdict == TOKENPIN_ID_VERDICT_CONFLICT);
  refused(&decision, TOKENPIN_REFUSAL_CONFLICTING_ACCOUNTS, 400);
  CHECK(decision.id_keys[0] == 17 && decision.id_keys[1] == 8);
  memset(body, 0, sizeof body);
  strcpy(body, "{\"file_id\":\"\\u0066");
  memset(body + strlen(body), 'x', 700);
  strcat(body, "\"}");
  decision = decide_body(body);
  refused(&decision, TOKENPIN_REFUSAL_UNREADABLE_BODY, 400);
  tokenpin_id_ring ring;
  uint64_t pin;
  char mark[TOKENPIN_ID_MARK_LEN];
  CHECK(tokenpin_id_ring_init(&ring, world.keys, 2, NULL, NULL) == OK);
  CHECK(tokenpin_identity_hash("account-x", 9, &pin) == OK);
  CHECK(tokenpin_id_mark(&ring, NULL, 0, NULL, 0, pin, "gAAAAABo", 8, mark) == OK);
  snprintf(body, sizeof body, "{\"encrypted_content\":\"gAAAAABo%.*s\"}", (int)sizeof mark, mark);
  decision = decide_body(body);
  refused(&decision, TOKENPIN_REFUSAL_INVALID_ENCRYPTED_CONTENT, 400);
  SAY("a decision that no library made");
  const tokenpin_decision good = decision;
  uint8_t* const kNumbers[] = {&decision.source, &decision.outcome, &decision.pin_state,
                               &decision.id_verdict};
  for (size_t i = 0; i < COUNT(kNumbers); i++) {
    uint8_t refusal = 77;
    uint16_t status = 77;
    *kNumbers[i] = 8;
    CHECK(tokenpin_decision_refusal(&decision, &status, &refusal) == STATUS(BAD_DECISION));
    CHECK(refusal == 77 && status == 77);
    decision = good;
  }
  SAY("a summary that is none");
  tokenpin_request request = request_to_create();
  tokenpin_id_summary none;
  memset(&none, 0, sizeof none);
  request.ids = &none;
  CHECK(tokenpin_affinity_decide(affinity, &request, &decision) == STATUS(NOT_INITIALISED));
  request.ids = (const void*)((const char*)&none + 1);
  CHECK(tokenpin_affinity_decide(affinity, &request, &decision) == STATUS(MISALIGNED));
  tokenpin_affinity_free(affinity);
}

static void seal_whole(const char* body, const tokenpin_id_summary* of) {
  memset(&made, 0, sizeof made);
  CHECK(tokenpin_id_sealer_init(&sealer, TOKENPIN_FRAMING_JSON) == OK);
  tokenpin_piece piece;
  for (size_t at = 0; at < strlen(body);) {
    CHECK(tokenpin_affinity_seal_step(affinity, &use, of, 0, &sealer, body + at, strlen(body) - at,
                                      &piece) == OK);
    at += keep(&piece, body + at, strlen(body) - at);
  }
  CHECK(tokenpin_affinity_seal_end(affinity, &use, of, 0, &sealer, &piece) == OK);
  keep(&piece, NULL, 0);
}

static void a_response_is_spelled_as_the_request_was(void) {
  begin_sealing();
  SAY("echo");
  char id[TOKENPIN_MAX_SEALED_ID + 1], expected[1000];
  seal_into(id, sizeof id, "account-a", "resp_1");
  decide_body("{\"previous_response_id\":\"resp_1\"}");
  const char* body = "{\"id\":\"resp_1\"}";
  seal_whole(body, &summary);
  CHECK(made.len == strlen(body) && memcmp(made.out, body, made.len) == 0 && made.changed == 0);
  seal_whole(body, NULL);
  snprintf(expected, sizeof expected, "{\"id\":\"%s\"}", id);
  CHECK(made.len == strlen(expected) && memcmp(made.out, expected, made.len) == 0);
  CHECK(made.changed == 1);
  SAY("URLs");
  body = "{\"results_url\":\"https://up.example/v1/messages/batches/resp_1/results\"}";
  seal_whole(body, NULL);
  CHECK(made.len == strlen(body) && memcmp(made.out, body, made.len) == 0);
  use.upstream = text("UP.example");
  use.origin = text("http://gateway.example:8080");
  seal_whole(body, NULL);
  snprintf(expected, sizeof expected,
           "{\"results_url\":\"http://gateway.example:8080/v1/messages/batches/%s/results\"}", id);
  CHECK(made.len == strlen(expected) && memcmp(made.out, expected, made.len) == 0);
  tokenpin_affinity_free(affinity);
}

static void ids_may_belong_to_consumers(void) {
  for (uint8_t mode = 0; mode < 2; mode++) {
    SAY("id_owner %u", mode);
    world_init(&world);
    world.config.id_mode = TOKENPIN_MODE_SEAL;
    world.config.id_owner = mode;
    CHECK(tokenpin_affinity_new(&world.config, &affinity, NULL) == OK);
    memset(&use, 0, sizeof use);
    use.ids = TOKENPIN_IDS_ITEMS;
    const tokenpin_bytes alice = text("alice"), both[] = {text("alice"), text("bob")};
    tokenpin_request request = request_to_create();
    tokenpin_bytes owner = {NULL, 77};
    CHECK(tokenpin_affinity_id_owner(affinity, &request, &owner) == OK && owner.len == 0);
    request.consumers = &alice;
    request.consumer_count = 1;
    CHECK(tokenpin_affinity_id_owner(affinity, &request, &owner) == OK && owner.len == 0);
    request.consumer_trusted = 1;
    CHECK(tokenpin_affinity_id_owner(affinity, &request, &owner) == OK);
    CHECK(mode == 0 ? owner.len == 0 : owner.ptr == alice.ptr && owner.len == 5);
    request.consumers = both;
    request.consumer_count = 2;
    tokenpin_bytes none;
    CHECK(tokenpin_affinity_id_owner(affinity, &request, &none) == OK && none.len == 0);
    // An id sealed for one owner is refused to another.
    char id[TOKENPIN_MAX_SEALED_ID + 1], body[400];
    use.owner = owner;
    seal_into(id, sizeof id, "account-a", "resp_1");
    snprintf(body, sizeof body, "{\"previous_response_id\":\"%s\"}", id);
    tokenpin_decision decision = decide_body(body);
    CHECK(decision.slot == 0);
    use.owner = text("bob");
    decision = decide_body(body);
    CHECK(decision.slot == TOKENPIN_SLOT_NONE);
    CHECK(decision.id_verdict == TOKENPIN_ID_VERDICT_BAD_SEAL);
    tokenpin_affinity_free(affinity);
  }
}

// The additions of a configuration are copied, and take effect.
static void a_configuration_adds_to_the_table(void) {
  SAY("additions");
  world_init(&world);
  tokenpin_id_field fields[2] = {{text("my_ref"), TOKENPIN_KEY_KIND_ID},
                                 {text("theirs"), TOKENPIN_KEY_KIND_OPAQUE}};
  tokenpin_bytes prefixes[2] = {text("mine_"), text("own-")}, collections[1] = {text("things")};
  char words[] = "my_reftheirsmine_own-things";
  fields[0].name.ptr = words;
  fields[1].name.ptr = words + 6;
  prefixes[0].ptr = words + 12;
  prefixes[1].ptr = words + 17;
  collections[0].ptr = words + 21;
  world.config.id_mode = TOKENPIN_MODE_SEAL;
  world.config.id_fields = fields;
  world.config.id_field_count = 2;
  world.config.id_prefixes = prefixes;
  world.config.id_prefix_count = 2;
  world.config.id_collections = collections;
  world.config.id_collection_count = 1;
  size_t size = 0;
  CHECK(tokenpin_affinity_size(&world.config, &size, NULL) == OK);
  unsigned char* memory = aligned_alloc(TOKENPIN_AFFINITY_ALIGN, (size + 31) / 16 * 16);
  memset(memory, kPattern, (size + 31) / 16 * 16);
  CHECK(tokenpin_affinity_init(memory, size - 1, &world.config, &affinity, NULL) ==
        STATUS(BUFFER_TOO_SMALL));
  CHECK(tokenpin_affinity_init(memory, size, &world.config, &affinity, NULL) == OK);
  for (size_t i = size; i < (size + 31) / 16 * 16; i++) CHECK(memory[i] == kPattern);
  memset(words, 'z', sizeof words);
  memset(fields, 0, sizeof fields);
  memset(prefixes, 0, sizeof prefixes);
  memset(collections, 0, sizeof collections);
  memset(&use, 0, sizeof use);
  use.ids = TOKENPIN_IDS_BOTH;
  seal_whole(
      "{\"my_ref\":\"mine_1\",\"a\":{\"my_ref\":\"own-1\"},\"theirs\":{\"my_ref\":\"own-1\"}}",
      NULL);
  CHECK(made.changed == 2 && made.unexpected == 0);
  char out[200];
  size_t len = 0;
  CHECK(tokenpin_affinity_seal_target(affinity, &use, NULL, 0, "/v2/things/own-1", 16, out,
                                      sizeof out, &len) == OK);
  CHECK(len == 16 + TOKENPIN_ID_MARK_LEN);
  CHECK(tokenpin_affinity_seal_target(affinity, &use, NULL, 0, "/v2/thinga/own-1", 16, out,
                                      sizeof out, &len) == OK);
  CHECK(len == 16);
  SAY("names of keys");
  tokenpin_bytes name = {NULL, 0};
  int known = 0;
  for (int number = 0; number < 256; number++) {
    known += tokenpin_affinity_id_key(affinity, (uint8_t)number, &name) == OK;
  }
  CHECK(name.len == 6 && memcmp(name.ptr, "theirs", 6) == 0);
  CHECK(tokenpin_affinity_id_key(affinity, 6, &name) == OK && name.len == 20);
  CHECK(memcmp(name.ptr, "previous_response_id", 20) == 0);
  CHECK(tokenpin_affinity_id_key(affinity, TOKENPIN_ID_KEY_NONE, &name) == STATUS(BAD_ENUM));
  CHECK(tokenpin_affinity_id_key(affinity, (uint8_t)known, &name) == STATUS(BAD_ENUM));
  tokenpin_affinity_wipe(affinity);
  free(memory);
}

static void an_affinity_seals_like_its_ring(void) {
  SAY("the ring of an affinity");
  for (int own = 0; own < 2; own++) {
    world_init(&world);
    world.config.id_mode = TOKENPIN_MODE_SEAL;
    if (own) {
      world.config.id_keys = &world.keys[4];
      world.config.id_key_count = 1;
      world.keys[4].role = TOKENPIN_ROLE_SIGN;
    }
    CHECK(tokenpin_affinity_new(&world.config, &affinity, NULL) == OK);
    memset(&use, 0, sizeof use);
    use.ids = TOKENPIN_IDS_BOTH;
    seal_whole("{\"id\":\"file-1\"}", NULL);
    tokenpin_id_ring ring;
    uint64_t pin = 0;
    uint8_t verdict = 0, key_id = 0;
    char native[TOKENPIN_MAX_ID];
    size_t len = 0;
    CHECK(tokenpin_id_ring_init(&ring, own ? &world.keys[4] : world.keys, own ? 1 : 2, NULL,
                                NULL) == OK);
    CHECK(tokenpin_id_open(&ring, NULL, 0, NULL, 0, made.out + 7, made.len - 9, native,
                           sizeof native, &len, &verdict, &pin, &key_id) == OK);
    CHECK(verdict == TOKENPIN_ID_VERDICT_SEALED && key_id == (own ? 5 : 1));
    CHECK(len == 6 && memcmp(native, "file-1", 6) == 0);
    tokenpin_affinity_free(affinity);
  }
}

int main(int argc, char** argv) {
  if (!CHECK(argc == 2)) return check_report();
  ids_are_those_of_the_vectors(argv[1]);
  bodies_are_those_of_the_vectors(argv[1]);
  what_is_used_is_checked();
  overlaps_are_refused_and_neighbours_are_not();
  a_decision_follows_the_ids();
  a_response_is_spelled_as_the_request_was();
  ids_may_belong_to_consumers();
  a_configuration_adds_to_the_table();
  an_affinity_seals_like_its_ring();
  return check_report();
}
