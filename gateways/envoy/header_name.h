// Names of headers in configurations.
#pragma once

#include <string>

#include "json.h"

namespace tokenpin_envoy {

// A header's name in lower case, as Envoy keeps it (RFC 9110 section 5.1: a token).
std::string ReadHeaderName(const Json& json, const std::string& path, Problem* problem);
void ReadAnyHeaderName(Fields* fields, const char* field, std::string* name);

// The same for a header that the filter changes. Some carry the message itself, or are set by
// other means.
std::string ReadOwnHeaderName(const Json& json, const std::string& path, Problem* problem);
void ReadOwnHeaderName(Fields* fields, const char* field, std::string* name);

}  // namespace tokenpin_envoy
