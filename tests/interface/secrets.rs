//! Secrets neither show in `Debug` nor stay in memory.

use std::hash::Hasher as _;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr;

use siphasher::sip128::{Hasher128 as _, SipHasher24};
use tokenpin::cookie::Codec;
use tokenpin::{
    Affinity, Audience, Config, Cookie, CookieKey, CookieName, IdRing, IdSealer, Key, KeyRing,
    Kind, Limits, Request, Role, Secret, Slot, SlotStatus, cookie,
};

const SECRET: [u8; 16] = *b"correct horse ba";
const PLACEMENT: [u8; 16] = *b"ttery staple, so";

fn keys() -> [CookieKey; 1] {
    [CookieKey { id: 7, role: Role::Sign, secret: Secret::new(SECRET) }]
}

fn derived(label: &[u8]) -> [u8; 16] {
    let mut hasher = SipHasher24::new_with_key(&SECRET);
    hasher.write(label);
    hasher.finish128().as_bytes()
}

/// Returns the bytes of a value's memory, including those that are never written.
fn bytes_of<T>(place: &MaybeUninit<T>) -> Vec<u8> {
    let start = place.as_ptr().cast::<u8>();
    // SAFETY: within the place, which the callers zeroed before they wrote the value, so that
    // its padding is only as uninitialised as a volatile read may find it.
    (0..size_of::<T>()).map(|i| unsafe { ptr::read_volatile(start.add(i)) }).collect()
}

/// Zeroes the stack below the caller's frame. Otherwise values of earlier calls would show up in
/// parts that a later value does not fill.
#[inline(never)]
fn clean_stack() {
    black_box([0_u8; 1 << 14]);
}

/// Returns the bytes of a value's memory while it lives, and after it was dropped. For a frame on a
/// clean stack.
#[inline(never)]
fn before_and_after<T>(make: impl FnOnce() -> T) -> (Vec<u8>, Vec<u8>) {
    let mut place = Box::new(MaybeUninit::<T>::zeroed());
    place.write(make());
    let before = bytes_of(&place);
    // SAFETY: written above, and not used again.
    unsafe { ptr::drop_in_place(place.as_mut_ptr()) };
    let after = bytes_of(&place);
    (before, after)
}

/// Returns whether a copy of the secret was wiped. Other copies may remain in memory from which the
/// value was moved: Rust cannot wipe those. The C ABI wipes its whole block.
fn wiped(before: &[u8], after: &[u8], secret: &[u8]) -> bool {
    let len = secret.len();
    before.windows(len).zip(after.windows(len)).any(|(was, is)| was == secret && is != secret)
}

fn holds(memory: &[u8], secret: &[u8]) -> bool {
    memory.windows(secret.len()).any(|window| window == secret)
}

#[test]
fn a_dropped_secret_is_wiped() {
    let (before, after) = before_and_after(|| Secret::new(SECRET));
    assert!(holds(&before, &SECRET), "the test looks in the right place");
    assert_eq!(after, [0; 16]);
}

#[test]
fn a_dropped_key_ring_is_wiped() {
    let keys = keys();
    clean_stack();
    let (before, after) = before_and_after(|| KeyRing::new(&keys, None).unwrap());
    for label in [b"tokenpin.v1.mac", b"tokenpin.v1.pin", b"tokenpin.v1.key"] {
        let key = derived(label);
        assert!(wiped(&before, &after, &key));
    }
    assert!(!holds(&before, &SECRET), "only derived keys are kept");
}

/// Returns the words of the state of a MAC that has read `name` and an empty scope: as good as its
/// key.
fn mac_state(name: &[u8]) -> Vec<Vec<u8>> {
    let mut mac = SipHasher24::new_with_key(&derived(b"tokenpin.v1.mac"));
    mac.write(&[u8::try_from(name.len()).unwrap()]);
    mac.write(name);
    mac.write(&[0; 4]);
    let mut place = Box::new(MaybeUninit::<SipHasher24>::zeroed());
    place.write(mac);
    let state = bytes_of(&place);
    // The library does not keep the key itself, unlike that hasher.
    let key = derived(b"tokenpin.v1.mac");
    let words = state.chunks(8).filter(|word| !word.contains(&0) && !holds(&key, word));
    let words: Vec<_> = words.map(<[u8]>::to_vec).collect();
    assert!(words.len() >= 4, "the words of the state");
    words
}

#[test]
fn a_dropped_id_ring_is_wiped() {
    let keys = keys();
    clean_stack();
    let (before, after) = before_and_after(|| IdRing::new(&keys, None).unwrap());
    for label in [b"tokenpin.v1.sid", b"tokenpin.v1.sim"] {
        assert!(wiped(&before, &after, &derived(label)));
    }
    assert!(!holds(&before, &SECRET), "only derived keys are kept");
}

#[test]
fn a_dropped_codec_is_wiped() {
    let ring = KeyRing::new(&keys(), None).unwrap();
    let codec = Codec::new(&ring, &Audience { name: b"n", scope: b"" }).unwrap();
    let (before, after) = before_and_after(|| codec);
    for word in mac_state(b"n") {
        assert!(wiped(&before, &after, &word));
    }
}

#[test]
fn a_dropped_affinity_is_wiped() {
    let keys = keys();
    let config = Config::new(Secret::new(PLACEMENT), &keys);
    let slots = [Slot::new(b"a", SlotStatus::UP).unwrap()];
    let mut index = [0; Affinity::index_len(1)];
    let affinity = Affinity::new(&config, &slots, &mut index).unwrap();
    let (before, after) = before_and_after(|| affinity);
    assert!(wiped(&before, &after, &PLACEMENT));
    for word in mac_state(CookieName::for_scope(b"").as_bytes()) {
        assert!(wiped(&before, &after, &word));
    }
}

#[test]
fn nothing_that_is_debugged_shows_a_secret() {
    let keys = keys();
    let ring = KeyRing::new(&keys, None).unwrap();
    let config = Config::new(Secret::new(PLACEMENT), &keys);
    let slots =
        [Slot::new(b"a", SlotStatus::UP).unwrap(), Slot::new(b"b", SlotStatus::UP).unwrap()];
    let mut index = [0; Affinity::index_len(2)];
    let affinity = Affinity::new(&config, &slots, &mut index).unwrap();
    let id = *b"an anonymous id.";
    let cookie =
        Cookie { kind: Kind::Anonymous, issued_at: 5, refreshed_at: 6, id, pin: 0x1234_5678 };
    let request =
        Request { method: b"POST", target: b"/files", entropy: id, now: 9, ..Request::default() };
    let decision = affinity.decide(&request, []).unwrap();
    let pending = decision.cookie.unwrap();

    assert_eq!(format!("{:?}", Secret::new(SECRET)), "Secret(..)");
    assert_eq!(format!("{ring:?}"), "[(7, Sign)]");
    let codec = Codec::new(&ring, &Audience { name: b"n", scope: b"" }).unwrap();
    assert_eq!(format!("{codec:?}"), "Codec { ring: [(7, Sign)], .. }");
    let ids = IdRing::new(&keys, None).unwrap();
    assert_eq!(format!("{ids:?}"), "[(7, Sign)]");
    let opened = IdSealer::new(&ids, b"", b"").unwrap();
    let opened = opened.open(opened.seal(b"resp_1", 5).unwrap().as_bytes()).1;
    assert_eq!(format!("{:?}", opened.unwrap()), "OpenedId(resp_1, ..)");
    assert_eq!(format!("{:?}", Key::Consumer(b"alice")), "Key(consumer, ..)");
    assert_eq!(
        format!("{cookie:?}"),
        "Cookie { kind: Anonymous, issued_at: 5, refreshed_at: 6, .. }"
    );
    assert_eq!(format!("{pending:?}"), "Pending { max_age: 2592000, carrier: false, .. }");
    let text = format!("{affinity:?} {decision:?}");
    assert!(
        text.starts_with("Affinity { config: Config { strategy: Jump, placement_key: Secret(..)")
    );
    assert!(text.contains("ring: [(7, Sign)], slots: 2, .. }"));
    assert!(text.contains("cookie_keys: []"), "only the ring keeps what is made of them");
    let (value, key) = (pending.value, derived(b"tokenpin.v1.mac"));
    for secret in [&SECRET[..], &PLACEMENT, &id, &key, &value] {
        assert!(!text.contains(&format!("{secret:?}")));
        assert!(!text.contains(&*String::from_utf8_lossy(secret)));
    }
    // The cookie is a real one.
    let limits = Limits { skew: 0, max_life: 0, max_idle: 0, refresh_interval: 0 };
    let audience = Audience { name: b"__Host-tokenpin", scope: b"" };
    let read = cookie::decode(&ring, &audience, None, &limits, 9, &value).unwrap();
    assert_eq!(read.1.map(|cookie| cookie.id), Some(id));
}
