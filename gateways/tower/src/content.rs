//! The headers of a message that describe its body.

use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
};
use tokenpin::gateway::{self, Content};
use tokenpin::ids::DIGEST_HEADERS;

use crate::headers::bytes;

pub(crate) fn content_of(headers: &HeaderMap) -> Content {
    Content::of(headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default())
}

pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    gateway::is_encoded(bytes(headers, &CONTENT_ENCODING))
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
