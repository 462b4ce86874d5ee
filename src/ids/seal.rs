//! The cryptography of sealed ids, all of it on this page.
//!
//! ```text
//! seal key, mask key = SipHash-2-4-128(secret, "tokenpin.v1.sid", "tokenpin.v1.sim")
//! tag      = SipHash-2-4(seal key, u8(use), u32le(len(scope)), scope, u32le(len(owner)), owner,
//!                                  u8(key id), u64le(pin), native)
//! envelope = u8(key id), u64le(pin) XOR SipHash-2-4(mask key, tag), tag
//! ```
//!
//! As in the cookie, the tag is computed over the plain pin and then masks it. The same id, of the
//! same account under the same key, is sealed the same way every time.

use crate::secret::wipe;
use crate::sip::{Sip, length_prefix, sip24, sip24_wide};

use super::form::Envelope;

/// The working keys of one secret. Wiped on drop.
pub(crate) struct Keys {
    seal: [u8; 16],
    mask: [u8; 16],
}

impl Drop for Keys {
    #[inline(never)]
    fn drop(&mut self) {
        wipe(&mut self.seal);
        wipe(&mut self.mask);
    }
}

/// The thing that a seal is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Use {
    /// An id.
    Id = 0,
    /// Encrypted content. Its head takes the place of the native id.
    Encrypted = 1,
}

/// The data under the tag besides the native id.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub scope: &'a [u8],
    pub owner: &'a [u8],
    pub what: Use,
}

impl Keys {
    pub(crate) fn derive(secret: &[u8; 16]) -> Self {
        let derive = |label: &[u8]| sip24_wide(secret, label).to_le_bytes();
        Self { seal: derive(b"tokenpin.v1.sid"), mask: derive(b"tokenpin.v1.sim") }
    }

    /// Makes the envelope of `native`, an object in the account with the identity hash `pin`.
    pub(crate) fn seal(&self, key_id: u8, bound: &Bound<'_>, pin: u64, native: &[u8]) -> Envelope {
        let tag = self.tag(key_id, bound, pin, native);
        let mut envelope = [key_id; 17];
        envelope[1..9].copy_from_slice(&(pin ^ self.mask(tag)).to_le_bytes());
        envelope[9..].copy_from_slice(&tag.to_le_bytes());
        envelope
    }

    /// Returns the pin of an envelope, if its tag is good.
    pub(crate) fn open(
        &self,
        envelope: &Envelope,
        bound: &Bound<'_>,
        native: &[u8],
    ) -> Option<u64> {
        let [key_id, pin_and_tag @ ..] = envelope;
        let (masked, given) = pin_and_tag.split_first_chunk()?;
        let given = u64::from_le_bytes(*given.first_chunk()?);
        let pin = u64::from_le_bytes(*masked) ^ self.mask(given);
        if same(self.tag(*key_id, bound, pin, native), given) { Some(pin) } else { None }
    }

    fn tag(&self, key_id: u8, bound: &Bound<'_>, pin: u64, native: &[u8]) -> u64 {
        let scope_len = u32::from_le_bytes(length_prefix(bound.scope));
        let head = u64::from(bound.what as u8) | u64::from(scope_len) << 8;
        let mut account = [key_id; 13];
        account[..4].copy_from_slice(&length_prefix(bound.owner));
        account[5..].copy_from_slice(&pin.to_le_bytes());
        // Each piece costs time, and usually nothing stands between these two.
        let (len, rest) = account.split_at(if bound.owner.is_empty() { 0 } else { 4 });
        Sip::new_24(&self.seal).head(head, 5).finish(&[bound.scope, len, bound.owner, rest, native])
    }

    /// Returns a value that replicas compare in place of the secret.
    pub(crate) fn check_value(&self) -> u64 {
        sip24(&self.seal, b"tokenpin.v1.conf")
    }

    /// Returns a hash that stands for a native id in memory and does not reveal it. Its use is one
    /// that no seal has.
    pub(crate) fn echo(&self, native: &[u8]) -> u64 {
        Sip::new_24(&self.seal).finish(&[&[2], native])
    }

    fn mask(&self, tag: u64) -> u64 {
        sip24(&self.mask, &tag.to_le_bytes())
    }
}

/// Compares in constant time. The builds that accept forged cookies (cookie/seal.rs) accept forged
/// ids too.
#[cfg(not(tokenpin_planted_compare))]
fn same(expected: u64, given: u64) -> bool {
    use subtle::ConstantTimeEq as _;

    let ignored = if cfg!(tokenpin_cut_tag) { 48 } else { 0 };
    (expected << ignored).ct_eq(&(given << ignored)).into()
}

#[cfg(tokenpin_planted_compare)]
use same_in_pieces as same;

/// Stops at the first wrong byte, in the builds that plant this defect.
#[cfg(tokenpin_planted_compare)]
fn same_in_pieces(expected: u64, given: u64) -> bool {
    let (expected, given) = (expected.to_le_bytes(), given.to_le_bytes());
    expected.iter().zip(&given).all(|(a, b)| core::hint::black_box(a) == b)
}
