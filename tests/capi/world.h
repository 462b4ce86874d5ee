// A small working configuration, of which each test breaks one part.
#ifndef WORLD_H
#define WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <tokenpin.h>

enum { kNow = 1700000000, kAccounts = 3, kSlots = 4, kKeys = TOKENPIN_MAX_COOKIE_KEYS + 1 };

typedef struct {
  tokenpin_cookie_key keys[kKeys];         // The first two are in use; the first signs.
  tokenpin_slot_config slots[kSlots + 1];  // Three accounts and a vacant slot are in use.
  tokenpin_rule rules[2];                  // Unused, as are the fields below.
  tokenpin_id_field id_fields[33];
  tokenpin_bytes words[33];
  tokenpin_config config;
} World;

static inline tokenpin_bytes text(const char* string) {
  tokenpin_bytes bytes = {string, strlen(string)};
  return bytes;
}

// It points into itself, so it must not be copied.
static inline int32_t world_init(World* world) {
  memset(world, 0, sizeof *world);
  for (uint8_t i = 0; i < kKeys; i++) {
    tokenpin_cookie_key* key = &world->keys[i];
    key->id = (uint8_t)(i + 1);
    key->role = i == 0 ? TOKENPIN_ROLE_SIGN : TOKENPIN_ROLE_ACCEPT;
    memset(key->secret, 0xc1 + i, sizeof key->secret);
  }
  static const char* const kNames[] = {"account-a", "account-b", "account-c", "", "account-e"};
  for (size_t i = 0; i < kSlots + 1; i++) {
    tokenpin_slot_config* slot = &world->slots[i];
    slot->identity = text(kNames[i]);
    slot->status.weight = TOKENPIN_MAX_WEIGHT;
    slot->status.state = i == kAccounts ? TOKENPIN_STATE_VACANT : TOKENPIN_STATE_UP;
  }
  world->rules[0].pattern = text("jobs");
  world->rules[0].group = TOKENPIN_GROUP_STATEFUL;
  world->rules[1].pattern = text("chat/jobs");
  world->rules[1].group = TOKENPIN_GROUP_PROMPT_CACHE;
  for (size_t i = 0; i < sizeof world->words / sizeof world->words[0]; i++) {
    world->id_fields[i].name = text("my_reference");
    world->id_fields[i].kind = TOKENPIN_KEY_KIND_ID;
    world->words[i] = text("my_thing");
  }
  tokenpin_config* config = &world->config;
  int32_t status = tokenpin_config_init(config, sizeof *config);
  config->cookie_keys = world->keys;
  config->cookie_key_count = 2;
  config->slots = world->slots;
  config->slot_count = kSlots;
  for (uint8_t i = 0; i < sizeof config->placement_key; i++) config->placement_key[i] = i;
  return status;
}

// A request that creates state, without a key or a cookie.
static inline tokenpin_request request_to_create(void) {
  tokenpin_request request;
  memset(&request, 0, sizeof request);
  request.now = kNow;
  memset(request.entropy, 0x5a, sizeof request.entropy);
  request.has_group = 1;
  request.group = TOKENPIN_GROUP_STATEFUL;
  return request;
}

#endif
