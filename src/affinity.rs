//! The affinity: one checked configuration, immutable but for its slots' words.

use core::hash::Hasher as _;

use arrayvec::ArrayVec;
use siphasher::sip::SipHasher24;

use crate::classify::{Class, DEFAULT_RULES, Rule, Table, check_rules};
use crate::cookie::{Audience, Limits, Macs};
use crate::error::{ConfigError, Error, Field};
use crate::hash::{check_scope, identity_hash, key_hash_unchecked, length_prefix, sip24};
use crate::jump::MAX_BUCKETS;
use crate::key::Key;
use crate::names::named;
use crate::ring::{CookieKey, KeyRing, KeyView, MAX_KEYS, Mac};
use crate::secret::Secret;
use crate::select::{Filter, Strategy, select};
use crate::set_cookie::{Attributes, CookieName, MAX_MAX_AGE};
use crate::slot::{MAX_WEIGHT, Slot, State, Status};

/// What to do with a pinned request whose token is down or was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Policy {
    /// Refuse: another account would not know the state.
    FailFast = 0,
    /// Select another token, and pin the session to it if the request creates state
    /// there and succeeds.
    FallbackAndUpdate = 1,
    /// Select another token for this request; the session returns when its own recovers.
    FallbackWithoutUpdate = 2,
}

named! { Policy {
    FailFast = "fail_fast", FallbackAndUpdate = "fallback_and_update",
    FallbackWithoutUpdate = "fallback_without_update",
} }

/// Everything that an [`Affinity`] is built from, but its slots.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, each documented")]
pub struct Config<'a> {
    /// How slots are selected.
    pub strategy: Strategy,
    /// Decides the mapping of keys; the same on all replicas, and not rotated.
    pub placement_key: Secret,
    /// The cookie key ring.
    pub cookie_keys: &'a [CookieKey],
    /// The default scope, 0 to [`MAX_SCOPE`](crate::MAX_SCOPE) bytes.
    pub scope: &'a [u8],
    /// The cookie's name; `None` for [`CookieName::for_scope`] of the request's scope.
    pub cookie_name: Option<&'a [u8]>,
    /// The cookie's attributes.
    pub attributes: Attributes<'a>,
    /// `Max-Age` in seconds, at most [`MAX_MAX_AGE`]; `Some(0)` for a session cookie,
    /// `None` for as long as the cookie can be valid: the smaller of `max_idle` and what
    /// is left of `max_life`.
    pub max_age: Option<u32>,
    /// Tolerance for clocks that run ahead, in seconds.
    pub skew: u32,
    /// The longest life of a cookie since its first issue, in seconds; 0 for no limit.
    pub max_life: u32,
    /// The longest time between refreshes of a cookie, in seconds; 0 for no limit.
    pub max_idle: u32,
    /// For requests that name existing state.
    pub policy_existing: Policy,
    /// For all other requests.
    pub policy_new: Policy,
    /// Use consumer and session key together where a request has both.
    pub combine_keys: bool,
    /// Reject a request whose key is untrusted, ambiguous or too long, instead of trying
    /// the next source.
    pub reject_bad_keys: bool,
    /// Give cookies to sessions that have a key.
    pub keyed_cookies: bool,
    /// Mint cookies also where only one slot holds an account.
    pub mint_single: bool,
    /// The response statuses, inclusive, on which a cookie is set.
    pub success: (u16, u16),
    /// The classification table.
    pub rules: &'a [Rule<'a>],
    /// Give affinity to the prompt-cache group too.
    pub prompt_cache: bool,
}

impl<'a> Config<'a> {
    /// The defaults of the design, around the two things that have none.
    #[must_use]
    pub fn new(placement_key: Secret, cookie_keys: &'a [CookieKey]) -> Self {
        Self {
            strategy: Strategy::Jump,
            placement_key,
            cookie_keys,
            scope: b"",
            cookie_name: None,
            attributes: Attributes::default(),
            max_age: None,
            skew: 300,
            max_life: 30 * 24 * 60 * 60,
            max_idle: 0,
            policy_existing: Policy::FailFast,
            policy_new: Policy::FallbackAndUpdate,
            combine_keys: false,
            reject_bad_keys: false,
            keyed_cookies: false,
            mint_single: false,
            success: (200, 299),
            rules: DEFAULT_RULES,
            prompt_cache: false,
        }
    }

    /// When a cookie is due to be issued anew: what ends first, `max_idle` or a configured
    /// `Max-Age`, after which the browser drops it. Never where an automatic `Max-Age`
    /// already reaches to the end of the cookie's life: a refresh cannot lengthen that.
    fn refresh_interval(&self) -> u32 {
        match self.max_age {
            Some(seconds) if self.max_idle != 0 && seconds != 0 => self.max_idle.min(seconds),
            _ if self.max_idle != 0 => self.max_idle,
            Some(seconds) => seconds,
            None if self.max_life == 0 || self.max_life > MAX_MAX_AGE => MAX_MAX_AGE,
            None => 0,
        }
    }
}

/// Answers which token serves a request, and which cookie goes back.
///
/// Borrows its slots and its pin index from the caller; everything but the slots' words is
/// immutable, so it is shared between threads without locks. Changing a slot does not
/// wait for decisions, nor they for it.
pub struct Affinity<'a> {
    /// Without its cookie keys, which only the ring needs.
    pub(crate) config: Config<'a>,
    pub(crate) ring: KeyRing,
    /// The MACs of the ring's keys for the configured scope, and the cookie's name for it.
    macs: ArrayVec<Mac, MAX_KEYS>,
    pub(crate) limits: Limits,
    table: Table,
    slots: &'a [Slot],
    /// An open-addressing hash table, from identity hashes to slots.
    index: &'a [u32],
    pub(crate) occupied: u32,
    /// The cookie's name for the configured scope.
    pub(crate) name: CookieName,
    digest: u64,
}

/// An entry of the index that points nowhere.
const EMPTY: u32 = u32::MAX;

impl<'a> Affinity<'a> {
    /// The length of the memory for the pin index of a set of `slots` slots: a power of
    /// two, at least twice the slots, so that look-ups are short. 0 if there are too many.
    #[must_use]
    pub const fn index_len(slots: usize) -> usize {
        if slots > MAX_BUCKETS as usize {
            return 0;
        }
        match slots.checked_mul(2) {
            Some(wanted) => match wanted.checked_next_power_of_two() {
                Some(len) => len,
                None => 0,
            },
            None => 0,
        }
    }

    /// Checks a configuration and builds the affinity over `slots`. `index` is scratch
    /// memory of [`Affinity::index_len`] elements at least.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that names the field, and the element of it. `index` may have
    /// been written to; nothing else has changed.
    pub fn new(
        config: &Config<'a>,
        slots: &'a [Slot],
        index: &'a mut [u32],
    ) -> Result<Self, ConfigError> {
        let keys = |i| config.cookie_keys.get(i).map(CookieKey::view);
        Self::with_keys(config, &keys, slots, index)
    }

    /// [`Affinity::new`] with the cookie keys that `keys` gives, see [`KeyRing::of`].
    pub(crate) fn with_keys<'k>(
        config: &Config<'a>,
        keys: &dyn Fn(usize) -> Option<KeyView<'k>>,
        slots: &'a [Slot],
        index: &'a mut [u32],
    ) -> Result<Self, ConfigError> {
        if config.placement_key.is_zero() {
            return Err(Error::ZeroSecret.at(Field::PlacementKey, 0));
        }
        let ring = KeyRing::of(keys, Some(config.placement_key.expose()))?;
        check_scope(config.scope).map_err(|error| error.at(Field::Scope, 0))?;
        let name = match config.cookie_name {
            Some(name) => CookieName::new(name).map_err(|error| error.at(Field::CookieName, 0))?,
            None => CookieName::for_scope(config.scope),
        };
        config.attributes.check(name.as_bytes())?;
        if config.max_age.is_some_and(|seconds| seconds > MAX_MAX_AGE) {
            return Err(Error::MaxAge.at(Field::MaxAge, 0));
        }
        let (first, last) = config.success;
        if first < 100 || last > 599 || first > last {
            return Err(Error::SuccessRange.at(Field::Success, 0));
        }
        check_rules(config.rules)?;
        if slots.is_empty() || slots.len() > MAX_BUCKETS as usize {
            return Err(Error::SlotCount.at(Field::Slots, 0));
        }
        let needed = Self::index_len(slots.len());
        let Some(index) = index.get_mut(..needed) else {
            return Err(Error::BufferTooSmall { needed }.at(Field::Index, 0));
        };
        let occupied = fill_index(index, slots)?;
        let limits = Limits {
            skew: config.skew,
            max_life: config.max_life,
            max_idle: config.max_idle,
            refresh_interval: config.refresh_interval(),
        };
        let config = Config { cookie_keys: &[], ..config.clone() };
        let macs = ring.macs(&Audience { name: name.as_bytes(), scope: config.scope });
        let table = Table::new(&|i| config.rules.get(i).copied());
        let mut affinity =
            Self { config, ring, macs, limits, table, slots, index, occupied, name, digest: 0 };
        affinity.digest = affinity.fingerprint_of_config();
        Ok(affinity)
    }

    /// The number of slots, vacant ones included.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// A slot's status.
    ///
    /// # Errors
    ///
    /// [`Error::SlotRange`].
    pub fn status(&self, slot: u32) -> Result<Status, Error> {
        self.slot(slot).map(Slot::status)
    }

    /// Changes a slot's state, weight and until, at once and at any time.
    ///
    /// # Errors
    ///
    /// [`Error::SlotRange`] and those of [`Slot::set`]. Nothing changes then.
    pub fn set_status(&self, slot: u32, status: Status) -> Result<(), Error> {
        self.slot(slot)?.set(status)
    }

    /// The slot of the account named by `identity`.
    #[must_use]
    pub fn find(&self, identity: &[u8]) -> Option<u32> {
        self.find_hash(identity_hash(identity)).map(|(number, _)| number)
    }

    /// The cookie's name for a scope; an empty one is the configured scope. What has to
    /// be stripped from requests and responses.
    ///
    /// # Errors
    ///
    /// [`Error::ScopeLength`].
    pub fn cookie_name(&self, scope: &[u8]) -> Result<CookieName, Error> {
        check_scope(scope)?;
        Ok(match self.name_suffix(scope) {
            None => self.name.clone(),
            Some(suffix) => CookieName::with_suffix(suffix),
        })
    }

    /// Gives `then` the cookie's name, with the suffix that [`Self::name_suffix`] gave.
    pub(crate) fn with_name<R>(&self, suffix: Option<[u8; 4]>, then: impl FnOnce(&[u8]) -> R) -> R {
        let own = suffix.map(CookieName::with_suffix);
        then(own.as_ref().unwrap_or(&self.name).as_bytes())
    }

    /// The suffix of the cookie's name where that follows a request's own scope.
    pub(crate) fn name_suffix(&self, scope: &[u8]) -> Option<[u8; 4]> {
        let fixed = scope.is_empty() || self.config.cookie_name.is_some();
        if fixed { None } else { Some(CookieName::suffix(scope)) }
    }

    /// Classifies a request by the configured table.
    #[must_use]
    pub fn classify(&self, method: &[u8], target: &[u8]) -> Class {
        let rule = |i: usize| self.config.rules.get(i).copied();
        self.table.classify(&rule, self.config.prompt_cache, method, target)
    }

    /// The configuration's fingerprint: strategy, capacity, identities, what keys and
    /// cookies are made of (scope, `combine_keys`, cookie name), and the ids of the cookie
    /// keys with a check value of each, all keyed by the placement key. Replicas that show
    /// different ones do not agree.
    #[must_use]
    pub const fn fingerprint(&self) -> u64 {
        self.digest
    }

    /// The fingerprint of the weights, and of the states that count at `now`. Linear in
    /// the number of slots.
    #[must_use]
    pub fn live_fingerprint(&self, now: u64) -> u64 {
        let mut digest = Digest::new(b"tokenpin.v1.live");
        for slot in self.slots {
            let status = slot.status();
            digest.add(&[status.state_at(now) as u8]);
            digest.add(&status.weight.to_le_bytes());
        }
        digest.end()
    }

    fn fingerprint_of_config(&self) -> u64 {
        let mut digest = Digest::new(self.config.placement_key.expose());
        digest.add(b"tokenpin.v1.conf");
        digest.add(&[self.config.strategy as u8, u8::from(self.config.combine_keys)]);
        digest.add(&(self.slots.len() as u64).to_le_bytes());
        for slot in self.slots {
            digest.add(&[u8::from(slot.is_vacant())]);
            digest.add(&slot.identity().to_le_bytes());
        }
        digest.add(&length_prefix(self.config.scope));
        digest.add(self.config.scope);
        digest.add(&[u8::from(self.config.cookie_name.is_some())]);
        digest.add(&length_prefix(self.name.as_bytes()));
        digest.add(self.name.as_bytes());
        // By ascending id: the order of the ring means nothing.
        for key in (0..=u8::MAX).filter_map(|id| self.ring.find(id)).map(|(_, key)| key) {
            digest.add(&[key.id]);
            digest.add(&sip24(&key.mac, b"tokenpin.v1.conf").to_le_bytes());
        }
        digest.end()
    }

    pub(crate) fn slot(&self, slot: u32) -> Result<&Slot, Error> {
        self.slots.get(slot as usize).ok_or(Error::SlotRange)
    }

    /// The MACs for `audience`, that of a request with `scope`.
    pub(crate) fn macs<'s>(&'s self, scope: &[u8], audience: &'s Audience<'s>) -> Macs<'s> {
        if scope.is_empty() { Macs::Ready(&self.macs) } else { Macs::Of(audience) }
    }

    pub(crate) fn scope_or_default<'s>(&'s self, scope: &'s [u8]) -> &'s [u8] {
        if scope.is_empty() { self.config.scope } else { scope }
    }

    /// The slot with this identity hash: one probe or two, however many slots.
    pub(crate) fn find_hash(&self, identity: u64) -> Option<(u32, &Slot)> {
        for position in probes(identity, self.index.len()) {
            let number = *self.index.get(position)?;
            // Not EMPTY, which ends the search: no slot has that number.
            let slot = self.slots.get(number as usize)?;
            if slot.identity() == identity {
                return Some((number, slot));
            }
        }
        None
    }

    /// The slot that serves `key` now.
    #[inline(never)]
    pub(crate) fn select(
        &self,
        scope: &[u8],
        key: &Key<'_>,
        filter: &Filter<'_>,
    ) -> Option<(u32, &Slot)> {
        let hash = key_hash_unchecked(&self.config.placement_key, scope, key);
        let fnv1a = match self.config.strategy {
            Strategy::HigressFnv1aModulo => crate::hash::fnv1a32(key),
            _ => 0,
        };
        let number = select(self.config.strategy, self.slots, filter, hash, fnv1a)?;
        Some((number, self.slots.get(number as usize)?))
    }
}

impl core::fmt::Debug for Affinity<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Affinity")
            .field("config", &self.config)
            .field("ring", &self.ring)
            .field("slots", &self.slots.len())
            .finish_non_exhaustive()
    }
}

/// Hashes many small pieces, where speed does not matter and inlining each would cost room.
struct Digest(SipHasher24);

impl Digest {
    fn new(key: &[u8; 16]) -> Self {
        Self(SipHasher24::new_with_key(key))
    }

    #[inline(never)]
    fn add(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    #[inline(never)]
    fn end(&self) -> u64 {
        self.0.finish()
    }
}

/// Linear probing from the hash itself: identity hashes are uniform already.
#[expect(clippy::cast_possible_truncation, reason = "only the low bits are kept")]
fn probes(identity: u64, len: usize) -> impl Iterator<Item = usize> {
    let mask = len.wrapping_sub(1);
    (0..len).map(move |step| (identity as usize).wrapping_add(step) & mask)
}

/// Enters every slot that holds an account, and returns their number.
fn fill_index(index: &mut [u32], slots: &[Slot]) -> Result<u32, ConfigError> {
    index.fill(EMPTY);
    let mut occupied = 0;
    for (number, slot) in (0_u32..).zip(slots) {
        if slot.is_vacant() {
            continue;
        }
        occupied += 1;
        for position in probes(slot.identity(), index.len()) {
            let Some(entry) = index.get_mut(position) else { break };
            let Some(other) = slots.get(*entry as usize) else {
                *entry = number;
                break;
            };
            if other.identity() == slot.identity() {
                return Err(Error::DuplicateIdentity.at(Field::Slots, number as usize));
            }
        }
    }
    Ok(occupied)
}

// Full weight is the acceptance threshold of 16 bits; and no slot number is EMPTY.
const _: () = assert!(MAX_WEIGHT == 1 << 16 && MAX_BUCKETS < EMPTY && State::ALL.len() == 4);
