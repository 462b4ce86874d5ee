#include "stream.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "describe.h"
#include "log.h"
#include "refusal.h"

namespace tokenpin_envoy {
namespace {

constexpr char kForeign[] =
    "If another tokenpin gateway in front of or behind this one made it, clients lose its "
    "sessions: give one of the two another cookie name (where none is set, a scope does). Said "
    "once; foreign_cookies counts all";

// Where a body lies, by what it went through.
constexpr int kReceivedRequest[] = {kReceivedRequestBody};
constexpr int kBufferedRequest[] = {kBufferedRequestBody};
constexpr int kWholeRequest[] = {kBufferedRequestBody, kReceivedRequestBody};
constexpr int kReceivedResponse[] = {kReceivedResponseBody};
constexpr int kBufferedResponse[] = {kBufferedResponseBody};
constexpr int kWholeResponse[] = {kBufferedResponseBody, kReceivedResponseBody};

// Headers that are of the bytes of a body.
constexpr std::string_view kDigests[] = {TOKENPIN_DIGEST_HEADERS};
constexpr std::string_view kOfTheBytes[] = {"content-length", "accept-ranges", "etag",
                                            TOKENPIN_DIGEST_HEADERS};

// Headers that are a URL of the upstream's.
constexpr std::string_view kLocations[] = {TOKENPIN_LOCATION_HEADERS};

}  // namespace

int Stream::OnRequestHeaders(envoy_filter envoy, Scratch& scratch, bool end_of_stream) {
  const auto* route = static_cast<const RoutePointer*>(
      envoy_dynamic_module_callback_get_most_specific_route_config(envoy));
  if (route != nullptr) terms_.route = *route;
  begun_ = true;
  if (!try_.first()) terms_.chain.stats.Count(envoy, Counter::retries);
  if (terms_.config() == nullptr) return kContinue;

  try_.OnRequestHeaders(terms_, end_of_stream);
  tokenpin::Request request;
  if (!scratch.request.Read(envoy, terms_, &request)) {
    return Fail(envoy, TOKENPIN_STATUS_SCOPE_LENGTH) ? kContinue : kStopIteration;
  }
  if (Waits(envoy, scratch.request, request, end_of_stream)) return kStopIteration;
  return Decide(envoy, scratch.request, &request, nullptr) ? kContinue : kStopIteration;
}

// Reads the ids of the target. True if the request goes on only when its body was read, or never.
bool Stream::Waits(envoy_filter envoy, const RequestReader& reader,
                   const tokenpin::Request& request, bool end_of_stream) {
  const HeaderList& headers = reader.headers();
  const Settings& settings = terms_.settings();
  // Of what comes behind an upgrade, Envoy never tells the end.
  const bool is_upgrade = headers.Has("upgrade");
  const bool has_body = !end_of_stream && !is_upgrade;
  if (terms_.mode() == TOKENPIN_MODE_OFF && !(settings.bodies && has_body)) return false;
  ids_ = Ids::Of(terms_, request, headers);
  if (ids_ == nullptr) return false;
  if (try_.former_ids() != nullptr) {
    ids_->Inherit(*try_.former_ids());
    return false;
  }
  ids_->OpenTarget(tokenpin::view(request.target));
  if (is_upgrade && RefusesUpgrade(reader.is_handshake())) {
    terms_.chain.stats.Count(envoy, Counter::upgrades_refused);
    Refuse(envoy, WrongProtocol());
    return true;
  }
  if (!has_body) return false;
  if (ContentOf(headers) != Content::kJson || IsEncoded(headers)) {
    return RefuseUnread(envoy, headers);
  }
  const uint64_t most = LengthOf(headers).value_or(settings.max_body);
  if (most > settings.max_body) return !GiveUp(envoy, Hold::Bound::kBody);
  const uint64_t limit = envoy_dynamic_module_callback_http_get_buffer_limit(envoy);
  if (limit != 0 && limit < most) {
    envoy_dynamic_module_callback_http_set_buffer_limit(envoy, most);
  }
  hold_.Begin();
  ids_->BeginOpening();
  return true;
}

// Nobody sees the ids in a WebSocket's frames, nor a body behind another upgrade. Clients that are
// told so ask by requests instead.
bool Stream::RefusesUpgrade(bool to_websocket) const {
  if (!opens() || (to_websocket && !ids_->has_state())) return false;
  return terms_.mode() != TOKENPIN_MODE_OPEN || terms_.settings().refuse_upgrades;
}

// A body that cannot be read passes, unless the mode says that it might hide what counts.
bool Stream::RefuseUnread(envoy_filter envoy, const HeaderList& headers) {
  const Content content = ContentOf(headers);
  const bool is_json = content == Content::kJson;
  const bool may_pass = terms_.mode() == TOKENPIN_MODE_STRICT
                            ? content == Content::kMultipart && ids_->summary().report().uploads
                            : !is_json || terms_.mode() != TOKENPIN_MODE_SEAL;
  if (opens() && !may_pass) {
    terms_.chain.stats.Count(envoy, Counter::bodies_refused);
    Refuse(envoy, is_json ? WrongEncoding() : WrongType());
    return true;
  }
  if (is_json) terms_.chain.stats.Count(envoy, Counter::bodies_not_read);
  return false;
}

// A body is too much for the filter. False if the request is refused for it.
bool Stream::GiveUp(envoy_filter envoy, Hold::Bound over) {
  const bool too_large = over == Hold::Bound::kBody;
  const Counter refused = too_large ? Counter::bodies_too_large : Counter::bodies_too_many;
  terms_.chain.stats.Count(envoy, opens() ? refused : Counter::bodies_not_read);
  ids_->edits.Clear();
  if (opens()) hold_.BeginRefusal(too_large ? TooLarge() : TooMany());
  return !opens();
}

int Stream::OnRequestBody(envoy_filter envoy, Scratch& scratch, bool end_of_stream) {
  switch (hold_.state()) {
    case Hold::State::kNone:
      if (serving_) try_.OnRequestBody(envoy, terms_.settings(), end_of_stream);
      return kContinue;
    case Hold::State::kRefused:
      return Swallow(envoy, end_of_stream);
    case Hold::State::kReading:
      break;
  }
  const Pieces& pieces = ReadPieces(envoy, kReceivedRequest);
  const Settings& settings = terms_.settings();
  const Hold::Bound over = hold_.Add(SizeOf(pieces), settings.max_body, settings.max_held);
  if (over == Hold::Bound::kNone) {
    for (const envoy_buffer& piece : pieces) ids_->Open(View(piece));
    if (!end_of_stream) return kStopBodyAndBuffer;
    ids_->EndOpening();
  } else if (!GiveUp(envoy, over)) {
    return Swallow(envoy, end_of_stream);
  }
  const Held held = end_of_stream ? Held::kEnded : Held::kUnread;
  if (!Resume(envoy, scratch.request, held)) return kStopBodyNoBuffer;
  // What was too much is not counted yet, and more may come.
  if (over != Hold::Bound::kNone) try_.OnRequestBody(envoy, settings, end_of_stream);
  return kContinue;
}

// The body passed in front of its trailers.
int Stream::OnRequestTrailers(envoy_filter envoy, Scratch& scratch) {
  switch (hold_.state()) {
    case Hold::State::kNone:
      return kContinue;
    case Hold::State::kRefused:
      hold_.End();
      Refuse(envoy, hold_.refusal());
      return kStopIteration;
    case Hold::State::kReading:
      break;
  }
  ids_->EndOpening();
  return Resume(envoy, scratch.request, Held::kInTrailers) ? kContinue : kStopIteration;
}

// Most clients read an answer only when they have sent everything. Up to a bound, they may.
int Stream::Swallow(envoy_filter envoy, bool end_of_stream) {
  const uint64_t size = SizeOf(ReadPieces(envoy, kWholeRequest));
  DrainBody(envoy, kWholeRequest, size);
  if (!hold_.Swallow(size, 2 * terms_.settings().max_body) || end_of_stream) {
    hold_.End();
    Refuse(envoy, hold_.refusal());
  }
  return kStopBodyNoBuffer;
}

// The request was held, and its body is known. False if it is answered.
bool Stream::Resume(envoy_filter envoy, RequestReader& reader, Held held) {
  hold_.End();
  tokenpin::Request request;
  if (!reader.Read(envoy, terms_, &request)) return Fail(envoy, TOKENPIN_STATUS_SCOPE_LENGTH);
  if (terms_.mode() == TOKENPIN_MODE_STRICT && opens() &&
      (ids_->unexpected() != 0 || !ids_->is_text())) {
    terms_.chain.stats.Count(envoy, Counter::bodies_refused);
    Refuse(envoy, Unreadable());
    return false;
  }
  return Decide(envoy, reader, &request, &held);
}

// False if the request is answered.
bool Stream::Decide(envoy_filter envoy, RequestReader& reader, tokenpin::Request* request,
                    const Held* held) {
  const Stats& stats = terms_.chain.stats;
  const Settings& settings = terms_.settings();
  tokenpin::IdReport report{};
  if (ids_ != nullptr) {
    report = ids_->EndReading();
    request->set_ids(ids_->summary());
    // The table was asked already. Of a stateless API, what names state is not told in this way.
    if (!request->has_group && ids_->api().group == TOKENPIN_GROUP_STATEFUL) {
      request->set_group(TOKENPIN_GROUP_STATEFUL);
      request->existing |= ids_->api().existing;
    }
  }
  const auto decision = try_.Decide(terms_, request);
  if (!decision) return Fail(envoy, decision.status);
  decision_ = *decision;
  stats.CountDecision(envoy, decision_);
  if (ids_ != nullptr) stats.CountIds(envoy, report, ids_->unexpected());
  if (settings.metadata) WriteMetadata(envoy, decision_, *terms_.config());
  if (!terms_.observes() && !decision_.has_slot()) {
    const std::string& header = settings.response_header;
    Refuse(envoy, RefusalFor(decision_, *terms_.config(), tokenpin::quoted(report)), header,
           header.empty() ? "" : Describe(decision_));
    return false;
  }
  if (!terms_.observes()) Serve(envoy, reader, held);
  if (ids_ == nullptr) return true;
  // What is not read any more is not kept.
  ids_->edits.Clear();
  if (!ids_->Seals() || !decision_.has_slot()) ids_.reset();
  return true;
}

// Of a request that cannot be decided. False if it is answered.
bool Stream::Fail(envoy_filter envoy, tokenpin::Status status) const {
  const bool bad_tenant = status == TOKENPIN_STATUS_SCOPE_LENGTH;
  terms_.chain.stats.Count(envoy, bad_tenant ? Counter::bad_tenants : Counter::errors);
  if (!bad_tenant) Log(kLogError, "cannot decide: " + std::string(tokenpin::name(status)));
  if (terms_.observes()) return true;
  Refuse(envoy, RefusalFor(status));
  return false;
}

void Stream::Serve(envoy_filter envoy, RequestReader& reader, const Held* held) {
  const Config& config = *terms_.config();
  const Settings& settings = config.settings();
  serving_ = true;
  cookie_name_ = reader.scope().empty() ? config.cookie_name()
                                        : *config.affinity().cookie_name(reader.scope());
  if (held != nullptr && !ids_->edits.empty()) NoteHeadersOfBody(reader.headers());
  try_.KeepHeaders(envoy, settings, decision_);
  reader.StripCookies(envoy, cookie_name_.view(), settings.carrier_header);
  NoteForeignRequestCookie(envoy);
  DropWhenMoved(envoy, settings.drop_when_moved, decision_);
  PutCredentials(envoy, *config.wallet().Of(decision_.slot()));
  if (ids_ != nullptr) PutOpened(envoy, held);
  if (settings.clear_route_cache) envoy_dynamic_module_callback_http_clear_route_cache(envoy);
}

// Which headers tell of the body that is to be changed: the first header that is changed ends the
// views of all.
void Stream::NoteHeadersOfBody(const HeaderList& headers) {
  has_length_ = headers.Has("content-length");
  has_digest_ = std::any_of(std::begin(kDigests), std::end(kDigests),
                            [&](std::string_view name) { return headers.Has(name); });
}

// The request as the account knows it. What is changed was kept for another try before.
void Stream::PutOpened(envoy_filter envoy, const Held* held) {
  if (!ids_->opened_target().empty()) {
    SetHeader(envoy, kRequestHeader, ":path", ids_->opened_target());
  }
  // The ids in a compressed response cannot be seen.
  if (ids_->Seals() && !ids_->is_download()) {
    SetHeader(envoy, kRequestHeader, "accept-encoding", "identity");
  }
  if (held == nullptr) return;
  const uint64_t size = hold_.size() - ids_->edits.loss();
  std::string length;
  if (!ids_->edits.empty()) {
    Bodies bodies = kWholeRequest;
    if (*held == Held::kInTrailers) {
      bodies = kBufferedRequest;
    } else if (envoy_dynamic_module_callback_http_received_buffered_request_body(envoy)) {
      bodies = kReceivedRequest;
    }
    ChangeBody(envoy, bodies, ids_->edits);
    length = std::to_string(size);
    if (has_length_) SetHeader(envoy, kRequestHeader, "content-length", length);
    if (has_digest_) {
      for (const std::string_view name : kDigests) RemoveHeader(envoy, kRequestHeader, name);
    }
  }
  try_.OnHeldRequest(size, *held == Held::kEnded, length);
}

// A cookie of our name that another made is gone for whoever made it.
void Stream::NoteForeignRequestCookie(envoy_filter envoy) const {
  const tokenpin::Verdict verdict = decision_.verdict();
  if (verdict != TOKENPIN_VERDICT_UNKNOWN_KEY && verdict != TOKENPIN_VERDICT_BAD_TAG) return;
  terms_.chain.stats.Count(envoy, Counter::foreign_cookies);
  if (terms_.config()->told_of_foreign_request.exchange(true)) return;
  Log(kLogWarning, "removed from a request a cookie named " + std::string(cookie_name_.view()) +
                       " that no key of this configuration made (" +
                       std::string(tokenpin::name(verdict)) + "). " + kForeign);
}

void Stream::NoteForeignResponseCookie(envoy_filter envoy) const {
  terms_.chain.stats.Count(envoy, Counter::foreign_cookies);
  if (terms_.config()->told_of_foreign_response.exchange(true)) return;
  Log(kLogWarning, "removed from a response the upstream's own cookie named " +
                       std::string(cookie_name_.view()) + ", or carrier header. " + kForeign);
}

int Stream::OnResponseHeaders(envoy_filter envoy, Scratch& scratch, bool end_of_stream) {
  if (!serving_) {
    if (!begun_) MendUpgrade(envoy, scratch);
    BeginSealing(envoy, scratch, end_of_stream);
    return kContinue;
  }
  const Settings& settings = terms_.settings();
  if (!settings.response_header.empty()) {
    SetHeader(envoy, kResponseHeader, settings.response_header, Describe(decision_));
  }
  ResponseReader& response = scratch.response;
  response.Read(envoy, cookie_name_.view(), settings.carrier_header);
  const uint16_t status = response.status();
  // Most responses leave nothing to do: it does not matter where they came from.
  if (status < kLeastError && decision_.fields().cookie == 0 && !response.has_cookie()) {
    try_.BeLast();
    BeginSealing(envoy, response.headers(), end_of_stream);
    return kContinue;
  }
  if (!IsFromUpstream(envoy)) return kContinue;
  if (status >= kLeastError) CoolDown(envoy, terms_, decision_.slot(), response);
  if (response.has_cookie()) {
    response.DropCookies(envoy, settings.carrier_header);
    NoteForeignResponseCookie(envoy);
  }
  if (!try_.WantsNext(envoy, settings, decision_, status)) {
    try_.BeLast();
    WriteCookie(envoy, terms_, decision_, status);
    BeginSealing(envoy, scratch, end_of_stream);
    return kContinue;
  }
  // Ending a response that is still coming in costs the upstream's connection, or a reset stream in
  // it, of which servers take only so many. So a short body is waited for.
  try_.Hold(status);
  if (!end_of_stream) return kStopIteration;
  return RetryOrRelease(envoy, scratch, true) ? kStopIteration : kContinue;
}

// Where a listener takes no WebSockets, Envoy answers 403 before any filter has seen the request.
// Clients then try again and again; of a 426 they know that requests are served.
void Stream::MendUpgrade(envoy_filter envoy, Scratch& scratch) {
  envoy_buffer details{};
  if (terms_.config() == nullptr || !opens() ||
      !envoy_dynamic_module_callback_http_filter_get_attribute_string(
          envoy, kAttributeResponseCodeDetails, &details) ||
      View(details) != "upgrade_failed") {
    return;
  }
  scratch.headers.Read(envoy, kRequestHeader);
  tokenpin::Request request;
  request.method = tokenpin::bytes("CONNECT");
  request.target = tokenpin::bytes(scratch.headers.First(":path"));
  ids_ = Ids::Of(terms_, request, scratch.headers);
  if (ids_ == nullptr || !RefusesUpgrade(true)) return;
  terms_.chain.stats.Count(envoy, Counter::upgrades_refused);
  SetHeader(envoy, kResponseHeader, ":status", "426");
  SetHeader(envoy, kResponseHeader, "upgrade", "HTTP/1.1");
  SetHeader(envoy, kResponseHeader, "connection", "upgrade");
}

int Stream::OnResponseBody(envoy_filter envoy, Scratch& scratch, bool end_of_stream) {
  Bodies bodies = kReceivedResponse;
  if (try_.holds()) {
    if (!end_of_stream && try_.CanHoldMore(envoy)) return kStopBodyAndWatermark;
    if (RetryOrRelease(envoy, scratch, false)) return kStopBodyNoBuffer;
    bodies = kWholeResponse;
  }
  Seal(envoy, scratch, bodies, end_of_stream);
  return kContinue;
}

int Stream::OnResponseTrailers(envoy_filter envoy, Scratch& scratch) {
  if (try_.holds() && RetryOrRelease(envoy, scratch, false)) return kStopIteration;
  Seal(envoy, scratch, kBufferedResponse, true);
  return kContinue;
}

void Stream::OnComplete(envoy_filter envoy) { CountSealed(envoy); }

// True if Envoy began the request again, and nothing of this object may be used; else the response
// that was held goes to the client.
bool Stream::RetryOrRelease(envoy_filter envoy, Scratch& scratch, bool end_of_stream) {
  const uint16_t status = try_.Release();
  const tokenpin::IdSummary* const ids = ids_ == nullptr ? nullptr : &ids_->summary();
  if (try_.BeginNext(envoy, terms_, decision_, ids, scratch.request)) return true;
  WriteCookie(envoy, terms_, decision_, status);
  BeginSealing(envoy, scratch, end_of_stream);
  return false;
}

// A response begins to go to the client.
void Stream::BeginSealing(envoy_filter envoy, Scratch& scratch, bool end_of_stream) {
  if (ids_ == nullptr) return;
  scratch.headers.Read(envoy, kResponseHeader);
  BeginSealing(envoy, scratch.headers, end_of_stream);
}

// What its headers say of its body, and what is not right any more once ids are sealed in it, is
// taken off.
void Stream::BeginSealing(envoy_filter envoy, const HeaderList& headers, bool end_of_stream) {
  if (ids_ == nullptr || !IsFromUpstream(envoy)) return;
  envoy_buffer upstream{};
  envoy_dynamic_module_callback_http_get_header(envoy, kRequestHeader, Buffer(":authority"),
                                                &upstream, 0, nullptr);
  ids_->OnResponse(decision_.slot(), View(upstream));
  const Content content = ContentOf(headers);
  bool seals = ids_->SealsBody(headers.First(":status"), content);
  if (seals && IsEncoded(headers)) {
    terms_.chain.stats.Count(envoy, Counter::bodies_not_sealed);
    seals = false;
  }
  if (seals && !end_of_stream) ids_->BeginSealing(content);
  if (terms_.observes()) return;
  // The first change ends the views of all.
  std::vector<std::pair<std::string_view, std::string>> changes;
  for (const std::string_view name : kLocations) {
    const std::string_view location = headers.First(name);
    std::string sealed;
    if (!location.empty() && ids_->SealTarget(location, &sealed))
      changes.emplace_back(name, sealed);
  }
  // Of a response without a body, but for HEAD, they say what is true.
  if (seals && (!end_of_stream || ids_->is_head())) {
    for (const std::string_view name : kOfTheBytes) {
      const std::string_view value = headers.First(name);
      if (!value.empty() && value.substr(0, 2) != "W/") changes.emplace_back(name, "");
    }
  }
  for (const auto& [name, value] : changes) SetHeader(envoy, kResponseHeader, name, value);
}

void Stream::Seal(envoy_filter envoy, Scratch& scratch, Bodies bodies, bool end_of_stream) {
  if (ids_ == nullptr || !ids_->sealing()) return;
  std::string& sealed = scratch.text;
  sealed.clear();
  bool differs = false;
  const Pieces& pieces = ReadPieces(envoy, bodies);
  for (const envoy_buffer& piece : pieces) differs |= ids_->Seal(View(piece), &sealed);
  if (end_of_stream) differs |= ids_->EndSealing(&sealed);
  if (differs && !terms_.observes()) ReplaceBody(envoy, bodies, SizeOf(pieces), sealed);
  if (end_of_stream) CountSealed(envoy);
}

void Stream::CountSealed(envoy_filter envoy) {
  if (ids_ == nullptr || decision_.slot() == TOKENPIN_SLOT_NONE) return;
  terms_.chain.stats.Count(envoy, Counter::ids_sealed, ids_->NewlySealed());
  terms_.chain.stats.Count(envoy, Counter::bodies_not_understood, ids_->NewlyUnexpected());
}

}  // namespace tokenpin_envoy
