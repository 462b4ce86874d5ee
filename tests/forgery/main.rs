//! Cookies that no key holder has made: none is used, and none influences the slot. And the limits
//! of what a client can aim at, and see, without a key.
//!
//! Random tests print their seed; `TOKENPIN_SEED` in the environment repeats it.

#![expect(
    clippy::cast_precision_loss,
    reason = "counts, far below 2^53, become doubles for statistics"
)]

mod cuts;
mod flips;
mod gateway;
mod ids;
mod looks;
mod mass;
mod near_misses;
mod placement;
mod splices;
mod transplants;
