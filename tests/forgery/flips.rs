//! One changed bit, or one changed character. Exhaustive.

use tokenpin::Verdict;

use crate::gateway::{Gateway, KINDS, genuine, raw_of, reason, value_of};

/// Each of the 400 bits, in requests of every kind.
#[test]
fn every_flipped_bit_is_refused() {
    let gateway = Gateway::new();
    let mut reasons = [0; 11];
    for (_, value) in genuine() {
        let raw = raw_of(&value).unwrap();
        for bit in 0..400 {
            let mut flipped = raw;
            flipped[bit / 8] ^= 0x80 >> (bit % 8);
            let flipped = value_of(&flipped);
            reasons[reason(&flipped) as usize] += 1;
            for kind in KINDS {
                gateway.refuses(kind, &flipped);
            }
        }
    }
    // Of 12 cookies: 2 bits of the kind, 4 of the version, 8 of the key id of which one or none
    // leads to another key of the ring. All others are under the tag, or are the tag.
    let of = |verdict: Verdict| reasons[verdict as usize];
    assert_eq!(of(Verdict::Malformed), 12 * 2);
    assert_eq!(of(Verdict::UnknownVersion), 12 * 4);
    assert_eq!(of(Verdict::UnknownKey), 12 * 8 - 8);
    assert_eq!(of(Verdict::BadTag), 12 * (400 - 14) + 8);
}

/// Each of the 67 characters, replaced by each of the 255 other bytes. That covers all spellings
/// that a lax base64 reads as the same bytes, among them the two bits behind the last byte.
#[test]
fn every_replaced_character_is_refused() {
    let gateway = Gateway::new();
    for (kind, value) in genuine() {
        for at in 0..value.len() {
            for byte in 0..=u8::MAX {
                let mut replaced = value;
                replaced[at] = byte;
                if replaced != value {
                    gateway.refuses(kind, &replaced);
                }
            }
        }
    }
}
