//! A decision: plain data without pointers, kept until the response.

use crate::cookie::value::{Value, Verdict};
use crate::enums::named;

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
}

named! { Source {
    None = "none", Stateless = "stateless", Consumer = "consumer", Session = "session",
    Combined = "combined", Cookie = "cookie", Minted = "minted",
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
    /// Refused by a policy, or for its keys.
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
    /// What became of the request's keys.
    pub key_reason: KeyReason,
    /// Valid cookies with different ids were there: somebody tosses cookies, or two
    /// sessions were merged.
    pub ambiguous: bool,
    /// The cookie to set on success.
    pub cookie: Option<Pending>,
    /// The request names existing state: its method, its target or the caller says so.
    pub existing: bool,
    /// A host may send the request to another token where this one refuses it: it names no state,
    /// and what it creates will be looked for at the token that gave it.
    pub may_move: bool,
    /// Without a slot: in how many seconds the first slot that can serve the request is up again,
    /// under `fail_fast` the pinned one; at most `u32::MAX`. 0 if that is unknown, if it can serve now
    /// but was tried, if the keys were refused, and where a slot serves.
    pub retry_after: u32,
    /// The fingerprint of the configuration that decided.
    pub fingerprint: u64,
}

impl Decision {
    /// What holds unless a rule says otherwise.
    pub(super) const fn nothing(existing: bool, fingerprint: u64) -> Self {
        Self {
            slot: None,
            source: Source::None,
            outcome: Outcome::None,
            pin_state: PinState::None,
            verdict: Verdict::Absent,
            key_reason: KeyReason::Absent,
            ambiguous: false,
            cookie: None,
            existing,
            may_move: false,
            retry_after: 0,
            fingerprint,
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
