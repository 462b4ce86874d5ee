//! The configuration, read and checked. The fields are those of the Envoy filter's README.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use tokenpin::ids::{ForeignSeals, Ids, KeyKind, Mode};
use tokenpin::{
    CookieKey, Group, IdOwner, MAX_COOKIE_KEYS, MAX_MAX_AGE, MAX_SCOPE, MAX_UNTIL, MAX_WEIGHT,
    Policy, Role, SameSite, Secret, SlotStatus, State, Strategy,
};

use crate::json::{Checked, Fields, Json, Problem, number};
use crate::secrets::{read_key, read_secret};

const MAX_CAPACITY: u32 = 65536;
/// Tokens cool down after statuses of errors only.
pub(crate) const LEAST_ERROR: u16 = 400;

/// The source of a value of a request.
pub(crate) enum Source {
    Header(String),
    Metadata {
        namespace: String,
        key: String,
    },
    FilterState(String),
    /// The number of the client's connection.
    Connection,
}

/// The fields that a route may have without a complete configuration.
#[derive(Default)]
pub(crate) struct Overlay {
    pub scope: Option<Vec<u8>>,
    pub group: Option<Group>,
    pub existing: Option<Existing>,
    pub sealed_ids: Option<Mode>,
    pub observe: Option<bool>,
}

/// The mark of a request that names existing state.
pub(crate) struct Existing {
    pub source: Source,
    /// Any text does; else only `true` and `1`.
    pub present: bool,
}

#[derive(Default)]
pub(crate) struct Token {
    /// Empty: the slot is vacant.
    pub name: String,
    pub status: Option<SlotStatus>,
    pub credentials: Vec<Credential>,
}

/// One header of a token.
pub(crate) struct Credential {
    pub name: String,
    /// None: the header is removed.
    pub value: Option<String>,
}

/// The effect of a response on its token.
pub(crate) struct Cooldown {
    pub statuses: Vec<u16>,
    /// All of them.
    pub headers: Vec<HeaderMatch>,
    pub state: State,
    pub seconds: u32,
    pub retry_after: bool,
    pub max_seconds: u32,
}

/// A condition on a header of a response.
pub(crate) struct HeaderMatch {
    pub name: String,
    pub test: Test,
}

pub(crate) enum Test {
    Exact(String),
    Prefix(String),
    Present,
    Absent,
}

pub(crate) struct Rule {
    pub pattern: String,
    pub group: Group,
    pub ids: Ids,
}

/// The cookie, and how long it is valid.
pub(crate) struct Cookie {
    pub name: Option<String>,
    pub path: Option<String>,
    pub domain: Option<String>,
    pub secure: bool,
    pub http_only: bool,
    pub partitioned: bool,
    pub same_site: SameSite,
    pub max_age: Option<u32>,
    pub skew: u32,
    pub max_life: u32,
    pub max_idle: u32,
}

#[expect(clippy::struct_excessive_bools, reason = "independent switches, each documented")]
pub(crate) struct Settings {
    pub placement_key: Secret,
    pub cookie_keys: Vec<CookieKey>,
    /// By slot, vacant ones included.
    pub tokens: Vec<Token>,
    /// The fields that a route may replace.
    pub request: Overlay,
    pub tenant: Option<Source>,
    pub consumer: Option<Source>,
    pub session: Vec<Source>,
    pub id_hint: Option<Source>,
    pub rules: Vec<Rule>,
    pub replace_rules: bool,
    pub prompt_cache: bool,
    pub strategy: Strategy,
    pub policy_existing: Policy,
    pub policy_new: Policy,
    pub combine_keys: bool,
    pub reject_bad_keys: bool,
    pub keyed_cookies: bool,
    pub mint_single: bool,
    pub success: (u16, u16),
    pub cookie: Cookie,
    pub id_keys: Vec<CookieKey>,
    pub id_owner: IdOwner,
    pub foreign_seals: ForeignSeals,
    pub encrypted_content: bool,
    pub id_fields: Vec<(String, KeyKind)>,
    pub id_prefixes: Vec<String>,
    pub id_collections: Vec<String>,
    pub bodies: bool,
    pub max_body: u64,
    pub max_held: u64,
    pub refuse_upgrades: bool,
    pub carrier_header: Option<String>,
    pub drop_when_moved: Vec<String>,
    pub cooldowns: Vec<Cooldown>,
    pub cache_control: bool,
    pub metadata: bool,
    pub response_header: Option<String>,
}

/// The configuration of a filter.
pub(crate) struct Parsed {
    /// None if there are no tokens in it.
    pub settings: Option<Settings>,
    /// By the route's name.
    pub routes: Vec<(String, Route)>,
}

/// A route's own configuration.
pub(crate) enum Route {
    Complete(Box<Settings>),
    Overlay(Overlay),
}

impl Parsed {
    /// Secrets are read, and never told.
    pub(crate) fn read(text: &[u8]) -> Checked<Self> {
        let json = if text.is_empty() { Json::Object(Vec::new()) } else { Json::parse(text)? };
        let mut fields = Fields::new(&json, "")?;
        let mut routes = Vec::new();
        for (name, mut own) in fields.entries("routes")? {
            routes.push((name.to_owned(), Route::read(&mut own)?));
        }
        // A filter without tokens is there for the routes that bring some.
        let settings =
            if fields.is_only("routes") { None } else { Some(Settings::read(&mut fields)?) };
        fields.refuse_others()?;
        Ok(Self { settings, routes })
    }
}

impl Route {
    fn read(fields: &mut Fields<'_>) -> Checked<Self> {
        let route = if fields.has("tokens") {
            Self::Complete(Box::new(Settings::read(fields)?))
        } else {
            let overlay = Overlay::read(fields)?;
            // To the library an empty scope is the configured one.
            if overlay.scope.as_ref().is_some_and(Vec::is_empty) {
                return Err(fields.problem("scope", "is empty"));
            }
            Self::Overlay(overlay)
        };
        fields.refuse_others()?;
        Ok(route)
    }
}

impl Overlay {
    fn read(fields: &mut Fields<'_>) -> Checked<Self> {
        let scope = fields.string("scope")?.map(|scope| scope.as_bytes().to_vec());
        if scope.as_ref().is_some_and(|scope| scope.len() > MAX_SCOPE) {
            return Err(fields.problem("scope", &format!("is over {MAX_SCOPE} bytes")));
        }
        let group = if fields.has("group") {
            let mut group = Group::Stateless;
            fields.choice("group", Group::ALL, Group::name, &mut group)?;
            Some(group)
        } else {
            None
        };
        let existing = match fields.find("existing") {
            None => None,
            Some(json) => {
                let path = fields.path("existing");
                let (source, present) = read_source(json, &path, Special::Present)?;
                Some(Existing { source, present })
            }
        };
        let sealed_ids = match fields.find("sealed_ids") {
            None => None,
            // YAML reads `off` so.
            Some(Json::Bool(false)) => Some(Mode::Off),
            Some(_) => {
                let mut mode = Mode::Off;
                fields.choice("sealed_ids", Mode::ALL, Mode::name, &mut mode)?;
                Some(mode)
            }
        };
        let mut observe = false;
        let observes = fields.has("observe");
        fields.bool("observe", &mut observe)?;
        Ok(Self { scope, group, existing, sealed_ids, observe: observes.then_some(observe) })
    }
}

impl Settings {
    fn new(placement_key: Secret) -> Self {
        Self {
            placement_key,
            cookie_keys: Vec::new(),
            tokens: Vec::new(),
            request: Overlay::default(),
            tenant: None,
            consumer: None,
            session: Vec::new(),
            id_hint: None,
            rules: Vec::new(),
            replace_rules: false,
            prompt_cache: false,
            strategy: Strategy::Jump,
            policy_existing: Policy::FailFast,
            policy_new: Policy::FallbackAndUpdate,
            combine_keys: false,
            reject_bad_keys: false,
            keyed_cookies: false,
            mint_single: false,
            success: (200, 299),
            cookie: Cookie::default(),
            id_keys: Vec::new(),
            id_owner: IdOwner::None,
            foreign_seals: ForeignSeals::Auto,
            encrypted_content: true,
            id_fields: Vec::new(),
            id_prefixes: Vec::new(),
            id_collections: Vec::new(),
            bodies: true,
            max_body: 64 << 20,
            max_held: 1 << 30,
            refuse_upgrades: false,
            carrier_header: None,
            drop_when_moved: Vec::new(),
            cooldowns: Vec::new(),
            cache_control: false,
            metadata: false,
            response_header: None,
        }
    }

    fn read(fields: &mut Fields<'_>) -> Checked<Self> {
        refuse_impossible(fields)?;
        let key = read_key(fields.require("placement_key")?, &fields.path("placement_key"))?;
        let mut settings = Self::new(key);
        settings.read_keys(fields)?;
        settings.read_sources(fields)?;
        settings.read_lists(fields)?;
        settings.read_choices(fields)?;
        settings.refuse_shared_headers(fields)?;
        Ok(settings)
    }

    fn read_keys(&mut self, fields: &mut Fields<'_>) -> Checked<()> {
        fields.require("cookie_keys")?;
        self.cookie_keys = read_ring(fields, "cookie_keys")?;
        fields.some("id_keys")?;
        self.id_keys = read_ring(fields, "id_keys")?;
        self.tokens = read_tokens(fields)?;
        Ok(())
    }

    fn read_sources(&mut self, fields: &mut Fields<'_>) -> Checked<()> {
        self.request = Overlay::read(fields)?;
        self.tenant = source(fields, "tenant", Special::Nothing)?;
        self.consumer = source(fields, "consumer", Special::Trusted)?;
        for (json, path) in fields.list("session")? {
            self.session.push(read_source(json, &path, Special::Nothing)?.0);
        }
        self.id_hint = source(fields, "id_hint", Special::Connection)?;
        self.carrier_header = own_header(fields, "carrier_header")?;
        self.response_header = own_header(fields, "response_header")?;
        Ok(())
    }

    fn read_lists(&mut self, fields: &mut Fields<'_>) -> Checked<()> {
        for (json, path) in fields.some("rules")? {
            self.rules.push(read_rule(json, &path)?);
        }
        for (json, path) in fields.list("drop_when_moved")? {
            self.drop_when_moved.push(own_header_name(json, &path)?);
        }
        self.id_fields = read_id_fields(fields)?;
        self.id_prefixes = texts(fields, "id_prefixes")?;
        self.id_collections = texts(fields, "id_collections")?;
        self.cooldowns = read_cooldowns(fields)?;
        self.success = read_success(fields)?;
        self.cookie.read(fields)?;
        if let Some(max_body) = fields.number("max_body", (1, u32::MAX.into()))? {
            self.max_body = max_body;
        }
        if let Some(max_held) = fields.number("max_held_bodies", (1, u64::MAX))? {
            self.max_held = max_held;
        }
        Ok(())
    }

    /// The fields that have a default, and no other rule.
    fn read_choices(&mut self, fields: &mut Fields<'_>) -> Checked<()> {
        fields.bool("replace_rules", &mut self.replace_rules)?;
        if self.replace_rules && self.rules.is_empty() {
            return Err(fields.problem("replace_rules", "needs rules"));
        }
        fields.bool("prompt_cache", &mut self.prompt_cache)?;
        fields.choice("strategy", Strategy::ALL, Strategy::name, &mut self.strategy)?;
        let policies = (Policy::ALL, Policy::name as fn(Policy) -> &'static str);
        fields.choice("policy_existing", policies.0, policies.1, &mut self.policy_existing)?;
        fields.choice("policy_new", policies.0, policies.1, &mut self.policy_new)?;
        fields.bool("combine_keys", &mut self.combine_keys)?;
        fields.bool("reject_bad_keys", &mut self.reject_bad_keys)?;
        fields.bool("keyed_cookies", &mut self.keyed_cookies)?;
        fields.bool("mint_single", &mut self.mint_single)?;
        fields.choice("id_owner", IdOwner::ALL, IdOwner::name, &mut self.id_owner)?;
        let foreign = &mut self.foreign_seals;
        fields.choice("foreign_seals", ForeignSeals::ALL, ForeignSeals::name, foreign)?;
        fields.bool("encrypted_content", &mut self.encrypted_content)?;
        fields.bool("bodies", &mut self.bodies)?;
        fields.bool("refuse_upgrades", &mut self.refuse_upgrades)?;
        fields.bool("cache_control", &mut self.cache_control)?;
        fields.bool("metadata", &mut self.metadata)?;
        // The host chooses the route again whenever a request's headers change.
        let mut clears = false;
        fields.bool("clear_route_cache", &mut clears)
    }

    /// A header that the filter writes for one purpose must not be read or written for another.
    fn refuse_shared_headers(&self, fields: &Fields<'_>) -> Checked<()> {
        let existing = self.request.existing.as_ref().map(|existing| &existing.source);
        let single = [&self.tenant, &self.consumer, &self.id_hint].map(Option::as_ref);
        let is_read = |name: &str| {
            let mut sources = single.iter().flatten().copied().chain(&self.session).chain(existing);
            sources.any(|source| matches!(source, Source::Header(header) if header == name))
        };
        let is_put = |name: &str| {
            self.tokens.iter().flat_map(|token| &token.credentials).any(|it| it.name == name)
        };
        let taken = |name: &Option<String>| {
            name.as_deref().is_some_and(|name| is_read(name) || is_put(name))
        };
        if taken(&self.carrier_header) {
            return Err(fields.problem("carrier_header", "is the header of another setting"));
        }
        let is_both = self.response_header.is_some() && self.response_header == self.carrier_header;
        if is_both || taken(&self.response_header) {
            return Err(fields.problem("response_header", "is the header of another setting"));
        }
        Ok(())
    }
}

/// The fields of the dynamic module that no filter in a WebAssembly VM can have.
fn refuse_impossible(fields: &mut Fields<'_>) -> Checked<()> {
    for (name, reason) in [
        (
            "state_file",
            "a WebAssembly VM reads no files: configure the states, and update the configuration",
        ),
        ("retry", "a WebAssembly filter cannot send a request again: leave retries to the client"),
    ] {
        if fields.has(name) {
            return Err(fields.problem(name, reason));
        }
    }
    Ok(())
}

impl Default for Cookie {
    fn default() -> Self {
        Self {
            name: None,
            path: None,
            domain: None,
            secure: true,
            http_only: true,
            partitioned: false,
            same_site: SameSite::Lax,
            max_age: None,
            skew: 300,
            max_life: 30 * 24 * 60 * 60,
            max_idle: 0,
        }
    }
}

impl Cookie {
    fn read(&mut self, fields: &mut Fields<'_>) -> Checked<()> {
        let path = fields.path("cookie");
        let Some(json) = fields.find("cookie") else { return Ok(()) };
        let mut fields = Fields::new(json, &path)?;
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        self.name = fields.string("name")?.and_then(text);
        self.path = fields.string("path")?.and_then(text);
        self.domain = fields.string("domain")?.and_then(text);
        fields.bool("secure", &mut self.secure)?;
        fields.bool("http_only", &mut self.http_only)?;
        fields.bool("partitioned", &mut self.partitioned)?;
        fields.choice("same_site", SameSite::ALL, SameSite::name, &mut self.same_site)?;
        if fields.find("max_age").and_then(Json::as_str) != Some("auto") {
            let max_age = fields.number("max_age", (0, MAX_MAX_AGE.into()))?;
            self.max_age = max_age.and_then(|max_age| u32::try_from(max_age).ok());
        }
        fields.small("skew", (0, u32::MAX), &mut self.skew)?;
        fields.small("max_life", (0, u32::MAX), &mut self.max_life)?;
        fields.small("max_idle", (0, u32::MAX), &mut self.max_idle)?;
        fields.refuse_others()
    }
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A header's name in lower case, as hosts keep it.
fn header_name(json: &Json, path: &str) -> Checked<String> {
    let name = json.as_str().ok_or_else(|| Problem::at(path, "expected a string"))?;
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        return Err(Problem::at(path, "expected a header's name"));
    }
    Ok(name.to_ascii_lowercase())
}

/// The same for a header that the filter changes. Some carry the message itself, or are looked
/// after otherwise.
fn own_header_name(json: &Json, path: &str) -> Checked<String> {
    const OTHERS: [&str; 8] = [
        "connection",
        "content-length",
        "cookie",
        "host",
        "set-cookie",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    let name = header_name(json, path)?;
    if OTHERS.contains(&name.as_str()) {
        return Err(Problem::at(path, "is not for the filter to set"));
    }
    Ok(name)
}

fn own_header(fields: &mut Fields<'_>, name: &'static str) -> Checked<Option<String>> {
    fields.find(name).map(|json| own_header_name(json, &fields.path(name))).transpose()
}

/// The part of a source that only some kinds have.
#[derive(Clone, Copy, PartialEq)]
enum Special {
    Nothing,
    Connection,
    Trusted,
    Present,
}

fn source(
    fields: &mut Fields<'_>,
    name: &'static str,
    special: Special,
) -> Checked<Option<Source>> {
    let Some(json) = fields.find(name) else { return Ok(None) };
    read_source(json, &fields.path(name), special).map(|(source, _)| Some(source))
}

/// The source, and whether any text in it counts.
fn read_source(json: &Json, path: &str, special: Special) -> Checked<(Source, bool)> {
    let mut fields = Fields::new(json, path)?;
    let mut sources = Vec::new();
    if let Some(json) = fields.find("header") {
        sources.push(Source::Header(header_name(json, &fields.path("header"))?));
        let mut trusted = special != Special::Trusted;
        if !trusted {
            fields.bool("trusted", &mut trusted)?;
        }
        if !trusted {
            let message = "must be true: only for a header that clients cannot set";
            return Err(fields.problem("trusted", message));
        }
    }
    if let Some(json) = fields.find("metadata") {
        let mut inner = Fields::new(json, &fields.path("metadata"))?;
        inner.require("namespace")?;
        inner.require("key")?;
        let namespace = inner.string("namespace")?.unwrap_or_default().to_owned();
        let key = inner.string("key")?.unwrap_or_default().to_owned();
        inner.refuse_others()?;
        sources.push(Source::Metadata { namespace, key });
    }
    if let Some(key) = fields.string("filter_state")? {
        sources.push(Source::FilterState(key.to_owned()));
    }
    if special == Special::Connection {
        let mut of_connection = false;
        fields.bool("connection", &mut of_connection)?;
        if of_connection {
            sources.push(Source::Connection);
        }
    }
    let mut present = false;
    if special == Special::Present {
        fields.bool("present", &mut present)?;
    }
    fields.refuse_others()?;
    match (sources.pop(), sources.is_empty()) {
        (Some(source), true) => Ok((source, present)),
        _ if special == Special::Connection => {
            Err(Problem::at(path, "needs one of header, metadata, filter_state and connection"))
        }
        _ => Err(Problem::at(path, "needs one of header, metadata and filter_state")),
    }
}

/// Those that a router sends as a filter set them. (Of the others, :method would make another
/// request of it.)
fn is_pseudo(name: &str) -> bool {
    matches!(name, ":authority" | ":path" | ":scheme")
}

fn credential_name(json: &Json, path: &str) -> Checked<String> {
    match json.as_str() {
        Some(name) if is_pseudo(name) => Ok(name.to_owned()),
        Some(name) if name.starts_with(':') => {
            Err(Problem::at(path, "expected a header's name, or :authority, :path or :scheme"))
        }
        _ => own_header_name(json, path),
    }
}

/// The rules of a pseudo-header's value, because hosts accept anything.
fn is_pseudo_value(name: &str, text: &str) -> bool {
    match name {
        ":path" => text.starts_with('/') && !text.contains(' '),
        ":scheme" => matches!(text, "http" | "https"),
        _ => true,
    }
}

fn read_credential(json: &Json, path: &str) -> Checked<Credential> {
    let mut fields = Fields::new(json, path)?;
    let name = credential_name(fields.require("name")?, &fields.path("name"))?;
    let mut remove = false;
    fields.bool("remove", &mut remove)?;
    let secret = read_secret(&mut fields)?;
    let value = fields.string("value")?.map(str::to_owned);
    let sources = u8::from(secret.is_some()) + u8::from(value.is_some()) + u8::from(remove);
    if sources != 1 {
        return Err(Problem::at(path, "needs one of value, env and remove"));
    }
    let prefix = fields.string("prefix")?.unwrap_or_default();
    if remove {
        if is_pseudo(&name) {
            return Err(Problem::at(path, "a request cannot be without it"));
        }
        if !prefix.is_empty() {
            return Err(fields.problem("prefix", "needs a value, file or env to stand in front of"));
        }
        fields.refuse_others()?;
        return Ok(Credential { name, value: None });
    }
    fields.refuse_others()?;
    let secret = secret.or(value).unwrap_or_default();
    if secret.is_empty() {
        return Err(Problem::at(path, "the value is empty"));
    }
    let text = [prefix, &secret].concat();
    // RFC 9110 section 5.5, without the bytes that are obsolete there.
    let visible = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if !visible || text.starts_with(' ') || text.ends_with(' ') {
        return Err(Problem::at(path, "the value cannot stand in a header"));
    }
    if !is_pseudo_value(&name, &text) {
        return Err(Problem::at(path, "the value cannot stand in this pseudo-header"));
    }
    Ok(Credential { name, value: Some(text) })
}

const STATES: [State; 3] = [State::Up, State::Draining, State::Down];

fn read_tokens(fields: &mut Fields<'_>) -> Checked<Vec<Token>> {
    let mut capacity = 0;
    fields.small("capacity", (1, MAX_CAPACITY), &mut capacity)?;
    fields.require("tokens")?;
    let mut tokens: Vec<Token> = Vec::new();
    let limit = if capacity == 0 { MAX_CAPACITY } else { capacity };
    for (position, (json, path)) in (0..).zip(fields.some("tokens")?) {
        let mut token = Fields::new(json, &path)?;
        let mut slot = position;
        token.small("slot", (0, MAX_CAPACITY - 1), &mut slot)?;
        if slot >= limit {
            return Err(Problem::at(&path, "its slot is not below the capacity"));
        }
        let slot = slot as usize;
        if slot >= tokens.len() {
            tokens.resize_with(slot + 1, Token::default);
        }
        let Some(place) = tokens.get_mut(slot) else { continue };
        if place.status.is_some() {
            return Err(Problem::at(&path, "its slot is taken"));
        }
        *place = read_token(&mut token)?;
    }
    if capacity as usize > tokens.len() {
        tokens.resize_with(capacity as usize, Token::default);
    }
    remove_others(&mut tokens);
    Ok(tokens)
}

fn read_token(fields: &mut Fields<'_>) -> Checked<Token> {
    fields.require("name")?;
    let name = fields.string("name")?.unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(fields.problem("name", "is empty"));
    }
    let mut status = SlotStatus::UP;
    fields.small("weight", (0, MAX_WEIGHT), &mut status.weight)?;
    fields.choice("state", &STATES, State::name, &mut status.state)?;
    status.until = fields.number("until", (0, MAX_UNTIL))?.unwrap_or(0);
    let mut credentials: Vec<Credential> = Vec::new();
    for (json, path) in fields.list("headers")? {
        let credential = read_credential(json, &path)?;
        if credentials.iter().any(|other| other.name == credential.name) {
            return Err(Problem::at(&path, "a header is given twice"));
        }
        credentials.push(credential);
    }
    fields.refuse_others()?;
    Ok(Token { name, status: Some(status), credentials })
}

/// A token sends its own credentials and nothing of another's, also not from the client. A request
/// cannot be without its pseudo-headers: it keeps the client's.
fn remove_others(tokens: &mut [Token]) {
    let mut names: Vec<String> = Vec::new();
    for credential in tokens.iter().flat_map(|token| &token.credentials) {
        if !is_pseudo(&credential.name) && !names.contains(&credential.name) {
            names.push(credential.name.clone());
        }
    }
    for token in tokens {
        for name in &names {
            if token.credentials.iter().all(|credential| credential.name != *name) {
                token.credentials.push(Credential { name: name.clone(), value: None });
            }
        }
    }
}

fn too_many_keys(fields: &Fields<'_>, name: &str) -> Problem {
    fields.problem(name, &format!("has more than {MAX_COOKIE_KEYS} keys"))
}

fn read_ring(fields: &mut Fields<'_>, name: &'static str) -> Checked<Vec<CookieKey>> {
    let list = fields.list(name)?;
    if list.len() > MAX_COOKIE_KEYS {
        return Err(too_many_keys(fields, name));
    }
    let mut keys = Vec::new();
    for (json, path) in list {
        let mut entry = Fields::new(json, &path)?;
        entry.require("id")?;
        let id = entry.number("id", (0, 255))?.and_then(|id| u8::try_from(id).ok());
        entry.require("role")?;
        let mut role = Role::Sign;
        entry.choice("role", Role::ALL, Role::name, &mut role)?;
        let secret = read_key(entry.require("key")?, &entry.path("key"))?;
        entry.refuse_others()?;
        keys.push(CookieKey { id: id.unwrap_or_default(), role, secret });
    }
    Ok(keys)
}

fn read_rule(json: &Json, path: &str) -> Checked<Rule> {
    let mut fields = Fields::new(json, path)?;
    fields.require("pattern")?;
    let pattern = fields.string("pattern")?.unwrap_or_default().to_owned();
    fields.require("group")?;
    let mut group = Group::Stateless;
    fields.choice("group", Group::ALL, Group::name, &mut group)?;
    // An API that keeps state in an account names it by ids.
    let mut ids = if group == Group::Stateful { Ids::Both } else { Ids::None };
    fields.choice("ids", Ids::ALL, Ids::name, &mut ids)?;
    fields.refuse_others()?;
    Ok(Rule { pattern, group, ids })
}

fn texts(fields: &mut Fields<'_>, name: &'static str) -> Checked<Vec<String>> {
    let text = |(json, path): (&Json, String)| {
        json.as_str().map(str::to_owned).ok_or_else(|| Problem::at(&path, "expected a string"))
    };
    fields.list(name)?.into_iter().map(text).collect()
}

fn read_id_fields(fields: &mut Fields<'_>) -> Checked<Vec<(String, KeyKind)>> {
    let mut all = Vec::new();
    for (json, path) in fields.list("id_fields")? {
        let mut entry = Fields::new(json, &path)?;
        entry.require("name")?;
        let name = entry.string("name")?.unwrap_or_default().to_owned();
        entry.require("kind")?;
        let mut kind = KeyKind::Id;
        entry.choice("kind", KeyKind::ALL, KeyKind::name, &mut kind)?;
        entry.refuse_others()?;
        all.push((name, kind));
    }
    Ok(all)
}

fn status(json: &Json, path: &str, least: u16) -> Checked<u16> {
    let status = number(json, path, (least.into(), 599))?;
    Ok(u16::try_from(status).unwrap_or(least))
}

fn read_success(fields: &mut Fields<'_>) -> Checked<(u16, u16)> {
    if !fields.has("success") {
        return Ok((200, 299));
    }
    let expected = fields.problem("success", "expected a list of two statuses");
    let Ok(list) = fields.list("success") else { return Err(expected) };
    match list.as_slice() {
        [(first, path), (other, other_path)] => {
            Ok((status(first, path, 100)?, status(other, other_path, 100)?))
        }
        _ => Err(expected),
    }
}

fn read_statuses(fields: &mut Fields<'_>, name: &'static str) -> Checked<Vec<u16>> {
    fields.require(name)?;
    let read = |(json, path): (&Json, String)| status(json, &path, LEAST_ERROR);
    fields.some(name)?.into_iter().map(read).collect()
}

fn read_matches(fields: &mut Fields<'_>) -> Checked<Vec<HeaderMatch>> {
    let mut matches = Vec::new();
    for (json, path) in fields.some("headers")? {
        let mut entry = Fields::new(json, &path)?;
        let name = header_name(entry.require("name")?, &entry.path("name"))?;
        let mut tests = Vec::new();
        if let Some(text) = entry.string("exact")? {
            tests.push(Test::Exact(text.to_owned()));
        }
        if let Some(text) = entry.string("prefix")? {
            tests.push(Test::Prefix(text.to_owned()));
        }
        if entry.has("present") {
            let mut present = true;
            entry.bool("present", &mut present)?;
            tests.push(if present { Test::Present } else { Test::Absent });
        }
        entry.refuse_others()?;
        match (tests.pop(), tests.is_empty()) {
            (Some(test), true) => matches.push(HeaderMatch { name, test }),
            _ => return Err(Problem::at(&path, "needs one of exact, prefix and present")),
        }
    }
    Ok(matches)
}

/// None goes down: a client may have caused the answer, and would take the token from all others.
fn default_cooldowns() -> Vec<Cooldown> {
    vec![Cooldown {
        statuses: vec![401, 429],
        headers: Vec::new(),
        state: State::Draining,
        seconds: 30,
        retry_after: true,
        max_seconds: 3600,
    }]
}

fn read_cooldowns(fields: &mut Fields<'_>) -> Checked<Vec<Cooldown>> {
    if !fields.has("cooldowns") {
        return Ok(default_cooldowns());
    }
    let mut cooldowns = Vec::new();
    let mut settled: Vec<u16> = Vec::new();
    for (json, path) in fields.list("cooldowns")? {
        let mut entry = Fields::new(json, &path)?;
        let statuses = read_statuses(&mut entry, "status")?;
        let headers = read_matches(&mut entry)?;
        // Behind an entry that always matches, another is a mistake.
        for status in &statuses {
            if settled.contains(status) {
                let message = "has a status that an entry without headers has already";
                return Err(entry.problem("status", message));
            }
            if headers.is_empty() {
                settled.push(*status);
            }
        }
        entry.require("state")?;
        let mut cooldown = Cooldown {
            statuses,
            headers,
            state: State::Draining,
            seconds: 0,
            retry_after: false,
            max_seconds: 3600,
        };
        entry.choice("state", &[State::Draining, State::Down], State::name, &mut cooldown.state)?;
        entry.require("seconds")?;
        entry.small("seconds", (1, u32::MAX), &mut cooldown.seconds)?;
        entry.bool("retry_after", &mut cooldown.retry_after)?;
        entry.small("max_seconds", (1, u32::MAX), &mut cooldown.max_seconds)?;
        entry.refuse_others()?;
        cooldowns.push(cooldown);
    }
    Ok(cooldowns)
}
