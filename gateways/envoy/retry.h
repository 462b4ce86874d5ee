// Trying a request again on another token.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chain.h"
#include "envoy_abi.h"
#include "request.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

// The former tries of a request that is tried again.
struct FormerTries {
  uint32_t count = 0;
  // The slots that were tried, and whether the answer goes in the carrier header (an empty one
  // cannot be put back). Both only mean something to the configuration they come from.
  std::shared_ptr<const Config> config = nullptr;
  std::vector<uint32_t> slots = {};
  bool carrier = false;
  // Of a request whose ids were opened: what it came with is gone.
  std::unique_ptr<const tokenpin::IdSummary> ids = nullptr;
};

// One try of a request, and what the next one needs. Envoy makes a stream for each.
class Try {
 public:
  // Takes over what the stream left that this one is made in place of, if there is one.
  explicit Try(const Chain& chain);

  bool first() const { return former_.count == 0; }

  void OnRequestHeaders(const Terms& terms, bool end_of_stream);
  void OnRequestBody(envoy_filter envoy, const Settings& settings, bool end_of_stream);
  // The request was held, and continues with a body of `size` bytes. `length` is the
  // content-length, if it has changed.
  void OnHeldRequest(uint64_t size, bool ended, std::string_view length);

  // Null if this is the first try, or the former one has left the ids as they were.
  const tokenpin::IdSummary* former_ids() const { return former_.ids.get(); }

  // Which slot serves this try.
  tokenpin::Result<tokenpin::Decision> Decide(const Terms& terms, tokenpin::Request* request);
  // Keeps the request's headers, before the filter changes them, if there may be a next try.
  void KeepHeaders(envoy_filter envoy, const Settings& settings,
                   const tokenpin::Decision& decision);

  // Returns whether a response with this status leads to a next try. Else this one is the last.
  bool WantsNext(envoy_filter envoy, const Settings& settings, const tokenpin::Decision& decision,
                 uint16_t status) const;
  // Lets Envoy begin the request again, with another stream object that knows what was tried. If it
  // returns true, the stream is gone, with this object. False: this try is the last.
  [[gnu::cold]] bool BeginNext(envoy_filter envoy, const Terms& terms,
                               const tokenpin::Decision& decision, const tokenpin::IdSummary* ids,
                               RequestReader& reader);
  void BeLast() { kept_.clear(); }

  // A response that leads to a next try waits for its end.
  void Hold(uint16_t status) { held_status_ = status; }
  bool holds() const { return held_status_ != 0; }
  // Returns whether there is room for the part of its body that just came.
  [[gnu::cold]] bool CanHoldMore(envoy_filter envoy) const;
  // It waits no more. Returns its status.
  uint16_t Release() { return std::exchange(held_status_, 0); }

 private:
  using HeaderValues = std::map<std::string, std::vector<std::string>>;
  [[gnu::cold]] static HeaderValues ReadHeaders(envoy_filter envoy);
  static void ReplaceHeaders(envoy_filter envoy, const HeaderValues& wanted);

  bool MayFollow(const Settings& settings, const tokenpin::Decision& decision) const;

  FormerTries former_;
  bool request_ended_ = false;  // before any trailers
  uint64_t body_size_ = 0;      // so far
  HeaderValues kept_;           // the request's, if a next try may follow
  uint16_t held_status_ = 0;    // 0: no response waits
};

}  // namespace tokenpin_envoy
