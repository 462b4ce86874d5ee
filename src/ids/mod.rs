//! Sealed ids: ids of objects that say, authenticated and masked, which account they live in.
//!
//! [`IdSealer`](crate::IdSealer) seals and opens one id. [`Opener`] opens those of a request's body
//! and [`Sealer`] seals those of a response's, as it passes. [`Opening::open_target`] and
//! [`Sealing::seal_target`] do it in paths. docs/spec/sealed-ids.md is the specification.

mod events;
pub(crate) mod fields;
pub(crate) mod form;
pub(crate) mod id;
mod path;
mod reader;
pub(crate) mod rewrite;
pub(crate) mod rules;
mod scan;
mod seal;
pub(crate) mod sides;
pub(crate) mod summary;

pub use fields::{
    COLLECTIONS, DIGEST_HEADERS, DOWNLOADS, Fields, ITEM_PREFIXES, IdKey, Ids, KEYS, KeyKind,
    LITERALS, LOCATION_HEADERS, PREFIXES, UPLOADS,
};
pub use rewrite::{Opener, Piece, Sealer};
pub use rules::{ForeignSeals, Mode, Rules};
pub use sides::{Opening, Origin, Sealing};
pub use summary::{Echo, Summary};
