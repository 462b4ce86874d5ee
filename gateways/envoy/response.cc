#include "response.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "log.h"
#include "retry_after.h"

namespace tokenpin_envoy {

using tokenpin::Bytes;

namespace {

constexpr uint16_t kSwitchingProtocols = 101;

}  // namespace

void ResponseReader::Read(envoy_filter envoy, std::string_view cookie_name,
                          std::string_view carrier_header) {
  headers_.Read(envoy, kResponseHeader);
  const std::string_view status = headers_.First(":status");
  status_ = 0;
  std::from_chars(status.data(), status.data() + status.size(), status_);

  others_.clear();
  headers_.All("set-cookie", &others_);
  const auto ours = [&](const Bytes& field) {
    return tokenpin::set_cookie_matches(tokenpin::view(field), cookie_name);
  };
  const auto end = std::remove_if(others_.begin(), others_.end(), ours);
  sets_ours_ = end != others_.end();
  others_.erase(end, others_.end());

  carried_.clear();
  if (!carrier_header.empty()) headers_.All(carrier_header, &carried_);
  carries_ = !carried_.empty();
}

void ResponseReader::DropCookies(envoy_filter envoy, std::string_view carrier_header) const {
  if (sets_ours_) {
    std::vector<std::string> kept;
    for (const Bytes& field : others_) kept.emplace_back(tokenpin::view(field));
    RemoveHeader(envoy, kResponseHeader, "set-cookie");
    for (const std::string& field : kept) AddHeader(envoy, kResponseHeader, "set-cookie", field);
  }
  if (carries_) RemoveHeader(envoy, kResponseHeader, carrier_header);
}

std::string_view DetailsOf(envoy_filter envoy) {
  envoy_buffer details{};
  return envoy_dynamic_module_callback_http_filter_get_attribute_string(
             envoy, kAttributeResponseCodeDetails, &details)
             ? View(details)
             : std::string_view();
}

bool IsFromUpstream(envoy_filter envoy) { return DetailsOf(envoy) == "via_upstream"; }

void CoolDown(envoy_filter envoy, const Terms& terms, uint32_t slot,
              const ResponseReader& response) {
  const HeaderList& headers = response.headers();
  for (const Cooldown& cooldown : terms.settings().cooldowns) {
    if (!Contains(cooldown.statuses, response.status())) continue;
    const auto& all = cooldown.headers;
    if (!std::all_of(all.begin(), all.end(),
                     [&](const HeaderMatch& match) { return match.Matches(headers); })) {
      continue;
    }
    const uint64_t now = tokenpin::unix_now();
    uint64_t seconds = cooldown.seconds;
    if (cooldown.retry_after) {
      const auto wanted =
          ReadRetryAfter(headers.First("retry-after-ms"), headers.First("retry-after"), now);
      if (wanted) seconds = std::clamp<uint64_t>(*wanted, 1, cooldown.max_seconds);
    }
    if (terms.config()->fleet().Cool(slot, static_cast<tokenpin::State>(cooldown.state),
                                     now + seconds, now)) {
      terms.chain.stats.Count(envoy, Counter::cooldowns);
    }
    return;
  }
}

void WriteCookie(envoy_filter envoy, const Terms& terms, const tokenpin::Decision& decision,
                 uint16_t status) {
  if (decision.fields().cookie == 0) return;  // Spares clearing the buffer for it.
  // A WebSocket handshake succeeds with 101.
  if (status == kSwitchingProtocols) status = terms.settings().library.success_first;
  const auto answer = terms.config()->affinity().finish(decision, status);
  if (!answer) {
    Log(kLogError, "cannot finish: " + std::string(tokenpin::name(answer.status)));
    terms.chain.stats.Count(envoy, Counter::errors);
    return;
  }
  const Settings& settings = terms.settings();
  switch (answer->kind) {
    case TOKENPIN_ANSWER_NOTHING:
      return;
    case TOKENPIN_ANSWER_SET_COOKIE:
      AddHeader(envoy, kResponseHeader, "set-cookie", answer->text.view());
      if (settings.cache_control) {
        AddHeader(envoy, kResponseHeader, "cache-control", R"(no-cache="Set-Cookie")");
      }
      break;
    case TOKENPIN_ANSWER_CARRIER:
      SetHeader(envoy, kResponseHeader, settings.carrier_header, answer->text.view());
      if (settings.cache_control) {
        AddHeader(envoy, kResponseHeader, "cache-control",
                  "no-cache=\"" + settings.carrier_header + '"');
      }
      break;
  }
  terms.chain.stats.Count(envoy, Counter::cookies_set);
}

}  // namespace tokenpin_envoy
