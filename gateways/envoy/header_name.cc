#include "header_name.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "tokenpin.hpp"

namespace tokenpin_envoy {
namespace {

// RFC 9110 section 5.6.2. The name of a cookie has the same bytes, and the library knows them.
bool IsTokenByte(char c) {
  return tokenpin::set_cookie_write({&c, 1}, {}, {}, 0, {}).status != TOKENPIN_STATUS_COOKIE_NAME;
}

}  // namespace

std::string ReadHeaderName(const Json& json, const std::string& path, Problem* problem) {
  std::string name = json.is_string() ? json.get<std::string>() : "";
  if (!json.is_string()) problem->Set(path, "expected a string");
  if (name.empty() || !std::all_of(name.begin(), name.end(), IsTokenByte)) {
    problem->Set(path, "expected a header's name");
  }
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return name;
}

void ReadAnyHeaderName(Fields* fields, const char* field, std::string* name) {
  if (const Json* json = fields->Find(field)) {
    *name = ReadHeaderName(*json, fields->Path(field), fields->problem());
  }
}

std::string ReadOwnHeaderName(const Json& json, const std::string& path, Problem* problem) {
  static const std::set<std::string_view> kOthers = {
      "connection", "content-length",    "cookie", "host", "set-cookie",
      "te",         "transfer-encoding", "upgrade"};
  std::string name = ReadHeaderName(json, path, problem);
  if (kOthers.count(name) != 0) problem->Set(path, "is not for the filter to set");
  return name;
}

void ReadOwnHeaderName(Fields* fields, const char* field, std::string* name) {
  if (const Json* json = fields->Find(field)) {
    *name = ReadOwnHeaderName(*json, fields->Path(field), fields->problem());
  }
}

}  // namespace tokenpin_envoy
