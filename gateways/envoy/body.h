// Envoy's bodies: what is in them, and changing some of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "envoy_abi.h"

namespace tokenpin_envoy {

// The pieces of a body where they lie in Envoy's memory, which may be written to. They end when the
// body is drained or appended to.
using Pieces = std::vector<envoy_buffer>;

// The changes of a body, which is read from its front to its end.
class Edits {
 public:
  // In place of `length` bytes that stand at `at`. Behind all that was added before.
  void Replace(uint64_t at, uint64_t length, std::string_view text);
  bool empty() const { return edits_.empty(); }
  // Returns whether no change makes the body longer.
  bool Shrinks() const;
  // The number of bytes that the body loses.
  uint64_t loss() const { return loss_; }
  void Clear();

  // Changes a body of `size` bytes that shrinks, in place. Its first `loss()` bytes are of no use
  // then.
  void Apply(const Pieces& pieces, uint64_t size) const;

 private:
  struct Edit {
    uint64_t at, length;
    size_t text, text_end;  // in `text_`
  };
  std::vector<Edit> edits_;
  std::string text_;
  uint64_t loss_ = 0;
};

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

// Until the next are read.
const Pieces& ReadPieces(envoy_filter envoy, Bodies bodies);
uint64_t SizeOf(const Pieces& pieces);

// Changes a body where it lies.
void ChangeBody(envoy_filter envoy, Bodies bodies, const Edits& edits);

// Takes `size` bytes off the front of a body, which has as many.
void DrainBody(envoy_filter envoy, Bodies bodies, uint64_t size);

// Puts a text in place of a body of `size` bytes.
void ReplaceBody(envoy_filter envoy, Bodies bodies, uint64_t size, std::string_view text);

}  // namespace tokenpin_envoy
