//! The C structures, and how pointers from C are read and written.

use core::ffi::c_void;

use crate::cookie::{Cookie, Limits};
use crate::error::{Error, Field};
use crate::key::{Key, Kind};
use crate::ring::{KeyView, MAX_KEYS, Role};
use crate::select::Filter;
use crate::set_cookie::{Attributes, SameSite};
use crate::sink::Sink;
use crate::slot::{Slot, State, Status as SlotStatus};

use super::status::{Refusal, Status};

/// Borrowed bytes. `(NULL, 0)` is empty.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_bytes {
    /// The first byte.
    pub ptr: *const c_void,
    /// The number of bytes.
    pub len: usize,
}

/// An affinity key.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_key {
    /// A `tokenpin_kind`.
    pub kind: u8,
    /// The 16 bytes of an anonymous id, a consumer name, or a session key; of a combined
    /// key the consumer name. Names and session keys have 1 to 4096 bytes.
    pub key: tokenpin_bytes,
    /// The session key of a combined key; not looked at for the other kinds.
    pub session: tokenpin_bytes,
}

/// State, weight and until of a slot.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_slot_status {
    /// The unix second from which a draining or down slot counts as up again; 0 for never.
    /// At most 2^45-1.
    pub until: u64,
    /// 0 to 65536; 65536 is always, 0 takes no session that is not pinned to the slot.
    pub weight: u32,
    /// A `tokenpin_state`.
    pub state: u8,
}

/// One slot of a token set, in memory of the caller. Made by `tokenpin_slot_init` or
/// `tokenpin_slot_init_vacant`, and changed by `tokenpin_slot_set` alone, which is atomic.
#[repr(C)]
pub struct tokenpin_slot {
    /// The identity hash of the account; 0 for a vacant slot.
    pub identity_hash: u64,
    /// State, weight and until. Its layout is private.
    pub word: u64,
}

const _: () = assert!(
    size_of::<tokenpin_slot>() == size_of::<Slot>() && align_of::<Slot>() == 8,
    "an array of tokenpin_slot is read as an array of Slot"
);

/// Which slots are candidates.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_filter {
    /// Unix seconds.
    pub now: u64,
    /// The slots that this request has tried already.
    pub tried: *const u32,
    /// Their number.
    pub tried_count: usize,
    /// 1 if the key is an anonymous id: draining slots are left out then.
    pub anonymous: u8,
}

/// One key of the cookie key ring.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_cookie_key {
    /// The number that cookies carry to say which key signed them.
    pub id: u8,
    /// A `tokenpin_role`.
    pub role: u8,
    /// The secret.
    pub secret: [u8; 16],
}

/// A key ring in memory of the caller, at least 8-aligned. Its contents are private and
/// secret: `tokenpin_key_ring_wipe` ends its life. A copy is a ring too, and has to be wiped too.
#[repr(C)]
pub struct tokenpin_key_ring {
    /// Private.
    pub private_words: [u64; 56],
}

/// What a cookie says.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_cookie {
    /// The identity hash of the session's token.
    pub pin: u64,
    /// The first issue, in unix seconds; kept through every refresh.
    pub issued_at: u32,
    /// The latest issue, in unix seconds.
    pub refreshed_at: u32,
    /// The anonymous id; a nonce for the other kinds.
    pub id: [u8; 16],
    /// A `tokenpin_kind`.
    pub kind: u8,
}

/// How long cookies are good for, in seconds. 0 switches a limit off, except for skew.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_limits {
    /// How far in the future another clock may have stamped a cookie.
    pub skew: u32,
    /// The longest life since the first issue.
    pub max_life: u32,
    /// The longest time since the latest issue.
    pub max_idle: u32,
    /// A fifth of this after its latest issue a cookie is due to be issued anew.
    pub refresh_interval: u32,
}

/// The attributes of the cookie.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_attributes {
    /// `Path`; empty for `/`.
    pub path: tokenpin_bytes,
    /// `Domain`; empty for none.
    pub domain: tokenpin_bytes,
    /// 1 for `Secure`.
    pub secure: u8,
    /// 1 for `HttpOnly`.
    pub http_only: u8,
    /// A `tokenpin_same_site`.
    pub same_site: u8,
    /// 1 for `Partitioned`.
    pub partitioned: u8,
}

/// One row of a classification table.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_rule {
    /// One or more path segments, such as `files` or `messages/batches`.
    pub pattern: tokenpin_bytes,
    /// A `tokenpin_group`.
    pub group: u8,
}

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

/// Borrows bytes. `(NULL, 0)` is empty.
pub(super) unsafe fn bytes<'a>(pointer: *const c_void, len: usize) -> Result<&'a [u8], Status> {
    // SAFETY: passed on.
    unsafe { array(pointer.cast(), len) }
}

impl tokenpin_bytes {
    pub(super) unsafe fn get<'a>(self) -> Result<&'a [u8], Status> {
        // SAFETY: passed on.
        unsafe { bytes(self.ptr, self.len) }
    }

    pub(super) const EMPTY: Self = Self { ptr: core::ptr::null(), len: 0 };
}

impl From<&[u8]> for tokenpin_bytes {
    fn from(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr().cast(), len: bytes.len() }
    }
}

/// A place for one output: checked first, written last, never read.
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    pub(super) fn new(pointer: *mut T) -> Result<Self, Status> {
        aligned(pointer)?;
        Ok(Self(pointer))
    }

    pub(super) const fn pointer(&self) -> *mut T {
        self.0
    }

    fn span(&self) -> Span {
        Span { start: self.0.addr(), len: size_of::<T>() }
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

    /// Refuses an input that lies, in part or whole, where output will be written.
    pub(super) fn check_apart(self, input: Self) -> Result<(), Status> {
        // Two spans overlap where one begins within the other, an empty one nowhere.
        let within = |start: usize, span: Self| start.wrapping_sub(span.start) < span.len;
        let overlap = within(self.start, input) || within(input.start, self);
        if overlap && self.len != 0 && input.len != 0 { Err(Status::Overlap) } else { Ok(()) }
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

pub(super) fn switch(number: u8) -> Result<bool, Status> {
    match number {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Status::BadEnum),
    }
}

impl tokenpin_key {
    #[inline(never)]
    pub(super) unsafe fn get<'a>(self) -> Result<Key<'a>, Status> {
        let kind = Kind::from_number(self.kind).ok_or(Status::BadEnum)?;
        // SAFETY: passed on.
        let key = unsafe { self.key.get() }?;
        let key = match kind {
            Kind::Anonymous => Key::Anonymous(key.try_into().map_err(|_| Status::KeyLength)?),
            Kind::Consumer => Key::Consumer(key),
            Kind::Session => Key::Session(key),
            Kind::Combined => {
                // SAFETY: passed on.
                Key::Combined { consumer: key, session: unsafe { self.session.get() }? }
            }
        };
        key.check()?;
        Ok(key)
    }
}

impl tokenpin_slot_status {
    pub(super) fn get(self) -> Result<SlotStatus, Status> {
        let state = State::from_number(self.state).ok_or(Status::BadEnum)?;
        Ok(SlotStatus { state, weight: self.weight, until: self.until })
    }
}

impl From<SlotStatus> for tokenpin_slot_status {
    fn from(status: SlotStatus) -> Self {
        Self { until: status.until, weight: status.weight, state: status.state as u8 }
    }
}

impl tokenpin_filter {
    pub(super) unsafe fn get<'a>(self) -> Result<Filter<'a>, Status> {
        // SAFETY: passed on.
        let tried = unsafe { array(self.tried, self.tried_count) }?;
        Ok(Filter { now: self.now, anonymous: switch(self.anonymous)?, tried, pinned: None })
    }
}

impl tokenpin_cookie_key {
    /// `None` if the role is none.
    fn view(&self) -> Option<KeyView<'_>> {
        let role = Role::from_number(self.role)?;
        Some(KeyView { id: self.id, role, secret: &self.secret })
    }

    /// The keys by position, for `KeyRing::of`. Checks the roles of as many as a ring looks at.
    pub(super) fn views<'k>(
        keys: &'k [Self],
    ) -> Result<impl Fn(usize) -> Option<KeyView<'k>>, Refusal> {
        match keys.iter().take(MAX_KEYS + 1).position(|key| key.view().is_none()) {
            Some(index) => Err(Status::BadEnum.at(Field::CookieKeys, index)),
            None => Ok(|i| keys.get(i).and_then(Self::view)),
        }
    }
}

impl tokenpin_cookie {
    pub(super) fn get(&self) -> Result<Cookie, Status> {
        let kind = Kind::from_number(self.kind).ok_or(Status::BadEnum)?;
        let Self { pin, issued_at, refreshed_at, id, .. } = *self;
        Ok(Cookie { kind, issued_at, refreshed_at, id, pin })
    }
}

impl From<Cookie> for tokenpin_cookie {
    fn from(cookie: Cookie) -> Self {
        let Cookie { kind, issued_at, refreshed_at, id, pin } = cookie;
        Self { pin, issued_at, refreshed_at, id, kind: kind as u8 }
    }
}

impl From<tokenpin_limits> for Limits {
    fn from(limits: tokenpin_limits) -> Self {
        let tokenpin_limits { skew, max_life, max_idle, refresh_interval } = limits;
        Self { skew, max_life, max_idle, refresh_interval }
    }
}

impl tokenpin_attributes {
    pub(super) unsafe fn get<'a>(self) -> Result<Attributes<'a>, Refusal> {
        let bad = |status: Status, field| status.at(field, 0);
        // SAFETY: passed on.
        let path = unsafe { self.path.get() }.map_err(|status| bad(status, Field::Path))?;
        // SAFETY: passed on.
        let domain = unsafe { self.domain.get() }.map_err(|status| bad(status, Field::Domain))?;
        let on = |number, field| switch(number).map_err(|status| bad(status, field));
        Ok(Attributes {
            path: if path.is_empty() { Attributes::default().path } else { path },
            domain,
            secure: on(self.secure, Field::Secure)?,
            http_only: on(self.http_only, Field::HttpOnly)?,
            same_site: SameSite::from_number(self.same_site)
                .ok_or_else(|| bad(Status::BadEnum, Field::SameSite))?,
            partitioned: on(self.partitioned, Field::Partitioned)?,
        })
    }
}

/// Borrows slots from the C array.
pub(super) unsafe fn slots<'a>(
    pointer: *const tokenpin_slot,
    count: usize,
) -> Result<&'a [Slot], Status> {
    // SAFETY: passed on. The two have one layout, and `Slot` is atomic where it changes.
    unsafe { array(pointer.cast::<Slot>(), count) }
}
