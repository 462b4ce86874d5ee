// Internal redirects: the router begins a request again, as this filter has left it.
#pragma once

#include <memory>

#include "chain.h"
#include "header_map.h"
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
};

// Keeps the state of a request whose stream ends before its response, for the next stream of this
// thread.
void LeaveSent(Sent sent);

// Takes what the stream before has left. A stream always takes it, so that nothing lasts longer.
std::unique_ptr<Sent> TakeSent();

// Returns whether this request continues the one that was sent. Only Envoy can make it: clients
// neither know the account's credentials nor reach a filter between two streams of a redirect.
bool Continues(const Sent& sent, const Terms& terms, const HeaderList& headers);

}  // namespace tokenpin_envoy
