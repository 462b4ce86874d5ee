//! Chapter 7: classification
//!
//! Which group of the API a request belongs to, and whether it names existing state.

use core::ffi::c_void;

use crate::decide::classify::{Class, DEFAULT_RULES, Table};

use super::pointers::{Out, array, bytes, switch};
use super::status::{Status, returned};
use super::structs::tokenpin_rule;

/// Classifies a request by its method and target. `(NULL, 0)` for the rules is the default table.
/// `prompt_cache` 1 opts in to that group. `group` receives a `tokenpin_group`, `existing` 1 if the
/// request names existing state.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, PATTERN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_classify(
    rules: *const tokenpin_rule,
    rule_count: usize,
    prompt_cache: u8,
    method: *const c_void,
    method_len: usize,
    target: *const c_void,
    target_len: usize,
    group: *mut u8,
    existing: *mut u8,
) -> i32 {
    returned((|| {
        let outputs = (Out::new(group)?, Out::new(existing)?);
        // SAFETY: checked by `array` and `bytes`.
        let (given, method, target) = unsafe {
            (array(rules, rule_count)?, bytes(method, method_len)?, bytes(target, target_len)?)
        };
        let prompt_cache = switch(prompt_cache)?;
        for rule in given {
            // SAFETY: checked by `get`.
            if !unsafe { rule.get() }?.is_well_formed() {
                return Err(Status::Pattern);
            }
        }
        let rule = |i: usize| match given.get(i) {
            // SAFETY: checked by `get`, and all found good above.
            Some(rule) => unsafe { rule.get() }.ok(),
            None if given.is_empty() => DEFAULT_RULES.get(i).copied(),
            None => None,
        };
        let class = Table::new(&rule).classify(&rule, prompt_cache, method, target);
        // SAFETY: checked by `Out`.
        unsafe { write_class(class, outputs) };
        Ok(())
    })())
}

pub(super) unsafe fn write_class(class: Class, (group, existing): (Out<u8>, Out<u8>)) {
    // SAFETY: passed on.
    unsafe {
        group.write(class.group as u8);
        existing.write(u8::from(class.existing));
    }
}
