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

/// Whose a sealed id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum IdOwner {
    /// Nobody's: whoever has it can use it.
    None = 0,
    /// The consumer's: another one's request is refused. A fence and no wall, for lists are sealed for whoever
    /// asks for them.
    Consumer = 1,
}

named! { IdOwner { None = "none", Consumer = "consumer" } }

/// What is done with the ids of requests and responses.
#[derive(Clone, Copy, Debug)]
pub struct IdConfig<'a> {
    /// What is done with them. Not part of the fingerprint: replicas take it one after another.
    pub mode: Mode,
    /// The keys that seal; empty for the cookie keys.
    pub keys: &'a [CookieKey],
    /// Whose a sealed id is.
    pub owner: IdOwner,
    /// What becomes of another gateway's ids.
    pub foreign: ForeignSeals,
    /// Mark encrypted content.
    pub encrypted: bool,
    /// What is added to the table of ids.
    pub fields: Fields<'a>,
}

/// Everything that an [`Affinity`](crate::Affinity) is built from, but its slots.
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
    /// The cookie's name; `None` for [`CookieName::for_scope`](crate::CookieName::for_scope) of
    /// the request's scope.
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
    /// The classification table: these rules, and behind them the
    /// [default ones](crate::DEFAULT_RULES).
    pub rules: &'a [Rule<'a>],
    /// Leave the default rules out.
    pub replace_rules: bool,
    /// Give affinity to the prompt-cache group too.
    pub prompt_cache: bool,
    /// What is done with ids.
    pub ids: IdConfig<'a>,
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

    /// The same configuration around other memory, without its keys.
    #[cfg(feature = "alloc")]
    pub(super) fn around<'b>(&self, strings: &Strings<'b>) -> Config<'b> {
        // Every field by name, so that a new one that borrows is not forgotten.
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

    /// When a cookie is due to be issued anew: what ends first, `max_idle` or a configured
    /// `Max-Age`, after which the browser drops it. Never where an automatic `Max-Age`
    /// already reaches to the end of the cookie's life: a refresh cannot lengthen that.
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

/// What a configuration borrows, but its keys.
#[cfg(feature = "alloc")]
pub(super) struct Strings<'a> {
    pub rules: &'a [Rule<'a>],
    pub fields: Fields<'a>,
    pub scope: &'a [u8],
    pub cookie_name: Option<&'a [u8]>,
    pub path: &'a [u8],
    pub domain: &'a [u8],
}
