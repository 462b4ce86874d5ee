#include "retry_after.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <string>

namespace tokenpin_envoy {
namespace {

// Digits, which may have a decimal point and digits behind it: rounded up. UINT64_MAX for more.
std::optional<uint64_t> ReadDecimal(std::string_view text) {
  uint64_t whole = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, whole);
  if (error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range) whole = UINT64_MAX;
  if (rest == end) return whole;
  const char* const first = rest + 1;
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (*rest != '.' || first == end || !std::all_of(first, end, digit)) return std::nullopt;
  const bool more = std::any_of(first, end, [](char c) { return c != '0'; });
  return more && whole != UINT64_MAX ? whole + 1 : whole;
}

// RFC 9110 section 5.6.7: a recipient accepts all three forms of a date.
std::optional<uint64_t> ReadDate(std::string_view text, uint64_t now) {
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

}  // namespace

// RFC 9110 section 10.2.3 knows a number of seconds, or a date. Providers send decimals too.
std::optional<uint64_t> ReadRetryAfter(std::string_view milliseconds, std::string_view text,
                                       uint64_t now) {
  if (const auto read = ReadDecimal(milliseconds)) return *read / 1000 + (*read % 1000 != 0);
  if (const auto seconds = ReadDecimal(text)) return seconds;
  return ReadDate(text, now);
}

}  // namespace tokenpin_envoy
