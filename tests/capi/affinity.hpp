// What C++ users write around the header: handles that end by themselves, statuses that throw.
#ifndef AFFINITY_HPP
#define AFFINITY_HPP

#include <tokenpin.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace capi {

inline std::string name_of(std::int32_t which, std::int32_t number) {
  tokenpin_bytes name{};
  if (tokenpin_enum_name(which, number, &name) != TOKENPIN_STATUS_OK) return "?";
  return {static_cast<const char*>(name.ptr), name.len};
}

inline void check_status(std::int32_t status) {
  if (status != TOKENPIN_STATUS_OK) throw std::runtime_error(name_of(TOKENPIN_ENUM_STATUS, status));
}

inline tokenpin_bytes bytes(std::string_view view) { return {view.data(), view.size()}; }

struct Free {
  void operator()(tokenpin_affinity* affinity) const { tokenpin_affinity_free(affinity); }
};

class Affinity {
 public:
  explicit Affinity(const tokenpin_config& config) {
    tokenpin_affinity* made = nullptr;
    check_status(tokenpin_affinity_new(&config, &made, nullptr));
    handle_.reset(made);
  }

  tokenpin_decision decide(const tokenpin_request& request) const {
    tokenpin_decision decision{};
    check_status(tokenpin_affinity_decide(handle_.get(), &request, &decision));
    return decision;
  }

  std::string finish(const tokenpin_decision& decision, std::uint16_t status) const {
    std::string line(TOKENPIN_MAX_SET_COOKIE, '\0');
    std::size_t len = 0;
    std::uint8_t answer = TOKENPIN_ANSWER_NOTHING;
    check_status(tokenpin_affinity_finish(handle_.get(), &decision, status, line.data(),
                                          line.size(), &len, &answer));
    line.resize(len);
    return line;
  }

  void set(std::uint32_t slot, tokenpin_state state) const {
    const tokenpin_slot_status status{0, TOKENPIN_MAX_WEIGHT, state};
    check_status(tokenpin_affinity_set_slot(handle_.get(), slot, &status));
  }

  std::uint32_t find(std::string_view identity) const {
    std::uint32_t slot = TOKENPIN_SLOT_NONE;
    check_status(tokenpin_affinity_find(handle_.get(), identity.data(), identity.size(), &slot));
    return slot;
  }

 private:
  std::unique_ptr<tokenpin_affinity, Free> handle_;
};

// In the other translation unit.
std::string strip(std::string_view field, std::string_view name);
std::uint32_t jump(std::uint64_t key, std::uint32_t buckets);

}  // namespace capi

#endif
