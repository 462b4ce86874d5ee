//! `SipHash` (Aumasson and Bernstein, 2012), the one keyed hash of this crate.
//!
//! With 1-3 rounds it places keys; with 2-4 rounds it names accounts and authenticates cookies. All
//! uses share the code of this page, with the number of rounds as data. A decision hashes four
//! times, and in a proxy its code is usually cold, so that it waits for each line of code. A
//! generic implementation has a copy for each number of rounds and output length, and these were a
//! quarter of all lines touched. The tests compare this implementation with the crate siphasher and
//! with the authors' vectors.

use zeroize::Zeroize as _;

/// A hash in progress.
#[derive(Clone)]
pub(crate) struct Sip {
    v: [u64; 4],
    /// The bytes of the word that is not full, from the lowest on.
    tail: u64,
    /// The number of bytes written.
    len: u64,
    /// The rounds for each word. Finishing takes two more.
    rounds: u32,
    /// True if the output has 128 bits.
    wide: bool,
}

impl Sip {
    /// Begins `SipHash-1-3`, 64 bits.
    pub(crate) fn new_13(key: &[u8; 16]) -> Self {
        Self::new(key, 1, false)
    }

    /// Begins `SipHash-2-4`, 64 bits.
    pub(crate) fn new_24(key: &[u8; 16]) -> Self {
        Self::new(key, 2, false)
    }

    /// Begins `SipHash-2-4`, 128 bits.
    pub(crate) fn new_24_wide(key: &[u8; 16]) -> Self {
        Self::new(key, 2, true)
    }

    #[inline]
    fn new(key: &[u8; 16], rounds: u32, wide: bool) -> Self {
        let key = u128::from_le_bytes(*key);
        #[expect(clippy::cast_possible_truncation, reason = "halves are meant")]
        let (low, high) = (key as u64, (key >> 64) as u64);
        let v = [
            low ^ 0x736f_6d65_7073_6575,
            high ^ 0x646f_7261_6e64_6f6d ^ if wide { 0xee } else { 0 },
            low ^ 0x6c79_6765_6e65_7261,
            high ^ 0x7465_6462_7974_6573,
        ];
        Self { v, tail: 0, len: 0, rounds, wide }
    }

    /// Begins the message with the lowest `len` bytes of `word`, at most 7. The others are zero.
    #[inline]
    pub(crate) fn head(self, word: u64, len: u64) -> Self {
        Self { tail: word, len, ..self }
    }

    /// Adds pieces to the message. Their boundaries leave no trace.
    #[inline(never)]
    pub(crate) fn write(&mut self, pieces: &[&[u8]]) {
        self.clone().run(pieces, Some(self));
    }

    /// Returns the first 64 bits of the output for a message that ends with `pieces`.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    pub(crate) fn finish(&self, pieces: &[&[u8]]) -> u64 {
        self.finish_wide(pieces) as u64
    }

    /// Returns all of the output, with the first 64 bits in the low half. The rest is 0 for a
    /// 64-bit output.
    #[inline]
    pub(crate) fn finish_wide(&self, pieces: &[&[u8]]) -> u128 {
        self.run(pieces, None)
    }

    /// Adds `pieces`, then either keeps the hash for more, or finishes it.
    ///
    /// One function for both, because the code for a piece is long. It works on a copy, so that the
    /// state stays in registers.
    #[inline(never)]
    fn run(&self, pieces: &[&[u8]], more: Option<&mut Self>) -> u128 {
        let mut hash = self.clone();
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            hash.join(piece);
        }
        if let Some(more) = more {
            *more = hash;
            return 0;
        }
        hash.absorb(hash.len << 56 | hash.tail);
        hash.v[2] ^= if hash.wide { 0xee } else { 0xff };
        let low = u128::from(hash.stir());
        if !hash.wide {
            return low;
        }
        hash.v[1] ^= 0xdd;
        u128::from(hash.stir()) << 64 | low
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "so that the state is in registers, see `run`")]
    fn join(&mut self, piece: &[u8]) {
        // The number of bits that the word holds already.
        let filled = self.len % 8 * 8;
        self.len += piece.len() as u64;
        let mut rest = piece;
        while let Some((word, behind)) = rest.split_first_chunk() {
            let word = u64::from_le_bytes(*word);
            self.absorb(self.tail | word << filled);
            self.tail = word >> 1 >> (63 - filled);
            rest = behind;
        }
        let added = 8 * rest.len() as u64;
        let last = match piece.last_chunk() {
            Some(word) if added > 0 => u64::from_le_bytes(*word) >> (64 - added),
            _ => fewer_than_8(rest),
        };
        self.tail |= last << filled;
        if filled + added >= 64 {
            self.absorb(self.tail);
            self.tail = last >> 1 >> (63 - filled);
        }
    }

    #[inline]
    fn absorb(&mut self, word: u64) {
        self.v[3] ^= word;
        self.v = round(self.v);
        // Not a loop, because its end would be mispredicted.
        if self.rounds == 2 {
            self.v = round(self.v);
        }
        self.v[0] ^= word;
    }

    #[inline]
    fn stir(&mut self) -> u64 {
        for _ in 0..self.rounds + 2 {
            self.v = round(self.v);
        }
        self.v.iter().fold(0, |folded, v| folded ^ v)
    }

    /// Overwrites everything derived from the key.
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

/// Returns up to 7 bytes as a number, with two reads that overlap, or three, instead of a loop.
#[inline]
fn fewer_than_8(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let [first, last] = [first, last].map(|half| u64::from(u32::from_le_bytes(*half)));
        return first | last << (8 * (len - 4));
    }
    let at = |i: usize| bytes.get(i).map_or(0, |&byte| u64::from(byte) << (8 * i));
    at(0) | at(1) | at(2)
}

/// Computes `SipHash-2-4` of one message.
#[inline(never)]
pub(crate) fn sip24(key: &[u8; 16], message: &[u8]) -> u64 {
    Sip::new_24(key).finish(&[message])
}

/// Returns the 16 output bytes of `SipHash-2-4-128` of one message, as a number.
pub(crate) fn sip24_wide(key: &[u8; 16], message: &[u8]) -> u128 {
    Sip::new_24_wide(key).finish_wide(&[message])
}

/// Returns `u32le(len(bytes))`, which separates two adjacent fields. Every caller has checked the
/// length against a bound far below 2^32.
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
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        [Sip::new_13(key), Sip::new_24(key), Sip::new_24_wide(key)].map(|hash| {
            // The pieces are divided at every place, into those that are written and those that
            // finish.
            let outputs: Vec<u128> = (0..=pieces.len())
                .map(|cut| {
                    let (written, last) = pieces.split_at(cut);
                    let mut hash = hash.clone();
                    hash.write(written);
                    hash.finish_wide(last)
                })
                .collect();
            assert!(outputs.iter().all(|output| *output == outputs[0]));
            assert!(hash.wide || outputs[0] >> 64 == 0);
            outputs[0]
        })
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

    /// Begins `SipHash-1-3` with 128 bits, which only the vectors need.
    fn new_13_wide(key: &[u8; 16]) -> Sip {
        Sip::new(key, 1, true)
    }

    /// Checks the rows of a file of tests/vectors, each the hash of a message under the key 00, 01,
    /// .. 0f.
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
            // Written in two pieces, as the parts of a key are.
            let (head, tail) = message.split_at(message.len() / 3);
            let hash = new(&key);
            let got = if wide {
                hash.finish_wide(&[head, tail]).to_le_bytes().to_vec()
            } else {
                hash.finish(&[head, tail]).to_le_bytes().to_vec()
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
        fn any_pieces(
            key: [u8; 16],
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        ) {
            prop_assert_eq!(all(&key, &pieces), expected(&key, &pieces.concat()));
        }
    }
}
