// tokenpin.hpp on systems that fail it. The linker replaces the functions that the header calls by
// those below (`--wrap`). With the argument `fork`, fork handlers can be installed, which a process
// does once.
#include <tokenpin.hpp>
// Not sorted: the header must not need the headers behind it.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "check.h"
#include "world.h"

namespace {

// The answers to the next calls.
struct {
  ssize_t most = 256;      // getrandom: the largest number of bytes per call; below 0 for an error
  int error = 0;           // and the error
  int interrupted = 0;     // the number of calls that are interrupted first
  int calls = 0;           // the number of calls
  unsigned char next = 1;  // the value from which the bytes count
  std::time_t time = 0;
  std::uint32_t abi = TOKENPIN_ABI_VERSION;
} stand_in;

bool fork_handlers = false;
void (*in_child)() = nullptr;

}  // namespace

extern "C" {

ssize_t __wrap_getrandom(void* memory, size_t size, unsigned flags) {
  CHECK(flags == 0);
  stand_in.calls++;
  if (stand_in.interrupted > 0) {
    stand_in.interrupted--;
    errno = EINTR;
    return -1;
  }
  errno = stand_in.error;
  if (stand_in.most < 0) return -1;
  size = std::min(size, static_cast<size_t>(stand_in.most));
  auto* bytes = static_cast<unsigned char*>(memory);
  for (size_t i = 0; i < size; i++) bytes[i] = stand_in.next++;
  return static_cast<ssize_t>(size);
}

int __wrap_pthread_atfork(void (*)(), void (*)(), void (*child)()) {
  in_child = child;
  return fork_handlers ? 0 : ENOMEM;
}

std::time_t __wrap_time(std::time_t*) { return stand_in.time; }

// A library with longer names.
std::int32_t __wrap_tokenpin_cookie_default_name(const void*, size_t, void*, size_t, size_t* len) {
  *len = TOKENPIN_MAX_COOKIE_NAME + 1;
  return TOKENPIN_STATUS_BUFFER_TOO_SMALL;
}

std::uint32_t __wrap_tokenpin_abi_version() { return stand_in.abi; }

}  // extern "C"

namespace {

void short_and_interrupted_reads_go_on() {
  stand_in = {};
  stand_in.most = 5;
  stand_in.interrupted = 2;
  unsigned char memory[12];
  CHECK(tokenpin::random_bytes(memory, sizeof memory));
  CHECK(stand_in.calls == 5 && memory[0] == 1 && memory[5] == 6 && memory[11] == 12);
}

void no_randomness_is_no_bytes() {
  for (const ssize_t most : {ssize_t{-1}, ssize_t{0}}) {
    stand_in = {};
    stand_in.most = most;
    stand_in.error = ENOSYS;
    tokenpin::Block memory;
    std::memset(memory, 7, sizeof memory);
    CHECK(tokenpin::random_bytes(memory, sizeof memory).status == TOKENPIN_STATUS_ENTROPY);
    CHECK(std::count(memory, memory + sizeof memory, 0) == 16);
    std::memset(memory, 7, sizeof memory);
    CHECK(tokenpin::fill_entropy(memory).status == TOKENPIN_STATUS_ENTROPY);
    CHECK(std::count(memory, memory + sizeof memory, 0) == 16);
  }
}

// A pool that a child process could find would be worse than none.
void without_fork_handlers_there_is_no_pool() {
  stand_in = {};
  tokenpin::Block first, second;
  CHECK(tokenpin::fill_entropy(first) && tokenpin::fill_entropy(second));
  CHECK(stand_in.calls == 2 && first[0] == 1 && second[0] == 17);
}

void the_pool_saves_calls_and_ends_at_a_fork() {
  stand_in = {};
  tokenpin::Block block;
  for (int i = 0; i < 32; i++) CHECK(tokenpin::fill_entropy(block));
  CHECK(stand_in.calls == 2);
  CHECK(tokenpin::fill_entropy(block) && stand_in.calls == 3);
  CHECK(in_child != nullptr);
  in_child();
  CHECK(tokenpin::fill_entropy(block) && stand_in.calls == 4);
  in_child();
}

void a_clock_that_cannot_be_read_is_zero() {
  stand_in.time = 1700000000;
  CHECK(tokenpin::unix_now() == 1700000000);
  stand_in.time = static_cast<std::time_t>(-1);
  CHECK(tokenpin::unix_now() == 0);
}

void a_text_that_does_not_fit_is_empty() {
  const auto name = tokenpin::cookie_default_name();
  CHECK(name.status == TOKENPIN_STATUS_BUFFER_TOO_SMALL && name->view().empty());
}

void another_interface_is_refused() {
  World world;
  CHECK(world_init(&world) == TOKENPIN_STATUS_OK);
  for (const std::uint32_t abi : {0U, TOKENPIN_ABI_VERSION + 1U}) {
    stand_in.abi = abi;
    CHECK(!tokenpin::abi_matches());
    tokenpin::ConfigError error;
    CHECK(tokenpin::Affinity::make(world.config, &error).status == TOKENPIN_STATUS_STRUCT_SIZE);
    CHECK(error.status == TOKENPIN_STATUS_STRUCT_SIZE && error.field == TOKENPIN_FIELD_CONFIG);
    CHECK(tokenpin::KeyRing::make({world.keys, 2}).status == TOKENPIN_STATUS_STRUCT_SIZE);
    CHECK(tokenpin::Affinity::size_of(world.config).status == TOKENPIN_STATUS_STRUCT_SIZE);
  }
  stand_in.abi = TOKENPIN_ABI_VERSION;
  CHECK(tokenpin::abi_matches() && tokenpin::Affinity::make(world.config));
}

}  // namespace

int main(int argc, char** argv) {
  fork_handlers = argc > 1 && std::strcmp(argv[1], "fork") == 0;
  short_and_interrupted_reads_go_on();
  no_randomness_is_no_bytes();
  if (fork_handlers) {
    the_pool_saves_calls_and_ends_at_a_fork();
    no_randomness_is_no_bytes();
  } else {
    without_fork_handlers_there_is_no_pool();
  }
  a_clock_that_cannot_be_read_is_zero();
  a_text_that_does_not_fit_is_empty();
  another_interface_is_refused();
  return check_report();
}
