#include "body.h"

#include <algorithm>
#include <array>
#include <limits>

#include "header_map.h"

namespace tokenpin_envoy {
namespace {

// How much of a body is moved at once.
constexpr size_t kBlock = 1 << 20;

}  // namespace

void Edits::Replace(uint64_t at, uint64_t length, std::string_view text) {
  edits_.push_back({at, length, text_.size(), text_.size() + text.size()});
  text_.append(text);
  growth_ += static_cast<int64_t>(text.size()) - static_cast<int64_t>(length);
}

void Edits::Clear() {
  edits_.clear();
  text_.clear();
  growth_ = 0;
}

void Edits::Begin() {
  next_ = 0;
  at_ = skip_ = 0;
}

void Edits::Apply(std::string_view part, std::string* out) {
  for (;;) {
    const size_t skipped = std::min<uint64_t>(skip_, part.size());
    part.remove_prefix(skipped);
    skip_ -= skipped;
    at_ += skipped;
    if (skip_ != 0) return;
    const bool last = next_ == edits_.size();
    const uint64_t untouched = last ? std::numeric_limits<uint64_t>::max() : edits_[next_].at - at_;
    const size_t kept = std::min<uint64_t>(untouched, part.size());
    out->append(part.substr(0, kept));
    part.remove_prefix(kept);
    at_ += kept;
    if (last || at_ != edits_[next_].at) return;
    const Edit& edit = edits_[next_++];
    out->append(text_, edit.text, edit.text_end - edit.text);
    skip_ = edit.length;
  }
}

const std::vector<envoy_buffer>& ReadChunks(envoy_filter envoy, int body) {
  thread_local std::vector<envoy_buffer> chunks;
  chunks.resize(envoy_dynamic_module_callback_http_get_body_chunks_size(envoy, body));
  if (!chunks.empty() &&
      !envoy_dynamic_module_callback_http_get_body_chunks(envoy, body, chunks.data())) {
    chunks.clear();
  }
  return chunks;
}

void ChangeBody(envoy_filter envoy, Bodies bodies, Edits* edits) {
  const int target = *(bodies.end() - 1);
  // Of all before the first is moved: behind the last stands what was moved there.
  std::array<size_t, 2> sizes{};
  size_t* left = sizes.begin();
  for (const int body : bodies) {
    *left++ = envoy_dynamic_module_callback_http_get_body_size(envoy, body);
  }
  edits->Begin();
  std::string moved;
  const auto append = [&] {
    if (!moved.empty()) {
      envoy_dynamic_module_callback_http_append_body(envoy, target, Buffer(moved));
    }
    moved.clear();
  };
  left = sizes.begin();
  for (const int body : bodies) {
    while (*left != 0) {
      size_t taken = 0;
      for (const envoy_buffer& chunk : ReadChunks(envoy, body)) {
        const size_t size = std::min({chunk.length, *left - taken, kBlock - taken});
        edits->Apply(View(chunk).substr(0, size), &moved);
        taken += size;
      }
      if (taken == 0) break;
      envoy_dynamic_module_callback_http_drain_body(envoy, body, taken);
      append();
      *left -= taken;
    }
    ++left;
  }
  edits->Apply({}, &moved);
  append();
}

void ReplaceBody(envoy_filter envoy, Bodies bodies, std::string_view text) {
  for (const int body : bodies) {
    const size_t size = envoy_dynamic_module_callback_http_get_body_size(envoy, body);
    if (size != 0) envoy_dynamic_module_callback_http_drain_body(envoy, body, size);
  }
  if (text.empty()) return;
  envoy_dynamic_module_callback_http_append_body(envoy, *(bodies.end() - 1), Buffer(text));
}

}  // namespace tokenpin_envoy
