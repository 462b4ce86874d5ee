//! Rewriting bodies that are cut anywhere, against a model that reads the whole body.

use tokenpin::ids::{Echo, Ids, Mode, Opener, Opening, Rules, Sealer, Sealing, Summary};
use tokenpin::{IdRing, IdSealer};
use tokenpin_test_support::ids::{self as model, apply};
use tokenpin_test_support::random::Random;
use tokenpin_test_support::sample::{cases, sample};

use crate::docs::{below, document, pick};
use crate::world::{pin, ring};

/// The number of random bodies of each sort.
const BODIES: usize = cases(2_000, 5);

pub fn rules(ring: &IdRing, mode: Mode) -> Rules<'_> {
    Rules::new(IdSealer::new(ring, b"", b"").unwrap(), mode)
}

pub fn known(of: u64) -> bool {
    of == pin("a") || of == pin("b")
}

/// Cuts a body into parts. `next` returns the length of each.
pub fn cut(body: &[u8], mut next: impl FnMut() -> usize) -> Vec<&[u8]> {
    let (mut chunks, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(next().clamp(1, rest.len()));
        chunks.push(chunk);
        rest = behind;
    }
    chunks
}

/// Returns the body in one piece, byte by byte, in twos, and in random pieces.
pub fn cuts<'b>(body: &'b [u8], random: &mut Random) -> Vec<Vec<&'b [u8]>> {
    let mut all = vec![vec![body], cut(body, || 1)];
    for _ in 0..3 {
        let at = below(random, body.len() + 1);
        all.push(vec![&body[..at], &body[at..]]);
        let most = pick(random, &[3, 20, 300]);
        all.push(cut(body, || 1 + below(random, most)));
    }
    sample(3, all)
}

pub fn sealed(sealer: &mut Sealer, with: &Sealing<'_>, chunks: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in chunks {
        sealer.push(with, chunk, |part| out.extend_from_slice(part));
    }
    out.extend_from_slice(sealer.finish(with));
    out
}

pub fn opened(
    opener: &mut Opener,
    with: &Opening<'_>,
    summary: &mut Summary,
    chunks: &[&[u8]],
) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in chunks {
        opener.push(with, summary, chunk, |part| out.extend_from_slice(part));
    }
    out.extend_from_slice(opener.finish(with, summary));
    out
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[test]
fn any_document_cut_anywhere_is_sealed_as_the_model_says() {
    let ring = ring();
    let mut random = Random::new("sealing documents");
    let mut sealed_ids = 0;
    for _ in 0..BODIES {
        let body = document(&mut random);
        let ids = pick(&mut random, &[Ids::Both, Ids::Items, Ids::Items]);
        let rules = rules(&ring, pick(&mut random, &[Mode::Seal, Mode::Strict]));
        let (edits, whole) = model::seal(&body, &rules, ids, pin("a"));
        sealed_ids += edits.len();
        let expected = apply(&body, &edits);
        let with = Sealing { rules: &rules, pin: pin("a"), echo: &Echo::new(), origin: None };
        for chunks in cuts(&body, &mut random) {
            let mut sealer = Sealer::json(ids);
            let out = sealed(&mut sealer, &with, &chunks);
            assert!(out == expected, "{}\n{}\n{}", shown(&body), shown(&out), shown(&expected));
            assert_eq!(sealer.unexpected(), u32::from(!whole), "{}", shown(&body));
        }
    }
    assert!(sealed_ids > cases(BODIES, 0), "{sealed_ids}");
}

#[test]
fn any_request_cut_anywhere_is_opened_as_the_model_says() {
    let ring = ring();
    let mut random = Random::new("opening documents");
    let (mut opened_ids, mut bound, mut refused) = (0, 0, 0);
    for _ in 0..BODIES {
        let body = document(&mut random);
        let ids = pick(&mut random, &[Ids::Open, Ids::Both, Ids::Items]);
        let mode = pick(&mut random, Mode::ALL);
        let mut rules = rules(&ring, mode);
        rules.refuse_foreign = random.below(3) == 0;
        rules.encrypted = random.below(8) > 0;
        let expected = model::Opening::new(&rules, ids, &known).open(&body);
        let text = apply(&body, &expected.edits);
        let with = Opening { rules: &rules, known: &known };
        let check = |summary: &Summary, out: &[u8]| {
            let body = shown(&body);
            assert!(out == text, "{body}\n{}\n{}", shown(out), shown(&text));
            let got = model::Request {
                verdict: summary.verdict,
                keys: summary.keys,
                refused: summary.refused,
                // A long string is known to be long before its end is seen.
                unreadable: summary.unreadable && (expected.whole || expected.unreadable),
                existing: summary.existing,
                unstored: summary.unstored,
                opened: summary.opened,
                plain: summary.plain,
                ..expected.clone()
            };
            assert_eq!(got, expected, "{body}");
            assert_eq!(summary.account(), expected.account(), "{body}");
        };
        for chunks in cuts(&body, &mut random) {
            let (mut opener, mut summary) = (Opener::new(ids), Summary::new());
            let out = opened(&mut opener, &with, &mut summary, &chunks);
            check(&summary, &out);
            assert_eq!(opener.unexpected(), u32::from(!expected.whole), "{}", shown(&body));
        }
        // In place.
        let (mut summary, mut place) = (Summary::new(), body.clone());
        let len = Opener::new(ids).open_in_place(&with, &mut summary, &mut place);
        check(&summary, &place[..len]);
        opened_ids += expected.opened as usize;
        bound += usize::from(expected.account().is_some());
        refused += usize::from(expected.refused);
    }
    assert!(opened_ids > cases(BODIES / 4, 0), "{opened_ids}");
    assert!(bound > cases(BODIES / 8, 0), "{bound}");
    assert!(refused > cases(BODIES / 20, 0), "{refused}");
}
