// The part of Envoy's dynamic-module C interface (version v0.2.0, Envoy 1.40) that this filter
// uses.
//
// Envoy resolves the hooks by name when it loads the module, and the dynamic linker resolves the
// callbacks in the envoy executable, so only names and layouts have to agree with Envoy's header.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

// A view. Envoy's views are valid until the hook returns or a header is changed.
struct envoy_buffer {
  const char* ptr;
  size_t length;
};

struct envoy_header {
  const char* key;
  size_t key_length;
  const char* value;
  size_t value_length;
};

using envoy_filter = void*;          // Envoy's side of one stream
using envoy_config = void*;          // Envoy's side of one filter configuration
using envoy_scheduler = void*;       // made by Envoy, deleted by the module
using module_pointer = const void*;  // what a hook returned, handed back to the later hooks

constexpr char kEnvoyAbiVersion[] = "v0.2.0";

enum : int { kRequestHeader = 0, kResponseHeader = 2 };

// The results of hooks: the first two for headers and trailers, the first and the last three for
// bodies.
enum : int {
  kContinue = 0,
  kStopIteration = 1,
  kStopBodyAndBuffer = 1,
  kStopBodyAndWatermark = 2,
  kStopBodyNoBuffer = 3,
};

enum : int { kLogInfo = 2, kLogWarning = 3, kLogError = 4 };

enum : int { kAttributeResponseCodeDetails = 16, kAttributeConnectionId = 28 };

enum : int { kMetadataDynamic = 0 };

enum : int {
  kReceivedRequestBody = 0,
  kBufferedRequestBody = 1,
  kReceivedResponseBody = 2,
  kBufferedResponseBody = 3,
};

// Callbacks, defined by Envoy.
void envoy_dynamic_module_callback_log_v2(int level, envoy_buffer message, envoy_buffer source_file,
                                          uint32_t source_line);
size_t envoy_dynamic_module_callback_http_get_headers_size(envoy_filter filter, int type);
bool envoy_dynamic_module_callback_http_get_headers(envoy_filter filter, int type,
                                                    envoy_header* headers);
// One value of a header; quick only for those that are Envoy's own.
bool envoy_dynamic_module_callback_http_get_header(envoy_filter filter, int type, envoy_buffer key,
                                                   envoy_buffer* value, size_t index,
                                                   size_t* count);
// Replaces every value of the header; a null value removes the header.
bool envoy_dynamic_module_callback_http_set_header(envoy_filter filter, int type, envoy_buffer key,
                                                   envoy_buffer value);
bool envoy_dynamic_module_callback_http_add_header(envoy_filter filter, int type, envoy_buffer key,
                                                   envoy_buffer value);
void envoy_dynamic_module_callback_http_send_response(envoy_filter filter, uint32_t status,
                                                      envoy_header* headers, size_t header_count,
                                                      envoy_buffer body, envoy_buffer details);
bool envoy_dynamic_module_callback_http_filter_get_attribute_string(envoy_filter filter,
                                                                    int attribute,
                                                                    envoy_buffer* value);
bool envoy_dynamic_module_callback_http_filter_get_attribute_int(envoy_filter filter, int attribute,
                                                                 uint64_t* value);
// Metadata of another type than text is an error in Envoy's log.
bool envoy_dynamic_module_callback_http_get_metadata_string(envoy_filter filter, int source,
                                                            envoy_buffer space, envoy_buffer key,
                                                            envoy_buffer* value);
void envoy_dynamic_module_callback_http_set_dynamic_metadata_string(envoy_filter filter,
                                                                    envoy_buffer space,
                                                                    envoy_buffer key,
                                                                    envoy_buffer value);
bool envoy_dynamic_module_callback_http_get_filter_state_bytes(envoy_filter filter,
                                                               envoy_buffer key,
                                                               envoy_buffer* value);
void envoy_dynamic_module_callback_http_clear_route_cache(envoy_filter filter);
// In bytes: of the part that is just passing, or of what Envoy keeps.
size_t envoy_dynamic_module_callback_http_get_body_size(envoy_filter filter, int body);
// Views of its pieces, as many as the size says. Changing a body ends them, in silence.
size_t envoy_dynamic_module_callback_http_get_body_chunks_size(envoy_filter filter, int body);
bool envoy_dynamic_module_callback_http_get_body_chunks(envoy_filter filter, int body,
                                                        envoy_buffer* chunks);
// Takes bytes off the front; puts some at the back.
bool envoy_dynamic_module_callback_http_drain_body(envoy_filter filter, int body, size_t size);
bool envoy_dynamic_module_callback_http_append_body(envoy_filter filter, int body,
                                                    envoy_buffer data);
// Returns whether the part that is just passing is what a filter in front has buffered: then the
// two are one.
bool envoy_dynamic_module_callback_http_received_buffered_request_body(envoy_filter filter);
// The most that Envoy buffers of a body, in bytes; 0: all of it. More is a 413.
uint64_t envoy_dynamic_module_callback_http_get_buffer_limit(envoy_filter filter);
void envoy_dynamic_module_callback_http_set_buffer_limit(envoy_filter filter, uint64_t limit);
// Begins the request again from the first filter, with its headers as they are now. If it returns
// true, the stream is gone: nothing of it may be used, and the hook returns kStopIteration.
bool envoy_dynamic_module_callback_http_filter_recreate_stream(envoy_filter filter,
                                                               envoy_header* headers,
                                                               size_t header_count);
// The module's object of the route's configuration, or null.
module_pointer envoy_dynamic_module_callback_get_most_specific_route_config(envoy_filter filter);
bool envoy_dynamic_module_callback_is_validation_mode();

// Metrics are defined while a configuration is made, and counted by their ids. They return 0.
int envoy_dynamic_module_callback_http_filter_config_define_counter(envoy_config config,
                                                                    envoy_buffer name,
                                                                    envoy_buffer* label_names,
                                                                    size_t label_count, size_t* id);
int envoy_dynamic_module_callback_http_filter_config_define_gauge(envoy_config config,
                                                                  envoy_buffer name,
                                                                  envoy_buffer* label_names,
                                                                  size_t label_count, size_t* id);
int envoy_dynamic_module_callback_http_filter_increment_counter(envoy_filter filter, size_t id,
                                                                envoy_buffer* label_values,
                                                                size_t label_count, uint64_t by);
int envoy_dynamic_module_callback_http_filter_config_increment_counter(
    envoy_config config, size_t id, envoy_buffer* label_values, size_t label_count, uint64_t by);
int envoy_dynamic_module_callback_http_filter_config_set_gauge(envoy_config config, size_t id,
                                                               envoy_buffer* label_values,
                                                               size_t label_count, uint64_t value);

// Any thread may commit; the event comes out on the main thread, unless the configuration is gone.
envoy_scheduler envoy_dynamic_module_callback_http_filter_config_scheduler_new(envoy_config config);
void envoy_dynamic_module_callback_http_filter_config_scheduler_commit(envoy_scheduler scheduler,
                                                                       uint64_t event);
void envoy_dynamic_module_callback_http_filter_config_scheduler_delete(envoy_scheduler scheduler);

// Hooks, defined by the module. Envoy refuses a module that lacks one of them.
const char* envoy_dynamic_module_on_program_init() noexcept;
module_pointer envoy_dynamic_module_on_http_filter_config_new(envoy_config envoy, envoy_buffer name,
                                                              envoy_buffer config) noexcept;
void envoy_dynamic_module_on_http_filter_config_destroy(module_pointer config) noexcept;
void envoy_dynamic_module_on_http_filter_config_scheduled(envoy_config envoy, module_pointer config,
                                                          uint64_t event) noexcept;
module_pointer envoy_dynamic_module_on_http_filter_per_route_config_new(
    envoy_buffer name, envoy_buffer config) noexcept;
void envoy_dynamic_module_on_http_filter_per_route_config_destroy(module_pointer config) noexcept;
module_pointer envoy_dynamic_module_on_http_filter_new(module_pointer config,
                                                       envoy_filter envoy) noexcept;
void envoy_dynamic_module_on_http_filter_destroy(module_pointer filter) noexcept;
int envoy_dynamic_module_on_http_filter_request_headers(envoy_filter envoy, module_pointer filter,
                                                        bool end_of_stream) noexcept;
int envoy_dynamic_module_on_http_filter_request_body(envoy_filter envoy, module_pointer filter,
                                                     bool end_of_stream) noexcept;
int envoy_dynamic_module_on_http_filter_request_trailers(envoy_filter envoy,
                                                         module_pointer filter) noexcept;
int envoy_dynamic_module_on_http_filter_response_headers(envoy_filter envoy, module_pointer filter,
                                                         bool end_of_stream) noexcept;
int envoy_dynamic_module_on_http_filter_response_body(envoy_filter envoy, module_pointer filter,
                                                      bool end_of_stream) noexcept;
int envoy_dynamic_module_on_http_filter_response_trailers(envoy_filter envoy,
                                                          module_pointer filter) noexcept;
void envoy_dynamic_module_on_http_filter_stream_complete(envoy_filter envoy,
                                                         module_pointer filter) noexcept;
void envoy_dynamic_module_on_http_filter_scheduled(envoy_filter envoy, module_pointer filter,
                                                   uint64_t event) noexcept;
void envoy_dynamic_module_on_http_filter_http_callout_done(
    envoy_filter envoy, module_pointer filter, uint64_t callout, int result, envoy_header* headers,
    size_t header_count, envoy_buffer* chunks, size_t chunk_count) noexcept;
void envoy_dynamic_module_on_http_filter_http_stream_headers(envoy_filter envoy,
                                                             module_pointer filter, uint64_t stream,
                                                             envoy_header* headers,
                                                             size_t header_count,
                                                             bool end_of_stream) noexcept;
void envoy_dynamic_module_on_http_filter_http_stream_data(envoy_filter envoy, module_pointer filter,
                                                          uint64_t stream,
                                                          const envoy_buffer* chunks,
                                                          size_t chunk_count,
                                                          bool end_of_stream) noexcept;
void envoy_dynamic_module_on_http_filter_http_stream_trailers(envoy_filter envoy,
                                                              module_pointer filter,
                                                              uint64_t stream,
                                                              envoy_header* trailers,
                                                              size_t trailer_count) noexcept;
void envoy_dynamic_module_on_http_filter_http_stream_complete(envoy_filter envoy,
                                                              module_pointer filter,
                                                              uint64_t stream) noexcept;
void envoy_dynamic_module_on_http_filter_http_stream_reset(envoy_filter envoy,
                                                           module_pointer filter, uint64_t stream,
                                                           int reason) noexcept;
void envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
    envoy_filter envoy, module_pointer filter) noexcept;
void envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
    envoy_filter envoy, module_pointer filter) noexcept;

}  // extern "C"
