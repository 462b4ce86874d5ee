//! Building an affinity: every bad configuration is refused with its place, values at the limit are
//! accepted, and the built affinity reflects its configuration.

use tokenpin::ids::Ids;
use tokenpin::{
    Affinity, Attributes, Config, ConfigError, CookieKey, CookieName, Error, Field, Group,
    MAX_BUCKETS, MAX_COOKIE_NAME, MAX_MAX_AGE, MAX_SCOPE, MAX_WEIGHT, Role, Rule, Secret, Slot,
    SlotStatus, State,
};

fn keys() -> [CookieKey; 1] {
    [CookieKey { id: 1, role: Role::Sign, secret: Secret::new([1; 16]) }]
}

fn slots<const N: usize>(identities: [&str; N]) -> [Slot; N] {
    identities.map(|identity| match identity {
        "" => Slot::vacant(),
        _ => Slot::new(identity.as_bytes(), SlotStatus::UP).unwrap(),
    })
}

/// Builds over two slots, the configuration changed by `change`.
fn built(change: impl FnOnce(&mut Config<'_>)) -> Result<(), ConfigError> {
    let (keys, slots) = (keys(), slots(["a", "b"]));
    let mut config = Config::new(Secret::new([2; 16]), &keys);
    change(&mut config);
    Affinity::new(&config, &slots, &mut [0; Affinity::index_len(2)]).map(|_| ())
}

#[track_caller]
fn refused(error: Error, field: Field, index: usize, change: impl FnOnce(&mut Config<'_>)) {
    assert_eq!(built(change), Err(error.at(field, index)));
}

#[test]
fn a_bad_configuration_is_refused_at_its_field() {
    const RULES: &[Rule<'_>] = &[
        Rule { pattern: b"files", group: Group::Stateful, ids: Ids::None },
        Rule { pattern: b"files/", group: Group::Stateful, ids: Ids::None },
    ];
    refused(Error::ZeroSecret, Field::PlacementKey, 0, |it| {
        it.placement_key = Secret::new([0; 16]);
    });
    refused(Error::DuplicateSecret, Field::CookieKeys, 0, |it| {
        it.placement_key = Secret::new([1; 16]);
    });
    refused(Error::KeyCount, Field::CookieKeys, 0, |it| it.cookie_keys = &[]);
    refused(Error::ScopeLength, Field::Scope, 0, |it| it.scope = &[b's'; MAX_SCOPE + 1]);
    for name in [&b""[..], b"a b", &[b'n'; MAX_COOKIE_NAME + 1]] {
        refused(Error::CookieName, Field::CookieName, 0, |it| it.cookie_name = Some(name));
    }
    refused(Error::Attribute, Field::Path, 0, |it| {
        it.attributes = Attributes { path: b"v1", ..Attributes::default() };
    });
    // The default name has the prefix `__Host-`.
    refused(Error::NamePrefix, Field::Secure, 0, |it| it.attributes.secure = false);
    refused(Error::MaxAge, Field::MaxAge, 0, |it| it.max_age = Some(MAX_MAX_AGE + 1));
    for success in [(99, 299), (200, 600), (300, 299), (0, 0), (u16::MAX, u16::MAX)] {
        refused(Error::SuccessRange, Field::Success, 0, |it| it.success = success);
    }
    refused(Error::Pattern, Field::Rules, 1, |it| it.rules = RULES);
}

#[test]
fn the_limits_of_a_configuration_belong_to_it() {
    assert_eq!(built(|_| ()), Ok(()));
    assert_eq!(built(|it| it.scope = &[b's'; MAX_SCOPE]), Ok(()));
    assert_eq!(built(|it| it.cookie_name = Some(&[b'n'; MAX_COOKIE_NAME])), Ok(()));
    for max_age in [0, MAX_MAX_AGE] {
        assert_eq!(built(|it| it.max_age = Some(max_age)), Ok(()));
    }
    for success in [(100, 599), (100, 100), (599, 599)] {
        assert_eq!(built(|it| it.success = success), Ok(()));
    }
}

#[test]
fn bad_slots_are_refused_at_their_number() {
    let keys = keys();
    let config = Config::new(Secret::new([2; 16]), &keys);
    let refusal = |slots: &[Slot]| Affinity::new(&config, slots, &mut [0; 16]).map(|_| ()).err();
    let at = |error: Error, index| Some(error.at(Field::Slots, index));
    assert_eq!(refusal(&[]), at(Error::SlotCount, 0));
    assert_eq!(refusal(&slots(["a", "b", "c", "b"])), at(Error::DuplicateIdentity, 3));
    assert_eq!(refusal(&slots(["a", "a", "c"])), at(Error::DuplicateIdentity, 1));
    assert_eq!(refusal(&slots(["", "", "a"])), None, "vacant slots have no identity");
}

#[test]
fn an_index_that_is_too_short_is_told_its_length() {
    let (keys, slots) = (keys(), slots(["a", "b", "c"]));
    let config = Config::new(Secret::new([2; 16]), &keys);
    let needed = Affinity::index_len(3);
    let refusal = Affinity::new(&config, &slots, &mut vec![7; needed - 1]).map(|_| ()).err();
    assert_eq!(refusal, Some(Error::BufferTooSmall { needed }.at(Field::Index, 0)));
    // Memory beyond the needed length stays unchanged.
    let mut index = vec![7; needed + 2];
    assert!(Affinity::new(&config, &slots, &mut index).is_ok());
    assert_eq!(index[needed..], [7, 7]);
}

#[test]
fn the_index_is_the_least_power_of_two_that_has_room_for_twice_the_slots() {
    for (slots, len) in [(0, 1), (1, 2), (2, 4), (3, 8), (4, 8), (5, 16), (64, 128), (65, 256)] {
        assert_eq!(Affinity::index_len(slots), len);
    }
    let most = MAX_BUCKETS as usize;
    assert_eq!(Affinity::index_len(most + 1), 0);
    assert_eq!(Affinity::index_len(usize::MAX), 0);
    let len = u32::try_from(1_u64 << 32).map_or(1_u64 << 32, u64::from);
    assert_eq!(Affinity::index_len(most), usize::try_from(len).unwrap_or(0));
}

#[test]
fn an_affinity_knows_its_slots() {
    let (keys, slots) = (keys(), slots(["a", "", "c"]));
    let config = Config::new(Secret::new([2; 16]), &keys);
    let mut index = [0; Affinity::index_len(3)];
    let affinity = Affinity::new(&config, &slots, &mut index).unwrap();
    assert_eq!(affinity.capacity(), 3);
    assert_eq!(
        [&b"a"[..], b"c", b"", b"b"].map(|it| affinity.find(it)),
        [Some(0), Some(2), None, None]
    );
    assert_eq!(affinity.get_slot(0), Ok(SlotStatus::UP));
    assert_eq!(affinity.get_slot(1).unwrap().state, State::Vacant);
    let down = SlotStatus { state: State::Down, weight: 7, until: 9 };
    assert_eq!(affinity.set_slot(2, down), Ok(()));
    assert_eq!((affinity.get_slot(2), affinity.get_slot(0)), (Ok(down), Ok(SlotStatus::UP)));
    let heavy = SlotStatus { weight: MAX_WEIGHT + 1, ..down };
    for (slot, status, error) in [
        (3, down, Error::SlotRange),
        (u32::MAX, down, Error::SlotRange),
        (1, down, Error::Vacant),
        (2, heavy, Error::Weight),
    ] {
        assert_eq!(affinity.set_slot(slot, status), Err(error));
    }
    assert_eq!(affinity.get_slot(2), Ok(down));
    assert_eq!(affinity.get_slot(3), Err(Error::SlotRange));
}

/// Every account is found, in sets that are as full as possible and whose probes collide.
#[test]
fn every_account_of_a_large_set_is_found() {
    let keys = keys();
    let config = Config::new(Secret::new([2; 16]), &keys);
    for count in [1_usize, 2, 64, 256, 1000] {
        let name = |i: usize| format!("account-{i}").into_bytes();
        let slots: Vec<_> = (0..count)
            .map(|i| Slot::new(&name(i), SlotStatus::UP).unwrap())
            .chain([Slot::vacant()])
            .collect();
        let mut index = vec![0; Affinity::index_len(slots.len())];
        let affinity = Affinity::new(&config, &slots, &mut index).unwrap();
        for i in 0..count {
            assert_eq!(affinity.find(&name(i)), Some(u32::try_from(i).unwrap()));
        }
        assert!((count..2 * count + 99).all(|i| affinity.find(&name(i)).is_none()));
    }
}

#[test]
fn the_cookies_name_follows_the_scope_unless_it_is_configured() {
    let (keys, slots) = (keys(), slots(["a", "b"]));
    let config = Config::new(Secret::new([2; 16]), &keys);
    let name = |change: fn(&mut Config<'_>), scope: &[u8]| {
        let mut config = config.clone();
        change(&mut config);
        let mut index = [0; Affinity::index_len(2)];
        Affinity::new(&config, &slots, &mut index).unwrap().cookie_name(scope)
    };
    assert_eq!(name(|_| (), b""), Ok(CookieName::for_scope(b"")));
    assert_eq!(name(|_| (), b"openai"), Ok(CookieName::for_scope(b"openai")));
    assert_eq!(name(|it| it.scope = b"azure", b""), Ok(CookieName::for_scope(b"azure")));
    let configured = |scope| name(|it| it.cookie_name = Some(b"pin"), scope).unwrap();
    assert_eq!(configured(b"").as_bytes(), b"pin");
    assert_eq!(configured(b"openai").as_bytes(), b"pin");
    assert!(name(|_| (), &[b's'; MAX_SCOPE]).is_ok());
    assert_eq!(name(|_| (), &[b's'; MAX_SCOPE + 1]), Err(Error::ScopeLength));
}

#[test]
fn a_refusal_says_where_and_why() {
    let text = Error::DuplicateKeyId.at(Field::CookieKeys, 3).to_string();
    assert_eq!(text, "cookie_keys[3]: two cookie keys have the same id");
}
