//! Bytes from Python: `bytes`, or a `str`, which stands for its UTF-8.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use smallvec::SmallVec;

/// Bytes that Python holds for as long as this is there.
pub enum Text<'a, 'py> {
    /// Those of an argument.
    Given(&'a [u8]),
    /// Those of a `str`, or of an element of a list.
    Made(Bound<'py, PyBytes>),
}

impl Text<'_, '_> {
    pub const EMPTY: Self = Self::Given(&[]);

    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Given(bytes) => bytes,
            Self::Made(bytes) => bytes.as_bytes(),
        }
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Text<'a, 'py> {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if value.is_instance_of::<PyBytes>() {
            return value.extract().map(Self::Given).map_err(Into::into);
        }
        made(&value).map(Self::Made)
    }
}

fn made<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.clone());
    }
    if let Ok(text) = value.cast::<PyString>() {
        return text.encode_utf8();
    }
    let message = format!("bytes or str, not {}", value.get_type().name()?);
    Err(PyTypeError::new_err(message))
}

/// The values of a header: one, or a list or tuple of several.
pub struct Texts<'a, 'py>(SmallVec<[Text<'a, 'py>; 4]>);

impl Texts<'_, '_> {
    pub fn none() -> Self {
        Self(SmallVec::new())
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Text::as_bytes)
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Texts<'a, 'py> {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let mut texts = SmallVec::new();
        if value.is_none() {
        } else if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
            for element in value.try_iter()? {
                texts.push(Text::Made(made(&element?)?));
            }
        } else {
            texts.push(value.extract()?);
        }
        Ok(Self(texts))
    }
}

/// Sixteen bytes.
#[derive(Clone, Copy)]
pub struct Sixteen(pub [u8; 16]);

impl<'a, 'py> FromPyObject<'a, 'py> for Sixteen {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let Ok(bytes) = value.cast::<PyBytes>() else {
            let message = format!("16 bytes, not {}", value.get_type().name()?);
            return Err(PyTypeError::new_err(message));
        };
        let bytes = bytes.as_bytes();
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| PyValueError::new_err(format!("16 bytes, not {}", bytes.len())))
    }
}

/// A part of what `given` holds, as the same type.
pub fn like<'py>(given: &Bound<'py, PyAny>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    if given.is_instance_of::<PyString>() {
        return Ok(PyString::from_bytes(given.py(), bytes)?.into_any());
    }
    Ok(PyBytes::new(given.py(), bytes).into_any())
}

/// ASCII that the library wrote.
pub fn ascii<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    PyString::from_bytes(py, bytes)
}
