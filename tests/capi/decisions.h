// Configurations and requests of the vector files of decisions, in C and in C++. For one
// translation unit a program.
#ifndef DECISIONS_H
#define DECISIONS_H

#include "vectors.h"

enum { kMaxConfigs = 64, kMaxValues = 8, kMaxSlots = 8 };

// The memory for the bytes of a row.
typedef struct {
  char bytes[1 << 16];
  size_t used;
} Pool;

static inline tokenpin_bytes keep_value(Pool* pool, const Value* value, bool is_hex) {
  tokenpin_bytes kept = {NULL, 0};
  if (!value->there || !CHECK(pool->used + value->len <= sizeof pool->bytes)) return kept;
  char* place = pool->bytes + pool->used;
  if (is_hex) {
    kept.len = from_hex(value->bytes, value->len, place);
  } else {
    kept.len = value->len;
    memcpy(place, value->bytes, value->len);
  }
  if (kept.len != 0) kept.ptr = place;
  pool->used += kept.len;
  return kept;
}

static inline tokenpin_bytes bytes_of(Pool* pool, const char* row, const char* key, bool is_hex) {
  const Value value = value_of(row, key);
  return keep_value(pool, &value, is_hex);
}

static inline size_t list_of(Pool* pool, const char* row, const char* key, bool is_hex,
                             tokenpin_bytes* values) {
  static Value value;
  size_t count = 0;
  for (const char* at = first_element(row, key); at != NULL && CHECK(count < kMaxValues);
       at = next_element(at)) {
    at = read_value(at, &value);
    values[count++] = keep_value(pool, &value, is_hex);
  }
  return count;
}

static inline void block_of(const char* row, const char* key, uint8_t* block) {
  const Value value = value_of(row, key);
  if (CHECK(value.len == 32)) from_hex(value.bytes, value.len, block);
}

// It points into itself, so it must not be copied.
typedef struct {
  tokenpin_config config;
  tokenpin_cookie_key cookie_keys[TOKENPIN_MAX_COOKIE_KEYS], id_keys[TOKENPIN_MAX_COOKIE_KEYS];
  tokenpin_slot_config slots[kMaxSlots];
  tokenpin_id_field fields[kMaxValues];
  tokenpin_bytes prefixes[kMaxValues], collections[kMaxValues];
  Pool pool;
} ConfigRow;

static inline void config_of(const char* row, ConfigRow* made) {
  memset(made, 0, sizeof *made);
  tokenpin_config* config = &made->config;
  Pool* pool = &made->pool;
  CHECK(tokenpin_config_init(config, sizeof *config) == TOKENPIN_STATUS_OK);
  block_of(row, "placement_key", config->placement_key);
  config->cookie_keys = made->cookie_keys;
  config->cookie_key_count = keys_of(row, "cookie_keys", made->cookie_keys);
  config->slots = made->slots;
  for (const char* at = first_element(row, "slots");
       at != NULL && CHECK(config->slot_count < kMaxSlots); at = next_element(at)) {
    tokenpin_slot_config* slot = &made->slots[config->slot_count++];
    if (*at != '{') {
      slot->status.state = TOKENPIN_STATE_VACANT;
      at += strlen("null");
      continue;
    }
    slot->identity = bytes_of(pool, at, "identity", true);
    slot->status.state = enum_of(at, "state", TOKENPIN_ENUM_STATE);
    slot->status.until = number_of(at, "until", 10);
    slot->status.weight = (uint32_t)number_of(at, "weight", 10);
    at = strchr(at, '}') + 1;
  }
  config->scope = bytes_of(pool, row, "scope", true);
  config->cookie_name = bytes_of(pool, row, "cookie_name", false);
  config->attributes.path = bytes_of(pool, row, "path", false);
  config->attributes.domain = bytes_of(pool, row, "domain", false);
  config->attributes.secure = is_true(row, "secure");
  config->attributes.http_only = is_true(row, "http_only");
  config->attributes.same_site = enum_of(row, "same_site", TOKENPIN_ENUM_SAME_SITE);
  config->attributes.partitioned = is_true(row, "partitioned");
  const Value max_age = value_of(row, "max_age");
  config->max_age =
      max_age.there ? (uint32_t)strtoul(max_age.bytes, NULL, 10) : TOKENPIN_MAX_AGE_AUTO;
  config->skew = (uint32_t)number_of(row, "skew", 10);
  config->max_life = (uint32_t)number_of(row, "max_life", 10);
  config->max_idle = (uint32_t)number_of(row, "max_idle", 10);
  CHECK(sscanf(find_key(row, "success"), "[%hu,%hu]", &config->success_first,
               &config->success_last) == 2);
  config->strategy = enum_of(row, "strategy", TOKENPIN_ENUM_STRATEGY);
  config->policy_existing = enum_of(row, "policy_existing", TOKENPIN_ENUM_POLICY);
  config->policy_new = enum_of(row, "policy_new", TOKENPIN_ENUM_POLICY);
  config->combine_keys = is_true(row, "combine_keys");
  config->reject_bad_keys = is_true(row, "reject_bad_keys");
  config->keyed_cookies = is_true(row, "keyed_cookies");
  config->mint_single = is_true(row, "mint_single");
  config->prompt_cache = is_true(row, "prompt_cache");
  config->id_mode = enum_of(row, "id_mode", TOKENPIN_ENUM_MODE);
  config->id_keys = made->id_keys;
  config->id_key_count = keys_of(row, "id_keys", made->id_keys);
  config->id_owner = enum_of(row, "id_owner", TOKENPIN_ENUM_ID_OWNER);
  config->foreign_seals = enum_of(row, "foreign_seals", TOKENPIN_ENUM_FOREIGN_SEALS);
  config->encrypted_content = is_true(row, "encrypted_content");
  config->id_fields = made->fields;
  for (const char* at = first_element(row, "id_fields");
       at != NULL && CHECK(config->id_field_count < kMaxValues);
       at = next_element(strchr(at, '}') + 1)) {
    tokenpin_id_field* field = &made->fields[config->id_field_count++];
    field->name = bytes_of(pool, at, "name", false);
    field->kind = enum_of(at, "kind", TOKENPIN_ENUM_KEY_KIND);
  }
  config->id_prefixes = made->prefixes;
  config->id_prefix_count = list_of(pool, row, "id_prefixes", false, made->prefixes);
  config->id_collections = made->collections;
  config->id_collection_count = list_of(pool, row, "id_collections", false, made->collections);
}

// It points into itself, so it must not be copied.
typedef struct {
  tokenpin_request request;
  tokenpin_bytes consumers[kMaxValues], sessions[kMaxValues], cookies[kMaxValues];
  uint32_t tried[kMaxSlots];
  uint8_t id_hint[16];
  tokenpin_bytes body;
  const char* opened;  // The opened target and body. NULL: the ids are not read.
  Pool pool;
} RequestRow;

static inline void request_of(const char* row, RequestRow* made) {
  memset(made, 0, sizeof *made);
  made->opened = strstr(row, "\"opened\":");
  row = find_key(row, "request");
  tokenpin_request* request = &made->request;
  Pool* pool = &made->pool;
  if (made->opened != NULL) made->body = bytes_of(pool, row, "body", false);
  request->method = bytes_of(pool, row, "method", false);
  request->target = bytes_of(pool, row, "target", false);
  request->consumers = made->consumers;
  request->consumer_count = list_of(pool, row, "consumers", true, made->consumers);
  request->consumer_trusted = is_true(row, "consumer_trusted");
  request->sessions = made->sessions;
  request->session_count = list_of(pool, row, "sessions", true, made->sessions);
  request->cookies = made->cookies;
  request->cookie_count = list_of(pool, row, "cookies", false, made->cookies);
  request->carrier_value = bytes_of(pool, row, "carrier_value", false);
  request->carrier = is_true(row, "carrier");
  request->scope = bytes_of(pool, row, "scope", true);
  request->tried = made->tried;
  for (const char* at = first_element(row, "tried");
       at != NULL && CHECK(request->tried_count < kMaxSlots); at = next_element(at)) {
    char* end;
    made->tried[request->tried_count++] = (uint32_t)strtoul(at, &end, 10);
    at = end;
  }
  request->now = number_of(row, "now", 10);
  block_of(row, "entropy", request->entropy);
  if (value_of(row, "id_hint").there) {
    block_of(row, "id_hint", made->id_hint);
    request->id_hint = made->id_hint;
  }
  request->existing = is_true(row, "existing");
  request->has_group = value_of(row, "group").there;
  if (request->has_group) request->group = enum_of(row, "group", TOKENPIN_ENUM_GROUP);
}

#endif
