//! Answers to requests that no account may serve.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use tokenpin::gateway::Refused;
use tokenpin::ids::Summary;
use tokenpin::{Affinity, Decision};

/// Why a request is not served, and the decision, if there is one.
#[derive(Debug)]
pub(crate) struct Refusal {
    refused: Refused,
    decision: Option<Box<Decision>>,
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self { refused, decision: None }
    }
}

impl Refusal {
    /// Of a decision without a slot.
    pub(crate) fn of_decision(
        affinity: &Affinity<'_>,
        decision: &Decision,
        ids: Option<&Summary>,
    ) -> Self {
        let refused = Refused::of_decision(affinity, decision, ids);
        Self { refused, decision: Some(Box::new(*decision)) }
    }

    /// The answer to a request with these headers, in the form that its client expects.
    pub(crate) fn answer(self, request: &HeaderMap) -> Response<Full<Bytes>> {
        let body = self.refused.body(request.contains_key("anthropic-version"));
        let mut response = Response::new(Full::from(body));
        let status = StatusCode::from_u16(self.refused.status());
        *response.status_mut() = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        for (name, value) in self.refused.headers() {
            if let Ok(value) = HeaderValue::try_from(&*value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        if let Some(decision) = self.decision {
            response.extensions_mut().insert(*decision);
        }
        response
    }
}
