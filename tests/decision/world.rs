//! The parts that the tests of the decision share: sets of slots, requests, cookies and a client.

use tokenpin::cookie;
use tokenpin::ids::{Ids, Opener, Opening, Summary};
use tokenpin::{
    Affinity, Answer, Audience, Config, Cookie, CookieKey, CookieName, Decision, Group, IdRing,
    IdSealer, Key, KeyInput, KeyRing, Kind, Limits, MAX_SET_COOKIE, MAX_WEIGHT, Outcome, PinState,
    Request, Role, Secret, Slot, SlotStatus, Source, State, Value, Verdict, identity_hash,
};

pub const NOW: u64 = 1_800_000_000;
/// The same time as the 32 bits of a cookie.
pub const NOW_32: u32 = 1_800_000_000;
pub const ENTROPY: [u8; 16] = [7; 16];
/// The id in cookies that the tests make.
pub const ID: [u8; 16] = [5; 16];

pub const DRAINING: SlotStatus =
    SlotStatus { state: State::Draining, weight: MAX_WEIGHT, until: 0 };
pub const DOWN: SlotStatus = SlotStatus { state: State::Down, weight: MAX_WEIGHT, until: 0 };

/// The secret follows from the id.
pub fn key(id: u8, role: Role) -> CookieKey {
    CookieKey { id, role, secret: Secret::new([id; 16]) }
}

/// Returns a ring with these roles. It is leaked, like everything that an [`Affinity`] borrows, so
/// that a test can keep it in one variable.
pub fn keys(roles: &[(u8, Role)]) -> &'static [CookieKey] {
    roles.iter().map(|&(id, role)| key(id, role)).collect::<Vec<_>>().leak()
}

/// The defaults, with one cookie key.
pub fn config() -> Config<'static> {
    Config::new(Secret::new([0xaa; 16]), keys(&[(1, Role::Sign)]))
}

/// Slots by the names of their accounts; `-` is vacant.
pub fn slots(list: &[(&str, SlotStatus)]) -> &'static [Slot] {
    let slot = |&(name, status): &(&str, SlotStatus)| match name {
        "-" => Slot::vacant(),
        _ => Slot::new(name.as_bytes(), status).unwrap(),
    };
    list.iter().map(slot).collect::<Vec<_>>().leak()
}

/// Slots that are all up, by the names of their accounts.
pub fn up(names: &str) -> &'static [Slot] {
    slots(&names.split(' ').map(|name| (name, SlotStatus::UP)).collect::<Vec<_>>())
}

pub fn affinity(config: &Config<'static>, slots: &'static [Slot]) -> Affinity<'static> {
    let index = vec![0; Affinity::index_len(slots.len())].leak();
    Affinity::new(config, slots, index).unwrap()
}

/// A set of accounts that are all up, under one configuration.
pub fn gateway(config: &Config<'static>, names: &str) -> Affinity<'static> {
    affinity(config, up(names))
}

/// A request that creates state.
pub fn create<'r>() -> Request<'r> {
    Request { group: Some(Group::Stateful), now: NOW, entropy: ENTROPY, ..Request::default() }
}

/// A request that names existing state.
pub fn read<'r>() -> Request<'r> {
    Request { existing: true, ..create() }
}

pub fn consumer(name: &str) -> KeyInput<'_> {
    KeyInput::new([name.as_bytes()]).trusted(true)
}

/// The name of the cookies that a request of `scope` reads and sets.
pub fn name_of(config: &Config<'_>, scope: &[u8]) -> CookieName {
    match config.cookie_name {
        Some(name) => CookieName::new(name).unwrap(),
        None => CookieName::for_scope(if scope.is_empty() { config.scope } else { scope }),
    }
}

/// An anonymous cookie pinned to `account`, young enough to be left alone.
pub fn young(account: &str) -> Cookie {
    Cookie {
        kind: Kind::Anonymous,
        issued_at: NOW_32 - 1_000,
        refreshed_at: NOW_32 - 100,
        id: ID,
        pin: identity_hash(account.as_bytes()),
    }
}

/// Signs a cookie as a replica with this configuration would, for its own scope.
pub fn sign(config: &Config<'_>, key: Option<&Key<'_>>, cookie: &Cookie) -> Value {
    let ring = KeyRing::new(config.cookie_keys, None).unwrap();
    let name = name_of(config, b"");
    let audience = Audience { name: name.as_bytes(), scope: config.scope };
    cookie::encode(&ring, &audience, key.unwrap_or(&Key::Anonymous(&cookie.id)), cookie).unwrap()
}

/// A `Cookie` field with an anonymous cookie of this configuration.
pub fn field(config: &Config<'_>, cookie: &Cookie) -> Vec<u8> {
    pair(config, &sign(config, None, cookie))
}

pub fn pair(config: &Config<'_>, value: &[u8]) -> Vec<u8> {
    [name_of(config, b"").as_bytes(), b"=", value].concat()
}

/// Opens the cookie that a decision wants to set.
#[track_caller]
pub fn pending(config: &Config<'_>, key: Option<&Key<'_>>, decision: &Decision) -> Cookie {
    let value = decision.cookie.expect("a cookie is set").value;
    let ring = KeyRing::new(config.cookie_keys, None).unwrap();
    let name = name_of(config, b"");
    let audience = Audience { name: name.as_bytes(), scope: config.scope };
    let limits = Limits { skew: u32::MAX, max_life: 0, max_idle: 0, refresh_interval: 0 };
    let (verdict, cookie) =
        cookie::decode(&ring, &audience, key, &limits, NOW, &value).expect("a good audience");
    assert_eq!(verdict, Verdict::Valid);
    cookie.unwrap()
}

/// The same value as a later version of the format would make it: the version is the high
/// nibble of the first byte, hence the first four bits of the first character.
pub fn newer_version(value: &[u8]) -> Vec<u8> {
    assert_eq!(value[0], b'E', "version 1, kind below 4");
    [b"I", &value[1..]].concat()
}

/// Damages the tag.
pub fn forged(value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    value[50] = if value[50] == b'A' { b'B' } else { b'A' };
    value
}

/// Returns the output of `finish`, as text.
pub fn finished(affinity: &Affinity<'_>, decision: &Decision, status: u16) -> Option<String> {
    let mut out = [0; MAX_SET_COOKIE];
    let (answer, len) = affinity.finish(decision, status, &mut out).unwrap();
    if answer == Answer::Nothing {
        return None;
    }
    Some(String::from_utf8(out[..len].to_vec()).unwrap())
}

/// The account that serves, where accounts are single letters.
#[track_caller]
pub fn serving(affinity: &Affinity<'_>, decision: &Decision) -> char {
    let slot = decision.slot.expect("a slot serves");
    let name = ('a'..='z').find(|&name| affinity.find(&[name as u8]) == Some(slot));
    name.expect("an account of one letter")
}

pub fn decide(affinity: &Affinity<'_>, request: &Request<'_>, fields: &[Vec<u8>]) -> Decision {
    affinity.decide(request, fields.iter().map(Vec::as_slice)).unwrap()
}

/// Returns the fate of a session, in one line of a test.
pub fn course(decision: &Decision) -> (Source, Outcome, PinState, Verdict) {
    (decision.source, decision.outcome, decision.pin_state, decision.verdict)
}

/// A client that keeps its cookies, as a browser does.
#[derive(Clone, Default)]
pub struct Client {
    /// The `Cookie` field.
    pub jar: Vec<u8>,
    /// The number of cookies that it received.
    pub given: u32,
}

impl Client {
    /// Sends a request that the upstream answers with `status`.
    pub fn send(
        &mut self,
        affinity: &Affinity<'_>,
        request: &Request<'_>,
        status: u16,
    ) -> Decision {
        let decision = affinity.decide(request, [self.jar.as_slice()]).unwrap();
        if let Some(line) = finished(affinity, &decision, status) {
            self.jar = line.split(';').next().unwrap().as_bytes().to_vec();
            self.given += 1;
        }
        decision
    }
}

// Sealed ids

/// Returns the summary of a request to this API, with this body and no id in its path. The
/// configuration that reads it knows all accounts, and was replaced before the decision.
pub fn summary_of(affinity: &Affinity<'_>, api: Ids, body: &str) -> Summary {
    let rules = affinity.id_rules(b"", b"", None).unwrap();
    let opening = Opening { rules: &rules, known: &|_| true };
    let mut summary = Summary::new();
    opening.open_target(api, &mut summary, &mut b"/v1/x".to_vec());
    Opener::new(api).open_in_place(&opening, &mut summary, &mut body.as_bytes().to_vec());
    summary
}

/// Seals an id of this account.
pub fn seal(affinity: &Affinity<'_>, native: &str, pin: u64) -> String {
    let rules = affinity.id_rules(b"", b"", None).unwrap();
    let sealed = rules.sealer.seal(native.as_bytes(), pin).unwrap();
    String::from_utf8(sealed.as_bytes().to_vec()).unwrap()
}

/// The mark behind encrypted content of this account.
pub fn mark(affinity: &Affinity<'_>, content: &str, pin: u64) -> String {
    let rules = affinity.id_rules(b"", b"", None).unwrap();
    String::from_utf8(rules.sealer.mark(content.as_bytes(), pin).unwrap().to_vec()).unwrap()
}

/// Seals an id with a key that is in no ring here.
pub fn foreign_seal(native: &str) -> String {
    let ring = IdRing::new(&[key(99, Role::Sign)], None).unwrap();
    let ids = IdSealer::new(&ring, b"", b"").unwrap();
    let sealed = ids.seal(native.as_bytes(), identity_hash(b"a")).unwrap();
    String::from_utf8(sealed.as_bytes().to_vec()).unwrap()
}
