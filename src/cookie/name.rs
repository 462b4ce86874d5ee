//! The cookie's name, and the audience of a cookie.

use arrayvec::ArrayVec;

use crate::base64;
use crate::error::Error;
use crate::key::check_scope;
use crate::limits::MAX_COOKIE_NAME;
use crate::sink::hex;
use crate::sip::sip24;

/// The audience of cookies: their name and scope, both under the MAC.
#[derive(Clone, Copy, Debug)]
pub struct Audience<'a> {
    /// The cookie's name, 1 to [`MAX_COOKIE_NAME`] RFC 9110 token bytes.
    pub name: &'a [u8],
    /// The scope, 0 to [`MAX_SCOPE`](crate::MAX_SCOPE) bytes.
    pub scope: &'a [u8],
}

impl Audience<'_> {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_name(self.name)?;
        check_scope(self.scope)
    }
}

/// Checks a name: RFC 6265 section 4.1.1 makes it a token, RFC 9110 section 5.6.2.
pub(crate) fn check_name(name: &[u8]) -> Result<(), Error> {
    // Letters, digits, `-` and `_` are the alphabet of base64url.
    let token = |byte: &u8| base64::value(*byte) < 64 || b"!#$%&'*+.^`|~".contains(byte);
    if name.is_empty() || name.len() > MAX_COOKIE_NAME || !name.iter().all(token) {
        return Err(Error::CookieName);
    }
    Ok(())
}

/// A cookie's name.
#[derive(Debug, PartialEq, Eq)]
pub struct CookieName(ArrayVec<u8, MAX_COOKIE_NAME>);

impl CookieName {
    /// Creates a name that the operator chose.
    ///
    /// # Errors
    ///
    /// [`Error::CookieName`] unless it is 1 to [`MAX_COOKIE_NAME`] RFC 9110 token bytes.
    pub fn new(name: &[u8]) -> Result<Self, Error> {
        check_name(name)?;
        Self::joined(&[name])
    }

    /// Creates the default name of a scope: `__Host-tokenpin`, and for a scope that is not empty a
    /// suffix of 8 hexadecimal digits, so that scopes on one host do not overwrite each other's
    /// cookies.
    #[must_use]
    #[inline(never)]
    pub fn for_scope(scope: &[u8]) -> Self {
        if scope.is_empty() { Self::default() } else { Self::with_suffix(Self::suffix(scope)) }
    }

    /// Returns the bytes that the suffix of a scope's name spells.
    pub(crate) fn suffix(scope: &[u8]) -> [u8; 4] {
        let [a, b, c, d, ..] = sip24(b"tokenpin.v1.name", scope).to_le_bytes();
        [a, b, c, d]
    }

    #[inline(never)]
    pub(crate) fn with_suffix(suffix: [u8; 4]) -> Self {
        let [a, b, c, d] = suffix.map(hex);
        Self::joined(&[DEFAULT_NAME, b"-", &a, &b, &c, &d]).unwrap_or_default()
    }

    #[inline(never)]
    fn joined(parts: &[&[u8]]) -> Result<Self, Error> {
        let mut name = ArrayVec::new();
        for part in parts {
            name.try_extend_from_slice(part).map_err(|_| Error::CookieName)?;
        }
        Ok(Self(name))
    }

    /// Returns the bytes of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

const DEFAULT_NAME: &[u8] = b"__Host-tokenpin";

impl Default for CookieName {
    fn default() -> Self {
        let mut name = ArrayVec::new();
        // Shorter than the capacity, so it fits.
        let _ = name.try_extend_from_slice(DEFAULT_NAME);
        Self(name)
    }
}

// Written by hand, because the derived one keeps a panic for a vector over its capacity.
impl Clone for CookieName {
    fn clone(&self) -> Self {
        Self::joined(&[self.as_bytes()]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_scopes() {
        assert_eq!(CookieName::for_scope(b"").as_bytes(), b"__Host-tokenpin");
        let a = CookieName::for_scope(b"openai");
        assert_ne!(a, CookieName::for_scope(b"anthropic"));
        assert_eq!(a.as_bytes().len(), DEFAULT_NAME.len() + 9);
    }
}
