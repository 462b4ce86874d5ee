#include "stream.h"

#include <charconv>
#include <cstring>
#include <ctime>
#include <vector>

namespace tokenpin_envoy {
namespace {

using tokenpin::Bytes;

envoy_buffer Buffer(std::string_view text) { return {text.data(), text.size()}; }

std::string_view View(envoy_buffer buffer) { return {buffer.ptr, buffer.length}; }

// Memory of one worker that is used anew by each request, so that none has to allocate.
struct Scratch {
  std::vector<Bytes> cookies, consumers, sessions, values;
  std::string scope;
  std::string stripped;
};

Scratch& WorkerScratch() {
  thread_local Scratch scratch;
  return scratch;
}

// Appends the values of a header. They are views, valid until a header is changed.
void ReadHeader(envoy_filter envoy, int type, std::string_view name, std::vector<Bytes>* values) {
  size_t count = 1;
  for (size_t i = 0; i < count; ++i) {
    envoy_buffer value{};
    if (!envoy_dynamic_module_callback_http_get_header(envoy, type, Buffer(name), &value, i,
                                                       &count)) {
      break;
    }
    values->push_back({value.ptr, value.length});
  }
}

std::string_view FirstHeader(envoy_filter envoy, int type, std::string_view name) {
  envoy_buffer value{};
  size_t count = 0;
  envoy_dynamic_module_callback_http_get_header(envoy, type, Buffer(name), &value, 0, &count);
  return View(value);
}

void AddHeader(envoy_filter envoy, int type, std::string_view name, std::string_view value) {
  envoy_dynamic_module_callback_http_add_header(envoy, type, Buffer(name), Buffer(value));
}

void SetHeader(envoy_filter envoy, int type, std::string_view name, std::string_view value) {
  envoy_dynamic_module_callback_http_set_header(envoy, type, Buffer(name), Buffer(value));
}

void RemoveHeader(envoy_filter envoy, int type, std::string_view name) {
  envoy_dynamic_module_callback_http_set_header(envoy, type, Buffer(name), {nullptr, 0});
}

// The values of a source, without the empty ones. Not for connections.
void ReadSource(envoy_filter envoy, const ValueSource& source, std::vector<Bytes>* values) {
  values->clear();
  envoy_buffer value{};
  switch (source.kind) {
    case ValueSource::Kind::kHeader:
      ReadHeader(envoy, kRequestHeader, source.name, values);
      break;
    case ValueSource::Kind::kMetadata:
      if (envoy_dynamic_module_callback_http_get_metadata_string(
              envoy, kMetadataDynamic, Buffer(source.name), Buffer(source.key), &value)) {
        values->push_back({value.ptr, value.length});
      }
      break;
    case ValueSource::Kind::kFilterState:
      if (envoy_dynamic_module_callback_http_get_filter_state_bytes(envoy, Buffer(source.name),
                                                                    &value)) {
        values->push_back({value.ptr, value.length});
      }
      break;
    case ValueSource::Kind::kConnection:
    case ValueSource::Kind::kNone:
      break;
  }
  const auto empty = [](const Bytes& bytes) { return bytes.len == 0; };
  values->erase(std::remove_if(values->begin(), values->end(), empty), values->end());
}

// The scope of a request: the configured or the route's, and the tenant if there is one. Empty: the
// configured one. False if the tenant cannot be told.
bool ReadScope(envoy_filter envoy, const Settings& settings, const Overlay* overlay,
               Scratch* scratch) {
  const std::optional<std::string>& own =
      overlay != nullptr && overlay->scope ? overlay->scope : settings.request.scope;
  scratch->scope.clear();
  if (overlay != nullptr && overlay->scope) scratch->scope = *overlay->scope;
  if (!settings.tenant) return true;
  ReadSource(envoy, settings.tenant, &scratch->values);
  if (scratch->values.empty()) return true;
  if (scratch->values.size() > 1) return false;
  scratch->scope = own.value_or("");
  // No header has a zero byte, so scope and tenant cannot run into each other.
  scratch->scope += '\0';
  scratch->scope += tokenpin::view(scratch->values[0]);
  return scratch->scope.size() <= TOKENPIN_MAX_SCOPE;
}

bool ReadsTrue(envoy_filter envoy, const ValueSource& source, std::vector<Bytes>* values) {
  ReadSource(envoy, source, values);
  const auto is_true = [](const Bytes& value) {
    const std::string_view text = tokenpin::view(value);
    return text == "true" || text == "1";
  };
  return std::any_of(values->begin(), values->end(), is_true);
}

// A key of this process, so that nobody can compute an id from what it is made of.
struct HintKey {
  tokenpin::Block key{};
  bool drawn = static_cast<bool>(tokenpin::random_bytes(key, sizeof key));
};

const HintKey& ProcessHintKey() {
  static const HintKey key;
  return key;
}

// The id that stands for the hint; false without one.
bool ReadIdHint(envoy_filter envoy, const ValueSource& source, std::vector<Bytes>* values,
                tokenpin::Block* id) {
  uint64_t connection = 0;
  if (source.kind == ValueSource::Kind::kConnection) {
    if (!envoy_dynamic_module_callback_http_filter_get_attribute_int(envoy, kAttributeConnectionId,
                                                                     &connection)) {
      return false;
    }
    values->assign(1, {&connection, sizeof connection});
  } else {
    ReadSource(envoy, source, values);
  }
  if (values->size() != 1) return false;
  const tokenpin::Key key = tokenpin::session_key(tokenpin::view((*values)[0]));
  // Two halves, told apart by the scope that is hashed with the key.
  const auto low = tokenpin::key_hash(ProcessHintKey().key, "low", key);
  const auto high = tokenpin::key_hash(ProcessHintKey().key, "high", key);
  if (!low || !high) return false;  // longer than a key may be
  std::memcpy(*id, &*low, 8);
  std::memcpy(*id + 8, &*high, 8);
  return true;
}

// RFC 9110 section 10.2.3: seconds, or a date. 0 if it is neither, or over.
uint64_t ReadRetryAfter(std::string_view text, uint64_t now) {
  uint64_t seconds = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, seconds);
  if (error == std::errc() && rest == end) return seconds;
  if (error == std::errc::result_out_of_range) return UINT32_MAX;
  // RFC 9110 section 5.6.7: of the three forms of a date, the one that may be sent.
  std::tm date{};
  const std::string copy(text);
  const char* const parsed = strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
  if (parsed == nullptr || *parsed != '\0') return 0;
  const std::time_t then = timegm(&date);
  return then > 0 && static_cast<uint64_t>(then) > now ? static_cast<uint64_t>(then) - now : 0;
}

}  // namespace

bool PrepareIdHints() { return ProcessHintKey().drawn; }

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

  const Settings& settings = config_->settings();
  Scratch& scratch = WorkerScratch();
  observe_ = settings.request.observe.value_or(false);
  if (overlay != nullptr) observe_ = overlay->observe.value_or(observe_);
  if (!ReadScope(envoy, settings, overlay, &scratch)) {
    chain_.stats.Count(envoy, Counter::kErrors);
    return Refuse(envoy, 400, "bad_tenant", "The tenant cannot be told.");
  }

  tokenpin::Request request;
  request.scope = tokenpin::bytes(scratch.scope);
  const std::string_view method = FirstHeader(envoy, kRequestHeader, ":method");
  request.method = tokenpin::bytes(method);
  request.target = tokenpin::bytes(FirstHeader(envoy, kRequestHeader, ":path"));
  const std::optional<uint8_t> group =
      overlay != nullptr && overlay->group ? overlay->group : settings.request.group;
  if (group) {
    request.set_group(static_cast<tokenpin::Group>(*group));
    request.existing = method == "GET" || method == "HEAD" || method == "DELETE";
  }
  const ValueSource& existing =
      overlay != nullptr && overlay->existing ? overlay->existing : settings.request.existing;
  if (existing && ReadsTrue(envoy, existing, &scratch.values)) request.existing = 1;

  ReadSource(envoy, settings.consumer, &scratch.consumers);
  request.set_consumers(scratch.consumers, true);
  scratch.sessions.clear();
  for (const ValueSource& source : settings.session) {
    ReadSource(envoy, source, &scratch.sessions);
    if (!scratch.sessions.empty()) break;
  }
  request.set_sessions(scratch.sessions);
  scratch.cookies.clear();
  ReadHeader(envoy, kRequestHeader, "cookie", &scratch.cookies);
  request.set_cookies(scratch.cookies);
  bool carried = false;
  if (!settings.carrier_header.empty()) {
    scratch.values.clear();
    ReadHeader(envoy, kRequestHeader, settings.carrier_header, &scratch.values);
    carried = !scratch.values.empty();
    request.carrier = carried;
    if (carried) request.carried = scratch.values[0];
  }
  tokenpin::Block hint;
  if (settings.id_hint && ReadIdHint(envoy, settings.id_hint, &scratch.values, &hint)) {
    request.id_hint = hint;
  }
  request.now = tokenpin::unix_now();
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
  if (settings.metadata) WriteMetadata(envoy);
  if (!decision_.has_slot()) {
    if (decision_.outcome() != TOKENPIN_OUTCOME_REJECTED) {
      return Refuse(envoy, 503, "no_account_available", "No account is available.");
    }
    // Only keys that cannot be used are rejected without a look at the cookies.
    const bool key = decision_.key_reason() != TOKENPIN_KEY_REASON_OK &&
                     decision_.key_reason() != TOKENPIN_KEY_REASON_ABSENT &&
                     decision_.pin_state() == TOKENPIN_PIN_STATE_NONE;
    if (key) return Refuse(envoy, 503, "bad_affinity_key", "The session's key cannot be used.");
    return Refuse(envoy, 503, "session_unavailable", "The session's account is unavailable.");
  }
  if (observe_) return kContinue;

  serving_ = true;
  if (scratch.scope.empty()) {
    cookie_name_ = config_->cookie_name();
  } else {
    cookie_name_ = *config_->affinity().cookie_name(scratch.scope);
  }
  // From here on headers change, and views of them are no longer valid.
  StripCookies(envoy);
  if (carried) RemoveHeader(envoy, kRequestHeader, settings.carrier_header);
  for (const Credential& credential : settings.tokens[decision_.slot()].credentials) {
    if (credential.value) {
      SetHeader(envoy, kRequestHeader, credential.name, *credential.value);
    } else {
      RemoveHeader(envoy, kRequestHeader, credential.name);
    }
  }
  if (settings.clear_route_cache) envoy_dynamic_module_callback_http_clear_route_cache(envoy);
  return kContinue;
}

int Stream::Refuse(envoy_filter envoy, uint32_t status, std::string_view code,
                   std::string_view message) {
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
void Stream::StripCookies(envoy_filter envoy) {
  Scratch& scratch = WorkerScratch();
  size_t total = 0;
  for (const Bytes& field : scratch.cookies) total += field.len;
  if (scratch.stripped.size() < total) scratch.stripped.resize(total);
  char* next = scratch.stripped.data();
  bool changed = false;
  for (Bytes& field : scratch.cookies) {
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
  for (const Bytes& field : scratch.cookies) {
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
  Scratch& scratch = WorkerScratch();
  std::vector<Bytes>& fields = scratch.values;
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
    uint64_t seconds = 0;
    if (cooldown.retry_after) {
      seconds = ReadRetryAfter(FirstHeader(envoy, kResponseHeader, "retry-after"), now);
      seconds = std::min<uint64_t>(seconds, cooldown.max_seconds);
    }
    if (seconds == 0) seconds = cooldown.seconds;
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
