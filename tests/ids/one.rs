//! Sealing and opening one id.

use data_encoding::BASE64URL_NOPAD;
use tokenpin::ids::{Echo, Ids, Mode, Opening, Rules, Summary};
use tokenpin::{
    Error, Field, IdRing, IdSealer, IdVerdict, KeyRing, MAX_ID, MAX_KEY, MAX_SCOPE, MAX_SEALED_ID,
    Role, Secret,
};
use tokenpin_test_support::random::Random;
use tokenpin_test_support::sample::{cases, sample};

use crate::world::{ALNUM, HEX, characters, key, pin, ring, uuid};

/// Prefix, number of characters, their alphabet, and the sealed length.
const PROVIDERS: [(&str, usize, &[u8], usize); 26] = [
    ("resp_", 48, HEX, 63),
    ("resp_", 50, HEX, 64),
    ("resp_", 32, HEX, 52),
    ("conv_", 48, HEX, 63),
    ("msg_", 48, HEX, 62),
    ("msg_", 50, HEX, 63),
    ("rs_", 48, HEX, 61),
    ("rs_", 50, HEX, 62),
    ("fc_", 48, HEX, 61),
    ("fc_", 50, HEX, 62),
    ("file-", 22, ALNUM, 53),
    ("file-", 24, ALNUM, 55),
    ("assistant-", 24, ALNUM, 60),
    ("batch_", 32, HEX, 53),
    ("vs_", 32, HEX, 50),
    ("ftjob-", 24, ALNUM, 56),
    ("cntr_", 48, HEX, 63),
    ("cfile_", 32, HEX, 53),
    ("video_", 48, HEX, 64),
    ("asst_", 24, ALNUM, 55),
    ("thread_", 24, ALNUM, 57),
    ("eval_", 32, HEX, 52),
    ("skill_", 32, HEX, 53),
    ("msgbatch_01", 22, ALNUM, 59),
    ("file_011C", 20, ALNUM, 55),
    ("container_011C", 20, ALNUM, 60),
];

#[test]
fn real_ids_of_every_type_have_at_most_64_characters_when_sealed() {
    let ring = ring();
    let ids = IdSealer::new(&ring, b"openai", b"alice").unwrap();
    let mut random = Random::new("real ids");
    for _ in 0..cases(50, 1) {
        let made = PROVIDERS.map(|(prefix, len, from, sealed)| {
            (prefix.to_owned() + &characters(&mut random, from, len), sealed)
        });
        let uuids = [("resp_", 52), ("msg_", 51), ("batch_", 53), ("conv_", 52)]
            .map(|(prefix, sealed)| (prefix.to_owned() + &uuid(&mut random), sealed));
        for (native, expected) in made.into_iter().chain(uuids) {
            let sealed = ids.seal(native.as_bytes(), pin("a")).unwrap();
            let sealed = sealed.as_bytes();
            assert_eq!(sealed.len(), expected, "{native}");
            assert!(sealed.len() <= 64);
            let prefix = native.find(['_', '-']).unwrap() + 1;
            assert_eq!(&sealed[..prefix], &native.as_bytes()[..prefix], "the type shows");
            let (verdict, opened) = ids.open(sealed);
            assert_eq!(verdict, IdVerdict::Sealed);
            assert_eq!(opened.unwrap().native(), native.as_bytes());
        }
    }
}

/// Every id can be opened again, is longer when sealed, is safe wherever an id is safe, and has one
/// sealed form.
#[test]
fn every_id_comes_back() {
    const ALPHABET: &[u8] = b"abcdefXYZ0123456789_-";
    let ring = ring();
    let other = IdRing::new(&[key(1, Role::Accept), key(2, Role::Sign)], None).unwrap();
    let mut random = Random::new("every id");
    for _ in 0..cases(20_000, 6) {
        let mut native = match random.below(4) {
            0 => {
                let len = 1 + usize::try_from(random.below(255)).unwrap();
                characters(&mut random, ALPHABET, len)
            }
            1 => {
                let len = 28 + usize::try_from(random.below(40)).unwrap();
                "x_".to_owned() + &characters(&mut random, HEX, len)
            }
            2 => "x-".to_owned() + &uuid(&mut random),
            _ => characters(&mut random, ALNUM, 24) + "tp" + &characters(&mut random, HEX, 1),
        };
        if random.below(8) == 0 {
            let at = usize::try_from(random.below(native.len() as u64)).unwrap();
            native.replace_range(at..=at, &characters(&mut random, ALPHABET, 1));
        }
        let pin = random.word();
        for ring in [&ring, &other] {
            let ids = IdSealer::new(ring, b"s", b"").unwrap();
            let sealed = ids.seal(native.as_bytes(), pin).unwrap();
            let text = sealed.as_bytes();
            assert!(text.len() > native.len() && text.len() <= MAX_SEALED_ID);
            assert!(text.iter().all(|byte| ALNUM.contains(byte) || b"_-".contains(byte)));
            assert!(text.ends_with(ending(&native).as_bytes()), "{native}");
            for reader in [&self::ring(), &other] {
                let ids = IdSealer::new(reader, b"s", b"").unwrap();
                let (verdict, opened) = ids.open(text);
                assert_eq!(verdict, IdVerdict::Sealed, "{native}");
                let opened = opened.unwrap();
                assert_eq!((opened.native(), opened.pin), (native.as_bytes(), pin));
                assert_eq!(opened.key_id, text_key(ring));
                // Sealed again for the same account, it stays, with any key.
                assert_eq!(ids.seal(text, pin).unwrap().as_bytes(), text);
                let again = ids.seal(text, !pin);
                assert!(again.is_none_or(|again| again.as_bytes() != text));
            }
        }
    }
}

/// The id of the ring's signing key.
fn text_key(ring: &IdRing) -> u8 {
    let keys = format!("{ring:?}");
    if keys.contains("(1, Sign)") { 1 } else { 2 }
}

#[test]
fn sealing_is_deterministic_and_differs_by_all_it_is_bound_to() {
    let ring = ring();
    let other = IdRing::new(&[key(1, Role::Accept), key(2, Role::Sign)], None).unwrap();
    let seal = |ring, scope: &'static [u8], owner: &'static [u8], account| {
        let ids = IdSealer::new(ring, scope, owner).unwrap();
        ids.seal(b"resp_1", pin(account)).unwrap().as_bytes().to_vec()
    };
    let all = [
        seal(&ring, b"", b"", "a"),
        seal(&other, b"", b"", "a"),
        seal(&ring, b"s", b"", "a"),
        seal(&ring, b"", b"s", "a"),
        seal(&ring, b"", b"", "b"),
    ];
    for (i, one) in all.iter().enumerate() {
        assert_eq!(all.iter().position(|it| it == one), Some(i));
    }
    assert_eq!(seal(&ring, b"", b"", "a"), all[0]);
}

#[test]
fn what_is_no_id_is_not_sealed() {
    let ring = ring();
    let ids = IdSealer::new(&ring, b"", b"").unwrap();
    assert!(ids.seal(b"", 1).is_none());
    assert!(ids.seal(&[b'a'; MAX_ID], 1).is_some());
    assert!(ids.seal(&[b'a'; MAX_ID + 1], 1).is_none());
    for byte in 0..=u8::MAX {
        let allowed = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        assert_eq!(ids.seal(&[b'r', byte, b'1'], 1).is_some(), allowed, "{byte}");
    }
    assert!(ids.mark(b"", 1).is_none());
}

#[test]
fn bad_arguments_are_refused() {
    let ring = ring();
    assert!(IdSealer::new(&ring, &[b's'; MAX_SCOPE], &[b'o'; MAX_KEY]).is_ok());
    let long = IdSealer::new(&ring, &[b's'; MAX_SCOPE + 1], b"");
    assert_eq!(long.unwrap_err(), Error::ScopeLength);
    let long = IdSealer::new(&ring, b"", &[b'o'; MAX_KEY + 1]);
    assert_eq!(long.unwrap_err(), Error::KeyLength);
    let two = [key(1, Role::Sign), key(2, Role::Sign)];
    assert_eq!(IdRing::new(&two, None).unwrap_err(), Error::SigningKeys.at(Field::IdKeys, 1));
    let placement = Secret::new([1 ^ 0x5a; 16]);
    let refused = IdRing::new(&two[..1], Some(&placement)).unwrap_err();
    assert_eq!(refused, Error::DuplicateSecret.at(Field::IdKeys, 0));
}

/// The cookie's keys are the default, so a key that the cookie retires still opens.
#[test]
fn the_keys_of_a_cookie_ring_do() {
    let keys = [key(1, Role::Retire), key(2, Role::Sign)];
    assert!(KeyRing::new(&keys, None).is_ok());
    let (old, new) = (ring(), IdRing::new(&keys, None).unwrap());
    let sealed = IdSealer::new(&old, b"", b"").unwrap().seal(b"resp_1", 5).unwrap();
    let (verdict, opened) = IdSealer::new(&new, b"", b"").unwrap().open(sealed.as_bytes());
    assert_eq!((verdict, opened.unwrap().key_id), (IdVerdict::Sealed, 1));
}

/// Only texts of an id's characters are recognised.
#[test]
fn what_looks_sealed_has_no_other_characters() {
    let ring = ring();
    let ids = IdSealer::new(&ring, b"", b"").unwrap();
    let bodies = [
        ("tp0", 24, "bad_seal"),
        ("tp1", 44, "bad_seal"),
        ("tp2", 44, "bad_seal"),
        ("tp3", 45, "unknown_version"),
        ("tp9", 45, "unknown_version"),
    ];
    for (ending, len, verdict) in bodies {
        let front = if ending == "tp0" { String::new() } else { "x_".to_owned() };
        let text = |odd: &str| front.clone() + odd + &"A".repeat(len - odd.len()) + ending;
        // Key id 0 is in no ring.
        let expected =
            if verdict == "bad_seal" && ending != "tp9" { "unknown_key" } else { verdict };
        let name = ids.open(text("").as_bytes()).0.name();
        assert_eq!(name, expected, "{ending}");
        for odd in [".", "/", "+", "=", " ", "\0", "\u{7f}", "\u{e9}", "~"] {
            assert_eq!(ids.open(text(odd).as_bytes()).0, IdVerdict::Plain, "{odd:?} {ending}");
        }
    }
}

/// Returns the ending that the page gives to a native id.
fn ending(native: &str) -> &'static str {
    let digits = |text: &str| text.bytes().all(|byte| HEX.contains(&byte));
    let Some(at) = native.find(['_', '-']) else { return "tp0" };
    let rest = &native[at + 1..];
    if (32..=64).contains(&rest.len()) && rest.len() % 2 == 0 && digits(rest) {
        return "tp1";
    }
    let lengths: Vec<_> = rest.split('-').map(str::len).collect();
    let is_uuid = lengths == [8, 4, 4, 4, 12] && rest.split('-').all(digits);
    if is_uuid { "tp2" } else { "tp0" }
}

/// Every number of digits, with and without a prefix, and every pair of characters among digits.
#[test]
fn what_is_no_number_of_digits_or_uuid_is_text() {
    let ring = ring();
    let ids = IdSealer::new(&ring, b"", b"").unwrap();
    let check = |native: String| {
        let sealed = ids.seal(native.as_bytes(), 5).unwrap();
        let text = sealed.as_bytes();
        assert!(text.ends_with(ending(&native).as_bytes()), "{native}");
        let (verdict, opened) = ids.open(text);
        assert_eq!(verdict, IdVerdict::Sealed, "{native}");
        assert_eq!(opened.unwrap().native(), native.as_bytes());
    };
    for prefix in ["", "x_", "x-", "_", "resp_"] {
        for len in sample(4, 0..70) {
            check(
                prefix.to_owned() + &"c0ffee".repeat(12)[..len] + if len == 0 { "a" } else { "" },
            );
        }
    }
    let alphabet = [ALNUM, b"_-"].concat();
    let uuid = "0123abcd-4567-89ab-cdef-0123456789ab";
    for first in sample(4, &alphabet) {
        for second in sample(4, &alphabet) {
            let pair = String::from_iter([first, second].map(|byte| char::from(*byte)));
            check("x_".to_owned() + &pair + &"c0ffee".repeat(5));
            if first == second {
                for at in sample(4, 0..uuid.len()) {
                    let mut rest = uuid.to_owned();
                    rest.replace_range(at..=at, &pair[1..]);
                    check("x_".to_owned() + &rest);
                }
            }
        }
    }
}

/// A genuine seal is good in no other form: of too few or too many bytes, or as text.
#[test]
fn a_seal_is_good_in_one_form() {
    let ring = ring();
    let ids = IdSealer::new(&ring, b"", b"").unwrap();
    let verdict = |text: String| ids.open(text.as_bytes()).0;
    // Prefix and packed bytes, for an id that has `native` as its text.
    let packed = |native: &str, bytes: &[u8], ending: &str| {
        let sealed = ids.seal(native.as_bytes(), 5).unwrap();
        let part = &sealed.as_bytes()[..sealed.as_bytes().len() - 3];
        let envelope = match self::ending(native) {
            "tp0" => BASE64URL_NOPAD.decode(&part[part.len() - 23..]).unwrap(),
            _ => BASE64URL_NOPAD.decode(&part["prefix_".len()..]).unwrap(),
        };
        let envelope = &envelope[envelope.len() - 17..];
        let in_form = BASE64URL_NOPAD.encode(&[bytes, envelope].concat());
        let as_text = native.to_owned() + &BASE64URL_NOPAD.encode(envelope) + "tp0";
        let is_text = self::ending(native) == "tp0";
        let expected = if is_text { IdVerdict::Sealed } else { IdVerdict::BadSeal };
        assert_eq!(verdict(as_text), expected, "{native}");
        verdict(format!("prefix_{in_form}{ending}"))
    };
    for len in 0..=33 {
        let good = |is: bool| if is { IdVerdict::Sealed } else { IdVerdict::BadSeal };
        let native = "prefix_".to_owned() + &"c0".repeat(len);
        let got = packed(&native, &[0xc0; 33][..len], "tp1");
        assert!(got == good((16..=32).contains(&len)) || got == IdVerdict::Plain && len < 14);
        let native = "prefix_00000000-0000-0000-0000-000000000000";
        let got = packed(native, &[0; 33][..len], "tp2");
        assert!(got == good(len == 16) || got == IdVerdict::Plain && len < 14);
    }
}

/// The lengths from which on a text is recognised as sealed. `A` stands for six bits of zero.
#[test]
fn what_is_shorter_than_a_sealed_id_is_plain() {
    let ring = ring();
    let ids = IdSealer::new(&ring, b"", b"").unwrap();
    for prefix in ["", "_", "x_", "prefix-"] {
        for len in sample(4, 3 + prefix.len()..100) {
            for version in 0..10_u8 {
                let part = "A".repeat(len - 3 - prefix.len());
                let text = format!("{prefix}{part}tp{version}");
                let recognised = match version {
                    0 => len >= 27,
                    1 | 2 => len >= 48 && !prefix.is_empty() && part.len() % 4 != 1,
                    _ => len >= 48,
                };
                let (verdict, opened) = ids.open(text.as_bytes());
                assert_eq!(verdict != IdVerdict::Plain, recognised, "{text}");
                assert_eq!(verdict == IdVerdict::UnknownVersion, recognised && version > 2);
                assert!(opened.is_none());
            }
        }
    }
}

/// Every character in every place of a mark. The spare bits of the last one are zero.
#[test]
fn a_mark_has_one_spelling() {
    let ring = ring();
    let ids = IdSealer::new(&ring, b"", b"").unwrap();
    let mark = ids.mark(b"content", 5).unwrap();
    let value = |byte| b"AEIMQUYcgkosw048".contains(&byte);
    for at in 0..mark.len() {
        for byte in sample(4, 0..=u8::MAX) {
            let mut text = [&b"content"[..], &mark].concat();
            text[7 + at] = byte;
            let allowed = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            let recognised = match at {
                0..22 => allowed,
                22 => value(byte),
                _ => byte == mark[at],
            };
            let (verdict, content) = ids.open_mark(&text);
            assert_eq!(verdict != IdVerdict::Plain, recognised, "{at} {byte}");
            assert_eq!(content, (byte == mark[at]).then_some((&b"content"[..], 5)));
        }
    }
    assert_eq!(ids.open_mark(&mark).0, IdVerdict::Plain, "there is no content");
}

/// Logs of the library's output about ids do not reveal accounts.
#[test]
fn what_is_shown_of_ids_names_no_account() {
    let ring = ring();
    let ids = IdSealer::new(&ring, b"", b"").unwrap();
    let sealed = ids.seal(b"resp_1", pin("a")).unwrap();
    let opened = ids.open(sealed.as_bytes()).1.unwrap();
    assert_eq!(format!("{opened:?}"), "OpenedId(resp_1, ..)");
    assert_eq!(format!("{sealed:?}"), format!("SealedId({})", sealed.as_bytes().escape_ascii()));
    let rules = Rules::new(ids, Mode::Open);
    let with = Opening { rules: &rules, known: &|_| true };
    let (mut summary, mut target) = (Summary::default(), b"/v1/files/".to_vec());
    target.extend_from_slice(sealed.as_bytes());
    with.open_target(Ids::Both, &mut summary, &mut target);
    assert_eq!(summary.account(), Some((pin("a"), 0)));
    let shown = format!("{summary:?} {:?} {:?}", summary.echo, Echo::default());
    assert!(
        shown.contains("verdict: Sealed") && shown.contains("Echo(1 ids) Echo(0 ids)"),
        "{shown}"
    );
    for account in [pin("a").to_string(), format!("{:x}", pin("a"))] {
        assert!(!shown.contains(&account) && !format!("{opened:?}").contains(&account));
    }
}

#[test]
fn numbers_and_names_are_stable() {
    let names =
        ["none", "plain", "sealed", "conflict", "unknown_version", "unknown_key", "bad_seal"];
    for (number, name) in (0..).zip(names) {
        assert_eq!(IdVerdict::from_number(number).unwrap().name(), name);
    }
    assert_eq!(IdVerdict::ALL.len(), names.len());
}
