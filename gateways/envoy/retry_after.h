// The Retry-After header of a response.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tokenpin_envoy {

// How many seconds after `now`, in unix seconds: 0 for a time that is over, none if the text cannot
// be understood.
std::optional<uint64_t> ReadRetryAfter(std::string_view text, uint64_t now);

}  // namespace tokenpin_envoy
