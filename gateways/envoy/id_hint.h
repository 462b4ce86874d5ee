// Anonymous ids that are made from something that belongs to one client.
#pragma once

#include <string_view>

#include "tokenpin.hpp"

namespace tokenpin_envoy {

// Draws the key of this process that ids are made with. False without randomness.
bool PrepareIdHints();

// One id for each hint. False if the hint is longer than a key may be.
bool IdFromHint(std::string_view hint, tokenpin::Block& id);

}  // namespace tokenpin_envoy
