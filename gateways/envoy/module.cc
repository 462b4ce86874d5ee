// The hooks that do something; the others are in unused_hooks.cc. All are noexcept: nothing may
// unwind into Envoy.

#include <memory>
#include <string>

#include "chain.h"
#include "envoy_abi.h"
#include "log.h"
#include "stream.h"

namespace tokenpin_envoy {
namespace {

// Of this worker: one hook after another uses it.
thread_local Scratch scratch;

template <typename Made>
module_pointer Release(std::unique_ptr<Made> made, const char* what, const Problem& problem) {
  if (made == nullptr) Log(kLogError, std::string(what) + " refused: " + problem.text());
  return made.release();
}

// Envoy hands the stream's own object back as const.
Stream* AsStream(module_pointer stream) { return static_cast<Stream*>(const_cast<void*>(stream)); }

}  // namespace
}  // namespace tokenpin_envoy

using tokenpin_envoy::AsStream;
using tokenpin_envoy::Chain;
using tokenpin_envoy::Problem;
using tokenpin_envoy::RoutePointer;
using tokenpin_envoy::scratch;
using tokenpin_envoy::Stream;
using tokenpin_envoy::View;

extern "C" {

const char* envoy_dynamic_module_on_program_init() noexcept {
  return tokenpin::abi_matches() ? kEnvoyAbiVersion : nullptr;
}

module_pointer envoy_dynamic_module_on_http_filter_config_new(envoy_config envoy, envoy_buffer name,
                                                              envoy_buffer text) noexcept {
  Problem problem;
  auto chain = tokenpin_envoy::MakeChain(envoy, View(name), View(text), &problem);
  return tokenpin_envoy::Release(std::move(chain), "configuration", problem);
}

void envoy_dynamic_module_on_http_filter_config_destroy(module_pointer chain) noexcept {
  delete static_cast<const Chain*>(chain);
}

void envoy_dynamic_module_on_http_filter_config_scheduled(envoy_config envoy, module_pointer chain,
                                                          uint64_t event) noexcept {
  static_cast<const Chain*>(chain)->OnEvent(envoy, event);
}

module_pointer envoy_dynamic_module_on_http_filter_per_route_config_new(
    envoy_buffer, envoy_buffer text) noexcept {
  Problem problem;
  auto route = tokenpin_envoy::MakeRoute(View(text), &problem);
  return tokenpin_envoy::Release(std::move(route), "route configuration", problem);
}

void envoy_dynamic_module_on_http_filter_per_route_config_destroy(module_pointer route) noexcept {
  delete static_cast<const RoutePointer*>(route);
}

module_pointer envoy_dynamic_module_on_http_filter_new(module_pointer chain,
                                                       envoy_filter) noexcept {
  return new Stream(*static_cast<const Chain*>(chain));
}

void envoy_dynamic_module_on_http_filter_destroy(module_pointer stream) noexcept {
  delete static_cast<const Stream*>(stream);
}

int envoy_dynamic_module_on_http_filter_request_headers(envoy_filter envoy, module_pointer stream,
                                                        bool end_of_stream) noexcept {
  return AsStream(stream)->OnRequestHeaders(envoy, scratch, end_of_stream);
}

int envoy_dynamic_module_on_http_filter_request_body(envoy_filter envoy, module_pointer stream,
                                                     bool end_of_stream) noexcept {
  return AsStream(stream)->OnRequestBody(envoy, scratch, end_of_stream);
}

int envoy_dynamic_module_on_http_filter_request_trailers(envoy_filter envoy,
                                                         module_pointer stream) noexcept {
  return AsStream(stream)->OnRequestTrailers(envoy, scratch);
}

int envoy_dynamic_module_on_http_filter_response_headers(envoy_filter envoy, module_pointer stream,
                                                         bool end_of_stream) noexcept {
  return AsStream(stream)->OnResponseHeaders(envoy, scratch, end_of_stream);
}

int envoy_dynamic_module_on_http_filter_response_body(envoy_filter envoy, module_pointer stream,
                                                      bool end_of_stream) noexcept {
  return AsStream(stream)->OnResponseBody(envoy, scratch, end_of_stream);
}

int envoy_dynamic_module_on_http_filter_response_trailers(envoy_filter envoy,
                                                          module_pointer stream) noexcept {
  return AsStream(stream)->OnResponseTrailers(envoy, scratch);
}

void envoy_dynamic_module_on_http_filter_stream_complete(envoy_filter envoy,
                                                         module_pointer stream) noexcept {
  AsStream(stream)->OnComplete(envoy);
}

}  // extern "C"
