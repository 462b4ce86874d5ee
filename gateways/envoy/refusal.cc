#include "refusal.h"

#include <string>

#include "header_map.h"

namespace tokenpin_envoy {

Refusal RefusalFor(tokenpin::Status status) {
  if (status == TOKENPIN_STATUS_SCOPE_LENGTH) {
    return {400, "bad_tenant", "The tenant cannot be told."};
  }
  return {500, "affinity_error", "The gateway cannot choose an account."};
}

Refusal RefusalFor(const tokenpin::Decision& decision) {
  const uint32_t retry_after = decision.fields().retry_after;
  if (decision.outcome() != TOKENPIN_OUTCOME_REJECTED) {
    return {503, "no_account_available", "No account is available.", retry_after};
  }
  // A request that is rejected for its key has no pin, for its cookies were not looked at.
  if (decision.pin_state() == TOKENPIN_PIN_STATE_NONE) {
    return {503, "bad_affinity_key", "The session's key cannot be used."};
  }
  return {503, "session_unavailable", "The session's account is unavailable.", retry_after};
}

int Refuse(envoy_filter envoy, const Refusal& refusal, std::string_view header,
           std::string_view value) {
  // In the form that OpenAI's clients expect.
  const std::string body = R"({"error":{"message":")" + std::string(refusal.message) +
                           R"(","type":"gateway_error","param":null,"code":")" +
                           std::string(refusal.code) + R"("}})";
  const std::string seconds = std::to_string(refusal.retry_after);
  envoy_header headers[3];
  size_t count = 0;
  const auto add = [&](std::string_view name, std::string_view text) {
    headers[count++] = {name.data(), name.size(), text.data(), text.size()};
  };
  add("content-type", "application/json");
  if (refusal.retry_after != 0) add("retry-after", seconds);
  if (!header.empty()) add(header, value);
  envoy_dynamic_module_callback_http_send_response(envoy, refusal.status, headers, count,
                                                   Buffer(body), Buffer(refusal.code));
  return kStopIteration;
}

}  // namespace tokenpin_envoy
