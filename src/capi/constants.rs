//! The constants of the header. They are literals, because cbindgen reads only those; the core's
//! limits are checked against them.

use crate::cookie::value::VALUE_LEN;
use crate::ids::fields::NO_KEY;
use crate::ids::form::MARK_LEN;
use crate::limits;

/// The version of this interface. It is raised when a program compiled against an older header
/// could misbehave. Compare it with `tokenpin_abi_version()`.
pub const TOKENPIN_ABI_VERSION: u32 = 1;
/// The number for no slot.
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
/// The longest `Set-Cookie` value around a cookie value of this library, in bytes.
pub const TOKENPIN_MAX_SET_COOKIE: usize = 2400;
/// The largest `Max-Age`, in seconds: 400 days.
pub const TOKENPIN_MAX_MAX_AGE: u32 = 34_560_000;
/// A `Max-Age` that follows from the limits on the cookie's life.
pub const TOKENPIN_MAX_AGE_AUTO: u32 = 0xffff_ffff;
/// The longest id of an object that is sealed, in bytes.
pub const TOKENPIN_MAX_ID: usize = 255;
/// The longest sealed id, in bytes.
pub const TOKENPIN_MAX_SEALED_ID: usize = 281;
/// The length of the mark behind encrypted content, in characters.
pub const TOKENPIN_ID_MARK_LEN: usize = 26;
/// The number for no key of the table of ids.
pub const TOKENPIN_ID_KEY_NONE: u8 = 255;
/// The alignment of the memory for an affinity, in bytes. `malloc` provides it.
pub const TOKENPIN_AFFINITY_ALIGN: usize = 16;

// The core is the source of each number.
const _: () = assert!(
    TOKENPIN_MAX_WEIGHT == limits::MAX_WEIGHT
        && TOKENPIN_MAX_BUCKETS == limits::MAX_BUCKETS
        && TOKENPIN_MAX_UNTIL == limits::MAX_UNTIL
        && TOKENPIN_MAX_SCOPE == limits::MAX_SCOPE
        && TOKENPIN_MAX_KEY == limits::MAX_KEY
        && TOKENPIN_MAX_COOKIE_KEYS == limits::MAX_COOKIE_KEYS
        && TOKENPIN_MAX_COOKIE_NAME == limits::MAX_COOKIE_NAME
        && TOKENPIN_COOKIE_VALUE_LEN == VALUE_LEN
        && TOKENPIN_MAX_ATTRIBUTE == limits::MAX_ATTRIBUTE
        && TOKENPIN_MAX_SET_COOKIE == limits::MAX_SET_COOKIE
        && TOKENPIN_MAX_MAX_AGE == limits::MAX_MAX_AGE
        && TOKENPIN_MAX_ID == limits::MAX_ID
        && TOKENPIN_MAX_SEALED_ID == limits::MAX_SEALED_ID
        && TOKENPIN_ID_MARK_LEN == MARK_LEN
        && TOKENPIN_ID_KEY_NONE == NO_KEY
);
