//! Pointers from C: checked, then borrowed or written to.

use core::ffi::c_void;

use crate::error::Error;
use crate::secret::Secret;
use crate::sink::Sink;

use super::status::Status;

/// Checks that a pointer to `T` is not null and is aligned.
fn aligned<T>(pointer: *const T) -> Result<(), Status> {
    if pointer.is_null() {
        Err(Status::NullPointer)
    } else if pointer.is_aligned() {
        Ok(())
    } else {
        Err(Status::Misaligned)
    }
}

/// Borrows the target of `pointer`.
pub(super) unsafe fn reference<'a, T>(pointer: *const T) -> Result<&'a T, Status> {
    aligned(pointer)?;
    // SAFETY: not null and aligned; live and unchanging by the contract of this folder.
    Ok(unsafe { &*pointer })
}

/// Checks whether there can be an array: `(NULL, 0)`, which is empty, or one that is aligned and no
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

/// Borrows the target of `pointer`, unless it is null.
pub(super) unsafe fn optional<'a, T>(pointer: *const T) -> Result<Option<&'a T>, Status> {
    // SAFETY: passed on.
    if pointer.is_null() { Ok(None) } else { unsafe { reference(pointer) }.map(Some) }
}

/// Borrows bytes. `(NULL, 0)` is empty.
pub(super) unsafe fn bytes<'a>(pointer: *const c_void, len: usize) -> Result<&'a [u8], Status> {
    // SAFETY: passed on.
    unsafe { array(pointer.cast(), len) }
}

/// Borrows bytes that only this call rewrites, and that [`check_array`] found good. This ends all
/// other borrows of them, so they are first found apart from everything else.
pub(super) unsafe fn bytes_mut<'a>(pointer: *mut c_void, len: usize) -> &'a mut [u8] {
    if pointer.is_null() {
        return &mut [];
    }
    // SAFETY: not null, and not too long; live and the caller's to write by the contract.
    unsafe { core::slice::from_raw_parts_mut(pointer.cast(), len) }
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

/// An object of the library in memory of the caller, who sees it as private words.
pub(super) trait Kept: Sized {
    /// The caller's type.
    type Words;
    /// Shows that the object is present. No other type has the same mark.
    const MARK: u64;
}

/// The content of the private words of a [`Kept`].
pub(super) struct Marked<T> {
    mark: u64,
    it: T,
}

impl<T: Kept> Marked<T> {
    const FITS: () = assert!(
        size_of::<Self>() <= size_of::<T::Words>() && align_of::<Self>() <= align_of::<T::Words>()
    );

    /// Returns the place for the object.
    pub(super) fn place(words: *mut T::Words) -> Result<Out<Self>, Status> {
        let () = Self::FITS;
        Out::new(words.cast())
    }

    pub(super) const fn of(it: T) -> Self {
        Self { mark: T::MARK, it }
    }

    pub(super) unsafe fn get<'a>(words: *const T::Words) -> Result<&'a T, Status> {
        // SAFETY: checked by `reference`; the mark says that this library put the object there.
        let marked = unsafe { reference(words.cast::<Self>()) }?;
        if marked.mark == T::MARK { Ok(&marked.it) } else { Err(Status::NotInitialised) }
    }

    /// Borrows the object like [`Self::get`], unless the pointer is null.
    pub(super) unsafe fn optional<'a>(words: *const T::Words) -> Result<Option<&'a T>, Status> {
        // SAFETY: passed on.
        if words.is_null() { Ok(None) } else { unsafe { Self::get(words) }.map(Some) }
    }

    /// Borrows an object that only this call uses. It must be separate from everything else that
    /// the call borrows.
    pub(super) unsafe fn get_mut<'a>(words: *mut T::Words) -> Result<&'a mut T, Status> {
        // SAFETY: passed on.
        unsafe { Self::get(words) }?;
        // SAFETY: found good by `get`; nothing else uses it by the contract.
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

    /// Checks a place that may be null. Then nothing is written.
    pub(super) fn optional(pointer: *mut T) -> Result<Option<Self>, Status> {
        if pointer.is_null() { Ok(None) } else { Self::new(pointer).map(Some) }
    }

    pub(super) const fn pointer(&self) -> *mut T {
        self.0
    }

    pub(super) fn span(&self) -> Span {
        Span::at(self.0)
    }

    /// Refuses a place within the library's own memory, which no one else may write to.
    pub(super) fn check_apart(&self, own: Span) -> Result<(), Status> {
        self.span().check_apart(own)
    }

    pub(super) unsafe fn write(self, value: T) {
        // SAFETY: not null and aligned; live and the caller's to write by the contract.
        unsafe { self.0.write(value) }
    }
}

/// The place of some memory, to be compared and not read.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub start: usize,
    pub len: usize,
}

impl Span {
    pub(super) fn of<T>(memory: &[T]) -> Self {
        Self { start: memory.as_ptr().addr(), len: size_of_val(memory) }
    }

    /// Returns the span of the target of a pointer, which may be null.
    pub(super) fn at<T>(pointer: *const T) -> Self {
        let len = if pointer.is_null() { 0 } else { size_of::<T>() };
        Self { start: pointer.addr(), len }
    }

    /// Refuses an input that overlaps the output.
    pub(super) fn check_apart(self, input: Self) -> Result<(), Status> {
        // Two spans overlap if one begins within the other. An empty one, as many are, overlaps
        // none.
        let within = |start: usize, span: Self| start.wrapping_sub(span.start) < span.len;
        let apart = input.len == 0 || !within(self.start, input) && !within(input.start, self);
        if apart || self.len == 0 { Ok(()) } else { Err(Status::Overlap) }
    }

    /// Refuses several inputs. Not for code in which every nanosecond counts.
    #[inline(never)]
    pub(super) fn check_apart_from(self, inputs: &[Self]) -> Result<(), Status> {
        inputs.iter().try_for_each(|&input| self.check_apart(input))
    }
}

/// An output buffer, and the place for its length. The memory may be uninitialised, so it is only
/// written, and never borrowed.
pub(super) struct Buffer {
    start: *mut u8,
    capacity: usize,
    used: usize,
    len: Out<usize>,
}

impl Buffer {
    /// Checks a buffer. `(NULL, 0)` has no room, and reports the length needed.
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

    /// Returns the memory to be written.
    pub(super) fn spans(&self) -> [Span; 2] {
        [self.len.span(), Span { start: self.start.addr(), len: self.capacity }]
    }

    /// Refuses inputs that overlap the memory to be written.
    pub(super) fn check_apart_from(&self, inputs: &[Span]) -> Result<(), Status> {
        self.spans().iter().try_for_each(|span| span.check_apart_from(inputs))
    }

    /// Copies bytes, and borrows the copy.
    pub(super) unsafe fn copy(&mut self, bytes: &[u8]) -> Result<&mut [u8], Error> {
        self.room(bytes.len())?;
        if bytes.is_empty() {
            return Ok(&mut []);
        }
        self.put(bytes);
        // SAFETY: as many bytes were just written.
        Ok(unsafe { core::slice::from_raw_parts_mut(self.start, bytes.len()) })
    }

    /// Finishes the output: reports its length, or the length needed.
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
        // SAFETY: within the capacity, which is live and the caller's to write by the contract;
        // `bytes` are elsewhere, because every caller called `check_apart_from`, or are copies on
        // the stack.
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
