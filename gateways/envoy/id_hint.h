// Hints for ids that differ from connection to connection.
#pragma once

#include <array>
#include <cstdint>

namespace tokenpin_envoy {

// Draws what tells this process's connections from those of others, which have the same numbers.
// False without randomness.
bool PrepareConnectionHints();

using ConnectionHint = std::array<uint8_t, 24>;
ConnectionHint HintOfConnection(uint64_t connection);

}  // namespace tokenpin_envoy
