//! A client that chooses its keys must not be able to choose its slot. Without the placement key it
//! cannot; under the Higress strategy, which has none, it can.

use tokenpin::{
    Affinity, Config, CookieKey, Group, KeyInput, Request, Role, Secret, Slot, SlotStatus, Strategy,
};

use tokenpin_test_support::chi_square::Fit;
use tokenpin_test_support::random::Random;

const SLOTS: usize = 10;
/// The number of keys aimed at each slot.
const KEYS: usize = 1000;

fn gateway(strategy: Strategy, placement_key: [u8; 16]) -> Affinity<'static> {
    let keys = vec![CookieKey { id: 1, role: Role::Sign, secret: Secret::new([1; 16]) }].leak();
    let slot = |i: usize| Slot::new(format!("account-{i}").as_bytes(), SlotStatus::UP).unwrap();
    let config = Config { strategy, ..Config::new(Secret::new(placement_key), keys) };
    let index = vec![0; Affinity::index_len(SLOTS)].leak();
    Affinity::new(&config, (0..SLOTS).map(slot).collect::<Vec<_>>().leak(), index).unwrap()
}

/// Returns the slot that serves a request with this session key.
fn serving(affinity: &Affinity<'_>, key: &[u8]) -> usize {
    let session = KeyInput::new([key]);
    let request = Request { group: Some(Group::Stateful), session, ..Request::default() };
    affinity.decide(&request, []).unwrap().slot.unwrap() as usize
}

fn random_key(random: &mut Random) -> [u8; 16] {
    (u128::from(random.word()) << 64 | u128::from(random.word())).to_le_bytes()
}

/// Returns session keys that a gateway with a guessed placement key gives to each slot.
fn aimed(random: &mut Random, guessed: &Affinity<'_>) -> Vec<Vec<[u8; 16]>> {
    let mut aimed = vec![Vec::new(); SLOTS];
    while aimed.iter().any(|keys| keys.len() < KEYS) {
        let key = random_key(random);
        let keys: &mut Vec<_> = &mut aimed[serving(guessed, &key)];
        if keys.len() < KEYS {
            keys.push(key);
        }
    }
    aimed
}

/// Returns how far the slots that serve these keys are from even. Every slot expects 100 keys, for
/// which chi-square is a good approximation.
fn evenness(affinity: &Affinity<'_>, keys: &[[u8; 16]]) -> Fit {
    let mut counts = [0.0; SLOTS];
    for key in keys {
        counts[serving(affinity, key)] += 1.0;
    }
    let expected = keys.len() as f64 / SLOTS as f64;
    let cell = |count: f64| (count - expected) * (count - expected) / expected;
    Fit { statistic: counts.into_iter().map(cell).sum(), freedom: SLOTS as f64 - 1.0 }
}

/// By the level of `chi_square.rs`, a false alarm has a probability below 1e-9 for the 40 tests.
fn is_not_steerable(strategy: Strategy) {
    let mut random = Random::new(strategy.name());
    let guess = random_key(&mut random);
    // The nearest miss: a guess that is wrong in one bit.
    let mut near = guess;
    near[7] ^= 0x10;
    let guessed = gateway(strategy, guess);
    let aimed = aimed(&mut random, &guessed);
    for (what, real) in [("another key", random_key(&mut random)), ("a bit off", near)] {
        let real = gateway(strategy, real);
        let mut worst = 0.0_f64;
        for (slot, keys) in aimed.iter().enumerate() {
            assert!(evenness(&guessed, keys).rejects(), "aimed where the guess is right");
            let fit = evenness(&real, keys);
            worst = worst.max(fit.statistic);
            assert!(!fit.rejects(), "{}, {what}, slot {slot}: {fit:?}", strategy.name());
        }
        println!("{}, {what}: chi-square {worst:.1} at most", strategy.name());
    }
}

#[test]
fn jump_is_not_steerable_without_the_placement_key() {
    is_not_steerable(Strategy::Jump);
}

#[test]
fn rendezvous_is_not_steerable_without_the_placement_key() {
    is_not_steerable(Strategy::Rendezvous);
}

/// The exception: every key aimed at a slot gets there, with any placement key.
#[test]
fn higress_fnv1a_modulo_is_steerable_by_anyone() {
    let strategy = Strategy::HigressFnv1aModulo;
    let mut random = Random::new(strategy.name());
    let guessed = gateway(strategy, random_key(&mut random));
    let real = gateway(strategy, random_key(&mut random));
    for (slot, keys) in aimed(&mut random, &guessed).iter().enumerate() {
        assert!(keys.iter().all(|key| serving(&real, key) == slot));
    }
}
