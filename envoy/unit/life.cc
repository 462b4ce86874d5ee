// The lives of configurations, of their threads, and of the streams under them. Whatever is left is
// told by LeakSanitizer.

#include <dirent.h>

#include <chrono>
#include <memory>
#include <thread>

#include "world.h"

namespace {

using standin::Config;
using standin::Route;
using standin::Stream;

size_t Threads() {
  size_t count = 0;
  DIR* const tasks = opendir("/proc/self/task");
  while (const dirent* task = readdir(tasks)) count += task->d_name[0] != '.';
  closedir(tasks);
  return count;
}

// A thread that was joined may be seen for a moment yet.
bool ThreadsBecome(size_t count) {
  for (int i = 0; i < 2000 && Threads() != count; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return Threads() == count;
}

void AddRequest(Stream* stream) {
  stream->request.Add(":method", "POST");
  stream->request.Add(":path", "/v1/responses");
  stream->response.Add(":status", "200");
}

// The thread that looks after the states ends with its configuration.
void TestMany(Folder* folder) {
  const std::string file = folder->Write("states", R"({"tokens":{}})");
  const std::string text = Text(With(World(), "state_file", "\"" + file + "\""));
  const size_t before = Threads();
  for (int i = 0; i < 30; ++i) {
    Config config(text);
    Route route(text);
    CHECK(config.accepted() && route.accepted() && ThreadsBecome(before + 2));
  }
  std::vector<std::unique_ptr<Config>> many;
  for (int i = 0; i < 20; ++i) many.push_back(std::make_unique<Config>(text));
  CHECK(ThreadsBecome(before + 20));
  many.clear();
  CHECK(ThreadsBecome(before));
  // Neither one that is refused nor one that is only validated has one.
  const Config refused(Text(With(World(), "scope", "1"))), empty("{}");
  standin::SetValidationMode(true);
  const Config validated(text);
  standin::SetValidationMode(false);
  CHECK(!refused.accepted() && empty.accepted() && validated.accepted() && ThreadsBecome(before));
}

// A stream keeps the configuration of a route that is gone, and its last one ends it.
void TestRoute() {
  const size_t before = Threads();
  Config config("{}");
  auto stream = std::make_unique<Stream>(&config, std::make_shared<const Route>(Text(World())));
  auto other = std::make_unique<Stream>(&config, std::make_shared<const Route>(R"({"scope":"x"})"));
  AddRequest(stream.get());
  AddRequest(other.get());
  CHECK(stream->SendRequest() && other->SendRequest());
  stream->SetRoute(nullptr);
  other->SetRoute(nullptr);
  CHECK(ThreadsBecome(before + 1));
  stream->SendResponse();
  other->SendResponse();
  CHECK(stream->response.Get("set-cookie").size() == 1);
  CHECK(other->response.Get("set-cookie").empty());
  std::thread([&] { stream.reset(); }).join();
  CHECK(ThreadsBecome(before));
}

// A stream ends where the client leaves: with no hook, after the request, or while held.
void TestShortStreams() {
  Config config(Text(With(World(), "retry", R"({"status":[429]})")));
  const Stream never(&config);
  Stream asked(&config), held(&config);
  AddRequest(&asked);
  CHECK(asked.SendRequest());
  AddRequest(&held);
  CHECK(held.SendRequest());
  held.response.Set(":status", "429");
  held.response.Add("content-length", "9");
  CHECK(!held.SendResponse("via_upstream", false));
}

// What the state file says at each time, on the gauges, the counters and the log.
void TestStateFile(Folder* folder) {
  const std::string file = folder->Path("later");
  standin::TakeLog();
  Config config(Text(With(World(), "state_file", "\"" + file + "\"")));
  const auto wait = [&](auto until) {
    while (!until()) {
      config.RunMain();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  };
  const auto metric = [&](const char* name) { return config.Metric(name); };
  std::string log;
  const auto logged = [&](const char* text) {
    for (const standin::Line& line : standin::TakeLog()) log += line.text + "\n";
    return log.find(text) != std::string::npos;
  };
  CHECK(logged("the state file is not there"));
  const uint64_t all_up = metric("live_fingerprint"), fingerprint = metric("config_fingerprint");
  folder->Write("later", R"({"tokens":{"a":{"state":"down"},"b":{"state":"down"}}})");
  wait([&] { return metric("state_file_applied") == 1; });
  wait([&] { return metric("live_fingerprint") != all_up; });
  const auto token = [&] {
    Stream stream(&config);
    AddRequest(&stream);
    CHECK(stream.SendRequest());
    return stream.Told("token");
  };
  for (int i = 0; i < 20; ++i) CHECK(token() == "c");
  folder->Write("later", R"({"tokens":{"a":{"state":"sk-secret"}}})");
  wait([&] { return metric("state_file_refused") == 1; });
  folder->Write("later", R"({"tokens":{"a":{"weight":1e999}}})");
  wait([&] { return metric("state_file_refused") == 2; });
  std::remove(file.c_str());
  wait([&] { return logged("the state file is gone"); });
  for (int i = 0; i < 20; ++i) CHECK(token() == "c");
  CHECK(log.find("sk-secret") == std::string::npos);
  CHECK(log.find("tokens.a.state: expected one of up, draining, down") != std::string::npos);
  folder->Write("later", R"({"tokens":{}})");
  wait([&] { return metric("state_file_applied") == 2; });
  wait([&] { return metric("live_fingerprint") == all_up; });
  CHECK(metric("config_fingerprint") == fingerprint);
}

}  // namespace

int main() {
  SetKeys();
  Folder folder;
  CHECK(std::string_view(envoy_dynamic_module_on_program_init()) == kEnvoyAbiVersion);
  // ThreadSanitizer adds one of its own to the first.
  size_t with_first = 0;
  std::thread([&] { with_first = Threads(); }).join();
  CHECK(ThreadsBecome(with_first - 1));
  TestMany(&folder);
  TestRoute();
  TestShortStreams();
  TestStateFile(&folder);
  return check_report();
}
