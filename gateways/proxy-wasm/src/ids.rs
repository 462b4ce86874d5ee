//! The ids of one request and its response. What the library is asked of them is asked here.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;

use tokenpin::gateway::Content;
use tokenpin::ids::{Ids, Mode, Opener, Opening, Origin, Rules, Sealer, Sealing, Summary};
use tokenpin::{Error, KeyInput};

use crate::config::{Setup, Terms};
use crate::content::Utf8;
use crate::host::Headers;

/// The ids of one request, and how those of its response are sealed.
pub(crate) struct RequestIds {
    setup: Rc<Setup>,
    ids: Ids,
    pub mode: Mode,
    scope: Vec<u8>,
    owner: Vec<u8>,
    /// Scheme and authority of the client's request.
    origin: Vec<u8>,
    pub summary: Summary,
    /// The target as the upstream gets it, if ids in it were opened.
    pub target: Option<Vec<u8>>,
    opener: Option<Box<Opener>>,
    opened_before: u32,
    /// The changes to the request's body.
    pub edits: Edits,
    at: usize,
    /// The number of its documents that were not understood.
    pub unexpected: u32,
    utf8: Utf8,
    is_head: bool,
    // The response.
    sealer: Option<Box<Sealer>>,
    pin: u64,
    upstream: Vec<u8>,
    told_sealed: u32,
    told_unexpected: u32,
}

impl RequestIds {
    /// Of a request. None if its ids are not looked at.
    pub(crate) fn of(
        terms: &Terms,
        headers: &Headers,
        (method, target): (&[u8], &[u8]),
        scope: &[u8],
        consumer: KeyInput<'_>,
    ) -> Option<Box<Self>> {
        let affinity = terms.setup.affinity.get();
        let ids = affinity.classify(method, target).ids;
        if ids == Ids::None {
            return None;
        }
        let (scheme, authority) = (headers.first(":scheme"), headers.first(":authority"));
        Some(Box::new(Self {
            ids,
            mode: terms.mode(),
            scope: scope.to_vec(),
            owner: affinity.id_owner(consumer).to_vec(),
            origin: [scheme, b"://", authority].concat(),
            setup: Rc::clone(&terms.setup),
            summary: Summary::new(),
            target: None,
            opener: None,
            opened_before: 0,
            edits: Edits::default(),
            at: 0,
            unexpected: 0,
            utf8: Utf8::default(),
            is_head: method == b"HEAD",
            sealer: None,
            pin: 0,
            upstream: Vec::new(),
            told_sealed: 0,
            told_unexpected: 0,
        }))
    }

    /// Returns whether the API keeps its objects in an account.
    pub(crate) fn has_state(&self) -> bool {
        matches!(self.ids, Ids::Both | Ids::Items)
    }

    pub(crate) fn is_head(&self) -> bool {
        self.is_head
    }

    // The request: first its target, then the parts of its body, and its end.

    pub(crate) fn open_target(&mut self, target: &[u8]) {
        let mut opened = target.to_vec();
        let affinity = self.setup.affinity.get();
        let Ok(rules) = affinity.id_rules(&self.scope, &self.owner, Some(self.mode)) else {
            return;
        };
        let with = Opening { rules: &rules, known: &|pin| affinity.knows(pin) };
        let len = with.open_target(self.ids, &mut self.summary, &mut opened);
        opened.truncate(len);
        self.target = Some(opened).filter(|opened| opened != target);
        self.opened_before = self.summary.opened;
    }

    pub(crate) fn begin_body(&mut self) {
        self.opener = Some(Box::new(Opener::new(self.ids)));
    }

    pub(crate) fn open(&mut self, mut part: &[u8]) {
        let Self { opener: Some(opener), setup, edits, at, .. } = self else { return };
        if self.mode == Mode::Strict {
            self.utf8.read(part);
        }
        let affinity = setup.affinity.get();
        let Ok(rules) = affinity.id_rules(&self.scope, &self.owner, Some(self.mode)) else {
            return;
        };
        let with = Opening { rules: &rules, known: &|pin| affinity.knows(pin) };
        while !part.is_empty() {
            let piece = opener.step(&with, &mut self.summary, part);
            let (pass, taken) = (piece.pass, piece.taken);
            // Pieces that pass as they are leave no trace.
            if taken != pass || !piece.put.is_empty() {
                edits.replace(*at + pass, taken - pass, piece.put);
            }
            *at += taken;
            part = part.get(taken..).unwrap_or_default();
        }
        self.unexpected = opener.unexpected();
    }

    pub(crate) fn end_body(&mut self) {
        let Some(mut opener) = self.opener.take() else { return };
        let affinity = self.setup.affinity.get();
        if let Ok(rules) = affinity.id_rules(&self.scope, &self.owner, Some(self.mode)) {
            let with = Opening { rules: &rules, known: &|pin| affinity.knows(pin) };
            let rest = opener.finish(&with, &mut self.summary);
            if !rest.is_empty() {
                self.edits.replace(self.at, 0, rest);
            }
        }
        self.unexpected = opener.unexpected();
        // Bytes that were held back and left unchanged are no change.
        if self.summary.opened == self.opened_before {
            self.edits = Edits::default();
        }
    }

    /// The body is not read any further, and passes as it is.
    pub(crate) fn give_up_body(&mut self) {
        self.opener = None;
        self.edits = Edits::default();
    }

    /// Returns whether all of the body was text, and understood.
    pub(crate) fn is_readable(&self) -> bool {
        self.unexpected == 0 && self.utf8.is_text()
    }

    // The response.

    /// Returns whether ids in it may change.
    pub(crate) fn seals(&self) -> bool {
        self.summary.changes_response()
    }

    /// It is of this slot, and came from this authority.
    pub(crate) fn begin_response(&mut self, slot: u32, upstream: Vec<u8>) {
        self.pin = self.setup.affinity.get().pin(slot).unwrap_or_default();
        self.upstream = upstream;
    }

    /// Returns whether ids are sealed in a body of this kind.
    pub(crate) fn seals_body(&self, status: &[u8], content: Content) -> bool {
        // Those without a body, and a part of one.
        let has_none = [&b"101"[..], b"204", b"206", b"304"].contains(&status);
        !self.summary.downloads && !has_none && matches!(content, Content::Json | Content::Events)
    }

    fn sealing<T>(&self, then: impl FnOnce(&Sealing<'_>) -> T) -> Option<T> {
        let affinity = self.setup.affinity.get();
        let rules = affinity.id_rules(&self.scope, &self.owner, Some(self.mode)).ok()?;
        Some(then(&sealing(&rules, &self.summary, self.pin, (&self.upstream, &self.origin))))
    }

    /// A URL in its headers, if something in it changes.
    pub(crate) fn seal_location(&self, location: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = vec![0; location.len()];
        let len = self.sealing(|with| {
            loop {
                match with.seal_target(self.ids, location, &mut sealed) {
                    Err(Error::BufferTooSmall { needed }) if needed > sealed.len() => {
                        sealed.resize(needed, 0);
                    }
                    other => break other.ok(),
                }
            }
        })??;
        sealed.truncate(len);
        Some(sealed).filter(|sealed| sealed != location)
    }

    pub(crate) fn begin_sealing(&mut self, content: Content) {
        let sealer = if content == Content::Events { Sealer::events } else { Sealer::json };
        self.sealer = Some(Box::new(sealer(self.ids)));
    }

    pub(crate) fn is_sealing(&self) -> bool {
        self.sealer.is_some()
    }

    /// The bytes to send in place of a part, if they differ.
    pub(crate) fn seal(&mut self, part: &[u8], is_last: bool) -> Option<Vec<u8>> {
        let mut sealer = self.sealer.take()?;
        let out = self.sealing(|with| {
            let (mut out, mut rest, mut differs) = (Vec::new(), part, false);
            while !rest.is_empty() {
                let piece = sealer.step(with, rest);
                let passes = piece.pass == part.len() && piece.put.is_empty();
                if passes && out.is_empty() && !is_last {
                    // Mostly nothing changes, and nothing is copied.
                    return None;
                }
                differs |= piece.pass != piece.taken || !piece.put.is_empty();
                out.extend_from_slice(rest.get(..piece.pass).unwrap_or_default());
                out.extend_from_slice(piece.put);
                rest = rest.get(piece.taken..).unwrap_or_default();
            }
            if is_last {
                let held = sealer.finish(with);
                differs |= !held.is_empty();
                out.extend_from_slice(held);
            }
            differs.then_some(out)
        });
        self.sealer = Some(sealer);
        out.flatten()
    }

    /// The numbers of ids sealed, and of documents not understood, since the last call.
    pub(crate) fn newly(&mut self) -> (u32, u32) {
        let Some(sealer) = &self.sealer else { return (0, 0) };
        let (ids, unexpected) = (sealer.sealed, sealer.unexpected());
        let newly = (ids - self.told_sealed, unexpected - self.told_unexpected);
        (self.told_sealed, self.told_unexpected) = (ids, unexpected);
        newly
    }
}

fn sealing<'a>(
    rules: &'a Rules<'a>,
    summary: &'a Summary,
    pin: u64,
    (upstream, own): (&'a [u8], &'a [u8]),
) -> Sealing<'a> {
    Sealing { rules, pin, echo: &summary.echo, origin: Some(Origin { upstream, own }) }
}

/// The changes to a body.
#[derive(Default)]
pub(crate) struct Edits {
    edits: Vec<Edit>,
    text: Vec<u8>,
}

struct Edit {
    at: usize,
    len: usize,
    /// The end of its text in `text`; it begins where the one before ends.
    text_end: usize,
}

impl Edits {
    /// In place of `len` bytes that stand at `at`. Behind all that was added before.
    fn replace(&mut self, at: usize, len: usize, text: &[u8]) {
        self.text.extend_from_slice(text);
        self.edits.push(Edit { at, len, text_end: self.text.len() });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    pub(crate) fn apply(&self, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(body.len());
        let (mut done, mut told) = (0, 0);
        for edit in &self.edits {
            out.extend_from_slice(body.get(done..edit.at).unwrap_or_default());
            out.extend_from_slice(self.text.get(told..edit.text_end).unwrap_or_default());
            (done, told) = (edit.at + edit.len, edit.text_end);
        }
        out.extend_from_slice(body.get(done..).unwrap_or_default());
        out
    }
}
