//! The one block of memory of an affinity: the handle, the slots, the pin index, the classification
//! table, the additions to the table of ids, and every byte string of the configuration, in this
//! order.

use core::ptr;

use crate::cookie::set_cookie::Attributes;
use crate::decide::affinity::Affinity;
use crate::decide::classify::Rule;
use crate::decide::config::{Config, IdConfig, IdOwner, Policy};
use crate::error::Field;
use crate::ids::fields::{Fields, IdKey};
use crate::ids::rules::{ForeignSeals, Mode};
use crate::limits::MAX_BUCKETS;
use crate::secret::Secret;
use crate::select::Strategy;
use crate::select::slot::{Slot, State};

use super::constants::{TOKENPIN_AFFINITY_ALIGN, TOKENPIN_MAX_AGE_AUTO};
use super::pointers::{Span, array, reference, switch};
use super::status::{Refusal, Status};
use super::structs::{
    tokenpin_attributes, tokenpin_bytes, tokenpin_cookie_key, tokenpin_id_field, tokenpin_rule,
    tokenpin_slot_status,
};

/// One slot of a configuration.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_slot_config {
    /// The bytes that name the account, unique in the set. Empty for a vacant slot.
    pub identity: tokenpin_bytes,
    /// The first status. For a vacant slot the state is `TOKENPIN_STATE_VACANT`, and the rest is
    /// ignored.
    pub status: tokenpin_slot_status,
}

/// The input of an affinity. `tokenpin_config_init` sets the defaults; then the placement key, the
/// cookie keys and the slots have to be set. All of it is copied.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tokenpin_config {
    /// `sizeof(tokenpin_config)`, which tells a library the fields that the program knows. A
    /// library accepts every size from that of its first version on.
    pub size: usize,
    /// The cookie key ring, 1 to [`MAX_COOKIE_KEYS`](crate::MAX_COOKIE_KEYS) keys.
    pub cookie_keys: *const tokenpin_cookie_key,
    /// The number of cookie keys.
    pub cookie_key_count: usize,
    /// The slots, 1 to [`MAX_BUCKETS`](crate::MAX_BUCKETS).
    pub slots: *const tokenpin_slot_config,
    /// The capacity: the number of slots, vacant ones included.
    pub slot_count: usize,
    /// The default scope, 0 to [`MAX_SCOPE`](crate::MAX_SCOPE) bytes.
    pub scope: tokenpin_bytes,
    /// The cookie's name. Empty for the default name of the request's scope.
    pub cookie_name: tokenpin_bytes,
    /// The cookie's attributes.
    pub attributes: tokenpin_attributes,
    /// The classification table: these rules, followed by the default ones.
    pub rules: *const tokenpin_rule,
    /// The number of these rules.
    pub rule_count: usize,
    /// The keys that seal ids, at most [`MAX_COOKIE_KEYS`](crate::MAX_COOKIE_KEYS). None for the
    /// cookie keys.
    pub id_keys: *const tokenpin_cookie_key,
    /// The number of these keys.
    pub id_key_count: usize,
    /// Keys that are read for ids, in addition to those of the table. At most 32.
    pub id_fields: *const tokenpin_id_field,
    /// The number of these keys.
    pub id_field_count: usize,
    /// Prefixes of ids that are sealed, in addition to those of the table. At most 32.
    pub id_prefixes: *const tokenpin_bytes,
    /// The number of these prefixes.
    pub id_prefix_count: usize,
    /// Segments of a path that an id follows, in addition to those of the table. At most 32.
    pub id_collections: *const tokenpin_bytes,
    /// The number of these segments.
    pub id_collection_count: usize,
    /// `Max-Age` in seconds. 0 is a session cookie. The default, `TOKENPIN_MAX_AGE_AUTO`, is as
    /// long as the cookie can be valid.
    pub max_age: u32,
    /// The tolerance for clocks that run ahead, in seconds. Default 300.
    pub skew: u32,
    /// The longest life of a cookie since its first issue, in seconds; 0 for no limit. Default 30
    /// days.
    pub max_life: u32,
    /// The longest time between refreshes of a cookie, in seconds; 0, the default, for no limit.
    pub max_idle: u32,
    /// The first response status on which a cookie is set. Default 200.
    pub success_first: u16,
    /// The last response status on which a cookie is set. Default 299.
    pub success_last: u16,
    /// The key that decides the mapping of keys. The same on all replicas; not all zero.
    pub placement_key: [u8; 16],
    /// A `tokenpin_strategy`. Default jump.
    pub strategy: u8,
    /// A `tokenpin_policy`, for requests that name existing state. Default fail_fast.
    pub policy_existing: u8,
    /// A `tokenpin_policy`, for all others. Default fallback_and_update.
    pub policy_new: u8,
    /// 1: use consumer and session key together if a request has both. Default 0.
    pub combine_keys: u8,
    /// 1: reject a request whose key is untrusted, ambiguous or too long. Default 0: try the next
    /// source.
    pub reject_bad_keys: u8,
    /// 1: give cookies to sessions that have a key. Default 0.
    pub keyed_cookies: u8,
    /// 1: mint cookies also if only one slot holds an account. Default 0.
    pub mint_single: u8,
    /// 1: give affinity to the prompt-cache group too. Default 0.
    pub prompt_cache: u8,
    /// 1: leave the default rules out of the classification table. Default 0.
    pub replace_rules: u8,
    /// A `tokenpin_mode`: the treatment of ids. Default off.
    pub id_mode: u8,
    /// A `tokenpin_id_owner`: the owner of a sealed id. Default none.
    pub id_owner: u8,
    /// A `tokenpin_foreign_seals`: the treatment of another gateway's ids. Default auto.
    pub foreign_seals: u8,
    /// 1: mark encrypted content. Default 1.
    pub encrypted_content: u8,
}

/// A handle: private, and shared between threads without locks.
pub struct tokenpin_affinity {
    mark: u64,
    /// The size of the block.
    pub(super) size: usize,
    pub(super) affinity: Affinity<'static>,
}

/// The bound on the size of any future configuration. An uninitialised size usually exceeds it.
pub(super) const MAX_CONFIG_SIZE: usize = 4096;

const MARK: u64 = 0x746f_6b65_6e70_696e;

const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<tokenpin_affinity>();
};
const _: () = assert!(align_of::<tokenpin_affinity>() <= TOKENPIN_AFFINITY_ALIGN);

impl tokenpin_affinity {
    /// Returns the span of the affinity's memory, which begins with the handle.
    pub(super) fn span(&self) -> Span {
        Span { start: ptr::from_ref(self).addr(), len: self.size }
    }
}

/// Returns the handle behind a pointer from C.
pub(super) unsafe fn handle<'a>(
    affinity: *const tokenpin_affinity,
) -> Result<&'a tokenpin_affinity, Status> {
    // SAFETY: checked by `reference`; the mark says that this library built it.
    let handle = unsafe { reference(affinity) }?;
    if handle.mark == MARK { Ok(handle) } else { Err(Status::NotInitialised) }
}

/// A configuration from C, its pointers checked.
pub(super) struct Parts<'c> {
    config: &'c tokenpin_config,
    slots: &'c [tokenpin_slot_config],
    rules: &'c [tokenpin_rule],
    id_fields: &'c [tokenpin_id_field],
    /// The additions to prefixes and to collections.
    words: [(Field, &'c [tokenpin_bytes]); 2],
    attributes: Attributes<'c>,
}

/// A block that is filled from front to back. Without memory it only counts.
struct Block {
    memory: *mut u8,
    span: Span,
    used: usize,
}

impl Block {
    /// Takes places for `count` items of `size` bytes.
    #[inline(never)]
    fn take_bytes(&mut self, count: usize, size: usize, align: usize) -> Result<*mut u8, Status> {
        // No overflow: what is used is below `isize::MAX`.
        let start = self.used.next_multiple_of(align);
        let end = count.checked_mul(size).and_then(|len| start.checked_add(len));
        self.used = end.filter(|&end| isize::try_from(end).is_ok()).ok_or(Status::Length)?;
        Ok(self.memory.wrapping_add(start))
    }

    fn take<T>(&mut self, count: usize) -> Result<*mut T, Status> {
        const { assert!(align_of::<T>() <= TOKENPIN_AFFINITY_ALIGN) };
        self.take_bytes(count, size_of::<T>(), align_of::<T>()).map(<*mut u8>::cast)
    }

    /// Writes item `i` of places that were taken.
    unsafe fn put<T>(&self, places: *mut T, i: usize, item: T) {
        if !self.memory.is_null() {
            // SAFETY: the block has memory, and `i` is below the number of places.
            unsafe { places.add(i).write(item) }
        }
    }

    /// Copies bytes that do not overlap the block. Without memory the copy is empty.
    #[inline(never)]
    unsafe fn copy(&mut self, bytes: tokenpin_bytes) -> Result<&'static [u8], Status> {
        // SAFETY: passed on.
        let bytes = unsafe { bytes.get() }?;
        self.span.check_apart(Span::of(bytes))?;
        let place = self.take_bytes(bytes.len(), 1, 1)?;
        if self.memory.is_null() {
            return Ok(&[]);
        }
        // SAFETY: just taken, and separate from the bytes.
        unsafe {
            place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            Ok(core::slice::from_raw_parts(place, bytes.len()))
        }
    }
}

/// Does `work` for each item, and says at which one it was refused.
fn each<T>(
    items: &[T],
    field: Field,
    mut work: impl FnMut(usize, &T) -> Result<(), Status>,
) -> Result<(), Refusal> {
    let mut items = items.iter().enumerate();
    items.try_for_each(|(i, item)| work(i, item).map_err(|status| status.at(field, i)))
}

/// The parts of a filled block.
struct Filled {
    slots: *mut Slot,
    index: *mut u32,
    rules: *const Rule<'static>,
    id_fields: *const IdKey<'static>,
    words: [*mut &'static [u8]; 2],
    strings: [&'static [u8]; 4],
}

impl Parts<'_> {
    pub(super) unsafe fn new(config: *const tokenpin_config) -> Result<Self, Refusal> {
        // SAFETY: checked by `reference`. The size comes first, so it can be read without the rest.
        let size = *unsafe { reference(config.cast::<usize>()) }?;
        let known = size_of::<tokenpin_config>();
        if !(known..=MAX_CONFIG_SIZE).contains(&size) {
            return Err(Status::StructSize.into());
        }
        // Fields of a newer header are accepted as long as they are not used. SAFETY: checked by
        // `array`; `size` bytes are there by the contract.
        let all = unsafe { array(config.cast::<u8>(), size) }?;
        if all.iter().skip(known).any(|&byte| byte != 0) {
            return Err(Status::StructSize.into());
        }
        // SAFETY: checked by `reference`.
        let config = unsafe { reference(config) }?;
        let at = |field| move |status: Status| status.at(field, 0);
        // SAFETY: checked by `array` and `get`.
        unsafe {
            let slots = array(config.slots, config.slot_count).map_err(at(Field::Slots))?;
            let rules = array(config.rules, config.rule_count).map_err(at(Field::Rules))?;
            let id_fields =
                array(config.id_fields, config.id_field_count).map_err(at(Field::IdFields))?;
            let words = |field, words, count| {
                array::<tokenpin_bytes>(words, count).map(|words| (field, words)).map_err(at(field))
            };
            let words = [
                words(Field::IdPrefixes, config.id_prefixes, config.id_prefix_count)?,
                words(Field::IdCollections, config.id_collections, config.id_collection_count)?,
            ];
            let attributes = config.attributes.get()?;
            Ok(Self { config, slots, rules, id_fields, words, attributes })
        }
    }

    /// Returns the size of the block. Does not check identities, keys and policies.
    pub(super) fn size(&self) -> Result<usize, Refusal> {
        let span = Span { start: 0, len: 0 };
        let mut block = Block { memory: ptr::null_mut(), span, used: 0 };
        // SAFETY: nothing is written to a block without memory.
        unsafe { self.fill(&mut block) }?;
        Ok(block.used)
    }

    /// Takes the places of all parts, and fills them except slots and index.
    #[inline(never)]
    unsafe fn fill(&self, block: &mut Block) -> Result<Filled, Refusal> {
        if self.slots.is_empty() || self.slots.len() > MAX_BUCKETS as usize {
            return Err(Status::SlotCount.at(Field::Slots, 0));
        }
        block.take::<tokenpin_affinity>(1)?;
        let slots = block.take(self.slots.len())?;
        let index = block.take(Affinity::index_len(self.slots.len()))?;
        let rules = block.take(self.rules.len())?;
        let id_fields = block.take(self.id_fields.len())?;
        let [(_, prefixes), (_, collections)] = self.words;
        let words = [block.take(prefixes.len())?, block.take(collections.len())?];
        let mut strings: [&'static [u8]; 4] = [&[]; 4];
        // SAFETY: checked by `get`; as many places were taken as there are items.
        unsafe {
            each(self.rules, Field::Rules, |i, rule| {
                let rule = rule.with(block.copy(rule.pattern)?)?;
                block.put(rules, i, rule);
                Ok(())
            })?;
            each(self.id_fields, Field::IdFields, |i, key| {
                let key = key.with(block.copy(key.name)?)?;
                block.put(id_fields, i, key);
                Ok(())
            })?;
            for (places, (field, given)) in words.into_iter().zip(self.words) {
                each(given, field, |i, word| {
                    let word = block.copy(*word)?;
                    block.put(places, i, word);
                    Ok(())
                })?;
            }
            let given = [
                (Field::Scope, self.config.scope),
                (Field::CookieName, self.config.cookie_name),
                (Field::Path, self.attributes.path.into()),
                (Field::Domain, self.attributes.domain.into()),
            ];
            for (copy, (field, string)) in strings.iter_mut().zip(given) {
                *copy = block.copy(string).map_err(|status| status.at(field, 0))?;
            }
        }
        Ok(Filled { slots, index, rules, id_fields, words, strings })
    }

    /// Builds the affinity in a block of `size` bytes at `memory`, which is not null and aligned.
    /// If it fails, the block holds nothing secret.
    #[expect(clippy::cast_ptr_alignment, reason = "`memory` is aligned")]
    pub(super) unsafe fn build(
        &self,
        memory: *mut u8,
        size: usize,
    ) -> Result<*mut tokenpin_affinity, Refusal> {
        let needed = self.size()?;
        if size < needed {
            return Err(Status::BufferTooSmall.into());
        }
        let block = Span { start: memory.addr(), len: needed };
        let [(_, prefixes), (_, collections)] = self.words;
        block.check_apart_from(&[
            Span::of(core::slice::from_ref(self.config)),
            Span::of(self.slots),
            Span::of(self.rules),
            Span::of(self.id_fields),
            Span::of(prefixes),
            Span::of(collections),
            Span::of(self.attributes.path),
            Span::of(self.attributes.domain),
        ])?;
        // SAFETY: `fill` keeps every part within `needed` bytes and aligned, and no two overlap.
        // Every place is written before it is borrowed. The borrows live as long as the block: that
        // is what `'static` stands for. The handle is reached only through the block.
        unsafe {
            let filled = self.fill(&mut Block { memory, span: block, used: 0 })?;
            each(self.slots, Field::Slots, |i, slot| {
                let identity = slot.identity.get()?;
                block.check_apart(Span::of(identity))?;
                filled.slots.add(i).write(slot.with(identity)?);
                Ok(())
            })?;
            let index_len = Affinity::index_len(self.slots.len());
            filled.index.write_bytes(0, index_len);
            let keys = |keys, count, field| {
                let keys = array(keys, count)
                    .and_then(|keys| block.check_apart(Span::of(keys)).map(|()| keys))
                    .map_err(|status| status.at(field, 0))?;
                tokenpin_cookie_key::views(keys, field)
            };
            let id_keys = keys(self.config.id_keys, self.config.id_key_count, Field::IdKeys)?;
            let keys =
                keys(self.config.cookie_keys, self.config.cookie_key_count, Field::CookieKeys)?;
            let [scope, name, path, domain] = filled.strings;
            let [(_, prefixes), (_, collections)] = self.words;
            let mut config = self.config.get()?;
            config.scope = scope;
            config.cookie_name = Some(name).filter(|name| !name.is_empty());
            config.attributes = Attributes { path, domain, ..self.attributes };
            config.rules = core::slice::from_raw_parts(filled.rules, self.rules.len());
            config.ids.fields = Fields {
                keys: core::slice::from_raw_parts(filled.id_fields, self.id_fields.len()),
                prefixes: core::slice::from_raw_parts(filled.words[0], prefixes.len()),
                collections: core::slice::from_raw_parts(filled.words[1], collections.len()),
            };
            let slots = core::slice::from_raw_parts(filled.slots, self.slots.len());
            let index = core::slice::from_raw_parts_mut(filled.index, index_len);
            let affinity = Affinity::with_keys(config, (&keys, &id_keys), slots, index)?;
            let handle = memory.cast::<tokenpin_affinity>();
            handle.write(tokenpin_affinity { mark: MARK, size: needed, affinity });
            Ok(handle)
        }
    }
}

impl tokenpin_slot_config {
    fn with(&self, identity: &[u8]) -> Result<Slot, Status> {
        if State::from_number(self.status.state) != Some(State::Vacant) {
            return Ok(Slot::new(identity, self.status.get()?)?);
        }
        if identity.is_empty() { Ok(Slot::vacant()) } else { Err(Status::Vacant) }
    }
}

impl tokenpin_config {
    /// Reads everything except the parts that are copied into the block.
    fn get(&self) -> Result<Config<'static>, Refusal> {
        let bad = |field| Status::BadEnum.at(field, 0);
        let on = |number, field| switch(number).map_err(|status| status.at(field, 0));
        let policy = |number, field| Policy::from_number(number).ok_or_else(|| bad(field));
        Ok(Config {
            strategy: Strategy::from_number(self.strategy).ok_or_else(|| bad(Field::Strategy))?,
            max_age: if self.max_age == TOKENPIN_MAX_AGE_AUTO { None } else { Some(self.max_age) },
            skew: self.skew,
            max_life: self.max_life,
            max_idle: self.max_idle,
            policy_existing: policy(self.policy_existing, Field::PolicyExisting)?,
            policy_new: policy(self.policy_new, Field::PolicyNew)?,
            combine_keys: on(self.combine_keys, Field::CombineKeys)?,
            reject_bad_keys: on(self.reject_bad_keys, Field::RejectBadKeys)?,
            keyed_cookies: on(self.keyed_cookies, Field::KeyedCookies)?,
            mint_single: on(self.mint_single, Field::MintSingle)?,
            success: (self.success_first, self.success_last),
            prompt_cache: on(self.prompt_cache, Field::PromptCache)?,
            replace_rules: on(self.replace_rules, Field::ReplaceRules)?,
            ids: IdConfig {
                mode: Mode::from_number(self.id_mode).ok_or_else(|| bad(Field::IdMode))?,
                keys: &[],
                owner: IdOwner::from_number(self.id_owner).ok_or_else(|| bad(Field::IdOwner))?,
                foreign: ForeignSeals::from_number(self.foreign_seals)
                    .ok_or_else(|| bad(Field::ForeignSeals))?,
                encrypted: on(self.encrypted_content, Field::EncryptedContent)?,
                fields: Fields::NONE,
            },
            ..Config::new(Secret::new(self.placement_key), &[])
        })
    }
}
