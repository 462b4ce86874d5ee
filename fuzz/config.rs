//! Building an affinity: refused exactly if a rule is broken, and usable otherwise.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenpin::ids::{Fields, ForeignSeals, IdKey, Ids, KeyKind, Mode};
use tokenpin::{
    Affinity, Attributes, Config, ConfigError, CookieKey, CookieName, Error, Field, Group,
    IdConfig, IdOwner, MAX_COOKIE_NAME, MAX_MAX_AGE, MAX_SCOPE, MAX_SET_COOKIE, MAX_WEIGHT, Policy,
    Request, Role, Rule, SameSite, Secret, Slot, SlotStatus, State, Strategy, identity_hash,
};
use tokenpin_fuzz::{Input, secret};
use tokenpin_test_support::classification::is_bad;

fuzz_target!(|data: &[u8]| run(&mut Input::new(data)));

fn run(input: &mut Input<'_>) {
    let placement = input.one_in(8).then(|| input.byte());
    let placement_key = placement.map_or([0xaa; 16], |n| if n == 0 { [0; 16] } else { secret(n) });
    // By id, role and the number of a secret, where 0 is the secret that is all zero.
    let mut keys: Vec<_> = (0..input.below(11))
        .map(|_| (input.byte(), input.pick(&[Role::Accept, Role::Retire]), input.byte()))
        .collect();
    let signers = if input.one_in(8) { input.below(3) } else { 1 };
    for key in keys.iter_mut().take(signers) {
        key.1 = Role::Sign;
    }
    let shift = input.below(keys.len().max(1));
    keys.rotate_left(shift);
    let bytes = |number: u8| if number == 0 { [0; 16] } else { secret(number) };
    let ring = ring_of(&keys, &bytes);

    let scope = input.limited(MAX_SCOPE);
    let names = [&b"pin"[..], b"__Host-tokenpin", b"__Host-x", b"__secure-x"];
    let name = match input.below(4) {
        0 => Some(input.limited(MAX_COOKIE_NAME)),
        1 => Some(input.pick(&names).to_vec()),
        _ => None,
    };
    let path = if input.one_in(4) { input.limited(1024) } else { b"/".to_vec() };
    let domain = if input.one_in(4) { input.limited(1024) } else { Vec::new() };
    let patterns: Vec<_> = (0..input.below(5)).map(|_| input.bytes()).collect();
    let rules: Vec<_> = patterns
        .iter()
        .map(|pattern| Rule { pattern, group: Group::Stateful, ids: Ids::None })
        .collect();
    let config = Config {
        strategy: input.pick(Strategy::ALL),
        scope: &scope,
        cookie_name: name.as_deref(),
        attributes: Attributes {
            path: &path,
            domain: &domain,
            secure: !input.one_in(4),
            http_only: input.flag(),
            same_site: input.pick(SameSite::ALL),
            partitioned: input.one_in(4),
        },
        max_age: input.flag().then(|| if input.one_in(4) { input.u32() } else { 3_600 }),
        skew: input.u32(),
        max_life: input.u32(),
        max_idle: input.u32(),
        policy_existing: input.pick(Policy::ALL),
        policy_new: input.pick(Policy::ALL),
        combine_keys: input.flag(),
        reject_bad_keys: input.flag(),
        keyed_cookies: input.flag(),
        mint_single: input.flag(),
        success: if input.one_in(4) { (input.u16(), input.u16()) } else { (200, 299) },
        prompt_cache: input.flag(),
        ..Config::new(Secret::new(placement_key), &ring)
    };
    let replace_rules = input.flag();

    let identities: Vec<_> = (0..input.below(40)).map(|_| input.bytes()).collect();
    let slot = |identity: &&[u8]| match identity {
        [] => Slot::vacant(),
        identity => Slot::new(identity, SlotStatus::UP).unwrap(),
    };
    let slots: Vec<_> = identities.iter().map(slot).collect();
    let needed = Affinity::index_len(slots.len());
    let len = if input.one_in(8) { input.below(128) } else { needed };
    let mut index = vec![0xa5a5_a5a5; len.max(1)];

    // Separate keys for ids, with any secrets, and additions to the table of ids.
    let id_keys = any_id_keys(input);
    let id_ring = ring_of(&id_keys, &bytes);
    let id_words = some(input);
    let fields: Vec<_> =
        id_words.iter().map(|name| IdKey { name, kind: input.pick(KeyKind::ALL) }).collect();
    let (prefixes, collections) = (some(input), some(input));
    let ids = IdConfig {
        mode: input.pick(Mode::ALL),
        keys: &id_ring,
        owner: input.pick(IdOwner::ALL),
        foreign: input.pick(ForeignSeals::ALL),
        encrypted: input.flag(),
        fields: Fields { keys: &fields, prefixes: &prefixes, collections: &collections },
    };
    let config = Config { rules: &rules, replace_rules, ids, ..config };

    let mut wrong = wrong_ring(&keys, &bytes, &placement_key, Field::CookieKeys);
    if !id_keys.is_empty() {
        wrong.extend(wrong_ring(&id_keys, &bytes, &placement_key, Field::IdKeys));
    }
    wrong.extend(wrong_fields(&ids.fields));
    wrong.extend(wrong_config(&config, &placement_key));
    wrong.extend(wrong_slots(&identities));
    if index.len() < needed {
        wrong.push(Error::BufferTooSmall { needed }.at(Field::Index, 0));
    }
    let affinity = match Affinity::new(&config, &slots, &mut index) {
        Err(refused) => {
            assert!(wrong.contains(&refused), "{refused:?} is not among {wrong:?}");
            return;
        }
        Ok(affinity) => affinity,
    };
    assert!(wrong.is_empty(), "not refused: {wrong:?}");
    usable(input, &config, &slots, &identities, &affinity);
}

fn usable(
    input: &mut Input<'_>,
    config: &Config<'_>,
    slots: &[Slot],
    identities: &[&[u8]],
    affinity: &Affinity<'_>,
) {
    assert_eq!(affinity.capacity(), slots.len());
    for identity in identities.iter().filter(|identity| !identity.is_empty()) {
        let place = identities.iter().position(|other| other == identity).unwrap();
        assert_eq!(affinity.find(identity), Some(u32::try_from(place).unwrap()));
        assert_eq!(slots[place].identity_hash(), identity_hash(identity));
    }
    let stranger = input.bytes();
    assert_eq!(
        affinity.find(stranger).is_some(),
        identities.contains(&stranger) && !stranger.is_empty()
    );
    let name = config
        .cookie_name
        .map_or_else(|| CookieName::for_scope(config.scope).as_bytes().to_vec(), <[u8]>::to_vec);
    assert_eq!(affinity.cookie_name(b"").unwrap().as_bytes(), name);

    // The same input gives the same fingerprint, and inputs of placement or cookies change it.
    let build = |config: &Config<'_>| {
        let mut index = vec![0; Affinity::index_len(slots.len())];
        Affinity::new(config, slots, &mut index).map(|affinity| affinity.fingerprint())
    };
    assert_eq!(build(config), Ok(affinity.fingerprint()));
    let combined = Config { combine_keys: !config.combine_keys, ..config.clone() };
    assert_ne!(build(&combined), Ok(affinity.fingerprint()));
    let other = Config { placement_key: Secret::new([0xbb; 16]), ..config.clone() };
    assert_ne!(build(&other), Ok(affinity.fingerprint()));
    // The owner and the keys of ids change it too. The mode does not.
    let ids = |ids| build(&Config { ids, ..config.clone() });
    let owner = IdOwner::ALL[usize::from(config.ids.owner == IdOwner::None)];
    assert_ne!(ids(IdConfig { owner, ..config.ids }), Ok(affinity.fingerprint()));
    let mode = input.pick(Mode::ALL);
    assert_eq!(ids(IdConfig { mode, ..config.ids }), Ok(affinity.fingerprint()));
    let keys = if config.ids.keys.is_empty() { config.cookie_keys } else { config.ids.keys };
    assert_eq!(ids(IdConfig { keys, ..config.ids }), Ok(affinity.fingerprint()));

    let live = affinity.live_fingerprint(0);
    let slot = u32::try_from(input.below(slots.len())).unwrap();
    let before = affinity.get_slot(slot).unwrap();
    let status = SlotStatus {
        state: input.pick(State::ALL),
        weight: if input.one_in(4) { input.u32() } else { u32::from(input.u16()) },
        until: if input.one_in(4) { input.u64() } else { input.byte().into() },
    };
    let wanted = if before.state == State::Vacant || status.state == State::Vacant {
        Err(Error::Vacant)
    } else if status.weight > MAX_WEIGHT {
        Err(Error::Weight)
    } else if status.until > (1 << 45) - 1 {
        Err(Error::Until)
    } else {
        Ok(())
    };
    assert_eq!(affinity.set_slot(slot, status), wanted);
    let now = affinity.get_slot(slot).unwrap();
    assert_eq!(now, if wanted.is_ok() { status } else { before });
    let seen = |status: SlotStatus| (status.state_at(0), status.weight);
    assert_eq!(live == affinity.live_fingerprint(0), seen(now) == seen(before));
    assert_eq!(affinity.get_slot(u32::try_from(slots.len()).unwrap()), Err(Error::SlotRange));

    let request = Request {
        group: Some(Group::Stateful),
        now: 1_800_000_000,
        entropy: [7; 16],
        ..Request::default()
    };
    let decision = affinity.decide(&request, []).unwrap();
    // Draining slots too, if no other slot is left.
    let serves = |status: SlotStatus| {
        matches!(status.state_at(request.now), State::Up | State::Draining) && status.weight > 0
    };
    assert_eq!(decision.slot.is_some(), slots.iter().any(|slot| serves(slot.status())));
    let mut out = [0; MAX_SET_COOKIE];
    affinity.finish(&decision, config.success.0, &mut out).unwrap();
}

/// By id, role and the number of a secret.
type Keys = [(u8, Role, u8)];

fn ring_of(keys: &Keys, bytes: &impl Fn(u8) -> [u8; 16]) -> Vec<CookieKey> {
    let key = |&(id, role, number)| CookieKey { id, role, secret: Secret::new(bytes(number)) };
    keys.iter().map(key).collect()
}

fn any_id_keys(input: &mut Input<'_>) -> Vec<(u8, Role, u8)> {
    let mut keys: Vec<_> = (0..input.below(11))
        .map(|_| (input.byte(), input.pick(&[Role::Accept, Role::Retire]), input.byte()))
        .collect();
    if let Some(key) = keys.last_mut().filter(|_| !input.one_in(8)) {
        key.1 = Role::Sign;
    }
    keys
}

/// Every rule that the accounts break.
fn wrong_slots(identities: &[&[u8]]) -> Vec<ConfigError> {
    if identities.is_empty() {
        return vec![Error::SlotCount.at(Field::Slots, 0)];
    }
    let repeated =
        |i: &usize| !identities[*i].is_empty() && identities[..*i].contains(&identities[*i]);
    let wrong = (0..identities.len()).filter(repeated);
    wrong.map(|i| Error::DuplicateIdentity.at(Field::Slots, i)).collect()
}

/// Every rule that the keys break.
fn wrong_ring(
    keys: &Keys,
    bytes: &impl Fn(u8) -> [u8; 16],
    placement_key: &[u8; 16],
    field: Field,
) -> Vec<ConfigError> {
    let mut wrong = Vec::new();
    for (i, &(id, role, number)) in keys.iter().enumerate() {
        let earlier = || keys[..i].iter();
        let mut check = |broken: bool, error: Error| {
            if broken {
                wrong.push(error.at(field, i));
            }
        };
        check(bytes(number) == [0; 16], Error::ZeroSecret);
        check(bytes(number) == *placement_key, Error::DuplicateSecret);
        check(earlier().any(|other| other.2 == number), Error::DuplicateSecret);
        check(earlier().any(|other| other.0 == id), Error::DuplicateKeyId);
        let signs = role == Role::Sign && earlier().any(|other| other.1 == Role::Sign);
        check(signs, Error::SigningKeys);
        check(i == 8, Error::KeyCount);
    }
    if keys.is_empty() {
        wrong.push(Error::KeyCount.at(field, 0));
    } else if keys.iter().all(|key| key.1 != Role::Sign) {
        wrong.push(Error::SigningKeys.at(field, 0));
    }
    wrong
}

/// Returns a few words, sometimes about as many as may be added.
fn some<'i>(input: &mut Input<'i>) -> Vec<&'i [u8]> {
    let many = if input.one_in(16) { 31 } else { 0 };
    (0..many + input.below(3)).map(|_| input.bytes()).collect()
}

/// Returns every fault in the additions to the table of ids.
fn wrong_fields(fields: &Fields<'_>) -> Vec<ConfigError> {
    let mut wrong = Vec::new();
    let mut check = |field: Field, bad: Vec<bool>| {
        let bad = bad.iter().enumerate().filter(|(i, bad)| **bad || *i == 32);
        wrong.extend(bad.map(|(i, _)| Error::IdField.at(field, i)));
    };
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    let bad_key = |key: &IdKey<'_>| {
        let of_its_own = matches!(key.kind, KeyKind::Path | KeyKind::Own);
        of_its_own || !(1..=32).contains(&key.name.len())
    };
    let prefix = |it: &&[u8]| it.is_empty() || !it.iter().all(letter);
    let segment = |it: &&[u8]| it.is_empty() || it.contains(&b'/');
    check(Field::IdFields, fields.keys.iter().map(bad_key).collect());
    check(Field::IdPrefixes, fields.prefixes.iter().map(prefix).collect());
    check(Field::IdCollections, fields.collections.iter().map(segment).collect());
    wrong
}

/// Returns every other broken rule, except those about slots.
fn wrong_config(config: &Config<'_>, placement_key: &[u8; 16]) -> Vec<ConfigError> {
    let default =
        CookieName::for_scope(if config.scope.len() > MAX_SCOPE { b"x" } else { config.scope });
    let name = config.cookie_name.unwrap_or(default.as_bytes());
    let token = |byte: &u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte);
    let clean = |bytes: &[u8]| {
        bytes.len() <= 1024
            && bytes.iter().all(|byte| (b' '..=b'~').contains(byte) && *byte != b';')
    };
    let it = &config.attributes;
    let lower = name.to_ascii_lowercase();
    let (host, secure) = (lower.starts_with(b"__host-"), lower.starts_with(b"__secure-"));
    let (first, last) = config.success;
    let mut wrong = Vec::new();
    let mut check = |broken: bool, error: Error, field: Field| {
        if broken {
            wrong.push(error.at(field, 0));
        }
    };
    check(*placement_key == [0; 16], Error::ZeroSecret, Field::PlacementKey);
    check(config.scope.len() > MAX_SCOPE, Error::ScopeLength, Field::Scope);
    let wrong_name = !(1..=MAX_COOKIE_NAME).contains(&name.len()) || !name.iter().all(token);
    check(wrong_name, Error::CookieName, Field::CookieName);
    check(!clean(it.path) || !it.path.starts_with(b"/"), Error::Attribute, Field::Path);
    check(!clean(it.domain), Error::Attribute, Field::Domain);
    let insecure = !it.secure && it.same_site == SameSite::None;
    check(insecure, Error::NeedsSecure, Field::SameSite);
    check(!it.secure && it.partitioned, Error::NeedsSecure, Field::Partitioned);
    check((host || secure) && !it.secure, Error::NamePrefix, Field::Secure);
    check(host && it.path != b"/", Error::NamePrefix, Field::Path);
    check(host && !it.domain.is_empty(), Error::NamePrefix, Field::Domain);
    check(config.max_age.is_some_and(|age| age > MAX_MAX_AGE), Error::MaxAge, Field::MaxAge);
    check(!(100 <= first && first <= last && last <= 599), Error::SuccessRange, Field::Success);
    for (i, rule) in config.rules.iter().enumerate() {
        if is_bad(rule.pattern) {
            wrong.push(Error::Pattern.at(Field::Rules, i));
        }
    }
    wrong
}
