//! Keyed hashing: the domain-separated `SipHash` calls everything else is made of.
//!
//! `SipHash` (Aumasson and Bernstein, 2012) with 1-3 rounds places keys, with 2-4
//! rounds it names accounts and authenticates cookies. Bytes are always fed as bytes,
//! never through `Hash`, so that no length or terminator slips in.

use core::hash::Hasher as _;

use siphasher::sip::{SipHasher13, SipHasher24};
use siphasher::sip128::SipHasher24 as WideHasher;

use crate::error::Error;
use crate::key::Key;
use crate::secret::Secret;

/// The longest scope, in bytes.
pub const MAX_SCOPE: usize = 1024;

const ACCOUNT: [u8; 16] = *b"tokenpin.v1.acct";

/// The identity hash of the account named by `identity`: `SipHash-2-4` under a public
/// key, so it depends on nothing but the identity and is the same everywhere.
#[must_use]
pub fn identity_hash(identity: &[u8]) -> u64 {
    sip24(&ACCOUNT, identity)
}

/// The key hash `h`: `SipHash-1-3(placement key, tag, u32le(len(scope)), scope, key bytes)`.
///
/// # Errors
///
/// [`Error::ScopeLength`], [`Error::KeyLength`].
pub fn key_hash(placement_key: &Secret, scope: &[u8], key: &Key<'_>) -> Result<u64, Error> {
    check_scope(scope)?;
    key.check()?;
    Ok(key_hash_unchecked(placement_key, scope, key))
}

pub(crate) fn key_hash_unchecked(placement_key: &Secret, scope: &[u8], key: &Key<'_>) -> u64 {
    let mut hasher = SipHasher13::new_with_key(placement_key.expose());
    // The tag and the length in one store: reading four bytes that were written one by one
    // makes the processor wait.
    let [head @ .., _, _, _] = (u64::from(key.tag())
        | u64::from(u32::from_le_bytes(length_prefix(scope))) << 8)
        .to_le_bytes();
    hasher.write(&head);
    if !scope.is_empty() {
        hasher.write(scope);
    }
    key.feed(&mut |bytes| hasher.write(bytes));
    hasher.finish()
}

pub(crate) fn check_scope(scope: &[u8]) -> Result<(), Error> {
    if scope.len() > MAX_SCOPE { Err(Error::ScopeLength) } else { Ok(()) }
}

/// `u32le(len(bytes))`, which keeps two fields in a row from running into each other.
/// Every caller has checked the length against a bound far below 2^32.
#[expect(clippy::cast_possible_truncation, reason = "bounded by MAX_SCOPE or MAX_KEY")]
pub(crate) fn length_prefix(bytes: &[u8]) -> [u8; 4] {
    (bytes.len() as u32).to_le_bytes()
}

/// The finaliser of splitmix64: a bijection of the 64-bit integers.
#[must_use]
pub const fn mix(x: u64) -> u64 {
    finish(stir(fold(x)))
}

/// The first of three parts of [`mix`]. `fold(x ^ y)` is `fold(x) ^ fold(y)`.
#[inline]
pub(crate) const fn fold(x: u64) -> u64 {
    x ^ (x >> 30)
}

#[inline]
pub(crate) const fn stir(x: u64) -> u64 {
    let x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// The last part, which leaves the upper 31 bits as they are.
#[inline]
pub(crate) const fn finish(x: u64) -> u64 {
    x ^ (x >> 31)
}

/// The 32-bit FNV-1a hash of `key`'s bytes, an anonymous id written as a UUID: what
/// Higress ai-proxy hashes, and only [`Strategy::HigressFnv1aModulo`] uses.
///
/// [`Strategy::HigressFnv1aModulo`]: crate::Strategy::HigressFnv1aModulo
#[must_use]
pub fn fnv1a32(key: &Key<'_>) -> u32 {
    /// Not inlined, for there are many pieces.
    #[inline(never)]
    fn fold(hash: u32, bytes: &[u8]) -> u32 {
        bytes.iter().fold(hash, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }
    let mut hash = 0x811c_9dc5;
    if let Key::Anonymous(id) = key {
        for (i, &byte) in id.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                hash = fold(hash, b"-");
            }
            hash = fold(hash, &hex(byte));
        }
    } else {
        key.feed(&mut |bytes: &[u8]| hash = fold(hash, bytes));
    }
    hash
}

/// Two lower-case hexadecimal digits.
pub(crate) const fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[(byte >> 4) as usize], DIGITS[(byte & 15) as usize]]
}

pub(crate) fn sip24(key: &[u8; 16], message: &[u8]) -> u64 {
    SipHasher24::new_with_key(key).hash(message)
}

/// The 16 output bytes of `SipHash-2-4-128`.
#[inline(never)]
pub(crate) fn sip24_wide(key: &[u8; 16], message: &[u8]) -> [u8; 16] {
    WideHasher::new_with_key(key).hash(message).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higress_hashes_an_anonymous_id_as_uuid_text() {
        let id = 0x550e_8400_e29b_41d4_a716_4466_5544_0000_u128.to_be_bytes();
        assert_eq!(fnv1a32(&Key::Anonymous(&id)), 0x889e_3528);
        let text = b"550e8400-e29b-41d4-a716-446655440000";
        assert_eq!(fnv1a32(&Key::Consumer(text)), 0x889e_3528);
    }

    #[test]
    fn a_scope_over_the_limit_is_refused() {
        let key = Key::Consumer(b"alice");
        let placement = Secret::new([1; 16]);
        assert!(key_hash(&placement, &[0; MAX_SCOPE], &key).is_ok());
        let long = [0; MAX_SCOPE + 1];
        assert_eq!(key_hash(&placement, &long, &key), Err(Error::ScopeLength));
    }
}
