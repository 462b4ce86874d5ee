// The properties of a body that the headers of its message declare.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "header_map.h"

namespace tokenpin_envoy {

enum class Content { kJson, kEvents, kMultipart, kOther };

// A body without a type is taken for JSON: many servers do, too.
Content ContentOf(const HeaderList& headers);

// Returns whether the body is compressed, or encoded in another way.
bool IsEncoded(const HeaderList& headers);

// None if the headers do not say how long it is.
std::optional<uint64_t> LengthOf(const HeaderList& headers);

// Returns whether two texts are the same, ignoring the case of ASCII letters.
bool SameText(std::string_view a, std::string_view b);

// Checks whether a text is UTF-8. It may come in parts.
class Utf8 {
 public:
  void Read(std::string_view part);
  // True if all of it was UTF-8, and ended with a whole character.
  bool valid() const { return valid_ && left_ == 0; }

 private:
  bool valid_ = true;
  int left_ = 0;                            // of the character that has begun
  unsigned char low_ = 0x80, high_ = 0xbf;  // what its next byte may be
};

}  // namespace tokenpin_envoy
