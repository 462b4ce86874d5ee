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

/// Returns the position of the first quote or backslash. Most strings of a document are short, so
/// the first bytes are searched without a call.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call costs as much as a short string")]
pub(crate) fn find_special(text: &[u8]) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if let Some(front) = text.first_chunk::<16>() {
        let two = memchr::arch::x86_64::sse2::memchr::Two::new(b'"', b'\\')?;
        if let Some(at) = two.find(front) {
            return Some(at);
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
