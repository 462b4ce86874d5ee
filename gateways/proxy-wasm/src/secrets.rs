//! Secrets of a configuration, from the environment that the host gives to the VM.

use tokenpin::Secret;

use crate::json::{Checked, Fields, Json, Problem};

const NO_FILES: &str = "a WebAssembly VM reads no files: use env";

/// The secret that an object's `env` names; none without that.
pub(crate) fn read_secret(fields: &mut Fields<'_>) -> Checked<Option<String>> {
    if fields.has("file") {
        return Err(fields.problem("file", NO_FILES));
    }
    let Some(name) = fields.string("env")? else { return Ok(None) };
    // The system's interface knows no variable of such a name.
    let value = Some(name).filter(|name| !name.is_empty() && !name.contains('='));
    match value.and_then(std::env::var_os).map(std::ffi::OsString::into_string) {
        Some(Ok(mut secret)) => {
            // Editors and `echo` end a file with a line end, and scripts keep it.
            for end in ['\n', '\r'] {
                if secret.ends_with(end) {
                    secret.pop();
                }
            }
            Ok(Some(secret))
        }
        Some(Err(_)) => Err(fields.problem("env", "the environment variable is no text")),
        None => Err(fields.problem("env", "the environment variable is not set")),
    }
}

pub(crate) fn read_key(json: &Json, path: &str) -> Checked<Secret> {
    let mut fields = Fields::new(json, path)?;
    let Some(text) = read_secret(&mut fields)? else {
        return Err(Problem::at(path, "needs env"));
    };
    fields.refuse_others()?;
    let wrong = || Problem::at(path, "the key is not 32 hexadecimal digits");
    if text.len() != 32 {
        return Err(wrong());
    }
    let mut key = [0; 16];
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
        let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Err(wrong()) };
        *byte = u8::try_from(high << 4 | low).map_err(|_| wrong())?;
    }
    Ok(Secret::new(key))
}
