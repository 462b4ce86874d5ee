#include "retry.h"

#include <algorithm>
#include <utility>

#include "header_map.h"

namespace tokenpin_envoy {
namespace {

// The state that one try leaves to the next. No other way is open: Envoy makes the new stream
// within the call that asks for it, by a hook that only gets the chain.
struct Inheritance {
  const Chain* chain;
  FormerTries former;
};
thread_local Inheritance* inheritance = nullptr;

// Longer bodies of a response that leads to a retry are cut off. Errors are short.
constexpr size_t kMaxHeldBody = 64 << 10;

}  // namespace

Try::Try(const Chain& chain) {
  if (inheritance != nullptr && inheritance->chain == &chain) {
    former_ = std::move(inheritance->former);
  }
}

void Try::OnRequestHeaders(const Terms& terms, bool end_of_stream) {
  request_ended_ = end_of_stream;
  // Another route may have other tokens; the number of tries counts for all.
  if (!first() && former_.config != terms.config()) former_ = {former_.count};
}

void Try::OnRequestBody(envoy_filter envoy, const Settings& settings, bool end_of_stream) {
  request_ended_ = end_of_stream;
  if (settings.max_retries != 0) {
    body_size_ += envoy_dynamic_module_callback_http_get_body_size(envoy, kReceivedRequestBody);
  }
}

void Try::OnHeldRequest(uint64_t size, bool ended, std::string_view length) {
  request_ended_ = ended;
  body_size_ = size;
  const auto kept = kept_.find("content-length");
  if (!length.empty() && kept != kept_.end()) kept->second = {std::string(length)};
}

tokenpin::Result<tokenpin::Decision> Try::Decide(const Terms& terms, tokenpin::Request* request) {
  former_.carrier = former_.carrier || request->carrier != 0;
  request->carrier = former_.carrier;
  request->set_tried(former_.slots);
  // Without randomness the bytes are zero, which the library refuses where it matters.
  (void)tokenpin::fill_entropy(request->entropy);
  return terms.config()->affinity().decide(*request);
}

bool Try::MayFollow(const Settings& settings, const tokenpin::Decision& decision) const {
  return former_.count < settings.max_retries && decision.may_move();
}

void Try::KeepHeaders(envoy_filter envoy, const Settings& settings,
                      const tokenpin::Decision& decision) {
  if (MayFollow(settings, decision)) kept_ = ReadHeaders(envoy);
}

// Envoy sends again what it has kept of the body. It keeps it where the route has a retry or an
// internal redirect policy, up to a limit; elsewhere nothing, and the request would be cut short.
bool Try::WantsNext(envoy_filter envoy, const Settings& settings,
                    const tokenpin::Decision& decision, uint16_t status) const {
  return Contains(settings.retry_statuses, status) && MayFollow(settings, decision) &&
         request_ended_ &&
         envoy_dynamic_module_callback_http_get_body_size(envoy, kBufferedRequestBody) ==
             body_size_;
}

bool Try::CanHoldMore(envoy_filter envoy) const {
  const size_t held =
      envoy_dynamic_module_callback_http_get_body_size(envoy, kBufferedResponseBody) +
      envoy_dynamic_module_callback_http_get_body_size(envoy, kReceivedResponseBody);
  // Near its limit Envoy would stop to read. Without one it is 0.
  const size_t limit = envoy_dynamic_module_callback_http_get_buffer_limit(envoy);
  return held <= (limit == 0 ? kMaxHeldBody : std::min(kMaxHeldBody, limit / 2));
}

bool Try::BeginNext(envoy_filter envoy, const Terms& terms, const tokenpin::Decision& decision,
                    const tokenpin::IdSummary* ids, RequestReader& reader) {
  // As the client sent them: the router has changed more headers than this filter, and the filters
  // in front will see them again.
  const HeaderValues changed = ReadHeaders(envoy);
  ReplaceHeaders(envoy, kept_);
  former_.slots.push_back(decision.slot());
  // Without another token nothing may move: the answer that is there is better than none.
  tokenpin::Request request;
  if (ids != nullptr) request.set_ids(*ids);
  if (reader.Read(envoy, terms, &request) && Decide(terms, &request)->may_move()) {
    Inheritance left{&terms.chain,
                     {former_.count + 1, terms.config(), former_.slots, former_.carrier}};
    if (ids != nullptr) left.former.ids = std::make_unique<const tokenpin::IdSummary>(*ids);
    inheritance = &left;
    const bool begun = envoy_dynamic_module_callback_http_filter_recreate_stream(envoy, nullptr, 0);
    inheritance = nullptr;
    if (begun) return true;
  }
  ReplaceHeaders(envoy, changed);
  BeLast();
  return false;
}

// Copies of the request's headers.
Try::HeaderValues Try::ReadHeaders(envoy_filter envoy) {
  std::vector<envoy_header> headers(
      envoy_dynamic_module_callback_http_get_headers_size(envoy, kRequestHeader));
  HeaderValues values;
  if (!envoy_dynamic_module_callback_http_get_headers(envoy, kRequestHeader, headers.data())) {
    return values;
  }
  for (const envoy_header& header : headers) {
    values[std::string(header.key, header.key_length)].emplace_back(header.value,
                                                                    header.value_length);
  }
  return values;
}

void Try::ReplaceHeaders(envoy_filter envoy, const HeaderValues& wanted) {
  const HeaderValues now = ReadHeaders(envoy);
  for (const auto& [name, values] : now) {
    if (wanted.count(name) == 0) RemoveHeader(envoy, kRequestHeader, name);
  }
  for (const auto& [name, values] : wanted) {
    const auto found = now.find(name);
    // Skips those that are as they should be: Envoy lets no module set an empty one.
    if (found != now.end() && found->second == values) continue;
    if (name[0] == ':') {
      // A request cannot be without its pseudo-headers, not for a moment.
      SetHeader(envoy, kRequestHeader, name, values[0]);
      continue;
    }
    RemoveHeader(envoy, kRequestHeader, name);
    for (const std::string& value : values) AddHeader(envoy, kRequestHeader, name, value);
  }
}

}  // namespace tokenpin_envoy
