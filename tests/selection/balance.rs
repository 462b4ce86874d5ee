//! Shares are proportional to weights. Each test also plants a weight that is 2 % off, through the
//! real selection, and has to notice it; the noncentrality of that sets the sample size.

use tokenpin::{Filter, Key, MAX_WEIGHT, Secret, State, Strategy, key_hash};

use crate::fleet::{Fleet, STRATEGIES, Token, WEIGHTED, below, serve};
use tokenpin_test_support::chi_square::{
    Fit, keys_needed, needed_noncentrality, noncentrality, plausible,
};
use tokenpin_test_support::random::Random;

/// For a lighter weight, 2 % is too far from a whole number.
const HEAVY: u32 = 1000;

/// Returns `fleet` with one weight 2 % off, downwards so that it stays a weight: the one that is
/// easiest to see in `shares`. Unchanged if it has only light ones.
fn plant(fleet: &Fleet, shares: impl Fn(&Fleet) -> Vec<f64>) -> Fleet {
    let expected = shares(fleet);
    let seen = |fleet: &Fleet| noncentrality(&expected, &shares(fleet));
    let off = |token: Token| {
        let weight = token.status.weight - (token.status.weight + 25) / 50;
        fleet.with_weight(token.name as usize, weight)
    };
    fleet
        .tokens()
        .filter(|token| token.status.weight >= HEAVY)
        .map(off)
        .max_by(|a, b| seen(a).total_cmp(&seen(b)))
        .unwrap_or_else(|| fleet.clone())
}

/// Tests one fleet: `sample(fleet, keys)` has to fit `shares(fleet)`, and must not fit when the
/// sampled fleet has a planted weight.
fn verify(
    what: &str,
    fleet: &Fleet,
    shares: impl Fn(&Fleet) -> Vec<f64>,
    mut sample: impl FnMut(&Fleet, u64) -> Vec<u64>,
) {
    let expected = shares(fleet);
    let planted = plant(fleet, &shares);
    let freedom = expected.iter().filter(|&&share| share > 0.0).count() as f64 - 1.0;
    let keys = keys_needed(freedom, noncentrality(&expected, &shares(&planted)));
    assert!(keys < 20_000_000, "{what}: no weight is heavy enough to be seen");
    let fair = Fit::of(&sample(fleet, keys), &expected);
    let unfair = Fit::of(&sample(&planted, keys), &expected);
    println!(
        "{what}: {keys} keys, chi-square {:.1}, planted {:.1}, threshold {:.1} at {} degrees",
        fair.statistic,
        unfair.statistic,
        fair.threshold(),
        fair.freedom
    );
    assert!(!fair.rejects(), "{what}: {fair:?} {fleet:?}");
    assert!(unfair.rejects(), "{what}: a weight 2 % off goes unseen, {unfair:?} {planted:?}");
}

/// Returns the keys per slot, of `keys` keys that `hash` makes.
fn tally(
    fleet: &Fleet,
    strategy: Strategy,
    anonymous: bool,
    keys: u64,
    mut hash: impl FnMut(u64) -> u64,
) -> Vec<u64> {
    let slots = fleet.slots();
    let filter = Filter { anonymous, ..Filter::default() };
    let mut counts = vec![0; slots.len()];
    for key in 0..keys {
        let hash = hash(key);
        let slot = serve(strategy, &slots, &filter, hash).expect("a candidate");
        counts[slot as usize] += 1;
    }
    counts
}

/// Returns a random fleet in which not nearly all keys belong to one token.
fn mixed_fleet(random: &mut Random, size: u32, anonymous: bool) -> Fleet {
    loop {
        let fleet = Fleet::random(random, size);
        let heaviest = fleet.shares(anonymous).into_iter().fold(0.0, f64::max);
        if heaviest > 0.0 && heaviest < 0.9 {
            return fleet;
        }
    }
}

/// Many fleets of 2 to 64 slots: each separately for gross errors, and all together, where a weight
/// 2 % off in every fleet shows.
fn survey(strategy: Strategy) {
    const FLEETS: usize = 120;
    let mut random = Random::new(&format!("shares in many fleets, {}", strategy.name()));
    let fleets: Vec<(Fleet, bool)> = (0..FLEETS)
        .map(|i| {
            // Log-uniform from 2, and 64 now and then.
            let power = 64 >> below(&mut random, 6);
            let size = if i % 12 == 0 { 64 } else { power - below(&mut random, power / 2) };
            let anonymous = i % 2 == 0;
            (mixed_fleet(&mut random, size, anonymous), anonymous)
        })
        .collect();
    let planted: Vec<Fleet> =
        fleets.iter().map(|(fleet, anonymous)| plant(fleet, |f| f.shares(*anonymous))).collect();

    let (mut freedom, mut seen) = (0.0, 0.0);
    for ((fleet, anonymous), planted) in fleets.iter().zip(&planted) {
        let shares = fleet.shares(*anonymous);
        freedom += shares.iter().filter(|&&share| share > 0.0).count() as f64 - 1.0;
        seen += noncentrality(&shares, &planted.shares(*anonymous));
    }
    let keys = keys_needed(freedom, seen).max(100_000);

    let (mut fair, mut unfair) = (Fit::default(), Fit::default());
    let mut worst = 0.0_f64;
    for ((fleet, anonymous), planted) in fleets.iter().zip(&planted) {
        let shares = fleet.shares(*anonymous);
        let mut fit =
            |fleet| Fit::of(&tally(fleet, strategy, *anonymous, keys, |_| random.word()), &shares);
        let alone = fit(fleet);
        assert!(!alone.rejects(), "{alone:?} {fleet:?}");
        worst = worst.max(alone.statistic / alone.threshold());
        fair = fair.and(alone);
        unfair = unfair.and(fit(planted));
    }
    println!(
        "{}: {FLEETS} fleets, {keys} keys each; worst of all {worst:.2} of its threshold; together \
         {:.0}, planted {:.0}, threshold {:.0} at {} degrees, noncentrality {:.0}, needed {:.0}",
        strategy.name(),
        fair.statistic,
        unfair.statistic,
        fair.threshold(),
        fair.freedom,
        seen * keys as f64,
        needed_noncentrality(fair.freedom),
    );
    assert!(!fair.rejects(), "{fair:?}");
    assert!(unfair.rejects(), "weights 2 % off go unseen: {unfair:?}");
}

#[test]
fn jump_serves_by_weight_in_many_fleets() {
    survey(Strategy::Jump);
}

#[test]
fn rendezvous_serves_by_weight_in_many_fleets() {
    survey(Strategy::Rendezvous);
}

/// Fewer fleets, each with enough keys to show a single weight 2 % off.
#[test]
fn one_weight_off_in_one_fleet_shows() {
    let mut random = Random::new("shares in one fleet");
    let mut fleets = vec![
        Fleet::of(&[MAX_WEIGHT; 2]),
        Fleet::of(&[MAX_WEIGHT; 5]),
        Fleet::of(&[MAX_WEIGHT, MAX_WEIGHT / 2, MAX_WEIGHT / 4]),
        Fleet::of(&[1000, 2000, 3000, 0]),
    ];
    while fleets.len() < 8 {
        let size = 3 + below(&mut random, 6);
        let fleet = mixed_fleet(&mut random, size, false);
        let shares = fleet.shares(false);
        let visible =
            |token: Token| token.status.weight >= HEAVY && shares[token.name as usize] > 0.2;
        if fleet.tokens().any(visible) {
            fleets.push(fleet);
        }
    }
    for fleet in &fleets {
        for strategy in WEIGHTED {
            verify(
                &format!("{} over {} slots", strategy.name(), fleet.0.len()),
                fleet,
                |fleet| fleet.shares(false),
                |fleet, keys| tally(fleet, strategy, false, keys, |_| random.word()),
            );
        }
    }
}

/// The shares of the others in the keys that the lost slot served. (A draining slot loses its
/// anonymous keys to the same tokens; moves.rs compares them.)
#[test]
fn a_failed_tokens_keys_spread_over_the_rest_by_weight() {
    const LOST: u32 = 2;
    let mut random = Random::new("spread of a failed token's keys");
    let weights = [30_000, 20_000, MAX_WEIGHT, 0, 40_000];
    let down = |fleet: &Fleet| fleet.with_state(LOST as usize, State::Down);
    for strategy in STRATEGIES {
        verify(
            &format!("{}, slot {LOST} down", strategy.name()),
            &Fleet::of(&weights),
            |fleet| down(fleet).shares(false),
            |fleet, keys| {
                let (before, after) = (fleet.slots(), down(fleet).slots());
                let mut counts = vec![0; after.len()];
                let mut lost = 0;
                while lost < keys {
                    let hash = random.word();
                    let slot = |slots| {
                        serve(strategy, slots, &Filter::default(), hash).expect("a candidate")
                    };
                    if slot(&before) == LOST {
                        lost += 1;
                        counts[slot(&after) as usize] += 1;
                    }
                }
                counts
            },
        );
    }
}

fn placement() -> Secret {
    Secret::new(*b"placement secret")
}

/// Real keys, of every kind, numbered one after another as clients do.
#[test]
fn keys_in_a_row_spread_by_weight() {
    let fleet = Fleet::of(&[MAX_WEIGHT, 0, MAX_WEIGHT / 2, MAX_WEIGHT]);
    let secret = placement();
    let verify_kind = |what: &str, anonymous, hash: &dyn Fn(u64) -> u64| {
        for strategy in WEIGHTED {
            verify(
                &format!("{what}, {}", strategy.name()),
                &fleet,
                |fleet| fleet.shares(anonymous),
                |fleet, keys| tally(fleet, strategy, anonymous, keys, hash),
            );
        }
    };
    let hash = |scope: &[u8], key: Key| key_hash(&secret, scope, &key).unwrap();
    verify_kind("consumers", false, &|i| {
        hash(b"scope", Key::Consumer(format!("user-{i}").as_bytes()))
    });
    verify_kind("sessions", false, &|i| hash(b"", Key::Session(&i.to_be_bytes())));
    verify_kind("combined", false, &|i| {
        hash(b"", Key::Combined { consumer: b"team", session: &i.to_le_bytes() })
    });
    verify_kind("anonymous ids", true, &|i| {
        hash(b"", Key::Anonymous(&u128::from(i).to_be_bytes()))
    });
}

/// A request without affinity: sixteen random bytes as its anonymous id.
#[test]
fn random_ids_spread_by_weight() {
    let mut random = Random::new("random anonymous ids");
    let secret = placement();
    let fleet = Fleet::of(&[MAX_WEIGHT, MAX_WEIGHT / 3, MAX_WEIGHT / 2]);
    for strategy in WEIGHTED {
        verify(
            &format!("random anonymous ids, {}", strategy.name()),
            &fleet,
            |fleet| fleet.shares(true),
            |fleet, keys| {
                tally(fleet, strategy, true, keys, |_| {
                    let id = u128::from(random.word()) << 64 | u128::from(random.word());
                    key_hash(&secret, b"", &Key::Anonymous(&id.to_be_bytes())).unwrap()
                })
            },
        );
    }
}

/// The pairs (slot in one scope, slot in another) are independent: every pair has the product
/// of the two shares. So has another placement key.
#[test]
fn scopes_and_placement_keys_are_unrelated() {
    let secret = placement();
    let other = Secret::new(*b"placement secreT");
    let fleet = Fleet::of(&[MAX_WEIGHT; 3]);
    let size = fleet.0.len();
    for (what, second_secret, second_scope) in
        [("two scopes", &secret, &b"pool-b"[..]), ("two placement keys", &other, b"pool-a")]
    {
        for strategy in WEIGHTED {
            let name = format!("{what}, {}", strategy.name());
            let mut agreement = Vec::new();
            verify(
                &name,
                &fleet,
                |fleet| {
                    let shares = fleet.shares(false);
                    shares.iter().flat_map(|p| shares.iter().map(move |q| p * q)).collect()
                },
                |fleet, keys| {
                    let slots = fleet.slots();
                    let slot = |secret: &Secret, scope: &[u8], name: &[u8]| {
                        let hash = key_hash(secret, scope, &Key::Consumer(name)).unwrap();
                        serve(strategy, &slots, &Filter::default(), hash).unwrap() as usize
                    };
                    let mut counts = vec![0; size * size];
                    for key in 0..keys {
                        let name = format!("user-{key}");
                        let first = slot(&secret, b"pool-a", name.as_bytes());
                        let second = slot(second_secret, second_scope, name.as_bytes());
                        counts[first * size + second] += 1;
                    }
                    let same: u64 = counts.iter().step_by(size + 1).sum();
                    agreement.push((same, keys));
                    counts
                },
            );
            let (same, keys) = agreement[0];
            println!("{name}: the same slot for {:.3} %", same as f64 / keys as f64 * 100.0);
            assert!(plausible(same, keys, 1.0 / size as f64), "{name}: {same} of {keys}");
        }
    }
}
