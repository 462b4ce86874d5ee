/* The reference output of the other programs in this folder: some requests, through the header that
 * a compiler reads. Argument: the folder of the vectors, which include the sealed body. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tokenpin.h>

#include "vectors.h"

enum { kSlots = 5, kNow = 1800000000 };

static struct tokenpin_bytes text(const char* string) {
  return (struct tokenpin_bytes){string, strlen(string)};
}

static void check(int32_t status) {
  if (status != TOKENPIN_STATUS_OK) {
    fprintf(stderr, "status %d\n", (int)status);
    exit(1);
  }
}

static void print_name(int32_t which, int32_t value) {
  struct tokenpin_bytes name;
  check(tokenpin_enum_name(which, value, &name));
  printf(" %.*s", (int)name.len, (const char*)name.ptr);
}

static void print_decision(const char* what, const struct tokenpin_decision* decision) {
  printf("%s: slot %" PRIu32 ",", what, decision->slot);
  print_name(TOKENPIN_ENUM_SOURCE, decision->source);
  print_name(TOKENPIN_ENUM_OUTCOME, decision->outcome);
  print_name(TOKENPIN_ENUM_PIN_STATE, decision->pin_state);
  print_name(TOKENPIN_ENUM_VERDICT, decision->verdict);
  print_name(TOKENPIN_ENUM_KEY_REASON, decision->key_reason);
  printf(", retry after %" PRIu32 "\n", decision->retry_after);
}

static const char kBody[] =
    "{\"id\":\"resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41\",\"object\":\"response\","
    "\"previous_response_id\":null}";

static size_t put(char* out, size_t len, const void* bytes, size_t count) {
  if (count != 0) memcpy(out + len, bytes, count);
  return len + count;
}

/* Seals the body of slot 0's answer. */
static size_t seal_body(const struct tokenpin_affinity* affinity, const struct tokenpin_id_use* use,
                        const struct tokenpin_id_summary* summary, char* out) {
  struct tokenpin_id_sealer sealer;
  struct tokenpin_piece piece;
  check(tokenpin_id_sealer_init(&sealer, TOKENPIN_FRAMING_JSON));
  size_t len = 0;
  for (size_t at = 0; at < strlen(kBody); at += piece.taken) {
    check(tokenpin_affinity_seal_step(affinity, use, summary, 0, &sealer, kBody + at,
                                      strlen(kBody) - at, &piece));
    len = put(out, len, kBody + at, piece.pass);
    len = put(out, len, piece.put, piece.put_len);
  }
  check(tokenpin_affinity_seal_end(affinity, use, summary, 0, &sealer, &piece));
  return put(out, len, piece.put, piece.put_len);
}

/* Returns whether the vectors contain this sealed body. */
static int is_vector(const char* folder, const char* sealed, size_t len) {
  static Rows rows;
  rows.file = open_file(folder, "id_bodies_v1.json");
  while (next_row(&rows)) {
    if (!is_section(&rows, "responses")) continue;
    static Value body, out;
    body = value_of(rows.row, "body");
    out = value_of(rows.row, "out");
    if (same(kBody, strlen(kBody), &body)) return same(sealed, len, &out);
  }
  return 0;
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  struct tokenpin_config config;
  check(tokenpin_config_init(&config, sizeof config));
  struct tokenpin_slot_config slots[kSlots];
  char names[kSlots][16];
  for (uint32_t i = 0; i < kSlots; i++) {
    snprintf(names[i], sizeof names[i], "account-%c", (char)('a' + i));
    slots[i] = (struct tokenpin_slot_config){
        .identity = text(names[i]),
        .status = {.weight = TOKENPIN_MAX_WEIGHT >> (i % 3), .state = TOKENPIN_STATE_UP}};
  }
  struct tokenpin_cookie_key key = {.id = 7, .role = TOKENPIN_ROLE_SIGN};
  memset(key.secret, 0x33, sizeof key.secret);
  config.slots = slots;
  config.slot_count = kSlots;
  config.cookie_keys = &key;
  config.cookie_key_count = 1;
  struct tokenpin_cookie_key id_key = {.id = 1, .role = TOKENPIN_ROLE_SIGN};
  memset(id_key.secret, 0x01, sizeof id_key.secret);
  config.id_keys = &id_key;
  config.id_key_count = 1;
  config.id_mode = TOKENPIN_MODE_SEAL;

  struct tokenpin_affinity* affinity;
  struct tokenpin_config_error error;
  int32_t status = tokenpin_affinity_new(&config, &affinity, &error);
  printf("without a placement key:");
  print_name(TOKENPIN_ENUM_STATUS, status);
  print_name(TOKENPIN_ENUM_FIELD, (int32_t)error.field);
  printf("\n");
  for (uint8_t i = 0; i < 16; i++) config.placement_key[i] = (uint8_t)(i + 1);
  check(tokenpin_affinity_new(&config, &affinity, &error));
  uint64_t fingerprint;
  check(tokenpin_affinity_fingerprint(affinity, &fingerprint));
  printf("fingerprint %016" PRIx64 "\n", fingerprint);

  struct tokenpin_request request = {
      .method = text("POST"), .target = text("/v1/responses"), .now = kNow, .consumer_trusted = 1};
  memset(request.entropy, 0x5a, sizeof request.entropy);
  struct tokenpin_decision decision;
  for (int i = 0; i < 20; i++) {
    char consumer[16];
    snprintf(consumer, sizeof consumer, "user-%d", i);
    struct tokenpin_bytes value = text(consumer);
    request.consumers = &value;
    request.consumer_count = 1;
    check(tokenpin_affinity_decide(affinity, &request, &decision));
    print_decision(consumer, &decision);
  }
  request.consumers = NULL;
  request.consumer_count = 0;

  check(tokenpin_affinity_decide(affinity, &request, &decision));
  print_decision("a newcomer", &decision);
  char line[TOKENPIN_MAX_SET_COOKIE];
  size_t len;
  uint8_t answer;
  check(tokenpin_affinity_finish(affinity, &decision, 200, line, sizeof line, &len, &answer));
  print_name(TOKENPIN_ENUM_ANSWER, answer);
  printf(": %.*s\n", (int)len, line);

  struct tokenpin_bytes cookie = {line, (size_t)((char*)memchr(line, ';', len) - line)};
  request.cookies = &cookie;
  request.cookie_count = 1;
  check(tokenpin_affinity_decide(affinity, &request, &decision));
  print_decision("with the cookie", &decision);

  struct tokenpin_slot_status down = {
      .until = kNow + 30, .weight = TOKENPIN_MAX_WEIGHT, .state = TOKENPIN_STATE_DOWN};
  check(tokenpin_affinity_set_slot(affinity, decision.slot, &down));
  request.existing = 1;
  check(tokenpin_affinity_decide(affinity, &request, &decision));
  print_decision("while its token is down", &decision);

  struct tokenpin_id_use use = {.ids = TOKENPIN_IDS_NONE};
  uint8_t group, existing;
  check(tokenpin_affinity_classify(affinity, request.method.ptr, request.method.len,
                                   request.target.ptr, request.target.len, &group, &existing,
                                   &use.ids));
  char sealed[256], again[256], body[256];
  len = seal_body(affinity, &use, NULL, sealed);
  printf("sealed: %.*s\n", (int)len, sealed);
  if (!is_vector(argv[1], sealed, len)) {
    fprintf(stderr, "the vectors say otherwise\n");
    return 1;
  }

  /* The client refers to it. */
  const char* const id = sealed + strlen("{\"id\":\"");
  const int id_len = (int)strcspn(id, "\"");
  snprintf(body, sizeof body, "{\"previous_response_id\":\"%.*s\"}", id_len, id);
  struct tokenpin_id_summary summary;
  uint32_t unexpected;
  check(tokenpin_id_summary_init(&summary));
  check(tokenpin_affinity_open_in_place(affinity, &use, &summary, body, strlen(body), &len,
                                        &unexpected));
  printf("opened: %.*s\n", (int)len, body);
  char target[256];
  snprintf(target, sizeof target, "/v1/responses/%.*s/cancel", id_len, id);
  check(tokenpin_affinity_open_target(affinity, &use, &summary, target, strlen(target), body,
                                      sizeof body, &len));
  printf("opened: %.*s\n", (int)len, body);
  request.cookie_count = 0;
  request.existing = 0;
  request.ids = &summary;
  check(tokenpin_affinity_decide(affinity, &request, &decision));
  print_decision("with the sealed id", &decision);
  print_name(TOKENPIN_ENUM_ID_VERDICT, decision.id_verdict);
  struct tokenpin_bytes name;
  check(tokenpin_affinity_id_key(affinity, decision.id_keys[0], &name));
  printf(": %.*s\n", (int)name.len, (const char*)name.ptr);
  len = seal_body(affinity, &use, &summary, again);
  printf("sealed: %.*s\n", (int)len, again);

  check(tokenpin_affinity_set_slot(affinity, 0, &down));
  check(tokenpin_affinity_decide(affinity, &request, &decision));
  print_decision("while its account is down", &decision);
  uint16_t code;
  uint8_t refusal;
  check(tokenpin_decision_refusal(&decision, &code, &refusal));
  print_name(TOKENPIN_ENUM_REFUSAL, refusal);
  printf(": %d\n", code);
  tokenpin_affinity_free(affinity);
  return 0;
}
