//! Base64url without padding (RFC 4648 section 5), one spelling only.
//!
//! Of one length, for everything, and in one place: constant lengths let the compiler drop data-encoding's
//! panics. Whatever is shorter is followed by zero bytes, whose characters are left out.

use data_encoding::BASE64URL_NOPAD;

/// So many bytes are
pub(crate) const BYTES: usize = 50;
/// so many characters.
pub(crate) const CHARACTERS: usize = 67;

// Both functions write to the caller's memory: a result would be copied right after it was written byte by
// byte, which stalls the processor.

#[inline(never)]
pub(crate) fn encode(bytes: &[u8; BYTES], text: &mut [u8; CHARACTERS]) {
    BASE64URL_NOPAD.encode_mut(bytes, text);
}

/// Returns whether all characters are of the alphabet, and the 2 bits beyond the last byte zero.
#[inline(never)]
pub(crate) fn decode(text: &[u8; CHARACTERS], bytes: &mut [u8; BYTES]) -> bool {
    BASE64URL_NOPAD.decode_mut(text, bytes).is_ok()
}
