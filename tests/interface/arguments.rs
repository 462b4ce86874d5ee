//! The functions without a handle: which arguments they refuse, and at which limits.

use tokenpin::cookie::Codec;
use tokenpin::{
    Affinity, Attributes, Audience, Cookie, CookieKey, CookieName, Error, Filter, Key, KeyRing,
    Kind, Limits, MAX_ATTRIBUTE, MAX_COOKIE_NAME, MAX_KEY, MAX_SCOPE, MAX_SET_COOKIE, Role, Secret,
    Slot, SlotStatus, Strategy, cookie, cookie::set_cookie, key_hash, select, select_batch,
};

const ID: [u8; 16] = [5; 16];

fn ring() -> KeyRing {
    let keys = [CookieKey { id: 1, role: Role::Sign, secret: Secret::new([1; 16]) }];
    KeyRing::new(&keys, None).unwrap()
}

const LIMITS: Limits = Limits { skew: 300, max_life: 0, max_idle: 0, refresh_interval: 0 };

/// Returns the results of encoding and decoding with these arguments, directly and through a
/// [`Codec`].
fn said(audience: &Audience<'_>, key: &Key<'_>, kind: Kind) -> [Result<(), Error>; 2] {
    let cookie = Cookie { kind, issued_at: 1, refreshed_at: 1, id: ID, pin: 1 };
    let ring = ring();
    let said = [
        cookie::encode(&ring, audience, key, &cookie).map(|_| ()),
        cookie::decode(&ring, audience, Some(key), &LIMITS, 1, b"").map(|_| ()),
    ];
    let prepared = [
        Codec::new(&ring, audience).and_then(|it| it.encode(key, &cookie)).map(|_| ()),
        Codec::new(&ring, audience)
            .and_then(|it| it.decode(Some(key), &LIMITS, 1, b""))
            .map(|_| ()),
    ];
    assert_eq!(said, prepared);
    said
}

#[test]
fn a_bad_audience_is_refused() {
    let anonymous = Key::Anonymous(&ID);
    let said =
        |name: &[u8], scope: &[u8]| said(&Audience { name, scope }, &anonymous, Kind::Anonymous);
    let long = [b'n'; MAX_SCOPE + 1];
    for name in
        [&b""[..], &long[..=MAX_COOKIE_NAME], b"a b", b"a;b", b"a=b", b"\x7f", b"\x80", b"\0"]
    {
        assert_eq!(said(name, b""), [Err(Error::CookieName); 2], "{name:?}");
    }
    assert_eq!(said(b"n", &long), [Err(Error::ScopeLength); 2]);
    assert_eq!(said(&long[..MAX_COOKIE_NAME], &long[..MAX_SCOPE]), [Ok(()); 2]);
}

/// RFC 9110 section 5.6.2, byte by byte.
#[test]
fn a_name_is_made_of_token_bytes() {
    let others = b"!#$%&'*+-.^_`|~";
    for byte in 0..=u8::MAX {
        let token = byte.is_ascii_alphanumeric() || others.contains(&byte);
        assert_eq!(CookieName::new(&[b'a', byte]).is_ok(), token, "{byte:#x}");
    }
    let name = CookieName::new(&[b'n'; MAX_COOKIE_NAME]).unwrap();
    assert_eq!(name.clone().as_bytes(), [b'n'; MAX_COOKIE_NAME]);
    assert_eq!(CookieName::new(&[b'n'; MAX_COOKIE_NAME + 1]), Err(Error::CookieName));
}

#[test]
fn a_key_has_a_byte_at_least_and_at_most_4096() {
    let audience = Audience { name: b"n", scope: b"" };
    let bytes = [b'k'; MAX_KEY + 1];
    let (long, longest, empty, one) = (&bytes[..], &bytes[..MAX_KEY], &b""[..], &b"k"[..]);
    let both = |consumer, session| Key::Combined { consumer, session };
    let placement = Secret::new([2; 16]);
    for (key, fits) in [
        (Key::Consumer(one), true),
        (Key::Consumer(longest), true),
        (Key::Consumer(empty), false),
        (Key::Consumer(long), false),
        (Key::Session(longest), true),
        (Key::Session(empty), false),
        (Key::Session(long), false),
        (both(longest, longest), true),
        (both(one, one), true),
        (both(empty, one), false),
        (both(one, empty), false),
        (both(long, one), false),
        (both(one, long), false),
    ] {
        let expected = if fits { Ok(()) } else { Err(Error::KeyLength) };
        assert_eq!(said(&audience, &key, key.kind()), [expected; 2], "{:?}", key.kind());
        assert_eq!(key_hash(&placement, b"", &key).map(|_| ()), expected, "{:?}", key.kind());
    }
}

#[test]
fn a_cookie_is_bound_to_a_key_of_its_own_kind() {
    let audience = Audience { name: b"n", scope: b"" };
    let keys = [
        Key::Anonymous(&ID),
        Key::Consumer(b"k"),
        Key::Session(b"k"),
        Key::Combined { consumer: b"k", session: b"k" },
    ];
    for key in keys {
        for &kind in Kind::ALL {
            let [written, _] = said(&audience, &key, kind);
            let expected = if kind == key.kind() { Ok(()) } else { Err(Error::KeyLength) };
            assert_eq!(written, expected, "{key:?} {kind:?}");
        }
    }
}

/// RFC 6265 section 4.1.1, byte by byte, and up to the longest value.
#[test]
fn a_value_is_made_of_cookie_octets() {
    let mut out = [0; MAX_SET_COOKIE];
    let mut written =
        |value: &[u8]| set_cookie::write(b"n", value, &Attributes::default(), 0, &mut out);
    for byte in 0..=u8::MAX {
        let octet = byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
        assert_eq!(written(&[byte]).is_ok(), octet, "{byte:#x}");
    }
    let value = [b'v'; MAX_ATTRIBUTE + 1];
    assert_eq!(written(&value), Err(Error::Attribute));
    assert!(written(&value[1..]).is_ok());
}

/// RFC 6265bis section 5.6, byte by byte, and up to the longest value.
#[test]
fn an_attribute_is_made_of_printable_bytes_without_a_semicolon() {
    let path = |path: &[u8]| Attributes { path, ..Attributes::default() }.check(b"n").is_ok();
    let domain = |domain: &[u8]| Attributes { domain, ..Attributes::default() }.check(b"n").is_ok();
    for byte in 0..=u8::MAX {
        let clean = (byte == b' ' || byte.is_ascii_graphic()) && byte != b';';
        assert_eq!((path(&[b'/', byte]), domain(&[byte])), (clean, clean), "{byte:#x}");
    }
    let long = [b'/'; MAX_ATTRIBUTE + 1];
    assert!(!path(&long) && !domain(&long));
    assert!(path(&long[1..]) && domain(&long[1..]) && domain(b""));
}

#[test]
fn a_batch_fills_what_it_has_room_and_hashes_for() {
    let slots = [&b"a"[..], b"b", b"c"].map(|name| Slot::new(name, SlotStatus::UP).unwrap());
    let filter = Filter::default();
    let hashes: Vec<u64> = (0..300_u64).map(tokenpin::mix).collect();
    for strategy in [Strategy::Jump, Strategy::Rendezvous] {
        let one = |i: usize| select(strategy, &slots, &filter, hashes[i]).unwrap();
        for (given, room) in [(300, 300), (300, 150), (150, 300), (300, 0), (0, 300)] {
            let mut out = vec![Some(99); room];
            select_batch(strategy, &slots, &filter, &hashes[..given], &mut out).unwrap();
            for (i, slot) in out.into_iter().enumerate() {
                let expected = if i < given { one(i) } else { Some(99) };
                assert_eq!(slot, expected, "{strategy:?}, {given} into {room}, number {i}");
            }
        }
    }
}

#[test]
fn the_strategy_that_needs_the_key_itself_is_refused_with_a_hash() {
    let slots = [Slot::new(b"a", SlotStatus::UP).unwrap()];
    let (strategy, filter) = (Strategy::HigressFnv1aModulo, Filter::default());
    assert_eq!(select(strategy, &slots, &filter, 1), Err(Error::Strategy));
    for hashes in [&[][..], &[1; 300]] {
        let mut out = [Some(99); 300];
        let refused = select_batch(strategy, &slots, &filter, hashes, &mut out);
        assert_eq!((refused, out), (Err(Error::Strategy), [Some(99); 300]));
    }
}

#[test]
fn what_threads_share_can_be_shared() {
    const fn shared<T: Send + Sync>() {}
    shared::<Affinity<'_>>();
    shared::<Codec<'_>>();
    shared::<KeyRing>();
    shared::<Slot>();
}
