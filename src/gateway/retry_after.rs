//! The time for which a response asks to wait.

/// Returns the whole seconds for which a response asks to wait, rounded up. Returns 0 if that time
/// is over, and `None` if it cannot be read.
///
/// `milliseconds` is the value of `retry-after-ms`, which is more precise and so comes first.
/// `text` is that of `Retry-After`: digits with or without a fraction, or a date in any of the
/// three forms of RFC 9110, section 5.6.7. Each is empty if there is no such header. `now` is the
/// wall clock, in unix seconds.
///
/// ```
/// use tokenpin::gateway::retry_after;
///
/// assert_eq!(retry_after(b"1500", b"60", 0), Some(2));
/// assert_eq!(retry_after(b"", b"Sun, 06 Nov 1994 08:49:37 GMT", 784_111_770), Some(7));
/// assert_eq!(retry_after(b"", b"soon", 0), None);
/// ```
#[must_use]
#[cold]
pub fn retry_after(milliseconds: &[u8], text: &[u8], now: u64) -> Option<u64> {
    if let Some(milliseconds) = decimal(milliseconds) {
        return Some(milliseconds.div_ceil(1000));
    }
    decimal(text).or_else(|| Some(date(text, now)?.saturating_sub(now)))
}

/// Reads digits with or without a fraction, rounded up. Returns `u64::MAX` for larger numbers.
#[cold]
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

const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";

/// Returns the unix seconds of a date, or 0 for one before 1970. (The crates that read dates need a
/// standard library, or are many times longer.)
#[cold]
fn date(text: &[u8], now: u64) -> Option<u64> {
    let text = core::str::from_utf8(text).ok()?;
    let mut words = text.split([' ', '-', ',']).filter(|word| !word.is_empty());
    let weekday = words.next()?;
    let (day, month, year, time) = if text.ends_with(" GMT") {
        // Sun, 06 Nov 1994 08:49:37 GMT, or Sunday, 06-Nov-94 08:49:37 GMT.
        let (day, month, year) = (words.next()?, words.next()?, words.next()?);
        (day, month, year, words.next().filter(|_| words.next() == Some("GMT"))?)
    } else {
        // Sun Nov  6 08:49:37 1994
        let (month, day, time) = (words.next()?, words.next()?, words.next()?);
        (day, month, words.next()?, time)
    };
    let is_weekday =
        ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].iter().any(|it| weekday.starts_with(it));
    if !is_weekday || words.next().is_some() {
        return None;
    }
    let month = MONTHS.find(month).filter(|at| month.len() == 3 && at % 3 == 0)? as u64 / 3 + 1;
    let mut times = time.split(':').map(|part| small(part, 2));
    let (hour, minute, second) = (times.next()??, times.next()??, times.next()??);
    let mut year_number = small(year, 4)?;
    if year.len() == 2 {
        // The last year with these digits that is at most 50 years ahead.
        let latest = 1970 + now / 31_556_952 + 50;
        year_number = latest - (latest - year_number) % 100;
    }
    let day = small(day, 2).filter(|day| (1..=31).contains(day))?;
    if hour > 23 || minute > 59 || second > 60 || times.next().is_some() {
        return None;
    }
    if year_number < 1970 {
        return Some(0);
    }
    let days = days(year_number, month, day);
    Some(days * 86400 + hour * 3600 + minute * 60 + second)
}

/// Reads a number of at most `most` digits.
#[cold]
fn small(text: &str, most: usize) -> Option<u64> {
    let is_small =
        !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
    is_small.then(|| text.parse().ok()).flatten()
}

/// Returns the days from the first of January 1970 to a day. A year begins in March here, so that a
/// leap day is its last.
#[cold]
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    // Subtracts the days before the first of January 1970, and one, because days begin with 1.
    days.saturating_sub(719_469)
}
