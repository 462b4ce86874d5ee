//! Output that is asked for room before its first byte, so that a buffer that is too small stays
//! untouched; and hexadecimal digits.

use crate::error::Error;

pub(crate) trait Sink {
    /// Checks that there is room for `needed` bytes.
    fn room(&mut self, needed: usize) -> Result<(), Error>;

    /// Appends `bytes`, which are within the room asked for.
    fn put(&mut self, bytes: &[u8]);
}

/// A borrowed buffer, filled from its front.
pub(crate) struct Slice<'a>(pub &'a mut [u8]);

impl Sink for Slice<'_> {
    fn room(&mut self, needed: usize) -> Result<(), Error> {
        if self.0.len() < needed { Err(Error::BufferTooSmall { needed }) } else { Ok(()) }
    }

    fn put(&mut self, bytes: &[u8]) {
        if let Some((now, later)) = core::mem::take(&mut self.0).split_at_mut_checked(bytes.len()) {
            now.copy_from_slice(bytes);
            self.0 = later;
        }
    }
}

/// Returns two lower-case hexadecimal digits.
pub(crate) const fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[(byte >> 4) as usize], DIGITS[(byte & 15) as usize]]
}

/// Returns the byte that two hexadecimal digits of either case spell.
pub(crate) fn unhex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}
