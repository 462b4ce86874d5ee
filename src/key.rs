//! The affinity key, which identifies a session, and its hash, which selection starts from.

use crate::enums::named;
use crate::error::Error;
use crate::limits::{MAX_KEY, MAX_SCOPE};
use crate::secret::Secret;
use crate::sip::{Sip, length_prefix};

/// The kind of an affinity key, and of the cookies that belong to it. The numbers are the low
/// nibble of a cookie's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A random id that a cookie carries.
    Anonymous = 0,
    /// A consumer name.
    Consumer = 1,
    /// A session key.
    Session = 2,
    /// A consumer name and a session key.
    Combined = 3,
}

named! { Kind {
    Anonymous = "anonymous", Consumer = "consumer", Session = "session", Combined = "combined",
} }

/// An affinity key.
///
/// `Debug` prints only the kind: consumer names are personal data.
#[derive(Clone, Copy)]
pub enum Key<'a> {
    /// The id in an anonymous cookie.
    Anonymous(&'a [u8; 16]),
    /// A consumer name, 1 to [`MAX_KEY`] bytes.
    Consumer(&'a [u8]),
    /// A session key, 1 to [`MAX_KEY`] bytes.
    Session(&'a [u8]),
    /// Both, each 1 to [`MAX_KEY`] bytes.
    Combined {
        /// The consumer name.
        consumer: &'a [u8],
        /// The session key.
        session: &'a [u8],
    },
}

impl Key<'_> {
    /// Returns the kind of this key.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Key::Anonymous(_) => Kind::Anonymous,
            Key::Consumer(_) => Kind::Consumer,
            Key::Session(_) => Kind::Session,
            Key::Combined { .. } => Kind::Combined,
        }
    }

    /// Returns the byte that separates the kinds in the key hash. It is older than the kinds of the
    /// cookie, and numbered differently.
    pub(crate) const fn tag(&self) -> u8 {
        match self {
            Key::Consumer(_) => 1,
            Key::Anonymous(_) => 2,
            Key::Session(_) => 3,
            Key::Combined { .. } => 4,
        }
    }

    /// Returns the key bytes, in pieces. Those of a combined key are `u32le(len(consumer))`, the
    /// consumer and the session key, so that `("a:b", "c")` and `("a", "b:c")` differ. `prefix`
    /// holds the length.
    #[inline]
    pub(crate) fn pieces<'p>(&'p self, prefix: &'p mut [u8; 4]) -> [&'p [u8]; 3] {
        match *self {
            Key::Anonymous(id) => [id, &[], &[]],
            Key::Consumer(bytes) | Key::Session(bytes) => [bytes, &[], &[]],
            Key::Combined { consumer, session } => {
                *prefix = length_prefix(consumer);
                [prefix, consumer, session]
            }
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let fits = |bytes: &[u8]| !bytes.is_empty() && bytes.len() <= MAX_KEY;
        let ok = match *self {
            Key::Anonymous(_) => true,
            Key::Consumer(bytes) | Key::Session(bytes) => fits(bytes),
            Key::Combined { consumer, session } => fits(consumer) && fits(session),
        };
        if ok { Ok(()) } else { Err(Error::KeyLength) }
    }
}

impl core::fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Key({}, ..)", self.kind().name())
    }
}

/// Returns the key hash `h`: `SipHash-1-3(placement key, tag, u32le(len(scope)), scope, key
/// bytes)`.
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
    let head = u64::from(key.tag()) | u64::from(u32::from_le_bytes(length_prefix(scope))) << 8;
    let mut prefix = [0; 4];
    let [a, b, c] = key.pieces(&mut prefix);
    Sip::new_13(placement_key.expose()).head(head, 5).finish(&[scope, a, b, c])
}

pub(crate) fn check_scope(scope: &[u8]) -> Result<(), Error> {
    if scope.len() > MAX_SCOPE { Err(Error::ScopeLength) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_over_the_limit_is_refused() {
        let key = Key::Consumer(b"alice");
        let placement = Secret::new([1; 16]);
        assert!(key_hash(&placement, &[0; MAX_SCOPE], &key).is_ok());
        let long = [0; MAX_SCOPE + 1];
        assert_eq!(key_hash(&placement, &long, &key), Err(Error::ScopeLength));
    }
}
