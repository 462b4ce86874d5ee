//! A tag that is wrong in one bit, and right in all others.
//!
//! Flipping a bit of a genuine tag does not make one: the flipped tag unmasks another pin, for
//! which a very different tag is expected. So a comparison of half of the tag would still refuse
//! every flip. A forger with the pin key, but not the MAC key, can mask the pin again, and so do
//! these tests.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128 as _, SipHasher24 as WideHasher};
use tokenpin::Verdict;

use crate::gateway::{Gateway, KEY_IDS, KINDS, fields, raw_of, secret_of, sign, value_of};

/// Returns a genuine value with its tag changed by `error`, and the same pin behind it.
fn near_miss(key_id: u8, value: &[u8], error: u128) -> [u8; 67] {
    let mut raw = raw_of(value).unwrap();
    let mut hasher = WideHasher::new_with_key(&secret_of(key_id));
    hasher.write(b"tokenpin.v1.pin");
    let pin_key = hasher.finish128().as_bytes();
    let mask = |tag: &[u8]| SipHasher24::new_with_key(&pin_key).hash(tag).to_le_bytes();
    let before = mask(&raw[34..]);
    for (byte, error) in raw[34..].iter_mut().zip(error.to_le_bytes()) {
        *byte ^= error;
    }
    let after = mask(&raw[34..]);
    for (i, byte) in raw[26..34].iter_mut().enumerate() {
        *byte ^= before[i] ^ after[i];
    }
    value_of(&raw)
}

#[test]
fn every_bit_of_the_tag_counts() {
    let gateway = Gateway::new();
    for kind in KINDS {
        for key_id in KEY_IDS {
            let value = sign(key_id, &fields(kind, 0));
            assert_eq!(near_miss(key_id, &value, 0), value);
            for bit in 0..128 {
                let miss = near_miss(key_id, &value, 1 << bit);
                gateway.refuses(kind, &miss);
                assert_eq!(gateway.decode(kind, &miss).0, Verdict::BadTag);
            }
        }
    }
}
