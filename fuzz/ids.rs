//! Bodies that are cut anywhere, opened and sealed, against a slow model that reads the whole body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenpin::ids::{Echo, Ids, Mode, Opener, Opening, Rules, Sealer, Sealing, Summary};
use tokenpin::{IdRing, IdSealer, Role, identity_hash};
use tokenpin_fuzz::{Input, cookie_key};
use tokenpin_test_support::ids::{self as model, apply};

fuzz_target!(|data: &[u8]| run(&mut Input::new(data)));

fn run(input: &mut Input<'_>) {
    let ring =
        IdRing::new(&[cookie_key(1, Role::Sign), cookie_key(2, Role::Accept)], None).unwrap();
    let mode = input.pick(&[Mode::Open, Mode::Seal, Mode::Strict, Mode::Off]);
    let ids = input.pick(&[Ids::Items, Ids::Both, Ids::Open]);
    let mut rules = Rules::new(IdSealer::new(&ring, b"", b"").unwrap(), mode);
    (rules.refuse_foreign, rules.encrypted) = (input.flag(), !input.one_in(8));
    let account = identity_hash(b"account-a");
    let known = |pin: u64| pin == account;
    let cuts: [u8; 4] = input.array();
    let events = input.flag();
    let text = with_seals(&rules, input.rest());

    let every = all_cuts(&text, cuts);
    let marked = text.starts_with(b"\xef\xbb\xbf");
    let body = if marked { &text[3..] } else { &text[..] };
    let begins_as_events =
        body.iter().find(|byte| !b" \t\r\n".contains(byte)).is_some_and(|b| b"deir:".contains(b));
    let with = Sealing { rules: &rules, pin: account, echo: &Echo::new(), origin: None };
    // The model of sealing has no echo, and so only the two modes that seal.
    let seals = matches!(mode, Mode::Seal | Mode::Strict) && ids != Ids::Open;
    if seals && (events || !begins_as_events) {
        let (edits, unexpected) = if events {
            model::seal_events(&text, &rules, ids, account)
        } else {
            let (edits, whole) = model::seal(body, &rules, ids, account);
            let behind = text.len() - body.len();
            let moved = |(at, text): (std::ops::Range<usize>, _)| {
                (at.start + behind..at.end + behind, text)
            };
            (edits.into_iter().map(moved).collect(), u32::from(!whole && !model::is_done(body)))
        };
        for chunks in &every {
            let mut sealer = if events { Sealer::events(ids) } else { Sealer::json(ids) };
            let mut out = Vec::new();
            for chunk in chunks {
                sealer.push(&with, chunk, |part| out.extend_from_slice(part));
            }
            out.extend_from_slice(sealer.finish(&with));
            assert_eq!(out, apply(&text, &edits));
            assert_eq!(sealer.unexpected(), unexpected);
        }
    }

    if !begins_as_events && !marked {
        let expected = model::Opening::new(&rules, ids, &known).open(&text);
        let with = Opening { rules: &rules, known: &known };
        let unexpected = !expected.whole && !model::is_done(&text);
        for chunks in &every {
            let (mut opener, mut summary, mut out) = (Opener::new(ids), Summary::new(), Vec::new());
            for chunk in chunks {
                opener.push(&with, &mut summary, chunk, |part| out.extend_from_slice(part));
            }
            out.extend_from_slice(opener.finish(&with, &mut summary));
            assert_eq!(out, apply(&text, &expected.edits));
            assert_eq!((summary.verdict, summary.keys), (expected.verdict, expected.keys));
            assert_eq!((summary.refused, summary.existing), (expected.refused, expected.existing));
            assert_eq!((summary.opened, summary.plain), (expected.opened, expected.plain));
            assert_eq!(summary.account(), expected.account());
            assert_eq!(opener.unexpected(), u32::from(unexpected));
        }
    }

    // Any text only shrinks in place.
    let (mut summary, mut place) = (Summary::new(), text.clone());
    let with = Opening { rules: &rules, known: &known };
    assert!(Opener::new(ids).open_in_place(&with, &mut summary, &mut place) <= text.len());
    assert!(with.open_target(ids, &mut summary, &mut place) <= text.len());
}

/// Returns the body whole, and cut as drawn. A short one is also cut at every byte, and in one of
/// many draws at every two bytes.
fn all_cuts(body: &[u8], drawn: [u8; 4]) -> Vec<Vec<&[u8]>> {
    let mut all = vec![vec![body], cut(body, drawn)];
    if body.len() <= 96 {
        for first in 1..body.len() {
            let (front, back) = body.split_at(first);
            all.push(vec![front, back]);
            let pairs = if drawn[0].is_multiple_of(16) { back.len() } else { 0 };
            for second in 1..pairs {
                all.push(vec![front, &back[..second], &back[second..]]);
            }
        }
    }
    all
}

/// Cuts into pieces of these lengths, repeatedly.
fn cut(mut body: &[u8], lengths: [u8; 4]) -> Vec<&[u8]> {
    let mut chunks = Vec::new();
    for length in lengths.into_iter().cycle() {
        if body.is_empty() {
            break;
        }
        let (chunk, rest) = body.split_at((usize::from(length) % 90 + 1).min(body.len()));
        chunks.push(chunk);
        body = rest;
    }
    chunks
}

/// Returns the input, with each byte 1, 2 or 3 in it made a sealed id, of this account or another,
/// or a mark.
fn with_seals(rules: &Rules<'_>, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for &byte in bytes {
        match byte {
            1 | 2 => {
                let account: &[u8] = if byte == 1 { b"account-a" } else { b"account-b" };
                let digits = b"resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41";
                let sealed = rules.sealer.seal(digits, identity_hash(account)).unwrap();
                text.extend_from_slice(sealed.as_bytes());
            }
            3 => {
                let content = b"gAAAAABoQUJD";
                let mark = rules.sealer.mark(content, identity_hash(b"account-a")).unwrap();
                text.extend_from_slice(content);
                text.extend_from_slice(&mark);
            }
            _ => text.push(byte),
        }
    }
    text
}
