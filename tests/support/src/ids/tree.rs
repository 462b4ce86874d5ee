//! A slow reader of whole JSON documents, by docs/spec/sealed-ids.md. It returns a tree that knows
//! the place of every string, and what the string may be.

use std::ops::Range;

use tokenpin::ids::{KEYS, KeyKind};

/// A value, and the place of its bytes. For a string, those between the quotes.
#[derive(Debug)]
pub struct Node {
    pub at: Range<usize>,
    pub value: Value,
    /// True if its end was found.
    pub whole: bool,
}

#[derive(Debug)]
pub enum Value {
    /// Unescaped. `None` for an invalid escape.
    Text(Option<Vec<u8>>),
    /// By its first byte.
    Scalar(u8),
    Array(Vec<Node>),
    /// For each member the key, unescaped, its row in the table, and the value.
    Object(Vec<(Vec<u8>, Option<usize>, Node)>),
    /// Not read.
    Opaque,
}

/// The context of a value.
#[derive(Clone, Copy)]
struct Above {
    kind: Option<KeyKind>,
    variables: bool,
    /// The number of open objects and arrays.
    level: usize,
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    any_case: bool,
}

/// Returns the part of the document that was understood, and whether that is all of it. An empty
/// text is complete.
pub fn parse(text: &[u8], any_case: bool) -> (Option<Node>, bool) {
    let mut reader = Reader { text, at: 0, any_case };
    reader.blanks();
    if reader.at == text.len() {
        return (None, true);
    }
    let node = reader.value(Above { kind: None, variables: false, level: 0 });
    reader.blanks();
    let whole = reader.at == text.len() && node.as_ref().is_some_and(|node| node.whole);
    (node, whole)
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| b" \t\r\n".contains(&byte)) {
            self.at += 1;
        }
    }

    fn next_is(&mut self, byte: u8) -> bool {
        self.blanks();
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    /// `None` if no value begins here, or a string does not end.
    fn value(&mut self, above: Above) -> Option<Node> {
        self.blanks();
        let start = self.at;
        let first = self.peek()?;
        let opaque = match above.kind {
            Some(KeyKind::Opaque) => true,
            Some(KeyKind::OpaqueObject) => first == b'{' || above.level == 256,
            _ => above.level == 256,
        };
        let inside = Above {
            kind: None,
            variables: above.variables || above.kind == Some(KeyKind::Variables),
            level: above.level + 1,
        };
        let (value, whole) = match first {
            b'"' => {
                let raw = self.string()?;
                let value = Value::Text(unescape(&self.text[raw.clone()]));
                return Some(Node { at: raw, value, whole: true });
            }
            b'{' | b'[' if opaque => (Value::Opaque, self.skim()),
            b'{' => {
                self.at += 1;
                let mut members = Vec::new();
                let whole = self.members(inside, &mut members);
                (Value::Object(members), whole.is_some())
            }
            b'[' => {
                self.at += 1;
                let kind = (above.kind == Some(KeyKind::Ids)).then_some(KeyKind::Id);
                let mut elements = Vec::new();
                let whole = self.elements(Above { kind, ..inside }, &mut elements);
                (Value::Array(elements), whole.is_some())
            }
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                while self.peek().is_some_and(|byte| !b",]} \t\r\n\"{[:".contains(&byte)) {
                    self.at += 1;
                }
                (Value::Scalar(first), !self.peek().is_some_and(|byte| b"\"{[:".contains(&byte)))
            }
            _ => return None,
        };
        Some(Node { at: start..self.at, value, whole })
    }

    fn members(&mut self, at: Above, into: &mut Vec<(Vec<u8>, Option<usize>, Node)>) -> Option<()> {
        if self.next_is(b'}') {
            return Some(());
        }
        loop {
            self.blanks();
            let key = self.string()?;
            let key = unescape(&self.text[key]).unwrap_or_default();
            let same =
                |name: &[u8]| name == key || self.any_case && name.eq_ignore_ascii_case(&key);
            let found = KEYS.iter().position(|row| {
                same(row.name)
                    && !matches!(row.kind, KeyKind::Path | KeyKind::Query)
                    && (!at.variables || row.name == b"file_id")
            });
            if !self.next_is(b':') {
                return None;
            }
            let node = self.value(Above { kind: found.map(|row| KEYS[row].kind), ..at })?;
            let whole = node.whole;
            into.push((key, found, node));
            if !whole {
                return None;
            }
            if !self.next_is(b',') {
                return self.next_is(b'}').then_some(());
            }
        }
    }

    fn elements(&mut self, at: Above, into: &mut Vec<Node>) -> Option<()> {
        if self.next_is(b']') {
            return Some(());
        }
        loop {
            // An array in an array of ids holds no ids.
            self.blanks();
            let kind = at.kind.filter(|_| self.peek() == Some(b'"'));
            let node = self.value(Above { kind, ..at })?;
            let whole = node.whole;
            into.push(node);
            if !whole {
                return None;
            }
            if !self.next_is(b',') {
                return self.next_is(b']').then_some(());
            }
        }
    }

    /// Skips all brackets that open here, up to the one that closes the first.
    fn skim(&mut self) -> bool {
        let mut open = 0;
        loop {
            match self.peek() {
                None => return false,
                Some(b'{' | b'[') => open += 1,
                Some(b'}' | b']') => open -= 1,
                Some(b'"') => {
                    if self.string().is_none() {
                        return false;
                    }
                    continue;
                }
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return true;
            }
        }
    }

    /// Reads the text between the quotes.
    fn string(&mut self) -> Option<Range<usize>> {
        if self.peek()? != b'"' {
            return None;
        }
        let start = self.at + 1;
        let mut end = start;
        loop {
            match self.text.get(end)? {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        self.at = end + 1;
        Some(start..end)
    }
}

/// Unescapes. An escaped character beyond ASCII becomes a byte that is in no id.
pub fn unescape(raw: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut rest) = (Vec::new(), raw);
    while let [byte, behind @ ..] = rest {
        rest = behind;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let (escape, behind) = rest.split_first()?;
        rest = behind;
        out.push(match escape {
            b'"' | b'\\' | b'/' => *escape,
            b'b' => 8,
            b'f' => 12,
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'u' => {
                let digits = rest.get(..4)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                rest = &rest[4..];
                let code = u32::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
                if code < 128 { u8::try_from(code).unwrap() } else { 0xff }
            }
            _ => return None,
        });
    }
    Some(out)
}
