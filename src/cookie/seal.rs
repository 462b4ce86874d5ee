//! The cryptography of the cookie, all of it on this page.
//!
//! ```text
//! mac, pin, bind key =
//!        SipHash-2-4-128(secret, "tokenpin.v1.mac", "tokenpin.v1.pin", "tokenpin.v1.key")
//! bind = nothing for an anonymous cookie, else SipHash-2-4-128(bind key, kind byte, key bytes)
//! tag  = SipHash-2-4-128(mac key, u8(len(name)), name, u32le(len(scope)), scope, head, u64le(pin),
//!                        bind)
//! pin on the wire = u64le(pin) XOR SipHash-2-4-64(pin key, tag)
//!
//! id hint = SipHash-2-4-128(hint key, bytes)
//! hint key = SipHash-2-4-128(placement key, "tokenpin.v1.hint")
//! ```
//!
//! The tag is a SIV (Rogaway and Shrimpton, 2006): it is computed over the plain pin and then masks
//! it, so the same token looks different in every cookie.

use crate::key::{Key, Kind};
use crate::secret::wipe;
use crate::sip::{Sip, length_prefix, sip24, sip24_wide};

use super::name::Audience;
use super::value::{HEAD_LEN, RAW_LEN, TAG_AT};

/// The working keys of one secret. Wiped on drop.
pub(crate) struct Keys {
    mac: [u8; 16],
    pin: [u8; 16],
    bind: [u8; 16],
}

impl Drop for Keys {
    #[inline(never)]
    fn drop(&mut self) {
        wipe(&mut self.mac);
        wipe(&mut self.pin);
        wipe(&mut self.bind);
    }
}

impl Keys {
    pub(crate) fn derive(secret: &[u8; 16]) -> Self {
        let derive = |label: &[u8]| sip24_wide(secret, label).to_le_bytes();
        Self {
            mac: derive(b"tokenpin.v1.mac"),
            pin: derive(b"tokenpin.v1.pin"),
            bind: derive(b"tokenpin.v1.key"),
        }
    }

    /// Returns the MAC of cookies for `audience`, whose name and scope begin its message.
    #[inline(never)]
    pub(crate) fn mac(&self, audience: &Audience<'_>) -> Mac {
        let Audience { name, scope } = audience;
        let mut hasher = Sip::new_24_wide(&self.mac).head(name.len() as u64, 1);
        hasher.write(&[name, &length_prefix(scope), scope]);
        Mac(hasher)
    }

    /// Returns the binding of cookies of `kind` to an affinity key, 0 for anonymous cookies.
    pub(crate) fn binding(&self, kind: Kind, key: &Key<'_>) -> u128 {
        if kind == Kind::Anonymous {
            return 0;
        }
        let mut prefix = [0; 4];
        let [a, b, c] = key.pieces(&mut prefix);
        Sip::new_24_wide(&self.bind).head(kind as u64, 1).finish_wide(&[a, b, c])
    }

    fn mask(&self, tag: u128) -> u64 {
        sip24(&self.pin, &tag.to_le_bytes())
    }

    /// Returns a value that shows whether two rings have the same key, and reveals nothing else.
    pub(crate) fn check_value(&self) -> u64 {
        sip24(&self.mac, b"tokenpin.v1.conf")
    }
}

/// Returns the id of an anonymous cookie, made from bytes that belong to one client. It uses the
/// placement key, which all replicas have and which is not rotated.
pub(crate) fn id_hint(placement_key: &[u8; 16], of: &[u8]) -> [u8; 16] {
    let mut key = sip24_wide(placement_key, b"tokenpin.v1.hint").to_le_bytes();
    let id = sip24_wide(&key, of).to_le_bytes();
    wipe(&mut key);
    id
}

/// A MAC key that has read name and scope, and is ready for any number of cookies.
pub(crate) struct Mac(Sip);

impl Mac {
    /// Returns its 16 output bytes as a little-endian number.
    fn tag(&self, rest: &[u8]) -> u128 {
        self.0.finish_wide(&[rest])
    }
}

impl Drop for Mac {
    #[inline(never)]
    fn drop(&mut self) {
        self.0.wipe();
    }
}

/// Signs the bytes of a cookie, whose head is present: writes the masked pin and the tag.
pub(crate) fn seal(
    raw: &mut [u8; RAW_LEN],
    keys: &Keys,
    mac: &Mac,
    kind: Kind,
    pin: u64,
    bind: u128,
) {
    let tag = mac.tag(message(raw, kind, pin, bind));
    raw[HEAD_LEN..TAG_AT].copy_from_slice(&(pin ^ keys.mask(tag)).to_le_bytes());
    raw[TAG_AT..].copy_from_slice(&tag.to_le_bytes());
}

/// Returns the pin of a cookie, if its tag is good. Overwrites the bytes after the head.
pub(crate) fn open(
    raw: &mut [u8; RAW_LEN],
    keys: &Keys,
    mac: &Mac,
    kind: Kind,
    bind: u128,
) -> Option<u64> {
    let (masked, given) = raw.get(HEAD_LEN..)?.split_first_chunk::<8>()?;
    let given = u128::from_le_bytes(*given.first_chunk()?);
    let pin = u64::from_le_bytes(*masked) ^ keys.mask(given);
    if same(mac.tag(message(raw, kind, pin, bind)), given) { Some(pin) } else { None }
}

/// Turns the bytes of a cookie into the message under its tag: the plain pin replaces the masked
/// one, and the binding replaces the tag. An anonymous cookie has no binding.
///
/// Works in place and in one piece, which `SipHash` reads fastest.
fn message(raw: &mut [u8; RAW_LEN], kind: Kind, pin: u64, bind: u128) -> &[u8] {
    raw[HEAD_LEN..TAG_AT].copy_from_slice(&pin.to_le_bytes());
    if kind == Kind::Anonymous {
        return &raw[..TAG_AT];
    }
    raw[TAG_AT..].copy_from_slice(&bind.to_le_bytes());
    raw
}

// The two defects planted below need more than a flag, so that no library has them by accident.
const _: () = assert!(
    !cfg!(any(tokenpin_planted_compare, tokenpin_cut_tag))
        || option_env!("TOKENPIN_PLANTED_DEFECT").is_some(),
    "a build for the tests, which accepts forged cookies"
);

/// Compares in constant time.
#[cfg(not(tokenpin_planted_compare))]
fn same(expected: u128, given: u128) -> bool {
    use subtle::ConstantTimeEq as _;

    // tests/forgery/ plants this defect, and must notice it.
    let ignored = if cfg!(tokenpin_cut_tag) { 112 } else { 0 };
    (expected << ignored).ct_eq(&(given << ignored)).into()
}

#[cfg(tokenpin_planted_compare)]
use same_in_pieces as same;

/// checks/constant_time/ plants this defect, and must notice it.
#[cfg(tokenpin_planted_compare)]
fn same_in_pieces(expected: u128, given: u128) -> bool {
    let (expected, given) = (expected.to_le_bytes(), given.to_le_bytes());
    expected.iter().zip(&given).all(|(a, b)| core::hint::black_box(a) == b)
}
