//! Selection: which slot serves a key.
//!
//! A pure function of the key's hash and of the slots' identities, states and weights;
//! nothing is remembered between calls. docs/selection.md tells what follows from that.

use crate::hash::{finish, fold, mix, stir};
use crate::jump::{BATCH, MAX_BUCKETS, jump_batch, jump_unchecked};
use crate::names::named;
use crate::rendezvous::Champion;
use crate::slot::{Slot, State, Word};

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
    /// Whether a slot with this word is a candidate, unless its weight is 0 or it is left out.
    #[inline]
    fn admits(&self, word: Word) -> bool {
        word.is_below(if self.anonymous { State::Draining } else { State::Down }, self.now)
    }

    #[inline]
    const fn leaves_none_out(&self) -> bool {
        self.pinned.is_none() && self.tried.is_empty()
    }

    #[inline]
    fn leaves_out(&self, slot: u32) -> bool {
        self.pinned == Some(slot) || self.tried.contains(&slot)
    }
}

/// The slot that serves the key with hash `hash`, or `None` without a candidate.
///
/// `fnv1a` is [`fnv1a32`](crate::fnv1a32) of the key, for the Higress strategy alone.
/// Slots past the first `2^31 - 1` are not looked at. Under [`Strategy::Jump`] it takes
/// about `ln(n)` steps where the home slot serves; else, and under the other strategies,
/// linear time in the number of slots, times the number of tried ones. State, weight and
/// until of a slot are read at once. If the home slot does not serve, its word is read once more,
/// and the answer is right for one of the two readings.
#[must_use]
#[inline(never)]
pub fn select(
    strategy: Strategy,
    slots: &[Slot],
    filter: &Filter<'_>,
    hash: u64,
    fnv1a: u32,
) -> Option<u32> {
    let slots = slots.get(..MAX_BUCKETS as usize).unwrap_or(slots);
    match strategy {
        Strategy::Jump => settle(slots, filter, hash, jump_unchecked(hash, count(slots))),
        Strategy::Rendezvous => rendezvous(slots, filter, hash),
        Strategy::HigressFnv1aModulo => {
            let home = nth_occupied(slots, fnv1a)?;
            let word = slots.get(home as usize)?.word();
            if word.weight() != 0 && filter.admits(word) && !filter.leaves_out(home) {
                return Some(home);
            }
            rendezvous(slots, filter, hash)
        }
    }
}

/// [`select`] for many keys: `out[i]` becomes the slot of `hashes[i]`.
///
/// `fnv1as[i]` is the [`fnv1a32`](crate::fnv1a32) of that key, for the Higress strategy
/// alone; 0 where the slice ends. Does as many as the shorter of `hashes` and `out` has. Faster
/// than one by one, but for the Higress strategy and for fewer than 16 keys; slower for 2^20 slots
/// and more.
pub fn select_batch(
    strategy: Strategy,
    slots: &[Slot],
    filter: &Filter<'_>,
    hashes: &[u64],
    fnv1as: &[u32],
    out: &mut [Option<u32>],
) {
    let mut out = out.iter_mut();
    let hashes = hashes.get(..out.len()).unwrap_or(hashes);
    select_each(strategy, slots, filter, hashes, fnv1as, &mut |slot| {
        if let Some(out) = out.next() {
            *out = slot;
        }
    });
}

/// Gives the answers of [`select_batch`] to `out`, in order.
#[expect(clippy::cast_possible_truncation, reason = "places are below BATCH")]
pub(crate) fn select_each(
    strategy: Strategy,
    slots: &[Slot],
    filter: &Filter<'_>,
    hashes: &[u64],
    fnv1as: &[u32],
    out: &mut impl FnMut(Option<u32>),
) {
    let few = strategy == Strategy::Jump && hashes.len() < FEW;
    if few || strategy == Strategy::HigressFnv1aModulo {
        for (i, &hash) in hashes.iter().enumerate() {
            let fnv1a = fnv1as.get(i).copied().unwrap_or(0);
            out(select(strategy, slots, filter, hash, fnv1a));
        }
        return;
    }
    let slots = slots.get(..MAX_BUCKETS as usize).unwrap_or(slots);
    let all = filter.leaves_none_out();
    for hashes in hashes.chunks(BATCH) {
        let mut selected = [NOBODY; BATCH];
        if strategy == Strategy::Jump {
            jump_batch(hashes, count(slots), &mut selected);
        }
        // The places of the keys that do not get their home.
        let (mut places, mut left) = ([0_u8; BATCH], 0);
        for (place, (&hash, &home)) in hashes.iter().zip(&selected).enumerate() {
            places[left % BATCH] = place as u8;
            left += usize::from(!serves(slots, filter, hash, home));
        }
        for places in places.get(..left).unwrap_or(&[]).chunks(LANES) {
            let at = |lane: usize| places.get(lane).map_or(0, |&place| usize::from(place));
            let lanes = core::array::from_fn(|lane| hashes.get(at(lane)).copied().unwrap_or(0));
            let winners =
                contest::<LANES>(slots, filter, lanes, |slot| !all && filter.leaves_out(slot));
            for (&place, winner) in places.iter().zip(winners) {
                selected[usize::from(place)] = winner.slot().unwrap_or(NOBODY);
            }
        }
        for (&slot, _) in selected.iter().zip(hashes) {
            out(if slot == NOBODY { None } else { Some(slot) });
        }
    }
}

/// No slot: there are at most [`MAX_BUCKETS`].
const NOBODY: u32 = u32::MAX;

/// For fewer keys the jump goes one by one: room for a batch takes longer to clear.
const FEW: usize = 16;

/// How many keys of a batch meet a slot at once: enough to share what the slot itself costs, few
/// enough for the registers.
const LANES: usize = 4;

/// How many slots are early in a pass. The champion of `k` slots loses to the next with
/// probability `1 / k`: early that is no branch, because no processor foresees it; later
/// it is one, because a processor does.
const EARLY: u32 = 64;

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

/// The home slot that jump gave, if it serves, else the winner of the rendezvous.
///
/// The word of a home slot that does not serve is read again. Should it have changed, the answer is
/// right for one of the two: another winner for the word with the smaller weight or none, the home
/// slot itself for the other, under which it serves its key, or wins.
#[inline]
fn settle(slots: &[Slot], filter: &Filter<'_>, hash: u64, home: u32) -> Option<u32> {
    if serves(slots, filter, hash, home) {
        return Some(home);
    }
    rendezvous(slots, filter, hash)
}

/// Weighted rendezvous over the candidates.
#[inline(never)]
fn rendezvous(slots: &[Slot], filter: &Filter<'_>, hash: u64) -> Option<u32> {
    let [winner] = if filter.leaves_none_out() {
        contest(slots, filter, [hash], |_| false)
    } else {
        contest(slots, filter, [hash], |slot| filter.leaves_out(slot))
    };
    winner.slot()
}

/// One pass for several keys, champions against challengers. `left_out` is a parameter so that a
/// pass without tried slots does not look for them.
#[inline]
fn contest<const LANES: usize>(
    slots: &[Slot],
    filter: &Filter<'_>,
    hashes: [u64; LANES],
    left_out: impl Fn(u32) -> bool,
) -> [Champion; LANES] {
    let hashes = hashes.map(fold);
    let mut champions = [Champion::NONE; LANES];
    // What a draw of the common weight must reach to win: the champions' bars, or less.
    let mut bars = [0; LANES];
    // The word of all champions, if they have the same weight.
    let mut common = Word::NONE;
    for (index, slot) in (0..).zip(slots) {
        if left_out(index) {
            continue;
        }
        // Nearly all slots have the same word, and which do not changes rarely: this branch the
        // processor foresees.
        let word = slot.word();
        let identity = fold(slot.identity());
        if word == common {
            if index < EARLY {
                for (champion, hash) in champions.iter_mut().zip(&hashes) {
                    champion.meet_equal(index, finish(stir(hash ^ identity)));
                }
            } else {
                unrolled::<LANES>(|lane| {
                    let stirred = stir(hashes[lane] ^ identity);
                    // With one lane the champion is in a register: its bar costs no load.
                    let bar = if LANES == 1 { champions[lane].bar() } else { bars[lane] };
                    if stirred >= bar {
                        champions[lane].meet_equal(index, finish(stirred));
                        bars[lane] = champions[lane].bar();
                    }
                });
            }
        } else if filter.admits(word) && word.weight() != 0 {
            bars = [0; LANES];
            let mut same = true;
            for (champion, hash) in champions.iter_mut().zip(&hashes) {
                champion.meet(index, word.weight(), finish(stir(hash ^ identity)));
                same &= champion.weight() == word.weight();
            }
            common = if same { word } else { Word::NONE };
        }
    }
    champions
}

/// A loop over the lanes written out, for a compiler that was told to keep loops as they are.
#[inline]
fn unrolled<const LANES: usize>(mut body: impl FnMut(usize)) {
    const { assert!(LANES == 1 || LANES == 4, "no lane may be left out") };
    body(0);
    if LANES == 4 {
        body(1);
        body(2);
        body(3);
    }
}

/// The `fnv1a % n`-th of the `n` slots that hold an account.
#[cold]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::Status;

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
                    Slot::new(identity, Status { weight, ..Status::UP }).unwrap()
                });
                select(strategy, &slots, &Filter::default(), hash, 0)
            };
            assert_eq!(select_at(Strategy::Jump, bits + 1), Some(home));
            let winner = select_at(Strategy::Rendezvous, bits);
            assert_eq!(select_at(Strategy::Jump, bits), winner);
            turned_away += u32::from(winner != Some(home));
        }
        assert!(turned_away > 500, "{turned_away}");
    }
}
