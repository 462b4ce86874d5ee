// A decision in words, for the log of the gateway's operators and for debugging.
#pragma once

#include <string>

#include "envoy_abi.h"
#include "tokenpin.hpp"

// The enums of a decision that are counted and told: their names, and TOKENPIN_ENUM_*.
#define TOKENPIN_DECISION_ENUMS(X) \
  X(source, SOURCE)                \
  X(outcome, OUTCOME)              \
  X(pin_state, PIN_STATE)          \
  X(verdict, VERDICT)              \
  X(id_verdict, ID_VERDICT)        \
  X(key_reason, KEY_REASON)

namespace tokenpin_envoy {

class Config;

// Writes it to the request's dynamic metadata.
[[gnu::cold]] void WriteMetadata(envoy_filter envoy, const tokenpin::Decision& decision,
                                 const Config& config);

// As a dictionary of RFC 8941.
[[gnu::cold]] std::string Describe(const tokenpin::Decision& decision);

}  // namespace tokenpin_envoy
