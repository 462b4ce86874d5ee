//! What a response's status says of the account that gave it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use tokenpin::State;

/// What some statuses do to the account that answered with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cooldown {
    /// The statuses, each 400 to 599.
    pub statuses: Vec<StatusCode>,
    /// What becomes of the account: [`State::Draining`], so that it keeps its sessions and gets no new anonymous ones, or
    /// [`State::Down`], so that it serves nobody.
    pub state: State,
    /// For how many seconds, at least 1.
    pub seconds: u32,
    /// Instead of `seconds`, what the response asks for by `retry-after-ms` or `Retry-After`, up to so many seconds, at least
    /// 1; `None` to ignore these headers.
    pub retry_after: Option<u32>,
}

impl Cooldown {
    /// That of a [`Generation`](crate::Generation) that is told nothing else: 401 and 429 drain an account for as long as
    /// the response says, up to an hour, or 30 seconds.
    ///
    /// None takes an account down: a client can bring about a 401, as by a path for other kinds of keys, and a 403, as by a
    /// file that is not there, and would take one account after another from all others. Where all drain, all serve.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let statuses = vec![StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
        vec![Self { statuses, state: State::Draining, seconds: 30, retry_after: Some(3600) }]
    }

    /// Until when the account of a response cools down.
    pub(crate) fn until(&self, headers: &HeaderMap, now: u64) -> u64 {
        let asked = self
            .retry_after
            .and_then(|most| Some(retry_after(headers, now)?.clamp(1, u64::from(most))));
        now.saturating_add(asked.unwrap_or(self.seconds.into()))
    }
}

/// The whole seconds that cover what a response asks to wait: 0 for a time that is over. `retry-after-ms` is the more
/// precise, and counts first.
fn retry_after(headers: &HeaderMap, now: u64) -> Option<u64> {
    const MILLISECONDS: HeaderName = HeaderName::from_static("retry-after-ms");
    let value = |name| headers.get(name).map(HeaderValue::as_bytes);
    if let Some(milliseconds) = value(MILLISECONDS).and_then(decimal) {
        return Some(milliseconds.div_ceil(1000));
    }
    let text = value(RETRY_AFTER)?;
    decimal(text).or_else(|| {
        // All three forms of RFC 9110 section 5.6.7.
        let date = httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()?;
        Some(unix_seconds(date).saturating_sub(now))
    })
}

/// Digits, which may have a decimal point and digits behind it: rounded up. `u64::MAX` for more.
fn decimal(text: &[u8]) -> Option<u64> {
    let mut parts = text.splitn(2, |&byte| byte == b'.');
    let digits = |part: &&[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let whole =
        parts.next().filter(digits)?.iter().fold(0_u64, |sum, digit| {
            sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
        });
    let more = match parts.next() {
        None => false,
        Some(part) => Some(part).filter(digits)?.iter().any(|&digit| digit != b'0'),
    };
    Some(whole.saturating_add(more.into()))
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// The wall clock, in unix seconds.
pub(crate) fn unix_now() -> u64 {
    unix_seconds(SystemTime::now())
}
