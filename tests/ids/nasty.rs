//! Documents that are easy to misread. `<..>` in one is an id: native in the provider's answer, and
//! sealed for the client.

use tokenpin::ids::{Echo, Ids, Mode, Opener, Opening, Rules, Sealer, Sealing, Summary};

use tokenpin_test_support::sample::{cases, sample};

use crate::bodies::{known, opened, rules, sealed};
use crate::world::{pin, ring};

/// Returns the document with its ids as `of` writes them, and the number of them.
fn with_ids(document: &[u8], mut of: impl FnMut(&[u8]) -> Vec<u8>) -> (Vec<u8>, u32) {
    let (mut out, mut count) = (Vec::new(), 0);
    for (i, part) in document.split(|byte| b"<>".contains(byte)).enumerate() {
        if i % 2 == 1 {
            out.extend_from_slice(&of(part));
            count += 1;
        } else {
            out.extend_from_slice(part);
        }
    }
    (out, count)
}

/// Tries one piece, single bytes, a cut at every place, and two cuts at every two near places.
fn each_cut(body: &[u8], mut then: impl FnMut(&[&[u8]])) {
    then(&body.iter().map(std::slice::from_ref).collect::<Vec<_>>());
    for first in sample(1, 0..=body.len()) {
        then(&[&body[..first], &body[first..]]);
        let near = (first + 70).min(body.len());
        for second in sample(1, first + 1..=near) {
            then(&[&body[..first], &body[first..second], &body[second..]]);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Framing {
    Json,
    Events,
}

/// The document is sealed regardless of the cuts, and opened again on its way back.
#[track_caller]
fn both_ways(document: &[u8], framing: Framing, unexpected: u32) {
    let ring = ring();
    let rules = rules(&ring, Mode::Seal);
    let (native, ids) = with_ids(document, <[u8]>::to_vec);
    let (closed, _) =
        with_ids(document, |id| rules.sealer.seal(id, pin("a")).unwrap().as_bytes().to_vec());
    let shown = document.escape_ascii();
    let echo = Echo::new();
    let with = Sealing { rules: &rules, pin: pin("a"), echo: &echo, origin: None };
    each_cut(&native, |chunks| {
        let mut sealer = match framing {
            Framing::Json => Sealer::json(Ids::Items),
            Framing::Events => Sealer::events(Ids::Items),
        };
        let out = sealed(&mut sealer, &with, chunks);
        assert!(out == closed, "{shown} in {chunks:?}: {}", out.escape_ascii());
        assert_eq!((sealer.sealed, sealer.unexpected()), (ids, unexpected), "{shown}");
    });
    // If it is sealed again, it stays.
    let mut sealer = match framing {
        Framing::Json => Sealer::json(Ids::Items),
        Framing::Events => Sealer::events(Ids::Items),
    };
    assert!(sealed(&mut sealer, &with, &[&closed]) == closed, "{shown}");
    let begins = native.iter().find(|byte| !byte.is_ascii_whitespace());
    if framing == Framing::Events && !begins.is_some_and(|byte| b"deir:".contains(byte)) {
        return;
    }
    let with = Opening { rules: &rules, known: &known };
    each_cut(&closed, |chunks| {
        let (mut opener, mut summary) = (Opener::new(Ids::Items), Summary::new());
        let out = opened(&mut opener, &with, &mut summary, chunks);
        assert!(out == native, "{shown} in {chunks:?}: {}", out.escape_ascii());
        assert_eq!((summary.opened, opener.unexpected()), (ids, unexpected), "{shown}");
        assert!(!summary.refused);
    });
}

#[test]
fn documents_that_are_easily_read_wrongly() {
    for document in sample(6, [
        // The same key twice.
        &br#"{"previous_response_id":"<resp_1>","previous_response_id":"<resp_2>","id":"<resp_1>"}"#[..],
        br#"{"input":[{"id":"<msg_1>","id":"<msg_2>","x":0}],"input":[{"id":"<msg_3>"}]}"#,
        // Keys with escapes, whole or in part, and keys that are nearly listed.
        br#"{"\u0069\u0064":"<resp_1>","i\u0064":"<resp_2>","\u0049d":"resp_3","i\d":"resp_4"}"#,
        br#"{"id ":"resp_1","ids":"resp_1","i":"resp_1","":"resp_1","id\u0000":"resp_1","id":"<resp_2>"}"#,
        br#"{"previous\u005fresponse\u005Fid":"<resp_1>","previous_response_i\u0064":"<resp_2>"}"#,
        br#"{"i\"d":"resp_1","id\\":"resp_2","\\id":"resp_3","/id":"resp_4","\/id":"resp_5","id":"<resp_6>"}"#,
        br#"{"\ud83d\ude00":"resp_1","id\ud83d":"resp_1","\u0069\u0064":"<resp_2>","\u2028":0}"#,
        // Escapes in front of and behind an id, including halves of surrogate pairs.
        br#"{"text":"\ud83d\ude00","id":"<resp_1>","text":"\ude00\ud83d\\","file_id":"<file-1>","t":"\\\\\""}"#,
        br#"{"id":"resp_1\ud83d\ude00","id":"\ud83dresp_1","id":"resp_1\u0000","id":"resp_1\\","id":"<resp_1>"}"#,
        b"{\"id\":\"resp_1\0\",\"\0\":\"\0\",\"text\":\"\0\0\",\"id\":\"<resp_1>\"}",
        // Values other than strings where an id belongs.
        br#"{"id":7,"id":true,"id":null,"id":-1.5e9,"id":[],"id":{},"id":["resp_1"],"file_ids":{"a":"file-1"},"id":"<resp_1>"}"#,
        br#"{"conversation":{"id":"<conv_1>"},"conversation":"<conv_2>","conversation":{"a":{"id":"<conv_3>"}},"conversation":null}"#,
        br#"{"a":[1E5,-1.5e+10,0.1E-7,2E+1],"id":"<resp_1>","b":1E5}"#,
        br#"{"conversation":[{"id":"<conv_1>"},"conv_2"],"container":["cntr_1"],"agent":[[]],"id":"<resp_1>"}"#,
        br#"{"file_ids":[7,"<file-1>",null,["file-2"],{"a":"file-3"},"<file-4>",true,"",[[]],{}]}"#,
        br#"[{"id":"<resp_1>"},[{"id":"<resp_2>"}],"resp_3",{"id":[{"id":"<resp_4>"}]}]"#,
        // Blanks wherever they may be, and none.
        b" \t\r\n{ \"id\"\r\n:\t\"<resp_1>\"\n, \"file_ids\" : [ \"<file-1>\"\t,\n\"<file-2>\" ] } \r\n",
        br#"{"a": 7, "b": [1, 2, {"c": true }], "d": {"e": null}, "id": "<resp_1>"}"#,
        br#"{"a": [ ], "b": { } , "file_id": "<file-1>"}"#,
        b"{\n  \"a\": {\n    \"b\": [\n      1,\n      \"x\"\n    ],\n    \"id\": \"<resp_1>\"\n  },\n\
          \"c\":\n\"d\",\n  \"file_id\":\t\"<file-1>\"\n}\n",
        br#"{"id":"<resp_1>","a":{},"b":[],"c":[[],{}],"d":"","e":0,"f":[0,1],"id":"<resp_2>"}"#,
        // Brackets and quotes in strings.
        br#"{"text":"{\"id\":\"resp_1\"}","x":"]}[{","metadata":{"a":"}\"","b":["]"]},"id":"<resp_1>"}"#,
        br#"{"arguments":"{\"id\":\"resp_1\",\"file_id\":\"file-1\"}","output":"resp_1","id":"<fc_1>"}"#,
        // An opaque value in an array of ids, and the ids behind it.
        br#"{"file_ids":["<file-1>",{"metadata":{"file_id":"file-2"}},"<file-3>"],"error":["resp_1",{"id":"resp_1"}]}"#,
        br#"{"variables":{"a":{"file_id":"<file-1>","id":"x_1","file_ids":["file-2"]}},"file_ids":["<file-2>"],"id":"<resp_1>"}"#,
        br#"{"variables":{"variables":{"file_id":"<file-1>"},"id":"x"},"id":"<resp_1>"}"#,
        br#"{"variables":{"file_id":"<file-1>"},"id":"<resp_1>"}"#,
        br#"{"variables":{"a":{"b":1},"id":"resp_1","file_id":"<file-1>"},"id":"<resp_2>"}"#,
    ]) {
        both_ways(document, Framing::Json, 0);
    }
    both_ways(b"\xef\xbb\xbf {\"id\":\"<resp_1>\"}", Framing::Json, 0);
}

#[test]
fn documents_that_are_broken_pass_from_there_on() {
    for document in sample(
        8,
        [
            &br#"{"id":"<resp_1>"}{"id":"resp_2"}"#[..],
            br#"{"id":"<resp_1>"},{"id":"resp_2"}"#,
            b"{\"id\":\"<resp_1>\"}\n{\"id\":\"resp_2\"}\n{\"id\":\"resp_3\"}\n",
            b"{\"id\":\"<resp_1>\"}\0",
            br#"{"id":"<resp_1>"]"id":"resp_2"}"#,
            br#"{"id":"<resp_1>""id":"resp_2"}"#,
            br#"{"id":"<resp_1>",,"id":"resp_2"}"#,
            br#"{"id":"<resp_1>",}"#,
            br#"{"id":"<resp_1>",id:"resp_2"}"#,
            br#"{"id":"<resp_1>",'id':"resp_2"}"#,
            br#"{"id":"<resp_1>" /* "id":"resp_2" */}"#,
            br#"{"id"="resp_1"}"#,
            br#"{"id":"<resp_1>","x":NaN,"id":"resp_2"}"#,
            br#"{"id":"<resp_1>","x":t"id":"resp_2"}"#,
            br#"{"id":"<resp_1>","x":"resp_2"#,
            br#"{"id":"<resp_1>","id":"resp_2"#,
            br#"{"id":"<resp_1>","id":"resp_2\"#,
            br#"{"id":"<resp_1>","id":"resp_2\u00"#,
            br#"{"id":"<resp_1>","encrypted_content":"gAAA"#,
            br#"{"id":"<resp_1>","id"#,
            br#"{"id":"<resp_1>","metadata":{"a":["#,
            br#"{"id":"<resp_1>""#,
            b"\xff\xfe{\0\"\0i\0d\0\"\0:\0\"\0",
            // A partial byte order mark is none.
            b"\xef{\"id\":\"resp_1\"}",
            b"\xef\xbb{\"id\":\"resp_1\"}",
            b"\xef\xbb\xbf\xef\xbb\xbf{\"id\":\"resp_1\"}",
            b" \xef\xbb\xbf{\"id\":\"resp_1\"}",
            // Only the whole word ends a stream.
            b"[DONE",
            b"7,{\"id\":\"resp_1\"}",
            b"\"x\",{\"id\":\"resp_1\"}",
            b"{\"a\":[1},\"id\":\"resp_1\"}",
            b"{\"a\":{\"b\":\"\"],\"id\":\"resp_1\"}",
            b"{\"a\":1",
            b"[null",
            b"\"resp_1",
            b"[DONE,",
            b"[DATA]",
            b"[DONE]]",
            b"[DONE] {\"id\":\"resp_1\"}",
            b"[DATA,{\"id\":\"resp_1\"}]",
            b"[DONE ]",
            b"{\"a\":[DONE]}",
            b"{\"a\":DONE]}",
            b"[\"resp_1\",DONE]",
        ],
    ) {
        both_ways(document, Framing::Json, 1);
    }
    for document in [
        &b""[..],
        b" \r\n\t",
        b"[DONE]",
        b" [ DONE]\n",
        b"\"resp_1\"",
        b"7",
        b"null ",
        b"\xef\xbb\xbf",
    ] {
        both_ways(document, Framing::Json, 0);
    }
}

#[test]
fn streams_that_are_easily_read_wrongly() {
    for (document, unexpected) in sample(6, [
        (&b"data: {\"id\":\"<resp_1>\"}\n\ndata: {\"id\":\"<resp_2>\"}\n\ndata: [DONE]\n\n"[..], 0),
        (b"data:{\"id\":\"<resp_1>\"}\r\rdata:{\"id\":\"<resp_2>\"}\r\rdata:[DONE]\r\r", 0),
        (b"data:{\"id\":\"<resp_1>\"}\r\n\r\ndata:   {\"id\":\"<resp_2>\"}\r\n\r\n", 0),
        // One document on several lines, with other fields and comments between them.
        (b"data: {\ndata:\"id\":\ndata: \"<resp_1>\"\n: x\nid: resp_1\nevent: x\ndata\ndata:}\n\n", 0),
        (b"data:{\"id\"\rdata::\r\ndata:\"<resp_1>\",\ndata:\"x\":1\rdata:2}\n\n", 1),
        // A string ends on its line, and the next event is separate.
        (b"data: {\"x\":\"\ndata: \",\"id\":\"resp_1\"}\n\ndata: {\"id\":\"<resp_2>\"}\n\n", 1),
        (b"data: {\"id\":\"resp_1\ndata: \"}\n\ndata: {\"id\":\"<resp_2>\"}\n\n", 1),
        (b"data: {\"id\n\ndata: \":\"resp_1\"}\n\ndata: {\"id\":\"<resp_2>\"}\n\n", 2),
        (b"data: {\"id\":\"resp_1\n\n\"}\n\ndata: {\"id\":\"<resp_2>\"}\n\n", 1),
        (b"data: {\"id\":\"resp_1\\\n\ndata: {\"id\":\"<resp_2>\"}\n\n", 1),
        (b"data: {\"encrypted_content\":\"gAAA\n\ndata: {\"id\":\"<resp_2>\"}\n\n", 1),
        // Fields that are nearly `data`.
        (b"dat: {\"id\":\"resp_1\"}\ndatab: {\"id\":\"resp_1\"}\nDATA: {\"id\":\"resp_1\"}\n\n", 0),
        (b"data : {\"id\":\"resp_1\"}\n\n", 0),
        (b"ddata: {\"id\":\"resp_1\"}\ndatadata: {\"id\":\"resp_1\"}\n\n", 0),
        (b"data: {\"id\":\"<resp_1>\"}\n data: {\"id\":\"resp_1\"}\n:data: {\"id\":\"resp_1\"}\n\n", 0),
        (b"id: resp_1\nevent: {\"id\":\"resp_1\"}\nretry: 1\n\ndata: {\"id\":\"<resp_1>\"}\n\n", 0),
        // No blank line at the end; no line end at all; empty events.
        (b"data: {\"id\":\"<resp_1>\"}", 0),
        (b"\n\r\n\rdata: {\"id\":\"<resp_1>\"}\n\n\n\n\r\rdata:\n\ndata: \n\ndata\n\ndata: {\"id\":\"<resp_2>\"}\n", 0),
        (b"\xef\xbb\xbfdata: {\"id\":\"<resp_1>\"}\n\n\xef\xbb\xbfdata: {\"id\":\"resp_1\"}\n\n", 0),
        (b": hello\n\ndata: {\"id\":\"<resp_1>\"}\n\ndata: oops\n\ndata: {\"id\":\"<resp_2>\"}\n\n", 1),
        (b"data: {\"id\":\"<resp_1>\"} {}\n\ndata: {\"a\":[\"\n\ndata: {\"id\":\"<resp_2>\"}\n\n", 2),
        (b"data: [DONE]x\n\ndata: [DONE\n\ndata: [DO\ndata: NE]\n\ndata: {\"id\":\"<resp_2>\"}\n\n", 3),
        // An opaque object, an array of ids and a level that are open when the event ends.
        (b"data: {\"metadata\":{\"a\":[\n\ndata: {\"id\":\"<resp_2>\"}\n\n", 1),
        (b"data: {\"file_ids\":[\"<file-1>\"\n\ndata: [\"file-1\"]\n\ndata: \"file-1\"\n\n", 1),
        (
            b"data: {\"variables\":{\n\ndata: {\"id\":\"<resp_2>\",\"conversation\":{\n\n\
              data: {\"id\":\"<resp_3>\"}\n\n",
            2,
        ),
        (b"data: {\"id\":\n\ndata: \"resp_1\"\n\ndata: 7\n\ndata: {\"id\":\"<resp_2>\"}\n\n", 1),
    ]) {
        both_ways(document, Framing::Events, unexpected);
        if document.starts_with(b"d") {
            both_ways(document, Framing::Json, unexpected);
        }
    }
    // A partial byte order mark, and events where none begins: fields that are ignored.
    for document in [
        &b"\xefdata: {\"id\":\"resp_1\"}\n\n"[..],
        b"\xef\xbbdata: {\"id\":\"resp_1\"}\n\n",
        b"{\"id\":\"resp_1\"}",
    ] {
        both_ways(document, Framing::Events, 0);
    }
}

/// A sealed id in a place without ids, in requests and in responses, in every mode: it is text.
#[test]
fn a_sealed_id_is_text_where_text_stands() {
    let ring = ring();
    let id = rules(&ring, Mode::Seal).sealer.seal(b"resp_1", pin("a")).unwrap();
    let id = std::str::from_utf8(id.as_bytes()).unwrap();
    for document in sample(
        5,
        [
            r#"{"input":"@"}"#,
            r#"{"prompt":"@","instructions":"@","text":"@","model":"@"}"#,
            r#"{"messages":[{"role":"user","content":"@"}]}"#,
            r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"@"}]}]}"#,
            r#"{"type":"response.output_text.delta","delta":"@","text":"@","part":{"text":"@"}}"#,
            r#"{"type":"response.function_call_arguments.delta","delta":"@"}"#,
            r#"{"arguments":"@","arguments":"{\"file_id\":\"@\"}","arguments":{"file_id":"@"}}"#,
            r#"{"output":"@","output":[{"text":"@"}],"call_id":"@","name":"@"}"#,
            r#"{"metadata":{"id":"@","@":"@","file_ids":["@"]},"user":"@","safety_identifier":"@"}"#,
            r#"{"tools":[{"parameters":{"properties":{"id":{"const":"@"},"file_id":"@"},"id":"@"}}]}"#,
            r#"{"tools":[{"name":"f","input_schema":{"type":"object","examples":[{"file_id":"@"}]}}]}"#,
            r#"{"type":"mcp_list_tools","tools":[{"input_schema":{"default":{"id":"@"}}}]}"#,
            r#"{"text":{"format":{"schema":{"file_id":"@"},"json_schema":{"id":"@"}}}}"#,
            r#"{"error":{"message":"no @","param":"@","id":"@"},"detail":"@ not found"}"#,
            r#"{"logprobs":[{"token":"@","id":"@"}],"attributes":{"file_id":"@"},"filters":[{"id":"@"}]}"#,
            r#"{"content":[{"type":"tool_use","input":{"file_id":"@","id":"@"}}],"tool_use_id":"@"}"#,
            r#"{"@":"id","x":["@",["@"]],"obfuscation":"@","ids":["@"],"ID":"@"}"#,
            r#"{"custom_id":"@","request_id":"@","user_id":"@","organization_id":"@","tool_call_id":"@"}"#,
            r#""@""#,
        ],
    ) {
        let (sealed_text, plain) = (document.replace('@', id), document.replace('@', "resp_1"));
        for text in [sealed_text, plain] {
            for mode in sample(3, Mode::ALL) {
                let rules = rules(&ring, *mode);
                // The mode strict ignores the case of a key.
                if *mode == Mode::Strict && text.contains("ID\"") {
                    continue;
                }
                stays(&rules, text.as_bytes());
            }
        }
    }
}

/// Such a document stays unchanged, and nothing is found in it.
#[track_caller]
fn stays(rules: &Rules<'_>, text: &[u8]) {
    let shown = text.escape_ascii();
    let echo = Echo::new();
    let with = Sealing { rules, pin: pin("a"), echo: &echo, origin: None };
    let event = [b"data: ", text, b"\n\n"].concat();
    assert!(sealed(&mut Sealer::json(Ids::Items), &with, &[text]) == text, "{shown}");
    assert!(sealed(&mut Sealer::events(Ids::Items), &with, &[&event]) == event, "{shown}");
    let (mut opener, mut summary) = (Opener::new(Ids::Items), Summary::new());
    let with = Opening { rules, known: &known };
    assert!(opened(&mut opener, &with, &mut summary, &[text]) == text, "{shown}");
    assert_eq!((summary.opened, summary.plain, summary.refused), (0, 0, false), "{shown}");
    assert!(!summary.existing && summary.account().is_none(), "{shown}");
}

#[test]
fn an_id_on_the_256th_level_is_sealed_and_on_the_257th_it_is_not() {
    for (levels, looked_at) in [(255, true), (256, true), (257, false)] {
        for (open, close) in sample(1, [("[", "]"), ("{\"a\":", "}")]) {
            let id = if looked_at { "<resp_1>" } else { "resp_1" };
            let around = levels - 1;
            let inner = format!("{{\"id\":\"{id}\",\"x\":[]}}");
            let document =
                format!("{}{inner}{},", open.repeat(around - 1), close.repeat(around - 1));
            // The table applies again behind it.
            let document = format!("[{document}{{\"id\":\"<resp_2>\"}}]");
            let (native, ids) = with_ids(document.as_bytes(), <[u8]>::to_vec);
            let ring = ring();
            let rules = rules(&ring, Mode::Seal);
            let echo = Echo::new();
            let with = Sealing { rules: &rules, pin: pin("a"), echo: &echo, origin: None };
            let mut sealer = Sealer::json(Ids::Items);
            let out = sealed(&mut sealer, &with, &[&native]);
            assert_eq!((sealer.sealed, sealer.unexpected()), (ids, 0), "{levels}");
            let (mut opener, mut summary) = (Opener::new(Ids::Items), Summary::new());
            let with = Opening { rules: &rules, known: &known };
            assert!(opened(&mut opener, &with, &mut summary, &[&out]) == native);
            assert_eq!((summary.opened, opener.unexpected()), (ids, 0), "{levels}");
        }
    }
}

#[test]
fn an_id_of_255_bytes_is_sealed_and_of_256_it_is_not() {
    for (len, is_id) in [(254, true), (255, true), (256, false), (281, false), (512, false)] {
        let id = "file-".to_owned() + &"x".repeat(len - 5);
        let id = if is_id { format!("<{id}>") } else { id };
        both_ways(format!("{{\"file_id\":\"{id}\"}}").as_bytes(), Framing::Json, 0);
    }
}

/// Written only in escapes, an id is six times as long, and its replacement needs none.
#[test]
fn fully_escaped_ids_are_ids() {
    let ring = ring();
    let rules = rules(&ring, Mode::Seal);
    let escaped = |text: &[u8]| -> String {
        let escapes: Vec<_> = text.iter().map(|byte| format!("\\u{byte:04X}")).collect();
        escapes.concat()
    };
    let native = b"resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d4142";
    let id = rules.sealer.seal(native, pin("a")).unwrap();
    assert_eq!(id.as_bytes().len() * 6, 384);
    let body = |key: &str, text: &str| format!("{{\"{key}\":\"{text}\"}}").into_bytes();
    let key = escaped(b"previous_response_id");
    let echo = Echo::new();
    each_cut(&body(&key, &escaped(native)), |chunks| {
        let with = Sealing { rules: &rules, pin: pin("a"), echo: &echo, origin: None };
        let out = sealed(&mut Sealer::json(Ids::Items), &with, chunks);
        assert_eq!(out, body(&key, std::str::from_utf8(id.as_bytes()).unwrap()));
    });
    each_cut(&body(&key, &escaped(id.as_bytes())), |chunks| {
        let (mut opener, mut summary) = (Opener::new(Ids::Items), Summary::new());
        let with = Opening { rules: &rules, known: &known };
        let out = opened(&mut opener, &with, &mut summary, chunks);
        assert_eq!(out, body(&key, std::str::from_utf8(native).unwrap()));
    });
    // An id of 86 characters does not fit any more. That is reported.
    for (len, unreadable) in [(85, false), (86, true)] {
        let text = body(&key, &escaped(&vec![b'x'; len]));
        each_cut(&text, |chunks| {
            let (mut opener, mut summary) = (Opener::new(Ids::Items), Summary::new());
            let with = Opening { rules: &rules, known: &known };
            assert!(opened(&mut opener, &with, &mut summary, chunks) == text);
            assert_eq!((summary.unreadable, summary.existing), (unreadable, !unreadable));
        });
    }
}

/// `store` and `type` may stand behind everything, and so may `id`. It changes nothing.
#[test]
fn the_order_of_keys_is_nothing() {
    let ring = ring();
    let rules = rules(&ring, Mode::Seal);
    let id = |native: &[u8], account| {
        let id = rules.sealer.seal(native, pin(account)).unwrap();
        String::from_utf8(id.as_bytes().to_vec()).unwrap()
    };
    let come_to = |body: &str| {
        let (mut opener, mut summary) = (Opener::new(Ids::Items), Summary::new());
        let with = Opening { rules: &rules, known: &known };
        opened(&mut opener, &with, &mut summary, &[body.as_bytes()]);
        (summary.account(), summary.existing, summary.unstored, summary.opened, summary.refused)
    };
    let history = id(b"msg_1", "b");
    for (members, elements) in sample(
        1,
        [
            (["\"store\":false", "\"input\":[@]", "\"model\":\"m\""], "inline"),
            (["\"store\":true", "\"input\":[@]", "\"previous_response_id\":\"#\""], "inline"),
            (["\"store\":null", "\"input\":[@]", "\"conversation\":{\"id\":\"#\"}"], "inline"),
            (["\"store\":false", "\"input\":[@]", "\"x\":{\"store\":true}"], "reference"),
        ],
    ) {
        let element = match elements {
            "inline" => ["\"type\":\"message\"", "\"content\":[{\"text\":\"x\"}]", "\"id\":\"%\""],
            _ => ["\"type\":\"item_reference\"", "\"status\":null", "\"id\":\"%\""],
        };
        let mut seen = Vec::new();
        for outer in sample(3, orders(members)) {
            for inner in sample(3, orders(element)) {
                let element = format!("{{{}}}", inner.join(","));
                let body = format!("{{{}}}", outer.join(","))
                    .replace('@', &element)
                    .replace('%', &history)
                    .replace('#', &id(b"resp_1", "a"));
                seen.push(come_to(&body));
            }
        }
        assert_eq!(seen.len(), cases(36, 9));
        assert!(seen.iter().all(|it| *it == seen[0]), "{members:?}: {seen:?}");
    }
}

fn orders<T: Copy>([a, b, c]: [T; 3]) -> [[T; 3]; 6] {
    [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]]
}
