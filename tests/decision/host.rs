//! The parts of a decision for its host: rule 9 of `docs/spec/decision.md`.

use tokenpin::{
    Config, Cookie, Group, Key, KeyInput, Kind, Outcome, Policy, Request, SlotStatus, State,
    Verdict, identity_hash,
};

use crate::world::{
    DOWN, DRAINING, NOW, affinity, config, consumer, create, decide, field, gateway, newer_version,
    pair, read, sign, slots, young,
};

// Rule 9

fn down_until(until: u64) -> SlotStatus {
    SlotStatus { until, ..DOWN }
}

/// Returns `existing` and `may_move` of a request to two accounts that are up.
fn says(config: &Config<'static>, request: &Request<'_>, fields: &[Vec<u8>]) -> (bool, bool) {
    let decision = decide(&gateway(config, "a b"), request, fields);
    (decision.existing, decision.may_move)
}

#[test]
fn a_pin_ties_a_session_to_its_token() {
    let config = config();
    assert_eq!(says(&config, &create(), &[field(&config, &young("a"))]), (false, false));
    assert_eq!(says(&config, &read(), &[field(&config, &young("a"))]), (true, false));
    // Also if the pin cannot serve, and another slot does.
    let tried = decide(
        &gateway(&config, "a b"),
        &Request { tried: &[0], ..create() },
        &[field(&config, &young("a"))],
    );
    assert_eq!((tried.outcome, tried.may_move), (Outcome::Repinned, true), "its cookie follows");
    // A request that names state must not move, regardless of the slot that serves.
    let fallback = Config { policy_existing: Policy::FallbackAndUpdate, ..config };
    let tried = decide(
        &gateway(&fallback, "a b"),
        &Request { tried: &[0], ..read() },
        &[field(&fallback, &young("a"))],
    );
    assert_eq!((tried.outcome, tried.may_move), (Outcome::Fallback, false));
}

#[test]
fn what_nothing_ties_may_move() {
    let config = config();
    for group in [Group::Stateless, Group::PromptCache] {
        for consumer in [KeyInput::default(), consumer("alice")] {
            let request = Request { group: Some(group), consumer, ..create() };
            assert_eq!(says(&config, &request, &[]), (false, true), "{group:?}");
            let again = Request { tried: &[0], ..request };
            assert_eq!(says(&config, &again, &[]), (false, true), "a second time too");
            let names = Request { existing: true, ..request };
            assert_eq!(says(&config, &names, &[]), (true, false), "the host knows of state");
        }
    }
}

/// A newcomer may keep no cookies. Then the state it creates must be where it was placed.
#[test]
fn a_creation_may_move_only_for_a_client_that_keeps_what_it_is_given() {
    let plain = config();
    let keyed = Config { keyed_cookies: true, ..config() };
    let expired = Cookie { issued_at: 1, refreshed_at: 1, ..young("a") };
    let expired = sign(&plain, None, &expired);
    let alice = Request { consumer: consumer("alice"), ..create() };
    let hinted = Request { id_hint: Some([3; 16]), ..create() };
    for (config, request) in [(&plain, create()), (&plain, hinted), (&keyed, alice)] {
        assert_eq!(says(config, &request, &[]), (false, false), "a newcomer");
        let other = [b"theme=dark".to_vec()];
        assert_eq!(says(config, &request, &other), (false, false), "not a cookie of ours");
        for ours in [b"", &b"x"[..], &expired].map(|value| [pair(config, value)]) {
            assert_eq!(says(config, &request, &ours), (false, true), "it has a jar");
            let reads = Request { existing: true, ..request };
            assert_eq!(says(config, &reads, &ours), (true, false));
            let again = Request { tried: &[0], ..request };
            assert_eq!(says(config, &again, &ours), (false, true), "a second time too");
        }
        let carried = Request { carrier: true, ..request };
        assert_eq!(says(config, &carried, &[]), (false, true), "it asks for the value");
        let carried = Request { carrier_value: &expired, ..request };
        assert_eq!(says(config, &carried, &[]), (false, true));
        assert_eq!(says(config, &read(), &[]), (true, false), "its state may be anywhere");
    }
    // A cookie of a newer version is not overwritten, so no response leads to the new token.
    let newer = pair(&plain, &newer_version(&sign(&plain, None, &young("a"))));
    assert_eq!(says(&plain, &create(), &[newer]), (false, false));
}

/// A key leads every later request to the token that it is placed at.
#[test]
fn a_key_ties_a_session_that_gets_no_cookies() {
    let plain = config();
    let keyed = Config { keyed_cookies: true, ..config() };
    let new = Request { consumer: consumer("alice"), ..create() };
    let old = Request { consumer: consumer("alice"), ..read() };
    let stale = [pair(&plain, b"x")];
    assert_eq!(says(&plain, &new, &stale), (false, false));
    assert_eq!(says(&keyed, &new, &stale), (false, true));
    assert_eq!(says(&keyed, &old, &stale), (true, false), "its state is at the token of its key");
}

#[test]
fn a_decision_without_a_slot_may_not_move() {
    let config = Config { reject_bad_keys: true, ..config() };
    let untrusted = Request { consumer: consumer("alice").trusted(false), ..create() };
    let decision = decide(&gateway(&config, "a b"), &untrusted, &[]);
    assert_eq!((decision.outcome, decision.may_move), (Outcome::Rejected, false));
    let none = decide(&affinity(&config, slots(&[("a", DOWN)])), &create(), &[]);
    assert_eq!((none.outcome, none.may_move), (Outcome::None, false));
}

/// Checks `retry_after` of a request to these accounts.
#[track_caller]
fn wait(list: &[(&str, SlotStatus)], request: &Request<'_>, pin: Option<&str>) -> u32 {
    let config = config();
    let fields: Vec<_> = pin.map(|account| field(&config, &young(account))).into_iter().collect();
    let decision = decide(&affinity(&config, slots(list)), request, &fields);
    assert_eq!(decision.slot, None);
    decision.retry_after
}

#[test]
fn a_slot_that_serves_needs_no_waiting() {
    let list = slots(&[("a", SlotStatus::UP), ("b", down_until(NOW + 7))]);
    assert_eq!(decide(&affinity(&config(), list), &create(), &[]).retry_after, 0);
}

#[test]
fn the_first_slot_that_comes_up_counts() {
    let (soon, late) = (down_until(NOW + 7), down_until(NOW + 90));
    assert_eq!(wait(&[("a", late), ("b", soon), ("c", DOWN)], &create(), None), 7);
    assert_eq!(
        wait(&[("a", DOWN), ("-", DOWN)], &create(), None),
        0,
        "without an until it is unknown"
    );
    let light = SlotStatus { weight: 0, ..soon };
    assert_eq!(wait(&[("a", late), ("b", light)], &create(), None), 90, "weight 0 takes no key");
    let stateless = Request { group: Some(Group::Stateless), ..create() };
    assert_eq!(wait(&[("a", late), ("b", soon)], &stateless, None), 7);
    let far = down_until(NOW + (1 << 40));
    assert_eq!(wait(&[("a", far)], &create(), None), u32::MAX);
}

/// A draining slot serves every key if no other slot can. If it was tried, the request only has to
/// come back later.
#[test]
fn a_tried_slot_that_drains_needs_no_waiting() {
    let draining = SlotStatus { until: NOW + 5, ..DRAINING };
    let list = [("a", draining), ("b", down_until(NOW + 9))];
    let newcomer = Request { tried: &[0], ..create() };
    let alice = Request { consumer: consumer("alice"), tried: &[0], ..create() };
    let stateless = Request { group: Some(Group::Stateless), tried: &[0], ..create() };
    for request in [newcomer, alice, stateless] {
        assert_eq!(wait(&list, &request, None), 0);
        let light = ("a", SlotStatus { weight: 0, ..draining });
        assert_eq!(wait(&[light, list[1]], &request, None), 9, "weight 0 takes no key");
    }
}

#[test]
fn a_slot_that_drains_serves_a_newcomer_and_needs_no_waiting() {
    let draining = SlotStatus { until: NOW + 5, ..DRAINING };
    let list = slots(&[("a", draining), ("b", down_until(NOW + 9))]);
    let decision = decide(&affinity(&config(), list), &create(), &[]);
    assert_eq!((decision.slot, decision.retry_after), (Some(0), 0));
}

#[test]
fn a_tried_slot_that_is_up_again_later_counts_and_one_that_is_up_needs_no_waiting() {
    let request = Request { tried: &[0, 1], ..create() };
    let list = [("a", down_until(NOW + 30)), ("b", down_until(NOW + 40))];
    assert_eq!(wait(&list, &request, None), 30);
    assert_eq!(wait(&[("a", SlotStatus::UP), list[1]], &request, None), 0);
}

#[test]
fn under_fail_fast_only_the_pinned_slot_counts() {
    let list = [("a", down_until(NOW + 60)), ("b", down_until(NOW + 3))];
    assert_eq!(wait(&list, &read(), Some("a")), 60);
    assert_eq!(wait(&[("a", DOWN), list[1]], &read(), Some("a")), 0);
    let tried = Request { tried: &[0], ..read() };
    assert_eq!(wait(&[("a", SlotStatus::UP), list[1]], &tried, Some("a")), 0, "it is up");
}

#[test]
fn a_pinned_slot_counts_at_weight_0_where_others_do_too() {
    let config = Config { policy_existing: Policy::FallbackAndUpdate, ..config() };
    let pinned = SlotStatus { state: State::Down, weight: 0, until: NOW + 4 };
    let list = slots(&[("a", pinned), ("b", down_until(NOW + 50))]);
    let decision = decide(&affinity(&config, list), &read(), &[field(&config, &young("a"))]);
    assert_eq!((decision.outcome, decision.retry_after), (Outcome::None, 4));
    let other = decide(&affinity(&config, list), &read(), &[field(&config, &young("gone"))]);
    assert_eq!((other.outcome, other.retry_after), (Outcome::None, 50));
}

#[test]
fn a_refused_key_says_nothing_of_waiting() {
    let config = Config { reject_bad_keys: true, ..config() };
    let untrusted = Request { consumer: consumer("alice").trusted(false), ..create() };
    let list = slots(&[("a", down_until(NOW + 7))]);
    assert_eq!(decide(&affinity(&config, list), &untrusted, &[]).retry_after, 0);
}

/// For a keyed session with a pin, draining slots serve, so they are no reason to wait.
#[test]
fn a_keyed_session_waits_for_its_pin() {
    let config = Config { keyed_cookies: true, ..config() };
    let key = Key::Consumer(b"alice");
    let cookie = Cookie { kind: Kind::Consumer, pin: identity_hash(b"a"), ..young("a") };
    let value = pair(&config, &sign(&config, Some(&key), &cookie));
    let list = slots(&[("a", down_until(NOW + 11)), ("b", SlotStatus::UP)]);
    let request = Request { consumer: consumer("alice"), ..read() };
    let decision = decide(&affinity(&config, list), &request, &[value]);
    assert_eq!(decision.verdict, Verdict::Valid);
    assert_eq!((decision.outcome, decision.retry_after), (Outcome::Rejected, 11));
}
