//! A decision.

use pyo3::prelude::*;
use pyo3::types::PyString;
use tokenpin::{IdVerdict, KeyReason, Outcome, PinState, Refusal, Source, Verdict};

use crate::enums::Word;
use crate::text::ascii;

/// The answer to a request. Keep it until the response. `repr` leaves out the cookie.
#[pyclass(frozen, eq, module = "tokenpin")]
#[derive(PartialEq, Eq)]
pub struct Decision(pub tokenpin::Decision);

#[pymethods]
impl Decision {
    /// The slot that serves. None if none does; then answer with an error yourself: see `refusal`.
    #[getter]
    fn slot(&self) -> Option<u32> {
        self.0.slot
    }

    /// The source of the affinity.
    #[getter]
    fn source(&self) -> Word<Source> {
        Word(self.0.source)
    }

    /// The outcome of the decision.
    #[getter]
    fn outcome(&self) -> Word<Outcome> {
        Word(self.0.outcome)
    }

    /// The state of the pinned account.
    #[getter]
    fn pin_state(&self) -> Word<PinState> {
        Word(self.0.pin_state)
    }

    /// The verdict on the request's cookies.
    #[getter]
    fn verdict(&self) -> Word<Verdict> {
        Word(self.0.verdict)
    }

    /// The verdict on the request's ids.
    #[getter]
    fn id_verdict(&self) -> Word<IdVerdict> {
        Word(self.0.id_verdict)
    }

    /// Numbers of keys, None for none: the key of the id that names the account or is refused, and
    /// for a conflict both keys. `Affinity.id_key` has their names.
    #[getter]
    fn id_keys(&self) -> (Option<u8>, Option<u8>) {
        id_keys(self.0.id_keys)
    }

    /// The reason why a key is not used, or ok.
    #[getter]
    fn key_reason(&self) -> Word<KeyReason> {
        Word(self.0.key_reason)
    }

    /// True if valid cookies with different ids came.
    #[getter]
    fn ambiguous(&self) -> bool {
        self.0.ambiguous
    }

    /// True if the request names existing state.
    #[getter]
    fn existing(&self) -> bool {
        self.0.existing
    }

    /// True if a host may send the request to another account when this one refuses it.
    #[getter]
    fn may_move(&self) -> bool {
        self.0.may_move
    }

    /// Without a slot: the seconds until the first slot that can serve the request is up again; 0
    /// if that is unknown.
    #[getter]
    fn retry_after(&self) -> u32 {
        self.0.retry_after
    }

    /// The fingerprint of the configuration that decided.
    #[getter]
    fn fingerprint(&self) -> u64 {
        self.0.fingerprint
    }

    /// True if a successful response sets a cookie.
    #[getter]
    fn sets_cookie(&self) -> bool {
        self.0.cookie.is_some()
    }

    /// True if the cookie's value goes into the carrier header.
    #[getter]
    fn carrier(&self) -> bool {
        self.0.cookie.is_some_and(|cookie| cookie.carrier)
    }

    /// The value of the cookie that is returned. A credential of the client: not for logs.
    #[getter]
    fn cookie_value<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyString>>> {
        self.0.cookie.map(|cookie| ascii(py, &cookie.value)).transpose()
    }

    /// The Max-Age of the cookie that is returned; 0 for a session cookie, and without a cookie.
    #[getter]
    fn max_age(&self) -> u32 {
        self.0.cookie.map_or(0, |cookie| cookie.max_age)
    }

    /// The refusal to answer with if no slot serves. Its value is the code that a client sees.
    #[getter]
    fn refusal(&self) -> Word<Refusal> {
        Word(self.0.refusal())
    }

    /// The HTTP status of the refusal; 200 where a slot serves.
    #[getter]
    fn refusal_status(&self) -> u16 {
        self.0.refusal().status()
    }

    fn __repr__(&self) -> String {
        let it = &self.0;
        let slot = it.slot.map_or_else(|| "none".into(), |slot| slot.to_string());
        format!(
            "<tokenpin.Decision slot {slot}, source {}, outcome {}, pin_state {}, verdict {}, \
             id_verdict {}, key_reason {}>",
            it.source.name(),
            it.outcome.name(),
            it.pin_state.name(),
            it.verdict.name(),
            it.id_verdict.name(),
            it.key_reason.name()
        )
    }
}

pub fn id_keys(numbers: [u8; 2]) -> (Option<u8>, Option<u8>) {
    let [first, second] = numbers.map(|number| (number != u8::MAX).then_some(number));
    (first, second)
}
