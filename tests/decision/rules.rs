//! One test for each rule, named after it and readable without the others: configuration, keys,
//! placing and minting (rules 1, 2, 6 and 7 of `docs/spec/decision.md`). Cookies are in jars.rs,
//! pins and responses in pins.rs.

use core::hash::Hasher as _;

use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128 as _, SipHasher24 as WideHasher};
use tokenpin::ids::Mode;
use tokenpin::{
    Affinity, Config, CookieKey, Decision, Error, Group, IdConfig, IdOwner, Key, KeyInput,
    KeyReason, MAX_KEY, MAX_WEIGHT, Outcome, PinState, Request, Role, Secret, SlotStatus, Source,
    State, Strategy, Verdict, identity_hash, key_hash,
};

use tokenpin_test_support::chi_square::Fit;
use tokenpin_test_support::random::Random;

use crate::world::{
    Client, DOWN, DRAINING, ENTROPY, NOW, NOW_32, affinity, config, consumer, course, create,
    decide, field, finished, gateway, keys, newer_version, pair, pending, read, serving, sign,
    slots, up, young,
};

const NEVER: [Vec<u8>; 0] = [];

// Classification

fn request_to<'r>(method: &'r str, target: &'r str) -> Request<'r> {
    let (method, target) = (method.as_bytes(), target.as_bytes());
    Request { group: None, method, target, ..create() }
}

/// Returns group and *existing*, as observed: a request that creates state re-pins.
fn classified(config: &Config<'static>, request: &Request<'_>) -> &'static str {
    let affinity = affinity(config, slots(&[("a", DOWN), ("b", SlotStatus::UP)]));
    let decision = decide(&affinity, request, &[field(config, &young("a"))]);
    match (decision.source, decision.outcome) {
        (Source::Stateless, _) => "stateless",
        (Source::Cookie, Outcome::Repinned) => "creates",
        (Source::Cookie, Outcome::Fallback) => "no new state",
        (Source::Cookie, Outcome::Rejected) => "existing",
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_group_method_and_target_are_classified() {
    for (expected, method, target) in [
        ("creates", "POST", "/v1/responses?stream=true"),
        ("creates", "POST", "/openai/v1/fine_tuning/jobs"),
        ("existing", "GET", "/v1/responses/resp_1"),
        ("existing", "HEAD", "/v1/files"),
        ("existing", "DELETE", "/v1/files/file_1"),
        ("existing", "POST", "/v1/responses/resp_1/cancel"),
        ("creates", "POST", "/v1/files/"),
        ("creates", "POST", "/v1/threads/runs"),
        ("stateless", "OPTIONS", "/v1/responses"),
        ("stateless", "POST", "/v1/embeddings"),
        ("stateless", "POST", "/v1/responsesx"),
        ("stateless", "POST", "/x?/v1/responses"),
        ("stateless", "POST", "/v1/chat/completions"),
    ] {
        assert_eq!(
            classified(&config(), &request_to(method, target)),
            expected,
            "{method} {target}"
        );
    }
}

#[test]
fn the_prompt_cache_group_is_opt_in_and_creates_no_state() {
    let on = Config { prompt_cache: true, ..config() };
    assert_eq!(classified(&on, &request_to("POST", "/v1/chat/completions")), "no new state");
    assert_eq!(classified(&on, &request_to("POST", "/v1/messages/batches")), "creates");
}

#[test]
fn who_names_state_is_stateful_whatever_group_method_and_path_are() {
    let both = [config(), Config { prompt_cache: true, ..config() }];
    let targets = ["/v1/responses", "/v1/messages", "/v1/embeddings", "/", "*", ""];
    for config in &both {
        for target in targets {
            for method in ["POST", "GET", "OPTIONS", "CONNECT", ""] {
                for group in [None].into_iter().chain(Group::ALL.iter().copied().map(Some)) {
                    let request = Request { group, existing: true, ..request_to(method, target) };
                    let said = classified(config, &request);
                    assert_eq!(said, "existing", "{group:?} {method} {target}");
                }
            }
        }
    }
    // A request that names no state keeps its class.
    let request = Request { existing: false, ..request_to("GET", "/v1/responses/1") };
    assert_eq!(classified(&config(), &request), "existing");
}

#[test]
fn a_websocket_handshake_creates_where_its_path_names_nothing() {
    let connect = |target| request_to("CONNECT", target);
    for target in ["/v1/responses", "/v1/responses?model=m", "/openai/v1/files/", "v1/files"] {
        assert_eq!(classified(&config(), &connect(target)), "creates", "{target}");
    }
    assert_eq!(classified(&config(), &connect("/v1/responses/resp_1")), "existing");
    assert_eq!(classified(&config(), &connect("/v1/embeddings")), "stateless");
    // A tunnel to a host is no request to an API.
    for target in ["files:443", "files", ""] {
        assert_eq!(classified(&config(), &connect(target)), "stateless", "{target}");
    }
    // With a group it creates, like every method that does not read.
    for target in ["/elsewhere", "files:443"] {
        let given = Request { group: Some(Group::Stateful), ..connect(target) };
        assert_eq!(classified(&config(), &given), "creates", "{target}");
    }
}

#[test]
fn a_given_group_still_reads_the_method() {
    let post = Request { group: Some(Group::Stateful), ..request_to("POST", "/elsewhere") };
    assert_eq!(classified(&config(), &post), "creates");
    for method in ["GET", "HEAD", "DELETE"] {
        assert_eq!(
            classified(&config(), &Request { method: method.as_bytes(), ..post }),
            "existing"
        );
    }
    for method in ["", "get", "PUT", "PATCH", "OPTIONS", "CONNECT"] {
        assert_eq!(
            classified(&config(), &Request { method: method.as_bytes(), ..post }),
            "creates"
        );
    }
    assert_eq!(classified(&config(), &Request { existing: true, ..post }), "existing");
    // The target plays no part.
    let below = Request { target: b"/v1/responses/resp_1", ..post };
    assert_eq!(classified(&config(), &below), "creates");
}

// Errors

#[test]
fn a_scope_or_tried_slot_out_of_range_is_an_error() {
    let affinity = gateway(&config(), "a b");
    for group in Group::ALL {
        let request = Request { group: Some(*group), ..create() };
        let long = Request { scope: &[b's'; 1025], ..request };
        assert_eq!(affinity.decide(&long, []), Err(Error::ScopeLength));
        assert!(affinity.decide(&Request { scope: &[b's'; 1024], ..request }, []).is_ok());
        let beyond = Request { tried: &[0, 2], ..request };
        assert_eq!(affinity.decide(&beyond, []), Err(Error::SlotRange));
    }
}

#[test]
fn all_zero_entropy_is_an_error_where_randomness_is_needed_and_nowhere_else() {
    let plain = config();
    let zero = Request { entropy: [0; 16], ..create() };
    let stateless = Request { group: Some(Group::Stateless), ..zero };
    let prompt_cache = Request { group: Some(Group::PromptCache), ..zero };
    let keyed = Request { consumer: consumer("alice"), ..zero };
    let several = gateway(&plain, "a b");
    let single = gateway(&plain, "a");
    let keyed_cookies = gateway(&Config { keyed_cookies: true, ..plain.clone() }, "a b");

    // A random pick, a new id, a nonce.
    for (affinity, request) in [
        (&several, zero),
        (&several, stateless),
        (&several, prompt_cache),
        (&single, zero),
        (&keyed_cookies, keyed),
    ] {
        assert_eq!(affinity.decide(&request, []), Err(Error::Entropy));
    }
    assert!(several.decide(&keyed, []).is_ok());
    assert_eq!(decide(&several, &zero, &[field(&plain, &young("a"))]).outcome, Outcome::Pinned);
    let hinted = Request { id_hint: Some([3; 16]), ..zero };
    assert_eq!(decide(&several, &hinted, &NEVER).source, Source::Minted);
}

#[test]
fn an_all_zero_id_hint_is_an_error_where_it_is_needed_and_nowhere_else() {
    let affinity = gateway(&config(), "a b");
    let hinted = Request { id_hint: Some([0; 16]), ..create() };
    assert_eq!(affinity.decide(&hinted, []), Err(Error::Entropy));
    let stateless = Request { group: Some(Group::Stateless), ..hinted };
    assert!(affinity.decide(&stateless, []).is_ok());
    assert!(affinity.decide(&Request { consumer: consumer("alice"), ..hinted }, []).is_ok());
}

#[test]
fn a_time_past_32_bits_is_an_error_where_a_cookie_is_written_and_nowhere_else() {
    let limitless = Config { max_life: 0, max_age: Some(0), ..config() };
    let retiring =
        Config { cookie_keys: keys(&[(1, Role::Retire), (2, Role::Sign)]), ..limitless.clone() };
    let last = u64::from(u32::MAX);
    let late = Request { now: last + 1, ..create() };
    let old = [field(&limitless, &young("a"))];
    let affinity = gateway(&limitless, "a b");

    assert_eq!(affinity.decide(&late, []), Err(Error::Time));
    let minted = decide(&affinity, &Request { now: last, ..late }, &NEVER);
    assert_eq!(pending(&limitless, None, &minted).issued_at, u32::MAX);
    assert_eq!(decide(&affinity, &late, &old).outcome, Outcome::Pinned);
    assert!(affinity.decide(&Request { consumer: consumer("alice"), ..late }, []).is_ok());
    assert!(affinity.decide(&Request { group: Some(Group::Stateless), ..late }, []).is_ok());
    let due = gateway(&retiring, "a b").decide(&late, [old[0].as_slice()]);
    assert_eq!(due, Err(Error::Time));
}

/// A prompt cache gets no cookie. With a hint, a client's requests still reach one account.
#[test]
fn an_id_hint_leads_to_one_place_where_no_cookie_is_issued() {
    let affinity = gateway(&config(), "a b c d e f g h");
    let mut placed = [false; 8];
    for client in 1..200_u8 {
        let of = |entropy: u8| {
            let request = Request {
                group: Some(Group::PromptCache),
                id_hint: Some([client; 16]),
                entropy: [entropy; 16],
                ..create()
            };
            let decision = decide(&affinity, &request, &NEVER);
            assert_eq!((decision.source, decision.cookie.is_some()), (Source::None, false));
            decision.slot.unwrap()
        };
        assert_eq!(of(1), of(2));
        placed[of(1) as usize] = true;
    }
    assert_eq!(placed, [true; 8]);
}

#[test]
fn replicas_agree_on_an_id_hint_and_no_two_clients_share_one() {
    let (one, replica) = (gateway(&config(), "a b"), gateway(&config(), "a b c"));
    let elsewhere = Config { placement_key: Secret::new([1; 16]), ..config() };
    let elsewhere = Config { cookie_keys: keys(&[(2, Role::Sign)]), ..elsewhere };
    let elsewhere = gateway(&elsewhere, "a b");
    let mut seen = std::collections::BTreeSet::new();
    for len in [1, 2, 7, 8, 9, 16, MAX_KEY - 1, MAX_KEY] {
        let of = vec![b'x'; len];
        let mut hasher = WideHasher::new_with_key(&[0xaa; 16]);
        hasher.write(b"tokenpin.v1.hint");
        let mut hasher = WideHasher::new_with_key(&hasher.finish128().as_bytes());
        hasher.write(&of);
        let hint = one.id_hint(&of).unwrap();
        assert_eq!(hint, hasher.finish128().as_bytes());
        assert_eq!(replica.id_hint(&of), Ok(hint));
        assert_ne!(elsewhere.id_hint(&of), Ok(hint), "no other key can make it");
        assert!(seen.insert(hint));
        let request = Request { id_hint: Some(hint), ..create() };
        let (a, b) = (decide(&one, &request, &NEVER), decide(&one, &request, &NEVER));
        assert_eq!((a.source, pending(&config(), None, &a).id), (Source::Minted, hint));
        assert_eq!(a.slot, b.slot);
    }
    // An empty value would join all clients.
    assert_eq!(one.id_hint(b""), Err(Error::KeyLength));
    assert_eq!(one.id_hint(&LONG), Err(Error::KeyLength));
}

// Rule 1

#[test]
fn stateless_looks_at_neither_keys_nor_cookies() {
    let strict = Config { reject_bad_keys: true, ..config() };
    let affinity = gateway(&strict, "a b c d");
    let plain = Request { group: Some(Group::Stateless), ..create() };
    let loaded = Request { consumer: consumer("alice").trusted(false), ..plain };
    let decision = decide(&affinity, &loaded, &[field(&strict, &young("a"))]);
    assert_eq!(decision, decide(&affinity, &plain, &NEVER));
    let (source, outcome) = (Source::Stateless, Outcome::Placed);
    assert_eq!(course(&decision), (source, outcome, PinState::None, Verdict::Absent));
    assert_eq!((decision.key_reason, decision.cookie), (KeyReason::Absent, None));
}

/// Returns the chi-square statistic of picks that should spread evenly over five slots.
fn chi_square(picks: impl Iterator<Item = u32>) -> f64 {
    let mut counts = [0; 5];
    picks.for_each(|slot| counts[slot as usize] += 1);
    Fit::of(&counts, &[0.2; 5]).statistic
}

#[test]
fn a_constant_id_hint_leaves_stateless_picks_balanced() {
    // With four degrees of freedom, chance exceeds x with exp(-x/2) * (1 + x/2): 4.7e-7.
    const LIMIT: f64 = 35.0;
    let affinity = gateway(&config(), "a b c d e");
    let mut random = Random::new("a_constant_id_hint_leaves_stateless_picks_balanced");
    let mut pick = || {
        let entropy = random.bytes();
        let id_hint = Some([3; 16]);
        let request = Request { group: Some(Group::Stateless), entropy, id_hint, ..create() };
        decide(&affinity, &request, &NEVER).slot.unwrap()
    };
    let balanced = chi_square((0..100_000).map(|_| pick()));
    assert!(balanced < LIMIT, "chi-square {balanced}");

    // The same test notices a replacement that favours one slot with 2 % of the picks.
    let skewed = chi_square((0..100_000).map(|i| if i % 50 == 0 { 0 } else { pick() }));
    assert!(skewed > LIMIT, "chi-square {skewed}");
}

// Rule 2

#[test]
fn precedence_is_consumer_then_session_then_cookie_then_a_new_id() {
    let config = config();
    let affinity = gateway(&config, "a b");
    let cookie = [field(&config, &young("a"))];
    let mut request = with_both("alice", "s");
    let source =
        |request: &Request<'_>, cookies: &[Vec<u8>]| decide(&affinity, request, cookies).source;
    assert_eq!(source(&request, &cookie), Source::Consumer);
    request.consumer = KeyInput::default();
    assert_eq!(source(&request, &cookie), Source::Session);
    request.session = KeyInput::default();
    assert_eq!(source(&request, &cookie), Source::Cookie);
    assert_eq!(source(&request, &NEVER), Source::Minted);
}

#[test]
fn both_keys_are_combined_only_where_that_is_configured() {
    let both = with_both("alice", "s");
    let on = Config { combine_keys: true, ..config() };
    assert_eq!(decide(&gateway(&on, "a b"), &both, &NEVER).source, Source::Combined);
    let alone = Request { consumer: KeyInput::default(), ..both };
    assert_eq!(decide(&gateway(&on, "a b"), &alone, &NEVER).source, Source::Session);
    let alone = Request { session: KeyInput::default(), ..both };
    assert_eq!(decide(&gateway(&on, "a b"), &alone, &NEVER).source, Source::Consumer);
    assert_eq!(decide(&gateway(&config(), "a b"), &both, &NEVER).source, Source::Consumer);
}

fn with_both<'r>(name: &'r str, session: &'r str) -> Request<'r> {
    Request { consumer: consumer(name), session: consumer(session), ..create() }
}

#[test]
fn combined_keys_do_not_run_into_each_other() {
    let config = Config { combine_keys: true, keyed_cookies: true, ..config() };
    let affinity = gateway(&config, "a b c");
    let (left, right) = (with_both("a:b", "c"), with_both("a", "b:c"));
    let mut client = Client::default();
    assert_eq!(client.send(&affinity, &left, 200).source, Source::Combined);
    assert_eq!(client.clone().send(&affinity, &left, 200).verdict, Verdict::Valid);
    assert_eq!(client.send(&affinity, &right, 200).verdict, Verdict::BadTag);

    // Nor do they share a place: over 26 accounts, the two rarely fall on one.
    let many = ('a'..='z').map(String::from).collect::<Vec<_>>().join(" ");
    let affinity = gateway(&config, &many);
    let together = (0..100).filter(|i| {
        let place = |c: &str, s: &str| decide(&affinity, &with_both(c, s), &NEVER).slot;
        place(&format!("{i}:b"), "c") == place(&i.to_string(), "b:c")
    });
    assert!(together.count() < 20);
}

#[test]
fn an_empty_key_is_absent_and_a_missing_key_is_never_hashed() {
    let affinity = gateway(&config(), "a b c d e f g h");
    let mut random = Random::new("an_empty_key_is_absent_and_a_missing_key_is_never_hashed");
    let empty = || KeyInput::new([&b""[..], b""]).trusted(true);
    let mut places = [false; 8];
    for _ in 0..200 {
        let request =
            Request { consumer: empty(), session: empty(), entropy: random.bytes(), ..create() };
        let decision = decide(&affinity, &request, &NEVER);
        assert_eq!((decision.source, decision.key_reason), (Source::Minted, KeyReason::Absent));
        places[decision.slot.unwrap() as usize] = true;
    }
    // The empty string would be one key, with all of them on one slot.
    assert_eq!(places, [true; 8]);
}

#[test]
fn an_empty_value_beside_a_good_one_does_not_count() {
    let affinity = gateway(&config(), "a b");
    let request =
        Request { consumer: KeyInput::new([&b""[..], b"alice", b""]).trusted(true), ..create() };
    let decision = decide(&affinity, &request, &NEVER);
    assert_eq!((decision.source, decision.key_reason), (Source::Consumer, KeyReason::Ok));
}

const LONG: [u8; MAX_KEY + 1] = [b'x'; MAX_KEY + 1];

#[test]
fn equal_values_count_as_one_and_different_ones_never_do() {
    let affinity = gateway(&config(), "a b");
    let with = |values: &[&'static [u8]], trusted| {
        let consumer = KeyInput::new(values.iter().copied()).trusted(trusted);
        let decision = decide(&affinity, &Request { consumer, ..create() }, &NEVER);
        let session = KeyInput::new(values.iter().copied());
        let of_session = decide(&affinity, &Request { session, ..create() }, &NEVER);
        if trusted {
            assert_eq!(of_session.key_reason, decision.key_reason, "{values:?}");
        }
        (decision.source, decision.slot, decision.key_reason)
    };
    let one = with(&[b"alice"], true);
    assert_eq!((one.0, one.2), (Source::Consumer, KeyReason::Ok));
    let same: [&[&[u8]]; 4] = [
        &[b"alice", b"alice"],
        &[b"alice", b"alice", b"alice"],
        &[b"", b"alice", b"", b"alice"],
        &[b"alice", b"", b"", b"alice", b""],
    ];
    for values in same {
        assert_eq!(with(values, true), one, "{values:?}");
        assert_eq!(with(values, false).2, KeyReason::Untrusted, "{values:?}");
    }
    let different: [&[&[u8]]; 6] = [
        &[b"alice", b"bob"],
        &[b"alice", b"alice", b"bob"],
        &[b"alice", b"bob", b"alice"],
        &[b"alice", b"Alice"],
        &[b"alice", b"alice "],
        &[b"alice", b"", b"alic"],
    ];
    for values in different {
        let (source, _, reason) = with(values, true);
        assert_eq!((source, reason), (Source::Minted, KeyReason::SeveralValues), "{values:?}");
        assert_eq!(with(values, false).2, KeyReason::Untrusted, "{values:?}");
    }
    assert_eq!(with(&[&LONG, &LONG], true).2, KeyReason::TooLong);
}

#[test]
fn a_key_that_cannot_be_used_gives_way_to_the_next_source_and_is_reported() {
    let affinity = gateway(&config(), "a b");
    // These values were not marked as trusted.
    let untrusted = KeyInput::new([&LONG[..], b"bob"]);
    let several = KeyInput::new([&LONG[..], b"bob"]).trusted(true);
    for (bad, reason) in [
        (untrusted, KeyReason::Untrusted),
        (several, KeyReason::SeveralValues),
        (KeyInput::new([&LONG[..]]).trusted(true), KeyReason::TooLong),
    ] {
        let request = Request { consumer: bad, session: consumer("s"), ..create() };
        let decision = decide(&affinity, &request, &NEVER);
        assert_eq!((decision.source, decision.key_reason), (Source::Session, reason));
        let request = Request { consumer: bad, ..create() };
        let decision = decide(&affinity, &request, &NEVER);
        assert_eq!((decision.source, decision.key_reason), (Source::Minted, reason));
    }
    let longest = Request { consumer: KeyInput::new([&LONG[1..]]).trusted(true), ..create() };
    assert_eq!(decide(&affinity, &longest, &NEVER).key_reason, KeyReason::Ok);
}

#[test]
fn the_consumers_reason_comes_before_the_sessions() {
    let both = Request {
        consumer: consumer("alice").trusted(false),
        session: KeyInput::new([&LONG[..]]),
        ..create()
    };
    let affinity = gateway(&config(), "a b");
    assert_eq!(decide(&affinity, &both, &NEVER).key_reason, KeyReason::Untrusted);
    // The session is read only if it could matter.
    let good = Request { consumer: consumer("alice"), ..both };
    assert_eq!(decide(&affinity, &good, &NEVER).key_reason, KeyReason::Ok);
    let combining = gateway(&Config { combine_keys: true, ..config() }, "a b");
    let decision = decide(&combining, &good, &NEVER);
    assert_eq!((decision.source, decision.key_reason), (Source::Consumer, KeyReason::TooLong));
}

#[test]
fn reject_bad_keys_refuses_before_cookies_are_read() {
    let strict = Config { reject_bad_keys: true, ..config() };
    let affinity = gateway(&strict, "a b");
    let request = Request { consumer: consumer("alice").trusted(false), ..create() };
    let decision = decide(&affinity, &request, &[field(&strict, &young("a"))]);
    let expected = (Source::None, Outcome::Rejected, PinState::None, Verdict::Absent);
    assert_eq!(course(&decision), expected);
    assert_eq!((decision.slot, decision.cookie), (None, None));
    assert_eq!(decision.key_reason, KeyReason::Untrusted);
    assert_eq!(decide(&affinity, &create(), &NEVER).outcome, Outcome::Placed);
}

// Rule 6

#[test]
fn a_session_minted_with_one_token_left_up_stays_with_it_after_all_recover() {
    let config = config();
    let mut random =
        Random::new("a_session_minted_with_one_token_left_up_stays_with_it_after_all_recover");
    let mut would_have_moved = 0;
    for _ in 0..20 {
        let affinity = affinity(&config, slots(&[("a", DOWN), ("b", DOWN), ("c", SlotStatus::UP)]));
        let mut client = Client::default();
        let first = client.send(&affinity, &Request { entropy: random.bytes(), ..create() }, 201);
        assert_eq!((first.source, serving(&affinity, &first)), (Source::Minted, 'c'));
        affinity.set_slot(0, SlotStatus::UP).unwrap();
        affinity.set_slot(1, SlotStatus::UP).unwrap();
        let next = client.send(&affinity, &Request { entropy: random.bytes(), ..read() }, 200);
        assert_eq!((next.outcome, serving(&affinity, &next)), (Outcome::Pinned, 'c'));
        would_have_moved += u32::from(next.pin_state == PinState::Elsewhere);
    }
    assert!(would_have_moved > 0, "only then the pin makes a difference");
}

#[test]
fn a_set_with_a_single_account_mints_nothing_unless_it_is_to_grow() {
    let single = slots(&[("-", SlotStatus::UP), ("a", SlotStatus::UP), ("-", SlotStatus::UP)]);
    let decision = decide(&affinity(&config(), single), &create(), &NEVER);
    assert_eq!((decision.slot, decision.source, decision.cookie), (Some(1), Source::None, None));
    let growing = Config { mint_single: true, ..config() };
    let decision = decide(&affinity(&growing, single), &create(), &NEVER);
    assert_eq!((decision.slot, decision.source), (Some(1), Source::Minted));
    assert_eq!(pending(&growing, None, &decision).pin, identity_hash(b"a"));
}

#[test]
fn a_set_without_accounts_mints_nothing() {
    let vacant = slots(&[("-", SlotStatus::UP), ("-", SlotStatus::UP)]);
    let decision = decide(&affinity(&config(), vacant), &create(), &NEVER);
    // "More than one slot is not vacant" is false here: no cookie may be issued.
    let expected = (Source::None, Outcome::None, PinState::None, Verdict::Absent);
    assert_eq!(course(&decision), expected);
    assert_eq!((decision.slot, decision.cookie), (None, None));
}

#[test]
fn requests_without_state_mint_nothing() {
    let affinity = gateway(&Config { mint_single: true, keyed_cookies: true, ..config() }, "a b");
    for (group, source) in
        [(Group::Stateless, Source::Stateless), (Group::PromptCache, Source::None)]
    {
        let request = Request { group: Some(group), id_hint: Some([3; 16]), ..create() };
        let decision = decide(&affinity, &request, &NEVER);
        assert_eq!((decision.source, decision.outcome), (source, Outcome::Placed));
        assert_eq!(decision.cookie, None);
        let keyed = Request { consumer: consumer("alice"), ..request };
        assert_eq!(decide(&affinity, &keyed, &NEVER).cookie, None);
    }
}

#[test]
fn requests_that_name_existing_state_mint_too() {
    let decision = decide(&gateway(&config(), "a b"), &read(), &NEVER);
    assert_eq!(decision.source, Source::Minted);
    assert!(decision.cookie.is_some());
}

#[test]
fn a_minted_cookie_holds_the_entropy_the_time_and_the_slots_pin() {
    let config = config();
    let affinity = gateway(&config, "a b c");
    let decision = decide(&affinity, &create(), &NEVER);
    let cookie = pending(&config, None, &decision);
    let pin = identity_hash(&[serving(&affinity, &decision) as u8]);
    assert_eq!((cookie.id, cookie.pin), (ENTROPY, pin));
    assert_eq!((cookie.issued_at, cookie.refreshed_at), (NOW_32, NOW_32));
}

#[test]
fn an_id_hint_makes_parallel_first_requests_agree() {
    let config = config();
    // Two replicas, and fresh entropy for every request.
    let replicas = [gateway(&config, "a b c d e"), gateway(&config, "a b c d e")];
    let mut random = Random::new("an_id_hint_makes_parallel_first_requests_agree");
    let mut first = |affinity: &Affinity<'_>, id_hint| {
        let request = Request { id_hint, entropy: random.bytes(), ..create() };
        let decision = decide(affinity, &request, &NEVER);
        (pending(&config, None, &decision).id, decision.slot)
    };
    let hint = Some([3; 16]);
    assert_eq!(first(&replicas[0], hint), first(&replicas[1], hint));
    assert_ne!(first(&replicas[0], None).0, first(&replicas[1], None).0);
}

#[test]
fn sessions_with_a_key_get_a_cookie_only_if_that_is_configured() {
    let request = Request { consumer: consumer("alice"), ..create() };
    assert_eq!(decide(&gateway(&config(), "a b"), &request, &NEVER).cookie, None);

    let on = Config { keyed_cookies: true, ..config() };
    let decision = decide(&gateway(&on, "a b"), &request, &NEVER);
    let cookie = pending(&on, Some(&Key::Consumer(b"alice")), &decision);
    assert_eq!((decision.source, cookie.id), (Source::Consumer, ENTROPY));
    let single = decide(&gateway(&on, "a"), &request, &NEVER);
    assert_eq!(single.cookie, None, "nor where a single account is");
}

#[test]
fn an_unknown_version_anywhere_prevents_issuing() {
    let config = Config { keyed_cookies: true, ..config() };
    let affinity = gateway(&config, "a b c");
    let value = sign(&config, None, &young("a"));
    let newer = pair(&config, &newer_version(&value));
    let expired = field(&config, &tokenpin::Cookie { issued_at: 1, refreshed_at: 1, ..young("a") });
    for (verdict, cookies) in [
        (Verdict::UnknownVersion, vec![newer.clone()]),
        (Verdict::ExpiredLife, vec![newer.clone(), expired.clone()]),
        (Verdict::ExpiredLife, vec![expired.clone(), newer.clone()]),
    ] {
        let decision = decide(&affinity, &create(), &cookies);
        assert_eq!((decision.verdict, decision.source), (verdict, Source::None));
        assert_eq!((decision.cookie, decision.outcome), (None, Outcome::Placed));
        let keyed = Request { consumer: consumer("alice"), ..create() };
        assert_eq!(decide(&affinity, &keyed, &cookies).cookie, None);
    }
    assert!(decide(&affinity, &create(), &[expired]).cookie.is_some(), "else one is issued");
}

// Candidates, rule 7

#[test]
fn draining_keeps_sessions_with_a_key_and_turns_anonymous_newcomers_away() {
    let affinity = gateway(&config(), "a b");
    let alice = Request { consumer: consumer("alice"), ..create() };
    let home = decide(&affinity, &alice, &NEVER).slot.unwrap();
    affinity.set_slot(home, DRAINING).unwrap();
    assert_eq!(decide(&affinity, &alice, &NEVER).slot, Some(home));
    let mut random =
        Random::new("draining_keeps_sessions_with_a_key_and_turns_anonymous_newcomers_away");
    for _ in 0..50 {
        let newcomer = Request { entropy: random.bytes(), ..create() };
        assert_eq!(decide(&affinity, &newcomer, &NEVER).slot, Some(1 - home));
    }
    affinity.set_slot(home, SlotStatus { weight: 0, ..DRAINING }).unwrap();
    assert_eq!(decide(&affinity, &alice, &NEVER).slot, Some(1 - home), "weight 0 moves it");
}

#[test]
fn until_is_a_cooldown_without_a_timer() {
    let config = config();
    let affinity = gateway(&config, "a b");
    let pinned = [field(&config, &young("a"))];
    for state in [State::Down, State::Draining] {
        affinity.set_slot(0, SlotStatus { state, weight: MAX_WEIGHT, until: NOW + 60 }).unwrap();
        let at = |now| decide(&affinity, &Request { now, ..create() }, &pinned).pin_state;
        let before = if state == State::Down { PinState::Down } else { PinState::Draining };
        assert_eq!([at(NOW), at(NOW + 59)], [before; 2]);
        assert!(matches!(at(NOW + 60), PinState::Home | PinState::Elsewhere));
    }
}

#[test]
fn without_a_pin_the_outcome_is_placed_or_retried() {
    let affinity = gateway(&config(), "a b c");
    let alice = Request { consumer: consumer("alice"), ..create() };
    let first = decide(&affinity, &alice, &NEVER);
    assert_eq!(first.outcome, Outcome::Placed);
    let tried = [first.slot.unwrap()];
    let second = decide(&affinity, &Request { tried: &tried, ..alice }, &NEVER);
    assert_eq!(second.outcome, Outcome::Retried);
    assert_ne!(second.slot, first.slot);
}

#[test]
fn without_a_candidate_no_slot_serves_and_no_cookie_goes_back() {
    let config = Config { keyed_cookies: true, ..config() };
    let affinity = gateway(&config, "a b");
    let exhausted = Request { tried: &[0, 1], ..create() };
    let nothing = |decision: Decision| {
        assert_eq!((decision.slot, decision.outcome), (None, Outcome::None));
        assert_eq!(finished(&affinity, &decision, 200), None);
        decision.source
    };
    assert_eq!(nothing(decide(&affinity, &exhausted, &NEVER)), Source::Minted);
    let keyed = Request { session: consumer("s"), ..exhausted };
    assert_eq!(nothing(decide(&affinity, &keyed, &NEVER)), Source::Session);
    let stateless = Request { group: Some(Group::Stateless), ..exhausted };
    assert_eq!(nothing(decide(&affinity, &stateless, &NEVER)), Source::Stateless);
    let cookie = [field(&config, &young("a"))];
    assert_eq!(nothing(decide(&affinity, &exhausted, &cookie)), Source::Cookie);
}

// Strategies

fn fnv1a32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[test]
fn the_higress_strategy_serves_keys_where_higress_does_and_still_honours_pins() {
    let config = Config { strategy: Strategy::HigressFnv1aModulo, ..config() };
    // Vacant slots do not count.
    let accounts = slots(&[
        ("a", SlotStatus::UP),
        ("-", SlotStatus::UP),
        ("b", SlotStatus::UP),
        ("c", SlotStatus::UP),
    ]);
    let affinity = affinity(&config, accounts);
    for name in ["alice", "bob", "carol", "dave", "erin", "frank"] {
        let request = Request { consumer: consumer(name), ..create() };
        let account = b"abc"[fnv1a32(name.as_bytes()) as usize % 3];
        assert_eq!(serving(&affinity, &decide(&affinity, &request, &NEVER)), account as char);
    }
    let minted = decide(&affinity, &create(), &NEVER);
    let uuid = b"07070707-0707-0707-0707-070707070707";
    let account = b"abc"[fnv1a32(uuid) as usize % 3];
    assert_eq!(serving(&affinity, &minted), account as char);
    for pin in ["a", "b", "c"] {
        let decision = decide(&affinity, &create(), &[field(&config, &young(pin))]);
        assert_eq!(decision.outcome, Outcome::Pinned);
        assert_eq!(serving(&affinity, &decision).to_string(), pin);
    }
    let alice = Request { consumer: consumer("alice"), ..create() };
    let home = decide(&affinity, &alice, &NEVER).slot.unwrap();
    affinity.set_slot(home, DOWN).unwrap();
    assert_ne!(decide(&affinity, &alice, &NEVER).slot, Some(home), "falls through");
}

#[test]
fn a_key_is_placed_by_its_hash_under_the_requests_scope() {
    let config = Config { scope: b"openai", ..config() };
    let accounts = up("a b c d e");
    let affinity = affinity(&config, accounts);
    for (scope, counts) in [(&b""[..], &b"openai"[..]), (b"openai", b"openai"), (b"x", b"x")] {
        let request = Request { consumer: consumer("alice"), scope, ..create() };
        let hash = key_hash(&config.placement_key, counts, &Key::Consumer(b"alice")).unwrap();
        let expected =
            tokenpin::select(Strategy::Jump, accounts, &tokenpin::Filter::default(), hash).unwrap();
        assert_eq!(decide(&affinity, &request, &NEVER).slot, expected);
    }
}

// Numbers and fingerprints

/// The names by ascending number, which must start at 0 and leave no gap.
macro_rules! names {
    ($enum:ty) => {
        <$enum>::ALL
            .iter()
            .enumerate()
            .map(|(number, value)| {
                assert_eq!(number, *value as usize);
                value.name()
            })
            .collect::<Vec<_>>()
            .join(" ")
    };
}

#[test]
fn numbers_and_names_are_stable() {
    assert_eq!(names!(Source), "none stateless consumer session combined cookie minted id");
    assert_eq!(names!(Outcome), "placed pinned repinned fallback retried rejected none");
    assert_eq!(names!(PinState), "none home elsewhere draining down gone");
    assert_eq!(names!(KeyReason), "ok absent untrusted several_values too_long");
    assert_eq!(
        names!(Verdict),
        "absent malformed unknown_version unknown_key bad_tag other_key not_yet_valid \
         expired_life expired_idle valid refresh_due"
    );
    assert_eq!(
        names!(tokenpin::Refusal),
        "none no_account_available bad_affinity_key session_unavailable \
         previous_response_not_found invalid_encrypted_content not_found conflicting_accounts \
         unreadable_body"
    );
    assert_eq!(names!(tokenpin::IdOwner), "none consumer");
    assert_eq!(names!(tokenpin::ids::Mode), "off open seal strict");
    assert_eq!(names!(tokenpin::ids::ForeignSeals), "auto refuse plain");
    assert_eq!(names!(Group), "stateless stateful prompt_cache");
    assert_eq!(names!(tokenpin::Policy), "fail_fast fallback_and_update fallback_without_update");
    assert_eq!(names!(Strategy), "jump rendezvous higress_fnv1a_modulo");
}

#[test]
fn the_fingerprint_is_the_configurations_fingerprint() {
    let cookie_keys = keys(&[(2, Role::Sign), (1, Role::Retire)]);
    let id_keys = keys(&[(4, Role::Sign), (3, Role::Accept)]);
    let ids = IdConfig { keys: id_keys, owner: IdOwner::Consumer, ..config().ids };
    let config =
        Config { cookie_keys, scope: b"openai", cookie_name: Some(b"pin"), ids, ..config() };
    let affinity = affinity(&config, slots(&[("a", DOWN), ("-", SlotStatus::UP)]));

    let label = b"tokenpin.v1.conf";
    let mut hasher = SipHasher24::new_with_key(&[0xaa; 16]);
    hasher.write(label);
    hasher.write(&[0, 0]);
    hasher.write(&2_u64.to_le_bytes());
    hasher.write(&[0]);
    hasher.write(&identity_hash(b"a").to_le_bytes());
    hasher.write(&[1, 0, 0, 0, 0, 0, 0, 0, 0]);
    hasher.write(b"\x06\0\0\0openai\x01\x03\0\0\0pin");
    let check_value = |id: u8, purpose: &[u8]| {
        let mut key = WideHasher::new_with_key(&[id; 16]);
        key.write(purpose);
        let mut check = SipHasher24::new_with_key(&key.finish128().as_bytes());
        check.write(label);
        check.finish().to_le_bytes()
    };
    for id in [1, 2] {
        hasher.write(&[id]);
        hasher.write(&check_value(id, b"tokenpin.v1.mac"));
    }
    hasher.write(&[1]);
    for id in [3, 4] {
        hasher.write(&[id]);
        hasher.write(&check_value(id, b"tokenpin.v1.sid"));
    }
    assert_eq!(affinity.fingerprint(), hasher.finish());
    assert_eq!(decide(&affinity, &read(), &NEVER).fingerprint, hasher.finish());
}

#[test]
fn the_fingerprint_shows_a_disagreement_and_no_rotation_in_progress() {
    let print = |config: &Config<'static>, names| gateway(config, names).fingerprint();
    let base = config();
    let same = print(&base, "a b");
    let cookie_keys = |list: &[(u8, Role)]| Config { cookie_keys: keys(list), ..config() };
    let ids = |ids| Config { ids, ..config() };
    let secret = |byte| CookieKey { id: 1, role: Role::Sign, secret: Secret::new([byte; 16]) };
    let other_secret = Config { cookie_keys: vec![secret(9)].leak(), ..config() };
    for other in [
        print(&base, "b a"),
        print(&base, "a b -"),
        print(&Config { strategy: Strategy::Rendezvous, ..config() }, "a b"),
        print(&Config { scope: b"s", ..config() }, "a b"),
        print(&Config { combine_keys: true, ..config() }, "a b"),
        print(&Config { cookie_name: Some(b"__Host-tokenpin"), ..config() }, "a b"),
        print(&Config { cookie_name: Some(b"pin"), ..config() }, "a b"),
        print(
            &Config {
                placement_key: Secret::new([1; 16]),
                cookie_keys: keys(&[(2, Role::Sign)]),
                ..config()
            },
            "a b",
        ),
        print(&cookie_keys(&[(2, Role::Sign)]), "a b"),
        print(&other_secret, "a b"),
        print(&ids(IdConfig { owner: IdOwner::Consumer, ..base.ids }), "a b"),
        print(&ids(IdConfig { keys: keys(&[(2, Role::Sign)]), ..base.ids }), "a b"),
        print(
            &ids(IdConfig { keys: keys(&[(1, Role::Sign), (2, Role::Accept)]), ..base.ids }),
            "a b",
        ),
    ] {
        assert_ne!(other, same);
    }
    // Replicas change the mode one after another, and the cookie's keys may be listed for ids too.
    for mode in Mode::ALL {
        assert_eq!(print(&ids(IdConfig { mode: *mode, ..base.ids }), "a b"), same);
    }
    assert_eq!(print(&ids(IdConfig { keys: base.cookie_keys, ..base.ids }), "a b"), same);
    assert_eq!(
        print(&cookie_keys(&[(1, Role::Sign), (2, Role::Accept)]), "a b"),
        print(&cookie_keys(&[(1, Role::Retire), (2, Role::Sign)]), "a b"),
    );
}

#[test]
fn the_live_fingerprint_is_that_of_states_and_weights() {
    let cooling = SlotStatus { state: State::Down, weight: 7, until: NOW };
    let list = slots(&[("a", DRAINING), ("-", SlotStatus::UP), ("b", cooling)]);
    let affinity = affinity(&config(), list);
    let expected = |state_of_b: u8| {
        let mut hasher = SipHasher24::new_with_key(b"tokenpin.v1.live");
        for (state, weight) in [(1, MAX_WEIGHT), (3, 0), (state_of_b, 7)] {
            hasher.write(&[state]);
            hasher.write(&weight.to_le_bytes());
        }
        hasher.finish()
    };
    assert_eq!(affinity.live_fingerprint(NOW - 1), expected(2));
    assert_eq!(affinity.live_fingerprint(NOW), expected(0));
}
