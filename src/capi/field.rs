//! Chapter 6: fields
//!
//! The `Cookie` and `Set-Cookie` fields of a message.

use core::ffi::c_void;

use crate::cookie::field::{next, strip_to};
use crate::cookie::set_cookie::{self, check, write_to};

use super::pointers::{Buffer, Out, Span, bytes, reference};
use super::status::{Status, returned};
use super::structs::{tokenpin_attributes, tokenpin_bytes};

/// Finds the values of the cookies called `name` in one `Cookie` field, one per call. `*offset`
/// starts at 0; each call finds the next value at or behind it and advances it.
///
/// Returns `TOKENPIN_STATUS_END`, and changes nothing, when there is none. `value` points into the
/// field.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, END.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_cookie_next(
    field: *const c_void,
    field_len: usize,
    name: *const c_void,
    name_len: usize,
    offset: *mut usize,
    value: *mut tokenpin_bytes,
) -> i32 {
    returned((|| {
        let (onward, value) = (Out::new(offset)?, Out::new(value)?);
        // SAFETY: checked by `bytes` and `Out`.
        let (field, name, from) =
            unsafe { (bytes(field, field_len)?, bytes(name, name_len)?, *offset) };
        let (found, after) = next(field, name, from).ok_or(Status::End)?;
        // SAFETY: checked by `Out`.
        unsafe {
            value.write(found.into());
            onward.write(after);
        }
        Ok(())
    })())
}

/// Removes every cookie called `name` from one `Cookie` field. The other pairs stay the same, byte
/// for byte. `*len` 0 means that the field is empty now: drop it. The result is never longer than
/// the field. The buffer must not overlap the field or the name.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, BUFFER_TOO_SMALL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_cookie_strip(
    field: *const c_void,
    field_len: usize,
    name: *const c_void,
    name_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
) -> i32 {
    returned((|| {
        let mut out = Buffer::new(buffer, capacity, len)?;
        // SAFETY: checked by `bytes`.
        let (field, name) = unsafe { (bytes(field, field_len)?, bytes(name, name_len)?) };
        out.check_apart_from(&[Span::of(field), Span::of(name)])?;
        let written = strip_to(field, name, &mut out);
        // SAFETY: checked by `Buffer`.
        unsafe { out.end(written) }
    })())
}

/// Writes the value of a `Set-Cookie` field. `max_age` 0 makes a session cookie. A buffer of
/// `TOKENPIN_MAX_SET_COOKIE` bytes suffices for a value of this library. The buffer must not
/// overlap the inputs.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, BUFFER_TOO_SMALL,
/// COOKIE_NAME, ATTRIBUTE, NAME_PREFIX, NEEDS_SECURE, MAX_AGE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_set_cookie_write(
    name: *const c_void,
    name_len: usize,
    value: *const c_void,
    value_len: usize,
    attributes: *const tokenpin_attributes,
    max_age: u32,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
) -> i32 {
    returned((|| {
        let mut out = Buffer::new(buffer, capacity, len)?;
        // SAFETY: checked by `bytes`, `reference` and `get`.
        let (name, value, attributes) = unsafe {
            let attributes = reference(attributes)?.get().map_err(|refusal| refusal.status)?;
            (bytes(name, name_len)?, bytes(value, value_len)?, attributes)
        };
        out.check_apart_from(&[name, value, attributes.path, attributes.domain].map(Span::of))?;
        check(name, value, &attributes, max_age)?;
        let written = write_to(name, value, &attributes, max_age, &mut out);
        // SAFETY: checked by `Buffer`.
        unsafe { out.end(written) }
    })())
}

/// Reports whether a `Set-Cookie` field sets a cookie called `name`: 1 or 0. Drop such fields from
/// an upstream's response.
///
/// Statuses: OK, NULL_POINTER, LENGTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_set_cookie_matches(
    field: *const c_void,
    field_len: usize,
    name: *const c_void,
    name_len: usize,
    matches: *mut u8,
) -> i32 {
    returned((|| {
        let out = Out::new(matches)?;
        // SAFETY: checked by `bytes`.
        let (field, name) = unsafe { (bytes(field, field_len)?, bytes(name, name_len)?) };
        // SAFETY: checked by `Out`.
        unsafe { out.write(u8::from(set_cookie::matches(field, name))) };
        Ok(())
    })())
}
