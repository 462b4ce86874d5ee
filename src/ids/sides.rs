//! What a request is opened with, and a response sealed with.

use super::fields::Ids;
use super::id::SealedId;
use super::rules::{Form, Mode, Rules};
use super::summary::Echo;

/// What a request is read with.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// What holds for all requests.
    pub rules: &'a Rules<'a>,
    /// Whether an account with this identity hash is in the set. History is followed only to one that is.
    pub known: &'a (dyn Fn(u64) -> bool + Sync),
}

/// What a response is sealed with.
#[derive(Clone, Copy)]
pub struct Sealing<'a> {
    /// What holds for all requests.
    pub rules: &'a Rules<'a>,
    /// The identity hash of the account that answered.
    pub pin: u64,
    /// How the client wrote the ids of its request.
    pub echo: &'a Echo,
    /// Where the upstream's absolute URIs lead, under listed keys. `None` leaves them as they are.
    pub origin: Option<Origin<'a>>,
}

impl Sealing<'_> {
    /// The sealed form of an id, if it gets one.
    pub(crate) fn seal(&self, ids: Ids, text: &[u8]) -> Option<SealedId> {
        let rules = self.rules;
        if !self.seals(ids) || !rules.seals(ids, text) {
            return None;
        }
        let key = match (self.echo.find(rules, text), rules.mode) {
            (Some(Form::Plain), _) | (None, Mode::Open) => return None,
            (Some(Form::Sealed(key)), _) => key,
            (None, _) => rules.sealer.signing_key()?,
        };
        let mut sealed = SealedId::new();
        rules.sealer.seal_with(key, text, self.pin, &mut sealed).then_some(sealed)
    }

    /// Whether anything is sealed in responses of such an API.
    pub(crate) fn seals(&self, ids: Ids) -> bool {
        !matches!(ids, Ids::None | Ids::Open) && self.rules.mode != Mode::Off
    }
}

/// Where absolute URIs of the upstream lead.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The upstream's authority: host, and port if there is one.
    pub upstream: &'a [u8],
    /// Scheme and authority of the client's request, such as `https://gateway.example`.
    pub own: &'a [u8],
}
