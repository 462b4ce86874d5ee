// The binary interface, number by number: sizes and offsets of every structure, and the number and
// the name of every enum's value. An accidental change fails to compile, or to run.
#include <tokenpin.h>

#include "check.h"

#define SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)
#define IS(constant, number) _Static_assert((constant) == (number), #constant)

IS(TOKENPIN_ABI_VERSION, 1);
IS(TOKENPIN_SLOT_NONE, 4294967295);
IS(TOKENPIN_MAX_WEIGHT, 65536);
IS(TOKENPIN_MAX_BUCKETS, 2147483647);
IS(TOKENPIN_MAX_SCOPE, 1024);
IS(TOKENPIN_MAX_KEY, 4096);
IS(TOKENPIN_MAX_COOKIE_KEYS, 8);
IS(TOKENPIN_MAX_COOKIE_NAME, 128);
IS(TOKENPIN_COOKIE_VALUE_LEN, 67);
IS(TOKENPIN_MAX_SET_COOKIE, 2400);
IS(TOKENPIN_MAX_MAX_AGE, 34560000);
IS(TOKENPIN_MAX_AGE_AUTO, 4294967295);
IS(TOKENPIN_AFFINITY_ALIGN, 16);

// Of 64-bit platforms.
#if UINTPTR_MAX == UINT64_MAX

SIZE(tokenpin_cookie_key, 18);
AT(tokenpin_cookie_key, id, 0);
AT(tokenpin_cookie_key, role, 1);
AT(tokenpin_cookie_key, secret, 2);

SIZE(tokenpin_bytes, 16);
AT(tokenpin_bytes, ptr, 0);
AT(tokenpin_bytes, len, 8);

SIZE(tokenpin_slot_status, 16);
AT(tokenpin_slot_status, until, 0);
AT(tokenpin_slot_status, weight, 8);
AT(tokenpin_slot_status, state, 12);

SIZE(tokenpin_slot_config, 32);
AT(tokenpin_slot_config, identity, 0);
AT(tokenpin_slot_config, status, 16);

SIZE(tokenpin_attributes, 40);
AT(tokenpin_attributes, path, 0);
AT(tokenpin_attributes, domain, 16);
AT(tokenpin_attributes, secure, 32);
AT(tokenpin_attributes, http_only, 33);
AT(tokenpin_attributes, same_site, 34);
AT(tokenpin_attributes, partitioned, 35);

SIZE(tokenpin_rule, 24);
AT(tokenpin_rule, pattern, 0);
AT(tokenpin_rule, group, 16);

SIZE(tokenpin_config, 176);
AT(tokenpin_config, size, 0);
AT(tokenpin_config, cookie_keys, 8);
AT(tokenpin_config, cookie_key_count, 16);
AT(tokenpin_config, slots, 24);
AT(tokenpin_config, slot_count, 32);
AT(tokenpin_config, scope, 40);
AT(tokenpin_config, cookie_name, 56);
AT(tokenpin_config, attributes, 72);
AT(tokenpin_config, rules, 112);
AT(tokenpin_config, rule_count, 120);
AT(tokenpin_config, max_age, 128);
AT(tokenpin_config, skew, 132);
AT(tokenpin_config, max_life, 136);
AT(tokenpin_config, max_idle, 140);
AT(tokenpin_config, success_first, 144);
AT(tokenpin_config, success_last, 146);
AT(tokenpin_config, placement_key, 148);
AT(tokenpin_config, strategy, 164);
AT(tokenpin_config, policy_existing, 165);
AT(tokenpin_config, policy_new, 166);
AT(tokenpin_config, combine_keys, 167);
AT(tokenpin_config, reject_bad_keys, 168);
AT(tokenpin_config, keyed_cookies, 169);
AT(tokenpin_config, mint_single, 170);
AT(tokenpin_config, prompt_cache, 171);

SIZE(tokenpin_config_error, 16);
AT(tokenpin_config_error, status, 0);
AT(tokenpin_config_error, field, 4);
AT(tokenpin_config_error, index, 8);

SIZE(tokenpin_request, 168);
AT(tokenpin_request, method, 0);
AT(tokenpin_request, target, 16);
AT(tokenpin_request, consumers, 32);
AT(tokenpin_request, consumer_count, 40);
AT(tokenpin_request, sessions, 48);
AT(tokenpin_request, session_count, 56);
AT(tokenpin_request, cookies, 64);
AT(tokenpin_request, cookie_count, 72);
AT(tokenpin_request, carried, 80);
AT(tokenpin_request, scope, 96);
AT(tokenpin_request, tried, 112);
AT(tokenpin_request, tried_count, 120);
AT(tokenpin_request, now, 128);
AT(tokenpin_request, id_hint, 136);
AT(tokenpin_request, entropy, 144);
AT(tokenpin_request, has_group, 160);
AT(tokenpin_request, group, 161);
AT(tokenpin_request, existing, 162);
AT(tokenpin_request, consumer_trusted, 163);
AT(tokenpin_request, carrier, 164);

SIZE(tokenpin_decision, 96);
AT(tokenpin_decision, digest, 0);
AT(tokenpin_decision, slot, 8);
AT(tokenpin_decision, max_age, 12);
AT(tokenpin_decision, source, 16);
AT(tokenpin_decision, outcome, 17);
AT(tokenpin_decision, pin_state, 18);
AT(tokenpin_decision, verdict, 19);
AT(tokenpin_decision, key_reason, 20);
AT(tokenpin_decision, ambiguous, 21);
AT(tokenpin_decision, cookie, 22);
AT(tokenpin_decision, carrier, 23);
AT(tokenpin_decision, has_name_suffix, 24);
AT(tokenpin_decision, name_suffix, 25);
AT(tokenpin_decision, value, 29);

SIZE(tokenpin_key, 40);
AT(tokenpin_key, kind, 0);
AT(tokenpin_key, key, 8);
AT(tokenpin_key, session, 24);

SIZE(tokenpin_slot, 16);
AT(tokenpin_slot, identity_hash, 0);
AT(tokenpin_slot, word, 8);

SIZE(tokenpin_filter, 32);
AT(tokenpin_filter, now, 0);
AT(tokenpin_filter, tried, 8);
AT(tokenpin_filter, tried_count, 16);
AT(tokenpin_filter, anonymous, 24);

SIZE(tokenpin_key_ring, 448);
AT(tokenpin_key_ring, private_words, 0);

SIZE(tokenpin_cookie, 40);
AT(tokenpin_cookie, pin, 0);
AT(tokenpin_cookie, issued_at, 8);
AT(tokenpin_cookie, refreshed_at, 12);
AT(tokenpin_cookie, id, 16);
AT(tokenpin_cookie, kind, 32);

SIZE(tokenpin_limits, 16);
AT(tokenpin_limits, skew, 0);
AT(tokenpin_limits, max_life, 4);
AT(tokenpin_limits, max_idle, 8);
AT(tokenpin_limits, refresh_interval, 12);
#endif

IS(TOKENPIN_ENUM_STATUS, 0);
IS(TOKENPIN_ENUM_FIELD, 1);
IS(TOKENPIN_ENUM_KIND, 2);
IS(TOKENPIN_ENUM_STATE, 3);
IS(TOKENPIN_ENUM_STRATEGY, 4);
IS(TOKENPIN_ENUM_ROLE, 5);
IS(TOKENPIN_ENUM_VERDICT, 6);
IS(TOKENPIN_ENUM_SAME_SITE, 7);
IS(TOKENPIN_ENUM_GROUP, 8);
IS(TOKENPIN_ENUM_POLICY, 9);
IS(TOKENPIN_ENUM_SOURCE, 10);
IS(TOKENPIN_ENUM_OUTCOME, 11);
IS(TOKENPIN_ENUM_PIN_STATE, 12);
IS(TOKENPIN_ENUM_KEY_REASON, 13);
IS(TOKENPIN_ENUM_ANSWER, 14);

// X(enum, value, number, name)
#define VALUES(X)                                                  \
  X(STATUS, OK, 0, "ok")                                           \
  X(STATUS, NULL_POINTER, 1, "null_pointer")                       \
  X(STATUS, MISALIGNED, 2, "misaligned")                           \
  X(STATUS, LENGTH, 3, "length")                                   \
  X(STATUS, BAD_ENUM, 4, "bad_enum")                               \
  X(STATUS, OVERLAP, 5, "overlap")                                 \
  X(STATUS, STRUCT_SIZE, 6, "struct_size")                         \
  X(STATUS, NOT_INITIALISED, 7, "not_initialised")                 \
  X(STATUS, OUT_OF_MEMORY, 8, "out_of_memory")                     \
  X(STATUS, BUFFER_TOO_SMALL, 9, "buffer_too_small")               \
  X(STATUS, END, 10, "end")                                        \
  X(STATUS, BAD_DECISION, 11, "bad_decision")                      \
  X(STATUS, BUCKET_COUNT, 20, "bucket_count")                      \
  X(STATUS, SCOPE_LENGTH, 21, "scope_length")                      \
  X(STATUS, KEY_LENGTH, 22, "key_length")                          \
  X(STATUS, IDENTITY_EMPTY, 23, "identity_empty")                  \
  X(STATUS, WEIGHT, 24, "weight")                                  \
  X(STATUS, UNTIL, 25, "until")                                    \
  X(STATUS, VACANT, 26, "vacant")                                  \
  X(STATUS, SLOT_RANGE, 27, "slot_range")                          \
  X(STATUS, SLOT_COUNT, 28, "slot_count")                          \
  X(STATUS, DUPLICATE_IDENTITY, 29, "duplicate_identity")          \
  X(STATUS, ZERO_SECRET, 30, "zero_secret")                        \
  X(STATUS, DUPLICATE_SECRET, 31, "duplicate_secret")              \
  X(STATUS, DUPLICATE_KEY_ID, 32, "duplicate_key_id")              \
  X(STATUS, KEY_COUNT, 33, "key_count")                            \
  X(STATUS, SIGNING_KEYS, 34, "signing_keys")                      \
  X(STATUS, COOKIE_NAME, 35, "cookie_name")                        \
  X(STATUS, ATTRIBUTE, 36, "attribute")                            \
  X(STATUS, NAME_PREFIX, 37, "name_prefix")                        \
  X(STATUS, NEEDS_SECURE, 38, "needs_secure")                      \
  X(STATUS, MAX_AGE, 39, "max_age")                                \
  X(STATUS, SUCCESS_RANGE, 40, "success_range")                    \
  X(STATUS, PATTERN, 41, "pattern")                                \
  X(STATUS, TIME, 42, "time")                                      \
  X(STATUS, ENTROPY, 43, "entropy")                                \
  X(STATUS, STALE, 44, "stale")                                    \
  X(STATE, UP, 0, "up")                                            \
  X(STATE, DRAINING, 1, "draining")                                \
  X(STATE, DOWN, 2, "down")                                        \
  X(STATE, VACANT, 3, "vacant")                                    \
  X(FIELD, CONFIG, 0, "config")                                    \
  X(FIELD, PLACEMENT_KEY, 1, "placement_key")                      \
  X(FIELD, COOKIE_KEYS, 2, "cookie_keys")                          \
  X(FIELD, SLOTS, 3, "slots")                                      \
  X(FIELD, SCOPE, 4, "scope")                                      \
  X(FIELD, COOKIE_NAME, 5, "cookie_name")                          \
  X(FIELD, PATH, 6, "path")                                        \
  X(FIELD, DOMAIN, 7, "domain")                                    \
  X(FIELD, MAX_AGE, 8, "max_age")                                  \
  X(FIELD, SECURE, 9, "secure")                                    \
  X(FIELD, SAME_SITE, 10, "same_site")                             \
  X(FIELD, PARTITIONED, 11, "partitioned")                         \
  X(FIELD, SUCCESS, 12, "success")                                 \
  X(FIELD, RULES, 13, "rules")                                     \
  X(FIELD, INDEX, 14, "index")                                     \
  X(FIELD, STRATEGY, 15, "strategy")                               \
  X(FIELD, POLICY_EXISTING, 16, "policy_existing")                 \
  X(FIELD, POLICY_NEW, 17, "policy_new")                           \
  X(FIELD, HTTP_ONLY, 18, "http_only")                             \
  X(FIELD, COMBINE_KEYS, 19, "combine_keys")                       \
  X(FIELD, REJECT_BAD_KEYS, 20, "reject_bad_keys")                 \
  X(FIELD, KEYED_COOKIES, 21, "keyed_cookies")                     \
  X(FIELD, MINT_SINGLE, 22, "mint_single")                         \
  X(FIELD, PROMPT_CACHE, 23, "prompt_cache")                       \
  X(KIND, ANONYMOUS, 0, "anonymous")                               \
  X(KIND, CONSUMER, 1, "consumer")                                 \
  X(KIND, SESSION, 2, "session")                                   \
  X(KIND, COMBINED, 3, "combined")                                 \
  X(STRATEGY, JUMP, 0, "jump")                                     \
  X(STRATEGY, RENDEZVOUS, 1, "rendezvous")                         \
  X(STRATEGY, HIGRESS_FNV1A_MODULO, 2, "higress_fnv1a_modulo")     \
  X(ROLE, SIGN, 0, "sign")                                         \
  X(ROLE, ACCEPT, 1, "accept")                                     \
  X(ROLE, RETIRE, 2, "retire")                                     \
  X(VERDICT, ABSENT, 0, "absent")                                  \
  X(VERDICT, MALFORMED, 1, "malformed")                            \
  X(VERDICT, UNKNOWN_VERSION, 2, "unknown_version")                \
  X(VERDICT, UNKNOWN_KEY, 3, "unknown_key")                        \
  X(VERDICT, BAD_TAG, 4, "bad_tag")                                \
  X(VERDICT, OTHER_KEY, 5, "other_key")                            \
  X(VERDICT, NOT_YET_VALID, 6, "not_yet_valid")                    \
  X(VERDICT, EXPIRED_LIFE, 7, "expired_life")                      \
  X(VERDICT, EXPIRED_IDLE, 8, "expired_idle")                      \
  X(VERDICT, VALID, 9, "valid")                                    \
  X(VERDICT, REFRESH_DUE, 10, "refresh_due")                       \
  X(SAME_SITE, LAX, 0, "lax")                                      \
  X(SAME_SITE, STRICT, 1, "strict")                                \
  X(SAME_SITE, NONE, 2, "none")                                    \
  X(GROUP, STATELESS, 0, "stateless")                              \
  X(GROUP, STATEFUL, 1, "stateful")                                \
  X(GROUP, PROMPT_CACHE, 2, "prompt_cache")                        \
  X(POLICY, FAIL_FAST, 0, "fail_fast")                             \
  X(POLICY, FALLBACK_AND_UPDATE, 1, "fallback_and_update")         \
  X(POLICY, FALLBACK_WITHOUT_UPDATE, 2, "fallback_without_update") \
  X(SOURCE, NONE, 0, "none")                                       \
  X(SOURCE, STATELESS, 1, "stateless")                             \
  X(SOURCE, CONSUMER, 2, "consumer")                               \
  X(SOURCE, SESSION, 3, "session")                                 \
  X(SOURCE, COMBINED, 4, "combined")                               \
  X(SOURCE, COOKIE, 5, "cookie")                                   \
  X(SOURCE, MINTED, 6, "minted")                                   \
  X(OUTCOME, PLACED, 0, "placed")                                  \
  X(OUTCOME, PINNED, 1, "pinned")                                  \
  X(OUTCOME, REPINNED, 2, "repinned")                              \
  X(OUTCOME, FALLBACK, 3, "fallback")                              \
  X(OUTCOME, RETRIED, 4, "retried")                                \
  X(OUTCOME, REJECTED, 5, "rejected")                              \
  X(OUTCOME, NONE, 6, "none")                                      \
  X(PIN_STATE, NONE, 0, "none")                                    \
  X(PIN_STATE, HOME, 1, "home")                                    \
  X(PIN_STATE, ELSEWHERE, 2, "elsewhere")                          \
  X(PIN_STATE, DRAINING, 3, "draining")                            \
  X(PIN_STATE, DOWN, 4, "down")                                    \
  X(PIN_STATE, GONE, 5, "gone")                                    \
  X(KEY_REASON, OK, 0, "ok")                                       \
  X(KEY_REASON, ABSENT, 1, "absent")                               \
  X(KEY_REASON, UNTRUSTED, 2, "untrusted")                         \
  X(KEY_REASON, SEVERAL_VALUES, 3, "several_values")               \
  X(KEY_REASON, TOO_LONG, 4, "too_long")                           \
  X(ANSWER, NOTHING, 0, "nothing")                                 \
  X(ANSWER, SET_COOKIE, 1, "set_cookie")                           \
  X(ANSWER, CARRIER, 2, "carrier")

#define NUMBER(of, value, number, name) IS(TOKENPIN_##of##_##value, number);
VALUES(NUMBER)

typedef struct {
  int32_t of, number;
  const char* name;
} Value;

#define ROW(of, value, number, name) {TOKENPIN_ENUM_##of, number, name},
static const Value kValues[] = {VALUES(ROW)};

static const char* name_of(int32_t of, int32_t number) {
  for (size_t i = 0; i < sizeof kValues / sizeof kValues[0]; i++) {
    if (kValues[i].of == of && kValues[i].number == number) return kValues[i].name;
  }
  return NULL;
}

static bool is_nameless(int32_t of, int32_t number) {
  tokenpin_bytes got = {&got, 77};
  return tokenpin_enum_name(of, number, &got) == TOKENPIN_STATUS_BAD_ENUM && got.ptr == &got &&
         got.len == 77;
}

static void every_value_has_its_name(void) {
  for (size_t i = 0; i < sizeof kValues / sizeof kValues[0]; i++) {
    const Value* value = &kValues[i];
    snprintf(check_context, sizeof check_context, "%s", value->name);
    tokenpin_bytes got;
    CHECK(tokenpin_enum_name(value->of, value->number, &got) == TOKENPIN_STATUS_OK);
    CHECK(got.len == strlen(value->name) && memcmp(got.ptr, value->name, got.len) == 0);
  }
}

// So the table above is complete.
static void no_other_number_has_a_name(void) {
  static const int32_t kEdges[] = {INT32_MIN, INT32_MAX, -256, 65536};
  for (int32_t of = -20; of < 300; of++) {
    snprintf(check_context, sizeof check_context, "enum %d", of);
    bool nameless = true;
    for (int32_t number = -2; number < 600; number++) {
      if (name_of(of, number) == NULL) nameless &= is_nameless(of, number);
    }
    for (size_t i = 0; i < sizeof kEdges / sizeof kEdges[0]; i++) {
      nameless &= is_nameless(of, kEdges[i]) && is_nameless(kEdges[i], 0);
    }
    CHECK(nameless);
  }
}

int main(void) {
  every_value_has_its_name();
  no_other_number_has_a_name();
  return check_report();
}
