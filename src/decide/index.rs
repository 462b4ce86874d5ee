//! The pin index: an open-addressing hash table from identity hashes to slots. The caller owns its
//! memory.

use crate::error::{ConfigError, Error, Field};
use crate::limits::MAX_BUCKETS;
use crate::select::slot::Slot;

/// An empty entry: no slot has this number.
const EMPTY: u32 = u32::MAX;

const _: () = assert!(MAX_BUCKETS < EMPTY);

/// Returns the length of the index for a set of `slots` slots: a power of two, at least twice the
/// slots, so that look-ups are short. Returns 0 if there are too many slots.
pub(super) const fn index_len(slots: usize) -> usize {
    if slots > MAX_BUCKETS as usize {
        return 0;
    }
    match slots.checked_mul(2) {
        Some(wanted) => match wanted.checked_next_power_of_two() {
            Some(len) => len,
            None => 0,
        },
        None => 0,
    }
}

/// Probes linearly from the hash itself, because identity hashes are uniform.
#[expect(clippy::cast_possible_truncation, reason = "only the low bits are kept")]
fn probes(identity: u64, len: usize) -> impl Iterator<Item = usize> {
    let mask = len.wrapping_sub(1);
    (0..len).map(move |step| (identity as usize).wrapping_add(step) & mask)
}

/// Enters every slot that holds an account, and returns the number of them.
pub(super) fn fill(index: &mut [u32], slots: &[Slot]) -> Result<u32, ConfigError> {
    index.fill(EMPTY);
    let mut occupied = 0;
    for (number, slot) in (0_u32..).zip(slots) {
        if slot.is_vacant() {
            continue;
        }
        occupied += 1;
        for position in probes(slot.identity_hash(), index.len()) {
            let Some(entry) = index.get_mut(position) else { break };
            let Some(other) = slots.get(*entry as usize) else {
                *entry = number;
                break;
            };
            if other.identity_hash() == slot.identity_hash() {
                return Err(Error::DuplicateIdentity.at(Field::Slots, number as usize));
            }
        }
    }
    Ok(occupied)
}

/// Returns the slot with this identity hash, in one or two probes regardless of the number of
/// slots.
#[inline]
pub(super) fn find<'s>(index: &[u32], slots: &'s [Slot], identity: u64) -> Option<(u32, &'s Slot)> {
    for position in probes(identity, index.len()) {
        let number = *index.get(position)?;
        // `EMPTY` ends the search here: no slot has that number.
        let slot = slots.get(number as usize)?;
        if slot.identity_hash() == identity {
            return Some((number, slot));
        }
    }
    None
}
