// The part of Envoy's dynamic-module C interface (version v0.2.0, Envoy 1.40) that this filter
// uses.
//
// Envoy defines the callbacks. They are weak here, so that the module links without Envoy; the
// dynamic linker finds them in the envoy executable.
#ifndef ENVOY_H
#define ENVOY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A view. Envoy's views are valid until the hook returns or a header is changed.
typedef struct {
  const char* ptr;
  size_t length;
} envoy_buffer;

typedef struct {
  envoy_buffer key;
  envoy_buffer value;
} envoy_header;

enum { REQUEST_HEADER = 0, RESPONSE_HEADER = 2 };
enum { CONTINUE = 0, STOP_ITERATION = 1 };
enum { LOG_ERROR = 4 };

#define CALLBACK __attribute__((weak))
CALLBACK void envoy_dynamic_module_callback_log_v2(int level, envoy_buffer message,
                                                   envoy_buffer source_file, uint32_t source_line);
CALLBACK bool envoy_dynamic_module_callback_http_get_header(void* filter, int type,
                                                            envoy_buffer key, envoy_buffer* value,
                                                            size_t index, size_t* count);
// Replaces every value of the header; a null value removes the header.
CALLBACK bool envoy_dynamic_module_callback_http_set_header(void* filter, int type,
                                                            envoy_buffer key, envoy_buffer value);
CALLBACK bool envoy_dynamic_module_callback_http_add_header(void* filter, int type,
                                                            envoy_buffer key, envoy_buffer value);
CALLBACK void envoy_dynamic_module_callback_http_send_response(void* filter, uint32_t status,
                                                               envoy_header* headers,
                                                               size_t header_count,
                                                               envoy_buffer body,
                                                               envoy_buffer details);

// Functions that the Go side calls. It passes Go memory without Go pointers in it, which Envoy
// copies.

static inline void log_error(const char* message, size_t length) {
  envoy_dynamic_module_callback_log_v2(LOG_ERROR, (envoy_buffer){message, length},
                                       (envoy_buffer){NULL, 0}, 0);
}

static inline bool get_header(void* filter, int type, const char* key, size_t key_length,
                              size_t index, envoy_buffer* value) {
  size_t count = 0;
  envoy_buffer name = {key, key_length};
  return envoy_dynamic_module_callback_http_get_header(filter, type, name, value, index, &count) &&
         index < count;
}

static inline void remove_header(void* filter, int type, const char* key, size_t key_length) {
  envoy_buffer name = {key, key_length};
  envoy_dynamic_module_callback_http_set_header(filter, type, name, (envoy_buffer){NULL, 0});
}

static inline void set_header(void* filter, int type, const char* key, size_t key_length,
                              const char* value, size_t length) {
  envoy_buffer name = {key, key_length};
  envoy_dynamic_module_callback_http_set_header(filter, type, name, (envoy_buffer){value, length});
}

static inline void add_header(void* filter, int type, const char* key, size_t key_length,
                              const char* value, size_t length) {
  envoy_buffer name = {key, key_length};
  envoy_dynamic_module_callback_http_add_header(filter, type, name, (envoy_buffer){value, length});
}

static inline void refuse(void* filter, const char* body, size_t length) {
  envoy_header type = {{"content-type", 12}, {"application/json", 16}};
  envoy_dynamic_module_callback_http_send_response(filter, 503, &type, 1,
                                                   (envoy_buffer){body, length},
                                                   (envoy_buffer){"no_account_available", 20});
}

#endif
