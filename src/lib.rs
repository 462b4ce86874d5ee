//! Pins sessions to upstream API tokens.
//!
//! An AI gateway holds several accounts of one provider, and APIs with state answer 404
//! when a follow-up request goes out with another account's token. This crate says which
//! token of a set serves a request, the same on every replica and without shared storage,
//! and makes and checks the cookie that remembers it.
//!
//! Start at [`select()`] (which slot serves a key), [`cookie`] (the value of the cookie),
//! or [`Affinity`] (both, with the rules of a gateway around them).
//!
//! The crate is `no_std`, and nothing in it allocates, blocks, logs or reads a clock.
//! What it stores lies in memory that the caller lends.
//!
//! ```
//! use tokenpin::{Affinity, Config, CookieKey, Request, Role, Secret, Slot, Status};
//!
//! let keys = [CookieKey { id: 1, role: Role::Sign, secret: Secret::new([0x22; 16]) }];
//! let config = Config::new(Secret::new([0x11; 16]), &keys);
//! let slots = [Slot::new(b"account-a", Status::UP)?, Slot::new(b"account-b", Status::UP)?];
//! let mut index = [0; Affinity::index_len(2)];
//! let affinity = Affinity::new(&config, &slots, &mut index)?;
//!
//! let request = Request {
//!     method: b"POST",
//!     target: b"/v1/responses",
//!     now: 1_800_000_000,
//!     entropy: [7; 16], // sixteen fresh random bytes
//!     ..Request::default()
//! };
//! let decision = affinity.decide(&request, [&b"theme=dark"[..]])?;
//! assert!(decision.slot.is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![cfg_attr(not(feature = "capi"), forbid(unsafe_code))]
#![cfg_attr(feature = "capi", deny(unsafe_code))]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(test)]
#[macro_use]
extern crate std;

mod affinity;
mod base64;
#[cfg(feature = "capi")]
pub mod capi;
mod classify;
pub mod cookie;
mod decide;
mod error;
mod hash;
pub mod header;
mod jump;
mod key;
mod names;
mod rendezvous;
mod ring;
mod secret;
mod select;
pub mod set_cookie;
mod sink;
mod slot;

pub use affinity::{Affinity, Config, Policy};
pub use classify::{Class, DEFAULT_RULES, Group, Rule, check_rules, classify};
pub use cookie::{Audience, Cookie, Limits, MAX_NAME, VALUE_LEN, Value, Verdict};
pub use decide::{
    Answer, Decision, KeyInput, KeyReason, Outcome, Pending, PinState, Request, Source,
};
pub use error::{ConfigError, Error, Field};
pub use hash::{MAX_SCOPE, fnv1a32, identity_hash, key_hash, mix};
pub use jump::{MAX_BUCKETS, jump};
pub use key::{Key, Kind, MAX_KEY};
pub use rendezvous::neg_log2;
pub use ring::{CookieKey, KeyRing, MAX_KEYS, Role};
pub use secret::Secret;
pub use select::{Filter, Strategy, select, select_batch};
pub use set_cookie::{
    Attributes, CookieName, MAX_ATTRIBUTE, MAX_MAX_AGE, MAX_SET_COOKIE, SameSite,
};
pub use slot::{MAX_UNTIL, MAX_WEIGHT, Slot, State, Status};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The version of this crate, and of the C library built from it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
