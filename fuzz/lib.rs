//! The parts that fuzz targets share: drawing structure from the fuzzer's bytes.
//!
//! All bytes draw something; when they end, the rest is drawn from zeros. So every input has a
//! meaning, and a change of one byte changes little else.

use libfuzzer_sys::arbitrary::Unstructured;
use tokenpin::{CookieKey, Role, Secret, mix};

/// The fuzzer's bytes, read from the front.
pub struct Input<'a>(Unstructured<'a>);

impl<'a> Input<'a> {
    #[must_use]
    pub fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    pub fn u16(&mut self) -> u16 {
        self.0.arbitrary().unwrap_or_default()
    }

    pub fn u32(&mut self) -> u32 {
        self.0.arbitrary().unwrap_or_default()
    }

    pub fn u64(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or_default()
    }

    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let _ = self.0.fill_buffer(&mut array);
        array
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u8) -> bool {
        self.byte() % n == n - 1
    }

    /// A number below `n`, which is at most 256.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    /// A number below `n`.
    pub fn small(&mut self, n: u8) -> u8 {
        self.byte() % n
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Up to 255 bytes.
    pub fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        self.0.bytes(len).unwrap_or_default()
    }

    /// Returns bytes of a field that may have `limit` of them: usually few, sometimes too many.
    pub fn limited(&mut self, limit: usize) -> Vec<u8> {
        if self.one_in(16) {
            let len = limit - 1 + self.below(3);
            return vec![self.byte(); len];
        }
        self.bytes().to_vec()
    }

    /// Returns the rest of the fuzzer's bytes.
    pub fn rest(&mut self) -> &'a [u8] {
        self.0.bytes(self.0.len()).unwrap_or_default()
    }

    /// Returns a moment: usually near `now`, sometimes anywhere.
    pub fn near(&mut self, now: u32) -> u32 {
        match self.below(8) {
            0 => self.u32(),
            1 => now.wrapping_add(self.byte().into()),
            2 => now.wrapping_sub(self.byte().into()),
            3 => now.wrapping_add(self.u16().into()),
            _ => now.wrapping_sub(self.u16().into()),
        }
    }
}

/// Returns the secret for a number: no two are alike, and none is zero.
#[must_use]
pub fn secret(number: u8) -> [u8; 16] {
    let half = |salt: u64| mix(u64::from(number) << 8 | salt).to_le_bytes();
    let mut secret = [0; 16];
    secret[..8].copy_from_slice(&half(1));
    secret[8..].copy_from_slice(&half(2));
    secret
}

#[must_use]
pub fn cookie_key(id: u8, role: Role) -> CookieKey {
    CookieKey { id, role, secret: Secret::new(secret(id)) }
}

/// The middle of the times that are drawn.
pub const NOW: u32 = 1_800_000_000;
