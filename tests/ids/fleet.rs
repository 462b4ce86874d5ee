//! Replicas, modes, keys and gateways that disagree, in front of a provider with two accounts.

use std::cell::RefCell;
use std::collections::BTreeMap;

use tokenpin::ids::{Ids, Mode, Opener, Opening, Rules, Sealer, Sealing, Summary};
use tokenpin::{IdRing, IdSealer, IdVerdict, Role};
use tokenpin_test_support::random::Random;
use tokenpin_test_support::sample::{cases, sample};

use crate::bodies::{known, sealed};
use crate::docs::pick;
use crate::world::{key, pin};

const ACCOUNTS: [&str; 2] = ["a", "b"];

#[derive(Debug, PartialEq)]
enum Failure {
    /// Refused by the gateway.
    Refused(IdVerdict),
    /// Refused by the provider: the account has no such object.
    Missing,
}

type Answer = Result<String, Failure>;

/// The upstream of a gateway: the provider, or another gateway.
trait Upstream {
    fn ask(&self, account: &str, target: &str, body: &str) -> Answer;
}

/// The objects, and the account of each.
#[derive(Default)]
struct Provider(RefCell<BTreeMap<String, String>>);

impl Upstream for Provider {
    /// Answers a request: a POST with a body creates, a GET of an id reads, and a GET without an id
    /// lists.
    fn ask(&self, account: &str, target: &str, body: &str) -> Answer {
        let mut objects = self.0.borrow_mut();
        let read = target.strip_prefix("/v1/responses/");
        let previous = body
            .strip_prefix("{\"previous_response_id\":\"")
            .and_then(|rest| rest.strip_suffix("\"}"));
        for id in read.iter().chain(&previous) {
            if objects.get(*id).is_none_or(|of| of != account) {
                return Err(Failure::Missing);
            }
        }
        if let Some(id) = read {
            return Ok(format!(r#"{{"id":"{id}","text":"{id}"}}"#));
        }
        if body.is_empty() {
            let own = objects.iter().filter(|(_, of)| *of == account);
            let rows: Vec<_> = own.map(|(id, _)| format!(r#"{{"id":"{id}"}}"#)).collect();
            return Ok(format!(r#"{{"data":[{}]}}"#, rows.join(",")));
        }
        let id = format!("resp_{:048x}", objects.len() + 1);
        objects.insert(id.clone(), account.to_owned());
        let previous = previous.map_or("null".into(), |id| format!("\"{id}\""));
        Ok(format!(r#"{{"id":"{id}","previous_response_id":{previous}}}"#))
    }
}

/// One replica. `session` is the account that it selects if no id names one.
struct Gateway<'a> {
    rules: Rules<'a>,
    upstream: &'a dyn Upstream,
}

impl Upstream for Gateway<'_> {
    fn ask(&self, session: &str, target: &str, body: &str) -> Answer {
        let (mut summary, mut target) = (Summary::new(), target.as_bytes().to_vec());
        let with = Opening { rules: &self.rules, known: &known };
        let len = with.open_target(Ids::Items, &mut summary, &mut target);
        let mut body = body.as_bytes().to_vec();
        let body_len = Opener::new(Ids::Items).open_in_place(&with, &mut summary, &mut body);
        if summary.refused {
            return Err(Failure::Refused(summary.verdict));
        }
        let named = summary.account().and_then(|(at, _)| ACCOUNTS.iter().find(|it| pin(it) == at));
        let account = named.copied().unwrap_or(session);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let answer = self.upstream.ask(account, &text(&target[..len]), &text(&body[..body_len]))?;
        let with =
            Sealing { rules: &self.rules, pin: pin(account), echo: &summary.echo, origin: None };
        // As a document and as an event: both give the same ids.
        let document = sealed(&mut Sealer::json(Ids::Items), &with, &[answer.as_bytes()]);
        let event = format!("data: {answer}\n\n");
        let event = sealed(&mut Sealer::events(Ids::Items), &with, &[event.as_bytes()]);
        assert_eq!(event, [b"data: ", &document[..], b"\n\n"].concat());
        Ok(text(&document))
    }
}

impl Gateway<'_> {
    fn create(&self, session: &str) -> String {
        id_of(&self.ask(session, "/v1/responses", "{}").unwrap())
    }

    /// Returns the response that a polling client sees.
    fn poll(&self, session: &str, id: &str) -> Result<String, Failure> {
        self.ask(session, &format!("/v1/responses/{id}"), "").map(|answer| id_of(&answer))
    }

    /// Continues from a response: returns the id of the next one, and the id by which the answer
    /// refers to the last one.
    fn go_on(&self, session: &str, id: &str) -> Result<(String, String), Failure> {
        let body = format!(r#"{{"previous_response_id":"{id}"}}"#);
        let answer = self.ask(session, "/v1/responses", &body)?;
        let (_, previous) = answer.split_once("previous_response_id\":\"").unwrap();
        Ok((id_of(&answer), previous.trim_end_matches("\"}").to_owned()))
    }

    fn list(&self, session: &str) -> Vec<String> {
        let answer = self.ask(session, "/v1/responses", "").unwrap();
        answer.split("{\"id\":\"").skip(1).map(|row| row[..row.find('"').unwrap()].into()).collect()
    }
}

fn id_of(answer: &str) -> String {
    let (_, rest) = answer.split_once("\"id\":\"").unwrap();
    rest[..rest.find('"').unwrap()].to_owned()
}

fn ring_signing_with(signer: u8) -> IdRing {
    let role = |id| if id == signer { Role::Sign } else { Role::Accept };
    IdRing::new(&[1, 2].map(|id| key(id, role(id))), None).unwrap()
}

fn rules<'a>(ring: &'a IdRing, scope: &'a [u8], mode: Mode) -> Rules<'a> {
    Rules::new(IdSealer::new(ring, scope, b"").unwrap(), mode)
}

fn is_sealed(id: &str) -> bool {
    id.ends_with("tp1") || id.ends_with("tp0")
}

/// One replica issues an id, and another is asked for it, in every pair of modes.
#[test]
fn replicas_in_every_pair_of_modes() {
    let ring = ring_signing_with(1);
    let provider = Provider::default();
    let replica = |mode| Gateway { rules: rules(&ring, b"", mode), upstream: &provider };
    for made_in in sample(2, Mode::ALL) {
        for asked_in in sample(3, Mode::ALL) {
            let (maker, asked) = (replica(*made_in), replica(*asked_in));
            let id = maker.create("a");
            assert_eq!(is_sealed(&id), matches!(made_in, Mode::Seal | Mode::Strict));
            for session in ACCOUNTS {
                let (poll, next) = (asked.poll(session, &id), asked.go_on(session, &id));
                let shown = format!("{made_in:?} {asked_in:?} {session}: {poll:?} {next:?}");
                match (is_sealed(&id), asked_in) {
                    // It is not opened, so the gateway cannot return to `off`.
                    (true, Mode::Off) => {
                        assert_eq!(poll, Err(Failure::Missing), "{shown}");
                        assert_eq!(next, Err(Failure::Missing), "{shown}");
                    }
                    // Regardless of the account that the session would have.
                    (true, _) => {
                        assert_eq!(poll.as_ref(), Ok(&id), "{shown}");
                        let (next, last) = next.unwrap();
                        assert_eq!(last, id, "{shown}");
                        assert_eq!(is_sealed(&next), *asked_in != Mode::Open, "{shown}");
                        // And again, by the id in the answer.
                        assert_eq!(maker.poll(session, &last), Ok(last), "{shown}");
                    }
                    (false, Mode::Strict) => {
                        assert_eq!(poll, Err(Failure::Refused(IdVerdict::Plain)), "{shown}");
                        assert_eq!(next, Err(Failure::Refused(IdVerdict::Plain)), "{shown}");
                    }
                    (false, _) if session == "a" => {
                        assert_eq!(poll.as_ref(), Ok(&id), "{shown}");
                        let (next, last) = next.unwrap();
                        assert_eq!(last, id, "{shown}");
                        assert_eq!(is_sealed(&next), *asked_in == Mode::Seal, "{shown}");
                    }
                    (false, _) => assert_eq!(poll, Err(Failure::Missing), "{shown}"),
                }
            }
        }
    }
}

/// Replicas take the next mode one by one, while clients poll and continue on any of them. No
/// client sees its id change, and no sealed id fails.
#[test]
fn a_roll_out_and_a_rollback_under_clients_that_poll() {
    const REPLICAS: usize = 3;
    let ring = ring_signing_with(1);
    let mut random = Random::new("a roll-out");
    let provider = Provider::default();
    let mut modes = [Mode::Off; REPLICAS];
    // The session's account, and the id as this client has it.
    let mut clients: Vec<(&str, String)> = Vec::new();
    let (mut polls, mut refused) = (0, 0);
    for next in [Mode::Off, Mode::Open, Mode::Seal, Mode::Strict, Mode::Open, Mode::Seal] {
        for i in 0..REPLICAS {
            modes[i] = next;
            for _ in 0..cases(40, 1) {
                let mode = pick(&mut random, &modes);
                let gateway = Gateway { rules: rules(&ring, b"", mode), upstream: &provider };
                let session = pick(&mut random, &ACCOUNTS);
                clients.push((session, gateway.create(session)));
                for _ in 0..cases(5, 1) {
                    let at = usize::try_from(random.below(clients.len() as u64)).unwrap();
                    let (session, id) = clients[at].clone();
                    // A cookie is lost now and then. A sealed id works without it.
                    let session =
                        if is_sealed(&id) { pick(&mut random, &ACCOUNTS) } else { session };
                    let mode = pick(&mut random, &modes);
                    let gateway = Gateway { rules: rules(&ring, b"", mode), upstream: &provider };
                    match gateway.poll(session, &id) {
                        Ok(seen) => assert_eq!(seen, id, "in {mode:?}"),
                        Err(Failure::Refused(IdVerdict::Plain)) => {
                            assert!(mode == Mode::Strict && !is_sealed(&id));
                            refused += 1;
                            continue;
                        }
                        Err(failure) => panic!("{id} in {mode:?}: {failure:?}"),
                    }
                    polls += 1;
                    if random.below(3) == 0 {
                        let (next, last) = gateway.go_on(session, &id).unwrap();
                        assert_eq!(last, id);
                        clients[at].1 = next;
                    }
                }
            }
        }
        // A client that lists all before `strict` has a seal of each.
        if modes == [Mode::Seal; REPLICAS] {
            let gateway = Gateway { rules: rules(&ring, b"", Mode::Seal), upstream: &provider };
            let strict = Gateway { rules: rules(&ring, b"", Mode::Strict), upstream: &provider };
            for session in ACCOUNTS {
                let listed = gateway.list(session);
                assert!(listed.iter().all(|id| is_sealed(id)));
                assert!(listed.iter().all(|id| strict.poll("a", id).as_ref() == Ok(id)));
            }
        }
    }
    assert!(polls > cases(2000, 8) && refused > cases(100, 0), "{polls} {refused}");
}

/// With a new key, listed ids look different. A client's own ids stay valid, and keep their form
/// for this client, as long as the old key is in the ring.
#[test]
fn rotating_the_keys_changes_what_is_listed_and_nothing_that_is_held() {
    let provider = Provider::default();
    let (old_ring, new_ring) = (ring_signing_with(1), ring_signing_with(2));
    let only_new = IdRing::new(&[key(2, Role::Sign)], None).unwrap();
    let with = |ring, mode| Gateway { rules: rules(ring, b"", mode), upstream: &provider };
    for mode in sample(1, [Mode::Open, Mode::Seal, Mode::Strict]) {
        let (old, new) = (with(&old_ring, mode), with(&new_ring, mode));
        let id = with(&old_ring, Mode::Seal).create("a");
        // While replicas take the key, both are asked.
        for gateway in [&new, &old, &new] {
            assert_eq!(gateway.poll("b", &id).as_ref(), Ok(&id));
            assert_eq!(gateway.go_on("b", &id).unwrap().1, id);
        }
        let (before, after) = (old.list("a"), new.list("a"));
        assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before == after, mode == Mode::Open, "there, lists are plain");
            if mode == Mode::Open {
                continue;
            }
            // Both name the same object, on every replica.
            for gateway in [&old, &new] {
                assert_eq!(gateway.poll("b", before).as_ref(), Ok(before));
                assert_eq!(gateway.poll("b", after).as_ref(), Ok(after));
            }
        }
        let gone = with(&only_new, mode).poll("a", &id);
        let unknown = Failure::Refused(IdVerdict::UnknownKey);
        assert_eq!(gone, Err(if mode == Mode::Open { Failure::Missing } else { unknown }));
    }
}

/// Two gateways, one behind the other.
#[test]
fn two_gateways_in_a_row_need_other_keys_or_other_scopes() {
    let ring = ring_signing_with(1);
    let other = IdRing::new(&[key(9, Role::Sign)], None).unwrap();
    for (outer_ring, scope) in [(&other, &b""[..]), (&ring, b"outer"), (&other, b"outer")] {
        for outer_mode in sample(1, [Mode::Seal, Mode::Strict]) {
            for inner_mode in sample(1, Mode::ALL) {
                let provider = Provider::default();
                let inner = Gateway { rules: rules(&ring, b"", *inner_mode), upstream: &provider };
                let outer =
                    Gateway { rules: rules(outer_ring, scope, outer_mode), upstream: &inner };
                let id = outer.create("a");
                let inside = inner.list("a")[0].clone();
                assert_eq!(id.len() - inside.len(), if is_sealed(&inside) { 26 } else { 10 });
                for session in ACCOUNTS {
                    assert_eq!(outer.poll(session, &id).as_ref(), Ok(&id));
                    let (next, last) = outer.go_on(session, &id).unwrap();
                    assert_eq!(last, id);
                    assert_eq!(outer.poll(session, &next), Ok(next));
                }
                // The outer gateway takes the ids that the inner one seals for foreign ones.
                if is_sealed(&inside) {
                    assert!(matches!(outer.poll("a", &inside), Err(Failure::Refused(_))));
                }
            }
        }
    }
    // With the same ring and scope, the outer one takes the inner one's seal for its own and
    // removes it. The inner one receives a native id, which it never issued, and only has the
    // session's account.
    for (inner_mode, session, answer) in [
        (Mode::Seal, "a", Ok(())),
        (Mode::Seal, "b", Ok(())),
        (Mode::Strict, "a", Err(Failure::Refused(IdVerdict::Plain))),
    ] {
        let provider = Provider::default();
        let inner = Gateway { rules: rules(&ring, b"", inner_mode), upstream: &provider };
        let outer = Gateway { rules: rules(&ring, b"", Mode::Seal), upstream: &inner };
        let id = outer.create("a");
        assert_eq!(
            inner.list("a"),
            std::slice::from_ref(&id),
            "sealed twice, it is as sealed once"
        );
        assert_eq!(outer.poll(session, &id), answer.map(|()| id));
    }
}

/// Both know the account under different identities: the outer one seals again, and removes only
/// its own seal.
#[test]
fn two_gateways_with_the_same_ring_and_other_accounts_seal_twice() {
    let ring = ring_signing_with(1);
    let sealer = IdSealer::new(&ring, b"", b"").unwrap();
    let inside = sealer.seal(b"resp_1", pin("inner account")).unwrap();
    let outside = sealer.seal(inside.as_bytes(), pin("a")).unwrap();
    assert_eq!(outside.as_bytes().len(), inside.as_bytes().len() + 26);
    let (verdict, opened) = sealer.open(outside.as_bytes());
    let opened = opened.unwrap();
    assert_eq!((verdict, opened.pin), (IdVerdict::Sealed, pin("a")));
    assert_eq!(opened.native(), inside.as_bytes());
}
