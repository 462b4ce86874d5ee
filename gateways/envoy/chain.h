// The checked configurations of filter chains and routes.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "config.h"
#include "envoy_abi.h"
#include "stats.h"

namespace tokenpin_envoy {

// A filter chain's configuration at work. Envoy keeps it alive as long as its streams.
struct Chain {
  Chain(envoy_config envoy, std::string_view filter_name);
  ~Chain();

  // On the main thread: what the chain itself committed to the scheduler, from the keeper's thread.
  void OnEvent(envoy_config envoy, uint64_t event) const;
  void SetGauges(envoy_config envoy) const;

  const std::string name;
  const uint64_t generation;
  const envoy_scheduler scheduler;  // the way to the main thread
  Stats stats;
  std::shared_ptr<const Config> config;  // null: only routes bring one
};

// A route's configuration at work. Envoy may drop it while a stream still runs, so it is shared.
struct Route {
  std::shared_ptr<const Config> config;  // null: the chain's, with the overlay
  Overlay overlay;
};
using RoutePointer = std::shared_ptr<const Route>;

// Null with what is wrong in `problem`.
std::unique_ptr<Chain> MakeChain(envoy_config envoy, std::string_view filter_name,
                                 std::string_view text, Problem* problem);
std::unique_ptr<RoutePointer> MakeRoute(std::string_view text, Problem* problem);

// The configuration of one request: its route's, or its chain's with the fields that the route
// replaces.
struct Terms {
  const Chain& chain;
  RoutePointer route = nullptr;  // null: the route has no configuration

  // Null: the request passes.
  const std::shared_ptr<const Config>& config() const {
    return route != nullptr && route->config != nullptr ? route->config : chain.config;
  }
  const Settings& settings() const { return config()->settings(); }

  // Null if the route has nothing, or a complete configuration.
  const Overlay* overlay() const {
    return route != nullptr && route->config == nullptr ? &route->overlay : nullptr;
  }
  // A field of the overlay, else of the configuration.
  template <typename Field>
  const Field& Pick(Field Overlay::*field) const {
    const Overlay* const over = overlay();
    return over != nullptr && over->*field ? over->*field : settings().request.*field;
  }
  bool observes() const { return Pick(&Overlay::observe).value_or(false); }
  tokenpin::Mode mode() const {
    return static_cast<tokenpin::Mode>(Pick(&Overlay::sealed_ids).value_or(TOKENPIN_MODE_OFF));
  }
};

}  // namespace tokenpin_envoy
