/* Pins a session: its second request, with the cookie of the first, gets the same account. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <tokenpin.h>

static const char* const accounts[] = {"account-a", "account-b"};

int main(void) {
  tokenpin_slot_status up = {.weight = TOKENPIN_MAX_WEIGHT, .state = TOKENPIN_STATE_UP};
  tokenpin_slot_config slots[] = {{{accounts[0], 9}, up}, {{accounts[1], 9}, up}};
  /* 16 random bytes each, from your secret store, the same on every replica. */
  tokenpin_cookie_key key = {.id = 1, .role = TOKENPIN_ROLE_SIGN, .secret = "a cookie secret"};
  tokenpin_config config;
  if (tokenpin_config_init(&config, sizeof config)) return 1;
  memcpy(config.placement_key, "a placement key!", 16);
  config.slots = slots, config.slot_count = 2;
  config.cookie_keys = &key, config.cookie_key_count = 1;
  tokenpin_affinity* affinity;
  if (tokenpin_affinity_new(&config, &affinity, NULL)) return 1;

  tokenpin_request request = {
      .method = {"POST", 4}, .target = {"/v1/responses", 13}, .now = (uint64_t)time(NULL)};
  if (getrandom(request.entropy, sizeof request.entropy, 0) != sizeof request.entropy) return 1;
  tokenpin_decision decision;
  if (tokenpin_affinity_decide(affinity, &request, &decision)) return 1;
  if (decision.slot == TOKENPIN_SLOT_NONE) return 1; /* no account can serve: answer 503 */
  printf("a new session: %s\n", accounts[decision.slot]);

  /* Send it with that account's token. Then, with the status of the account's response: */
  char line[TOKENPIN_MAX_SET_COOKIE];
  size_t len;
  uint8_t answer;
  if (tokenpin_affinity_finish(affinity, &decision, 200, line, sizeof line, &len, &answer))
    return 1;
  if (answer != TOKENPIN_ANSWER_SET_COOKIE) return 1;
  printf("Set-Cookie: %.*s\n", (int)len, line);

  tokenpin_bytes cookie = {line, (size_t)((char*)memchr(line, ';', len) - line)};
  request.method = (tokenpin_bytes){"GET", 3};
  request.target = (tokenpin_bytes){"/v1/responses/resp_1", 20};
  request.cookies = &cookie, request.cookie_count = 1;
  if (tokenpin_affinity_decide(affinity, &request, &decision) ||
      decision.slot == TOKENPIN_SLOT_NONE)
    return 1;
  tokenpin_bytes outcome;
  if (tokenpin_enum_name(TOKENPIN_ENUM_OUTCOME, decision.outcome, &outcome)) return 1;
  printf("its next request: %s, %.*s\n", accounts[decision.slot], (int)outcome.len,
         (const char*)outcome.ptr);
  tokenpin_affinity_free(affinity);
}
