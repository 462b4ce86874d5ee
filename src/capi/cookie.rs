//! Chapter 5: cookies
//!
//! A key ring in memory of the caller, and the values that it signs and checks.

use core::ffi::{c_char, c_void};

use crate::cookie::name::{Audience, CookieName};
use crate::cookie::reader::Limits;
use crate::cookie::ring::KeyRing;
use crate::cookie::value::{Cookie, Value};
use crate::cookie::{decode, encode};
use crate::error::Field;
use crate::key::{Key, Kind, check_scope};

use super::pointers::{Buffer, Kept, Marked, Out, Span, bytes, optional, put, reference};
use super::status::{Status, returned, tokenpin_config_error};
use super::structs::{tokenpin_cookie_key, tokenpin_key};
use super::wipe::{init_ring, wipe_words};

/// A key ring in memory of the caller, at least 8-aligned. Its contents are private and secret:
/// `tokenpin_key_ring_wipe` ends its life. A copy is a ring too, and must be wiped too.
#[repr(C)]
pub struct tokenpin_key_ring {
    /// Private.
    pub private_words: [u64; 56],
}

/// The content of a cookie.
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

/// The time limits of cookies, in seconds. 0 switches a limit off, except for skew.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_limits {
    /// The tolerance for timestamps in the future, from clocks that run ahead.
    pub skew: u32,
    /// The longest life since the first issue.
    pub max_life: u32,
    /// The longest time since the latest issue.
    pub max_idle: u32,
    /// The refresh interval. A fifth of it after its latest issue, a cookie is due for a refresh.
    pub refresh_interval: u32,
}

impl Kept for KeyRing {
    type Words = tokenpin_key_ring;
    const MARK: u64 = 0x746f_6b65_6e72_696e;
}

/// Makes a key ring of 1 to [`MAX_COOKIE_KEYS`](crate::MAX_COOKIE_KEYS) keys, exactly one of which
/// signs. `placement_key` may be NULL; if it is not, it has 16 bytes, and no secret may equal it.
/// `error` may be NULL; if it is not, it receives the reason of a refusal and the key at fault.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, ZERO_SECRET, DUPLICATE_SECRET,
/// DUPLICATE_KEY_ID, KEY_COUNT, SIGNING_KEYS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_key_ring_init(
    ring: *mut tokenpin_key_ring,
    keys: *const tokenpin_cookie_key,
    key_count: usize,
    placement_key: *const u8,
    error: *mut tokenpin_config_error,
) -> i32 {
    let field = Field::CookieKeys;
    // SAFETY: passed on.
    unsafe { init_ring(ring, keys, key_count, placement_key, error, field, KeyRing::of) }
}

/// Wipes a key ring. NULL is allowed, and so is a ring that is wiped already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_key_ring_wipe(ring: *mut tokenpin_key_ring) {
    // SAFETY: passed on.
    unsafe { wipe_words(ring) };
}

/// Makes the value of a cookie, 67 characters without a NUL, signed with the ring's signing key.
///
/// `name` has 1 to [`MAX_COOKIE_NAME`](crate::MAX_COOKIE_NAME) token bytes, the scope 0 to
/// [`MAX_SCOPE`](crate::MAX_SCOPE) bytes. `key` is the affinity key that the cookie is bound to, of
/// the cookie's kind; it may be NULL for an anonymous cookie.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED,
/// SCOPE_LENGTH, KEY_LENGTH, COOKIE_NAME.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_cookie_encode(
    ring: *const tokenpin_key_ring,
    name: *const c_void,
    name_len: usize,
    scope: *const c_void,
    scope_len: usize,
    key: *const tokenpin_key,
    cookie: *const tokenpin_cookie,
    value: *mut c_char,
) -> i32 {
    returned((|| {
        let value = Out::new(value.cast::<Value>())?;
        // SAFETY: checked by `Marked`, `bytes`, `reference` and `optional_key`.
        let (ring, name, scope, cookie, key) = unsafe {
            let cookie = reference(cookie)?.get()?;
            let key = optional_key(key)?.unwrap_or(Key::Anonymous(&[0; 16]));
            (
                Marked::<KeyRing>::get(ring)?,
                bytes(name, name_len)?,
                bytes(scope, scope_len)?,
                cookie,
                key,
            )
        };
        value.check_apart(Span::of(core::slice::from_ref(ring)))?;
        let made = encode(ring, &Audience { name, scope }, &key, &cookie)?;
        // SAFETY: checked by `Out`.
        unsafe { value.write(made) };
        Ok(())
    })())
}

/// Reads the value of a cookie. `key` is the affinity key of the request, or NULL for an anonymous
/// request. A bad value is a verdict, not a status.
///
/// `verdict` receives a `tokenpin_verdict`. `cookie` may be NULL; if it is not, it receives the
/// content of a cookie whose tag is good: for the verdicts `OTHER_KEY`, `NOT_YET_VALID`,
/// `EXPIRED_LIFE`, `EXPIRED_IDLE`, `VALID` and `REFRESH_DUE`.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED,
/// SCOPE_LENGTH, KEY_LENGTH, COOKIE_NAME.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_cookie_decode(
    ring: *const tokenpin_key_ring,
    name: *const c_void,
    name_len: usize,
    scope: *const c_void,
    scope_len: usize,
    key: *const tokenpin_key,
    limits: *const tokenpin_limits,
    now: u64,
    value: *const c_void,
    value_len: usize,
    verdict: *mut u8,
    cookie: *mut tokenpin_cookie,
) -> i32 {
    returned((|| {
        let verdict = Out::new(verdict)?;
        let cookie = Out::optional(cookie)?;
        // SAFETY: checked by `Marked`, `bytes`, `reference` and `optional_key`.
        let (ring, name, scope, key, limits, value) = unsafe {
            let (name, scope) = (bytes(name, name_len)?, bytes(scope, scope_len)?);
            let (key, limits) = (optional_key(key)?, reference(limits)?);
            (Marked::<KeyRing>::get(ring)?, name, scope, key, limits, bytes(value, value_len)?)
        };
        verdict.check_apart(Span::of(core::slice::from_ref(ring)))?;
        if let Some(cookie) = &cookie {
            cookie.check_apart(Span::of(core::slice::from_ref(ring)))?;
        }
        let audience = Audience { name, scope };
        let (came, says) = decode(ring, &audience, key.as_ref(), &(*limits).into(), now, value)?;
        // SAFETY: checked by `Out`.
        unsafe {
            verdict.write(came as u8);
            if let (Some(cookie), Some(says)) = (cookie, says) {
                cookie.write(says.into());
            }
        }
        Ok(())
    })())
}

/// Writes the default name of a scope's cookie: `__Host-tokenpin`, with a suffix unless the scope
/// is empty.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BUFFER_TOO_SMALL, SCOPE_LENGTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_cookie_default_name(
    scope: *const c_void,
    scope_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
) -> i32 {
    returned((|| {
        let mut out = Buffer::new(buffer, capacity, len)?;
        // SAFETY: checked by `bytes`.
        let scope = unsafe { bytes(scope, scope_len) }?;
        check_scope(scope)?;
        let written = put(&mut out, CookieName::for_scope(scope).as_bytes());
        // SAFETY: checked by `Buffer`.
        unsafe { out.end(written) }
    })())
}

unsafe fn optional_key<'a>(key: *const tokenpin_key) -> Result<Option<Key<'a>>, Status> {
    // SAFETY: checked by `optional` and `get`.
    unsafe { optional(key)?.map(|key| key.get()).transpose() }
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
