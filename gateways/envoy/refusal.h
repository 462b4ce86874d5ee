// The filter's own answers to requests that no token serves.
#pragma once

#include <cstdint>
#include <string_view>

#include "envoy_abi.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

struct Refusal {
  uint32_t status;
  std::string_view code, message;
  uint32_t retry_after = 0;  // in seconds; 0: nobody knows
};

// Of a request that could not be decided.
Refusal RefusalFor(tokenpin::Status status);
// Of a decision without a slot.
Refusal RefusalFor(const tokenpin::Decision& decision);

// Sends it to the client, with one more header unless its name is empty. Returns what the hook has
// to return.
int Refuse(envoy_filter envoy, const Refusal& refusal, std::string_view header,
           std::string_view value);

}  // namespace tokenpin_envoy
