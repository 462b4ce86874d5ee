#include "retry_after.h"

#include <charconv>
#include <ctime>
#include <string>

namespace tokenpin_envoy {

// RFC 9110 section 10.2.3: a number of seconds, or a date.
std::optional<uint64_t> ReadRetryAfter(std::string_view text, uint64_t now) {
  uint64_t seconds = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, seconds);
  if (rest == end && error == std::errc::result_out_of_range) return UINT64_MAX;
  if (rest == end && error == std::errc()) return seconds;
  // Section 5.6.7: a recipient accepts all three forms of a date.
  const std::string copy(text);
  for (const char* const form :
       {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"}) {
    std::tm date{};
    if (strptime(copy.c_str(), form, &date) != copy.c_str() + copy.size()) continue;
    const std::time_t then = timegm(&date);
    return then > 0 && static_cast<uint64_t>(then) > now ? static_cast<uint64_t>(then) - now : 0;
  }
  return std::nullopt;
}

}  // namespace tokenpin_envoy
