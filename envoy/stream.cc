#include "stream.h"

#include <algorithm>
#include <charconv>
#include <utility>
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
  HeaderList response;
  std::vector<Bytes> values;
  std::string stripped;
};

Scratch& WorkerScratch() {
  thread_local Scratch scratch;
  return scratch;
}

// What a stream leaves to the one that Envoy makes in its place, while it makes it.
struct Inheritance {
  const Chain* chain;
  Tries tries;
};
thread_local Inheritance* inheritance = nullptr;

// Longer bodies of a response that leads to a retry are cut off. Errors are short.
constexpr size_t kMaxHeldBody = 64 << 10;

template <typename Number>
bool ReadNumber(std::string_view text, Number* number) {
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc() && rest == end;
}

bool Contains(const std::vector<uint16_t>& statuses, uint16_t status) {
  return std::find(statuses.begin(), statuses.end(), status) != statuses.end();
}

// Replaces the request's headers.
void SetAllHeaders(envoy_filter envoy, const HeaderValues& wanted) {
  const HeaderValues now = ReadAllHeaders(envoy, kRequestHeader);
  for (const auto& [name, values] : now) {
    if (wanted.count(name) == 0) RemoveHeader(envoy, kRequestHeader, name);
  }
  for (const auto& [name, values] : wanted) {
    const auto found = now.find(name);
    // Those that are as they should be are left alone: Envoy lets no module set an empty one.
    if (found != now.end() && found->second == values) continue;
    if (name[0] == ':') {
      // A request cannot be without its pseudo-headers, not for a moment.
      SetHeader(envoy, kRequestHeader, name, values[0]);
      continue;
    }
    RemoveHeader(envoy, kRequestHeader, name);
    for (const std::string& value : values) AddHeader(envoy, kRequestHeader, name, value);
  }
}

}  // namespace

Stream::Stream(const Chain& chain) : chain_(chain) {
  if (inheritance != nullptr && inheritance->chain == &chain)
    tries_ = std::move(inheritance->tries);
}

int Stream::OnRequestHeaders(envoy_filter envoy, bool end_of_stream) {
  request_ended_ = end_of_stream;
  const auto* route = static_cast<const RoutePointer*>(
      envoy_dynamic_module_callback_get_most_specific_route_config(envoy));
  if (route != nullptr) route_ = *route;
  config_ = Deciding().get();
  if (tries_.count != 0) chain_.stats.Count(envoy, Counter::kRetries);
  if (config_ == nullptr) return kContinue;
  // Another route may have other tokens; the number of tries counts for all.
  if (tries_.config.get() != config_) tries_ = {tries_.count, nullptr, {}, false};

  const auto decision = Decide(envoy);
  if (!decision) {
    if (decision.status == TOKENPIN_STATUS_SCOPE_LENGTH) {
      chain_.stats.Count(envoy, Counter::kBadTenants);
      return Refuse(envoy, 400, "bad_tenant", "The tenant cannot be told.");
    }
    chain_.stats.Count(envoy, Counter::kErrors);
    Log(kLogError, "cannot decide: " + std::string(tokenpin::name(decision.status)));
    return Refuse(envoy, 500, "affinity_error", "The gateway cannot choose an account.");
  }
  decision_ = *decision;
  decided_ = true;
  chain_.stats.CountDecision(envoy, decision_);
  if (config_->settings().metadata) WriteMetadata(envoy);
  if (!decision_.has_slot()) return RefuseForWantOfToken(envoy);
  if (!Observes()) Serve(envoy);
  return kContinue;
}

const std::shared_ptr<const Config>& Stream::Deciding() const {
  return route_ != nullptr && route_->config != nullptr ? route_->config : chain_.config;
}

// What the route replaces; null if it has nothing or a configuration of its own.
const Overlay* Stream::RouteOverlay() const {
  return route_ != nullptr && route_->config == nullptr ? &route_->overlay : nullptr;
}

bool Stream::Observes() const {
  const Overlay* overlay = RouteOverlay();
  const bool configured = config_->settings().request.observe.value_or(false);
  return overlay != nullptr ? overlay->observe.value_or(configured) : configured;
}

// What was read for it stays in the worker's scratch.
tokenpin::Result<tokenpin::Decision> Stream::Decide(envoy_filter envoy) {
  const Settings& settings = config_->settings();
  tokenpin::Request request;
  if (!WorkerScratch().reader.Read(envoy, settings, RouteOverlay(), &request)) {
    return {TOKENPIN_STATUS_SCOPE_LENGTH, {}};
  }
  tries_.carrier = tries_.carrier || request.carrier != 0;
  request.carrier = tries_.carrier;
  request.set_tried(tries_.slots);
  if (settings.max_retries != 0) {
    existing_ = request.existing != 0;
    if (request.has_group == 0) {
      existing_ |= config_->affinity()
                       .classify(tokenpin::view(request.method), tokenpin::view(request.target))
                       ->existing;
    }
  }
  // Without randomness the bytes are zero, which the library refuses where it matters.
  (void)tokenpin::fill_entropy(request.entropy);
  return config_->affinity().decide(request);
}

int Stream::OnRequestBody(envoy_filter envoy, bool end_of_stream) {
  request_ended_ = end_of_stream;
  if (serving_ && config_->settings().max_retries != 0) {
    body_size_ += envoy_dynamic_module_callback_http_get_body_size(envoy, kReceivedRequestBody);
  }
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
void Stream::Serve(envoy_filter envoy) {
  const Settings& settings = config_->settings();
  RequestReader& reader = WorkerScratch().reader;
  serving_ = true;
  cookie_name_ = reader.scope().empty() ? config_->cookie_name()
                                        : *config_->affinity().cookie_name(reader.scope());
  if (tries_.count < settings.max_retries && MayMove(decision_)) {
    saved_ = ReadAllHeaders(envoy, kRequestHeader);
  }
  StripCookies(envoy, &reader.cookies());
  if (reader.carried()) RemoveHeader(envoy, kRequestHeader, settings.carrier_header);
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
  if (Observes()) return kContinue;
  const std::string body = R"({"error":{"message":")" + std::string(message) +
                           R"(","type":"gateway_error","param":null,"code":")" + std::string(code) +
                           R"("}})";
  constexpr std::string_view kType = "content-type", kJson = "application/json";
  const std::string& header = config_->settings().response_header;
  const bool describe = decided_ && !header.empty();
  const std::string described = describe ? Describe() : "";
  envoy_header headers[] = {{kType.data(), kType.size(), kJson.data(), kJson.size()},
                            {header.data(), header.size(), described.data(), described.size()}};
  envoy_dynamic_module_callback_http_send_response(envoy, status, headers, describe ? 2 : 1,
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

// One by one: Envoy builds a batch first and then copies it, which takes longer.
void Stream::WriteMetadata(envoy_filter envoy) const {
  const auto set = [envoy](std::string_view key, std::string_view value) {
    envoy_dynamic_module_callback_http_set_dynamic_metadata_string(envoy, Buffer("tokenpin"),
                                                                   Buffer(key), Buffer(value));
  };
  set("source", tokenpin::name(decision_.source()));
  set("outcome", tokenpin::name(decision_.outcome()));
  set("pin_state", tokenpin::name(decision_.pin_state()));
  set("verdict", tokenpin::name(decision_.verdict()));
  set("key_reason", tokenpin::name(decision_.key_reason()));
  if (decision_.has_slot()) set("token", config_->settings().tokens[decision_.slot()].name);
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

int Stream::OnResponseHeaders(envoy_filter envoy, bool end_of_stream) {
  if (!serving_) return kContinue;
  const Settings& settings = config_->settings();
  if (!settings.response_header.empty()) {
    SetHeader(envoy, kResponseHeader, settings.response_header, Describe());
  }
  HeaderList& response = WorkerScratch().response;
  response.Read(envoy, kResponseHeader);
  uint16_t status = 0;
  ReadNumber(response.First(":status"), &status);
  // Most responses leave nothing to do: it does not matter where they came from.
  has_answer_ = HasAnswer(response);
  if (status < kLeastError && decision_.fields().cookie == 0 && !has_answer_) {
    saved_.clear();
    return kContinue;
  }
  // Envoy's own replies come by here as well, and say nothing about a token: also timeouts and
  // resets, which have an upstream's address.
  envoy_buffer details{};
  if (!envoy_dynamic_module_callback_http_filter_get_attribute_string(
          envoy, kAttributeResponseCodeDetails, &details) ||
      View(details) != "via_upstream") {
    return kContinue;
  }
  if (status >= kLeastError) CoolDown(envoy, status);
  if (!Contains(settings.retry_statuses, status) || !MayRetry(envoy)) {
    Finish(envoy, status);
    return kContinue;
  }
  // Ending a response that is still coming in costs the upstream's connection, or a reset stream in
  // it, of which servers take only so many. So a short body is waited for.
  held_status_ = status;
  if (!end_of_stream) return kStopIteration;
  return EndHold(envoy) ? kStopIteration : kContinue;
}

int Stream::OnResponseBody(envoy_filter envoy, bool end_of_stream) {
  if (held_status_ == 0) return kContinue;
  if (!end_of_stream) {
    const size_t held =
        envoy_dynamic_module_callback_http_get_body_size(envoy, kBufferedResponseBody) +
        envoy_dynamic_module_callback_http_get_body_size(envoy, kReceivedResponseBody);
    // Near its limit Envoy would stop to read. Without one it is 0.
    const size_t limit = envoy_dynamic_module_callback_http_get_buffer_limit(envoy);
    const size_t most = limit == 0 ? kMaxHeldBody : std::min(kMaxHeldBody, limit / 2);
    if (held <= most) return kStopBodyAndWatermark;
  }
  return EndHold(envoy) ? kStopBodyNoBuffer : kContinue;
}

int Stream::OnResponseTrailers(envoy_filter envoy) {
  if (held_status_ == 0) return kContinue;
  return EndHold(envoy) ? kStopIteration : kContinue;
}

// True if Envoy began the request again; else the answer goes to the client as it is.
bool Stream::EndHold(envoy_filter envoy) {
  const uint16_t status = std::exchange(held_status_, 0);
  if (Retry(envoy)) return true;  // and nothing of this object may be used
  Finish(envoy, status);
  return false;
}

void Stream::Finish(envoy_filter envoy, uint16_t status) {
  saved_.clear();
  if (has_answer_) DropUpstreamAnswers(envoy);
  Answer(envoy, status);
}

bool Stream::IsOurs(const Bytes& set_cookie) const {
  return tokenpin::set_cookie_matches(tokenpin::view(set_cookie), cookie_name_.view());
}

// Whether a response has our cookie, or the header that carries it.
bool Stream::HasAnswer(const HeaderList& response) const {
  std::vector<Bytes>& fields = WorkerScratch().values;
  fields.clear();
  response.All("set-cookie", &fields);
  if (std::any_of(fields.begin(), fields.end(), [this](const Bytes& f) { return IsOurs(f); })) {
    return true;
  }
  fields.clear();
  const std::string& carrier = config_->settings().carrier_header;
  if (!carrier.empty()) response.All(carrier, &fields);
  return !fields.empty();
}

// An upstream has no say in our cookie, nor in the header that carries it.
void Stream::DropUpstreamAnswers(envoy_filter envoy) const {
  HeaderList& response = WorkerScratch().response;
  response.Read(envoy, kResponseHeader);
  std::vector<Bytes>& fields = WorkerScratch().values;
  fields.clear();
  response.All("set-cookie", &fields);
  std::vector<std::string> kept;
  for (const Bytes& field : fields) {
    if (!IsOurs(field)) kept.emplace_back(tokenpin::view(field));
  }
  if (kept.size() != fields.size()) {
    RemoveHeader(envoy, kResponseHeader, "set-cookie");
    for (const std::string& field : kept) AddHeader(envoy, kResponseHeader, "set-cookie", field);
  }
  const std::string& carrier = config_->settings().carrier_header;
  if (!carrier.empty()) RemoveHeader(envoy, kResponseHeader, carrier);
}

void Stream::CoolDown(envoy_filter envoy, uint16_t status) const {
  for (const Cooldown& cooldown : config_->settings().cooldowns) {
    if (!Contains(cooldown.statuses, status)) continue;
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
  if (decision_.fields().cookie == 0) return;  // Spares clearing the buffer for it.
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

// Whether a request may go to another token instead: no pin and no key ties it to the state that it
// names, and nobody will look for what it creates at the old token, for the answer's cookie names
// the one that gave it.
bool Stream::MayMove(const tokenpin::Decision& decision) const {
  if (decision.outcome() != TOKENPIN_OUTCOME_PLACED &&
      decision.outcome() != TOKENPIN_OUTCOME_RETRIED) {
    return false;
  }
  switch (decision.source()) {
    case TOKENPIN_SOURCE_STATELESS:
    case TOKENPIN_SOURCE_NONE:
    case TOKENPIN_SOURCE_MINTED:
      return true;
    default:
      return decision.fields().cookie != 0 && !existing_;
  }
}

// Envoy sends again what it has kept of the body. It keeps it where the route has a retry or an
// internal redirect policy, up to a limit; elsewhere nothing, and the request would be cut short.
bool Stream::MayRetry(envoy_filter envoy) const {
  return tries_.count < config_->settings().max_retries && MayMove(decision_) && request_ended_ &&
         envoy_dynamic_module_callback_http_get_body_size(envoy, kBufferedRequestBody) ==
             body_size_;
}

// Lets Envoy begin the request again, with another stream object that knows what was tried.
bool Stream::Retry(envoy_filter envoy) {
  // As the client sent them: the router has changed more headers than this filter, and the filters
  // in front will see them again.
  const HeaderValues changed = ReadAllHeaders(envoy, kRequestHeader);
  SetAllHeaders(envoy, saved_);
  tries_.slots.push_back(decision_.slot());
  // Without another token, the answer that is there is better than none.
  const auto next = Decide(envoy);
  if (next && next->has_slot() && MayMove(*next)) {
    Inheritance left{&chain_, {tries_.count + 1, Deciding(), tries_.slots, tries_.carrier}};
    // Envoy makes the new stream before the call returns.
    inheritance = &left;
    const bool begun = envoy_dynamic_module_callback_http_filter_recreate_stream(envoy, nullptr, 0);
    inheritance = nullptr;
    if (begun) return true;
  }
  SetAllHeaders(envoy, changed);
  return false;
}

}  // namespace tokenpin_envoy
