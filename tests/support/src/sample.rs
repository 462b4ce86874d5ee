//! The part of a test that Miri runs: the one place that scales tests for it.
//!
//! Miri interprets the code, some thousand times slower than a processor runs it, and looks for
//! undefined behaviour. The core has no unsafe code (only memchr, below it, has), so a sample of
//! its cases is enough. The C ABI has all unsafe code, and `tests/c_abi` runs whole.

/// True under Miri: only a sample of the cases is tried.
pub const SAMPLED: bool = cfg!(miri);

/// Returns the number of cases to try, or to find: `all`, but under Miri `few`.
pub const fn cases(all: usize, few: usize) -> usize {
    assert!(few <= all);
    if SAMPLED { few } else { all }
}

/// Returns the items to try: all, but under Miri `few` of them, evenly spaced, the first and the
/// last included. Of one, it is that in the middle.
pub fn sample<T>(few: usize, all: impl IntoIterator<Item = T>) -> Vec<T> {
    assert!(few > 0);
    let mut all: Vec<T> = all.into_iter().collect();
    let len = all.len();
    if SAMPLED && few < len {
        let place = |i| if few == 1 { len / 2 } else { i * (len - 1) / (few - 1) };
        let (mut at, mut i) = (0, 0);
        all.retain(|_| {
            let kept = i < few && at == place(i);
            at += 1;
            i += usize::from(kept);
            kept
        });
    }
    all
}
