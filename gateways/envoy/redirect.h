// Internal redirects: Envoy begins a request again, as this filter has left it.
#pragma once

#include <memory>
#include <string>

#include "chain.h"
#include "ids.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

// The state of a request that went upstream: its credentials are the account's, its cookie is gone,
// and its ids are open.
struct Sent {
  std::weak_ptr<const Config> config;
  tokenpin::Decision decision;
  tokenpin::CookieName cookie_name;
  std::unique_ptr<Ids> ids;
  std::string mark = {};  // a random header value
};

// Leaves the state of a request that Envoy begins again to the chain's next stream of this thread,
// and puts a mark on the request that only this stream can know.
[[gnu::cold]] void LeaveSent(envoy_filter envoy, const Chain& chain, Sent sent);

// Takes the state that was left to the chain. Every stream does, so that nothing lasts longer.
std::unique_ptr<Sent> TakeSent(const Chain& chain);

// Takes the mark off the request. False if it has none: the state is another request's, whose next
// stream has come by without this filter.
[[gnu::cold]] bool TakeMark(envoy_filter envoy, const Sent& sent);

}  // namespace tokenpin_envoy
