//! The decision: which token serves this request, and which cookie the response sets.
//!
//! docs/spec/decision.md states the rules. The code follows their order, and marks each rule's
//! number where it is applied. Deciding does all the cryptography; finishing only formats.

use core::cmp::Reverse;

use crate::cookie::encode_to;
use crate::cookie::field::values_of;
use crate::cookie::name::Audience;
use crate::cookie::reader::Reader;
use crate::cookie::ring::Macs;
use crate::cookie::set_cookie::write_to;
use crate::cookie::value::{Cookie, VALUE_LEN, Verdict};
use crate::error::Error;
use crate::ids::fields::{Ids, NO_KEY};
use crate::key::{Key, Kind, check_scope};
use crate::limits::MAX_MAX_AGE;
use crate::select::slot::{Filter, Slot, SlotStatus, State};
use crate::sink::{Sink, Slice};

use affinity::Affinity;
use classify::{Class, Group, reads};
use config::Policy;
use decision::{Answer, Decision, Outcome, Pending, PinState, Source};
use request::{KeyReason, Request};

pub(crate) mod affinity;
pub(crate) mod classify;
pub(crate) mod config;
pub(crate) mod decision;
mod fingerprint;
mod index;
#[cfg(feature = "alloc")]
pub(crate) mod owned;
pub(crate) mod request;

impl Affinity<'_> {
    /// Decides which slot serves a request, and prepares the cookie that the response sets.
    ///
    /// `cookies` are the values of the request's `Cookie` fields. Allocates nothing, reads no
    /// clock, and never blocks on a target with 64-bit atomics. Any number of threads may call it.
    ///
    /// # Errors
    ///
    /// [`Error::ScopeLength`], [`Error::SlotRange`] (in `tried`), [`Error::Entropy`] if randomness
    /// is needed, [`Error::Time`] if a cookie is to be issued after the year 2106.
    pub fn decide<'r>(
        &self,
        request: &Request<'r>,
        cookies: impl IntoIterator<Item = &'r [u8]>,
    ) -> Result<Decision, Error> {
        check_scope(request.scope)?;
        if request.tried.iter().any(|&slot| self.slot(slot).is_err()) {
            return Err(Error::SlotRange);
        }
        let mut class = match request.group {
            Some(group) => Class { group, existing: reads(request.method), ids: Ids::None },
            None => self.classify(request.method, request.target),
        };
        // A request that names state belongs to a stateful API, on any path.
        if request.existing || request.ids.is_some_and(|ids| ids.existing) {
            (class.group, class.existing) = (Group::Stateful, true);
        }
        let name_suffix = self.name_suffix(request.scope);
        self.with_name(name_suffix, |name| {
            let audience = Audience { name, scope: self.scope_or_default(request.scope) };
            let macs = self.macs(request.scope, &audience);
            let mut ruling =
                Ruling { affinity: self, request, audience, macs, name_suffix, class, key: None };
            let decision = Decision::nothing(class.existing, self.fingerprint());
            let mut draft = Draft { decision, cookie: None };
            ruling.rule(cookies, &mut draft)?;
            if let Some(cookie) = &draft.cookie {
                draft.decision.cookie = Some(ruling.issue(cookie)?);
            }
            draft.decision.may_move = ruling.may_move(&draft.decision);
            Ok(draft.decision)
        })
    }
}

/// The output of the rules.
struct Draft {
    decision: Decision,
    /// The content of the cookie to set. It is signed last.
    cookie: Option<Cookie>,
}

/// The input of the rules.
struct Ruling<'d> {
    affinity: &'d Affinity<'d>,
    request: &'d Request<'d>,
    audience: Audience<'d>,
    macs: Macs<'d>,
    name_suffix: Option<[u8; 4]>,
    class: Class,
    /// `None` for an anonymous session.
    key: Option<Key<'d>>,
}

impl<'d> Ruling<'d> {
    fn rule<'c>(
        &mut self,
        cookies: impl IntoIterator<Item = &'c [u8]>,
        draft: &mut Draft,
    ) -> Result<(), Error> {
        let decision = &mut draft.decision;
        // Rule 0: ids.
        let mut named = None;
        if let Some(ids) = self.request.ids {
            decision.id_verdict = ids.verdict;
            if ids.refused || ids.unreadable {
                decision.source = Source::Id;
                decision.outcome = Outcome::Rejected;
                decision.id_keys = ids.keys;
                return Ok(());
            }
            named = ids.account().map(|(pin, key)| (self.affinity.find_hash(pin), key));
            // History names an account only if that account is in the set.
            named = named.filter(|(account, key)| account.is_some() || *key != NO_KEY);
        }
        if let Some((_, key)) = named {
            decision.source = Source::Id;
            decision.id_keys = [key, NO_KEY];
            self.class.group = Group::Stateful;
        }
        // Rule 1: stateless.
        if self.class.group == Group::Stateless {
            decision.source = Source::Stateless;
            // Picks a slot at random by weight, which leaves no trace.
            let id = random(self.request.entropy)?;
            return self.place_at(&Key::Anonymous(&id), None, draft);
        }
        // Rule 2: keys.
        (self.key, decision.key_reason) = self.read_keys();
        let bad_key = !matches!(decision.key_reason, KeyReason::Ok | KeyReason::Absent);
        if bad_key && self.affinity.config.reject_bad_keys && named.is_none() {
            decision.outcome = Outcome::Rejected;
            return Ok(());
        }
        // Rule 3: cookies.
        let found = self.read_cookies(cookies);
        decision.verdict = found.verdict;
        decision.ambiguous = found.ambiguous;
        match (named, &found.cookie) {
            (Some((account, _)), _) => self.serve_id(account, &found, draft)?,
            (None, Some(cookie)) => self.follow(cookie, draft),
            (None, None) => self.place(found.newer, draft)?,
        }
        Ok(())
    }

    /// Rule 0. Lets the account that the id names serve, or no account.
    #[inline(never)]
    fn serve_id(
        &self,
        account: Option<(u32, &Slot)>,
        found: &Found,
        draft: &mut Draft,
    ) -> Result<(), Error> {
        let decision = &mut draft.decision;
        let key = self.key.or(found.cookie.as_ref().map(|cookie| Key::Anonymous(&cookie.id)));
        let Some(slot) = self.serve_pinned(account, key.as_ref(), decision) else {
            self.reject(account, decision);
            return Ok(());
        };
        match &found.cookie {
            Some(cookie)
                if self.creates()
                    && self.may_set(cookie.kind)
                    && !self.affinity.knows(cookie.pin) =>
            {
                draft.cookie = Some(Cookie { pin: slot.identity_hash(), ..*cookie });
            }
            Some(cookie) => self.refresh(cookie, draft),
            None => {
                if let Some(id) = self.new_id(found.newer)? {
                    draft.cookie = Some(self.first_cookie(key.as_ref(), id, slot)?);
                }
            }
        }
        Ok(())
    }

    /// Rule 2. Reads the keys: the trusted consumer first, then the session key, or both if
    /// combining is on. A key that cannot be used gives way to the next source.
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

    /// Rule 3. Reads every cookie of our name, the carrier's value first.
    fn read_cookies<'c>(&self, cookies: impl IntoIterator<Item = &'c [u8]>) -> Found {
        let Affinity { ring, limits, .. } = self.affinity;
        let mut reader = Reader::new(ring, self.macs, self.key.as_ref(), *limits, self.request.now);
        let mut found =
            Found { verdict: Verdict::Absent, cookie: None, ambiguous: false, newer: false };
        if !self.request.carrier_value.is_empty() {
            found.consider(&reader.read(self.request.carrier_value));
        }
        for field in cookies {
            for value in values_of(field, self.audience.name) {
                found.consider(&reader.read(value));
            }
        }
        found
    }

    /// Rule 4. Follows the pin of a valid cookie.
    fn follow(&self, cookie: &Cookie, draft: &mut Draft) {
        let decision = &mut draft.decision;
        decision.source = self.source(Source::Cookie);
        let key = self.key.unwrap_or(Key::Anonymous(&cookie.id));
        let pinned = self.affinity.find_hash(cookie.pin);
        if self.serve_pinned(pinned, Some(&key), decision).is_some() {
            return self.refresh(cookie, draft);
        }
        self.leave(cookie, &key, pinned, draft);
    }

    /// Rule 4. Returns the slot of the pinned token, if it serves.
    fn serve_pinned<'s>(
        &self,
        pinned: Option<(u32, &'s Slot)>,
        key: Option<&Key<'_>>,
        decision: &mut Decision,
    ) -> Option<&'s Slot> {
        decision.pin_state = self.pin_state(pinned, key);
        let (number, slot) = pinned?;
        if decision.pin_state == PinState::Down || self.request.tried.contains(&number) {
            return None;
        }
        decision.slot = Some(number);
        decision.outcome = Outcome::Pinned;
        Some(slot)
    }

    /// Rule 4. Returns the state of the pinned token. Without a key it is never `Home`.
    fn pin_state(&self, pinned: Option<(u32, &Slot)>, key: Option<&Key<'_>>) -> PinState {
        let Some((number, slot)) = pinned else { return PinState::Gone };
        match slot.status().state_at(self.request.now) {
            State::Draining => PinState::Draining,
            State::Up => match key.and_then(|key| self.select(key, None)) {
                Some((home, _)) if home == number => PinState::Home,
                _ => PinState::Elsewhere,
            },
            State::Down | State::Vacant => PinState::Down,
        }
    }

    /// Rule 5. Applies the policy for a pin that cannot serve.
    #[cold]
    #[inline(never)]
    fn leave(
        &self,
        cookie: &Cookie,
        key: &Key<'_>,
        pinned: Option<(u32, &Slot)>,
        draft: &mut Draft,
    ) {
        let decision = &mut draft.decision;
        let config = &self.affinity.config;
        let policy = match pinned {
            // No policy can bring back an account that is not in the set.
            None => Policy::FallbackAndUpdate,
            Some(_) if self.class.existing => config.policy_existing,
            Some(_) => config.policy_new,
        };
        if policy == Policy::FailFast {
            return self.reject(pinned, decision);
        }
        let pinned = pinned.map(|(number, _)| number);
        let Some((number, slot)) = self.select(key, pinned) else {
            decision.retry_after = self.soonest(pinned);
            return;
        };
        decision.slot = Some(number);
        if policy == Policy::FallbackAndUpdate && self.creates() && self.may_set(cookie.kind) {
            decision.outcome = Outcome::Repinned;
            draft.cookie = Some(Cookie { pin: slot.identity_hash(), ..*cookie });
            return;
        }
        decision.outcome = Outcome::Fallback;
        self.refresh(cookie, draft);
    }

    /// Rule 6. Places a request without a valid cookie, by its key or by a new id.
    #[inline(never)]
    fn place(&self, newer: bool, draft: &mut Draft) -> Result<(), Error> {
        let issued = self.new_id(newer)?;
        if let Some(key) = self.key {
            draft.decision.source = self.source(Source::None);
            return self.place_at(&key, issued, draft);
        }
        let id = match issued {
            Some(id) => {
                draft.decision.source = Source::Minted;
                id
            }
            None => random(self.request.id_hint.unwrap_or(self.request.entropy))?,
        };
        self.place_at(&Key::Anonymous(&id), issued, draft)
    }

    /// Rule 6. Returns the id of the cookie to issue, if one may be issued.
    #[inline(never)]
    fn new_id(&self, newer: bool) -> Result<Option<[u8; 16]>, Error> {
        let single = self.affinity.occupied < 2 && !self.affinity.config.mint_single;
        let kind = self.key.as_ref().map_or(Kind::Anonymous, Key::kind);
        if self.class.group != Group::Stateful || single || newer || !self.may_set(kind) {
            return Ok(None);
        }
        let hint = self.request.id_hint.filter(|_| kind == Kind::Anonymous);
        random(hint.unwrap_or(self.request.entropy)).map(Some)
    }

    /// Rule 6. Makes the first cookie of a session.
    fn first_cookie(
        &self,
        key: Option<&Key<'_>>,
        id: [u8; 16],
        slot: &Slot,
    ) -> Result<Cookie, Error> {
        let (pin, issued_at) = (slot.identity_hash(), self.now()?);
        let kind = key.map_or(Kind::Anonymous, Key::kind);
        Ok(Cookie { kind, issued_at, refreshed_at: issued_at, id, pin })
    }

    /// Rule 7. Selects for `key`, and makes a cookie with `id` if there is one.
    #[inline(never)]
    fn place_at(
        &self,
        key: &Key<'_>,
        id: Option<[u8; 16]>,
        draft: &mut Draft,
    ) -> Result<(), Error> {
        let decision = &mut draft.decision;
        let Some((number, slot)) = self.select(key, None) else {
            decision.retry_after = self.soonest(None);
            return Ok(());
        };
        decision.slot = Some(number);
        let tried = !self.request.tried.is_empty();
        decision.outcome = if tried { Outcome::Retried } else { Outcome::Placed };
        if let Some(id) = id {
            draft.cookie = Some(self.first_cookie(Some(key), id, slot)?);
        }
        Ok(())
    }

    /// Rule 8. Issues the same cookie with the same pin, if it is due for a refresh.
    fn refresh(&self, cookie: &Cookie, draft: &mut Draft) {
        if draft.decision.verdict == Verdict::RefreshDue && self.may_set(cookie.kind) {
            draft.cookie = Some(*cookie);
        }
    }

    /// Returns the slot that selection chooses for `key`. It skips `pinned`, which was found unable
    /// to serve.
    fn select(&self, key: &Key<'_>, pinned: Option<u32>) -> Option<(u32, &Slot)> {
        let filter = Filter {
            now: self.request.now,
            anonymous: key.kind() == Kind::Anonymous,
            tried: self.request.tried,
            pinned,
        };
        self.affinity.select(self.audience.scope, key, &filter)
    }

    /// Rule 9. Returns the seconds until the first slot can serve. The pinned slot counts at any
    /// weight.
    #[cold]
    #[inline(never)]
    fn soonest(&self, pinned: Option<u32>) -> u32 {
        let mut soonest = None;
        for (number, slot) in (0..).zip(self.affinity.slots) {
            let status = slot.status();
            if status.weight == 0 && pinned != Some(number) {
                continue;
            }
            let wait = self.wait(status);
            if wait.is_some_and(|wait| soonest.is_none_or(|least| wait < least)) {
                soonest = wait;
            }
        }
        soonest.unwrap_or(0)
    }

    /// Rejects the request, because the pinned token cannot serve and no other may.
    fn reject(&self, pinned: Option<(u32, &Slot)>, decision: &mut Decision) {
        decision.outcome = Outcome::Rejected;
        decision.retry_after = pinned.and_then(|(_, slot)| self.wait(slot.status())).unwrap_or(0);
    }

    /// Rule 9. Returns the seconds until a slot with this status can serve: 0 if it can now and was
    /// tried, `None` for never.
    #[inline(never)]
    fn wait(&self, status: SlotStatus) -> Option<u32> {
        match status.state_at(self.request.now) {
            State::Up | State::Draining => Some(0),
            State::Down if status.until != 0 => {
                let wait = status.until.saturating_sub(self.request.now);
                Some(u32::try_from(wait).unwrap_or(u32::MAX))
            }
            State::Down | State::Vacant => None,
        }
    }

    /// Rule 9. Returns whether a host may send the request to another token. Such a request names
    /// no state, and the state it creates is looked for at the token that created it: either its id
    /// is sealed, or a client that has shown that it keeps cookies gets one.
    fn may_move(&self, decision: &Decision) -> bool {
        let serves =
            matches!(decision.outcome, Outcome::Placed | Outcome::Retried | Outcome::Repinned);
        let keeps = self.request.carrier || decision.verdict != Verdict::Absent;
        let sealed = self.request.ids.is_some_and(|ids| ids.seals);
        let follows = !decision.existing && (sealed || decision.cookie.is_some() && keeps);
        serves && (self.class.group != Group::Stateful || follows)
    }

    fn source(&self, anonymous: Source) -> Source {
        match self.key {
            None | Some(Key::Anonymous(_)) => anonymous,
            Some(Key::Consumer(_)) => Source::Consumer,
            Some(Key::Session(_)) => Source::Session,
            Some(Key::Combined { .. }) => Source::Combined,
        }
    }

    fn creates(&self) -> bool {
        self.class.group == Group::Stateful && !self.class.existing
    }

    /// Returns whether sessions of this kind get cookies.
    fn may_set(&self, kind: Kind) -> bool {
        kind == Kind::Anonymous || self.affinity.config.keyed_cookies
    }

    /// Signs `cookie` with the current time.
    #[inline(never)]
    fn issue(&self, cookie: &Cookie) -> Result<Pending, Error> {
        let now = self.now()?;
        let refreshed_at = now.max(cookie.refreshed_at).max(cookie.issued_at);
        let cookie = Cookie { refreshed_at, ..*cookie };
        let key = self.key.unwrap_or(Key::Anonymous(&cookie.id));
        let mut pending = Pending {
            value: [0; VALUE_LEN],
            max_age: self.max_age(now.saturating_sub(cookie.issued_at)),
            carrier: self.request.carrier || !self.request.carrier_value.is_empty(),
            name_suffix: self.name_suffix,
        };
        encode_to(&self.affinity.ring, self.macs, &key, &cookie, &mut pending.value)?;
        Ok(pending)
    }

    /// Returns the configured `Max-Age`, or as long as a cookie that is `age` seconds old can be
    /// valid.
    fn max_age(&self, age: u32) -> u32 {
        let config = &self.affinity.config;
        if let Some(configured) = config.max_age {
            return configured;
        }
        let limit = |seconds: u32| if seconds == 0 { MAX_MAX_AGE } else { seconds };
        // Keeps a cookie in its last second, which a `Max-Age` of 0 would delete.
        let rest =
            limit(config.max_life).saturating_sub(if config.max_life == 0 { 0 } else { age });
        rest.max(1).min(limit(config.max_idle)).min(MAX_MAX_AGE)
    }

    fn now(&self) -> Result<u32, Error> {
        u32::try_from(self.request.now).map_err(|_| Error::Time)
    }
}

/// Returns `bytes`, or an error if they are all zero, as from a generator that was never called.
fn random(bytes: [u8; 16]) -> Result<[u8; 16], Error> {
    if bytes == [0; 16] { Err(Error::Entropy) } else { Ok(bytes) }
}

/// The result of reading the request's cookies.
struct Found {
    verdict: Verdict,
    cookie: Option<Cookie>,
    ambiguous: bool,
    /// True if a cookie of another version came, which must not be overwritten.
    newer: bool,
}

impl Found {
    /// Rule 3. Keeps the better cookie. Among valid ones that is the first issued, then the last
    /// refreshed, then the first in order. Without a valid one, keeps the verdict that came
    /// furthest.
    #[inline(never)]
    fn consider(&mut self, (verdict, cookie): &(Verdict, Option<Cookie>)) {
        self.newer |= *verdict == Verdict::UnknownVersion;
        let usable = cookie.as_ref().filter(|_| verdict.is_usable());
        let better = match (&self.cookie, usable) {
            (None, None) => verdict.rank() > self.verdict.rank(),
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

impl Affinity<'_> {
    /// Finishes the request of `decision`. If the response's `status` is a success and there is a
    /// cookie to set, writes it to `out`. Returns what was written, and its length. `out` of
    /// [`MAX_SET_COOKIE`](crate::MAX_SET_COOKIE) bytes always suffices.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`] if another configuration decided, because its slots may name other
    /// accounts. [`Error::BufferTooSmall`]; nothing is written then.
    pub fn finish(
        &self,
        decision: &Decision,
        status: u16,
        out: &mut [u8],
    ) -> Result<(Answer, usize), Error> {
        self.finish_to(decision.fingerprint, decision.cookie.as_ref(), status, &mut Slice(out))
    }

    /// Rule 10.
    pub(crate) fn finish_to(
        &self,
        fingerprint: u64,
        cookie: Option<&Pending>,
        status: u16,
        out: &mut impl Sink,
    ) -> Result<(Answer, usize), Error> {
        if fingerprint != self.fingerprint() {
            return Err(Error::Stale);
        }
        let (first, last) = self.config.success;
        let Some(cookie) = cookie.filter(|_| (first..=last).contains(&status)) else {
            return Ok((Answer::Nothing, 0));
        };
        if cookie.carrier {
            out.room(cookie.value.len())?;
            out.put(&cookie.value);
            return Ok((Answer::Carrier, cookie.value.len()));
        }
        let attributes = &self.config.attributes;
        self.with_name(cookie.name_suffix, |name| {
            let written = write_to(name, &cookie.value, attributes, cookie.max_age, out)?;
            Ok((Answer::SetCookie, written))
        })
    }
}
