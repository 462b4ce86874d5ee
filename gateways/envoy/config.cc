#include "config.h"

#include <cinttypes>
#include <cstdio>
#include <utility>

#include "envoy_abi.h"
#include "log.h"
#include "tokens.h"

namespace tokenpin_envoy {
namespace {

constexpr size_t kMaxStateFile = 16 << 20;

constexpr char kNoPattern[] =
    "expected segments with / between them, where one behind the first may begin with a *, and no "
    "%, ? or #";

// The path of a field of the library in the filter's configuration.
std::string PathOf(const tokenpin::ConfigError& error, const Settings& settings) {
  switch (error.field) {
    case TOKENPIN_FIELD_COOKIE_KEYS:
      return "cookie_keys[" + std::to_string(error.index) + "]";
    case TOKENPIN_FIELD_RULES:
      return "rules[" + std::to_string(error.index) + "].pattern";
    case TOKENPIN_FIELD_ID_KEYS:
    case TOKENPIN_FIELD_ID_FIELDS:
    case TOKENPIN_FIELD_ID_PREFIXES:
    case TOKENPIN_FIELD_ID_COLLECTIONS:
      return std::string(tokenpin::name(error.field)) + "[" + std::to_string(error.index) + "]";
    case TOKENPIN_FIELD_SLOTS:
      // The tokens may be listed in another order than that of their slots.
      return error.index < settings.tokens.size()
                 ? "tokens (" + settings.tokens[error.index].name + ")"
                 : "tokens";
    case TOKENPIN_FIELD_COOKIE_NAME:
      return "cookie.name";
    case TOKENPIN_FIELD_PATH:
    case TOKENPIN_FIELD_DOMAIN:
    case TOKENPIN_FIELD_MAX_AGE:
    case TOKENPIN_FIELD_SECURE:
    case TOKENPIN_FIELD_SAME_SITE:
    case TOKENPIN_FIELD_PARTITIONED:
    case TOKENPIN_FIELD_HTTP_ONLY:
      return "cookie." + std::string(tokenpin::name(error.field));
    default:
      return std::string(tokenpin::name(error.field));
  }
}

}  // namespace

std::unique_ptr<Config> Config::Make(std::unique_ptr<Settings> settings, Problem* problem) {
  std::unique_ptr<Config> config(new Config);
  config->settings_ = std::move(settings);
  if (!config->ReadFirstStates(problem) || !config->Build(problem)) return nullptr;
  const Settings& made = *config->settings_;
  char fingerprints[64];
  std::snprintf(fingerprints, sizeof fingerprints, "fingerprint %016" PRIx64 ", live %016" PRIx64,
                config->fingerprint(), config->LiveFingerprint());
  Log(kLogInfo,
      "configuration accepted, scope \"" + made.request.scope.value_or("") + "\": " + fingerprints);
  return config;
}

bool Config::ReadFirstStates(Problem* problem) {
  for (const Token& token : settings_->tokens) declared_.push_back(token.status);
  if (settings_->state_file.empty()) return true;
  file_ = VersionOf(settings_->state_file);
  if (!file_) {
    Log(kLogWarning,
        "the state file is not there, states are as configured: " + settings_->state_file);
    return true;
  }
  Problem found;
  const std::optional<std::string> text = ReadFile(settings_->state_file, kMaxStateFile);
  if (text) {
    const States states = ParseStates(*text, settings_->tokens, &found);
    declared_ = states.declared;
    WarnOfUnknown(states);
  } else {
    found.Set("", "cannot be read");
  }
  if (found.Found()) problem->Set("state_file", found.text());
  return !found.Found();
}

bool Config::Build(Problem* problem) {
  const Settings& settings = *settings_;
  std::vector<tokenpin::SlotConfig> slots;
  for (size_t slot = 0; slot < settings.tokens.size(); ++slot) {
    slots.push_back({tokenpin::bytes(settings.tokens[slot].name), declared_[slot]});
  }
  std::vector<tokenpin::Rule> rules;
  for (const Rule& rule : settings.rules) {
    rules.push_back({tokenpin::bytes(rule.pattern), rule.group, rule.ids});
  }
  std::vector<tokenpin::IdField> id_fields;
  for (const IdField& field : settings.id_fields) {
    id_fields.push_back({tokenpin::bytes(field.name), field.kind});
  }
  const auto bytes = [](const std::vector<std::string>& texts) {
    std::vector<tokenpin::Bytes> all;
    for (const std::string& text : texts) all.push_back(tokenpin::bytes(text));
    return all;
  };
  const std::vector<tokenpin::Bytes> id_prefixes = bytes(settings.id_prefixes);
  const std::vector<tokenpin::Bytes> id_collections = bytes(settings.id_collections);
  tokenpin::Config library;
  static_cast<tokenpin_config&>(library) = settings.library;
  library.set_cookie_keys(settings.cookie_keys);
  library.set_slots(slots);
  library.set_rules(rules);
  library.set_id_keys(settings.id_keys);
  library.set_id_fields(id_fields);
  library.set_id_prefixes(id_prefixes);
  library.set_id_collections(id_collections);
  if (settings.request.scope) library.scope = tokenpin::bytes(*settings.request.scope);
  library.cookie_name = tokenpin::bytes(settings.cookie_name);
  library.attributes.path = tokenpin::bytes(settings.path);
  library.attributes.domain = tokenpin::bytes(settings.domain);

  tokenpin::ConfigError error;
  auto affinity = tokenpin::Affinity::make(library, &error);
  settings_->WipeKeys();
  if (!affinity) {
    problem->Set(PathOf(error, settings), error.status == TOKENPIN_STATUS_PATTERN
                                              ? kNoPattern
                                              : std::string(tokenpin::describe(error.status)));
    return false;
  }
  affinity_ = std::move(*affinity);
  fleet_ = std::make_unique<Fleet>(affinity_, declared_);
  std::vector<Credentials> credentials;
  for (Token& token : settings_->tokens) credentials.push_back(std::move(token.credentials));
  wallet_ = std::make_unique<Wallet>(std::move(credentials));
  cookie_name_ = *affinity_.cookie_name();
  fingerprint_ = *affinity_.fingerprint();
  return true;
}

uint64_t Config::LiveFingerprint() const {
  return *affinity_.live_fingerprint(tokenpin::unix_now());
}

bool Config::StartKeeping(Report report) {
  Keeper::Handle handle;
  const auto task = [this, report = std::move(report)] { LookAfter(report); };
  if (!Keeper::Get().Add(task, &handle)) return false;
  kept_ = handle;
  return true;
}

Config::~Config() {
  if (kept_) Keeper::Get().Remove(*kept_);
}

void Config::LookAfter(const Report& report) {
  CheckStateFile(report);
  CheckSecrets(report);
  fleet_->EndCooldowns(tokenpin::unix_now());
  report(std::nullopt);
}

void Config::CheckStateFile(const Report& report) {
  if (settings_->state_file.empty()) return;
  // Taken before the file is read: what is written in between is seen the next time.
  const std::optional<FileVersion> now = VersionOf(settings_->state_file);
  if (now == file_) return;
  file_ = now;
  if (!now) {
    Log(kLogWarning, "the state file is gone, states stay as they are: " + settings_->state_file);
    return;
  }
  Problem problem;
  States states;
  const std::optional<std::string> text = ReadFile(settings_->state_file, kMaxStateFile);
  const bool was_unreadable = std::exchange(unreadable_, !text);
  if (text) {
    states = ParseStates(*text, settings_->tokens, &problem);
  } else {
    // The cause may pass, so the next look tries again; only the first one reports it.
    file_.reset();
    if (was_unreadable) return;
    problem.Set("", "cannot be read");
  }
  if (problem.Found()) {
    Log(kLogError, "state file refused, states stay as they are: " + settings_->state_file + ": " +
                       problem.text());
    return report(Counter::state_file_refused);
  }
  fleet_->Declare(states.declared);
  Log(kLogInfo, "state file applied: " + settings_->state_file);
  report(Counter::state_file_applied);
  WarnOfUnknown(states);
  if (!states.unknown.empty()) report(Counter::state_file_unknown);
}

void Config::CheckSecrets(const Report& report) {
  wallet_->ReadAgain([&](uint32_t slot, const char* problem, const std::string& header) {
    const std::string& token = settings_->tokens[slot].name;
    if (problem == nullptr) {
      Log(kLogInfo, "secrets applied: token " + token);
      return report(Counter::secrets_applied);
    }
    Log(kLogError, "secrets refused, those of token " + token + " stay as they are: " + header +
                       ": " + problem);
    report(Counter::secrets_refused);
  });
}

void Config::WarnOfUnknown(const States& states) const {
  for (const std::string& name : states.unknown) {
    Log(kLogWarning, "no such token: " + name + " in " + settings_->state_file);
  }
}

}  // namespace tokenpin_envoy
