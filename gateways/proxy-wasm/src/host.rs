//! What the host offers, in the terms of this filter. The calls fail only where the host breaks its own interface, or a
//! map or a buffer is asked for in a hook that does not have it: the SDK panics then.

use std::time::{SystemTime, UNIX_EPOCH};

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType};

pub(crate) const REQUEST: MapType = MapType::HttpRequestHeaders;
pub(crate) const RESPONSE: MapType = MapType::HttpResponseHeaders;
pub(crate) const REQUEST_BODY: BufferType = BufferType::HttpRequestBody;
pub(crate) const RESPONSE_BODY: BufferType = BufferType::HttpResponseBody;

/// The headers of a message, all read in one call, as bytes: the call for a single one joins what came in several fields.
#[derive(Default)]
pub(crate) struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    pub(crate) fn read(map: MapType) -> Self {
        Self(hostcalls::get_map_bytes(map).unwrap_or_default())
    }

    pub(crate) fn all<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.0.iter().filter(move |(each, _)| each == name).map(|(_, value)| value.as_slice())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Empty if there is none.
    pub(crate) fn first<'h>(&'h self, name: &str) -> &'h [u8] {
        self.all(name).next().unwrap_or_default()
    }
}

/// In place of all that there are.
pub(crate) fn set_header(map: MapType, name: &str, value: &[u8]) {
    let _ = hostcalls::set_map_value_bytes(map, name, Some(value));
}

pub(crate) fn add_header(map: MapType, name: &str, value: &[u8]) {
    let _ = hostcalls::add_map_value_bytes(map, name, value);
}

pub(crate) fn remove_header(map: MapType, name: &str) {
    let _ = hostcalls::remove_map_value(map, name);
}

/// Some bytes of a body.
pub(crate) fn body(buffer: BufferType, start: usize, size: usize) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    hostcalls::get_buffer(buffer, start, size).ok().flatten().unwrap_or_default()
}

/// Puts bytes in place of all that a body has now.
pub(crate) fn replace_body(buffer: BufferType, size: usize, bytes: &[u8]) {
    let _ = hostcalls::set_buffer(buffer, 0, size, bytes);
}

pub(crate) fn property(path: &[&str]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok().flatten()
}

pub(crate) fn log(level: LogLevel, message: &str) {
    let _ = hostcalls::log(level, &["tokenpin: ", message].concat());
}

/// The wall clock, in unix seconds.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Sixteen random bytes. All zero, which is refused where randomness is needed, if the host gives none.
pub(crate) fn entropy() -> [u8; 16] {
    let mut entropy = [0; 16];
    if getrandom::fill(&mut entropy).is_err() {
        entropy = [0; 16];
    }
    entropy
}
