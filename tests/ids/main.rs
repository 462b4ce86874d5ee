//! Sealed ids: what docs/spec/sealed-ids.md promises of one id.
//!
//! Random tests print their seed; `TOKENPIN_SEED` in the environment brings it back.
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
