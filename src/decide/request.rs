//! A request, as a decision reads it.

use crate::enums::named;
use crate::ids::summary::Summary;
use crate::limits::MAX_KEY;

use super::classify::Group;

/// What became of the request's keys: why the first unusable one was not used, else `ok` if one is
/// used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum KeyReason {
    /// A key is used.
    Ok = 0,
    /// There was none, or nobody looked.
    Absent = 1,
    /// A consumer name came from somebody who is not trusted to give one.
    Untrusted = 2,
    /// Several values that differ, where one is expected.
    SeveralValues = 3,
    /// Over [`MAX_KEY`](crate::MAX_KEY) bytes.
    TooLong = 4,
}

named! { KeyReason {
    Ok = "ok", Absent = "absent", Untrusted = "untrusted",
    SeveralValues = "several_values", TooLong = "too_long",
} }

/// A consumer name or a session key as it came with a request: the values of one header,
/// all of which have to be the same. An empty value counts as absent.
#[derive(Clone, Copy, Default)]
pub struct KeyInput<'r> {
    value: &'r [u8],
    several: bool,
    trusted: bool,
}

impl<'r> KeyInput<'r> {
    /// From the values of a header. Empty ones are passed over, and equal ones count as one. Not
    /// trusted, which matters only for a consumer name.
    pub fn new(values: impl IntoIterator<Item = &'r [u8]>) -> Self {
        let mut values = values.into_iter().filter(|value| !value.is_empty());
        let value = values.next().unwrap_or_default();
        Self { value, several: values.any(|other| other != value), trusted: false }
    }

    /// Says whether the values come from somebody who may name consumers: a gateway's own
    /// authentication, never the client.
    #[must_use]
    pub const fn trusted(self, trusted: bool) -> Self {
        Self { trusted, ..self }
    }

    pub(super) fn read(self) -> Result<Option<&'r [u8]>, KeyReason> {
        if self.value.is_empty() {
            Ok(None)
        } else if !self.trusted {
            Err(KeyReason::Untrusted)
        } else if self.several {
            Err(KeyReason::SeveralValues)
        } else if self.value.len() > MAX_KEY {
            Err(KeyReason::TooLong)
        } else {
            Ok(Some(self.value))
        }
    }
}

/// One request, borrowed. Nothing is copied but ids.
#[derive(Clone, Copy, Default)]
pub struct Request<'r> {
    /// The group of the API; `None` classifies `method` and `target`.
    pub group: Option<Group>,
    /// The request names existing state, and so is stateful, whatever group, method and target say.
    /// Set it where the body names some (`previous_response_id`, `input_file_id`, ...), which only `ids` tells
    /// the library.
    pub existing: bool,
    /// What the ids of its path, query and body come to; `None` where nobody looked.
    pub ids: Option<&'r Summary>,
    /// The method, which classification reads; with a `group` it tells whether the request names
    /// existing state. `CONNECT` for a WebSocket handshake, also where that is a `GET` with
    /// `Upgrade`: it reads nothing, and what comes of it may create.
    pub method: &'r [u8],
    /// The target, which classification reads.
    pub target: &'r [u8],
    /// The consumer name.
    pub consumer: KeyInput<'r>,
    /// The session key.
    pub session: KeyInput<'r>,
    /// A cookie's value that came in a header of its own; empty for none.
    pub carrier_value: &'r [u8],
    /// The answer goes back in that header rather than in `Set-Cookie`. Taken for granted
    /// if `carrier_value` is not empty.
    pub carrier: bool,
    /// The scope; empty for the configured one.
    pub scope: &'r [u8],
    /// The slots that this request has tried already.
    pub tried: &'r [u32],
    /// The wall clock, in unix seconds.
    pub now: u64,
    /// Sixteen fresh random bytes. Needed wherever a cookie is issued or a slot is picked at
    /// random; always giving them is simplest.
    pub entropy: [u8; 16],
    /// Sixteen bytes that become the id of a new session, so that parallel first requests
    /// of one client agree: [`Affinity::id_hint`](crate::Affinity::id_hint) of something that
    /// belongs only to one client. A connection is not that behind a CDN, which sends many
    /// clients over one; nor is an address behind a NAT. `None` if in doubt.
    pub id_hint: Option<[u8; 16]>,
}
