//! Errors of the library as exceptions of the package.

use std::fmt::Display;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tokenpin::{ConfigError, Error};

static ERROR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static CONFIG_ERROR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

pub fn of(error: Error) -> PyErr {
    of_status(&status(error), error)
}

/// An error with this status and text.
pub fn of_status(status: &str, text: impl Display) -> PyErr {
    Python::attach(|py| {
        let text = text.to_string();
        let made =
            ERROR.import(py, "tokenpin._types", "Error").and_then(|it| it.call1((status, text)));
        made.map_or_else(|failed| failed, PyErr::from_value)
    })
}

pub fn of_config(refused: ConfigError) -> PyErr {
    of_field(&status(refused.error), refused.error, refused.field.name(), refused.index)
}

/// An error in a field of a configuration.
pub fn of_field(status: &str, text: impl Display, field: &str, index: usize) -> PyErr {
    Python::attach(|py| {
        let arguments = (status, text.to_string(), field, index);
        let made = CONFIG_ERROR
            .import(py, "tokenpin._types", "ConfigError")
            .and_then(|it| it.call1(arguments));
        made.map_or_else(|failed| failed, PyErr::from_value)
    })
}

/// Returns the error of an affinity that has been closed.
pub fn closed() -> PyErr {
    of_status("not_initialised", "the affinity has been closed")
}

/// The status of an error, whose name is the error's own in snake case.
fn status(error: Error) -> String {
    let mut status = String::new();
    for letter in format!("{error:?}").chars().take_while(|letter| letter.is_alphanumeric()) {
        if letter.is_uppercase() && !status.is_empty() {
            status.push('_');
        }
        status.extend(letter.to_lowercase());
    }
    status
}
