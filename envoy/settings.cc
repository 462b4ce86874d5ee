#include "settings.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace tokenpin_envoy {
namespace {

using Words = std::vector<std::string_view>;

Words SplitWords(std::string_view line) {
  Words words;
  while (true) {
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos) return words;
    line.remove_prefix(begin);
    const size_t end = std::min(line.find_first_of(" \t\r"), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

bool ParseNumber(std::string_view text, uint32_t max, uint32_t* number) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc() && rest == end && *number <= max;
}

// `env:NAME` keeps secrets out of the configuration; anything else is the secret itself.
bool ReadSecret(std::string_view text, std::string* secret) {
  constexpr std::string_view kEnv = "env:";
  if (text.substr(0, kEnv.size()) != kEnv) {
    *secret = text;
    return true;
  }
  const char* value = std::getenv(std::string(text.substr(kEnv.size())).c_str());
  if (value == nullptr || *value == '\0') return false;
  *secret = value;
  return true;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool ReadKey(std::string_view text, uint8_t (&key)[16]) {
  std::string hex;
  bool ok = ReadSecret(text, &hex) && hex.size() == 2 * sizeof key;
  for (size_t i = 0; ok && i < sizeof key; ++i) {
    const int high = HexDigit(hex[2 * i]);
    const int low = HexDigit(hex[2 * i + 1]);
    ok = high >= 0 && low >= 0;
    if (ok) key[i] = static_cast<uint8_t>(high << 4 | low);
  }
  explicit_bzero(hex.data(), hex.size());
  return ok;
}

// A credential becomes a header value, so it must not be able to end one.
bool IsHeaderValue(std::string_view text) {
  for (const char c : text) {
    if (c < 0x21 || c > 0x7e) return false;
  }
  return !text.empty();
}

// Each directive returns what is wrong with it, or nothing.
const char* ParseMode(const Words& words, Settings* settings) {
  if (words.size() != 2) return "expected: mode tokenpin|random";
  if (words[1] == "tokenpin") {
    settings->mode = Mode::kTokenpin;
  } else if (words[1] == "random") {
    settings->mode = Mode::kRandom;
  } else {
    return "mode is tokenpin or random";
  }
  return nullptr;
}

const char* ParsePlacementKey(const Words& words, Settings* settings) {
  if (words.size() != 2) return "expected: placement_key KEY";
  if (!ReadKey(words[1], settings->placement_key)) return "the key is not 32 hex digits";
  return nullptr;
}

const char* ParseCookieKey(const Words& words, Settings* settings) {
  if (words.size() != 4) return "expected: cookie_key ID sign|accept|retire KEY";
  if (settings->cookie_keys.size() == TOKENPIN_MAX_COOKIE_KEYS) return "too many cookie keys";
  tokenpin_cookie_key& key = settings->cookie_keys.emplace_back();
  uint32_t id = 0;
  if (!ParseNumber(words[1], 255, &id)) return "the key id is not a number up to 255";
  key.id = static_cast<uint8_t>(id);
  if (words[2] == "sign") {
    key.role = TOKENPIN_ROLE_SIGN;
  } else if (words[2] == "accept") {
    key.role = TOKENPIN_ROLE_ACCEPT;
  } else if (words[2] == "retire") {
    key.role = TOKENPIN_ROLE_RETIRE;
  } else {
    return "the role is sign, accept or retire";
  }
  if (!ReadKey(words[3], key.secret)) return "the key is not 32 hex digits";
  return nullptr;
}

const char* ParseScope(const Words& words, Settings* settings) {
  if (words.size() != 2) return "expected: scope TEXT";
  settings->scope = words[1];
  return nullptr;
}

const char* ParseCookieName(const Words& words, Settings* settings) {
  if (words.size() != 2) return "expected: cookie_name NAME";
  settings->cookie_name = words[1];
  return nullptr;
}

bool ParseSwitch(const Words& words, bool* on) {
  if (words.size() != 2 || (words[1] != "on" && words[1] != "off")) return false;
  *on = words[1] == "on";
  return true;
}

const char* ParseSecure(const Words& words, Settings* settings) {
  return ParseSwitch(words, &settings->secure) ? nullptr : "expected: secure on|off";
}

const char* ParseKeyedCookies(const Words& words, Settings* settings) {
  return ParseSwitch(words, &settings->keyed_cookies) ? nullptr : "expected: keyed_cookies on|off";
}

const char* ParseConsumerHeader(const Words& words, Settings* settings) {
  if (words.size() != 2) return "expected: consumer_header NAME";
  settings->consumer_header = words[1];
  // Envoy's header names are lower-case.
  for (char& c : settings->consumer_header) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return nullptr;
}

const char* ParseToken(const Words& words, Settings* settings) {
  if (words.size() != 5) return "expected: token IDENTITY up|draining|down WEIGHT SECRET";
  Slot& slot = settings->slots.emplace_back();
  slot.identity = words[1];
  if (words[2] == "up") {
    slot.state = TOKENPIN_STATE_UP;
  } else if (words[2] == "draining") {
    slot.state = TOKENPIN_STATE_DRAINING;
  } else if (words[2] == "down") {
    slot.state = TOKENPIN_STATE_DOWN;
  } else {
    return "the state is up, draining or down";
  }
  if (!ParseNumber(words[3], 65536, &slot.weight)) return "the weight is not a number up to 65536";
  if (!ReadSecret(words[4], &slot.secret)) return "the secret's environment variable is not set";
  if (!IsHeaderValue(slot.secret)) return "the secret cannot stand in a header";
  return nullptr;
}

const char* ParseVacant(const Words& words, Settings* settings) {
  if (words.size() != 1) return "expected: vacant";
  settings->slots.emplace_back();
  return nullptr;
}

struct Directive {
  std::string_view name;
  const char* (*parse)(const Words&, Settings*);
  bool repeatable;
};

constexpr Directive kDirectives[] = {
    {"mode", ParseMode, false},
    {"placement_key", ParsePlacementKey, false},
    {"cookie_key", ParseCookieKey, true},
    {"scope", ParseScope, false},
    {"cookie_name", ParseCookieName, false},
    {"secure", ParseSecure, false},
    {"consumer_header", ParseConsumerHeader, false},
    {"keyed_cookies", ParseKeyedCookies, false},
    {"token", ParseToken, true},
    {"vacant", ParseVacant, true},
};

}  // namespace

Settings::~Settings() {
  explicit_bzero(placement_key, sizeof placement_key);
  for (tokenpin_cookie_key& key : cookie_keys) explicit_bzero(key.secret, sizeof key.secret);
}

bool ParseSettings(std::string_view text, Settings* settings, std::string* error) {
  bool seen[std::size(kDirectives)] = {};
  // A growing vector would leave copies of the keys behind.
  settings->cookie_keys.reserve(TOKENPIN_MAX_COOKIE_KEYS);
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const Words words = SplitWords(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (words.empty() || words[0][0] == '#') continue;

    // An unknown word is not repeated: it may be a secret on the wrong line.
    std::string problem = "unknown directive";
    for (size_t i = 0; i < std::size(kDirectives); ++i) {
      if (kDirectives[i].name != words[0]) continue;
      const char* complaint = seen[i] && !kDirectives[i].repeatable
                                  ? "given twice"
                                  : kDirectives[i].parse(words, settings);
      seen[i] = true;
      problem.clear();
      if (complaint != nullptr) problem = std::string(words[0]) + ": " + complaint;
    }
    if (!problem.empty()) {
      *error = "line " + std::to_string(number) + ": " + problem;
      return false;
    }
  }
  return true;
}

}  // namespace tokenpin_envoy
