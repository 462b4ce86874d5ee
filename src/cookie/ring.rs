//! The cookie's key ring, and the MACs of its keys.

use arrayvec::ArrayVec;

use crate::error::{ConfigError, Field};
use crate::limits::MAX_COOKIE_KEYS;
use crate::ring::{CookieKey, KeyView, Ring};
use crate::secret::Secret;

use super::name::Audience;
use super::seal::{Keys, Mac};

/// One to [`MAX_COOKIE_KEYS`] cookie keys, exactly one of which signs.
///
/// Holds only keys derived from the secrets. They are wiped on drop and never shown.
pub struct KeyRing(Ring<Keys>);

/// A key of the ring, ready for work.
pub(crate) type RingKey = crate::ring::RingKey<Keys>;

impl KeyRing {
    /// Builds a ring. With `placement_key`, also refuses a secret that equals it.
    ///
    /// # Errors
    ///
    /// [`Error::KeyCount`](crate::Error::KeyCount),
    /// [`Error::ZeroSecret`](crate::Error::ZeroSecret),
    /// [`Error::DuplicateSecret`](crate::Error::DuplicateSecret),
    /// [`Error::DuplicateKeyId`](crate::Error::DuplicateKeyId),
    /// [`Error::SigningKeys`](crate::Error::SigningKeys), each with the index of the key at fault.
    pub fn new(keys: &[CookieKey], placement_key: Option<&Secret>) -> Result<Self, ConfigError> {
        Self::of(&|i| keys.get(i).map(CookieKey::view), placement_key.map(Secret::expose))
    }

    /// Builds a ring like [`KeyRing::new`], from the keys that `key_at` returns for 0, 1, and so
    /// on, until it returns `None`.
    pub(crate) fn of<'k>(
        key_at: &dyn Fn(usize) -> Option<KeyView<'k>>,
        placement_key: Option<&[u8; 16]>,
    ) -> Result<Self, ConfigError> {
        Ring::of(Field::CookieKeys, key_at, placement_key, Keys::derive).map(Self)
    }

    /// Returns the key with this id, and its position in the ring.
    #[inline]
    pub(crate) fn find(&self, id: u8) -> Option<(usize, &RingKey)> {
        self.0.find(id)
    }

    /// Returns the signing key, and its position in the ring.
    pub(crate) fn signer(&self) -> Option<(usize, &RingKey)> {
        self.0.signer()
    }

    /// Returns the MACs of all keys for `audience`, in order.
    pub(crate) fn macs(&self, audience: &Audience<'_>) -> ArrayVec<Mac, MAX_COOKIE_KEYS> {
        let mut macs = ArrayVec::new();
        for key in self.0.keys() {
            // As many as there are keys, so there is room.
            let _ = macs.try_push(key.keys.mac(audience));
        }
        macs
    }
}

impl core::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// The source of the MACs of a ring's keys.
#[derive(Clone, Copy)]
pub(crate) enum Macs<'a> {
    /// Computed in advance, in the ring's order.
    Ready(&'a [Mac]),
    /// Computed for this audience when needed.
    Of(&'a Audience<'a>),
}

impl Macs<'_> {
    /// Calls `then` with the MAC of `key`, which is at `position` in its ring.
    pub(crate) fn with<R>(
        self,
        (position, key): (usize, &RingKey),
        then: impl FnOnce(&Mac) -> R,
    ) -> Option<R> {
        let made;
        let mac = match self {
            Self::Ready(macs) => macs.get(position)?,
            Self::Of(audience) => {
                made = key.keys.mac(audience);
                &made
            }
        };
        Some(then(mac))
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::rust_2024::*;

    use crate::error::Error;
    use crate::ring::Role;

    use super::*;

    fn key(id: u8, role: Role, byte: u8) -> CookieKey {
        CookieKey { id, role, secret: Secret::new([byte; 16]) }
    }

    #[track_caller]
    fn refused(keys: &[CookieKey], error: Error, index: usize) {
        let placement = Secret::new([0xaa; 16]);
        let got = KeyRing::new(keys, Some(&placement)).unwrap_err();
        assert_eq!(got, error.at(Field::CookieKeys, index));
    }

    #[test]
    fn bad_rings_are_refused_where_they_are_bad() {
        use Role::{Accept, Retire, Sign};
        refused(&[], Error::KeyCount, 0);
        refused(&[key(1, Accept, 1)], Error::SigningKeys, 0);
        refused(&[key(1, Sign, 1), key(2, Sign, 2)], Error::SigningKeys, 1);
        refused(&[key(1, Sign, 1), key(1, Retire, 2)], Error::DuplicateKeyId, 1);
        refused(&[key(1, Sign, 1), key(2, Retire, 1)], Error::DuplicateSecret, 1);
        refused(&[key(1, Sign, 0xaa)], Error::DuplicateSecret, 0);
        // Among the collisions with the first key, the one of the ids counts first.
        refused(&[key(1, Sign, 1), key(1, Retire, 1)], Error::DuplicateKeyId, 1);
        refused(&[key(1, Sign, 1), key(2, Retire, 2), key(1, Retire, 2)], Error::DuplicateKeyId, 2);
        refused(
            &[key(1, Sign, 1), key(2, Retire, 2), key(2, Retire, 1)],
            Error::DuplicateSecret,
            2,
        );
        refused(&[key(1, Sign, 1), key(2, Accept, 0)], Error::ZeroSecret, 1);
        let nine: Vec<_> = (1..=9).map(|i| key(i, if i == 1 { Sign } else { Accept }, i)).collect();
        refused(&nine, Error::KeyCount, 8);
        assert!(KeyRing::new(&nine[..8], None).is_ok());
    }

    #[test]
    fn debug_shows_no_secret() {
        let keys = [key(7, Role::Sign, 0x5c)];
        let ring = KeyRing::new(&keys, None).unwrap();
        assert_eq!(format!("{ring:?}"), "[(7, Sign)]");
        assert!(format!("{keys:?}").contains("Secret(..)"));
        assert!(!format!("{keys:?}").contains("92"), "0x5c in decimal");
    }
}
