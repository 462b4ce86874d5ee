#include "stream.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <vector>

#include "headers.h"
#include "request.h"
#include "retry_after.h"

namespace tokenpin_envoy {
namespace {

using tokenpin::Bytes;

// Of one worker, used by one request after another.
struct Scratch {
  RequestReader reader;
  std::vector<Bytes> values;
  std::string stripped;
};

Scratch& WorkerScratch() {
  thread_local Scratch scratch;
  return scratch;
}

}  // namespace

int Stream::OnRequestHeaders(envoy_filter envoy) {
  const auto* route = static_cast<const Route*>(
      envoy_dynamic_module_callback_get_most_specific_route_config(envoy));
  const Overlay* overlay = nullptr;
  config_ = chain_.config.get();
  if (route != nullptr && route->config != nullptr) {
    kept_ = route->config;
    config_ = kept_.get();
  } else if (route != nullptr) {
    overlay = &route->overlay;
  }
  if (config_ == nullptr) return kContinue;
  observe_ = config_->settings().request.observe.value_or(false);
  if (overlay != nullptr) observe_ = overlay->observe.value_or(observe_);

  RequestReader& reader = WorkerScratch().reader;
  tokenpin::Request request;
  if (!reader.Read(envoy, config_->settings(), overlay, &request)) {
    chain_.stats.Count(envoy, Counter::kErrors);
    return Refuse(envoy, 400, "bad_tenant", "The tenant cannot be told.");
  }
  // Without randomness the bytes are zero, which the library refuses where it matters.
  (void)tokenpin::fill_entropy(request.entropy);
  const auto decision = config_->affinity().decide(request);
  if (!decision) {
    Log(kLogError, "cannot decide: " + std::string(tokenpin::name(decision.status)));
    chain_.stats.Count(envoy, Counter::kErrors);
    return Refuse(envoy, 500, "affinity_error", "The gateway cannot choose an account.");
  }
  decision_ = *decision;
  chain_.stats.CountDecision(envoy, decision_);
  if (config_->settings().metadata) WriteMetadata(envoy);
  if (!decision_.has_slot()) return RefuseForWantOfToken(envoy);
  if (!observe_) Serve(envoy, &reader);
  return kContinue;
}

int Stream::RefuseForWantOfToken(envoy_filter envoy) const {
  if (decision_.outcome() != TOKENPIN_OUTCOME_REJECTED) {
    return Refuse(envoy, 503, "no_account_available", "No account is available.");
  }
  // A request that is rejected for its key has no pin, for its cookies were not looked at.
  if (decision_.pin_state() == TOKENPIN_PIN_STATE_NONE) {
    return Refuse(envoy, 503, "bad_affinity_key", "The session's key cannot be used.");
  }
  return Refuse(envoy, 503, "session_unavailable", "The session's account is unavailable.");
}

// Puts the token on the request, and takes our own things off it.
void Stream::Serve(envoy_filter envoy, RequestReader* reader) {
  const Settings& settings = config_->settings();
  serving_ = true;
  cookie_name_ = reader->scope().empty() ? config_->cookie_name()
                                         : *config_->affinity().cookie_name(reader->scope());
  StripCookies(envoy, &reader->cookies());
  if (reader->carried()) RemoveHeader(envoy, kRequestHeader, settings.carrier_header);
  for (const Credential& credential : settings.tokens[decision_.slot()].credentials) {
    if (credential.value) {
      SetHeader(envoy, kRequestHeader, credential.name, *credential.value);
    } else {
      RemoveHeader(envoy, kRequestHeader, credential.name);
    }
  }
  if (settings.clear_route_cache) envoy_dynamic_module_callback_http_clear_route_cache(envoy);
}

int Stream::Refuse(envoy_filter envoy, uint32_t status, std::string_view code,
                   std::string_view message) const {
  if (observe_) return kContinue;
  const std::string body = R"({"error":{"message":")" + std::string(message) +
                           R"(","type":"gateway_error","param":null,"code":")" + std::string(code) +
                           R"("}})";
  constexpr std::string_view kType = "content-type", kJson = "application/json";
  const std::string& header = config_->settings().response_header;
  const std::string described = header.empty() ? "" : Describe();
  envoy_header headers[] = {{kType.data(), kType.size(), kJson.data(), kJson.size()},
                            {header.data(), header.size(), described.data(), described.size()}};
  envoy_dynamic_module_callback_http_send_response(envoy, status, headers, header.empty() ? 1 : 2,
                                                   Buffer(body), Buffer(code));
  return kStopIteration;
}

// Fields are only touched if our cookie is in one of them.
void Stream::StripCookies(envoy_filter envoy, std::vector<Bytes>* fields) const {
  // What is left goes into a buffer of its own, for setting a header ends the views of all.
  std::string& buffer = WorkerScratch().stripped;
  size_t total = 0;
  for (const Bytes& field : *fields) total += field.len;
  if (buffer.size() < total) buffer.resize(total);
  char* next = buffer.data();
  bool changed = false;
  for (Bytes& field : *fields) {
    const auto left =
        tokenpin::strip_cookie(tokenpin::view(field), cookie_name_.view(), {next, field.len});
    // Cannot fail; and if it did, a cookie that may be ours must not pass.
    const size_t length = left ? *left : 0;
    changed |= length != field.len;
    field = {next, length};
    next += length;
  }
  if (!changed) return;
  RemoveHeader(envoy, kRequestHeader, "cookie");
  for (const Bytes& field : *fields) {
    if (field.len != 0) AddHeader(envoy, kRequestHeader, "cookie", tokenpin::view(field));
  }
}

void Stream::WriteMetadata(envoy_filter envoy) const {
  const auto entry = [](std::string_view key, std::string_view value) {
    return envoy_header{key.data(), key.size(), value.data(), value.size()};
  };
  const std::vector<Token>& tokens = config_->settings().tokens;
  const std::string_view token =
      decision_.has_slot() ? std::string_view(tokens[decision_.slot()].name) : "";
  const envoy_header entries[] = {
      entry("source", tokenpin::name(decision_.source())),
      entry("outcome", tokenpin::name(decision_.outcome())),
      entry("pin_state", tokenpin::name(decision_.pin_state())),
      entry("verdict", tokenpin::name(decision_.verdict())),
      entry("key_reason", tokenpin::name(decision_.key_reason())),
      entry("token", token),
  };
  envoy_dynamic_module_callback_http_set_dynamic_metadata_string_batch(
      envoy, Buffer("tokenpin"), entries, std::size(entries) - (decision_.has_slot() ? 0 : 1));
}

// A dictionary of RFC 8941.
std::string Stream::Describe() const {
  std::string text;
  const auto add = [&](std::string_view key, std::string_view value) {
    if (!text.empty()) text += ", ";
    text.append(key).append("=").append(value);
  };
  add("source", tokenpin::name(decision_.source()));
  add("outcome", tokenpin::name(decision_.outcome()));
  add("pin_state", tokenpin::name(decision_.pin_state()));
  add("verdict", tokenpin::name(decision_.verdict()));
  add("key_reason", tokenpin::name(decision_.key_reason()));
  if (decision_.has_slot()) add("slot", std::to_string(decision_.slot()));
  return text;
}

int Stream::OnResponseHeaders(envoy_filter envoy) {
  if (!serving_) return kContinue;
  const Settings& settings = config_->settings();
  if (!settings.response_header.empty()) {
    SetHeader(envoy, kResponseHeader, settings.response_header, Describe());
  }
  // Envoy's own replies come by here as well, and say nothing about a token: also timeouts and
  // resets, which have an upstream's address.
  envoy_buffer details{};
  if (!envoy_dynamic_module_callback_http_filter_get_attribute_string(
          envoy, kAttributeResponseCodeDetails, &details) ||
      View(details) != "via_upstream") {
    return kContinue;
  }
  const std::string_view text = FirstHeader(envoy, kResponseHeader, ":status");
  uint16_t status = 0;
  std::from_chars(text.data(), text.data() + text.size(), status);
  if (status >= 400) CoolDown(envoy, status);
  DropUpstreamAnswers(envoy);
  Answer(envoy, status);
  return kContinue;
}

// An upstream has no say in our cookie, nor in the header that carries it.
void Stream::DropUpstreamAnswers(envoy_filter envoy) const {
  std::vector<Bytes>& fields = WorkerScratch().values;
  fields.clear();
  ReadHeader(envoy, kResponseHeader, "set-cookie", &fields);
  const auto ours = [&](const Bytes& field) {
    return tokenpin::sets_cookie(tokenpin::view(field), cookie_name_.view());
  };
  if (std::any_of(fields.begin(), fields.end(), ours)) {
    std::vector<std::string> kept;
    for (const Bytes& field : fields) {
      if (!ours(field)) kept.emplace_back(tokenpin::view(field));
    }
    RemoveHeader(envoy, kResponseHeader, "set-cookie");
    for (const std::string& field : kept) AddHeader(envoy, kResponseHeader, "set-cookie", field);
  }
  const std::string& carrier = config_->settings().carrier_header;
  if (!carrier.empty()) RemoveHeader(envoy, kResponseHeader, carrier);
}

void Stream::CoolDown(envoy_filter envoy, uint16_t status) const {
  for (const Cooldown& cooldown : config_->settings().cooldowns) {
    const auto& statuses = cooldown.statuses;
    if (std::find(statuses.begin(), statuses.end(), status) == statuses.end()) continue;
    const uint64_t now = tokenpin::unix_now();
    uint64_t seconds = cooldown.seconds;
    if (cooldown.retry_after) {
      const auto wanted = ReadRetryAfter(FirstHeader(envoy, kResponseHeader, "retry-after"), now);
      if (wanted) seconds = std::clamp<uint64_t>(*wanted, 1, cooldown.max_seconds);
    }
    if (config_->fleet().Cool(decision_.slot(), static_cast<tokenpin::State>(cooldown.state),
                              now + seconds, now)) {
      chain_.stats.Count(envoy, Counter::kCooldowns);
    }
    return;
  }
}

void Stream::Answer(envoy_filter envoy, uint16_t status) const {
  const auto answer = config_->affinity().finish(decision_, status);
  if (!answer) {
    Log(kLogError, "cannot finish: " + std::string(tokenpin::name(answer.status)));
    chain_.stats.Count(envoy, Counter::kErrors);
    return;
  }
  const Settings& settings = config_->settings();
  switch (answer->kind) {
    case TOKENPIN_ANSWER_NOTHING:
      return;
    case TOKENPIN_ANSWER_SET_COOKIE:
      AddHeader(envoy, kResponseHeader, "set-cookie", answer->text.view());
      if (settings.cache_control) {
        AddHeader(envoy, kResponseHeader, "cache-control", R"(no-cache="Set-Cookie")");
      }
      break;
    case TOKENPIN_ANSWER_CARRIER:
      SetHeader(envoy, kResponseHeader, settings.carrier_header, answer->text.view());
      break;
  }
  chain_.stats.Count(envoy, Counter::kCookiesSet);
}

}  // namespace tokenpin_envoy
