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

// The parts of Envoy's memory that a body lies in, by the hooks that it passed.
constexpr int kReceivedRequest[] = {kReceivedRequestBody};
constexpr int kBufferedRequest[] = {kBufferedRequestBody};
constexpr int kWholeRequest[] = {kBufferedRequestBody, kReceivedRequestBody};

// Headers that vouch for the bytes of a body.
constexpr std::string_view kDigests[] = {TOKENPIN_DIGEST_HEADERS};

}  // namespace

int Stream::OnRequestHeaders(envoy_filter envoy, Scratch& scratch, bool end_of_stream) {
  const auto* route = static_cast<const RoutePointer*>(
      envoy_dynamic_module_callback_get_most_specific_route_config(envoy));
  if (route != nullptr) terms_.route = *route;
  begun_ = true;
  if (!try_.first()) terms_.chain.stats.Count(envoy, Counter::retries);
  if (sent_ != nullptr && !TakeMark(envoy, *sent_)) sent_.reset();
  if (terms_.config() == nullptr) return kContinue;

  try_.OnRequestHeaders(terms_, end_of_stream);
  tokenpin::Request request;
  RequestReader& reader = scratch.request;
  if (!reader.ReadTarget(envoy, terms_, &request)) {
    return Fail(envoy, TOKENPIN_STATUS_SCOPE_LENGTH) ? kContinue : kStopIteration;
  }
  // Without owners, a request that waits needs no key before its body is there, and one that is
  // continued needs none.
  const bool owned = terms_.settings().library.id_owner != TOKENPIN_ID_OWNER_NONE;
  if (owned) reader.ReadKeys(envoy, terms_, &request);
  if (sent_ != nullptr && Continue(envoy, reader, request)) return kContinue;
  if (Waits(envoy, reader, request, end_of_stream)) return kStopIteration;
  if (!owned) reader.ReadKeys(envoy, terms_, &request);
  return Decide(envoy, reader, &request, nullptr) ? kContinue : kStopIteration;
}

// Continues a request that an internal redirect brings: the account that redirects it serves it,
// regardless of what the request says now.
bool Stream::Continue(envoy_filter envoy, const RequestReader& reader,
                      const tokenpin::Request& request) {
  const std::unique_ptr<Sent> sent = std::move(sent_);
  if (terms_.observes() || sent->config.lock() != terms_.config()) return false;
  serving_ = true;
  decision_ = sent->decision;
  cookie_name_ = sent->cookie_name;
  ids_ = std::move(sent->ids);
  // Of a first target without ids, nothing was kept. The headers have the redirect's authority now,
  // not the client's, so absolute URLs pass as they are.
  if (ids_ == nullptr && terms_.mode() != TOKENPIN_MODE_OFF) {
    ids_ = Ids::Of(terms_, request, HeaderList());
    if (ids_ != nullptr) ids_->OpenTarget({});
  }
  if (ids_ != nullptr) ids_->Redirect(reader.headers().First(":path"));
  if (ids_ != nullptr && !ids_->Seals()) ids_.reset();
  if (terms_.settings().metadata) WriteMetadata(envoy, decision_, *terms_.config());
  try_.KeepHeaders(envoy, terms_.settings(), decision_);
  PutCredentialsAgain(envoy, *terms_.config()->wallet().Of(decision_.slot()));
  AskUnencoded(envoy);
  return true;
}

// Reads the ids of the target. True if the request waits for its body, or is answered.
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

// The ids in a WebSocket's frames cannot be seen, nor a body behind another upgrade. Clients that
// get this answer send requests instead.
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
  const uint64_t size = SizeOf(pieces);
  const Hold::Bound over = hold_.Add(size, settings.max_body, settings.max_held);
  if (over == Hold::Bound::kNone) {
    for (const envoy_buffer& piece : pieces) ids_->Open(View(piece));
    if (!end_of_stream) return kStopBodyAndBuffer;
    ids_->EndOpening();
  } else if (!GiveUp(envoy, over)) {
    return Swallow(envoy, end_of_stream);
  }
  const Held ended = size == 0 ? Held::kEndedApart : Held::kEnded;
  const Held held = end_of_stream ? ended : Held::kUnread;
  if (!Resume(envoy, scratch.request, held)) return kStopBodyNoBuffer;
  // The part that was too much is not counted yet, and more may come.
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
  if (ids_ != nullptr) stats.CountIds(envoy, report, ids_->NewlyUnexpected());
  if (settings.metadata) WriteMetadata(envoy, decision_, *terms_.config());
  if (!terms_.observes() && !decision_.has_slot()) {
    const std::string& header = settings.response_header;
    Refuse(envoy, RefusalFor(decision_, *terms_.config(), tokenpin::quoted(report)), header,
           header.empty() ? "" : Describe(decision_));
    return false;
  }
  if (!terms_.observes()) Serve(envoy, reader, held);
  if (ids_ == nullptr) return true;
  // Keeps nothing that is not read any more.
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
  const tokenpin::Verdict verdict = decision_.verdict();
  if (verdict == TOKENPIN_VERDICT_UNKNOWN_KEY || verdict == TOKENPIN_VERDICT_BAD_TAG) {
    NoteForeignRequestCookie(envoy);
  }
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

// The ids in a compressed response cannot be seen.
void Stream::AskUnencoded(envoy_filter envoy) const {
  if (ids_ == nullptr || !ids_->Seals() || ids_->is_download()) return;
  SetHeader(envoy, kRequestHeader, "accept-encoding", "identity");
}

// The request as the account knows it. What is changed was kept for another try before.
void Stream::PutOpened(envoy_filter envoy, const Held* held) {
  if (!ids_->opened_target().empty()) {
    SetHeader(envoy, kRequestHeader, ":path", ids_->opened_target());
  }
  AskUnencoded(envoy);
  if (held == nullptr) return;
  const uint64_t size = hold_.size() - ids_->edits.loss();
  std::string length;
  if (!ids_->edits.empty()) {
    Bodies bodies = kWholeRequest;
    if (*held == Held::kInTrailers || *held == Held::kEndedApart) {
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
  const bool ended = *held == Held::kEnded || *held == Held::kEndedApart;
  try_.OnHeldRequest(size, ended, length);
}

// A cookie of our name that another gateway made is lost to that gateway.
void Stream::NoteForeignRequestCookie(envoy_filter envoy) const {
  terms_.chain.stats.Count(envoy, Counter::foreign_cookies);
  if (terms_.config()->told_of_foreign_request.exchange(true)) return;
  Log(kLogWarning, "removed from a request a cookie named " + std::string(cookie_name_.view()) +
                       " that no key of this configuration made (" +
                       std::string(tokenpin::name(decision_.verdict())) + "). " + kForeign);
}

void Stream::NoteForeignResponseCookie(envoy_filter envoy) const {
  terms_.chain.stats.Count(envoy, Counter::foreign_cookies);
  if (terms_.config()->told_of_foreign_response.exchange(true)) return;
  Log(kLogWarning, "removed from a response the upstream's own cookie named " +
                       std::string(cookie_name_.view()) + ", or carrier header. " + kForeign);
}

}  // namespace tokenpin_envoy
