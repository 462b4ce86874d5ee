#include "id_hint.h"

#include <algorithm>
#include <cstring>

#include "tokenpin.hpp"

namespace tokenpin_envoy {
namespace {

struct Process {
  tokenpin::Block mark{};
  bool drawn = static_cast<bool>(tokenpin::random_bytes(mark, sizeof mark));
};

const Process& ThisProcess() {
  static const Process process;
  return process;
}

}  // namespace

bool PrepareConnectionHints() { return ThisProcess().drawn; }

ConnectionHint HintOfConnection(uint64_t connection) {
  ConnectionHint hint;
  const tokenpin::Block& mark = ThisProcess().mark;
  std::copy(std::begin(mark), std::end(mark), hint.begin());
  std::memcpy(hint.data() + sizeof mark, &connection, sizeof connection);
  return hint;
}

}  // namespace tokenpin_envoy
