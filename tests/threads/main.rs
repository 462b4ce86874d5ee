//! States that change while other threads decide. Natively it is a smoke test; Miri (whose scheduler and
//! weak memory are seeded) and `ThreadSanitizer` run it for what they see.
#![cfg(not(target_family = "wasm"))]
#![deny(clippy::pedantic)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokenpin::{
    Affinity, Config, CookieKey, Filter, Group, MAX_WEIGHT, Request, Role, Secret, Slot,
    SlotStatus, State, Strategy, mix, select,
};

const NOW: u64 = 1_800_000_000;
const UP: u32 = 0;
const DOWN: u32 = 1;
const TORN: u32 = 2;

const fn status(state: State, weight: u32, until: u64) -> SlotStatus {
    SlotStatus { state, weight, until }
}

/// The two statuses of each slot. Slot 0 is up throughout, slot 1 down. Neither status of slot 2 serves
/// a newcomer; the state of one with the weight or the until of the other would.
const STATUSES: [[SlotStatus; 2]; 5] = [
    [SlotStatus::UP; 2],
    [status(State::Down, MAX_WEIGHT, 0); 2],
    [status(State::Up, 0, NOW - 1), status(State::Down, MAX_WEIGHT, 0)],
    [status(State::Down, MAX_WEIGHT, 0), status(State::Up, 32_768, 0)],
    [status(State::Draining, MAX_WEIGHT, NOW), status(State::Draining, 1, NOW + 1)],
];

/// The slots, with the status of slot `i` chosen by bit `i`.
fn slots(choice: usize) -> Vec<Slot> {
    let slot = |(i, statuses): (usize, &[SlotStatus; 2])| {
        Slot::new(&[b'a', u8::try_from(i).unwrap()], statuses[choice >> i & 1]).unwrap()
    };
    STATUSES.iter().enumerate().map(slot).collect()
}

fn request(key: u64) -> Request<'static> {
    let id = (u128::from(mix(key)) << 64 | u128::from(key + 1)).to_le_bytes();
    Request { group: Some(Group::Stateful), now: NOW, entropy: id, ..Request::default() }
}

/// What `decide` and both selections answer for one key.
fn answers(affinity: &Affinity<'_>, slots: &[Slot], key: u64) -> [u32; 3] {
    let decision = affinity.decide(&request(key), []).unwrap();
    let filter = Filter { now: NOW, anonymous: true, ..Filter::default() };
    let one = |strategy| select(strategy, slots, &filter, mix(key)).unwrap().unwrap();
    [decision.slot.unwrap(), one(Strategy::Jump), one(Strategy::Rendezvous)]
}

fn with_affinity<T>(slots: &[Slot], work: impl FnOnce(&Affinity<'_>) -> T) -> T {
    let keys = [CookieKey { id: 1, role: Role::Sign, secret: Secret::new([1; 16]) }];
    let config = Config::new(Secret::new([2; 16]), &keys);
    let mut index = vec![0; Affinity::index_len(slots.len())];
    work(&Affinity::new(&config, slots, &mut index).unwrap())
}

/// Every answer is the answer for statuses that the slots had; so the slot that is down throughout is
/// never one, nor is the one that no status of its own lets serve.
#[test]
fn every_answer_is_one_for_statuses_that_were_there() {
    let (keys, rounds) = if cfg!(miri) { (3, 2) } else { (200, 300) };
    let choices = 1 << STATUSES.len();
    let mut allowed = vec![[0_u32; 3]; keys];
    for choice in 0..choices {
        let slots = slots(choice);
        with_affinity(&slots, |affinity| {
            for (key, allowed) in (0..).zip(&mut allowed) {
                for (slot, allowed) in answers(affinity, &slots, key).into_iter().zip(allowed) {
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

    let slots = slots(0);
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
                            let status = STATUSES[slot as usize][choice];
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
                                allowed >> slot & 1 == 1,
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
