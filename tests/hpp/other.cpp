// The second translation unit. The C header comes first, without other headers, as C++.
#include <tokenpin.h>
// Not sorted: neither header must need or disturb the headers behind it.
#include <tokenpin.hpp>

#include "other.h"

namespace {

static_assert(std::is_same_v<std::underlying_type_t<tokenpin_status>, std::int32_t>);
static_assert(std::is_same_v<std::underlying_type_t<tokenpin_state>, std::uint8_t>);
static_assert(std::is_same_v<decltype(tokenpin_jump(0, 0, nullptr)), std::int32_t>);
static_assert(std::is_standard_layout_v<tokenpin_config> && std::is_trivial_v<tokenpin_request>);

}  // namespace

tokenpin::Result<tokenpin::Decision> decide_elsewhere(const tokenpin::Affinity& affinity,
                                                      const tokenpin::Request& request) noexcept {
  return affinity.decide(request);
}

const void* address_elsewhere() noexcept {
  return reinterpret_cast<const void*>(&tokenpin::fill_entropy);
}

void touch(void*) noexcept {}
