//! The limits of the crate's arguments, each written once. Errors, the C header and generated code
//! of other languages take them from here.

/// The longest scope, in bytes.
pub const MAX_SCOPE: usize = 1024;
/// The longest consumer name or session key, in bytes.
pub const MAX_KEY: usize = 4096;
/// The largest weight: the token always serves the sessions whose home it is.
pub const MAX_WEIGHT: u32 = 65_536;
/// The latest `until`, in unix seconds: 45 bits, about a million years.
pub const MAX_UNTIL: u64 = (1 << 45) - 1;
/// The largest number of buckets and slots, `2^31 - 1`: the `int32_t` of jump's paper.
pub const MAX_BUCKETS: u32 = i32::MAX as u32;
/// The most cookie keys in a ring.
pub const MAX_COOKIE_KEYS: usize = 8;
/// The longest cookie name, in bytes.
pub const MAX_COOKIE_NAME: usize = 128;
/// The longest value of a cookie's attribute, in bytes (RFC 6265bis section 5.6).
pub const MAX_ATTRIBUTE: usize = 1024;
/// The largest `Max-Age`, in seconds: the 400 days that RFC 6265bis lets a cookie live.
pub const MAX_MAX_AGE: u32 = 34_560_000;
/// The longest `Set-Cookie` value around a cookie value of this crate, in bytes.
pub const MAX_SET_COOKIE: usize = 2_400;
/// The longest id of an object that is sealed, in bytes.
pub const MAX_ID: usize = 255;
/// The longest id that sealing makes, in bytes.
pub const MAX_SEALED_ID: usize = MAX_ID + 26;
