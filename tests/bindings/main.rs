//! Every copy of a fact of the library: the C header, and the copies in other languages and in the
//! documentation. With `TOKENPIN_WRITE_BINDINGS` set, as in `make bindings`, the copies are
//! written; otherwise they are compared.
//!
//! A copy that exists to check a fact is not written here: the second implementations, the numbers
//! in tests/capi/layout.c, the ABI baseline and the fuzzers' models.
#![cfg(feature = "capi")]
#![expect(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "reads like what it writes; nothing hurries"
)]

mod c;
mod chapters;
mod docs;
mod ffi;
mod go;
mod guide;
mod header;
mod hpp;
mod java;
mod js;
mod lua;
mod python;
mod schema;

use header::Header;

/// One file, or one part of it between two marks.
struct Copy {
    file: &'static str,
    /// The marks, for a part.
    part: Option<(String, &'static str)>,
    text: String,
}

impl Copy {
    fn whole(file: &'static str, text: String) -> Self {
        Self { file, part: None, text }
    }

    /// The file's text with this copy in its place.
    fn put(&self, there: &str) -> String {
        let Some((begin, end)) = &self.part else { return self.text.clone() };
        let parts = there.split_once(begin.as_str());
        let parts = parts.and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
        let (before, after) =
            parts.unwrap_or_else(|| panic!("{} has no {begin:?} and {end:?}", self.file));
        format!("{before}{begin}{}{end}{after}", self.text)
    }
}

#[test]
fn every_copy_is_what_the_code_says() {
    let header = Header::generate();
    let mut copies = vec![
        Copy::whole("include/tokenpin.h", header.text.clone()),
        Copy::whole("include/tokenpin.ffi", ffi::header(&header)),
        Copy::whole("go/enums_gen.go", go::enums(&header)),
        Copy::whole("go/status_gen.go", go::statuses(&header)),
        Copy::whole("go/limits_gen.go", go::limits(&header)),
        Copy::whole("go/rules_gen.go", go::rules()),
        Copy::whole("go/ids_gen.go", go::ids()),
        Copy::whole("go/credentials_gen.go", go::credentials()),
        Copy::whole("bindings/js/src/enums.ts", js::enums(&header)),
        Copy::whole("bindings/js/src/limits.ts", js::limits(&header)),
        Copy::whole("bindings/js/src/layout.ts", js::layout(&header)),
        Copy::whole("bindings/python/python/tokenpin/_enums.py", python::enums(&header)),
        Copy::whole("bindings/python/python/tokenpin/_limits.py", python::limits(&header)),
        Copy::whole("gateways/nginx/lua/resty/tokenpin/headers.lua", lua::headers()),
        Copy::whole("gateways/nginx/lua/resty/tokenpin/sentences.lua", lua::sentences(&header)),
        Copy::whole("bindings/python/python/tokenpin/_headers.py", python::headers()),
    ];
    copies.extend(java::files(&header));
    copies.extend(hpp::parts(&header));
    copies.extend(docs::parts(&header));
    copies.extend(schema::parts());
    copies.extend(guide::pages());

    let write = std::env::var_os("TOKENPIN_WRITE_BINDINGS").is_some();
    let mut stale = Vec::new();
    for copy in copies {
        let path = format!("{}/{}", env!("CARGO_MANIFEST_DIR"), copy.file);
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        let made = copy.put(&there);
        if there == made {
            continue;
        }
        if write {
            std::fs::write(&path, made).unwrap();
        } else {
            stale.push(copy.file);
        }
    }
    assert!(stale.is_empty(), "stale: {}; `make bindings` writes them", stale.join(", "));
}
