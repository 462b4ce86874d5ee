// The filter with a stop watch around its hooks. The filter's own hooks are linked under other
// names, which end in `_untimed`.
//
// The file that the environment variable TOKENPIN_TIMES names receives, for each hook, the number
// of its calls and the durations of the last ones.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "envoy_abi.h"

namespace {

using Clock = std::chrono::steady_clock;

// Those of bodies are two each, because their last call is of another kind.
enum Hook {
  kNew,
  kRequestHeaders,
  kRequestBody,
  kRequestBodyEnd,
  kRequestTrailers,
  kResponseHeaders,
  kResponseBody,
  kResponseBodyEnd,
  kResponseTrailers,
  kComplete,
  kDestroy,
  kHooks,
};

// Written by one worker, read by another process.
struct Times {
  uint64_t calls;
  uint32_t nanoseconds[1 << 16];
};

Times* Open() {
  const char* const path = std::getenv("TOKENPIN_TIMES");
  const int file = path == nullptr ? -1 : open(path, O_RDWR | O_CREAT, 0600);
  constexpr size_t kSize = sizeof(Times) * kHooks;
  if (file < 0 || ftruncate(file, kSize) != 0) std::abort();
  void* const memory = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) std::abort();
  return static_cast<Times*>(memory);
}

Times* const times = Open();

class Watch {
 public:
  explicit Watch(Hook hook) : times_(times[hook]), begin_(Clock::now()) {}
  ~Watch() {
    const auto spent = std::chrono::nanoseconds(Clock::now() - begin_).count();
    times_.nanoseconds[times_.calls++ % (1 << 16)] = static_cast<uint32_t>(spent);
  }

 private:
  Times& times_;
  const Clock::time_point begin_;
};

}  // namespace

extern "C" {

module_pointer envoy_dynamic_module_on_http_filter_new_untimed(module_pointer, envoy_filter);
void envoy_dynamic_module_on_http_filter_destroy_untimed(module_pointer);
int envoy_dynamic_module_on_http_filter_request_headers_untimed(envoy_filter, module_pointer, bool);
int envoy_dynamic_module_on_http_filter_request_body_untimed(envoy_filter, module_pointer, bool);
int envoy_dynamic_module_on_http_filter_request_trailers_untimed(envoy_filter, module_pointer);
int envoy_dynamic_module_on_http_filter_response_headers_untimed(envoy_filter, module_pointer,
                                                                 bool);
int envoy_dynamic_module_on_http_filter_response_body_untimed(envoy_filter, module_pointer, bool);
int envoy_dynamic_module_on_http_filter_response_trailers_untimed(envoy_filter, module_pointer);
void envoy_dynamic_module_on_http_filter_stream_complete_untimed(envoy_filter, module_pointer);

module_pointer envoy_dynamic_module_on_http_filter_new(module_pointer chain,
                                                       envoy_filter envoy) noexcept {
  const Watch watch(kNew);
  return envoy_dynamic_module_on_http_filter_new_untimed(chain, envoy);
}

void envoy_dynamic_module_on_http_filter_destroy(module_pointer stream) noexcept {
  const Watch watch(kDestroy);
  envoy_dynamic_module_on_http_filter_destroy_untimed(stream);
}

int envoy_dynamic_module_on_http_filter_request_headers(envoy_filter envoy, module_pointer stream,
                                                        bool end) noexcept {
  const Watch watch(kRequestHeaders);
  return envoy_dynamic_module_on_http_filter_request_headers_untimed(envoy, stream, end);
}

int envoy_dynamic_module_on_http_filter_request_body(envoy_filter envoy, module_pointer stream,
                                                     bool end) noexcept {
  const Watch watch(end ? kRequestBodyEnd : kRequestBody);
  return envoy_dynamic_module_on_http_filter_request_body_untimed(envoy, stream, end);
}

int envoy_dynamic_module_on_http_filter_request_trailers(envoy_filter envoy,
                                                         module_pointer stream) noexcept {
  const Watch watch(kRequestTrailers);
  return envoy_dynamic_module_on_http_filter_request_trailers_untimed(envoy, stream);
}

int envoy_dynamic_module_on_http_filter_response_headers(envoy_filter envoy, module_pointer stream,
                                                         bool end) noexcept {
  const Watch watch(kResponseHeaders);
  return envoy_dynamic_module_on_http_filter_response_headers_untimed(envoy, stream, end);
}

int envoy_dynamic_module_on_http_filter_response_body(envoy_filter envoy, module_pointer stream,
                                                      bool end) noexcept {
  const Watch watch(end ? kResponseBodyEnd : kResponseBody);
  return envoy_dynamic_module_on_http_filter_response_body_untimed(envoy, stream, end);
}

int envoy_dynamic_module_on_http_filter_response_trailers(envoy_filter envoy,
                                                          module_pointer stream) noexcept {
  const Watch watch(kResponseTrailers);
  return envoy_dynamic_module_on_http_filter_response_trailers_untimed(envoy, stream);
}

void envoy_dynamic_module_on_http_filter_stream_complete(envoy_filter envoy,
                                                         module_pointer stream) noexcept {
  const Watch watch(kComplete);
  envoy_dynamic_module_on_http_filter_stream_complete_untimed(envoy, stream);
}

}  // extern "C"
