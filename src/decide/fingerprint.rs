//! The two fingerprints by which operators see whether replicas agree.

use core::hash::Hasher as _;

use siphasher::sip::SipHasher24;

use crate::cookie::ring::KeyRing;
use crate::select::slot::Slot;
use crate::sip::length_prefix;

use super::config::Config;

/// That of the configuration; see [`Affinity::fingerprint`](crate::Affinity::fingerprint).
pub(super) fn of_config(config: &Config<'_>, slots: &[Slot], ring: &KeyRing, name: &[u8]) -> u64 {
    let mut hasher = Pieces::new(config.placement_key.expose());
    hasher.add(b"tokenpin.v1.conf");
    hasher.add(&[config.strategy as u8, u8::from(config.combine_keys)]);
    hasher.add(&(slots.len() as u64).to_le_bytes());
    for slot in slots {
        hasher.add(&[u8::from(slot.is_vacant())]);
        hasher.add(&slot.identity_hash().to_le_bytes());
    }
    hasher.add(&length_prefix(config.scope));
    hasher.add(config.scope);
    hasher.add(&[u8::from(config.cookie_name.is_some())]);
    hasher.add(&length_prefix(name));
    hasher.add(name);
    // By ascending id: the order of the ring means nothing.
    for key in (0..=u8::MAX).filter_map(|id| ring.find(id)).map(|(_, key)| key) {
        hasher.add(&[key.id]);
        hasher.add(&key.keys.check_value().to_le_bytes());
    }
    hasher.end()
}

/// That of the weights, and of the states that count at `now`.
pub(super) fn of_slots(slots: &[Slot], now: u64) -> u64 {
    let mut hasher = Pieces::new(b"tokenpin.v1.live");
    for slot in slots {
        let status = slot.status();
        hasher.add(&[status.state_at(now) as u8]);
        hasher.add(&status.weight.to_le_bytes());
    }
    hasher.end()
}

/// Hashes many small pieces, where speed does not matter and inlining each would cost room.
struct Pieces(SipHasher24);

impl Pieces {
    fn new(key: &[u8; 16]) -> Self {
        Self(SipHasher24::new_with_key(key))
    }

    #[inline(never)]
    fn add(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    #[inline(never)]
    fn end(&self) -> u64 {
        self.0.finish()
    }
}
