// Only `tokenpin_affinity_new` allocates, and only once. Every function is called between two reads
// of the counters of alloc.c, on a good path and on a bad one.
#include <stdlib.h>

#include "alloc.h"
#include "check.h"
#include "world.h"

// Runs a statement, and checks the number of blocks that it allocated and freed.
#define COSTS(allocated, freed, statement)                                                         \
  do {                                                                                             \
    unsigned long allocations = alloc_count, frees = alloc_free_count;                             \
    statement;                                                                                     \
    allocations = alloc_count - allocations;                                                       \
    frees = alloc_free_count - frees;                                                              \
    snprintf(check_context, sizeof check_context, "%s: %lu, %lu", #statement, allocations, frees); \
    CHECK(allocations == (allocated) && frees == (freed));                                         \
  } while (0)

#define NOTHING(call) COSTS(0, 0, good += (call) == TOKENPIN_STATUS_OK)
#define NOTHING_EITHER(call) COSTS(0, 0, bad += (call) != TOKENPIN_STATUS_OK)

_Alignas(TOKENPIN_AFFINITY_ALIGN) static unsigned char block[8192];

// Compiled with -fno-builtin: otherwise the compiler would assume that malloc changes no counter.
static void* volatile kept;

static void the_counters_count(void) {
  COSTS(1, 0, kept = malloc(10));
  COSTS(1, 0, kept = realloc(kept, 20000));
  COSTS(0, 1, free(kept));
  COSTS(1, 1, kept = calloc(3, 7); free(kept));
  COSTS(1, 1, kept = aligned_alloc(64, 64); free(kept));
  alloc_fails = true;
  COSTS(1, 0, kept = malloc(10));
  alloc_fails = false;
  CHECK(kept == NULL);
}

static void only_new_allocates(void) {
  unsigned good = 0, bad = 0;
  World world;
  tokenpin_affinity *affinity = NULL, *placed = NULL;
  tokenpin_config_error error;
  size_t size = 0;
  NOTHING(world_init(&world));
  world.config.keyed_cookies = 1;
  world.config.id_mode = TOKENPIN_MODE_SEAL;
  NOTHING(tokenpin_affinity_size(&world.config, &size, &error));
  COSTS(1, 0, good += tokenpin_affinity_new(&world.config, &affinity, &error) == 0);
  NOTHING(tokenpin_affinity_init(block, sizeof block, &world.config, &placed, &error));
  COSTS(0, 0, tokenpin_affinity_wipe(placed));

  tokenpin_request request = request_to_create();
  tokenpin_decision decision;
  char out[TOKENPIN_MAX_SET_COOKIE];
  size_t len = 0, capacity = 0;
  uint8_t answer = 0, group = 0, existing = 0, ids = 0, verdict = 0;
  const tokenpin_bytes alice = {"alice", 5};
  NOTHING(tokenpin_affinity_decide(affinity, &request, &decision));
  NOTHING(tokenpin_affinity_finish(affinity, &decision, 200, out, sizeof out, &len, &answer));
  NOTHING_EITHER(tokenpin_affinity_finish(affinity, &decision, 200, out, 1, &len, &answer));
  const tokenpin_bytes field = {out, len};
  request.cookies = &field;
  request.cookie_count = 1;
  NOTHING(tokenpin_affinity_decide(affinity, &request, &decision));
  request.consumers = &alice;
  request.consumer_count = request.consumer_trusted = 1;
  NOTHING(tokenpin_affinity_decide(affinity, &request, &decision));
  request.tried_count = 1;
  NOTHING_EITHER(tokenpin_affinity_decide(affinity, &request, &decision));

  tokenpin_slot_status status = {0, 1, TOKENPIN_STATE_UP};
  uint64_t hash = 0;
  uint32_t slot = 0;
  NOTHING(tokenpin_affinity_set_slot(affinity, 0, &status));
  NOTHING_EITHER(tokenpin_affinity_set_slot(affinity, 99, &status));
  NOTHING(tokenpin_affinity_get_slot(affinity, 0, &status, &hash));
  NOTHING(tokenpin_affinity_find(affinity, "account-b", 9, &slot));
  NOTHING(tokenpin_affinity_capacity(affinity, &capacity));
  NOTHING(tokenpin_affinity_cookie_name(affinity, "s", 1, out, sizeof out, &len));
  uint8_t id_hint[16];
  NOTHING(tokenpin_affinity_id_hint(affinity, "client", 6, id_hint));
  NOTHING(tokenpin_affinity_classify(affinity, "GET", 3, "/v1/files", 9, &group, &existing, &ids));
  NOTHING(tokenpin_affinity_fingerprint(affinity, &hash));
  NOTHING(tokenpin_affinity_live_fingerprint(affinity, kNow, &hash));

  tokenpin_id_use use;
  memset(&use, 0, sizeof use);
  use.ids = ids;
  tokenpin_id_summary summary;
  tokenpin_id_report report;
  tokenpin_id_opener opener;
  tokenpin_id_sealer sealer;
  tokenpin_piece piece;
  tokenpin_bytes text = {NULL, 0};
  uint16_t http = 0;
  uint32_t unexpected = 0;
  char body[] = "{\"file_ids\":[\"file-AbCdEfGhIjKlMnOpQrStUv\"]}";
  const size_t body_len = sizeof body - 1;
  request.tried_count = 0;
  NOTHING(tokenpin_affinity_id_owner(affinity, &request, &text));
  NOTHING(tokenpin_id_summary_init(&summary));
  NOTHING(tokenpin_affinity_open_target(affinity, &use, &summary, "/v1/files/file-1", 16, out,
                                        sizeof out, &len));
  NOTHING_EITHER(tokenpin_affinity_open_target(affinity, &use, &summary, "/v1/files/file-1", 16,
                                               out, 15, &len));
  NOTHING(tokenpin_id_opener_init(&opener));
  NOTHING(tokenpin_affinity_open_step(affinity, &use, &summary, &opener, body, body_len, &piece));
  NOTHING(tokenpin_affinity_open_end(affinity, &use, &summary, &opener, &piece));
  NOTHING(
      tokenpin_affinity_open_in_place(affinity, &use, &summary, body, body_len, &len, &unexpected));
  NOTHING(tokenpin_id_sealer_init(&sealer, TOKENPIN_FRAMING_JSON));
  NOTHING(
      tokenpin_affinity_seal_step(affinity, &use, &summary, 0, &sealer, body, body_len, &piece));
  NOTHING(tokenpin_affinity_seal_end(affinity, &use, &summary, 0, &sealer, &piece));
  NOTHING_EITHER(tokenpin_affinity_seal_end(affinity, &use, &summary, 99, &sealer, &piece));
  NOTHING(tokenpin_affinity_seal_target(affinity, &use, &summary, 0, "/v1/files/file-2", 16, out,
                                        sizeof out, &len));
  NOTHING(tokenpin_id_summary_report(&summary, &report));
  CHECK(report.plain == 3 && len > 16);
  NOTHING(tokenpin_affinity_id_key(affinity, 6, &text));
  NOTHING(tokenpin_decision_refusal(&decision, &http, &ids));
  COSTS(0, 1, tokenpin_affinity_free(affinity));

  // A refused configuration: at most one block, which is freed.
  world.slots[1].identity = world.slots[0].identity;
  COSTS(1, 1, bad += tokenpin_affinity_new(&world.config, &affinity, &error) != 0);
  world.config.size = 0;
  NOTHING_EITHER(tokenpin_affinity_new(&world.config, &affinity, &error));

  tokenpin_key_ring ring;
  tokenpin_cookie cookie;
  memset(&cookie, 0, sizeof cookie);
  const tokenpin_limits limits = {0, 0, 0, 0};
  const tokenpin_attributes attributes = {{NULL, 0}, {NULL, 0}, 1, 1, 0, 0};
  char value[TOKENPIN_COOKIE_VALUE_LEN];
  tokenpin_bytes found;
  size_t offset = 0;
  uint8_t matches = 0;
  NOTHING(tokenpin_key_ring_init(&ring, world.keys, 2, NULL, NULL));
  NOTHING_EITHER(tokenpin_key_ring_init(&ring, world.keys, 0, NULL, &error));
  NOTHING(tokenpin_cookie_encode(&ring, "a", 1, NULL, 0, NULL, &cookie, value));
  NOTHING(tokenpin_cookie_decode(&ring, "a", 1, NULL, 0, NULL, &limits, 1, value, sizeof value,
                                 &verdict, &cookie));
  CHECK(verdict == TOKENPIN_VERDICT_VALID);
  NOTHING_EITHER(tokenpin_cookie_encode(&ring, "", 0, NULL, 0, NULL, &cookie, value));
  COSTS(0, 0, tokenpin_key_ring_wipe(&ring));
  tokenpin_id_ring id_ring;
  char mark[TOKENPIN_ID_MARK_LEN];
  NOTHING(tokenpin_id_ring_init(&id_ring, world.keys, 2, NULL, NULL));
  NOTHING(tokenpin_id_seal(&id_ring, "s", 1, "o", 1, 7, "file-1", 6, out, sizeof out, &len));
  NOTHING_EITHER(tokenpin_id_seal(&id_ring, "s", 1, "o", 1, 7, "a b", 3, out, sizeof out, &len));
  char native[TOKENPIN_MAX_ID];
  size_t native_len = 0;
  uint8_t key_id = 0;
  NOTHING(tokenpin_id_open(&id_ring, "s", 1, "o", 1, out, len, native, sizeof native, &native_len,
                           &verdict, &hash, &key_id));
  CHECK(verdict == TOKENPIN_ID_VERDICT_SEALED);
  NOTHING(tokenpin_id_mark(&id_ring, "s", 1, "o", 1, 7, "gAAAAA", 6, mark));
  NOTHING(
      tokenpin_id_open_mark(&id_ring, "s", 1, "o", 1, mark, sizeof mark, &len, &verdict, &hash));
  COSTS(0, 0, tokenpin_id_ring_wipe(&id_ring));
  NOTHING(tokenpin_cookie_default_name("s", 1, out, sizeof out, &len));
  NOTHING(tokenpin_cookie_next("a=1; b=2", 8, "b", 1, &offset, &found));
  NOTHING_EITHER(tokenpin_cookie_next("a=1; b=2", 8, "b", 1, &offset, &found));
  NOTHING(tokenpin_cookie_strip("a=1; b=2", 8, "b", 1, out, sizeof out, &len));
  NOTHING(tokenpin_set_cookie_write("a", 1, "v", 1, &attributes, 9, out, sizeof out, &len));
  NOTHING(tokenpin_set_cookie_matches("a=1", 3, "a", 1, &matches));
  NOTHING(tokenpin_classify(NULL, 0, 0, 1, "GET", 3, "/v1/%66iles", 11, &group, &existing, &ids));

  tokenpin_slot slots[2];
  const tokenpin_key key = {TOKENPIN_KIND_CONSUMER, {"alice", 5}, {NULL, 0}};
  const tokenpin_filter filter = {kNow, NULL, 0, 0};
  const uint64_t hashes[] = {1, 2, 3};
  uint32_t selected[3];
  NOTHING(tokenpin_jump(1, 1000000, &slot));
  NOTHING(tokenpin_identity_hash("a", 1, &hash));
  NOTHING(tokenpin_key_hash(world.config.placement_key, NULL, 0, &key, &hash));
  NOTHING(tokenpin_slot_init(&slots[0], "a", 1, &status));
  NOTHING(tokenpin_slot_init_vacant(&slots[1]));
  NOTHING(tokenpin_slot_set(&slots[0], &status));
  NOTHING(tokenpin_slot_get(&slots[0], &status));
  NOTHING(tokenpin_select(TOKENPIN_STRATEGY_JUMP, slots, 2, &filter, hash, &slot));
  NOTHING(tokenpin_select_higress(slots, 2, &filter, hash, &key, &slot));
  NOTHING(
      tokenpin_select_batch(TOKENPIN_STRATEGY_RENDEZVOUS, slots, 2, &filter, hashes, 3, selected));
  NOTHING(tokenpin_enum_name(TOKENPIN_ENUM_STATE, 0, &found));
  COSTS(0, 0, good += tokenpin_abi_version() == TOKENPIN_ABI_VERSION);
  COSTS(0, 0, tokenpin_abi_v1());
  COSTS(0, 0, good += tokenpin_version() != NULL);

  // The intended paths were taken.
  snprintf(check_context, sizeof check_context, "%u good, %u bad", good, bad);
  CHECK(good == 58 && bad == 11);
}

int main(void) {
  the_counters_count();
  only_new_allocates();
  return check_report();
}
