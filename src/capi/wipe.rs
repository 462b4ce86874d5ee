//! Work that handles secrets, and leaves none on the stack.

use crate::secret::wipe;

use super::pointers::Out;
use super::status::{Refusal, Status, tokenpin_config_error};

/// Does `work`, which handles secrets, and wipes what it left on the stack. Writes where a
/// configuration was refused unless `error` is null. Returns the number of the status.
pub(super) unsafe fn report(
    error: *mut tokenpin_config_error,
    work: impl FnOnce() -> Result<(), Refusal>,
) -> i32 {
    let error = if error.is_null() { None } else { Some(Out::new(error)) };
    let error = match error.transpose() {
        Ok(error) => error,
        Err(status) => return status as i32,
    };
    let result = in_frame_below(work);
    in_frame_below(wipe_stack);
    let Err(refusal) = result else { return Status::Ok as i32 };
    let status = refusal.status as i32;
    if let Some(error) = error {
        // SAFETY: checked by `Out`.
        unsafe { error.write(refusal.into()) };
    }
    status
}

/// Does `work` in its own stack frame, below the caller's.
#[inline(never)]
fn in_frame_below<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Overwrites the stack below the caller. Moving a key ring into place leaves copies there that no
/// destructor sees; building an affinity uses a part of these 16 KB.
fn wipe_stack() {
    wipe(&mut [0; 16_384]);
}
