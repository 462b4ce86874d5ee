#include "ids.h"

#include <algorithm>
#include <utility>

namespace tokenpin_envoy {

using tokenpin::IdOpener;
using tokenpin::IdSealer;

std::unique_ptr<Ids> Ids::Of(const Terms& terms, const tokenpin::Request& request,
                             const HeaderList& headers) {
  const Config& config = *terms.config();
  const auto api =
      config.affinity().classify(tokenpin::view(request.method), tokenpin::view(request.target));
  if (!api || api->ids == TOKENPIN_IDS_NONE) return nullptr;
  std::unique_ptr<Ids> ids(new Ids(config, *api, terms.mode()));
  ids->is_head_ = tokenpin::view(request.method) == "HEAD";
  std::string_view owner, scheme, authority;
  if (terms.settings().library.id_owner != TOKENPIN_ID_OWNER_NONE) {
    if (const auto found = config.affinity().id_owner(request)) owner = *found;
  }
  if (ids->mode_ != TOKENPIN_MODE_OFF && ids->has_state()) {
    scheme = headers.First(":scheme");
    authority = headers.First(":authority");
  }
  ids->Keep(tokenpin::view(request.scope), owner, scheme, authority);
  return ids;
}

void Ids::Keep(std::string_view scope, std::string_view owner, std::string_view scheme,
               std::string_view authority) {
  constexpr std::string_view kBetween = "://";
  texts_.reserve(scope.size() + owner.size() + scheme.size() + kBetween.size() + authority.size());
  const auto keep = [&](std::string_view text) {
    texts_.append(text);
    return tokenpin::bytes(std::string_view(texts_).substr(texts_.size() - text.size()));
  };
  use_.scope = keep(scope);
  use_.owner = keep(owner);
  use_.origin = keep(scheme);
  if (!scheme.empty()) {
    use_.origin.len += keep(kBetween).len + keep(authority).len;
  }
  use_.ids = api_.ids;
  use_.set_mode(mode_);
}

void Ids::OpenTarget(std::string_view target) {
  // Opening never lengthens it.
  opened_target_.resize(target.size());
  const auto length = config_.affinity().open_target(use_, summary_, target, opened_target_);
  opened_target_.resize(length ? *length : 0);
  if (opened_target_ == target) opened_target_.clear();
}

// Pieces that pass as they are leave no trace.
void Ids::TakeOpened(const tokenpin::Piece& piece) {
  const size_t passed = piece.pass.size();
  if (piece.taken != passed || !piece.put.empty()) {
    edits.Replace(at_ + passed, piece.taken - passed, piece.put);
  }
  at_ += piece.taken;
  changed_ = piece.rewritten.changed;
  unexpected_ = piece.rewritten.unexpected;
}

void Ids::BeginOpening() { rewriter_.emplace<IdOpener>(); }

void Ids::Open(std::string_view part) {
  auto* const opener = std::get_if<IdOpener>(&rewriter_);
  if (opener == nullptr) return;
  if (mode_ == TOKENPIN_MODE_STRICT) utf8_.Read(part);
  while (!part.empty()) {
    const auto piece = config_.affinity().open_step(use_, summary_, *opener, part);
    // Cannot fail; and if it did, the rest would pass as it is.
    if (!piece) return;
    TakeOpened(*piece);
    part.remove_prefix(piece->taken);
  }
}

void Ids::EndOpening() {
  auto* const opener = std::get_if<IdOpener>(&rewriter_);
  if (opener == nullptr) return;
  const auto piece = config_.affinity().open_end(use_, summary_, *opener);
  if (piece) TakeOpened(*piece);
  // Bytes that were held back and passed unchanged are no change. (No id is longer when it is open.
  // If one were, the body would pass as it is.)
  if (changed_ == 0 || !edits.Shrinks()) edits.Clear();
  rewriter_.emplace<std::monostate>();
}

void Ids::Redirect(std::string_view target) {
  tokenpin::IdSummary summary;
  std::string opened(target.size(), '\0');
  (void)config_.affinity().open_target(use_, summary, target, opened);
  const tokenpin::IdReport report = summary.report();
  report_.downloads = report.downloads;
  report_.changes_response |= report.changes_response;
}

void Ids::OnResponse(uint32_t slot, std::string_view upstream) {
  slot_ = slot;
  upstream_ = upstream;
  use_.upstream = tokenpin::bytes(upstream_);
}

bool Ids::SealsBody(std::string_view status, Content content) const {
  if (is_download() || (content != Content::kJson && content != Content::kEvents)) return false;
  // Those without a body, and a part of one.
  return status != "101" && status != "204" && status != "206" && status != "304";
}

bool Ids::SealTarget(std::string_view target, std::string* sealed) const {
  size_t room = use_.origin.len + target.size() + TOKENPIN_MAX_SEALED_ID;
  for (;;) {
    sealed->resize(room);
    const tokenpin::Span<char> buffer{sealed->data(), room};
    const auto length = config_.affinity().seal_target(use_, summary_, slot_, target, buffer);
    if (length.status == TOKENPIN_STATUS_BUFFER_TOO_SMALL && *length > room) {
      room = *length;
      continue;
    }
    sealed->resize(length ? *length : 0);
    return length && *sealed != target;
  }
}

void Ids::BeginSealing(Content content) {
  changed_ = unexpected_ = told_sealed_ = told_unexpected_ = 0;
  rewriter_.emplace<IdSealer>(content == Content::kEvents ? TOKENPIN_FRAMING_EVENTS
                                                          : TOKENPIN_FRAMING_JSON);
}

uint32_t Ids::NewlySealed() { return changed_ - std::exchange(told_sealed_, changed_); }

uint32_t Ids::NewlyUnexpected() {
  return unexpected_ - std::exchange(told_unexpected_, unexpected_);
}

bool Ids::TakeSealed(const tokenpin::Piece& piece, std::string* out) {
  out->append(piece.pass).append(piece.put);
  changed_ = piece.rewritten.changed;
  unexpected_ = piece.rewritten.unexpected;
  return piece.taken != piece.pass.size() || !piece.put.empty();
}

bool Ids::Seal(std::string_view part, std::string* out) {
  auto& sealer = *std::get_if<IdSealer>(&rewriter_);
  bool differs = false;
  while (!part.empty()) {
    const auto piece = config_.affinity().seal_step(use_, summary_, slot_, sealer, part);
    // Cannot fail; and if it did, the rest would pass as it is.
    if (!piece) {
      out->append(part);
      return differs;
    }
    differs |= TakeSealed(*piece, out);
    part.remove_prefix(piece->taken);
  }
  return differs;
}

bool Ids::EndSealing(std::string* out) {
  auto& sealer = *std::get_if<IdSealer>(&rewriter_);
  const auto piece = config_.affinity().seal_end(use_, summary_, slot_, sealer);
  const bool differs = piece && TakeSealed(*piece, out);
  rewriter_.emplace<std::monostate>();
  return differs;
}

}  // namespace tokenpin_envoy
