//! Gives one request to the library and to the model, and compares the answers.

use tokenpin::ids::Summary;
use tokenpin::{
    Affinity, Audience, Config, Cookie, Decision, Error, Group, IdVerdict, Key, KeyInput,
    KeyReason, KeyRing, Limits, MAX_KEY, Outcome, Pending, PinState, Policy, Refusal, Request,
    Role, Source, Verdict, cookie,
};

use crate::world::{self, finished, key, keys, name_of};
use tokenpin_test_support::decision::{self as model, Contents, Expected, Facts, Part};

/// The values of one key header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    Missing,
    Empty,
    Good,
    Untrusted,
    Several,
    TooLong,
}
pub use Values::{Empty, Good, Missing, Several, TooLong, Untrusted};

pub static LONG: [u8; MAX_KEY + 1] = [b'x'; MAX_KEY + 1];

impl Values {
    pub fn input(self, good: &'static [u8]) -> KeyInput<'static> {
        let input = |values: &[&'static [u8]]| KeyInput::new(values.iter().copied()).trusted(true);
        match self {
            Missing => input(&[]),
            Empty => input(&[b"", b""]),
            Good => input(&[b"", good, good]),
            Untrusted => input(&[good]).trusted(false),
            Several => input(&[good, b"", good, b"another"]),
            TooLong => input(&[&LONG]),
        }
    }

    pub fn part(self, good: &'static [u8]) -> Part<'static> {
        match self {
            Missing | Empty => Part::Absent,
            Good => Part::Usable(good),
            Untrusted => Part::Untrusted,
            Several => Part::Several,
            TooLong => Part::TooLong,
        }
    }
}

pub const CONSUMER: &[u8] = b"alice";
pub const SESSION: &[u8] = b"thread-7";

/// The values of the consumer and the session header.
pub type Headers = (Values, Values);

/// Returns the key that is used, by a shorter rule than the model's.
pub fn key_of((consumer, session): Headers, combine: bool) -> Option<Key<'static>> {
    match (consumer, session) {
        (Good, Good) if combine => Some(Key::Combined { consumer: CONSUMER, session: SESSION }),
        (Good, _) => Some(Key::Consumer(CONSUMER)),
        (_, Good) => Some(Key::Session(SESSION)),
        _ => None,
    }
}

pub const POLICIES: [Policy; 3] =
    [Policy::FailFast, Policy::FallbackAndUpdate, Policy::FallbackWithoutUpdate];
pub const SIGN: u8 = 1;
pub const RETIRE: u8 = 2;
pub const ACCEPT: u8 = 3;
pub const UNKNOWN: u8 = 9;
pub const MAX_LIFE: u32 = 30 * 86_400;
pub const MAX_IDLE: u32 = 86_400;
pub const SKEW: u32 = 300;

/// Returns the defaults, with limits under which every verdict can be reached.
pub fn base() -> Config<'static> {
    let ring = keys(&[(SIGN, Role::Sign), (RETIRE, Role::Retire), (ACCEPT, Role::Accept)]);
    let placement_key = world::config().placement_key;
    Config { max_idle: MAX_IDLE, ..Config::new(placement_key, ring) }
}

/// Makes cookies with any key regardless of its role, and opens the decisions' cookies.
pub struct Mint {
    single: Vec<(u8, KeyRing)>,
    /// The ring under test.
    pub ring: KeyRing,
}

/// Limits under which no fresh cookie is refused or due.
pub const NO_LIMITS: Limits =
    Limits { skew: u32::MAX, max_life: 0, max_idle: 0, refresh_interval: 0 };

impl Mint {
    pub fn new(config: &Config<'_>) -> Self {
        let single = |id| (id, KeyRing::new(&[key(id, Role::Sign)], None).unwrap());
        Self {
            single: [SIGN, RETIRE, ACCEPT, UNKNOWN].map(single).into(),
            ring: KeyRing::new(config.cookie_keys, None).unwrap(),
        }
    }

    pub fn sign(
        &self,
        signer: u8,
        audience: &Audience<'_>,
        key: &Key<'_>,
        cookie: &Cookie,
    ) -> Vec<u8> {
        let (_, ring) = self.single.iter().find(|(id, _)| *id == signer).unwrap();
        cookie::encode(ring, audience, key, cookie).unwrap().into()
    }
}

/// Every enum value that a decision showed.
#[derive(Default)]
pub struct Reached {
    cases: u64,
    pub impossible: u64,
    sources: [bool; Source::ALL.len()],
    outcomes: [bool; Outcome::ALL.len()],
    pin_states: [bool; PinState::ALL.len()],
    verdicts: [bool; Verdict::ALL.len()],
    key_reasons: [bool; KeyReason::ALL.len()],
    id_verdicts: [bool; IdVerdict::ALL.len()],
    refusals: [bool; Refusal::ALL.len()],
    /// True for each of nothing, refresh, re-pin and first cookie that was seen.
    writes: [bool; 4],
}

impl Reached {
    fn record(&mut self, expected: Result<Expected, Error>) {
        self.cases += 1;
        let Ok(expected) = expected else { return };
        self.sources[expected.source as usize] = true;
        self.outcomes[expected.outcome as usize] = true;
        self.pin_states[expected.pin_state as usize] = true;
        self.verdicts[expected.verdict as usize] = true;
        self.key_reasons[expected.key_reason as usize] = true;
        self.id_verdicts[expected.id_verdict as usize] = true;
        self.refusals[expected.refusal as usize] = true;
        let write = match expected.write {
            model::Write::Nothing => 0,
            model::Write::Refresh(_) => 1,
            model::Write::Repin(_) => 2,
            model::Write::Issue(_) => 3,
        };
        self.writes[write] = true;
    }

    /// Ends the cases. Everything was reached, except without ids the values that only ids lead to,
    /// and the number of cases did not shrink unnoticed.
    #[track_caller]
    pub fn finish(self, name: &str, at_least: u64, with_ids: bool) {
        println!("{name}: {} cases; {} combinations cannot exist", self.cases, self.impossible);
        assert!(self.cases >= at_least, "only {} cases", self.cases);
        let sources = self.sources.iter().zip(Source::ALL);
        let missing: Vec<_> = sources.filter(|(reached, _)| !**reached).map(|(_, it)| it).collect();
        assert_eq!(missing, if with_ids { vec![] } else { vec![&Source::Id] });
        assert!(!self.outcomes.contains(&false), "outcomes {:?}", self.outcomes);
        assert!(!self.pin_states.contains(&false), "pin states {:?}", self.pin_states);
        assert!(!self.writes.contains(&false), "writes {:?}", self.writes);
        if with_ids {
            assert!(!self.id_verdicts.contains(&false), "id verdicts {:?}", self.id_verdicts);
            assert!(!self.refusals.contains(&false), "refusals {:?}", self.refusals);
        }
    }

    /// Every value that cookies and keys can lead to was reached too.
    #[track_caller]
    pub fn every_client(self) -> Self {
        assert!(!self.verdicts.contains(&false), "verdicts {:?}", self.verdicts);
        assert!(!self.key_reasons.contains(&false), "key reasons {:?}", self.key_reasons);
        self
    }
}

/// One request in two forms: as the library reads it, and as the model does.
pub struct Case<'a> {
    pub affinity: &'a Affinity<'a>,
    pub mint: &'a Mint,
    pub headers: Headers,
    pub carrier_value: &'a [u8],
    /// `Cookie` fields.
    pub fields: &'a [&'a [u8]],
    /// The scope that the request brings.
    pub scope: &'a [u8],
    /// The summary of its ids.
    pub ids: Option<&'a Summary>,
    pub facts: Facts<'a>,
}

impl Case<'_> {
    pub fn check(&self, reached: &mut Reached) -> Result<(), String> {
        let given = &self.facts;
        // A request that names state is stateful.
        let group = if given.existing { Group::Stateful } else { given.group };
        let facts = &Facts { group, ..*given };
        let request = Request {
            group: Some(given.group),
            existing: facts.existing,
            consumer: self.headers.0.input(CONSUMER),
            session: self.headers.1.input(SESSION),
            carrier_value: self.carrier_value,
            carrier: facts.carrier,
            scope: self.scope,
            tried: facts.tried,
            now: facts.now,
            entropy: facts.entropy,
            id_hint: facts.id_hint,
            ids: self.ids,
            ..Request::default()
        };
        let expected = model::decide(facts);
        reached.record(expected);
        let got = self.affinity.decide(&request, self.fields.iter().copied());
        match (expected, got) {
            (Ok(expected), Ok(got)) => self.compare(&expected, &got),
            (Err(expected), Err(got)) if expected == got => Ok(()),
            (expected, got) => Err(format!("expected {expected:?}, got {got:?}")),
        }
        .map_err(|why| format!("{why}\nheaders {:?}, {facts:#?}", self.headers))
    }

    fn compare(&self, expected: &Expected, got: &Decision) -> Result<(), String> {
        let same = expected.agrees(got) && got.fingerprint == self.affinity.fingerprint();
        if !same {
            return Err(format!("expected {expected:?}\n     got {got:?}"));
        }
        let line = match (expected.write.contents(), &got.cookie) {
            (None, None) => None,
            (Some(contents), Some(pending)) => Some(self.line(contents, pending)?),
            (_, pending) => return Err(format!("expected {expected:?}, got {pending:?}")),
        };
        let answers = [200, 500].map(|status| finished(self.affinity, got, status));
        if answers != [line.clone(), None] {
            return Err(format!("expected {line:?} on success only, got {answers:?}"));
        }
        Ok(())
    }

    /// Checks a pending cookie, and returns the output that `finish` must give for it.
    fn line(&self, expected: Contents, pending: &Pending) -> Result<String, String> {
        let facts = &self.facts;
        let name = name_of(facts.config, self.scope);
        let audience = Audience { name: name.as_bytes(), scope: facts.scope };
        let key = key_of(self.headers, facts.config.combine_keys);
        let value = &pending.value;
        let opened =
            cookie::decode(&self.mint.ring, &audience, key.as_ref(), &NO_LIMITS, facts.now, value);
        let (verdict, cookie) = opened.unwrap();
        let contents = cookie.map(Contents::from);
        if (verdict, contents) != (Verdict::Valid, Some(expected)) {
            return Err(format!("expected {expected:?}, got {verdict:?} {contents:?}"));
        }
        let carrier = facts.carrier || !self.carrier_value.is_empty();
        let max_age = model::max_age(facts.config, facts.now, expected.issued_at);
        if (pending.max_age, pending.carrier) != (max_age, carrier) {
            return Err(format!("expected {max_age} {carrier}, got {pending:?}"));
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (name, value) = (text(name.as_bytes()), text(value));
        if carrier {
            return Ok(value);
        }
        let age = if max_age == 0 { String::new() } else { format!(" Max-Age={max_age};") };
        Ok(format!("{name}={value}; Path=/;{age} Secure; HttpOnly; SameSite=Lax"))
    }
}
