// The filter's lines in Envoy's log.
#pragma once

#include <string>

namespace tokenpin_envoy {

// One line. The levels are in envoy_abi.h.
[[gnu::cold]] void Log(int level, const std::string& message);

}  // namespace tokenpin_envoy
