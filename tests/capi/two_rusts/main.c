// Two Rust libraries in one C program: the runtime of one must not interfere with the other's.
#include "../check.h"
#include "../world.h"

size_t other_count_words(const char* text, size_t len);
int32_t other_catch_panic(void);

int main(void) {
  World world;
  tokenpin_affinity* affinity = NULL;
  tokenpin_decision decision;
  CHECK(world_init(&world) == TOKENPIN_STATUS_OK);
  CHECK(tokenpin_affinity_new(&world.config, &affinity, NULL) == TOKENPIN_STATUS_OK);
  for (int round = 0; round < 3; round++) {
    tokenpin_request request = request_to_create();
    CHECK(tokenpin_affinity_decide(affinity, &request, &decision) == TOKENPIN_STATUS_OK);
    CHECK(decision.outcome == TOKENPIN_OUTCOME_PLACED);
    CHECK(other_count_words("b a b", 5) == 2);
    CHECK(other_catch_panic() == 1);
  }
  tokenpin_affinity_free(affinity);
  return check_report();
}
