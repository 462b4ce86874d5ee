//! Bodies of any size and depth pass without an allocation, in the memory of one state.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;
use tokenpin::ids::{Echo, Ids, Mode, Opener, Opening, Rules, Sealer, Sealing, Summary};
use tokenpin::{CookieKey, IdRing, IdSealer, Role, Secret};

use crate::allocations;

const MIB: usize = 1 << 20;

fn ring() -> IdRing {
    IdRing::new(&[CookieKey { id: 1, role: Role::Sign, secret: Secret::new([1; 16]) }], None)
        .unwrap()
}

/// The parts of a body, and the number of times that each is repeated.
type Parts<'p> = [(&'p [u8], usize)];

/// The length and a hash of a body, in chunks.
#[derive(Default)]
struct Seen(usize, SipHasher24);

impl Seen {
    fn add(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
        self.1.write(bytes);
    }

    fn of(parts: &Parts<'_>) -> (usize, u64) {
        let mut seen = Self::default();
        for (part, times) in parts {
            for _ in 0..*times {
                seen.add(part);
            }
        }
        seen.end()
    }

    fn end(&self) -> (usize, u64) {
        (self.0, self.1.finish())
    }
}

#[track_caller]
fn seals(native: &Parts<'_>, expected: &Parts<'_>, unexpected: u32) {
    let (ring, echo) = (ring(), Echo::new());
    let rules = Rules::new(IdSealer::new(&ring, b"", b"").unwrap(), Mode::Seal);
    let with = Sealing { rules: &rules, pin: 5, echo: &echo, origin: None };
    let (mut sealer, mut seen) = (Sealer::json(Ids::Items), Seen::default());
    let count = allocations(|| {
        for (part, times) in native {
            for _ in 0..*times {
                sealer.push(&with, part, |bytes| seen.add(bytes));
            }
        }
        seen.add(sealer.finish(&with));
    });
    assert_eq!((count, sealer.unexpected()), (0, unexpected));
    assert_eq!(seen.end(), Seen::of(expected));
}

/// Opens a body, and returns its summary.
#[track_caller]
fn opens(sealed: &Parts<'_>, expected: &Parts<'_>, unexpected: u32) -> Summary {
    let ring = ring();
    let rules = Rules::new(IdSealer::new(&ring, b"", b"").unwrap(), Mode::Seal);
    let with = Opening { rules: &rules, known: &|_| true };
    let (mut opener, mut summary) = (Opener::new(Ids::Items), Summary::new());
    let mut seen = Seen::default();
    let count = allocations(|| {
        for (part, times) in sealed {
            for _ in 0..*times {
                let mut rest = *part;
                while !rest.is_empty() {
                    let piece = opener.step(&with, &mut summary, rest);
                    seen.add(&rest[..piece.pass]);
                    seen.add(piece.put);
                    rest = &rest[piece.taken..];
                }
            }
        }
        seen.add(opener.finish(&with, &mut summary));
    });
    assert_eq!((count, opener.unexpected()), (0, unexpected));
    assert_eq!(seen.end(), Seen::of(expected));
    summary
}

fn id(native: &str) -> Vec<u8> {
    let ring = ring();
    let sealer = IdSealer::new(&ring, b"", b"").unwrap();
    sealer.seal(native.as_bytes(), 5).unwrap().as_bytes().to_vec()
}

#[test]
fn ten_thousand_levels() {
    let sealed = id("resp_1");
    for (open, close) in [(&b"["[..], &b"]"[..]), (b"{\"input\":[", b"]}"), (b"{\"id\":", b"}")] {
        for levels in [10_000, 1_000_000] {
            let front = [(&b"{\"x\":"[..], 1), (open, levels), (b"{\"id\":\"resp_2\"}", 1)];
            let back =
                |id| [(close, levels), (&b",\"conversation\":\""[..], 1), (id, 1), (b"\"}", 1)];
            let native = [&front[..], &back(b"resp_1")].concat();
            let with_seal = [&front[..], &back(&sealed)].concat();
            seals(&native, &with_seal, 0);
            let summary = opens(&with_seal, &native, 0);
            assert_eq!((summary.opened, summary.plain), (1, 0), "what is so deep is not looked at");
            // And never closed.
            seals(&front, &front, 1);
        }
    }
}

#[test]
fn keys_and_strings_of_megabytes() {
    let sealed = id("resp_1");
    for unit in [
        &[b'k'; 1024][..],
        &b"\\u0069\\u0064".repeat(90),
        &b"\\\"\\\\".repeat(300),
        "é\u{1f600}".as_bytes(),
    ] {
        let times = MIB / unit.len();
        for (front, back) in [
            (&b"{\"id"[..], &b"\":\"resp_2\",\"id\":\""[..]),
            (b"{\"text\":\"", b"\",\"id\":\""),
            (b"{\"id\":\"resp_2", b"\",\"id\":\""),
            (b"{\"metadata\":{\"id\":\"", b"\"},\"id\":\""),
            (b"{\"file_ids\":[\"", b"\"],\"id\":\""),
        ] {
            let body = |id| [(front, 1), (unit, times), (back, 1), (id, 1), (&b"\"}"[..], 1)];
            seals(&body(b"resp_1"), &body(&sealed), 0);
            let summary = opens(&body(&sealed), &body(b"resp_1"), 0);
            assert_eq!(summary.opened, 1);
            // Without its end.
            seals(&body(b"resp_1")[..2], &body(b"resp_1")[..2], 1);
            opens(&body(b"resp_1")[..2], &body(b"resp_1")[..2], 1);
        }
    }
}

#[test]
fn bytes_that_are_no_text() {
    let sealed = id("resp_1");
    let every: Vec<u8> = (0..=u8::MAX).filter(|byte| !b"\"\\".contains(byte)).collect();
    for odd in
        [&every[..], b"\\ud83d", b"\\ude00\\ud83d", b"\xed\xa0\x80", b"\xc3", b"\0", b"\\u0000"]
    {
        let body = |id| {
            [(&b"{\"text\":\""[..], 1), (odd, 10_000), (b"\",\"id\":\"", 1), (id, 1), (b"\"}", 1)]
        };
        seals(&body(b"resp_1"), &body(&sealed), 0);
        opens(&body(&sealed), &body(b"resp_1"), 0);
        // No document begins this way.
        let body = [(odd, 10_000), (&b"{\"id\":\"resp_1\"}"[..], 1)];
        seals(&body, &body, 1);
        opens(&body, &body, 1);
    }
}

/// An id behind an image of 64 MiB, which only passes.
#[test]
fn an_image_of_64_mib() {
    let sealed = id("resp_1");
    let image = b"iVBORw0KGgoAAAANSUhEUgAA+/9hAAAA".repeat(2048);
    assert_eq!(image.len(), 64 << 10);
    let front = b"{\"input\":[{\"content\":[{\"type\":\"input_image\",\"image_url\":\"data:image/png;base64,";
    let body = |id| {
        let back = b"\"}]}],\"previous_response_id\":\"";
        [(&front[..], 1), (&image[..], 1024), (&back[..], 1), (id, 1), (b"\",\"store\":false}", 1)]
    };
    let summary = opens(&body(&sealed), &body(b"resp_1"), 0);
    assert_eq!(summary.account().map(|(pin, _)| pin), Some(5));
    assert!(summary.unstored);
    seals(&body(b"resp_1"), &body(&sealed), 0);
    // Encrypted content of the same length, and everything in one buffer, in place.
    let content = |end| {
        [(&b"{\"encrypted_content\":\""[..], 1), (&image[..], 1024), (end, 1), (&b"\"}"[..], 1)]
    };
    let ring = ring();
    let ids = IdSealer::new(&ring, b"", b"").unwrap();
    let mark = ids.mark(&image, 5).unwrap();
    seals(&content(b""), &content(&mark), 0);
    assert_eq!(opens(&content(&mark), &content(b""), 0).opened, 1);
    let whole = |id| {
        let parts: Vec<_> = body(id).iter().map(|(part, times)| part.repeat(*times)).collect();
        parts.concat()
    };
    let mut place = whole(&sealed);
    let rules = Rules::new(ids, Mode::Seal);
    let with = Opening { rules: &rules, known: &|_| true };
    let mut len = 0;
    let count = allocations(|| {
        len = Opener::new(Ids::Items).open_in_place(&with, &mut Summary::new(), &mut place);
    });
    assert_eq!(count, 0);
    assert!(place[..len] == whole(b"resp_1"));
}

#[test]
fn two_thousand_file_ids_and_a_list_of_ten_thousand_files() {
    let natives: Vec<_> = (0..10_000).map(|i| format!("file-{i:022}")).collect();
    let sealed: Vec<_> = natives.iter().map(|native| id(native)).collect();
    let parts = |ids: &[Vec<u8>], front: &str, back: &str| {
        let mut out = b"{\"object\":\"list\",\"data\":[".to_vec();
        for (i, id) in ids.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            out.extend_from_slice(
                &[comma.as_bytes(), front.as_bytes(), id, back.as_bytes()].concat(),
            );
        }
        out.extend_from_slice(b"],\"has_more\":false}");
        out
    };
    let as_bytes: Vec<_> = natives.iter().map(|native| native.clone().into_bytes()).collect();
    let row = ("{\"object\":\"file\",\"id\":\"", "\",\"bytes\":12,\"filename\":\"file-1.jsonl\"}");
    let list = |ids: &[Vec<u8>]| parts(ids, row.0, row.1);
    seals(&[(&list(&as_bytes), 1)], &[(&list(&sealed), 1)], 0);
    assert_eq!(opens(&[(&list(&sealed), 1)], &[(&list(&as_bytes), 1)], 0).opened, 10_000);
    let ids = |ids: &[Vec<u8>]| {
        let list = parts(&ids[..2000], "\"", "\"");
        [b"{\"file_ids\":", &list[b"{\"object\":\"list\",\"data\":".len()..list.len() - 18], b"}"]
            .concat()
    };
    assert!(ids(&sealed).starts_with(b"{\"file_ids\":[\"file-") && ids(&sealed).ends_with(b"\"]}"));
    seals(&[(&ids(&as_bytes), 1)], &[(&ids(&sealed), 1)], 0);
    let summary = opens(&[(&ids(&sealed), 1)], &[(&ids(&as_bytes), 1)], 0);
    assert_eq!((summary.opened, summary.echo.lost, summary.existing), (2000, 0, true));
    // That many plain ids do not fit into the echo, and their number is reported.
    let summary = opens(&[(&ids(&as_bytes), 1)], &[(&ids(&as_bytes), 1)], 0);
    assert_eq!((summary.plain, summary.echo.lost), (2000, 2000 - 16));
}

/// A body takes only the memory of its state, most of which is for held bytes.
#[test]
fn the_state_is_below_a_kibibyte() {
    assert!(size_of::<Sealer>() < 1024 && size_of::<Opener>() < 1024);
    println!(
        "sealer {}, opener {}, summary {}",
        size_of::<Sealer>(),
        size_of::<Opener>(),
        size_of::<Summary>()
    );
}
