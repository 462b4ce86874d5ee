// The tokens of a configuration, and their states in a state file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "json.h"
#include "settings.h"

namespace tokenpin_envoy {

// Reads `tokens` and `capacity`.
void ReadTokens(Fields* fields, std::vector<Token>* tokens);

// The state file: what it declares for the tokens, by slot, over what the configuration says; and
// the names in it that the configuration does not have. (It may be newer or older than the file.)
struct States {
  std::vector<tokenpin_slot_status> declared;
  std::vector<std::string> unknown;
};
States ParseStates(std::string_view text, const std::vector<Token>& tokens, Problem* problem);

}  // namespace tokenpin_envoy
