//! What the layer answers itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use http::StatusCode;
use http_body_util::Full;
use tokenpin_test_support::ROOT;
use tokenpin_tower::tokenpin::{MAX_KEY, MAX_SCOPE, SlotStatus, State};

use crate::stand::*;

type Case = (Gateway, Request<Full<Bytes>>);

/// The rows of the table: code, status, message.
fn rows() -> Vec<(String, u16, String)> {
    let page = std::fs::read_to_string(format!("{ROOT}/docs/embedding.md")).unwrap();
    let section = page.split_once("\n## Refusals\n").unwrap().1.split_once("\n## ").unwrap().0;
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.contains("---"));
    let cells = rows.skip(1).map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect());
    cells
        .map(|row: Vec<&str>| {
            (row[2].trim_matches('`').to_owned(), row[1].parse().unwrap(), row[3].to_owned())
        })
        .collect()
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
