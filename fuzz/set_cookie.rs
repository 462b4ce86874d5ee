//! `Set-Cookie` written, refused or read back as a browser reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenpin::cookie::set_cookie::write;
use tokenpin::cookie::{field, set_cookie};
use tokenpin::{Attributes, Error, MAX_COOKIE_NAME, MAX_MAX_AGE, MAX_SET_COOKIE, SameSite};
use tokenpin_fuzz::Input;

fuzz_target!(|data: &[u8]| run(&mut Input::new(data)));

const LONGEST: usize = 1024;

fn run(input: &mut Input<'_>) {
    let names = [&b"pin"[..], b"__Host-tokenpin", b"__host-x", b"__Secure-x", b"__SECURE-", b"a b"];
    let name =
        if input.one_in(3) { input.limited(MAX_COOKIE_NAME) } else { input.pick(&names).to_vec() };
    let paths = [&b"/"[..], b"/v1", b"", b"v1"];
    let path = if input.one_in(3) { slashed(input) } else { input.pick(&paths).to_vec() };
    let domain = if input.one_in(2) { input.limited(LONGEST) } else { Vec::new() };
    let attributes = Attributes {
        path: &path,
        domain: &domain,
        secure: !input.one_in(4),
        http_only: input.flag(),
        same_site: input.pick(SameSite::ALL),
        partitioned: input.one_in(3),
    };
    let ages = [0, 1, 3_600, MAX_MAX_AGE, MAX_MAX_AGE + 1, u32::MAX];
    let max_age = if input.flag() { input.pick(&ages) } else { input.u32() };
    let value = if input.flag() { input.limited(LONGEST) } else { vec![b'A'; 67] };

    let mut out = vec![0xa5; 8 * LONGEST];
    let written = write(&name, &value, &attributes, max_age, &mut out);
    let wrong = problems(&name, &value, &attributes, max_age);
    let len = match written {
        Ok(len) => len,
        Err(error) => {
            assert!(wrong.contains(&error), "{error:?} is not among {wrong:?}");
            assert!(out.iter().all(|&byte| byte == 0xa5), "written in spite of the error");
            return;
        }
    };
    assert!(wrong.is_empty(), "not refused: {wrong:?}");
    assert!(out[len..].iter().all(|&byte| byte == 0xa5), "written past the end");
    assert!(value.len() > 67 || len <= MAX_SET_COOKIE);
    let mut exact = vec![0; len];
    assert_eq!(write(&name, &value, &attributes, max_age, &mut exact), Ok(len));
    out.truncate(len);
    assert_eq!(exact, out);
    let mut short = vec![0xa5; len - 1];
    let refused = write(&name, &value, &attributes, max_age, &mut short);
    assert_eq!(refused, Err(Error::BufferTooSmall { needed: len }));
    assert!(short.iter().all(|&byte| byte == 0xa5), "written in spite of the error");

    // Nothing in it can end a header line or begin another.
    assert!(out.iter().all(|byte| (0x20..=0x7e).contains(byte)));
    assert!(set_cookie::matches(&out, &name));
    let mut parts = out.split(|&byte| byte == b';');
    let pair = parts.next().unwrap();
    assert_eq!(pair, [&name[..], b"=", &value].concat());
    let back: Vec<_> = field::values(pair, &name).collect();
    assert_eq!(back, [&value[..]]);

    let parts: Vec<_> = parts.map(|part| part.strip_prefix(b" ").unwrap()).collect();
    let attribute = |name: &[u8]| {
        let mut all = parts.iter().filter_map(|part| part.strip_prefix(name)?.strip_prefix(b"="));
        (all.next().map(<[u8]>::to_vec), all.count()).0
    };
    let has = |name: &[u8]| parts.iter().filter(|part| **part == name).count();
    assert_eq!(attribute(b"Path"), Some(path.clone()));
    assert_eq!(attribute(b"Domain"), Some(domain.clone()).filter(|domain| !domain.is_empty()));
    let age = (max_age != 0).then(|| max_age.to_string().into_bytes());
    assert_eq!(attribute(b"Max-Age"), age);
    let same_site = match attributes.same_site {
        SameSite::Lax => "Lax",
        SameSite::Strict => "Strict",
        SameSite::None => "None",
    };
    assert_eq!(attribute(b"SameSite").as_deref(), Some(same_site.as_bytes()));
    assert_eq!(has(b"Secure"), usize::from(attributes.secure));
    assert_eq!(has(b"HttpOnly"), usize::from(attributes.http_only));
    assert_eq!(has(b"Partitioned"), usize::from(attributes.partitioned));
    let switches = [attributes.secure, attributes.http_only, attributes.partitioned];
    let count = 2 + switches.iter().filter(|on| **on).count();
    assert_eq!(parts.len(), count + usize::from(!domain.is_empty()) + usize::from(max_age != 0));
}

fn slashed(input: &mut Input<'_>) -> Vec<u8> {
    let mut path = input.limited(LONGEST);
    if let Some(first) = path.first_mut() {
        *first = b'/';
    }
    path
}

/// Every rule that is broken.
fn problems(name: &[u8], value: &[u8], it: &Attributes<'_>, max_age: u32) -> Vec<Error> {
    let token = |byte: &u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte);
    let text = |byte: &u8| (b' '..=b'~').contains(byte) && *byte != b';';
    let octet = |byte: &u8| byte.is_ascii_graphic() && !b"\",;\\".contains(byte);
    let lower = name.to_ascii_lowercase();
    let (host, secure) = (lower.starts_with(b"__host-"), lower.starts_with(b"__secure-"));
    let wrong_name = !(1..=MAX_COOKIE_NAME).contains(&name.len()) || !name.iter().all(token);
    let attribute = |bytes: &[u8]| bytes.len() > LONGEST || !bytes.iter().all(text);
    let checks = [
        (wrong_name, Error::CookieName),
        (attribute(it.path) || !it.path.starts_with(b"/"), Error::Attribute),
        (attribute(it.domain), Error::Attribute),
        (value.len() > LONGEST || !value.iter().all(octet), Error::Attribute),
        (max_age > MAX_MAX_AGE, Error::MaxAge),
        (!it.secure && (it.partitioned || it.same_site == SameSite::None), Error::NeedsSecure),
        ((host || secure) && !it.secure, Error::NamePrefix),
        (host && (it.path != b"/" || !it.domain.is_empty()), Error::NamePrefix),
    ];
    checks.iter().filter(|(broken, _)| *broken).map(|(_, error)| *error).collect()
}
