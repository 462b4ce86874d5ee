// Workers, the main thread and the keeper at the same time. Mainly for ThreadSanitizer.

#include <array>
#include <chrono>
#include <memory>
#include <mutex>
#include <thread>

#include "world.h"

namespace {

using standin::Config;
using standin::Route;
using standin::Stream;

constexpr int kWorkers = 4;

// The results of a worker; checked when it is done.
struct Seen {
  std::array<uint64_t, 4> tokens{};  // a to d
  uint64_t refused = 0, wrong = 0;
};

// The route that Envoy finds at the moment.
struct Table {
  std::mutex mutex;
  std::shared_ptr<const Route> route;

  std::shared_ptr<const Route> Get() {
    const std::lock_guard lock(mutex);
    return route;
  }
  void Set(std::shared_ptr<const Route> next) {
    const std::lock_guard lock(mutex);
    route.swap(next);
  }
};

void Work(Config* config, Table* table, const std::atomic<bool>* done, uint64_t seed, Seen* seen) {
  Random random(seed);
  std::string cookie;
  while (!*done) {
    Stream stream(config, Chance(random, 30) ? table->Get() : nullptr);
    stream.request.Add(":method", "POST");
    stream.request.Add(":path", "/v1/responses");
    stream.request.Add("x-hint", std::to_string(Below(random, 100)));
    if (!cookie.empty() && Chance(random, 70)) stream.request.Add("cookie", cookie);
    if (!stream.SendRequest()) {
      ++seen->refused;
      continue;
    }
    // The table may have dropped the route by now.
    stream.SetRoute(nullptr);
    const std::string token = stream.Told("token");
    const auto authorization = stream.request.Get("authorization");
    seen->wrong += authorization != std::vector<std::string>{"Bearer key-" + token};
    // Both from the same version of the file.
    seen->wrong += stream.request.Get("x-secret") != stream.request.Get("x-same");
    seen->wrong += stream.request.Get("x-secret").size() != 1;
    ++seen->tokens[static_cast<size_t>(token[0] - 'a')];
    constexpr const char* kStatuses[] = {"200", "200", "200", "429", "403"};
    stream.response.Add(":status", kStatuses[Below(random, std::size(kStatuses))]);
    stream.response.Add("retry-after", "1");
    stream.SendResponse();
    for (const std::string& line : stream.response.Get("set-cookie")) {
      cookie = line.substr(0, line.find(';'));
    }
  }
}

Object FourTokens(const std::string& secret) {
  std::string tokens = "[";
  const auto from_file = [&](const char* name) {
    return std::string(R"(,{"name":")") + name + R"(","file":")" + secret + "\"}";
  };
  for (const std::string name : {"a", "b", "c", "d"}) {
    tokens += (name == "a" ? "{\"name\":\"" : ",{\"name\":\"") + name +
              R"(","headers":[{"name":"authorization","value":"Bearer key-)" + name + "\"}" +
              from_file("x-secret") + from_file("x-same") + "]}";
  }
  return With(With(World(), "tokens", tokens + "]"), "id_hint", R"({"header":"x-hint"})");
}

}  // namespace

int main(int argc, char** argv) {
  SetKeys();
  const uint64_t seed = Seed(argc, argv);
  Folder folder;
  // d is always down; the others come and go.
  const auto states = [](int version) {
    return std::string(R"({"tokens":{"d":{"state":"down"},"a":{"weight":)") +
           std::to_string(1000 * version) + R"(},"b":{"state":")" +
           (version % 2 == 0 ? "draining" : "up") + "\"}}}";
  };
  const std::string file = folder.Write("states", states(1));
  const std::string secret = folder.Write("secret", "secret-1");
  const Object world = With(FourTokens(secret), "cooldowns",
                            R"([{"status":[429],"state":"draining","seconds":1,"retry_after":true},
                                {"status":[403],"state":"down","seconds":1}])");
  Config config(Text(With(world, "state_file", "\"" + file + "\"")));
  if (!CHECK(config.accepted())) return check_report();
  const std::string route = Text(With(world, "state_file", "\"" + file + "\""));
  Table table;
  table.Set(std::make_shared<const Route>(route));

  std::atomic<bool> done{false};
  std::array<Seen, kWorkers> seen;
  std::vector<std::thread> workers;
  for (int i = 0; i < kWorkers; ++i) {
    workers.emplace_back(Work, &config, &table, &done, seed + static_cast<uint64_t>(i),
                         &seen[static_cast<size_t>(i)]);
  }
  // Each version of the file is waited for, so how long the keeper takes does not matter.
  const auto wait = [&](const char* counter, uint64_t count) {
    while (config.Metric(counter) < count) {
      config.RunMain();
      standin::SetTime(standin::Time() + 1);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  };
  for (int version = 2; version <= 4; ++version) {
    folder.Write("states", states(version));
    wait("state_file_applied", static_cast<uint64_t>(version - 1));
    folder.Write("secret", "secret-" + std::to_string(version));
    wait("secrets_applied", 4 * static_cast<uint64_t>(version - 1));
    folder.Write("states", "no states");
    wait("state_file_refused", static_cast<uint64_t>(version - 1));
    // A new route configuration in place of one that streams may still use.
    folder.Write("states", states(version));
    table.Set(std::make_shared<const Route>(route));
    wait("state_file_applied", static_cast<uint64_t>(version - 1));
  }
  done = true;
  for (std::thread& worker : workers) worker.join();

  Seen all;
  for (const Seen& one : seen) {
    for (size_t i = 0; i < all.tokens.size(); ++i) all.tokens[i] += one.tokens[i];
    all.refused += one.refused;
    all.wrong += one.wrong;
  }
  const uint64_t served = all.tokens[0] + all.tokens[1] + all.tokens[2];
  CHECK(all.tokens[3] == 0);
  CHECK(all.wrong == 0);
  CHECK(served > 0);
  CHECK(config.Sum("outcome_") == served + all.refused);
  CHECK(config.Metric("cooldowns") > 0);
  CHECK(config.Metric("config_fingerprint") != 0);
  CHECK(config.Metric("errors") == 0);
  table.Set(nullptr);

  // Envoy may end a configuration on any thread, also while events are on their way.
  std::thread([&] { config.Destroy(); }).join();
  config.RunMain();
  return check_report();
}
