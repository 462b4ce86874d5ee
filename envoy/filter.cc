// The HTTP filter: asks the library which token serves a request, puts that token on the request,
// and keeps the affinity cookie between the gateway and the client.

#include <sys/random.h>

#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "envoy_abi.h"
#include "settings.h"
#include "tokenpin.h"

namespace tokenpin_envoy {
namespace {

std::string_view View(envoy_buffer buffer) { return {buffer.ptr, buffer.length}; }

envoy_buffer Buffer(std::string_view text) { return {text.data(), text.size()}; }

tokenpin_bytes Bytes(std::string_view text) { return {text.data(), text.size()}; }

void Log(int level, const std::string& message) {
  envoy_dynamic_module_callback_log_v2(level, Buffer(message), Buffer("tokenpin"), 0);
}

std::string EnumName(int32_t which, int32_t value) {
  tokenpin_bytes name{};
  if (tokenpin_enum_name(which, value, &name) != TOKENPIN_STATUS_OK) return std::to_string(value);
  return {static_cast<const char*>(name.ptr), name.len};
}

struct AffinityFree {
  void operator()(tokenpin_affinity* affinity) const { tokenpin_affinity_free(affinity); }
};

// Shared by all workers and all streams begun under it; only read once it is built.
struct Config {
  std::unique_ptr<tokenpin_affinity, AffinityFree> affinity;
  std::vector<std::string> authorization;  // one per slot; empty for a vacant one
  std::string cookie_name;
  std::string consumer_header;
  bool random = false;
};

// One stream. Envoy keeps the configuration alive as long as its streams.
struct Filter {
  const Config* config;
  bool decided = false;
  tokenpin_decision decision{};
};

std::unique_ptr<Config> BuildConfig(const Settings& settings, std::string* error) {
  tokenpin_config config;
  int32_t status = tokenpin_config_init(&config, sizeof config);
  if (status != TOKENPIN_STATUS_OK) {
    *error = EnumName(TOKENPIN_ENUM_STATUS, status);
    return nullptr;
  }
  auto result = std::make_unique<Config>();
  std::vector<tokenpin_slot_config> slots;
  for (const Slot& slot : settings.slots) {
    slots.push_back({Bytes(slot.identity), {0, slot.weight, slot.state}});
    result->authorization.push_back(slot.secret.empty() ? "" : "Bearer " + slot.secret);
  }
  std::memcpy(config.placement_key, settings.placement_key, sizeof config.placement_key);
  config.cookie_keys = settings.cookie_keys.data();
  config.cookie_key_count = settings.cookie_keys.size();
  config.slots = slots.data();
  config.slot_count = slots.size();
  config.scope = Bytes(settings.scope);
  config.cookie_name = Bytes(settings.cookie_name);
  config.attributes.secure = settings.secure;
  config.keyed_cookies = settings.keyed_cookies;

  tokenpin_affinity* affinity = nullptr;
  tokenpin_config_error refused{};
  status = tokenpin_affinity_new(&config, &affinity, &refused);
  explicit_bzero(config.placement_key, sizeof config.placement_key);
  if (status != TOKENPIN_STATUS_OK) {
    *error = EnumName(TOKENPIN_ENUM_FIELD, static_cast<int32_t>(refused.field)) + "[" +
             std::to_string(refused.index) + "]: " + EnumName(TOKENPIN_ENUM_STATUS, status);
    return nullptr;
  }
  result->affinity.reset(affinity);

  char name[TOKENPIN_MAX_COOKIE_NAME];
  size_t length = 0;
  status = tokenpin_affinity_cookie_name(affinity, nullptr, 0, name, sizeof name, &length);
  if (status != TOKENPIN_STATUS_OK) {
    *error = EnumName(TOKENPIN_ENUM_STATUS, status);
    return nullptr;
  }
  result->cookie_name.assign(name, length);
  result->consumer_header = settings.consumer_header;
  result->random = settings.mode == Mode::kRandom;
  return result;
}

// Replicas that log different fingerprints do not agree.
void LogFingerprints(const Config& config) {
  uint64_t fingerprint = 0;
  uint64_t live = 0;
  const auto now = static_cast<uint64_t>(std::time(nullptr));
  tokenpin_affinity_fingerprint(config.affinity.get(), &fingerprint);
  tokenpin_affinity_live_fingerprint(config.affinity.get(), now, &live);
  char line[128];
  std::snprintf(line, sizeof line,
                "tokenpin configuration accepted: fingerprint %016" PRIx64 ", live %016" PRIx64,
                fingerprint, live);
  Log(kLogInfo, line);
}

// Leaves the bytes all zero if there is no randomness: the library refuses that where it matters.
void FillEntropy(uint8_t (&entropy)[16]) {
  // One system call for 16 requests; up to 256 bytes a call is never cut short.
  thread_local uint8_t pool[256];
  thread_local size_t left = 0;
  if (left == 0) {
    if (getrandom(pool, sizeof pool, 0) != static_cast<ssize_t>(sizeof pool)) return;
    left = sizeof pool;
  }
  left -= sizeof entropy;
  std::memcpy(entropy, pool + left, sizeof entropy);
  explicit_bzero(pool + left, sizeof entropy);
}

// The views are valid until a header is changed.
std::vector<tokenpin_bytes> HeaderValues(envoy_filter envoy, int type, std::string_view name) {
  std::vector<tokenpin_bytes> values;
  size_t count = 1;
  for (size_t i = 0; i < count; ++i) {
    envoy_buffer value{};
    if (!envoy_dynamic_module_callback_http_get_header(envoy, type, Buffer(name), &value, i,
                                                       &count)) {
      break;
    }
    values.push_back(Bytes(View(value)));
  }
  return values;
}

envoy_buffer HeaderValue(envoy_filter envoy, int type, std::string_view name) {
  envoy_buffer value{};
  size_t count = 0;
  envoy_dynamic_module_callback_http_get_header(envoy, type, Buffer(name), &value, 0, &count);
  return value;
}

void ReplaceHeader(envoy_filter envoy, int type, std::string_view name,
                   const std::vector<std::string>& values) {
  envoy_dynamic_module_callback_http_set_header(envoy, type, Buffer(name), {nullptr, 0});
  for (const std::string& value : values) {
    envoy_dynamic_module_callback_http_add_header(envoy, type, Buffer(name), Buffer(value));
  }
}

void StripCookie(envoy_filter envoy, std::string_view name,
                 const std::vector<tokenpin_bytes>& fields) {
  std::vector<std::string> kept;
  bool changed = false;
  for (const tokenpin_bytes& field : fields) {
    std::string rest(field.len, '\0');
    size_t length = 0;
    const int32_t status = tokenpin_cookie_strip(field.ptr, field.len, name.data(), name.size(),
                                                 rest.data(), rest.size(), &length);
    // Cannot happen; and a cookie that may be ours must not pass.
    if (status != TOKENPIN_STATUS_OK) length = 0;
    changed |= length != field.len;
    rest.resize(length);
    if (!rest.empty()) kept.push_back(std::move(rest));
  }
  if (changed) ReplaceHeader(envoy, kRequestHeader, "cookie", kept);
}

// An upstream has no say in our cookie.
void DropUpstreamSetCookie(envoy_filter envoy, std::string_view name) {
  std::vector<std::string> kept;
  const std::vector<tokenpin_bytes> fields = HeaderValues(envoy, kResponseHeader, "set-cookie");
  for (const tokenpin_bytes& field : fields) {
    uint8_t ours = 1;
    tokenpin_set_cookie_matches(field.ptr, field.len, name.data(), name.size(), &ours);
    if (ours == 0) kept.emplace_back(static_cast<const char*>(field.ptr), field.len);
  }
  if (kept.size() != fields.size()) ReplaceHeader(envoy, kResponseHeader, "set-cookie", kept);
}

int Refuse(envoy_filter envoy, uint32_t status, std::string_view code, std::string_view message) {
  const std::string body = R"({"error":{"message":")" + std::string(message) +
                           R"(","type":"gateway_error","param":null,"code":")" + std::string(code) +
                           R"("}})";
  constexpr std::string_view kName = "content-type";
  constexpr std::string_view kValue = "application/json";
  envoy_header header{kName.data(), kName.size(), kValue.data(), kValue.size()};
  envoy_dynamic_module_callback_http_send_response(envoy, status, &header, 1, Buffer(body),
                                                   Buffer(code));
  return kStopIteration;
}

int OnRequestHeaders(envoy_filter envoy, Filter* filter) {
  const Config& config = *filter->config;
  std::vector<tokenpin_bytes> consumers;
  if (!config.consumer_header.empty()) {
    consumers = HeaderValues(envoy, kRequestHeader, config.consumer_header);
  }
  const std::vector<tokenpin_bytes> cookies = HeaderValues(envoy, kRequestHeader, "cookie");

  tokenpin_request request{};
  request.method = Bytes(View(HeaderValue(envoy, kRequestHeader, ":method")));
  request.target = Bytes(View(HeaderValue(envoy, kRequestHeader, ":path")));
  request.consumers = consumers.data();
  request.consumer_count = consumers.size();
  request.consumer_trusted = 1;
  request.cookies = cookies.data();
  request.cookie_count = cookies.size();
  request.now = static_cast<uint64_t>(std::time(nullptr));
  FillEntropy(request.entropy);
  if (config.random) {
    request.has_group = 1;
    request.group = TOKENPIN_GROUP_STATELESS;
  }
  const int32_t status =
      tokenpin_affinity_decide(config.affinity.get(), &request, &filter->decision);
  if (status != TOKENPIN_STATUS_OK) {
    Log(kLogError, "tokenpin cannot decide: " + EnumName(TOKENPIN_ENUM_STATUS, status));
    return Refuse(envoy, 500, "affinity_error", "The gateway cannot choose an account.");
  }
  if (filter->decision.slot == TOKENPIN_SLOT_NONE) {
    if (filter->decision.outcome == TOKENPIN_OUTCOME_REJECTED) {
      return Refuse(envoy, 503, "session_unavailable", "The session's account is unavailable.");
    }
    return Refuse(envoy, 503, "no_account_available", "No account is available.");
  }
  filter->decided = true;
  // From here on the views of the headers are no longer valid.
  StripCookie(envoy, config.cookie_name, cookies);
  envoy_dynamic_module_callback_http_set_header(
      envoy, kRequestHeader, Buffer("authorization"),
      Buffer(config.authorization[filter->decision.slot]));
  return kContinue;
}

void OnResponseHeaders(envoy_filter envoy, const Filter& filter) {
  // Envoy's own replies come by here as well. They have no upstream and say nothing about a token.
  envoy_buffer upstream{};
  if (!filter.decided || !envoy_dynamic_module_callback_http_filter_get_attribute_string(
                             envoy, kAttributeUpstreamAddress, &upstream)) {
    return;
  }
  const Config& config = *filter.config;
  const std::string_view text = View(HeaderValue(envoy, kResponseHeader, ":status"));
  uint16_t code = 0;
  std::from_chars(text.data(), text.data() + text.size(), code);
  DropUpstreamSetCookie(envoy, config.cookie_name);

  char set_cookie[TOKENPIN_MAX_SET_COOKIE];
  size_t length = 0;
  uint8_t answer = TOKENPIN_ANSWER_NOTHING;
  const int32_t status = tokenpin_affinity_finish(config.affinity.get(), &filter.decision, code,
                                                  set_cookie, sizeof set_cookie, &length, &answer);
  if (status != TOKENPIN_STATUS_OK) {
    Log(kLogError, "tokenpin cannot finish: " + EnumName(TOKENPIN_ENUM_STATUS, status));
  } else if (answer == TOKENPIN_ANSWER_SET_COOKIE) {
    envoy_dynamic_module_callback_http_add_header(envoy, kResponseHeader, Buffer("set-cookie"),
                                                  {set_cookie, length});
  }
}

}  // namespace
}  // namespace tokenpin_envoy

using tokenpin_envoy::Config;
using tokenpin_envoy::Filter;

extern "C" {

const char* envoy_dynamic_module_on_program_init() {
  return tokenpin_abi_version() == TOKENPIN_ABI_VERSION ? kEnvoyAbiVersion : nullptr;
}

module_pointer envoy_dynamic_module_on_http_filter_config_new(envoy_config, envoy_buffer,
                                                              envoy_buffer text) {
  tokenpin_envoy::Settings settings;
  std::string error;
  std::unique_ptr<Config> config;
  if (tokenpin_envoy::ParseSettings(tokenpin_envoy::View(text), &settings, &error)) {
    config = tokenpin_envoy::BuildConfig(settings, &error);
  }
  if (config == nullptr) {
    tokenpin_envoy::Log(kLogError, "tokenpin configuration refused: " + error);
    return nullptr;
  }
  tokenpin_envoy::LogFingerprints(*config);
  return config.release();
}

void envoy_dynamic_module_on_http_filter_config_destroy(module_pointer config) {
  delete static_cast<const Config*>(config);
}

module_pointer envoy_dynamic_module_on_http_filter_new(module_pointer config, envoy_filter) {
  return new Filter{static_cast<const Config*>(config)};
}

void envoy_dynamic_module_on_http_filter_destroy(module_pointer filter) {
  delete static_cast<const Filter*>(filter);
}

int envoy_dynamic_module_on_http_filter_request_headers(envoy_filter envoy, module_pointer filter,
                                                        bool) {
  // Envoy hands the stream's own object back as const.
  auto* self = static_cast<Filter*>(const_cast<void*>(filter));
  return tokenpin_envoy::OnRequestHeaders(envoy, self);
}

int envoy_dynamic_module_on_http_filter_response_headers(envoy_filter envoy, module_pointer filter,
                                                         bool) {
  tokenpin_envoy::OnResponseHeaders(envoy, *static_cast<const Filter*>(filter));
  return kContinue;
}

// Envoy asks for all of these; the filter needs none of them.
int envoy_dynamic_module_on_http_filter_request_body(envoy_filter, module_pointer, bool) {
  return kContinue;
}
int envoy_dynamic_module_on_http_filter_request_trailers(envoy_filter, module_pointer) {
  return kContinue;
}
int envoy_dynamic_module_on_http_filter_response_body(envoy_filter, module_pointer, bool) {
  return kContinue;
}
int envoy_dynamic_module_on_http_filter_response_trailers(envoy_filter, module_pointer) {
  return kContinue;
}
void envoy_dynamic_module_on_http_filter_stream_complete(envoy_filter, module_pointer) {}
void envoy_dynamic_module_on_http_filter_scheduled(envoy_filter, module_pointer, uint64_t) {}
void envoy_dynamic_module_on_http_filter_http_callout_done(envoy_filter, module_pointer, uint64_t,
                                                           int, envoy_header*, size_t,
                                                           envoy_buffer*, size_t) {}
void envoy_dynamic_module_on_http_filter_http_stream_headers(envoy_filter, module_pointer, uint64_t,
                                                             envoy_header*, size_t, bool) {}
void envoy_dynamic_module_on_http_filter_http_stream_data(envoy_filter, module_pointer, uint64_t,
                                                          const envoy_buffer*, size_t, bool) {}
void envoy_dynamic_module_on_http_filter_http_stream_trailers(envoy_filter, module_pointer,
                                                              uint64_t, envoy_header*, size_t) {}
void envoy_dynamic_module_on_http_filter_http_stream_complete(envoy_filter, module_pointer,
                                                              uint64_t) {}
void envoy_dynamic_module_on_http_filter_http_stream_reset(envoy_filter, module_pointer, uint64_t,
                                                           int) {}
void envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
    envoy_filter, module_pointer) {}
void envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
    envoy_filter, module_pointer) {}

}  // extern "C"
