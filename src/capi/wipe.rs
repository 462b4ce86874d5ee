//! Work that handles secrets, and leaves none on the stack.

use crate::error::{ConfigError, Field};
use crate::ring::KeyView;
use crate::secret::wipe;

use super::pointers::{Kept, Marked, Out, array, optional};
use super::status::{Refusal, Status, tokenpin_config_error};
use super::structs::tokenpin_cookie_key;

/// Does `work`, which handles secrets, and wipes its remains on the stack. Writes the reason of a
/// refusal to `error` unless that is null. Returns the number of the status.
pub(super) unsafe fn report<W: FnMut() -> Result<(), Refusal>>(
    error: *mut tokenpin_config_error,
    mut work: W,
) -> i32 {
    /// Does the work in a separate stack frame, below that of `report_of`.
    #[inline(never)]
    unsafe fn call<W: FnMut() -> Result<(), Refusal>>(work: *mut ()) -> Result<(), Refusal> {
        // SAFETY: only `report` passes this function on, with such work.
        unsafe { (*work.cast::<W>())() }
    }
    // SAFETY: passed on.
    unsafe { report_of(error, call::<W>, (&raw mut work).cast()) }
}

/// One copy for all work. A function and its data take less than an object with a table.
#[inline(never)]
unsafe fn report_of(
    error: *mut tokenpin_config_error,
    call: unsafe fn(*mut ()) -> Result<(), Refusal>,
    work: *mut (),
) -> i32 {
    let error = match Out::optional(error) {
        Ok(error) => error,
        Err(status) => return status as i32,
    };
    // SAFETY: by the contract of `report`.
    let result = unsafe { call(work) };
    wipe_stack();
    let Err(refusal) = result else { return Status::Ok as i32 };
    let status = refusal.status as i32;
    if let Some(error) = error {
        // SAFETY: checked by `Out`.
        unsafe { error.write(refusal.into()) };
    }
    status
}

/// Overwrites the stack below the caller. Moving a key ring into place leaves copies there that no
/// destructor sees. Building an affinity uses a part of these 16 KB.
#[inline(never)]
fn wipe_stack() {
    wipe(&mut [0; 16_384]);
}

/// Makes a ring from the keys by position, and the placement key.
type RingOf<'k, R> =
    fn(&dyn Fn(usize) -> Option<KeyView<'k>>, Option<&[u8; 16]>) -> Result<R, ConfigError>;

/// Puts a key ring into memory of the caller. `of` makes the ring from keys, and `field` names them
/// in errors.
pub(super) unsafe fn init_ring<R: Kept>(
    ring: *mut R::Words,
    keys: *const tokenpin_cookie_key,
    key_count: usize,
    placement_key: *const u8,
    error: *mut tokenpin_config_error,
    field: Field,
    of: RingOf<'_, R>,
) -> i32 {
    let work = || {
        let ring = Marked::<R>::place(ring)?;
        // SAFETY: checked by `optional` and `array`.
        let (placement_key, keys) =
            unsafe { (optional(placement_key.cast::<[u8; 16]>())?, array(keys, key_count)?) };
        let made = of(&tokenpin_cookie_key::views(keys, field)?, placement_key)?;
        // SAFETY: checked by `place`.
        unsafe { ring.write(Marked::of(made)) };
        Ok(())
    };
    // SAFETY: passed on.
    unsafe { report(error, work) }
}

/// Wipes the target of a pointer, which may be null.
pub(super) unsafe fn wipe_words<W>(words: *mut W) {
    if let Ok(words) = Out::new(words) {
        let bytes = core::ptr::slice_from_raw_parts_mut(words.pointer().cast(), size_of::<W>());
        // SAFETY: checked by `Out`; the memory is not used any more by the contract.
        wipe(unsafe { &mut *bytes });
    }
}
