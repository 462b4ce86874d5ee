//! The library's enums and those of `tokenpin._enums`, whose values are the stable names.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use tokenpin::ids::{ForeignSeals, Ids, KeyKind, Mode};
use tokenpin::{
    Answer, Group, IdOwner, IdVerdict, KeyReason, Kind, Outcome, PinState, Policy, Refusal, Role,
    SameSite, Source, State, Strategy, Verdict,
};

use crate::errors;

/// An enum of the library.
pub trait Named: Copy + PartialEq + Sized + 'static {
    /// The enum of the same name in `tokenpin._enums`.
    const TYPE: &'static str;
    const ALL: &'static [Self];
    fn name(self) -> &'static str;
    /// The members of the Python enum, in the order of `ALL`.
    fn members() -> &'static PyOnceLock<Vec<Py<PyAny>>>;
}

macro_rules! named {
    ($($type:ident)+) => { $(
        impl Named for $type {
            const TYPE: &'static str = stringify!($type);
            const ALL: &'static [Self] = $type::ALL;
            fn name(self) -> &'static str {
                $type::name(self)
            }
            fn members() -> &'static PyOnceLock<Vec<Py<PyAny>>> {
                static MEMBERS: PyOnceLock<Vec<Py<PyAny>>> = PyOnceLock::new();
                &MEMBERS
            }
        }
    )+ };
}

named! {
    Answer ForeignSeals Group IdOwner IdVerdict Ids KeyKind KeyReason Kind Mode Outcome PinState Policy
    Refusal Role SameSite Source State Strategy Verdict
}

/// A value of an enum, on its way from or to Python.
#[derive(Clone, Copy)]
pub struct Word<T>(pub T);

impl<'a, 'py, T: Named> FromPyObject<'a, 'py> for Word<T> {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let text = value.cast::<PyString>()?;
        let text = text.to_cow()?;
        let found = T::ALL.iter().find(|member| member.name() == text);
        found.map(|&member| Self(member)).ok_or_else(|| {
            let names: Vec<_> = T::ALL.iter().map(|member| member.name()).collect();
            // Without what was given, which may be a secret in the wrong place.
            let message = format!("{} must be one of {}", T::TYPE, names.join(", "));
            errors::of_status("bad_enum", message)
        })
    }
}

impl<'py, T: Named> IntoPyObject<'py> for Word<T> {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let members = T::members().get_or_try_init(py, || {
            let made = py.import("tokenpin._enums")?.getattr(T::TYPE)?;
            T::ALL
                .iter()
                .map(|member| Ok(made.call1((member.name(),))?.unbind()))
                .collect::<PyResult<_>>()
        })?;
        let place = T::ALL.iter().position(|member| *member == self.0);
        match place.and_then(|place| members.get(place)) {
            Some(member) => Ok(member.bind(py).clone()),
            None => Ok(PyString::new(py, self.0.name()).into_any()),
        }
    }
}
