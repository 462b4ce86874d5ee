//! Chapter 7: classification
//!
//! Finds the group of the API that a request belongs to, and whether it names existing state.

use core::ffi::c_void;

use crate::decide::classify::{Class, Table};

use super::pointers::{Out, array, bytes, switch};
use super::status::{Status, returned};
use super::structs::tokenpin_rule;

/// Classifies a request by its method and its target as the client sent it. The rules come before
/// the default ones, or replace them with `replace_rules` 1. `prompt_cache` 1 opts in to that
/// group. `group` receives a `tokenpin_group`, `existing` 1 if the request names existing state,
/// and `ids` a `tokenpin_ids`.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, PATTERN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_classify(
    rules: *const tokenpin_rule,
    rule_count: usize,
    replace_rules: u8,
    prompt_cache: u8,
    method: *const c_void,
    method_len: usize,
    target: *const c_void,
    target_len: usize,
    group: *mut u8,
    existing: *mut u8,
    ids: *mut u8,
) -> i32 {
    returned((|| {
        let outputs = [Out::new(group)?, Out::new(existing)?, Out::new(ids)?];
        // SAFETY: checked by `array` and `bytes`.
        let (given, method, target) = unsafe {
            (array(rules, rule_count)?, bytes(method, method_len)?, bytes(target, target_len)?)
        };
        let (replace, prompt_cache) = (switch(replace_rules)?, switch(prompt_cache)?);
        for rule in given {
            // SAFETY: checked by `get`.
            if !unsafe { rule.get() }?.is_well_formed() {
                return Err(Status::Pattern);
            }
        }
        // SAFETY: checked by `get`, and all found good above.
        let own = |i: usize| given.get(i).and_then(|rule| unsafe { rule.get() }.ok());
        let class = Table::new(&own, replace).classify(&own, prompt_cache, method, target);
        // SAFETY: checked by `Out`.
        unsafe { write_class(class, outputs) };
        Ok(())
    })())
}

pub(super) unsafe fn write_class(class: Class, [group, existing, ids]: [Out<u8>; 3]) {
    // SAFETY: passed on.
    unsafe {
        group.write(class.group as u8);
        existing.write(u8::from(class.existing));
        ids.write(class.ids as u8);
    }
}
