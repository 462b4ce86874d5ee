//! The host's functions, in the terms of this filter.

use alloc::string::String;
use alloc::vec::Vec;

use crate::abi::{self, Level, Map};

/// The headers of a message, all read in one call, as bytes: the call for a single one joins what
/// came in several fields.
#[derive(Default)]
pub(crate) struct Headers {
    bytes: Vec<u8>,
    count: usize,
}

/// The number that stands at a place, and what comes behind it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number) as usize, rest))
}

/// `len` bytes, and the rest behind the zero byte that follows them.
fn text(bytes: &[u8], len: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(len)?;
    Some((text, rest.get(1..)?))
}

impl Headers {
    pub(crate) fn read(map: Map) -> Self {
        let bytes = abi::headers(map);
        let count = number(&bytes).map_or(0, |(count, _)| count);
        Self { bytes, count }
    }

    /// The pairs of name and value: first the sizes of all stand there, then their texts.
    fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let sizes = self.bytes.get(4..).unwrap_or_default();
        let (mut sizes, mut texts) =
            sizes.split_at_checked(self.count.saturating_mul(8)).unwrap_or_default();
        core::iter::from_fn(move || {
            let (name_len, rest) = number(sizes)?;
            let (value_len, rest) = number(rest)?;
            sizes = rest;
            let (name, rest) = text(texts, name_len)?;
            let (value, rest) = text(rest, value_len)?;
            texts = rest;
            Some((name, value))
        })
    }

    pub(crate) fn all<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.pairs().filter(move |(each, _)| *each == name.as_bytes()).map(|(_, value)| value)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Empty if there is none.
    pub(crate) fn first<'h>(&'h self, name: &str) -> &'h [u8] {
        self.all(name).next().unwrap_or_default()
    }
}

/// Logs one line. Names in a message come from a configuration, and could begin another line.
pub(crate) fn log(level: Level, message: &str) {
    let mut line = String::from("tokenpin: ");
    for character in message.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    abi::log(level, &line);
}

/// Sixteen random bytes. All zero, which is refused where randomness is needed, if the host gives
/// none.
pub(crate) fn entropy() -> [u8; 16] {
    let mut entropy = [0; 16];
    if getrandom::fill(&mut entropy).is_err() {
        entropy = [0; 16];
    }
    entropy
}
