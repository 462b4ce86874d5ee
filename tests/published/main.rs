//! The parts against published data: every row of the `tests/vectors/*.csv`, and jump against the
//! listing of its paper. The folder is listed, so a file that no test knows fails.
//!
//! The rows of `siphash*.csv` are compared by the unit tests of src/sip.rs: the hash is private,
//! and a test from outside would check another implementation. When these tests run on other
//! machines and under Miri, the project's own vectors go through src/sip.rs.

use std::fs;
use std::hash::Hasher;
use std::path::Path;

use siphasher::sip::SipHasher13;
use tokenpin_test_support::random::Random;
use tokenpin_test_support::{ROOT, paper};

const MULTIPLIER: u64 = 2_862_933_555_777_941_757;

#[test]
fn every_row_of_every_published_file() {
    let folder = Path::new(ROOT).join("tests/vectors");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
        .collect();
    files.sort();
    for path in &files {
        let name = path.file_stem().unwrap().to_str().unwrap();
        if COMPARED_BY_SIP.contains(&name) {
            continue;
        }
        let (header, check) = checker(name);
        let text = fs::read_to_string(path).unwrap();
        let rows = rows(&text, header);
        for row in &rows {
            assert!(check(row), "{name}: {row:?}");
        }
        println!("{name}: {} rows", rows.len());
        assert!(!rows.is_empty(), "{name} is empty");
    }
    assert!(files.len() >= 12, "files are missing: {files:?}");
}

/// The files that the unit tests of src/sip.rs compare.
const COMPARED_BY_SIP: [&str; 5] = [
    "siphash13_128_generated_refC",
    "siphash13_64_generated_refC",
    "siphash13_64_rust-siphash",
    "siphash24_128",
    "siphash24_64",
];

/// Returns whether one row holds.
type Check = fn(&[&str]) -> bool;

/// Returns the columns of the file called `name`, and the check of its rows.
fn checker(name: &str) -> (&'static str, Check) {
    const BUCKETS: &str = "key,n,bucket";
    match name {
        "jump_rounding_edges" => ("key,n,reference_f64,guava_formula,exact_integer", rounding_edge),
        "pipeline_rust_jumphash_sip13_key0" => ("str,n,bucket", pipeline),
        _ if name.starts_with("jump_") => {
            (BUCKETS, |row| tokenpin::jump(number(row[0]), number(row[1])) == Ok(number(row[2])))
        }
        _ => panic!("no test knows {name}.csv"),
    }
}

/// The rows below the header, which has to be `header`.
fn rows<'a>(text: &'a str, header: &str) -> Vec<Vec<&'a str>> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some(header));
    let columns = header.split(',').count();
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert!(rows.iter().all(|row| row.len() == columns), "every row has {columns} columns");
    rows
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(field: &str) -> T {
    field.parse().unwrap()
}

/// `SipHash-1-3` under the zero key, of the text and one 0xFF, as Rust hashes a `str`.
fn pipeline(row: &[&str]) -> bool {
    let mut hasher = SipHasher13::new_with_key(&[0; 16]);
    hasher.write(row[0].as_bytes());
    hasher.write(&[0xff]);
    tokenpin::jump(hasher.finish(), number(row[1])) == Ok(number(row[2]))
}

/// Checks that the columns are as described, and that the variants really differ.
fn rounding_edge(row: &[&str]) -> bool {
    let (key, n): (u64, u32) = (number(row[0]), number(row[1]));
    let [reference, guava, exact]: [u32; 3] = [number(row[2]), number(row[3]), number(row[4])];
    tokenpin::jump(key, n) == Ok(reference)
        && jump_with(guava_formula, key, n) == guava
        && jump_with(exact_integer, key, n) == exact
        && reference != guava
        && reference != exact
}

/// Jump with `next(bucket + 1, divisor)` in place of the paper's arithmetic.
fn jump_with(next: fn(u64, u64) -> u64, mut key: u64, buckets: u32) -> u32 {
    let (mut bucket, mut candidate) = (0, 0);
    while candidate < u64::from(buckets) {
        bucket = candidate;
        key = key.wrapping_mul(MULTIPLIER).wrapping_add(1);
        candidate = next(bucket + 1, (key >> 33) + 1);
    }
    u32::try_from(bucket).unwrap()
}

/// Guava's `Hashing.consistentHash`: the fraction first, then one division.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversions of the original"
)]
fn guava_formula(bucket: u64, divisor: u64) -> u64 {
    (bucket as f64 / (divisor as f64 / (1_u64 << 31) as f64)) as u64
}

/// Computes without rounding.
fn exact_integer(bucket: u64, divisor: u64) -> u64 {
    (bucket << 31) / divisor
}

fn assert_as_in_the_paper(key: u64, n: u32) {
    let expected = paper::jump(key, i32::try_from(n).unwrap());
    assert_eq!(tokenpin::jump(key, n), Ok(u32::try_from(expected).unwrap()), "jump({key}, {n})");
}

#[test]
fn jump_is_the_listing_of_the_paper_on_random_pairs() {
    const PAIRS: u64 = 10_500_000;
    let mut random = Random::new("jump against the paper");
    for pair in 0..PAIRS {
        let key = random.word();
        let n = match pair % 4 {
            0 => 1 + random.below(100),
            // Log-uniform from 1 to 2^31 - 1.
            1 | 2 => (1 << 30 | random.below(1 << 30)) >> random.below(31),
            _ => [1, 2, 3, 65_535, 65_536, 65_537, 1 << 30, (1 << 31) - 2, (1 << 31) - 1]
                [usize::try_from(random.below(9)).unwrap()],
        };
        assert_as_in_the_paper(key, u32::try_from(n).unwrap());
    }
    for key in (0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1, !(1 << bit)]) {
        for n in [1, 2, 3, 1 << 16, (1 << 31) - 1] {
            assert_as_in_the_paper(key, n);
        }
    }
}

/// Keys whose second step lands on an integer: `(b + 1) * 2^31 / d = n` exactly, where `b + 1` is
/// no power of 2, so that the paper's quotient `2^31 / d` is rounded and its product may fall just
/// short of `n`; and the divisors next to `d`.
///
/// The key is found backwards. The upper 31 bits of the generator's second state are `d - 1`; the
/// lower 33 are free, and are drawn until the first state, one step back, leads to `b`.
#[test]
fn jump_is_the_listing_of_the_paper_at_rounding_edges() {
    const KEYS: u32 = 20_000;
    let mut random = Random::new("jump at rounding edges");
    let (mut made, mut rounded_down) = (0, 0);
    while made < KEYS {
        let b = 2 + random.below(160);
        let odd = (b + 1) >> (b + 1).trailing_zeros();
        // d * n = (b + 1) * 2^31 with d <= 2^31 a multiple of the odd part of b + 1.
        let shift = random.below(32);
        let d = odd << shift;
        if odd == 1 || d > 1 << 31 {
            continue;
        }
        let n = ((b + 1) << 31) / d;
        let aimed = match random.below(8) {
            0 => d - 1,
            1 => d + 1,
            _ => d,
        };
        if n <= b || n >= (1 << 31) - 1 || !(1..=1 << 31).contains(&aimed) {
            continue;
        }
        let key = loop {
            let second = (aimed - 1) << 33 | random.word() >> 31;
            let first = step_back(second);
            if (1 << 31) / ((first >> 33) + 1) == b {
                break step_back(first);
            }
        };
        let n = u32::try_from(n).unwrap();
        for buckets in [n - 1, n, n + 1] {
            assert_as_in_the_paper(key, buckets);
        }
        made += 1;
        rounded_down +=
            u32::from(jump_with(exact_integer, key, n + 1) != tokenpin::jump(key, n + 1).unwrap());
    }
    println!("{made} keys, on {rounded_down} the rounding decides");
    assert!(rounded_down > KEYS / 100, "the keys miss the edges");
}

/// The state before `state` of jump's generator.
fn step_back(state: u64) -> u64 {
    // Newton's iteration for the inverse modulo 2^64 doubles the right bits each time.
    let inverse = (0..6).fold(1_u64, |inverse, _| {
        inverse.wrapping_mul(2_u64.wrapping_sub(MULTIPLIER.wrapping_mul(inverse)))
    });
    state.wrapping_sub(1).wrapping_mul(inverse)
}
