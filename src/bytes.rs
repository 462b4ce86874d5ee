//! Finds, compares and moves bytes.

/// Returns the position of the first of these bytes. Uses only instructions that every processor of
/// the architecture has: the crate would detect better ones by default, and cache that in global
/// state, which this library has none of.
#[inline(never)]
pub(crate) fn find_either(a: u8, b: u8, text: &[u8]) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    let two = memchr::arch::x86_64::sse2::memchr::Two::new(a, b)?;
    #[cfg(not(target_arch = "x86_64"))]
    let two = memchr::arch::all::memchr::Two::new(a, b);
    two.find(text)
}

/// Returns the position of the first quote or backslash. Most strings of a document are short, and a
/// call would cost as much as the search.
#[inline(always)]
#[expect(clippy::inline_always, reason = "see above")]
pub(crate) fn find_special(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    // The high bit of the first byte that is one of these, and of some behind it.
    let marks = |word: u64| {
        let (quotes, escapes) = (word ^ ONES * 0x22, word ^ ONES * 0x5c);
        (quotes.wrapping_sub(ONES) | escapes.wrapping_sub(ONES)) & !word & ONES << 7
    };
    if let Some(words) = text.first_chunk::<16>() {
        let words = u128::from_le_bytes(*words);
        let found = marks(words as u64);
        if found != 0 {
            return Some(found.trailing_zeros() as usize / 8);
        }
        let found = marks((words >> 64) as u64);
        if found != 0 {
            return Some(8 + found.trailing_zeros() as usize / 8);
        }
    }
    find_either(b'"', b'\\', text)
}

/// Moves `len` bytes from one place to another. Does nothing if they are not all present.
#[inline(never)]
pub(crate) fn move_bytes(bytes: &mut [u8], from: usize, len: usize, to: usize) {
    let room = bytes.len();
    // `copy_within` would panic otherwise.
    if len <= room && from <= room - len && to <= room - len {
        bytes.copy_within(from..from + len, to);
    }
}

/// Returns the position of the first `byte`. Shares the code above: a search for one byte would
/// take 400 bytes more.
pub(crate) fn find(byte: u8, text: &[u8]) -> Option<usize> {
    find_either(byte, byte, text)
}

pub(crate) fn holds(byte: u8, text: &[u8]) -> bool {
    find(byte, text).is_some()
}

/// Returns whether the texts are equal, ignoring the case of ASCII letters. This is one copy, byte
/// by byte, for short texts: the function of `core` is long, and is inlined into every caller.
#[inline(never)]
pub(crate) fn alike(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.eq_ignore_ascii_case(b))
}
