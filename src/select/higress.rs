//! The strategy of Higress ai-proxy, for migration: FNV-1a of the key, modulo the number of
//! accounts.

use crate::key::Key;
use crate::sink::hex;

use super::rendezvous::rendezvous;
use super::slot::{Filter, Slot, in_range};

/// Returns the slot that Higress ai-proxy would choose for `key`, whose hash is `hash`: number
/// `fnv1a32(key bytes) % n` of the `n` slots that hold an account. If that slot cannot serve,
/// weighted rendezvous with `hash` takes over. Returns `None` without a candidate.
///
/// Anyone can aim a key at a slot, and changing the list moves most sessions: use it only to take
/// over from Higress. Linear in the number of slots.
#[must_use]
#[inline(never)]
pub fn select_higress(
    slots: &[Slot],
    filter: &Filter<'_>,
    hash: u64,
    key: &Key<'_>,
) -> Option<u32> {
    let slots = in_range(slots);
    let home = nth_occupied(slots, fnv1a32(key))?;
    let word = slots.get(home as usize)?.word();
    if word.weight() != 0 && filter.admits(word) && !filter.leaves_out(home) {
        return Some(home);
    }
    rendezvous(slots, filter, hash, |_, _, _| None)
        .or_else(|| select_higress(slots, &filter.last_resort()?, hash, key))
}

/// Returns the 32-bit FNV-1a hash of `key`'s bytes. An anonymous id is written as a UUID.
fn fnv1a32(key: &Key<'_>) -> u32 {
    /// Not inlined, because it is called for many pieces.
    #[inline(never)]
    fn fold(hash: u32, bytes: &[u8]) -> u32 {
        bytes.iter().fold(hash, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }
    let mut hash = 0x811c_9dc5;
    if let Key::Anonymous(id) = key {
        for (i, &byte) in id.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                hash = fold(hash, b"-");
            }
            hash = fold(hash, &hex(byte));
        }
    } else {
        for piece in key.pieces(&mut [0; 4]) {
            hash = fold(hash, piece);
        }
    }
    hash
}

/// Returns slot number `fnv1a % n` of the `n` slots that hold an account.
#[cold]
fn nth_occupied(slots: &[Slot], fnv1a: u32) -> Option<u32> {
    let occupied = || (0..).zip(slots).filter(|(_, slot)| !slot.is_vacant());
    let n = occupied().fold(0, |n, _| n + 1);
    let wanted = fnv1a.checked_rem(n)?;
    occupied().nth(wanted as usize).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higress_hashes_an_anonymous_id_as_uuid_text() {
        let id = 0x550e_8400_e29b_41d4_a716_4466_5544_0000_u128.to_be_bytes();
        assert_eq!(fnv1a32(&Key::Anonymous(&id)), 0x889e_3528);
        let text = b"550e8400-e29b-41d4-a716-446655440000";
        assert_eq!(fnv1a32(&Key::Consumer(text)), 0x889e_3528);
        assert_eq!(fnv1a32(&Key::Consumer(b"consumer-alice")), 0x4479_112c);
        assert_eq!(fnv1a32(&Key::Consumer(b"consumer-batches")), 0xc6bd_b1b0);
        assert_eq!(fnv1a32(&Key::Consumer(b"consumer-finetuning")), 0xe58e_ee0d);
    }
}
