//! The rules for all requests of a gateway: the mode, the keys, the table.

use crate::enums::named;
use crate::limits::MAX_ID;

use super::fields::{Fields, Ids};
use super::form::in_alphabet;
use super::id::IdSealer;

/// The treatment of texts that look sealed but were not sealed by a key of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ForeignSeals {
    /// Depends on the mode: plain in [`Mode::Open`], where clients may still hold ids of another
    /// gateway, else refused.
    Auto = 0,
    /// They are refused.
    Refuse = 1,
    /// They count as plain ids.
    Plain = 2,
}

named! { ForeignSeals { Auto = "auto", Refuse = "refuse", Plain = "plain" } }

/// The treatment of ids. The modes are rolled out in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mode {
    /// No id is opened or sealed. Requests may still be read for ids that name existing state.
    Off = 0,
    /// Sealed ids are opened and followed. Only ids that the client sent sealed are sealed again.
    Open = 1,
    /// All ids are sealed. Plain ids are accepted.
    Seal = 2,
    /// All ids are sealed. Plain ids are refused.
    Strict = 3,
}

named! { Mode { Off = "off", Open = "open", Seal = "seal", Strict = "strict" } }

/// The rules for all requests of a gateway.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The sealer, which also opens.
    pub sealer: IdSealer<'a>,
    /// The treatment of ids.
    pub mode: Mode,
    /// Refuses texts that look sealed but were not sealed by this ring. Otherwise they are plain.
    pub refuse_foreign: bool,
    /// Marks encrypted content.
    pub encrypted: bool,
    /// The tables of ids.
    pub fields: Fields<'a>,
}

impl ForeignSeals {
    /// Returns whether these texts are refused in this mode.
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
    /// Returns the defaults of a mode.
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

    /// Returns whether responses of an API are sealed regardless of what the client sends.
    pub(crate) fn seals_all(&self, ids: Ids) -> bool {
        matches!(self.mode, Mode::Seal | Mode::Strict) && matches!(ids, Ids::Both | Ids::Items)
    }

    /// Returns whether an id is sealed if the client sent it sealed.
    pub(crate) fn echoes(&self, ids: Ids) -> bool {
        self.mode == Mode::Open && matches!(ids, Ids::Both | Ids::Items)
    }

    /// Returns whether a text under a listed key is an id that responses of this API seal.
    pub(crate) fn seals(&self, ids: Ids, text: &[u8]) -> bool {
        text.len() <= MAX_ID && self.fields.seals(ids, text) && in_alphabet(text)
    }

    /// Returns the form of an id sealed with this key, if the gateway would write it differently.
    pub(crate) fn unlike_sealed(&self, key_id: u8) -> Option<Form> {
        let likewise = self.mode != Mode::Open && self.sealer.signs_with(key_id);
        (!likewise).then_some(Form::Sealed(key_id))
    }
}

/// The client's form of an id, where it differs from the gateway's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    /// Sealed with this key.
    Sealed(u8),
}
