// The response: what it says of the token, and the affinity cookie that the client gets in it.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "chain.h"
#include "envoy_abi.h"
#include "header_map.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

// Memory that one response after another uses, so that none has to allocate. Views are valid until
// a header is changed.
class ResponseReader {
 public:
  void Read(envoy_filter envoy, std::string_view cookie_name, std::string_view carrier_header);

  // Of the response that was read last.
  uint16_t status() const { return status_; }
  const HeaderList& headers() const { return headers_; }
  // True if the upstream sets our cookie, or the header that carries it. It must set neither.
  bool has_cookie() const { return sets_ours_ || carries_; }
  // Removes both. Ends the views.
  [[gnu::cold]] void DropCookies(envoy_filter envoy, std::string_view carrier_header) const;

 private:
  HeaderList headers_;
  uint16_t status_ = 0;
  std::vector<tokenpin::Bytes> others_, carried_;  // the cookies that are not ours
  bool sets_ours_ = false, carries_ = false;
};

// False for Envoy's own replies, which come by as well and say nothing about a token: also timeouts
// and resets, which have an upstream's address.
bool IsFromUpstream(envoy_filter envoy);
// Envoy's own word for what became of the request, its "response code details"; empty without one.
std::string_view DetailsOf(envoy_filter envoy);

// Changes the state of the token that gave the response, where the status asks for it.
[[gnu::cold]] void CoolDown(envoy_filter envoy, const Terms& terms, uint32_t slot,
                            const ResponseReader& response);

// Gives the client the decision's cookie, if it has one for this status.
void WriteCookie(envoy_filter envoy, const Terms& terms, const tokenpin::Decision& decision,
                 uint16_t status);

}  // namespace tokenpin_envoy
