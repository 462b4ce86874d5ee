//! Reads cookies: the checks, their order, and their limits.

use arrayvec::ArrayVec;

use crate::base64;
use crate::key::{Key, Kind};
use crate::limits::MAX_COOKIE_KEYS;
use crate::ring::Role;

use super::ring::{KeyRing, Macs, RingKey};
use super::seal;
use super::value::{Cookie, RAW_LEN, VERSION, Verdict};

/// The time limits of cookies, in seconds. 0 switches a limit off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The tolerance for timestamps in the future, from replicas whose clocks run ahead. It cannot
    /// be switched off: 0 is no tolerance.
    pub skew: u32,
    /// The longest life since `issued_at`.
    pub max_life: u32,
    /// The longest time since `refreshed_at`.
    pub max_idle: u32,
    /// The refresh interval. A fifth of it after `refreshed_at`, the cookie is due for a refresh.
    pub refresh_interval: u32,
}

/// Reads many cookies of one request. Bindings are computed once per ring key and kind, and the
/// number of MACs is bounded, so that a header full of forgeries stays cheap.
pub(crate) struct Reader<'a, 'k> {
    ring: &'a KeyRing,
    macs: Macs<'a>,
    key: Option<&'a Key<'k>>,
    limits: Limits,
    now: u64,
    macs_left: u32,
    bindings: ArrayVec<Binding, { 3 * MAX_COOKIE_KEYS }>,
}

/// The binding of cookies of a kind, under a ring key, to the request's affinity key.
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
        if raw[0] >> 4 != VERSION {
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

    /// Returns the cookie, if its tag is good. Overwrites everything in `raw` after the head.
    fn verify(
        &mut self,
        raw: &mut [u8; RAW_LEN],
        kind: Kind,
        position: usize,
        key: &RingKey,
    ) -> Option<Cookie> {
        let bind = self.bind(kind, position, key)?;
        self.macs_left = self.macs_left.checked_sub(1)?;
        let open = |mac: &_| seal::open(raw, &key.keys, mac, kind, bind);
        let pin = self.macs.with((position, key), open)??;
        Some(Cookie {
            kind,
            issued_at: u32::from_be_bytes(*raw.get(2..)?.first_chunk()?),
            refreshed_at: u32::from_be_bytes(*raw.get(6..)?.first_chunk()?),
            id: *raw.get(10..)?.first_chunk()?,
            pin,
        })
    }

    /// Returns the binding of the cookie's kind to the *request's* key. Returns `None` if the
    /// request has no key, because no binding would verify then.
    fn bind(&mut self, kind: Kind, position: usize, key: &RingKey) -> Option<u128> {
        if kind == Kind::Anonymous {
            return Some(0);
        }
        let request_key = self.key?;
        let made = |made: &&Binding| made.kind == kind && made.position == position;
        if let Some(made) = self.bindings.iter().find(made) {
            return Some(made.number);
        }
        let number = key.keys.binding(kind, request_key);
        // There is room for every kind under every key.
        let _ = self.bindings.try_push(Binding { kind, position, number });
        Some(number)
    }

    /// Applies the checks after the tag, in the order of the verdicts.
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
