// Pins a session: its second request, with the cookie of the first, gets the same account.
#include <cstring>
#include <iostream>
#include <tokenpin.hpp>

using tokenpin::bytes;

int main() {
  const std::string_view accounts[] = {"account-a", "account-b"};
  const tokenpin::SlotConfig slots[] = {{bytes(accounts[0]), tokenpin::kUp},
                                        {bytes(accounts[1]), tokenpin::kUp}};
  // 16 random bytes each, from your secret store, the same on every replica.
  const tokenpin::CookieKey keys[] = {
      {1, TOKENPIN_ROLE_SIGN, {'a', ' ', 's', 'e', 'c', 'r', 'e', 't'}}};
  tokenpin::Config config;
  std::memcpy(config.placement_key, "a placement key!", 16);
  config.set_slots(slots);
  config.set_cookie_keys(keys);
  const auto affinity = tokenpin::Affinity::make(config);
  if (!affinity) return 1;

  tokenpin::Request request;
  request.method = bytes("POST"), request.target = bytes("/v1/responses");
  request.now = tokenpin::unix_now();
  if (!tokenpin::fill_entropy(request.entropy)) return 1;
  auto decision = affinity->decide(request);
  if (!decision || !decision->has_slot()) return 1;  // no account can serve: answer 503
  std::cout << "a new session: " << accounts[decision->slot()] << '\n';

  // Send it with that account's token. Then, with the status of the account's response:
  const auto answer = affinity->finish(*decision, 200);
  if (!answer || answer->kind != TOKENPIN_ANSWER_SET_COOKIE) return 1;
  const std::string_view line = answer->text.view();
  std::cout << "Set-Cookie: " << line << '\n';

  const tokenpin::Bytes cookies[] = {bytes(line.substr(0, line.find(';')))};
  request.method = bytes("GET"), request.target = bytes("/v1/responses/resp_1");
  request.set_cookies(cookies);
  decision = affinity->decide(request);
  if (!decision || !decision->has_slot()) return 1;
  std::cout << "its next request: " << accounts[decision->slot()] << ", "
            << tokenpin::name(decision->outcome()) << '\n';
}
