//! The sessions that move, for every change that the page has a procedure for.

use std::fmt::Write as _;

use tokenpin::ids::Mode;
use tokenpin::{MAX_WEIGHT, Role, SlotStatus, State, Strategy};

use crate::gateway::{Client, Gateway, NOW, Token, share};
use tokenpin_test_support::page;

/// The number of clients of each sort.
const CLIENTS: u32 = 50_000;

struct Row {
    event: &'static str,
    /// The gateway's successive configurations. The event is the last `counted` steps.
    steps: Vec<Gateway>,
    counted: usize,
    /// The clients ask for existing state.
    existing: bool,
    /// The shares that have to move: named clients without a cookie, named clients with one, and
    /// anonymous ones.
    moves: [f64; 3],
    /// The share of the clients with only sealed ids that is refused. None of them ever moves.
    refused: f64,
    /// The account that the event is about, and the shares of newcomers that it gets afterwards:
    /// named ones, anonymous ones.
    newcomers: Option<(char, [f64; 2])>,
}

fn row(event: &'static str, steps: &[&Gateway], moves: [f64; 3]) -> Row {
    let steps = steps.iter().copied().cloned().collect();
    Row { event, steps, counted: 1, existing: false, moves, refused: 0.0, newcomers: None }
}

/// An event after which an account cannot be reached: requests with its ids are refused.
fn unreachable(share: f64, row: Row) -> Row {
    Row { refused: share, ..row }
}

/// An event about one account.
fn about(account: char, newcomers: [f64; 2], row: Row) -> Row {
    Row { newcomers: Some((account, newcomers)), ..row }
}

const TOKENS: [Token; 5] = [
    Token::up('a', "account-a"),
    Token::up('b', "account-b"),
    Token::up('c', "account-c"),
    Token::up('d', "account-d"),
    Token::up('e', "account-e"),
];

/// The first four tokens and `vacant` vacant slots.
fn four_and(vacant: usize) -> Gateway {
    let mut slots: Vec<_> = TOKENS[..4].iter().copied().map(Some).collect();
    slots.resize(4 + vacant, None);
    Gateway::of(slots)
}

/// The share of the keys at home in a vacant slot of [`four_and`] four that a later probe settles:
/// of 64 places 4 do, and 4 others lead to another probe.
const PROBED: f64 = 4.0 / 60.0;

fn tokens() -> Vec<Row> {
    let base = &four_and(4);
    let fifth = |weight| {
        let token = Token { status: SlotStatus { weight, ..SlotStatus::UP }, ..TOKENS[4] };
        base.with(|gateway| gateway.slots[4] = Some(token))
    };
    let b = |change: fn(&mut SlotStatus)| {
        base.with(|gateway| change(&mut gateway.slots[1].as_mut().unwrap().status))
    };
    let down = &b(|status| status.state = State::Down);
    let draining = &b(|status| status.state = State::Draining);
    let weightless = &b(|status| status.weight = 0);
    let half = &b(|status| status.weight /= 2);
    let vacated = &base.with(|gateway| gateway.slots[1] = None);
    let renamed = &base.with(|gateway| gateway.slots[1] = Some(Token::up('b', "renamed")));
    let shifted = &base.with(|gateway| {
        gateway.slots.remove(1);
        gateway.slots.push(None);
    });

    let light = 0.0625 / 4.0625;
    let half_share = 0.5 / 3.5;
    // By home or a later probe: slot 0 stays, slots 1 and 2 serve for another account, slot 3 for
    // none, and one key in three draws the account that it had.
    let by_slot = [0.0, 1.0, 1.0, 2.0 / 3.0].iter().sum::<f64>();
    // Half are at home in a vacant slot. A probe continues from 4 places, and ends the probing at
    // 56; then a quarter was on b.
    let by_probes = (by_slot + 56.0 * 0.25) / 60.0;
    let shift = by_slot / 8.0 + 0.5 * by_probes;
    // At home in vacant slots, and not settled by a probe: of five draws, the old and the new one
    // of b among them, the new one is the highest and the old one is not the second; or the
    // reverse.
    let renaming = 0.5 * (1.0 - PROBED) * 2.0 * (0.2 * 0.75);
    vec![
        about(
            'e',
            [0.2; 2],
            row("a fifth token fills a vacant slot", &[base, &fifth(MAX_WEIGHT)], [0.2, 0.0, 0.0]),
        ),
        about(
            'e',
            [light; 2],
            row("the same at weight 4096", &[base, &fifth(4096)], [light, 0.0, 0.0]),
        ),
        about('e', [0.0; 2], row("the same at weight 0", &[base, &fifth(0)], [0.0; 3])),
        about('b', [0.25, 0.0], row("a token drains", &[base, draining], [0.0; 3])),
        about('b', [0.0; 2], row("its weight falls to 0", &[base, weightless], [0.25, 0.0, 0.0])),
        about(
            'b',
            [half_share; 2],
            row("its weight falls to half", &[base, half], [0.25 - half_share, 0.0, 0.0]),
        ),
        about('b', [0.0; 2], unreachable(0.25, row("it goes down", &[base, down], [0.25; 3]))),
        about(
            'b',
            [0.0; 2],
            Row {
                existing: true,
                refused: 0.25,
                ..row("the same, requests that name existing state", &[base, down], [0.25; 3])
            },
        ),
        about('b', [0.25; 2], row("it comes back", &[base, down, base], [0.25, 0.0, 0.0])),
        about(
            'b',
            [0.0; 2],
            unreachable(0.25, row("its slot is vacated", &[base, vacated], [0.25; 3])),
        ),
        about(
            'b',
            [0.0; 2],
            unreachable(
                0.25,
                row("the same at weight 0", &[base, weightless, vacated], [0.0, 0.25, 0.25]),
            ),
        ),
        about(
            'b',
            [0.0; 2],
            unreachable(
                0.25,
                row(
                    "its entry is deleted, the others move up",
                    &[base, shifted],
                    [shift, 0.25, 0.25],
                ),
            ),
        ),
        about(
            'b',
            [0.25; 2],
            unreachable(
                0.25,
                row(
                    "its `name` changes: another account to the library",
                    &[base, renamed],
                    [renaming, renaming / 2.0, renaming / 2.0],
                ),
            ),
        ),
    ]
}

fn settings() -> Vec<Row> {
    let full = &four_and(0);
    let base = &four_and(4);
    let grown = |vacant| {
        four_and(vacant).with(|gateway| {
            gateway.slots.truncate(3 + vacant);
            gateway.slots.insert(4, Some(TOKENS[4]));
        })
    };
    let rendezvous = |gateway: &Gateway| gateway.with(|g| g.strategy = Strategy::Rendezvous);
    let ring = |cookie_keys| base.with(|gateway| gateway.cookie_keys = cookie_keys);
    let added = &ring(&[(2, Role::Sign), (3, Role::Accept)]);
    let signing = &ring(&[(2, Role::Retire), (3, Role::Sign)]);
    let alone = &ring(&[(3, Role::Sign)]);
    let id_ring = |id_keys| base.with(|gateway| gateway.id_keys = id_keys);
    let id_added = &id_ring(&[(20, Role::Sign), (21, Role::Accept)]);
    let id_signing = &id_ring(&[(20, Role::Accept), (21, Role::Sign)]);
    let id_replaced = &id_ring(&[(21, Role::Sign)]);
    let opening = &base.with(|gateway| gateway.id_mode = Mode::Open);
    let other_key = &base.with(|gateway| gateway.placement_key = 9);
    let other_scope = &base.with(|gateway| gateway.scope = b"openai-eu");
    let other_name = &base.with(|gateway| gateway.cookie_name = Some(b"__Host-pin"));
    let no_keyed = &base.with(|gateway| gateway.keyed_cookies = false);

    // Half of all keys get another home. A quarter of these is the new token; three quarters are
    // vacant, and one draw in five is the account that the key had.
    let new_homes = 0.5 * (0.25 + 0.75 * 0.8);
    // Half get a vacant home among the new slots; half of them were at home on a token.
    let vacant_homes = 0.25 * 0.75;
    // The others are probed in 16 slots instead of 8. At 8 places the probing continues where it
    // ended before: from there it finds a token at 4 places, three of four times another, and
    // continues at 12.
    let goes_on = 8.0 / 60.0 * (4.0 * 0.75 / 52.0);
    let doubled = vacant_homes + 0.5 * goes_on;
    // Served by home or a later probe, three of four keys draw another token.
    let drawn = 0.75 * (0.5 + 0.5 * PROBED);
    vec![
        row("capacity 4 to 5, by the fifth token", &[full, &grown(1)], [0.2, 0.0, 0.0]),
        row(
            "capacity 4 to 8, by the fifth token and vacant slots",
            &[full, &grown(4)],
            [new_homes, 0.0, 0.0],
        ),
        row("capacity 8 to 16, by vacant slots", &[base, &four_and(12)], [doubled, 0.0, 0.0]),
        row("capacity 8 to 4, vacant slots dropped", &[base, full], [0.375, 0.0, 0.0]),
        row("`jump` to `rendezvous`", &[base, &rendezvous(base)], [drawn, 0.0, 0.0]),
        row("`jump` to `rendezvous`, no slot vacant", &[full, &rendezvous(full)], [0.75, 0.0, 0.0]),
        row("another placement key", &[base, other_key], [0.75, 0.0, 0.0]),
        unreachable(1.0, row("another scope", &[base, other_scope], [0.75; 3])),
        row("another cookie name", &[base, other_name], [0.0, 0.0, 0.75]),
        Row {
            counted: 3,
            ..row("the cookie key rotated in three steps", &[base, added, signing, alone], [0.0; 3])
        },
        row("the cookie key replaced in one step", &[base, alone], [0.0, 0.0, 0.75]),
        Row {
            counted: 2,
            ..row(
                "the key of ids joined by another, which then signs",
                &[base, id_added, id_signing],
                [0.0; 3],
            )
        },
        unreachable(
            1.0,
            row("the key of ids replaced in one step", &[base, id_replaced], [0.0; 3]),
        ),
        row("`sealed_ids` back from `seal` to `open`", &[base, opening], [0.0; 3]),
        row("`keyed_cookies` switched off", &[base, no_keyed], [0.0; 3]),
    ]
}

/// Counts the clients that move, and those that are refused.
fn count(row: &Row, client: impl Fn(u64) -> Client) -> [u32; 2] {
    let mut clients: Vec<Client> = (0..u64::from(CLIENTS)).map(client).collect();
    // By which account each was served last.
    let mut served: Vec<Option<char>> = Vec::new();
    let mut counts = [0; 2];
    for (step, gateway) in row.steps.iter().enumerate() {
        let existing = row.existing && step > 0;
        let now: Vec<_> = gateway.run(|gate| {
            clients.iter_mut().map(|client| client.send(gate, NOW, existing)).collect()
        });
        if step + row.counted >= row.steps.len() {
            for (_, after) in served.iter().zip(&now).filter(|(before, after)| before != after) {
                counts[usize::from(after.is_none())] += 1;
            }
        }
        served.resize(now.len(), None);
        for (last, now) in served.iter_mut().zip(now) {
            *last = now.or(*last);
        }
    }
    counts
}

/// Counts the newcomers that the account gets in the end.
fn newcomers(row: &Row, account: char, client: impl Fn(u64) -> Client) -> u32 {
    let gateway = row.steps.last().unwrap();
    gateway.run(|gate| {
        let served = (0..u64::from(CLIENTS)).map(|number| client(number).send(gate, NOW, false));
        served.map(|served| u32::from(served == Some(account))).sum()
    })
}

fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "| event | named, no cookie | named, cookie | anonymous, cookie | sealed ids |",
    );
    let about_tokens = rows.iter().all(|row| row.newcomers.is_some());
    out.push_str(if about_tokens { " newcomers on it: named, anonymous |\n" } else { "\n" });
    out.push_str("| --- | ---: | ---: | ---: | ---: |");
    out.push_str(if about_tokens { " ---: |\n" } else { "\n" });
    let named = |number| Client::consumer(number, false);
    for row in rows {
        let share = |count, expected| share(row.event, count, CLIENTS, expected);
        let counts = [
            count(row, named),
            count(row, |number| Client::consumer(number, true)),
            count(row, Client::anonymous),
        ];
        let _ = write!(out, "| {} |", row.event);
        for ([moved, refused], expected) in counts.into_iter().zip(row.moves) {
            assert!(moved == 0 || refused == 0, "{}", row.event);
            let refusal = if refused == 0 { "" } else { " refused" };
            let _ = write!(out, " {}{refusal} |", share(moved + refused, expected));
        }
        let [moved, refused] = count(row, Client::of_ids);
        assert_eq!(moved, 0, "{}", row.event);
        let refusal = if refused == 0 { "" } else { " refused" };
        let _ = write!(out, " {}{refusal} |", share(refused, row.refused));
        if let Some((account, expected)) = row.newcomers {
            let counts =
                [newcomers(row, account, named), newcomers(row, account, Client::anonymous)];
            let [named, anonymous] = [0, 1].map(|i| share(counts[i], expected[i]));
            let _ = write!(out, " {named}, {anonymous} |");
        }
        out.push('\n');
    }
    out
}

#[test]
fn moves_by_token() {
    page::compare("guides/operations.md", "moves by token", &table(&tokens()));
}

#[test]
fn moves_by_setting() {
    page::compare("guides/operations.md", "moves by setting", &table(&settings()));
}
