//! Cookies that nobody with a key has made: none is used, and none has a say in which slot serves.
//! And what a client can aim at, and see, without a key.
//!
//! Random tests print their seed; `TOKENPIN_SEED` in the environment brings it back.

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
