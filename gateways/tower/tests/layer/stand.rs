//! A layer around a provider that is a function, and requests to it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName};
use http::request::{Builder, Parts};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokenpin_test_support::random::Random;
use tokenpin_tower::tokenpin::ids::Mode;
use tokenpin_tower::tokenpin::{
    Config, CookieKey, Decision, OwnedAffinity, Role, Secret, Slot, SlotStatus, State,
};
use tokenpin_tower::{Cooldown, Generation, PinLayer, RequestBody, SlotHeaders};
use tower::{Layer, Service, ServiceExt};

pub const COOKIE: &str = "__Host-tokenpin";
pub const TOKENS: [&str; 3] = ["sk-a", "sk-b", "sk-c"];
/// Cooldowns that take an account down for 300 seconds at these statuses, before the default ones.
pub fn taking_down(statuses: &[u16]) -> Vec<Cooldown> {
    let statuses = statuses.iter().map(|status| StatusCode::from_u16(*status).unwrap()).collect();
    let down = Cooldown { statuses, state: State::Down, seconds: 300, retry_after: None };
    [vec![down], Cooldown::defaults()].concat()
}

pub const DOWN: SlotStatus = SlotStatus { state: State::Down, ..SlotStatus::UP };

pub fn affinity(change: impl FnOnce(&mut Config<'_>)) -> OwnedAffinity {
    let keys = [CookieKey { id: 1, role: Role::Sign, secret: Secret::new(*b"a cookie secret!") }];
    let mut config = Config::new(Secret::new(*b"a placement key!"), &keys);
    change(&mut config);
    let slots = TOKENS.iter().map(|token| Slot::new(token.as_bytes(), SlotStatus::UP).unwrap());
    OwnedAffinity::new(&config, slots.collect()).unwrap()
}

pub fn generation() -> Generation {
    generation_of(|_| {})
}

pub fn generation_of(change: impl FnOnce(&mut Config<'_>)) -> Generation {
    Generation::new(affinity(change), SlotHeaders::bearer(TOKENS).unwrap())
}

/// One that does this with ids.
pub fn in_mode(mode: Mode) -> Generation {
    generation_of(|config| config.ids.mode = mode)
}

pub const MODES: [Mode; 4] = [Mode::Off, Mode::Open, Mode::Seal, Mode::Strict];

/// A request that the provider got.
#[derive(Clone)]
pub struct Seen {
    pub parts: Parts,
    /// The size hint of the body.
    pub length: Option<u64>,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Seen {
    pub fn slot(&self) -> u32 {
        let header = self.parts.headers.get(AUTHORIZATION).expect("a credential");
        let token = header.to_str().unwrap().strip_prefix("Bearer ").unwrap();
        u32::try_from(TOKENS.iter().position(|each| *each == token).expect("one of ours")).unwrap()
    }
}

pub type Answer = Response<Full<Bytes>>;

/// In place of a provider: answers with a function, and keeps what it got.
#[derive(Clone)]
pub struct Provider {
    answer: Arc<dyn Fn(&Seen) -> Answer + Send + Sync>,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    ready: bool,
}

impl Provider {
    pub fn new(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(answer), seen: Arc::default(), ready: false }
    }

    pub fn ok() -> Self {
        Self::new(|_| Response::default())
    }

    /// The requests since the last call.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl<B> Service<Request<RequestBody<B>>> for Provider
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody<B>>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called only when ready");
        let (answer, seen) = (Arc::clone(&self.answer), Arc::clone(&self.seen));
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let length = body.size_hint().exact();
            let body = body.collect().await.unwrap();
            let trailers = body.trailers().cloned();
            let seen_now = Seen { parts, length, trailers, body: body.to_bytes() };
            seen.lock().unwrap().push(seen_now.clone());
            Ok(answer(&seen_now))
        })
    }
}

/// A gateway in front of a provider.
pub struct Gateway {
    pub layer: PinLayer,
    pub provider: Provider,
}

pub fn gateway(generation: Generation, provider: Provider) -> Gateway {
    Gateway { layer: PinLayer::new(generation).unwrap(), provider }
}

impl Gateway {
    pub fn send<B>(&self, request: Request<B>) -> Reply
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        block_on(async {
            let service = self.layer.layer(self.provider.clone());
            let (parts, body) = service.oneshot(request).await.unwrap().into_parts();
            Reply { parts, body: body.collect().await.unwrap().to_bytes() }
        })
    }

    /// The same, with what the provider got last.
    pub fn pass<B>(&self, request: Request<B>) -> (Reply, Seen)
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        let reply = self.send(request);
        (reply, self.provider.take().pop().expect("it reached the provider"))
    }

    pub fn set_all(&self, status: SlotStatus) {
        for slot in 0..3 {
            self.layer.current().set_slot(slot, status).unwrap();
        }
    }

    /// A native id as this account's is sealed.
    pub fn seal(&self, slot: u32, native: &str) -> String {
        let current = self.layer.current();
        let rules = current.affinity().id_rules(b"", b"", None).unwrap();
        let sealed = rules.sealer.seal(native.as_bytes(), current.affinity().pin(slot).unwrap());
        String::from_utf8(sealed.unwrap().as_bytes().to_vec()).unwrap()
    }

    pub fn slot(&self, slot: u32) -> SlotStatus {
        self.layer.current().affinity().get_slot(slot).unwrap()
    }
}

/// A body in pieces that may know how long it is.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    pub parts: VecDeque<Bytes>,
    pub trailers: Option<HeaderMap>,
    pub knows: bool,
}

impl Pieces {
    /// One piece that ends at each of these places, and the rest.
    pub fn cut(text: &str, places: &[usize]) -> Self {
        let (mut pieces, mut at) = (VecDeque::new(), 0);
        for end in places.iter().copied().chain([text.len()]) {
            pieces.push_back(Bytes::copy_from_slice(&text.as_bytes()[at..end]));
            at = end;
        }
        Self { parts: pieces, ..Self::default() }
    }

    /// Cut at random places.
    pub fn random(text: &str, random: &mut Random) -> Self {
        let count = random.below(6);
        let mut places: Vec<_> =
            (0..count).map(|_| random.below(text.len() as u64 + 1) as usize).collect();
        places.sort_unstable();
        Self { knows: random.below(2) == 0, ..Self::cut(text, &places) }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.parts.pop_front().map(Frame::data);
        Poll::Ready(data.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.knows && self.parts.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let len = self.parts.iter().map(|piece| piece.len() as u64).sum();
        if self.knows { SizeHint::with_exact(len) } else { SizeHint::default() }
    }
}

/// A body whose pieces come when they are sent.
pub struct Channel(pub tokio::sync::mpsc::Receiver<Bytes>);

impl Body for Channel {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

pub struct Reply {
    pub parts: http::response::Parts,
    pub body: Bytes,
}

impl Reply {
    pub fn status(&self) -> StatusCode {
        self.parts.status
    }

    pub fn decision(&self) -> Decision {
        *self.parts.extensions.get::<Decision>().expect("a decision")
    }

    pub fn values(&self, name: &str) -> Vec<String> {
        values(&self.parts.headers, name)
    }

    /// The pair that goes into the next request's Cookie.
    pub fn cookie(&self) -> Option<String> {
        let lines = self.values("set-cookie");
        let ours = lines.iter().find(|line| line.starts_with(&format!("{COOKIE}=")))?;
        Some(ours.split(';').next().unwrap().to_owned())
    }
}

pub fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub fn post(target: &str) -> Builder {
    Request::post(target)
}

pub fn get(target: &str) -> Builder {
    Request::get(target)
}

pub fn empty(request: Builder) -> Request<Full<Bytes>> {
    request.body(Full::default()).unwrap()
}

pub fn header(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

/// With fields that may come several times.
pub fn with<'a>(
    mut request: Builder,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Request<Full<Bytes>> {
    for (name, value) in fields {
        request = request.header(name, value);
    }
    empty(request)
}

pub fn unix_now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

pub fn reply(status: u16) -> Answer {
    Response::builder().status(status).body(Full::default()).unwrap()
}
