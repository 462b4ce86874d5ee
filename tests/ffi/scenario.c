/* What the programs beside this one have to print: some requests, by the header that a compiler
 * reads. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tokenpin.h>

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

int main(void) {
  struct tokenpin_config config;
  check(tokenpin_config_init(&config, sizeof config));
  struct tokenpin_slot_config slots[kSlots];
  char names[kSlots][16];
  for (uint32_t i = 0; i < kSlots; i++) {
    snprintf(names[i], sizeof names[i], "account-%" PRIu32, i);
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
  tokenpin_affinity_free(affinity);
  return 0;
}
