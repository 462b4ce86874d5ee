//! The jump consistent hash.

use criterion::Criterion;
use jumphash::CustomJumpHasher;
use tokenpin_test_support::paper;

use crate::fixtures::{chain, each, hashes};
use crate::peers::Unhashed;

pub fn bench(criterion: &mut Criterion) {
    let hashes = hashes();
    let crate_jumphash = CustomJumpHasher::new(Unhashed::default());
    let ours = |hash, n: u32| tokenpin::jump(hash, n).unwrap_or(u32::MAX);
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
        group.finish();

        let mut group = criterion.benchmark_group("jump-chain");
        chain(&mut group, "tokenpin", n, |hash| ours(hash, n));
        chain(&mut group, "paper", n, paper);
        group.finish();
    }
}
