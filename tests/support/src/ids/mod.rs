//! The required result for a body, computed slowly and over the whole of it.

use std::ops::Range;

use tokenpin::IdVerdict;
use tokenpin::ids::{ITEM_PREFIXES, Ids, KEYS, KeyKind, Mode, PREFIXES, Rules};

use self::tree::{Node, Value, parse};

pub mod tree;

pub const NO_KEY: u8 = 255;

/// A part of a body, and its replacement.
pub type Edit = (Range<usize>, Vec<u8>);

pub fn apply(body: &[u8], edits: &[Edit]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    for (place, text) in edits {
        out.extend_from_slice(&body[at..place.start]);
        out.extend_from_slice(text);
        at = place.end;
    }
    out.extend_from_slice(&body[at..]);
    out
}

/// Returns whether responses of such an API seal an id.
pub fn seals(ids: Ids, text: &[u8]) -> bool {
    let end = text.iter().position(|byte| b"_-".contains(byte)).map_or(0, |at| at + 1);
    let known = PREFIXES.contains(&&text[..end])
        || ids == Ids::Items && ITEM_PREFIXES.contains(&&text[..end]);
    let letters = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    known && text.len() <= 255 && text.iter().all(letters)
}

/// Returns whether a string may be an id.
fn is_candidate(kind: Option<KeyKind>, node: &Node) -> bool {
    matches!(kind, Some(KeyKind::Id | KeyKind::Own | KeyKind::Named)) && node.at.len() <= 512
}

/// Returns the edits that seal a document.
pub fn seal(body: &[u8], rules: &Rules<'_>, ids: Ids, pin: u64) -> (Vec<Edit>, bool) {
    let (node, whole) = parse(body, false);
    let mut edits = Vec::new();
    if let Some(node) = &node {
        seal_node(body, node, None, rules, ids, pin, &mut edits);
    }
    (edits, whole)
}

fn seal_node(
    body: &[u8],
    node: &Node,
    kind: Option<KeyKind>,
    rules: &Rules<'_>,
    ids: Ids,
    pin: u64,
    edits: &mut Vec<Edit>,
) {
    match &node.value {
        Value::Text(Some(text)) if is_candidate(kind, node) && seals(ids, text) => {
            let sealed = rules.sealer.seal(text, pin).unwrap();
            edits.push((node.at.clone(), sealed.as_bytes().to_vec()));
        }
        Value::Text(Some(text))
            if kind == Some(KeyKind::Encrypted)
                && ids == Ids::Items
                && rules.encrypted
                && !is_odd(&body[node.at.clone()]) =>
        {
            let mark = rules.sealer.mark(text, pin);
            edits.extend(mark.map(|mark| (node.at.end..node.at.end, mark.to_vec())));
        }
        Value::Array(elements) => {
            for element in elements {
                let is_text = matches!(element.value, Value::Text(_));
                let in_ids = (kind == Some(KeyKind::Ids) && is_text).then_some(KeyKind::Id);
                seal_node(body, element, in_ids, rules, ids, pin, edits);
            }
        }
        Value::Object(members) => {
            for (_, row, node) in members {
                seal_node(body, node, row.map(|row| KEYS[row].kind), rules, ids, pin, edits);
            }
        }
        _ => {}
    }
}

/// The required summary of a request.
#[expect(clippy::struct_excessive_bools, reason = "as many as the library's")]
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub edits: Vec<Edit>,
    pub whole: bool,
    pub verdict: IdVerdict,
    pub keys: [u8; 2],
    pub refused: bool,
    pub unreadable: bool,
    pub existing: bool,
    pub unstored: bool,
    pub opened: u32,
    pub plain: u32,
    pub hard: Option<(u64, u8)>,
    pub soft: Option<u64>,
}

impl Request {
    pub fn account(&self) -> Option<(u64, u8)> {
        match (self.hard, self.soft) {
            (Some(hard), _) => Some(hard),
            (None, Some(soft)) if !self.unstored => Some((soft, NO_KEY)),
            _ => None,
        }
    }
}

pub struct Opening<'a> {
    pub rules: &'a Rules<'a>,
    pub ids: Ids,
    pub known: &'a (dyn Fn(u64) -> bool + Sync),
    out: Request,
}

/// The place of a value.
#[derive(Clone, Copy)]
struct Place {
    row: Option<usize>,
    level: usize,
    /// The key that names the object around the value, if that object holds an id.
    holder: Option<usize>,
    in_items: bool,
    /// An element of an array of ids.
    in_ids: bool,
}

/// The properties of an element of `input` or `items`.
#[derive(Default)]
struct Element {
    named: Vec<Option<u64>>,
}

impl<'a> Opening<'a> {
    pub fn new(rules: &'a Rules<'a>, ids: Ids, known: &'a (dyn Fn(u64) -> bool + Sync)) -> Self {
        let out = Request {
            edits: Vec::new(),
            whole: true,
            verdict: IdVerdict::None,
            keys: [NO_KEY; 2],
            refused: false,
            unreadable: false,
            existing: false,
            unstored: false,
            opened: 0,
            plain: 0,
            hard: None,
            soft: None,
        };
        Self { rules, ids, known, out }
    }

    pub fn open(mut self, body: &[u8]) -> Request {
        let (node, whole) = parse(body, self.rules.mode == Mode::Strict);
        self.out.whole = whole;
        if let Some(node) = &node {
            let place = Place { row: None, level: 0, holder: None, in_items: false, in_ids: false };
            self.node(body, node, place, &mut Element::default());
        }
        self.out
    }

    fn same(&self, key: &[u8], name: &[u8]) -> bool {
        key == name || self.rules.mode == Mode::Strict && key.eq_ignore_ascii_case(name)
    }

    fn node(&mut self, body: &[u8], node: &Node, place: Place, element: &mut Element) {
        let kind = place.row.map(|row| KEYS[row].kind);
        match &node.value {
            Value::Text(text) => self.text(body, node, text.as_deref(), place, element),
            Value::Array(elements) => {
                let items = place.level == 1
                    && matches!(kind, Some(KeyKind::OpaqueObject | KeyKind::Items));
                for node in elements {
                    let is_text = matches!(node.value, Value::Text(_));
                    let place = Place {
                        row: place.row.filter(|_| kind == Some(KeyKind::Ids) && is_text),
                        level: place.level + 1,
                        holder: None,
                        in_items: items && place.level == 1,
                        in_ids: kind == Some(KeyKind::Ids),
                    };
                    self.node(body, node, place, element);
                }
            }
            Value::Object(members) => {
                let holder =
                    place.row.filter(|_| matches!(kind, Some(KeyKind::Named | KeyKind::Holder)));
                let is_element = place.in_items && place.level == 2;
                let mut own = Element::default();
                for (key, row, node) in members {
                    if let Value::Scalar(first) = node.value
                        && place.level == 0
                        && self.same(key, b"store")
                    {
                        self.out.unstored = first == b'f';
                    }
                    let place = Place {
                        row: *row,
                        level: place.level + 1,
                        holder,
                        in_items: is_element,
                        in_ids: false,
                    };
                    self.node(body, node, place, if is_element { &mut own } else { element });
                }
                if is_element && node.whole {
                    let reference = |key: &[u8]| {
                        [&b"id"[..], b"type", b"status"].iter().any(|name| self.same(key, name))
                    };
                    let inline = !members.iter().all(|(key, ..)| reference(key));
                    self.settle(&own, inline);
                }
            }
            Value::Scalar(_) | Value::Opaque => {}
        }
    }

    fn settle(&mut self, element: &Element, inline: bool) {
        // Of more than two, the first and the last count.
        let named = &element.named;
        let two = match named.len() {
            0 => vec![],
            1 => vec![named[0]],
            len => vec![named[0], named[len - 1]],
        };
        for named in two {
            match named {
                _ if self.out.refused => {}
                _ if !inline => self.hard(number_of("id"), named),
                Some(pin) if (self.known)(pin) => self.out.soft = Some(pin),
                _ => {}
            }
        }
    }

    fn hard(&mut self, key: u8, named: Option<u64>) {
        self.out.existing = true;
        match (self.out.hard, named) {
            (None, Some(pin)) => self.out.hard = Some((pin, key)),
            (Some((other, first)), Some(pin)) if pin != other => {
                self.refuse(IdVerdict::Conflict, [first, key]);
            }
            _ => {}
        }
    }

    fn refuse(&mut self, verdict: IdVerdict, keys: [u8; 2]) {
        self.out.refused = true;
        self.out.verdict = self.out.verdict.max(verdict);
        self.out.keys = keys;
    }

    fn text(
        &mut self,
        body: &[u8],
        node: &Node,
        text: Option<&[u8]>,
        place: Place,
        element: &mut Element,
    ) {
        let Some(row) = place.row else { return };
        // A string in an array of ids is an id.
        let kind = if place.in_ids { KeyKind::Id } else { KEYS[row].kind };
        let raw = &body[node.at.clone()];
        if kind == KeyKind::Encrypted {
            return self.content(raw, text, node);
        }
        if !matches!(kind, KeyKind::Id | KeyKind::Own | KeyKind::Named) {
            return;
        }
        if raw.len() > 512 {
            self.out.unreadable |= self.rules.mode != Mode::Off && raw[..512].contains(&b'\\');
            return;
        }
        let Some(text) = text else { return };
        if self.out.refused {
            return;
        }
        let own = kind == KeyKind::Own;
        let key = u8::try_from(if own { place.holder.unwrap_or(row) } else { row }).unwrap();
        let (verdict, opened) = match self.rules.mode {
            Mode::Off => (IdVerdict::Plain, None),
            _ => self.rules.sealer.open(text),
        };
        let named = if let Some(opened) = opened {
            self.out.opened += 1;
            self.out.verdict = self.out.verdict.max(IdVerdict::Sealed);
            self.out.edits.push((node.at.clone(), opened.native().to_vec()));
            Some(opened.pin)
        } else {
            if verdict != IdVerdict::Plain && self.rules.refuse_foreign {
                return self.refuse(verdict, [key, NO_KEY]);
            }
            if text.is_empty() || text == b"auto" {
                return;
            }
            self.out.plain += 1;
            self.out.verdict = self.out.verdict.max(IdVerdict::Plain);
            if self.rules.mode == Mode::Strict && seals(self.ids, text) {
                return self.refuse(IdVerdict::Plain, [key, NO_KEY]);
            }
            None
        };
        if own && place.in_items && place.level == 3 {
            element.named.push(named);
        } else if !own || place.holder.is_some() || named.is_some() {
            self.hard(key, named);
        }
    }

    fn content(&mut self, raw: &[u8], text: Option<&[u8]>, node: &Node) {
        let Some(text) = text else { return };
        // A mark is written without escapes.
        let behind_escapes =
            characters(raw).rev().take_while(|character| !character.starts_with(b"\\")).count();
        let looked_at = self.rules.encrypted && self.rules.mode != Mode::Off;
        let is_marked = looked_at && !self.out.refused && behind_escapes >= 26;
        if !is_marked || text.len() < 27 {
            return;
        }
        if is_odd(&raw[..raw.len() - 26]) {
            return;
        }
        let key = number_of("encrypted_content");
        match self.rules.sealer.open_mark(text) {
            (IdVerdict::Sealed, found) => {
                self.out.opened += 1;
                self.out.verdict = self.out.verdict.max(IdVerdict::Sealed);
                self.out.edits.push((node.at.end - 26..node.at.end, Vec::new()));
                self.hard(key, Some(found.unwrap().1));
            }
            (IdVerdict::Plain, _) => {}
            (verdict, _) if self.rules.refuse_foreign => self.refuse(verdict, [key, NO_KEY]),
            _ => {}
        }
    }
}

/// The characters of a string as they are written.
fn characters(raw: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let (mut rest, mut all) = (raw, Vec::new());
    while !rest.is_empty() {
        let len = match rest {
            [b'\\', b'u', ..] => 6,
            [b'\\', ..] => 2,
            _ => 1,
        };
        let (character, behind) = rest.split_at(len.min(rest.len()));
        all.push(character);
        rest = behind;
    }
    all.into_iter()
}

/// Returns whether content has an escaped character beyond ASCII in its first 64 characters: it is
/// no base64.
fn is_odd(raw: &[u8]) -> bool {
    let odd =
        |character: &[u8]| character.len() == 6 && tree::unescape(character) == Some(vec![0xff]);
    characters(raw).take(64).any(odd)
}

pub fn number_of(name: &str) -> u8 {
    let row = KEYS.iter().position(|row| row.name == name.as_bytes()).unwrap();
    u8::try_from(row).unwrap()
}

/// Returns the edits that seal the events of a stream, and the number of its documents with
/// unexpected input.
pub fn seal_events(body: &[u8], rules: &Rules<'_>, ids: Ids, pin: u64) -> (Vec<Edit>, u32) {
    let (mut edits, mut unexpected) = (Vec::new(), 0);
    let mut event: Vec<Range<usize>> = Vec::new();
    let mut end_event = |event: &mut Vec<Range<usize>>| {
        // The document, and the source of each of its bytes.
        let (mut document, mut from) = (Vec::new(), Vec::new());
        for (i, line) in event.drain(..).enumerate() {
            if i > 0 {
                document.push(b'\n');
                from.push(usize::MAX);
            }
            document.extend_from_slice(&body[line.clone()]);
            from.extend(line.clone());
            from.push(line.end);
            document.push(b' ');
        }
        let cut = string_over_a_line(&document);
        let (made, whole) = seal(&document[..cut.unwrap_or(document.len())], rules, ids, pin);
        for (place, text) in made {
            let start = from[place.start];
            edits.push((start..start + place.len(), text));
        }
        let blank = document.iter().all(|byte| b" \t\r\n".contains(byte));
        let done = is_done(&document);
        let understood = blank || done || whole && cut.is_none();
        unexpected += u32::from(!understood);
    };
    let mut at = if body.starts_with(&[0xef, 0xbb, 0xbf]) { 3 } else { 0 };
    while at < body.len() {
        let end = body[at..]
            .iter()
            .position(|byte| b"\r\n".contains(byte))
            .map_or(body.len(), |i| at + i);
        let line = &body[at..end];
        if line.is_empty() {
            end_event(&mut event);
        } else if let Some(data) = line.strip_prefix(b"data:") {
            let data = data.strip_prefix(b" ").unwrap_or(data);
            event.push(end - data.len()..end);
        }
        at = end + if body[end..].starts_with(b"\r\n") { 2 } else { 1 };
    }
    end_event(&mut event);
    (edits, unexpected)
}

/// Returns whether the body is `[DONE]`, which is no document and not counted.
pub fn is_done(body: &[u8]) -> bool {
    let done = body.trim_ascii().strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
    done == Some(b"DONE]") && !body.contains(&b'\x0c')
}

/// Returns the line end inside a string, which ends the part of the document that is read.
fn string_over_a_line(document: &[u8]) -> Option<usize> {
    let (mut in_string, mut at) = (false, 0);
    while at < document.len() {
        match document[at] {
            b'"' => in_string = !in_string,
            b'\\' if in_string => at += 1,
            b'\n' if in_string => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}
