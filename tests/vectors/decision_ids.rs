//! Decisions on requests with ids: the target and the body of the client, those for the upstream,
//! the summary, and the decision.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};
use tokenpin::ids::ForeignSeals::{Auto, Plain, Refuse};
use tokenpin::ids::{Fields, IdKey, KeyKind, Mode, Opener, Opening, Rules, Summary};
use tokenpin::{
    Affinity, CookieKey, Decision, Group, IdConfig, IdOwner, IdRing, IdSealer, IdVerdict, Key,
    KeyInput, Outcome, Refusal, Request, Role, Slot, Source, identity_hash,
};
use tokenpin_test_support::hex;
use tokenpin_test_support::sample::{SAMPLED, cases, sample};

use crate::bodies::summary_json;
use crate::{
    NOW, Numbers, Setup, case, compare, config_json, cookie_key, decision_json, error_name,
    finish_json, hex64, setup, some_cookie, text,
};

const DRAWN: u64 = cases(600, 12) as u64;
const SETUPS: u64 = 60;

fn setup_with_ids(numbers: &mut Numbers, number: u64) -> Setup {
    static OWN: std::sync::LazyLock<[CookieKey; 3]> = std::sync::LazyLock::new(|| {
        [cookie_key(30, Role::Accept), cookie_key(7, Role::Sign), cookie_key(31, Role::Retire)]
    });
    const KEYS: &[IdKey<'static>] = &[
        IdKey { name: b"thing", kind: KeyKind::Id },
        IdKey { name: b"things", kind: KeyKind::Ids },
        IdKey { name: b"cursor", kind: KeyKind::Query },
        IdKey { name: b"opaque_thing", kind: KeyKind::Opaque },
    ];
    const FIELDS: Fields<'static> =
        Fields { keys: KEYS, prefixes: &[b"thing_", b"x"], collections: &[b"things"] };
    let Setup { mut config, slots, json } = setup(numbers, number);
    config.ids = IdConfig {
        mode: Mode::ALL[usize::try_from(number).unwrap() % Mode::ALL.len()],
        keys: numbers.pick(&[&[][..], &OWN[..]]),
        owner: numbers.pick(&[IdOwner::None, IdOwner::None, IdOwner::Consumer]),
        foreign: numbers.pick(&[Auto, Auto, Auto, Auto, Refuse, Plain]),
        encrypted: numbers.below(8) != 0,
        fields: numbers.pick(&[Fields::NONE, Fields::NONE, FIELDS]),
    };
    let json = config_json(&config, json["slots"].as_array().unwrap());
    Setup { config, slots, json }
}

/// Native ids of all forms.
const NATIVES: [&str; 7] = [
    "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41",
    "conv_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41",
    "batch_0494a322-8b14-42a0-be43-71fc2ddb9af2",
    "file-AbCdEfGhIjKlMnOpQrStUv",
    "msg_0494a3228b1442a0be4371fc2ddb9af2",
    "thing_1",
    "call_1",
];

fn seal(ids: &IdSealer<'_>, native: &str, pin: u64) -> String {
    text(ids.seal(native.as_bytes(), pin).unwrap().as_bytes()).to_owned()
}

/// Ids as clients write them.
struct Writer<'a> {
    rules: Rules<'a>,
    slots: &'a [Slot],
}

impl Writer<'_> {
    /// Returns the account of one of the slots, or one that is in none.
    fn account(&self, numbers: &mut Numbers) -> u64 {
        let at = usize::try_from(numbers.below(self.slots.len() as u64 + 1)).unwrap();
        let slot = self.slots.get(at).filter(|slot| !slot.is_vacant());
        slot.map_or(identity_hash(b"gone"), Slot::identity_hash)
    }

    fn id(&self, numbers: &mut Numbers, pin: u64) -> String {
        let native = numbers.pick(&NATIVES);
        let sealed = || seal(&self.rules.sealer, native, pin);
        match numbers.below(24) {
            0 | 1 => native.to_owned(),
            2 => format!("x{}", sealed()),
            3 => format!("{native}{}tp3", "x".repeat(48)),
            4 => {
                let ring = IdRing::new(&[cookie_key(99, Role::Sign)], None).unwrap();
                seal(&IdSealer::new(&ring, b"", b"").unwrap(), native, pin)
            }
            5 => {
                // For another owner.
                let ring = IdRing::new(&[cookie_key(1, Role::Sign)], None).unwrap();
                seal(&IdSealer::new(&ring, b"other", b"mallory").unwrap(), native, pin)
            }
            6 => numbers.pick(&["", "auto"]).to_owned(),
            _ => sealed(),
        }
    }

    fn content(&self, numbers: &mut Numbers, pin: u64) -> String {
        let mark = self.rules.sealer.mark(b"gAAAAABo", pin).unwrap();
        let content = numbers.pick(&["gAAAAABo", "gAAAAABo", "gAAAAABo", "gAAAAABp"]);
        let mark = if numbers.below(6) == 0 { "" } else { text(&mark) };
        format!("{content}{mark}")
    }

    /// The target and the body of a request.
    fn request(&self, numbers: &mut Numbers) -> (&'static str, String, String) {
        // One account in most, so that not every pair is a conflict.
        let usual = self.account(numbers);
        let pin = |numbers: &mut Numbers| {
            if numbers.below(8) == 0 { self.account(numbers) } else { usual }
        };
        let id = |numbers: &mut Numbers| {
            let pin = pin(numbers);
            self.id(numbers, pin)
        };
        let (method, path) = numbers.pick(&[
            ("POST", "/v1/responses"),
            ("POST", "/v1/responses"),
            ("POST", "/v1/responses"),
            ("POST", "/v1/batches"),
            ("POST", "/v1/chat/completions"),
            ("POST", "/v1/messages"),
            ("POST", "/v1/embeddings"),
            ("POST", "/v1/responses/{}/cancel"),
            ("GET", "/v1/responses/{}"),
            ("GET", "/v1/files?limit=2&after={}"),
            ("DELETE", "https://gateway.example/v1/vector_stores/{}/files/{}"),
            ("GET", "/v1/things/{}?cursor={}"),
        ]);
        let mut target = String::new();
        for (i, part) in path.split("{}").enumerate() {
            if i > 0 {
                let id = id(numbers);
                let escaped = numbers.below(6) == 0;
                target += &if escaped { id.replace('-', "%2D").replace('_', "%5f") } else { id };
            }
            target += part;
        }
        let mut keys = Vec::new();
        if method == "POST" {
            for _ in 0..numbers.pick(&[0, 1, 1, 1, 2, 3]) {
                keys.push(match numbers.below(14) {
                    0..=2 => format!(r#""previous_response_id":"{}""#, id(numbers)),
                    3 => format!(r#""conversation":{{"id":"{}"}}"#, id(numbers)),
                    4 => format!(r#""input_file_id":"{}""#, id(numbers)),
                    5 => format!(r#""file_ids":["{}","{}"]"#, id(numbers), id(numbers)),
                    6 => format!(r#""thing":"{}""#, id(numbers)),
                    7 => format!(r#""opaque_thing":{{"id":"{}"}}"#, id(numbers)),
                    8 => {
                        let id = id(numbers);
                        format!(r#""input":[{{"type":"item_reference","id":"{id}"}}]"#)
                    }
                    9 | 10 => {
                        let id = id(numbers);
                        format!(r#""input":[{{"id":"{id}","role":"user","content":"x"}}]"#)
                    }
                    11 => {
                        let pin = pin(numbers);
                        let content = self.content(numbers, pin);
                        format!(
                            r#""input":[{{"type":"reasoning","encrypted_content":"{content}"}}]"#
                        )
                    }
                    12 => {
                        let mut long = String::new();
                        let _ = write!(long, "\"file_id\":\"{}\"", "\\u0066".repeat(90));
                        long
                    }
                    _ => r#""metadata":{"id":"resp_1"}"#.into(),
                });
            }
            if numbers.below(4) == 0 {
                keys.push(r#""store":false"#.into());
            }
        }
        let body = if method == "POST" { format!("{{{}}}", keys.join(",")) } else { String::new() };
        (method, target, body)
    }
}

/// Checks that every refusal, verdict, mode and state of an account occurs, and that some ids lead
/// to an account.
fn everything_occurs(seen: &[(Mode, Decision)]) {
    let any = |what: &dyn Fn(&(Mode, Decision)) -> bool| seen.iter().any(what);
    for refusal in Refusal::ALL {
        assert!(any(&|(_, decision)| decision.refusal() == *refusal), "{refusal:?}");
    }
    for verdict in IdVerdict::ALL {
        assert!(any(&|(_, decision)| decision.id_verdict == *verdict), "{verdict:?}");
    }
    for state in tokenpin::PinState::ALL {
        let of_id = |it: &&(Mode, Decision)| it.1.source == Source::Id;
        let mut ids = seen.iter().filter(of_id);
        assert!(ids.any(|(_, decision)| decision.pin_state == *state), "{state:?}");
    }
    for mode in Mode::ALL {
        let serves = |it: &&(Mode, Decision)| it.0 == *mode && it.1.slot.is_some();
        assert!(seen.iter().filter(serves).count() > 20, "{mode:?}");
        let follows = |it: &&(Mode, Decision)| it.0 == *mode && it.1.source == Source::Id;
        assert_eq!(seen.iter().filter(follows).count() > 20, *mode != Mode::Off, "{mode:?}");
    }
    assert!(any(&|(_, it)| it.source == Source::Id && it.cookie.is_some()));
    assert!(any(&|(_, it)| it.source == Source::Id
        && it.id_keys == [255, 255]
        && it.slot.is_some()));
    assert!(any(&|(_, it)| it.may_move && it.outcome == Outcome::Placed && it.cookie.is_none()));
}

#[test]
fn decision_with_ids() {
    let mut numbers = Numbers(31);
    let setups: Vec<Setup> = (0..SETUPS).map(|i| setup_with_ids(&mut numbers, i)).collect();
    let (mut answered, mut refused, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..DRAWN {
        let number = usize::try_from(i % SETUPS).unwrap();
        let setup = &setups[number];
        let mut index = vec![0; Affinity::index_len(setup.slots.len())];
        let affinity = Affinity::new(&setup.config, &setup.slots, &mut index).unwrap();
        let none: &[&[u8]] = &[];
        let consumers = numbers.pick(&[none, none, &[b"alice"], &[b"alice", b"bob"]]);
        let trusted = numbers.below(4) != 0;
        let consumer = KeyInput::new(consumers.iter().copied()).trusted(trusted);
        let request_scope = numbers.pick(&[&b""[..], b"", b"tenant-7"]);
        let scope = if request_scope.is_empty() { setup.config.scope } else { request_scope };
        let owner = affinity.id_owner(consumer);
        let rules = affinity.id_rules(request_scope, owner, None).unwrap();
        let writer = Writer { rules, slots: &setup.slots };
        let (method, target, body) = writer.request(&mut numbers);

        let opening = Opening { rules: &rules, known: &|pin| affinity.knows(pin) };
        let api = affinity.classify(method.as_bytes(), target.as_bytes()).ids;
        let mut ids = Summary::new();
        let mut opened_target = target.clone().into_bytes();
        let len = opening.open_target(api, &mut ids, &mut opened_target);
        opened_target.truncate(len);
        let mut goes_up = body.clone().into_bytes();
        let mut opener = Opener::new(api);
        let len = opener.open_in_place(&opening, &mut ids, &mut goes_up);
        goes_up.truncate(len);

        let mut cookies: Vec<String> = Vec::new();
        for _ in 0..numbers.pick(&[0, 0, 1, 1, 2]) {
            let key = numbers.pick(&[Key::Anonymous(&[0; 16]), Key::Consumer(b"alice")]);
            cookies.push(some_cookie(&mut numbers, setup, scope, &key));
        }
        let capacity = u32::try_from(setup.slots.len()).unwrap();
        let tried: Vec<u32> = (0..capacity).filter(|_| numbers.below(12) == 0).collect();
        let group = numbers.pick(&[None, None, None, Some(Group::Stateless)]);
        let entropy = if numbers.below(20) == 0 { [0; 16] } else { numbers.id() };
        let id_hint = if numbers.below(6) == 0 { Some(numbers.id()) } else { None };
        let now = if numbers.below(30) == 0 { 1 << 32 } else { NOW };
        let request = Request {
            group,
            method: method.as_bytes(),
            target: target.as_bytes(),
            consumer,
            carrier: numbers.below(8) == 0,
            scope: request_scope,
            tried: &tried,
            now,
            entropy,
            id_hint,
            ids: Some(&ids),
            ..Request::default()
        };
        let hexes = |values: &[&[u8]]| values.iter().map(|value| hex(value)).collect::<Vec<_>>();
        let sessions: [String; 0] = [];
        let request_json = || {
            json!({
                "group": group.map(Group::name), "existing": false, "method": method,
                "target": target, "consumers": hexes(consumers), "consumer_trusted": trusted,
                "sessions": sessions, "cookies": cookies, "carrier_value": "",
                "carrier": request.carrier, "scope": hex(request_scope), "tried": tried,
                "now": now, "entropy": hex(&entropy), "id_hint": id_hint.map(|id| hex(&id)),
                "body": body,
            })
        };
        let ids_json = || {
            json!({
                "ids": api.name(), "target": text(&opened_target), "body": text(&goes_up),
                "unexpected": opener.unexpected(), "seals": ids.seals, "summary": summary_json(&ids),
            })
        };
        let decision = match affinity.decide(&request, cookies.iter().map(String::as_bytes)) {
            Ok(decision) => decision,
            Err(error) => {
                let error = error_name(error);
                refused.push(case(|| json!({
                    "config": number, "request": request_json(), "opened": ids_json(), "error": error,
                })));
                continue;
            }
        };
        answered.push(case(|| {
            json!({
                "config": number, "request": request_json(), "opened": ids_json(),
                "decision": decision_json(&decision),
                "live_fingerprint": hex64(affinity.live_fingerprint(now)),
                "finish": finish_json(&affinity, &decision),
            })
        }));
        seen.push((setup.config.ids.mode, decision));
    }
    if !SAMPLED {
        everything_occurs(&seen);
    }
    let configs: Vec<Json> = sample(8, setups).into_iter().map(|setup| setup.json).collect();
    compare(
        "decision_ids_v1.json",
        &[("configs", configs), ("cases", answered), ("refused", refused)],
    );
}
