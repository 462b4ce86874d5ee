// A configuration at work: the affinity, and the tokens' credentials and states.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "fleet.h"
#include "keeper.h"
#include "settings.h"
#include "tokenpin.hpp"

namespace tokenpin_envoy {

enum class Event : uint64_t {
  kLookedAfter,
  kStateFileApplied,
  kStateFileRefused,
  kStateFileUnknown,
};

// Shared by all workers and by all streams begun under it. Constant, but for the tokens' states.
class Config {
 public:
  // Null with what is wrong in `problem`.
  static std::unique_ptr<Config> Make(std::unique_ptr<Settings> settings, Problem* problem);
  ~Config();

  // Begins to look at the state file and to end cooldowns, on a thread that tells of what happened.
  // Until then states change by `fleet` alone. False if there can be no thread.
  bool StartKeeping(std::function<void(Event)> report);

  const Settings& settings() const { return *settings_; }
  const tokenpin::Affinity& affinity() const { return affinity_; }
  Fleet& fleet() const { return *fleet_; }
  // The cookie's name where no tenant changes the scope and no route replaces it.
  const tokenpin::CookieName& cookie_name() const { return cookie_name_; }
  uint64_t fingerprint() const { return fingerprint_; }
  uint64_t LiveFingerprint() const;

 private:
  Config() = default;
  bool ReadFirstStates(Problem* problem);
  bool Build(Problem* problem);
  void LookAfter(const std::function<void(Event)>& report);
  void CheckStateFile(const std::function<void(Event)>& report);
  void WarnOfUnknown(const States& states) const;

  std::unique_ptr<Settings> settings_;
  std::vector<tokenpin::SlotStatus> declared_;  // at the start
  tokenpin::Affinity affinity_;
  std::unique_ptr<Fleet> fleet_;
  tokenpin::CookieName cookie_name_;
  uint64_t fingerprint_ = 0;

  // The state file as it was when it was last looked at; none if it was not there.
  struct FileState {
    dev_t device;
    ino_t inode;
    off_t size;
    timespec modified, changed;
    bool operator==(const FileState& other) const;
  };
  std::optional<FileState> file_;
  std::optional<FileState> StatFile() const;

  bool unreadable_ = false;  // it was there, and could not be read; that is told once

  std::optional<Keeper::Handle> kept_;
};

// One line of Envoy's log.
void Log(int level, const std::string& message);

}  // namespace tokenpin_envoy
