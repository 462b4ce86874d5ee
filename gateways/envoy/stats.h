// The filter's metrics.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "envoy_abi.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

enum class Counter {
  kAmbiguous,
  kCookiesSet,
  kCooldowns,
  kRetries,
  kErrors,
  kStateFileApplied,
  kStateFileRefused,
  kStateFileUnknown,
  kBadTenants,
};
constexpr size_t kCounters = 9;

class Stats {
 public:
  // Envoy takes definitions only while it makes the filter's configuration.
  bool Define(envoy_config envoy);

  // On a worker, for a request.
  void Count(envoy_filter envoy, Counter counter) const;
  void CountDecision(envoy_filter envoy, const tokenpin::Decision& decision) const;

  // On the main thread.
  void CountMain(envoy_config envoy, Counter counter) const;
  void SetFingerprints(envoy_config envoy, uint64_t config, uint64_t live) const;

 private:
  std::array<size_t, kCounters> counters_{};
  // By the enum's values. A counter for each is cheaper to count in than one with labels.
  std::vector<size_t> sources_, outcomes_, pin_states_, verdicts_, key_reasons_;
  size_t config_fingerprint_ = 0;
  size_t live_fingerprint_ = 0;
};

}  // namespace tokenpin_envoy
