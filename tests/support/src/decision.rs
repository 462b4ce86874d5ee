//! A slow, obvious model of `docs/decision.md`, written from its text and in its order.
//!
//! It works on facts (this cookie is valid, this key is too long) where the library reads
//! headers. Which slot serves a key is asked of the library's own `select`, which has
//! tests of its own.

use tokenpin::{
    Config, Cookie, Decision, Error, Filter, Group, Key, KeyReason, Kind, Limits, MAX_MAX_AGE,
    Outcome, PinState, Policy, Slot, Source, State, Strategy, Verdict, key_hash, select,
    select_higress,
};

/// What the values of one key header amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Absent,
    Untrusted,
    Several,
    TooLong,
    Usable(&'a [u8]),
}

impl<'a> Part<'a> {
    fn usable(self) -> Option<&'a [u8]> {
        if let Part::Usable(bytes) = self { Some(bytes) } else { None }
    }

    /// Why the values could not be used, if so.
    fn trouble(self) -> Option<KeyReason> {
        match self {
            Part::Absent | Part::Usable(_) => None,
            Part::Untrusted => Some(KeyReason::Untrusted),
            Part::Several => Some(KeyReason::SeveralValues),
            Part::TooLong => Some(KeyReason::TooLong),
        }
    }
}

/// What the request's cookies amount to.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub verdict: Verdict,
    /// The one that is used.
    pub cookie: Option<Cookie>,
    pub ambiguous: bool,
    /// One of our name is of an unknown version.
    pub newer: bool,
}

/// All that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub config: &'a Config<'a>,
    pub slots: &'a [Slot],
    pub group: Group,
    pub existing: bool,
    /// The answer goes back in a header of its own.
    pub carrier: bool,
    pub consumer: Part<'a>,
    pub session: Part<'a>,
    pub found: Found,
    /// The scope that counts.
    pub scope: &'a [u8],
    pub tried: &'a [u32],
    pub now: u64,
    pub entropy: [u8; 16],
    pub id_hint: Option<[u8; 16]>,
}

/// A cookie's contents, all of them shown when a test fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    pub kind: Kind,
    pub issued_at: u32,
    pub refreshed_at: u32,
    pub id: [u8; 16],
    pub pin: u64,
}

impl From<Cookie> for Contents {
    fn from(cookie: Cookie) -> Self {
        let Cookie { kind, issued_at, refreshed_at, id, pin } = cookie;
        Self { kind, issued_at, refreshed_at, id, pin }
    }
}

/// The cookie that goes back on success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Nothing,
    Refresh(Contents),
    Repin(Contents),
    Issue(Contents),
}

impl Write {
    pub fn contents(self) -> Option<Contents> {
        match self {
            Write::Nothing => None,
            Write::Refresh(it) | Write::Repin(it) | Write::Issue(it) => Some(it),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    pub slot: Option<u32>,
    pub source: Source,
    pub outcome: Outcome,
    pub pin_state: PinState,
    pub verdict: Verdict,
    pub key_reason: KeyReason,
    pub ambiguous: bool,
    pub existing: bool,
    pub may_move: bool,
    pub retry_after: u32,
    pub write: Write,
}

impl Expected {
    /// Whether a decision says this, but for the contents of its cookie.
    pub fn agrees(&self, got: &Decision) -> bool {
        got.slot == self.slot
            && got.source == self.source
            && got.outcome == self.outcome
            && got.pin_state == self.pin_state
            && got.verdict == self.verdict
            && got.key_reason == self.key_reason
            && got.ambiguous == self.ambiguous
            && got.existing == self.existing
            && got.may_move == self.may_move
            && got.retry_after == self.retry_after
    }
}

const NOTHING: Expected = Expected {
    slot: None,
    source: Source::None,
    outcome: Outcome::None,
    pin_state: PinState::None,
    verdict: Verdict::Absent,
    key_reason: KeyReason::Absent,
    ambiguous: false,
    existing: false,
    may_move: false,
    retry_after: 0,
    write: Write::Nothing,
};

pub fn decide(facts: &Facts<'_>) -> Result<Expected, Error> {
    let answer = rule(facts)?;
    Ok(Expected {
        existing: facts.existing,
        may_move: may_move(facts, &answer),
        retry_after: retry_after(facts, &answer),
        ..answer
    })
}

/// The verdicts in the order of the checks, as docs/cookie-format.md lists them.
const ORDER: [Verdict; 11] = [
    Verdict::Absent,
    Verdict::Malformed,
    Verdict::UnknownVersion,
    Verdict::UnknownKey,
    Verdict::BadTag,
    Verdict::OtherKey,
    Verdict::NotYetValid,
    Verdict::ExpiredLife,
    Verdict::ExpiredIdle,
    Verdict::Valid,
    Verdict::RefreshDue,
];

/// Rule 9.
fn may_move(facts: &Facts<'_>, answer: &Expected) -> bool {
    if ![Outcome::Placed, Outcome::Retried, Outcome::Repinned].contains(&answer.outcome) {
        return false;
    }
    if facts.group != Group::Stateful {
        return true;
    }
    let creates = !facts.existing;
    let told = answer.write != Write::Nothing;
    let keeps_cookies = facts.carrier || facts.found.verdict != Verdict::Absent;
    creates && told && keeps_cookies
}

/// Rule 9.
fn retry_after(facts: &Facts<'_>, answer: &Expected) -> u32 {
    let rejected = answer.outcome == Outcome::Rejected;
    if answer.slot.is_some() || rejected && answer.pin_state == PinState::None {
        return 0;
    }
    let pin = if answer.pin_state == PinState::None { None } else { facts.found.cookie };
    let mut waits = Vec::new();
    for slot in facts.slots.iter().filter(|slot| !slot.is_vacant()) {
        let is_pin = pin.is_some_and(|cookie| cookie.pin == slot.identity_hash());
        let counts = if rejected { is_pin } else { is_pin || slot.status().weight > 0 };
        if !counts {
            continue;
        }
        let status = slot.status();
        match status.state_at(facts.now) {
            State::Up | State::Draining => waits.push(0),
            _ if status.until != 0 => waits.push(status.until - facts.now),
            _ => {}
        }
    }
    waits.sort_unstable();
    let wait = waits.first().copied().unwrap_or(0);
    u32::try_from(wait).unwrap_or(u32::MAX)
}

fn rule(facts: &Facts<'_>) -> Result<Expected, Error> {
    if facts.group == Group::Stateless {
        let id = random(facts.entropy)?;
        let answer = Expected { source: Source::Stateless, ..NOTHING };
        return Ok(unpinned(facts, &Key::Anonymous(&id), answer));
    }

    let (key, key_reason) = key(facts);
    let bad_key = !matches!(key_reason, KeyReason::Ok | KeyReason::Absent);
    if bad_key && facts.config.reject_bad_keys {
        return Ok(Expected { key_reason, outcome: Outcome::Rejected, ..NOTHING });
    }

    let source = match (&key, facts.found.cookie) {
        (Some(Key::Consumer(_)), _) => Source::Consumer,
        (Some(Key::Session(_)), _) => Source::Session,
        (Some(_), _) => Source::Combined,
        (None, Some(_)) => Source::Cookie,
        (None, None) => Source::None,
    };
    let Found { verdict, ambiguous, cookie, .. } = facts.found;
    let answer = Expected { source, verdict, key_reason, ambiguous, ..NOTHING };
    match (cookie, key) {
        (Some(cookie), key) => pinned(facts, key.as_ref(), &cookie, answer),
        (None, Some(key)) => keyed(facts, &key, answer),
        (None, None) => anonymous(facts, answer),
    }
}

/// Rule 2.
fn key<'a>(facts: &Facts<'a>) -> (Option<Key<'a>>, KeyReason) {
    let Facts { consumer, session, .. } = *facts;
    let combine = facts.config.combine_keys;
    let session_counts = combine || consumer.usable().is_none();
    let key = match (consumer.usable(), session.usable()) {
        (Some(consumer), Some(session)) if combine => Some(Key::Combined { consumer, session }),
        (Some(consumer), _) => Some(Key::Consumer(consumer)),
        (None, Some(session)) => Some(Key::Session(session)),
        (None, None) => None,
    };
    let trouble = consumer.trouble().or(session.trouble().filter(|_| session_counts));
    let fine = if key.is_some() { KeyReason::Ok } else { KeyReason::Absent };
    (key, trouble.unwrap_or(fine))
}

/// Rules 4 and 5.
fn pinned(
    facts: &Facts<'_>,
    key: Option<&Key<'_>>,
    cookie: &Cookie,
    answer: Expected,
) -> Result<Expected, Error> {
    let own_id = Key::Anonymous(&cookie.id);
    let used = key.unwrap_or(&own_id);
    let place =
        (0..).zip(facts.slots).find(|(_, it)| !it.is_vacant() && it.identity_hash() == cookie.pin);
    let state = place.map(|(_, slot)| slot.status().state_at(facts.now));
    let place = place.map(|(number, _)| number);
    let pin_state = match state {
        None => PinState::Gone,
        Some(State::Down | State::Vacant) => PinState::Down,
        Some(State::Draining) => PinState::Draining,
        Some(State::Up) if select_for(facts, used, None) == place => PinState::Home,
        Some(State::Up) => PinState::Elsewhere,
    };
    let answer = Expected { pin_state, ..answer };

    let gets_cookies = key.is_none() || facts.config.keyed_cookies;
    let refreshed = || -> Result<Contents, Error> {
        let refreshed_at = stamp(facts.now)?.max(cookie.refreshed_at).max(cookie.issued_at);
        Ok(Contents { refreshed_at, ..Contents::from(*cookie) })
    };
    let refresh = || match answer.verdict {
        Verdict::RefreshDue if gets_cookies => Ok(Write::Refresh(refreshed()?)),
        _ => Ok(Write::Nothing),
    };

    let tried = place.is_some_and(|slot| facts.tried.contains(&slot));
    if matches!(state, Some(State::Up | State::Draining)) && !tried {
        return Ok(Expected { slot: place, outcome: Outcome::Pinned, write: refresh()?, ..answer });
    }

    let policy = match (pin_state, facts.existing) {
        (PinState::Gone, _) => Policy::FallbackAndUpdate,
        (_, true) => facts.config.policy_existing,
        (_, false) => facts.config.policy_new,
    };
    if policy == Policy::FailFast {
        return Ok(Expected { outcome: Outcome::Rejected, ..answer });
    }
    let Some(slot) = select_for(facts, used, place) else { return Ok(answer) };
    let creates = facts.group == Group::Stateful && !facts.existing;
    if policy == Policy::FallbackAndUpdate && creates && gets_cookies {
        let pin = facts.slots[slot as usize].identity_hash();
        let write = Write::Repin(Contents { pin, ..refreshed()? });
        return Ok(Expected { slot: Some(slot), outcome: Outcome::Repinned, write, ..answer });
    }
    Ok(Expected { slot: Some(slot), outcome: Outcome::Fallback, write: refresh()?, ..answer })
}

/// Rule 6, whether a cookie may be issued.
fn may_issue(facts: &Facts<'_>) -> bool {
    let accounts = facts.slots.iter().filter(|slot| !slot.is_vacant()).count();
    facts.group == Group::Stateful
        && (accounts > 1 || facts.config.mint_single)
        && !facts.found.newer
}

/// Rule 6, with a key.
fn keyed(facts: &Facts<'_>, key: &Key<'_>, answer: Expected) -> Result<Expected, Error> {
    if !(may_issue(facts) && facts.config.keyed_cookies) {
        return Ok(unpinned(facts, key, answer));
    }
    let id = random(facts.entropy)?;
    issue(facts, key.kind(), id, unpinned(facts, key, answer))
}

/// Rule 6, without a key.
fn anonymous(facts: &Facts<'_>, answer: Expected) -> Result<Expected, Error> {
    let id = random(facts.id_hint.unwrap_or(facts.entropy))?;
    if !may_issue(facts) {
        return Ok(unpinned(facts, &Key::Anonymous(&id), answer));
    }
    let answer = Expected { source: Source::Minted, ..answer };
    issue(facts, Kind::Anonymous, id, unpinned(facts, &Key::Anonymous(&id), answer))
}

fn issue(facts: &Facts<'_>, kind: Kind, id: [u8; 16], answer: Expected) -> Result<Expected, Error> {
    let Some(slot) = answer.slot else { return Ok(answer) };
    let now = stamp(facts.now)?;
    let pin = facts.slots[slot as usize].identity_hash();
    let write = Write::Issue(Contents { kind, issued_at: now, refreshed_at: now, id, pin });
    Ok(Expected { write, ..answer })
}

/// Selects, with the outcome of rule 7.
fn unpinned(facts: &Facts<'_>, key: &Key<'_>, answer: Expected) -> Expected {
    let slot = select_for(facts, key, None);
    let outcome = match slot {
        None => Outcome::None,
        Some(_) if facts.tried.is_empty() => Outcome::Placed,
        Some(_) => Outcome::Retried,
    };
    Expected { slot, outcome, ..answer }
}

/// "Select for K", where `without` is the pinned slot if it must not serve.
pub fn select_for(facts: &Facts<'_>, key: &Key<'_>, without: Option<u32>) -> Option<u32> {
    let hash = key_hash(&facts.config.placement_key, facts.scope, key).unwrap();
    let filter = Filter {
        now: facts.now,
        anonymous: key.kind() == Kind::Anonymous,
        tried: facts.tried,
        pinned: without,
    };
    match facts.config.strategy {
        Strategy::HigressFnv1aModulo => select_higress(facts.slots, &filter, hash, key),
        strategy => select(strategy, facts.slots, &filter, hash).unwrap(),
    }
}

fn random(bytes: [u8; 16]) -> Result<[u8; 16], Error> {
    if bytes == [0; 16] { Err(Error::Entropy) } else { Ok(bytes) }
}

fn stamp(now: u64) -> Result<u32, Error> {
    u32::try_from(now).map_err(|_| Error::Time)
}

/// Rule 3: what a request's cookies come to, from the verdict of each, in order.
pub fn found(each: &[(Verdict, Option<Cookie>)]) -> Found {
    let usable = || each.iter().filter(|(verdict, _)| verdict.is_usable());
    let newer = each.iter().any(|(verdict, _)| *verdict == Verdict::UnknownVersion);
    // `min_by_key` gives the first of several.
    let best = usable()
        .filter_map(|(verdict, cookie)| Some((*verdict, (*cookie)?)))
        .min_by_key(|(_, cookie)| (cookie.issued_at, u32::MAX - cookie.refreshed_at));
    let Some((verdict, cookie)) = best else {
        let verdict = each
            .iter()
            .map(|(verdict, _)| *verdict)
            .max_by_key(|verdict| ORDER.iter().position(|each| each == verdict).unwrap());
        let verdict = verdict.unwrap_or(Verdict::Absent);
        return Found { verdict, cookie: None, ambiguous: false, newer };
    };
    let ambiguous = usable().any(|(_, other)| other.is_some_and(|other| other.id != cookie.id));
    Found { verdict, cookie: Some(cookie), ambiguous, newer }
}

/// The `Max-Age` of a cookie that is written at `now`; 0 for none.
pub fn max_age(config: &Config<'_>, now: u64, issued_at: u32) -> u32 {
    if let Some(seconds) = config.max_age {
        return seconds;
    }
    let age = now.saturating_sub(u64::from(issued_at));
    let or_longest = |limit: u32, seconds: u64| {
        if limit == 0 { u64::from(MAX_MAX_AGE) } else { seconds }
    };
    let rest_of_life =
        or_longest(config.max_life, u64::from(config.max_life).saturating_sub(age).max(1));
    let idle = or_longest(config.max_idle, u64::from(config.max_idle));
    let seconds = rest_of_life.min(idle).min(u64::from(MAX_MAX_AGE));
    u32::try_from(seconds).unwrap()
}

/// The limits on a cookie's life, and what `docs/cookie-format.md` says of refreshing.
pub fn limits(config: &Config<'_>) -> Limits {
    let refresh_interval = match (config.max_idle, config.max_age) {
        (0, Some(max_age)) => max_age,
        (0, None) if config.max_life == 0 || config.max_life > MAX_MAX_AGE => MAX_MAX_AGE,
        (0, None) => 0,
        (max_idle, None | Some(0)) => max_idle,
        (max_idle, Some(max_age)) => max_idle.min(max_age),
    };
    let Config { skew, max_life, max_idle, .. } = *config;
    Limits { skew, max_life, max_idle, refresh_interval }
}
