//! The value of a cookie: read and made, against a slow model of docs/spec/cookie-format.md.
#![no_main]

use std::hash::Hasher as _;

use libfuzzer_sys::fuzz_target;
use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128 as _, SipHasher24 as WideHasher};
use tokenpin::cookie::{decode, encode};
use tokenpin::{Audience, Cookie, Error, Key, KeyRing, Kind, Limits, MAX_KEY, MAX_SCOPE};
use tokenpin::{MAX_COOKIE_NAME, Role, VALUE_LEN, Verdict};
use tokenpin_fuzz::{Input, NOW, cookie_key, secret};

fuzz_target!(|data: &[u8]| run(&mut Input::new(data)));

fn run(input: &mut Input<'_>) {
    let mut ring: Vec<(u8, Role)> = vec![(input.byte(), Role::Sign)];
    for _ in 0..input.below(8) {
        let key = (input.byte(), input.pick(&[Role::Accept, Role::Retire]));
        if ring.iter().all(|(id, _)| *id != key.0) {
            ring.push(key);
        }
    }
    let signer = ring[0].0;
    let shift = input.below(ring.len());
    ring.rotate_left(shift);
    let keys: Vec<_> = ring.iter().map(|(id, role)| cookie_key(*id, *role)).collect();
    let library = KeyRing::new(&keys, None).unwrap();

    let mut audience = (name(input), input.limited(MAX_SCOPE));
    let mut parts = (input.limited(MAX_KEY), input.limited(MAX_KEY));
    let cookie = Cookie {
        kind: input.pick(Kind::ALL),
        issued_at: input.near(NOW),
        refreshed_at: input.near(NOW),
        id: input.array(),
        pin: input.u64(),
    };
    let key = key(cookie.kind, &parts, &cookie.id);
    let made = encode(&library, &borrow(&audience), &key, &cookie);
    let bad = bad_audience(&audience).or(bad_key(&key));
    assert_eq!(made.map(|_| ()).err(), bad);
    // A cookie of any first byte and any key, with the right tag, or arbitrary bytes of the fuzzer.
    let mut value = if input.one_in(4) {
        input.limited(VALUE_LEN)
    } else {
        let first = if input.one_in(4) { input.byte() } else { 1 << 4 | cookie.kind as u8 };
        let id = if input.one_in(4) { input.byte() } else { signer };
        let value = sign(first, id, &audience, &key, &cookie);
        if let (Ok(made), true) = (made, first == 1 << 4 | cookie.kind as u8 && id == signer) {
            assert_eq!(made[..], value);
        }
        value
    };
    let untouched = value.clone();
    for _ in 0..input.below(4) {
        edit(input, &mut value);
    }

    // Usually read for the same audience and key.
    if input.one_in(6) {
        audience.0 = name(input);
    }
    if input.one_in(6) {
        audience.1 = input.limited(MAX_SCOPE);
    }
    if input.one_in(6) {
        parts = (input.limited(MAX_KEY), input.limited(MAX_KEY));
    }
    let wanted = if input.one_in(4) { input.pick(Kind::ALL) } else { cookie.kind };
    let key = Some(self::key(wanted, &parts, &cookie.id)).filter(|_| !input.one_in(6));
    let limits = Limits {
        skew: input.pick(&[0, 1, 300, u32::MAX]),
        max_life: input.pick(&[0, 1, 255, 86_400, 2_592_000, u32::MAX]),
        max_idle: input.pick(&[0, 1, 255, 3_600, u32::MAX]),
        refresh_interval: input.pick(&[0, 1, 5, 255, 3_600, u32::MAX]),
    };
    let now = match input.below(8) {
        0 => input.u64(),
        1 => u64::MAX - u64::from(input.byte()),
        2 => u64::from(input.near(NOW)),
        _ => u64::from(NOW),
    };
    let got = decode(&library, &borrow(&audience), key.as_ref(), &limits, now, &value);
    if let Some(error) = bad_audience(&audience).or(key.as_ref().and_then(bad_key)) {
        assert_eq!(got, Err(error));
        return;
    }
    let got = got.unwrap();
    assert_eq!(got, read(&ring, &audience, key.as_ref(), &limits, now, &value));
    if let (_, Some(says)) = got {
        // A good value has only one spelling, and was signed.
        let bytes = unpack(&value).unwrap();
        let bound = key.unwrap_or(Key::Anonymous(&says.id));
        assert_eq!(sign(bytes[0], bytes[1], &audience, &bound, &says), value);
        assert_eq!(untouched, value, "a changed value has a good tag");
    }
}

fn name(input: &mut Input<'_>) -> Vec<u8> {
    let names = [&b"pin"[..], b"__Host-tokenpin", b"__Host-tokenpin-0123abcd"];
    if input.one_in(4) { input.limited(MAX_COOKIE_NAME) } else { input.pick(&names).to_vec() }
}

fn key<'a>(kind: Kind, (first, second): &'a (Vec<u8>, Vec<u8>), id: &'a [u8; 16]) -> Key<'a> {
    match kind {
        Kind::Anonymous => Key::Anonymous(id),
        Kind::Consumer => Key::Consumer(first),
        Kind::Session => Key::Session(first),
        Kind::Combined => Key::Combined { consumer: first, session: second },
    }
}

fn borrow((name, scope): &(Vec<u8>, Vec<u8>)) -> Audience<'_> {
    Audience { name, scope }
}

fn bad_audience((name, scope): &(Vec<u8>, Vec<u8>)) -> Option<Error> {
    let token = |byte: &u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte);
    if !(1..=MAX_COOKIE_NAME).contains(&name.len()) || !name.iter().all(token) {
        return Some(Error::CookieName);
    }
    (scope.len() > MAX_SCOPE).then_some(Error::ScopeLength)
}

fn bad_key(key: &Key<'_>) -> Option<Error> {
    let bad = |bytes: &[u8]| !(1..=MAX_KEY).contains(&bytes.len());
    let bad = match *key {
        Key::Anonymous(_) => false,
        Key::Consumer(bytes) | Key::Session(bytes) => bad(bytes),
        Key::Combined { consumer, session } => bad(consumer) || bad(session),
    };
    bad.then_some(Error::KeyLength)
}

/// Damages a value: one character, one bit, a cut, an end, or two places exchanged.
fn edit(input: &mut Input<'_>, value: &mut Vec<u8>) {
    let at = input.below(value.len().max(1));
    match input.below(6) {
        0 => value.truncate(at),
        1 => value.extend(input.bytes()),
        2 => value.insert(at, input.byte()),
        _ if value.is_empty() => {}
        3 => value[at] = input.byte(),
        4 => value[at] ^= 1 << input.below(8),
        _ => value[..].rotate_left(at),
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Bit by bit.
fn pack(bytes: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1)).collect();
    let six = |bits: &[u8]| (0..6).fold(0, |n, i| n << 1 | bits.get(i).copied().unwrap_or(0));
    bits.chunks(6).map(|bits| ALPHABET[usize::from(six(bits))]).collect()
}

fn unpack(value: &[u8]) -> Option<[u8; 50]> {
    let mut bits: Vec<u8> = Vec::new();
    for byte in value {
        let number = (0..).zip(ALPHABET).find(|(_, character)| *character == byte)?.0;
        bits.extend((0..6).rev().map(|i| number >> i & 1));
    }
    if value.len() != VALUE_LEN || bits[400..] != [0, 0] {
        return None;
    }
    let byte = |i: usize| bits[8 * i..8 * i + 8].iter().fold(0, |n, &bit| n << 1 | bit);
    Some(core::array::from_fn(byte))
}

fn wide(key: &[u8; 16], message: &[u8]) -> [u8; 16] {
    let mut hasher = WideHasher::new_with_key(key);
    hasher.write(message);
    hasher.finish128().as_bytes()
}

/// The key bytes of docs/spec/selection.md.
fn key_bytes(key: &Key<'_>) -> Vec<u8> {
    match *key {
        Key::Anonymous(id) => id.to_vec(),
        Key::Consumer(bytes) | Key::Session(bytes) => bytes.to_vec(),
        Key::Combined { consumer, session } => {
            let len = u32::try_from(consumer.len()).unwrap().to_le_bytes();
            [&len[..], consumer, session].concat()
        }
    }
}

/// The tag over a head, and the mask that it gives.
fn tag(
    key_id: u8,
    (name, scope): &(Vec<u8>, Vec<u8>),
    head: &[u8],
    pin: u64,
    key: &Key<'_>,
) -> [u8; 16] {
    let secret = secret(key_id);
    let kind = head[0] & 15;
    let bind = match kind {
        0 => Vec::new(),
        _ => wide(&wide(&secret, b"tokenpin.v1.key"), &[&[kind], &key_bytes(key)[..]].concat())
            .to_vec(),
    };
    let name_len = [u8::try_from(name.len()).unwrap_or(0)];
    let scope_len = u32::try_from(scope.len()).unwrap().to_le_bytes();
    let pin = pin.to_le_bytes();
    let message = [&name_len[..], name, &scope_len, scope, head, &pin, &bind].concat();
    wide(&wide(&secret, b"tokenpin.v1.mac"), &message)
}

fn mask(key_id: u8, tag: &[u8; 16]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(&wide(&secret(key_id), b"tokenpin.v1.pin"));
    hasher.write(tag);
    hasher.finish()
}

/// A value with any first byte, signed by the key with this id.
fn sign(
    first: u8,
    key_id: u8,
    audience: &(Vec<u8>, Vec<u8>),
    key: &Key<'_>,
    it: &Cookie,
) -> Vec<u8> {
    let mut bytes = vec![first, key_id];
    bytes.extend(it.issued_at.to_be_bytes());
    bytes.extend(it.refreshed_at.to_be_bytes());
    bytes.extend(it.id);
    let tag = tag(key_id, audience, &bytes, it.pin, key);
    bytes.extend((it.pin ^ mask(key_id, &tag)).to_le_bytes());
    bytes.extend(tag);
    pack(&bytes)
}

/// The table of verdicts, from top to bottom.
fn read(
    ring: &[(u8, Role)],
    audience: &(Vec<u8>, Vec<u8>),
    key: Option<&Key<'_>>,
    limits: &Limits,
    now: u64,
    value: &[u8],
) -> (Verdict, Option<Cookie>) {
    let Some(bytes) = unpack(value) else { return (Verdict::Malformed, None) };
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let (version, kind) = (bytes[0] >> 4, bytes[0] & 15);
    if kind > 3 {
        return (Verdict::Malformed, None);
    }
    if version != 1 {
        return (Verdict::UnknownVersion, None);
    }
    let Some((key_id, role)) = ring.iter().find(|(id, _)| *id == bytes[1]) else {
        return (Verdict::UnknownKey, None);
    };
    let key = key.filter(|key| key.kind() != Kind::Anonymous);
    if kind != 0 && key.is_none() {
        return (Verdict::BadTag, None);
    }
    let carrier_value: [u8; 16] = bytes[34..].try_into().unwrap();
    let pin = u64::from_le_bytes(bytes[26..34].try_into().unwrap()) ^ mask(*key_id, &carrier_value);
    let bound = key.copied().unwrap_or(Key::Consumer(b""));
    if tag(*key_id, audience, &bytes[..26], pin, &bound) != carrier_value {
        return (Verdict::BadTag, None);
    }
    let (issued_at, refreshed_at) = (number(2), number(6));
    let cookie = Cookie {
        kind: Kind::ALL[usize::from(kind)],
        issued_at,
        refreshed_at,
        id: bytes[10..26].try_into().unwrap(),
        pin,
    };
    let ago = |then: u32| i128::from(now) - i128::from(then);
    let over = |then: u32, limit: u32| limit != 0 && ago(then) > i128::from(limit);
    let ahead = |then: u32| ago(then) < -i128::from(limits.skew);
    let idle = ago(refreshed_at).max(0);
    let due = limits.refresh_interval != 0 && idle * 5 >= i128::from(limits.refresh_interval);
    let verdict = if cookie.kind != key.map_or(Kind::Anonymous, Key::kind) {
        Verdict::OtherKey
    } else if ahead(issued_at) || ahead(refreshed_at) {
        Verdict::NotYetValid
    } else if over(issued_at, limits.max_life) {
        Verdict::ExpiredLife
    } else if over(refreshed_at, limits.max_idle) {
        Verdict::ExpiredIdle
    } else if due || *role == Role::Retire {
        Verdict::RefreshDue
    } else {
        Verdict::Valid
    };
    (verdict, Some(cookie))
}
