//! The properties that docs/spec/selection.md promises, by brute force: moves counted key by key,
//! shares by chi-square, and every answer against a slow model of that page.
//!
//! Random tests print their seed; `TOKENPIN_SEED` in the environment repeats it.

#![expect(
    clippy::cast_precision_loss,
    reason = "counts, far below 2^53, become doubles for statistics"
)]

mod balance;
mod batch;
mod fleet;
mod higress;
mod model;
mod moves;
mod oracle;
mod probe;
mod table;
