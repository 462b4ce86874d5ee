// One request and its response.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config.h"
#include "envoy_abi.h"
#include "header_map.h"
#include "request.h"
#include "stats.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

// What a filter chain's configuration became. Envoy keeps it alive as long as its streams.
struct Chain {
  Stats stats;
  std::shared_ptr<const Config> config;  // null: only routes bring one
};

// What a route's configuration became. Envoy may drop it while a stream still runs, so it is
// shared.
struct Route {
  std::shared_ptr<const Config> config;  // null: the chain's, with the overlay
  Overlay overlay;
};
using RoutePointer = std::shared_ptr<const Route>;

// What a request that is tried again knows of its former tries.
struct Tries {
  uint32_t count = 0;
  // The slots that were tried, and whether the answer goes in the carrier header (an empty one
  // cannot be put back). Both only mean something to the configuration they come from.
  std::shared_ptr<const Config> config;
  std::vector<uint32_t> slots;
  bool carrier = false;
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
  const std::shared_ptr<const Config>& Deciding() const;
  bool Observes() const;
  const Overlay* RouteOverlay() const;
  tokenpin::Result<tokenpin::Decision> Decide(envoy_filter envoy);
  int Refuse(envoy_filter envoy, uint32_t status, std::string_view code,
             std::string_view message) const;
  int RefuseForWantOfToken(envoy_filter envoy) const;
  void Serve(envoy_filter envoy);
  void StripCookies(envoy_filter envoy, std::vector<tokenpin::Bytes>* fields) const;
  void WriteMetadata(envoy_filter envoy) const;
  std::string Describe() const;
  bool IsOurs(const tokenpin::Bytes& set_cookie) const;
  bool HasAnswer(const HeaderList& response) const;
  void DropUpstreamAnswers(envoy_filter envoy) const;
  void CoolDown(envoy_filter envoy, uint16_t status) const;
  void Answer(envoy_filter envoy, uint16_t status) const;
  void Finish(envoy_filter envoy, uint16_t status);
  bool MayMove(const tokenpin::Decision& decision) const;
  bool MayRetry(envoy_filter envoy) const;
  bool EndHold(envoy_filter envoy);
  bool Retry(envoy_filter envoy);

  const Chain& chain_;
  RoutePointer route_;              // null: the route has no configuration
  const Config* config_ = nullptr;  // the one that decides; null: the request passes
  bool decided_ = false;
  bool serving_ = false;     // a token was put on the request
  bool has_answer_ = false;  // the response has our cookie, or the header that carries it
  tokenpin::CookieName cookie_name_;
  tokenpin::Decision decision_;

  // For a retry.
  Tries tries_;                 // before this one
  bool existing_ = false;       // the request names existing state
  bool request_ended_ = false;  // before any trailers
  uint64_t body_size_ = 0;      // so far
  HeaderValues saved_;          // the request's, if it may move
  uint16_t held_status_ = 0;    // of a response that waits for its end; else 0
};

}  // namespace tokenpin_envoy
