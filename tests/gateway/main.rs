//! The parts that gateways in Rust share, against the guide to embedding and slow models.
#![cfg(feature = "alloc")]
#![deny(clippy::pedantic)]

use std::fs;

use serde_json::{Value, json};
use tokenpin::gateway::{Content, Refused, is_encoded, retry_after, the_one, unjoined};
use tokenpin::ids::{Fields, IdKey, Ids, KeyKind, Mode, Opening, Summary};
use tokenpin::{
    Config, CookieKey, Decision, Error, IdVerdict, Outcome, OwnedAffinity, PinState, Request, Role,
    Secret, Slot, SlotStatus, Source, State,
};
use tokenpin_test_support::ROOT;
use tokenpin_test_support::random::Random;

// Refusals

const PAGE: &str = "docs/guides/embedding.md";
/// A key of ids that JSON has to escape.
const ODD_KEY: &str = "a\"b\\c\n\u{1f} \u{7f}\u{e9}";
const NATIVE: &str = "resp_0123456789";

struct World {
    affinity: OwnedAffinity,
    /// The summary of a request that names `NATIVE`.
    summary: Summary,
    /// A decision without an account.
    decision: Decision,
}

impl World {
    fn new() -> Self {
        let ring = |byte| [CookieKey { id: 1, role: Role::Sign, secret: Secret::new([byte; 16]) }];
        let (cookie_keys, id_keys) = (ring(2), ring(3));
        let keys = [IdKey { name: ODD_KEY.as_bytes(), kind: KeyKind::Id }];
        let mut config = Config::new(Secret::new([1; 16]), &cookie_keys);
        config.ids.keys = &id_keys;
        config.ids.mode = Mode::Strict;
        config.ids.fields = Fields { keys: &keys, ..Fields::NONE };
        let slot = Slot::new(b"account", SlotStatus { state: State::Down, ..SlotStatus::UP });
        let affinity = OwnedAffinity::new(&config, vec![slot.unwrap()]).unwrap();
        let request = Request { now: 1_800_000_000, entropy: [7; 16], ..Request::default() };
        let decision = affinity.get().decide(&request, []).unwrap();
        let mut summary = Summary::new();
        let rules = affinity.get().id_rules(b"", b"", None).unwrap();
        let with = Opening { rules: &rules, known: &|_| true };
        let mut target = format!("/v1/responses/{NATIVE}").into_bytes();
        with.open_target(Ids::Both, &mut summary, &mut target);
        assert_eq!(summary.quoted(), NATIVE.as_bytes());
        Self { affinity, summary, decision }
    }

    fn key(&self, name: &str) -> u8 {
        let named = |number: &u8| self.affinity.get().id_key(*number) == Some(name.as_bytes());
        (0..u8::MAX).find(named).unwrap()
    }

    /// Returns a decision refused for ids under these keys.
    fn of_ids(&self, verdict: IdVerdict, keys: [u8; 2]) -> Decision {
        let (source, outcome) = (Source::Id, Outcome::Rejected);
        Decision { source, outcome, id_verdict: verdict, id_keys: keys, ..self.decision }
    }

    fn refused(&self, decision: &Decision, summary: Option<&Summary>) -> Refused {
        Refused::of_decision(self.affinity.get(), decision, summary)
    }

    /// Returns one answer for each row of the page.
    fn all(&self) -> Vec<Refused> {
        let none = u8::MAX;
        let rejected = Decision { outcome: Outcome::Rejected, ..self.decision };
        let decisions = [
            self.decision,
            Decision { pin_state: PinState::Down, ..rejected },
            rejected,
            self.of_ids(IdVerdict::Plain, [self.key("previous_response_id"), none]),
            self.of_ids(IdVerdict::BadSeal, [self.key("encrypted_content"), none]),
            self.of_ids(IdVerdict::Plain, [self.key("path"), none]),
            self.of_ids(IdVerdict::Conflict, [self.key("path"), self.key(ODD_KEY)]),
            self.of_ids(IdVerdict::Plain, [none, none]),
        ];
        let mut all: Vec<Refused> =
            decisions.iter().map(|decision| self.refused(decision, Some(&self.summary))).collect();
        all.extend([Refused::of_error(&Error::ScopeLength), Refused::of_error(&Error::Entropy)]);
        all.extend([Refused::too_large(), Refused::too_many(), Refused::unreadable()]);
        all.extend([Refused::wrong_type(), Refused::wrong_encoding(), Refused::wrong_protocol()]);
        all
    }
}

/// Returns the cells of each row of the page that has a code.
fn rows() -> Vec<Vec<String>> {
    let page = fs::read_to_string(format!("{ROOT}/{PAGE}")).unwrap();
    let (_, tables) = page.split_once("\n## Refusals\n").unwrap();
    let tables = tables.split("\n## Traps\n").next().unwrap();
    let cells = |row: &str| row.trim_matches('|').split(" | ").map(|it| it.trim().into()).collect();
    let is_row =
        |row: &&str| row.starts_with('|') && row.contains(" | `") && !row.contains("`code`");
    tables.lines().filter(is_row).map(cells).collect()
}

#[test]
fn the_page_tells_every_refusal() {
    let world = World::new();
    let mut told: Vec<String> = Vec::new();
    for refused in world.all() {
        let code = format!("`{}`", refused.code());
        let row = rows().into_iter().find(|row| row.contains(&code)).unwrap();
        let (status, message) = (&row[1], row.last().unwrap());
        let body: Value = serde_json::from_str(&refused.body(false)).unwrap();
        let fields = &body["error"];
        assert_eq!(fields["code"].as_str(), Some(refused.code()));
        assert_eq!(refused.status().to_string(), *status);
        let (first, second) = match refused.code() {
            "previous_response_not_found" => ("previous_response_id", ""),
            "not_found" => ("path", ""),
            "conflicting_accounts" => ("path", ODD_KEY),
            _ => ("", ""),
        };
        let text = message.replace("*id*", &format!(" '{NATIVE}'"));
        let text = text.replace("*key*", first).replace("*second key*", second);
        assert_eq!(fields["message"].as_str(), Some(&*text));
        let param = match row.get(3).filter(|_| row.len() == 5).map(String::as_str) {
            Some("key") => Some(first),
            Some("second key") => Some(second),
            _ => None,
        };
        assert_eq!(fields["param"].as_str(), param);
        let is_gateways = refused.status() >= 500 || refused.code() == "bad_tenant";
        let kind = if is_gateways { "gateway_error" } else { "invalid_request_error" };
        assert_eq!(fields["type"].as_str(), Some(kind));
        let of_anthropic = match refused.status() {
            404 => "not_found_error",
            413 => "request_too_large",
            400..500 => "invalid_request_error",
            _ => "api_error",
        };
        let wanted = json!({"type": "error", "error": {"type": of_anthropic, "message": text}});
        assert_eq!(serde_json::from_str::<Value>(&refused.body(true)).unwrap(), wanted);
        told.push(code);
    }
    for row in rows() {
        assert!(row.iter().any(|cell| told.contains(cell)), "no refusal has this row: {row:?}");
    }
}

#[test]
fn bodies_are_compact_and_in_the_order_of_the_page() {
    let refused = Refused::wrong_type();
    let message = "The request's body has to be JSON.";
    assert_eq!(
        refused.body(false),
        format!(
            r#"{{"error":{{"message":"{message}","type":"invalid_request_error","param":null,"code":"unsupported_content_type"}}}}"#
        )
    );
    assert_eq!(
        refused.body(true),
        format!(
            r#"{{"type":"error","error":{{"type":"invalid_request_error","message":"{message}"}}}}"#
        )
    );
    let world = World::new();
    let conflict = world.of_ids(IdVerdict::Conflict, [world.key(ODD_KEY), world.key("path")]);
    let body = world.refused(&conflict, None).body(false);
    assert!(
        body.contains("named by 'a\\\"b\\\\c\\u000a\\u001f \u{7f}\u{e9}' and 'path'"),
        "{body}"
    );
}

#[test]
fn no_id_is_quoted_where_none_was_read() {
    let world = World::new();
    let missing = world.of_ids(IdVerdict::Plain, [world.key("path"), u8::MAX]);
    for summary in [None, Some(&Summary::new())] {
        let body = world.refused(&missing, summary).body(false);
        assert!(body.contains("The object named by 'path' was not found."), "{body}");
    }
}

#[test]
fn headers_say_how_to_go_on() {
    let world = World::new();
    let json = ("content-type", "application/json");
    let retry_after = |seconds| Decision { retry_after: seconds, ..world.decision };
    for (refused, more) in [
        (Refused::unreadable(), &[][..]),
        (Refused::too_many(), &[("retry-after", "1")]),
        (Refused::wrong_encoding(), &[("accept-encoding", "identity")]),
        (Refused::wrong_protocol(), &[("upgrade", "HTTP/1.1"), ("connection", "upgrade")]),
        (world.refused(&retry_after(0), None), &[]),
        (world.refused(&retry_after(4_294_967_295), None), &[("retry-after", "4294967295")]),
    ] {
        let headers: Vec<_> = refused.headers().collect();
        let told: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        assert_eq!(told, [&[json], more].concat());
    }
}

// Headers

#[test]
fn content_types() {
    for (kind, values) in [
        (
            Content::Json,
            &[
                "",
                " ",
                ";charset=utf-8",
                "application/json",
                "APPLICATION/Json",
                "\tapplication/json ; charset=utf-8",
                "application/json, application/json",
                "application/vnd.api+JSON",
                "+json",
            ][..],
        ),
        (
            Content::Events,
            &["text/event-stream", "Text/Event-Stream;x", "text/event-stream,text/plain"],
        ),
        (Content::Multipart, &["multipart/form-data; boundary=x", "Multipart/mixed", "multipart/"]),
        (
            Content::Other,
            &[
                "text/plain",
                "application/jsonl",
                "application/x-json",
                "json",
                "text/event-streams",
                "multipart",
                "x+json x",
                "text/plain; application/json",
                "\u{fffd}",
            ],
        ),
    ] {
        for value in values {
            assert_eq!(Content::of(value.as_bytes()), kind, "{value}");
        }
    }
}

#[test]
fn encodings_of_all_fields_count() {
    for (encoded, fields) in [
        (false, &[][..]),
        (false, &[""]),
        (false, &[","]),
        (false, &[" , ,\t"]),
        (false, &["identity", "IDENTITY"]),
        (false, &["identity,identity", ""]),
        (true, &["gzip"]),
        (true, &["identity", "gzip"]),
        (true, &["", "br"]),
        (true, &["identity, br"]),
        (true, &[", gzip"]),
        (true, &["identity;q=1"]),
    ] {
        assert_eq!(is_encoded(fields.iter().map(|it| it.as_bytes())), encoded, "{fields:?}");
    }
}

#[test]
fn copies_of_a_value_are_one() {
    for (value, joined) in [
        ("", ""),
        ("alice", "alice"),
        ("alice,alice", "alice"),
        ("alice , alice,\talice", "alice"),
        ("alice,", "alice"),
        (",alice", "alice"),
        (",", ""),
        ("alice, bob", "alice, bob"),
        ("alice, Alice", "alice, Alice"),
        (" alice", "alice"),
    ] {
        assert_eq!(unjoined(value.as_bytes()), joined.as_bytes(), "{value:?}");
    }
    let one = |values: &[&'static str]| the_one(values.iter().map(|it| it.as_bytes()));
    assert_eq!(one(&[]), Some(&b""[..]));
    assert_eq!(one(&["", ""]), Some(&b""[..]));
    assert_eq!(one(&["", "a", "", "a"]), Some(&b"a"[..]));
    assert_eq!(one(&["a", "b"]), None);
    assert_eq!(one(&["a", "", "b", "a"]), None);
}

// The time to wait.

#[test]
fn numbers_are_rounded_up() {
    for (milliseconds, text, wanted) in [
        ("", "0", Some(0)),
        ("", "7", Some(7)),
        ("", "007", Some(7)),
        ("", "7.0", Some(7)),
        ("", "7.000001", Some(8)),
        ("", "18446744073709551615", Some(u64::MAX)),
        ("", "18446744073709551616", Some(u64::MAX)),
        ("", "99999999999999999999.5", Some(u64::MAX)),
        ("1", "60", Some(1)),
        ("1000", "", Some(1)),
        ("1000.5", "", Some(2)),
        ("1001", "", Some(2)),
        ("0", "60", Some(0)),
        // Unreadable values are ignored.
        ("soon", "60", Some(60)),
        ("-1", "60", Some(60)),
        ("", "", None),
        ("", " 7", None),
        ("", "7s", None),
        ("", "+7", None),
        ("", "1e3", None),
        ("", "7.", None),
        ("", ".5", None),
        ("", ".", None),
        ("", "1.2.3", None),
        ("", "\u{663}", None),
    ] {
        assert_eq!(
            retry_after(milliseconds.as_bytes(), text.as_bytes(), 0),
            wanted,
            "{milliseconds:?} {text:?}"
        );
    }
}

const WEEKDAYS: [&str; 7] =
    ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Every day from 1970 on, counted one by one.
#[test]
fn dates_in_three_forms() {
    let mut random = Random::new("dates_in_three_forms");
    let (mut year, mut month, mut day) = (1970, 0, 1);
    for days in 0_u64..130 * 366 {
        let (hour, minute, second) = (random.below(24), random.below(60), random.below(60));
        let then = days * 86400 + hour * 3600 + minute * 60 + second;
        let weekday = WEEKDAYS[usize::try_from(days % 7).unwrap()];
        let (short, name, time) =
            (&weekday[..3], MONTHS[month], format!("{hour:02}:{minute:02}:{second:02}"));
        let forms = [
            format!("{short}, {day:02} {name} {year} {time} GMT"),
            format!("{short} {name} {day:2} {time} {year}"),
            format!("{weekday}, {day:02}-{name}-{:02} {time} GMT", year % 100),
        ];
        for (form, near) in forms.iter().zip([false, false, true]) {
            // Two digits of a year mean a near year.
            let before = if near { then.min(1_000_000_000) } else { random.below(then + 1) };
            assert_eq!(
                retry_after(b"", form.as_bytes(), then - before.min(then)),
                Some(before.min(then)),
                "{form}"
            );
            assert_eq!(retry_after(b"", form.as_bytes(), then + 5), Some(0), "{form}");
        }
        let leaps = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let lengths = [31, if leaps { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        day += 1;
        if day > lengths[month] {
            (month, day) = (month + 1, 1);
        }
        if month == 12 {
            (year, month) = (year + 1, 0);
        }
    }
}

#[test]
fn what_is_no_date() {
    for text in [
        "Sun, 06 Nov 1994",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 08:49:37:01 GMT",
        "Sun, 06 Nov 1994 08:49:37 x GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nom 1994 08:49:37 GMT",
        "Sun, 06 anF 1994 08:49:37 GMT",
        "Sun, 06 JanFeb 1994 08:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 19940 08:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 :49:37 GMT",
        "Sun, 06 Nov 1994 08:49: GMT",
        "Sun Nov  6 08:49:37",
        "Sun Nov  6 08:49:37 1994 x",
        "GMT",
        " GMT",
        "Sun GMT",
    ] {
        assert_eq!(retry_after(b"", text.as_bytes(), 0), None, "{text}");
    }
    assert_eq!(retry_after(b"", b"Sun, 06 Nov 1932 08:49:37 GMT", 0), Some(0), "it is over");
    assert_eq!(retry_after(b"", b"\xff", 0), None);
}

/// 60 is a leap second; 94 is 1994 until 2044, and 2094 from then on.
#[test]
fn edges_of_dates() {
    let seconds = |text: &str, now| retry_after(b"", text.as_bytes(), now).map(|wait| now + wait);
    assert_eq!(seconds("Sat, 31 Dec 2016 23:59:60 GMT", 0), Some(1_483_228_800));
    let years = |year: u64| (year - 1970) * 31_556_952 + 1_000_000;
    let then = "Sunday, 06-Nov-94 08:49:37 GMT";
    assert_eq!(seconds(then, years(2043)), Some(years(2043)), "it is over");
    assert_eq!(seconds(then, years(2044)), Some(3_939_871_777));
}
