//! The example's proxy, with real connections on both sides, in front of accounts that keep their
//! own state.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]

#[path = "../examples/axum.rs"]
#[allow(dead_code)]
mod example;

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokenpin_tower::PinLayer;
use tokenpin_tower::tokenpin::ids::Mode;
use tokenpin_tower::tokenpin::{Secret, SlotStatus, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const ACCOUNTS: [(&str, &str); 3] = [("alpha", "sk-a"), ("bravo", "sk-b"), ("charlie", "sk-c")];

fn run<F: Future>(future: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime
        .unwrap()
        .block_on(async { tokio::time::timeout(Duration::from_secs(60), future).await.unwrap() })
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    address
}

/// A provider. What one account made, another one does not know.
#[derive(Default)]
struct Provider {
    made: Mutex<HashMap<String, String>>,
    count: AtomicUsize,
    not_found: AtomicUsize,
    /// The errors of requests: a cookie of ours, or an unknown token.
    faults: Mutex<Vec<String>>,
    /// Tokens that are refused with a status.
    refused: Mutex<HashMap<String, u16>>,
}

impl Provider {
    async fn answer(self: Arc<Self>, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let text = |name: &str| {
            parts.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        let token = text("authorization").replace("Bearer ", "");
        let known = ACCOUNTS.iter().any(|(_, each)| *each == token);
        if !known || text("cookie").contains("tokenpin") || parts.headers.contains_key("x-affinity")
        {
            self.faults.lock().unwrap().push(format!("{parts:?}"));
        }
        let body = body.collect().await.unwrap().to_bytes();
        let answer = Response::builder().header("x-token", &token);
        if let Some(status) = self.refused.lock().unwrap().get(&token) {
            return answer
                .status(*status)
                .header("retry-after", "50")
                .body(Body::from("refused"))
                .unwrap();
        }
        let path = parts.uri.path();
        if let Some(id) = path.strip_prefix("/v1/responses/") {
            let found = self.made.lock().unwrap().get(id) == Some(&token);
            if !found {
                self.not_found.fetch_add(1, Ordering::Relaxed);
                return answer.status(404).body(Body::empty()).unwrap();
            }
        }
        if parts.method == "POST" && path == "/v1/responses" {
            let id = format!("resp_{}", self.count.fetch_add(1, Ordering::Relaxed));
            self.made.lock().unwrap().insert(id.clone(), token);
            return answer.header("set-cookie", "theirs=1").body(Body::from(id)).unwrap();
        }
        answer.body(Body::from(body)).unwrap()
    }

    fn check(&self) {
        assert_eq!(*self.faults.lock().unwrap(), [""; 0]);
        assert_eq!(self.not_found.load(Ordering::Relaxed), 0);
    }
}

struct World {
    provider: Arc<Provider>,
    layer: PinLayer,
    address: SocketAddr,
}

fn generation(accounts: &[(&str, &str)]) -> tokenpin_tower::Generation {
    let settings = example::Settings {
        placement: Secret::new([1; 16]),
        cookie: Secret::new([2; 16]),
        sealed_ids: Mode::Off,
    };
    example::generation(&settings, accounts).unwrap()
}

async fn world() -> World {
    world_of(generation(&ACCOUNTS)).await
}

async fn world_of(generation: tokenpin_tower::Generation) -> World {
    let provider = Arc::new(Provider::default());
    let answers = Arc::clone(&provider);
    let upstream =
        serve(Router::new().fallback(move |request| Arc::clone(&answers).answer(request))).await;
    let layer = PinLayer::new(generation).unwrap();
    let authority = upstream.to_string().parse().unwrap();
    let address = serve(example::router(layer.clone(), authority)).await;
    World { provider, layer, address }
}

/// A client that may keep a jar.
struct Session {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    cookie: Option<String>,
    fields: HeaderMap,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    fn token(&self) -> &str {
        self.headers["x-token"].to_str().unwrap()
    }
}

impl Session {
    fn new(world: &World) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, address: world.address, cookie: None, fields: HeaderMap::new() }
    }

    async fn send(&mut self, method: &str, path: &str, body: &str) -> Reply {
        let uri = format!("http://{}{path}", self.address);
        let mut request = Request::builder().method(method).uri(uri);
        *request.headers_mut().unwrap() = self.fields.clone();
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let (parts, body) = self.client.request(request).await.unwrap().into_parts();
        for line in parts.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            if line.starts_with("tokenpin=") {
                self.cookie = line.split(';').next().map(str::to_owned);
            }
        }
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap();
        Reply { status: parts.status, headers: parts.headers, body }
    }
}

#[test]
fn sessions_find_what_they_made() {
    run(async {
        let world = world().await;
        let mut tokens = HashMap::new();
        for i in 0..30 {
            let mut session = Session::new(&world);
            match i % 3 {
                0 => {}
                1 => drop(
                    session.fields.insert("x-consumer", format!("consumer {i}").parse().unwrap()),
                ),
                _ => drop(session.fields.insert("x-affinity", "".parse().unwrap())),
            }
            let made = session.send("POST", "/v1/responses", "{}").await;
            assert_eq!(made.status, StatusCode::OK);
            assert_eq!(made.headers.get_all("set-cookie").iter().next().unwrap(), "theirs=1");
            assert_eq!(session.cookie.is_some(), i % 3 == 0);
            if let Some(value) = made.headers.get("x-affinity") {
                session.fields.insert("x-affinity", value.clone());
            }
            *tokens.entry(made.token().to_owned()).or_insert(0) += 1;
            for _ in 0..3 {
                let found = session.send("GET", &format!("/v1/responses/{}", made.body), "").await;
                assert_eq!((found.status, found.token()), (StatusCode::OK, made.token()));
                let next = session.send("POST", "/v1/responses", "{}").await;
                assert_eq!(next.token(), made.token());
            }
        }
        assert_eq!(tokens.len(), 3, "all accounts were used: {tokens:?}");
        world.provider.check();
    });
}

#[test]
fn a_limited_account_cools_down_and_others_serve() {
    run(async {
        let world = world().await;
        world.provider.refused.lock().unwrap().insert("sk-b".into(), 429);
        // A request that names nothing is served by the others, whole, at every try.
        for i in 0..30 {
            let body = format!("{i}").repeat(5000);
            let mut session = Session::new(&world);
            let reply = session.send("POST", "/v1/embeddings", &body).await;
            assert_eq!((reply.status, reply.body), (StatusCode::OK, body));
        }
        let status = world.layer.current().affinity().get_slot(1).unwrap();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        assert_eq!(status.state, State::Draining);
        assert!((now + 30..=now + 50).contains(&status.until), "{status:?} at {now}");
        for _ in 0..20 {
            let made = Session::new(&world).send("POST", "/v1/responses", "{}").await;
            assert_ne!(made.token(), "sk-b");
        }
        // A refused credential does the same.
        world.provider.refused.lock().unwrap().insert("sk-a".into(), 401);
        while world.layer.current().affinity().get_slot(0) == Ok(SlotStatus::UP) {
            let reply = Session::new(&world).send("POST", "/v1/embeddings", "x").await;
            assert_eq!(reply.status, StatusCode::OK);
        }
        assert_eq!(world.layer.current().affinity().get_slot(0).unwrap().state, State::Draining);
        for _ in 0..20 {
            let made = Session::new(&world).send("POST", "/v1/responses", "{}").await;
            assert_eq!(made.token(), "sk-c");
        }
        world.provider.check();
    });
}

#[test]
fn the_session_of_an_account_that_is_down_is_refused_and_comes_back() {
    run(async {
        let world = world().await;
        let mut session = Session::new(&world);
        let made = session.send("POST", "/v1/responses", "{}").await;
        let slot = ACCOUNTS.iter().position(|(_, token)| *token == made.token()).unwrap();
        let slot = u32::try_from(slot).unwrap();
        let until = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() + 1000;
        let down = SlotStatus { state: State::Down, until, ..SlotStatus::UP };
        world.layer.current().set_slot(slot, down).unwrap();
        let path = format!("/v1/responses/{}", made.body);
        let refused = session.send("GET", &path, "").await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.body.contains("\"code\":\"session_unavailable\""), "{}", refused.body);
        let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((990..=1000).contains(&wait));
        world.layer.current().set_slot(slot, SlotStatus::UP).unwrap();
        assert_eq!(session.send("GET", &path, "").await.status, StatusCode::OK);
        world.provider.check();
    });
}

/// Sessions continue on their connections while the accounts are listed in other orders.
#[test]
fn reloads_move_nobody() {
    run(async {
        let world = world().await;
        let sessions: Vec<_> = (0..8)
            .map(|_| {
                let mut session = Session::new(&world);
                tokio::spawn(async move {
                    let made = session.send("POST", "/v1/responses", "{}").await;
                    for _ in 0..150 {
                        let found =
                            session.send("GET", &format!("/v1/responses/{}", made.body), "").await;
                        assert_eq!((found.status, found.token()), (StatusCode::OK, made.token()));
                    }
                })
            })
            .collect();
        let mut accounts = ACCOUNTS.to_vec();
        let mut reloads = 0;
        while !sessions.iter().all(tokio::task::JoinHandle::is_finished) {
            accounts.rotate_left(1);
            world.layer.reload(generation(&accounts)).unwrap();
            reloads += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        println!("{reloads} reloads");
        assert!(reloads > 10, "{reloads}");
        for session in sessions {
            session.await.unwrap();
        }
        world.provider.check();
    });
}

/// A client that sends all before it reads gets its answer; a shorter body arrives whole, in any
/// form.
#[test]
fn bodies_up_to_the_limit_arrive_and_longer_ones_are_answered() {
    run(async {
        let limit = 1 << 20;
        let world =
            world_of(generation(&ACCOUNTS).sealed_ids(|_| Mode::Seal).max_body(limit)).await;
        for (length, status) in [(10, 200), (limit, 200), (limit + 1, 413), (2 * limit, 413)] {
            let body = format!("\"{}\"", "x".repeat(length - 2));
            let mut session = Session::new(&world);
            let reply = session.send("POST", "/v1/vector_stores", &body).await;
            assert_eq!(reply.status.as_u16(), status, "{length}");
            if status == 200 {
                assert_eq!(reply.body, body);
            } else {
                assert!(reply.body.contains("request_too_large"), "{}", reply.body);
            }
            // In chunks, on a connection that sends all before it reads.
            let mut stream = TcpStream::connect(world.address).await.unwrap();
            let head = "POST /v1/vector_stores HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                        transfer-encoding: chunked\r\n\r\n";
            let mut text = head.to_owned();
            for piece in body.as_bytes().chunks(100_000) {
                let piece = std::str::from_utf8(piece).unwrap();
                write!(text, "{:x}\r\n{piece}\r\n", piece.len()).unwrap();
            }
            stream.write_all(format!("{text}0\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{length} {answer:.200}");
        }
        world.provider.check();
    });
}

/// A response whose pieces come when they are sent.
struct Pieces(mpsc::Receiver<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

#[test]
fn responses_stream() {
    run(async {
        let (sender, receiver) = mpsc::channel(1);
        let receiver = Mutex::new(Some(receiver));
        let answer = move || {
            let pieces = Pieces(receiver.lock().unwrap().take().unwrap());
            std::future::ready(Response::new(Body::new(pieces)))
        };
        let answer = Arc::new(answer);
        let upstream = serve(Router::new().fallback(move || answer())).await;
        let layer = PinLayer::new(generation(&ACCOUNTS)).unwrap();
        let address = serve(example::router(layer, upstream.to_string().parse().unwrap())).await;
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::post(format!("http://{address}/v1/responses")).body("{}".into());
        let mut body = client.request(request.unwrap()).await.unwrap().into_body();
        for piece in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
            sender.send(piece.into()).await.unwrap();
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
        }
        drop(sender);
        assert!(body.frame().await.is_none());
    });
}

/// A WebSocket's handshake, and what both sides say behind it. Its cookie leads back to the
/// account.
#[test]
fn websockets_pass() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap();
        // Each connection tells its token, and repeats what it hears.
        let provider = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let head = head(&mut stream).await;
                assert!(head.to_lowercase().contains("connection: upgrade\r\n"), "{head}");
                assert!(!head.contains("tokenpin="), "{head}");
                let token = head.split("Bearer ").nth(1).unwrap().split('\r').next().unwrap();
                let answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                     x-token: {token}\r\nset-cookie: tokenpin=an upstream's\r\n\r\nhello"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
                let mut said = [0; 4];
                stream.read_exact(&mut said).await.unwrap();
                stream.write_all(&said).await.unwrap();
            }
        });
        let layer = PinLayer::new(generation(&ACCOUNTS)).unwrap();
        let address = serve(example::router(layer, upstream.to_string().parse().unwrap())).await;
        for _ in 0..10 {
            let (mut cookie, mut tokens) = (String::new(), vec![]);
            for _ in 0..3 {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let request = format!(
                    "GET /v1/responses HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, Upgrade\r\n\
                     upgrade: websocket\r\n{cookie}\r\n"
                );
                stream.write_all(request.as_bytes()).await.unwrap();
                let head = head(&mut stream).await;
                assert!(head.starts_with("HTTP/1.1 101"), "{head}");
                assert!(!head.contains("an upstream's"), "{head}");
                let field = |name: &str| {
                    let line = head.lines().find(|line| line.starts_with(name))?;
                    Some(line[name.len()..].split(';').next()?.to_owned())
                };
                assert_eq!(field("set-cookie: ").is_some(), cookie.is_empty(), "{head}");
                if let Some(pair) = field("set-cookie: ") {
                    cookie = format!("cookie: {pair}\r\n");
                }
                tokens.push(field("x-token: ").unwrap());
                let mut said = [0; 9];
                stream.read_exact(&mut said[..5]).await.unwrap();
                stream.write_all(b"ping").await.unwrap();
                stream.read_exact(&mut said[5..]).await.unwrap();
                assert_eq!(&said, b"helloping");
            }
            assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
        }
        assert!(!provider.is_finished());
    });
}

/// A head, up to the empty line.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}
