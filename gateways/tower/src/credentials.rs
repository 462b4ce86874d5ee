//! The headers that make a request an account's.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, InvalidHeaderValue};
use http::request::Parts;

/// Sets the credentials of a slot's account on a request.
pub trait Credentials: Send + Sync {
    /// The number of slots with credentials: all slots of the affinity, vacant ones included.
    fn slots(&self) -> usize;

    /// Sets the credentials of the account in `slot`: sets headers and removes others, and changes
    /// the URI if accounts have their own addresses. The client's own credentials are already
    /// removed, unless
    /// [`Generation::forward_client_credentials`](crate::Generation::forward_client_credentials)
    /// was called. The [`Decision`](tokenpin::Decision) is in the request's extensions.
    fn apply(&self, slot: u32, request: &mut Parts);
}

/// Removes a client's own.
pub(crate) fn remove_client(headers: &mut HeaderMap) {
    remove(headers, is_client);
}

/// Returns whether a header of that name is a client's credential.
pub(crate) fn is_client(name: &HeaderName) -> bool {
    tokenpin::is_client_credential(name.as_str().as_bytes())
}

/// The name as servers see it that turn it into a variable.
fn folded(name: &HeaderName) -> impl Iterator<Item = u8> {
    name.as_str().bytes().map(|byte| if byte == b'_' { b'-' } else { byte })
}

fn remove(headers: &mut HeaderMap, is: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Credentials that are headers. `Debug` leaves them out.
pub struct SlotHeaders {
    slots: Vec<HeaderMap>,
    /// Of the headers of all slots.
    names: Vec<HeaderName>,
}

impl SlotHeaders {
    /// Makes credentials from the headers of each slot's account; none for a vacant slot. Headers
    /// that only other slots have are removed from a request, also with `_` for `-`. The values are
    /// made [sensitive](HeaderValue::set_sensitive), so that a request's `Debug` leaves them out.
    #[must_use]
    pub fn new(slots: impl IntoIterator<Item = HeaderMap>) -> Self {
        let mut slots: Vec<HeaderMap> = slots.into_iter().collect();
        slots
            .iter_mut()
            .flat_map(HeaderMap::values_mut)
            .for_each(|value| value.set_sensitive(true));
        let mut names: Vec<HeaderName> = slots.iter().flat_map(HeaderMap::keys).cloned().collect();
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        Self { slots, names }
    }

    /// Makes credentials from tokens for the header `Authorization`, slot by slot; an empty one is
    /// for a vacant slot.
    ///
    /// # Errors
    ///
    /// A token has a byte that no header's value may have.
    pub fn bearer<T: AsRef<str>>(
        tokens: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidHeaderValue> {
        let slots = tokens.into_iter().map(|token| {
            let mut headers = HeaderMap::new();
            if !token.as_ref().is_empty() {
                let value = HeaderValue::try_from(format!("Bearer {}", token.as_ref()))?;
                headers.insert(AUTHORIZATION, value);
            }
            Ok(headers)
        });
        slots.collect::<Result<Vec<_>, _>>().map(Self::new)
    }
}

impl Credentials for SlotHeaders {
    fn slots(&self) -> usize {
        self.slots.len()
    }

    fn apply(&self, slot: u32, request: &mut Parts) {
        let is_ours =
            |name: &HeaderName| self.names.iter().any(|ours| folded(ours).eq(folded(name)));
        remove(&mut request.headers, is_ours);
        for (name, value) in self.slots.get(slot as usize).into_iter().flatten() {
            // A request of 32768 headers has no room for more, and goes without.
            let _ = request.headers.try_append(name, value.clone());
        }
    }
}

impl std::fmt::Debug for SlotHeaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlotHeaders").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}
