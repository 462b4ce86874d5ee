//! The affinity that owns its memory.
#![cfg(feature = "alloc")]
#![deny(clippy::pedantic)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;

use tokenpin::ids::{Fields, ForeignSeals, IdKey, Ids, KeyKind, Mode, Opening, Summary};
use tokenpin::{
    Affinity, Answer, Attributes, Config, ConfigError, CookieKey, Decision, Error, Field, Group,
    IdConfig, IdOwner, KeyInput, MAX_SET_COOKIE, OwnedAffinity, Request, Role, Rule, SameSite,
    Secret, Slot, SlotStatus, State, Strategy,
};
use tokenpin_test_support::random::Random;
use tokenpin_test_support::sample::cases;

/// The bytes that watched threads have allocated and not freed, and the number of their
/// allocations. Not of all threads: the harness allocates in its own.
struct Counting {
    live: AtomicI64,
    times: AtomicU64,
}

#[global_allocator]
static ALLOCATOR: Counting = Counting { live: AtomicI64::new(0), times: AtomicU64::new(0) };

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

impl Counting {
    fn change(&self, bytes: usize, sign: i64) {
        if !WATCHED.get() {
            return;
        }
        self.live.fetch_add(sign * i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
        self.times.fetch_add(u64::from(sign > 0), Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.change(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        self.change(layout.size(), -1);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Held by a test that counts: the counters are the same for all.
static COUNTERS: Mutex<()> = Mutex::new(());

/// Returns the bytes that remain of what the watched parts of `work` allocate, and the number of
/// allocations.
fn counted(work: impl FnOnce()) -> (i64, u64) {
    let _alone = COUNTERS.lock();
    let counts =
        || (ALLOCATOR.live.load(Ordering::Relaxed), ALLOCATOR.times.load(Ordering::Relaxed));
    let before = counts();
    work();
    let after = counts();
    (after.0 - before.0, after.1 - before.1)
}

fn watched<R>(work: impl FnOnce() -> R) -> R {
    WATCHED.set(true);
    let done = work();
    WATCHED.set(false);
    done
}

const NOW: u64 = 1_800_000_000;

fn slots(count: u32) -> Vec<Slot> {
    let slot = |number: u32| match number % 7 {
        5 => Slot::vacant(),
        6 => {
            let status = SlotStatus { state: State::Down, ..SlotStatus::UP };
            Slot::new(&number.to_le_bytes(), status).unwrap()
        }
        _ => Slot::new(&number.to_le_bytes(), SlotStatus::UP).unwrap(),
    };
    (0..count).map(slot).collect()
}

/// A configuration in its own memory. `number` determines all of it.
struct Facts {
    number: u64,
    keys: Vec<CookieKey>,
    scope: Vec<u8>,
    name: Vec<u8>,
    path: Vec<u8>,
    domain: Vec<u8>,
    patterns: Vec<Vec<u8>>,
    id_keys: Vec<CookieKey>,
    /// Additions to the table of ids: a key, a prefix, a collection.
    words: [Vec<u8>; 3],
}

impl Facts {
    fn new(number: u64) -> Self {
        let key = |i, role| CookieKey { id: 10 + i, role, secret: Secret::new([100 + i; 16]) };
        let role = |i| if i == 0 { Role::Sign } else { Role::Accept };
        let keys = (0..=u8::try_from(number % 3).unwrap()).map(|i| key(i, role(i)));
        let text = |what: &str| format!("{what}-{number}").into_bytes();
        Self {
            number,
            keys: keys.collect(),
            scope: if number % 2 == 0 { Vec::new() } else { text("scope") },
            name: text("name"),
            path: text("/path"),
            domain: text("gateway.example"),
            patterns: (0..number % 4).map(|i| text(&format!("api{i}/part"))).collect(),
            id_keys: (0..number % 2).map(|_| key(3, Role::Sign)).collect(),
            words: [text("key"), text("prefix"), text("collection")],
        }
    }

    /// Calls `then` with the configuration, which borrows from here.
    fn with<R>(&self, then: impl FnOnce(&Config<'_>) -> R) -> R {
        let rules: Vec<Rule<'_>> = self
            .patterns
            .iter()
            .map(|pattern| Rule { pattern, group: Group::Stateful, ids: Ids::Both })
            .collect();
        let plain = Config::new(Secret::new([7; 16]), &self.keys);
        let (bit, some) = (|i: u32| self.number >> i & 1 == 1, self.number);
        let [key, prefix, collection] = &self.words;
        let keys = [IdKey { name: key, kind: KeyKind::Query }];
        let (prefixes, collections) = ([&prefix[..]], [&collection[..]]);
        let added = Fields { keys: &keys, prefixes: &prefixes, collections: &collections };
        then(&Config {
            strategy: [Strategy::Jump, Strategy::Rendezvous, Strategy::HigressFnv1aModulo]
                [usize::try_from(some % 3).unwrap()],
            scope: &self.scope,
            cookie_name: bit(3).then_some(&self.name),
            attributes: Attributes {
                path: if bit(3) { &self.path } else { b"/" },
                domain: if bit(3) { &self.domain } else { b"" },
                same_site: if bit(4) { SameSite::None } else { SameSite::Strict },
                partitioned: bit(5),
                ..Attributes::default()
            },
            max_age: bit(6).then_some(777),
            skew: 100 + u32::from(bit(0)),
            max_idle: if bit(1) { 5000 } else { 0 },
            combine_keys: bit(2),
            keyed_cookies: bit(4),
            mint_single: bit(5),
            prompt_cache: bit(6),
            ids: IdConfig {
                mode: Mode::ALL[usize::try_from(some % 4).unwrap()],
                keys: &self.id_keys,
                owner: if bit(2) { IdOwner::Consumer } else { IdOwner::None },
                foreign: ForeignSeals::ALL[usize::try_from(some % 3).unwrap()],
                encrypted: bit(3),
                fields: if bit(1) { added } else { Fields::NONE },
            },
            rules: if rules.is_empty() { plain.rules } else { &rules },
            ..plain
        })
    }

    fn owned(&self, count: u32) -> OwnedAffinity {
        self.with(|config| OwnedAffinity::new(config, slots(count)).unwrap())
    }
}

/// Returns the answers of `affinity` to a request: the decision, the cookie that is set, and the
/// names to strip.
fn say(
    affinity: &Affinity<'_>,
    request: &Request<'_>,
    cookie: &[u8],
) -> (String, Vec<u8>, Vec<u8>) {
    let owner = affinity.id_owner(request.consumer);
    let rules = affinity.id_rules(request.scope, owner, None).unwrap();
    let id = rules.sealer.seal(b"resp_1", affinity.pin(0).unwrap_or(7)).unwrap();
    let (mut ids, mut target) = (Summary::new(), [request.target, id.as_bytes()].concat());
    let opening = Opening { rules: &rules, known: &|pin| affinity.knows(pin) };
    let len = opening.open_target(Ids::Both, &mut ids, &mut target);
    let request = &Request { ids: Some(&ids), ..*request };
    let decision = affinity.decide(request, [cookie]).unwrap();
    let said = format!("{decision:?} {rules:?} {ids:?} {:?}", target.get(..len));
    let mut out = [0; MAX_SET_COOKIE];
    let (_, len) = affinity.finish(&decision, 200, &mut out).unwrap();
    let name = affinity.cookie_name(request.scope).unwrap();
    (said, out[..len].to_vec(), name.as_bytes().to_vec())
}

fn request<'r>(target: &'r [u8], consumer: &'r [u8], scope: &'r [u8], entropy: u64) -> Request<'r> {
    Request {
        method: b"POST",
        target,
        consumer: KeyInput::new([consumer]).trusted(true),
        scope,
        now: NOW,
        entropy: (u128::from(entropy) | 1).to_le_bytes(),
        ..Request::default()
    }
}

#[test]
fn it_decides_as_one_that_borrows() {
    const FLEETS: u64 = cases(256, 3) as u64;
    let mut random = Random::new("owned affinities");
    let (mut cookies, mut by_id) = (0, 0);
    for number in 0..FLEETS {
        let count = 1 + u32::try_from(random.below(40)).unwrap();
        // The facts are dropped before it decides.
        let owned = Facts::new(number).owned(count);
        let facts = Facts::new(number);
        facts.with(|config| {
            let slots = slots(count);
            let mut index = vec![0; Affinity::index_len(slots.len())];
            let borrowed = Affinity::new(config, &slots, &mut index).unwrap();
            assert_eq!(owned.get().fingerprint(), borrowed.fingerprint());
            assert_eq!(format!("{owned:?}"), format!("OwnedAffinity({borrowed:?})"));
            let mut cookie = Vec::new();
            for _ in 0..20 {
                let pattern = facts.patterns.first().map_or(&b"responses"[..], |pattern| pattern);
                // In some, an id follows a collection of the configuration, or is the value of an
                // added parameter.
                let [key, _, collection] = &facts.words;
                let front = [
                    [b"/v1/", pattern].concat(),
                    [b"/v1/", pattern, b"/"].concat(),
                    [b"/v1/", pattern, b"/", &collection[..], b"/"].concat(),
                    [b"/v1/", pattern, b"?", &key[..], b"="].concat(),
                ];
                let target = &front[usize::try_from(random.below(4)).unwrap()];
                let consumer =
                    [b"alice".as_slice(), b""][usize::try_from(random.below(2)).unwrap()];
                let scope = [b"".as_slice(), b"other"][usize::try_from(random.below(2)).unwrap()];
                let request = request(target, consumer, scope, random.word());
                let said = say(owned.get(), &request, &cookie);
                by_id += usize::from(said.0.contains("source: Id"));
                assert_eq!(said, say(&borrowed, &request, &cookie), "{number}");
                if let Some(end) = said.1.iter().position(|&byte| byte == b';') {
                    cookie = said.1[..end].to_vec();
                    cookies += 1;
                }
            }
        });
    }
    assert!(cookies > FLEETS, "{cookies}");
    assert!(by_id > cases(1_000, 0), "{by_id}");
}

#[test]
fn it_refuses_what_one_that_borrows_refuses() {
    let keys = [CookieKey { id: 1, role: Role::Sign, secret: Secret::new([1; 16]) }];
    let good = Config::new(Secret::new([2; 16]), &keys);
    let empty_pattern = [Rule { pattern: b"", group: Group::Stateful, ids: Ids::None }];
    let twice =
        || vec![Slot::new(b"a", SlotStatus::UP).unwrap(), Slot::new(b"a", SlotStatus::UP).unwrap()];
    let nameless = [IdKey { name: b"", kind: KeyKind::Id }];
    let added = Fields { keys: &nameless, ..Fields::NONE };
    let zero = [CookieKey { id: 1, role: Role::Sign, secret: Secret::new([0; 16]) }];
    let cases: [(Config<'_>, Vec<Slot>, ConfigError); 8] = [
        (
            Config { ids: IdConfig { fields: added, ..good.ids }, ..good.clone() },
            slots(3),
            ConfigError { error: Error::IdField, field: Field::IdFields, index: 0 },
        ),
        (
            Config { ids: IdConfig { keys: &zero, ..good.ids }, ..good.clone() },
            slots(3),
            ConfigError { error: Error::ZeroSecret, field: Field::IdKeys, index: 0 },
        ),
        (
            Config { placement_key: Secret::new([0; 16]), ..good.clone() },
            slots(3),
            ConfigError { error: Error::ZeroSecret, field: Field::PlacementKey, index: 0 },
        ),
        (
            Config { cookie_keys: &[], ..good.clone() },
            slots(3),
            ConfigError { error: Error::KeyCount, field: Field::CookieKeys, index: 0 },
        ),
        (
            Config { scope: &[b's'; 1025], ..good.clone() },
            slots(3),
            ConfigError { error: Error::ScopeLength, field: Field::Scope, index: 0 },
        ),
        (
            Config { rules: &empty_pattern, ..good.clone() },
            slots(3),
            ConfigError { error: Error::Pattern, field: Field::Rules, index: 0 },
        ),
        (
            good.clone(),
            Vec::new(),
            ConfigError { error: Error::SlotCount, field: Field::Slots, index: 0 },
        ),
        (
            good.clone(),
            twice(),
            ConfigError { error: Error::DuplicateIdentity, field: Field::Slots, index: 1 },
        ),
    ];
    for (config, slots, expected) in cases {
        let mut index = vec![0; Affinity::index_len(slots.len())];
        assert_eq!(Affinity::new(&config, &slots, &mut index).unwrap_err(), expected);
        let size = i64::try_from(slots.len() * size_of::<Slot>()).unwrap();
        let (left, _) = counted(|| {
            let refused = watched(|| OwnedAffinity::new(&config, slots).map(drop));
            assert_eq!(refused.unwrap_err(), expected);
        });
        assert_eq!(left, -size, "the slots are dropped, and nothing else is left");
    }
}

/// One thread reloads, others decide, and nothing remains of replaced affinities.
#[test]
fn reloads_leak_nothing() {
    const RELOADS: u64 = cases(2000, 8) as u64;
    let facts: Vec<Facts> = (0..8).map(Facts::new).collect();
    let build = |number: u64| {
        let facts = &facts[usize::try_from(number % 8).unwrap()];
        Arc::new(facts.owned(2 + u32::try_from(number % 30).unwrap()))
    };
    let (left, times) = counted(|| {
        let current = watched(|| RwLock::new(build(0)));
        let (done, decisions) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            for worker in 1..=2 {
                let (current, done, decisions) = (&current, &done, &decisions);
                let decide = move |entropy| {
                    let affinity = Arc::clone(&current.read().unwrap());
                    let request = request(b"/v1/responses", b"", b"", entropy);
                    let decision = affinity.get().decide(&request, [&b""[..]]).unwrap();
                    check(&affinity, &decision);
                    // The response comes later, when another affinity may be current.
                    let next = Arc::clone(&current.read().unwrap());
                    let same = next.get().fingerprint() == affinity.get().fingerprint();
                    let answer = next.get().finish(&decision, 200, &mut [0; MAX_SET_COOKIE]);
                    assert_eq!(answer.is_ok(), same);
                    assert!(same || answer == Err(Error::Stale));
                    decisions.fetch_add(1, Ordering::Relaxed);
                };
                scope.spawn(move || {
                    for entropy in (worker..).step_by(2) {
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                        watched(|| decide(entropy));
                    }
                });
            }
            watched(|| {
                for number in 1..=RELOADS {
                    *current.write().unwrap() = build(number);
                    let slot = SlotStatus { state: State::Down, weight: 1, until: NOW + 1 };
                    current.read().unwrap().get().set_slot(0, slot).unwrap();
                }
            });
            while decisions.load(Ordering::Relaxed) == 0 {
                thread::yield_now();
            }
            done.store(true, Ordering::Relaxed);
        });
        watched(|| drop(current));
    });
    assert_eq!(left, 0);
    assert!(times > RELOADS, "{times}");
}

fn check(affinity: &OwnedAffinity, decision: &Decision) {
    let mut out = [0; MAX_SET_COOKIE];
    let (answer, len) = affinity.get().finish(decision, 200, &mut out).unwrap();
    assert_eq!(answer == Answer::SetCookie, decision.cookie.is_some());
    assert_eq!(len > 0, decision.cookie.is_some());
}

#[test]
fn deciding_allocates_nothing() {
    let owned = Facts::new(1).owned(30);
    let counts = counted(|| {
        for entropy in 1..=cases(1000, 10) as u64 {
            let request = request(b"/v1/api0/part-1", b"", b"", entropy);
            watched(|| {
                let decision = owned.get().decide(&request, [&b"a=b"[..]]).unwrap();
                assert!(decision.cookie.is_some());
                check(&owned, &decision);
            });
        }
    });
    assert_eq!(counts, (0, 0));
}
