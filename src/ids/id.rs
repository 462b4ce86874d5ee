//! One id: its key ring, its verdicts, sealing and opening. docs/spec/sealed-ids.md is the
//! specification.

use arrayvec::ArrayVec;

use crate::enums::named;
use crate::error::{ConfigError, Error, Field};
use crate::key::check_scope;
use crate::limits::{MAX_ID, MAX_KEY, MAX_SEALED_ID};
use crate::ring::{CookieKey, KeyView, Ring};
use crate::secret::Secret;

use super::form::{self, HEAD_LEN, Looks, MARK_LEN, in_alphabet, recognise};
use super::seal::{Bound, Keys, Use};

/// The verdict on a sealed id, or on all ids of a request. A later value is a worse verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum IdVerdict {
    /// There is no id.
    None = 0,
    /// The id does not look sealed: it is as a provider made it.
    Plain = 1,
    /// The id is authentic and names its account.
    Sealed = 2,
    /// Two ids name different accounts.
    Conflict = 3,
    /// The id has a later version.
    UnknownVersion = 4,
    /// The ring has no key with the id's key id.
    UnknownKey = 5,
    /// The seal is not what the key would have made.
    BadSeal = 6,
}

named! { IdVerdict {
    None = "none", Plain = "plain", Sealed = "sealed", Conflict = "conflict",
    UnknownVersion = "unknown_version", UnknownKey = "unknown_key", BadSeal = "bad_seal",
} }

/// The keys that seal ids: one to [`MAX_COOKIE_KEYS`](crate::MAX_COOKIE_KEYS), exactly one of which
/// signs. Ids sealed by any of them are opened.
///
/// Holds only keys derived from the secrets. They are wiped on drop and never shown. The secrets of
/// the cookie may be used again, because ids derive other keys from them.
pub struct IdRing(Ring<Keys>);

impl IdRing {
    /// Builds a ring. With `placement_key`, also refuses a secret that equals it.
    ///
    /// # Errors
    ///
    /// Those of [`KeyRing::new`](crate::KeyRing::new), in [`Field::IdKeys`].
    pub fn new(keys: &[CookieKey], placement_key: Option<&Secret>) -> Result<Self, ConfigError> {
        let key_at = |i: usize| keys.get(i).map(CookieKey::view);
        Self::of(&key_at, placement_key.map(Secret::expose))
    }

    /// Builds a ring like [`IdRing::new`], from the keys that `key_at` returns for 0, 1, and so on,
    /// until it returns `None`.
    pub(crate) fn of<'k>(
        key_at: &dyn Fn(usize) -> Option<KeyView<'k>>,
        placement_key: Option<&[u8; 16]>,
    ) -> Result<Self, ConfigError> {
        Ring::of(Field::IdKeys, key_at, placement_key, Keys::derive).map(Self)
    }

    /// Returns the check value of the key with this id.
    pub(crate) fn check_value(&self, id: u8) -> Option<u64> {
        self.0.find(id).map(|(_, key)| key.keys.check_value())
    }
}

impl core::fmt::Debug for IdRing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// A sealed id.
#[derive(Clone)]
pub struct SealedId(ArrayVec<u8, MAX_SEALED_ID>);

impl SealedId {
    pub(crate) fn new() -> Self {
        Self(ArrayVec::new())
    }

    /// Returns the characters of the sealed id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl core::fmt::Debug for SealedId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SealedId({})", self.as_bytes().escape_ascii())
    }
}

/// The content of an authentic sealed id.
#[derive(Clone)]
pub struct OpenedId {
    native: ArrayVec<u8, MAX_ID>,
    /// The identity hash of the account that holds the object. The account need not be in the set.
    pub pin: u64,
    /// The id of the key that sealed it.
    pub key_id: u8,
}

impl OpenedId {
    /// Returns the id as the provider made it.
    #[must_use]
    pub fn native(&self) -> &[u8] {
        &self.native
    }
}

impl core::fmt::Debug for OpenedId {
    /// Leaves out the pin, which would confirm a guessed account name.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "OpenedId({}, ..)", self.native().escape_ascii())
    }
}

fn head(content: &[u8]) -> &[u8] {
    content.get(..HEAD_LEN).unwrap_or(content)
}

/// Seals and opens ids of one scope and owner.
#[derive(Clone, Copy, Debug)]
pub struct IdSealer<'a> {
    ring: &'a IdRing,
    scope: &'a [u8],
    owner: &'a [u8],
}

impl<'a> IdSealer<'a> {
    /// Creates a sealer for ids of this scope, and of this owner if it is not empty.
    ///
    /// # Errors
    ///
    /// [`Error::ScopeLength`]; [`Error::KeyLength`] for an owner over [`MAX_KEY`] bytes.
    pub fn new(ring: &'a IdRing, scope: &'a [u8], owner: &'a [u8]) -> Result<Self, Error> {
        check_scope(scope)?;
        if owner.len() > MAX_KEY {
            return Err(Error::KeyLength);
        }
        Ok(Self { ring, scope, owner })
    }

    /// Seals the id of an object in the account with the identity hash `pin`. An id that already
    /// carries this seal stays as it is.
    ///
    /// Returns `None` unless the id is 1 to [`MAX_ID`] bytes of `A-Z a-z 0-9 _ -`.
    #[must_use]
    pub fn seal(&self, id: &[u8], pin: u64) -> Option<SealedId> {
        // Built in place: moving it would take as long as encoding it.
        let key_id = self.signing_key()?;
        let mut made = Some(SealedId::new());
        if !made.as_mut().is_some_and(|sealed| self.seal_with(key_id, id, pin, sealed)) {
            made = None;
        }
        made
    }

    pub(crate) fn signing_key(&self) -> Option<u8> {
        self.ring.0.signer().map(|(_, key)| key.id)
    }

    pub(crate) fn signs_with(&self, key_id: u8) -> bool {
        self.signing_key() == Some(key_id)
    }

    /// Returns a hash that stands for a native id in memory.
    pub(crate) fn echo_hash(&self, native: &[u8]) -> u64 {
        self.ring.0.signer().map_or(0, |(_, key)| key.keys.echo(native))
    }

    /// Seals like [`Self::seal`], with the key that has this id, into empty output. Returns whether
    /// it succeeded.
    pub(crate) fn seal_with(&self, key_id: u8, id: &[u8], pin: u64, sealed: &mut SealedId) -> bool {
        if id.is_empty() || !in_alphabet(id) {
            return false;
        }
        if self.open(id).1.is_some_and(|opened| opened.pin == pin) {
            return sealed.0.try_extend_from_slice(id).is_ok();
        }
        let Some((_, key)) = self.ring.0.find(key_id).filter(|_| id.len() <= MAX_ID) else {
            return false;
        };
        let envelope = key.keys.seal(key.id, &self.bound(Use::Id), pin, id);
        form::seal(id, &envelope, &mut sealed.0).is_some()
    }

    /// Checks a text from a client, sealed or not. Returns the opened id with
    /// [`IdVerdict::Sealed`]. The verdict is never [`IdVerdict::None`] or [`IdVerdict::Conflict`].
    #[must_use]
    pub fn open(&self, text: &[u8]) -> (IdVerdict, Option<OpenedId>) {
        let parts = match recognise(text) {
            Looks::Plain => return (IdVerdict::Plain, None),
            Looks::Later => return (IdVerdict::UnknownVersion, None),
            Looks::Sealed(parts) => parts,
        };
        let mut opened = OpenedId { native: ArrayVec::new(), pin: 0, key_id: 0 };
        let Some(envelope) = parts.open(&mut opened.native) else {
            return (IdVerdict::BadSeal, None);
        };
        [opened.key_id, ..] = envelope;
        let Some((_, key)) = self.ring.0.find(opened.key_id) else {
            return (IdVerdict::UnknownKey, None);
        };
        match key.keys.open(&envelope, &self.bound(Use::Id), &opened.native) {
            Some(pin) => {
                opened.pin = pin;
                (IdVerdict::Sealed, Some(opened))
            }
            None => (IdVerdict::BadSeal, None),
        }
    }

    /// Returns the mark for encrypted content of the account with the identity hash `pin`, or
    /// `None` for no content.
    #[must_use]
    pub fn mark(&self, content: &[u8], pin: u64) -> Option<[u8; MARK_LEN]> {
        let key = self.ring.0.signer()?.1;
        if content.is_empty() {
            return None;
        }
        let envelope = key.keys.seal(key.id, &self.bound(Use::Encrypted), pin, head(content));
        Some(form::mark(&envelope))
    }

    /// Checks the end of encrypted content from a client. The verdict is [`IdVerdict::Plain`] if
    /// there is no mark. With [`IdVerdict::Sealed`] come the content without the mark, and the pin.
    #[must_use]
    pub fn open_mark<'t>(&self, text: &'t [u8]) -> (IdVerdict, Option<(&'t [u8], u64)>) {
        match text.split_last_chunk() {
            Some((content, mark)) if !content.is_empty() => {
                let (verdict, pin) = self.read_mark(head(content), mark);
                (verdict, pin.map(|pin| (content, pin)))
            }
            _ => (IdVerdict::Plain, None),
        }
    }

    /// Checks a mark like [`Self::open_mark`], from the head of content that may be streaming.
    pub(crate) fn read_mark(&self, head: &[u8], mark: &[u8; MARK_LEN]) -> (IdVerdict, Option<u64>) {
        let Some(envelope) = form::open_mark(mark) else { return (IdVerdict::Plain, None) };
        let [key_id, ..] = envelope;
        let Some((_, key)) = self.ring.0.find(key_id) else { return (IdVerdict::UnknownKey, None) };
        match key.keys.open(&envelope, &self.bound(Use::Encrypted), head) {
            Some(pin) => (IdVerdict::Sealed, Some(pin)),
            None => (IdVerdict::BadSeal, None),
        }
    }

    fn bound(&self, what: Use) -> Bound<'a> {
        Bound { scope: self.scope, owner: self.owner, what }
    }
}
