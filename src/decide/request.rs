//! A request, as a decision reads it.

use crate::enums::named;
use crate::ids::summary::Summary;
use crate::limits::MAX_KEY;

use super::classify::Group;

/// Why a key of the request was not used: the reason of the first unusable one, else `ok` if a key
/// is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum KeyReason {
    /// A key is used.
    Ok = 0,
    /// There was no key, or the decision needed none.
    Absent = 1,
    /// A consumer name came from a source that is not trusted to name consumers.
    Untrusted = 2,
    /// Several different values came where one is expected.
    SeveralValues = 3,
    /// The key is over [`MAX_KEY`](crate::MAX_KEY) bytes.
    TooLong = 4,
}

named! { KeyReason {
    Ok = "ok", Absent = "absent", Untrusted = "untrusted",
    SeveralValues = "several_values", TooLong = "too_long",
} }

/// A consumer name or a session key of a request: the values of one header, which must all be the
/// same. An empty value counts as absent.
#[derive(Clone, Copy, Default)]
pub struct KeyInput<'r> {
    value: &'r [u8],
    several: bool,
    trusted: bool,
}

impl<'r> KeyInput<'r> {
    /// Reads the values of a header. Empty ones are skipped, and equal ones count as one. The
    /// result is untrusted, which matters only for a consumer name.
    pub fn new(values: impl IntoIterator<Item = &'r [u8]>) -> Self {
        let mut values = values.into_iter().filter(|value| !value.is_empty());
        let value = values.next().unwrap_or_default();
        Self { value, several: values.any(|other| other != value), trusted: false }
    }

    /// Sets whether the values come from a source that may name consumers: the gateway's own
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

/// One request, borrowed. Only ids are copied.
#[derive(Clone, Copy, Default)]
pub struct Request<'r> {
    /// The group of the API. `None` classifies `method` and `target`.
    pub group: Option<Group>,
    /// True if the request names existing state. Then it is stateful, regardless of group, method
    /// and target. Set it if the body names state (`previous_response_id`, `input_file_id`, ...);
    /// the library learns that only from `ids`.
    pub existing: bool,
    /// The summary of the ids in its path, query and body. `None` if they were not read.
    pub ids: Option<&'r Summary>,
    /// The method, which classification reads. With a `group` it still says whether the request
    /// names existing state. Use `CONNECT` for a WebSocket handshake, also if it is a `GET` with
    /// `Upgrade`: a handshake reads nothing, and its connection may create state.
    pub method: &'r [u8],
    /// The target, which classification reads.
    pub target: &'r [u8],
    /// The consumer name.
    pub consumer: KeyInput<'r>,
    /// The session key.
    pub session: KeyInput<'r>,
    /// A cookie's value that came in the carrier header. Empty for none.
    pub carrier_value: &'r [u8],
    /// True if the response returns the cookie in the carrier header instead of `Set-Cookie`.
    /// Implied if `carrier_value` is not empty.
    pub carrier: bool,
    /// The scope. Empty for the configured one.
    pub scope: &'r [u8],
    /// The slots that this request has tried already.
    pub tried: &'r [u32],
    /// The wall clock, in unix seconds.
    pub now: u64,
    /// Sixteen fresh random bytes. Needed whenever a cookie is issued or a slot is picked at
    /// random. It is simplest to give them always.
    pub entropy: [u8; 16],
    /// Sixteen bytes that become the id of a new session, so that parallel first requests of one
    /// client agree: [`Affinity::id_hint`](crate::Affinity::id_hint) of something that belongs to
    /// only one client. Not a connection behind a CDN, which carries many clients, and not an
    /// address behind a NAT. `None` if in doubt.
    pub id_hint: Option<[u8; 16]>,
}
