// The request: what it says that the decision depends on, and what the filter changes in it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "chain.h"
#include "envoy_abi.h"
#include "header_map.h"
#include "settings.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

// Memory that one request after another uses, so that none has to allocate. All of it holds views
// into Envoy's headers, valid until one is changed.
class RequestReader {
 public:
  // Reads everything but the random bytes and the slots already tried. False if the tenant is
  // ambiguous. What `request` points to is in here.
  bool Read(envoy_filter envoy, const Terms& terms, tokenpin::Request* request) {
    if (!ReadTarget(envoy, terms, request)) return false;
    ReadKeys(envoy, terms, request);
    return true;
  }
  // The two parts of it: what tells whether the request has to wait, and the rest.
  bool ReadTarget(envoy_filter envoy, const Terms& terms, tokenpin::Request* request);
  void ReadKeys(envoy_filter envoy, const Terms& terms, tokenpin::Request* request);

  // Of the request that was read last: its headers; whether it begins a WebSocket; its scope, empty
  // if it is the configured one.
  const HeaderList& headers() const { return headers_; }
  bool is_handshake() const { return is_handshake_; }
  const std::string& scope() const { return scope_; }
  // Takes our own things off it, the cookie and the header that carries it. Ends the views.
  void StripCookies(envoy_filter envoy, std::string_view cookie_name,
                    std::string_view carrier_header);

 private:
  // Replaces `values` with those of a source that are not empty.
  void ReadSource(envoy_filter envoy, const ValueSource& source,
                  std::vector<tokenpin::Bytes>* values);
  bool ReadScope(envoy_filter envoy, const Terms& terms);
  bool ReadsTrue(envoy_filter envoy, const ValueSource& source);
  bool ReadIdHint(envoy_filter envoy, const Config& config);

  HeaderList headers_;
  std::vector<tokenpin::Bytes> cookies_, consumers_, sessions_, values_;
  std::string scope_, stripped_;
  bool carried_ = false, is_handshake_ = false;
  tokenpin::Block id_hint_;
};

// Puts a token's credentials on the request.
void PutCredentials(envoy_filter envoy, const Credentials& credentials);
// Takes them off it, and puts them on it again. Pseudo-headers stay as they are: no request is
// without them, and a redirect replaces them.
void DropCredentials(envoy_filter envoy, const Credentials& credentials);
void PutCredentialsAgain(envoy_filter envoy, const Credentials& credentials);

// Removes what another account made, from the request of a session that is not with it any more.
void DropWhenMoved(envoy_filter envoy, const std::vector<std::string>& names,
                   const tokenpin::Decision& decision);

}  // namespace tokenpin_envoy
