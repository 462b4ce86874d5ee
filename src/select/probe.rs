//! The probes behind home: the slots that a key's hash leads to, one after another.

use super::rendezvous::mix;

/// The number of probes, including home.
pub(crate) const PROBES: u32 = 16;

/// The number of places that a probe of few slots falls into. A place beyond the slots ends the
/// probing, because a pass over few slots costs less.
const PLACES: u32 = 64;

/// Returns the hash `h_(k+1)` that follows `h_k`. It accepts or refuses the slot of probe k, and
/// leads to probe k+1.
#[inline]
pub(crate) const fn following(hash: u64) -> u64 {
    mix(hash ^ 0x9e37_79b9_7f4a_7c15)
}

/// Returns whether any probe can end the probing.
#[inline]
pub(crate) const fn some_end(n: u32) -> bool {
    n < PLACES
}

/// Returns whether a probe with this hash ends the probing: it falls into a place that is no slot.
#[inline]
pub(crate) fn ends(hash: u64, n: u32) -> bool {
    some_end(n) && place(hash) >= n
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
fn place(hash: u64) -> u32 {
    hash as u32 & (PLACES - 1)
}

/// Returns the slot of a probe that does not end the probing.
///
/// From `n` to `n + 1` slots a probe moves only to the new slot.
#[inline]
pub(crate) fn probe(hash: u64, n: u32) -> u32 {
    if n <= PLACES { place(hash) } else { jump_back(hash, n) }
}

/// Computes jump-back hash (Ertl, "`JumpBackHash`: Say Goodbye to the Modulo Operation to
/// Distribute Keys Uniformly to Buckets", 2024, arXiv:2403.18682) down to [`PLACES`].
///
/// The bits of `jumps` say between which powers of two the hash has a bucket. The loop takes these
/// buckets from the highest power down. A bucket that is one of the `n` is the answer, unless it
/// lies below its power.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "halves are meant")]
fn jump_back(hash: u64, n: u32) -> u32 {
    let first = next(hash);
    let mut word = first;
    let mut jumps = (first ^ (first >> 32)) as u32 & (n.next_power_of_two() - PLACES);
    while let Some(exponent) = jumps.checked_ilog2() {
        let power = 1 << exponent;
        let half = (first >> (32 * (jumps.count_ones() & 1))) as u32;
        let mut bucket = power + (half & (power - 1));
        for _ in 0..ROUNDS {
            if bucket < n {
                return bucket;
            }
            word = next(word);
            bucket = word as u32 & (2 * power - 1);
            if bucket < power {
                break;
            }
            if bucket < n {
                return bucket;
            }
            bucket = (word >> 32) as u32 & (2 * power - 1);
            if bucket < power {
                break;
            }
        }
        jumps ^= power;
    }
    place(hash)
}

/// A bound, because a loop should have one: a round is the last with a probability of at least 3 /
/// 4.
const ROUNDS: u32 = 64;

#[inline]
const fn next(x: u64) -> u64 {
    mix(x ^ 0xd6e8_feb8_6659_fd93)
}

#[cfg(test)]
mod tests {
    use std::prelude::rust_2024::*;

    use tokenpin_test_support::random::Random;

    use super::*;

    const LARGEST: u32 = (1 << 31) - 1;

    /// Returns the powers of two from 64 on, each with the buckets that a hash has between it and
    /// the next power, in the order in which they are drawn. Most powers have none.
    fn buckets(hash: u64) -> Vec<(u64, Vec<u64>)> {
        const HALF: u64 = 1 << 32;
        let next = |word: u64| mix(word ^ 0xd6e8_feb8_6659_fd93);
        let first = next(hash);
        let (high, low) = (first / HALF, first % HALF);
        let (mut powers, mut used) = (Vec::new(), 0);
        for power in (6..31).map(|exponent| 1_u64 << exponent) {
            let mut drawn = Vec::new();
            if (high ^ low) / power % 2 == 1 {
                used += 1;
                let half = if used % 2 == 0 { low } else { high };
                drawn.push(power + half % power);
                let mut word = first;
                let halves = core::iter::repeat_with(|| {
                    word = next(word);
                    [word % HALF, word / HALF]
                });
                drawn.extend(
                    halves.flatten().map(|half| half % (2 * power)).take_while(|&b| b >= power),
                );
            }
            powers.push((power, drawn));
        }
        powers
    }

    /// Returns the probe as it moves while slots are added. At each power of two that it passes, it
    /// moves to the first bucket drawn there that is a slot, or stays.
    fn grown(hash: u64, powers: &[(u64, Vec<u64>)], n: u32) -> u32 {
        let n = u64::from(n);
        let mut at = hash % 64;
        for (_, drawn) in powers.iter().filter(|(power, _)| *power < n) {
            at = drawn.iter().copied().find(|&bucket| bucket < n).unwrap_or(at);
        }
        u32::try_from(at).unwrap()
    }

    /// Checks counts around all powers of two, anywhere between them, and around every bucket of
    /// the hash. Only there does the probe move.
    #[test]
    fn the_probe_is_where_growth_brings_it() {
        let mut random = Random::new("probes of any number of slots");
        let (mut moved, mut redrawn) = (0, 0);
        for _ in 0..5_000 {
            let hash = random.word();
            let powers = buckets(hash);
            let mut counts = Vec::new();
            for (power, drawn) in &powers {
                redrawn += drawn.len().saturating_sub(1);
                let any = power + random.below(*power);
                for n in drawn.iter().chain(&[*power, any]) {
                    counts.extend([n - 1, *n, n + 1, n + 2]);
                }
            }
            let mut counts: Vec<u32> = counts.into_iter().map(|n| n.try_into().unwrap()).collect();
            counts.push(LARGEST);
            counts.retain(|n| (64..=LARGEST).contains(n));
            counts.sort_unstable();
            counts.dedup();
            let (mut before, mut at) = (64, probe(hash, 64));
            for n in counts {
                let now = probe(hash, n);
                assert_eq!(now, grown(hash, &powers, n), "{hash:#x} {n}");
                assert!(
                    now < n && (now == at || now >= before),
                    "{hash:#x} {before} to {n}: {at} to {now}"
                );
                moved += u32::from(now != at);
                (before, at) = (n, now);
            }
        }
        // Half the powers have buckets: two on average.
        assert!(moved > 50_000 && redrawn > 50_000, "{moved} {redrawn}");
    }

    /// The values come from `probe` of `tests/twin/tokenpin_twin.py`.
    #[test]
    fn known_answers() {
        const HASHES: [u64; 5] = [0, 1, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX];
        const ANSWERS: [(u32, [u32; 5]); 4] = [
            (65_538, [64_115, 32_252, 25_164, 5_145, 30_965]),
            (1_000_000, [752_243, 212_476, 757_299, 74_776, 606_627]),
            (1 << 30, [391_346_803, 672_218_620, 163_963_468, 1_032_795_161, 47_268_259]),
            (LARGEST, [1_968_869_280, 1_351_766_771, 1_261_145_651, 1_322_132_504, 47_268_259]),
        ];
        for (n, slots) in ANSWERS {
            assert_eq!(HASHES.map(|hash| probe(hash, n)), slots, "{n}");
        }
    }
}
