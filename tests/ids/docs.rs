//! Random documents: everything in the table and much that is not, written in every way.

use tokenpin::ids::{KEYS, KeyKind};
use tokenpin::{CookieKey, IdRing, IdSealer, Role, Secret};
use tokenpin_test_support::random::Random;
use tokenpin_test_support::sample::cases;

use crate::world::{ALNUM, HEX, characters, pin, ring, uuid};

pub fn below(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).unwrap()
}

pub fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[below(random, from.len())]
}

/// Returns a ring that made no id here, but whose ids look the same.
fn foreign() -> IdRing {
    let key = |id, role| CookieKey { id, role, secret: Secret::new([id ^ 0x33; 16]) };
    IdRing::new(&[key(1, Role::Accept), key(77, Role::Sign)], None).unwrap()
}

pub fn native(random: &mut Random) -> String {
    const PREFIXES: [&str; 14] = [
        "resp_",
        "conv_",
        "msg_",
        "rs_",
        "fc_",
        "file-",
        "file_",
        "batch_",
        "vs_",
        "cntr_",
        "call_",
        "toolu_",
        "chatcmpl-",
        "x",
    ];
    let prefix = pick(random, &PREFIXES).to_owned();
    prefix
        + &match random.below(6) {
            0 => uuid(random),
            1 => characters(random, ALNUM, 24),
            2 => characters(random, b"ab-_9", 3),
            3 => characters(random, ALNUM, 230),
            _ => characters(random, HEX, 48),
        }
}

/// Returns a random string.
fn word(random: &mut Random) -> String {
    let (ours, theirs) = (ring(), foreign());
    let account = pick(random, &["a", "a", "b", "gone"]);
    let seal = |ring: &IdRing, owner: &[u8], native: &str| {
        let sealer = IdSealer::new(ring, b"", owner).unwrap();
        String::from_utf8(sealer.seal(native.as_bytes(), pin(account)).unwrap().as_bytes().to_vec())
            .unwrap()
    };
    let id = native(random);
    match random.below(16) {
        0..=3 => id,
        4..=7 => seal(&ours, b"", &id),
        8 => {
            // Corrupt in one place.
            let mut sealed = seal(&ours, b"", &id).into_bytes();
            let at = below(random, sealed.len());
            sealed[at] = pick(random, ALNUM);
            String::from_utf8(sealed).unwrap()
        }
        9 => seal(&theirs, b"", &id),
        10 => pick(random, &["auto", "", "a", "message", "resp_", "completed"]).to_owned(),
        11 => format!("see {id}, please"),
        12 => "é\u{2028}\u{1f600}".repeat(below(random, 4)) + &id,
        13 => id + &"x".repeat(below(random, 600)),
        14 => characters(random, b"\"\\/\n\t \x7fabc{}[]:,", 20),
        _ => seal(&ours, b"bob", &id),
    }
}

fn content(random: &mut Random) -> String {
    let len = pick(random, &[0, 1, 20, 25, 26, 27, 52, 63, 64, 65, 90, 91, 700]);
    let mut content = characters(random, b"ABCabc019+/-_", len);
    let ours = ring();
    let sealer = IdSealer::new(&ours, b"", pick(random, &[&b""[..], b"", b"", b"bob"])).unwrap();
    if random.below(3) > 0 {
        if let Some(mark) = sealer.mark(content.as_bytes(), pin(pick(random, &["a", "b"]))) {
            content.push_str(std::str::from_utf8(&mark).unwrap());
        }
    }
    if random.below(6) == 0 {
        content.push_str(&characters(random, b"AQgwtp0", 3));
    }
    content
}

/// Writes a string. It escapes the necessary characters, and some others.
fn write_string(random: &mut Random, text: &str, escapes: u64, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        let mut units = [0; 2];
        let must = character == '"' || character == '\\' || u32::from(character) < 32;
        if must && random.below(2) == 0 && "\"\\".contains(character) {
            out.push('\\');
            out.push(character);
        } else if character == '/' && random.below(2) == 0 {
            out.push_str("\\/");
        } else if must || random.below(100) < escapes {
            for unit in character.encode_utf16(&mut units) {
                let digits = format!("{unit:04x}");
                out.push_str("\\u");
                out.push_str(&if random.below(2) == 0 { digits.to_uppercase() } else { digits });
            }
        } else {
            out.push(character);
        }
    }
    out.push('"');
}

fn blanks(random: &mut Random, out: &mut String) {
    while random.below(8) == 0 {
        out.push(pick(random, &[' ', '\t', ' ', '\n', '\r']));
    }
}

fn key(random: &mut Random) -> String {
    const OTHERS: [&str; 14] = [
        "type",
        "status",
        "store",
        "text",
        "call_id",
        "tool_call_id",
        "tool_use_id",
        "custom_id",
        "user_id",
        "content",
        "role",
        "ids",
        "",
        "output",
    ];
    // These decide most cases.
    const OFTEN: [&str; 8] = [
        "id",
        "id",
        "input",
        "items",
        "conversation",
        "previous_response_id",
        "file_ids",
        "encrypted_content",
    ];
    let key = match random.below(4) {
        0 => pick(random, &OTHERS).to_owned(),
        1 => std::str::from_utf8(pick(random, KEYS).name).unwrap().to_owned(),
        _ => pick(random, &OFTEN).to_owned(),
    };
    if random.below(20) == 0 { key.to_uppercase() } else { key }
}

/// Writes a value with at most `levels` more levels.
pub fn value(random: &mut Random, levels: usize, of: Option<&str>, out: &mut String) {
    blanks(random, out);
    let escapes = pick(random, &[0, 0, 0, 3, 50]);
    match random.below(if levels == 0 { 4 } else { 10 }) {
        0 => out.push_str(pick(random, &["true", "false", "null", "0", "-1.5e+3", "12"])),
        1..=3 => {
            let text = if of == Some("encrypted_content") { content(random) } else { word(random) };
            write_string(random, &text, escapes, out);
        }
        4..=5 => {
            out.push('[');
            for i in 0..random.below(5) {
                if i > 0 {
                    out.push(',');
                }
                value(random, levels - 1, None, out);
            }
            blanks(random, out);
            out.push(']');
        }
        _ => object(random, levels - 1, out),
    }
    blanks(random, out);
}

pub fn object(random: &mut Random, levels: usize, out: &mut String) {
    out.push('{');
    for i in 0..random.below(6) {
        if i > 0 {
            out.push(',');
        }
        blanks(random, out);
        let key = key(random);
        let escapes = pick(random, &[0, 0, 0, 0, 100]);
        write_string(random, &key, escapes, out);
        blanks(random, out);
        out.push(':');
        // Usually a value of the right type.
        let row = KEYS.iter().find(|row| row.name == key.as_bytes());
        match row.map(|row| row.kind).filter(|_| random.below(3) > 0) {
            Some(KeyKind::Id | KeyKind::Own) => {
                let word = word(random);
                write_string(random, &word, escapes / 10, out);
            }
            Some(KeyKind::Encrypted) => {
                let content = content(random);
                write_string(random, &content, escapes / 30, out);
            }
            Some(KeyKind::Ids | KeyKind::Items | KeyKind::OpaqueObject) if levels > 0 => {
                out.push('[');
                for i in 0..random.below(4) {
                    if i > 0 {
                        out.push(',');
                    }
                    if row.unwrap().kind == KeyKind::Ids {
                        let word = word(random);
                        write_string(random, &word, 0, out);
                    } else {
                        object(random, levels - 1, out);
                    }
                }
                out.push(']');
            }
            _ => value(random, levels, Some(&key), out),
        }
    }
    blanks(random, out);
    out.push('}');
}

/// The greatest number of levels of a document, whose length grows with it.
const LEVELS: usize = cases(5, 2);

/// Returns a document, usually a valid one.
pub fn document(random: &mut Random) -> Vec<u8> {
    let mut out = String::new();
    blanks(random, &mut out);
    if random.below(8) == 0 {
        value(random, LEVELS, None, &mut out);
    } else {
        object(random, LEVELS, &mut out);
    }
    blanks(random, &mut out);
    let right = out.into_bytes();
    let mut out = right.clone();
    if random.below(4) == 0 && !out.is_empty() {
        let at = below(random, out.len());
        let byte = pick(random, b"\"\\{}[]:, \nn1x\xff\xc3\x00");
        match random.below(4) {
            0 => out.truncate(at),
            1 => out[at] = byte,
            2 => out.insert(at, byte),
            _ => drop(out.remove(at)),
        }
    }
    // A document that begins like events is read as events.
    let first = out.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_some_and(|byte| b"deir:".contains(byte)) { right } else { out }
}
