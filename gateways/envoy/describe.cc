#include "describe.h"

#include <string_view>

#include "config.h"
#include "header_map.h"

namespace tokenpin_envoy {

// One by one: Envoy builds a batch first and then copies it, which takes longer.
void WriteMetadata(envoy_filter envoy, const tokenpin::Decision& decision, const Config& config) {
  const auto set = [envoy](std::string_view key, std::string_view value) {
    envoy_dynamic_module_callback_http_set_dynamic_metadata_string(envoy, Buffer("tokenpin"),
                                                                   Buffer(key), Buffer(value));
  };
#define X(field, NAME) set(#field, tokenpin::name(decision.field()));
  TOKENPIN_DECISION_ENUMS(X)
#undef X
  if (decision.has_slot()) set("token", config.settings().tokens[decision.slot()].name);
  std::string keys;
  for (const uint8_t number : decision.id_keys()) {
    const auto name = config.affinity().id_key(number);
    if (name) keys.append(keys.empty() ? "" : ",").append(*name);
  }
  if (!keys.empty()) set("id_keys", keys);
}

std::string Describe(const tokenpin::Decision& decision) {
  std::string text;
  const auto add = [&](std::string_view key, std::string_view value) {
    if (!text.empty()) text += ", ";
    text.append(key).append("=").append(value);
  };
#define X(field, NAME) add(#field, tokenpin::name(decision.field()));
  TOKENPIN_DECISION_ENUMS(X)
#undef X
  if (decision.has_slot()) add("slot", std::to_string(decision.slot()));
  return text;
}

}  // namespace tokenpin_envoy
