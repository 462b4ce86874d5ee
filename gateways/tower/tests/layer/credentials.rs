//! Whose credentials the provider gets.

use http::HeaderMap;
use http::request::Parts;
use tokenpin_tower::tokenpin::Decision;
use tokenpin_tower::{Credentials, Generation, PinLayer, SlotHeaders};

use crate::stand::*;

const CLIENTS: [&str; 4] = ["authorization", "api-key", "x-api-key", "x-goog-api-key"];

#[test]
fn the_clients_own_do_not_reach_the_provider() {
    let fields = CLIENTS.map(|name| (name, "the client's"));
    let twice = fields.iter().chain(&fields).copied();
    let gateway = gateway(generation(), Provider::ok());
    for target in ["/v1/responses", "/v1/embeddings"] {
        let (_, seen) = gateway.pass(with(post(target), twice.clone()));
        assert_eq!(seen.parts.headers.len(), 1, "{:?}", seen.parts.headers);
        seen.slot();
    }
    // Unless that is wanted; what the account sets itself is the account's all the same.
    let gateway = crate::stand::gateway(generation().forward_client_credentials(), Provider::ok());
    let (_, seen) = gateway.pass(with(post("/v1/responses"), twice));
    for name in &CLIENTS[1..] {
        assert_eq!(values(&seen.parts.headers, name), ["the client's"; 2]);
    }
    assert_eq!(values(&seen.parts.headers, "authorization").len(), 1);
    seen.slot();
}

/// Slot 0 has an organization, slot 1 has another header, slot 2 has two values of one.
fn slots() -> SlotHeaders {
    let fields: [&[(&str, &str)]; 3] = [
        &[("authorization", "Bearer sk-a"), ("openai-organization", "org-a")],
        &[("authorization", "Bearer sk-b"), ("x-project", "b")],
        &[("authorization", "Bearer sk-c"), ("x-project", "c1"), ("x-project", "c2")],
    ];
    SlotHeaders::new(fields.map(|fields| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(header_of(name), value.parse().unwrap());
        }
        headers
    }))
}

fn header_of(name: &str) -> http::HeaderName {
    name.parse().unwrap()
}

#[test]
fn each_account_gets_its_headers_and_no_other_ones() {
    let gateway = gateway(Generation::new(affinity(|_| {}), slots()), Provider::ok());
    let mut met = [0; 3];
    for _ in 0..100 {
        let forged = [("openai-organization", "forged"), ("x-project", "forged")];
        let (_, seen) = gateway.pass(with(post("/v1/responses"), forged));
        let headers = &seen.parts.headers;
        let (organization, project): (&[&str], &[&str]) =
            [(&["org-a"][..], &[][..]), (&[], &["b"]), (&[], &["c1", "c2"])][seen.slot() as usize];
        assert_eq!(values(headers, "openai-organization"), organization);
        assert_eq!(values(headers, "x-project"), project);
        met[seen.slot() as usize] += 1;
    }
    assert!(met.iter().all(|&count| count > 0), "{met:?}");
}

#[test]
fn secrets_are_not_shown() {
    let shown = |text: String| {
        assert!(!text.contains("sk-") && !text.contains("org-a"), "{text}");
        assert!(!text.contains("secret!") && !text.contains("key!"), "{text}");
    };
    shown(format!("{:?} {:#?}", slots(), slots()));
    let generation = Generation::new(affinity(|_| {}), slots());
    shown(format!("{generation:?}"));
    let layer = PinLayer::new(generation).unwrap();
    shown(format!("{layer:?} {:?}", layer.current()));
    shown(format!("{:?}", SlotHeaders::bearer(["sk-\n"]).unwrap_err()));
    let gateway = Gateway { layer, provider: Provider::ok() };
    let (_, seen) = gateway.pass(empty(post("/v1/responses")));
    shown(format!("{:?}", seen.parts));
}

/// Accounts with hosts of their own.
struct Hosts;

impl Credentials for Hosts {
    fn slots(&self) -> usize {
        3
    }

    fn apply(&self, slot: u32, request: &mut Parts) {
        assert_eq!(request.extensions.get::<Decision>().unwrap().slot, Some(slot));
        request
            .headers
            .insert("authorization", format!("Bearer {}", TOKENS[slot as usize]).parse().unwrap());
        let uri = format!("https://{slot}.example{}", request.uri.path());
        request.uri = uri.parse().unwrap();
    }
}

#[test]
fn credentials_may_change_the_uri() {
    let gateway = gateway(Generation::new(affinity(|_| {}), Hosts), Provider::ok());
    for _ in 0..10 {
        let (_, seen) = gateway.pass(empty(post("/v1/responses")));
        assert_eq!(seen.parts.uri, *format!("https://{}.example/v1/responses", seen.slot()));
    }
}
