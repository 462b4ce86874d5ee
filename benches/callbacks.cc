// A filter that decides nothing. For every request it makes the calls into Envoy that tokenpin
// makes for one with a valid cookie, and no more: what any filter costs that does as much.

#include <string_view>

#include "header_map.h"

using tokenpin_envoy::Buffer;
using tokenpin_envoy::HeaderList;

namespace {

constexpr int kCounters = 6;
constexpr std::string_view kToken = "Bearer sk-00000000000000000000000000000000";

size_t counter;
thread_local HeaderList headers;

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
                                                        bool) noexcept {
  envoy_dynamic_module_callback_get_most_specific_route_config(envoy);
  headers.Read(envoy, kRequestHeader);
  for (int i = 0; i < kCounters; i++) {
    envoy_dynamic_module_callback_http_filter_increment_counter(envoy, counter, nullptr, 0, 1);
  }
  tokenpin_envoy::RemoveHeader(envoy, kRequestHeader, "cookie");
  tokenpin_envoy::SetHeader(envoy, kRequestHeader, "authorization", kToken);
  return kContinue;
}

int envoy_dynamic_module_on_http_filter_response_headers(envoy_filter envoy, module_pointer,
                                                         bool) noexcept {
  headers.Read(envoy, kResponseHeader);
  return kContinue;
}

// Envoy asks for these as well, and for those in unused_hooks.cc.
void envoy_dynamic_module_on_http_filter_config_destroy(module_pointer) noexcept {}
void envoy_dynamic_module_on_http_filter_config_scheduled(envoy_config, module_pointer,
                                                          uint64_t) noexcept {}
module_pointer envoy_dynamic_module_on_http_filter_per_route_config_new(envoy_buffer,
                                                                        envoy_buffer) noexcept {
  return nullptr;
}
void envoy_dynamic_module_on_http_filter_per_route_config_destroy(module_pointer) noexcept {}
void envoy_dynamic_module_on_http_filter_destroy(module_pointer) noexcept {}
int envoy_dynamic_module_on_http_filter_request_body(envoy_filter, module_pointer, bool) noexcept {
  return kContinue;
}
int envoy_dynamic_module_on_http_filter_response_body(envoy_filter, module_pointer, bool) noexcept {
  return kContinue;
}
int envoy_dynamic_module_on_http_filter_request_trailers(envoy_filter, module_pointer) noexcept {
  return kContinue;
}
int envoy_dynamic_module_on_http_filter_response_trailers(envoy_filter, module_pointer) noexcept {
  return kContinue;
}
void envoy_dynamic_module_on_http_filter_stream_complete(envoy_filter, module_pointer) noexcept {}

}  // extern "C"
