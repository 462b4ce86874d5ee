//! Callers that break the contract of the C ABI, each in one way, so that the defect happens in the
//! library's own code. Ignored by default: `make miri` and `make threads` run each, and require a
//! report.
#![deny(clippy::pedantic)]

use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};
use std::thread;

use tokenpin::capi::*;

fn ring() -> Box<MaybeUninit<tokenpin_key_ring>> {
    let key = tokenpin_cookie_key { id: 1, role: 0, secret: [1; 16] };
    let mut ring = Box::new(MaybeUninit::uninit());
    let place = ring.as_mut_ptr();
    // SAFETY: as the header says.
    let status = unsafe { tokenpin_key_ring_init(place, &raw const key, 1, null(), null_mut()) };
    assert_eq!(status, 0);
    ring
}

#[test]
#[ignore = "a planted defect"]
fn write_out_of_bounds() {
    let ring = ring();
    let stamp = 1_800_000_000;
    let cookie =
        tokenpin_cookie { pin: 1, issued_at: stamp, refreshed_at: stamp, id: [1; 16], kind: 0 };
    // One byte too short.
    let mut value = vec![0_u8; TOKENPIN_COOKIE_VALUE_LEN - 1].into_boxed_slice();
    let (name, to) = (b"a".as_ptr().cast(), value.as_mut_ptr().cast());
    unsafe {
        tokenpin_cookie_encode(ring.as_ptr(), name, 1, null(), 0, null(), &raw const cookie, to);
    }
}

#[test]
#[ignore = "a planted defect"]
fn use_after_free() {
    let mut slot = Box::new(MaybeUninit::uninit());
    let place = slot.as_mut_ptr();
    let status = tokenpin_slot_status { until: 0, weight: 1, state: 0 };
    unsafe { tokenpin_slot_init(place, b"a".as_ptr().cast(), 1, &raw const status) };
    drop(slot);
    let mut read = MaybeUninit::uninit();
    unsafe { tokenpin_slot_get(place, read.as_mut_ptr()) };
}

#[test]
#[ignore = "a planted defect"]
fn uninitialised_read() {
    let name = Box::new(MaybeUninit::<[u8; 64]>::uninit());
    let mut hash = 0;
    unsafe { tokenpin_identity_hash(name.as_ptr().cast(), 64, &raw mut hash) };
    assert_ne!(hash, 0);
}

#[test]
#[ignore = "a planted defect"]
fn data_race() {
    struct Shared(*mut tokenpin_key_ring);
    unsafe impl Sync for Shared {}
    let mut ring = ring();
    let shared = &Shared(ring.as_mut_ptr());
    let wipe = move || {
        for _ in 0..100 {
            unsafe { tokenpin_key_ring_wipe(shared.0) };
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        scope.spawn(wipe);
        scope.spawn(wipe);
    });
}
