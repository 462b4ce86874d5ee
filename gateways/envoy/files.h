// Files: their contents, and whether they changed.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <optional>
#include <string>

namespace tokenpin_envoy {

// The contents of a file of at most `limit` bytes, or none.
std::optional<std::string> ReadFile(const std::string& path, size_t limit);

// Differs between two files, and before and after a file is written.
struct FileVersion {
  dev_t device;
  ino_t inode;
  off_t size;
  timespec modified, changed;
  bool operator==(const FileVersion& other) const;
};

// None if the file is not there.
std::optional<FileVersion> VersionOf(const std::string& path);

}  // namespace tokenpin_envoy
