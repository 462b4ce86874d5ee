// The filter's configuration text, parsed. See README.md for the directives.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenpin.h"

namespace tokenpin_envoy {

enum class Mode { kTokenpin, kRandom };

struct Slot {
  uint8_t state = TOKENPIN_STATE_VACANT;
  std::string identity;
  uint32_t weight = 0;
  std::string secret;  // the upstream credential; never logged
};

struct Settings {
  Mode mode = Mode::kTokenpin;
  uint8_t placement_key[16] = {};
  std::vector<tokenpin_cookie_key> cookie_keys;
  std::vector<Slot> slots;
  std::string scope;
  std::string cookie_name;  // empty: the library's default
  bool secure = true;
  std::string consumer_header;  // empty: no consumer is trusted
  bool keyed_cookies = false;

  Settings() = default;
  Settings(const Settings&) = delete;
  Settings& operator=(const Settings&) = delete;
  // Wipes the keys: the library keeps its own copy.
  ~Settings();
};

// False with a message that names the line, and never a secret, in `error`.
bool ParseSettings(std::string_view text, Settings* settings, std::string* error);

}  // namespace tokenpin_envoy
