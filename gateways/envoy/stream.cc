#include "stream.h"

#include <string>

#include "describe.h"
#include "log.h"
#include "refusal.h"

namespace tokenpin_envoy {
namespace {

constexpr char kForeign[] =
    "If another tokenpin gateway in front of or behind this one made it, clients lose its "
    "sessions: give one of the two a scope. Said once; foreign_cookies counts all";

}  // namespace

int Stream::OnRequestHeaders(envoy_filter envoy, Scratch& scratch, bool end_of_stream) {
  const Stats& stats = terms_.chain.stats;
  const auto* route = static_cast<const RoutePointer*>(
      envoy_dynamic_module_callback_get_most_specific_route_config(envoy));
  if (route != nullptr) terms_.route = *route;
  if (!try_.first()) stats.Count(envoy, Counter::retries);
  if (terms_.config() == nullptr) return kContinue;
  const Settings& settings = terms_.settings();

  try_.OnRequestHeaders(terms_, end_of_stream);
  const auto decision = try_.Decide(envoy, terms_, scratch.request);
  if (decision) {
    decision_ = *decision;
    stats.CountDecision(envoy, decision_);
    if (settings.metadata) WriteMetadata(envoy, decision_, settings);
  } else {
    CountFailure(envoy, decision.status);
  }
  if (terms_.observes()) return kContinue;

  if (!decision) return Refuse(envoy, RefusalFor(decision.status), "", "");
  if (!decision_.has_slot()) {
    const std::string& header = settings.response_header;
    return Refuse(envoy, RefusalFor(decision_), header, header.empty() ? "" : Describe(decision_));
  }
  Serve(envoy, scratch.request);
  return kContinue;
}

void Stream::CountFailure(envoy_filter envoy, tokenpin::Status status) const {
  if (status == TOKENPIN_STATUS_SCOPE_LENGTH) {
    terms_.chain.stats.Count(envoy, Counter::bad_tenants);
    return;
  }
  terms_.chain.stats.Count(envoy, Counter::errors);
  Log(kLogError, "cannot decide: " + std::string(tokenpin::name(status)));
}

void Stream::Serve(envoy_filter envoy, RequestReader& reader) {
  const Config& config = *terms_.config();
  const Settings& settings = config.settings();
  serving_ = true;
  cookie_name_ = reader.scope().empty() ? config.cookie_name()
                                        : *config.affinity().cookie_name(reader.scope());
  try_.KeepHeaders(envoy, settings, decision_);
  reader.StripCookies(envoy, cookie_name_.view(), settings.carrier_header);
  NoteForeignRequestCookie(envoy);
  DropWhenMoved(envoy, settings.drop_when_moved, decision_);
  PutCredentials(envoy, *config.wallet().Of(decision_.slot()));
  if (settings.clear_route_cache) envoy_dynamic_module_callback_http_clear_route_cache(envoy);
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

int Stream::OnRequestBody(envoy_filter envoy, bool end_of_stream) {
  if (serving_) try_.OnRequestBody(envoy, terms_.settings(), end_of_stream);
  return kContinue;
}

int Stream::OnResponseHeaders(envoy_filter envoy, Scratch& scratch, bool end_of_stream) {
  if (!serving_) return kContinue;
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
    return kContinue;
  }
  // Ending a response that is still coming in costs the upstream's connection, or a reset stream in
  // it, of which servers take only so many. So a short body is waited for.
  try_.Hold(status);
  if (!end_of_stream) return kStopIteration;
  return RetryOrRelease(envoy, scratch.request) ? kStopIteration : kContinue;
}

int Stream::OnResponseBody(envoy_filter envoy, Scratch& scratch, bool end_of_stream) {
  if (!try_.holds()) return kContinue;
  if (!end_of_stream && try_.CanHoldMore(envoy)) return kStopBodyAndWatermark;
  return RetryOrRelease(envoy, scratch.request) ? kStopBodyNoBuffer : kContinue;
}

int Stream::OnResponseTrailers(envoy_filter envoy, Scratch& scratch) {
  if (!try_.holds()) return kContinue;
  return RetryOrRelease(envoy, scratch.request) ? kStopIteration : kContinue;
}

// True if Envoy began the request again, and nothing of this object may be used; else the response
// that was held goes to the client.
bool Stream::RetryOrRelease(envoy_filter envoy, RequestReader& reader) {
  const uint16_t status = try_.Release();
  if (try_.BeginNext(envoy, terms_, decision_, reader)) return true;
  WriteCookie(envoy, terms_, decision_, status);
  return false;
}

}  // namespace tokenpin_envoy
