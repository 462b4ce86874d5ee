//! Base64url without padding (RFC 4648 section 5), one spelling only.
//!
//! All of it has one length. A shorter value is followed by zero bytes, whose characters are left
//! out. It is written by hand: what crates offer for all lengths and alphabets can panic, and only
//! the largest code shows that it never does.

/// The number of bytes.
pub(crate) const BYTES: usize = 50;
/// The number of characters that they make.
pub(crate) const CHARACTERS: usize = 67;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The value of a character of the alphabet, and a number above 63 for other bytes.
static VALUES: [u8; 256] = {
    let (mut values, mut value) = ([u8::MAX; 256], 0_u8);
    while value < 64 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// Returns the value of a character of the alphabet, and a number above 63 for other bytes.
pub(crate) fn value(character: u8) -> u8 {
    VALUES[usize::from(character)]
}

/// Returns whether all characters are in the alphabet. Reads eight at a time, and the last eight
/// again even if they overlap.
pub(crate) fn is_spelled(text: &[u8]) -> bool {
    match text.last_chunk() {
        Some(last) => text
            .chunks_exact(8)
            .filter_map(<[u8]>::first_chunk)
            .chain([last])
            .copied()
            .all(are_spelled),
        None => text.iter().fold(0, |all, &byte| all | value(byte)) < 64,
    }
}

/// Computes in one byte of a word for each character. Among bytes below 128, a sum sets the highest
/// bit if a bound is reached, and never carries into its neighbour.
fn are_spelled(bytes: [u8; 8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(bytes);
    let low = word & (EACH * 0x7f);
    let at_least = |word: u64, bound: u8| word + EACH * u64::from(0x80 - bound);
    let within = |word, first: u8, last: u8| at_least(word, first) & !at_least(word, last + 1);
    let is = |byte: u8| !at_least(low ^ (EACH * u64::from(byte)), 1);
    let letter = within(low | (EACH * 0x20), b'a', b'z');
    let spelled = letter | within(low, b'0', b'9') | is(b'_') | is(b'-');
    spelled & !word & (EACH * 0x80) == EACH * 0x80
}

// Both functions write to the caller's memory. A result would be copied right after it was written
// byte by byte, which stalls the processor.

#[inline(never)]
pub(crate) fn encode(bytes: &[u8; BYTES], text: &mut [u8; CHARACTERS]) {
    let characters = |[a, b, c]: [u8; 3]| {
        let word = u32::from_be_bytes([0, a, b, c]);
        let character = |shift: u32| ALPHABET[(word >> shift) as usize % 64];
        [character(18), character(12), character(6), character(0)]
    };
    let (mut groups, mut places) = (bytes.chunks_exact(3), text.chunks_exact_mut(4));
    for (group, place) in groups.by_ref().zip(places.by_ref()) {
        if let (&[a, b, c], [first, second, third, fourth]) = (group, place) {
            [*first, *second, *third, *fourth] = characters([a, b, c]);
        }
    }
    if let (&[a, b], [first, second, third]) = (groups.remainder(), places.into_remainder()) {
        [*first, *second, *third, _] = characters([a, b, 0]);
    }
}

/// Returns whether all characters are in the alphabet, and the 2 bits beyond the last byte are
/// zero.
#[inline(never)]
pub(crate) fn decode(text: &[u8; CHARACTERS], bytes: &mut [u8; BYTES]) -> bool {
    let mut foreign = 0;
    let mut group = |characters: [u8; 4]| {
        let [a, b, c, d] = characters.map(value);
        foreign |= a | b | c | d;
        let front = u32::from(a) << 18 | u32::from(b) << 12;
        (front | u32::from(c) << 6 | u32::from(d)).to_be_bytes()
    };
    let (mut groups, mut places) = (text.chunks_exact(4), bytes.chunks_exact_mut(3));
    for (characters, place) in groups.by_ref().zip(places.by_ref()) {
        if let (&[a, b, c, d], [first, second, third]) = (characters, place) {
            [_, *first, *second, *third] = group([a, b, c, d]);
        }
    }
    let mut beyond = 0;
    if let (&[a, b, c], [first, second]) = (groups.remainder(), places.into_remainder()) {
        [_, *first, *second, beyond] = group([a, b, c, b'A']);
    }
    foreign < 64 && beyond == 0
}

#[cfg(test)]
mod tests {
    use std::prelude::rust_2024::*;

    use data_encoding::BASE64URL_NOPAD;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_what_a_crate_makes(bytes in any::<[[u8; 10]; 5]>()) {
            let mut given = [0; BYTES];
            given.copy_from_slice(bytes.as_flattened());
            let (mut text, mut again) = ([0; CHARACTERS], [0; BYTES]);
            encode(&given, &mut text);
            prop_assert_eq!(text.to_vec(), BASE64URL_NOPAD.encode(&given).into_bytes());
            prop_assert!(decode(&text, &mut again) && again == given);
        }
    }

    /// Every byte in every place of texts of every length, among characters of the alphabet.
    #[test]
    fn what_is_spelled_has_no_other_character() {
        assert!(is_spelled(b""));
        for len in 1..=CHARACTERS {
            for place in 0..len {
                for byte in 0..=u8::MAX {
                    let mut text: Vec<u8> =
                        (0..len).map(|i| ALPHABET[(i * 7 + place) % 64]).collect();
                    text[place] = byte;
                    assert_eq!(
                        is_spelled(&text),
                        ALPHABET.contains(&byte),
                        "{byte:#x} at {place} of {len}"
                    );
                }
            }
        }
    }

    /// Every byte in every place of a text, among characters of the alphabet.
    #[test]
    fn what_is_decoded_is_what_a_crate_takes() {
        let (mut made, mut expected) = ([0; BYTES], [0; BYTES]);
        for place in 0..CHARACTERS {
            for byte in 0..=u8::MAX {
                let mut text: [u8; CHARACTERS] =
                    core::array::from_fn(|i| ALPHABET[(i * 7 + usize::from(byte)) % 64]);
                text[CHARACTERS - 1] = b'A';
                text[place] = byte;
                let good = BASE64URL_NOPAD.decode_mut(&text, &mut expected).is_ok();
                assert_eq!(decode(&text, &mut made), good, "{byte:#x} at {place}");
                assert!(!good || made == expected, "{byte:#x} at {place}");
            }
        }
    }
}
