//! Every answer against the slow model, and independence from everything else.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select as one_of;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokenpin::{Filter, Key, MAX_WEIGHT, Secret, Slot, SlotStatus, State};

use crate::fleet::{Fleet, STRATEGIES, Token, below, fnv1a_of, keys, serve};
use crate::model;
use tokenpin_test_support::random::Random;

const STATES: [State; 4] = [State::Up, State::Draining, State::Down, State::Vacant];

/// Every fleet of 1 to 6 slots in every combination of states, keyed and anonymous.
#[test]
fn every_combination_of_states_in_small_fleets() {
    let mut random = Random::new("all combinations of states");
    let mut answers = 0_u64;
    for size in 1..=6_usize {
        let mut any = || (0..size).map(|_| below(&mut random, MAX_WEIGHT + 1)).collect::<Vec<_>>();
        let mut some_zero = any();
        some_zero[size / 2] = 0;
        for weights in [vec![MAX_WEIGHT; size], any(), some_zero] {
            let full = Fleet::of(&weights);
            for mask in 0..1_usize << (2 * size) {
                let states = (0..size).map(|place| STATES[mask >> (2 * place) & 3]);
                let fleet: Fleet = full.0.iter().zip(states).map(with_state).collect();
                let slots = fleet.slots();
                let keys = keys(&mut random, 12);
                for (anonymous, strategy) in
                    [false, true].into_iter().flat_map(|a| STRATEGIES.map(|strategy| (a, strategy)))
                {
                    let filter = Filter { anonymous, ..Filter::default() };
                    for &key in &keys {
                        let answer = serve(strategy, &slots, &filter, key);
                        let expected = model::serve(strategy, &fleet, &filter, key, fnv1a_of(key));
                        assert_eq!(answer, expected, "{strategy:?} {filter:?} {key} {fleet:?}");
                        answers += 1;
                    }
                }
            }
        }
    }
    println!("{answers} answers agree with the model");
}

/// A weight of 1 is an ordinary weight, and no sign that there is no champion yet.
#[test]
fn the_smallest_weights() {
    let mut random = Random::new("the smallest weights");
    let filter = Filter::default();
    for _ in 0..300 {
        let weights: Vec<u32> = (0..12).map(|_| 1 + below(&mut random, 3)).collect();
        let fleet = Fleet::of(&weights);
        let slots = fleet.slots();
        for key in keys(&mut random, 20) {
            for strategy in STRATEGIES {
                let answer = serve(strategy, &slots, &filter, key);
                let expected = model::serve(strategy, &fleet, &filter, key, fnv1a_of(key));
                assert_eq!(answer, expected, "{strategy:?} {key} {fleet:?}");
            }
        }
    }
}

fn with_state((place, state): (&Option<Token>, State)) -> Option<Token> {
    let Token { name, status } = place.expect("the fleet is full");
    let token = Token { name, status: SlotStatus { state, ..status } };
    (state != State::Vacant).then_some(token)
}

/// Checks a property on random cases, which the printed seed repeats.
fn hold<S: Strategy>(
    test: &str,
    cases: u32,
    case: S,
    check: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let mut random = Random::new(test);
    let seed: Vec<u8> = (0..4).flat_map(|_| random.word().to_le_bytes()).collect();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    runner.run(&case, check).unwrap_or_else(|error| panic!("{error}"));
}

fn any_weight() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), Just(MAX_WEIGHT - 1), Just(MAX_WEIGHT), 0..=MAX_WEIGHT]
}

fn any_status() -> impl Strategy<Value = SlotStatus> {
    (one_of(&STATES[..3]), any_weight(), 0..4_u64).prop_map(|(state, weight, until)| SlotStatus {
        state,
        weight,
        until,
    })
}

/// Names from a few, so that identities repeat. A token set forbids that, but here it makes draws
/// tie, for which the page defines an answer.
fn any_place() -> impl Strategy<Value = Option<Token>> {
    let token = (0..30_u32, any_status()).prop_map(|(name, status)| Token { name, status });
    option::weighted(0.9, token)
}

/// More slots, of which few can serve, so that many probes are needed.
fn any_larger_fleet() -> impl Strategy<Value = Vec<Option<Token>>> {
    let sizes = vec![62_u32, 63, 64, 65, 66, 100, 127, 128, 129, 300];
    let states = [
        vec![State::Up],
        vec![State::Up, State::Down],
        vec![State::Down, State::Down, State::Down, State::Down, State::Up, State::Draining],
        vec![State::Down, State::Draining],
    ];
    let weights = [vec![MAX_WEIGHT], vec![1], vec![0, MAX_WEIGHT / 2, MAX_WEIGHT], vec![0, 1]];
    let occupied = one_of(vec![0.99, 0.7, 0.05]);
    let styles = (one_of(states.to_vec()), one_of(weights.to_vec()));
    (one_of(sizes), occupied, styles).prop_flat_map(|(size, occupied, (states, weights))| {
        let place = (one_of(states), one_of(weights), 0..4_u64);
        let places = vec(option::weighted(occupied, place), size as usize);
        places.prop_map(|places| {
            let token = |(name, (state, weight, until))| Token {
                name,
                status: SlotStatus { state, weight, until },
            };
            (0..).zip(places).map(|(name, place)| Some(token((name, place?)))).collect()
        })
    })
}

/// The condition that `h` is made to fulfil.
#[derive(Clone, Debug)]
enum Aim {
    Random(u64),
    /// The slot of this number, if it holds a token, draws this `r`.
    Draw(usize, u64),
    /// Probe `k` draws the weight of the slot of this number, or one less or more.
    Accept(u32, usize, u64),
}

fn any_aim() -> impl Strategy<Value = Aim> {
    let edges = vec![0, 1, 2, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 1, u64::MAX];
    prop_oneof![
        any::<u64>().prop_map(Aim::Random),
        (0..8_usize, one_of(edges)).prop_map(|(slot, r)| Aim::Draw(slot, r)),
        // The edges of the cells of the table of logarithms, and around them.
        (0..8_usize, 0..64_u32, 256..512_u64, 0..3_u64).prop_map(|(slot, shift, cell, by)| {
            let edge = u128::from(cell) << shift >> 8;
            Aim::Draw(slot, u64::try_from(edge).unwrap().wrapping_add(by).wrapping_sub(2))
        }),
        any_acceptance(),
    ]
}

fn any_acceptance() -> impl Strategy<Value = Aim> {
    (0..model::PROBES, any::<usize>(), any::<u64>())
        .prop_map(|(k, slot, low)| Aim::Accept(k, slot, low))
}

fn aimed_hash(aim: &Aim, fleet: &Fleet) -> u64 {
    match *aim {
        Aim::Random(hash) => hash,
        Aim::Draw(slot, r) => match fleet.0.get(slot).copied().flatten() {
            Some(token) => unmix(r) ^ model::identity_hash(token.identity().as_bytes()),
            None => r,
        },
        Aim::Accept(k, slot, low) => {
            let places = fleet.places();
            let place = places.get(slot % places.len().max(1)).map(|&place| fleet.0[place]);
            let weight = place.flatten().map_or(MAX_WEIGHT, |token| token.status.weight);
            let draw = (u64::from(weight) + low % 3).saturating_sub(1);
            hash_of_draw(k, draw << 48 | low >> 16)
        }
    }
}

/// Returns the `h` that leads to this `h_(k+1)`.
fn hash_of_draw(k: u32, last: u64) -> u64 {
    (0..=k).fold(last, |h, _| unmix(h) ^ 0x9e37_79b9_7f4a_7c15)
}

/// Inverts `mix`.
fn unmix(x: u64) -> u64 {
    let inverse =
        |a: u64| (0..6).fold(1_u64, |i, _| i.wrapping_mul(2_u64.wrapping_sub(a.wrapping_mul(i))));
    let x = x ^ x >> 31 ^ x >> 62;
    let x = x.wrapping_mul(inverse(0x94d0_49bb_1331_11eb));
    let x = x ^ x >> 27 ^ x >> 54;
    let x = x.wrapping_mul(inverse(0xbf58_476d_1ce4_e5b9));
    x ^ x >> 30 ^ x >> 60
}

#[test]
fn any_fleet_and_any_filter_answer_as_the_model_does() {
    let case = (
        vec(any_place(), 0..40),
        any_aim(),
        vec(any::<u8>(), 1..20),
        one_of(&STRATEGIES[..]),
        (0..5_u64, any::<bool>(), vec(0..40_u32, 0..6), option::of(0..40_u32)),
    );
    hold(
        "fleets against the model",
        40_000,
        case,
        |(places, aim, name, strategy, (now, anonymous, tried, pinned))| {
            let fleet = Fleet(places);
            let filter = Filter { now, anonymous, tried: &tried, pinned };
            let hash = aimed_hash(&aim, &fleet);
            let key = Key::Consumer(&name);
            let answer = if strategy == tokenpin::Strategy::HigressFnv1aModulo {
                tokenpin::select_higress(&fleet.slots(), &filter, hash, &key)
            } else {
                tokenpin::select(strategy, &fleet.slots(), &filter, hash).unwrap()
            };
            let fnv1a = model::fnv1a32(&key);
            prop_assert_eq!(answer, model::serve(strategy, &fleet, &filter, hash, fnv1a));
            Ok(())
        },
    );
}

#[test]
fn larger_fleets_answer_as_the_model_does() {
    let aim = prop_oneof![any::<u64>().prop_map(Aim::Random), any_acceptance()];
    let case = (any_larger_fleet(), vec(aim, 8), 0..5_u64, vec(0..300_u32, 0..4));
    hold("larger fleets against the model", 2000, case, |(places, aims, now, tried)| {
        let fleet = Fleet(places);
        let slots = fleet.slots();
        for (hash, anonymous) in
            aims.iter().map(|aim| aimed_hash(aim, &fleet)).flat_map(|h| [(h, false), (h, true)])
        {
            let filter = Filter { now, anonymous, tried: &tried, pinned: None };
            for strategy in STRATEGIES {
                let expected = model::serve(strategy, &fleet, &filter, hash, fnv1a_of(hash));
                prop_assert_eq!(serve(strategy, &slots, &filter, hash), expected);
            }
        }
        Ok(())
    });
}

/// One of two candidates is probed, once: it serves if the draw is below its weight, else the
/// contest decides.
#[test]
fn acceptance_at_its_edges_at_every_probe() {
    let mut random = Random::new("edges of acceptance");
    let filter = Filter::default();
    let mut turned_away = 0;
    for k in 0..model::PROBES {
        for round in 0..100 {
            let size = [64, 65, 100, 129][round % 4];
            let weight = [1, 2, 40_000, MAX_WEIGHT - 1][below(&mut random, 4) as usize];
            let low = random.word() >> 16;
            for (draw, accepts) in [(weight - 1, true), (weight, false)] {
                let hash = hash_of_draw(k, u64::from(draw) << 48 | low);
                let mut probed: Vec<u32> =
                    model::probes(hash, size).into_iter().map(|(slot, _)| slot).collect();
                let slot = probed.remove(k as usize);
                if probed.contains(&slot) {
                    continue;
                }
                let other = (0..size).find(|n| *n != slot && !probed.contains(n)).unwrap();
                let mut fleet = Fleet(vec![None; size as usize]);
                for (name, weight) in [(slot, weight), (other, MAX_WEIGHT)] {
                    let status = SlotStatus { weight, ..SlotStatus::UP };
                    fleet.0[name as usize] = Some(Token { name, status });
                }
                let contest =
                    model::serve(tokenpin::Strategy::Rendezvous, &fleet, &filter, hash, 0);
                let expected = if accepts { Some(slot) } else { contest };
                let answer = serve(tokenpin::Strategy::Jump, &fleet.slots(), &filter, hash);
                assert_eq!(answer, expected, "probe {k} draws {draw} for {weight}, {size} slots");
                turned_away += u32::from(answer == Some(other));
            }
        }
    }
    assert!(turned_away > 500, "{turned_away}");
}

/// If no other slot can serve a newcomer, draining slots do, by weight and not below it, and the
/// first slot that is up takes all.
#[test]
fn draining_slots_are_the_last_resort_of_newcomers() {
    let mut random = Random::new("last resort");
    for size in [1, 2, 3, 5, 12, 64, 65, 130] {
        for _ in 0..20 {
            let mut fleet = Fleet::random(&mut random, size);
            for place in fleet.places() {
                let state = [State::Draining, State::Down][below(&mut random, 2) as usize];
                fleet = fleet.with_state(place, state);
            }
            let mut up = fleet.clone();
            for place in fleet.places() {
                if fleet.0[place].unwrap().status.state == State::Draining {
                    up = up.with_state(place, State::Up);
                }
            }
            let keys = keys(&mut random, 200);
            for strategy in STRATEGIES {
                let served = fleet.serve(strategy, true, &keys);
                // As a key with the same hash, and as if the draining slots were up.
                assert!(served == fleet.serve(strategy, false, &keys), "{strategy:?} {fleet:?}");
                assert!(served == up.serve(strategy, true, &keys), "{strategy:?} {fleet:?}");
                for place in fleet.places() {
                    let one = fleet.with(place, |status| {
                        *status = SlotStatus { weight: 1, ..SlotStatus::UP };
                    });
                    let name = one.0[place].unwrap().name;
                    let all = one.serve(strategy, true, &keys);
                    assert!(all.iter().all(|&served| served == Some(name)), "{one:?}");
                }
            }
        }
    }
}

#[test]
fn an_aimed_key_draws_what_it_is_aimed_at() {
    for r in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
        assert_eq!(model::mix(unmix(r)), r);
        assert_eq!(tokenpin::mix(unmix(r)), r);
        for k in 0..model::PROBES {
            assert_eq!(model::probes(hash_of_draw(k, r), 64)[k as usize].1, r >> 48);
        }
    }
}

#[test]
fn keys_and_identities_hash_as_the_page_says() {
    let bytes = || vec(any::<u8>(), 1..80);
    let case = (any::<[u8; 16]>(), vec(any::<u8>(), 0..80), bytes(), bytes(), any::<[u8; 16]>());
    hold("hashes against the model", 2000, case, |(placement, scope, first, second, id)| {
        let secret = Secret::new(placement);
        let combined = Key::Combined { consumer: &first, session: &second };
        for key in [Key::Consumer(&first), Key::Session(&first), Key::Anonymous(&id), combined] {
            let hash = tokenpin::key_hash(&secret, &scope, &key).unwrap();
            prop_assert_eq!(hash, model::key_hash(placement, &scope, &key));
        }
        prop_assert_eq!(tokenpin::identity_hash(&first), model::identity_hash(&first));
        prop_assert_eq!(
            Slot::new(&first, SlotStatus::UP).unwrap().identity_hash(),
            model::identity_hash(&first)
        );
        Ok(())
    });
}

/// One set of slots lives through random events. At every moment it answers like a new set with the
/// same state, and selecting changes nothing.
#[test]
fn no_history_leaves_a_trace() {
    let fleet = vec((0..1000_u32, any_status()), 1..12).prop_map(|tokens| {
        let place = |(name, status)| Some(Token { name, status });
        tokens.into_iter().map(place).collect::<Fleet>()
    });
    let events = vec((any::<prop::sample::Index>(), any_status()), 1..25);
    let case = (fleet, events, vec(any::<u64>(), 30), 0..5_u64, any::<bool>());
    hold("no history", 1000, case, |(mut fleet, events, keys, now, anonymous)| {
        let lived = fleet.slots();
        let filter = Filter { now, anonymous, ..Filter::default() };
        let serve = |strategy, slots: &[Slot]| -> Vec<Option<u32>> {
            let one = |&key| serve(strategy, slots, &filter, key);
            keys.iter().map(one).collect()
        };
        for (index, status) in events {
            let place = index.index(fleet.0.len());
            lived[place].set(status).unwrap();
            fleet = fleet.with(place, |old| *old = status);
            let fresh = fleet.slots();
            for strategy in STRATEGIES {
                prop_assert_eq!(serve(strategy, &lived), serve(strategy, &fresh));
            }
        }
        Ok(())
    });
}

/// Excluding a slot for one request, as tried or as the pin that cannot serve, equals that slot
/// being down.
#[test]
fn a_slot_left_out_is_a_slot_that_is_down() {
    let mut random = Random::new("tried and pinned");
    let fleet = Fleet::of(&[MAX_WEIGHT, 30_000, MAX_WEIGHT, 9, 50_000]);
    let slots = fleet.slots();
    let answer =
        |strategy, slots: &[Slot], filter: &Filter, key| serve(strategy, slots, filter, key);
    let one_down = |place: u32| fleet.with_state(place as usize, State::Down);
    for key in keys(&mut random, 5000) {
        for strategy in STRATEGIES {
            let first = answer(strategy, &slots, &Filter::default(), key).unwrap();
            let expected =
                answer(strategy, &one_down(first).slots(), &Filter::default(), key).unwrap();
            let pinned = Filter { pinned: Some(first), ..Filter::default() };
            assert_eq!(answer(strategy, &slots, &pinned, key), Some(expected));

            // Retries walk over every slot once and end without an answer.
            let mut tried = Vec::new();
            while let Some(next) =
                answer(strategy, &slots, &Filter { tried: &tried, ..Filter::default() }, key)
            {
                assert!(!tried.contains(&next), "{next} again after {tried:?}");
                assert!(tried.len() != 1 || next == expected);
                tried.push(next);
            }
            assert_eq!(tried.len(), slots.len());
        }
    }
}

#[test]
fn until_brings_a_slot_back_at_its_second() {
    let mut random = Random::new("until");
    let up = Fleet::of(&[MAX_WEIGHT, 40_000, 50_000]);
    for state in [State::Draining, State::Down] {
        let out = up.with(1, |status| (status.state, status.until) = (state, 1000));
        let for_ever = up.with_state(1, state);
        for key in keys(&mut random, 2000) {
            for strategy in STRATEGIES {
                let serve = |fleet: &Fleet, now| {
                    let filter = Filter { now, anonymous: true, ..Filter::default() };
                    serve(strategy, &fleet.slots(), &filter, key)
                };
                assert_ne!(serve(&out, 999), Some(1));
                assert_eq!(serve(&out, 999), serve(&for_ever, u64::MAX));
                assert_eq!(serve(&out, 1000), serve(&up, 0));
            }
        }
    }
}

#[test]
fn without_a_candidate_there_is_no_answer() {
    let empty = Fleet(Vec::new());
    let vacant = Fleet(vec![None; 3]);
    let zero = Fleet::of(&[0; 3]);
    let down = Fleet::of(&[MAX_WEIGHT]).with_state(0, State::Down);
    let draining = zero.with_state(0, State::Draining);
    for fleet in [empty, vacant, zero, down, draining] {
        for strategy in STRATEGIES {
            let keys: Vec<u64> = (0..1000).map(model::mix).collect();
            assert!(fleet.serve(strategy, true, &keys).iter().all(Option::is_none), "{fleet:?}");
        }
    }
}
