//! The layer's own answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::request::Builder;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokenpin_test_support::ROOT;
use tokenpin_tower::tokenpin::ids::Mode;
use tokenpin_tower::tokenpin::{MAX_KEY, MAX_SCOPE, SlotStatus, State};

use crate::stand::*;

type Case = (Gateway, Request<Full<Bytes>>);

/// The cells of the table in a section, without the first ones.
fn table(section: &str) -> Vec<Vec<String>> {
    let page = std::fs::read_to_string(format!("{ROOT}/docs/guides/embedding.md")).unwrap();
    let section = page.split_once(&format!("\n## {section}\n")).unwrap().1;
    let section = section.split_once("\n## ").unwrap().0;
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.contains("---"));
    let cells = |row: &str| {
        row.trim_matches('|').split(" | ").skip(1).map(|cell| cell.trim().to_owned()).collect()
    };
    rows.skip(1).map(cells).collect()
}

/// The rows of the table: code, status, message.
fn rows() -> Vec<(String, u16, String)> {
    let row = |row: Vec<String>| {
        (row[1].trim_matches('`').to_owned(), row[0].parse().unwrap(), row[2].clone())
    };
    table("Refusals").into_iter().map(row).collect()
}

fn nobody() -> Provider {
    Provider::new(|_| panic!("a request that is refused reaches no provider"))
}

/// Requests that are refused, by code. Of those that can be timed, the first of each is.
fn cases() -> BTreeMap<&'static str, Vec<Case>> {
    let mut cases: BTreeMap<&'static str, Vec<Case>> = BTreeMap::new();
    let soon = SlotStatus { until: unix_now() + 1000, ..DOWN };
    for status in [soon, DOWN] {
        let gateway = crate::stand::gateway(generation(), nobody());
        gateway.set_all(status);
        cases
            .entry("no_account_available")
            .or_default()
            .push((gateway, empty(post("/v1/responses"))));

        let gateway = crate::stand::gateway(generation(), Provider::ok());
        let (first, seen) = gateway.pass(empty(post("/v1/responses")));
        gateway.layer.current().set_slot(seen.slot(), status).unwrap();
        let request = with(get("/v1/responses/1"), [("cookie", &*first.cookie().unwrap())]);
        let gateway = Gateway { provider: nobody(), ..gateway };
        cases.entry("session_unavailable").or_default().push((gateway, request));
    }
    let long = "x".repeat(MAX_KEY + 1);
    for fields in [vec![("x-consumer", "a"), ("x-consumer", "b")], vec![("x-consumer", &*long)]] {
        let generation = generation_of(|config| config.reject_bad_keys = true);
        let gateway =
            crate::stand::gateway(generation.consumer_header(header("x-consumer")), nobody());
        // And yet no Retry-After: waiting does not help.
        gateway.set_all(soon);
        cases
            .entry("bad_affinity_key")
            .or_default()
            .push((gateway, with(post("/v1/responses"), fields)));
    }
    for target in ["/v1/responses", "/v1/models"] {
        let generation = generation().scope(|_| vec![b'x'; MAX_SCOPE + 1].into());
        let gateway = crate::stand::gateway(generation, nobody());
        cases.entry("bad_tenant").or_default().push((gateway, empty(get(target))));
    }
    cases
}

#[test]
fn refusals_are_those_of_the_page() {
    let (rows, mut cases) = (rows(), cases());
    assert_eq!(rows.len(), 5);
    for (code, status, message) in rows {
        // The clock and the system's randomness cannot be broken from here; its text is seen below.
        if code == "affinity_error" {
            continue;
        }
        let timed = code == "no_account_available" || code == "session_unavailable";
        let tried = cases.remove(&*code).unwrap_or_else(|| panic!("{code} has no case"));
        for (i, (gateway, request)) in tried.into_iter().enumerate() {
            let reply = gateway.send(request);
            let body = format!(
                r#"{{"error":{{"message":"{message}","type":"gateway_error","param":null,"code":"{code}"}}}}"#
            );
            assert_eq!(
                (reply.status().as_u16(), &*reply.body),
                (status, body.as_bytes()),
                "{code} {i}"
            );
            assert_eq!(reply.values("content-type"), ["application/json"]);
            assert_eq!(reply.values("set-cookie"), [""; 0]);
            let wait: Option<u64> = reply.values("retry-after").first().map(|s| s.parse().unwrap());
            assert_eq!(wait.is_some(), timed && i == 0, "{code} {i}");
            assert!(wait.is_none_or(|wait| (900..=1000).contains(&wait)), "{code} {i}: {wait:?}");
            if code != "bad_tenant" {
                assert_eq!(reply.decision().slot, None);
            }
        }
    }
    assert!(cases.is_empty(), "the page does not know {:?}", cases.keys());
}

#[test]
fn a_draining_account_still_takes_who_has_nowhere_else_to_go() {
    let gateway = gateway(generation(), Provider::ok());
    gateway.set_all(SlotStatus { state: State::Draining, ..SlotStatus::UP });
    assert_eq!(gateway.send(empty(post("/v1/responses"))).status(), StatusCode::OK);
}

/// A request that is refused for its ids: code, the keys and the id that are named, and what makes
/// it, with the gateway.
type IdCase = (&'static str, &'static [&'static str], String, Gateway, Request<Pieces>);

fn body(request: Builder, text: &str) -> Request<Pieces> {
    request.body(Pieces::cut(text, &[])).unwrap()
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn id_cases() -> Vec<IdCase> {
    let gateway = |mode| crate::stand::gateway(in_mode(mode), nobody());
    let sealing = || gateway(Mode::Seal);
    // Of another ring, of an unknown account, and of none.
    let other =
        crate::stand::gateway(generation_of(|config| config.scope = b"another set"), nobody());
    let foreign = |native: &str| other.seal(0, native);
    let gone = |native: &str| {
        let generation = generation();
        let rules = generation.affinity().id_rules(b"", b"", None).unwrap();
        let sealed = rules.sealer.seal(native.as_bytes(), 12345).unwrap();
        String::from_utf8(sealed.as_bytes().to_vec()).unwrap()
    };
    let later = "resp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxtp7".to_owned();
    let responses = || post("/v1/responses");
    let mut cases: Vec<IdCase> = Vec::new();
    for (mode, id) in [
        (Mode::Seal, foreign("resp_1")),
        (Mode::Strict, foreign("resp_1")),
        (Mode::Seal, later),
        (Mode::Seal, format!("resp_{}tp7", "x".repeat(57))),
        (Mode::Seal, gone("resp_1")),
        (Mode::Open, gone("resp_1")),
        (Mode::Strict, "resp_1".to_owned()),
    ] {
        let quoted = if id.len() > 64 { String::new() } else { id.clone() };
        let mut add = |code, keys: &'static [&'static str], request| {
            cases.push((code, keys, quoted.clone(), gateway(mode), request));
        };
        // Escapes are no part of what is quoted.
        for id in [id.clone(), id.replacen("resp", "r\\u0065sp", 1)] {
            let text = format!(r#"{{"input":"x","previous_response_id":"{id}"}}"#);
            add("previous_response_not_found", &["previous_response_id"], body(responses(), &text));
            let text = format!(r#"{{"conversation":{{"id":"{id}"}}}}"#);
            add("not_found", &["conversation"], body(responses(), &text));
        }
        for id in [id.clone(), id.replacen("resp", "r%65sp", 1)] {
            let target = format!("/v1/responses/{id}?include=x");
            add("not_found", &["path"], body(get(&target), ""));
            let target = format!("/v1/responses/resp_1/input_items?after={id}");
            if mode != Mode::Strict {
                add("not_found", &["after"], body(get(&target), ""));
            }
        }
    }
    let mut add = |code, keys: &'static [&'static str], gateway, request| {
        cases.push((code, keys, String::new(), gateway, request));
    };
    // A text that is no id is not repeated.
    for text in ["resp_1%252F", "a%2Fb", "x%", "%25%22%0A%27"] {
        let target = format!("/v1/responses/{text}");
        add("not_found", &["path"], gateway(Mode::Strict), body(get(&target), ""));
    }
    let mark = other.layer.current();
    let mark = mark.affinity().id_rules(b"", b"", None).unwrap().sealer.mark(b"gAAAABBBB", 1);
    let mark = String::from_utf8(mark.unwrap().to_vec()).unwrap();
    let text =
        format!(r#"{{"input":[{{"type":"reasoning","encrypted_content":"gAAAABBBB{mark}"}}]}}"#);
    let none: &[&str] = &[];
    add("invalid_encrypted_content", none, sealing(), body(responses(), &text));
    let (one, two) = (sealing().seal(0, "file-1"), sealing().seal(1, "resp_1"));
    let text = format!(r#"{{"previous_response_id":"{two}","tools":[{{"file_ids":["{one}"]}}]}}"#);
    let keys: &[_] = &["previous_response_id", "file_ids"];
    add("conflicting_accounts", keys, gateway(Mode::Open), body(responses(), &text));
    let target = format!("/v1/files?after={one}&before={two}");
    add("conflicting_accounts", &["after", "before"], sealing(), body(get(&target), ""));
    // A string that is too long for an id, with an escape; and in the strict mode, what is no text
    // or no JSON.
    let text = format!(r#"{{"file_id":"\u0066{}"}}"#, "x".repeat(600));
    add("unreadable_body", none, gateway(Mode::Open), body(responses(), &text));
    for text in ["{", "{\"a\":1}x", "[1,2", "data: x\n\n", "{\"id\":\"resp_"] {
        add("unreadable_body", none, gateway(Mode::Strict), body(responses(), text));
    }
    let bytes = [&b"{\"a\":\""[..], b"\xff", b"\xe2\x82\"}"].map(Bytes::copy_from_slice);
    let pieces = Pieces { parts: bytes.into(), ..Pieces::default() };
    add("unreadable_body", none, gateway(Mode::Strict), responses().body(pieces).unwrap());
    for knows in [false, true] {
        for length in [101, 150, 201, 5000] {
            let limited = || crate::stand::gateway(in_mode(Mode::Open).max_body(100), nobody());
            let pieces = Pieces::cut(&"x".repeat(length), &[10, 99, 100]);
            let request = responses().body(Pieces { knows, ..pieces }).unwrap();
            add("request_too_large", none, limited(), request);
            let limited = crate::stand::gateway(in_mode(Mode::Seal).max_held(100), nobody());
            let pieces = Pieces::cut(&"x".repeat(length), &[10, 99, 100]);
            let request = responses().body(Pieces { knows, ..pieces }).unwrap();
            add("too_many_bodies", none, limited, request);
        }
    }
    for (target, kind) in [
        ("/v1/responses", "text/plain"),
        ("/v1/responses", "text/event-stream"),
        ("/v1/responses", "multipart/form-data"),
        ("/v1/files", "application/x-www-form-urlencoded"),
    ] {
        let request = post(target).header("content-type", kind).header("content-encoding", "gzip");
        add("unsupported_content_type", none, gateway(Mode::Strict), body(request, "{}"));
    }
    for (mode, coding) in [(Mode::Seal, "gzip"), (Mode::Strict, "identity, BR"), (Mode::Seal, "x")]
    {
        let request = responses().header("content-encoding", coding);
        add("unsupported_content_encoding", none, gateway(mode), body(request, "{}"));
    }
    for (generation, http2) in [
        (in_mode(Mode::Seal), false),
        (in_mode(Mode::Strict), true),
        (in_mode(Mode::Open).refuse_upgrades(), false),
        (in_mode(Mode::Off).sealed_ids(|_| Mode::Seal), false),
    ] {
        let gateway = crate::stand::gateway(generation, nobody());
        let request = if http2 {
            Request::connect("https://gateway.example/v1/responses")
        } else {
            get("/v1/responses").header("connection", "Upgrade").header("upgrade", "WebSocket")
        };
        add("websocket_not_supported", none, gateway, body(request, ""));
    }
    cases
}

#[test]
fn refusals_for_ids_are_those_of_the_page() {
    let rows = table("Refusals for ids");
    assert_eq!(rows.len(), 10);
    let mut seen = std::collections::BTreeSet::new();
    for anthropic in [false, true] {
        for (code, keys, id, gateway, mut request) in id_cases() {
            seen.insert(code);
            if anthropic {
                request.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
            }
            let what = format!("{request:?}");
            let reply = gateway.send(request);
            let row = rows.iter().find(|row| row[1] == format!("`{code}`")).expect(code);
            let [status, _, param, message] = &row[..] else { panic!("{row:?}") };
            let quoted = if id.is_empty() { id } else { format!(" '{id}'") };
            let message = message
                .replace("*id*", &quoted)
                .replace("*key*", keys.first().unwrap_or(&""))
                .replace("*second key*", keys.get(1).unwrap_or(&""));
            let param = match &**param {
                "null" => "null".to_owned(),
                "key" => format!("\"{}\"", keys[0]),
                "second key" => format!("\"{}\"", keys[1]),
                other => panic!("{other}"),
            };
            let expected = if anthropic {
                let kind = match &**status {
                    "404" => "not_found_error",
                    "413" => "request_too_large",
                    "503" => "api_error",
                    _ => "invalid_request_error",
                };
                format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}}}}"#)
            } else {
                let late = code == "too_many_bodies";
                let kind = if late { "gateway_error" } else { "invalid_request_error" };
                format!(
                    r#"{{"error":{{"message":"{message}","type":"{kind}","param":{param},"code":"{code}"}}}}"#
                )
            };
            let got = String::from_utf8(reply.body.to_vec()).unwrap();
            assert_eq!((reply.status().as_str(), got), (&**status, expected), "{what}");
            let one = |name| reply.values(name).join("|");
            assert_eq!(one("content-type"), "application/json");
            assert_eq!(one("retry-after"), if *status == "503" { "1" } else { "" });
            assert_eq!(one("upgrade"), if *status == "426" { "HTTP/1.1" } else { "" });
            assert_eq!(one("connection"), if *status == "426" { "upgrade" } else { "" });
            let encoding = code == "unsupported_content_encoding";
            assert_eq!(one("accept-encoding"), if encoding { "identity" } else { "" });
            assert_eq!(one("set-cookie"), "");
        }
    }
    assert_eq!(seen.len(), rows.len(), "each row has a case: {seen:?}");
}

/// The answer for an account that is down or was tried is that of a session; the form is
/// Anthropic's for its clients.
#[test]
fn the_account_of_an_id_may_be_out_of_reach() {
    for until in [0, unix_now() + 1000] {
        let gateway = gateway(in_mode(Mode::Seal), nobody());
        let id = gateway.seal(1, "resp_1");
        gateway.layer.current().set_slot(1, SlotStatus { until, ..DOWN }).unwrap();
        let text = format!(r#"{{"previous_response_id":"{id}"}}"#);
        let reply = gateway.send(body(post("/v1/responses"), &text));
        assert_eq!(reply.status().as_u16(), 503);
        let waits = reply.values("retry-after").first().map(|text| text.parse::<u64>().unwrap());
        assert_eq!(waits.is_some(), until != 0);
        assert!(waits.is_none_or(|seconds| (900..=1000).contains(&seconds)));
        let expected = r#"{"error":{"message":"The session's account is unavailable.","type":"gateway_error","param":null,"code":"session_unavailable"}}"#;
        assert_eq!(reply.body, expected);
        let request = post("/v1/responses").header("anthropic-version", "2023-06-01");
        let expected = r#"{"type":"error","error":{"type":"api_error","message":"The session's account is unavailable."}}"#;
        assert_eq!(gateway.send(body(request, &text)).body, expected);
    }
}
