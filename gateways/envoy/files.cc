#include "files.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>

namespace tokenpin_envoy {
namespace {

constexpr size_t kFirstRead = 4095;

bool Same(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

}  // namespace

std::optional<std::string> ReadFile(const std::string& path, size_t limit) {
  // Something else than a file must not make us wait.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return std::nullopt;
  struct stat found {};
  size_t size = kFirstRead;  // of what has none: an empty file, a pipe, a file in /proc
  if (fstat(file, &found) == 0 && found.st_size > 0) {
    size = limit = std::min(limit, static_cast<size_t>(found.st_size));
  }
  // One byte more tells a file that is too long, or that grows.
  std::string contents(std::min(size, limit) + 1, '\0');
  size_t length = 0;
  ssize_t got = 1;
  while (got > 0 && length <= limit) {
    if (length == contents.size()) {
      // The content may be a secret, of which no copy is left behind.
      std::string longer(std::min(2 * length, limit + 1), '\0');
      contents.copy(longer.data(), length);
      explicit_bzero(contents.data(), length);
      contents.swap(longer);
    }
    got = read(file, contents.data() + length, contents.size() - length);
    if (got > 0) length += static_cast<size_t>(got);
  }
  close(file);
  if (got < 0 || length > limit) {
    explicit_bzero(contents.data(), length);
    return std::nullopt;
  }
  contents.resize(length);
  return contents;
}

bool FileVersion::operator==(const FileVersion& other) const {
  return device == other.device && inode == other.inode && size == other.size &&
         Same(modified, other.modified) && Same(changed, other.changed);
}

std::optional<FileVersion> VersionOf(const std::string& path) {
  struct stat found {};
  if (stat(path.c_str(), &found) != 0) return std::nullopt;
  return FileVersion{found.st_dev, found.st_ino, found.st_size, found.st_mtim, found.st_ctim};
}

}  // namespace tokenpin_envoy
