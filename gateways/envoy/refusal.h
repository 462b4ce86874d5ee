// The filter's own answers to requests that no token serves. They are rare, and what is cold lies
// apart from the code that every request runs.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "config.h"
#include "envoy_abi.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

struct Refusal {
  uint32_t status;
  std::string_view code;
  std::string message;
  // The field of the request that is meant. Empty: none.
  std::string param = {};
  // As OpenAI's clients know it: whether the request is to blame, or the gateway.
  std::string_view type = "gateway_error";
  uint32_t retry_after = 0;  // in seconds; 0: unknown
  // What the client may do instead: two more headers, if their names are not empty.
  using Header = std::pair<std::string_view, std::string_view>;
  std::array<Header, 2> headers = {};
};

// Of a request that could not be decided.
[[gnu::cold]] Refusal RefusalFor(tokenpin::Status status);
// Of a decision without a slot, of a request whose summary quotes this id.
[[gnu::cold]] Refusal RefusalFor(const tokenpin::Decision& decision, const Config& config,
                                 std::string_view id);

// Of a request's body that is too long, that is one too many, that cannot be understood, or is of a
// kind that cannot be.
Refusal TooLarge();
Refusal TooMany();
Refusal Unreadable();
Refusal WrongType();
Refusal WrongEncoding();
// Of a WebSocket, whose ids could not be seen.
Refusal WrongProtocol();

// Sends it to the client, as the provider would word it, with one more header unless its name is
// empty. The hook then stops.
[[gnu::cold]] void Refuse(envoy_filter envoy, const Refusal& refusal, std::string_view header = {},
                          std::string_view value = {});

}  // namespace tokenpin_envoy
