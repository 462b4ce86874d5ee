// Calls each hot function with fixed inputs, kCalls times from a separate function, so that
// callgrind can report the cost of one call. Each case also checks its answers: an error would be
// cheap.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tokenpin.h>

#include "numbers.h"

#ifndef CALLS
#define CALLS 1000
#endif
enum { kCalls = CALLS, kSlots = 64, kNow = 1800000000 };

#define CASE(name) __attribute__((noinline)) static void case_##name(void)
// Inlined, so that the case itself calls the library.
#define PART __attribute__((always_inline)) static inline void
#define OK(call)                                                \
  do {                                                          \
    if ((call) != TOKENPIN_STATUS_OK) fail(__func__, __LINE__); \
  } while (0)
#define CHECK(condition)                        \
  do {                                          \
    if (!(condition)) fail(__func__, __LINE__); \
  } while (0)

static void fail(const char* name, int line) {
  fprintf(stderr, "driver.c:%d: %s failed\n", line, name);
  exit(1);
}

static uint64_t hashes[kCalls];
static uint32_t selected[kCalls];
static tokenpin_slot up[kSlots], quarter_down[kSlots], mixed[kSlots];
static tokenpin_affinity *affinity, *quarter_down_affinity, *sealing_affinity;
static tokenpin_key_ring ring;
static const uint8_t placement_key[16] = "placement key 1";
static const char kName[] = "__Host-tokenpin";
static const char kConsumer[] = "550e8400-e29b-41d4-a716-446655440000";
static tokenpin_bytes home, elsewhere, forged, home_down;

static tokenpin_bytes text(const char* string) {
  tokenpin_bytes bytes = {string, strlen(string)};
  return bytes;
}

PART jump_to(uint32_t buckets) {
  for (int i = 0; i < kCalls; i++) OK(tokenpin_jump(hashes[i], buckets, &selected[i]));
}
CASE(jump_8) { jump_to(8); }
CASE(jump_64) { jump_to(64); }
CASE(jump_1024) { jump_to(1024); }

static const tokenpin_filter filter = {.now = kNow, .anonymous = 1};

PART select_from(uint8_t strategy, const tokenpin_slot* slots, size_t count) {
  for (int i = 0; i < kCalls; i++) {
    OK(tokenpin_select(strategy, slots, count, &filter, hashes[i], &selected[i]));
  }
}
CASE(select_8) { select_from(TOKENPIN_STRATEGY_JUMP, up, 8); }
CASE(select_64) { select_from(TOKENPIN_STRATEGY_JUMP, up, 64); }
CASE(select_64_quarter_down) { select_from(TOKENPIN_STRATEGY_JUMP, quarter_down, 64); }
CASE(select_64_mixed_weights) { select_from(TOKENPIN_STRATEGY_JUMP, mixed, 64); }
CASE(rendezvous_8) { select_from(TOKENPIN_STRATEGY_RENDEZVOUS, up, 8); }
CASE(rendezvous_64) { select_from(TOKENPIN_STRATEGY_RENDEZVOUS, up, 64); }
CASE(rendezvous_64_mixed_weights) { select_from(TOKENPIN_STRATEGY_RENDEZVOUS, mixed, 64); }

// One call of kCalls hashes.
PART batch_from(const tokenpin_slot* slots, size_t count) {
  OK(tokenpin_select_batch(TOKENPIN_STRATEGY_JUMP, slots, count, &filter, hashes, kCalls,
                           selected));
}
CASE(batch_of_1000_8) { batch_from(up, 8); }
CASE(batch_of_1000_64) { batch_from(up, 64); }
CASE(batch_of_1000_64_quarter_down) { batch_from(quarter_down, 64); }

CASE(key_hash_36_bytes) {
  tokenpin_key key = {.kind = TOKENPIN_KIND_CONSUMER, .key = text(kConsumer)};
  uint64_t hash;
  for (int i = 0; i < kCalls; i++) OK(tokenpin_key_hash(placement_key, NULL, 0, &key, &hash));
}

CASE(cookie_encode) {
  tokenpin_cookie cookie = {.pin = 7, .issued_at = kNow, .refreshed_at = kNow};
  char value[TOKENPIN_COOKIE_VALUE_LEN];
  for (int i = 0; i < kCalls; i++) {
    OK(tokenpin_cookie_encode(&ring, kName, strlen(kName), NULL, 0, NULL, &cookie, value));
  }
}

PART decode(tokenpin_bytes pair, uint8_t expected) {
  tokenpin_limits limits = {.skew = 300, .max_life = 1000000};
  const char* value = (const char*)pair.ptr + strlen(kName) + 1;
  uint8_t verdict;
  for (int i = 0; i < kCalls; i++) {
    OK(tokenpin_cookie_decode(&ring, kName, strlen(kName), NULL, 0, NULL, &limits, kNow, value,
                              TOKENPIN_COOKIE_VALUE_LEN, &verdict, NULL));
    CHECK(verdict == expected);
  }
}
CASE(cookie_decode) { decode(home, TOKENPIN_VERDICT_VALID); }
CASE(cookie_decode_forged) { decode(forged, TOKENPIN_VERDICT_BAD_TAG); }

CASE(cookie_next) {
  char field[400];
  snprintf(field, sizeof field, "theme=dark; _ga=GA1.1.1234567890.1700000000; %.*s; lang=en",
           (int)home.len, (const char*)home.ptr);
  for (int i = 0; i < kCalls; i++) {
    size_t offset = 0;
    tokenpin_bytes value;
    OK(tokenpin_cookie_next(field, strlen(field), kName, strlen(kName), &offset, &value));
  }
}

static const char kTarget[] = "/v1/responses";

CASE(classify) {
  uint8_t group, existing, ids;
  for (int i = 0; i < kCalls; i++) {
    OK(tokenpin_affinity_classify(affinity, "POST", 4, kTarget, strlen(kTarget), &group, &existing,
                                  &ids));
    CHECK(group == TOKENPIN_GROUP_STATEFUL && existing == 0);
  }
}

CASE(find) {
  uint32_t slot;
  for (int i = 0; i < kCalls; i++) {
    OK(tokenpin_affinity_find(affinity, "account-7", 9, &slot));
    CHECK(slot == 7);
  }
}

// `consumer` and `pair` may be empty.
PART decide_by(const tokenpin_affinity* by, const char* method, const char* target,
               const char* consumer, tokenpin_bytes pair, uint8_t source, uint8_t verdict,
               uint8_t pin_state) {
  tokenpin_bytes name = text(consumer);
  tokenpin_request request = {.method = text(method),
                              .target = text(target),
                              .consumers = &name,
                              .consumer_count = name.len != 0,
                              .consumer_trusted = 1,
                              .cookies = &pair,
                              .cookie_count = pair.len != 0,
                              .now = kNow,
                              .entropy = "sixteen bytes.."};
  tokenpin_decision decision;
  for (int i = 0; i < kCalls; i++) {
    OK(tokenpin_affinity_decide(by, &request, &decision));
    CHECK(decision.source == source && decision.verdict == verdict);
    CHECK(decision.pin_state == pin_state);
  }
}
static const tokenpin_bytes none;
PART decide(const char* method, const char* target, const char* consumer, tokenpin_bytes pair,
            uint8_t source, uint8_t verdict, uint8_t pin_state) {
  decide_by(affinity, method, target, consumer, pair, source, verdict, pin_state);
}
CASE(decide_stateless) {
  decide("POST", "/v1/embeddings", "", none, TOKENPIN_SOURCE_STATELESS, 0, 0);
}
CASE(decide_consumer) { decide("POST", kTarget, kConsumer, none, TOKENPIN_SOURCE_CONSUMER, 0, 0); }
CASE(decide_minted) { decide("POST", kTarget, "", none, TOKENPIN_SOURCE_MINTED, 0, 0); }
CASE(decide_home) {
  decide("POST", kTarget, "", home, TOKENPIN_SOURCE_COOKIE, TOKENPIN_VERDICT_VALID,
         TOKENPIN_PIN_STATE_HOME);
}
CASE(decide_elsewhere) {
  decide("POST", kTarget, "", elsewhere, TOKENPIN_SOURCE_COOKIE, TOKENPIN_VERDICT_VALID,
         TOKENPIN_PIN_STATE_ELSEWHERE);
}
CASE(decide_forged) {
  decide("POST", kTarget, "", forged, TOKENPIN_SOURCE_MINTED, TOKENPIN_VERDICT_BAD_TAG, 0);
}
// The home is down, and the next probe serves.
CASE(decide_home_down) {
  decide_by(quarter_down_affinity, "POST", kTarget, "", home_down, TOKENPIN_SOURCE_COOKIE,
            TOKENPIN_VERDICT_VALID, TOKENPIN_PIN_STATE_DOWN);
}

CASE(finish_minted) {
  tokenpin_request request = {.has_group = 1, .group = TOKENPIN_GROUP_STATEFUL, .now = kNow};
  memset(request.entropy, 7, sizeof request.entropy);
  tokenpin_decision decision;
  OK(tokenpin_affinity_decide(affinity, &request, &decision));
  char buffer[TOKENPIN_MAX_SET_COOKIE];
  size_t len;
  uint8_t answer;
  for (int i = 0; i < kCalls; i++) {
    OK(tokenpin_affinity_finish(affinity, &decision, 200, buffer, sizeof buffer, &len, &answer));
    CHECK(answer == TOKENPIN_ANSWER_SET_COOKIE);
  }
}

static const char kNative[] = "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41";
static char sealed[TOKENPIN_MAX_SEALED_ID + 1];
static tokenpin_id_ring id_ring;
static tokenpin_id_use use = {.ids = TOKENPIN_IDS_ITEMS};

CASE(id_seal) {
  size_t len;
  for (int i = 0; i < kCalls; i++) {
    OK(tokenpin_id_seal(&id_ring, NULL, 0, NULL, 0, hashes[i], kNative, strlen(kNative), sealed,
                        sizeof sealed, &len));
  }
}

CASE(id_open) {
  char native[TOKENPIN_MAX_ID];
  size_t len;
  uint8_t verdict, key_id;
  uint64_t pin;
  for (int i = 0; i < kCalls; i++) {
    OK(tokenpin_id_open(&id_ring, NULL, 0, NULL, 0, sealed, strlen(sealed), native, sizeof native,
                        &len, &verdict, &pin, &key_id));
    CHECK(verdict == TOKENPIN_ID_VERDICT_SEALED);
  }
}

// One event of a stream of deltas, whose id was sealed in the event before: two steps, to the byte
// behind the id and to the end.
CASE(seal_delta) {
  static const char kEvent[] =
      "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\","
      "\"sequence_number\":7,\"item_id\":\"msg_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41\","
      "\"output_index\":0,\"content_index\":0,\"delta\":\" word\",\"logprobs\":[]}\n\n";
  tokenpin_id_sealer sealer;
  OK(tokenpin_id_sealer_init(&sealer, TOKENPIN_FRAMING_EVENTS));
  tokenpin_piece piece;
  for (int i = 0; i < kCalls; i++) {
    for (size_t at = 0; at < strlen(kEvent); at += piece.taken) {
      OK(tokenpin_affinity_seal_step(sealing_affinity, &use, NULL, 0, &sealer, kEvent + at,
                                     strlen(kEvent) - at, &piece));
    }
    CHECK(piece.changed == (uint32_t)i + 1 && piece.unexpected == 0);
  }
}

// A body with one sealed id.
CASE(open_in_place) {
  char body[400];
  const int len = snprintf(body, sizeof body,
                           "{\"model\":\"m\",\"input\":\"some words of a prompt\","
                           "\"previous_response_id\":\"%s\",\"stream\":true}",
                           sealed);
  for (int i = 0; i < kCalls; i++) {
    char place[400];
    memcpy(place, body, (size_t)len);
    tokenpin_id_summary summary;
    size_t opened;
    uint32_t unexpected;
    OK(tokenpin_id_summary_init(&summary));
    OK(tokenpin_affinity_open_in_place(sealing_affinity, &use, &summary, place, (size_t)len,
                                       &opened, &unexpected));
    CHECK(opened + strlen(sealed) - strlen(kNative) == (size_t)len && unexpected == 0);
  }
}

// A request of 16 KB in one step: 70 messages of two members, like those of a chat.
CASE(open_request) {
  static char body[1 << 15];
  char* at = body + sprintf(body, "{\"model\": \"m\", \"input\": [");
  for (int i = 0; i < 70; i++) {
    at += sprintf(at, "%s{\"role\": \"user\", \"content\": \"", i == 0 ? "" : ", ");
    for (int word = 0; word < 40; word++) at += sprintf(at, "word ");
    at += sprintf(at, "\"}");
  }
  at += sprintf(at, "]}");
  const size_t len = (size_t)(at - body);
  for (int i = 0; i < kCalls; i++) {
    tokenpin_id_summary summary;
    tokenpin_id_opener opener;
    tokenpin_piece piece;
    OK(tokenpin_id_summary_init(&summary));
    OK(tokenpin_id_opener_init(&opener));
    OK(tokenpin_affinity_open_step(sealing_affinity, &use, &summary, &opener, body, len, &piece));
    CHECK(piece.pass == len && piece.taken == len && piece.unexpected == 0);
  }
}

// A `Cookie` field around a cookie that is pinned to `pin`.
static tokenpin_bytes pair_for(uint64_t pin, char buffer[128]) {
  tokenpin_cookie cookie = {.pin = pin, .issued_at = kNow - 60, .refreshed_at = kNow - 60};
  memset(cookie.id, 7, sizeof cookie.id);
  char value[TOKENPIN_COOKIE_VALUE_LEN];
  OK(tokenpin_cookie_encode(&ring, kName, strlen(kName), NULL, 0, NULL, &cookie, value));
  int len = snprintf(buffer, 128, "%s=%.*s", kName, TOKENPIN_COOKIE_VALUE_LEN, value);
  tokenpin_bytes pair = {buffer, (size_t)len};
  return pair;
}

static void init_slots(tokenpin_slot* slots, int down_every, int light_every) {
  for (int i = 0; i < kSlots; i++) {
    char identity[16];
    snprintf(identity, sizeof identity, "account-%d", i);
    tokenpin_slot_status status = {.weight = TOKENPIN_MAX_WEIGHT, .state = TOKENPIN_STATE_UP};
    if (down_every != 0 && i % down_every == 1) status.state = TOKENPIN_STATE_DOWN;
    if (light_every != 0 && i % light_every == 1) status.weight = TOKENPIN_MAX_WEIGHT / 2;
    OK(tokenpin_slot_init(&slots[i], identity, strlen(identity), &status));
  }
}

// Returns an affinity of `count` slots. If `down` is one of them, a quarter is down, including
// `down`.
static tokenpin_affinity* affinity_of(uint32_t count, uint32_t down, uint8_t mode,
                                      const tokenpin_cookie_key keys[2]) {
  static tokenpin_slot_config slots[kSlots];
  static char identities[kSlots][16];
  for (uint32_t i = 0; i < count; i++) {
    int is_down = down < count && i % 4 == down % 4;
    snprintf(identities[i], sizeof identities[i], "account-%u", i);
    slots[i].identity = text(identities[i]);
    slots[i].status.weight = TOKENPIN_MAX_WEIGHT;
    slots[i].status.state = is_down ? TOKENPIN_STATE_DOWN : TOKENPIN_STATE_UP;
  }
  tokenpin_config config;
  OK(tokenpin_config_init(&config, sizeof config));
  memcpy(config.placement_key, placement_key, sizeof placement_key);
  config.cookie_keys = keys;
  config.cookie_key_count = 2;
  config.slots = slots;
  config.slot_count = count;
  config.id_mode = mode;
  tokenpin_affinity* made;
  OK(tokenpin_affinity_new(&config, &made, NULL));
  return made;
}

static void init(void) {
  static char home_down_buffer[128];
  static char home_buffer[128], elsewhere_buffer[128], forged_buffer[128];
  for (int i = 0; i < kCalls; i++) hashes[i] = next_number();
  init_slots(up, 0, 0);
  init_slots(quarter_down, 4, 0);
  init_slots(mixed, 4, 3);

  static tokenpin_cookie_key keys[2];
  keys[0].id = 1;
  keys[0].role = TOKENPIN_ROLE_ACCEPT;
  memset(keys[0].secret, 0x22, sizeof keys[0].secret);
  keys[1].id = 2;
  keys[1].role = TOKENPIN_ROLE_SIGN;
  memset(keys[1].secret, 0x33, sizeof keys[1].secret);
  OK(tokenpin_key_ring_init(&ring, keys, 2, NULL, NULL));

  affinity = affinity_of(16, kSlots, TOKENPIN_MODE_OFF, keys);
  sealing_affinity = affinity_of(16, kSlots, TOKENPIN_MODE_SEAL, keys);
  OK(tokenpin_id_ring_init(&id_ring, keys, 2, NULL, NULL));

  // The home slot of the session of `pair_for`.
  tokenpin_key key = {.kind = TOKENPIN_KIND_ANONYMOUS,
                      .key = {"\7\7\7\7\7\7\7\7\7\7\7\7\7\7\7\7", 16}};
  uint64_t hash;
  uint32_t slot;
  OK(tokenpin_key_hash(placement_key, NULL, 0, &key, &hash));
  OK(tokenpin_jump(hash, 16, &slot));
  home = pair_for(up[slot].identity_hash, home_buffer);
  elsewhere = pair_for(up[(slot + 1) % 16].identity_hash, elsewhere_buffer);
  forged = pair_for(up[slot].identity_hash, forged_buffer);
  forged_buffer[60] = forged_buffer[60] == 'A' ? 'B' : 'A';
  OK(tokenpin_jump(hash, kSlots, &slot));
  quarter_down_affinity = affinity_of(kSlots, slot, TOKENPIN_MODE_OFF, keys);
  home_down = pair_for(up[slot].identity_hash, home_down_buffer);
}

int main(void) {
  init();
  case_jump_8();
  case_jump_64();
  case_jump_1024();
  case_select_8();
  case_select_64();
  case_select_64_quarter_down();
  case_select_64_mixed_weights();
  case_rendezvous_8();
  case_rendezvous_64();
  case_rendezvous_64_mixed_weights();
  case_batch_of_1000_8();
  case_batch_of_1000_64();
  case_batch_of_1000_64_quarter_down();
  case_key_hash_36_bytes();
  case_cookie_encode();
  case_cookie_decode();
  case_cookie_decode_forged();
  case_cookie_next();
  case_classify();
  case_find();
  case_decide_stateless();
  case_decide_consumer();
  case_decide_minted();
  case_decide_home();
  case_decide_elsewhere();
  case_decide_forged();
  case_decide_home_down();
  case_finish_minted();
  case_id_seal();
  case_id_open();
  case_seal_delta();
  case_open_in_place();
  case_open_request();
  tokenpin_affinity_free(affinity);
  tokenpin_affinity_free(quarter_down_affinity);
  tokenpin_affinity_free(sealing_affinity);
  return 0;
}
