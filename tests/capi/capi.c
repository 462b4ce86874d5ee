// Each function, as C sees it: every status, every field of a configuration error, every enum and
// switch, every life of a handle. contract.c tests the contract that all functions share.
//
// Arguments: the folder of the vectors, the library's version.
#define _DEFAULT_SOURCE  // MAP_ANONYMOUS
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "alloc.h"
#include "check.h"
#include "world.h"

#define STATUS(suffix) TOKENPIN_STATUS_##suffix
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SAY(...) snprintf(check_context, sizeof check_context, __VA_ARGS__)

enum { kPattern = 0xa5 };

// The numbers that were met, to find those that no test leads to.
static bool met[TOKENPIN_ENUM_REFUSAL + 1][256];

static bool expect_at(int32_t expected, int32_t got, const char* what, int line) {
  met[TOKENPIN_ENUM_STATUS][(uint8_t)got] = true;
  if (got != expected) printf("expected status %d, got %d\n", expected, got);
  return check_at(got == expected, what, __FILE__, line);
}

#define EXPECT(suffix, call) expect_at(STATUS(suffix), (call), #call, __LINE__)

static bool all(const void* bytes, size_t len, unsigned char value) {
  const unsigned char* at = bytes;
  for (size_t i = 0; i < len; i++) {
    if (at[i] != value) return false;
  }
  return true;
}

static bool contains(const void* bytes, size_t len, const void* part, size_t part_len) {
  const unsigned char* at = bytes;
  for (size_t i = 0; i + part_len <= len; i++) {
    if (memcmp(at + i, part, part_len) == 0) return true;
  }
  return false;
}

static tokenpin_affinity* affinity_of(const tokenpin_config* config) {
  tokenpin_affinity* affinity = NULL;
  EXPECT(OK, tokenpin_affinity_new(config, &affinity, NULL));
  return affinity;
}

// ---- Configurations ----

typedef struct {
  const char* what;
  void (*spoil)(World* world);
  int32_t status;
  uint32_t field;
  uint64_t index;
} Refusal;

static char long_text[5000];
static uint64_t misaligned[64];

#define SPOIL(name, statement)                \
  static void name(World* world) {            \
    tokenpin_config* config = &world->config; \
    (void)config;                             \
    statement;                                \
  }

SPOIL(size_0, config->size = 0)
SPOIL(size_short, config->size--)
SPOIL(size_huge, config->size = (size_t)PTRDIFF_MAX + 1)
SPOIL(placement_zero, memset(config->placement_key, 0, 16))
SPOIL(keys_none, config->cookie_key_count = 0)
SPOIL(keys_nine, config->cookie_key_count = kKeys)
SPOIL(keys_null, config->cookie_keys = NULL)
SPOIL(keys_huge, config->cookie_key_count = SIZE_MAX)
SPOIL(keys_no_signer, world->keys[0].role = TOKENPIN_ROLE_RETIRE)
SPOIL(keys_two_signers, world->keys[1].role = TOKENPIN_ROLE_SIGN)
SPOIL(keys_same_id, world->keys[1].id = world->keys[0].id)
SPOIL(keys_same_secret, memcpy(world->keys[1].secret, world->keys[0].secret, 16))
SPOIL(keys_placement_secret, memcpy(world->keys[1].secret, config->placement_key, 16))
SPOIL(keys_zero_secret, memset(world->keys[1].secret, 0, 16))
SPOIL(keys_bad_role, world->keys[1].role = 3)
SPOIL(slots_none, config->slot_count = 0)
SPOIL(slots_null, config->slots = NULL)
SPOIL(slots_huge, config->slot_count = SIZE_MAX)
SPOIL(slots_misaligned, config->slots = (const void*)((char*)misaligned + 1))
SPOIL(slot_state, world->slots[2].status.state = 4)
SPOIL(slot_weight, world->slots[2].status.weight = TOKENPIN_MAX_WEIGHT + 1)
SPOIL(slot_until, world->slots[2].status.until = UINT64_C(1) << 45)
SPOIL(slot_nameless, world->slots[2].identity.len = 0)
SPOIL(slot_null, world->slots[2].identity.ptr = NULL)
SPOIL(slot_huge, world->slots[2].identity.len = SIZE_MAX)
SPOIL(slot_vacant_named, world->slots[3].identity = text("x"))
SPOIL(slot_duplicate, world->slots[2].identity = world->slots[0].identity)
SPOIL(scope_long, config->scope = text(long_text); config->scope.len = TOKENPIN_MAX_SCOPE + 1)
SPOIL(scope_null, config->scope.len = 1)
SPOIL(scope_huge, config->scope = text("x"); config->scope.len = SIZE_MAX)
SPOIL(name_bad, config->cookie_name = text("a b"))
SPOIL(name_long, config->cookie_name = text(long_text); config->cookie_name.len = 129)
SPOIL(name_null, config->cookie_name.len = 1)
SPOIL(path_bad, config->attributes.path = text("x"))
SPOIL(path_crlf, config->attributes.path = text("/\r\n"))
SPOIL(path_null, config->attributes.path.len = 1)
SPOIL(path_host, config->attributes.path = text("/v1"))
SPOIL(domain_bad, config->attributes.domain = text("a;b"))
SPOIL(domain_null, config->attributes.domain.len = 1)
SPOIL(domain_host, config->attributes.domain = text("example.com"))
SPOIL(max_age_long, config->max_age = TOKENPIN_MAX_MAX_AGE + 1)
SPOIL(secure_host, config->attributes.secure = 0)
SPOIL(same_site_insecure, config->cookie_name = text("a"); config->attributes.secure = 0;
      config->attributes.same_site = TOKENPIN_SAME_SITE_NONE)
SPOIL(partitioned_insecure, config->cookie_name = text("a"); config->attributes.secure = 0;
      config->attributes.partitioned = 1)
SPOIL(success_low, config->success_first = 99)
SPOIL(success_high, config->success_last = 600)
SPOIL(success_empty, config->success_first = 300)
SPOIL(rules_null, config->rule_count = 1)
SPOIL(rules_empty, config->rules = world->rules; config->rule_count = 2;
      world->rules[1].pattern = text("a//b"))
SPOIL(rules_group, config->rules = world->rules; config->rule_count = 2; world->rules[1].group = 3)
SPOIL(rules_pattern_null, config->rules = world->rules; config->rule_count = 2;
      world->rules[1].pattern.ptr = NULL)
SPOIL(rules_pattern_huge, config->rules = world->rules; config->rule_count = 2;
      world->rules[1].pattern.len = SIZE_MAX)
SPOIL(strategy_bad, config->strategy = 3)
SPOIL(policy_existing_bad, config->policy_existing = 3)
SPOIL(policy_new_bad, config->policy_new = 3)
SPOIL(secure_bad, config->attributes.secure = 2)
SPOIL(http_only_bad, config->attributes.http_only = 2)
SPOIL(same_site_bad, config->attributes.same_site = 3)
SPOIL(partitioned_bad, config->attributes.partitioned = 2)
SPOIL(combine_keys_bad, config->combine_keys = 2)
SPOIL(reject_bad_keys_bad, config->reject_bad_keys = 2)
SPOIL(keyed_cookies_bad, config->keyed_cookies = 2)
SPOIL(mint_single_bad, config->mint_single = 2)
SPOIL(prompt_cache_bad, config->prompt_cache = 2)
SPOIL(replace_rules_bad, config->replace_rules = 2)
SPOIL(rules_ids, config->rules = world->rules; config->rule_count = 2; world->rules[1].ids = 4)
SPOIL(id_keys_null, config->id_key_count = 1)
SPOIL(id_keys_huge, config->id_keys = world->keys; config->id_key_count = SIZE_MAX)
SPOIL(id_keys_nine, config->id_keys = world->keys; config->id_key_count = kKeys)
SPOIL(id_keys_no_signer, config->id_keys = world->keys + 1; config->id_key_count = 1)
SPOIL(id_keys_bad_role, config->id_keys = world->keys; config->id_key_count = 4;
      world->keys[3].role = 3)
SPOIL(id_keys_placement_secret, config->id_keys = world->keys + 3; config->id_key_count = 1;
      world->keys[3].role = TOKENPIN_ROLE_SIGN;
      memcpy(world->keys[3].secret, config->placement_key, 16))
SPOIL(id_fields_null, config->id_field_count = 1)
SPOIL(id_fields_huge, config->id_fields = world->id_fields; config->id_field_count = SIZE_MAX)
SPOIL(id_fields_many, config->id_fields = world->id_fields; config->id_field_count = 33)
SPOIL(id_fields_kind, config->id_fields = world->id_fields; config->id_field_count = 3;
      world->id_fields[2].kind = 13)
SPOIL(id_fields_own, config->id_fields = world->id_fields; config->id_field_count = 3;
      world->id_fields[2].kind = TOKENPIN_KEY_KIND_OWN)
SPOIL(id_fields_empty, config->id_fields = world->id_fields; config->id_field_count = 3;
      world->id_fields[2].name.len = 0)
SPOIL(id_fields_long, config->id_fields = world->id_fields; config->id_field_count = 3;
      world->id_fields[2].name = text(long_text); world->id_fields[2].name.len = 33)
SPOIL(id_fields_name_null, config->id_fields = world->id_fields; config->id_field_count = 3;
      world->id_fields[2].name.ptr = NULL)
SPOIL(id_prefixes_null, config->id_prefix_count = 1)
SPOIL(id_prefixes_many, config->id_prefixes = world->words; config->id_prefix_count = 33)
SPOIL(id_prefixes_bad, config->id_prefixes = world->words; config->id_prefix_count = 3;
      world->words[1] = text("a.b"))
SPOIL(id_prefixes_word_huge, config->id_prefixes = world->words; config->id_prefix_count = 3;
      world->words[1].len = SIZE_MAX)
SPOIL(id_collections_huge, config->id_collections = world->words;
      config->id_collection_count = SIZE_MAX)
SPOIL(id_collections_many, config->id_collections = world->words; config->id_collection_count = 33)
SPOIL(id_collections_bad, config->id_collections = world->words; config->id_collection_count = 3;
      world->words[2] = text("a/b"))
SPOIL(id_collections_word_null, config->id_collections = world->words;
      config->id_collection_count = 3; world->words[2].ptr = NULL)
SPOIL(id_mode_bad, config->id_mode = 4)
SPOIL(id_owner_bad, config->id_owner = 2)
SPOIL(foreign_seals_bad, config->foreign_seals = 3)
SPOIL(encrypted_content_bad, config->encrypted_content = 2)

#define REFUSED(spoil, status, field, index) \
  {#spoil, spoil, STATUS(status), TOKENPIN_FIELD_##field, index}

static const Refusal kRefusals[] = {
    REFUSED(size_0, STRUCT_SIZE, CONFIG, 0),
    REFUSED(size_short, STRUCT_SIZE, CONFIG, 0),
    REFUSED(size_huge, STRUCT_SIZE, CONFIG, 0),
    REFUSED(placement_zero, ZERO_SECRET, PLACEMENT_KEY, 0),
    REFUSED(keys_none, KEY_COUNT, COOKIE_KEYS, 0),
    REFUSED(keys_nine, KEY_COUNT, COOKIE_KEYS, 8),
    REFUSED(keys_null, NULL_POINTER, COOKIE_KEYS, 0),
    REFUSED(keys_huge, LENGTH, COOKIE_KEYS, 0),
    REFUSED(keys_no_signer, SIGNING_KEYS, COOKIE_KEYS, 0),
    REFUSED(keys_two_signers, SIGNING_KEYS, COOKIE_KEYS, 1),
    REFUSED(keys_same_id, DUPLICATE_KEY_ID, COOKIE_KEYS, 1),
    REFUSED(keys_same_secret, DUPLICATE_SECRET, COOKIE_KEYS, 1),
    REFUSED(keys_placement_secret, DUPLICATE_SECRET, COOKIE_KEYS, 1),
    REFUSED(keys_zero_secret, ZERO_SECRET, COOKIE_KEYS, 1),
    REFUSED(keys_bad_role, BAD_ENUM, COOKIE_KEYS, 1),
    REFUSED(slots_none, SLOT_COUNT, SLOTS, 0),
    REFUSED(slots_null, NULL_POINTER, SLOTS, 0),
    REFUSED(slots_huge, LENGTH, SLOTS, 0),
    REFUSED(slots_misaligned, MISALIGNED, SLOTS, 0),
    REFUSED(slot_state, BAD_ENUM, SLOTS, 2),
    REFUSED(slot_weight, WEIGHT, SLOTS, 2),
    REFUSED(slot_until, UNTIL, SLOTS, 2),
    REFUSED(slot_nameless, IDENTITY_EMPTY, SLOTS, 2),
    REFUSED(slot_null, NULL_POINTER, SLOTS, 2),
    REFUSED(slot_huge, LENGTH, SLOTS, 2),
    REFUSED(slot_vacant_named, VACANT, SLOTS, 3),
    REFUSED(slot_duplicate, DUPLICATE_IDENTITY, SLOTS, 2),
    REFUSED(scope_long, SCOPE_LENGTH, SCOPE, 0),
    REFUSED(scope_null, NULL_POINTER, SCOPE, 0),
    REFUSED(scope_huge, LENGTH, SCOPE, 0),
    REFUSED(name_bad, COOKIE_NAME, COOKIE_NAME, 0),
    REFUSED(name_long, COOKIE_NAME, COOKIE_NAME, 0),
    REFUSED(name_null, NULL_POINTER, COOKIE_NAME, 0),
    REFUSED(path_bad, ATTRIBUTE, PATH, 0),
    REFUSED(path_crlf, ATTRIBUTE, PATH, 0),
    REFUSED(path_null, NULL_POINTER, PATH, 0),
    REFUSED(path_host, NAME_PREFIX, PATH, 0),
    REFUSED(domain_bad, ATTRIBUTE, DOMAIN, 0),
    REFUSED(domain_null, NULL_POINTER, DOMAIN, 0),
    REFUSED(domain_host, NAME_PREFIX, DOMAIN, 0),
    REFUSED(max_age_long, MAX_AGE, MAX_AGE, 0),
    REFUSED(secure_host, NAME_PREFIX, SECURE, 0),
    REFUSED(same_site_insecure, NEEDS_SECURE, SAME_SITE, 0),
    REFUSED(partitioned_insecure, NEEDS_SECURE, PARTITIONED, 0),
    REFUSED(success_low, SUCCESS_RANGE, SUCCESS, 0),
    REFUSED(success_high, SUCCESS_RANGE, SUCCESS, 0),
    REFUSED(success_empty, SUCCESS_RANGE, SUCCESS, 0),
    REFUSED(rules_null, NULL_POINTER, RULES, 0),
    REFUSED(rules_empty, PATTERN, RULES, 1),
    REFUSED(rules_group, BAD_ENUM, RULES, 1),
    REFUSED(rules_pattern_null, NULL_POINTER, RULES, 1),
    REFUSED(rules_pattern_huge, LENGTH, RULES, 1),
    REFUSED(strategy_bad, BAD_ENUM, STRATEGY, 0),
    REFUSED(policy_existing_bad, BAD_ENUM, POLICY_EXISTING, 0),
    REFUSED(policy_new_bad, BAD_ENUM, POLICY_NEW, 0),
    REFUSED(secure_bad, BAD_ENUM, SECURE, 0),
    REFUSED(http_only_bad, BAD_ENUM, HTTP_ONLY, 0),
    REFUSED(same_site_bad, BAD_ENUM, SAME_SITE, 0),
    REFUSED(partitioned_bad, BAD_ENUM, PARTITIONED, 0),
    REFUSED(combine_keys_bad, BAD_ENUM, COMBINE_KEYS, 0),
    REFUSED(reject_bad_keys_bad, BAD_ENUM, REJECT_BAD_KEYS, 0),
    REFUSED(keyed_cookies_bad, BAD_ENUM, KEYED_COOKIES, 0),
    REFUSED(mint_single_bad, BAD_ENUM, MINT_SINGLE, 0),
    REFUSED(prompt_cache_bad, BAD_ENUM, PROMPT_CACHE, 0),
    REFUSED(replace_rules_bad, BAD_ENUM, REPLACE_RULES, 0),
    REFUSED(rules_ids, BAD_ENUM, RULES, 1),
    REFUSED(id_keys_null, NULL_POINTER, ID_KEYS, 0),
    REFUSED(id_keys_huge, LENGTH, ID_KEYS, 0),
    REFUSED(id_keys_nine, KEY_COUNT, ID_KEYS, 8),
    REFUSED(id_keys_no_signer, SIGNING_KEYS, ID_KEYS, 0),
    REFUSED(id_keys_bad_role, BAD_ENUM, ID_KEYS, 3),
    REFUSED(id_keys_placement_secret, DUPLICATE_SECRET, ID_KEYS, 0),
    REFUSED(id_fields_null, NULL_POINTER, ID_FIELDS, 0),
    REFUSED(id_fields_huge, LENGTH, ID_FIELDS, 0),
    REFUSED(id_fields_many, ID_FIELD, ID_FIELDS, 32),
    REFUSED(id_fields_kind, BAD_ENUM, ID_FIELDS, 2),
    REFUSED(id_fields_own, ID_FIELD, ID_FIELDS, 2),
    REFUSED(id_fields_empty, ID_FIELD, ID_FIELDS, 2),
    REFUSED(id_fields_long, ID_FIELD, ID_FIELDS, 2),
    REFUSED(id_fields_name_null, NULL_POINTER, ID_FIELDS, 2),
    REFUSED(id_prefixes_null, NULL_POINTER, ID_PREFIXES, 0),
    REFUSED(id_prefixes_many, ID_FIELD, ID_PREFIXES, 32),
    REFUSED(id_prefixes_bad, ID_FIELD, ID_PREFIXES, 1),
    REFUSED(id_prefixes_word_huge, LENGTH, ID_PREFIXES, 1),
    REFUSED(id_collections_huge, LENGTH, ID_COLLECTIONS, 0),
    REFUSED(id_collections_many, ID_FIELD, ID_COLLECTIONS, 32),
    REFUSED(id_collections_bad, ID_FIELD, ID_COLLECTIONS, 2),
    REFUSED(id_collections_word_null, NULL_POINTER, ID_COLLECTIONS, 2),
    REFUSED(id_mode_bad, BAD_ENUM, ID_MODE, 0),
    REFUSED(id_owner_bad, BAD_ENUM, ID_OWNER, 0),
    REFUSED(foreign_seals_bad, BAD_ENUM, FOREIGN_SEALS, 0),
    REFUSED(encrypted_content_bad, BAD_ENUM, ENCRYPTED_CONTENT, 0),
};

_Alignas(TOKENPIN_AFFINITY_ALIGN) static unsigned char block[1 << 14];

static void check_error(const tokenpin_config_error* error, const Refusal* refusal) {
  CHECK(error->status == refusal->status);
  CHECK(error->field == refusal->field);
  CHECK(error->index == refusal->index);
  met[TOKENPIN_ENUM_FIELD][(uint8_t)error->field] = true;
}

// Uninitialised memory is read too. That is intended, and memcheck would report it.
static bool holds_a_secret(const void* memory, size_t len, const World* world) {
#ifdef UNDER_MEMCHECK
  len = 0;
#endif
  bool found = contains(memory, len, world->config.placement_key, 16);
  for (size_t i = 0; i < kKeys; i++) {
    found |= !all(world->keys[i].secret, 16, 0) && contains(memory, len, world->keys[i].secret, 16);
  }
  return found;
}

static void a_refused_configuration_says_where(void) {
  for (size_t i = 0; i < COUNT(kRefusals); i++) {
    const Refusal* refusal = &kRefusals[i];
    World world;
    world_init(&world);
    refusal->spoil(&world);
    World copy = world;
    tokenpin_affinity* affinity = (tokenpin_affinity*)block;
    tokenpin_config_error error = {-1, 99, 99};
    SAY("%s, new", refusal->what);
    expect_at(refusal->status, tokenpin_affinity_new(&world.config, &affinity, &error), "new",
              __LINE__);
    check_error(&error, refusal);
    SAY("%s, init", refusal->what);
    memset(block, kPattern, sizeof block);
    expect_at(refusal->status,
              tokenpin_affinity_init(block, sizeof block, &world.config, &affinity, NULL), "init",
              __LINE__);
    CHECK(affinity == (tokenpin_affinity*)block);
    CHECK(memcmp(&world, &copy, sizeof world) == 0);
    if (refusal->field != TOKENPIN_FIELD_PLACEMENT_KEY) {
      CHECK(!holds_a_secret(block, sizeof block, &world));
    }
    // Faults that `_size` checks are reported alike.
    size_t size = 77;
    error.status = STATUS(OK);
    int32_t status = tokenpin_affinity_size(&world.config, &size, &error);
    CHECK((status == STATUS(OK)) == (size != 77));
    if (status != STATUS(OK)) check_error(&error, refusal);
  }
}

static void every_enum_and_switch_of_a_configuration_is_checked(void) {
  World world;
  world_init(&world);
  world.config.rules = world.rules;
  world.config.rule_count = 2;
  world.config.id_fields = world.id_fields;
  world.config.id_field_count = 2;
  tokenpin_config* config = &world.config;
  const struct {
    uint8_t* number;
    uint8_t last;
    uint32_t field;
    uint64_t index;
  } kNumbers[] = {
      {&config->strategy, 2, TOKENPIN_FIELD_STRATEGY, 0},
      {&config->policy_existing, 2, TOKENPIN_FIELD_POLICY_EXISTING, 0},
      {&config->policy_new, 2, TOKENPIN_FIELD_POLICY_NEW, 0},
      {&config->combine_keys, 1, TOKENPIN_FIELD_COMBINE_KEYS, 0},
      {&config->reject_bad_keys, 1, TOKENPIN_FIELD_REJECT_BAD_KEYS, 0},
      {&config->keyed_cookies, 1, TOKENPIN_FIELD_KEYED_COOKIES, 0},
      {&config->mint_single, 1, TOKENPIN_FIELD_MINT_SINGLE, 0},
      {&config->prompt_cache, 1, TOKENPIN_FIELD_PROMPT_CACHE, 0},
      {&config->replace_rules, 1, TOKENPIN_FIELD_REPLACE_RULES, 0},
      {&config->attributes.secure, 1, TOKENPIN_FIELD_SECURE, 0},
      {&config->attributes.http_only, 1, TOKENPIN_FIELD_HTTP_ONLY, 0},
      {&config->attributes.same_site, 2, TOKENPIN_FIELD_SAME_SITE, 0},
      {&config->attributes.partitioned, 1, TOKENPIN_FIELD_PARTITIONED, 0},
      {&world.keys[1].role, 2, TOKENPIN_FIELD_COOKIE_KEYS, 1},
      {&world.slots[1].status.state, 3, TOKENPIN_FIELD_SLOTS, 1},
      {&world.rules[1].group, 2, TOKENPIN_FIELD_RULES, 1},
      {&world.rules[1].ids, 3, TOKENPIN_FIELD_RULES, 1},
      {&world.id_fields[1].kind, 12, TOKENPIN_FIELD_ID_FIELDS, 1},
      {&config->id_mode, 3, TOKENPIN_FIELD_ID_MODE, 0},
      {&config->id_owner, 1, TOKENPIN_FIELD_ID_OWNER, 0},
      {&config->foreign_seals, 2, TOKENPIN_FIELD_FOREIGN_SEALS, 0},
      {&config->encrypted_content, 1, TOKENPIN_FIELD_ENCRYPTED_CONTENT, 0},
  };
  for (size_t i = 0; i < COUNT(kNumbers); i++) {
    uint8_t good = *kNumbers[i].number;
    for (int number = 0; number < 256; number++) {
      SAY("field %u, number %d", kNumbers[i].field, number);
      *kNumbers[i].number = (uint8_t)number;
      tokenpin_affinity* affinity = NULL;
      tokenpin_config_error error = {0, 0, 0};
      int32_t status = tokenpin_affinity_new(config, &affinity, &error);
      CHECK((status == STATUS(BAD_ENUM)) == (number > kNumbers[i].last));
      if (status == STATUS(BAD_ENUM)) {
        CHECK(error.field == kNumbers[i].field && error.index == kNumbers[i].index);
      }
      if (status == STATUS(OK)) tokenpin_affinity_free(affinity);
    }
    *kNumbers[i].number = good;
  }
}

static void defaults_are_those_of_the_documentation(void) {
  SAY("defaults");
  tokenpin_config config;
  memset(&config, kPattern, sizeof config);
  EXPECT(OK, tokenpin_config_init(&config, sizeof config));
  CHECK(config.size == sizeof config);
  CHECK(config.cookie_keys == NULL && config.cookie_key_count == 0);
  CHECK(config.slots == NULL && config.slot_count == 0);
  CHECK(config.rules == NULL && config.rule_count == 0);
  CHECK(config.id_keys == NULL && config.id_key_count == 0);
  CHECK(config.id_fields == NULL && config.id_field_count == 0);
  CHECK(config.id_prefixes == NULL && config.id_prefix_count == 0);
  CHECK(config.id_collections == NULL && config.id_collection_count == 0);
  CHECK(config.id_mode == TOKENPIN_MODE_OFF && config.id_owner == TOKENPIN_ID_OWNER_NONE);
  CHECK(config.foreign_seals == TOKENPIN_FOREIGN_SEALS_AUTO && config.encrypted_content == 1);
  CHECK(config.scope.len == 0 && config.cookie_name.len == 0);
  CHECK(config.attributes.path.len == 0 && config.attributes.domain.len == 0);
  CHECK(config.attributes.secure == 1 && config.attributes.http_only == 1);
  CHECK(config.attributes.same_site == TOKENPIN_SAME_SITE_LAX);
  CHECK(config.attributes.partitioned == 0);
  CHECK(config.max_age == TOKENPIN_MAX_AGE_AUTO && config.skew == 300);
  CHECK(config.max_life == 2592000 && config.max_idle == 0);
  CHECK(config.success_first == 200 && config.success_last == 299);
  CHECK(all(config.placement_key, 16, 0));
  CHECK(config.strategy == TOKENPIN_STRATEGY_JUMP);
  CHECK(config.policy_existing == TOKENPIN_POLICY_FAIL_FAST);
  CHECK(config.policy_new == TOKENPIN_POLICY_FALLBACK_AND_UPDATE);
  CHECK(config.combine_keys == 0 && config.reject_bad_keys == 0 && config.keyed_cookies == 0);
  CHECK(config.mint_single == 0 && config.prompt_cache == 0 && config.replace_rules == 0);
}

// A shorter structure is refused; a longer one is read as if its tail were not there, if the tail
// is zero.
static void a_configuration_may_be_longer_if_its_tail_is_zero(void) {
  enum { kTail = 40 };
  World world;
  world_init(&world);
  struct {
    tokenpin_config config;
    unsigned char tail[kTail];
  } longer = {world.config, {0}};
  tokenpin_affinity* affinity = NULL;
  for (size_t size = 0; size < sizeof(tokenpin_config); size++) {
    SAY("size %zu", size);
    longer.config.size = size;
    EXPECT(STRUCT_SIZE, tokenpin_affinity_new(&longer.config, &affinity, NULL));
    EXPECT(STRUCT_SIZE, tokenpin_config_init(&longer.config, size));
  }
  for (size_t tail = 0; tail <= kTail; tail++) {
    SAY("tail of %zu", tail);
    longer.config.size = sizeof(tokenpin_config) + tail;
    EXPECT(OK, tokenpin_affinity_new(&longer.config, &affinity, NULL));
    tokenpin_affinity_free(affinity);
    if (tail == kTail) break;
    longer.tail[tail] = 1;
    EXPECT(OK, tokenpin_affinity_new(&longer.config, &affinity, NULL));
    tokenpin_affinity_free(affinity);
    longer.config.size++;
    EXPECT(STRUCT_SIZE, tokenpin_affinity_new(&longer.config, &affinity, NULL));
    longer.tail[tail] = 0;
  }
}

// A program with a newer header can still start from the defaults.
static void a_longer_configuration_starts_with_a_zero_tail(void) {
  enum { kLargest = 4096 };
  static union {
    tokenpin_config config;
    unsigned char bytes[kLargest + 1];
  } longer;
  World world;
  world_init(&world);
  const size_t known = sizeof(tokenpin_config);
  for (size_t size = known; size <= kLargest; size += size < known + 9 ? 1 : 479) {
    if (size + 479 > kLargest) size = kLargest;
    SAY("size %zu", size);
    memset(&longer, kPattern, sizeof longer);
    EXPECT(OK, tokenpin_config_init(&longer.config, size));
    CHECK(longer.config.size == size && longer.config.skew == 300);
    CHECK(all(longer.bytes + known, size - known, 0));
    CHECK(all(longer.bytes + size, sizeof longer.bytes - size, kPattern));
    longer.config = world.config;
    longer.config.size = size;
    tokenpin_affinity* affinity = NULL;
    EXPECT(OK, tokenpin_affinity_new(&longer.config, &affinity, NULL));
    tokenpin_affinity_free(affinity);
  }
  SAY("size %d", kLargest + 1);
  memset(&longer, kPattern, sizeof longer);
  EXPECT(STRUCT_SIZE, tokenpin_config_init(&longer.config, kLargest + 1));
  CHECK(all(longer.bytes, sizeof longer.bytes, kPattern));
}

// Searches the stack frames of the last call.
__attribute__((noinline)) static bool is_below(const unsigned char* needle, size_t len) {
  unsigned char area[12000];
  __asm__ volatile("" : "=m"(area));  // Uninitialised on purpose.
#ifdef UNDER_MEMCHECK
  memset(area, 0, sizeof area);
#endif
  for (size_t i = 0; i + len <= sizeof area; i++) {
    if (memcmp(area + i, needle, len) == 0) return true;
  }
  return false;
}

__attribute__((noinline)) static void leave_below(const unsigned char* secret) {
  unsigned char area[64];
  for (size_t i = 0; i < sizeof area; i++) area[i] = secret[i % 16];
  __asm__ volatile("" : : "m"(area));
}

static void building_leaves_no_secret_on_the_stack(void) {
  SAY("secrets on the stack");
  World world;
  world_init(&world);
  unsigned char secret[16], placement[16];
  memcpy(secret, world.keys[0].secret, 16);
  memcpy(placement, world.config.placement_key, 16);
#ifdef ALLOC_HOOKS  // The sanitizers use another stack layout.
  leave_below(secret);
  CHECK(is_below(secret, 16));  // Shows that the search works.
#else
  leave_below(secret);
#endif
  tokenpin_key_ring ring;
  EXPECT(OK, tokenpin_key_ring_init(&ring, world.keys, 2, NULL, NULL));
  CHECK(!is_below(secret, 16));
  // The first working key, as the ring keeps it: nowhere else.
  CHECK(!is_below((const unsigned char*)&ring + 16, 16));
  tokenpin_affinity* affinity = NULL;
  EXPECT(OK, tokenpin_affinity_new(&world.config, &affinity, NULL));
  CHECK(!is_below(secret, 16) && !is_below(placement, 16));
  tokenpin_affinity_free(affinity);
}

// ---- Lives of handles ----

static void a_configuration_may_go_once_the_affinity_is_built(void) {
  SAY("the configuration goes");
  World world;
  world_init(&world);
  char scope[] = "openai", name[] = "pin", path[] = "/v1", domain[] = "example.com",
       rule[] = "jobs";
  world.config.scope = text(scope);
  world.config.cookie_name = text(name);
  world.config.attributes.path = text(path);
  world.config.attributes.domain = text(domain);
  world.rules[0].pattern = text(rule);
  world.config.rules = world.rules;
  world.config.rule_count = 1;
  tokenpin_affinity* affinity = affinity_of(&world.config);
  memset(&world, kPattern, sizeof world);
  memset(scope, 0, sizeof scope);
  memset(name, 0, sizeof name);
  memset(path, 0, sizeof path);
  memset(domain, 0, sizeof domain);
  memset(rule, 0, sizeof rule);
  tokenpin_request request = request_to_create();
  request.has_group = 0;
  request.method = text("POST");
  request.target = text("/v1/jobs");
  tokenpin_decision decision;
  EXPECT(OK, tokenpin_affinity_decide(affinity, &request, &decision));
  char line[TOKENPIN_MAX_SET_COOKIE + 1] = "";
  size_t len = 0;
  uint8_t answer = 9;
  EXPECT(OK, tokenpin_affinity_finish(affinity, &decision, 200, line, sizeof line, &len, &answer));
  char expected[200];
  snprintf(
      expected, sizeof expected,
      "pin=%.67s; Path=/v1; Domain=example.com; Max-Age=2592000; Secure; HttpOnly; SameSite=Lax",
      (const char*)decision.value);
  CHECK(answer == TOKENPIN_ANSWER_SET_COOKIE);
  CHECK(len == strlen(expected) && memcmp(line, expected, len) == 0);
  tokenpin_affinity_free(affinity);
}

static void memory_of_the_caller_is_used_as_far_as_needed_and_wiped(void) {
  SAY("memory of the caller");
  World world;
  world_init(&world);
  // Strings end the block. Its last byte is not zero anyway.
  world.config.cookie_name = text("pin");
  world.config.attributes.domain = text("example.com");
  size_t size = 0;
  EXPECT(OK, tokenpin_affinity_size(&world.config, &size, NULL));
  CHECK(size > 0 && size < sizeof block);
  memset(block, kPattern, sizeof block);
  tokenpin_affinity* affinity = NULL;
  tokenpin_config_error error;
  for (size_t small = 0; small < size; small++) {
    EXPECT(BUFFER_TOO_SMALL,
           tokenpin_affinity_init(block, small, &world.config, &affinity, &error));
  }
  CHECK(all(block, sizeof block, kPattern) && affinity == NULL);
  CHECK(error.status == STATUS(BUFFER_TOO_SMALL) && error.field == TOKENPIN_FIELD_CONFIG);
  for (size_t off = 1; off < TOKENPIN_AFFINITY_ALIGN; off++) {
    EXPECT(MISALIGNED,
           tokenpin_affinity_init(block + off, sizeof block - off, &world.config, &affinity, NULL));
  }
  EXPECT(OK, tokenpin_affinity_init(block, size, &world.config, &affinity, NULL));
  CHECK((void*)affinity == (void*)block);
  CHECK(all(block + size, sizeof block - size, kPattern));
  tokenpin_affinity_wipe(affinity);
  CHECK(all(block, size, 0));
  CHECK(all(block + size, sizeof block - size, kPattern));
  tokenpin_affinity_wipe(affinity);
  CHECK(all(block, size, 0));
  // Memory beyond the needed size stays unchanged, and the block can be used again.
  EXPECT(OK, tokenpin_affinity_init(block, sizeof block, &world.config, &affinity, NULL));
  tokenpin_affinity_wipe(affinity);
  CHECK(all(block, size, 0) && all(block + size, sizeof block - size, kPattern));
}

// Each part of the configuration, in front of the memory, behind it, and reaching into it.
static void memory_and_configuration_must_be_apart(void) {
  World world;
  world_init(&world);
  tokenpin_config* config = &world.config;
  config->rules = world.rules;
  config->rule_count = 2;
  config->scope = text("openai");
  config->cookie_name = text("pin");
  config->attributes.path = text("/v1");
  config->attributes.domain = text("example.com");
  config->id_keys = world.keys;
  config->id_key_count = 2;
  config->id_fields = world.id_fields;
  config->id_field_count = 2;
  config->id_prefixes = world.words;
  config->id_prefix_count = 2;
  config->id_collections = &world.words[2];
  config->id_collection_count = 1;
  const struct {
    const char* what;
    void* pointer;  // The pointer to the part; none for the configuration itself.
    size_t len, align;
  } kParts[] = {
      {"config", NULL, sizeof *config, 8},
      {"cookie keys", &config->cookie_keys, 2 * sizeof world.keys[0], 1},
      {"slots", &config->slots, kSlots * sizeof world.slots[0], 8},
      {"rules", &config->rules, sizeof world.rules, 8},
      {"scope", &config->scope.ptr, config->scope.len, 1},
      {"cookie name", &config->cookie_name.ptr, config->cookie_name.len, 1},
      {"path", &config->attributes.path.ptr, config->attributes.path.len, 1},
      {"domain", &config->attributes.domain.ptr, config->attributes.domain.len, 1},
      {"identity", &world.slots[1].identity.ptr, world.slots[1].identity.len, 1},
      {"pattern", &world.rules[1].pattern.ptr, world.rules[1].pattern.len, 1},
      {"id keys", &config->id_keys, 2 * sizeof world.keys[0], 1},
      {"id fields", &config->id_fields, 2 * sizeof world.id_fields[0], 8},
      {"id prefixes", &config->id_prefixes, 2 * sizeof world.words[0], 8},
      {"id collections", &config->id_collections, sizeof world.words[0], 8},
      {"name of a field", &world.id_fields[1].name.ptr, world.id_fields[1].name.len, 1},
      {"prefix", &world.words[1].ptr, world.words[1].len, 1},
      {"collection", &world.words[2].ptr, world.words[2].len, 1},
  };
  size_t size = 0;
  EXPECT(OK, tokenpin_affinity_size(config, &size, NULL));
  unsigned char* start = block + 1024;
  for (size_t i = 0; i < COUNT(kParts); i++) {
    const size_t len = kParts[i].len, align = kParts[i].align;
    const size_t inside = (size - 1) / align * align;
    const struct {
      unsigned char* at;
      int32_t expected;
    } kPlaces[] = {
        {start - len, STATUS(OK)},
        {start - len + align, STATUS(OVERLAP)},
        {start + inside, STATUS(OVERLAP)},
        {start + inside + align, STATUS(OK)},
    };
    for (size_t j = 0; j < COUNT(kPlaces); j++) {
      SAY("%s, place %zu", kParts[i].what, j);
      const void* original = config;
      const void* moved = kPlaces[j].at;
      if (kParts[i].pointer != NULL) memcpy(&original, kParts[i].pointer, sizeof original);
      memcpy(kPlaces[j].at, original, len);
      if (kParts[i].pointer != NULL) memcpy(kParts[i].pointer, &moved, sizeof moved);
      tokenpin_affinity* affinity = NULL;
      expect_at(kPlaces[j].expected,
                tokenpin_affinity_init(start, size, kParts[i].pointer == NULL ? moved : config,
                                       &affinity, NULL),
                "init", __LINE__);
      CHECK((affinity != NULL) == (kPlaces[j].expected == STATUS(OK)));
      tokenpin_affinity_wipe(affinity);
      if (kParts[i].pointer != NULL) memcpy(kParts[i].pointer, &original, sizeof original);
    }
  }
}

static void a_key_ring_is_wiped(void) {
  SAY("key ring");
  World world;
  world_init(&world);
  tokenpin_key_ring ring;
  memset(&ring, 0, sizeof ring);
  EXPECT(OK, tokenpin_key_ring_init(&ring, world.keys, TOKENPIN_MAX_COOKIE_KEYS, NULL, NULL));
  CHECK(!all(&ring, sizeof ring, 0));
  CHECK(!holds_a_secret(&ring, sizeof ring, &world));
  tokenpin_key_ring_wipe(&ring);
  CHECK(all(&ring, sizeof ring, 0));
  tokenpin_key_ring_wipe(&ring);
  tokenpin_key_ring_wipe(NULL);
}

static void nothing_is_a_fine_thing_to_wipe_or_free(void) {
  SAY("wipe and free");
  tokenpin_affinity_wipe(NULL);
  tokenpin_affinity_free(NULL);
  memset(block, 0, sizeof block);
  tokenpin_affinity_wipe((tokenpin_affinity*)block);
  CHECK(all(block, sizeof block, 0));
  World world;
  world_init(&world);
  tokenpin_affinity* affinity = affinity_of(&world.config);
  tokenpin_affinity_wipe(affinity);
  size_t capacity = 0;
  EXPECT(NOT_INITIALISED, tokenpin_affinity_capacity(affinity, &capacity));
  tokenpin_affinity_free(affinity);
}

static size_t freed_size;
static bool freed_zero, freed_secret;
static const World* freed_world;

static void inspect(const void* freed) {
  if (freed != alloc_latest) return;
  freed_size = alloc_latest_size;
  freed_zero = all(freed, freed_size, 0);
  freed_secret = holds_a_secret(freed, freed_size, freed_world);
}

// Not with the sanitizers, which have their own allocator.
static void freed_memory_was_wiped(void) {
#ifdef ALLOC_HOOKS
  SAY("freed memory");
  World world;
  world_init(&world);
  freed_world = &world;
  tokenpin_affinity* affinity = affinity_of(&world.config);
  alloc_on_free = inspect;
  tokenpin_affinity_free(affinity);
  CHECK(freed_size > 0 && freed_zero);
  // Refused late: everything else was read by then.
  slot_duplicate(&world);
  freed_size = 0;
  freed_secret = true;
  EXPECT(DUPLICATE_IDENTITY, tokenpin_affinity_new(&world.config, &affinity, NULL));
  alloc_on_free = NULL;
  CHECK(freed_size > 0 && !freed_secret);
#else
  (void)inspect;
#endif
}

static void without_memory_there_is_a_status(void) {
#ifdef ALLOC_HOOKS
  SAY("no memory");
  World world;
  world_init(&world);
  tokenpin_affinity* affinity = (tokenpin_affinity*)block;
  tokenpin_config_error error = {0, 99, 99};
  alloc_fails = true;
  int32_t status = tokenpin_affinity_new(&world.config, &affinity, &error);
  alloc_fails = false;
  EXPECT(OUT_OF_MEMORY, status);
  CHECK(affinity == (tokenpin_affinity*)block);
  CHECK(error.status == STATUS(OUT_OF_MEMORY) && error.field == TOKENPIN_FIELD_CONFIG &&
        error.index == 0);
#else
  met[TOKENPIN_ENUM_STATUS][STATUS(OUT_OF_MEMORY)] = true;
#endif
}

// Address space without read permission: counts beyond the limit must be refused without a read.
static void more_slots_than_the_limit_are_refused_unread(void) {
  // Such counts do not fit into a 32-bit address space, or under valgrind.
#if SIZE_MAX > UINT32_MAX && !defined(UNDER_MEMCHECK)
  SAY("2^31 slots");
  size_t count = (size_t)TOKENPIN_MAX_BUCKETS + 1, size = count * sizeof(tokenpin_slot_config);
  void* space = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (!CHECK(space != MAP_FAILED)) return;
  World world;
  world_init(&world);
  world.config.slots = space;
  world.config.slot_count = count;
  tokenpin_affinity* affinity = NULL;
  tokenpin_config_error error;
  EXPECT(SLOT_COUNT, tokenpin_affinity_new(&world.config, &affinity, &error));
  CHECK(error.field == TOKENPIN_FIELD_SLOTS);
  tokenpin_filter filter = {kNow, NULL, 0, 0};
  uint32_t slot = 0;
  EXPECT(SLOT_COUNT, tokenpin_select(0, space, count, &filter, 1, &slot));
  munmap(space, size);
#endif
}

// ---- Functions without a handle ----

static void the_version_is_the_one_that_was_built(const char* version) {
  SAY("version");
  CHECK(tokenpin_abi_version() == TOKENPIN_ABI_VERSION);
  tokenpin_abi_v1();
  CHECK(strcmp(tokenpin_version(), version) == 0);
}

// Checks each row `key,n,bucket` of a file. Further columns are other implementations' answers.
static void jump_gives_the_published_buckets(const char* folder, const char* file) {
  char path[600], line[400];
  snprintf(path, sizeof path, "%s/%s", folder, file);
  FILE* rows = fopen(path, "r");
  SAY("%s", file);
  if (!CHECK(rows != NULL)) return;
  unsigned long count = 0, wrong = 0;
  while (fgets(line, sizeof line, rows) != NULL) {
    char* at = line;
    errno = 0;
    uint64_t key = strtoull(line, &at, 10);
    if (at == line || *at != ',') continue;
    uint32_t buckets = (uint32_t)strtoul(at + 1, &at, 10);
    uint32_t bucket = (uint32_t)strtoul(at + 1, &at, 10), got = UINT32_MAX;
    wrong += tokenpin_jump(key, buckets, &got) != STATUS(OK) || got != bucket;
    count++;
  }
  fclose(rows);
  CHECK(count > 0);
  CHECK(wrong == 0);
}

static void jump_refuses_no_buckets_and_too_many(void) {
  SAY("jump");
  uint32_t bucket = 77;
  EXPECT(BUCKET_COUNT, tokenpin_jump(1, 0, &bucket));
  EXPECT(BUCKET_COUNT, tokenpin_jump(1, TOKENPIN_MAX_BUCKETS + 1u, &bucket));
  EXPECT(BUCKET_COUNT, tokenpin_jump(1, UINT32_MAX, &bucket));
  CHECK(bucket == 77);
  EXPECT(OK, tokenpin_jump(UINT64_MAX, 1, &bucket));
  CHECK(bucket == 0);
  EXPECT(OK, tokenpin_jump(UINT64_MAX, TOKENPIN_MAX_BUCKETS, &bucket));
  CHECK(bucket < TOKENPIN_MAX_BUCKETS);
}

static tokenpin_key key_of(uint8_t kind, const char* bytes, size_t len) {
  tokenpin_key key = {kind, {bytes, len}, {NULL, 0}};
  return key;
}

// FNV-1a's published hashes, by which Higress selects a slot: the remainder by 1000.
static void higress_takes_the_published_hash(void) {
  SAY("higress");
  enum { kSlots = 1000 };
  static tokenpin_slot slots[kSlots];
  const tokenpin_slot_status up = {0, TOKENPIN_MAX_WEIGHT, TOKENPIN_STATE_UP};
  for (uint32_t i = 0; i < kSlots; i++) {
    EXPECT(OK, tokenpin_slot_init(&slots[i], &i, sizeof i, &up));
  }
  const tokenpin_filter all = {0, NULL, 0, 0};
  uint32_t slot = 0, of_uuid = 0;
  tokenpin_key key = key_of(TOKENPIN_KIND_CONSUMER, "a", 1);
  EXPECT(OK, tokenpin_select_higress(slots, kSlots, &all, 9, &key, &slot));
  CHECK(slot == 0xe40c292c % kSlots);
  key = key_of(TOKENPIN_KIND_SESSION, "foobar", 6);
  EXPECT(OK, tokenpin_select_higress(slots, kSlots, &all, 9, &key, &slot));
  CHECK(slot == 0xbf9cf968 % kSlots);
  key = key_of(TOKENPIN_KIND_ANONYMOUS,
               "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16);
  EXPECT(OK, tokenpin_select_higress(slots, kSlots, &all, 9, &key, &slot));
  const char uuid[] = "00112233-4455-6677-8899-aabbccddeeff";
  key = key_of(TOKENPIN_KIND_SESSION, uuid, 36);
  EXPECT(OK, tokenpin_select_higress(slots, kSlots, &all, 9, &key, &of_uuid));
  CHECK(slot == of_uuid);
}

static void keys_have_limits_and_kinds(void) {
  SAY("keys");
  memset(long_text, 'x', sizeof long_text - 1);
  const uint8_t placement[16] = {1}, zero[16] = {0};
  tokenpin_slot only;
  const tokenpin_slot_status up = {0, TOKENPIN_MAX_WEIGHT, TOKENPIN_STATE_UP};
  EXPECT(OK, tokenpin_slot_init(&only, "a", 1, &up));
  const tokenpin_filter all = {0, NULL, 0, 0};
  uint64_t hash = 77, other = 77;
  for (int kind = 0; kind < 256; kind++) {
    SAY("kind %d", kind);
    tokenpin_key key = key_of((uint8_t)kind, long_text, 16);
    key.session = text("s");
    int32_t expected = kind <= 3 ? STATUS(OK) : STATUS(BAD_ENUM);
    expect_at(expected, tokenpin_key_hash(placement, NULL, 0, &key, &other), "kind", __LINE__);
    CHECK((other == hash) == (kind > 3));  // All kinds differ; an error leaves it unchanged.
    hash = other;
  }
  const struct {
    uint8_t kind;
    size_t len, session_len;
    bool good;
  } kLengths[] = {
      {TOKENPIN_KIND_ANONYMOUS, 0, 0, false},     {TOKENPIN_KIND_ANONYMOUS, 15, 0, false},
      {TOKENPIN_KIND_ANONYMOUS, 16, 0, true},     {TOKENPIN_KIND_ANONYMOUS, 17, 0, false},
      {TOKENPIN_KIND_CONSUMER, 0, 0, false},      {TOKENPIN_KIND_CONSUMER, 1, 0, true},
      {TOKENPIN_KIND_CONSUMER, 4096, 0, true},    {TOKENPIN_KIND_CONSUMER, 4097, 0, false},
      {TOKENPIN_KIND_SESSION, 0, 0, false},       {TOKENPIN_KIND_SESSION, 4096, 0, true},
      {TOKENPIN_KIND_SESSION, 4097, 0, false},    {TOKENPIN_KIND_COMBINED, 1, 1, true},
      {TOKENPIN_KIND_COMBINED, 0, 1, false},      {TOKENPIN_KIND_COMBINED, 1, 0, false},
      {TOKENPIN_KIND_COMBINED, 4097, 1, false},   {TOKENPIN_KIND_COMBINED, 1, 4097, false},
      {TOKENPIN_KIND_COMBINED, 4096, 4096, true},
  };
  for (size_t i = 0; i < COUNT(kLengths); i++) {
    SAY("kind %d, lengths %zu and %zu", kLengths[i].kind, kLengths[i].len, kLengths[i].session_len);
    tokenpin_key key = key_of(kLengths[i].kind, long_text, kLengths[i].len);
    key.session.ptr = long_text;
    key.session.len = kLengths[i].session_len;
    int32_t expected = kLengths[i].good ? STATUS(OK) : STATUS(KEY_LENGTH);
    uint32_t slot;
    expect_at(expected, tokenpin_key_hash(placement, NULL, 0, &key, &hash), "hash", __LINE__);
    expect_at(expected, tokenpin_select_higress(&only, 1, &all, 9, &key, &slot), "higress",
              __LINE__);
  }
  SAY("key hash");
  tokenpin_key key = key_of(TOKENPIN_KIND_CONSUMER, "c", 1);
  EXPECT(OK, tokenpin_key_hash(placement, long_text, TOKENPIN_MAX_SCOPE, &key, &hash));
  EXPECT(SCOPE_LENGTH,
         tokenpin_key_hash(placement, long_text, TOKENPIN_MAX_SCOPE + 1, &key, &hash));
  EXPECT(ZERO_SECRET, tokenpin_key_hash(zero, NULL, 0, &key, &hash));
  // Only combined keys read the session key.
  key.session.len = SIZE_MAX;
  EXPECT(OK, tokenpin_key_hash(placement, NULL, 0, &key, &hash));
  key.kind = TOKENPIN_KIND_COMBINED;
  EXPECT(NULL_POINTER, tokenpin_key_hash(placement, NULL, 0, &key, &hash));
  key.session.ptr = "s";
  EXPECT(LENGTH, tokenpin_key_hash(placement, NULL, 0, &key, &hash));
  key.key.ptr = NULL;
  EXPECT(NULL_POINTER, tokenpin_key_hash(placement, NULL, 0, &key, &hash));
}

static void slots_check_their_status(void) {
  SAY("slots");
  tokenpin_slot slot = {0, 0}, vacant = {0, 0};
  tokenpin_slot_status got = {0, 0, 0};
  const uint64_t last = (UINT64_C(1) << 45) - 1;
  const tokenpin_slot_status good = {last, TOKENPIN_MAX_WEIGHT, TOKENPIN_STATE_DRAINING};
  EXPECT(OK, tokenpin_slot_init(&slot, "a", 1, &good));
  EXPECT(OK, tokenpin_slot_init_vacant(&vacant));
  uint64_t hash = 0;
  EXPECT(OK, tokenpin_identity_hash("a", 1, &hash));
  CHECK(slot.identity_hash == hash && hash != 0 && vacant.identity_hash == 0);
  EXPECT(IDENTITY_EMPTY, tokenpin_slot_init(&slot, "a", 0, &good));
  EXPECT(IDENTITY_EMPTY, tokenpin_identity_hash("a", 0, &hash));
  const struct {
    tokenpin_slot_status status;
    int32_t expected;
  } kBad[] = {
      {{0, TOKENPIN_MAX_WEIGHT + 1, TOKENPIN_STATE_UP}, STATUS(WEIGHT)},
      {{0, UINT32_MAX, TOKENPIN_STATE_UP}, STATUS(WEIGHT)},
      {{last + 1, 0, TOKENPIN_STATE_UP}, STATUS(UNTIL)},
      {{UINT64_MAX, 0, TOKENPIN_STATE_UP}, STATUS(UNTIL)},
      {{0, 0, TOKENPIN_STATE_VACANT}, STATUS(VACANT)},
      {{0, 0, 4}, STATUS(BAD_ENUM)},
      {{0, 0, 255}, STATUS(BAD_ENUM)},
  };
  for (size_t i = 0; i < COUNT(kBad); i++) {
    tokenpin_slot before = slot;
    expect_at(kBad[i].expected, tokenpin_slot_set(&slot, &kBad[i].status), "set", __LINE__);
    expect_at(kBad[i].expected, tokenpin_slot_init(&slot, "b", 1, &kBad[i].status), "init",
              __LINE__);
    CHECK(memcmp(&slot, &before, sizeof slot) == 0);
  }
  EXPECT(VACANT, tokenpin_slot_set(&vacant, &good));
  EXPECT(OK, tokenpin_slot_get(&vacant, &got));
  CHECK(got.state == TOKENPIN_STATE_VACANT);
  EXPECT(OK, tokenpin_slot_get(&slot, &got));
  CHECK(got.state == good.state && got.weight == good.weight && got.until == good.until);
}

static void select_finds_candidates_alone(void) {
  SAY("select");
  enum { kCount = 4, kHashes = 200 };
  tokenpin_slot slots[kCount];
  tokenpin_slot_status up = {0, TOKENPIN_MAX_WEIGHT, TOKENPIN_STATE_UP}, down = up, draining = up;
  down.state = TOKENPIN_STATE_DOWN;
  draining.state = TOKENPIN_STATE_DRAINING;
  for (size_t i = 0; i < kCount - 1; i++)
    EXPECT(OK, tokenpin_slot_init(&slots[i], "abc" + i, 1, &up));
  EXPECT(OK, tokenpin_slot_init_vacant(&slots[kCount - 1]));
  uint64_t hashes[kHashes];
  uint32_t selected[kHashes + 1];
  for (size_t i = 0; i < kHashes; i++) {
    hashes[i] = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
  }
  const uint32_t tried[] = {1}, foreign[] = {99};
  const tokenpin_filter keyed = {kNow, NULL, 0, 0}, anonymous = {kNow, NULL, 0, 1};
  const tokenpin_filter second = {kNow, tried, 1, 0}, elsewhere = {kNow, foreign, 1, 0};
  EXPECT(OK, tokenpin_slot_set(&slots[2], &draining));
  for (uint8_t strategy = 0; strategy < 2; strategy++) {
    SAY("strategy %d", strategy);
    selected[kHashes] = 77;
    EXPECT(OK, tokenpin_select_batch(strategy, slots, kCount, &second, hashes, kHashes, selected));
    CHECK(selected[kHashes] == 77);
    unsigned counts[kCount] = {0};
    for (size_t i = 0; i < kHashes; i++) {
      uint32_t one = 77;
      EXPECT(OK, tokenpin_select(strategy, slots, kCount, &second, hashes[i], &one));
      CHECK(one == selected[i] && one < kCount);
      counts[one % kCount]++;
    }
    CHECK(counts[0] > 0 && counts[1] == 0 && counts[2] > 0 && counts[3] == 0);
    for (size_t i = 0; i < 20; i++) {
      uint32_t one = 77;
      EXPECT(OK, tokenpin_select(strategy, slots, kCount, &anonymous, hashes[i], &one));
      CHECK(one < 2);
      EXPECT(OK, tokenpin_select(strategy, slots, kCount, &elsewhere, hashes[i], &one));
      CHECK(one < 3);
    }
  }
  SAY("the strategy that needs the key itself");
  EXPECT(STRATEGY, tokenpin_select(2, slots, kCount, &keyed, 1, &selected[0]));
  EXPECT(STRATEGY, tokenpin_select_batch(2, slots, kCount, &keyed, hashes, 1, &selected[0]));
  for (size_t i = 0; i < kHashes; i++) {
    const tokenpin_key key = {TOKENPIN_KIND_SESSION, {&hashes[i], sizeof hashes[i]}, {NULL, 0}};
    uint32_t one = 77;
    EXPECT(OK, tokenpin_select_higress(slots, kCount, &second, hashes[i], &key, &one));
    CHECK(one == 0 || one == 2);
    EXPECT(OK, tokenpin_select_higress(slots, kCount, &anonymous, hashes[i], &key, &one));
    CHECK(one < 2);
  }
  for (int number = 3; number < 256; number++) {
    SAY("strategy %d", number);
    uint32_t one = 77;
    EXPECT(BAD_ENUM, tokenpin_select((uint8_t)number, slots, kCount, &keyed, 1, &one));
    EXPECT(BAD_ENUM,
           tokenpin_select_batch((uint8_t)number, slots, kCount, &keyed, hashes, 1, &one));
    CHECK(one == 77);
  }
  for (int number = 2; number < 256; number++) {
    SAY("anonymous %d", number);
    tokenpin_filter bad = keyed;
    bad.anonymous = (uint8_t)number;
    uint32_t one = 77;
    EXPECT(BAD_ENUM, tokenpin_select(0, slots, kCount, &bad, 1, &one));
    CHECK(one == 77);
  }
  SAY("select, pointers");
  uint32_t one = 77;
  tokenpin_filter bad = {kNow, NULL, 1, 0};
  EXPECT(NULL_POINTER, tokenpin_select(0, slots, kCount, &bad, 1, &one));
  bad.tried = (const void*)((const char*)tried + 1);
  EXPECT(MISALIGNED, tokenpin_select(0, slots, kCount, &bad, 1, &one));
  bad.tried = tried;
  bad.tried_count = SIZE_MAX / 4;
  EXPECT(LENGTH, tokenpin_select(0, slots, kCount, &bad, 1, &one));
  EXPECT(OK, tokenpin_select_batch(0, slots, kCount, &keyed, NULL, 0, NULL));
  CHECK(one == 77);
  SAY("select, overlaps");
  uint64_t shared[4] = {1, 2, 3, 4};
  uint32_t* over = (uint32_t*)shared;
  tokenpin_filter over_tried = {kNow, over + 1, 1, 0};
  EXPECT(OVERLAP, tokenpin_select_batch(0, slots, kCount, &keyed, shared, 2, over + 1));
  EXPECT(OVERLAP, tokenpin_select(0, slots, kCount, &over_tried, 1, over + 1));
  EXPECT(OVERLAP, tokenpin_select(0, slots, kCount, &keyed, 1, (uint32_t*)(slots + 1)));
  CHECK(shared[0] == 1 && shared[1] == 2 && shared[2] == 3 && shared[3] == 4);
  EXPECT(OK, tokenpin_select_batch(0, slots, kCount, &keyed, shared, 2, over + 4));
  CHECK(shared[0] == 1 && shared[1] == 2);
  for (size_t i = 0; i < kCount - 1; i++) EXPECT(OK, tokenpin_slot_set(&slots[i], &down));
  EXPECT(OK, tokenpin_select(0, slots, kCount, &keyed, 1, &one));
  CHECK(one == TOKENPIN_SLOT_NONE);
}

// ---- Cookies ----

static const char kName[] = "__Host-tokenpin";

static void a_bad_ring_says_which_key(void) {
  World world;
  for (size_t i = 0; i < COUNT(kRefusals); i++) {
    const Refusal* refusal = &kRefusals[i];
    if (refusal->field != TOKENPIN_FIELD_COOKIE_KEYS) continue;
    SAY("ring, %s", refusal->what);
    world_init(&world);
    refusal->spoil(&world);
    tokenpin_key_ring ring;
    memset(&ring, kPattern, sizeof ring);
    tokenpin_config_error error = {-1, 99, 99};
    expect_at(refusal->status,
              tokenpin_key_ring_init(&ring, world.config.cookie_keys, world.config.cookie_key_count,
                                     world.config.placement_key, &error),
              "ring", __LINE__);
    CHECK(all(&ring, sizeof ring, kPattern));
    if (refusal->status == STATUS(LENGTH) || refusal->status == STATUS(NULL_POINTER)) continue;
    check_error(&error, refusal);
  }
  SAY("ring without a placement key");
  world_init(&world);
  keys_placement_secret(&world);
  tokenpin_key_ring ring;
  EXPECT(OK, tokenpin_key_ring_init(&ring, world.keys, 2, NULL, NULL));
  tokenpin_key_ring_wipe(&ring);
}

typedef struct {
  tokenpin_key_ring ring;
  tokenpin_cookie cookie;
  tokenpin_limits limits;
  tokenpin_key consumer;
  char value[TOKENPIN_COOKIE_VALUE_LEN];
} Jar;

static int32_t encode(Jar* jar, const tokenpin_key* key) {
  return tokenpin_cookie_encode(&jar->ring, kName, strlen(kName), NULL, 0, key, &jar->cookie,
                                jar->value);
}

static void jar_init(Jar* jar) {
  World world;
  world_init(&world);
  memset(jar, 0, sizeof *jar);
  EXPECT(OK, tokenpin_key_ring_init(&jar->ring, world.keys, 2, NULL, NULL));
  jar->cookie.pin = UINT64_C(0x1122334455667788);
  jar->cookie.issued_at = kNow - 100;
  jar->cookie.refreshed_at = kNow - 50;
  memset(jar->cookie.id, 0x77, 16);
  jar->limits.skew = 300;
  jar->consumer = key_of(TOKENPIN_KIND_CONSUMER, "alice", 5);
  EXPECT(OK, encode(jar, NULL));
}

// `says` is true if the cookie's contents come with the verdict.
static void read_as(Jar* jar, const tokenpin_key* key, uint64_t now, uint8_t verdict, bool says) {
  tokenpin_cookie cookie;
  memset(&cookie, kPattern, sizeof cookie);
  uint8_t got = 99;
  EXPECT(OK, tokenpin_cookie_decode(&jar->ring, kName, strlen(kName), NULL, 0, key, &jar->limits,
                                    now, jar->value, sizeof jar->value, &got, &cookie));
  CHECK(got == verdict);
  met[TOKENPIN_ENUM_VERDICT][got] = true;
  if (says) {
    CHECK(cookie.pin == jar->cookie.pin && cookie.kind == jar->cookie.kind);
    CHECK(cookie.issued_at == jar->cookie.issued_at);
    CHECK(cookie.refreshed_at == jar->cookie.refreshed_at);
    CHECK(memcmp(cookie.id, jar->cookie.id, 16) == 0);
  } else {
    CHECK(all(&cookie, sizeof cookie, kPattern));
  }
}

static void every_verdict_can_be_met(void) {
  Jar jar;
  jar_init(&jar);
  SAY("valid");
  read_as(&jar, NULL, kNow, TOKENPIN_VERDICT_VALID, true);
  SAY("other key");
  read_as(&jar, &jar.consumer, kNow, TOKENPIN_VERDICT_OTHER_KEY, true);
  SAY("not yet valid");
  read_as(&jar, NULL, kNow - 351, TOKENPIN_VERDICT_NOT_YET_VALID, true);
  SAY("expired");
  jar.limits.max_idle = 49;
  read_as(&jar, NULL, kNow, TOKENPIN_VERDICT_EXPIRED_IDLE, true);
  jar.limits.max_life = 99;
  read_as(&jar, NULL, kNow, TOKENPIN_VERDICT_EXPIRED_LIFE, true);
  SAY("refresh due");
  jar.limits.max_life = 0;
  jar.limits.max_idle = 50;
  jar.limits.refresh_interval = 250;
  read_as(&jar, NULL, kNow, TOKENPIN_VERDICT_REFRESH_DUE, true);
  jar.limits.refresh_interval = 251;
  read_as(&jar, NULL, kNow, TOKENPIN_VERDICT_VALID, true);
  SAY("bad tag");
  jar.value[50] ^= 1;
  read_as(&jar, NULL, kNow, TOKENPIN_VERDICT_BAD_TAG, false);
  SAY("unknown key");
  jar.value[2] = jar.value[2] == 'A' ? 'B' : 'A';
  read_as(&jar, NULL, kNow, TOKENPIN_VERDICT_UNKNOWN_KEY, false);
  SAY("unknown version");
  jar.value[0] = 'I';
  read_as(&jar, NULL, kNow, TOKENPIN_VERDICT_UNKNOWN_VERSION, false);
  SAY("malformed");
  jar.value[9] = '=';
  read_as(&jar, NULL, kNow, TOKENPIN_VERDICT_MALFORMED, false);
  SAY("keyed");
  jar_init(&jar);
  jar.cookie.kind = TOKENPIN_KIND_CONSUMER;
  EXPECT(OK, encode(&jar, &jar.consumer));
  read_as(&jar, &jar.consumer, kNow, TOKENPIN_VERDICT_VALID, true);
  read_as(&jar, NULL, kNow, TOKENPIN_VERDICT_BAD_TAG, false);
  tokenpin_key_ring_wipe(&jar.ring);
}

static void a_value_of_any_length_is_read(void) {
  Jar jar;
  jar_init(&jar);
  uint8_t verdict;
  for (size_t len = 0; len < 200; len++) {
    char value[200];
    memset(value, 'A', sizeof value);
    memcpy(value, jar.value, sizeof jar.value);
    SAY("length %zu", len);
    EXPECT(OK, tokenpin_cookie_decode(&jar.ring, kName, strlen(kName), NULL, 0, NULL, &jar.limits,
                                      kNow, value, len, &verdict, NULL));
    CHECK((verdict == TOKENPIN_VERDICT_VALID) == (len == TOKENPIN_COOKIE_VALUE_LEN));
    CHECK(verdict == TOKENPIN_VERDICT_VALID || verdict == TOKENPIN_VERDICT_MALFORMED);
  }
  tokenpin_key_ring_wipe(&jar.ring);
}

static void encode_checks_name_scope_kind_and_key(void) {
  SAY("encode");
  Jar jar;
  jar_init(&jar);
  char before[TOKENPIN_COOKIE_VALUE_LEN];
  memcpy(before, jar.value, sizeof before);
  uint8_t verdict = 77;
  const tokenpin_key_ring* ring = &jar.ring;
  const struct {
    const char* name;
    size_t name_len, scope_len;
    int32_t expected;
  } kCases[] = {
      {"a b", 3, 0, STATUS(COOKIE_NAME)},       {"a=b", 3, 0, STATUS(COOKIE_NAME)},
      {long_text, 129, 0, STATUS(COOKIE_NAME)}, {"a\0b", 3, 0, STATUS(COOKIE_NAME)},
      {"a", 1, 1025, STATUS(SCOPE_LENGTH)},
  };
  for (size_t i = 0; i < COUNT(kCases); i++) {
    expect_at(kCases[i].expected,
              tokenpin_cookie_encode(ring, kCases[i].name, kCases[i].name_len, long_text,
                                     kCases[i].scope_len, NULL, &jar.cookie, jar.value),
              "encode", __LINE__);
    expect_at(kCases[i].expected,
              tokenpin_cookie_decode(ring, kCases[i].name, kCases[i].name_len, long_text,
                                     kCases[i].scope_len, NULL, &jar.limits, kNow, jar.value,
                                     sizeof jar.value, &verdict, NULL),
              "decode", __LINE__);
  }
  EXPECT(KEY_LENGTH, encode(&jar, &jar.consumer));
  jar.cookie.kind = TOKENPIN_KIND_CONSUMER;
  EXPECT(KEY_LENGTH, encode(&jar, NULL));
  for (int kind = 4; kind < 256; kind++) {
    jar.cookie.kind = (uint8_t)kind;
    EXPECT(BAD_ENUM, encode(&jar, NULL));
  }
  CHECK(memcmp(before, jar.value, sizeof before) == 0 && verdict == 77);
  jar.cookie.kind = TOKENPIN_KIND_ANONYMOUS;
  char value[TOKENPIN_COOKIE_VALUE_LEN + 1];
  value[TOKENPIN_COOKIE_VALUE_LEN] = '#';
  EXPECT(OK, tokenpin_cookie_encode(ring, long_text, TOKENPIN_MAX_COOKIE_NAME, long_text,
                                    TOKENPIN_MAX_SCOPE, NULL, &jar.cookie, value));
  CHECK(value[TOKENPIN_COOKIE_VALUE_LEN] == '#');
  tokenpin_key_ring_wipe(&jar.ring);
}

static void default_names_follow_the_scope(void) {
  SAY("default names");
  char name[TOKENPIN_MAX_COOKIE_NAME];
  size_t len = 0;
  EXPECT(OK, tokenpin_cookie_default_name(NULL, 0, name, sizeof name, &len));
  CHECK(len == strlen(kName) && memcmp(name, kName, len) == 0);
  EXPECT(OK, tokenpin_cookie_default_name("openai", 6, name, sizeof name, &len));
  CHECK(len == strlen(kName) + 9 && memcmp(name, "__Host-tokenpin-", 16) == 0);
  EXPECT(OK, tokenpin_cookie_default_name(long_text, 1024, name, sizeof name, &len));
  EXPECT(SCOPE_LENGTH, tokenpin_cookie_default_name(long_text, 1025, name, sizeof name, &len));
}

static void next_finds_every_value_and_ends(void) {
  SAY("next");
  const char field[] = "pin=1; a=2; pin=\"3\";pin = 4 ;pinx=5";
  const char* const kExpected[] = {"1", "3", "4"};
  size_t offset = 0;
  tokenpin_bytes value = {NULL, 77};
  for (size_t i = 0; i < COUNT(kExpected); i++) {
    EXPECT(OK, tokenpin_cookie_next(field, strlen(field), "pin", 3, &offset, &value));
    CHECK(value.len == 1 && memcmp(value.ptr, kExpected[i], 1) == 0);
    CHECK((const char*)value.ptr > field && (const char*)value.ptr < field + sizeof field);
  }
  for (int again = 0; again < 2; again++) {
    size_t before = offset;
    EXPECT(END, tokenpin_cookie_next(field, strlen(field), "pin", 3, &offset, &value));
    CHECK(offset == before && value.len == 1);
  }
  // Offsets that no call returned.
  const size_t kOffsets[] = {35, 36, 37, 1000, (size_t)PTRDIFF_MAX, SIZE_MAX};
  for (size_t i = 0; i < COUNT(kOffsets); i++) {
    offset = kOffsets[i];
    EXPECT(END, tokenpin_cookie_next(field, strlen(field), "pin", 3, &offset, &value));
    CHECK(offset == kOffsets[i]);
  }
}

static void strip_and_matches_know_the_name(void) {
  SAY("strip");
  const char field[] = "a=1; pin=x; b=2";
  char out[32];
  size_t len = 77;
  EXPECT(OK, tokenpin_cookie_strip(field, strlen(field), "pin", 3, out, sizeof out, &len));
  CHECK(len == 8 && memcmp(out, "a=1; b=2", 8) == 0);
  EXPECT(OK, tokenpin_cookie_strip("pin=x", 5, "pin", 3, NULL, 0, &len));
  CHECK(len == 0);
  uint8_t matches = 77;
  EXPECT(OK, tokenpin_set_cookie_matches("pin=x; Path=/", 13, "pin", 3, &matches));
  CHECK(matches == 1);
  EXPECT(OK, tokenpin_set_cookie_matches("a=x; pin=1", 10, "pin", 3, &matches));
  CHECK(matches == 0);
}

static void set_cookie_checks_what_it_writes(void) {
  SAY("set-cookie");
  const tokenpin_attributes good = {{NULL, 0}, {NULL, 0}, 1, 1, 0, 0};
  tokenpin_attributes bad;
  char out[TOKENPIN_MAX_SET_COOKIE];
  size_t len = 77;
#define WRITE(suffix, name, value, attributes, max_age)                                          \
  EXPECT(suffix, tokenpin_set_cookie_write(name, strlen(name), value, strlen(value), attributes, \
                                           max_age, out, sizeof out, &len))
  memset(out, kPattern, sizeof out);
  WRITE(COOKIE_NAME, "", "v", &good, 0);
  WRITE(COOKIE_NAME, "a;", "v", &good, 0);
  WRITE(MAX_AGE, "a", "v", &good, TOKENPIN_MAX_MAX_AGE + 1);
  WRITE(ATTRIBUTE, "a", "v\r\nSet-Cookie: x=1", &good, 0);
  WRITE(ATTRIBUTE, "a", "a;b", &good, 0);
  bad = good;
  bad.path = text("x");
  WRITE(ATTRIBUTE, "a", "v", &bad, 0);
  bad.path.ptr = NULL;
  WRITE(NULL_POINTER, "a", "v", &bad, 0);
  bad.path.ptr = "/";
  bad.path.len = SIZE_MAX;
  WRITE(LENGTH, "a", "v", &bad, 0);
  bad = good;
  bad.domain = text("a\n");
  WRITE(ATTRIBUTE, "a", "v", &bad, 0);
  bad.domain.ptr = NULL;
  WRITE(NULL_POINTER, "a", "v", &bad, 0);
  bad.domain.ptr = "d";
  bad.domain.len = SIZE_MAX;
  WRITE(LENGTH, "a", "v", &bad, 0);
  bad = good;
  bad.secure = 0;
  WRITE(NAME_PREFIX, "__secure-a", "v", &bad, 0);
  bad.partitioned = 1;
  WRITE(NEEDS_SECURE, "a", "v", &bad, 0);
  CHECK(all(out, sizeof out, kPattern) && len == 77);
  bad = good;
  const struct {
    uint8_t* number;
    uint8_t last;
  } kNumbers[] = {
      {&bad.secure, 1}, {&bad.http_only, 1}, {&bad.same_site, 2}, {&bad.partitioned, 1}};
  for (size_t i = 0; i < COUNT(kNumbers); i++) {
    for (int number = 0; number < 256; number++) {
      SAY("attribute %zu, number %d", i, number);
      *kNumbers[i].number = (uint8_t)number;
      int32_t status = tokenpin_set_cookie_write("a", 1, "v", 1, &bad, 0, out, sizeof out, &len);
      CHECK(status == (number > kNumbers[i].last ? STATUS(BAD_ENUM) : STATUS(OK)));
    }
    bad = good;
  }
  WRITE(OK, "a", "v", &good, 60);
  const char expected[] = "a=v; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax";
  CHECK(len == strlen(expected) && memcmp(out, expected, len) == 0);
  SAY("the longest cookie");
  memset(long_text, '/', sizeof long_text - 1);
  bad.path = text(long_text);
  bad.domain = text(long_text);
  bad.path.len = bad.domain.len = 1024;
  bad.same_site = TOKENPIN_SAME_SITE_STRICT;
  bad.partitioned = 1;
  char name[129], value[68];
  memset(name, 'n', 128);
  memset(value, 'v', 67);
  name[128] = value[67] = 0;
  WRITE(OK, name, value, &bad, TOKENPIN_MAX_MAX_AGE);
  CHECK(len <= TOKENPIN_MAX_SET_COOKIE);
}

// Inputs lie in front of, in and behind the buffer.
static void overlaps_are_refused_and_neighbours_are_not(void) {
  enum { kStart = 256, kCapacity = 128 };
  char arena[512];
  size_t len;
  const tokenpin_attributes plain = {{NULL, 0}, {NULL, 0}, 1, 1, 0, 0};
  char* buffer = arena + kStart;
  for (size_t at = kStart - 20; at <= kStart + kCapacity + 4; at++) {
    const size_t kLen = 5;
    int32_t expected =
        at + kLen <= kStart || at >= kStart + kCapacity ? STATUS(OK) : STATUS(OVERLAP);
    SAY("input at %zu of a buffer at %d..%d", at, kStart, kStart + kCapacity);
    memset(arena, '-', sizeof arena);
    char* in = arena + at;
    memcpy(in, "token", kLen);
    const int32_t got =
        tokenpin_set_cookie_write(in, kLen, "v", 1, &plain, 0, buffer, kCapacity, &len);
    expect_at(expected, got, "name", __LINE__);
    memcpy(in, "/path", kLen);
    tokenpin_attributes path = plain, domain = plain;
    path.path.ptr = domain.domain.ptr = in;
    path.path.len = domain.domain.len = kLen;
    char before[sizeof arena];
    memcpy(before, arena, sizeof arena);
    const int32_t kGot[] = {
        tokenpin_cookie_strip(in, kLen, "a", 1, buffer, kCapacity, &len),
        tokenpin_cookie_strip("b=1", 3, in, kLen, buffer, kCapacity, &len),
        tokenpin_set_cookie_write("a", 1, in, kLen, &plain, 0, buffer, kCapacity, &len),
        tokenpin_set_cookie_write("a", 1, "v", 1, &path, 0, buffer, kCapacity, &len),
        tokenpin_set_cookie_write("a", 1, "v", 1, &domain, 0, buffer, kCapacity, &len),
    };
    for (size_t i = 0; i < COUNT(kGot); i++) expect_at(expected, kGot[i], "overlap", __LINE__);
    if (expected != STATUS(OK)) CHECK(memcmp(arena, before, sizeof arena) == 0);
  }
  SAY("no buffer overlaps nothing");
  EXPECT(BUFFER_TOO_SMALL, tokenpin_cookie_strip(arena, 5, "a", 1, arena, 0, &len));
}

// ---- Classification ----

static void classification_follows_the_table(void) {
  const struct {
    const char *method, *target;
    uint8_t group, existing, ids;
  } kCases[] = {
      {"POST", "/v1/responses", TOKENPIN_GROUP_STATEFUL, 0, TOKENPIN_IDS_ITEMS},
      {"GET", "/v1/responses/r?x=1", TOKENPIN_GROUP_STATEFUL, 1, TOKENPIN_IDS_ITEMS},
      {"POST", "/v1/responses/r/cancel", TOKENPIN_GROUP_STATEFUL, 1, TOKENPIN_IDS_ITEMS},
      {"POST", "/v1/files", TOKENPIN_GROUP_STATEFUL, 0, TOKENPIN_IDS_BOTH},
      {"POST", "/v1/messages", TOKENPIN_GROUP_PROMPT_CACHE, 0, TOKENPIN_IDS_BOTH},
      {"POST", "/v1/embeddings", TOKENPIN_GROUP_STATELESS, 0, TOKENPIN_IDS_NONE},
      {"OPTIONS", "/v1/responses", TOKENPIN_GROUP_STATELESS, 0, TOKENPIN_IDS_NONE},
      {"", "", TOKENPIN_GROUP_STATELESS, 0, TOKENPIN_IDS_NONE},
      {"CONNECT", "/v1/responses", TOKENPIN_GROUP_STATEFUL, 0, TOKENPIN_IDS_ITEMS},
      {"CONNECT", "responses:443", TOKENPIN_GROUP_STATELESS, 0, TOKENPIN_IDS_NONE},
      {"GET", "/v1/messages", TOKENPIN_GROUP_STATEFUL, 1, TOKENPIN_IDS_BOTH},
      {"POST", "/v1/%72esponses%2Fr", TOKENPIN_GROUP_STATEFUL, 1, TOKENPIN_IDS_ITEMS},
      {"POST", "/openai/deployments/files/chat/completions", TOKENPIN_GROUP_PROMPT_CACHE, 0,
       TOKENPIN_IDS_OPEN},
      {"POST", "/v1beta/models/m:batchGenerateContent", TOKENPIN_GROUP_STATEFUL, 0,
       TOKENPIN_IDS_NONE},
      {"POST", "/v1beta/models/files:generateContent", TOKENPIN_GROUP_STATELESS, 0,
       TOKENPIN_IDS_NONE},
  };
  World world;
  world_init(&world);
  world.config.prompt_cache = 1;
  tokenpin_affinity* affinity = affinity_of(&world.config);
  uint8_t group = 77, existing = 77, ids = 77;
  for (size_t i = 0; i < COUNT(kCases); i++) {
    SAY("%s %s", kCases[i].method, kCases[i].target);
    tokenpin_bytes method = text(kCases[i].method), target = text(kCases[i].target);
    EXPECT(OK, tokenpin_classify(NULL, 0, 0, 1, method.ptr, method.len, target.ptr, target.len,
                                 &group, &existing, &ids));
    CHECK(group == kCases[i].group && existing == kCases[i].existing && ids == kCases[i].ids);
    EXPECT(OK, tokenpin_affinity_classify(affinity, method.ptr, method.len, target.ptr, target.len,
                                          &group, &existing, &ids));
    CHECK(group == kCases[i].group && existing == kCases[i].existing && ids == kCases[i].ids);
  }
  tokenpin_affinity_free(affinity);
  SAY("a table of one's own");
  const tokenpin_rule* rules = world.rules;
  EXPECT(OK, tokenpin_classify(rules, 2, 0, 0, "POST", 4, "/jobs", 5, &group, &existing, &ids));
  CHECK(group == TOKENPIN_GROUP_STATEFUL && existing == 0);
  EXPECT(OK,
         tokenpin_classify(rules, 2, 0, 0, "GET", 3, "/chat/jobs", 10, &group, &existing, &ids));
  CHECK(group == TOKENPIN_GROUP_STATEFUL && existing == 1);
  EXPECT(OK,
         tokenpin_classify(rules, 2, 0, 0, "PUT", 3, "/chat/jobs", 10, &group, &existing, &ids));
  CHECK(group == TOKENPIN_GROUP_STATELESS && existing == 0);
  EXPECT(OK,
         tokenpin_classify(rules, 2, 0, 1, "PUT", 3, "/chat/jobs", 10, &group, &existing, &ids));
  CHECK(group == TOKENPIN_GROUP_PROMPT_CACHE && existing == 0);
  EXPECT(OK, tokenpin_classify(rules, 2, 0, 0, "GET", 3, "/v1/files", 9, &group, &existing, &ids));
  CHECK(group == TOKENPIN_GROUP_STATEFUL && existing == 1);
  EXPECT(OK, tokenpin_classify(rules, 2, 1, 0, "GET", 3, "/v1/files", 9, &group, &existing, &ids));
  CHECK(group == TOKENPIN_GROUP_STATELESS && existing == 0);
  const tokenpin_bytes kBad[] = {{NULL, 0},  {"/a", 2},   {"a/", 2},   {"a//b", 4}, {"*", 1},
                                 {"*/a", 3}, {"a/b*", 4}, {"a/**", 4}, {"a%2F", 4}, {"a?b", 3}};
  group = existing = ids = 77;
  for (size_t i = 0; i < COUNT(kBad); i++) {
    world.rules[1].pattern = kBad[i];
    EXPECT(PATTERN, tokenpin_classify(rules, 2, 0, 0, "GET", 3, "/", 1, &group, &existing, &ids));
  }
  world.rules[1].pattern.len = SIZE_MAX;
  EXPECT(LENGTH, tokenpin_classify(rules, 2, 0, 0, "GET", 3, "/", 1, &group, &existing, &ids));
  world.rules[1].pattern.ptr = NULL;
  EXPECT(NULL_POINTER,
         tokenpin_classify(rules, 2, 0, 0, "GET", 3, "/", 1, &group, &existing, &ids));
  world.rules[1].pattern = text("a");
  for (int number = 2; number < 256; number++) {
    SAY("number %d", number);
    uint8_t bad = (uint8_t)number;
    EXPECT(BAD_ENUM, tokenpin_classify(NULL, 0, bad, 0, "GET", 3, "/", 1, &group, &existing, &ids));
    EXPECT(BAD_ENUM, tokenpin_classify(NULL, 0, 0, bad, "GET", 3, "/", 1, &group, &existing, &ids));
    world.rules[1].group = bad;
    int32_t expected = number == TOKENPIN_GROUP_PROMPT_CACHE ? STATUS(OK) : STATUS(BAD_ENUM);
    uint8_t got[3];
    expect_at(expected,
              tokenpin_classify(rules, 2, 0, 0, "GET", 3, "/", 1, &got[0], &got[1], &got[2]),
              "group", __LINE__);
    world.rules[1].group = 0;
    world.rules[1].ids = bad;
    expect_at(number <= TOKENPIN_IDS_ITEMS ? STATUS(OK) : STATUS(BAD_ENUM),
              tokenpin_classify(rules, 2, 0, 0, "GET", 3, "/a", 2, &got[0], &got[1], &got[2]),
              "ids", __LINE__);
    CHECK(number > TOKENPIN_IDS_ITEMS || got[2] == number);
    world.rules[1].ids = 0;
  }
  CHECK(group == 77 && existing == 77 && ids == 77);
}

// ---- Slots and fingerprints of an affinity ----

static void slots_of_an_affinity_are_set_got_and_found(void) {
  SAY("slots of an affinity");
  World world;
  world_init(&world);
  tokenpin_affinity* affinity = affinity_of(&world.config);
  size_t capacity = 0;
  EXPECT(OK, tokenpin_affinity_capacity(affinity, &capacity));
  CHECK(capacity == kSlots);
  for (uint32_t i = 0; i < kAccounts; i++) {
    uint32_t slot = 77;
    const tokenpin_bytes* identity = &world.slots[i].identity;
    EXPECT(OK, tokenpin_affinity_find(affinity, identity->ptr, identity->len, &slot));
    CHECK(slot == i);
    tokenpin_slot_status set = {kNow + i, i, (uint8_t)(TOKENPIN_STATE_UP + i)}, got = {0, 0, 0};
    EXPECT(OK, tokenpin_affinity_set_slot(affinity, i, &set));
    uint64_t hash = 0, expected = 1;
    EXPECT(OK, tokenpin_affinity_get_slot(affinity, i, &got, &hash));
    EXPECT(OK, tokenpin_identity_hash(identity->ptr, identity->len, &expected));
    CHECK(got.state == set.state && got.weight == set.weight && got.until == set.until);
    CHECK(hash == expected);
  }
  uint32_t slot = 77;
  EXPECT(OK, tokenpin_affinity_find(affinity, "nobody", 6, &slot));
  CHECK(slot == TOKENPIN_SLOT_NONE);
  EXPECT(IDENTITY_EMPTY, tokenpin_affinity_find(affinity, NULL, 0, &slot));
  tokenpin_slot_status got, bad = {0, 0, 0};
  uint64_t hash = 77;
  EXPECT(OK, tokenpin_affinity_get_slot(affinity, kAccounts, &got, &hash));
  CHECK(got.state == TOKENPIN_STATE_VACANT && hash == 0);
  EXPECT(VACANT, tokenpin_affinity_set_slot(affinity, kAccounts, &bad));
  const uint32_t kBeyond[] = {kSlots, kSlots + 1, TOKENPIN_MAX_BUCKETS, TOKENPIN_SLOT_NONE};
  for (size_t i = 0; i < COUNT(kBeyond); i++) {
    EXPECT(SLOT_RANGE, tokenpin_affinity_set_slot(affinity, kBeyond[i], &bad));
    EXPECT(SLOT_RANGE, tokenpin_affinity_get_slot(affinity, kBeyond[i], &got, &hash));
  }
  bad.state = TOKENPIN_STATE_VACANT;
  EXPECT(VACANT, tokenpin_affinity_set_slot(affinity, 0, &bad));
  bad.state = 4;
  EXPECT(BAD_ENUM, tokenpin_affinity_set_slot(affinity, 0, &bad));
  bad.state = 0;
  bad.weight = TOKENPIN_MAX_WEIGHT + 1;
  EXPECT(WEIGHT, tokenpin_affinity_set_slot(affinity, 0, &bad));
  bad.weight = 0;
  bad.until = UINT64_MAX;
  EXPECT(UNTIL, tokenpin_affinity_set_slot(affinity, 0, &bad));
  tokenpin_affinity_free(affinity);
}

static uint64_t fingerprint_of(const tokenpin_config* config) {
  tokenpin_affinity* affinity = affinity_of(config);
  uint64_t fingerprint = 0;
  EXPECT(OK, tokenpin_affinity_fingerprint(affinity, &fingerprint));
  tokenpin_affinity_free(affinity);
  return fingerprint;
}

SPOIL(with_strategy, config->strategy = 1)
SPOIL(with_capacity, config->slot_count = kSlots + 1)
SPOIL(with_fewer, config->slot_count = kSlots - 1)
SPOIL(with_identity, world->slots[1].identity = text("other"))
SPOIL(with_order, world->slots[1].identity = text("account-a");
      world->slots[0].identity = text("account-b"))
SPOIL(with_vacancy, world->slots[1].identity.len = 0;
      world->slots[1].status.state = TOKENPIN_STATE_VACANT)
SPOIL(with_scope, config->scope = text("s"))
SPOIL(with_combining, config->combine_keys = 1)
SPOIL(with_default_name, config->cookie_name = text("__Host-tokenpin"))
SPOIL(with_name, config->cookie_name = text("pin"))
SPOIL(with_placement, config->placement_key[0] ^= 1)
SPOIL(with_key_id, world->keys[1].id = 99)
SPOIL(with_secret, world->keys[1].secret[15] ^= 1)
SPOIL(with_key_order, tokenpin_cookie_key key = world->keys[0]; world->keys[0] = world->keys[1];
      world->keys[1] = key)
SPOIL(with_key_more, config->cookie_key_count++)
SPOIL(with_roles, world->keys[0].role = TOKENPIN_ROLE_RETIRE;
      world->keys[1].role = TOKENPIN_ROLE_SIGN)
SPOIL(with_states, world->slots[0].status.state = TOKENPIN_STATE_DOWN;
      world->slots[1].status.weight = 1)
SPOIL(with_id_keys, config->id_keys = &world->keys[1]; config->id_key_count = 1;
      world->keys[1].role = TOKENPIN_ROLE_SIGN; world->keys[0].role = TOKENPIN_ROLE_ACCEPT)
SPOIL(with_other_id_keys, config->id_keys = &world->keys[4]; config->id_key_count = 1;
      world->keys[4].role = TOKENPIN_ROLE_SIGN)
SPOIL(with_id_owner, config->id_owner = 1)
SPOIL(with_id_mode, config->id_mode = 2; config->foreign_seals = 1; config->encrypted_content = 0)
SPOIL(with_policies, config->policy_new = 2; config->max_age = 5; config->keyed_cookies = 1)

static void fingerprints_differ_where_replicas_would(void) {
  const struct {
    const char* what;
    void (*change)(World* world);
    bool differs;
  } kCases[] = {
      {"strategy", with_strategy, true},
      {"capacity", with_capacity, true},
      {"fewer", with_fewer, true},
      {"identity", with_identity, true},
      {"order", with_order, true},
      {"vacancy", with_vacancy, true},
      {"scope", with_scope, true},
      {"combining", with_combining, true},
      {"the default name, fixed", with_default_name, true},
      {"name", with_name, true},
      {"placement key", with_placement, true},
      {"key id", with_key_id, true},
      {"secret", with_secret, true},
      {"order of keys", with_key_order, false},
      {"one key more", with_key_more, true},
      {"roles", with_roles, false},
      {"states", with_states, false},
      {"policies", with_policies, false},
      {"id keys", with_id_keys, true},
      {"other id keys", with_other_id_keys, true},
      {"id owner", with_id_owner, true},
      {"id mode", with_id_mode, false},
  };
  uint64_t met_before[COUNT(kCases) + 1];
  World world;
  world_init(&world);
  const uint64_t base = met_before[0] = fingerprint_of(&world.config);
  for (size_t i = 0; i < COUNT(kCases); i++) {
    SAY("fingerprint, %s", kCases[i].what);
    world_init(&world);
    CHECK(fingerprint_of(&world.config) == base);
    kCases[i].change(&world);
    uint64_t fingerprint = met_before[i + 1] = fingerprint_of(&world.config);
    CHECK((fingerprint != base) == kCases[i].differs);
    for (size_t j = 0; kCases[i].differs && j <= i; j++) CHECK(fingerprint != met_before[j]);
  }
}

static void live_fingerprints_follow_weights_and_states(void) {
  SAY("live fingerprint");
  World world;
  world_init(&world);
  tokenpin_affinity* affinity = affinity_of(&world.config);
  const tokenpin_slot_status up = {0, TOKENPIN_MAX_WEIGHT, TOKENPIN_STATE_UP};
  const tokenpin_slot_status kChanges[] = {
      {0, TOKENPIN_MAX_WEIGHT, TOKENPIN_STATE_DOWN},
      {0, TOKENPIN_MAX_WEIGHT, TOKENPIN_STATE_DRAINING},
      {0, TOKENPIN_MAX_WEIGHT - 1, TOKENPIN_STATE_UP},
      {kNow + 1, TOKENPIN_MAX_WEIGHT, TOKENPIN_STATE_DOWN},
  };
  uint64_t base = 0, now = 0, later = 0;
  EXPECT(OK, tokenpin_affinity_live_fingerprint(affinity, kNow, &base));
  for (size_t i = 0; i < COUNT(kChanges); i++) {
    EXPECT(OK, tokenpin_affinity_set_slot(affinity, 1, &kChanges[i]));
    EXPECT(OK, tokenpin_affinity_live_fingerprint(affinity, kNow, &now));
    EXPECT(OK, tokenpin_affinity_live_fingerprint(affinity, kNow + 1, &later));
    CHECK(now != base);
    CHECK((later == base) == (kChanges[i].until != 0));
    EXPECT(OK, tokenpin_affinity_set_slot(affinity, 1, &up));
  }
  EXPECT(OK, tokenpin_affinity_live_fingerprint(affinity, kNow, &now));
  CHECK(now == base);
  tokenpin_affinity_free(affinity);
}

// ---- Decisions ----

typedef struct {
  World world;
  tokenpin_affinity* affinity;
  tokenpin_request request;
  tokenpin_decision decision;
  tokenpin_bytes field;
  char cookie[16 + TOKENPIN_COOKIE_VALUE_LEN];
} Scene;

static void scene_init(Scene* scene) {
  memset(scene, 0, sizeof *scene);
  world_init(&scene->world);
  scene->request = request_to_create();
}

static void open_scene(Scene* scene) { scene->affinity = affinity_of(&scene->world.config); }

static void close_scene(Scene* scene) { tokenpin_affinity_free(scene->affinity); }

static void decide(Scene* scene, uint8_t source, uint8_t outcome, uint8_t pin_state,
                   uint8_t verdict) {
  EXPECT(OK, tokenpin_affinity_decide(scene->affinity, &scene->request, &scene->decision));
  const tokenpin_decision* decision = &scene->decision;
  CHECK(decision->source == source);
  CHECK(decision->outcome == outcome);
  CHECK(decision->pin_state == pin_state);
  CHECK(decision->verdict == verdict);
  bool none = outcome == TOKENPIN_OUTCOME_NONE || outcome == TOKENPIN_OUTCOME_REJECTED;
  CHECK(none ? decision->slot == TOKENPIN_SLOT_NONE : decision->slot < kAccounts);
  met[TOKENPIN_ENUM_SOURCE][decision->source] = true;
  met[TOKENPIN_ENUM_OUTCOME][decision->outcome] = true;
  met[TOKENPIN_ENUM_PIN_STATE][decision->pin_state] = true;
  met[TOKENPIN_ENUM_VERDICT][decision->verdict] = true;
  met[TOKENPIN_ENUM_KEY_REASON][decision->key_reason] = true;
}

#define DECIDE(scene, source, outcome, pin, verdict)                                            \
  decide(scene, TOKENPIN_SOURCE_##source, TOKENPIN_OUTCOME_##outcome, TOKENPIN_PIN_STATE_##pin, \
         TOKENPIN_VERDICT_##verdict)

// The client sends back the cookie of the decision.
static void keep_cookie(Scene* scene) {
  CHECK(scene->decision.cookie == 1);
  memcpy(scene->cookie, "__Host-tokenpin=", 16);
  memcpy(scene->cookie + 16, scene->decision.value, TOKENPIN_COOKIE_VALUE_LEN);
  scene->field.ptr = scene->cookie;
  scene->field.len = sizeof scene->cookie;
  scene->request.cookies = &scene->field;
  scene->request.cookie_count = 1;
}

static void set_state(Scene* scene, uint32_t slot, uint8_t state, uint32_t weight) {
  const tokenpin_slot_status status = {0, weight, state};
  EXPECT(OK, tokenpin_affinity_set_slot(scene->affinity, slot, &status));
}

static void a_pin_is_followed_as_far_as_its_slot_goes(void) {
  Scene scene;
  scene_init(&scene);
  open_scene(&scene);
  SAY("minted");
  DECIDE(&scene, MINTED, PLACED, NONE, ABSENT);
  keep_cookie(&scene);
  uint32_t pin = scene.decision.slot;
  SAY("pinned");
  DECIDE(&scene, COOKIE, PINNED, HOME, VALID);
  CHECK(scene.decision.slot == pin && scene.decision.cookie == 0);
  SAY("weight 0");
  set_state(&scene, pin, TOKENPIN_STATE_UP, 0);
  DECIDE(&scene, COOKIE, PINNED, ELSEWHERE, VALID);
  SAY("draining");
  set_state(&scene, pin, TOKENPIN_STATE_DRAINING, TOKENPIN_MAX_WEIGHT);
  DECIDE(&scene, COOKIE, PINNED, DRAINING, VALID);
  SAY("down");
  set_state(&scene, pin, TOKENPIN_STATE_DOWN, TOKENPIN_MAX_WEIGHT);
  DECIDE(&scene, COOKIE, REPINNED, DOWN, VALID);
  CHECK(scene.decision.slot != pin && scene.decision.cookie == 1);
  scene.request.existing = 1;
  DECIDE(&scene, COOKIE, REJECTED, DOWN, VALID);
  scene.request.existing = 0;
  scene.request.group = TOKENPIN_GROUP_PROMPT_CACHE;
  DECIDE(&scene, COOKIE, FALLBACK, DOWN, VALID);
  scene.request.group = TOKENPIN_GROUP_STATEFUL;
  SAY("all down");
  for (uint32_t slot = 0; slot < kAccounts; slot++) {
    set_state(&scene, slot, TOKENPIN_STATE_DOWN, TOKENPIN_MAX_WEIGHT);
  }
  DECIDE(&scene, COOKIE, NONE, DOWN, VALID);
  for (uint32_t slot = 0; slot < kAccounts; slot++) {
    set_state(&scene, slot, TOKENPIN_STATE_UP, TOKENPIN_MAX_WEIGHT);
  }
  SAY("tried");
  scene.request.tried = &pin;
  scene.request.tried_count = 1;
  DECIDE(&scene, COOKIE, REPINNED, ELSEWHERE, VALID);
  scene.request.cookie_count = 0;
  DECIDE(&scene, MINTED, RETRIED, NONE, ABSENT);
  scene.request.tried_count = 0;
  scene.request.cookie_count = 1;
  close_scene(&scene);
  SAY("gone");
  scene.world.slots[pin].identity = text("successor");
  open_scene(&scene);
  DECIDE(&scene, COOKIE, REPINNED, GONE, VALID);
  close_scene(&scene);
}

static void the_key_decides_where_there_is_one(void) {
  Scene scene;
  scene_init(&scene);
  scene.world.config.combine_keys = 1;
  open_scene(&scene);
  const tokenpin_bytes alice = {"alice", 5};
  const tokenpin_bytes two[] = {{NULL, 0}, {"bob", 3}, {"carol", 5}};
  memset(long_text, 'x', sizeof long_text - 1);
  const tokenpin_bytes longest = {long_text, TOKENPIN_MAX_KEY}, too_long = {long_text, 4097};
  SAY("consumer");
  scene.request.consumers = &alice;
  scene.request.consumer_count = 1;
  DECIDE(&scene, MINTED, PLACED, NONE, ABSENT);
  CHECK(scene.decision.key_reason == TOKENPIN_KEY_REASON_UNTRUSTED);
  scene.request.consumer_trusted = 1;
  DECIDE(&scene, CONSUMER, PLACED, NONE, ABSENT);
  CHECK(scene.decision.key_reason == TOKENPIN_KEY_REASON_OK && scene.decision.cookie == 0);
  SAY("combined");
  scene.request.sessions = two;
  scene.request.session_count = 2;
  DECIDE(&scene, COMBINED, PLACED, NONE, ABSENT);
  SAY("session");
  scene.request.consumer_count = 0;
  DECIDE(&scene, SESSION, PLACED, NONE, ABSENT);
  scene.request.session_count = 3;
  DECIDE(&scene, MINTED, PLACED, NONE, ABSENT);
  CHECK(scene.decision.key_reason == TOKENPIN_KEY_REASON_SEVERAL_VALUES);
  scene.request.session_count = 1;
  scene.request.sessions = &longest;
  DECIDE(&scene, SESSION, PLACED, NONE, ABSENT);
  scene.request.sessions = &too_long;
  DECIDE(&scene, MINTED, PLACED, NONE, ABSENT);
  CHECK(scene.decision.key_reason == TOKENPIN_KEY_REASON_TOO_LONG);
  SAY("none, and stateless");
  scene.request.session_count = 0;
  scene.request.group = TOKENPIN_GROUP_PROMPT_CACHE;
  DECIDE(&scene, NONE, PLACED, NONE, ABSENT);
  scene.request.has_group = 0;
  scene.request.method = text("POST");
  scene.request.target = text("/v1/embeddings");
  DECIDE(&scene, STATELESS, PLACED, NONE, ABSENT);
  close_scene(&scene);
}

static void cookies_are_judged_and_issued_anew(void) {
  Scene scene;
  scene_init(&scene);
  open_scene(&scene);
  DECIDE(&scene, MINTED, PLACED, NONE, ABSENT);
  keep_cookie(&scene);
  SAY("ambiguous");
  memset(scene.request.entropy, 0x33, 16);
  scene.request.cookie_count = 0;
  DECIDE(&scene, MINTED, PLACED, NONE, ABSENT);
  scene.request.carrier_value.ptr = scene.decision.value;
  scene.request.carrier_value.len = TOKENPIN_COOKIE_VALUE_LEN;
  scene.request.cookie_count = 1;
  tokenpin_decision copy = scene.decision;
  scene.request.carrier_value.ptr = copy.value;
  DECIDE(&scene, COOKIE, PINNED, HOME, VALID);
  CHECK(scene.decision.ambiguous == 1);
  scene.request.carrier_value.len = 0;
  SAY("malformed");
  scene.cookie[20] = '!';
  DECIDE(&scene, MINTED, PLACED, NONE, MALFORMED);
  scene.cookie[20] = (char)0xff;
  DECIDE(&scene, MINTED, PLACED, NONE, MALFORMED);
  close_scene(&scene);
  SAY("retired key");
  scene_init(&scene);
  open_scene(&scene);
  DECIDE(&scene, MINTED, PLACED, NONE, ABSENT);
  keep_cookie(&scene);
  close_scene(&scene);
  with_roles(&scene.world);
  open_scene(&scene);
  DECIDE(&scene, COOKIE, PINNED, HOME, REFRESH_DUE);
  CHECK(scene.decision.cookie == 1);
  close_scene(&scene);
}

static int32_t finish(const Scene* scene, const tokenpin_decision* decision, uint16_t status,
                      char* out, size_t* len, uint8_t* answer) {
  int32_t got = tokenpin_affinity_finish(scene->affinity, decision, status, out,
                                         TOKENPIN_MAX_SET_COOKIE, len, answer);
  if (got == STATUS(OK)) met[TOKENPIN_ENUM_ANSWER][*answer] = true;
  return got;
}

static void the_answer_is_a_cookie_a_value_or_nothing(void) {
  SAY("finish");
  Scene scene;
  scene_init(&scene);
  open_scene(&scene);
  char out[TOKENPIN_MAX_SET_COOKIE];
  size_t len = 77;
  uint8_t answer = 77;
  DECIDE(&scene, MINTED, PLACED, NONE, ABSENT);
  const uint16_t kFailures[] = {0, 99, 199, 300, 404, 500, 65535};
  for (size_t i = 0; i < COUNT(kFailures); i++) {
    memset(out, kPattern, sizeof out);
    len = 77;
    EXPECT(OK, finish(&scene, &scene.decision, kFailures[i], out, &len, &answer));
    CHECK(answer == TOKENPIN_ANSWER_NOTHING && len == 0 && all(out, sizeof out, kPattern));
  }
  EXPECT(OK, finish(&scene, &scene.decision, 299, out, &len, &answer));
  CHECK(answer == TOKENPIN_ANSWER_SET_COOKIE);
  CHECK(len > 80 && memcmp(out, "__Host-tokenpin=", 16) == 0);
  CHECK(memcmp(out + 16, scene.decision.value, TOKENPIN_COOKIE_VALUE_LEN) == 0);
  SAY("carrier");
  scene.request.carrier = 1;
  DECIDE(&scene, MINTED, PLACED, NONE, ABSENT);
  EXPECT(OK, finish(&scene, &scene.decision, 200, out, &len, &answer));
  CHECK(answer == TOKENPIN_ANSWER_CARRIER && len == TOKENPIN_COOKIE_VALUE_LEN);
  CHECK(memcmp(out, scene.decision.value, len) == 0);
  SAY("carrier_value");
  char carrier_value[TOKENPIN_COOKIE_VALUE_LEN];
  memcpy(carrier_value, out, sizeof carrier_value);
  scene.request.carrier = 0;
  scene.request.carrier_value.ptr = carrier_value;
  scene.request.carrier_value.len = sizeof carrier_value;
  DECIDE(&scene, COOKIE, PINNED, HOME, VALID);
  set_state(&scene, scene.decision.slot, TOKENPIN_STATE_DOWN, 0);
  DECIDE(&scene, COOKIE, REPINNED, DOWN, VALID);
  CHECK(scene.decision.carrier == 1);
  SAY("a scope of the request names the cookie");
  scene.request = request_to_create();
  scene.request.scope = text("openai");
  DECIDE(&scene, MINTED, PLACED, NONE, ABSENT);
  CHECK(scene.decision.has_name_suffix == 1);
  EXPECT(OK, finish(&scene, &scene.decision, 200, out, &len, &answer));
  char name[TOKENPIN_MAX_COOKIE_NAME];
  size_t name_len = 0;
  EXPECT(OK,
         tokenpin_affinity_cookie_name(scene.affinity, "openai", 6, name, sizeof name, &name_len));
  CHECK(name_len == 24 && memcmp(out, name, name_len) == 0 && out[name_len] == '=');
  EXPECT(SCOPE_LENGTH, tokenpin_affinity_cookie_name(scene.affinity, long_text, 1025, name,
                                                     sizeof name, &name_len));
  close_scene(&scene);
}

// Both read from the block, so no byte of it may be written to.
static void nothing_is_written_into_the_affinity(void) {
  Scene scene;
  scene_init(&scene);
  size_t size = 0, len = 77;
  uint8_t answer = 77;
  memset(block, 0, sizeof block);
  EXPECT(OK, tokenpin_affinity_size(&scene.world.config, &size, NULL));
  unsigned char* start = block + 512;
  EXPECT(OK, tokenpin_affinity_init(start, size, &scene.world.config, &scene.affinity, NULL));
  DECIDE(&scene, MINTED, PLACED, NONE, ABSENT);
  const struct {
    unsigned char* buffer;
    size_t capacity;
    int32_t expected;
  } kCases[] = {
      {start - 400, 400, STATUS(OK)},
      {start - 400, 401, STATUS(OVERLAP)},
      {start, 1, STATUS(OVERLAP)},
      {start - 400, 400 + size + 1, STATUS(OVERLAP)},
      {start + size / 2, 1, STATUS(OVERLAP)},
      {start + size - 1, 400, STATUS(OVERLAP)},
      {start + size, 400, STATUS(OK)},
      {start, 0, STATUS(BUFFER_TOO_SMALL)},
  };
  for (size_t i = 0; i < COUNT(kCases); i++) {
    SAY("overlap %zu", i);
    expect_at(kCases[i].expected,
              tokenpin_affinity_finish(scene.affinity, &scene.decision, 200, kCases[i].buffer,
                                       kCases[i].capacity, &len, &answer),
              "finish", __LINE__);
    expect_at(kCases[i].expected,
              tokenpin_affinity_cookie_name(scene.affinity, NULL, 0, kCases[i].buffer,
                                            kCases[i].capacity, &len),
              "cookie_name", __LINE__);
  }
  SAY("outputs in the affinity");
  void* in = start + 16;
  EXPECT(OVERLAP, tokenpin_affinity_decide(scene.affinity, &scene.request, in));
  EXPECT(OVERLAP, tokenpin_affinity_get_slot(scene.affinity, 0, in, NULL));
  tokenpin_slot_status status;
  EXPECT(OVERLAP, tokenpin_affinity_get_slot(scene.affinity, 0, &status, in));
  EXPECT(OVERLAP, tokenpin_affinity_find(scene.affinity, "a", 1, in));
  EXPECT(OVERLAP, tokenpin_affinity_capacity(scene.affinity, in));
  EXPECT(OVERLAP, tokenpin_affinity_id_hint(scene.affinity, "a", 1, in));
  EXPECT(OVERLAP, tokenpin_affinity_fingerprint(scene.affinity, in));
  EXPECT(OVERLAP, tokenpin_affinity_live_fingerprint(scene.affinity, kNow, in));
  uint8_t other;
  EXPECT(OVERLAP,
         tokenpin_affinity_classify(scene.affinity, "GET", 3, "/", 1, in, &answer, &other));
  EXPECT(OVERLAP,
         tokenpin_affinity_classify(scene.affinity, "GET", 3, "/", 1, &answer, in, &other));
  EXPECT(OVERLAP,
         tokenpin_affinity_classify(scene.affinity, "GET", 3, "/", 1, &answer, &other, in));
  EXPECT(OVERLAP, tokenpin_affinity_id_owner(scene.affinity, &scene.request, in));
  EXPECT(OVERLAP, tokenpin_affinity_id_key(scene.affinity, 0, in));
  char out[TOKENPIN_MAX_SET_COOKIE];
  EXPECT(OVERLAP, tokenpin_affinity_finish(scene.affinity, &scene.decision, 200, out, sizeof out,
                                           in, &answer));
  EXPECT(OVERLAP,
         tokenpin_affinity_finish(scene.affinity, &scene.decision, 200, out, sizeof out, &len, in));
  EXPECT(OVERLAP,
         tokenpin_affinity_cookie_name(scene.affinity, NULL, 0, out, sizeof out, (size_t*)in));
  DECIDE(&scene, MINTED, PLACED, NONE, ABSENT);
  tokenpin_affinity_wipe(scene.affinity);
  EXPECT(OVERLAP, tokenpin_affinity_init(start, size, &scene.world.config, in, NULL));
}

static void finish_trusts_no_decision(void) {
  Scene scene;
  scene_init(&scene);
  open_scene(&scene);
  DECIDE(&scene, MINTED, PLACED, NONE, ABSENT);
  char out[TOKENPIN_MAX_SET_COOKIE];
  memset(out, kPattern, sizeof out);
  size_t len = 77;
  uint8_t answer = 77;
  const tokenpin_decision good = scene.decision;
  tokenpin_decision bad = good;
  uint8_t* const kSwitches[] = {&bad.cookie, &bad.carrier, &bad.has_name_suffix};
  for (size_t i = 0; i < COUNT(kSwitches); i++) {
    for (int number = 2; number < 256; number++) {
      SAY("switch %zu, number %d", i, number);
      *kSwitches[i] = (uint8_t)number;
      EXPECT(BAD_DECISION, finish(&scene, &bad, 200, out, &len, &answer));
    }
    bad = good;
  }
  SAY("max age");
  bad.max_age = TOKENPIN_MAX_MAX_AGE + 1;
  EXPECT(BAD_DECISION, finish(&scene, &bad, 200, out, &len, &answer));
  const char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  for (size_t at = 0; at < TOKENPIN_COOKIE_VALUE_LEN; at++) {
    for (int byte = 0; byte < 256; byte++) {
      bad = good;
      bad.value[at] = (uint8_t)byte;
      if (memchr(kAlphabet, byte, 64) != NULL) continue;
      SAY("byte %d at %zu", byte, at);
      EXPECT(BAD_DECISION, finish(&scene, &bad, 200, out, &len, &answer));
    }
  }
  SAY("stale");
  for (int bit = 0; bit < 64; bit++) {
    bad = good;
    bad.fingerprint ^= UINT64_C(1) << bit;
    EXPECT(STALE, finish(&scene, &bad, 200, out, &len, &answer));
    EXPECT(STALE, finish(&scene, &bad, 500, out, &len, &answer));
  }
  with_identity(&scene.world);
  tokenpin_affinity* other = affinity_of(&scene.world.config);
  EXPECT(STALE, tokenpin_affinity_finish(other, &good, 200, out, sizeof out, &len, &answer));
  tokenpin_affinity_free(other);
  CHECK(all(out, sizeof out, kPattern) && len == 77 && answer == 77);
  SAY("good");
  EXPECT(OK, finish(&scene, &good, 200, out, &len, &answer));
  close_scene(&scene);
}

static void an_id_outranks_the_key_and_the_cookie(void) {
  Scene scene;
  scene_init(&scene);
  scene.world.config.id_mode = TOKENPIN_MODE_SEAL;
  open_scene(&scene);
  tokenpin_id_ring ring;
  tokenpin_id_summary summary;
  tokenpin_id_use use;
  memset(&use, 0, sizeof use);
  use.ids = TOKENPIN_IDS_BOTH;
  EXPECT(OK, tokenpin_id_ring_init(&ring, scene.world.keys, 2, NULL, NULL));
  for (uint32_t slot = 0; slot < kAccounts; slot++) {
    SAY("an id of slot %u", slot);
    uint64_t pin = 0;
    tokenpin_slot_status status;
    EXPECT(OK, tokenpin_affinity_get_slot(scene.affinity, slot, &status, &pin));
    char target[400] = "/v1/files/", out[400];
    size_t len = 0;
    EXPECT(OK, tokenpin_id_seal(&ring, NULL, 0, NULL, 0, pin, "file-1", 6, target + 10, 300, &len));
    EXPECT(OK, tokenpin_id_summary_init(&summary));
    EXPECT(OK, tokenpin_affinity_open_target(scene.affinity, &use, &summary, target, 10 + len, out,
                                             sizeof out, &len));
    CHECK(len == 16 && memcmp(out, "/v1/files/file-1", len) == 0);
    const tokenpin_bytes alice = text("alice");
    scene.request.ids = &summary;
    scene.request.consumers = &alice;
    scene.request.consumer_count = scene.request.consumer_trusted = 1;
    EXPECT(OK, tokenpin_affinity_decide(scene.affinity, &scene.request, &scene.decision));
    CHECK(scene.decision.slot == slot && scene.decision.source == TOKENPIN_SOURCE_ID);
    met[TOKENPIN_ENUM_SOURCE][scene.decision.source] = true;
  }
  EXPECT(ID, tokenpin_id_seal(&ring, NULL, 0, NULL, 0, 1, "a b", 3, NULL, 0, &(size_t){0}));
  close_scene(&scene);
}

// Each way in which a request is refused, one at a time; the decision stays as it was.
static void a_bad_request_is_a_status(void) {
  Scene scene;
  scene_init(&scene);
  open_scene(&scene);
  tokenpin_request good = request_to_create();
  tokenpin_request* request = &scene.request;
  memset(&scene.decision, kPattern, sizeof scene.decision);
#define REFUSE(suffix)                                                                  \
  do {                                                                                  \
    EXPECT(suffix, tokenpin_affinity_decide(scene.affinity, request, &scene.decision)); \
    *request = good;                                                                    \
  } while (0)
  uint8_t* const kNumbers[] = {&request->has_group, &request->group, &request->existing,
                               &request->consumer_trusted, &request->carrier};
  for (size_t i = 0; i < COUNT(kNumbers); i++) {
    for (int number = 2; number < 256; number++) {
      SAY("switch %zu, number %d", i, number);
      if (kNumbers[i] == &request->group && number == TOKENPIN_GROUP_PROMPT_CACHE) continue;
      *kNumbers[i] = (uint8_t)number;
      REFUSE(BAD_ENUM);
    }
  }
  tokenpin_bytes* const kBytes[] = {&request->method, &request->target, &request->carrier_value,
                                    &request->scope};
  for (size_t i = 0; i < COUNT(kBytes); i++) {
    SAY("bytes %zu", i);
    kBytes[i]->len = 1;
    REFUSE(NULL_POINTER);
    kBytes[i]->ptr = "x";
    kBytes[i]->len = (size_t)PTRDIFF_MAX + 1;
    REFUSE(LENGTH);
  }
  struct {
    const tokenpin_bytes** first;
    size_t* count;
  } const kFields[] = {{&request->consumers, &request->consumer_count},
                       {&request->sessions, &request->session_count},
                       {&request->cookies, &request->cookie_count}};
  const tokenpin_bytes with_null[] = {{"a", 1}, {NULL, 1}},
                       with_huge[] = {{"a", 1}, {"b", SIZE_MAX}};
  for (size_t i = 0; i < COUNT(kFields); i++) {
    SAY("field values %zu", i);
    *kFields[i].count = 1;
    REFUSE(NULL_POINTER);
    *kFields[i].count = 1;
    *kFields[i].first = (const void*)((const char*)misaligned + 1);
    REFUSE(MISALIGNED);
    *kFields[i].count = SIZE_MAX / 8;
    *kFields[i].first = with_null;
    REFUSE(LENGTH);
    *kFields[i].count = 2;
    *kFields[i].first = with_null;
    REFUSE(NULL_POINTER);
    *kFields[i].count = 2;
    *kFields[i].first = with_huge;
    REFUSE(LENGTH);
  }
  SAY("request");
  const uint32_t beyond[] = {0, kSlots};
  request->tried_count = 1;
  REFUSE(NULL_POINTER);
  request->tried = (const void*)((const char*)beyond + 1);
  request->tried_count = 1;
  REFUSE(MISALIGNED);
  request->tried = beyond;
  request->tried_count = SIZE_MAX / 2;
  REFUSE(LENGTH);
  request->tried = beyond;
  request->tried_count = 2;
  REFUSE(SLOT_RANGE);
  request->scope.ptr = long_text;
  request->scope.len = TOKENPIN_MAX_SCOPE + 1;
  REFUSE(SCOPE_LENGTH);
  memset(request->entropy, 0, 16);
  REFUSE(ENTROPY);
  const uint8_t no_hint[16] = {0}, hint[16] = {1};
  request->id_hint = no_hint;
  REFUSE(ENTROPY);
  request->now = UINT64_C(1) << 32;
  REFUSE(TIME);
  CHECK(all(&scene.decision, sizeof scene.decision, kPattern));
  SAY("a hint does without entropy, and a number that is not asked for may be anything");
  memset(request->entropy, 0, 16);
  request->id_hint = hint;
  request->now = UINT32_MAX;
  DECIDE(&scene, MINTED, PLACED, NONE, ABSENT);
  *request = good;
  request->has_group = 0;
  request->group = 99;
  DECIDE(&scene, STATELESS, PLACED, NONE, ABSENT);
  close_scene(&scene);
}

// All numbers that have a name were met, except this one: the library makes the pin index itself.
static bool is_unreachable(int32_t kind, int32_t number) {
  return kind == TOKENPIN_ENUM_FIELD && number == TOKENPIN_FIELD_INDEX;
}

static void everything_was_met(void) {
  const int32_t kEnums[] = {TOKENPIN_ENUM_STATUS,     TOKENPIN_ENUM_FIELD,
                            TOKENPIN_ENUM_VERDICT,    TOKENPIN_ENUM_SOURCE,
                            TOKENPIN_ENUM_OUTCOME,    TOKENPIN_ENUM_PIN_STATE,
                            TOKENPIN_ENUM_KEY_REASON, TOKENPIN_ENUM_ANSWER};
  for (size_t i = 0; i < COUNT(kEnums); i++) {
    for (int32_t number = 0; number < 256; number++) {
      tokenpin_bytes name;
      if (tokenpin_enum_name(kEnums[i], number, &name) != STATUS(OK)) continue;
      SAY("enum %d, %.*s", kEnums[i], (int)name.len, (const char*)name.ptr);
      CHECK(met[kEnums[i]][number] != is_unreachable(kEnums[i], number));
    }
  }
}

int main(int argc, char** argv) {
  if (!CHECK(argc == 3)) return check_report();
  memset(long_text, 'x', sizeof long_text - 1);
  a_refused_configuration_says_where();
  every_enum_and_switch_of_a_configuration_is_checked();
  defaults_are_those_of_the_documentation();
  a_configuration_may_be_longer_if_its_tail_is_zero();
  a_longer_configuration_starts_with_a_zero_tail();
  building_leaves_no_secret_on_the_stack();
  a_configuration_may_go_once_the_affinity_is_built();
  memory_of_the_caller_is_used_as_far_as_needed_and_wiped();
  memory_and_configuration_must_be_apart();
  a_key_ring_is_wiped();
  nothing_is_a_fine_thing_to_wipe_or_free();
  freed_memory_was_wiped();
  without_memory_there_is_a_status();
  more_slots_than_the_limit_are_refused_unread();
  the_version_is_the_one_that_was_built(argv[2]);
  const char* const kFiles[] = {"jump_clickhouse.csv",     "jump_go-jump_refcpp.csv",
                                "jump_guava.csv",          "jump_python_lithammer.csv",
                                "jump_rounding_edges.csv", "jump_rust_jmphash.csv"};
  for (size_t i = 0; i < COUNT(kFiles); i++) jump_gives_the_published_buckets(argv[1], kFiles[i]);
  jump_refuses_no_buckets_and_too_many();
  higress_takes_the_published_hash();
  keys_have_limits_and_kinds();
  slots_check_their_status();
  select_finds_candidates_alone();
  a_bad_ring_says_which_key();
  every_verdict_can_be_met();
  a_value_of_any_length_is_read();
  encode_checks_name_scope_kind_and_key();
  default_names_follow_the_scope();
  next_finds_every_value_and_ends();
  strip_and_matches_know_the_name();
  set_cookie_checks_what_it_writes();
  overlaps_are_refused_and_neighbours_are_not();
  classification_follows_the_table();
  slots_of_an_affinity_are_set_got_and_found();
  fingerprints_differ_where_replicas_would();
  live_fingerprints_follow_weights_and_states();
  a_pin_is_followed_as_far_as_its_slot_goes();
  the_key_decides_where_there_is_one();
  cookies_are_judged_and_issued_anew();
  the_answer_is_a_cookie_a_value_or_nothing();
  nothing_is_written_into_the_affinity();
  finish_trusts_no_decision();
  an_id_outranks_the_key_and_the_cookie();
  a_bad_request_is_a_status();
  everything_was_met();
  return check_report();
}
