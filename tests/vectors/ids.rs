//! Sealed ids: every form, and every reason for a refusal.

use serde_json::{Value as Json, json};
use tokenpin::{CookieKey, IdRing, IdSealer, IdVerdict, Role, identity_hash};
use tokenpin_test_support::hex;
use tokenpin_test_support::sample::sample;

use crate::{Numbers, case, compare, cookie_key, hex64, ring_json, text};

const ALNUM: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

fn characters(numbers: &mut Numbers, alphabet: &[u8], len: usize) -> String {
    (0..len).map(|_| char::from(numbers.pick(alphabet))).collect()
}

fn uuid(numbers: &mut Numbers) -> String {
    let mut run = |len| characters(numbers, &ALNUM[52..], len);
    [run(8), run(4), run(4), run(4), run(12)].join("-")
}

/// Ids as providers make them, and at the edges between the forms.
fn natives() -> Vec<String> {
    let mut numbers = Numbers(21);
    let mut natives = Vec::new();
    let hexadecimal = b"0123456789abcdef";
    for (prefix, len) in [
        ("resp_", 48),
        ("resp_", 50),
        ("resp_", 32),
        ("conv_", 48),
        ("msg_", 50),
        ("batch_", 32),
        // At the edges of what is packed.
        ("x_", 30),
        ("x_", 31),
        ("x_", 33),
        ("x-", 64),
        ("x_", 65),
        ("x_", 66),
        ("_", 32),
        ("", 32),
        ("", 48),
    ] {
        natives.push(format!("{prefix}{}", characters(&mut numbers, hexadecimal, len)));
    }
    for (prefix, len) in
        [("file-", 22), ("file-", 24), ("asst_", 24), ("msgbatch_01", 22), ("", 1), ("", 255)]
    {
        natives.push(format!("{prefix}{}", characters(&mut numbers, ALNUM, len)));
    }
    for prefix in ["resp_", "batch_", "a-b_", ""] {
        natives.push(format!("{prefix}{}", uuid(&mut numbers)));
    }
    let digits = "0123456789abcdef0123456789abcdef";
    natives.extend([
        format!("x_{}", digits.to_uppercase()),
        format!("x_{}", digits.replace('f', "F")),
        format!("x_{}", digits.replace('f', "g")),
        format!("x_{digits}_{digits}"),
        format!("x__{digits}"),
        format!(
            "x_{}-{}-{}-{}-{}",
            &digits[..8],
            &digits[..4],
            &digits[..4],
            &digits[..12],
            &digits[..4]
        ),
        "x_01234567-89AB-cdef-0123-456789abcdef".into(),
        "x_012345678-9ab-cdef-0123-456789abcdef".into(),
        "_".into(),
        "-".into(),
        "a_".into(),
        // With the longest prefix, and digits that are packed or not.
        format!("{}_{digits}", "p".repeat(222)),
        format!("{}_{digits}", "p".repeat(221)),
        // An id that looks as if another gateway had sealed it.
        format!("{}AAAAAAAAAAAAAAAAAAAAAAAtp0", "file-abc"),
    ]);
    natives
}

struct Place<'a> {
    keys: &'a [CookieKey],
    scope: &'a [u8],
    owner: &'a [u8],
}

impl Place<'_> {
    fn with<R>(&self, then: impl FnOnce(&IdSealer<'_>) -> R) -> R {
        let ring = IdRing::new(self.keys, None).unwrap();
        then(&IdSealer::new(&ring, self.scope, self.owner).unwrap())
    }

    fn json(&self, rest: &Json) -> Json {
        let mut case = json!({
            "ring": ring_json(self.keys), "scope": hex(self.scope), "owner": hex(self.owner),
        });
        case.as_object_mut().unwrap().append(&mut rest.as_object().unwrap().clone());
        case
    }

    fn seal(&self, id: &str, pin: u64) -> (Option<String>, Json) {
        let sealed = self.with(|ids| ids.seal(id.as_bytes(), pin));
        let sealed = sealed.map(|sealed| text(sealed.as_bytes()).to_owned());
        let case = case(|| self.json(&json!({ "id": id, "pin": hex64(pin), "sealed": sealed })));
        (sealed, case)
    }

    fn open(&self, sealed: &str) -> (IdVerdict, Json) {
        let (verdict, opened) = self.with(|ids| ids.open(sealed.as_bytes()));
        assert_eq!(opened.is_some(), verdict == IdVerdict::Sealed);
        let case = case(|| {
            self.json(&json!({
                "text": sealed, "verdict": verdict.name(),
                "native": opened.as_ref().map(|opened| text(opened.native()).to_owned()),
                "pin": opened.map(|opened| hex64(opened.pin)),
            }))
        });
        (verdict, case)
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one case after another, with nothing to reuse")]
fn ids() {
    let keys =
        [cookie_key(9, Role::Accept), cookie_key(1, Role::Sign), cookie_key(200, Role::Retire)];
    let pin = identity_hash(b"account-a");
    let place = |scope, owner| Place { keys: &keys, scope, owner };
    let long = ([b's'; 70], [b'o'; 90]);
    let places = [
        place(b"", b""),
        place(b"openai/tenant", b""),
        place(b"", b"alice"),
        place(&long.0, &long.1),
    ];
    let (mut seals, mut opens, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    let mut open = |place: &Place<'_>, text: &str| {
        let (verdict, case) = place.open(text);
        seen.push(verdict);
        opens.push(case);
        verdict
    };
    let mut examples = Vec::new();
    for (i, native) in natives().iter().enumerate() {
        for (j, place) in places.iter().enumerate() {
            if i % 4 != j && j != 0 {
                continue;
            }
            let (sealed, case) = place.seal(native, pin.rotate_left(u32::try_from(i).unwrap()));
            seals.push(case);
            let sealed = sealed.unwrap();
            assert_eq!(open(place, &sealed), IdVerdict::Sealed);
            assert_eq!(open(place, native) == IdVerdict::Plain, !native.ends_with("tp0"));
            examples.push((j, sealed));
        }
    }
    // With the longest scope and owner.
    let (scope, owner) = ([b's'; 1024], [b'o'; 4096]);
    seals.push(place(&scope, &owner).seal("resp_1", pin).1);
    // Texts that are no id, and ids that are sealed already, for the same account and for another.
    let here = &places[0];
    for no_id in
        ["", " resp_1", "resp_1 ", "resp.1", "r\u{e9}sp", "resp_%31", "a=b", &"a".repeat(256)]
    {
        let (sealed, case) = here.seal(no_id, pin);
        assert_eq!(sealed, None, "{no_id}");
        seals.push(case);
    }
    for (place, sealed) in examples.iter().step_by(3) {
        for pin in [pin, pin ^ 1] {
            seals.push(places[*place].seal(sealed, pin).1);
        }
    }

    // Every fault in an id of each form.
    let first = |ending: &str| {
        let of = |(place, text): &&(usize, String)| *place == 0 && text.ends_with(ending);
        examples.iter().find(of).unwrap().1.clone()
    };
    for (sealed, other) in
        [(first("tp0"), first("tp1")), (first("tp1"), first("tp2")), (first("tp2"), first("tp0"))]
    {
        let swap = |at: usize, with: char| {
            let mut text: Vec<char> = sealed.chars().collect();
            text[at] = with;
            text.into_iter().collect::<String>()
        };
        for at in sample(9, 0..sealed.len()) {
            open(here, &swap(at, if sealed.as_bytes()[at] == b'A' { 'B' } else { 'A' }));
        }
        for bad in sample(3, ['=', '+', '/', ' ', '%', '.', '\u{e9}']) {
            open(here, &swap(0, bad));
            open(here, &swap(sealed.len() - 9, bad));
        }
        for version in sample(4, '0'..='9') {
            open(here, &swap(sealed.len() - 1, version));
        }
        // Other spare bits.
        let last = sealed.len() - 4;
        for character in sample(8, ALNUM.iter().chain(b"-_")) {
            open(here, &swap(last, char::from(*character)));
        }
        for wrong in [
            &sealed[1..],
            &sealed[..sealed.len() - 1],
            &format!("{sealed}A"),
            &format!("x{sealed}"),
            &format!("{sealed}{sealed}"),
            &format!("{}{other}", &sealed[..9]),
            &format!("{}{}", &sealed[..sealed.len() - 3], &other[other.len() - 3..]),
            &sealed.to_uppercase(),
            &format!("{}{sealed}", "p".repeat(250)),
        ] {
            open(here, wrong);
        }
        for place in &places[1..] {
            assert_eq!(open(place, &sealed), IdVerdict::BadSeal);
        }
        let retired = [cookie_key(7, Role::Sign), cookie_key(1, Role::Retire)];
        let missing = [cookie_key(7, Role::Sign)];
        assert_eq!(open(&Place { keys: &retired, ..place(b"", b"") }, &sealed), IdVerdict::Sealed);
        assert_eq!(
            open(&Place { keys: &missing, ..place(b"", b"") }, &sealed),
            IdVerdict::UnknownKey
        );
    }
    // The seal of a packed id, behind the plain id. With this many digits, none of its characters
    // is shared with the digits.
    let mut numbers = Numbers(23);
    for digits in [36, 48, 60] {
        let native = format!("resp_{}", characters(&mut numbers, b"0123456789abcdef", digits));
        let sealed = here.seal(&native, pin).0.unwrap();
        let seal = &sealed[sealed.len() - 26..sealed.len() - 3];
        assert_eq!(open(here, &format!("{native}{seal}tp0")), IdVerdict::BadSeal);
    }
    // At the edges of recognition, and of packing.
    for len in [26, 27, 47, 48, 49, 280, 281, 282] {
        for version in sample(4, 0..10) {
            for front in sample(1, ["a", "-", "a_"]) {
                let filled = "A".repeat(len - 3 - front.len());
                open(here, &format!("{front}{filled}tp{version}"));
            }
        }
    }
    for verdict in IdVerdict::ALL {
        let never = [IdVerdict::None, IdVerdict::Conflict].contains(verdict);
        assert!(never != seen.contains(verdict), "{verdict:?}");
    }

    let (mut marks, mut open_marks) = (Vec::new(), Vec::new());
    let mut open_mark = |place: &Place<'_>, marked: &str| {
        let (verdict, content) = place.with(|ids| {
            let (verdict, found) = ids.open_mark(marked.as_bytes());
            (verdict, found.map(|(content, pin)| (text(content).to_owned(), hex64(pin))))
        });
        open_marks.push(case(|| {
            place.json(&json!({
                "text": marked, "verdict": verdict.name(),
                "content": content.as_ref().map(|(content, _)| content),
                "pin": content.as_ref().map(|(_, pin)| pin),
            }))
        }));
        verdict
    };
    let mut numbers = Numbers(22);
    let mut contents = Vec::new();
    for len in [1, 2, 25, 26, 27, 63, 64, 65, 200] {
        for place in places.iter().enumerate() {
            contents.push((place, characters(&mut numbers, b"ABCabc019+/-_=", len)));
        }
    }
    for ((j, place), content) in sample(8, contents) {
        let mark = place.with(|ids| ids.mark(content.as_bytes(), pin)).unwrap();
        let mark = text(&mark);
        marks.push(case(|| {
            place.json(&json!({ "content": content, "pin": hex64(pin), "mark": mark }))
        }));
        let marked = format!("{content}{mark}");
        assert_eq!(open_mark(place, &marked), IdVerdict::Sealed);
        assert_eq!(open_mark(place, &content), IdVerdict::Plain);
        open_mark(&places[(j + 1) % places.len()], &marked);
        open_mark(place, &format!("A{marked}"));
        open_mark(place, &format!("{}B{mark}", &content[..content.len() - 1]));
        open_mark(place, &format!("{content}A{mark}"));
        open_mark(place, mark);
        open_mark(place, &marked[..marked.len() - 1]);
        // An id's seal is not valid for content, and the reverse.
        let sealed = place.with(|ids| ids.seal(b"abc", pin)).unwrap();
        open_mark(place, text(sealed.as_bytes()));
    }
    compare(
        "ids_v1.json",
        &[("seal", seals), ("open", opens), ("mark", marks), ("open_mark", open_marks)],
    );
}
