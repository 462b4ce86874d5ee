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
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the paper's conversions: below 2^63 throughout, the divisor exact in 32 bits"
)]
pub(crate) fn jump_unchecked(mut key: u64, buckets: u32) -> u32 {
    const TWO_POW_31: f64 = (1_u64 << 31) as f64;
    let mut bucket = 0_u32;
    let mut next = 0_i64;
    while next < i64::from(buckets) {
        bucket = next as u32;
        // The generator of the paper, Knuth's 64-bit linear congruential one.
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let divisor = ((key >> 33) + 1) as f64;
        next = (f64::from(bucket + 1) * (TWO_POW_31 / divisor)) as i64;
    }
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_counts_out_of_range_are_refused() {
        assert_eq!(jump(1, 0), Err(Error::BucketCount));
        assert_eq!(jump(1, MAX_BUCKETS + 1), Err(Error::BucketCount));
        assert_eq!(jump(1, u32::MAX), Err(Error::BucketCount));
        assert!(jump(1, MAX_BUCKETS).is_ok());
    }

    #[test]
    fn one_bucket_is_zero() {
        for key in [0, 1, u64::MAX, 0x9e37_79b9_7f4a_7c15] {
            assert_eq!(jump(key, 1), Ok(0));
        }
    }
}
