//! Whose credentials the provider gets.

use std::convert::Infallible;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use tokenpin_tower::tokenpin::Decision;
use tokenpin_tower::{Credentials, Generation, PinLayer, RequestBody, Retry, SlotHeaders};
use tower::{Layer, ServiceExt, service_fn};

use crate::stand::*;

/// A list of the Go middleware's tests: both remove the same.
fn in_go(list: &str) -> Vec<String> {
    let text = include_str!("../../../../go/tokenpinhttp/credentials_test.go");
    let start = format!("var {list} = []string{{");
    let (_, text) = text.split_once(&start).unwrap();
    let (text, _) = text.split_once("\n}").unwrap();
    // Between the quotation marks.
    let names: Vec<_> = text.split('"').skip(1).step_by(2).map(str::to_lowercase).collect();
    assert!(names.len() > 20, "{names:?}");
    names
}

#[test]
fn the_clients_own_do_not_reach_the_provider() {
    let mut clients = in_go("credentialNames");
    clients.sort();
    clients.dedup();
    let fields: Vec<_> = clients.iter().map(|name| (&**name, "the client's")).collect();
    let twice = fields.iter().chain(&fields).copied();
    let gateway = gateway(generation(), Provider::ok());
    for target in ["/v1/responses", "/v1/embeddings"] {
        let (_, seen) = gateway.pass(with(post(target), twice.clone()));
        assert_eq!(seen.parts.headers.len(), 1, "{:?}", seen.parts.headers);
        seen.slot();
    }
    // Unless that is wanted; what the account sets itself is still the account's.
    let gateway = crate::stand::gateway(generation().forward_client_credentials(), Provider::ok());
    let (_, seen) = gateway.pass(with(post("/v1/responses"), twice));
    for name in clients.iter().filter(|name| *name != "authorization") {
        assert_eq!(values(&seen.parts.headers, name), ["the client's"; 2]);
    }
    assert_eq!(values(&seen.parts.headers, "authorization").len(), 1);
    seen.slot();
}

#[test]
fn what_is_like_a_credential_passes() {
    let gateway = gateway(generation(), Provider::ok());
    for name in in_go("otherNames") {
        let (_, seen) = gateway.pass(with(post("/v1/responses"), [(&*name, "the client's")]));
        assert_eq!(values(&seen.parts.headers, &name), ["the client's"]);
    }
}

/// Nor behind the body, whether it is kept for a retry or not.
#[test]
fn no_credential_passes_in_trailers() {
    let names = in_go("credentialNames");
    let trailers: HeaderMap = names
        .iter()
        .map(String::as_str)
        .chain(["x-checksum"])
        .map(|name| (header_of(name), "the client's".parse().unwrap()))
        .collect();
    for (retry, forward) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut generation = generation();
        if retry {
            generation = generation.retry(Retry::default());
        }
        if forward {
            generation = generation.forward_client_credentials();
        }
        let provider = service_fn(async |request: Request<RequestBody<_>>| {
            let body = request.into_body().collect().await.unwrap();
            let trailers = body.trailers().cloned().unwrap();
            let response = Response::builder().extension(trailers);
            Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
        });
        let sent = trailers.clone();
        let body = Full::<Bytes>::from("a body").with_trailers(async { Some(Ok(sent)) });
        let service = PinLayer::new(generation).unwrap().layer(provider);
        let request = post("/v1/embeddings").body(body).unwrap();
        let response = block_on(service.oneshot(request)).unwrap();
        let left = response.extensions().get::<HeaderMap>().unwrap();
        assert_eq!(left.len(), if forward { trailers.len() } else { 1 }, "{left:?}");
        assert!(left.contains_key("x-checksum"));
    }
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
        let forged = [
            ("openai-organization", "forged"),
            ("openai_organization", "forged"),
            ("x-project", "forged"),
            ("x_project", "forged"),
        ];
        let (_, seen) = gateway.pass(with(post("/v1/responses"), forged));
        let headers = &seen.parts.headers;
        let (organization, project): (&[&str], &[&str]) =
            [(&["org-a"][..], &[][..]), (&[], &["b"]), (&[], &["c1", "c2"])][seen.slot() as usize];
        assert_eq!(values(headers, "openai-organization"), organization);
        assert_eq!(values(headers, "x-project"), project);
        assert!(!format!("{headers:?}").contains('_'), "{headers:?}");
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

/// Accounts with their own hosts.
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
