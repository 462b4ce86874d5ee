//! Which headers of a request are a client's own credentials, for gateways that take those off.

/// By one of these words in its name, a header proves who a client is.
pub const CREDENTIAL_WORDS: [&str; 9] = [
    "authorization",
    "auth",
    "token",
    "jwt",
    "secret",
    "password",
    "credential",
    "credentials",
    "apikey",
];
/// By one of these words in front of `key`, too.
pub const CREDENTIAL_KEYS: [&str; 4] = ["api", "access", "functions", "subscription"];
/// These headers say whose account pays.
pub const PAYER_HEADERS: [&str; 3] =
    ["openai-organization", "openai-project", "x-goog-user-project"];

/// Whether a client proves with a header of that name who it is, or says who pays: with one of [`CREDENTIAL_WORDS`] in its name, one
/// of [`CREDENTIAL_KEYS`] and `key`, or one of [`PAYER_HEADERS`]. Upper and lower case do not count, and `_` is the same as `-`, as
/// it is to many servers.
///
/// ```
/// assert!(tokenpin::is_client_credential(b"X_Api-Key"));
/// assert!(!tokenpin::is_client_credential(b"Idempotency-Key"));
/// ```
#[must_use]
pub fn is_client_credential(name: &[u8]) -> bool {
    let among = |known: &[&str], word: &[u8]| {
        known.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
    };
    let folded = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    let mut before: &[u8] = b"";
    let proves = name.split(|byte| matches!(byte, b'-' | b'_')).any(|word| {
        let last = core::mem::replace(&mut before, word);
        among(&CREDENTIAL_WORDS, word) || among(&["key"], word) && among(&CREDENTIAL_KEYS, last)
    });
    proves || PAYER_HEADERS.iter().any(|payer| name.iter().map(folded).eq(payer.bytes()))
}
