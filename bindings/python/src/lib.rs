//! tokenpin for Python: the crate behind `tokenpin._tokenpin`, whose names the package `tokenpin`
//! hands on.

mod affinity;
mod cookies;
mod decision;
mod enums;
mod errors;
mod functions;
mod ids;
mod keys;
mod slots;
mod text;

/// The compiled part of tokenpin. Import `tokenpin` instead.
#[pyo3::pymodule]
mod _tokenpin {
    #[pymodule_export]
    use crate::affinity::Affinity;
    #[pymodule_export]
    use crate::cookies::{Cookie, KeyRing};
    #[pymodule_export]
    use crate::decision::Decision;
    #[pymodule_export]
    use crate::functions::{
        classify, cookie_strip, cookie_values, default_cookie_name, identity_hash, jump, key_hash,
        set_cookie, set_cookie_matches,
    };
    #[pymodule_export]
    use crate::ids::{IdOpener, IdRing, IdSealer, OpenedId};
    #[pymodule_export]
    use crate::keys::{CookieKey, Key};
    #[pymodule_export]
    use crate::slots::Slots;

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", tokenpin::VERSION)
    }
}
