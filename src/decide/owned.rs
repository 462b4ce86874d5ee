//! An affinity that owns all that it is made from.

use alloc::boxed::Box;
use alloc::vec::Vec;

use self_cell::{MutBorrow, self_cell};

use crate::error::ConfigError;
use crate::ring::CookieKey;
use crate::select::slot::Slot;

use super::affinity::Affinity;
use super::classify::{Group, Rule};
use super::config::{Config, Strings};

/// An [`Affinity`] that owns its slots, its pin index and every byte of its configuration. Needs the
/// feature `alloc`.
///
/// It borrows nothing, is `Send` and `Sync`, and goes into an [`Arc`](alloc::sync::Arc). To reload, build the
/// next one and put its `Arc` where the last one was: requests that hold the last one end with it, and it is freed behind
/// them. A decision of the last one is [`Error::Stale`](crate::Error::Stale) to the next, unless both have the same
/// [fingerprint](Affinity::fingerprint).
///
/// Building allocates. Nothing behind [`OwnedAffinity::get`] does.
///
/// ```
/// use std::sync::{Arc, RwLock};
/// use tokenpin::{Config, CookieKey, OwnedAffinity, Role, Secret, Slot, SlotStatus};
///
/// fn build(accounts: &[&str]) -> Result<OwnedAffinity, Box<dyn std::error::Error>> {
///     let keys = [CookieKey { id: 1, role: Role::Sign, secret: Secret::new([0x22; 16]) }];
///     let slots = accounts.iter().map(|name| Slot::new(name.as_bytes(), SlotStatus::UP));
///     Ok(OwnedAffinity::new(&Config::new(Secret::new([0x11; 16]), &keys), slots.collect::<Result<_, _>>()?)?)
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
    /// Checks a configuration and builds the affinity. What `config` borrows is copied.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] as from [`Affinity::new`]; the slots are dropped then.
    pub fn new(config: &Config<'_>, slots: Vec<Slot>) -> Result<Self, ConfigError> {
        let patterns = config.rules.iter().map(|rule| (rule.pattern.into(), rule.group));
        let rules = Ruled::new(patterns.collect(), |patterns| {
            patterns.iter().map(|(pattern, group)| Rule { pattern, group: *group }).collect()
        });
        let index = alloc::vec![0; Affinity::index_len(slots.len())];
        let owned = Owned {
            rules,
            slots: slots.into_boxed_slice(),
            index: MutBorrow::new(index.into_boxed_slice()),
            scope: config.scope.into(),
            cookie_name: config.cookie_name.map(Into::into),
            path: config.attributes.path.into(),
            domain: config.attributes.domain.into(),
        };
        let keys = |i| config.cookie_keys.get(i).map(CookieKey::view);
        Built::try_new(owned, |owned| {
            let config = config.around(&Strings {
                rules: owned.rules.borrow_dependent(),
                scope: &owned.scope,
                cookie_name: owned.cookie_name.as_deref(),
                path: &owned.path,
                domain: &owned.domain,
            });
            Affinity::with_keys(&config, &keys, &owned.slots, owned.index.borrow_mut())
        })
        .map(Self)
    }

    /// The affinity.
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

/// The bytes of a classification table's patterns, with their groups.
type Patterns = Box<[(Box<[u8]>, Group)]>;
type Rules<'a> = Box<[Rule<'a>]>;

/// What an affinity borrows.
struct Owned {
    rules: Ruled,
    slots: Box<[Slot]>,
    index: MutBorrow<Box<[u32]>>,
    scope: Box<[u8]>,
    cookie_name: Option<Box<[u8]>>,
    path: Box<[u8]>,
    domain: Box<[u8]>,
}

self_cell!(
    struct Ruled {
        owner: Patterns,
        #[covariant]
        dependent: Rules,
    }
);

self_cell!(
    struct Built {
        owner: Owned,
        #[covariant]
        dependent: Affinity,
    }
);

const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<OwnedAffinity>();
};
