//! Keyed hashing: `SipHash` (Aumasson and Bernstein, 2012) over bytes.
//!
//! With 1-3 rounds it places keys, with 2-4 rounds it names accounts and authenticates cookies.
//! Bytes are always fed as bytes, never through `Hash`, so that no length or terminator slips in.

use siphasher::sip::SipHasher24;
use siphasher::sip128::SipHasher24 as WideHasher;

/// `u32le(len(bytes))`, which keeps two fields in a row from running into each other.
/// Every caller has checked the length against a bound far below 2^32.
#[expect(clippy::cast_possible_truncation, reason = "bounded by MAX_SCOPE or MAX_KEY")]
pub(crate) fn length_prefix(bytes: &[u8]) -> [u8; 4] {
    (bytes.len() as u32).to_le_bytes()
}

pub(crate) fn sip24(key: &[u8; 16], message: &[u8]) -> u64 {
    SipHasher24::new_with_key(key).hash(message)
}

/// The 16 output bytes of `SipHash-2-4-128`.
#[inline(never)]
pub(crate) fn sip24_wide(key: &[u8; 16], message: &[u8]) -> [u8; 16] {
    WideHasher::new_with_key(key).hash(message).as_bytes()
}
