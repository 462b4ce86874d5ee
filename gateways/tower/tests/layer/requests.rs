//! The parts read from a request, and the rest that the provider gets.

use std::borrow::Cow;

use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use tokenpin_test_support::random::Random;
use tokenpin_tower::tokenpin::{Decision, KeyReason, Outcome, Source, Verdict};

use crate::stand::*;

#[test]
fn a_session_stays_where_its_cookie_says() {
    let gateway = gateway(generation(), Provider::ok());
    let mut slots = [0; 3];
    for _ in 0..60 {
        let (first, seen) = gateway.pass(empty(post("/v1/responses")));
        let slot = seen.slot();
        slots[slot as usize] += 1;
        assert_eq!(first.decision().source, Source::Minted);
        assert_eq!(seen.parts.extensions.get::<Decision>(), Some(&first.decision()));
        let cookie = first.cookie().expect("a cookie");
        for request in [get("/v1/responses/resp_1"), post("/v1/responses"), post("/v1/files")] {
            let (next, seen) = gateway.pass(with(request, [("cookie", &*cookie)]));
            assert_eq!((seen.slot(), next.decision().outcome), (slot, Outcome::Pinned));
            assert_eq!(next.cookie(), None, "it has one");
        }
    }
    assert!(slots.iter().all(|&count| count > 0), "all accounts get sessions: {slots:?}");
}

#[test]
fn consumers_and_sessions_are_keys_by_their_headers() {
    let generation =
        generation().consumer_header(header("x-consumer")).session_header(header("x-session"));
    let gateway = gateway(generation, Provider::ok());
    let source = |fields: &[(&str, &str)]| {
        let reply = gateway.send(with(post("/v1/responses"), fields.iter().copied()));
        (reply.decision().source, reply.decision().key_reason, reply.decision().slot)
    };
    let (consumer, reason, alice) = source(&[("x-consumer", "alice")]);
    assert_eq!((consumer, reason), (Source::Consumer, KeyReason::Ok));
    let (session, _, home) = source(&[("X-Session", "s-1")]);
    assert_eq!(session, Source::Session);
    for _ in 0..10 {
        assert_eq!(source(&[("X-CONSUMER", "alice")]).2, alice);
        assert_eq!(source(&[("x-session", "s-1")]).2, home);
        // Equal values are one, empty ones none, and the consumer counts first.
        assert_eq!(source(&[("x-consumer", "alice"), ("x-consumer", "alice")]).2, alice);
        assert_eq!(source(&[("x-consumer", ""), ("x-consumer", "alice")]).2, alice);
        assert_eq!(source(&[("x-consumer", "alice"), ("x-session", "s-1")]).2, alice);
        assert_eq!(source(&[("x-consumer", ""), ("x-session", "s-1")]).2, home);
        // Joined or not.
        for name in ["x-consumer", "x-session"] {
            let alone = source(&[(name, "a b")]);
            for joined in ["a b,a b", "a b, a b ,\ta b", "a b,", ",a b", "a b,,a b", ", ,a b ,\t,"]
            {
                assert_eq!(source(&[(name, joined)]), alone);
                assert_eq!(
                    source(&[(name, joined), (name, "a b"), (name, ","), (name, "")]),
                    alone
                );
            }
        }
    }
    for (one, other) in [
        ("alice", "bob"),
        ("alice,alice", "bob"),
        ("alice,", ",bob"),
        ("alice", "alice,bob"),
        ("alice,,bob", "alice,bob"),
    ] {
        let several = source(&[("x-consumer", one), ("x-consumer", other)]);
        assert_eq!(several.1, KeyReason::SeveralValues, "{one:?} {other:?}");
    }
    // A name with a comma in it is a name, as it is; and nothing between commas is none.
    let slots = |name: &str| {
        (0..20)
            .map(|i| source(&[("x-consumer", &name.replace('#', &i.to_string()))]).2)
            .collect::<Vec<_>>()
    };
    for name in ["Smith, Alice #", "a#,b", ",a#,b,"] {
        assert_eq!(source(&[("x-consumer", name)]).0, Source::Consumer);
        assert_ne!(
            slots(name),
            slots(name.split(',').find(|part| part.contains('#')).unwrap().trim())
        );
    }
    for nothing in [",", ",,", " ,\t, "] {
        assert_eq!(source(&[("x-consumer", nothing)]).1, KeyReason::Absent, "{nothing:?}");
    }
    let long = "x".repeat(4097);
    assert_eq!(source(&[("x-consumer", &long)]).1, KeyReason::TooLong);
    // Without the settings, the headers are nothing.
    let other = crate::stand::gateway(crate::stand::generation(), Provider::ok());
    let both = [("x-consumer", "alice"), ("x-session", "s-1")];
    let reply = other.send(with(post("/v1/responses"), both));
    assert_eq!(reply.decision().key_reason, KeyReason::Absent);
}

#[test]
fn the_carrier_header_stands_for_the_cookie() {
    let gateway = gateway(generation().carrier_header(header("x-affinity")), Provider::ok());
    let value = || {
        let (reply, seen) = gateway.pass(with(post("/v1/responses"), [("x-affinity", "")]));
        assert_eq!(reply.values("set-cookie"), [""; 0]);
        assert_eq!(reply.values("cache-control"), ["no-cache=\"x-affinity\""]);
        assert!(!seen.parts.headers.contains_key("x-affinity"), "it is nothing to the provider");
        let values = reply.values("x-affinity");
        assert_eq!((values.len(), values[0].len()), (1, 67));
        values[0].clone()
    };
    let (mine, other) = (value(), value());
    for (values, used) in [
        (vec![&*mine], true),
        (vec![&*mine, &*mine], true),
        (vec![&*format!("{mine},{mine}")], true),
        (vec![&*format!("{mine} ,\t{mine}, {mine}"), &*mine], true),
        (vec!["", &*mine], true),
        (vec![&*mine, "", &*mine], true),
        (vec![",", &*mine, ""], true),
        (vec![&*format!("{mine}, {other}")], false),
        (vec![&*format!("{mine}, {mine}"), &*other], false),
        (vec![&*format!("{mine},")], true),
        (vec![&*format!(",{mine}")], true),
        (vec![&*format!("{mine},,{mine}")], true),
        (vec![&*format!("\t, {mine}, ,{mine} ,"), "", &*mine], true),
        (vec![&*format!("{mine},,{other}")], false),
        (vec![&*format!("{mine},"), &*format!(",{other}")], false),
        (vec!["", ""], false),
        (vec![","], false),
        (vec![&*mine, &*other], false),
        (vec![&*other, &*mine, &*mine], false),
        (vec!["nonsense", &*mine], false),
    ] {
        let fields = values.iter().map(|value| ("x-affinity", *value));
        let (reply, seen) = gateway.pass(with(post("/v1/responses"), fields));
        assert_eq!(reply.decision().verdict == Verdict::Valid, used, "{values:?}");
        assert!(!seen.parts.headers.contains_key("x-affinity"));
        assert_eq!(reply.values("x-affinity").len(), usize::from(!used), "{values:?}");
    }
    // Who does not send it gets a cookie.
    let reply = gateway.send(empty(post("/v1/responses")));
    assert!(reply.cookie().is_some() && reply.values("x-affinity").is_empty());
}

#[test]
fn only_our_cookies_are_removed_and_in_every_field() {
    let gateway = gateway(generation(), Provider::ok());
    let cookie = gateway.send(empty(post("/v1/responses"))).cookie().unwrap();
    let ours = |text: &str| text.replace("OURS", &cookie);
    for (fields, left) in [
        (vec!["OURS"], vec![]),
        (vec!["a=1; OURS; b=2"], vec!["a=1; b=2"]),
        (vec!["a=1", "OURS", "b=2"], vec!["a=1", "b=2"]),
        (vec!["__Host-tokenpin=forged; a=1", "OURS"], vec!["a=1"]),
        (vec!["__Host-tokenpin-0011aabb=another; x"], vec!["__Host-tokenpin-0011aabb=another; x"]),
        (vec![" odd ;; =x", "b"], vec![" odd ;; =x", "b"]),
    ] {
        let values: Vec<String> = fields.iter().map(|field| ours(field)).collect();
        let pairs = values.iter().map(|value| ("cookie", &**value));
        let (_, seen) = gateway.pass(with(post("/v1/responses"), pairs));
        // A field's outer blanks are no part of its value.
        let left: Vec<&str> = left.into_iter().map(str::trim).collect();
        let got = values_of(&seen);
        assert_eq!(got.iter().map(|field| field.trim()).collect::<Vec<_>>(), left, "{fields:?}");
    }
}

fn values_of(seen: &Seen) -> Vec<String> {
    values(&seen.parts.headers, "cookie")
}

/// Our cookies among random others: all that surrounds them stays, and they are gone.
#[test]
fn random_cookie_fields_keep_what_is_not_ours() {
    let mut random = Random::new("random_cookie_fields_keep_what_is_not_ours");
    let gateway = gateway(generation(), Provider::ok());
    let words =
        ["a=1", "__Host-tokenpin=x", "__Host-tokenpinx=2", "b", "__host-tokenpin=3", "c=\"d\""];
    for _ in 0..300 {
        let fields: Vec<Vec<&str>> = (0..=random.below(3))
            .map(|_| (0..=random.below(4)).map(|_| words[random.below(6) as usize]).collect())
            .collect();
        let sent: Vec<String> = fields.iter().map(|field| field.join("; ")).collect();
        let pairs = sent.iter().map(|field| ("cookie", &**field));
        let (_, seen) = gateway.pass(with(post("/v1/responses"), pairs));
        let kept = fields.iter().map(|field| {
            let others: Vec<&str> =
                field.iter().copied().filter(|word| *word != words[1]).collect();
            others.join("; ")
        });
        let kept: Vec<String> = kept.filter(|field| !field.is_empty()).collect();
        assert_eq!(values_of(&seen), kept, "{sent:?}");
    }
}

#[test]
fn targets_are_read_as_they_came() {
    let gateway = gateway(generation(), Provider::ok());
    for (target, stateful) in [
        ("/v1/responses", true),
        ("https://example.com/v1/responses?x=/", true),
        ("/openai/deployments/x/responses?api-version=1", true),
        ("/v1/%72esponses", true),
        ("/v1/responses%2Fx", true),
        ("/v1/%2572esponses", false),
        ("/v1/embeddings?/v1/responses", false),
        ("/v1/%66iles", true),
    ] {
        let (reply, seen) = gateway.pass(empty(post(target)));
        let decision = reply.decision();
        assert_eq!(decision.source == Source::Minted, stateful, "{target}");
        assert_eq!(seen.parts.uri, target, "and they are passed on so");
    }
}

#[test]
fn a_websocket_handshake_creates() {
    let gateway = gateway(generation(), Provider::new(|_| reply(101)));
    for (method, connection, upgrade, handshake) in [
        ("GET", &["Upgrade"][..], "websocket", true),
        ("GET", &["upgrade"], "WebSocket", true),
        ("GET", &["keep-alive,\tUpgrade"], "websocket", true),
        ("GET", &["keep-alive", "Upgrade"], "h2c, websocket", true),
        ("GET", &["keep-alive"], "websocket", false),
        ("GET", &["Upgrades"], "websocket", false),
        ("GET", &["Upgrade"], "h2c", false),
        ("GET", &["Upgrade"], "websocket2", false),
        ("GET", &["Upgrade"], "", false),
        ("GET", &[], "websocket", false),
        ("HEAD", &["Upgrade"], "websocket", false),
        ("get", &["Upgrade"], "websocket", false),
    ] {
        let mut request = get("/v1/responses").header("upgrade", upgrade);
        for value in connection {
            request = request.header("connection", *value);
        }
        let mut request = empty(request);
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        let reply = gateway.send(request);
        // `get` is another method than `GET`, and names nothing either.
        let existing = !handshake && method != "get";
        assert_eq!(reply.decision().existing, existing, "{method} {connection:?} {upgrade}");
    }
    // And over HTTP/2.
    let request = Request::connect("https://example.com/v1/responses");
    assert_eq!(gateway.send(empty(request)).decision().source, Source::Minted);
    let plain = gateway.send(empty(Request::connect("example.com:443")));
    assert_eq!(plain.decision().source, Source::Stateless);
}

use http::Request;

#[test]
fn the_host_says_what_the_head_does_not() {
    let generation = generation()
        .scope(|parts| {
            parts.headers.get("x-tenant").map_or(Cow::default(), |v| v.as_bytes().into())
        })
        .id_hint(|parts| {
            parts.headers.get("x-client").map_or(Cow::default(), |v| v.as_bytes().into())
        })
        .existing(|parts| parts.headers.contains_key("x-names-state"));
    let gateway = gateway(generation, Provider::ok());

    let named = gateway.send(with(post("/v1/anything"), [("x-names-state", "")])).decision();
    assert!(named.existing && !named.may_move);
    assert_eq!(named.source, Source::Minted);

    // A scope has its own cookie, which is removed, and the other is not.
    let lines =
        gateway.send(with(post("/v1/responses"), [("x-tenant", "t-1")])).values("set-cookie");
    let theirs = lines[0].split(';').next().unwrap();
    assert!(theirs.starts_with("__Host-tokenpin-"), "{lines:?}");
    let own = gateway.send(empty(post("/v1/responses"))).cookie().unwrap();
    let both = format!("{theirs}; {own}");
    for (tenant, left) in [("t-1", &*own), ("", theirs), ("t-2", &*both)] {
        let fields = [("x-tenant", tenant), ("cookie", &*both)];
        let (reply, seen) = gateway.pass(with(get("/v1/responses/1"), fields));
        assert_eq!(values_of(&seen), [left], "{tenant}");
        assert_eq!(reply.decision().outcome == Outcome::Pinned, left != both, "{tenant}");
    }

    // First requests of one client agree, also on another replica; others do not, nor do those
    // without a hint.
    let id = |fields: &[(&str, &str)]| {
        let request = with(post("/v1/responses"), fields.iter().copied());
        let decision = gateway.send(request).decision();
        assert_eq!(decision.source, Source::Minted);
        decision.slot
    };
    let mut same = 0;
    for client in 0..40 {
        let client = format!("client {client}");
        let slot = id(&[("x-client", &client)]);
        for _ in 0..3 {
            assert_eq!(id(&[("x-client", &client)]), slot);
        }
        let long = "x".repeat(5000);
        for none in [&[][..], &[("x-client", "")], &[("x-client", &*long)]] {
            same += u32::from(id(none) == slot);
        }
    }
    // A third of 120, and 1e-6 to be wrong.
    assert!((15..=70).contains(&same), "{same} of 120");
}

#[test]
fn a_request_that_nothing_is_known_of_passes_whole() {
    let gateway = gateway(generation(), Provider::ok());
    let request = post("/v1/embeddings?x=1")
        .header("x-other", "1")
        .header("x-other", "2")
        .header("content-type", "application/json")
        .body(Full::<Bytes>::from("a body"))
        .unwrap();
    let (reply, seen) = gateway.pass(request);
    assert_eq!(reply.decision().source, Source::Stateless);
    assert_eq!(seen.body, "a body");
    assert_eq!(values(&seen.parts.headers, "x-other"), ["1", "2"]);
    assert_eq!(seen.parts.headers.len(), 4, "and a credential: {:?}", seen.parts.headers);
    assert_eq!(reply.cookie(), None);
}
