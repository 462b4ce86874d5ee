//! The affinity cookie: its value, its name, and the header fields that carry it.
//!
//! [`encode`] makes one value and [`decode`] reads one; [`Codec`] does both for many cookies of one
//! audience. [`field`] finds and removes cookies in `Cookie` fields, and [`set_cookie`] writes
//! `Set-Cookie`. docs/spec/cookie-format.md is the specification.

use arrayvec::ArrayVec;

use crate::base64;
use crate::error::Error;
use crate::key::Key;
use crate::limits::MAX_COOKIE_KEYS;

use name::Audience;
use reader::{Limits, Reader};
use ring::{KeyRing, Macs};
use seal::Mac;
use value::{Cookie, RAW_LEN, VALUE_LEN, VERSION, Value, Verdict};

pub mod field;
pub(crate) mod name;
pub(crate) mod reader;
pub(crate) mod ring;
pub(crate) mod seal;
pub mod set_cookie;
pub(crate) mod value;

/// Returns the value of `cookie`, signed by the ring's signing key.
///
/// `key` is the affinity key that the cookie is bound to, and must be of the cookie's kind. The
/// bytes of an anonymous key are ignored: the cookie's own id counts.
///
/// # Errors
///
/// [`Error::CookieName`], [`Error::ScopeLength`], [`Error::KeyLength`] (also for a key of another
/// kind than the cookie's).
pub fn encode(
    ring: &KeyRing,
    audience: &Audience<'_>,
    key: &Key<'_>,
    cookie: &Cookie,
) -> Result<Value, Error> {
    audience.check()?;
    encode_with(ring, Macs::Of(audience), key, cookie)
}

fn encode_with(
    ring: &KeyRing,
    macs: Macs<'_>,
    key: &Key<'_>,
    cookie: &Cookie,
) -> Result<Value, Error> {
    let mut value = [0; VALUE_LEN];
    encode_to(ring, macs, key, cookie, &mut value)?;
    Ok(value)
}

/// Encodes like [`encode`], with the MACs for the audience.
#[inline(never)]
pub(crate) fn encode_to(
    ring: &KeyRing,
    macs: Macs<'_>,
    key: &Key<'_>,
    cookie: &Cookie,
    value: &mut Value,
) -> Result<(), Error> {
    key.check()?;
    if key.kind() != cookie.kind {
        return Err(Error::KeyLength);
    }
    // A ring cannot be built without a signing key.
    let (position, signer) = ring.signer().ok_or(Error::SigningKeys)?;
    let mut raw = [0; RAW_LEN];
    raw[0] = VERSION << 4 | cookie.kind as u8;
    raw[1] = signer.id;
    raw[2..6].copy_from_slice(&cookie.issued_at.to_be_bytes());
    raw[6..10].copy_from_slice(&cookie.refreshed_at.to_be_bytes());
    raw[10..26].copy_from_slice(&cookie.id);
    let bind = signer.keys.binding(cookie.kind, key);
    let seal = |mac: &_| seal::seal(&mut raw, &signer.keys, mac, cookie.kind, cookie.pin, bind);
    macs.with((position, signer), seal).ok_or(Error::SigningKeys)?;
    base64::encode(&raw, value);
    Ok(())
}

/// Reads the value of one cookie. `key` is the request's affinity key, `None` for an anonymous
/// request. The cookie is returned with every verdict from [`Verdict::OtherKey`] on, because only
/// then is its tag known to be good.
///
/// Takes the time of at most three hashes: over the affinity key, the tag's message and the tag.
///
/// # Errors
///
/// [`Error::CookieName`], [`Error::ScopeLength`], [`Error::KeyLength`]. A bad value is a verdict,
/// not an error.
pub fn decode(
    ring: &KeyRing,
    audience: &Audience<'_>,
    key: Option<&Key<'_>>,
    limits: &Limits,
    now: u64,
    value: &[u8],
) -> Result<(Verdict, Option<Cookie>), Error> {
    audience.check()?;
    decode_with(ring, Macs::Of(audience), key, limits, now, value)
}

fn decode_with(
    ring: &KeyRing,
    macs: Macs<'_>,
    key: Option<&Key<'_>>,
    limits: &Limits,
    now: u64,
    value: &[u8],
) -> Result<(Verdict, Option<Cookie>), Error> {
    if let Some(key) = key {
        key.check()?;
    }
    Ok(Reader::new(ring, macs, key, *limits, now).read(value))
}

/// Encodes and decodes many cookies of one audience. The audience's name and scope are checked and
/// hashed once, under every key of the ring.
///
/// Threads share it freely. Its key material is wiped on drop.
pub struct Codec<'r> {
    ring: &'r KeyRing,
    macs: ArrayVec<Mac, MAX_COOKIE_KEYS>,
}

impl<'r> Codec<'r> {
    /// Creates a codec. Takes the time of one hash over name and scope for each key of the ring.
    ///
    /// # Errors
    ///
    /// [`Error::CookieName`], [`Error::ScopeLength`].
    pub fn new(ring: &'r KeyRing, audience: &Audience<'_>) -> Result<Self, Error> {
        audience.check()?;
        Ok(Self { ring, macs: ring.macs(audience) })
    }

    /// Encodes like [`encode`], with this ring and audience.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLength`] (also for a key of another kind than the cookie's).
    pub fn encode(&self, key: &Key<'_>, cookie: &Cookie) -> Result<Value, Error> {
        encode_with(self.ring, Macs::Ready(&self.macs), key, cookie)
    }

    /// Decodes like [`decode`], with this ring and audience.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLength`]. A bad value is a verdict, not an error.
    pub fn decode(
        &self,
        key: Option<&Key<'_>>,
        limits: &Limits,
        now: u64,
        value: &[u8],
    ) -> Result<(Verdict, Option<Cookie>), Error> {
        decode_with(self.ring, Macs::Ready(&self.macs), key, limits, now, value)
    }
}

impl core::fmt::Debug for Codec<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Codec").field("ring", self.ring).finish_non_exhaustive()
    }
}
