//! One test for each rule about a request whose ids name an account (rule 0 of
//! `docs/spec/decision.md`).

use std::slice::from_ref;

use tokenpin::ids::{Ids, Mode, Opener, Opening, Summary};
use tokenpin::{
    Affinity, Config, Cookie, Decision, Error, Group, IdConfig, IdOwner, IdVerdict, Key, KeyReason,
    Kind, Outcome, PinState, Policy, Refusal, Request, Role, SlotStatus, Source, Verdict,
    identity_hash,
};

use tokenpin_test_support::ids::{NO_KEY, number_of};

use crate::world::{
    DOWN, DRAINING, ID, NOW, affinity, config, consumer, create, decide, field, finished,
    foreign_seal, gateway, keys, mark, newer_version, pair, pending, read, seal, serving, sign,
    slots, summary_of, young,
};

const NEVER: [Vec<u8>; 0] = [];

fn in_mode(mode: Mode) -> Config<'static> {
    Config { ids: IdConfig { mode, ..config().ids }, ..config() }
}

fn sealing() -> Config<'static> {
    in_mode(Mode::Seal)
}

/// The configuration under which the cookies of `config` are due.
fn retiring(config: &Config<'static>) -> Config<'static> {
    Config { cookie_keys: keys(&[(1, Role::Retire), (2, Role::Sign)]), ..config.clone() }
}

/// A request's body with the sealed id of an object of `account`.
fn names(affinity: &Affinity<'_>, account: &str) -> Summary {
    let id = seal(affinity, "resp_1", identity_hash(account.as_bytes()));
    summary_of(affinity, Ids::Items, &format!(r#"{{"previous_response_id":"{id}"}}"#))
}

/// Returns the summary of a request with history of `account`.
fn recalls(affinity: &Affinity<'_>, account: &str, store: bool) -> Summary {
    let id = seal(affinity, "msg_1", identity_hash(account.as_bytes()));
    let body = format!(r#"{{"input":[{{"id":"{id}","content":"x"}}],"store":{store}}}"#);
    summary_of(affinity, Ids::Items, &body)
}

/// Returns a request with ids. Without them it would create state.
fn with(ids: &Summary) -> Request<'_> {
    Request { ids: Some(ids), ..create() }
}

fn refused(decision: &Decision) -> (Outcome, Refusal, Option<u32>) {
    assert_eq!((decision.slot, decision.cookie), (None, None));
    assert!(!decision.may_move);
    (decision.outcome, decision.refusal(), Some(decision.retry_after).filter(|&it| it > 0))
}

// Rule 0

#[test]
fn an_id_leads_to_its_account_wherever_its_slot_is() {
    for mode in [Mode::Open, Mode::Seal, Mode::Strict] {
        for list in ["a b c", "c b a", "- x - a", "a"] {
            let affinity = gateway(&in_mode(mode), list);
            let ids = names(&affinity, "a");
            for group in [None, Some(Group::Stateless), Some(Group::PromptCache)] {
                let decision = decide(&affinity, &Request { group, ..with(&ids) }, &NEVER);
                assert_eq!((decision.source, decision.outcome), (Source::Id, Outcome::Pinned));
                assert_eq!(decision.id_verdict, IdVerdict::Sealed);
                assert_eq!(decision.id_keys, [number_of("previous_response_id"), NO_KEY]);
                assert!(decision.existing && !decision.may_move);
                assert_eq!(serving(&affinity, &decision), 'a', "in {list}");
            }
        }
    }
}

#[test]
fn an_id_outranks_keys_and_cookies() {
    let config = sealing();
    let affinity = gateway(&config, "a b c d");
    let cookie = field(&config, &young("b"));
    for account in ["a", "b", "c", "d"] {
        let ids = names(&affinity, account);
        for name in ["alice", "bob", "carol"] {
            let request = Request { consumer: consumer(name), ..with(&ids) };
            for fields in [&NEVER[..], from_ref(&cookie)] {
                let decision = decide(&affinity, &request, fields);
                assert_eq!(serving(&affinity, &decision).to_string(), account);
                assert_eq!(decision.key_reason, KeyReason::Ok);
            }
        }
        let decision = decide(&affinity, &with(&ids), from_ref(&cookie));
        assert_eq!(serving(&affinity, &decision).to_string(), account);
        assert_eq!((decision.source, decision.verdict), (Source::Id, Verdict::Valid));
    }
}

#[test]
fn a_key_that_cannot_be_used_rejects_no_request_that_names_an_account() {
    let config = Config { reject_bad_keys: true, ..sealing() };
    let affinity = gateway(&config, "a b");
    let untrusted = consumer("alice").trusted(false);
    let ids = names(&affinity, "a");
    let decision = decide(&affinity, &Request { consumer: untrusted, ..with(&ids) }, &NEVER);
    assert_eq!((decision.outcome, decision.key_reason), (Outcome::Pinned, KeyReason::Untrusted));
    // An id that names no account is rejected, as in every case.
    let plain = summary_of(&affinity, Ids::Items, r#"{"previous_response_id":"resp_1"}"#);
    let decision = decide(&affinity, &Request { consumer: untrusted, ..with(&plain) }, &NEVER);
    assert_eq!(refused(&decision), (Outcome::Rejected, Refusal::BadAffinityKey, None));
    assert_eq!((decision.source, decision.id_verdict), (Source::None, IdVerdict::Plain));
}

#[test]
fn a_draining_token_and_one_of_no_weight_serve_what_an_id_names() {
    let affinity = gateway(&sealing(), "a b");
    let ids = names(&affinity, "a");
    for status in [DRAINING, SlotStatus { weight: 0, ..SlotStatus::UP }] {
        affinity.set_slot(0, status).unwrap();
        assert_eq!(serving(&affinity, &decide(&affinity, &with(&ids), &NEVER)), 'a');
    }
}

#[test]
fn no_other_account_serves_what_an_id_names() {
    let until = SlotStatus { until: NOW + 9, ..DOWN };
    for policy in Policy::ALL {
        let config =
            Config { policy_existing: *policy, policy_new: *policy, ..retiring(&sealing()) };
        let list = slots(&[("a", until), ("b", SlotStatus::UP), ("c", SlotStatus::UP)]);
        let affinity = affinity(&config, list);
        for (account, tried, pin_state, refusal, wait) in [
            ("a", &[][..], PinState::Down, Refusal::SessionUnavailable, Some(9)),
            ("a", &[0], PinState::Down, Refusal::SessionUnavailable, Some(9)),
            ("b", &[1], PinState::Elsewhere, Refusal::SessionUnavailable, None),
            ("gone", &[], PinState::Gone, Refusal::PreviousResponseNotFound, None),
        ] {
            let ids = names(&affinity, account);
            let request = Request { tried, ..with(&ids) };
            // No cookie is refreshed or issued either.
            for fields in [&NEVER[..], &[field(&sealing(), &young("c"))]] {
                let decision = decide(&affinity, &request, fields);
                assert_eq!(refused(&decision), (Outcome::Rejected, refusal, wait));
                assert_eq!((decision.source, decision.existing), (Source::Id, true));
                assert_eq!(decision.pin_state, pin_state);
            }
        }
    }
}

#[test]
fn what_an_id_is_refused_for_is_told_by_its_key() {
    let affinity = affinity(&sealing(), slots(&[("a", SlotStatus { until: NOW + 9, ..DOWN })]));
    let [a, gone] = [b"a", b"z"].map(|account| identity_hash(account));
    let of_a = seal(&affinity, "resp_1", a);
    let gone_id = seal(&affinity, "resp_1", gone);
    let content = "gAAAAABo";
    let [mark_gone, mark_a] = [gone, a].map(|pin| mark(&affinity, content, pin));
    let foreign = foreign_seal("resp_1");
    let long = "\\u0066".repeat(100);
    let newer = "x".repeat(60) + "tp9";
    for (body, verdict, keys, refusal) in [
        (
            format!(r#"{{"previous_response_id":"{gone_id}"}}"#),
            IdVerdict::Sealed,
            ["previous_response_id", ""],
            Refusal::PreviousResponseNotFound,
        ),
        (
            format!(r#"{{"input":[{{"encrypted_content":"{content}{mark_gone}"}}]}}"#),
            IdVerdict::Sealed,
            ["encrypted_content", ""],
            Refusal::InvalidEncryptedContent,
        ),
        (
            format!(r#"{{"file_ids":["{gone_id}"]}}"#),
            IdVerdict::Sealed,
            ["file_ids", ""],
            Refusal::NotFound,
        ),
        (
            format!(r#"{{"previous_response_id":"x{of_a}"}}"#),
            IdVerdict::BadSeal,
            ["previous_response_id", ""],
            Refusal::PreviousResponseNotFound,
        ),
        (
            format!(r#"{{"encrypted_content":"x{content}{mark_a}"}}"#),
            IdVerdict::BadSeal,
            ["encrypted_content", ""],
            Refusal::InvalidEncryptedContent,
        ),
        (
            format!(r#"{{"conversation":{{"id":"{foreign}"}}}}"#),
            IdVerdict::UnknownKey,
            ["conversation", ""],
            Refusal::NotFound,
        ),
        (
            format!(r#"{{"container":"{newer}"}}"#),
            IdVerdict::UnknownVersion,
            ["container", ""],
            Refusal::NotFound,
        ),
        (
            format!(r#"{{"previous_response_id":"{of_a}","conversation":"{gone_id}"}}"#),
            IdVerdict::Conflict,
            ["previous_response_id", "conversation"],
            Refusal::ConflictingAccounts,
        ),
        (format!(r#"{{"file_id":"{long}"}}"#), IdVerdict::None, ["", ""], Refusal::UnreadableBody),
        // Of both, the refusal is reported.
        (
            format!(r#"{{"file_id":"{long}","file_ids":["{foreign}"]}}"#),
            IdVerdict::UnknownKey,
            ["file_ids", ""],
            Refusal::NotFound,
        ),
    ] {
        let ids = summary_of(&affinity, Ids::Items, &body);
        for fields in [&NEVER[..], &[field(&sealing(), &young("a"))]] {
            let decision = decide(&affinity, &with(&ids), fields);
            assert_eq!(refused(&decision), (Outcome::Rejected, refusal, None), "{body}");
            assert_eq!((decision.source, decision.id_verdict), (Source::Id, verdict), "{body}");
            let keys = keys.map(|name| if name.is_empty() { NO_KEY } else { number_of(name) });
            assert_eq!(decision.id_keys, keys, "{body}");
            let is_gone = verdict == IdVerdict::Sealed;
            let pin_state = if is_gone { PinState::Gone } else { PinState::None };
            assert_eq!(decision.pin_state, pin_state, "{body}");
            // The rest was read only if an account was.
            assert_eq!(decision.verdict != Verdict::Absent, is_gone && !fields.is_empty());
        }
    }
}

#[test]
fn history_leads_to_its_account_where_that_is_known_and_the_request_still_creates() {
    let affinity = gateway(&sealing(), "a b c");
    let ids = recalls(&affinity, "b", true);
    let decision = decide(&affinity, &with(&ids), &NEVER);
    assert_eq!((decision.source, decision.outcome), (Source::Id, Outcome::Pinned));
    assert_eq!((decision.id_keys, decision.existing), ([NO_KEY; 2], false));
    assert_eq!(serving(&affinity, &decision), 'b');
    affinity.set_slot(1, DOWN).unwrap();
    let decision = decide(&affinity, &with(&ids), &NEVER);
    assert_eq!(refused(&decision), (Outcome::Rejected, Refusal::SessionUnavailable, None));
    // If it is missing or not in the set, the other rules decide.
    for ids in [recalls(&affinity, "gone", true), recalls(&affinity, "b", false)] {
        let decision = decide(&affinity, &with(&ids), &NEVER);
        assert_eq!((decision.source, decision.outcome), (Source::Minted, Outcome::Placed));
        assert_eq!((decision.id_verdict, decision.id_keys), (IdVerdict::Sealed, [NO_KEY; 2]));
        let stateless = Request { group: Some(Group::Stateless), ..with(&ids) };
        assert_eq!(decide(&affinity, &stateless, &NEVER).source, Source::Stateless);
    }
}

#[test]
fn a_plain_id_names_state_in_every_mode_but_the_one_that_refuses_it() {
    let body = r#"{"previous_response_id":"resp_1"}"#;
    for mode in [Mode::Off, Mode::Open, Mode::Seal] {
        let config = in_mode(mode);
        let affinity = affinity(&config, slots(&[("a", DOWN), ("b", SlotStatus::UP)]));
        let ids = summary_of(&affinity, Ids::Items, body);
        let fields = [field(&config, &young("a"))];
        // So it does not move with the cookie, whose account is down.
        for group in [Group::Stateful, Group::Stateless] {
            let decision =
                decide(&affinity, &Request { group: Some(group), ..with(&ids) }, &fields);
            assert_eq!((decision.source, decision.existing), (Source::Cookie, true));
            assert_eq!(refused(&decision), (Outcome::Rejected, Refusal::SessionUnavailable, None));
        }
        let nothing = summary_of(&affinity, Ids::Items, "{}");
        assert_eq!(decide(&affinity, &with(&nothing), &fields).outcome, Outcome::Repinned);
    }
    let affinity = gateway(&in_mode(Mode::Strict), "a b");
    let decision = decide(&affinity, &with(&summary_of(&affinity, Ids::Items, body)), &NEVER);
    assert_eq!(refused(&decision), (Outcome::Rejected, Refusal::PreviousResponseNotFound, None));
    assert_eq!((decision.source, decision.id_verdict), (Source::Id, IdVerdict::Plain));
}

#[test]
fn a_cookie_beside_an_id_keeps_its_pin() {
    let config = sealing();
    let due = retiring(&config);
    let list = [("a", SlotStatus::UP), ("b", SlotStatus::UP), ("c", DOWN)];
    let affinity = affinity(&due, slots(&list));
    let ids = names(&affinity, "a");
    for pin in ["a", "b", "c", "gone"] {
        let cookie = young(pin);
        let decision = decide(&affinity, &with(&ids), &[field(&config, &cookie)]);
        assert_eq!((serving(&affinity, &decision), decision.outcome), ('a', Outcome::Pinned));
        let back = pending(&due, None, &decision);
        assert_eq!((back.pin, back.id), (cookie.pin, cookie.id), "refreshed as it was");
        assert_eq!(back.issued_at, cookie.issued_at);
        // A cookie that is not due stays as it is.
        let newer = Config { cookie_keys: keys(&[(2, Role::Sign)]), ..sealing() };
        let value = field(&newer, &cookie);
        assert_eq!(decide(&affinity, &with(&ids), &[value]).cookie, None, "{pin}");
    }
}

#[test]
fn a_cookie_whose_account_is_gone_follows_history_where_the_request_creates() {
    let keyed = Config { keyed_cookies: true, ..sealing() };
    for config in [sealing(), keyed] {
        let affinity = gateway(&config, "a b");
        let ids = recalls(&affinity, "b", true);
        let gone = field(&config, &young("gone"));
        let decision = decide(&affinity, &with(&ids), from_ref(&gone));
        let back = pending(&config, None, &decision);
        assert_eq!((back.pin, back.id), (identity_hash(b"b"), ID));
        assert_eq!((decision.outcome, decision.verdict), (Outcome::Pinned, Verdict::Valid));
        // Nothing changes if state is only named, or if its account may come back.
        let reads = Request { ids: Some(&ids), ..read() };
        assert_eq!(decide(&affinity, &reads, &[gone]).cookie, None);
        affinity.set_slot(0, DOWN).unwrap();
        let down = field(&config, &young("a"));
        assert_eq!(decide(&affinity, &with(&ids), &[down]).cookie, None);
        // A session with a key gets none if keys get no cookies.
        let key = Key::Consumer(b"alice");
        let cookie = Cookie { kind: Kind::Consumer, ..young("gone") };
        let alice = Request { consumer: consumer("alice"), ..with(&ids) };
        let fields = [pair(&config, &sign(&config, Some(&key), &cookie))];
        let decision = decide(&affinity, &alice, &fields);
        assert_eq!(decision.verdict, Verdict::Valid);
        assert_eq!(decision.cookie.is_some(), config.keyed_cookies);
    }
}

#[test]
fn a_client_without_a_cookie_is_given_one_for_the_account() {
    let config = Config { keyed_cookies: true, ..sealing() };
    let affinity = gateway(&config, "a b c");
    let ids = names(&affinity, "b");
    let decision = decide(&affinity, &with(&ids), &NEVER);
    let cookie = pending(&config, None, &decision);
    assert_eq!((cookie.kind, cookie.pin), (Kind::Anonymous, identity_hash(b"b")));
    assert_eq!(cookie.id, create().entropy);
    assert_eq!(decision.source, Source::Id, "and not minted");
    assert!(finished(&affinity, &decision, 200).is_some());

    let hinted = Request { id_hint: Some([3; 16]), ..with(&ids) };
    assert_eq!(pending(&config, None, &decide(&affinity, &hinted, &NEVER)).id, [3; 16]);
    let alice = Request { consumer: consumer("alice"), ..hinted };
    let decision = decide(&affinity, &alice, &NEVER);
    let cookie = pending(&config, Some(&Key::Consumer(b"alice")), &decision);
    assert_eq!((cookie.kind, cookie.pin), (Kind::Consumer, identity_hash(b"b")));
    assert_eq!(cookie.id, create().entropy, "a nonce, and no hint");
    // Rule 6 gives none in these cases.
    let newer = pair(&config, &newer_version(&sign(&config, None, &young("a"))));
    assert_eq!(decide(&affinity, &with(&ids), &[newer]).cookie, None);
    let unkeyed = gateway(&sealing(), "a b c");
    assert_eq!(decide(&unkeyed, &alice, &NEVER).cookie, None);
    let single = gateway(&config, "b");
    assert_eq!(decide(&single, &with(&ids), &NEVER).cookie, None);
}

#[test]
fn randomness_is_needed_only_for_a_cookie() {
    let affinity = gateway(&sealing(), "a b");
    let ids = names(&affinity, "a");
    let zero = Request { entropy: [0; 16], ..with(&ids) };
    let decide = |affinity: &Affinity<'_>, request: &Request<'_>, fields: &[&[u8]]| {
        affinity.decide(request, fields.iter().copied()).map(|it| it.outcome)
    };
    assert_eq!(decide(&affinity, &zero, &[]), Err(Error::Entropy));
    let zero_hint = Request { id_hint: Some([0; 16]), ..with(&ids) };
    assert_eq!(decide(&affinity, &zero_hint, &[]), Err(Error::Entropy));
    let hinted = Request { id_hint: Some([3; 16]), ..zero };
    assert_eq!(decide(&affinity, &hinted, &[]), Ok(Outcome::Pinned));
    let alice = Request { consumer: consumer("alice"), ..zero };
    assert_eq!(decide(&affinity, &alice, &[]), Ok(Outcome::Pinned));
    let cookie = field(&sealing(), &young("b"));
    assert_eq!(decide(&affinity, &zero, &[&cookie]), Ok(Outcome::Pinned));
    assert_eq!(decide(&gateway(&sealing(), "a"), &zero, &[]), Ok(Outcome::Pinned));
    assert_eq!(decide(&gateway(&sealing(), "b c"), &zero, &[]), Ok(Outcome::Rejected));
    let tried = Request { tried: &[0], ..zero };
    assert_eq!(decide(&affinity, &tried, &[]), Ok(Outcome::Rejected));
    // The time is checked if a cookie is written.
    let late = Request { now: 1 << 32, ..with(&ids) };
    assert_eq!(decide(&affinity, &late, &[]), Err(Error::Time));
    let late = Request { consumer: consumer("alice"), ..late };
    assert_eq!(decide(&affinity, &late, &[]), Ok(Outcome::Pinned));
}

#[test]
fn home_says_that_key_or_cookie_would_have_led_there_too() {
    let config = sealing();
    let affinity = gateway(&config, "a b c");
    let mut homes = 0;
    for account in ["a", "b", "c"] {
        let ids = names(&affinity, account);
        let nobody = decide(&affinity, &with(&ids), &NEVER);
        assert_eq!(nobody.pin_state, PinState::Elsewhere, "nothing would");
        for (request, fields) in [
            (Request { consumer: consumer("alice"), ..with(&ids) }, vec![]),
            (with(&ids), vec![field(&config, &young("b"))]),
        ] {
            let decision = decide(&affinity, &request, &fields);
            let session = Request { ids: None, ..request };
            // The cookie's id selects, not its pin.
            let key = Key::Anonymous(&ID);
            let hash = tokenpin::key_hash(&config.placement_key, b"", &key).unwrap();
            let home = if fields.is_empty() {
                decide(&affinity, &session, &fields).slot
            } else {
                tokenpin::jump(hash, 3).ok()
            };
            let is_home = decision.slot == home;
            homes += u32::from(is_home);
            let expected = if is_home { PinState::Home } else { PinState::Elsewhere };
            assert_eq!(decision.pin_state, expected);
        }
    }
    assert_eq!(homes, 2, "each has one");
}

#[test]
fn an_id_of_one_consumer_is_refused_when_another_sends_it() {
    let owner = |owner| Config { ids: IdConfig { owner, ..sealing().ids }, ..sealing() };
    for (config, fenced) in [(owner(IdOwner::Consumer), true), (owner(IdOwner::None), false)] {
        let affinity = gateway(&config, "a b");
        let of = |name: &'static str, trusted| {
            let owner = affinity.id_owner(consumer(name).trusted(trusted)).to_vec();
            assert_eq!(owner, if fenced && trusted { name.as_bytes() } else { b"" });
            owner
        };
        let (alice, bob, nobody) = (of("alice", true), of("bob", true), of("alice", false));
        let rules = affinity.id_rules(b"", &alice, None).unwrap();
        let id = rules.sealer.seal(b"resp_1", identity_hash(b"a")).unwrap();
        for (owner, is_hers) in [(&alice, true), (&bob, false), (&nobody, false)] {
            let rules = affinity.id_rules(b"", owner, None).unwrap();
            let opening = Opening { rules: &rules, known: &|pin| affinity.knows(pin) };
            let mut body = [b"{\"file_id\":\"", id.as_bytes(), b"\"}"].concat();
            let mut ids = Summary::new();
            Opener::new(Ids::Items).open_in_place(&opening, &mut ids, &mut body);
            let decision = decide(&affinity, &with(&ids), &NEVER);
            let expected = if is_hers || !fenced { Outcome::Pinned } else { Outcome::Rejected };
            assert_eq!(decision.outcome, expected);
            if expected == Outcome::Rejected {
                assert_eq!(decision.id_verdict, IdVerdict::BadSeal);
            }
        }
    }
}

/// A host that has not read ids, one that found none, and one whose mode is off: the same decision.
#[test]
fn where_nothing_is_found_nothing_changes() {
    let fields = [&NEVER[..], &[field(&config(), &young("b"))]];
    let plain = gateway(&config(), "a b c");
    for mode in Mode::ALL {
        let affinity = gateway(&in_mode(*mode), "a b c");
        let ids = summary_of(&affinity, Ids::Open, r#"{"model":"m","user_id":"resp_1"}"#);
        for request in [create(), read(), Request { consumer: consumer("alice"), ..create() }] {
            for fields in fields {
                let expected = decide(&plain, &request, fields);
                assert_eq!(decide(&affinity, &request, fields), expected);
                let looked = Request { ids: Some(&ids), ..request };
                assert_eq!(decide(&affinity, &looked, fields), expected);
            }
        }
    }
}
