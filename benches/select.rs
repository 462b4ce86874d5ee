//! Selection from a hash: with tokens down, with mixed weights, and with many slots.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use tokenpin::{Filter, Slot, SlotStatus, State, Strategy, jump, select, select_batch};

use crate::fixtures::{BATCH, Fleet, Group, NOW, batches, each, hashes};
use crate::peers::{Maglev, home_and_pass};

const FILTER: Filter = Filter { now: NOW, anonymous: true, tried: &[], pinned: None };

pub fn by_jump(slots: &[Slot], hash: u64) -> Option<u32> {
    select(Strategy::Jump, slots, &FILTER, hash).unwrap_or_default()
}

fn by_rendezvous(slots: &[Slot], hash: u64) -> Option<u32> {
    select(Strategy::Rendezvous, slots, &FILTER, hash).unwrap_or_default()
}

pub fn maglev(fleet: Fleet, slots: &[Slot]) -> Maglev {
    let serves = |status: SlotStatus| status.state == State::Up;
    let nodes: Vec<_> = (0..)
        .zip(slots)
        .map(|(number, slot)| (slot.identity_hash(), fleet.status(number)))
        .map(|(hash, status)| (hash, if serves(status) { status.weight } else { 0 }))
        .collect();
    Maglev::new(&nodes)
}

/// Selects in one fleet in every way.
fn ways(criterion: &mut Criterion, fleet: Fleet, hashes: &[u64]) {
    let slots = &fleet.slots();
    // Our filter is unknown at compile time as well.
    let filter = black_box(&FILTER);
    let without_probes = |hash| home_and_pass(slots, filter, hash);
    for &hash in hashes {
        let (ours, theirs, home) =
            (by_jump(slots, hash), without_probes(hash), jump(hash, fleet.n));
        assert!(fleet.is_up(ours) && fleet.is_up(theirs));
        assert!(fleet.mixed_weights || (ours == home.ok()) == (theirs == home.ok()));
    }
    let name = if fleet.mixed_weights { "select-mixed" } else { "select-equal" };
    let parameter = format!("{}-{}", fleet.n, fleet.down_percent);
    let mut group = criterion.benchmark_group(name);
    each(&mut group, "tokenpin", &parameter, hashes, |hash| by_jump(slots, hash));
    each(&mut group, "home-and-pass", &parameter, hashes, without_probes);
    // With more slots these would take minutes.
    if fleet.n <= 1024 {
        let table = maglev(fleet, slots);
        for &hash in hashes {
            assert!(fleet.is_up(by_rendezvous(slots, hash)));
            assert!(fleet.is_up(Some(table.lookup(hash))));
        }
        each(&mut group, "rendezvous", &parameter, hashes, |hash| by_rendezvous(slots, hash));
        each(&mut group, "maglev", &parameter, hashes, |hash| table.lookup(hash));
    }
    group.finish();
}

/// Selects in one fleet, key by key and in batches.
fn batch(group: &mut Group, fleet: Fleet, hashes: &[u64]) {
    let slots = &fleet.slots();
    let weights = if fleet.mixed_weights { "-mixed" } else { "" };
    let parameter = format!("{}-{}{weights}", fleet.n, fleet.down_percent);
    let one_by_one = |hashes: &[u64; BATCH]| hashes.map(|hash| by_jump(slots, hash));
    // Reused for all batches, as in a program with many.
    let mut selected = [None; BATCH];
    let mut in_batches = |hashes: &[u64; BATCH]| {
        let done = select_batch(Strategy::Jump, slots, &FILTER, hashes, &mut selected);
        assert!(done.is_ok());
        black_box(&selected);
        selected
    };
    for hashes in hashes.as_chunks::<BATCH>().0 {
        assert_eq!(one_by_one(hashes), in_batches(hashes));
    }
    batches(group, "scalar", &parameter, |hashes| {
        for &hash in hashes {
            black_box(by_jump(slots, hash));
        }
    });
    batches(group, "batch", &parameter, |hashes| {
        black_box(in_batches(hashes));
    });
}

pub fn bench(criterion: &mut Criterion) {
    let hashes = hashes();
    for (sizes, shares) in
        [(&[2, 4, 8, 16, 64, 1024][..], &[0, 25, 50, 75, 90][..]), (&[65_536], &[0, 25, 50])]
    {
        for &n in sizes {
            for &down_percent in shares {
                for mixed_weights in [false, true] {
                    ways(criterion, Fleet { n, down_percent, mixed_weights }, &hashes);
                }
            }
        }
    }

    let mut group = criterion.benchmark_group("batch");
    for (sizes, shares) in [
        (&[2, 8, 16][..], &[0, 25, 50, 75, 90][..]),
        (&[64, 1024], &[0, 25, 50]),
        (&[65_536], &[0, 25]),
    ] {
        for &n in sizes {
            for &down_percent in shares {
                batch(&mut group, Fleet { down_percent, ..Fleet::up(n) }, &hashes);
            }
        }
    }
    batch(&mut group, Fleet { mixed_weights: true, ..Fleet::up(1024) }, &hashes);
    group.finish();

    // The selections after one token fails.
    let mut group = criterion.benchmark_group("change");
    for n in [16, 1024] {
        let fleet = Fleet::up(n);
        let slots = &fleet.slots();
        let statuses = [fleet.status(0), SlotStatus { state: State::Down, ..fleet.status(0) }];
        each(&mut group, "tokenpin", n, &statuses, |status| slots[0].set(status).is_ok());
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("maglev", n), |bencher| {
            bencher.iter(|| maglev(black_box(fleet), slots));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("grow-select");
    for n in (1..=16).map(|power| 1 << power) {
        for down_percent in [0, 25, 50, 75, 90] {
            let slots = &Fleet { down_percent, ..Fleet::up(n) }.slots();
            each(&mut group, &down_percent.to_string(), n, &hashes, |hash| by_jump(slots, hash));
        }
        let slots = &Fleet { mixed_weights: true, ..Fleet::up(n) }.slots();
        each(&mut group, "mixed", n, &hashes, |hash| by_jump(slots, hash));
    }
    group.finish();
}
