//! Chapter 9: versions and names
//!
//! The versions of the library and of its interface, and the stable names of its enums.

use core::ffi::{CStr, c_char};

use super::enum_names::name_of;
use super::pointers::Out;
use super::status::{Status, returned};
use super::structs::tokenpin_bytes;

/// Returns the version of the interface that the library was built with. A program compares it with
/// the `TOKENPIN_ABI_VERSION` that it was compiled with.
#[unsafe(no_mangle)]
pub extern "C" fn tokenpin_abi_version() -> u32 {
    super::constants::TOKENPIN_ABI_VERSION
}

/// Does nothing. Only libraries of version 1 of the interface have it, so that a program that
/// refers to it does not link with a library of another version.
#[unsafe(no_mangle)]
pub extern "C" fn tokenpin_abi_v1() {}

const _: () = assert!(super::constants::TOKENPIN_ABI_VERSION == 1, "rename tokenpin_abi_v1");

/// Returns the version of the library, such as `"1.2.3"`: a static string that ends in a NUL.
#[unsafe(no_mangle)]
pub extern "C" fn tokenpin_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("a constant, checked when it is compiled"),
        };
    VERSION.as_ptr()
}

/// Reports the stable snake_case name of an enum's value, fit for a metric's label: bytes that live
/// as long as the library. `which` is a `tokenpin_enum`.
///
/// Returns `TOKENPIN_STATUS_BAD_ENUM` for a number without a name.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, BAD_ENUM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_enum_name(
    which: i32,
    value: i32,
    name: *mut tokenpin_bytes,
) -> i32 {
    returned((|| {
        let name = Out::new(name)?;
        let value = u8::try_from(value).map_err(|_| Status::BadEnum)?;
        let which = u8::try_from(which).map_err(|_| Status::BadEnum)?;
        let text = name_of(which, value).ok_or(Status::BadEnum)?;
        // SAFETY: checked by `Out`.
        unsafe { name.write(text.into()) };
        Ok(())
    })())
}
