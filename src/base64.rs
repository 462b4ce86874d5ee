//! The 67 characters of a cookie's value: its 50 bytes in base64url without padding
//! (RFC 4648 section 5), one spelling only.
//!
//! For this one length, so that no length is ever checked at run time: whether the panics of a
//! general decoder go away depends on what the compiler inlines, and the C library has to link at
//! every level of optimisation. The tests compare with such a decoder, `data-encoding`.

use crate::cookie::{RAW_LEN, VALUE_LEN};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What a byte that is no character of the alphabet stands for.
const BAD: u8 = 0x80;

static VALUES: [u8; 256] = {
    let mut values = [BAD; 256];
    let mut i = 0_u8;
    while i < 64 {
        values[ALPHABET[i as usize] as usize] = i;
        i += 1;
    }
    values
};

fn value_of(character: u8) -> u32 {
    VALUES[usize::from(character)].into()
}

const fn character(bits: u32, shift: u32) -> u8 {
    ALPHABET[(bits >> shift) as usize & 63]
}

/// Four characters for every three bytes; of the last two bytes, three.
pub(crate) fn encode(raw: &[u8; RAW_LEN]) -> [u8; VALUE_LEN] {
    let mut value = [0; VALUE_LEN];
    let (mut groups, triples) = (value.chunks_exact_mut(4), raw.chunks_exact(3));
    let last = triples.remainder();
    for (group, triple) in groups.by_ref().zip(triples) {
        if let ([a, b, c, d], &[x, y, z]) = (group, triple) {
            let bits = u32::from_be_bytes([0, x, y, z]);
            (*a, *b) = (character(bits, 18), character(bits, 12));
            (*c, *d) = (character(bits, 6), character(bits, 0));
        }
    }
    if let ([a, b, c], &[x, y]) = (groups.into_remainder(), last) {
        let bits = u32::from_be_bytes([0, x, y, 0]);
        (*a, *b, *c) = (character(bits, 18), character(bits, 12), character(bits, 6));
    }
    value
}

/// `None` unless all are characters of the alphabet, and the 2 bits beyond the last byte zero.
pub(crate) fn decode(value: &[u8; VALUE_LEN]) -> Option<[u8; RAW_LEN]> {
    let mut raw = [0; RAW_LEN];
    let mut seen = 0;
    let (groups, mut triples) = (value.chunks_exact(4), raw.chunks_exact_mut(3));
    let last = groups.remainder();
    for (group, triple) in groups.zip(triples.by_ref()) {
        if let (&[a, b, c, d], [x, y, z]) = (group, triple) {
            let (a, b, c, d) = (value_of(a), value_of(b), value_of(c), value_of(d));
            seen |= a | b | c | d;
            [_, *x, *y, *z] = (a << 18 | b << 12 | c << 6 | d).to_be_bytes();
        }
    }
    let mut rest = 0;
    if let (&[a, b, c], [x, y]) = (last, triples.into_remainder()) {
        let (a, b, c) = (value_of(a), value_of(b), value_of(c));
        seen |= a | b | c;
        [_, *x, *y, rest] = (a << 18 | b << 12 | c << 6).to_be_bytes();
    }
    if seen & u32::from(BAD) == 0 && rest == 0 { Some(raw) } else { None }
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
                *byte = crate::hash::mix(n).to_le_bytes()[0];
            }
            let value = encode(&raw);
            assert_eq!(BASE64URL_NOPAD.encode(&raw).as_bytes(), value);
            assert_eq!(decode(&value), Some(raw));
            // One byte changed, to every value in turn.
            let [changed, position, ..] = i.to_le_bytes();
            let mut other = value;
            other[usize::from(position) % VALUE_LEN] = changed;
            let expected = BASE64URL_NOPAD.decode(&other).ok();
            assert_eq!(decode(&other).map(|raw| raw.to_vec()), expected);
        }
    }
}
