//! The ids of one request and its response. What the library is asked of them is asked here.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, EXPECT, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use http_body::Body;
use tokenpin::Error;
use tokenpin::gateway::{Content, Refused};
use tokenpin::ids::{
    Ids, LOCATION_HEADERS, Mode, Opener, Opening, Origin, Rules, Sealer, Sealing, Summary,
};

use crate::body::ResponseBody;
use crate::content::{content_of, is_encoded, remove_digests, remove_what_changes};
use crate::decide::{is_handshake, method};
use crate::generation::Generation;
use crate::refusal::Refusal;

/// The ids of one request, and how those of its response are sealed.
pub(crate) struct RequestIds {
    terms: Terms,
    pub summary: Summary,
    /// The target as the upstream gets it, if ids in it were opened.
    target: Option<PathAndQuery>,
    /// Of the body, if it was read.
    read: Option<Read>,
    is_head: bool,
}

/// The keys and rules that ids are opened and sealed with.
struct Terms {
    generation: Arc<Generation>,
    ids: Ids,
    mode: Mode,
    scope: Vec<u8>,
    owner: Vec<u8>,
    /// Scheme and authority of the client's request.
    origin: Vec<u8>,
}

/// A body that was read.
struct Read {
    len: usize,
    changed: bool,
    has_trailers: bool,
}

impl Terms {
    /// Cannot fail: it was asked before.
    fn rules(&self) -> Result<Rules<'_>, Error> {
        self.generation.affinity().id_rules(&self.scope, &self.owner, Some(self.mode))
    }

    fn sealing<'a>(&'a self, rules: &'a Rules<'a>, summary: &'a Summary, pin: u64) -> Sealing<'a> {
        let origin = self.generation.origin.as_ref();
        let origin = origin.map(|(upstream, _)| Origin { upstream, own: &self.origin });
        Sealing { rules, pin, echo: &summary.echo, origin }
    }

    /// Returns whether the API keeps its objects in an account.
    fn has_state(&self) -> bool {
        matches!(self.ids, Ids::Both | Ids::Items)
    }
}

impl RequestIds {
    /// Of a request, with its target opened. None if its ids are not looked at.
    pub(crate) fn of(
        generation: &Arc<Generation>,
        parts: &Parts,
        has_body: bool,
    ) -> Result<Option<Box<Self>>, Refusal> {
        let (affinity, path) = (generation.affinity(), parts.uri.path());
        let ids = affinity.classify(method(parts), path.as_bytes()).ids;
        if ids == Ids::None {
            return Ok(None);
        }
        let scope = generation.scope_of(parts);
        let owner = affinity.id_owner(generation.consumer(&parts.headers));
        let mode = generation.sealed_ids.as_ref().map(|read| read(parts));
        let rules =
            affinity.id_rules(&scope, owner, mode).map_err(|error| Refused::of_error(&error))?;
        let mode = rules.mode;
        if mode == Mode::Off && !(generation.bodies && has_body) {
            return Ok(None);
        }
        let origin = generation.origin.as_ref().map(|(_, own)| own(parts).into_owned());
        let mut summary = Summary::new();
        let target = open_target(&rules, generation, ids, &mut summary, &parts.uri);
        let terms = Terms {
            generation: Arc::clone(generation),
            ids,
            mode,
            owner: owner.to_vec(),
            scope: scope.into_owned(),
            origin: origin.unwrap_or_default(),
        };
        Ok(Some(Box::new(Self {
            terms,
            summary,
            target,
            read: None,
            is_head: parts.method == Method::HEAD,
        })))
    }

    /// Returns whether the request waits until its body is read, of which `body` bytes are
    /// announced. A request whose ids cannot be seen passes, unless the mode says that it might
    /// hide what counts.
    pub(crate) fn waits(&self, parts: &Parts, body: Option<u64>) -> Result<bool, Refusal> {
        let (mode, path) = (self.terms.mode, parts.uri.path());
        // Of what comes behind an upgrade there is no end.
        if is_handshake(parts) || parts.method == Method::CONNECT {
            let may_pass = match mode {
                Mode::Off => true,
                Mode::Open => !self.terms.generation.refuse_upgrades,
                Mode::Seal | Mode::Strict => false,
            };
            let is_realtime = path.split('/').any(|segment| segment == "realtime");
            let passes = may_pass || is_realtime || !self.terms.has_state();
            return if passes { Ok(false) } else { Err(Refused::wrong_protocol().into()) };
        }
        let Some(announced) = body else { return Ok(false) };
        let content = content_of(&parts.headers);
        let is_json = content == Content::Json;
        if is_json && !is_encoded(&parts.headers) {
            let fits = announced <= self.terms.generation.max_body as u64;
            return Ok(fits || self.opens());
        }
        let passes = match mode {
            Mode::Off | Mode::Open => true,
            Mode::Seal => !is_json,
            Mode::Strict => content == Content::Multipart && self.summary.uploads,
        };
        match (passes, is_json) {
            (true, _) => Ok(false),
            (false, true) => Err(Refused::wrong_encoding().into()),
            (false, false) => Err(Refused::wrong_type().into()),
        }
    }

    /// Returns whether the gateway may change or refuse the request for its ids.
    pub(crate) fn opens(&self) -> bool {
        self.terms.mode != Mode::Off
    }

    pub(crate) fn opener(&self) -> Opener {
        Opener::new(self.terms.ids)
    }

    /// Opens a part of the body.
    pub(crate) fn open(&mut self, opener: &mut Opener, part: &[u8], out: &mut Vec<u8>) {
        let Ok(rules) = self.terms.rules() else { return out.extend_from_slice(part) };
        let affinity = self.terms.generation.affinity();
        let with = Opening { rules: &rules, known: &|pin| affinity.knows(pin) };
        opener.push(&with, &mut self.summary, part, |text| out.extend_from_slice(text));
    }

    /// The body ends here, and `out` is what comes of it. Whether it can be what its client says it
    /// is.
    pub(crate) fn end(&mut self, mut opener: Opener, out: &mut Vec<u8>) -> bool {
        if let Ok(rules) = self.terms.rules() {
            let affinity = self.terms.generation.affinity();
            let with = Opening { rules: &rules, known: &|pin| affinity.knows(pin) };
            out.extend_from_slice(opener.finish(&with, &mut self.summary));
        }
        // The text in place of an id is UTF-8.
        self.terms.mode != Mode::Strict
            || opener.unexpected() == 0 && std::str::from_utf8(out).is_ok()
    }

    /// Notes that `came` bytes arrived, and `len` go to the upstream.
    pub(crate) fn note_body(&mut self, came: usize, len: usize, has_trailers: bool) {
        // The text in place of an id is shorter.
        self.read = Some(Read { len, changed: len != came, has_trailers });
    }

    /// The request as the account knows it.
    pub(crate) fn put(&self, parts: &mut Parts) {
        if let Some(target) = &self.target {
            let mut uri = std::mem::take(&mut parts.uri).into_parts();
            uri.path_and_query = Some(target.clone());
            parts.uri = Uri::from_parts(uri).unwrap_or_default();
        }
        // The ids in a compressed response could not be seen.
        if self.seals() && !self.summary.downloads {
            parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        let Some(read) = &self.read else { return };
        // The client has been asked to continue.
        parts.headers.remove(EXPECT);
        if read.changed {
            remove_digests(&mut parts.headers);
        }
        if !read.has_trailers {
            // It is not in pieces any more.
            parts.headers.remove(TRANSFER_ENCODING);
            parts.headers.insert(CONTENT_LENGTH, read.len.into());
        } else if parts.headers.contains_key(CONTENT_LENGTH) {
            parts.headers.insert(CONTENT_LENGTH, read.len.into());
        }
    }

    /// Returns whether ids in the response may change.
    fn seals(&self) -> bool {
        self.summary.changes_response()
    }

    /// Seals the ids in a response of the account in `slot`, while it passes.
    pub(crate) fn seal<B: Body>(
        self: Box<Self>,
        mut response: Response<B>,
        slot: u32,
    ) -> Response<ResponseBody<B>> {
        let pin = self.terms.generation.affinity().pin(slot).filter(|_| self.seals());
        let Some(pin) = pin else { return response.map(ResponseBody::passing) };
        self.seal_locations(pin, response.headers_mut());
        let content = content_of(response.headers());
        let has_body = !matches!(
            response.status(),
            StatusCode::SWITCHING_PROTOCOLS
                | StatusCode::NO_CONTENT
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::NOT_MODIFIED
        );
        let is_listed = matches!(content, Content::Json | Content::Events);
        if !has_body || !is_listed || self.summary.downloads || is_encoded(response.headers()) {
            return response.map(ResponseBody::passing);
        }
        remove_what_changes(response.headers_mut());
        if self.is_head {
            return response.map(ResponseBody::passing);
        }
        let sealer = if content == Content::Events { Sealer::events } else { Sealer::json };
        let seal = BodySeal { sealer: sealer(self.terms.ids), pin, ids: self };
        response.map(|body| ResponseBody::sealing(body, Box::new(seal)))
    }

    fn seal_locations(&self, pin: u64, headers: &mut HeaderMap) {
        let Ok(rules) = self.terms.rules() else { return };
        let with = self.terms.sealing(&rules, &self.summary, pin);
        for &name in LOCATION_HEADERS {
            let Some(value) = headers.get_mut(name) else { continue };
            let mut sealed = vec![0; value.len()];
            let len = loop {
                match with.seal_target(self.terms.ids, value.as_bytes(), &mut sealed) {
                    Err(Error::BufferTooSmall { needed }) => sealed.resize(needed, 0),
                    other => break other,
                }
            };
            let Ok(len) = len else { continue };
            sealed.truncate(len);
            if let Ok(sealed) = HeaderValue::from_maybe_shared(Bytes::from(sealed)) {
                *value = sealed;
            }
        }
    }
}

/// Returns a target with its ids opened, if it differs.
fn open_target(
    rules: &Rules<'_>,
    generation: &Generation,
    ids: Ids,
    summary: &mut Summary,
    uri: &Uri,
) -> Option<PathAndQuery> {
    let target = uri.path_and_query().map_or("", PathAndQuery::as_str).as_bytes();
    let mut opened = target.to_vec();
    let affinity = generation.affinity();
    let with = Opening { rules, known: &|pin| affinity.knows(pin) };
    let len = with.open_target(ids, summary, &mut opened);
    opened.truncate(len);
    // Native ids have only characters that a target may have.
    let opened = Some(opened).filter(|opened| opened != target)?;
    PathAndQuery::from_maybe_shared(Bytes::from(opened)).ok()
}

/// Seals the ids of a response's body.
pub(crate) struct BodySeal {
    sealer: Sealer,
    pin: u64,
    ids: Box<RequestIds>,
}

impl BodySeal {
    /// Returns the bytes to send for a part of it, with those held back if it is the last one.
    pub(crate) fn seal(&mut self, part: Bytes, is_last: bool) -> Bytes {
        let Self { sealer, pin, ids } = self;
        let Ok(rules) = ids.terms.rules() else { return part };
        let with = ids.terms.sealing(&rules, &ids.summary, *pin);
        let (mut out, mut rest) = (BytesMut::new(), &part[..]);
        while !rest.is_empty() {
            let piece = sealer.step(&with, rest);
            let passes = piece.pass == part.len() && piece.put.is_empty();
            if passes && out.is_empty() && !is_last {
                // Mostly nothing changes, and nothing is copied.
                return part;
            }
            out.extend_from_slice(rest.get(..piece.pass).unwrap_or_default());
            out.extend_from_slice(piece.put);
            rest = rest.get(piece.taken..).unwrap_or_default();
        }
        if is_last {
            out.extend_from_slice(sealer.finish(&with));
        }
        out.freeze()
    }
}
