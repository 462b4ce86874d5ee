//! The client's view of the pin: it sees nothing.

use std::collections::HashSet;

use tokenpin::{Cookie, Decision, Kind, Request, identity_hash};

use crate::gateway::{Gateway, KEY_IDS, NOW, fields, raw_of, request, sign};
use tokenpin_test_support::chi_square::plausible;
use tokenpin_test_support::random::Random;

const COOKIES: u64 = 1000;

/// Pin and tag as they stand in a value, 192 bits.
fn masked(value: &[u8]) -> [u8; 24] {
    raw_of(value).unwrap()[26..].try_into().unwrap()
}

/// Each bit is set in half of them. The level of one bit is two-sided 8e-11: a false alarm has a
/// probability below 2e-8 for 192 bits.
#[track_caller]
fn looks_random(what: &str, seen: impl Iterator<Item = [u8; 24]>) {
    let mut counts = [0; 192];
    for bytes in seen {
        for (bit, count) in counts.iter_mut().enumerate() {
            *count += u64::from(bytes[bit / 8] >> (bit % 8) & 1);
        }
    }
    for (bit, &count) in counts.iter().enumerate() {
        assert!(plausible(count, COOKIES, 0.5), "{what}: bit {bit} is set in {count} of {COOKIES}");
    }
}

/// Returns a thousand sessions of one token.
fn cookies_of<'a>(random: &'a mut Random, account: &str) -> impl Iterator<Item = Cookie> + 'a {
    let pin = identity_hash(account.as_bytes());
    (0..COOKIES).map(move |_| {
        let id = u128::from(random.word()) << 64 | u128::from(random.word());
        Cookie { pin, id: id.to_le_bytes(), ..fields(Kind::Anonymous, 0) }
    })
}

#[test]
fn cookies_of_one_token_look_random() {
    let mut random = Random::new("cookies of one token");
    let cookies: Vec<Cookie> = cookies_of(&mut random, "account-a").collect();
    let seen: Vec<_> = cookies.iter().map(|cookie| masked(&sign(KEY_IDS[0], cookie))).collect();
    looks_random("one token", seen.iter().copied());
    let pins: HashSet<&[u8]> = seen.iter().map(|bytes| &bytes[..8]).collect();
    assert_eq!(pins.len() as u64, COOKIES);
    // Nor is it visible whether two sessions have one token: for the same session, the difference
    // between two tokens looks as random as the difference between two cookies of one.
    let differences = |other: &dyn Fn(&Cookie) -> Cookie| -> Vec<[u8; 24]> {
        let difference = |(cookie, seen): (&Cookie, &[u8; 24])| {
            let other = masked(&sign(KEY_IDS[0], &other(cookie)));
            std::array::from_fn(|i| seen[i] ^ other[i])
        };
        cookies.iter().zip(&seen).map(difference).collect()
    };
    let other_token = |cookie: &Cookie| Cookie { pin: identity_hash(b"account-b"), ..*cookie };
    looks_random("another token", differences(&other_token).into_iter());
    let second_later =
        |cookie: &Cookie| Cookie { refreshed_at: cookie.refreshed_at + 1, ..*cookie };
    looks_random("a second later", differences(&second_later).into_iter());
}

/// The same session and the same token, issued again by the gateway.
#[test]
fn every_issue_of_a_session_looks_different() {
    let gateway = Gateway::new();
    let minted = gateway.affinity.decide(&request(Kind::Anonymous), []).unwrap();
    let value = |decision: &Decision| decision.cookie.unwrap().value;
    let mut issues = vec![masked(&value(&minted))];
    for second in 1..COOKIES {
        // A key that retires has every cookie issued again.
        let cookie = fields(Kind::Anonymous, 0);
        let field = [b"session=", sign(KEY_IDS[2], &cookie).as_slice()].concat();
        let now = u64::from(NOW) + second;
        let request = Request { now, ..request(Kind::Anonymous) };
        let decision = gateway.affinity.decide(&request, [field.as_slice()]).unwrap();
        issues.push(masked(&value(&decision)));
    }
    looks_random("issues", issues.iter().copied());
    let different: HashSet<_> = issues.iter().map(|bytes| &bytes[..8]).collect();
    assert_eq!(different.len() as u64, COOKIES);
}
