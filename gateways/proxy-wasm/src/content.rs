//! The headers of a message that describe its body.

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

/// The begun character at the end of a part, and a mark if anything before it was not UTF-8.
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

    /// Returns whether all of it was UTF-8, and ended with a whole character.
    pub(crate) fn is_text(&self) -> bool {
        !self.invalid && self.begun.is_empty()
    }
}
