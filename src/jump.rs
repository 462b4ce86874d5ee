//! Jump consistent hash.
//!
//! Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014
//! (arXiv:1406.2294), figure 1, bit for bit, in the same IEEE 754 binary64
//! arithmetic. Growing from `n` to `n + 1` buckets moves `1 / (n + 1)` of the keys,
//! all of them to the new bucket.
//!
//! The two roundings of the paper's form (the division, then the product) decide on
//! which side of a bucket's edge a few keys in 2^52 fall. Variants that divide
//! differently disagree on those keys, so the form is part of the format.

use crate::error::Error;

/// The largest number of buckets, `2^31 - 1`: the paper's `int32_t`.
pub const MAX_BUCKETS: u32 = i32::MAX as u32;

/// The bucket, `0..buckets`, of `key`.
///
/// Takes about `ln(buckets)` steps of one multiplication and one division. Never
/// allocates, and is safe to call from any thread.
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

/// [`jump`] for a bucket count that is known to be in range; 0 buckets give 0.
pub(crate) fn jump_unchecked(mut key: u64, buckets: u32) -> u32 {
    let mut bucket = 0;
    while let Some(next) = step(&mut key, bucket, buckets) {
        bucket = next;
    }
    bucket
}

/// Up to so many buckets, [`step`] knows the end without a division.
const SPARING: u32 = 1 << 18;

/// One step of the paper's loop: the bucket that follows `bucket`, `None` if that is past the end.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the paper's conversions: below 2^63 throughout, the divisor exact in 32 bits"
)]
#[inline]
fn step(key: &mut u64, bucket: u32, buckets: u32) -> Option<u32> {
    const TWO_POW_31: f64 = (1_u64 << 31) as f64;
    // The generator of the paper, Knuth's 64-bit linear congruential one.
    *key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
    let divisor = (*key >> 33) + 1;
    // The exact quotient here is q = (bucket + 1) * 2^31 / divisor. If it is over `buckets`, then by at
    // least 1 / divisor >= 2^-31. Two roundings take less than q * 2^-52 from it: up to q = 2^19 that is
    // below 2^-33, and a q of twice `buckets` and more stays above `buckets` in any case. So what the
    // paper computes is past the end too, and the division, which is half the cost, need not be made.
    if buckets <= SPARING && u64::from(bucket + 1) << 31 > u64::from(buckets) * divisor {
        return None;
    }
    let next = (f64::from(bucket + 1) * (TWO_POW_31 / divisor as f64)) as i64;
    (next < i64::from(buckets)).then_some(next as u32)
}

/// A key on its way.
#[cfg(any(test, feature = "capi"))]
struct Lane<'a> {
    key: u64,
    bucket: u32,
    result: &'a mut u32,
}

/// [`jump_unchecked`] for many keys: `results[i]` is the bucket of `keys[i]`.
///
/// Four keys are on their way at a time. The processor works on the others while it divides
/// for one, and while it finds out which one is through.
#[cfg(any(test, feature = "capi"))]
pub(crate) fn jump_many(keys: &[u64], buckets: u32, results: &mut [u32]) {
    let mut pairs = keys.iter().zip(results);
    let mut start = || pairs.next().map(|(&key, result)| Lane { key, bucket: 0, result });
    let mut lanes = [start(), start(), start(), start()];
    'all_busy: loop {
        for slot in &mut lanes {
            let Some(lane) = slot else { break 'all_busy };
            loop {
                if let Some(next) = step(&mut lane.key, lane.bucket, buckets) {
                    lane.bucket = next;
                    break;
                }
                *lane.result = lane.bucket;
                let Some(another) = start() else {
                    *slot = None;
                    break 'all_busy;
                };
                *lane = another;
            }
        }
    }
    for lane in lanes.into_iter().flatten() {
        let Lane { mut key, mut bucket, result } = lane;
        while let Some(next) = step(&mut key, bucket, buckets) {
            bucket = next;
        }
        *result = bucket;
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::rust_2024::*;
    use std::vec;

    use super::*;

    #[test]
    fn bucket_counts_out_of_range_are_refused() {
        assert_eq!(jump(1, 0), Err(Error::BucketCount));
        assert_eq!(jump(1, MAX_BUCKETS + 1), Err(Error::BucketCount));
        assert_eq!(jump(1, u32::MAX), Err(Error::BucketCount));
        assert!(jump(1, MAX_BUCKETS).is_ok());
    }

    /// The paper's loop as it stands there.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "the paper's")]
    fn paper(mut key: u64, buckets: u32) -> u32 {
        let (mut b, mut j) = (-1_i64, 0_i64);
        while j < i64::from(buckets) {
            b = j;
            key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
            j = ((b + 1) as f64 * ((1_u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as i64;
        }
        u32::try_from(b).unwrap()
    }

    /// Keys whose first divisor is near `2^31 / n * k`, where quotients meet bucket numbers, among others.
    fn keys(buckets: u32) -> Vec<u64> {
        let inverse = {
            // Newton's iteration for the inverse of an odd number modulo 2^64.
            let a = 2_862_933_555_777_941_757_u64;
            (0..6).fold(a, |x, _| x.wrapping_mul(2_u64.wrapping_sub(a.wrapping_mul(x))))
        };
        let edges = (1..=64_u64).flat_map(|k| {
            let near = (k << 31) / u64::from(buckets);
            (0..5).map(move |off| (near + off).saturating_sub(3).min((1 << 31) - 1) << 33)
        });
        let edges = edges.map(move |state| state.wrapping_sub(1).wrapping_mul(inverse));
        edges.chain((0..200_u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect()
    }

    #[test]
    fn sparing_divisions_and_many_keys_change_nothing() {
        let near = |n: u32| n - 2..=n + 2;
        let counts = (1..=130).chain(near(1 << 16)).chain(near(SPARING)).chain(near(1 << 24));
        for buckets in counts.chain([3 << 16, 1 << 30, MAX_BUCKETS]) {
            let keys = keys(buckets);
            let wanted: Vec<u32> = keys.iter().map(|&key| paper(key, buckets)).collect();
            for (&key, &wanted) in keys.iter().zip(&wanted) {
                assert_eq!(jump_unchecked(key, buckets), wanted, "jump({key}, {buckets})");
            }
            for len in (0..10).chain([keys.len()]) {
                let mut found = vec![u32::MAX; len];
                jump_many(&keys[..len], buckets, &mut found);
                assert_eq!(found, wanted[..len], "{len} keys, {buckets} buckets");
            }
        }
    }

    #[test]
    fn one_bucket_is_zero() {
        for key in [0, 1, u64::MAX, 0x9e37_79b9_7f4a_7c15] {
            assert_eq!(jump(key, 1), Ok(0));
        }
    }
}
