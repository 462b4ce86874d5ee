// What a request says that the decision depends on.
#pragma once

#include <string>
#include <vector>

#include "envoy_abi.h"
#include "header_map.h"
#include "settings.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

// Memory that one request after another uses, so that none has to allocate. All of it holds views
// into Envoy's headers, valid until one is changed.
class RequestReader {
 public:
  // Reads everything but the random bytes and the slots already tried. `overlay` is the route's, or
  // null. False if the tenant cannot be told. What `request` points to is in here.
  bool Read(envoy_filter envoy, const Settings& settings, const Overlay* overlay,
            tokenpin::Request* request);

  // Of the request that was read last. The scope is empty if it is the configured one.
  const std::string& scope() const { return scope_; }
  std::vector<tokenpin::Bytes>& cookies() { return cookies_; }
  bool carried() const { return carried_; }

 private:
  // Replaces `values` with those of a source that are not empty.
  void ReadSource(envoy_filter envoy, const ValueSource& source,
                  std::vector<tokenpin::Bytes>* values);
  bool ReadScope(envoy_filter envoy, const Settings& settings, const Overlay* overlay);
  bool ReadsTrue(envoy_filter envoy, const ValueSource& source);
  bool ReadIdHint(envoy_filter envoy, const ValueSource& source);

  HeaderList headers_;
  std::vector<tokenpin::Bytes> cookies_, consumers_, sessions_, values_;
  std::string scope_;
  bool carried_ = false;
  tokenpin::Block id_hint_;
};

// Draws the key of this process that ids are made with from hints. False without randomness.
bool PrepareIdHints();

}  // namespace tokenpin_envoy
