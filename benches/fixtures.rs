//! The inputs of the benchmarks, made once and kept until the process ends.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, SamplingMode, Throughput};
use tokenpin::{
    Config, CookieKey, MAX_WEIGHT, OwnedAffinity, Role, Secret, Slot, SlotStatus, State, mix,
};

pub const NOW: u64 = 1_800_000_000;

/// The calls in one iteration. The report divides by this number.
pub const LOT: usize = 64;

/// The keys of one batch: more than the library takes at a time, as in planning a change or
/// replaying a log.
pub const BATCH: usize = 1024;

/// Inputs to draw from: they stay in the nearest caches.
const INPUTS: usize = 1 << 12;

/// Uniform 64-bit integers.
pub fn hashes() -> Vec<u64> {
    (1..=INPUTS as u64).map(|i| mix(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect()
}

/// Text of `len` lower-case hexadecimal digits, as ids in headers are.
pub fn text_keys(len: usize) -> Vec<Vec<u8>> {
    hashes()
        .iter()
        .map(|&hash| format!("{hash:016x}{:016x}{:016x}", mix(hash), mix(!hash)).into_bytes())
        .map(|text| text[..len].to_vec())
        .collect()
}

pub fn id(number: usize) -> [u8; 16] {
    (u128::from(mix(number as u64)) << 64 | u128::from(mix(!(number as u64)))).to_le_bytes()
}

pub fn identity(slot: u32) -> Vec<u8> {
    format!("account-{slot}").into_bytes()
}

#[derive(Clone, Copy)]
pub struct Fleet {
    pub n: u32,
    pub down_percent: u32,
    pub mixed_weights: bool,
}

impl Fleet {
    pub fn up(n: u32) -> Self {
        Self { n, down_percent: 0, mixed_weights: false }
    }

    pub fn status(self, slot: u32) -> SlotStatus {
        // Spread over the list, with exactly that share of it.
        let down = |slot: u32| slot * self.down_percent / 100;
        let state = if down(slot + 1) > down(slot) { State::Down } else { State::Up };
        // Shifted by one after every four, so that those that are down are not all of one weight.
        let turn = (slot + slot / 4) as usize % 4;
        let quarters = if self.mixed_weights { [4, 2, 1, 3][turn] } else { 4 };
        SlotStatus { state, weight: MAX_WEIGHT / 4 * quarters, until: 0 }
    }

    pub fn is_up(self, slot: Option<u32>) -> bool {
        slot.is_some_and(|slot| self.status(slot).state == State::Up)
    }

    pub fn slots(self) -> Vec<Slot> {
        (0..self.n).map(|slot| Slot::new(&identity(slot), self.status(slot)).unwrap()).collect()
    }
}

pub fn secret(number: u8) -> Secret {
    Secret::new([number; 16])
}

/// A ring of `len` keys, of which the first signs.
pub fn ring_keys(len: u8) -> Vec<CookieKey> {
    let role = |id| if id == 1 { Role::Sign } else { Role::Accept };
    (1..=len).map(|id| CookieKey { id, role: role(id), secret: secret(id) }).collect()
}

pub fn affinity(n: u32, keys: &[CookieKey]) -> OwnedAffinity {
    OwnedAffinity::new(&Config::new(secret(0xaa), keys), Fleet::up(n).slots()).unwrap()
}

pub type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Times `call` over inputs in random order, which no branch predictor can learn. The calls do not
/// wait for each other.
pub fn each<I: Copy, O>(
    group: &mut Group,
    function: &str,
    parameter: impl std::fmt::Display,
    inputs: &[I],
    mut call: impl FnMut(I) -> O,
) {
    assert!(inputs.len().is_power_of_two());
    let mut state = 1_u64;
    // Samples of one length, so that each has its share of the keys that take long.
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(LOT as u64));
    group.bench_function(BenchmarkId::new(function, parameter), |bencher| {
        bencher.iter(|| {
            // Drawn before the calls, so that none waits for the generator: Knuth's linear
            // congruential one, whose high bits are the good ones.
            let lot: [I; LOT] = std::array::from_fn(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                inputs[(state >> 40) as usize & (inputs.len() - 1)]
            });
            for &input in black_box(&lot) {
                black_box(call(input));
            }
        });
    });
}

/// Times `call` over batches of fresh hashes. Drawing them is not timed.
pub fn batches(
    group: &mut Group,
    function: &str,
    parameter: impl std::fmt::Display,
    mut call: impl FnMut(&[u64; BATCH]),
) {
    let mut state = 1_u64;
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function(BenchmarkId::new(function, parameter), |bencher| {
        let draw = || {
            std::array::from_fn(|_| {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                mix(state)
            })
        };
        bencher.iter_batched_ref(draw, |batch| call(black_box(batch)), BatchSize::PerIteration);
    });
}

/// Times `call` in a chain, in which each call needs the answer of the previous one.
pub fn chain(
    group: &mut Group,
    function: &str,
    parameter: impl std::fmt::Display,
    mut call: impl FnMut(u64) -> u32,
) {
    let mut hash = 1_u64;
    group.throughput(Throughput::Elements(LOT as u64));
    group.bench_function(BenchmarkId::new(function, parameter), |bencher| {
        bencher.iter(|| {
            for _ in 0..LOT {
                // A step of the splitmix64 generator that has to wait for the answer.
                hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ u64::from(call(hash));
            }
            black_box(hash)
        });
    });
}
