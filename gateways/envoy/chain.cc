#include "chain.h"

#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "id_hint.h"
#include "log.h"

namespace tokenpin_envoy {
namespace {

// The chains of each filter name, oldest first. When Envoy replaces a configuration, the old one
// continues until its last connection has ended; the gauges are the newest one's.
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

// An event is the number of a counter, or this.
constexpr uint64_t kLookedAfter = std::size(kCounterNames);

// Null with what is wrong in `problem`, or if there are no tokens in it.
std::unique_ptr<Config> MakeConfig(std::unique_ptr<Settings> settings, Problem* problem) {
  if (problem->Found() || settings == nullptr) return nullptr;
  if (settings->id_hint.kind == ValueSource::Kind::kConnection && !PrepareConnectionHints()) {
    problem->Set("id_hint", "the system has no randomness");
    return nullptr;
  }
  return Config::Make(std::move(settings), problem);
}

bool StartKeeping(Config* config, Report report, Problem* problem) {
  if (envoy_dynamic_module_callback_is_validation_mode()) return true;
  if (!config->StartKeeping(std::move(report))) problem->Set("", "there can be no further thread");
  return !problem->Found();
}

}  // namespace

Chain::Chain(envoy_config envoy, std::string_view filter_name)
    : name(filter_name),
      generation(Generations::Get().Add(name)),
      scheduler(envoy_dynamic_module_callback_http_filter_config_scheduler_new(envoy)) {}

Chain::~Chain() {
  // The keeper may still use the scheduler.
  config.reset();
  envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler);
  Generations::Get().Remove(name, generation);
}

void Chain::OnEvent(envoy_config envoy, uint64_t event) const {
  if (event == kLookedAfter) return SetGauges(envoy);
  if (!Generations::Get().IsNewest(name, generation)) return;
  stats.CountMain(envoy, static_cast<Counter>(event));
}

void Chain::SetGauges(envoy_config envoy) const {
  if (config == nullptr || !Generations::Get().IsNewest(name, generation)) return;
  stats.SetFingerprints(envoy, config->fingerprint(), config->LiveFingerprint());
}

std::unique_ptr<Chain> MakeChain(envoy_config envoy, std::string_view filter_name,
                                 std::string_view text, Problem* problem) {
  auto chain = std::make_unique<Chain>(envoy, filter_name);
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
  const auto report = [scheduler = chain->scheduler](std::optional<Counter> counter) {
    envoy_dynamic_module_callback_http_filter_config_scheduler_commit(
        scheduler, counter ? static_cast<uint64_t>(*counter) : kLookedAfter);
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
  const Report unheard = [](std::optional<Counter>) {};
  if (config != nullptr && !StartKeeping(config.get(), unheard, problem)) return nullptr;
  route->config = std::move(config);
  return std::make_unique<RoutePointer>(std::move(route));
}

}  // namespace tokenpin_envoy
