//! One test for each rule about the cookies of a request: which counts, and for whom (rule 3 of
//! `docs/spec/decision.md`, and the parts of `docs/spec/cookie-format.md` about requests).

use proptest::prelude::{Just, Strategy as _};
use proptest::test_runner::{Config as Runs, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use tokenpin::{
    Affinity, Config, Cookie, Decision, Key, Kind, Limits, Outcome, PinState, Request, Role,
    Source, Verdict,
};

use tokenpin_test_support::decision::ORDER;
use tokenpin_test_support::random::Random;

use crate::world::{
    Client, ID, NOW, NOW_32, config, consumer, course, create, decide, field, forged, gateway,
    keys, name_of, newer_version, pair, pending, serving, sign, young,
};

// Rule 3

/// Returns forgeries with different ids and pins.
fn forgeries(config: &Config<'_>, count: u8) -> Vec<Vec<u8>> {
    let forgery =
        |i| pair(config, &forged(&sign(config, None, &Cookie { id: [i; 16], ..young("b") })));
    (0..count).map(forgery).collect()
}

/// Returns the pairs as one field, and as one field each.
fn both_ways(pairs: &[Vec<u8>]) -> [Vec<Vec<u8>>; 2] {
    [vec![pairs.join(&b"; "[..])], pairs.to_vec()]
}

#[test]
fn up_to_63_forgeries_before_the_right_cookie_do_not_matter() {
    let config = config();
    let affinity = gateway(&config, "a b c");
    for count in [0, 4, 11, 63] {
        let mut pairs = forgeries(&config, count);
        pairs.push(field(&config, &young("a")));
        for fields in both_ways(&pairs) {
            let decision = decide(&affinity, &create(), &fields);
            assert_eq!((decision.verdict, decision.ambiguous), (Verdict::Valid, false));
            assert_eq!(serving(&affinity, &decision), 'a', "after {count} forgeries");
        }
    }
}

#[test]
fn after_64_tags_a_cookie_is_not_looked_at_any_more() {
    let config = config();
    let affinity = gateway(&config, "a b c");
    let mut pairs = forgeries(&config, 64);
    pairs.push(field(&config, &young("a")));
    for fields in both_ways(&pairs) {
        let decision = decide(&affinity, &create(), &fields);
        assert_eq!(course(&decision).3, Verdict::BadTag);
        assert_eq!(decision.source, Source::Minted);
    }
    // In front of the forgeries the valid one counts.
    pairs.rotate_right(1);
    assert_eq!(decide(&affinity, &create(), &pairs).verdict, Verdict::Valid);
}

#[test]
fn cookies_without_a_tag_to_compute_are_free() {
    let config = config();
    let affinity = gateway(&config, "a b c");
    let good = sign(&config, None, &young("a"));
    let alice = Key::Consumer(b"alice");
    let foreign = Config { cookie_keys: keys(&[(9, Role::Sign)]), ..config.clone() };
    for free in [
        good[1..].to_vec(),
        newer_version(&good),
        sign(&foreign, None, &young("a")).to_vec(),
        sign(&config, Some(&alice), &Cookie { kind: Kind::Consumer, ..young("a") }).to_vec(),
    ] {
        let mut pairs = vec![pair(&config, &free); 200];
        pairs.push(pair(&config, &good));
        assert_eq!(decide(&affinity, &create(), &pairs).verdict, Verdict::Valid);
    }
}

#[test]
fn no_order_of_the_cookies_changes_the_winner() {
    let config = config();
    let affinity = gateway(&config, "a b c d");
    let aged = |account, issued_ago, refreshed_ago, id| Cookie {
        issued_at: NOW_32 - issued_ago,
        refreshed_at: NOW_32 - refreshed_ago,
        id: [id; 16],
        ..young(account)
    };
    let mut pairs = forgeries(&config, 11);
    pairs.extend([
        field(&config, &aged("b", 900, 0, 1)),
        // The least issued_at counts, then the greatest refreshed_at.
        field(&config, &aged("a", 1_000, 500, 2)),
        field(&config, &aged("c", 1_000, 600, 3)),
        b"theme=dark".to_vec(),
    ]);
    let runs = Runs { cases: 300, failure_persistence: None, ..Runs::default() };
    let rng = TestRng::from_seed(
        RngAlgorithm::ChaCha,
        &Random::new("no_order_of_the_cookies_changes_the_winner").bytes::<32>(),
    );
    let orders = Just(pairs).prop_shuffle();
    let result = TestRunner::new_with_rng(runs, rng).run(&orders, |pairs| {
        for fields in both_ways(&pairs) {
            let decision = decide(&affinity, &create(), &fields);
            let got = (serving(&affinity, &decision), decision.verdict, decision.ambiguous);
            if got != ('a', Verdict::Valid, true) {
                return Err(TestCaseError::fail(format!("{got:?}")));
            }
        }
        Ok(())
    });
    result.unwrap();
}

#[test]
fn of_equal_cookies_the_first_counts_and_a_carried_one_is_before_all() {
    let config = config();
    let affinity = gateway(&config, "a b");
    let pairs = ["a", "b"].map(|account| field(&config, &young(account)));
    assert_eq!(serving(&affinity, &decide(&affinity, &create(), &pairs)), 'a');
    let carrier_value = sign(&config, None, &young("b"));
    let request = Request { carrier_value: &carrier_value, ..create() };
    let decision = decide(&affinity, &request, &pairs);
    assert_eq!(serving(&affinity, &decision), 'b');
    assert!(!decision.ambiguous, "one id in all of them");
}

#[test]
fn a_verdict_ranks_above_those_of_the_checks_before_it() {
    assert!(ORDER.map(Verdict::rank).into_iter().eq(0..11));
}

#[test]
fn without_a_usable_cookie_the_verdict_that_came_furthest_is_reported() {
    let config = config();
    let affinity = gateway(&config, "a b");
    let good = sign(&config, None, &young("a"));
    let old = sign(&config, None, &Cookie { issued_at: 1, refreshed_at: 1, ..young("a") });
    let mut pairs = vec![pair(&config, b"x")];
    let mut verdict = |value: Vec<u8>| {
        pairs.insert(0, pair(&config, &value));
        decide(&affinity, &create(), &pairs).verdict
    };
    assert_eq!(verdict(b"junk".to_vec()), Verdict::Malformed);
    assert_eq!(verdict(newer_version(&good)), Verdict::UnknownVersion);
    assert_eq!(verdict(forged(&good)), Verdict::BadTag);
    assert_eq!(verdict(b"junk".to_vec()), Verdict::BadTag);
    assert_eq!(verdict(old.to_vec()), Verdict::ExpiredLife);
    assert_eq!(verdict(forged(&good)), Verdict::ExpiredLife);
}

#[test]
fn a_clock_ahead_by_the_skew_is_tolerated_and_not_a_second_more() {
    let config = config();
    let affinity = gateway(&config, "a b");
    let skew = config.skew;
    let verdict = |issued_at, refreshed_at| {
        let cookie = Cookie { issued_at, refreshed_at, ..young("a") };
        decide(&affinity, &create(), &[field(&config, &cookie)]).verdict
    };
    for (ahead, expected) in
        [(0, Verdict::Valid), (skew, Verdict::Valid), (skew + 1, Verdict::NotYetValid)]
    {
        assert_eq!(verdict(NOW_32 + ahead, NOW_32), expected, "issued {ahead} s ahead");
        assert_eq!(verdict(NOW_32 - 9, NOW_32 + ahead), expected, "refreshed {ahead} s ahead");
        assert_eq!(verdict(NOW_32 + ahead, NOW_32 + ahead), expected, "both {ahead} s ahead");
    }
}

#[test]
fn a_cookie_lives_to_the_last_second_of_its_limits() {
    let config = Config { max_life: 1_000, max_idle: 100, ..config() };
    let affinity = gateway(&config, "a b");
    let verdict = |issued_ago, refreshed_ago| {
        let (issued_at, refreshed_at) = (NOW_32 - issued_ago, NOW_32 - refreshed_ago);
        let cookie = Cookie { issued_at, refreshed_at, ..young("a") };
        decide(&affinity, &create(), &[field(&config, &cookie)]).verdict
    };
    assert_eq!(verdict(1_000, 19), Verdict::Valid);
    assert_eq!(verdict(1_000, 20), Verdict::RefreshDue);
    assert_eq!(verdict(1_000, 100), Verdict::RefreshDue);
    assert_eq!(verdict(1_000, 101), Verdict::ExpiredIdle);
    assert_eq!(verdict(1_001, 20), Verdict::ExpiredLife);
    assert_eq!(verdict(1_001, 101), Verdict::ExpiredLife);
}

#[test]
fn a_keyed_cookie_is_of_no_use_to_anyone_else() {
    let config = Config { keyed_cookies: true, combine_keys: true, ..config() };
    let affinity = gateway(&config, "a b c d");
    let alice = Request { consumer: consumer("alice"), ..create() };
    let mut client = Client::default();
    client.send(&affinity, &alice, 200);
    let jar = [client.jar.clone()];
    let same_bytes = Request { session: consumer("alice"), ..create() };
    for (verdict, request) in [
        (Verdict::Valid, alice),
        (Verdict::BadTag, create()),
        (Verdict::BadTag, Request { consumer: consumer("bob"), ..create() }),
        (Verdict::BadTag, Request { session: consumer("s"), ..create() }),
        (Verdict::BadTag, Request { session: consumer("s"), ..alice }),
        (Verdict::OtherKey, same_bytes),
    ] {
        let decision = decide(&affinity, &request, &jar);
        assert_eq!(decision.verdict, verdict);
        assert_eq!(decision.pin_state == PinState::None, verdict != Verdict::Valid);
        if verdict != Verdict::Valid {
            assert_eq!(decision.slot, decide(&affinity, &request, &[]).slot, "as without it");
        }
    }
    // Nor does an anonymous cookie belong to a session with a key.
    let anonymous = [field(&config, &young("a"))];
    assert_eq!(decide(&affinity, &alice, &anonymous).verdict, Verdict::OtherKey);
}

#[test]
fn a_cookie_of_one_kind_is_not_read_with_the_binding_of_another() {
    let config = Config { keyed_cookies: true, ..config() };
    let affinity = gateway(&config, "a b c d");
    let alice = Request { session: consumer("alice"), ..create() };
    let signed = |kind, key| sign(&config, Some(&key), &Cookie { kind, ..young("a") });
    // This forgery leads to the binding of sessions, and is worthless itself.
    let forgery = forged(&signed(Kind::Session, Key::Session(b"alice")));
    let consumers = signed(Kind::Consumer, Key::Consumer(b"alice"));
    let jar = [pair(&config, &forgery), pair(&config, &consumers)];
    assert_eq!(decide(&affinity, &alice, &jar).verdict, Verdict::OtherKey);
}

#[test]
fn scopes_are_separate() {
    let config = config();
    let affinity = gateway(&config, "a b");
    let [openai, anthropic] =
        [&b"openai"[..], b"anthropic"].map(|s| Request { scope: s, ..create() });
    let mut client = Client::default();
    assert_eq!(client.send(&affinity, &openai, 200).source, Source::Minted);
    let name = |scope| name_of(&config, scope).as_bytes().to_vec();
    assert!(client.jar.starts_with(&name(b"openai")));
    assert_ne!(name(b"openai"), name(b"anthropic"));

    // Under its own name the other scope does not see the cookie, and under the other's name it
    // fails.
    assert_eq!(client.clone().send(&affinity, &openai, 200).verdict, Verdict::Valid);
    assert_eq!(client.clone().send(&affinity, &anthropic, 200).verdict, Verdict::Absent);
    let value = client.jar[name(b"openai").len()..].to_vec();
    let renamed = [[name(b"anthropic"), value].concat()];
    assert_eq!(decide(&affinity, &anthropic, &renamed).verdict, Verdict::BadTag);
    assert_eq!(decide(&affinity, &openai, &renamed).verdict, Verdict::Absent);

    // Nor do scopes mix if one name is configured for all.
    let one_name = Config { cookie_name: Some(b"pin"), ..config };
    let affinity = gateway(&one_name, "a b");
    let mut client = Client::default();
    client.send(&affinity, &openai, 200);
    assert!(client.jar.starts_with(b"pin="));
    assert_eq!(client.clone().send(&affinity, &openai, 200).verdict, Verdict::Valid);
    assert_eq!(client.send(&affinity, &anthropic, 200).verdict, Verdict::BadTag);
}

#[test]
fn an_empty_scope_is_the_configured_one() {
    let config = Config { scope: b"openai", ..config() };
    let affinity = gateway(&config, "a b");
    let mut client = Client::default();
    client.send(&affinity, &create(), 200);
    let named = Request { scope: b"openai", ..create() };
    assert_eq!(client.send(&affinity, &named, 200).verdict, Verdict::Valid);
}

#[test]
fn an_unknown_version_beside_a_usable_cookie_changes_nothing() {
    // Otherwise a planted value, which anyone can make up, would end a session's refreshes.
    let old = config();
    let cookie_keys = keys(&[(1, Role::Retire), (2, Role::Sign)]);
    let config = Config { cookie_keys, ..old.clone() };
    let due = sign(&old, None, &young("a"));
    let pairs = [pair(&config, &newer_version(&due)), pair(&config, &due)];
    let refresh = decide(&gateway(&config, "a b"), &create(), &pairs);
    assert_eq!((refresh.verdict, refresh.outcome), (Verdict::RefreshDue, Outcome::Pinned));
    assert!(refresh.cookie.is_some());
    let repin = decide(&gateway(&config, "b c"), &create(), &pairs);
    assert_eq!((repin.pin_state, repin.outcome), (PinState::Gone, Outcome::Repinned));
    assert!(repin.cookie.is_some());
}

/// The steps of a rotation: add the new key, let it sign, drop the old one.
const STEPS: [&[(u8, Role)]; 4] = [
    &[(1, Role::Sign)],
    &[(1, Role::Sign), (2, Role::Accept)],
    &[(1, Role::Retire), (2, Role::Sign)],
    &[(2, Role::Sign)],
];

fn at_step(step: usize) -> Affinity<'static> {
    gateway(&Config { cookie_keys: keys(STEPS[step]), ..config() }, "a b c d")
}

/// Sends requests to two replicas in turn.
fn alternate(client: &mut Client, replicas: [&Affinity<'_>; 2]) -> Vec<Decision> {
    let mut random = Random::new("alternate");
    let mut send = |i: usize| {
        let request = Request { entropy: random.bytes(), ..create() };
        client.send(replicas[i % 2], &request, 200)
    };
    (0..20).map(&mut send).collect()
}

#[test]
fn a_rolling_rotation_issues_every_cookie_anew_just_once() {
    let mut client = Client::default();
    let first = client.send(&at_step(0), &create(), 200);
    let mut issued = Vec::new();
    for step in 1..STEPS.len() {
        // One replica is a step behind the other for a while, then both are at the same step.
        for behind in [step - 1, step] {
            client.given = 0;
            for decision in alternate(&mut client, [&at_step(behind), &at_step(step)]) {
                assert!(decision.verdict.is_usable());
                assert_eq!((decision.slot, decision.outcome), (first.slot, Outcome::Pinned));
            }
            issued.push(client.given);
        }
    }
    // Issued once, when the first replica signs with the new key. The other one keeps that
    // cookie.
    assert_eq!(issued, [0, 0, 1, 0, 0, 0]);
}

#[test]
fn a_rotation_that_skips_a_step_is_what_the_steps_are_for() {
    // A replica without the new key mints on every request: the test above would notice.
    let mut client = Client::default();
    client.send(&at_step(0), &create(), 200);
    client.given = 0;
    alternate(&mut client, [&at_step(0), &at_step(2)]);
    assert_eq!(client.given, 20 - 1, "all but the first, which meets its own key");
}

#[test]
fn a_cookie_of_an_accepted_key_is_left_alone() {
    let old = config();
    let config = Config { cookie_keys: keys(&[(1, Role::Accept), (2, Role::Sign)]), ..old.clone() };
    let decision = decide(&gateway(&config, "a b"), &create(), &[field(&old, &young("a"))]);
    assert_eq!((decision.verdict, decision.cookie), (Verdict::Valid, None));
}

#[test]
fn cookies_are_read_under_the_limits_that_are_configured() {
    // A new cookie is good for a reader with the defaults of the format.
    let config = config();
    let decision = decide(&gateway(&config, "a b"), &create(), &[]);
    let value = decision.cookie.unwrap().value;
    let ring = tokenpin::KeyRing::new(config.cookie_keys, None).unwrap();
    let name = name_of(&config, b"");
    let audience = tokenpin::Audience { name: name.as_bytes(), scope: b"" };
    let limits = Limits { skew: 300, max_life: 2_592_000, max_idle: 0, refresh_interval: 0 };
    let read =
        |now| tokenpin::cookie::decode(&ring, &audience, None, &limits, now, &value).unwrap();
    assert_eq!(read(NOW + 2_592_000).0, Verdict::Valid);
    assert_eq!(read(NOW + 2_592_001).0, Verdict::ExpiredLife);
    assert_eq!(read(NOW).1, Some(pending(&config, None, &decision)));
    assert_ne!(pending(&config, None, &decision).id, ID);
}
