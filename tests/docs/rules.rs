//! Tests of pages against the code. Every rule of docs/spec/decision.md has its mark in the code
//! that applies it, in the order of the page, and in a test.

use tokenpin_test_support::ROOT;

fn read(file: &str) -> String {
    std::fs::read_to_string(format!("{ROOT}/{file}")).unwrap()
}

/// Returns the numbers of the rules that a page states, `**7. ..`.
fn stated(page: &str) -> Vec<u32> {
    let rules = page.lines().filter_map(|line| line.strip_prefix("**"));
    rules.filter_map(|rule| rule.split_once('.')?.0.parse().ok()).collect()
}

/// Returns the rules that a text's comments name, in the order of their first mention.
fn marked(text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((_, comment)) = line.split_once("//") else { continue };
        let comment = comment.replace(',', " ").to_lowercase();
        let mut words = comment.split([' ', '.', ':', '(', ')']).peekable();
        while let Some(word) = words.next() {
            if word != "rule" && word != "rules" {
                continue;
            }
            while let Some(next) = words.next_if(|it| *it == "and" || it.parse::<u32>().is_ok()) {
                found.extend(next.parse::<u32>().ok().filter(|rule| !found.contains(rule)));
            }
        }
    }
    found
}

#[test]
fn every_rule_is_marked_in_the_code_in_the_order_of_the_page() {
    let rules = stated(&read("docs/spec/decision.md"));
    assert_eq!(rules, (0..=10).collect::<Vec<_>>());
    assert_eq!(marked(&read("src/decide/mod.rs")), rules);
}

#[test]
fn every_rule_is_marked_in_a_test() {
    let mut tested: Vec<u32> = ["named", "rules", "jars", "pins", "host"]
        .iter()
        .flat_map(|file| marked(&read(&format!("tests/decision/{file}.rs"))))
        .collect();
    tested.sort_unstable();
    tested.dedup();
    assert_eq!(tested, stated(&read("docs/spec/decision.md")));
}

#[test]
fn the_rust_of_the_guide_is_a_tested_example() {
    let page = read("docs/guides/embedding.md");
    let shown = page.split_once("```rust\n").unwrap().1.split_once("```").unwrap().0;
    let source = read("src/decide/owned.rs");
    let comments = source.lines().filter_map(|line| line.trim_start().strip_prefix("///"));
    let comments: String =
        comments.flat_map(|line| [line.strip_prefix(' ').unwrap_or(line), "\n"]).collect();
    assert!(!shown.is_empty() && comments.contains(shown), "OwnedAffinity::get has other lines");
}

#[test]
fn marks_are_read_as_they_are_written() {
    assert_eq!(stated("**1. One.** x\n **2. no\n**no**\n**12.** y"), [1, 12]);
    let text = "/// Rules 1 and 6. x\n// Rule 3: y\nlet a = 1; // not rule 3, rule 7\nrule 9";
    assert_eq!(marked(text), [1, 6, 3, 7]);
}
