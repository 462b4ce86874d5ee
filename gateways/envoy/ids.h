// The ids of one request and its response. What the library is asked of them is asked here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "body.h"
#include "chain.h"
#include "content.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

class Ids {
 public:
  // Its views point into itself.
  Ids(const Ids&) = delete;
  Ids& operator=(const Ids&) = delete;

  // Of a request, as it was read. Null if its path has none.
  static std::unique_ptr<Ids> Of(const Terms& terms, const tokenpin::Request& request,
                                 const HeaderList& headers);

  tokenpin::Mode mode() const { return mode_; }
  // Of everything that was read so far.
  const tokenpin::IdSummary& summary() const { return summary_; }
  // Its method and target, as the table has them.
  const tokenpin::Class& api() const { return api_; }
  // Of a former try, which has opened the request already.
  void Inherit(const tokenpin::IdSummary& summary) { summary_ = summary; }

  // The request: first its target, then the parts of its body, and its end.
  void OpenTarget(std::string_view target);
  void BeginOpening();
  void Open(std::string_view part);
  void EndOpening();
  // The target as the upstream gets it; empty if nothing in it was opened.
  const std::string& opened_target() const { return opened_target_; }
  // The number of its documents that were not understood; whether all of it was text.
  uint32_t unexpected() const { return unexpected_; }
  bool is_text() const { return utf8_.valid(); }

  // Nothing of the request is read any more. Returns the report on it, which is kept.
  const tokenpin::IdReport& EndReading() {
    changed_ = 0;
    return report_ = summary_.report();
  }
  // A redirect leads to this target of the same account: it tells what kind of response comes. Its
  // ids are not the client's.
  void Redirect(std::string_view target);

  // True if ids in the response may change.
  bool Seals() const { return report_.changes_response; }
  // True if the API keeps what it makes in its account.
  bool has_state() const { return api_.ids == TOKENPIN_IDS_BOTH || api_.ids == TOKENPIN_IDS_ITEMS; }
  bool is_head() const { return is_head_; }
  bool is_download() const { return report_.downloads; }

  // The response of a slot. `upstream` is the authority that was asked.
  void OnResponse(uint32_t slot, std::string_view upstream);
  // Returns whether ids are sealed in a body of this kind.
  bool SealsBody(std::string_view status, Content content) const;
  // Of a target or a URL in its headers. False if nothing in it changes.
  bool SealTarget(std::string_view target, std::string* sealed) const;
  // Its body, part by part, and its end: what goes out instead is appended. True if that differs.
  void BeginSealing(Content content);
  bool sealing() const { return std::holds_alternative<tokenpin::IdSealer>(rewriter_); }
  bool Seal(std::string_view part, std::string* out);
  // Begins to fetch this object. Between two events it has left the nearest caches, and its lines
  // would be waited for one after another.
  void Prefetch() const {
    const char* const begin = reinterpret_cast<const char*>(this);
    constexpr size_t kLine = 64;
    for (size_t at = 0; at < sizeof *this; at += kLine) __builtin_prefetch(begin + at);
  }
  bool EndSealing(std::string* out);
  // The numbers of ids sealed, and of documents not understood, since the last call.
  uint32_t NewlySealed();
  uint32_t NewlyUnexpected();

  // The changes of the request's body.
  Edits edits;

 private:
  Ids(const Config& config, const tokenpin::Class& api, tokenpin::Mode mode)
      : config_(config), api_(api), mode_(mode) {}
  void Keep(std::string_view scope, std::string_view owner, std::string_view scheme,
            std::string_view authority);
  void TakeOpened(const tokenpin::Piece& piece);
  bool TakeSealed(const tokenpin::Piece& piece, std::string* out);

  // Terms of the stream, which outlive this.
  const Config& config_;
  const tokenpin::Class api_;
  const tokenpin::Mode mode_;
  bool is_head_ = false;
  std::string texts_, upstream_, opened_target_;
  tokenpin::IdUse use_;  // points into the first two
  tokenpin::IdSummary summary_;
  tokenpin::IdReport report_{};
  // At most one at a time.
  std::variant<std::monostate, tokenpin::IdOpener, tokenpin::IdSealer> rewriter_;
  uint32_t slot_ = TOKENPIN_SLOT_NONE;
  uint64_t at_ = 0;       // in the request's body
  uint32_t changed_ = 0;  // ids
  uint32_t unexpected_ = 0, told_sealed_ = 0, told_unexpected_ = 0;
  Utf8 utf8_;
};

}  // namespace tokenpin_envoy
