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
    strings: [&'c [u8]; 4],
}

/// The places of the parts of a block.
pub(super) struct Layout {
    slots: usize,
    index: usize,
    index_len: usize,
    rules: usize,
    id_fields: usize,
    words: usize,
    strings: usize,
    pub size: usize,
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
            let strings = [
                config.scope.get().map_err(at(Field::Scope))?,
                config.cookie_name.get().map_err(at(Field::CookieName))?,
                attributes.path,
                attributes.domain,
            ];
            Ok(Self { config, slots, rules, id_fields, words, attributes, strings })
        }
    }

    #[inline(never)]
    pub(super) fn layout(&self) -> Result<Layout, Refusal> {
        if self.slots.is_empty() || self.slots.len() > MAX_BUCKETS as usize {
            return Err(Status::SlotCount.at(Field::Slots, 0));
        }
        let index_len = Affinity::index_len(self.slots.len());
        let mut texts = 0_usize;
        let mut add = |text: Result<&[u8], Status>, field, i| {
            let text = text.map_err(|status| status.at(field, i))?;
            texts = texts.checked_add(text.len()).ok_or(Status::Length)?;
            Ok::<_, Refusal>(())
        };
        // SAFETY: checked by `get`.
        unsafe {
            for (i, rule) in self.rules.iter().enumerate() {
                add(rule.get().map(|rule| rule.pattern), Field::Rules, i)?;
            }
            for (i, key) in self.id_fields.iter().enumerate() {
                add(key.get().map(|key| key.name), Field::IdFields, i)?;
            }
            for (field, words) in self.words {
                for (i, word) in words.iter().enumerate() {
                    add(word.get(), field, i)?;
                }
            }
        }
        let end = |start: usize, count: usize, size: usize| {
            count.checked_mul(size).and_then(|len| start.checked_add(len)).ok_or(Status::Length)
        };
        // Slots, rules and the parts behind them have an alignment of 8 or less, the index of 4.
        let slots = size_of::<tokenpin_affinity>().next_multiple_of(8);
        let index = end(slots, self.slots.len(), size_of::<Slot>())?;
        let rules = end(index, index_len, size_of::<u32>())?;
        let rules = rules.checked_next_multiple_of(8).ok_or(Status::Length)?;
        let id_fields = end(rules, self.rules.len(), size_of::<Rule<'_>>())?;
        let words = end(id_fields, self.id_fields.len(), size_of::<IdKey<'_>>())?;
        let [(_, prefixes), (_, collections)] = self.words;
        let strings = end(words, prefixes.len(), size_of::<&[u8]>())?;
        let strings = end(strings, collections.len(), size_of::<&[u8]>())?;
        let mut size = end(strings, texts, 1)?;
        for string in self.strings {
            size = end(size, string.len(), 1)?;
        }
        if isize::try_from(size).is_err() {
            return Err(Status::Length.into());
        }
        Ok(Layout { slots, index, index_len, rules, id_fields, words, strings, size })
    }

    /// Builds the affinity in a block of `size` bytes at `memory`, which is not null and aligned.
    /// If it fails, the block holds nothing secret.
    #[expect(clippy::cast_ptr_alignment, reason = "`layout` aligns every part")]
    pub(super) unsafe fn build(
        &self,
        memory: *mut u8,
        size: usize,
    ) -> Result<*mut tokenpin_affinity, Refusal> {
        let layout = self.layout()?;
        if size < layout.size {
            return Err(Status::BufferTooSmall.into());
        }
        let block = Span { start: memory.addr(), len: layout.size };
        block.check_apart_from(&[
            Span::of(core::slice::from_ref(self.config)),
            Span::of(self.slots),
            Span::of(self.rules),
            Span::of(self.id_fields),
        ])?;
        block.check_apart_from(&self.words.map(|(_, words)| Span::of(words)))?;
        block.check_apart_from(&self.strings.map(Span::of))?;
        // SAFETY: `layout` keeps every part within `size` bytes and aligned, and no two overlap;
        // `copy` advances by what it copies. Every place is written before it is borrowed. The
        // borrows live as long as the block, which is what `'static` stands for: the handle is
        // reached only through the block.
        unsafe {
            let slots = memory.add(layout.slots).cast::<Slot>();
            for (i, slot) in self.slots.iter().enumerate() {
                let at = |status: Status| status.at(Field::Slots, i);
                block.check_apart(Span::of(slot.identity.get().map_err(at)?)).map_err(at)?;
                slots.add(i).write(slot.get().map_err(at)?);
            }
            let index = memory.add(layout.index).cast::<u32>();
            index.write_bytes(0, layout.index_len);

            let mut free = memory.add(layout.strings);
            let mut copy = |bytes: &[u8]| -> &'static [u8] {
                let start = free;
                start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                free = start.add(bytes.len());
                core::slice::from_raw_parts(start, bytes.len())
            };
            let mut keep = |text: &[u8], field, i| {
                block.check_apart(Span::of(text)).map_err(|status| status.at(field, i))?;
                Ok::<_, Refusal>(copy(text))
            };
            let rules = memory.add(layout.rules).cast::<Rule<'static>>();
            for (i, rule) in self.rules.iter().enumerate() {
                let rule = rule.get()?;
                let pattern = keep(rule.pattern, Field::Rules, i)?;
                rules.add(i).write(Rule { pattern, ..rule });
            }
            let rules = core::slice::from_raw_parts(rules, self.rules.len());
            let id_fields = memory.add(layout.id_fields).cast::<IdKey<'static>>();
            for (i, key) in self.id_fields.iter().enumerate() {
                let key = key.get()?;
                let name = keep(key.name, Field::IdFields, i)?;
                id_fields.add(i).write(IdKey { name, ..key });
            }
            let id_fields = core::slice::from_raw_parts(id_fields, self.id_fields.len());
            let mut words = memory.add(layout.words).cast::<&'static [u8]>();
            let mut added: [&'static [&'static [u8]]; 2] = [&[]; 2];
            for (added, (field, given)) in added.iter_mut().zip(self.words) {
                for (i, word) in given.iter().enumerate() {
                    words.add(i).write(keep(word.get()?, field, i)?);
                }
                *added = core::slice::from_raw_parts(words, given.len());
                words = words.add(given.len());
            }
            let [prefixes, collections] = added;
            let [scope, name, path, domain] = self.strings.map(&mut copy);

            let keys = |keys, count, field| {
                let keys = array(keys, count)
                    .and_then(|keys| block.check_apart(Span::of(keys)).map(|()| keys))
                    .map_err(|status| status.at(field, 0))?;
                tokenpin_cookie_key::views(keys, field)
            };
            let id_keys = keys(self.config.id_keys, self.config.id_key_count, Field::IdKeys)?;
            let keys =
                keys(self.config.cookie_keys, self.config.cookie_key_count, Field::CookieKeys)?;
            let mut config = self.config.get()?;
            config.scope = scope;
            config.cookie_name = Some(name).filter(|name| !name.is_empty());
            config.attributes = Attributes { path, domain, ..self.attributes };
            config.rules = rules;
            config.ids.fields = Fields { keys: id_fields, prefixes, collections };
            let slots = core::slice::from_raw_parts(slots, self.slots.len());
            let index = core::slice::from_raw_parts_mut(index, layout.index_len);
            let affinity = Affinity::with_keys(config, (&keys, &id_keys), slots, index)?;
            let handle = memory.cast::<tokenpin_affinity>();
            handle.write(tokenpin_affinity { mark: MARK, size: layout.size, affinity });
            Ok(handle)
        }
    }
}

impl tokenpin_slot_config {
    unsafe fn get(&self) -> Result<Slot, Status> {
        // SAFETY: passed on.
        let identity = unsafe { self.identity.get() }?;
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
