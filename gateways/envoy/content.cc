#include "content.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace tokenpin_envoy {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && SameText(text.substr(text.size() - end.size()), end);
}

}  // namespace

bool SameText(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

Content ContentOf(const HeaderList& headers) {
  std::string_view type = headers.First("content-type");
  if (type == "application/json") return Content::kJson;  // Mostly, and told quickly.
  type = Trim(type);
  type = Trim(type.substr(0, type.find_first_of(";,")));
  if (type.empty() || SameText(type, "application/json") || EndsWith(type, "+json")) {
    return Content::kJson;
  }
  if (SameText(type, "text/event-stream")) return Content::kEvents;
  constexpr std::string_view kMultipart = "multipart/";
  return SameText(type.substr(0, kMultipart.size()), kMultipart) ? Content::kMultipart
                                                                 : Content::kOther;
}

bool IsEncoded(const HeaderList& headers) {
  std::vector<tokenpin::Bytes> fields;
  headers.All("content-encoding", &fields);
  for (const tokenpin::Bytes& field : fields) {
    for (std::string_view rest = tokenpin::view(field); !rest.empty();) {
      const std::string_view coding = TakeElement(&rest);
      if (!coding.empty() && !SameText(coding, "identity")) return true;
    }
  }
  return false;
}

std::optional<uint64_t> LengthOf(const HeaderList& headers) {
  const std::string_view text = headers.First("content-length");
  uint64_t length = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc() || rest != text.data() + text.size()) return std::nullopt;
  return length;
}

// The table of well-formed sequences in chapter 3.9 of the Unicode standard.
void Utf8::Read(std::string_view part) {
  for (const char c : part) {
    const auto byte = static_cast<unsigned char>(c);
    if (left_ != 0) {
      valid_ &= byte >= low_ && byte <= high_;
      low_ = 0x80;
      high_ = 0xbf;
      --left_;
    } else if (byte >= 0x80) {
      valid_ &= byte >= 0xc2 && byte <= 0xf4;
      left_ = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
      if (byte == 0xe0) low_ = 0xa0;
      if (byte == 0xed) high_ = 0x9f;
      if (byte == 0xf0) low_ = 0x90;
      if (byte == 0xf4) high_ = 0x8f;
    }
    if (!valid_) return;
  }
}

}  // namespace tokenpin_envoy
