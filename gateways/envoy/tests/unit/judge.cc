// Prints the filter's refusal of each configuration. A line of the input holds its kind (filter,
// route or states), a tab, and its JSON. The line of the output is the refusal, empty if it is
// accepted.

#include <iostream>

#include "world.h"

namespace {

// The refusal in the log.
std::string Refusal() {
  constexpr std::string_view kRefused = "configuration refused: ";
  for (const standin::Line& line : standin::TakeLog()) {
    const size_t at = line.text.find(kRefused);
    if (at != std::string::npos) return line.text.substr(at + kRefused.size());
  }
  return "";
}

std::string Judge(std::string_view kind, const std::string& json, Folder* folder) {
  standin::TakeLog();
  if (kind == "route") {
    const standin::Route route(json);
    return Refusal();
  }
  if (kind == "filter") {
    const standin::Config config(json);
    return Refusal();
  }
  const std::string path = folder->Write("states", json);
  const standin::Config config(Text(With(World(), "state_file", "\"" + path + "\"")));
  const std::string refusal = Refusal();
  constexpr std::string_view kField = "state_file: ";
  return refusal.substr(refusal.compare(0, kField.size(), kField) == 0 ? kField.size() : 0);
}

}  // namespace

int main() {
  SetKeys();
  standin::SetValidationMode(true);
  Folder folder;
  for (std::string line; std::getline(std::cin, line);) {
    const size_t tab = line.find('\t');
    if (tab == std::string::npos) return 1;
    std::cout << Judge(line.substr(0, tab), line.substr(tab + 1), &folder) << '\n';
  }
  return 0;
}
