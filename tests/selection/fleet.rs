//! A token set as a value, which tests copy and change.

use tokenpin::{
    Filter, Key, MAX_WEIGHT, Slot, SlotStatus, State, Strategy, select, select_higress,
};

use crate::model;
use tokenpin_test_support::random::Random;

pub const STRATEGIES: [Strategy; 3] =
    [Strategy::Jump, Strategy::Rendezvous, Strategy::HigressFnv1aModulo];

/// The two strategies that distribute by weight.
pub const WEIGHTED: [Strategy; 2] = [Strategy::Jump, Strategy::Rendezvous];

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token {
    /// Stands for the account, regardless of its place in the list.
    pub name: u32,
    pub status: SlotStatus,
}

impl Token {
    pub fn identity(&self) -> String {
        format!("account-{}", self.name)
    }
}

/// The slots in order; `None` is a vacant one.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet(pub Vec<Option<Token>>);

impl Fleet {
    /// Tokens named from 0, all up, with these weights.
    pub fn of(weights: &[u32]) -> Self {
        let up = |weight| SlotStatus { weight, ..SlotStatus::UP };
        (0..).zip(weights).map(|(name, &weight)| Some(Token { name, status: up(weight) })).collect()
    }

    /// Returns `size` slots in any states, with weights of one random style. Tokens are named after
    /// their places.
    pub fn random(random: &mut Random, size: u32) -> Self {
        let style = random.below(4);
        (0..size)
            .map(|name| {
                let weight = match style {
                    0 => MAX_WEIGHT,
                    1 => below(random, MAX_WEIGHT + 1),
                    // Log-uniform.
                    2 => (MAX_WEIGHT - below(random, MAX_WEIGHT / 2)) >> below(random, 17),
                    _ => [0, 1, MAX_WEIGHT / 2, MAX_WEIGHT][below(random, 4) as usize],
                };
                let state = match below(random, 10) {
                    0 => return None,
                    1 => State::Down,
                    2 => State::Draining,
                    _ => State::Up,
                };
                Some(Token { name, status: SlotStatus { state, weight, until: 0 } })
            })
            .collect()
    }

    pub fn slots(&self) -> Vec<Slot> {
        let slot = |place: &Option<Token>| match place {
            Some(token) => Slot::new(token.identity().as_bytes(), token.status).unwrap(),
            None => Slot::vacant(),
        };
        self.0.iter().map(slot).collect()
    }

    /// This fleet with the token in `place` changed.
    pub fn with(&self, place: usize, change: impl FnOnce(&mut SlotStatus)) -> Self {
        let mut fleet = self.clone();
        change(&mut fleet.0[place].as_mut().expect("the place holds a token").status);
        fleet
    }

    pub fn with_state(&self, place: usize, state: State) -> Self {
        self.with(place, |status| status.state = state)
    }

    pub fn with_weight(&self, place: usize, weight: u32) -> Self {
        self.with(place, |status| status.weight = weight)
    }

    pub fn tokens(&self) -> impl Iterator<Item = Token> {
        self.0.iter().copied().flatten()
    }

    /// The places that hold a token.
    pub fn places(&self) -> Vec<usize> {
        (0..self.0.len()).filter(|&place| self.0[place].is_some()).collect()
    }

    /// The weight at which each place competes.
    fn weights(&self, anonymous: bool) -> Vec<f64> {
        let in_state = |which: &[State]| -> Vec<f64> {
            let weight = |place: &Option<Token>| match place {
                Some(Token { status, .. }) if which.contains(&status.state) => {
                    f64::from(status.weight)
                }
                _ => 0.0,
            };
            self.0.iter().map(weight).collect()
        };
        let up = in_state(&[State::Up]);
        match anonymous {
            false => in_state(&[State::Up, State::Draining]),
            true if up.iter().all(|&weight| weight == 0.0) => in_state(&[State::Draining]),
            true => up,
        }
    }

    /// Returns the promised share of all keys for each place; zeros if no slot can serve.
    pub fn shares(&self, anonymous: bool) -> Vec<f64> {
        let weights = self.weights(anonymous);
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| if total > 0.0 { weight / total } else { 0.0 }).collect()
    }

    /// The name of the token that serves each key.
    pub fn serve(&self, strategy: Strategy, anonymous: bool, keys: &[u64]) -> Vec<Option<u32>> {
        let slots = self.slots();
        let filter = Filter { anonymous, ..Filter::default() };
        let name = |slot: u32| self.0[slot as usize].expect("a vacant slot never serves").name;
        keys.iter().map(|&key| serve(strategy, &slots, &filter, key).map(name)).collect()
    }
}

impl FromIterator<Option<Token>> for Fleet {
    fn from_iter<I: IntoIterator<Item = Option<Token>>>(places: I) -> Self {
        Self(places.into_iter().collect())
    }
}

/// Returns the library's answer for the key with hash `hash`. Under Higress's strategy, which
/// hashes the key itself, the key is made from the hash.
pub fn serve(strategy: Strategy, slots: &[Slot], filter: &Filter, hash: u64) -> Option<u32> {
    if strategy == Strategy::HigressFnv1aModulo {
        select_higress(slots, filter, hash, &Key::Consumer(&hash.to_le_bytes()))
    } else {
        select(strategy, slots, filter, hash).unwrap()
    }
}

/// Returns the FNV-1a hash of the key that [`serve`] makes.
pub fn fnv1a_of(hash: u64) -> u32 {
    model::fnv1a32(&Key::Consumer(&hash.to_le_bytes()))
}

pub fn keys(random: &mut Random, count: usize) -> Vec<u64> {
    (0..count).map(|_| random.word()).collect()
}

/// A random number below `bound`.
pub fn below(random: &mut Random, bound: u32) -> u32 {
    u32::try_from(random.below(bound.into())).expect("below a u32")
}
