#include "log.h"

#include "envoy_abi.h"

namespace tokenpin_envoy {

void Log(int level, const std::string& message) {
  const std::string line = "tokenpin: " + message;
  envoy_dynamic_module_callback_log_v2(level, {line.data(), line.size()}, {"", 0}, 0);
}

}  // namespace tokenpin_envoy
