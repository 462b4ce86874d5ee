//! Cookies that nobody with a key has made: none is used, and none has a say in which slot serves.
//! And what a client can aim at, and see, without a key.
//!
//! Random tests print their seed; `TOKENPIN_SEED` in the environment brings it back.

#[expect(
    clippy::cast_precision_loss,
    reason = "counts, far below 2^53, become doubles for statistics"
)]
mod forgery {
    #[expect(dead_code, reason = "tests/selection/ uses all of it")]
    #[path = "../selection/chi_square.rs"]
    mod chi_square;
    mod cuts;
    mod flips;
    mod gateway;
    mod looks;
    mod mass;
    mod near_misses;
    mod placement;
    #[path = "../selection/random.rs"]
    mod random;
    mod splices;
    mod transplants;
}
