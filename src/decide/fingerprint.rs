//! The two fingerprints with which operators compare replicas.

use crate::cookie::ring::KeyRing;
use crate::ids::id::IdRing;
use crate::select::slot::Slot;
use crate::sip::{Sip, length_prefix};

use super::config::Config;

/// Returns the fingerprint of the configuration. See
/// [`Affinity::fingerprint`](crate::Affinity::fingerprint).
#[inline(never)]
pub(super) fn of_config(
    config: &Config<'_>,
    slots: &[Slot],
    (ring, id_ring): (&KeyRing, &IdRing),
    name: &[u8],
) -> u64 {
    let mut hasher = Sip::new_24(config.placement_key.expose());
    let head = [config.strategy as u8, u8::from(config.combine_keys)];
    hasher.write(&[b"tokenpin.v1.conf", &head, &(slots.len() as u64).to_le_bytes()]);
    for slot in slots {
        hasher.write(&[&[u8::from(slot.is_vacant())], &slot.identity_hash().to_le_bytes()]);
    }
    hasher.write(&[&length_prefix(config.scope), config.scope]);
    let named = u8::from(config.cookie_name.is_some());
    hasher.write(&[&[named], &length_prefix(name), name]);
    // Sorted by id, because the order of the ring means nothing.
    let keys = |hasher: &mut Sip, check_value: &dyn Fn(u8) -> Option<u64>| {
        for id in 0..=u8::MAX {
            if let Some(value) = check_value(id) {
                hasher.write(&[&[id], &value.to_le_bytes()]);
            }
        }
    };
    keys(&mut hasher, &|id| ring.find(id).map(|(_, key)| key.keys.check_value()));
    hasher.write(&[&[config.ids.owner as u8]]);
    keys(&mut hasher, &|id| id_ring.check_value(id));
    hasher.finish(&[])
}

/// Returns the fingerprint of the weights, and of the states that count at `now`.
pub(super) fn of_slots(slots: &[Slot], now: u64) -> u64 {
    let mut hasher = Sip::new_24(b"tokenpin.v1.live");
    for slot in slots {
        let status = slot.status();
        hasher.write(&[&[status.state_at(now) as u8], &status.weight.to_le_bytes()]);
    }
    hasher.finish(&[])
}
