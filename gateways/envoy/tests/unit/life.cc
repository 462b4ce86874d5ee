// The lives of configurations, of their threads, and of the streams under them. LeakSanitizer
// reports memory that is left.

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>

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

// A thread that was joined may still be listed for a moment.
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

// The log since the last call.
std::string Log() {
  std::string log;
  for (const standin::Line& line : standin::TakeLog()) log += line.text + "\n";
  return log;
}

size_t CountOf(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != text.npos; at += part.size()) ++count;
  return count;
}

// Runs the main thread until the condition holds.
template <typename Until>
void Wait(Config* config, Until until) {
  while (!until()) {
    config->RunMain();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

// Waits until the keeper has checked the files a number of times.
void WaitForLooks(Config* config, size_t looks) {
  config->RunMain();
  for (size_t seen = 0; seen < looks; seen += config->RunMain()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

// One thread serves all configurations, and ends with the last.
void TestMany(Folder* folder) {
  const std::string file = folder->Write("states", R"({"tokens":{}})");
  const std::string text = Text(With(World(), "state_file", "\"" + file + "\""));
  const size_t before = Threads();
  for (int i = 0; i < 30; ++i) {
    Config config(text);
    Route route(text);
    CHECK(config.accepted() && route.accepted() && ThreadsBecome(before + 1));
  }
  CHECK(ThreadsBecome(before));
  std::vector<std::unique_ptr<Config>> many;
  std::vector<std::unique_ptr<Route>> routes;
  for (int i = 0; i < 20; ++i) many.push_back(std::make_unique<Config>(text));
  for (int i = 0; i < 300; ++i) routes.push_back(std::make_unique<Route>(text));
  CHECK(Threads() == before + 1);
  // The keeper serves all of them. Of one filter's configurations only the newest is counted.
  standin::TakeLog();
  folder->Write("states", R"({"tokens":{"a":{"state":"down"}}})");
  size_t applied = 0;
  Wait(many.back().get(), [&] { return (applied += CountOf(Log(), "state file applied")) == 320; });
  for (const auto& config : many) config->RunMain();
  CHECK(many.front()->Metric("state_file_applied") == 0);
  CHECK(many.back()->Metric("state_file_applied") == 1);
  many.clear();
  CHECK(ThreadsBecome(before + 1));
  routes.erase(routes.begin(), routes.end() - 1);
  CHECK(Threads() == before + 1);
  routes.clear();
  CHECK(ThreadsBecome(before));
  // A configuration that is refused, or only validated, has no thread.
  const Config refused(Text(With(World(), "scope", "1"))), empty("{}");
  standin::SetValidationMode(true);
  const Config validated(text);
  standin::SetValidationMode(false);
  CHECK(!refused.accepted() && empty.accepted() && validated.accepted() && ThreadsBecome(before));
}

// A configuration is refused if no thread can start. A running thread serves all.
void TestNoThread() {
  const std::string text = Text(World());
  const size_t before = Threads();
  standin::TakeLog();
  standin::FailThreads(true);
  {
    const Config config(text), empty("{}");
    const Route route(text);
    CHECK(!config.accepted() && !route.accepted() && empty.accepted());
    const std::string log = Log();
    CHECK(log.find("configuration refused: there can be no further thread\n") != log.npos);
    CHECK(log.find("route configuration refused: there can be no further thread\n") != log.npos);
  }
  standin::FailThreads(false);
  {
    const Config config(text);
    standin::FailThreads(true);
    const Route route(text);
    CHECK(config.accepted() && route.accepted() && Threads() == before + 1);
    standin::FailThreads(false);
  }
  CHECK(ThreadsBecome(before));
}

// The gauges show the newest configuration of a filter, also while an older one is in use.
void TestGauges() {
  const auto metrics = std::make_shared<standin::Metrics>();
  const auto gauge = [&] { return metrics->Get("config_fingerprint"); };
  const auto live = [&] { return metrics->Get("live_fingerprint"); };
  const Object other = With(World(), "capacity", "9");
  Config first(Text(World()), metrics);
  const uint64_t of_first = gauge(), live_of_first = live();
  {
    Config second(Text(other), metrics);
    const uint64_t of_second = gauge(), live_of_second = live();
    CHECK(of_second != of_first && live_of_second != live_of_first);
    for (int i = 0; i < 2; ++i) {
      WaitForLooks(&first, 2);
      CHECK(gauge() == of_second && live() == live_of_second);
    }
    // A filter of another name is another filter. A refused configuration changes no gauge.
    const Config refused(Text(With(other, "scope", "1")), metrics);
    Config stranger(Text(World()), std::make_shared<standin::Metrics>(), "stranger");
    CHECK(!refused.accepted() && stranger.Metric("config_fingerprint") == of_first);
    // The oldest may end first, too.
    Config third(Text(World()), metrics);
    CHECK(gauge() == of_first);
    third.Destroy();
    WaitForLooks(&second, 2);
    CHECK(gauge() == of_second && live() == live_of_second);
    // Events on their way to the main thread are dropped.
    second.Destroy();
    second.RunMain();
  }
  WaitForLooks(&first, 2);
  CHECK(gauge() == of_first && live() == live_of_first);
}

// A stream keeps the configuration of a removed route. The last such stream ends it.
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

// A stream ends when the client leaves: before any hook, after the request, or while held.
void TestShortStreams() {
  Config config(Text(With(World(), "retry", R"({"status":[429]})")));
  const Stream never(&config);
  Stream asked(&config), held(&config);
  AddRequest(&asked);
  CHECK(asked.SendRequest());
  AddRequest(&held);
  held.request.Add("cookie", "__Host-tokenpin=1");  // it keeps cookies, and so may move
  CHECK(held.SendRequest());
  held.response.Set(":status", "429");
  held.response.Add("content-length", "9");
  CHECK(!held.SendResponse("via_upstream", false));
}

// Each version of the state file shows on the gauges, the counters and the log.
void TestStateFile(Folder* folder) {
  const std::string file = folder->Path("later");
  standin::TakeLog();
  Config config(Text(With(World(), "state_file", "\"" + file + "\"")));
  const auto wait = [&](auto until) { Wait(&config, until); };
  const auto metric = [&](const char* name) { return config.Metric(name); };
  std::string log;
  const auto logged = [&](const char* text) {
    log += Log();
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

// A file that cannot be read is logged once, and read again although it stays the same.
void TestUnreadableStateFile(Folder* folder) {
  const std::string file = folder->Write("unreadable", R"({"tokens":{}})");
  Config config(Text(With(World(), "state_file", "\"" + file + "\"")));
  const auto metric = [&](const char* name) { return config.Metric(name); };
  const std::string next = folder->Write("next", R"({"tokens":{"a":{"state":"down"}}})");
  standin::TakeLog();
  rlimit before{};
  CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{0, before.rlim_max};
  CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
  CHECK(std::rename(next.c_str(), file.c_str()) == 0);
  Wait(&config, [&] { return metric("state_file_refused") == 1; });
  WaitForLooks(&config, 3);
  CHECK(metric("state_file_refused") == 1 && metric("state_file_applied") == 0);
  CHECK(CountOf(Log(), file + ": cannot be read\n") == 1);
  CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
  Wait(&config, [&] { return metric("state_file_applied") == 1; });

  // The next failure is logged again.
  CHECK(std::remove(file.c_str()) == 0 && mkdir(file.c_str(), 0700) == 0);
  Wait(&config, [&] { return metric("state_file_refused") == 2; });
  WaitForLooks(&config, 3);
  CHECK(metric("state_file_refused") == 2);
  CHECK(CountOf(Log(), file + ": cannot be read\n") == 1);
  CHECK(rmdir(file.c_str()) == 0);
  folder->Write("unreadable", R"({"tokens":{}})");
  Wait(&config, [&] { return metric("state_file_applied") == 2; });
  CHECK(metric("state_file_refused") == 2);
}

// A token's secrets are the current contents of its files, replaced together. A bad file changes
// nothing.
void TestSecretFiles(Folder* folder) {
  const std::string first = folder->Write("first", "one\n"), second = folder->Write("second", "1");
  const auto header = [](const char* name, const std::string& path) {
    return std::string(R"({"name":")") + name + R"(","prefix":"k=","file":")" + path + "\"}";
  };
  Config config(
      Text(With(World(), "tokens",
                R"([{"name":"a","headers":[)" + header("x-first", first) + "," +
                    header("x-second", second) + R"(,{"name":"x-fixed","value":"f"}]}])")));
  if (!CHECK(config.accepted())) return;
  const auto metric = [&](const char* name) { return config.Metric(name); };
  const auto sent = [&] {
    Stream stream(&config);
    AddRequest(&stream);
    CHECK(stream.SendRequest());
    CHECK(stream.request.Get("x-fixed") == std::vector<std::string>{"f"});
    std::string all;
    for (const char* name : {"x-first", "x-second"}) {
      for (const std::string& value : stream.request.Get(name)) all += value + " ";
    }
    return all;
  };
  std::string log;
  const auto refused = [&](uint64_t count, const char* why) {
    Wait(&config, [&] { return metric("secrets_refused") == count; });
    WaitForLooks(&config, 3);
    CHECK(metric("secrets_refused") == count);
    const std::string now = Log();
    CHECK(CountOf(now, why) == 1);
    log += now;
  };
  const uint64_t fingerprint = metric("config_fingerprint");
  standin::TakeLog();
  WaitForLooks(&config, 3);
  CHECK(sent() == "k=one k=1 " && metric("secrets_applied") == 0);
  // The same text written again is no change.
  folder->Write("first", "one");
  WaitForLooks(&config, 3);
  CHECK(metric("secrets_applied") == 0);
  folder->Write("first", "two");
  Wait(&config, [&] { return metric("secrets_applied") == 1; });
  CHECK(sent() == "k=two k=1 ");
  // A bad file also keeps the other secret from changing.
  folder->Write("second", "");
  refused(1, "those of token a stay as they are: x-second: the value is empty\n");
  folder->Write("first", "three");
  refused(2, "those of token a stay as they are: x-second: the value is empty\n");
  CHECK(sent() == "k=two k=1 ");
  folder->Write("second", "sk-Planted\nsecond line");
  refused(3, "x-second: the value cannot stand in a header\n");
  folder->Write("second", std::string(65537, 'x'));
  refused(4, "x-second: the file cannot be read\n");
  CHECK(std::remove(second.c_str()) == 0);
  WaitForLooks(&config, 3);
  CHECK(sent() == "k=two k=1 " && metric("secrets_refused") == 4);
  folder->Write("second", "2\r\n");
  Wait(&config, [&] { return metric("secrets_applied") == 2; });
  CHECK(sent() == "k=three k=2 ");
  // The next failure is logged again.
  CHECK(std::remove(first.c_str()) == 0);
  refused(5, "x-first: the file cannot be read\n");
  folder->Write("first", "three");
  WaitForLooks(&config, 3);
  CHECK(sent() == "k=three k=2 " && metric("secrets_applied") == 2);
  // Overwritten in place, with the same length.
  std::ofstream(second) << "3";
  Wait(&config, [&] { return metric("secrets_applied") == 3; });
  CHECK(sent() == "k=three k=3 " && metric("config_fingerprint") == fingerprint);
  log += Log();
  CHECK(CountOf(log, "secrets applied: token a\n") != 0);
  for (const char* secret : {"three", "sk-Planted", "k="}) CHECK(CountOf(log, secret) == 0);
}

// A write between the making of the configuration and the keeper's first check is not missed.
void TestSecretsWrittenEarly(Folder* folder) {
  for (int i = 0; i < 20; ++i) {
    const std::string path = folder->Write("early", "old");
    Config config(
        Text(With(World(), "tokens",
                  R"([{"name":"a","headers":[{"name":"x-key","file":")" + path + "\"}]}]")));
    folder->Write("early", "new");
    Wait(&config, [&] { return config.Metric("secrets_applied") == 1; });
  }
}

}  // namespace

int main() {
  SetKeys();
  Folder folder;
  CHECK(std::string_view(envoy_dynamic_module_on_program_init()) == kEnvoyAbiVersion);
  // ThreadSanitizer adds a thread to the first one.
  size_t with_first = 0;
  std::thread([&] { with_first = Threads(); }).join();
  CHECK(ThreadsBecome(with_first - 1));
  TestMany(&folder);
  TestNoThread();
  TestGauges();
  TestRoute();
  TestShortStreams();
  TestStateFile(&folder);
  TestUnreadableStateFile(&folder);
  TestSecretFiles(&folder);
  TestSecretsWrittenEarly(&folder);
  return check_report();
}
