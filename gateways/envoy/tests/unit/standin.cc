#include "standin.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>

namespace standin {
namespace {

std::atomic<uint64_t> now{kStart};
std::atomic<bool> random_fails{false};
std::atomic<bool> threads_fail{false};
std::atomic<bool> validation_mode{false};
std::mutex log_mutex;
std::vector<Line> log_lines;

// The stream whose hook runs on this thread, and the depth of hooks less that of callbacks.
thread_local const Stream* running = nullptr;
thread_local bool in_filter = false;

// In a hook.
struct Hook {
  const bool before = in_filter;
  Hook() { in_filter = true; }
  ~Hook() { in_filter = before; }
};

// In a callback.
struct Callback {
  const bool before = in_filter;
  Callback() { in_filter = false; }
  ~Callback() { in_filter = before; }
};

[[noreturn]] void Broken(const char* what) {
  std::fprintf(stderr, "the filter breaks the contract: %s\n", what);
  std::abort();
}

void Expect(bool good, const char* what) {
  if (!good) Broken(what);
}

std::string_view View(envoy_buffer buffer) { return {buffer.ptr, buffer.length}; }

Stream* StreamOf(envoy_filter filter) {
  auto* stream = static_cast<Stream*>(filter);
  Expect(stream == running, "a stream's callback outside of its hooks");
  Expect(!stream->gone(), "a callback of a stream that is gone");
  return stream;
}

std::string_view NameOf(envoy_buffer name) {
  const auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  const std::string_view text = View(name);
  Expect(!text.empty(), "a header without a name");
  Expect(std::none_of(text.begin(), text.end(), upper), "a header's name is not in lower case");
  return text;
}

std::string_view ValueOf(envoy_buffer value) {
  const std::string_view text = View(value);
  Expect(value.ptr != nullptr, "a header's value is null");
  Expect(text.find_first_of(std::string_view("\0\r\n", 3)) == text.npos,
         "a header's value breaks its line");
  return text;
}

}  // namespace

Value::Value(std::string_view text)
    : block_(static_cast<char*>(std::malloc(text.size()))), size_(text.size()) {
  if (size_ != 0) std::memcpy(block_, text.data(), size_);
}

Value::Value(Value&& other) noexcept
    : block_(std::exchange(other.block_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Value& Value::operator=(Value&& other) noexcept {
  std::swap(block_, other.block_);
  std::swap(size_, other.size_);
  return *this;
}

Value::~Value() {
  if (size_ != 0) std::memset(block_, 0xdd, size_);
  std::free(block_);
}

void Headers::Set(std::string_view name, std::string_view value) {
  // Both may be views of the field that is to be replaced.
  std::pair<Value, Value> field(name, value);
  Remove(name);
  fields_.push_back(std::move(field));
}

void Headers::Remove(std::string_view name) {
  const auto same = [&](const auto& field) { return field.first.view() == name; };
  fields_.erase(std::remove_if(fields_.begin(), fields_.end(), same), fields_.end());
}

void Headers::EndViews() {
  for (auto& [name, value] : fields_) {
    name.Move();
    value.Move();
  }
}

std::vector<std::string> Headers::Get(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [key, value] : fields_) {
    if (key.view() == name) values.emplace_back(value.view());
  }
  return values;
}

void Headers::Views(envoy_header* views) const {
  for (const auto& [name, value] : fields_) {
    *views++ = {name.view().data(), name.view().size(), value.view().data(), value.view().size()};
  }
}

Fields Headers::All() const {
  Fields all;
  for (const auto& [key, value] : fields_) all.emplace_back(key.view(), value.view());
  return all;
}

void Body::Append(std::string_view text, size_t piece) {
  for (; !text.empty(); text.remove_prefix(std::min(piece, text.size()))) {
    pieces_.emplace_back(text.substr(0, piece));
  }
}

bool Body::Drain(size_t size) {
  if (size > this->size()) return false;
  while (size != 0) {
    const std::string_view first = pieces_.front().view();
    const size_t taken = std::min(size, first.size());
    if (taken < first.size()) pieces_.emplace(std::next(pieces_.begin()), first.substr(taken));
    pieces_.pop_front();
    size -= taken;
  }
  return true;
}

void Body::EndViews() {
  for (Value& piece : pieces_) piece.Move();
}

size_t Body::size() const {
  size_t size = 0;
  for (const Value& piece : pieces_) size += piece.view().size();
  return size;
}

void Body::Views(envoy_buffer* views) const {
  for (const Value& piece : pieces_) *views++ = piece.buffer();
}

std::string Body::text() const {
  std::string text;
  for (const Value& piece : pieces_) text += piece.view();
  return text;
}

std::string Body::Take() {
  std::string taken = text();
  pieces_.clear();
  return taken;
}

Metrics::Metric* Metrics::Define(std::string_view name, bool gauge) {
  const std::lock_guard lock(mutex_);
  for (Metric& metric : metrics_) {
    if (metric.name != name) continue;
    Expect(metric.gauge == gauge, "a counter and a gauge have one name");
    return &metric;
  }
  Metric& metric = metrics_.emplace_back();
  metric.name = name;
  metric.gauge = gauge;
  return &metric;
}

uint64_t Metrics::Get(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  for (const Metric& metric : metrics_) {
    if (metric.name == name) return metric.value;
  }
  Broken("a metric is not defined");
}

uint64_t Metrics::Sum(std::string_view prefix) const {
  const std::lock_guard lock(mutex_);
  uint64_t sum = 0;
  for (const Metric& metric : metrics_) {
    if (metric.name.compare(0, prefix.size(), prefix) == 0) sum += metric.value;
  }
  return sum;
}

Config::Config(std::string_view text, std::shared_ptr<Metrics> metrics,
               std::string_view filter_name)
    : metrics_(std::move(metrics)) {
  const Value name(filter_name), copy(text);
  const Hook hook;
  module_ = envoy_dynamic_module_on_http_filter_config_new(this, name.buffer(), copy.buffer());
  frozen_ = true;
}

void Config::Destroy() {
  if (module_ != nullptr) {
    const Hook hook;
    envoy_dynamic_module_on_http_filter_config_destroy(module_);
  }
  module_ = nullptr;
  const std::lock_guard lock(queue_->mutex);
  queue_->gone = true;
}

size_t Config::RunMain() {
  std::vector<uint64_t> events;
  {
    const std::lock_guard lock(queue_->mutex);
    events.swap(queue_->events);
  }
  // The events of a configuration that is gone are dropped.
  if (module_ == nullptr) return 0;
  const Hook hook;
  for (const uint64_t event : events) {
    envoy_dynamic_module_on_http_filter_config_scheduled(this, module_, event);
  }
  return events.size();
}

int Config::Define(std::string_view name, bool gauge, size_t* id) {
  if (frozen_) return 3;
  defined_.push_back(metrics_->Define(name, gauge));
  *id = defined_.size();
  return 0;
}

Route::Route(std::string_view text) {
  const Value name("tokenpin"), copy(text);
  const Hook hook;
  module_ = envoy_dynamic_module_on_http_filter_per_route_config_new(name.buffer(), copy.buffer());
}

Route::~Route() {
  if (module_ == nullptr) return;
  const Hook hook;
  envoy_dynamic_module_on_http_filter_per_route_config_destroy(module_);
}

Stream::Stream(Config* config, std::shared_ptr<const Route> route) : config_(config) {
  SetRoute(std::move(route));
  const Hook hook;
  module_ = envoy_dynamic_module_on_http_filter_new(config->module(), this);
}

// Runs a hook of the stream's filter, maybe within a callback of another stream's.
template <typename Call>
int Stream::Run(Call call) {
  const Stream* const outer = std::exchange(running, this);
  int told;
  {
    const Hook hook;
    told = call();
  }
  running = outer;
  EndViews();
  return told;
}

void Stream::InHook(const std::function<void()>& call) {
  Run([&] {
    call();
    return 0;
  });
}

Stream::~Stream() {
  if (!gone()) Leave();
}

void Stream::Leave() {
  Run([&] {
    envoy_dynamic_module_on_http_filter_stream_complete(this, module_);
    return 0;
  });
  const Hook hook;
  envoy_dynamic_module_on_http_filter_destroy(module_);
  module_ = nullptr;
}

void Stream::SetRoute(std::shared_ptr<const Route> route) {
  route_ = route;
  choose_route = [route = std::move(route)] { return route; };
}

bool Stream::SendRequest(bool end_of_stream) {
  route_ = choose_route();
  const int told = Run([&] {
    return envoy_dynamic_module_on_http_filter_request_headers(this, module_, end_of_stream);
  });
  waits_ = told == kStopIteration && !local_reply;
  passed_ = told == kContinue;
  Expect(told == kContinue || told == kStopIteration, "a request is stopped in another way");
  Expect(passed_ != local_reply.has_value() || waits_, "a request is answered, and continues");
  Expect(!waits_ || !end_of_stream, "a request is held that has ended");
  return told == kContinue;
}

bool Stream::SendBody(std::string_view text, bool end_of_stream) {
  Expect(!local_reply, "the test sends more of a request that is answered");
  Body& received = bodies_[kReceivedRequestBody];
  received.Append(text, piece);
  const int told = Run([&] {
    return envoy_dynamic_module_on_http_filter_request_body(this, module_, end_of_stream);
  });
  return PassBody(told, end_of_stream);
}

bool Stream::SendTrailers() {
  in_trailers_ = true;
  const int told =
      Run([&] { return envoy_dynamic_module_on_http_filter_request_trailers(this, module_); });
  in_trailers_ = false;
  Expect(told == (local_reply ? kStopIteration : kContinue), "a request is held that has ended");
  return PassBody(told == kContinue ? kContinue : kStopBodyNoBuffer, true);
}

// Passes, holds or drops the part of the request that just came. True if the request continues.
bool Stream::PassBody(int told, bool end_of_stream) {
  Body& received = bodies_[kReceivedRequestBody];
  Body& buffered = bodies_[kBufferedRequestBody];
  const std::string part = received.Take();
  if (told == kContinue) {
    // A part that has passed may be kept for another try.
    const std::string held = passed_ ? "" : buffered.Take();
    upstream_body += held + part;
    if (keeps_body) buffered.Append(held + part, piece);
    passed_ = true;
    waits_ = false;
    return true;
  }
  Expect(waits_, "the body of a request is stopped that went on");
  if (told == kStopBodyAndBuffer) {
    Expect(!end_of_stream, "a request is held that has ended");
    buffered.Append(part, piece);
    Expect(buffer_limit == 0 || buffered.size() <= buffer_limit, "Envoy answers 413");
  } else {
    Expect(told == kStopBodyNoBuffer, "the body of a request is stopped in another way");
    Expect(local_reply || (part.empty() && buffered.size() == 0), "a part of the body is lost");
    Expect(local_reply || !end_of_stream, "a request is held that has ended");
  }
  return false;
}

bool Stream::SendResponse(std::string_view details, bool end_of_stream) {
  details_.emplace(details);
  const int told = Run([&] {
    return envoy_dynamic_module_on_http_filter_response_headers(this, module_, end_of_stream);
  });
  Expect(told == kContinue || (told == kStopIteration && (next || !end_of_stream)),
         "a response is held that has ended");
  return told == kContinue;
}

bool Stream::SendResponseBody(std::string_view text, bool end_of_stream) {
  Body& received = bodies_[kReceivedResponseBody];
  Body& buffered = bodies_[kBufferedResponseBody];
  received.Append(text, piece);
  const int told = Run([&] {
    return envoy_dynamic_module_on_http_filter_response_body(this, module_, end_of_stream);
  });
  Expect(told == kContinue || told == (next ? kStopBodyNoBuffer : kStopBodyAndWatermark),
         "a response's body is stopped in another way");
  Expect(told == kContinue || next || !end_of_stream, "a response is held that has ended");
  const std::string part = received.Take();
  if (told == kStopBodyAndWatermark) {
    buffered.Append(part, piece);
  } else if (told == kContinue) {
    client_body += buffered.Take() + part;
  }
  Expect(buffer_limit == 0 || buffered.size() <= buffer_limit,
         "a response is held that Envoy stops");
  return told == kContinue;
}

bool Stream::SendResponseTrailers() {
  in_trailers_ = true;
  const int told =
      Run([&] { return envoy_dynamic_module_on_http_filter_response_trailers(this, module_); });
  in_trailers_ = false;
  Expect(told == (next ? kStopIteration : kContinue), "a response is held that has ended");
  if (told == kContinue) client_body += bodies_[kBufferedResponseBody].Take();
  return told == kContinue;
}

Body* Stream::BodyOf(int body) {
  Expect(body >= 0 && static_cast<size_t>(body) < bodies_.size(), "no such body");
  return &bodies_[static_cast<size_t>(body)];
}

void Stream::ClearRouteCache() {
  ++route_cache_cleared;
  route_ = choose_route();
}

bool Stream::Recreate() {
  if (!can_recreate) return false;
  details_.emplace("internal_redirect");
  // The filter's object is destroyed before its hook returns.
  Leave();
  next = std::make_unique<Stream>(config_);
  next->choose_route = choose_route;
  for (const auto& [name, value] : request.All()) next->request.Add(name, value);
  // The filters in front have run again.
  for (const auto& [key, value] : metadata) {
    if (key.first == "tokenpin") continue;
    next->metadata[key] = value ? std::optional<Value>(value->view()) : std::nullopt;
  }
  for (const auto& [key, value] : filter_state) {
    next->filter_state.emplace(key, Value(value.view()));
  }
  next->connection = connection;
  next->keeps_body = keeps_body;
  next->can_recreate = can_recreate;
  next->buffer_limit = buffer_limit;
  next->piece = piece;
  const std::string kept = bodies_[kBufferedRequestBody].Take();
  next->SendRequest(kept.empty());
  if (!kept.empty() && !next->local_reply) next->SendBody(kept, true);
  return true;
}

void Stream::EndViews() {
  request.EndViews();
  response.EndViews();
  for (auto& [key, value] : metadata) {
    if (value) value->Move();
  }
  for (auto& [key, value] : filter_state) value.Move();
  if (details_) details_->Move();
  for (Body& body : bodies_) body.EndViews();
}

std::string Stream::Told(const std::string& key) const {
  const auto found = metadata.find({"tokenpin", key});
  return found == metadata.end() ? "" : std::string(found->second->view());
}

Headers* Stream::Map(int type) {
  Expect(type == kRequestHeader || type == kResponseHeader, "no such map of headers");
  return type == kRequestHeader ? &request : &response;
}

std::vector<Line> TakeLog() {
  const std::lock_guard lock(log_mutex);
  return std::exchange(log_lines, {});
}

void SetTime(uint64_t time) { now = time; }
uint64_t Time() { return now; }
void FailRandom(bool fail) { random_fails = fail; }
void FailThreads(bool fail) { threads_fail = fail; }
void SetValidationMode(bool on) { validation_mode = on; }
bool InFilter() { return in_filter; }

}  // namespace standin

using standin::Callback;
using standin::Expect;
using standin::StreamOf;
using standin::View;

extern "C" {

// Replaces the system's functions.
time_t time(time_t* out) noexcept {
  const auto time = static_cast<time_t>(standin::now.load());
  if (out != nullptr) *out = time;
  return time;
}

ssize_t getrandom(void* memory, size_t size, unsigned int) noexcept {
  if (standin::random_fails) {
    errno = ENOSYS;
    return -1;
  }
  // Not random, but different in each call.
  static std::atomic<uint64_t> state{1};
  auto* bytes = static_cast<unsigned char*>(memory);
  for (size_t i = 0; i < size; ++i) {
    const uint64_t x = ++state * 0x9e3779b97f4a7c15;
    bytes[i] = static_cast<unsigned char>((x ^ x >> 29) >> 24);
  }
  return static_cast<ssize_t>(size);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                   void* argument) noexcept {
  if (standin::threads_fail) return EAGAIN;
  static const auto real =
      reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
  return real(thread, attributes, start, argument);
}

void envoy_dynamic_module_callback_log_v2(int level, envoy_buffer message, envoy_buffer, uint32_t) {
  const Callback callback;
  const std::lock_guard lock(standin::log_mutex);
  standin::log_lines.push_back({level, std::string(View(message))});
}

size_t envoy_dynamic_module_callback_http_get_headers_size(envoy_filter filter, int type) {
  const Callback callback;
  return StreamOf(filter)->Map(type)->size();
}

bool envoy_dynamic_module_callback_http_get_headers(envoy_filter filter, int type,
                                                    envoy_header* headers) {
  const Callback callback;
  StreamOf(filter)->Map(type)->Views(headers);
  return true;
}

bool envoy_dynamic_module_callback_http_get_header(envoy_filter filter, int type, envoy_buffer key,
                                                   envoy_buffer* value, size_t index, size_t*) {
  const Callback callback;
  std::vector<envoy_header> views(StreamOf(filter)->Map(type)->size());
  StreamOf(filter)->Map(type)->Views(views.data());
  for (const envoy_header& header : views) {
    if (std::string_view(header.key, header.key_length) != standin::NameOf(key)) continue;
    if (index-- != 0) continue;
    *value = {header.value, header.value_length};
    return true;
  }
  return false;
}

bool envoy_dynamic_module_callback_http_set_header(envoy_filter filter, int type, envoy_buffer key,
                                                   envoy_buffer value) {
  const Callback callback;
  standin::Stream* stream = StreamOf(filter);
  Expect(!stream->local_reply, "a header is set after the answer");
  standin::Headers* map = stream->Map(type);
  // As in Envoy, a header with an empty value cannot be set.
  if (value.ptr == nullptr || value.length == 0) {
    map->Remove(standin::NameOf(key));
  } else {
    map->Set(standin::NameOf(key), standin::ValueOf(value));
  }
  stream->request.EndViews();
  stream->response.EndViews();
  return true;
}

bool envoy_dynamic_module_callback_http_add_header(envoy_filter filter, int type, envoy_buffer key,
                                                   envoy_buffer value) {
  const Callback callback;
  standin::Stream* stream = StreamOf(filter);
  Expect(!stream->local_reply, "a header is added after the answer");
  if (value.length == 0) return false;
  stream->Map(type)->Add(standin::NameOf(key), standin::ValueOf(value));
  stream->request.EndViews();
  stream->response.EndViews();
  return true;
}

void envoy_dynamic_module_callback_http_send_response(envoy_filter filter, uint32_t status,
                                                      envoy_header* headers, size_t header_count,
                                                      envoy_buffer body, envoy_buffer details) {
  const Callback callback;
  standin::Stream* stream = StreamOf(filter);
  Expect(!stream->local_reply, "a request is answered twice");
  auto& reply = stream->local_reply.emplace();
  reply.status = status;
  for (size_t i = 0; i < header_count; ++i) {
    reply.headers.emplace_back(standin::NameOf({headers[i].key, headers[i].key_length}),
                               standin::ValueOf({headers[i].value, headers[i].value_length}));
  }
  reply.body = View(body);
  reply.details = View(details);
}

bool envoy_dynamic_module_callback_http_filter_get_attribute_string(envoy_filter filter,
                                                                    int attribute,
                                                                    envoy_buffer* value) {
  const Callback callback;
  standin::Stream* stream = StreamOf(filter);
  Expect(attribute == kAttributeResponseCodeDetails, "an attribute that the stand-in lacks");
  if (!stream->details()) return false;
  *value = stream->details()->buffer();
  return true;
}

bool envoy_dynamic_module_callback_http_filter_get_attribute_int(envoy_filter filter, int attribute,
                                                                 uint64_t* value) {
  const Callback callback;
  standin::Stream* stream = StreamOf(filter);
  Expect(attribute == kAttributeConnectionId, "an attribute that the stand-in lacks");
  if (stream->connection == 0) return false;
  *value = stream->connection;
  return true;
}

bool envoy_dynamic_module_callback_http_get_metadata_string(envoy_filter filter, int source,
                                                            envoy_buffer space, envoy_buffer key,
                                                            envoy_buffer* value) {
  const Callback callback;
  standin::Stream* stream = StreamOf(filter);
  Expect(source == kMetadataDynamic, "metadata that the stand-in lacks");
  const auto found = stream->metadata.find({std::string(View(space)), std::string(View(key))});
  if (found == stream->metadata.end() || !found->second) return false;
  *value = found->second->buffer();
  return true;
}

void envoy_dynamic_module_callback_http_set_dynamic_metadata_string(envoy_filter filter,
                                                                    envoy_buffer space,
                                                                    envoy_buffer key,
                                                                    envoy_buffer value) {
  const Callback callback;
  standin::Stream* stream = StreamOf(filter);
  stream->metadata[{std::string(View(space)), std::string(View(key))}] =
      standin::Value(View(value));
  for (auto& [name, text] : stream->metadata) {
    if (text) text->Move();
  }
}

bool envoy_dynamic_module_callback_http_get_filter_state_bytes(envoy_filter filter,
                                                               envoy_buffer key,
                                                               envoy_buffer* value) {
  const Callback callback;
  standin::Stream* stream = StreamOf(filter);
  const auto found = stream->filter_state.find(std::string(View(key)));
  if (found == stream->filter_state.end()) return false;
  *value = found->second.buffer();
  return true;
}

void envoy_dynamic_module_callback_http_clear_route_cache(envoy_filter filter) {
  const Callback callback;
  StreamOf(filter)->ClearRouteCache();
}

size_t envoy_dynamic_module_callback_http_get_body_size(envoy_filter filter, int body) {
  const Callback callback;
  return StreamOf(filter)->BodyOf(body)->size();
}

size_t envoy_dynamic_module_callback_http_get_body_chunks_size(envoy_filter filter, int body) {
  const Callback callback;
  return StreamOf(filter)->BodyOf(body)->pieces();
}

bool envoy_dynamic_module_callback_http_get_body_chunks(envoy_filter filter, int body,
                                                        envoy_buffer* chunks) {
  const Callback callback;
  StreamOf(filter)->BodyOf(body)->Views(chunks);
  return true;
}

bool envoy_dynamic_module_callback_http_drain_body(envoy_filter filter, int body, size_t size) {
  const Callback callback;
  standin::Body* const drained = StreamOf(filter)->BodyOf(body);
  const bool done = drained->Drain(size);
  drained->EndViews();
  return done;
}

bool envoy_dynamic_module_callback_http_append_body(envoy_filter filter, int body,
                                                    envoy_buffer data) {
  const Callback callback;
  standin::Stream* const stream = StreamOf(filter);
  // No part of a body passes while trailers come.
  const bool received = body == kReceivedRequestBody || body == kReceivedResponseBody;
  Expect(!(received && stream->in_trailers()), "a part of a body is lost");
  stream->BodyOf(body)->Append(View(data), stream->piece);
  stream->BodyOf(body)->EndViews();
  return true;
}

bool envoy_dynamic_module_callback_http_received_buffered_request_body(envoy_filter filter) {
  const Callback callback;
  return StreamOf(filter)->buffered_in_front;
}

uint64_t envoy_dynamic_module_callback_http_get_buffer_limit(envoy_filter filter) {
  const Callback callback;
  return StreamOf(filter)->buffer_limit;
}

void envoy_dynamic_module_callback_http_set_buffer_limit(envoy_filter filter, uint64_t limit) {
  const Callback callback;
  StreamOf(filter)->buffer_limit = limit;
}

bool envoy_dynamic_module_callback_http_filter_recreate_stream(envoy_filter filter, envoy_header*,
                                                               size_t header_count) {
  const Callback callback;
  Expect(header_count == 0, "headers for a new stream, which the stand-in lacks");
  return StreamOf(filter)->Recreate();
}

module_pointer envoy_dynamic_module_callback_get_most_specific_route_config(envoy_filter filter) {
  const Callback callback;
  const standin::Route* route = StreamOf(filter)->route();
  return route == nullptr ? nullptr : route->module();
}

bool envoy_dynamic_module_callback_is_validation_mode() { return standin::validation_mode; }

int envoy_dynamic_module_callback_http_filter_config_define_counter(
    envoy_config config, envoy_buffer name, envoy_buffer*, size_t label_count, size_t* id) {
  const Callback callback;
  Expect(label_count == 0, "labels, which the stand-in lacks");
  return static_cast<standin::Config*>(config)->Define(View(name), false, id);
}

int envoy_dynamic_module_callback_http_filter_config_define_gauge(envoy_config config,
                                                                  envoy_buffer name, envoy_buffer*,
                                                                  size_t label_count, size_t* id) {
  const Callback callback;
  Expect(label_count == 0, "labels, which the stand-in lacks");
  return static_cast<standin::Config*>(config)->Define(View(name), true, id);
}

int envoy_dynamic_module_callback_http_filter_increment_counter(envoy_filter filter, size_t id,
                                                                envoy_buffer*, size_t,
                                                                uint64_t by) {
  return envoy_dynamic_module_callback_http_filter_config_increment_counter(
      StreamOf(filter)->config(), id, nullptr, 0, by);
}

int envoy_dynamic_module_callback_http_filter_config_increment_counter(envoy_config config,
                                                                       size_t id, envoy_buffer*,
                                                                       size_t, uint64_t by) {
  const Callback callback;
  auto* metric = static_cast<standin::Config*>(config)->Find(id);
  Expect(metric != nullptr && !metric->gauge, "no such counter");
  metric->value += by;
  return 0;
}

int envoy_dynamic_module_callback_http_filter_config_set_gauge(envoy_config config, size_t id,
                                                               envoy_buffer*, size_t,
                                                               uint64_t value) {
  const Callback callback;
  auto* metric = static_cast<standin::Config*>(config)->Find(id);
  Expect(metric != nullptr && metric->gauge, "no such gauge");
  metric->value = value;
  return 0;
}

envoy_scheduler envoy_dynamic_module_callback_http_filter_config_scheduler_new(
    envoy_config config) {
  const Callback callback;
  return new std::shared_ptr<standin::Config::Queue>(
      static_cast<standin::Config*>(config)->queue());
}

void envoy_dynamic_module_callback_http_filter_config_scheduler_commit(envoy_scheduler scheduler,
                                                                       uint64_t event) {
  const Callback callback;
  standin::Config::Queue& queue =
      **static_cast<std::shared_ptr<standin::Config::Queue>*>(scheduler);
  const std::lock_guard lock(queue.mutex);
  if (!queue.gone) queue.events.push_back(event);
}

void envoy_dynamic_module_callback_http_filter_config_scheduler_delete(envoy_scheduler scheduler) {
  const Callback callback;
  delete static_cast<std::shared_ptr<standin::Config::Queue>*>(scheduler);
}

}  // extern "C"
