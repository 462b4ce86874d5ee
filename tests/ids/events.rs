//! Event streams, framed in every way and cut anywhere.

use tokenpin::ids::{Echo, Ids, Mode, Sealer, Sealing};
use tokenpin_test_support::ids::{self as model, apply};
use tokenpin_test_support::random::Random;
use tokenpin_test_support::sample::{cases, sample};

use crate::bodies::{cuts, rules, sealed};
use crate::docs::{below, document, pick};
use crate::world::{pin, ring};

/// Returns events with random documents, over one line or several, among other fields and comments.
fn stream(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    if random.below(4) == 0 {
        out.extend_from_slice(b"\xef\xbb\xbf");
    }
    let usual: &[u8] = pick(random, &[b"\n", b"\r\n", b"\r"]);
    let end = |random: &mut Random| -> &[u8] {
        if random.below(10) == 0 { pick(random, &[b"\n", b"\r\n", b"\r"]) } else { usual }
    };
    for _ in 0..=random.below(4) {
        for _ in 0..random.below(3) {
            out.extend_from_slice(pick(
                random,
                &[
                    &b"event: response.created"[..],
                    b": a comment",
                    b"id: resp_1",
                    b"retry:3000",
                    b"dat",
                    b"data",
                    b"datax: {\"id\":\"resp_1\"}",
                    b" data: {\"id\":\"resp_1\"}",
                    b"x{\"id\":\"resp_1\"}",
                    b"data:",
                    b"data: ",
                ],
            ));
            let end = end(random);
            out.extend_from_slice(end);
        }
        let body = match random.below(6) {
            0 => b"[DONE]".to_vec(),
            1 => Vec::new(),
            _ => document(random),
        };
        let colon: &[u8] = pick(random, &[b"data: ", b"data:", b"data:  "]);
        // A line break of the document is another line of the event.
        for line in body.split(|byte| b"\r\n".contains(byte)) {
            out.extend_from_slice(colon);
            out.extend_from_slice(line);
            let end = end(random);
            out.extend_from_slice(end);
        }
        if random.below(8) > 0 {
            let end = end(random);
            out.extend_from_slice(end);
        }
    }
    if random.below(6) == 0 {
        let at = below(random, out.len());
        out.truncate(at);
    }
    out
}

#[test]
fn any_stream_cut_anywhere_is_sealed_as_the_model_says() {
    let ring = ring();
    let mut random = Random::new("sealing events");
    let rules = rules(&ring, Mode::Seal);
    let with = Sealing { rules: &rules, pin: pin("a"), echo: &Echo::new(), origin: None };
    let mut sealed_ids = 0;
    for _ in 0..cases(2_000, 4) {
        let body = stream(&mut random);
        let (edits, unexpected) = model::seal_events(&body, &rules, Ids::Items, pin("a"));
        sealed_ids += edits.len();
        let expected = apply(&body, &edits);
        for chunks in cuts(&body, &mut random) {
            let mut sealer = Sealer::events(Ids::Items);
            let out = sealed(&mut sealer, &with, &chunks);
            let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
            assert!(out == expected, "{}\n{}\n{}", shown(&body), shown(&out), shown(&expected));
            assert_eq!(sealer.unexpected(), unexpected, "{}", shown(&body));
            // A body that is labelled JSON, but begins like events.
            if body.first().is_some_and(|byte| b"deir:".contains(byte)) {
                let mut sealer = Sealer::json(Ids::Items);
                assert!(sealed(&mut sealer, &with, &chunks) == expected, "{}", shown(&body));
            }
        }
    }
    assert!(sealed_ids > cases(2_000, 0), "{sealed_ids}");
}

/// The commonest mistake: a line end that is cut in two is one line end.
#[test]
fn a_line_end_that_is_cut_in_two_ends_no_event() {
    let ring = ring();
    let rules = rules(&ring, Mode::Seal);
    let with = Sealing { rules: &rules, pin: pin("a"), echo: &Echo::new(), origin: None };
    let body = b"data: {\"response\":\r\ndata: {\"id\":\"resp_1\"}}\r\n\r\ndata: {\"id\":\"resp_2\"}\r\n\r\n";
    for at in sample(12, 0..=body.len()) {
        let mut sealer = Sealer::events(Ids::Items);
        let out = sealed(&mut sealer, &with, &[&body[..at], &body[at..]]);
        assert_eq!(sealer.sealed, 2, "{at}");
        assert!(!out.windows(8).any(|part| part == b"\"resp_1\""));
        assert_eq!(sealer.unexpected(), 0);
    }
}
