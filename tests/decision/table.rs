//! `decide` and `finish` against the model, over the full product of the relevant values.

use tokenpin::ids::{Ids, Mode, Summary};
use tokenpin::{
    Affinity, Audience, Config, Cookie, Filter, Group, IdConfig, Key, Kind, PinState, Slot,
    SlotStatus, State, Verdict, identity_hash, key_hash, select,
};

use crate::compare::{
    CONSUMER, Case, Empty, Good, Headers, MAX_IDLE, MAX_LIFE, Mint, Missing, POLICIES, RETIRE,
    Reached, SESSION, SIGN, SKEW, Several, TooLong, UNKNOWN, Untrusted, Values, base, key_of,
};
use crate::world::{
    DOWN, DRAINING, ENTROPY, ID, NOW, NOW_32, affinity, foreign_seal, forged, mark, name_of,
    newer_version, seal, slots, summary_of,
};
use tokenpin_test_support::decision::{self as model, Facts, Found};

/// The cookie of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jar {
    Absent,
    Malformed,
    UnknownVersion,
    UnknownKey,
    BadTag,
    OtherKey,
    NotYetValid,
    ExpiredLife,
    ExpiredIdle,
    Valid,
    DueByRole,
    DueByAge,
}

const JARS: [Jar; 12] = [
    Jar::Absent,
    Jar::Malformed,
    Jar::UnknownVersion,
    Jar::UnknownKey,
    Jar::BadTag,
    Jar::OtherKey,
    Jar::NotYetValid,
    Jar::ExpiredLife,
    Jar::ExpiredIdle,
    Jar::Valid,
    Jar::DueByRole,
    Jar::DueByAge,
];

impl Jar {
    fn verdict(self) -> Verdict {
        match self {
            Jar::Absent => Verdict::Absent,
            Jar::Malformed => Verdict::Malformed,
            Jar::UnknownVersion => Verdict::UnknownVersion,
            Jar::UnknownKey => Verdict::UnknownKey,
            Jar::BadTag => Verdict::BadTag,
            Jar::OtherKey => Verdict::OtherKey,
            Jar::NotYetValid => Verdict::NotYetValid,
            Jar::ExpiredLife => Verdict::ExpiredLife,
            Jar::ExpiredIdle => Verdict::ExpiredIdle,
            Jar::Valid => Verdict::Valid,
            Jar::DueByRole | Jar::DueByAge => Verdict::RefreshDue,
        }
    }
}

/// Makes a value that is judged as `jar` says, and the cookie in it. Returns `None` if there is no
/// such value.
fn make(
    mint: &Mint,
    jar: Jar,
    audience: &Audience<'_>,
    key: Option<&Key<'_>>,
    pin: u64,
) -> Option<(Vec<u8>, Cookie)> {
    // A request without a key wants an anonymous cookie, and any other fails its tag.
    if jar == Jar::OtherKey && key.is_none() {
        return None;
    }
    let key = key.filter(|_| jar != Jar::OtherKey).unwrap_or(&Key::Anonymous(&ID));
    let (issued_at, refreshed_at) = match jar {
        Jar::NotYetValid => (NOW_32 - 1_000, NOW_32 + SKEW + 1),
        Jar::ExpiredLife => (NOW_32 - MAX_LIFE - 1, NOW_32 - 100),
        Jar::ExpiredIdle => (NOW_32 - 200_000, NOW_32 - MAX_IDLE - 1),
        Jar::DueByAge => (NOW_32 - 200_000, NOW_32 - MAX_IDLE / 5),
        _ => (NOW_32 - 1_000, NOW_32 - MAX_IDLE / 5 + 1),
    };
    let signer = match jar {
        Jar::UnknownKey => UNKNOWN,
        Jar::DueByRole => RETIRE,
        _ => SIGN,
    };
    let cookie = Cookie { kind: key.kind(), issued_at, refreshed_at, id: ID, pin };
    let value = mint.sign(signer, audience, key, &cookie);
    let value = match jar {
        Jar::Absent => Vec::new(),
        Jar::Malformed => value[1..].to_vec(),
        Jar::UnknownVersion => newer_version(&value),
        Jar::BadTag => forged(&value),
        _ => value,
    };
    Some((value, cookie))
}

fn is_bad(values: Values) -> bool {
    matches!(values, Untrusted | Several | TooLong)
}

/// Groups, and whether the request names existing state.
const CLASSES: [(Group, bool); 6] = [
    (Group::Stateless, false),
    (Group::Stateless, true),
    (Group::Stateful, false),
    (Group::Stateful, true),
    (Group::PromptCache, false),
    (Group::PromptCache, true),
];

const PIN_STATES: [PinState; 5] =
    [PinState::Home, PinState::Elsewhere, PinState::Draining, PinState::Down, PinState::Gone];

const fn down_until(until: u64) -> SlotStatus {
    SlotStatus { state: State::Down, until, ..SlotStatus::UP }
}

const LIGHT: SlotStatus = SlotStatus { weight: 30_000, ..SlotStatus::UP };
const NO_WEIGHT: SlotStatus = SlotStatus { weight: 0, ..SlotStatus::UP };

/// Sets by the number of tokens that can take a new session.
fn sets() -> [&'static [Slot]; 7] {
    let drained = SlotStatus { weight: 0, ..DRAINING };
    let vacant = ("-", SlotStatus::UP);
    let several = [
        ("down", DOWN),
        ("up", SlotStatus::UP),
        vacant,
        ("light", LIGHT),
        ("draining", DRAINING),
        ("idle", NO_WEIGHT),
        ("recovered", down_until(NOW)),
        ("cooling", down_until(NOW + 1)),
    ];
    let one = [("drained", drained), vacant, ("up", LIGHT), ("idle", NO_WEIGHT), ("down", DOWN)];
    let none = [("idle", NO_WEIGHT), ("down", DOWN), ("drained", drained)];
    [
        slots(&several),
        slots(&one),
        slots(&none),
        // A single account.
        slots(&[vacant, ("only", SlotStatus::UP), vacant]),
        slots(&[("only", DRAINING)]),
        slots(&[vacant, ("only", DOWN)]),
        // No account at all.
        slots(&[vacant, vacant]),
    ]
}

/// Returns the slot of a pin whose state is `wanted`, or `None` if this set has none. For `Gone`
/// the slot is none, too.
fn pinned_slot(
    wanted: PinState,
    config: &Config<'_>,
    slots: &[Slot],
    key: Option<&Key<'_>>,
) -> Option<u32> {
    let key = key.unwrap_or(&Key::Anonymous(&ID));
    let filter = Filter { now: NOW, anonymous: key.kind() == Kind::Anonymous, ..Filter::default() };
    let hash = key_hash(&config.placement_key, config.scope, key).unwrap();
    let home = select(config.strategy, slots, &filter, hash).unwrap();
    let fits = |number: u32, slot: &Slot| match (slot.status().state_at(NOW), wanted) {
        (State::Up, PinState::Home) => Some(number) == home,
        (State::Up, PinState::Elsewhere) => Some(number) != home,
        (State::Draining, PinState::Draining) | (State::Down, PinState::Down) => true,
        _ => false,
    };
    (0..).zip(slots).find(|(number, slot)| fits(*number, slot)).map(|(number, _)| number)
}

/// The lists of tried slots: none, the pinned one, another one that holds an account, all.
/// Those that do not exist in this set are left out.
fn tried_lists(slots: &[Slot], pinned: Option<u32>) -> Vec<Vec<u32>> {
    let numbered = || (0..).zip(slots);
    let another = numbered().find(|(number, slot)| !slot.is_vacant() && Some(*number) != pinned);
    let all = numbered().map(|(number, _)| number).collect();
    let mut lists = vec![Vec::new(), all];
    lists.extend(pinned.map(|slot| vec![slot]));
    lists.extend(another.map(|(slot, _)| vec![slot]));
    lists
}

/// The combinations of switches and policies.
fn configs(list: &'static [Slot]) -> Vec<Config<'static>> {
    let few = list.iter().filter(|slot| !slot.is_vacant()).count() < 2;
    let mut all = Vec::new();
    for policy_existing in POLICIES {
        for policy_new in POLICIES {
            for bits in 0..16 {
                let config = Config {
                    policy_existing,
                    policy_new,
                    combine_keys: bits & 1 != 0,
                    reject_bad_keys: bits & 2 != 0,
                    keyed_cookies: bits & 4 != 0,
                    mint_single: bits & 8 != 0,
                    ..base()
                };
                // `mint_single` has no effect on sets with several accounts.
                if few || !config.mint_single {
                    all.push(config);
                }
            }
        }
    }
    all
}

const CONSUMERS: [Values; 6] = [Missing, Empty, Good, Untrusted, Several, TooLong];
const SESSIONS: [Values; 5] = [Missing, Empty, Good, Several, TooLong];

#[test]
fn every_combination_decides_as_the_model_does() {
    let mut reached = Reached::default();
    for slots in sets() {
        for config in configs(slots) {
            let affinity = affinity(&config, slots);
            let mint = Mint::new(&config);
            for consumer in CONSUMERS {
                for session in SESSIONS {
                    // Only a key that cannot be used can be rejected.
                    let bad = is_bad(consumer) || is_bad(session);
                    if bad || !config.reject_bad_keys {
                        let headers = (consumer, session);
                        let part = (&affinity, &mint, &[NOBODY_LOOKED][..]);
                        every_cookie(&config, slots, part, headers, &JARS, &mut reached);
                    }
                }
            }
        }
    }
    reached.every_client().finish("decisions", 5_000_000, false);
}

/// One request's ids, as a text for reports and as the library reads them.
struct Named {
    ids: Option<(Summary, model::Ids)>,
    /// The slot of the account that they name.
    slot: Option<u32>,
}

const NOBODY_LOOKED: Named = Named { ids: None, slot: None };

/// Returns all cases of ids: one for each state of the account that an id names, and one for each
/// reason to refuse an id.
fn all_ids(affinity: &Affinity<'_>, config: &Config<'_>, slots: &[Slot]) -> Vec<Named> {
    let mut all = vec![NOBODY_LOOKED];
    let mut read = |apis: &[Ids], body: &str, slot: Option<u32>| {
        for &api in apis {
            let summary = summary_of(affinity, api, body);
            let facts = model::Ids::of(&summary, config.ids.mode, api);
            all.push(Named { ids: Some((summary, facts)), slot });
        }
    };
    let sealed = |native: &str, account: u64| seal(affinity, native, account);
    let first = |state| {
        let numbered = (0..).zip(slots);
        let mut fits = numbered.filter(|(_, slot)| slot.status().state_at(NOW) == state);
        fits.next().map(|(number, slot)| (number, slot.identity_hash()))
    };
    let there = [State::Up, State::Draining, State::Down].into_iter().filter_map(first);
    let mut accounts: Vec<_> = there.map(|(number, pin)| (Some(number), pin)).collect();
    accounts.push((None, identity_hash(b"gone")));
    for &(slot, pin) in &accounts {
        read(&[Ids::Items], &format!(r#"{{"file_id":"{}"}}"#, sealed("file-1", pin)), slot);
        let item = format!(r#"[{{"content":"x","id":"{}"}}]"#, sealed("msg_1", pin));
        read(&[Ids::Open, Ids::Items], &format!(r#"{{"input":{item}}}"#), slot);
        read(&[Ids::Items], &format!(r#"{{"input":{item},"store":false}}"#), slot);
    }
    let gone = identity_hash(b"gone");
    let (response, file) = (sealed("resp_1", gone), sealed("file-1", gone + 1));
    let bad = format!("x{response}");
    let foreign = foreign_seal("resp_1");
    read(&[Ids::Open, Ids::Items], "{}", None);
    for body in [
        r#"{"previous_response_id":"resp_1"}"#.into(),
        format!(r#"{{"previous_response_id":"{response}"}}"#),
        format!(r#"{{"encrypted_content":"gAAAAABo{}"}}"#, mark(affinity, "gAAAAABo", gone)),
        format!(r#"{{"conversation":"{response}","file_ids":["{file}"]}}"#),
        format!(r#"{{"previous_response_id":"{bad}"}}"#),
        format!(r#"{{"encrypted_content":"gAAAAABp{}"}}"#, mark(affinity, "gAAAAABo", gone)),
        format!(r#"{{"conversation":"{foreign}"}}"#),
        format!(r#"{{"container":"cntr_{}tp7"}}"#, "x".repeat(50)),
        format!(r#"{{"file_id":"{}"}}"#, "\\u0066".repeat(100)),
    ] {
        read(&[Ids::Items], &body, None);
    }
    all
}

/// Returns the combinations of switches and policies that matter in addition to ids.
fn id_configs(list: &'static [Slot]) -> Vec<Config<'static>> {
    let few = list.iter().filter(|slot| !slot.is_vacant()).count() < 2;
    let mut all = Vec::new();
    for &mode in Mode::ALL {
        for (policy_existing, policy_new) in POLICIES.map(|policy| (policy, policy)) {
            // `mint_single` has no effect on sets with several accounts.
            for bits in 0..if few { 8 } else { 4 } {
                let ids = IdConfig { mode, ..base().ids };
                all.push(Config {
                    ids,
                    policy_existing,
                    policy_new,
                    combine_keys: true,
                    reject_bad_keys: bits & 1 != 0,
                    keyed_cookies: bits & 2 != 0,
                    mint_single: bits & 4 != 0,
                    ..base()
                });
            }
        }
    }
    all
}

#[test]
fn every_combination_with_ids_decides_as_the_model_does() {
    let all_headers =
        [(Missing, Missing), (Good, Missing), (Missing, Good), (Good, Good), (Untrusted, Missing)];
    let jars = [Jar::Absent, Jar::UnknownVersion, Jar::BadTag, Jar::Valid, Jar::DueByRole];
    let mut reached = Reached::default();
    let [several, one, _, single, ..] = sets();
    for slots in [several, one, single] {
        for config in id_configs(slots) {
            let affinity = affinity(&config, slots);
            let mint = Mint::new(&config);
            let ids = all_ids(&affinity, &config, slots);
            for headers in all_headers {
                let part = (&affinity, &mint, &ids[..]);
                every_cookie(&config, slots, part, headers, &jars, &mut reached);
            }
        }
    }
    reached.finish("decisions with ids", 4_000_000, true);
}

/// Tries all cookies and pins, and all other variations of a request.
fn every_cookie(
    config: &Config<'static>,
    slots: &'static [Slot],
    (affinity, mint, ids): (&Affinity<'_>, &Mint, &[Named]),
    headers: Headers,
    jars: &[Jar],
    reached: &mut Reached,
) {
    let key = key_of(headers, config.combine_keys);
    let name = name_of(config, b"");
    let audience = Audience { name: name.as_bytes(), scope: b"" };
    for &jar in jars {
        for pin_state in PIN_STATES {
            // The pin of a cookie that is not used has no state.
            if !jar.verdict().is_usable() && pin_state != PinState::Gone {
                continue;
            }
            let pinned = pinned_slot(pin_state, config, slots, key.as_ref());
            if pinned.is_none() && pin_state != PinState::Gone {
                reached.impossible += 1;
                continue;
            }
            let pin =
                pinned.map_or(identity_hash(b"gone"), |slot| slots[slot as usize].identity_hash());
            let Some((value, cookie)) = make(mint, jar, &audience, key.as_ref(), pin) else {
                reached.impossible += 1;
                continue;
            };
            let field = [name.as_bytes(), b"=", &value].concat();
            let fields: &[&[u8]] = if jar == Jar::Absent { &[] } else { &[&field] };
            let verdict = jar.verdict();
            let found = Found {
                verdict,
                cookie: Some(cookie).filter(|_| verdict.is_usable()),
                ambiguous: false,
                newer: verdict == Verdict::UnknownVersion,
            };
            for named in ids {
                for tried in tried_lists(slots, named.slot.or(pinned)) {
                    for (group, existing) in CLASSES {
                        let facts = Facts {
                            config,
                            slots,
                            group,
                            existing,
                            carrier: false,
                            consumer: headers.0.part(CONSUMER),
                            session: headers.1.part(SESSION),
                            found,
                            scope: b"",
                            tried: &tried,
                            now: NOW,
                            entropy: ENTROPY,
                            id_hint: None,
                            ids: named.ids.as_ref().map(|(_, facts)| *facts),
                        };
                        let case = Case {
                            affinity,
                            mint,
                            headers,
                            carrier_value: b"",
                            fields,
                            scope: b"",
                            ids: named.ids.as_ref().map(|(summary, _)| summary),
                            facts,
                        };
                        case.check(reached).unwrap_or_else(|why| panic!("{why}"));
                    }
                }
            }
        }
    }
}
