//! Nothing on the path of a request allocates: a counting allocator shows it.
#![deny(clippy::pedantic)]

mod bodies;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use tokenpin::cookie::{self, field, set_cookie};
use tokenpin::ids::{Ids, Mode, Opener, Opening, Rules, Sealer, Sealing, Summary};
use tokenpin::{
    Affinity, Attributes, Audience, Config, Cookie, CookieKey, CookieName, Filter, Group, IdConfig,
    IdRing, IdSealer, Key, KeyInput, KeyRing, Kind, Limits, MAX_ID, MAX_KEY, MAX_SET_COOKIE,
    Outcome, Refusal, Request, Role, Secret, Slot, SlotStatus, State, Strategy, VALUE_LEN,
    identity_hash, key_hash, select, select_higress,
};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    // Only of this thread: the harness allocates in others.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    COUNT.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Returns the number of calls of the allocator, to allocate or to free.
fn allocations<T>(work: impl FnOnce() -> T) -> u64 {
    let before = COUNT.get();
    black_box(work());
    COUNT.get() - before
}

const NOW: u64 = 1_800_000_000;
const NAME: &[u8] = b"__Host-tokenpin";
const ID: [u8; 16] = [5; 16];
const AUDIENCE: Audience<'_> = Audience { name: NAME, scope: b"" };

fn key(id: u8, role: Role) -> CookieKey {
    CookieKey { id, role, secret: Secret::new([id; 16]) }
}

fn session(pin: &[u8]) -> Cookie {
    let now = u32::try_from(NOW).unwrap();
    let pin = identity_hash(pin);
    Cookie { kind: Kind::Anonymous, issued_at: now, refreshed_at: now, id: ID, pin }
}

/// A `Cookie` field with a cookie of key 1 among others.
fn field(pin: &[u8]) -> Vec<u8> {
    let ring = KeyRing::new(&[key(1, Role::Sign)], None).unwrap();
    let value = cookie::encode(&ring, &AUDIENCE, &Key::Anonymous(&ID), &session(pin)).unwrap();
    [b"theme=dark; ", NAME, b"=", &value, b"; lang=en"].concat()
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| 1), 0);
    assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 2, "one given, one taken");
    assert_eq!(allocations(|| drop(black_box(vec![0_u64; 9]))), 2, "zeroed");
    let mut growing = Vec::with_capacity(1);
    growing.push(1);
    assert_eq!(allocations(|| growing.reserve_exact(9)), 1, "reallocated");
}

#[test]
fn sealing_and_opening_ids_does_not_allocate() {
    let ring = IdRing::new(&[key(1, Role::Sign)], None).unwrap();
    let long = [b'a'; MAX_ID];
    let work = || {
        let ids = IdSealer::new(&ring, b"scope", b"alice").unwrap();
        let digits = b"resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41";
        for id in [&long[..], b"file-AbCdEfGhIjKlMnOpQrStUv", digits, b"no id"] {
            let sealed = ids.seal(id, 5);
            black_box(ids.open(sealed.as_ref().map_or(id, |sealed| sealed.as_bytes())));
            black_box(ids.mark(id, 5));
            black_box(ids.open_mark(id));
        }
    };
    assert_eq!(allocations(work), 0);
}

#[test]
fn opening_and_sealing_bodies_and_targets_does_not_allocate() {
    let ring = IdRing::new(&[key(1, Role::Sign)], None).unwrap();
    let ids = IdSealer::new(&ring, b"", b"").unwrap();
    let rules = Rules::new(ids, Mode::Seal);
    let sealed = ids.seal(b"resp_1", 5).unwrap();
    let mut body =
        br#"{"id":"resp_1","a":[{"file_ids":["file-1"]}],"encrypted_content":"gAAA","b":""#
            .to_vec();
    body.extend_from_slice(sealed.as_bytes());
    body.extend_from_slice(br#"","previous_response_id":""#);
    body.extend_from_slice(sealed.as_bytes());
    body.extend_from_slice(b"\"}");
    let target = [b"/v1/responses/", sealed.as_bytes(), b"?after=msg_1"].concat();
    let (mut place, mut path, mut out) = (body.clone(), target.clone(), [0; 999]);
    let work = || {
        let mut summary = Summary::new();
        let with = Opening { rules: &rules, known: &|_| true };
        with.open_target(Ids::Items, &mut summary, &mut path);
        Opener::new(Ids::Items).open_in_place(&with, &mut summary, &mut place);
        assert_eq!((summary.opened, summary.account().map(|(pin, _)| pin)), (2, Some(5)));
        let with = Sealing { rules: &rules, pin: 5, echo: &summary.echo, origin: None };
        let mut through = Sealer::json(Ids::Items);
        for chunk in body.chunks(7) {
            through.push(&with, chunk, |part| {
                black_box(part);
            });
        }
        black_box(through.finish(&with));
        // An id that the request had plain stays plain.
        assert_eq!(through.sealed, 1);
        black_box(with.seal_target(Ids::Items, &target, &mut out)).unwrap();
    };
    assert_eq!(allocations(work), 0);
}

#[test]
fn decide_and_finish_do_not_allocate() {
    // Cookies of key 1 are due; both keys combine, and get cookies.
    let cookie_keys = [key(1, Role::Retire), key(2, Role::Sign)];
    let config = Config {
        combine_keys: true,
        keyed_cookies: true,
        ..Config::new(Secret::new([0xaa; 16]), &cookie_keys)
    };
    let config = Config { ids: IdConfig { mode: Mode::Seal, ..config.ids }, ..config };
    let down = SlotStatus { state: State::Down, ..SlotStatus::UP };
    let slot = |i: u32| Slot::new(&i.to_be_bytes(), if i % 3 == 0 { down } else { SlotStatus::UP });
    let slots: Vec<_> = (0..100).map(|i| slot(i).unwrap()).collect();

    let long = [b'x'; MAX_KEY];
    let name = KeyInput::new([&long[..]]).trusted(true);
    let several = KeyInput::new([&b"a"[..], b"b"]).trusted(true);
    let new = Request { now: NOW, entropy: [7; 16], ..Request::default() };
    let stateful = Request { group: Some(Group::Stateful), ..new };
    let tried: Vec<_> = (0..100).collect();
    // Ids of an account that is up, of one that is down, and of none; history; and one that is
    // refused.
    let ring = IdRing::new(&cookie_keys, None).unwrap();
    let rules = Rules::new(IdSealer::new(&ring, b"", b"").unwrap(), Mode::Seal);
    let read = |name: &str, account: u32, spoilt: &str| {
        let id = rules.sealer.seal(b"resp_1", identity_hash(&account.to_be_bytes())).unwrap();
        let id = std::str::from_utf8(id.as_bytes()).unwrap();
        let mut body = format!(r#"{{"input":[{{"{name}":"{spoilt}{id}","x":1}}]}}"#).into_bytes();
        let (with, mut ids) = (Opening { rules: &rules, known: &|_| true }, Summary::new());
        with.open_target(Ids::Items, &mut ids, &mut b"/v1/responses".to_vec());
        Opener::new(Ids::Items).open_in_place(&with, &mut ids, &mut body);
        ids
    };
    let ids = [
        read("file_id", 1, ""),
        read("file_id", 3, ""),
        read("file_id", 1_000, ""),
        read("id", 2, ""),
        read("file_id", 1, "x"),
    ];
    let [with_up, with_down, with_gone, with_history, with_bad] =
        ids.each_ref().map(|ids| Request { ids: Some(ids), ..stateful });
    let requests = [
        with_up,
        with_down,
        with_gone,
        with_history,
        with_bad,
        Request { consumer: name, ..with_up },
        Request { tried: &tried, ..with_up },
        Request { group: Some(Group::Stateless), ..new },
        Request { group: Some(Group::PromptCache), ..new },
        Request { method: b"GET", target: b"/v1/responses/resp_1?x=y", ..new },
        stateful,
        Request { existing: true, ..stateful },
        Request { consumer: name, ..stateful },
        Request { session: name, ..stateful },
        Request { consumer: name, session: name, ..stateful },
        Request { consumer: several, ..stateful },
        Request { scope: b"openai", ..stateful },
        Request { carrier: true, ..stateful },
        Request { carrier_value: b"junk", ..stateful },
        Request { tried: &tried[..50], ..stateful },
        Request { tried: &tried, ..stateful },
        Request { entropy: [0; 16], ..stateful },
        Request { now: u64::MAX, ..stateful },
    ];
    let [pinned, failed, gone] = [1_u32, 3, 1_000].map(|i| field(&i.to_be_bytes()));
    let forged = vec![[NAME, b"=", &[b'A'; VALUE_LEN]].concat(); 100].join(&b";"[..]);
    let many = pinned.repeat(100);
    let headers: [&[&[u8]]; 6] =
        [&[], &[&pinned], &[&failed], &[&gone], &[&forged, &pinned], &[&many]];

    for strategy in Strategy::ALL {
        let config = Config { strategy: *strategy, ..config.clone() };
        let mut index = vec![0; Affinity::index_len(slots.len())];
        let mut built = None;
        assert_eq!(allocations(|| built = Some(Affinity::new(&config, &slots, &mut index))), 0);
        let affinity = built.unwrap().unwrap();
        let mut outcomes = [false; Outcome::ALL.len()];
        let mut refusals = [false; Refusal::ALL.len()];
        let mut out = [0; MAX_SET_COOKIE];
        for (request, cookies) in requests.iter().flat_map(|r| headers.map(|h| (r, h))) {
            let mut decision = None;
            let count = allocations(|| {
                decision = Some(affinity.decide(request, cookies.iter().copied()));
            });
            assert_eq!(count, 0);
            let Some(Ok(decision)) = decision else { continue };
            refusals[decision.refusal() as usize] = true;
            outcomes[decision.outcome as usize] = true;
            for status in [200, 500] {
                assert_eq!(allocations(|| affinity.finish(&decision, status, &mut out)), 0);
            }
        }
        let reached = outcomes.iter().filter(|reached| **reached).count();
        assert_eq!(reached, Outcome::ALL.len(), "every outcome, {outcomes:?}");
        assert!(refusals[Refusal::SessionUnavailable as usize]);
        assert!(refusals[Refusal::NotFound as usize]);
        let rules = || {
            let owner = affinity.id_owner(name);
            (affinity.id_rules(b"scope", owner, None).is_ok(), affinity.knows(7), affinity.pin(1))
        };
        assert_eq!(allocations(rules), 0);

        let live = || (affinity.live_fingerprint(NOW), affinity.set_slot(1, SlotStatus::UP));
        assert_eq!(allocations(live), 0);
    }
}

#[test]
fn select_does_not_allocate() {
    let slots: Vec<_> = (0..100_u8)
        .map(|i| Slot::new(&[i], SlotStatus { weight: 9, ..SlotStatus::UP }).unwrap())
        .collect();
    let placement_key = Secret::new([0xaa; 16]);
    let key = Key::Session(b"thread-7");
    for strategy in Strategy::ALL {
        let count = allocations(|| {
            let hash = key_hash(&placement_key, b"scope", &key).unwrap();
            match strategy {
                Strategy::HigressFnv1aModulo => {
                    select_higress(&slots, &Filter::default(), hash, &key).unwrap()
                }
                _ => select(*strategy, &slots, &Filter::default(), hash).unwrap().unwrap(),
            }
        });
        assert_eq!(count, 0);
    }
}

#[test]
fn cookies_are_encoded_decoded_and_stripped_without_allocating() {
    let mut ring = None;
    let keys = [key(1, Role::Sign)];
    assert_eq!(allocations(|| ring = Some(KeyRing::new(&keys, None))), 0);
    let ring = ring.unwrap().unwrap();
    let anonymous = Key::Anonymous(&ID);
    let cookie = session(b"a");
    let encode = || cookie::encode(&ring, &AUDIENCE, &anonymous, &cookie).unwrap();
    assert_eq!(allocations(encode), 0);
    let mut codec = None;
    assert_eq!(allocations(|| codec = Some(cookie::Codec::new(&ring, &AUDIENCE))), 0);
    let codec = codec.unwrap().unwrap();
    assert_eq!(allocations(|| codec.encode(&anonymous, &cookie).unwrap()), 0);

    let limits = Limits { skew: 300, max_life: 9, max_idle: 9, refresh_interval: 9 };
    let value = encode();
    let alice = Key::Consumer(b"alice");
    let values: [&[u8]; 3] = [&value, &[b'A'; VALUE_LEN], b"junk"];
    for value in values {
        for key in [None, Some(&alice)] {
            let decode = || cookie::decode(&ring, &AUDIENCE, key, &limits, NOW, value).unwrap();
            assert_eq!(allocations(decode), 0);
            assert_eq!(allocations(|| codec.decode(key, &limits, NOW, value).unwrap()), 0);
        }
    }

    let field = field(b"a");
    let mut out = [0; MAX_SET_COOKIE];
    assert_eq!(allocations(|| field::values(&field, NAME).count()), 0);
    assert_eq!(allocations(|| field::strip(&field, NAME, &mut out)), 0);
    assert_eq!(&out[..19], b"theme=dark; lang=en");
    assert_eq!(allocations(|| set_cookie::matches(&field, NAME)), 0);
    let attributes = Attributes::default();
    let write = || set_cookie::write(NAME, &value, &attributes, 60, &mut out).unwrap();
    assert_eq!(allocations(write), 0);
    assert_eq!(allocations(|| CookieName::for_scope(b"openai")), 0);
}
