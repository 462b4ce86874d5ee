//! The header in chapters: one for each file of src/capi that is one, in reading order, with what the
//! functions of a chapter take in front of them.

/// The files of src/capi that are chapters, in reading order.
const FILES: [&str; 8] =
    ["status", "affinity", "decide", "select", "cookie", "field", "classify", "version"];

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

struct Chapter {
    /// What the file's documentation says.
    introduction: Vec<String>,
    source: String,
}

/// A declaration with its comment.
#[derive(Clone, Copy)]
struct Block<'t> {
    text: &'t str,
    /// What is declared.
    name: &'t str,
    is_function: bool,
}

impl<'t> Block<'t> {
    fn new(text: &'t str) -> Self {
        let code = text.rsplit_once("*/\n").map_or(text, |(_, code)| code).trim_start();
        let (name, is_function) = if let Some(constant) = text.split("#define ").nth(1) {
            (constant, false)
        } else if let Some(rest) = text.split("\nenum ").nth(1) {
            (rest, false)
        } else if let Some(rest) = text.split("typedef struct ").nth(1) {
            (rest, false)
        } else {
            let head = code.split_once('(').unwrap_or_else(|| panic!("what is this? {text}")).0;
            (head.rsplit([' ', '*']).next().unwrap(), true)
        };
        let end = name.find(|letter: char| !is_word(letter)).unwrap_or(name.len());
        Self { text, name: &name[..end], is_function }
    }

    fn mentions(&self, name: &str) -> bool {
        self.name != name && mentions(self.text, name)
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn mentions(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        !text[..at].ends_with(is_word) && !text[at + name.len()..].starts_with(is_word)
    })
}

fn chapter(file: &str) -> Chapter {
    let source = std::fs::read_to_string(format!("{ROOT}/src/capi/{file}.rs")).unwrap();
    let documentation = source.lines().map_while(|line| line.strip_prefix("//!"));
    let mut introduction: Vec<_> = documentation.map(|line| line.trim_start().to_owned()).collect();
    let title = introduction[0].strip_prefix("Chapter ");
    introduction[0] = title.unwrap_or_else(|| panic!("src/capi/{file}.rs is no chapter")).into();
    Chapter { introduction, source }
}

/// The header that cbindgen made, with its declarations in the order of the chapters.
///
/// A function belongs to the chapter whose file defines it. All else stands in the first chapter that
/// mentions it, in front of the functions, and what it is made of in front of it.
pub fn arrange(text: &str) -> String {
    let (opening, rest) = text.split_once("#include <stdint.h>\n").expect("includes");
    let (_, closing) = rest.rsplit_once("\n\n#ifdef __cplusplus\n}").expect("an end");
    let body = rest.replace("#ifdef __cplusplus\nextern \"C\" {\n#endif // __cplusplus\n", "");
    let body = body.rsplit_once("\n\n#ifdef __cplusplus\n}").unwrap().0;
    let body = format!("{body}\n\n{}", version());
    let blocks: Vec<_> =
        body.split("\n\n").map(str::trim).filter(|text| !text.is_empty()).map(Block::new).collect();
    let chapters = FILES.map(chapter);

    // Where each stands. What nothing mentions stands in the first chapter.
    let defines = |chapter: &Chapter, name: &str| chapter.source.contains(&format!(" fn {name}("));
    let mut home: Vec<Option<usize>> = blocks
        .iter()
        .map(|block| {
            let of = |chapter: &Chapter| block.is_function && defines(chapter, block.name);
            chapters.iter().position(of)
        })
        .collect();
    for (block, home) in blocks.iter().zip(&home) {
        assert!(!block.is_function || home.is_some(), "{} is in no chapter", block.name);
    }
    while let Some((which, at)) = earlier(&blocks, &home, &chapters) {
        home[which] = Some(at);
    }

    let mut made = format!("{opening}#include <stdint.h>\n\n{MUST_CHECK}\n");
    made += "#ifdef __cplusplus\nextern \"C\" {\n#endif  // __cplusplus\n";
    for (number, chapter) in chapters.iter().enumerate() {
        made += &heading(&chapter.introduction);
        for functions in [false, true] {
            for (block, home) in blocks.iter().zip(&home) {
                if block.is_function == functions && home.unwrap_or(0) == number {
                    made += &format!("\n{}\n", must_check(block));
                }
            }
        }
    }
    made + "\n#ifdef __cplusplus\n}" + closing
}

/// A declaration that has to stand in an earlier chapter than it does, and which.
fn earlier(
    blocks: &[Block<'_>],
    home: &[Option<usize>],
    chapters: &[Chapter],
) -> Option<(usize, usize)> {
    blocks.iter().enumerate().filter(|(_, block)| !block.is_function).find_map(|(which, block)| {
        let users = blocks.iter().zip(home).filter(|(user, _)| user.mentions(block.name));
        let by_users = users.filter_map(|(_, home)| *home).min();
        let said =
            |chapter: &Chapter| chapter.introduction.iter().any(|it| mentions(it, block.name));
        let by_text = chapters.iter().position(said);
        let first = by_users.into_iter().chain(by_text).min()?;
        (home[which].is_none_or(|home| first < home)).then_some((which, first))
    })
}

/// The version as the preprocessor sees it.
fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut made = format!(
        "/**\n * The version of the library that this header came with.\n */\n\
         #define TOKENPIN_VERSION \"{version}\""
    );
    for (part, number) in ["MAJOR", "MINOR", "PATCH"].iter().zip(version.split('.')) {
        let name = part.to_lowercase();
        made += &format!(
            "\n\n/**\n * Its {name} number.\n */\n#define TOKENPIN_VERSION_{part} {number}"
        );
    }
    made
}

/// A chapter's title and introduction.
fn heading(introduction: &[String]) -> String {
    let rule = "=".repeat(96);
    let mut made = format!("\n/* {rule}\n");
    for line in introduction {
        made += format!(" * {line}").trim_end();
        made.push('\n');
    }
    made + " * " + &rule + " */\n"
}

const MUST_CHECK: &str = "\
/* Warns where the status of a call is ignored. */
#if defined(__GNUC__) || defined(__clang__)
#define TOKENPIN_MUST_CHECK __attribute__((warn_unused_result))
#else
#define TOKENPIN_MUST_CHECK
#endif
";

/// A function that returns a status, marked so that compilers warn where it is ignored.
fn must_check(block: &Block<'_>) -> String {
    if block.is_function {
        block.text.replace("\nint32_t tokenpin_", "\nTOKENPIN_MUST_CHECK\nint32_t tokenpin_")
    } else {
        block.text.to_owned()
    }
}
