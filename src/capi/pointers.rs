//! Pointers from C: checked, then borrowed or written to.

use core::ffi::c_void;

use crate::error::Error;
use crate::secret::Secret;
use crate::sink::Sink;

use super::status::Status;

/// A pointer to `T` that is not null and is aligned.
fn aligned<T>(pointer: *const T) -> Result<(), Status> {
    if pointer.is_null() {
        Err(Status::NullPointer)
    } else if pointer.is_aligned() {
        Ok(())
    } else {
        Err(Status::Misaligned)
    }
}

/// Borrows what `pointer` points to.
pub(super) unsafe fn reference<'a, T>(pointer: *const T) -> Result<&'a T, Status> {
    aligned(pointer)?;
    // SAFETY: not null and aligned; live and unchanging by the contract of this folder.
    Ok(unsafe { &*pointer })
}

/// Whether an array can be there: `(NULL, 0)`, which is empty, or one that is aligned and no
/// longer than memory can be.
pub(super) fn check_array<T>(pointer: *const T, count: usize) -> Result<(), Status> {
    if pointer.is_null() && count == 0 {
        return Ok(());
    }
    aligned(pointer)?;
    if count > isize::MAX as usize / size_of::<T>() { Err(Status::Length) } else { Ok(()) }
}

/// Borrows an array. `(NULL, 0)` is empty.
pub(super) unsafe fn array<'a, T>(pointer: *const T, count: usize) -> Result<&'a [T], Status> {
    check_array(pointer, count)?;
    if pointer.is_null() {
        return Ok(&[]);
    }
    // SAFETY: not null, aligned, and not too long; live and unchanging by the contract.
    Ok(unsafe { core::slice::from_raw_parts(pointer, count) })
}

/// Borrows what `pointer` points to, unless it is null.
pub(super) unsafe fn optional<'a, T>(pointer: *const T) -> Result<Option<&'a T>, Status> {
    // SAFETY: passed on.
    if pointer.is_null() { Ok(None) } else { unsafe { reference(pointer) }.map(Some) }
}

/// Borrows bytes. `(NULL, 0)` is empty.
pub(super) unsafe fn bytes<'a>(pointer: *const c_void, len: usize) -> Result<&'a [u8], Status> {
    // SAFETY: passed on.
    unsafe { array(pointer.cast(), len) }
}

/// Borrows bytes that are rewritten, by this call only. `(NULL, 0)` is empty.
pub(super) unsafe fn bytes_mut<'a>(
    pointer: *mut c_void,
    len: usize,
) -> Result<&'a mut [u8], Status> {
    check_array(pointer.cast::<u8>(), len)?;
    if pointer.is_null() {
        return Ok(&mut []);
    }
    // SAFETY: not null, and not too long; live and the caller's to write by the contract.
    Ok(unsafe { core::slice::from_raw_parts_mut(pointer.cast(), len) })
}

pub(super) unsafe fn secret(bytes: *const u8) -> Result<Secret, Status> {
    // SAFETY: checked by `reference`.
    unsafe { reference(bytes.cast::<[u8; 16]>()) }.map(|bytes| Secret::new(*bytes))
}

pub(super) fn switch(number: u8) -> Result<bool, Status> {
    match number {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Status::BadEnum),
    }
}

/// A thing of the library's that lies in memory of the caller, who sees it as private words.
pub(super) trait Kept: Sized {
    /// What the caller sees.
    type Words;
    /// Says that the thing is there; no other has the same.
    const MARK: u64;
}

/// What lies in the private words of a [`Kept`].
pub(super) struct Marked<T> {
    mark: u64,
    it: T,
}

impl<T: Kept> Marked<T> {
    const FITS: () = assert!(
        size_of::<Self>() <= size_of::<T::Words>() && align_of::<Self>() <= align_of::<T::Words>()
    );

    /// Where the thing will be put.
    pub(super) fn place(words: *mut T::Words) -> Result<Out<Self>, Status> {
        let () = Self::FITS;
        Out::new(words.cast())
    }

    pub(super) const fn of(it: T) -> Self {
        Self { mark: T::MARK, it }
    }

    pub(super) unsafe fn get<'a>(words: *const T::Words) -> Result<&'a T, Status> {
        // SAFETY: checked by `reference`; the mark says that this library put the thing there.
        let marked = unsafe { reference(words.cast::<Self>()) }?;
        if marked.mark == T::MARK { Ok(&marked.it) } else { Err(Status::NotInitialised) }
    }

    /// The same, unless the pointer is null.
    pub(super) unsafe fn optional<'a>(words: *const T::Words) -> Result<Option<&'a T>, Status> {
        // SAFETY: passed on.
        if words.is_null() { Ok(None) } else { unsafe { Self::get(words) }.map(Some) }
    }

    /// For a thing that only this call uses. It has to be apart from all that the call borrows.
    pub(super) unsafe fn get_mut<'a>(words: *mut T::Words) -> Result<&'a mut T, Status> {
        // SAFETY: passed on.
        unsafe { Self::get(words) }?;
        // SAFETY: found good by `get`; nobody else uses it by the contract.
        Ok(unsafe { &mut (*words.cast::<Self>()).it })
    }
}

/// A place for one output: checked first, written last, never read.
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    pub(super) fn new(pointer: *mut T) -> Result<Self, Status> {
        aligned(pointer)?;
        Ok(Self(pointer))
    }

    /// A place that may be null, and then nothing is written.
    pub(super) fn optional(pointer: *mut T) -> Result<Option<Self>, Status> {
        if pointer.is_null() { Ok(None) } else { Self::new(pointer).map(Some) }
    }

    pub(super) const fn pointer(&self) -> *mut T {
        self.0
    }

    pub(super) fn span(&self) -> Span {
        Span::at(self.0)
    }

    /// Refuses a place within memory of the library's own, which nobody else may write to.
    pub(super) fn check_apart(&self, own: Span) -> Result<(), Status> {
        self.span().check_apart(own)
    }

    pub(super) unsafe fn write(self, value: T) {
        // SAFETY: not null and aligned; live and the caller's to write by the contract.
        unsafe { self.0.write(value) }
    }
}

/// Where some memory lies; to be compared, not to be read.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub start: usize,
    pub len: usize,
}

impl Span {
    pub(super) fn of<T>(memory: &[T]) -> Self {
        Self { start: memory.as_ptr().addr(), len: size_of_val(memory) }
    }

    /// Of what a pointer points to, which may be null.
    pub(super) fn at<T>(pointer: *const T) -> Self {
        let len = if pointer.is_null() { 0 } else { size_of::<T>() };
        Self { start: pointer.addr(), len }
    }

    /// Refuses an input that lies, in part or whole, where output will be written.
    pub(super) fn check_apart(self, input: Self) -> Result<(), Status> {
        // Two spans overlap where one begins within the other, an empty one nowhere. Many are empty.
        let within = |start: usize, span: Self| start.wrapping_sub(span.start) < span.len;
        let apart = input.len == 0 || !within(self.start, input) && !within(input.start, self);
        if apart || self.len == 0 { Ok(()) } else { Err(Status::Overlap) }
    }

    /// The same for several inputs. Not for where every nanosecond counts.
    #[inline(never)]
    pub(super) fn check_apart_from(self, inputs: &[Self]) -> Result<(), Status> {
        inputs.iter().try_for_each(|&input| self.check_apart(input))
    }
}

/// An output buffer and where its length goes. The memory may be uninitialised, so it is
/// never borrowed, only written.
pub(super) struct Buffer {
    start: *mut u8,
    capacity: usize,
    used: usize,
    len: Out<usize>,
}

impl Buffer {
    /// `(NULL, 0)` has room for nothing, and tells the length needed.
    #[inline(never)]
    pub(super) fn new(
        start: *mut c_void,
        capacity: usize,
        len: *mut usize,
    ) -> Result<Self, Status> {
        let len = Out::new(len)?;
        if start.is_null() && capacity != 0 {
            return Err(Status::NullPointer);
        }
        if isize::try_from(capacity).is_err() {
            return Err(Status::Length);
        }
        Ok(Self { start: start.cast(), capacity, used: 0, len })
    }

    /// Refuses inputs that lie within the memory that will be written.
    pub(super) fn check_apart_from(&self, inputs: &[Span]) -> Result<(), Status> {
        self.len.span().check_apart_from(inputs)?;
        Span { start: self.start.addr(), len: self.capacity }.check_apart_from(inputs)
    }

    /// Copies bytes, and borrows the copy.
    pub(super) unsafe fn copy(&mut self, bytes: &[u8]) -> Result<&mut [u8], Error> {
        self.room(bytes.len())?;
        if bytes.is_empty() {
            return Ok(&mut []);
        }
        self.put(bytes);
        // SAFETY: so much was just written.
        Ok(unsafe { core::slice::from_raw_parts_mut(self.start, bytes.len()) })
    }

    /// Ends the output: reports its length, or the length needed.
    pub(super) unsafe fn end(self, written: Result<usize, Error>) -> Result<(), Status> {
        let (len, result) = match written {
            Ok(len) => (len, Ok(())),
            Err(Error::BufferTooSmall { needed }) => (needed, Err(Status::BufferTooSmall)),
            Err(error) => return Err(error.into()),
        };
        // SAFETY: passed on.
        unsafe { self.len.write(len) };
        result
    }
}

impl Sink for Buffer {
    fn room(&mut self, needed: usize) -> Result<(), Error> {
        if self.capacity < needed { Err(Error::BufferTooSmall { needed }) } else { Ok(()) }
    }

    #[inline(never)]
    fn put(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.capacity - self.used < bytes.len() {
            return;
        }
        // SAFETY: within the capacity, which is live and the caller's to write by the
        // contract; `bytes` are elsewhere, for every caller has asked `check_apart_from`, or
        // are copies on the stack.
        unsafe {
            self.start.add(self.used).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        self.used += bytes.len();
    }
}

pub(super) fn put(out: &mut Buffer, bytes: &[u8]) -> Result<usize, Error> {
    out.room(bytes.len())?;
    out.put(bytes);
    Ok(bytes.len())
}
