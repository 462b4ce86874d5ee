//! Tables of numbers and limits, and the default rules, in docs/.

use tokenpin::ids::{
    COLLECTIONS, DIGEST_HEADERS, DOWNLOADS, ITEM_PREFIXES, Ids, KEYS, KeyKind, LITERALS,
    LOCATION_HEADERS, PREFIXES, UPLOADS,
};
use tokenpin::{DEFAULT_RULES, Group, Refusal};

use crate::Copy;
use crate::go::is_limit;
use crate::header::Header;

pub fn parts(header: &Header) -> [Copy; 8] {
    [
        part("docs/spec/decision.md", "numbers", numbers(header)),
        part("docs/spec/decision.md", "rules", rules()),
        part("docs/spec/decision.md", "refusals", refusals()),
        part("docs/guides/embedding.md", "limits", limits(header)),
        part("docs/spec/sealed-ids.md", "id keys", id_keys()),
        part("docs/spec/sealed-ids.md", "id prefixes", id_prefixes()),
        part("docs/spec/sealed-ids.md", "id paths", id_paths()),
        part("docs/spec/sealed-ids.md", "id headers", id_headers()),
    ]
}

pub fn part(file: &'static str, name: &str, text: String) -> Copy {
    Copy { file, part: Some((format!("<!-- generated: {name} -->\n"), "<!-- end -->\n")), text }
}

/// Returns all enums except the parts of a configuration and the statuses, which the header lists.
fn numbers(header: &Header) -> String {
    let mut text = String::from("| enum | numbers |\n| --- | --- |\n");
    for made in header.enums.iter().filter(|made| !["status", "field"].contains(&&*made.name)) {
        let number = |value: &crate::header::Value| format!("{} {}", value.name, value.number);
        let numbers: Vec<String> = made.values.iter().map(number).collect();
        text += &format!("| {} | {} |\n", made.name, numbers.join(", "));
    }
    text
}

/// Returns the default rules by their group, and those of a group by their ids.
fn rules() -> String {
    let mut text = String::from("| group | ids | default patterns |\n| --- | --- | --- |\n");
    for group in [Group::Stateful, Group::Stateless, Group::PromptCache] {
        for ids in Ids::ALL {
            let rules = DEFAULT_RULES.iter().filter(|rule| rule.group == group && rule.ids == *ids);
            let patterns = quoted(rules.map(|rule| rule.pattern));
            if !patterns.is_empty() {
                text += &format!("| {} | {} | {patterns} |\n", group.name(), ids.name());
            }
        }
    }
    text
}

fn refusals() -> String {
    let mut text = String::from("| refusal | number | HTTP status |\n| --- | ---: | ---: |\n");
    for (number, refusal) in (0..).zip(Refusal::ALL).skip(1) {
        assert_eq!(*refusal as i32, number);
        text += &format!("| `{}` | {number} | {} |\n", refusal.name(), refusal.status());
    }
    text
}

fn quoted(words: impl Iterator<Item = &'static [u8]>) -> String {
    let quoted = |word: &[u8]| format!("`{}`", std::str::from_utf8(word).unwrap());
    words.map(quoted).collect::<Vec<_>>().join(", ")
}

fn id_keys() -> String {
    let mut text = String::from("| kind | keys, and their numbers |\n| --- | --- |\n");
    for kind in KeyKind::ALL {
        let of_kind = |(_, key): &(usize, &tokenpin::ids::IdKey<'_>)| key.kind == *kind;
        let name = |(number, key): (usize, &tokenpin::ids::IdKey<'_>)| {
            format!("`{}` {number}", std::str::from_utf8(key.name).unwrap())
        };
        let keys: Vec<_> = KEYS.iter().enumerate().filter(of_kind).map(name).collect();
        text += &format!("| `{}` | {} |\n", kind.name(), keys.join(", "));
    }
    text
}

fn id_prefixes() -> String {
    format!(
        "| of | prefixes |\n| --- | --- |\n| objects | {} |\n| items | {} |\n",
        quoted(PREFIXES.iter().copied()),
        quoted(ITEM_PREFIXES.iter().copied())
    )
}

fn id_paths() -> String {
    format!(
        "| segments | |\n| --- | --- |\n| collections | {} |\n| literals | {} |\n| uploads | {} |\n\
         | downloads | {} |\n",
        quoted(COLLECTIONS.iter().copied()),
        quoted(LITERALS.iter().copied()),
        quoted(UPLOADS.iter().copied()),
        quoted(DOWNLOADS.iter().copied())
    )
}

fn id_headers() -> String {
    format!(
        "| header fields | |\n| --- | --- |\n| locations | {} |\n| digests | {} |\n",
        quoted(LOCATION_HEADERS.iter().map(|name| name.as_bytes())),
        quoted(DIGEST_HEADERS.iter().map(|name| name.as_bytes()))
    )
}

fn limits(header: &Header) -> String {
    let mut text = String::from("| constant | value | meaning |\n| --- | ---: | --- |\n");
    for constant in header.constants.iter().filter(|constant| is_limit(&constant.name)) {
        let doc = constant.doc.trim_end_matches('.');
        text += &format!("| `TOKENPIN_{}` | {} | {doc} |\n", constant.name, constant.value);
    }
    text
}
