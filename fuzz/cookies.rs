//! `Cookie` fields: finding the cookies of a name, and removing them, against a slow model.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenpin::Error;
use tokenpin::cookie::{field, set_cookie};
use tokenpin_fuzz::Input;

fuzz_target!(|data: &[u8]| run(&mut Input::new(data)));

fn run(input: &mut Input<'_>) {
    let names = [&b"pin"[..], b"p", b"__Host-tokenpin", b"__Host-tokenpin-0123abcd", b""];
    let name = if input.one_in(6) { input.bytes() } else { input.pick(&names) };
    let offset = if input.one_in(8) { usize::MAX - input.below(3) } else { input.below(256) };
    let spare = input.below(9);
    let field = input.rest();

    // At any offset: no panic, progress, and values that lie within the field.
    if let Some((value, next)) = field::next(field, name, offset) {
        assert!(next > offset && next <= field.len() + 1);
        let range = field.as_ptr_range();
        assert!(range.contains(&value.as_ptr()) || value.is_empty());
    }
    let found: Vec<_> = field::values(field, name).collect();
    let stripped = strip(field, name, spare);
    assert!(stripped.len() <= field.len());

    // A name that is no token has no defined meaning, but must do no harm.
    let token = |byte: &u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte);
    if !name.iter().all(token) {
        return;
    }
    let pairs: Vec<_> = field.split(|&byte| byte == b';').collect();
    let values: Vec<_> = pairs.iter().map(|pair| value_of(pair, name)).collect();
    assert_eq!(found, values.iter().flatten().copied().collect::<Vec<_>>());
    assert_eq!(set_cookie::matches(field, name), values[0].is_some());

    let kept: Vec<_> = (0..).zip(&pairs).filter(|(i, _)| values[*i].is_none()).collect();
    let expected = if kept.len() == pairs.len() {
        field.to_vec()
    } else if kept.iter().all(|(_, pair)| trim(pair).is_empty()) {
        Vec::new()
    } else {
        // If the pairs in front were all dropped, so are the blanks behind their `;`.
        let left = |(n, (i, pair)): (usize, &(usize, &&[u8]))| match (n, i) {
            (0, 1..) => trim_start(pair).to_vec(),
            _ => pair.to_vec(),
        };
        kept.iter().enumerate().map(left).collect::<Vec<_>>().join(&b';')
    };
    assert_eq!(stripped, expected);
    assert_eq!(field::values(&stripped, name).count(), 0);
    assert_eq!(strip(&stripped, name, 0), stripped);
}

/// Strips into a buffer with `spare` bytes more than needed, and into one a byte too small.
fn strip(field: &[u8], name: &[u8], spare: usize) -> Vec<u8> {
    let mut out = vec![0xa5; field.len() + spare];
    let len = field::strip(field, name, &mut out).expect("never longer than the field");
    assert!(out[len..].iter().all(|&byte| byte == 0xa5), "written past the end");
    if let Some(short) = len.checked_sub(1) {
        let mut short = vec![0xa5; short];
        let refused = field::strip(field, name, &mut short);
        assert_eq!(refused, Err(Error::BufferTooSmall { needed: len }));
        assert!(short.iter().all(|&byte| byte == 0xa5), "written in spite of the error");
    }
    out.truncate(len);
    out
}

/// Returns the value. The name ends at the first `=`, blanks around both are ignored, and one pair
/// of quotes is removed.
fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let equals = pair.iter().position(|&byte| byte == b'=')?;
    let (own, value) = (trim(&pair[..equals]), trim(&pair[equals + 1..]));
    let quoted = value.len() >= 2 && value.starts_with(b"\"") && value.ends_with(b"\"");
    let value = if quoted { &value[1..value.len() - 1] } else { value };
    (own == name && !own.is_empty()).then_some(value)
}

fn trim(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !b" \t".contains(byte)).map_or(0, |last| last + 1);
    trim_start(&bytes[..end])
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !b" \t".contains(byte)).unwrap_or(bytes.len());
    &bytes[start..]
}
