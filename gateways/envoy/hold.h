// Requests that wait until their bodies were seen, and how much of these there is.
#pragma once

#include <cstdint>
#include <memory>

#include "refusal.h"

namespace tokenpin_envoy {

// One request's share of what this process holds.
class Hold {
 public:
  Hold() = default;
  Hold(const Hold&) = delete;
  ~Hold() { End(); }

  enum class State {
    kNone,     // the request does not wait, or no more
    kReading,  // its body is read
    kRefused,  // it gets an answer when its body has passed
  };
  State state() const { return state_; }

  void Begin() { state_ = State::kReading; }
  enum class Bound { kNone, kBody, kAll };
  // Some more of its body. Says over which bound that would be: then it is not counted.
  Bound Add(uint64_t size, uint64_t max_body, uint64_t max_held);
  // Of its body, so far.
  uint64_t size() const { return size_; }
  // It waits no more. Returns the size of its body.
  uint64_t End();

  // Its body is of no use: most clients only read an answer when they have sent everything.
  void BeginRefusal(Refusal refusal);
  // Counts the rest that it sends. False if that is enough.
  bool Swallow(uint64_t size, uint64_t most);
  const Refusal& refusal() const { return *refusal_; }

 private:
  State state_ = State::kNone;
  uint64_t size_ = 0;  // of its body; or what was swallowed
  std::unique_ptr<const Refusal> refusal_;
};

}  // namespace tokenpin_envoy
