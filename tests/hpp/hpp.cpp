// tokenpin.hpp as its users call it. Compiled with and without exceptions.
#include <tokenpin.hpp>
// Not sorted: the header must not need or disturb the headers behind it.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "other.h"
#include "promises.h"
#include "world.h"

namespace {

using tokenpin::Affinity;
using tokenpin::bytes;
using tokenpin::Config;
using tokenpin::ConfigError;
using tokenpin::Decision;
using tokenpin::IdRing;
using tokenpin::KeyRing;
using tokenpin::name;
using tokenpin::Request;

constexpr std::string_view kName = "__Host-tokenpin";

// The world of the C tests, in the words of this header.
struct CppWorld {
  CppWorld() {
    CHECK(world_init(&c) == TOKENPIN_STATUS_OK);
    config.set_cookie_keys({c.keys, 2});
    config.set_slots({c.slots, kSlots});
    std::memcpy(config.placement_key, c.config.placement_key, sizeof config.placement_key);
  }
  Affinity make() const {
    ConfigError error;
    auto made = Affinity::make(config, &error);
    CHECK(made && made->handle() != nullptr && error.status == TOKENPIN_STATUS_OK);
    return std::move(*made);
  }
  World c{};
  Config config;
};

Request creating() {
  Request request;
  request.now = kNow;
  std::memset(request.entropy, 0x5a, sizeof request.entropy);
  request.set_group(TOKENPIN_GROUP_STATEFUL);
  return request;
}

bool all_zero(const void* memory, std::size_t size) {
  const auto* first = static_cast<const unsigned char*>(memory);
  return std::all_of(first, first + size, [](unsigned char byte) { return byte == 0; });
}

// A cookie is set, sent back, and stripped.
void a_request_and_its_response() {
  const CppWorld world;
  const Affinity affinity = world.make();
  Request request = creating();
  const auto first = affinity.decide(request);
  CHECK(first && first->has_slot() && first->slot() < kAccounts);
  CHECK(first->source() == TOKENPIN_SOURCE_MINTED && first->outcome() == TOKENPIN_OUTCOME_PLACED);
  CHECK(first->pin_state() == TOKENPIN_PIN_STATE_NONE && first->fields().cookie == 1);
  CHECK(first->verdict() == TOKENPIN_VERDICT_ABSENT &&
        first->key_reason() == TOKENPIN_KEY_REASON_ABSENT);

  const auto failed = affinity.finish(*first, 500);
  CHECK(failed && failed->kind == TOKENPIN_ANSWER_NOTHING && failed->text.view().empty());
  const auto answer = affinity.finish(*first, 201);
  CHECK(answer && answer->kind == TOKENPIN_ANSWER_SET_COOKIE);
  const std::string_view line = answer->text.view();
  CHECK(line.substr(0, kName.size() + 1) == "__Host-tokenpin=");
  CHECK(line.find("; Path=/") != line.npos && line.find("; Secure") != line.npos);
  CHECK(tokenpin::set_cookie_matches(line, kName) && !tokenpin::set_cookie_matches(line, "other"));

  const std::string field = "a=1; " + std::string(line.substr(0, line.find(';'))) + "; b=2";
  const tokenpin_bytes fields[] = {bytes("z=1"), bytes(field)};
  request.set_cookies(fields);
  const auto second = affinity.decide(request);
  CHECK(second && second->outcome() == TOKENPIN_OUTCOME_PINNED);
  CHECK(second->slot() == first->slot() && second->source() == TOKENPIN_SOURCE_COOKIE);
  CHECK(second->verdict() == TOKENPIN_VERDICT_VALID);
  const auto elsewhere = decide_elsewhere(affinity, request);
  CHECK(elsewhere && std::memcmp(&*elsewhere, &*second, sizeof(Decision)) == 0);

  std::string rest(field.size(), '\0');
  const auto left = tokenpin::cookie_strip(field, kName, rest);
  CHECK(left && std::string_view(rest).substr(0, *left) == "a=1; b=2");
  const auto small = tokenpin::cookie_strip(field, kName, {rest.data(), 3});
  CHECK(small.status == TOKENPIN_STATUS_BUFFER_TOO_SMALL && small.value == *left);
  CHECK(tokenpin::cookie_strip(field, kName, {field.empty() ? nullptr : rest.data(), 0}).status ==
        TOKENPIN_STATUS_BUFFER_TOO_SMALL);
}

void what_a_request_says_is_heard() {
  const CppWorld world;
  const Affinity affinity = world.make();
  Request request = creating();
  const std::vector<tokenpin_bytes> alice{bytes("alice")}, chat{bytes("chat-7")};
  request.set_consumers(alice, false);
  CHECK(affinity.decide(request)->key_reason() == TOKENPIN_KEY_REASON_UNTRUSTED);
  request.set_consumers(alice, true);
  const auto consumer = affinity.decide(request);
  CHECK(consumer && consumer->source() == TOKENPIN_SOURCE_CONSUMER);
  CHECK(consumer->key_reason() == TOKENPIN_KEY_REASON_OK);
  const std::uint32_t tried[] = {consumer->slot()};
  request.set_tried(tried);
  const auto retried = affinity.decide(request);
  CHECK(retried->outcome() == TOKENPIN_OUTCOME_RETRIED && retried->slot() != consumer->slot());
  request.set_tried({});
  request.set_consumers({}, true);
  request.set_sessions(chat);
  CHECK(affinity.decide(request)->source() == TOKENPIN_SOURCE_SESSION);
  request.set_group(TOKENPIN_GROUP_STATELESS);
  CHECK(affinity.decide(request)->source() == TOKENPIN_SOURCE_STATELESS);

  // A value in the carrier header, and its answer.
  Request carrier_value = creating();
  carrier_value.carrier = 1;
  const auto minted = affinity.decide(carrier_value);
  const auto answer = affinity.finish(*minted, 200);
  CHECK(answer->kind == TOKENPIN_ANSWER_CARRIER);
  CHECK(answer->text.view().size() == TOKENPIN_COOKIE_VALUE_LEN);
  carrier_value.carrier_value = bytes(answer->text.view());
  CHECK(affinity.decide(carrier_value)->outcome() == TOKENPIN_OUTCOME_PINNED);
}

void refusals_are_statuses_with_a_place() {
  CppWorld world;
  world.config.strategy = 99;
  ConfigError error;
  auto refused = Affinity::make(world.config, &error);
  CHECK(!refused && refused->handle() == nullptr);
  CHECK(refused.status == TOKENPIN_STATUS_BAD_ENUM && error.status == TOKENPIN_STATUS_BAD_ENUM);
  CHECK(error.field == TOKENPIN_FIELD_STRATEGY && name(error.field) == "strategy");
  CHECK(!Affinity::make(world.config));
  world.config.strategy = TOKENPIN_STRATEGY_JUMP;
  world.c.slots[2].identity = bytes("account-a");
  refused = Affinity::make(world.config, &error);
  CHECK(refused.status == TOKENPIN_STATUS_DUPLICATE_IDENTITY);
  CHECK(error.field == TOKENPIN_FIELD_SLOTS && error.index == 2);
  world.config.set_slots({});
  CHECK(Affinity::size_of(world.config, &error).status == TOKENPIN_STATUS_SLOT_COUNT);
  CHECK(error.status == TOKENPIN_STATUS_SLOT_COUNT);
  const tokenpin::Rule rules[] = {{bytes("jobs//x"), TOKENPIN_GROUP_STATEFUL, TOKENPIN_IDS_NONE}};
  CppWorld with_rules;
  with_rules.config.set_rules(rules);
  CHECK(Affinity::make(with_rules.config).status == TOKENPIN_STATUS_PATTERN);

  // Randomness is needed, and a failed decision has no slot.
  const Affinity affinity = CppWorld().make();
  Request request = creating();
  std::memset(request.entropy, 0, sizeof request.entropy);
  const auto decision = affinity.decide(request);
  CHECK(decision.status == TOKENPIN_STATUS_ENTROPY && name(decision.status) == "entropy");
  CHECK(!decision->has_slot() && decision->slot() == TOKENPIN_SLOT_NONE);
  CHECK(affinity.finish(*decision, 200).status == TOKENPIN_STATUS_BAD_DECISION);
  CHECK(affinity.finish(Decision(), 200).status == TOKENPIN_STATUS_BAD_DECISION);
  CHECK(affinity.find({}).status == TOKENPIN_STATUS_IDENTITY_EMPTY);
  CHECK(affinity.find({}).value == TOKENPIN_SLOT_NONE);
  CHECK(affinity.set_slot(99, tokenpin::kUp).status == TOKENPIN_STATUS_SLOT_RANGE);
  CHECK(affinity.get_slot(99).status == TOKENPIN_STATUS_SLOT_RANGE);
  CHECK(affinity.get_slot(99)->state == TOKENPIN_STATE_DOWN);
}

void slots_and_names_of_an_affinity() {
  CppWorld world;
  const Affinity affinity = world.make();
  CHECK(affinity.capacity().value == kSlots);
  CHECK(*affinity.find("account-b") == 1);
  CHECK(affinity.id_hint({}).status == TOKENPIN_STATUS_KEY_LENGTH);
  const auto one = affinity.id_hint("client-7"), other = affinity.id_hint("client-8");
  CHECK(one && other && std::memcmp(one.value, other.value, sizeof one.value) != 0);
  const auto replica = world.make().id_hint("client-7");
  CHECK(replica && std::memcmp(one.value, replica.value, sizeof one.value) == 0);
  CHECK(*affinity.find(std::string_view("account-bc").substr(0, 9)) == 1);
  CHECK(*affinity.find("account-bc") == TOKENPIN_SLOT_NONE);
  CHECK(affinity.get_slot(0)->weight == TOKENPIN_MAX_WEIGHT);
  CHECK(affinity.get_identity_hash(1).value == tokenpin::identity_hash("account-b").value);
  CHECK(affinity.get_identity_hash(kAccounts).value == 0);
  CHECK(affinity.get_identity_hash(99).status == TOKENPIN_STATUS_SLOT_RANGE);

  const auto before = affinity.live_fingerprint(kNow);
  CHECK(affinity.set_slot(1, {kNow + 60, 7, TOKENPIN_STATE_DOWN}));
  const auto slot = affinity.get_slot(1);
  CHECK(slot && slot->state == TOKENPIN_STATE_DOWN && slot->weight == 7);
  CHECK(slot->until == kNow + 60);
  CHECK(before && *affinity.live_fingerprint(kNow) != *before);
  CHECK(*affinity.live_fingerprint(kNow) != *affinity.live_fingerprint(kNow + 60));
  CHECK(affinity.fingerprint() && *affinity.fingerprint() == *world.make().fingerprint());

  CHECK(affinity.cookie_name()->view() == kName);
  const auto scoped = affinity.cookie_name("tenant");
  CHECK(scoped && scoped->view() == tokenpin::cookie_default_name("tenant")->view());
  CHECK(scoped->view() != kName && tokenpin::cookie_default_name()->view() == kName);
  CHECK(affinity.cookie_name(std::string(TOKENPIN_MAX_SCOPE + 1, 's')).status ==
        TOKENPIN_STATUS_SCOPE_LENGTH);
  CHECK(affinity.cookie_name(std::string(TOKENPIN_MAX_SCOPE + 1, 's'))->view().empty());
  const std::string longest(TOKENPIN_MAX_COOKIE_NAME, 'n');
  world.config.cookie_name = bytes(longest);
  CHECK(world.make().cookie_name()->view() == longest);
}

void handles_move_and_end_by_themselves() {
  const CppWorld world;
  Affinity first = world.make();
  Affinity second = std::move(first);
  CHECK(first.handle() == nullptr && second.capacity());
  CHECK(first.capacity().status == TOKENPIN_STATUS_NULL_POINTER);
  CHECK(first.decide(creating()).status == TOKENPIN_STATUS_NULL_POINTER);
  CHECK(first.cookie_name().status == TOKENPIN_STATUS_NULL_POINTER);
  first = std::move(second);
  CHECK(first.capacity() && second.handle() == nullptr);
  Affinity& itself = first;
  first = std::move(itself);
  CHECK(first.capacity());
  first = world.make();
  CHECK(first.capacity());
  first = Affinity();
  CHECK(first.handle() == nullptr);
  const auto shared = std::make_shared<const Affinity>(world.make());
  CHECK(shared->decide(creating()));
}

void memory_of_the_caller_is_used_and_wiped() {
  const CppWorld world;
  const auto size = Affinity::size_of(world.config);
  CHECK(size && *size > kSlots * sizeof(tokenpin::Slot));
  struct alignas(TOKENPIN_AFFINITY_ALIGN) Unit {
    unsigned char bytes[TOKENPIN_AFFINITY_ALIGN];
  };
  std::vector<Unit> memory(*size / sizeof(Unit) + 1);
  CHECK(Affinity::make_in(memory.data(), *size - 1, world.config).status ==
        TOKENPIN_STATUS_BUFFER_TOO_SMALL);
  {
    auto made = Affinity::make_in(memory.data(), *size, world.config);
    CHECK(made && made->handle() == static_cast<void*>(memory.data()));
    Affinity moved = std::move(made.value);
    CHECK(moved.decide(creating()) && !all_zero(memory.data(), *size));
    Affinity other = world.make();
    moved = std::move(other);
    CHECK(all_zero(memory.data(), *size) && moved.decide(creating()));
  }
  const auto again = Affinity::make_in(memory.data(), *size, world.config);
  CHECK(again && again->capacity());
}

// A reload: the affinity that decided finishes, though a newer configuration is in use.
void another_configuration_is_stale() {
  CppWorld world;
  auto current = std::make_shared<const Affinity>(world.make());
  const auto kept = current;
  const auto decision = kept->decide(creating());
  world.c.slots[0].identity = bytes("account-z");
  current = std::make_shared<const Affinity>(world.make());
  const auto stale = current->finish(*decision, 200);
  CHECK(stale.status == TOKENPIN_STATUS_STALE && stale->kind == TOKENPIN_ANSWER_NOTHING);
  CHECK(kept->finish(*decision, 200)->kind == TOKENPIN_ANSWER_SET_COOKIE);
}

void key_rings_sign_read_and_wipe() {
  CppWorld world;
  ConfigError error;
  auto made = KeyRing::make({world.c.keys, 2}, &world.config.placement_key, &error);
  CHECK(made);
  KeyRing ring = std::move(*made);
  tokenpin::Cookie cookie{};
  cookie.pin = *tokenpin::identity_hash("account-a");
  cookie.issued_at = cookie.refreshed_at = kNow;
  cookie.id[0] = 1;
  const auto value = ring.encode(kName, "scope", cookie);
  CHECK(value && value->view().size() == TOKENPIN_COOKIE_VALUE_LEN);
  const tokenpin::Limits limits{300, 3600, 0, 0};
  const auto decoded = ring.decode(kName, "scope", limits, kNow, value->view());
  CHECK(decoded && decoded->verdict == TOKENPIN_VERDICT_VALID);
  CHECK(decoded->cookie.pin == cookie.pin && decoded->cookie.id[0] == 1);
  const auto late = ring.decode(kName, "scope", limits, kNow + 3601, value->view());
  CHECK(late->verdict == TOKENPIN_VERDICT_EXPIRED_LIFE);
  const auto forged = ring.decode(kName, "other", limits, kNow, value->view());
  CHECK(forged && forged->verdict == TOKENPIN_VERDICT_BAD_TAG);
  CHECK(all_zero(&forged->cookie, sizeof forged->cookie));

  const tokenpin::Key bob = tokenpin::combined_key("bob", "chat"), eve = tokenpin::session_key("e");
  cookie.kind = TOKENPIN_KIND_COMBINED;
  CHECK(ring.encode(kName, "", cookie).status == TOKENPIN_STATUS_KEY_LENGTH);
  CHECK(ring.encode(kName, "", cookie)->view().empty());
  const auto bound = ring.encode(kName, "", cookie, &bob);
  CHECK(ring.decode(kName, "", limits, kNow, bound->view(), &bob)->verdict ==
        TOKENPIN_VERDICT_VALID);
  CHECK(ring.decode(kName, "", limits, kNow, bound->view(), &eve)->verdict ==
        TOKENPIN_VERDICT_BAD_TAG);
  CHECK(ring.decode(kName, "scope", limits, kNow, value->view(), &eve)->verdict ==
        TOKENPIN_VERDICT_OTHER_KEY);

  CHECK(made->encode(kName, "", cookie, &bob).status == TOKENPIN_STATUS_NOT_INITIALISED);
  KeyRing& itself = ring;
  ring = std::move(itself);
  KeyRing assigned;
  assigned = std::move(ring);
  CHECK(assigned.encode(kName, "", cookie, &bob));
  CHECK(ring.encode(kName, "", cookie, &bob).status == TOKENPIN_STATUS_NOT_INITIALISED);
  CHECK(all_zero(&ring, sizeof ring) && !all_zero(&assigned, sizeof assigned));

  alignas(KeyRing) unsigned char place[sizeof(KeyRing)];
  auto* placed = new (place) KeyRing(std::move(assigned));
  CHECK(!all_zero(place, sizeof place));
  placed->~KeyRing();
  touch(place);
  CHECK(all_zero(place, sizeof place));

  world.c.keys[1].id = world.c.keys[0].id;
  CHECK(KeyRing::make({world.c.keys, 2}, nullptr, &error).status ==
        TOKENPIN_STATUS_DUPLICATE_KEY_ID);
  CHECK(error.field == TOKENPIN_FIELD_COOKIE_KEYS && error.index == 1);
}

void a_configuration_wipes_its_key() {
  alignas(Config) unsigned char place[sizeof(Config)];
  auto* config = new (place) Config;
  CHECK(config->size == sizeof(tokenpin_config) && config->skew == 300);
  std::memset(config->placement_key, 0x77, sizeof config->placement_key);
  touch(place);
  config->~Config();
  touch(place);
  CHECK(std::count(place, place + sizeof place, 0x77) == 0);
}

void the_pure_functions() {
  CHECK(*tokenpin::jump(256, 1) == 0);
  CHECK(tokenpin::jump(1, 0).status == TOKENPIN_STATUS_BUCKET_COUNT);
  CHECK(tokenpin::identity_hash("").status == TOKENPIN_STATUS_IDENTITY_EMPTY);

  const tokenpin::Block id = {1};
  const tokenpin::Key keys[] = {tokenpin::anonymous_key(id), tokenpin::consumer_key("alice"),
                                tokenpin::session_key("alice"),
                                tokenpin::combined_key("alice", "alice")};
  const tokenpin::Block placement_key = {9};
  std::vector<std::uint64_t> hashes;
  for (const tokenpin::Key& key : keys) {
    hashes.push_back(*tokenpin::key_hash(placement_key, "scope", key));
  }
  CHECK(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[2] != hashes[3]);
  CHECK(hashes[1] != *tokenpin::key_hash(placement_key, "", keys[1]));
  CHECK(tokenpin::key_hash({}, "", keys[1]).status == TOKENPIN_STATUS_ZERO_SECRET);

  std::vector<tokenpin::Slot> slots{*tokenpin::make_slot("a", tokenpin::kUp),
                                    *tokenpin::make_vacant_slot(),
                                    *tokenpin::make_slot("c", tokenpin::kUp)};
  const auto refused = tokenpin::make_slot("", tokenpin::kUp);
  CHECK(refused.status == TOKENPIN_STATUS_IDENTITY_EMPTY);
  CHECK(tokenpin::get_slot(refused.value)->state == TOKENPIN_STATE_VACANT);
  const tokenpin::Filter all{};
  std::vector<std::uint32_t> selected(hashes.size());
  CHECK(tokenpin::select(TOKENPIN_STRATEGY_HIGRESS_FNV1A_MODULO, slots, all, 1).status ==
        TOKENPIN_STATUS_STRATEGY);
  const auto higress = [&](const tokenpin::Key& key) {
    return *tokenpin::select_higress(slots, all, 1, key);
  };
  CHECK(higress(keys[1]) == higress(keys[2]));  // Higress has no kinds.
  CHECK(higress(tokenpin::consumer_key("a")) == (0xe40c292c % 2 == 0 ? 0 : 2));
  CHECK(tokenpin::select_higress({}, all, 1, keys[1]).status == TOKENPIN_STATUS_SLOT_COUNT);
  for (const auto strategy : {TOKENPIN_STRATEGY_JUMP, TOKENPIN_STRATEGY_RENDEZVOUS}) {
    CHECK(tokenpin::select_batch(strategy, slots, all, hashes, selected));
    for (std::size_t i = 0; i < hashes.size(); i++) {
      const auto one = tokenpin::select(strategy, slots, all, hashes[i]);
      CHECK(one && *one == selected[i] && (*one == 0 || *one == 2));
    }
  }
  CHECK(tokenpin::select_batch(TOKENPIN_STRATEGY_JUMP, slots, all, hashes, selected));
  CHECK(tokenpin::select_batch(TOKENPIN_STRATEGY_JUMP, slots, all, hashes, {selected.data(), 3})
            .status == TOKENPIN_STATUS_BUFFER_TOO_SMALL);
  CHECK(tokenpin::set_slot(slots[0], {0, 1, TOKENPIN_STATE_DOWN}));
  CHECK(tokenpin::get_slot(slots[0])->state == TOKENPIN_STATE_DOWN);
  CHECK(tokenpin::set_slot(slots[1], tokenpin::kUp).status == TOKENPIN_STATUS_VACANT);
  CHECK(*tokenpin::select(TOKENPIN_STRATEGY_JUMP, slots, all, 1) == 2);
  CHECK(tokenpin::set_slot(slots[2], {0, 1, TOKENPIN_STATE_DOWN}));
  CHECK(*tokenpin::select(TOKENPIN_STRATEGY_JUMP, slots, all, 1) == TOKENPIN_SLOT_NONE);
  const auto none = tokenpin::select(TOKENPIN_STRATEGY_JUMP, {}, all, 1);
  CHECK(none.status == TOKENPIN_STATUS_SLOT_COUNT && none.value == TOKENPIN_SLOT_NONE);
}

void cookies_are_walked_and_written() {
  tokenpin::CookieValues values("a=1; b=2; a=\"3\"; a", "a");
  auto value = values.next();
  CHECK(value && *value == "1");
  value = values.next();
  CHECK(value && *value == "3");
  value = values.next();
  CHECK(value.status == TOKENPIN_STATUS_END && value->empty());
  CHECK(values.next().status == TOKENPIN_STATUS_END);

  tokenpin::Attributes attributes{};
  attributes.secure = 1;
  char line[64];
  const auto length = tokenpin::set_cookie_write("n", "v", attributes, 60, line);
  CHECK(length &&
        std::string_view(line, *length) == "n=v; Path=/; Max-Age=60; Secure; SameSite=Lax");
  const auto small = tokenpin::set_cookie_write("n", "v", attributes, 60, {line, 5});
  CHECK(small.status == TOKENPIN_STATUS_BUFFER_TOO_SMALL && *small == *length);
  CHECK(tokenpin::set_cookie_write("n", "a;b", attributes, 60, line).status ==
        TOKENPIN_STATUS_ATTRIBUTE);
  CHECK(tokenpin::set_cookie_matches("n=v; Path=/", "n") &&
        !tokenpin::set_cookie_matches("N=v", "n"));
}

void requests_are_classified() {
  const auto made = tokenpin::classify("POST", "/v1/responses?x");
  CHECK(made && made->group == TOKENPIN_GROUP_STATEFUL && !made->existing);
  CHECK(tokenpin::classify("GET", "/v1/responses/1")->existing);
  CHECK(tokenpin::classify("POST", "/v1/messages")->group == TOKENPIN_GROUP_STATELESS);
  CHECK(tokenpin::classify("POST", "/v1/messages", true)->group == TOKENPIN_GROUP_PROMPT_CACHE);
  CHECK(made->ids == TOKENPIN_IDS_ITEMS);
  const tokenpin::Rule rules[] = {{bytes("jobs"), TOKENPIN_GROUP_STATEFUL, TOKENPIN_IDS_BOTH}};
  CHECK(tokenpin::classify("POST", "/jobs", false, rules)->group == TOKENPIN_GROUP_STATEFUL);
  CHECK(tokenpin::classify("POST", "/files", false, rules)->group == TOKENPIN_GROUP_STATEFUL);
  CHECK(tokenpin::classify("POST", "/files", false, rules, true)->group ==
        TOKENPIN_GROUP_STATELESS);
  CppWorld world;
  world.config.set_rules(rules);
  const Affinity affinity = world.make();
  CHECK(affinity.classify("POST", "/jobs")->group == TOKENPIN_GROUP_STATEFUL);
  CHECK(affinity.classify("DELETE", "/jobs")->existing);
  CHECK(affinity.classify("POST", "/jobs")->ids == TOKENPIN_IDS_BOTH);
  CHECK(affinity.classify("POST", "/files")->group == TOKENPIN_GROUP_STATEFUL);
  CppWorld replacing;
  replacing.config.set_rules(rules);
  replacing.config.replace_rules = 1;
  CHECK(replacing.make().classify("POST", "/files")->group == TOKENPIN_GROUP_STATELESS);
}

void id_rings_seal_open_and_wipe() {
  CppWorld world;
  ConfigError error;
  auto made = IdRing::make({world.c.keys, 2}, &world.config.placement_key, &error);
  CHECK(made);
  IdRing ring = std::move(*made);
  const std::uint64_t pin = *tokenpin::identity_hash("account-a");
  const std::string_view native = "batch_0494a322-8b14-42a0-be43-71fc2ddb9af2";
  const auto sealed = ring.seal("scope", "alice", pin, native);
  CHECK(sealed && sealed->view().size() == 53 && sealed->view().substr(0, 6) == "batch_");
  const auto opened = ring.open("scope", "alice", sealed->view());
  CHECK(opened && opened->verdict == TOKENPIN_ID_VERDICT_SEALED && opened->id.view() == native);
  CHECK(opened->pin == pin && opened->key_id == 1);
  const auto other = ring.open("scope", "bob", sealed->view());
  CHECK(other && other->verdict == TOKENPIN_ID_VERDICT_BAD_SEAL && other->id.view().empty());
  CHECK(ring.open("scope", "alice", native)->verdict == TOKENPIN_ID_VERDICT_PLAIN);
  const auto none = ring.seal("scope", "alice", pin, "a b");
  CHECK(none.status == TOKENPIN_STATUS_ID && none->view().empty());
  CHECK(ring.seal("", "", pin, std::string(TOKENPIN_MAX_ID, 'a'))->view().size() ==
        TOKENPIN_MAX_SEALED_ID);
  const auto mark = ring.mark("scope", "alice", pin, "gAAAAABo");
  CHECK(mark && mark->view().size() == TOKENPIN_ID_MARK_LEN);
  const std::string marked = "gAAAAABo" + std::string(mark->view());
  const auto content = ring.open_mark("scope", "alice", marked);
  CHECK(content && content->verdict == TOKENPIN_ID_VERDICT_SEALED && content->pin == pin);
  CHECK(content->content == "gAAAAABo" && content->content.data() == marked.data());
  CHECK(ring.open_mark("scope", "bob", marked)->verdict == TOKENPIN_ID_VERDICT_BAD_SEAL);
  CHECK(ring.open_mark("scope", "bob", marked)->content.empty());
  CHECK(ring.mark("", "", pin, "").status == TOKENPIN_STATUS_ID);

  CHECK(made->seal("", "", pin, "a").status == TOKENPIN_STATUS_NOT_INITIALISED);
  alignas(IdRing) unsigned char place[sizeof(IdRing)];
  auto* placed = new (place) IdRing(std::move(ring));
  CHECK(all_zero(&ring, sizeof ring) && !all_zero(place, sizeof place));
  placed->~IdRing();
  touch(place);
  CHECK(all_zero(place, sizeof place));
  world.c.keys[1].id = world.c.keys[0].id;
  CHECK(IdRing::make({world.c.keys, 2}, nullptr, &error).status ==
        TOKENPIN_STATUS_DUPLICATE_KEY_ID);
  CHECK(error.field == TOKENPIN_FIELD_ID_KEYS && error.index == 1);
}

// A request with a sealed id goes to its account, and the response is sealed, regardless of the
// cuts of the bodies.
void ids_are_opened_followed_and_sealed() {
  CppWorld world;
  world.config.id_mode = TOKENPIN_MODE_SEAL;
  world.config.id_owner = TOKENPIN_ID_OWNER_CONSUMER;
  world.config.set_id_keys({world.c.keys, 2});
  const tokenpin::IdField fields[] = {{bytes("my_ref"), TOKENPIN_KEY_KIND_ID}};
  const tokenpin::Bytes prefixes[] = {bytes("mine_")}, collections[] = {bytes("things")};
  world.config.set_id_fields(fields);
  world.config.set_id_prefixes(prefixes);
  world.config.set_id_collections(collections);
  const Affinity affinity = world.make();
  auto ring = IdRing::make({world.c.keys, 2});
  Request request = creating();
  const tokenpin::Bytes alice = bytes("alice");
  request.set_consumers({&alice, 1}, true);
  tokenpin::IdUse use;
  const auto owner = affinity.id_owner(request);
  CHECK(owner && *owner == "alice");
  use.owner = bytes(*owner);
  use.ids = affinity.classify("POST", "/v1/responses")->ids;
  CHECK(use.ids == TOKENPIN_IDS_ITEMS);
  const std::uint32_t slot = 1;
  const std::uint64_t pin = *affinity.get_identity_hash(slot);
  const auto sealed = ring->seal("", "alice", pin, "resp_1");

  tokenpin::IdSummary summary;
  char target[100];
  const std::string wanted = "/v1/things/" + std::string(sealed->view()) + "?after=x";
  const auto length = affinity.open_target(use, summary, wanted, target);
  CHECK(length && std::string_view(target, *length) == "/v1/things/resp_1?after=x");
  const auto small = affinity.open_target(use, summary, wanted, {target, 5});
  CHECK(small.status == TOKENPIN_STATUS_BUFFER_TOO_SMALL && *small == wanted.size());

  const std::string body = "{\"previous_response_id\":\"" + std::string(sealed->view()) +
                           "\",\"my_ref\":\"mine_1\",\"input\":\"text that stays\"}";
  const std::string native =
      "{\"previous_response_id\":\"resp_1\",\"my_ref\":\"mine_1\",\"input\":\"text that stays\"}";
  std::string out;
  const auto sink = [&](std::string_view part) { out += part; };
  for (std::size_t cut = 0; cut <= body.size(); cut++) {
    tokenpin::IdSummary its;
    tokenpin::IdOpener opener;
    out.clear();
    const std::string_view whole = body;
    CHECK(affinity.open(use, its, opener, whole.substr(0, cut), sink));
    const auto rest = affinity.open(use, its, opener, whole.substr(cut), sink);
    const auto end = affinity.open_end(use, its, opener, sink);
    CHECK(rest && end && end->changed == 1 && end->unexpected == 0 && out == native);
    CHECK(its.report().opened == 1 && its.report().existing == 1);
  }
  std::string place = body;
  const auto opened = affinity.open_in_place(use, summary, place);
  CHECK(opened && place.substr(0, opened->size) == native && opened->unexpected == 0);

  request.set_ids(summary);
  const auto decision = affinity.decide(request);
  CHECK(decision && decision->slot() == slot && decision->source() == TOKENPIN_SOURCE_ID);
  CHECK(decision->id_verdict() == TOKENPIN_ID_VERDICT_SEALED);
  CHECK(decision->refusal().refusal == TOKENPIN_REFUSAL_NONE);
  CHECK(decision->refusal().status == 200);
  CHECK(affinity.id_key(decision->id_keys()[0]) &&
        *affinity.id_key(decision->id_keys()[0]) == "path");
  CHECK(affinity.id_key(255).status == TOKENPIN_STATUS_BAD_ENUM);
  CHECK(affinity.set_slot(slot, {0, TOKENPIN_MAX_WEIGHT, TOKENPIN_STATE_DOWN}));
  const auto refused = affinity.decide(request)->refusal();
  CHECK(refused.status == 503 && name(refused.refusal) == "session_unavailable");
  CHECK(Decision().refusal().status == 503);

  const std::string events = "data: {\"response\":{\"id\":\"resp_1\"}}\n\n";
  const std::string expected =
      "data: {\"response\":{\"id\":\"" + std::string(sealed->view()) + "\"}}\n\n";
  for (std::size_t cut = 0; cut <= events.size(); cut++) {
    tokenpin::IdSealer sealer(TOKENPIN_FRAMING_EVENTS);
    out.clear();
    const std::string_view whole = events;
    CHECK(affinity.seal(use, {}, slot, sealer, whole.substr(0, cut), sink));
    CHECK(affinity.seal(use, {}, slot, sealer, whole.substr(cut), sink));
    const auto end = affinity.seal_end(use, {}, slot, sealer, sink);
    CHECK(end && end->changed == 1 && out == expected);
  }
  // The client sent it in a path of this request, sealed as the mode seals it, so it is sealed
  // again.
  tokenpin::IdSealer sealer(TOKENPIN_FRAMING_JSON);
  const std::string_view json = "{\"id\":\"resp_1\"}";
  const auto piece = affinity.seal_step(use, summary, slot, sealer, json);
  CHECK(piece && piece->pass.data() == json.data() && piece->pass == "{\"id\":\"");
  CHECK(piece->put == sealed->view() && piece->taken == json.size() - 2);
  CHECK(piece->rewritten.changed == 1);
  CHECK(affinity.seal_end(use, summary, slot, sealer)->put.empty());
  // If a chunk ends within an id, the id is held back.
  tokenpin::IdOpener holding;
  const auto held = affinity.open_step(use, summary, holding, "{\"file_id\":\"file-");
  CHECK(held && held->pass == "{\"file_id\":\"" && held->put.empty());
  CHECK(affinity.open_end(use, summary, holding)->put == "file-");
  const auto location = affinity.seal_target(use, {}, slot, "/v1/things/resp_1", target);
  CHECK(location &&
        std::string_view(target, *location) == "/v1/things/" + std::string(sealed->view()));
  CHECK(affinity.seal_step(use, {}, kAccounts, sealer, "").status == TOKENPIN_STATUS_VACANT);
  use.set_mode(TOKENPIN_MODE_OFF);
  CHECK(affinity.seal_target(use, {}, slot, "/v1/things/resp_1", target).value == 17);
  CHECK(Affinity().open_end(use, summary, holding).status == TOKENPIN_STATUS_NULL_POINTER);
  CHECK(Affinity().seal(use, {}, slot, sealer, "x", sink).status == TOKENPIN_STATUS_NULL_POINTER);
}

// One value of each enum that has another name, or none, in the others.
void every_enum_has_names() {
  CHECK(name(TOKENPIN_STATUS_STALE) == "stale");
  CHECK(name(TOKENPIN_FIELD_PARTITIONED) == "partitioned");
  CHECK(name(TOKENPIN_KIND_COMBINED) == "combined");
  CHECK(name(TOKENPIN_STATE_VACANT) == "vacant");
  CHECK(name(TOKENPIN_STRATEGY_HIGRESS_FNV1A_MODULO) == "higress_fnv1a_modulo");
  CHECK(name(TOKENPIN_ROLE_RETIRE) == "retire");
  CHECK(name(TOKENPIN_VERDICT_REFRESH_DUE) == "refresh_due");
  CHECK(name(TOKENPIN_SAME_SITE_STRICT) == "strict");
  CHECK(name(TOKENPIN_GROUP_PROMPT_CACHE) == "prompt_cache");
  CHECK(name(TOKENPIN_POLICY_FALLBACK_AND_UPDATE) == "fallback_and_update");
  CHECK(name(TOKENPIN_SOURCE_MINTED) == "minted");
  CHECK(name(TOKENPIN_OUTCOME_RETRIED) == "retried");
  CHECK(name(TOKENPIN_PIN_STATE_ELSEWHERE) == "elsewhere");
  CHECK(name(TOKENPIN_KEY_REASON_SEVERAL_VALUES) == "several_values");
  CHECK(name(TOKENPIN_ANSWER_CARRIER) == "carrier");
  CHECK(name(TOKENPIN_ID_VERDICT_BAD_SEAL) == "bad_seal");
  CHECK(name(TOKENPIN_IDS_ITEMS) == "items");
  CHECK(name(TOKENPIN_MODE_STRICT) == "strict");
  CHECK(name(TOKENPIN_KEY_KIND_OPAQUE_OBJECT) == "opaque_object");
  CHECK(name(TOKENPIN_ID_OWNER_CONSUMER) == "consumer");
  CHECK(name(TOKENPIN_FOREIGN_SEALS_REFUSE) == "refuse");
  CHECK(name(TOKENPIN_FRAMING_EVENTS) == "events");
  CHECK(name(TOKENPIN_REFUSAL_CONFLICTING_ACCOUNTS) == "conflicting_accounts");
  CHECK(name(static_cast<tokenpin::State>(99)) == "unknown");
  // There are no more enums.
  tokenpin_bytes none{};
  CHECK(tokenpin_enum_name(TOKENPIN_ENUM_REFUSAL + 1, 0, &none) == TOKENPIN_STATUS_BAD_ENUM);
  CHECK(tokenpin::version() == tokenpin_version() && tokenpin::abi_matches());
  // Every status that has a name has a sentence, and no other number has.
  for (int32_t number = -3; number < 300; number++) {
    tokenpin_bytes known;
    const bool named =
        tokenpin_enum_name(TOKENPIN_ENUM_STATUS, number, &known) == TOKENPIN_STATUS_OK;
    CHECK(named != tokenpin::describe(static_cast<tokenpin::Status>(number)).empty());
  }
  CHECK(tokenpin::describe(TOKENPIN_STATUS_WEIGHT) == "The weight is over 65536.");
}

void the_clock_is_the_wall_clock() {
  const auto before = static_cast<std::uint64_t>(std::time(nullptr));
  const std::uint64_t now = tokenpin::unix_now();
  CHECK(before <= now && now <= before + 60);
}

using Drawn = std::array<std::uint8_t, 16>;

// All zero if there is no entropy, and so never new.
Drawn draw() {
  tokenpin::Block block = {};
  Drawn drawn{};
  if (tokenpin::fill_entropy(block)) std::copy_n(block, drawn.size(), drawn.begin());
  return drawn;
}

// Equal by chance with a probability below 2^-100.
void no_entropy_comes_twice() {
  std::vector<Drawn> drawn(1000);
  std::thread other([&] { std::generate_n(drawn.begin(), 500, draw); });
  std::generate_n(drawn.begin() + 500, 500, draw);
  other.join();
  std::sort(drawn.begin(), drawn.end());
  CHECK(std::adjacent_find(drawn.begin(), drawn.end()) == drawn.end());
  CHECK(drawn[0] != Drawn{});

  std::vector<unsigned char> large(1000), again(1000);
  CHECK(tokenpin::random_bytes(large.data(), large.size()));
  CHECK(tokenpin::random_bytes(again.data(), again.size()) && large != again);
  CHECK(!all_zero(large.data() + 984, 16));
  CHECK(tokenpin::random_bytes(nullptr, 0));
}

// A child must not draw the same bytes as its parent.
void a_fork_shares_no_entropy() {
  (void)draw();  // The pool has some bytes left now.
  int ends[2];
  CHECK(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const Drawn theirs = draw();
    _exit(write(ends[1], theirs.data(), theirs.size()) != 16);
  }
  const Drawn ours = draw();
  Drawn theirs{};
  CHECK(read(ends[0], theirs.data(), theirs.size()) == 16);
  CHECK(theirs != ours && theirs != Drawn{});
  close(ends[0]);
  close(ends[1]);
  int status = 1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

void inline_functions_are_one_in_the_program() {
  CHECK(address_elsewhere() == reinterpret_cast<const void*>(&tokenpin::fill_entropy));
}

// While one thread switches slots, the others decide. `account-b` is down throughout, `account-a`
// up.
void no_thread_ever_gets_a_slot_that_is_down() {
  constexpr int kThreads = 4, kDecisions = 20000, kSwitches = 1000;
  const CppWorld world;
  const Affinity affinity = world.make();
  const tokenpin::SlotStatus down_status{0, TOKENPIN_MAX_WEIGHT, TOKENPIN_STATE_DOWN};
  CHECK(affinity.set_slot(1, down_status));
  std::atomic<bool> over{false};
  std::atomic<long> switches{0}, decided{0}, down{0}, wrong{0};
  std::atomic<long> served[kSlots] = {};

  const auto decide = [&](int thread) {
    for (int i = 0; i < kDecisions || switches < kSwitches; i++) {
      Request request = creating();
      std::memcpy(request.entropy, &i, sizeof i);
      request.entropy[15] = static_cast<std::uint8_t>(thread + 1);
      const std::string consumer_name = "consumer-" + std::to_string(i);
      const tokenpin_bytes consumers[] = {bytes(consumer_name)};
      if (i % 2 == 0) request.set_consumers(consumers, true);
      Decision decision = *affinity.decide(request);
      if (decision.fields().cookie == 1) {
        const auto answer = affinity.finish(decision, 200);
        const tokenpin_bytes cookies[] = {bytes(answer->text.view())};
        request.set_cookies(cookies);
        decision = *affinity.decide(request);
        wrong += decision.source() != TOKENPIN_SOURCE_COOKIE;
      }
      decided++;
      down += decision.slot() == 1;
      if (decision.slot() < kAccounts) {
        served[decision.slot()]++;
      } else {
        wrong++;
      }
    }
  };
  std::thread switcher([&] {
    while (!over) {
      wrong += !affinity.set_slot(2, switches % 2 == 0 ? down_status : tokenpin::kUp);
      switches++;
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> deciders;
  for (int i = 0; i < kThreads; i++) deciders.emplace_back(decide, i);
  for (std::thread& decider : deciders) decider.join();
  over = true;
  switcher.join();
  CHECK(down == 0);
  CHECK(wrong == 0);
  CHECK(served[0] > 0 && served[2] > 0);
  CHECK(served[0] + served[2] == decided);
}

}  // namespace

int main() {
  a_request_and_its_response();
  what_a_request_says_is_heard();
  refusals_are_statuses_with_a_place();
  slots_and_names_of_an_affinity();
  handles_move_and_end_by_themselves();
  memory_of_the_caller_is_used_and_wiped();
  another_configuration_is_stale();
  key_rings_sign_read_and_wipe();
  a_configuration_wipes_its_key();
  the_pure_functions();
  cookies_are_walked_and_written();
  requests_are_classified();
  id_rings_seal_open_and_wipe();
  ids_are_opened_followed_and_sealed();
  every_enum_has_names();
  the_clock_is_the_wall_clock();
  no_entropy_comes_twice();
  a_fork_shares_no_entropy();
  inline_functions_are_one_in_the_program();
  no_thread_ever_gets_a_slot_that_is_down();
  return check_report();
}
