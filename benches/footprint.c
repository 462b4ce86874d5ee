// The memory of affinities: a line for each, a tab before the bytes.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <tokenpin.h>

int main(void) {
  enum { MOST = 1024 };
  static tokenpin_slot_config slots[MOST];
  static char names[MOST][8];
  for (int i = 0; i < MOST; ++i) {
    const int length = snprintf(names[i], sizeof names[i], "%d", i);
    slots[i].identity = (tokenpin_bytes){names[i], (size_t)length};
    slots[i].status = (tokenpin_slot_status){.weight = TOKENPIN_MAX_WEIGHT};
  }
  const tokenpin_cookie_key key = {
      .id = 1, .role = TOKENPIN_ROLE_SIGN, .secret = "a cookie secret"};
  for (size_t count = 16; count <= MOST; count *= 64) {
    tokenpin_config config;
    size_t size;
    if (tokenpin_config_init(&config, sizeof config) != TOKENPIN_STATUS_OK) return EXIT_FAILURE;
    config.placement_key[0] = 1;
    config.slots = slots;
    config.slot_count = count;
    config.cookie_keys = &key;
    config.cookie_key_count = 1;
    if (tokenpin_affinity_size(&config, &size, NULL) != TOKENPIN_STATUS_OK) return EXIT_FAILURE;
    printf("an affinity of %zu slots\t%zu\n", count, size);
  }
  printf("a decision, kept from request to response\t%zu\n", sizeof(tokenpin_decision));
  return EXIT_SUCCESS;
}
