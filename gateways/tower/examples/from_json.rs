//! The gateway of `axum.rs`, with a configuration in the words of `gateways/config.schema.json`:
//!
//!     from_json config.json 127.0.0.1:8080 provider.example:80
//!
//! Keys and secrets are in the environment (`env`). It refuses the words for which a layer has its
//! own ways: files, sources that are no headers, metadata.

use std::borrow::Cow;
use std::collections::HashSet;

use axum::http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use tokenpin_tower::tokenpin::ids::{Fields, ForeignSeals, IdKey, Ids, KeyKind, Mode};
use tokenpin_tower::tokenpin::{
    Attributes, Config, CookieKey, Group, IdConfig, IdOwner, OwnedAffinity, Policy, Role, Rule,
    SameSite, Secret, Slot, SlotStatus, State, Strategy,
};
use tokenpin_tower::{Cooldown, Credentials, Generation, PinLayer, Retry, SlotHeaders};

#[path = "axum.rs"]
#[expect(dead_code, reason = "its settings, and where it begins")]
mod example;

type Error = Box<dyn std::error::Error>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Env {
    env: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RingKey {
    id: u8,
    role: String,
    key: Env,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    #[serde(default)]
    prefix: String,
    value: Option<String>,
    env: Option<String>,
    #[serde(default)]
    remove: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    name: String,
    slot: Option<usize>,
    weight: Option<u32>,
    state: Option<String>,
    #[serde(default)]
    until: u64,
    #[serde(default)]
    headers: Vec<Header>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    header: String,
    #[serde(default)]
    #[expect(dead_code, reason = "the layer takes no header that is not")]
    trusted: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cookie {
    name: Option<String>,
    path: Option<String>,
    domain: Option<String>,
    secure: Option<bool>,
    http_only: Option<bool>,
    partitioned: Option<bool>,
    same_site: Option<String>,
    max_age: Option<u32>,
    skew: Option<u32>,
    max_life: Option<u32>,
    max_idle: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleWords {
    pattern: String,
    group: String,
    ids: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdField {
    name: String,
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CooldownWords {
    status: Vec<u16>,
    state: String,
    seconds: u32,
    #[serde(default)]
    retry_after: bool,
    max_seconds: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryWords {
    status: Vec<u16>,
    max: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "the configuration's switches")]
struct Words {
    placement_key: Env,
    cookie_keys: Vec<RingKey>,
    tokens: Vec<Token>,
    capacity: Option<usize>,
    #[serde(default)]
    scope: String,
    consumer: Option<Source>,
    #[serde(default)]
    session: Vec<Source>,
    #[serde(default)]
    rules: Vec<RuleWords>,
    #[serde(default)]
    replace_rules: bool,
    #[serde(default)]
    prompt_cache: bool,
    strategy: Option<String>,
    policy_existing: Option<String>,
    policy_new: Option<String>,
    #[serde(default)]
    combine_keys: bool,
    #[serde(default)]
    reject_bad_keys: bool,
    #[serde(default)]
    keyed_cookies: bool,
    #[serde(default)]
    mint_single: bool,
    success: Option<(u16, u16)>,
    #[serde(default)]
    cookie: Cookie,
    carrier_header: Option<String>,
    cooldowns: Option<Vec<CooldownWords>>,
    retry: Option<RetryWords>,
    /// Always on in a layer.
    #[expect(dead_code, reason = "it is")]
    cache_control: Option<bool>,
    sealed_ids: Option<String>,
    #[serde(default)]
    id_keys: Vec<RingKey>,
    id_owner: Option<String>,
    foreign_seals: Option<String>,
    encrypted_content: Option<bool>,
    #[serde(default)]
    id_fields: Vec<IdField>,
    #[serde(default)]
    id_prefixes: Vec<String>,
    #[serde(default)]
    id_collections: Vec<String>,
    max_body: Option<usize>,
    max_held_bodies: Option<usize>,
    bodies: Option<bool>,
    #[serde(default)]
    refuse_upgrades: bool,
}

/// The one of an enum's values that has the name.
fn named<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, text: &str) -> Result<T, Error> {
    let found = all.iter().copied().find(|value| name(*value) == text);
    found.ok_or_else(|| format!("{text:?} is none of its words").into())
}

/// The same for a field that may be left out.
macro_rules! word {
    ($kind:ident, $text:expr, $default:expr) => {
        $text.as_deref().map_or(Ok($default), |text| named($kind::ALL, $kind::name, text))?
    };
}

fn ring(keys: &[RingKey]) -> Result<Vec<CookieKey>, Error> {
    let key = |key: &RingKey| {
        let role = named(Role::ALL, Role::name, &key.role)?;
        Ok(CookieKey { id: key.id, role, secret: example::key(&key.key.env)? })
    };
    keys.iter().map(key).collect()
}

/// Headers, and what is taken off besides.
struct Tokens {
    headers: SlotHeaders,
    removed: HashSet<HeaderName>,
}

impl Credentials for Tokens {
    fn slots(&self) -> usize {
        self.headers.slots()
    }

    fn apply(&self, slot: u32, request: &mut axum::http::request::Parts) {
        for name in &self.removed {
            request.headers.remove(name);
        }
        self.headers.apply(slot, request);
    }
}

fn tokens(words: &Words) -> Result<(Vec<Slot>, Tokens), Error> {
    let places = || words.tokens.iter().enumerate().map(|(at, token)| token.slot.unwrap_or(at));
    let capacity = words.capacity.unwrap_or_else(|| places().max().map_or(0, |last| last + 1));
    let mut slots: Vec<Slot> = std::iter::repeat_with(Slot::vacant).take(capacity).collect();
    let (mut headers, mut removed) = (vec![HeaderMap::new(); capacity], HashSet::new());
    for (place, token) in places().zip(&words.tokens) {
        let state = word!(State, token.state, State::Up);
        let weight = token.weight.unwrap_or(SlotStatus::UP.weight);
        let status = SlotStatus { state, weight, until: token.until };
        let beyond = || format!("{}: its slot is not below the capacity", token.name);
        *slots.get_mut(place).ok_or_else(beyond)? = Slot::new(token.name.as_bytes(), status)?;
        for header in &token.headers {
            let name: HeaderName = header.name.parse()?;
            if header.remove {
                removed.insert(name);
                continue;
            }
            let secret = match (&header.value, &header.env) {
                (Some(value), None) => value.clone(),
                (None, Some(variable)) => std::env::var(variable)?,
                _ => return Err(format!("{name} needs one of value, env and remove").into()),
            };
            let value: HeaderValue = (header.prefix.clone() + &secret).parse()?;
            headers.get_mut(place).ok_or_else(beyond)?.insert(name, value);
        }
    }
    Ok((slots, Tokens { headers: SlotHeaders::new(headers), removed }))
}

fn affinity(words: &Words, slots: Vec<Slot>) -> Result<OwnedAffinity, Error> {
    let (cookie_keys, id_keys) = (ring(&words.cookie_keys)?, ring(&words.id_keys)?);
    let placement: Secret = example::key(&words.placement_key.env)?;
    let rule = |rule: &'_ RuleWords| -> Result<(Group, Ids), Error> {
        let group = named(Group::ALL, Group::name, &rule.group)?;
        let default = if group == Group::Stateful { Ids::Both } else { Ids::None };
        Ok((group, word!(Ids, rule.ids, default)))
    };
    let mut rules = Vec::new();
    for words in &words.rules {
        let (group, ids) = rule(words)?;
        rules.push(Rule { pattern: words.pattern.as_bytes(), group, ids });
    }
    let mut keys = Vec::new();
    for field in &words.id_fields {
        let kind = named(KeyKind::ALL, KeyKind::name, &field.kind)?;
        keys.push(IdKey { name: field.name.as_bytes(), kind });
    }
    let prefixes: Vec<_> = words.id_prefixes.iter().map(String::as_bytes).collect();
    let collections: Vec<_> = words.id_collections.iter().map(String::as_bytes).collect();
    let (cookie, default) = (&words.cookie, Config::new(placement, &cookie_keys));
    let attributes = Attributes {
        path: cookie.path.as_deref().map_or(default.attributes.path, str::as_bytes),
        domain: cookie.domain.as_deref().map_or(default.attributes.domain, str::as_bytes),
        secure: cookie.secure.unwrap_or(default.attributes.secure),
        http_only: cookie.http_only.unwrap_or(default.attributes.http_only),
        same_site: word!(SameSite, cookie.same_site, default.attributes.same_site),
        partitioned: cookie.partitioned.unwrap_or(default.attributes.partitioned),
    };
    let ids = IdConfig {
        mode: word!(Mode, words.sealed_ids, default.ids.mode),
        keys: &id_keys,
        owner: word!(IdOwner, words.id_owner, default.ids.owner),
        foreign: word!(ForeignSeals, words.foreign_seals, default.ids.foreign),
        encrypted: words.encrypted_content.unwrap_or(default.ids.encrypted),
        fields: Fields { keys: &keys, prefixes: &prefixes, collections: &collections },
    };
    let config = Config {
        strategy: word!(Strategy, words.strategy, default.strategy),
        scope: words.scope.as_bytes(),
        cookie_name: cookie.name.as_deref().map(str::as_bytes),
        attributes,
        max_age: cookie.max_age.or(default.max_age),
        skew: cookie.skew.unwrap_or(default.skew),
        max_life: cookie.max_life.unwrap_or(default.max_life),
        max_idle: cookie.max_idle.unwrap_or(default.max_idle),
        policy_existing: word!(Policy, words.policy_existing, default.policy_existing),
        policy_new: word!(Policy, words.policy_new, default.policy_new),
        combine_keys: words.combine_keys,
        reject_bad_keys: words.reject_bad_keys,
        keyed_cookies: words.keyed_cookies,
        mint_single: words.mint_single,
        success: words.success.unwrap_or(default.success),
        rules: &rules,
        replace_rules: words.replace_rules,
        prompt_cache: words.prompt_cache,
        ids,
        ..default
    };
    Ok(OwnedAffinity::new(&config, slots)?)
}

fn cooldown(words: &CooldownWords) -> Result<Cooldown, Error> {
    Ok(Cooldown {
        statuses: words
            .status
            .iter()
            .map(|status| Ok((*status).try_into()?))
            .collect::<Result<_, Error>>()?,
        state: named(State::ALL, State::name, &words.state)?,
        seconds: words.seconds,
        retry_after: words.retry_after.then(|| words.max_seconds.unwrap_or(3600)),
    })
}

fn generation(words: &Words, provider: &str) -> Result<Generation, Error> {
    let (slots, tokens) = tokens(words)?;
    let mut made = Generation::new(affinity(words, slots)?, tokens)
        // Clients get the address that they asked in place of the provider's own.
        .origin(provider, |head| {
            let host = head.headers.get(HOST).map_or(&b""[..], HeaderValue::as_bytes);
            Cow::Owned([b"http://", host].concat())
        });
    if let Some(source) = &words.consumer {
        made = made.consumer_header(source.header.parse()?);
    }
    match words.session.as_slice() {
        [] => {}
        [source] => made = made.session_header(source.header.parse()?),
        _ => return Err("the layer reads one header for a session".into()),
    }
    if let Some(name) = &words.carrier_header {
        made = made.carrier_header(name.parse()?);
    }
    if let Some(cooldowns) = &words.cooldowns {
        made = made.cooldowns(cooldowns.iter().map(cooldown).collect::<Result<Vec<_>, _>>()?);
    }
    if let Some(retry) = &words.retry {
        let statuses = retry.status.iter().map(|status| Ok((*status).try_into()?));
        let statuses = statuses.collect::<Result<_, Error>>()?;
        made = made.retry(Retry { statuses, max: retry.max.unwrap_or(1), ..Retry::default() });
    }
    if let Some(bytes) = words.max_body {
        made = made.max_body(bytes);
    }
    if let Some(bytes) = words.max_held_bodies {
        made = made.max_held(bytes);
    }
    if words.bodies == Some(false) {
        made = made.without_bodies();
    }
    if words.refuse_upgrades {
        made = made.refuse_upgrades();
    }
    Ok(made)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(listen), Some(provider)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("the configuration, where to listen, and where the provider is".into());
    };
    let words: Words = serde_json::from_slice(&std::fs::read(file)?)?;
    let layer = PinLayer::new(generation(&words, &provider)?)?;
    let listener = tokio::net::TcpListener::bind(listen).await?;
    axum::serve(listener, example::router(layer, provider.parse()?)).await?;
    Ok(())
}
