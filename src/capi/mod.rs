//! The C ABI of `include/tokenpin.h`, which cbindgen makes from this folder.
//!
//! Conventions, the same for every function:
//!
//! - It returns a `tokenpin_status` number, 0 for success, and writes its outputs on success only,
//!   unless it says otherwise.
//! - Bytes are a pointer and a length in bytes, and never end in a NUL. `(NULL, 0)` is empty; any
//!   other null pointer is a status, unless the function says that it may be NULL.
//! - Enums cross as fixed-width integers and are checked. A switch is 0 or 1. Times are unix seconds.
//! - A buffer that is too small is left alone, and the length needed is reported.
//! - Inputs are borrowed for the call. Only `tokenpin_affinity_new` allocates (one `malloc`).
//! - Every function may be called from any thread. An affinity and an array of slots may be used by
//!   any number of threads at the same time; only `_init`, `_wipe` and `_free` need it for themselves.
//! - Nothing panics, unwinds, aborts, blocks, logs, reads a clock or draws random numbers.
//!
//! What callers must still get right, here as anywhere in C: a pointer that is not null
//! points to as much live memory as the function is told or says, and nobody else writes
//! to it meanwhile. Each `unsafe` below rests on that, and on what it checks itself.
#![allow(unsafe_code, reason = "the one place that talks to C")]
#![allow(non_camel_case_types, reason = "the names of the C header")]
#![allow(clippy::doc_markdown, reason = "written for readers of the header")]
#![allow(clippy::missing_safety_doc, reason = "one contract for all, stated above")]

#[cfg(tokenpin_artefact)]
mod artefact;
mod block;
mod enum_names;
mod pointers;
mod status;
mod structs;
mod wipe;

// The chapters of the header, in reading order.
mod affinity;
mod classify;
mod cookie;
mod decide;
mod field;
mod select;
mod version;

pub use affinity::*;
pub use block::*;
pub use classify::*;
pub use cookie::*;
pub use decide::*;
pub use enum_names::Enum;
pub use field::*;
pub use select::*;
pub use status::*;
pub use structs::*;
pub use version::*;

/// The version of this interface: raised when a program compiled against an older header
/// could misbehave. Compare with `tokenpin_abi_version()`.
pub const TOKENPIN_ABI_VERSION: u32 = 1;
/// No slot.
pub const TOKENPIN_SLOT_NONE: u32 = 0xffff_ffff;
/// The largest weight: the token always serves the sessions whose home it is.
pub const TOKENPIN_MAX_WEIGHT: u32 = 65_536;
/// The largest number of buckets and slots, 2^31 - 1.
pub const TOKENPIN_MAX_BUCKETS: u32 = 0x7fff_ffff;
/// The latest `until` of a slot, in unix seconds: 2^45 - 1.
pub const TOKENPIN_MAX_UNTIL: u64 = 0x1fff_ffff_ffff;
/// The longest scope, in bytes.
pub const TOKENPIN_MAX_SCOPE: usize = 1024;
/// The longest consumer name or session key, in bytes.
pub const TOKENPIN_MAX_KEY: usize = 4096;
/// The most cookie keys in a ring.
pub const TOKENPIN_MAX_COOKIE_KEYS: usize = 8;
/// The longest cookie name, in bytes.
pub const TOKENPIN_MAX_COOKIE_NAME: usize = 128;
/// The length of a cookie's value, in characters.
pub const TOKENPIN_COOKIE_VALUE_LEN: usize = 67;
/// The longest value of a cookie's attribute, in bytes.
pub const TOKENPIN_MAX_ATTRIBUTE: usize = 1024;
/// No `Set-Cookie` value around a cookie value of this library is longer, in bytes.
pub const TOKENPIN_MAX_SET_COOKIE: usize = 2400;
/// The largest `Max-Age`, in seconds: 400 days.
pub const TOKENPIN_MAX_MAX_AGE: u32 = 34_560_000;
/// `Max-Age` follows from the limits on the cookie's life.
pub const TOKENPIN_MAX_AGE_AUTO: u32 = 0xffff_ffff;
/// The alignment of the memory for an affinity, in bytes; what `malloc` gives.
pub const TOKENPIN_AFFINITY_ALIGN: usize = 16;

// One source for each number: the core.
const _: () = assert!(
    TOKENPIN_MAX_WEIGHT == crate::MAX_WEIGHT
        && TOKENPIN_MAX_BUCKETS == crate::MAX_BUCKETS
        && TOKENPIN_MAX_UNTIL == crate::MAX_UNTIL
        && TOKENPIN_MAX_SCOPE == crate::MAX_SCOPE
        && TOKENPIN_MAX_KEY == crate::MAX_KEY
        && TOKENPIN_MAX_COOKIE_KEYS == crate::MAX_COOKIE_KEYS
        && TOKENPIN_MAX_COOKIE_NAME == crate::MAX_COOKIE_NAME
        && TOKENPIN_COOKIE_VALUE_LEN == crate::VALUE_LEN
        && TOKENPIN_MAX_ATTRIBUTE == crate::MAX_ATTRIBUTE
        && TOKENPIN_MAX_SET_COOKIE == crate::MAX_SET_COOKIE
        && TOKENPIN_MAX_MAX_AGE == crate::MAX_MAX_AGE
);
