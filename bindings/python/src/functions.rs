//! Functions without an affinity.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};
use tokenpin::cookie::{field, set_cookie as written};
use tokenpin::ids::Ids;
use tokenpin::{Attributes, CookieName, Error, Group, MAX_SCOPE, MAX_SET_COOKIE, SameSite, Secret};

use crate::affinity::{Rules, class};
use crate::enums::Word;
use crate::errors;
use crate::keys::Key;
use crate::text::{Sixteen, Text, ascii, like};

/// Jump consistent hash: the bucket of a key, 0 to buckets - 1.
#[pyfunction]
pub fn jump(key: u64, buckets: u32) -> PyResult<u32> {
    tokenpin::jump(key, buckets).map_err(errors::of)
}

/// The identity hash of an account, which is the pin of cookies and sealed ids.
#[pyfunction]
pub fn identity_hash(identity: Text<'_, '_>) -> PyResult<u64> {
    match identity.as_bytes() {
        [] => Err(errors::of(Error::IdentityEmpty)),
        identity => Ok(tokenpin::identity_hash(identity)),
    }
}

/// The hash of a key, from which selection starts.
#[pyfunction]
#[pyo3(signature = (placement_key, key, scope = Text::EMPTY))]
pub fn key_hash(
    py: Python<'_>,
    placement_key: Sixteen,
    key: PyRef<'_, Key>,
    scope: Text<'_, '_>,
) -> PyResult<u64> {
    if placement_key.0 == [0; 16] {
        return Err(errors::of(Error::ZeroSecret));
    }
    let placement_key = Secret::new(placement_key.0);
    tokenpin::key_hash(&placement_key, scope.as_bytes(), &key.get(py)?).map_err(errors::of)
}

/// The default name of a scope's cookie.
#[pyfunction]
#[pyo3(signature = (scope = Text::EMPTY))]
pub fn default_cookie_name<'py>(
    py: Python<'py>,
    scope: Text<'_, 'py>,
) -> PyResult<Bound<'py, PyString>> {
    if scope.as_bytes().len() > MAX_SCOPE {
        return Err(errors::of(Error::ScopeLength));
    }
    ascii(py, CookieName::for_scope(scope.as_bytes()).as_bytes())
}

/// The values of all cookies called `name` in one `Cookie` field, each of the field's type.
#[pyfunction]
#[pyo3(signature = (field, name))]
pub fn cookie_values<'py>(
    field: &Bound<'py, PyAny>,
    name: Text<'_, 'py>,
) -> PyResult<Bound<'py, PyList>> {
    let values = PyList::empty(field.py());
    for value in field::values(field.extract::<Text<'_, '_>>()?.as_bytes(), name.as_bytes()) {
        values.append(like(field, value)?)?;
    }
    Ok(values)
}

/// One `Cookie` field without the cookies called `name`, of its type; an empty one should be
/// dropped. The other cookies stay as they are.
#[pyfunction]
#[pyo3(signature = (field, name))]
pub fn cookie_strip<'py>(
    field: &Bound<'py, PyAny>,
    name: Text<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let given = field.extract::<Text<'_, '_>>()?;
    let given = given.as_bytes();
    if field::next(given, name.as_bytes(), 0).is_none() {
        return Ok(field.clone());
    }
    let mut left = vec![0; given.len()];
    let len = field::strip(given, name.as_bytes(), &mut left).map_err(errors::of)?;
    like(field, left.get(..len).unwrap_or_default())
}

/// The value of a `Set-Cookie` field. Without `max_age`, or with 0, a session cookie.
#[pyfunction]
#[pyo3(signature = (name, value, *, max_age = 0, path = Text::Given(b"/"), domain = Text::EMPTY, secure = true,
    http_only = true, same_site = Word(SameSite::Lax), partitioned = false))]
#[expect(clippy::too_many_arguments, reason = "Python names them")]
pub fn set_cookie<'py>(
    py: Python<'py>,
    name: Text<'_, 'py>,
    value: Text<'_, 'py>,
    max_age: u32,
    path: Text<'_, 'py>,
    domain: Text<'_, 'py>,
    secure: bool,
    http_only: bool,
    same_site: Word<SameSite>,
    partitioned: bool,
) -> PyResult<Bound<'py, PyString>> {
    let attributes = Attributes {
        path: path.as_bytes(),
        domain: domain.as_bytes(),
        secure,
        http_only,
        same_site: same_site.0,
        partitioned,
    };
    let (name, value) = (name.as_bytes(), value.as_bytes());
    // A value of the caller's may be as long as an attribute.
    let mut line = [0; 2 * MAX_SET_COOKIE];
    let len = written::write(name, value, &attributes, max_age, &mut line).map_err(errors::of)?;
    ascii(py, line.get(..len).unwrap_or_default())
}

/// True if a `Set-Cookie` field sets a cookie called `name`.
#[pyfunction]
#[pyo3(signature = (field, name))]
pub fn set_cookie_matches(field: Text<'_, '_>, name: Text<'_, '_>) -> bool {
    written::matches(field.as_bytes(), name.as_bytes())
}

/// The group of a request, whether it names existing state, and which of its ids are read, by these
/// rules and then the default ones.
#[pyfunction]
#[pyo3(signature = (method, target, rules = Rules::none(), *, replace_rules = false, prompt_cache = false))]
pub fn classify(
    method: Text<'_, '_>,
    target: Text<'_, '_>,
    rules: Rules,
    replace_rules: bool,
    prompt_cache: bool,
) -> PyResult<(Word<Group>, bool, Word<Ids>)> {
    let rules = rules.get();
    tokenpin::check_rules(&rules).map_err(errors::of_config)?;
    let (method, target) = (method.as_bytes(), target.as_bytes());
    Ok(class(tokenpin::classify(&rules, replace_rules, prompt_cache, method, target)))
}
