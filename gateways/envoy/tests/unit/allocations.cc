// Counts the filter's allocations for a request and its response, once its worker is warm.

#include "world.h"

namespace {
unsigned long allocations;
}

extern "C" {

// In front of the C library's, by the names that glibc keeps for this purpose. operator new calls
// malloc.
extern void* __libc_malloc(size_t size);
extern void* __libc_calloc(size_t count, size_t size);
extern void* __libc_realloc(void* block, size_t size);

void* malloc(size_t size) noexcept {
  allocations += standin::InFilter();
  return __libc_malloc(size);
}

void* calloc(size_t count, size_t size) noexcept {
  allocations += standin::InFilter();
  return __libc_calloc(count, size);
}

void* realloc(void* block, size_t size) noexcept {
  allocations += standin::InFilter();
  return __libc_realloc(block, size);
}

}  // extern "C"

namespace {

using standin::Config;
using standin::Stream;

struct Answer {
  unsigned long allocations = 0;
  std::string cookie;
};

Answer Ask(Config* config, const std::string& cookie, const char* status,
           const char* upstream_cookie) {
  allocations = 0;
  Answer answer;
  Stream stream(config);
  stream.request.Add(":method", "POST");
  stream.request.Add(":path", "/v1/responses");
  stream.request.Add("authorization", "the client's");
  stream.request.Add("x-consumer", "alice");
  for (int i = 0; i < 5; ++i) stream.request.Add("cookie", "theme=dark; " + cookie);
  if (stream.SendRequest()) {
    stream.response.Add(":status", status);
    if (upstream_cookie != nullptr) stream.response.Add("set-cookie", upstream_cookie);
    stream.SendResponse();
  }
  answer.allocations = allocations;
  for (const std::string& line : stream.response.Get("set-cookie")) {
    answer.cookie = line.substr(0, line.find(';'));
  }
  return answer;
}

// The stream's own object is one.
void Expect(const char* name, const Object& world, unsigned long most, bool with_cookie = false,
            const char* status = "200", const char* upstream_cookie = nullptr) {
  std::snprintf(check_context, sizeof check_context, "%s", name);
  Config config(Text(world));
  if (!CHECK(config.accepted())) return;
  std::string cookie;
  if (with_cookie) cookie = Ask(&config, "", "200", nullptr).cookie;
  CHECK(cookie.empty() == !with_cookie);
  unsigned long worst = 0;
  for (int i = 0; i < 50; ++i) {
    const Answer answer = Ask(&config, cookie, status, upstream_cookie);
    if (i >= 10) worst = std::max(worst, answer.allocations);
  }
  std::printf("%s: %lu\n", name, worst);
  CHECK(worst <= most);
}

}  // namespace

int main() {
  SetKeys();
  standin::SetValidationMode(true);
  Expect("a new session", World(), 1);
  Expect("a pinned session", World(), 1, true);
  const Object consumer = With(World(), "consumer", R"({"header":"x-consumer","trusted":true})");
  Expect("a consumer of a tenant", With(consumer, "tenant", R"({"header":"x-consumer"})"), 1);
  Expect("an id hint", With(World(), "id_hint", R"({"header":"x-consumer"})"), 1);
  Expect("only observed", With(World(), "observe", "true"), 1);
  // The result for a request's ids is kept until its response.
  Expect("ids", With(World(), "sealed_ids", "\"seal\""), 2);
  // A token that drains keeps those with a key.
  Expect("a cooldown", consumer, 1, false, "429");
  Expect("an upstream's cookie of our name", World(), 1, false, "200", "__Host-tokenpin=x");
  Expect("described", With(World(), "response_header", "\"x-decision\""), 4);
  Expect("refused", With(World(), "tokens", R"([{"name":"a","state":"down"}])"), 6);
  // Only requests that may move are kept.
  const Object retry = With(World(), "retry", R"({"status":[429]})");
  Expect("kept for a retry", retry, 15);
  Expect("a pinned session that is not tried again", retry, 1, true);
  Expect("a consumer that is not tried again", With(consumer, "retry", R"({"status":[429]})"), 1);
  return check_report();
}
