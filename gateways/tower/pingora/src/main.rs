//! A gateway in pingora, in front of a provider:
//!
//!     PLACEMENT_KEY=… COOKIE_KEY=… ACCOUNTS='account-a=sk-a account-b=sk-b' \
//!       tokenpin-pingora 127.0.0.1:8080 provider.example:80
//!
//! The keys are 32 hexadecimal digits each, as `make keygen` prints them. `SEALED_IDS` is `off`,
//! `open`, `seal` or `strict`, and `seal` by default. Both sides speak plain HTTP; a provider on
//! the Internet needs one of pingora's TLS features.
//!
//! It uses the library itself, and so shows what a host has to do around it: decide, with what the
//! ids of the request come to; send the request as the account's; set the cookie; seal ids in the
//! response. It leaves out what the layer for tower has beside that: cooldowns, retries, reloads,
//! the carrier header, and the texts of refusals.

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    COOKIE, ETAG, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, SET_COOKIE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, StatusCode, Uri};
use pingora_core::server::Server;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{ErrorType, OkOrErr, OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{ProxyHttp, Session};
use tokenpin::cookie::{field, set_cookie};
use tokenpin::ids::{
    DIGEST_HEADERS, Ids, LOCATION_HEADERS, Mode, Opener, Opening, Sealer, Sealing, Summary,
};
use tokenpin::{
    Affinity, Answer, Attributes, Config, CookieKey, Decision, IdConfig, KeyInput, MAX_SET_COOKIE,
    OwnedAffinity, Request, Role, Secret, Slot, SlotStatus,
};

/// The name of the cookie. `__Host-tokenpin`, and Secure, for clients that come by HTTPS.
const NAME: &[u8] = b"tokenpin";
/// The longest body that is read for its ids.
const MAX_BODY: usize = 64 << 20;
/// The most of a body that pingora sends again after it was read.
const SENT_AGAIN: usize = 64 << 10;

struct Gateway {
    affinity: OwnedAffinity,
    /// By slot.
    tokens: Vec<String>,
    provider: String,
}

/// The data of a request until its response has ended.
#[derive(Default)]
struct Context {
    decision: Option<Decision>,
    ids: Option<RequestIds>,
    sealer: Option<Sealer>,
}

/// The ids of a request.
struct RequestIds {
    of: Ids,
    summary: Summary,
    /// The target as the account knows it.
    target: Vec<u8>,
    /// The same of the body, if that was read.
    body: Option<Bytes>,
}

/// Why the gateway answers itself.
struct Refusal {
    status: u16,
    code: &'static str,
    /// The field that is meant.
    param: Option<String>,
    retry_after: u32,
}

fn refusal(status: StatusCode, code: &'static str) -> Refusal {
    Refusal { status: status.as_u16(), code, param: None, retry_after: 0 }
}

fn values<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}

/// The type of a body, without parameters. One that has none is taken for JSON.
fn kind(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.unwrap_or("application/json").split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = kind(headers);
    kind == "application/json" || kind.ends_with("+json")
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let mut codings = values(headers, &CONTENT_ENCODING);
    codings.any(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"identity"))
}

impl Gateway {
    fn affinity(&self) -> &Affinity<'_> {
        self.affinity.get()
    }

    /// Decides about a request, behind its body if that may name objects of an account.
    async fn decide(
        &self,
        session: &mut Session,
        context: &mut Context,
    ) -> Result<Result<(), Refusal>> {
        let affinity = self.affinity();
        let head = session.req_header();
        // Of what comes behind an upgrade there is no end.
        let upgrades = head.method == Method::CONNECT || head.headers.contains_key(UPGRADE);
        let method = if upgrades { "CONNECT" } else { head.method.as_str() }.to_owned();
        let path = head.uri.path().to_owned();
        let of = affinity.classify(method.as_bytes(), path.as_bytes()).ids;
        if of != Ids::None {
            let rules =
                affinity.id_rules(b"", b"", None).or_err(ErrorType::InternalError, "ids")?;
            let opening = Opening { rules: &rules, known: &|pin| affinity.knows(pin) };
            let mut summary = Summary::new();
            let target = head.uri.path_and_query().map_or("", |target| target.as_str());
            let mut target = target.as_bytes().to_vec();
            let len = opening.open_target(of, &mut summary, &mut target);
            target.truncate(len);
            let seals = summary.seals;
            let mut ids = RequestIds { of, summary, target, body: None };
            if upgrades && seals {
                let status = StatusCode::UPGRADE_REQUIRED;
                return Ok(Err(refusal(status, "websocket_not_supported")));
            }
            let is_json = is_json(&head.headers);
            let is_encoded = is_encoded(&head.headers);
            let is_upload = kind(&head.headers).starts_with("multipart/") && ids.summary.uploads;
            let has_body = !upgrades && !session.as_mut().is_body_empty();
            if has_body && is_json && !is_encoded {
                match self.read(session, &opening, &mut ids).await? {
                    Ok(body) => ids.body = Some(body.into()),
                    Err(refusal) => return Ok(Err(refusal)),
                }
            } else if has_body && (is_json && seals || rules.mode == Mode::Strict && !is_upload) {
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                return Ok(Err(refusal(status, "unsupported_content_type")));
            }
            context.ids = Some(ids);
        }
        let mut entropy = [0; 16];
        // All zero is refused where randomness is needed.
        let _ = getrandom::fill(&mut entropy);
        let headers = &session.req_header().headers;
        let consumer = HeaderName::from_static("x-consumer");
        let request = Request {
            ids: context.ids.as_ref().map(|ids| &ids.summary),
            method: method.as_bytes(),
            target: path.as_bytes(),
            // A gateway sets this header itself, once it knows the client.
            consumer: KeyInput::new(values(headers, &consumer)).trusted(true),
            now: unix_now(),
            entropy,
            ..Request::default()
        };
        let decision = affinity
            .decide(&request, values(headers, &COOKIE))
            .or_err(ErrorType::InternalError, "cannot decide")?;
        let why = decision.refusal();
        if decision.slot.is_none() {
            let [key, _] = decision.id_keys;
            return Ok(Err(Refusal {
                status: why.status(),
                code: why.name(),
                param: affinity.id_key(key).map(|key| String::from_utf8_lossy(key).into_owned()),
                retry_after: decision.retry_after,
            }));
        }
        context.decision = Some(decision);
        Ok(Ok(()))
    }

    /// Reads a body, and opens its ids. pingora sends again what was read of it, if that is short,
    /// and only then asks what to send: so it keeps the end, or all where the end is unknown.
    async fn read(
        &self,
        session: &mut Session,
        opening: &Opening<'_>,
        ids: &mut RequestIds,
    ) -> Result<Result<Vec<u8>, Refusal>> {
        let too_large = || refusal(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large");
        let length = session.req_header().headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let (mut body, mut came, mut opener) = (Vec::new(), 0, Opener::new(ids.of));
        loop {
            if came > MAX_BODY {
                return Ok(Err(too_large()));
            }
            if length.is_none_or(|length| length.saturating_sub(came) <= SENT_AGAIN) {
                session.as_mut().enable_retry_buffering();
            }
            let Ok(part) = session.as_mut().read_request_body().await else {
                return Ok(Err(refusal(StatusCode::BAD_REQUEST, "unreadable_body")));
            };
            let Some(part) = part else { break };
            came += part.len();
            opener.push(opening, &mut ids.summary, &part, |out| body.extend_from_slice(out));
        }
        if session.as_ref().retry_buffer_truncated() {
            return Ok(Err(too_large()));
        }
        body.extend_from_slice(opener.finish(opening, &mut ids.summary));
        let understood = opener.unexpected() == 0 && std::str::from_utf8(&body).is_ok();
        if opening.rules.mode == Mode::Strict && !understood {
            return Ok(Err(refusal(StatusCode::BAD_REQUEST, "unreadable_body")));
        }
        Ok(Ok(body))
    }

    /// Returns the bytes to send for a part of a response, with those held back if it is the last
    /// one.
    fn seal(&self, context: &mut Context, part: &[u8], is_last: bool) -> Option<Vec<u8>> {
        let Context { decision, ids, sealer } = context;
        let (sealer, ids, slot) = (sealer.as_mut()?, ids.as_ref()?, decision.as_ref()?.slot?);
        let affinity = self.affinity();
        let rules = affinity.id_rules(b"", b"", None).ok()?;
        let (pin, echo) = (affinity.pin(slot)?, &ids.summary.echo);
        let sealing = Sealing { rules: &rules, pin, echo, origin: None };
        let mut out = Vec::with_capacity(part.len());
        sealer.push(&sealing, part, |sealed| out.extend_from_slice(sealed));
        if is_last {
            out.extend_from_slice(sealer.finish(&sealing));
        }
        Some(out)
    }

    /// Returns whether ids in the response to a request change, and in its headers.
    fn seal_head(&self, context: &Context, response: &mut ResponseHeader) -> Result<bool> {
        let affinity = self.affinity();
        let slot = context.decision.as_ref().and_then(|decision| decision.slot);
        let pin = slot.and_then(|slot| affinity.pin(slot));
        let (Some(ids), Some(pin)) = (&context.ids, pin) else { return Ok(false) };
        if !ids.summary.changes_response() {
            return Ok(false);
        }
        let rules = affinity.id_rules(b"", b"", None).or_err(ErrorType::InternalError, "ids")?;
        let sealing = Sealing { rules: &rules, pin, echo: &ids.summary.echo, origin: None };
        for &name in LOCATION_HEADERS {
            let Some(value) = response.headers.get(name) else { continue };
            // Each of its ids may grow; what is longer stays as it is.
            let mut sealed = vec![0; value.len() + 1024];
            if let Ok(len) = sealing.seal_target(ids.of, value.as_bytes(), &mut sealed) {
                sealed.truncate(len);
                response.insert_header(name, sealed)?;
            }
        }
        Ok(true)
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::default()
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> Result<bool> {
        let Err(Refusal { status, code, param, retry_after }) =
            self.decide(session, context).await?
        else {
            return Ok(false);
        };
        // The table's names need no escaping.
        let param = param.map_or_else(|| "null".to_owned(), |param| format!("\"{param}\""));
        let body = format!(
            r#"{{"error":{{"message":"The gateway refused the request.","type":"gateway_error","param":{param},"code":"{code}"}}}}"#
        );
        let mut response = ResponseHeader::build(status, None)?;
        response.insert_header(CONTENT_TYPE, "application/json")?;
        response.insert_header(CONTENT_LENGTH, body.len().to_string())?;
        if retry_after != 0 {
            response.insert_header(RETRY_AFTER, retry_after.to_string())?;
        }
        session.write_response_header(Box::new(response), false).await?;
        session.write_response_body(Some(body.into()), true).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Context) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(&*self.provider, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> Result<()> {
        let slot = context.decision.as_ref().and_then(|decision| decision.slot);
        let token = slot.and_then(|slot| self.tokens.get(slot as usize));
        let token = token.or_err(ErrorType::InternalError, "no account")?;
        let fields: Vec<Vec<u8>> = values(&request.headers, &COOKIE).map(<[u8]>::to_vec).collect();
        request.remove_header(&COOKIE);
        for mut rest in fields {
            let cookies = rest.clone();
            let len = field::strip(&cookies, NAME, &mut rest).unwrap_or(0);
            rest.truncate(len);
            if !rest.is_empty() {
                request.append_header(COOKIE, rest)?;
            }
        }
        request.insert_header(AUTHORIZATION, format!("Bearer {token}"))?;
        request.insert_header(HOST, &*self.provider)?;
        let Some(ids) = &context.ids else { return Ok(()) };
        request.set_uri(Uri::try_from(&*ids.target).or_err(ErrorType::InternalError, "target")?);
        if let Some(body) = &ids.body {
            request.remove_header(&TRANSFER_ENCODING);
            request.insert_header(CONTENT_LENGTH, body.len().to_string())?;
            for &name in DIGEST_HEADERS {
                request.remove_header(name);
            }
        }
        if ids.summary.changes_response() {
            request.insert_header(ACCEPT_ENCODING, "identity")?;
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        is_last: bool,
        context: &mut Context,
    ) -> Result<()> {
        // All of it stands in place of the end that pingora has kept.
        if let Some(read) = context.ids.as_ref().and_then(|ids| ids.body.as_ref()) {
            *body = if is_last { Some(read.clone()) } else { Some(Bytes::new()) };
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> Result<()> {
        let Some(decision) = &context.decision else { return Ok(()) };
        let status = response.status;
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        let lines: Vec<Vec<u8>> = values(&response.headers, &SET_COOKIE)
            .filter(|line| !set_cookie::matches(line, NAME))
            .map(<[u8]>::to_vec)
            .collect();
        response.remove_header(&SET_COOKIE);
        for line in lines {
            response.append_header(SET_COOKIE, line)?;
        }
        let mut out = [0; MAX_SET_COOKIE];
        if let Ok((Answer::SetCookie, len)) =
            self.affinity().finish(decision, status.as_u16(), &mut out)
        {
            response.append_header(SET_COOKIE, out.get(..len).unwrap_or_default())?;
            response.append_header("cache-control", "no-cache=\"Set-Cookie\"")?;
        }
        let changes = self.seal_head(context, response)?;
        let (kind, json) = (kind(&response.headers), is_json(&response.headers));
        let events = kind == "text/event-stream";
        let is_file = context.ids.as_ref().is_some_and(|ids| ids.summary.downloads);
        let has_body = !matches!(status.as_u16(), 101 | 204 | 206 | 304)
            && session.req_header().method != Method::HEAD;
        let is_read = (json || events) && !is_file && !is_encoded(&response.headers);
        let Some(ids) = context.ids.as_ref().filter(|_| changes && has_body && is_read) else {
            return Ok(());
        };
        context.sealer = Some(if events { Sealer::events(ids.of) } else { Sealer::json(ids.of) });
        let weak = response.headers.get(ETAG).is_some_and(|tag| tag.as_bytes().starts_with(b"W/"));
        for name in [CONTENT_LENGTH, ACCEPT_RANGES].into_iter().chain((!weak).then_some(ETAG)) {
            response.remove_header(&name);
        }
        for &name in DIGEST_HEADERS {
            response.remove_header(name);
        }
        if !session.is_http2() {
            response.insert_header(TRANSFER_ENCODING, "chunked")?;
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        is_last: bool,
        context: &mut Context,
    ) -> Result<Option<std::time::Duration>> {
        let part = body.as_deref().unwrap_or_default();
        if let Some(sealed) = self.seal(context, part, is_last) {
            *body = Some(sealed.into());
        }
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        _: &mut Session,
        _: &mut HeaderMap,
        context: &mut Context,
    ) -> Result<Option<Bytes>> {
        let held = self.seal(context, &[], true);
        Ok(held.filter(|held| !held.is_empty()).map(Bytes::from))
    }
}

fn unix_now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}

type Error = Box<dyn std::error::Error>;

fn key(variable: &str) -> Result<Secret, Error> {
    let hex = std::env::var(variable).map_err(|_| format!("{variable} is not set"))?;
    let refused = || format!("{variable} is not 32 hexadecimal digits");
    let digits =
        Some(hex).filter(|hex| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    let number = digits.and_then(|hex| u128::from_str_radix(&hex, 16).ok()).ok_or_else(refused)?;
    Ok(Secret::new(number.to_be_bytes()))
}

fn gateway(provider: String) -> Result<Gateway, Error> {
    let name = std::env::var("SEALED_IDS").unwrap_or_else(|_| Mode::Seal.name().to_owned());
    let modes = [Mode::Off, Mode::Open, Mode::Seal, Mode::Strict];
    let mode = modes.into_iter().find(|mode| mode.name() == name).ok_or("SEALED_IDS: no mode")?;
    let ring = [CookieKey { id: 1, role: Role::Sign, secret: key("COOKIE_KEY")? }];
    let defaults = Config::new(key("PLACEMENT_KEY")?, &ring);
    let config = Config {
        cookie_name: Some(NAME),
        attributes: Attributes { secure: false, ..Attributes::default() },
        ids: IdConfig { mode, ..defaults.ids },
        ..defaults
    };
    let text = std::env::var("ACCOUNTS")?;
    let accounts: Vec<_> = text.split(' ').filter_map(|account| account.split_once('=')).collect();
    let slots = accounts.iter().map(|(name, _)| Slot::new(name.as_bytes(), SlotStatus::UP));
    let affinity = OwnedAffinity::new(&config, slots.collect::<Result<_, _>>()?)?;
    let tokens = accounts.iter().map(|(_, token)| (*token).to_owned()).collect();
    Ok(Gateway { affinity, tokens, provider })
}

fn main() -> Result<(), Error> {
    let mut words = std::env::args().skip(1);
    let (Some(listen), Some(provider)) = (words.next(), words.next()) else {
        return Err("where to listen, and where the provider is".into());
    };
    let mut server = Server::new(None)?;
    server.bootstrap();
    let mut proxy = pingora_proxy::http_proxy_service(&server.configuration, gateway(provider)?);
    proxy.add_tcp(&listen);
    server.add_service(proxy);
    server.run_forever()
}
