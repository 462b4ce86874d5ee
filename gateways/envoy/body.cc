#include "body.h"

#include <algorithm>
#include <cstring>

#include "header_map.h"

namespace tokenpin_envoy {
namespace {

// A place in a body, which only goes towards its front.
class Place {
 public:
  explicit Place(const Pieces& pieces) : piece_(pieces.data() + pieces.size()) {}

  // Returns the number of bytes in front of it in one piece. The body must have some.
  uint64_t Room() {
    while (room_ == 0) room_ = (--piece_)->length;
    return room_;
  }
  // Moves back over `size` of them, and returns their start.
  char* Back(uint64_t size) {
    room_ -= size;
    return const_cast<char*>(piece_->ptr) + room_;
  }

 private:
  const envoy_buffer* piece_;
  uint64_t room_ = 0;
};

// Puts in front of `to` what stands in front of `from`.
void Move(Place* from, Place* to, uint64_t size) {
  while (size != 0) {
    const uint64_t part = std::min({size, from->Room(), to->Room()});
    const char* const source = from->Back(part);
    char* const target = to->Back(part);
    if (source != target) std::memmove(target, source, part);
    size -= part;
  }
}

}  // namespace

void Edits::Replace(uint64_t at, uint64_t length, std::string_view text) {
  // Bytes held back over the end of a part are one change with their replacement.
  if (edits_.empty() || edits_.back().at + edits_.back().length != at) {
    edits_.push_back({at, 0, text_.size(), text_.size()});
  }
  text_.append(text);
  edits_.back().length += length;
  edits_.back().text_end = text_.size();
  loss_ += length - text.size();
}

bool Edits::Shrinks() const {
  return std::all_of(edits_.begin(), edits_.end(),
                     [](const Edit& edit) { return edit.text_end - edit.text <= edit.length; });
}

void Edits::Clear() {
  edits_.clear();
  text_.clear();
  loss_ = 0;
}

// From its end to its front, for only from there bytes can be taken off.
void Edits::Apply(const Pieces& pieces, uint64_t size) const {
  if (edits_.empty() || edits_.back().at + edits_.back().length > size) return;
  Place from(pieces), to(pieces);
  for (size_t i = edits_.size(); i-- != 0;) {
    const Edit& edit = edits_[i];
    Move(&from, &to, size - edit.at - edit.length);
    for (uint64_t left = edit.length; left != 0;) {
      const uint64_t part = std::min(left, from.Room());
      from.Back(part);
      left -= part;
    }
    for (size_t end = edit.text_end; end != edit.text;) {
      const uint64_t part = std::min<uint64_t>(end - edit.text, to.Room());
      end -= part;
      std::memcpy(to.Back(part), text_.data() + end, part);
    }
    size = edit.at;
  }
  Move(&from, &to, size);
}

const Pieces& ReadPieces(envoy_filter envoy, Bodies bodies) {
  thread_local Pieces pieces;
  pieces.clear();
  for (const int body : bodies) {
    const size_t count = envoy_dynamic_module_callback_http_get_body_chunks_size(envoy, body);
    if (count == 0) continue;
    const size_t before = pieces.size();
    pieces.resize(before + count);
    if (!envoy_dynamic_module_callback_http_get_body_chunks(envoy, body, &pieces[before])) {
      pieces.resize(before);
    }
  }
  return pieces;
}

uint64_t SizeOf(const Pieces& pieces) {
  uint64_t size = 0;
  for (const envoy_buffer& piece : pieces) size += piece.length;
  return size;
}

void ChangeBody(envoy_filter envoy, Bodies bodies, const Edits& edits) {
  const Pieces& pieces = ReadPieces(envoy, bodies);
  edits.Apply(pieces, SizeOf(pieces));
  DrainBody(envoy, bodies, edits.loss());
}

void DrainBody(envoy_filter envoy, Bodies bodies, uint64_t size) {
  for (const int& body : bodies) {
    uint64_t part = size;
    if (&body + 1 != bodies.end()) {
      const uint64_t all = envoy_dynamic_module_callback_http_get_body_size(envoy, body);
      part = std::min(part, all);
    }
    if (part != 0) envoy_dynamic_module_callback_http_drain_body(envoy, body, part);
    size -= part;
  }
}

void ReplaceBody(envoy_filter envoy, Bodies bodies, uint64_t size, std::string_view text) {
  DrainBody(envoy, bodies, size);
  if (text.empty()) return;
  envoy_dynamic_module_callback_http_append_body(envoy, *(bodies.end() - 1), Buffer(text));
}

}  // namespace tokenpin_envoy
