//! The value of the affinity cookie, version 1: 50 bytes as 67 base64url characters.
//!
//! docs/cookie-format.md is the specification. The tag is a SIV (Rogaway and Shrimpton,
//! 2006): it is computed over the plain pin and then masks it, so the same token looks
//! different in every cookie.

use core::hash::Hasher as _;

use arrayvec::ArrayVec;
use siphasher::sip128::{Hasher128 as _, SipHasher24 as WideHasher};

use crate::base64;
use crate::error::Error;
use crate::hash::{check_scope, sip24};
use crate::key::{Key, Kind};
use crate::names::named;
use crate::ring::{KeyRing, MAX_KEYS, Mac, RingKey, Role};

/// The version this release writes and reads.
pub const COOKIE_VERSION: u8 = 1;
/// The length of a cookie's value, in characters.
pub const VALUE_LEN: usize = 67;
/// The longest cookie name, in bytes.
pub const MAX_NAME: usize = 128;

pub(crate) const RAW_LEN: usize = 50;
/// The bytes before the pin.
const HEAD_LEN: usize = 26;
/// The bytes before the tag.
const TAG_AT: usize = 34;

/// A cookie's value as it stands in a header.
pub type Value = [u8; VALUE_LEN];

/// What came of reading a cookie, in the order in which the checks are made: of several
/// cookies, the one that came furthest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// There was no cookie, or nobody looked.
    Absent = 0,
    /// Not 67 base64url characters with zero trailing bits, or of an undefined kind.
    Malformed = 1,
    /// Of another version of this format.
    UnknownVersion = 2,
    /// Signed by a key that is not in the ring.
    UnknownKey = 3,
    /// Forged, damaged, or made for another name, scope or affinity key.
    BadTag = 4,
    /// Genuine, but of another kind than the request.
    OtherKey = 5,
    /// Issued or refreshed later than now plus the skew.
    NotYetValid = 6,
    /// Issued longer ago than the maximum life.
    ExpiredLife = 7,
    /// Refreshed longer ago than the maximum idle time.
    ExpiredIdle = 8,
    /// Usable.
    Valid = 9,
    /// Usable, and to be issued anew.
    RefreshDue = 10,
}

named! { Verdict {
    Absent = "absent", Malformed = "malformed", UnknownVersion = "unknown_version",
    UnknownKey = "unknown_key", BadTag = "bad_tag", OtherKey = "other_key",
    NotYetValid = "not_yet_valid", ExpiredLife = "expired_life", ExpiredIdle = "expired_idle",
    Valid = "valid", RefreshDue = "refresh_due",
} }

impl Verdict {
    /// Whether a cookie with this verdict is used.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Valid | Self::RefreshDue)
    }
}

/// How long cookies are good for, in seconds; 0 switches a limit off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How far in the future a replica's clock may have stamped a cookie. Cannot be
    /// switched off: 0 is no tolerance.
    pub skew: u32,
    /// The longest life since `issued_at`.
    pub max_life: u32,
    /// The longest time since `refreshed_at`.
    pub max_idle: u32,
    /// A fifth of this after `refreshed_at`, the cookie is issued anew.
    pub refresh_interval: u32,
}

/// What a cookie says.
///
/// `Debug` leaves out the id, which follows a person around, and the pin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cookie {
    /// What the cookie belongs to.
    pub kind: Kind,
    /// The first issue, in unix seconds; kept through every refresh.
    pub issued_at: u32,
    /// The latest issue, in unix seconds.
    pub refreshed_at: u32,
    /// The anonymous id; a nonce for the other kinds.
    pub id: [u8; 16],
    /// The identity hash of the session's token.
    pub pin: u64,
}

impl core::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Cookie")
            .field("kind", &self.kind)
            .field("issued_at", &self.issued_at)
            .field("refreshed_at", &self.refreshed_at)
            .finish_non_exhaustive()
    }
}

/// Whom cookies are for: the cookie's name and the scope, both under the MAC.
#[derive(Clone, Copy, Debug)]
pub struct Audience<'a> {
    /// The cookie's name, 1 to [`MAX_NAME`] RFC 9110 token bytes.
    pub name: &'a [u8],
    /// The scope, 0 to [`MAX_SCOPE`](crate::MAX_SCOPE) bytes.
    pub scope: &'a [u8],
}

impl Audience<'_> {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_name(self.name)?;
        check_scope(self.scope)
    }
}

/// RFC 6265 section 4.1.1: a cookie's name is a token, RFC 9110 section 5.6.2.
pub(crate) fn check_name(name: &[u8]) -> Result<(), Error> {
    let token = |&byte: &u8| TOKEN[usize::from(byte)];
    if name.is_empty() || name.len() > MAX_NAME || !name.iter().all(token) {
        return Err(Error::CookieName);
    }
    Ok(())
}

/// Which bytes a token may have.
static TOKEN: [bool; 256] = {
    let mut token = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        token[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"!#$%&'*+-.^_`|~";
    let mut i = 0;
    while i < others.len() {
        token[others[i] as usize] = true;
        i += 1;
    }
    token
};

/// The value of a cookie, signed with the ring's signing key.
///
/// `key` is the affinity key that the cookie is bound to and must be of the cookie's
/// kind; an anonymous key's bytes are not looked at, the cookie's own id counts.
///
/// # Errors
///
/// [`Error::CookieName`], [`Error::ScopeLength`], [`Error::KeyLength`] (also for a key of
/// another kind than the cookie's).
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

/// [`encode`] with the MACs for the audience.
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
    raw[0] = COOKIE_VERSION << 4 | cookie.kind as u8;
    raw[1] = signer.id;
    raw[2..6].copy_from_slice(&cookie.issued_at.to_be_bytes());
    raw[6..10].copy_from_slice(&cookie.refreshed_at.to_be_bytes());
    raw[10..26].copy_from_slice(&cookie.id);
    let message = message(&mut raw, cookie.kind, cookie.pin, binding(signer, cookie.kind, key));
    let tag = macs.with((position, signer), |mac| mac.tag(message)).ok_or(Error::SigningKeys)?;
    let masked = cookie.pin ^ mask(signer, tag);
    raw[HEAD_LEN..TAG_AT].copy_from_slice(&masked.to_le_bytes());
    raw[TAG_AT..].copy_from_slice(&tag.to_le_bytes());
    base64::encode(&raw, value);
    Ok(())
}

/// Reads the value of one cookie. `key` is the request's affinity key, `None` for an
/// anonymous request. The cookie comes with every verdict from [`Verdict::OtherKey`] on,
/// because only then its tag was found good.
///
/// Takes the time of at most three hashes: over the affinity key, the tag's message and the tag.
///
/// # Errors
///
/// [`Error::CookieName`], [`Error::ScopeLength`], [`Error::KeyLength`]. A bad value is a
/// verdict, not an error.
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

/// [`encode`] and [`decode`] for many cookies of one audience, whose name and scope are checked and
/// hashed once, under every key of the ring.
///
/// Shared freely between threads. What it keeps of the keys is wiped on drop.
pub struct Codec<'r> {
    ring: &'r KeyRing,
    macs: ArrayVec<Mac, MAX_KEYS>,
}

impl<'r> Codec<'r> {
    /// Takes the time of one hash over name and scope for each key of the ring.
    ///
    /// # Errors
    ///
    /// [`Error::CookieName`], [`Error::ScopeLength`].
    pub fn new(ring: &'r KeyRing, audience: &Audience<'_>) -> Result<Self, Error> {
        audience.check()?;
        Ok(Self { ring, macs: ring.macs(audience) })
    }

    /// [`encode`] with this ring and audience.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLength`] (also for a key of another kind than the cookie's).
    pub fn encode(&self, key: &Key<'_>, cookie: &Cookie) -> Result<Value, Error> {
        encode_with(self.ring, Macs::Ready(&self.macs), key, cookie)
    }

    /// [`decode`] with this ring and audience.
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
                made = key.mac(audience);
                &made
            }
        };
        Some(then(mac))
    }
}

/// Reads many cookies of one request: bindings are computed once per ring key and kind,
/// and the number of MACs is bounded, so that a header full of forgeries stays cheap.
pub(crate) struct Reader<'a, 'k> {
    ring: &'a KeyRing,
    macs: Macs<'a>,
    key: Option<&'a Key<'k>>,
    limits: Limits,
    now: u64,
    macs_left: u32,
    bindings: ArrayVec<Binding, { 3 * MAX_KEYS }>,
}

/// What binds cookies of a kind under a ring key to the request's affinity key.
struct Binding {
    kind: Kind,
    position: usize,
    number: u128,
}

/// The most MACs computed for one request.
pub(crate) const MAX_MACS: u32 = 64;

impl<'a, 'k> Reader<'a, 'k> {
    pub(crate) fn new(
        ring: &'a KeyRing,
        macs: Macs<'a>,
        key: Option<&'a Key<'k>>,
        limits: Limits,
        now: u64,
    ) -> Self {
        let key = key.filter(|key| key.kind() != Kind::Anonymous);
        Self { ring, macs, key, limits, now, macs_left: MAX_MACS, bindings: ArrayVec::new() }
    }

    pub(crate) fn read(&mut self, value: &[u8]) -> (Verdict, Option<Cookie>) {
        let mut raw = [0; RAW_LEN];
        if !value.try_into().is_ok_and(|value| base64::decode(value, &mut raw)) {
            return (Verdict::Malformed, None);
        }
        let Some(kind) = Kind::from_number(raw[0] & 15) else { return (Verdict::Malformed, None) };
        if raw[0] >> 4 != COOKIE_VERSION {
            return (Verdict::UnknownVersion, None);
        }
        let Some((position, key)) = self.ring.find(raw[1]) else {
            return (Verdict::UnknownKey, None);
        };
        let Some(cookie) = self.verify(&mut raw, kind, position, key) else {
            return (Verdict::BadTag, None);
        };
        (self.judge(&cookie, key), Some(cookie))
    }

    /// Leaves of `raw` no more than the head.
    fn verify(
        &mut self,
        raw: &mut [u8; RAW_LEN],
        kind: Kind,
        position: usize,
        key: &RingKey,
    ) -> Option<Cookie> {
        let bind = self.bind(kind, position, key)?;
        self.macs_left = self.macs_left.checked_sub(1)?;
        let (masked, carried) = raw.get(HEAD_LEN..)?.split_first_chunk::<8>()?;
        let carried = u128::from_le_bytes(*carried.first_chunk()?);
        let pin = u64::from_le_bytes(*masked) ^ mask(key, carried);
        let message = message(raw, kind, pin, bind);
        let expected = self.macs.with((position, key), |mac| mac.tag(message))?;
        if !same(expected, carried) {
            return None;
        }
        Some(Cookie {
            kind,
            issued_at: u32::from_be_bytes(*raw.get(2..)?.first_chunk()?),
            refreshed_at: u32::from_be_bytes(*raw.get(6..)?.first_chunk()?),
            id: *raw.get(10..)?.first_chunk()?,
            pin,
        })
    }

    /// The binding of the cookie's kind to the *request's* key. `None` where the request
    /// has no key: nothing that such a cookie could be bound to would verify.
    fn bind(&mut self, kind: Kind, position: usize, key: &RingKey) -> Option<u128> {
        if kind == Kind::Anonymous {
            return Some(0);
        }
        let request_key = self.key?;
        let made = |made: &&Binding| made.kind == kind && made.position == position;
        if let Some(made) = self.bindings.iter().find(made) {
            return Some(made.number);
        }
        let number = binding(key, kind, request_key);
        // There is room for every kind under every key.
        let _ = self.bindings.try_push(Binding { kind, position, number });
        Some(number)
    }

    /// The checks after the tag, in the order of the verdicts.
    fn judge(&self, cookie: &Cookie, key: &RingKey) -> Verdict {
        let wanted = self.key.map_or(Kind::Anonymous, Key::kind);
        if cookie.kind != wanted {
            return Verdict::OtherKey;
        }
        let (issued, refreshed) = (u64::from(cookie.issued_at), u64::from(cookie.refreshed_at));
        if issued.max(refreshed) > self.now.saturating_add(self.limits.skew.into()) {
            return Verdict::NotYetValid;
        }
        let life = self.now.saturating_sub(issued);
        let idle = self.now.saturating_sub(refreshed);
        let over = |elapsed: u64, limit: u32| limit != 0 && elapsed > limit.into();
        if over(life, self.limits.max_life) {
            return Verdict::ExpiredLife;
        }
        if over(idle, self.limits.max_idle) {
            return Verdict::ExpiredIdle;
        }
        let interval = u64::from(self.limits.refresh_interval);
        let old = interval != 0 && idle.saturating_mul(5) >= interval;
        if key.role == Role::Retire || old { Verdict::RefreshDue } else { Verdict::Valid }
    }
}

/// Makes of the bytes of a cookie the message that its tag is of: where the cookie has the masked
/// pin, the plain one, and where it has the tag, the binding; of an anonymous cookie, none.
///
/// In place and in one piece, which is what `SipHash` reads fastest.
fn message(raw: &mut [u8; RAW_LEN], kind: Kind, pin: u64, bind: u128) -> &[u8] {
    raw[HEAD_LEN..TAG_AT].copy_from_slice(&pin.to_le_bytes());
    if kind == Kind::Anonymous {
        return &raw[..TAG_AT];
    }
    raw[TAG_AT..].copy_from_slice(&bind.to_le_bytes());
    raw
}

// The two defects planted below take more than a flag, so that no library has them by accident.
const _: () = assert!(
    !cfg!(any(tokenpin_planted_compare, tokenpin_cut_tag))
        || option_env!("TOKENPIN_PLANTED_DEFECT").is_some(),
    "a build for the tests, which accepts forged cookies"
);

/// In constant time.
#[cfg(not(tokenpin_planted_compare))]
fn same(expected: u128, carried: u128) -> bool {
    use subtle::ConstantTimeEq as _;

    // tests/forgery/ plants this defect, to see that it notices.
    let ignored = if cfg!(tokenpin_cut_tag) { 112 } else { 0 };
    (expected << ignored).ct_eq(&(carried << ignored)).into()
}

#[cfg(tokenpin_planted_compare)]
use same_in_pieces as same;

/// And checks/constant_time/ this one, for the same reason.
#[cfg(tokenpin_planted_compare)]
fn same_in_pieces(expected: u128, carried: u128) -> bool {
    let (expected, carried) = (expected.to_le_bytes(), carried.to_le_bytes());
    expected.iter().zip(&carried).all(|(a, b)| core::hint::black_box(a) == b)
}

fn mask(key: &RingKey, tag: u128) -> u64 {
    sip24(&key.pin, &tag.to_le_bytes())
}

fn binding(key: &RingKey, kind: Kind, affinity_key: &Key<'_>) -> u128 {
    if kind == Kind::Anonymous {
        return 0;
    }
    let mut hasher = WideHasher::new_with_key(&key.bind);
    hasher.write(&[kind as u8]);
    affinity_key.feed(&mut |bytes: &[u8]| hasher.write(bytes));
    u128::from_le_bytes(hasher.finish128().as_bytes())
}
