//! A decision: plain data without pointers, kept until the response.

use crate::cookie::value::{Value, Verdict};
use crate::enums::named;
use crate::ids::fields::{ENCRYPTED, NO_KEY, PREVIOUS_RESPONSE};
use crate::ids::id::IdVerdict;

use super::request::KeyReason;

/// Where the affinity of a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Source {
    /// Affinity was wanted, but there was nothing to take it from, and nothing was minted.
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

/// What the decision came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// Selected; no pin had a say.
    Placed = 0,
    /// The pinned token serves.
    Pinned = 1,
    /// The pinned token cannot serve; another does, and becomes the pin on success.
    Repinned = 2,
    /// The pinned token cannot serve; another does, for this request only.
    Fallback = 3,
    /// Selected past the slots tried already; no pin had a say.
    Retried = 4,
    /// Refused by a policy, for its keys, or for its ids.
    Rejected = 5,
    /// No slot can serve.
    None = 6,
}

named! { Outcome {
    Placed = "placed", Pinned = "pinned", Repinned = "repinned", Fallback = "fallback",
    Retried = "retried", Rejected = "rejected", None = "none",
} }

/// What became of the pinned token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PinState {
    /// The request has no pin.
    None = 0,
    /// Up, and where the session would be placed without its pin.
    Home = 1,
    /// Up, and elsewhere: without its pin, the session would move.
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

/// The cookie that goes back if the request succeeds.
///
/// `Debug` leaves out the value: whoever has it can use it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Its value.
    pub value: Value,
    /// Its `Max-Age`; 0 for a session cookie.
    pub max_age: u32,
    /// It goes back in the header it came in rather than in `Set-Cookie`.
    pub carrier: bool,
    /// The suffix of its name where that follows the request's own scope.
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

/// The answer to a request: no pointers, to be kept until its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The slot that serves; `None` if none does, and then a local error is the answer.
    pub slot: Option<u32>,
    /// Where the affinity comes from.
    pub source: Source,
    /// What the decision came to.
    pub outcome: Outcome,
    /// What became of the pinned token.
    pub pin_state: PinState,
    /// What came of the request's cookies.
    pub verdict: Verdict,
    /// What came of the request's ids.
    pub id_verdict: IdVerdict,
    /// Numbers of keys, 255 for none: of the id that names the account or is refused; of a conflict both. See
    /// [`Summary::keys`](crate::ids::Summary::keys).
    pub id_keys: [u8; 2],
    /// What became of the request's keys.
    pub key_reason: KeyReason,
    /// Valid cookies with different ids were there: somebody tosses cookies, or two
    /// sessions were merged.
    pub ambiguous: bool,
    /// The cookie to set on success.
    pub cookie: Option<Pending>,
    /// The request names existing state: its method, its target, its ids or the caller says so.
    pub existing: bool,
    /// A host may send the request to another token where this one refuses it: it names no state,
    /// and what it creates will be looked for at the token that gave it.
    pub may_move: bool,
    /// Without a slot: in how many seconds the first slot that can serve the request is up again,
    /// under `fail_fast`, and for an id, the pinned one; at most `u32::MAX`. 0 if that is unknown, if it can serve now
    /// but was tried, if the keys or ids were refused, and where a slot serves.
    pub retry_after: u32,
    /// The fingerprint of the configuration that decided.
    pub fingerprint: u64,
}

impl Decision {
    /// What holds unless a rule says otherwise.
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

    /// What the host answers if no slot serves.
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

/// What a host answers where no slot serves. The names are the codes that clients see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// Nothing: a slot serves.
    None = 0,
    /// No slot can serve.
    NoAccountAvailable = 1,
    /// The session's key cannot be used.
    BadAffinityKey = 2,
    /// The session's account cannot serve now.
    SessionUnavailable = 3,
    /// The `previous_response_id` is none that this gateway gave for an account of its set.
    PreviousResponseNotFound = 4,
    /// The same of encrypted content.
    InvalidEncryptedContent = 5,
    /// The same of any other id.
    NotFound = 6,
    /// Two ids live in two accounts.
    ConflictingAccounts = 7,
    /// A string of the body may hide an id, and is too long to be read as one.
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
    /// Its HTTP status; 200 for none.
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

/// What `finish` wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Answer {
    /// Nothing goes back.
    Nothing = 0,
    /// The value of a `Set-Cookie` field.
    SetCookie = 1,
    /// The value of the carrier header.
    Carrier = 2,
}

named! { Answer { Nothing = "nothing", SetCookie = "set_cookie", Carrier = "carrier" } }
