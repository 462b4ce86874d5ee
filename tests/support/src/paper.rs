//! The paper's listing, transcribed word by word: an oracle, not an implementation.

/// Lamping and Veach, figure 1:
///
/// ```c++
/// int32_t JumpConsistentHash(uint64_t key, int32_t num_buckets) {
///   int64_t b = -1, j = 0;
///   while (j < num_buckets) {
///     b = j;
///     key = key * 2862933555777941757ULL + 1;
///     j = (b + 1) * (double(1LL << 31) / double((key >> 33) + 1));
///   }
///   return b;
/// }
/// ```
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the conversions of the listing"
)]
pub fn jump(mut key: u64, num_buckets: i32) -> i32 {
    let mut b: i64 = -1;
    let mut j: i64 = 0;
    while j < i64::from(num_buckets) {
        b = j;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        j = ((b + 1) as f64 * ((1_i64 << 31) as f64 / ((key >> 33) + 1) as f64)) as i64;
    }
    b as i32
}
