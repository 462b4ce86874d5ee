//! Selection: which slot serves a key.
//!
//! A pure function of the key's hash and of the slots' identities, states and weights;
//! nothing is remembered between calls. docs/selection.md tells what follows from that.

use crate::hash::mix;
use crate::jump::{BATCH, Batch, MAX_BUCKETS, jump_unchecked};
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
/// until of a slot are read once.
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
        Strategy::Rendezvous => rendezvous(slots, filter, hash, None),
        Strategy::HigressFnv1aModulo => {
            let home = nth_occupied(slots, fnv1a)?;
            let word = slots.get(home as usize)?.word();
            if word.weight() != 0 && filter.admits(word) && !filter.leaves_out(home) {
                return Some(home);
            }
            rendezvous(slots, filter, hash, Some((home, word)))
        }
    }
}

/// [`select`] for many keys: `out[i]` becomes the slot of `hashes[i]`.
///
/// `fnv1as[i]` is the [`fnv1a32`](crate::fnv1a32) of that key, for the Higress strategy
/// alone; 0 where the slice ends. Does as many as the shorter of `hashes` and `out` has. Under
/// [`Strategy::Jump`] faster than one by one; otherwise the same.
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
pub(crate) fn select_each(
    strategy: Strategy,
    slots: &[Slot],
    filter: &Filter<'_>,
    hashes: &[u64],
    fnv1as: &[u32],
    out: &mut impl FnMut(Option<u32>),
) {
    if strategy != Strategy::Jump {
        for (i, &hash) in hashes.iter().enumerate() {
            let fnv1a = fnv1as.get(i).copied().unwrap_or(0);
            out(select(strategy, slots, filter, hash, fnv1a));
        }
        return;
    }
    let slots = slots.get(..MAX_BUCKETS as usize).unwrap_or(slots);
    let mut batch = Batch::new();
    let mut homes = [0; BATCH];
    for hashes in hashes.chunks(BATCH) {
        batch.jump(hashes, count(slots), &mut homes);
        for (&hash, &home) in hashes.iter().zip(&homes) {
            out(settle(slots, filter, hash, home));
        }
    }
}

/// The home slot that jump gave, if it serves, else the winner of the rendezvous.
#[inline]
fn settle(slots: &[Slot], filter: &Filter<'_>, hash: u64, home: u32) -> Option<u32> {
    let word = slots.get(home as usize)?.word();
    // 16 fresh bits against the weight: a token at half weight keeps half its keys.
    let accepted = mix(hash ^ 0x9e37_79b9_7f4a_7c15) >> 48 < u64::from(word.weight());
    if accepted && filter.admits(word) && !filter.leaves_out(home) {
        return Some(home);
    }
    rendezvous(slots, filter, hash, Some((home, word)))
}

/// Weighted rendezvous over the candidates. `known` is a slot whose word has been read already.
#[inline(never)]
fn rendezvous(
    slots: &[Slot],
    filter: &Filter<'_>,
    hash: u64,
    known: Option<(u32, Word)>,
) -> Option<u32> {
    if filter.tried.is_empty() && filter.pinned.is_none() {
        contest(slots, filter, hash, known, |_| false)
    } else {
        contest(slots, filter, hash, known, |slot| filter.leaves_out(slot))
    }
}

/// One pass, champion against challenger. `left_out` is a parameter so that a pass without
/// tried slots does not look for them.
#[inline]
fn contest(
    slots: &[Slot],
    filter: &Filter<'_>,
    hash: u64,
    known: Option<(u32, Word)>,
    left_out: impl Fn(u32) -> bool,
) -> Option<u32> {
    let meet = |champion: &mut Champion, index: u32, slot: &Slot, word: Word| {
        if !left_out(index) {
            champion.meet(index, word, mix(hash ^ slot.identity()), |word| filter.admits(word));
        }
    };
    let mut champion = Champion::NONE;
    // The known slot is met in its turn, with what was read of it.
    let turn = known.map_or(slots.len(), |(slot, _)| slot as usize);
    let (before, after) = slots.split_at_checked(turn)?;
    for (index, slot) in (0..).zip(before) {
        meet(&mut champion, index, slot, slot.word());
    }
    if let (Some((known, word)), Some((slot, after))) = (known, after.split_first()) {
        meet(&mut champion, known, slot, word);
        for (index, slot) in (known + 1..).zip(after) {
            meet(&mut champion, index, slot, slot.word());
        }
    }
    champion.slot()
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
