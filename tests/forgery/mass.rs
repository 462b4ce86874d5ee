//! Random and mutated values in large numbers.
//!
//! A harness whose values never reach the tag would accept nothing either. So the same harness runs
//! over a build in which only 16 bits of the tag count (`make forgery`). There it has to accept one
//! in 65536 of the values that get there.

use tokenpin::{Kind, Value, Verdict};

use crate::gateway::{ALPHABET, Gateway, KEY_IDS, KINDS, fields, raw_of, sign, value_of};
use tokenpin_test_support::random::Random;

/// The number of values that must reach the comparison of the tag, unless the environment variable
/// `TOKENPIN_FORGERIES` says otherwise.
const FORGERIES: u64 = 200_000;

fn byte(random: &mut Random) -> u8 {
    random.word().to_le_bytes()[0]
}

/// Returns a number below `bound`, which is small.
fn below(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).unwrap()
}

/// Returns one forged value, made in one of six ways.
fn forge(random: &mut Random, genuine: &[Value]) -> Value {
    let mut value = genuine[below(random, genuine.len())];
    let mut raw = raw_of(&value).unwrap();
    match random.below(6) {
        0 => {
            return value.map(|_| ALPHABET[below(random, 64)]);
        }
        1 => {
            for _ in 0..=below(random, 3) {
                value[below(random, 67)] = byte(random);
            }
            return value;
        }
        2 => {
            // Everything behind a head that leads to the tag is random.
            raw = raw.map(|_| byte(random));
            raw[0] = 0x10 | raw[0] & 3;
            raw[1] = KEY_IDS[below(random, KEY_IDS.len())];
        }
        3 => {
            for _ in 0..=below(random, 8) {
                raw[below(random, 50)] ^= 1 << below(random, 8);
            }
        }
        4 => {
            let (start, end) = (below(random, 50), below(random, 50));
            raw[start.min(end)..=start.max(end)].fill_with(|| byte(random));
        }
        _ => {
            let other = raw_of(&genuine[below(random, genuine.len())]).unwrap();
            let (start, end) = (below(random, 50), below(random, 50));
            let run = start.min(end)..=start.max(end);
            raw[run.clone()].copy_from_slice(&other[run]);
            raw[below(random, 50)] ^= 1 << below(random, 8);
        }
    }
    value_of(&raw)
}

/// Returns whether a tag was computed for this value and found bad. A keyed cookie in an anonymous
/// request is refused without that.
fn was_compared(kind: Kind, value: &Value) -> bool {
    kind != Kind::Anonymous || raw_of(value).is_some_and(|raw| raw[0] & 15 == Kind::Anonymous as u8)
}

#[test]
fn no_value_that_was_made_up_is_accepted() {
    let wanted = std::env::var("TOKENPIN_FORGERIES")
        .map_or(FORGERIES, |text| text.parse().expect("TOKENPIN_FORGERIES is a number"));
    let gateway = Gateway::new();
    let mut random = Random::new("forgeries");
    let of = |kind| move |number: u8| sign(KEY_IDS[usize::from(number % 3)], &fields(kind, number));
    let genuine: Vec<Value> = KINDS.into_iter().flat_map(|kind| (0..6).map(of(kind))).collect();

    let (mut forged, mut compared, mut accepted) = (0_u64, 0_u64, 0_u64);
    while compared < wanted {
        let value = forge(&mut random, &genuine);
        if genuine.contains(&value) {
            continue;
        }
        forged += 1;
        let kind = KINDS[below(&mut random, 4)];
        let (verdict, cookie) = gateway.decode(kind, &value);
        let untagged = [Verdict::Malformed, Verdict::UnknownVersion, Verdict::UnknownKey];
        let tagged = !untagged.contains(&verdict);
        assert_eq!(cookie.is_some(), tagged && verdict != Verdict::BadTag);
        accepted += u64::from(cookie.is_some());
        compared += u64::from(tagged && was_compared(kind, &value));
    }

    // A Poisson variable with a mean of 152 is off by six sigma with probability below 2e-7.
    let expected = if cfg!(tokenpin_cut_tag) { wanted as f64 / 65_536.0 } else { 0.0 };
    println!("{forged} forged, {compared} compared, {accepted} accepted, {expected:.1} expected");
    assert!((accepted as f64 - expected).abs() <= 6.0 * expected.sqrt());
}
