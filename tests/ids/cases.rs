//! Cases that decide between rules, written by hand, and answers of a real server.

use std::slice::from_ref;

use serde_json::Value as Json;
use tokenpin::ids::{
    Echo, Fields, IdKey, Ids, KEYS, KeyKind, Mode, Opener, Opening, Rules, Sealer, Sealing, Summary,
};
use tokenpin::{Error, Field, IdSealer, IdVerdict, MAX_ID};

use tokenpin_test_support::ids::{self as model, apply, number_of};
use tokenpin_test_support::sample::{cases, sample};

use crate::bodies::{cut, known, opened, rules, sealed};
use crate::world::{pin, ring};

/// Seals a response in one mode and API. The result is the same for each way to cut it in two.
fn seal_as(rules: &Rules<'_>, ids: Ids, echo: &Echo, body: &[u8]) -> Vec<u8> {
    let with = Sealing { rules, pin: pin("a"), echo, origin: None };
    let whole = sealed(&mut Sealer::json(ids), &with, &[body]);
    for at in sample(1, 0..=body.len()) {
        let out = sealed(&mut Sealer::json(ids), &with, &[&body[..at], &body[at..]]);
        assert_eq!(out, whole, "cut at {at}");
    }
    assert_eq!(sealed(&mut Sealer::json(ids), &with, &cut(body, || 1)), whole);
    whole
}

fn seal(body: &str) -> String {
    let ring = ring();
    let rules = rules(&ring, Mode::Seal);
    String::from_utf8(seal_as(&rules, Ids::Items, &Echo::new(), body.as_bytes())).unwrap()
}

fn sealed_id(native: &str, account: &str) -> String {
    let ring = ring();
    let sealer = IdSealer::new(&ring, b"", b"").unwrap();
    let id = sealer.seal(native.as_bytes(), pin(account)).unwrap();
    String::from_utf8(id.as_bytes().to_vec()).unwrap()
}

/// Opens a request in a mode: the body for the upstream, and the summary. Both are the same for
/// each way to cut it.
fn open_as(mode: Mode, ids: Ids, body: &str) -> (String, Summary) {
    let ring = ring();
    let rules = rules(&ring, mode);
    let with = Opening { rules: &rules, known: &known };
    let mut place = body.as_bytes().to_vec();
    let mut summary = Summary::new();
    let len = Opener::new(ids).open_in_place(&with, &mut summary, &mut place);
    for at in sample(1, 0..=body.len()) {
        let (front, back) = body.as_bytes().split_at(at);
        let mut other = Summary::new();
        let out = opened(&mut Opener::new(ids), &with, &mut other, &[front, back]);
        assert_eq!(out, &place[..len], "cut at {at}");
        assert_eq!((other.verdict, other.keys), (summary.verdict, summary.keys), "cut at {at}");
        assert_eq!(other.account(), summary.account(), "cut at {at}");
        assert_eq!(other.unreadable, summary.unreadable, "cut at {at}");
    }
    (String::from_utf8(place[..len].to_vec()).unwrap(), summary)
}

fn open(body: &str) -> (String, Summary) {
    open_as(Mode::Seal, Ids::Items, body)
}

#[test]
fn look_alikes_stay_as_they_are() {
    for body in [
        r#"{"text":"resp_1","call_id":"resp_1","tool_call_id":"fc_1","ID":"resp_1","Id":"resp_1"}"#,
        r#"{"metadata":{"id":"resp_1","a":[{"id":"resp_1"}]},"error":{"id":"resp_1"}}"#,
        r#"{"arguments":{"file_id":"file-1"},"arguments":"{\"id\":\"resp_1\"}"}"#,
        r#"{"input":{"id":"resp_1","file_id":"file-1"},"schema":[{"id":"resp_1"}]}"#,
        r#"{"id":"chatcmpl-1","a":{"id":"call_1"},"b":{"id":"resp 1"},"c":{"id":"resp_\u00e9"}}"#,
        r#"{"resp_1":"id","id":["resp_1"],"file_ids":"file-1","source":"file-1","video":"video_1"}"#,
        r#"{"variables":{"id":"resp_1","a":{"container_id":"cntr_1"}},"id":""}"#,
        r#"["resp_1",["file-1"],"id"]"#,
        r#""resp_1""#,
        r#"{"file_ids":[["file-1"],{"x":"file-1"}]}"#,
        "  \n",
        "",
        "[DONE]",
    ] {
        assert_eq!(seal(body), body);
    }
    let long = format!(r#"{{"id{}":"resp_1"}}"#, "x".repeat(200));
    assert_eq!(seal(&long), long);
}

#[test]
fn ids_are_sealed_wherever_their_key_is() {
    let id = |native| sealed_id(native, "a");
    for (body, expected) in [
        (r#"{"id":"resp_1"}"#.to_owned(), format!(r#"{{"id":"{}"}}"#, id("resp_1"))),
        (
            r#"{"a":[[{"file_ids":["file-1" , "x","file-2"]}]]}"#.into(),
            format!(r#"{{"a":[[{{"file_ids":["{}" , "x","{}"]}}]]}}"#, id("file-1"), id("file-2")),
        ),
        // Escaped in every way; keys that repeat.
        (
            r#"{"\u0069d":"\u0072esp\u005f1","id":"resp_2"}"#.into(),
            format!(r#"{{"\u0069d":"{}","id":"{}"}}"#, id("resp_1"), id("resp_2")),
        ),
        // An array of input holds items, and the table applies again behind an opaque object.
        (
            r#"{"input":[{"id":"msg_1"}],"metadata":{"}":"\"}"},"id":"resp_1"}"#.into(),
            format!(
                r#"{{"input":[{{"id":"{}"}}],"metadata":{{"}}":"\"}}"}},"id":"{}"}}"#,
                id("msg_1"),
                id("resp_1")
            ),
        ),
        (
            r#"{"variables":{"a":{"file_id":"file-1"}},"conversation":"conv_1"}"#.into(),
            format!(
                r#"{{"variables":{{"a":{{"file_id":"{}"}}}},"conversation":"{}"}}"#,
                id("file-1"),
                id("conv_1")
            ),
        ),
        // The end is missing or wrong: everything before it is read.
        (r#"{"id":"resp_1""#.into(), format!(r#"{{"id":"{}""#, id("resp_1"))),
        (
            r#"{"id":"resp_1"]"id":"resp_2"}"#.into(),
            format!(r#"{{"id":"{}"]"id":"resp_2"}}"#, id("resp_1")),
        ),
        (r#"{"id":"resp_1"#.into(), r#"{"id":"resp_1"#.into()),
        (r#"{"id":"resp_\"#.into(), r#"{"id":"resp_\"#.into()),
    ] {
        assert_eq!(seal(&body), expected);
    }
    // Lines of documents pass behind the first.
    let two = "{\"id\":\"resp_1\"}\n{\"id\":\"resp_2\"}";
    assert_eq!(seal(two), two.replace("resp_1", &id("resp_1")));
    // Items are sealed only if they name something.
    let body = br#"{"id":"msg_1","file_id":"file_1"}"#;
    let ring = ring();
    let rules = rules(&ring, Mode::Seal);
    let out = seal_as(&rules, Ids::Both, &Echo::new(), body);
    assert_eq!(out, format!(r#"{{"id":"msg_1","file_id":"{}"}}"#, id("file_1")).into_bytes());
    for ids in [Ids::None, Ids::Open] {
        assert_eq!(seal_as(&rules, ids, &Echo::new(), body), body);
    }
}

/// Ids that come again, beside ids that begin like them. The last ones are remembered.
#[test]
fn an_id_that_comes_again_is_sealed_again() {
    let ring = ring();
    let rules = rules(&ring, Mode::Seal);
    let with = Sealing { rules: &rules, pin: pin("a"), echo: &Echo::new(), origin: None };
    for len in sample(2, 1..=MAX_ID - 8) {
        let ids =
            [0, 1, 0, 1, 2, 1, 0, 2, 3, 0].map(|more| format!("resp_{}", "1".repeat(len + more)));
        let body = |of: &dyn Fn(&String) -> String| {
            let rows = ids.each_ref().map(|id| format!(r#"{{"id":"{}"}}"#, of(id)));
            format!(r#"[{},{{"id":""}}]"#, rows.join(","))
        };
        let (mut sealer, native) = (Sealer::json(Ids::Items), body(&String::clone));
        let out = sealed(&mut sealer, &with, &[native.as_bytes()]);
        assert_eq!(String::from_utf8(out).unwrap(), body(&|id| sealed_id(id, "a")));
        assert_eq!(sealer.sealed as usize, ids.len());
    }
}

#[test]
fn bytes_that_are_no_text_pass() {
    let ring = ring();
    let rules = rules(&ring, Mode::Seal);
    for odd in
        [&b"\xff\xfe"[..], b"\xc3", b"\xed\xa0\x80", b"\\ud800", b"\\udc00\\ud800", b"\0\x01\n"]
    {
        let body =
            [b"{\"text\":\"", odd, b"\",\"id\":\"resp_1\",\"file_id\":\"", odd, b"\"}"].concat();
        let out = seal_as(&rules, Ids::Items, &Echo::new(), &body);
        let expected = sealed_id("resp_1", "a");
        let expected = [
            b"{\"text\":\"",
            odd,
            b"\",\"id\":\"",
            expected.as_bytes(),
            b"\",\"file_id\":\"",
            odd,
            b"\"}",
        ];
        assert_eq!(out, expected.concat());
    }
}

#[test]
fn ten_thousand_levels_are_walked_and_256_are_looked_at() {
    for (open, close) in
        sample(2, [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]"), ("{\"input\":[", "]}")])
    {
        let levels = |count: usize, inside: &str| {
            let per = if open.len() > 5 { 2 } else { 1 };
            let times = count / per;
            open.repeat(times) + inside + &close.repeat(times)
        };
        let ring = ring();
        let rules = rules(&ring, Mode::Seal);
        let with = Sealing { rules: &rules, pin: pin("a"), echo: &Echo::new(), origin: None };
        let inner = r#"{"id":"resp_1"}"#;
        for count in [10, 252, 254, 256, 258, cases(10_000, 300)] {
            let body = format!("{{\"x\":{},\"id\":\"resp_2\"}}", levels(count, inner));
            let mut sealer = Sealer::json(Ids::Items);
            let out = sealed(&mut sealer, &with, &cut(body.as_bytes(), || 7));
            assert_eq!(sealer.unexpected(), 0);
            // The object around all is a level, and so is the one inside.
            let looked_at = count + 2 <= 256;
            assert_eq!(sealer.sealed, 1 + u32::from(looked_at), "{open} {count}");
            assert!(out.len() > body.len());
            // Nothing that is too deep has an influence behind it.
            let inside = r#"{"variables":{"a":{}},"conversation":{}}"#;
            let body = format!("{{\"x\":{},\"id\":\"resp_2\"}}", levels(count, inside));
            let mut sealer = Sealer::json(Ids::Items);
            sealed(&mut sealer, &with, &[body.as_bytes()]);
            assert_eq!((sealer.sealed, sealer.unexpected()), (1, 0), "{open} {count}");
        }
    }
}

#[test]
fn a_string_is_looked_at_up_to_512_bytes() {
    let escaped = |len: usize| {
        // `resp_` and digits, some of them escaped, of this length in the document.
        let escapes = (len - 5) / 6;
        "resp_".to_owned() + &"\\u0031".repeat(escapes) + &"1".repeat(len - 5 - 6 * escapes)
    };
    for (len, sealed) in [(511, true), (512, true), (513, false), (cases(1500, 600), false)] {
        let body = format!(r#"{{"id":"{}"}}"#, escaped(len));
        assert_eq!(seal(&body) != body, sealed, "{len}");
        let (_, summary) = open(&body);
        assert_eq!(summary.unreadable, !sealed, "{len}");
    }
    // An escape in its first 512 bytes, or behind them.
    for (at, unreadable) in [(5, true), (511, true), (512, false), (600, false)] {
        let (front, back) = ("1".repeat(at - 5), "1".repeat(600));
        let body = format!(r#"{{"id":"resp_{front}\n{back}"}}"#);
        assert_eq!(open(&body).1.unreadable, unreadable, "{at}");
    }
    // Behind a string that is too long, regardless of its content and of the cut.
    for odd in sample(1, [r"\\", r#"\""#, r#"x\""#]) {
        let body = format!(r#"{{"id":"{}","file_id":"file-1"}}"#, odd.repeat(300));
        assert_eq!(seal(&body), body.replace("file-1", &sealed_id("file-1", "a")));
    }
    // A URL is no id.
    let url = format!(r#"{{"results_url":"\/{}"}}"#, "x".repeat(600));
    assert!(!open(&url).1.unreadable && seal(&url) == url);
    let plain = format!(r#"{{"id":"resp_{}"}}"#, "1".repeat(600));
    assert!(!open(&plain).1.unreadable && seal(&plain) == plain);
}

#[test]
fn hard_ids_bind_and_soft_ones_only_if_nothing_else_does() {
    let (a, b, gone) =
        (|id| sealed_id(id, "a"), |id| sealed_id(id, "b"), |id| sealed_id(id, "gone"));
    let account = |body: &str| open(body).1.account().map(|(pin, _)| pin);
    let previous = format!(r#"{{"previous_response_id":"{}"}}"#, a("resp_1"));
    let (text, summary) = open(&previous);
    assert_eq!(text, r#"{"previous_response_id":"resp_1"}"#);
    assert_eq!(summary.account(), Some((pin("a"), number_of("previous_response_id"))));
    assert!(summary.existing && summary.verdict == IdVerdict::Sealed);
    // History: the last item counts whose account is in the set.
    let inline = |id: &str| format!(r#"{{"id":"{id}","type":"message","content":"x"}}"#);
    let history = |elements: &[String]| format!(r#"{{"input":[{}]}}"#, elements.join(","));
    let (first, second, third) = (inline(&a("msg_1")), inline(&b("msg_2")), inline(&gone("msg_3")));
    assert_eq!(account(&history(&[first.clone(), second.clone(), third.clone()])), Some(pin("b")));
    assert_eq!(account(&history(from_ref(&third))), None);
    let (text, summary) = open(&history(&[third]));
    assert_eq!(text, history(&[inline("msg_3")]), "opened nevertheless");
    assert!(!summary.existing);
    let unstored = history(from_ref(&first)).replace("{\"input\"", "{\"store\":false,\"input\"");
    assert_eq!(account(&unstored), None);
    assert_eq!(account(&history(from_ref(&first)).replace("]}", "],\"store\":false}")), None);
    assert_eq!(account(&unstored.replace("false", "true")), Some(pin("a")));
    // Of several the last counts.
    assert_eq!(account(&unstored.replace("false", "false,\"store\":true")), Some(pin("a")));
    assert_eq!(account(&unstored.replace("false", "true,\"store\":false")), None);
    // A mere reference is hard, and beside history it decides; so does any other hard id.
    let reference = |id: String| format!(r#"{{"type":"item_reference","id":"{id}"}}"#);
    assert_eq!(account(&history(&[reference(a("msg_1")), second.clone()])), Some(pin("a")));
    assert_eq!(account(&history(&[format!(r#"{{"id":"{}"}}"#, a("msg_1"))])), Some(pin("a")));
    let both = history(&[second]).replace("{\"input\"", &previous.replace('}', ",\"input\""));
    assert_eq!(account(&both), Some(pin("a")));
    // Elsewhere there is no history.
    for body in [
        r#"{"tools":[@]}"#,
        r#"{"items":{"a":@}}"#,
        r#"{"a":{"input":[@]}}"#,
        r#"{"items":[],"a":[@]}"#,
        "[@]",
    ] {
        let body = body.replace('@', &first);
        assert!(open(&body).1.existing && account(&body) == Some(pin("a")), "{body}");
    }
    // Two accounts conflict. Both keys are reported.
    let (text, summary) = open(&history(&[reference(a("msg_1")), reference(b("msg_2"))]));
    assert_eq!((summary.verdict, summary.refused), (IdVerdict::Conflict, true));
    assert_eq!(summary.keys, [number_of("id"); 2]);
    assert!(text.contains("msg_2\""));
    let conflict =
        format!(r#"{{"conversation":{{"id":"{}"}},"file_ids":["{}"]}}"#, a("conv_1"), b("file-1"));
    assert_eq!(open(&conflict).1.keys, [number_of("conversation"), number_of("file_ids")]);
}

/// Only `strict` matches letters in either case, in the keys that decide over history too.
#[test]
fn the_case_of_letters_counts_unless_strict() {
    for mode in sample(2, [Mode::Open, Mode::Seal, Mode::Strict]) {
        let strict = mode == Mode::Strict;
        for (key, matches) in [
            ("store", true),
            ("STORE", strict),
            ("Store", strict),
            ("stored", false),
            ("background", false),
        ] {
            let values = ["false", "true", "null", "0", "[false]", r#"{"store":false}"#];
            for value in values {
                let no = value == "false";
                let body = format!(r#"{{"a":{{"store":false}},"{key}":{value},"input":[]}}"#);
                let unstored = open_as(mode, Ids::Items, &body).1.unstored;
                assert_eq!(unstored, matches && no, "{mode:?} {body}");
            }
        }
        for (key, is_reference) in [
            ("id", true),
            ("type", true),
            ("status", true),
            ("ID", strict),
            ("Type", strict),
            ("staTus", strict),
            ("role", false),
            ("Role", false),
        ] {
            let id = sealed_id("msg_1", "a");
            let body = format!(r#"{{"input":[{{"id":"{id}","{key}":""}}]}}"#);
            let summary = open_as(mode, Ids::Items, &body).1;
            assert_eq!(summary.existing, is_reference, "{mode:?} {body}");
            assert_eq!(summary.account().map(|(pin, _)| pin), Some(pin("a")));
        }
    }
}

/// Each event in a request is a separate document.
#[test]
fn what_an_event_leaves_open_ends_with_it() {
    let id = sealed_id("msg_1", "a");
    for (first, second) in [
        (r#"{"store":"#.to_owned(), "[false]"),
        (format!(r#"{{"input":[{{"id":"{id}","#), r#"{"input":[{}]}"#),
        (r#"{"input":[{"role":"#.to_owned(), r#"{"input":[{"id":"msg_2"}]}"#),
    ] {
        let summary = open(&format!("data: {first}\n\ndata: {second}\n\n")).1;
        let alone = open(second).1;
        assert_eq!((summary.unstored, summary.existing), (alone.unstored, alone.existing));
        assert_eq!(summary.account(), None, "{first}");
    }
}

/// The key that a refusal reports is that of the object around the id, regardless of the object's
/// other members.
#[test]
fn a_refusal_tells_the_key_of_the_object_around() {
    let foreign = sealed_id("resp_1", "a").replacen("resp_", "rest_", 1);
    for (body, key) in [
        (r#"{"id":"@"}"#, "id"),
        (r#"{"conversation":{"id":"@"}}"#, "conversation"),
        (r#"{"conversation":{"container":{"id":"@"}}}"#, "container"),
        (r#"{"conversation":{"x":{"container":{"id":""}},"id":"@"}}"#, "conversation"),
        (r#"{"conversation":{"x":{"container":{"id":""}}},"id":"@"}"#, "id"),
        (r#"{"video":{"x":[{"vault_ids":["",{"agent":{}}]}],"id":"@"}}"#, "video"),
        (r#"{"file_ids":["",{"vault_ids":["x_"]},"@"]}"#, "file_ids"),
        (r#"{"file_ids":[{"source":{"vault_ids":["","@"]}}]}"#, "vault_ids"),
        (r#"{"a":[{"container":{}},{"id":"@"}]}"#, "id"),
    ] {
        let summary = open(&body.replace('@', &foreign)).1;
        assert_eq!((summary.refused, summary.keys[0]), (true, number_of(key)), "{body}");
    }
    // The innermost key is known on any level.
    for levels in sample(3, 0..40) {
        for inner in [r#"{"agent":{"id":"@"}}"#, r#"{"vault_ids":["@"]}"#] {
            let body = "{\"video\":".repeat(levels) + inner + &"}".repeat(levels);
            let summary = open(&body.replace('@', &foreign)).1;
            let key = if inner.contains("agent") { "agent" } else { "vault_ids" };
            assert_eq!(summary.keys[0], number_of(key), "{levels}");
        }
    }
    // Deeper than any real document, a level is still recognised as one that holds an id.
    let front = "{\"video\":".repeat(40);
    let back = "}".repeat(40);
    let body = format!("{front}{{\"id\":\"\"}}{back},\"agent\":{{\"id\":\"@\"}}}}");
    let body = format!("{{\"x\":{body}").replace('@', &foreign);
    assert_eq!(open(&body).1.keys[0], number_of("agent"));
}

#[test]
fn plain_ids_name_something_that_exists_where_their_key_says_so() {
    for (body, existing) in [
        (r#"{"previous_response_id":"resp_1"}"#, true),
        (r#"{"conversation":"conv_1"}"#, true),
        (r#"{"conversation":{"id":"conv_1"}}"#, true),
        (r#"{"tools":[{"container":{"id":"cntr_1"}}]}"#, true),
        (r#"{"input":[{"type":"item_reference","id":"msg_1"}]}"#, true),
        (r#"{"input":[{"content":[{"file_id":"file-1"}]}]}"#, true),
        (r#"{"previous_response_id":null}"#, false),
        (r#"{"previous_response_id":""}"#, false),
        (
            r#"{"tools":[{"container":{"type":"auto"}}],"container":"auto","conversation":{}}"#,
            false,
        ),
        (r#"{"input":[{"id":"msg_1","role":"user"}]}"#, false),
        (r#"{"messages":[{"tool_calls":[{"id":"call_1"}]}]}"#, false),
    ] {
        let (text, summary) = open(body);
        assert_eq!((text.as_str(), summary.existing), (body, existing), "{body}");
        assert!(summary.account().is_none() && !summary.refused);
        let strict = open_as(Mode::Strict, Ids::Items, body).1;
        // Everything that would have been sealed is refused: all of these except a call's id.
        let plain = summary.plain > 0 && !body.contains("call_1");
        assert_eq!(
            (strict.refused, strict.verdict),
            (plain, if summary.plain > 0 { IdVerdict::Plain } else { IdVerdict::None }),
            "{body}"
        );
    }
    // The case of a key's letters is no way around the strict mode.
    let body = r#"{"Previous_Response_ID":"resp_1"}"#;
    assert!(!open(body).1.existing);
    assert!(open_as(Mode::Strict, Ids::Items, body).1.refused);
}

#[test]
fn what_others_sealed_is_refused_or_plain() {
    let sealed = sealed_id("resp_1", "a");
    let foreign = sealed.replacen("resp_", "rest_", 1);
    let body = format!(r#"{{"previous_response_id":"{foreign}","conversation":"{sealed}"}}"#);
    let (text, summary) = open(&body);
    assert_eq!(text, body, "nothing behind it is opened");
    assert_eq!((summary.verdict, summary.opened), (IdVerdict::BadSeal, 0));
    assert_eq!(summary.keys[0], number_of("previous_response_id"));
    let (text, summary) = open_as(Mode::Open, Ids::Items, &body);
    assert!(!summary.refused && text.contains(&foreign) && text.contains("\"resp_1\""));
    assert_eq!(summary.account(), Some((pin("a"), number_of("conversation"))));
}

#[test]
fn encrypted_content_is_marked_and_the_mark_taken_off() {
    let ring = ring();
    for content in sample(3, ["g", "gAAAA", &"gAAAAA/+-_=".repeat(40), "a\\/b\\/c", "\\u0067AAA"]) {
        let body =
            format!(r#"{{"output":[{{"type":"reasoning","encrypted_content":"{content}"}}]}}"#);
        let marked = seal(&body);
        assert_eq!(marked.len(), body.len() + 26, "{content}");
        let (text, summary) = open(&marked);
        assert_eq!(text, body);
        assert_eq!(summary.account(), Some((pin("a"), number_of("encrypted_content"))));
        // Corrupt in its head, it is refused, so that the client drops it.
        let spoilt = marked.replacen(&format!(":\"{content}"), &format!(":\"X{content}"), 1);
        let (text, summary) = open(&spoilt);
        assert_eq!((text, summary.verdict), (spoilt, IdVerdict::BadSeal));
        assert_eq!(summary.keys[0], number_of("encrypted_content"));
        // If it is switched off, and in other APIs, it stays as it is.
        let mut off = rules(&ring, Mode::Seal);
        off.encrypted = false;
        let body = body.as_bytes();
        assert_eq!(seal_as(&off, Ids::Items, &Echo::new(), body), body);
        assert_eq!(seal_as(&rules(&ring, Mode::Seal), Ids::Both, &Echo::new(), body), body);
    }
    // An escaped character beyond ASCII at the front: nothing is marked, and no mark is removed.
    let mark = IdSealer::new(&ring, b"", b"").unwrap().mark(b"gAAA", pin("a")).unwrap();
    let odd = format!(r#"{{"encrypted_content":"\u00e9gAAA{}"}}"#, mark.escape_ascii());
    assert_eq!(open(&odd).0, odd);
    let behind = format!(r#"{{"encrypted_content":"{}\u00e9AAAA"}}"#, "g".repeat(64));
    assert_eq!(open(&seal(&behind)).0, behind);
    assert_ne!(seal(&behind), behind);
    for content in [
        "",
        "\\u00e9",
        "\\ud83d\\ude00AAAA",
        "\\u00zzAAAA",
        "gA\\u4",
        "gA\\xAAA",
        "\\u004\\u0041gA",
    ] {
        let body = format!(r#"{{"encrypted_content":"{content}"}}"#);
        assert_eq!(seal(&body), body);
    }
    assert_eq!(seal(r#"{"encrypted_content":null}"#), r#"{"encrypted_content":null}"#);
    // Nor is a mark removed there that would be right.
    for broken in ["\\u00zz", "\\x", "\\u12"] {
        let mark = rules(&ring, Mode::Seal).sealer.mark(broken.as_bytes(), pin("a")).unwrap();
        let body = format!(r#"{{"encrypted_content":"{broken}{}"}}"#, mark.escape_ascii());
        let (text, summary) = open(&body);
        assert_eq!((text, summary.opened), (body, 0));
    }
}

/// Every escape of JSON is its character, in ids and in the head of encrypted content.
#[test]
fn every_escape_is_understood() {
    let ring = ring();
    let ids = IdSealer::new(&ring, b"", b"").unwrap();
    for (escape, character) in [
        (r"\b", Some('\x08')),
        (r"\f", Some('\x0c')),
        (r"\n", Some('\n')),
        (r"\r", Some('\r')),
        (r"\t", Some('\t')),
        (r"\/", Some('/')),
        (r"\\", Some('\\')),
        (r#"\""#, Some('"')),
        (r"\u005f", Some('_')),
        (r"\u005F", Some('_')),
        (r"\x", None),
        (r"\u00g0", None),
    ] {
        // A text names something.
        let (_, summary) = open(&format!(r#"{{"previous_response_id":"resp_{escape}1"}}"#));
        assert_eq!(
            (summary.plain, summary.existing),
            (u32::from(character.is_some()), character.is_some()),
            "{escape}"
        );
        let body = format!(r#"{{"encrypted_content":"gAAA{escape}x"}}"#);
        let marked = character.map_or(body.clone(), |character| {
            let mark = ids.mark(format!("gAAA{character}x").as_bytes(), pin("a")).unwrap();
            body.replace("x\"}", &format!("x{}\"}}", String::from_utf8(mark.to_vec()).unwrap()))
        });
        assert_eq!(seal(&body), marked, "{escape}");
    }
}

#[test]
fn an_id_comes_back_as_the_client_wrote_it() {
    let ring = ring();
    let old = {
        // Sealed with the key that only accepts now.
        let keys = [
            crate::world::key(1, tokenpin::Role::Accept),
            crate::world::key(2, tokenpin::Role::Sign),
        ];
        let ring = tokenpin::IdRing::new(&keys, None).unwrap();
        let sealer = IdSealer::new(&ring, b"", b"").unwrap();
        let id = sealer.seal(b"resp_old", pin("a")).unwrap();
        String::from_utf8(id.as_bytes().to_vec()).unwrap()
    };
    let new = sealed_id("resp_new", "a");
    let request = format!(
        r#"{{"previous_response_id":"{old}","conversation":"{new}","file_ids":["file-plain"]}}"#
    );
    let response =
        br#"{"id":"resp_x","a":{"id":"resp_old"},"b":{"id":"resp_new"},"file_id":"file-plain"}"#;
    for (mode, expected) in [
        (Mode::Open, ["resp_x".to_owned(), old.clone(), new.clone(), "file-plain".into()]),
        (Mode::Seal, [sealed_id("resp_x", "a"), old.clone(), new.clone(), "file-plain".into()]),
    ] {
        let summary = open_as(mode, Ids::Items, &request).1;
        let rules = rules(&ring, mode);
        let out = seal_as(&rules, Ids::Items, &summary.echo, response);
        let [made, old, new, file] = expected;
        let expected = format!(
            r#"{{"id":"{made}","a":{{"id":"{old}"}},"b":{{"id":"{new}"}},"file_id":"{file}"}}"#
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{mode:?}");
    }
}

/// Hosts read no response in which nothing can change, and every other one.
#[test]
fn it_is_told_beforehand_whether_a_response_may_change() {
    let ring = ring();
    let plain = r#"{"file_id":"file-1"}"#.to_owned();
    let sealed = plain.replace("file-1", &sealed_id("file-1", "a"));
    for mode in sample(2, [Mode::Off, Mode::Open, Mode::Seal, Mode::Strict]) {
        for ids in [Ids::None, Ids::Open, Ids::Both, Ids::Items] {
            for request in ["{}", &plain, &sealed] {
                let rules = rules(&ring, mode);
                let (mut summary, with) =
                    (Summary::new(), Opening { rules: &rules, known: &known });
                let mut opener = Opener::new(ids);
                with.open_target(ids, &mut summary, &mut []);
                opened(&mut opener, &with, &mut summary, &[request.as_bytes()]);
                let said = summary.changes_response();
                let changed = [&b"{\"file_id\":\"file-1\"}"[..], b"{\"file_id\":\"file-2\"}"]
                    .map(|body| seal_as(&rules, ids, &summary.echo, body) != body);
                assert_eq!(said, changed[0] || changed[1], "{mode:?} {ids:?} {request}");
            }
        }
    }
}

#[test]
fn the_echo_keeps_what_matters_most() {
    let many = |count: usize| {
        let ids: Vec<_> = (0..count).map(|i| format!("\"file-{i:02}\"")).collect();
        format!(
            r#"{{"file_ids":[{}],"container":"cntr_1","previous_response_id":"resp_1"}}"#,
            ids.join(",")
        )
    };
    let ring = ring();
    let rules = rules(&ring, Mode::Seal);
    for (count, kept) in [(14, 14), (15, 14), (20, 14)] {
        let summary = open_as(Mode::Seal, Ids::Items, &many(count)).1;
        assert_eq!(summary.echo.lost as usize, count - kept);
        let out = seal_as(&rules, Ids::Items, &summary.echo, many(count).as_bytes());
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("\"resp_1\"") && out.contains("\"cntr_1\""));
        for i in 0..count {
            assert_eq!(out.contains(&format!("\"file-{i:02}\"")), i < kept, "the first ones");
        }
    }
    // An id that comes again takes no room.
    let again = many(10).replace("\"file-00\"", &["\"file-00\""; 30].join(","));
    assert_eq!(open_as(Mode::Seal, Ids::Items, &again).1.echo.lost, 0);
    // Nor does an id that the response would spell the same way without it.
    let alike: Vec<_> = (0..20).map(|i| sealed_id(&format!("file-{i:02}"), "a")).collect();
    let alike = format!(r#"{{"file_ids":["{}"],"container":"cntr_1"}}"#, alike.join("\",\""));
    let summary = open_as(Mode::Seal, Ids::Items, &alike).1;
    assert_eq!((summary.opened, summary.echo.lost), (20, 0));
    let out = seal_as(&rules, Ids::Items, &summary.echo, many(20).as_bytes());
    let expected =
        alike.replace('}', &format!(r#","previous_response_id":"{}"}}"#, sealed_id("resp_1", "a")));
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

/// The order in which the page names them differs from that of a body.
#[test]
fn the_echo_keeps_each_sort_before_the_next() {
    let ring = ring();
    let rules = rules(&ring, Mode::Seal);
    let sorts = ["path", "query", "previous_response_id", "conversation", "container", "file_id"];
    // Several of one sort, then one of another, in successive requests.
    let note = |summary: &mut Summary, sort: &str, ids: &[String]| {
        let with = Opening { rules: &rules, known: &known };
        let mut target = match sort {
            "path" => ids.iter().map(|id| format!("/files/{id}")).collect::<Vec<_>>().concat(),
            "query" => ids.iter().map(|id| format!("&after={id}")).collect::<Vec<_>>().concat(),
            _ => {
                let rows: Vec<_> = ids.iter().map(|id| format!(r#"{{"{sort}":"{id}"}}"#)).collect();
                let body = format!("[{}]", rows.join(","));
                opened(&mut Opener::new(Ids::Items), &with, summary, &[body.as_bytes()]);
                return;
            }
        };
        if sort == "query" {
            target.insert(0, '?');
        }
        with.open_target(Ids::Items, summary, &mut target.into_bytes());
    };
    for (rank, more) in sorts.iter().enumerate() {
        for less in sample(1, &sorts[rank..]) {
            let many: Vec<_> = (0..16).map(|i| format!("file-{i:02}")).collect();
            let one = [String::from("file-one")];
            let body =
                r#"{"file_id":"file-one","a":{"file_id":"file-15"},"b":{"file_id":"file-14"}}"#;
            // Of one sort, the first ones are kept.
            for (first, second, kept) in [(more, less, false), (less, more, more != less)] {
                let mut summary = Summary::new();
                note(&mut summary, first, &many);
                note(&mut summary, second, &one);
                assert_eq!((summary.plain, summary.echo.lost), (17, 1), "{first} {second}");
                let out = seal_as(&rules, Ids::Items, &summary.echo, body.as_bytes());
                let out = String::from_utf8(out).unwrap();
                assert_eq!(out.contains("\"file-one\""), kept, "{first} {second}");
                assert_eq!(out.contains("\"file-15\""), !kept, "{first} {second}");
                assert!(out.contains("\"file-14\""), "{first} {second}");
            }
        }
    }
}

#[test]
fn where_the_mode_is_off_every_id_is_plain_and_stays() {
    let ring = ring();
    let rules = rules(&ring, Mode::Off);
    let id = sealed_id("resp_1", "a");
    for (body, existing) in [
        (format!(r#"{{"id":"resp_1","previous_response_id":"{id}"}}"#), true),
        (format!(r#"{{"id":"{id}","input":"{id}"}}"#), false),
        (format!(r#"{{"input":[{{"id":"{id}","content":"x"}}]}}"#), false),
        (format!(r#"{{"input":[{{"id":"{id}"}}]}}"#), true),
        (format!(r#"{{"file_ids":["{}"]}}"#, sealed_id("file-1", "b").replace("tp0", "tp7")), true),
        (r#"{"conversation":"","container":"auto"}"#.to_owned(), false),
    ] {
        assert_eq!(seal_as(&rules, Ids::Items, &Echo::new(), body.as_bytes()), body.as_bytes());
        let (text, summary) = open_as(Mode::Off, Ids::Items, &body);
        assert_eq!((&text, summary.existing), (&body, existing));
        assert!(summary.verdict <= IdVerdict::Plain && summary.account().is_none());
        assert!(!summary.refused && summary.opened == 0);
    }
    // Nor are marks or overlong strings reported.
    let mark = rules.sealer.mark(b"gAAA", pin("a")).unwrap();
    let body = format!(
        r#"{{"encrypted_content":"gAAA{}","file_id":"A{}"}}"#,
        mark.escape_ascii(),
        "x".repeat(600)
    );
    let (text, summary) = open_as(Mode::Off, Ids::Items, &body);
    assert_eq!((text, summary.verdict, summary.unreadable), (body, IdVerdict::None, false));
}

#[test]
fn a_configuration_adds_to_the_table() {
    let ring = ring();
    let keys = [
        IdKey { name: b"job_ref", kind: KeyKind::Id },
        IdKey { name: b"private", kind: KeyKind::Opaque },
    ];
    let prefixes = [&b"job."[..]];
    let bad = Fields { prefixes: &prefixes, ..Fields::default() }.check();
    assert_eq!(bad, Err(Error::IdField.at(Field::IdPrefixes, 0)));
    let prefixes = [&b"job-x-"[..]];
    let fields = Fields { keys: &keys, prefixes: &prefixes, collections: &[b"jobs"] };
    assert_eq!(fields.check(), Ok(()));
    for (name, kind) in [
        (&b""[..], KeyKind::Id),
        (&[b'k'; 33], KeyKind::Id),
        (b"p", KeyKind::Path),
        (b"o", KeyKind::Own),
    ] {
        let keys = [keys[0], IdKey { name, kind }];
        let bad = Fields { keys: &keys, ..fields }.check();
        assert_eq!(bad, Err(Error::IdField.at(Field::IdFields, 1)));
    }
    for segment in [&b"a/b"[..], b""] {
        let bad = Fields { collections: &[b"xs", segment], ..fields }.check();
        assert_eq!(bad, Err(Error::IdField.at(Field::IdCollections, 1)));
    }
    let bad = Fields { prefixes: &[b"x_", b""], ..fields }.check();
    assert_eq!(bad, Err(Error::IdField.at(Field::IdPrefixes, 1)));
    // No id is longer than 255 characters.
    let long = [b'x'; 256];
    let bad = Fields { prefixes: &[b"x_", &long], ..fields }.check();
    assert_eq!(bad, Err(Error::IdField.at(Field::IdPrefixes, 1)));
    assert_eq!(Fields { prefixes: &[&long[1..]], ..fields }.check(), Ok(()));
    // The largest number of additions of the largest length, and one more.
    let longest = IdKey { name: &[b'k'; 32], kind: KeyKind::Url };
    assert_eq!(Fields { keys: &[longest; 32], ..fields }.check(), Ok(()));
    let full = Fields { prefixes: &[&b"x_"[..]; 32], collections: &[&b"xs"[..]; 32], ..fields };
    assert_eq!(full.check(), Ok(()));
    for (more, field) in [
        (Fields { keys: &[keys[0]; 33], ..fields }, Field::IdFields),
        (Fields { prefixes: &[&b"x_"[..]; 33], ..fields }, Field::IdPrefixes),
        (Fields { collections: &[&b"xs"[..]; 33], ..fields }, Field::IdCollections),
    ] {
        assert_eq!(more.check(), Err(Error::IdField.at(field, 32)));
    }
    let rules = Rules { fields, ..rules(&ring, Mode::Seal) };
    // The keys of the table count as before.
    let body =
        r#"{"job_ref":"job-x-1","id":"resp_2","a":{"job_ref":"job-1"},"private":{"id":"resp_1"}}"#;
    let out = seal_as(&rules, Ids::Both, &Echo::new(), body.as_bytes());
    let expected = ["job-x-1", "resp_2"]
        .iter()
        .fold(body.to_owned(), |body, id| body.replace(id, &sealed_id(id, "a")));
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    // A prefix without `_` or `-` at its end works too, and its ids are opened again.
    for (prefix, native) in
        [("job", "job1"), ("job-x", "job-x1"), ("J", "J"), ("resp_67ccd3", "resp_67ccd3da")]
    {
        let fields = Fields { prefixes: &[prefix.as_bytes()], ..fields };
        let rules = Rules { fields, ..rules };
        let body = format!(r#"{{"job_ref":"{native}"}}"#);
        let out = seal_as(&rules, Ids::Both, &Echo::new(), body.as_bytes());
        let sealed = body.replace(native, &sealed_id(native, "a"));
        assert_eq!(String::from_utf8(out).unwrap(), sealed);
    }
    // The longest key is read in every spelling, and no longer one is taken for it.
    let longest = [IdKey { name: &[b'k'; 32], kind: KeyKind::Id }];
    let of_longest = Rules { fields: Fields { keys: &longest, ..fields }, ..rules };
    for (spelled, len, found) in
        [("k", 32, true), ("\\u006b", 32, true), ("k", 33, false), ("\\u006b", 33, false)]
    {
        let body = format!(r#"{{"{}":"job-x-1"}}"#, spelled.repeat(len));
        let sealed = body.replace("job-x-1", &sealed_id("job-x-1", "a"));
        let out = seal_as(&of_longest, Ids::Both, &Echo::new(), body.as_bytes());
        assert_eq!(String::from_utf8(out).unwrap(), if found { sealed } else { body });
    }
    assert_eq!(fields.key(u8::try_from(KEYS.len()).unwrap()).unwrap().name, b"job_ref");
    for (number, key) in (0..).zip(KEYS) {
        assert_eq!(fields.key(number), Some(*key));
    }
    // Also in requests: its number is reported, and `strict` ignores the case of its letters.
    let strict = Rules { mode: Mode::Strict, ..rules };
    for (rules, key, told) in [(&rules, "job_ref", false), (&strict, "JOB_Ref", true)] {
        let body = format!(r#"{{"{key}":"job-x-1"}}"#);
        let (mut opener, mut summary) = (Opener::new(Ids::Both), Summary::new());
        let with = Opening { rules, known: &known };
        opened(&mut opener, &with, &mut summary, &[body.as_bytes()]);
        assert_eq!((summary.refused, summary.existing), (told, !told));
        let number = u8::try_from(KEYS.len()).unwrap();
        assert_eq!(summary.keys, if told { [number, 255] } else { [255; 2] });
        // And as a parameter of a query, where it is compared exactly.
        let mut target = b"/x?job_ref=job-x-1&JOB_REF=job-x-2".to_vec();
        let mut summary = Summary::new();
        with.open_target(Ids::Both, &mut summary, &mut target);
        assert_eq!((summary.plain, summary.refused), (1, told));
    }
    assert!(fields.key(255).is_none());
}

const SAMPLES: [(&str, &[u8], u32); 23] = [
    ("vector-files.json", include_bytes!("samples/vector-files.json"), 4),
    ("chat-stream.sse", include_bytes!("samples/chat-stream.sse"), 0),
    ("response-with-tool.json", include_bytes!("samples/response-with-tool.json"), 2),
    ("response-input-file.json", include_bytes!("samples/response-input-file.json"), 2),
    ("response-input-items.json", include_bytes!("samples/response-input-items.json"), 1),
    ("conversation-response.json", include_bytes!("samples/conversation-response.json"), 2),
    ("conversation-create.json", include_bytes!("samples/conversation-create.json"), 1),
    ("batch-get.json", include_bytes!("samples/batch-get.json"), 4),
    ("batch-foreign-file-get.json", include_bytes!("samples/batch-foreign-file-get.json"), 2),
    ("response-background-get.json", include_bytes!("samples/response-background-get.json"), 2),
    ("response-delete.json", include_bytes!("samples/response-delete.json"), 1),
    ("file-get.json", include_bytes!("samples/file-get.json"), 1),
    ("response-create.json", include_bytes!("samples/response-create.json"), 2),
    ("response-chain.json", include_bytes!("samples/response-chain.json"), 3),
    ("response-stream.sse", include_bytes!("samples/response-stream.sse"), 23),
    ("batch-list.json", include_bytes!("samples/batch-list.json"), 6),
    ("vector-search.json", include_bytes!("samples/vector-search.json"), 0),
    ("vector-get.json", include_bytes!("samples/vector-get.json"), 1),
    ("conversation-items.json", include_bytes!("samples/conversation-items.json"), 5),
    ("file-list.json", include_bytes!("samples/file-list.json"), 3),
    ("response-file-search.json", include_bytes!("samples/response-file-search.json"), 3),
    (
        "response-previous-missing-stream.sse",
        include_bytes!("samples/response-previous-missing-stream.sse"),
        0,
    ),
    ("file-missing.json", include_bytes!("samples/file-missing.json"), 0),
];

/// Cut at every place. Every sealed string is an id, and is opened again; everything else stays.
#[test]
fn answers_of_a_real_server() {
    let ring = ring();
    let rules = rules(&ring, Mode::Seal);
    let with = Sealing { rules: &rules, pin: pin("a"), echo: &Echo::new(), origin: None };
    for (name, body, count) in sample(4, SAMPLES) {
        let events = body.starts_with(b"data:");
        let edits = if events {
            model::seal_events(body, &rules, Ids::Items, pin("a")).0
        } else {
            model::seal(body, &rules, Ids::Items, pin("a")).0
        };
        assert_eq!(edits.len(), count as usize, "{name}");
        let expected = apply(body, &edits);
        let new = || if events { Sealer::events(Ids::Items) } else { Sealer::json(Ids::Items) };
        for at in sample(1, 0..=body.len()) {
            let mut sealer = new();
            let out = sealed(&mut sealer, &with, &[&body[..at], &body[at..]]);
            assert!(out == expected, "{name} cut at {at}");
            assert_eq!((sealer.sealed, sealer.unexpected()), (count, 0), "{name} cut at {at}");
        }
        assert_eq!(sealed(&mut new(), &with, &cut(body, || 1)), expected);
        for (place, text) in &edits {
            let opened = rules.sealer.open(text).1.unwrap();
            assert_eq!(opened.native(), &body[place.clone()], "{name}");
        }
        let text = String::from_utf8(expected).unwrap();
        for trap in [
            "resp_not-an-id-of-ours",
            "resp_0 file-0",
            "provider_vector_store_id\":\"vs_5563dc81-471f-4233-92dd-37bdde7fb01f\"",
        ] {
            let there = std::str::from_utf8(body).unwrap().matches(trap).count();
            assert_eq!(text.matches(trap).count(), there, "{name}: {trap}");
        }
    }
}

/// The requests of these responses, from a client that has only seen sealed ids.
#[test]
fn requests_of_a_real_client() {
    for (body, key) in [
        (
            r#"{"model":"m","input":"More","previous_response_id":"<resp_0494a322-8b14-42a0-be43-71fc2ddb9af2>","stream":true}"#,
            "previous_response_id",
        ),
        (
            r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"read"},{"type":"input_file","file_id":"<file-bd37439d8250427aae4f7b8a6ffcc283>"}]}]}"#,
            "file_id",
        ),
        (
            r#"{"name":"v","file_ids":["<file-bd37439d8250427aae4f7b8a6ffcc283>"],"metadata":{"k":"v"}}"#,
            "file_ids",
        ),
        (
            r#"{"input":"fox","tools":[{"type":"file_search","vector_store_ids":["<vs_5563dc81-471f-4233-92dd-37bdde7fb01f>"]}],"include":["file_search_call.results"]}"#,
            "vector_store_ids",
        ),
        (
            r#"{"model":"m","input":"x","conversation":"<conv_4ca80eb338e6f3d5373a322a13e4d67370984809d2edf682>"}"#,
            "conversation",
        ),
        (
            r#"{"input":"y","conversation":{"id":"<conv_4ca80eb338e6f3d5373a322a13e4d67370984809d2edf682>"},"stream":true}"#,
            "conversation",
        ),
        (
            r#"{"input_file_id":"<file-98527cb952b7452a961216733c9c4de1>","endpoint":"/v1/chat/completions","completion_window":"24h"}"#,
            "input_file_id",
        ),
        (
            r#"{"tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids":["<file-98527cb952b7452a961216733c9c4de1>"]}}]}"#,
            "file_ids",
        ),
    ] {
        let parts: Vec<_> = body.split(['<', '>']).collect();
        let [front, native, back] = parts[..] else { panic!("one id") };
        let (text, summary) = open(&[front, &sealed_id(native, "b"), back].concat());
        assert_eq!(text, [front, native, back].concat());
        assert_eq!(summary.account(), Some((pin("b"), number_of(key))));
        assert!(summary.existing && !summary.refused && summary.opened == 1);
    }
}

/// The model's reader of JSON, which is the reference above, against a well-known one.
#[test]
fn the_model_reads_what_serde_json_reads() {
    use tokenpin_test_support::ids::tree::{Value, parse};
    fn same(node: &tokenpin_test_support::ids::tree::Node, json: &Json) -> bool {
        match (&node.value, json) {
            // Beyond ASCII the model keeps bytes, or reports an escape.
            (Value::Text(Some(text)), Json::String(json)) => {
                !json.is_ascii() || text == json.as_bytes()
            }
            (Value::Scalar(_), Json::Null | Json::Bool(_) | Json::Number(_))
            | (Value::Opaque, Json::Array(_) | Json::Object(_)) => true,
            (Value::Array(nodes), Json::Array(all)) => {
                nodes.len() == all.len()
                    && nodes.iter().zip(all).all(|(node, json)| same(node, json))
            }
            // Of equal keys the last counts there.
            (Value::Object(members), Json::Object(all)) => all.iter().all(|(key, json)| {
                let of = |(name, _, _): &&(Vec<u8>, _, _)| name == key.as_bytes();
                !key.is_ascii()
                    || members.iter().rev().find(of).is_some_and(|(.., node)| same(node, json))
            }),
            _ => false,
        }
    }
    let mut random = tokenpin_test_support::random::Random::new("the model and serde_json");
    let mut read = 0;
    for _ in 0..cases(4_000, 1) {
        let body = crate::docs::document(&mut random);
        if let Ok(json) = serde_json::from_slice::<Json>(&body) {
            let (node, whole) = parse(&body, false);
            assert!(whole && same(&node.unwrap(), &json), "{}", body.escape_ascii());
            read += 1;
        }
    }
    assert!(read > cases(2_000, 0), "{read}");
}
