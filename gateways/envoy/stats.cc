#include "stats.h"

#include <string>

namespace tokenpin_envoy {
namespace {

bool DefineCounter(envoy_config envoy, std::string_view name, size_t* id) {
  return envoy_dynamic_module_callback_http_filter_config_define_counter(
             envoy, {name.data(), name.size()}, nullptr, 0, id) == 0;
}

bool DefineGauge(envoy_config envoy, std::string_view name, size_t* id) {
  return envoy_dynamic_module_callback_http_filter_config_define_gauge(
             envoy, {name.data(), name.size()}, nullptr, 0, id) == 0;
}

// One counter for each name that the library knows of the enum.
bool DefineEnum(envoy_config envoy, const std::string& prefix, tokenpin_enum which,
                std::vector<size_t>* ids) {
  for (int32_t value = 0;; ++value) {
    tokenpin_bytes name{};
    if (tokenpin_enum_name(which, value, &name) != TOKENPIN_STATUS_OK) return value != 0;
    if (!DefineCounter(envoy, prefix + std::string(tokenpin::view(name)), &ids->emplace_back())) {
      return false;
    }
  }
}

void Increment(envoy_filter envoy, size_t id, uint64_t by = 1) {
  envoy_dynamic_module_callback_http_filter_increment_counter(envoy, id, nullptr, 0, by);
}

}  // namespace

bool Stats::Define(envoy_config envoy) {
  for (size_t i = 0; i < counters_.size(); ++i) {
    if (!DefineCounter(envoy, kCounterNames[i], &counters_[i])) return false;
  }
#define X(field, NAME) \
  if (!DefineEnum(envoy, #field "_", TOKENPIN_ENUM_##NAME, &field##_)) return false;
  TOKENPIN_DECISION_ENUMS(X)
#undef X
  return DefineGauge(envoy, "config_fingerprint", &config_fingerprint_) &&
         DefineGauge(envoy, "live_fingerprint", &live_fingerprint_);
}

void Stats::Count(envoy_filter envoy, Counter counter, uint64_t by) const {
  if (by != 0) Increment(envoy, counters_[static_cast<size_t>(counter)], by);
}

void Stats::CountDecision(envoy_filter envoy, const tokenpin::Decision& decision) const {
#define X(field, NAME) Increment(envoy, field##_[decision.field()]);
  TOKENPIN_DECISION_ENUMS(X)
#undef X
  if (decision.fields().ambiguous != 0) Count(envoy, Counter::ambiguous);
}

void Stats::CountIds(envoy_filter envoy, const tokenpin::IdReport& report,
                     uint32_t unexpected) const {
  Count(envoy, Counter::ids_opened, report.opened);
  Count(envoy, Counter::ids_plain, report.plain);
  Count(envoy, Counter::echoes_lost, report.echoes_lost);
  Count(envoy, Counter::bodies_not_understood, unexpected);
}

void Stats::CountMain(envoy_config envoy, Counter counter) const {
  envoy_dynamic_module_callback_http_filter_config_increment_counter(
      envoy, counters_[static_cast<size_t>(counter)], nullptr, 0, 1);
}

void Stats::SetFingerprints(envoy_config envoy, uint64_t config, uint64_t live) const {
  envoy_dynamic_module_callback_http_filter_config_set_gauge(envoy, config_fingerprint_, nullptr, 0,
                                                             config);
  envoy_dynamic_module_callback_http_filter_config_set_gauge(envoy, live_fingerprint_, nullptr, 0,
                                                             live);
}

}  // namespace tokenpin_envoy
