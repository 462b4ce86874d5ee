//! The affinity: one checked configuration. Only the words of its slots change after it is built.

use arrayvec::ArrayVec;

use crate::cookie::name::{Audience, CookieName};
use crate::cookie::reader::Limits;
use crate::cookie::ring::{KeyRing, Macs};
use crate::cookie::seal::{Mac, id_hint};
use crate::error::{ConfigError, Error, Field};
use crate::ids::id::{IdRing, IdSealer};
use crate::ids::rules::{Mode, Rules};
use crate::key::{Key, check_scope, key_hash_unchecked};
use crate::limits::{MAX_BUCKETS, MAX_COOKIE_KEYS, MAX_MAX_AGE};
use crate::ring::{CookieKey, KeyView};
use crate::select::higress::select_higress;
use crate::select::slot::{Filter, Slot, SlotStatus, identity_hash};
use crate::select::{Strategy, by_jump, by_rendezvous};

use super::classify::{Class, Table, check_rules};
use super::config::{Config, IdOwner};
use super::request::KeyInput;
use super::{fingerprint, index};

/// Decides which token serves a request, and which cookie the response sets.
///
/// Borrows its slots and its pin index from the caller. Everything except the slots' words is
/// immutable, so threads share it without locks. Changing a slot does not wait for decisions, and
/// decisions do not wait for the change.
pub struct Affinity<'a> {
    /// The configuration, without its keys, which only the rings need.
    pub(crate) config: Config<'a>,
    pub(crate) ring: KeyRing,
    id_ring: IdRing,
    /// The MACs of the ring's keys for the configured scope and the cookie's name in it.
    macs: ArrayVec<Mac, MAX_COOKIE_KEYS>,
    pub(crate) limits: Limits,
    table: Table,
    pub(crate) slots: &'a [Slot],
    /// The pin index. See index.rs.
    index: &'a [u32],
    pub(crate) occupied: u32,
    /// The cookie's name for the configured scope.
    pub(crate) name: CookieName,
    fingerprint: u64,
}

impl<'a> Affinity<'a> {
    /// Returns the length of the pin index for a set of `slots` slots: a power of two, at least
    /// twice the slots, so that look-ups are short. Returns 0 if there are too many slots.
    #[must_use]
    pub const fn index_len(slots: usize) -> usize {
        index::index_len(slots)
    }

    /// Checks a configuration and builds the affinity over `slots`. `index` is scratch memory of at
    /// least [`Affinity::index_len`] elements.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that names the field and the element at fault. `index` may have been
    /// written to; nothing else has changed.
    pub fn new(
        config: &Config<'a>,
        slots: &'a [Slot],
        index: &'a mut [u32],
    ) -> Result<Self, ConfigError> {
        let keys = |i| config.cookie_keys.get(i).map(CookieKey::view);
        let id_keys = |i| config.ids.keys.get(i).map(CookieKey::view);
        Self::with_keys(config.clone(), (&keys, &id_keys), slots, index)
    }

    /// Builds an affinity like [`Affinity::new`], from cookie keys and id keys by position. See
    /// [`KeyRing::of`].
    pub(crate) fn with_keys<'k>(
        mut config: Config<'a>,
        (keys, id_keys): (&KeysAt<'_, 'k>, &KeysAt<'_, 'k>),
        slots: &'a [Slot],
        index: &'a mut [u32],
    ) -> Result<Self, ConfigError> {
        if config.placement_key.is_zero() {
            return Err(Error::ZeroSecret.at(Field::PlacementKey, 0));
        }
        let placement_key = Some(config.placement_key.expose());
        let ring = KeyRing::of(keys, placement_key)?;
        let id_keys = if id_keys(0).is_some() { id_keys } else { keys };
        let id_ring = IdRing::of(id_keys, placement_key)?;
        config.ids.fields.check()?;
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
        let occupied = index::fill(index, slots)?;
        let limits = Limits {
            skew: config.skew,
            max_life: config.max_life,
            max_idle: config.max_idle,
            refresh_interval: config.refresh_interval(),
        };
        (config.cookie_keys, config.ids.keys) = (&[], &[]);
        let macs = ring.macs(&Audience { name: name.as_bytes(), scope: config.scope });
        let table = Table::new(&|i| config.rules.get(i).copied(), config.replace_rules);
        let fingerprint =
            fingerprint::of_config(&config, slots, (&ring, &id_ring), name.as_bytes());
        Ok(Self {
            config,
            ring,
            id_ring,
            macs,
            limits,
            table,
            slots,
            index,
            occupied,
            name,
            fingerprint,
        })
    }

    /// The number of slots, vacant ones included.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Returns a slot's status.
    ///
    /// # Errors
    ///
    /// [`Error::SlotRange`].
    pub fn get_slot(&self, slot: u32) -> Result<SlotStatus, Error> {
        self.slot(slot).map(Slot::status)
    }

    /// Changes a slot's state, weight and until, atomically and at any time.
    ///
    /// # Errors
    ///
    /// [`Error::SlotRange`] and those of [`Slot::set`]. Nothing changes then.
    pub fn set_slot(&self, slot: u32, status: SlotStatus) -> Result<(), Error> {
        self.slot(slot)?.set(status)
    }

    /// Returns the slot of the account that `identity` names.
    #[must_use]
    pub fn find(&self, identity: &[u8]) -> Option<u32> {
        self.find_hash(identity_hash(identity)).map(|(number, _)| number)
    }

    /// Returns the cookie's name for a scope. An empty scope is the configured one. Strip the
    /// cookie with this name from requests, and from the upstream's responses.
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

    /// Calls `then` with the cookie's name. `suffix` comes from [`Self::name_suffix`].
    pub(crate) fn with_name<R>(&self, suffix: Option<[u8; 4]>, then: impl FnOnce(&[u8]) -> R) -> R {
        let own = suffix.map(CookieName::with_suffix);
        then(own.as_ref().unwrap_or(&self.name).as_bytes())
    }

    /// Returns the suffix of the cookie's name, if the name follows the request's own scope.
    pub(crate) fn name_suffix(&self, scope: &[u8]) -> Option<[u8; 4]> {
        let fixed = scope.is_empty() || self.config.cookie_name.is_some();
        if fixed { None } else { Some(CookieName::suffix(scope)) }
    }

    /// Returns the [`id_hint`](crate::Request::id_hint) of the client that `of` belongs to. It is
    /// the same on every replica. `of` is 1 to [`MAX_KEY`](crate::MAX_KEY) bytes that no two
    /// clients share.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLength`].
    pub fn id_hint(&self, of: &[u8]) -> Result<[u8; 16], Error> {
        Key::Session(of).check()?;
        Ok(id_hint(self.config.placement_key.expose(), of))
    }

    /// Classifies a request by the configured table.
    #[must_use]
    pub fn classify(&self, method: &[u8], target: &[u8]) -> Class {
        let own = |i: usize| self.config.rules.get(i).copied();
        self.table.classify(&own, self.config.prompt_cache, method, target)
    }

    /// Returns the rules by which the ids of a request with this scope are opened, and those of its
    /// response sealed. An empty scope is the configured one. `owner` comes from
    /// [`Affinity::id_owner`], and `mode` replaces the configured mode.
    ///
    /// # Errors
    ///
    /// [`Error::ScopeLength`]; [`Error::KeyLength`] for an owner over [`MAX_KEY`](crate::MAX_KEY)
    /// bytes.
    pub fn id_rules<'r>(
        &'r self,
        scope: &'r [u8],
        owner: &'r [u8],
        mode: Option<Mode>,
    ) -> Result<Rules<'r>, Error> {
        let ids = &self.config.ids;
        let mode = mode.unwrap_or(ids.mode);
        Ok(Rules {
            sealer: IdSealer::new(&self.id_ring, self.scope_or_default(scope), owner)?,
            mode,
            refuse_foreign: ids.foreign.refuses(mode),
            encrypted: ids.encrypted,
            fields: ids.fields,
        })
    }

    /// Returns the owner of a request's ids. It is the request's consumer if ids belong to
    /// consumers and the consumer is usable, and otherwise empty.
    #[must_use]
    pub fn id_owner<'r>(&self, consumer: KeyInput<'r>) -> &'r [u8] {
        match self.config.ids.owner {
            IdOwner::None => &[],
            IdOwner::Consumer => consumer.read().ok().flatten().unwrap_or_default(),
        }
    }

    /// Returns the name of a key in the table of ids, by the number that a
    /// [`Decision`](crate::Decision) holds, or `None` if no key has this number.
    #[must_use]
    pub fn id_key(&self, number: u8) -> Option<&[u8]> {
        self.config.ids.fields.key(number).map(|key| key.name)
    }

    /// Returns whether an account with this identity hash is in the set.
    #[must_use]
    pub fn knows(&self, pin: u64) -> bool {
        self.find_hash(pin).is_some()
    }

    /// Returns the identity hash of a slot's account, or `None` if the slot is vacant or not in the
    /// set.
    #[must_use]
    pub fn pin(&self, slot: u32) -> Option<u64> {
        self.slot(slot).ok().filter(|slot| !slot.is_vacant()).map(Slot::identity_hash)
    }

    /// Returns the configuration's fingerprint, keyed by the placement key. It covers the strategy,
    /// the capacity, the identities, the inputs of keys, cookies and sealed ids (scope,
    /// `combine_keys`, cookie name, owner), and the ids and check values of the cookie and id keys.
    /// Replicas with different fingerprints do not agree.
    #[must_use]
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Returns the fingerprint of the weights and of the states that count at `now`. Linear in the
    /// number of slots.
    #[must_use]
    pub fn live_fingerprint(&self, now: u64) -> u64 {
        fingerprint::of_slots(self.slots, now)
    }

    pub(crate) fn slot(&self, slot: u32) -> Result<&Slot, Error> {
        self.slots.get(slot as usize).ok_or(Error::SlotRange)
    }

    /// Returns the MACs for `audience`, that of a request with `scope`.
    pub(crate) fn macs<'s>(&'s self, scope: &[u8], audience: &'s Audience<'s>) -> Macs<'s> {
        if scope.is_empty() { Macs::Ready(&self.macs) } else { Macs::Of(audience) }
    }

    pub(crate) fn scope_or_default<'s>(&'s self, scope: &'s [u8]) -> &'s [u8] {
        if scope.is_empty() { self.config.scope } else { scope }
    }

    /// Returns the slot with this identity hash.
    pub(crate) fn find_hash(&self, identity: u64) -> Option<(u32, &Slot)> {
        index::find(self.index, self.slots, identity)
    }

    /// Returns the slot that serves `key` now.
    #[inline(never)]
    pub(crate) fn select(
        &self,
        scope: &[u8],
        key: &Key<'_>,
        filter: &Filter<'_>,
    ) -> Option<(u32, &Slot)> {
        let hash = key_hash_unchecked(&self.config.placement_key, scope, key);
        let number = match self.config.strategy {
            Strategy::Jump => by_jump(self.slots, filter, hash),
            Strategy::Rendezvous => by_rendezvous(self.slots, filter, hash),
            Strategy::HigressFnv1aModulo => select_higress(self.slots, filter, hash, key),
        }?;
        Some((number, self.slots.get(number as usize)?))
    }
}

/// The keys of a ring, by their position.
pub(crate) type KeysAt<'f, 'k> = dyn Fn(usize) -> Option<KeyView<'k>> + 'f;

impl core::fmt::Debug for Affinity<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Affinity")
            .field("config", &self.config)
            .field("ring", &self.ring)
            .field("slots", &self.slots.len())
            .finish_non_exhaustive()
    }
}
