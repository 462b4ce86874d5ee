//! Slots: the accounts of a token set, and the one word of each that changes.

#[cfg(target_has_atomic = "64")]
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
#[cfg(not(target_has_atomic = "64"))]
use portable_atomic::AtomicU64;

use crate::enums::named;
use crate::error::Error;
use crate::limits::{MAX_BUCKETS, MAX_UNTIL, MAX_WEIGHT};
use crate::sip::sip24;

#[cfg(not(any(target_has_atomic = "ptr", feature = "critical-section")))]
compile_error!(
    "this target has no compare-and-swap: enable tokenpin's feature `critical-section`, and give \
     the program an implementation of the crate critical-section"
);

/// The state of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Serves every request.
    Up = 0,
    /// Keeps its sessions. Anonymous newcomers go to other slots.
    Draining = 1,
    /// Serves no request.
    Down = 2,
    /// Holds no account. Fixed when the slot is made.
    Vacant = 3,
}

// `Word::is_below` compares states by their numbers, which order them by how much they exclude.
const _: () = assert!(
    (State::Up as u8) < State::Draining as u8
        && (State::Draining as u8) < State::Down as u8
        && (State::Down as u8) < State::Vacant as u8
);

named! { State { Up = "up", Draining = "draining", Down = "down", Vacant = "vacant" } }

/// State, weight and until of a slot, as of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotStatus {
    /// The state as it was set.
    pub state: State,
    /// `0..=`[`MAX_WEIGHT`]. At 0 a slot takes only sessions that are pinned to it.
    pub weight: u32,
    /// The unix second from which `Draining` or `Down` counts as `Up` again. 0 for never.
    pub until: u64,
}

impl SlotStatus {
    /// Up, at full weight.
    pub const UP: Self = Self { state: State::Up, weight: MAX_WEIGHT, until: 0 };

    /// Returns the state that counts at `now`, in unix seconds.
    #[must_use]
    pub const fn state_at(self, now: u64) -> State {
        let over = self.until != 0 && now >= self.until;
        match self.state {
            State::Draining | State::Down if over => State::Up,
            state => state,
        }
    }

    /// Packs the weight into bits 0..17, the state into 17..19, and until into 19..64.
    fn pack(self) -> Result<u64, Error> {
        if self.weight > MAX_WEIGHT {
            return Err(Error::Weight);
        }
        if self.until > MAX_UNTIL {
            return Err(Error::Until);
        }
        Ok(u64::from(self.weight) | (self.state as u64) << 17 | self.until << 19)
    }

    fn unpack(Word(word): Word) -> Self {
        let state = match (word >> 17) & 3 {
            0 => State::Up,
            1 => State::Draining,
            2 => State::Down,
            _ => State::Vacant,
        };
        Self { state, weight: Word(word).weight(), until: word >> 19 }
    }
}

/// A [`SlotStatus`] as it is stored. Words are equal only if the statuses are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

impl Word {
    /// The word for no slot.
    pub(crate) const NONE: Self = Self(u64::MAX);

    /// Differs from every other word: no weight is as large.
    pub(crate) const UNLIKE: Self = Self(u64::MAX - 1);

    /// Up without an end, at full weight.
    pub(crate) const FULL: Self = Self(MAX_WEIGHT as u64);

    #[inline]
    pub(crate) const fn weight(self) -> u32 {
        (self.0 & 0x1_ffff) as u32
    }

    /// Returns whether the state that counts at `now` is below `barred`. Has no branch.
    #[inline]
    pub(crate) const fn is_below(self, barred: State, now: u64) -> bool {
        // States are ordered by how much they exclude, so one comparison suffices.
        let admitted = self.0 & (3 << 17) < (barred as u64) << 17;
        // `until != 0 && now >= until`. Vacant slots have no until.
        let over = (self.0 >> 19).wrapping_sub(1) < now;
        admitted | over
    }
}

/// One slot of a token set: 16 bytes that the caller owns.
///
/// State, weight and until share one atomic word. So a reader sees all three as of one moment, and
/// a change never waits for a decision (on targets with 64-bit atomics; elsewhere portable-atomic
/// takes a short lock). Threads share it freely. The ordering is relaxed, because the word refers
/// to no other memory.
#[derive(Debug)]
#[repr(C)]
pub struct Slot {
    identity_hash: u64,
    word: AtomicU64,
}

impl Slot {
    /// Creates the slot of the account that `identity` names.
    ///
    /// # Errors
    ///
    /// [`Error::IdentityEmpty`], [`Error::Weight`], [`Error::Until`], and [`Error::Vacant`] if the
    /// status says vacant.
    pub fn new(identity: &[u8], status: SlotStatus) -> Result<Self, Error> {
        if identity.is_empty() {
            return Err(Error::IdentityEmpty);
        }
        if status.state == State::Vacant {
            return Err(Error::Vacant);
        }
        Ok(Self { identity_hash: identity_hash(identity), word: AtomicU64::new(status.pack()?) })
    }

    /// Creates a slot without an account, kept for growth.
    #[must_use]
    pub const fn vacant() -> Self {
        Self { identity_hash: 0, word: AtomicU64::new((State::Vacant as u64) << 17) }
    }

    /// Returns the identity hash of the account, or 0 for a vacant slot.
    #[must_use]
    pub const fn identity_hash(&self) -> u64 {
        self.identity_hash
    }

    /// Returns whether this slot holds no account.
    #[must_use]
    pub fn is_vacant(&self) -> bool {
        self.status().state == State::Vacant
    }

    /// Reads state, weight and until atomically.
    #[must_use]
    pub fn status(&self) -> SlotStatus {
        SlotStatus::unpack(self.word())
    }

    /// Reads state, weight and until atomically, as they are stored.
    #[inline]
    pub(crate) fn word(&self) -> Word {
        Word(self.word.load(Ordering::Relaxed))
    }

    /// Changes state, weight and until atomically.
    ///
    /// # Errors
    ///
    /// [`Error::Vacant`] if the slot is vacant or the status says so, [`Error::Weight`],
    /// [`Error::Until`]. Nothing changes then.
    pub fn set(&self, status: SlotStatus) -> Result<(), Error> {
        if status.state == State::Vacant || self.is_vacant() {
            return Err(Error::Vacant);
        }
        self.word.store(status.pack()?, Ordering::Relaxed);
        Ok(())
    }
}

/// Returns the identity hash of the account that `identity` names. It is `SipHash-2-4` under a
/// public key, so it depends only on the identity and is the same everywhere.
#[must_use]
pub fn identity_hash(identity: &[u8]) -> u64 {
    sip24(b"tokenpin.v1.acct", identity)
}

/// The filter that selects candidates.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Unix seconds, for `until`.
    pub now: u64,
    /// True if the key is an anonymous id that no pin vouches for. Then draining slots are
    /// candidates only if no other slot is.
    pub anonymous: bool,
    /// The slots that this request has tried already.
    pub tried: &'a [u32],
    /// Another slot to exclude: the pinned one, if it cannot serve.
    pub pinned: Option<u32>,
}

impl Filter<'_> {
    /// Returns whether a slot with this word is a candidate, unless its weight is 0 or it is
    /// excluded.
    #[inline]
    pub(crate) fn admits(&self, word: Word) -> bool {
        word.is_below(if self.anonymous { State::Draining } else { State::Down }, self.now)
    }

    /// Returns the filter with draining slots as candidates, for an anonymous id without a
    /// candidate.
    #[cold]
    #[inline(never)]
    pub(crate) fn last_resort(&self) -> Option<Self> {
        if self.anonymous { Some(Self { anonymous: false, ..*self }) } else { None }
    }

    #[inline]
    pub(crate) const fn leaves_none_out(&self) -> bool {
        self.pinned.is_none() && self.tried.is_empty()
    }

    /// Not inlined, because a request usually excludes no slot.
    #[inline(never)]
    pub(crate) fn leaves_out(&self, slot: u32) -> bool {
        self.pinned == Some(slot) || self.tried.contains(&slot)
    }
}

/// Returns the slots that selection reads: the first [`MAX_BUCKETS`].
pub(crate) fn in_range(slots: &[Slot]) -> &[Slot] {
    slots.get(..MAX_BUCKETS as usize).unwrap_or(slots)
}

/// Returns the number of slots that [`in_range`] returned.
#[expect(clippy::cast_possible_truncation, reason = "at most MAX_BUCKETS")]
pub(crate) fn count(slots: &[Slot]) -> u32 {
    slots.len() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_sixteen_bytes() {
        assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (16, 8));
    }

    #[test]
    fn every_status_survives_the_word() {
        for state in [State::Up, State::Draining, State::Down] {
            for weight in [0, 1, 65_535, MAX_WEIGHT] {
                for until in [0, 1, 1 << 32, MAX_UNTIL] {
                    let status = SlotStatus { state, weight, until };
                    let slot = Slot::new(b"a", SlotStatus::UP).unwrap();
                    slot.set(status).unwrap();
                    assert_eq!(slot.status(), status);
                    assert_eq!(Slot::new(b"a", status).unwrap().status(), status);
                }
            }
        }
    }

    #[test]
    fn bad_statuses_change_nothing() {
        let slot = Slot::new(b"a", SlotStatus { state: State::Down, weight: 7, until: 9 }).unwrap();
        let before = slot.status();
        let heavy = SlotStatus { weight: MAX_WEIGHT + 1, ..SlotStatus::UP };
        let late = SlotStatus { until: MAX_UNTIL + 1, ..SlotStatus::UP };
        let vacant = SlotStatus { state: State::Vacant, ..SlotStatus::UP };
        for (status, error) in
            [(heavy, Error::Weight), (late, Error::Until), (vacant, Error::Vacant)]
        {
            assert_eq!(slot.set(status), Err(error));
            assert_eq!(Slot::new(b"a", status).unwrap_err(), error);
            assert_eq!(slot.status(), before);
        }
        assert_eq!(Slot::new(b"", SlotStatus::UP).unwrap_err(), Error::IdentityEmpty);
        assert_eq!(Slot::vacant().set(SlotStatus::UP), Err(Error::Vacant));
    }

    #[test]
    fn until_ends_a_cooldown_and_nothing_else() {
        let status = |state, until| SlotStatus { state, weight: 1, until };
        for state in [State::Draining, State::Down] {
            assert_eq!(status(state, 0).state_at(u64::MAX), state);
            assert_eq!(status(state, 100).state_at(99), state);
            assert_eq!(status(state, 100).state_at(100), State::Up);
        }
        assert_eq!(status(State::Up, 100).state_at(1), State::Up);
        assert_eq!(Slot::vacant().status().state_at(u64::MAX), State::Vacant);
    }
}
