// One request and its response.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config.h"
#include "envoy_abi.h"
#include "request.h"
#include "stats.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

// What a filter chain's configuration became. Envoy keeps it alive as long as its streams.
struct Chain {
  Stats stats;
  std::shared_ptr<const Config> config;  // null: only routes bring one
};

// What a route's configuration became. Envoy may drop it while a stream still runs.
struct Route {
  std::shared_ptr<const Config> config;  // null: the chain's, with the overlay
  Overlay overlay;
};

// Used by one worker at a time.
class Stream {
 public:
  explicit Stream(const Chain& chain) : chain_(chain) {}

  // Both return what the hook has to return.
  int OnRequestHeaders(envoy_filter envoy);
  int OnResponseHeaders(envoy_filter envoy);

 private:
  int Refuse(envoy_filter envoy, uint32_t status, std::string_view code,
             std::string_view message) const;
  int RefuseForWantOfToken(envoy_filter envoy) const;
  void Serve(envoy_filter envoy, RequestReader* reader);
  void StripCookies(envoy_filter envoy, std::vector<tokenpin::Bytes>* fields) const;
  void WriteMetadata(envoy_filter envoy) const;
  std::string Describe() const;
  void DropUpstreamAnswers(envoy_filter envoy) const;
  void CoolDown(envoy_filter envoy, uint16_t status) const;
  void Answer(envoy_filter envoy, uint16_t status) const;

  const Chain& chain_;
  const Config* config_ = nullptr;      // the one that decides; null: the request passes
  std::shared_ptr<const Config> kept_;  // keeps it alive if it is a route's
  bool observe_ = false;
  bool serving_ = false;  // a token was put on the request
  tokenpin::CookieName cookie_name_;
  tokenpin::Decision decision_;
};

}  // namespace tokenpin_envoy
