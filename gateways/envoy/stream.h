// One request and its response: what happens at each of Envoy's hooks.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "chain.h"
#include "envoy_abi.h"
#include "hold.h"
#include "ids.h"
#include "redirect.h"
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
  HeaderList headers;
  std::string text;
};

// Used by one worker at a time.
class Stream {
 public:
  explicit Stream(const Chain& chain) : terms_{chain}, try_(chain), sent_(TakeSent(chain)) {}

  // These return what the hook has to return.
  int OnRequestHeaders(envoy_filter envoy, Scratch& scratch, bool end_of_stream);
  int OnRequestBody(envoy_filter envoy, Scratch& scratch, bool end_of_stream);
  int OnRequestTrailers(envoy_filter envoy, Scratch& scratch);
  int OnResponseHeaders(envoy_filter envoy, Scratch& scratch, bool end_of_stream);
  int OnResponseBody(envoy_filter envoy, Scratch& scratch, bool end_of_stream);
  int OnResponseTrailers(envoy_filter envoy, Scratch& scratch);
  void OnComplete(envoy_filter envoy);

 private:
  // The point at which a held request continues: at its end, at one that came behind its last part,
  // in front of its trailers, or before it is all there.
  enum class Held { kEnded, kEndedApart, kInTrailers, kUnread };

  // True if the filter may change or refuse a request for its ids.
  bool opens() const { return terms_.mode() != TOKENPIN_MODE_OFF && !terms_.observes(); }

  // Rare functions are cold: their code lies apart from the code that every request runs.
  [[gnu::cold]] bool Continue(envoy_filter envoy, const RequestReader& reader,
                              const tokenpin::Request& request);
  bool Waits(envoy_filter envoy, const RequestReader& reader, const tokenpin::Request& request,
             bool end_of_stream);
  [[gnu::cold]] bool RefusesUpgrade(bool to_websocket) const;
  [[gnu::cold]] void MendUpgrade(envoy_filter envoy, Scratch& scratch);
  [[gnu::cold]] bool RefuseUnread(envoy_filter envoy, const HeaderList& headers);
  [[gnu::cold]] bool GiveUp(envoy_filter envoy, Hold::Bound over);
  [[gnu::cold]] int Swallow(envoy_filter envoy, bool end_of_stream);
  bool Resume(envoy_filter envoy, RequestReader& reader, Held held);
  bool Decide(envoy_filter envoy, RequestReader& reader, tokenpin::Request* request,
              const Held* held);
  void Serve(envoy_filter envoy, RequestReader& reader, const Held* held);
  void NoteHeadersOfBody(const HeaderList& headers);
  void AskUnencoded(envoy_filter envoy) const;
  void PutOpened(envoy_filter envoy, const Held* held);
  [[gnu::cold]] bool Fail(envoy_filter envoy, tokenpin::Status status) const;
  [[gnu::cold]] void NoteForeignRequestCookie(envoy_filter envoy) const;
  [[gnu::cold]] void NoteForeignResponseCookie(envoy_filter envoy) const;

  [[gnu::cold]] bool RetryOrRelease(envoy_filter envoy, Scratch& scratch, bool end_of_stream);
  void BeginSealing(envoy_filter envoy, Scratch& scratch, bool end_of_stream);
  void BeginSealing(envoy_filter envoy, const HeaderList& headers, bool end_of_stream);
  void Seal(envoy_filter envoy, Scratch& scratch, Bodies bodies, bool end_of_stream);
  void CountSealed(envoy_filter envoy);

  Terms terms_;
  Try try_;
  std::unique_ptr<Ids> ids_;  // null: of no interest
  Hold hold_;
  // True if headers of the request declare the length of its body, and a digest.
  bool has_length_ = false, has_digest_ = false;
  bool begun_ = false;          // the request came by here
  bool serving_ = false;        // a token was put on it
  bool answered_ = false;       // a response came by here
  std::unique_ptr<Sent> sent_;  // by the stream before, until the request comes
  tokenpin::CookieName cookie_name_;
  tokenpin::Decision decision_;
};

}  // namespace tokenpin_envoy
