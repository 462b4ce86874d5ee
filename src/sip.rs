//! `SipHash` (Aumasson and Bernstein, 2012), the keyed hash of
//! everything here.
//!
//! With 1-3 rounds it places keys, with 2-4 rounds it names accounts and authenticates cookies. All of
//! them share the code of this page, with the number of rounds as data. A decision hashes four times, and in
//! a proxy it is nearly always cold, so that it waits for each line of code: the copies of a generic
//! implementation, one for each number of rounds and output length, were a quarter of all lines that it
//! touched. The tests compare this one with that one, the crate siphasher, and with the authors' vectors.

use zeroize::Zeroize as _;

/// A hash in the making.
#[derive(Clone)]
pub(crate) struct Sip {
    v: [u64; 4],
    /// The bytes of the word that is not full, from the lowest on, and how many were written in all.
    tail: u64,
    len: u64,
    /// For each word; two more to finish.
    rounds: u32,
    /// What `v[2]` is changed by before the end: it tells 64 from 128 bits of output.
    end: u64,
}

impl Sip {
    /// `SipHash-1-3`, 64 bits.
    pub(crate) fn new_13(key: &[u8; 16]) -> Self {
        Self::new(key, 1, 0xff)
    }

    /// `SipHash-2-4`, 64 bits.
    pub(crate) fn new_24(key: &[u8; 16]) -> Self {
        Self::new(key, 2, 0xff)
    }

    /// `SipHash-2-4`, 128 bits.
    pub(crate) fn new_24_wide(key: &[u8; 16]) -> Self {
        let mut hash = Self::new(key, 2, 0xee);
        hash.v[1] ^= 0xee;
        hash
    }

    #[inline(never)]
    fn new(key: &[u8; 16], rounds: u32, end: u64) -> Self {
        let key = u128::from_le_bytes(*key);
        #[expect(clippy::cast_possible_truncation, reason = "halves are meant")]
        let (low, high) = (key as u64, (key >> 64) as u64);
        let v = [
            low ^ 0x736f_6d65_7073_6575,
            high ^ 0x646f_7261_6e64_6f6d,
            low ^ 0x6c79_6765_6e65_7261,
            high ^ 0x7465_6462_7974_6573,
        ];
        Self { v, tail: 0, len: 0, rounds, end }
    }

    /// Adds bytes to the message. Pieces join without a trace.
    #[inline(never)]
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        // The bits of the word that are there already.
        let filled = self.len % 8 * 8;
        self.len += bytes.len() as u64;
        let (mut words, mut last, mut added) = (bytes.chunks_exact(8), 0, 0);
        for word in &mut words {
            self.add(word_of(word), filled);
        }
        for &byte in words.remainder() {
            last |= u64::from(byte) << added;
            added += 8;
        }
        if filled + added < 64 {
            self.tail |= last << filled;
        } else {
            self.add(last, filled);
        }
    }

    /// Adds a word behind `filled` bits, and keeps what does not fit.
    fn add(&mut self, word: u64, filled: u64) {
        self.absorb(self.tail | word << filled);
        self.tail = if filled == 0 { 0 } else { word >> (64 - filled) };
    }

    #[inline]
    fn absorb(&mut self, word: u64) {
        self.v[3] ^= word;
        self.v = round(self.v);
        // No loop: its end would be foreseen badly.
        if self.rounds == 2 {
            self.v = round(self.v);
        }
        self.v[0] ^= word;
    }

    #[inline]
    fn stir(&mut self) {
        for _ in 0..self.rounds + 2 {
            self.v = round(self.v);
        }
    }

    /// The first 64 bits of the output.
    #[inline(never)]
    pub(crate) fn finish(&mut self) -> u64 {
        self.absorb(self.len << 56 | self.tail);
        self.v[2] ^= self.end;
        self.stir();
        self.folded()
    }

    /// All 128 bits, the first 64 in the low half.
    #[inline(never)]
    pub(crate) fn finish_wide(&mut self) -> u128 {
        let low = self.finish();
        self.v[1] ^= 0xdd;
        self.stir();
        u128::from(self.folded()) << 64 | u128::from(low)
    }

    fn folded(&self) -> u64 {
        self.v.iter().fold(0, |folded, v| folded ^ v)
    }

    /// Overwrites all that the key has touched.
    pub(crate) fn wipe(&mut self) {
        self.v.zeroize();
        self.tail.zeroize();
    }
}

#[inline]
fn round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    [a, b, c, d]
}

fn word_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

/// `SipHash-2-4` of one message.
pub(crate) fn sip24(key: &[u8; 16], message: &[u8]) -> u64 {
    let mut hash = Sip::new_24(key);
    hash.write(message);
    hash.finish()
}

/// The 16 output bytes of `SipHash-2-4-128` of one message, as a number.
pub(crate) fn sip24_wide(key: &[u8; 16], message: &[u8]) -> u128 {
    let mut hash = Sip::new_24_wide(key);
    hash.write(message);
    hash.finish_wide()
}

/// `u32le(len(bytes))`, which keeps two fields in a row from running into each other.
/// Every caller has checked the length against a bound far below 2^32.
#[expect(clippy::cast_possible_truncation, reason = "bounded by MAX_SCOPE or MAX_KEY")]
pub(crate) fn length_prefix(bytes: &[u8]) -> [u8; 4] {
    (bytes.len() as u32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use core::hash::Hasher as _;
    use std::prelude::rust_2024::*;

    use proptest::prelude::*;
    use siphasher::sip128::Hasher128 as _;

    use super::*;

    fn all(key: &[u8; 16], pieces: &[Vec<u8>]) -> [u128; 3] {
        let of = |mut hash: Sip, wide| {
            for piece in pieces {
                hash.write(piece);
            }
            if wide { hash.finish_wide() } else { u128::from(hash.finish()) }
        };
        [of(Sip::new_13(key), false), of(Sip::new_24(key), false), of(Sip::new_24_wide(key), true)]
    }

    fn expected(key: &[u8; 16], message: &[u8]) -> [u128; 3] {
        let mut wide = siphasher::sip128::SipHasher24::new_with_key(key);
        wide.write(message);
        [
            siphasher::sip::SipHasher13::new_with_key(key).hash(message).into(),
            siphasher::sip::SipHasher24::new_with_key(key).hash(message).into(),
            u128::from_le_bytes(wide.finish128().as_bytes()),
        ]
    }

    #[test]
    fn every_length_and_every_cut() {
        let key = *b"16 bytes of key!";
        let message: Vec<u8> = (0..70_u8).map(|i| i.wrapping_mul(37)).collect();
        for len in 0..=message.len() {
            let expected = expected(&key, &message[..len]);
            for cut in 0..=len {
                let pieces = [message[..cut].to_vec(), message[cut..len].to_vec()];
                assert_eq!(all(&key, &pieces), expected, "{cut} of {len}");
            }
        }
    }

    /// `SipHash-1-3` with 128 bits, which nothing here needs. There are vectors for it.
    fn new_13_wide(key: &[u8; 16]) -> Sip {
        let mut hash = Sip::new(key, 1, 0xee);
        hash.v[1] ^= 0xee;
        hash
    }

    /// The rows of a file of tests/vectors, each the hash of a message under the key 00, 01, .. 0f.
    #[track_caller]
    fn compare_rows(file: &str, new: fn(&[u8; 16]) -> Sip, wide: bool) {
        let key = core::array::from_fn(|i| u8::try_from(i).unwrap());
        let mut lines = file.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(lines.next(), Some("len,message_hex,output_hex"));
        let mut rows = 0;
        for row in lines {
            let [len, message, output] = row.split(',').collect::<Vec<_>>().try_into().unwrap();
            let message = unhex(message);
            assert_eq!(message.len(), len.parse::<usize>().unwrap(), "{row}");
            // In two pieces, as the parts of a key come.
            let (head, tail) = message.split_at(message.len() / 3);
            let mut hash = new(&key);
            hash.write(head);
            hash.write(tail);
            let got = if wide {
                hash.finish_wide().to_le_bytes().to_vec()
            } else {
                hash.finish().to_le_bytes().to_vec()
            };
            assert_eq!(got, unhex(output), "{row}");
            rows += 1;
        }
        assert_eq!(rows, ROWS);
    }

    /// Messages of 0 to 63 bytes, in every file.
    const ROWS: usize = 64;

    fn unhex(field: &str) -> Vec<u8> {
        let byte = |i| u8::from_str_radix(&field[i..i + 2], 16).unwrap();
        (0..field.len()).step_by(2).map(byte).collect()
    }

    #[test]
    fn published_vectors_1_3() {
        let c = include_str!("../tests/vectors/siphash13_64_generated_refC.csv");
        compare_rows(c, Sip::new_13, false);
        let rust = include_str!("../tests/vectors/siphash13_64_rust-siphash.csv");
        compare_rows(rust, Sip::new_13, false);
        let wide = include_str!("../tests/vectors/siphash13_128_generated_refC.csv");
        compare_rows(wide, new_13_wide, true);
    }

    #[test]
    fn published_vectors_2_4() {
        compare_rows(include_str!("../tests/vectors/siphash24_64.csv"), Sip::new_24, false);
        let wide = include_str!("../tests/vectors/siphash24_128.csv");
        compare_rows(wide, Sip::new_24_wide, true);
    }

    proptest! {
        #[test]
        fn any_pieces(key: [u8; 16], pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6)) {
            prop_assert_eq!(all(&key, &pieces), expected(&key, &pieces.concat()));
        }
    }
}
