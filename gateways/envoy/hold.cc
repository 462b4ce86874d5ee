#include "hold.h"

#include <atomic>
#include <utility>

namespace tokenpin_envoy {
namespace {

// The bytes that all requests of this process hold.
std::atomic<uint64_t> held{0};

}  // namespace

Hold::Bound Hold::Add(uint64_t size, uint64_t max_body, uint64_t max_held) {
  if (size > max_body - size_) return Bound::kBody;
  if (held.fetch_add(size) + size > max_held) {
    held.fetch_sub(size);
    return Bound::kAll;
  }
  size_ += size;
  return Bound::kNone;
}

uint64_t Hold::End() {
  if (std::exchange(state_, State::kNone) == State::kReading) held.fetch_sub(size_);
  return size_;
}

void Hold::BeginRefusal(Refusal refusal) {
  End();
  state_ = State::kRefused;
  size_ = 0;
  refusal_ = std::make_unique<const Refusal>(std::move(refusal));
}

bool Hold::Swallow(uint64_t size, uint64_t most) {
  size_ += size;
  return size_ <= most;
}

}  // namespace tokenpin_envoy
