//! Random numbers that a printed seed repeats.

/// The seed unless the environment variable `TOKENPIN_SEED` holds another number.
const SEED: u64 = 20_261_123;

/// The seed of this run.
pub fn seed() -> u64 {
    match std::env::var("TOKENPIN_SEED") {
        Ok(text) => text.parse().expect("TOKENPIN_SEED is a number below 2^64"),
        Err(_) => SEED,
    }
}

/// Wang Yi's wyrand: one addition, one multiplication, and nothing in common with the mixing
/// functions under test.
pub struct Random(u64);

impl Random {
    /// The stream of the test called `test`, which prints the seed.
    pub fn new(test: &str) -> Self {
        let seed = seed();
        println!("{test}: TOKENPIN_SEED={seed}");
        let stream = test.bytes().fold(seed, |state, byte| state.rotate_left(9) ^ u64::from(byte));
        Self(stream)
    }

    /// 64 random bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let product = u128::from(self.0) * u128::from(self.0 ^ 0xe703_7ed1_a0b4_28db);
        low_half(product) ^ low_half(product >> 64)
    }

    /// Uniform in `0..bound`, up to a bias of `bound / 2^64`.
    pub fn below(&mut self, bound: u64) -> u64 {
        low_half((u128::from(self.word()) * u128::from(bound)) >> 64)
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.word().to_le_bytes()[0])
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
fn low_half(wide: u128) -> u64 {
    wide as u64
}
