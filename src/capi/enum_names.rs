//! The names of all enums, packed into one string of bytes. A table of pointers would be four times
//! as large, and would need relocation when the library is loaded.

use crate::cookie::set_cookie::SameSite;
use crate::cookie::value::Verdict;
use crate::decide::classify::Group;
use crate::decide::config::{IdOwner, Policy};
use crate::decide::decision::{Answer, Outcome, PinState, Refusal, Source};
use crate::decide::request::KeyReason;
use crate::enums::Named;
use crate::error::Field;
use crate::ids::fields::{Ids, KeyKind};
use crate::ids::id::IdVerdict;
use crate::ids::rules::{ForeignSeals, Mode};
use crate::key::Kind;
use crate::ring::Role;
use crate::select::Strategy;
use crate::select::slot::State;

use super::ids::Framing;
use super::status::Status;

/// The enums that `tokenpin_enum_name` knows.
#[derive(Clone, Copy)]
#[repr(i32)]
pub enum Enum {
    /// `tokenpin_status`
    Status = 0,
    /// `tokenpin_field`
    Field = 1,
    /// `tokenpin_kind`
    Kind = 2,
    /// `tokenpin_state`
    State = 3,
    /// `tokenpin_strategy`
    Strategy = 4,
    /// `tokenpin_role`
    Role = 5,
    /// `tokenpin_verdict`
    Verdict = 6,
    /// `tokenpin_same_site`
    SameSite = 7,
    /// `tokenpin_group`
    Group = 8,
    /// `tokenpin_policy`
    Policy = 9,
    /// `tokenpin_source`
    Source = 10,
    /// `tokenpin_outcome`
    Outcome = 11,
    /// `tokenpin_pin_state`
    PinState = 12,
    /// `tokenpin_key_reason`
    KeyReason = 13,
    /// `tokenpin_answer`
    Answer = 14,
    /// `tokenpin_id_verdict`
    IdVerdict = 15,
    /// `tokenpin_ids`
    Ids = 16,
    /// `tokenpin_mode`
    Mode = 17,
    /// `tokenpin_key_kind`
    KeyKind = 18,
    /// `tokenpin_id_owner`
    IdOwner = 19,
    /// `tokenpin_foreign_seals`
    ForeignSeals = 20,
    /// `tokenpin_framing`
    Framing = 21,
    /// `tokenpin_refusal`
    Refusal = 22,
}

/// In the order of [`Enum`].
const ENUMS: [Named; 23] = [
    Status::NAMED,
    Field::NAMED,
    Kind::NAMED,
    State::NAMED,
    Strategy::NAMED,
    Role::NAMED,
    Verdict::NAMED,
    SameSite::NAMED,
    Group::NAMED,
    Policy::NAMED,
    Source::NAMED,
    Outcome::NAMED,
    PinState::NAMED,
    KeyReason::NAMED,
    Answer::NAMED,
    IdVerdict::NAMED,
    Ids::NAMED,
    Mode::NAMED,
    KeyKind::NAMED,
    IdOwner::NAMED,
    ForeignSeals::NAMED,
    Framing::NAMED,
    Refusal::NAMED,
];

/// For every number from 0 on: the length of its name, 0 if it has none, and the name. [`END`]
/// follows the last name of an enum.
static PACKED: [u8; pack::<0>().1] = pack().0;

const END: u8 = u8::MAX;

/// Returns the packed bytes, as far as there is room, and their number.
#[expect(clippy::cast_possible_truncation, reason = "no name has 255 bytes")]
const fn pack<const ROOM: usize>() -> ([u8; ROOM], usize) {
    const fn put<const ROOM: usize>(packed: &mut [u8; ROOM], len: &mut usize, byte: u8) {
        if *len < ROOM {
            packed[*len] = byte;
        }
        *len += 1;
    }
    let (mut packed, mut len, mut which) = ([0; ROOM], 0, 0);
    while which < ENUMS.len() {
        let (mut i, mut number) = (0, 0);
        while i < ENUMS[which].len() {
            let (named, name) = ENUMS[which][i];
            while number < named {
                put(&mut packed, &mut len, 0);
                number += 1;
            }
            assert!(number == named && name.len() < END as usize, "out of order, or too long");
            put(&mut packed, &mut len, name.len() as u8);
            let mut at = 0;
            while at < name.len() {
                put(&mut packed, &mut len, name.as_bytes()[at]);
                at += 1;
            }
            number += 1;
            i += 1;
        }
        put(&mut packed, &mut len, END);
        which += 1;
    }
    (packed, len)
}

/// Returns the name of a number of the enum with the number `which` in [`Enum`].
pub(super) fn name_of(which: u8, number: u8) -> Option<&'static [u8]> {
    let (mut at, mut rest) = ((0, 0), PACKED.as_slice());
    while let [len, names @ ..] = rest {
        if *len == END {
            (at, rest) = ((at.0 + 1, 0), names);
            continue;
        }
        let (name, others) = names.split_at_checked(usize::from(*len))?;
        if at == (which, number) {
            return if name.is_empty() { None } else { Some(name) };
        }
        (at.1, rest) = (at.1 + 1, others);
    }
    None
}
