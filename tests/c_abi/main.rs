//! Every function of the C ABI from Rust, for Miri and for the machines that `make portability`
//! runs: valid, null, empty, misaligned, overlapping and too long inputs, and the lives of handles.
//! Inputs are allocated to the byte and outputs are uninitialised, so that Miri sees each access
//! that the contract does not grant. tests/capi checks the answers.
#![cfg(feature = "capi")]
#![deny(clippy::pedantic)]

mod id_pointers;

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::ffi::{CStr, c_void};
use std::mem::MaybeUninit;
use std::ptr::{self, null, null_mut};

use tokenpin::MAX_KEY;
use tokenpin::capi::*;
use tokenpin_test_support::sample::cases;

const NOW: u64 = 1_800_000_000;
const NAME: &[u8] = b"__Host-tokenpin";
const TOO_LONG: usize = isize::MAX as usize + 1;
static UP: tokenpin_slot_status = tokenpin_slot_status { until: 0, weight: 65_536, state: 0 };
static DOWN: tokenpin_slot_status = tokenpin_slot_status { until: 0, weight: 65_536, state: 2 };

#[track_caller]
fn is(number: i32, status: Status) {
    assert_eq!(number, status as i32, "{}", status.name());
}

#[track_caller]
fn ok(number: i32) {
    is(number, Status::Ok);
}

/// Makes a call with a place for one output, which is written on success.
#[track_caller]
fn get<T>(call: impl FnOnce(*mut T) -> i32) -> T {
    let mut out = Box::new(MaybeUninit::uninit());
    ok(call(out.as_mut_ptr()));
    // SAFETY: written on success.
    unsafe { *out.assume_init() }
}

/// Makes a call that must fail, and leave its output unchanged.
#[track_caller]
fn refused<T>(status: Status, call: impl FnOnce(*mut T) -> i32) {
    let mut out = Box::new(MaybeUninit::uninit());
    is(call(out.as_mut_ptr()), status);
}

/// Bytes in an allocation of exactly their length.
fn lent(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

fn span(bytes: &[u8]) -> tokenpin_bytes {
    tokenpin_bytes { ptr: bytes.as_ptr().cast(), len: bytes.len() }
}

const EMPTY: tokenpin_bytes = tokenpin_bytes { ptr: null(), len: 0 };

fn at(bytes: &[u8]) -> *const c_void {
    bytes.as_ptr().cast()
}

/// Returns an address one byte off, which is misaligned if `T` has an alignment.
fn off<T>(pointer: *const T) -> *mut T {
    pointer.cast::<u8>().wrapping_add(1).cast_mut().cast()
}

fn cookie_keys() -> Vec<tokenpin_cookie_key> {
    let key = |id, role| tokenpin_cookie_key { id, role, secret: [id; 16] };
    vec![key(1, 0), key(2, 1)]
}

/// The targets of a configuration's pointers. They are vectors, because a box must not be moved
/// while C points into it.
struct World {
    _names: [Vec<u8>; 4],
    _keys: Vec<tokenpin_cookie_key>,
    _slots: Vec<tokenpin_slot_config>,
    _rules: Vec<tokenpin_rule>,
    _fields: Vec<tokenpin_id_field>,
    _words: Vec<tokenpin_bytes>,
    config: Box<tokenpin_config>,
}

fn world() -> World {
    let names = [lent(b"account-a"), lent(b"account-b"), lent(b"my_ref"), lent(b"mine_")];
    let keys = cookie_keys();
    let vacant = tokenpin_slot_status { state: 3, ..UP };
    let slots = vec![
        tokenpin_slot_config { identity: span(&names[0]), status: UP },
        tokenpin_slot_config { identity: span(&names[1]), status: DOWN },
        tokenpin_slot_config { identity: EMPTY, status: vacant },
    ];
    let rules = vec![tokenpin_rule { pattern: span(b"responses"), group: 1, ids: 3 }];
    let fields = vec![tokenpin_id_field { name: span(&names[2]), kind: 3 }];
    let words = vec![span(&names[3]), EMPTY];
    // SAFETY: as the header says; so are all below.
    let mut config: tokenpin_config =
        get(|out| unsafe { tokenpin_config_init(out, size_of::<tokenpin_config>()) });
    config.placement_key = [9; 16];
    (config.cookie_keys, config.cookie_key_count) = (keys.as_ptr(), keys.len());
    (config.slots, config.slot_count) = (slots.as_ptr(), slots.len());
    (config.rules, config.rule_count) = (rules.as_ptr(), rules.len());
    (config.id_keys, config.id_key_count) = (keys.as_ptr(), keys.len());
    (config.id_fields, config.id_field_count) = (fields.as_ptr(), fields.len());
    (config.id_prefixes, config.id_prefix_count) = (words.as_ptr(), 1);
    (config.id_collections, config.id_collection_count) = (words.as_ptr(), 1);
    config.id_mode = 2;
    World {
        _names: names,
        _keys: keys,
        _slots: slots,
        _rules: rules,
        _fields: fields,
        _words: words,
        config: Box::new(config),
    }
}

fn request() -> tokenpin_request {
    // SAFETY: all zero is a valid start.
    let mut request: tokenpin_request = unsafe { MaybeUninit::zeroed().assume_init() };
    (request.now, request.entropy) = (NOW, [7; 16]);
    (request.method, request.target) = (span(b"POST"), span(b"/v1/responses"));
    request
}

/// Returns an affinity of `tokenpin_affinity_new`, whose configuration is freed.
fn affinity() -> *mut tokenpin_affinity {
    let world = world();
    get(|out| unsafe { tokenpin_affinity_new(&raw const *world.config, out, null_mut()) })
}

/// Returns a ring that stays where it was made: for Rust it is not initialised throughout.
fn ring() -> Box<MaybeUninit<tokenpin_key_ring>> {
    let keys = cookie_keys();
    let mut ring = Box::new(MaybeUninit::uninit());
    let place = ring.as_mut_ptr();
    // SAFETY: as the header says.
    ok(unsafe { tokenpin_key_ring_init(place, keys.as_ptr(), keys.len(), null(), null_mut()) });
    ring
}

fn anonymous(id: &[u8]) -> tokenpin_key {
    tokenpin_key { kind: 0, key: span(id), session: EMPTY }
}

/// Reads texts, and calls nothing that Miri could watch.
#[test]
#[cfg_attr(miri, ignore = "calls no function")]
fn no_function_of_the_header_is_left_out() {
    let here = include_str!("main.rs");
    let header = include_str!("../../include/tokenpin.h");
    let mut names = 0;
    for line in header.lines().filter(|line| !line.starts_with([' ', '#', '}'])) {
        let Some((before, _)) = line.split_once('(') else { continue };
        let name = before.rsplit([' ', '*']).next().unwrap();
        if name.starts_with("tokenpin_") {
            names += 1;
            assert!(here.contains(&format!("{name}(")), "{name}");
        }
    }
    assert!(names > 35, "{names}");
}

#[test]
fn numbers_and_names() {
    assert_eq!(tokenpin_abi_version(), TOKENPIN_ABI_VERSION);
    tokenpin_abi_v1();
    // SAFETY: a static string that ends in a NUL.
    let version = unsafe { CStr::from_ptr(tokenpin_version()) };
    assert_eq!(version.to_str(), Ok(tokenpin::VERSION));
    for which in [i32::MIN, -1, 0, 3, 14, 15, i32::MAX] {
        for value in [i32::MIN, -1, 0, 1, 45, 255, 256, i32::MAX] {
            let mut name = MaybeUninit::<tokenpin_bytes>::uninit();
            let status = unsafe { tokenpin_enum_name(which, value, name.as_mut_ptr()) };
            if status == 0 {
                let name = unsafe { name.assume_init() };
                let name = unsafe { std::slice::from_raw_parts(name.ptr.cast::<u8>(), name.len) };
                assert!(name.iter().all(u8::is_ascii));
            } else {
                is(status, Status::BadEnum);
            }
        }
    }
    is(unsafe { tokenpin_enum_name(0, 0, null_mut()) }, Status::NullPointer);
}

#[test]
fn jump_and_hashes() {
    unsafe {
        assert_eq!(get(|out| tokenpin_jump(7, 10, out)), tokenpin::jump(7, 10).unwrap());
        refused(Status::BucketCount, |out| tokenpin_jump(7, 0, out));
        refused(Status::BucketCount, |out| tokenpin_jump(7, u32::MAX, out));
        is(tokenpin_jump(7, 10, null_mut()), Status::NullPointer);
        let mut place = [0_u64; 2];
        let misaligned = off(place.as_mut_ptr());
        is(tokenpin_jump(7, 10, misaligned.cast()), Status::Misaligned);

        let name = lent(b"account-a");
        let hash = get(|out| tokenpin_identity_hash(at(&name), name.len(), out));
        assert_eq!(hash, tokenpin::identity_hash(&name));
        // Bytes need no alignment.
        let hash = get(|out| tokenpin_identity_hash(at(&name[1..]), 3, out));
        assert_eq!(hash, tokenpin::identity_hash(b"cco"));
        refused(Status::IdentityEmpty, |out| tokenpin_identity_hash(null(), 0, out));
        refused(Status::IdentityEmpty, |out| tokenpin_identity_hash(at(&name), 0, out));
        refused(Status::NullPointer, |out| tokenpin_identity_hash(null(), 1, out));
        refused(Status::Length, |out| tokenpin_identity_hash(at(&name), TOO_LONG, out));
        refused(Status::Length, |out| tokenpin_identity_hash(at(&name), usize::MAX, out));
        is(tokenpin_identity_hash(at(&name), 1, null_mut()), Status::NullPointer);
        is(tokenpin_identity_hash(at(&name), 1, misaligned), Status::Misaligned);

        let (placement, scope, id) = (lent(&[9; 16]), lent(b"openai"), lent(&[5; 16]));
        let placement_key = placement.as_ptr();
        let key = Box::new(anonymous(&id));
        let hash = get(|out| {
            tokenpin_key_hash(placement_key, at(&scope), scope.len(), &raw const *key, out)
        });
        let secret = tokenpin::Secret::new([9; 16]);
        let expected = tokenpin::key_hash(&secret, &scope, &tokenpin::Key::Anonymous(&[5; 16]));
        assert_eq!(Ok(hash), expected);
        let with = |key: &tokenpin_key| {
            let mut hash = 0;
            tokenpin_key_hash(placement_key, null(), 0, key, &raw mut hash)
        };
        is(with(&tokenpin_key { kind: 4, ..*key }), Status::BadEnum);
        is(with(&tokenpin_key { kind: 255, ..*key }), Status::BadEnum);
        is(with(&anonymous(&id[..15])), Status::KeyLength);
        is(with(&tokenpin_key { key: EMPTY, ..*key }), Status::KeyLength);
        let nowhere = tokenpin_bytes { ptr: null(), len: 16 };
        is(with(&tokenpin_key { key: nowhere, ..*key }), Status::NullPointer);
        let endless = tokenpin_bytes { len: TOO_LONG, ..span(&id) };
        is(with(&tokenpin_key { kind: 1, key: endless, ..*key }), Status::Length);
        // The session of a key that has none is ignored.
        ok(with(&tokenpin_key { session: nowhere, ..*key }));
        is(with(&tokenpin_key { kind: 3, session: nowhere, ..*key }), Status::NullPointer);
        ok(with(&tokenpin_key { kind: 3, session: span(b"s"), ..*key }));
        refused(Status::NullPointer, |out| {
            tokenpin_key_hash(null(), null(), 0, &raw const *key, out)
        });
        refused(Status::NullPointer, |out| {
            tokenpin_key_hash(placement_key, null(), 0, null(), out)
        });
        refused(Status::NullPointer, |out| {
            tokenpin_key_hash(placement_key, null(), 1, &raw const *key, out)
        });
        is(
            tokenpin_key_hash(placement_key, null(), 0, &raw const *key, null_mut()),
            Status::NullPointer,
        );
        let long = lent(&[b's'; 1025]);
        refused(Status::ScopeLength, |out| {
            tokenpin_key_hash(placement_key, at(&long), long.len(), &raw const *key, out)
        });
    }
}

#[test]
fn slots_and_selection() {
    unsafe {
        let name = lent(b"a");
        let mut slots: Box<[tokenpin_slot]> = Box::new([
            get(|out| tokenpin_slot_init(out, at(&name), 1, &raw const UP)),
            get(|out| tokenpin_slot_init(out, at(b"b"), 1, &raw const DOWN)),
            get(|out| tokenpin_slot_init_vacant(out)),
        ]);
        is(tokenpin_slot_init(null_mut(), at(&name), 1, &raw const UP), Status::NullPointer);
        refused(Status::NullPointer, |out| tokenpin_slot_init(out, null(), 1, &raw const UP));
        refused(Status::NullPointer, |out| tokenpin_slot_init(out, at(&name), 1, null()));
        refused(Status::IdentityEmpty, |out| tokenpin_slot_init(out, null(), 0, &raw const UP));
        let bad = tokenpin_slot_status { state: 4, ..UP };
        refused(Status::BadEnum, |out| tokenpin_slot_init(out, at(&name), 1, &raw const bad));
        is(tokenpin_slot_init_vacant(null_mut()), Status::NullPointer);
        is(tokenpin_slot_init_vacant(off(slots.as_ptr())), Status::Misaligned);

        ok(tokenpin_slot_set(&raw mut slots[1], &raw const DOWN));
        is(tokenpin_slot_set(&raw mut slots[1], &raw const bad), Status::BadEnum);
        is(tokenpin_slot_set(&raw mut slots[2], &raw const UP), Status::Vacant);
        is(tokenpin_slot_set(null_mut(), &raw const UP), Status::NullPointer);
        is(tokenpin_slot_set(&raw mut slots[0], null()), Status::NullPointer);
        is(tokenpin_slot_set(&raw mut slots[0], off(&raw const UP)), Status::Misaligned);
        assert_eq!(get(|out| tokenpin_slot_get(&raw mut slots[1], out)).state, 2);
        refused(Status::NullPointer, |out| tokenpin_slot_get(null(), out));
        is(tokenpin_slot_get(&raw mut slots[0], null_mut()), Status::NullPointer);

        let tried: Box<[u32]> = Box::new([1, 7, u32::MAX]);
        let filter = Box::new(tokenpin_filter {
            now: NOW,
            tried: tried.as_ptr(),
            tried_count: tried.len(),
            anonymous: 1,
        });
        let filter = &raw const *filter;
        let hashes: Box<[u64]> = (0..300).map(tokenpin::mix).collect();
        let start = slots.as_mut_ptr();
        for strategy in 0..2 {
            for count in [1, 2, 3] {
                let one =
                    get(|out| tokenpin_select(strategy, start, count, filter, hashes[0], out));
                assert_eq!(one, 0, "the only one that is up");
                let mut selected = Box::new([MaybeUninit::<u32>::uninit(); 300]);
                let out = selected.as_mut_ptr().cast();
                let hashes = hashes.as_ptr();
                ok(tokenpin_select_batch(strategy, start, count, filter, hashes, 300, out));
                assert!(selected.iter().all(|slot| slot.assume_init() == 0));
                ok(tokenpin_select_batch(strategy, start, count, filter, null(), 0, null_mut()));
            }
            refused(Status::SlotCount, |out| tokenpin_select(strategy, null(), 0, filter, 1, out));
            refused(Status::NullPointer, |out| {
                tokenpin_select(strategy, null(), 3, filter, 1, out)
            });
            refused(Status::Length, |out| {
                tokenpin_select(strategy, start, usize::MAX / 2, filter, 1, out)
            });
            refused(Status::Misaligned, |out| {
                tokenpin_select(strategy, off(start), 1, filter, 1, out)
            });
            refused(Status::NullPointer, |out| tokenpin_select(strategy, start, 3, null(), 1, out));
            is(tokenpin_select(strategy, start, 3, filter, 1, null_mut()), Status::NullPointer);
            // Outputs within the inputs.
            is(tokenpin_select(strategy, start, 3, filter, 1, start.cast()), Status::Overlap);
            let (from, to) = (hashes.as_ptr(), hashes.as_ptr().cast_mut().cast());
            is(tokenpin_select_batch(strategy, start, 3, filter, from, 300, to), Status::Overlap);
            is(
                tokenpin_select_batch(strategy, start, 3, filter, from, 300, null_mut()),
                Status::NullPointer,
            );
            is(
                tokenpin_select_batch(strategy, start, 3, filter, null(), 300, to),
                Status::NullPointer,
            );
        }
        refused(Status::Strategy, |out| tokenpin_select(2, start, 3, filter, 1, out));
        let mut untouched = [7; 2];
        let out = untouched.as_mut_ptr();
        is(tokenpin_select_batch(2, start, 3, filter, hashes.as_ptr(), 2, out), Status::Strategy);
        assert_eq!(untouched, [7; 2]);

        let id = lent(&[5; 16]);
        let key = Box::new(anonymous(&id));
        let key = &raw const *key;
        let one = get(|out| tokenpin_select_higress(start, 3, filter, 1, key, out));
        assert_eq!(one, 0, "the only one that is up");
        refused(Status::SlotCount, |out| tokenpin_select_higress(null(), 0, filter, 1, key, out));
        refused(Status::NullPointer, |out| tokenpin_select_higress(null(), 3, filter, 1, key, out));
        refused(Status::NullPointer, |out| tokenpin_select_higress(start, 3, null(), 1, key, out));
        refused(Status::NullPointer, |out| {
            tokenpin_select_higress(start, 3, filter, 1, null(), out)
        });
        refused(Status::Misaligned, |out| {
            tokenpin_select_higress(start, 3, filter, 1, off(key), out)
        });
        is(tokenpin_select_higress(start, 3, filter, 1, key, null_mut()), Status::NullPointer);
        is(tokenpin_select_higress(start, 3, filter, 1, key, start.cast()), Status::Overlap);
        refused(Status::BadEnum, |out| tokenpin_select(3, start, 3, filter, 1, out));
        let nowhere = tokenpin_filter { now: 0, tried: null(), tried_count: 1, anonymous: 0 };
        refused(Status::NullPointer, |out| {
            tokenpin_select(0, start, 3, &raw const nowhere, 1, out)
        });
        let odd = tokenpin_filter { tried_count: 0, anonymous: 2, ..nowhere };
        refused(Status::BadEnum, |out| tokenpin_select(0, start, 3, &raw const odd, 1, out));
    }
}

#[expect(clippy::too_many_lines, reason = "one call after another")]
#[test]
fn rings_and_cookies() {
    unsafe {
        let mut ring = ring();
        let (name, scope, id) = (lent(NAME), lent(b"openai"), lent(&[5; 16]));
        let key = Box::new(anonymous(&id));
        let stamp = u32::try_from(NOW).unwrap();
        let cookie = Box::new(tokenpin_cookie {
            pin: 42,
            issued_at: stamp,
            refreshed_at: stamp,
            id: [5; 16],
            kind: 0,
        });
        let encode =
            |ring: *const tokenpin_key_ring, key: *const tokenpin_key, out: *mut [u8; 67]| {
                let (name_len, scope_len) = (name.len(), scope.len());
                let (name, scope) = (at(&name), at(&scope));
                tokenpin_cookie_encode(
                    ring,
                    name,
                    name_len,
                    scope,
                    scope_len,
                    key,
                    &raw const *cookie,
                    out.cast(),
                )
            };
        let value: [u8; 67] = get(|out| encode(ring.as_ptr(), &raw const *key, out));
        assert_eq!(get(|out| encode(ring.as_ptr(), null(), out)), value);
        refused(Status::NullPointer, |out| encode(null(), &raw const *key, out));
        refused(Status::Misaligned, |out| encode(off(ring.as_ptr()), &raw const *key, out));
        is(encode(ring.as_ptr(), &raw const *key, null_mut()), Status::NullPointer);

        let limits = tokenpin_limits { skew: 300, max_life: 9, max_idle: 9, refresh_interval: 9 };
        let decode =
            |ring: &MaybeUninit<tokenpin_key_ring>, value: &[u8], cookie: *mut tokenpin_cookie| {
                let value = lent(value);
                get(|out| {
                    let (name_len, scope_len, len) = (name.len(), scope.len(), value.len());
                    let (name, scope) = (at(&name), at(&scope));
                    tokenpin_cookie_decode(
                        ring.as_ptr(),
                        name,
                        name_len,
                        scope,
                        scope_len,
                        null(),
                        &raw const limits,
                        NOW,
                        at(&value),
                        len,
                        out,
                        cookie,
                    )
                })
            };
        let mut read = Box::new(MaybeUninit::uninit());
        assert_eq!(decode(&ring, &value, read.as_mut_ptr()), 9, "valid");
        assert_eq!(read.assume_init().pin, 42);
        assert_eq!(decode(&ring, &value, null_mut()), 9);
        // Not written unless the tag is good.
        let mut read = Box::new(MaybeUninit::uninit());
        for len in 0..value.len() {
            assert_eq!(decode(&ring, &value[..len], read.as_mut_ptr()), 1, "malformed");
        }
        for at in 0..value.len() {
            let mut forged = value;
            forged[at] = if forged[at] == b'B' { b'C' } else { b'B' };
            assert!(decode(&ring, &forged, read.as_mut_ptr()) < 5);
            forged[at] = 0xff;
            assert_eq!(decode(&ring, &forged, read.as_mut_ptr()), 1);
        }
        let mut verdict = 0;
        let nothing = &raw mut verdict;
        for (value, len, limits, verdict, status) in [
            (null(), 1, &raw const limits, nothing, Status::NullPointer),
            (at(&value), TOO_LONG, &raw const limits, nothing, Status::Length),
            (at(&value), 67, null(), nothing, Status::NullPointer),
            (at(&value), 67, &raw const limits, null_mut(), Status::NullPointer),
        ] {
            let call = tokenpin_cookie_decode(
                ring.as_ptr(),
                at(&name),
                name.len(),
                null(),
                0,
                null(),
                limits,
                NOW,
                value,
                len,
                verdict,
                null_mut(),
            );
            is(call, status);
        }

        // The lives of rings.
        let keys = cookie_keys();
        let init = |keys: *const tokenpin_cookie_key, len, error: *mut tokenpin_config_error| {
            let mut ring = Box::new(MaybeUninit::uninit());
            tokenpin_key_ring_init(ring.as_mut_ptr(), keys, len, null(), error)
        };
        is(init(null(), 0, null_mut()), Status::KeyCount);
        is(init(null(), 2, null_mut()), Status::NullPointer);
        is(init(keys.as_ptr(), TOO_LONG, null_mut()), Status::Length);
        is(init(keys.as_ptr(), 2, off([0_u64; 3].as_ptr()).cast()), Status::Misaligned);
        let mut error = Box::new(MaybeUninit::uninit());
        is(init(keys[1..].as_ptr(), 1, error.as_mut_ptr()), Status::SigningKeys);
        is(error.assume_init().status, Status::SigningKeys);
        is(
            tokenpin_key_ring_init(null_mut(), keys.as_ptr(), 2, null(), null_mut()),
            Status::NullPointer,
        );
        let mut copy = Box::new(ptr::read(&raw const *ring));
        tokenpin_key_ring_wipe(ring.as_mut_ptr());
        tokenpin_key_ring_wipe(ring.as_mut_ptr());
        tokenpin_key_ring_wipe(null_mut());
        assert_eq!(ring.assume_init_ref().private_words, [0; 56]);
        refused(Status::NotInitialised, |out| encode(ring.as_ptr(), null(), out));
        assert_eq!(decode(&copy, &value, null_mut()), 9, "a copy is a ring too");
        tokenpin_key_ring_wipe(copy.as_mut_ptr());
    }
}

/// Makes calls with a buffer one byte too small, with none, and with one that just suffices, all
/// uninitialised, and returns what was written.
#[track_caller]
fn buffer(call: impl Fn(*mut c_void, usize, *mut usize) -> i32) -> Vec<u8> {
    let mut needed = 0;
    let status = call(null_mut(), 0, &raw mut needed);
    if status == 0 {
        assert_eq!(needed, 0);
        return Vec::new();
    }
    is(status, Status::BufferTooSmall);
    for capacity in [needed - 1, needed] {
        let mut text = Vec::<u8>::with_capacity(capacity);
        let mut len = 0;
        let status = call(text.as_mut_ptr().cast(), capacity, &raw mut len);
        assert_eq!(len, needed);
        if capacity == needed {
            ok(status);
            // SAFETY: written on success.
            unsafe { text.set_len(len) };
            return text;
        }
        is(status, Status::BufferTooSmall);
    }
    is(call(null_mut(), 1, &raw mut needed), Status::NullPointer);
    unreachable!()
}

#[expect(clippy::too_many_lines, reason = "one call after another")]
#[test]
fn headers() {
    unsafe {
        let scope = lent(b"openai");
        let name = buffer(|to, room, len| {
            tokenpin_cookie_default_name(at(&scope), scope.len(), to, room, len)
        });
        assert!(name.starts_with(NAME) && name.len() == NAME.len() + 9);
        buffer(|to, room, len| tokenpin_cookie_default_name(null(), 0, to, room, len));
        let mut len = 0;
        is(
            tokenpin_cookie_default_name(null(), 1, null_mut(), 0, &raw mut len),
            Status::NullPointer,
        );
        is(tokenpin_cookie_default_name(null(), 0, null_mut(), 0, null_mut()), Status::NullPointer);
        is(
            tokenpin_cookie_default_name(null(), 0, at(&scope).cast_mut(), TOO_LONG, &raw mut len),
            Status::Length,
        );

        let pin = lent(b"pin");
        let fields: [&[u8]; 9] = [
            b"",
            b"pin=1",
            b"a=1; pin=2; pin=\"3\"",
            b"pin",
            b"pin=",
            b"=pin",
            b";;;",
            b"\xff\x00;pin=\xff",
            b" pin = \"x",
        ];
        for field in fields {
            let field = lent(field);
            let mut offset = 0;
            let mut found = 0;
            loop {
                let mut value = MaybeUninit::uninit();
                let status = tokenpin_cookie_next(
                    at(&field),
                    field.len(),
                    at(&pin),
                    3,
                    &raw mut offset,
                    value.as_mut_ptr(),
                );
                if status != 0 {
                    is(status, Status::End);
                    break;
                }
                let tokenpin_bytes { ptr, len } = value.assume_init();
                let value = std::slice::from_raw_parts(ptr.cast::<u8>(), len);
                assert!(field.len() >= value.len());
                found += 1;
            }
            let stripped = buffer(|to, room, len| {
                tokenpin_cookie_strip(at(&field), field.len(), at(&pin), 3, to, room, len)
            });
            assert!(if found == 0 { *stripped == *field } else { stripped.len() < field.len() });
            let matches =
                get(|out| tokenpin_set_cookie_matches(at(&field), field.len(), at(&pin), 3, out));
            assert!(matches < 2);
        }
        let mut field = *b"pin=1; a=2";
        let place = field.as_mut_ptr();
        // Behind the end, and far beyond.
        for mut offset in [10, 11, usize::MAX] {
            refused(Status::End, |out| {
                tokenpin_cookie_next(place.cast(), 10, at(&pin), 3, &raw mut offset, out)
            });
        }
        refused(Status::NullPointer, |out| {
            tokenpin_cookie_next(place.cast(), 10, at(&pin), 3, null_mut(), out)
        });
        refused(Status::NullPointer, |out| {
            tokenpin_cookie_next(null(), 10, at(&pin), 3, &mut 0, out)
        });
        refused(Status::NullPointer, |out| {
            tokenpin_cookie_next(place.cast(), 10, null(), 3, &mut 0, out)
        });
        is(
            tokenpin_cookie_next(place.cast(), 10, at(&pin), 3, &mut 0, null_mut()),
            Status::NullPointer,
        );
        is(
            tokenpin_cookie_strip(place.cast(), 10, at(&pin), 3, place.cast(), 10, &raw mut len),
            Status::Overlap,
        );
        is(
            tokenpin_cookie_strip(null(), 10, at(&pin), 3, place.cast(), 10, &raw mut len),
            Status::NullPointer,
        );
        refused(Status::NullPointer, |out| {
            tokenpin_set_cookie_matches(null(), 1, at(&pin), 3, out)
        });
        is(tokenpin_set_cookie_matches(at(&pin), 3, at(&pin), 3, null_mut()), Status::NullPointer);

        let config = world().config;
        let mut attributes = Box::new(config.attributes);
        let path = lent(b"/api");
        attributes.path = span(&path);
        let (name, value) = (lent(b"name"), lent(b"value"));
        let write = |attributes: *const tokenpin_attributes, to, room, len| {
            tokenpin_set_cookie_write(at(&name), 4, at(&value), 5, attributes, 60, to, room, len)
        };
        let line = buffer(|to, room, len| write(&raw const *attributes, to, room, len));
        assert_eq!(line, b"name=value; Path=/api; Max-Age=60; Secure; HttpOnly; SameSite=Lax");
        is(write(null(), null_mut(), 0, &raw mut len), Status::NullPointer);
        is(write(&raw const *attributes, null_mut(), 0, null_mut()), Status::NullPointer);
        for bad in [
            tokenpin_attributes { same_site: 3, ..*attributes },
            tokenpin_attributes { secure: 2, ..*attributes },
        ] {
            is(write(&raw const bad, null_mut(), 0, &raw mut len), Status::BadEnum);
        }
        let nowhere = tokenpin_bytes { ptr: null(), len: 1 };
        let bad = tokenpin_attributes { domain: nowhere, ..*attributes };
        is(write(&raw const bad, null_mut(), 0, &raw mut len), Status::NullPointer);
    }
}

#[test]
fn classification() {
    unsafe {
        let rules: Box<[tokenpin_rule]> =
            Box::new([tokenpin_rule { pattern: span(b"jobs"), group: 1, ids: 2 }]);
        let (method, target) = (lent(b"GET"), lent(b"/v1/jobs/7?x=/files"));
        let mut existing = MaybeUninit::uninit();
        let mut ids = Box::new(MaybeUninit::uninit());
        let ids = ids.as_mut_ptr();
        let call = |rules, count, switch, target: &[u8], group: *mut u8, existing: *mut u8| {
            let len = target.len();
            tokenpin_classify(
                rules,
                count,
                0,
                switch,
                at(&method),
                3,
                at(target),
                len,
                group,
                existing,
                ids,
            )
        };
        let group = get(|out| call(rules.as_ptr(), 1, 0, &target, out, existing.as_mut_ptr()));
        assert_eq!((group, existing.assume_init(), ids.read()), (1, 1, 2));
        for target in [&b""[..], b"/", b"\xff\0", b"//jobs//", b"?", b"/v1/responses/"] {
            let target = lent(target);
            let mut existing = 0;
            assert!(get(|out| call(null(), 0, 1, &target, out, &raw mut existing)) < 3);
        }
        let mut existing = 0;
        refused(Status::BadEnum, |out| call(null(), 0, 2, &target, out, &raw mut existing));
        refused(Status::NullPointer, |out| call(null(), 1, 0, &target, out, &raw mut existing));
        refused(Status::NullPointer, |out| call(null(), 0, 0, &target, out, null_mut()));
        is(call(null(), 0, 0, &target, null_mut(), &raw mut existing), Status::NullPointer);
        let bad = [tokenpin_rule { group: 3, ..rules[0] }];
        refused(Status::BadEnum, |out| call(bad.as_ptr(), 1, 0, &target, out, &raw mut existing));
        let bad = [tokenpin_rule { ids: 4, ..rules[0] }];
        refused(Status::BadEnum, |out| call(bad.as_ptr(), 1, 0, &target, out, &raw mut existing));
        refused(Status::NullPointer, |out| {
            tokenpin_classify(null(), 0, 0, 0, null(), 1, null(), 0, out, &raw mut existing, ids)
        });
        // The default rules follow the caller's own, or are left out.
        let files = lent(b"/v1/files");
        let mut classify = |replace, out| {
            let (at, len) = (at(&files), files.len());
            tokenpin_classify(
                rules.as_ptr(),
                1,
                replace,
                0,
                null(),
                0,
                at,
                len,
                out,
                &raw mut existing,
                ids,
            )
        };
        assert_eq!(get(|out| classify(0, out)), 1);
        assert_eq!(get(|out| classify(1, out)), 0);
        refused(Status::BadEnum, |out| classify(2, out));
    }
}

fn id_use() -> tokenpin_id_use {
    // SAFETY: all zero is a valid start.
    let mut using: tokenpin_id_use = unsafe { MaybeUninit::zeroed().assume_init() };
    using.ids = 3;
    using
}

/// Returns the object in memory that is not initialised throughout, as a ring is.
#[expect(clippy::unnecessary_box_returns, reason = "what is moved is initialised, for Miri")]
fn begun<T>(init: impl FnOnce(*mut T) -> i32) -> Box<MaybeUninit<T>> {
    let mut begun = Box::new(MaybeUninit::uninit());
    ok(init(begun.as_mut_ptr()));
    begun
}

fn begun_summary() -> Box<MaybeUninit<tokenpin_id_summary>> {
    begun(|out| unsafe { tokenpin_id_summary_init(out) })
}

fn begun_opener() -> Box<MaybeUninit<tokenpin_id_opener>> {
    begun(|out| unsafe { tokenpin_id_opener_init(out) })
}

fn begun_sealer() -> Box<MaybeUninit<tokenpin_id_sealer>> {
    begun(|out| unsafe { tokenpin_id_sealer_init(out, 0) })
}

/// Returns the output for a body in chunks of some size.
unsafe fn rewritten(
    body: &[u8],
    size: usize,
    mut step: impl FnMut(Option<&[u8]>, *mut tokenpin_piece) -> i32,
) -> (Vec<u8>, tokenpin_piece) {
    let mut out = Vec::new();
    let mut keep = |chunk: &[u8], piece: tokenpin_piece| {
        out.extend_from_slice(&chunk[..piece.pass]);
        // SAFETY: the header says that this many bytes are there.
        out.extend_from_slice(unsafe { std::slice::from_raw_parts(piece.put, piece.put_len) });
        piece.taken
    };
    for chunk in body.chunks(size) {
        let mut rest = lent(chunk);
        while !rest.is_empty() {
            let taken = keep(&rest, get(|out| step(Some(&rest), out)));
            rest = lent(&rest[taken..]);
        }
    }
    let end = get(|out| step(None, out));
    keep(&[], end);
    (out, end)
}

/// Returns the output for a response, which is the same in chunks of every size.
unsafe fn sealed_in_chunks(
    affinity: *const tokenpin_affinity,
    using: *const tokenpin_id_use,
    body: &[u8],
) -> Vec<u8> {
    let mut all = Vec::new();
    for size in [1, 2, 7, 1000] {
        let mut begun = begun_sealer();
        let state = begun.as_mut_ptr();
        let step = |chunk: Option<&[u8]>, piece| unsafe {
            match chunk {
                Some(chunk) => {
                    let (start, len) = (at(chunk), chunk.len());
                    tokenpin_affinity_seal_step(
                        affinity,
                        using,
                        null(),
                        1,
                        state,
                        start,
                        len,
                        piece,
                    )
                }
                None => tokenpin_affinity_seal_end(affinity, using, null(), 1, state, piece),
            }
        };
        let (out, end) = unsafe { rewritten(body, size, step) };
        assert_eq!((end.changed, end.unexpected), (2, 0));
        assert!(all.is_empty() || all == out);
        all = out;
    }
    all
}

/// Returns the summary of a request's ids, which is the same in chunks of every size.
unsafe fn opened_in_chunks(
    affinity: *const tokenpin_affinity,
    using: *const tokenpin_id_use,
    (body, native): (&[u8], &[u8]),
) -> Box<MaybeUninit<tokenpin_id_summary>> {
    let mut summary = begun_summary();
    for size in [1, 2, 7, 1000] {
        summary = begun_summary();
        let (summary, mut begun) = (summary.as_mut_ptr(), begun_opener());
        let state = begun.as_mut_ptr();
        let step = |chunk: Option<&[u8]>, piece| unsafe {
            match chunk {
                Some(chunk) => {
                    let (start, len) = (at(chunk), chunk.len());
                    tokenpin_affinity_open_step(affinity, using, summary, state, start, len, piece)
                }
                None => tokenpin_affinity_open_end(affinity, using, summary, state, piece),
            }
        };
        let (out, end) = unsafe { rewritten(body, size, step) };
        assert_eq!((end.changed, end.unexpected), (3, 0));
        assert_eq!(out, native);
    }
    summary
}

/// Opens, decides and answers a request with ids.
unsafe fn ids_of_a_request(affinity: *const tokenpin_affinity) {
    unsafe {
        let body = lent(
            br#"{"my_ref":"mine_1","output":[{"id":"msg_1","encrypted_content":"gAAA"}],"x":"\u00e9"}"#,
        );
        let using = Box::new(id_use());
        let using = &raw const *using;
        let sealed = sealed_in_chunks(affinity, using, &body);
        let mut summary = opened_in_chunks(affinity, using, (&sealed, &body));
        let summary = summary.as_mut_ptr();
        let says = get(|out| tokenpin_id_summary_report(summary, out));
        assert_eq!((says.opened, says.verdict, says.existing), (3, 2, 1));
        let mut whole = lent(&sealed);
        let mut len = Box::new(0);
        let unexpected = get(|out| {
            let (body, len_of) = (whole.as_mut_ptr().cast(), whole.len());
            tokenpin_affinity_open_in_place(
                affinity,
                using,
                summary,
                body,
                len_of,
                &raw mut *len,
                out,
            )
        });
        assert_eq!((unexpected, &whole[..*len]), (0, &body[..]));
        // The account is down, and no other account has the objects.
        let mut request = Box::new(request());
        request.ids = summary;
        let decision =
            Box::new(get(|out| tokenpin_affinity_decide(affinity, &raw const *request, out)));
        assert_eq!((decision.slot, decision.source), (TOKENPIN_SLOT_NONE, 7));
        let mut status = Box::new(0);
        let refusal =
            get(|out| tokenpin_decision_refusal(&raw const *decision, &raw mut *status, out));
        assert_eq!((refusal, *status), (3, 503));
        let owner = get(|out| tokenpin_affinity_id_owner(affinity, &raw const *request, out));
        assert_eq!(owner.len, 0);
        let target = lent(b"/v1/files/file-1");
        let location = buffer(|to, room, len| {
            let (text, text_len) = (at(&target), target.len());
            tokenpin_affinity_seal_target(
                affinity, using, summary, 1, text, text_len, to, room, len,
            )
        });
        let mut place = Box::new([MaybeUninit::<u8>::uninit(); 100]);
        let mut needed = Box::new(0);
        let mut open = |room: usize| {
            let to = place.as_mut_ptr().cast();
            let (text, text_len) = (at(&location), location.len());
            let len = &raw mut *needed;
            tokenpin_affinity_open_target(affinity, using, summary, text, text_len, to, room, len)
        };
        is(open(location.len() - 1), Status::BufferTooSmall);
        ok(open(location.len()));
        assert_eq!(*needed, target.len());
        let key = get(|out| tokenpin_affinity_id_key(affinity, 5, out));
        assert_eq!(key.len, 2);
        refused(Status::BadEnum, |out| tokenpin_affinity_id_key(affinity, 255, out));
        steps_that_are_refused(affinity, using, summary);
    }
}

/// Tries steps with invalid, missing and overlapping memory.
unsafe fn steps_that_are_refused(
    affinity: *const tokenpin_affinity,
    using: *const tokenpin_id_use,
    summary: *mut tokenpin_id_summary,
) {
    unsafe {
        let mut zeroed = Box::new(MaybeUninit::<tokenpin_id_opener>::zeroed());
        let mut begun = begun_opener();
        let opener = begun.as_mut_ptr();
        let step = |using, summary: *mut tokenpin_id_summary, opener, chunk, out| {
            tokenpin_affinity_open_step(affinity, using, summary, opener, chunk, 1, out)
        };
        let chunk = lent(b"{");
        let bad = tokenpin_id_use { ids: 4, ..id_use() };
        refused(Status::BadEnum, |out| step(&raw const bad, summary, opener, at(&chunk), out));
        refused(Status::NotInitialised, |out| {
            step(using, summary, zeroed.as_mut_ptr(), at(&chunk), out)
        });
        refused(Status::NullPointer, |out| step(null(), summary, opener, at(&chunk), out));
        refused(Status::NullPointer, |out| step(using, null_mut(), opener, at(&chunk), out));
        refused(Status::NullPointer, |out| step(using, summary, null_mut(), at(&chunk), out));
        refused(Status::NullPointer, |out| step(using, summary, opener, null(), out));
        refused(Status::Misaligned, |out| step(using, off(summary), opener, at(&chunk), out));
        is(step(using, summary, opener, at(&chunk), null_mut()), Status::NullPointer);
        refused(Status::Overlap, |out| step(using, opener.cast(), opener, at(&chunk), out));
        refused(Status::Overlap, |out| step(using, summary, opener, summary.cast(), out));
        is(step(using, summary, opener, at(&chunk), opener.cast()), Status::Overlap);
        is(tokenpin_id_summary_init(null_mut()), Status::NullPointer);
        is(tokenpin_id_opener_init(off(opener)), Status::Misaligned);
        refused(Status::BadEnum, |out| tokenpin_id_sealer_init(out, 2));
    }
}

#[test]
fn one_id() {
    unsafe {
        let keys = cookie_keys();
        let mut ring =
            begun(|out| tokenpin_id_ring_init(out, keys.as_ptr(), keys.len(), null(), null_mut()));
        let ring = ring.as_mut_ptr();
        let (scope, owner) = (lent(b"openai"), lent(b"alice"));
        let id = lent(b"file-AbCdEfGhIjKlMnOpQrStUv");
        let seal = |id: &[u8], to, room, len| {
            let (scope, owner) = (at(&scope), at(&owner));
            tokenpin_id_seal(ring, scope, 6, owner, 5, 7, at(id), id.len(), to, room, len)
        };
        let sealed = buffer(|to, room, len| seal(&id, to, room, len));
        let mut needed = 0;
        let needed = &raw mut needed;
        is(seal(b"a b", null_mut(), 0, needed), Status::Id);
        is(seal(b"", null_mut(), 0, needed), Status::Id);
        let open = |text: &[u8], to, room, len, verdict, pin, key| {
            let (scope, owner, text_len) = (at(&scope), at(&owner), text.len());
            let text = at(text);
            tokenpin_id_open(
                ring, scope, 6, owner, 5, text, text_len, to, room, len, verdict, pin, key,
            )
        };
        let mut says =
            Box::new((MaybeUninit::uninit(), MaybeUninit::uninit(), MaybeUninit::uninit()));
        let (verdict, pin, key) = (says.0.as_mut_ptr(), says.1.as_mut_ptr(), says.2.as_mut_ptr());
        let native = buffer(|to, room, len| open(&sealed, to, room, len, verdict, pin, key));
        assert_eq!((native, verdict.read(), pin.read(), key.read()), (id.clone(), 2, 7, 1));
        ok(open(&id, null_mut(), 0, needed, verdict, pin, key));
        assert_eq!(verdict.read(), 1);
        is(open(&id, null_mut(), 0, needed, null_mut(), pin, key), Status::NullPointer);
        is(open(&id, null_mut(), 0, needed, verdict, off(pin), key), Status::Misaligned);
        is(open(&id, null_mut(), 0, needed, ring.cast(), pin, key), Status::Overlap);
        let content = lent(b"gAAAAABo");
        let mark: [u8; 26] = get(|out: *mut [u8; 26]| {
            let (scope, owner, content) = (at(&scope), at(&owner), at(&content));
            tokenpin_id_mark(ring, scope, 6, owner, 5, 7, content, 8, out.cast())
        });
        let marked = lent(&[&content[..], &mark].concat());
        let len = get(|out| {
            let (scope, owner, text) = (at(&scope), at(&owner), at(&marked));
            let len = marked.len();
            tokenpin_id_open_mark(ring, scope, 6, owner, 5, text, len, out, verdict, pin)
        });
        assert_eq!((len, verdict.read(), pin.read()), (8, 2, 7));
        refused(Status::Id, |out: *mut [u8; 26]| {
            tokenpin_id_mark(ring, null(), 0, null(), 0, 7, null(), 0, out.cast())
        });
        tokenpin_id_ring_wipe(ring);
        tokenpin_id_ring_wipe(null_mut());
        is(seal(&id, null_mut(), 0, needed), Status::NotInitialised);
        refused(Status::NotInitialised, |out| {
            tokenpin_id_open_mark(ring, null(), 0, null(), 0, null(), 0, out, verdict, pin)
        });
    }
}

/// Calls every function of a handle.
unsafe fn use_handle(affinity: *const tokenpin_affinity) {
    unsafe {
        assert_eq!(get(|out| tokenpin_affinity_capacity(affinity, out)), 3);
        let name = lent(b"account-b");
        assert_eq!(get(|out| tokenpin_affinity_find(affinity, at(&name), name.len(), out)), 1);
        assert_eq!(
            get(|out| tokenpin_affinity_find(affinity, at(&name), 3, out)),
            TOKENPIN_SLOT_NONE
        );
        refused(Status::IdentityEmpty, |out| tokenpin_affinity_find(affinity, null(), 0, out));
        refused(Status::NullPointer, |out| tokenpin_affinity_find(affinity, null(), 1, out));
        let hint = |len| {
            let of = lent(&vec![b'x'; len]);
            get(|out: *mut [u8; 16]| {
                tokenpin_affinity_id_hint(affinity, at(&of), of.len(), out.cast())
            })
        };
        assert_eq!(hint(7), hint(7));
        assert_ne!(hint(7), hint(8));
        assert_ne!(hint(MAX_KEY), [0; 16]);
        let long = lent(&[b'x'; MAX_KEY + 1]);
        for (of, len) in [(null(), 0), (at(&long), MAX_KEY + 1)] {
            refused(Status::KeyLength, |out: *mut [u8; 16]| {
                tokenpin_affinity_id_hint(affinity, of, len, out.cast())
            });
        }
        refused(Status::NullPointer, |out: *mut [u8; 16]| {
            tokenpin_affinity_id_hint(affinity, null(), 1, out.cast())
        });
        is(tokenpin_affinity_id_hint(affinity, at(&name), 1, null_mut()), Status::NullPointer);
        let before = get(|out| tokenpin_affinity_live_fingerprint(affinity, NOW, out));
        ok(tokenpin_affinity_set_slot(affinity, 1, &raw const UP));
        assert_ne!(get(|out| tokenpin_affinity_live_fingerprint(affinity, NOW, out)), before);
        ok(tokenpin_affinity_set_slot(affinity, 1, &raw const DOWN));
        is(tokenpin_affinity_set_slot(affinity, 2, &raw const UP), Status::Vacant);
        is(tokenpin_affinity_set_slot(affinity, 3, &raw const UP), Status::SlotRange);
        is(tokenpin_affinity_set_slot(affinity, u32::MAX, &raw const UP), Status::SlotRange);
        is(tokenpin_affinity_set_slot(affinity, 0, null()), Status::NullPointer);
        let mut identity = MaybeUninit::uninit();
        let status = get(|out| tokenpin_affinity_get_slot(affinity, 1, out, identity.as_mut_ptr()));
        assert_eq!((status.state, identity.assume_init()), (2, tokenpin::identity_hash(&name)));
        assert_eq!(get(|out| tokenpin_affinity_get_slot(affinity, 0, out, null_mut())).state, 0);
        refused(Status::SlotRange, |out| tokenpin_affinity_get_slot(affinity, 9, out, null_mut()));
        get::<u64>(|out| tokenpin_affinity_fingerprint(affinity, out));
        let name = buffer(|to, room, len| {
            tokenpin_affinity_cookie_name(affinity, null(), 0, to, room, len)
        });
        assert_eq!(name, NAME);
        let (mut existing, mut ids) = (9, 9);
        let group = get(|out| {
            let (method, target) = (at(b"GET"), at(b"/v1/responses/1"));
            let (existing, ids) = (&raw mut existing, &raw mut ids);
            tokenpin_affinity_classify(affinity, method, 3, target, 15, out, existing, ids)
        });
        assert_eq!((group, existing, ids), (1, 1, 3));
        ids_of_a_request(affinity);

        let request = Box::new(request());
        let decision =
            Box::new(get(|out| tokenpin_affinity_decide(affinity, &raw const *request, out)));
        assert_eq!((decision.slot, decision.cookie), (0, 1));
        let mut answer = Box::new(9_u8);
        let place = &raw mut *answer;
        let line = buffer(|to, room, len| {
            tokenpin_affinity_finish(affinity, &raw const *decision, 200, to, room, len, place)
        });
        assert_eq!(place.read(), 1);
        // Sent back with the cookie, among others, and to its own slot.
        let cookies = lent(&[b"a=1; ", line.split(|byte| *byte == b';').next().unwrap()].concat());
        let cookies: Box<[tokenpin_bytes]> = Box::new([span(b"b=2"), span(&cookies), EMPTY]);
        let mut back = request;
        (back.cookies, back.cookie_count) = (cookies.as_ptr(), cookies.len());
        let again = get(|out| tokenpin_affinity_decide(affinity, &raw const *back, out));
        assert_eq!((again.slot, again.outcome, again.verdict), (0, 1, 9));
        // Changes that a host may have made to a decision.
        let finish = |decision: &tokenpin_decision| {
            let (mut room, mut len, mut answer) = ([MaybeUninit::<u8>::uninit(); 2400], 0, 0);
            tokenpin_affinity_finish(
                affinity,
                decision,
                200,
                room.as_mut_ptr().cast(),
                2400,
                &raw mut len,
                &raw mut answer,
            )
        };
        ok(finish(&decision));
        is(finish(&tokenpin_decision { fingerprint: 1, ..*decision }), Status::Stale);
        is(finish(&tokenpin_decision { cookie: 2, ..*decision }), Status::BadDecision);
        is(finish(&tokenpin_decision { value: [b'\n'; 67], ..*decision }), Status::BadDecision);
        is(finish(&tokenpin_decision { max_age: u32::MAX, ..*decision }), Status::BadDecision);
    }
}

#[test]
fn requests_from_anywhere() {
    unsafe {
        let affinity = affinity();
        let many: Box<[tokenpin_bytes]> = Box::new([span(b"x"), EMPTY, span(&[0xff; 5000])]);
        let tried: Box<[u32]> = Box::new([0, 1, 2]);
        let id: Box<[u8]> = Box::new([3; 16]);
        let good = request();
        let decide = |request: &tokenpin_request| {
            let request = Box::new(*request);
            let mut out = Box::new(MaybeUninit::uninit());
            tokenpin_affinity_decide(affinity, &raw const *request, out.as_mut_ptr())
        };
        let (start, count) = (many.as_ptr(), many.len());
        ok(decide(&tokenpin_request {
            consumers: start,
            consumer_count: count,
            consumer_trusted: 1,
            ..good
        }));
        ok(decide(&tokenpin_request { sessions: start, session_count: count, ..good }));
        ok(decide(&tokenpin_request { cookies: start, cookie_count: count, ..good }));
        ok(decide(&tokenpin_request { tried: tried.as_ptr(), tried_count: 3, ..good }));
        ok(decide(&tokenpin_request { id_hint: id.as_ptr(), ..good }));
        ok(decide(&tokenpin_request { carrier_value: span(b"junk"), scope: span(b"s"), ..good }));
        is(decide(&tokenpin_request { entropy: [0; 16], ..good }), Status::Entropy);
        is(decide(&tokenpin_request { now: u64::MAX, ..good }), Status::Time);
        is(decide(&tokenpin_request { has_group: 2, ..good }), Status::BadEnum);
        is(decide(&tokenpin_request { has_group: 1, group: 3, ..good }), Status::BadEnum);
        is(decide(&tokenpin_request { carrier: 255, ..good }), Status::BadEnum);
        let nowhere = tokenpin_bytes { ptr: null(), len: 1 };
        let holes: Box<[tokenpin_bytes]> = Box::new([span(b"x"), nowhere]);
        let (start, count) = (holes.as_ptr(), holes.len());
        for bad in [
            tokenpin_request { method: nowhere, ..good },
            tokenpin_request { target: nowhere, ..good },
            tokenpin_request { carrier_value: nowhere, ..good },
            tokenpin_request { scope: nowhere, ..good },
            tokenpin_request { consumer_count: 1, ..good },
            tokenpin_request { session_count: 1, ..good },
            tokenpin_request { cookie_count: 1, ..good },
            tokenpin_request { tried_count: 1, ..good },
            tokenpin_request { consumers: start, consumer_count: count, ..good },
            tokenpin_request { sessions: start, session_count: count, ..good },
            tokenpin_request { cookies: start, cookie_count: count, ..good },
        ] {
            is(decide(&bad), Status::NullPointer);
        }
        is(
            decide(&tokenpin_request { cookies: start, cookie_count: usize::MAX, ..good }),
            Status::Length,
        );
        is(
            decide(&tokenpin_request { cookies: off(start), cookie_count: 1, ..good }),
            Status::Misaligned,
        );
        is(
            decide(&tokenpin_request { tried: off(tried.as_ptr()), tried_count: 1, ..good }),
            Status::Misaligned,
        );
        tokenpin_affinity_free(affinity);
    }
}

#[test]
fn a_handle_of_malloc() {
    unsafe {
        let affinity = affinity();
        use_handle(affinity);
        tokenpin_affinity_free(affinity);
        tokenpin_affinity_free(null_mut());
        let world = world();
        is(
            tokenpin_affinity_new(&raw const *world.config, null_mut(), null_mut()),
            Status::NullPointer,
        );
        let mut error = Box::new(MaybeUninit::<tokenpin_config_error>::uninit());
        refused(Status::NullPointer, |out| tokenpin_affinity_new(null(), out, error.as_mut_ptr()));
        is(error.assume_init().status, Status::NullPointer);
    }
}

#[test]
fn a_handle_in_memory_of_the_callers() {
    unsafe {
        let world = world();
        let config = &raw const *world.config;
        let size = get(|out| tokenpin_affinity_size(config, out, null_mut()));
        refused(Status::NullPointer, |out| tokenpin_affinity_size(null(), out, null_mut()));
        is(tokenpin_affinity_size(config, null_mut(), null_mut()), Status::NullPointer);
        let layout = Layout::from_size_align(size, TOKENPIN_AFFINITY_ALIGN).unwrap();
        let memory = alloc(layout);
        let init = |memory: *mut u8, size, out| {
            tokenpin_affinity_init(memory.cast(), size, config, out, null_mut())
        };
        refused(Status::BufferTooSmall, |out| init(memory, size - 1, out));
        refused(Status::NullPointer, |out| init(null_mut(), size, out));
        refused(Status::Misaligned, |out| init(memory.wrapping_add(8), size, out));
        is(init(memory, size, null_mut()), Status::NullPointer);
        is(init(memory, size, memory.cast()), Status::Overlap);
        // Twice in the same memory.
        for _ in 0..2 {
            let affinity = get(|out| init(memory, size, out));
            use_handle(affinity);
            // Outputs within the handle's memory.
            let within = memory.add(16);
            is(tokenpin_affinity_capacity(affinity, within.cast()), Status::Overlap);
            is(tokenpin_affinity_decide(affinity, &request(), within.cast()), Status::Overlap);
            tokenpin_affinity_wipe(affinity);
            tokenpin_affinity_wipe(affinity);
            assert!(std::slice::from_raw_parts(memory, size).iter().all(|byte| *byte == 0));
            wiped(affinity);
        }
        tokenpin_affinity_wipe(null_mut());
        dealloc(memory, layout);
    }
}

/// Calls the functions of a handle that is wiped, or null, or misaligned.
unsafe fn wiped(wiped: *mut tokenpin_affinity) {
    unsafe {
        let request = request();
        let decision: tokenpin_decision = MaybeUninit::zeroed().assume_init();
        for (affinity, status) in [
            (wiped.cast_const(), Status::NotInitialised),
            (null(), Status::NullPointer),
            (off(wiped).cast_const(), Status::Misaligned),
        ] {
            refused(status, |out| tokenpin_affinity_capacity(affinity, out));
            refused(status, |out| tokenpin_affinity_find(affinity, at(b"a"), 1, out));
            refused(status, |out: *mut [u8; 16]| {
                tokenpin_affinity_id_hint(affinity, at(b"a"), 1, out.cast())
            });
            is(tokenpin_affinity_set_slot(affinity, 0, &raw const UP), status);
            refused(status, |out| tokenpin_affinity_get_slot(affinity, 0, out, null_mut()));
            refused(status, |out| tokenpin_affinity_fingerprint(affinity, out));
            refused(status, |out| tokenpin_affinity_live_fingerprint(affinity, NOW, out));
            refused(status, |out| tokenpin_affinity_decide(affinity, &raw const request, out));
            let (mut len, mut answer) = (0, 0);
            let len = &raw mut len;
            is(tokenpin_affinity_cookie_name(affinity, null(), 0, null_mut(), 0, len), status);
            is(
                tokenpin_affinity_finish(
                    affinity,
                    &raw const decision,
                    200,
                    null_mut(),
                    0,
                    len,
                    &raw mut answer,
                ),
                status,
            );
            refused(status, |out| {
                let answer = &raw mut answer;
                tokenpin_affinity_classify(affinity, null(), 0, null(), 0, out, answer, answer)
            });
            refused(status, |out| tokenpin_affinity_id_owner(affinity, &raw const request, out));
            refused(status, |out| tokenpin_affinity_id_key(affinity, 0, out));
            let (using, mut summary, mut opener) = (id_use(), begun_summary(), begun_opener());
            let (using, summary, opener) =
                (&raw const using, summary.as_mut_ptr(), opener.as_mut_ptr());
            is(
                tokenpin_affinity_open_target(
                    affinity,
                    using,
                    summary,
                    null(),
                    0,
                    null_mut(),
                    0,
                    len,
                ),
                status,
            );
            refused(status, |out| {
                tokenpin_affinity_open_step(affinity, using, summary, opener, null(), 0, out)
            });
            refused(status, |out| {
                tokenpin_affinity_open_end(affinity, using, summary, opener, out)
            });
            refused(status, |out| {
                tokenpin_affinity_open_in_place(affinity, using, summary, null_mut(), 0, len, out)
            });
            let mut sealer = begun_sealer();
            let sealer = sealer.as_mut_ptr();
            refused(status, |out| {
                tokenpin_affinity_seal_step(affinity, using, null(), 0, sealer, null(), 0, out)
            });
            refused(status, |out| {
                tokenpin_affinity_seal_end(affinity, using, null(), 0, sealer, out)
            });
            is(
                tokenpin_affinity_seal_target(
                    affinity,
                    using,
                    null(),
                    0,
                    null(),
                    0,
                    null_mut(),
                    0,
                    len,
                ),
                status,
            );
        }
    }
}

#[test]
fn configurations_from_anywhere() {
    unsafe {
        let world = world();
        let good = *world.config;
        let build = |config: &tokenpin_config| {
            let config = Box::new(*config);
            let mut out = MaybeUninit::uninit();
            let status = tokenpin_affinity_new(&raw const *config, out.as_mut_ptr(), null_mut());
            if status == 0 {
                tokenpin_affinity_free(out.assume_init());
            }
            status
        };
        ok(build(&good));
        for size in [0, 8, size_of::<tokenpin_config>() - 1, 4097, usize::MAX] {
            is(build(&tokenpin_config { size, ..good }), Status::StructSize);
            refused(Status::StructSize, |out| tokenpin_config_init(out, size));
        }
        is(tokenpin_config_init(null_mut(), size_of::<tokenpin_config>()), Status::NullPointer);
        // A newer header's configuration: longer, and zero in the fields that this library does not
        // know.
        let longer = Layout::from_size_align(size_of::<tokenpin_config>() + 24, 8).unwrap();
        let memory = alloc(longer);
        ok(tokenpin_config_init(memory.cast(), longer.size()));
        memory
            .cast::<c_void>()
            .cast::<tokenpin_config>()
            .write(tokenpin_config { size: longer.size(), ..good });
        let made = get(|out| tokenpin_affinity_new(memory.cast(), out, null_mut()));
        tokenpin_affinity_free(made);
        memory.add(longer.size() - 1).write(1);
        refused(Status::StructSize, |out| tokenpin_affinity_new(memory.cast(), out, null_mut()));
        dealloc(memory, longer);

        let nowhere = tokenpin_bytes { ptr: null(), len: 1 };
        for bad in [
            tokenpin_config { cookie_keys: null(), ..good },
            tokenpin_config { slots: null(), ..good },
            tokenpin_config { rules: null(), ..good },
            tokenpin_config { scope: nowhere, ..good },
            tokenpin_config { cookie_name: nowhere, ..good },
            tokenpin_config { id_keys: null(), ..good },
            tokenpin_config { id_fields: null(), ..good },
            tokenpin_config { id_prefixes: null(), ..good },
            tokenpin_config { id_collections: null(), ..good },
        ] {
            is(build(&bad), Status::NullPointer);
        }
        is(build(&tokenpin_config { slot_count: usize::MAX, ..good }), Status::Length);
        is(build(&tokenpin_config { slot_count: 0, ..good }), Status::SlotCount);
        is(build(&tokenpin_config { slots: off(good.slots), ..good }), Status::Misaligned);
        is(build(&tokenpin_config { id_fields: off(good.id_fields), ..good }), Status::Misaligned);
        is(build(&tokenpin_config { id_prefix_count: usize::MAX, ..good }), Status::Length);
        // The second word is empty.
        is(build(&tokenpin_config { id_prefix_count: 2, ..good }), Status::IdField);
        is(build(&tokenpin_config { id_collection_count: 2, ..good }), Status::IdField);
        is(build(&tokenpin_config { id_mode: 4, ..good }), Status::BadEnum);
        is(build(&tokenpin_config { strategy: 3, ..good }), Status::BadEnum);
        is(build(&tokenpin_config { mint_single: 2, ..good }), Status::BadEnum);
        is(build(&tokenpin_config { placement_key: [0; 16], ..good }), Status::ZeroSecret);
        is(build(&tokenpin_config { placement_key: [1; 16], ..good }), Status::DuplicateSecret);
        ok(build(&tokenpin_config { rules: null(), rule_count: 0, ..good }));
        let twice: [tokenpin_slot_config; 2] = [*good.slots; 2];
        let slots = twice.as_ptr();
        is(build(&tokenpin_config { slots, slot_count: 2, ..good }), Status::DuplicateIdentity);
    }
}

/// A text of the configuration that is in the block, at any part of it.
#[test]
fn texts_within_the_block() {
    unsafe {
        let world = world();
        let good = *world.config;
        let size = get(|out| tokenpin_affinity_size(&raw const *world.config, out, null_mut()));
        let room = size + 1;
        let layout = Layout::from_size_align(room, 16).unwrap();
        for at in (0..room).step_by(40) {
            let memory = alloc_zeroed(layout);
            let text = tokenpin_bytes { ptr: memory.add(at).cast(), len: 1 };
            for bad in [
                tokenpin_config { scope: text, ..good },
                tokenpin_config { cookie_name: text, ..good },
                tokenpin_config {
                    attributes: tokenpin_attributes { path: text, ..good.attributes },
                    ..good
                },
                tokenpin_config {
                    attributes: tokenpin_attributes { domain: text, ..good.attributes },
                    ..good
                },
            ] {
                refused(Status::Overlap, |out| {
                    tokenpin_affinity_init(memory.cast(), room, &raw const bad, out, null_mut())
                });
            }
            dealloc(memory, layout);
        }
    }
}

#[test]
#[cfg(not(target_family = "wasm"))]
fn a_handle_shared_between_threads() {
    struct Shared(*mut tokenpin_affinity);
    // SAFETY: the header says that any number of threads may use it.
    unsafe impl Sync for Shared {}
    let shared = &Shared(affinity());
    let turns = cases(2000, 20);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for turn in 0..turns {
                let status = if turn % 2 == 0 { &UP } else { &DOWN };
                ok(unsafe { tokenpin_affinity_set_slot(shared.0, 1, status) });
            }
        });
        scope.spawn(move || {
            for _ in 0..turns {
                let decision =
                    get(|out| unsafe { tokenpin_affinity_decide(shared.0, &request(), out) });
                assert!(decision.slot < 2);
            }
        });
    });
    unsafe { tokenpin_affinity_free(shared.0) };
}
