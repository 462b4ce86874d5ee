// No branch and no address depends on a secret, except for the one branch on the whole comparison
// of a tag. Run under memcheck, with everything that depends on a secret undefined (Langley's
// ctgrind). It reports every conditional jump and every address that depends on undefined data, so
// the errors that a call of the library adds are the number of times that it let a secret decide.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/memcheck.h>

#include "check.h"
#include "world.h"

enum { kTagStart = 46, kBuilds = 8, kDay = 86400 };

static World world;
static const char kName[] = "__Host-tokenpin";
static const tokenpin_limits limits = {.skew = 300, .max_life = 30 * kDay};
static tokenpin_key_ring ring;
static tokenpin_id_ring id_ring;
static tokenpin_affinity* affinity;
static _Alignas(TOKENPIN_AFFINITY_ALIGN) uint8_t memory[4096];

typedef char value_text[TOKENPIN_COOKIE_VALUE_LEN];

static void build_ring(void) {
  CHECK(tokenpin_key_ring_init(&ring, world.keys, 2, NULL, NULL) == TOKENPIN_STATUS_OK);
}
static void wipe_ring(void) { tokenpin_key_ring_wipe(&ring); }
static void build_id_ring(void) {
  CHECK(tokenpin_id_ring_init(&id_ring, world.keys, 2, NULL, NULL) == TOKENPIN_STATUS_OK);
}
static void wipe_id_ring(void) { tokenpin_id_ring_wipe(&id_ring); }
static void build_affinity(void) {
  CHECK(tokenpin_affinity_init(memory, sizeof memory, &world.config, &affinity, NULL) ==
        TOKENPIN_STATUS_OK);
}
static void wipe_affinity(void) { tokenpin_affinity_wipe(affinity); }

// Builds at `at` with `build`, and marks the bytes that depend on the cookie keys as undefined for
// memcheck: those that differ between builds from other keys.
static void build_with_secrets(uint8_t* at, size_t size, void (*build)(void), void (*wipe)(void)) {
  uint8_t secret[sizeof memory] = {0}, first[sizeof memory];
  for (int i = 0; i <= kBuilds; i++) {
    // The last build counts: the world's own keys.
    for (uint8_t key = 0; key < 2; key++) {
      memset(world.keys[key].secret, 0xc1 + key + 2 * (kBuilds - i), sizeof world.keys[key].secret);
    }
    if (i != 0) wipe();
    build();
    (void)VALGRIND_MAKE_MEM_DEFINED(at, size);
    if (i == 0) memcpy(first, at, size);
    for (size_t byte = 0; byte < size; byte++) secret[byte] |= first[byte] != at[byte];
  }
  size_t secrets = 0;
  for (size_t byte = 0; byte < size; byte++) {
    if (secret[byte]) (void)VALGRIND_MAKE_MEM_UNDEFINED(at + byte, 1);
    secrets += secret[byte];
  }
  // Two working keys of each key at least; nearly all their bytes differ in some build.
  CHECK(secrets >= 2 * 2 * 16);
}

static void sign(const tokenpin_key_ring* with, const tokenpin_key* key, value_text value) {
  tokenpin_cookie cookie = {.issued_at = kNow, .refreshed_at = kNow, .id = "an id of a visit"};
  cookie.kind = key == NULL ? TOKENPIN_KIND_ANONYMOUS : key->kind;
  CHECK(tokenpin_identity_hash("account-a", 9, &cookie.pin) == TOKENPIN_STATUS_OK);
  CHECK(tokenpin_cookie_encode(with, kName, strlen(kName), NULL, 0, key, &cookie, value) ==
        TOKENPIN_STATUS_OK);
}

// Returns how often `tokenpin_cookie_decode` lets a secret decide.
static unsigned decoding(const tokenpin_key* key, uint64_t now, const value_text value,
                         uint8_t expected) {
  tokenpin_cookie cookie;
  uint8_t verdict = TOKENPIN_VERDICT_ABSENT;
  unsigned before = VALGRIND_COUNT_ERRORS;
  int32_t status = tokenpin_cookie_decode(&ring, kName, strlen(kName), NULL, 0, key, &limits, now,
                                          value, TOKENPIN_COOKIE_VALUE_LEN, &verdict, &cookie);
  unsigned reports = VALGRIND_COUNT_ERRORS - before;
  CHECK(status == TOKENPIN_STATUS_OK && verdict == expected);
  return reports;
}

// Returns how often `tokenpin_affinity_decide` does, with `times` cookies of this value.
static unsigned deciding(tokenpin_request request, const value_text value, int times,
                         uint8_t expected) {
  static char field[100 * (sizeof kName + TOKENPIN_COOKIE_VALUE_LEN)];
  char name[64];
  size_t len = 0, name_len;
  CHECK(tokenpin_affinity_cookie_name(affinity, request.scope.ptr, request.scope.len, name,
                                      sizeof name, &name_len) == TOKENPIN_STATUS_OK);
  for (int i = 0; i < times; i++) {
    int added = snprintf(field + len, sizeof field - len, "%s%.*s=%.*s", i == 0 ? "" : "; ",
                         (int)name_len, name, TOKENPIN_COOKIE_VALUE_LEN, value);
    if (!CHECK(added > 0 && (size_t)added < sizeof field - len)) exit(check_report());
    len += (size_t)added;
  }
  tokenpin_bytes cookies = {field, len};
  request.cookies = &cookies;
  request.cookie_count = 1;
  tokenpin_decision decision = {0};
  unsigned before = VALGRIND_COUNT_ERRORS;
  int32_t status = tokenpin_affinity_decide(affinity, &request, &decision);
  unsigned reports = VALGRIND_COUNT_ERRORS - before;
  CHECK(status == TOKENPIN_STATUS_OK && decision.verdict == expected);
  return reports;
}

// Returns how often `tokenpin_id_open` does, and for marked content `tokenpin_id_open_mark`.
static unsigned opening(const char* text, size_t len, uint8_t expected) {
  char native[TOKENPIN_MAX_SEALED_ID];
  size_t native_len;
  uint64_t pin;
  uint8_t key_id, verdict = TOKENPIN_ID_VERDICT_NONE;
  unsigned before = VALGRIND_COUNT_ERRORS;
  int32_t status = tokenpin_id_open(&id_ring, "scope", 5, "alice", 5, text, len, native,
                                    sizeof native, &native_len, &verdict, &pin, &key_id);
  unsigned reports = VALGRIND_COUNT_ERRORS - before;
  CHECK(status == TOKENPIN_STATUS_OK && verdict == expected);
  return reports;
}
static unsigned unmarking(const char* text, size_t len, uint8_t expected) {
  size_t content_len;
  uint64_t pin;
  uint8_t verdict = TOKENPIN_ID_VERDICT_NONE;
  unsigned before = VALGRIND_COUNT_ERRORS;
  int32_t status = tokenpin_id_open_mark(&id_ring, "scope", 5, "alice", 5, text, len, &content_len,
                                         &verdict, &pin);
  unsigned reports = VALGRIND_COUNT_ERRORS - before;
  CHECK(status == TOKENPIN_STATUS_OK && verdict == expected);
  return reports;
}

static size_t seal(const char* id, uint64_t pin, char text[TOKENPIN_MAX_SEALED_ID]) {
  size_t len = 0;
  CHECK(tokenpin_id_seal(&id_ring, "scope", 5, "alice", 5, pin, id, strlen(id), text,
                         TOKENPIN_MAX_SEALED_ID, &len) == TOKENPIN_STATUS_OK);
  return len;
}

static void expect_at(unsigned reports, unsigned expected, int line) {
  snprintf(check_context, sizeof check_context, "line %d: a secret decided %u times", line,
           reports);
  CHECK(reports == expected);
  check_context[0] = 0;
}
#define EXPECT(expected, reports) expect_at(reports, expected, __LINE__)

// A sealed id behaves like a cookie: one decision per tag, regardless of the wrong place.
static void sealed_ids(void) {
  // One id of each form. The last three characters in front of the ending all belong to the tag.
  static const char* const ids[] = {"file-AbCdEfGhIjKlMnOpQrStUv",
                                    "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41",
                                    "batch_0494a322-8b14-42a0-be43-71fc2ddb9af2"};
  enum { kIds = sizeof ids / sizeof *ids, kEnding = 3, kPinAndTag = 21 };
  char texts[kIds][TOKENPIN_MAX_SEALED_ID], content[64 + TOKENPIN_ID_MARK_LEN];
  size_t lens[kIds];
  memset(content, 'g', 64);
  build_id_ring();
  for (int i = 0; i < kIds; i++) lens[i] = seal(ids[i], 5, texts[i]);
  CHECK(tokenpin_id_mark(&id_ring, "scope", 5, "alice", 5, 5, content, 64, content + 64) ==
        TOKENPIN_STATUS_OK);
  wipe_id_ring();
  build_with_secrets((uint8_t*)&id_ring, sizeof id_ring, build_id_ring, wipe_id_ring);
  for (int i = 0; i < kIds; i++) {
    EXPECT(1, opening(texts[i], lens[i], TOKENPIN_ID_VERDICT_SEALED));
    for (size_t at = lens[i] - kEnding - kPinAndTag; at < lens[i] - kEnding - 1; at++) {
      char was = texts[i][at];
      texts[i][at] = was == 'A' ? 'B' : 'A';
      EXPECT(1, opening(texts[i], lens[i], TOKENPIN_ID_VERDICT_BAD_SEAL));
      texts[i][at] = was;
    }
    // A plain id has no tag to compare: no decision.
    EXPECT(0, opening(ids[i], strlen(ids[i]), TOKENPIN_ID_VERDICT_PLAIN));
    // The masked account and the tag are public as soon as they are made: at most, each of their
    // characters is looked up in the alphabet.
    char made[TOKENPIN_MAX_SEALED_ID];
    unsigned before = VALGRIND_COUNT_ERRORS;
    (void)seal(ids[i], 5, made);
    CHECK(VALGRIND_COUNT_ERRORS - before <= kPinAndTag + 1);
  }
  EXPECT(1, unmarking(content, sizeof content, TOKENPIN_ID_VERDICT_SEALED));
  for (size_t at = 64 + 2; at < sizeof content - kEnding - 1; at++) {
    char was = content[at];
    content[at] = was == 'A' ? 'B' : 'A';
    EXPECT(1, unmarking(content, sizeof content, TOKENPIN_ID_VERDICT_BAD_SEAL));
    content[at] = was;
  }
}

int main(void) {
  if (!CHECK(RUNNING_ON_VALGRIND)) return check_report();
  CHECK(world_init(&world) == TOKENPIN_STATUS_OK);
  tokenpin_key alice = {.kind = TOKENPIN_KIND_CONSUMER, .key = text("alice")};
  value_text anonymous, keyed;
  build_ring();
  sign(&ring, NULL, anonymous);
  sign(&ring, &alice, keyed);
  wipe_ring();

  build_with_secrets((uint8_t*)&ring, sizeof ring, build_ring, wipe_ring);
  // One decision for every verdict that follows the tag. Every byte of a good tag is compared, so a
  // comparison that stops early shows here.
  EXPECT(1, decoding(NULL, kNow, anonymous, TOKENPIN_VERDICT_VALID));
  EXPECT(1, decoding(&alice, kNow, keyed, TOKENPIN_VERDICT_VALID));
  EXPECT(1, decoding(&alice, kNow, anonymous, TOKENPIN_VERDICT_OTHER_KEY));
  EXPECT(1, decoding(NULL, kNow - kDay, anonymous, TOKENPIN_VERDICT_NOT_YET_VALID));
  EXPECT(1, decoding(NULL, kNow + 31 * kDay, anonymous, TOKENPIN_VERDICT_EXPIRED_LIFE));
  // The wrong place in the tag makes no difference.
  for (size_t i = kTagStart; i < TOKENPIN_COOKIE_VALUE_LEN - 1; i++) {
    value_text forged;
    memcpy(forged, anonymous, sizeof forged);
    forged[i] = forged[i] == 'A' ? 'B' : 'A';
    EXPECT(1, decoding(NULL, kNow, forged, TOKENPIN_VERDICT_BAD_TAG));
    EXPECT(1, decoding(&alice, kNow, forged, TOKENPIN_VERDICT_BAD_TAG));
  }
  // No tag to compare: no decision.
  EXPECT(0, decoding(NULL, kNow, keyed, TOKENPIN_VERDICT_BAD_TAG));
  value_text other_key;
  memcpy(other_key, anonymous, sizeof other_key);
  other_key[1] = 'B';  // Key 17 for key 1.
  EXPECT(0, decoding(NULL, kNow, other_key, TOKENPIN_VERDICT_UNKNOWN_KEY));
  // The tag and the masked pin are public as soon as they are made, which memcheck cannot know: at
  // most, each of the 33 characters that have a bit of them is looked up in the alphabet.
  unsigned before = VALGRIND_COUNT_ERRORS;
  value_text made;
  sign(&ring, &alice, made);
  CHECK(VALGRIND_COUNT_ERRORS - before <= 33);

  sealed_ids();

  build_with_secrets(memory, sizeof memory, build_affinity, wipe_affinity);
  tokenpin_request request = request_to_create(), other_scope = request, late = request;
  other_scope.scope = text("another scope");
  late.now = kNow + 31 * kDay;
  value_text forged;
  memcpy(forged, anonymous, sizeof forged);
  forged[kTagStart] ^= 1;
  // A group whose requests issue no cookie: the decisions of issuing were counted above.
  request.group = other_scope.group = late.group = TOKENPIN_GROUP_PROMPT_CACHE;
  EXPECT(1, deciding(late, anonymous, 1, TOKENPIN_VERDICT_EXPIRED_LIFE));
  EXPECT(1, deciding(request, forged, 1, TOKENPIN_VERDICT_BAD_TAG));
  EXPECT(1, deciding(other_scope, anonymous, 1, TOKENPIN_VERDICT_BAD_TAG));
  EXPECT(64, deciding(request, forged, 70, TOKENPIN_VERDICT_BAD_TAG));

  // The placement key decides once when it is hashed: one that is all zero is refused. The slot of
  // a hash is public.
  uint64_t hash;
  (void)VALGRIND_MAKE_MEM_UNDEFINED(world.config.placement_key, 16);
  before = VALGRIND_COUNT_ERRORS;
  CHECK(tokenpin_key_hash(world.config.placement_key, "scope", 5, &alice, &hash) ==
        TOKENPIN_STATUS_OK);
  EXPECT(1, VALGRIND_COUNT_ERRORS - before);
  return check_report();
}
