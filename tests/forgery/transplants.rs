//! Genuine cookies in places that they were not made for.

use tokenpin::{
    Audience, CookieKey, Decision, Key, KeyInput, Kind, Request, Role, Secret, Value, Verdict,
    cookie,
};

use crate::gateway::{
    Gateway, KEY_IDS, KINDS, NAME, SCOPE, fields, genuine, key_of, raw_of, request,
    ring_signing_with, sign, sign_as, value_of,
};

/// Made for another name, another scope, or the same bytes cut elsewhere.
#[test]
fn another_name_or_scope_is_a_bad_tag() {
    let gateway = Gateway::new();
    let audiences: [(&[u8], &[u8]); 9] = [
        (b"session2", SCOPE),
        (b"sessioN", SCOPE),
        (b"__Host-session", SCOPE),
        (NAME, b""),
        (NAME, b"scope2"),
        (NAME, b"Scope"),
        (NAME, b"scop"),
        (b"sessio", b"nscope"),
        (b"sessionscope", b""),
    ];
    let ring = ring_signing_with(KEY_IDS[0]);
    for kind in KINDS {
        for (name, scope) in audiences {
            let audience = Audience { name, scope };
            let value = sign_as(&ring, &audience, key_of(kind), &fields(kind, 0));
            gateway.refuses_as(kind, &value, Verdict::BadTag);
            gateway.has_no_say_in_a_field(kind, &value, Verdict::BadTag);
        }
    }
}

/// A request of another scope of the same gateway, which may bring any cookie it has.
#[test]
fn a_request_of_another_scope_does_not_use_it() {
    let gateway = Gateway::new();
    for (kind, value) in genuine() {
        let request = Request { scope: b"another scope", ..request(kind) };
        let without = gateway.affinity.decide(&request, []).unwrap();
        let field = [NAME, b"=", value.as_slice()].concat();
        let with = gateway.affinity.decide(&request, [field.as_slice()]).unwrap();
        assert_eq!((with.verdict, with.slot), (Verdict::BadTag, without.slot));
        assert_eq!((with.outcome, with.cookie), (without.outcome, without.cookie));
    }
}

/// Signed with a key that has the id of one of the ring, or another id.
#[test]
fn another_ring_key_is_refused() {
    let gateway = Gateway::new();
    let audience = Audience { name: NAME, scope: SCOPE };
    for kind in KINDS {
        for id in 0..=u8::MAX {
            let known = KEY_IDS.contains(&id);
            let verdict = if known { Verdict::BadTag } else { Verdict::UnknownKey };
            let key = CookieKey { id, role: Role::Sign, secret: Secret::new([0x77; 16]) };
            let value = sign_as(&[key], &audience, key_of(kind), &fields(kind, 0));
            gateway.refuses_as(kind, &value, verdict);
            gateway.has_no_say_in_a_field(kind, &value, verdict);
            // A genuine cookie that claims to be signed with this key.
            for signer in KEY_IDS.into_iter().filter(|&signer| signer != id) {
                let mut raw = raw_of(&sign(signer, &fields(kind, 0))).unwrap();
                raw[1] = id;
                gateway.refuses_as(kind, &value_of(&raw), verdict);
                gateway.has_no_say_in_a_field(kind, &value_of(&raw), verdict);
            }
        }
    }
}

/// Bound to another consumer or session key, or to the same bytes cut elsewhere.
#[test]
fn another_affinity_key_is_a_bad_tag() {
    let gateway = Gateway::new();
    let combined = |consumer: &'static [u8], session| Key::Combined { consumer, session };
    let others = [
        Key::Consumer(b"bob"),
        Key::Consumer(b"alice\0"),
        Key::Consumer(b"alic"),
        Key::Consumer(b"Alice"),
        Key::Session(b"conversation 18"),
        Key::Session(b"conversation 1"),
        Key::Session(b"17"),
        combined(b"alice", b"conversation 18"),
        combined(b"bob", b"conversation 17"),
        combined(b"alicec", b"onversation 17"),
        combined(b"alic", b"econversation 17"),
        combined(b"conversation 17", b"alice"),
    ];
    let audience = Audience { name: NAME, scope: SCOPE };
    for key in others {
        for key_id in KEY_IDS {
            let ring = ring_signing_with(key_id);
            let value = sign_as(&ring, &audience, Some(key), &fields(key.kind(), 0));
            gateway.refuses_as(key.kind(), &value, Verdict::BadTag);
            gateway.has_no_say_in_a_field(key.kind(), &value, Verdict::BadTag);
        }
    }
}

/// A genuine cookie in a request of another kind. Its tag is good if it is bound to nothing, or to
/// the same bytes.
#[test]
fn another_kind_of_request_does_not_use_it() {
    let gateway = Gateway::new();
    for (made_for, value) in genuine() {
        for kind in KINDS.into_iter().filter(|&kind| kind != made_for) {
            let anonymous = made_for == Kind::Anonymous;
            let verdict = if anonymous { Verdict::OtherKey } else { Verdict::BadTag };
            assert_eq!(gateway.decode(kind, &value).0, verdict);
            gateway.has_no_say_in_a_field(kind, &value, verdict);
        }
    }
}

/// In a request whose session key is spelled like the consumer, genuine and with its kind changed.
#[test]
fn a_session_key_that_is_spelt_like_a_consumer_does_not_use_his_cookie() {
    let gateway = Gateway::new();
    let genuine = sign(KEY_IDS[0], &fields(Kind::Consumer, 0));
    let mut raw = raw_of(&genuine).unwrap();
    raw[0] = 0x12;
    let request = Request { session: KeyInput::new([&b"alice"[..]]), ..request(Kind::Anonymous) };
    let without = gateway.affinity.decide(&request, []).unwrap();
    for (value, verdict) in [(genuine, Verdict::OtherKey), (value_of(&raw), Verdict::BadTag)] {
        let field = [NAME, b"=", value.as_slice()].concat();
        let with = gateway.affinity.decide(&request, [field.as_slice()]).unwrap();
        // Except for what any cookie shows: that this client keeps cookies.
        assert_eq!(with, Decision { verdict, may_move: true, ..without });
    }
}

/// One whose kind was changed, in requests of the old kind, the new one, and all others.
#[test]
fn a_changed_kind_is_refused() {
    let gateway = Gateway::new();
    for (made_for, value) in genuine() {
        for nibble in (0..16).filter(|&nibble| nibble != made_for as u8) {
            let mut raw = raw_of(&value).unwrap();
            raw[0] = raw[0] & 0xf0 | nibble;
            let verdict = if nibble > 3 { Verdict::Malformed } else { Verdict::BadTag };
            for kind in KINDS {
                gateway.refuses_as(kind, &value_of(&raw), verdict);
                gateway.has_no_say_in_a_field(kind, &value_of(&raw), verdict);
            }
        }
    }
}

#[test]
fn a_changed_version_is_unknown() {
    let gateway = Gateway::new();
    for (kind, value) in genuine() {
        for version in (0..16).filter(|&version| version != 1) {
            let mut raw = raw_of(&value).unwrap();
            raw[0] = raw[0] & 0x0f | version << 4;
            gateway.refuses_as(kind, &value_of(&raw), Verdict::UnknownVersion);
            gateway.has_no_say_in_a_field(kind, &value_of(&raw), Verdict::UnknownVersion);
        }
    }
}

/// Next to a genuine cookie, in front of it and behind it, none of all these has an effect.
#[test]
fn a_forgery_beside_a_genuine_cookie_has_no_say() {
    let gateway = Gateway::new();
    for (kind, value) in genuine() {
        let genuine_alone = gateway.decide(kind, &value);
        let mut raw = raw_of(&value).unwrap();
        raw[2] = 0;
        let older = value_of(&raw);
        raw[0] = raw[0] & 0x0f | 0x20;
        let newer_version = value_of(&raw);
        for forged in [older, newer_version, [b'A'; 67]] {
            let pair = |value: Value| [NAME, b"=", value.as_slice()].concat();
            for fields in [[pair(forged), pair(value)], [pair(value), pair(forged)]] {
                let fields = fields.iter().map(Vec::as_slice);
                let decision = gateway.affinity.decide(&request(kind), fields).unwrap();
                assert_eq!(decision, genuine_alone, "{kind:?}");
            }
        }
    }
}

/// Nothing from a ring with the same ids and other secrets passes; and the reverse.
#[test]
fn two_gateways_with_other_secrets_share_nothing() {
    let audience = Audience { name: NAME, scope: SCOPE };
    let limits = tokenpin::Limits { skew: 0, max_life: 0, max_idle: 0, refresh_interval: 0 };
    let rings = [0x10, 0x20].map(|byte| {
        [1, 2].map(|id| CookieKey {
            id,
            role: if id == 1 { Role::Sign } else { Role::Accept },
            secret: Secret::new([byte + id; 16]),
        })
    });
    for kind in KINDS {
        for (i, signer) in rings.iter().enumerate() {
            let value = sign_as(signer, &audience, key_of(kind), &fields(kind, 0));
            for (j, reader) in rings.iter().enumerate() {
                let ring = tokenpin::KeyRing::new(reader, None).unwrap();
                let key = key_of(kind);
                let (verdict, cookie) =
                    cookie::decode(&ring, &audience, key.as_ref(), &limits, u64::MAX, &value)
                        .unwrap();
                assert_eq!(verdict == Verdict::Valid, i == j);
                assert_eq!(cookie.is_some(), i == j);
            }
        }
    }
}
