//! Chapter 4: slots and selection
//!
//! Selects the slot that serves a key, for callers that keep their own array of slots.

use core::ffi::c_void;

use crate::key::key_hash;
use crate::limits::MAX_BUCKETS;
use crate::select::batch::select_each;
use crate::select::higress::select_higress;
use crate::select::jump::jump;
use crate::select::slot::{Filter, Slot, identity_hash};
use crate::select::{Strategy, by_jump, by_rendezvous};

use super::constants::TOKENPIN_SLOT_NONE;
use super::pointers::{Out, Span, array, bytes, check_array, reference, secret, switch};
use super::status::{Status, returned};
use super::structs::{tokenpin_key, tokenpin_slot_status};

/// One slot of a token set, in memory of the caller. `tokenpin_slot_init` or
/// `tokenpin_slot_init_vacant` makes it, and only `tokenpin_slot_set`, which is atomic, changes it.
#[repr(C)]
pub struct tokenpin_slot {
    /// The identity hash of the account; 0 for a vacant slot.
    pub identity_hash: u64,
    /// State, weight and until. Its layout is private.
    pub word: u64,
}

const _: () = assert!(
    size_of::<tokenpin_slot>() == size_of::<Slot>() && align_of::<Slot>() == 8,
    "an array of tokenpin_slot is read as an array of Slot"
);

/// The filter that selects candidates.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_filter {
    /// Unix seconds.
    pub now: u64,
    /// The slots that this request has tried already.
    pub tried: *const u32,
    /// The number of these slots.
    pub tried_count: usize,
    /// 1 if the key is an anonymous id. Then a draining slot is a candidate only if no other slot
    /// is.
    pub anonymous: u8,
}

/// Computes jump consistent hash: the bucket, 0 to `buckets` - 1, of `key`.
///
/// `buckets` is 1 to [`MAX_BUCKETS`](crate::MAX_BUCKETS). Takes about ln(`buckets`) steps.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, BUCKET_COUNT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_jump(key: u64, buckets: u32, bucket: *mut u32) -> i32 {
    returned((|| {
        let bucket = Out::new(bucket)?;
        let answer = jump(key, buckets)?;
        // SAFETY: checked by `Out`.
        unsafe { bucket.write(answer) };
        Ok(())
    })())
}

/// Computes the identity hash of the account that `identity` names, 1 byte or more.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, IDENTITY_EMPTY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_identity_hash(
    identity: *const c_void,
    identity_len: usize,
    hash: *mut u64,
) -> i32 {
    returned((|| {
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

/// Computes the hash of an affinity key, from which selection starts. `placement_key` has 16 bytes
/// and is not all zero. The scope has 0 to [`MAX_SCOPE`](crate::MAX_SCOPE) bytes.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, SCOPE_LENGTH, KEY_LENGTH, ZERO_SECRET.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_key_hash(
    placement_key: *const u8,
    scope: *const c_void,
    scope_len: usize,
    key: *const tokenpin_key,
    hash: *mut u64,
) -> i32 {
    returned((|| {
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

/// Makes the slot of the account that `identity` names, 1 byte or more.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, IDENTITY_EMPTY, WEIGHT, UNTIL, VACANT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_slot_init(
    slot: *mut tokenpin_slot,
    identity: *const c_void,
    identity_len: usize,
    status: *const tokenpin_slot_status,
) -> i32 {
    returned((|| {
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
///
/// Statuses: OK, NULL_POINTER, MISALIGNED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_slot_init_vacant(slot: *mut tokenpin_slot) -> i32 {
    returned((|| {
        let slot = Out::new(slot.cast::<Slot>())?;
        // SAFETY: checked by `Out`.
        unsafe { slot.write(Slot::vacant()) };
        Ok(())
    })())
}

/// Changes state, weight and until of a slot atomically. Safe while other threads select. The state
/// vacant is never set or left.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, BAD_ENUM, WEIGHT, UNTIL, VACANT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_slot_set(
    slot: *mut tokenpin_slot,
    status: *const tokenpin_slot_status,
) -> i32 {
    returned((|| {
        // SAFETY: checked by `reference`; the word of a `Slot` is atomic.
        let (slot, status) = unsafe { (reference(slot.cast::<Slot>())?, reference(status)?) };
        Ok(slot.set(status.get()?)?)
    })())
}

/// Reads state, weight and until of a slot atomically.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_slot_get(
    slot: *const tokenpin_slot,
    status: *mut tokenpin_slot_status,
) -> i32 {
    returned((|| {
        let status = Out::new(status)?;
        // SAFETY: checked by `reference` and `Out`.
        unsafe { status.write(reference(slot.cast::<Slot>())?.status().into()) };
        Ok(())
    })())
}

/// Selects the slot that serves the key with hash `hash`, `TOKENPIN_SLOT_NONE` if no slot is a
/// candidate.
///
/// `strategy` is a `tokenpin_strategy`. That of Higress needs the key itself, and is refused with
/// `TOKENPIN_STATUS_STRATEGY`. `count` is 1 to [`MAX_BUCKETS`](crate::MAX_BUCKETS). Under jump it
/// takes about ln(`count`) steps, plus one for each probe, while a good part of the slots can
/// serve. If only few of many can, and under rendezvous, the time is linear in `count`. State,
/// weight and until of a slot are read atomically. If a slot's status changes meanwhile, the answer
/// is right for the statuses as they were read; one slot may have been read twice.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, SLOT_COUNT, STRATEGY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_select(
    strategy: u8,
    slots: *const tokenpin_slot,
    count: usize,
    filter: *const tokenpin_filter,
    hash: u64,
    slot: *mut u32,
) -> i32 {
    returned((|| {
        let out = Out::new(slot)?;
        let strategy = Strategy::from_number(strategy).ok_or(Status::BadEnum)?;
        // SAFETY: checked by `Choice`.
        let Choice { slots, filter } = unsafe { Choice::new(slots, count, filter) }?;
        out.check_apart(Span::of(slots))?;
        out.check_apart(Span::of(filter.tried))?;
        let answer = match strategy {
            Strategy::Jump => by_jump(slots, &filter, hash),
            Strategy::Rendezvous => by_rendezvous(slots, &filter, hash),
            Strategy::HigressFnv1aModulo => return Err(Status::Strategy),
        };
        // SAFETY: checked by `Out`.
        unsafe { out.write(answer.unwrap_or(TOKENPIN_SLOT_NONE)) };
        Ok(())
    })())
}

/// Selects the slot that Higress ai-proxy would choose for a key, for migration: number
/// `fnv1a32(key bytes) % n` of the `n` slots that hold an account, `TOKENPIN_SLOT_NONE` if no slot
/// is a candidate. `hash` is the `tokenpin_key_hash` of the key: if that slot cannot serve,
/// weighted rendezvous with the hash takes over. `count` is 1 to
/// [`MAX_BUCKETS`](crate::MAX_BUCKETS). Linear in `count`.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, KEY_LENGTH, SLOT_COUNT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_select_higress(
    slots: *const tokenpin_slot,
    count: usize,
    filter: *const tokenpin_filter,
    hash: u64,
    key: *const tokenpin_key,
    slot: *mut u32,
) -> i32 {
    returned((|| {
        let out = Out::new(slot)?;
        // SAFETY: checked by `Choice`, `reference` and `get`.
        let (Choice { slots, filter }, key) =
            unsafe { (Choice::new(slots, count, filter)?, reference(key)?.get()?) };
        out.check_apart(Span::of(slots))?;
        out.check_apart(Span::of(filter.tried))?;
        key.check()?;
        let answer = select_higress(slots, &filter, hash, &key);
        // SAFETY: checked by `Out`.
        unsafe { out.write(answer.unwrap_or(TOKENPIN_SLOT_NONE)) };
        Ok(())
    })())
}

/// Selects like `tokenpin_select` for many hashes: `selected[i]` is the slot of `hashes[i]`.
/// `hash_count` 0 does nothing. `selected` must not overlap the slots, the tried ones and the
/// hashes.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, SLOT_COUNT, STRATEGY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_select_batch(
    strategy: u8,
    slots: *const tokenpin_slot,
    count: usize,
    filter: *const tokenpin_filter,
    hashes: *const u64,
    hash_count: usize,
    selected: *mut u32,
) -> i32 {
    returned((|| {
        let strategy = Strategy::from_number(strategy).ok_or(Status::BadEnum)?;
        // SAFETY: checked by `Choice`.
        let Choice { slots, filter } = unsafe { Choice::new(slots, count, filter) }?;
        // SAFETY: checked by `array`.
        let hashes = unsafe { array(hashes, hash_count) }?;
        check_array(selected, hash_count)?;
        let out = Span { start: selected.addr(), len: hash_count * size_of::<u32>() };
        out.check_apart_from(&[Span::of(slots), Span::of(filter.tried), Span::of(hashes)])?;
        let mut next = selected;
        select_each(strategy, slots, &filter, hashes, &mut |answer| {
            // SAFETY: called once for each hash, so it stays within the array just checked.
            unsafe {
                next.write(answer.unwrap_or(TOKENPIN_SLOT_NONE));
                next = next.add(1);
            }
        })?;
        Ok(())
    })())
}

/// The input of every selection.
struct Choice<'a> {
    slots: &'a [Slot],
    filter: Filter<'a>,
}

impl Choice<'_> {
    #[inline]
    unsafe fn new(
        slots: *const tokenpin_slot,
        count: usize,
        filter: *const tokenpin_filter,
    ) -> Result<Self, Status> {
        // SAFETY: checked by `array`, `reference` and `get`. A slot of C and one of the core have
        // one layout, and the word is atomic.
        let (slots, filter) =
            unsafe { (array(slots.cast::<Slot>(), count)?, reference(filter)?.get()?) };
        if slots.is_empty() || slots.len() > MAX_BUCKETS as usize {
            return Err(Status::SlotCount);
        }
        Ok(Self { slots, filter })
    }
}

impl tokenpin_filter {
    pub(super) unsafe fn get<'a>(self) -> Result<Filter<'a>, Status> {
        // SAFETY: passed on.
        let tried = unsafe { array(self.tried, self.tried_count) }?;
        Ok(Filter { now: self.now, anonymous: switch(self.anonymous)?, tried, pinned: None })
    }
}
