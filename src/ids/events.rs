//! A body in chunks: one JSON document, or server-sent events with a document in each.

use crate::bytes::find_either;

use super::reader::Reading;
use super::scan::{Scanner, Step};

/// Reads a body and hands its JSON to the [`Scanner`].
#[derive(Clone)]
pub(crate) struct Body {
    pub scan: Scanner,
    line: Line,
    /// The last line ended in a carriage return, so a line feed that follows belongs to it.
    after_return: bool,
    /// The number of bytes of a byte order mark at the start of the body.
    mark: u8,
    /// The number of bytes that this line still has in the chunk.
    ahead: usize,
}

/// The position in a line of events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// There are no lines: the body is one document.
    None,
    /// This many letters of `data` were read.
    Name(u8),
    Data,
    /// In another field, or in a comment.
    Other,
}

const NAME: &[u8; 4] = b"data";
/// `NAME` and its colon, because usually both come in one piece.
const DATA: &[u8; 5] = b"data:";
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl Body {
    pub(crate) const fn json() -> Self {
        Self { scan: Scanner::new(), line: Line::None, after_return: false, mark: 0, ahead: 0 }
    }

    pub(crate) const fn events() -> Self {
        Self { line: Line::Name(0), ..Self::json() }
    }

    /// Reads on, up to the first byte that must change or be held.
    #[inline(never)]
    pub(crate) fn step(&mut self, reading: &mut Reading<'_>, input: &[u8]) -> Step {
        let mut at = 0;
        while self.mark != u8::MAX || self.line == Line::None {
            let Some(&byte) = input.get(at) else { return Step::pass(at) };
            if BYTE_ORDER_MARK.get(usize::from(self.mark)) == Some(&byte) {
                self.mark += 1;
                at += 1;
                continue;
            }
            self.end_mark();
            self.mark = u8::MAX;
            if self.line != Line::None {
                break;
            }
            match byte {
                _ if !self.scan.is_fresh() => {}
                // No document begins with white space or with one of these letters.
                b' ' | b'\t' | b'\r' | b'\n' => {
                    at += 1;
                    continue;
                }
                b'd' | b'e' | b'i' | b'r' | b':' => {
                    self.line = Line::Name(0);
                    break;
                }
                _ => {}
            }
            let rest = input.get(at..).unwrap_or_default();
            return self.scan.step(reading, rest).behind(at);
        }
        while let Some(&byte) = input.get(at) {
            let rest = input.get(at..).unwrap_or_default();
            let ends = byte == b'\n' || byte == b'\r';
            if ends && core::mem::take(&mut self.after_return) && byte == b'\n' {
                at += 1;
                continue;
            }
            self.after_return = false;
            if ends {
                let step = if self.line == Line::Name(0) {
                    reading.by.end();
                    self.scan.end()
                } else {
                    self.scan.line_end()
                };
                if step.has_put() {
                    return step.behind(at);
                }
                at += 1;
                (self.line, self.after_return) = (Line::Name(0), byte == b'\r');
                continue;
            }
            if let Line::Name(read) = self.line {
                if read == 0 && rest.starts_with(DATA) {
                    at += DATA.len();
                    self.line = Line::Data;
                } else if NAME.get(usize::from(read)) == Some(&byte) {
                    at += 1;
                    self.line = Line::Name(read + 1);
                } else if usize::from(read) == NAME.len() && byte == b':' {
                    // A space may follow. The document ignores it as white space.
                    at += 1;
                    self.line = Line::Data;
                } else {
                    self.line = Line::Other;
                }
                continue;
            }
            if self.ahead == 0 {
                self.ahead = find_either(b'\r', b'\n', rest).unwrap_or(rest.len());
            }
            let line = rest.get(..self.ahead).unwrap_or(rest);
            let step = if self.line == Line::Data {
                self.scan.step(reading, line)
            } else {
                Step::pass(line.len())
            };
            self.ahead = self.ahead.saturating_sub(step.taken);
            if step.pass < step.taken || step.has_put() {
                return step.behind(at);
            }
            at += step.taken;
        }
        Step::pass(at)
    }

    /// Handles a byte order mark that breaks off. Neither a document nor a known field begins that
    /// way.
    fn end_mark(&mut self) {
        if matches!(self.mark, 1 | 2) {
            self.mark = u8::MAX;
            match self.line {
                Line::None => self.scan.give_up(),
                _ => self.line = Line::Other,
            }
        }
    }

    /// Ends the body.
    pub(crate) fn end(&mut self, reading: &mut Reading<'_>) -> Step {
        self.end_mark();
        reading.by.end();
        self.scan.end()
    }
}
