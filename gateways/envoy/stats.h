// The filter's metrics.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <vector>

#include "describe.h"
#include "envoy_abi.h"
#include "tokenpin.hpp"

// The filter's own counters: those of requests, then those of configurations.
#define TOKENPIN_COUNTERS(X) \
  X(ambiguous)               \
  X(cookies_set)             \
  X(cooldowns)               \
  X(retries)                 \
  X(errors)                  \
  X(bad_tenants)             \
  X(foreign_cookies)         \
  X(ids_opened)              \
  X(ids_plain)               \
  X(ids_sealed)              \
  X(echoes_lost)             \
  X(bodies_not_understood)   \
  X(bodies_not_read)         \
  X(bodies_not_sealed)       \
  X(bodies_refused)          \
  X(bodies_too_large)        \
  X(bodies_too_many)         \
  X(upgrades_refused)        \
  X(state_file_applied)      \
  X(state_file_refused)      \
  X(state_file_unknown)      \
  X(secrets_applied)         \
  X(secrets_refused)

namespace tokenpin_envoy {

#define X(name) name,
enum class Counter : uint64_t { TOKENPIN_COUNTERS(X) };
#undef X
#define X(name) #name,
constexpr std::string_view kCounterNames[] = {TOKENPIN_COUNTERS(X)};
#undef X

class Stats {
 public:
  // Envoy takes definitions only while it makes the filter's configuration.
  bool Define(envoy_config envoy);

  // On a worker, for a request.
  void Count(envoy_filter envoy, Counter counter, uint64_t by = 1) const;
  void CountDecision(envoy_filter envoy, const tokenpin::Decision& decision) const;
  // Of the ids of a request, and of its documents that were not understood.
  void CountIds(envoy_filter envoy, const tokenpin::IdReport& report, uint32_t unexpected) const;

  // On the main thread.
  void CountMain(envoy_config envoy, Counter counter) const;
  void SetFingerprints(envoy_config envoy, uint64_t config, uint64_t live) const;

 private:
  std::array<size_t, std::size(kCounterNames)> counters_{};
  // By the enum's values. A counter for each is cheaper to count in than one with labels.
#define X(field, NAME) std::vector<size_t> field##_;
  TOKENPIN_DECISION_ENUMS(X)
#undef X
  size_t config_fingerprint_ = 0;
  size_t live_fingerprint_ = 0;
};

}  // namespace tokenpin_envoy
