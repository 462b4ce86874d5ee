//! Tests of the layer, with a function in place of the provider.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
#![allow(clippy::cast_possible_truncation, reason = "random numbers are small")]

mod bodies;
mod configuration;
mod cooldowns;
mod credentials;
mod ids;
mod refusals;
mod reloads;
mod requests;
mod responses;
mod retries;
mod sealing;
mod stand;
