// The promises of tokenpin.hpp about its types, checked while this compiles.
#ifndef PROMISES_H
#define PROMISES_H

#include <array>
#include <string>
#include <tokenpin.hpp>
#include <type_traits>
#include <vector>
#if __cplusplus >= 202002L
#include <span>
#endif

namespace promises {

using namespace tokenpin;

template <typename T>
constexpr bool kMoveOnly =
    std::is_nothrow_default_constructible_v<T> && std::is_nothrow_move_constructible_v<T> &&
    std::is_nothrow_move_assignable_v<T> && std::is_nothrow_destructible_v<T> &&
    !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;

static_assert(kMoveOnly<Affinity> && kMoveOnly<Result<Affinity>>);
static_assert(kMoveOnly<KeyRing> && kMoveOnly<Result<KeyRing>>);
static_assert(kMoveOnly<IdRing> && kMoveOnly<Result<IdRing>>);
static_assert(std::is_nothrow_default_constructible_v<Config> &&
              !std::is_move_constructible_v<Config> && !std::is_move_assignable_v<Config>);
// A host may keep it anywhere it keeps plain bytes.
static_assert(std::is_trivially_copyable_v<Decision> && std::is_standard_layout_v<Decision> &&
              sizeof(Decision) == sizeof(tokenpin_decision));
static_assert(sizeof(Config) == sizeof(tokenpin_config));
static_assert(sizeof(Request) == sizeof(tokenpin_request));
static_assert(sizeof(IdUse) == sizeof(tokenpin_id_use));
static_assert(std::is_trivially_copyable_v<IdSummary> && std::is_trivially_copyable_v<IdOpener> &&
              std::is_trivially_copyable_v<IdSealer>);
static_assert(sizeof(IdOpener) <= 1024 && sizeof(IdSealer) <= 1024);

// A result is tested, and never converted to a number.
static_assert(std::is_constructible_v<bool, Result<>> && !std::is_convertible_v<Result<>, bool>);
static_assert(std::is_constructible_v<bool, Result<int>> &&
              !std::is_convertible_v<Result<int>, int> &&
              !std::is_convertible_v<Result<int>, bool>);

template <typename From, typename To>
constexpr bool kGoesIn =
    std::is_nothrow_constructible_v<Span<To>, From> && std::is_convertible_v<From, Span<To>>;
static_assert(kGoesIn<int (&)[3], int> && kGoesIn<int (&)[3], const int>);
static_assert(kGoesIn<std::array<int, 3>&, int> && kGoesIn<const std::array<int, 3>&, const int>);
static_assert(kGoesIn<std::vector<int>&, int> && kGoesIn<const std::vector<int>&, const int>);
static_assert(kGoesIn<Span<int>, const int> && kGoesIn<Span<int>&, const int>);
static_assert(!kGoesIn<const std::vector<int>&, int>, "constness stays");
static_assert(!kGoesIn<std::vector<int>&, long>, "other elements do not fit");
static_assert(!kGoesIn<Config (&)[2], tokenpin_config>, "nor do larger ones");
static_assert(!kGoesIn<std::vector<int>, const int>, "its elements die with it");
static_assert(!kGoesIn<std::array<int, 3>, const int>, "and so do these");
static_assert(kGoesIn<std::string_view, const char> && !kGoesIn<std::string, const char>);
static_assert(!kGoesIn<int&, int>);
#if __cplusplus >= 202002L
static_assert(kGoesIn<std::span<int>, int> && kGoesIn<std::span<int>, const int>);
static_assert(kGoesIn<std::span<const int>&, const int> && !kGoesIn<std::span<const int>, int>);
#endif

// Nothing throws. The arguments are never read.
template <typename T>
T&& any() noexcept;

using Text = std::string_view;
static_assert(noexcept(Affinity::make(any<const Config&>(), any<ConfigError*>())));
static_assert(noexcept(Affinity::size_of(any<const Config&>(), any<ConfigError*>())));
static_assert(noexcept(Affinity::make_in(any<void*>(), 0, any<const Config&>())));
static_assert(noexcept(any<const Affinity&>().decide(any<const Request&>())));
static_assert(noexcept(any<const Affinity&>().finish(any<const Decision&>(), 200)));
static_assert(noexcept(any<const Affinity&>().set_slot(0, any<const SlotStatus&>())));
static_assert(noexcept(any<const Affinity&>().get_slot(0)));
static_assert(noexcept(any<const Affinity&>().get_identity_hash(0)));
static_assert(noexcept(any<const Affinity&>().find(any<Text>())));
static_assert(noexcept(any<const Affinity&>().capacity()));
static_assert(noexcept(any<const Affinity&>().cookie_name(any<Text>())));
static_assert(noexcept(any<const Affinity&>().classify(any<Text>(), any<Text>())));
static_assert(noexcept(any<const Affinity&>().id_owner(any<const Request&>())));
static_assert(noexcept(any<const Affinity&>().open_target(any<IdUse&>(), any<IdSummary&>(),
                                                          any<Text>(), any<Span<char>>())));
static_assert(noexcept(any<const Affinity&>().open_in_place(any<IdUse&>(), any<IdSummary&>(),
                                                            any<Span<char>>())));
static_assert(noexcept(any<const Affinity&>().open_step(any<IdUse&>(), any<IdSummary&>(),
                                                        any<IdOpener&>(), any<Text>())));
static_assert(noexcept(any<const Affinity&>().open_end(any<IdUse&>(), any<IdSummary&>(),
                                                       any<IdOpener&>())));
static_assert(noexcept(any<const Affinity&>().seal_step(any<IdUse&>(), any<IdSummary&>(), 0,
                                                        any<IdSealer&>(), any<Text>())));
static_assert(noexcept(any<const Affinity&>().seal_end(any<IdUse&>(), any<IdSummary&>(), 0,
                                                       any<IdSealer&>())));
static_assert(noexcept(any<const Affinity&>().seal_target(any<IdUse&>(), any<IdSummary&>(), 0,
                                                          any<Text>(), any<Span<char>>())));
static_assert(noexcept(any<const Affinity&>().id_key(0)));
static_assert(noexcept(any<const Decision&>().refusal()) && noexcept(IdSummary().report()));
static_assert(noexcept(IdRing::make(any<Span<const CookieKey>>(), any<const Block*>())));
static_assert(noexcept(any<const IdRing&>().seal(any<Text>(), any<Text>(), 0, any<Text>())));
static_assert(noexcept(any<const IdRing&>().open(any<Text>(), any<Text>(), any<Text>())));
static_assert(noexcept(any<const IdRing&>().mark(any<Text>(), any<Text>(), 0, any<Text>())));
static_assert(noexcept(any<const IdRing&>().open_mark(any<Text>(), any<Text>(), any<Text>())));
static_assert(noexcept(any<const Affinity&>().fingerprint()));
static_assert(noexcept(any<const Affinity&>().live_fingerprint(0)));
static_assert(noexcept(KeyRing::make(any<Span<const CookieKey>>(), any<const Block*>())));
static_assert(noexcept(any<const KeyRing&>().encode(any<Text>(), any<Text>(), any<Cookie&>())));
static_assert(noexcept(any<const KeyRing&>().decode(any<Text>(), any<Text>(), any<Limits&>(), 0,
                                                    any<Text>())));
static_assert(noexcept(jump(0, 0)) && noexcept(identity_hash(any<Text>())));
static_assert(noexcept(key_hash(any<Block&>(), any<Text>(), any<Key&>())));
static_assert(noexcept(make_vacant_slot()));
static_assert(noexcept(select_higress(any<Span<const Slot>>(), any<Filter&>(), 0, any<Key&>())));
static_assert(noexcept(make_slot(any<Text>(), any<SlotStatus&>())));
static_assert(noexcept(set_slot(any<Slot&>(), any<SlotStatus&>())));
static_assert(noexcept(get_slot(any<Slot&>())));
static_assert(noexcept(select(TOKENPIN_STRATEGY_JUMP, any<Span<const Slot>>(), any<Filter&>(), 0)));
static_assert(noexcept(select_batch(TOKENPIN_STRATEGY_JUMP, any<Span<const Slot>>(), any<Filter&>(),
                                    any<Span<const std::uint64_t>>(), any<Span<std::uint32_t>>())));
static_assert(noexcept(cookie_default_name(any<Text>())) && noexcept(any<CookieValues&>().next()));
static_assert(noexcept(cookie_strip(any<Text>(), any<Text>(), any<Span<char>>())));
static_assert(noexcept(set_cookie_write(any<Text>(), any<Text>(), any<Attributes&>(), 0,
                                        any<Span<char>>())));
static_assert(noexcept(set_cookie_matches(any<Text>(), any<Text>())));
static_assert(noexcept(classify(any<Text>(), any<Text>(), true, any<Span<const Rule>>())));
static_assert(noexcept(name(any<Status>())) && noexcept(version()) && noexcept(abi_matches()));
static_assert(noexcept(random_bytes(any<void*>(), 0)) && noexcept(fill_entropy(any<Block&>())));
static_assert(noexcept(unix_now()) && noexcept(wipe(any<void*>(), 0)));

}  // namespace promises

#endif
