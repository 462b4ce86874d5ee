//! How long a response asks to wait.

use std::time::{Duration, UNIX_EPOCH};

/// The whole seconds that cover what a response asks to wait: 0 for a time that is over. `retry-after-ms` is the more
/// precise, and counts first.
pub(crate) fn retry_after(milliseconds: &[u8], text: &[u8], now: u64) -> Option<u64> {
    if let Some(milliseconds) = decimal(milliseconds) {
        return Some(milliseconds.div_ceil(1000));
    }
    decimal(text).or_else(|| {
        // All three forms of RFC 9110 section 5.6.7.
        let date = httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()?;
        let then = date.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        Some(then.saturating_sub(now))
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
