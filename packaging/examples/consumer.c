#include <stdio.h>
#include <string.h>
#include <tokenpin.h>

int main(void) {
  uint32_t bucket;
  if (tokenpin_jump(123456, 1000, &bucket)) return 1;

  tokenpin_slot_status up = {.weight = TOKENPIN_MAX_WEIGHT, .state = TOKENPIN_STATE_UP};
  tokenpin_slot_config slots[] = {
      {{"account-a", 9}, up}, {{"account-b", 9}, up}, {{"account-c", 9}, up}};
  tokenpin_cookie_key key = {.id = 1, .role = TOKENPIN_ROLE_SIGN, .secret = "a cookie secret"};
  tokenpin_config config;
  if (tokenpin_config_init(&config, sizeof config)) return 1;
  memcpy(config.placement_key, "a placement key!", 16);
  config.slots = slots, config.slot_count = 3;
  config.cookie_keys = &key, config.cookie_key_count = 1;
  tokenpin_affinity* affinity;
  if (tokenpin_affinity_new(&config, &affinity, NULL)) return 1;

  tokenpin_bytes consumer = {"alice", 5};
  tokenpin_request request = {.method = {"POST", 4},
                              .target = {"/v1/responses", 13},
                              .consumers = &consumer,
                              .consumer_count = 1,
                              .consumer_trusted = 1,
                              .now = 1800000000};
  tokenpin_decision decision;
  int32_t status = tokenpin_affinity_decide(affinity, &request, &decision);
  tokenpin_affinity_free(affinity);
  if (status) return 1;
  printf("tokenpin %s: bucket %u, slot %u\n", tokenpin_version(), bucket, decision.slot);
}
