//! The configuration of an affinity.

use crate::cookie::set_cookie::Attributes;
use crate::enums::named;
use crate::ids::fields::Fields;
use crate::ids::rules::{ForeignSeals, Mode};
use crate::limits::MAX_MAX_AGE;
use crate::ring::CookieKey;
use crate::secret::Secret;
use crate::select::Strategy;

use super::classify::Rule;

/// The reaction to a pinned request whose token is down or was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Policy {
    /// Refuse: another account would not know the state.
    FailFast = 0,
    /// Select another token, and pin the session to it if the request creates state
    /// there and succeeds.
    FallbackAndUpdate = 1,
    /// Select another token for this request. The session returns when its own token recovers.
    FallbackWithoutUpdate = 2,
}

named! { Policy {
    FailFast = "fail_fast", FallbackAndUpdate = "fallback_and_update",
    FallbackWithoutUpdate = "fallback_without_update",
} }

/// The owner of a sealed id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum IdOwner {
    /// No one: every client that has the id can use it.
    None = 0,
    /// The consumer: another consumer's request is refused. This protection is not strict, because
    /// lists are sealed for any consumer that asks for them.
    Consumer = 1,
}

named! { IdOwner { None = "none", Consumer = "consumer" } }

/// The treatment of the ids in requests and responses.
#[derive(Clone, Copy, Debug)]
pub struct IdConfig<'a> {
    /// The mode. Not part of the fingerprint, because replicas change it one after another.
    pub mode: Mode,
    /// The keys that seal. Empty for the cookie keys.
    pub keys: &'a [CookieKey],
    /// The owner of a sealed id.
    pub owner: IdOwner,
    /// The treatment of another gateway's ids.
    pub foreign: ForeignSeals,
    /// Marks encrypted content.
    pub encrypted: bool,
    /// The additions to the table of ids.
    pub fields: Fields<'a>,
}

/// The input of an [`Affinity`](crate::Affinity), except its slots.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, each documented")]
pub struct Config<'a> {
    /// The strategy that selects slots.
    pub strategy: Strategy,
    /// The key that decides the mapping of keys. It is the same on all replicas, and never rotated.
    pub placement_key: Secret,
    /// The cookie key ring.
    pub cookie_keys: &'a [CookieKey],
    /// The default scope, 0 to [`MAX_SCOPE`](crate::MAX_SCOPE) bytes.
    pub scope: &'a [u8],
    /// The cookie's name. `None` for [`CookieName::for_scope`](crate::CookieName::for_scope) of the
    /// request's scope.
    pub cookie_name: Option<&'a [u8]>,
    /// The cookie's attributes.
    pub attributes: Attributes<'a>,
    /// `Max-Age` in seconds, at most [`MAX_MAX_AGE`]. `Some(0)` is a session cookie. `None` is as
    /// long as the cookie can be valid: the smaller of `max_idle` and the rest of `max_life`.
    pub max_age: Option<u32>,
    /// The tolerance for clocks that run ahead, in seconds.
    pub skew: u32,
    /// The longest life of a cookie since its first issue, in seconds; 0 for no limit.
    pub max_life: u32,
    /// The longest time between refreshes of a cookie, in seconds; 0 for no limit.
    pub max_idle: u32,
    /// The policy for requests that name existing state.
    pub policy_existing: Policy,
    /// The policy for all other requests.
    pub policy_new: Policy,
    /// Uses consumer and session key together if a request has both.
    pub combine_keys: bool,
    /// Rejects a request whose key is untrusted, ambiguous or too long, instead of trying the next
    /// source.
    pub reject_bad_keys: bool,
    /// Gives cookies to sessions that have a key.
    pub keyed_cookies: bool,
    /// Mints cookies also if only one slot holds an account.
    pub mint_single: bool,
    /// The response statuses, inclusive, on which a cookie is set.
    pub success: (u16, u16),
    /// The classification table: these rules, followed by the [default ones](crate::DEFAULT_RULES).
    pub rules: &'a [Rule<'a>],
    /// Leaves the default rules out.
    pub replace_rules: bool,
    /// Gives affinity to the prompt-cache group too.
    pub prompt_cache: bool,
    /// The treatment of ids.
    pub ids: IdConfig<'a>,
}

impl<'a> Config<'a> {
    /// Returns the default configuration with the two values that have no default.
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
            rules: &[],
            replace_rules: false,
            prompt_cache: false,
            ids: IdConfig {
                mode: Mode::Off,
                keys: &[],
                owner: IdOwner::None,
                foreign: ForeignSeals::Auto,
                encrypted: true,
                fields: Fields::NONE,
            },
        }
    }

    /// Returns the same configuration over other memory, without its keys.
    #[cfg(feature = "alloc")]
    pub(super) fn around<'b>(&self, strings: &Strings<'b>) -> Config<'b> {
        // Every field is named, so that a new one that borrows is not forgotten.
        Config {
            strategy: self.strategy,
            placement_key: self.placement_key.clone(),
            cookie_keys: &[],
            scope: strings.scope,
            cookie_name: strings.cookie_name,
            attributes: Attributes {
                path: strings.path,
                domain: strings.domain,
                secure: self.attributes.secure,
                http_only: self.attributes.http_only,
                same_site: self.attributes.same_site,
                partitioned: self.attributes.partitioned,
            },
            max_age: self.max_age,
            skew: self.skew,
            max_life: self.max_life,
            max_idle: self.max_idle,
            policy_existing: self.policy_existing,
            policy_new: self.policy_new,
            combine_keys: self.combine_keys,
            reject_bad_keys: self.reject_bad_keys,
            keyed_cookies: self.keyed_cookies,
            mint_single: self.mint_single,
            success: self.success,
            rules: strings.rules,
            replace_rules: self.replace_rules,
            prompt_cache: self.prompt_cache,
            ids: IdConfig {
                mode: self.ids.mode,
                keys: &[],
                owner: self.ids.owner,
                foreign: self.ids.foreign,
                encrypted: self.ids.encrypted,
                fields: strings.fields,
            },
        }
    }

    /// Returns the age at which a cookie is due for a refresh. It follows `max_idle` or a
    /// configured `Max-Age`, after which the browser drops the cookie, whichever ends first. A
    /// cookie whose automatic `Max-Age` reaches to the end of its life is never due: a refresh
    /// cannot lengthen that life.
    pub(super) fn refresh_interval(&self) -> u32 {
        match self.max_age {
            Some(seconds) if self.max_idle != 0 && seconds != 0 => self.max_idle.min(seconds),
            _ if self.max_idle != 0 => self.max_idle,
            Some(seconds) => seconds,
            None if self.max_life == 0 || self.max_life > MAX_MAX_AGE => MAX_MAX_AGE,
            None => 0,
        }
    }
}

/// The borrowed parts of a configuration, except its keys.
#[cfg(feature = "alloc")]
pub(super) struct Strings<'a> {
    pub rules: &'a [Rule<'a>],
    pub fields: Fields<'a>,
    pub scope: &'a [u8],
    pub cookie_name: Option<&'a [u8]>,
    pub path: &'a [u8],
    pub domain: &'a [u8],
}
