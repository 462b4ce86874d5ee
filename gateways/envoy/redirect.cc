#include "redirect.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "header_map.h"

namespace tokenpin_envoy {
namespace {

constexpr std::string_view kMark = "x-tokenpin-redirect";

// Envoy ends the first stream and makes the second one in one call. Both have all filters of the
// chain, or those that their routes do not disable.
struct Left {
  const Chain* chain;
  std::unique_ptr<Sent> sent;
};
thread_local std::vector<Left> all_left;

}  // namespace

void LeaveSent(envoy_filter envoy, const Chain& chain, Sent sent) {
  tokenpin::Block random;
  if (!tokenpin::fill_entropy(random)) return;
  for (const uint8_t byte : random) {
    constexpr char kDigits[] = "0123456789abcdef";
    sent.mark.append({kDigits[byte >> 4], kDigits[byte & 15]});
  }
  AddHeader(envoy, kRequestHeader, kMark, sent.mark);
  const auto old = [&](const Left& left) {
    return left.chain == &chain || left.sent->config.expired();
  };
  all_left.erase(std::remove_if(all_left.begin(), all_left.end(), old), all_left.end());
  all_left.push_back({&chain, std::make_unique<Sent>(std::move(sent))});
}

std::unique_ptr<Sent> TakeSent(const Chain& chain) {
  const auto found = std::find_if(all_left.begin(), all_left.end(),
                                  [&](const Left& left) { return left.chain == &chain; });
  if (found == all_left.end()) return nullptr;
  std::unique_ptr<Sent> sent = std::move(found->sent);
  all_left.erase(found);
  return sent;
}

bool TakeMark(envoy_filter envoy, const Sent& sent) {
  HeaderList headers;
  headers.Read(envoy, kRequestHeader);
  std::vector<tokenpin::Bytes> values;
  headers.All(kMark, &values);
  std::vector<std::string> others;  // of further instances of this filter
  for (const tokenpin::Bytes& value : values) {
    if (tokenpin::view(value) != sent.mark) others.emplace_back(tokenpin::view(value));
  }
  if (others.size() == values.size()) return false;
  RemoveHeader(envoy, kRequestHeader, kMark);
  for (const std::string& other : others) AddHeader(envoy, kRequestHeader, kMark, other);
  return true;
}

}  // namespace tokenpin_envoy
