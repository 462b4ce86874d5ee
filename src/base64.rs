//! The 67 characters of a cookie's value: its 50 bytes in base64url without padding
//! (RFC 4648 section 5), one spelling only.
//!
//! Not a crate's, because none of them is without a reachable panic at every level of
//! optimisation, and this length alone is needed. The tests compare with a crate.

use crate::cookie::{RAW_LEN, VALUE_LEN};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What a byte that is no character of the alphabet stands for.
const BAD: u8 = 0x80;

static VALUES: [u8; 256] = {
    let mut values = [BAD; 256];
    let mut i = 0;
    while i < 64 {
        values[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    values
};

/// Eight characters for every six bytes; of the last two bytes, three.
#[inline(never)]
pub(crate) fn encode(raw: &[u8; RAW_LEN]) -> [u8; VALUE_LEN] {
    let mut value = [0; VALUE_LEN];
    let character = |bits: u64, shift: u32| ALPHABET[(bits >> shift) as usize & 63];
    let (mut groups, sixes) = (value.chunks_exact_mut(8), raw.chunks_exact(6));
    let last = sixes.remainder();
    for (group, six) in groups.by_ref().zip(sixes) {
        let bits = six.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte));
        for (i, out) in (0..).zip(group) {
            *out = character(bits, 42 - 6 * i);
        }
    }
    if let ([a, b, c], &[x, y]) = (groups.into_remainder(), last) {
        let bits = u64::from_be_bytes([0, 0, 0, 0, 0, x, y, 0]);
        (*a, *b, *c) = (character(bits, 18), character(bits, 12), character(bits, 6));
    }
    value
}

/// `None` unless all are characters of the alphabet, and the 2 bits beyond the last byte zero.
#[inline(never)]
pub(crate) fn decode(value: &[u8; VALUE_LEN]) -> Option<[u8; RAW_LEN]> {
    let mut raw = [0; RAW_LEN];
    let mut seen = 0;
    let mut bits_of = |characters: &[u8]| {
        characters.iter().fold(0, |bits: u64, &character| {
            let value = VALUES[usize::from(character)];
            seen |= value;
            bits << 6 | u64::from(value)
        })
    };
    let (groups, mut sixes) = (value.chunks_exact(8), raw.chunks_exact_mut(6));
    let last = bits_of(groups.remainder());
    for (group, six) in groups.zip(sixes.by_ref()) {
        let [_, _, bytes @ ..] = bits_of(group).to_be_bytes();
        six.copy_from_slice(&bytes);
    }
    if let [x, y] = sixes.into_remainder() {
        [_, _, _, _, _, _, *x, *y] = (last >> 2).to_be_bytes();
    }
    if seen & BAD == 0 && last & 3 == 0 { Some(raw) } else { None }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;

    use super::*;

    #[test]
    fn agrees_with_a_crate() {
        let mut raw = [0; RAW_LEN];
        for i in 0..20_000_u64 {
            for (byte, n) in raw.iter_mut().zip(i..) {
                *byte = crate::hash::mix(n) as u8;
            }
            let value = encode(&raw);
            assert_eq!(BASE64URL_NOPAD.encode(&raw).as_bytes(), value);
            assert_eq!(decode(&value), Some(raw));
            // One byte changed, to every value in turn.
            let mut other = value;
            other[(i / 256) as usize % VALUE_LEN] = i as u8;
            let expected = BASE64URL_NOPAD.decode(&other).ok();
            assert_eq!(decode(&other).map(|raw| raw.to_vec()), expected);
        }
    }
}
