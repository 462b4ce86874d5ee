//! Opens the ids of requests and seals those of responses while their bodies pass.

use crate::bytes::move_bytes;
use crate::limits::MAX_SEALED_ID;

use super::events::Body;
use super::fields::Ids;
use super::reader::{Element, HOLD, NO_ELEMENT, Open, Recent, Seal};
use super::scan::Step;
use super::sides::{Opening, Sealing};
use super::summary::Summary;

/// One step through a body. The first `pass` bytes of the input go out unchanged, `put` follows
/// them, and `taken` bytes of the input are consumed.
#[derive(Debug)]
pub struct Piece<'s> {
    /// The number of input bytes that pass unchanged.
    pub pass: usize,
    /// The bytes that follow them.
    pub put: &'s [u8],
    /// The number of input bytes consumed, including those that pass.
    pub taken: usize,
}

impl Piece<'_> {
    /// Sends the output of this step to `sink`. Returns the rest of the input.
    fn hand_on<'i>(&self, input: &'i [u8], sink: &mut impl FnMut(&[u8])) -> &'i [u8] {
        for part in [input.get(..self.pass).unwrap_or_default(), self.put] {
            if !part.is_empty() {
                sink(part);
            }
        }
        input.get(self.taken..).unwrap_or_default()
    }
}

fn piece(body: &Body, step: Step) -> Piece<'_> {
    Piece { pass: step.pass, put: body.scan.put(step), taken: step.taken }
}

// Requests.

/// Opens the ids of a request whose body may come in chunks.
#[derive(Clone)]
pub struct Opener {
    body: Body,
    pub(crate) ids: Ids,
    element: Element,
}

impl Opener {
    /// Creates an opener for a body of one JSON document. A body that begins like an event stream
    /// is read as events.
    #[must_use]
    pub const fn new(ids: Ids) -> Self {
        Self { body: Body::json(), ids, element: NO_ELEMENT }
    }

    /// Reads on in a chunk, up to the first byte that must change or be held. Call it until the
    /// whole chunk is taken.
    pub fn step(&mut self, with: &Opening<'_>, summary: &mut Summary, chunk: &[u8]) -> Piece<'_> {
        let step = if self.ids == Ids::None {
            Step::pass(chunk.len())
        } else {
            let Self { body, ids, element } = self;
            body.step(&mut Open { with, ids: *ids, summary, element }.reading(), chunk)
        };
        piece(&self.body, step)
    }

    /// Ends the body, and returns the bytes still held.
    pub fn finish(&mut self, with: &Opening<'_>, summary: &mut Summary) -> &[u8] {
        let Self { body, ids, element } = self;
        let step = body.end(&mut Open { with, ids: *ids, summary, element }.reading());
        self.body.scan.put(step)
    }

    /// Returns the number of documents that are not JSON as the scanner reads it: 0 or 1, except
    /// for events.
    #[must_use]
    pub fn unexpected(&self) -> u32 {
        self.body.scan.unexpected
    }

    /// Opens a chunk, and sends the output to `sink` piece by piece.
    pub fn push(
        &mut self,
        with: &Opening<'_>,
        summary: &mut Summary,
        mut chunk: &[u8],
        mut sink: impl FnMut(&[u8]),
    ) {
        while !chunk.is_empty() {
            chunk = self.step(with, summary, chunk).hand_on(chunk, &mut sink);
        }
    }

    /// Opens the ids of a whole body in place, and returns the new length, which is never longer.
    pub fn open_in_place(
        &mut self,
        with: &Opening<'_>,
        summary: &mut Summary,
        body: &mut [u8],
    ) -> usize {
        let (mut read, mut written) = (0, 0);
        while read < body.len() {
            let piece = self.step(with, summary, body.get(read..).unwrap_or_default());
            let (pass, taken) = (piece.pass, piece.taken);
            let put: &[u8] = piece.put;
            move_bytes(body, read, pass, written);
            written += pass;
            if let Some(place) = body.get_mut(written..written + put.len()) {
                place.copy_from_slice(put);
                written += put.len();
            }
            read += taken;
        }
        let rest = self.finish(with, summary);
        if let Some(place) = body.get_mut(written..written + rest.len()) {
            place.copy_from_slice(rest);
            written += rest.len();
        }
        written
    }
}

// Responses.

/// Seals the ids of a response whose body may come in chunks.
#[derive(Clone)]
pub struct Sealer {
    body: Body,
    pub(crate) ids: Ids,
    recent: Recent,
    /// The number of sealed ids.
    pub sealed: u32,
}

impl Sealer {
    /// Creates a sealer for a body of one JSON document. A body that begins like an event stream is
    /// read as events.
    #[must_use]
    pub const fn json(ids: Ids) -> Self {
        Self { body: Body::json(), ids, recent: Recent::NONE, sealed: 0 }
    }

    /// Creates a sealer for server-sent events.
    #[must_use]
    pub const fn events(ids: Ids) -> Self {
        Self { body: Body::events(), ids, recent: Recent::NONE, sealed: 0 }
    }

    /// Reads on in a chunk, up to the first byte that must change or be held. Call it until the
    /// whole chunk is taken.
    pub fn step(&mut self, with: &Sealing<'_>, chunk: &[u8]) -> Piece<'_> {
        let Self { body, ids, recent, sealed } = self;
        let step = if with.seals(*ids) {
            body.step(&mut Seal { with, ids: *ids, recent, sealed }.reading(), chunk)
        } else {
            Step::pass(chunk.len())
        };
        piece(&self.body, step)
    }

    /// Ends the body, and returns the bytes still held.
    pub fn finish(&mut self, with: &Sealing<'_>) -> &[u8] {
        let Self { body, ids, recent, sealed } = self;
        let step = body.end(&mut Seal { with, ids: *ids, recent, sealed }.reading());
        self.body.scan.put(step)
    }

    /// Returns the number of documents that are not JSON as the scanner reads it. Their rest passed
    /// unchanged.
    #[must_use]
    pub fn unexpected(&self) -> u32 {
        self.body.scan.unexpected
    }

    /// Seals a chunk, and sends the output to `sink` piece by piece.
    pub fn push(&mut self, with: &Sealing<'_>, mut chunk: &[u8], mut sink: impl FnMut(&[u8])) {
        while !chunk.is_empty() {
            chunk = self.step(with, chunk).hand_on(chunk, &mut sink);
        }
    }
}

// The documented bound on the memory of a body.
const _: () = assert!(size_of::<Sealer>() < 1024 && size_of::<Opener>() < 1024);
const _: () = assert!(HOLD >= MAX_SEALED_ID);
