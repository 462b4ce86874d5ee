//! `decide` and `finish` against the model, over random sets, configurations and requests.

use proptest::prelude::{Just, Strategy as Draw, any, prop, prop_oneof};
use proptest::sample::select as one_of;
use proptest::test_runner::{Config as Runs, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use tokenpin::ids::{ForeignSeals, Ids, Mode};
use tokenpin::{
    Affinity, Audience, Config, Cookie, Group, IdConfig, Key, Slot, SlotStatus, State, cookie,
    identity_hash,
};

use tokenpin_test_support::random::Random;

use crate::compare::{
    ACCEPT, CONSUMER, Case, Empty, Good, Headers, MAX_IDLE, MAX_LIFE, Mint, Missing, POLICIES,
    RETIRE, Reached, SESSION, SIGN, SKEW, Several, TooLong, UNKNOWN, Untrusted, base, key_of,
};
use crate::world::{
    ENTROPY, ID, NOW, NOW_32, foreign_seal, forged, mark, name_of, newer_version, seal, summary_of,
};
use tokenpin_test_support::decision::{self as model, Facts};

/// A cookie of a random request, good or bad in various ways.
#[derive(Clone, Debug)]
struct AnyCookie {
    signer: u8,
    /// The number of the account it is pinned to; past the end of the set for none.
    account: usize,
    issued_at: u32,
    refreshed_at: u32,
    id: [u8; 16],
    /// Anonymous even if the request has a key.
    anonymous: bool,
    damage: Damage,
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    None,
    Forged,
    Newer,
    Cut,
}

/// A random request to a random set.
#[derive(Clone, Debug)]
struct AnyCase {
    config: Config<'static>,
    /// By slot; none is vacant.
    statuses: Vec<Option<SlotStatus>>,
    headers: Headers,
    group: Group,
    existing: bool,
    /// In the carrier header.
    carrier_value: Option<AnyCookie>,
    carrier: bool,
    cookies: Vec<AnyCookie>,
    /// All cookies in one `Cookie` field.
    joined: bool,
    scope: &'static [u8],
    tried: Vec<usize>,
    now: u64,
    entropy: [u8; 16],
    id_hint: Option<[u8; 16]>,
    ids: Option<AnyIds>,
}

/// The ids of a random request: the key of each, and how the client wrote it.
#[derive(Clone, Debug)]
struct AnyIds {
    api: Ids,
    parts: Vec<(IdKey, Written)>,
    unstored: bool,
}

#[derive(Clone, Copy, Debug)]
enum IdKey {
    Response,
    File,
    /// Encrypted content.
    Content,
    /// History.
    Item,
}

#[derive(Clone, Copy, Debug)]
enum Written {
    Plain,
    /// Sealed for the account with this number.
    Sealed(usize),
    Damaged(usize),
    Foreign,
    Newer,
    /// Too long to be read, and escaped.
    Long,
}

impl AnyIds {
    fn body(&self, affinity: &Affinity<'_>) -> String {
        let (mut keys, mut items) = (Vec::new(), Vec::new());
        for (i, (key, written)) in self.parts.iter().enumerate() {
            let native = format!("file_{i}");
            let account = |number| identity_hash(&account(number));
            let text = match (key, written) {
                (IdKey::Content, Written::Sealed(number)) => {
                    "gAAAAABo".to_owned() + &mark(affinity, "gAAAAABo", account(*number))
                }
                (IdKey::Content, Written::Damaged(number)) => {
                    "gAAAAABp".to_owned() + &mark(affinity, "gAAAAABo", account(*number))
                }
                (_, Written::Plain) => native,
                (_, Written::Sealed(number)) => seal(affinity, &native, account(*number)),
                (_, Written::Damaged(number)) => {
                    "x".to_owned() + &seal(affinity, &native, account(*number))
                }
                (_, Written::Foreign) => foreign_seal(&native),
                (_, Written::Newer) => native + &"x".repeat(50) + "tp5",
                (_, Written::Long) => "\\u0066".repeat(100),
            };
            match key {
                IdKey::Response => keys.push(format!(r#""previous_response_id":"{text}""#)),
                IdKey::File => keys.push(format!(r#""file_id":"{text}""#)),
                IdKey::Content => keys.push(format!(r#""encrypted_content":"{text}""#)),
                IdKey::Item => items.push(format!(r#"{{"id":"{text}","content":"x"}}"#)),
            }
        }
        keys.push(format!(r#""input":[{}],"store":{}"#, items.join(","), !self.unstored));
        format!("{{{}}}", keys.join(","))
    }
}

/// The identity of the account in the slot with this number.
fn account(number: usize) -> [u8; 1] {
    [1 + u8::try_from(number).unwrap()]
}

fn any_ids() -> impl Draw<Value = AnyIds> {
    let key = one_of(vec![IdKey::Response, IdKey::File, IdKey::Content, IdKey::Item, IdKey::Item]);
    let written = prop_oneof![
        10 => (0..7_usize).prop_map(Written::Sealed),
        2 => Just(Written::Plain),
        1 => (0..7_usize).prop_map(Written::Damaged),
        1 => one_of(vec![Written::Foreign, Written::Newer, Written::Long]),
    ];
    let parts = prop::collection::vec((key, written), 0..3);
    (one_of(Ids::ALL), parts, prop::bool::weighted(0.3)).prop_map(|(api, parts, unstored)| AnyIds {
        api,
        parts,
        unstored,
    })
}

/// Moments around the one when the cookies are sent, and around the limits.
fn any_time() -> impl Draw<Value = u32> {
    let limits =
        [0, 1, SKEW, SKEW + 1, MAX_IDLE / 5, MAX_IDLE, MAX_IDLE + 1, MAX_LIFE, MAX_LIFE + 1];
    prop_oneof![
        one_of(limits.to_vec()).prop_map(|ago| NOW_32 - ago),
        (1..SKEW + 9).prop_map(|ahead| NOW_32 + ahead),
        (NOW_32 - 2 * MAX_LIFE)..NOW_32,
    ]
}

fn any_cookie() -> impl Draw<Value = AnyCookie> {
    let damages = [Damage::None, Damage::None, Damage::None, Damage::Forged, Damage::Newer];
    let damage = prop_oneof![9 => one_of(damages.to_vec()), 1 => Just(Damage::Cut)];
    let signer = one_of(vec![SIGN, SIGN, RETIRE, ACCEPT, UNKNOWN]);
    let id = one_of(vec![ID, ID, [6; 16]]);
    let anonymous = prop::bool::weighted(0.2);
    (signer, 0..7_usize, any_time(), any_time(), id, anonymous, damage).prop_map(
        |(signer, account, issued_at, refreshed_at, id, anonymous, damage)| AnyCookie {
            signer,
            account,
            issued_at,
            refreshed_at,
            id,
            anonymous,
            damage,
        },
    )
}

fn any_config() -> impl Draw<Value = Config<'static>> {
    let strategy = one_of(tokenpin::Strategy::ALL);
    let policies = (one_of(&POLICIES[..]), one_of(&POLICIES[..]));
    let switches = prop::array::uniform4(any::<bool>());
    let limits = (one_of(vec![0, MAX_LIFE, u32::MAX]), one_of(vec![0, MAX_IDLE]));
    let max_age = one_of(vec![None, None, Some(0), Some(3_600)]);
    let names = (one_of(vec![&b""[..], b"openai"]), one_of(vec![None, Some(&b"pin"[..])]));
    let ids = (one_of(Mode::ALL), one_of(ForeignSeals::ALL));
    (Just(base()), strategy, policies, switches, limits, max_age, (names, ids)).prop_map(
        |(base, strategy, policies, switches, limits, max_age, (names, (mode, foreign)))| {
            let (scope, cookie_name) = names;
            let (max_life, max_idle) = limits;
            let [combine_keys, reject_bad_keys, keyed_cookies, mint_single] = switches;
            Config {
                strategy,
                policy_existing: policies.0,
                policy_new: policies.1,
                combine_keys,
                reject_bad_keys,
                keyed_cookies,
                mint_single,
                max_life,
                max_idle,
                max_age,
                scope,
                cookie_name,
                ids: IdConfig { mode, foreign, ..base.ids },
                ..base
            }
        },
    )
}

fn any_status() -> impl Draw<Value = SlotStatus> {
    let state = one_of(vec![State::Up, State::Up, State::Draining, State::Down]);
    let weight = one_of(vec![0, 1, 20_000, 65_536, 65_536]);
    let until = one_of(vec![0, 0, NOW, NOW + 1]);
    (state, weight, until).prop_map(|(state, weight, until)| SlotStatus { state, weight, until })
}

fn any_case() -> impl Draw<Value = AnyCase> {
    let consumer = one_of(vec![Missing, Missing, Empty, Good, Untrusted, Several, TooLong]);
    let session = one_of(vec![Missing, Missing, Empty, Good, Several, TooLong]);
    let group =
        one_of(vec![Group::Stateful, Group::Stateful, Group::PromptCache, Group::Stateless]);
    let statuses = prop::collection::vec(prop::option::weighted(0.85, any_status()), 1..6);
    let cookies = prop::collection::vec(any_cookie(), 0..5);
    let carrying = (prop::option::weighted(0.2, any_cookie()), any::<bool>(), any::<bool>());
    let tried = prop::collection::vec(0..6_usize, 0..3);
    let now = prop_oneof![
        8 => Just(NOW),
        1 => Just(u64::from(u32::MAX)),
        1 => Just(u64::from(u32::MAX) + 1),
    ];
    let entropy = prop_oneof![9 => Just(ENTROPY), 1 => Just([0; 16])];
    let id_hint = one_of(vec![None, None, Some([3; 16]), Some([0; 16])]);
    let request = (group, any::<bool>(), one_of(vec![&b""[..], b"anthropic"]), tried, now);
    let ids = prop::option::weighted(0.5, any_ids());
    (
        any_config(),
        statuses,
        (consumer, session),
        cookies,
        carrying,
        request,
        (entropy, id_hint, ids),
    )
        .prop_map(
            |(config, statuses, headers, cookies, carrying, request, (entropy, id_hint, ids))| {
                let (carrier_value, in_header, joined) = carrying;
                let (group, existing, scope, tried, now) = request;
                AnyCase {
                    config,
                    statuses,
                    headers,
                    group,
                    existing,
                    carrier_value,
                    carrier: in_header,
                    cookies,
                    joined,
                    scope,
                    tried,
                    now,
                    entropy,
                    id_hint,
                    ids,
                }
            },
        )
}

impl AnyCase {
    fn check(&self, reached: &mut Reached) -> Result<(), String> {
        let config = &self.config;
        let slots: Vec<_> = (0..)
            .zip(&self.statuses)
            .map(|(number, status)| match status {
                None => Slot::vacant(),
                Some(status) => Slot::new(&account(number), *status).unwrap(),
            })
            .collect();
        let mut index = vec![0; Affinity::index_len(slots.len())];
        let affinity = Affinity::new(config, &slots, &mut index).unwrap();
        let mint = Mint::new(config);
        let scope = if self.scope.is_empty() { config.scope } else { self.scope };
        let name = name_of(config, self.scope);
        let name = name.as_bytes();
        let audience = Audience { name, scope };
        let key = key_of(self.headers, config.combine_keys);

        let value = |it: &AnyCookie| {
            let key = key.as_ref().filter(|_| !it.anonymous).unwrap_or(&Key::Anonymous(&ID));
            let AnyCookie { issued_at, refreshed_at, id, .. } = *it;
            let pin = identity_hash(&account(it.account));
            let cookie = Cookie { kind: key.kind(), issued_at, refreshed_at, id, pin };
            let value = mint.sign(it.signer, &audience, key, &cookie);
            match it.damage {
                Damage::None => value,
                Damage::Forged => forged(&value),
                Damage::Newer => newer_version(&value),
                Damage::Cut => value[1..].to_vec(),
            }
        };
        let values: Vec<_> = self.carrier_value.iter().chain(&self.cookies).map(value).collect();
        let limits = model::limits(config);
        let read = |value: &Vec<u8>| {
            cookie::decode(&mint.ring, &audience, key.as_ref(), &limits, self.now, value).unwrap()
        };
        let each: Vec<_> = values.iter().map(read).collect();

        let carrier_value = self.carrier_value.as_ref().map_or(&b""[..], |_| &values[0]);
        let own = values.iter().skip(usize::from(self.carrier_value.is_some()));
        let mut fields: Vec<_> = own.map(|value| [name, b"=", value].concat()).collect();
        if self.joined {
            fields = vec![fields.join(&b"; "[..])];
        }
        let fields: Vec<_> = fields.iter().map(Vec::as_slice).collect();
        let tried: Vec<_> = self.tried.iter().map(|slot| slot % slots.len()).collect();
        let tried: Vec<_> = tried.into_iter().map(|slot| u32::try_from(slot).unwrap()).collect();
        let ids = self
            .ids
            .as_ref()
            .map(|ids| (ids.api, summary_of(&affinity, ids.api, &ids.body(&affinity))));
        let facts = Facts {
            config,
            slots: &slots,
            group: self.group,
            existing: self.existing,
            carrier: self.carrier,
            consumer: self.headers.0.part(CONSUMER),
            session: self.headers.1.part(SESSION),
            found: model::found(&each),
            scope,
            tried: &tried,
            now: self.now,
            entropy: self.entropy,
            id_hint: self.id_hint,
            ids: ids.as_ref().map(|(api, summary)| model::Ids::of(summary, config.ids.mode, *api)),
        };
        Case {
            affinity: &affinity,
            mint: &mint,
            headers: self.headers,
            carrier_value,
            fields: &fields,
            scope: self.scope,
            ids: ids.as_ref().map(|(_, summary)| summary),
            facts,
        }
        .check(reached)
    }
}

#[test]
fn random_requests_decide_as_the_model_does() {
    let runs = Runs { cases: 150_000, failure_persistence: None, ..Runs::default() };
    let seed = Random::new("random_requests_decide_as_the_model_does").bytes::<32>();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let reached = std::cell::RefCell::new(Reached::default());
    let mut runner = TestRunner::new_with_rng(runs, rng);
    let result = runner.run(&any_case(), |case| {
        case.check(&mut reached.borrow_mut()).map_err(TestCaseError::fail)
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    reached.into_inner().every_client().finish("random decisions", 150_000, true);
}
