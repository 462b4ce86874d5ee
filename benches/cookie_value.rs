//! Making and checking the value of a cookie, compared with a signed jar of the crate `cookie`.

use std::hash::Hasher as _;
use std::hint::black_box;

use cookie::CookieJar;
use criterion::Criterion;
use data_encoding::BASE64URL_NOPAD;
use siphasher::sip::SipHasher24;
use siphasher::sip128::SipHasher24 as Wide;
use tokenpin::cookie::{Codec, decode, encode};
use tokenpin::{
    Audience, Cookie, Error, Key, KeyRing, Kind, Limits, Value, Verdict, identity_hash,
};

use crate::fixtures::{NOW, each, id, identity, ring_keys};

pub const AUDIENCE: Audience = Audience { name: b"__Host-tokenpin", scope: b"" };
const LIMITS: Limits =
    Limits { skew: 300, max_life: 30 * 24 * 60 * 60, max_idle: 0, refresh_interval: 0 };
/// Cookies to draw from.
const COOKIES: usize = 1024;

/// An anonymous session's cookie, a minute old.
#[expect(clippy::cast_possible_truncation, reason = "before the year 2106")]
pub fn anonymous(number: usize, pin: u64) -> Cookie {
    let issued_at = NOW as u32 - 60;
    Cookie { kind: Kind::Anonymous, issued_at, refreshed_at: issued_at, id: id(number), pin }
}

pub fn ring() -> KeyRing {
    KeyRing::new(&ring_keys(1), None).unwrap()
}

pub fn value_of(ring: &KeyRing, cookie: &Cookie) -> Value {
    encode(ring, &AUDIENCE, &Key::Anonymous(&cookie.id), cookie).unwrap()
}

/// Returns the pin, which with the verdict is all that a decision needs.
pub fn read(codec: &Codec, value: &Value) -> Option<u64> {
    pin(codec.decode(None, &LIMITS, NOW, value))
}

fn pin(decoded: Result<(Verdict, Option<Cookie>), Error>) -> Option<u64> {
    match decoded {
        Ok((Verdict::Valid, Some(cookie))) => Some(cookie.pin),
        _ => None,
    }
}

/// A jar with a signed cookie that carries as much data as ours: 34 bytes in base64url.
pub struct Jar {
    pub jar: CookieJar,
    pub key: cookie::Key,
}

impl Jar {
    pub const NAME: &str = "__Host-tokenpin";

    pub fn new() -> Self {
        let mut made = Self { jar: CookieJar::new(), key: cookie::Key::from(&[7; 64]) };
        made.sign();
        made
    }

    pub fn sign(&mut self) {
        let payload = BASE64URL_NOPAD.encode(&black_box([0x5a; 34]));
        self.jar.signed_mut(&self.key).add((Self::NAME, payload));
    }

    pub fn read(&self) -> bool {
        self.jar.signed(&self.key).get(Self::NAME).is_some()
    }
}

pub fn bench(criterion: &mut Criterion) {
    let ring = &ring();
    let cookies: Vec<_> = (0..COOKIES).map(|i| anonymous(i, identity_hash(&identity(0)))).collect();
    let values: Vec<_> = cookies.iter().map(|cookie| value_of(ring, cookie)).collect();
    let cookies: Vec<_> = cookies.iter().collect();
    let values: Vec<_> = values.iter().collect();
    let codec = &Codec::new(ring, &AUDIENCE).unwrap();
    assert!(values.iter().all(|value| read(codec, value) == Some(identity_hash(b"account-0"))));
    let mut jar = Jar::new();
    assert!(jar.read());

    let mut group = criterion.benchmark_group("encode");
    each(&mut group, "tokenpin", "", &cookies, |cookie| {
        codec.encode(&Key::Anonymous(&cookie.id), cookie)
    });
    each(&mut group, "once", "", &cookies, |cookie| value_of(ring, cookie));
    each(&mut group, "signed_jar", "", &[()], |()| jar.sign());
    group.finish();

    let mut group = criterion.benchmark_group("decode");
    each(&mut group, "tokenpin", "", &values, |value| read(codec, value));
    each(&mut group, "once", "", &values, |value| {
        pin(decode(ring, &AUDIENCE, None, &LIMITS, NOW, value))
    });
    each(&mut group, "signed_jar", "", &[()], |()| jar.read());
    group.finish();

    // The minimum for decoding: the limit.
    let mut group = criterion.benchmark_group("primitive");
    each(&mut group, "base64url-67", "", &values, |value| {
        let mut raw = [0; 50];
        BASE64URL_NOPAD.decode_mut(value, &mut raw).is_ok().then_some(raw)
    });
    let messages: Vec<[u8; 34]> = (0..COOKIES)
        .map(|i| std::array::from_fn(|at| id(i)[at % 16].wrapping_add(u8::try_from(at).unwrap())))
        .collect();
    let messages: Vec<_> = messages.iter().collect();
    // The state behind the lengths of name and scope, and the name.
    let mut behind_name = Wide::new_with_key(&[3; 16]);
    behind_name.write(&[0; 20]);
    each(&mut group, "siphash-2-4-128-34", "", &messages, |message| {
        behind_name.hash(&message[..]).as_bytes()
    });
    each(&mut group, "siphash-2-4-16", "", &messages, |message| {
        let mut hasher = SipHasher24::new_with_key(&[3; 16]);
        hasher.write(&message[..16]);
        hasher.finish()
    });
    group.finish();
}
