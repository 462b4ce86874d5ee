//! Chapter 1: start here
//!
//! A gateway builds one affinity when it starts, and another after every change of its
//! configuration (chapter 2). For each request it calls `tokenpin_affinity_decide`, sends the
//! request with the token of the slot that the decision names, and calls `tokenpin_affinity_finish`
//! for the response (chapter 3). A gateway that changes a token's state calls
//! `tokenpin_affinity_set_slot`.
//!
//! Sealed ids add a step before the decision and one to the response (chapter 8). The functions of
//! chapters 4 to 7 do single steps of this on memory of the caller, without an affinity.
//!
//! Functions return a `tokenpin_status`. Bytes in structures are `tokenpin_bytes`. If a
//! configuration is refused, a `tokenpin_config_error` says why, at which `tokenpin_field`, and at
//! which element of it.
//!
//! Each function lists its statuses without their prefix `TOKENPIN_STATUS_`. `LENGTH` stands for an
//! array or bytes longer than memory can be, `NULL_POINTER` and `MISALIGNED` for any pointer.

use crate::enums::named;
use crate::error::{ConfigError, Error, Field};

/// The result of a function, as an `int32_t`. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// Success.
    Ok = 0,
    /// A pointer is null that must not be null.
    NullPointer = 1,
    /// A pointer is not aligned for its type.
    Misaligned = 2,
    /// A length is over `PTRDIFF_MAX`.
    Length = 3,
    /// A number is no value of its enum, or a switch is neither 0 nor 1.
    BadEnum = 4,
    /// An output overlaps an input.
    Overlap = 5,
    /// A size-prefixed structure is shorter than its first version, has bytes set that this library
    /// does not know, or is over 4096 bytes long.
    StructSize = 6,
    /// The affinity was never initialised, or has been wiped or closed.
    NotInitialised = 7,
    /// `malloc` returned NULL.
    OutOfMemory = 8,
    /// The buffer or memory is too small. A function with an output for it reports the length
    /// needed.
    BufferTooSmall = 9,
    /// There are no more values. Not an error.
    End = 10,
    /// The cookie in the decision was not made by this library, or was changed.
    BadDecision = 11,
    /// The id is not 1 to [`MAX_ID`](crate::MAX_ID) bytes of `A-Z a-z 0-9 _ -`, or the content is
    /// empty.
    Id = 12,
    /// [`Error::BucketCount`]
    BucketCount = 20,
    /// [`Error::ScopeLength`]
    ScopeLength = 21,
    /// The affinity key is empty or longer than [`MAX_KEY`](crate::MAX_KEY) bytes, an id does not
    /// have 16 bytes, or the key is of another kind than the cookie.
    KeyLength = 22,
    /// [`Error::IdentityEmpty`]
    IdentityEmpty = 23,
    /// [`Error::Weight`]
    Weight = 24,
    /// [`Error::Until`]
    Until = 25,
    /// [`Error::Vacant`]
    Vacant = 26,
    /// [`Error::SlotRange`]
    SlotRange = 27,
    /// [`Error::SlotCount`]
    SlotCount = 28,
    /// [`Error::DuplicateIdentity`]
    DuplicateIdentity = 29,
    /// [`Error::ZeroSecret`]
    ZeroSecret = 30,
    /// [`Error::DuplicateSecret`]
    DuplicateSecret = 31,
    /// [`Error::DuplicateKeyId`]
    DuplicateKeyId = 32,
    /// [`Error::KeyCount`]
    KeyCount = 33,
    /// [`Error::SigningKeys`]
    SigningKeys = 34,
    /// [`Error::CookieName`]
    CookieName = 35,
    /// The cookie's value or an attribute has a bad byte or is too long, or the path does not start
    /// with a slash.
    Attribute = 36,
    /// [`Error::NamePrefix`]
    NamePrefix = 37,
    /// [`Error::NeedsSecure`]
    NeedsSecure = 38,
    /// [`Error::MaxAge`]
    MaxAge = 39,
    /// [`Error::SuccessRange`]
    SuccessRange = 40,
    /// [`Error::Pattern`]
    Pattern = 41,
    /// [`Error::Time`]
    Time = 42,
    /// [`Error::Entropy`]
    Entropy = 43,
    /// [`Error::Stale`]
    Stale = 44,
    /// [`Error::Strategy`]
    Strategy = 45,
    /// [`Error::IdField`]
    IdField = 46,
}

named! { Status {
    Ok = "ok", NullPointer = "null_pointer", Misaligned = "misaligned", Length = "length",
    BadEnum = "bad_enum", Overlap = "overlap", StructSize = "struct_size",
    NotInitialised = "not_initialised", OutOfMemory = "out_of_memory",
    BufferTooSmall = "buffer_too_small", End = "end", BadDecision = "bad_decision",
    Id = "id",
    BucketCount = "bucket_count", ScopeLength = "scope_length", KeyLength = "key_length",
    IdentityEmpty = "identity_empty", Weight = "weight", Until = "until", Vacant = "vacant",
    SlotRange = "slot_range", SlotCount = "slot_count",
    DuplicateIdentity = "duplicate_identity", ZeroSecret = "zero_secret",
    DuplicateSecret = "duplicate_secret", DuplicateKeyId = "duplicate_key_id",
    KeyCount = "key_count", SigningKeys = "signing_keys", CookieName = "cookie_name",
    Attribute = "attribute", NamePrefix = "name_prefix", NeedsSecure = "needs_secure",
    MaxAge = "max_age", SuccessRange = "success_range", Pattern = "pattern", Time = "time",
    Entropy = "entropy", Stale = "stale", Strategy = "strategy",
    IdField = "id_field",
} }

/// Pairs the core's errors with the statuses of the same names.
macro_rules! of_core {
    ($($name:ident),+ $(,)?) => {
        impl From<Error> for Status {
            #[inline(never)]
            fn from(error: Error) -> Self {
                match error {
                    $(Error::$name => Self::$name,)+
                    Error::BufferTooSmall { .. } => Self::BufferTooSmall,
                }
            }
        }

        impl Status {
            /// Returns the core's error with this status, which describes the fault in a sentence.
            #[must_use]
            pub const fn error(self) -> Option<Error> {
                match self { $(Self::$name => Some(Error::$name),)+ _ => None }
            }
        }
    };
}

of_core! {
    BucketCount, ScopeLength, KeyLength, IdentityEmpty, Weight, Until, Vacant, SlotRange,
    SlotCount, DuplicateIdentity, ZeroSecret, DuplicateSecret, DuplicateKeyId, KeyCount,
    SigningKeys, CookieName, Attribute, NamePrefix, NeedsSecure, MaxAge, SuccessRange,
    Pattern, Time, Entropy, Stale, Strategy, IdField,
}

/// The reason why a configuration was refused, and the place at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct tokenpin_config_error {
    /// The error: a `tokenpin_status`.
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

/// Converts a result into the number that a function returns.
pub(super) fn returned(result: Result<(), Status>) -> i32 {
    result.err().unwrap_or(Status::Ok) as i32
}
