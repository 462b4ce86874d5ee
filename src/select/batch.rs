//! Selection for many keys.

use crate::error::Error;

use super::jump::{BATCH, jump_batch};
use super::rendezvous::contest;
use super::slot::{Filter, Slot, count, in_range};
use super::{Strategy, by_jump, serves};

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
    let all = filter.leaves_none_out();
    for hashes in hashes.chunks(BATCH) {
        let mut selected = [NONE; BATCH];
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
                selected[usize::from(place)] = winner.slot().unwrap_or(NONE);
            }
        }
        for (&slot, _) in selected.iter().zip(hashes) {
            out(if slot == NONE { None } else { Some(slot) });
        }
    }
    Ok(())
}

/// No slot: there are at most `2^31 - 1`.
const NONE: u32 = u32::MAX;

/// For fewer keys the jump goes one by one: room for a batch takes longer to clear.
const FEW: usize = 16;

/// How many keys of a batch meet a slot at once: enough to share what the slot itself costs, few
/// enough for the registers.
const LANES: usize = 4;
