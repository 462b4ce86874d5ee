//! Secrets of a configuration, from the environment that the host gives to the VM.

use alloc::borrow::ToOwned;
use alloc::string::String;

use tokenpin::Secret;

use crate::abi::variable;
use crate::json::{Checked, Fields, Json, Problem};

const NO_FILES: &str = "a WebAssembly VM reads no files: use env";

/// The secret that an object's `env` names; none without that.
pub(crate) fn read_secret(fields: &mut Fields<'_>) -> Checked<Option<String>> {
    if fields.has("file") {
        return Err(fields.problem("file", NO_FILES));
    }
    let Some(name) = fields.string("env")? else { return Ok(None) };
    let Some(value) = variable(name) else {
        return Err(fields.problem("env", "the environment variable is not set"));
    };
    let Ok(mut secret) = String::from_utf8(value) else {
        return Err(fields.problem("env", "the environment variable is no text"));
    };
    // Editors and `echo` end a file with a line end, and scripts keep it.
    for end in ['\n', '\r'] {
        if secret.ends_with(end) {
            secret.pop();
        }
    }
    Ok(Some(secret))
}

pub(crate) fn read_key(json: &Json, path: &str) -> Checked<Secret> {
    let mut fields = Fields::new(json, path)?;
    // Not every host gives its VMs an environment.
    let text = match (read_secret(&mut fields)?, fields.string("value")?) {
        (Some(text), None) => text,
        (None, Some(text)) => text.to_owned(),
        _ => return Err(Problem::at(path, "needs one of env and value")),
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
