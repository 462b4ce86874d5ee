//! The effect of a response on its account.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokenpin_tower::tokenpin::{SlotStatus, State};
use tokenpin_tower::{Cooldown, Retry};

use crate::stand::*;

/// The account of one request that is answered so, with when it was.
fn after(gateway: &Gateway) -> (u32, SlotStatus, u64) {
    let now = unix_now();
    let (_, seen) = gateway.pass(empty(post("/v1/embeddings")));
    (seen.slot(), gateway.slot(seen.slot()), now)
}

fn answering(status: u16, fields: &'static [(&'static str, &'static str)]) -> Provider {
    Provider::new(move |_| {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        response.body("{}".into()).unwrap()
    })
}

#[test]
fn a_limit_and_a_refused_credential_drain() {
    for status in 200..600 {
        let gateway = gateway(generation(), answering(status, &[]));
        let (slot, found, now) = after(&gateway);
        if [401, 429].contains(&status) {
            assert_eq!(found.state, State::Draining, "{status}");
            assert!((now + 30..now + 35).contains(&found.until), "{status}");
            assert_eq!(found.state_at(found.until), State::Up);
        } else {
            assert_eq!(found, SlotStatus::UP, "{status}");
        }
        for other in (0..3).filter(|other| *other != slot) {
            assert_eq!(gateway.slot(other), SlotStatus::UP);
        }
    }
}

/// One client cannot keep the others from being served, sessions by their own accounts.
#[test]
fn by_default_no_answer_takes_an_account_from_others() {
    for status in 400..600 {
        let answer = move |seen: &Seen| {
            reply(if seen.parts.headers.contains_key("x-bad") { status } else { 200 })
        };
        let gateway = gateway(generation().retry(Retry::default()), Provider::new(answer));
        let (first, seen) = gateway.pass(empty(post("/v1/responses")));
        let (home, cookie) = (seen.slot(), first.cookie().unwrap());
        for request in ["/v1/embeddings", "/v1/responses"].repeat(20) {
            let reply = gateway.send(with(post(request), [("x-bad", "")]));
            assert_eq!(reply.status().as_u16(), status);
        }
        let mut slots = [0; 3];
        for _ in 0..60 {
            let (reply, seen) = gateway.pass(empty(post("/v1/responses")));
            assert_eq!(reply.status(), StatusCode::OK, "{status}");
            slots[seen.slot() as usize] += 1;
        }
        assert!(slots.iter().all(|&count| count > 0), "{status}: {slots:?}");
        let (_, seen) = gateway.pass(with(get("/v1/responses/1"), [("cookie", &*cookie)]));
        assert_eq!(seen.slot(), home);
    }
}

#[test]
fn the_provider_says_for_how_long() {
    for (fields, seconds) in [
        (&[("retry-after", "7")][..], 7),
        (&[("retry-after", "0")], 1),
        (&[("retry-after", "0.5")], 1),
        (&[("retry-after", "2.0")], 2),
        (&[("retry-after", "2.000000000000000000000001")], 3),
        (&[("retry-after", "3599")], 3599),
        (&[("retry-after", "3601")], 3600),
        (&[("retry-after", "99999999999999999999999999")], 3600),
        // A few more than 64 bits hold.
        (&[("retry-after", "18446744073709551620")], 3600),
        (&[("retry-after-ms", "300")], 1),
        (&[("retry-after-ms", "2000")], 2),
        (&[("retry-after-ms", "2000.1")], 3),
        (&[("retry-after-ms", "99999999999999999999999999")], 3600),
        (&[("retry-after", "50"), ("retry-after-ms", "1500")], 2),
        (&[("retry-after", "50"), ("retry-after-ms", "soon")], 50),
        (&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], 1),
        (&[("retry-after", "Sunday, 06-Nov-94 08:49:37 GMT")], 1),
        (&[("retry-after", "Sun Nov  6 08:49:37 1994")], 1),
        (&[("retry-after", "Fri, 01 Jan 2100 00:00:00 GMT")], 3600),
        // Not understood.
        (&[("retry-after", "")], 30),
        (&[("retry-after", "soon")], 30),
        (&[("retry-after", "-1")], 30),
        (&[("retry-after", "+1")], 30),
        (&[("retry-after", "1e3")], 30),
        (&[("retry-after", "1.")], 30),
        (&[("retry-after", ".5")], 30),
        (&[("retry-after", "1.5.5")], 30),
        (&[("retry-after", "1 2")], 30),
        (&[("retry-after", "Sun, 06 Nov 1994")], 30),
    ] {
        for status in [401, 429] {
            let gateway = gateway(generation(), answering(status, fields));
            let (_, found, now) = after(&gateway);
            assert!(
                (now + seconds..now + seconds + 5).contains(&found.until),
                "{status} {fields:?}: {found:?} at {now}"
            );
        }
    }
    // A date that is near.
    let soon = SystemTime::now() + Duration::from_secs(100);
    let provider = Provider::new(move |_| {
        let date = httpdate::fmt_http_date(soon);
        Response::builder().status(429).header("retry-after", date).body("".into()).unwrap()
    });
    let (_, found, now) = after(&gateway(generation(), provider));
    assert!((now + 95..now + 105).contains(&found.until), "{found:?} at {now}");
}

#[test]
fn the_first_cooldown_that_has_the_status_counts() {
    let down = |status: u16, seconds, retry_after| Cooldown {
        statuses: vec![StatusCode::from_u16(status).unwrap(), StatusCode::IM_A_TEAPOT],
        state: State::Down,
        seconds,
        retry_after,
    };
    let cooldowns = vec![down(429, 10, None), down(503, 20, Some(40)), down(429, 1000, Some(1000))];
    for (status, fields, seconds) in [
        (429, &[("retry-after", "100")][..], Some(10)),
        (418, &[], Some(10)),
        (503, &[], Some(20)),
        (503, &[("retry-after", "100")], Some(40)),
        (401, &[], None),
    ] {
        let gateway = gateway(generation().cooldowns(cooldowns.clone()), answering(status, fields));
        let (_, found, now) = after(&gateway);
        match seconds {
            None => assert_eq!(found, SlotStatus::UP),
            Some(seconds) => {
                assert_eq!(found.state, State::Down);
                assert!(
                    (now + seconds..now + seconds + 5).contains(&found.until),
                    "{status} {fields:?}"
                );
            }
        }
    }
    let off = gateway(generation().cooldowns(vec![]), answering(429, &[]));
    assert_eq!(after(&off).1, SlotStatus::UP);
}

/// The effect of one response on an account that has a state already.
#[test]
fn a_cooldown_makes_nothing_better_and_leaves_the_hosts_word() {
    let now = unix_now();
    let status = |state, until| SlotStatus { state, until, weight: 1234 };
    // A status, and for how many seconds.
    let drain = |seconds: &'static str| (429, seconds);
    let down = (403, "");
    for (hosts, responses, expected) in [
        // A declared state stays after every response.
        (status(State::Draining, 0), vec![drain("10"), down], (State::Draining, 0)),
        (status(State::Draining, now + 50), vec![drain("100"), down], (State::Draining, now + 50)),
        (status(State::Down, now + 9000), vec![drain("10")], (State::Down, now + 9000)),
        // Over, so it is up.
        (status(State::Draining, now - 1), vec![drain("10")], (State::Draining, now + 10)),
        (status(State::Up, 0), vec![drain("10")], (State::Draining, now + 10)),
        // Longer and worse ones count, shorter and better ones do not.
        (status(State::Up, 0), vec![drain("10"), drain("60")], (State::Draining, now + 60)),
        (status(State::Up, 0), vec![drain("60"), drain("10")], (State::Draining, now + 60)),
        (status(State::Up, 0), vec![drain("900"), down], (State::Down, now + 300)),
        (status(State::Up, 0), vec![down, drain("900")], (State::Down, now + 300)),
    ] {
        let answers = responses.clone();
        let count = std::sync::atomic::AtomicUsize::new(0);
        let provider = Provider::new(move |_| {
            let (code, seconds) = answers[count.fetch_add(1, std::sync::atomic::Ordering::Relaxed)];
            let response = Response::builder().status(code).header("retry-after", seconds);
            response.body("".into()).unwrap()
        });
        let gateway = gateway(generation().cooldowns(taking_down(&[403])), provider.clone());
        let (first, cookie) = {
            let ok = Gateway { layer: gateway.layer.clone(), provider: Provider::ok() };
            let (reply, seen) = ok.pass(empty(post("/v1/responses")));
            (seen.slot(), reply.cookie().unwrap())
        };
        gateway.layer.current().set_slot(first, hosts).unwrap();
        let service = Gateway { layer: gateway.layer.clone(), provider };
        for _ in &responses {
            // Its session is answered so; one that is down by now answers to requests under way,
            // which is the same.
            in_flight(&service, first, &cookie);
        }
        let found = gateway.slot(first);
        assert_eq!((found.state, found.weight), (expected.0, 1234), "{hosts:?} {responses:?}");
        let far = found.until.abs_diff(expected.1);
        assert!(far <= 5, "{hosts:?} {responses:?}: {found:?} at {now}");
    }
}

/// A response of the account in `slot`, in any state of the account: its request was decided while
/// it was up.
fn in_flight(gateway: &Gateway, slot: u32, cookie: &str) {
    use tower::{Layer, Service, ServiceExt};
    let generation = gateway.layer.current();
    let before = generation.affinity().get_slot(slot).unwrap();
    // Only the affinity's word changes meanwhile, so that the generation does not take it for the
    // host's.
    generation.affinity().set_slot(slot, SlotStatus::UP).unwrap();
    block_on(async {
        let mut service = gateway.layer.layer(gateway.provider.clone());
        let request = with(get("/v1/responses/1"), [("cookie", cookie)]);
        let response =
            ServiceExt::<Request<Full<Bytes>>>::ready(&mut service).await.unwrap().call(request);
        generation.affinity().set_slot(slot, before).unwrap();
        response.await.unwrap();
    });
}

#[test]
fn newcomers_avoid_an_account_that_cools_down_and_sessions_do_not() {
    let provider = Provider::new(|seen| reply(if seen.slot() == 1 { 429 } else { 200 }));
    let gateway = gateway(generation(), provider);
    // Until slot 1 was met.
    while gateway.slot(1) == SlotStatus::UP {
        gateway.send(empty(post("/v1/embeddings")));
    }
    for _ in 0..60 {
        let (_, seen) = gateway.pass(empty(post("/v1/responses")));
        assert_ne!(seen.slot(), 1);
    }
}

#[test]
fn a_change_by_the_host_ends_a_cooldown() {
    let gateway = gateway(generation().cooldowns(taking_down(&[401])), answering(401, &[]));
    let (slot, found, _) = after(&gateway);
    assert_eq!(found.state, State::Down);
    gateway.layer.current().set_slot(slot, SlotStatus::UP).unwrap();
    assert_eq!(gateway.slot(slot), SlotStatus::UP);
    let error = gateway.layer.current().set_slot(3, SlotStatus::UP).unwrap_err();
    assert_eq!(error, tokenpin_tower::tokenpin::Error::SlotRange);
    let vacant = SlotStatus { state: State::Vacant, ..SlotStatus::UP };
    assert!(gateway.layer.current().set_slot(slot, vacant).is_err());
    assert_eq!(gateway.slot(slot), SlotStatus::UP, "nothing changed");
}

/// Also where it says again what a cooldown has made of the account.
#[test]
fn the_hosts_word_is_the_hosts_whatever_it_is() {
    for again in [false, true] {
        let count = std::sync::atomic::AtomicUsize::new(0);
        let provider = Provider::new(move |_| {
            let first = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            reply(if first { 429 } else { 403 })
        });
        let ok = gateway(generation().cooldowns(taking_down(&[403])), Provider::ok());
        let (first, seen) = ok.pass(empty(post("/v1/responses")));
        let (slot, cookie) = (seen.slot(), first.cookie().unwrap());
        let gateway = Gateway { layer: ok.layer.clone(), provider };
        in_flight(&gateway, slot, &cookie);
        let cooled = gateway.slot(slot);
        assert_eq!(cooled.state, State::Draining);
        if again {
            gateway.layer.current().set_slot(slot, cooled).unwrap();
        }
        in_flight(&gateway, slot, &cookie);
        assert_eq!(gateway.slot(slot).state == State::Down, !again);
    }
}
