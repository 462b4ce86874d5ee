#include <cstdint>
#include <iostream>
#include <string_view>
#include <tokenpin.hpp>

int main() {
  const auto bucket = tokenpin::jump(123456, 1000);
  if (!bucket) return 1;

  const tokenpin::SlotConfig slots[] = {{tokenpin::bytes("account-a"), tokenpin::kUp},
                                        {tokenpin::bytes("account-b"), tokenpin::kUp},
                                        {tokenpin::bytes("account-c"), tokenpin::kUp}};
  const tokenpin::CookieKey keys[] = {{1, TOKENPIN_ROLE_SIGN, {'s', 'e', 'c', 'r', 'e', 't'}}};
  tokenpin::Config config;
  std::string_view{"a placement key!"}.copy(reinterpret_cast<char*>(config.placement_key), 16);
  config.set_slots(slots);
  config.set_cookie_keys(keys);
  const auto affinity = tokenpin::Affinity::make(config);
  if (!affinity) return 1;

  const tokenpin::Bytes consumers[] = {tokenpin::bytes("alice")};
  tokenpin::Request request;
  request.method = tokenpin::bytes("POST"), request.target = tokenpin::bytes("/v1/responses");
  request.set_consumers(consumers, true);
  request.now = 1800000000;
  const auto decision = affinity->decide(request);
  if (!decision) return 1;
  std::cout << "tokenpin " << tokenpin_version() << ": bucket " << *bucket << ", slot "
            << decision->slot() << '\n';
}
