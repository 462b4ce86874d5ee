//! Tries on another account.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use tokenpin_test_support::random::Random;
use tokenpin_tower::tokenpin::ids::Mode;
use tokenpin_tower::tokenpin::{Decision, Outcome, SlotStatus, State};
use tokenpin_tower::{Cooldown, Generation, Retry};

use crate::stand::*;

fn retrying(generation: Generation, max: u32) -> Generation {
    generation.cooldowns(vec![]).retry(Retry { max, ..Retry::default() })
}

/// Refuses the first `refusals` requests.
fn refusing(refusals: usize, status: u16) -> Provider {
    let count = AtomicUsize::new(0);
    Provider::new(move |seen| {
        let refused = count.fetch_add(1, Ordering::Relaxed) < refusals;
        let response = Response::builder()
            .status(if refused { status } else { 200 })
            .header("x-slot", seen.slot());
        response.body("{}".into()).unwrap()
    })
}

fn slots(provider: &Provider) -> Vec<u32> {
    provider.take().iter().map(Seen::slot).collect()
}

#[test]
fn what_nothing_ties_is_tried_on_other_accounts_once_each() {
    for max in 1..=3 {
        for refusals in 0..=3 {
            for status in [401, 429] {
                let gateway = gateway(retrying(generation(), max), refusing(refusals, status));
                let reply = gateway.send(empty(post("/v1/embeddings")));
                let mut met = slots(&gateway.provider);
                // Of three accounts, a third retry finds none.
                let tries = 1 + refusals.min(max as usize).min(2);
                assert_eq!(met.len(), tries, "{max} {refusals} {status}");
                let last = *met.last().unwrap();
                assert_eq!(reply.values("x-slot"), [last.to_string()]);
                assert_eq!(reply.status().as_u16(), if refusals < tries { 200 } else { status });
                let outcome = if tries > 1 { Outcome::Retried } else { Outcome::Placed };
                assert_eq!(
                    (reply.decision().outcome, reply.decision().slot),
                    (outcome, Some(last))
                );
                met.sort_unstable();
                met.dedup();
                assert_eq!(met.len(), tries, "no account twice");
            }
        }
    }
}

#[test]
fn only_the_listed_statuses_are_retried_and_only_where_asked() {
    for status in 400..600 {
        let gateway = gateway(retrying(generation(), 1), refusing(1, status));
        gateway.send(empty(post("/v1/embeddings")));
        let tries = if [401, 429].contains(&status) { 2 } else { 1 };
        assert_eq!(slots(&gateway.provider).len(), tries, "{status}");
    }
    let retry = Retry { statuses: vec![StatusCode::FORBIDDEN], ..Retry::default() };
    for (status, tries) in [(403, 2), (401, 1), (429, 1)] {
        let gateway = gateway(generation().retry(retry.clone()), refusing(1, status));
        gateway.send(empty(post("/v1/embeddings")));
        assert_eq!(slots(&gateway.provider).len(), tries, "{status}");
    }
    let never = gateway(generation(), refusing(1, 429));
    assert_eq!(never.send(empty(post("/v1/embeddings"))).status().as_u16(), 429);
    assert_eq!(slots(&never.provider).len(), 1);
}

/// A creation is retried only for a client that comes back to the account that made it; what names
/// state, never.
#[test]
fn state_is_not_stranded() {
    let generation = || {
        generation()
            .consumer_header(header("x-consumer"))
            .carrier_header(header("x-affinity"))
            .existing(|parts| parts.headers.contains_key("x-names"))
    };
    for fields in [
        &[][..],
        &[("x-consumer", "alice")],
        &[("cookie", "theme=dark")],
        &[("x-names", ""), ("x-affinity", "")],
    ] {
        let gateway = gateway(retrying(generation(), 3), refusing(1, 429));
        let reply = gateway.send(with(post("/v1/responses"), fields.iter().copied()));
        assert_eq!(
            (reply.status().as_u16(), slots(&gateway.provider).len()),
            (429, 1),
            "{fields:?}"
        );
    }
    for fields in [[("x-affinity", "")], [("cookie", "__Host-tokenpin=an old one")]] {
        for _ in 0..20 {
            let gateway = gateway(retrying(generation(), 3), refusing(1, 429));
            let reply = gateway.send(with(post("/v1/responses"), fields));
            let met = slots(&gateway.provider);
            assert_eq!((reply.status().as_u16(), met.len()), (200, 2), "{fields:?}");
            let (name, value) = match reply.values("x-affinity").pop() {
                Some(value) => ("x-affinity", value),
                None => ("cookie", reply.cookie().unwrap()),
            };
            // Its object is found again, and stays there, also where the account refuses.
            for request in [get("/v1/responses/1"), post("/v1/responses")] {
                let provider = refusing(1, 429);
                let pinned = Gateway { layer: gateway.layer.clone(), provider };
                let reply = pinned.send(with(request, [(name, &*value)]));
                assert_eq!(reply.status().as_u16(), 429, "{fields:?}");
                assert_eq!(slots(&pinned.provider), [met[1]], "{fields:?}");
            }
        }
    }
}

/// An object from a sealed response is found again by its id: so a newcomer's creation moves, too.
/// A request that names an object of an account never does.
#[test]
fn what_is_sealed_is_found_again() {
    for (mode, target, tries) in [
        (Mode::Off, "/v1/responses", 1),
        (Mode::Open, "/v1/responses", 1),
        (Mode::Seal, "/v1/responses", 2),
        (Mode::Strict, "/v1/files", 2),
        (Mode::Seal, "/v1/responses/<resp_1>/cancel", 1),
        (Mode::Open, "/v1/responses/<resp_1>/cancel", 1),
    ] {
        for consumer in ["", "alice"] {
            let generation = in_mode(mode).consumer_header(header("x-consumer"));
            let gateway = gateway(retrying(generation, 3), refusing(1, 429));
            let target = target.replace("<resp_1>", &gateway.seal(2, "resp_1"));
            let request = post(&target).header("x-consumer", consumer);
            let request = request.body(Full::<Bytes>::from(r#"{"input":"x"}"#)).unwrap();
            let reply = gateway.send(request);
            let met = slots(&gateway.provider);
            assert_eq!(met.len(), tries, "{mode:?} {target}");
            assert_eq!(reply.status().as_u16(), if tries == 2 { 200 } else { 429 });
        }
    }
}

/// Another account gets the request as the first one did: opened.
#[test]
fn an_opened_request_is_sent_again_opened() {
    let mut random = Random::new("an_opened_request_is_sent_again_opened");
    for _ in 0..50 {
        let gateway = gateway(retrying(in_mode(Mode::Seal), 2), refusing(2, 429));
        // History that says itself that it is stored nowhere names no account.
        let text = |id: &str| {
            format!(r#"{{"store":false,"input":[{{"id":"{id}","role":"user","content":"x"}}]}}"#)
        };
        let body = Pieces::random(&text(&gateway.seal(1, "msg_1")), &mut random);
        let request = post("/v1/responses").header("content-md5", "x").body(body).unwrap();
        assert_eq!(gateway.send(request).status(), StatusCode::OK);
        let seen = gateway.provider.take();
        assert_eq!(seen.len(), 3);
        for each in seen {
            assert_eq!(each.body, text("msg_1"));
            let length = values(&each.parts.headers, "content-length");
            assert_eq!(length, [text("msg_1").len().to_string()]);
            assert!(!each.parts.headers.contains_key("content-md5"));
        }
    }
}

/// A body that was read is sent again up to the limit, as one that passes is.
#[test]
fn a_read_body_is_sent_again_up_to_the_limit() {
    for (limit, with_trailers, tries) in
        [(0, false, 1), (12, false, 1), (13, false, 2), (100, false, 2), (100, true, 1)]
    {
        let retry = Retry { body_limit: limit, ..Retry::default() };
        let generation = in_mode(Mode::Seal).cooldowns(vec![]).retry(retry);
        let gateway = gateway(generation, refusing(1, 429));
        let pieces = Pieces::cut(r#"{"input":"x"}"#, &[3]);
        let trailers =
            with_trailers.then(|| HeaderMap::from_iter([(header("x-t"), "1".parse().unwrap())]));
        let request = post("/v1/responses").body(Pieces { trailers, ..pieces }).unwrap();
        gateway.send(request);
        assert_eq!(slots(&gateway.provider).len(), tries, "{limit} {with_trailers}");
    }
}

#[test]
fn the_same_request_is_sent_with_the_other_accounts_credentials() {
    let gateway = gateway(retrying(generation(), 2), refusing(2, 429));
    let request = post("/v1/embeddings?a=%20b")
        .header("authorization", "the client's")
        .header("x-other", "1")
        .header("x-other", "2")
        .header("cookie", "a=1; __Host-tokenpin=x; b=2")
        .extension("the host's own")
        .body(Full::<Bytes>::from("a body"))
        .unwrap();
    gateway.send(request);
    let seen = gateway.provider.take();
    assert_eq!(seen.len(), 3);
    let rest = |seen: &Seen| {
        let mut headers: HeaderMap = seen.parts.headers.clone();
        headers.remove("authorization");
        headers
    };
    for (i, each) in seen.iter().enumerate() {
        assert_eq!(each.body, "a body");
        assert_eq!(
            (&each.parts.uri, &each.parts.method),
            (&seen[0].parts.uri, &seen[0].parts.method)
        );
        assert_eq!(rest(each), rest(&seen[0]));
        assert_eq!(values(&each.parts.headers, "cookie"), ["a=1; b=2"]);
        assert_eq!(values(&each.parts.headers, "authorization").len(), 1);
        assert_eq!(each.parts.extensions.get::<&str>(), Some(&"the host's own"));
        let decision = each.parts.extensions.get::<Decision>().unwrap();
        assert_eq!(decision.slot, Some(each.slot()));
        assert_eq!(decision.outcome == Outcome::Retried, i > 0);
    }
}

#[test]
fn each_try_cools_its_account_down() {
    for (cooldowns, state) in
        [(taking_down(&[401]), State::Down), (Cooldown::defaults(), State::Draining)]
    {
        let gateway = gateway(retrying(generation(), 2).cooldowns(cooldowns), refusing(2, 401));
        assert_eq!(gateway.send(empty(post("/v1/embeddings"))).status().as_u16(), 200);
        let met = slots(&gateway.provider);
        let states: Vec<_> = met.iter().map(|slot| gateway.slot(*slot).state).collect();
        assert_eq!(states, [state, state, State::Up]);
    }
}

#[test]
fn a_body_is_sent_again_up_to_the_limit() {
    for limit in [0, 1, 1000] {
        for length in [0, 1, 2, 999, 1000, 1001, 5000] {
            let retry = Retry { body_limit: limit, ..Retry::default() };
            let generation = generation().cooldowns(vec![]).retry(retry);
            let gateway = gateway(generation, refusing(1, 429));
            let body = Bytes::from(vec![b'x'; length]);
            let request = post("/v1/embeddings").body(Full::new(body.clone())).unwrap();
            let status = gateway.send(request).status().as_u16();
            let seen = gateway.provider.take();
            let tries = if length <= limit { 2 } else { 1 };
            assert_eq!(
                (status, seen.len()),
                (if tries == 2 { 200 } else { 429 }, tries),
                "{length} of {limit}"
            );
            assert!(seen.iter().all(|each| each.body == body));
        }
    }
}

/// A session whose account comes back meanwhile is served there, or sees what it says, and is not
/// moved again.
#[test]
fn a_session_goes_back_rather_than_on() {
    for says in [200, 429] {
        goes_back(says);
    }
}

fn goes_back(says: u16) {
    let gateway = gateway(retrying(generation(), 3), Provider::ok());
    let (first, seen) = gateway.pass(empty(post("/v1/responses")));
    let (home, cookie) = (seen.slot(), first.cookie().unwrap());
    gateway.layer.current().set_slot(home, DOWN).unwrap();
    let layer = gateway.layer.clone();
    let provider = Provider::new(move |seen| {
        layer.current().set_slot(home, SlotStatus::UP).unwrap();
        reply(if seen.slot() == home { says } else { 429 })
    });
    let gateway = Gateway { provider, ..gateway };
    let reply = gateway.send(with(post("/v1/responses"), [("cookie", &*cookie)]));
    assert_eq!((reply.status().as_u16(), reply.decision().outcome), (says, Outcome::Pinned));
    assert_eq!(slots(&gateway.provider)[1..], [home]);
}
