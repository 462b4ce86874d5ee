//! The parts that tests, fuzz targets and benchmarks share: models written from the pages in docs/,
//! random numbers, statistics, and the paper's jump.
//!
//! A model is slow and obvious. It is written from the text, and never from the code it is compared
//! with.

#[expect(
    clippy::cast_precision_loss,
    reason = "counts, far below 2^53, become doubles for statistics"
)]
pub mod chi_square;
pub mod classification;
pub mod decision;
pub mod ids;
pub mod page;
pub mod paper;
pub mod random;
pub mod sample;

/// The root of the checkout.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Returns lower-case hexadecimal digits, without formatting, which takes the interpreter Miri four
/// times as long.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
