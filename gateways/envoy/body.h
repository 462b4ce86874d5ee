// Envoy's bodies: what is in them, and changing some of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "envoy_abi.h"

namespace tokenpin_envoy {

// What is to be changed in a body, which is read from its front to its end.
class Edits {
 public:
  // In place of `length` bytes that stand at `at`. Behind all that was added before.
  void Replace(uint64_t at, uint64_t length, std::string_view text);
  bool empty() const { return edits_.empty(); }
  // How many bytes the body gains.
  int64_t growth() const { return growth_; }
  void Clear();

  // Appends what becomes of the next part of the body. `Begin` comes first; the last part is empty.
  void Begin();
  void Apply(std::string_view part, std::string* out);

 private:
  struct Edit {
    uint64_t at, length;
    size_t text, text_end;  // in `text_`
  };
  std::vector<Edit> edits_;
  std::string text_;
  int64_t growth_ = 0;
  // Of what is applied: the next edit, where the next part begins, and what of it is left out.
  size_t next_ = 0;
  uint64_t at_ = 0, skip_ = 0;
};

// The pieces of a body where they lie in Envoy's memory, until the body is changed or the next are
// read.
const std::vector<envoy_buffer>& ReadChunks(envoy_filter envoy, int body);

// The parts of Envoy's memory that a body lies in, one behind the other.
class Bodies {
 public:
  template <size_t kCount>
  constexpr Bodies(const int (&bodies)[kCount]) : first_(bodies), end_(bodies + kCount) {}
  const int* begin() const { return first_; }
  const int* end() const { return end_; }

 private:
  const int *first_, *end_;
};

// Changes a body, and leaves all of it in its last part. It is moved a piece at a time, so that a
// long one is never there twice.
void ChangeBody(envoy_filter envoy, Bodies bodies, Edits* edits);

// Puts a text in place of all of it.
void ReplaceBody(envoy_filter envoy, Bodies bodies, std::string_view text);

}  // namespace tokenpin_envoy
