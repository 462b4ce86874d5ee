//! Another plain Rust library with a C interface, which has std, an allocator and panics.

use std::collections::BTreeMap;

/// Returns the number of different words in `text`. Allocates.
///
/// # Safety
///
/// `text` points to `len` bytes.
#[no_mangle]
pub unsafe extern "C" fn other_count_words(text: *const u8, len: usize) -> usize {
    let bytes = unsafe { std::slice::from_raw_parts(text, len) };
    let text = String::from_utf8_lossy(bytes);
    let mut words = BTreeMap::new();
    for word in text.split_whitespace() {
        *words.entry(word.to_owned()).or_insert(0) += 1;
    }
    words.len()
}

/// Panics, and catches the panic: 1 if it was caught.
#[no_mangle]
pub extern "C" fn other_catch_panic() -> i32 {
    std::panic::set_hook(Box::new(|_| {}));
    let caught = std::panic::catch_unwind(|| panic!("planned")).is_err();
    let _ = std::panic::take_hook();
    i32::from(caught)
}
