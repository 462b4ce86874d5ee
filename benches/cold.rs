//! The same work with nothing in a cache: the first request after a pause.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion};
use tokenpin::cookie::Codec;
use tokenpin_test_support::paper;

use crate::cookie_value::{AUDIENCE, Jar, anonymous, read, ring, value_of};
use crate::decide::{SLOTS, cases};
use crate::fixtures::{Fleet, Group, affinity, hashes, ring_keys};
use crate::select::{by_jump, maglev};

/// More than the last-level caches of most machines hold.
const WALK: usize = 64 << 20;
const LINE: usize = 64;

/// Evicts the working set: code too, where a cache holds both.
fn walk(buffer: &[u8]) {
    black_box(buffer.iter().step_by(LINE).fold(0_u8, |sum, &byte| sum.wrapping_add(byte)));
}

fn each<I: Copy, O>(
    group: &mut Group,
    buffer: &[u8],
    name: (&str, &str),
    inputs: &[I],
    mut call: impl FnMut(I) -> O,
) {
    let mut inputs = inputs.iter().cycle();
    group.bench_function(BenchmarkId::new(name.0, name.1), |bencher| {
        let setup = || {
            // Taken before the walk, which then evicts the memory that this has touched.
            let input = *inputs.next().expect("cycles");
            walk(buffer);
            input
        };
        bencher.iter_batched(setup, &mut call, BatchSize::PerIteration);
    });
}

pub fn bench(criterion: &mut Criterion) {
    let buffer = &vec![1; WALK];
    let hashes = &hashes();
    let mut group = criterion.benchmark_group("cold");
    // The cost of reading the clock, which the report subtracts.
    each(&mut group, buffer, ("nothing", ""), hashes, |hash| hash);
    for n in [16, 1024] {
        let fleet = Fleet::up(n);
        let slots = &fleet.slots();
        let quarter = &Fleet { n, down_percent: 25, mixed_weights: false }.slots();
        let table = maglev(fleet, slots);
        let n = &n.to_string();
        let number = n.parse().expect("just made");
        each(&mut group, buffer, ("jump", n), hashes, |hash| tokenpin::jump(hash, number));
        let paper = i32::try_from(number).expect("small");
        each(&mut group, buffer, ("paper", n), hashes, |hash| paper::jump(hash, paper));
        each(&mut group, buffer, ("select", n), hashes, |hash| by_jump(slots, hash));
        each(&mut group, buffer, ("select-down", n), hashes, |hash| by_jump(quarter, hash));
        each(&mut group, buffer, ("maglev", n), hashes, |hash| table.lookup(hash));
    }
    let ring = &ring();
    let codec = &Codec::new(ring, &AUDIENCE).expect("a good name");
    let value = &value_of(ring, &anonymous(0, 1));
    each(&mut group, buffer, ("decode", ""), &[value], |value| read(codec, value));
    let jar = Jar::new();
    each(&mut group, buffer, ("signed_jar", ""), &[()], |()| jar.read());
    let owned = affinity(SLOTS, &ring_keys(1));
    let affinity = owned.get();
    for (name, asked) in &cases(affinity) {
        let asked: Vec<_> = asked.iter().collect();
        let name = (&*format!("decide-{name}"), "");
        each(&mut group, buffer, name, &asked, |asked| asked.decide(affinity));
    }
    group.finish();
}
