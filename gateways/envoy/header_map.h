// Envoy's header maps, in terms of std::string_view.
#pragma once

#include <string_view>
#include <vector>

#include "envoy_abi.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

inline envoy_buffer Buffer(std::string_view text) { return {text.data(), text.size()}; }

inline std::string_view View(envoy_buffer buffer) { return {buffer.ptr, buffer.length}; }

// Without blanks around it.
inline std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Takes the first element off a list with commas.
inline std::string_view TakeElement(std::string_view* list) {
  const size_t comma = list->find(',');
  const std::string_view element = Trim(list->substr(0, comma));
  list->remove_prefix(comma == list->npos ? list->size() : comma + 1);
  return element;
}

// The headers of a map, all read in one call: looking up a single one that is not Envoy's own takes
// longer. Everything in it is valid until a header is changed.
class HeaderList {
 public:
  void Read(envoy_filter envoy, int type) {
    headers_.resize(envoy_dynamic_module_callback_http_get_headers_size(envoy, type));
    if (!envoy_dynamic_module_callback_http_get_headers(envoy, type, headers_.data())) {
      headers_.clear();
    }
  }

  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  // Empty if there is none.
  std::string_view First(std::string_view name) const {
    const envoy_header* const found = Find(name);
    return found == nullptr ? std::string_view()
                            : std::string_view(found->value, found->value_length);
  }

  // Appends the values of a header.
  [[gnu::noinline]] void All(std::string_view name, std::vector<tokenpin::Bytes>* values) const {
    for (const envoy_header& header : headers_) {
      if (Is(header, name)) values->push_back({header.value, header.value_length});
    }
  }

 private:
  static bool Is(const envoy_header& header, std::string_view name) {
    return std::string_view(header.key, header.key_length) == name;
  }
  // One loop for all that ask: code that a request has not run lately takes longer to fetch than to
  // run.
  [[gnu::noinline]] const envoy_header* Find(std::string_view name) const {
    for (const envoy_header& header : headers_) {
      if (Is(header, name)) return &header;
    }
    return nullptr;
  }

  std::vector<envoy_header> headers_;
};

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
