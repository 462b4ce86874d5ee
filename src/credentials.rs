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

#[cfg(test)]
mod tests {
    use std::prelude::rust_2024::*;

    use super::*;

    /// Says the same of a name in lower case, without a loop over bytes.
    fn model(name: &str) -> bool {
        let name = name.to_lowercase().replace('_', "-");
        let words: Vec<&str> = name.split('-').collect();
        let named = words.iter().any(|word| CREDENTIAL_WORDS.contains(word));
        let keyed =
            words.windows(2).any(|two| CREDENTIAL_KEYS.contains(&two[0]) && two[1] == "key");
        named || keyed || PAYER_HEADERS.contains(&name.as_str())
    }

    #[test]
    fn headers_of_known_clients() {
        for name in [
            "authorization",
            "Proxy-Authorization",
            "api-key",
            "X-API-Key",
            "x_goog_api_key",
            "Ocp-Apim-Subscription-Key",
            "x-functions-key",
            "x-auth",
            "X-Access-Token",
            "OpenAI-Organization",
            "openai_project",
            "x-goog-user-project",
        ] {
            assert!(is_client_credential(name.as_bytes()) && model(name), "{name}");
        }
        for name in [
            "",
            "-",
            "key",
            "x-key",
            "key-api",
            "api-x-key",
            "api-keys",
            "apis-key",
            "idempotency-key",
            "authority",
            "tokens",
            "author",
            "openai-organizations",
            "x-openai-project",
            "openai-beta",
            "cookie",
        ] {
            assert!(!is_client_credential(name.as_bytes()) && !model(name), "{name}");
        }
    }

    /// All names of up to three words, with both separators and in mixed case.
    #[test]
    fn every_name_of_three_words() {
        let others = ["key", "x", "", "openai", "goog", "user", "project", "organization", "AUTH"];
        let words: Vec<&str> =
            CREDENTIAL_WORDS.into_iter().chain(CREDENTIAL_KEYS).chain(others).collect();
        let mut found = 0;
        for (i, first) in words.iter().enumerate() {
            for second in &words {
                for third in &words {
                    let joint = ["-", "_"][i % 2];
                    for name in [
                        format!("{first}-{second}{joint}{third}"),
                        format!("{first}{joint}{}", second.to_uppercase()),
                    ] {
                        let is = is_client_credential(name.as_bytes());
                        assert_eq!(is, model(&name), "{name}");
                        found += usize::from(is);
                    }
                }
            }
        }
        assert!(found > 1000, "{found}");
    }

    #[test]
    fn a_name_that_is_no_text_is_no_credential() {
        assert!(!is_client_credential(b"\xff"));
        assert!(is_client_credential(b"\xff-token"));
    }
}
