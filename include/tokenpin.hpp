/**
 * @file tokenpin.hpp
 * Pins sessions to upstream API tokens: C++17, header-only, on top of tokenpin.h.
 *
 * Conventions, the same for every function, beside those of tokenpin.h:
 * - What can fail returns a `Result`: true for success; else `status` says why, and `value` is a
 *   harmless default: no slot, an empty text, an empty handle. Nothing throws, and neither
 *   exceptions nor RTTI are needed.
 * - Text goes in as `std::string_view`, arrays as `Span`. Both are borrowed for the call and not
 *   copied. What a `Config` or `Request` points to must live until these have been used.
 * - Text of bounded length comes out by value, as a `Text`; other text goes into a buffer of the
 *   caller. Nothing allocates but `Affinity::make`, by the library's one `malloc`.
 * - Handles are move-only. An empty one, moved from or never made, refuses every call.
 * - Enums and plain structures are those of tokenpin.h. `name` spells a value of an enum.
 * - Everything may be called from any thread; const member functions also on one object at once.
 */
#ifndef TOKENPIN_HPP
#define TOKENPIN_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tokenpin.h"

#if defined(__linux__)
#include <pthread.h>
#include <sys/random.h>

#include <cerrno>
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__)
#define TOKENPIN_HPP_ARC4RANDOM
#include <stdlib.h>
#elif __has_include(<unistd.h>)
#define TOKENPIN_HPP_GETENTROPY
#include <unistd.h>
#endif

static_assert(TOKENPIN_ABI_VERSION == 1, "tokenpin.hpp and tokenpin.h are not of one release");

namespace tokenpin {

using AnswerKind = tokenpin_answer;
using Field = tokenpin_field;
using Group = tokenpin_group;
using KeyReason = tokenpin_key_reason;
using Kind = tokenpin_kind;
using Outcome = tokenpin_outcome;
using PinState = tokenpin_pin_state;
using Policy = tokenpin_policy;
using Role = tokenpin_role;
using SameSite = tokenpin_same_site;
using Source = tokenpin_source;
using State = tokenpin_state;
using Status = tokenpin_status;
using Strategy = tokenpin_strategy;
using Verdict = tokenpin_verdict;

using Attributes = tokenpin_attributes;
using Bytes = tokenpin_bytes;
using Cookie = tokenpin_cookie;
using CookieKey = tokenpin_cookie_key;
using Filter = tokenpin_filter;
using Key = tokenpin_key;
using Limits = tokenpin_limits;
using Rule = tokenpin_rule;
using Slot = tokenpin_slot;
using SlotConfig = tokenpin_slot_config;
using SlotStatus = tokenpin_slot_status;

/** Sixteen bytes: a key, an anonymous id, or entropy. */
using Block = std::uint8_t[16];

/** The status of a slot that is up, at full weight. */
inline constexpr SlotStatus kUp{0, TOKENPIN_MAX_WEIGHT, TOKENPIN_STATE_UP};

/** What came of a call. True for success. */
template <typename T = void>
struct [[nodiscard]] Result {
  /** `TOKENPIN_STATUS_OK`, or what went wrong. */
  Status status = TOKENPIN_STATUS_OK;
  /** The answer; after a failure a harmless default. */
  T value{};

  constexpr explicit operator bool() const noexcept { return status == TOKENPIN_STATUS_OK; }
  constexpr T* operator->() noexcept { return &value; }
  constexpr const T* operator->() const noexcept { return &value; }
  constexpr T& operator*() & noexcept { return value; }
  constexpr const T& operator*() const& noexcept { return value; }
  constexpr T&& operator*() && noexcept { return std::move(value); }
};

/** What came of a call that has no answer. True for success. */
template <>
struct [[nodiscard]] Result<void> {
  /** `TOKENPIN_STATUS_OK`, or what went wrong. */
  Status status = TOKENPIN_STATUS_OK;

  constexpr explicit operator bool() const noexcept { return status == TOKENPIN_STATUS_OK; }
};

/**
 * A borrowed array: a pointer and a number of elements, or, without a word, a C array,
 * `std::array`, `std::vector`, `std::span`, or what else has `data` and `size`. A temporary that
 * owns its elements is refused.
 */
template <typename T>
class Span {
  template <typename Array>
  using Pointer = decltype(std::data(std::declval<Array&>()));
  template <typename Array>
  using Element = std::remove_pointer_t<Pointer<Array>>;

 public:
  constexpr Span() noexcept = default;
  constexpr Span(T* data, std::size_t size) noexcept : data_(data), size_(size) {}
  // A view is plain, and its constness is not that of its elements.
  template <typename Array,
            typename = std::enable_if_t<std::is_convertible_v<Element<Array> (*)[], T (*)[]> &&
                                        (std::is_lvalue_reference_v<Array> ||
                                         (std::is_trivially_copyable_v<Array> &&
                                          std::is_same_v<Pointer<Array>, Pointer<const Array>>))>>
  constexpr Span(Array&& array) noexcept : data_(std::data(array)), size_(std::size(array)) {}

  [[nodiscard]] constexpr T* data() const noexcept { return data_; }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

/** Text of at most `Capacity` bytes, held by value. */
template <std::size_t Capacity>
struct Text {
  std::size_t size = 0;
  char chars[Capacity];

  /** Empty. What lies behind the text is not set, and never read. */
  Text() noexcept {}

  /** Points into this object. */
  [[nodiscard]] std::string_view view() const noexcept { return {chars, size}; }
};

using CookieName = Text<TOKENPIN_MAX_COOKIE_NAME>;
using CookieValue = Text<TOKENPIN_COOKIE_VALUE_LEN>;

/** Text, as tokenpin.h borrows it. */
[[nodiscard]] constexpr Bytes bytes(std::string_view text) noexcept {
  return {text.data(), text.size()};
}

/** Borrowed bytes as text. */
[[nodiscard]] inline std::string_view view(const Bytes& bytes) noexcept {
  return {static_cast<const char*>(bytes.ptr), bytes.len};
}

namespace detail {

constexpr Status status(std::int32_t number) noexcept { return static_cast<Status>(number); }

/** After a failure there is no text, though the library may have said what size it needs. */
template <std::size_t Capacity>
Status settle(std::int32_t number, Text<Capacity>& text) noexcept {
  if (number != TOKENPIN_STATUS_OK) text.size = 0;
  return status(number);
}

inline std::string_view name(tokenpin_enum which, std::int32_t value) noexcept {
  Bytes bytes{};
  if (tokenpin_enum_name(which, value, &bytes) != TOKENPIN_STATUS_OK) return "unknown";
  return view(bytes);
}

}  // namespace detail

// The stable snake_case names of enum values, fit for a metric's label; "unknown" for a number that
// has none. They live as long as the library.
[[nodiscard]] inline std::string_view name(Status value) noexcept {
  return detail::name(TOKENPIN_ENUM_STATUS, value);
}
[[nodiscard]] inline std::string_view name(Field value) noexcept {
  return detail::name(TOKENPIN_ENUM_FIELD, value);
}
[[nodiscard]] inline std::string_view name(Kind value) noexcept {
  return detail::name(TOKENPIN_ENUM_KIND, value);
}
[[nodiscard]] inline std::string_view name(State value) noexcept {
  return detail::name(TOKENPIN_ENUM_STATE, value);
}
[[nodiscard]] inline std::string_view name(Strategy value) noexcept {
  return detail::name(TOKENPIN_ENUM_STRATEGY, value);
}
[[nodiscard]] inline std::string_view name(Role value) noexcept {
  return detail::name(TOKENPIN_ENUM_ROLE, value);
}
[[nodiscard]] inline std::string_view name(Verdict value) noexcept {
  return detail::name(TOKENPIN_ENUM_VERDICT, value);
}
[[nodiscard]] inline std::string_view name(SameSite value) noexcept {
  return detail::name(TOKENPIN_ENUM_SAME_SITE, value);
}
[[nodiscard]] inline std::string_view name(Group value) noexcept {
  return detail::name(TOKENPIN_ENUM_GROUP, value);
}
[[nodiscard]] inline std::string_view name(Policy value) noexcept {
  return detail::name(TOKENPIN_ENUM_POLICY, value);
}
[[nodiscard]] inline std::string_view name(Source value) noexcept {
  return detail::name(TOKENPIN_ENUM_SOURCE, value);
}
[[nodiscard]] inline std::string_view name(Outcome value) noexcept {
  return detail::name(TOKENPIN_ENUM_OUTCOME, value);
}
[[nodiscard]] inline std::string_view name(PinState value) noexcept {
  return detail::name(TOKENPIN_ENUM_PIN_STATE, value);
}
[[nodiscard]] inline std::string_view name(KeyReason value) noexcept {
  return detail::name(TOKENPIN_ENUM_KEY_REASON, value);
}
[[nodiscard]] inline std::string_view name(AnswerKind value) noexcept {
  return detail::name(TOKENPIN_ENUM_ANSWER, value);
}

/** The version of the library, such as "1.2.3". */
[[nodiscard]] inline std::string_view version() noexcept { return tokenpin_version(); }

/**
 * Whether the library has the interface that this program was compiled for. `Affinity` and
 * `KeyRing` ask by themselves, and refuse to be made with `TOKENPIN_STATUS_STRUCT_SIZE` if not.
 */
[[nodiscard]] inline bool abi_matches() noexcept {
  tokenpin_abi_v1();  // A library of another version does not link, or has no such symbol to load.
  return tokenpin_abi_version() == TOKENPIN_ABI_VERSION;
}

/** Overwrites memory with zeros, in a way that is not optimised out. */
inline void wipe(void* memory, std::size_t size) noexcept {
  volatile unsigned char* byte = static_cast<unsigned char*>(memory);
  for (std::size_t i = 0; i < size; i++) byte[i] = 0;
}

/** The wall clock, in unix seconds; 0 if it cannot be read or is before 1970. Takes nanoseconds. */
[[nodiscard]] inline std::uint64_t unix_now() noexcept {
  const std::time_t now = std::time(nullptr);
  return now > 0 ? static_cast<std::uint64_t>(now) : 0;
}

namespace detail {

/** Draws 1 to `size` random bytes and returns their number; 0 if the system gives none. */
inline std::size_t draw(unsigned char* bytes, std::size_t size) noexcept {
#if defined(__linux__)
  ssize_t drawn;
  do {
    drawn = getrandom(bytes, size, 0);
  } while (drawn < 0 && errno == EINTR);
  return drawn > 0 ? static_cast<std::size_t>(drawn) : 0;
#elif defined(TOKENPIN_HPP_ARC4RANDOM)
  arc4random_buf(bytes, size);
  return size;
#elif defined(TOKENPIN_HPP_GETENTROPY)
  if (size > 256) size = 256;  // More it refuses.
  return getentropy(bytes, size) == 0 ? size : 0;
#else
  static_cast<void>(bytes), static_cast<void>(size);
  return 0;
#endif
}

}  // namespace detail

/**
 * Fills memory with random bytes of the operating system: mostly one system call, which on Linux
 * takes some hundred nanoseconds and may wait for the entropy pool soon after the machine was
 * started. Fails with `TOKENPIN_STATUS_ENTROPY` where the system gives none; the memory is all zero
 * then.
 */
inline Result<> random_bytes(void* memory, std::size_t size) noexcept {
  auto* const bytes = static_cast<unsigned char*>(memory);
  for (std::size_t done = 0; done < size;) {
    const std::size_t drawn = detail::draw(bytes + done, size - done);
    if (drawn == 0) {
      std::memset(bytes, 0, size);
      return {TOKENPIN_STATUS_ENTROPY};
    }
    done += drawn;
  }
  return {};
}

#if defined(__linux__)
namespace detail {

/** Random bytes of one thread that nobody has had yet: 16 blocks for one system call. */
struct Pool {
  std::uint8_t bytes[16 * sizeof(Block)];
  std::size_t left;
};

inline Pool& pool() noexcept {
  thread_local Pool pool{};  // Without a destructor, which every thread's end would have to run.
  return pool;
}

/** Whether a child process will find the pool of its one thread empty: its parent has the same. */
inline bool pool_ends_at_fork() noexcept {
  static const bool ends = pthread_atfork(nullptr, nullptr, [] { pool().left = 0; }) == 0;
  return ends;
}

}  // namespace detail
#endif

/**
 * Sixteen fresh random bytes for a request. Like `random_bytes`, but with a pool of 256 bytes for
 * each thread, where that saves system calls. The pool ends at a fork. A process that is duplicated
 * otherwise (a snapshot of a virtual machine, a raw `clone`) uses `random_bytes`, or repeats up to
 * 15 of these.
 */
inline Result<> fill_entropy(Block& entropy) noexcept {
#if defined(__linux__)
  if (detail::pool_ends_at_fork()) {
    detail::Pool& pool = detail::pool();
    if (pool.left == 0) {
      if (const Result<> drawn = random_bytes(pool.bytes, sizeof pool.bytes); !drawn) {
        std::memset(entropy, 0, sizeof entropy);
        return drawn;
      }
      pool.left = sizeof pool.bytes;
    }
    pool.left -= sizeof entropy;
    std::memcpy(entropy, pool.bytes + pool.left, sizeof entropy);
    wipe(pool.bytes + pool.left, sizeof entropy);
    return {};
  }
#endif
  return random_bytes(entropy, sizeof entropy);
}

/** The fields of `tokenpin_config`, with the defaults set. Wipes its placement key. */
struct Config : tokenpin_config {
  // Should the library refuse the size, it refuses the configuration too.
  Config() noexcept : tokenpin_config{} { tokenpin_config_init(this, sizeof(tokenpin_config)); }
  Config(const Config&) = delete;
  Config& operator=(const Config&) = delete;
  ~Config() { wipe(placement_key, sizeof placement_key); }

  void set_cookie_keys(Span<const CookieKey> keys) noexcept {
    cookie_keys = keys.data();
    cookie_key_count = keys.size();
  }
  void set_slots(Span<const SlotConfig> configs) noexcept {
    slots = configs.data();
    slot_count = configs.size();
  }
  void set_rules(Span<const Rule> table) noexcept {
    rules = table.data();
    rule_count = table.size();
  }
};

/** Why a configuration was refused, and where. */
struct ConfigError {
  Status status = TOKENPIN_STATUS_OK;
  Field field = TOKENPIN_FIELD_CONFIG;
  /** The position within the field, 0 for single values. */
  std::uint64_t index = 0;
};

namespace detail {

/** What `make` says, unless it would be said by a library of another interface. */
template <typename Make>
Status checked(ConfigError* error, Make make) noexcept {
  tokenpin_config_error refused{};
  const Status status =
      abi_matches() ? detail::status(make(&refused)) : TOKENPIN_STATUS_STRUCT_SIZE;
  if (status != TOKENPIN_STATUS_OK && error != nullptr) {
    *error = {status, static_cast<Field>(refused.field), refused.index};
  }
  return status;
}

}  // namespace detail

/** The fields of `tokenpin_request`, all zero. */
struct Request : tokenpin_request {
  Request() noexcept : tokenpin_request{} {}

  void set_consumers(Span<const Bytes> values, bool trusted) noexcept {
    consumers = values.data();
    consumer_count = values.size();
    consumer_trusted = trusted;
  }
  void set_sessions(Span<const Bytes> values) noexcept {
    sessions = values.data();
    session_count = values.size();
  }
  void set_cookies(Span<const Bytes> fields) noexcept {
    cookies = fields.data();
    cookie_count = fields.size();
  }
  void set_tried(Span<const std::uint32_t> slots) noexcept {
    tried = slots.data();
    tried_count = slots.size();
  }
  /** Instead of classifying method and target. */
  void set_group(Group value) noexcept {
    has_group = 1;
    group = value;
  }
};

/** The answer to a request: no pointers, to be kept until its response. */
class Decision {
 public:
  /** No slot; no affinity accepts it. */
  Decision() noexcept { decision_.slot = TOKENPIN_SLOT_NONE; }

  /** The slot that serves, or `TOKENPIN_SLOT_NONE`: then a local error is the answer. */
  [[nodiscard]] std::uint32_t slot() const noexcept { return decision_.slot; }
  /** Whether there is a slot. */
  [[nodiscard]] bool has_slot() const noexcept { return decision_.slot != TOKENPIN_SLOT_NONE; }
  [[nodiscard]] Source source() const noexcept { return static_cast<Source>(decision_.source); }
  [[nodiscard]] Outcome outcome() const noexcept { return static_cast<Outcome>(decision_.outcome); }
  [[nodiscard]] PinState pin_state() const noexcept {
    return static_cast<PinState>(decision_.pin_state);
  }
  [[nodiscard]] Verdict verdict() const noexcept { return static_cast<Verdict>(decision_.verdict); }
  [[nodiscard]] KeyReason key_reason() const noexcept {
    return static_cast<KeyReason>(decision_.key_reason);
  }
  /** Whether the request names existing state. */
  [[nodiscard]] bool existing() const noexcept { return decision_.existing != 0; }
  /** Whether a host may send the request to another token where this one refuses it. */
  [[nodiscard]] bool may_move() const noexcept { return decision_.may_move != 0; }
  /** Without a slot: the seconds until the first slot that can serve is up again; 0 for unknown. */
  [[nodiscard]] std::uint32_t retry_after() const noexcept { return decision_.retry_after; }
  /** Everything, as tokenpin.h has it. */
  [[nodiscard]] const tokenpin_decision& fields() const noexcept { return decision_; }

 private:
  friend class Affinity;
  tokenpin_decision decision_{};
};

/** What goes back to the client. */
struct Answer {
  AnswerKind kind = TOKENPIN_ANSWER_NOTHING;
  /** The value of the `Set-Cookie` field or of the carrier header. */
  Text<TOKENPIN_MAX_SET_COOKIE> text;
};

/** How an API treats accounts, and whether a request names existing state. */
struct Class {
  Group group = TOKENPIN_GROUP_STATELESS;
  bool existing = false;
};

/**
 * A built configuration: decides, and finishes requests. Any number of threads may use it at once;
 * only moving it and its end need it for themselves. Its end wipes its memory.
 */
class Affinity {
 public:
  /** Empty. */
  Affinity() noexcept = default;
  Affinity(Affinity&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)), in_place_(other.in_place_) {}
  Affinity& operator=(Affinity&& other) noexcept {
    Affinity next(std::move(other));  // Ends with what was here, or, moved to itself, with nothing.
    std::swap(handle_, next.handle_);
    std::swap(in_place_, next.in_place_);
    return *this;
  }
  ~Affinity() {
    if (in_place_) {
      tokenpin_affinity_wipe(handle_);
    } else {
      tokenpin_affinity_free(handle_);
    }
  }

  /** Builds one, in memory of one `malloc`. The configuration is copied and may go. */
  static Result<Affinity> make(const tokenpin_config& config,
                               ConfigError* error = nullptr) noexcept {
    Result<Affinity> made;
    made.status = detail::checked(error, [&](tokenpin_config_error* refused) {
      return tokenpin_affinity_new(&config, &made.value.handle_, refused);
    });
    return made;
  }

  /** The size of the memory that `make_in` needs, in bytes. */
  static Result<std::size_t> size_of(const tokenpin_config& config,
                                     ConfigError* error = nullptr) noexcept {
    Result<std::size_t> size;
    size.status = detail::checked(error, [&](tokenpin_config_error* refused) {
      return tokenpin_affinity_size(&config, &size.value, refused);
    });
    return size;
  }

  /**
   * Builds one in memory of the caller, which is aligned to `TOKENPIN_AFFINITY_ALIGN`, is used by
   * nobody else, and outlives the handle. It must stay where it is; the handle may move.
   */
  static Result<Affinity> make_in(void* memory, std::size_t size, const tokenpin_config& config,
                                  ConfigError* error = nullptr) noexcept {
    Result<Affinity> made;
    made.value.in_place_ = true;
    made.status = detail::checked(error, [&](tokenpin_config_error* refused) {
      return tokenpin_affinity_init(memory, size, &config, &made.value.handle_, refused);
    });
    return made;
  }

  /** Decides which slot serves a request. See `tokenpin_affinity_decide`. */
  Result<Decision> decide(const tokenpin_request& request) const noexcept {
    Result<Decision> decision;
    decision.status =
        detail::status(tokenpin_affinity_decide(handle_, &request, &decision.value.decision_));
    return decision;
  }

  /**
   * Ends a request that an upstream has answered, with the response's status code: says what goes
   * back to the client. Refuses with `TOKENPIN_STATUS_STALE` if another configuration decided.
   */
  Result<Answer> finish(const Decision& decision, std::uint16_t status) const noexcept {
    Result<Answer> answer;
    std::uint8_t kind = TOKENPIN_ANSWER_NOTHING;
    auto& text = answer.value.text;
    const std::int32_t number = tokenpin_affinity_finish(
        handle_, &decision.decision_, status, text.chars, sizeof text.chars, &text.size, &kind);
    answer.status = detail::settle(number, text);
    answer.value.kind = static_cast<AnswerKind>(kind);
    return answer;
  }

  /** Changes state, weight and until of a slot at once, while others decide. */
  Result<> set_slot(std::uint32_t slot, const SlotStatus& status) const noexcept {
    return {detail::status(tokenpin_affinity_set_slot(handle_, slot, &status))};
  }

  /** State, weight and until of a slot. */
  Result<SlotStatus> get_slot(std::uint32_t slot) const noexcept {
    Result<SlotStatus> status{TOKENPIN_STATUS_OK, {0, 0, TOKENPIN_STATE_DOWN}};
    status.status =
        detail::status(tokenpin_affinity_get_slot(handle_, slot, &status.value, nullptr));
    return status;
  }

  /** The identity hash of a slot's account, which a cookie's pin is compared with; 0 if it is
   * vacant. */
  Result<std::uint64_t> get_identity_hash(std::uint32_t slot) const noexcept {
    Result<std::uint64_t> hash;
    SlotStatus status;
    hash.status = detail::status(tokenpin_affinity_get_slot(handle_, slot, &status, &hash.value));
    return hash;
  }

  /** The slot of the account named by `identity`; `TOKENPIN_SLOT_NONE` if there is none. */
  Result<std::uint32_t> find(std::string_view identity) const noexcept {
    Result<std::uint32_t> slot{TOKENPIN_STATUS_OK, TOKENPIN_SLOT_NONE};
    slot.status = detail::status(
        tokenpin_affinity_find(handle_, identity.data(), identity.size(), &slot.value));
    return slot;
  }

  /** The number of slots, vacant ones included. */
  Result<std::size_t> capacity() const noexcept {
    Result<std::size_t> capacity;
    capacity.status = detail::status(tokenpin_affinity_capacity(handle_, &capacity.value));
    return capacity;
  }

  /** The cookie's name for a scope, an empty one being the configured one: what is to be stripped.
   */
  Result<CookieName> cookie_name(std::string_view scope = {}) const noexcept {
    Result<CookieName> name;
    const std::int32_t number =
        tokenpin_affinity_cookie_name(handle_, scope.data(), scope.size(), name.value.chars,
                                      sizeof name.value.chars, &name.value.size);
    name.status = detail::settle(number, name.value);
    return name;
  }

  /** Classifies a request by the configured table. */
  Result<Class> classify(std::string_view method, std::string_view target) const noexcept {
    Result<Class> made;
    std::uint8_t group = TOKENPIN_GROUP_STATELESS, existing = 0;
    made.status = detail::status(tokenpin_affinity_classify(
        handle_, method.data(), method.size(), target.data(), target.size(), &group, &existing));
    made.value = {static_cast<Group>(group), existing != 0};
    return made;
  }

  /** The configuration's fingerprint. Replicas that show different ones do not agree. */
  Result<std::uint64_t> fingerprint() const noexcept {
    Result<std::uint64_t> fingerprint;
    fingerprint.status = detail::status(tokenpin_affinity_fingerprint(handle_, &fingerprint.value));
    return fingerprint;
  }

  /** The fingerprint of weights and states at `now`, in unix seconds. Linear in the slots. */
  Result<std::uint64_t> live_fingerprint(std::uint64_t now) const noexcept {
    Result<std::uint64_t> fingerprint;
    fingerprint.status =
        detail::status(tokenpin_affinity_live_fingerprint(handle_, now, &fingerprint.value));
    return fingerprint;
  }

  /** For the functions of tokenpin.h; null if empty. */
  [[nodiscard]] const tokenpin_affinity* handle() const noexcept { return handle_; }

 private:
  tokenpin_affinity* handle_ = nullptr;
  bool in_place_ = false;
};

/** What came of reading a cookie. */
struct Decoded {
  Verdict verdict = TOKENPIN_VERDICT_ABSENT;
  /** What it says, for verdicts from `TOKENPIN_VERDICT_OTHER_KEY` on; else all zero. */
  Cookie cookie{};
};

/** A cookie key ring. Its end wipes it. */
class KeyRing {
 public:
  /** Empty. */
  KeyRing() noexcept = default;
  KeyRing(KeyRing&& other) noexcept : ring_(other.ring_) { tokenpin_key_ring_wipe(&other.ring_); }
  KeyRing& operator=(KeyRing&& other) noexcept {
    if (this != &other) {
      ring_ = other.ring_;
      tokenpin_key_ring_wipe(&other.ring_);
    }
    return *this;
  }
  ~KeyRing() { tokenpin_key_ring_wipe(&ring_); }

  /**
   * Makes a ring of 1 to 8 keys, exactly one of which signs. `placement_key` may be null; if it is
   * not, no secret may equal it.
   */
  static Result<KeyRing> make(Span<const CookieKey> keys, const Block* placement_key = nullptr,
                              ConfigError* error = nullptr) noexcept {
    Result<KeyRing> ring;
    const std::uint8_t* key = placement_key == nullptr ? nullptr : *placement_key;
    ring.status = detail::checked(error, [&](tokenpin_config_error* refused) {
      return tokenpin_key_ring_init(&ring.value.ring_, keys.data(), keys.size(), key, refused);
    });
    return ring;
  }

  /**
   * Makes the value of a cookie, signed with the signing key. `key` is the affinity key that it is
   * bound to; it may be null for an anonymous cookie.
   */
  Result<CookieValue> encode(std::string_view name, std::string_view scope, const Cookie& cookie,
                             const Key* key = nullptr) const noexcept {
    Result<CookieValue> value;
    value.status =
        detail::status(tokenpin_cookie_encode(&ring_, name.data(), name.size(), scope.data(),
                                              scope.size(), key, &cookie, value.value.chars));
    if (value) value.value.size = sizeof value.value.chars;
    return value;
  }

  /**
   * Reads the value of a cookie at `now`, in unix seconds. `key` is the affinity key of the
   * request; null for an anonymous request. A bad value is a verdict, not a failure.
   */
  Result<Decoded> decode(std::string_view name, std::string_view scope, const Limits& limits,
                         std::uint64_t now, std::string_view value,
                         const Key* key = nullptr) const noexcept {
    Result<Decoded> decoded;
    std::uint8_t verdict = TOKENPIN_VERDICT_ABSENT;
    decoded.status = detail::status(tokenpin_cookie_decode(
        &ring_, name.data(), name.size(), scope.data(), scope.size(), key, &limits, now,
        value.data(), value.size(), &verdict, &decoded.value.cookie));
    decoded.value.verdict = static_cast<Verdict>(verdict);
    return decoded;
  }

 private:
  tokenpin_key_ring ring_{};
};

/** The key of an anonymous session. The id is borrowed, like all that keys are made of. */
[[nodiscard]] inline Key anonymous_key(const Block& id) noexcept {
  return {TOKENPIN_KIND_ANONYMOUS, {id, sizeof id}, {}};
}
[[nodiscard]] constexpr Key consumer_key(std::string_view consumer) noexcept {
  return {TOKENPIN_KIND_CONSUMER, bytes(consumer), {}};
}
[[nodiscard]] constexpr Key session_key(std::string_view session) noexcept {
  return {TOKENPIN_KIND_SESSION, bytes(session), {}};
}
[[nodiscard]] constexpr Key combined_key(std::string_view consumer,
                                         std::string_view session) noexcept {
  return {TOKENPIN_KIND_COMBINED, bytes(consumer), bytes(session)};
}

/** The jump consistent hash: the bucket of `key`, below `buckets`, which is 1 to 2^31-1. */
inline Result<std::uint32_t> jump(std::uint64_t key, std::uint32_t buckets) noexcept {
  Result<std::uint32_t> bucket{TOKENPIN_STATUS_OK, TOKENPIN_SLOT_NONE};
  bucket.status = detail::status(tokenpin_jump(key, buckets, &bucket.value));
  return bucket;
}

/** The identity hash of the account named by `identity`, 1 byte or more. */
inline Result<std::uint64_t> identity_hash(std::string_view identity) noexcept {
  Result<std::uint64_t> hash;
  hash.status =
      detail::status(tokenpin_identity_hash(identity.data(), identity.size(), &hash.value));
  return hash;
}

/** The hash of an affinity key, which selection starts from. */
inline Result<std::uint64_t> key_hash(const Block& placement_key, std::string_view scope,
                                      const Key& key) noexcept {
  Result<std::uint64_t> hash;
  hash.status = detail::status(
      tokenpin_key_hash(placement_key, scope.data(), scope.size(), &key, &hash.value));
  return hash;
}

/** A slot without an account, kept for growth. */
inline Result<Slot> make_vacant_slot() noexcept {
  Result<Slot> slot;
  slot.status = detail::status(tokenpin_slot_init_vacant(&slot.value));
  return slot;
}

/** The slot of the account named by `identity`, 1 byte or more; after a failure a vacant one. */
inline Result<Slot> make_slot(std::string_view identity, const SlotStatus& status) noexcept {
  Result<Slot> slot = make_vacant_slot();
  slot.status =
      detail::status(tokenpin_slot_init(&slot.value, identity.data(), identity.size(), &status));
  return slot;
}

/** Changes state, weight and until of a slot atomically, while others select. */
inline Result<> set_slot(Slot& slot, const SlotStatus& status) noexcept {
  return {detail::status(tokenpin_slot_set(&slot, &status))};
}

/** State, weight and until of a slot. */
inline Result<SlotStatus> get_slot(const Slot& slot) noexcept {
  Result<SlotStatus> status{TOKENPIN_STATUS_OK, {0, 0, TOKENPIN_STATE_DOWN}};
  status.status = detail::status(tokenpin_slot_get(&slot, &status.value));
  return status;
}

/** The slot that serves the key with hash `hash`. See `tokenpin_select`. */
inline Result<std::uint32_t> select(Strategy strategy, Span<const Slot> slots, const Filter& filter,
                                    std::uint64_t hash) noexcept {
  Result<std::uint32_t> slot{TOKENPIN_STATUS_OK, TOKENPIN_SLOT_NONE};
  slot.status = detail::status(
      tokenpin_select(strategy, slots.data(), slots.size(), &filter, hash, &slot.value));
  return slot;
}

/** The slot that serves a key under Higress's strategy. See `tokenpin_select_higress`. */
inline Result<std::uint32_t> select_higress(Span<const Slot> slots, const Filter& filter,
                                            std::uint64_t hash, const Key& key) noexcept {
  Result<std::uint32_t> slot{TOKENPIN_STATUS_OK, TOKENPIN_SLOT_NONE};
  slot.status = detail::status(
      tokenpin_select_higress(slots.data(), slots.size(), &filter, hash, &key, &slot.value));
  return slot;
}

/**
 * `select` for many hashes: `selected[i]` is the slot of `hashes[i]`. Refuses with
 * `TOKENPIN_STATUS_BUFFER_TOO_SMALL` if `selected` are fewer than the hashes.
 */
inline Result<> select_batch(Strategy strategy, Span<const Slot> slots, const Filter& filter,
                             Span<const std::uint64_t> hashes,
                             Span<std::uint32_t> selected) noexcept {
  if (selected.size() < hashes.size()) return {TOKENPIN_STATUS_BUFFER_TOO_SMALL};
  return {detail::status(tokenpin_select_batch(strategy, slots.data(), slots.size(), &filter,
                                               hashes.data(), hashes.size(), selected.data()))};
}

/** The default name of a scope's cookie. */
inline Result<CookieName> default_cookie_name(std::string_view scope = {}) noexcept {
  Result<CookieName> name;
  const std::int32_t number = tokenpin_cookie_default_name(
      scope.data(), scope.size(), name.value.chars, sizeof name.value.chars, &name.value.size);
  name.status = detail::settle(number, name.value);
  return name;
}

/**
 * Goes through the values of the cookies of one name in one `Cookie` field:
 * `while (auto value = values.next()) use(*value);`. The values point into the field.
 */
class CookieValues {
 public:
  CookieValues(std::string_view field, std::string_view name) noexcept
      : field_(field), name_(name) {}

  /** The next value; `TOKENPIN_STATUS_END` if there is none. */
  Result<std::string_view> next() noexcept {
    Result<std::string_view> value;
    Bytes found{};
    value.status = detail::status(tokenpin_cookie_next(field_.data(), field_.size(), name_.data(),
                                                       name_.size(), &offset_, &found));
    value.value = view(found);
    return value;
  }

 private:
  std::string_view field_, name_;
  std::size_t offset_ = 0;
};

/**
 * Writes what is left of one `Cookie` field without the cookies called `name`, and returns its
 * length: 0 means that the field should be dropped. A buffer of the field's size suffices and must
 * not overlap it. With `TOKENPIN_STATUS_BUFFER_TOO_SMALL` the value is the size needed.
 */
inline Result<std::size_t> strip_cookie(std::string_view field, std::string_view name,
                                        Span<char> buffer) noexcept {
  Result<std::size_t> length;
  length.status =
      detail::status(tokenpin_cookie_strip(field.data(), field.size(), name.data(), name.size(),
                                           buffer.data(), buffer.size(), &length.value));
  return length;
}

/**
 * Writes the value of a `Set-Cookie` field and returns its length. `max_age` is in seconds, 0 makes
 * a session cookie. `TOKENPIN_MAX_SET_COOKIE` bytes suffice for a value of this library. With
 * `TOKENPIN_STATUS_BUFFER_TOO_SMALL` the value is the size needed.
 */
inline Result<std::size_t> set_cookie_write(std::string_view name, std::string_view value,
                                            const Attributes& attributes, std::uint32_t max_age,
                                            Span<char> buffer) noexcept {
  Result<std::size_t> length;
  length.status = detail::status(
      tokenpin_set_cookie_write(name.data(), name.size(), value.data(), value.size(), &attributes,
                                max_age, buffer.data(), buffer.size(), &length.value));
  return length;
}

/**
 * Whether a `Set-Cookie` field sets a cookie called `name`. Those of an upstream are not for the
 * client. True after a failure too, which no text that fits into memory leads to.
 */
[[nodiscard]] inline bool set_cookie_matches(std::string_view field, std::string_view name) noexcept {
  std::uint8_t matches = 1;
  tokenpin_set_cookie_matches(field.data(), field.size(), name.data(), name.size(), &matches);
  return matches != 0;
}

/** Classifies a request. No rules are the default table; `prompt_cache` opts in to that group. */
inline Result<Class> classify(std::string_view method, std::string_view target,
                              bool prompt_cache = false, Span<const Rule> rules = {}) noexcept {
  Result<Class> made;
  std::uint8_t group = TOKENPIN_GROUP_STATELESS, existing = 0;
  made.status = detail::status(tokenpin_classify(rules.data(), rules.size(), prompt_cache,
                                                 method.data(), method.size(), target.data(),
                                                 target.size(), &group, &existing));
  made.value = {static_cast<Group>(group), existing != 0};
  return made;
}

}  // namespace tokenpin

#undef TOKENPIN_HPP_ARC4RANDOM
#undef TOKENPIN_HPP_GETENTROPY

#endif  // TOKENPIN_HPP
