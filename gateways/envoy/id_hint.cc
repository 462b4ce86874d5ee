#include "id_hint.h"

#include <cstring>

namespace tokenpin_envoy {
namespace {

// A secret, so that an id cannot be computed from its hint.
struct HintKey {
  tokenpin::Block key{};
  bool drawn = static_cast<bool>(tokenpin::random_bytes(key, sizeof key));
};

const HintKey& ProcessHintKey() {
  static const HintKey key;
  return key;
}

}  // namespace

bool PrepareIdHints() { return ProcessHintKey().drawn; }

bool IdFromHint(std::string_view hint, tokenpin::Block& id) {
  // Two halves, told apart by the scope that is hashed with the hint.
  const tokenpin::Key key = tokenpin::session_key(hint);
  const auto low = tokenpin::key_hash(ProcessHintKey().key, "low", key);
  const auto high = tokenpin::key_hash(ProcessHintKey().key, "high", key);
  if (!low || !high) return false;
  std::memcpy(id, &*low, sizeof *low);
  std::memcpy(id + sizeof *low, &*high, sizeof *high);
  return true;
}

}  // namespace tokenpin_envoy
