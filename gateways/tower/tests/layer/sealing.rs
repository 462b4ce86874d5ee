//! Ids in responses: sealed while they pass.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokenpin_test_support::random::Random;
use tokenpin_test_support::{ROOT, ids as model};
use tokenpin_tower::tokenpin::ids::{Echo, Ids, Mode, Sealer, Sealing};
use tokenpin_tower::{Generation, PinLayer, RequestBody, ResponseBody};
use tower::{Layer, ServiceExt, service_fn};

use crate::stand::*;

const DOCUMENT: &str = concat!(
    r#"{"id":"resp_0123","output":[{"id":"msg_1","content":[{"file_id":"file-1"}]}],"#,
    r#""metadata":{"id":"resp_0123"},"encrypted_content":"gAAA"}"#
);
const EVENTS: &str = concat!(
    "event: a\r\ndata: {\"response\":{\"id\":\"resp_0123\"},\ndata: \"item_id\":\"msg_1\"}\n\n",
    ": x\ndata: [DONE]\n\n"
);

/// A request, and a response with these headers in these pieces.
async fn passed(
    generation: Generation,
    request: Request<Full<Bytes>>,
    response: Response<Pieces>,
) -> Response<ResponseBody<Pieces>> {
    let response = Arc::new(Mutex::new(Some(response)));
    let provider = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let response = response.lock().unwrap().take().unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    PinLayer::new(generation).unwrap().layer(provider).oneshot(request).await.unwrap()
}

/// The bytes that came, the trailers, and whether the body knew its end without being asked for
/// more.
async fn read(mut body: ResponseBody<Pieces>, asks: bool) -> (String, Option<HeaderMap>) {
    let (mut text, mut trailers) = (vec![], None);
    while asks || !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        match frame.unwrap().into_data() {
            Ok(data) => {
                assert!(!data.is_empty(), "an empty piece would be the last chunk");
                text.extend_from_slice(&data);
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    (String::from_utf8(text).unwrap(), trailers)
}

/// Seals a whole body of the account in a slot with the library.
fn sealed(generation: &Generation, slot: u32, ids: Ids, events: bool, text: &str) -> String {
    let affinity = generation.affinity();
    let rules = affinity.id_rules(b"", b"", Some(Mode::Seal)).unwrap();
    let pin = affinity.pin(slot).unwrap();
    let with = Sealing { rules: &rules, pin, echo: &Echo::new(), origin: None };
    let mut sealer = if events { Sealer::events(ids) } else { Sealer::json(ids) };
    let mut out = vec![];
    sealer.push(&with, text.as_bytes(), |part| out.extend_from_slice(part));
    out.extend_from_slice(sealer.finish(&with));
    String::from_utf8(out).unwrap()
}

#[test]
fn bodies_are_sealed_wherever_they_are_cut() {
    block_on(async {
        for (text, kind) in [
            (DOCUMENT, "application/json"),
            (DOCUMENT, "application/vnd.x+json; charset=utf-8"),
            (DOCUMENT, ""),
            (EVENTS, "text/event-stream"),
            (EVENTS, "application/json"),
            // It ends in an id that never ends.
            ("{\"id\":\"resp_", "application/json"),
            ("data: {\"id\":\"resp_1", "text/event-stream"),
            ("", "application/json"),
        ] {
            let cuts = (0..=text.len()).map(|at| vec![at]);
            for (i, places) in cuts.chain([vec![], (1..text.len().max(1)).collect()]).enumerate() {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-trailer", "1".parse().unwrap());
                let trailers = (i % 3 == 0).then_some(trailers);
                let pieces = Pieces::cut(text, &places);
                let pieces = Pieces { knows: i % 2 == 0, trailers: trailers.clone(), ..pieces };
                let response = Response::builder().header("content-type", kind).body(pieces);
                let request = empty(post("/v1/responses"));
                let response = passed(in_mode(Mode::Seal), request, response.unwrap()).await;
                let slot = decision_of(&response).slot.unwrap();
                let events = kind.starts_with("text/");
                let expected = sealed(&in_mode(Mode::Seal), slot, Ids::Items, events, text);
                let got = read(response.into_body(), i % 5 != 0).await;
                assert_eq!(got, (expected, trailers), "{kind} {i}");
            }
        }
    });
}

fn decision_of<B>(response: &Response<B>) -> tokenpin_tower::tokenpin::Decision {
    *response.extensions().get().expect("a decision")
}

/// Answers of a real server are sealed as the model says, in random pieces.
#[test]
fn answers_of_a_real_server_are_sealed() {
    let mut random = Random::new("answers_of_a_real_server_are_sealed");
    let folder = format!("{ROOT}/tests/ids/samples");
    let mut changed = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let events = path.extension().is_some_and(|it| it == "sse");
        let kind = if events { "text/event-stream" } else { "application/json" };
        for _ in 0..20 {
            let pieces = Pieces::random(&text, &mut random);
            let response = Response::builder().header("content-type", kind).body(pieces).unwrap();
            block_on(async {
                let generation = in_mode(Mode::Strict);
                let response = passed(generation, empty(post("/v1/responses")), response).await;
                let slot = decision_of(&response).slot.unwrap();
                let (got, _) = read(response.into_body(), true).await;
                let generation = in_mode(Mode::Strict);
                let expected = sealed(&generation, slot, Ids::Items, events, &text);
                if !events {
                    let affinity = generation.affinity();
                    let rules = affinity.id_rules(b"", b"", None).unwrap();
                    let pin = affinity.pin(slot).unwrap();
                    let (edits, whole) = model::seal(text.as_bytes(), &rules, Ids::Items, pin);
                    assert!(whole);
                    assert_eq!(model::apply(text.as_bytes(), &edits), expected.as_bytes());
                }
                assert_eq!(got, expected, "{path:?}");
                changed += u32::from(got != text);
            });
        }
    }
    assert!(changed > 100, "{changed}");
}

/// A client gets each event as it is sent; held back is nothing but an id that has not ended.
#[test]
fn nothing_is_held_back_but_an_id() {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let provider = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let body = Channel(receiver.lock().unwrap().take().unwrap());
        let response = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(Ok::<_, Infallible>(response.body(body).unwrap()))
    });
    let layer = PinLayer::new(in_mode(Mode::Seal)).unwrap();
    block_on(async {
        let request = empty(post("/v1/responses"));
        let response = layer.layer(provider).oneshot(request).await.unwrap();
        let slot = decision_of(&response).slot.unwrap();
        let gateway = Gateway { layer: layer.clone(), provider: Provider::ok() };
        let id = gateway.seal(slot, "resp_1");
        let mut body = response.into_body();
        for (piece, out) in [
            ("data: {\"type\":\"x\"}\n\n", "data: {\"type\":\"x\"}\n\n".to_owned()),
            (
                "data: {\"response\":{\"id\":\"resp_1\"",
                format!("data: {{\"response\":{{\"id\":\"{id}\""),
            ),
            ("},\"delta\":\"long te", "},\"delta\":\"long te".to_owned()),
            ("xt\"}\n\ndata: {\"id\":\"re", "xt\"}\n\ndata: {\"id\":\"".to_owned()),
            ("sp_1\"}\n\n", format!("{id}\"}}\n\n")),
            ("data: [DO", "data: [DO".to_owned()),
            ("NE]\n\n", "NE]\n\n".to_owned()),
        ] {
            sender.send(piece.into()).await.unwrap();
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), out);
        }
        drop(sender);
        assert!(body.frame().await.is_none());
    });
}

/// Headers that hold only for the original bytes are dropped where these change, and nowhere else.
#[test]
fn only_what_is_sealed_loses_its_length() {
    let fields = [
        ("content-length", "6"),
        ("content-md5", "a"),
        ("digest", "b"),
        ("content-digest", "c"),
        ("repr-digest", "d"),
        ("accept-ranges", "bytes"),
        ("etag", "\"strong\""),
        ("x-other", "kept"),
    ];
    let json = "application/json";
    for (mode, method, target, status, kind, encoding, seals) in [
        (Mode::Seal, "POST", "/v1/responses", 200, json, "", true),
        (Mode::Strict, "POST", "/v1/responses", 404, json, "identity", true),
        (Mode::Seal, "GET", "/v1/files", 200, json, "", true),
        (Mode::Seal, "HEAD", "/v1/files", 200, json, "", true),
        (Mode::Seal, "POST", "/v1/messages", 200, "text/event-stream", "", true),
        (Mode::Seal, "POST", "/v1/messages", 200, "Text/Event-Stream;x", "", true),
        (Mode::Off, "POST", "/v1/responses", 200, json, "", false),
        (Mode::Open, "POST", "/v1/responses", 200, json, "", false),
        (Mode::Seal, "POST", "/v1/embeddings", 200, json, "", false),
        (Mode::Seal, "POST", "/v1/chat/completions", 200, json, "", false),
        (Mode::Seal, "POST", "/v1/responses", 200, "text/plain", "", false),
        (Mode::Seal, "POST", "/v1/responses", 200, "application/jsonl", "", false),
        (Mode::Seal, "POST", "/v1/responses", 200, json, "gzip", false),
        (Mode::Seal, "POST", "/v1/responses", 200, json, "identity, br", false),
        (Mode::Seal, "GET", "/v1/files", 206, json, "", false),
        (Mode::Seal, "GET", "/v1/files", 304, json, "", false),
        (Mode::Seal, "DELETE", "/v1/files/file-1", 204, json, "", false),
        (Mode::Seal, "GET", "/v1/files/file-1/content", 200, json, "", false),
        (Mode::Seal, "GET", "/v1/files/file-1/content/?x=1", 200, json, "", false),
        (Mode::Seal, "GET", "/v1/messages/batches/msgbatch_1/results", 200, json, "", false),
    ] {
        for weak in [false, true] {
            let mut response = Response::builder().status(status).header("content-type", kind);
            for (name, value) in fields {
                let value = if weak && name == "etag" { "W/\"weak\"" } else { value };
                response = response.header(name, value);
            }
            response = response.header("content-encoding", encoding);
            let events = kind.to_lowercase().starts_with("text/event-stream");
            let text = if events { "data:{\"id\":\"file-1\"}\n\n" } else { r#"{"id":"file-1"}"# };
            let body = Pieces::cut(text, &[]);
            let request = Request::builder().method(method).uri(target);
            let what = format!("{mode:?} {method} {target} {status} {kind} {encoding} {weak}");
            let (parts, body) = block_on(async {
                let response = response.body(body).unwrap();
                let response = passed(in_mode(mode), empty(request), response).await;
                let (parts, body) = response.into_parts();
                (parts, read(body, true).await.0)
            });
            let left: Vec<_> = fields
                .into_iter()
                .map(|(name, _)| name)
                .filter(|name| parts.headers.contains_key(*name))
                .collect();
            let all = fields.map(|(name, _)| name);
            let kept = if weak { &all[6..] } else { &all[7..] };
            assert_eq!(left, if seals { kept } else { &all[..] }, "{what}");
            let changes = seals && method != "HEAD";
            assert_eq!(body != text, changes, "{what}");
        }
    }
}

/// An upstream is asked for what can be read, wherever that matters.
#[test]
fn no_compressed_answer_is_asked_for_where_ids_are_sealed() {
    for (mode, target, identity) in [
        (Mode::Off, "/v1/responses", false),
        (Mode::Open, "/v1/responses", false),
        (Mode::Seal, "/v1/responses", true),
        (Mode::Strict, "/v1/messages", true),
        (Mode::Seal, "/v1/embeddings", false),
        (Mode::Seal, "/v1/chat/completions", false),
    ] {
        let gateway = gateway(in_mode(mode), Provider::ok());
        let request = post(target).header("accept-encoding", "gzip, br");
        let (_, seen) = gateway.pass(empty(request.header("accept-encoding", "zstd")));
        let asked = values(&seen.parts.headers, "accept-encoding");
        let expected: &[_] = if identity { &["identity"] } else { &["gzip, br", "zstd"] };
        assert_eq!(asked, expected, "{mode:?} {target}");
        // A file's bytes are not looked at.
        let id = gateway.seal(1, "file-1");
        let request = get(&format!("/v1/files/{id}/content")).header("accept-encoding", "gzip");
        let (_, seen) = gateway.pass(empty(request));
        assert_eq!(values(&seen.parts.headers, "accept-encoding"), ["gzip"]);
    }
}

/// Headers that are URLs name objects too, beside any body.
#[test]
fn locations_are_sealed() {
    for (mode, status) in
        [(Mode::Off, 201), (Mode::Seal, 201), (Mode::Seal, 204), (Mode::Strict, 303)]
    {
        let provider = Provider::new(move |_| {
            let response = Response::builder()
                .status(status)
                .header("location", "/v1/files/file-1?after=file-2#x")
                .header("content-location", "https://upstream/v1/responses/resp_1/input_items")
                .header("operation-location", "https://blobs/v1/files/file-1?sig=x")
                .header("x-other", "/v1/files/file-1");
            response.body(Full::default()).unwrap()
        });
        let gateway = gateway(in_mode(mode).origin("upstream", own), provider);
        let request = post("/v1/responses").header("host", "gateway");
        let (reply, seen) = gateway.pass(empty(request));
        let id = |native: &str| {
            if mode == Mode::Off { native.to_owned() } else { gateway.seal(seen.slot(), native) }
        };
        let location = format!("/v1/files/{}?after={}#x", id("file-1"), id("file-2"));
        assert_eq!(reply.values("location"), [location]);
        let own = if mode == Mode::Off { "https://upstream" } else { "http://gateway" };
        let content = format!("{own}/v1/responses/{}/input_items", id("resp_1"));
        assert_eq!(reply.values("content-location"), [content]);
        // It may be signed.
        assert_eq!(reply.values("operation-location"), ["https://blobs/v1/files/file-1?sig=x"]);
        assert_eq!(reply.values("x-other"), ["/v1/files/file-1"]);
    }
}

/// Scheme and authority of a request.
fn own(parts: &Parts) -> Cow<'_, [u8]> {
    format!("http://{}", parts.headers["host"].to_str().unwrap()).into_bytes().into()
}

/// A batch's `results_url` leads to the gateway, where the client can follow it.
#[test]
fn absolute_urls_of_the_upstream_lead_to_the_gateway_if_that_is_told() {
    let body = r#"{"id":"msgbatch_1","results_url":"https://api.example/v1/messages/batches/msgbatch_1/results"}"#;
    let provider = Provider::new(move |_| Response::new(body.into()));
    for (upstream, own_host) in [
        (Some("api.example"), true),
        (Some("API.example"), true),
        (Some("other"), false),
        (None, false),
    ] {
        let generation = in_mode(Mode::Seal);
        let generation = match upstream {
            Some(upstream) => generation.origin(upstream, own),
            None => generation,
        };
        let gateway = gateway(generation, provider.clone());
        let request = post("/v1/messages/batches").header("host", "gateway.example:8080");
        let (reply, seen) = gateway.pass(empty(request));
        let id = gateway.seal(seen.slot(), "msgbatch_1");
        let url = if own_host {
            format!("http://gateway.example:8080/v1/messages/batches/{id}/results")
        } else {
            "https://api.example/v1/messages/batches/msgbatch_1/results".to_owned()
        };
        let expected = format!(r#"{{"id":"{id}","results_url":"{url}"}}"#);
        assert_eq!(String::from_utf8(reply.body.to_vec()).unwrap(), expected);
    }
}

/// Ids come back as the client wrote them, and a mode may be a request's own.
#[test]
fn the_mode_says_what_becomes_of_ids() {
    let provider = Provider::new(|seen| {
        let request = String::from_utf8(seen.body.to_vec()).unwrap();
        Response::new(format!(r#"{{"id":"resp_new","request":{request}}}"#).into())
    });
    for own in [false, true] {
        for mode in MODES {
            let generation = if own {
                let of = |parts: &Parts| {
                    let name = parts.headers["x-mode"].to_str().unwrap();
                    MODES.into_iter().find(|mode| mode.name() == name).unwrap()
                };
                in_mode(Mode::Off).sealed_ids(of)
            } else {
                in_mode(mode)
            };
            let gateway = gateway(generation, provider.clone());
            for slot in 0..3 {
                for sent_sealed in [false, true] {
                    let sealed = gateway.seal(slot, "file-1");
                    let sent = if sent_sealed { &*sealed } else { "file-1" };
                    let request = post("/v1/responses").header("x-mode", mode.name());
                    let body = format!(r#"{{"file_id":"{sent}"}}"#);
                    let reply = gateway.send(request.body(Full::<Bytes>::from(body)).unwrap());
                    let seen = gateway.provider.take().pop();
                    let what = format!("{own} {mode:?} {sent}");
                    if mode == Mode::Strict && !sent_sealed {
                        assert_eq!(
                            (reply.status().as_u16(), seen.is_none()),
                            (404, true),
                            "{what}"
                        );
                        continue;
                    }
                    let seen = seen.expect("it was served");
                    let opens = mode != Mode::Off && sent_sealed;
                    if opens {
                        assert_eq!(seen.slot(), slot, "{what}");
                    }
                    let at_upstream = if opens { "file-1" } else { sent };
                    assert_eq!(seen.body, format!(r#"{{"file_id":"{at_upstream}"}}"#), "{what}");
                    let seals = matches!(mode, Mode::Seal | Mode::Strict);
                    let made = if seals {
                        gateway.seal(seen.slot(), "resp_new")
                    } else {
                        "resp_new".into()
                    };
                    let expected = format!(r#"{{"id":"{made}","request":{{"file_id":"{sent}"}}}}"#);
                    assert_eq!(reply.body, expected, "{what}");
                    assert!(reply.decision().existing, "{what}");
                }
            }
        }
    }
}
