//! The pure functions: no handle, no state, memory of the caller alone.

use core::ffi::{CStr, c_char, c_void};

use crate::classify::{Class, DEFAULT_RULES, Group, Rule, Table};
use crate::cookie::{Audience, Value, decode, encode};
use crate::error::Error;
use crate::hash::{check_scope, fnv1a32, identity_hash, key_hash};
use crate::header::{next_value, sets, strip_to};
use crate::ring::KeyRing;
use crate::secret::{Secret, wipe};
use crate::select::{Filter, Strategy, select, select_each};
use crate::set_cookie::{self, CookieName, write_to};
use crate::sink::Sink as _;
use crate::slot::Slot;

use super::TOKENPIN_SLOT_NONE;
use super::names::name_of;
use super::status::{Refusal, Status, number, tokenpin_config_error};
use super::types::{
    Buffer, Out, Span, array, bytes, check_array, reference, slots, switch, tokenpin_attributes,
    tokenpin_bytes, tokenpin_cookie, tokenpin_cookie_key, tokenpin_filter, tokenpin_key,
    tokenpin_key_ring, tokenpin_limits, tokenpin_rule, tokenpin_slot, tokenpin_slot_status,
};

/// The version of the interface that the library was built with. A program compares it with the
/// `TOKENPIN_ABI_VERSION` that it was compiled with.
#[unsafe(no_mangle)]
pub extern "C" fn tokenpin_abi_version() -> u32 {
    super::TOKENPIN_ABI_VERSION
}

/// Does nothing, and is there in libraries of version 1 of the interface alone: a program that refers
/// to it does not link with a library of another version.
#[unsafe(no_mangle)]
pub extern "C" fn tokenpin_abi_v1() {}

const _: () = assert!(super::TOKENPIN_ABI_VERSION == 1, "rename tokenpin_abi_v1");

/// The version of the library, such as `"1.2.3"`: a static string that ends in a NUL.
#[unsafe(no_mangle)]
pub extern "C" fn tokenpin_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("a constant, checked when it is compiled"),
        };
    VERSION.as_ptr()
}

/// The enums that `tokenpin_enum_name` knows.
#[derive(Clone, Copy)]
#[repr(i32)]
pub enum Enum {
    /// `tokenpin_status`
    Status = 0,
    /// `tokenpin_field`
    Field = 1,
    /// `tokenpin_kind`
    Kind = 2,
    /// `tokenpin_state`
    State = 3,
    /// `tokenpin_strategy`
    Strategy = 4,
    /// `tokenpin_role`
    Role = 5,
    /// `tokenpin_verdict`
    Verdict = 6,
    /// `tokenpin_same_site`
    SameSite = 7,
    /// `tokenpin_group`
    Group = 8,
    /// `tokenpin_policy`
    Policy = 9,
    /// `tokenpin_source`
    Source = 10,
    /// `tokenpin_outcome`
    Outcome = 11,
    /// `tokenpin_pin_state`
    PinState = 12,
    /// `tokenpin_key_reason`
    KeyReason = 13,
    /// `tokenpin_answer`
    Answer = 14,
}

/// The stable snake_case name of an enum's value, fit for a metric's label: bytes that live as
/// long as the library. `which` is a `tokenpin_enum`.
///
/// Returns `TOKENPIN_STATUS_BAD_ENUM` for a number without a name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_enum_name(
    which: i32,
    value: i32,
    name: *mut tokenpin_bytes,
) -> i32 {
    number((|| {
        let name = Out::new(name)?;
        let value = u8::try_from(value).map_err(|_| Status::BadEnum)?;
        let which = u8::try_from(which).map_err(|_| Status::BadEnum)?;
        let text = name_of(which, value).ok_or(Status::BadEnum)?;
        // SAFETY: checked by `Out`.
        unsafe { name.write(text.into()) };
        Ok(())
    })())
}

/// The jump consistent hash: the bucket, 0 to `buckets` - 1, of `key`. `buckets` is 1 to 2^31-1.
/// Takes about ln(`buckets`) steps.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_jump(key: u64, buckets: u32, bucket: *mut u32) -> i32 {
    number((|| {
        let bucket = Out::new(bucket)?;
        let answer = crate::jump(key, buckets)?;
        // SAFETY: checked by `Out`.
        unsafe { bucket.write(answer) };
        Ok(())
    })())
}

/// The identity hash of the account named by `identity`, 1 byte or more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_identity_hash(
    identity: *const c_void,
    identity_len: usize,
    hash: *mut u64,
) -> i32 {
    number((|| {
        let hash = Out::new(hash)?;
        // SAFETY: checked by `bytes`.
        let identity = unsafe { bytes(identity, identity_len) }?;
        if identity.is_empty() {
            return Err(Status::IdentityEmpty);
        }
        // SAFETY: checked by `Out`.
        unsafe { hash.write(identity_hash(identity)) };
        Ok(())
    })())
}

/// The hash of an affinity key, which selection starts from. `placement_key` has 16 bytes and is
/// not all zero, the scope 0 to 1024.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_key_hash(
    placement_key: *const u8,
    scope: *const c_void,
    scope_len: usize,
    key: *const tokenpin_key,
    hash: *mut u64,
) -> i32 {
    number((|| {
        let hash = Out::new(hash)?;
        // SAFETY: checked by `reference`, `bytes` and `get`.
        let (placement_key, scope, key) =
            unsafe { (secret(placement_key)?, bytes(scope, scope_len)?, reference(key)?.get()?) };
        if placement_key.is_zero() {
            return Err(Status::ZeroSecret);
        }
        let answer = key_hash(&placement_key, scope, &key)?;
        // SAFETY: checked by `Out`.
        unsafe { hash.write(answer) };
        Ok(())
    })())
}

/// The 32-bit FNV-1a hash of an affinity key's bytes, an anonymous id written as a UUID: for the
/// Higress strategy alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_fnv1a32(key: *const tokenpin_key, hash: *mut u32) -> i32 {
    number((|| {
        let hash = Out::new(hash)?;
        // SAFETY: checked by `reference` and `get`.
        let key = unsafe { reference(key)?.get()? };
        // SAFETY: checked by `Out`.
        unsafe { hash.write(fnv1a32(&key)) };
        Ok(())
    })())
}

/// Makes the slot of the account named by `identity`, 1 byte or more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_slot_init(
    slot: *mut tokenpin_slot,
    identity: *const c_void,
    identity_len: usize,
    status: *const tokenpin_slot_status,
) -> i32 {
    number((|| {
        let slot = Out::new(slot.cast::<Slot>())?;
        // SAFETY: checked by `bytes` and `reference`.
        let (identity, status) = unsafe { (bytes(identity, identity_len)?, reference(status)?) };
        let made = Slot::new(identity, status.get()?)?;
        // SAFETY: checked by `Out`.
        unsafe { slot.write(made) };
        Ok(())
    })())
}

/// Makes a slot without an account, kept for growth.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_slot_init_vacant(slot: *mut tokenpin_slot) -> i32 {
    number((|| {
        let slot = Out::new(slot.cast::<Slot>())?;
        // SAFETY: checked by `Out`.
        unsafe { slot.write(Slot::vacant()) };
        Ok(())
    })())
}

/// Changes state, weight and until of a slot at once. Safe while other threads select. A vacant
/// slot stays vacant, and no other becomes so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_slot_set(
    slot: *mut tokenpin_slot,
    status: *const tokenpin_slot_status,
) -> i32 {
    number((|| {
        // SAFETY: checked by `reference`; the word of a `Slot` is atomic.
        let (slot, status) = unsafe { (reference(slot.cast::<Slot>())?, reference(status)?) };
        Ok(slot.set(status.get()?)?)
    })())
}

/// Reads state, weight and until of a slot at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_slot_get(
    slot: *const tokenpin_slot,
    status: *mut tokenpin_slot_status,
) -> i32 {
    number((|| {
        let status = Out::new(status)?;
        // SAFETY: checked by `reference` and `Out`.
        unsafe { status.write(reference(slot.cast::<Slot>())?.status().into()) };
        Ok(())
    })())
}

/// The slot that serves the key with hash `hash`; `TOKENPIN_SLOT_NONE` if no slot is a candidate.
///
/// `strategy` is a `tokenpin_strategy`; `fnv1a` is for the Higress strategy alone. `count` is 1 to
/// 2^31-1. Under jump it takes about ln(`count`) steps where the home slot serves; else, and under
/// the other strategies, linear time in `count`. State, weight and until of a slot are read at once.
/// If the home slot does not serve, its word is read once more, and the answer is right for one of
/// the two readings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_select(
    strategy: u8,
    slots: *const tokenpin_slot,
    count: usize,
    filter: *const tokenpin_filter,
    hash: u64,
    fnv1a: u32,
    slot: *mut u32,
) -> i32 {
    number((|| {
        let out = Out::new(slot)?;
        // SAFETY: checked by `Choice`.
        let Choice { strategy, slots, filter } =
            unsafe { Choice::new(strategy, slots, count, filter) }?;
        out.check_apart(Span::of(slots))?;
        out.check_apart(Span::of(filter.tried))?;
        let answer = select(strategy, slots, &filter, hash, fnv1a);
        // SAFETY: checked by `Out`.
        unsafe { out.write(answer.unwrap_or(TOKENPIN_SLOT_NONE)) };
        Ok(())
    })())
}

/// `tokenpin_select` for many hashes: `selected[i]` is the slot of `hashes[i]`. `fnv1as` may be NULL
/// unless the strategy is Higress's. `hash_count` 0 does nothing. `selected` must not overlap the
/// inputs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_select_batch(
    strategy: u8,
    slots: *const tokenpin_slot,
    count: usize,
    filter: *const tokenpin_filter,
    hashes: *const u64,
    fnv1as: *const u32,
    hash_count: usize,
    selected: *mut u32,
) -> i32 {
    number((|| {
        // SAFETY: checked by `Choice`.
        let Choice { strategy, slots, filter } =
            unsafe { Choice::new(strategy, slots, count, filter) }?;
        // SAFETY: checked by `array`.
        let hashes = unsafe { array(hashes, hash_count) }?;
        let fnv1as = match strategy {
            // SAFETY: checked by `array`.
            Strategy::HigressFnv1aModulo => unsafe { array(fnv1as, hash_count) }?,
            _ => &[],
        };
        check_array(selected, hash_count)?;
        let out = Span { start: selected.addr(), len: hash_count * size_of::<u32>() };
        let inputs = [Span::of(slots), Span::of(filter.tried), Span::of(hashes), Span::of(fnv1as)];
        out.check_apart_from(&inputs)?;
        let mut next = selected;
        select_each(strategy, slots, &filter, hashes, fnv1as, &mut |answer| {
            // SAFETY: called once for each hash, so it stays within the array just checked.
            unsafe {
                next.write(answer.unwrap_or(TOKENPIN_SLOT_NONE));
                next = next.add(1);
            }
        });
        Ok(())
    })())
}

/// What both ways to select start from.
struct Choice<'a> {
    strategy: Strategy,
    slots: &'a [Slot],
    filter: Filter<'a>,
}

impl Choice<'_> {
    #[inline]
    unsafe fn new(
        strategy: u8,
        slots: *const tokenpin_slot,
        count: usize,
        filter: *const tokenpin_filter,
    ) -> Result<Self, Status> {
        let strategy = Strategy::from_number(strategy).ok_or(Status::BadEnum)?;
        // SAFETY: checked by `slots`, `reference` and `get`.
        let (slots, filter) = unsafe { (self::slots(slots, count)?, reference(filter)?.get()?) };
        if slots.is_empty() || slots.len() > crate::MAX_BUCKETS as usize {
            return Err(Status::SlotCount);
        }
        Ok(Self { strategy, slots, filter })
    }
}

/// What lies in a `tokenpin_key_ring`.
struct Ring {
    mark: u64,
    ring: KeyRing,
}

const RING_MARK: u64 = 0x746f_6b65_6e72_696e;

const _: () = assert!(
    size_of::<Ring>() <= size_of::<tokenpin_key_ring>()
        && align_of::<Ring>() <= align_of::<tokenpin_key_ring>()
);

/// Makes a key ring of 1 to 8 keys, exactly one of which signs. `placement_key` may be NULL; if
/// it is not, it has 16 bytes, and no secret may equal it. `error` may be NULL; if it is not, it
/// says which key was refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_key_ring_init(
    ring: *mut tokenpin_key_ring,
    keys: *const tokenpin_cookie_key,
    key_count: usize,
    placement_key: *const u8,
    error: *mut tokenpin_config_error,
) -> i32 {
    let work = || {
        let ring = Out::new(ring)?;
        let placement_key = if placement_key.is_null() {
            None
        } else {
            // SAFETY: checked by `reference`.
            Some(unsafe { reference(placement_key.cast::<[u8; 16]>()) }?)
        };
        // SAFETY: checked by `array`.
        let keys = unsafe { array(keys, key_count) }?;
        let made = KeyRing::of(&tokenpin_cookie_key::views(keys)?, placement_key)?;
        // SAFETY: `Ring` fits into `tokenpin_key_ring`, which `Out` has checked.
        unsafe {
            Out::new(ring.pointer().cast())?.write(Ring { mark: RING_MARK, ring: made });
        };
        Ok(())
    };
    // SAFETY: passed on.
    unsafe { report(error, work) }
}

/// Wipes a key ring. NULL, and a ring that is wiped already, are fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_key_ring_wipe(ring: *mut tokenpin_key_ring) {
    if let Ok(words) = Out::new(ring) {
        // SAFETY: checked by `Out`; nobody uses the ring any more by the contract.
        wipe(unsafe { &mut *words.pointer().cast::<[u8; size_of::<tokenpin_key_ring>()]>() });
    }
}

unsafe fn key_ring<'a>(ring: *const tokenpin_key_ring) -> Result<&'a KeyRing, Status> {
    // SAFETY: checked by `reference`; the mark says that `tokenpin_key_ring_init` made it.
    let ring = unsafe { reference(ring.cast::<Ring>()) }?;
    if ring.mark == RING_MARK { Ok(&ring.ring) } else { Err(Status::NotInitialised) }
}

/// Makes the value of a cookie, 67 characters without a NUL, signed with the ring's signing key.
///
/// `name` has 1 to 128 token bytes, the scope 0 to 1024 bytes. `key` is the affinity key that
/// the cookie is bound to, of the cookie's kind; it may be NULL for an anonymous cookie.
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
    number((|| {
        let value = Out::new(value.cast::<Value>())?;
        // SAFETY: checked by `key_ring`, `bytes`, `reference` and `optional_key`.
        let (ring, name, scope, cookie, key) = unsafe {
            let cookie = reference(cookie)?.get()?;
            let key = optional_key(key)?.unwrap_or(crate::Key::Anonymous(&[0; 16]));
            (key_ring(ring)?, bytes(name, name_len)?, bytes(scope, scope_len)?, cookie, key)
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
/// `verdict` receives a `tokenpin_verdict`. `cookie` may be NULL; if it is not, it receives what
/// the cookie says, for verdicts from `TOKENPIN_VERDICT_OTHER_KEY` on: only then its tag was
/// found good.
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
    number((|| {
        let verdict = Out::new(verdict)?;
        let cookie = if cookie.is_null() { None } else { Some(Out::new(cookie)?) };
        // SAFETY: checked by `key_ring`, `bytes`, `reference` and `optional_key`.
        let (ring, name, scope, key, limits, value) = unsafe {
            let (name, scope) = (bytes(name, name_len)?, bytes(scope, scope_len)?);
            let (key, limits) = (optional_key(key)?, reference(limits)?);
            (key_ring(ring)?, name, scope, key, limits, bytes(value, value_len)?)
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

/// The default name of a scope's cookie: `__Host-tokenpin`, with a suffix unless the scope is
/// empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_cookie_default_name(
    scope: *const c_void,
    scope_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
) -> i32 {
    number((|| {
        let mut out = Buffer::new(buffer, capacity, len)?;
        // SAFETY: checked by `bytes`.
        let scope = unsafe { bytes(scope, scope_len) }?;
        check_scope(scope)?;
        let written = put(&mut out, CookieName::for_scope(scope).as_bytes());
        // SAFETY: checked by `Buffer`.
        unsafe { out.end(written) }
    })())
}

/// The values of the cookies called `name` in one `Cookie` field, one a call. `*offset` starts
/// at 0; each call finds the next value at or behind it and moves it on.
///
/// Returns `TOKENPIN_STATUS_END`, and changes nothing, when there is none. `value` points into
/// the field.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_cookie_next(
    field: *const c_void,
    field_len: usize,
    name: *const c_void,
    name_len: usize,
    offset: *mut usize,
    value: *mut tokenpin_bytes,
) -> i32 {
    number((|| {
        let (next, value) = (Out::new(offset)?, Out::new(value)?);
        // SAFETY: checked by `bytes` and `Out`.
        let (field, name, from) =
            unsafe { (bytes(field, field_len)?, bytes(name, name_len)?, *offset) };
        let (found, after) = next_value(field, name, from).ok_or(Status::End)?;
        // SAFETY: checked by `Out`.
        unsafe {
            value.write(found.into());
            next.write(after);
        }
        Ok(())
    })())
}

/// Removes every cookie called `name` from one `Cookie` field and leaves the other pairs as they
/// are, byte for byte. `*len` 0 means that the field is empty now and should be dropped. Never
/// longer than the field. The buffer must not overlap the field or the name.
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
    number((|| {
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
    number((|| {
        let mut out = Buffer::new(buffer, capacity, len)?;
        // SAFETY: checked by `bytes`, `reference` and `get`.
        let (name, value, attributes) = unsafe {
            let attributes = reference(attributes)?.get().map_err(|refusal| refusal.status)?;
            (bytes(name, name_len)?, bytes(value, value_len)?, attributes)
        };
        out.check_apart_from(&[name, value, attributes.path, attributes.domain].map(Span::of))?;
        set_cookie::check(name, value, &attributes, max_age)?;
        let written = write_to(name, value, &attributes, max_age, &mut out);
        // SAFETY: checked by `Buffer`.
        unsafe { out.end(written) }
    })())
}

/// Whether a `Set-Cookie` field sets a cookie called `name`: 1 or 0. Those of an upstream are
/// not for the client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_set_cookie_matches(
    field: *const c_void,
    field_len: usize,
    name: *const c_void,
    name_len: usize,
    matches: *mut u8,
) -> i32 {
    number((|| {
        let matches = Out::new(matches)?;
        // SAFETY: checked by `bytes`.
        let (field, name) = unsafe { (bytes(field, field_len)?, bytes(name, name_len)?) };
        // SAFETY: checked by `Out`.
        unsafe { matches.write(u8::from(sets(field, name))) };
        Ok(())
    })())
}

/// Classifies a request by its method and target. `(NULL, 0)` for the rules is the default table.
/// `prompt_cache` 1 opts in to that group. `group` receives a `tokenpin_group`, `existing` 1 if the
/// request names existing state.
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
    number((|| {
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

impl tokenpin_rule {
    pub(super) unsafe fn get<'a>(&self) -> Result<Rule<'a>, Status> {
        let group = Group::from_number(self.group).ok_or(Status::BadEnum)?;
        // SAFETY: passed on.
        Ok(Rule { pattern: unsafe { self.pattern.get() }?, group })
    }
}

pub(super) unsafe fn write_class(class: Class, (group, existing): (Out<u8>, Out<u8>)) {
    // SAFETY: passed on.
    unsafe {
        group.write(class.group as u8);
        existing.write(u8::from(class.existing));
    }
}

pub(super) fn put(out: &mut Buffer, bytes: &[u8]) -> Result<usize, Error> {
    out.room(bytes.len())?;
    out.put(bytes);
    Ok(bytes.len())
}

unsafe fn secret(bytes: *const u8) -> Result<Secret, Status> {
    // SAFETY: checked by `reference`.
    unsafe { reference(bytes.cast::<[u8; 16]>()) }.map(|bytes| Secret::new(*bytes))
}

unsafe fn optional_key<'a>(key: *const tokenpin_key) -> Result<Option<crate::Key<'a>>, Status> {
    if key.is_null() {
        return Ok(None);
    }
    // SAFETY: checked by `reference` and `get`.
    unsafe { reference(key)?.get() }.map(Some)
}

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
    let result = below(work);
    below(wipe_stack);
    let Err(refusal) = result else { return Status::Ok as i32 };
    let status = refusal.status as i32;
    if let Some(error) = error {
        // SAFETY: checked by `Out`.
        unsafe { error.write(refusal.into()) };
    }
    status
}

/// Does `work` in a stack frame of its own, below the caller's.
#[inline(never)]
fn below<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Overwrites the stack below the caller. Moving a key ring into place leaves copies there that no
/// destructor sees; building an affinity uses a part of these 16 KB.
fn wipe_stack() {
    wipe(&mut [0; 16_384]);
}
