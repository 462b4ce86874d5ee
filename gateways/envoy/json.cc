#include "json.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "tokenpin.hpp"

namespace tokenpin_envoy {
namespace {

// JSON lets a field stand twice, although its author meant one of them.
class DuplicateFinder {
 public:
  explicit DuplicateFinder(Problem* problem) : problem_(problem) {}

  bool operator()(int, Json::parse_event_t event, Json& parsed) {
    switch (event) {
      case Json::parse_event_t::object_start:
      case Json::parse_event_t::array_start:
        levels_.push_back({event == Json::parse_event_t::array_start, 0, {}, {}});
        break;
      case Json::parse_event_t::key: {
        Level& level = levels_.back();
        level.name = parsed.get_ref<const std::string&>();
        if (!level.names.insert(level.name).second) problem_->Set(Path(), "given twice");
        break;
      }
      case Json::parse_event_t::object_end:
      case Json::parse_event_t::array_end:
        levels_.pop_back();
        [[fallthrough]];
      case Json::parse_event_t::value:
        if (!levels_.empty()) ++levels_.back().index;
        break;
    }
    return true;
  }

 private:
  struct Level {
    bool list;
    size_t index;      // of the element that is being read
    std::string name;  // of the field that is being read
    std::set<std::string> names;
  };

  std::string Path() const {
    std::string path;
    for (const Level& level : levels_) {
      path += level.list ? "[" + std::to_string(level.index) + "]"
                         : (path.empty() ? "" : ".") + level.name;
    }
    return path;
  }

  Problem* problem_;
  std::vector<Level> levels_;
};

std::string Position(std::string_view text, size_t byte) {
  // The parser counts from 1 the byte that it could not read.
  const std::string_view read = text.substr(0, std::min(byte == 0 ? 0 : byte - 1, text.size()));
  const auto line = 1 + std::count(read.begin(), read.end(), '\n');
  const size_t start = read.rfind('\n');
  const size_t column = start == std::string_view::npos ? read.size() + 1 : read.size() - start;
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

}  // namespace

Json ParseJson(std::string_view text, Problem* problem) {
  // The library takes a zero byte for the end of the text; no JSON has one.
  if (const size_t zero = text.find('\0'); zero != text.npos) {
    problem->Set("", "no valid JSON at " + Position(text, zero + 1));
    return {};
  }
  // The two exceptions that the library may throw here; its own messages quote the text.
  try {
    return Json::parse(text.begin(), text.end(), DuplicateFinder(problem));
  } catch (const Json::parse_error& error) {
    problem->Set("", "no valid JSON at " + Position(text, error.byte));
  } catch (const Json::out_of_range&) {
    problem->Set("", "holds a number that is too large");
  }
  return {};
}

Fields::Fields(const Json& json, std::string path, Problem* problem)
    : json_(json), path_(std::move(path)), problem_(problem) {
  if (!json_.is_object()) problem_->Set(path_, "expected an object");
}

const Json* Fields::Find(const char* name) {
  known_.insert(name);
  if (!json_.is_object()) return nullptr;
  const auto found = json_.find(name);
  return found == json_.end() ? nullptr : &*found;
}

const Json* Fields::Require(const char* name) {
  const Json* found = Find(name);
  if (found == nullptr) problem_->Set(Path(name), "is required");
  return found;
}

void Fields::Bool(const char* name, bool* value) {
  const Json* json = Find(name);
  if (json == nullptr) return;
  if (!json->is_boolean()) return problem_->Set(Path(name), "expected true or false");
  *value = json->get<bool>();
}

void Fields::Bool(const char* name, uint8_t* value) {
  bool on = *value != 0;
  Bool(name, &on);
  *value = on;
}

void Fields::String(const char* name, std::string* value) {
  const Json* json = Find(name);
  if (json == nullptr) return;
  if (!json->is_string()) return problem_->Set(Path(name), "expected a string");
  *value = json->get_ref<const std::string&>();
  // It would cut the names of files and variables short.
  if (value->find('\0') != value->npos) problem_->Set(Path(name), "has a zero byte");
}

uint64_t Fields::ReadNumber(const Json& json, const std::string& path, uint64_t min, uint64_t max,
                            Problem* problem) {
  uint64_t number = 0;
  bool ok = false;
  if (json.is_number_unsigned()) {
    number = json.get<uint64_t>();
    ok = true;
  } else if (json.is_string()) {
    // Envoy turns the larger numbers of a YAML file into strings.
    const auto& text = json.get_ref<const std::string&>();
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    ok = error == std::errc() && rest == end && !text.empty();
  }
  if (!ok || number < min || number > max) {
    problem->Set(path,
                 "expected a whole number, " + std::to_string(min) + " to " + std::to_string(max));
    return min;
  }
  return number;
}

void Fields::Enum(const char* name, int32_t which, uint8_t* value) {
  const Json* json = Find(name);
  if (json == nullptr) return;
  std::string expected;
  for (int32_t number = 0;; ++number) {
    tokenpin_bytes known{};
    if (tokenpin_enum_name(which, number, &known) != TOKENPIN_STATUS_OK) break;
    const std::string_view text{static_cast<const char*>(known.ptr), known.len};
    // The list of tokens decides whether a slot is vacant.
    if (which == TOKENPIN_ENUM_STATE && number == TOKENPIN_STATE_VACANT) continue;
    if (json->is_string() && json->get_ref<const std::string&>() == text) {
      *value = static_cast<uint8_t>(number);
      return;
    }
    expected += (expected.empty() ? "" : ", ") + std::string(text);
  }
  problem_->Set(Path(name), "expected one of " + expected);
}

void Fields::RefuseOthers() {
  if (!json_.is_object()) return;
  for (const auto& [name, value] : json_.items()) {
    if (known_.count(name) == 0) problem_->Set(Path(name.c_str()), "unknown field");
  }
}

std::string Fields::Path(const char* name) const {
  return path_.empty() ? name : path_ + "." + name;
}

}  // namespace tokenpin_envoy
