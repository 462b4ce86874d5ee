//! Finding one of two bytes, and moving some.

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
