//! Selection for many keys.

use crate::error::Error;

use super::jump::{BATCH, jump_batch};
use super::probe::{PROBES, ends, following, probe, some_end};
use super::rendezvous::{Champion, Few, LANES};
use super::slot::{Filter, Slot, Word, count, in_range};
use super::{Strategy, by_jump, select};

/// [`select`](crate::select()) for many keys: `out[i]` becomes the slot of `hashes[i]`.
///
/// Does as many as the shorter of `hashes` and `out` has. Faster than one by one, but for fewer
/// than 16 keys; slower for 2^20 slots and more.
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

/// Gives the answers of [`select_batch`] to `out`, in order.
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

/// Probes for all keys whose homes are in `selected`, and puts what serves in their place. Returns how
/// many keys are left to the pass, and their places in the front of `places`.
///
/// All keys take one probe, then each that is not done the next. No branch depends on a single key.
#[expect(clippy::cast_possible_truncation, reason = "places are below BATCH")]
fn probe_all(
    slots: &[Slot],
    filter: &Filter<'_>,
    hashes: &[u64],
    selected: &mut [u32; BATCH],
    places: &mut [u8; BATCH],
) -> usize {
    let (n, all) = (count(slots), filter.leaves_none_out());
    // That of no slot for a probe that ends the probing.
    let word = |slot: u32| slots.get(slot as usize).map_or(Word::NONE, Slot::word);
    // `super::serves` without its branches, which no processor foresees here.
    let serves = |slot: u32, draw: u64| {
        let word = word(slot);
        let accepted = draw >> 48 < u64::from(word.weight());
        accepted & filter.admits(word) & (all || !filter.leaves_out(slot))
    };
    // Of the keys that go on: the place in the batch, and the hash of the next probe.
    let (mut going, mut at, mut left) = ([0_u8; BATCH], [0; BATCH], 0);
    // Nearly all slots are up at full weight, and serve whatever the hash says.
    for (place, (&home, _)) in selected.iter().zip(hashes).enumerate() {
        going[left % BATCH] = place as u8;
        left += usize::from(!(all & (word(home) == Word::FULL)));
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
        // Those whose next place is no slot end here, which of few slots is the most part.
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

/// The rendezvous of the keys at `places`.
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
        for (places, champions) in places.chunks(LANES).zip(champions.chunks_exact_mut(LANES)) {
            let at = |lane: usize| places.get(lane).map_or(0, |&place| usize::from(place));
            let lanes = core::array::from_fn(|lane| hashes.get(at(lane)).copied().unwrap_or(0));
            if let Ok(champions) = champions.try_into() {
                few.contest(lanes, champions);
            }
        }
    }
    for (&place, winner) in places.iter().zip(&champions) {
        let again = || {
            let hash = hashes.get(usize::from(place)).copied()?;
            select(strategy, slots, &filter.last_resort()?, hash).unwrap_or_default()
        };
        selected[usize::from(place)] = winner.slot().or_else(again).unwrap_or(NONE);
    }
}

/// No slot: there are at most `2^31 - 1`.
const NONE: u32 = u32::MAX;

/// For fewer keys the jump goes one by one: room for a batch takes longer to clear.
const FEW: usize = 16;
