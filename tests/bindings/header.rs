//! The C header: the output of cbindgen for src/capi, and its enums and constants.

use crate::chapters::arrange;
use tokenpin::capi::{Status, tokenpin_bytes, tokenpin_enum_name};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The header, and the source of the other copies.
pub struct Header {
    pub text: String,
    /// In the order of `tokenpin_enum`, which is not among them.
    pub enums: Vec<Enum>,
    pub constants: Vec<Item>,
}

pub struct Enum {
    /// Without `tokenpin_`.
    pub name: String,
    /// In the header's words, one line.
    pub doc: String,
    pub values: Vec<Value>,
}

pub struct Value {
    pub number: i32,
    /// The stable name.
    pub name: &'static str,
    pub doc: String,
}

/// A constant, or a value of an enum as the header declares it.
pub struct Item {
    /// Without `TOKENPIN_`.
    pub name: String,
    pub value: String,
    pub doc: String,
}

/// An enum as the header declares it.
struct Declared {
    name: String,
    doc: String,
    values: Vec<Item>,
}

impl Header {
    pub fn generate() -> Self {
        // Exports beyond the interface stay out, and every enum that has names comes in.
        let all = cbindgen(vec!["Enum".into()], Vec::new());
        let (constants, enums) = items(&all);
        let exported = constants.into_iter().map(|constant| constant.name);
        let exported = exported.chain(structs(&all)).chain(functions(&all));
        let ours = |name: &String| name.to_lowercase().starts_with("tokenpin_");
        let exclude = exported.filter(|name| !ours(name));
        let known = enums.iter().find(|declared| declared.name == "tokenpin_enum").unwrap();
        let named =
            known.values.iter().map(|value| value.name.trim_start_matches("TOKENPIN_ENUM_"));
        let named: Vec<&str> = named.collect();
        let include = ["Enum".into()].into_iter().chain(named.iter().map(|name| pascal(name)));
        let text = cbindgen(include.collect(), exclude.collect());

        let text = fill_in(&text);
        let (constants, declared) = items(&text);
        let enums = (0..).zip(named).map(|(which, name)| {
            let c_name = format!("tokenpin_{}", name.to_lowercase());
            let found = declared.iter().find(|declared| declared.name == c_name);
            let declared = found.unwrap_or_else(|| panic!("no enum {c_name}"));
            let values = declared.values.iter().map(|value| {
                let number = value.value.parse().unwrap();
                let stable = name_of(which, number);
                let constant = format!("TOKENPIN_{name}_{}", stable.to_uppercase());
                assert_eq!(value.name, constant, "of number {number} in {c_name}");
                Value { number, name: stable, doc: value.doc.clone() }
            });
            Enum { name: name.to_lowercase(), doc: declared.doc.clone(), values: values.collect() }
        });
        let constants = constants.into_iter().map(|constant| {
            let name = constant.name.strip_prefix("TOKENPIN_").unwrap().into();
            Item { name, ..constant }
        });
        Self { enums: enums.collect(), constants: constants.collect(), text: arrange(&text, ROOT) }
    }

    pub fn named(&self, name: &str) -> &Enum {
        self.enums.iter().find(|named| named.name == name).unwrap()
    }
}

fn cbindgen(include: Vec<String>, exclude: Vec<String>) -> String {
    let mut config = cbindgen::Config::from_file(format!("{ROOT}/cbindgen.toml")).unwrap();
    config.header = Some(preamble());
    for name in &include {
        let c_name = format!("tokenpin_{}", snake(name));
        config.export.rename.insert(name.clone(), c_name);
    }
    config.export.include = include;
    config.export.exclude = exclude;
    let mut made = Vec::new();
    let builder = cbindgen::Builder::new().with_crate(ROOT).with_config(config);
    builder.generate().unwrap().write(&mut made);
    String::from_utf8(made).unwrap()
}

/// Returns the conventions of src/capi/mod.rs.
fn preamble() -> String {
    let module = std::fs::read_to_string(format!("{ROOT}/src/capi/mod.rs")).unwrap();
    let documentation = module.lines().map_while(|line| line.strip_prefix("//!"));
    let conventions = documentation.skip_while(|line| !line.starts_with(" Conventions"));
    let mut lines = conventions.filter(|line| !line.is_empty()).peekable();
    let mut text = String::from(
        "/**\n * @file tokenpin.h\n * Pins sessions to upstream API tokens: C11, and C++ clean.\n *\n \
         * Generated from src/capi by cbindgen: `make bindings` writes it, tests check it.\n *\n",
    );
    text += &format!(" *{}\n", lines.next().expect("conventions in src/capi/mod.rs"));
    while let Some(line) = lines.next_if(|line| line.starts_with(" - ") || line.starts_with("   "))
    {
        text += &format!(" *{line}\n");
    }
    text + " */"
}

/// Replaces a reference to an error by the core's sentence, and a reference to a limit by its
/// number.
fn fill_in(text: &str) -> String {
    let (constants, _) = items(text);
    let mut made = String::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        if let Some((before, rest)) = line.split_once("[`Error::") {
            let (name, after) = rest.split_once("`]").unwrap();
            let errors = Status::ALL.iter().filter_map(|status| status.error());
            let error = errors.clone().find(|error| format!("{error:?}") == name);
            let sentence = error.unwrap_or_else(|| panic!("no error {name}")).to_string();
            line = format!("{before}{}.{after}", capital(&sentence));
        }
        while let Some((before, rest)) = line.split_once("[`MAX_") {
            let (name, rest) = rest.split_once("`](crate::MAX_").unwrap();
            let (_, after) = rest.split_once(')').unwrap();
            let name = format!("TOKENPIN_MAX_{name}");
            let constant = constants.iter().find(|constant| constant.name == name);
            let value = &constant.unwrap_or_else(|| panic!("no constant {name}")).value;
            line = format!("{before}{value}{after}");
        }
        made += &line;
        made.push('\n');
    }
    made
}

/// The constants and the enums of a header.
fn items(text: &str) -> (Vec<Item>, Vec<Declared>) {
    let (mut constants, mut enums) = (Vec::new(), Vec::<Declared>::new());
    let (mut doc, mut within) = (String::new(), false);
    for line in text.lines().map(str::trim) {
        if line == "/**" {
            doc.clear();
        } else if let Some(more) = line.strip_prefix("* ") {
            let space = if doc.is_empty() { "" } else { " " };
            doc += &format!("{space}{more}");
        } else if let Some(constant) = line.strip_prefix("#define ") {
            if let Some((name, value)) = constant.split_once(' ') {
                let (name, value) = (name.into(), value.into());
                constants.push(Item { name, value, doc: std::mem::take(&mut doc) });
            }
        } else if let Some(name) = line.strip_prefix("enum ") {
            let name = name.trim_end_matches(" {").into();
            enums.push(Declared { name, doc: std::mem::take(&mut doc), values: Vec::new() });
            within = true;
        } else if line == "};" {
            within = false;
        } else if let Some((name, value)) = line.trim_end_matches(',').split_once(" = ") {
            if within {
                let (name, value) = (name.into(), value.into());
                let item = Item { name, value, doc: std::mem::take(&mut doc) };
                enums.last_mut().unwrap().values.push(item);
            }
        }
    }
    (constants, enums)
}

/// The names of a header's structures.
fn structs(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| line.strip_prefix("typedef struct "));
    names.filter_map(|line| line.split(' ').next()).map(String::from).collect()
}

/// The names of a header's functions.
fn functions(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.starts_with(|first: char| first.is_alphabetic()));
    let heads = lines.filter_map(|line| line.split_once('(')).map(|(head, _)| head);
    let name = |head: &str| head.rsplit([' ', '*']).next().map(String::from);
    heads.filter_map(name).collect()
}

/// Returns the stable name from the library.
fn name_of(which: i32, value: i32) -> &'static str {
    let mut name = tokenpin_bytes { ptr: std::ptr::null(), len: 0 };
    // SAFETY: the pointer is to a `tokenpin_bytes`.
    let status = unsafe { tokenpin_enum_name(which, value, &raw mut name) };
    assert_eq!(status, 0, "{value} of the enum {which} has no name");
    // SAFETY: names live as long as the library.
    let bytes = unsafe { std::slice::from_raw_parts(name.ptr.cast(), name.len) };
    std::str::from_utf8(bytes).unwrap()
}

/// Returns `SameSite` for `same_site`.
pub fn pascal(snake: &str) -> String {
    snake.split('_').map(|word| capital(&word.to_lowercase())).collect()
}

/// Returns `same_site` for `SameSite`.
fn snake(pascal: &str) -> String {
    let mut made = String::new();
    for letter in pascal.chars() {
        if letter.is_uppercase() && !made.is_empty() {
            made.push('_');
        }
        made.extend(letter.to_lowercase());
    }
    made
}

pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}
