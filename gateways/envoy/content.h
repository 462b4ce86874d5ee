// What the headers of a message say of its body.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "header_map.h"

namespace tokenpin_envoy {

enum class Content { kJson, kEvents, kMultipart, kOther };

// A body without a type is taken for JSON: many servers do, too.
Content ContentOf(const HeaderList& headers);

// Whether it is compressed, or encoded otherwise.
bool IsEncoded(const HeaderList& headers);

// None if the headers do not say how long it is.
std::optional<uint64_t> LengthOf(const HeaderList& headers);

// Whether two texts are the same but for the case of ASCII letters.
bool SameText(std::string_view a, std::string_view b);

// Where a text is wrong, it is no UTF-8. It may come in parts.
class Utf8 {
 public:
  void Read(std::string_view part);
  // Whether all of it was right, and ended with a character.
  bool valid() const { return valid_ && left_ == 0; }

 private:
  bool valid_ = true;
  int left_ = 0;                            // of the character that has begun
  unsigned char low_ = 0x80, high_ = 0xbf;  // what its next byte may be
};

}  // namespace tokenpin_envoy
