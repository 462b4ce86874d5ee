// The common parts of the filter's tests: keys, a small configuration, and files.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check.h"
#include "standin.h"

// The fields of a JSON object, in order, each as JSON text.
using Object = std::vector<std::pair<std::string, std::string>>;

// Replaces the field of that name, or adds it.
inline Object With(Object object, const std::string& name, const std::string& text) {
  for (auto& [key, value] : object) {
    if (key == name) {
      value = text;
      return object;
    }
  }
  object.emplace_back(name, text);
  return object;
}

inline Object Without(Object object, std::string_view name) {
  const auto same = [&](const auto& field) { return field.first == name; };
  object.erase(std::remove_if(object.begin(), object.end(), same), object.end());
  return object;
}

inline std::string Text(const Object& object) {
  std::string text;
  for (const auto& [name, value] : object) {
    text += (text.empty() ? "{\"" : ",\"") + name + "\":" + value;
  }
  return text.empty() ? "{}" : text + "}";
}

constexpr char kPlacementKey[] = "000102030405060708090a0b0c0d0e0f";
constexpr char kCookieKey[] = "101112131415161718191A1B1C1D1E1F";

// Sets the variables from which the configurations below read their keys.
inline void SetKeys() {
  setenv("UNIT_PLACEMENT", kPlacementKey, 1);
  setenv("UNIT_COOKIE", kCookieKey, 1);
  setenv("UNIT_CREDENTIAL", "env-credential", 1);
}

// A minimal complete configuration with three tokens, a to c.
inline Object World() {
  return {{"placement_key", R"({"env":"UNIT_PLACEMENT"})"},
          {"cookie_keys", R"([{"id":1,"role":"sign","key":{"env":"UNIT_COOKIE"}}])"},
          {"metadata", "true"},
          {"tokens",
           R"([{"name":"a","headers":[{"name":"authorization","prefix":"Bearer ","value":"key-a"}]},
               {"name":"b","headers":[{"name":"authorization","prefix":"Bearer ","value":"key-b"}]},
               {"name":"c","headers":[{"name":"authorization","prefix":"Bearer ","value":"key-c"},
                                      {"name":"x-org","value":"org-c"}]}])"}};
}

// A temporary folder, removed with its files.
class Folder {
 public:
  Folder() {
    if (mkdtemp(path_) == nullptr) std::abort();
  }
  Folder(const Folder&) = delete;
  ~Folder() {
    for (const std::string& path : paths_) std::remove(path.c_str());
    rmdir(path_);
  }
  std::string Path(const std::string& name) {
    paths_.push_back(std::string(path_) + "/" + name);
    return paths_.back();
  }
  // Replaces a file by renaming, as the reference asks for.
  std::string Write(const std::string& name, std::string_view text) {
    const std::string path = Path(name), fresh = Path(name + ".fresh");
    std::ofstream(fresh, std::ios::binary).write(text.data(), text.size());
    if (std::rename(fresh.c_str(), path.c_str()) != 0) std::abort();
    return path;
  }

 private:
  char path_[32] = "/tmp/tokenpin-unit-XXXXXX";
  std::vector<std::string> paths_;
};

// The seed of a random test, from the command line or a new one. Printed in both cases.
inline uint64_t Seed(int argc, char** argv) {
  const uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : std::random_device{}();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

using Random = std::mt19937_64;

// 0 to below `n`.
inline uint64_t Below(Random& random, uint64_t n) { return random() % n; }
inline bool Chance(Random& random, unsigned percent) { return Below(random, 100) < percent; }
