//! The affinity handle, in memory of the caller or of `malloc`.
//!
//! One block holds everything: the handle, its slots, its pin index, its classification
//! table and every byte string of the configuration, in this order.

use core::ffi::c_void;
use core::ptr;

use crate::affinity::{Affinity, Config, Policy};
use crate::classify::{DEFAULT_RULES, Group, Rule};
use crate::cookie::VALUE_LEN;
use crate::decide::{Decision, KeyInput, Pending, Request};
use crate::error::Field;
use crate::hash::check_scope;
use crate::names::named;
use crate::secret::{Secret, wipe};
use crate::select::Strategy;
use crate::set_cookie::{Attributes, MAX_MAX_AGE};
use crate::slot::{Slot, State};

use super::pure::{put, report, write_class};
use super::status::{Refusal, Status, number, tokenpin_config_error};
use super::types::{
    Buffer, Out, Span, array, bytes, reference, switch, tokenpin_attributes, tokenpin_bytes,
    tokenpin_cookie_key, tokenpin_rule, tokenpin_slot_status,
};
use super::{
    TOKENPIN_AFFINITY_ALIGN, TOKENPIN_COOKIE_VALUE_LEN, TOKENPIN_MAX_AGE_AUTO, TOKENPIN_SLOT_NONE,
};

/// One slot of a configuration.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_slot_config {
    /// The bytes that name the account, unique in the set. Empty for a vacant slot.
    pub identity: tokenpin_bytes,
    /// The first status. Of a vacant slot the state is `TOKENPIN_STATE_VACANT`, and the rest is
    /// not looked at.
    pub status: tokenpin_slot_status,
}

/// Everything that an affinity is built from. `tokenpin_config_init` sets the defaults; then
/// placement key, cookie keys and slots have to be set. All of it is copied.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_config {
    /// `sizeof(tokenpin_config)`, by which a library knows the fields that a program knows. A
    /// library takes every size from that of its first version on.
    pub size: usize,
    /// The cookie key ring, 1 to 8 keys.
    pub cookie_keys: *const tokenpin_cookie_key,
    /// The number of cookie keys.
    pub cookie_key_count: usize,
    /// The slots, 1 to 2^31-1.
    pub slots: *const tokenpin_slot_config,
    /// The capacity: the number of slots, vacant ones included.
    pub slot_count: usize,
    /// The default scope, 0 to 1024 bytes.
    pub scope: tokenpin_bytes,
    /// The cookie's name; empty for the default name of the request's scope.
    pub cookie_name: tokenpin_bytes,
    /// The cookie's attributes.
    pub attributes: tokenpin_attributes,
    /// The classification table; `(NULL, 0)` for the default table.
    pub rules: *const tokenpin_rule,
    /// The number of its rows.
    pub rule_count: usize,
    /// `Max-Age` in seconds; 0 for a session cookie; `TOKENPIN_MAX_AGE_AUTO`, the default, for
    /// as long as the cookie can be valid.
    pub max_age: u32,
    /// Tolerance for clocks that run ahead, in seconds. Default 300.
    pub skew: u32,
    /// The longest life of a cookie since its first issue, in seconds; 0 for no limit. Default 30
    /// days.
    pub max_life: u32,
    /// The longest time between refreshes of a cookie, in seconds; 0, the default, for no limit.
    pub max_idle: u32,
    /// The first response status on which a cookie is set. Default 200.
    pub success_first: u16,
    /// The last one. Default 299.
    pub success_last: u16,
    /// Decides the mapping of keys. The same on all replicas; not all zero.
    pub placement_key: [u8; 16],
    /// A `tokenpin_strategy`. Default jump.
    pub strategy: u8,
    /// A `tokenpin_policy`, for requests that name existing state. Default fail_fast.
    pub policy_existing: u8,
    /// A `tokenpin_policy`, for all others. Default fallback_and_update.
    pub policy_new: u8,
    /// 1: use consumer and session key together where a request has both. Default 0.
    pub combine_keys: u8,
    /// 1: reject a request whose key is untrusted, ambiguous or too long. Default 0: try the
    /// next source.
    pub reject_bad_keys: u8,
    /// 1: give cookies to sessions that have a key. Default 0.
    pub keyed_cookies: u8,
    /// 1: mint cookies also where only one slot holds an account. Default 0.
    pub mint_single: u8,
    /// 1: give affinity to the prompt-cache group too. Default 0.
    pub prompt_cache: u8,
}

/// One request, borrowed for the call. All zero is a valid start.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_request {
    /// The method; read only to classify.
    pub method: tokenpin_bytes,
    /// The target, such as `/v1/responses?x=1`; read only to classify.
    pub target: tokenpin_bytes,
    /// The values of the consumer header. Empty ones do not count.
    pub consumers: *const tokenpin_bytes,
    /// Their number.
    pub consumer_count: usize,
    /// The values of the session header. Empty ones do not count.
    pub sessions: *const tokenpin_bytes,
    /// Their number.
    pub session_count: usize,
    /// The values of the `Cookie` fields.
    pub cookies: *const tokenpin_bytes,
    /// Their number.
    pub cookie_count: usize,
    /// A cookie's value that came in a header of its own; empty for none.
    pub carried: tokenpin_bytes,
    /// The scope, 0 to 1024 bytes; empty for the configured one.
    pub scope: tokenpin_bytes,
    /// The slots that this request has tried already.
    pub tried: *const u32,
    /// Their number.
    pub tried_count: usize,
    /// The wall clock, in unix seconds.
    pub now: u64,
    /// NULL, or 16 bytes that become the id of a new session, so that parallel first requests of
    /// one client agree: a PRF, under a key of this process, of something that belongs to one
    /// client alone.
    pub id_hint: *const u8,
    /// Sixteen fresh random bytes.
    pub entropy: [u8; 16],
    /// 1: `group` says the group. 0: method and target are classified.
    pub has_group: u8,
    /// A `tokenpin_group`, if `has_group` is 1.
    pub group: u8,
    /// 1: the request names existing state, whatever classification says. Set it where the body
    /// does (`previous_response_id`, `input_file_id`, ...): classification sees method and target
    /// alone.
    pub existing: u8,
    /// 1: the consumer values come from somebody who may name consumers.
    pub consumer_trusted: u8,
    /// 1: the answer goes back in the carrier header. Taken for granted if `carried` is not empty.
    pub carrier: u8,
}

/// The answer to a request: no pointers, to be kept until its response.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_decision {
    /// The fingerprint of the configuration that decided.
    pub digest: u64,
    /// The slot that serves, or `TOKENPIN_SLOT_NONE`: then a local error is the answer.
    pub slot: u32,
    /// The `Max-Age` of the cookie.
    pub max_age: u32,
    /// Where the affinity comes from: a `tokenpin_source`.
    pub source: u8,
    /// What the decision came to: a `tokenpin_outcome`.
    pub outcome: u8,
    /// What became of the pinned token: a `tokenpin_pin_state`.
    pub pin_state: u8,
    /// What came of the request's cookies: a `tokenpin_verdict`.
    pub verdict: u8,
    /// What became of the request's keys: a `tokenpin_key_reason`.
    pub key_reason: u8,
    /// 1: valid cookies with different ids were there.
    pub ambiguous: u8,
    /// When the cookie may be set: 0 never, 1 on success.
    pub cookie: u8,
    /// 1: it goes back in the carrier header.
    pub carrier: u8,
    /// 1: its name follows the request's own scope, with the suffix below.
    pub has_name_suffix: u8,
    /// The suffix of its name, before it is spelled in hexadecimal digits.
    pub name_suffix: [u8; 4],
    /// The value of the cookie, 67 characters without a NUL.
    pub value: [u8; TOKENPIN_COOKIE_VALUE_LEN],
}

/// What `tokenpin_affinity_finish` wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Answer {
    /// Nothing goes back.
    Nothing = 0,
    /// The value of a `Set-Cookie` field.
    SetCookie = 1,
    /// The value of the carrier header.
    Carrier = 2,
}

named! { Answer { Nothing = "nothing", SetCookie = "set_cookie", Carrier = "carrier" } }

/// A handle: private, and shared between threads without locks.
pub struct tokenpin_affinity {
    mark: u64,
    /// The size of the block.
    size: usize,
    affinity: Affinity<'static>,
}

/// No header of the future has a larger configuration; a size that was never set mostly is.
const MAX_CONFIG_SIZE: usize = 4096;

const MARK: u64 = 0x746f_6b65_6e70_696e;

const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<tokenpin_affinity>();
};
const _: () = assert!(align_of::<tokenpin_affinity>() <= TOKENPIN_AFFINITY_ALIGN);

unsafe extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn free(memory: *mut c_void);
}

/// Sets a configuration to the defaults. `size` is `sizeof(tokenpin_config)`; what a newer header
/// has beyond this library's fields is set to zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_config_init(config: *mut tokenpin_config, size: usize) -> i32 {
    number((|| {
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
        };
        // SAFETY: checked by `Out`; `size` bytes are there by the contract.
        unsafe {
            config.cast::<u8>().add(known).write_bytes(0, size - known);
            out.write(made);
        }
        Ok(())
    })())
}

/// The size of the memory that an affinity of this configuration needs, in bytes. Checks only
/// what the size depends on. `error` may be NULL; if it is not, it says what was refused.
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
        unsafe { size.write(parts.layout()?.size) };
        Ok(())
    };
    // SAFETY: passed on.
    unsafe { report(error, work) }
}

/// Builds an affinity in `memory`, which is aligned to `TOKENPIN_AFFINITY_ALIGN` and has `size`
/// bytes, at least what `tokenpin_affinity_size` says, apart from the configuration and all that
/// it points to. It must stay where it is;
/// `tokenpin_affinity_wipe` ends its life.
///
/// `affinity` receives the handle. `error` may be NULL; if it is not, it says what was refused,
/// and at which field and element. The configuration is copied and may go. Where it is refused,
/// the memory may have been written to, but holds nothing secret.
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

/// Builds an affinity in memory of one `malloc`. `tokenpin_affinity_free` ends its life.
/// Otherwise like `tokenpin_affinity_init`.
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
        let size = parts.layout()?.size;
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
                // SAFETY: it came from `malloc`, and nobody knows it.
                unsafe { free(memory) };
                return Err(refusal);
            }
        }
        Ok(())
    };
    // SAFETY: passed on.
    unsafe { report(error, work) }
}

/// Ends the life of an affinity of `tokenpin_affinity_init` and wipes its memory, which stays
/// the caller's. Nobody may be using it. NULL, and an affinity that is wiped already, are fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_wipe(affinity: *mut tokenpin_affinity) {
    // SAFETY: checked by `handle`.
    let Ok(size) = (unsafe { handle(affinity) }).map(|handle| handle.size) else { return };
    // SAFETY: the block has this size, and nobody uses it any more by the contract.
    unsafe {
        ptr::drop_in_place(affinity);
        wipe(core::slice::from_raw_parts_mut(affinity.cast::<u8>(), size));
    }
}

/// Ends the life of an affinity of `tokenpin_affinity_new`: wipes its memory and frees it.
/// Nobody may be using it. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_free(affinity: *mut tokenpin_affinity) {
    // SAFETY: passed on; `free` takes what `malloc` gave, and NULL.
    unsafe {
        tokenpin_affinity_wipe(affinity);
        free(affinity.cast());
    }
}

/// Changes state, weight and until of a slot at once. Safe while other threads decide, and waits
/// for nobody.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_set_slot(
    affinity: *const tokenpin_affinity,
    slot: u32,
    status: *const tokenpin_slot_status,
) -> i32 {
    number((|| {
        // SAFETY: checked by `handle` and `reference`.
        let (handle, status) = unsafe { (handle(affinity)?, reference(status)?) };
        Ok(handle.affinity.set_status(slot, status.get()?)?)
    })())
}

/// Reads state, weight and until of a slot at once. `identity_hash` may be NULL; if it is not,
/// it receives the identity hash of its account, 0 for a vacant slot.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_get_slot(
    affinity: *const tokenpin_affinity,
    slot: u32,
    status: *mut tokenpin_slot_status,
    identity_hash: *mut u64,
) -> i32 {
    number((|| {
        let status = Out::new(status)?;
        let identity_hash =
            if identity_hash.is_null() { None } else { Some(Out::new(identity_hash)?) };
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
                out.write(slot.identity());
            }
        }
        Ok(())
    })())
}

/// The slot of the account named by `identity`; `TOKENPIN_SLOT_NONE` if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_find(
    affinity: *const tokenpin_affinity,
    identity: *const c_void,
    identity_len: usize,
    slot: *mut u32,
) -> i32 {
    number((|| {
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

/// The number of slots, vacant ones included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_capacity(
    affinity: *const tokenpin_affinity,
    capacity: *mut usize,
) -> i32 {
    number((|| {
        let capacity = Out::new(capacity)?;
        // SAFETY: checked by `handle`.
        let handle = unsafe { handle(affinity) }?;
        capacity.check_apart(handle.span())?;
        // SAFETY: checked by `Out`.
        unsafe { capacity.write(handle.affinity.capacity()) };
        Ok(())
    })())
}

/// The cookie's name for a scope, an empty one being the configured one: what has to be stripped
/// from requests and responses. At most `TOKENPIN_MAX_COOKIE_NAME` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_cookie_name(
    affinity: *const tokenpin_affinity,
    scope: *const c_void,
    scope_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
) -> i32 {
    number((|| {
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

/// Classifies a request by the configured table. See `tokenpin_classify`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_classify(
    affinity: *const tokenpin_affinity,
    method: *const c_void,
    method_len: usize,
    target: *const c_void,
    target_len: usize,
    group: *mut u8,
    existing: *mut u8,
) -> i32 {
    number((|| {
        let outputs = (Out::new(group)?, Out::new(existing)?);
        // SAFETY: checked by `handle` and `bytes`.
        let (handle, method, target) =
            unsafe { (handle(affinity)?, bytes(method, method_len)?, bytes(target, target_len)?) };
        outputs.0.check_apart(handle.span())?;
        outputs.1.check_apart(handle.span())?;
        // SAFETY: checked by `Out`.
        unsafe { write_class(handle.affinity.classify(method, target), outputs) };
        Ok(())
    })())
}

/// The configuration's fingerprint. Replicas that show different ones do not agree.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_fingerprint(
    affinity: *const tokenpin_affinity,
    fingerprint: *mut u64,
) -> i32 {
    number((|| {
        let fingerprint = Out::new(fingerprint)?;
        // SAFETY: checked by `handle`.
        let handle = unsafe { handle(affinity) }?;
        fingerprint.check_apart(handle.span())?;
        // SAFETY: checked by `Out`.
        unsafe { fingerprint.write(handle.affinity.fingerprint()) };
        Ok(())
    })())
}

/// The fingerprint of the weights, and of the states that count at `now`, in unix seconds.
/// Linear in the number of slots.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_live_fingerprint(
    affinity: *const tokenpin_affinity,
    now: u64,
    fingerprint: *mut u64,
) -> i32 {
    number((|| {
        let fingerprint = Out::new(fingerprint)?;
        // SAFETY: checked by `handle`.
        let handle = unsafe { handle(affinity) }?;
        fingerprint.check_apart(handle.span())?;
        // SAFETY: checked by `Out`.
        unsafe { fingerprint.write(handle.affinity.live_fingerprint(now)) };
        Ok(())
    })())
}

/// Decides which slot serves a request, and prepares the cookie that goes back. May be called
/// from any number of threads. Refuses with `TOKENPIN_STATUS_ENTROPY` where randomness is needed
/// and all zero, and with `TOKENPIN_STATUS_TIME` where a cookie is to be issued after the year
/// 2106.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_decide(
    affinity: *const tokenpin_affinity,
    request: *const tokenpin_request,
    decision: *mut tokenpin_decision,
) -> i32 {
    number((|| {
        let decision = Out::new(decision)?;
        // SAFETY: checked by `handle`, `reference` and `get`.
        let (handle, (request, cookies)) =
            unsafe { (handle(affinity)?, reference(request)?.get()?) };
        decision.check_apart(handle.span())?;
        let answer = handle.affinity.decide(&request, cookies)?;
        // SAFETY: checked by `Out`.
        unsafe { decision.write(answer.into()) };
        Ok(())
    })())
}

/// Ends a request: if its response's `status` is a success and there is a cookie to set, writes
/// it. `answer` receives a `tokenpin_answer`, `*len` the length, 0 for nothing.
/// `TOKENPIN_MAX_SET_COOKIE` bytes suffice. Only formats.
///
/// Refuses with `TOKENPIN_STATUS_STALE` if another configuration decided: keep the affinity that
/// decides alive until the response. The buffer must not overlap the affinity's memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_finish(
    affinity: *const tokenpin_affinity,
    decision: *const tokenpin_decision,
    status: u16,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
    answer: *mut u8,
) -> i32 {
    number((|| {
        let answer = Out::new(answer)?;
        let mut out = Buffer::new(buffer, capacity, len)?;
        // SAFETY: checked by `handle` and `reference`.
        let (handle, decision) = unsafe { (handle(affinity)?, reference(decision)?) };
        out.check_apart_from(&[handle.span()])?;
        answer.check_apart(handle.span())?;
        let pending = decision.pending()?;
        let written =
            handle.affinity.finish_to(decision.digest, pending.as_ref(), status, &mut out);
        let (kind, written) = match written {
            Ok(crate::Answer::Nothing) => (Answer::Nothing, Ok(0)),
            Ok(crate::Answer::SetCookie(len)) => (Answer::SetCookie, Ok(len)),
            Ok(crate::Answer::Carrier(len)) => (Answer::Carrier, Ok(len)),
            Err(error) => (Answer::Nothing, Err(error)),
        };
        // SAFETY: checked by `Buffer` and `Out`.
        unsafe {
            out.end(written)?;
            answer.write(kind as u8);
        }
        Ok(())
    })())
}

impl tokenpin_affinity {
    /// All memory of the affinity, which begins with the handle.
    fn span(&self) -> Span {
        Span { start: ptr::from_ref(self).addr(), len: self.size }
    }
}

/// The handle behind a pointer from C.
unsafe fn handle<'a>(affinity: *const tokenpin_affinity) -> Result<&'a tokenpin_affinity, Status> {
    // SAFETY: checked by `reference`; the mark says that this library built it.
    let handle = unsafe { reference(affinity) }?;
    if handle.mark == MARK { Ok(handle) } else { Err(Status::NotInitialised) }
}

/// A configuration from C, its pointers checked.
struct Parts<'c> {
    config: &'c tokenpin_config,
    slots: &'c [tokenpin_slot_config],
    rules: &'c [tokenpin_rule],
    attributes: Attributes<'c>,
    strings: [&'c [u8]; 4],
}

/// Where the parts of a block lie.
struct Layout {
    slots: usize,
    index: usize,
    index_len: usize,
    rules: usize,
    strings: usize,
    size: usize,
}

impl Parts<'_> {
    unsafe fn new(config: *const tokenpin_config) -> Result<Self, Refusal> {
        // SAFETY: checked by `reference`. The size comes first, so it can be read alone.
        let size = *unsafe { reference(config.cast::<usize>()) }?;
        let known = size_of::<tokenpin_config>();
        if !(known..=MAX_CONFIG_SIZE).contains(&size) {
            return Err(Status::StructSize.into());
        }
        // What a newer header added may be there as long as it is not used.
        // SAFETY: checked by `array`; `size` bytes are there by the contract.
        let all = unsafe { array(config.cast::<u8>(), size) }?;
        if all.iter().skip(known).any(|&byte| byte != 0) {
            return Err(Status::StructSize.into());
        }
        // SAFETY: checked by `reference`.
        let config = unsafe { reference(config) }?;
        let at = |field| move |status: Status| status.at(field, 0);
        // SAFETY: checked by `array` and `get`.
        unsafe {
            let slots = array(config.slots, config.slot_count).map_err(at(Field::Slots))?;
            let rules = array(config.rules, config.rule_count).map_err(at(Field::Rules))?;
            let attributes = config.attributes.get()?;
            let strings = [
                config.scope.get().map_err(at(Field::Scope))?,
                config.cookie_name.get().map_err(at(Field::CookieName))?,
                attributes.path,
                attributes.domain,
            ];
            Ok(Self { config, slots, rules, attributes, strings })
        }
    }

    #[inline(never)]
    fn layout(&self) -> Result<Layout, Refusal> {
        if self.slots.is_empty() || self.slots.len() > crate::MAX_BUCKETS as usize {
            return Err(Status::SlotCount.at(Field::Slots, 0));
        }
        let index_len = Affinity::index_len(self.slots.len());
        let mut patterns = 0_usize;
        for (i, rule) in self.rules.iter().enumerate() {
            // SAFETY: checked by `get`.
            let rule = unsafe { rule.get() }.map_err(|status| status.at(Field::Rules, i))?;
            patterns = patterns.checked_add(rule.pattern.len()).ok_or(Status::Length)?;
        }
        let end = |start: usize, count: usize, size: usize| {
            count.checked_mul(size).and_then(|len| start.checked_add(len)).ok_or(Status::Length)
        };
        // Slots and rules have 8-byte alignment or less, the index 4.
        let slots = size_of::<tokenpin_affinity>().next_multiple_of(8);
        let index = end(slots, self.slots.len(), size_of::<Slot>())?;
        let rules = end(index, index_len, size_of::<u32>())?;
        let rules = rules.checked_next_multiple_of(8).ok_or(Status::Length)?;
        let strings = end(rules, self.rules.len(), size_of::<Rule<'_>>())?;
        let mut size = end(strings, patterns, 1)?;
        for string in self.strings {
            size = end(size, string.len(), 1)?;
        }
        if isize::try_from(size).is_err() {
            return Err(Status::Length.into());
        }
        Ok(Layout { slots, index, index_len, rules, strings, size })
    }

    /// Builds the affinity in a block of `size` bytes at `memory`, which is not null and
    /// aligned. A block that is not used in the end holds nothing secret.
    #[expect(clippy::cast_ptr_alignment, reason = "`layout` aligns every part")]
    unsafe fn build(
        &self,
        memory: *mut u8,
        size: usize,
    ) -> Result<*mut tokenpin_affinity, Refusal> {
        let layout = self.layout()?;
        if size < layout.size {
            return Err(Status::BufferTooSmall.into());
        }
        let block = Span { start: memory.addr(), len: layout.size };
        block.check_apart_from(&[
            Span::of(core::slice::from_ref(self.config)),
            Span::of(self.slots),
            Span::of(self.rules),
        ])?;
        block.check_apart_from(&self.strings.map(Span::of))?;
        // SAFETY: `layout` keeps every part within `size` bytes and aligned, and no two overlap;
        // `copy` moves on by what it copies. Every place is written before it is borrowed. The
        // borrows live as long as the block, which is what `'static` stands for: the handle is
        // reached through the block alone.
        unsafe {
            let slots = memory.add(layout.slots).cast::<Slot>();
            for (i, slot) in self.slots.iter().enumerate() {
                let at = |status: Status| status.at(Field::Slots, i);
                block.check_apart(Span::of(slot.identity.get().map_err(at)?)).map_err(at)?;
                slots.add(i).write(slot.get().map_err(at)?);
            }
            let index = memory.add(layout.index).cast::<u32>();
            index.write_bytes(0, layout.index_len);

            let mut free = memory.add(layout.strings);
            let mut copy = |bytes: &[u8]| -> &'static [u8] {
                let start = free;
                start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                free = start.add(bytes.len());
                core::slice::from_raw_parts(start, bytes.len())
            };
            let rules = memory.add(layout.rules).cast::<Rule<'static>>();
            for (i, rule) in self.rules.iter().enumerate() {
                let at = |status: Status| status.at(Field::Rules, i);
                let rule = rule.get().map_err(at)?;
                block.check_apart(Span::of(rule.pattern)).map_err(at)?;
                rules.add(i).write(Rule { pattern: copy(rule.pattern), group: rule.group });
            }
            let rules = core::slice::from_raw_parts(rules, self.rules.len());
            let [scope, name, path, domain] = self.strings.map(&mut copy);

            let keys = array(self.config.cookie_keys, self.config.cookie_key_count)
                .and_then(|keys| block.check_apart(Span::of(keys)).map(|()| keys))
                .map_err(|status| status.at(Field::CookieKeys, 0))?;
            let keys = tokenpin_cookie_key::views(keys)?;
            let config = self.config.get()?;
            let config: Config<'static> = Config {
                scope,
                cookie_name: if name.is_empty() { None } else { Some(name) },
                attributes: Attributes { path, domain, ..self.attributes },
                rules: if rules.is_empty() { DEFAULT_RULES } else { rules },
                ..config
            };
            let slots = core::slice::from_raw_parts(slots, self.slots.len());
            let index = core::slice::from_raw_parts_mut(index, layout.index_len);
            let affinity = Affinity::with_keys(&config, &keys, slots, index)?;
            let handle = memory.cast::<tokenpin_affinity>();
            handle.write(tokenpin_affinity { mark: MARK, size: layout.size, affinity });
            Ok(handle)
        }
    }
}

impl tokenpin_slot_config {
    unsafe fn get(&self) -> Result<Slot, Status> {
        // SAFETY: passed on.
        let identity = unsafe { self.identity.get() }?;
        if State::from_number(self.status.state) != Some(State::Vacant) {
            return Ok(Slot::new(identity, self.status.get()?)?);
        }
        if identity.is_empty() { Ok(Slot::vacant()) } else { Err(Status::Vacant) }
    }
}

impl tokenpin_config {
    /// Everything but what is copied into the block.
    fn get(&self) -> Result<Config<'static>, Refusal> {
        let bad = |field| Status::BadEnum.at(field, 0);
        let on = |number, field| switch(number).map_err(|status| status.at(field, 0));
        let policy = |number, field| Policy::from_number(number).ok_or_else(|| bad(field));
        Ok(Config {
            strategy: Strategy::from_number(self.strategy).ok_or_else(|| bad(Field::Strategy))?,
            max_age: if self.max_age == TOKENPIN_MAX_AGE_AUTO { None } else { Some(self.max_age) },
            skew: self.skew,
            max_life: self.max_life,
            max_idle: self.max_idle,
            policy_existing: policy(self.policy_existing, Field::PolicyExisting)?,
            policy_new: policy(self.policy_new, Field::PolicyNew)?,
            combine_keys: on(self.combine_keys, Field::CombineKeys)?,
            reject_bad_keys: on(self.reject_bad_keys, Field::RejectBadKeys)?,
            keyed_cookies: on(self.keyed_cookies, Field::KeyedCookies)?,
            mint_single: on(self.mint_single, Field::MintSingle)?,
            success: (self.success_first, self.success_last),
            prompt_cache: on(self.prompt_cache, Field::PromptCache)?,
            ..Config::new(Secret::new(self.placement_key), &[])
        })
    }
}

impl tokenpin_request {
    /// The request, and its `Cookie` fields.
    unsafe fn get<'a>(&self) -> Result<(Request<'a>, impl Iterator<Item = &'a [u8]>), Status> {
        let group = if switch(self.has_group)? {
            Some(Group::from_number(self.group).ok_or(Status::BadEnum)?)
        } else {
            None
        };
        // SAFETY: checked by `fields`, `get`, `array` and `reference`.
        unsafe {
            let trusted = switch(self.consumer_trusted)?;
            let request = Request {
                group,
                existing: switch(self.existing)?,
                method: self.method.get()?,
                target: self.target.get()?,
                consumer: KeyInput::new(fields(self.consumers, self.consumer_count)?)
                    .trusted(trusted),
                session: KeyInput::new(fields(self.sessions, self.session_count)?),
                carried: self.carried.get()?,
                carrier: switch(self.carrier)?,
                scope: self.scope.get()?,
                tried: array(self.tried, self.tried_count)?,
                now: self.now,
                entropy: self.entropy,
                id_hint: if self.id_hint.is_null() {
                    None
                } else {
                    Some(*reference(self.id_hint.cast::<[u8; 16]>())?)
                },
            };
            Ok((request, fields(self.cookies, self.cookie_count)?))
        }
    }
}

/// The values of a header field, each one checked before the first is used.
unsafe fn fields<'a>(
    pointer: *const tokenpin_bytes,
    count: usize,
) -> Result<impl Iterator<Item = &'a [u8]>, Status> {
    // SAFETY: checked by `array`.
    let all = unsafe { array::<tokenpin_bytes>(pointer, count) }?;
    for one in all {
        // SAFETY: checked by `get`.
        unsafe { one.get() }?;
    }
    // SAFETY: checked by `get`, and all found good above.
    Ok(all.iter().map(|one| unsafe { one.get() }.unwrap_or_default()))
}

impl From<Decision> for tokenpin_decision {
    fn from(decision: Decision) -> Self {
        let none =
            Pending { value: [b'A'; VALUE_LEN], max_age: 0, carrier: false, name_suffix: None };
        let cookie = decision.cookie.unwrap_or(none);
        Self {
            digest: decision.digest,
            slot: decision.slot.unwrap_or(TOKENPIN_SLOT_NONE),
            max_age: cookie.max_age,
            source: decision.source as u8,
            outcome: decision.outcome as u8,
            pin_state: decision.pin_state as u8,
            verdict: decision.verdict as u8,
            key_reason: decision.key_reason as u8,
            ambiguous: u8::from(decision.ambiguous),
            cookie: u8::from(decision.cookie.is_some()),
            carrier: u8::from(cookie.carrier),
            has_name_suffix: u8::from(cookie.name_suffix.is_some()),
            name_suffix: cookie.name_suffix.unwrap_or_default(),
            value: cookie.value,
        }
    }
}

impl tokenpin_decision {
    /// The cookie to set. The structure was in other hands: nothing that could break out of a
    /// header is taken from it.
    fn pending(&self) -> Result<Option<Pending>, Status> {
        let on = |number| switch(number).map_err(|_| Status::BadDecision);
        let (carrier, suffix) = (on(self.carrier)?, on(self.has_name_suffix)?);
        let character = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if self.max_age > MAX_MAX_AGE || !self.value.iter().all(character) {
            return Err(Status::BadDecision);
        }
        let name_suffix = if suffix { Some(self.name_suffix) } else { None };
        let pending = Pending { value: self.value, max_age: self.max_age, carrier, name_suffix };
        Ok(if on(self.cookie)? { Some(pending) } else { None })
    }
}
