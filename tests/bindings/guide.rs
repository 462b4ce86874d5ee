//! The pages of docs/ that the crate's documentation shows as modules: copies, in which links lead to
//! where they lead from there.

use std::fs;
use std::path::{Component, Path, PathBuf};

use tokenpin_test_support::ROOT;

use crate::Copy;

/// Each page, and its copy.
const PAGES: [(&str, &str); 6] = [
    ("docs/guides/embedding.md", "src/guide/embedding.md"),
    ("docs/guides/operations.md", "src/guide/operations.md"),
    ("docs/spec/cookie-format.md", "src/guide/cookie_format.md"),
    ("docs/spec/decision.md", "src/guide/decision.md"),
    ("docs/spec/sealed-ids.md", "src/guide/sealed_ids.md"),
    ("docs/spec/selection.md", "src/guide/selection.md"),
];

pub fn pages() -> Vec<Copy> {
    let head = |page| format!("<!-- Made by `make bindings` from {page}. Do not edit. -->\n");
    let text = |page| fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
    let copy = |(page, copy)| Copy::whole(copy, head(page) + &linked(&text(page), page));
    PAGES.map(copy).into()
}

/// The page's text with each link that is relative to its folder led elsewhere. Blocks of code stay.
fn linked(text: &str, page: &str) -> String {
    let mut parts: Vec<String> = text.split("```").map(String::from).collect();
    for prose in parts.iter_mut().step_by(2) {
        let mut links = prose.split("](");
        let mut led = links.next().unwrap().to_owned();
        for link in links {
            let (target, rest) = link.split_once(')').unwrap();
            led += &format!("]({}){rest}", lead(target, page, led.rfind("![") > led.rfind(']')));
        }
        *prose = led;
    }
    parts.join("```")
}

/// Another page of these is a module, which rustdoc finds. All else is in the repository, at this version.
fn lead(target: &str, page: &str, image: bool) -> String {
    if target.contains("://") || target.starts_with('#') {
        return target.to_owned();
    }
    let (file, heading) = target.split_at(target.find('#').unwrap_or(target.len()));
    let mut path = PathBuf::new();
    for part in Path::new(page).parent().unwrap().join(file).components() {
        if part == Component::ParentDir {
            assert!(path.pop(), "{page}: {target}");
        } else {
            path.push(part);
        }
    }
    if let Some((_, copy)) = PAGES.iter().find(|(other, _)| Path::new(other) == path) {
        return format!("crate::guide::{}{heading}", Path::new(copy).file_stem().unwrap().display());
    }
    let there = Path::new(ROOT).join(&path);
    assert!(there.exists(), "{page}: {target}");
    let kind = if image { "raw" } else if there.is_dir() { "tree" } else { "blob" };
    let (repository, version) = (env!("CARGO_PKG_REPOSITORY"), env!("CARGO_PKG_VERSION"));
    format!("{repository}/{kind}/v{version}/{}{heading}", path.display())
}

#[test]
fn links_are_led() {
    let led = |text| linked(text, "docs/spec/decision.md");
    assert_eq!(led("[a](selection.md#home)\n```\n[b](selection.md)\n```\n"),
        "[a](crate::guide::selection#home)\n```\n[b](selection.md)\n```\n");
    assert_eq!(led("[a](#rules) [b](https://example.com)"), "[a](#rules) [b](https://example.com)");
    let at = format!("v{}", tokenpin::VERSION);
    let there = concat!(env!("CARGO_PKG_REPOSITORY"), "/");
    assert_eq!(led("[a](../../src/lib.rs)"), format!("[a]({there}blob/{at}/src/lib.rs)"));
    assert_eq!(led("[a](../../src)"), format!("[a]({there}tree/{at}/src)"));
    let chart = "docs/measured/speed.svg";
    assert_eq!(led("![a](../measured/speed.svg)"), format!("![a]({there}raw/{at}/{chart})"));
}
