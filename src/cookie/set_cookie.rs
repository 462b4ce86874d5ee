//! The `Set-Cookie` field: writes it, and recognises its cookie.

use crate::bytes::alike;
use crate::enums::named;
use crate::error::{ConfigError, Error, Field};
use crate::limits::{MAX_ATTRIBUTE, MAX_MAX_AGE};
use crate::sink::{Sink, Slice};

use super::field::{is_name, pairs, value_of};
use super::name::check_name;

/// The requests across sites with which a browser sends the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SameSite {
    /// Only top-level navigation. The default.
    Lax = 0,
    /// None.
    Strict = 1,
    /// All; needs `Secure`.
    None = 2,
}

named! { SameSite { Lax = "lax", Strict = "strict", None = "none" } }

/// The attributes of the cookie.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// `Path`: starts with `/`.
    pub path: &'a [u8],
    /// `Domain`. Empty for none, which limits the cookie to the exact host.
    pub domain: &'a [u8],
    /// `Secure`.
    pub secure: bool,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `SameSite`.
    pub same_site: SameSite,
    /// `Partitioned`: a separate jar for every embedding site.
    pub partitioned: bool,
}

impl Default for Attributes<'_> {
    fn default() -> Self {
        Self {
            path: b"/",
            domain: b"",
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
            partitioned: false,
        }
    }
}

impl Attributes<'_> {
    /// Checks the attributes for a cookie called `name`.
    ///
    /// # Errors
    ///
    /// [`Error::CookieName`], [`Error::Attribute`], [`Error::NeedsSecure`] and
    /// [`Error::NamePrefix`], at the field that breaks the rule.
    pub fn check(&self, name: &[u8]) -> Result<(), ConfigError> {
        check_name(name).map_err(|error| error.at(Field::CookieName, 0))?;
        let clean = |bytes: &[u8]| {
            bytes.len() <= MAX_ATTRIBUTE
                && bytes.iter().all(|&byte| (0x20..=0x7e).contains(&byte) && byte != b';')
        };
        if !clean(self.path) || self.path.first() != Some(&b'/') {
            return Err(Error::Attribute.at(Field::Path, 0));
        }
        if !clean(self.domain) {
            return Err(Error::Attribute.at(Field::Domain, 0));
        }
        if self.same_site == SameSite::None && !self.secure {
            return Err(Error::NeedsSecure.at(Field::SameSite, 0));
        }
        if self.partitioned && !self.secure {
            return Err(Error::NeedsSecure.at(Field::Partitioned, 0));
        }
        // RFC 6265bis section 5.7: browsers compare the prefixes case-insensitively.
        let host = has_prefix(name, b"__Host-");
        if (host || has_prefix(name, b"__Secure-")) && !self.secure {
            return Err(Error::NamePrefix.at(Field::Secure, 0));
        }
        if host && self.path != b"/" {
            return Err(Error::NamePrefix.at(Field::Path, 0));
        }
        if host && !self.domain.is_empty() {
            return Err(Error::NamePrefix.at(Field::Domain, 0));
        }
        Ok(())
    }
}

#[inline(never)]
fn has_prefix(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|start| alike(start, prefix))
}

/// Writes the value of a `Set-Cookie` field, and returns its length. `max_age` 0 leaves out
/// `Max-Age`, which makes a session cookie.
///
/// # Errors
///
/// Those of [`Attributes::check`] without their place, [`Error::MaxAge`], [`Error::Attribute`] for
/// a value with bytes that no cookie value may have, and [`Error::BufferTooSmall`]. Nothing is
/// written then.
pub fn write(
    name: &[u8],
    value: &[u8],
    attributes: &Attributes<'_>,
    max_age: u32,
    out: &mut [u8],
) -> Result<usize, Error> {
    check(name, value, attributes, max_age)?;
    write_to(name, value, attributes, max_age, &mut Slice(out))
}

pub(crate) fn check(
    name: &[u8],
    value: &[u8],
    attributes: &Attributes<'_>,
    max_age: u32,
) -> Result<(), Error> {
    attributes.check(name).map_err(|refused| refused.error)?;
    if max_age > MAX_MAX_AGE {
        return Err(Error::MaxAge);
    }
    // RFC 6265 section 4.1.1, cookie-octet.
    let octet =
        |&byte: &u8| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
    if value.len() > MAX_ATTRIBUTE || !value.iter().all(octet) {
        return Err(Error::Attribute);
    }
    Ok(())
}

pub(crate) fn write_to(
    name: &[u8],
    value: &[u8],
    attributes: &Attributes<'_>,
    max_age: u32,
    out: &mut impl Sink,
) -> Result<usize, Error> {
    let mut digits = [0; 10];
    let digits = decimal(max_age, &mut digits);
    let when = |on: bool, text: &'static [u8]| if on { text } else { b"" };
    let parts: [&[u8]; 12] = [
        name,
        b"=",
        value,
        b"; Path=",
        attributes.path,
        when(!attributes.domain.is_empty(), b"; Domain="),
        attributes.domain,
        when(max_age != 0, b"; Max-Age="),
        if max_age == 0 { b"" } else { digits },
        match (attributes.secure, attributes.http_only) {
            (true, true) => b"; Secure; HttpOnly",
            (true, false) => b"; Secure",
            (false, true) => b"; HttpOnly",
            (false, false) => b"",
        },
        match attributes.same_site {
            SameSite::Lax => b"; SameSite=Lax",
            SameSite::Strict => b"; SameSite=Strict",
            SameSite::None => b"; SameSite=None",
        },
        when(attributes.partitioned, b"; Partitioned"),
    ];
    let len = parts.iter().map(|part| part.len()).sum();
    out.room(len)?;
    for part in parts {
        out.put(part);
    }
    Ok(len)
}

/// Returns whether a `Set-Cookie` field sets a cookie called `name`.
#[must_use]
pub fn matches(field: &[u8], name: &[u8]) -> bool {
    pairs(field).next().is_some_and(|pair| value_of(pair, name).is_some()) && is_name(name)
}

/// Returns the decimal digits of `number` without leading zeros, at the end of `buffer`.
fn decimal(mut number: u32, buffer: &mut [u8; 10]) -> &[u8] {
    let mut start = buffer.len();
    for digit in buffer.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        start -= 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    buffer.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::prelude::rust_2024::*;

    use super::super::name::CookieName;
    use super::*;
    use crate::limits::{MAX_COOKIE_NAME, MAX_SET_COOKIE};

    fn written(name: &str, attributes: &Attributes<'_>, max_age: u32) -> String {
        let mut out = [0; MAX_SET_COOKIE];
        let len = write(name.as_bytes(), b"v", attributes, max_age, &mut out).unwrap();
        String::from_utf8(out[..len].to_vec()).unwrap()
    }

    #[test]
    fn defaults_and_every_attribute() {
        let plain = Attributes::default();
        assert_eq!(
            written("__Host-tokenpin", &plain, 86_400),
            "__Host-tokenpin=v; Path=/; Max-Age=86400; Secure; HttpOnly; SameSite=Lax"
        );
        assert_eq!(written("a", &plain, 0), "a=v; Path=/; Secure; HttpOnly; SameSite=Lax");
        let all = Attributes {
            path: b"/v1",
            domain: b"example.com",
            same_site: SameSite::None,
            partitioned: true,
            ..plain
        };
        assert_eq!(
            written("a", &all, MAX_MAX_AGE),
            "a=v; Path=/v1; Domain=example.com; Max-Age=34560000; Secure; HttpOnly; \
             SameSite=None; Partitioned"
        );
        let bare =
            Attributes { secure: false, http_only: false, same_site: SameSite::Strict, ..plain };
        assert_eq!(written("a", &bare, 1), "a=v; Path=/; Max-Age=1; SameSite=Strict");
    }

    #[test]
    fn the_longest_cookie_fits_the_constant() {
        let long = [b'/'; MAX_ATTRIBUTE];
        let attributes = Attributes {
            path: &long,
            domain: &long,
            same_site: SameSite::Strict,
            partitioned: true,
            ..Attributes::default()
        };
        let mut out = [0; MAX_SET_COOKIE];
        let value = [b'v'; crate::VALUE_LEN];
        assert!(
            write(&[b'n'; MAX_COOKIE_NAME], &value, &attributes, MAX_MAX_AGE, &mut out).is_ok()
        );
    }

    #[test]
    fn bad_attributes_are_refused_at_their_field() {
        let ok = Attributes::default();
        let long = [b'/'; MAX_ATTRIBUTE + 1];
        let plain = Attributes { secure: false, ..ok };
        let cases: &[(&str, Attributes<'_>, Error, Field)] = &[
            ("", ok, Error::CookieName, Field::CookieName),
            ("a b", ok, Error::CookieName, Field::CookieName),
            ("a=b", ok, Error::CookieName, Field::CookieName),
            ("a", Attributes { path: b"", ..ok }, Error::Attribute, Field::Path),
            ("a", Attributes { path: b"v1", ..ok }, Error::Attribute, Field::Path),
            ("a", Attributes { path: b"/;x", ..ok }, Error::Attribute, Field::Path),
            ("a", Attributes { path: b"/\r\n", ..ok }, Error::Attribute, Field::Path),
            ("a", Attributes { path: &long, ..ok }, Error::Attribute, Field::Path),
            ("a", Attributes { domain: b"a\x7f", ..ok }, Error::Attribute, Field::Domain),
            (
                "a",
                Attributes { same_site: SameSite::None, ..plain },
                Error::NeedsSecure,
                Field::SameSite,
            ),
            (
                "a",
                Attributes { partitioned: true, ..plain },
                Error::NeedsSecure,
                Field::Partitioned,
            ),
            ("__host-a", plain, Error::NamePrefix, Field::Secure),
            ("__SECURE-a", plain, Error::NamePrefix, Field::Secure),
            ("__Host-a", Attributes { path: b"/v1", ..ok }, Error::NamePrefix, Field::Path),
            ("__Host-a", Attributes { domain: b"a.b", ..ok }, Error::NamePrefix, Field::Domain),
        ];
        for (name, attributes, error, field) in cases {
            assert_eq!(
                attributes.check(name.as_bytes()),
                Err(error.at(*field, 0)),
                "{name} {attributes:?}"
            );
        }
        assert_eq!(ok.check(b"__Host-a"), Ok(()));
        assert_eq!(Attributes { domain: b"a.b", path: b"/v1", ..ok }.check(b"__Secure-a"), Ok(()));
        let mut out = [0; 99];
        assert_eq!(write(b"a", b"v", &ok, MAX_MAX_AGE + 1, &mut out), Err(Error::MaxAge));
        for value in [&b"a;b"[..], b"a b", b"a\"", b"\r\n", b"a,b", b"\\", b"\x80"] {
            assert_eq!(write(b"a", value, &ok, 0, &mut out), Err(Error::Attribute));
        }
        assert_eq!(out, [0; 99]);
    }

    #[test]
    fn a_short_buffer_is_told_the_length() {
        let needed = written("a", &Attributes::default(), 0).len();
        let mut out = vec![0; needed - 1];
        let got = write(b"a", b"v", &Attributes::default(), 0, &mut out);
        assert_eq!(got, Err(Error::BufferTooSmall { needed }));
        assert!(out.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn the_default_attributes_suit_the_name_of_every_scope() {
        for scope in [&b""[..], b"openai"] {
            assert_eq!(
                Attributes::default().check(CookieName::for_scope(scope).as_bytes()),
                Ok(())
            );
        }
    }

    #[test]
    fn decimal_digits() {
        assert_eq!(decimal(0, &mut [0; 10]), b"0");
        assert_eq!(decimal(u32::MAX, &mut [0; 10]), b"4294967295");
    }

    #[test]
    fn set_cookie_is_known_by_its_first_pair() {
        assert!(matches(b"pin=1; Path=/", b"pin"));
        assert!(matches(b" pin =1", b"pin"));
        assert!(!matches(b"a=1; pin=2", b"pin"));
        assert!(!matches(b"pin; Path=/", b"pin"));
        assert!(!matches(b"", b"pin"));
    }
}
