#include "refusal.h"

#include "header_map.h"

namespace tokenpin_envoy {
namespace {

// As it stands in a JSON string. The names of configured fields may be any text.
void AppendEscaped(std::string_view text, std::string* json) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      json->append({'\\', c});
    } else if (byte < 0x20) {
      json->append({'\\', 'u', '0', '0', kDigits[byte >> 4], kDigits[byte & 15]});
    } else {
      json->push_back(c);
    }
  }
}

// Only clients of Anthropic say which version of its API they mean.
bool IsForAnthropic(envoy_filter envoy) {
  HeaderList headers;
  headers.Read(envoy, kRequestHeader);
  return headers.Has("anthropic-version");
}

std::string_view AnthropicType(uint32_t status) {
  switch (status) {
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

Refusal OfRequest(uint32_t status, std::string_view code, std::string message) {
  Refusal refusal{status, code, std::move(message)};
  refusal.type = "invalid_request_error";
  return refusal;
}

std::string Body(const Refusal& refusal, bool for_anthropic) {
  std::string body;
  body.reserve(512);
  if (for_anthropic) {
    body.append(R"({"type":"error","error":{"type":")").append(AnthropicType(refusal.status));
    body.append(R"(","message":")");
    AppendEscaped(refusal.message, &body);
    return body.append("\"}}");
  }
  body.append(R"({"error":{"message":")");
  AppendEscaped(refusal.message, &body);
  body.append(R"(","type":")").append(refusal.type).append(R"(","param":)");
  if (refusal.param.empty()) {
    body.append("null");
  } else {
    body.push_back('"');
    AppendEscaped(refusal.param, &body);
    body.push_back('"');
  }
  return body.append(R"(,"code":")").append(refusal.code).append("\"}}");
}

}  // namespace

Refusal RefusalFor(tokenpin::Status status) {
  if (status == TOKENPIN_STATUS_SCOPE_LENGTH) {
    return {400, "bad_tenant", "The tenant cannot be determined."};
  }
  return {500, "affinity_error", "The gateway cannot choose an account."};
}

Refusal RefusalFor(const tokenpin::Decision& decision, const Config& config, std::string_view id) {
  // Names the keys of ids, never whether there is an account.
  const auto key = [&](int which) {
    const auto name = config.affinity().id_key(decision.id_keys()[which]);
    return std::string(*name);
  };
  const std::string quoted = id.empty() ? "" : " '" + std::string(id) + "'";
  const tokenpin::Refused refused = decision.refusal();
  Refusal refusal{refused.status, tokenpin::name(refused.refusal), ""};
  if (refusal.status < 500) refusal.type = "invalid_request_error";
  refusal.retry_after = decision.fields().retry_after;
  switch (refused.refusal) {
    case TOKENPIN_REFUSAL_BAD_AFFINITY_KEY:
      refusal.message = "The session's key cannot be used.";
      break;
    case TOKENPIN_REFUSAL_SESSION_UNAVAILABLE:
      refusal.message = "The session's account is unavailable.";
      break;
    case TOKENPIN_REFUSAL_PREVIOUS_RESPONSE_NOT_FOUND:
      refusal.param = key(0);
      refusal.message = "The previous response" + quoted + " was not found.";
      break;
    case TOKENPIN_REFUSAL_INVALID_ENCRYPTED_CONTENT:
      refusal.message = "The encrypted content could not be verified.";
      break;
    case TOKENPIN_REFUSAL_NOT_FOUND:
      refusal.param = key(0);
      refusal.message = "The object" + quoted + " named by '" + refusal.param + "' was not found.";
      break;
    case TOKENPIN_REFUSAL_CONFLICTING_ACCOUNTS:
      refusal.param = key(1);
      refusal.message = "The objects named by '" + key(0) + "' and '" + key(1) +
                        "' cannot be used together: they were created apart.";
      break;
    case TOKENPIN_REFUSAL_UNREADABLE_BODY:
      return Unreadable();
    default:
      refusal.message = "No account is available.";
  }
  return refusal;
}

Refusal TooLarge() {
  return OfRequest(413, "request_too_large", "The request's body is too large.");
}

Refusal TooMany() {
  Refusal refusal{503, "too_many_bodies", "The gateway holds too many requests."};
  refusal.retry_after = 1;
  return refusal;
}

Refusal Unreadable() {
  return OfRequest(400, "unreadable_body", "The request's body cannot be read.");
}

Refusal WrongType() {
  return OfRequest(415, "unsupported_content_type", "The request's body has to be JSON.");
}

Refusal WrongEncoding() {
  Refusal refusal =
      OfRequest(415, "unsupported_content_encoding", "The request's body must not be encoded.");
  refusal.headers[0] = {"accept-encoding", "identity"};
  return refusal;
}

Refusal WrongProtocol() {
  Refusal refusal =
      OfRequest(426, "websocket_not_supported", "This is not served over a WebSocket.");
  // Envoy takes the one off without the other.
  refusal.headers = {Refusal::Header{"upgrade", "HTTP/1.1"}, {"connection", "upgrade"}};
  return refusal;
}

void Refuse(envoy_filter envoy, const Refusal& refusal, std::string_view header,
            std::string_view value) {
  const std::string body = Body(refusal, IsForAnthropic(envoy));
  const std::string seconds = std::to_string(refusal.retry_after);
  envoy_header headers[5];
  size_t count = 0;
  const auto add = [&](std::string_view name, std::string_view text) {
    if (!name.empty()) headers[count++] = {name.data(), name.size(), text.data(), text.size()};
  };
  add("content-type", "application/json");
  if (refusal.retry_after != 0) add("retry-after", seconds);
  for (const auto& [name, text] : refusal.headers) add(name, text);
  add(header, value);
  envoy_dynamic_module_callback_http_send_response(envoy, refusal.status, headers, count,
                                                   Buffer(body), Buffer(refusal.code));
}

}  // namespace tokenpin_envoy
