// Callers that break the contract of the C ABI, each in one way, so that the defect happens in the
// library's own code: the tools that watch it must report each.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tokenpin.h>

#include "../../tests/capi/world.h"

static World world;

// The result does not matter here: the tool must see the defect.
static void ignore(int32_t status) { (void)status; }

static void write_out_of_bounds(void) {
  tokenpin_key_ring ring;
  ignore(tokenpin_key_ring_init(&ring, world.keys, 1, NULL, NULL));
  tokenpin_cookie cookie;
  memset(&cookie, 0, sizeof cookie);
  cookie.issued_at = cookie.refreshed_at = kNow;
  // One byte too short.
  char* value = malloc(TOKENPIN_COOKIE_VALUE_LEN - 1);
  ignore(tokenpin_cookie_encode(&ring, "a", 1, NULL, 0, NULL, &cookie, value));
  free(value);
}

static void use_after_free(void) {
  tokenpin_affinity* affinity;
  ignore(tokenpin_affinity_new(&world.config, &affinity, NULL));
  tokenpin_affinity_free(affinity);
  size_t capacity;
  ignore(tokenpin_affinity_capacity(affinity, &capacity));
}

static void uninitialised_read(void) {
  char* field = malloc(64);
  uint8_t matches = 0;
  ignore(tokenpin_set_cookie_matches(field, 64, "a", 1, &matches));
  free(field);
}

// Several, because a pointer to the last may remain in a register.
static void leak(void) {
  tokenpin_affinity* affinity;
  for (int i = 0; i < 9; i++) ignore(tokenpin_affinity_new(&world.config, &affinity, NULL));
}

int main(int argc, char** argv) {
  static const struct {
    const char* name;
    void (*run)(void);
  } kDefects[] = {{"write_out_of_bounds", write_out_of_bounds},
                  {"use_after_free", use_after_free},
                  {"uninitialised_read", uninitialised_read},
                  {"leak", leak}};
  world_init(&world);
  for (size_t i = 0; i < sizeof kDefects / sizeof kDefects[0]; i++) {
    if (argc == 2 && strcmp(argv[1], kDefects[i].name) == 0) {
      kDefects[i].run();
      return 0;
    }
  }
  fprintf(stderr, "usage: planted DEFECT\n");
  return 2;
}
