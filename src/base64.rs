//! The 67 characters of a cookie's value: its 50 bytes in base64url without padding
//! (RFC 4648 section 5), one spelling only.
//!
//! The constant lengths are what lets the compiler drop the library's panics.

use data_encoding::BASE64URL_NOPAD;

use crate::cookie::{RAW_LEN, VALUE_LEN};

// Both write what their caller has: returned, it would be copied at once, and a processor waits long
// for many bytes that were written one by one.

pub(crate) fn encode(raw: &[u8; RAW_LEN], value: &mut [u8; VALUE_LEN]) {
    BASE64URL_NOPAD.encode_mut(raw, value);
}

/// Returns whether all are characters of the alphabet, and the 2 bits beyond the last byte zero.
pub(crate) fn decode(value: &[u8; VALUE_LEN], raw: &mut [u8; RAW_LEN]) -> bool {
    BASE64URL_NOPAD.decode_mut(value, raw).is_ok()
}
