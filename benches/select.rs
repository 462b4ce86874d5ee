//! Selection from a hash: with tokens down, with mixed weights, and with many slots.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use tokenpin::{Filter, Slot, SlotStatus, Strategy, select, select_batch};

use crate::fixtures::{BATCH, Fleet, NOW, batches, each, hashes};
use crate::peers::Maglev;

const FILTER: Filter = Filter { now: NOW, anonymous: true, tried: &[], pinned: None };

pub fn by_jump(slots: &[Slot], hash: u64) -> Option<u32> {
    select(Strategy::Jump, slots, &FILTER, hash).unwrap_or_default()
}

fn by_rendezvous(slots: &[Slot], hash: u64) -> Option<u32> {
    select(Strategy::Rendezvous, slots, &FILTER, hash).unwrap_or_default()
}

pub fn maglev(fleet: Fleet, slots: &[Slot]) -> Maglev {
    let serves = |status: SlotStatus| status.state == tokenpin::State::Up;
    let nodes: Vec<_> = (0..)
        .zip(slots)
        .map(|(number, slot)| (slot.identity_hash(), fleet.status(number)))
        .map(|(hash, status)| (hash, if serves(status) { status.weight } else { 0 }))
        .collect();
    Maglev::new(&nodes)
}

pub fn bench(criterion: &mut Criterion) {
    let hashes = hashes();
    for (mixed_weights, name) in [(false, "select-equal"), (true, "select-mixed")] {
        for n in [2, 8, 16, 64, 1024] {
            for down_percent in [0, 25, 50, 90] {
                let fleet = Fleet { n, down_percent, mixed_weights };
                let slots = &fleet.slots();
                let table = maglev(fleet, slots);
                let parameter = format!("{n}-{down_percent}");
                let up = |slot: Option<u32>| {
                    slot.is_some_and(|slot| fleet.status(slot).state == tokenpin::State::Up)
                };
                for &hash in &hashes {
                    assert!(up(by_jump(slots, hash)));
                    assert!(up(by_rendezvous(slots, hash)));
                    assert!(up(Some(table.lookup(hash))));
                }
                let mut group = criterion.benchmark_group(name);
                each(&mut group, "tokenpin", &parameter, &hashes, |hash| by_jump(slots, hash));
                each(&mut group, "rendezvous", &parameter, &hashes, |hash| {
                    by_rendezvous(slots, hash)
                });
                each(&mut group, "maglev", &parameter, &hashes, |hash| table.lookup(hash));
                group.finish();
            }
        }
    }

    let mut group = criterion.benchmark_group("batch");
    for n in [8, 64, 1024] {
        for down_percent in [0, 25] {
            let slots = &Fleet { n, down_percent, mixed_weights: false }.slots();
            let parameter = format!("{n}-{down_percent}");
            let one_by_one = |hashes: &[u64; BATCH]| hashes.map(|hash| by_jump(slots, hash));
            let in_batches = |hashes: &[u64; BATCH]| {
                let mut selected = [None; BATCH];
                let done = select_batch(Strategy::Jump, slots, &FILTER, hashes, &mut selected);
                assert!(done.is_ok());
                selected
            };
            for hashes in hashes.as_chunks::<BATCH>().0 {
                assert_eq!(one_by_one(hashes), in_batches(hashes));
            }
            batches(&mut group, "scalar", &parameter, |hashes| {
                for &hash in hashes {
                    black_box(by_jump(slots, hash));
                }
            });
            batches(&mut group, "batch", &parameter, |hashes| {
                black_box(in_batches(hashes));
            });
        }
    }
    group.finish();

    // What follows when one token fails.
    let mut group = criterion.benchmark_group("change");
    for n in [16, 1024] {
        let fleet = Fleet::up(n);
        let slots = &fleet.slots();
        let statuses =
            [fleet.status(0), SlotStatus { state: tokenpin::State::Down, ..fleet.status(0) }];
        each(&mut group, "tokenpin", n, &statuses, |status| slots[0].set(status).is_ok());
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("maglev", n), |bencher| {
            bencher.iter(|| maglev(black_box(fleet), slots));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("grow-select");
    for n in (0..=16).map(|power| 1 << power) {
        for (function, down_percent) in [("up", 0), ("down", 25)] {
            let slots = &Fleet { n, down_percent, mixed_weights: false }.slots();
            each(&mut group, function, n, &hashes, |hash| by_jump(slots, hash));
        }
    }
    group.finish();
}
