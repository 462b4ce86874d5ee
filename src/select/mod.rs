//! Selection: which slot serves a key.
//!
//! A pure function of the key's hash and of the slots' identities, states and weights. Nothing is
//! remembered between calls. docs/spec/selection.md describes the consequences.

use crate::enums::named;
use crate::error::Error;

use jump::jump_unchecked;
use probe::{PROBES, ends, following, probe};
use rendezvous::rendezvous;
use slot::{Filter, Slot, count, in_range};

pub(crate) mod batch;
pub(crate) mod higress;
pub(crate) mod jump;
pub(crate) mod probe;
pub(crate) mod rendezvous;
pub(crate) mod slot;

/// The strategy that selects slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Strategy {
    /// Jump consistent hash gives the home slot, and more probes give the next slots. Weighted
    /// rendezvous takes over if none of them serves. The default.
    Jump = 0,
    /// Weighted rendezvous only. It is insensitive to the order of the list and to deletions in its
    /// middle. Its cost grows with the number of slots.
    Rendezvous = 1,
    /// The mapping of Higress ai-proxy: FNV-1a modulo the number of accounts. For migration only:
    /// anyone can aim a key at a slot, and changing the list moves most sessions.
    HigressFnv1aModulo = 2,
}

named! { Strategy {
    Jump = "jump", Rendezvous = "rendezvous", HigressFnv1aModulo = "higress_fnv1a_modulo",
} }

/// Returns the slot that serves the key with hash `hash`, or `None` without a candidate.
///
/// Only the first `2^31 - 1` slots are read. Under [`Strategy::Jump`] it takes about `ln(n)`
/// steps, plus one for each probe, while a good part of the slots can serve. If only few of many
/// can, and under [`Strategy::Rendezvous`], the time is linear in the number of slots, times the
/// number of tried ones. State, weight and until of a slot are read atomically. If a slot's status
/// changes meanwhile, the answer is right for the statuses as they were read; one slot may have
/// been read twice.
///
/// # Errors
///
/// [`Error::Strategy`] for [`Strategy::HigressFnv1aModulo`], which needs the key itself: see
/// [`select_higress`](crate::select_higress).
#[inline]
pub fn select(
    strategy: Strategy,
    slots: &[Slot],
    filter: &Filter<'_>,
    hash: u64,
) -> Result<Option<u32>, Error> {
    let slots = in_range(slots);
    match strategy {
        Strategy::Jump => Ok(by_jump(slots, filter, hash)),
        Strategy::Rendezvous => Ok(by_rendezvous(slots, filter, hash)),
        Strategy::HigressFnv1aModulo => Err(Error::Strategy),
    }
}

/// Selects under [`Strategy::Jump`]: the first probe that serves, else the winner of the
/// rendezvous.
#[inline(never)]
pub(crate) fn by_jump(slots: &[Slot], filter: &Filter<'_>, hash: u64) -> Option<u32> {
    let home = jump_unchecked(hash, count(slots));
    let draw = following(hash);
    if serves(slots, filter, home, draw) {
        return Some(home);
    }
    if ends(draw, count(slots)) {
        return rendezvous(slots, filter, hash, by_jump);
    }
    behind_home(slots, filter, hash, draw)
}

/// Selects under [`Strategy::Rendezvous`].
#[inline]
pub(crate) fn by_rendezvous(slots: &[Slot], filter: &Filter<'_>, hash: u64) -> Option<u32> {
    rendezvous(slots, filter, hash, by_rendezvous)
}

/// Selects if home does not serve. `at` is the hash of the next probe.
#[inline(never)]
fn behind_home(slots: &[Slot], filter: &Filter<'_>, hash: u64, mut at: u64) -> Option<u32> {
    for _ in 1..PROBES {
        if ends(at, count(slots)) {
            break;
        }
        let slot = probe(at, count(slots));
        at = following(at);
        if serves(slots, filter, slot, at) {
            return Some(slot);
        }
    }
    rendezvous(slots, filter, hash, by_jump)
}

/// Returns whether the slot of a probe serves a key. `draw` is the hash that follows the probe's.
#[inline]
fn serves(slots: &[Slot], filter: &Filter<'_>, slot: u32, draw: u64) -> bool {
    let Some(it) = slots.get(slot as usize) else { return false };
    let word = it.word();
    // Compares 16 fresh bits with the weight: a token at half weight keeps half its keys.
    let accepted = draw >> 48 < u64::from(word.weight());
    accepted && filter.admits(word) && (filter.leaves_none_out() || !is_left_out(filter, slot))
}

/// A separate function, so that `serves` is small enough to be inlined.
#[cold]
#[inline(never)]
fn is_left_out(filter: &Filter<'_>, slot: u32) -> bool {
    filter.leaves_out(slot)
}

#[cfg(test)]
mod tests {
    use std::prelude::rust_2024::*;

    use super::slot::SlotStatus;
    use super::*;

    /// A token of weight `w` accepts the keys whose 16 bits are below `w`, at every probe. At `w`
    /// it refuses.
    #[test]
    fn acceptance_at_its_edge() {
        const N: u32 = 100;
        let at = |list: &[(u32, u32)]| -> Vec<Slot> {
            let slot = |place: u32| {
                let weight = list.iter().find(|(slot, _)| *slot == place);
                let weight = weight.map_or(1 << 16, |(_, weight)| *weight);
                Slot::new(&place.to_le_bytes(), SlotStatus { weight, ..SlotStatus::UP }).unwrap()
            };
            (0..N).map(slot).collect()
        };
        let mut reached = [0; PROBES as usize];
        for hash in (1..400_u64).map(rendezvous::mix) {
            // The probes before this one refuse by weight 0, also those of a slot that came before.
            let (mut before, mut h) = (Vec::new(), hash);
            for (k, reached) in reached.iter_mut().enumerate() {
                let slot = if k == 0 { jump_unchecked(h, N) } else { probe(h, N) };
                h = following(h);
                let bits = (h >> 48) as u32;
                let met = before.iter().any(|(other, _)| *other == slot);
                if !met {
                    let with = |weight| {
                        let slots = at(&[&before[..], &[(slot, weight)]].concat());
                        select(Strategy::Jump, &slots, &Filter::default(), hash).unwrap()
                    };
                    assert_eq!(with(bits + 1), Some(slot), "probe {k} of {hash:#x}");
                    // If this slot refuses, a later probe serves, or the rendezvous.
                    *reached += u32::from(with(bits) != Some(slot));
                    before.push((slot, 0));
                }
            }
        }
        assert!(reached.iter().all(|&times| times > 200), "{reached:?}");
    }
}
