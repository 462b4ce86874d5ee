//! A decision: plain data without pointers, kept until the response.

use crate::cookie::value::{Value, Verdict};
use crate::enums::named;
use crate::ids::fields::{ENCRYPTED, NO_KEY, PREVIOUS_RESPONSE};
use crate::ids::id::IdVerdict;

use super::request::KeyReason;

/// The source of a request's affinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Source {
    /// Affinity was wanted, but no source had it, and nothing was minted.
    None = 0,
    /// The request needs no affinity.
    Stateless = 1,
    /// The consumer name.
    Consumer = 2,
    /// The session key.
    Session = 3,
    /// Consumer name and session key together.
    Combined = 4,
    /// The id in a valid anonymous cookie.
    Cookie = 5,
    /// A new anonymous id.
    Minted = 6,
    /// A sealed id.
    Id = 7,
}

named! { Source {
    None = "none", Stateless = "stateless", Consumer = "consumer", Session = "session",
    Combined = "combined", Cookie = "cookie", Minted = "minted", Id = "id",
} }

/// The outcome of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// Selection chose the slot. No pin was involved.
    Placed = 0,
    /// The pinned token serves.
    Pinned = 1,
    /// The pinned token cannot serve. Another does, and becomes the pin on success.
    Repinned = 2,
    /// The pinned token cannot serve. Another does, for this request only.
    Fallback = 3,
    /// Selection chose a slot that was not tried yet. No pin was involved.
    Retried = 4,
    /// Rejected by a policy, for its keys, or for its ids.
    Rejected = 5,
    /// No slot can serve.
    None = 6,
}

named! { Outcome {
    Placed = "placed", Pinned = "pinned", Repinned = "repinned", Fallback = "fallback",
    Retried = "retried", Rejected = "rejected", None = "none",
} }

/// The state of the pinned token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PinState {
    /// The request has no pin.
    None = 0,
    /// Up, and the slot that selection would choose without the pin.
    Home = 1,
    /// Up, and another slot than selection would choose: without its pin, the session would move.
    Elsewhere = 2,
    /// Draining.
    Draining = 3,
    /// Down.
    Down = 4,
    /// Not in the set.
    Gone = 5,
}

named! { PinState {
    None = "none", Home = "home", Elsewhere = "elsewhere", Draining = "draining",
    Down = "down", Gone = "gone",
} }

/// The cookie that is set if the request succeeds.
///
/// `Debug` leaves out the value, because anyone who has the value can use it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// The value.
    pub value: Value,
    /// The `Max-Age`. 0 for a session cookie.
    pub max_age: u32,
    /// True if the value is returned in the carrier header instead of `Set-Cookie`.
    pub carrier: bool,
    /// The suffix of the cookie's name, if the name follows the request's own scope.
    pub name_suffix: Option<[u8; 4]>,
}

impl core::fmt::Debug for Pending {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pending")
            .field("max_age", &self.max_age)
            .field("carrier", &self.carrier)
            .finish_non_exhaustive()
    }
}

/// The answer to a request: plain data without pointers. Keep it until the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The slot that serves. `None` if no slot does; then the host answers with an error itself.
    pub slot: Option<u32>,
    /// The source of the affinity.
    pub source: Source,
    /// The outcome.
    pub outcome: Outcome,
    /// The state of the pinned token.
    pub pin_state: PinState,
    /// The verdict on the request's cookies.
    pub verdict: Verdict,
    /// The verdict on the request's ids.
    pub id_verdict: IdVerdict,
    /// Numbers of keys, 255 for none: the key of the id that names the account or is refused, and
    /// for a conflict both keys. See [`Summary::keys`](crate::ids::Summary::keys).
    pub id_keys: [u8; 2],
    /// Why a key of the request was not used.
    pub key_reason: KeyReason,
    /// True if valid cookies with different ids came. Either two sessions were merged, or someone
    /// tosses cookies.
    pub ambiguous: bool,
    /// The cookie to set on success.
    pub cookie: Option<Pending>,
    /// True if the request names existing state, according to its method, its target, its ids or
    /// the caller.
    pub existing: bool,
    /// True if a host may send the request to another token when this one refuses it. Such a
    /// request names no state, and the state it creates will be looked for at the token that
    /// created it.
    pub may_move: bool,
    /// Without a slot: the seconds until the first slot that can serve the request is up again.
    /// Under `fail_fast`, and for an id, the seconds until the pinned slot is. At most `u32::MAX`.
    /// 0 if that is unknown, if the slot can serve now but was tried, if the keys or ids were
    /// refused, and if a slot serves.
    pub retry_after: u32,
    /// The fingerprint of the configuration that decided.
    pub fingerprint: u64,
}

impl Decision {
    /// Returns the values that hold unless a rule changes them.
    pub(crate) const fn nothing(existing: bool, fingerprint: u64) -> Self {
        Self {
            slot: None,
            source: Source::None,
            outcome: Outcome::None,
            pin_state: PinState::None,
            verdict: Verdict::Absent,
            id_verdict: IdVerdict::None,
            id_keys: [NO_KEY; 2],
            key_reason: KeyReason::Absent,
            ambiguous: false,
            cookie: None,
            existing,
            may_move: false,
            retry_after: 0,
            fingerprint,
        }
    }

    /// Returns the refusal with which the host answers if no slot serves.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let [key, _] = self.id_keys;
        let of_id = self.source == Source::Id;
        match (self.outcome, self.pin_state) {
            _ if self.slot.is_some() => Refusal::None,
            (Outcome::Rejected, PinState::None | PinState::Gone) if of_id => match key {
                _ if self.id_verdict == IdVerdict::Conflict => Refusal::ConflictingAccounts,
                PREVIOUS_RESPONSE => Refusal::PreviousResponseNotFound,
                ENCRYPTED => Refusal::InvalidEncryptedContent,
                NO_KEY => Refusal::UnreadableBody,
                _ => Refusal::NotFound,
            },
            (Outcome::Rejected, PinState::None) => Refusal::BadAffinityKey,
            (Outcome::Rejected, _) => Refusal::SessionUnavailable,
            _ => Refusal::NoAccountAvailable,
        }
    }
}

/// The refusal with which a host answers if no slot serves. The names are the codes that clients
/// see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// None: a slot serves.
    None = 0,
    /// No slot can serve.
    NoAccountAvailable = 1,
    /// The session's key cannot be used.
    BadAffinityKey = 2,
    /// The session's account cannot serve now.
    SessionUnavailable = 3,
    /// The `previous_response_id` is not one that this gateway issued for an account in its set.
    PreviousResponseNotFound = 4,
    /// The mark of the encrypted content does not name an account in the set.
    InvalidEncryptedContent = 5,
    /// Another id is not one that this gateway issued for an account in its set.
    NotFound = 6,
    /// Two ids name different accounts.
    ConflictingAccounts = 7,
    /// A string of the body may be an id, and is too long to be read.
    UnreadableBody = 8,
}

named! { Refusal {
    None = "none", NoAccountAvailable = "no_account_available",
    BadAffinityKey = "bad_affinity_key", SessionUnavailable = "session_unavailable",
    PreviousResponseNotFound = "previous_response_not_found",
    InvalidEncryptedContent = "invalid_encrypted_content", NotFound = "not_found",
    ConflictingAccounts = "conflicting_accounts", UnreadableBody = "unreadable_body",
} }

impl Refusal {
    /// Returns the HTTP status, 200 for [`Refusal::None`].
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::None => 200,
            Self::NoAccountAvailable | Self::BadAffinityKey | Self::SessionUnavailable => 503,
            Self::NotFound => 404,
            Self::PreviousResponseNotFound
            | Self::InvalidEncryptedContent
            | Self::ConflictingAccounts
            | Self::UnreadableBody => 400,
        }
    }
}

/// The output of `finish`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Answer {
    /// Nothing is set.
    Nothing = 0,
    /// The value of a `Set-Cookie` field.
    SetCookie = 1,
    /// The value of the carrier header.
    Carrier = 2,
}

named! { Answer { Nothing = "nothing", SetCookie = "set_cookie", Carrier = "carrier" } }
