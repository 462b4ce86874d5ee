//! Answers to requests that no account may serve: those of the table in docs/guides/embedding.md.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use tokenpin::ids::Summary;
use tokenpin::{Affinity, Decision, Error};

/// Why a request is not served.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    /// The field of the request that is meant.
    param: Option<String>,
    /// Whether the request is to blame; else the gateway is.
    of_request: bool,
    /// In seconds; 0: nobody knows.
    retry_after: u32,
    headers: &'static [(&'static str, &'static str)],
    decision: Option<Box<Decision>>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            param: None,
            of_request: false,
            retry_after: 0,
            headers: &[],
            decision: None,
        }
    }

    fn of_request(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self { of_request: true, ..Self::new(status, code, message) }
    }

    /// Of a request that could not be decided.
    pub(crate) fn of_error(error: &Error) -> Self {
        match error {
            Error::ScopeLength => {
                Self::new(StatusCode::BAD_REQUEST, "bad_tenant", "The tenant cannot be told.")
            }
            _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "affinity_error",
                "The gateway cannot choose an account.",
            ),
        }
    }

    /// Of a decision without a slot.
    pub(crate) fn of_decision(
        affinity: &Affinity<'_>,
        decision: &Decision,
        ids: Option<&Summary>,
    ) -> Self {
        use tokenpin::Refusal as Why;
        let why = decision.refusal();
        // The keys of ids are told, never whether there is an account.
        let [first, second] = decision.id_keys.map(|number| key_name(affinity, number));
        let quoted = match ids.map_or(&b""[..], Summary::quoted) {
            b"" => String::new(),
            id => format!(" '{}'", String::from_utf8_lossy(id)),
        };
        let (message, param): (Cow<'static, str>, _) = match why {
            Why::None | Why::NoAccountAvailable => ("No account is available.".into(), None),
            Why::BadAffinityKey => ("The session's key cannot be used.".into(), None),
            Why::SessionUnavailable => ("The session's account is unavailable.".into(), None),
            Why::PreviousResponseNotFound => {
                (format!("The previous response{quoted} was not found.").into(), Some(first))
            }
            Why::InvalidEncryptedContent => {
                ("The encrypted content could not be verified.".into(), None)
            }
            Why::NotFound => {
                let message = format!("The object{quoted} named by '{first}' was not found.");
                (message.into(), Some(first))
            }
            Why::ConflictingAccounts => (
                format!(
                    "The objects named by '{first}' and '{second}' cannot be used together: they were created apart."
                )
                .into(),
                Some(second),
            ),
            Why::UnreadableBody => (UNREADABLE.into(), None),
        };
        let status = StatusCode::from_u16(why.status());
        let refusal =
            Self::new(status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE), why.name(), message);
        Self {
            param,
            of_request: refusal.status.is_client_error(),
            retry_after: decision.retry_after,
            decision: Some(Box::new(*decision)),
            ..refusal
        }
    }

    /// Of a body that is too long.
    pub(crate) fn too_large() -> Self {
        let message = "The request's body is too large.";
        Self::of_request(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    }

    /// Of a body that is one too many.
    pub(crate) fn too_many() -> Self {
        let message = "The gateway holds too many requests.";
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_bodies", message);
        Self { retry_after: 1, ..refusal }
    }

    /// Of a body that cannot be read to its end.
    pub(crate) fn unreadable() -> Self {
        Self::of_request(StatusCode::BAD_REQUEST, "unreadable_body", UNREADABLE)
    }

    /// Of a body that is no JSON.
    pub(crate) fn wrong_type() -> Self {
        let message = "The request's body has to be JSON.";
        Self::of_request(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_type", message)
    }

    /// Of a body that is compressed.
    pub(crate) fn wrong_encoding() -> Self {
        let message = "The request's body must not be encoded.";
        let refusal = Self::of_request(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_encoding",
            message,
        );
        Self { headers: &[("accept-encoding", "identity")], ..refusal }
    }

    /// Of a WebSocket, whose ids nobody could see.
    pub(crate) fn wrong_protocol() -> Self {
        let message = "This is not served over a WebSocket.";
        let refusal =
            Self::of_request(StatusCode::UPGRADE_REQUIRED, "websocket_not_supported", message);
        Self { headers: &[("upgrade", "HTTP/1.1"), ("connection", "upgrade")], ..refusal }
    }

    /// The answer to a request with these headers, in the form that its client expects.
    pub(crate) fn answer(self, request: &HeaderMap) -> Response<Full<Bytes>> {
        // Only clients of Anthropic say which version of its API they mean.
        let for_anthropic = request.contains_key("anthropic-version");
        let mut response = Response::new(Full::from(self.body(for_anthropic)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.retry_after != 0 {
            headers.insert(RETRY_AFTER, self.retry_after.into());
        }
        for (name, value) in self.headers {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        if let Some(decision) = self.decision {
            response.extensions_mut().insert(*decision);
        }
        response
    }

    fn body(&self, for_anthropic: bool) -> String {
        let message = quoted(&self.message);
        if for_anthropic {
            let kind = match self.status {
                StatusCode::NOT_FOUND => "not_found_error",
                StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
                status if status.is_client_error() => "invalid_request_error",
                _ => "api_error",
            };
            return format!(
                r#"{{"type":"error","error":{{"type":"{kind}","message":{message}}}}}"#
            );
        }
        let kind = if self.of_request { "invalid_request_error" } else { "gateway_error" };
        let code = self.code;
        let param = self.param.as_deref().map_or_else(|| "null".to_owned(), quoted);
        format!(
            r#"{{"error":{{"message":{message},"type":"{kind}","param":{param},"code":"{code}"}}}}"#
        )
    }
}

const UNREADABLE: &str = "The request's body cannot be read.";

/// The name of a key of the table of ids.
fn key_name(affinity: &Affinity<'_>, number: u8) -> String {
    let name = affinity.id_key(number).unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

/// A string of JSON. The names of configured keys may be any text.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\0'..=' ' if character != ' ' => {
                // Writing to a string does not fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used)]

    use super::*;

    /// The only row of the page that no request leads to while the system gives random bytes.
    #[test]
    fn any_other_error_is_the_pages_too() {
        let page = include_str!("../../../docs/guides/embedding.md");
        for error in [Error::Entropy, Error::SlotRange, Error::Time] {
            let response = Refusal::of_error(&error).answer(&HeaderMap::new());
            let body = format!("{:?}", response.body());
            let row = page.lines().find(|row| row.contains("| `affinity_error` |")).unwrap();
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            let [_, status, _, message] = cells[..] else { panic!("{row}") };
            assert_eq!(response.status().as_str(), status);
            assert!(body.contains(message.trim_end_matches(" |")), "{body}");
        }
    }
}
