//! Links between the pages lead to files and headings that exist.

use std::path::{Path, PathBuf};

use tokenpin_test_support::ROOT;

/// Returns every page of the project, except for built or installed ones.
fn pages() -> Vec<PathBuf> {
    let (mut pages, mut folders) = (Vec::new(), vec![PathBuf::from(ROOT)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let foreign = matches!(name.as_str(), "build" | "target" | "node_modules");
            if path.is_dir() && !name.starts_with('.') && !foreign {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// The text outside of blocks of code.
fn prose(page: &str) -> String {
    page.split("```").step_by(2).collect()
}

/// Returns the anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Returns the fault of a link on a page, if there is one.
fn problem(page: &Path, target: &str) -> Option<String> {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() { page.to_owned() } else { page.parent()?.join(file) };
    if !path.exists() {
        return Some(format!("{}: no file {file}", page.display()));
    }
    if heading.is_empty() {
        return None;
    }
    let there = prose(&std::fs::read_to_string(&path).unwrap());
    let found =
        there.lines().any(|line| line.starts_with('#') && anchor(line) == heading.to_lowercase());
    (!found).then(|| format!("{}: {target} has no such heading", page.display()))
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    assert!(pages.len() >= 14, "the pages were found");
    let mut problems = Vec::new();
    let mut links = 0;
    for page in &pages {
        let text = prose(&std::fs::read_to_string(page).unwrap());
        for (target, _) in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            // rustdoc resolves links to items, in the pages of src/guide.
            if !target.contains("://") && !target.starts_with("crate::") {
                links += 1;
                problems.extend(problem(page, target));
            }
        }
    }
    assert!(links >= 50, "links were found");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let readme = &pages[0];
    assert!(problem(readme, "no/such/file.md").is_some(), "a dead link is noticed");
    assert!(problem(readme, "#no-such-heading").is_some(), "and a missing heading");
}
