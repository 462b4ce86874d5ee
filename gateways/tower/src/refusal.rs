//! Answers to requests that no account may serve: those of the table in docs/embedding.md.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use tokenpin::{Decision, Error, Outcome, PinState};

/// Of a request that could not be decided.
pub(crate) fn of_error(error: &Error) -> Response<Full<Bytes>> {
    match error {
        Error::ScopeLength => {
            refusal(StatusCode::BAD_REQUEST, "bad_tenant", "The tenant cannot be told.")
        }
        _ => refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "affinity_error",
            "The gateway cannot choose an account.",
        ),
    }
}

/// Of a decision without a slot.
pub(crate) fn of_decision(decision: &Decision) -> Response<Full<Bytes>> {
    let (code, message) = if decision.outcome != Outcome::Rejected {
        ("no_account_available", "No account is available.")
    } else if decision.pin_state == PinState::None {
        // A request that is rejected for its key has no pin, for its cookies were not looked at.
        ("bad_affinity_key", "The session's key cannot be used.")
    } else {
        ("session_unavailable", "The session's account is unavailable.")
    };
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, code, message);
    if decision.retry_after != 0 {
        response.headers_mut().insert(RETRY_AFTER, decision.retry_after.into());
    }
    response.extensions_mut().insert(*decision);
    response
}

/// In the form that the clients of `OpenAI` expect.
fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    let body = format!(
        r#"{{"error":{{"message":"{message}","type":"gateway_error","param":null,"code":"{code}"}}}}"#
    );
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used)]

    use super::*;

    /// The only row of the page that no request leads to while the system gives random bytes.
    #[test]
    fn any_other_error_is_the_pages_too() {
        let page = include_str!("../../../docs/embedding.md");
        for error in [Error::Entropy, Error::SlotRange, Error::Time] {
            let response = of_error(&error);
            let body = format!("{:?}", response.body());
            let row = page.lines().find(|row| row.contains("| `affinity_error` |")).unwrap();
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            let [_, status, _, message] = cells[..] else { panic!("{row}") };
            assert_eq!(response.status().as_str(), status);
            assert!(body.contains(message.trim_end_matches(" |")), "{body}");
        }
    }
}
