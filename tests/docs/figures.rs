//! Figures that `docs/proofs/performance.md` quotes are those of the tables in `docs/measured`.

use tokenpin_test_support::ROOT;

/// The quote, the page of its table, the beginning of its row, and its cell.
const QUOTES: [(&str, &str, &str, &str); 11] = [
    ("98 296 bytes", "../proofs/performance", "shared library, stripped", "98 296"),
    ("10.5 %", "envoy", "requests of 16 KB: tokenpin, seal", "10.5%"),
    ("17.5 are taken", "envoy", "requests of 16 KB: tokenpin, seal", "17.5"),
    ("| 4.7 |", "envoy", "requests of 16 KB: only the calls", "4.7"),
    ("7.5 %", "envoy", "streams of 200 events: tokenpin, seal", "7.5%"),
    ("4.5 %", "envoy", "the same, 10 at a time: tokenpin, seal", "4.5%"),
    ("17 µs later", "envoy", "the first event, µs later than with no filter", "17"),
    ("0.941 of those", "envoy", "1 worker, a valid cookie: requests/s of no filter's", "0.941"),
    ("0.945 of", "envoy", "1 worker, a valid cookie: requests/s of stateful", "0.945"),
    ("2.7 where 3", "speed", "the same with name and scope hashed for each cookie", "2.7"),
    ("209 ns", "speed", "decision with a valid cookie, requests drawn", "209"),
];

/// Returns whether a row of a page begins so and has a cell that begins so.
fn has(page: &str, row: &str, cell: &str) -> bool {
    page.lines().filter_map(|line| line.strip_prefix("| ")).any(|line| {
        line.starts_with(row) && line.split('|').skip(1).any(|it| it.trim().starts_with(cell))
    })
}

#[test]
fn quoted_figures_are_the_measured_ones() {
    let read = |path: &str| std::fs::read_to_string(format!("{ROOT}/docs/{path}.md")).unwrap();
    let words = read("proofs/performance").split_whitespace().collect::<Vec<_>>().join(" ");
    for (quote, page, row, cell) in QUOTES {
        assert!(words.contains(quote), "performance.md has another figure than {quote}");
        let measured = read(&format!("measured/{page}"));
        assert!(has(&measured, row, cell), "{page}.md has another figure for {row} than {cell}");
        assert!(!has(&measured, row, &format!("9{cell}")), "another figure is noticed");
    }
}
