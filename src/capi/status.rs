//! Status numbers.

use crate::enums::named;
use crate::error::{ConfigError, Error, Field};

/// What a function returns, as an `int32_t`. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// A pointer is null that must not be.
    NullPointer = 1,
    /// A pointer is not aligned for what it points to.
    Misaligned = 2,
    /// A length is over `PTRDIFF_MAX`.
    Length = 3,
    /// A number is no value of its enum, or a switch is neither 0 nor 1.
    BadEnum = 4,
    /// An output overlaps an input.
    Overlap = 5,
    /// A size-prefixed structure is shorter than this library's, longer with something in it that
    /// this library does not know, or over 4096 bytes.
    StructSize = 6,
    /// The pointer is to no affinity, or to one that was wiped.
    NotInitialised = 7,
    /// `malloc` gave nothing.
    OutOfMemory = 8,
    /// The buffer or memory is too small; a function with a place for it reports the length needed.
    BufferTooSmall = 9,
    /// There are no more values. Not an error.
    End = 10,
    /// What the decision says of its cookie was not made by this library, or was changed.
    BadDecision = 11,
    /// The number of buckets is not in 1..=2^31-1.
    BucketCount = 20,
    /// The scope is longer than 1024 bytes.
    ScopeLength = 21,
    /// An affinity key is empty, longer than 4096 bytes, an id not of 16 bytes, or of
    /// another kind than the cookie.
    KeyLength = 22,
    /// An identity is empty.
    IdentityEmpty = 23,
    /// A weight is over 65536.
    Weight = 24,
    /// An until is over 2^45-1.
    Until = 25,
    /// A vacant slot stays vacant, and no other becomes so.
    Vacant = 26,
    /// A slot number is not below the capacity.
    SlotRange = 27,
    /// The number of slots is not in 1..=2^31-1.
    SlotCount = 28,
    /// Two slots have the same identity.
    DuplicateIdentity = 29,
    /// A secret is all zero.
    ZeroSecret = 30,
    /// A secret is used twice.
    DuplicateSecret = 31,
    /// Two cookie keys have the same id.
    DuplicateKeyId = 32,
    /// The number of cookie keys is not in 1..=8.
    KeyCount = 33,
    /// Not exactly one cookie key signs.
    SigningKeys = 34,
    /// The cookie name is not 1 to 128 token bytes.
    CookieName = 35,
    /// A cookie's value or attribute has a bad byte or is too long, or the path does not
    /// start with a slash.
    Attribute = 36,
    /// The cookie's attributes break the rules of its name's prefix.
    NamePrefix = 37,
    /// `SameSite=None` and `Partitioned` need `Secure`.
    NeedsSecure = 38,
    /// `Max-Age` is over 34560000 seconds.
    MaxAge = 39,
    /// The success range is empty or not within 100..=599.
    SuccessRange = 40,
    /// A classification pattern has an empty segment.
    Pattern = 41,
    /// The time does not fit a cookie: it is past the year 2106.
    Time = 42,
    /// Entropy, or an id hint, is needed and all zero.
    Entropy = 43,
    /// The decision belongs to another configuration.
    Stale = 44,
    /// The strategy selects by the key itself: see `tokenpin_select_higress`.
    Strategy = 45,
}

named! { Status {
    Ok = "ok", NullPointer = "null_pointer", Misaligned = "misaligned", Length = "length",
    BadEnum = "bad_enum", Overlap = "overlap", StructSize = "struct_size",
    NotInitialised = "not_initialised", OutOfMemory = "out_of_memory",
    BufferTooSmall = "buffer_too_small", End = "end", BadDecision = "bad_decision",
    BucketCount = "bucket_count", ScopeLength = "scope_length", KeyLength = "key_length",
    IdentityEmpty = "identity_empty", Weight = "weight", Until = "until", Vacant = "vacant",
    SlotRange = "slot_range", SlotCount = "slot_count",
    DuplicateIdentity = "duplicate_identity", ZeroSecret = "zero_secret",
    DuplicateSecret = "duplicate_secret", DuplicateKeyId = "duplicate_key_id",
    KeyCount = "key_count", SigningKeys = "signing_keys", CookieName = "cookie_name",
    Attribute = "attribute", NamePrefix = "name_prefix", NeedsSecure = "needs_secure",
    MaxAge = "max_age", SuccessRange = "success_range", Pattern = "pattern", Time = "time",
    Entropy = "entropy", Stale = "stale", Strategy = "strategy",
} }

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::BucketCount => Self::BucketCount,
            Error::ScopeLength => Self::ScopeLength,
            Error::KeyLength => Self::KeyLength,
            Error::IdentityEmpty => Self::IdentityEmpty,
            Error::Weight => Self::Weight,
            Error::Until => Self::Until,
            Error::Vacant => Self::Vacant,
            Error::SlotRange => Self::SlotRange,
            Error::SlotCount => Self::SlotCount,
            Error::DuplicateIdentity => Self::DuplicateIdentity,
            Error::ZeroSecret => Self::ZeroSecret,
            Error::DuplicateSecret => Self::DuplicateSecret,
            Error::DuplicateKeyId => Self::DuplicateKeyId,
            Error::KeyCount => Self::KeyCount,
            Error::SigningKeys => Self::SigningKeys,
            Error::CookieName => Self::CookieName,
            Error::Attribute => Self::Attribute,
            Error::NamePrefix => Self::NamePrefix,
            Error::NeedsSecure => Self::NeedsSecure,
            Error::MaxAge => Self::MaxAge,
            Error::SuccessRange => Self::SuccessRange,
            Error::Pattern => Self::Pattern,
            Error::Time => Self::Time,
            Error::Entropy => Self::Entropy,
            Error::BufferTooSmall { .. } => Self::BufferTooSmall,
            Error::Stale => Self::Stale,
            Error::Strategy => Self::Strategy,
        }
    }
}

/// Why a configuration was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct tokenpin_config_error {
    /// What is wrong: a `tokenpin_status`.
    pub status: i32,
    /// The part of the configuration: a `tokenpin_field`.
    pub field: u32,
    /// The position within it, 0 for single values.
    pub index: u64,
}

/// A status at a place of a configuration.
pub(super) struct Refusal {
    pub status: Status,
    pub field: Field,
    pub index: usize,
}

impl From<ConfigError> for Refusal {
    fn from(refused: ConfigError) -> Self {
        Self { status: refused.error.into(), field: refused.field, index: refused.index }
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        status.at(Field::Config, 0)
    }
}

impl From<Refusal> for tokenpin_config_error {
    fn from(refusal: Refusal) -> Self {
        Self {
            status: refusal.status as i32,
            field: refusal.field as u32,
            index: refusal.index as u64,
        }
    }
}

impl Status {
    pub(super) const fn at(self, field: Field, index: usize) -> Refusal {
        Refusal { status: self, field, index }
    }
}

/// What a function returns: the number of what `result` says.
pub(super) fn returned(result: Result<(), Status>) -> i32 {
    result.err().unwrap_or(Status::Ok) as i32
}
