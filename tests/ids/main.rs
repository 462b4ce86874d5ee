//! Sealed ids: the promises of docs/spec/sealed-ids.md.
//!
//! Random tests print their seed; `TOKENPIN_SEED` in the environment repeats it.
#![deny(clippy::pedantic)]

mod bodies;
mod cases;
mod docs;
mod events;
mod fleet;
mod nasty;
mod one;
mod paths;
mod world;
