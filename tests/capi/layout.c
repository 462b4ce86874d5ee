// The number and the name of every enum's value. An accidental change fails to compile, or to run.
// (Sizes, offsets, constants and signatures are in checks/abi/baseline.txt.)
#include <tokenpin.h>

#include "check.h"

// X(enum, value, number, name)
#define VALUES(X)                                                           \
  X(STATUS, OK, 0, "ok")                                                    \
  X(STATUS, NULL_POINTER, 1, "null_pointer")                                \
  X(STATUS, MISALIGNED, 2, "misaligned")                                    \
  X(STATUS, LENGTH, 3, "length")                                            \
  X(STATUS, BAD_ENUM, 4, "bad_enum")                                        \
  X(STATUS, OVERLAP, 5, "overlap")                                          \
  X(STATUS, STRUCT_SIZE, 6, "struct_size")                                  \
  X(STATUS, NOT_INITIALISED, 7, "not_initialised")                          \
  X(STATUS, OUT_OF_MEMORY, 8, "out_of_memory")                              \
  X(STATUS, BUFFER_TOO_SMALL, 9, "buffer_too_small")                        \
  X(STATUS, END, 10, "end")                                                 \
  X(STATUS, BAD_DECISION, 11, "bad_decision")                               \
  X(STATUS, ID, 12, "id")                                                   \
  X(STATUS, BUCKET_COUNT, 20, "bucket_count")                               \
  X(STATUS, SCOPE_LENGTH, 21, "scope_length")                               \
  X(STATUS, KEY_LENGTH, 22, "key_length")                                   \
  X(STATUS, IDENTITY_EMPTY, 23, "identity_empty")                           \
  X(STATUS, WEIGHT, 24, "weight")                                           \
  X(STATUS, UNTIL, 25, "until")                                             \
  X(STATUS, VACANT, 26, "vacant")                                           \
  X(STATUS, SLOT_RANGE, 27, "slot_range")                                   \
  X(STATUS, SLOT_COUNT, 28, "slot_count")                                   \
  X(STATUS, DUPLICATE_IDENTITY, 29, "duplicate_identity")                   \
  X(STATUS, ZERO_SECRET, 30, "zero_secret")                                 \
  X(STATUS, DUPLICATE_SECRET, 31, "duplicate_secret")                       \
  X(STATUS, DUPLICATE_KEY_ID, 32, "duplicate_key_id")                       \
  X(STATUS, KEY_COUNT, 33, "key_count")                                     \
  X(STATUS, SIGNING_KEYS, 34, "signing_keys")                               \
  X(STATUS, COOKIE_NAME, 35, "cookie_name")                                 \
  X(STATUS, ATTRIBUTE, 36, "attribute")                                     \
  X(STATUS, NAME_PREFIX, 37, "name_prefix")                                 \
  X(STATUS, NEEDS_SECURE, 38, "needs_secure")                               \
  X(STATUS, MAX_AGE, 39, "max_age")                                         \
  X(STATUS, SUCCESS_RANGE, 40, "success_range")                             \
  X(STATUS, PATTERN, 41, "pattern")                                         \
  X(STATUS, TIME, 42, "time")                                               \
  X(STATUS, ENTROPY, 43, "entropy")                                         \
  X(STATUS, STALE, 44, "stale")                                             \
  X(STATUS, STRATEGY, 45, "strategy")                                       \
  X(STATUS, ID_FIELD, 46, "id_field")                                       \
  X(STATE, UP, 0, "up")                                                     \
  X(STATE, DRAINING, 1, "draining")                                         \
  X(STATE, DOWN, 2, "down")                                                 \
  X(STATE, VACANT, 3, "vacant")                                             \
  X(FIELD, CONFIG, 0, "config")                                             \
  X(FIELD, PLACEMENT_KEY, 1, "placement_key")                               \
  X(FIELD, COOKIE_KEYS, 2, "cookie_keys")                                   \
  X(FIELD, SLOTS, 3, "slots")                                               \
  X(FIELD, SCOPE, 4, "scope")                                               \
  X(FIELD, COOKIE_NAME, 5, "cookie_name")                                   \
  X(FIELD, PATH, 6, "path")                                                 \
  X(FIELD, DOMAIN, 7, "domain")                                             \
  X(FIELD, MAX_AGE, 8, "max_age")                                           \
  X(FIELD, SECURE, 9, "secure")                                             \
  X(FIELD, SAME_SITE, 10, "same_site")                                      \
  X(FIELD, PARTITIONED, 11, "partitioned")                                  \
  X(FIELD, SUCCESS, 12, "success")                                          \
  X(FIELD, RULES, 13, "rules")                                              \
  X(FIELD, INDEX, 14, "index")                                              \
  X(FIELD, STRATEGY, 15, "strategy")                                        \
  X(FIELD, POLICY_EXISTING, 16, "policy_existing")                          \
  X(FIELD, POLICY_NEW, 17, "policy_new")                                    \
  X(FIELD, HTTP_ONLY, 18, "http_only")                                      \
  X(FIELD, COMBINE_KEYS, 19, "combine_keys")                                \
  X(FIELD, REJECT_BAD_KEYS, 20, "reject_bad_keys")                          \
  X(FIELD, KEYED_COOKIES, 21, "keyed_cookies")                              \
  X(FIELD, MINT_SINGLE, 22, "mint_single")                                  \
  X(FIELD, PROMPT_CACHE, 23, "prompt_cache")                                \
  X(FIELD, REPLACE_RULES, 24, "replace_rules")                              \
  X(FIELD, ID_KEYS, 25, "id_keys")                                          \
  X(FIELD, ID_FIELDS, 26, "id_fields")                                      \
  X(FIELD, ID_PREFIXES, 27, "id_prefixes")                                  \
  X(FIELD, ID_COLLECTIONS, 28, "id_collections")                            \
  X(FIELD, ID_MODE, 29, "id_mode")                                          \
  X(FIELD, ID_OWNER, 30, "id_owner")                                        \
  X(FIELD, FOREIGN_SEALS, 31, "foreign_seals")                              \
  X(FIELD, ENCRYPTED_CONTENT, 32, "encrypted_content")                      \
  X(KIND, ANONYMOUS, 0, "anonymous")                                        \
  X(KIND, CONSUMER, 1, "consumer")                                          \
  X(KIND, SESSION, 2, "session")                                            \
  X(KIND, COMBINED, 3, "combined")                                          \
  X(STRATEGY, JUMP, 0, "jump")                                              \
  X(STRATEGY, RENDEZVOUS, 1, "rendezvous")                                  \
  X(STRATEGY, HIGRESS_FNV1A_MODULO, 2, "higress_fnv1a_modulo")              \
  X(ROLE, SIGN, 0, "sign")                                                  \
  X(ROLE, ACCEPT, 1, "accept")                                              \
  X(ROLE, RETIRE, 2, "retire")                                              \
  X(VERDICT, ABSENT, 0, "absent")                                           \
  X(VERDICT, MALFORMED, 1, "malformed")                                     \
  X(VERDICT, UNKNOWN_VERSION, 2, "unknown_version")                         \
  X(VERDICT, UNKNOWN_KEY, 3, "unknown_key")                                 \
  X(VERDICT, BAD_TAG, 4, "bad_tag")                                         \
  X(VERDICT, OTHER_KEY, 5, "other_key")                                     \
  X(VERDICT, NOT_YET_VALID, 6, "not_yet_valid")                             \
  X(VERDICT, EXPIRED_LIFE, 7, "expired_life")                               \
  X(VERDICT, EXPIRED_IDLE, 8, "expired_idle")                               \
  X(VERDICT, VALID, 9, "valid")                                             \
  X(VERDICT, REFRESH_DUE, 10, "refresh_due")                                \
  X(SAME_SITE, LAX, 0, "lax")                                               \
  X(SAME_SITE, STRICT, 1, "strict")                                         \
  X(SAME_SITE, NONE, 2, "none")                                             \
  X(GROUP, STATELESS, 0, "stateless")                                       \
  X(GROUP, STATEFUL, 1, "stateful")                                         \
  X(GROUP, PROMPT_CACHE, 2, "prompt_cache")                                 \
  X(POLICY, FAIL_FAST, 0, "fail_fast")                                      \
  X(POLICY, FALLBACK_AND_UPDATE, 1, "fallback_and_update")                  \
  X(POLICY, FALLBACK_WITHOUT_UPDATE, 2, "fallback_without_update")          \
  X(SOURCE, NONE, 0, "none")                                                \
  X(SOURCE, STATELESS, 1, "stateless")                                      \
  X(SOURCE, CONSUMER, 2, "consumer")                                        \
  X(SOURCE, SESSION, 3, "session")                                          \
  X(SOURCE, COMBINED, 4, "combined")                                        \
  X(SOURCE, COOKIE, 5, "cookie")                                            \
  X(SOURCE, MINTED, 6, "minted")                                            \
  X(SOURCE, ID, 7, "id")                                                    \
  X(OUTCOME, PLACED, 0, "placed")                                           \
  X(OUTCOME, PINNED, 1, "pinned")                                           \
  X(OUTCOME, REPINNED, 2, "repinned")                                       \
  X(OUTCOME, FALLBACK, 3, "fallback")                                       \
  X(OUTCOME, RETRIED, 4, "retried")                                         \
  X(OUTCOME, REJECTED, 5, "rejected")                                       \
  X(OUTCOME, NONE, 6, "none")                                               \
  X(PIN_STATE, NONE, 0, "none")                                             \
  X(PIN_STATE, HOME, 1, "home")                                             \
  X(PIN_STATE, ELSEWHERE, 2, "elsewhere")                                   \
  X(PIN_STATE, DRAINING, 3, "draining")                                     \
  X(PIN_STATE, DOWN, 4, "down")                                             \
  X(PIN_STATE, GONE, 5, "gone")                                             \
  X(KEY_REASON, OK, 0, "ok")                                                \
  X(KEY_REASON, ABSENT, 1, "absent")                                        \
  X(KEY_REASON, UNTRUSTED, 2, "untrusted")                                  \
  X(KEY_REASON, SEVERAL_VALUES, 3, "several_values")                        \
  X(KEY_REASON, TOO_LONG, 4, "too_long")                                    \
  X(ANSWER, NOTHING, 0, "nothing")                                          \
  X(ANSWER, SET_COOKIE, 1, "set_cookie")                                    \
  X(ANSWER, CARRIER, 2, "carrier")                                          \
  X(ID_VERDICT, NONE, 0, "none")                                            \
  X(ID_VERDICT, PLAIN, 1, "plain")                                          \
  X(ID_VERDICT, SEALED, 2, "sealed")                                        \
  X(ID_VERDICT, CONFLICT, 3, "conflict")                                    \
  X(ID_VERDICT, UNKNOWN_VERSION, 4, "unknown_version")                      \
  X(ID_VERDICT, UNKNOWN_KEY, 5, "unknown_key")                              \
  X(ID_VERDICT, BAD_SEAL, 6, "bad_seal")                                    \
  X(IDS, NONE, 0, "none")                                                   \
  X(IDS, OPEN, 1, "open")                                                   \
  X(IDS, BOTH, 2, "both")                                                   \
  X(IDS, ITEMS, 3, "items")                                                 \
  X(MODE, OFF, 0, "off")                                                    \
  X(MODE, OPEN, 1, "open")                                                  \
  X(MODE, SEAL, 2, "seal")                                                  \
  X(MODE, STRICT, 3, "strict")                                              \
  X(KEY_KIND, PATH, 0, "path")                                              \
  X(KEY_KIND, QUERY, 1, "query")                                            \
  X(KEY_KIND, OWN, 2, "own")                                                \
  X(KEY_KIND, ID, 3, "id")                                                  \
  X(KEY_KIND, IDS, 4, "ids")                                                \
  X(KEY_KIND, NAMED, 5, "named")                                            \
  X(KEY_KIND, HOLDER, 6, "holder")                                          \
  X(KEY_KIND, ENCRYPTED, 7, "encrypted")                                    \
  X(KEY_KIND, URL, 8, "url")                                                \
  X(KEY_KIND, OPAQUE, 9, "opaque")                                          \
  X(KEY_KIND, OPAQUE_OBJECT, 10, "opaque_object")                           \
  X(KEY_KIND, VARIABLES, 11, "variables")                                   \
  X(KEY_KIND, ITEMS, 12, "items")                                           \
  X(ID_OWNER, NONE, 0, "none")                                              \
  X(ID_OWNER, CONSUMER, 1, "consumer")                                      \
  X(FOREIGN_SEALS, AUTO, 0, "auto")                                         \
  X(FOREIGN_SEALS, REFUSE, 1, "refuse")                                     \
  X(FOREIGN_SEALS, PLAIN, 2, "plain")                                       \
  X(FRAMING, JSON, 0, "json")                                               \
  X(FRAMING, EVENTS, 1, "events")                                           \
  X(REFUSAL, NONE, 0, "none")                                               \
  X(REFUSAL, NO_ACCOUNT_AVAILABLE, 1, "no_account_available")               \
  X(REFUSAL, BAD_AFFINITY_KEY, 2, "bad_affinity_key")                       \
  X(REFUSAL, SESSION_UNAVAILABLE, 3, "session_unavailable")                 \
  X(REFUSAL, PREVIOUS_RESPONSE_NOT_FOUND, 4, "previous_response_not_found") \
  X(REFUSAL, INVALID_ENCRYPTED_CONTENT, 5, "invalid_encrypted_content")     \
  X(REFUSAL, NOT_FOUND, 6, "not_found")                                     \
  X(REFUSAL, CONFLICTING_ACCOUNTS, 7, "conflicting_accounts")               \
  X(REFUSAL, UNREADABLE_BODY, 8, "unreadable_body")

#define NUMBER(of, value, number, name) _Static_assert(TOKENPIN_##of##_##value == (number), name);
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

// The table above is complete.
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
