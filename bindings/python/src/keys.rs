//! Keys: those that sign, and those that identify a session.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tokenpin::{Kind, Role, Secret};

use crate::enums::Word;
use crate::errors;
use crate::text::{Sixteen, Text};

/// A key that signs cookies and sealed ids: its id, its 16 secret bytes, and its role. The secret
/// is not shown, and wiped when this ends.
#[pyclass(frozen, module = "tokenpin")]
pub struct CookieKey(tokenpin::CookieKey);

#[pymethods]
impl CookieKey {
    #[new]
    #[pyo3(signature = (id, secret, role = Word(Role::Sign)))]
    fn new(id: u8, secret: Sixteen, role: Word<Role>) -> Self {
        Self(tokenpin::CookieKey { id, role: role.0, secret: Secret::new(secret.0) })
    }

    /// The number by which a cookie or a sealed id names the key.
    #[getter]
    fn id(&self) -> u8 {
        self.0.id
    }

    /// The use of the key.
    #[getter]
    fn role(&self) -> Word<Role> {
        Word(self.0.role)
    }

    fn __repr__(&self) -> String {
        format!("CookieKey({}, ..., {:?})", self.0.id, self.0.role.name())
    }
}

/// The keys of a ring.
pub fn ring(keys: &[PyRef<'_, CookieKey>]) -> Vec<tokenpin::CookieKey> {
    keys.iter().map(|key| key.0.clone()).collect()
}

/// An affinity key: what identifies a session. Not shown: names of consumers are personal data.
#[pyclass(frozen, module = "tokenpin")]
pub struct Key {
    kind: Kind,
    /// The id, consumer name or session key.
    text: Py<PyBytes>,
    /// The session key of a combined one.
    session: Option<Py<PyBytes>>,
}

fn owned(py: Python<'_>, text: &Text<'_, '_>) -> Py<PyBytes> {
    PyBytes::new(py, text.as_bytes()).unbind()
}

impl Key {
    /// The key, which is checked where it is used.
    pub fn get<'k>(&'k self, py: Python<'k>) -> PyResult<tokenpin::Key<'k>> {
        let key = self.text.as_bytes(py);
        Ok(match self.kind {
            Kind::Anonymous => match key.try_into() {
                Ok(id) => tokenpin::Key::Anonymous(id),
                Err(_) => return Err(errors::of(tokenpin::Error::KeyLength)),
            },
            Kind::Consumer => tokenpin::Key::Consumer(key),
            Kind::Session => tokenpin::Key::Session(key),
            Kind::Combined => {
                let session = self.session.as_ref().map(|it| it.as_bytes(py)).unwrap_or_default();
                tokenpin::Key::Combined { consumer: key, session }
            }
        })
    }
}

#[pymethods]
impl Key {
    /// The id in an anonymous cookie, 16 bytes.
    #[staticmethod]
    fn anonymous(py: Python<'_>, id: Text<'_, '_>) -> Self {
        Self { kind: Kind::Anonymous, text: owned(py, &id), session: None }
    }

    /// A consumer name, 1 to `MAX_KEY` bytes.
    #[staticmethod]
    fn consumer(py: Python<'_>, name: Text<'_, '_>) -> Self {
        Self { kind: Kind::Consumer, text: owned(py, &name), session: None }
    }

    /// A session key, 1 to `MAX_KEY` bytes.
    #[staticmethod]
    fn session(py: Python<'_>, key: Text<'_, '_>) -> Self {
        Self { kind: Kind::Session, text: owned(py, &key), session: None }
    }

    /// A consumer name and a session key.
    #[staticmethod]
    fn combined(py: Python<'_>, name: Text<'_, '_>, key: Text<'_, '_>) -> Self {
        Self { kind: Kind::Combined, text: owned(py, &name), session: Some(owned(py, &key)) }
    }

    /// The parts of the key.
    #[getter]
    fn kind(&self) -> Word<Kind> {
        Word(self.kind)
    }

    fn __repr__(&self) -> String {
        format!("Key.{}(...)", self.kind.name())
    }
}
