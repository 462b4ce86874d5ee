//! Errors. Each has one status number in the C ABI, see `capi/status.rs`.

use thiserror::Error as ThisError;

use crate::enums::named;
use crate::limits::{
    MAX_BUCKETS, MAX_COOKIE_KEYS, MAX_COOKIE_NAME, MAX_KEY, MAX_MAX_AGE, MAX_SCOPE, MAX_UNTIL,
    MAX_WEIGHT,
};

/// An error in an argument. Nothing has changed when it is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The number of buckets is 0 or over [`MAX_BUCKETS`](crate::MAX_BUCKETS).
    #[error("the number of buckets is not 1 to {}", MAX_BUCKETS)]
    BucketCount,
    /// A scope over [`MAX_SCOPE`](crate::MAX_SCOPE) bytes.
    #[error("the scope is longer than {} bytes", MAX_SCOPE)]
    ScopeLength,
    /// A consumer name or session key that is empty or over [`MAX_KEY`](crate::MAX_KEY) bytes.
    #[error("the affinity key is empty or longer than {} bytes", MAX_KEY)]
    KeyLength,
    /// An identity without bytes.
    #[error("the identity is empty")]
    IdentityEmpty,
    /// A weight over [`MAX_WEIGHT`](crate::MAX_WEIGHT).
    #[error("the weight is over {}", MAX_WEIGHT)]
    Weight,
    /// An `until` over [`MAX_UNTIL`](crate::MAX_UNTIL).
    #[error("the until is over {}", MAX_UNTIL)]
    Until,
    /// A change from or to the state vacant.
    #[error("a slot cannot become vacant, or stop being vacant")]
    Vacant,
    /// A slot number that is not below the capacity.
    #[error("the slot number is not below the capacity")]
    SlotRange,
    /// The set has no slots, or more than [`MAX_BUCKETS`](crate::MAX_BUCKETS).
    #[error("the number of slots is not 1 to {}", MAX_BUCKETS)]
    SlotCount,
    /// Two slots with one identity.
    #[error("two slots have the same identity")]
    DuplicateIdentity,
    /// A placement key or secret of nothing but zero bytes.
    #[error("the secret is all zero")]
    ZeroSecret,
    /// Two equal secrets, or one equal to the placement key.
    #[error("the secret is used twice, or is the placement key as well")]
    DuplicateSecret,
    /// Two cookie keys with one id.
    #[error("two cookie keys have the same id")]
    DuplicateKeyId,
    /// No cookie key, or more than [`MAX_COOKIE_KEYS`](crate::MAX_COOKIE_KEYS).
    #[error("the number of cookie keys is not 1 to {}", MAX_COOKIE_KEYS)]
    KeyCount,
    /// No key signs, or several do.
    #[error("not exactly one cookie key signs")]
    SigningKeys,
    /// A cookie name that is not 1 to [`MAX_COOKIE_NAME`](crate::MAX_COOKIE_NAME) RFC 9110 token
    /// bytes.
    #[error("the cookie name is not 1 to {} token bytes", MAX_COOKIE_NAME)]
    CookieName,
    /// A path that does not start with `/`, or an attribute with a byte outside
    /// `0x20..=0x7e`, with a `;`, or longer than [`MAX_ATTRIBUTE`](crate::MAX_ATTRIBUTE) bytes.
    #[error("a cookie attribute has a bad byte, is too long, or a path without a leading slash")]
    Attribute,
    /// A `__Host-` or `__Secure-` name whose attributes break the prefix's rules.
    #[error(
        "a cookie's name with __Host- needs Secure, the path / and no domain; one with __Secure- \
         needs Secure"
    )]
    NamePrefix,
    /// `SameSite=None` or `Partitioned` without `Secure`.
    #[error("SameSite=None and Partitioned need Secure")]
    NeedsSecure,
    /// A `Max-Age` over [`MAX_MAX_AGE`](crate::MAX_MAX_AGE).
    #[error("Max-Age is over {} seconds", MAX_MAX_AGE)]
    MaxAge,
    /// A success range outside `100..=599`, or empty.
    #[error("the success range is empty or not within 100 to 599")]
    SuccessRange,
    /// A classification rule whose pattern is empty or has an empty segment, a `*` anywhere but at
    /// the front of a later segment, or one of the bytes `%`, `?` and `#`, which no pattern can
    /// match.
    #[error(
        "the classification pattern has an empty segment, one of the bytes %?#, or a * that is not \
         at the front of a segment behind the first"
    )]
    Pattern,
    /// A key, prefix or segment added to the table of ids that is empty, too long, of other
    /// characters, or one too many.
    #[error("an addition to the table of ids is empty, too long, malformed, or one too many")]
    IdField,
    /// The time is past `2^32 - 1`, the last second a cookie can state.
    #[error("the time does not fit a cookie: it is past the year 2106")]
    Time,
    /// Sixteen zero bytes where randomness is needed.
    #[error("randomness is needed, and the entropy or the id hint is all zero")]
    Entropy,
    /// An output buffer that is too small.
    #[error("the buffer is too small, {needed} bytes are needed")]
    BufferTooSmall {
        /// The length that suffices, in elements of the buffer.
        needed: usize,
    },
    /// The decision was made by another configuration.
    #[error("the decision belongs to another configuration")]
    Stale,
    /// The strategy selects by the key itself, and only its hash was given.
    #[error("the strategy needs the key itself")]
    Strategy,
}

/// The part of a configuration that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Field {
    /// The configuration as a whole, or its `size`.
    Config = 0,
    /// The placement key.
    PlacementKey = 1,
    /// A cookie key; the index is its position in the ring.
    CookieKeys = 2,
    /// A slot; the index is its number.
    Slots = 3,
    /// The scope.
    Scope = 4,
    /// The cookie's name.
    CookieName = 5,
    /// `Path`.
    Path = 6,
    /// `Domain`.
    Domain = 7,
    /// `Max-Age`.
    MaxAge = 8,
    /// `Secure`.
    Secure = 9,
    /// `SameSite`.
    SameSite = 10,
    /// `Partitioned`.
    Partitioned = 11,
    /// The range of successful response statuses.
    Success = 12,
    /// A classification rule; the index is its position in the table.
    Rules = 13,
    /// The memory for the pin index.
    Index = 14,
    /// The strategy.
    Strategy = 15,
    /// The policy for requests that name existing state.
    PolicyExisting = 16,
    /// The policy for other requests.
    PolicyNew = 17,
    /// `HttpOnly`.
    HttpOnly = 18,
    /// The switch `combine_keys`.
    CombineKeys = 19,
    /// The switch `reject_bad_keys`.
    RejectBadKeys = 20,
    /// The switch `keyed_cookies`.
    KeyedCookies = 21,
    /// The switch `mint_single`.
    MintSingle = 22,
    /// The switch `prompt_cache`.
    PromptCache = 23,
    /// The switch `replace_rules`.
    ReplaceRules = 24,
    /// A key that seals ids; the index is its position in the ring.
    IdKeys = 25,
    /// A key that is read for ids, in addition to the default ones.
    IdFields = 26,
    /// A prefix of ids that are sealed, in addition to the default ones.
    IdPrefixes = 27,
    /// A segment of a path that an id follows, in addition to the default ones.
    IdCollections = 28,
    /// The treatment of ids.
    IdMode = 29,
    /// The owner of a sealed id.
    IdOwner = 30,
    /// The treatment of another gateway's ids.
    ForeignSeals = 31,
    /// The switch `encrypted_content`.
    EncryptedContent = 32,
}

named! { Field {
    Config = "config", PlacementKey = "placement_key", CookieKeys = "cookie_keys",
    Slots = "slots", Scope = "scope", CookieName = "cookie_name", Path = "path",
    Domain = "domain", MaxAge = "max_age", Secure = "secure", SameSite = "same_site",
    Partitioned = "partitioned", Success = "success", Rules = "rules", Index = "index",
    Strategy = "strategy", PolicyExisting = "policy_existing", PolicyNew = "policy_new",
    HttpOnly = "http_only", CombineKeys = "combine_keys", RejectBadKeys = "reject_bad_keys",
    KeyedCookies = "keyed_cookies", MintSingle = "mint_single", PromptCache = "prompt_cache",
    ReplaceRules = "replace_rules",
    IdKeys = "id_keys", IdFields = "id_fields", IdPrefixes = "id_prefixes",
    IdCollections = "id_collections", IdMode = "id_mode", IdOwner = "id_owner",
    ForeignSeals = "foreign_seals", EncryptedContent = "encrypted_content",
} }

/// The reason why a configuration was refused, and the place at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[error("{}[{index}]: {error}", .field.name())]
pub struct ConfigError {
    /// The part of the configuration.
    pub field: Field,
    /// The position within it, 0 for single values.
    pub index: usize,
    /// The error at that place.
    #[source]
    pub error: Error,
}

impl Error {
    /// Returns this error at a place of a configuration.
    #[must_use]
    pub const fn at(self, field: Field, index: usize) -> ConfigError {
        ConfigError { field, index, error: self }
    }
}
