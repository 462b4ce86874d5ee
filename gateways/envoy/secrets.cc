#include "secrets.h"

#include <string.h>

#include <cstdlib>
#include <optional>

#include "files.h"

namespace tokenpin_envoy {
namespace {

constexpr size_t kMaxSecret = 65536;

// Editors and `echo` end a file with a line end.
void DropLineEnd(std::string* text) {
  if (!text->empty() && text->back() == '\n') text->pop_back();
  if (!text->empty() && text->back() == '\r') text->pop_back();
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

void Wipe(std::string* text) {
  text->resize(text->capacity());
  explicit_bzero(text->data(), text->size());
}

bool ReadSecretFile(const std::string& path, std::string* secret) {
  std::optional<std::string> contents = ReadFile(path, kMaxSecret);
  if (!contents) return false;
  *secret = std::move(*contents);
  DropLineEnd(secret);
  return true;
}

bool ReadSecret(Fields* fields, std::string* secret) {
  const bool file = fields->Find("file") != nullptr;
  const bool env = fields->Find("env") != nullptr;
  if (!file && !env) return false;
  if (file && env) fields->problem()->Set(fields->path(), "has both file and env");
  std::string name;
  fields->String(file ? "file" : "env", &name);
  if (fields->problem()->Found()) return true;
  if (file) {
    if (!ReadSecretFile(name, secret)) {
      fields->problem()->Set(fields->Path("file"), "the file cannot be read");
    }
  } else if (const char* value = std::getenv(name.c_str())) {
    *secret = value;
    DropLineEnd(secret);
  } else {
    fields->problem()->Set(fields->Path("env"), "the environment variable is not set");
  }
  return true;
}

void ReadKey(const Json& json, const std::string& path, uint8_t (&key)[16], Problem* problem) {
  Fields fields(json, path, problem);
  SecretText hex;
  if (!ReadSecret(&fields, &hex.text)) problem->Set(path, "needs file or env");
  fields.RefuseOthers();
  bool ok = hex.text.size() == 2 * sizeof key;
  for (size_t i = 0; ok && i < sizeof key; ++i) {
    const int high = HexDigit(hex.text[2 * i]);
    const int low = HexDigit(hex.text[2 * i + 1]);
    ok = high >= 0 && low >= 0;
    if (ok) key[i] = static_cast<uint8_t>(high << 4 | low);
  }
  if (!ok) problem->Set(path, "the key is not 32 hexadecimal digits");
}

}  // namespace tokenpin_envoy
