// One request and its response: what happens at each of Envoy's hooks.
#pragma once

#include "chain.h"
#include "envoy_abi.h"
#include "request.h"
#include "response.h"
#include "retry.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

// Memory of one worker, which the hooks of its streams use one after another. Nothing in it
// outlives a hook, for within one that begins a retry the new stream's hooks run.
struct Scratch {
  RequestReader request;
  ResponseReader response;
};

// Used by one worker at a time.
class Stream {
 public:
  explicit Stream(const Chain& chain) : terms_{chain}, try_(chain) {}

  // These return what the hook has to return.
  int OnRequestHeaders(envoy_filter envoy, Scratch& scratch, bool end_of_stream);
  int OnRequestBody(envoy_filter envoy, bool end_of_stream);
  int OnResponseHeaders(envoy_filter envoy, Scratch& scratch, bool end_of_stream);
  int OnResponseBody(envoy_filter envoy, Scratch& scratch, bool end_of_stream);
  int OnResponseTrailers(envoy_filter envoy, Scratch& scratch);

 private:
  void CountFailure(envoy_filter envoy, tokenpin::Status status) const;
  void NoteForeignRequestCookie(envoy_filter envoy) const;
  void NoteForeignResponseCookie(envoy_filter envoy) const;
  void Serve(envoy_filter envoy, RequestReader& reader);
  bool RetryOrRelease(envoy_filter envoy, RequestReader& reader);

  Terms terms_;
  Try try_;
  bool serving_ = false;  // a token was put on the request
  tokenpin::CookieName cookie_name_;
  tokenpin::Decision decision_;
};

}  // namespace tokenpin_envoy
