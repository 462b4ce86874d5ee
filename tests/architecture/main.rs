//! The floors of src/, as ARCHITECTURE.md declares them: no file uses one on its own floor or
//! above, so there is no circle, and only src/capi says `unsafe`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const ROOT: &str = tokenpin_test_support::ROOT;

/// The files of src/ by their path in it, without their test modules and comments.
type Sources = BTreeMap<String, String>;

fn sources() -> Sources {
    let mut found = Sources::new();
    let mut folders = vec![Path::new(ROOT).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let name = path.strip_prefix(Path::new(ROOT).join("src")).unwrap();
            let name = name.to_str().unwrap().replace('\\', "/");
            let text = fs::read_to_string(&path).unwrap();
            found.insert(name, code(&text));
        }
    }
    found
}

fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Returns the floors of the page, from the door down to the ground.
fn floors() -> Vec<Vec<String>> {
    let page = fs::read_to_string(Path::new(ROOT).join("ARCHITECTURE.md")).unwrap();
    let list = page.split_once("```floors\n").expect("floors").1.split_once("```").unwrap().0;
    list.lines().map(|line| line.split_whitespace().map(String::from).collect()).collect()
}

/// Returns the violations of the order.
fn faults(sources: &Sources, floors: &[Vec<String>]) -> Vec<String> {
    let mut faults = Vec::new();
    let floor_of = |file: &str| floors.iter().position(|floor| floor.iter().any(|it| it == file));
    for file in sources.keys() {
        let times = floors.iter().flatten().filter(|it| *it == file).count();
        if times != 1 {
            faults.push(format!("{file} stands {times} times among the floors"));
        }
    }
    for file in floors.iter().flatten().filter(|file| !sources.contains_key(*file)) {
        faults.push(format!("there is no {file}"));
    }
    for (file, text) in sources {
        for used in uses(file, text, sources) {
            if floor_of(&used) <= floor_of(file) && used != *file {
                faults.push(format!("{file} uses {used}, which is not below it"));
            }
        }
        let unsafe_word = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        if !file.starts_with("capi/") && unsafe_word.clone().any(|word| word == "unsafe") {
            faults.push(format!("{file} says unsafe"));
        }
    }
    faults
}

/// Returns the files that the paths in a file's code lead to.
fn uses(file: &str, text: &str, sources: &Sources) -> Vec<String> {
    let module = module_of(file);
    let mut paths = Vec::new();
    // In `use` lines, every path that a pair of braces stands for.
    for line in text.split(';') {
        let Some((before, tree)) = line.rsplit_once("use ") else { continue };
        if before.trim_end().is_empty()
            || before.trim_end().ends_with(['}', ')', ']', ';', '{'])
            || before.trim_end().ends_with("pub")
            || before.trim_end().ends_with("pub(crate)")
        {
            expand("", &tree.split_whitespace().collect::<String>(), &mut paths);
        }
    }
    // Elsewhere, every path that begins with `crate::` or `super::`.
    for start in ["crate::", "super::"] {
        for (at, _) in text.match_indices(start) {
            let rest = &text[at..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
            let path = &rest[..end.unwrap_or(rest.len())];
            // A path before braces belongs to a `use` line.
            if !path.ends_with(':') {
                paths.push(path.to_owned());
            }
        }
    }
    // In the file of the folder, also every path that begins with a module of this folder.
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':') {
        let Some((child, _)) = word.split_once("::") else { continue };
        if file.ends_with("mod.rs") && !["", "crate", "super", "self"].contains(&child) {
            paths.push(word.to_owned());
        }
    }
    let mut used: Vec<String> = paths
        .iter()
        .filter_map(|path| file_of(&absolute(path, &module, sources)?, sources))
        .collect();
    used.sort();
    used.dedup();
    used
}

/// `a::{b, c::{d}}` as `a::b` and `a::c::d`.
fn expand(prefix: &str, tree: &str, out: &mut Vec<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        let path = format!("{prefix}{tree}");
        out.push(path.trim_end_matches("::self").trim_end_matches("::*").to_owned());
        return;
    };
    let inside = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in inside.char_indices().chain([(inside.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if start < at {
                    expand(&format!("{prefix}{head}"), &inside[start..at], out);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// `select/mod.rs` as `[select]`.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').filter(|part| *part != "lib").map(String::from).collect()
}

/// A path from the crate's root; `None` for other crates.
fn absolute(path: &str, module: &[String], sources: &Sources) -> Option<Vec<String>> {
    let mut parts = path.split("::").map(String::from).peekable();
    let mut made = match parts.peek().map(String::as_str) {
        Some("crate") => {
            parts.next();
            Vec::new()
        }
        Some("super" | "self") => module.to_vec(),
        Some(first) => {
            // A child module, or another crate.
            let mut child = module.to_vec();
            child.push(first.into());
            file_named(&child, sources)?;
            module.to_vec()
        }
        None => return None,
    };
    for part in parts {
        match part.as_str() {
            "super" => {
                made.pop();
            }
            "self" => {}
            _ => made.push(part),
        }
    }
    Some(made)
}

fn file_named(module: &[String], sources: &Sources) -> Option<String> {
    let path = module.join("/");
    let names = [format!("{path}.rs"), format!("{path}/mod.rs")];
    if module.is_empty() {
        return Some("lib.rs".into());
    }
    names.into_iter().find(|name| sources.contains_key(name))
}

/// Returns the file that defines the item of a path: that of the longest part that is a module.
fn file_of(path: &[String], sources: &Sources) -> Option<String> {
    (0..=path.len()).rev().find_map(|len| file_named(&path[..len], sources))
}

#[test]
fn every_file_uses_only_what_is_below_it() {
    let faults = faults(&sources(), &floors());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Returns the files, except the two seal.rs, that use what only cryptography needs.
fn cryptography_elsewhere(sources: &Sources) -> Vec<String> {
    let at_home = ["cookie/seal.rs", "ids/seal.rs", "sip.rs"];
    let others = sources.iter().filter(|(file, _)| !at_home.contains(&file.as_str()));
    let uses = |text: &str| SEALS.iter().any(|word| text.contains(word));
    others.filter(|(_, text)| uses(text)).map(|(file, _)| file.clone()).collect()
}

/// Constant-time comparison, and each name of the 128-bit `SipHash`.
const SEALS: [&str; 4] = ["subtle", "sip24_wide", "new_24_wide", "finish_wide"];

#[test]
fn all_cryptography_of_cookie_and_ids_stands_in_seal() {
    let real = sources();
    assert_eq!(cryptography_elsewhere(&real), [""; 0]);
    for word in SEALS {
        let used = real["sip.rs"].contains(word) || real["cookie/seal.rs"].contains(word);
        assert!(used, "{word} is no name of today");
        for file in ["cookie/reader.rs", "ids/form.rs"] {
            let mut sources = real.clone();
            sources.get_mut(file).unwrap().push_str(word);
            assert_eq!(cryptography_elsewhere(&sources), [file], "{word} planted");
        }
    }
}

/// Shows that the test notices each fault, planted in the real sources.
#[test]
fn planted_faults_are_seen() {
    let (real, floors) = (sources(), floors());
    let planted: [(&str, &str, &str); 9] = [
        ("sip.rs", "use crate::cookie::seal::Keys;", "sip.rs uses cookie/seal.rs"),
        ("key.rs", "use crate::select::{jump::jump, slot};", "key.rs uses select/jump.rs"),
        ("key.rs", "use crate::select::{jump::jump, slot};", "key.rs uses select/slot.rs"),
        ("cookie/value.rs", "use super::ring::KeyRing;", "cookie/value.rs uses cookie/ring.rs"),
        ("select/slot.rs", "fn f() { super::batch::select_batch(); }", "uses select/batch.rs"),
        ("select/mod.rs", "fn f() { batch::select_batch(); }", "uses select/batch.rs"),
        ("decide/mod.rs", "use crate::capi::Status;", "decide/mod.rs uses capi/mod.rs"),
        ("error.rs", "use crate::Affinity;", "error.rs uses lib.rs"),
        ("secret.rs", "fn f() { unsafe {} }", "secret.rs says unsafe"),
    ];
    for (file, text, expected) in planted {
        let mut sources = real.clone();
        let code = sources.get_mut(file).unwrap();
        *code = format!("{text}\n{code}");
        let seen = faults(&sources, &floors);
        assert!(seen.iter().any(|fault| fault.contains(expected)), "{expected}: {seen:?}");
    }
    let mut new = real.clone();
    new.insert("select/new.rs".into(), String::new());
    assert_eq!(faults(&new, &floors), ["select/new.rs stands 0 times among the floors"]);
    let mut gone = real;
    gone.remove("decide/index.rs");
    assert!(faults(&gone, &floors).contains(&"there is no decide/index.rs".into()));
}
