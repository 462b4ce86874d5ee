//! Sealed ids.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyString};
use tokenpin::ids::{Echo, Ids, Mode, Opener, Opening, Origin, Rules, Sealer, Sealing, Summary};
use tokenpin::{Error, IdVerdict, MAX_ID, OwnedAffinity, Secret};

use crate::decision::id_keys;
use crate::enums::Word;
use crate::errors;
use crate::keys::{CookieKey, ring};
use crate::text::{Sixteen, Text, ascii, like};

/// The contents of an authentic sealed id. `repr` leaves out the pin, which would confirm a guessed
/// account name.
#[pyclass(frozen, module = "tokenpin")]
pub struct OpenedId {
    /// The id as the provider made it, or the encrypted content without its mark.
    #[pyo3(get)]
    native: Py<PyString>,
    /// The identity hash of the account that holds the object.
    #[pyo3(get)]
    pin: u64,
}

#[pymethods]
impl OpenedId {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<tokenpin.OpenedId {}>", self.native.bind(py).repr()?))
    }
}

/// The keys that seal ids: 1 to `MAX_COOKIE_KEYS`, exactly one of which signs. Ids sealed by any of
/// them are opened.
#[pyclass(frozen, module = "tokenpin")]
pub struct IdRing(tokenpin::IdRing);

impl IdRing {
    fn sealer<'s>(
        &'s self,
        scope: &'s Text<'_, '_>,
        owner: &'s Text<'_, '_>,
    ) -> PyResult<tokenpin::IdSealer<'s>> {
        tokenpin::IdSealer::new(&self.0, scope.as_bytes(), owner.as_bytes()).map_err(errors::of)
    }
}

type Opened = (Word<IdVerdict>, Option<OpenedId>);

#[pymethods]
impl IdRing {
    /// With `placement_key`, also refuses a secret that equals it.
    #[new]
    #[pyo3(signature = (keys, placement_key = None))]
    fn new(keys: Vec<PyRef<'_, CookieKey>>, placement_key: Option<Sixteen>) -> PyResult<Self> {
        let placement = placement_key.map(|key| Secret::new(key.0));
        tokenpin::IdRing::new(&ring(&keys), placement.as_ref()).map(Self).map_err(errors::of_config)
    }

    /// The sealed form of the id of an object in the account with the identity hash `pin`.
    #[pyo3(signature = (id, pin, *, scope = Text::EMPTY, owner = Text::EMPTY))]
    fn seal<'py>(
        &self,
        py: Python<'py>,
        id: Text<'_, 'py>,
        pin: u64,
        scope: Text<'_, 'py>,
        owner: Text<'_, 'py>,
    ) -> PyResult<Bound<'py, PyString>> {
        let sealed = self.sealer(&scope, &owner)?.seal(id.as_bytes(), pin);
        let sealed = sealed.ok_or_else(no_id)?;
        ascii(py, sealed.as_bytes())
    }

    /// Opens a text from a client, sealed or not. With the verdict `sealed`, the content is
    /// returned too.
    #[pyo3(signature = (text, *, scope = Text::EMPTY, owner = Text::EMPTY))]
    fn open(
        &self,
        py: Python<'_>,
        text: Text<'_, '_>,
        scope: Text<'_, '_>,
        owner: Text<'_, '_>,
    ) -> PyResult<Opened> {
        let (verdict, opened) = self.sealer(&scope, &owner)?.open(text.as_bytes());
        let opened = opened.map(|it| {
            PyResult::Ok(OpenedId { native: ascii(py, it.native())?.unbind(), pin: it.pin })
        });
        Ok((Word(verdict), opened.transpose()?))
    }

    /// The mark that goes behind encrypted content of the account with the identity hash `pin`.
    #[pyo3(signature = (content, pin, *, scope = Text::EMPTY, owner = Text::EMPTY))]
    fn mark<'py>(
        &self,
        py: Python<'py>,
        content: Text<'_, 'py>,
        pin: u64,
        scope: Text<'_, 'py>,
        owner: Text<'_, 'py>,
    ) -> PyResult<Bound<'py, PyString>> {
        let mark = self.sealer(&scope, &owner)?.mark(content.as_bytes(), pin);
        ascii(py, &mark.ok_or_else(no_id)?)
    }

    /// Reads the mark at the end of encrypted content. With the verdict `sealed`, the content
    /// without its mark is returned too.
    #[pyo3(signature = (text, *, scope = Text::EMPTY, owner = Text::EMPTY))]
    fn open_mark(
        &self,
        py: Python<'_>,
        text: Text<'_, '_>,
        scope: Text<'_, '_>,
        owner: Text<'_, '_>,
    ) -> PyResult<Opened> {
        let (verdict, opened) = self.sealer(&scope, &owner)?.open_mark(text.as_bytes());
        let opened = opened.map(|(content, pin)| {
            PyResult::Ok(OpenedId { native: PyString::from_bytes(py, content)?.unbind(), pin })
        });
        Ok((Word(verdict), opened.transpose()?))
    }
}

fn no_id() -> PyErr {
    let text = format!(
        "this is no id: not 1 to {MAX_ID} bytes of A-Z a-z 0-9 _ -; or the content is empty"
    );
    errors::of_status("id", text)
}

/// Whose ids of which set of accounts, and what is done with them.
#[derive(Clone)]
pub struct Place {
    affinity: Arc<OwnedAffinity>,
    scope: Vec<u8>,
    owner: Vec<u8>,
    mode: Option<Mode>,
}

impl Place {
    pub fn new(
        affinity: Arc<OwnedAffinity>,
        scope: &[u8],
        owner: &[u8],
        mode: Option<Mode>,
    ) -> PyResult<Self> {
        let place = Self { affinity, scope: scope.into(), owner: owner.into(), mode };
        place.rules()?;
        Ok(place)
    }

    fn rules(&self) -> PyResult<Rules<'_>> {
        self.affinity.get().id_rules(&self.scope, &self.owner, self.mode).map_err(errors::of)
    }
}

/// The output of a chunk. Mostly, that is the chunk.
struct Out<'c> {
    chunk: &'c [u8],
    /// Returns whether the output is the chunk, unchanged.
    same: bool,
    bytes: Vec<u8>,
}

impl<'c> Out<'c> {
    fn of(chunk: &'c [u8]) -> Self {
        Self { chunk, same: false, bytes: Vec::new() }
    }

    fn put(&mut self, part: &[u8]) {
        if self.bytes.is_empty() {
            if !self.same && std::ptr::eq(part, self.chunk) {
                self.same = true;
                return;
            }
            self.bytes.reserve(self.chunk.len() + 64);
        }
        if std::mem::take(&mut self.same) {
            self.bytes.extend_from_slice(self.chunk);
        }
        self.bytes.extend_from_slice(part);
    }

    fn give<'py>(self, chunk: &Bound<'py, PyBytes>) -> Bound<'py, PyBytes> {
        if self.same { chunk.clone() } else { PyBytes::new(chunk.py(), &self.bytes) }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ended() -> PyErr {
    PyValueError::new_err("the body has ended")
}

/// Opens the ids of one request, see `Affinity.opener`. Give it to `Affinity.decide` when the body
/// has been read.
#[pyclass(frozen, module = "tokenpin")]
pub struct IdOpener {
    place: Place,
    ids: Ids,
    /// The target with its ids opened, of the type that was given.
    #[pyo3(get)]
    target: Py<PyAny>,
    state: Mutex<OpenState>,
}

struct OpenState {
    summary: Summary,
    opener: Opener,
    ended: bool,
}

impl IdOpener {
    pub fn new(place: Place, ids: Ids, target: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut summary = Summary::new();
        let mut bytes = target.extract::<Text<'_, '_>>()?.as_bytes().to_vec();
        let len = {
            let (rules, affinity) = (place.rules()?, place.affinity.get());
            let opening = Opening { rules: &rules, known: &|pin| affinity.knows(pin) };
            opening.open_target(ids, &mut summary, &mut bytes)
        };
        let target = like(target, bytes.get(..len).unwrap_or_default())?.unbind();
        let state = OpenState { summary, opener: Opener::new(ids), ended: false };
        Ok(Self { place, ids, target, state: Mutex::new(state) })
    }

    pub fn summary(&self) -> Summary {
        lock(&self.state).summary.clone()
    }

    fn with<T>(
        &self,
        then: impl FnOnce(&Opening<'_>, &mut OpenState) -> PyResult<T>,
    ) -> PyResult<T> {
        let (rules, affinity) = (self.place.rules()?, self.place.affinity.get());
        let opening = Opening { rules: &rules, known: &|pin| affinity.knows(pin) };
        let mut state = lock(&self.state);
        if state.ended {
            return Err(ended());
        }
        then(&opening, &mut state)
    }
}

#[pymethods]
impl IdOpener {
    /// A chunk of the body, opened. What is held back goes out with a later one.
    fn push<'py>(&self, chunk: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Out::of(chunk.as_bytes());
        self.with(|opening, state| {
            state.opener.push(opening, &mut state.summary, out.chunk, |part| out.put(part));
            Ok(())
        })?;
        Ok(out.give(chunk))
    }

    /// Returns the held rest of a body that ends here.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.with(|opening, state| {
            state.ended = true;
            let OpenState { opener, summary, .. } = state;
            Ok(PyBytes::new(py, opener.finish(opening, summary)))
        })
    }

    /// A whole body, opened.
    fn body<'py>(&self, body: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Out::of(body.as_bytes());
        self.with(|opening, state| {
            state.ended = true;
            let OpenState { opener, summary, .. } = state;
            opener.push(opening, summary, out.chunk, |part| out.put(part));
            let rest = opener.finish(opening, summary);
            if !rest.is_empty() {
                out.put(rest);
            }
            Ok(())
        })?;
        Ok(out.give(body))
    }

    /// Opens chunks as they are asked for, and at their end what is held.
    fn rewrite(slf: Bound<'_, Self>, chunks: &Bound<'_, PyAny>) -> PyResult<Rewriting> {
        Rewriting::new(slf.into_any(), chunks)
    }

    /// Which ids are looked at.
    #[getter]
    fn ids(&self) -> Word<Ids> {
        Word(self.ids)
    }

    /// Their treatment.
    #[getter]
    fn mode(&self) -> PyResult<Word<Mode>> {
        Ok(Word(self.place.rules()?.mode))
    }

    /// The worst verdict of all ids so far.
    #[getter]
    fn verdict(&self) -> Word<IdVerdict> {
        Word(lock(&self.state).summary.verdict)
    }

    /// The number of the key whose id is refused, of a conflict both; None for none.
    #[getter]
    fn keys(&self) -> (Option<u8>, Option<u8>) {
        id_keys(lock(&self.state).summary.keys)
    }

    /// The identity hash of the account that the request has to go to, and the number of the key
    /// that says so (None for history); None if no id says which.
    #[getter]
    fn account(&self) -> Option<(u64, Option<u8>)> {
        let (pin, key) = lock(&self.state).summary.account()?;
        Some((pin, id_keys([key, u8::MAX]).0))
    }

    /// True if the request is refused for its ids.
    #[getter]
    fn refused(&self) -> bool {
        lock(&self.state).summary.refused
    }

    /// True if there is a string that is too long to be read as the id that it may be.
    #[getter]
    fn unreadable(&self) -> bool {
        lock(&self.state).summary.unreadable
    }

    /// True if the request names state that exists.
    #[getter]
    fn existing(&self) -> bool {
        lock(&self.state).summary.existing
    }

    /// True if the ids of the response are sealed regardless of what the client sends.
    #[getter]
    fn seals(&self) -> bool {
        lock(&self.state).summary.seals
    }

    /// True if the body says `"store": false`.
    #[getter]
    fn unstored(&self) -> bool {
        lock(&self.state).summary.unstored
    }

    /// The id that is refused, or that names the account, as the client wrote it, except for
    /// escapes: for the text of a refusal. Empty for one that has more than 64 bytes or other
    /// characters than ids, and for encrypted content.
    #[getter]
    fn quoted<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        ascii(py, lock(&self.state).summary.quoted())
    }

    /// True if the path is for uploads, so that the request may have a multipart body.
    #[getter]
    fn uploads(&self) -> bool {
        lock(&self.state).summary.uploads
    }

    /// True if the path is a download: nothing is to be sealed in the response's body, a client's
    /// own.
    #[getter]
    fn downloads(&self) -> bool {
        lock(&self.state).summary.downloads
    }

    /// The number of ids that were opened.
    #[getter]
    fn opened(&self) -> u32 {
        lock(&self.state).summary.opened
    }

    /// The number of plain ids.
    #[getter]
    fn plain(&self) -> u32 {
        lock(&self.state).summary.plain
    }

    /// The number of documents that were not understood, and passed unchanged from there on: 0 or
    /// 1, except for events.
    #[getter]
    fn unexpected(&self) -> u32 {
        lock(&self.state).opener.unexpected()
    }

    /// The number of ids that found no room among those whose form is remembered.
    #[getter]
    fn echoes_lost(&self) -> u32 {
        lock(&self.state).summary.echo.lost
    }

    /// True if anything in the response may change: else no one has to look into it.
    #[getter]
    fn changes_response(&self) -> bool {
        lock(&self.state).summary.changes_response()
    }

    fn __repr__(&self) -> String {
        let summary = self.summary();
        format!(
            "<tokenpin.IdOpener verdict {}, {} opened, {} plain>",
            summary.verdict.name(),
            summary.opened,
            summary.plain
        )
    }
}

/// Seals the ids of one response, see `Affinity.sealer`.
#[pyclass(frozen, module = "tokenpin")]
pub struct IdSealer {
    place: Place,
    ids: Ids,
    pin: u64,
    echo: Echo,
    /// The upstream's authority, and what stands in its place. Both empty for none.
    origin: (Vec<u8>, Vec<u8>),
    state: Mutex<(Sealer, bool)>,
}

impl IdSealer {
    pub fn new(
        place: Place,
        slot: u32,
        ids: Ids,
        events: bool,
        origin: (Vec<u8>, Vec<u8>),
    ) -> PyResult<Self> {
        let affinity = place.affinity.get();
        let status = affinity.get_slot(slot).map_err(errors::of)?;
        let Some(pin) = affinity.pin(slot) else {
            debug_assert_eq!(status.state, tokenpin::State::Vacant);
            return Err(errors::of(Error::Vacant));
        };
        let sealer = if events { Sealer::events(ids) } else { Sealer::json(ids) };
        let state = Mutex::new((sealer, false));
        Ok(Self { place, ids, pin, echo: Echo::new(), origin, state })
    }

    pub fn of(
        opener: &IdOpener,
        slot: u32,
        ids: Option<Ids>,
        events: bool,
        origin: (Vec<u8>, Vec<u8>),
    ) -> PyResult<Self> {
        let ids = ids.unwrap_or(opener.ids);
        let sealer = Self::new(opener.place.clone(), slot, ids, events, origin)?;
        Ok(Self { echo: lock(&opener.state).summary.echo.clone(), ..sealer })
    }

    fn with<T>(&self, then: impl FnOnce(&Sealing<'_>) -> PyResult<T>) -> PyResult<T> {
        let rules = self.place.rules()?;
        let (upstream, own) = &self.origin;
        let origin = (!upstream.is_empty()).then_some(Origin { upstream, own });
        then(&Sealing { rules: &rules, pin: self.pin, echo: &self.echo, origin })
    }

    fn step<T>(&self, then: impl FnOnce(&Sealing<'_>, &mut (Sealer, bool)) -> T) -> PyResult<T> {
        self.with(|sealing| {
            let mut state = lock(&self.state);
            if state.1 { Err(ended()) } else { Ok(then(sealing, &mut state)) }
        })
    }
}

#[pymethods]
impl IdSealer {
    /// A chunk of the body, sealed. What is held back goes out with a later one.
    fn push<'py>(&self, chunk: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Out::of(chunk.as_bytes());
        self.step(|sealing, (sealer, _)| sealer.push(sealing, out.chunk, |part| out.put(part)))?;
        Ok(out.give(chunk))
    }

    /// Returns the held rest of a body that ends here.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.step(|sealing, (sealer, ended)| {
            *ended = true;
            PyBytes::new(py, sealer.finish(sealing))
        })
    }

    /// A whole body, sealed.
    fn body<'py>(&self, body: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Out::of(body.as_bytes());
        self.step(|sealing, (sealer, ended)| {
            *ended = true;
            sealer.push(sealing, out.chunk, |part| out.put(part));
            let rest = sealer.finish(sealing);
            if !rest.is_empty() {
                out.put(rest);
            }
        })?;
        Ok(out.give(body))
    }

    /// Seals chunks as they are asked for, and at their end what is held.
    fn rewrite(slf: Bound<'_, Self>, chunks: &Bound<'_, PyAny>) -> PyResult<Rewriting> {
        Rewriting::new(slf.into_any(), chunks)
    }

    /// The value of Location, Content-Location or Operation-Location with its ids sealed, of the
    /// type that is given.
    fn target<'py>(&self, target: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let given = target.extract::<Text<'_, '_>>()?;
        let sealed = self.with(|sealing| {
            let mut out = vec![0; given.as_bytes().len()];
            let mut sealed = sealing.seal_target(self.ids, given.as_bytes(), &mut out);
            if let Err(Error::BufferTooSmall { needed }) = sealed {
                out.resize(needed, 0);
                sealed = sealing.seal_target(self.ids, given.as_bytes(), &mut out);
            }
            out.truncate(sealed.map_err(errors::of)?);
            Ok(out)
        })?;
        like(target, &sealed)
    }

    /// The number of ids that were sealed.
    #[getter]
    fn changed(&self) -> u32 {
        lock(&self.state).0.sealed
    }

    /// The number of documents that were not understood, and passed unchanged from there on.
    #[getter]
    fn unexpected(&self) -> u32 {
        lock(&self.state).0.unexpected()
    }

    fn __repr__(&self) -> String {
        format!("<tokenpin.IdSealer of ids {}, {} changed>", self.ids.name(), self.changed())
    }
}

/// An iterator over the chunks of a body that is rewritten. Chunks of which nothing goes out yet
/// are passed over.
#[pyclass(frozen, module = "tokenpin")]
pub struct Rewriting {
    rewriter: Py<PyAny>,
    /// None behind the last chunk.
    chunks: Mutex<Option<Py<PyIterator>>>,
}

impl Rewriting {
    fn new(rewriter: Bound<'_, PyAny>, chunks: &Bound<'_, PyAny>) -> PyResult<Self> {
        let chunks = Mutex::new(Some(chunks.try_iter()?.unbind()));
        Ok(Self { rewriter: rewriter.unbind(), chunks })
    }
}

#[pymethods]
impl Rewriting {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        loop {
            let chunks = lock(&self.chunks).as_ref().map(|chunks| chunks.clone_ref(py));
            let Some(chunks) = chunks else { return Ok(None) };
            let rewriter = self.rewriter.bind(py);
            let out = if let Some(chunk) = chunks.into_bound(py).next() {
                rewriter.call_method1("push", (chunk?,))?
            } else {
                let ended = lock(&self.chunks).take();
                drop(ended);
                rewriter.call_method0("finish")?
            };
            if !out.cast::<PyBytes>()?.as_bytes().is_empty() {
                return Ok(Some(out));
            }
        }
    }
}
