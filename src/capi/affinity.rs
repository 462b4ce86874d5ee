//! Chapter 2: the affinity
//!
//! One checked configuration. Only the state, weight and until of its slots can change. It lies in
//! one block of memory, the caller's or `malloc`'s, and any number of threads use it without locks.

use core::ffi::c_void;
use core::ptr;

use crate::decide::config::Config;
use crate::key::check_scope;
use crate::secret::{Secret, wipe};

use super::block::{MAX_CONFIG_SIZE, Parts, handle, tokenpin_affinity, tokenpin_config};
use super::classify::write_class;
use super::constants::{TOKENPIN_AFFINITY_ALIGN, TOKENPIN_MAX_AGE_AUTO, TOKENPIN_SLOT_NONE};
use super::pointers::{Buffer, Out, Span, bytes, put, reference};
use super::status::{Status, returned, tokenpin_config_error};
use super::structs::{tokenpin_attributes, tokenpin_bytes, tokenpin_slot_status};
use super::wipe::report;

unsafe extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn free(memory: *mut c_void);
}

/// Sets a configuration to the defaults. `size` is `sizeof(tokenpin_config)`. Fields of a newer
/// header that this library does not know are set to zero.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, STRUCT_SIZE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_config_init(config: *mut tokenpin_config, size: usize) -> i32 {
    returned((|| {
        let out = Out::new(config)?;
        let known = size_of::<tokenpin_config>();
        if !(known..=MAX_CONFIG_SIZE).contains(&size) {
            return Err(Status::StructSize);
        }
        let defaults = Config::new(Secret::new([0; 16]), &[]);
        let attributes = defaults.attributes;
        let made = tokenpin_config {
            size,
            cookie_keys: ptr::null(),
            cookie_key_count: 0,
            slots: ptr::null(),
            slot_count: 0,
            scope: tokenpin_bytes::EMPTY,
            cookie_name: tokenpin_bytes::EMPTY,
            attributes: tokenpin_attributes {
                path: tokenpin_bytes::EMPTY,
                domain: tokenpin_bytes::EMPTY,
                secure: u8::from(attributes.secure),
                http_only: u8::from(attributes.http_only),
                same_site: attributes.same_site as u8,
                partitioned: u8::from(attributes.partitioned),
            },
            rules: ptr::null(),
            rule_count: 0,
            id_keys: ptr::null(),
            id_key_count: 0,
            id_fields: ptr::null(),
            id_field_count: 0,
            id_prefixes: ptr::null(),
            id_prefix_count: 0,
            id_collections: ptr::null(),
            id_collection_count: 0,
            max_age: TOKENPIN_MAX_AGE_AUTO,
            skew: defaults.skew,
            max_life: defaults.max_life,
            max_idle: defaults.max_idle,
            success_first: defaults.success.0,
            success_last: defaults.success.1,
            placement_key: [0; 16],
            strategy: defaults.strategy as u8,
            policy_existing: defaults.policy_existing as u8,
            policy_new: defaults.policy_new as u8,
            combine_keys: u8::from(defaults.combine_keys),
            reject_bad_keys: u8::from(defaults.reject_bad_keys),
            keyed_cookies: u8::from(defaults.keyed_cookies),
            mint_single: u8::from(defaults.mint_single),
            prompt_cache: u8::from(defaults.prompt_cache),
            replace_rules: u8::from(defaults.replace_rules),
            id_mode: defaults.ids.mode as u8,
            id_owner: defaults.ids.owner as u8,
            foreign_seals: defaults.ids.foreign as u8,
            encrypted_content: u8::from(defaults.ids.encrypted),
        };
        // SAFETY: checked by `Out`; `size` bytes are there by the contract.
        unsafe {
            config.cast::<u8>().add(known).write_bytes(0, size - known);
            out.write(made);
        }
        Ok(())
    })())
}

/// Returns in `size` the number of bytes that an affinity of this configuration needs. Does not
/// check identities, keys and policies. `error` may be NULL; if it is not, it receives the reason
/// of a refusal.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, STRUCT_SIZE, SLOT_COUNT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_size(
    config: *const tokenpin_config,
    size: *mut usize,
    error: *mut tokenpin_config_error,
) -> i32 {
    let work = || {
        let size = Out::new(size)?;
        // SAFETY: checked by `Parts`.
        let parts = unsafe { Parts::new(config) }?;
        // SAFETY: checked by `Out`.
        unsafe { size.write(parts.size()?) };
        Ok(())
    };
    // SAFETY: passed on.
    unsafe { report(error, work) }
}

/// Builds an affinity in `memory`, which is aligned to `TOKENPIN_AFFINITY_ALIGN` and has `size`
/// bytes, at least as many as `tokenpin_affinity_size` reports. The memory is separate from the
/// configuration and everything that it points to. The affinity must not be moved.
/// `tokenpin_affinity_wipe` ends its life.
///
/// `affinity` receives the handle. `error` may be NULL; if it is not, it receives the reason of a
/// refusal, with the field and element at fault. The configuration is copied and may be freed. If
/// it is refused, the memory may have been written to, but holds nothing secret.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, STRUCT_SIZE,
/// BUFFER_TOO_SMALL, SCOPE_LENGTH, IDENTITY_EMPTY, WEIGHT, UNTIL, VACANT, SLOT_COUNT,
/// DUPLICATE_IDENTITY, ZERO_SECRET, DUPLICATE_SECRET, DUPLICATE_KEY_ID, KEY_COUNT, SIGNING_KEYS,
/// COOKIE_NAME, ATTRIBUTE, NAME_PREFIX, NEEDS_SECURE, MAX_AGE, SUCCESS_RANGE, PATTERN, ID_FIELD.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_init(
    memory: *mut c_void,
    size: usize,
    config: *const tokenpin_config,
    affinity: *mut *mut tokenpin_affinity,
    error: *mut tokenpin_config_error,
) -> i32 {
    let work = || {
        let affinity = Out::new(affinity)?;
        if memory.is_null() {
            return Err(Status::NullPointer.into());
        }
        if memory.addr() % TOKENPIN_AFFINITY_ALIGN != 0 {
            return Err(Status::Misaligned.into());
        }
        affinity.check_apart(Span { start: memory.addr(), len: size })?;
        // SAFETY: checked by `Parts`; memory is not null and aligned.
        unsafe { affinity.write(Parts::new(config)?.build(memory.cast(), size)?) };
        Ok(())
    };
    // SAFETY: passed on.
    unsafe { report(error, work) }
}

/// Builds an affinity in memory of one `malloc`. `tokenpin_affinity_free` ends its life. Otherwise
/// like `tokenpin_affinity_init`.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, STRUCT_SIZE, OUT_OF_MEMORY,
/// SCOPE_LENGTH, IDENTITY_EMPTY, WEIGHT, UNTIL, VACANT, SLOT_COUNT, DUPLICATE_IDENTITY,
/// ZERO_SECRET, DUPLICATE_SECRET, DUPLICATE_KEY_ID, KEY_COUNT, SIGNING_KEYS, COOKIE_NAME,
/// ATTRIBUTE, NAME_PREFIX, NEEDS_SECURE, MAX_AGE, SUCCESS_RANGE, PATTERN, ID_FIELD.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_new(
    config: *const tokenpin_config,
    affinity: *mut *mut tokenpin_affinity,
    error: *mut tokenpin_config_error,
) -> i32 {
    let work = || {
        let affinity = Out::new(affinity)?;
        // SAFETY: checked by `Parts`.
        let parts = unsafe { Parts::new(config) }?;
        let size = parts.size()?;
        // SAFETY: `malloc` may be called with any size.
        let memory = unsafe { malloc(size) };
        if memory.is_null() {
            return Err(Status::OutOfMemory.into());
        }
        // SAFETY: `malloc` gave `size` bytes, aligned for anything.
        match unsafe { parts.build(memory.cast(), size) } {
            // SAFETY: checked by `Out`.
            Ok(made) => unsafe { affinity.write(made) },
            Err(refusal) => {
                // SAFETY: it came from `malloc`, and no one else knows it.
                unsafe { free(memory) };
                return Err(refusal);
            }
        }
        Ok(())
    };
    // SAFETY: passed on.
    unsafe { report(error, work) }
}

/// Ends the life of an affinity of `tokenpin_affinity_init` and wipes its memory, which stays the
/// caller's. No thread may be using it. NULL is allowed, and so is an affinity that is wiped
/// already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_wipe(affinity: *mut tokenpin_affinity) {
    // SAFETY: checked by `handle`.
    let Ok(size) = (unsafe { handle(affinity) }).map(|handle| handle.size) else { return };
    // SAFETY: the block has this size, and is not used any more by the contract.
    unsafe {
        ptr::drop_in_place(affinity);
        wipe(core::slice::from_raw_parts_mut(affinity.cast::<u8>(), size));
    }
}

/// Ends the life of an affinity of `tokenpin_affinity_new`: wipes its memory and frees it. No
/// thread may be using it. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_free(affinity: *mut tokenpin_affinity) {
    // SAFETY: passed on; `free` takes what `malloc` gave, and NULL.
    unsafe {
        tokenpin_affinity_wipe(affinity);
        free(affinity.cast());
    }
}

/// Changes state, weight and until of a slot atomically. Safe while other threads decide, and never
/// waits.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, BAD_ENUM, NOT_INITIALISED, WEIGHT, UNTIL, VACANT,
/// SLOT_RANGE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_set_slot(
    affinity: *const tokenpin_affinity,
    slot: u32,
    status: *const tokenpin_slot_status,
) -> i32 {
    returned((|| {
        // SAFETY: checked by `handle` and `reference`.
        let (handle, status) = unsafe { (handle(affinity)?, reference(status)?) };
        Ok(handle.affinity.set_slot(slot, status.get()?)?)
    })())
}

/// Reads state, weight and until of a slot atomically. `identity_hash` may be NULL; if it is not,
/// it receives the identity hash of the slot's account, 0 for a vacant slot.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, OVERLAP, NOT_INITIALISED, SLOT_RANGE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_get_slot(
    affinity: *const tokenpin_affinity,
    slot: u32,
    status: *mut tokenpin_slot_status,
    identity_hash: *mut u64,
) -> i32 {
    returned((|| {
        let status = Out::new(status)?;
        let identity_hash = Out::optional(identity_hash)?;
        // SAFETY: checked by `handle`.
        let handle = unsafe { handle(affinity) }?;
        status.check_apart(handle.span())?;
        if let Some(out) = &identity_hash {
            out.check_apart(handle.span())?;
        }
        let slot = handle.affinity.slot(slot)?;
        // SAFETY: checked by `Out`.
        unsafe {
            status.write(slot.status().into());
            if let Some(out) = identity_hash {
                out.write(slot.identity_hash());
            }
        }
        Ok(())
    })())
}

/// Finds the slot of the account that `identity` names, `TOKENPIN_SLOT_NONE` if there is none.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED, IDENTITY_EMPTY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_find(
    affinity: *const tokenpin_affinity,
    identity: *const c_void,
    identity_len: usize,
    slot: *mut u32,
) -> i32 {
    returned((|| {
        let slot = Out::new(slot)?;
        // SAFETY: checked by `handle` and `bytes`.
        let (handle, identity) = unsafe { (handle(affinity)?, bytes(identity, identity_len)?) };
        slot.check_apart(handle.span())?;
        if identity.is_empty() {
            return Err(Status::IdentityEmpty);
        }
        // SAFETY: checked by `Out`.
        unsafe { slot.write(handle.affinity.find(identity).unwrap_or(TOKENPIN_SLOT_NONE)) };
        Ok(())
    })())
}

/// Reports the number of slots, vacant ones included.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, OVERLAP, NOT_INITIALISED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_capacity(
    affinity: *const tokenpin_affinity,
    capacity: *mut usize,
) -> i32 {
    returned((|| {
        let capacity = Out::new(capacity)?;
        // SAFETY: checked by `handle`.
        let handle = unsafe { handle(affinity) }?;
        capacity.check_apart(handle.span())?;
        // SAFETY: checked by `Out`.
        unsafe { capacity.write(handle.affinity.capacity()) };
        Ok(())
    })())
}

/// Writes the cookie's name for a scope, at most `TOKENPIN_MAX_COOKIE_NAME` bytes. An empty scope
/// is the configured one. Strip the cookie with this name from requests, and from the upstream's
/// responses.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED, BUFFER_TOO_SMALL,
/// SCOPE_LENGTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_cookie_name(
    affinity: *const tokenpin_affinity,
    scope: *const c_void,
    scope_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
) -> i32 {
    returned((|| {
        let mut out = Buffer::new(buffer, capacity, len)?;
        // SAFETY: checked by `handle` and `bytes`.
        let (handle, scope) = unsafe { (handle(affinity)?, bytes(scope, scope_len)?) };
        out.check_apart_from(&[handle.span(), Span::of(scope)])?;
        check_scope(scope)?;
        let suffix = handle.affinity.name_suffix(scope);
        let written = handle.affinity.with_name(suffix, |name| put(&mut out, name));
        // SAFETY: checked by `Buffer`.
        unsafe { out.end(written) }
    })())
}

/// Computes the `id_hint` of the client that `of` belongs to. It is the same on every replica. `of`
/// is 1 to `TOKENPIN_MAX_KEY` bytes that no two clients share. `id_hint` receives 16 bytes.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED, KEY_LENGTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_id_hint(
    affinity: *const tokenpin_affinity,
    of: *const c_void,
    of_len: usize,
    id_hint: *mut u8,
) -> i32 {
    returned((|| {
        let id_hint = Out::new(id_hint.cast::<[u8; 16]>())?;
        // SAFETY: checked by `handle` and `bytes`.
        let (handle, of) = unsafe { (handle(affinity)?, bytes(of, of_len)?) };
        id_hint.check_apart(handle.span())?;
        let made = handle.affinity.id_hint(of)?;
        // SAFETY: checked by `Out`.
        unsafe { id_hint.write(made) };
        Ok(())
    })())
}

/// Classifies a request by the configured table. See `tokenpin_classify`.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_classify(
    affinity: *const tokenpin_affinity,
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
        // SAFETY: checked by `handle` and `bytes`.
        let (handle, method, target) =
            unsafe { (handle(affinity)?, bytes(method, method_len)?, bytes(target, target_len)?) };
        handle.span().check_apart_from(&outputs.each_ref().map(Out::span))?;
        // SAFETY: checked by `Out`.
        unsafe { write_class(handle.affinity.classify(method, target), outputs) };
        Ok(())
    })())
}

/// Reports the configuration's fingerprint. Replicas with different fingerprints do not agree.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, OVERLAP, NOT_INITIALISED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_fingerprint(
    affinity: *const tokenpin_affinity,
    fingerprint: *mut u64,
) -> i32 {
    returned((|| {
        let fingerprint = Out::new(fingerprint)?;
        // SAFETY: checked by `handle`.
        let handle = unsafe { handle(affinity) }?;
        fingerprint.check_apart(handle.span())?;
        // SAFETY: checked by `Out`.
        unsafe { fingerprint.write(handle.affinity.fingerprint()) };
        Ok(())
    })())
}

/// Reports the fingerprint of the weights, and of the states that count at `now`, in unix seconds.
/// Linear in the number of slots.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, OVERLAP, NOT_INITIALISED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_live_fingerprint(
    affinity: *const tokenpin_affinity,
    now: u64,
    fingerprint: *mut u64,
) -> i32 {
    returned((|| {
        let fingerprint = Out::new(fingerprint)?;
        // SAFETY: checked by `handle`.
        let handle = unsafe { handle(affinity) }?;
        fingerprint.check_apart(handle.span())?;
        // SAFETY: checked by `Out`.
        unsafe { fingerprint.write(handle.affinity.live_fingerprint(now)) };
        Ok(())
    })())
}
