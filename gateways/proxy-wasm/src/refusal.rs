//! Answers to requests that no account may serve: those of the table in docs/guides/embedding.md.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use core::fmt::Write as _;

use tokenpin::ids::Summary;
use tokenpin::{Affinity, Decision, Error};

use crate::abi::respond;

/// Why a request is not served.
pub(crate) struct Refusal {
    pub status: u16,
    code: &'static str,
    message: Cow<'static, str>,
    /// The field of the request that is meant.
    param: Option<String>,
    /// Whether the request is to blame; else the gateway is.
    of_request: bool,
    /// In seconds; 0: nobody knows.
    retry_after: u32,
    headers: &'static [(&'static str, &'static str)],
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            param: None,
            of_request: false,
            retry_after: 0,
            headers: &[],
        }
    }

    fn of_request(status: u16, code: &'static str, message: &'static str) -> Self {
        Self { of_request: true, ..Self::new(status, code, message) }
    }

    /// Of a request that could not be decided.
    pub(crate) fn of_error(error: &Error) -> Self {
        match error {
            Error::ScopeLength => Self::new(400, "bad_tenant", "The tenant cannot be told."),
            _ => Self::new(500, "affinity_error", "The gateway cannot choose an account."),
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
                (format!("The object{quoted} named by '{first}' was not found.").into(), Some(first))
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
        let refusal = Self::new(why.status(), why.name(), message);
        Self {
            param,
            of_request: refusal.status < 500,
            retry_after: decision.retry_after,
            ..refusal
        }
    }

    /// Of a body that is too long.
    pub(crate) fn too_large() -> Self {
        Self::of_request(413, "request_too_large", "The request's body is too large.")
    }

    /// Of a body that is one too many.
    pub(crate) fn too_many() -> Self {
        let message = "The gateway holds too many requests.";
        Self { retry_after: 1, ..Self::new(503, "too_many_bodies", message) }
    }

    /// Of a body that cannot be understood.
    pub(crate) fn unreadable() -> Self {
        Self::of_request(400, "unreadable_body", UNREADABLE)
    }

    /// Of a body that is no JSON.
    pub(crate) fn wrong_type() -> Self {
        Self::of_request(415, "unsupported_content_type", "The request's body has to be JSON.")
    }

    /// Of a body that is compressed.
    pub(crate) fn wrong_encoding() -> Self {
        let message = "The request's body must not be encoded.";
        let refusal = Self::of_request(415, "unsupported_content_encoding", message);
        Self { headers: &[("accept-encoding", "identity")], ..refusal }
    }

    /// Of a WebSocket, whose ids nobody could see.
    pub(crate) fn wrong_protocol() -> Self {
        let message = "This is not served over a WebSocket.";
        let refusal = Self::of_request(426, "websocket_not_supported", message);
        // Envoy takes the one off without the other.
        Self { headers: &[("upgrade", "HTTP/1.1"), ("connection", "upgrade")], ..refusal }
    }

    /// Sends it to the client, as the provider would word it, with one more header if there is one. The hook then stops.
    pub(crate) fn send(&self, for_anthropic: bool, header: Option<(&str, &str)>) {
        let seconds = self.retry_after.to_string();
        let mut headers = vec![("content-type", "application/json")];
        if self.retry_after != 0 {
            headers.push(("retry-after", &seconds));
        }
        headers.extend_from_slice(self.headers);
        headers.extend(header);
        let body = self.body(for_anthropic);
        respond(self.status, self.code, &headers, body.as_bytes());
    }

    fn body(&self, for_anthropic: bool) -> String {
        let message = quoted(&self.message);
        if for_anthropic {
            let kind = match self.status {
                404 => "not_found_error",
                413 => "request_too_large",
                status if status < 500 => "invalid_request_error",
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
