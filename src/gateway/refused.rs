//! Answers to requests that no account may serve: the tables of refusals in the guide to embedding.

use alloc::borrow::Cow;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Write as _;

use crate::decide::affinity::Affinity;
use crate::decide::decision::{Decision, Refusal};
use crate::error::Error;
use crate::ids::summary::Summary;

/// The reason why a request is not served, and the answer that its client gets: the same from every
/// gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    status: u16,
    code: &'static str,
    message: Cow<'static, str>,
    /// The field of the request at fault.
    param: Option<String>,
    /// True if the request is at fault, and false if the gateway is.
    of_request: bool,
    /// In seconds; 0 if unknown.
    retry_after: u32,
    headers: &'static [(&'static str, &'static str)],
}

impl Refused {
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

    /// Answers a request that could not be decided.
    #[must_use]
    #[cold]
    pub fn of_error(error: &Error) -> Self {
        match error {
            Error::ScopeLength => Self::new(400, "bad_tenant", "The tenant cannot be determined."),
            _ => Self::new(500, "affinity_error", "The gateway cannot choose an account."),
        }
    }

    /// Answers a decision of `affinity` without a slot. `ids` are those of the request, if they
    /// were read.
    #[must_use]
    #[cold]
    pub fn of_decision(
        affinity: &Affinity<'_>,
        decision: &Decision,
        ids: Option<&Summary>,
    ) -> Self {
        let why = decision.refusal();
        // The keys of ids are shown, never the existence of an account.
        let [first, second] = decision.id_keys.map(|number| key_name(affinity, number));
        let quoted = match ids.map_or(&b""[..], Summary::quoted) {
            b"" => String::new(),
            id => format!(" '{}'", String::from_utf8_lossy(id)),
        };
        let (message, param): (Cow<'static, str>, _) = match why {
            Refusal::None | Refusal::NoAccountAvailable => ("No account is available.".into(), None),
            Refusal::BadAffinityKey => ("The session's key cannot be used.".into(), None),
            Refusal::SessionUnavailable => ("The session's account is unavailable.".into(), None),
            Refusal::PreviousResponseNotFound => {
                (format!("The previous response{quoted} was not found.").into(), Some(first))
            }
            Refusal::InvalidEncryptedContent => {
                ("The encrypted content could not be verified.".into(), None)
            }
            Refusal::NotFound => {
                (format!("The object{quoted} named by '{first}' was not found.").into(), Some(first))
            }
            Refusal::ConflictingAccounts => (
                format!(
                    "The objects named by '{first}' and '{second}' cannot be used together: they were created apart."
                )
                .into(),
                Some(second),
            ),
            Refusal::UnreadableBody => (UNREADABLE.into(), None),
        };
        Self {
            param,
            of_request: why.status() < 500,
            retry_after: decision.retry_after,
            ..Self::new(why.status(), why.name(), message)
        }
    }

    /// Answers a body that is too long.
    #[must_use]
    pub fn too_large() -> Self {
        Self::of_request(413, "request_too_large", "The request's body is too large.")
    }

    /// Answers a body for which there is no room.
    #[must_use]
    pub fn too_many() -> Self {
        let message = "The gateway holds too many requests.";
        Self { retry_after: 1, ..Self::new(503, "too_many_bodies", message) }
    }

    /// Answers a body that cannot be understood, or not be read to its end.
    #[must_use]
    pub fn unreadable() -> Self {
        Self::of_request(400, "unreadable_body", UNREADABLE)
    }

    /// Answers a body that is not JSON.
    #[must_use]
    pub fn wrong_type() -> Self {
        Self::of_request(415, "unsupported_content_type", "The request's body has to be JSON.")
    }

    /// Answers a body that is compressed.
    #[must_use]
    pub fn wrong_encoding() -> Self {
        let message = "The request's body must not be encoded.";
        let refused = Self::of_request(415, "unsupported_content_encoding", message);
        Self { headers: &[("accept-encoding", "identity")], ..refused }
    }

    /// Answers a WebSocket, whose ids cannot be read.
    #[must_use]
    pub fn wrong_protocol() -> Self {
        let message = "This is not served over a WebSocket.";
        let refused = Self::of_request(426, "websocket_not_supported", message);
        // Envoy removes one of these without the other.
        Self { headers: &[("upgrade", "HTTP/1.1"), ("connection", "upgrade")], ..refused }
    }

    /// Returns the status of the response, 400 to 599.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Returns the reason, stable and fit for metrics and logs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// Returns the headers of the response, with names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, Cow<'static, str>)> {
        let seconds = self.retry_after;
        let wait = (seconds != 0).then(|| ("retry-after", Cow::Owned(seconds.to_string())));
        let more = self.headers.iter().map(|&(name, value)| (name, Cow::Borrowed(value)));
        [("content-type", "application/json".into())].into_iter().chain(wait).chain(more)
    }

    /// Returns the body of the response. `for_anthropic` is true if the request has the header
    /// `anthropic-version`: only clients of Anthropic's name the version of the API.
    #[must_use]
    #[cold]
    pub fn body(&self, for_anthropic: bool) -> String {
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

/// Returns the name of a key of the table of ids.
#[cold]
fn key_name(affinity: &Affinity<'_>, number: u8) -> String {
    let name = affinity.id_key(number).unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

/// Returns a string of JSON. The names of configured keys may be any text.
#[cold]
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\0'..='\x1f' => {
                // Writing to a string does not fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
