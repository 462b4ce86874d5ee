// The hooks that Envoy asks for and this filter has no use for. Those that do something are in
// filter.go.
#include "envoy.h"

const char* envoy_dynamic_module_on_program_init(void) { return "v0.2.0"; }

int envoy_dynamic_module_on_http_filter_request_body(void* envoy, uintptr_t filter,
                                                     bool end_of_stream) {
  (void)envoy, (void)filter, (void)end_of_stream;
  return CONTINUE;
}
int envoy_dynamic_module_on_http_filter_request_trailers(void* envoy, uintptr_t filter) {
  (void)envoy, (void)filter;
  return CONTINUE;
}
int envoy_dynamic_module_on_http_filter_response_body(void* envoy, uintptr_t filter,
                                                      bool end_of_stream) {
  (void)envoy, (void)filter, (void)end_of_stream;
  return CONTINUE;
}
int envoy_dynamic_module_on_http_filter_response_trailers(void* envoy, uintptr_t filter) {
  (void)envoy, (void)filter;
  return CONTINUE;
}
void envoy_dynamic_module_on_http_filter_stream_complete(void* envoy, uintptr_t filter) {
  (void)envoy, (void)filter;
}
void envoy_dynamic_module_on_http_filter_scheduled(void* envoy, uintptr_t filter, uint64_t event) {
  (void)envoy, (void)filter, (void)event;
}
void envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
    void* envoy, uintptr_t filter) {
  (void)envoy, (void)filter;
}
void envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
    void* envoy, uintptr_t filter) {
  (void)envoy, (void)filter;
}

// This filter sends no requests itself, so Envoy never calls these.
void envoy_dynamic_module_on_http_filter_http_callout_done(void) {}
void envoy_dynamic_module_on_http_filter_http_stream_headers(void) {}
void envoy_dynamic_module_on_http_filter_http_stream_data(void) {}
void envoy_dynamic_module_on_http_filter_http_stream_trailers(void) {}
void envoy_dynamic_module_on_http_filter_http_stream_complete(void) {}
void envoy_dynamic_module_on_http_filter_http_stream_reset(void) {}
