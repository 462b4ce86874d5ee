//! Structures that several chapters of the header share, and their conversion to the core's types.

use core::ffi::c_void;

use crate::cookie::set_cookie::{Attributes, SameSite};
use crate::decide::classify::{Group, Rule};
use crate::error::Field;
use crate::ids::fields::{IdKey, Ids, KeyKind};
use crate::ids::summary::Summary;
use crate::key::{Key, Kind};
use crate::limits::MAX_COOKIE_KEYS;
use crate::ring::{KeyView, Role};
use crate::select::slot::{SlotStatus, State};

use super::pointers::{Kept, bytes, switch};
use super::status::{Refusal, Status};

/// Borrowed bytes. `(NULL, 0)` is empty.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_bytes {
    /// The first byte.
    pub ptr: *const c_void,
    /// The number of bytes.
    pub len: usize,
}

/// An affinity key.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_key {
    /// A `tokenpin_kind`.
    pub kind: u8,
    /// The 16 bytes of an anonymous id, a consumer name, or a session key. For a combined key the
    /// consumer name. Names and session keys have 1 to [`MAX_KEY`](crate::MAX_KEY) bytes.
    pub key: tokenpin_bytes,
    /// The session key of a combined key. Ignored for the other kinds.
    pub session: tokenpin_bytes,
}

/// State, weight and until of a slot.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_slot_status {
    /// The unix second from which a draining or down slot counts as up again. 0 for never. At most
    /// [`MAX_UNTIL`](crate::MAX_UNTIL).
    pub until: u64,
    /// 0 to [`MAX_WEIGHT`](crate::MAX_WEIGHT), the full weight. At 0 a slot takes only sessions
    /// that are pinned to it.
    pub weight: u32,
    /// A `tokenpin_state`.
    pub state: u8,
}

/// One key of the cookie key ring.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_cookie_key {
    /// The number in a cookie that names the key that signed it.
    pub id: u8,
    /// A `tokenpin_role`.
    pub role: u8,
    /// The secret.
    pub secret: [u8; 16],
}

/// The attributes of the cookie.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_attributes {
    /// `Path`. Empty for `/`.
    pub path: tokenpin_bytes,
    /// `Domain`. Empty for none.
    pub domain: tokenpin_bytes,
    /// 1 for `Secure`.
    pub secure: u8,
    /// 1 for `HttpOnly`.
    pub http_only: u8,
    /// A `tokenpin_same_site`.
    pub same_site: u8,
    /// 1 for `Partitioned`.
    pub partitioned: u8,
}

/// One row of a classification table.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_rule {
    /// One or more path segments, such as `files` or `messages/batches`. A `*` at the front of a
    /// segment, except the first one, stands for one or more bytes of it.
    pub pattern: tokenpin_bytes,
    /// A `tokenpin_group`.
    pub group: u8,
    /// A `tokenpin_ids`: the ids that are opened in these requests and sealed in their responses.
    pub ids: u8,
}

/// A key that is read for ids, in addition to those of the table.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_id_field {
    /// The key, 1 to 32 bytes.
    pub name: tokenpin_bytes,
    /// A `tokenpin_key_kind`, except `path` and `own`.
    pub kind: u8,
}

/// The summary of a request's ids, and the forms in which the client wrote them: plain data. Keep
/// it until the response. A copy is a summary too.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_id_summary {
    /// Private.
    pub private_words: [u64; 56],
}

impl Kept for Summary {
    type Words = tokenpin_id_summary;
    const MARK: u64 = 0x746f_6b65_6e69_6473;
}

impl tokenpin_bytes {
    pub(super) unsafe fn get<'a>(self) -> Result<&'a [u8], Status> {
        // SAFETY: passed on.
        unsafe { bytes(self.ptr, self.len) }
    }

    pub(super) const EMPTY: Self = Self { ptr: core::ptr::null(), len: 0 };
}

impl From<&[u8]> for tokenpin_bytes {
    fn from(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr().cast(), len: bytes.len() }
    }
}

impl tokenpin_key {
    #[inline(never)]
    pub(super) unsafe fn get<'a>(self) -> Result<Key<'a>, Status> {
        let kind = Kind::from_number(self.kind).ok_or(Status::BadEnum)?;
        // SAFETY: passed on.
        let key = unsafe { self.key.get() }?;
        Ok(match kind {
            Kind::Anonymous => Key::Anonymous(key.try_into().map_err(|_| Status::KeyLength)?),
            Kind::Consumer => Key::Consumer(key),
            Kind::Session => Key::Session(key),
            Kind::Combined => {
                // SAFETY: passed on.
                Key::Combined { consumer: key, session: unsafe { self.session.get() }? }
            }
        })
    }
}

impl tokenpin_slot_status {
    pub(super) fn get(self) -> Result<SlotStatus, Status> {
        let state = State::from_number(self.state).ok_or(Status::BadEnum)?;
        Ok(SlotStatus { state, weight: self.weight, until: self.until })
    }
}

impl From<SlotStatus> for tokenpin_slot_status {
    fn from(status: SlotStatus) -> Self {
        Self { until: status.until, weight: status.weight, state: status.state as u8 }
    }
}

impl tokenpin_cookie_key {
    /// Returns the key, or `None` if its role is invalid.
    fn view(&self) -> Option<KeyView<'_>> {
        let role = Role::from_number(self.role)?;
        Some(KeyView { id: self.id, role, secret: &self.secret })
    }

    /// Returns the keys by position, for `KeyRing::of`. Checks the roles of as many keys as a ring
    /// reads.
    pub(super) fn views<'k>(
        keys: &'k [Self],
        field: Field,
    ) -> Result<impl Fn(usize) -> Option<KeyView<'k>>, Refusal> {
        match keys.iter().take(MAX_COOKIE_KEYS + 1).position(|key| key.view().is_none()) {
            Some(index) => Err(Status::BadEnum.at(field, index)),
            None => Ok(|i| keys.get(i).and_then(Self::view)),
        }
    }
}

impl tokenpin_attributes {
    pub(super) unsafe fn get<'a>(self) -> Result<Attributes<'a>, Refusal> {
        let bad = |status: Status, field| status.at(field, 0);
        // SAFETY: passed on.
        let path = unsafe { self.path.get() }.map_err(|status| bad(status, Field::Path))?;
        // SAFETY: passed on.
        let domain = unsafe { self.domain.get() }.map_err(|status| bad(status, Field::Domain))?;
        let on = |number, field| switch(number).map_err(|status| bad(status, field));
        Ok(Attributes {
            path: if path.is_empty() { Attributes::default().path } else { path },
            domain,
            secure: on(self.secure, Field::Secure)?,
            http_only: on(self.http_only, Field::HttpOnly)?,
            same_site: SameSite::from_number(self.same_site)
                .ok_or_else(|| bad(Status::BadEnum, Field::SameSite))?,
            partitioned: on(self.partitioned, Field::Partitioned)?,
        })
    }
}

impl tokenpin_rule {
    pub(super) unsafe fn get<'a>(&self) -> Result<Rule<'a>, Status> {
        // SAFETY: passed on.
        self.with(unsafe { self.pattern.get() }?)
    }

    /// Returns the rule with a copy of its pattern.
    pub(super) fn with<'a>(&self, pattern: &'a [u8]) -> Result<Rule<'a>, Status> {
        let group = Group::from_number(self.group).ok_or(Status::BadEnum)?;
        let ids = Ids::from_number(self.ids).ok_or(Status::BadEnum)?;
        Ok(Rule { pattern, group, ids })
    }
}

impl tokenpin_id_field {
    /// Returns the key with a copy of its name.
    pub(super) fn with<'a>(&self, name: &'a [u8]) -> Result<IdKey<'a>, Status> {
        let kind = KeyKind::from_number(self.kind).ok_or(Status::BadEnum)?;
        Ok(IdKey { name, kind })
    }
}
