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
  if (decision.outcome() != TOKENPIN_OUTCOME_REJECTED) {
    return {503, "no_account_available", "No account is available."};
  }
  // A request that is rejected for its key has no pin, for its cookies were not looked at.
  if (decision.pin_state() == TOKENPIN_PIN_STATE_NONE) {
    return {503, "bad_affinity_key", "The session's key cannot be used."};
  }
  return {503, "session_unavailable", "The session's account is unavailable."};
}

int Refuse(envoy_filter envoy, const Refusal& refusal, std::string_view header,
           std::string_view value) {
  // In the form that OpenAI's clients expect.
  const std::string body = R"({"error":{"message":")" + std::string(refusal.message) +
                           R"(","type":"gateway_error","param":null,"code":")" +
                           std::string(refusal.code) + R"("}})";
  constexpr std::string_view kType = "content-type", kJson = "application/json";
  envoy_header headers[] = {{kType.data(), kType.size(), kJson.data(), kJson.size()},
                            {header.data(), header.size(), value.data(), value.size()}};
  envoy_dynamic_module_callback_http_send_response(
      envoy, refusal.status, headers, header.empty() ? 1 : 2, Buffer(body), Buffer(refusal.code));
  return kStopIteration;
}

}  // namespace tokenpin_envoy
