//! Ids in a target: behind a collection in the path, and under listed names in the query.

use crate::bytes::{alike, holds, move_bytes};
use crate::error::Error;
use crate::limits::MAX_SEALED_ID;
use crate::sink::{Sink, Slice, unhex};
use crate::words::List;

use super::fields::{
    DOWNLOAD_WORDS, Fields, Ids, LITERAL_WORDS, NAMED_WORDS, NO_KEY, PATH, UPLOAD_WORDS,
};
use super::id::{IdVerdict, OpenedId, SealedId};
use super::rules::Mode;
use super::sides::{Opening, Sealing};
use super::summary::Summary;

/// Returns the number of the key to which an id in this part of a target belongs.
fn role(fields: &Fields<'_>, part: &Part<'_>) -> Option<u8> {
    match part.of {
        Of::Path { before } => {
            let is_collection =
                |segment| is_decoded(segment, &mut |segment| fields.is_collection(segment));
            let is_literal =
                || is_collection(part.text) || is_one_of(part.text, LITERAL_WORDS.list());
            (!part.text.is_empty() && is_collection(before) && !is_literal()).then_some(PATH)
        }
        Of::Query { name } => {
            let mut number = None;
            is_decoded(name, &mut |name| {
                number = fields.find_parameter(name);
                number.is_some()
            });
            number
        }
        Of::Nothing => None,
    }
}

/// Applies a predicate to a text, percent-decoded if it is encoded.
fn is_decoded(text: &[u8], is: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    if holds(b'%', text) {
        Decoded::new(text).is_some_and(|text| is(text.as_bytes()))
    } else {
        is(text)
    }
}

/// Returns whether a segment spells one of these words.
fn is_one_of(segment: &[u8], words: List<'_>) -> bool {
    is_decoded(segment, &mut |segment| words.contains(segment))
}

/// One part of a target, up to the byte that ends it.
struct Part<'t> {
    of: Of<'t>,
    text: &'t [u8],
    /// The part is a segment of the path, neither empty nor a name.
    is_segment: bool,
}

#[derive(Clone, Copy)]
enum Of<'t> {
    /// A segment of the path. `before` is the previous one, except for empty segments and names.
    Path { before: &'t [u8] },
    /// The value of a query parameter.
    Query { name: &'t [u8] },
    /// A name, a fragment, a scheme or a host.
    Nothing,
}

/// Cuts a target into its parts. A target is a path, with or without query, or an absolute URI.
struct Parts<'t> {
    target: &'t [u8],
    at: usize,
    last: &'t [u8],
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next segment may be a scheme.
    Start,
    /// The authority follows, after this many slashes.
    Authority(u8),
    Path,
    Name,
    Value,
    Fragment,
}

impl<'t> Parts<'t> {
    const fn new(target: &'t [u8]) -> Self {
        Self { target, at: 0, last: b"", state: State::Start }
    }

    /// Returns the next part, and the byte that ends it.
    fn next(&mut self) -> Option<(Part<'t>, Option<u8>)> {
        let rest = self.target.get(self.at..).filter(|rest| !rest.is_empty())?;
        let ends = |byte: &u8| match self.state {
            State::Name => matches!(byte, b'=' | b'&' | b'#'),
            State::Value => matches!(byte, b'&' | b'#'),
            // A fragment may be cut anywhere, because nothing is read there.
            _ => matches!(byte, b'/' | b'?' | b'#'),
        };
        let len = rest.iter().position(ends).unwrap_or(rest.len());
        let (text, end) = (rest.get(..len)?, rest.get(len).copied());
        self.at += len + usize::from(end.is_some());
        let of = match self.state {
            State::Path => Of::Path { before: self.last },
            State::Value => Of::Query { name: self.last },
            _ => Of::Nothing,
        };
        let mut is_segment = false;
        self.last = match of {
            // Many upstreams treat two slashes as one.
            Of::Path { before } if text.is_empty() => before,
            // A name such as `files` is no collection there.
            Of::Path { before } if is_one_of(before, NAMED_WORDS.list()) => b"",
            Of::Path { .. } => {
                is_segment = true;
                text
            }
            // A host is no segment.
            _ if self.state == State::Authority(2) => b"",
            _ => text,
        };
        self.state = match (self.state, end) {
            (State::Fragment, _) | (_, Some(b'#')) => State::Fragment,
            (State::Name, Some(b'=')) => State::Value,
            (State::Name | State::Value, _) | (_, Some(b'?')) => State::Name,
            (State::Start, _) if text.ends_with(b":") => State::Authority(1),
            (State::Authority(1), _) if text.is_empty() => State::Authority(2),
            _ => State::Path,
        };
        Some((Part { of, text, is_segment }, end))
    }
}

/// A text after one pass of percent-decoding.
struct Decoded {
    bytes: [u8; MAX_SEALED_ID],
    len: usize,
}

impl Decoded {
    /// Returns `None` if the text is longer than any id, or wrongly encoded.
    fn new(text: &[u8]) -> Option<Self> {
        let mut decoded = Self { bytes: [0; MAX_SEALED_ID], len: 0 };
        let mut rest = text.iter();
        while let Some(&byte) = rest.next() {
            let mut character = byte;
            if byte == b'%' {
                character = unhex(*rest.next()?, *rest.next()?)?;
            }
            *decoded.bytes.get_mut(decoded.len)? = character;
            decoded.len += 1;
        }
        Some(decoded)
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Opening<'_> {
    /// Opens the ids of a request's target in place, and returns the new length, which is never
    /// longer. Call it before anything else reads the request.
    pub fn open_target(&self, ids: Ids, summary: &mut Summary, target: &mut [u8]) -> usize {
        (summary.seals, summary.echoes) = (self.rules.seals_all(ids), self.rules.echoes(ids));
        if ids == Ids::None {
            return target.len();
        }
        let (mut read, mut written) = (0, 0);
        // `written` ends what was written, and `last` is where the name of the next part lies.
        let (mut state, mut last) = (State::Start, 0..0);
        loop {
            let last_text = target.get(last.clone()).unwrap_or_default();
            let mut parts = Parts { target, at: read, last: last_text, state };
            let Some((part, end)) = parts.next() else { break };
            let key = role(&self.rules.fields, &part);
            self.refuse_unclear(summary, key, &part);
            if part.is_segment {
                summary.uploads |= is_one_of(part.text, UPLOAD_WORDS.list());
                summary.downloads = is_one_of(part.text, DOWNLOAD_WORDS.list());
            }
            let opened = key.and_then(|key| self.open_part(ids, summary, key, part.text));
            let (len, next, has_last) = (part.text.len(), parts.at, !parts.last.is_empty());
            state = parts.state;
            let start = written;
            let native = opened.as_ref().map(OpenedId::native);
            written += native.map_or(len, <[u8]>::len);
            match (native, target.get_mut(start..written)) {
                (Some(native), Some(place)) => place.copy_from_slice(native),
                _ => move_bytes(target, read, len, start),
            }
            // A name that is not rewritten stays in its place.
            if !has_last {
                last = 0..0;
            } else if len > 0 {
                last = start..written;
            }
            if let (Some(end), Some(place)) = (end, target.get_mut(written)) {
                *place = end;
                written += 1;
            }
            read = next;
        }
        written
    }

    /// Refuses, in [`Mode::Strict`](super::Mode::Strict), a segment that another reader would cut
    /// differently or decode twice.
    fn refuse_unclear(&self, summary: &mut Summary, key: Option<u8>, part: &Part<'_>) {
        let key =
            key.or(part.is_segment.then_some(PATH)).filter(|_| self.rules.mode == Mode::Strict);
        if let Some(key) = key.filter(|_| holds(b'%', part.text)) {
            let is_clear = |text: &[u8]| !text.iter().any(|byte| b"%/".contains(byte));
            if !Decoded::new(part.text).is_some_and(|text| is_clear(text.as_bytes())) {
                summary.refuse(IdVerdict::Plain, [key, NO_KEY], b"");
            }
        }
    }

    fn open_part(&self, ids: Ids, summary: &mut Summary, key: u8, text: &[u8]) -> Option<OpenedId> {
        let decoded = Decoded::new(text);
        let text = decoded.as_ref().map_or(text, Decoded::as_bytes);
        let rank = u8::from(key != PATH);
        summary.take(self.rules, ids, (key, rank), text, &mut |summary, named| {
            summary.bind_hard(key, named);
        })
    }
}

/// Splits an absolute URI into its authority and the rest.
fn split_absolute(uri: &[u8]) -> Option<(&[u8], &[u8])> {
    let ends = |byte: &u8| b"/?#".contains(byte);
    let (scheme, rest) = uri.split_at_checked(uri.iter().position(ends)?)?;
    let rest = rest.strip_prefix(b"//").filter(|_| scheme.ends_with(b":") && scheme.len() > 1)?;
    rest.split_at_checked(rest.iter().position(ends).unwrap_or(rest.len()))
}

impl Sealing<'_> {
    /// Seals the ids in a target or a URI, such as the value of `Location`, and returns its length
    /// in `out`. In an absolute URI of the upstream, [`Self::origin`] replaces scheme and
    /// authority. A URI of another host stays as it is, because it may be signed. So does every URI
    /// if nothing in the response is sealed.
    ///
    /// # Errors
    ///
    /// [`Error::BufferTooSmall`], and nothing is written.
    pub fn seal_target(&self, ids: Ids, target: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        self.seal_target_to(ids, target, &mut Slice(out))
    }

    pub(crate) fn seal_target_to(
        &self,
        ids: Ids,
        target: &[u8],
        out: &mut dyn Sink,
    ) -> Result<usize, Error> {
        let stays = (target, &b""[..]);
        let (front, path) = match split_absolute(target) {
            Some((authority, path)) => self.own(ids, authority).map_or(stays, |own| (own, path)),
            // A network-path reference names another host.
            None if target.starts_with(b"//") => stays,
            None => (&b""[..], target),
        };
        let mut needed = front.len();
        self.each_part(ids, path, &mut |part| needed += part.len());
        out.room(needed)?;
        out.put(front);
        self.each_part(ids, path, &mut |part| out.put(part));
        Ok(needed)
    }

    /// Returns the scheme and authority that replace those of the upstream.
    fn own(&self, ids: Ids, authority: &[u8]) -> Option<&[u8]> {
        let origin = self
            .origin
            .filter(|origin| alike(authority, origin.upstream) && !origin.own.is_empty())?;
        self.echo.changes_response(self.rules, ids).then_some(origin.own)
    }

    fn each_part(&self, ids: Ids, target: &[u8], then: &mut dyn FnMut(&[u8])) {
        let mut parts = Parts::new(target);
        while let Some((part, end)) = parts.next() {
            let sealed = role(&self.rules.fields, &part).and_then(|_| self.seal(ids, part.text));
            then(sealed.as_ref().map_or(part.text, SealedId::as_bytes));
            if let Some(end) = end {
                then(&[end]);
            }
        }
    }

    /// Seals an absolute URI of the upstream for use in a JSON string. Returns `None` if it belongs
    /// to another host or is too long.
    pub(crate) fn seal_uri(&self, ids: Ids, uri: &[u8], out: &mut [u8]) -> Option<usize> {
        let (authority, _) = split_absolute(uri)?;
        self.own(ids, authority)?;
        let is_text = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\".contains(byte);
        if !uri.iter().all(is_text) {
            return None;
        }
        // Checks the room first, because `out` may hold the original URI.
        self.seal_target(ids, uri, out).ok()
    }
}
