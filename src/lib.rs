//! Pins sessions to upstream API tokens.
//!
//! An AI gateway holds several accounts of one provider, and APIs with state answer 404 when a
//! follow-up request is sent with another account's token. This crate says which token of a set
//! serves a request, the same on every replica and without shared storage. It also makes and checks
//! the cookie that remembers the token.
//!
//! Start at [`select()`] (which slot serves a key), [`cookie`] (the value of the cookie), or
//! [`Affinity`] (both, with the rules of a gateway around them). The [guide] has the
//! specifications, and says how the crate is put into a proxy and run.
//!
//! The crate is `no_std`. It does not allocate, block, log or read a clock. It keeps its data in
//! memory that the caller lends.
//!
//! Features, all off by default: `alloc` adds `OwnedAffinity`, which owns that memory, and
//! `gateway`, the answers of a gateway itself, for programs that have an allocator anyway. `capi`
//! is the C ABI of `include/tokenpin.h`. `critical-section` lets the crate build for targets
//! without compare-and-swap, such as `thumbv6m-none-eabi`.
//!
//! ```
//! use tokenpin::{Affinity, Config, CookieKey, Request, Role, Secret, Slot, SlotStatus};
//!
//! let keys = [CookieKey { id: 1, role: Role::Sign, secret: Secret::new([0x22; 16]) }];
//! let config = Config::new(Secret::new([0x11; 16]), &keys);
//! let slots = [Slot::new(b"a", SlotStatus::UP)?, Slot::new(b"b", SlotStatus::UP)?];
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

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

mod base64;
mod bytes;
#[cfg(feature = "capi")]
pub mod capi;
pub mod cookie;
mod credentials;
mod decide;
mod enums;
mod error;
#[cfg(feature = "alloc")]
pub mod gateway;
#[cfg(all(doc, not(doctest)))]
pub mod guide;
pub mod ids;
mod key;
mod limits;
mod ring;
mod secret;
mod select;
mod sink;
mod sip;
mod words;

pub use cookie::name::{Audience, CookieName};
pub use cookie::reader::Limits;
pub use cookie::ring::KeyRing;
pub use cookie::set_cookie::{Attributes, SameSite};
pub use cookie::value::{Cookie, VALUE_LEN, Value, Verdict};
pub use credentials::{CREDENTIAL_KEYS, CREDENTIAL_WORDS, PAYER_HEADERS, is_client_credential};
pub use decide::affinity::Affinity;
pub use decide::classify::{Class, DEFAULT_RULES, Group, Rule, check_rules, classify};
pub use decide::config::{Config, IdConfig, IdOwner, Policy};
pub use decide::decision::{Answer, Decision, Outcome, Pending, PinState, Refusal, Source};
#[cfg(feature = "alloc")]
pub use decide::owned::OwnedAffinity;
pub use decide::request::{KeyInput, KeyReason, Request};
pub use error::{ConfigError, Error, Field};
pub use ids::id::{IdRing, IdSealer, IdVerdict, OpenedId, SealedId};
pub use key::{Key, Kind, key_hash};
pub use limits::{
    MAX_ATTRIBUTE, MAX_BUCKETS, MAX_COOKIE_KEYS, MAX_COOKIE_NAME, MAX_ID, MAX_KEY, MAX_MAX_AGE,
    MAX_SCOPE, MAX_SEALED_ID, MAX_SET_COOKIE, MAX_UNTIL, MAX_WEIGHT,
};
pub use ring::{CookieKey, Role};
pub use secret::Secret;
pub use select::batch::select_batch;
pub use select::higress::select_higress;
pub use select::jump::jump;
pub use select::rendezvous::{mix, neg_log2};
pub use select::slot::{Filter, Slot, SlotStatus, State, identity_hash};
pub use select::{Strategy, select};

/// The version of this crate, and of the C library built from it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
