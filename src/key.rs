//! The affinity key: what identifies a session.

use crate::error::Error;
use crate::hash::length_prefix;
use crate::names::named;

/// The longest consumer name or session key, in bytes.
pub const MAX_KEY: usize = 4096;

/// What an affinity key is made of, and what a cookie belongs to. The numbers are the
/// low nibble of a cookie's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A random id that a cookie carries.
    Anonymous = 0,
    /// A consumer name.
    Consumer = 1,
    /// A session key.
    Session = 2,
    /// A consumer name and a session key.
    Combined = 3,
}

named! { Kind {
    Anonymous = "anonymous", Consumer = "consumer", Session = "session", Combined = "combined",
} }

/// An affinity key.
///
/// `Debug` prints the kind alone: consumer names are personal data.
#[derive(Clone, Copy)]
pub enum Key<'a> {
    /// The id in an anonymous cookie.
    Anonymous(&'a [u8; 16]),
    /// A consumer name, 1 to [`MAX_KEY`] bytes.
    Consumer(&'a [u8]),
    /// A session key, 1 to [`MAX_KEY`] bytes.
    Session(&'a [u8]),
    /// Both, each 1 to [`MAX_KEY`] bytes.
    Combined {
        /// The consumer name.
        consumer: &'a [u8],
        /// The session key.
        session: &'a [u8],
    },
}

impl Key<'_> {
    /// What this key is made of.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Key::Anonymous(_) => Kind::Anonymous,
            Key::Consumer(_) => Kind::Consumer,
            Key::Session(_) => Kind::Session,
            Key::Combined { .. } => Kind::Combined,
        }
    }

    /// The byte that keeps the kinds apart in the key hash. Older than the kinds of
    /// the cookie, and numbered differently.
    pub(crate) const fn tag(&self) -> u8 {
        match self {
            Key::Consumer(_) => 1,
            Key::Anonymous(_) => 2,
            Key::Session(_) => 3,
            Key::Combined { .. } => 4,
        }
    }

    /// Feeds the key bytes: of a combined key, `u32le(len(consumer))`, the consumer and
    /// the session key, so that `("a:b", "c")` and `("a", "b:c")` differ.
    #[inline]
    pub(crate) fn feed(&self, out: &mut impl FnMut(&[u8])) {
        match *self {
            Key::Anonymous(id) => out(id),
            Key::Consumer(bytes) | Key::Session(bytes) => out(bytes),
            Key::Combined { consumer, session } => {
                out(&length_prefix(consumer));
                out(consumer);
                out(session);
            }
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let fits = |bytes: &[u8]| !bytes.is_empty() && bytes.len() <= MAX_KEY;
        let ok = match *self {
            Key::Anonymous(_) => true,
            Key::Consumer(bytes) | Key::Session(bytes) => fits(bytes),
            Key::Combined { consumer, session } => fits(consumer) && fits(session),
        };
        if ok { Ok(()) } else { Err(Error::KeyLength) }
    }
}

impl core::fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Key({}, ..)", self.kind().name())
    }
}
