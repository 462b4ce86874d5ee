//! What the headers of a message say of its body.

use alloc::vec::Vec;

use crate::host::Headers;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Json,
    Events,
    Multipart,
    Other,
}

impl Content {
    /// A body without a type is taken for JSON: many servers do, too.
    pub(crate) fn of(headers: &Headers) -> Self {
        let value = headers.first("content-type");
        let end = value.iter().position(|byte| b";,".contains(byte)).unwrap_or(value.len());
        let kind = value.get(..end).unwrap_or(value).trim_ascii().to_ascii_lowercase();
        match kind.as_slice() {
            b"" | b"application/json" => Self::Json,
            b"text/event-stream" => Self::Events,
            kind if kind.ends_with(b"+json") => Self::Json,
            kind if kind.starts_with(b"multipart/") => Self::Multipart,
            _ => Self::Other,
        }
    }
}

/// Whether it is compressed, or encoded otherwise.
pub(crate) fn is_encoded(headers: &Headers) -> bool {
    let encoding = headers.first("content-encoding").trim_ascii();
    !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity")
}

/// None if the headers do not say how long it is.
pub(crate) fn length(headers: &Headers) -> Option<u64> {
    core::str::from_utf8(headers.first("content-length")).ok()?.parse().ok()
}

/// What is left over of a character at the end of a part, and whether all before it was UTF-8.
#[derive(Default)]
pub(crate) struct Utf8 {
    begun: Vec<u8>,
    invalid: bool,
}

impl Utf8 {
    pub(crate) fn read(&mut self, mut part: &[u8]) {
        while !self.invalid && !part.is_empty() && !self.begun.is_empty() {
            let Some((&byte, rest)) = part.split_first() else { return };
            self.begun.push(byte);
            part = rest;
            match core::str::from_utf8(&self.begun) {
                Ok(_) => self.begun.clear(),
                Err(error) => self.invalid = error.error_len().is_some(),
            }
        }
        if let (Err(error), false) = (core::str::from_utf8(part), self.invalid) {
            self.invalid = error.error_len().is_some();
            self.begun = part.get(error.valid_up_to()..).unwrap_or_default().to_vec();
        }
    }

    /// Whether all of it was right, and ended with a character.
    pub(crate) fn is_text(&self) -> bool {
        !self.invalid && self.begun.is_empty()
    }
}
