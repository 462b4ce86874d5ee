// The Retry-After header of a response.
#pragma once

#include <cstdint>
#include <string_view>

namespace tokenpin_envoy {

// How many seconds after `now`, in unix seconds; 0 if the text says nothing that can be understood,
// or a time that is over.
uint64_t ReadRetryAfter(std::string_view text, uint64_t now);

}  // namespace tokenpin_envoy
