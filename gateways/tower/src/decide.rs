//! The facts of a request, and the decision about it.

use std::borrow::Cow;

use http::Method;
use http::header::{CONNECTION, COOKIE, HeaderMap, HeaderName, UPGRADE};
use http::request::Parts;
use tokenpin::gateway::{Refused, the_one, unjoined};
use tokenpin::ids::Summary;
use tokenpin::{CookieName, Decision, KeyInput, Request};

use crate::cooldown::unix_now;
use crate::generation::Generation;
use crate::headers::bytes;
use crate::ids::RequestIds;
use crate::refusal::Refusal;

/// The data kept from a decision to the response.
pub(crate) struct Decided {
    pub decision: Decision,
    pub slot: u32,
    /// The cookie's name for the request's scope.
    pub name: CookieName,
}

impl Generation {
    /// Decides about a request with these ids that these slots were tried for, or refuses it.
    pub(crate) fn decide(
        &self,
        parts: &Parts,
        ids: Option<&RequestIds>,
        tried: &[u32],
    ) -> Result<Decided, Refusal> {
        let scope = self.scope_of(parts);
        let (decision, name) = self
            .decide_in(parts, &scope, ids.map(|ids| &ids.summary), tried)
            .and_then(|decision| Ok((decision, self.affinity().cookie_name(&scope)?)))
            .map_err(|error| Refused::of_error(&error))?;
        if let Some(slot) = decision.slot {
            return Ok(Decided { decision, slot, name });
        }
        let ids = ids.map(|ids| &ids.summary);
        Err(Refusal::of_decision(self.affinity(), &decision, ids))
    }

    /// The set of accounts that a request is about; empty for the affinity's own.
    pub(crate) fn scope_of<'p>(&self, parts: &'p Parts) -> Cow<'p, [u8]> {
        self.scope.as_ref().map(|read| read(parts)).unwrap_or_default()
    }

    /// Who sends a request with these headers.
    pub(crate) fn consumer<'h>(&self, headers: &'h HeaderMap) -> KeyInput<'h> {
        values(headers, self.consumer_header.as_ref()).trusted(true)
    }

    fn decide_in(
        &self,
        parts: &Parts,
        scope: &[u8],
        ids: Option<&Summary>,
        tried: &[u32],
    ) -> Result<Decision, tokenpin::Error> {
        let headers = &parts.headers;
        let carrier = self.carrier_header.as_ref().filter(|name| headers.contains_key(*name));
        let hint = self.id_hint.as_ref().map(|read| read(parts));
        let request = Request {
            group: None,
            existing: self.existing.as_ref().is_some_and(|names_state| names_state(parts)),
            ids,
            method: method(parts),
            // Without decoding.
            target: parts.uri.path().as_bytes(),
            consumer: self.consumer(headers),
            session: values(headers, self.session_header.as_ref()),
            carrier_value: carrier
                .and_then(|name| the_one(bytes(headers, name).map(unjoined)))
                .unwrap_or_default(),
            carrier: carrier.is_some(),
            scope,
            tried,
            now: unix_now(),
            entropy: entropy(),
            id_hint: hint.and_then(|hint| self.affinity().id_hint(&hint).ok()),
        };
        self.affinity().decide(&request, bytes(headers, &COOKIE))
    }
}

fn values<'h>(headers: &'h HeaderMap, name: Option<&HeaderName>) -> KeyInput<'h> {
    KeyInput::new(name.into_iter().flat_map(|name| bytes(headers, name).map(unjoined)))
}

/// The method, as classification takes it.
pub(crate) fn method(parts: &Parts) -> &[u8] {
    if is_handshake(parts) { b"CONNECT" } else { parts.method.as_str().as_bytes() }
}

/// Returns whether a request opens a `WebSocket` over HTTP/1.1. Over HTTP/2 its method is CONNECT.
pub(crate) fn is_handshake(parts: &Parts) -> bool {
    parts.method == Method::GET
        && has_token(&parts.headers, &CONNECTION, b"upgrade")
        && has_token(&parts.headers, &UPGRADE, b"websocket")
}

/// Looks for a token in the lists of a header, in lower or upper case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &[u8]) -> bool {
    bytes(headers, name)
        .flat_map(|list| list.split(|&byte| byte == b','))
        .any(|element| element.trim_ascii().eq_ignore_ascii_case(token))
}

/// All zero, which is refused where randomness is needed, if the system gives none.
fn entropy() -> [u8; 16] {
    let mut entropy = [0; 16];
    if getrandom::fill(&mut entropy).is_err() {
        entropy = [0; 16];
    }
    entropy
}
