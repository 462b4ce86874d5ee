//! The 67 characters of a cookie's value: its 50 bytes in base64url without padding
//! (RFC 4648 section 5), one spelling only.
//!
//! The constant lengths are what lets the compiler drop the library's panics.

use data_encoding::BASE64URL_NOPAD;

use crate::cookie::{RAW_LEN, VALUE_LEN};

pub(crate) fn encode(raw: &[u8; RAW_LEN]) -> [u8; VALUE_LEN] {
    let mut value = [0; VALUE_LEN];
    BASE64URL_NOPAD.encode_mut(raw, &mut value);
    value
}

/// `None` unless all are characters of the alphabet, and the 2 bits beyond the last byte zero.
pub(crate) fn decode(value: &[u8; VALUE_LEN]) -> Option<[u8; RAW_LEN]> {
    let mut raw = [0; RAW_LEN];
    BASE64URL_NOPAD.decode_mut(value, &mut raw).ok()?;
    Some(raw)
}
