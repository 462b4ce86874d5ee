// Strict reading of JSON: every field is asked for by name and type, and the first thing that is
// wrong is reported with the path of its field. Values never get into a message: they may be
// secrets.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

#include "problem.h"

namespace tokenpin_envoy {

using Json = nlohmann::json;

// Refuses what is no JSON, with the line and column, and a field given twice.
Json ParseJson(std::string_view text, Problem* problem);

// The fields of one object. An absent field leaves its variable as it is.
class Fields {
 public:
  Fields(const Json& json, std::string path, Problem* problem);

  // Null if absent. The pointer is into the object.
  const Json* Find(const char* name);
  const Json* Require(const char* name);

  void Bool(const char* name, bool* value);
  void Bool(const char* name, uint8_t* value);
  void String(const char* name, std::string* value);
  // 0 to `max`, or from `min`.
  template <typename T>
  void Number(const char* name, uint64_t min, uint64_t max, T* value) {
    if (const Json* json = Find(name))
      *value = static_cast<T>(ReadNumber(*json, Path(name), min, max, problem_));
  }
  // A value of one of the library's enums (`which` is a tokenpin_enum), by its name.
  void Enum(const char* name, int32_t which, uint8_t* value);
  // Calls `read(json, path)` for each element of a list.
  template <typename Read>
  void List(const char* name, Read read) {
    const Json* list = Find(name);
    if (list == nullptr) return;
    if (!list->is_array()) return problem_->Set(Path(name), "expected a list");
    for (size_t i = 0; i < list->size(); ++i)
      read((*list)[i], Path(name) + "[" + std::to_string(i) + "]");
  }

  // Refuses the fields that no call asked for. The last call.
  void RefuseOthers();

  // The path of a field, or of the object itself.
  std::string Path(const char* name) const;
  const std::string& path() const { return path_; }
  Problem* problem() { return problem_; }

  static uint64_t ReadNumber(const Json& json, const std::string& path, uint64_t min, uint64_t max,
                             Problem* problem);

 private:
  const Json& json_;
  const std::string path_;
  Problem* const problem_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace tokenpin_envoy
