//! The probes behind home: slots that a key's hash leads to, one after another.

use super::rendezvous::mix;

/// The number of probes, home among them.
pub(crate) const PROBES: u32 = 16;

/// The places that a probe of few slots falls into. One beyond the slots ends the probing: a pass
/// over few slots costs less.
const PLACES: u32 = 64;

/// The hash `h_(k+1)` behind `h_k`: it accepts or refuses the slot of probe k, and leads to probe k+1.
#[inline]
pub(crate) const fn following(hash: u64) -> u64 {
    mix(hash ^ 0x9e37_79b9_7f4a_7c15)
}

/// Whether a probe with this hash ends the probing: it falls into a place that is no slot.
#[inline]
pub(crate) fn ends(hash: u64, n: u32) -> bool {
    n < PLACES && place(hash) >= n
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
fn place(hash: u64) -> u32 {
    hash as u32 & (PLACES - 1)
}

/// The slot of a probe that does not end the probing.
///
/// From `n` to `n + 1` slots a probe moves only to the new slot.
#[inline]
pub(crate) fn probe(hash: u64, n: u32) -> u32 {
    if n <= PLACES { place(hash) } else { jump_back(hash, n) }
}

/// Jump-back hash (Ertl, "`JumpBackHash`: Say Goodbye to the Modulo Operation to Distribute Keys
/// Uniformly to Buckets", 2024, arXiv:2403.18682) down to [`PLACES`].
///
/// The bits of `jumps` say between which powers of two the hash has a bucket. From the highest on, that
/// bucket is looked for: the answer if it is one of the `n`, unless it comes to lie below the power.
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

/// A bound for the sake of having one: a round is the last with a probability of at least 3 / 4.
const ROUNDS: u32 = 64;

#[inline]
const fn next(x: u64) -> u64 {
    mix(x ^ 0xd6e8_feb8_6659_fd93)
}
