//! One test for each rule about a session that has a pin, and about its response (rules 4,
//! 5, 8 and 9 of `docs/spec/decision.md`).

use std::sync::atomic::{AtomicBool, Ordering};

use tokenpin::{
    Answer, Config, Cookie, Error, Group, Key, MAX_MAX_AGE, Outcome, PinState, Policy, Request,
    Role, Secret, SlotStatus, Source, VALUE_LEN, Verdict, identity_hash,
};

use tokenpin_test_support::random::Random;

use crate::world::{
    Client, DOWN, DRAINING, ID, NOW_32, affinity, config, consumer, course, create, decide, field,
    finished, gateway, keys, pair, pending, read, serving, sign, slots, young,
};

/// The configuration under which the cookies of `config` are due.
fn retiring(config: &Config<'static>) -> Config<'static> {
    Config { cookie_keys: keys(&[(1, Role::Retire), (2, Role::Sign)]), ..config.clone() }
}

/// A client whose session was minted on account `a`.
fn client_of_a(config: &Config<'_>) -> Client {
    Client { jar: field(config, &young("a")), given: 0 }
}

fn policies(policy: Policy) -> Config<'static> {
    Config { policy_existing: policy, policy_new: policy, ..config() }
}

// Rule 4

#[test]
fn the_pinned_account_serves_wherever_its_slot_is() {
    let mut client = client_of_a(&config());
    for names in ["a b c", "c b a", "- x - a", "a"] {
        let affinity = gateway(&config(), names);
        let decision = client.send(&affinity, &create(), 200);
        assert_eq!((decision.source, decision.outcome), (Source::Cookie, Outcome::Pinned));
        assert_eq!(serving(&affinity, &decision), 'a', "in {names}");
    }
}

#[test]
fn home_and_elsewhere_say_whether_the_session_would_move_without_its_cookie() {
    let config = config();
    let affinity = gateway(&config, "a b c");
    let key = Key::Anonymous(&ID);
    let hash = tokenpin::key_hash(&config.placement_key, b"", &key).unwrap();
    let home = tokenpin::jump(hash, 3).unwrap();
    for (slot, account) in (0..).zip(["a", "b", "c"]) {
        let decision = decide(&affinity, &create(), &[field(&config, &young(account))]);
        let expected = if slot == home { PinState::Home } else { PinState::Elsewhere };
        assert_eq!((decision.slot, decision.pin_state), (Some(slot), expected));
    }
}

#[test]
fn a_draining_token_and_one_of_no_weight_keep_their_sessions() {
    let affinity = gateway(&config(), "a b");
    let mut client = client_of_a(&config());
    let weightless = SlotStatus { weight: 0, ..SlotStatus::UP };
    for (status, state) in [
        (DRAINING, PinState::Draining),
        (SlotStatus { weight: 0, ..DRAINING }, PinState::Draining),
        (weightless, PinState::Elsewhere),
    ] {
        affinity.set_slot(0, status).unwrap();
        let decision = client.send(&affinity, &create(), 200);
        assert_eq!((decision.outcome, decision.pin_state), (Outcome::Pinned, state));
        assert_eq!(serving(&affinity, &decision), 'a');
    }
}

#[test]
fn a_keyed_session_keeps_its_pin_where_keyed_cookies_is_switched_off_again() {
    let on = Config { keyed_cookies: true, ..config() };
    let alice = Request { consumer: consumer("alice"), ..create() };
    let mut client = Client::default();
    let before = gateway(&on, "a b c d");
    let first = serving(&before, &client.send(&before, &alice, 200));

    // On another list her home would be another slot, and her cookie is due.
    let off = retiring(&config());
    for names in ["d c b a", "b c d a", "c d a b"] {
        let affinity = gateway(&off, names);
        let decision = client.send(&affinity, &alice, 200);
        assert_eq!((decision.source, decision.outcome), (Source::Consumer, Outcome::Pinned));
        assert_eq!((decision.verdict, decision.cookie), (Verdict::RefreshDue, None));
        assert_eq!(serving(&affinity, &decision), first);
    }
    // Nor is it re-pinned.
    let moved = client.send(&gateway(&off, "x y"), &alice, 200);
    assert_eq!((moved.outcome, moved.cookie), (Outcome::Fallback, None));
}

#[test]
fn the_pin_outlives_rotation_a_new_placement_key_and_edits_of_the_list() {
    let config = config();
    let mut client = Client::default();
    let before = gateway(&config, "a b c d");
    let account = serving(&before, &client.send(&before, &create(), 200));
    let replaced = Config { placement_key: Secret::new([0xbb; 16]), ..config.clone() };
    let rotated = retiring(&replaced);
    let dropped = Config { cookie_keys: keys(&[(2, Role::Sign)]), ..replaced.clone() };
    for (config, names) in [
        (&replaced, "a b c d"),
        (&rotated, "a b c d"),
        (&dropped, "a b c d"),
        (&dropped, "d c b a e f"),
        (&dropped, "- - - - b d a c"),
    ] {
        let affinity = gateway(config, names);
        let decision = client.send(&affinity, &read(), 200);
        assert_eq!((serving(&affinity, &decision), decision.outcome), (account, Outcome::Pinned));
    }
}

// Rule 5

#[test]
fn fail_fast_is_for_existing_state_and_others_fall_back_by_default() {
    let affinity = affinity(&config(), slots(&[("a", DOWN), ("b", SlotStatus::UP)]));
    let client = client_of_a(&config());
    let decision = client.clone().send(&affinity, &read(), 200);
    let expected = (Source::Cookie, Outcome::Rejected, PinState::Down, Verdict::Valid);
    assert_eq!(course(&decision), expected);
    assert_eq!((decision.slot, decision.cookie), (None, None));
    let decision = client.clone().send(&affinity, &create(), 200);
    assert_eq!((decision.outcome, serving(&affinity, &decision)), (Outcome::Repinned, 'b'));
}

#[test]
fn each_policy_is_for_its_own_requests() {
    let config = Config {
        policy_existing: Policy::FallbackWithoutUpdate,
        policy_new: Policy::FailFast,
        ..config()
    };
    let affinity = affinity(&config, slots(&[("a", DOWN), ("b", SlotStatus::UP)]));
    let client = client_of_a(&config);
    assert_eq!(client.clone().send(&affinity, &read(), 200).outcome, Outcome::Fallback);
    assert_eq!(client.clone().send(&affinity, &create(), 200).outcome, Outcome::Rejected);
}

#[test]
fn a_repinned_session_stays_where_it_went() {
    let config = config();
    let affinity =
        affinity(&config, slots(&[("a", DOWN), ("b", SlotStatus::UP), ("c", SlotStatus::UP)]));
    let mut client = client_of_a(&config);
    let decision = client.send(&affinity, &create(), 201);
    let account = serving(&affinity, &decision);
    let cookie = pending(&config, None, &decision);
    let Cookie { kind, issued_at, id, .. } = young("a");
    assert_eq!((cookie.kind, cookie.issued_at, cookie.id), (kind, issued_at, id));
    assert_eq!((cookie.refreshed_at, cookie.pin), (NOW_32, identity_hash(&[account as u8])));
    affinity.set_slot(0, SlotStatus::UP).unwrap();
    assert_eq!(serving(&affinity, &client.send(&affinity, &read(), 200)), account);
}

#[test]
fn fallback_without_update_returns_on_recovery() {
    let config = policies(Policy::FallbackWithoutUpdate);
    let affinity = affinity(&config, slots(&[("a", DOWN), ("b", SlotStatus::UP)]));
    let mut client = client_of_a(&config);
    for request in [create(), read()] {
        let decision = client.send(&affinity, &request, 200);
        assert_eq!((decision.outcome, serving(&affinity, &decision)), (Outcome::Fallback, 'b'));
        assert_eq!(decision.cookie, None);
    }
    affinity.set_slot(0, SlotStatus::UP).unwrap();
    assert_eq!(serving(&affinity, &client.send(&affinity, &create(), 200)), 'a');
}

#[test]
fn only_requests_that_create_state_rewrite_a_pin() {
    let config = policies(Policy::FallbackAndUpdate);
    let affinity = affinity(&config, slots(&[("a", DOWN), ("b", SlotStatus::UP)]));
    let prompt_cache = Request { group: Some(Group::PromptCache), ..create() };
    let mut client = client_of_a(&config);
    for request in [read(), prompt_cache, Request { existing: true, ..prompt_cache }] {
        let decision = client.send(&affinity, &request, 200);
        assert_eq!((decision.outcome, decision.cookie), (Outcome::Fallback, None));
    }
    assert_eq!(client.send(&affinity, &create(), 200).outcome, Outcome::Repinned);
}

#[test]
fn a_gone_account_is_left_behind_under_every_policy() {
    for policy in [Policy::FailFast, Policy::FallbackAndUpdate, Policy::FallbackWithoutUpdate] {
        let config = policies(policy);
        // Vacant slots are not mistaken for the pinned one.
        let affinity = gateway(&config, "- b c -");
        let mut client = client_of_a(&config);
        let decision = client.send(&affinity, &read(), 200);
        assert_eq!((decision.outcome, decision.pin_state), (Outcome::Fallback, PinState::Gone));
        let decision = client.send(&affinity, &create(), 200);
        assert_eq!((decision.outcome, decision.pin_state), (Outcome::Repinned, PinState::Gone));
        let account = serving(&affinity, &decision);
        let decision = client.send(&affinity, &create(), 200);
        assert_eq!((serving(&affinity, &decision), decision.outcome), (account, Outcome::Pinned));
    }
}

#[test]
fn a_pin_whose_slot_was_tried_follows_the_same_policies() {
    let affinity = gateway(&config(), "a b");
    let client = client_of_a(&config());
    let tried = |request| Request { tried: &[0], ..request };
    assert_eq!(client.clone().send(&affinity, &tried(read()), 200).outcome, Outcome::Rejected);
    let decision = client.clone().send(&affinity, &tried(create()), 200);
    assert_eq!((decision.outcome, decision.pin_state), (Outcome::Repinned, PinState::Elsewhere));
    assert_eq!(serving(&affinity, &decision), 'b');
    affinity.set_slot(0, DRAINING).unwrap();
    let decision = client.clone().send(&affinity, &tried(create()), 200);
    assert_eq!((decision.outcome, decision.pin_state), (Outcome::Repinned, PinState::Draining));
    // Another slot that was tried makes no difference.
    let decision = client.clone().send(&affinity, &Request { tried: &[1], ..create() }, 200);
    assert_eq!((decision.outcome, serving(&affinity, &decision)), (Outcome::Pinned, 'a'));
}

#[test]
fn a_pinned_token_that_recovers_in_the_middle_of_a_decision_is_not_fallen_back_to() {
    let config = policies(Policy::FallbackAndUpdate);
    let affinity = gateway(&config, "a b");
    let cookies = [field(&config, &young("a"))];
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                affinity.set_slot(0, DOWN).unwrap();
                affinity.set_slot(0, SlotStatus::UP).unwrap();
            }
        });
        // The other thread must end before a failure is reported.
        let good = (0..200_000).all(|_| {
            let decision = decide(&affinity, &create(), &cookies);
            (decision.outcome == Outcome::Pinned) == (decision.slot == Some(0))
        });
        over.store(true, Ordering::Relaxed);
        assert!(good);
    });
}

// Rule 8

#[test]
fn a_refresh_keeps_kind_id_issue_and_pin() {
    let old = config();
    let config = retiring(&old);
    let decision = decide(&gateway(&config, "a b"), &create(), &[field(&old, &young("a"))]);
    assert_eq!((decision.verdict, decision.outcome), (Verdict::RefreshDue, Outcome::Pinned));
    let expected = Cookie { refreshed_at: NOW_32, ..young("a") };
    assert!(pending(&config, None, &decision) == expected);
}

#[test]
fn no_clock_that_runs_behind_makes_a_cookie_older() {
    let old = config();
    let config = retiring(&old);
    let affinity = gateway(&config, "a b");
    let refreshed = |issued_at, refreshed_at| {
        let cookie = Cookie { issued_at, refreshed_at, ..young("a") };
        let decision = decide(&affinity, &create(), &[field(&old, &cookie)]);
        let cookie = pending(&config, None, &decision);
        assert_eq!(cookie.issued_at, issued_at);
        cookie.refreshed_at
    };
    assert_eq!(refreshed(NOW_32 - 9, NOW_32 - 9), NOW_32);
    assert_eq!(refreshed(NOW_32 - 9, NOW_32 + 200), NOW_32 + 200);
    assert_eq!(refreshed(NOW_32 + 100, NOW_32 - 9), NOW_32 + 100);
}

#[test]
fn reads_refresh_with_the_old_pin() {
    let old = policies(Policy::FallbackAndUpdate);
    let config = retiring(&old);
    let affinity = affinity(&config, slots(&[("a", DOWN), ("b", SlotStatus::UP)]));
    let mut client = client_of_a(&old);
    let decision = client.send(&affinity, &read(), 200);
    assert_eq!((decision.outcome, serving(&affinity, &decision)), (Outcome::Fallback, 'b'));
    assert_eq!(pending(&config, None, &decision).pin, identity_hash(b"a"));
    assert_eq!(client.given, 1);
    affinity.set_slot(0, SlotStatus::UP).unwrap();
    let decision = client.send(&affinity, &read(), 200);
    assert_eq!((decision.verdict, serving(&affinity, &decision)), (Verdict::Valid, 'a'));
}

#[test]
fn a_rejected_request_refreshes_nothing() {
    let old = config();
    let affinity = affinity(&retiring(&old), slots(&[("a", DOWN), ("b", SlotStatus::UP)]));
    let decision = decide(&affinity, &read(), &[field(&old, &young("a"))]);
    assert_eq!((decision.verdict, decision.outcome), (Verdict::RefreshDue, Outcome::Rejected));
    assert_eq!(decision.cookie, None);
}

#[test]
fn a_refresh_is_due_after_a_fifth_of_what_keeps_the_cookie_alive() {
    let due = |config: &Config<'static>, age: u32| {
        let at = NOW_32 - age;
        let cookie = Cookie { issued_at: at, refreshed_at: at, ..young("a") };
        decide(&gateway(config, "a b"), &create(), &[field(config, &cookie)]).verdict
    };
    let year = 31_536_000;
    for (config, interval) in [
        (Config { max_idle: 1_000, ..config() }, 1_000),
        (Config { max_idle: 1_000, max_age: Some(50), ..config() }, 50),
        (Config { max_idle: 1_000, max_age: Some(5_000), ..config() }, 1_000),
        (Config { max_idle: 1_000, max_age: Some(0), ..config() }, 1_000),
        (Config { max_age: Some(1_000), ..config() }, 1_000),
        (Config { max_life: 0, ..config() }, 34_560_000),
        (Config { max_life: 2 * year, ..config() }, 34_560_000),
    ] {
        assert_eq!(due(&config, interval / 5 - 1), Verdict::Valid, "{interval}");
        assert_eq!(due(&config, interval / 5), Verdict::RefreshDue, "{interval}");
    }
    // Never due if a Max-Age reaches to the end of its life, or was switched off.
    assert_eq!(due(&config(), config().max_life), Verdict::Valid);
    assert_eq!(due(&Config { max_life: 34_560_000, ..config() }, 34_560_000), Verdict::Valid);
    assert_eq!(due(&Config { max_life: 0, max_age: Some(0), ..config() }, year), Verdict::Valid);
}

// Max-Age

#[test]
fn the_default_max_age_reaches_to_the_end_of_the_cookies_life() {
    let max_age = |config: &Config<'static>, issued_ago: Option<u32>| {
        let cookies = issued_ago.map(|ago| {
            field(
                config,
                &Cookie { issued_at: NOW_32 - ago, refreshed_at: NOW_32 - 9, ..young("a") },
            )
        });
        let retiring = retiring(config);
        let decision = decide(&gateway(&retiring, "a b"), &create(), cookies.as_slice());
        decision.cookie.unwrap().max_age
    };
    let limits = |max_life, max_idle| Config { max_life, max_idle, ..config() };
    // At the first issue.
    assert_eq!(max_age(&config(), None), 2_592_000);
    assert_eq!(max_age(&limits(5_000, 900), None), 900);
    assert_eq!(max_age(&limits(500, 900), None), 500);
    assert_eq!(max_age(&limits(0, 900), None), 900);
    assert_eq!(max_age(&limits(0, 0), None), MAX_MAX_AGE);
    assert_eq!(max_age(&limits(u32::MAX, u32::MAX), None), MAX_MAX_AGE);
    // Later, the rest of it.
    assert_eq!(max_age(&config(), Some(2_000_000)), 592_000);
    assert_eq!(max_age(&config(), Some(2_591_999)), 1);
    assert_eq!(max_age(&config(), Some(2_592_000)), 1, "at least 1: 0 would mean none");
    assert_eq!(max_age(&limits(5_000, 900), Some(4_500)), 500);
    // A configured Max-Age is used unchanged.
    assert_eq!(max_age(&Config { max_age: Some(77), ..config() }, Some(2_591_999)), 77);
    assert_eq!(max_age(&Config { max_age: Some(0), ..config() }, None), 0);
}

#[test]
fn a_cookie_issued_ahead_of_the_clock_has_no_negative_age() {
    let old = config();
    let config = retiring(&old);
    let ahead = Cookie { issued_at: NOW_32 + 300, refreshed_at: NOW_32 + 300, ..young("a") };
    let decision = decide(&gateway(&config, "a b"), &create(), &[field(&old, &ahead)]);
    assert_eq!(decision.cookie.unwrap().max_age, 2_592_000);
}

// The carrier, rule 10

#[test]
fn a_carried_cookie_goes_back_where_it_came_from() {
    let old = config();
    let config = retiring(&old);
    let affinity = gateway(&config, "a b");
    let value = sign(&old, None, &young("a"));
    let carrier_value = Request { carrier_value: &value, ..create() };
    let new_in_header = Request { carrier: true, ..create() };
    for request in [carrier_value, Request { carrier: true, ..carrier_value }, new_in_header] {
        let decision = decide(&affinity, &request, &[]);
        let mut out = [0; VALUE_LEN];
        assert_eq!(affinity.finish(&decision, 200, &mut out), Ok((Answer::Carrier, VALUE_LEN)));
        assert_eq!(out, decision.cookie.unwrap().value, "bare");
    }
    // Also if a cookie was the one that counts.
    let junk = Request { carrier_value: b"junk", ..create() };
    let decision = decide(&affinity, &junk, &[pair(&config, &value)]);
    assert_eq!(decision.verdict, Verdict::RefreshDue);
    assert!(decision.cookie.unwrap().carrier);
}

#[test]
fn a_failed_response_rewrites_no_pin_and_the_session_returns() {
    let config = config();
    let affinity = affinity(&config, slots(&[("a", DOWN), ("b", SlotStatus::UP)]));
    let mut client = client_of_a(&config);
    for status in [404, 400, 500, 302, 199, 300] {
        assert_eq!(client.send(&affinity, &create(), status).outcome, Outcome::Repinned);
    }
    affinity.set_slot(0, SlotStatus::UP).unwrap();
    let decision = client.send(&affinity, &create(), 200);
    assert_eq!((decision.outcome, serving(&affinity, &decision)), (Outcome::Pinned, 'a'));
}

#[test]
fn cookies_are_set_on_the_configured_statuses_alone() {
    let decides = |success| {
        let affinity = gateway(&Config { success, ..config() }, "a b");
        let decision = decide(&affinity, &create(), &[]);
        let set = |status: &u16| finished(&affinity, &decision, *status).is_some();
        let sets: Vec<u16> = (0..700).chain([u16::MAX]).filter(set).collect();
        (sets[0], *sets.last().unwrap(), sets.len())
    };
    assert_eq!(decides((200, 299)), (200, 299, 100));
    assert_eq!(decides((201, 201)), (201, 201, 1));
    assert_eq!(decides((100, 599)), (100, 599, 500));
}

#[test]
fn a_decision_of_another_configuration_is_stale_and_pins_nobody_to_the_wrong_account() {
    let config = config();
    let before = gateway(&config, "a b c");
    let mut random = Random::new(
        "a_decision_of_another_configuration_is_stale_and_pins_nobody_to_the_wrong_account",
    );
    for names in ["b c a", "x y z", "a b d", "a b", "a b c -"] {
        let after = gateway(&config, names);
        let decision = decide(&before, &Request { entropy: random.bytes(), ..create() }, &[]);
        let mut out = [0; 300];
        for status in [200, 500] {
            assert_eq!(after.finish(&decision, status, &mut out), Err(Error::Stale), "{names}");
        }
        assert_eq!(out, [0; 300]);
        assert!(finished(&gateway(&config, "a b c"), &decision, 200).is_some(), "not by instance");
    }
}

#[test]
fn a_buffer_too_small_is_told_the_length_and_left_alone() {
    let affinity = gateway(&config(), "a b");
    for carrier in [false, true] {
        let decision = decide(&affinity, &Request { carrier, ..create() }, &[]);
        let needed = finished(&affinity, &decision, 200).unwrap().len();
        let mut out = vec![0; needed - 1];
        let got = affinity.finish(&decision, 200, &mut out);
        assert_eq!(got, Err(Error::BufferTooSmall { needed }));
        assert!(out.iter().all(|&byte| byte == 0));
        assert_eq!(affinity.finish(&decision, 500, &mut []), Ok((Answer::Nothing, 0)));
    }
}
