// The time that a response asks to wait.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tokenpin_envoy {

// The whole seconds after `now`, in unix seconds, that cover what the headers ask for: 0 for a time
// that is over, none if neither can be understood. `milliseconds` is the value of retry-after-ms,
// which is the more precise and counts before `text`, the value of Retry-After.
std::optional<uint64_t> ReadRetryAfter(std::string_view milliseconds, std::string_view text,
                                       uint64_t now);

}  // namespace tokenpin_envoy
