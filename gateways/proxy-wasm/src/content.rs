//! What the headers of a message say of its body.

use alloc::vec::Vec;

use tokenpin::gateway::{self, Content};

use crate::host::Headers;

pub(crate) fn content_of(headers: &Headers) -> Content {
    Content::of(headers.first("content-type"))
}

pub(crate) fn is_encoded(headers: &Headers) -> bool {
    gateway::is_encoded(headers.all("content-encoding"))
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
