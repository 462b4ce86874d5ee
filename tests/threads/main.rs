//! States that change while other threads decide. Natively it is a smoke test. Miri (whose
//! scheduler and weak memory are seeded) and `ThreadSanitizer` run it to find races.
#![cfg(not(target_family = "wasm"))]
#![deny(clippy::pedantic)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokenpin::ids::{Ids, Mode, Opener, Opening, Summary};
use tokenpin::{
    Affinity, Config, CookieKey, Filter, Group, IdConfig, MAX_WEIGHT, Outcome, PinState, Request,
    Role, Secret, Slot, SlotStatus, State, Strategy, mix, select, select_batch,
};
use tokenpin_test_support::sample::{SAMPLED, cases};

const NOW: u64 = 1_800_000_000;
const UP: u32 = 0;
const DOWN: u32 = 1;
const TORN: u32 = 2;

const fn status(state: State, weight: u32, until: u64) -> SlotStatus {
    SlotStatus { state, weight, until }
}

type Statuses = [[SlotStatus; 2]; 5];

/// The two statuses of each slot. Slot 0 is up throughout, slot 1 down. Neither status of slot 2
/// serves a newcomer; the state of one with the weight or the until of the other would. No slot
/// serves in both statuses with different weights: a slot is read twice, and could be refused with
/// one weight and lose with the other.
const STATUSES: Statuses = [
    [SlotStatus::UP; 2],
    [status(State::Down, MAX_WEIGHT, 0); 2],
    [status(State::Up, 0, NOW - 1), status(State::Down, MAX_WEIGHT, 0)],
    [status(State::Down, MAX_WEIGHT, 0), status(State::Up, 32_768, 0)],
    [status(State::Draining, MAX_WEIGHT, NOW), status(State::Draining, 1, NOW + 1)],
];

/// The same statuses without a slot that is up, so that newcomers go to draining ones.
const NOTHING_UP: Statuses = [
    [status(State::Draining, MAX_WEIGHT, 0); 2],
    [status(State::Down, MAX_WEIGHT, 0); 2],
    [status(State::Draining, 0, NOW + 1), status(State::Down, MAX_WEIGHT, 0)],
    [status(State::Down, MAX_WEIGHT, 0), status(State::Draining, 32_768, 0)],
    [status(State::Draining, MAX_WEIGHT, NOW + 1), status(State::Draining, 0, 0)],
];

/// Returns the choices for the slots that have two different statuses, which the first two do not.
fn choices() -> impl Iterator<Item = usize> {
    (0..1 << STATUSES.len()).step_by(4)
}

/// Returns `count` slots, with the status of slot `i` chosen by bit `i`. Those behind the statuses
/// are down.
fn slots(statuses: &Statuses, count: usize, choice: usize) -> Vec<Slot> {
    let slot = |i: usize| {
        let down = status(State::Down, MAX_WEIGHT, 0);
        let status = statuses.get(i).map_or(down, |statuses| statuses[choice >> i & 1]);
        Slot::new(&[b'a', u8::try_from(i).unwrap()], status).unwrap()
    };
    (0..count).map(slot).collect()
}

fn request(key: u64) -> Request<'static> {
    let id = (u128::from(mix(key)) << 64 | u128::from(key + 1)).to_le_bytes();
    Request { group: Some(Group::Stateful), now: NOW, entropy: id, ..Request::default() }
}

/// The number of keys from which `select_batch` works in batches.
const BATCH: usize = 20;
const ANSWERS: usize = 3 + BATCH;

/// Returns the answers of `decide` and both selections for one key, and of a batch for this and the
/// next keys.
fn answers(affinity: &Affinity<'_>, slots: &[Slot], key: u64) -> [u32; ANSWERS] {
    let decision = affinity.decide(&request(key), []).unwrap();
    let filter = Filter { now: NOW, anonymous: true, ..Filter::default() };
    let one = |strategy| select(strategy, slots, &filter, mix(key)).unwrap();
    let mut answers = [None; ANSWERS];
    answers[0] = decision.slot;
    answers[1] = one(Strategy::Jump);
    answers[2] = one(Strategy::Rendezvous);
    let hashes: [u64; BATCH] = std::array::from_fn(|i| mix(key + i as u64));
    select_batch(Strategy::Jump, slots, &filter, &hashes, &mut answers[3..]).unwrap();
    answers.map(Option::unwrap)
}

fn with_affinity<T>(slots: &[Slot], work: impl FnOnce(&Affinity<'_>) -> T) -> T {
    let keys = [CookieKey { id: 1, role: Role::Sign, secret: Secret::new([1; 16]) }];
    let config = Config::new(Secret::new([2; 16]), &keys);
    let config = Config { ids: IdConfig { mode: Mode::Seal, ..config.ids }, ..config };
    let mut index = vec![0; Affinity::index_len(slots.len())];
    work(&Affinity::new(&config, slots, &mut index).unwrap())
}

#[test]
fn every_answer_is_one_for_statuses_that_were_there() {
    every_answer_is_allowed(&STATUSES, STATUSES.len());
}

/// With more than 64 slots the probes behind home are found in another way.
#[test]
fn every_answer_of_a_large_fleet_is_one_for_statuses_that_were_there() {
    every_answer_is_allowed(&STATUSES, 70);
}

#[test]
fn every_last_resort_is_one_for_statuses_that_were_there() {
    every_answer_is_allowed(&NOTHING_UP, NOTHING_UP.len());
}

/// Checks that every answer is one for statuses that the slots had. So no answer is the slot that
/// is down throughout, or the one that neither of its statuses lets serve.
fn every_answer_is_allowed(statuses: &Statuses, count: usize) {
    // Miri takes seconds for a key of the large fleet.
    let (keys, rounds) = match count {
        5 => (cases(100, 3), cases(150, 2)),
        _ => (cases(100, 1), cases(150, 1)),
    };
    let mut allowed = vec![[0_u32; ANSWERS]; keys];
    for choice in choices() {
        let slots = slots(statuses, count, choice);
        with_affinity(&slots, |affinity| {
            for (key, allowed) in (0..).zip(&mut allowed) {
                for (slot, allowed) in answers(affinity, &slots, key).into_iter().zip(allowed) {
                    // Only the first slots ever serve, so 32 bits hold them.
                    *allowed |= 1 << slot;
                }
            }
        });
    }
    for sets in allowed.iter().flatten() {
        assert_eq!(sets & (1 << DOWN | 1 << TORN), 0);
    }
    let open = allowed.iter().flatten().filter(|set| set.count_ones() > 1).count();
    assert!(open > 0, "no key's answer depends on a status");
    assert!(allowed.iter().flatten().any(|set| set & 1 << UP != 0));

    let slots = slots(statuses, count, 0);
    with_affinity(&slots, |affinity| {
        let done = &AtomicBool::new(false);
        let (slots, allowed) = (&slots, &allowed);
        thread::scope(|scope| {
            // Two writers change the same slots, in different orders.
            for writer in 0..2 {
                scope.spawn(move || {
                    let mut turn = writer;
                    while !done.load(Ordering::Relaxed) {
                        turn = mix(turn + 1);
                        for slot in 2..5_u32 {
                            let choice = usize::from(turn >> slot & 1 == 1);
                            let status = statuses[slot as usize][choice];
                            affinity.set_slot(slot, status).unwrap();
                        }
                        thread::yield_now();
                    }
                });
            }
            let reader = || {
                for _ in 0..rounds {
                    for (key, allowed) in (0..).zip(allowed) {
                        let answers = answers(affinity, slots, key);
                        for (slot, allowed) in answers.into_iter().zip(allowed) {
                            assert!(
                                slot < 32 && allowed >> slot & 1 == 1,
                                "key {key}: slot {slot}, {allowed:b}"
                            );
                        }
                    }
                }
            };
            let readers = [scope.spawn(reader), scope.spawn(reader)];
            let results = readers.map(thread::ScopedJoinHandle::join);
            done.store(true, Ordering::Relaxed);
            assert!(results.iter().all(Result::is_ok));
        });
    });
}

/// Returns the summary of a request with an id of this slot's account.
fn names(affinity: &Affinity<'_>, slot: u32) -> Summary {
    let rules = affinity.id_rules(b"", b"", None).unwrap();
    let id = rules.sealer.seal(b"resp_1", affinity.pin(slot).unwrap()).unwrap();
    let mut body = [b"{\"previous_response_id\":\"", id.as_bytes(), b"\"}"].concat();
    let mut ids = Summary::new();
    let opening = Opening { rules: &rules, known: &|pin| affinity.knows(pin) };
    Opener::new(Ids::Items).open_in_place(&opening, &mut ids, &mut body);
    ids
}

/// An id is answered by its account, or by none while that is down; and the reported state is one
/// that it had.
#[test]
fn while_states_change_an_id_goes_to_its_account_or_nowhere() {
    let rounds = cases(5_000, 4) as u64;
    let slots = slots(&STATUSES, STATUSES.len(), 0);
    with_affinity(&slots, |affinity| {
        let ids: Vec<_> = (0..5).map(|slot| (slot, names(affinity, slot))).collect();
        let (done, seen) = (&AtomicBool::new(false), [const { AtomicBool::new(false) }; 2]);
        let both = || seen.iter().all(|seen| seen.load(Ordering::Relaxed));
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut turn = 0;
                while !done.load(Ordering::Relaxed) {
                    turn = mix(turn + 1);
                    for slot in 2..5_u32 {
                        let choice = usize::from(turn >> slot & 1 == 1);
                        affinity.set_slot(slot, STATUSES[slot as usize][choice]).unwrap();
                    }
                    thread::yield_now();
                }
            });
            let reader = || {
                // The writer may get its first turn late.
                for round in (0..1 << 24).take_while(|&round| round < rounds || !SAMPLED && !both())
                {
                    for (slot, ids) in &ids {
                        let request = Request { ids: Some(ids), ..request(round) };
                        let decision = affinity.decide(&request, []).unwrap();
                        let down = decision.pin_state == PinState::Down;
                        let expected = if down { Outcome::Rejected } else { Outcome::Pinned };
                        assert_eq!(decision.outcome, expected);
                        assert_eq!(decision.slot, Some(*slot).filter(|_| !down));
                        match *slot {
                            UP => assert!(!down),
                            DOWN => assert!(down),
                            3 => seen[usize::from(down)].store(true, Ordering::Relaxed),
                            4 => assert!(!down, "it drains, or is up again"),
                            _ => {}
                        }
                    }
                }
            };
            let readers = [scope.spawn(reader), scope.spawn(reader)];
            let results = readers.map(thread::ScopedJoinHandle::join);
            done.store(true, Ordering::Relaxed);
            assert!(results.iter().all(Result::is_ok));
        });
        assert!(SAMPLED || both());
    });
}
