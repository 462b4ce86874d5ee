//! The scanner of one JSON document, in chunks that may be cut anywhere.
//!
//! It understands just enough JSON to find the key of each string, and hands strings that may be
//! ids to the reader. Everything else passes unchanged. It holds back the raw bytes of one such
//! string, or the end of encrypted content, and nothing else. After unexpected input it passes the
//! rest of the document unchanged.

use crate::bytes::{find_either, find_special, holds};

use super::fields::{FILE, KeyKind, MAX_KEY_NAME, NO_KEY, may_be_read};
use super::form::{HEAD_LEN, MARK_LEN};
use super::reader::{Content, HOLD, Reading, Spot};

/// The number of levels that are tracked. Deeper ones are opaque.
const LEVELS: u32 = 256;
/// The number of nested levels with an id for which the key is remembered.
const NAMED_LEVELS: usize = 16;
/// The longest key that is read, in its escaped form: every character may be `\u....`.
const KEY_HOLD: usize = 6 * MAX_KEY_NAME;

/// The word that ends an event stream, in brackets.
const STOP: &[u8; 4] = b"DONE";

/// `hold` has the head of encrypted content, then its end, then bytes on their way out.
const TAIL_AT: usize = HEAD_LEN;
const OUT_AT: usize = TAIL_AT + MARK_LEN;

/// The states between two tokens come first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum State {
    Begin,
    Value,
    ValueOrEnd,
    AfterValue,
    KeyOrEnd,
    Key,
    Colon,
    Done,
    InKey,
    /// In a string that is not read.
    Text,
    /// In a string that may be an id. The part read so far is held.
    Candidate,
    /// In encrypted content.
    Content,
    /// In an escape of encrypted content.
    ContentEscape,
    /// The closing quote of a value is next.
    Quote,
    Scalar,
    /// In `[DONE]`, which ends an event stream and is no document.
    Stop,
    /// Below the levels that are read, outside a string or in one.
    Skim,
    SkimText,
    /// Passing unexpected input.
    Broken,
}

/// The result of a step at the front of its input. The first `pass` bytes go out unchanged, `put`
/// follows them, and `taken` bytes are consumed.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub pass: usize,
    pub taken: usize,
    put: (u16, u16),
}

impl Step {
    pub(crate) const fn pass(len: usize) -> Self {
        Self { pass: len, taken: len, put: (0, 0) }
    }

    /// Adds input in front that passes unchanged.
    pub(crate) const fn behind(self, passed: usize) -> Self {
        Self { pass: self.pass + passed, taken: self.taken + passed, put: self.put }
    }

    pub(crate) const fn has_put(self) -> bool {
        self.put.1 != 0
    }
}

/// The kind of an open level.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Array,
    /// An array of ids.
    Ids,
    Object,
    /// An object that holds an id.
    Holder,
}

impl Level {
    const fn is_object(self) -> bool {
        matches!(self, Self::Object | Self::Holder)
    }

    /// Returns whether the key in front of it is remembered.
    const fn is_named(self) -> bool {
        matches!(self, Self::Ids | Self::Holder)
    }
}

/// The open levels, as a stack of two bits each.
#[derive(Clone, Copy)]
struct Levels {
    /// The innermost 32 levels. The innermost is the lowest.
    top: u64,
    /// The number of open levels.
    depth: u32,
    /// `top` before the first level, the 33rd, the 65th, ..
    below: [u64; LEVELS as usize / 32],
}

impl Levels {
    const NONE: Self = Self { top: 0, depth: 0, below: [0; LEVELS as usize / 32] };

    fn open(&mut self, level: Level) {
        if self.depth % 32 == 0 {
            if let Some(place) = self.below.get_mut((self.depth / 32) as usize) {
                *place = self.top;
            }
        }
        self.depth += 1;
        self.top = self.top << 2 | level as u64;
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.top >>= 2;
        if self.depth % 32 == 0 {
            self.top = self.below.get((self.depth / 32) as usize).copied().unwrap_or_default();
        }
    }

    /// Returns the innermost level. Outside all levels there are no keys, as in an array.
    fn here(&self) -> Level {
        match self.top & 3 {
            0 => Level::Array,
            1 => Level::Ids,
            2 => Level::Object,
            _ => Level::Holder,
        }
    }
}

#[derive(Clone)]
pub(crate) struct Scanner {
    hold: [u8; HOLD],
    /// 0 outside strings.
    held: u16,
    state: State,
    /// The last byte was a backslash, which escapes the next one.
    escaped: bool,
    /// The string that may be an id has an escape.
    has_escape: bool,
    /// The number of bytes read of an escape of encrypted content, or of letters of [`STOP`].
    read: u8,
    /// The number and kind of the key of the next value, if that is read.
    found: Option<(u8, KeyKind)>,
    /// The keys of the open arrays of ids and objects with an id, and the number of them.
    named: [u8; NAMED_LEVELS],
    named_open: u16,
    levels: Levels,
    /// The number of open levels below those that are tracked.
    skim: u64,
    /// The level of `variables`, or 0.
    variables: u32,
    /// For encrypted content: the length of its head, the value of an escape so far, and whether a
    /// character of the head is beyond ASCII.
    head_len: u8,
    unicode: u16,
    foreign: bool,
    /// The number of documents with unexpected input.
    pub unexpected: u32,
}

impl Scanner {
    pub(crate) const fn new() -> Self {
        Self {
            hold: [0; HOLD],
            held: 0,
            state: State::Begin,
            escaped: false,
            has_escape: false,
            read: 0,
            found: None,
            named: [NO_KEY; NAMED_LEVELS],
            named_open: 0,
            levels: Levels::NONE,
            skim: 0,
            variables: 0,
            head_len: 0,
            unicode: 0,
            foreign: false,
            unexpected: 0,
        }
    }

    /// Returns whether nothing of the document was read.
    pub(crate) fn is_fresh(&self) -> bool {
        self.state == State::Begin
    }

    /// Returns the bytes that a step puts out.
    pub(crate) fn put(&self, step: Step) -> &[u8] {
        let (from, len) = (usize::from(step.put.0), usize::from(step.put.1));
        self.hold.get(from..from + len).unwrap_or_default()
    }

    /// Reads on, up to the first byte that must change or be held.
    pub(crate) fn step(&mut self, reading: &mut Reading<'_>, input: &[u8]) -> Step {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            if self.state > State::Done {
                match self.within(reading, input, at) {
                    Ok(behind) => at = behind,
                    Err(step) => return step.behind(at),
                }
            } else if is_space(byte) {
                at += 1;
            } else {
                at = self.token(reading, input, at, byte);
            }
        }
        Step::pass(at)
    }

    /// Reads the token that begins with this byte, a string only up to its opening quote.
    fn token(&mut self, reading: &mut Reading<'_>, input: &[u8], at: usize, byte: u8) -> usize {
        match (self.state, byte) {
            (State::Key | State::KeyOrEnd, b'"') => return self.members(reading, input, at + 1),
            (State::AfterValue, b',') => self.state = self.next_state(),
            (State::AfterValue | State::KeyOrEnd | State::ValueOrEnd, b'}' | b']') => {
                self.close(reading, byte == b'}');
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::Begin | State::Value | State::ValueOrEnd, b'"') => self.begin_text(reading),
            (State::Begin | State::Value | State::ValueOrEnd, b'{' | b'[') => {
                self.open(reading, byte == b'{');
            }
            (
                State::Begin | State::Value | State::ValueOrEnd,
                b'-' | b'0'..=b'9' | b't' | b'f' | b'n',
            ) => {
                self.begin_scalar(reading, byte);
            }
            (State::ValueOrEnd, b'D') if self.levels.depth == 1 => {
                (self.state, self.read) = (State::Stop, 1);
            }
            _ => self.give_up(),
        }
        at + 1
    }

    /// Reads on from behind the opening quote of a key, while the document has its usual form: keys
    /// and values are whole, and strings that are not read have no escapes.
    #[inline(never)]
    fn members(&mut self, reading: &mut Reading<'_>, input: &[u8], mut at: usize) -> usize {
        loop {
            let Some((name, behind)) = plain_string(input, at) else {
                self.state = State::InKey;
                return at;
            };
            self.end_key(reading, name);
            at += name.len() + 1;
            let mut gap = gap_in(behind, b':');
            let has_value = gap != 0 && self.found.is_none();
            if has_value {
                at += gap;
                let Some((text, behind)) = plain_string(input, at) else {
                    self.state = State::Text;
                    return at;
                };
                at += text.len() + 1;
                gap = gap_in(behind, b',');
                at += gap;
                if gap != 0 {
                    continue;
                }
            } else {
                self.state = State::Colon;
                if input.get(at) != Some(&b':') {
                    return at;
                }
                self.state = State::Value;
                at += 1;
            }
            match self.values(reading, input, at, has_value) {
                Ok(key) => at = key,
                Err(behind) => return behind,
            }
        }
    }

    /// Reads on from the first byte of a value, or from behind it. Returns the position behind the
    /// next opening quote of a key, or as an error the position up to which the usual form lasts.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "in one function with its only caller")]
    fn values(
        &mut self,
        reading: &mut Reading<'_>,
        input: &[u8],
        mut at: usize,
        mut has_value: bool,
    ) -> Result<usize, usize> {
        loop {
            if !has_value {
                let byte = next(input, &mut at);
                match byte {
                    b'"' => {
                        at += 1;
                        self.begin_text(reading);
                        if self.state != State::Text {
                            return Err(at);
                        }
                        let end = input.get(at..).and_then(|text| self.string_end(text));
                        at += end.ok_or(input.len())? + 1;
                    }
                    b'{' | b'[' => {
                        at += 1;
                        self.open(reading, byte == b'{');
                        match (self.state, next(input, &mut at)) {
                            (State::KeyOrEnd, b'"') => return Ok(at + 1),
                            (State::KeyOrEnd, b'}') | (State::ValueOrEnd, b']') => {}
                            (State::ValueOrEnd, _) => continue,
                            (State::Skim, _) => {
                                at = self.skim(input, at);
                                if self.state != State::AfterValue {
                                    return Err(at);
                                }
                            }
                            _ => return Err(at),
                        }
                    }
                    b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                        self.begin_scalar(reading, byte);
                        at = scalar_end(input, at + 1);
                        if !matches!(input.get(at), Some(b',' | b'}' | b']')) {
                            return Err(at);
                        }
                    }
                    _ => return Err(at),
                }
            }
            let byte = next(input, &mut at);
            match byte {
                b',' => {
                    at += 1;
                    self.state = self.next_state();
                    has_value = false;
                    if self.state == State::Key {
                        let is_key = next(input, &mut at) == b'"';
                        return if is_key { Ok(at + 1) } else { Err(at) };
                    }
                }
                b'}' | b']' => {
                    at += 1;
                    self.close(reading, byte == b'}');
                    has_value = true;
                    if self.state != State::AfterValue {
                        return Err(at);
                    }
                }
                _ => {
                    self.state = State::AfterValue;
                    return Err(at);
                }
            }
        }
    }

    /// Begins a string that is a value.
    fn begin_text(&mut self, reading: &Reading<'_>) {
        self.state = match self.found {
            Some((_, KeyKind::Id | KeyKind::Own | KeyKind::Named | KeyKind::Url)) => {
                self.has_escape = false;
                State::Candidate
            }
            Some((_, KeyKind::Encrypted)) if reading.content != Content::Leave => {
                (self.head_len, self.foreign) = (0, false);
                State::Content
            }
            _ => State::Text,
        };
    }

    fn begin_scalar(&mut self, reading: &mut Reading<'_>, first: u8) {
        if self.levels.depth <= reading.reach {
            reading.by.scalar(self.levels.depth, first);
        }
        self.state = State::Scalar;
    }

    /// Continues within a string, a scalar, or what is not read. Returns the position behind it, or
    /// a step.
    #[inline(never)]
    fn within(
        &mut self,
        reading: &mut Reading<'_>,
        input: &[u8],
        at: usize,
    ) -> Result<usize, Step> {
        let rest = input.get(at..).unwrap_or_default();
        let Some(&byte) = rest.first() else { return Ok(at) };
        match self.state {
            State::Text => {
                let Some(end) = self.string_end(rest) else { return Ok(input.len()) };
                Ok(self.end_value(input, at + end + 1))
            }
            State::Candidate | State::Content => {
                let step = if self.state == State::Candidate {
                    self.candidate(reading, rest)
                } else {
                    self.content(reading, rest)
                };
                if step.has_put() || step.pass < step.taken {
                    Err(step)
                } else {
                    Ok(at + step.taken)
                }
            }
            State::ContentEscape => Ok(at + usize::from(self.content_escape(byte))),
            State::Quote => Ok(self.end_value(input, at + 1)),
            State::InKey => {
                let end = self.string_end(rest);
                self.hold_key(rest.get(..end.unwrap_or(rest.len())).unwrap_or_default());
                let Some(end) = end else { return Ok(input.len()) };
                self.end_held_key(reading);
                Ok(at + end + 1)
            }
            State::Scalar => Ok(self.scalar(input, at)),
            State::Stop => {
                match STOP.get(usize::from(self.read)) {
                    Some(letter) if *letter == byte => self.read += 1,
                    None if byte == b']' => self.close(reading, false),
                    _ => self.give_up(),
                }
                Ok(at + 1)
            }
            State::SkimText => {
                let Some(end) = self.string_end(rest) else { return Ok(input.len()) };
                self.state = State::Skim;
                Ok(at + end + 1)
            }
            State::Skim => Ok(self.skim(input, at)),
            _ => Ok(input.len()),
        }
    }

    /// Continues a scalar.
    fn scalar(&mut self, input: &[u8], at: usize) -> usize {
        let at = scalar_end(input, at);
        match input.get(at) {
            Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n') => self.end_value(input, at),
            Some(b'"' | b'{' | b'[' | b':') => {
                self.give_up();
                at
            }
            Some(_) => at + 1,
            None => at,
        }
    }

    /// Continues below the levels that are read.
    #[inline(never)]
    fn skim(&mut self, input: &[u8], mut at: usize) -> usize {
        while let Some((&byte, behind)) = input.get(at..).and_then(<[u8]>::split_first) {
            at += 1;
            match byte {
                b'"' => {
                    let Some(end) = self.string_end(behind) else {
                        self.state = State::SkimText;
                        return input.len();
                    };
                    at += end + 1;
                }
                b'{' | b'[' => self.skim += 1,
                b'}' | b']' => {
                    self.skim -= 1;
                    if self.skim == 0 {
                        self.state = self.after_value();
                        break;
                    }
                }
                _ => {}
            }
        }
        at
    }

    /// Returns the position of the closing quote of the string that continues here.
    #[inline(never)]
    fn string_end(&mut self, text: &[u8]) -> Option<usize> {
        let mut at = usize::from(self.escaped && !text.is_empty());
        self.escaped &= at == 0;
        loop {
            let special = at + find_either(b'"', b'\\', text.get(at..)?)?;
            if text.get(special) == Some(&b'"') {
                return Some(special);
            }
            self.has_escape = true;
            at = special + 2;
            if at > text.len() {
                self.escaped = true;
                return None;
            }
        }
    }

    /// Ends a value at `at`. Returns the position behind it and the usual comma. This is one copy
    /// for all callers.
    #[inline(never)]
    fn end_value(&mut self, input: &[u8], at: usize) -> usize {
        self.state = self.after_value();
        if self.levels.depth == 0 || input.get(at) != Some(&b',') {
            return at;
        }
        self.state = self.next_state();
        at + 1
    }

    /// Returns the state behind a comma.
    fn next_state(&self) -> State {
        if self.levels.here().is_object() { State::Key } else { State::Value }
    }

    /// Returns the state behind a value.
    fn after_value(&self) -> State {
        if self.levels.depth == 0 { State::Done } else { State::AfterValue }
    }

    /// Returns the key of the innermost array of ids, or object with an id.
    fn innermost(&self) -> u8 {
        let at = usize::from(self.named_open).saturating_sub(1).min(NAMED_LEVELS - 1);
        self.named.get(at).copied().unwrap_or(NO_KEY)
    }

    fn open(&mut self, reading: &mut Reading<'_>, is_object: bool) {
        let level = self.levels.depth + 1;
        let mut here = if is_object { Level::Object } else { Level::Array };
        let mut opaque = level > LEVELS;
        if let Some((key, kind)) = self.found {
            match kind {
                KeyKind::Opaque => opaque = true,
                KeyKind::OpaqueObject => opaque |= is_object,
                KeyKind::Named | KeyKind::Holder if is_object => here = Level::Holder,
                KeyKind::Ids if !is_object => here = Level::Ids,
                // Below it, only `file_id` counts as a key.
                KeyKind::Variables if !opaque => self.variables = level,
                _ => {}
            }
            if here.is_named() && !opaque {
                let at = usize::from(self.named_open).min(NAMED_LEVELS - 1);
                if let Some(place) = self.named.get_mut(at) {
                    *place = key;
                }
                self.named_open += 1;
            }
        }
        if opaque {
            (self.skim, self.state) = (1, State::Skim);
            return;
        }
        self.levels.open(here);
        if level <= reading.reach {
            reading.by.enter(level, is_object, self.found.map(|(_, kind)| kind));
        }
        self.found_in_array();
        self.state = if is_object { State::KeyOrEnd } else { State::ValueOrEnd };
    }

    fn close(&mut self, reading: &mut Reading<'_>, is_object: bool) {
        let (level, here) = (self.levels.depth, self.levels.here());
        if level == 0 || here.is_object() != is_object {
            return self.give_up();
        }
        if level <= reading.reach {
            reading.by.leave(level);
        }
        if here.is_named() {
            self.named_open -= 1;
        }
        if self.variables == level {
            self.variables = 0;
        }
        self.levels.close();
        self.found_in_array();
        self.state = self.after_value();
    }

    /// Finds the key of the next value of an array. In an object, that has its own.
    fn found_in_array(&mut self) {
        let ids = self.levels.here() == Level::Ids;
        self.found = ids.then(|| (self.innermost(), KeyKind::Id));
    }

    /// Passes the rest of the document unchanged. This is one copy for all callers.
    #[inline(never)]
    pub(crate) fn give_up(&mut self) {
        (self.state, self.held, self.escaped) = (State::Broken, 0, false);
        self.unexpected = self.unexpected.saturating_add(1);
    }

    // Keys: never held back, only remembered.

    /// Remembers a part of a key that is cut or has escapes. Not inlined, because this is rare.
    #[inline(never)]
    fn hold_key(&mut self, part: &[u8]) {
        let from = usize::from(self.held);
        match self.hold.get_mut(from..from + part.len()) {
            Some(place) => {
                place.copy_from_slice(part);
                self.held += u16_of(part.len());
            }
            // Longer than any known key, and marked as such.
            _ => self.held = u16_of(KEY_HOLD + 1),
        }
    }

    fn end_held_key(&mut self, reading: &mut Reading<'_>) {
        let mut text = [0; MAX_KEY_NAME];
        let held = self.hold.get(..usize::from(self.held)).filter(|held| held.len() <= KEY_HOLD);
        let len = held.and_then(|held| unescape(held, &mut text));
        self.held = 0;
        self.end_key(reading, len.and_then(|len| text.get(..len)).unwrap_or_default());
        self.state = State::Colon;
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a call costs as much")]
    fn end_key(&mut self, reading: &mut Reading<'_>, name: &[u8]) {
        if self.levels.depth <= reading.reach {
            reading.by.key(self.levels.depth, name);
        }
        self.found = None;
        if may_be_read(name, reading.added_letters) {
            self.find_key(reading, name);
        }
    }

    #[inline(never)]
    fn find_key(&mut self, reading: &Reading<'_>, name: &[u8]) {
        let found = reading.fields.find(name, reading.any_case);
        self.found = found.filter(|&(number, _)| self.variables == 0 || number == FILE);
    }

    // Values.

    fn spot(&self) -> Option<Spot> {
        let (key, kind) = self.found?;
        let held_by = (self.levels.here() == Level::Holder).then(|| self.innermost());
        Some(Spot { key, kind, level: self.levels.depth, held_by })
    }

    /// Continues a string that may be an id. Not inlined, because this is rare.
    #[inline(never)]
    fn candidate(&mut self, reading: &mut Reading<'_>, text: &[u8]) -> Step {
        let before = self.escaped;
        let end = self.string_end(text);
        let part = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
        let held = usize::from(self.held);
        let Some(place) = self.hold.get_mut(held..held + part.len()) else {
            // Too long: the held part goes out, and the string continues as text.
            if let Some(spot) = self.spot() {
                let front = self.hold.get(..held).unwrap_or_default();
                Self::leave_long(reading, spot, front, part.get(..HOLD - held).unwrap_or_default());
            }
            (self.escaped, self.state) = (before, State::Text);
            return self.put_held();
        };
        let step = Step { pass: 0, taken: part.len(), put: (0, 0) };
        let copy;
        let raw = if end.is_some() && held == 0 {
            part
        } else {
            place.copy_from_slice(part);
            self.held += u16_of(part.len());
            if end.is_none() {
                return step;
            }
            copy = self.hold;
            copy.get(..usize::from(self.held)).unwrap_or_default()
        };
        let decided = self
            .spot()
            .and_then(|spot| decide(reading, spot, raw, self.has_escape, &mut self.hold));
        (self.state, self.held) = (State::Quote, 0);
        match decided {
            None if held == 0 => Step::pass(part.len()),
            len => Step { put: (0, u16_of(len.unwrap_or(raw.len()))), ..step },
        }
    }

    /// Handles a string that is too long for an id, given its first bytes.
    fn leave_long(reading: &mut Reading<'_>, spot: Spot, front: &[u8], more: &[u8]) {
        if holds(b'\\', front) || holds(b'\\', more) {
            reading.by.too_long(spot);
        }
    }

    /// Puts out the held bytes, and takes none.
    fn put_held(&mut self) -> Step {
        let put = (0, self.held);
        self.held = 0;
        Step { pass: 0, taken: 0, put }
    }

    /// Continues encrypted content. Everything passes, except an end that may be a mark. Not
    /// inlined, because this is rare.
    #[inline(never)]
    fn content(&mut self, reading: &mut Reading<'_>, text: &[u8]) -> Step {
        let end = find_either(b'"', b'\\', text);
        let plain = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
        let special = end.and_then(|end| text.get(end));
        if reading.content == Content::Mark {
            self.read_head(plain);
            let mut step = Step::pass(plain.len());
            if special == Some(&b'"') {
                self.state = State::Quote;
                let head = self.hold.get(..usize::from(self.head_len)).unwrap_or_default();
                let mark = if self.foreign { None } else { reading.by.mark(head) };
                if let Some((mark, place)) = mark.zip(self.hold.first_chunk_mut()) {
                    *place = mark;
                    step.put = (0, u16_of(MARK_LEN));
                }
            } else if special.is_some() {
                (self.state, self.read) = (State::ContentEscape, 0);
            }
            return step;
        }
        // Held bytes that cannot be part of the mark any more go out first.
        let held = usize::from(self.held);
        let out = (held + plain.len()).saturating_sub(MARK_LEN).min(held);
        if out > 0 {
            self.add_to_head(TAIL_AT, out);
            self.copy_down(TAIL_AT, out, OUT_AT);
            self.copy_down(TAIL_AT + out, held - out, TAIL_AT);
            self.held -= u16_of(out);
            return Step { pass: 0, taken: 0, put: (u16_of(OUT_AT), u16_of(out)) };
        }
        let kept = plain.len().min(MARK_LEN - held.min(MARK_LEN));
        let pass = plain.len() - kept;
        let (passes, keeps) = plain.split_at_checked(pass).unwrap_or_default();
        self.read_head(passes);
        if let Some(place) = self.hold.get_mut(TAIL_AT + held..TAIL_AT + held + kept) {
            place.copy_from_slice(keeps);
        }
        self.held += u16_of(kept);
        let mut step = Step { pass, taken: plain.len(), put: (0, 0) };
        match special {
            None => return step,
            Some(b'"') => {
                self.state = State::Quote;
                if self.takes_mark_off(reading) {
                    self.held = 0;
                }
            }
            // A mark is recognised only in its original form, without escapes.
            Some(_) => {
                self.add_to_head(TAIL_AT, self.held.into());
                (self.state, self.read) = (State::ContentEscape, 0);
            }
        }
        step.put = (u16_of(TAIL_AT), self.held);
        self.held = 0;
        step
    }

    /// Copies a few held bytes, the first one first.
    fn copy_down(&mut self, from: usize, len: usize, to: usize) {
        for i in 0..len {
            let byte = self.hold.get(from + i).copied();
            if let Some((byte, place)) = byte.zip(self.hold.get_mut(to + i)) {
                *place = byte;
            }
        }
    }

    fn takes_mark_off(&mut self, reading: &mut Reading<'_>) -> bool {
        let Some((head, rest)) = self.hold.split_first_chunk::<HEAD_LEN>() else { return false };
        let Some(mark) = rest.first_chunk().filter(|_| usize::from(self.held) == MARK_LEN) else {
            return false;
        };
        let head = head.get(..usize::from(self.head_len)).unwrap_or_default();
        !self.foreign && !head.is_empty() && reading.by.unmark(head, mark)
    }

    /// Adds content to the head of encrypted content, until the head is full.
    #[inline(never)]
    fn read_head(&mut self, content: &[u8]) {
        let from = usize::from(self.head_len);
        let len = content.len().min(HEAD_LEN - from.min(HEAD_LEN));
        if let Some((place, content)) = self.hold.get_mut(from..from + len).zip(content.get(..len))
        {
            place.copy_from_slice(content);
            self.head_len += u8::try_from(len).unwrap_or_default();
        }
    }

    /// Adds held bytes to the head.
    #[inline(never)]
    fn add_to_head(&mut self, held_at: usize, len: usize) {
        let mut held = [0; MARK_LEN];
        if let Some((to, from)) = held.get_mut(..len).zip(self.hold.get(held_at..held_at + len)) {
            to.copy_from_slice(from);
            self.read_head(held.get(..len).unwrap_or_default());
        }
    }

    /// Continues an escape of encrypted content. Returns whether this byte belongs to it. Not
    /// inlined, because this is rare.
    #[inline(never)]
    fn content_escape(&mut self, byte: u8) -> bool {
        let digit = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
        match (self.read, byte, digit) {
            (0, ..) => {}
            (1, b'u', _) => self.unicode = 0,
            (1, _, _) => {
                match unescaped(byte) {
                    Some(byte) => self.read_head(&[byte]),
                    None => self.foreign = true,
                }
                self.state = State::Content;
            }
            (_, _, None) => {
                (self.foreign, self.state) = (true, State::Content);
                return false;
            }
            (read, _, Some(digit)) => {
                self.unicode = self.unicode << 4 | digit;
                if read == 5 {
                    match u8::try_from(self.unicode) {
                        Ok(byte) if byte.is_ascii() => self.read_head(&[byte]),
                        _ => self.foreign |= usize::from(self.head_len) < HEAD_LEN,
                    }
                    self.state = State::Content;
                }
            }
        }
        self.read += 1;
        true
    }

    // Ends of documents.

    /// Ends a line of an event. A string does not continue behind it.
    pub(crate) fn line_end(&mut self) -> Step {
        match self.state {
            State::Scalar => self.state = self.after_value(),
            State::Text
            | State::InKey
            | State::Candidate
            | State::Content
            | State::ContentEscape
            | State::SkimText
            | State::Stop => {
                let step = self.give_out();
                self.give_up();
                return step;
            }
            _ => {}
        }
        Step::pass(0)
    }

    /// Ends the document, so that another may begin.
    pub(crate) fn end(&mut self) -> Step {
        let step = self.give_out();
        let whole = matches!(self.state, State::Begin | State::Done | State::Broken)
            || self.state == State::Scalar && self.levels.depth == 0;
        let unexpected = self.unexpected.saturating_add(u32::from(!whole));
        // The next document begins with nothing open. The held bytes are still to be put out.
        (self.state, self.variables, self.unexpected) = (State::Begin, 0, unexpected);
        (self.levels.top, self.levels.depth) = (0, 0);
        (self.named_open, self.found) = (0, None);
        (self.held, self.escaped) = (0, false);
        step
    }

    /// Puts out the held bytes of a string that does not end.
    fn give_out(&mut self) -> Step {
        match self.state {
            State::Candidate => self.put_held(),
            State::Content => {
                let put = (u16_of(TAIL_AT), self.held);
                self.held = 0;
                Step { pass: 0, taken: 0, put }
            }
            _ => Step::pass(0),
        }
    }
}

/// Returns the string that begins at `at`, and the input from its closing quote on, unless the
/// string is cut or has escapes.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call costs as much")]
fn plain_string(input: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    let text = input.get(at..)?;
    let (text, behind) = text.split_at_checked(find_special(text))?;
    if behind.first() == Some(&b'"') { Some((text, behind)) } else { None }
}

/// Returns the length of this separator and an opening quote, which usually follow a closing one. A
/// space may stand between them. Returns 0 if something else follows.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call costs as much")]
fn gap_in(behind: &[u8], separator: u8) -> usize {
    match behind.first_chunk().map(|window| u32::from_le_bytes(*window)) {
        Some(window) if window == u32::from_le_bytes([b'"', separator, b' ', b'"']) => 3,
        Some(window) if window << 8 == u32::from_le_bytes([0, b'"', separator, b'"']) => 2,
        _ => 0,
    }
}

/// Finds the next byte that is no space, 0 at the end.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call costs as much")]
fn next(input: &[u8], at: &mut usize) -> u8 {
    let mut byte = input.get(*at).copied().unwrap_or_default();
    if byte == b' ' {
        *at += 1;
        byte = input.get(*at).copied().unwrap_or_default();
    }
    if byte > b' ' {
        return byte;
    }
    *at = skip_spaces(input, *at);
    input.get(*at).copied().unwrap_or_default()
}

/// Returns the end of what is usually the rest of a scalar: digits or small letters.
#[inline(never)]
fn scalar_end(input: &[u8], mut at: usize) -> usize {
    while matches!(input.get(at), Some(b'-'..=b'9')) {
        at += 1;
    }
    while matches!(input.get(at), Some(b'a'..=b'z')) {
        at += 1;
    }
    at
}

#[inline(never)]
fn skip_spaces(input: &[u8], mut at: usize) -> usize {
    while input.get(at).copied().is_some_and(is_space) {
        at += 1;
    }
    at
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn u16_of(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// Hands a string to the reader, unescaped.
fn decide(
    reading: &mut Reading<'_>,
    spot: Spot,
    raw: &[u8],
    has_escape: bool,
    out: &mut [u8; HOLD],
) -> Option<usize> {
    if !has_escape {
        return reading.by.id(spot, Some(raw), out);
    }
    let mut text = [0; HOLD];
    let len = unescape(raw, &mut text);
    reading.by.id(spot, len.and_then(|len| text.get(..len)), out)
}

/// Returns the character for the byte behind a backslash, except for `u`.
const fn unescaped(byte: u8) -> Option<u8> {
    match byte {
        b'"' | b'\\' | b'/' => Some(byte),
        b'b' => Some(8),
        b'f' => Some(12),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        _ => None,
    }
}

/// Unescapes a string and returns its length. An escaped character beyond ASCII becomes a byte that
/// occurs in no id and no key. Returns `None` if the string does not fit, or if an escape is
/// invalid.
fn unescape(raw: &[u8], out: &mut [u8]) -> Option<usize> {
    let (mut rest, mut len) = (raw.iter(), 0);
    while let Some(&byte) = rest.next() {
        let mut character = byte;
        if byte == b'\\' {
            let &escape = rest.next()?;
            character = if escape == b'u' {
                let mut unicode = 0_u32;
                for _ in 0..4 {
                    unicode = unicode << 4 | char::from(*rest.next()?).to_digit(16)?;
                }
                u8::try_from(unicode).ok().filter(u8::is_ascii).unwrap_or(u8::MAX)
            } else {
                unescaped(escape)?
            };
        }
        *out.get_mut(len)? = character;
        len += 1;
    }
    Some(len)
}
