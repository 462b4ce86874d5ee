// The hooks that do nothing: Envoy refuses a module that lacks one of them.

#include "envoy_abi.h"

extern "C" {

void envoy_dynamic_module_on_http_filter_scheduled(envoy_filter, module_pointer,
                                                   uint64_t) noexcept {}
void envoy_dynamic_module_on_http_filter_http_callout_done(envoy_filter, module_pointer, uint64_t,
                                                           int, envoy_header*, size_t,
                                                           envoy_buffer*, size_t) noexcept {}
void envoy_dynamic_module_on_http_filter_http_stream_headers(envoy_filter, module_pointer, uint64_t,
                                                             envoy_header*, size_t, bool) noexcept {
}
void envoy_dynamic_module_on_http_filter_http_stream_data(envoy_filter, module_pointer, uint64_t,
                                                          const envoy_buffer*, size_t,
                                                          bool) noexcept {}
void envoy_dynamic_module_on_http_filter_http_stream_trailers(envoy_filter, module_pointer,
                                                              uint64_t, envoy_header*,
                                                              size_t) noexcept {}
void envoy_dynamic_module_on_http_filter_http_stream_complete(envoy_filter, module_pointer,
                                                              uint64_t) noexcept {}
void envoy_dynamic_module_on_http_filter_http_stream_reset(envoy_filter, module_pointer, uint64_t,
                                                           int) noexcept {}
void envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
    envoy_filter, module_pointer) noexcept {}
void envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
    envoy_filter, module_pointer) noexcept {}

}  // extern "C"
