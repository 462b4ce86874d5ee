//! The cookie key ring: which keys sign, which are accepted, which are on their way out.

use arrayvec::ArrayVec;

use crate::enums::named;
use crate::error::{ConfigError, Error, Field};
use crate::limits::MAX_COOKIE_KEYS;
use crate::secret::Secret;

use super::name::Audience;
use super::seal::{Keys, Mac};

/// What a cookie key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// Signs new cookies, and its cookies are valid. Exactly one key of a ring.
    Sign = 0,
    /// Its cookies are valid and left alone.
    Accept = 1,
    /// Its cookies are valid and issued anew with the signing key.
    Retire = 2,
}

named! { Role { Sign = "sign", Accept = "accept", Retire = "retire" } }

/// One key of a ring, as configured.
#[derive(Clone, Debug)]
pub struct CookieKey {
    /// The number that cookies carry to say which key signed them.
    pub id: u8,
    /// What the key is used for.
    pub role: Role,
    /// The secret that the three working keys are derived from.
    pub secret: Secret,
}

impl CookieKey {
    pub(crate) fn view(&self) -> KeyView<'_> {
        KeyView { id: self.id, role: self.role, secret: self.secret.expose() }
    }
}

/// A [`CookieKey`] that is somebody else's, so that no copy of its secret has to be wiped.
#[derive(Clone, Copy)]
pub(crate) struct KeyView<'k> {
    pub id: u8,
    pub role: Role,
    pub secret: &'k [u8; 16],
}

/// A key of a ring, ready for work.
pub(crate) struct RingKey {
    pub keys: Keys,
    pub id: u8,
    pub role: Role,
}

/// One to [`MAX_COOKIE_KEYS`] cookie keys, exactly one of which signs.
///
/// Holds only keys derived from the secrets. They are wiped on drop and never shown.
pub struct KeyRing {
    keys: ArrayVec<RingKey, MAX_COOKIE_KEYS>,
    signer: u8,
}

impl KeyRing {
    /// Builds a ring. With `placement_key`, also refuses a secret that equals it.
    ///
    /// # Errors
    ///
    /// [`Error::KeyCount`], [`Error::ZeroSecret`], [`Error::DuplicateSecret`],
    /// [`Error::DuplicateKeyId`], [`Error::SigningKeys`], each with the index of the key
    /// that is at fault.
    pub fn new(keys: &[CookieKey], placement_key: Option<&Secret>) -> Result<Self, ConfigError> {
        Self::of(&|i| keys.get(i).map(CookieKey::view), placement_key.map(Secret::expose))
    }

    /// [`KeyRing::new`] of the keys that `key_at` gives for 0, 1, and so on, until there is none.
    pub(crate) fn of<'k>(
        key_at: &dyn Fn(usize) -> Option<KeyView<'k>>,
        placement_key: Option<&[u8; 16]>,
    ) -> Result<Self, ConfigError> {
        let mut ring = Self { keys: ArrayVec::new(), signer: 0 };
        let mut signing = false;
        for (index, key) in (0..).map_while(key_at).enumerate() {
            let refuse = |error: Error| Err(error.at(Field::CookieKeys, index));
            if *key.secret == [0; 16] {
                return refuse(Error::ZeroSecret);
            }
            if placement_key == Some(key.secret) {
                return refuse(Error::DuplicateSecret);
            }
            for earlier in (0..index).filter_map(key_at) {
                if earlier.id == key.id {
                    return refuse(Error::DuplicateKeyId);
                }
                if earlier.secret == key.secret {
                    return refuse(Error::DuplicateSecret);
                }
            }
            if key.role == Role::Sign {
                if signing {
                    return refuse(Error::SigningKeys);
                }
                signing = true;
                ring.signer = key.id;
            }
            let working = RingKey { keys: Keys::derive(key.secret), id: key.id, role: key.role };
            if ring.keys.try_push(working).is_err() {
                return refuse(Error::KeyCount);
            }
        }
        match (ring.keys.is_empty(), signing) {
            (true, _) => Err(Error::KeyCount.at(Field::CookieKeys, 0)),
            (_, false) => Err(Error::SigningKeys.at(Field::CookieKeys, 0)),
            _ => Ok(ring),
        }
    }

    /// The key with this id, and its position in the ring.
    #[inline]
    pub(crate) fn find(&self, id: u8) -> Option<(usize, &RingKey)> {
        self.keys.iter().enumerate().find(|(_, key)| key.id == id)
    }

    /// The signing key, and its position in the ring.
    pub(crate) fn signer(&self) -> Option<(usize, &RingKey)> {
        self.find(self.signer)
    }

    /// The MACs of all keys for `audience`, in order.
    pub(crate) fn macs(&self, audience: &Audience<'_>) -> ArrayVec<Mac, MAX_COOKIE_KEYS> {
        let mut macs = ArrayVec::new();
        for key in &self.keys {
            // As many as there are keys, so there is room.
            let _ = macs.try_push(key.keys.mac(audience));
        }
        macs
    }
}

impl core::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| (key.id, key.role))).finish()
    }
}

/// Where the MACs of a ring's keys come from.
#[derive(Clone, Copy)]
pub(crate) enum Macs<'a> {
    /// Made beforehand, in the ring's order.
    Ready(&'a [Mac]),
    /// Made for this audience where one is needed.
    Of(&'a Audience<'a>),
}

impl Macs<'_> {
    /// Gives `then` the MAC of `key`, which is at `position` in its ring.
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
        // Of the first key that it collides with, the id counts first.
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
