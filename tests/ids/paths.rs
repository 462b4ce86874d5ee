//! Ids in paths, queries and header fields.

use tokenpin::ids::{Echo, Ids, Mode, Opening, Origin, Sealer, Sealing, Summary};
use tokenpin::{DEFAULT_RULES, Error, IdSealer, IdVerdict, classify};

use tokenpin_test_support::ids::number_of;
use tokenpin_test_support::sample::{cases, sample};

use crate::bodies::{known, rules, sealed};
use crate::world::{pin, ring};

fn id(native: &str, account: &str) -> String {
    let ring = ring();
    let sealed = IdSealer::new(&ring, b"", b"").unwrap().seal(native.as_bytes(), pin(account));
    String::from_utf8(sealed.unwrap().as_bytes().to_vec()).unwrap()
}

fn open(mode: Mode, target: &str) -> (String, Summary) {
    let ring = ring();
    let rules = rules(&ring, mode);
    let mut summary = Summary::new();
    let mut place = target.as_bytes().to_vec();
    let with = Opening { rules: &rules, known: &known };
    let len = with.open_target(Ids::Items, &mut summary, &mut place);
    (String::from_utf8(place[..len].to_vec()).unwrap(), summary)
}

/// Seals for an upstream that is reached under its own name.
fn seal(target: &str) -> String {
    let ring = ring();
    let rules = rules(&ring, Mode::Seal);
    let scheme = target.split_once("://").filter(|(scheme, _)| !scheme.contains(['/', '?', '#']));
    let rest = scheme.map(|(_, rest)| rest);
    let upstream = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    let origin = rest.zip(upstream).map(|(rest, upstream)| {
        let end = target.len() - rest.len() + upstream.len();
        Origin { upstream: upstream.as_bytes(), own: &target.as_bytes()[..end] }
    });
    let with = Sealing { rules: &rules, pin: pin("a"), echo: &Echo::new(), origin };
    let mut out = [0; 1000];
    let len = with.seal_target(Ids::Items, target.as_bytes(), &mut out).unwrap();
    let text = String::from_utf8(out[..len].to_vec()).unwrap();
    let short = with.seal_target(Ids::Items, target.as_bytes(), &mut out[..len - 1]);
    assert_eq!(short, Err(Error::BufferTooSmall { needed: len }));
    text
}

/// `<..>` is an id that is sealed.
const TARGETS: [&str; 32] = [
    // The same name twice; and other spellings of the same ids.
    "/v1/files?after=<file-1>&after=&after=<file-2>&AFTER=file-3&after_=file-4",
    "/v1/vector_stores/<vs_1>/files?%61fter=<file-1>&aft%65r=<file-2>&%2561fter=file-3",
    "/v1//files//<file-1>//content/",
    "//v1/files/<file-1>/",
    "/v1/%66iles/<file-1>/%63ontent",
    "/v1/vector_stores/<vs_1>/%73earch",
    "/files/<file-1>#/files/file-2?after=file-3",
    "/v1/files/<file-1>?x=/files/file-2&after=file-3?y&before=<file-4>#z",
    "files/<file-1>",
    // Only two slashes begin a host.
    "x:/files/<file-1>",
    "x://files/files/<file-1>",
    // A name is neither a collection nor an id.
    "/openai/deployments/files/chat/completions",
    "/openai/deployments/files/files/<file-1>",
    "/v1/models/%66iles/x/responses/<resp_1>",
    "/v1/models//files/x",
    "/v1/responses?conversation=<conv_1>&run_id=<run_1>&file_ids=file-1&id=resp_1",
    "/v1/responses/<resp_1>",
    "/v1/responses/<resp_1>/cancel",
    "/v1/responses/<resp_1>/input_items?after=<msg_1>&limit=5&order=asc",
    "/openai/v1/conversations/<conv_1>/items/<msg_1>?api-version=2",
    "/v1/vector_stores/<vs_1>/files/<file-1>",
    "/v1/vector_stores/<vs_1>/search",
    "/v1/threads/<thread_1>/runs/<run_1>/steps/<step_1>?before=<step_2>#f",
    "/v1/messages/batches/<msgbatch_1>/results?after_id=<msgbatch_2>",
    "https://host:8080/v1/files/<file-1>/content",
    "http://files/v1/files/<file-1>",
    "/v1/fine_tuning/jobs/<ftjob-1>/events?after=",
    "/v1/files?after=<file-1>&after=<file-2>",
    "/v1/responses/compact",
    "/v1/threads/runs",
    "/v1/evals/<eval_1>/runs/<evalrun_1>/output_items/<outputitem_1>",
    "/v1/containers/<cntr_1>/files/<cfile_1>/content?x=resp_1&=resp_1&resp_1",
];

fn with_ids(target: &str, of: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    for (i, part) in target.split(['<', '>']).enumerate() {
        out += &if i % 2 == 1 { of(part) } else { part.to_owned() };
    }
    out
}

#[test]
fn ids_stand_behind_collections_and_under_listed_names() {
    for target in sample(6, TARGETS) {
        let native = with_ids(target, str::to_owned);
        let sealed = with_ids(target, |native| id(native, "a"));
        // In a response, the target is then a path of another host.
        let leads_elsewhere = target.starts_with("//");
        assert_eq!(seal(&native), if leads_elsewhere { &native } else { &sealed }.as_str());
        assert_eq!(seal(&sealed), sealed, "stays as it is");
        for mode in [Mode::Open, Mode::Seal, Mode::Strict] {
            let (text, summary) = open(mode, &sealed);
            assert_eq!(text, native);
            let named = target.contains('<');
            assert_eq!(
                (summary.account().map(|(pin, _)| pin), summary.existing),
                (named.then(|| pin("a")), named),
                "{target}"
            );
            assert!(!summary.refused);
        }
        let (text, summary) = open(Mode::Seal, &native);
        assert_eq!((text, summary.existing), (native.clone(), target.contains('<')), "{target}");
        assert_eq!(open(Mode::Strict, &native).1.refused, target.contains('<'), "{target}");
        // In the mode off, a sealed id passes like any other.
        let (text, summary) = open(Mode::Off, &sealed);
        assert_eq!((&text, summary.existing), (&sealed, target.contains('<')));
        assert!(summary.verdict <= IdVerdict::Plain && summary.account().is_none());
    }
}

#[test]
fn where_responses_are_not_sealed_no_target_is() {
    let ring = ring();
    for (mode, ids) in [
        (Mode::Seal, Ids::None),
        (Mode::Seal, Ids::Open),
        (Mode::Off, Ids::Items),
        (Mode::Open, Ids::Items),
    ] {
        let rules = rules(&ring, mode);
        let origin = Some(Origin { upstream: b"api.example", own: b"http://gateway" });
        for target in ["/v1/files/file-1?after=file-2", "https://api.example/v1/files/file-1"] {
            let with = Sealing { rules: &rules, pin: pin("a"), echo: &Echo::new(), origin };
            let mut out = [0; 100];
            let len = with.seal_target(ids, target.as_bytes(), &mut out).unwrap();
            assert_eq!(&out[..len], target.as_bytes());
        }
    }
}

#[test]
fn a_host_is_no_collection() {
    for target in ["http://files/file-1", "https://responses/resp_1?x", "x://files"] {
        let (text, summary) = open(Mode::Strict, target);
        assert_eq!((text.as_str(), summary.verdict), (target, IdVerdict::None));
        assert_eq!(seal(target), target);
    }
}

#[test]
fn percent_encoding_is_taken_off_once() {
    let sealed = id("file-1", "a");
    let encoded = sealed.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
    let (text, summary) = open(Mode::Strict, &format!("/v1/files/{encoded}/content"));
    assert_eq!((text.as_str(), summary.verdict), ("/v1/files/file-1/content", IdVerdict::Sealed));
    let twice = encoded.replace('%', "%25");
    for (segment, refused) in [
        (twice.as_str(), true),
        ("a%2Fb", true),
        ("%zz", true),
        ("%4", true),
        ("%41", false),
        ("a.b", false),
    ] {
        let target = format!("/v1/files/{segment}");
        let (text, summary) = open(Mode::Seal, &target);
        assert_eq!(
            (text, summary.refused, summary.existing),
            (target.clone(), false, true),
            "{segment}"
        );
        assert_eq!(open(Mode::Strict, &target).1.refused, refused, "{segment}");
    }
    let long = format!("/v1/files/{}", "x".repeat(400));
    assert!(!open(Mode::Strict, &long).1.refused);
}

/// An upstream that decodes first sees an id here, and the gateway sees none. So `strict` refuses
/// all of these.
#[test]
fn a_segment_that_others_may_cut_or_decode_again_is_refused_in_strict() {
    for (target, refused) in [
        ("/v1/files%2Ffile-1", true),
        ("/v1%2ffiles/x", true),
        ("/v1/%2566iles/file-1", true),
        ("/v1/files/x/content%2", true),
        ("/v1/%66ile%73%zz/file-1", true),
        ("/v1/files?after=a%2Fb", true),
        ("/v1/files?after=%2541", true),
        ("/v1/files?x=a%2Fb%25", false),
        ("/v1/model/arn%3Aaws%2Ftasks/x", false),
        ("/v1/files/a%20b", false),
        ("/v1/files#%2F", false),
        ("https://%2F/v1/files", false),
    ] {
        let (text, summary) = open(Mode::Strict, target);
        assert_eq!((text.as_str(), summary.refused), (target, refused), "{target}");
        assert_eq!(summary.verdict == IdVerdict::None, !refused && !target.ends_with('b'));
        assert!(!open(Mode::Seal, target).1.refused, "{target}");
    }
    let both = open(Mode::Strict, "/v1/files?after=a%2Fb&run_id=c%2Fd").1;
    assert_eq!(both.keys, [number_of("after"), 255]);
    // Of several refusals the first is reported.
    let target = format!("/v1/files/{}x/a%2Fb", id("file-1", "a").replace("file", "fine"));
    assert_eq!(open(Mode::Strict, &target).1.keys, [0, 255]);
}

/// If classification says that a POST creates, no segment of its path is taken for an id.
#[test]
fn the_path_of_what_creates_names_nothing() {
    for rule in sample(3, DEFAULT_RULES.iter().filter(|rule| rule.ids != Ids::None)) {
        let pattern = std::str::from_utf8(rule.pattern).unwrap().replace('*', "m");
        for front in ["", "/v1", "/openai/deployments/files", "https://files"] {
            for target in [format!("{front}/{pattern}"), format!("{front}/{pattern}/?x=files/1")] {
                let class = classify(&[], false, true, b"POST", target.as_bytes());
                let (text, summary) = open(Mode::Seal, &target);
                assert_eq!(text, target);
                assert!(class.existing || !summary.existing, "{target}");
            }
        }
    }
}

#[test]
fn two_accounts_in_a_target_are_a_conflict() {
    let target = format!(
        "/v1/vector_stores/{}/files/{}?after={}",
        id("vs_1", "a"),
        id("file-1", "b"),
        id("file-2", "a")
    );
    let (text, summary) = open(Mode::Seal, &target);
    assert_eq!((summary.verdict, summary.keys), (IdVerdict::Conflict, [0, 0]));
    assert!(text.ends_with(&id("file-2", "a")), "nothing behind it is opened");
    let target = format!("/v1/files/{}?after={}", id("file-1", "a"), id("file-2", "b"));
    assert_eq!(open(Mode::Seal, &target).1.keys, [0, number_of("after")]);
}

/// The reverse holds too, and also for strings that are no target: no panic, and never longer.
#[test]
fn any_target_comes_back() {
    let mut random = tokenpin_test_support::random::Random::new("targets");
    for _ in 0..cases(20_000, 20) {
        let mut target = String::new();
        for _ in 0..random.below(12) {
            let part = match random.below(14) {
                12 => "//".into(),
                13 => "/deployments/".into(),
                0 => id("file-1", "a"),
                1 => "resp_1".into(),
                2 => "%2".into(),
                n => ["/", "?", "#", "&", "=", "after", "/files/", "https:", "%41"]
                    [usize::try_from(n - 3).unwrap()]
                .to_owned(),
            };
            target += &part;
        }
        let (text, _) = open(Mode::Open, &target);
        assert!(text.len() <= target.len());
        let natively = target.replace(&id("file-1", "a"), "file-1");
        if text != target {
            assert!(text.contains("file-1"));
        }
        if !natively.is_empty() {
            assert_eq!(open(Mode::Open, &seal(&natively)).0, natively, "{natively}");
        }
    }
}

/// Returns a rewritten header field; `None` if it stays as it is.
#[test]
fn locations_are_sealed_unless_they_lead_elsewhere() {
    let ring = ring();
    let rules = rules(&ring, Mode::Seal);
    let origin = Some(Origin { upstream: b"api.example", own: b"http://gw:1" });
    let file = id("file-1", "a");
    for (location, sealed, needs_origin) in [
        ("/v1/files/file-1", Some("/v1/files/<>"), false),
        ("../files/file-1?after=file-1#file-1", Some("../files/<>?after=<>#file-1"), false),
        ("/v1/models/m", Some("/v1/models/m"), false),
        ("?after=file-1", Some("?after=<>"), false),
        ("https://api.example/v1/files/file-1", Some("http://gw:1/v1/files/<>"), true),
        ("HTTP://API.example/files/file-1#x", Some("http://gw:1/files/<>#x"), true),
        ("x://api.example?after=file-1", Some("http://gw:1?after=<>"), true),
        ("https://api.example:444/v1/files/file-1", None, true),
        ("https://blobs.example/files/file-1?sig=x", None, true),
        ("https://api.example.org/files/file-1", None, true),
        ("https://api.example", Some("http://gw:1"), true),
        ("//api.example/files/file-1", None, false),
        ("://api.example/files/file-1", Some("://api.example/files/<>"), false),
        (
            "/v1/files/x?next=https://other/files/file-1",
            Some("/v1/files/x?next=https://other/files/file-1"),
            false,
        ),
        ("https://api.example//files/file-1", Some("http://gw:1//files/<>"), true),
        ("", Some(""), false),
    ] {
        for origin in [None, origin] {
            let with = Sealing { rules: &rules, pin: pin("a"), echo: &Echo::new(), origin };
            let expected = sealed.filter(|_| origin.is_some() || !needs_origin);
            let expected = expected.map(|text| text.replace("<>", &file));
            let mut out = [0; 300];
            let needed = with.seal_target(Ids::Items, location.as_bytes(), &mut out).unwrap();
            let got = String::from_utf8(out[..needed].to_vec()).unwrap();
            assert_eq!(got, expected.unwrap_or_else(|| location.to_owned()), "{location}");
            if needed > 0 {
                let short = &mut out[..needed - 1];
                let short = with.seal_target(Ids::Items, location.as_bytes(), short);
                assert_eq!(short, Err(Error::BufferTooSmall { needed }), "{location}");
            }
        }
    }
}

#[test]
fn absolute_urls_of_the_upstream_lead_back_through_the_gateway() {
    let ring = ring();
    let seal = |mode, origin, body: &str| {
        let rules = rules(&ring, mode);
        let with = Sealing { rules: &rules, pin: pin("a"), echo: &Echo::new(), origin };
        let out = sealed(&mut Sealer::json(Ids::Both), &with, &[body.as_bytes()]);
        let (front, back) = body.as_bytes().split_at(body.len() / 2);
        assert_eq!(sealed(&mut Sealer::json(Ids::Both), &with, &[front, back]), out, "cut");
        String::from_utf8(out).unwrap()
    };
    let origin = Some(Origin { upstream: b"api.example.com", own: b"http://gateway:8080" });
    let body =
        r#"{"results_url":"https:\/\/API.example.com/v1/messages/batches/msgbatch_1/results?x=1"}"#;
    let expected = format!(
        r#"{{"results_url":"http://gateway:8080/v1/messages/batches/{}/results?x=1"}}"#,
        id("msgbatch_1", "a")
    );
    assert_eq!(seal(Mode::Seal, origin, body), expected);
    // With any scheme of the upstream.
    let plain = body.replacen("https:", "http:", 1);
    assert_eq!(seal(Mode::Seal, origin, &plain), expected);
    assert_eq!(seal(Mode::Seal, None, body), body);
    assert_eq!(seal(Mode::Open, origin, body), body);
    for other in [
        r#"{"results_url":"https://other.example.com/v1/messages/batches/msgbatch_1/results"}"#,
        r#"{"results_url":"https://api.example.com.evil/v1/files/file-1"}"#,
        r#"{"results_url":"/v1/files/file-1"}"#,
        r#"{"results_url":"https://api.example.com/v1/files/file-1\"\\"}"#,
        r#"{"results_url":"https://api.example.com/v1/files/file-1/ä"}"#,
        r#"{"results_url":"https://api.example.com/v1/files/file-1/ x"}"#,
        r#"{"results_url":"https://api.example.com/v1/files/file-1/\u0000"}"#,
        r#"{"results_url":"https:/v1/api.example.com/files/file-1"}"#,
        r#"{"results_url":null}"#,
        // The result would be too long for an id.
        &format!(r#"{{"results_url":"https://api.example.com{}"}}"#, "/files/file-1".repeat(30)),
    ] {
        assert_eq!(seal(Mode::Seal, origin, other), other);
    }
}

#[test]
fn a_path_says_what_its_bodies_are() {
    for (target, uploads, downloads) in [
        ("/v1/files", true, false),
        ("/v1/files/file-1/content", true, true),
        ("/v1/files/file-1/content/", true, true),
        ("/v1/files/file-1//content//?content=x#content", true, true),
        ("/v1/files/file-1/c%6Fntent", true, true),
        ("/v1/files/file-1/content/x", true, false),
        ("/v1/%66iles", true, false),
        ("/v1/files%2F", false, false),
        ("/v1/Files/Content", false, false),
        ("/v1/videos/video_1/content?variant=x", true, true),
        ("/v1/containers/cntr_1/files", true, false),
        ("/v1/messages/batches/msgbatch_1/results", false, true),
        ("https://files/v1/responses", false, false),
        ("https://host/v1/uploads/upload_1/parts", true, false),
        ("/v1/responses/resp_1?x=/files/content", false, false),
        ("/v1/responses#/files/content", false, false),
        // Names.
        ("/openai/deployments/files/chat/completions", false, false),
        ("/v1/models/content", false, false),
        ("/v1/models//content", false, false),
        ("/v1/models/x/content", false, true),
        ("/v1/images/edits", true, false),
        ("", false, false),
    ] {
        for mode in [Mode::Off, Mode::Seal, Mode::Strict] {
            let (_, summary) = open(mode, target);
            assert_eq!((summary.uploads, summary.downloads), (uploads, downloads), "{target}");
        }
    }
}
