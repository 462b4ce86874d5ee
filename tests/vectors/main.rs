//! The project's own vector files, `tests/vectors/*_v1.json`: written by this test when
//! `TOKENPIN_WRITE_VECTORS` is set, and otherwise compared with the code's answers. Other languages
//! read the same files; `tests/vectors/README.md` describes their format.

mod bodies;
mod decision_ids;
mod ids;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value as Json, json};
use tokenpin::cookie::Codec;
use tokenpin::{
    Affinity, Audience, Config, Cookie, CookieKey, CookieName, DEFAULT_RULES, Decision, Error,
    Filter, Group, Key, KeyInput, KeyRing, Kind, Limits, Policy, Request, Role, SameSite, Secret,
    Slot, SlotStatus, Source, State, Strategy, Verdict, classify, identity_hash, jump, key_hash,
    mix, select, select_higress,
};
use tokenpin_test_support::sample::{SAMPLED, cases, sample};
use tokenpin_test_support::{ROOT, hex};

const PLACEMENT: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const NOW: u64 = 1_800_000_000;

/// Deterministic numbers: splitmix64 of a counter.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let n = u64::try_from(from.len()).unwrap();
        from[usize::try_from(self.below(n)).unwrap()]
    }

    fn id(&mut self) -> [u8; 16] {
        (u128::from(self.next()) << 64 | u128::from(self.next())).to_le_bytes()
    }
}

fn hex64(number: u64) -> String {
    format!("{number:016x}")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The number of drawn selections and decisions.
const DRAWN: u64 = cases(600, 20) as u64;

/// Makes a case of a file. Under Miri, which takes longer to write a case than the library takes to
/// answer it, only one in sixteen is made.
fn case(make: impl FnOnce() -> Json) -> Json {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    if SAMPLED && number % 16 != 0 { Json::Null } else { make() }
}

/// Compares or writes a file, with one case a line, so that a diff shows each changed case.
fn compare(file: &str, sections: &[(&str, Vec<Json>)]) {
    let mut out = String::from("{\n");
    for (i, (name, cases)) in sections.iter().enumerate() {
        assert!(SAMPLED || !cases.is_empty(), "{name}");
        let made = cases.iter().filter(|case| !case.is_null());
        let lines: Vec<String> = made.map(|case| format!("  {case}")).collect();
        let comma = if i + 1 < sections.len() { "," } else { "" };
        let _ = write!(out, "\"{name}\": [\n{}\n]{comma}\n", lines.join(",\n"));
    }
    out.push_str("}\n");
    let path = format!("{ROOT}/tests/vectors/{file}");
    if std::env::var_os("TOKENPIN_WRITE_VECTORS").is_some() {
        std::fs::write(&path, &out).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    if SAMPLED {
        // The cases that were made are there, in order.
        let mut lines = there.lines().map(|line| line.trim_end_matches(','));
        for line in
            out.lines().map(|line| line.trim_end_matches(',')).filter(|line| !line.is_empty())
        {
            assert!(lines.any(|there| there == line), "{file}: not there: {line}");
        }
        return;
    }
    let differ = there.lines().zip(out.lines()).find(|(there, now)| there != now);
    assert!(
        there == out,
        "{file} is not what the code says; `make vectors` writes it again. First difference: \
         {differ:#?}"
    );
}

fn key_json(key: &Key<'_>) -> Json {
    match *key {
        Key::Anonymous(id) => json!({ "kind": 0, "key": hex(id) }),
        Key::Consumer(name) => json!({ "kind": 1, "key": hex(name) }),
        Key::Session(name) => json!({ "kind": 2, "key": hex(name) }),
        Key::Combined { consumer, session } => {
            json!({ "kind": 3, "key": hex(consumer), "session": hex(session) })
        }
    }
}

/// A key value that is one byte too long.
const TOO_LONG: &[&[u8]] = &[&[b'k'; 4097]];

/// Keys of every kind, with the lengths at the edges.
fn keys() -> Vec<Key<'static>> {
    static LONG: [u8; 4096] = [b'k'; 4096];
    const ID: &[u8; 16] = b"\x55\x0e\x84\x00\xe2\x9b\x41\xd4\xa7\x16\x44\x66\x55\x44\x00\x00";
    vec![
        Key::Anonymous(ID),
        Key::Anonymous(&[0; 16]),
        Key::Consumer(b"consumer-alice"),
        Key::Consumer(b"consumer-batches"),
        Key::Consumer(b"consumer-finetuning"),
        Key::Consumer(b"550e8400-e29b-41d4-a716-446655440000"),
        Key::Consumer(b"\x00"),
        Key::Consumer(b"\xff\x80 utf-8 it is not"),
        Key::Consumer(&LONG),
        Key::Session(b"consumer-alice"),
        Key::Session(&LONG),
        Key::Combined { consumer: b"a:b", session: b"c" },
        Key::Combined { consumer: b"a", session: b"b:c" },
        Key::Combined { consumer: &LONG, session: &LONG },
    ]
}

fn slot_json(identity: Option<&str>, status: SlotStatus) -> Json {
    match identity {
        None => Json::Null,
        Some(identity) => json!({
            "identity": hex(identity.as_bytes()), "state": status.state.name(),
            "weight": status.weight, "until": status.until,
        }),
    }
}

/// Slots of every status, about one in eight vacant.
fn random_slots(numbers: &mut Numbers, n: u64) -> (Vec<Slot>, Vec<Json>) {
    let equal = numbers.below(3) == 0;
    (0..n)
        .map(|i| {
            let weights = [0, 1, 2, 999, 32_768, 65_535, 65_536];
            let status = SlotStatus {
                state: numbers.pick(&[
                    State::Up,
                    State::Up,
                    State::Up,
                    State::Draining,
                    State::Down,
                ]),
                weight: if equal { 65_536 } else { numbers.pick(&weights) },
                until: numbers.pick(&[0, 0, NOW - 1, NOW, NOW + 1, (1 << 45) - 1]),
            };
            if numbers.below(8) == 0 {
                return (Slot::vacant(), slot_json(None, status));
            }
            let identity = format!("account-{i}");
            (Slot::new(identity.as_bytes(), status).unwrap(), slot_json(Some(&identity), status))
        })
        .unzip()
}

/// A large set with about eight accounts, so that most probes meet a vacant slot.
fn sparse_slots(numbers: &mut Numbers, n: u64) -> (Vec<Slot>, Vec<Json>) {
    let which: &[State] = numbers.pick(&[
        &[State::Up],
        &[State::Up, State::Down],
        &[State::Draining],
        &[State::Draining, State::Down],
    ]);
    let weights: &[u32] = numbers.pick(&[&[65_536], &[0, 1, 32_768, 65_536], &[4096, 32_768]]);
    (0..n)
        .map(|i| {
            let status =
                SlotStatus { state: numbers.pick(which), weight: numbers.pick(weights), until: 0 };
            if numbers.below(n) >= 8 {
                return (Slot::vacant(), Json::Null);
            }
            let identity = format!("account-{i}");
            (Slot::new(identity.as_bytes(), status).unwrap(), slot_json(Some(&identity), status))
        })
        .unzip()
}

/// Selections in large sets, half of which a probe after home settles.
fn sparse_selections() -> Vec<Json> {
    let mut numbers = Numbers(4);
    let sizes = [62, 63, 64, 65, 66, 100, 127, 128, 129, 300];
    let mut one = |probed: bool| loop {
        let n = numbers.pick(&sizes);
        let (slots, slots_json) = sparse_slots(&mut numbers, n);
        let anonymous = numbers.below(2) == 0;
        let h = numbers.next();
        let filter = Filter { now: NOW, anonymous, ..Filter::default() };
        let slot = select(Strategy::Jump, &slots, &filter, h).unwrap();
        let drawn = select(Strategy::Rendezvous, &slots, &filter, h).unwrap();
        if (slot != drawn) == probed {
            break case(|| {
                json!({
                    "strategy": "jump", "slots": slots_json, "now": NOW, "tried": [],
                    "anonymous": anonymous, "h": hex64(h), "slot": slot,
                })
            });
        }
    };
    (0..DRAWN / 4).map(|i| one(i % 2 == 0)).collect()
}

#[test]
fn selection() {
    let mut numbers = Numbers(1);
    let identities: [&[u8]; 5] = [b"a", b"account-a", b"\x00", b"\xff\xfe", &[b'i'; 300]];
    let identity = identities.iter().map(
        |identity| json!({ "identity": hex(identity), "hash": hex64(identity_hash(identity)) }),
    );
    let mut key_hashes = Vec::new();
    for key in keys() {
        for scope in [&b""[..], b"openai", &[b's'; 1024]] {
            let h = key_hash(&Secret::new(PLACEMENT), scope, &key).unwrap();
            key_hashes.push(case(|| {
                json!({
                    "placement_key": hex(&PLACEMENT), "scope": hex(scope), "key": key_json(&key),
                    "h": hex64(h),
                })
            }));
        }
    }
    let counts = [1, 2, 3, 7, 8, 63, 64, 65, 1000, 65_536, 1 << 30, (1 << 31) - 1];
    let jumps = (0..200).map(|i| {
        let (key, n) = (numbers.next(), counts[i % counts.len()]);
        let bucket = jump(key, n).unwrap();
        case(|| json!({ "key": hex64(key), "n": n, "bucket": bucket }))
    });
    let jumps: Vec<Json> = jumps.collect();
    let mut selects = Vec::new();
    for i in 0..DRAWN {
        let n = 1 + numbers.below(if i % 10 == 0 { 64 } else { 8 });
        let (slots, slots_json) = random_slots(&mut numbers, n);
        let tried: Vec<u32> =
            (0..u32::try_from(n).unwrap()).filter(|_| numbers.below(5) == 0).collect();
        let strategy = numbers.pick(Strategy::ALL);
        let anonymous = numbers.below(2) == 0;
        let (h, name) = (numbers.next(), format!("consumer-{:x}", numbers.next() >> 32));
        let key = Key::Consumer(name.as_bytes());
        let filter = Filter { now: NOW, anonymous, tried: &tried, pinned: None };
        let mut made = json!({
            "strategy": strategy.name(), "slots": slots_json, "now": NOW, "tried": tried,
            "anonymous": anonymous, "h": hex64(h),
        });
        made["slot"] = if strategy == Strategy::HigressFnv1aModulo {
            made["key"] = key_json(&key);
            select_higress(&slots, &filter, h, &key).into()
        } else {
            select(strategy, &slots, &filter, h).unwrap().into()
        };
        selects.push(case(|| made));
    }
    selects.extend(sparse_selections());
    let sections = [
        ("identity_hash", identity.collect()),
        ("key_hash", key_hashes),
        ("jump", jumps),
        ("select", selects),
    ];
    compare("selection_v1.json", &sections);
}

fn cookie_key(id: u8, role: Role) -> CookieKey {
    CookieKey { id, role, secret: Secret::new([id; 16]) }
}

fn ring_json(keys: &[CookieKey]) -> Json {
    keys.iter()
        .map(|key| json!({ "id": key.id, "role": key.role.name(), "secret": hex(&[key.id; 16]) }))
        .collect()
}

fn cookie_json(cookie: &Cookie) -> Json {
    json!({
        "kind": cookie.kind as u8, "issued_at": cookie.issued_at,
        "refreshed_at": cookie.refreshed_at, "id": hex(&cookie.id), "pin": hex64(cookie.pin),
    })
}

#[test]
#[allow(clippy::too_many_lines, reason = "one case after another, with nothing to reuse")]
fn cookie() {
    let mut numbers = Numbers(2);
    let ring_keys =
        [cookie_key(9, Role::Accept), cookie_key(1, Role::Sign), cookie_key(200, Role::Retire)];
    let ring = KeyRing::new(&ring_keys, None).unwrap();
    let audiences = [
        Audience { name: b"__Host-tokenpin", scope: b"" },
        Audience { name: b"a", scope: b"openai/tenant" },
        Audience { name: &[b'n'; 128], scope: &[b's'; 1024] },
    ];
    let (mut encodes, mut decodes) = (Vec::new(), Vec::new());
    let mut seen = Vec::new();
    let mut decode = |ring_keys: &[CookieKey],
                      audience: &Audience<'_>,
                      key: Option<&Key<'_>>,
                      limits: Limits,
                      value: &str| {
        let ring = KeyRing::new(ring_keys, None).unwrap();
        let (verdict, cookie) =
            tokenpin::cookie::decode(&ring, audience, key, &limits, NOW, value.as_bytes()).unwrap();
        let codec = Codec::new(&ring, audience).unwrap();
        assert_eq!(codec.decode(key, &limits, NOW, value.as_bytes()), Ok((verdict, cookie)));
        seen.push(verdict);
        decodes.push(case(|| json!({
            "ring": ring_json(ring_keys), "name": text(audience.name), "scope": hex(audience.scope),
            "key": key.map(key_json), "now": NOW, "value": value, "verdict": verdict.name(),
            "limits": { "skew": limits.skew, "max_life": limits.max_life,
                "max_idle": limits.max_idle, "refresh_interval": limits.refresh_interval },
            "cookie": cookie.as_ref().map(cookie_json),
        })));
    };
    let now = u32::try_from(NOW).unwrap();
    let limits = Limits { skew: 300, max_life: 2_592_000, max_idle: 0, refresh_interval: 0 };
    let idle = Limits { max_idle: 3600, refresh_interval: 3600, ..limits };
    let mut some_value = String::new();
    for key in keys() {
        for audience in &audiences {
            // At, one before and one behind the edge of every limit.
            for (issued, refreshed) in [
                (now, now),
                (now - 2_592_000, now),
                (now - 2_592_001, now),
                (now + 300, now),
                (now + 301, now),
                (now, now + 300),
                (now, now + 301),
                (now - 9000, now - 3600),
                (now - 9000, now - 3601),
                (now - 9000, now - 719),
                (now - 9000, now - 720),
                (0, 0),
                (u32::MAX, u32::MAX),
            ] {
                // All edges for one key and audience, a few for the others.
                let first = matches!(key, Key::Anonymous(&[0x55, ..])) && audience.name == b"a";
                if !first && numbers.below(12) != 0 {
                    continue;
                }
                let id = numbers.id();
                let cookie = Cookie {
                    kind: key.kind(),
                    issued_at: issued,
                    refreshed_at: refreshed,
                    id,
                    pin: numbers.next(),
                };
                let value = tokenpin::cookie::encode(&ring, audience, &key, &cookie).unwrap();
                let codec = Codec::new(&ring, audience).unwrap();
                assert_eq!(codec.encode(&key, &cookie), Ok(value));
                let value = text(&value).to_owned();
                encodes.push(case(|| {
                    json!({
                        "ring": ring_json(&ring_keys), "name": text(audience.name),
                        "scope": hex(audience.scope), "key": key_json(&key),
                        "cookie": cookie_json(&cookie), "value": value,
                    })
                }));
                let request_key = Some(&key).filter(|key| key.kind() != Kind::Anonymous);
                decode(&ring_keys, audience, request_key, limits, &value);
                decode(&ring_keys, audience, request_key, idle, &value);
                if first && issued == now {
                    some_value = value;
                }
            }
        }
    }

    // One valid value, and every fault in it.
    let audience = &audiences[1];
    let value = some_value.as_str();
    let swap = |at: usize, with: char| {
        let mut text: Vec<char> = value.chars().collect();
        text[at] = with;
        text.into_iter().collect::<String>()
    };
    for at in sample(9, 0..67) {
        let other = if value.as_bytes()[at] == b'A' { 'B' } else { 'A' };
        decode(&ring_keys, audience, None, limits, &swap(at, other));
    }
    for bad in sample(3, ['=', '+', '/', ' ', '\t', '\u{0}', '%', '"', 'é']) {
        decode(&ring_keys, audience, None, limits, &swap(10, bad));
        decode(&ring_keys, audience, None, limits, &swap(66, bad));
    }
    for first in ['A', 'B', 'E', 'F', 'I', 'J', 'g', '8', '-', '_'] {
        decode(&ring_keys, audience, None, limits, &swap(0, first));
    }
    for wrong in ["", &value[..66], &format!("{value}A"), &format!("{value}="), &value[1..]] {
        decode(&ring_keys, audience, None, limits, wrong);
    }
    decode(&ring_keys, &audiences[0], None, limits, value);
    decode(&ring_keys, &Audience { name: b"A", ..*audience }, None, limits, value);
    decode(&ring_keys, &Audience { scope: b"openai/tenant2", ..*audience }, None, limits, value);
    decode(&ring_keys, audience, Some(&Key::Consumer(b"alice")), limits, value);
    // Rings in which the key is missing, retired, or has another secret under the same id.
    let retired = [cookie_key(7, Role::Sign), cookie_key(1, Role::Retire)];
    let missing = [cookie_key(7, Role::Sign)];
    decode(&retired, audience, None, limits, value);
    decode(&missing, audience, None, limits, value);
    // A keyed cookie, used by others.
    let alice = Key::Consumer(b"alice");
    let cookie =
        Cookie { kind: Kind::Consumer, issued_at: now, refreshed_at: now, id: [7; 16], pin: 42 };
    let value = tokenpin::cookie::encode(&ring, audience, &alice, &cookie).unwrap();
    for key in [
        None,
        Some(Key::Consumer(b"alice")),
        Some(Key::Consumer(b"bob")),
        Some(Key::Session(b"alice")),
        Some(Key::Session(b"bob")),
        Some(Key::Combined { consumer: b"alice", session: b"s" }),
    ] {
        decode(&ring_keys, audience, key.as_ref(), limits, text(&value));
    }
    for verdict in Verdict::ALL {
        assert!(*verdict == Verdict::Absent || seen.contains(verdict), "{verdict:?}");
    }

    let fields = [
        "",
        "pin=1",
        "a=1; pin=2; b=3",
        "pin=1;pin=2",
        " pin = \"x\" ;a",
        "a=pin=1; =pin=2; pin",
        "Pin=1; pinx=2",
        "pin=\"a;b\"; pin=c",
        ";;pin=1;;",
        "pin==",
        "pin=\"",
        "pin=\"\"",
        "a=1, pin=2",
        "\tpin\t=\t1\t",
        "a=1;  pin=2;  b=3",
        "pin=1; a=b",
        " a=1; pin=2",
        "pin=%41",
    ];
    let headers = fields.iter().map(|field| {
        let mut out = [0; 64];
        let len = tokenpin::cookie::field::strip(field.as_bytes(), b"pin", &mut out).unwrap();
        let values: Vec<&str> =
            tokenpin::cookie::field::values(field.as_bytes(), b"pin").map(text).collect();
        json!({ "field": field, "name": "pin", "values": values, "stripped": text(&out[..len]) })
    });
    let names = [&b""[..], b"openai", b"anthropic", &[b's'; 1024]].map(|scope| {
        json!({ "scope": hex(scope), "name": text(CookieName::for_scope(scope).as_bytes()) })
    });
    let sections = [
        ("encode", encodes),
        ("decode", decodes),
        ("header", headers.collect()),
        ("default_name", names.to_vec()),
    ];
    compare("cookie_v1.json", &sections);
}

fn config_json(config: &Config<'_>, slots: &[Json]) -> Json {
    let attributes = &config.attributes;
    let ids = &config.ids;
    let texts = |list: &[&[u8]]| list.iter().map(|it| text(it).to_owned()).collect::<Vec<_>>();
    let fields: Vec<Json> = ids
        .fields
        .keys
        .iter()
        .map(|key| json!({ "name": text(key.name), "kind": key.kind.name() }))
        .collect();
    json!({
        "strategy": config.strategy.name(), "placement_key": hex(&PLACEMENT),
        "cookie_keys": ring_json(config.cookie_keys), "slots": slots, "scope": hex(config.scope),
        "cookie_name": config.cookie_name.map(text),
        "attributes": { "path": text(attributes.path), "domain": text(attributes.domain),
            "secure": attributes.secure, "http_only": attributes.http_only,
            "same_site": attributes.same_site.name(), "partitioned": attributes.partitioned },
        "max_age": config.max_age, "skew": config.skew, "max_life": config.max_life,
        "max_idle": config.max_idle, "policy_existing": config.policy_existing.name(),
        "policy_new": config.policy_new.name(), "combine_keys": config.combine_keys,
        "reject_bad_keys": config.reject_bad_keys, "keyed_cookies": config.keyed_cookies,
        "mint_single": config.mint_single, "prompt_cache": config.prompt_cache,
        "success": [config.success.0, config.success.1],
        "id_mode": ids.mode.name(), "id_keys": ring_json(ids.keys), "id_owner": ids.owner.name(),
        "foreign_seals": ids.foreign.name(), "encrypted_content": ids.encrypted,
        "id_fields": fields, "id_prefixes": texts(ids.fields.prefixes),
        "id_collections": texts(ids.fields.collections),
    })
}

/// A configuration together with its JSON.
struct Setup {
    config: Config<'static>,
    slots: Vec<Slot>,
    json: Json,
}

fn setup(numbers: &mut Numbers, number: u64) -> Setup {
    static KEYS: std::sync::LazyLock<[CookieKey; 2]> =
        std::sync::LazyLock::new(|| [cookie_key(1, Role::Sign), cookie_key(2, Role::Retire)]);
    let n = match number {
        0 => 1,
        _ => 1 + numbers.below(6),
    };
    let (slots, slots_json) = random_slots(numbers, n);
    let on = |numbers: &mut Numbers| numbers.below(2) == 0;
    let mut config = Config::new(Secret::new(PLACEMENT), &*KEYS);
    if number > 1 {
        config.strategy = numbers.pick(&[
            Strategy::Jump,
            Strategy::Jump,
            Strategy::Rendezvous,
            Strategy::HigressFnv1aModulo,
        ]);
        config.scope = numbers.pick(&[&b""[..], b"openai"]);
        config.cookie_name = numbers.pick(&[None, Some(&b"pin"[..])]);
        config.max_age = numbers.pick(&[None, None, Some(0), Some(86_400)]);
        config.max_life = numbers.pick(&[2_592_000, 2_592_000, 0]);
        config.max_idle = numbers.pick(&[0, 3600]);
        config.policy_existing = numbers.pick(Policy::ALL);
        config.policy_new = numbers.pick(Policy::ALL);
        config.combine_keys = on(numbers);
        config.reject_bad_keys = numbers.below(4) == 0;
        config.keyed_cookies = on(numbers);
        config.mint_single = on(numbers);
        config.prompt_cache = on(numbers);
        config.success = numbers.pick(&[(200, 299), (200, 399)]);
        if on(numbers) {
            config.attributes.same_site = numbers.pick(SameSite::ALL);
            config.attributes.partitioned = on(numbers);
        }
    }
    let json = config_json(&config, &slots_json);
    Setup { config, slots, json }
}

fn decision_json(decision: &Decision) -> Json {
    json!({
        "slot": decision.slot, "source": decision.source.name(),
        "outcome": decision.outcome.name(), "pin_state": decision.pin_state.name(),
        "verdict": decision.verdict.name(), "id_verdict": decision.id_verdict.name(),
        "id_keys": decision.id_keys, "key_reason": decision.key_reason.name(),
        "ambiguous": decision.ambiguous, "existing": decision.existing,
        "may_move": decision.may_move, "retry_after": decision.retry_after,
        "refusal": decision.refusal().name(), "refusal_status": decision.refusal().status(),
        "fingerprint": hex64(decision.fingerprint),
        "cookie": decision.cookie.map(|cookie| json!({
            "value": text(&cookie.value), "max_age": cookie.max_age, "carrier": cookie.carrier,
        })),
    })
}

fn error_name(error: Error) -> &'static str {
    match error {
        Error::ScopeLength => "scope_length",
        Error::SlotRange => "slot_range",
        Error::Entropy => "entropy",
        Error::Time => "time",
        other => panic!("{other:?}"),
    }
}

/// Returns the output for three response statuses.
fn finish_json(affinity: &Affinity<'_>, decision: &Decision) -> [Json; 3] {
    [200, 302, 404].map(|status| {
        let mut out = [0; tokenpin::MAX_SET_COOKIE];
        let (answer, len) = affinity.finish(decision, status, &mut out).unwrap();
        json!({ "status": status, "answer": answer.name(), "text": text(&out[..len]) })
    })
}

/// Returns a cookie for this setup, usually good, pinned to one of its accounts or to none.
fn some_cookie(numbers: &mut Numbers, setup: &Setup, scope: &[u8], key: &Key<'_>) -> String {
    let now = u32::try_from(NOW).unwrap();
    let name = match setup.config.cookie_name {
        Some(name) => CookieName::new(name).unwrap(),
        None => CookieName::for_scope(scope),
    };
    let id = numbers.pick(&[1, 2, 2, 1, 3]);
    let ring = KeyRing::new(&[cookie_key(id, Role::Sign)], None).unwrap();
    let at = usize::try_from(numbers.below(8)).unwrap();
    let pin = setup.slots.get(at).map_or(77, Slot::identity_hash);
    let issued_at = now - numbers.pick(&[0, 1, 5000, 2_592_000, 2_592_001]);
    let refreshed_at = issued_at.max(now - numbers.pick(&[0, 700, 900, 4000]));
    let ahead = if numbers.below(16) == 0 { 301 + now - issued_at } else { 0 };
    let (issued_at, refreshed_at) = (issued_at + ahead, refreshed_at + ahead);
    let cookie = Cookie { kind: key.kind(), issued_at, refreshed_at, id: numbers.id(), pin };
    let audience = Audience { name: name.as_bytes(), scope };
    let value = tokenpin::cookie::encode(&ring, &audience, key, &cookie).unwrap();
    let value = match numbers.below(12) {
        0 => format!("A{}", text(&value[1..])),
        1 => format!("I{}", text(&value[1..])),
        2 => format!("{}A", text(&value[..65])),
        3 => format!("{}A", text(&value[..66])),
        _ => text(&value).to_owned(),
    };
    format!("{}={value}", text(name.as_bytes()))
}

/// Checks that the drawn cases have every value of every enum, and every refusal.
fn everything_occurs(seen: &[Decision], refused: &[Json]) {
    for name in tokenpin::Outcome::ALL {
        assert!(seen.iter().any(|decision| decision.outcome == *name), "{name:?}");
    }
    for name in tokenpin::Source::ALL.iter().filter(|name| **name != Source::Id) {
        assert!(seen.iter().any(|decision| decision.source == *name), "{name:?}");
    }
    for name in tokenpin::PinState::ALL {
        assert!(seen.iter().any(|decision| decision.pin_state == *name), "{name:?}");
    }
    for name in Verdict::ALL {
        assert!(seen.iter().any(|decision| decision.verdict == *name), "{name:?}");
    }
    for name in tokenpin::KeyReason::ALL {
        assert!(seen.iter().any(|decision| decision.key_reason == *name), "{name:?}");
    }
    for name in ["scope_length", "slot_range", "entropy", "time"] {
        assert!(refused.iter().any(|case| case["error"] == name), "{name}");
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one case after another, with nothing to reuse")]
fn decision() {
    let mut numbers = Numbers(3);
    let setups: Vec<Setup> = (0..60).map(|i| setup(&mut numbers, i)).collect();
    let targets = [
        "POST /v1/responses",
        "POST /v1/responses",
        "POST /v1/files",
        "GET /v1/responses/resp_1",
        "DELETE /openai/v1/files/f?x=/y",
        "POST /v1/threads/t/runs",
        "POST /v1/chat/completions",
        "POST /v1/embeddings",
        "OPTIONS /v1/responses",
        "POST /v1/messages/batches",
    ];
    let more = [
        "HEAD /v1/files/f/content",
        "PATCH /v1beta/cachedContents/c",
        "GET /v1/models",
        "POST /v1/Responses",
        "POST /v1/responsesx",
        "POST /v1/xresponses",
        "POST //v1//files//",
        "POST /v1/files/?a=/b#c",
        "POST /v1/fine_tuning/jobs",
        "POST /v1/fine_tuning/jobs/j/cancel",
        "POST /v1/fine_tuning/x",
        "POST /v1/threads/runs",
        "POST /v1/vector_stores/v/files",
        "TRACE /v1/files",
        "CONNECT /v1/files",
        "CONNECT /v1/files/f",
        "CONNECT files:443",
        "CONNECT files",
        "get /v1/files",
        "POST /v1/messages",
        "POST /v1/completions",
        "GET /v1/chat/completions/c",
        "POST https://gateway.example/v1/videos",
        "POST *",
        "POST /v1/fine%5Ftuning",
        "POST /v1/%72esponses",
        "POST /v1/files%2Fx",
        "POST /v1/files%2f",
        "POST /v1%2Ffiles",
        "POST /v1/files%3Fx",
        "POST /v1/%2566iles",
        "POST /v1/%66%69les",
        "POST /v1/%g6iles",
        "POST /v1/files%",
        "POST /v1/files%6",
        "POST /v1/model%73/files",
        "POST /v1/models/m%3AbatchGenerateContent",
        "POST /v1/models/:batchGenerateContent",
        "POST /v1/models/m/x:batchGenerateContent",
        "POST /v1/models//files",
        "POST /openai/deployments/files/chat/completions",
        "POST /v1/models/batches:generateContent",
        "GET /v1/models/files/operations/o",
        "POST /model/threads/invoke",
        "POST /projects/batches/locations/l/models/files:generateContent",
        "POST /engines/files/completions",
        "POST responses",
    ];
    let mut classes = Vec::new();
    // Every row of the default table, so that no implementation lacks one.
    let rows = DEFAULT_RULES.iter().flat_map(|rule| {
        let path = text(rule.pattern).replace('*', "x");
        ["POST /v1/", "GET /", "POST /models/"]
            .map(|front| format!("{front}{path}"))
            .into_iter()
            .chain([format!("POST /v1/{path}/x")])
    });
    let lines = targets.iter().skip(1).chain(&more).map(ToString::to_string);
    for line in sample(16, lines.chain(rows)) {
        let (method, target) = line.split_once(' ').unwrap();
        for prompt_cache in [true, false] {
            let class = classify(&[], false, prompt_cache, method.as_bytes(), target.as_bytes());
            classes.push(case(|| {
                json!({ "method": method, "target": target, "prompt_cache": prompt_cache,
                "group": class.group.name(), "existing": class.existing, "ids": class.ids.name() })
            }));
        }
    }
    let mut index = vec![0; Affinity::index_len(setups[0].slots.len())];
    let affinity = Affinity::new(&setups[0].config, &setups[0].slots, &mut index).unwrap();
    let hints = [1, 7, 8, 9, 15, 16, 17, tokenpin::MAX_KEY].map(|len| {
        let of: Vec<u8> = (0..=255).cycle().take(len).collect();
        let hint = affinity.id_hint(&of).unwrap();
        json!({ "placement_key": hex(&PLACEMENT), "of": hex(&of), "id_hint": hex(&hint) })
    });
    let (mut answered, mut refused) = (Vec::new(), Vec::new());
    let mut seen = Vec::new();
    for i in 0..DRAWN {
        let number = usize::try_from(i % 60).unwrap();
        let setup = &setups[number];
        let mut index = vec![0; Affinity::index_len(setup.slots.len())];
        let affinity = Affinity::new(&setup.config, &setup.slots, &mut index).unwrap();
        let (method, target) = numbers.pick(&targets).split_once(' ').unwrap();
        let group = numbers.pick(&[None, None, Some(Group::Stateful), Some(Group::PromptCache)]);
        let none: &[&[u8]] = &[];
        let one: &[&[u8]] = &[b"", b"alice"];
        let long = numbers.below(40) == 0;
        let consumers =
            numbers.pick(&[none, none, one, &[b"alice", b"bob"], &[b"alice", b"", b"alice"]]);
        let consumers = if long { TOO_LONG } else { consumers };
        let long = numbers.below(40) == 0;
        let sessions = numbers.pick(&[none, none, &[b"s-1"], &[b"s-1", b"s-1"], &[b"s-1", b"s-2"]]);
        let sessions = if long { TOO_LONG } else { sessions };
        let trusted = numbers.below(4) != 0;
        let request_scope = numbers.pick(&[&b""[..], b"", b"tenant-7"]);
        let scope = if request_scope.is_empty() { setup.config.scope } else { request_scope };
        let kinds = [
            Key::Anonymous(&[0; 16]),
            Key::Anonymous(&[0; 16]),
            Key::Consumer(b"alice"),
            Key::Session(b"s-1"),
            Key::Combined { consumer: b"alice", session: b"s-1" },
        ];
        let mut cookies: Vec<String> = Vec::new();
        for _ in 0..numbers.pick(&[0, 1, 1, 1, 2, 3]) {
            let key = numbers.pick(&kinds);
            cookies.push(some_cookie(&mut numbers, setup, scope, &key));
        }
        if numbers.below(4) == 0 {
            cookies.insert(0, "theme=dark; lang=en".to_owned());
        }
        let mut carrier_value = String::new();
        if numbers.below(8) == 0 {
            let cookie = some_cookie(&mut numbers, setup, scope, &kinds[0]);
            cookie.split_once('=').unwrap().1.clone_into(&mut carrier_value);
        }
        let capacity = u32::try_from(setup.slots.len()).unwrap();
        let mut tried: Vec<u32> = (0..capacity).filter(|_| numbers.below(8) == 0).collect();
        let mut entropy = numbers.id();
        let mut id_hint = if numbers.below(6) == 0 { Some(numbers.id()) } else { None };
        let (mut request_scope, mut now) = (request_scope, NOW);
        // Values that may be refused, and are not if they do not matter.
        match numbers.below(50) {
            0 => request_scope = &[b's'; 1025],
            1 => tried.push(capacity),
            2 => entropy = [0; 16],
            3 => id_hint = Some([0; 16]),
            4 => now = 1 << 32,
            _ => {}
        }
        let request = Request {
            group,
            existing: numbers.below(6) == 0,
            ids: None,
            method: method.as_bytes(),
            target: target.as_bytes(),
            consumer: KeyInput::new(consumers.iter().copied()).trusted(trusted),
            session: KeyInput::new(sessions.iter().copied()),
            carrier_value: carrier_value.as_bytes(),
            carrier: numbers.below(8) == 0,
            scope: request_scope,
            tried: &tried,
            now,
            entropy,
            id_hint,
        };
        let hexes = |values: &[&[u8]]| values.iter().map(|value| hex(value)).collect::<Vec<_>>();
        let request_json = || {
            json!({
                "group": group.map(Group::name), "existing": request.existing, "method": method,
                "target": target, "consumers": hexes(consumers), "consumer_trusted": trusted,
                "sessions": hexes(sessions), "cookies": cookies, "carrier_value": carrier_value,
                "carrier": request.carrier, "scope": hex(request_scope), "tried": tried,
                "now": now, "entropy": hex(&entropy), "id_hint": id_hint.map(|id| hex(&id)),
            })
        };
        let decision = match affinity.decide(&request, cookies.iter().map(String::as_bytes)) {
            Ok(decision) => decision,
            Err(error) => {
                let error = error_name(error);
                refused.push(case(
                    || json!({ "config": number, "request": request_json(), "error": error }),
                ));
                continue;
            }
        };
        seen.push(decision);
        answered.push(case(|| {
            json!({
                "config": number,
                "request": request_json(),
                "decision": decision_json(&decision),
                "live_fingerprint": hex64(affinity.live_fingerprint(now)),
                "finish": finish_json(&affinity, &decision),
            })
        }));
    }
    if !SAMPLED {
        everything_occurs(&seen, &refused);
    }
    let configs = sample(8, setups).into_iter().map(|setup| setup.json).collect();
    let sections = [
        ("classify", classes),
        ("id_hint", hints.to_vec()),
        ("configs", configs),
        ("cases", answered),
        ("refused", refused),
    ];
    compare("decision_v1.json", &sections);
}
