#include "fleet.h"

namespace tokenpin_envoy {
namespace {

using tokenpin::SlotStatus;

bool Same(const SlotStatus& a, const SlotStatus& b) {
  return a.state == b.state && a.weight == b.weight && a.until == b.until;
}

bool Over(const SlotStatus& status, uint64_t now) {
  return status.until != 0 && now >= status.until;
}

bool IsUp(const SlotStatus& status, uint64_t now) {
  return status.state == TOKENPIN_STATE_UP ||
         (status.state != TOKENPIN_STATE_VACANT && Over(status, now));
}

}  // namespace

Fleet::Fleet(const tokenpin::Affinity& affinity, std::vector<SlotStatus> declared)
    : affinity_(affinity),
      declared_(std::move(declared)),
      live_(declared_),
      cooling_(live_.size()) {}

bool Fleet::Cool(uint32_t slot, tokenpin::State state, uint64_t until, uint64_t now) {
  const std::lock_guard lock(mutex_);
  const SlotStatus& live = live_[slot];
  if (!IsUp(live, now)) {
    // Down is worse than draining; of two that are as bad the longer one counts.
    if (live.state != state && state != TOKENPIN_STATE_DOWN) return false;
    if (live.state == state && (!cooling_[slot] || live.until >= until)) return false;
  }
  Put(slot, {until, live.weight, state}, true);
  return true;
}

void Fleet::Declare(const std::vector<SlotStatus>& declared) {
  const std::lock_guard lock(mutex_);
  for (uint32_t slot = 0; slot < declared_.size(); ++slot) {
    if (Same(declared[slot], declared_[slot])) continue;
    declared_[slot] = declared[slot];
    Put(slot, declared[slot], false);
  }
}

void Fleet::EndCooldowns(uint64_t now) {
  const std::lock_guard lock(mutex_);
  for (uint32_t slot = 0; slot < live_.size(); ++slot) {
    if (cooling_[slot] && Over(live_[slot], now)) Put(slot, declared_[slot], false);
  }
}

void Fleet::Put(uint32_t slot, const SlotStatus& status, bool cooling) {
  // Cannot be refused: the slot is in range, the numbers are checked, and a vacant slot is never
  // declared anything else nor decided for.
  (void)affinity_.set_slot(slot, status);
  live_[slot] = status;
  cooling_[slot] = cooling;
}

}  // namespace tokenpin_envoy
