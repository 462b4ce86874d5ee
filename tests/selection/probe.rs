//! Tests of `probe` without the rest: its slots, the moves on growth, and that it favours no slot.
//! It is the function of the model; the answers show that the library has the same.

use crate::fleet::{below, keys};
use crate::model::{mix, probe, probes};
use tokenpin_test_support::chi_square::{Fit, plausible};
use tokenpin_test_support::random::Random;

const LARGEST: u32 = (1 << 31) - 1;

/// Returns hashes, some random and some not.
fn hashes(random: &mut Random, count: usize) -> Vec<u64> {
    let mut hashes = keys(random, count);
    hashes.extend(0..256);
    hashes.extend((0..64).flat_map(|bit| [1 << bit, u64::MAX << bit]));
    hashes
}

/// Asserts that growth from `n` to `n + 1` changes a probe only as it may. It gave `before`.
#[track_caller]
fn assert_grows(h: u64, n: u32, before: u32) -> u32 {
    let after = probe(h, n + 1);
    if n < 64 {
        // The place is the same. The new slot's place ended the probing; the others still do.
        assert_eq!((after, u64::from(after)), (before, h & 63), "{h:#x} {n}");
    } else {
        assert!(before < n && (after == before || after == n), "{h:#x} {n}: {before} to {after}");
    }
    after
}

#[test]
fn from_1_to_300_slots_a_probe_moves_only_to_the_new_slot() {
    let mut random = Random::new("probes up to 300 slots");
    let hashes = hashes(&mut random, 100_000);
    let mut at: Vec<u32> = hashes.iter().map(|&h| probe(h, 1)).collect();
    for n in 1..300 {
        let mut moved = 0;
        for (&h, before) in hashes.iter().zip(&mut at) {
            let after = assert_grows(h, n, *before);
            moved += u64::from(after != *before);
            *before = after;
        }
        let share = if n < 64 { 0.0 } else { 1.0 / f64::from(n + 1) };
        assert!(plausible(moved, hashes.len() as u64, share), "{n}: {moved} moved");
    }
}

#[test]
fn around_powers_of_two_a_probe_moves_only_to_the_new_slot() {
    let mut random = Random::new("probes around powers of two");
    let hashes = hashes(&mut random, 20_000);
    for power in 5..32 {
        let around = (1_u32 << power) - 3..LARGEST.min((1 << power) + 2);
        for &h in &hashes {
            let mut before = probe(h, around.start);
            for n in around.clone() {
                before = assert_grows(h, n, before);
            }
        }
    }
}

/// Many steps together, because a single large one moves hardly any probe.
#[test]
fn over_any_distance_a_probe_moves_only_to_new_slots() {
    let mut random = Random::new("probes over any distance");
    let any = |random: &mut Random| 64 + (below(random, LARGEST - 63) >> below(random, 25));
    let mut moved = 0;
    for h in keys(&mut random, 1_000_000) {
        let (a, b) = (any(&mut random), any(&mut random));
        let (n, more) = (a.min(b), a.max(b));
        let (before, after) = (probe(h, n), probe(h, more));
        assert!(before < n && after < more, "{h:#x} {n} {more}");
        assert!(after == before || after >= n, "{h:#x} {n} to {more}: {before} to {after}");
        moved += u32::from(after != before);
    }
    assert!(moved > 500_000, "{moved}");
}

/// Keys per cell, where `cell` numbers the cells, against the cells' shares.
fn assert_balanced(what: &str, random: &mut Random, shares: &[f64], cell: impl Fn(u64) -> usize) {
    let mut counts = vec![0; shares.len()];
    for _ in 0..2_000_000 {
        counts[cell(random.word())] += 1;
    }
    let fit = Fit::of(&counts, shares);
    assert!(!fit.rejects(), "{what}: {fit:?}");
}

#[test]
fn every_slot_is_probed_as_often_as_any_other() {
    let mut random = Random::new("balance of the probes");
    for n in [64, 65, 66, 95, 96, 97, 100, 127, 128, 129, 191, 192, 193, 255, 256, 257, 300, 1000] {
        let shares = vec![1.0 / f64::from(n); n as usize];
        assert_balanced(&format!("{n} slots"), &mut random, &shares, |h| probe(h, n) as usize);
    }
}

/// Of more slots than keys, in ranges, and by the low bits of the slot number.
#[test]
fn no_range_of_slots_and_no_low_bits_are_favoured() {
    const CELLS: u32 = 101;
    let mut random = Random::new("balance of the probes among many slots");
    let sizes = (10..31).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]);
    let odd = [1_500_000, 300_000_000, 1_610_612_736, 1_900_000_001, LARGEST];
    for n in sizes.chain(odd) {
        let width = n.div_ceil(CELLS);
        let ranges: Vec<f64> = (0..CELLS)
            .map(|cell| (cell * width).min(n)..((cell + 1) * width).min(n))
            .map(|range| f64::from(range.end - range.start) / f64::from(n))
            .collect();
        let range = |h| (probe(h, n) / width) as usize;
        assert_balanced(&format!("ranges of {n}"), &mut random, &ranges, range);
        let low: Vec<f64> =
            (0..64).map(|low| f64::from((n - low).div_ceil(64)) / f64::from(n)).collect();
        let low_bits = |h| (probe(h, n) % 64) as usize;
        assert_balanced(&format!("low bits of {n}"), &mut random, &low, low_bits);
    }
}

/// Up to 64 slots every place is probed alike, and so is every slot.
#[test]
fn up_to_64_slots_there_are_64_places() {
    let mut random = Random::new("64 places");
    for n in [1, 2, 31, 63, 64] {
        assert_balanced(&format!("{n} slots"), &mut random, &[1.0 / 64.0; 64], |h| {
            probe(h, n) as usize
        });
    }
}

/// Acceptance by a slot says nothing of the place of the next probe, and nor does the place of one
/// probe: all pairs are equally frequent.
#[test]
fn probes_and_draws_are_independent() {
    let mut random = Random::new("independent probes");
    for n in [64, 65, 129] {
        let slots = n as usize;
        // The draw of a probe, and the slot of the next: both are made from one hash.
        let cells = 16 * slots;
        let shares = vec![1.0 / cells as f64; cells];
        for k in [0, 14] {
            let what = format!("draw of probe {k} and the next slot of {n}");
            assert_balanced(&what, &mut random, &shares, |h| {
                let probes = probes(h, n);
                probes[k + 1].0 as usize * 16 + (probes[k].1 >> 12) as usize
            });
        }
        let cells = slots * slots;
        let shares = vec![1.0 / cells as f64; cells];
        for (j, k) in [(0, 1), (1, 2), (14, 15)] {
            let what = format!("probes {j} and {k} of {n}");
            assert_balanced(&what, &mut random, &shares, |h| {
                let probes = probes(h, n);
                probes[j].0 as usize * slots + probes[k].0 as usize
            });
        }
    }
}

#[test]
fn from_64_slots_on_nothing_ends_the_probing_and_below_a_place_without_a_slot_does() {
    let mut random = Random::new("64 slots");
    for h in keys(&mut random, 10_000) {
        for n in [64, 65, 128, 129, LARGEST] {
            assert_eq!(probes(h, n).len(), 16);
        }
        let probed = probes(h, 63);
        let h_k = probed.iter().fold(h, |h_k, _| mix(h_k ^ 0x9e37_79b9_7f4a_7c15));
        assert!(probed.len() == 16 || h_k & 63 == 63, "{h:#x}");
    }
}
