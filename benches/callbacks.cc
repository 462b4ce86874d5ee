// A filter that decides nothing. For every request it makes the same calls into Envoy as tokenpin
// does for one with a valid cookie, so it shows what any such filter costs. It holds, shortens and
// passes on a body. It replaces the body of a response by itself, part by part, as opening and
// sealing ids requires.

#include <string>
#include <string_view>

#include "body.h"
#include "header_map.h"

using tokenpin_envoy::Buffer;
using tokenpin_envoy::HeaderList;

namespace {

constexpr int kCounters = 6;
constexpr int kIdCounters = 2;
constexpr int kRequest[] = {kBufferedRequestBody, kReceivedRequestBody};
constexpr int kReceived[] = {kReceivedRequestBody};
constexpr int kBuffered[] = {kBufferedRequestBody};
constexpr int kResponse[] = {kReceivedResponseBody};
// The number of bytes by which opening shortens an id.
constexpr uint64_t kLoss = 10;
constexpr std::string_view kToken = "Bearer sk-00000000000000000000000000000000";

size_t counter;
thread_local HeaderList headers;

void Count(envoy_filter envoy, int times) {
  for (int i = 0; i < times; i++) {
    envoy_dynamic_module_callback_http_filter_increment_counter(envoy, counter, nullptr, 0, 1);
  }
}

void Change(envoy_filter envoy) {
  Count(envoy, kCounters);
  tokenpin_envoy::RemoveHeader(envoy, kRequestHeader, "cookie");
  tokenpin_envoy::SetHeader(envoy, kRequestHeader, "authorization", kToken);
}

}  // namespace

extern "C" {

const char* envoy_dynamic_module_on_program_init() noexcept { return kEnvoyAbiVersion; }

module_pointer envoy_dynamic_module_on_http_filter_config_new(envoy_config envoy, envoy_buffer,
                                                              envoy_buffer) noexcept {
  envoy_dynamic_module_callback_http_filter_config_define_counter(envoy, Buffer("requests"),
                                                                  nullptr, 0, &counter);
  return &counter;
}

module_pointer envoy_dynamic_module_on_http_filter_new(module_pointer config,
                                                       envoy_filter) noexcept {
  return config;
}

int envoy_dynamic_module_on_http_filter_request_headers(envoy_filter envoy, module_pointer,
                                                        bool end_of_stream) noexcept {
  envoy_dynamic_module_callback_get_most_specific_route_config(envoy);
  headers.Read(envoy, kRequestHeader);
  if (!end_of_stream) {
    envoy_dynamic_module_callback_http_get_buffer_limit(envoy);
    return kStopIteration;
  }
  Change(envoy);
  return kContinue;
}

int envoy_dynamic_module_on_http_filter_request_body(envoy_filter envoy, module_pointer,
                                                     bool end_of_stream) noexcept {
  const uint64_t part = tokenpin_envoy::SizeOf(tokenpin_envoy::ReadPieces(envoy, kReceived));
  if (!end_of_stream) return kStopBodyAndBuffer;
  headers.Read(envoy, kRequestHeader);
  Change(envoy);
  Count(envoy, kIdCounters);
  tokenpin_envoy::SetHeader(envoy, kRequestHeader, "accept-encoding", "identity");
  tokenpin_envoy::Bodies bodies = kBuffered;
  if (part != 0) {
    bodies = kRequest;
    envoy_dynamic_module_callback_http_received_buffered_request_body(envoy);
  }
  const uint64_t size = tokenpin_envoy::SizeOf(tokenpin_envoy::ReadPieces(envoy, bodies));
  if (size <= kLoss) return kContinue;
  tokenpin_envoy::DrainBody(envoy, bodies, kLoss);
  tokenpin_envoy::SetHeader(envoy, kRequestHeader, "content-length", std::to_string(size - kLoss));
  return kContinue;
}

int envoy_dynamic_module_on_http_filter_response_headers(envoy_filter envoy, module_pointer,
                                                         bool end_of_stream) noexcept {
  headers.Read(envoy, kResponseHeader);
  if (end_of_stream) return kContinue;
  envoy_buffer value{};
  envoy_dynamic_module_callback_http_filter_get_attribute_string(
      envoy, kAttributeResponseCodeDetails, &value);
  envoy_dynamic_module_callback_http_get_header(envoy, kRequestHeader, Buffer(":authority"), &value,
                                                0, nullptr);
  tokenpin_envoy::RemoveHeader(envoy, kResponseHeader, "content-length");
  return kContinue;
}

int envoy_dynamic_module_on_http_filter_response_body(envoy_filter envoy, module_pointer,
                                                      bool) noexcept {
  thread_local std::string text;
  text.clear();
  for (const envoy_buffer& piece : tokenpin_envoy::ReadPieces(envoy, kResponse)) {
    text.append(tokenpin_envoy::View(piece));
  }
  if (!text.empty()) tokenpin_envoy::ReplaceBody(envoy, kResponse, text.size(), text);
  return kContinue;
}

// Envoy requires these as well, and those in unused_hooks.cc.
void envoy_dynamic_module_on_http_filter_config_destroy(module_pointer) noexcept {}
void envoy_dynamic_module_on_http_filter_config_scheduled(envoy_config, module_pointer,
                                                          uint64_t) noexcept {}
module_pointer envoy_dynamic_module_on_http_filter_per_route_config_new(envoy_buffer,
                                                                        envoy_buffer) noexcept {
  return nullptr;
}
void envoy_dynamic_module_on_http_filter_per_route_config_destroy(module_pointer) noexcept {}
void envoy_dynamic_module_on_http_filter_destroy(module_pointer) noexcept {}
int envoy_dynamic_module_on_http_filter_request_trailers(envoy_filter, module_pointer) noexcept {
  return kContinue;
}
int envoy_dynamic_module_on_http_filter_response_trailers(envoy_filter, module_pointer) noexcept {
  return kContinue;
}
void envoy_dynamic_module_on_http_filter_stream_complete(envoy_filter, module_pointer) noexcept {}

}  // extern "C"
