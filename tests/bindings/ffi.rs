//! The header for parsers of C that have no preprocessor: `LuaJIT`'s, PHP's, cffi's.

use crate::header::Header;

/// Returns the header as a compiler of C11 sees it, without its comments. Its constants become
/// values of an enum.
pub fn header(header: &Header) -> String {
    let mut made = String::from(
        "/* The declarations of tokenpin.h, which documents them, for parsers without a preprocessor.\n   \
         Generated: `make bindings` writes it, the tests check it. */\n",
    );
    made += "enum {\n";
    for constant in &header.constants {
        // LuaJIT keeps 32 bits of an enum's values; one limit has more. Text is no value.
        let value: Option<u64> = constant.value.trim_end_matches('U').parse().ok();
        if let Some(value) = value.filter(|&value| u32::try_from(value).is_ok()) {
            made += &format!("    TOKENPIN_{} = {value},\n", constant.name);
        }
    }
    made += "};\n";
    // For each open `#if`, whether its lines are included.
    let mut open: Vec<bool> = Vec::new();
    for line in without_comments(&header.text).lines().map(str::trim_end) {
        if let Some(directive) = line.strip_prefix('#') {
            let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
            match word {
                "if" | "ifdef" | "ifndef" => open.push(holds(word, rest.trim())),
                "else" => {
                    let last = open.last_mut().expect("an #else behind an #if");
                    *last = !*last;
                }
                "endif" => drop(open.pop().expect("an #endif behind an #if")),
                "define" | "include" => {}
                _ => panic!("a directive that this page does not know: {line}"),
            }
        } else if open.iter().all(|&seen| seen) && !line.is_empty() && line != "TOKENPIN_MUST_CHECK"
        {
            made += line;
            made.push('\n');
        }
    }
    // C23 has a type between the name of an enum and its values.
    let made = made.replace("\n {\n", " {\n");
    assert!(open.is_empty() && !made.contains(['#', '"']) && !made.contains("MUST_CHECK"));
    made
}

/// Returns the answer of a generic compiler of C11.
fn holds(word: &str, condition: &str) -> bool {
    match (word, condition) {
        ("ifndef", "TOKENPIN_H" | "__cplusplus") => true,
        ("ifdef", "__cplusplus")
        | (
            "if",
            "__STDC_VERSION__ >= 202311L"
            | "defined(__cplusplus) || __STDC_VERSION__ >= 202311L"
            | "defined(__GNUC__) || defined(__clang__)",
        ) => false,
        _ => panic!("a condition that this page does not know: #{word} {condition}"),
    }
}

fn without_comments(text: &str) -> String {
    let mut made = String::new();
    let mut rest = text;
    while let Some((before, comment)) = rest.split_once("/*") {
        made += before;
        rest = comment.split_once("*/").expect("the end of a comment").1;
    }
    made += rest;
    made.lines().map(|line| format!("{}\n", line.split("//").next().unwrap_or(""))).collect()
}
