// The headers that a token puts on a request, and the files that hold their secrets.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "files.h"

namespace tokenpin_envoy {

// One header of a token. Its value is wiped when it goes.
struct Credential {
  std::string name;
  std::optional<std::string> value = std::nullopt;  // none: the header is removed
  std::string prefix = {};                          // stands in front of the secret
  std::string file = {};  // holds the secret; empty: nothing is read again

  explicit Credential(std::string header) : name(std::move(header)) {}
  Credential(const Credential&) = default;
  Credential(Credential&&) = default;
  Credential& operator=(Credential&&) = delete;
  ~Credential();

  // Makes the value of a secret. Returns what is wrong with it, or null.
  const char* Take(std::string_view secret);
};

using Credentials = std::vector<Credential>;

// The credentials of all slots. Any thread may read them; one of a token's are replaced together.
class Wallet {
 public:
  explicit Wallet(std::vector<Credentials> by_slot);

  std::shared_ptr<const Credentials> Of(uint32_t slot) const {
    const Slot& of = slots_[slot];
    return of.changes ? std::atomic_load(&of.credentials) : of.credentials;
  }

  // Reads the secrets of those tokens again of which a file changed. Tells of each whether it has
  // new ones; what is wrong (null: nothing) and with which header. Then it keeps those it has.
  using Tell = std::function<void(uint32_t slot, const char* problem, const std::string& header)>;
  void ReadAgain(const Tell& tell);

 private:
  struct Watched {
    uint32_t slot;
    // Of its files when they were last looked at. Empty: they are to be read in any case, as at
    // first, so that a file written since the configuration was read is not missed.
    std::vector<std::optional<FileVersion>> versions = {};
    bool unreadable = false;  // logged once
  };
  void ReadAgain(Watched* watched, const Tell& tell);

  struct Slot {
    std::shared_ptr<const Credentials> credentials;
    bool changes;  // it is watched. Loading one that changes takes a lock of the C++ library's
  };
  std::vector<Slot> slots_;
  std::vector<Watched> watched_;
};

}  // namespace tokenpin_envoy
