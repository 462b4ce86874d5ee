//! The value of the affinity cookie, version 1: its content, and its 50 bytes as 67 characters.
//!
//! docs/spec/cookie-format.md is the specification.

use crate::base64;
use crate::enums::named;
use crate::key::Kind;

/// The version that this release writes and reads.
pub(crate) const VERSION: u8 = 1;
/// The length of a cookie's value, in characters.
pub const VALUE_LEN: usize = base64::CHARACTERS;

pub(crate) const RAW_LEN: usize = base64::BYTES;
/// The bytes before the pin.
pub(crate) const HEAD_LEN: usize = 26;
/// The bytes before the tag.
pub(crate) const TAG_AT: usize = 34;

/// A cookie's value as it stands in a header.
pub type Value = [u8; VALUE_LEN];

/// The result of reading a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// There was no cookie, or the decision needed none.
    Absent = 0,
    /// Not 67 base64url characters with zero trailing bits, or of an undefined kind.
    Malformed = 1,
    /// Of another version of this format.
    UnknownVersion = 2,
    /// Signed by a key that is not in the ring.
    UnknownKey = 3,
    /// Forged, damaged, or made for another name, scope or affinity key.
    BadTag = 4,
    /// Genuine, but of another kind than the request.
    OtherKey = 5,
    /// Issued or refreshed later than now plus the skew.
    NotYetValid = 6,
    /// Issued longer ago than the maximum life.
    ExpiredLife = 7,
    /// Refreshed longer ago than the maximum idle time.
    ExpiredIdle = 8,
    /// Usable.
    Valid = 9,
    /// Usable, and due for a refresh.
    RefreshDue = 10,
}

named! { Verdict {
    Absent = "absent", Malformed = "malformed", UnknownVersion = "unknown_version",
    UnknownKey = "unknown_key", BadTag = "bad_tag", OtherKey = "other_key",
    NotYetValid = "not_yet_valid", ExpiredLife = "expired_life", ExpiredIdle = "expired_idle",
    Valid = "valid", RefreshDue = "refresh_due",
} }

impl Verdict {
    /// Returns the place in the order of the checks of the check that gave this verdict. Of several
    /// cookies, the one that came furthest counts. The place is not the number, which never
    /// changes.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::Absent => 0,
            Self::Malformed => 1,
            Self::UnknownVersion => 2,
            Self::UnknownKey => 3,
            Self::BadTag => 4,
            Self::OtherKey => 5,
            Self::NotYetValid => 6,
            Self::ExpiredLife => 7,
            Self::ExpiredIdle => 8,
            Self::Valid => 9,
            Self::RefreshDue => 10,
        }
    }

    /// Returns whether a cookie with this verdict is used.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Valid | Self::RefreshDue)
    }
}
/// The content of a cookie.
///
/// `Debug` leaves out the id, which follows a person around, and the pin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cookie {
    /// The kind of affinity key that the cookie belongs to.
    pub kind: Kind,
    /// The first issue, in unix seconds; kept through every refresh.
    pub issued_at: u32,
    /// The latest issue, in unix seconds.
    pub refreshed_at: u32,
    /// The anonymous id; a nonce for the other kinds.
    pub id: [u8; 16],
    /// The identity hash of the session's token.
    pub pin: u64,
}

impl core::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Cookie")
            .field("kind", &self.kind)
            .field("issued_at", &self.issued_at)
            .field("refreshed_at", &self.refreshed_at)
            .finish_non_exhaustive()
    }
}
