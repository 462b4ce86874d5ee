//! Bodies that pass, and the parts of them that are kept.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};
use tokenpin_test_support::random::Random;
use tokenpin_tower::tokenpin::ids::Mode;
use tokenpin_tower::{PinLayer, RequestBody, Retry};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::stand::{Channel, block_on, generation, in_mode};

#[derive(Clone, Debug)]
enum Step {
    Data(Bytes),
    Trailers,
    Wait,
    Break,
}

/// A body of any shape, that may know its length.
#[derive(Clone)]
struct Odd {
    steps: VecDeque<Step>,
    knows: bool,
}

impl Odd {
    fn left(&self) -> u64 {
        self.steps
            .iter()
            .map(|step| if let Step::Data(data) = step { data.len() as u64 } else { 0 })
            .sum()
    }
}

impl Body for Odd {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(match self.steps.pop_front() {
            None => None,
            Some(Step::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Step::Trailers) => Some(Ok(Frame::trailers(HeaderMap::new()))),
            Some(Step::Break) => Some(Err("broken")),
            Some(Step::Wait) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.knows && self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.knows { SizeHint::with_exact(self.left()) } else { SizeHint::default() }
    }
}

/// Reads a body, until it knows of the end or asks for it.
async fn read(mut body: RequestBody<Odd>, asks: bool) -> (Vec<u8>, bool, bool) {
    let (mut bytes, mut trailers) = (vec![], false);
    while asks || !body.is_end_stream() {
        match body.frame().await {
            None => break,
            Some(Err(_)) => return (bytes, trailers, true),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => bytes.extend_from_slice(&data),
                Err(_) => trailers = true,
            },
        }
    }
    (bytes, trailers, false)
}

/// A body of any kind passes as it is; and the next account gets all of it or is not asked.
#[test]
fn random_bodies_pass_and_are_kept_whole_or_not_at_all() {
    let mut random = Random::new("random_bodies_pass_and_are_kept_whole_or_not_at_all");
    let (mut again, mut not) = (0, 0);
    for _ in 0..2000 {
        let count = random.below(6);
        let steps: VecDeque<Step> = (0..count)
            .map(|_| match random.below(20) {
                0 => Step::Trailers,
                1 => Step::Break,
                2..6 => Step::Wait,
                _ => Step::Data(vec![random.bytes::<1>()[0]; random.below(12) as usize].into()),
            })
            .collect();
        let odd = Odd { steps: steps.clone(), knows: random.below(2) == 0 };
        let limit = random.below(40) as usize;
        let asks = random.below(2) == 0;
        let stops_early = random.below(10) == 0;

        let (tries, bodies) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(vec![])));
        let (counted, read_bodies) = (Arc::clone(&tries), Arc::clone(&bodies));
        let provider = service_fn(move |request: Request<RequestBody<Odd>>| {
            let (tries, bodies) = (Arc::clone(&counted), Arc::clone(&read_bodies));
            async move {
                let first = tries.fetch_add(1, Ordering::Relaxed) == 0;
                let body = request.into_body();
                if !(first && stops_early) {
                    let read = read(body, asks).await;
                    bodies.lock().unwrap().push(read);
                }
                let status = if first { 429 } else { 200 };
                Ok::<_, Infallible>(
                    Response::builder().status(status).body(Empty::<Bytes>::new()).unwrap(),
                )
            }
        });
        let layer =
            PinLayer::new(generation().retry(Retry { body_limit: limit, ..Retry::default() }))
                .unwrap();
        let request = Request::post("/v1/embeddings").body(odd.clone()).unwrap();
        block_on(layer.layer(provider).oneshot(request)).unwrap();

        let bodies = bodies.lock().unwrap();
        let before_break: Vec<Step> =
            steps.iter().take_while(|step| !matches!(step, Step::Break)).cloned().collect();
        let broken = before_break.len() < steps.len();
        let bytes: Vec<u8> = before_break
            .iter()
            .flat_map(|step| if let Step::Data(data) = step { data.to_vec() } else { vec![] })
            .collect();
        let trailers = before_break.iter().any(|step| matches!(step, Step::Trailers));
        if !stops_early {
            assert_eq!(bodies[0], (bytes.clone(), trailers, broken), "{steps:?}");
        }
        // An empty body that says so is whole without being read.
        let whole = !stops_early || odd.is_end_stream();
        let kept = whole && !broken && !trailers && bytes.len() <= limit;
        assert_eq!(tries.load(Ordering::Relaxed), if kept { 2 } else { 1 }, "{steps:?} {limit}");
        if kept {
            assert_eq!(*bodies.last().unwrap(), (bytes, false, false));
            again += 1;
        } else {
            not += 1;
        }
    }
    assert!(again > 300 && not > 300, "{again} {not}");
}

/// A body that is read for its ids arrives whole, of any kind; one that breaks off reaches no
/// account.
#[test]
fn random_bodies_are_read_whole_or_refused() {
    let mut random = Random::new("random_bodies_are_read_whole_or_refused");
    let mut broken = 0;
    for _ in 0..2000 {
        let has_trailers = random.below(4) == 0;
        let steps: VecDeque<Step> = (0..random.below(6))
            .map(|_| match random.below(20) {
                0 => Step::Break,
                1..6 => Step::Wait,
                _ => Step::Data(vec![random.bytes::<1>()[0]; random.below(12) as usize].into()),
            })
            .chain(has_trailers.then_some(Step::Trailers))
            .collect();
        let odd = Odd { steps: steps.clone(), knows: random.below(2) == 0 };
        let read_bodies = Arc::new(Mutex::new(vec![]));
        let bodies = Arc::clone(&read_bodies);
        let asks = random.below(2) == 0;
        let provider = service_fn(move |request: Request<RequestBody<Odd>>| {
            let bodies = Arc::clone(&bodies);
            async move {
                let read = read(request.into_body(), asks).await;
                bodies.lock().unwrap().push(read);
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let layer = PinLayer::new(in_mode(Mode::Seal)).unwrap();
        let request = Request::post("/v1/responses").body(odd).unwrap();
        let status = block_on(layer.layer(provider).oneshot(request)).unwrap().status();
        let bytes = |step: &Step| if let Step::Data(data) = step { data.to_vec() } else { vec![] };
        let breaks = steps.iter().any(|step| matches!(step, Step::Break));
        let trailers = steps.iter().any(|step| matches!(step, Step::Trailers));
        let bodies = read_bodies.lock().unwrap();
        if breaks {
            assert_eq!((status.as_u16(), bodies.len()), (400, 0), "{steps:?}");
            broken += 1;
        } else {
            let bytes = steps.iter().flat_map(bytes).collect();
            assert_eq!((status.as_u16(), &bodies[..]), (200, &[(bytes, trailers, false)][..]));
        }
    }
    assert!((100..1000).contains(&broken), "{broken}");
}

/// The inner service gets a body's frames as they come, and its length.
#[test]
fn bodies_are_not_held_back() {
    for retry in [false, true] {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
        // The provider answers each piece before the next one is sent.
        let provider = service_fn(|request: Request<RequestBody<Channel>>| async move {
            Ok::<_, Infallible>(Response::new(request.into_body()))
        });
        let generation = if retry { generation().retry(Retry::default()) } else { generation() };
        let layer = PinLayer::new(generation).unwrap();
        block_on(async {
            let request = Request::post("/v1/embeddings").body(Channel(receiver)).unwrap();
            let mut response = layer.layer(provider).oneshot(request).await.unwrap().into_body();
            for piece in ["one", "two", "three"] {
                sender.send(piece.into()).await.unwrap();
                let frame = response.frame().await.unwrap().unwrap();
                assert_eq!(frame.into_data().unwrap(), piece);
            }
            drop(sender);
            assert!(response.frame().await.is_none());
        });
    }
}

#[test]
fn lengths_are_known_as_before() {
    for retry in [None, Some(Retry::default())] {
        let generation = match retry {
            Some(retry) => generation().retry(retry),
            None => generation(),
        };
        let tries = Arc::new(AtomicUsize::new(0));
        let provider = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
            let first = tries.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                let body = request.into_body();
                assert_eq!(body.size_hint().exact(), Some(5));
                assert!(!body.is_end_stream());
                assert_eq!(body.collect().await.unwrap().to_bytes(), "12345");
                let response = Response::new(Full::<Bytes>::from("1234567"));
                let (mut parts, body) = response.into_parts();
                parts.status = http::StatusCode::from_u16(if first { 429 } else { 200 }).unwrap();
                Ok::<_, Infallible>(Response::from_parts(parts, body))
            }
        });
        let request = Request::post("/v1/embeddings").body(Full::<Bytes>::from("12345")).unwrap();
        let layer = PinLayer::new(generation).unwrap();
        let response = block_on(layer.layer(provider).oneshot(request)).unwrap();
        assert_eq!(response.body().size_hint().exact(), Some(7));
    }
}

/// A client may then send no body at all.
#[test]
fn an_empty_body_says_so() {
    let provider = service_fn(|request: Request<RequestBody<Empty<Bytes>>>| async move {
        let body = request.into_body();
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        Ok::<_, Infallible>(Response::builder().status(429).body(body).unwrap())
    });
    for generation in [generation(), generation().retry(Retry::default())] {
        let request = Request::get("/v1/models").body(Empty::<Bytes>::new()).unwrap();
        let layer = PinLayer::new(generation).unwrap();
        block_on(layer.layer(provider).oneshot(request)).unwrap();
    }
}

/// Only where a request may move is there something to keep: the body, and the service to call
/// again.
#[test]
fn nothing_is_kept_for_what_has_to_stay() {
    struct Counted(Arc<AtomicUsize>);
    impl Clone for Counted {
        fn clone(&self) -> Self {
            self.0.fetch_add(1, Ordering::Relaxed);
            Self(Arc::clone(&self.0))
        }
    }
    impl Service<Request<RequestBody<Empty<Bytes>>>> for Counted {
        type Response = Response<Empty<Bytes>>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Self::Response, Infallible>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request<RequestBody<Empty<Bytes>>>) -> Self::Future {
            std::future::ready(Ok(Response::default()))
        }
    }
    for (retry, target, expected) in [
        (true, "/v1/embeddings", 1),
        (true, "/v1/responses", 0),
        (true, "/v1/responses/1", 0),
        (false, "/v1/embeddings", 0),
    ] {
        let generation = if retry { generation().retry(Retry::default()) } else { generation() };
        let clones = Arc::new(AtomicUsize::new(0));
        let service = PinLayer::new(generation).unwrap().layer(Counted(Arc::clone(&clones)));
        let request = Request::post(target).body(Empty::<Bytes>::new()).unwrap();
        block_on(service.oneshot(request)).unwrap();
        assert_eq!(clones.load(Ordering::Relaxed), expected, "{retry} {target}");
    }
}

#[test]
fn errors_and_readiness_are_the_inner_services() {
    #[derive(Clone)]
    struct Failing {
        ready: usize,
    }
    impl Service<Request<RequestBody<Empty<Bytes>>>> for Failing {
        type Response = Response<Empty<Bytes>>;
        type Error = &'static str;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            self.ready += 1;
            if self.ready > 1 { Poll::Ready(Err("not ready")) } else { Poll::Ready(Ok(())) }
        }
        fn call(&mut self, request: Request<RequestBody<Empty<Bytes>>>) -> Self::Future {
            std::future::ready(if request.uri().path() == "/v1/embeddings" {
                Ok(Response::builder().status(429).body(Empty::new()).unwrap())
            } else {
                Err("no connection")
            })
        }
    }
    let layer = PinLayer::new(generation().retry(Retry::default())).unwrap();
    let request = |target| Request::post(target).body(Empty::<Bytes>::new()).unwrap();
    let fails =
        |target| block_on(layer.layer(Failing { ready: 0 }).oneshot(request(target))).unwrap_err();
    assert_eq!(fails("/v1/responses"), "no connection");
    assert_eq!(fails("/v1/embeddings"), "not ready", "before the second try");
    assert_eq!(
        block_on(layer.layer(Failing { ready: 1 }).oneshot(request("/v1/responses"))).unwrap_err(),
        "not ready"
    );
}
