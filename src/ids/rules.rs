//! What holds for all requests of a gateway: the mode, the keys, the table.

use crate::enums::named;
use crate::limits::MAX_ID;

use super::fields::{Fields, Ids};
use super::form::in_alphabet;
use super::id::IdSealer;

/// What looks sealed, and was not sealed by a key of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ForeignSeals {
    /// By the mode: plain in [`Mode::Open`], where clients may still hold another gateway's ids, else refused.
    Auto = 0,
    /// It is refused.
    Refuse = 1,
    /// It is an id as a provider makes it.
    Plain = 2,
}

named! { ForeignSeals { Auto = "auto", Refuse = "refuse", Plain = "plain" } }

/// What is done with ids. Rolled out in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mode {
    /// Nothing is opened and nothing sealed. Requests may be read: what names state that exists is found.
    Off = 0,
    /// Sealed ids are opened and followed. Only what this client sent sealed is sealed.
    Open = 1,
    /// Everything is sealed, and plain ids are let through.
    Seal = 2,
    /// Plain ids are refused.
    Strict = 3,
}

named! { Mode { Off = "off", Open = "open", Seal = "seal", Strict = "strict" } }

/// What holds for all requests of a gateway.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Seals and opens.
    pub sealer: IdSealer<'a>,
    /// What is done with ids.
    pub mode: Mode,
    /// Refuse what looks sealed and was not sealed by this ring; else it is plain.
    pub refuse_foreign: bool,
    /// Mark encrypted content.
    pub encrypted: bool,
    /// Which strings are ids.
    pub fields: Fields<'a>,
}

impl ForeignSeals {
    /// Whether they are refused in this mode.
    #[must_use]
    pub const fn refuses(self, mode: Mode) -> bool {
        match self {
            Self::Auto => matches!(mode, Mode::Seal | Mode::Strict),
            Self::Refuse => true,
            Self::Plain => false,
        }
    }
}

impl<'a> Rules<'a> {
    /// The defaults of a mode.
    #[must_use]
    pub const fn new(sealer: IdSealer<'a>, mode: Mode) -> Self {
        Self {
            sealer,
            mode,
            refuse_foreign: ForeignSeals::Auto.refuses(mode),
            encrypted: true,
            fields: Fields::NONE,
        }
    }

    /// Whether the responses of such an API are sealed whatever their client sends.
    pub(crate) fn seals_all(&self, ids: Ids) -> bool {
        matches!(self.mode, Mode::Seal | Mode::Strict) && matches!(ids, Ids::Both | Ids::Items)
    }

    /// Whether those are sealed that their client has sent sealed.
    pub(crate) fn echoes(&self, ids: Ids) -> bool {
        self.mode == Mode::Open && matches!(ids, Ids::Both | Ids::Items)
    }

    /// Whether a text under a listed key is an id that is sealed in responses of such an API.
    pub(crate) fn seals(&self, ids: Ids, text: &[u8]) -> bool {
        text.len() <= MAX_ID && self.fields.seals(ids, text) && in_alphabet(text)
    }

    /// The form of an id that this key has sealed, if the gateway would write it otherwise.
    pub(crate) fn unlike_sealed(&self, key_id: u8) -> Option<Form> {
        let likewise = self.mode != Mode::Open && self.sealer.signs_with(key_id);
        (!likewise).then_some(Form::Sealed(key_id))
    }
}

/// How a client wrote an id, where that is not how the gateway would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    /// Sealed with this key.
    Sealed(u8),
}
