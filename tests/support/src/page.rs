//! Parts of pages that the code writes, between two markers.

use std::sync::Mutex;

use crate::ROOT;

/// Serialises writes: a page may have several parts, each written by another test.
static WRITING: Mutex<()> = Mutex::new(());

/// Checks that the part called `part` of docs/`file` is `text`. With `TOKENPIN_WRITE_VECTORS` set,
/// writes it: in one step, because other tests read the page meanwhile.
#[track_caller]
pub fn compare(file: &str, part: &str, text: &str) {
    let _alone = WRITING.lock().unwrap();
    let path = format!("{ROOT}/docs/{file}");
    let page = std::fs::read_to_string(&path).unwrap();
    let begin = format!("<!-- {part}, written by `make vectors` -->\n");
    let end = "<!-- end -->";
    let (before, rest) = page.split_once(&begin).unwrap();
    let (there, after) = rest.split_once(end).unwrap();
    if std::env::var_os("TOKENPIN_WRITE_VECTORS").is_some() {
        let whole = format!("{path}.new");
        std::fs::write(&whole, format!("{before}{begin}{text}{end}{after}")).unwrap();
        std::fs::rename(&whole, &path).unwrap();
        return;
    }
    assert!(there == text, "the {part} in docs/{file} is stale: `make vectors` writes it again");
}
