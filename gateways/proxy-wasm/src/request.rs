//! The parts of a request that the decision depends on, and the filter's changes to it.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use tokenpin::cookie::field;
use tokenpin::gateway::{the_one, unjoined};
use tokenpin::ids::Summary;
use tokenpin::{Decision, Error, KeyInput, Outcome, Request};

use crate::abi::{Map, add_header, property, remove_header, set_header, unix_now};
use crate::config::Terms;
use crate::host::{Headers, entropy};
use crate::settings::{Credential, Existing, Source};

/// The values of a source that are not empty.
type Values<'h> = Vec<Cow<'h, [u8]>>;

/// A request, as the host shows it.
pub(crate) struct Reading<'h> {
    pub headers: &'h Headers,
    pub is_handshake: bool,
    /// The scope of its tenant, or its route; empty for the configured one.
    pub scope: Vec<u8>,
    consumers: Values<'h>,
}

impl<'h> Reading<'h> {
    /// An error if the tenant cannot be determined.
    pub(crate) fn of(headers: &'h Headers, terms: &Terms) -> Result<Self, Error> {
        let consumers = terms.settings().consumer.as_ref();
        Ok(Self {
            // Over HTTP/2, too, Envoy shows it so.
            is_handshake: headers.first(":method") == b"GET"
                && headers.first("upgrade").eq_ignore_ascii_case(b"websocket"),
            scope: read_scope(headers, terms)?,
            consumers: consumers.map(|source| values(headers, source)).unwrap_or_default(),
            headers,
        })
    }

    pub(crate) fn method(&self) -> &'h [u8] {
        if self.is_handshake { b"CONNECT" } else { self.headers.first(":method") }
    }

    pub(crate) fn target(&self) -> &'h [u8] {
        self.headers.first(":path")
    }

    pub(crate) fn consumer(&self) -> KeyInput<'_> {
        KeyInput::new(self.consumers.iter().map(AsRef::as_ref)).trusted(true)
    }

    pub(crate) fn decide(&self, terms: &Terms, ids: Option<&Summary>) -> Result<Decision, Error> {
        let settings = terms.settings();
        let affinity = terms.setup.affinity.get();
        let sessions = settings.session.iter().map(|source| values(self.headers, source));
        let sessions = sessions.into_iter().find(|values| !values.is_empty()).unwrap_or_default();
        let carried: Option<Vec<&[u8]>> = settings
            .carrier_header
            .as_deref()
            .map(|name| self.headers.all(name).map(unjoined).collect())
            .filter(|values: &Vec<&[u8]>| !values.is_empty());
        let carrier_value = carried.iter().flatten().copied();
        let mut hint = settings.id_hint.as_ref().map(|source| values(self.headers, source));
        if let (Some(Source::Connection), Some(hints)) = (&settings.id_hint, &mut hint) {
            for hint in hints {
                hint.to_mut().extend_from_slice(&terms.setup.mark);
            }
        }
        let now = unix_now();
        terms.setup.fleet.refresh(affinity, now);
        let request = Request {
            group: terms.group(),
            existing: terms.existing().is_some_and(|existing| says(self.headers, existing)),
            ids,
            method: self.method(),
            target: self.target(),
            consumer: self.consumer(),
            session: KeyInput::new(sessions.iter().map(AsRef::as_ref)),
            carrier_value: the_one(carrier_value).unwrap_or_default(),
            carrier: carried.is_some(),
            scope: &self.scope,
            tried: &[],
            now,
            entropy: entropy(),
            // None of several, and none that is too long.
            id_hint: hint.as_deref().and_then(|values| {
                affinity.id_hint(the_one(values.iter().map(AsRef::as_ref))?).ok()
            }),
        };
        affinity.decide(&request, self.headers.all("cookie"))
    }
}

fn values<'h>(headers: &'h Headers, source: &Source) -> Values<'h> {
    // The host tells no type with a property. What is no text has control characters.
    let text = |value: &Vec<u8>| value.iter().all(|byte| *byte >= b' ');
    let from_host = |path: &[&str]| property(path).into_iter().map(Cow::Owned).collect();
    let mut values: Values<'h> = match source {
        Source::Header(name) => headers.all(name).map(|value| unjoined(value).into()).collect(),
        Source::Metadata { namespace, key } => {
            let value = property(&["metadata", "filter_metadata", namespace, key]);
            value.filter(text).into_iter().map(Cow::Owned).collect()
        }
        Source::FilterState(key) => from_host(&["filter_state", key]),
        Source::Connection => from_host(&["connection", "id"]),
    };
    values.retain(|value| !value.is_empty());
    values
}

fn says(headers: &Headers, existing: &Existing) -> bool {
    let values = values(headers, &existing.source);
    if existing.present {
        return !values.is_empty();
    }
    values.iter().any(|value| matches!(&**value, b"true" | b"1"))
}

fn read_scope(headers: &Headers, terms: &Terms) -> Result<Vec<u8>, Error> {
    let own = || terms.own_scope().unwrap_or_default().to_vec();
    let Some(source) = &terms.settings().tenant else { return Ok(own()) };
    let values = values(headers, source);
    match the_one(values.iter().map(AsRef::as_ref)) {
        None => Err(Error::ScopeLength),
        Some([]) => Ok(own()),
        // No configured scope has a zero byte, so scope and tenant cannot run into each other.
        Some(tenant) => {
            let scope = [terms.scope(), b"\0", tenant].concat();
            if scope.len() > tokenpin::MAX_SCOPE { Err(Error::ScopeLength) } else { Ok(scope) }
        }
    }
}

/// Takes our own things off a request: the cookie, and the header that carries it. Fields are only
/// touched if our cookie is in one of them.
pub(crate) fn strip(headers: &Headers, cookie_name: &[u8], carrier: Option<&str>) {
    let is_there = headers.all("cookie").any(|field| field::next(field, cookie_name, 0).is_some());
    if is_there {
        remove_header(Map::Request, "cookie");
        for field in headers.all("cookie") {
            let mut left = vec![0; field.len()];
            // Cannot fail; and if it did, a cookie that may be ours must not pass.
            let len = field::strip(field, cookie_name, &mut left).unwrap_or(0);
            left.truncate(len);
            if !left.is_empty() {
                add_header(Map::Request, "cookie", &left);
            }
        }
    }
    if let Some(name) = carrier.filter(|name| headers.has(name)) {
        remove_header(Map::Request, name);
    }
}

/// Puts a token's credentials on the request.
pub(crate) fn put_credentials(headers: &Headers, credentials: &[Credential]) {
    for Credential { name, value } in credentials {
        match value {
            Some(value) => set_header(Map::Request, name, value.as_bytes()),
            None if headers.has(name) => remove_header(Map::Request, name),
            None => {}
        }
    }
}

/// Removes what another account made, from the request of a session that is not with it any more.
pub(crate) fn drop_when_moved(names: &[String], decision: &Decision) {
    // Only a cookie names the account that a session was with.
    if matches!(decision.outcome, Outcome::Repinned | Outcome::Fallback) {
        for name in names {
            remove_header(Map::Request, name);
        }
    }
}
