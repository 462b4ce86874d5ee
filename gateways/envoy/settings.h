// The filter's configuration, parsed and checked. See README.md for the fields.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "credentials.h"
#include "header_map.h"
#include "problem.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

constexpr size_t kMaxRetries = 3;

// Tokens cool down, and requests are retried, after statuses of errors only.
constexpr uint16_t kLeastError = 400;

inline bool Contains(const std::vector<uint16_t>& statuses, uint16_t status) {
  return std::find(statuses.begin(), statuses.end(), status) != statuses.end();
}

// The place in a request that a value comes from.
struct ValueSource {
  enum class Kind { kNone, kHeader, kMetadata, kFilterState, kConnection };
  Kind kind = Kind::kNone;
  std::string name;      // the header's, the metadata's namespace, or the filter state's key
  std::string key;       // the metadata's
  bool present = false;  // any text counts as true

  explicit operator bool() const { return kind != Kind::kNone; }
};

struct Token {
  std::string name;  // empty: the slot is vacant
  tokenpin_slot_status status{0, TOKENPIN_MAX_WEIGHT, TOKENPIN_STATE_VACANT};
  Credentials credentials;
};

// A condition on a header of a response.
struct HeaderMatch {
  enum class Kind { kExact, kPrefix, kPresent, kAbsent };
  Kind kind = Kind::kPresent;
  std::string name, text;

  // Returns whether one of its values meets the condition.
  bool Matches(const HeaderList& headers) const;
};

// The effect of a response on its token.
struct Cooldown {
  std::vector<uint16_t> statuses;
  std::vector<HeaderMatch> headers;  // all of them
  uint8_t state = TOKENPIN_STATE_UP;
  uint32_t seconds = 0;
  bool retry_after = false;
  uint32_t max_seconds = 3600;
};

struct Rule {
  std::string pattern;
  uint8_t group = TOKENPIN_GROUP_STATELESS;
  uint8_t ids = TOKENPIN_IDS_NONE;
};

// A key of the table of ids.
struct IdField {
  std::string name;
  uint8_t kind = 0;
};

// The fields that a route may replace without being a complete configuration.
struct Overlay {
  std::optional<std::string> scope;
  std::optional<uint8_t> group;
  ValueSource existing;
  std::optional<uint8_t> sealed_ids;
  std::optional<bool> observe;
};

struct Settings {
  Settings() = default;
  Settings(const Settings&) = delete;
  Settings& operator=(const Settings&) = delete;
  ~Settings() { WipeKeys(); }
  // The library keeps its own copies.
  void WipeKeys();

  // The library's own configuration: its keys, numbers and switches. Its pointers are set when the
  // affinity is built, from the fields below.
  tokenpin_config library = tokenpin::Config();
  std::vector<tokenpin_cookie_key> cookie_keys;
  std::vector<Token> tokens;  // by slot, vacant ones included
  std::vector<Rule> rules;
  std::string cookie_name, path, domain;
  std::vector<tokenpin_cookie_key> id_keys;  // none: the cookie keys
  std::vector<IdField> id_fields;
  std::vector<std::string> id_prefixes, id_collections;

  bool bodies = true;              // also where no ids are sealed
  uint64_t max_body = 64 << 20;    // in bytes, of a request that is held
  uint64_t max_held = 1024 << 20;  // of all that are held in this process
  bool refuse_upgrades = false;

  Overlay request;  // scope, group, existing, sealed_ids and observe, which a route may replace
  ValueSource tenant;
  ValueSource consumer;
  std::vector<ValueSource> session;
  ValueSource id_hint;
  std::string carrier_header;
  std::vector<std::string> drop_when_moved;
  std::string state_file;
  std::vector<Cooldown> cooldowns;
  std::vector<uint16_t> retry_statuses;
  uint32_t max_retries = 0;
  bool clear_route_cache = false;
  bool cache_control = false;
  bool metadata = false;
  std::string response_header;
};

// The configuration of a filter or of a route.
struct Parsed {
  std::unique_ptr<Settings> settings;  // null if there are no tokens in it
  Overlay overlay;                     // of a route without tokens
};

// Errors are in `problem`, without secrets.
Parsed ParseConfiguration(std::string_view text, bool route, Problem* problem);

}  // namespace tokenpin_envoy
