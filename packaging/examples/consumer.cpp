#include <tokenpin.h>

#include <cstdint>
#include <iostream>
#include <memory>
#include <string_view>

namespace {

tokenpin_bytes bytes(std::string_view text) { return {text.data(), text.size()}; }

struct Free {
  void operator()(tokenpin_affinity* affinity) const { tokenpin_affinity_free(affinity); }
};

}  // namespace

int main() {
  std::uint32_t bucket = 0;
  if (tokenpin_jump(123456, 1000, &bucket) != TOKENPIN_STATUS_OK) return 1;

  tokenpin_slot_status up{0, TOKENPIN_MAX_WEIGHT, TOKENPIN_STATE_UP};
  tokenpin_slot_config slots[] = {
      {bytes("account-a"), up}, {bytes("account-b"), up}, {bytes("account-c"), up}};
  tokenpin_cookie_key key{1, TOKENPIN_ROLE_SIGN, {'s', 'e', 'c', 'r', 'e', 't'}};
  tokenpin_config config;
  if (tokenpin_config_init(&config, sizeof config) != TOKENPIN_STATUS_OK) return 1;
  std::string_view{"a placement key!"}.copy(reinterpret_cast<char*>(config.placement_key), 16);
  config.slots = slots, config.slot_count = 3;
  config.cookie_keys = &key, config.cookie_key_count = 1;
  tokenpin_affinity* made = nullptr;
  if (tokenpin_affinity_new(&config, &made, nullptr) != TOKENPIN_STATUS_OK) return 1;
  std::unique_ptr<tokenpin_affinity, Free> affinity{made};

  tokenpin_bytes consumer = bytes("alice");
  tokenpin_request request{};
  request.method = bytes("POST"), request.target = bytes("/v1/responses");
  request.consumers = &consumer, request.consumer_count = 1, request.consumer_trusted = 1;
  request.now = 1800000000;
  tokenpin_decision decision;
  if (tokenpin_affinity_decide(affinity.get(), &request, &decision) != TOKENPIN_STATUS_OK) return 1;
  std::cout << "tokenpin " << tokenpin_version() << ": bucket " << bucket << ", slot "
            << decision.slot << '\n';
}
