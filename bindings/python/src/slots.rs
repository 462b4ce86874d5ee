//! Slots, and selection among them.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple};
use tokenpin::{Error, Filter, Slot, SlotStatus, State, Strategy};

use crate::enums::Word;
use crate::errors;
use crate::keys::Key;
use crate::text::Text;

/// A slot's status, from a tuple of state, weight and until.
pub struct Status(pub SlotStatus);

impl<'a, 'py> FromPyObject<'a, 'py> for Status {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let (state, weight, until): (Word<State>, u32, u64) = value.extract()?;
        Ok(Self(SlotStatus { state: state.0, weight, until }))
    }
}

static STATUS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The same as a `tokenpin.SlotStatus`.
pub fn status(py: Python<'_>, it: SlotStatus) -> PyResult<Bound<'_, PyAny>> {
    let made = STATUS.import(py, "tokenpin._types", "SlotStatus")?;
    made.call1((Word(it.state), it.weight, it.until))
}

/// A slot: None for a vacant one, an identity, or a tuple of identity, state, weight and until, of
/// which the last ones may be missing.
fn slot(value: &Bound<'_, PyAny>) -> PyResult<Result<Slot, Error>> {
    if value.is_none() {
        return Ok(Ok(Slot::vacant()));
    }
    let Ok(parts) = value.cast::<PyTuple>() else {
        let identity: Text<'_, '_> = value.extract()?;
        return Ok(Slot::new(identity.as_bytes(), SlotStatus::UP));
    };
    if parts.is_empty() || parts.len() > 4 {
        return Err(PyTypeError::new_err("a slot has an identity, a state, a weight and an until"));
    }
    let identity = parts.get_item(0)?;
    if identity.is_none() {
        return Ok(Ok(Slot::vacant()));
    }
    let mut status = SlotStatus::UP;
    if parts.len() > 1 {
        status.state = parts.get_item(1)?.extract::<Word<State>>()?.0;
    }
    if parts.len() > 2 {
        status.weight = parts.get_item(2)?.extract()?;
    }
    if parts.len() > 3 {
        status.until = parts.get_item(3)?.extract()?;
    }
    Ok(Slot::new(identity.extract::<Text<'_, '_>>()?.as_bytes(), status))
}

/// The slots of a configuration.
pub fn slots(values: &Bound<'_, PyAny>) -> PyResult<Vec<Slot>> {
    let mut made = Vec::with_capacity(values.len().unwrap_or(0));
    for value in values.try_iter()? {
        let index = made.len();
        let slot = slot(&value?)?;
        made.push(
            slot.map_err(|error| errors::of_config(error.at(tokenpin::Field::Slots, index)))?,
        );
    }
    Ok(made)
}

/// Slots to select among, past any affinity. All methods may be called from any thread
/// concurrently.
#[pyclass(frozen, module = "tokenpin")]
pub struct Slots(Vec<Slot>);

impl Slots {
    fn slot(&self, slot: u32) -> PyResult<&Slot> {
        self.0.get(slot as usize).ok_or_else(|| errors::of(Error::SlotRange))
    }
}

#[pymethods]
impl Slots {
    /// Of each account its identity, or a `Slot`; None for a vacant slot.
    #[new]
    fn new(slots: &Bound<'_, PyAny>) -> PyResult<Self> {
        self::slots(slots).map(Self)
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// Changes state, weight and until of a slot, atomically.
    fn set(&self, slot: u32, status: Status) -> PyResult<()> {
        self.slot(slot)?.set(status.0).map_err(errors::of)
    }

    /// State, weight and until of a slot.
    fn get<'py>(&self, py: Python<'py>, slot: u32) -> PyResult<Bound<'py, PyAny>> {
        status(py, self.slot(slot)?.status())
    }

    /// The slot that serves the key with this hash, or None. The strategy of Higress needs the key
    /// itself as well.
    #[pyo3(signature = (hash, *, strategy = Word(Strategy::Jump), now = 0, anonymous = false, tried = Vec::new(),
        key = None))]
    #[expect(clippy::too_many_arguments, reason = "Python names them")]
    fn select(
        &self,
        py: Python<'_>,
        hash: u64,
        strategy: Word<Strategy>,
        now: u64,
        anonymous: bool,
        tried: Vec<u32>,
        key: Option<PyRef<'_, Key>>,
    ) -> PyResult<Option<u32>> {
        let filter = Filter { now, anonymous, tried: &tried, pinned: None };
        match (strategy.0, key) {
            (Strategy::HigressFnv1aModulo, Some(key)) => {
                Ok(tokenpin::select_higress(&self.0, &filter, hash, &key.get(py)?))
            }
            (strategy, _) => tokenpin::select(strategy, &self.0, &filter, hash).map_err(errors::of),
        }
    }

    /// `select` for many keys. Of a numpy array of uint64 an array of int32 is made, or `out` is
    /// written, with -1 for no slot; neither is copied. Of any other sequence, a list with None for
    /// no slot.
    #[pyo3(signature = (hashes, *, strategy = Word(Strategy::Jump), now = 0, anonymous = false, tried = Vec::new(),
        out = None))]
    fn select_batch<'py>(
        &self,
        hashes: &Bound<'py, PyAny>,
        strategy: Word<Strategy>,
        now: u64,
        anonymous: bool,
        tried: Vec<u32>,
        out: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = hashes.py();
        let filter = Filter { now, anonymous, tried: &tried, pinned: None };
        let Some(input) = Array::of(hashes)? else {
            if out.is_some() {
                return Err(PyTypeError::new_err("out needs hashes in a numpy array"));
            }
            let hashes: Vec<u64> = hashes.extract()?;
            let mut selected = vec![None; hashes.len()];
            tokenpin::select_batch(strategy.0, &self.0, &filter, &hashes, &mut selected)
                .map_err(errors::of)?;
            return Ok(PyList::new(py, selected)?.into_any());
        };
        let from = input.elements::<u64>("u", "hashes", false)?;
        let out = if let Some(out) = out {
            out
        } else {
            let numpy = py.import("numpy")?;
            numpy.call_method1("empty", (from.len, numpy.getattr("int32")?))?
        };
        let Some(output) = Array::of(&out)? else {
            return Err(PyTypeError::new_err("out is a numpy array of int32"));
        };
        let to = output.elements::<i32>("i", "out", true)?;
        if to.len != from.len {
            return Err(PyValueError::new_err("out is as long as hashes"));
        }
        // Both arrays are held by this call's references, and no Rust reference into them is made:
        // another thread may write to them meanwhile, as with numpy's own functions.
        py.detach(|| select_array(strategy.0, &self.0, &filter, &from, &to)).map_err(errors::of)?;
        Ok(out)
    }

    fn __repr__(&self) -> String {
        format!("<tokenpin.Slots of {}>", self.0.len())
    }
}

/// That many keys are selected at a time.
const CHUNK: usize = 256;

fn select_array(
    strategy: Strategy,
    slots: &[Slot],
    filter: &Filter<'_>,
    from: &Elements<u64>,
    to: &Elements<i32>,
) -> Result<(), Error> {
    let (mut hashes, mut selected, mut numbers) = ([0; CHUNK], [None; CHUNK], [0; CHUNK]);
    let mut at = 0;
    while at < from.len {
        let len = CHUNK.min(from.len - at);
        let (Some(hashes), Some(selected), Some(numbers)) =
            (hashes.get_mut(..len), selected.get_mut(..len), numbers.get_mut(..len))
        else {
            break;
        };
        from.read(at, hashes);
        tokenpin::select_batch(strategy, slots, filter, hashes, selected)?;
        for (number, slot) in numbers.iter_mut().zip(selected.iter()) {
            // No slot has a number over MAX_BUCKETS, which is i32::MAX.
            *number = slot.map_or(-1, |slot| i32::try_from(slot).unwrap_or(-1));
        }
        to.write(at, numbers);
        at += len;
    }
    Ok(())
}

/// A numpy array, or what else has its `__array_interface__`.
struct Array<'py>(Bound<'py, PyDict>);

/// The address of its elements. Its owner holds the array.
struct Elements<T> {
    first: *mut T,
    len: usize,
}

// SAFETY: only an address and a length, of memory that the caller of `Array::elements` holds.
unsafe impl<T> Send for Elements<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Elements<T> {}

impl<'py> Array<'py> {
    fn of(value: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        match value.getattr_opt("__array_interface__")? {
            Some(interface) => Ok(Some(Self(interface.cast_into()?))),
            None => Ok(None),
        }
    }

    fn elements<T>(&self, kind: &str, name: &str, writes: bool) -> PyResult<Elements<T>> {
        let wrong = || {
            let bits = 8 * size_of::<T>();
            let sign = if kind == "u" { "u" } else { "" };
            let writable = if writes { "writable " } else { "" };
            PyTypeError::new_err(format!(
                "{name} is a {writable}contiguous array of one dimension, of {sign}int{bits} \
                 in the machine's byte order"
            ))
        };
        let item = |name: &str| self.0.get_item(name)?.ok_or_else(wrong);
        let order = if cfg!(target_endian = "little") { '<' } else { '>' };
        let typestr: String = item("typestr")?.extract()?;
        let shape: Bound<'_, PyTuple> = item("shape")?.cast_into()?;
        let strides = self.0.get_item("strides")?.filter(|strides| !strides.is_none());
        let strides: Option<(isize,)> =
            strides.map(|it| it.extract()).transpose().map_err(|_| wrong())?;
        let (address, read_only): (usize, bool) = item("data")?.extract()?;
        let len: usize = match shape.len() {
            1 => shape.get_item(0)?.extract()?,
            _ => return Err(wrong()),
        };
        let step = isize::try_from(size_of::<T>()).unwrap_or_default();
        let contiguous = len < 2 || strides.is_none_or(|(it,)| it == step);
        let aligned = address % align_of::<T>() == 0 || len == 0;
        if typestr != format!("{order}{kind}{}", size_of::<T>())
            || !contiguous
            || !aligned
            || writes && read_only
        {
            return Err(wrong());
        }
        Ok(Elements { first: std::ptr::with_exposed_provenance_mut(address), len })
    }
}

impl<T: Copy> Elements<T> {
    fn read(&self, at: usize, into: &mut [T]) {
        let len = into.len().min(self.len.saturating_sub(at));
        // SAFETY: the array has `len` more elements from `at` on, and numpy keeps them where they
        // are while the array is referred to. `into` is the caller's own.
        unsafe { std::ptr::copy(self.first.add(at.min(self.len)), into.as_mut_ptr(), len) }
    }

    fn write(&self, at: usize, from: &[T]) {
        let len = from.len().min(self.len.saturating_sub(at));
        // SAFETY: as above, and the array is writable.
        unsafe { std::ptr::copy(from.as_ptr(), self.first.add(at.min(self.len)), len) }
    }
}
