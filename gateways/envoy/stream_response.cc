// The response's side of a stream.
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "describe.h"
#include "stream.h"

namespace tokenpin_envoy {
namespace {

// The parts of Envoy's memory that a body lies in, by the hooks that it passed.
constexpr int kReceivedResponse[] = {kReceivedResponseBody};
constexpr int kBufferedResponse[] = {kBufferedResponseBody};
constexpr int kWholeResponse[] = {kBufferedResponseBody, kReceivedResponseBody};

// Headers that are not true any more of a body that changes.
constexpr std::string_view kOfTheBytes[] = {"content-length", "accept-ranges", "etag",
                                            TOKENPIN_DIGEST_HEADERS};

// Headers with a URL of the upstream's.
constexpr std::string_view kLocations[] = {TOKENPIN_LOCATION_HEADERS};

}  // namespace

int Stream::OnResponseHeaders(envoy_filter envoy, Scratch& scratch, bool end_of_stream) {
  answered_ = true;
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
  // it, of which servers accept only a few. So a short body is waited for.
  try_.Hold(status);
  if (!end_of_stream) return kStopIteration;
  return RetryOrRelease(envoy, scratch, true) ? kStopIteration : kContinue;
}

// If a listener takes no WebSockets, Envoy answers 403 before any filter has seen the request.
// Clients then try again and again. A 426 tells them that requests are served.
void Stream::MendUpgrade(envoy_filter envoy, Scratch& scratch) {
  if (terms_.config() == nullptr || !opens() || DetailsOf(envoy) != "upgrade_failed") return;
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

// When Envoy begins the request again, this is the last hook before those of the next stream. The
// route that is found then may lead to another provider, without this filter.
void Stream::OnComplete(envoy_filter envoy) {
  CountSealed(envoy);
  if (!serving_ || answered_ || DetailsOf(envoy) != "internal_redirect") return;
  DropCredentials(envoy, *terms_.config()->wallet().Of(decision_.slot()));
  LeaveSent(envoy, terms_.chain, {terms_.config(), decision_, cookie_name_, std::move(ids_)});
}

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

// Removes the headers that describe its body, and that are wrong once ids are sealed in it.
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
  // The first change ends the views of all, so all changes are found before.
  std::string sealed[std::size(kLocations)];
  for (size_t i = 0; i < std::size(kLocations); ++i) {
    const std::string_view location = headers.First(kLocations[i]);
    if (!location.empty() && !ids_->SealTarget(location, &sealed[i])) sealed[i].clear();
  }
  // They stay right for a response without a body, except that of a HEAD.
  bool wrong[std::size(kOfTheBytes)] = {};
  if (seals && (!end_of_stream || ids_->is_head())) {
    for (size_t i = 0; i < std::size(kOfTheBytes); ++i) {
      const std::string_view value = headers.First(kOfTheBytes[i]);
      wrong[i] = !value.empty() && value.substr(0, 2) != "W/";
    }
  }
  for (size_t i = 0; i < std::size(kLocations); ++i) {
    if (!sealed[i].empty()) SetHeader(envoy, kResponseHeader, kLocations[i], sealed[i]);
  }
  for (size_t i = 0; i < std::size(kOfTheBytes); ++i) {
    if (wrong[i]) RemoveHeader(envoy, kResponseHeader, kOfTheBytes[i]);
  }
}

void Stream::Seal(envoy_filter envoy, Scratch& scratch, Bodies bodies, bool end_of_stream) {
  if (ids_ == nullptr || !ids_->sealing()) return;
  ids_->Prefetch();
  std::string& sealed = scratch.text;
  sealed.clear();
  bool differs = false;
  const Pieces& pieces = ReadPieces(envoy, bodies);
  // A long part grows in few steps, not in powers of two.
  const uint64_t size = SizeOf(pieces);
  if (size > sealed.capacity()) sealed.reserve(size + size / 8);
  for (const envoy_buffer& piece : pieces) differs |= ids_->Seal(View(piece), &sealed);
  if (end_of_stream) differs |= ids_->EndSealing(&sealed);
  if (differs && !terms_.observes()) ReplaceBody(envoy, bodies, size, sealed);
  if (end_of_stream) CountSealed(envoy);
}

void Stream::CountSealed(envoy_filter envoy) {
  if (ids_ == nullptr || decision_.slot() == TOKENPIN_SLOT_NONE) return;
  terms_.chain.stats.Count(envoy, Counter::ids_sealed, ids_->NewlySealed());
  terms_.chain.stats.Count(envoy, Counter::bodies_not_understood, ids_->NewlyUnexpected());
}

}  // namespace tokenpin_envoy
