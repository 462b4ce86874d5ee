// The first error of a configuration.
#pragma once

#include <string>

namespace tokenpin_envoy {

// The first thing that was found wrong; later ones only follow from it.
class Problem {
 public:
  bool Found() const { return !text_.empty(); }
  const std::string& text() const { return text_; }
  // `path` is empty for the text as a whole.
  void Set(const std::string& path, const std::string& message) {
    if (text_.empty()) text_ = path.empty() ? message : path + ": " + message;
  }

 private:
  std::string text_;
};

}  // namespace tokenpin_envoy
