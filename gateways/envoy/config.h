// A configuration at work: the affinity, and the tokens' credentials and states.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "credentials.h"
#include "files.h"
#include "fleet.h"
#include "keeper.h"
#include "settings.h"
#include "stats.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

struct States;

// Takes what happened on the keeper's thread: something to count, or none, which means that the
// states were looked after.
using Report = std::function<void(std::optional<Counter>)>;

// Shared by all workers and by all streams begun under it. Constant, except the tokens' states and
// secrets.
class Config {
 public:
  // Null with what is wrong in `problem`.
  static std::unique_ptr<Config> Make(std::unique_ptr<Settings> settings, Problem* problem);
  ~Config();

  // Begins to look at files and to end cooldowns, on a thread that reports what happened.
  // Until then only `fleet` changes states. False if there can be no thread.
  bool StartKeeping(Report report);

  const Settings& settings() const { return *settings_; }
  const tokenpin::Affinity& affinity() const { return affinity_; }
  Fleet& fleet() const { return *fleet_; }
  const Wallet& wallet() const { return *wallet_; }
  // The cookie's name where no tenant changes the scope and no route replaces it.
  const tokenpin::CookieName& cookie_name() const { return cookie_name_; }
  uint64_t fingerprint() const { return fingerprint_; }
  uint64_t LiveFingerprint() const;

  // True if the log mentions another gateway's cookie: once in a request, once in a response.
  mutable std::atomic<bool> told_of_foreign_request{false}, told_of_foreign_response{false};

 private:
  Config() = default;
  bool ReadFirstStates(Problem* problem);
  bool Build(Problem* problem);
  void LookAfter(const Report& report);
  void CheckStateFile(const Report& report);
  void CheckSecrets(const Report& report);
  void WarnOfUnknown(const States& states) const;

  std::unique_ptr<Settings> settings_;
  std::vector<tokenpin::SlotStatus> declared_;  // at the start
  tokenpin::Affinity affinity_;
  std::unique_ptr<Fleet> fleet_;
  std::unique_ptr<Wallet> wallet_;
  tokenpin::CookieName cookie_name_;
  uint64_t fingerprint_ = 0;

  std::optional<FileVersion> file_;  // the state file's, when it was last looked at
  bool unreadable_ = false;          // it was there, and could not be read; logged once

  std::optional<Keeper::Handle> kept_;
};

}  // namespace tokenpin_envoy
