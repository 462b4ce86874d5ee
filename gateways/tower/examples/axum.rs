//! A gateway in axum, in front of a provider:
//!
//!     PLACEMENT_KEY=… COOKIE_KEY=… ACCOUNTS='account-a=sk-a account-b=sk-b' \
//!       axum 127.0.0.1:8080 provider.example:80
//!
//! The keys are 32 hexadecimal digits each, as `make keygen` prints them. Ids are sealed, unless
//! `SEALED_IDS` says otherwise: `off`, `open` or `strict`. It prints where it listens. Both sides
//! speak plain HTTP: put `hyper-rustls` around the connector for a provider on the Internet, and
//! leave out what the comment on the cookie says for clients that come by HTTPS.

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use axum::http::uri::{Authority, Scheme, Uri};
use axum::http::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokenpin_tower::tokenpin::ids::Mode;
use tokenpin_tower::tokenpin::{
    Attributes, Config, CookieKey, IdConfig, OwnedAffinity, Role, Secret, Slot, SlotStatus, State,
};
use tokenpin_tower::{Cooldown, Generation, PinLayer, Retry, SlotHeaders};

type Error = Box<dyn std::error::Error>;

/// The gateway's keys, and what it does with ids.
pub(crate) struct Settings {
    pub(crate) placement: Secret,
    pub(crate) cookie: Secret,
    pub(crate) sealed_ids: Mode,
}

/// A configuration for these accounts, each an identity and a token.
pub(crate) fn generation(
    settings: &Settings,
    accounts: &[(&str, &str)],
) -> Result<Generation, Error> {
    let ring = [CookieKey { id: 1, role: Role::Sign, secret: settings.cookie.clone() }];
    let defaults = Config::new(settings.placement.clone(), &ring);
    let config = Config {
        // So that clients without a cookie find again what they made, by its id.
        ids: IdConfig { mode: settings.sealed_ids, ..defaults.ids },
        // Only because this example speaks plain HTTP. Without these two lines the cookie is
        // `__Host-tokenpin`, and Secure.
        cookie_name: Some(b"tokenpin"),
        attributes: Attributes { secure: false, ..Attributes::default() },
        ..defaults
    };
    let slots = accounts.iter().map(|(name, _)| Slot::new(name.as_bytes(), SlotStatus::UP));
    let affinity = OwnedAffinity::new(&config, slots.collect::<Result<_, _>>()?)?;
    let credentials = SlotHeaders::bearer(accounts.iter().map(|(_, token)| token))?;
    // No request goes to an account without credit. Only where a client cannot bring that status
    // about.
    let unpaid = Cooldown {
        statuses: vec![StatusCode::PAYMENT_REQUIRED],
        state: State::Down,
        seconds: 300,
        retry_after: Some(3600),
    };
    Ok(Generation::new(affinity, credentials)
        // A gateway sets this header itself, once it knows the client.
        .consumer_header(HeaderName::from_static("x-consumer"))
        .session_header(HeaderName::from_static("x-session-id"))
        .carrier_header(HeaderName::from_static("x-affinity"))
        .cooldowns([vec![unpaid], Cooldown::defaults()].concat())
        .retry(Retry::default()))
}

/// Everything goes to the provider, by way of the layer.
pub(crate) fn router(layer: PinLayer, provider: Authority) -> Router {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let send = move |request| forward(client.clone(), provider.clone(), request);
    // The layer stands directly around what sends: anything else that answers requests belongs
    // outside of it.
    Router::new().fallback(send).layer(layer)
}

async fn forward(
    client: Client<HttpConnector, Body>,
    provider: Authority,
    mut request: Request<Body>,
) -> Response<Body> {
    let mut uri = std::mem::take(request.uri_mut()).into_parts();
    (uri.scheme, uri.authority) = (Some(Scheme::HTTP), Some(provider));
    let Ok(uri) = Uri::from_parts(uri) else {
        return local(StatusCode::BAD_REQUEST);
    };
    *request.uri_mut() = uri;
    // The headers of the client's connection, except the wish to open a WebSocket, which both sides
    // share.
    let upgrade = request.headers().get(UPGRADE).cloned();
    let clients = hyper::upgrade::on(&mut request);
    for name in
        [HOST, CONNECTION, UPGRADE, TRANSFER_ENCODING, HeaderName::from_static("keep-alive")]
    {
        request.headers_mut().remove(name);
    }
    if let Some(protocol) = upgrade {
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        request.headers_mut().insert(UPGRADE, protocol);
    }
    let Ok(mut response) = client.request(request).await else {
        return local(StatusCode::BAD_GATEWAY);
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let providers = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            if let (Ok(client), Ok(provider)) = (clients.await, providers.await) {
                let (mut client, mut provider) = (TokioIo::new(client), TokioIo::new(provider));
                // It ends as either side ends it.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut provider).await;
            }
        });
    }
    response.map(Body::new)
}

/// Not the provider's answer: no success, and no status that a cooldown has.
fn local(status: StatusCode) -> Response<Body> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

pub(crate) fn key(variable: &str) -> Result<Secret, Error> {
    let hex = std::env::var(variable).map_err(|_| format!("{variable} is not set"))?;
    let refused = || format!("{variable} is not 32 hexadecimal digits");
    let digits =
        Some(hex).filter(|hex| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    let number = digits.and_then(|hex| u128::from_str_radix(&hex, 16).ok()).ok_or_else(refused)?;
    Ok(Secret::new(number.to_be_bytes()))
}

fn mode(variable: &str) -> Result<Mode, Error> {
    let Ok(name) = std::env::var(variable) else { return Ok(Mode::Seal) };
    let named = |mode: &Mode| mode.name() == name;
    let modes = [Mode::Off, Mode::Open, Mode::Seal, Mode::Strict];
    modes.into_iter().find(named).ok_or_else(|| format!("{variable} is no mode").into())
}

async fn serve() -> Result<(), Error> {
    let mut words = std::env::args().skip(1);
    let (Some(listen), Some(provider)) = (words.next(), words.next()) else {
        return Err("where to listen, and where the provider is".into());
    };
    let settings = Settings {
        placement: key("PLACEMENT_KEY")?,
        cookie: key("COOKIE_KEY")?,
        sealed_ids: mode("SEALED_IDS")?,
    };
    let text = std::env::var("ACCOUNTS")?;
    let accounts: Vec<_> = text.split(' ').filter_map(|account| account.split_once('=')).collect();
    let layer = PinLayer::new(generation(&settings, &accounts)?)?;
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, router(layer, provider.parse()?)).await?;
    Ok(())
}

fn main() -> Result<(), Error> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve())
}
