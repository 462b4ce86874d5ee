//! Responses on their way to the client.

use http::Response;
use tokenpin_tower::tokenpin::{Decision, Outcome};

use crate::stand::*;

/// An upstream that sets its own cookies, and one of our name.
fn meddling(status: u16) -> Provider {
    Provider::new(move |_| {
        let response = Response::builder()
            .status(status)
            .header("set-cookie", "lang=en; Path=/")
            .header("set-cookie", "__Host-tokenpin=an upstream's own; Path=/")
            .header("x-affinity", "an upstream's own")
            .header("cache-control", "max-age=60")
            .header("set-cookie", "__Host-tokenpin-2=another");
        response.body("kept".into()).unwrap()
    })
}

#[test]
fn a_success_sets_the_cookie_and_leaves_the_others() {
    for status in 200..300 {
        let gateway = gateway(generation().carrier_header(header("x-affinity")), meddling(status));
        let reply = gateway.send(empty(post("/v1/responses")));
        let lines = reply.values("set-cookie");
        assert_eq!(lines[..2], ["lang=en; Path=/", "__Host-tokenpin-2=another"]);
        assert!(lines[2].ends_with("; Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=Lax"));
        assert_eq!(lines.len(), 3);
        assert_eq!(reply.values("cache-control"), ["max-age=60", "no-cache=\"Set-Cookie\""]);
        assert_eq!(reply.values("x-affinity"), [""; 0]);
        assert_eq!(reply.body, "kept");
        // The same for the carrier header.
        let reply = gateway.send(with(post("/v1/responses"), [("x-affinity", "")]));
        assert_eq!(reply.values("set-cookie"), lines[..2]);
        assert_eq!(reply.values("cache-control"), ["max-age=60", "no-cache=\"x-affinity\""]);
        assert_eq!(reply.values("x-affinity").len(), 1);
        assert_eq!(reply.values("x-affinity")[0].len(), 67);
    }
}

#[test]
fn anything_else_sets_none() {
    for status in [300, 304, 400, 404, 429, 500, 503, 599] {
        let gateway = gateway(generation().carrier_header(header("x-affinity")), meddling(status));
        for fields in [&[][..], &[("x-affinity", "")]] {
            let reply = gateway.send(with(post("/v1/responses"), fields.iter().copied()));
            assert_eq!(reply.status().as_u16(), status);
            assert_eq!(
                reply.values("set-cookie"),
                ["lang=en; Path=/", "__Host-tokenpin-2=another"]
            );
            assert_eq!(reply.values("x-affinity"), [""; 0]);
            assert_eq!(reply.values("cache-control"), ["max-age=60"]);
        }
    }
}

#[test]
fn switching_protocols_is_a_success() {
    let gateway = gateway(generation().carrier_header(header("x-affinity")), meddling(101));
    let handshake = || get("/v1/responses").header("connection", "upgrade");
    for carrier in [false, true] {
        let fields = [("upgrade", "websocket"), ("x-affinity", "")];
        let reply =
            gateway.send(with(handshake(), fields.into_iter().take(1 + usize::from(carrier))));
        assert_eq!(reply.cookie().is_none(), carrier);
        assert_eq!(reply.values("x-affinity").len(), usize::from(carrier));
        assert_eq!(reply.values("cache-control"), ["max-age=60"], "no cache keeps it");
    }
}

#[test]
fn the_success_range_is_the_affinitys() {
    let generation = generation_of(|config| config.success = (201, 202));
    let gateway = gateway(
        generation,
        Provider::new(|seen| {
            reply(seen.parts.headers["x-status"].to_str().unwrap().parse().unwrap())
        }),
    );
    for (status, set) in [("200", false), ("201", true), ("202", true), ("203", false)] {
        let reply = gateway.send(with(post("/v1/responses"), [("x-status", status)]));
        assert_eq!(reply.cookie().is_some(), set, "{status}");
    }
}

#[test]
fn every_response_tells_its_decision_and_debug_no_secret() {
    let gateway = gateway(generation(), Provider::ok());
    let first = gateway.send(empty(post("/v1/responses")));
    let cookie = first.cookie().unwrap();
    let decision = gateway.send(with(get("/v1/responses/1"), [("cookie", &*cookie)])).decision();
    assert_eq!(decision.outcome, Outcome::Pinned);
    let value = cookie.split_once('=').unwrap().1;
    let text = format!("{:?} {:?}", first.parts, first.decision());
    assert!(text.contains("Sensitive") && !text.contains(value), "{text}");
    assert!(first.parts.extensions.get::<Decision>().is_some());
}
