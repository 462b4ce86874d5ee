//! Selection for many keys.

use crate::error::Error;

use super::jump::{BATCH, jump_batch};
use super::probe::{PROBES, ends, following, probe, some_end};
use super::rendezvous::{Champion, Few};
use super::slot::{Filter, Slot, Word, count, in_range};
use super::{Strategy, by_jump, select};

/// Selects like [`select`](crate::select()) for many keys: `out[i]` becomes the slot of
/// `hashes[i]`.
///
/// Handles as many keys as the shorter of `hashes` and `out` has. Faster than one key at a time,
/// except for fewer than 16 keys; slower for 2^20 slots and more.
///
/// # Errors
///
/// [`Error::Strategy`] for [`Strategy::HigressFnv1aModulo`]. Nothing is written then.
pub fn select_batch(
    strategy: Strategy,
    slots: &[Slot],
    filter: &Filter<'_>,
    hashes: &[u64],
    out: &mut [Option<u32>],
) -> Result<(), Error> {
    let mut out = out.iter_mut();
    let hashes = hashes.get(..out.len()).unwrap_or(hashes);
    select_each(strategy, slots, filter, hashes, &mut |slot| {
        if let Some(out) = out.next() {
            *out = slot;
        }
    })
}

/// Passes the answers of [`select_batch`] to `out`, in order.
#[expect(clippy::cast_possible_truncation, reason = "places are below BATCH")]
pub(crate) fn select_each(
    strategy: Strategy,
    slots: &[Slot],
    filter: &Filter<'_>,
    hashes: &[u64],
    out: &mut impl FnMut(Option<u32>),
) -> Result<(), Error> {
    let slots = in_range(slots);
    match strategy {
        Strategy::HigressFnv1aModulo => return Err(Error::Strategy),
        Strategy::Jump if hashes.len() < FEW => {
            for &hash in hashes {
                out(by_jump(slots, filter, hash));
            }
            return Ok(());
        }
        Strategy::Jump | Strategy::Rendezvous => {}
    }
    for hashes in hashes.chunks(BATCH) {
        let (mut selected, mut places) = ([NONE; BATCH], [0; BATCH]);
        let left = if strategy == Strategy::Jump {
            jump_batch(hashes, count(slots), &mut selected);
            probe_all(slots, filter, hashes, &mut selected, &mut places)
        } else {
            places = core::array::from_fn(|place| place as u8);
            hashes.len()
        };
        if left > 0 {
            let places = places.get(..left).unwrap_or(&[]);
            pass(strategy, slots, filter, hashes, &mut selected, places);
        }
        for (&slot, _) in selected.iter().zip(hashes) {
            out(if slot == NONE { None } else { Some(slot) });
        }
    }
    Ok(())
}

/// Probes for all keys. `selected` holds their homes, and receives the slots that serve. Returns
/// the number of keys without such a slot, and writes their places to the front of `places`.
///
/// All keys take one probe, then each unfinished key takes the next. No branch depends on a single
/// key.
#[expect(clippy::cast_possible_truncation, reason = "places are below BATCH")]
fn probe_all(
    slots: &[Slot],
    filter: &Filter<'_>,
    hashes: &[u64],
    selected: &mut [u32; BATCH],
    places: &mut [u8; BATCH],
) -> usize {
    let (n, all) = (count(slots), filter.leaves_none_out());
    // The probe that ends the probing has no slot, and so no word.
    let word = |slot: u32| slots.get(slot as usize).map_or(Word::NONE, Slot::word);
    // Computes `super::serves` without its branches, which are unpredictable here.
    let serves = |slot: u32, draw: u64| {
        let word = word(slot);
        let accepted = draw >> 48 < u64::from(word.weight());
        accepted & filter.admits(word) & (all || !filter.leaves_out(slot))
    };
    // For the unfinished keys: the place in the batch, and the hash of the next probe.
    let (mut going, mut at, mut left) = ([0_u8; BATCH], [0; BATCH], 0);
    // Nearly all slots are up at full weight, and serve for every hash.
    let settled = if all { Word::FULL } else { Word::UNLIKE };
    for (place, (&home, _)) in selected.iter().zip(hashes).enumerate() {
        going[left % BATCH] = place as u8;
        left += usize::from(word(home) != settled);
    }
    let mut kept = 0;
    for i in 0..left {
        let place = going[i % BATCH];
        let draw = hashes.get(usize::from(place)).map_or(0, |&hash| following(hash));
        going[kept % BATCH] = place;
        at[kept % BATCH] = draw;
        kept += usize::from(!serves(selected[usize::from(place)], draw));
    }
    let mut ended = 0;
    for _ in 1..PROBES {
        (left, kept) = (kept, 0);
        // A next place that is no slot ends the probing, which it mostly does with few slots.
        if some_end(n) {
            for i in 0..left {
                let (hash, place) = (at[i % BATCH], going[i % BATCH]);
                let ends = ends(hash, n);
                places[ended % BATCH] = place;
                ended += usize::from(ends);
                at[kept % BATCH] = hash;
                going[kept % BATCH] = place;
                kept += usize::from(!ends);
            }
            (left, kept) = (kept, 0);
        }
        if left == 0 {
            return ended;
        }
        for i in 0..left {
            let (hash, place) = (at[i % BATCH], going[i % BATCH]);
            let (slot, draw) = (probe(hash, n), following(hash));
            selected[usize::from(place)] = slot;
            at[kept % BATCH] = draw;
            going[kept % BATCH] = place;
            kept += usize::from(!serves(slot, draw));
        }
    }
    for &place in going.iter().take(kept) {
        places[ended % BATCH] = place;
        ended += 1;
    }
    ended
}

/// Runs the rendezvous for the keys at `places`.
fn pass(
    strategy: Strategy,
    slots: &[Slot],
    filter: &Filter<'_>,
    hashes: &[u64],
    selected: &mut [u32; BATCH],
    places: &[u8],
) {
    let mut champions = [Champion::NONE; BATCH];
    let first_slots = (0..).step_by(Few::MAX);
    for (first, window) in first_slots.zip(slots.chunks(Few::MAX)) {
        let few = Few::of(first, window, filter);
        // All slots were seen: the only candidate wins every contest.
        if let (Some(only), true) = (few.only(), slots.len() <= Few::MAX) {
            for &place in places {
                selected[usize::from(place)] = only;
            }
            return;
        }
        for (&place, champion) in places.iter().zip(&mut champions) {
            if let Some(&hash) = hashes.get(usize::from(place)) {
                few.contest(hash, champion);
            }
        }
    }
    for (&place, winner) in places.iter().zip(&champions) {
        // Without a candidate, a single selection knows what is left to try.
        let again = || {
            let hash = hashes.get(usize::from(place)).copied()?;
            select(strategy, slots, filter, hash).unwrap_or_default()
        };
        selected[usize::from(place)] = winner.slot().or_else(again).unwrap_or(NONE);
    }
}

/// No slot. A set has at most `2^31 - 1` of them.
const NONE: u32 = u32::MAX;

/// The number of keys from which a batch is faster: clearing its memory takes time.
const FEW: usize = 16;
