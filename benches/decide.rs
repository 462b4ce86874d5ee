//! Whole decisions, in the form that a gateway needs them.

use criterion::Criterion;
use tokenpin::{
    Affinity, Decision, KeyInput, Outcome, PinState, Request, Source, Verdict, identity_hash,
};

use crate::cookie_value::{AUDIENCE, anonymous, ring, value_of};
use crate::fixtures::{NOW, affinity, each, id, identity, ring_keys, text_keys};

/// Requests to draw from.
const REQUESTS: usize = 1024;
pub const SLOTS: u32 = 16;

/// Returns a `Cookie` field as a browser sends it, with `values` among other cookies.
pub fn field(values: &[String]) -> Vec<u8> {
    let name = str::from_utf8(AUDIENCE.name).unwrap_or("");
    let ours: Vec<_> = values.iter().map(|value| format!("{name}={value}")).collect();
    format!("theme=dark; {}; lang=en", ours.join("; ")).into_bytes()
}

pub fn value(number: usize, slot: u32) -> String {
    let pin = identity_hash(&identity(slot));
    String::from_utf8(value_of(&ring(), &anonymous(number, pin)).to_vec()).unwrap()
}

#[derive(Clone, Copy)]
pub struct Asked<'r> {
    pub request: Request<'r>,
    pub cookies: Option<&'r [u8]>,
}

impl Asked<'_> {
    pub fn decide(&self, affinity: &Affinity) -> Option<Decision> {
        affinity.decide(&self.request, self.cookies).ok()
    }
}

pub fn post(number: usize) -> Request<'static> {
    let (method, target) = (b"POST", b"/v1/responses");
    Request { method, target, now: NOW, entropy: id(number), ..Request::default() }
}

/// The six kinds of decision.
pub fn cases(affinity: &Affinity) -> Vec<(&'static str, Vec<Asked<'static>>)> {
    let home = |number| {
        let asked = Request { id_hint: Some(id(number)), ..post(number) };
        affinity.decide(&asked, []).ok().and_then(|decision| decision.slot).unwrap()
    };
    let with = |number, text: String| Asked {
        request: post(number),
        cookies: Some(field(&[text]).leak()),
    };
    let numbers = || 0..REQUESTS;
    let names = &*text_keys(36).leak();
    let consumer = numbers().map(|i| Asked {
        request: Request {
            consumer: KeyInput::new([names[i].as_slice()]).trusted(true),
            ..post(i)
        },
        cookies: None,
    });
    let at_home = numbers().map(|i| with(i, value(i, home(i))));
    let elsewhere = numbers().map(|i| with(i, value(i, (home(i) + 1) % SLOTS)));
    let forged = numbers().map(|i| {
        let mut text = value(i, home(i));
        let changed = if text.remove(30) == 'A' { 'B' } else { 'A' };
        text.insert(30, changed);
        with(i, text)
    });
    let minted = numbers().map(|i| Asked { request: post(i), cookies: Some(b"theme=dark") });
    let stateless = numbers().map(|i| Asked {
        request: Request { target: b"/v1/embeddings", ..post(i) },
        cookies: Some(b"theme=dark"),
    });
    vec![
        ("consumer", consumer.collect()),
        ("home", at_home.collect()),
        ("elsewhere", elsewhere.collect()),
        ("forged", forged.collect()),
        ("minted", minted.collect()),
        ("stateless", stateless.collect()),
    ]
}

/// Checks that each case is the one that its name says.
fn check(name: &str, decision: &Decision) {
    let Decision { source, outcome, pin_state, verdict, .. } = *decision;
    let right = match name {
        "consumer" => source == Source::Consumer && outcome == Outcome::Placed,
        "home" => outcome == Outcome::Pinned && pin_state == PinState::Home,
        "elsewhere" => outcome == Outcome::Pinned && pin_state == PinState::Elsewhere,
        "forged" => verdict == Verdict::BadTag && source == Source::Minted,
        "minted" => verdict == Verdict::Absent && source == Source::Minted,
        _ => source == Source::Stateless,
    };
    assert!(right, "{name}: {decision:?}");
}

pub fn bench(criterion: &mut Criterion) {
    let owned = affinity(SLOTS, &ring_keys(1));
    let affinity = owned.get();
    let mut group = criterion.benchmark_group("decide");
    for (name, asked) in cases(affinity) {
        for one in &asked {
            check(name, &one.decide(affinity).unwrap());
        }
        let asked: Vec<_> = asked.iter().collect();
        each(&mut group, name, "", &asked, |one| one.decide(affinity));
    }
    group.finish();
    grow(criterion);
}

/// With many cookies of our name, and with many keys in the ring.
fn grow(criterion: &mut Criterion) {
    let owned = affinity(SLOTS, &ring_keys(1));
    let one = owned.get();
    let mut group = criterion.benchmark_group("grow-cookies");
    for count in [1, 2, 4, 8, 16, 32, 64] {
        let values: Vec<_> = (0..count).map(|i| value(i, 0)).collect();
        let cookies = field(&values);
        let asked = [&Asked { request: post(0), cookies: Some(&cookies) }];
        let decision = asked[0].decide(one).unwrap();
        assert_eq!((decision.outcome, decision.ambiguous), (Outcome::Pinned, count > 1));
        each(&mut group, "valid", count, &asked, |asked| asked.decide(one));
    }
    group.finish();

    let mut group = criterion.benchmark_group("grow-ring");
    for len in 1..=8 {
        // The key that made the cookie is the last one.
        let mut keys = ring_keys(len);
        keys.reverse();
        let owned = affinity(SLOTS, &keys);
        let affinity = owned.get();
        let cookies = field(&[value(0, 0)]);
        let asked = [&Asked { request: post(0), cookies: Some(&cookies) }];
        assert_eq!(asked[0].decide(affinity).unwrap().outcome, Outcome::Pinned);
        each(&mut group, "last", len, &asked, |asked| asked.decide(affinity));
    }
    group.finish();
}
