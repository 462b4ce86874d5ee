//! Chapter 3: decide and finish
//!
//! The decision says which slot serves a request and which cookie is set on success. It is plain
//! data: keep it, and the affinity that made it, until the response.

use core::ffi::c_void;

use crate::cookie::value::VALUE_LEN;
use crate::decide::classify::Group;
use crate::decide::decision::{Answer, Decision, Outcome, Pending, PinState, Source};
use crate::decide::request::{KeyInput, Request};
use crate::ids::id::IdVerdict;
use crate::ids::summary::Summary;
use crate::limits::MAX_MAX_AGE;

use super::block::{handle, tokenpin_affinity};
use super::constants::{TOKENPIN_COOKIE_VALUE_LEN, TOKENPIN_SLOT_NONE};
use super::pointers::{Buffer, Marked, Out, array, optional, reference, switch};
use super::status::{Status, returned};
use super::structs::{tokenpin_bytes, tokenpin_id_summary};

/// One request, borrowed for the call. All zero is a valid start.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_request {
    /// The method, which classification reads. With a group it still says whether the request names
    /// existing state. Use `CONNECT` for a WebSocket handshake, also if it is a `GET` with
    /// `Upgrade`: a handshake reads nothing, and its connection may create state.
    pub method: tokenpin_bytes,
    /// The target, such as `/v1/responses?x=1`, which classification reads.
    pub target: tokenpin_bytes,
    /// The values of the consumer header. Empty ones are skipped, and equal ones count as one.
    pub consumers: *const tokenpin_bytes,
    /// The number of these values.
    pub consumer_count: usize,
    /// The values of the session header. Empty ones are skipped, and equal ones count as one.
    pub sessions: *const tokenpin_bytes,
    /// The number of these values.
    pub session_count: usize,
    /// The values of the `Cookie` fields.
    pub cookies: *const tokenpin_bytes,
    /// The number of these fields.
    pub cookie_count: usize,
    /// A cookie's value that came in the carrier header. Empty for none.
    pub carrier_value: tokenpin_bytes,
    /// The scope, 0 to [`MAX_SCOPE`](crate::MAX_SCOPE) bytes. Empty for the configured one.
    pub scope: tokenpin_bytes,
    /// The summary of the ids in its path, query and body. NULL if they were not read.
    pub ids: *const tokenpin_id_summary,
    /// The slots that this request has tried already.
    pub tried: *const u32,
    /// The number of these slots.
    pub tried_count: usize,
    /// The wall clock, in unix seconds.
    pub now: u64,
    /// NULL, or 16 bytes that become the id of a new session, so that parallel first requests of
    /// one client agree: `tokenpin_affinity_id_hint` of something that belongs to only one client.
    /// Not a connection behind a CDN, which carries many clients, and not an address behind a NAT.
    /// NULL if in doubt.
    pub id_hint: *const u8,
    /// Sixteen fresh random bytes.
    pub entropy: [u8; 16],
    /// 1: `group` names the group. 0: method and target are classified.
    pub has_group: u8,
    /// A `tokenpin_group`, if `has_group` is 1.
    pub group: u8,
    /// 1: the request names existing state. Then it is stateful, regardless of group, method and
    /// target. Set it if the body names state (`previous_response_id`, `input_file_id`, ...); the
    /// library learns that only from `ids`.
    pub existing: u8,
    /// 1: the consumer values come from a source that may name consumers.
    pub consumer_trusted: u8,
    /// 1: the response returns the cookie in the carrier header. Implied if `carrier_value` is not
    /// empty.
    pub carrier: u8,
}

/// The answer to a request: plain data without pointers. Keep it until the response.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_decision {
    /// The fingerprint of the configuration that decided.
    pub fingerprint: u64,
    /// The slot that serves, or `TOKENPIN_SLOT_NONE`; then the host answers with an error itself.
    pub slot: u32,
    /// The `Max-Age` of the cookie.
    pub max_age: u32,
    /// Without a slot: the seconds until the first slot that can serve the request is up again.
    /// Under `fail_fast`, and for an id, the seconds until the pinned slot is. At most 2^32-1. 0 if
    /// that is unknown, if the slot can serve now but was tried, if the keys or ids were refused,
    /// and if a slot serves.
    pub retry_after: u32,
    /// The source of the affinity: a `tokenpin_source`.
    pub source: u8,
    /// The outcome: a `tokenpin_outcome`.
    pub outcome: u8,
    /// The state of the pinned token: a `tokenpin_pin_state`.
    pub pin_state: u8,
    /// The verdict on the request's cookies: a `tokenpin_verdict`.
    pub verdict: u8,
    /// The verdict on the request's ids: a `tokenpin_id_verdict`.
    pub id_verdict: u8,
    /// Numbers of keys, or `TOKENPIN_ID_KEY_NONE`: the key of the id that names the account or is
    /// refused, and for a conflict both keys. `tokenpin_affinity_id_key` spells them.
    pub id_keys: [u8; 2],
    /// Why a key of the request was not used: a `tokenpin_key_reason`.
    pub key_reason: u8,
    /// 1: valid cookies with different ids came.
    pub ambiguous: u8,
    /// 1: the request names existing state, according to its method, its target, its ids or the
    /// caller.
    pub existing: u8,
    /// 1: a host may send the request to another token when this one refuses it. Such a request
    /// names no state, and the state it creates will be looked for at the token that created it.
    pub may_move: u8,
    /// The condition for setting the cookie: 0 never, 1 on success.
    pub cookie: u8,
    /// 1: the value is returned in the carrier header.
    pub carrier: u8,
    /// 1: the cookie's name follows the request's own scope, with the suffix below.
    pub has_name_suffix: u8,
    /// The suffix of the name, before it is spelled in hexadecimal digits.
    pub name_suffix: [u8; 4],
    /// The value of the cookie, 67 characters without a NUL.
    pub value: [u8; TOKENPIN_COOKIE_VALUE_LEN],
}

/// Decides which slot serves a request, and prepares the cookie that the response sets. Any number
/// of threads may call it. Refuses with `TOKENPIN_STATUS_ENTROPY` if randomness is needed and all
/// zero, and with `TOKENPIN_STATUS_TIME` if a cookie is to be issued after the year 2106.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED,
/// SCOPE_LENGTH, SLOT_RANGE, TIME, ENTROPY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_decide(
    affinity: *const tokenpin_affinity,
    request: *const tokenpin_request,
    decision: *mut tokenpin_decision,
) -> i32 {
    returned((|| {
        let decision = Out::new(decision)?;
        // SAFETY: checked by `handle`, `reference` and `get`.
        let (handle, (request, cookies)) =
            unsafe { (handle(affinity)?, reference(request)?.get()?) };
        decision.check_apart(handle.span())?;
        let answer = handle.affinity.decide(&request, cookies)?;
        // SAFETY: checked by `Out`.
        unsafe { decision.write(answer.into()) };
        Ok(())
    })())
}

/// Finishes a request: if the response's `status` is a success and there is a cookie to set, writes
/// the cookie. `answer` receives a `tokenpin_answer`, `*len` the length, 0 for no output.
/// `TOKENPIN_MAX_SET_COOKIE` bytes suffice. Only formats.
///
/// Refuses with `TOKENPIN_STATUS_STALE` if another configuration decided: keep the affinity that
/// decides alive until the response. The buffer must not overlap the affinity's memory.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED, BUFFER_TOO_SMALL,
/// BAD_DECISION, STALE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_finish(
    affinity: *const tokenpin_affinity,
    decision: *const tokenpin_decision,
    status: u16,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
    answer: *mut u8,
) -> i32 {
    returned((|| {
        let answer = Out::new(answer)?;
        let mut out = Buffer::new(buffer, capacity, len)?;
        // SAFETY: checked by `handle` and `reference`.
        let (handle, decision) = unsafe { (handle(affinity)?, reference(decision)?) };
        out.check_apart_from(&[handle.span()])?;
        answer.check_apart(handle.span())?;
        let pending = decision.pending()?;
        let written =
            handle.affinity.finish_to(decision.fingerprint, pending.as_ref(), status, &mut out);
        let kind = written.map_or(Answer::Nothing, |(kind, _)| kind);
        // SAFETY: checked by `Buffer` and `Out`.
        unsafe {
            out.end(written.map(|(_, len)| len))?;
            answer.write(kind as u8);
        }
        Ok(())
    })())
}

/// Reports the refusal with which a host answers if no slot serves. `refusal` receives a
/// `tokenpin_refusal`, whose name is the code that clients see, and `status` its HTTP status. If a
/// slot serves, they are `NONE` and 200.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, BAD_DECISION.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_decision_refusal(
    decision: *const tokenpin_decision,
    status: *mut u16,
    refusal: *mut u8,
) -> i32 {
    returned((|| {
        let (status, refusal) = (Out::new(status)?, Out::new(refusal)?);
        // SAFETY: checked by `reference`.
        let answer = unsafe { reference(decision) }?.core().ok_or(Status::BadDecision)?.refusal();
        // SAFETY: checked by `Out`.
        unsafe {
            status.write(answer.status());
            refusal.write(answer as u8);
        }
        Ok(())
    })())
}

impl tokenpin_request {
    /// Returns the request and its `Cookie` fields.
    pub(super) unsafe fn get<'a>(
        &self,
    ) -> Result<(Request<'a>, impl Iterator<Item = &'a [u8]>), Status> {
        let group = if switch(self.has_group)? {
            Some(Group::from_number(self.group).ok_or(Status::BadEnum)?)
        } else {
            None
        };
        // SAFETY: checked by `fields`, `get`, `array` and `reference`.
        unsafe {
            let trusted = switch(self.consumer_trusted)?;
            let request = Request {
                group,
                existing: switch(self.existing)?,
                ids: Marked::<Summary>::optional(self.ids)?,
                method: self.method.get()?,
                target: self.target.get()?,
                consumer: KeyInput::new(fields(self.consumers, self.consumer_count)?)
                    .trusted(trusted),
                session: KeyInput::new(fields(self.sessions, self.session_count)?),
                carrier_value: self.carrier_value.get()?,
                carrier: switch(self.carrier)?,
                scope: self.scope.get()?,
                tried: array(self.tried, self.tried_count)?,
                now: self.now,
                entropy: self.entropy,
                id_hint: optional(self.id_hint.cast::<[u8; 16]>())?.copied(),
            };
            Ok((request, fields(self.cookies, self.cookie_count)?))
        }
    }
}

/// Returns the values of a header field. Each one is checked before the first is used.
unsafe fn fields<'a>(
    pointer: *const tokenpin_bytes,
    count: usize,
) -> Result<impl Iterator<Item = &'a [u8]>, Status> {
    // SAFETY: checked by `array`.
    let all = unsafe { array::<tokenpin_bytes>(pointer, count) }?;
    for one in all {
        // SAFETY: checked by `get`.
        unsafe { one.get() }?;
    }
    // SAFETY: checked by `get`, and all found good above.
    Ok(all.iter().map(|one| unsafe { one.get() }.unwrap_or_default()))
}

impl From<Decision> for tokenpin_decision {
    fn from(decision: Decision) -> Self {
        let none =
            Pending { value: [b'A'; VALUE_LEN], max_age: 0, carrier: false, name_suffix: None };
        let cookie = decision.cookie.unwrap_or(none);
        Self {
            fingerprint: decision.fingerprint,
            slot: decision.slot.unwrap_or(TOKENPIN_SLOT_NONE),
            max_age: cookie.max_age,
            retry_after: decision.retry_after,
            source: decision.source as u8,
            outcome: decision.outcome as u8,
            pin_state: decision.pin_state as u8,
            verdict: decision.verdict as u8,
            id_verdict: decision.id_verdict as u8,
            id_keys: decision.id_keys,
            key_reason: decision.key_reason as u8,
            ambiguous: u8::from(decision.ambiguous),
            existing: u8::from(decision.existing),
            may_move: u8::from(decision.may_move),
            cookie: u8::from(decision.cookie.is_some()),
            carrier: u8::from(cookie.carrier),
            has_name_suffix: u8::from(cookie.name_suffix.is_some()),
            name_suffix: cookie.name_suffix.unwrap_or_default(),
            value: cookie.value,
        }
    }
}

impl tokenpin_decision {
    /// Returns the parts of the decision that a refusal depends on. Returns `None` if the library
    /// did not make it.
    fn core(&self) -> Option<Decision> {
        Some(Decision {
            slot: if self.slot == TOKENPIN_SLOT_NONE { None } else { Some(self.slot) },
            source: Source::from_number(self.source)?,
            outcome: Outcome::from_number(self.outcome)?,
            pin_state: PinState::from_number(self.pin_state)?,
            id_verdict: IdVerdict::from_number(self.id_verdict)?,
            id_keys: self.id_keys,
            ..Decision::nothing(false, self.fingerprint)
        })
    }

    /// Returns the cookie to set. The structure was in other hands, so nothing that could break out
    /// of a header is taken from it.
    fn pending(&self) -> Result<Option<Pending>, Status> {
        let on = |number| switch(number).map_err(|_| Status::BadDecision);
        let (carrier, suffix) = (on(self.carrier)?, on(self.has_name_suffix)?);
        let character = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if self.max_age > MAX_MAX_AGE || !self.value.iter().all(character) {
            return Err(Status::BadDecision);
        }
        let name_suffix = if suffix { Some(self.name_suffix) } else { None };
        let pending = Pending { value: self.value, max_age: self.max_age, carrier, name_suffix };
        Ok(if on(self.cookie)? { Some(pending) } else { None })
    }
}
