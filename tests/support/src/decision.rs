//! A slow, obvious model of `docs/spec/decision.md`, written from its text and in its order.
//!
//! It works on facts (this cookie is valid, this key is too long), while the library reads headers.
//! For the slot of a key it calls the library's own `select`, which has separate tests.

use tokenpin::ids::{Mode, Summary};
use tokenpin::{
    Config, Cookie, Decision, Error, Filter, Group, IdVerdict, Key, KeyReason, Kind, Limits,
    MAX_MAX_AGE, Outcome, PinState, Policy, Refusal, Slot, Source, State, Strategy, Verdict,
    key_hash, select, select_higress,
};

use crate::ids::{NO_KEY, number_of};

/// The meaning of the values of one key header.
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

    /// Returns why the values could not be used, if so.
    fn trouble(self) -> Option<KeyReason> {
        match self {
            Part::Absent | Part::Usable(_) => None,
            Part::Untrusted => Some(KeyReason::Untrusted),
            Part::Several => Some(KeyReason::SeveralValues),
            Part::TooLong => Some(KeyReason::TooLong),
        }
    }
}

/// The meaning of the request's cookies.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub verdict: Verdict,
    /// The cookie that is used.
    pub cookie: Option<Cookie>,
    pub ambiguous: bool,
    /// One of our name is of an unknown version.
    pub newer: bool,
}

/// The meaning of a request's ids, in the terms of docs/spec/sealed-ids.md.
#[expect(clippy::struct_excessive_bools, reason = "as many as the library's")]
#[derive(Clone, Copy, Debug)]
pub struct Ids {
    pub verdict: IdVerdict,
    /// The keys of the refused ids.
    pub keys: [u8; 2],
    pub refused: bool,
    pub unreadable: bool,
    pub existing: bool,
    /// The account's identity hash, and the key that names it: none for a soft one.
    pub account: Option<(u64, u8)>,
    /// The response is sealed.
    pub sealed: bool,
}

impl Ids {
    /// Reads a summary that the library made. Its parts have models in `ids`.
    pub fn of(summary: &Summary, mode: Mode, api: tokenpin::ids::Ids) -> Self {
        use tokenpin::ids::Ids as Api;
        Self {
            verdict: summary.verdict,
            keys: summary.keys,
            refused: summary.refused,
            unreadable: summary.unreadable,
            existing: summary.existing,
            account: summary.account(),
            sealed: matches!(mode, Mode::Seal | Mode::Strict)
                && matches!(api, Api::Both | Api::Items),
        }
    }
}

/// The input of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub config: &'a Config<'a>,
    pub slots: &'a [Slot],
    pub group: Group,
    pub existing: bool,
    /// The response returns the cookie in the carrier header.
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
    pub ids: Option<Ids>,
}

/// A cookie's contents, all of which are shown when a test fails.
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

/// The cookie that is set on success.
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
    pub id_verdict: IdVerdict,
    pub id_keys: [u8; 2],
    pub key_reason: KeyReason,
    pub ambiguous: bool,
    pub existing: bool,
    pub may_move: bool,
    pub retry_after: u32,
    pub refusal: Refusal,
    pub write: Write,
}

impl Expected {
    /// Returns whether a decision agrees, except for the contents of its cookie.
    pub fn agrees(&self, got: &Decision) -> bool {
        got.slot == self.slot
            && got.source == self.source
            && got.outcome == self.outcome
            && got.pin_state == self.pin_state
            && got.verdict == self.verdict
            && got.id_verdict == self.id_verdict
            && got.id_keys == self.id_keys
            && got.key_reason == self.key_reason
            && got.ambiguous == self.ambiguous
            && got.existing == self.existing
            && got.may_move == self.may_move
            && got.retry_after == self.retry_after
            && got.refusal() == self.refusal
    }
}

const NOTHING: Expected = Expected {
    slot: None,
    source: Source::None,
    outcome: Outcome::None,
    pin_state: PinState::None,
    verdict: Verdict::Absent,
    id_verdict: IdVerdict::None,
    id_keys: [NO_KEY; 2],
    key_reason: KeyReason::Absent,
    ambiguous: false,
    existing: false,
    may_move: false,
    retry_after: 0,
    refusal: Refusal::None,
    write: Write::Nothing,
};

pub fn decide(facts: &Facts<'_>) -> Result<Expected, Error> {
    let mut facts = *facts;
    if facts.ids.is_some_and(|ids| ids.existing) {
        (facts.group, facts.existing) = (Group::Stateful, true);
    }
    let answer = by_ids(&mut facts)?;
    let answer = Expected {
        id_verdict: facts.ids.map_or(IdVerdict::None, |ids| ids.verdict),
        existing: facts.existing,
        may_move: may_move(&facts, &answer),
        retry_after: retry_after(&facts, &answer),
        ..answer
    };
    Ok(Expected { refusal: refusal(&answer), ..answer })
}

/// Rule 0.
fn by_ids(facts: &mut Facts<'_>) -> Result<Expected, Error> {
    let Some(ids) = facts.ids else { return rule(facts, None) };
    if ids.refused || ids.unreadable {
        let (source, outcome) = (Source::Id, Outcome::Rejected);
        return Ok(Expected { source, outcome, id_keys: ids.keys, ..NOTHING });
    }
    let soft = |key| key == NO_KEY;
    let counts = |(pin, key): &(u64, u8)| !soft(*key) || slot_of(facts, *pin).is_some();
    let account = ids.account.filter(counts);
    if account.is_some() {
        facts.group = Group::Stateful;
    }
    rule(facts, account)
}

/// Rule 0, where an id names an account.
fn named(
    facts: &Facts<'_>,
    key: Option<&Key<'_>>,
    (pin, name): (u64, u8),
    answer: Expected,
) -> Result<Expected, Error> {
    let cookie = facts.found.cookie;
    let own_id = cookie.map(|cookie| cookie.id);
    let own_key = own_id.as_ref().map(Key::Anonymous);
    let place = slot_of(facts, pin);
    let pin_state = pin_state(facts, place, key.or(own_key.as_ref()));
    let answer = Expected { source: Source::Id, id_keys: [name, NO_KEY], pin_state, ..answer };

    let tried = place.is_some_and(|slot| facts.tried.contains(&slot));
    if matches!(pin_state, PinState::Gone | PinState::Down) || tried {
        return Ok(Expected { outcome: Outcome::Rejected, ..answer });
    }
    let gets_cookies = key.is_none() || facts.config.keyed_cookies;
    let write = match cookie {
        Some(cookie) => {
            let lost = slot_of(facts, cookie.pin).is_none();
            if lost && !facts.existing && gets_cookies {
                Write::Repin(Contents { pin, ..refreshed(facts, &cookie)? })
            } else if answer.verdict == Verdict::RefreshDue && gets_cookies {
                Write::Refresh(refreshed(facts, &cookie)?)
            } else {
                Write::Nothing
            }
        }
        None if may_issue(facts) && gets_cookies => {
            let kind = key.map_or(Kind::Anonymous, Key::kind);
            let hint = facts.id_hint.filter(|_| key.is_none());
            let (id, now) = (random(hint.unwrap_or(facts.entropy))?, stamp(facts.now)?);
            Write::Issue(Contents { kind, issued_at: now, refreshed_at: now, id, pin })
        }
        None => Write::Nothing,
    };
    Ok(Expected { slot: place, outcome: Outcome::Pinned, write, ..answer })
}

/// Returns the slot that holds an account.
fn slot_of(facts: &Facts<'_>, pin: u64) -> Option<u32> {
    let holds = |slot: &Slot| !slot.is_vacant() && slot.identity_hash() == pin;
    (0..).zip(facts.slots).find(|(_, slot)| holds(slot)).map(|(number, _)| number)
}

/// Rule 4; `key` is the key that selects, if there is one.
fn pin_state(facts: &Facts<'_>, place: Option<u32>, key: Option<&Key<'_>>) -> PinState {
    let Some(slot) = place else { return PinState::Gone };
    match facts.slots[slot as usize].status().state_at(facts.now) {
        State::Down | State::Vacant => PinState::Down,
        State::Draining => PinState::Draining,
        State::Up if key.is_some_and(|key| select_for(facts, key, None) == place) => PinState::Home,
        State::Up => PinState::Elsewhere,
    }
}

/// Rule 8: the refreshed cookie.
fn refreshed(facts: &Facts<'_>, cookie: &Cookie) -> Result<Contents, Error> {
    let refreshed_at = stamp(facts.now)?.max(cookie.refreshed_at).max(cookie.issued_at);
    Ok(Contents { refreshed_at, ..Contents::from(*cookie) })
}

/// The table of refusals.
fn refusal(answer: &Expected) -> Refusal {
    match (answer.slot, answer.outcome, answer.source, answer.pin_state) {
        (Some(_), ..) => Refusal::None,
        (None, Outcome::None, ..) => Refusal::NoAccountAvailable,
        (None, _, Source::None, _) => Refusal::BadAffinityKey,
        (None, _, Source::Id, PinState::None | PinState::Gone) => match answer.id_keys[0] {
            _ if answer.id_verdict == IdVerdict::Conflict => Refusal::ConflictingAccounts,
            NO_KEY => Refusal::UnreadableBody,
            key if key == number_of("previous_response_id") => Refusal::PreviousResponseNotFound,
            key if key == number_of("encrypted_content") => Refusal::InvalidEncryptedContent,
            _ => Refusal::NotFound,
        },
        (None, ..) => Refusal::SessionUnavailable,
    }
}

/// The verdicts in the order of the checks, as docs/spec/cookie-format.md lists them.
pub const ORDER: [Verdict; 11] = [
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
    let sealed = facts.ids.is_some_and(|ids| ids.sealed);
    creates && (sealed || told && keeps_cookies)
}

/// Rule 9.
fn retry_after(facts: &Facts<'_>, answer: &Expected) -> u32 {
    let rejected = answer.outcome == Outcome::Rejected;
    if answer.slot.is_some() || rejected && answer.pin_state == PinState::None {
        return 0;
    }
    let pin = match answer.source {
        _ if answer.pin_state == PinState::None => None,
        Source::Id => facts.ids.and_then(|ids| ids.account).map(|(pin, _)| pin),
        _ => facts.found.cookie.map(|cookie| cookie.pin),
    };
    let mut waits = Vec::new();
    for slot in facts.slots.iter().filter(|slot| !slot.is_vacant()) {
        let is_pin = pin == Some(slot.identity_hash());
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

/// Rules 1 to 8; `account` is the result of rule 0.
fn rule(facts: &Facts<'_>, account: Option<(u64, u8)>) -> Result<Expected, Error> {
    if facts.group == Group::Stateless {
        let id = random(facts.entropy)?;
        let answer = Expected { source: Source::Stateless, ..NOTHING };
        return Ok(unpinned(facts, &Key::Anonymous(&id), answer));
    }

    let (key, key_reason) = key(facts);
    let bad_key = !matches!(key_reason, KeyReason::Ok | KeyReason::Absent);
    if bad_key && facts.config.reject_bad_keys && account.is_none() {
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
    if let Some(account) = account {
        return named(facts, key.as_ref(), account, answer);
    }
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
    let place = slot_of(facts, cookie.pin);
    let pin_state = pin_state(facts, place, Some(used));
    let answer = Expected { pin_state, ..answer };

    let gets_cookies = key.is_none() || facts.config.keyed_cookies;
    let refresh = || match answer.verdict {
        Verdict::RefreshDue if gets_cookies => Ok(Write::Refresh(refreshed(facts, cookie)?)),
        _ => Ok(Write::Nothing),
    };

    let tried = place.is_some_and(|slot| facts.tried.contains(&slot));
    if !matches!(pin_state, PinState::Gone | PinState::Down) && !tried {
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
        let write = Write::Repin(Contents { pin, ..refreshed(facts, cookie)? });
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

/// Rule 3: the result of a request's cookies, from the verdict of each, in order.
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

/// Returns the `Max-Age` of a cookie that is written at `now`; 0 for none.
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

/// Returns the limits on a cookie's life, and its refresh interval by `docs/spec/cookie-format.md`.
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
