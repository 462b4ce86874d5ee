//! The affinity.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use tokenpin::ids::{Fields, ForeignSeals, IdKey, Ids, KeyKind, Mode};
use tokenpin::{
    Answer, Attributes, Class, Config, Error, Group, IdConfig, IdOwner, KeyInput, MAX_SET_COOKIE,
    OwnedAffinity, Policy, Request, Rule, SameSite, Secret, Strategy,
};

use crate::decision::Decision;
use crate::enums::Word;
use crate::errors;
use crate::ids::{IdOpener, IdSealer, Place};
use crate::keys::{CookieKey, ring};
use crate::slots::{Status, slots, status};
use crate::text::{Sixteen, Text, Texts, ascii};

/// Classification rules: tuples of pattern, group and ids, of which the last may be missing.
pub struct Rules(Vec<(Vec<u8>, Group, Ids)>);

impl Rules {
    pub fn none() -> Self {
        Self(Vec::new())
    }

    pub fn get(&self) -> Vec<Rule<'_>> {
        self.0
            .iter()
            .map(|(pattern, group, ids)| Rule { pattern, group: *group, ids: *ids })
            .collect()
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Rules {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let mut rules = Vec::new();
        for rule in value.try_iter()? {
            let rule: Bound<'py, PyTuple> = rule?.cast_into()?;
            let ids = match rule.len() {
                2 => Ids::None,
                3 => rule.get_item(2)?.extract::<Word<Ids>>()?.0,
                _ => return Err(PyTypeError::new_err("a rule has a pattern, a group and ids")),
            };
            let group: Word<Group> = rule.get_item(1)?.extract()?;
            let pattern = rule.get_item(0)?;
            let pattern: Text<'_, '_> = pattern.extract()?;
            rules.push((pattern.as_bytes().to_vec(), group.0, ids));
        }
        Ok(Self(rules))
    }
}

pub fn class(class: Class) -> (Word<Group>, bool, Word<Ids>) {
    (Word(class.group), class.existing, Word(class.ids))
}

/// Decides which account serves a request, and which cookie is returned.
///
/// Immutable except for the states of its slots; all methods may be called from any thread
/// concurrently.
#[pyclass(frozen, module = "tokenpin")]
pub struct Affinity {
    /// None when it is closed.
    built: RwLock<Option<Arc<OwnedAffinity>>>,
}

impl Affinity {
    /// The affinity that decides, for as long as the caller needs it. The lock is let go of first:
    /// what makes an error runs Python, where the interpreter may change threads, and the next one
    /// may wait for the lock and hold the interpreter.
    pub fn get(&self) -> PyResult<Arc<OwnedAffinity>> {
        let built = self.built.read().unwrap_or_else(PoisonError::into_inner).clone();
        built.ok_or_else(errors::closed)
    }

    fn with<T>(&self, then: impl FnOnce(&OwnedAffinity) -> PyResult<T>) -> PyResult<T> {
        then(&*self.get()?)
    }
}

#[pymethods]
impl Affinity {
    /// Checks a configuration and builds an affinity. docs/spec/decision.md explains each argument
    /// and has its default. A `ConfigError` names the field at fault, and the element of it.
    #[new]
    #[pyo3(signature = (slots, *, placement_key, cookie_keys, strategy = Word(Strategy::Jump), scope = Text::EMPTY,
        cookie_name = None, path = Text::Given(b"/"), domain = Text::EMPTY, secure = true, http_only = true,
        same_site = Word(SameSite::Lax), partitioned = false, max_age = None, skew = 300, max_life = 2_592_000,
        max_idle = 0, policy_existing = Word(Policy::FailFast), policy_new = Word(Policy::FallbackAndUpdate),
        combine_keys = false, reject_bad_keys = false, keyed_cookies = false, mint_single = false,
        success = (200, 299), rules = Rules::none(), replace_rules = false, prompt_cache = false,
        id_mode = Word(Mode::Off), id_keys = Vec::new(), id_owner = Word(IdOwner::None),
        foreign_seals = Word(ForeignSeals::Auto), encrypted_content = true, id_fields = Vec::new(),
        id_prefixes = Texts::none(), id_collections = Texts::none()))]
    #[expect(
        clippy::too_many_arguments,
        clippy::fn_params_excessive_bools,
        reason = "Python names them"
    )]
    fn new(
        slots: &Bound<'_, PyAny>,
        placement_key: Sixteen,
        cookie_keys: Vec<PyRef<'_, CookieKey>>,
        strategy: Word<Strategy>,
        scope: Text<'_, '_>,
        cookie_name: Option<Text<'_, '_>>,
        path: Text<'_, '_>,
        domain: Text<'_, '_>,
        secure: bool,
        http_only: bool,
        same_site: Word<SameSite>,
        partitioned: bool,
        max_age: Option<u32>,
        skew: u32,
        max_life: u32,
        max_idle: u32,
        policy_existing: Word<Policy>,
        policy_new: Word<Policy>,
        combine_keys: bool,
        reject_bad_keys: bool,
        keyed_cookies: bool,
        mint_single: bool,
        success: (u16, u16),
        rules: Rules,
        replace_rules: bool,
        prompt_cache: bool,
        id_mode: Word<Mode>,
        id_keys: Vec<PyRef<'_, CookieKey>>,
        id_owner: Word<IdOwner>,
        foreign_seals: Word<ForeignSeals>,
        encrypted_content: bool,
        id_fields: Vec<(Bound<'_, PyAny>, Word<KeyKind>)>,
        id_prefixes: Texts<'_, '_>,
        id_collections: Texts<'_, '_>,
    ) -> PyResult<Self> {
        let slots = self::slots(slots)?;
        let (cookie_keys, id_keys, rules) = (ring(&cookie_keys), ring(&id_keys), rules.get());
        let names: Vec<Text<'_, '_>> =
            id_fields.iter().map(|(name, _)| name.extract()).collect::<PyResult<_>>()?;
        let kinds = id_fields.iter().map(|(_, kind)| kind.0);
        let keys: Vec<_> = names
            .iter()
            .zip(kinds)
            .map(|(name, kind)| IdKey { name: name.as_bytes(), kind })
            .collect();
        let (prefixes, collections): (Vec<_>, Vec<_>) =
            (id_prefixes.iter().collect(), id_collections.iter().collect());
        let config = Config {
            strategy: strategy.0,
            scope: scope.as_bytes(),
            cookie_name: cookie_name.as_ref().map(Text::as_bytes),
            attributes: Attributes {
                path: path.as_bytes(),
                domain: domain.as_bytes(),
                secure,
                http_only,
                same_site: same_site.0,
                partitioned,
            },
            max_age,
            skew,
            max_life,
            max_idle,
            policy_existing: policy_existing.0,
            policy_new: policy_new.0,
            combine_keys,
            reject_bad_keys,
            keyed_cookies,
            mint_single,
            success,
            rules: &rules,
            replace_rules,
            prompt_cache,
            ids: IdConfig {
                mode: id_mode.0,
                keys: &id_keys,
                owner: id_owner.0,
                foreign: foreign_seals.0,
                encrypted: encrypted_content,
                fields: Fields { keys: &keys, prefixes: &prefixes, collections: &collections },
            },
            ..Config::new(Secret::new(placement_key.0), &cookie_keys)
        };
        let built = OwnedAffinity::new(&config, slots).map_err(errors::of_config)?;
        Ok(Self { built: RwLock::new(Some(Arc::new(built))) })
    }

    /// Decides which slot serves a request, and prepares the cookie that is returned.
    ///
    /// `cookies`, `consumer` and `session` are the values of a header: one, or a list of all. A
    /// consumer's name counts only if it is trusted: it comes from the gateway's own
    /// authentication, never from the client. `now` is in unix seconds, `entropy` 16 random bytes;
    /// the system's clock and random numbers are their defaults. For a WebSocket handshake the
    /// method is CONNECT.
    #[pyo3(signature = (method = Text::EMPTY, target = Text::EMPTY, *, cookies = Texts::none(),
        consumer = Texts::none(), consumer_trusted = false, session = Texts::none(), group = None,
        existing = false, ids = None, carrier_value = Text::EMPTY, carrier = false, scope = Text::EMPTY,
        tried = Vec::new(), now = None, entropy = None, id_hint = None))]
    #[expect(clippy::too_many_arguments, reason = "Python names them")]
    fn decide(
        &self,
        method: Text<'_, '_>,
        target: Text<'_, '_>,
        cookies: Texts<'_, '_>,
        consumer: Texts<'_, '_>,
        consumer_trusted: bool,
        session: Texts<'_, '_>,
        group: Option<Word<Group>>,
        existing: bool,
        ids: Option<PyRef<'_, IdOpener>>,
        carrier_value: Text<'_, '_>,
        carrier: bool,
        scope: Text<'_, '_>,
        tried: Vec<u32>,
        now: Option<u64>,
        entropy: Option<Sixteen>,
        id_hint: Option<Sixteen>,
    ) -> PyResult<Decision> {
        let summary = ids.as_ref().map(|ids| ids.summary());
        let mut request = Request {
            group: group.map(|group| group.0),
            existing,
            ids: summary.as_ref(),
            method: method.as_bytes(),
            target: target.as_bytes(),
            consumer: KeyInput::new(consumer.iter()).trusted(consumer_trusted),
            // No client is asked whether it may choose its session.
            session: KeyInput::new(session.iter()).trusted(true),
            carrier_value: carrier_value.as_bytes(),
            carrier,
            scope: scope.as_bytes(),
            tried: &tried,
            now: now.unwrap_or_else(unix_now),
            entropy: entropy.map(|entropy| entropy.0).unwrap_or_default(),
            id_hint: id_hint.map(|hint| hint.0),
        };
        self.with(|affinity| {
            let affinity = affinity.get();
            let mut decided = affinity.decide(&request, cookies.iter());
            // Most requests need no random numbers, which take longer than a decision.
            if entropy.is_none() && decided == Err(Error::Entropy) {
                // Without any, the error stays.
                if getrandom::fill(&mut request.entropy).is_ok() {
                    decided = affinity.decide(&request, cookies.iter());
                }
            }
            decided.map(Decision).map_err(errors::of)
        })
    }

    /// Ends a request, with its decision and the status of the account's response. Returns the kind
    /// of the answer, and its text: nothing, the value of a `Set-Cookie` field, or that of the
    /// carrier header.
    fn finish<'py>(
        &self,
        py: Python<'py>,
        decision: &Decision,
        status: u16,
    ) -> PyResult<(Word<Answer>, Bound<'py, PyString>)> {
        self.with(|affinity| {
            let mut out = [0; MAX_SET_COOKIE];
            let finished = affinity.get().finish(&decision.0, status, &mut out);
            let (answer, len) = finished.map_err(errors::of)?;
            Ok((Word(answer), ascii(py, out.get(..len).unwrap_or_default())?))
        })
    }

    /// The number of slots, vacant ones included.
    fn __len__(&self) -> PyResult<usize> {
        self.with(|affinity| Ok(affinity.get().capacity()))
    }

    /// State, weight and until of a slot.
    fn get_slot<'py>(&self, py: Python<'py>, slot: u32) -> PyResult<Bound<'py, PyAny>> {
        status(py, self.with(|affinity| affinity.get().get_slot(slot).map_err(errors::of))?)
    }

    /// Changes state, weight and until of a slot, atomically and at any time.
    fn set_slot(&self, slot: u32, status: Status) -> PyResult<()> {
        self.with(|affinity| affinity.get().set_slot(slot, status.0).map_err(errors::of))
    }

    /// The slot of an account, or None.
    fn find(&self, identity: Text<'_, '_>) -> PyResult<Option<u32>> {
        self.with(|affinity| Ok(affinity.get().find(identity.as_bytes())))
    }

    /// The identity hash of a slot's account; None if it is vacant or not there.
    fn pin(&self, slot: u32) -> PyResult<Option<u64>> {
        self.with(|affinity| Ok(affinity.get().pin(slot)))
    }

    /// The cookie's name for a scope. Remove the cookie with this name from requests and responses.
    #[pyo3(signature = (scope = Text::EMPTY))]
    fn cookie_name<'py>(
        &self,
        py: Python<'py>,
        scope: Text<'_, 'py>,
    ) -> PyResult<Bound<'py, PyString>> {
        self.with(|affinity| {
            let name = affinity.get().cookie_name(scope.as_bytes()).map_err(errors::of)?;
            ascii(py, name.as_bytes())
        })
    }

    /// The `id_hint` of a client, from 1 to `MAX_KEY` bytes that belong to only that client.
    fn id_hint<'py>(&self, py: Python<'py>, of: Text<'_, 'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.with(|affinity| {
            let hint = affinity.get().id_hint(of.as_bytes()).map_err(errors::of)?;
            Ok(PyBytes::new(py, &hint))
        })
    }

    /// The group of a request, whether it names existing state, and which of its ids are read.
    fn classify(
        &self,
        method: Text<'_, '_>,
        target: Text<'_, '_>,
    ) -> PyResult<(Word<Group>, bool, Word<Ids>)> {
        self.with(|affinity| {
            Ok(class(affinity.get().classify(method.as_bytes(), target.as_bytes())))
        })
    }

    /// The owner of a request's ids: its consumer's name if ids belong to consumers, else empty.
    #[pyo3(signature = (consumer = Texts::none(), *, consumer_trusted = false))]
    fn id_owner<'py>(
        &self,
        py: Python<'py>,
        consumer: Texts<'_, 'py>,
        consumer_trusted: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let consumer = KeyInput::new(consumer.iter()).trusted(consumer_trusted);
        self.with(|affinity| Ok(PyBytes::new(py, affinity.get().id_owner(consumer))))
    }

    /// The name of a key in the table of ids, by its number; None if there is none.
    fn id_key<'py>(&self, py: Python<'py>, number: u8) -> PyResult<Option<Bound<'py, PyString>>> {
        self.with(|affinity| {
            affinity.get().id_key(number).map(|name| PyString::from_bytes(py, name)).transpose()
        })
    }

    /// Opens the ids of one request: those of its target now, those of its body as it comes. `ids`
    /// comes from `classify`, `owner` from `id_owner`; a mode replaces the configured one.
    #[pyo3(signature = (target, ids, *, scope = Text::EMPTY, owner = Text::EMPTY, mode = None))]
    fn opener(
        &self,
        target: &Bound<'_, PyAny>,
        ids: Word<Ids>,
        scope: Text<'_, '_>,
        owner: Text<'_, '_>,
        mode: Option<Word<Mode>>,
    ) -> PyResult<IdOpener> {
        let mode = mode.map(|mode| mode.0);
        let place = Place::new(self.get()?, scope.as_bytes(), owner.as_bytes(), mode)?;
        IdOpener::new(place, ids.0, target)
    }

    /// Seals the ids of one response from the account in `slot`. The request's opener gives scope,
    /// owner, mode and `ids`, and the forms in which the client wrote its ids; without an opener,
    /// pass them here. `events` says that the body is server-sent events. In absolute URLs, the
    /// `origin` of the client's request, such as `https://gateway.example`, replaces the authority
    /// `upstream`.
    #[pyo3(signature = (slot, opener = None, *, ids = None, events = false, upstream = Text::EMPTY,
        origin = Text::EMPTY, scope = Text::EMPTY, owner = Text::EMPTY, mode = None))]
    #[expect(clippy::too_many_arguments, reason = "Python names them")]
    fn sealer(
        &self,
        slot: u32,
        opener: Option<PyRef<'_, IdOpener>>,
        ids: Option<Word<Ids>>,
        events: bool,
        upstream: Text<'_, '_>,
        origin: Text<'_, '_>,
        scope: Text<'_, '_>,
        owner: Text<'_, '_>,
        mode: Option<Word<Mode>>,
    ) -> PyResult<IdSealer> {
        let origin = (upstream.as_bytes().to_vec(), origin.as_bytes().to_vec());
        let ids = ids.map(|ids| ids.0);
        if let Some(opener) = opener {
            return IdSealer::of(&opener, slot, ids, events, origin);
        }
        let Some(ids) = ids else {
            return Err(PyTypeError::new_err("either an opener or ids"));
        };
        let mode = mode.map(|mode| mode.0);
        let place = Place::new(self.get()?, scope.as_bytes(), owner.as_bytes(), mode)?;
        IdSealer::new(place, slot, ids, events, origin)
    }

    /// The configuration's fingerprint. Replicas that show different ones do not agree.
    #[getter]
    fn fingerprint(&self) -> PyResult<u64> {
        self.with(|affinity| Ok(affinity.get().fingerprint()))
    }

    /// The fingerprint of the weights, and of the states that count at `now`, or now.
    #[pyo3(signature = (now = None))]
    fn live_fingerprint(&self, now: Option<u64>) -> PyResult<u64> {
        self.with(|affinity| Ok(affinity.get().live_fingerprint(now.unwrap_or_else(unix_now))))
    }

    /// Ends the affinity: later calls raise `not_initialised`. Its secrets are wiped with the last
    /// opener and sealer that it has made. An affinity that no one refers to any more is closed
    /// too.
    fn close(&self) {
        let built = self.built.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(built);
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) {
        self.close();
    }

    fn __repr__(&self) -> String {
        self.with(|affinity| {
            let affinity = affinity.get();
            let (slots, fingerprint) = (affinity.capacity(), affinity.fingerprint());
            Ok(format!("<tokenpin.Affinity of {slots} slots, fingerprint {fingerprint:016x}>"))
        })
        .unwrap_or_else(|_| "<tokenpin.Affinity, closed>".into())
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
