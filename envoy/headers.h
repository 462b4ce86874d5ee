// Envoy's header maps, in terms of std::string_view.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "envoy_abi.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

inline envoy_buffer Buffer(std::string_view text) { return {text.data(), text.size()}; }

inline std::string_view View(envoy_buffer buffer) { return {buffer.ptr, buffer.length}; }

// Appends the values of a header. They are views, valid until a header is changed.
inline void ReadHeader(envoy_filter envoy, int type, std::string_view name,
                       std::vector<tokenpin::Bytes>* values) {
  size_t count = 1;
  for (size_t i = 0; i < count; ++i) {
    envoy_buffer value{};
    if (!envoy_dynamic_module_callback_http_get_header(envoy, type, Buffer(name), &value, i,
                                                       &count)) {
      return;
    }
    values->push_back({value.ptr, value.length});
  }
}

// Empty if there is none.
inline std::string_view FirstHeader(envoy_filter envoy, int type, std::string_view name) {
  envoy_buffer value{};
  size_t count = 0;
  envoy_dynamic_module_callback_http_get_header(envoy, type, Buffer(name), &value, 0, &count);
  return View(value);
}

using HeaderValues = std::map<std::string, std::vector<std::string>>;

// Copies of all.
inline HeaderValues ReadAllHeaders(envoy_filter envoy, int type) {
  std::vector<envoy_header> headers(
      envoy_dynamic_module_callback_http_get_headers_size(envoy, type));
  HeaderValues values;
  if (!envoy_dynamic_module_callback_http_get_headers(envoy, type, headers.data())) return values;
  for (const envoy_header& header : headers) {
    values[std::string(header.key, header.key_length)].emplace_back(header.value,
                                                                    header.value_length);
  }
  return values;
}

inline void AddHeader(envoy_filter envoy, int type, std::string_view name, std::string_view value) {
  envoy_dynamic_module_callback_http_add_header(envoy, type, Buffer(name), Buffer(value));
}

// In place of all that there are.
inline void SetHeader(envoy_filter envoy, int type, std::string_view name, std::string_view value) {
  envoy_dynamic_module_callback_http_set_header(envoy, type, Buffer(name), Buffer(value));
}

inline void RemoveHeader(envoy_filter envoy, int type, std::string_view name) {
  envoy_dynamic_module_callback_http_set_header(envoy, type, Buffer(name), {nullptr, 0});
}

}  // namespace tokenpin_envoy
