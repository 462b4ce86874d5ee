//! Takes the strings of a document: opens the ids of a request, and seals those of a response.

use crate::bytes::alike;

use super::fields::{ENCRYPTED, Fields, Ids, KeyKind, NO_KEY, OWN};
use super::form::MARK_LEN;
use super::id::IdVerdict;
use super::rules::Mode;
use super::sides::{Opening, Sealing};
use super::summary::{Named, Summary, rank};

/// The longest string that is read, in its escaped form.
pub(crate) const HOLD: usize = 512;

/// The purpose of reading a document.
pub(crate) struct Reading<'r> {
    /// The keys that are read.
    pub fields: &'r Fields<'r>,
    /// The case of their letters is ignored.
    pub any_case: bool,
    /// The letters with which added keys may begin.
    pub added_letters: u32,
    pub content: Content,
    /// The deepest level whose keys, values and ends the reader receives.
    pub reach: u32,
    pub by: Reader<'r>,
}

/// The treatment of encrypted content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Leave,
    Mark,
    Unmark,
}

/// The place of a string.
#[derive(Clone, Copy)]
pub(crate) struct Spot {
    /// The number of its key.
    pub key: u8,
    pub kind: KeyKind,
    /// The level of the object around it.
    pub level: u32,
    /// The key of that object, if that key names an object.
    pub held_by: Option<u8>,
}

/// The side that receives the strings of a document. An enum, because the two tables of functions
/// of a trait take 700 bytes more.
pub(super) enum Reader<'r> {
    Open(Open<'r>),
    Seal(Seal<'r>),
}

impl Reader<'_> {
    /// Receives a key of the object on this level, empty if it is longer than any that is read.
    pub(super) fn key(&mut self, level: u32, name: &[u8]) {
        if let Self::Open(open) = self {
            open.key(level, name);
        }
    }

    /// Receives the first byte of a value that is no string, object or array.
    pub(super) fn scalar(&mut self, level: u32, first: u8) {
        if let Self::Open(open) = self {
            open.scalar(level, first);
        }
    }

    pub(super) fn enter(&mut self, level: u32, is_object: bool, kind: Option<KeyKind>) {
        if let Self::Open(open) = self {
            open.enter(level, is_object, kind);
        }
    }

    pub(super) fn leave(&mut self, level: u32) {
        if let Self::Open(open) = self {
            open.leave(level);
        }
    }

    /// Ends the document.
    pub(super) fn end(&mut self) {
        if let Self::Open(open) = self {
            *open.element = NO_ELEMENT;
        }
    }

    /// Receives a string that may be an id, unescaped, or `None` if it cannot be one. The bytes
    /// written to `out` replace it.
    pub(super) fn id(
        &mut self,
        spot: Spot,
        text: Option<&[u8]>,
        out: &mut [u8; HOLD],
    ) -> Option<usize> {
        match self {
            Self::Open(open) => open.id(spot, text?, out),
            Self::Seal(seal) => seal.id(spot, text?, out),
        }
    }

    /// Receives a string that is too long for an id and has escapes.
    pub(super) fn too_long(&mut self, spot: Spot) {
        if let Self::Open(open) = self {
            open.too_long(spot);
        }
    }

    /// Returns the mark for encrypted content with this head.
    pub(super) fn mark(&mut self, head: &[u8]) -> Option<[u8; MARK_LEN]> {
        match self {
            Self::Open(_) => None,
            Self::Seal(seal) => seal.with.rules.sealer.mark(head, seal.with.pin),
        }
    }

    /// Returns whether this end of encrypted content is a mark to remove.
    pub(super) fn unmark(&mut self, head: &[u8], mark: &[u8; MARK_LEN]) -> bool {
        match self {
            Self::Open(open) => open.unmark(head, mark),
            Self::Seal(_) => false,
        }
    }
}

// Requests.

/// An element of `input` or `items`. It is history if it has more than an id.
#[derive(Clone, Copy)]
pub(super) struct Element {
    /// The array on the second level is `input` or `items`.
    among: bool,
    /// The element has a key that a mere reference does not have.
    is_inline: bool,
    /// The first id of the element, plain or sealed; `second` holds another one.
    named: Option<Named>,
    second: Option<Named>,
    /// The last key of the first level was `store`.
    store: bool,
}

pub(super) const NO_ELEMENT: Element =
    Element { among: false, is_inline: false, named: None, second: None, store: false };

/// The levels of the document, of the array of elements, and of an element.
const ROOT: u32 = 1;
const ARRAY: u32 = 2;
const ELEMENT: u32 = 3;

pub(super) struct Open<'r> {
    pub with: &'r Opening<'r>,
    pub ids: Ids,
    pub summary: &'r mut Summary,
    pub element: &'r mut Element,
}

impl<'r> Open<'r> {
    pub(super) fn reading(self) -> Reading<'r> {
        let rules = self.with.rules;
        let unmarks = rules.encrypted && rules.mode != Mode::Off;
        Reading {
            fields: &rules.fields,
            any_case: rules.mode == Mode::Strict,
            added_letters: rules.fields.added_letters(),
            content: if unmarks { Content::Unmark } else { Content::Leave },
            reach: ELEMENT,
            by: Reader::Open(self),
        }
    }

    #[inline(never)]
    fn root_key(&mut self, name: &[u8]) {
        let any_case = self.with.rules.mode == Mode::Strict;
        self.element.store = name == b"store" || any_case && alike(name, b"store");
    }

    #[inline(never)]
    fn element_key(&mut self, name: &[u8]) {
        self.element.is_inline = match name {
            b"id" | b"type" | b"status" => false,
            _ if self.with.rules.mode != Mode::Strict => true,
            _ => !(alike(name, b"id") || alike(name, b"type") || alike(name, b"status")),
        };
    }

    /// Binds the ids of an element, once all its keys are known.
    #[inline(never)]
    fn settle(&mut self, is_inline: bool) {
        let named = [self.element.named.take(), self.element.second.take()];
        if self.summary.refused {
            return;
        }
        for named in named.into_iter().flatten() {
            match named {
                _ if !is_inline => self.summary.bind_hard(OWN, named),
                Named::Account(pin) if (self.with.known)(pin) => self.summary.bind_soft(pin),
                _ => {}
            }
        }
    }

    fn key(&mut self, level: u32, name: &[u8]) {
        if level == ROOT {
            self.root_key(name);
        } else if level == ELEMENT && self.element.among && !self.element.is_inline {
            self.element_key(name);
        }
    }

    fn scalar(&mut self, level: u32, first: u8) {
        if level == ROOT && self.element.store {
            self.summary.unstored = first == b'f';
        }
    }

    fn enter(&mut self, level: u32, is_object: bool, kind: Option<KeyKind>) {
        if level == ARRAY {
            self.element.among =
                !is_object && matches!(kind, Some(KeyKind::OpaqueObject | KeyKind::Items));
        }
    }

    fn leave(&mut self, level: u32) {
        if level == ELEMENT {
            let is_inline = core::mem::take(&mut self.element.is_inline);
            if self.element.named.is_some() {
                self.settle(is_inline);
            }
        }
    }

    fn id(&mut self, spot: Spot, text: &[u8], out: &mut [u8; HOLD]) -> Option<usize> {
        if spot.kind == KeyKind::Url {
            return None;
        }
        let own = spot.kind == KeyKind::Own;
        let of_element = own && spot.level == ELEMENT && self.element.among;
        let key = if own { spot.held_by.unwrap_or(spot.key) } else { spot.key };
        let element = &mut *self.element;
        let opened = self.summary.take(
            self.with.rules,
            self.ids,
            (key, rank(key)),
            text,
            &mut |summary, named| {
                if of_element {
                    if element.named.is_none() {
                        element.named = Some(named);
                    } else {
                        element.second = Some(named);
                    }
                } else if !own || spot.held_by.is_some() || matches!(named, Named::Account(_)) {
                    summary.bind_hard(key, named);
                }
            },
        )?;
        put(opened.native(), out)
    }

    fn too_long(&mut self, spot: Spot) {
        if spot.kind != KeyKind::Url && self.with.rules.mode != Mode::Off {
            self.summary.unreadable = true;
        }
    }

    fn unmark(&mut self, head: &[u8], mark: &[u8; MARK_LEN]) -> bool {
        if self.summary.refused {
            return false;
        }
        match self.with.rules.sealer.read_mark(head, mark) {
            (_, Some(pin)) => {
                self.summary.note_opened(b"");
                self.summary.bind_hard(ENCRYPTED, Named::Account(pin));
                true
            }
            (IdVerdict::Plain, None) => false,
            (verdict, None) => {
                if self.with.rules.refuse_foreign {
                    self.summary.refuse(verdict, [ENCRYPTED, NO_KEY], b"");
                }
                false
            }
        }
    }
}

fn put(text: &[u8], out: &mut [u8; HOLD]) -> Option<usize> {
    out.get_mut(..text.len())?.copy_from_slice(text);
    Some(text.len())
}

// Responses.

pub(super) struct Seal<'r> {
    pub with: &'r Sealing<'r>,
    pub ids: Ids,
    pub recent: &'r mut Recent,
    pub sealed: &'r mut u32,
}

impl<'r> Seal<'r> {
    pub(super) fn reading(self) -> Reading<'r> {
        let rules = self.with.rules;
        let marks = self.ids == Ids::Items && rules.encrypted && rules.mode != Mode::Open;
        Reading {
            fields: &rules.fields,
            any_case: false,
            added_letters: rules.fields.added_letters(),
            content: if marks { Content::Mark } else { Content::Leave },
            reach: 0,
            by: Reader::Seal(self),
        }
    }

    fn id(&mut self, spot: Spot, text: &[u8], out: &mut [u8; HOLD]) -> Option<usize> {
        if spot.kind == KeyKind::Url {
            return self.with.seal_uri(self.ids, text, out);
        }
        let sealed = self.recent.find(text, out).or_else(|| {
            let sealed = self.with.seal(self.ids, text)?;
            self.recent.keep(text, sealed.as_bytes());
            put(sealed.as_bytes(), out)
        })?;
        *self.sealed = self.sealed.saturating_add(1);
        Some(sealed)
    }
}

/// The last two ids that were sealed. Event streams repeat two ids in every event.
#[derive(Clone)]
pub(super) struct Recent {
    entries: [Pair; 2],
    next: bool,
}

/// An id of a common length, native and sealed.
#[derive(Clone, Copy)]
struct Pair {
    native: [u8; RECENT_MAX],
    sealed: [u8; RECENT_MAX],
    native_len: u8,
    sealed_len: u8,
}

const RECENT_MAX: usize = 64;

impl Recent {
    pub(super) const NONE: Self = Self {
        entries: [Pair {
            native: [0; RECENT_MAX],
            sealed: [0; RECENT_MAX],
            native_len: 0,
            sealed_len: 0,
        }; 2],
        next: false,
    };

    fn find(&self, native: &[u8], out: &mut [u8; HOLD]) -> Option<usize> {
        let same = |pair: &&Pair| {
            usize::from(pair.native_len) == native.len() && pair.native.starts_with(native)
        };
        let pair = self.entries.iter().filter(|_| !native.is_empty()).find(same)?;
        put(pair.sealed.get(..usize::from(pair.sealed_len))?, out)
    }

    fn keep(&mut self, native: &[u8], sealed: &[u8]) {
        let place = self.entries.get_mut(usize::from(self.next));
        let (Some(pair), true) = (place, sealed.len().max(native.len()) <= RECENT_MAX) else {
            return;
        };
        for (to, from, len) in [
            (&mut pair.native, native, &mut pair.native_len),
            (&mut pair.sealed, sealed, &mut pair.sealed_len),
        ] {
            if let Some(to) = to.get_mut(..from.len()) {
                to.copy_from_slice(from);
                *len = u8::try_from(from.len()).unwrap_or_default();
            }
        }
        self.next = !self.next;
    }
}
