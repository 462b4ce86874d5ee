//! Deciding and finishing the successive requests of a session, against the slow model of the
//! integration tests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenpin::ids::{ForeignSeals, Ids, Mode, Opener, Opening, Rules, Summary};
use tokenpin::{
    Affinity, Answer, Attributes, Audience, Class, Config, Cookie, CookieName, Decision, Error,
    Group, IdConfig, Key, KeyInput, KeyRing, Kind, Limits, MAX_KEY, MAX_MAX_AGE, MAX_SCOPE,
    MAX_SET_COOKIE, Pending, Policy, Request, Role, SameSite, Secret, Slot, SlotStatus, State,
    Strategy, Verdict, cookie, cookie::field, identity_hash,
};
use tokenpin_fuzz::{Input, NOW, cookie_key};
use tokenpin_test_support::decision::{self as model, Contents, Expected, Facts, Part};

fuzz_target!(|data: &[u8]| run(&mut Input::new(data)));

const RING: [(u8, Role); 3] = [(1, Role::Sign), (2, Role::Retire), (3, Role::Accept)];
/// The keys that sign cookies here: those of the ring, and one that is not in it.
const SIGNERS: [u8; 5] = [1, 1, 2, 3, 9];
const SCOPES: [&[u8]; 3] = [b"", b"openai", b"anthropic"];

fn run(input: &mut Input<'_>) {
    let keys = RING.map(|(id, role)| cookie_key(id, role));
    let config = config(input, &keys);
    let slots: Vec<_> = (1..=1 + input.below(12))
        .map(|number| match input.below(8) {
            0 => Slot::vacant(),
            _ => Slot::new(&account(number), status(input)).unwrap(),
        })
        .collect();
    let mut index = vec![0; Affinity::index_len(slots.len())];
    let affinity = Affinity::new(&config, &slots, &mut index).unwrap();
    let other = Config { placement_key: Secret::new([0xbb; 16]), ..config.clone() };
    let mut index = vec![0; Affinity::index_len(slots.len())];
    let other = Affinity::new(&other, &slots, &mut index).unwrap();
    let world = World {
        config: &config,
        slots: &slots,
        affinity: &affinity,
        other: &other,
        ring: KeyRing::new(&keys, None).unwrap(),
    };
    // The last cookie that the client received.
    let mut jar = Vec::new();
    for _ in 0..8 {
        let slot = input.below(slots.len());
        if input.one_in(4) && !slots[slot].is_vacant() {
            let slot = u32::try_from(slot).unwrap();
            affinity.set_slot(slot, status(input)).unwrap();
        }
        world.request(input, &mut jar);
        if input.is_empty() {
            break;
        }
    }
}

/// The identity of the account in the slot before this number.
fn account(number: usize) -> [u8; 1] {
    [u8::try_from(number).unwrap()]
}

fn status(input: &mut Input<'_>) -> SlotStatus {
    SlotStatus {
        state: input.pick(&[State::Up, State::Up, State::Draining, State::Down]),
        weight: input.pick(&[65_536, 65_536, 0, 1, 20_000]),
        until: input.pick(&[0, 0, u64::from(NOW), u64::from(NOW) + 1, (1 << 45) - 1]),
    }
}

fn config<'a>(input: &mut Input<'_>, keys: &'a [tokenpin::CookieKey]) -> Config<'a> {
    let name = input.pick(&[None, Some(&b"pin"[..]), Some(b"__Secure-pin")]);
    // The default name is held to the rules of `__Host-`.
    let free = name == Some(b"pin");
    let secure = !free || input.flag();
    let attributes = Attributes {
        path: if name.is_some() { input.pick(&[&b"/"[..], b"/v1"]) } else { b"/" },
        domain: if name.is_some() { input.pick(&[&b""[..], b"example.com"]) } else { b"" },
        secure,
        http_only: input.flag(),
        same_site: input.pick(&[SameSite::Lax, SameSite::Strict]),
        partitioned: secure && input.flag(),
    };
    let (first, last) = (input.pick(&[100, 200, 204]), input.pick(&[204, 299, 599]));
    Config {
        strategy: input.pick(Strategy::ALL),
        scope: input.pick(&SCOPES),
        cookie_name: name,
        attributes,
        max_age: input.pick(&[None, None, Some(0), Some(255), Some(3_600), Some(MAX_MAX_AGE)]),
        skew: input.pick(&[0, 300, u32::MAX]),
        max_life: input.pick(&[0, 255, 65_535, 2_592_000, u32::MAX]),
        max_idle: input.pick(&[0, 0, 255, 86_400, u32::MAX]),
        policy_existing: input.pick(Policy::ALL),
        policy_new: input.pick(Policy::ALL),
        combine_keys: input.flag(),
        reject_bad_keys: input.one_in(4),
        keyed_cookies: input.flag(),
        mint_single: input.flag(),
        success: (first, last),
        prompt_cache: input.flag(),
        ids: IdConfig {
            mode: input.pick(Mode::ALL),
            foreign: input.pick(ForeignSeals::ALL),
            encrypted: !input.one_in(8),
            ..Config::new(Secret::new([0xaa; 16]), keys).ids
        },
        ..Config::new(Secret::new([0xaa; 16]), keys)
    }
}

/// A body with ids of these accounts, and others, as a client writes them.
fn body(input: &mut Input<'_>, rules: &Rules<'_>) -> Vec<u8> {
    let (mut keys, mut items) = (Vec::new(), Vec::new());
    for number in 0..input.below(4) {
        let native = format!("file_{number}");
        let pin = identity_hash(&account(input.below(14)));
        let sealed = rules.sealer.seal(native.as_bytes(), pin).unwrap();
        let sealed = String::from_utf8(sealed.as_bytes().to_vec()).unwrap();
        let mark = String::from_utf8(rules.sealer.mark(b"gAAA", pin).unwrap().to_vec()).unwrap();
        let text = match input.below(12) {
            0 => native,
            1 => "x".to_owned() + &sealed,
            // Of a later version, or too long to be read.
            2 => native + &"x".repeat(50) + "tp5",
            3 => "\\u0066".repeat(100),
            4 => sealed[..sealed.len() - 1].to_owned() + input.pick(&["0", "1", "2", "9"]),
            _ => sealed,
        };
        match input.below(6) {
            0 | 1 => keys.push(format!(r#""previous_response_id":"{text}""#)),
            2 => keys.push(format!(r#""file_ids":["{text}"]"#)),
            3 => keys.push(format!(r#""encrypted_content":"gAAA{mark}""#)),
            _ => items.push(format!(r#"{{"id":"{text}","content":"x"}}"#)),
        }
    }
    keys.push(format!(r#""input":[{}],"store":{}"#, items.join(","), !input.one_in(4)));
    format!("{{{}}}", keys.join(",")).into_bytes()
}

/// The values of a key header: those of one client, or any.
fn values(input: &mut Input<'_>, own: &'static [u8]) -> Vec<Vec<u8>> {
    match input.below(6) {
        0 | 1 => Vec::new(),
        2 | 3 => vec![Vec::new(), own.to_vec()],
        4 => vec![input.limited(MAX_KEY)],
        _ => (0..input.below(4)).map(|_| input.bytes().to_vec()).collect(),
    }
}

fn part(values: &[Vec<u8>], trusted: bool) -> Part<'_> {
    let mut some: Vec<_> = values.iter().filter(|value| !value.is_empty()).collect();
    some.sort();
    some.dedup();
    match some[..] {
        [] => Part::Absent,
        _ if !trusted => Part::Untrusted,
        [_, _, ..] => Part::Several,
        [one] if one.len() > MAX_KEY => Part::TooLong,
        [one] => Part::Usable(one),
    }
}

/// Returns the key that the values lead to, if they are usable.
fn key<'a>(consumer: Part<'a>, session: Part<'a>, combine: bool) -> Option<Key<'a>> {
    match (consumer, session) {
        (Part::Usable(consumer), Part::Usable(session)) if combine => {
            Some(Key::Combined { consumer, session })
        }
        (Part::Usable(consumer), _) => Some(Key::Consumer(consumer)),
        (_, Part::Usable(session)) => Some(Key::Session(session)),
        _ => None,
    }
}

/// Returns the value of a cookie that some replica made, for this session or another.
fn replica_cookie(
    input: &mut Input<'_>,
    audience: &Audience<'_>,
    key: Option<&Key<'_>>,
) -> Vec<u8> {
    let id = [input.pick(&[5, 5, 6]); 16];
    let key = key.filter(|_| !input.one_in(4));
    let cookie = Cookie {
        kind: key.map_or(Kind::Anonymous, Key::kind),
        issued_at: input.near(NOW),
        refreshed_at: input.near(NOW),
        id,
        pin: identity_hash(&account(input.below(14))),
    };
    let mut value = sign(input.pick(&SIGNERS), audience, key, &cookie);
    if input.one_in(8) {
        // Of a later version: the first four bits.
        value[0] = b'I';
    }
    value
}

/// Signs with this key, regardless of its role.
fn sign(signer: u8, audience: &Audience<'_>, key: Option<&Key<'_>>, it: &Cookie) -> Vec<u8> {
    let ring = KeyRing::new(&[cookie_key(signer, Role::Sign)], None).unwrap();
    let own = Key::Anonymous(&it.id);
    cookie::encode(&ring, audience, key.unwrap_or(&own), it).unwrap().to_vec()
}

/// Returns the `Cookie` fields of a request, and its value in the carrier header.
fn cookies(
    input: &mut Input<'_>,
    jar: &[u8],
    audience: &Audience<'_>,
    key: Option<&Key<'_>>,
) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut pairs = vec![jar.to_vec()];
    // Sometimes more than are ever read.
    let many = if input.one_in(32) { 62 + input.below(5) } else { 0 };
    for i in 0..many + input.below(5) {
        let mut value = if i < many {
            let cookie = Cookie {
                kind: Kind::Anonymous,
                issued_at: NOW - 1,
                refreshed_at: NOW - 1,
                id: [4; 16],
                pin: identity_hash(b"\x01"),
            };
            sign(1, audience, None, &cookie)
        } else {
            replica_cookie(input, audience, key)
        };
        if i < many && input.flag() || input.one_in(6) {
            let at = input.below(value.len().max(1));
            if let Some(byte) = value.get_mut(at) {
                *byte ^= 1 << input.below(7);
            }
        }
        pairs.push([audience.name, b"=", &value].concat());
    }
    if input.one_in(4) {
        pairs.push(input.bytes().to_vec());
    }
    let carrier_value =
        if input.one_in(4) { replica_cookie(input, audience, key) } else { Vec::new() };
    let fields = if input.flag() { vec![pairs.join(&b"; "[..])] } else { pairs };
    (fields, carrier_value)
}

struct World<'a> {
    config: &'a Config<'a>,
    slots: &'a [Slot],
    affinity: &'a Affinity<'a>,
    /// The same configuration with another placement key.
    other: &'a Affinity<'a>,
    ring: KeyRing,
}

impl World<'_> {
    fn name(&self, scope: &[u8]) -> Vec<u8> {
        let scope = if scope.is_empty() { self.config.scope } else { scope };
        let default = || CookieName::for_scope(scope).as_bytes().to_vec();
        self.config.cookie_name.map_or_else(default, <[u8]>::to_vec)
    }

    /// Returns the summary of the ids of a request of this scope, if the host reads them.
    fn read(&self, input: &mut Input<'_>, scope: &[u8]) -> Option<(Ids, Summary)> {
        if input.flag() {
            return None;
        }
        let rules = self.affinity.id_rules(scope, b"", None).unwrap();
        let opening = Opening { rules: &rules, known: &|pin| self.affinity.knows(pin) };
        let (api, mut body, mut ids) = (input.pick(Ids::ALL), body(input, &rules), Summary::new());
        opening.open_target(api, &mut ids, &mut b"/v1/x".to_vec());
        Opener::new(api).open_in_place(&opening, &mut ids, &mut body);
        Some((api, ids))
    }

    fn request(&self, input: &mut Input<'_>, jar: &mut Vec<u8>) {
        let Self { config, affinity, .. } = *self;
        let trusted = !input.one_in(8);
        let (consumers, sessions) = (values(input, b"alice"), values(input, b"thread-7"));
        let (consumer, session) = (part(&consumers, trusted), part(&sessions, true));
        let scope =
            if input.one_in(16) { input.limited(MAX_SCOPE) } else { input.pick(&SCOPES).to_vec() };
        let name = self.name(&scope);
        let own_scope = if scope.is_empty() { config.scope } else { &scope };
        let audience = Audience { name: &name, scope: own_scope };
        let key = key(consumer, session, config.combine_keys);
        let group = (!input.one_in(4)).then(|| {
            input.pick(&[Group::Stateful, Group::Stateful, Group::PromptCache, Group::Stateless])
        });
        let methods = [&b"POST"[..], b"GET", b"DELETE", b"OPTIONS"];
        let targets = [&b"/v1/responses"[..], b"/v1/responses/r", b"/v1/messages?x", b"/v1/models"];
        let (method, target) = (input.pick(&methods), input.pick(&targets));
        let existing = input.one_in(4);
        let now = match input.below(16) {
            0 => u64::from(u32::MAX) + u64::from(input.byte()),
            1 => input.u64(),
            _ => u64::from(input.near(NOW)),
        };
        let (mut fields, mut carrier_value) = (vec![jar.clone()], Vec::new());
        if scope.len() <= MAX_SCOPE {
            (fields, carrier_value) = cookies(input, jar, &audience, key.as_ref());
        }
        let tried: Vec<_> = (0..input.below(4)).map(|_| u32::from(input.byte()) % 14).collect();
        let id_hint = input.pick(&[None, None, Some([3; 16]), Some([0; 16])]);
        let ids = if scope.len() <= MAX_SCOPE { self.read(input, &scope) } else { None };
        let request = Request {
            group,
            existing,
            method,
            target,
            consumer: KeyInput::new(consumers.iter().map(Vec::as_slice)).trusted(trusted),
            session: KeyInput::new(sessions.iter().map(Vec::as_slice)),
            carrier_value: &carrier_value,
            carrier: input.one_in(8),
            scope: &scope,
            tried: &tried,
            now,
            entropy: if input.one_in(8) { [0; 16] } else { [1 + input.byte() % 3; 16] },
            id_hint,
            ids: ids.as_ref().map(|(_, summary)| summary),
        };
        let got = affinity.decide(&request, fields.iter().map(Vec::as_slice));
        if scope.len() > MAX_SCOPE {
            assert_eq!(got, Err(Error::ScopeLength));
            return;
        }
        if tried.iter().any(|slot| *slot as usize >= self.slots.len()) {
            assert_eq!(got, Err(Error::SlotRange));
            return;
        }
        let class = group.map_or_else(
            || affinity.classify(method, target),
            |group| Class {
                group,
                existing: [&b"GET"[..], b"HEAD", b"DELETE"].contains(&method),
                ids: Ids::None,
            },
        );
        let facts = Facts {
            config,
            slots: self.slots,
            // A request that names state is stateful.
            group: if existing { Group::Stateful } else { class.group },
            existing: class.existing || existing,
            carrier: request.carrier,
            consumer,
            session,
            found: self.found(&audience, key.as_ref(), now, &carrier_value, &fields),
            scope: own_scope,
            tried: &tried,
            now,
            entropy: request.entropy,
            id_hint,
            ids: ids.as_ref().map(|(api, ids)| model::Ids::of(ids, config.ids.mode, *api)),
        };
        let expected = model::decide(&facts);
        let (expected, got) = match (expected, got) {
            (Ok(expected), Ok(got)) => (expected, got),
            (Err(expected), Err(got)) if expected == got => return,
            (expected, got) => panic!("{facts:#?}\nexpected {expected:?}, got {got:?}"),
        };
        self.compare(&facts, &expected, &got);
        let line = expected.write.contents().map(|contents| {
            let pending = got.cookie.as_ref().unwrap();
            self.check_cookie(&contents, pending, &audience, key.as_ref(), now);
            assert_eq!(pending.carrier, request.carrier || !carrier_value.is_empty());
            if pending.carrier { pending.value.to_vec() } else { self.line(&name, pending) }
        });
        let status = input.pick(&[200, 200, 204, 100, 404, 599, 0, u16::MAX]);
        let success = (config.success.0..=config.success.1).contains(&status);
        let line = line.filter(|_| success);
        self.finish(&got, status, line.as_deref(), input.below(9));
        if let (Some(line), Some(pending), false) = (line, got.cookie, input.one_in(4)) {
            let pair = line.split(|&byte| byte == b';').next().unwrap();
            let value = [&name[..], b"=", pair].concat();
            *jar = if pending.carrier { value } else { pair.to_vec() };
        }
    }

    fn compare(&self, facts: &Facts<'_>, expected: &Expected, got: &Decision) {
        let same = expected.agrees(got)
            && got.fingerprint == self.affinity.fingerprint()
            && got.cookie.is_some() == expected.write.contents().is_some();
        assert!(same, "{facts:#?}\nexpected {expected:?}\n     got {got:?}");
    }

    /// Returns the result of all cookies of the request. Only the first 64 whose tag has to be
    /// computed are read.
    fn found(
        &self,
        audience: &Audience<'_>,
        key: Option<&Key<'_>>,
        now: u64,
        carrier_value: &[u8],
        fields: &[Vec<u8>],
    ) -> model::Found {
        let limits = model::limits(self.config);
        let carrier_value = [carrier_value].into_iter().filter(|value| !value.is_empty());
        let all = carrier_value
            .chain(fields.iter().flat_map(|field| field::values(field, audience.name)));
        let mut tags = 0;
        let mut each = Vec::new();
        for value in all {
            let read = cookie::decode(&self.ring, audience, key, &limits, now, value).unwrap();
            // A keyed cookie in a request without a key is refused without a tag.
            let anonymous = matches!(value, [b'E', second, ..] if (b'A'..=b'P').contains(second));
            let untagged = [Verdict::Malformed, Verdict::UnknownVersion, Verdict::UnknownKey];
            let computed = !untagged.contains(&read.0) && (anonymous || key.is_some());
            tags += u32::from(computed);
            each.push(if computed && tags > 64 { (Verdict::BadTag, None) } else { read });
        }
        model::found(&each)
    }

    fn check_cookie(
        &self,
        expected: &Contents,
        pending: &Pending,
        audience: &Audience<'_>,
        key: Option<&Key<'_>>,
        now: u64,
    ) {
        let no_limits = Limits { skew: u32::MAX, max_life: 0, max_idle: 0, refresh_interval: 0 };
        let value = &pending.value;
        let opened = cookie::decode(&self.ring, audience, key, &no_limits, now, value).unwrap();
        assert_eq!((opened.0, opened.1.map(Contents::from)), (Verdict::Valid, Some(*expected)));
        assert_eq!(pending.max_age, model::max_age(self.config, now, expected.issued_at));
    }

    /// Returns the `Set-Cookie` value, spelled a second time.
    fn line(&self, name: &[u8], pending: &Pending) -> Vec<u8> {
        let it = &self.config.attributes;
        let age = pending.max_age.to_string();
        let parts: [(bool, &str, &[u8]); 8] = [
            (true, "; Path=", it.path),
            (!it.domain.is_empty(), "; Domain=", it.domain),
            (pending.max_age != 0, "; Max-Age=", age.as_bytes()),
            (it.secure, "; Secure", b""),
            (it.http_only, "; HttpOnly", b""),
            (it.same_site == SameSite::Lax, "; SameSite=Lax", b""),
            (it.same_site == SameSite::Strict, "; SameSite=Strict", b""),
            (it.partitioned, "; Partitioned", b""),
        ];
        let mut line = [name, b"=", &pending.value].concat();
        for (_, attribute, value) in parts.iter().filter(|(on, ..)| *on) {
            line.extend(attribute.bytes().chain(value.iter().copied()));
        }
        line
    }

    fn finish(&self, decision: &Decision, status: u16, line: Option<&[u8]>, spare: usize) {
        let mut out = vec![0xa5; MAX_SET_COOKIE];
        assert_eq!(self.other.finish(decision, status, &mut out), Err(Error::Stale));
        let len = line.map_or(0, <[u8]>::len);
        let out = &mut out[..len + spare];
        if let Some(short) = len.checked_sub(1) {
            let refused = self.affinity.finish(decision, status, &mut out[..short]);
            assert_eq!(refused, Err(Error::BufferTooSmall { needed: len }));
        }
        assert!(out.iter().all(|&byte| byte == 0xa5), "written in spite of an error");
        let carrier = decision.cookie.is_some_and(|pending| pending.carrier);
        let answer = match line {
            None => (Answer::Nothing, 0),
            Some(_) if carrier => (Answer::Carrier, len),
            Some(_) => (Answer::SetCookie, len),
        };
        assert_eq!(self.affinity.finish(decision, status, out), Ok(answer));
        assert_eq!(&out[..len], line.unwrap_or_default());
        assert!(out[len..].iter().all(|&byte| byte == 0xa5), "written past the end");
    }
}
