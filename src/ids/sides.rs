//! The context in which a request is opened and a response is sealed.

use super::fields::Ids;
use super::id::SealedId;
use super::rules::{Form, Mode, Rules};
use super::summary::Echo;

/// The context in which the ids of a request are opened.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// The rules for all requests.
    pub rules: &'a Rules<'a>,
    /// Returns whether an account with this identity hash is in the set. History is followed only
    /// to such an account.
    pub known: &'a (dyn Fn(u64) -> bool + Sync),
}

/// The context in which the ids of a response are sealed.
#[derive(Clone, Copy)]
pub struct Sealing<'a> {
    /// The rules for all requests.
    pub rules: &'a Rules<'a>,
    /// The identity hash of the account that answered.
    pub pin: u64,
    /// The client's forms of the ids in its request.
    pub echo: &'a Echo,
    /// The replacement for the upstream's authority in absolute URIs under listed keys. `None`
    /// leaves them as they are.
    pub origin: Option<Origin<'a>>,
}

impl Sealing<'_> {
    /// Returns the sealed form of an id, if it gets one.
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

    /// Returns whether responses of such an API have anything to seal.
    pub(crate) fn seals(&self, ids: Ids) -> bool {
        !matches!(ids, Ids::None | Ids::Open) && self.rules.mode != Mode::Off
    }
}

/// The replacement for the upstream's authority in absolute URIs.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The upstream's authority: the host, and the port if there is one.
    pub upstream: &'a [u8],
    /// Scheme and authority of the client's request, such as `https://gateway.example`.
    pub own: &'a [u8],
}
