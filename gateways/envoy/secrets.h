// Secrets of the configuration: read from where it says, and wiped when they go.
#pragma once

#include <cstdint>
#include <string>

#include "json.h"

namespace tokenpin_envoy {

// Wipes what a string holds, and what a shorter or moved one may have left in its buffer.
void Wipe(std::string* text);

// A text that holds a secret for a while.
struct SecretText {
  std::string text;
  ~SecretText() { Wipe(&text); }
};

// The secret in a file: its text without the line end. False if it cannot be read.
bool ReadSecretFile(const std::string& path, std::string* secret);

// The secret that the fields `file` or `env` name. False if neither is there.
bool ReadSecret(Fields* fields, std::string* secret);

// A key of `file` or `env`, in hexadecimal digits.
void ReadKey(const Json& json, const std::string& path, uint8_t (&key)[16], Problem* problem);

}  // namespace tokenpin_envoy
