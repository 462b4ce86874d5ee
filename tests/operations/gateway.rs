//! A gateway as its operator configures it, and the clients in front of it.

use tokenpin::ids::{Ids, Mode, Opener, Opening, Summary};
use tokenpin::{
    Affinity, Answer, Config, CookieKey, Group, IdConfig, KeyInput, MAX_SET_COOKIE, Request, Role,
    Secret, Slot, SlotStatus, Strategy, mix,
};

/// Returns `count` of `clients` as text, and checks it against the share `expected`. A `0` is
/// exact.
#[track_caller]
pub fn share(event: &str, count: u32, clients: u32, expected: f64) -> String {
    let [count, clients] = [count, clients].map(f64::from);
    let deviation = (clients * expected * (1.0 - expected)).sqrt();
    // Chance exceeds six deviations once in 5e8; and the clients are the same in every run.
    let plausible = (count - clients * expected).abs() <= 6.0 * deviation;
    assert!(plausible, "{event}: {count} of {clients}, not {expected}");
    if count == 0.0 { "0".into() } else { format!("{:.1} %", 100.0 * count / clients) }
}

pub const NOW: u64 = 1_800_000_000;
pub const DAY: u64 = 86_400;

#[derive(Clone, Copy)]
pub struct Token {
    /// The account itself, which no configuration can change.
    pub account: char,
    /// The name in the configuration.
    pub name: &'static str,
    pub status: SlotStatus,
}

impl Token {
    pub const fn up(account: char, name: &'static str) -> Self {
        Self { account, name, status: SlotStatus::UP }
    }
}

/// The settings that an operator can change.
#[derive(Clone)]
pub struct Gateway {
    pub strategy: Strategy,
    /// All bytes of the key.
    pub placement_key: u8,
    pub scope: &'static [u8],
    pub cookie_name: Option<&'static [u8]>,
    /// Key ids, which are all bytes of the secrets too.
    pub cookie_keys: &'static [(u8, Role)],
    /// The keys for ids, in the same form.
    pub id_keys: &'static [(u8, Role)],
    pub id_mode: Mode,
    pub keyed_cookies: bool,
    pub max_life: u32,
    pub max_idle: u32,
    /// `None` is a vacant slot.
    pub slots: Vec<Option<Token>>,
}

impl Gateway {
    pub fn of(slots: Vec<Option<Token>>) -> Self {
        let defaults = Config::new(Secret::new([1; 16]), &[]);
        Self {
            strategy: defaults.strategy,
            placement_key: 1,
            scope: b"openai",
            cookie_name: None,
            cookie_keys: &[(2, Role::Sign)],
            id_keys: &[(20, Role::Sign)],
            id_mode: Mode::Seal,
            keyed_cookies: true,
            max_life: defaults.max_life,
            max_idle: defaults.max_idle,
            slots,
        }
    }

    /// This gateway after a change.
    pub fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut changed = self.clone();
        change(&mut changed);
        changed
    }

    /// Starts a replica, for as long as `work` takes.
    pub fn run<R>(&self, work: impl FnOnce(&Replica<'_>) -> R) -> R {
        let key = |&(id, role)| CookieKey { id, role, secret: Secret::new([id; 16]) };
        let cookie_keys: Vec<CookieKey> = self.cookie_keys.iter().map(key).collect();
        let id_keys: Vec<CookieKey> = self.id_keys.iter().map(key).collect();
        let defaults = Config::new(Secret::new([self.placement_key; 16]), &cookie_keys);
        let config = Config {
            ids: IdConfig { mode: self.id_mode, keys: &id_keys, ..defaults.ids },
            strategy: self.strategy,
            scope: self.scope,
            cookie_name: self.cookie_name,
            keyed_cookies: self.keyed_cookies,
            max_life: self.max_life,
            max_idle: self.max_idle,
            ..defaults
        };
        let slot = |token: &Option<Token>| match token {
            Some(token) => Slot::new(token.name.as_bytes(), token.status).unwrap(),
            None => Slot::vacant(),
        };
        let slots: Vec<Slot> = self.slots.iter().map(slot).collect();
        let mut index = vec![0; Affinity::index_len(slots.len())];
        let affinity = Affinity::new(&config, &slots, &mut index).unwrap();
        work(&Replica { affinity, gateway: self })
    }
}

pub struct Replica<'a> {
    affinity: Affinity<'a>,
    gateway: &'a Gateway,
}

impl Replica<'_> {
    /// Returns the summary of a request that follows up this id.
    fn read(&self, id: Option<&str>) -> Summary {
        let rules = self.affinity.id_rules(b"", b"", None).unwrap();
        let opening = Opening { rules: &rules, known: &|pin| self.affinity.knows(pin) };
        let (mut ids, mut target) = (Summary::new(), b"/v1/responses".to_vec());
        opening.open_target(Ids::Items, &mut ids, &mut target);
        if let Some(id) = id {
            let mut body = format!(r#"{{"previous_response_id":"{id}"}}"#).into_bytes();
            Opener::new(Ids::Items).open_in_place(&opening, &mut ids, &mut body);
        }
        ids
    }

    /// Returns the id of an answer of this slot, in the client's form.
    fn seal(&self, slot: u32) -> String {
        const NATIVE: &str = "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41";
        let rules = self.affinity.id_rules(b"", b"", None).unwrap();
        if rules.mode == Mode::Open {
            return NATIVE.into();
        }
        let sealed = rules.sealer.seal(NATIVE.as_bytes(), self.affinity.pin(slot).unwrap());
        String::from_utf8(sealed.unwrap().as_bytes().to_vec()).unwrap()
    }
}

/// A client whose every request succeeds.
pub struct Client {
    consumer: Option<String>,
    keeps_cookies: bool,
    /// Its one `Cookie` field.
    jar: Vec<u8>,
    keeps_ids: bool,
    /// The id of its last answer, in the client's form.
    id: Option<String>,
    random: u64,
}

impl Client {
    /// Returns client number `number` of those that the gateway knows by name.
    pub fn consumer(number: u64, keeps_cookies: bool) -> Self {
        let consumer = Some(format!("consumer-{number}"));
        Self { consumer, keeps_cookies, ..Self::anonymous(number) }
    }

    /// Returns client number `number` of those that keep their cookies, and are otherwise unknown.
    pub fn anonymous(number: u64) -> Self {
        Self {
            consumer: None,
            keeps_cookies: true,
            jar: Vec::new(),
            keeps_ids: false,
            id: None,
            random: number << 32,
        }
    }

    /// Returns client number `number` of those that keep only the ids that they receive, and are
    /// otherwise unknown.
    pub fn of_ids(number: u64) -> Self {
        Self { keeps_cookies: false, keeps_ids: true, ..Self::anonymous(number) }
    }

    pub fn name(&self) -> Option<&str> {
        self.consumer.as_deref()
    }

    /// Returns the account that serves a request of this client, or `None` if it is refused.
    pub fn send(&mut self, replica: &Replica<'_>, now: u64, existing: bool) -> Option<char> {
        let consumer = self.consumer.take();
        let name = consumer.as_deref().map(str::as_bytes);
        let ids = replica.read(self.id.as_deref());
        let request = Request {
            ids: Some(&ids),
            group: Some(Group::Stateful),
            existing,
            consumer: KeyInput::new(name).trusted(true),
            now,
            entropy: self.entropy(),
            ..Request::default()
        };
        let decision = replica.affinity.decide(&request, [self.jar.as_slice()]).unwrap();
        let mut line = [0; MAX_SET_COOKIE];
        let (answer, len) = replica.affinity.finish(&decision, 200, &mut line).unwrap();
        if answer == Answer::SetCookie && self.keeps_cookies {
            self.jar = line[..len].split(|&byte| byte == b';').next().unwrap().to_vec();
        }
        self.consumer = consumer;
        let slot = decision.slot?;
        if self.keeps_ids {
            self.id = Some(replica.seal(slot));
        }
        Some(replica.gateway.slots[slot as usize].expect("a vacant slot never serves").account)
    }

    fn entropy(&mut self) -> [u8; 16] {
        let mut word = || {
            self.random += 1;
            u128::from(mix(self.random))
        };
        ((word() << 64) | word()).to_le_bytes()
    }
}
