// One request and its response.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config.h"
#include "envoy_abi.h"
#include "headers.h"
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

// The slots that a request has been sent to in vain.
struct Tried {
  std::array<uint32_t, kMaxRetries> slots;
  uint32_t count = 0;
};

// Used by one worker at a time.
class Stream {
 public:
  explicit Stream(const Chain& chain);

  // These return what the hook has to return.
  int OnRequestHeaders(envoy_filter envoy, bool end_of_stream);
  int OnRequestBody(envoy_filter envoy, bool end_of_stream);
  int OnResponseHeaders(envoy_filter envoy, bool end_of_stream);
  int OnResponseBody(envoy_filter envoy, bool end_of_stream);
  int OnResponseTrailers(envoy_filter envoy);

 private:
  tokenpin::Result<tokenpin::Decision> Decide(envoy_filter envoy, const Overlay* overlay);
  int Refuse(envoy_filter envoy, uint32_t status, std::string_view code,
             std::string_view message) const;
  int RefuseForWantOfToken(envoy_filter envoy) const;
  void Serve(envoy_filter envoy);
  void StripCookies(envoy_filter envoy, std::vector<tokenpin::Bytes>* fields) const;
  void WriteMetadata(envoy_filter envoy) const;
  std::string Describe() const;
  void DropUpstreamAnswers(envoy_filter envoy) const;
  void CoolDown(envoy_filter envoy, uint16_t status) const;
  void Answer(envoy_filter envoy, uint16_t status) const;
  void Finish(envoy_filter envoy, uint16_t status) const;
  bool MayRetry(envoy_filter envoy) const;
  bool EndHold(envoy_filter envoy);
  bool Retry(envoy_filter envoy);
  void RestoreRequest(envoy_filter envoy) const;

  const Chain& chain_;
  const Config* config_ = nullptr;      // the one that decides; null: the request passes
  std::shared_ptr<const Config> kept_;  // keeps it alive if it is a route's
  bool observe_ = false;
  bool decided_ = false;
  bool serving_ = false;  // a token was put on the request
  tokenpin::CookieName cookie_name_;
  tokenpin::Decision decision_;

  // For a retry.
  Tried tried_;           // without the slot of `decision_`
  bool carrier_ = false;  // the answer goes in the carrier header; an empty one cannot be restored
  bool request_ended_ = false;  // before any trailers
  uint64_t body_size_ = 0;      // so far
  HeaderValues saved_;          // the request's
  uint16_t held_status_ = 0;    // of a response that waits for its end; else 0
};

}  // namespace tokenpin_envoy
