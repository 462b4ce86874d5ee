//! The tokens' states over time: as configured, and what cools down. Each worker of the host has
//! its own VM; what one learns, it writes into the host's shared data, where the others look before
//! each decision.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use tokenpin::{Affinity, SlotStatus, State};

use crate::abi::{set_shared, shared};

/// The number of times that a write is tried again after another worker's.
const MAX_TRIES: u32 = 16;

/// A token that cools down.
#[derive(Clone, Copy, PartialEq)]
struct Cooling {
    slot: u32,
    state: State,
    until: u64,
}

impl Cooling {
    const LEN: usize = 13;

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.slot.to_le_bytes());
        out.push(self.state as u8);
        out.extend_from_slice(&self.until.to_le_bytes());
    }

    /// None if this was not written by [`Self::write`].
    fn read(bytes: &[u8]) -> Option<Self> {
        let (slot, rest) = bytes.split_first_chunk()?;
        let (&state, until) = rest.split_first()?;
        let state = State::from_number(state)?;
        let until = u64::from_le_bytes(until.try_into().ok()?);
        Some(Self { slot: u32::from_le_bytes(*slot), state, until })
    }
}

pub(crate) struct Fleet {
    declared: Vec<SlotStatus>,
    /// Under which the workers find each other's cooldowns.
    key: String,
    cooling: RefCell<Vec<Cooling>>,
    /// The version of the shared data that `cooling` is from, and the second at which the first of
    /// them ends.
    version: Cell<u32>,
    next_end: Cell<u64>,
    changed: Cell<bool>,
}

impl Fleet {
    pub(crate) fn new(declared: Vec<SlotStatus>, key: String) -> Self {
        Self {
            declared,
            key,
            cooling: RefCell::default(),
            version: Cell::new(0),
            next_end: Cell::new(u64::MAX),
            changed: Cell::new(false),
        }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Returns whether a state has changed since the last call.
    pub(crate) fn has_changed(&self) -> bool {
        self.changed.take()
    }

    /// Takes over what other workers learned, and ends what is over.
    pub(crate) fn refresh(&self, affinity: &Affinity<'_>, now: u64) {
        let (bytes, version) = shared(&self.key);
        if version != self.version.get() || now >= self.next_end.get() {
            self.take(affinity, parse(&bytes, now), version);
        }
    }

    /// Changes the state of a token because of its response. False if it is as bad already.
    pub(crate) fn cool(
        &self,
        affinity: &Affinity<'_>,
        now: u64,
        slot: u32,
        state: State,
        until: u64,
    ) -> bool {
        let Some(declared) = self.declared.get(slot as usize) else { return false };
        for _ in 0..MAX_TRIES {
            let (bytes, version) = shared(&self.key);
            let mut cooling = parse(&bytes, now);
            let own = cooling.iter().find(|each| each.slot == slot).copied();
            let (live, end) = match own {
                Some(own) => (own.state, own.until),
                None => (declared.state_at(now), 0),
            };
            // Down is worse than draining; of two that are as bad the longer one counts.
            let is_worse = live == State::Up || live == State::Draining && state == State::Down;
            let is_longer = own.is_some() && live == state && end < until;
            if !is_worse && !is_longer {
                self.take(affinity, cooling, version);
                return false;
            }
            cooling.retain(|each| each.slot != slot);
            cooling.push(Cooling { slot, state, until });
            let mut bytes = Vec::new();
            for each in &cooling {
                each.write(&mut bytes);
            }
            if set_shared(&self.key, &bytes, version) {
                // On a host without shared data, only this worker knows.
                self.take(affinity, cooling, shared(&self.key).1);
                return true;
            }
        }
        false
    }

    /// Puts these cooldowns in place of those that there were.
    fn take(&self, affinity: &Affinity<'_>, cooling: Vec<Cooling>, version: u32) {
        let before = self.cooling.replace(cooling);
        let cooling = self.cooling.borrow();
        let put = |slot: u32, status: SlotStatus| {
            // Refused for a slot that is vacant or not there, which no worker writes.
            let _ = affinity.set_slot(slot, status);
        };
        for old in &before {
            if let Some(declared) = self.declared.get(old.slot as usize) {
                put(old.slot, *declared);
            }
        }
        let mut next_end = u64::MAX;
        for new in cooling.iter() {
            let Some(declared) = self.declared.get(new.slot as usize) else { continue };
            put(new.slot, SlotStatus { state: new.state, until: new.until, ..*declared });
            next_end = next_end.min(new.until);
        }
        self.version.set(version);
        self.changed.set(true);
        self.next_end.set(next_end);
    }
}

/// The slots written there that still cool down.
fn parse(shared: &[u8], now: u64) -> Vec<Cooling> {
    let entries = shared.chunks_exact(Cooling::LEN).filter_map(Cooling::read);
    let counts =
        |each: &Cooling| now < each.until && matches!(each.state, State::Draining | State::Down);
    entries.filter(counts).collect()
}
