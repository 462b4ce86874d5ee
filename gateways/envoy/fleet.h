// The tokens' live states: what the configuration and the state file declare, and what cools down.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "tokenpin.hpp"

namespace tokenpin_envoy {

// Safe to use from any thread. Requests do not come by here: they read the affinity, which is
// changed one atomic word at a time.
class Fleet {
 public:
  // The affinity outlives this, and has the declared states already.
  Fleet(const tokenpin::Affinity& affinity, std::vector<tokenpin::SlotStatus> declared);

  // A response asks for `state` until a unix second. False if the token keeps what it has: a
  // cooldown makes no state better, and lengthens only another cooldown to the same state. The last
  // token that is up may drain too: where all drain, newcomers are spread over them.
  bool Cool(uint32_t slot, tokenpin::State state, uint64_t until, uint64_t now);

  // Takes the states of a state file, by slot. Each token whose entry changed takes it, and ends
  // its cooldown.
  void Declare(const std::vector<tokenpin::SlotStatus>& declared);

  // Puts back what is declared where a cooldown is over. (Until then an ended one counts as up,
  // also where draining is declared.)
  void EndCooldowns(uint64_t now);

 private:
  void Put(uint32_t slot, const tokenpin::SlotStatus& status, bool cooling);

  std::mutex mutex_;
  const tokenpin::Affinity& affinity_;
  std::vector<tokenpin::SlotStatus> declared_;
  std::vector<tokenpin::SlotStatus> live_;
  std::vector<bool> cooling_;
};

}  // namespace tokenpin_envoy
