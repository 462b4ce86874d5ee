//! Ids in requests: opened, followed, and what waits for them.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokenpin_test_support::random::Random;
use tokenpin_tower::tokenpin::ids::Mode;
use tokenpin_tower::tokenpin::{IdOwner, SlotStatus, Source};
use tokenpin_tower::{Generation, PinLayer, RequestBody};
use tower::{Layer, ServiceExt, service_fn};

use crate::stand::*;

/// Accounts that know what they have made, and nothing else.
#[derive(Default)]
struct Accounts {
    made: Mutex<HashSet<(u32, String)>>,
    /// Ids that came and that the account does not know.
    strange: Mutex<Vec<String>>,
}

impl Accounts {
    fn provider(self: &Arc<Self>) -> Provider {
        let accounts = Arc::clone(self);
        Provider::new(move |seen| accounts.answer(seen))
    }

    fn answer(&self, seen: &Seen) -> Answer {
        let slot = seen.slot();
        let body = String::from_utf8(seen.body.to_vec()).unwrap();
        let target = seen.parts.uri.path_and_query().unwrap().as_str();
        let words = target.split(['/', '?', '=', '&']).chain(body.split('"'));
        let ids: Vec<&str> = words.filter(|word| is_id(word)).collect();
        for id in &ids {
            if !self.made.lock().unwrap().contains(&(slot, (*id).to_owned())) {
                self.strange.lock().unwrap().push((*id).to_owned());
                return reply(404);
            }
        }
        if !body.is_empty() {
            assert_eq!(values(&seen.parts.headers, "content-length"), [body.len().to_string()]);
        }
        let mut made = self.made.lock().unwrap();
        let number = made.len();
        let id = match seen.parts.uri.path() {
            "/v1/responses" => format!("resp_{number:048x}"),
            "/v1/files" => format!("file-{number:024}"),
            _ => ids.first().map_or("resp_of_a_list", |id| id).to_owned(),
        };
        made.insert((slot, id.clone()));
        let document = format!(r#"{{"object":"x","id":"{id}","echo":[{{"file_id":"{id}"}}]}}"#);
        let (kind, text) = if body.contains("stream") {
            let event = format!("event: x\ndata: {{\"response\":{document}}}\n\n");
            ("text/event-stream", event.repeat(3))
        } else {
            ("application/json; charset=utf-8", document)
        };
        Response::builder().header("content-type", kind).body(text.into()).unwrap()
    }
}

fn is_id(word: &str) -> bool {
    word.starts_with("resp_") || word.starts_with("file-")
}

/// Of an answer, as its client has it: all are the same.
fn id_of(reply: &Reply) -> String {
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    let ids: HashSet<&str> = text.split('"').filter(|word| is_id(word)).collect();
    assert_eq!(ids.len(), 1, "{text}");
    (*ids.iter().next().unwrap()).to_owned()
}

/// Without any cookie or key, while accounts fail and recover.
#[test]
fn no_follow_up_is_lost() {
    let mut random = Random::new("no_follow_up_is_lost");
    for owned in [false, true] {
        let accounts = Arc::new(Accounts::default());
        let generation = generation_of(|config| {
            config.ids.mode = Mode::Seal;
            config.ids.owner = if owned { IdOwner::Consumer } else { IdOwner::None };
        });
        let generation = generation.consumer_header(header("x-consumer"));
        let gateway = gateway(generation, accounts.provider());
        let (mut ids, mut served, mut waited) = (Vec::<(String, u64)>::new(), [0; 3], 0);
        for _ in 0..1500 {
            if random.below(20) == 0 {
                let state = if random.below(3) == 0 { DOWN } else { SlotStatus::UP };
                gateway.layer.current().set_slot(random.below(3) as u32, state).unwrap();
            }
            let stream = if random.below(2) == 0 { r#","stream":true"# } else { "" };
            let which = random.below(ids.len() as u64 + 5) as usize;
            let of = ids.get(which).cloned();
            let (method, target, body) = match (&of, random.below(4)) {
                (None, 0) => ("POST", "/v1/files".to_owned(), format!(r#"{{"x":1{stream}}}"#)),
                (None, _) => ("POST", "/v1/responses".to_owned(), format!(r#"{{"x":1{stream}}}"#)),
                (Some((id, _)), 0) => ("GET", format!("/v1/responses/{id}"), String::new()),
                (Some((id, _)), 1) => ("GET", format!("/v1/files?after={id}"), String::new()),
                (Some((id, _)), 2) => {
                    let input = r#"[{"role":"user","content":"resp and file, and \u00e4"}]"#;
                    let body =
                        format!(r#"{{"input":{input},"previous_response_id":"{id}"{stream}}}"#);
                    ("POST", "/v1/responses".to_owned(), body)
                }
                (Some((id, _)), _) => {
                    let body = format!(r#"{{"tools":[{{"file_ids":["{id}"]}}]{stream}}}"#);
                    ("POST", "/v1/responses".to_owned(), body)
                }
            };
            let consumer = of.as_ref().map_or(random.below(12), |(_, consumer)| *consumer);
            let request = Request::builder()
                .method(method)
                .uri(&target)
                .header("x-consumer", if owned { format!("c{consumer}") } else { String::new() });
            let reply = gateway.send(request.body(Pieces::random(&body, &mut random)).unwrap());
            let status = reply.status().as_u16();
            let named = of.as_ref().map(|(id, _)| slot_of(&gateway, id, owned.then_some(consumer)));
            let down = named.is_some_and(|slot| gateway.slot(slot) != SlotStatus::UP);
            let all_down = (0..3).all(|slot| gateway.slot(slot) != SlotStatus::UP);
            if down || all_down {
                assert_eq!(status, 503, "{target} {body}");
                waited += u32::from(named.is_some());
                continue;
            }
            assert_eq!(status, 200, "{target} {body} {:?}", reply.body);
            assert_eq!(reply.values("content-length"), [""; 0], "it is another one");
            let decision = reply.decision();
            if let Some(slot) = named {
                assert_eq!((decision.slot, decision.source), (Some(slot), Source::Id));
                served[slot as usize] += 1;
            }
            let id = id_of(&reply);
            let slot = slot_of(&gateway, &id, owned.then_some(consumer));
            assert_eq!(Some(slot), decision.slot, "it says where it lives");
            // A conversation continues from its last answer.
            if let Some(last) = ids.get_mut(which) {
                last.0 = id;
                continue;
            }
            if ids.len() == 30 {
                ids.swap_remove(random.below(30) as usize);
            }
            ids.push((id, consumer));
        }
        assert_eq!(*accounts.strange.lock().unwrap(), [""; 0]);
        assert!(served.iter().all(|count| *count > 20) && waited > 20, "{served:?} {waited}");
    }
}

/// An id that one gateway has sealed is native to the one in front of it.
#[test]
fn two_gateways_in_a_row_lose_nothing() {
    let mut random = Random::new("two_gateways_in_a_row_lose_nothing");
    let accounts = Arc::new(Accounts::default());
    let behind = PinLayer::new(in_mode(Mode::Seal)).unwrap();
    let scope = |config: &mut tokenpin_tower::tokenpin::Config<'_>| {
        config.ids.mode = Mode::Strict;
        config.scope = b"in front";
    };
    let front = PinLayer::new(generation_of(scope)).unwrap();
    let provider = accounts.provider();
    let send = |method: &str, target: &str, body: Pieces| {
        let service = front.layer(behind.layer(provider.clone()));
        let request = Request::builder().method(method).uri(target).body(body).unwrap();
        block_on(async {
            let (parts, body) = service.oneshot(request).await.unwrap().into_parts();
            Reply { parts, body: body.collect().await.unwrap().to_bytes() }
        })
    };
    for _ in 0..100 {
        let mut id = id_of(&send("POST", "/v1/responses", Pieces::random("{}", &mut random)));
        for _ in 0..3 {
            let body = format!(r#"{{"previous_response_id":"{id}","stream":true}}"#);
            let reply = send("POST", "/v1/responses", Pieces::random(&body, &mut random));
            assert_eq!(reply.status(), StatusCode::OK);
            let read = send("GET", &format!("/v1/responses/{id}"), Pieces::default());
            assert_eq!((read.status(), id_of(&read)), (StatusCode::OK, id));
            id = id_of(&reply);
        }
    }
    assert_eq!(*accounts.strange.lock().unwrap(), [""; 0]);
    let used: HashSet<u32> = accounts.made.lock().unwrap().iter().map(|(slot, _)| *slot).collect();
    assert_eq!(used.len(), 3);
}

fn slot_of(gateway: &Gateway, id: &str, consumer: Option<u64>) -> u32 {
    let current = gateway.layer.current();
    let owner = consumer.map_or(String::new(), |consumer| format!("c{consumer}"));
    let rules = current.affinity().id_rules(b"", owner.as_bytes(), None).unwrap();
    let pin = rules.sealer.open(id.as_bytes()).1.expect("a sealed id").pin;
    (0..3).find(|slot| current.affinity().pin(*slot) == Some(pin)).unwrap()
}

/// An id that was sealed for one consumer is nothing to another one.
#[test]
fn ids_belong_to_their_consumers_if_they_are_told_to() {
    for owned in [false, true] {
        let accounts = Arc::new(Accounts::default());
        let generation = generation_of(|config| {
            config.ids.mode = Mode::Seal;
            config.ids.owner = if owned { IdOwner::Consumer } else { IdOwner::None };
        });
        let gateway =
            gateway(generation.consumer_header(header("x-consumer")), accounts.provider());
        let id = id_of(&gateway.send(with(post("/v1/responses"), [("x-consumer", "alice")])));
        for (consumer, status) in [("alice", 200), ("bob", if owned { 404 } else { 200 })] {
            let request = get(&format!("/v1/responses/{id}")).header("x-consumer", consumer);
            assert_eq!(gateway.send(empty(request)).status().as_u16(), status, "{consumer}");
        }
    }
}

/// A request that names everything there is to name: as the provider knows it, and as a client of
/// this account sends it.
fn request_of(gateway: &Gateway, slot: u32) -> (String, String) {
    let written = concat!(
        r#"{"model":"m","input":[{"type":"item_reference","id":"<msg_0123>"},"#,
        r#"{"role":"user","content":"say \"<resp_1>\" \u00e4"},"#,
        r#"{"type":"reasoning","encrypted_content":"gAAAAABoQUJD","summary":[]}],"#,
        r#""tools":[{"container":{"file_ids":["<file-1>","<file-2>"]}}],"#,
        r#""previous_response_id":"<resp_4142>","call_id":"resp_4142","metadata":{"file_id":"file-1"}}"#
    );
    let mut sealed = String::new();
    for (i, part) in written.split(['<', '>']).enumerate() {
        let is_text = part == "resp_1";
        sealed.push_str(&if i % 2 == 1 && !is_text {
            gateway.seal(slot, part)
        } else {
            part.into()
        });
    }
    let current = gateway.layer.current();
    let rules = current.affinity().id_rules(b"", b"", None).unwrap();
    let mark = rules.sealer.mark(b"gAAAAABoQUJD", current.affinity().pin(slot).unwrap()).unwrap();
    let marked = format!("gAAAAABoQUJD{}", String::from_utf8(mark.to_vec()).unwrap());
    (written.replace(['<', '>'], ""), sealed.replace("gAAAAABoQUJD", &marked))
}

#[test]
fn bodies_are_opened_wherever_they_are_cut() {
    let gateway = gateway(in_mode(Mode::Strict), Provider::ok());
    for slot in 0..3 {
        let (native, sealed) = request_of(&gateway, slot);
        let cuts = (0..=sealed.len()).map(|at| vec![at]);
        let every = (1..sealed.len()).collect();
        for (i, places) in cuts.chain([vec![], every]).enumerate() {
            let body = Pieces { knows: i % 2 == 0, ..Pieces::cut(&sealed, &places) };
            let request = post("/v1/responses").header("content-md5", "x").header("digest", "y");
            let request = request.header("expect", "100-continue");
            let (reply, seen) = gateway.pass(request.body(body).unwrap());
            assert_eq!((reply.status(), &*seen.body), (StatusCode::OK, native.as_bytes()));
            assert_eq!((seen.slot(), seen.length), (slot, Some(native.len() as u64)));
            let fields = ["content-length", "content-md5", "digest", "expect"];
            let fields = fields.map(|name| values(&seen.parts.headers, name).join("|"));
            assert_eq!(fields, [&*native.len().to_string(), "", "", ""]);
            assert_eq!(reply.decision().source, Source::Id);
        }
    }
}

/// In the mode off nothing is refused for its body, not even one that says that it is too long.
#[test]
fn off_a_body_that_is_too_long_passes_announced_or_not() {
    for knows in [false, true] {
        for length in [100, 101, 5000] {
            let gateway = gateway(in_mode(Mode::Off).max_body(100), Provider::ok());
            let text = format!("{{\"input\":\"{}\"}}", "x".repeat(length - 12));
            let pieces = Pieces { knows, ..Pieces::cut(&text, &[10, 99, 100]) };
            let mut request = post("/v1/responses");
            if knows {
                request = request.header("content-length", length);
            }
            let (reply, seen) = gateway.pass(request.body(pieces).unwrap());
            assert_eq!(reply.status().as_u16(), 200, "{knows} {length}");
            assert_eq!(seen.body, text);
        }
    }
}

/// A body without sealed ids is sent on unchanged, of any kind.
#[test]
fn bodies_that_change_nothing_pass_as_they_are() {
    let mut random = Random::new("bodies_that_change_nothing_pass_as_they_are");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-trailer", "1".parse().unwrap());
    trailers.insert("x-api-key", "the client's".parse().unwrap());
    for mode in [Mode::Off, Mode::Open, Mode::Seal] {
        let gateway = gateway(in_mode(mode), Provider::ok());
        for text in [
            "",
            "{}",
            "{\"previous_response_id\":\"resp_1\"}",
            "no JSON \"",
            "\"\\u0",
            "data: {\"id",
        ] {
            for with_trailers in [false, true] {
                let body = Pieces::random(text, &mut random);
                let body = Pieces { trailers: with_trailers.then(|| trailers.clone()), ..body };
                let knows = body.knows;
                let mut request = post("/v1/responses").header("content-md5", "x");
                if !with_trailers {
                    request = request.header("transfer-encoding", "chunked");
                }
                let (_, seen) = gateway.pass(request.body(body).unwrap());
                assert_eq!(seen.body, text, "{mode:?}");
                assert_eq!(values(&seen.parts.headers, "content-md5"), ["x"]);
                // An empty body that says so is not waited for.
                let read = !(knows && text.is_empty() && !with_trailers);
                let chunked = values(&seen.parts.headers, "transfer-encoding").len();
                assert_eq!(chunked, usize::from(!read && !with_trailers));
                let length = values(&seen.parts.headers, "content-length");
                let has_length = read && !with_trailers;
                assert_eq!(length, vec![text.len().to_string(); usize::from(has_length)]);
                let left =
                    seen.trailers.as_ref().map(|it| (it.len(), it.contains_key("x-trailer")));
                assert_eq!(left, with_trailers.then_some((1, true)), "without credentials");
            }
        }
    }
}

/// A body of another type, or on another path, is not read: it passes before it has ended.
#[test]
fn what_has_no_ids_is_not_held() {
    let json = "application/json";
    for (mode, target, kind, encoding) in [
        (Mode::Seal, "/v1/embeddings", json, ""),
        (Mode::Strict, "/v1/embeddings", "text/plain", "gzip"),
        (Mode::Seal, "/v1/files", "multipart/form-data; boundary=x", ""),
        (Mode::Strict, "/v1/files", "Multipart/Form-Data; boundary=x", ""),
        (Mode::Strict, "/v1/uploads/upload_1/parts", "multipart/form-data", "gzip"),
        (Mode::Seal, "/v1/responses", "application/octet-stream", "gzip"),
        (Mode::Open, "/v1/responses", json, "gzip"),
        (Mode::Off, "/v1/responses", json, "br"),
    ] {
        // The plain id in the path of the strict one is refused for itself.
        let target =
            target.replace("upload_1", &gateway(in_mode(mode), Provider::ok()).seal(0, "upload_1"));
        let request =
            post(&target).header("content-type", kind).header("content-encoding", encoding);
        passes_unread(in_mode(mode), request.body(()).unwrap());
    }
    let request = post("/v1/responses").header("content-type", json);
    passes_unread(generation().without_bodies(), request.body(()).unwrap());
    let request = post("/v1/responses").header("content-type", json);
    passes_unread(
        in_mode(Mode::Seal).sealed_ids(|_| Mode::Off).without_bodies(),
        request.body(()).unwrap(),
    );
}

/// The provider gets the head and the first piece before the second one is there.
fn passes_unread(generation: Generation, request: Request<()>) {
    let what = format!("{request:?}");
    block_on(async {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
        let (told, mut tell) = tokio::sync::mpsc::channel::<Bytes>(1);
        let provider = service_fn(move |request: Request<RequestBody<Channel>>| {
            let told = told.clone();
            async move {
                let mut body = request.into_body();
                while let Some(Ok(frame)) = body.frame().await {
                    told.send(frame.into_data().unwrap()).await.unwrap();
                }
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        });
        let service = PinLayer::new(generation).unwrap().layer(provider);
        let call = tokio::spawn(service.oneshot(request.map(|()| Channel(receiver))));
        for piece in ["{\"previous_response_id\":\"resp_", "1\"}"] {
            sender.send(piece.into()).await.unwrap();
            assert_eq!(tell.recv().await.as_deref(), Some(piece.as_bytes()), "{what}");
        }
        drop(sender);
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    });
}

/// A request for old state goes nowhere else while its account is down, and takes no session along,
/// also where ids are only read.
#[test]
fn a_body_that_names_state_moves_no_session() {
    for (generation, reads) in [(generation(), true), (generation().without_bodies(), false)] {
        let gateway = gateway(generation, Provider::ok());
        let first = gateway.send(empty(post("/v1/responses")));
        let (home, cookie) = (first.decision().slot.unwrap(), first.cookie().unwrap());
        gateway.layer.current().set_slot(home, DOWN).unwrap();
        for text in [
            r#"{"previous_response_id":"resp_1"}"#,
            r#"{"conversation":{"id":"conv_1"}}"#,
            r#"{"input":[{"content":[{"type":"input_file","file_id":"file-1"}]}]}"#,
        ] {
            let request = || {
                let request = post("/v1/responses").header("cookie", &*cookie);
                request.body(Pieces::cut(text, &[5])).unwrap()
            };
            let reply = gateway.send(request());
            let status = if reads { 503 } else { 200 };
            assert_eq!(reply.status().as_u16(), status, "{text}");
            assert_eq!(reply.cookie().is_none(), reads, "{text}");
        }
        // A request that names none is served elsewhere, and moves it.
        let request = post("/v1/responses").header("cookie", &*cookie);
        let reply = gateway.send(request.body(Pieces::cut("{}", &[])).unwrap());
        assert_eq!((reply.status().as_u16(), reply.cookie().is_some()), (200, true));
        gateway.layer.current().set_slot(home, SlotStatus::UP).unwrap();
    }
}

/// A body too large to be held passes where no ids are refused: all of it, and its trailers.
#[test]
fn what_is_too_much_passes_where_ids_are_only_read() {
    let mut random = Random::new("what_is_too_much_passes_where_ids_are_only_read");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-trailer", "1".parse().unwrap());
    let mut passed = 0;
    for round in 0..600 {
        let limit = 1 + random.below(80) as usize;
        let generation = if round % 2 == 0 {
            generation().max_body(limit)
        } else {
            generation().max_held(limit)
        };
        let gateway = gateway(generation.retry(tokenpin_tower::Retry::default()), Provider::ok());
        let text =
            format!(r#"{{"file_id":"file-1","a":"{}"}}"#, "x".repeat(random.below(60) as usize));
        let with_trailers = random.below(2) == 0;
        let body = Pieces::random(&text, &mut random);
        let body = Pieces { trailers: with_trailers.then(|| trailers.clone()), ..body };
        let knows = body.knows;
        let reply = gateway.send(post("/v1/responses").body(body).unwrap());
        let seen = gateway.provider.take().pop().unwrap_or_else(|| panic!("{:?}", reply.body));
        assert_eq!(seen.body, text, "{limit}");
        assert_eq!(seen.trailers.is_some(), with_trailers);
        let whole = text.len() <= limit;
        assert_eq!(seen.length, (knows || whole).then_some(text.len() as u64));
        assert!(reply.decision().existing || !whole);
        passed += u32::from(!whole);
    }
    assert!((100..500).contains(&passed), "{passed}");
}

/// The room that one request held is free for the next ones after any end.
#[test]
fn what_is_held_is_given_back() {
    let provider = Provider::new(|seen| reply(if seen.body.len() % 3 == 0 { 429 } else { 200 }));
    let generation = in_mode(Mode::Seal).max_held(1000).max_body(900);
    let gateway = gateway(generation.retry(tokenpin_tower::Retry::default()), provider);
    let (mut served, mut refused) = (0, 0);
    for length in (0..2000).chain([5000, 900, 100_000, 899]) {
        let text = "1".repeat(length);
        let request = post("/v1/responses").body(Pieces::cut(&text, &[length / 2])).unwrap();
        let status = gateway.send(request).status().as_u16();
        // Who keeps a body holds it.
        gateway.provider.take();
        match status {
            200 | 429 => served += 1,
            413 => refused += 1,
            status => panic!("{status} for {length}"),
        }
    }
    assert_eq!((served, refused), (903, 1101));
    // And of those that are under way at the same time, so much is held and no more.
    let layer = gateway.layer.clone();
    block_on(async {
        let start = |sends: usize| {
            let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(2);
            sender.try_send("1".repeat(sends).into()).unwrap();
            let request = post("/v1/responses").body(Channel(receiver)).unwrap();
            let call = tokio::spawn(layer.layer(gateway.provider.clone()).oneshot(request));
            (sender, call)
        };
        let wait = || tokio::time::sleep(std::time::Duration::from_millis(50));
        let first = start(600);
        wait().await;
        // The room for a body that is refused is free immediately.
        let second = start(100);
        second.0.send("1".repeat(301).into()).await.unwrap();
        wait().await;
        let third = start(400);
        wait().await;
        drop(second.0);
        assert_eq!(second.1.await.unwrap().unwrap().status().as_u16(), 503);
        drop((first.0, third.0));
        assert_eq!(third.1.await.unwrap().unwrap().status().as_u16(), 200);
        assert_ne!(first.1.await.unwrap().unwrap().status().as_u16(), 503);
        gateway.provider.take();
        // A client that goes away gives back what it had sent.
        let gone = start(900);
        wait().await;
        gone.1.abort();
        wait().await;
        let last = start(800);
        drop(last.0);
        assert_eq!(last.1.await.unwrap().unwrap().status().as_u16(), 200);
    });
}

/// A client that is refused may send on, so that it reads the answer, up to a limit.
#[test]
fn who_is_refused_sends_no_more_than_twice_the_limit() {
    let layer = PinLayer::new(in_mode(Mode::Seal).max_body(100)).unwrap();
    block_on(async {
        for first in [101, 150] {
            let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
            let request = post("/v1/responses").body(Channel(receiver)).unwrap();
            let call = tokio::spawn(layer.layer(Provider::ok()).oneshot(request));
            for length in [first, 60, 40] {
                sender.send("x".repeat(length).into()).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                assert!(!call.is_finished(), "{first} {length}");
            }
            sender.send("x".into()).await.unwrap();
            assert_eq!(call.await.unwrap().unwrap().status().as_u16(), 413);
        }
    });
}

/// The service that was asked whether it is ready is the one that is called, also when a body was
/// read meanwhile.
#[test]
fn the_ready_service_is_called() {
    // With one place, which the ready service has.
    let provider = tower::limit::ConcurrencyLimit::new(Provider::ok(), 1);
    let layer = PinLayer::new(in_mode(Mode::Seal)).unwrap();
    block_on(async {
        let mut service = layer.layer(provider);
        for _ in 0..3 {
            let body = Pieces::cut("{}", &[1]);
            let request = post("/v1/responses").body(body).unwrap();
            let response = ServiceExt::<Request<Pieces>>::ready(&mut service).await.unwrap();
            let response = tower::Service::call(response, request);
            let patience = std::time::Duration::from_secs(10);
            let response = tokio::time::timeout(patience, response).await;
            assert_eq!(response.expect("it does not wait for itself").unwrap().status(), 200);
        }
    });
}
