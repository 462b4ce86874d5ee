//! The cookie's value.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use tokenpin::{Audience, Kind, Limits, Secret, Verdict};

use crate::enums::Word;
use crate::errors;
use crate::keys::{CookieKey, Key, ring};
use crate::text::{Sixteen, Text, ascii};

/// The contents of a cookie. `repr` leaves out the id, which identifies a person's session, and the
/// pin.
#[pyclass(frozen, eq, module = "tokenpin")]
#[derive(PartialEq, Eq)]
pub struct Cookie(tokenpin::Cookie);

#[pymethods]
impl Cookie {
    #[new]
    fn new(kind: Word<Kind>, id: Sixteen, pin: u64, issued_at: u32, refreshed_at: u32) -> Self {
        Self(tokenpin::Cookie { kind: kind.0, issued_at, refreshed_at, id: id.0, pin })
    }

    /// The kind of session that the cookie belongs to.
    #[getter]
    fn kind(&self) -> Word<Kind> {
        Word(self.0.kind)
    }

    /// The anonymous id; a nonce for the other kinds.
    #[getter]
    fn id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.id)
    }

    /// The identity hash of the session's account.
    #[getter]
    fn pin(&self) -> u64 {
        self.0.pin
    }

    /// The first issue, in unix seconds; kept through every refresh.
    #[getter]
    fn issued_at(&self) -> u32 {
        self.0.issued_at
    }

    /// The latest issue, in unix seconds.
    #[getter]
    fn refreshed_at(&self) -> u32 {
        self.0.refreshed_at
    }

    fn __repr__(&self) -> String {
        format!(
            "<tokenpin.Cookie {}, issued_at {}, refreshed_at {}>",
            self.0.kind.name(),
            self.0.issued_at,
            self.0.refreshed_at
        )
    }
}

/// A ring of 1 to `MAX_COOKIE_KEYS` keys, exactly one of which signs cookies.
#[pyclass(frozen, module = "tokenpin")]
pub struct KeyRing(tokenpin::KeyRing);

#[pymethods]
impl KeyRing {
    /// With `placement_key`, also refuses a secret that equals it.
    #[new]
    #[pyo3(signature = (keys, placement_key = None))]
    fn new(keys: Vec<PyRef<'_, CookieKey>>, placement_key: Option<Sixteen>) -> PyResult<Self> {
        let placement = placement_key.map(|key| Secret::new(key.0));
        tokenpin::KeyRing::new(&ring(&keys), placement.as_ref())
            .map(Self)
            .map_err(errors::of_config)
    }

    /// The value of a cookie, signed. `key` is the affinity key that it is bound to, of the
    /// cookie's kind; None for an anonymous cookie.
    #[pyo3(signature = (cookie, *, name, scope = Text::EMPTY, key = None))]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        cookie: &Cookie,
        name: Text<'_, 'py>,
        scope: Text<'_, 'py>,
        key: Option<PyRef<'py, Key>>,
    ) -> PyResult<Bound<'py, PyString>> {
        let audience = Audience { name: name.as_bytes(), scope: scope.as_bytes() };
        let key = key.as_ref().map(|key| key.get(py)).transpose()?;
        let key = key.unwrap_or(tokenpin::Key::Anonymous(&cookie.0.id));
        let value =
            tokenpin::cookie::encode(&self.0, &audience, &key, &cookie.0).map_err(errors::of)?;
        ascii(py, &value)
    }

    /// Reads the value of a cookie for a request with `key`, None for an anonymous request. The
    /// cookie is returned with every verdict from `other_key` on: only then is its tag good. `now`
    /// is in unix seconds; 0 switches a limit off, except for the skew.
    #[pyo3(signature = (value, *, name, now, scope = Text::EMPTY, key = None, skew = 300,
        max_life = 2_592_000, max_idle = 0, refresh_interval = 0))]
    #[expect(clippy::too_many_arguments, reason = "Python names them")]
    fn decode<'py>(
        &self,
        py: Python<'py>,
        value: Text<'_, 'py>,
        name: Text<'_, 'py>,
        now: u64,
        scope: Text<'_, 'py>,
        key: Option<PyRef<'py, Key>>,
        skew: u32,
        max_life: u32,
        max_idle: u32,
        refresh_interval: u32,
    ) -> PyResult<(Word<Verdict>, Option<Cookie>)> {
        let audience = Audience { name: name.as_bytes(), scope: scope.as_bytes() };
        let limits = Limits { skew, max_life, max_idle, refresh_interval };
        let key = key.as_ref().map(|key| key.get(py)).transpose()?;
        let value = value.as_bytes();
        let read = tokenpin::cookie::decode(&self.0, &audience, key.as_ref(), &limits, now, value);
        let (verdict, cookie) = read.map_err(errors::of)?;
        Ok((Word(verdict), cookie.map(Cookie)))
    }
}
