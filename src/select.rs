//! Selection: which slot serves a key.
//!
//! A pure function of the key's hash and of the slots' identities, states and weights;
//! nothing is remembered between calls. docs/selection.md tells what follows from that.

use crate::hash::mix;
#[cfg(feature = "capi")]
use crate::jump::jump_many;
use crate::jump::{MAX_BUCKETS, jump_unchecked};
use crate::names::named;
use crate::rendezvous::Draw;
use crate::slot::{Slot, State, Status};

/// How a slot is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Strategy {
    /// The jump consistent hash gives the home slot; weighted rendezvous takes over
    /// where the home slot does not serve. The default.
    Jump = 0,
    /// Weighted rendezvous alone: insensitive to the order of the list and to deletions
    /// in its middle; cost grows with the number of slots.
    Rendezvous = 1,
    /// What Higress ai-proxy does: FNV-1a modulo the number of accounts. For migration
    /// only: anyone can aim a key at a slot, and changing the list moves most sessions.
    HigressFnv1aModulo = 2,
}

named! { Strategy {
    Jump = "jump", Rendezvous = "rendezvous", HigressFnv1aModulo = "higress_fnv1a_modulo",
} }

/// Which slots are candidates.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Unix seconds, for `until`.
    pub now: u64,
    /// The key is an anonymous id that no pin vouches for: draining slots are left out.
    pub anonymous: bool,
    /// Slots that this request has tried already.
    pub tried: &'a [u32],
    /// One more slot to leave out: the pinned one, when it cannot serve.
    pub pinned: Option<u32>,
}

impl Filter<'_> {
    /// The weight at which a slot competes; 0 if it is no candidate.
    #[inline]
    fn weight(&self, slot: u32, status: Status) -> u32 {
        let admitted = match status.state_at(self.now) {
            State::Up => true,
            State::Draining => !self.anonymous,
            State::Down | State::Vacant => false,
        };
        let left_out = self.pinned == Some(slot) || self.tried.contains(&slot);
        if admitted && !left_out { status.weight } else { 0 }
    }
}

/// The slot that serves the key with hash `hash`, or `None` without a candidate.
///
/// `fnv1a` is [`fnv1a32`](crate::fnv1a32) of the key, for the Higress strategy alone.
/// Slots past the first `2^31 - 1` are not looked at. Under [`Strategy::Jump`] it takes
/// about `ln(n)` steps where the home slot serves; else, and under the other strategies,
/// linear time in the number of slots, times the number of tried ones. State, weight and
/// until of a slot are read once.
#[must_use]
pub fn select(
    strategy: Strategy,
    slots: &[Slot],
    filter: &Filter<'_>,
    hash: u64,
    fnv1a: u32,
) -> Option<u32> {
    let slots = slots.get(..MAX_BUCKETS as usize).unwrap_or(slots);
    let first = match strategy {
        Strategy::Jump => Some(jump_unchecked(hash, count(slots))),
        Strategy::Rendezvous => None,
        Strategy::HigressFnv1aModulo => nth_occupied(slots, fnv1a),
    };
    match first {
        Some(home) => from_home(strategy, slots, filter, hash, home),
        None => rendezvous(slots, filter, hash, None),
    }
}

/// [`select`] under [`Strategy::Jump`] for many hashes. `put` receives the answers in order.
#[cfg(feature = "capi")]
pub(crate) fn select_by_jump(
    slots: &[Slot],
    filter: &Filter<'_>,
    hashes: &[u64],
    mut put: impl FnMut(Option<u32>),
) {
    let slots = slots.get(..MAX_BUCKETS as usize).unwrap_or(slots);
    let mut homes = [0; 64];
    for hashes in hashes.chunks(homes.len()) {
        jump_many(hashes, count(slots), &mut homes);
        for (&hash, &home) in hashes.iter().zip(&homes) {
            put(from_home(Strategy::Jump, slots, filter, hash, home));
        }
    }
}

/// The home slot if it takes the key, else another.
#[inline]
fn from_home(
    strategy: Strategy,
    slots: &[Slot],
    filter: &Filter<'_>,
    hash: u64,
    home: u32,
) -> Option<u32> {
    let weight = filter.weight(home, slots.get(home as usize)?.status());
    let accepted = match strategy {
        // 16 fresh bits against the weight: a token at half weight keeps half its keys.
        Strategy::Jump => mix(hash ^ 0x9e37_79b9_7f4a_7c15) >> 48 < u64::from(weight),
        _ => weight > 0,
    };
    if accepted {
        return Some(home);
    }
    rendezvous(slots, filter, hash, Some((home, weight)))
}

/// One pass over the candidates, champion against challenger. `known` is a slot whose
/// weight has been read already.
fn rendezvous(
    slots: &[Slot],
    filter: &Filter<'_>,
    hash: u64,
    known: Option<(u32, u32)>,
) -> Option<u32> {
    let mut best: Option<(u32, Draw)> = None;
    for (index, slot) in (0..).zip(slots) {
        let weight = match known {
            Some((known, weight)) if known == index => weight,
            _ => filter.weight(index, slot.status()),
        };
        if weight == 0 {
            continue;
        }
        let draw = Draw { r: mix(hash ^ slot.identity()), weight };
        match best {
            Some((_, champion)) if !draw.beats(champion) => {}
            _ => best = Some((index, draw)),
        }
    }
    best.map(|(index, _)| index)
}

/// The `fnv1a % n`-th of the `n` slots that hold an account.
fn nth_occupied(slots: &[Slot], fnv1a: u32) -> Option<u32> {
    let occupied = || (0..).zip(slots).filter(|(_, slot)| !slot.is_vacant());
    let n = count_iter(occupied());
    let wanted = fnv1a.checked_rem(n)?;
    occupied().nth(wanted as usize).map(|(index, _)| index)
}

fn count_iter<T>(items: impl Iterator<Item = T>) -> u32 {
    items.fold(0, |n, _| n + 1)
}

/// At most [`MAX_BUCKETS`]: the caller has cut the slice.
#[expect(clippy::cast_possible_truncation, reason = "at most MAX_BUCKETS")]
fn count(slots: &[Slot]) -> u32 {
    slots.len() as u32
}
