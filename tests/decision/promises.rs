//! The promises of sealed ids, without a model: over random fleets and requests, and in sessions
//! with a provider that keeps its objects in accounts.

use std::collections::HashMap;

use serde_json::Value as Json;
use tokenpin::ids::{Ids, Mode, Opener, Opening, Origin, Sealer, Sealing, Summary};
use tokenpin::{
    Affinity, Config, Cookie, CookieKey, Decision, IdConfig, Key, Outcome, PinState, Policy,
    Refusal, Request, Role, SlotStatus, Source, State, identity_hash,
};

use tokenpin_test_support::random::Random;

use crate::world::{
    DOWN, DRAINING, NOW, affinity, config, consumer, create, finished, keys, pair, pending, seal,
    sign, slots, summary_of, young,
};

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[usize::try_from(random.below(from.len() as u64)).unwrap()]
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const STATUSES: [SlotStatus; 5] = [
    SlotStatus::UP,
    SlotStatus { weight: 9_000, ..SlotStatus::UP },
    SlotStatus { weight: 0, ..SlotStatus::UP },
    DRAINING,
    DOWN,
];
const RINGS: [&[(u8, Role)]; 3] = [
    &[(1, Role::Sign), (2, Role::Accept)],
    &[(1, Role::Accept), (2, Role::Sign)],
    &[(1, Role::Retire), (2, Role::Sign)],
];

fn any_config(random: &mut Random, mode: Mode) -> Config<'static> {
    Config {
        ids: IdConfig { mode, ..config().ids },
        cookie_keys: keys(pick(random, &RINGS)),
        policy_existing: pick(random, Policy::ALL),
        policy_new: pick(random, Policy::ALL),
        keyed_cookies: random.below(2) == 0,
        reject_bad_keys: random.below(2) == 0,
        combine_keys: random.below(2) == 0,
        ..config()
    }
}

/// Returns the parts that two decisions on one request must share.
fn course(decision: &Decision) -> (Option<u32>, Outcome, PinState, bool, [u8; 2]) {
    (decision.slot, decision.outcome, decision.pin_state, decision.existing, decision.id_keys)
}

/// One random request to a random fleet, with an id.
struct Draw {
    list: Vec<(&'static str, SlotStatus)>,
    /// The account of the id.
    account: &'static str,
    /// True for history, without an id that names state.
    soft: bool,
    api: Ids,
    tried: Vec<u32>,
    keyed: bool,
    /// The account of the cookie, and whether it is due.
    cookie: Option<(&'static str, bool)>,
}

impl Draw {
    fn new(random: &mut Random) -> Self {
        let count = 1 + random.below(5);
        let mut list: Vec<_> = NAMES[..usize::try_from(count).unwrap()]
            .iter()
            .map(|&name| {
                let name = if random.below(6) == 0 { "-" } else { name };
                (name, pick(random, &STATUSES))
            })
            .collect();
        if random.below(2) == 0 {
            list.reverse();
        }
        let tried = if random.below(3) == 0 { random.below(count) + 1 } else { 0 };
        Self {
            account: pick(random, &NAMES),
            soft: random.below(3) == 0,
            api: pick(random, &[Ids::Open, Ids::Both, Ids::Items]),
            tried: (0..tried).map(|_| u32::try_from(random.below(count)).unwrap()).collect(),
            keyed: random.below(2) == 0,
            cookie: (random.below(2) == 0).then(|| (pick(random, &NAMES), random.below(2) == 0)),
            list,
        }
    }

    fn known(&self, account: &str) -> bool {
        self.list.iter().any(|(name, _)| *name == account)
    }

    fn key(&self) -> Option<Key<'static>> {
        self.keyed.then_some(Key::Consumer(b"alice"))
    }

    fn field(&self) -> Vec<u8> {
        let Some((account, due)) = self.cookie else { return Vec::new() };
        // A cookie is due if its key's role is retire. Otherwise it is left alone.
        let id = if due { 1 } else { 2 };
        let signer = Config { cookie_keys: keys(&[(id, Role::Sign)]), ..config() };
        let kind = self.key().map_or(young(account).kind, |key| key.kind());
        let cookie = Cookie { kind, ..young(account) };
        pair(&signer, &sign(&signer, self.key().as_ref(), &cookie))
    }

    fn decide(&self, affinity: &Affinity<'_>) -> Decision {
        let id = seal(affinity, "resp_1", identity_hash(self.account.as_bytes()));
        let body = if self.soft {
            format!(r#"{{"input":[{{"id":"{id}","content":"x"}}]}}"#)
        } else {
            format!(r#"{{"previous_response_id":"{id}"}}"#)
        };
        let ids = summary_of(affinity, self.api, &body);
        let request = Request { tried: &self.tried, ids: Some(&ids), ..create() };
        let request =
            if self.keyed { Request { consumer: consumer("alice"), ..request } } else { request };
        affinity.decide(&request, [&self.field()[..]]).unwrap()
    }
}

#[test]
fn a_request_that_names_an_account_is_never_sent_to_another_and_its_cookie_never_follows() {
    let test = "a_request_that_names_an_account_is_never_sent_to_another";
    let mut random = Random::new(test);
    let mut seen = [0_u32; 6];
    for _ in 0..40_000 {
        let draw = Draw::new(&mut random);
        if draw.soft && !draw.known(draw.account) {
            continue;
        }
        let mode = pick(&mut random, &[Mode::Open, Mode::Seal, Mode::Strict]);
        let config = any_config(&mut random, mode);
        let affinity = affinity(&config, slots(&draw.list));
        let decision = draw.decide(&affinity);
        assert_eq!(decision.source, Source::Id);
        let place = affinity.find(draw.account.as_bytes());
        let status = place.map(|slot| affinity.get_slot(slot).unwrap());
        let serves = status.is_some_and(|status| status.state_at(NOW) != State::Down)
            && !place.is_some_and(|slot| draw.tried.contains(&slot));
        assert_eq!(decision.slot, place.filter(|_| serves), "{:?}", draw.list);
        assert!(!decision.may_move);
        if !serves {
            assert_eq!((decision.outcome, decision.cookie), (Outcome::Rejected, None));
            let gone = place.is_none();
            let expected =
                if gone { Refusal::PreviousResponseNotFound } else { Refusal::SessionUnavailable };
            assert_eq!(decision.refusal(), expected);
            seen[usize::from(!gone)] += 1;
        }
        // A session's cookie keeps its pin, unless that account can never come back.
        if decision.cookie.is_some() {
            let back = pending(&config, draw.key().as_ref(), &decision);
            let old = draw.cookie.map(|(account, _)| account);
            let (expected, what) = match old {
                None => (draw.account, 2),
                Some(old) if draw.known(old) => (old, 3),
                Some(old) if !draw.soft => (old, 4),
                Some(_) => (draw.account, 5),
            };
            assert_eq!(back.pin, identity_hash(expected.as_bytes()));
            assert!(draw.key().is_none() || config.keyed_cookies);
            seen[what] += 1;
        }
    }
    println!("{seen:?}");
    assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
}

#[test]
fn replicas_with_equal_views_agree_in_every_mode_policy_and_step_of_a_rotation() {
    let mut random = Random::new("replicas_with_equal_views_agree_in_every_mode");
    for _ in 0..10_000 {
        let draw = Draw::new(&mut random);
        if draw.soft && !draw.known(draw.account) {
            continue;
        }
        let list = slots(&draw.list);
        let decisions = [Mode::Open, Mode::Seal, Mode::Strict].map(|mode| {
            let affinity = affinity(&any_config(&mut random, mode), list);
            (affinity.fingerprint(), draw.decide(&affinity))
        });
        for (_, decision) in &decisions[1..] {
            assert_eq!(course(decision), course(&decisions[0].1), "{:?}", draw.list);
        }
    }
}

#[test]
fn an_outage_of_others_changes_nothing_and_that_of_its_own_account_passes() {
    let mut random = Random::new("an_outage_of_others_changes_nothing");
    for _ in 0..10_000 {
        let draw = Draw::new(&mut random);
        if !draw.known(draw.account) {
            continue;
        }
        let affinity = affinity(&any_config(&mut random, Mode::Seal), slots(&draw.list));
        let before = draw.decide(&affinity);
        let own = affinity.find(draw.account.as_bytes()).unwrap();
        let held: Vec<_> = (0..draw.list.len())
            .map(|slot| u32::try_from(slot).unwrap())
            .filter(|&slot| affinity.get_slot(slot).unwrap().state != State::Vacant)
            .collect();
        for &slot in held.iter().filter(|&&slot| slot != own) {
            affinity.set_slot(slot, pick(&mut random, &STATUSES)).unwrap();
            let now = draw.decide(&affinity);
            assert_eq!((now.slot, now.outcome), (before.slot, before.outcome));
        }
        let status = affinity.get_slot(own).unwrap();
        affinity.set_slot(own, DOWN).unwrap();
        let down = draw.decide(&affinity);
        assert_eq!((down.slot, down.outcome, down.cookie), (None, Outcome::Rejected, None));
        affinity.set_slot(own, status).unwrap();
        assert_eq!(draw.decide(&affinity).slot, before.slot);
    }
}

// Sessions

/// The accounts of a provider, and the objects in each.
#[derive(Default)]
struct Provider {
    objects: HashMap<String, u64>,
}

impl Provider {
    /// Returns an account's answer: a new response, or none if it does not know the object that the
    /// body names.
    fn answer(&mut self, account: u64, body: &[u8]) -> Option<String> {
        let body: Json = serde_json::from_slice(body).unwrap();
        for key in ["previous_response_id", "conversation", "file_id"] {
            if let Some(id) = body[key].as_str()
                && self.objects.get(id) != Some(&account)
            {
                return None;
            }
        }
        let id = format!("resp_{:048x}", self.objects.len());
        self.objects.insert(id.clone(), account);
        Some(format!(r#"{{"id":"{id}","object":"response","output":[]}}"#))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// Served by the account with this pin.
    Served(u64),
    /// The token reports that it is too busy, and has done nothing.
    Busy,
    Refused(Refusal),
    /// The account does not know the object that the request names.
    Lost,
}

#[derive(Default)]
struct Session {
    consumer: Option<String>,
    keeps_cookies: bool,
    jar: Vec<u8>,
    /// The id that it received last, and the account of the object.
    last: Option<(String, u64)>,
}

impl Session {
    fn body(&self, follows: bool) -> String {
        match &self.last {
            Some((id, _)) if follows => {
                format!(r#"{{"model":"m","input":"x","previous_response_id":"{id}"}}"#)
            }
            _ => r#"{"model":"m","input":"x"}"#.into(),
        }
    }

    /// Sends one request through a gateway that retries requests that may move. One token in `busy`
    /// is busy.
    fn send(
        &mut self,
        affinity: &Affinity<'_>,
        provider: &mut Provider,
        follows: bool,
        (random, busy): (&mut Random, u64),
    ) -> (Course, usize) {
        let rules = affinity.id_rules(b"", b"", None).unwrap();
        let class = affinity.classify(b"POST", b"/v1/responses");
        let opening = Opening { rules: &rules, known: &|pin| affinity.knows(pin) };
        let mut ids = Summary::new();
        let mut target = b"/v1/responses".to_vec();
        opening.open_target(class.ids, &mut ids, &mut target);
        let mut body = self.body(follows).into_bytes();
        let len = Opener::new(class.ids).open_in_place(&opening, &mut ids, &mut body);
        body.truncate(len);
        let mut tried = Vec::new();
        loop {
            let request = Request {
                group: None,
                method: b"POST",
                target: b"/v1/responses",
                tried: &tried,
                ids: Some(&ids),
                entropy: random.bytes(),
                ..create()
            };
            let request = match &self.consumer {
                Some(name) => Request { consumer: consumer(name), ..request },
                None => request,
            };
            let decision = affinity.decide(&request, [&self.jar[..]]).unwrap();
            let Some(slot) = decision.slot else {
                return (Course::Refused(decision.refusal()), tried.len());
            };
            if random.below(busy) == 0 {
                if decision.may_move {
                    tried.push(slot);
                    continue;
                }
                return (Course::Busy, tried.len());
            }
            let pin = affinity.pin(slot).unwrap();
            let Some(answer) = provider.answer(pin, &body) else {
                return (Course::Lost, tried.len());
            };
            let sealing =
                Sealing { rules: &rules, pin, echo: &ids.echo, origin: None::<Origin<'_>> };
            let (mut sealer, mut out) = (Sealer::json(class.ids), Vec::new());
            sealer.push(&sealing, answer.as_bytes(), |part| out.extend_from_slice(part));
            out.extend_from_slice(sealer.finish(&sealing));
            let answer: Json = serde_json::from_slice(&out).unwrap();
            self.last = Some((answer["id"].as_str().unwrap().to_owned(), pin));
            if let Some(line) = finished(affinity, &decision, 200)
                && self.keeps_cookies
            {
                self.jar = line.split(';').next().unwrap().as_bytes().to_vec();
            }
            return (Course::Served(pin), tried.len());
        }
    }
}

/// A gateway that grows and changes.
struct Fleet {
    config: Config<'static>,
    list: Vec<(&'static str, SlotStatus)>,
    affinity: Affinity<'static>,
}

impl Fleet {
    fn new(config: Config<'static>) -> Self {
        let list: Vec<_> = NAMES[..3].iter().map(|&name| (name, SlotStatus::UP)).collect();
        let affinity = affinity(&config, slots(&list));
        Self { config, list, affinity }
    }

    fn rebuild(&mut self) {
        self.affinity = affinity(&self.config, slots(&self.list));
    }

    /// Changes the fleet in a random way. The mode stays within `modes`.
    fn change(&mut self, random: &mut Random, modes: &[Mode]) {
        match random.below(12) {
            0 if self.list.len() < NAMES.len() => {
                // In front or behind, into the list or as a separate slot.
                let at = pick(random, &[0, self.list.len()]);
                let name = NAMES[self.list.len()];
                self.list.insert(at, (name, SlotStatus::UP));
            }
            1 => self.list.rotate_left(1),
            2 => self.config.ids.mode = pick(random, modes),
            3 => self.config.cookie_keys = keys(pick(random, &RINGS)),
            4 => self.config.policy_new = pick(random, Policy::ALL),
            5 => self.config.policy_existing = pick(random, Policy::ALL),
            6 => self.config.placement_key = tokenpin::Secret::new([pick(random, &[7, 8]); 16]),
            _ => {
                let at = usize::try_from(random.below(self.list.len() as u64)).unwrap();
                self.list[at].1 = pick(random, &STATUSES);
                let slot = u32::try_from(at).unwrap();
                return self.affinity.set_slot(slot, self.list[at].1).unwrap();
            }
        }
        self.rebuild();
    }

    fn is_down(&self, pin: u64) -> bool {
        let account = self.list.iter().find(|(name, _)| identity_hash(name.as_bytes()) == pin);
        account.is_some_and(|(_, status)| status.state == State::Down)
    }
}

/// The number of follow-ups that were served, busy, refused while their account is down, and lost.
/// And the number of creations that a retry moved.
#[derive(Debug, Default)]
struct Tally {
    served: u32,
    busy: u32,
    refused: u32,
    lost: u32,
    moved: u32,
}

/// Runs sessions of one sort while the fleet changes.
fn live(test: &str, modes: &[Mode], session: impl Fn(u64) -> Session) -> Tally {
    let mut random = Random::new(test);
    let mut tally = Tally::default();
    for round in 0..60 {
        let keys: &'static [CookieKey] = keys(RINGS[0]);
        let ids = IdConfig { mode: modes[0], ..config().ids };
        let mut fleet = Fleet::new(Config { ids, cookie_keys: keys, ..config() });
        let mut provider = Provider::default();
        let mut sessions: Vec<Session> =
            (0..20).map(|number| session(round << 8 | number)).collect();
        for _ in 0..60 {
            fleet.change(&mut random, modes);
            for session in &mut sessions {
                let follows = session.last.is_some() && random.below(4) != 0;
                let before = session.last.clone();
                let with = (&mut random, 4);
                let (course, tries) = session.send(&fleet.affinity, &mut provider, follows, with);
                let Some((_, account)) = before.filter(|_| follows) else {
                    assert!(!matches!(course, Course::Lost), "it names nothing");
                    tally.moved += u32::from(tries > 0 && matches!(course, Course::Served(_)));
                    continue;
                };
                match course {
                    Course::Served(pin) => {
                        assert_eq!(pin, account);
                        tally.served += 1;
                    }
                    Course::Busy => tally.busy += 1,
                    Course::Refused(_) if fleet.is_down(account) => tally.refused += 1,
                    Course::Refused(_) | Course::Lost => tally.lost += 1,
                }
            }
        }
    }
    println!("{test}: {tally:?}");
    tally
}

fn bare(_: u64) -> Session {
    Session::default()
}

fn named(number: u64) -> Session {
    Session { consumer: Some(format!("consumer-{number}")), ..Session::default() }
}

fn with_a_jar(session: Session) -> Session {
    Session { keeps_cookies: true, ..session }
}

#[test]
fn no_client_loses_a_follow_up_where_ids_are_sealed_whatever_it_keeps() {
    let sealed = [Mode::Seal, Mode::Strict];
    for (sort, tally) in [
        ("neither", live("sealed: neither cookie nor key", &sealed, bare)),
        ("key", live("sealed: a key", &sealed, named)),
        ("cookie", live("sealed: a cookie", &sealed, |number| with_a_jar(bare(number)))),
        ("both", live("sealed: both", &sealed, |number| with_a_jar(named(number)))),
    ] {
        assert_eq!(tally.lost, 0, "{sort}");
        assert!(tally.served > 10_000 && tally.refused > 1_000, "{sort}: {tally:?}");
        // Moved creations are among those found again.
        assert!(tally.moved > 100, "{sort}: {tally:?}");
    }
}

/// Runs the same sessions without sealing, to show that the test can fail.
#[test]
fn without_sealed_ids_a_client_that_keeps_nothing_loses_most() {
    for modes in [[Mode::Off], [Mode::Open]] {
        let tally = live("plain: neither cookie nor key", &modes, bare);
        assert!(tally.lost > tally.served, "{tally:?}");
        assert_eq!(tally.moved, 0, "and no retry moves what it creates");
    }
}
