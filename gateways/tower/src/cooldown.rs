//! The effect of a response's status on the account that gave it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use tokenpin::State;
use tokenpin::gateway::retry_after;

/// The effect of some statuses on the account that answered with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cooldown {
    /// The statuses, each 400 to 599.
    pub statuses: Vec<StatusCode>,
    /// The account's new state: [`State::Draining`], so that it keeps its sessions and gets no new
    /// anonymous ones, or [`State::Down`], so that it serves no request.
    pub state: State,
    /// The time in seconds, at least 1.
    pub seconds: u32,
    /// Instead of `seconds`, the time that the response asks for by `retry-after-ms` or
    /// `Retry-After`, up to this many seconds, at least 1; `None` to ignore these headers.
    pub retry_after: Option<u32>,
}

impl Cooldown {
    /// The default of a [`Generation`](crate::Generation): 401 and 429 drain an account for as long
    /// as the response says, up to an hour, or 30 seconds.
    ///
    /// None takes an account down, because a client can cause a 401, such as by a path for other
    /// kinds of keys, and a 403, such as by a missing file. With down, it could take one account
    /// after another from all other clients. Where all drain, all serve.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let statuses = vec![StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
        vec![Self { statuses, state: State::Draining, seconds: 30, retry_after: Some(3600) }]
    }

    /// Until when the account of a response cools down.
    pub(crate) fn until(&self, headers: &HeaderMap, now: u64) -> u64 {
        let seconds =
            self.retry_after.and_then(|most| Some(asked(headers, now)?.clamp(1, u64::from(most))));
        now.saturating_add(seconds.unwrap_or(self.seconds.into()))
    }
}

fn asked(headers: &HeaderMap, now: u64) -> Option<u64> {
    const MILLISECONDS: HeaderName = HeaderName::from_static("retry-after-ms");
    let value = |name| headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
    retry_after(value(MILLISECONDS), value(RETRY_AFTER), now)
}

/// The wall clock, in unix seconds.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
