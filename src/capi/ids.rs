//! Chapter 8: sealed ids
//!
//! A sealed id says, authenticated and masked, which account its object lives in. A gateway opens
//! the ids of a request: first those of its target, then those of its body. The result is a
//! `tokenpin_id_summary`, which goes into the `tokenpin_request`. In the response it seals the ids
//! of the body, and of the fields that hold a target.
//!
//! A body is read in steps. Each step describes in a `tokenpin_piece` the front of its input:
//! `pass` bytes go out unchanged, `put` follows them, and `taken` bytes are consumed, including
//! those that pass. Pass a chunk until all of it is taken, and then the next one. The end of the
//! body puts out the bytes still held. Each step on a chunk takes something or puts something out.
//!
//! The functions that take a ring do this for one id, without an affinity.

use core::ffi::{c_char, c_void};

use crate::enums::named;
use crate::error::{Error, Field};
use crate::ids::fields::Ids;
use crate::ids::id::{IdRing, IdSealer};
use crate::ids::rewrite::{Opener, Piece, Sealer};
use crate::ids::rules::{Mode, Rules};
use crate::ids::sides::{Opening, Origin, Sealing};
use crate::ids::summary::{Echo, Summary};

use super::block::{handle, tokenpin_affinity};
use super::constants::TOKENPIN_ID_MARK_LEN;
use super::decide::tokenpin_request;
use super::pointers::{
    Buffer, Kept, Marked, Out, Span, bytes, bytes_mut, check_array, put, reference, switch,
};
use super::status::{Status, returned, tokenpin_config_error};
use super::structs::{tokenpin_bytes, tokenpin_cookie_key, tokenpin_id_summary};
use super::wipe::{init_ring, wipe_words};

/// The keys that seal ids, in memory of the caller, at least 8-aligned. The contents are private
/// and secret: `tokenpin_id_ring_wipe` ends their life. A copy is a ring too, and must be wiped
/// too.
#[repr(C)]
pub struct tokenpin_id_ring {
    /// Private.
    pub private_words: [u64; 38],
}

/// The content of a summary. A key is a number that `tokenpin_affinity_id_key` spells;
/// `TOKENPIN_ID_KEY_NONE` is none.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_id_report {
    /// The number of opened ids.
    pub opened: u32,
    /// The number of plain ids.
    pub plain: u32,
    /// The number of ids whose form could not be remembered. In the response they have the form of
    /// the mode.
    pub echoes_lost: u32,
    /// A `tokenpin_id_verdict`: the worst of all ids.
    pub verdict: u8,
    /// The key of the refused id. For a conflict, both keys.
    pub keys: [u8; 2],
    /// 1: the request is refused for its ids.
    pub refused: u8,
    /// 1: a string that may be an id is too long to be read. The request is refused too.
    pub unreadable: u8,
    /// 1: the request names existing state.
    pub existing: u8,
    /// 1: the ids of the response are sealed, regardless of what the client sent.
    pub seals: u8,
    /// 1: anything in the response may change. If not, the response need not be read.
    pub changes_response: u8,
    /// 1: the body says `"store": false`.
    pub unstored: u8,
    /// 1: the path is for uploads, so that the request may have a multipart body.
    pub uploads: u8,
    /// 1: the path is a download. Its response is a client's file, in which nothing is to be
    /// sealed.
    pub downloads: u8,
    /// The length of `quoted`. 0 for an id over 64 bytes or with other characters than ids have,
    /// and for encrypted content.
    pub quoted_len: u8,
    /// The refused id, or else the id that names the account, as the client wrote it except for
    /// escapes, for the text of a refusal. The rest is 0.
    pub quoted: [u8; 64],
}

/// The context in which a request's ids are opened and its response's are sealed, borrowed for each
/// call. All zero is a valid start.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_id_use {
    /// The scope, as in the request. Empty for the configured one.
    pub scope: tokenpin_bytes,
    /// The owner that `tokenpin_affinity_id_owner` returns for the request.
    pub owner: tokenpin_bytes,
    /// The upstream's authority: the host, and the port if there is one. Absolute URLs of this
    /// authority are rewritten under the keys of the table. Empty leaves them as they are.
    pub upstream: tokenpin_bytes,
    /// Scheme and authority of the client's request, such as `https://gateway.example`.
    pub origin: tokenpin_bytes,
    /// A `tokenpin_ids`, from `tokenpin_affinity_classify`.
    pub ids: u8,
    /// 1: `mode` replaces the configured one.
    pub has_mode: u8,
    /// A `tokenpin_mode`, if `has_mode` is 1.
    pub mode: u8,
}

/// The result of a step at the front of its input.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_piece {
    /// The number of input bytes that go out unchanged.
    pub pass: usize,
    /// The bytes that follow them, in the rewriter's memory, until its next call.
    pub put: *const u8,
    /// The number of these bytes.
    pub put_len: usize,
    /// The number of input bytes consumed, including those that pass.
    pub taken: usize,
    /// The number of ids rewritten in the body so far.
    pub changed: u32,
    /// The number of documents in the body so far that are not JSON as the scanner reads it. Their
    /// rest passed unchanged.
    pub unexpected: u32,
}

/// The state of opening one request's body. Plain data.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_id_opener {
    /// Private.
    pub private_words: [u64; 96],
}

/// The state of sealing one response's body. Plain data.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_id_sealer {
    /// Private.
    pub private_words: [u64; 128],
}

/// The framing of the documents in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Framing {
    /// One JSON document. A body that begins like an event stream is read as events.
    Json = 0,
    /// Server-sent events.
    Events = 1,
}

named! { Framing { Json = "json", Events = "events" } }

impl Kept for IdRing {
    type Words = tokenpin_id_ring;
    const MARK: u64 = 0x746f_6b65_6e69_6472;
}

/// The content of a `tokenpin_id_opener`.
struct OpenBody {
    opener: Opener,
    changed: u32,
}

impl Kept for OpenBody {
    type Words = tokenpin_id_opener;
    const MARK: u64 = 0x746f_6b65_6e6f_7065;
}

impl Kept for Sealer {
    type Words = tokenpin_id_sealer;
    const MARK: u64 = 0x746f_6b65_6e73_6561;
}

// One id.

/// Makes a ring of 1 to [`MAX_COOKIE_KEYS`](crate::MAX_COOKIE_KEYS) keys, exactly one of which
/// signs; the roles accept and retire mean the same here. The keys of cookies may be used again,
/// because ids derive other keys from them. `placement_key` may be NULL; if it is not, it has 16
/// bytes, and no secret may equal it. `error` may be NULL; if it is not, it receives the reason of
/// a refusal and the key at fault.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, ZERO_SECRET, DUPLICATE_SECRET,
/// DUPLICATE_KEY_ID, KEY_COUNT, SIGNING_KEYS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_id_ring_init(
    ring: *mut tokenpin_id_ring,
    keys: *const tokenpin_cookie_key,
    key_count: usize,
    placement_key: *const u8,
    error: *mut tokenpin_config_error,
) -> i32 {
    // SAFETY: passed on.
    unsafe { init_ring(ring, keys, key_count, placement_key, error, Field::IdKeys, IdRing::of) }
}

/// Wipes a ring. NULL is allowed, and so is a ring that is wiped already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_id_ring_wipe(ring: *mut tokenpin_id_ring) {
    // SAFETY: passed on.
    unsafe { wipe_words(ring) };
}

/// Seals the id of an object in the account with the identity hash `pin`, with the ring's signing
/// key. `id` is 1 to [`MAX_ID`](crate::MAX_ID) bytes of `A-Z a-z 0-9 _ -`. An id that already
/// carries this seal stays as it is. [`MAX_SEALED_ID`](crate::MAX_SEALED_ID) bytes suffice.
///
/// The scope has 0 to [`MAX_SCOPE`](crate::MAX_SCOPE) bytes, the owner 0 to
/// [`MAX_KEY`](crate::MAX_KEY).
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED, BUFFER_TOO_SMALL, ID,
/// SCOPE_LENGTH, KEY_LENGTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_id_seal(
    ring: *const tokenpin_id_ring,
    scope: *const c_void,
    scope_len: usize,
    owner: *const c_void,
    owner_len: usize,
    pin: u64,
    id: *const c_void,
    id_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
) -> i32 {
    returned((|| {
        let mut out = Buffer::new(buffer, capacity, len)?;
        // SAFETY: checked by `sealer` and `bytes`.
        let (sealer, id) =
            unsafe { (sealer(ring, (scope, scope_len), (owner, owner_len))?, bytes(id, id_len)?) };
        out.check_apart_from(&[Span::at(ring)])?;
        let made = sealer.seal(id, pin).ok_or(Status::Id)?;
        let written = put(&mut out, made.as_bytes());
        // SAFETY: checked by `Buffer`.
        unsafe { out.end(written) }
    })())
}

/// Opens a text that may be a sealed id. The result is a verdict and not a status: `verdict`
/// receives a `tokenpin_id_verdict`. With `SEALED`, the native id is written, `pin` receives the
/// identity hash of the account that holds the object, and `key_id` the key that sealed it.
/// Otherwise these stay unchanged.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED, BUFFER_TOO_SMALL,
/// SCOPE_LENGTH, KEY_LENGTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_id_open(
    ring: *const tokenpin_id_ring,
    scope: *const c_void,
    scope_len: usize,
    owner: *const c_void,
    owner_len: usize,
    text: *const c_void,
    text_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
    verdict: *mut u8,
    pin: *mut u64,
    key_id: *mut u8,
) -> i32 {
    returned((|| {
        let mut out = Buffer::new(buffer, capacity, len)?;
        let (verdict, pin, key_id) = (Out::new(verdict)?, Out::new(pin)?, Out::new(key_id)?);
        // SAFETY: checked by `sealer` and `bytes`.
        let (sealer, text) = unsafe {
            (sealer(ring, (scope, scope_len), (owner, owner_len))?, bytes(text, text_len)?)
        };
        let ring = Span::at(ring);
        out.check_apart_from(&[ring])?;
        ring.check_apart_from(&[verdict.span(), pin.span(), key_id.span()])?;
        let (came, opened) = sealer.open(text);
        // SAFETY: checked by `Buffer` and `Out`.
        unsafe {
            if let Some(opened) = opened {
                let written = put(&mut out, opened.native());
                out.end(written)?;
                pin.write(opened.pin);
                key_id.write(opened.key_id);
            }
            verdict.write(came as u8);
        }
        Ok(())
    })())
}

/// Makes the mark for encrypted content of the account with the identity hash `pin`:
/// `TOKENPIN_ID_MARK_LEN` characters without a NUL. Empty content has none.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED, ID, SCOPE_LENGTH,
/// KEY_LENGTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_id_mark(
    ring: *const tokenpin_id_ring,
    scope: *const c_void,
    scope_len: usize,
    owner: *const c_void,
    owner_len: usize,
    pin: u64,
    content: *const c_void,
    content_len: usize,
    mark: *mut c_char,
) -> i32 {
    returned((|| {
        let mark = Out::new(mark.cast::<[u8; TOKENPIN_ID_MARK_LEN]>())?;
        // SAFETY: checked by `sealer` and `bytes`.
        let (sealer, content) = unsafe {
            (sealer(ring, (scope, scope_len), (owner, owner_len))?, bytes(content, content_len)?)
        };
        mark.check_apart(Span::at(ring))?;
        let made = sealer.mark(content, pin).ok_or(Status::Id)?;
        // SAFETY: checked by `Out`.
        unsafe { mark.write(made) };
        Ok(())
    })())
}

/// Reads the mark behind encrypted content. `verdict` receives a `tokenpin_id_verdict`, `PLAIN` for
/// content without a mark. With `SEALED`, `content_len` receives the length of the content without
/// the mark, and `pin` the identity hash of its account. Otherwise these stay unchanged.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, OVERLAP, NOT_INITIALISED, SCOPE_LENGTH,
/// KEY_LENGTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_id_open_mark(
    ring: *const tokenpin_id_ring,
    scope: *const c_void,
    scope_len: usize,
    owner: *const c_void,
    owner_len: usize,
    text: *const c_void,
    text_len: usize,
    content_len: *mut usize,
    verdict: *mut u8,
    pin: *mut u64,
) -> i32 {
    returned((|| {
        let content_len = Out::new(content_len)?;
        let (verdict, pin) = (Out::new(verdict)?, Out::new(pin)?);
        // SAFETY: checked by `sealer` and `bytes`.
        let (sealer, text) = unsafe {
            (sealer(ring, (scope, scope_len), (owner, owner_len))?, bytes(text, text_len)?)
        };
        Span::at(ring).check_apart_from(&[content_len.span(), verdict.span(), pin.span()])?;
        let (came, opened) = sealer.open_mark(text);
        // SAFETY: checked by `Out`.
        unsafe {
            if let Some((content, account)) = opened {
                content_len.write(content.len());
                pin.write(account);
            }
            verdict.write(came as u8);
        }
        Ok(())
    })())
}

unsafe fn sealer<'a>(
    ring: *const tokenpin_id_ring,
    (scope, scope_len): (*const c_void, usize),
    (owner, owner_len): (*const c_void, usize),
) -> Result<IdSealer<'a>, Status> {
    // SAFETY: checked by `Marked` and `bytes`.
    unsafe {
        let (scope, owner) = (bytes(scope, scope_len)?, bytes(owner, owner_len)?);
        Ok(IdSealer::new(Marked::<IdRing>::get(ring)?, scope, owner)?)
    }
}

// The ids of a request.

/// Reports the owner of a request's ids. It is the request's consumer if the configuration says
/// that ids belong to consumers and the consumer is usable, and otherwise empty. `owner` points to
/// memory that the request points to.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_id_owner(
    affinity: *const tokenpin_affinity,
    request: *const tokenpin_request,
    owner: *mut tokenpin_bytes,
) -> i32 {
    returned((|| {
        let owner = Out::new(owner)?;
        // SAFETY: checked by `handle`, `reference` and `get`.
        let (handle, (request, _)) = unsafe { (handle(affinity)?, reference(request)?.get()?) };
        owner.check_apart(handle.span())?;
        // SAFETY: checked by `Out`.
        unsafe { owner.write(handle.affinity.id_owner(request.consumer).into()) };
        Ok(())
    })())
}

/// Begins the summary of a request without ids.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_id_summary_init(summary: *mut tokenpin_id_summary) -> i32 {
    // SAFETY: passed on.
    unsafe { begin(summary, Summary::new()) }
}

/// Reports the content of a summary.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, OVERLAP, NOT_INITIALISED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_id_summary_report(
    summary: *const tokenpin_id_summary,
    report: *mut tokenpin_id_report,
) -> i32 {
    returned((|| {
        let report = Out::new(report)?;
        // SAFETY: checked by `Marked`.
        let says = unsafe { Marked::<Summary>::get(summary) }?;
        report.check_apart(Span::at(summary))?;
        let mut quoted = [0; 64];
        let text = says.quoted();
        if let Some(place) = quoted.get_mut(..text.len()) {
            place.copy_from_slice(text);
        }
        let made = tokenpin_id_report {
            opened: says.opened,
            plain: says.plain,
            echoes_lost: says.echo.lost,
            verdict: says.verdict as u8,
            keys: says.keys,
            refused: u8::from(says.refused),
            unreadable: u8::from(says.unreadable),
            existing: u8::from(says.existing),
            seals: u8::from(says.seals),
            changes_response: u8::from(says.changes_response()),
            unstored: u8::from(says.unstored),
            uploads: u8::from(says.uploads),
            downloads: u8::from(says.downloads),
            quoted_len: u8::try_from(text.len()).unwrap_or_default(),
            quoted,
        };
        // SAFETY: checked by `Out`.
        unsafe { report.write(made) };
        Ok(())
    })())
}

/// Opens the ids in the path and in the query of a request's target, and writes the target for the
/// upstream. Call it before the body is read. The buffer needs room for as many bytes as the target
/// has, and must not overlap the inputs; `*len` is never more.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED,
/// BUFFER_TOO_SMALL, SCOPE_LENGTH, KEY_LENGTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_open_target(
    affinity: *const tokenpin_affinity,
    using: *const tokenpin_id_use,
    summary: *mut tokenpin_id_summary,
    target: *const c_void,
    target_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
) -> i32 {
    returned((|| {
        let mut out = Buffer::new(buffer, capacity, len)?;
        // SAFETY: checked by `Work` and `bytes`.
        let (work, target) = unsafe { (Work::new(affinity, using)?, bytes(target, target_len)?) };
        let [text, text_len] = out.spans();
        work.check_apart(&[Span::at(summary), text, text_len], &[Span::of(target)])?;
        // SAFETY: checked by `Marked` and above; by `Buffer`.
        unsafe {
            let summary = Marked::<Summary>::get_mut(summary)?;
            let rules = work.rules()?;
            let known = work.known();
            let written = out.copy(target).map(|target| {
                let with = Opening { rules: &rules, known: &known };
                with.open_target(work.ids, summary, target)
            });
            out.end(written)
        }
    })())
}

/// Begins the body of a request.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_id_opener_init(opener: *mut tokenpin_id_opener) -> i32 {
    // SAFETY: passed on.
    unsafe { begin(opener, OpenBody { opener: Opener::new(Ids::None), changed: 0 }) }
}

/// Opens the ids at the front of a chunk of a request's body: one step.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED,
/// SCOPE_LENGTH, KEY_LENGTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_open_step(
    affinity: *const tokenpin_affinity,
    using: *const tokenpin_id_use,
    summary: *mut tokenpin_id_summary,
    opener: *mut tokenpin_id_opener,
    chunk: *const c_void,
    len: usize,
    piece: *mut tokenpin_piece,
) -> i32 {
    returned((|| {
        // SAFETY: checked by `bytes`; passed on.
        unsafe { open(affinity, using, summary, opener, Some(bytes(chunk, len)?), piece) }
    })())
}

/// Ends the body of a request, and puts out the bytes still held.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED,
/// SCOPE_LENGTH, KEY_LENGTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_open_end(
    affinity: *const tokenpin_affinity,
    using: *const tokenpin_id_use,
    summary: *mut tokenpin_id_summary,
    opener: *mut tokenpin_id_opener,
    piece: *mut tokenpin_piece,
) -> i32 {
    // SAFETY: passed on.
    returned(unsafe { open(affinity, using, summary, opener, None, piece) })
}

/// Opens the ids of a request's whole body in place. `*new_len` receives the new length, which is
/// never longer; `*unexpected` the number of documents that are not JSON as the scanner reads it.
/// Their rest passed unchanged. The body must not overlap the inputs.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED,
/// SCOPE_LENGTH, KEY_LENGTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_open_in_place(
    affinity: *const tokenpin_affinity,
    using: *const tokenpin_id_use,
    summary: *mut tokenpin_id_summary,
    body: *mut c_void,
    len: usize,
    new_len: *mut usize,
    unexpected: *mut u32,
) -> i32 {
    returned((|| {
        let (new_len, unexpected) = (Out::new(new_len)?, Out::new(unexpected)?);
        // SAFETY: checked by `Work`.
        let work = unsafe { Work::new(affinity, using) }?;
        check_array(body.cast::<u8>(), len)?;
        let span = Span { start: body.addr(), len };
        let written = [Span::at(summary), new_len.span(), unexpected.span(), span];
        work.check_apart(&written, &[])?;
        // SAFETY: checked by `Marked` and above.
        let (summary, body) =
            unsafe { (Marked::<Summary>::get_mut(summary)?, bytes_mut(body, len)) };
        let rules = work.rules()?;
        let mut opener = Opener::new(work.ids);
        let with = Opening { rules: &rules, known: &work.known() };
        let shorter = opener.open_in_place(&with, summary, body);
        // SAFETY: checked by `Out`.
        unsafe {
            new_len.write(shorter);
            unexpected.write(opener.unexpected());
        }
        Ok(())
    })())
}

// The ids of a response.

/// Begins the body of a response. `framing` is a `tokenpin_framing`.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, BAD_ENUM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_id_sealer_init(
    sealer: *mut tokenpin_id_sealer,
    framing: u8,
) -> i32 {
    let made = match Framing::from_number(framing) {
        Some(Framing::Json) => Sealer::json(Ids::None),
        Some(Framing::Events) => Sealer::events(Ids::None),
        None => return Status::BadEnum as i32,
    };
    // SAFETY: passed on.
    unsafe { begin(sealer, made) }
}

/// Seals the ids at the front of a chunk of a response's body: one step. `slot` is the account that
/// answered. `summary` is that of the request, or NULL for none: an id that the client sent in
/// another form than the gateway would write keeps the client's form.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED, VACANT,
/// SLOT_RANGE, SCOPE_LENGTH, KEY_LENGTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_seal_step(
    affinity: *const tokenpin_affinity,
    using: *const tokenpin_id_use,
    summary: *const tokenpin_id_summary,
    slot: u32,
    sealer: *mut tokenpin_id_sealer,
    chunk: *const c_void,
    len: usize,
    piece: *mut tokenpin_piece,
) -> i32 {
    returned((|| {
        // SAFETY: checked by `bytes`; passed on.
        unsafe { seal(affinity, using, summary, slot, sealer, Some(bytes(chunk, len)?), piece) }
    })())
}

/// Ends the body of a response, and puts out the bytes still held.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED, VACANT,
/// SLOT_RANGE, SCOPE_LENGTH, KEY_LENGTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_seal_end(
    affinity: *const tokenpin_affinity,
    using: *const tokenpin_id_use,
    summary: *const tokenpin_id_summary,
    slot: u32,
    sealer: *mut tokenpin_id_sealer,
    piece: *mut tokenpin_piece,
) -> i32 {
    // SAFETY: passed on.
    returned(unsafe { seal(affinity, using, summary, slot, sealer, None, piece) })
}

/// Seals the ids in a target or a URI: in the fields `Location`, `Content-Location` and
/// `Operation-Location` of a response. In an absolute URI of `upstream`, `origin` replaces scheme
/// and authority, unless either is empty. A URI of another host stays as it is, and so does every
/// URI if nothing in the response is sealed. Otherwise like `tokenpin_affinity_seal_step`. The
/// buffer must not overlap the inputs.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, LENGTH, BAD_ENUM, OVERLAP, NOT_INITIALISED,
/// BUFFER_TOO_SMALL, VACANT, SLOT_RANGE, SCOPE_LENGTH, KEY_LENGTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_seal_target(
    affinity: *const tokenpin_affinity,
    using: *const tokenpin_id_use,
    summary: *const tokenpin_id_summary,
    slot: u32,
    text: *const c_void,
    text_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
) -> i32 {
    returned((|| {
        let mut out = Buffer::new(buffer, capacity, len)?;
        // SAFETY: checked by `Work` and `bytes`.
        let (work, text) = unsafe { (Work::new(affinity, using)?, bytes(text, text_len)?) };
        work.check_apart(&out.spans(), &[Span::at(summary), Span::of(text)])?;
        let rules = work.rules()?;
        // SAFETY: checked by `Marked`.
        let with = unsafe { work.sealing(&rules, summary, slot) }?;
        let written = with.seal_target_to(work.ids, text, &mut out);
        // SAFETY: checked by `Buffer`.
        unsafe { out.end(written) }
    })())
}

/// Reports the name of a key, by its number: bytes that live as long as the affinity.
///
/// Statuses: OK, NULL_POINTER, MISALIGNED, BAD_ENUM, OVERLAP, NOT_INITIALISED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tokenpin_affinity_id_key(
    affinity: *const tokenpin_affinity,
    number: u8,
    name: *mut tokenpin_bytes,
) -> i32 {
    returned((|| {
        let name = Out::new(name)?;
        // SAFETY: checked by `handle`.
        let handle = unsafe { handle(affinity) }?;
        name.check_apart(handle.span())?;
        let key = handle.affinity.id_key(number).ok_or(Status::BadEnum)?;
        // SAFETY: checked by `Out`.
        unsafe { name.write(key.into()) };
        Ok(())
    })())
}

unsafe fn begin<T: Kept>(words: *mut T::Words, it: T) -> i32 {
    returned(Marked::<T>::place(words).map(|place| {
        // SAFETY: checked by `place`.
        unsafe { place.write(Marked::of(it)) };
    }))
}

/// The context of all work on a body or a target.
struct Work<'a> {
    handle: &'a tokenpin_affinity,
    using: &'a tokenpin_id_use,
    scope: &'a [u8],
    owner: &'a [u8],
    origin: Origin<'a>,
    mode: Option<Mode>,
    ids: Ids,
}

impl<'a> Work<'a> {
    unsafe fn new(
        affinity: *const tokenpin_affinity,
        using: *const tokenpin_id_use,
    ) -> Result<Self, Status> {
        // SAFETY: checked by `handle`, `reference` and `get`.
        unsafe {
            let (handle, using) = (handle(affinity)?, reference(using)?);
            Ok(Self {
                handle,
                using,
                scope: using.scope.get()?,
                owner: using.owner.get()?,
                origin: Origin { upstream: using.upstream.get()?, own: using.origin.get()? },
                mode: if switch(using.has_mode)? {
                    Some(Mode::from_number(using.mode).ok_or(Status::BadEnum)?)
                } else {
                    None
                },
                ids: Ids::from_number(using.ids).ok_or(Status::BadEnum)?,
            })
        }
    }

    /// Returns the spans that it borrows.
    fn spans(&self) -> [Span; 6] {
        [
            self.handle.span(),
            Span::at(self.using),
            Span::of(self.scope),
            Span::of(self.owner),
            Span::of(self.origin.upstream),
            Span::of(self.origin.own),
        ]
    }

    /// Refuses memory that is written to while it overlaps other memory of the call.
    fn check_apart(&self, written: &[Span], inputs: &[Span]) -> Result<(), Status> {
        let (own, mut others) = (self.spans(), written);
        while let Some((span, rest)) = others.split_first() {
            span.check_apart_from(inputs)?;
            span.check_apart_from(&own)?;
            span.check_apart_from(rest)?;
            others = rest;
        }
        Ok(())
    }

    fn rules(&self) -> Result<Rules<'a>, Error> {
        self.handle.affinity.id_rules(self.scope, self.owner, self.mode)
    }

    fn known(&self) -> impl Fn(u64) -> bool {
        |pin| self.handle.affinity.knows(pin)
    }

    unsafe fn sealing(
        &self,
        rules: &'a Rules<'a>,
        summary: *const tokenpin_id_summary,
        slot: u32,
    ) -> Result<Sealing<'a>, Status> {
        const NO_ECHO: &Echo = &Echo::new();
        // SAFETY: checked by `Marked`.
        let summary = unsafe { Marked::<Summary>::optional(summary) }?;
        let echo = summary.map_or(NO_ECHO, |summary| &summary.echo);
        let slot = self.handle.affinity.slot(slot)?;
        if slot.is_vacant() {
            return Err(Status::Vacant);
        }
        let origin = Some(self.origin).filter(|origin| !origin.upstream.is_empty());
        Ok(Sealing { rules, pin: slot.identity_hash(), echo, origin })
    }
}

/// Borrows a result where it is: moving it out costs as much as making it.
fn borrowed<T, E: Copy + Into<Status>>(made: &Result<T, E>) -> Result<&T, Status> {
    made.as_ref().map_err(|&error| error.into())
}

unsafe fn open(
    affinity: *const tokenpin_affinity,
    using: *const tokenpin_id_use,
    summary: *mut tokenpin_id_summary,
    opener: *mut tokenpin_id_opener,
    chunk: Option<&[u8]>,
    piece: *mut tokenpin_piece,
) -> Result<(), Status> {
    let piece = Out::new(piece)?;
    // SAFETY: checked by `Work`.
    let work = unsafe { Work::new(affinity, using) };
    let work = borrowed(&work)?;
    let written = [Span::at(summary), Span::at(opener), piece.span()];
    work.check_apart(&written, &[Span::of(chunk.unwrap_or_default())])?;
    // SAFETY: checked by `Marked` and above.
    let (summary, body) =
        unsafe { (Marked::<Summary>::get_mut(summary)?, Marked::<OpenBody>::get_mut(opener)?) };
    let rules = work.rules();
    let with = Opening { rules: borrowed(&rules)?, known: &work.known() };
    let before = summary.opened;
    body.opener.ids = work.ids;
    let made = match chunk {
        Some(chunk) => body.opener.step(&with, summary, chunk).into(),
        None => tokenpin_piece::put(body.opener.finish(&with, summary)),
    };
    body.changed = body.changed.saturating_add(summary.opened.saturating_sub(before));
    let (changed, unexpected) = (body.changed, body.opener.unexpected());
    // SAFETY: checked by `Out`.
    unsafe { piece.write(tokenpin_piece { changed, unexpected, ..made }) };
    Ok(())
}

unsafe fn seal(
    affinity: *const tokenpin_affinity,
    using: *const tokenpin_id_use,
    summary: *const tokenpin_id_summary,
    slot: u32,
    sealer: *mut tokenpin_id_sealer,
    chunk: Option<&[u8]>,
    piece: *mut tokenpin_piece,
) -> Result<(), Status> {
    let piece = Out::new(piece)?;
    // SAFETY: checked by `Work`.
    let work = unsafe { Work::new(affinity, using) };
    let work = borrowed(&work)?;
    let inputs = [Span::of(chunk.unwrap_or_default()), Span::at(summary)];
    work.check_apart(&[Span::at(sealer), piece.span()], &inputs)?;
    let rules = work.rules();
    // SAFETY: checked by `Marked`.
    let with = unsafe { work.sealing(borrowed(&rules)?, summary, slot) };
    let with = borrowed(&with)?;
    // SAFETY: checked by `Marked` and above.
    let sealer = unsafe { Marked::<Sealer>::get_mut(sealer) }?;
    sealer.ids = work.ids;
    let made = match chunk {
        Some(chunk) => sealer.step(with, chunk).into(),
        None => tokenpin_piece::put(sealer.finish(with)),
    };
    let (changed, unexpected) = (sealer.sealed, sealer.unexpected());
    // SAFETY: checked by `Out`.
    unsafe { piece.write(tokenpin_piece { changed, unexpected, ..made }) };
    Ok(())
}

impl tokenpin_piece {
    /// Makes a piece that only puts out bytes. The counts are filled in later.
    fn put(put: &[u8]) -> Self {
        Piece { pass: 0, put, taken: 0 }.into()
    }
}

impl From<Piece<'_>> for tokenpin_piece {
    fn from(piece: Piece<'_>) -> Self {
        let Piece { pass, put, taken } = piece;
        Self { pass, put: put.as_ptr(), put_len: put.len(), taken, changed: 0, unexpected: 0 }
    }
}
