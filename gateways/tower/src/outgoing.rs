//! A request on its way to an account.

use http::header::{COOKIE, HeaderValue};
use http::request::Parts;
use tokenpin::cookie::field::{next, strip};

use crate::credentials::remove_client;
use crate::decide::Decided;
use crate::generation::Generation;
use crate::headers::rewrite;
use crate::ids::RequestIds;

impl Generation {
    /// Makes a request one of the account that serves it.
    pub(crate) fn send(&self, parts: &mut Parts, ids: Option<&RequestIds>, decided: &Decided) {
        if let Some(ids) = ids {
            ids.put(parts);
        }
        if let Some(name) = &self.carrier_header {
            parts.headers.remove(name);
        }
        let name = decided.name.as_bytes();
        let holds = |field: &[u8]| next(field, name, 0).is_some();
        rewrite(&mut parts.headers, &COOKIE, holds, |field| without(field, name));
        if !self.forward_client_credentials {
            remove_client(&mut parts.headers);
        }
        parts.extensions.insert(decided.decision);
        self.credentials.apply(decided.slot, parts);
    }
}

/// A field without the cookies called `name`; `None` if nothing is left.
fn without(field: &HeaderValue, name: &[u8]) -> Option<HeaderValue> {
    let mut left = vec![0; field.len()];
    let len = strip(field.as_bytes(), name, &mut left).ok().filter(|&len| len != 0)?;
    HeaderValue::from_bytes(left.get(..len)?).ok()
}
