//! The headers of a request that are the client's own credentials, for gateways that remove them.

/// Words in the name of a header that proves a client's identity.
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
/// Words that, in front of `key`, also make such a name.
pub const CREDENTIAL_KEYS: [&str; 4] = ["api", "access", "functions", "subscription"];
/// The headers that name the account that pays.
pub const PAYER_HEADERS: [&str; 3] =
    ["openai-organization", "openai-project", "x-goog-user-project"];

/// Returns whether a header of that name proves who the client is, or says who pays. Such a name
/// has one of [`CREDENTIAL_WORDS`], or one of [`CREDENTIAL_KEYS`] followed by `key`, or is one of
/// [`PAYER_HEADERS`]. Case is ignored, and `_` equals `-`, as many servers treat them alike.
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
