//! The decision: which token serves this request, and which cookie goes back.
//!
//! docs/decision.md states the rules; [`Affinity::decide`] follows them from top to
//! bottom. Deciding does all the cryptography, finishing only formats.

use core::cmp::Reverse;

use crate::affinity::{Affinity, Policy};
use crate::classify::{Class, Group};
use crate::cookie::{Audience, Cookie, Macs, Reader, VALUE_LEN, Value, Verdict, encode_to};
use crate::error::Error;
use crate::header::values;
use crate::key::{Key, Kind, MAX_KEY};
use crate::names::named;
use crate::select::Filter;
use crate::set_cookie::{CookieName, MAX_MAX_AGE, write_to};
use crate::sink::{Sink, Slice};
use crate::slot::{Slot, State};

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

/// What became of the request's keys: of the first that could not be used, why, else `ok`
/// if one is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum KeyReason {
    /// A key is used.
    Ok = 0,
    /// There was none, or nobody looked.
    Absent = 1,
    /// A consumer name came from somebody who is not trusted to give one.
    Untrusted = 2,
    /// Several values where one is expected.
    SeveralValues = 3,
    /// Over [`MAX_KEY`](crate::MAX_KEY) bytes.
    TooLong = 4,
}

named! { KeyReason {
    Ok = "ok", Absent = "absent", Untrusted = "untrusted",
    SeveralValues = "several_values", TooLong = "too_long",
} }

/// A consumer name or a session key as it came with a request: the values of one header,
/// of which exactly one may be there. An empty value counts as absent.
#[derive(Clone, Copy, Default)]
pub struct KeyInput<'r> {
    value: &'r [u8],
    several: bool,
    trusted: bool,
}

impl<'r> KeyInput<'r> {
    /// From the values of a header. Empty ones are passed over. Not trusted, which matters
    /// for a consumer name alone.
    pub fn new(values: impl IntoIterator<Item = &'r [u8]>) -> Self {
        let mut values = values.into_iter().filter(|value| !value.is_empty());
        let value = values.next().unwrap_or_default();
        Self { value, several: values.next().is_some(), trusted: false }
    }

    /// Says whether the values come from somebody who may name consumers: a gateway's own
    /// authentication, never the client.
    #[must_use]
    pub const fn trusted(self, trusted: bool) -> Self {
        Self { trusted, ..self }
    }

    fn read(self) -> Result<Option<&'r [u8]>, KeyReason> {
        if self.value.is_empty() {
            Ok(None)
        } else if !self.trusted {
            Err(KeyReason::Untrusted)
        } else if self.several {
            Err(KeyReason::SeveralValues)
        } else if self.value.len() > MAX_KEY {
            Err(KeyReason::TooLong)
        } else {
            Ok(Some(self.value))
        }
    }
}

/// One request, borrowed. Nothing is copied but ids.
#[derive(Clone, Copy, Default)]
pub struct Request<'r> {
    /// The group of the API; `None` classifies `method` and `target`.
    pub group: Option<Group>,
    /// The request names existing state, whatever classification says. Set it where the body
    /// does (`previous_response_id`, `input_file_id`, ...): classification sees method and
    /// target alone.
    pub existing: bool,
    /// The method; read only to classify.
    pub method: &'r [u8],
    /// The target; read only to classify.
    pub target: &'r [u8],
    /// The consumer name.
    pub consumer: KeyInput<'r>,
    /// The session key.
    pub session: KeyInput<'r>,
    /// A cookie's value that came in a header of its own; empty for none.
    pub carried: &'r [u8],
    /// The answer goes back in that header rather than in `Set-Cookie`. Taken for granted
    /// if `carried` is not empty.
    pub carrier: bool,
    /// The scope; empty for the configured one.
    pub scope: &'r [u8],
    /// The slots that this request has tried already.
    pub tried: &'r [u32],
    /// The wall clock, in unix seconds.
    pub now: u64,
    /// Sixteen fresh random bytes. Needed wherever a cookie is issued or a slot is picked at
    /// random; always giving them is simplest.
    pub entropy: [u8; 16],
    /// Sixteen bytes that become the id of a new session, so that parallel first requests
    /// of one client agree: a PRF, under a key of this process, of something that belongs
    /// to one client alone.
    pub id_hint: Option<[u8; 16]>,
}

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
    /// The fingerprint of the configuration that decided.
    pub digest: u64,
}

/// What [`Affinity::finish`] wrote, with its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing goes back.
    Nothing,
    /// The value of a `Set-Cookie` field.
    SetCookie(usize),
    /// The value of the carrier header.
    Carrier(usize),
}

/// What reading the request's cookies gave.
struct Found {
    verdict: Verdict,
    cookie: Option<Cookie>,
    ambiguous: bool,
    /// A cookie of another version is there, which must not be overwritten.
    newer: bool,
}

impl Found {
    /// Of the valid cookies the first issued counts, then the last refreshed, then the
    /// first in order; without a valid one, the verdict that came furthest.
    #[inline(never)]
    fn consider(&mut self, (verdict, cookie): &(Verdict, Option<Cookie>)) {
        self.newer |= *verdict == Verdict::UnknownVersion;
        let usable = cookie.as_ref().filter(|_| verdict.is_usable());
        let better = match (&self.cookie, usable) {
            (None, None) => *verdict > self.verdict,
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (Some(best), Some(other)) => {
                self.ambiguous |= best.id != other.id;
                let rank = |cookie: &Cookie| (cookie.issued_at, Reverse(cookie.refreshed_at));
                rank(other) < rank(best)
            }
        };
        if better {
            self.verdict = *verdict;
            self.cookie = usable.copied();
        }
    }
}

/// A decision before its cookie is signed.
struct Plan {
    slot: Option<u32>,
    source: Source,
    outcome: Outcome,
    pin_state: PinState,
    verdict: Verdict,
    ambiguous: bool,
    /// What the cookie that goes back says.
    issue: Option<Cookie>,
}

impl Plan {
    const NOTHING: Self = Self {
        slot: None,
        source: Source::None,
        outcome: Outcome::None,
        pin_state: PinState::None,
        verdict: Verdict::Absent,
        ambiguous: false,
        issue: None,
    };
}

/// One decision in the making: what all its steps need.
struct Step<'d> {
    affinity: &'d Affinity<'d>,
    request: &'d Request<'d>,
    audience: Audience<'d>,
    macs: Macs<'d>,
    name_suffix: Option<[u8; 4]>,
    class: Class,
    /// `None` for an anonymous session.
    key: Option<Key<'d>>,
    key_reason: KeyReason,
}

impl Affinity<'_> {
    /// Decides which slot serves a request, and prepares the cookie that goes back.
    ///
    /// `cookies` are the values of the request's `Cookie` fields. Allocates nothing,
    /// blocks on nothing (where the target has 64-bit atomics), reads no clock, and may be
    /// called from any number of threads.
    ///
    /// # Errors
    ///
    /// [`Error::ScopeLength`], [`Error::SlotRange`] (in `tried`), [`Error::Entropy`] where
    /// randomness is needed, [`Error::Time`] where a cookie is to be issued after the year
    /// 2106.
    pub fn decide<'r>(
        &self,
        request: &Request<'r>,
        cookies: impl IntoIterator<Item = &'r [u8]>,
    ) -> Result<Decision, Error> {
        crate::hash::check_scope(request.scope)?;
        if request.tried.iter().any(|&slot| self.slot(slot).is_err()) {
            return Err(Error::SlotRange);
        }
        let class = if let Some(group) = request.group {
            Class { group, existing: request.existing }
        } else {
            let class = self.classify(request.method, request.target);
            Class { existing: class.existing || request.existing, ..class }
        };
        let scope = self.scope_or_default(request.scope);
        let name_suffix = self.name_suffix(request.scope);
        let own_name = name_suffix.map(CookieName::with_suffix);
        let name = own_name.as_ref().unwrap_or(&self.name).as_bytes();
        let audience = Audience { name, scope };
        let mut step = Step {
            affinity: self,
            request,
            audience,
            macs: self.macs(request.scope, &audience),
            name_suffix,
            class,
            key: None,
            key_reason: KeyReason::Absent,
        };
        let mut plan = Plan::NOTHING;
        step.plan(cookies, &mut plan)?;
        let cookie = match &plan.issue {
            Some(cookie) => Some(step.issue(cookie)?),
            None => None,
        };
        let Plan { slot, source, outcome, pin_state, verdict, ambiguous, .. } = plan;
        let (key_reason, digest) = (step.key_reason, self.fingerprint());
        Ok(Decision {
            slot,
            source,
            outcome,
            pin_state,
            verdict,
            key_reason,
            ambiguous,
            cookie,
            digest,
        })
    }

    /// Ends a request that `decision` was made for: if its response's `status` is a
    /// success and there is a cookie to set, writes that to `out`. `out` of
    /// [`MAX_SET_COOKIE`](crate::MAX_SET_COOKIE) bytes always suffices.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`] if another configuration decided: its slots may name other
    /// accounts. [`Error::BufferTooSmall`]; nothing is written then.
    pub fn finish(
        &self,
        decision: &Decision,
        status: u16,
        out: &mut [u8],
    ) -> Result<Answer, Error> {
        self.finish_to(decision.digest, decision.cookie.as_ref(), status, &mut Slice(out))
    }

    pub(crate) fn finish_to(
        &self,
        digest: u64,
        cookie: Option<&Pending>,
        status: u16,
        out: &mut impl Sink,
    ) -> Result<Answer, Error> {
        if digest != self.fingerprint() {
            return Err(Error::Stale);
        }
        let (first, last) = self.config.success;
        let Some(cookie) = cookie.filter(|_| (first..=last).contains(&status)) else {
            return Ok(Answer::Nothing);
        };
        if cookie.carrier {
            out.room(cookie.value.len())?;
            out.put(&cookie.value);
            return Ok(Answer::Carrier(cookie.value.len()));
        }
        let attributes = &self.config.attributes;
        self.with_name(cookie.name_suffix, |name| {
            write_to(name, &cookie.value, attributes, cookie.max_age, out).map(Answer::SetCookie)
        })
    }
}

impl<'d> Step<'d> {
    /// Everything but the signature of the cookie that goes back.
    fn plan<'c>(
        &mut self,
        cookies: impl IntoIterator<Item = &'c [u8]>,
        plan: &mut Plan,
    ) -> Result<(), Error> {
        if self.class.group == Group::Stateless {
            plan.source = Source::Stateless;
            return self.at_random(plan);
        }
        (self.key, self.key_reason) = self.read_keys();
        let bad_key = !matches!(self.key_reason, KeyReason::Ok | KeyReason::Absent);
        if bad_key && self.affinity.config.reject_bad_keys {
            plan.outcome = Outcome::Rejected;
            return Ok(());
        }
        let found = self.read_cookies(cookies);
        plan.verdict = found.verdict;
        plan.ambiguous = found.ambiguous;
        match &found.cookie {
            Some(cookie) => self.follow(cookie, plan),
            None => self.place(found.newer, plan)?,
        }
        Ok(())
    }

    /// Precedence: the trusted consumer, then the session key; both, where combining is
    /// on. A key that cannot be used gives way to the next source.
    fn read_keys(&self) -> (Option<Key<'d>>, KeyReason) {
        let consumer = self.request.consumer.read();
        let combine = self.affinity.config.combine_keys;
        if let (Ok(Some(consumer)), false) = (consumer, combine) {
            return (Some(Key::Consumer(consumer)), KeyReason::Ok);
        }
        let session = self.request.session.trusted(true).read();
        let key = match (consumer.ok().flatten(), session.ok().flatten()) {
            (Some(consumer), Some(session)) => Some(Key::Combined { consumer, session }),
            (Some(consumer), None) => Some(Key::Consumer(consumer)),
            (None, Some(session)) => Some(Key::Session(session)),
            (None, None) => None,
        };
        let usable = if key.is_some() { KeyReason::Ok } else { KeyReason::Absent };
        (key, consumer.err().or(session.err()).unwrap_or(usable))
    }

    /// Every cookie of our name is a candidate, the carried value first.
    fn read_cookies<'c>(&self, cookies: impl IntoIterator<Item = &'c [u8]>) -> Found {
        let Affinity { ring, limits, .. } = self.affinity;
        let mut reader = Reader::new(ring, self.macs, self.key.as_ref(), *limits, self.request.now);
        let mut found =
            Found { verdict: Verdict::Absent, cookie: None, ambiguous: false, newer: false };
        if !self.request.carried.is_empty() {
            found.consider(&reader.read(self.request.carried));
        }
        for field in cookies {
            for value in values(field, self.audience.name) {
                found.consider(&reader.read(value));
            }
        }
        found
    }

    /// The request's session has a valid cookie: its pin decides.
    fn follow(&self, cookie: &Cookie, plan: &mut Plan) {
        plan.source = self.source(Source::Cookie);
        let key = self.key.unwrap_or(Key::Anonymous(&cookie.id));
        let mut policy = if self.class.existing {
            self.affinity.config.policy_existing
        } else {
            self.affinity.config.policy_new
        };
        let pinned = self.affinity.find_hash(cookie.pin);
        if let Some((number, slot)) = pinned {
            plan.pin_state = match slot.status().state_at(self.request.now) {
                State::Draining => PinState::Draining,
                State::Up => match self.select(&key, None) {
                    Some((home, _)) if home == number => PinState::Home,
                    _ => PinState::Elsewhere,
                },
                State::Down | State::Vacant => PinState::Down,
            };
            if plan.pin_state != PinState::Down && !self.request.tried.contains(&number) {
                plan.slot = Some(number);
                plan.outcome = Outcome::Pinned;
                self.refresh(cookie, plan);
                return;
            }
        } else {
            plan.pin_state = PinState::Gone;
            // No policy can bring an account back that is not in the set.
            policy = Policy::FallbackAndUpdate;
        }
        if policy == Policy::FailFast {
            plan.outcome = Outcome::Rejected;
            return;
        }
        let Some((number, slot)) = self.select(&key, pinned.map(|(number, _)| number)) else {
            return;
        };
        plan.slot = Some(number);
        let creates = self.class.group == Group::Stateful && !self.class.existing;
        if policy == Policy::FallbackAndUpdate && creates && self.may_set(cookie.kind) {
            plan.outcome = Outcome::Repinned;
            plan.issue = Some(Cookie { pin: slot.identity(), ..*cookie });
        } else {
            plan.outcome = Outcome::Fallback;
            self.refresh(cookie, plan);
        }
    }

    /// The same cookie with the same pin goes back, if it is due to be issued anew.
    fn refresh(&self, cookie: &Cookie, plan: &mut Plan) {
        if plan.verdict == Verdict::RefreshDue && self.may_set(cookie.kind) {
            plan.issue = Some(*cookie);
        }
    }

    /// No valid cookie: the key decides, or a new id does.
    fn place(&self, newer: bool, plan: &mut Plan) -> Result<(), Error> {
        let single = self.affinity.occupied < 2 && !self.affinity.config.mint_single;
        let issues = self.class.group == Group::Stateful && !single && !newer;
        let Some(key) = self.key else {
            if !issues {
                return self.at_random(plan);
            }
            plan.source = Source::Minted;
            let id = random(self.request.id_hint.unwrap_or(self.request.entropy))?;
            return self.place_at(&Key::Anonymous(&id), Some(id), plan);
        };
        plan.source = self.source(Source::None);
        let issues = issues && self.may_set(key.kind());
        let nonce = if issues { Some(random(self.request.entropy)?) } else { None };
        self.place_at(&key, nonce, plan)
    }

    /// Affinity to nothing: a random pick by weight, which leaves no trace.
    #[inline(never)]
    fn at_random(&self, plan: &mut Plan) -> Result<(), Error> {
        self.place_at(&Key::Anonymous(&random(self.request.entropy)?), None, plan)
    }

    /// Selects for `key`, and issues a cookie with `id` if there is one.
    #[inline(never)]
    fn place_at(&self, key: &Key<'_>, id: Option<[u8; 16]>, plan: &mut Plan) -> Result<(), Error> {
        let Some((number, slot)) = self.select(key, None) else { return Ok(()) };
        plan.slot = Some(number);
        let tried = !self.request.tried.is_empty();
        plan.outcome = if tried { Outcome::Retried } else { Outcome::Placed };
        if let Some(id) = id {
            let (kind, pin, issued_at) = (key.kind(), slot.identity(), self.now()?);
            plan.issue = Some(Cookie { kind, issued_at, refreshed_at: issued_at, id, pin });
        }
        Ok(())
    }

    /// The slot that selection gives `key`, `pinned` left out: that one was looked at
    /// already, and found unable to serve.
    fn select(&self, key: &Key<'_>, pinned: Option<u32>) -> Option<(u32, &Slot)> {
        let filter = Filter {
            now: self.request.now,
            anonymous: key.kind() == Kind::Anonymous,
            tried: self.request.tried,
            pinned,
        };
        self.affinity.select(self.audience.scope, key, &filter)
    }

    fn source(&self, anonymous: Source) -> Source {
        match self.key {
            None | Some(Key::Anonymous(_)) => anonymous,
            Some(Key::Consumer(_)) => Source::Consumer,
            Some(Key::Session(_)) => Source::Session,
            Some(Key::Combined { .. }) => Source::Combined,
        }
    }

    /// Whether sessions of this kind get cookies.
    fn may_set(&self, kind: Kind) -> bool {
        kind == Kind::Anonymous || self.affinity.config.keyed_cookies
    }

    /// Signs `cookie` as of now.
    fn issue(&self, cookie: &Cookie) -> Result<Pending, Error> {
        let now = self.now()?;
        let refreshed_at = now.max(cookie.refreshed_at).max(cookie.issued_at);
        let cookie = Cookie { refreshed_at, ..*cookie };
        let key = self.key.unwrap_or(Key::Anonymous(&cookie.id));
        let mut pending = Pending {
            value: [0; VALUE_LEN],
            max_age: self.max_age(now.saturating_sub(cookie.issued_at)),
            carrier: self.request.carrier || !self.request.carried.is_empty(),
            name_suffix: self.name_suffix,
        };
        encode_to(&self.affinity.ring, self.macs, &key, &cookie, &mut pending.value)?;
        Ok(pending)
    }

    /// As long as a cookie that is `age` seconds old can be valid, unless configured.
    fn max_age(&self, age: u32) -> u32 {
        let config = &self.affinity.config;
        if let Some(configured) = config.max_age {
            return configured;
        }
        let limit = |seconds: u32| if seconds == 0 { MAX_MAX_AGE } else { seconds };
        // A cookie in its last second is not deleted by a `Max-Age` of 0.
        let rest =
            limit(config.max_life).saturating_sub(if config.max_life == 0 { 0 } else { age });
        rest.max(1).min(limit(config.max_idle)).min(MAX_MAX_AGE)
    }

    fn now(&self) -> Result<u32, Error> {
        u32::try_from(self.request.now).map_err(|_| Error::Time)
    }
}

/// `bytes`, unless they are all zero: the mark of a generator that was never asked.
fn random(bytes: [u8; 16]) -> Result<[u8; 16], Error> {
    if bytes == [0; 16] { Err(Error::Entropy) } else { Ok(bytes) }
}
