#include "credentials.h"

#include <algorithm>
#include <utility>

#include "secrets.h"

namespace tokenpin_envoy {
namespace {

// RFC 9110 section 5.5, without the bytes that are obsolete there.
bool IsHeaderValue(std::string_view text) {
  const auto visible = [](char c) { return c >= 0x20 && c <= 0x7e; };
  return std::all_of(text.begin(), text.end(), visible) && text.front() != ' ' &&
         text.back() != ' ';
}

// Returns whether a pseudo-header may have this value: Envoy takes any.
bool IsPseudoValue(std::string_view name, std::string_view text) {
  if (name == ":path") return text.front() == '/' && text.find(' ') == text.npos;
  if (name == ":scheme") return text == "http" || text == "https";
  return true;
}

}  // namespace

Credential::~Credential() {
  if (value) Wipe(&*value);
}

const char* Credential::Take(std::string_view secret) {
  if (secret.empty()) return "the value is empty";
  SecretText text;
  text.text.reserve(prefix.size() + secret.size());
  text.text.append(prefix).append(secret);
  if (!IsHeaderValue(text.text)) return "the value cannot stand in a header";
  if (!IsPseudoValue(name, text.text)) return "the value cannot stand in this pseudo-header";
  value = std::move(text.text);
  return nullptr;
}

Wallet::Wallet(std::vector<Credentials> by_slot) {
  for (Credentials& credentials : by_slot) {
    const auto in_file = [](const Credential& credential) { return !credential.file.empty(); };
    const bool changes = std::any_of(credentials.begin(), credentials.end(), in_file);
    if (changes) watched_.push_back({static_cast<uint32_t>(slots_.size())});
    slots_.push_back({std::make_shared<const Credentials>(std::move(credentials)), changes});
  }
}

void Wallet::ReadAgain(const Tell& tell) {
  for (Watched& watched : watched_) ReadAgain(&watched, tell);
}

void Wallet::ReadAgain(Watched* watched, const Tell& tell) {
  const Credentials& old = *slots_[watched->slot].credentials;
  const auto versions = [&] {
    std::vector<std::optional<FileVersion>> found;
    for (const Credential& credential : old) {
      if (!credential.file.empty()) found.push_back(VersionOf(credential.file));
    }
    return found;
  };
  auto now = versions();
  if (now == watched->versions) return;
  watched->versions = std::move(now);

  Credentials fresh = old;
  bool changed = false;
  for (size_t i = 0; i < fresh.size(); ++i) {
    Credential& credential = fresh[i];
    if (credential.file.empty()) continue;
    SecretText secret;
    if (!ReadSecretFile(credential.file, &secret.text)) {
      // The cause may pass, so the next look tries again; only the first one reports it.
      watched->versions.clear();
      if (!std::exchange(watched->unreadable, true)) {
        tell(watched->slot, "the file cannot be read", credential.name);
      }
      return;
    }
    if (const char* const problem = credential.Take(secret.text)) {
      return tell(watched->slot, problem, credential.name);
    }
    changed |= credential.value != old[i].value;
  }
  // A file written meanwhile is read the next time, so that no old secret stands beside a new one.
  if (versions() != watched->versions) return watched->versions.clear();
  watched->unreadable = false;
  if (!changed) return;
  std::atomic_store(
      &slots_[watched->slot].credentials,
      std::shared_ptr<const Credentials>(std::make_shared<const Credentials>(std::move(fresh))));
  tell(watched->slot, nullptr, "");
}

}  // namespace tokenpin_envoy
