//! The `Cookie` field: finds and removes the cookies of a name.
//!
//! RFC 6265bis: pairs are separated by `;`, spaces and tabs around names and values do not count,
//! the name ends at the first `=`, a pair without a name is not ours, and nothing is
//! percent-decoded.

use crate::bytes::find;
use crate::error::Error;
use crate::sink::{Sink, Slice};

/// Returns the values of every cookie called `name` in one `Cookie` field, in order. One outer pair
/// of double quotes is removed. Linear in the field's length.
pub fn values<'f>(field: &'f [u8], name: &[u8]) -> impl Iterator<Item = &'f [u8]> {
    values_of(if is_name(name) { field } else { b"" }, name)
}

/// Returns the same for a name that has passed [`is_name`], as that of an affinity has.
pub(crate) fn values_of<'f>(field: &'f [u8], name: &[u8]) -> impl Iterator<Item = &'f [u8]> {
    let mut offset = 0;
    core::iter::from_fn(move || {
        let (value, next) = next_of(field, name, offset)?;
        offset = next;
        Some(value)
    })
}

/// Returns the value of the first cookie called `name` whose pair starts at or behind `offset`, and
/// the offset from which to continue. Start with 0.
#[must_use]
pub fn next<'f>(field: &'f [u8], name: &[u8], offset: usize) -> Option<(&'f [u8], usize)> {
    if is_name(name) { next_of(field, name, offset) } else { None }
}

fn next_of<'f>(field: &'f [u8], name: &[u8], mut offset: usize) -> Option<(&'f [u8], usize)> {
    while let Some(rest) = field.get(offset..) {
        let pair = pairs(rest).next()?;
        offset += pair.len() + 1;
        if let Some(value) = value_of(pair, name) {
            return Some((value, offset));
        }
    }
    None
}

/// Removes every cookie called `name` from one `Cookie` field. The other pairs stay the same, byte
/// for byte. Returns the length written, which is never more than the field's. 0 means that the
/// field is empty now: drop it.
///
/// # Errors
///
/// [`Error::BufferTooSmall`]; nothing is written then.
pub fn strip(field: &[u8], name: &[u8], out: &mut [u8]) -> Result<usize, Error> {
    strip_to(field, name, &mut Slice(out))
}

pub(crate) fn strip_to(field: &[u8], name: &[u8], out: &mut impl Sink) -> Result<usize, Error> {
    let mut len = 0;
    kept(field, name, &mut |bytes| len += bytes.len());
    out.room(len)?;
    kept(field, name, &mut |bytes| out.put(bytes));
    Ok(len)
}

/// Sends to `out` the parts of the field that [`strip`] keeps.
#[inline(never)]
fn kept(field: &[u8], name: &[u8], out: &mut dyn FnMut(&[u8])) {
    let (mut ours, mut filled) = (false, false);
    for pair in pairs(field) {
        let own = value_of(pair, name).is_some();
        ours |= own;
        filled |= !own && !trim_start(pair).is_empty();
    }
    if !ours || !is_name(name) {
        return out(field);
    }
    if !filled {
        return;
    }
    let mut first = true;
    let mut separator: &[u8] = b"";
    for pair in pairs(field) {
        if value_of(pair, name).is_none() {
            out(separator);
            // If the pairs in front were all dropped, so are the blanks behind their `;`.
            out(if separator.is_empty() && !first { trim_start(pair) } else { pair });
            separator = b";";
        }
        first = false;
    }
}

/// Returns the pairs: one, and another for every `;`.
pub(super) fn pairs(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(field);
    core::iter::from_fn(move || {
        let bytes = rest?;
        let end = find(b';', bytes);
        rest = end.and_then(|end| bytes.get(end + 1..));
        bytes.get(..end.unwrap_or(bytes.len()))
    })
}

/// Returns whether a cookie can have this name: blanks around it do not count, and it ends at the
/// first `=`.
#[inline(never)]
pub(super) fn is_name(name: &[u8]) -> bool {
    name.last().is_some_and(|&last| !is_blank(last)) && !name.contains(&b'=')
}

/// Returns the value of a pair called `name`, for a name that passes [`is_name`].
#[inline]
pub(super) fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let pair = trim_start(pair);
    // Compares the name first, because most pairs are foreign and long.
    let rest = trim_start(pair.strip_prefix(name)?);
    let value = trim(rest.strip_prefix(b"=")?);
    let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some(unquoted.unwrap_or(value))
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes {
        if !is_blank(*first) {
            break;
        }
        bytes = rest;
    }
    bytes
}

fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_start(bytes);
    while let [rest @ .., last] = bytes {
        if !is_blank(*last) {
            break;
        }
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::prelude::rust_2024::*;

    use super::*;

    fn all<'a>(field: &'a str, name: &'a str) -> Vec<&'a str> {
        values(field.as_bytes(), name.as_bytes()).map(|v| std::str::from_utf8(v).unwrap()).collect()
    }

    #[test]
    fn names_are_exact_and_values_trimmed() {
        assert_eq!(all("pin=1", "pin"), ["1"]);
        assert_eq!(all("a=b; pin=1; c=d;pin=2", "pin"), ["1", "2"]);
        assert_eq!(all(" \tpin \t= \t1 2\t ;", "pin"), ["1 2"]);
        assert_eq!(all("Pin=1; pinx=2; xpin=3; pin-=4", "pin"), [""; 0]);
        assert_eq!(all("pin==1==", "pin"), ["=1=="]);
        assert_eq!(all("pin=", "pin"), [""]);
        assert_eq!(all("pin", "pin"), [""; 0]);
        assert_eq!(all("=pin=1; =pin", "pin"), [""; 0]);
        assert_eq!(all("pin=%31", "pin"), ["%31"]);
        assert_eq!(all("a=1, pin=2", "pin"), [""; 0]);
        assert_eq!(all("pin=\u{a0}1", "pin"), ["\u{a0}1"], "only space and tab are blank");
        assert_eq!(all("", "pin"), [""; 0]);
        assert_eq!(all(";;; ;", "pin"), [""; 0]);
        assert_eq!(all("=1", ""), [""; 0]);
        assert_eq!(all("pin=a=1", "pin=a"), [""; 0], "a name ends at the first =");
        assert_eq!(all("pin =1", "pin "), [""; 0]);
    }

    #[test]
    fn one_pair_of_quotes_is_tolerated() {
        assert_eq!(all("pin=\"1\"", "pin"), ["1"]);
        assert_eq!(all("pin=\"\"1\"\"", "pin"), ["\"1\""]);
        assert_eq!(all("pin=\"\"", "pin"), [""]);
        assert_eq!(all("pin=\"", "pin"), ["\""]);
        assert_eq!(all("pin=\"1", "pin"), ["\"1"]);
        assert_eq!(all("pin=\" 1 \"", "pin"), [" 1 "]);
    }

    #[track_caller]
    fn stripped(field: &str, expected: &str) {
        let mut out = [0xff; 64];
        let len = strip(field.as_bytes(), b"pin", &mut out).unwrap();
        assert_eq!(std::str::from_utf8(&out[..len]).unwrap(), expected);
        assert!(out[len..].iter().all(|&byte| byte == 0xff), "written past the end");
        if len > 0 {
            let mut short = vec![0xff; len - 1];
            let error = strip(field.as_bytes(), b"pin", &mut short).unwrap_err();
            assert_eq!(error, Error::BufferTooSmall { needed: len });
            assert!(short.iter().all(|&byte| byte == 0xff), "written in spite of the error");
        }
    }

    #[test]
    fn stripping_leaves_other_pairs_alone() {
        stripped("a=1; b=2", "a=1; b=2");
        stripped(" a=1 ;b=2;", " a=1 ;b=2;");
        stripped("a=1; pin=x; b=2", "a=1; b=2");
        stripped("pin=x; a=1", "a=1");
        stripped("a=1; pin=x", "a=1");
        stripped("pin=x;a=1;pin=y; b = 2 ; pin = z", "a=1; b = 2 ");
        stripped("pin=x", "");
        stripped(" pin = x ; pin=; \t;", "");
        stripped("pin; pin=x; =pin=y", "pin; =pin=y");
        stripped(" a=1; pin=x", " a=1");
        stripped("a=\"1; pin=x; 2\"", "a=\"1; 2\"");
        stripped("", "");
    }

    #[test]
    fn a_name_that_no_cookie_has_leaves_a_field_alone() {
        let mut out = [0; 20];
        for (field, name) in [("=1; c=2", ""), ("a=1", "a=")] {
            assert_eq!(strip(field.as_bytes(), name.as_bytes(), &mut out), Ok(field.len()));
            assert!(out.starts_with(field.as_bytes()));
        }
    }
}
