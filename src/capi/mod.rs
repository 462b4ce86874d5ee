//! The C ABI of `include/tokenpin.h`, which cbindgen generates from this folder.
//!
//! Conventions, the same for every function:
//!
//! - A function that can fail returns a `tokenpin_status` number, 0 for success. It writes its
//!   outputs only on success, unless it says otherwise.
//! - Bytes are a pointer and a length in bytes, and never end in a NUL. `(NULL, 0)` is empty. Any
//!   other null pointer is a status, unless the function says that it may be NULL.
//! - Enums cross as fixed-width integers and are checked. A switch is 0 or 1. Times are unix
//!   seconds.
//! - A buffer that is too small stays unchanged, and the length needed is reported.
//! - Inputs are borrowed for the call. Only `tokenpin_affinity_new` allocates (one `malloc`).
//! - Every function may be called from any thread. Any number of threads may use an affinity or an
//!   array of slots at the same time. Only `_init`, `_wipe` and `_free` need exclusive access.
//! - Nothing panics, unwinds, aborts, blocks, logs, reads a clock or draws random numbers.
//!
//! As everywhere in C, callers must ensure the rest: a pointer that is not null points to as much
//! live memory as the call or this documentation says, and nothing else writes to that memory
//! during the call. Each `unsafe` below relies on that, and on its own checks.

#![allow(unsafe_code, reason = "the one place that talks to C")]
#![allow(non_camel_case_types, reason = "the names of the C header")]
#![allow(clippy::doc_markdown, reason = "written for readers of the header")]
#![allow(clippy::missing_safety_doc, reason = "one contract for all, stated above")]

#[cfg(tokenpin_artefact)]
mod artefact;
mod block;
mod constants;
mod enum_names;
mod pointers;
mod status;
mod structs;
mod wipe;

// The chapters of the header. Each states its number.
mod affinity;
mod classify;
mod cookie;
mod decide;
mod field;
mod ids;
mod select;
mod version;

pub use affinity::*;
pub use block::*;
pub use classify::*;
pub use constants::*;
pub use cookie::*;
pub use decide::*;
pub use enum_names::Enum;
pub use field::*;
pub use ids::*;
pub use select::*;
pub use status::*;
pub use structs::*;
pub use version::*;
