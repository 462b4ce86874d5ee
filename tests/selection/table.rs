//! The measured table of moves. `cargo test --test selection table -- --nocapture` prints it.

use tokenpin::{MAX_WEIGHT, State, Strategy};

use crate::fleet::{Fleet, keys};
use tokenpin_test_support::chi_square::plausible;
use tokenpin_test_support::random::Random;

const KEYS: usize = 1_000_000;
const FULL: u32 = MAX_WEIGHT;
const HALF: u32 = MAX_WEIGHT / 2;

struct Row {
    event: &'static str,
    strategy: Strategy,
    anonymous: bool,
    before: Fleet,
    after: Fleet,
    /// The token that the event is about; any other move is between bystanders.
    token: u32,
    /// The shares of all keys that have to move: to or from the token, and between others.
    expected: [f64; 2],
}

fn row(
    event: &'static str,
    strategy: Strategy,
    before: &Fleet,
    after: Fleet,
    token: u32,
    expected: [f64; 2],
) -> Row {
    Row { event, strategy, anonymous: false, before: before.clone(), after, token, expected }
}

/// Returns the row for growing three full tokens to four slots, the fourth at `weight`. It is the
/// home of a quarter of the keys. Rendezvous spreads those that it refuses over `3 + x` of weight,
/// one of which is the token that the key came from.
fn grown(event: &'static str, weight: u32) -> Row {
    let x = f64::from(weight) / f64::from(FULL);
    let expected = [x / (3.0 + x), (1.0 - x) / 4.0 * 2.0 / (3.0 + x)];
    let after = Fleet::of(&[FULL, FULL, FULL, weight]);
    row(event, Strategy::Jump, &Fleet::of(&[FULL; 3]), after, 3, expected)
}

/// Returns the events of docs/spec/selection.md in four slots (or three). Slot 1 is the one that
/// changes.
fn rows() -> Vec<Row> {
    use Strategy::{HigressFnv1aModulo, Jump, Rendezvous};
    let four = Fleet::of(&[FULL; 4]);
    let lighter = four.with_weight(1, HALF);
    let down = four.with_state(1, State::Down);
    let two_down = down.with_state(2, State::Down);
    let draining = four.with_state(1, State::Draining);
    let (mut vacated, mut deleted) = (four.clone(), four.clone());
    vacated.0[1] = None;
    deleted.0.remove(1);
    let mut grown_vacant = Fleet::of(&[FULL; 3]);
    grown_vacant.0.push(None);

    let half_of_full = 0.25 - 0.5 / 3.5;
    // A quarter each: the third token's keys go to the fourth; two thirds of the fourth's spread
    // over the other slots.
    let shifted = 0.25 + 0.25 * 2.0 / 3.0;
    vec![
        row("a token goes down", Jump, &four, down.clone(), 1, [0.25, 0.0]),
        row("a second one goes down", Jump, &down, two_down.clone(), 2, [1.0 / 3.0, 0.0]),
        row(
            "the first one comes back",
            Jump,
            &two_down,
            four.with_state(2, State::Down),
            1,
            [1.0 / 3.0, 0.0],
        ),
        row("a token drains, keyed sessions", Jump, &four, draining.clone(), 1, [0.0, 0.0]),
        Row {
            anonymous: true,
            ..row("a token drains, anonymous newcomers", Jump, &four, draining, 1, [0.25, 0.0])
        },
        row("weight full to half", Jump, &four, lighter.clone(), 1, [half_of_full, 0.0]),
        row("weight half to full", Jump, &lighter, four.clone(), 1, [half_of_full, 0.0]),
        row("vacant slot filled, full weight", Jump, &vacated, four.clone(), 1, [0.25, 0.0]),
        row("vacant slot filled, half weight", Jump, &vacated, lighter, 1, [0.5 / 3.5, 0.0]),
        row("slot vacated", Jump, &four, vacated, 1, [0.25, 0.0]),
        grown("capacity 3 to 4, full weight", FULL),
        grown("capacity 3 to 4, half weight", HALF),
        grown("capacity 3 to 4, 1/16 of full weight", FULL / 16),
        grown("capacity 3 to 4, weight 1", 1),
        row(
            "capacity 3 to 4, vacant",
            Jump,
            &Fleet::of(&[FULL; 3]),
            grown_vacant,
            3,
            [0.0, 1.0 / 6.0],
        ),
        row("slot deleted, list shifts", Jump, &four, deleted.clone(), 1, [0.25, shifted]),
        row("slot deleted, list shifts", Rendezvous, &four, deleted, 1, [0.25, 0.0]),
        row("a token goes down", HigressFnv1aModulo, &four, down, 1, [0.25, 0.0]),
        // h % 4 = h % 5 for 4 of 20 remainders; h % 5 = 4 for another 4.
        row("a fifth account", HigressFnv1aModulo, &four, Fleet::of(&[FULL; 5]), 4, [0.2, 0.6]),
    ]
}

#[test]
fn table_of_measured_moves() {
    let mut random = Random::new("table of moves");
    println!("| event | strategy | to or from the token | expected | between others | expected |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for row in rows() {
        let keys = keys(&mut random, KEYS);
        let before = row.before.serve(row.strategy, row.anonymous, &keys);
        let after = row.after.serve(row.strategy, row.anonymous, &keys);
        let mut counts = [0_u64; 2];
        for (from, to) in before.into_iter().zip(after).filter(|(from, to)| from != to) {
            counts[usize::from(from != Some(row.token) && to != Some(row.token))] += 1;
        }
        let percent = |share: f64| format!("{:.2} %", share * 100.0);
        let measured = counts.map(|count| percent(count as f64 / KEYS as f64));
        let expected = row.expected.map(percent);
        println!(
            "| {} | `{}` | {} | {} | {} | {} |",
            row.event,
            row.strategy.name(),
            measured[0],
            expected[0],
            measured[1],
            expected[1]
        );
        for (count, share) in counts.into_iter().zip(row.expected) {
            assert!(plausible(count, KEYS as u64, share), "{}: {count}, not {share}", row.event);
        }
    }
}
