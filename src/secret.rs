//! Sixteen secret bytes that are never shown by `Debug`, and are wiped on drop.

use core::fmt;

use zeroize::Zeroize as _;

/// A 16-byte secret: the placement key, or a cookie key's secret.
///
/// Its bytes appear in no `Debug` output and no error, and are wiped on drop.
#[derive(Clone)]
pub struct Secret([u8; 16]);

impl Secret {
    /// Copies `bytes`. The caller must wipe its own copy.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn expose(&self) -> &[u8; 16] {
        &self.0
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0 == [0; 16]
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Overwrites bytes that held secrets. Never inlined, because every way out of the functions that
/// handle secrets calls it.
#[inline(never)]
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.zeroize();
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
