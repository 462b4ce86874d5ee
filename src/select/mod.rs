//! Selection: which slot serves a key.
//!
//! A pure function of the key's hash and of the slots' identities, states and weights;
//! nothing is remembered between calls. docs/selection.md tells what follows from that.

use crate::enums::named;
use crate::error::Error;

use jump::jump_unchecked;
use rendezvous::{mix, rendezvous};
use slot::{Filter, Slot, count, in_range};

pub(crate) mod batch;
pub(crate) mod higress;
pub(crate) mod jump;
pub(crate) mod rendezvous;
pub(crate) mod slot;

/// How a slot is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Strategy {
    /// The jump consistent hash gives the home slot; weighted rendezvous takes over
    /// where the home slot does not serve. The default.
    Jump = 0,
    /// Only weighted rendezvous: insensitive to the order of the list and to deletions
    /// in its middle; cost grows with the number of slots.
    Rendezvous = 1,
    /// What Higress ai-proxy does: FNV-1a modulo the number of accounts. For migration
    /// only: anyone can aim a key at a slot, and changing the list moves most sessions.
    HigressFnv1aModulo = 2,
}

named! { Strategy {
    Jump = "jump", Rendezvous = "rendezvous", HigressFnv1aModulo = "higress_fnv1a_modulo",
} }

/// The slot that serves the key with hash `hash`, or `None` without a candidate.
///
/// Slots past the first `2^31 - 1` are not looked at. Under [`Strategy::Jump`] it takes
/// about `ln(n)` steps where the home slot serves; else, and under [`Strategy::Rendezvous`],
/// linear time in the number of slots, times the number of tried ones. State, weight and
/// until of a slot are read atomically. If the home slot does not serve, its word is read once
/// more, and the answer is right for one of the two readings.
///
/// # Errors
///
/// [`Error::Strategy`] for [`Strategy::HigressFnv1aModulo`], which needs the key itself:
/// see [`select_higress`](crate::select_higress).
pub fn select(
    strategy: Strategy,
    slots: &[Slot],
    filter: &Filter<'_>,
    hash: u64,
) -> Result<Option<u32>, Error> {
    let slots = in_range(slots);
    match strategy {
        Strategy::Jump => Ok(by_jump(slots, filter, hash)),
        Strategy::Rendezvous => Ok(rendezvous(slots, filter, hash)),
        Strategy::HigressFnv1aModulo => Err(Error::Strategy),
    }
}

/// The home slot that jump gives, if it serves, else the winner of the rendezvous.
///
/// The word of a home slot that does not serve is read again. Should it have changed, the answer is
/// right for one of the two: another winner for the word with the smaller weight or none, the home
/// slot itself for the other, under which it serves its key, or wins.
#[inline(never)]
pub(crate) fn by_jump(slots: &[Slot], filter: &Filter<'_>, hash: u64) -> Option<u32> {
    let home = jump_unchecked(hash, count(slots));
    if serves(slots, filter, hash, home) {
        return Some(home);
    }
    rendezvous(slots, filter, hash)
}

/// Whether the home slot that jump gave serves.
#[inline]
fn serves(slots: &[Slot], filter: &Filter<'_>, hash: u64, home: u32) -> bool {
    slots.get(home as usize).is_some_and(|slot| {
        let word = slot.word();
        // 16 fresh bits against the weight: a token at half weight keeps half its keys.
        let accepted = mix(hash ^ 0x9e37_79b9_7f4a_7c15) >> 48 < u64::from(word.weight());
        accepted && filter.admits(word) && !filter.leaves_out(home)
    })
}

#[cfg(test)]
mod tests {
    use super::slot::SlotStatus;
    use super::*;

    /// A token of weight `w` accepts the keys whose 16 bits are below `w`: at `w` it turns away.
    #[test]
    fn acceptance_at_its_edge() {
        let mut turned_away = 0;
        for hash in (1..2000_u64).map(mix) {
            let bits = (mix(hash ^ 0x9e37_79b9_7f4a_7c15) >> 48) as u32;
            let home = jump_unchecked(hash, 2);
            let select_at = |strategy, weight| {
                let slots = [0, 1].map(|index| {
                    let weight = if index == home { weight } else { 1 << 16 };
                    let identity: &[u8] = if index == 0 { b"a" } else { b"b" };
                    Slot::new(identity, SlotStatus { weight, ..SlotStatus::UP }).unwrap()
                });
                select(strategy, &slots, &Filter::default(), hash).unwrap()
            };
            assert_eq!(select_at(Strategy::Jump, bits + 1), Some(home));
            let winner = select_at(Strategy::Rendezvous, bits);
            assert_eq!(select_at(Strategy::Jump, bits), winner);
            turned_away += u32::from(winner != Some(home));
        }
        assert!(turned_away > 500, "{turned_away}");
    }
}
