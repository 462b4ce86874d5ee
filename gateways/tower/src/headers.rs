//! Header fields, several of one name.

use http::header::{HeaderMap, HeaderName, HeaderValue};

pub(crate) fn bytes<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'h [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}

/// Puts what `left` makes of the fields called `name` in their place, if one of them `holds`
/// something of ours.
pub(crate) fn rewrite(
    headers: &mut HeaderMap,
    name: &HeaderName,
    holds: impl Fn(&[u8]) -> bool,
    left: impl Fn(&HeaderValue) -> Option<HeaderValue>,
) {
    if !bytes(headers, name).any(holds) {
        return;
    }
    let fields: Vec<HeaderValue> = headers.get_all(name).iter().filter_map(left).collect();
    headers.remove(name);
    for field in fields {
        // Cannot fail: there were as many before.
        let _ = headers.try_append(name, field);
    }
}
