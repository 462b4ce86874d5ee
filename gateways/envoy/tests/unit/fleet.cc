// The tokens' states under cooldowns and state files, against a model of the reference.

#include "fleet.h"

#include <optional>

#include "world.h"

namespace {

using tokenpin::SlotStatus;
using tokenpin::State;

constexpr uint32_t kSlots = 5, kVacant = 2;

struct Model {
  struct Cooldown {
    State state;
    uint64_t until;
  };
  struct Token {
    SlotStatus declared;
    std::optional<Cooldown> cooldown;
  };
  std::vector<Token> tokens;

  static State Now(State state, uint64_t until, uint64_t now) {
    const bool over = until != 0 && now >= until;
    return over && state != TOKENPIN_STATE_VACANT ? TOKENPIN_STATE_UP : state;
  }

  // An ended cooldown counts as up until it is removed.
  static State StateOf(const Token& token, uint64_t now) {
    if (token.cooldown) return Now(token.cooldown->state, token.cooldown->until, now);
    return Now(static_cast<State>(token.declared.state), token.declared.until, now);
  }

  // Applies if the token is up, if it puts down over draining, or if it prolongs the same cooldown.
  // The declared status stays.
  bool Cool(uint32_t slot, State state, uint64_t until, uint64_t now) {
    Token& token = tokens[slot];
    const State is = StateOf(token, now);
    const bool worse =
        is == TOKENPIN_STATE_UP || (is == TOKENPIN_STATE_DRAINING && state == TOKENPIN_STATE_DOWN);
    const bool longer = token.cooldown && is == state && until > token.cooldown->until;
    if (!worse && !longer) return false;
    token.cooldown = {state, until};
    return true;
  }

  void Declare(const std::vector<SlotStatus>& declared) {
    for (uint32_t slot = 0; slot < tokens.size(); ++slot) {
      SlotStatus& is = tokens[slot].declared;
      const SlotStatus& shall = declared[slot];
      if (is.state == shall.state && is.weight == shall.weight && is.until == shall.until) continue;
      tokens[slot] = {shall, std::nullopt};
    }
  }

  void EndCooldowns(uint64_t now) {
    for (Token& token : tokens) {
      if (token.cooldown && now >= token.cooldown->until) token.cooldown.reset();
    }
  }
};

SlotStatus RandomStatus(Random& random, uint64_t now) {
  const uint64_t until = Chance(random, 50) ? 0 : now + Below(random, 40);
  return {until, static_cast<uint32_t>(Below(random, 3)) * 32768,
          static_cast<uint8_t>(Below(random, 3))};
}

std::vector<SlotStatus> RandomDeclaration(Random& random, uint64_t now,
                                          std::vector<SlotStatus> before) {
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    if (slot != kVacant && Chance(random, 40)) before[slot] = RandomStatus(random, now);
  }
  return before;
}

tokenpin::Affinity MakeAffinity(const std::vector<SlotStatus>& declared) {
  const std::string names[kSlots] = {"a", "b", "", "d", "e"};
  std::vector<tokenpin::SlotConfig> slots;
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    slots.push_back({tokenpin::bytes(names[slot]), declared[slot]});
  }
  const tokenpin::CookieKey key{1, TOKENPIN_ROLE_SIGN, {7}};
  tokenpin::Config config;
  config.placement_key[0] = 1;
  config.set_slots(slots);
  config.set_cookie_keys({&key, 1});
  return std::move(*tokenpin::Affinity::make(config));
}

void TestAgainstModel(Random& random) {
  uint64_t now = 1000;
  std::vector<SlotStatus> declared(kSlots, tokenpin::kUp);
  declared[kVacant] = {0, 0, TOKENPIN_STATE_VACANT};
  declared = RandomDeclaration(random, now, declared);
  const tokenpin::Affinity affinity = MakeAffinity(declared);
  tokenpin_envoy::Fleet fleet(affinity, declared);
  Model model;
  for (const SlotStatus& status : declared) model.tokens.push_back({status, std::nullopt});

  for (int step = 0; step < 300; ++step) {
    std::snprintf(check_context, sizeof check_context, "step %d", step);
    std::vector<State> before;
    for (const Model::Token& token : model.tokens) before.push_back(Model::StateOf(token, now));
    switch (Below(random, 8)) {
      case 0:
        declared = RandomDeclaration(random, now, declared);
        fleet.Declare(declared);
        model.Declare(declared);
        break;
      case 1:
        now += Below(random, 20);
        break;
      case 2:
      case 3:
        fleet.EndCooldowns(now);
        model.EndCooldowns(now);
        break;
      default: {
        uint32_t slot = static_cast<uint32_t>(Below(random, kSlots));
        if (slot == kVacant) ++slot;
        const auto state = Chance(random, 50) ? TOKENPIN_STATE_DRAINING : TOKENPIN_STATE_DOWN;
        const uint64_t until = now + 1 + Below(random, 30);
        const bool cooled = fleet.Cool(slot, state, until, now);
        CHECK(cooled == model.Cool(slot, state, until, now));
        CHECK(Model::StateOf(model.tokens[slot], now) >= before[slot]);
        break;
      }
    }
    for (uint32_t slot = 0; slot < kSlots; ++slot) {
      const auto live = affinity.get_slot(slot);
      const Model::Token& token = model.tokens[slot];
      CHECK(live && live->weight == token.declared.weight);
      // At this time, and at each time at which a state ends.
      for (uint64_t at = now; at < now + 45; ++at) {
        CHECK(Model::Now(static_cast<State>(live->state), live->until, at) ==
              Model::StateOf(token, at));
      }
    }
  }
}

// The last token can drain like any other, and then go down.
void TestTheLastOne() {
  snprintf(check_context, sizeof check_context, "the last one");
  std::vector<SlotStatus> declared(kSlots, tokenpin::kUp);
  declared[kVacant] = {0, 0, TOKENPIN_STATE_VACANT};
  declared[1].weight = 0;
  declared[3].state = TOKENPIN_STATE_DRAINING;
  const tokenpin::Affinity affinity = MakeAffinity(declared);
  tokenpin_envoy::Fleet fleet(affinity, declared);
  CHECK(fleet.Cool(0, TOKENPIN_STATE_DRAINING, 1030, 1000));
  CHECK(fleet.Cool(4, TOKENPIN_STATE_DRAINING, 1030, 1000));
  CHECK(affinity.get_slot(4)->state == TOKENPIN_STATE_DRAINING);
  CHECK(fleet.Cool(1, TOKENPIN_STATE_DRAINING, 1030, 1000));
  CHECK(fleet.Cool(4, TOKENPIN_STATE_DOWN, 1010, 1000));
  CHECK(fleet.Cool(3, TOKENPIN_STATE_DOWN, 1060, 1000));
  // A cooldown that is over counts as up before it is removed.
  CHECK(fleet.Cool(4, TOKENPIN_STATE_DRAINING, 1050, 1029));
  CHECK(!fleet.Cool(4, TOKENPIN_STATE_DRAINING, 1050, 1030));
  CHECK(fleet.Cool(0, TOKENPIN_STATE_DRAINING, 1050, 1030));
}

}  // namespace

int main(int argc, char** argv) {
  Random random(Seed(argc, argv));
  TestTheLastOne();
  for (int i = 0; i < 50; ++i) TestAgainstModel(random);
  return check_report();
}
