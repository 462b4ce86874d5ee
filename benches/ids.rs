//! Sealing and opening one id, and rewriting bodies. The comparisons are copying the bodies, and
//! what a gateway does without a scanner: reading them into a tree, changing it and writing it
//! again, or using a regular expression.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use regex::bytes::{Captures, Regex};
use serde_json::Value as Json;
use simd_json::OwnedValue;
use tokenpin::ids::{Echo, Ids, Mode, Opener, Opening, Rules, Sealer, Sealing, Summary};
use tokenpin::{IdRing, IdSealer, identity_hash};

use crate::fixtures::{each, hashes, ring_keys};

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

const DIGITS: &str = "67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41";
/// The size in which a proxy reads from a socket.
const CHUNK: usize = 16 << 10;

/// Ids of 24 bytes in hexadecimal digits, UUIDs, and others.
fn natives(kind: &str) -> Vec<String> {
    let one = |&hash: &u64| {
        let digits = format!("{hash:016x}{:016x}{:016x}", hash.rotate_left(17), !hash);
        match kind {
            "packed" => format!("resp_{digits}"),
            "uuid" => format!(
                "msg_{}-{}-{}-{}-{}",
                &digits[..8],
                &digits[8..12],
                &digits[12..16],
                &digits[16..20],
                &digits[20..32]
            ),
            _ => format!("file-{}", digits[..22].to_uppercase()),
        }
    };
    hashes().iter().map(one).collect()
}

/// Returns an answer of 1.5 MB with occasional line breaks.
fn long_text() -> Vec<u8> {
    let line = "The quick brown fox jumps over the lazy dog, and then some more words. ";
    let text: String =
        (0..20_000).map(|i| line.to_owned() + if i % 4 == 0 { "\\n" } else { "" }).collect();
    format!(
        r#"{{"id":"resp_{DIGITS}","output":[{{"id":"msg_{DIGITS}","content":[{{"type":"output_text","text":"{text}"}}]}}]}}"#
    )
    .into_bytes()
}

/// Returns a stream of deltas of a word each.
fn deltas() -> Vec<u8> {
    let event = |i: u32| {
        format!(
            "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"sequence_number\":{i},\"item_id\":\"msg_{DIGITS}\",\"output_index\":0,\"content_index\":0,\"delta\":\" word{i}\",\"logprobs\":[],\"obfuscation\":\"aZ3kd9\"}}\n\n"
        )
    };
    (0..3_000).flat_map(|i| event(i).into_bytes()).collect()
}

/// Returns a page of 5000 files with different ids.
fn list() -> Vec<u8> {
    let file = |i: usize| {
        format!(
            r#"{{"id":"file-{i:022}","object":"file","bytes":120000,"created_at":1677610602,"filename":"data.jsonl","purpose":"fine-tune"}}"#
        )
    };
    let files: Vec<_> = (0..5_000).map(file).collect();
    format!(r#"{{"object":"list","data":[{}],"has_more":false}}"#, files.join(",")).into_bytes()
}

/// Returns a history of 2000 messages that the client carries, and one id that names its account.
fn request(sealer: &IdSealer<'_>, pin: u64) -> Vec<u8> {
    let seal = |native: String| {
        String::from_utf8(sealer.seal(native.as_bytes(), pin).unwrap().as_bytes().to_vec()).unwrap()
    };
    let message = |i: usize| {
        let id = seal(format!("msg_{:050x}", i + 1));
        format!(
            r#"{{"type":"message","role":"assistant","id":"{id}","content":[{{"type":"output_text","text":"{}"}}]}}"#,
            "words of an earlier turn ".repeat(12)
        )
    };
    let input: Vec<_> = (0..2_000).map(message).collect();
    let previous = seal(format!("resp_{DIGITS}"));
    format!(r#"{{"model":"m","input":[{}],"previous_response_id":"{previous}"}}"#, input.join(","))
        .into_bytes()
}

/// The keys that the peers look for; the library's own table is longer.
const KEYS: [&str; 3] = ["id", "item_id", "previous_response_id"];

/// Returns the replacement of an id: its seal, or its native form.
type Change<'a> = &'a dyn Fn(&[u8]) -> Option<Vec<u8>>;

fn changed(key: &str, id: &str, change: Change<'_>) -> Option<String> {
    let id = KEYS.contains(&key).then(|| change(id.as_bytes()))??;
    Some(String::from_utf8(id).unwrap())
}

fn change_json(json: &mut Json, change: Change<'_>) {
    match json {
        Json::Object(members) => {
            for (key, value) in members {
                match value {
                    Json::String(id) => {
                        *id = changed(key, id, change).unwrap_or(std::mem::take(id));
                    }
                    other => change_json(other, change),
                }
            }
        }
        Json::Array(elements) => elements.iter_mut().for_each(|it| change_json(it, change)),
        _ => (),
    }
}

fn change_simd(json: &mut OwnedValue, change: Change<'_>) {
    match json {
        OwnedValue::Object(members) => {
            for (key, value) in members.iter_mut() {
                match value {
                    OwnedValue::String(id) => {
                        *id = changed(key, id, change).unwrap_or(std::mem::take(id));
                    }
                    other => change_simd(other, change),
                }
            }
        }
        OwnedValue::Array(elements) => elements.iter_mut().for_each(|it| change_simd(it, change)),
        OwnedValue::Static(_) | OwnedValue::String(_) => (),
    }
}

/// Calls for each document of a body: the body, or the text behind `data: ` on a line of a stream
/// of events.
fn documents(
    body: &[u8],
    events: bool,
    out: &mut Vec<u8>,
    through: &mut dyn FnMut(&[u8], &mut Vec<u8>),
) {
    out.clear();
    if !events {
        return through(body, out);
    }
    for line in body.split_inclusive(|&byte| byte == b'\n') {
        if let Some(data) = line.strip_prefix(b"data: ") {
            out.extend_from_slice(b"data: ");
            through(data, out);
            out.push(b'\n');
        } else {
            out.extend_from_slice(line);
        }
    }
}

fn through_serde_json(data: &[u8], out: &mut Vec<u8>, change: Change<'_>) {
    let mut json: Json = serde_json::from_slice(data).unwrap();
    change_json(&mut json, change);
    serde_json::to_writer(out, &json).unwrap();
}

/// The reader works in place, so it reads `copy`.
fn through_simd_json(data: &[u8], out: &mut Vec<u8>, copy: &mut Vec<u8>, change: Change<'_>) {
    copy.clear();
    copy.extend_from_slice(data);
    let mut json = simd_json::to_owned_value(copy).unwrap();
    change_simd(&mut json, change);
    simd_json::to_writer(out, &json).unwrap();
}

/// Searches the raw text for the keys. It also changes matches within a string.
fn through_regex(body: &[u8], out: &mut Vec<u8>, regex: &Regex, change: Change<'_>) {
    let replaced = regex.replace_all(body, |found: &Captures<'_>| {
        let mut text = found[1].to_vec();
        text.extend(change(&found[2]).unwrap_or_else(|| found[2].to_vec()));
        text.push(b'"');
        text
    });
    out.clear();
    out.extend_from_slice(&replaced);
}

pub fn bench(criterion: &mut Criterion) {
    let ring = IdRing::new(&ring_keys(1), None).unwrap();
    let ids = IdSealer::new(&ring, b"", b"").unwrap();
    let pin = identity_hash(b"account-0");

    let mut group = criterion.benchmark_group("id");
    for kind in ["packed", "uuid", "text"] {
        let natives = natives(kind);
        let seal = |native: &String| ids.seal(native.as_bytes(), pin).unwrap().as_bytes().to_vec();
        let sealed: Vec<_> = natives.iter().map(seal).collect();
        let natives: Vec<_> = natives.iter().map(String::as_bytes).collect();
        let sealed: Vec<_> = sealed.iter().map(Vec::as_slice).collect();
        each(&mut group, "seal", kind, &natives, |native| ids.seal(native, pin));
        each(&mut group, "open", kind, &sealed, |text| ids.open(text));
    }
    group.finish();

    let rules = Rules::new(ids, Mode::Seal);
    let echo = Echo::new();
    let with = Sealing { rules: &rules, pin, echo: &echo, origin: None };
    let mut group = criterion.benchmark_group("rewrite");
    for (name, body, events) in
        [("text", long_text(), false), ("deltas", deltas(), true), ("list", list(), false)]
    {
        group.throughput(Throughput::Bytes(body.len() as u64));
        let new = || if events { Sealer::events(Ids::Items) } else { Sealer::json(Ids::Items) };
        let mut out = Vec::with_capacity(2 * body.len());
        group.bench_function(BenchmarkId::new("tokenpin", name), |bencher| {
            bencher.iter(|| {
                let mut sealer = new();
                out.clear();
                for chunk in black_box(&body).chunks(CHUNK) {
                    sealer.push(&with, chunk, |part| out.extend_from_slice(part));
                }
                out.extend_from_slice(sealer.finish(&with));
                assert!(sealer.sealed > 0);
                out.len()
            });
        });
        peers(&mut group, name, &body, events, &|id| {
            ids.seal(id, pin).map(|sealed| sealed.as_bytes().to_vec())
        });
        group.bench_function(BenchmarkId::new("memcpy", name), |bencher| {
            bencher.iter(|| {
                out.clear();
                out.extend_from_slice(black_box(&body));
                out.len()
            });
        });
    }
    let body = request(&ids, pin);
    let known = |it: u64| it == pin;
    let with = Opening { rules: &rules, known: &known };
    group.throughput(Throughput::Bytes(body.len() as u64));
    let mut place = body.clone();
    group.bench_function(BenchmarkId::new("open_in_place", "request"), |bencher| {
        bencher.iter(|| {
            place.copy_from_slice(black_box(&body));
            let mut summary = Summary::new();
            let len = Opener::new(Ids::Items).open_in_place(&with, &mut summary, &mut place);
            assert_eq!(summary.opened, 2_001);
            len
        });
    });
    peers(&mut group, "request", &body, false, &|id| ids.open(id).1.map(|it| it.native().to_vec()));
    group.finish();
}

fn peers(group: &mut Group<'_>, name: &str, body: &[u8], events: bool, change: Change<'_>) {
    let regex = Regex::new(&format!(r#"("(?:{})":\s*")([\w-]+)""#, KEYS.join("|"))).unwrap();
    let (mut out, mut copy) = (Vec::with_capacity(2 * body.len()), Vec::with_capacity(body.len()));
    group.bench_function(BenchmarkId::new("serde_json", name), |bencher| {
        bencher.iter(|| {
            documents(black_box(body), events, &mut out, &mut |data, out| {
                through_serde_json(data, out, change);
            });
            assert!(out.len() != body.len());
        });
    });
    group.bench_function(BenchmarkId::new("simd_json", name), |bencher| {
        bencher.iter(|| {
            documents(black_box(body), events, &mut out, &mut |data, out| {
                through_simd_json(data, out, &mut copy, change);
            });
            assert!(out.len() != body.len());
        });
    });
    group.bench_function(BenchmarkId::new("regex", name), |bencher| {
        bencher.iter(|| {
            through_regex(black_box(body), &mut out, &regex, change);
            assert!(out.len() != body.len());
        });
    });
}
