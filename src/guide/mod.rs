//! The guide, and the specifications behind it: pages of the repository.
//!
//! * [`embedding`]: the library in a proxy, step by step, in Rust, with whole filters in C++ and in
//!   C.
//! * [`operations`]: running it. Rotation, draining, growth, what to watch.
//! * [`decision`]: every rule of [`Affinity::decide`](crate::Affinity::decide), and the
//!   configuration.
//! * [`selection`]: which slot serves a key.
//! * [`cookie_format`]: the cookie, byte by byte.
//! * [`sealed_ids`]: ids that name the account in which their object lives.
//!
//! This module exists in the documentation only.
#![expect(rustdoc::invalid_rust_codeblocks, reason = "the pages are for readers of all languages")]

#[doc = include_str!("cookie_format.md")]
pub mod cookie_format {}
#[doc = include_str!("decision.md")]
pub mod decision {}
#[doc = include_str!("embedding.md")]
pub mod embedding {}
#[doc = include_str!("operations.md")]
pub mod operations {}
#[doc = include_str!("sealed_ids.md")]
pub mod sealed_ids {}
#[doc = include_str!("selection.md")]
pub mod selection {}
