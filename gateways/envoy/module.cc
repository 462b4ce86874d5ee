// The hooks that do something, and nothing else; the others are in unused_hooks.cc. All are
// noexcept: nothing may unwind into Envoy.

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "config.h"
#include "envoy_abi.h"
#include "stream.h"

namespace tokenpin_envoy {
namespace {

// The chains of each filter name, oldest first. When Envoy replaces a configuration, the old one
// goes on until its last connection has ended; the gauges are the newest one's.
class Generations {
 public:
  static Generations& Get() {
    static Generations* const generations = new Generations;
    return *generations;
  }
  uint64_t Add(const std::string& name) {
    const std::lock_guard lock(mutex_);
    alive_[name].insert(++last_);
    return last_;
  }
  void Remove(const std::string& name, uint64_t generation) {
    const std::lock_guard lock(mutex_);
    alive_[name].erase(generation);
  }
  bool IsNewest(const std::string& name, uint64_t generation) {
    const std::lock_guard lock(mutex_);
    return *alive_[name].rbegin() == generation;
  }

 private:
  std::mutex mutex_;
  uint64_t last_ = 0;
  std::map<std::string, std::set<uint64_t>> alive_;
};

// A chain, and its way to the main thread.
struct OwnedChain : Chain {
  OwnedChain(envoy_config envoy, std::string_view filter_name)
      : name(filter_name),
        generation(Generations::Get().Add(name)),
        scheduler(envoy_dynamic_module_callback_http_filter_config_scheduler_new(envoy)) {}
  ~OwnedChain() {
    // The keeper may still use the scheduler.
    config.reset();
    envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler);
    Generations::Get().Remove(name, generation);
  }

  // Something that the keeper told of, on the main thread.
  void OnEvent(envoy_config envoy, Event event) const {
    if (!Generations::Get().IsNewest(name, generation)) return;
    switch (event) {
      case Event::kLookedAfter:
        return SetGauges(envoy);
      case Event::kStateFileApplied:
        return stats.CountMain(envoy, Counter::kStateFileApplied);
      case Event::kStateFileRefused:
        return stats.CountMain(envoy, Counter::kStateFileRefused);
      case Event::kStateFileUnknown:
        return stats.CountMain(envoy, Counter::kStateFileUnknown);
    }
  }

  void SetGauges(envoy_config envoy) const {
    if (config == nullptr || !Generations::Get().IsNewest(name, generation)) return;
    stats.SetFingerprints(envoy, config->fingerprint(), config->LiveFingerprint());
  }

  const std::string name;
  const uint64_t generation;
  const envoy_scheduler scheduler;
};

// Null with what is wrong in `problem`, or if there are no tokens in it.
std::unique_ptr<Config> MakeConfig(std::unique_ptr<Settings> settings, Problem* problem) {
  if (problem->Found() || settings == nullptr) return nullptr;
  if (settings->id_hint && !PrepareIdHints()) {
    problem->Set("id_hint", "the system has no randomness");
    return nullptr;
  }
  return Config::Make(std::move(settings), problem);
}

template <typename Report>
bool StartKeeping(Config* config, Report report, Problem* problem) {
  if (envoy_dynamic_module_callback_is_validation_mode()) return true;
  if (!config->StartKeeping(report)) problem->Set("", "there can be no further thread");
  return !problem->Found();
}

std::unique_ptr<OwnedChain> MakeChain(envoy_config envoy, std::string_view name,
                                      std::string_view text, Problem* problem) {
  auto chain = std::make_unique<OwnedChain>(envoy, name);
  if (!chain->stats.Define(envoy)) {
    problem->Set("", "Envoy refuses the metrics");
    return nullptr;
  }
  std::unique_ptr<Config> config =
      MakeConfig(ParseConfiguration(text, false, problem).settings, problem);
  if (problem->Found()) return nullptr;
  if (config == nullptr) {
    Log(kLogInfo,
        "configuration accepted: no tokens, requests pass unless their route brings some");
    return chain;
  }
  const auto report = [scheduler = chain->scheduler](Event event) {
    envoy_dynamic_module_callback_http_filter_config_scheduler_commit(scheduler,
                                                                      static_cast<uint64_t>(event));
  };
  if (!StartKeeping(config.get(), report, problem)) return nullptr;
  chain->config = std::move(config);
  chain->SetGauges(envoy);
  return chain;
}

std::unique_ptr<RoutePointer> MakeRoute(std::string_view text, Problem* problem) {
  Parsed parsed = ParseConfiguration(text, true, problem);
  auto route = std::make_shared<Route>();
  route->overlay = std::move(parsed.overlay);
  std::unique_ptr<Config> config = MakeConfig(std::move(parsed.settings), problem);
  if (problem->Found()) return nullptr;
  if (config != nullptr && !StartKeeping(config.get(), [](Event) {}, problem)) return nullptr;
  route->config = std::move(config);
  return std::make_unique<RoutePointer>(std::move(route));
}

template <typename Made>
module_pointer Release(std::unique_ptr<Made> made, const char* what, const Problem& problem) {
  if (made == nullptr) Log(kLogError, std::string(what) + " refused: " + problem.text());
  return made.release();
}

// Envoy hands the stream's own object back as const.
Stream* AsStream(module_pointer stream) { return static_cast<Stream*>(const_cast<void*>(stream)); }

}  // namespace
}  // namespace tokenpin_envoy

using tokenpin_envoy::AsStream;
using tokenpin_envoy::OwnedChain;
using tokenpin_envoy::Problem;
using tokenpin_envoy::RoutePointer;
using tokenpin_envoy::Stream;

extern "C" {

const char* envoy_dynamic_module_on_program_init() noexcept {
  return tokenpin::abi_matches() ? kEnvoyAbiVersion : nullptr;
}

module_pointer envoy_dynamic_module_on_http_filter_config_new(envoy_config envoy, envoy_buffer name,
                                                              envoy_buffer text) noexcept {
  Problem problem;
  auto chain =
      tokenpin_envoy::MakeChain(envoy, {name.ptr, name.length}, {text.ptr, text.length}, &problem);
  return tokenpin_envoy::Release(std::move(chain), "configuration", problem);
}

void envoy_dynamic_module_on_http_filter_config_destroy(module_pointer chain) noexcept {
  delete static_cast<const OwnedChain*>(chain);
}

void envoy_dynamic_module_on_http_filter_config_scheduled(envoy_config envoy, module_pointer chain,
                                                          uint64_t event) noexcept {
  static_cast<const OwnedChain*>(chain)->OnEvent(envoy, static_cast<tokenpin_envoy::Event>(event));
}

module_pointer envoy_dynamic_module_on_http_filter_per_route_config_new(
    envoy_buffer, envoy_buffer text) noexcept {
  Problem problem;
  auto route = tokenpin_envoy::MakeRoute({text.ptr, text.length}, &problem);
  return tokenpin_envoy::Release(std::move(route), "route configuration", problem);
}

void envoy_dynamic_module_on_http_filter_per_route_config_destroy(module_pointer route) noexcept {
  delete static_cast<const RoutePointer*>(route);
}

module_pointer envoy_dynamic_module_on_http_filter_new(module_pointer chain,
                                                       envoy_filter) noexcept {
  return new Stream(*static_cast<const OwnedChain*>(chain));
}

void envoy_dynamic_module_on_http_filter_destroy(module_pointer stream) noexcept {
  delete static_cast<const Stream*>(stream);
}

int envoy_dynamic_module_on_http_filter_request_headers(envoy_filter envoy, module_pointer stream,
                                                        bool end_of_stream) noexcept {
  return AsStream(stream)->OnRequestHeaders(envoy, end_of_stream);
}

int envoy_dynamic_module_on_http_filter_request_body(envoy_filter envoy, module_pointer stream,
                                                     bool end_of_stream) noexcept {
  return AsStream(stream)->OnRequestBody(envoy, end_of_stream);
}

int envoy_dynamic_module_on_http_filter_response_headers(envoy_filter envoy, module_pointer stream,
                                                         bool end_of_stream) noexcept {
  return AsStream(stream)->OnResponseHeaders(envoy, end_of_stream);
}

int envoy_dynamic_module_on_http_filter_response_body(envoy_filter envoy, module_pointer stream,
                                                      bool end_of_stream) noexcept {
  return AsStream(stream)->OnResponseBody(envoy, end_of_stream);
}

int envoy_dynamic_module_on_http_filter_response_trailers(envoy_filter envoy,
                                                          module_pointer stream) noexcept {
  return AsStream(stream)->OnResponseTrailers(envoy);
}

}  // extern "C"
