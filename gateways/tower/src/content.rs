//! What the headers of a message say of its body.

use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
};
use tokenpin::ids::DIGEST_HEADERS;

use crate::headers::bytes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Json,
    Events,
    Multipart,
    Other,
}

impl Content {
    /// A body without a type is taken for JSON: many servers do, too.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let value = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
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
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    let codings = bytes(headers, &CONTENT_ENCODING).flat_map(|list| list.split(|&b| b == b','));
    codings
        .map(<[u8]>::trim_ascii)
        .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// Of a request whose body has changed.
pub(crate) fn remove_digests(headers: &mut HeaderMap) {
    for &name in DIGEST_HEADERS {
        headers.remove(name);
    }
}

/// Of a response whose body may change.
pub(crate) fn remove_what_changes(headers: &mut HeaderMap) {
    remove_digests(headers);
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    // A weak one says that it means the same.
    if headers.get(ETAG).is_some_and(|tag| !tag.as_bytes().trim_ascii().starts_with(b"W/")) {
        headers.remove(ETAG);
    }
}
