// The header from C++17: before any other, in two translation units, with handles that end by
// themselves, and from many threads at once.
#include <tokenpin.h>
// Not sorted: the header must not need, or disturb, what comes behind it.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <type_traits>
#include <vector>

#include "affinity.hpp"
#include "check.h"
#include "world.h"

namespace {

using capi::Affinity;

static_assert(std::is_same_v<std::underlying_type_t<tokenpin_status>, std::int32_t>);
static_assert(std::is_same_v<std::underlying_type_t<tokenpin_state>, std::uint8_t>);
static_assert(std::is_same_v<decltype(tokenpin_jump(0, 0, nullptr)), std::int32_t>);
static_assert(std::is_standard_layout_v<tokenpin_config> && std::is_trivial_v<tokenpin_request>);

struct CppWorld : World {
  CppWorld() : World{} { capi::check_status(world_init(this)); }
  CppWorld(const CppWorld&) = delete;
  CppWorld& operator=(const CppWorld&) = delete;
};

template <typename Function>
std::string thrown_by(Function function) {
  try {
    function();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "nothing";
}

void handles_end_by_themselves_and_statuses_throw() {
  CppWorld world;
  Affinity first(world.config);
  Affinity moved = std::move(first);
  CHECK(moved.find("account-b") == 1);
  CHECK(moved.find(std::string_view("account-bc").substr(0, 9)) == 1);
  CHECK(moved.find("account-bc") == TOKENPIN_SLOT_NONE);
  CHECK(thrown_by([&] { moved.find({}); }) == "identity_empty");
  CHECK(thrown_by([&] { moved.set(99, TOKENPIN_STATE_UP); }) == "slot_range");
  world.config.strategy = 99;
  CHECK(thrown_by([&] { Affinity refused(world.config); }) == "bad_enum");
  CHECK(thrown_by([] { capi::jump(1, 0); }) == "bucket_count");
}

void views_go_in_and_strings_come_out() {
  CppWorld world;
  const Affinity affinity(world.config);
  tokenpin_request request = request_to_create();
  const tokenpin_decision first = affinity.decide(request);
  const std::string line = affinity.finish(first, 201);
  CHECK(line.rfind("__Host-tokenpin=", 0) == 0);
  const std::string field = "a=1; " + line.substr(0, line.find(';')) + "; b=2";
  const tokenpin_bytes cookies = capi::bytes(field);
  request.cookies = &cookies;
  request.cookie_count = 1;
  const tokenpin_decision second = affinity.decide(request);
  CHECK(second.outcome == TOKENPIN_OUTCOME_PINNED && second.slot == first.slot);
  CHECK(capi::strip(field, "__Host-tokenpin") == "a=1; b=2");
  CHECK(capi::jump(256, 1) == 0);
}

// While one thread switches slots, the others decide. `account-b` is down throughout, `account-a`
// up.
void no_thread_ever_gets_a_slot_that_is_down() {
  constexpr int kThreads = 4, kDecisions = 100000;
  CppWorld world;
  const Affinity affinity(world.config);
  affinity.set(1, TOKENPIN_STATE_DOWN);
  std::atomic<bool> over{false};
  std::atomic<long> switches{0}, down{0}, wrong{0};
  std::atomic<long> served[kSlots] = {};

  const auto decide = [&](int thread) {
    for (int i = 0; i < kDecisions; i++) {
      tokenpin_request request = request_to_create();
      std::memcpy(request.entropy, &i, sizeof i);
      request.entropy[15] = static_cast<std::uint8_t>(thread + 1);
      const std::string name = "consumer-" + std::to_string(i);
      const tokenpin_bytes consumer = capi::bytes(name);
      if (i % 2 == 0) {
        request.consumers = &consumer;
        request.consumer_count = request.consumer_trusted = 1;
      }
      tokenpin_decision decision = affinity.decide(request);
      if (decision.cookie == 1) {
        const std::string line = affinity.finish(decision, 200);
        const tokenpin_bytes cookies = capi::bytes(line);
        request.cookies = &cookies;
        request.cookie_count = 1;
        decision = affinity.decide(request);
        wrong += decision.source != TOKENPIN_SOURCE_COOKIE;
      }
      down += decision.slot == 1;
      if (decision.slot < kAccounts) {
        served[decision.slot]++;
      } else {
        wrong++;
      }
    }
  };
  std::thread switcher([&] {
    while (!over) {
      affinity.set(2, switches % 2 == 0 ? TOKENPIN_STATE_DOWN : TOKENPIN_STATE_UP);
      switches++;
    }
  });
  std::vector<std::thread> deciders;
  for (int i = 0; i < kThreads; i++) deciders.emplace_back(decide, i);
  for (std::thread& decider : deciders) decider.join();
  over = true;
  switcher.join();
  CHECK(down == 0);
  CHECK(wrong == 0);
  CHECK(switches > 0);
  CHECK(served[0] > 0 && served[2] > 0);
  CHECK(served[0] + served[2] == kThreads * kDecisions);
}

}  // namespace

int main() {
  handles_end_by_themselves_and_statuses_throw();
  views_go_in_and_strings_come_out();
  no_thread_ever_gets_a_slot_that_is_down();
  return check_report();
}
