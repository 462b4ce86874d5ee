// A stand-in for Envoy: the callbacks that the filter imports, and objects that call its hooks.
//
// It is meaner than Envoy. A view ends when the filter changes a header or a hook returns: then
// every value moves to a new block, and the old one is overwritten and freed, so that
// AddressSanitizer sees any later read. The program ends where an assertion of Envoy's would fail,
// or the filter breaks the contract of the interface.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "envoy_abi.h"

namespace standin {

// A block of exactly the text's length.
class Value {
 public:
  explicit Value(std::string_view text);
  Value(Value&&) noexcept;
  Value& operator=(Value&&) noexcept;
  ~Value();

  std::string_view view() const { return {block_, size_}; }
  envoy_buffer buffer() const { return {block_, size_}; }
  // Ends the views.
  void Move() { *this = Value(view()); }

 private:
  char* block_;
  size_t size_;
};

using Fields = std::vector<std::pair<std::string, std::string>>;

// The header fields of a message, in order. Names are in lower case.
class Headers {
 public:
  void Add(std::string_view name, std::string_view value) {
    fields_.emplace_back(Value(name), Value(value));
  }
  void Set(std::string_view name, std::string_view value);
  void Remove(std::string_view name);
  void EndViews();

  std::vector<std::string> Get(std::string_view name) const;
  Fields All() const;
  size_t size() const { return fields_.size(); }
  // Views of all fields, written to `size()` places.
  void Views(envoy_header* views) const;

 private:
  std::vector<std::pair<Value, Value>> fields_;
};

// A body, or a part of one, in pieces.
class Body {
 public:
  // Appends pieces of at most `piece` bytes.
  void Append(std::string_view text, size_t piece);
  // False if the body is shorter.
  bool Drain(size_t size);
  void EndViews();

  size_t size() const;
  size_t pieces() const { return pieces_.size(); }
  void Views(envoy_buffer* views) const;
  std::string Take();
  std::string text() const;

 private:
  std::list<Value> pieces_;
};

// The counters and gauges of a metrics namespace, which configurations share. They outlive them.
class Metrics {
 public:
  struct Metric {
    std::string name;
    bool gauge;
    std::atomic<uint64_t> value{0};
  };
  // Returns the metric of this name, made by the first call.
  Metric* Define(std::string_view name, bool gauge);
  uint64_t Get(std::string_view name) const;
  // The sum of the counters whose names begin with the prefix.
  uint64_t Sum(std::string_view prefix) const;

 private:
  mutable std::mutex mutex_;
  std::list<Metric> metrics_;
};

// A filter's configuration, from a JSON text. Made on the main thread.
class Config {
 public:
  explicit Config(std::string_view text,
                  std::shared_ptr<Metrics> metrics = std::make_shared<Metrics>(),
                  std::string_view filter_name = "tokenpin");
  Config(const Config&) = delete;
  ~Config() { Destroy(); }

  bool accepted() const { return module_ != nullptr; }
  module_pointer module() const { return module_; }
  // Ends the configuration, as Envoy does when it replaces it.
  void Destroy();
  // Runs the events committed since the last call, on this thread. Returns their number.
  size_t RunMain();

  uint64_t Metric(std::string_view name) const { return metrics_->Get(name); }
  uint64_t Sum(std::string_view prefix) const { return metrics_->Sum(prefix); }

  // For the callbacks.
  // Envoy numbers from 1.
  Metrics::Metric* Find(size_t id) {
    return id == 0 || id > defined_.size() ? nullptr : defined_[id - 1];
  }
  int Define(std::string_view name, bool gauge, size_t* id);
  // The part that a scheduler may still reach after the configuration is gone.
  struct Queue {
    std::mutex mutex;
    std::vector<uint64_t> events;
    bool gone = false;
  };
  const std::shared_ptr<Queue>& queue() const { return queue_; }

 private:
  const std::shared_ptr<Metrics> metrics_;
  std::vector<Metrics::Metric*> defined_;
  bool frozen_ = false;
  std::shared_ptr<Queue> queue_ = std::make_shared<Queue>();
  module_pointer module_ = nullptr;
};

// A route's configuration.
class Route {
 public:
  explicit Route(std::string_view text);
  Route(const Route&) = delete;
  ~Route();

  bool accepted() const { return module_ != nullptr; }
  module_pointer module() const { return module_; }

 private:
  module_pointer module_;
};

// One request and its response. Used by one thread.
class Stream {
 public:
  explicit Stream(Config* config, std::shared_ptr<const Route> route = nullptr);
  Stream(const Stream&) = delete;
  ~Stream();

  Headers request, response;
  // By namespace and key. Null is a value that is no text.
  std::map<std::pair<std::string, std::string>, std::optional<Value>> metadata;
  std::map<std::string, Value> filter_state;
  uint64_t connection = 0;  // 0: Envoy does not know
  size_t route_cache_cleared = 0;

  struct LocalReply {
    uint32_t status;
    Fields headers;
    std::string body, details;
  };
  std::optional<LocalReply> local_reply;
  // Finds the route. Called when the request comes, when it begins again in `next`, and when the
  // filter clears the cache.
  std::function<std::shared_ptr<const Route>()> choose_route;
  // Replaces the route, or removes it, between two hooks.
  void SetRoute(std::shared_ptr<const Route> route);

  // True if the route keeps the request's body for another try.
  bool keeps_body = false;
  // The most bytes of a body that Envoy buffers; 0: no limit.
  size_t buffer_limit = 1 << 20;
  // The most bytes of a body in one piece of memory.
  size_t piece = 16384;
  // True if a filter in front hands over a body that it has buffered.
  bool buffered_in_front = false;
  // True if Envoy can begin the request again when the filter asks for it.
  bool can_recreate = true;
  // The stream that replaces this one. The filter has already seen its request.
  std::unique_ptr<Stream> next;

  // These three are false if the filter stopped the request, or answered it.
  bool SendRequest(bool end_of_stream = true);
  bool SendBody(std::string_view text, bool end_of_stream);
  bool SendTrailers();
  // The body that the upstream got so far, and the one that the client got.
  std::string upstream_body, client_body;
  // Sends the headers of the upstream's response, or of Envoy's own with the details of Envoy.
  // These three are false if the filter holds the response, or if `next` took over.
  bool SendResponse(std::string_view details = "via_upstream", bool end_of_stream = true);
  bool SendResponseBody(std::string_view text, bool end_of_stream);
  bool SendResponseTrailers();
  // Runs `call`, which uses Envoy's callbacks, as a hook does.
  void InHook(const std::function<void()>& call);
  // The value that the filter wrote to its namespace of the dynamic metadata; empty without one.
  std::string Told(const std::string& key) const;

  // For the callbacks.
  Config* config() const { return config_; }
  const Route* route() const { return route_.get(); }
  const std::optional<Value>& details() const { return details_; }
  Headers* Map(int type);
  Body* BodyOf(int body);
  bool in_trailers() const { return in_trailers_; }
  bool gone() const { return module_ == nullptr; }
  void ClearRouteCache();
  bool Recreate();
  void EndViews();

 private:
  template <typename Call>
  int Run(Call call);
  void Leave();

  Config* const config_;
  std::shared_ptr<const Route> route_;
  std::optional<Value> details_;
  module_pointer module_ = nullptr;
  bool PassBody(int told, bool end_of_stream);

  // By the kind of body.
  std::array<Body, 4> bodies_;
  bool waits_ = false;        // the filter holds the request
  bool passed_ = false;       // the upstream has its headers
  bool in_trailers_ = false;  // a hook of trailers runs
};

struct Line {
  int level;
  std::string text;
};
// The lines logged since the last call.
std::vector<Line> TakeLog();

// The time that the filter sees. Starts at kStart; the keeper's intervals are real.
constexpr uint64_t kStart = 1800000000;
void SetTime(uint64_t now);
uint64_t Time();
// While set, the system gives no random bytes.
void FailRandom(bool fail);
// While set, the system starts no thread.
void FailThreads(bool fail);
// Envoy's `--mode validate`.
void SetValidationMode(bool on);

// True if this thread runs the filter, and not one of its callbacks.
bool InFilter();

}  // namespace standin
