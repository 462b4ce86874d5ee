// The header's second translation unit in one C++ program; here the standard library comes first.
#include <cstdlib>
#include <cstring>
#include <string>

#include "affinity.hpp"

namespace capi {

std::string strip(std::string_view field, std::string_view name) {
  std::string left(field.size(), '\0');
  std::size_t len = 0;
  check_status(tokenpin_cookie_strip(field.data(), field.size(), name.data(), name.size(),
                                     left.data(), left.size(), &len));
  left.resize(len);
  return left;
}

std::uint32_t jump(std::uint64_t key, std::uint32_t buckets) {
  std::uint32_t bucket = 0;
  check_status(tokenpin_jump(key, buckets, &bucket));
  return bucket;
}

}  // namespace capi
