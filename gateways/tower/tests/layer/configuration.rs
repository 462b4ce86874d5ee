//! Bad configurations are refused precisely, and change nothing.

use std::sync::Arc;

use http::StatusCode;
use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use tokenpin_tower::tokenpin::State;
use tokenpin_tower::{Cooldown, Error, Generation, PinLayer, Retry, SlotHeaders};

use crate::stand::*;

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}

#[test]
fn each_defect_has_its_error() {
    let good = Cooldown {
        statuses: vec![status(400), status(599)],
        state: State::Down,
        seconds: 1,
        retry_after: Some(1),
    };
    let cooldown = |change: fn(&mut Cooldown)| {
        let mut second = good.clone();
        change(&mut second);
        generation().cooldowns(vec![good.clone(), second])
    };
    let retry = |statuses: &[u16], max| {
        let statuses = statuses.iter().copied().map(status).collect();
        generation().retry(Retry { statuses, max, body_limit: 0 })
    };
    let with =
        |tokens: &[&str]| Generation::new(affinity(|_| {}), SlotHeaders::bearer(tokens).unwrap());
    let carrier = || generation().carrier_header(header("x-affinity"));
    let refused = Error::CarrierHeader;
    let cases = [
        (generation(), None),
        (with(&["a", "b"]), Some(Error::Credentials { credentials: 2, slots: 3 })),
        (with(&["a", "b", "c", "d"]), Some(Error::Credentials { credentials: 4, slots: 3 })),
        (carrier(), None),
        (
            carrier().consumer_header(header("x-consumer")).session_header(header("x-consumer")),
            None,
        ),
        (carrier().consumer_header(header("x-affinity")), Some(refused(header("x-affinity")))),
        (carrier().session_header(header("x-affinity")), Some(refused(header("x-affinity")))),
        (generation().carrier_header(COOKIE), Some(refused(COOKIE))),
        (generation().carrier_header(SET_COOKIE), Some(refused(SET_COOKIE))),
        (generation().carrier_header(AUTHORIZATION), Some(refused(AUTHORIZATION))),
        (generation().carrier_header(header("x_api_key")), Some(refused(header("x_api_key")))),
        (generation().max_body(1).max_held(1), None),
        (generation().max_body(0), Some(Error::MaxBody)),
        (generation().max_held(0), Some(Error::MaxBody)),
        (cooldown(|_| {}), None),
        (cooldown(|c| c.statuses.clear()), Some(Error::CooldownStatuses(1))),
        (cooldown(|c| c.statuses[1] = status(399)), Some(Error::CooldownStatuses(1))),
        (cooldown(|c| c.statuses[0] = status(600)), Some(Error::CooldownStatuses(1))),
        (cooldown(|c| c.state = State::Draining), None),
        (cooldown(|c| c.state = State::Up), Some(Error::CooldownState(1))),
        (cooldown(|c| c.state = State::Vacant), Some(Error::CooldownState(1))),
        (cooldown(|c| c.seconds = 0), Some(Error::CooldownSeconds(1))),
        (cooldown(|c| c.retry_after = Some(0)), Some(Error::CooldownSeconds(1))),
        (cooldown(|c| c.retry_after = None), None),
        (generation().cooldowns(vec![]), None),
        (generation().retry(Retry::default()), None),
        (retry(&[400, 599], 3), None),
        (retry(&[], 1), Some(Error::RetryStatuses)),
        (retry(&[429, 200], 1), Some(Error::RetryStatuses)),
        (retry(&[429], 0), Some(Error::RetryMax)),
        (retry(&[429], 4), Some(Error::RetryMax)),
    ];
    let layer = PinLayer::new(generation()).unwrap();
    for (i, (generation, error)) in cases.into_iter().enumerate() {
        let before = layer.current();
        let reloaded = layer.reload(generation);
        assert_eq!(reloaded.as_ref().err(), error.as_ref(), "{i}");
        assert_eq!(Arc::ptr_eq(&before, &layer.current()), error.is_some(), "{i}");
    }
    assert_eq!(
        PinLayer::new(with(&[])).unwrap_err().to_string(),
        "credentials of 0 slots for an affinity of 3"
    );
}

#[test]
fn a_token_that_is_no_header_value_is_refused() {
    for token in ["sk-a\n", "sk\r\nx: y", "\0", "\u{7f}"] {
        assert!(SlotHeaders::bearer([token]).is_err(), "{token:?}");
    }
}
