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

/// Returns the position of the first quote or backslash, or the length of the text. Most strings of
/// a document are short, and end among the first bytes.
#[inline(always)]
#[expect(clippy::inline_always, reason = "one call less for each string")]
pub(crate) fn find_special(text: &[u8]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if let Some(front) = text.first_chunk() {
        let at = special_in(front);
        if at < front.len() {
            return at;
        }
    }
    find_either(b'"', b'\\', text).unwrap_or(text.len())
}

/// Returns the position of the first quote or backslash, or 16. One is searched for twice: the code
/// for two different bytes has another caller, so the compiler would not reduce it to this length.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
fn special_in(front: &[u8; 16]) -> usize {
    let special = memchr::arch::x86_64::sse2::memchr::Three::new(b'"', b'\\', b'\\');
    special.and_then(|special| special.find(front)).unwrap_or(front.len())
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
