//! A gateway that receives forged cookies, and the required results.

use tokenpin::{
    Affinity, Audience, Config, Cookie, CookieKey, Decision, Group, Key, KeyInput, KeyRing, Kind,
    Limits, Outcome, Request, Role, Secret, Slot, SlotStatus, Source, VALUE_LEN, Value, Verdict,
    cookie, identity_hash,
};

pub const NOW: u32 = 1_800_000_000;
pub const NAME: &[u8] = b"session";
pub const SCOPE: &[u8] = b"scope";
pub const KINDS: [Kind; 4] = [Kind::Anonymous, Kind::Consumer, Kind::Session, Kind::Combined];
const ACCOUNTS: [&str; 5] = ["account-a", "account-b", "account-c", "account-d", "account-e"];
/// The ids of the ring's keys, one of each role. One flipped bit also makes one of these ids from
/// another, so that not every flip is refused only for an unknown key.
pub const KEY_IDS: [u8; 3] = [1, 3, 0xfd];
const ROLES: [Role; 3] = [Role::Sign, Role::Accept, Role::Retire];

pub fn secret_of(key_id: u8) -> [u8; 16] {
    [key_id ^ 0x5a; 16]
}

/// Returns the same ring with another signing key.
pub fn ring_signing_with(key_id: u8) -> Vec<CookieKey> {
    let role = |id| if id == key_id { Role::Sign } else { Role::Accept };
    let key = |&id: &u8| CookieKey { id, role: role(id), secret: Secret::new(secret_of(id)) };
    KEY_IDS.iter().map(key).collect()
}

/// The key of requests of this kind; `None` for anonymous ones.
pub fn key_of(kind: Kind) -> Option<Key<'static>> {
    match kind {
        Kind::Anonymous => None,
        Kind::Consumer => Some(Key::Consumer(b"alice")),
        Kind::Session => Some(Key::Session(b"conversation 17")),
        Kind::Combined => Some(Key::Combined { consumer: b"alice", session: b"conversation 17" }),
    }
}

/// Returns a genuine cookie's fields. The numbers distinguish them; 0 is pinned to an account that
/// serves no key of [`key_of`] without a pin.
pub fn fields(kind: Kind, number: u8) -> Cookie {
    let age = u32::from(number) * 3_600;
    Cookie {
        kind,
        issued_at: NOW - 40_000 - age,
        refreshed_at: NOW - age,
        id: [0xa0 ^ number; 16],
        pin: identity_hash(ACCOUNTS[(usize::from(number) + 1) % ACCOUNTS.len()].as_bytes()),
    }
}

/// Signs as a replica with this ring does.
pub fn sign_as(
    keys: &[CookieKey],
    audience: &Audience<'_>,
    key: Option<Key<'_>>,
    cookie: &Cookie,
) -> Value {
    let ring = KeyRing::new(keys, None).unwrap();
    cookie::encode(&ring, audience, &key.unwrap_or(Key::Anonymous(&cookie.id)), cookie).unwrap()
}

/// Signs with this key of the gateway.
pub fn sign(key_id: u8, cookie: &Cookie) -> Value {
    let audience = Audience { name: NAME, scope: SCOPE };
    sign_as(&ring_signing_with(key_id), &audience, key_of(cookie.kind), cookie)
}

pub const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Returns the bytes of a value, or `None` if it is not the one spelling of any.
pub fn raw_of(value: &[u8]) -> Option<[u8; 50]> {
    static SEXTETS: [Option<u8>; 256] = {
        let mut sextets = [None; 256];
        let mut i = 0;
        while i < 64 {
            sextets[ALPHABET[i as usize] as usize] = Some(i);
            i += 1;
        }
        sextets
    };
    if value.len() != VALUE_LEN {
        return None;
    }
    let (mut raw, mut bits, mut count, mut bytes) = ([0; 50], 0_u32, 0, 0);
    for &character in value {
        bits = bits << 6 | u32::from(SEXTETS[usize::from(character)]?);
        count += 6;
        if count >= 8 {
            count -= 8;
            raw[bytes] = (bits >> count).to_le_bytes()[0];
            bytes += 1;
        }
    }
    if bits & 3 != 0 {
        return None;
    }
    Some(raw)
}

pub fn value_of(raw: &[u8; 50]) -> Value {
    let bit = |i: usize| raw.get(i / 8).map_or(0, |byte| byte >> (7 - i % 8) & 1);
    let sextet = |i: usize| (6 * i..6 * i + 6).fold(0, |sextet, i| sextet << 1 | bit(i));
    std::array::from_fn(|i| ALPHABET[usize::from(sextet(i))])
}

/// Returns the verdict on a value that the gateway's keys have not made, by
/// docs/spec/cookie-format.md.
pub fn reason(value: &[u8]) -> Verdict {
    match raw_of(value) {
        None => Verdict::Malformed,
        Some(raw) if raw[0] & 15 > 3 => Verdict::Malformed,
        Some(raw) if raw[0] >> 4 != 1 => Verdict::UnknownVersion,
        Some(raw) if !KEY_IDS.contains(&raw[1]) => Verdict::UnknownKey,
        Some(_) => Verdict::BadTag,
    }
}

/// A gateway, and its decisions for requests of each kind without a cookie.
pub struct Gateway {
    pub affinity: Affinity<'static>,
    ring: KeyRing,
    without: [Decision; 4],
    without_in_a_carrier: [Decision; 4],
}

impl Gateway {
    pub fn new() -> Self {
        let keys = KEY_IDS.iter().zip(ROLES).map(|(&id, role)| CookieKey {
            id,
            role,
            secret: Secret::new(secret_of(id)),
        });
        let keys: &[CookieKey] = keys.collect::<Vec<_>>().leak();
        let slots = ACCOUNTS.map(|name| Slot::new(name.as_bytes(), SlotStatus::UP).unwrap());
        let config = Config {
            scope: SCOPE,
            cookie_name: Some(NAME),
            combine_keys: true,
            keyed_cookies: true,
            ..Config::new(Secret::new(*b"a placement key!"), keys)
        };
        let index = vec![0; Affinity::index_len(slots.len())].leak();
        let affinity = Affinity::new(&config, Vec::from(slots).leak(), index).unwrap();
        let without = KINDS.map(|kind| affinity.decide(&request(kind), []).unwrap());
        let without_in_a_carrier = KINDS
            .map(|kind| affinity.decide(&Request { carrier: true, ..request(kind) }, []).unwrap());
        let ring = KeyRing::new(keys, None).unwrap();
        let gateway = Self { affinity, ring, without, without_in_a_carrier };
        gateway.a_genuine_cookie_has_a_say();
        gateway
    }

    /// Shows that a genuine cookie has an effect. Otherwise nothing here would show that a forged
    /// one has none.
    fn a_genuine_cookie_has_a_say(&self) {
        for kind in KINDS {
            for key_id in KEY_IDS {
                let value = sign(key_id, &fields(kind, 0));
                let without = self.without[kind as usize];
                for decision in [self.decide(kind, &value), self.decide_carried(kind, &value)] {
                    assert!(decision.verdict.is_usable());
                    assert_eq!(decision.outcome, Outcome::Pinned);
                    assert_ne!(decision.slot, without.slot, "{kind:?}");
                }
            }
        }
    }

    pub fn decode(&self, kind: Kind, value: &[u8]) -> (Verdict, Option<Cookie>) {
        const LIMITS: Limits =
            Limits { skew: 300, max_life: 2_592_000, max_idle: 0, refresh_interval: 0 };
        let audience = Audience { name: NAME, scope: SCOPE };
        let key = key_of(kind);
        cookie::decode(&self.ring, &audience, key.as_ref(), &LIMITS, NOW.into(), value).unwrap()
    }

    /// Decides a request of this kind with this value in its `Cookie` field.
    pub fn decide(&self, kind: Kind, value: &[u8]) -> Decision {
        let field = [b"theme=dark; ", NAME, b"=", value, b"; lang=en"].concat();
        self.affinity.decide(&request(kind), [field.as_slice()]).unwrap()
    }

    /// Decides a request of this kind with this value in the carrier header.
    pub fn decide_carried(&self, kind: Kind, value: &[u8]) -> Decision {
        self.affinity.decide(&Request { carrier_value: value, ..request(kind) }, []).unwrap()
    }

    /// Checks that the value is refused for its [`reason`], in every way that it can come.
    #[track_caller]
    pub fn refuses(&self, kind: Kind, value: &[u8]) {
        self.refuses_as(kind, value, reason(value));
        self.has_no_say_in_a_field(kind, value, reason(value));
    }

    /// Checks the value itself, not written into a `Cookie` field, which has its own syntax.
    #[track_caller]
    pub fn refuses_as(&self, kind: Kind, value: &[u8], verdict: Verdict) {
        let shown = String::from_utf8_lossy(value);
        assert_eq!(self.decode(kind, value), (verdict, None), "{kind:?} {shown}");
        // An empty carrier is none.
        if !value.is_empty() {
            let without = self.without_in_a_carrier[kind as usize];
            let decision = self.decide_carried(kind, value);
            assert_eq!(decision, with_verdict(without, verdict), "{kind:?} {shown}");
        }
    }

    /// Checks that a cookie with this verdict changes nothing.
    #[track_caller]
    pub fn has_no_say_in_a_field(&self, kind: Kind, value: &[u8], verdict: Verdict) {
        let shown = String::from_utf8_lossy(value);
        let without = self.without[kind as usize];
        let decision = self.decide(kind, value);
        assert_eq!(decision, with_verdict(without, verdict), "{kind:?} {shown}");
    }
}

/// Returns the decision without a cookie, with this verdict on a refused one. A newer version must
/// not be overwritten, so no cookie is issued then; the slot stays the same.
fn with_verdict(without: Decision, verdict: Verdict) -> Decision {
    assert!(!verdict.is_usable());
    // A client that sends any cookie of our name keeps cookies, and may move if it gets one.
    let decision = Decision { verdict, may_move: without.cookie.is_some(), ..without };
    match (verdict, decision.source) {
        (Verdict::UnknownVersion, Source::Minted) => {
            Decision { cookie: None, may_move: false, source: Source::None, ..decision }
        }
        (Verdict::UnknownVersion, _) => Decision { cookie: None, may_move: false, ..decision },
        _ => decision,
    }
}

/// A request that creates state.
pub fn request(kind: Kind) -> Request<'static> {
    let (consumer, session): (&[u8], &[u8]) = match key_of(kind) {
        None | Some(Key::Anonymous(_)) => (b"", b""),
        Some(Key::Consumer(consumer)) => (consumer, b""),
        Some(Key::Session(session)) => (b"", session),
        Some(Key::Combined { consumer, session }) => (consumer, session),
    };
    Request {
        group: Some(Group::Stateful),
        consumer: KeyInput::new([consumer]).trusted(true),
        session: KeyInput::new([session]),
        now: NOW.into(),
        entropy: *b"16 random bytes.",
        ..Request::default()
    }
}

/// Genuine cookies of all kinds under all keys.
pub fn genuine() -> impl Iterator<Item = (Kind, Value)> {
    let of = |kind| move |key_id| (kind, sign(key_id, &fields(kind, 0)));
    KINDS.into_iter().flat_map(move |kind| KEY_IDS.into_iter().map(of(kind)))
}
