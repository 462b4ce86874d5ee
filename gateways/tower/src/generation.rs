//! One configuration at work.

use std::borrow::Cow;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{COOKIE, HeaderName, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use tokenpin::ids::Mode;
use tokenpin::{Affinity, OwnedAffinity, SlotStatus, State};

use crate::cooldown::{Cooldown, unix_now};
use crate::credentials::{Credentials, is_client};

/// Reads bytes from a request's head; empty for none.
type Reader = Box<dyn for<'p> Fn(&'p Parts) -> Cow<'p, [u8]> + Send + Sync>;
type Condition = Box<dyn Fn(&Parts) -> bool + Send + Sync>;
type ModeOf = Box<dyn Fn(&Parts) -> Mode + Send + Sync>;

/// One configuration at work: an affinity, the credentials of its slots, and what is read from
/// requests.
///
/// The generation that decided about a request also finishes it, even after a
/// [reload](crate::PinLayer::reload). `Debug` leaves out all secrets.
pub struct Generation {
    affinity: OwnedAffinity,
    pub(crate) credentials: Box<dyn Credentials>,
    pub(crate) consumer_header: Option<HeaderName>,
    pub(crate) session_header: Option<HeaderName>,
    pub(crate) carrier_header: Option<HeaderName>,
    pub(crate) scope: Option<Reader>,
    pub(crate) id_hint: Option<Reader>,
    pub(crate) existing: Option<Condition>,
    pub(crate) sealed_ids: Option<ModeOf>,
    pub(crate) bodies: bool,
    pub(crate) max_body: usize,
    pub(crate) max_held: usize,
    /// The bytes of all bodies that are held.
    pub(crate) held: Arc<AtomicUsize>,
    pub(crate) refuse_upgrades: bool,
    /// The upstream's authority, and what stands in its place.
    pub(crate) origin: Option<(Vec<u8>, Reader)>,
    pub(crate) forward_client_credentials: bool,
    cooldowns: Vec<Cooldown>,
    pub(crate) retry: Option<Retry>,
    /// By slot, what the last cooldown made of it. Locked by who changes a slot.
    cooled: Mutex<Vec<Option<SlotStatus>>>,
}

/// When a request is tried again on another account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The statuses of a response, each 400 to 599. A 5xx may come after the work was done.
    pub statuses: Vec<StatusCode>,
    /// The most retries, 1 to 3.
    pub max: u32,
    /// The longest body that is kept for it, in bytes. It is copied as it goes by, and only if the
    /// request may move.
    pub body_limit: usize,
}

impl Default for Retry {
    /// Once, at 401 and 429, with bodies of up to 1 MiB. Another account would mostly answer 403
    /// too: for the request's content, its country, or a missing file.
    fn default() -> Self {
        let statuses = vec![StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
        Self { statuses, max: 1, body_limit: 1 << 20 }
    }
}

/// The first error of a [`Generation`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The number of credentials differs from the number of slots.
    #[error("credentials of {credentials} slots for an affinity of {slots}")]
    Credentials {
        /// The number of slots that have credentials.
        credentials: usize,
        /// The number of slots of the affinity.
        slots: usize,
    },
    /// The carrier header has another use, or is a credential. It is removed from each request.
    #[error("the carrier header {0} is used for something else")]
    CarrierHeader(HeaderName),
    /// The cooldown at this index has no status, or one that is not 400 to 599.
    #[error("cooldowns[{0}]: the statuses are not one or more of 400 to 599")]
    CooldownStatuses(usize),
    /// The state of the cooldown at this index is neither draining nor down.
    #[error("cooldowns[{0}]: the state is neither draining nor down")]
    CooldownState(usize),
    /// A time of the cooldown at this index is 0.
    #[error("cooldowns[{0}]: a time is less than a second")]
    CooldownSeconds(usize),
    /// The retry has no status, or one that is not 400 to 599.
    #[error("retry: the statuses are not one or more of 400 to 599")]
    RetryStatuses,
    /// The number of retries is not 1 to 3.
    #[error("retry: max is not 1 to 3")]
    RetryMax,
    /// A limit for bodies is 0.
    #[error("max_body or max_held is less than a byte")]
    MaxBody,
}

impl Generation {
    /// An affinity, with credentials for each of its slots. Everything else has a default, which
    /// the methods change.
    pub fn new(affinity: OwnedAffinity, credentials: impl Credentials + 'static) -> Self {
        let slots = affinity.get().capacity();
        Self {
            affinity,
            credentials: Box::new(credentials),
            consumer_header: None,
            session_header: None,
            carrier_header: None,
            scope: None,
            id_hint: None,
            existing: None,
            sealed_ids: None,
            bodies: true,
            max_body: 64 << 20,
            max_held: 1 << 30,
            held: Arc::default(),
            refuse_upgrades: false,
            origin: None,
            forward_client_credentials: false,
            cooldowns: Cooldown::defaults(),
            retry: None,
            cooled: Mutex::new(vec![None; slots]),
        }
    }

    /// A request header whose value is the consumer's name. Only for a header that clients cannot
    /// set: one that the gateway sets or removes.
    #[must_use]
    pub fn consumer_header(self, name: HeaderName) -> Self {
        Self { consumer_header: Some(name), ..self }
    }

    /// A request header whose value is a session key, chosen by the client.
    #[must_use]
    pub fn session_header(self, name: HeaderName) -> Self {
        Self { session_header: Some(name), ..self }
    }

    /// A header that carries the cookie's value for clients that keep no cookies. A request that
    /// has this header, even empty, gets the answer in a response header of the same name. Empty
    /// values are skipped; if several values differ, none is used. It cannot be a header that is
    /// removed as a [client's credential](Self::forward_client_credentials).
    #[must_use]
    pub fn carrier_header(self, name: HeaderName) -> Self {
        Self { carrier_header: Some(name), ..self }
    }

    /// Returns the scope of a request, at most [`MAX_SCOPE`](tokenpin::MAX_SCOPE) bytes. Empty for
    /// the affinity's own scope.
    #[must_use]
    pub fn scope<F>(self, read: F) -> Self
    where
        F: for<'p> Fn(&'p Parts) -> Cow<'p, [u8]> + Send + Sync + 'static,
    {
        Self { scope: Some(Box::new(read)), ..self }
    }

    /// Returns bytes that belong to only one client, such as its credential. The id of a new
    /// session is made from them, so that parallel first requests of a client agree, on every
    /// replica. Behind a CDN or a NAT, a connection or an address belongs to many clients, and
    /// would join them. No bytes, or more than [`MAX_KEY`](tokenpin::MAX_KEY), make a random id.
    #[must_use]
    pub fn id_hint<F>(self, read: F) -> Self
    where
        F: for<'p> Fn(&'p Parts) -> Cow<'p, [u8]> + Send + Sync + 'static,
    {
        Self { id_hint: Some(Box::new(read)), ..self }
    }

    /// Returns whether a request names existing state that neither method and path nor its ids
    /// show. Such a request goes to its session's account. While that is down, the request is
    /// refused, instead of sent to an account that does not know the state.
    #[must_use]
    pub fn existing(self, names_state: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        Self { existing: Some(Box::new(names_state)), ..self }
    }

    /// Sets the mode for the ids of a request and its response, instead of the affinity's own.
    #[must_use]
    pub fn sealed_ids(self, mode: impl Fn(&Parts) -> Mode + Send + Sync + 'static) -> Self {
        Self { sealed_ids: Some(Box::new(mode)), ..self }
    }

    /// In the mode [`Off`](Mode::Off), requests are decided without their bodies, which pass as
    /// they come. Then a request that names state only in its body counts as creating state, unless
    /// [`existing`](Self::existing) says otherwise. While its account is down, it goes to another
    /// account, which does not know the state, and moves the session there.
    #[must_use]
    pub fn without_bodies(self) -> Self {
        Self { bodies: false, ..self }
    }

    /// The longest body that is read for its ids, in bytes. A longer one is a 413; in the mode
    /// [`Off`](Mode::Off) it passes unread.
    #[must_use]
    pub fn max_body(self, bytes: usize) -> Self {
        Self { max_body: bytes, ..self }
    }

    /// The most bytes held of all bodies that are being read. A request beyond that is a 503; in
    /// the mode [`Off`](Mode::Off) it passes unread.
    #[must_use]
    pub fn max_held(self, bytes: usize) -> Self {
        Self { max_held: bytes, ..self }
    }

    /// Refuses `WebSocket`s on paths with sealed ids in the mode [`Open`](Mode::Open) too, so that
    /// clients fall back to requests, whose ids can be read. The modes [`Seal`](Mode::Seal) and
    /// [`Strict`](Mode::Strict) always refuse them.
    #[must_use]
    pub fn refuse_upgrades(self) -> Self {
        Self { refuse_upgrades: true, ..self }
    }

    /// The origin for absolute URLs in responses, such as `results_url` and `Location`. In URLs
    /// with the authority `upstream` (the host, and the port if there is one), the scheme and
    /// authority that `own` reads from the request replace it, such as `https://gateway.example`.
    /// Without this setting, the URLs stay as they are, with native ids in them.
    #[must_use]
    pub fn origin<F>(self, upstream: impl Into<Vec<u8>>, own: F) -> Self
    where
        F: for<'p> Fn(&'p Parts) -> Cow<'p, [u8]> + Send + Sync + 'static,
    {
        Self { origin: Some((upstream.into(), Box::new(own))), ..self }
    }

    /// Leaves the client's own credentials in the request. By default they are removed, also from
    /// trailers, before [`Credentials::apply`]. They are the headers
    ///
    /// * with one of these words in their name: authorization, auth, token, jwt, secret, password,
    ///   credential, credentials, apikey; or with api-key, access-key, functions-key or
    ///   subscription-key;
    /// * `OpenAI-Organization`, `OpenAI-Project` and `X-Goog-User-Project`, which say whose account
    ///   pays.
    ///
    /// `_` counts as `-`, as for many servers. Everything else passes: the client's other cookies,
    /// a key in the query or among the protocols of a `WebSocket`. Remove these yourself if you
    /// need to.
    #[must_use]
    pub fn forward_client_credentials(self) -> Self {
        Self { forward_client_credentials: true, ..self }
    }

    /// The effects of a response's status on its account, instead of [`Cooldown::defaults`]. The
    /// first with the status counts. An empty list switches cooldowns off.
    #[must_use]
    pub fn cooldowns(self, cooldowns: Vec<Cooldown>) -> Self {
        Self { cooldowns, ..self }
    }

    /// Tries requests again on another account, if nothing ties them to the one that refused. By
    /// default, none is retried.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry: Some(retry), ..self }
    }

    /// The affinity, for fingerprints and the states of slots. To change a state, see
    /// [`Generation::set_slot`].
    #[must_use]
    pub fn affinity(&self) -> &Affinity<'_> {
        self.affinity.get()
    }

    /// Changes a slot's state, weight and until. This ends its cooldown; and until it is up again,
    /// responses do not change it.
    ///
    /// # Errors
    ///
    /// Those of [`Affinity::set_slot`]. Nothing changes then.
    pub fn set_slot(&self, slot: u32, status: SlotStatus) -> Result<(), tokenpin::Error> {
        let mut cooled = self.cooled.lock().unwrap_or_else(PoisonError::into_inner);
        self.affinity().set_slot(slot, status)?;
        if let Some(cooled) = cooled.get_mut(slot as usize) {
            *cooled = None;
        }
        Ok(())
    }

    /// Lets the account in `slot` cool down if its response asks for that.
    pub(crate) fn cool(&self, slot: u32, status: StatusCode, headers: &HeaderMap) {
        let Some(cooldown) = self.cooldowns.iter().find(|each| each.statuses.contains(&status))
        else {
            return;
        };
        let now = unix_now();
        let (state, until) = (cooldown.state, cooldown.until(headers, now));
        let mut cooled = self.cooled.lock().unwrap_or_else(PoisonError::into_inner);
        let (Ok(live), Some(cooled)) =
            (self.affinity().get_slot(slot), cooled.get_mut(slot as usize))
        else {
            return;
        };
        if live.state_at(now) != State::Up {
            let own = *cooled == Some(live);
            let longer = live.state == state && live.until < until;
            let worse = live.state == State::Draining && state == State::Down;
            if !own || !(longer || worse) {
                return;
            }
        }
        let status = SlotStatus { state, until, ..live };
        if self.affinity().set_slot(slot, status).is_ok() {
            *cooled = Some(status);
        }
    }

    /// Checks that all of it fits together.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let (credentials, slots) = (self.credentials.slots(), self.affinity().capacity());
        if credentials != slots {
            return Err(Error::Credentials { credentials, slots });
        }
        if let Some(name) = &self.carrier_header {
            let others = [&self.consumer_header, &self.session_header];
            let taken = others.into_iter().flatten().any(|other| other == name);
            if taken || name == COOKIE || name == SET_COOKIE || is_client(name) {
                return Err(Error::CarrierHeader(name.clone()));
            }
        }
        let failures = |statuses: &[StatusCode]| {
            let failure = |status: &StatusCode| (400..600).contains(&status.as_u16());
            !statuses.is_empty() && statuses.iter().all(failure)
        };
        for (index, cooldown) in self.cooldowns.iter().enumerate() {
            if !failures(&cooldown.statuses) {
                return Err(Error::CooldownStatuses(index));
            }
            if !matches!(cooldown.state, State::Draining | State::Down) {
                return Err(Error::CooldownState(index));
            }
            if cooldown.seconds == 0 || cooldown.retry_after == Some(0) {
                return Err(Error::CooldownSeconds(index));
            }
        }
        if self.max_body == 0 || self.max_held == 0 {
            return Err(Error::MaxBody);
        }
        match &self.retry {
            Some(retry) if !failures(&retry.statuses) => Err(Error::RetryStatuses),
            Some(retry) if !(1..=3).contains(&retry.max) => Err(Error::RetryMax),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation")
            .field("affinity", &self.affinity)
            .field("consumer_header", &self.consumer_header)
            .field("session_header", &self.session_header)
            .field("carrier_header", &self.carrier_header)
            .field("cooldowns", &self.cooldowns)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}
