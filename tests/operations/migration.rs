//! From Higress to `jump`, day by day.

use std::fmt::Write as _;
use std::ops::Range;

use tokenpin::{Strategy, mix};

use crate::gateway::{Client, DAY, Gateway, NOW, Token, share};
use tokenpin_test_support::page;

/// The number of clients of each sort.
const CLIENTS: u32 = 10_000;

/// The tokens in the order of the list that Higress has.
const ACCOUNTS: [(char, &str); 4] =
    [('a', "account-a"), ('b', "account-b"), ('c', "account-c"), ('d', "account-d")];

/// In seconds.
const MONTH: u32 = 30 * 86_400;

/// Returns the account that Higress ai-proxy chooses for a consumer.
fn higress(consumer: &str) -> char {
    let hash = consumer
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    ACCOUNTS[hash as usize % ACCOUNTS.len()].0
}

/// A client, the account that served it last, and the number of changes.
struct Past {
    client: Client,
    /// The days between its visits.
    pace: u64,
    account: Option<char>,
    moves: u32,
}

/// Returns named clients that Higress knows, without and with cookies, and anonymous ones, which it
/// does not know.
fn everybody() -> [Vec<Past>; 3] {
    let past = |number: u64, client: Client| {
        let account = client.name().map(higress);
        Past { client, pace: 1 + mix(number) % 20, account, moves: 0 }
    };
    let numbers = 0..u64::from(CLIENTS);
    [
        numbers.clone().map(|number| past(number, Client::consumer(number, false))).collect(),
        numbers.clone().map(|number| past(number, Client::consumer(number, true))).collect(),
        numbers.map(|number| past(number, Client::anonymous(number))).collect(),
    ]
}

/// Lets days pass, in which all clients come at their pace, to each of the gateways in turn.
/// Returns how many of them moved.
fn live(clients: &mut [Past], days: Range<u64>, gateways: &[&Gateway]) -> u32 {
    let before: Vec<u32> = clients.iter().map(|past| past.moves).collect();
    for day in days {
        for gateway in gateways {
            gateway.run(|replica| {
                for past in clients.iter_mut().filter(|past| day % past.pace == 0) {
                    let account = past.client.send(replica, NOW + day * DAY, false);
                    assert!(account.is_some());
                    past.moves += u32::from(past.account.is_some() && past.account != account);
                    past.account = account;
                }
            });
        }
    }
    moved(clients, |number, past| past.moves > before[number])
}

fn moved(clients: &[Past], how: impl Fn(usize, &Past) -> bool) -> u32 {
    clients.iter().enumerate().map(|(number, past)| u32::from(how(number, past))).sum()
}

/// A line of the table; `None` is a figure that would mean nothing.
fn line(out: &mut String, phase: &str, counts: [Option<u32>; 3], expected: [f64; 3]) {
    let _ = write!(out, "| {phase} |");
    for (count, expected) in counts.into_iter().zip(expected) {
        let text = count.map_or("–".into(), |count| share(phase, count, CLIENTS, expected));
        let _ = write!(out, " {text} |");
    }
    out.push('\n');
}

#[test]
fn nobody_moves_twice() {
    let [a, b, c, d] = ACCOUNTS.map(|(account, name)| Some(Token::up(account, name)));
    let first = &Gateway {
        strategy: Strategy::HigressFnv1aModulo,
        max_life: 0,
        max_idle: MONTH,
        // Vacant slots, which Higress does not have, make no difference.
        ..Gateway::of(vec![a, b, None, c, d, None, None, None])
    };
    let then = &first.with(|gateway| gateway.strategy = Strategy::Jump);
    let mut out = String::from(
        "| phase | named, no cookie | named, cookie | anonymous, cookie |\n\
         | --- | ---: | ---: | ---: |\n",
    );

    let mut clients = everybody();
    let mut phase = |phase: &str, days: Range<u64>, gateway, expected| {
        let counts = clients.each_mut().map(|sort| Some(live(sort, days.clone(), &[gateway])));
        line(&mut out, phase, counts, expected);
    };
    phase("from Higress to its strategy here, and 60 days", 0..60, first, [0.0; 3]);
    phase("the switch to `jump`, and 90 days", 60..150, then, [0.75, 0.0, 0.0]);
    let twice = clients.each_ref().map(|sort| Some(moved(sort, |_, past| past.moves > 1)));
    line(&mut out, "moved more than once in all that time", twice, [0.0; 3]);

    let [mut bare, mut jar, _] = everybody();
    let at_once = [&mut bare, &mut jar].map(|sort| Some(live(sort, 0..20, &[then])));
    let phase = "instead: `jump` from the first day";
    line(&mut out, phase, [at_once[0], at_once[1], None], [0.75, 0.75, 0.0]);

    let torn = everybody().map(|mut sort| {
        live(&mut sort, 0..60, &[first]);
        live(&mut sort, 60..80, &[first, then, first]);
        Some(moved(&sort, |_, past| past.moves > 1))
    });
    let phase = "instead: replicas with either strategy for a while, moved more than once";
    line(&mut out, phase, torn, [0.75, 0.0, 0.0]);

    let limited = |gateway: &Gateway| Gateway { max_life: MONTH, max_idle: 0, ..gateway.clone() };
    let [mut bare, mut jar, _] = everybody();
    let expired = [&mut bare, &mut jar].map(|sort| {
        live(sort, 0..60, &[&limited(first)]);
        Some(live(sort, 60..150, &[&limited(then)]))
    });
    let phase = "instead: `max_life` of 30 days, the switch and 90 days";
    line(&mut out, phase, [expired[0], expired[1], None], [0.75, 0.75, 0.0]);
    page::compare("guides/higress.md", "moves of the migration", &out);
}
