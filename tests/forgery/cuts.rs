//! Values of another length. All are malformed, regardless of their bytes.

use tokenpin::Verdict::{Malformed, RefreshDue, Valid};

use crate::gateway::{Gateway, genuine};

#[test]
fn every_truncation_is_refused() {
    let gateway = Gateway::new();
    for (kind, value) in genuine() {
        for at in 0..value.len() {
            let (front, back) = value.split_at(at);
            gateway.refuses_as(kind, front, Malformed);
            gateway.has_no_say_in_a_field(kind, front, Malformed);
            if at > 0 {
                gateway.refuses_as(kind, back, Malformed);
                gateway.has_no_say_in_a_field(kind, back, Malformed);
            }
            let without_one = [front, &back[1..]].concat();
            gateway.refuses_as(kind, &without_one, Malformed);
            gateway.has_no_say_in_a_field(kind, &without_one, Malformed);
        }
    }
}

/// Longer by each byte at each place.
#[test]
fn every_insertion_is_refused() {
    let gateway = Gateway::new();
    for (kind, value) in genuine() {
        for at in 0..=value.len() {
            let (front, back) = value.split_at(at);
            for byte in 0..=u8::MAX {
                let longer = [front, &[byte], back].concat();
                gateway.refuses_as(kind, &longer, Malformed);
                let outside = at == 0 || at == value.len();
                if outside && matches!(byte, b' ' | b'\t') || at == value.len() && byte == b';' {
                    // In a field, this is not part of the value.
                    let verdict = gateway.decide(kind, &longer).verdict;
                    assert!(matches!(verdict, Valid | RefreshDue), "{verdict:?}");
                } else {
                    gateway.has_no_say_in_a_field(kind, &longer, Malformed);
                }
            }
        }
    }
}

#[test]
fn every_spelling_around_a_value_is_refused() {
    let gateway = Gateway::new();
    for (kind, value) in genuine() {
        for (front, back) in [
            ("", "="),
            ("", "=="),
            ("", "==="),
            ("", "AA"),
            ("", "\r\n"),
            ("", "\0\0"),
            ("", "%20"),
            ("\u{feff}", ""),
            ("\"\"", "\"\""),
            ("\"", " \""),
            ("'", "'"),
            ("v1.", ""),
        ] {
            let spelling = [front.as_bytes(), &value, back.as_bytes()].concat();
            gateway.refuses_as(kind, &spelling, Malformed);
            gateway.has_no_say_in_a_field(kind, &spelling, Malformed);
        }
        let twice = [value, value].concat();
        gateway.refuses_as(kind, &twice, Malformed);
        gateway.has_no_say_in_a_field(kind, &twice, Malformed);
        // In a field, one pair of quotes is syntax.
        let quoted = [b"\"", value.as_slice(), b"\""].concat();
        gateway.refuses_as(kind, &quoted, Malformed);
        assert!(gateway.decide(kind, &quoted).verdict.is_usable());
    }
}
