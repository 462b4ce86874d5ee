//! An affinity that owns its memory.

use alloc::boxed::Box;
use alloc::vec::Vec;

use self_cell::{MutBorrow, self_cell};

use crate::error::ConfigError;
use crate::ids::fields::{Fields, IdKey, Ids, KeyKind};
use crate::ring::CookieKey;
use crate::select::slot::Slot;

use super::affinity::Affinity;
use super::classify::{Group, Rule};
use super::config::{Config, Strings};

/// An [`Affinity`] that owns its slots, its pin index and every byte of its configuration. Needs
/// the feature `alloc`.
///
/// It borrows nothing, is `Send` and `Sync`, and goes into an [`Arc`](alloc::sync::Arc). To reload,
/// build the next one and replace the `Arc`. Requests that hold the old one finish with it, and it
/// is freed after the last of them. The new one rejects decisions of the old one as
/// [`Error::Stale`](crate::Error::Stale), unless both have the same
/// [fingerprint](Affinity::fingerprint).
///
/// Building allocates. No method of [`OwnedAffinity::get`] does.
///
/// ```
/// use std::sync::{Arc, RwLock};
/// use tokenpin::{Config, CookieKey, OwnedAffinity, Role, Secret, Slot, SlotStatus};
///
/// fn build(accounts: &[&str]) -> Result<OwnedAffinity, Box<dyn std::error::Error>> {
///     let keys = [CookieKey { id: 1, role: Role::Sign, secret: Secret::new([0x22; 16]) }];
///     let slots = accounts.iter().map(|name| Slot::new(name.as_bytes(), SlotStatus::UP));
///     let config = Config::new(Secret::new([0x11; 16]), &keys);
///     Ok(OwnedAffinity::new(&config, slots.collect::<Result<_, _>>()?)?)
/// }
///
/// let current = RwLock::new(Arc::new(build(&["a", "b"])?));
/// // For each request:
/// let affinity = Arc::clone(&current.read().unwrap());
/// assert_eq!(affinity.get().find(b"b"), Some(1));
/// // To reload:
/// *current.write().unwrap() = Arc::new(build(&["a", "b", "c"])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct OwnedAffinity(Built);

impl OwnedAffinity {
    /// Checks a configuration and builds the affinity. Copies what `config` borrows.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] as from [`Affinity::new`]; the slots are dropped then.
    pub fn new(config: &Config<'_>, slots: Vec<Slot>) -> Result<Self, ConfigError> {
        let tables = Tables::new(Words::of(config), Words::tables);
        let index = alloc::vec![0; Affinity::index_len(slots.len())];
        let owned = Owned {
            tables,
            slots: slots.into_boxed_slice(),
            index: MutBorrow::new(index.into_boxed_slice()),
            scope: config.scope.into(),
            cookie_name: config.cookie_name.map(Into::into),
            path: config.attributes.path.into(),
            domain: config.attributes.domain.into(),
        };
        let keys = |i| config.cookie_keys.get(i).map(CookieKey::view);
        let id_keys = |i| config.ids.keys.get(i).map(CookieKey::view);
        Built::try_new(owned, |owned| {
            let tables = owned.tables.borrow_dependent();
            let config = config.around(&Strings {
                rules: &tables.rules,
                fields: Fields {
                    keys: &tables.keys,
                    prefixes: &tables.prefixes,
                    collections: &tables.collections,
                },
                scope: &owned.scope,
                cookie_name: owned.cookie_name.as_deref(),
                path: &owned.path,
                domain: &owned.domain,
            });
            Affinity::with_keys(config, (&keys, &id_keys), &owned.slots, owned.index.borrow_mut())
        })
        .map(Self)
    }

    /// Returns the affinity.
    ///
    /// ```
    /// use tokenpin::{Answer, Config, CookieKey, OwnedAffinity, Request, Role, Secret, Slot};
    /// use tokenpin::{MAX_SET_COOKIE, SlotStatus};
    ///
    /// // Once. 16 random bytes for each secret, the same on every replica.
    /// let secret = Secret::new(*b"a cookie secret!");
    /// let keys = [CookieKey { id: 1, role: Role::Sign, secret }];
    /// let config = Config::new(Secret::new(*b"a placement key!"), &keys);
    /// let slots = [b"account-a", b"account-b"].map(|name| Slot::new(name, SlotStatus::UP));
    /// let affinity = OwnedAffinity::new(&config, slots.into_iter().collect::<Result<_, _>>()?)?;
    ///
    /// // For each request: `now` from the clock, `entropy` from the system's random source.
    /// let (now, entropy) = (1_800_000_000, [7; 16]);
    /// let (method, target) = (b"POST", b"/v1/responses");
    /// let request = Request { method, target, now, entropy, ..Request::default() };
    /// let decision = affinity.get().decide(&request, [b"theme=dark".as_slice()])?;
    /// let slot = decision.slot.ok_or("no account can serve: answer decision.refusal()")?;
    ///
    /// // Send it with that slot's credential. Then, with the status of the account's response:
    /// let mut line = [0; MAX_SET_COOKIE];
    /// let (answer, len) = affinity.get().finish(&decision, 200, &mut line)?;
    /// assert_eq!(answer, Answer::SetCookie);
    /// let pair = line[..len].split(|byte| *byte == b';').next().unwrap_or_default();
    ///
    /// // The session's next request goes to the same account.
    /// let request = Request { method: b"GET", target: b"/v1/responses/resp_1", ..request };
    /// assert_eq!(affinity.get().decide(&request, [pair])?.slot, Some(slot));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn get(&self) -> &Affinity<'_> {
        self.0.borrow_dependent()
    }
}

impl core::fmt::Debug for OwnedAffinity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("OwnedAffinity").field(self.get()).finish()
    }
}

type Bytes = Box<[u8]>;

/// The tables of a configuration, as owned bytes.
struct Words {
    rules: Box<[(Bytes, Group, Ids)]>,
    keys: Box<[(Bytes, KeyKind)]>,
    prefixes: Box<[Bytes]>,
    collections: Box<[Bytes]>,
}

/// The same tables, as an affinity borrows them.
struct Borrowed<'a> {
    rules: Box<[Rule<'a>]>,
    keys: Box<[IdKey<'a>]>,
    prefixes: Box<[&'a [u8]]>,
    collections: Box<[&'a [u8]]>,
}

impl Words {
    fn of(config: &Config<'_>) -> Self {
        let Fields { keys, prefixes, collections } = config.ids.fields;
        let copies = |words: &[&[u8]]| words.iter().map(|&word| word.into()).collect();
        Self {
            rules: config.rules.iter().map(|it| (it.pattern.into(), it.group, it.ids)).collect(),
            keys: keys.iter().map(|key| (key.name.into(), key.kind)).collect(),
            prefixes: copies(prefixes),
            collections: copies(collections),
        }
    }

    fn tables(&self) -> Borrowed<'_> {
        Borrowed {
            rules: self
                .rules
                .iter()
                .map(|(pattern, group, ids)| Rule { pattern, group: *group, ids: *ids })
                .collect(),
            keys: self.keys.iter().map(|(name, kind)| IdKey { name, kind: *kind }).collect(),
            prefixes: self.prefixes.iter().map(|word| &**word).collect(),
            collections: self.collections.iter().map(|word| &**word).collect(),
        }
    }
}

/// The memory that the affinity borrows.
struct Owned {
    tables: Tables,
    slots: Box<[Slot]>,
    index: MutBorrow<Box<[u32]>>,
    scope: Box<[u8]>,
    cookie_name: Option<Box<[u8]>>,
    path: Box<[u8]>,
    domain: Box<[u8]>,
}

self_cell!(
    struct Tables {
        owner: Words,
        #[covariant]
        dependent: Borrowed,
    }
);

self_cell!(
    struct Built {
        owner: Owned,
        #[covariant]
        dependent: Affinity,
    }
);
