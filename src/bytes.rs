//! Finding and comparing bytes, and moving some.

/// Where the first of them is. By what every processor of the kind has: the crate's own choice would look
/// for more, and remember it, but this library has no global state.
#[inline(never)]
pub(crate) fn find_either(a: u8, b: u8, text: &[u8]) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    let two = memchr::arch::x86_64::sse2::memchr::Two::new(a, b)?;
    #[cfg(not(target_arch = "x86_64"))]
    let two = memchr::arch::all::memchr::Two::new(a, b);
    two.find(text)
}

/// Moves `len` bytes from one place to another. Nothing, if they are not all there.
#[inline(never)]
pub(crate) fn move_bytes(bytes: &mut [u8], from: usize, len: usize, to: usize) {
    let room = bytes.len();
    // What `copy_within` would panic for.
    if len <= room && from <= room - len && to <= room - len {
        bytes.copy_within(from..from + len, to);
    }
}

/// Where the first `byte` is. By the same code: what looks for one byte would take 400 bytes more.
pub(crate) fn find(byte: u8, text: &[u8]) -> Option<usize> {
    find_either(byte, byte, text)
}

pub(crate) fn holds(byte: u8, text: &[u8]) -> bool {
    find(byte, text).is_some()
}

/// Whether these are the same but for the case of ASCII letters. One copy, byte by byte, for texts that are short:
/// what `core` has is long, and becomes a part of every caller.
#[inline(never)]
pub(crate) fn alike(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.eq_ignore_ascii_case(b))
}
