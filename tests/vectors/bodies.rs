//! Bodies and targets with ids: the output, and the summary of a request.

use serde_json::{Value as Json, json};
use tokenpin::ids::{Echo, Ids, Mode, Opener, Opening, Origin, Rules, Sealer, Sealing, Summary};
use tokenpin::{CookieKey, IdRing, IdSealer, Role, identity_hash};

use tokenpin_test_support::sample::sample;

use crate::{case, compare, cookie_key, hex64, ring_json, text};

const ACCOUNT: &[u8] = b"account-a";

fn keys() -> [CookieKey; 2] {
    [cookie_key(1, Role::Sign), cookie_key(2, Role::Accept)]
}

/// Returns the text with `<x>` replaced by the sealed form of `x`, of another account for `<b:x>`,
/// of one that is not in the set for `<c:x>`, by the other key for `<2:x>`, and corrupt for `<!x>`.
fn with_ids(written: &str) -> String {
    let part = |(i, part): (usize, &str)| if i % 2 == 0 { part.to_owned() } else { sealed(part) };
    written.split(['<', '>']).enumerate().map(part).collect()
}

fn sealed(written: &str) -> String {
    let (how, native) = written.split_once(':').unwrap_or(("", written.trim_start_matches('!')));
    let account = match how {
        "b" => &b"account-b"[..],
        "c" => b"account-c",
        _ => ACCOUNT,
    };
    let (a, b) = if how == "2" { (Role::Accept, Role::Sign) } else { (Role::Sign, Role::Accept) };
    let ring = IdRing::new(&[cookie_key(1, a), cookie_key(2, b)], None).unwrap();
    let ids = IdSealer::new(&ring, b"", b"").unwrap();
    let sealed = ids.seal(native.as_bytes(), identity_hash(account)).unwrap();
    let spoilt = if written.starts_with('!') { "x" } else { "" };
    spoilt.to_owned() + text(sealed.as_bytes())
}

const RESPONSES: [&str; 24] = [
    r#"{"id":"resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41","object":"response","previous_response_id":null}"#,
    r#"{"output":[{"type":"message","id":"msg_0494a322-8b14-42a0-be43-71fc2ddb9af2","content":[{"text":"see resp_1","annotations":[{"file_id":"file-AbCdEfGhIjKlMnOpQrStUv"}]}]}]}"#,
    r#"{"data":[{"id":"batch_1","input_file_id":"file-1","error_file_id":null,"metadata":{"id":"resp_1"}}],"first_id":"batch_1","last_id":"batch_1"}"#,
    r#"{"tools":[{"vector_store_ids":["vs_1","vs_2",null,["vs_3"]],"parameters":{"id":"resp_1"}}]}"#,
    r#"{"call_id":"resp_1","user_id":"resp_1","ID":"resp_1","id":"call_1","error":{"id":"resp_1"}}"#,
    r#"{"\u0069d":"\u0072esp\u005f1","id":"resp_2","id":"resp_\u00e9"}"#,
    r#"{"input":{"id":"resp_1"},"a":{"input":[{"id":"msg_1"}]},"variables":{"x":{"file_id":"file-1","id":"resp_1"}}}"#,
    r#"{"conversation":"conv_1","container":{"id":"cntr_1"},"source":"file-1","video":{"id":"video_1"}}"#,
    r#"{"encrypted_content":"gAAAAABo","a":{"encrypted_content":"AB\/C+d=="},"b":{"encrypted_content":""}}"#,
    r#"{"id":"resp_1"} trailing {"id":"resp_2"}"#,
    r#"{"id":"resp_1""#,
    r#"{"a":[1,2}],"id":"resp_1"}"#,
    r#"{"id":"<resp_1>","a":{"id":"<2:resp_1>"},"b":{"id":"<b:resp_1>"}}"#,
    r#"[[[{"id":"resp_1"}]]]"#,
    r#""resp_1""#,
    "",
    " \n",
    "data: {\"id\":\"resp_1\"}\n\n",
    "event: x\r\ndata: {\"response\":\r\ndata: {\"id\":\"resp_1\"}}\r\n\r\n\
     data:{\"item_id\":\"msg_1\"}\r\n\r\ndata: [DONE]\r\n\r\n",
    ": comment\rdata: {\"id\":\"resp_1\"}\rdata: x\r\rdata: {\"id\":\"resp_2\"}\r\r",
    "id: resp_1\nretry: 1\ndatax: {\"id\":\"resp_1\"}\n\n\
     data: {\"id\":\"resp_\ndata: 1\"}\n\ndata: {\"id\":\"resp_1\"}",
    "\u{feff}data: {\"id\":\"resp_1\"}\n\n",
    "data: {\"encrypted_content\":\"gAAA\"}\n\ndata:\n\ndata: 12\n\n",
    r#"{"id":"resp_1","file_ids":["file-1","file-1"],"item_id":"msg_1","thread_id":"thread_1"}"#,
];

const REQUESTS: [&str; 34] = [
    r#"{"model":"m","input":"Hello","previous_response_id":"<resp_1>"}"#,
    r#"{"previous_response_id":"resp_1"}"#,
    r#"{"previous_response_id":null,"conversation":"","container":"auto"}"#,
    r#"{"conversation":{"id":"<conv_1>"},"tools":[{"container":{"type":"auto","file_ids":["<file-1>"]}}]}"#,
    r#"{"conversation":{"id":"<conv_1>"},"tools":[{"container":"<b:cntr_1>"}]}"#,
    r#"{"input":[{"type":"message","id":"<msg_1>","role":"user","content":"x"}]}"#,
    r#"{"input":[{"id":"<b:msg_1>","content":"x"},{"content":"x","id":"<msg_2>"},{"id":"<c:msg_3>","content":"x"}]}"#,
    r#"{"input":[{"id":"<b:msg_1>","content":"x"}],"store":false}"#,
    r#"{"store":false,"input":[{"id":"<b:msg_1>","content":"x"}],"previous_response_id":"<resp_1>"}"#,
    r#"{"input":[{"type":"item_reference","id":"<msg_1>"},{"id":"<b:msg_2>","summary":[]}]}"#,
    r#"{"input":[{"type":"item_reference","id":"<msg_1>"},{"id":"<b:msg_2>"}]}"#,
    r#"{"items":[{"status":"completed","id":"msg_1","type":"x"}]}"#,
    r#"{"items":[{"id":"msg_1","role":"user"}]}"#,
    r#"{"input":[{"id":"<msg_1>","id":"<b:msg_2>","x":1}]}"#,
    r#"{"input":[{"content":[{"type":"input_file","file_id":"<file-1>"}]}],"metadata":{"id":"<b:resp_1>"}}"#,
    r#"{"previous_response_id":"<!resp_1>"}"#,
    r#"{"file_id":"<!file-1>","previous_response_id":"<resp_1>"}"#,
    r#"{"previous_response_id":"<c:resp_1>"}"#,
    r#"{"previous_response_id":"<2:resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41>"}"#,
    r#"{"previous_response_id":"resp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxtp7"}"#,
    r#"{"Previous_Response_Id":"resp_1","ID":"<b:x>"}"#,
    r#"{"messages":[{"tool_calls":[{"id":"call_1"}],"content":[{"file":{"file_id":"<file-1>"}}]}]}"#,
    r#"{"input":{"id":"<resp_1>"},"arguments":"<resp_1>","call_id":"<resp_1>"}"#,
    r#"{"video":{"id":"video_1"}}"#,
    r#"{"video":"video_1","file_ids":"file-1","source":{"id":"<file-1>"}}"#,
    r#"{"prompt":{"variables":{"a":{"type":"input_file","file_id":"<file-1>","container_id":"<b:cntr_1>"}}}}"#,
    r#"{"input":[{"type":"reasoning","encrypted_content":"gAAAAABo","id":"rs_1"}]}"#,
    r#"{"training_file":"<file-1>","validation_file":"file-2"}"#,
    r#"{"\u0066ile_id":"<file-1>","file_ids":["\u0066ile-1"]}"#,
    r#"{"previous_response_id":"<resp_1>"#,
    r#"{"previous_response_id":"<resp_1>"]"file_id":"<b:file-1>"}"#,
    r#"{"a":{"id":"resp_1"},"b":{"id":"<resp_1>"}}"#,
    "{}",
    "",
];

/// The upstream of the locations.
const UPSTREAM: &[u8] = b"files";
const OWN: &[u8] = b"http://gateway:8080";

const TARGETS: [&str; 17] = [
    "/v1/responses/<resp_1>/cancel",
    "/v1/responses/resp_1",
    "/v1/vector_stores/<vs_1>/files/<b:file-1>",
    "/v1/files?after=<file-1>&limit=2",
    "/v1/files?after=file-1#x",
    "/v1/responses/compact",
    "/v1/threads/<thread_1>/messages/msg_1",
    "/v1/files/%66ile-1",
    "/v1/files/a%2Fb",
    "/v1/files/%2541",
    "https://files/v1/containers/<cntr_1>/files/<cfile_1>/content",
    "https://files.example/v1/files/<file-1>",
    "HTTP://FILES?after=<file-1>",
    "//files/v1/files/<file-1>",
    "/v1/messages/batches/<!msgbatch_1>/results",
    "/v1/models/resp_1",
    "/",
];

pub fn summary_json(summary: &Summary) -> Json {
    json!({
        "verdict": summary.verdict.name(), "keys": summary.keys, "refused": summary.refused,
        "unreadable": summary.unreadable, "existing": summary.existing,
        "unstored": summary.unstored, "uploads": summary.uploads, "downloads": summary.downloads,
        "quoted": text(summary.quoted()),
        "opened": summary.opened, "plain": summary.plain,
        "account": summary.account().map(|(pin, key)| json!({ "pin": hex64(pin), "key": key })),
    })
}

#[test]
fn bodies() {
    let keys = keys();
    let ring = IdRing::new(&keys, None).unwrap();
    let ids = IdSealer::new(&ring, b"", b"").unwrap();
    let pin = identity_hash(ACCOUNT);
    let known = |of: u64| of == pin || of == identity_hash(b"account-b");
    let (mut responses, mut requests, mut targets, mut locations) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let rules = Rules::new(ids, Mode::Seal);
    let sealing = Sealing { rules: &rules, pin, echo: &Echo::new(), origin: None };
    for written in sample(12, RESPONSES) {
        let body = with_ids(written);
        for api in [Ids::Both, Ids::Items] {
            let events = body.contains("data:");
            let mut sealer = if events { Sealer::events(api) } else { Sealer::json(api) };
            let mut out = Vec::new();
            for chunk in body.as_bytes().chunks(5) {
                sealer.push(&sealing, chunk, |part| out.extend_from_slice(part));
            }
            out.extend_from_slice(sealer.finish(&sealing));
            responses.push(case(|| {
                json!({
                    "ids": api.name(), "events": events, "body": body, "out": text(&out),
                    "sealed": sealer.sealed, "unexpected": sealer.unexpected(),
                })
            }));
        }
    }
    for mode in [Mode::Open, Mode::Seal, Mode::Strict] {
        let rules = Rules::new(ids, mode);
        let opening = Opening { rules: &rules, known: &known };
        for written in sample(12, REQUESTS) {
            let (mut body, mut summary) = (with_ids(written), Summary::new());
            if written.contains("gAAAAABo") {
                let mark = ids.mark(b"gAAAAABo", pin).unwrap();
                body = body.replace("gAAAAABo", &format!("gAAAAABo{}", text(&mark)));
            }
            let mut place = body.clone().into_bytes();
            let mut opener = Opener::new(Ids::Items);
            let len = opener.open_in_place(&opening, &mut summary, &mut place);
            requests.push(case(|| {
                json!({
                    "mode": mode.name(), "ids": "items", "body": body, "out": text(&place[..len]),
                    "unexpected": opener.unexpected(), "summary": summary_json(&summary),
                })
            }));
        }
        for written in sample(9, TARGETS) {
            let (target, mut summary) = (with_ids(written), Summary::new());
            let mut place = target.clone().into_bytes();
            let len = opening.open_target(Ids::Items, &mut summary, &mut place);
            targets.push(case(|| json!({
                "mode": mode.name(), "ids": "items", "target": target, "out": text(&place[..len]),
                "summary": summary_json(&summary),
            })));
        }
    }
    let sealing = Sealing { origin: Some(Origin { upstream: UPSTREAM, own: OWN }), ..sealing };
    for written in TARGETS {
        let (target, mut out) = (with_ids(written), [0; 1000]);
        let len = sealing.seal_target(Ids::Items, target.as_bytes(), &mut out).unwrap();
        locations.push(case(|| json!({ "target": target, "out": text(&out[..len]) })));
    }
    let with = json!({
        "ring": ring_json(&keys), "scope": "", "owner": "", "pin": hex64(pin),
        "upstream": text(UPSTREAM), "origin": text(OWN),
        "accounts": [hex64(pin), hex64(identity_hash(b"account-b"))],
    });
    compare(
        "id_bodies_v1.json",
        &[
            ("with", vec![with]),
            ("responses", responses),
            ("requests", requests),
            ("targets", targets),
            ("locations", locations),
        ],
    );
}
