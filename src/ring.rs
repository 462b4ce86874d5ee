//! Key rings: which key signs, which are accepted, which retire.

use arrayvec::ArrayVec;

use crate::enums::named;
use crate::error::{ConfigError, Error, Field};
use crate::limits::MAX_COOKIE_KEYS;
use crate::secret::Secret;

/// The role of a key in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// Signs new cookies and ids, and those that it signed are valid. Exactly one key of a ring has
    /// this role.
    Sign = 0,
    /// Cookies and ids that it signed are valid, and stay as they are.
    Accept = 1,
    /// Cookies and ids that it signed are valid. The cookies are issued again with the signing key;
    /// the ids stay as they are.
    Retire = 2,
}

named! { Role { Sign = "sign", Accept = "accept", Retire = "retire" } }

/// One key of a ring, as configured.
#[derive(Clone, Debug)]
pub struct CookieKey {
    /// The number in a cookie or a sealed id that names the key that signed it.
    pub id: u8,
    /// The role of the key.
    pub role: Role,
    /// The secret that the working keys are derived from.
    pub secret: Secret,
}

impl CookieKey {
    pub(crate) fn view(&self) -> KeyView<'_> {
        KeyView { id: self.id, role: self.role, secret: self.secret.expose() }
    }
}

/// A borrowed [`CookieKey`], so that no copy of its secret has to be wiped.
#[derive(Clone, Copy)]
pub(crate) struct KeyView<'k> {
    pub id: u8,
    pub role: Role,
    pub secret: &'k [u8; 16],
}

/// A key of a ring, ready for work.
pub(crate) struct RingKey<K> {
    pub keys: K,
    pub id: u8,
    pub role: Role,
}

/// One to [`MAX_COOKIE_KEYS`] keys with their working keys `K`, exactly one of which signs.
pub(crate) struct Ring<K> {
    keys: ArrayVec<RingKey<K>, MAX_COOKIE_KEYS>,
    signer: u8,
}

impl<K> Ring<K> {
    /// Builds a ring from the keys that `key_at` returns for 0, 1, and so on, until it returns
    /// `None`. Errors name `field`.
    pub(crate) fn of<'k>(
        field: Field,
        key_at: &dyn Fn(usize) -> Option<KeyView<'k>>,
        placement_key: Option<&[u8; 16]>,
        derive: fn(&[u8; 16]) -> K,
    ) -> Result<Self, ConfigError> {
        let signer = check(field, key_at, placement_key)?;
        let mut ring = Self { keys: ArrayVec::new(), signer };
        for key in (0..).map_while(key_at) {
            // The number of keys was checked, so there is room.
            let working = RingKey { keys: derive(key.secret), id: key.id, role: key.role };
            let _ = ring.keys.try_push(working);
        }
        Ok(ring)
    }

    /// Returns the key with this id, and its position in the ring.
    #[inline]
    pub(crate) fn find(&self, id: u8) -> Option<(usize, &RingKey<K>)> {
        self.keys.iter().enumerate().find(|(_, key)| key.id == id)
    }

    /// Returns the signing key, and its position in the ring.
    pub(crate) fn signer(&self) -> Option<(usize, &RingKey<K>)> {
        self.find(self.signer)
    }

    pub(crate) fn keys(&self) -> &[RingKey<K>] {
        &self.keys
    }
}

/// Checks the keys of a ring, and returns the id of the one that signs.
#[inline(never)]
fn check<'k>(
    field: Field,
    key_at: &dyn Fn(usize) -> Option<KeyView<'k>>,
    placement_key: Option<&[u8; 16]>,
) -> Result<u8, ConfigError> {
    let (mut signer, mut count) = (None, 0);
    for (index, key) in (0..).map_while(key_at).enumerate() {
        let refuse = |error: Error| Err(error.at(field, index));
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
        if key.role == Role::Sign && signer.replace(key.id).is_some() {
            return refuse(Error::SigningKeys);
        }
        if index == MAX_COOKIE_KEYS {
            return refuse(Error::KeyCount);
        }
        count += 1;
    }
    match signer {
        _ if count == 0 => Err(Error::KeyCount.at(field, 0)),
        None => Err(Error::SigningKeys.at(field, 0)),
        Some(id) => Ok(id),
    }
}

impl<K> core::fmt::Debug for Ring<K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| (key.id, key.role))).finish()
    }
}
