//! The order of the C header: chapters for reading, and each type in front of its first use.

use tokenpin::ids::{DIGEST_HEADERS, LOCATION_HEADERS};

const RULER: &str =
    "================================================================================";

/// A chapter: the files of src/capi that begin with `Chapter N:`.
struct Chapter {
    /// `Chapter 1: ..`, and the rest of its file's documentation.
    introduction: String,
    source: String,
}

impl Chapter {
    fn all(root: &str) -> Vec<Self> {
        let files = std::fs::read_dir(format!("{root}/src/capi")).unwrap();
        let sources = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        let mut chapters: Vec<Self> = sources
            .filter(|source| source.starts_with("//! Chapter "))
            .map(|source| {
                let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
                let lines = lines.map(|line| format!(" *{line}"));
                Self { introduction: lines.collect::<Vec<_>>().join("\n"), source }
            })
            .collect();
        chapters.sort_by(|a, b| a.introduction.cmp(&b.introduction));
        chapters
    }

    fn has(&self, function: &str) -> bool {
        self.source.contains(&format!("fn {function}("))
    }
}

/// An item of a header with its comment.
struct Block<'a> {
    text: &'a str,
    /// The name of a type or a function.
    name: &'a str,
}

/// Returns the output of cbindgen in the order of the chapters.
pub fn arrange(text: &str, root: &str) -> String {
    let blocks = text.split("\n\n").map(str::trim).filter(|block| !block.is_empty());
    let blocks: Vec<&str> = blocks.collect();
    let first_item = blocks.iter().position(|block| constant_name(block).is_some()).unwrap();
    let (start, rest) = blocks.split_at(first_item);
    let language = |block: &&str| block.starts_with("#ifdef __cplusplus\n");
    let end = rest.iter().rposition(language).unwrap();
    let (rest, end) = rest.split_at(end);

    let constants = rest.iter().copied().filter(|text| constant_name(text).is_some());
    let constants: Vec<&str> = constants.collect();
    let types = rest.iter().filter_map(|text| Some(Block { text, name: type_name(text)? }));
    let mut types: Vec<Block<'_>> = types.collect();
    let functions = rest.iter().filter_map(|text| Some(Block { text, name: function_name(text)? }));
    let functions: Vec<Block<'_>> = functions.collect();
    assert_eq!(
        constants.len() + types.len() + functions.len() + 1,
        rest.len(),
        "an item is neither constant nor type nor function"
    );

    let mut made: Vec<String> = start.iter().map(ToString::to_string).collect();
    made.push(MUST_CHECK.into());
    made.extend(rest.iter().copied().filter(language).map(String::from));
    let chapters = Chapter::all(root);
    for (number, chapter) in chapters.iter().enumerate() {
        made.push(format!("/* {RULER}\n{}\n * {RULER} */", chapter.introduction));
        introduce(&chapter.introduction, &mut types, &mut made);
        if number == 0 {
            // A value that fits into no `int` would be a `long` otherwise.
            let unsigned = |text: &&str| text.replace(" 4294967295", " 4294967295U");
            made.extend(constants.iter().map(unsigned));
            made.extend(lists());
            made.extend(version());
        }
        for function in functions.iter().filter(|function| chapter.has(function.name)) {
            introduce(function.text, &mut types, &mut made);
            made.push(function.text.replace("\nint32_t t", "\nTOKENPIN_MUST_CHECK\nint32_t t"));
        }
    }
    let homeless =
        functions.iter().filter(|function| !chapters.iter().any(|c| c.has(function.name)));
    let left: Vec<&str> = homeless.chain(&types).map(|block| block.name).collect();
    assert!(left.is_empty(), "in no chapter: {}", left.join(", "));
    made.extend(end.iter().map(ToString::to_string));
    made.join("\n\n") + "\n"
}

/// Writes the types that `text` mentions, and before them the types that they mention.
fn introduce(text: &str, types: &mut Vec<Block<'_>>, made: &mut Vec<String>) {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    for word in words {
        if let Some(known) = types.iter().position(|block| block.name == word) {
            let block = types.remove(known);
            introduce(block.text, types, made);
            made.push(block.text.into());
        }
    }
}

fn type_name(block: &str) -> Option<&str> {
    let named = |line: &'_ str| -> Option<usize> {
        ["enum ", "typedef struct "].iter().find(|start| line.starts_with(**start)).map(|s| s.len())
    };
    let line = block.lines().find(|line| named(line).is_some())?;
    line[named(line)?..].split(' ').next()
}

fn constant_name(block: &str) -> Option<&str> {
    block.lines().find_map(|line| line.strip_prefix("#define TOKENPIN_")?.split(' ').nth(1))
}

const MUST_CHECK: &str = "\
/* Compilers warn where the status of a call is ignored. */
#if defined(__GNUC__) || defined(__clang__)
#define TOKENPIN_MUST_CHECK __attribute__((warn_unused_result))
#else
#define TOKENPIN_MUST_CHECK
#endif";

/// Returns the version of the library for the preprocessor, and the initialisers of arrays of
/// `const char*`.
fn lists() -> impl Iterator<Item = String> {
    [
        (
            "DIGEST_HEADERS",
            "Header fields that depend on the bytes of a body. Drop them if its ids were rewritten.",
            DIGEST_HEADERS,
        ),
        (
            "LOCATION_HEADERS",
            "Header fields of a response whose value is a target or a URI with ids.",
            LOCATION_HEADERS,
        ),
    ]
    .into_iter()
    .map(|(name, doc, words)| {
        let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
        let doc = format!("/**\n * {doc} In the braces of an array of `const char *`.\n */");
        format!("{doc}\n#define TOKENPIN_{name} {}", words.join(", "))
    })
}

fn version() -> impl Iterator<Item = String> {
    let version = env!("CARGO_PKG_VERSION");
    let whole = ("VERSION", format!("\"{version}\""), "The version of the library of this header.");
    let parts = [
        ("VERSION_MAJOR", "The first number of the version."),
        ("VERSION_MINOR", "The second number of the version."),
        ("VERSION_PATCH", "The third number of the version."),
    ];
    let parts = parts.into_iter().zip(version.split('.'));
    let parts = parts.map(|((name, doc), number)| (name, number.to_owned(), doc));
    [whole]
        .into_iter()
        .chain(parts)
        .map(|(name, value, doc)| format!("/**\n * {doc}\n */\n#define TOKENPIN_{name} {value}"))
}

fn function_name(block: &str) -> Option<&str> {
    let starts_item = |line: &&str| line.starts_with(|first: char| first.is_ascii_alphabetic());
    let line = block.lines().find(starts_item)?;
    line.split_once('(')?.0.rsplit([' ', '*']).next()
}
