//! The keys that move on an event, counted key by key in random fleets.

use tokenpin::{MAX_WEIGHT, SlotStatus, State, Strategy};

use crate::fleet::{Fleet, STRATEGIES, Token, WEIGHTED, below, keys};
use tokenpin_test_support::random::Random;

const FLEETS: u32 = 60;
const KEYS: usize = 3000;

/// The name of the token that served a key, and of the one that serves it now.
type Move = (Option<u32>, Option<u32>);

/// A fleet, and the tokens that serve a number of keys in it.
struct Setting {
    strategy: Strategy,
    anonymous: bool,
    fleet: Fleet,
    keys: Vec<u64>,
    served: Vec<Option<u32>>,
}

impl Setting {
    fn serve(&self, fleet: &Fleet) -> Vec<Option<u32>> {
        fleet.serve(self.strategy, self.anonymous, &self.keys)
    }

    /// The keys that move when the fleet turns into `after`.
    fn moves(&self, after: &Fleet) -> Vec<Move> {
        moved(&self.served, &self.serve(after))
    }

    fn token(&self, place: usize) -> Token {
        self.fleet.0[place].expect("the place holds a token")
    }

    #[track_caller]
    fn assert_all(&self, moves: &[Move], allowed: impl Fn(&Move) -> bool, after: &Fleet) {
        let wrong = moves.iter().find(|&change| !allowed(change));
        assert_eq!(wrong, None, "{:?}: {:?} to {after:?}", self.strategy, self.fleet);
    }

    #[track_caller]
    fn assert_only_to(&self, name: u32, after: &Fleet) -> usize {
        let moves = self.moves(after);
        self.assert_all(&moves, |&(_, to)| to == Some(name), after);
        moves.len()
    }

    #[track_caller]
    fn assert_only_from(&self, name: u32, after: &Fleet) -> usize {
        let moves = self.moves(after);
        self.assert_all(&moves, |&(from, _)| from == Some(name), after);
        moves.len()
    }

    /// Every key of the token called `name` moves, and no other.
    #[track_caller]
    fn assert_loses_all(&self, name: u32, after: &Fleet) -> usize {
        let lost = self.served.iter().filter(|&&served| served == Some(name)).count();
        assert_eq!(self.assert_only_from(name, after), lost);
        lost
    }
}

fn moved(before: &[Option<u32>], after: &[Option<u32>]) -> Vec<Move> {
    before.iter().copied().zip(after.iter().copied()).filter(|(from, to)| from != to).collect()
}

/// Sizes around those at which the probes change.
const LARGE: [u32; 6] = [63, 64, 65, 66, 128, 129];

/// Runs `check` in random fleets of 1 to 12 slots and of [`LARGE`] ones, under each strategy, for
/// keyed and for anonymous keys. It returns the number of moved keys; none at all would prove
/// nothing.
fn in_every_setting(
    test: &str,
    strategies: &[Strategy],
    mut check: impl FnMut(&Setting, &mut Random) -> usize,
) {
    let mut random = Random::new(test);
    let mut total = 0;
    let sizes: Vec<u32> = (0..FLEETS).map(|_| 1 + below(&mut random, 12)).chain(LARGE).collect();
    for size in sizes {
        let fleet = Fleet::random(&mut random, size);
        // Every place has its turn.
        let count = if size < 63 { KEYS } else { KEYS / 10 };
        let keys = keys(&mut random, count);
        for &strategy in strategies {
            for anonymous in [false, true] {
                let (fleet, keys) = (fleet.clone(), keys.clone());
                let served = fleet.serve(strategy, anonymous, &keys);
                total += check(&Setting { strategy, anonymous, fleet, keys, served }, &mut random);
            }
        }
    }
    println!("{test}: {total} keys moved, each as it should");
    assert!(total > 0);
}

fn shuffle<T>(random: &mut Random, items: &mut [T]) {
    for i in (1..items.len()).rev() {
        items.swap(i, usize::try_from(random.below(i as u64 + 1)).unwrap());
    }
}

#[test]
fn one_failure_moves_its_keys_and_no_others() {
    in_every_setting("one failure", &STRATEGIES, |setting, _| {
        let mut total = 0;
        for place in setting.fleet.places() {
            let after = setting.fleet.with_state(place, State::Down);
            total += setting.assert_loses_all(setting.token(place).name, &after);
        }
        total
    });
}

/// All tokens fail one by one, and recover in another order. At every step the keys of the tokens
/// that have not failed are where they were at first. Without any token there is no answer. At the
/// end every key is back.
#[test]
fn failures_and_recoveries_in_any_order_move_no_other_keys() {
    in_every_setting("failures and recoveries", &STRATEGIES, |setting, random| {
        let mut order = setting.fleet.places();
        let mut fleet = setting.fleet.clone();
        let mut served = setting.served.clone();
        let mut total = 0;
        let steps: Vec<(usize, bool)> = [false, true]
            .into_iter()
            .flat_map(|recovers| {
                shuffle(random, &mut order);
                order.iter().map(move |&place| (place, recovers)).collect::<Vec<_>>()
            })
            .collect();
        for (step, &(place, recovers)) in steps.iter().enumerate() {
            let Token { name, status } = setting.token(place);
            let state = if recovers { status.state } else { State::Down };
            fleet = fleet.with_state(place, state);
            let now = setting.serve(&fleet);
            let moves = moved(&served, &now);
            setting.assert_all(
                &moves,
                |&(from, to)| if recovers { to } else { from } == Some(name),
                &fleet,
            );
            for (&first, &now) in setting.served.iter().zip(&now) {
                // A random fleet names its tokens after their places.
                let untouched = first
                    .is_none_or(|name| fleet.0[name as usize] == setting.fleet.0[name as usize]);
                assert!(first == now || !untouched, "{first:?} to {now:?}: {fleet:?}");
            }
            if step + 1 == setting.fleet.places().len() {
                assert!(now.iter().all(Option::is_none), "everything is down");
            }
            total += moves.len();
            served = now;
        }
        assert_eq!(served, setting.served);
        total
    });
}

#[test]
fn draining_moves_only_anonymous_newcomers() {
    in_every_setting("drain", &STRATEGIES, |setting, _| {
        let up = |&place: &usize| setting.token(place).status.state == State::Up;
        let mut total = 0;
        for place in setting.fleet.places().into_iter().filter(up) {
            let after = setting.fleet.with_state(place, State::Draining);
            let takes = |token: Token| token.status.state == State::Up && token.status.weight > 0;
            let name = setting.token(place).name;
            if !setting.anonymous {
                assert_eq!(setting.moves(&after), []);
            } else if after.tokens().any(takes) {
                total += setting.assert_loses_all(name, &after);
                let down = setting.fleet.with_state(place, State::Down);
                assert_eq!(setting.serve(&after), setting.serve(&down));
            } else {
                // The last one that was up keeps its share of what all draining ones would have.
                total += setting.assert_only_from(name, &after);
                let keyed = after.serve(setting.strategy, false, &setting.keys);
                assert_eq!(moved(&keyed, &setting.serve(&after)), []);
            }
        }
        total
    });
}

#[test]
fn a_weight_that_rises_draws_keys_to_its_token_alone() {
    in_every_setting("weight up", &STRATEGIES, |setting, random| {
        let mut total = 0;
        for place in setting.fleet.places() {
            let Token { name, status } = setting.token(place);
            let room = MAX_WEIGHT - status.weight;
            for weight in [status.weight + below(random, room + 1), MAX_WEIGHT] {
                total += setting.assert_only_to(name, &setting.fleet.with_weight(place, weight));
            }
        }
        total
    });
}

#[test]
fn a_weight_that_falls_moves_keys_from_its_token_alone() {
    in_every_setting("weight down", &STRATEGIES, |setting, random| {
        let mut total = 0;
        for place in setting.fleet.places() {
            let Token { name, status } = setting.token(place);
            let weight = below(random, status.weight + 1);
            total += setting.assert_only_from(name, &setting.fleet.with_weight(place, weight));
            total += setting.assert_loses_all(name, &setting.fleet.with_weight(place, 0));
        }
        total
    });
}

const NEW: u32 = 1000;

fn new_token(weight: u32) -> Token {
    Token { name: NEW, status: SlotStatus { weight, ..SlotStatus::UP } }
}

fn any_weight(random: &mut Random) -> u32 {
    below(random, MAX_WEIGHT + 1)
}

#[test]
fn filling_a_vacant_slot_moves_keys_to_the_new_token_alone() {
    in_every_setting("fill", &WEIGHTED, |setting, random| {
        let mut total = 0;
        for place in (0..setting.fleet.0.len()).filter(|&place| setting.fleet.0[place].is_none()) {
            for weight in [1, any_weight(random), MAX_WEIGHT] {
                let mut after = setting.fleet.clone();
                after.0[place] = Some(new_token(weight));
                total += setting.assert_only_to(NEW, &after);
            }
        }
        total
    });
}

/// The advice of the page, instead of deleting the slot.
#[test]
fn vacating_a_slot_moves_its_keys_alone() {
    in_every_setting("vacate", &WEIGHTED, |setting, _| {
        let mut total = 0;
        for place in setting.fleet.places() {
            let mut after = setting.fleet.clone();
            after.0[place] = None;
            total += setting.assert_loses_all(setting.token(place).name, &after);
        }
        total
    });
}

/// Below full weight this fails under jump by the share in the table.
#[test]
fn growing_by_a_token_at_full_weight_moves_keys_to_it_alone() {
    in_every_setting("grow", &WEIGHTED, |setting, random| {
        let grown = |weight| {
            let mut after = setting.fleet.clone();
            after.0.push(Some(new_token(weight)));
            after
        };
        let total = setting.assert_only_to(NEW, &grown(MAX_WEIGHT));
        if setting.strategy == Strategy::Rendezvous {
            setting.assert_only_to(NEW, &grown(any_weight(random)));
        }
        total
    });
}

#[test]
fn rendezvous_forgets_the_order_and_the_gaps_of_the_list() {
    in_every_setting("delete", &[Strategy::Rendezvous], |setting, random| {
        let mut total = 0;
        for place in setting.fleet.places() {
            let mut after = setting.fleet.clone();
            after.0.remove(place);
            total += setting.assert_loses_all(setting.token(place).name, &after);
        }
        let mut shuffled = setting.fleet.clone();
        shuffle(random, &mut shuffled.0);
        assert_eq!(setting.moves(&shuffled), []);
        total
    });
}
