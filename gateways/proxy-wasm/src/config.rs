//! Configurations at work: of the filter and of its routes.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;

use tokenpin::ids::{Fields, IdKey, Mode};
use tokenpin::{
    Attributes, Config, ConfigError, CookieName, Error, Field, Group, IdConfig, OwnedAffinity,
    Rule, Slot, SlotStatus, identity_hash,
};

use crate::abi::{Level, property, set_shared, shared, unix_now};
use crate::fleet::Fleet;
use crate::host::{entropy, log};
use crate::json::{Checked, Problem};
use crate::settings::{Existing, Overlay, Parsed, Route, Settings, Source};
use crate::stats::Stats;

/// One configuration with tokens.
pub(crate) struct Setup {
    pub settings: Settings,
    pub affinity: OwnedAffinity,
    pub fleet: Fleet,
    /// The cookie's name where no tenant changes the scope and no route replaces it.
    cookie_name: CookieName,
    /// Random bytes, where a connection's number tells clients apart: each worker of each host
    /// counts its own.
    pub mark: [u8; 16],
}

/// A plugin's configuration at work.
pub(crate) struct Chain {
    pub stats: Stats,
    /// The bytes of all bodies that are held.
    pub held: Cell<u64>,
    setup: Option<Rc<Setup>>,
    /// By name.
    routes: Vec<(String, Own)>,
}

/// A route's own configuration.
enum Own {
    Setup(Rc<Setup>),
    Overlay(Rc<Overlay>),
}

/// The configuration of one request.
#[derive(Clone)]
pub(crate) struct Terms {
    pub setup: Rc<Setup>,
    overlay: Option<Rc<Overlay>>,
}

impl Terms {
    pub(crate) fn settings(&self) -> &Settings {
        &self.setup.settings
    }

    /// A field of the overlay, else of the configuration.
    fn pick<T>(&self, field: fn(&Overlay) -> Option<T>) -> Option<T> {
        self.overlay.as_deref().and_then(field).or_else(|| field(&self.settings().request))
    }

    pub(crate) fn observes(&self) -> bool {
        self.pick(|overlay| overlay.observe).unwrap_or(false)
    }

    pub(crate) fn mode(&self) -> Mode {
        self.pick(|overlay| overlay.sealed_ids).unwrap_or(Mode::Off)
    }

    pub(crate) fn group(&self) -> Option<Group> {
        self.pick(|overlay| overlay.group)
    }

    pub(crate) fn existing(&self) -> Option<&Existing> {
        let own = self.overlay.as_deref().and_then(|overlay| overlay.existing.as_ref());
        own.or(self.settings().request.existing.as_ref())
    }

    /// The scope that a route has, in place of the configuration's.
    pub(crate) fn own_scope(&self) -> Option<&[u8]> {
        self.overlay.as_deref().and_then(|overlay| overlay.scope.as_deref())
    }

    pub(crate) fn scope(&self) -> &[u8] {
        self.own_scope().or(self.settings().request.scope.as_deref()).unwrap_or_default()
    }
}

impl Chain {
    pub(crate) fn make(text: &[u8]) -> Checked<Self> {
        let parsed = Parsed::read(text)?;
        let hash = identity_hash(text);
        let setup = parsed.settings.map(|settings| Setup::make(settings, hash, "")).transpose()?;
        let mut routes = Vec::with_capacity(parsed.routes.len());
        for (name, route) in parsed.routes {
            let own = match route {
                Route::Overlay(overlay) => Own::Overlay(Rc::new(overlay)),
                Route::Complete(settings) => Own::Setup(Rc::new(
                    Setup::make(*settings, hash, &name)
                        .map_err(|problem| problem.within(&["routes.", &name].concat()))?,
                )),
            };
            routes.push((name, own));
        }
        let name = property(&["plugin_name"]).and_then(|name| String::from_utf8(name).ok());
        let name = name.filter(|name| !name.is_empty());
        let stats = Stats::define(name.as_deref().unwrap_or("tokenpin"));
        let chain = Self { stats, held: Cell::new(0), setup: setup.map(Rc::new), routes };
        if chain.setup.is_none() {
            log(
                Level::Info,
                "configuration accepted: no tokens, requests pass unless their route brings some",
            );
        }
        chain.set_fingerprints();
        Ok(chain)
    }

    /// The configuration of the current request; none if it passes.
    pub(crate) fn terms(&self) -> Option<Terms> {
        let route = if self.routes.is_empty() {
            None
        } else {
            let name = property(&["route_name"]).or_else(|| property(&["xds", "route_name"]));
            name.and_then(|name| {
                let own = self.routes.iter().find(|(route, _)| route.as_bytes() == name);
                own.map(|(_, own)| own)
            })
        };
        match route {
            Some(Own::Setup(setup)) => Some(Terms { setup: Rc::clone(setup), overlay: None }),
            Some(Own::Overlay(overlay)) => {
                let setup = Rc::clone(self.setup.as_ref()?);
                Some(Terms { setup, overlay: Some(Rc::clone(overlay)) })
            }
            None => Some(Terms { setup: Rc::clone(self.setup.as_ref()?), overlay: None }),
        }
    }

    /// From time to time.
    pub(crate) fn look_after(&self) {
        let Some(setup) = &self.setup else { return };
        setup.fleet.refresh(setup.affinity.get(), unix_now());
        if setup.fleet.has_changed() {
            self.set_fingerprints();
        }
    }

    fn set_fingerprints(&self) {
        if let Some(setup) = &self.setup {
            self.stats.set_fingerprints(setup.affinity.get(), unix_now());
        }
    }
}

impl Setup {
    /// Returns whether to log another gateway's cookie in a message of this kind: once, by one
    /// worker.
    pub(crate) fn tells_of(&self, message: &str) -> bool {
        let key = ["tokenpin.told.", message, ".", self.fleet.key()].concat();
        let (told, _) = shared(&key);
        if told.is_empty() {
            set_shared(&key, b"1", 0);
        }
        told.is_empty()
    }

    /// The cookie's name for a scope, which is empty for the configured one.
    pub(crate) fn cookie_name_of(&self, scope: &[u8]) -> Result<CookieName, Error> {
        if scope.is_empty() {
            Ok(self.cookie_name.clone())
        } else {
            self.affinity.get().cookie_name(scope)
        }
    }

    /// `hash` and `route` tell it from others.
    fn make(settings: Settings, hash: u64, route: &str) -> Checked<Self> {
        let affinity = build(&settings).map_err(|error| {
            let message = match error.error {
                Error::Pattern => "expected segments with / between them, where one behind the first may begin with \
                                   a *, and no %, ? or #"
                    .to_owned(),
                other => other.to_string(),
            };
            Problem::at(&path_of(&error, &settings), &message)
        })?;
        let cookie_name = affinity
            .get()
            .cookie_name(b"")
            .map_err(|error| Problem::at("cookie.name", &error.to_string()))?;
        let is_connection = matches!(settings.id_hint, Some(Source::Connection));
        let mark = if is_connection { entropy() } else { [0; 16] };
        if is_connection && mark == [0; 16] {
            return Err(Problem::at("id_hint", "the host has no randomness"));
        }
        let vacant = SlotStatus::UP;
        let declared = settings.tokens.iter().map(|token| token.status.unwrap_or(vacant)).collect();
        let fleet = Fleet::new(declared, format!("tokenpin.{hash:016x}.{route}"));
        fleet.refresh(affinity.get(), unix_now());
        let scope = settings.request.scope.as_deref().unwrap_or_default();
        let (fingerprint, live) =
            (affinity.get().fingerprint(), affinity.get().live_fingerprint(unix_now()));
        log(
            Level::Info,
            &format!(
                "configuration accepted, scope \"{}\": fingerprint {fingerprint:016x}, live {live:016x}",
                String::from_utf8_lossy(scope)
            ),
        );
        Ok(Self { settings, affinity, fleet, cookie_name, mark })
    }
}

fn build(settings: &Settings) -> Result<OwnedAffinity, ConfigError> {
    let rules: Vec<Rule<'_>> = settings
        .rules
        .iter()
        .map(|rule| Rule { pattern: rule.pattern.as_bytes(), group: rule.group, ids: rule.ids })
        .collect();
    let keys: Vec<IdKey<'_>> = settings
        .id_fields
        .iter()
        .map(|(name, kind)| IdKey { name: name.as_bytes(), kind: *kind })
        .collect();
    let bytes = |texts: &[String]| -> Vec<Vec<u8>> {
        texts.iter().map(|it| it.as_bytes().to_vec()).collect()
    };
    let (prefixes, collections) = (bytes(&settings.id_prefixes), bytes(&settings.id_collections));
    let prefixes: Vec<&[u8]> = prefixes.iter().map(Vec::as_slice).collect();
    let collections: Vec<&[u8]> = collections.iter().map(Vec::as_slice).collect();
    let cookie = &settings.cookie;
    let defaults = Attributes::default();
    let config = Config {
        strategy: settings.strategy,
        scope: settings.request.scope.as_deref().unwrap_or_default(),
        cookie_name: cookie.name.as_deref().map(str::as_bytes),
        attributes: Attributes {
            path: cookie.path.as_deref().map_or(defaults.path, str::as_bytes),
            domain: cookie.domain.as_deref().map_or(defaults.domain, str::as_bytes),
            secure: cookie.secure,
            http_only: cookie.http_only,
            same_site: cookie.same_site,
            partitioned: cookie.partitioned,
        },
        max_age: cookie.max_age,
        skew: cookie.skew,
        max_life: cookie.max_life,
        max_idle: cookie.max_idle,
        policy_existing: settings.policy_existing,
        policy_new: settings.policy_new,
        combine_keys: settings.combine_keys,
        reject_bad_keys: settings.reject_bad_keys,
        keyed_cookies: settings.keyed_cookies,
        mint_single: settings.mint_single,
        success: settings.success,
        rules: &rules,
        replace_rules: settings.replace_rules,
        prompt_cache: settings.prompt_cache,
        ids: IdConfig {
            mode: settings.request.sealed_ids.unwrap_or(Mode::Off),
            keys: &settings.id_keys,
            owner: settings.id_owner,
            foreign: settings.foreign_seals,
            encrypted: settings.encrypted_content,
            fields: Fields { keys: &keys, prefixes: &prefixes, collections: &collections },
        },
        ..Config::new(settings.placement_key.clone(), &settings.cookie_keys)
    };
    let mut slots = Vec::with_capacity(settings.tokens.len());
    for (index, token) in settings.tokens.iter().enumerate() {
        let slot = match token.status {
            None => Ok(Slot::vacant()),
            Some(status) => Slot::new(token.name.as_bytes(), status),
        };
        slots.push(slot.map_err(|error| ConfigError { field: Field::Slots, index, error })?);
    }
    OwnedAffinity::new(&config, slots)
}

/// The place of the library's field in the filter's configuration.
fn path_of(error: &ConfigError, settings: &Settings) -> String {
    let (name, index) = (error.field.name(), error.index);
    match error.field {
        Field::CookieKeys
        | Field::IdKeys
        | Field::IdFields
        | Field::IdPrefixes
        | Field::IdCollections => format!("{name}[{index}]"),
        Field::Rules => format!("rules[{index}].pattern"),
        // The tokens may be listed in another order than that of their slots.
        Field::Slots => match settings.tokens.get(index) {
            Some(token) => format!("tokens ({})", token.name),
            None => "tokens".to_owned(),
        },
        Field::CookieName => "cookie.name".to_owned(),
        Field::Path
        | Field::Domain
        | Field::MaxAge
        | Field::Secure
        | Field::SameSite
        | Field::Partitioned
        | Field::HttpOnly => format!("cookie.{name}"),
        _ => name.to_owned(),
    }
}
