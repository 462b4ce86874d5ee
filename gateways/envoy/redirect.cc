#include "redirect.h"

#include <algorithm>
#include <utility>

namespace tokenpin_envoy {
namespace {

// Envoy ends the first stream and makes the second one in one call, and tells this filter nothing
// of the link between them.
thread_local std::unique_ptr<Sent> left;

}  // namespace

void LeaveSent(Sent sent) { left = std::make_unique<Sent>(std::move(sent)); }

std::unique_ptr<Sent> TakeSent() { return std::move(left); }

bool Continues(const Sent& sent, const Terms& terms, const HeaderList& headers) {
  if (sent.config.lock() != terms.config() || !headers.Has("x-envoy-original-url")) return false;
  const auto credentials = terms.config()->wallet().Of(sent.decision.slot());
  const auto put = [&](const Credential& each) {
    return each.value ? headers.First(each.name) == *each.value : !headers.Has(each.name);
  };
  return std::all_of(credentials->begin(), credentials->end(), put);
}

}  // namespace tokenpin_envoy
