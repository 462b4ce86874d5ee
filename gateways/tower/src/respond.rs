//! A response on its way to the client.

use http::header::{CACHE_CONTROL, HeaderValue, SET_COOKIE};
use http::{Response, StatusCode};
use tokenpin::cookie::set_cookie;
use tokenpin::{Answer, MAX_SET_COOKIE};

use crate::decide::Decided;
use crate::generation::Generation;
use crate::headers::rewrite;

impl Generation {
    /// Removes what an upstream must not set, and sets the affinity's cookie on success.
    pub(crate) fn finish<B>(&self, response: &mut Response<B>, decided: &Decided) {
        response.extensions_mut().insert(decided.decision);
        let switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        if let Some(name) = &self.carrier_header {
            headers.remove(name);
        }
        let ours = |line: &[u8]| set_cookie::matches(line, decided.name.as_bytes());
        let left = |line: &HeaderValue| Some(line.clone()).filter(|line| !ours(line.as_bytes()));
        rewrite(headers, &SET_COOKIE, ours, left);
        if decided.decision.cookie.is_none() {
            return;
        }
        // The status that the same handshake has over HTTP/2.
        let status = if switching { StatusCode::OK } else { response.status() };
        let mut out = [0; MAX_SET_COOKIE];
        let finished = self.affinity().finish(&decided.decision, status.as_u16(), &mut out);
        // An error leaves the answer empty. There is none: the buffer suffices, and the
        // configuration is the same.
        let (answer, len) = finished.unwrap_or((Answer::Nothing, 0));
        let Some(mut value) = out.get(..len).and_then(|text| HeaderValue::from_bytes(text).ok())
        else {
            return;
        };
        value.set_sensitive(true);
        let headers = response.headers_mut();
        let (name, text) = match (answer, &self.carrier_header) {
            (Answer::SetCookie, _) => (&SET_COOKIE, "Set-Cookie"),
            // Of which nothing is left.
            (Answer::Carrier, Some(name)) => (name, name.as_str()),
            _ => return,
        };
        // A response of 32768 headers has no room for more, and goes without.
        let set = headers.try_append(name, value).is_ok();
        // A cached value would share a session. No cache keeps a 101.
        if set && !switching {
            if let Ok(uncached) = HeaderValue::try_from(format!("no-cache=\"{text}\"")) {
                let _ = headers.try_append(CACHE_CONTROL, uncached);
            }
        }
    }
}
