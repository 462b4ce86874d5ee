// The headers that say how long to wait, and the seconds that the filter reads in them.

#include "retry_after.h"

#include <optional>
#include <string>

#include "check.h"

namespace {

// Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110.
constexpr uint64_t kThen = 784111777;

struct Case {
  std::string_view text;
  uint64_t now;
  std::optional<uint64_t> seconds;
};

constexpr std::nullopt_t kNone = std::nullopt;

const Case kCases[] = {
    // Seconds.
    {"0", kThen, 0},
    {"1", kThen, 1},
    {"007", kThen, 7},
    {"3600", kThen, 3600},
    {"18446744073709551615", kThen, UINT64_MAX},
    {"18446744073709551616", kThen, UINT64_MAX},
    {"99999999999999999999999999999999", kThen, UINT64_MAX},
    {"-1", kThen, kNone},
    {"-99999999999999999999999999999999", kThen, kNone},
    {"+1", kThen, kNone},
    {" 1", kThen, kNone},
    {"1 ", kThen, kNone},
    // Decimals, which some providers send: rounded up.
    {"0.5", kThen, 1},
    {"0.0", kThen, 0},
    {"0.000", kThen, 0},
    {"0.000000000000000000000000000000001", kThen, 1},
    {"1.0", kThen, 1},
    {"1.5", kThen, 2},
    {"59.999", kThen, 60},
    {"18446744073709551614.5", kThen, UINT64_MAX},
    {"18446744073709551615.5", kThen, UINT64_MAX},
    {"99999999999999999999999999999999.5", kThen, UINT64_MAX},
    {"1.", kThen, kNone},
    {".5", kThen, kNone},
    {".", kThen, kNone},
    {"1..5", kThen, kNone},
    {"1.5.5", kThen, kNone},
    {"1.5s", kThen, kNone},
    {"1.-5", kThen, kNone},
    {"-0.5", kThen, kNone},
    {"0,5", kThen, kNone},
    {"1. 5", kThen, kNone},
    {"1e3", kThen, kNone},
    {"1.5e3", kThen, kNone},
    {"inf", kThen, kNone},
    {"nan", kThen, kNone},
    {"0x10", kThen, kNone},
    {"1,2", kThen, kNone},
    {"99999999999999999999999999999999x", kThen, kNone},
    {std::string_view("1\0", 2), kThen, kNone},
    // The three forms of a date.
    {"Sun, 06 Nov 1994 08:49:37 GMT", kThen - 60, 60},
    {"Sunday, 06-Nov-94 08:49:37 GMT", kThen - 60, 60},
    {"Sun Nov  6 08:49:37 1994", kThen - 60, 60},
    {"Sun Nov 16 08:49:37 1994", kThen, 10 * 86400},
    {"Wednesday, 25-Nov-26 04:00:00 GMT", 1795579200 - 1, 1},
    // Times that are over.
    {"Sun, 06 Nov 1994 08:49:37 GMT", kThen, 0},
    {"Sun, 06 Nov 1994 08:49:37 GMT", kThen + 1, 0},
    {"Sunday, 06-Nov-94 08:49:37 GMT", kThen + 1, 0},
    {"Sun Nov  6 08:49:37 1994", kThen + 1, 0},
    {"Thu, 01 Jan 1970 00:00:00 GMT", kThen, 0},
    {"Mon, 01 Jan 0001 00:00:00 GMT", kThen, 0},
    // The limits of a date.
    {"Fri, 31 Dec 9999 23:59:59 GMT", 0, 253402300799},
    {"Thu, 29 Feb 2024 00:00:00 GMT", 1709164800 - 5, 5},
    {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800 - 5, 5},
    // No dates.
    {"", kThen, kNone},
    {"soon", kThen, kNone},
    {"GMT", kThen, kNone},
    {"Sun, 06 Nov 1994 08:49:37", 0, kNone},
    {"Sun, 06 Nov 1994 08:49:37 UTC", 0, kNone},
    {"Sun, 06 Nov 1994 08:49:37 +0000", 0, kNone},
    {"Sun, 06 Nov 1994 08:49:37 GMT+1", 0, kNone},
    {"Sun, 06 Nov 1994 25:49:37 GMT", 0, kNone},
    {"Sun, 06 Nov 99999 08:49:37 GMT", 0, kNone},
    {"Sun, 06 Foo 1994 08:49:37 GMT", 0, kNone},
    {"1994-11-06T08:49:37Z", 0, kNone},
    {std::string_view("Sun, 06 Nov 1994 08:49:37 GMT\0", 30), 0, kNone},
    {std::string_view("\xff\xfe\0\x01", 4), 0, kNone},
};

// A retry-after-ms, beside a Retry-After.
struct Pair {
  std::string_view milliseconds, text;
  std::optional<uint64_t> seconds;
};

const Pair kPairs[] = {
    {"300", "", 1},
    {"0", "", 0},
    {"1", "", 1},
    {"999", "", 1},
    {"1000", "", 1},
    {"1001", "", 2},
    {"1500.5", "", 2},
    {"2000.0001", "", 3},
    {"0.4", "", 1},
    {"60000", "", 60},
    {"18446744073709551615", "", UINT64_MAX / 1000 + 1},
    {"99999999999999999999999999999999", "", UINT64_MAX / 1000 + 1},
    // Both: the more precise one counts.
    {"300", "1", 1},
    {"1500", "1", 2},
    {"1500", "3600", 2},
    {"0", "30", 0},
    {"1500", "soon", 2},
    {"1500", "Sun, 06 Nov 1994 08:50:37 GMT", 2},
    // A header that cannot be read does not hide the other.
    {"soon", "30", 30},
    {"-1", "0.5", 1},
    {" 300", "30", 30},
    {"300ms", "Sun, 06 Nov 1994 08:50:37 GMT", 60},
    {"Sun, 06 Nov 1994 08:50:37 GMT", "", kNone},
    {"", "", kNone},
    {"soon", "soon", kNone},
};

}  // namespace

int main() {
  for (const Case& test : kCases) {
    std::snprintf(check_context, sizeof check_context, "%.*s", static_cast<int>(test.text.size()),
                  test.text.data());
    // An exact copy, so that the sanitizer sees a read behind its end.
    const std::string exact(test.text);
    char* const block = new char[exact.size()];
    exact.copy(block, exact.size());
    CHECK(tokenpin_envoy::ReadRetryAfter("", {block, exact.size()}, test.now) == test.seconds);
    delete[] block;
  }
  for (const Pair& test : kPairs) {
    std::snprintf(check_context, sizeof check_context, "%s and %s", test.milliseconds.data(),
                  test.text.data());
    CHECK(tokenpin_envoy::ReadRetryAfter(test.milliseconds, test.text, kThen) == test.seconds);
  }
  std::snprintf(check_context, sizeof check_context, "60 KB");
  CHECK(tokenpin_envoy::ReadRetryAfter("", std::string(60000, ' '), 0) == kNone);
  CHECK(tokenpin_envoy::ReadRetryAfter("", std::string(60000, '9'), 0) == UINT64_MAX);
  CHECK(tokenpin_envoy::ReadRetryAfter("", std::string(60000, '0') + "5", 0) == 5);
  CHECK(tokenpin_envoy::ReadRetryAfter(std::string(60000, '0') + "5001", "", 0) == 6);
  CHECK(tokenpin_envoy::ReadRetryAfter("", "0." + std::string(60000, '0') + "5", 0) == 1);
  return check_report();
}
