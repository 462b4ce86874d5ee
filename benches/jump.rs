//! The jump consistent hash.

use criterion::Criterion;
use jumphash::CustomJumpHasher;
use tokenpin_test_support::chi_square::Fit;
use tokenpin_test_support::paper;

use crate::fixtures::{chain, each, hashes};
use crate::peers::{Unhashed, jump_back};

/// Checks a hash other than jump. Its buckets may differ, but each is as frequent as every other,
/// and a new bucket takes keys only to itself.
fn check_jump_back(hashes: &[u64]) {
    for n in [8_u32, 13, 64] {
        let mut counts = vec![0; n as usize];
        for &hash in hashes {
            for bits in 0..16 {
                counts[jump_back(hash ^ bits, n) as usize] += 1;
            }
        }
        let fit = Fit::of(&counts, &vec![1.0 / f64::from(n); n as usize]);
        assert!(!fit.rejects(), "{n} buckets: {fit:?}");
    }
    for &hash in hashes {
        let mut before = 0;
        for n in 1..200 {
            let bucket = jump_back(hash, n);
            assert!(bucket == before || bucket == n - 1, "{bucket} of {n}, {before} before");
            before = bucket;
        }
    }
}

pub fn bench(criterion: &mut Criterion) {
    let hashes = hashes();
    let crate_jumphash = CustomJumpHasher::new(Unhashed::default());
    let ours = |hash, n: u32| tokenpin::jump(hash, n).unwrap_or(u32::MAX);
    check_jump_back(&hashes);
    for n in [8_u32, 16, 64, 1024] {
        let paper = |hash| paper::jump(hash, n.cast_signed()).cast_unsigned();
        for &hash in &hashes {
            let bucket = paper(hash);
            assert_eq!(ours(hash, n), bucket);
            assert_eq!(crate_jumphash.slot(&hash, n), bucket);
            assert_eq!(jumpch::hash(hash, n), bucket);
        }

        let mut group = criterion.benchmark_group("jump");
        each(&mut group, "tokenpin", n, &hashes, |hash| ours(hash, n));
        each(&mut group, "paper", n, &hashes, paper);
        each(&mut group, "jumphash", n, &hashes, |hash| crate_jumphash.slot(&hash, n));
        each(&mut group, "jumpch", n, &hashes, |hash| jumpch::hash(hash, n));
        each(&mut group, "jump-back", n, &hashes, |hash| jump_back(hash, n));
        group.finish();

        let mut group = criterion.benchmark_group("jump-chain");
        chain(&mut group, "tokenpin", n, |hash| ours(hash, n));
        chain(&mut group, "paper", n, paper);
        chain(&mut group, "jump-back", n, |hash| jump_back(hash, n));
        group.finish();
    }
}
