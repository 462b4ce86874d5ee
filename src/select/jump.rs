//! Jump consistent hash.
//!
//! Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014 (arXiv:1406.2294),
//! figure 1, bit for bit. Growing from `n` to `n + 1` buckets moves `1 / (n + 1)` of the keys, all
//! of them to the new bucket.
//!
//! The paper's form rounds twice, in the division and in the product, in IEEE 754 binary64. These
//! roundings decide the bucket of a few keys in 2^52, so the form is part of the format. It is also
//! slow: each step waits for a floating-point product and its conversion. The form for one key
//! computes with integers. It knows its error bound, and leaves every key that comes so close to an
//! edge to the paper's form. The form for batches computes the paper's product without its
//! conversion.

use crate::error::Error;
use crate::limits::MAX_BUCKETS;

// Without SSE2 this compiler computes in the 80 bits of the x87 and rounds twice, so some keys get
// other buckets.
#[cfg(all(target_arch = "x86", not(target_feature = "sse2")))]
compile_error!(
    "tokenpin needs IEEE 754 binary64 arithmetic, which x86 has only with SSE2: build for an i686 \
     target, or with `-C target-feature=+sse2`"
);

const TWO_POW_20: f64 = 1_048_576.0;
const TWO_POW_31: f64 = 2_147_483_648.0;
const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;

/// Returns the bucket, `0..buckets`, of `key`.
///
/// Takes about `ln(buckets)` steps. Never allocates, and is safe to call from any thread.
///
/// # Errors
///
/// [`Error::BucketCount`] unless `buckets` is in `1..=`[`MAX_BUCKETS`].
pub fn jump(key: u64, buckets: u32) -> Result<u32, Error> {
    if buckets == 0 || buckets > MAX_BUCKETS {
        return Err(Error::BucketCount);
    }
    Ok(jump_unchecked(key, buckets))
}

/// Advances the generator of the paper: Knuth's 64-bit linear congruential one.
#[inline]
const fn advance(key: u64) -> u64 {
    key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1)
}

/// Works like [`jump`] for a bucket count known to be in range. 0 buckets give 0.
#[inline]
pub(crate) fn jump_unchecked(key: u64, buckets: u32) -> u32 {
    match by_integers(key, buckets) {
        Some(bucket) => bucket,
        None => exact(key, buckets),
    }
}

/// Returns the paper's bucket, if it is beyond doubt.
///
/// With `m` for the paper's `b + 1` and `d` for its divisor, a step continues to bucket
/// `trunc(m * 2^31 / d)` unless that is `buckets` or more.
///
/// * The last step, whose branch the processor mispredicts, is recognised without a division:
///   `m * 2^31 >= buckets * d`. Both sides are below 2^62, and two roundings move a quotient by
///   less than 1 part in 2^51: a difference of 2^11 is beyond doubt.
/// * The divisions depend only on the key, so the next step's division starts before the bucket of
///   this step is known. From one step to the next leads an integer product: `m` by the quotient
///   with 32 fraction bits. Cutting the quotient takes less than `m` off the product, and the
///   paper's rounding of the product adds at most 2^(31-53) = 2^10 units: only a fraction above
///   2^32 - m - 2^10 is in doubt.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call takes a tenth of its time")]
fn by_integers(key: u64, buckets: u32) -> Option<u32> {
    let mut m = 1_u64;
    let mut state = advance(key);
    let mut quotient = quotient_of(state);
    loop {
        if ends(m, divisor(state), buckets)? {
            #[expect(clippy::cast_possible_truncation, reason = "the bucket is below 2^31")]
            return Some((m - 1) as u32);
        }
        state = advance(state);
        let following = quotient_of(state);
        m = next(m, quotient)? + 1;
        quotient = following;
    }
}

/// Returns the paper's divisor, `1..=2^31`.
#[inline]
const fn divisor(state: u64) -> u64 {
    (state >> 33) + 1
}

/// Returns the paper's quotient, rounded as in the paper, then cut to 32 fraction bits.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the divisor is exact, the quotient positive"
)]
fn quotient_of(state: u64) -> u64 {
    (TWO_POW_63 / (divisor(state) as i64 as f64)) as i64 as u64
}

/// Returns whether the step from `m` with divisor `d` is the last, if that is beyond doubt.
#[inline]
const fn ends(m: u64, d: u64, buckets: u32) -> Option<bool> {
    let (product, edge) = (m << 31, buckets as u64 * d);
    if product + (1 << 11) <= edge {
        Some(false)
    } else if product >= edge + (1 << 11) {
        Some(true)
    } else {
        None
    }
}

/// Returns the bucket that a step from `m` leads to, if it is beyond doubt. `quotient` has 32
/// fraction bits.
#[inline]
const fn next(m: u64, quotient: u64) -> Option<u64> {
    let product = m.wrapping_mul(quotient);
    let in_doubt = (product & 0xffff_ffff) + m + (1 << 10) >= 1 << 32;
    if in_doubt { None } else { Some(product >> 32) }
}

/// Computes the paper's form. This is a separate function that never returns to the fast forms, so
/// that they need not keep anything across a call.
#[cold]
#[inline(never)]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the paper's conversions: below 2^63 throughout, the divisor exact in 32 bits"
)]
fn exact(mut key: u64, buckets: u32) -> u32 {
    let mut bucket = 0_u32;
    let mut next = 0_i64;
    while next < i64::from(buckets) {
        bucket = next as u32;
        key = advance(key);
        next = (f64::from(bucket + 1) * (TWO_POW_31 / divisor(key) as f64)) as i64;
    }
    bucket
}

/// The number of keys that [`jump_batch`] takes at a time: as many as a byte has values, so that no
/// index needs a check.
pub(crate) const BATCH: usize = 256;

/// The number of keys that take a step together: few enough for the registers, and for a processor
/// to begin the next lot while it still sorts this one.
const LOT: usize = 4;

/// The upper half of the double 2^20. Plus a bucket below 2^20, it is the upper half of 2^20 +
/// bucket, whose lower half is 0.
const BASE: u32 = (TWO_POW_20.to_bits() >> 32) as u32;

/// Computes the buckets of up to [`BATCH`] keys, and ignores the keys beyond.
///
/// With one key at a time, the processor waits for the division of its first step and the
/// misprediction of its last. Here every key takes one step, then each unfinished key takes the
/// next, and so on: the steps are independent, and no branch depends on a single key.
///
/// Not inlined, so that all registers are for its loop.
#[inline(never)]
pub(crate) fn jump_batch(keys: &[u64], buckets: u32, out: &mut [u32; BATCH]) {
    // 0 buckets have no edge.
    let in_range = (1..1 << 20).contains(&buckets);
    if !in_range || walk(keys, buckets, out) {
        // Uses the paper's form, because a second copy of the fast one would almost never run.
        for (&key, bucket) in keys.iter().zip(out) {
            *bucket = exact(key, buckets);
        }
    }
}

/// Returns whether the answer of any key is in doubt, which is rare.
#[expect(
    clippy::cast_possible_truncation,
    reason = "halves of doubles are meant; places and what is kept before one are below BATCH"
)]
fn walk(keys: &[u64], buckets: u32, out: &mut [u32; BATCH]) -> bool {
    // For the unfinished keys: the state for the next step, the bucket so far plus `BASE`, and the
    // place in the batch.
    let (mut states, mut raised, mut places) = ([0; BATCH], [BASE; BATCH], [0_u8; BATCH]);
    let mut left = 0;
    for (&key, (state, place)) in keys.iter().zip(states.iter_mut().zip(&mut places)) {
        *state = advance(key);
        *place = left as u8;
        left += 1;
    }
    let mut doubts = [0; LOT];
    while left > 0 {
        let mut kept = 0_usize;
        for i in (0..left).step_by(LOT) {
            let Some((lot, from)) = lot_at(&states, i).zip(lot_at(&raised, i)) else { break };
            // Four lanes written out, all floats first: compilers turn that into vector
            // instructions. Lanes behind the last key are computed as well, and at worst put the
            // batch in doubt.
            let sum = |lane: usize| step(from[lane], lot[lane]).to_bits();
            let sums = [sum(0), sum(1), sum(2), sum(3)];
            // Negative if the lower half is 0, which sets the upper bit.
            let doubt = |lane: usize| doubts[lane] | (sums[lane] & 0xffff_ffff).wrapping_sub(1);
            doubts = [doubt(0), doubt(1), doubt(2), doubt(3)];
            // A finished key keeps its place in `out`; the others move to the front.
            let mut sort = |lane: usize| {
                let (at, to) = (usize::from((i + lane) as u8), usize::from(kept as u8));
                let (next, place) = ((sums[lane] >> 32) as u32, places[at]);
                out[usize::from(place)] = raised[at];
                states[to] = advance(states[at]);
                raised[to] = next;
                places[to] = place;
                kept += usize::from(next < BASE + buckets);
                i + lane + 1 < left
            };
            let _ = sort(0) && sort(1) && sort(2) && sort(3);
        }
        left = kept;
    }
    for (bucket, _) in out.iter_mut().zip(keys) {
        *bucket -= BASE;
    }
    doubts.iter().any(|doubt| doubt >> 63 != 0)
}

/// Returns [`LOT`] items from `start` on, if there are that many.
fn lot_at<T>(batch: &[T; BATCH], start: usize) -> Option<&[T; LOT]> {
    batch.get(start..)?.first_chunk()
}

/// Returns the bucket that a step from bucket `raised - BASE` leads to, at most 2^20 - 1, in bits
/// 32 to 51 of the double. It is in doubt if the bits below are 0.
///
/// The product is the paper's, with the same two roundings. In a double from 2^20 to 2^21 the lower
/// 32 bits are a fraction, so adding 2^20 cuts the product at no cost. The sum is rounded, but
/// cannot cross an integer without ending on it.
#[inline]
fn step(raised: u32, state: u64) -> f64 {
    let quotient = TWO_POW_31 / (f64::from((state >> 33) as i32) + 1.0);
    let m = f64::from_bits(u64::from(raised) << 32) - (TWO_POW_20 - 1.0);
    let product = m * quotient;
    // Any larger product is beyond every bucket as well, and this bound has a fraction.
    (if product < TWO_POW_20 - 0.5 { product } else { TWO_POW_20 - 0.5 }) + TWO_POW_20
}

#[cfg(test)]
mod tests {
    use std::prelude::rust_2024::*;

    use super::*;

    #[test]
    fn bucket_counts_out_of_range_are_refused() {
        assert_eq!(jump(1, 0), Err(Error::BucketCount));
        assert_eq!(jump(1, MAX_BUCKETS + 1), Err(Error::BucketCount));
        assert_eq!(jump(1, u32::MAX), Err(Error::BucketCount));
        assert!(jump(1, MAX_BUCKETS).is_ok());
    }

    /// Returns Splitmix64 of a counter.
    fn numbers() -> impl Iterator<Item = u64> {
        (1_u64..).map(|i| super::super::rendezvous::mix(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// Compares all forms with the paper's.
    fn compare(keys: &[u64], buckets: u32) {
        let mut out = [u32::MAX; BATCH];
        jump_batch(keys, buckets, &mut out);
        for (&key, batched) in keys.iter().zip(out) {
            let expected = exact(key, buckets);
            assert_eq!(jump_unchecked(key, buckets), expected, "{key:#x}, {buckets}");
            assert_eq!(batched, expected, "{key:#x}, {buckets}, in a batch");
        }
    }

    const COUNTS: [u32; 18] = [
        1,
        2,
        3,
        5,
        7,
        8,
        16,
        31,
        64,
        100,
        1000,
        1024,
        65_536,
        1 << 19,
        (1 << 20) - 1,
        1 << 20,
        1 << 30,
        MAX_BUCKETS,
    ];

    #[test]
    fn every_form_gives_the_papers_buckets() {
        let mut numbers = numbers();
        for i in 0..20_000 {
            let keys: Vec<u64> = numbers.by_ref().take(1 + i % BATCH).collect();
            compare(&keys, COUNTS[i % COUNTS.len()]);
        }
    }

    /// Compares every form with the paper's for 200 million pairs: `make jump-exhaustive`.
    #[test]
    #[ignore = "takes a minute when optimised"]
    fn every_form_gives_the_papers_buckets_200_million_times() {
        let mut numbers = numbers();
        for i in 0..=200_000_000 / BATCH {
            let keys: Vec<u64> = numbers.by_ref().take(BATCH).collect();
            compare(&keys, COUNTS[i % COUNTS.len()]);
        }
    }

    /// Keys whose first step ends on an edge or next to one: `2^31 / d` is near an integer, or near
    /// the number of buckets.
    #[test]
    fn first_steps_near_an_edge() {
        // Runs the generator backwards. Newton's iteration finds the inverse of an odd number
        // modulo 2^64.
        let factor = 2_862_933_555_777_941_757_u64;
        let inverse =
            (0..6).fold(1_u64, |x, _| x.wrapping_mul(2_u64.wrapping_sub(factor.wrapping_mul(x))));
        assert_eq!(factor.wrapping_mul(inverse), 1);
        let mut noise = numbers();
        for quotient in (1_u64..3000).chain((0..31).map(|bit| 1 << bit)) {
            for off in 0..7 {
                let d = ((1_u64 << 31) / quotient + off).saturating_sub(3).clamp(1, 1 << 31);
                let low = noise.next().unwrap() >> 31;
                let keys = [0, low, (1 << 33) - 1]
                    .map(|low| (((d - 1) << 33) | low).wrapping_sub(1).wrapping_mul(inverse));
                assert_eq!((advance(keys[0]) >> 33) + 1, d);
                if d.is_power_of_two() && d > 1 << 11 {
                    let doubt = |keys| walk(keys, (1 << 20) - 1, &mut [0; BATCH]);
                    assert!(doubt(&keys), "{d} divides 2^31");
                    assert!(doubt(&[keys[0]; 2 * LOT]), "one doubt does not lift another");
                }
                let near = u32::try_from(quotient).unwrap();
                for buckets in [near.saturating_sub(1), near, near + 1, MAX_BUCKETS, 64] {
                    compare(&keys, buckets.max(1));
                }
            }
        }
    }

    /// Returns the bucket that the paper's step from `m` with divisor `d` leads to.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the paper's conversions"
    )]
    fn papers_step(m: u64, d: u64) -> u64 {
        (m as f64 * (TWO_POW_31 / d as f64)) as u64
    }

    /// Single steps from any bucket, with `m * 2^31 = k * d + r` for a small `r`: so near to `k`
    /// that roundings decide. Whenever the integers give an answer, it is the paper's.
    #[test]
    fn later_steps_near_an_edge() {
        let (mut known, mut rounded_up) = (0, 0);
        let mut numbers = numbers();
        for i in 0..300_000_u64 {
            // An odd k has an inverse modulo 2^31, which gives d.
            let k = (numbers.next().unwrap() >> (33 + i % 20)) | 1;
            let inverse =
                (0..5).fold(1_u64, |x, _| x.wrapping_mul(2_u64.wrapping_sub(k.wrapping_mul(x))));
            for r in [0, 1, 5, 100, 1000, 2047, 2048, 5000].into_iter().flat_map(|r| [r, -r]) {
                let d = inverse.wrapping_mul(0_u64.wrapping_sub_signed(r)) & ((1 << 31) - 1);
                let Some(product) = (k * d).checked_add_signed(r) else { continue };
                let m = product >> 31;
                if d == 0 || m == 0 || m > k {
                    continue;
                }
                assert_eq!(m << 31, product);
                let expected = papers_step(m, d);
                rounded_up += u32::from(r < 0 && expected == k);
                let buckets = u32::try_from(k).unwrap();
                if let Some(ends) = ends(m, d, buckets) {
                    known += 1;
                    assert_eq!(ends, expected >= k, "{m} {d} {buckets}");
                }
                if let Some(next) = next(m, quotient_of((d - 1) << 33)) {
                    known += 1;
                    assert_eq!(next, expected, "{m} {d}");
                }
                if m <= 1 << 20 {
                    let sum = step(BASE + u32::try_from(m - 1).unwrap(), (d - 1) << 33).to_bits();
                    let (bucket, doubt) = (sum >> 32 & 0xf_ffff, sum.trailing_zeros() >= 32);
                    assert!(doubt || bucket == expected.min(0xf_ffff), "{m} {d}");
                }
            }
        }
        assert!(known > 1000 && rounded_up > 1000, "{known} {rounded_up}");
    }

    /// Small divisors, and products that would be integers without the rounding of the quotient:
    /// usually the paper's product is rounded back to the integer.
    #[test]
    fn steps_that_end_on_an_edge() {
        let mut rounded_up = 0;
        for (odd, bits) in
            (1..1000_u64).step_by(2).flat_map(|odd| (1..8).map(move |bits| (odd, bits)))
        {
            for factor in 1..1 << bits {
                let (m, d) = (odd * factor, odd << bits);
                let expected = papers_step(m, d);
                let quotient = quotient_of((d - 1) << 33);
                rounded_up += u32::from(m * quotient < expected << 32);
                assert!(next(m, quotient).is_none_or(|next| next == expected), "{m} {d}");
            }
        }
        assert!(rounded_up > 1000, "{rounded_up}");
    }

    /// Products in the last half below 2^20, and beyond.
    #[test]
    fn a_batch_knows_what_is_beyond_its_buckets() {
        for m in 1..5000 {
            for d in [1, 2047, m * 2048 - 1, m * 2048, m * 2048 + 1, (1 << 31) - 1_u64] {
                let expected = ((m << 31) / d).min((1 << 20) - 1);
                let sum = step(BASE + u32::try_from(m - 1).unwrap(), (d - 1) << 33).to_bits();
                if sum & 0xffff_ffff != 0 {
                    assert_eq!(sum >> 32 & 0xf_ffff, expected, "{m} {d}");
                }
            }
        }
    }

    /// The slow form would give the same answers.
    #[test]
    fn keys_are_hardly_ever_in_doubt() {
        let keys: Vec<u64> = numbers().take(1000 * BATCH).collect();
        // One and 23 of these keys are in doubt.
        for (buckets, most) in [(8, 0), (1024, 1), ((1 << 20) - 1, 40)] {
            let doubts = keys.iter().filter(|&&key| by_integers(key, buckets).is_none()).count();
            assert!(doubts <= most, "{doubts} of {} among {buckets}", keys.len());
            assert!(!keys.chunks(BATCH).any(|keys| walk(keys, buckets, &mut [0; BATCH])));
        }
    }

    /// The batch leaves the rest of `out` unchanged.
    #[test]
    fn a_batch_of_any_length() {
        let mut out = [7; BATCH];
        jump_batch(&[], 8, &mut out);
        assert_eq!(out, [7; BATCH]);
        let keys: Vec<u64> = numbers().take(BATCH + 1).collect();
        jump_batch(&keys[..3], 8, &mut out);
        assert_eq!(out[..4], [exact(keys[0], 8), exact(keys[1], 8), exact(keys[2], 8), 7]);
        jump_batch(&keys, 8, &mut out);
        assert_eq!(out[..], keys[..BATCH].iter().map(|&key| exact(key, 8)).collect::<Vec<_>>());
        jump_batch(&keys[..2], 0, &mut out);
        assert_eq!(out[..2], [0, 0]);
    }

    #[test]
    fn one_bucket_is_zero() {
        for key in [0, 1, u64::MAX, 0x9e37_79b9_7f4a_7c15] {
            assert_eq!(jump(key, 1), Ok(0));
        }
    }
}
