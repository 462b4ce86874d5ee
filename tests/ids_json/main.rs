//! Sealed ids in arbitrary JSON. The model knows only `serde_json`'s values, and gives the required
//! result for each.
//!
//! tests/ids has another model, of bytes. Random tests print their seed; `TOKENPIN_SEED` repeats
//! it.
#![deny(clippy::pedantic)]

use std::cell::Cell;
use std::fmt::Write as _;

use proptest::prelude::{Just, Strategy as Draw, any, prop, prop_oneof};
use proptest::sample::select as one_of;
use proptest::test_runner::{Config as Runs, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::{Map, Value};
use tokenpin::ids::{
    Echo, ITEM_PREFIXES, Ids, KEYS, KeyKind, Mode, Opener, Opening, PREFIXES, Rules, Sealer,
    Sealing, Summary,
};
use tokenpin::{CookieKey, IdRing, IdSealer, Role, Secret};
use tokenpin_test_support::random::Random;

const RUNS: u32 = 3_000;
const PIN: u64 = 5;

/// Generates keys of the table, near misses, and arbitrary keys.
fn key() -> impl Draw<Value = String> {
    let listed: Vec<_> =
        KEYS.iter().map(|key| String::from_utf8(key.name.to_vec()).unwrap()).collect();
    prop_oneof![
        3 => Just("id".to_owned()),
        6 => one_of(listed.clone()),
        1 => one_of(listed).prop_map(|key| key + "s"),
        1 => one_of(vec!["call_id", "user_id", "type", "text", "store", "ID", ""]).prop_map(str::to_owned),
        1 => ".{0,6}",
    ]
}

/// Generates ids of every form and length, near misses, and arbitrary text.
fn text() -> impl Draw<Value = String> {
    let prefixes: Vec<_> = PREFIXES.iter().chain(ITEM_PREFIXES).collect();
    let id = (
        one_of(prefixes),
        "[0-9a-f]{48}|[0-9a-f]{32}|[A-Za-z0-9_-]{0,30}|[a-z]{240,256}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    );
    let id = id.prop_map(|(prefix, rest)| std::str::from_utf8(prefix).unwrap().to_owned() + &rest);
    prop_oneof![6 => id, 1 => "call_[a-z0-9]{24}", 1 => "\\PC{0,12}", 1 => any::<String>()]
}

fn object(of: impl Draw<Value = Value>) -> impl Draw<Value = Value> {
    prop::collection::btree_map(key(), of, 0..8)
        .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
}

fn json() -> impl Draw<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
        text().prop_map(Value::from),
        text().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    let inner = leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from), object(inner)]
    });
    prop_oneof![1 => inner.clone(), 6 => object(inner)]
}

/// Returns the kind of a key in the table.
fn kind_of(key: &str) -> Option<KeyKind> {
    let row = KEYS.iter().find(|row| row.name == key.as_bytes())?;
    Some(row.kind).filter(|kind| !matches!(kind, KeyKind::Path | KeyKind::Query))
}

fn is_sealed(ids: Ids, text: &str) -> bool {
    let listed = |prefixes: &[&[u8]]| prefixes.iter().any(|it| text.as_bytes().starts_with(it));
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (listed(PREFIXES) || ids == Ids::Items && listed(ITEM_PREFIXES))
        && text.len() <= 255
        && text.bytes().all(letters)
}

/// Seals the ids under `kind`, and returns their number.
fn seal(
    value: &mut Value,
    kind: Option<KeyKind>,
    in_variables: bool,
    ids: Ids,
    with: &IdSealer<'_>,
) -> u32 {
    match value {
        Value::String(text) => match kind {
            Some(KeyKind::Own | KeyKind::Id | KeyKind::Named) if is_sealed(ids, text) => {
                let sealed = with.seal(text.as_bytes(), PIN).unwrap();
                *text = String::from_utf8(sealed.as_bytes().to_vec()).unwrap();
                1
            }
            // The head is the text without escapes: serde_json escapes no printable ASCII.
            Some(KeyKind::Encrypted) if ids == Ids::Items && !text.is_empty() => {
                text.push_str(
                    std::str::from_utf8(&with.mark(text.as_bytes(), PIN).unwrap()).unwrap(),
                );
                0
            }
            _ => 0,
        },
        Value::Array(elements) => {
            if kind == Some(KeyKind::Opaque) {
                return 0;
            }
            let is_id = |element: &Value| kind == Some(KeyKind::Ids) && element.is_string();
            let below = in_variables || kind == Some(KeyKind::Variables);
            let each = elements.iter_mut().map(|element| {
                let kind = is_id(element).then_some(KeyKind::Id);
                seal(element, kind, below, ids, with)
            });
            each.sum()
        }
        Value::Object(members) => {
            if matches!(kind, Some(KeyKind::Opaque | KeyKind::OpaqueObject)) {
                return 0;
            }
            let below = in_variables || kind == Some(KeyKind::Variables);
            let each = members.iter_mut().map(|(key, value)| {
                let kind = kind_of(key).filter(|_| !below || key == "file_id");
                seal(value, kind, below, ids, with)
            });
            each.sum()
        }
        _ => 0,
    }
}

/// The body in pieces that end at these places.
fn pieces<'b>(body: &'b [u8], cuts: &[usize]) -> Vec<&'b [u8]> {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
    ends.push(body.len());
    ends.sort_unstable();
    let mut from = 0;
    ends.into_iter().map(|to| &body[std::mem::replace(&mut from, to)..to]).collect()
}

/// Returns the text with one in `every` letters and digits of its strings escaped. At least five:
/// an id of 255 has to stay within 512.
fn escape(text: &str, every: usize) -> String {
    let (mut out, mut in_string, mut count) = (String::new(), false, 0);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        in_string ^= character == '"';
        let is_plain = in_string && character.is_ascii_alphanumeric();
        count += usize::from(is_plain);
        if is_plain && every > 0 && count % every == 0 {
            write!(out, "\\u{:04x}", u32::from(character)).unwrap();
            continue;
        }
        out.push(character);
        if character == '\\' {
            let escape = characters.next().unwrap();
            out.push(escape);
            let digits = if escape == 'u' { 4 } else { 0 };
            out.extend(characters.by_ref().take(digits));
        }
    }
    out
}

/// Returns a document as an event, with a line of data for each of its lines.
fn as_event(text: &str) -> String {
    let lines = text.split('\n').map(|line| format!("data: {line}\n"));
    lines.collect::<Vec<_>>().concat() + "\n"
}

/// Returns the content of a document, which may be an event.
fn document_of(body: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(body).ok()?;
    let lines = text.strip_prefix("data: ").map(|text| text.replace("\ndata: ", "\n"));
    serde_json::from_str(lines.as_deref().unwrap_or(text)).ok()
}

#[test]
fn arbitrary_json_is_sealed_and_opened_as_its_values_say() {
    let key = CookieKey { id: 1, role: Role::Sign, secret: Secret::new([7; 16]) };
    let ring = IdRing::new(&[key], None).unwrap();
    let ids_of = IdSealer::new(&ring, b"", b"").unwrap();
    let rules = Rules::new(ids_of, Mode::Seal);
    let runs = Runs { cases: RUNS, failure_persistence: None, ..Runs::default() };
    let seed = Random::new("arbitrary JSON").bytes::<32>();
    let mut runner =
        TestRunner::new_with_rng(runs, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    let ways = (any::<bool>(), any::<bool>(), one_of(vec![Ids::Items, Ids::Both]));
    let cases = (json(), cuts, ways, one_of(vec![0, 5, 7]));
    let sealed_ids = Cell::new(0);
    let result = runner.run(&cases, |(native, cuts, (pretty, events, ids), every)| {
        let mut closed = native.clone();
        let count = seal(&mut closed, None, false, ids, &ids_of);
        sealed_ids.set(sealed_ids.get() + count);
        let write = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
        let frame = |text: String| if events { as_event(&text) } else { text };
        // Marks depend on the escapes of content.
        let every = if ids == Ids::Both { every } else { 0 };
        let body = frame(escape(&write(&native).unwrap(), every));
        let expected = frame(write(&closed).unwrap());
        let cuts: Vec<_> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        let echo = Echo::new();
        let with = Sealing { rules: &rules, pin: PIN, echo: &echo, origin: None };
        let mut sealer = if events { Sealer::events(ids) } else { Sealer::json(ids) };
        let mut out = Vec::new();
        for piece in pieces(body.as_bytes(), &cuts) {
            sealer.push(&with, piece, |part| out.extend_from_slice(part));
        }
        out.extend_from_slice(sealer.finish(&with));
        let fail = |what: &str| {
            let out = String::from_utf8_lossy(&out);
            Err(TestCaseError::fail(format!("{what}: {body}\n{out}\n{closed}")))
        };
        if document_of(&out).as_ref() != Some(&closed) {
            return fail("sealed otherwise");
        }
        if every == 0 && out != expected.as_bytes() {
            return fail("other bytes");
        }
        if (sealer.sealed, sealer.unexpected()) != (count, 0) {
            return fail("counted otherwise");
        }
        // And the reverse: in place, and in pieces.
        let with = Opening { rules: &rules, known: &|_| true };
        let (mut opener, mut summary) = (Opener::new(ids), Summary::new());
        let mut place = out.clone();
        let len = opener.open_in_place(&with, &mut summary, &mut place);
        let (mut opener, mut other, mut again) = (Opener::new(ids), Summary::new(), Vec::new());
        for piece in pieces(&out, &cuts) {
            opener.push(&with, &mut other, piece, |part| again.extend_from_slice(part));
        }
        again.extend_from_slice(opener.finish(&with, &mut other));
        if document_of(&place[..len]).as_ref() != Some(&native) || again != place[..len] {
            return fail("opened otherwise");
        }
        if every == 0 && again != body.as_bytes() {
            return fail("other bytes when opened");
        }
        if summary.refused || summary.opened < count || other.opened != summary.opened {
            return fail("refused");
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    let sealed_ids = sealed_ids.get();
    assert!(sealed_ids > RUNS / 2, "{sealed_ids}");
}
