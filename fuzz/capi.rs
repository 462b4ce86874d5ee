//! The whole C ABI: any sequence of calls, with null, misaligned and overlapping pointers,
//! impossible lengths, numbers outside of their enum, and handles that are missing or wiped.
//!
//! All memory that a call may touch is a heap block of exactly the size that the call receives, so
//! that `AddressSanitizer` reports every byte beyond. In addition, after every call:
//!
//! * the status has a name;
//! * after a refusal no output has changed, except for the length of a buffer that is too small and
//!   the place of the error; after success nothing behind the reported length;
//! * inputs, and affinities in memory of the caller, have not changed;
//! * if no argument was odd, status and outputs are those of the core.
#![no_main]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex, Once};
use std::{ptr, slice};

use libfuzzer_sys::fuzz_target;
#[expect(clippy::wildcard_imports, reason = "the whole of it is called")]
use tokenpin::capi::*;
use tokenpin::cookie::{field, set_cookie};
use tokenpin::ids::{ForeignSeals, Ids, KeyKind, Mode};
use tokenpin::{
    Audience, Cookie, CookieName, Field, Filter, Group, IdOwner, IdSealer, IdVerdict, Key, KeyRing,
    Kind, MAX_COOKIE_NAME, MAX_KEY, MAX_MAX_AGE, MAX_SCOPE, MAX_SET_COOKIE, Policy, Refusal, Role,
    Rule, SameSite, Secret, Slot, State, Strategy, VALUE_LEN, Verdict, cookie,
};
use tokenpin_fuzz::{Input, NOW, cookie_key, secret};

fuzz_target!(|data: &[u8]| {
    report_at_exit();
    let mut input = Input::new(data);
    let mut world = World::default();
    world.build(&mut input);
    for _ in 0..32 {
        world.step(&mut input);
        if input.is_empty() {
            break;
        }
    }
    world.end();
});

/// The functions that succeeded, and those that refused.
static REPORTING: AtomicBool = AtomicBool::new(false);
static REACHED: Mutex<BTreeMap<&str, [bool; 2]>> = Mutex::new(BTreeMap::new());

/// The functions that cannot refuse.
const NEVER_REFUSE: [&str; 7] = [
    "tokenpin_abi_version",
    "tokenpin_abi_v1",
    "tokenpin_version",
    "tokenpin_affinity_wipe",
    "tokenpin_affinity_free",
    "tokenpin_key_ring_wipe",
    "tokenpin_id_ring_wipe",
];

/// Fails at the end, if the environment asks for it, unless every function of the header was
/// reached, with success and with a refusal.
fn report_at_exit() {
    unsafe extern "C" {
        fn atexit(callback: extern "C" fn()) -> i32;
        fn _exit(status: i32) -> !;
    }
    extern "C" fn report() {
        let reached = REACHED.lock().unwrap();
        let header = include_str!("../include/tokenpin.h");
        let name = |line: &'static str| {
            let (name, _) = line.rsplit(&[' ', '*']).find_map(|word| word.split_once('('))?;
            name.starts_with("tokenpin_").then_some(name)
        };
        let code = header.lines().filter(|line| !line.starts_with(" *") && line.contains('('));
        let mut missing = 0;
        let mut functions = 0;
        for name in code.filter_map(name) {
            let [success, refusal] = reached.get(name).copied().unwrap_or_default();
            functions += 1;
            if !success || !(refusal || NEVER_REFUSE.contains(&name)) {
                eprintln!("{name}: success {success}, refusal {refusal}");
                missing += 1;
            }
        }
        eprintln!("functions reached: {} of {functions}", functions - missing);
        if missing > 0 || functions < 40 {
            // SAFETY: takes any number.
            unsafe { _exit(1) };
        }
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if std::env::var_os("TOKENPIN_FUZZ_REACH").is_some_and(|it| !it.is_empty()) {
            // SAFETY: the function lives as long as the program.
            unsafe { atexit(report) };
            REPORTING.store(true, Relaxed);
        }
    });
}

/// Calls a function of the C ABI and records the call.
macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        // SAFETY: every pointer is null, or to a block as large as the contract asks for.
        let status = unsafe { $name($($argument),*) };
        done(stringify!($name), status)
    }};
}

fn done(name: &'static str, status: i32) -> i32 {
    if REPORTING.load(Relaxed) {
        REACHED.lock().unwrap().entry(name).or_default()[usize::from(status != OK)] = true;
    }
    let known = u8::try_from(status).ok().and_then(Status::from_number);
    let known = known.unwrap_or_else(|| panic!("{name} returned {status}"));
    // A function without a status has no list.
    let listed = STATUSES.get(name);
    let named = known.name().to_uppercase();
    assert!(
        listed.is_none_or(|it| it.contains(&&*named)),
        "{name} returned {named}: not in the header"
    );
    status
}

/// The statuses that the header lists for each function.
static STATUSES: LazyLock<BTreeMap<&str, Vec<&str>>> = LazyLock::new(|| {
    let header = include_str!("../include/tokenpin.h");
    let lists = header.split("Statuses: ").skip(1);
    lists
        .map(|rest| {
            let (list, declared) = rest.split_once("*/").unwrap();
            let name = declared.split_once('(').unwrap().0.rsplit(' ').next().unwrap();
            (name, list.split([' ', ',', '.', '*', '\n']).filter(|it| !it.is_empty()).collect())
        })
        .collect()
});

const OK: i32 = Status::Ok as i32;
const FILL: u8 = 0xa5;

/// A piece of memory that a call received.
struct Block {
    memory: Box<[u8]>,
    before: Box<[u8]>,
    /// An output that a refusal may change.
    loose: bool,
    output: bool,
}

#[derive(Default)]
struct World {
    blocks: Vec<Block>,
    /// Arguments of this call may be odd.
    odd: bool,
    /// One of them is odd.
    was_odd: bool,
    /// An output lies within other memory of this call.
    overlap: bool,
    affinities: Vec<Handle>,
    rings: Vec<Ring>,
    slots: Vec<Box<[tokenpin_slot]>>,
    decisions: Vec<tokenpin_decision>,
    id_rings: Vec<IdRing>,
    summaries: Vec<tokenpin_id_summary>,
    openers: Vec<tokenpin_id_opener>,
    sealers: Vec<tokenpin_id_sealer>,
}

struct Handle {
    pointer: *mut tokenpin_affinity,
    /// Memory of the caller; else it came from `tokenpin_affinity_new`.
    own: Option<Box<[u8]>>,
    size: usize,
    alive: bool,
}

struct Ring {
    words: Box<tokenpin_key_ring>,
    keys: Vec<(u8, Role)>,
    alive: bool,
}

struct IdRing {
    words: Box<tokenpin_id_ring>,
    keys: Vec<(u8, Role)>,
    alive: bool,
}

/// An output buffer.
struct Buffer {
    start: *mut c_void,
    capacity: usize,
    len: *mut usize,
}

impl World {
    /// Returns whether the next argument is odd.
    fn odd(&mut self, input: &mut Input<'_>) -> bool {
        let odd = self.odd && input.one_in(8);
        self.was_odd |= odd;
        odd
    }

    fn block(&mut self, bytes: Vec<u8>, output: bool) -> *mut u8 {
        let mut memory = bytes.into_boxed_slice();
        let pointer = memory.as_mut_ptr();
        self.blocks.push(Block { before: memory.clone(), memory, loose: false, output });
        pointer
    }

    /// Returns bytes from the fuzzer, or an invalid way to pass bytes.
    fn bytes(&mut self, input: &mut Input<'_>, bytes: &[u8]) -> tokenpin_bytes {
        if self.odd(input) {
            let pointer = self.block(bytes.to_vec(), false);
            return match input.below(5) {
                0 => tokenpin_bytes { ptr: ptr::null(), len: 1 + input.below(9) },
                1 => tokenpin_bytes { ptr: ptr::null(), len: usize::MAX },
                2 => tokenpin_bytes { ptr: pointer.cast(), len: usize::MAX - input.below(9) },
                3 => tokenpin_bytes { ptr: pointer.cast(), len: 1 << 63 },
                _ => tokenpin_bytes { ptr: ptr::without_provenance(1), len: 0 },
            };
        }
        if bytes.is_empty() {
            return tokenpin_bytes { ptr: ptr::null(), len: 0 };
        }
        tokenpin_bytes { ptr: self.block(bytes.to_vec(), false).cast(), len: bytes.len() }
    }

    /// Returns a structure, or a bad pointer to one.
    fn put<T>(&mut self, input: &mut Input<'_>, value: &T) -> *const T {
        self.array(input, slice::from_ref(value)).0
    }

    /// Returns an array, or arguments that cannot be one.
    fn array<T>(&mut self, input: &mut Input<'_>, values: &[T]) -> (*const T, usize) {
        let size = size_of_val(values);
        // SAFETY: the bytes of the values, padding included, which is not read.
        let bytes = unsafe { slice::from_raw_parts(values.as_ptr().cast::<u8>(), size) };
        if self.odd(input) {
            return match input.below(4) {
                0 => (ptr::null(), values.len().max(1)),
                1 if align_of::<T>() > 1 => {
                    let pointer = self.block([&[FILL], bytes].concat(), false);
                    (pointer.wrapping_add(1).cast(), values.len())
                }
                2 => (self.block(bytes.to_vec(), false).cast(), usize::MAX / 2),
                _ => (ptr::null(), usize::MAX),
            };
        }
        if values.is_empty() {
            return (ptr::null(), 0);
        }
        (self.block(bytes.to_vec(), false).cast(), values.len())
    }

    /// Returns a place for an output of `count` elements: exactly as large, or a bad pointer, or
    /// within memory that this call received before.
    fn outs<T>(&mut self, input: &mut Input<'_>, count: usize) -> *mut T {
        let size = size_of::<T>() * count;
        if self.odd(input) {
            match input.below(4) {
                0 => return ptr::null_mut(),
                1 if align_of::<T>() > 1 => {
                    return self.block(vec![FILL; size + 1], true).wrapping_add(1).cast();
                }
                2 | 3 if !self.blocks.is_empty() => {
                    let block = input.below(self.blocks.len());
                    let block = &mut self.blocks[block];
                    let room = block.memory.len().checked_sub(size);
                    if let Some(room) = room {
                        let at = input.below(room.min(255) + 1) / align_of::<T>() * align_of::<T>();
                        self.overlap = true;
                        return block.memory.as_mut_ptr().wrapping_add(at).cast();
                    }
                }
                _ => {}
            }
        }
        self.block(vec![FILL; size], true).cast()
    }

    fn out<T>(&mut self, input: &mut Input<'_>) -> *mut T {
        self.outs(input, 1)
    }

    /// Marks the last drawn output as one that a refusal may change.
    fn loose<T>(&mut self, pointer: *mut T) -> *mut T {
        if let Some(block) = self.blocks.last_mut() {
            block.loose = true;
        }
        pointer
    }

    /// Returns an output that the function can do without.
    fn optional<T>(&mut self, input: &mut Input<'_>) -> *mut T {
        if input.one_in(4) { ptr::null_mut() } else { self.out(input) }
    }

    fn buffer(&mut self, input: &mut Input<'_>, enough: usize) -> Buffer {
        let capacity = if input.one_in(3) { input.below(256) } else { enough };
        let start: *mut u8 = match capacity {
            0 => ptr::null_mut(),
            _ => self.outs(input, capacity),
        };
        let capacity = if self.odd(input) { usize::MAX - input.below(2) } else { capacity };
        let len = self.out(input);
        Buffer { start: start.cast(), capacity, len: self.loose(len) }
    }

    /// Checks the output in a buffer, and returns it.
    fn written(&mut self, buffer: &Buffer, status: i32) -> Option<Vec<u8>> {
        if self.overlap || buffer.len.is_null() || !buffer.len.is_aligned() {
            return None;
        }
        // SAFETY: a block of this size.
        let len = unsafe { *buffer.len };
        if status == Status::BufferTooSmall as i32 {
            assert!(len > buffer.capacity, "{len} fit into {}", buffer.capacity);
            return None;
        }
        if status != OK {
            assert_eq!(len.to_ne_bytes(), [FILL; 8], "a length in spite of the error");
            return None;
        }
        assert!(len <= buffer.capacity);
        if buffer.start.is_null() {
            return Some(Vec::new());
        }
        // SAFETY: a block of this size.
        let all = unsafe { slice::from_raw_parts(buffer.start.cast::<u8>(), buffer.capacity) };
        assert!(all[len..].iter().all(|&byte| byte == FILL), "written past the end");
        Some(all[..len].to_vec())
    }

    /// Reads an output, or returns `None` if it might not have been written.
    fn read<T: Copy>(&self, place: *mut T, status: i32) -> Option<T> {
        let readable = status == OK && !self.overlap && !place.is_null();
        // SAFETY: a block of this size, written to.
        readable.then(|| unsafe { place.read() })
    }

    /// Returns whether the core's answer is the required one.
    fn fair(&self) -> bool {
        !self.was_odd
    }

    /// Makes one call, and checks the memory that it must not change.
    fn step(&mut self, input: &mut Input<'_>) {
        self.odd = input.one_in(3);
        (self.was_odd, self.overlap) = (false, false);
        let function = FUNCTIONS[input.below(FUNCTIONS.len())];
        let snapshot: Vec<_> = self.affinities.iter().map(|it| it.own.clone()).collect();
        let (status, changes) = function(self, input);
        let loose = self.overlap && (status == OK || self.blocks.iter().any(|block| block.loose));
        for block in &self.blocks {
            let free = loose || block.loose || block.output && status == OK;
            assert!(free || block.memory == block.before, "changed, at status {status}");
        }
        if !changes {
            let now: Vec<_> = self.affinities.iter().map(|it| it.own.clone()).collect();
            assert!(now == snapshot, "an affinity has changed");
        }
        self.blocks.clear();
    }

    /// Returns a handle, usually a live one.
    fn handle(&mut self, input: &mut Input<'_>) -> *mut tokenpin_affinity {
        if self.odd(input) {
            return match input.below(4) {
                0 => ptr::null_mut(),
                1 => self.block(vec![FILL; 8192], false).cast(),
                2 => self.block(vec![0; 8192], false).cast(),
                _ => self.block(vec![0; 8192], false).wrapping_add(1).cast(),
            };
        }
        let any = self.affinities.len();
        if any == 0 {
            self.was_odd = true;
            return ptr::null_mut();
        }
        let handle = &self.affinities[input.below(any)];
        self.was_odd |= !handle.alive;
        handle.pointer
    }

    /// Returns an object in memory of the caller that a call changes, usually an initialised one.
    fn state<T: Copy>(&mut self, input: &mut Input<'_>, kept: &[T]) -> *mut T {
        let size = size_of::<T>();
        if self.odd(input) {
            return match input.below(5) {
                0 => ptr::null_mut(),
                1 => self.block(vec![FILL; size], true).cast(),
                2 => self.block(vec![0; size], true).cast(),
                3 => self.block(vec![0; size + 1], true).wrapping_add(1).cast(),
                // Overlapping memory that this call received before, if that is as large.
                _ => match self.blocks.iter_mut().find(|block| block.memory.len() >= size) {
                    Some(block) => {
                        self.overlap = true;
                        block.memory.as_mut_ptr().cast()
                    }
                    None => ptr::null_mut(),
                },
            };
        }
        let Some(state) = kept.get(input.below(kept.len().max(1))) else {
            self.was_odd = true;
            return ptr::null_mut();
        };
        // SAFETY: the bytes of the words.
        let bytes = unsafe { slice::from_raw_parts(ptr::from_ref(state).cast::<u8>(), size) };
        self.block(bytes.to_vec(), true).cast()
    }

    /// Returns the context in which ids are rewritten.
    fn id_use(&mut self, input: &mut Input<'_>) -> *const tokenpin_id_use {
        let mut text = |world: &mut Self, limit| {
            let text = if input.one_in(4) { input.limited(limit) } else { Vec::new() };
            world.bytes(input, &text)
        };
        let (scope, owner) = (text(self, MAX_SCOPE), text(self, MAX_KEY));
        let (upstream, origin) = (text(self, 64), text(self, 64));
        let using = tokenpin_id_use {
            scope,
            owner,
            upstream,
            origin,
            ids: self.number(input, Ids::ALL.len()),
            has_mode: self.number(input, 2),
            mode: self.number(input, Mode::ALL.len()),
        };
        self.put(input, &using)
    }

    /// Makes the objects that most functions need.
    fn build(&mut self, input: &mut Input<'_>) {
        ring_init(self, input);
        id_ring_init(self, input);
        for begin in [summary_init, opener_init, sealer_init] {
            begin(self, input);
        }
        slots_init(self, input);
        affinity_new(self, input);
        self.blocks.clear();
    }

    fn end(&mut self) {
        for handle in self.affinities.drain(..) {
            if handle.own.is_none() {
                call!(tokenpin_affinity_free_(handle.pointer));
            }
        }
    }

    fn config(&mut self, input: &mut Input<'_>) -> (*const tokenpin_config, Vec<[u8; 16]>) {
        // SAFETY: zero is a value of every field.
        let mut config: tokenpin_config = unsafe { std::mem::zeroed() };
        // SAFETY: a whole configuration.
        unsafe { tokenpin_config_init(&raw mut config, size_of::<tokenpin_config>()) };
        let mut secrets = vec![secret(200)];
        config.placement_key = secrets[0];
        let mut keys = Vec::new();
        for i in 0..=input.small(3) {
            let id = if self.odd(input) { input.byte() } else { i };
            let role = if i == 0 { Role::Sign } else { input.pick(&[Role::Accept, Role::Retire]) };
            let role = if self.odd(input) { input.byte() } else { role as u8 };
            secrets.push(secret(id));
            keys.push(tokenpin_cookie_key { id, role, secret: secret(id) });
        }
        (config.cookie_keys, config.cookie_key_count) = self.array(input, &keys);
        let mut slots = Vec::new();
        for i in 0..=input.small(5) {
            let vacant = input.one_in(6);
            let identity = if self.odd(input) { input.bytes().to_vec() } else { vec![b'a' + i] };
            let identity = self.bytes(input, if vacant { b"" } else { &identity });
            let mut status = self.status(input);
            status.state = if vacant { State::Vacant as u8 } else { status.state };
            slots.push(tokenpin_slot_config { identity, status });
        }
        (config.slots, config.slot_count) = self.array(input, &slots);
        let scope = if input.flag() { input.limited(MAX_SCOPE) } else { Vec::new() };
        config.scope = self.bytes(input, &scope);
        let name = if input.one_in(4) { self.name(input) } else { Vec::new() };
        config.cookie_name = self.bytes(input, &name);
        config.attributes = self.attributes(input, &name);
        let rules = self.rules(input);
        (config.rules, config.rule_count) = self.array(input, &rules);
        if input.one_in(4) {
            (config.id_keys, config.id_key_count) = self.array(input, &keys);
        }
        let mut fields = Vec::new();
        for name in (0..input.below(3)).map(|_| input.limited(32)).collect::<Vec<_>>() {
            let name = self.bytes(input, &name);
            fields.push(tokenpin_id_field { name, kind: self.number(input, KeyKind::ALL.len()) });
        }
        (config.id_fields, config.id_field_count) = self.array(input, &fields);
        for (words, count) in [
            (&raw mut config.id_prefixes, &raw mut config.id_prefix_count),
            (&raw mut config.id_collections, &raw mut config.id_collection_count),
        ] {
            let few = if input.one_in(4) { input.below(3) } else { 0 };
            let given: Vec<_> = (0..few)
                .map(|_| {
                    let word = if input.flag() { input.bytes() } else { b"mine_" };
                    self.bytes(input, word)
                })
                .collect();
            // SAFETY: fields of the configuration.
            unsafe { (*words, *count) = self.array(input, &given) };
        }
        config.id_mode = self.number(input, Mode::ALL.len());
        config.id_owner = self.number(input, IdOwner::ALL.len());
        config.foreign_seals = self.number(input, ForeignSeals::ALL.len());
        config.encrypted_content = self.number(input, 2);
        config.max_age = input.pick(&[TOKENPIN_MAX_AGE_AUTO, 0, 3_600, MAX_MAX_AGE]);
        config.max_idle = input.pick(&[0, 255, 86_400]);
        config.max_life = input.pick(&[0, 255, 2_592_000, u32::MAX]);
        if self.odd(input) {
            (config.success_first, config.success_last) = (input.u16(), input.u16());
            config.max_age = input.u32();
        }
        if self.odd(input) {
            config.placement_key = input.pick(&[[0; 16], secret(0), secret(201)]);
            secrets[0] = config.placement_key;
        }
        config.strategy = self.number(input, Strategy::ALL.len());
        config.policy_existing = self.number(input, Policy::ALL.len());
        config.policy_new = self.number(input, Policy::ALL.len());
        for switch in [
            &raw mut config.combine_keys,
            &raw mut config.reject_bad_keys,
            &raw mut config.keyed_cookies,
            &raw mut config.mint_single,
            &raw mut config.prompt_cache,
            &raw mut config.replace_rules,
        ] {
            // SAFETY: fields of the configuration.
            unsafe { *switch = self.number(input, 2) };
        }
        // A larger configuration, as of a newer header.
        if self.odd(input) {
            let more = input.below(64);
            config.size = match input.below(4) {
                0 => input.below(size_of::<tokenpin_config>()),
                1 => usize::MAX,
                _ => size_of::<tokenpin_config>() + more,
            };
            let size = size_of::<tokenpin_config>();
            // SAFETY: the bytes of the configuration.
            let bytes = unsafe { slice::from_raw_parts((&raw const config).cast::<u8>(), size) };
            let mut bytes = bytes.to_vec();
            bytes.resize(size + more, 0);
            if more > 0 && input.flag() {
                bytes[size + input.below(more)] = input.byte();
            }
            return (self.block(bytes, false).cast(), secrets);
        }
        (self.put(input, &config), secrets)
    }

    /// Returns a number of an enum with `count` values, or one outside of it.
    fn number(&mut self, input: &mut Input<'_>, count: usize) -> u8 {
        if self.odd(input) { input.byte() } else { input.byte() % u8::try_from(count).unwrap() }
    }

    fn name(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        if self.odd(input) {
            return input.limited(MAX_COOKIE_NAME);
        }
        input.pick(&[&b"pin"[..], b"__Host-tokenpin", b"__Secure-pin"]).to_vec()
    }

    fn status(&mut self, input: &mut Input<'_>) -> tokenpin_slot_status {
        let odd = self.odd(input);
        tokenpin_slot_status {
            until: if odd { input.u64() } else { input.pick(&[0, 0, NOW.into(), (1 << 45) - 1]) },
            weight: if odd { input.u32() } else { input.pick(&[65_536, 65_536, 0, 1, 30_000]) },
            state: if odd { input.byte() } else { input.small(3) },
        }
    }

    fn attributes(&mut self, input: &mut Input<'_>, name: &[u8]) -> tokenpin_attributes {
        let free = name == b"pin";
        let path = if free { input.pick(&[&b""[..], b"/v1"]) } else { b"" };
        let path = if self.odd(input) { input.limited(1024) } else { path.to_vec() };
        let domain = if free { input.pick(&[&b""[..], b"a.example"]) } else { b"" };
        let domain = if self.odd(input) { input.limited(1024) } else { domain.to_vec() };
        tokenpin_attributes {
            path: self.bytes(input, &path),
            domain: self.bytes(input, &domain),
            secure: if self.odd(input) { input.byte() } else { 1 },
            http_only: self.number(input, 2),
            same_site: self.number(input, SameSite::ALL.len()),
            partitioned: self.number(input, 2),
        }
    }

    fn rules(&mut self, input: &mut Input<'_>) -> Vec<tokenpin_rule> {
        let count = if input.one_in(4) { input.below(4) } else { 0 };
        (0..count)
            .map(|_| {
                let pattern = if self.odd(input) {
                    input.bytes()
                } else {
                    input.pick(&[&b"responses"[..], b"a/b", b"files", b"a/*:b"])
                };
                let pattern = self.bytes(input, pattern);
                let group = self.number(input, Group::ALL.len());
                tokenpin_rule { pattern, group, ids: self.number(input, Ids::ALL.len()) }
            })
            .collect()
    }

    /// Returns a key as C sees it and as the core does.
    fn key<'k>(
        &mut self,
        input: &mut Input<'_>,
        parts: &'k (Vec<u8>, Vec<u8>, [u8; 16]),
    ) -> (*const tokenpin_key, Key<'k>) {
        let kind = self.number(input, Kind::ALL.len());
        let (first, second, id) = parts;
        let key = match kind {
            0 => Key::Anonymous(id),
            1 => Key::Consumer(first),
            2 => Key::Session(first),
            _ => Key::Combined { consumer: first, session: second },
        };
        let bytes = self.bytes(input, if kind == 0 { id } else { first });
        let session = self.bytes(input, second);
        (self.put(input, &tokenpin_key { kind, key: bytes, session }), key)
    }
}

/// Returns the parts of keys.
fn parts(input: &mut Input<'_>) -> (Vec<u8>, Vec<u8>, [u8; 16]) {
    let mut part = |name: &[u8]| if input.flag() { input.limited(MAX_KEY) } else { name.to_vec() };
    (part(b"alice"), part(b"thread-7"), input.array())
}

/// Wiping and freeing return nothing.
unsafe fn tokenpin_affinity_free_(affinity: *mut tokenpin_affinity) -> i32 {
    // SAFETY: passed on.
    unsafe { tokenpin_affinity_free(affinity) };
    OK
}

/// Makes a call, and returns its status and whether it may change an affinity.
type Function = fn(&mut World, &mut Input<'_>) -> (i32, bool);

/// A function that is listed more often is called more often.
const FUNCTIONS: [Function; 70] = [
    config_init,
    affinity_size,
    affinity_init,
    affinity_init,
    affinity_new,
    affinity_wipe,
    affinity_free,
    set_slot,
    get_slot,
    find,
    capacity,
    affinity_cookie_name,
    affinity_classify,
    fingerprint,
    live_fingerprint,
    decide,
    decide,
    decide,
    finish,
    finish,
    finish,
    constants,
    enum_name,
    jump,
    identity_hash,
    key_hash,
    slots_init,
    slot_init_vacant,
    slot_set,
    slot_get,
    select,
    select_higress,
    select_batch,
    ring_init,
    ring_wipe,
    encode,
    decode,
    decode,
    default_name,
    next,
    strip,
    set_cookie_write,
    matches,
    classify,
    id_hint,
    id_ring_init,
    id_ring_wipe,
    id_seal,
    id_seal,
    id_open,
    id_mark,
    id_open_mark,
    summary_init,
    summary_report,
    id_owner,
    open_target,
    open_target,
    opener_init,
    open_step,
    open_step,
    open_end,
    open_in_place,
    open_in_place,
    sealer_init,
    seal_step,
    seal_step,
    seal_end,
    seal_target,
    id_key,
    refusal,
];

fn config_init(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let known = size_of::<tokenpin_config>();
    let size = if input.flag() { known + input.below(256) } else { known };
    let told =
        if world.odd(input) { input.pick(&[0, 8, 4097, usize::MAX, known - 1]) } else { size };
    // Aligned, and as large as its size says.
    let config: *mut tokenpin_config = if world.odd(input) {
        ptr::null_mut()
    } else {
        world.block(vec![FILL; size.max(known)], true).cast()
    };
    let status = call!(tokenpin_config_init(config, told));
    assert!(!world.fair() || status == OK);
    if status == OK {
        let block = &world.blocks.last().unwrap().memory;
        assert!(block[known..told].iter().all(|&byte| byte == 0));
        assert!(block[told..].iter().all(|&byte| byte == FILL), "written past the end");
    }
    (status, false)
}

fn config_error(world: &mut World, input: &mut Input<'_>) -> *mut tokenpin_config_error {
    if input.flag() {
        return ptr::null_mut();
    }
    let misaligned = world.odd(input) && input.flag();
    let size = size_of::<tokenpin_config_error>();
    let pointer = world.block(vec![FILL; size + usize::from(misaligned)], true);
    world.loose(pointer.wrapping_add(usize::from(misaligned)).cast())
}

fn check_error(error: *mut tokenpin_config_error, status: i32) {
    if error.is_null() || !error.is_aligned() {
        return;
    }
    // SAFETY: a block of this size.
    let got = unsafe { error.read() };
    if status == OK {
        assert_eq!(got.status.to_ne_bytes(), [FILL; 4]);
    } else {
        assert_eq!(got.status, status);
        assert!(u8::try_from(got.field).ok().and_then(Field::from_number).is_some());
    }
}

fn affinity_size(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (config, _) = world.config(input);
    let size = world.out(input);
    let error = config_error(world, input);
    let status = call!(tokenpin_affinity_size(config, size, error));
    check_error(error, status);
    if let Some(size) = world.read(size, status) {
        assert!((1..1 << 20).contains(&size));
    }
    (status, false)
}

fn affinity_init(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (config, secrets) = world.config(input);
    let mut needed = 0_usize;
    // SAFETY: the places are good ones.
    let sized = unsafe { tokenpin_affinity_size(config, &raw mut needed, ptr::null_mut()) };
    let size = if input.one_in(8) { input.below(256) } else { needed + input.below(3) };
    let mut memory = vec![FILL; size].into_boxed_slice();
    let mut start = memory.as_mut_ptr();
    if world.odd(input) {
        start = match input.below(4) {
            0 => ptr::null_mut(),
            1 => start.wrapping_add(1),
            // Within the configuration, or a target of its pointers.
            _ => {
                let block = input.below(world.blocks.len());
                let block = &mut world.blocks[block];
                world.overlap = true;
                block.loose = true;
                block.memory.as_mut_ptr()
            }
        };
    }
    let within = world.overlap;
    let told = match (start.is_null(), within) {
        (false, false) => size - usize::from(start != memory.as_mut_ptr()).min(size),
        // As large as that block, to stay within the contract.
        (false, true) => {
            world.blocks.iter().find(|it| it.memory.as_ptr() == start).unwrap().memory.len()
        }
        _ => size,
    };
    let handle = if world.odd(input) && size >= 16 && !within && !start.is_null() {
        // The place of the handle within its memory.
        memory.as_mut_ptr().cast()
    } else {
        world.out(input)
    };
    let error = config_error(world, input);
    let status = call!(tokenpin_affinity_init(start.cast(), told, config, handle, error));
    if !world.overlap {
        check_error(error, status);
    }
    if status != OK {
        for secret in secrets {
            let left = memory.windows(16).any(|window| window == secret);
            assert!(!left || secret == [0; 16], "a secret is left behind");
        }
        return (status, true);
    }
    assert_eq!((sized, start), (OK, memory.as_mut_ptr()), "built where it must not be");
    assert!(size >= needed);
    assert!(memory[needed..].iter().all(|&byte| byte == FILL), "written past the end");
    // SAFETY: written to.
    let pointer = unsafe { handle.read() };
    if !world.overlap {
        assert_eq!(pointer.cast(), start);
    }
    let pointer = start.cast();
    world.affinities.push(Handle { pointer, own: Some(memory), size: needed, alive: true });
    forget_some(world);
    (status, true)
}

fn affinity_new(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (config, _) = world.config(input);
    let handle = world.out(input);
    let error = config_error(world, input);
    let status = call!(tokenpin_affinity_new(config, handle, error));
    if !world.overlap {
        check_error(error, status);
    }
    if status == OK {
        // SAFETY: written to.
        let pointer = unsafe { handle.read() };
        world.affinities.push(Handle { pointer, own: None, size: 0, alive: true });
        forget_some(world);
    }
    (status, true)
}

/// Frees the oldest affinities if there are too many.
fn forget_some(world: &mut World) {
    if world.affinities.len() > 4 {
        let oldest = world.affinities.remove(0);
        if oldest.own.is_none() {
            call!(tokenpin_affinity_free_(oldest.pointer));
        }
    }
}

fn affinity_wipe(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let i = input.below(world.affinities.len().max(1));
    let pointer = world.affinities.get(i).map_or(ptr::null_mut(), |handle| handle.pointer);
    let pointer = if world.odd(input) { ptr::null_mut() } else { pointer };
    // SAFETY: null, or a handle, wiped or not.
    unsafe { tokenpin_affinity_wipe(pointer) };
    done("tokenpin_affinity_wipe", OK);
    if let (Some(handle), false) = (world.affinities.get_mut(i), pointer.is_null()) {
        handle.alive = false;
        if let Some(memory) = &handle.own {
            assert!(memory[..handle.size].iter().all(|&byte| byte == 0), "not wiped");
        }
    }
    (OK, true)
}

fn affinity_free(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let i = input.below(world.affinities.len().max(1));
    let allocated = world.affinities.get(i).is_some_and(|handle| handle.own.is_none());
    let pointer = if allocated && !world.odd(input) {
        world.affinities.remove(i).pointer
    } else {
        ptr::null_mut()
    };
    // SAFETY: null, or from `tokenpin_affinity_new`.
    unsafe { tokenpin_affinity_free(pointer) };
    done("tokenpin_affinity_free", OK);
    (OK, true)
}

/// Returns a place for an output of a function with a handle, sometimes within the affinity itself.
fn out_near<T>(
    world: &mut World,
    input: &mut Input<'_>,
    handle: *mut tokenpin_affinity,
) -> (*mut T, bool) {
    let near = world.odd && input.one_in(8);
    let own = world.affinities.iter().any(|it| it.pointer == handle && it.alive && it.size >= 1024);
    if near && own {
        world.was_odd = true;
        return (handle.cast::<u8>().wrapping_add(16 * input.below(48)).cast(), true);
    }
    (world.out(input), false)
}

fn set_slot(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let handle = world.handle(input);
    let slot = if world.odd(input) { input.u32() } else { input.below(7).try_into().unwrap() };
    let value = world.status(input);
    let value = world.put(input, &value);
    let status = call!(tokenpin_affinity_set_slot(handle, slot, value));
    if status == OK {
        // SAFETY: zero is a value of every field.
        let mut now: tokenpin_slot_status = unsafe { std::mem::zeroed() };
        // SAFETY: it was valid immediately before.
        let again =
            unsafe { tokenpin_affinity_get_slot(handle, slot, &raw mut now, ptr::null_mut()) };
        assert_eq!(again, OK);
        // SAFETY: a good one, as the status says.
        let value = unsafe { value.read() };
        assert_eq!((now.until, now.weight, now.state), (value.until, value.weight, value.state));
    }
    (status, true)
}

fn get_slot(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let handle = world.handle(input);
    let (out, within) = out_near(world, input, handle);
    let hash = world.optional(input);
    let slot = if world.odd(input) { input.u32() } else { input.below(7).try_into().unwrap() };
    let status = call!(tokenpin_affinity_get_slot(handle, slot, out, hash));
    assert!(!within || status != OK);
    if let Some(got) = world.read(out, status) {
        assert!(got.state <= 3 && got.weight <= 65_536);
    }
    (status, false)
}

fn find(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let handle = world.handle(input);
    let name = if input.one_in(4) { input.bytes().to_vec() } else { vec![b'a' + input.byte() % 7] };
    let identity = world.bytes(input, &name);
    let (out, within) = out_near(world, input, handle);
    let status = call!(tokenpin_affinity_find(handle, identity.ptr, identity.len, out));
    assert!(!within || status != OK);
    if world.fair() {
        assert_eq!(status == OK, !name.is_empty());
    }
    if let (Some(slot), true) = (world.read(out, status), world.fair() && slot_count(handle) > 0) {
        assert!(slot == TOKENPIN_SLOT_NONE || u64::from(slot) < slot_count(handle));
        if slot != TOKENPIN_SLOT_NONE {
            let mut hash = 0;
            // SAFETY: zero is a value of every field.
            let mut value: tokenpin_slot_status = unsafe { std::mem::zeroed() };
            // SAFETY: good places.
            unsafe { tokenpin_affinity_get_slot(handle, slot, &raw mut value, &raw mut hash) };
            assert_eq!(hash, tokenpin::identity_hash(&name));
        }
    }
    (status, false)
}

fn id_hint(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let handle = world.handle(input);
    let text = input.limited(MAX_KEY);
    let of = world.bytes(input, &text);
    let (out, within) = out_near::<[u8; 16]>(world, input, handle);
    let status = call!(tokenpin_affinity_id_hint(handle, of.ptr, of.len, out.cast()));
    assert!(!within || status != OK);
    if world.fair() {
        assert_eq!(status == OK, (1..=MAX_KEY).contains(&text.len()));
    }
    if let (Some(made), true) = (world.read(out, status), world.fair()) {
        let mut again = [0; 16];
        // SAFETY: good places.
        let status = unsafe {
            tokenpin_affinity_id_hint(handle, text.as_ptr().cast(), text.len(), again.as_mut_ptr())
        };
        assert_eq!((status, again), (OK, made));
    }
    (status, false)
}

fn slot_count(handle: *mut tokenpin_affinity) -> u64 {
    let mut count = 0_usize;
    // SAFETY: a good place.
    let status = unsafe { tokenpin_affinity_capacity(handle, &raw mut count) };
    if status == OK { count as u64 } else { 0 }
}

/// Checks a call with one output and no other way to fail: refused if that lies within a handle.
fn answered(world: &World, within: bool, status: i32) -> (i32, bool) {
    assert!(!within || status != OK);
    assert!(!world.fair() || status == OK);
    (status, false)
}

fn capacity(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let handle = world.handle(input);
    let (out, within) = out_near(world, input, handle);
    let status = call!(tokenpin_affinity_capacity(handle, out));
    answered(world, within, status)
}

fn affinity_cookie_name(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let handle = world.handle(input);
    let scope = input.limited(MAX_SCOPE);
    let bytes = world.bytes(input, &scope);
    let mut out = world.buffer(input, MAX_COOKIE_NAME);
    let within = world.odd(input)
        && !handle.is_null()
        && world.affinities.iter().any(|it| it.alive && it.pointer == handle);
    if within {
        (out.start, out.capacity) = (handle.cast(), MAX_COOKIE_NAME);
    }
    let status = call!(tokenpin_affinity_cookie_name(
        handle,
        bytes.ptr,
        bytes.len,
        out.start,
        out.capacity,
        out.len
    ));
    assert!(!within || status != OK);
    if within {
        return (status, false);
    }
    if let Some(name) = world.written(&out, status) {
        let attributes = tokenpin::Attributes::default();
        let fine = attributes.check(&name);
        assert!(fine.is_ok(), "{fine:?}");
    }
    (status, false)
}

fn request_line<'a>(input: &mut Input<'a>) -> (&'a [u8], &'a [u8]) {
    let methods: [&'static [u8]; 4] = [b"POST", b"GET", b"DELETE", b"OPTIONS"];
    let targets: [&'static [u8]; 4] = [b"/v1/responses", b"/v1/files/f", b"/v1/messages?x", b"/"];
    let method = input.pick(&methods);
    let target = if input.flag() { input.bytes() } else { input.pick(&targets) };
    (method, target)
}

fn affinity_classify(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let handle = world.handle(input);
    let (method, target) = request_line(input);
    let (method, target) = (world.bytes(input, method), world.bytes(input, target));
    let (group, within) = out_near(world, input, handle);
    let (existing, ids) = (world.out(input), world.out(input));
    let status = call!(tokenpin_affinity_classify(
        handle, method.ptr, method.len, target.ptr, target.len, group, existing, ids
    ));
    assert!(!within || status != OK);
    assert!(!world.fair() || status == OK);
    if let (Some(group), Some(existing)) = (world.read(group, status), world.read(existing, status))
    {
        assert!(Group::from_number(group).is_some() && existing <= 1);
        assert!(world.read(ids, status).is_some_and(|ids| Ids::from_number(ids).is_some()));
    }
    (status, false)
}

fn fingerprint(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let handle = world.handle(input);
    let (out, within) = out_near(world, input, handle);
    let status = call!(tokenpin_affinity_fingerprint(handle, out));
    answered(world, within, status)
}

fn live_fingerprint(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let handle = world.handle(input);
    let (out, within) = out_near(world, input, handle);
    let status = call!(tokenpin_affinity_live_fingerprint(handle, input.u64(), out));
    answered(world, within, status)
}

/// The values of a header field.
fn values(world: &mut World, input: &mut Input<'_>, own: &[u8]) -> (*const tokenpin_bytes, usize) {
    let values: Vec<_> = (0..input.below(4))
        .map(|_| {
            let value = if input.flag() { input.limited(MAX_KEY) } else { own.to_vec() };
            world.bytes(input, &value)
        })
        .collect();
    world.array(input, &values)
}

fn decide(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let handle = world.handle(input);
    let (method, target) = request_line(input);
    // SAFETY: zero is a value of every field.
    let mut request: tokenpin_request = unsafe { std::mem::zeroed() };
    request.method = world.bytes(input, method);
    request.target = world.bytes(input, target);
    (request.consumers, request.consumer_count) = values(world, input, b"alice");
    (request.sessions, request.session_count) = values(world, input, b"thread-7");
    // The cookie that an earlier decision gave the client.
    let given = world.decisions.last().map(|it| it.value.to_vec()).unwrap_or_default();
    let field = [b"a=b; pin=", &given[..], b"; __Host-tokenpin=", &given, b";c=d"].concat();
    (request.cookies, request.cookie_count) = values(world, input, &field);
    let carrier_value = if input.one_in(4) { given } else { Vec::new() };
    request.carrier_value = world.bytes(input, &carrier_value);
    let scope = if input.one_in(4) { input.limited(MAX_SCOPE) } else { Vec::new() };
    request.scope = world.bytes(input, &scope);
    let tried: Vec<_> = (0..input.below(3)).map(|_| u32::from(input.byte()) % 7).collect();
    (request.tried, request.tried_count) = world.array(input, &tried);
    request.now = if input.one_in(8) { input.u64() } else { input.near(NOW).into() };
    request.id_hint =
        if input.one_in(4) { world.put(input, &[3_u8; 16]).cast() } else { ptr::null() };
    request.entropy = if input.one_in(8) { [0; 16] } else { [1 + input.byte() % 9; 16] };
    if input.flag() {
        let summaries = world.summaries.clone();
        request.ids = world.state(input, &summaries);
    }
    request.has_group = world.number(input, 2);
    request.group = world.number(input, Group::ALL.len());
    request.existing = world.number(input, 2);
    request.consumer_trusted = world.number(input, 2);
    request.carrier = world.number(input, 2);
    let fair = world.fair();
    let request = world.put(input, &request);
    let (out, within) = out_near(world, input, handle);
    let status = call!(tokenpin_affinity_decide(handle, request, out));
    assert!(!within || status != OK);
    let good = [Status::Ok, Status::ScopeLength, Status::SlotRange, Status::Entropy, Status::Time];
    assert!(!(fair && world.fair()) || good.iter().any(|it| *it as i32 == status));
    if let Some(got) = world.read(out, status) {
        assert!(got.slot == TOKENPIN_SLOT_NONE || u64::from(got.slot) < slot_count(handle));
        assert!(!tried.contains(&got.slot) || got.slot == TOKENPIN_SLOT_NONE);
        check_names(&got);
        assert!(got.ambiguous <= 1 && got.cookie <= 1 && got.carrier <= 1);
        let character = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        assert!(got.value.iter().all(character) && got.max_age <= MAX_MAX_AGE);
        world.decisions.push(got);
        if world.decisions.len() > 4 {
            world.decisions.remove(0);
        }
    }
    (status, false)
}

fn check_names(it: &tokenpin_decision) {
    let numbers = [
        (Enum::Source, it.source),
        (Enum::Outcome, it.outcome),
        (Enum::PinState, it.pin_state),
        (Enum::Verdict, it.verdict),
        (Enum::KeyReason, it.key_reason),
        (Enum::IdVerdict, it.id_verdict),
    ];
    for (which, number) in numbers {
        let mut name = tokenpin_bytes { ptr: ptr::null(), len: 0 };
        // SAFETY: a good place.
        let status = unsafe { tokenpin_enum_name(which as i32, number.into(), &raw mut name) };
        assert_eq!(status, OK);
    }
}

fn finish(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let handle = world.handle(input);
    let any = world.decisions.len();
    // SAFETY: zero is a value of every field.
    let zero: tokenpin_decision = unsafe { std::mem::zeroed() };
    let chosen = input.below(any.max(1));
    let mut decision = world.decisions.get(chosen).copied().unwrap_or(zero);
    // The host may have changed the structure.
    let edited = any == 0 || input.one_in(3);
    if edited {
        for _ in 0..=input.below(3) {
            let at = input.below(size_of::<tokenpin_decision>());
            // SAFETY: within the structure.
            unsafe { (&raw mut decision).cast::<u8>().add(at).write(input.byte()) };
        }
    }
    let decision = world.put(input, &decision);
    let code = if input.one_in(4) { input.u16() } else { 200 };
    let mut out = world.buffer(input, MAX_SET_COOKIE);
    let (answer, mut within) = out_near(world, input, handle);
    let alive = world.affinities.iter().any(|it| it.alive && it.pointer == handle);
    if alive && world.odd(input) && input.flag() {
        within = true;
        (out.start, out.capacity) = (handle.cast(), 64);
    }
    let status = call!(tokenpin_affinity_finish(
        handle,
        decision,
        code,
        out.start,
        out.capacity,
        out.len,
        answer
    ));
    assert!(!within || status != OK);
    if within {
        return (status, false);
    }
    if world.fair() && !edited {
        let good = [Status::Ok, Status::BufferTooSmall, Status::Stale];
        assert!(good.iter().any(|it| *it as i32 == status), "{status}");
    }
    let text = world.written(&out, status);
    if let (Some(text), Some(answer)) = (text, world.read(answer, status)) {
        // Even if the decision was changed, this cannot break out of a header.
        assert!(text.iter().all(|byte| (b' '..=b'~').contains(byte)));
        let character = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        match answer {
            0 => assert!(text.is_empty()),
            1 => {
                let pair = text.split(|&byte| byte == b';').next().unwrap();
                let equals = pair.iter().position(|&byte| byte == b'=').unwrap();
                assert!(CookieName::new(&pair[..equals]).is_ok());
                let value = &pair[equals + 1..];
                assert!(value.len() == VALUE_LEN && value.iter().all(character));
                assert!(text.len() <= MAX_SET_COOKIE);
            }
            2 => assert!(text.len() == VALUE_LEN && text.iter().all(character)),
            other => panic!("answer {other}"),
        }
    }
    (status, false)
}

fn constants(_: &mut World, _: &mut Input<'_>) -> (i32, bool) {
    assert_eq!(tokenpin_abi_version(), TOKENPIN_ABI_VERSION);
    tokenpin_abi_v1();
    // SAFETY: a static string that ends in a NUL.
    let version = unsafe { std::ffi::CStr::from_ptr(tokenpin_version()) };
    assert_eq!(version.to_str(), Ok(tokenpin::VERSION));
    for name in ["tokenpin_abi_version", "tokenpin_abi_v1", "tokenpin_version"] {
        done(name, OK);
    }
    (OK, false)
}

fn enum_name(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let which =
        if world.odd(input) { input.u32().cast_signed() } else { i32::from(input.byte() % 16) };
    let value =
        if world.odd(input) { input.u32().cast_signed() } else { i32::from(input.byte() % 50) };
    let out = world.out::<tokenpin_bytes>(input);
    let status = call!(tokenpin_enum_name(which, value, out));
    if let Some(name) = world.read(out, status) {
        // SAFETY: lives as long as the library.
        let name = unsafe { slice::from_raw_parts(name.ptr.cast::<u8>(), name.len) };
        let letter =
            |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
        assert!(!name.is_empty() && name.iter().all(letter));
    }
    (status, false)
}

fn jump(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (key, buckets) = (input.u64(), input.u32());
    let out = world.out(input);
    let status = call!(tokenpin_jump(key, buckets, out));
    let core = tokenpin::jump(key, buckets);
    assert!(!world.fair() || (status == OK) == core.is_ok());
    if let Some(bucket) = world.read(out, status) {
        assert_eq!(Ok(bucket), core);
    }
    (status, false)
}

fn identity_hash(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let identity = input.bytes();
    let bytes = world.bytes(input, identity);
    let out = world.out(input);
    let status = call!(tokenpin_identity_hash(bytes.ptr, bytes.len, out));
    assert!(!world.fair() || (status == OK) != identity.is_empty());
    if let (Some(hash), true) = (world.read(out, status), world.fair()) {
        assert_eq!(hash, tokenpin::identity_hash(identity));
    }
    (status, false)
}

fn key_hash(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let parts = parts(input);
    let placement = if input.one_in(8) { [0; 16] } else { secret(input.byte()) };
    let placement_key = world.put(input, &placement).cast();
    let scope = input.limited(MAX_SCOPE);
    let bytes = world.bytes(input, &scope);
    let (key, core) = world.key(input, &parts);
    let out = world.out(input);
    let status = call!(tokenpin_key_hash(placement_key, bytes.ptr, bytes.len, key, out));
    if world.fair() {
        let core = tokenpin::key_hash(&Secret::new(placement), &scope, &core).ok();
        let core = core.filter(|_| placement != [0; 16]);
        assert_eq!(world.read(out, status), core);
    }
    (status, false)
}

fn slots_init(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let mut slots = Vec::new();
    let mut last = OK;
    for i in 0..=input.small(5) {
        let identity = if input.one_in(6) { input.bytes().to_vec() } else { vec![b'a' + i] };
        let bytes = world.bytes(input, &identity);
        let value = world.status(input);
        let value = world.put(input, &value);
        let out = world.out::<tokenpin_slot>(input);
        let status = call!(tokenpin_slot_init(out, bytes.ptr, bytes.len, value));
        if status == OK {
            // SAFETY: written to.
            slots.push(unsafe { out.read() });
        }
        last = last.max(status);
    }
    // Garbage, which is not allowed, but should do no harm.
    if world.odd(input) {
        slots.push(tokenpin_slot { identity_hash: input.u64(), word: input.u64() });
    }
    if !slots.is_empty() {
        world.slots.push(slots.into());
        if world.slots.len() > 3 {
            world.slots.remove(0);
        }
    }
    // Used by several calls.
    for block in &mut world.blocks {
        block.loose |= block.output;
    }
    if world.overlap { (OK, false) } else { (last, false) }
}

fn slot_init_vacant(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let out = world.out::<tokenpin_slot>(input);
    let status = call!(tokenpin_slot_init_vacant(out));
    if status == OK {
        // SAFETY: written to.
        let vacant = unsafe { out.read() };
        assert_eq!(vacant.identity_hash, 0);
        if let Some(slots) = world.slots.pop() {
            let mut slots = slots.into_vec();
            slots.push(vacant);
            world.slots.push(slots.into());
        }
    }
    (status, false)
}

fn slot_set(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let value = world.status(input);
    let value = world.put(input, &value);
    let odd = world.odd(input);
    let slot = match world.slots.last_mut() {
        Some(slots) if !odd => &raw mut slots[input.below(slots.len())],
        _ => ptr::null_mut(),
    };
    let status = call!(tokenpin_slot_set(slot, value));
    (status, false)
}

fn slot_get(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let out = world.out::<tokenpin_slot_status>(input);
    let odd = world.odd(input);
    let slot = match world.slots.last() {
        Some(slots) if !odd => &raw const slots[input.below(slots.len())],
        _ => ptr::null(),
    };
    let status = call!(tokenpin_slot_get(slot, out));
    if let Some(value) = world.read(out, status) {
        assert!(State::from_number(value.state).is_some());
    }
    (status, false)
}

/// The input of both ways to select.
struct Choice {
    strategy: u8,
    slots: *const tokenpin_slot,
    count: usize,
    filter: *const tokenpin_filter,
    now: u64,
    anonymous: bool,
    tried: Vec<u32>,
}

impl Choice {
    fn new(world: &mut World, input: &mut Input<'_>) -> Self {
        let strategy = world.number(input, Strategy::ALL.len());
        let tried: Vec<_> = (0..input.below(3)).map(|_| u32::from(input.byte()) % 9).collect();
        let (pointer, tried_count) = world.array(input, &tried);
        let anonymous = world.number(input, 2);
        let now = input.near(NOW).into();
        let filter = tokenpin_filter { now, tried: pointer, tried_count, anonymous };
        let filter = world.put(input, &filter);
        let odd = world.odd(input);
        let i = input.below(world.slots.len().max(1));
        let (slots, count) = match world.slots.get(i) {
            Some(slots) if !odd => (slots.as_ptr(), slots.len()),
            Some(slots) => {
                let pointer = slots.as_ptr();
                input.pick(&[
                    (ptr::null(), 1),
                    (pointer, 0),
                    (pointer, usize::MAX),
                    (pointer, 1 << 60),
                ])
            }
            None => {
                world.was_odd = true;
                (ptr::null(), 0)
            }
        };
        Self { strategy, slots, count, filter, now, anonymous: anonymous == 1, tried }
    }

    /// Returns the core's answer for a hash, or for a key under Higress's strategy if there is a
    /// key.
    fn core(&self, hash: u64, key: Option<&Key<'_>>) -> u32 {
        let Self { now, anonymous, ref tried, .. } = *self;
        let filter = Filter { now, anonymous, tried, pinned: None };
        // SAFETY: one layout, as the library itself asserts.
        let slots = unsafe { slice::from_raw_parts(self.slots.cast::<Slot>(), self.count) };
        let slot = if let Some(key) = key {
            tokenpin::select_higress(slots, &filter, hash, key)
        } else {
            let strategy = Strategy::from_number(self.strategy).unwrap();
            tokenpin::select(strategy, slots, &filter, hash).unwrap()
        };
        slot.unwrap_or(TOKENPIN_SLOT_NONE)
    }

    /// Returns the status of a call without odd arguments.
    fn fair_status(&self) -> i32 {
        if self.strategy == Strategy::HigressFnv1aModulo as u8 {
            Status::Strategy as i32
        } else {
            OK
        }
    }
}

fn select(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let choice = Choice::new(world, input);
    let hash = input.u64();
    let out = world.out(input);
    let status = call!(tokenpin_select(
        choice.strategy,
        choice.slots,
        choice.count,
        choice.filter,
        hash,
        out
    ));
    assert!(!world.fair() || status == choice.fair_status());
    if let Some(slot) = world.read(out, status) {
        assert!(slot == TOKENPIN_SLOT_NONE || (slot as usize) < choice.count);
        assert!(!world.fair() || slot == choice.core(hash, None));
    }
    (status, false)
}

fn select_higress(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let choice = Choice::new(world, input);
    let parts = parts(input);
    let (key, core) = world.key(input, &parts);
    let hash = input.u64();
    let out = world.out(input);
    let status =
        call!(tokenpin_select_higress(choice.slots, choice.count, choice.filter, hash, key, out));
    if let Some(slot) = world.read(out, status) {
        assert!(slot == TOKENPIN_SLOT_NONE || (slot as usize) < choice.count);
        assert!(!world.fair() || slot == choice.core(hash, Some(&core)));
    }
    (status, false)
}

fn select_batch(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let choice = Choice::new(world, input);
    let count = input.below(600);
    let (seed, step) = (input.u64(), input.u64());
    let hashes: Vec<_> =
        (0..count as u64).map(|i| seed.wrapping_add(i.wrapping_mul(step))).collect();
    let (hashes_at, told) = world.array(input, &hashes);
    // The output is as long as the hashes claim to be.
    let out: *mut u32 = if count == 0 { ptr::null_mut() } else { world.outs(input, count) };
    let status = call!(tokenpin_select_batch(
        choice.strategy,
        choice.slots,
        choice.count,
        choice.filter,
        hashes_at,
        told,
        out
    ));
    assert!(!world.fair() || status == choice.fair_status());
    if status == OK && world.fair() {
        for (i, &hash) in hashes.iter().enumerate() {
            // SAFETY: a block of this size.
            let slot = unsafe { out.add(i).read() };
            assert_eq!(slot, choice.core(hash, None));
        }
    }
    (status, false)
}

fn ring_init(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let mut keys: Vec<(u8, Role)> = Vec::new();
    for i in 0..=input.small(8) {
        let id = if input.one_in(8) { input.byte() } else { i };
        let role = match (i, input.one_in(4)) {
            (0, _) => Role::Sign,
            (_, true) => input.pick(Role::ALL),
            (_, false) => Role::Retire,
        };
        keys.push((id, role));
    }
    let mut given: Vec<_> = keys
        .iter()
        .map(|(id, role)| tokenpin_cookie_key { id: *id, role: *role as u8, secret: secret(*id) })
        .collect();
    if world.odd(input) {
        given[0].role = input.byte();
    }
    if world.odd(input) {
        given[0].secret = [0; 16];
    }
    let (at, count) = world.array(input, &given);
    let placement = if input.one_in(8) { secret(0) } else { secret(200) };
    let placement_key =
        if input.flag() { ptr::null() } else { world.put(input, &placement).cast() };
    let out = world.out::<tokenpin_key_ring>(input);
    let error = config_error(world, input);
    let status = call!(tokenpin_key_ring_init(out, at, count, placement_key, error));
    if !world.overlap {
        check_error(error, status);
    }
    if world.fair() {
        let core: Vec<_> = keys.iter().map(|(id, role)| cookie_key(*id, *role)).collect();
        let placement = (!placement_key.is_null()).then(|| Secret::new(placement));
        assert_eq!(status == OK, KeyRing::new(&core, placement.as_ref()).is_ok());
    }
    if status == OK && !world.overlap {
        // SAFETY: written to; a copy is a ring too.
        let words = Box::new(unsafe { out.read() });
        world.rings.push(Ring { words, keys, alive: world.fair() });
        if world.rings.len() > 3 {
            world.rings.remove(0);
        }
    }
    (status, false)
}

fn ring_wipe(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let odd = world.odd(input);
    let i = input.below(world.rings.len().max(1));
    let pointer = match world.rings.get_mut(i) {
        Some(ring) if !odd => {
            ring.alive = false;
            &raw mut *ring.words
        }
        _ => ptr::null_mut(),
    };
    // SAFETY: null, or a ring, wiped or not.
    unsafe { tokenpin_key_ring_wipe(pointer) };
    done("tokenpin_key_ring_wipe", OK);
    if !pointer.is_null() {
        assert!(world.rings[i].words.private_words.iter().all(|&word| word == 0), "not wiped");
    }
    (OK, false)
}

/// Returns a ring, and its keys if it is alive.
fn ring(world: &mut World, input: &mut Input<'_>) -> (*const tokenpin_key_ring, Vec<(u8, Role)>) {
    let odd = world.odd(input);
    let i = input.below(world.rings.len().max(1));
    match world.rings.get(i) {
        Some(ring) if !odd => {
            world.was_odd |= !ring.alive;
            let (keys, words) =
                (ring.keys.clone(), tokenpin_key_ring { private_words: ring.words.private_words });
            (world.put(input, &words), keys)
        }
        _ => {
            world.was_odd = true;
            let garbage = tokenpin_key_ring { private_words: [input.u64() & 0xff; 56] };
            let pointer = world.put(input, &garbage);
            (if input.flag() { ptr::null() } else { pointer }, Vec::new())
        }
    }
}

fn core_ring(keys: &[(u8, Role)]) -> KeyRing {
    let keys: Vec<_> = keys.iter().map(|(id, role)| cookie_key(*id, *role)).collect();
    KeyRing::new(&keys, None).unwrap()
}

fn encode(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (ring, keys) = ring(world, input);
    let (name, scope, parts) = (world.name(input), input.limited(MAX_SCOPE), parts(input));
    let (name_at, scope_at) = (world.bytes(input, &name), world.bytes(input, &scope));
    let (key_at, key) = world.key(input, &parts);
    let kind = if world.odd(input) { input.byte() } else { key.kind() as u8 };
    let none = kind == 0 && input.flag();
    let key_at = if none { ptr::null() } else { key_at };
    let given = tokenpin_cookie {
        pin: input.u64(),
        issued_at: input.near(NOW),
        refreshed_at: input.near(NOW),
        id: parts.2,
        kind,
    };
    let cookie_at = world.put(input, &given);
    let out = world.outs(input, VALUE_LEN);
    let status = call!(tokenpin_cookie_encode(
        ring,
        name_at.ptr,
        name_at.len,
        scope_at.ptr,
        scope_at.len,
        key_at,
        cookie_at,
        out
    ));
    if world.fair() {
        let tokenpin_cookie { pin, issued_at, refreshed_at, id, .. } = given;
        let cookie = Cookie { kind: key.kind(), issued_at, refreshed_at, id, pin };
        let audience = Audience { name: &name, scope: &scope };
        let core = cookie::encode(&core_ring(&keys), &audience, &key, &cookie);
        assert_eq!(status == OK, core.is_ok());
        if let Ok(core) = core {
            // SAFETY: a block of this size.
            assert_eq!(unsafe { slice::from_raw_parts(out.cast::<u8>(), VALUE_LEN) }, core);
        }
    }
    (status, false)
}

fn decode(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (ring, keys) = ring(world, input);
    let (name, scope, parts) = (world.name(input), input.limited(MAX_SCOPE), parts(input));
    let (name_at, scope_at) = (world.bytes(input, &name), world.bytes(input, &scope));
    let (key_at, key) = world.key(input, &parts);
    let audience = Audience { name: &name, scope: &scope };
    let key_at = if input.one_in(4) { ptr::null() } else { key_at };
    let limits = tokenpin_limits {
        skew: input.pick(&[0, 300]),
        max_life: input.pick(&[0, 255]),
        max_idle: input.pick(&[0, 255]),
        refresh_interval: input.pick(&[0, 255]),
    };
    let limits_at = world.put(input, &limits);
    let made = (!keys.is_empty() && input.flag()).then(|| {
        let now = input.near(NOW);
        let kind = key.kind();
        let cookie = Cookie { kind, issued_at: now, refreshed_at: now, id: parts.2, pin: 1 };
        let keys: Vec<_> = keys.iter().map(|(id, role)| cookie_key(*id, *role)).collect();
        let ring = KeyRing::new(&keys, None).ok()?;
        cookie::encode(&ring, &audience, &key, &cookie).ok().map(|value| value.to_vec())
    });
    let value = made.flatten().unwrap_or_else(|| input.bytes().to_vec());
    let value_at = world.bytes(input, &value);
    let verdict = world.out(input);
    let cookie = world.optional::<tokenpin_cookie>(input);
    let status = call!(tokenpin_cookie_decode(
        ring,
        name_at.ptr,
        name_at.len,
        scope_at.ptr,
        scope_at.len,
        key_at,
        limits_at,
        NOW.into(),
        value_at.ptr,
        value_at.len,
        verdict,
        cookie
    ));
    if world.fair() {
        let key = (!key_at.is_null()).then_some(&key);
        let tokenpin_limits { skew, max_life, max_idle, refresh_interval } = limits;
        let limits = tokenpin::Limits { skew, max_life, max_idle, refresh_interval };
        let core = cookie::decode(&core_ring(&keys), &audience, key, &limits, NOW.into(), &value);
        assert_eq!(status == OK, core.is_ok());
        if let Ok((came, says)) = core {
            assert_eq!(world.read(verdict, status), Some(came as u8));
            let refused =
                [Verdict::Malformed, Verdict::UnknownVersion, Verdict::UnknownKey, Verdict::BadTag];
            assert_eq!(says.is_none(), refused.contains(&came));
            if let (Some(got), Some(says)) = (world.read(cookie, status), says) {
                assert_eq!((got.pin, got.id, got.kind), (says.pin, says.id, says.kind as u8));
                assert_eq!((got.issued_at, got.refreshed_at), (says.issued_at, says.refreshed_at));
            }
        }
    }
    (status, false)
}

fn default_name(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let scope = input.limited(MAX_SCOPE);
    let bytes = world.bytes(input, &scope);
    let out = world.buffer(input, MAX_COOKIE_NAME);
    let status =
        call!(tokenpin_cookie_default_name(bytes.ptr, bytes.len, out.start, out.capacity, out.len));
    let written = world.written(&out, status);
    if let (Some(name), true) = (written, world.fair()) {
        assert_eq!(name, CookieName::for_scope(&scope).as_bytes());
    }
    (status, false)
}

fn field(input: &mut Input<'_>) -> Vec<u8> {
    if input.flag() {
        return input.bytes().to_vec();
    }
    let pairs = [&b"pin=1"[..], b" pin = \"2\"", b"a=b", b"", b"__Host-tokenpin=3", b" c"];
    (0..input.below(6)).map(|_| input.pick(&pairs)).collect::<Vec<_>>().join(&b';')
}

fn next(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (name, field) = (world.name(input), field(input));
    let (name_at, field_at) = (world.bytes(input, &name), world.bytes(input, &field));
    let start = if world.odd(input) { usize::MAX - input.below(9) } else { input.below(64) };
    // Read and written: a valid place, or none.
    let offset: *mut usize = if world.odd(input) {
        ptr::null_mut()
    } else {
        world.block(start.to_ne_bytes().to_vec(), true).cast()
    };
    let value = world.out::<tokenpin_bytes>(input);
    let status = call!(tokenpin_cookie_next(
        field_at.ptr,
        field_at.len,
        name_at.ptr,
        name_at.len,
        offset,
        value
    ));
    if world.fair() {
        let core = field::next(&field, &name, start);
        assert_eq!(status, if core.is_some() { OK } else { Status::End as i32 });
        if let (Some((text, after)), Some(got)) = (core, world.read(value, status)) {
            // SAFETY: within the field.
            let got = unsafe { slice::from_raw_parts(got.ptr.cast::<u8>(), got.len) };
            assert_eq!((got, world.read(offset, status)), (text, Some(after)));
        }
    }
    (status, false)
}

fn strip(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (name, field) = (world.name(input), field(input));
    let (name_at, field_at) = (world.bytes(input, &name), world.bytes(input, &field));
    let out = world.buffer(input, field.len());
    let status = call!(tokenpin_cookie_strip(
        field_at.ptr,
        field_at.len,
        name_at.ptr,
        name_at.len,
        out.start,
        out.capacity,
        out.len
    ));
    let written = world.written(&out, status);
    if let (Some(text), true) = (written, world.fair()) {
        let mut core = vec![0; field.len()];
        let len = field::strip(&field, &name, &mut core).unwrap();
        assert_eq!(text, core[..len]);
    }
    (status, false)
}

fn set_cookie_write(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let name = world.name(input);
    let value = if world.odd(input) { input.limited(1024) } else { vec![b'A'; VALUE_LEN] };
    let (name_at, value_at) = (world.bytes(input, &name), world.bytes(input, &value));
    let attributes = world.attributes(input, &name);
    let attributes = world.put(input, &attributes);
    let max_age = if world.odd(input) { input.u32() } else { input.pick(&[0, 3_600, MAX_MAX_AGE]) };
    let out = world.buffer(input, MAX_SET_COOKIE);
    let status = call!(tokenpin_set_cookie_write(
        name_at.ptr,
        name_at.len,
        value_at.ptr,
        value_at.len,
        attributes,
        max_age,
        out.start,
        out.capacity,
        out.len
    ));
    assert!(!world.fair() || status == OK || status == Status::BufferTooSmall as i32);
    if let Some(text) = world.written(&out, status) {
        assert!(text.iter().all(|byte| (b' '..=b'~').contains(byte)));
        if world.fair() {
            let pair = [&name[..], b"=", &value, b"; Path=/"].concat();
            assert!(text.starts_with(&pair) && set_cookie::matches(&text, &name));
        }
    }
    (status, false)
}

fn matches(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (name, field) = (world.name(input), field(input));
    let (name_at, field_at) = (world.bytes(input, &name), world.bytes(input, &field));
    let out = world.out(input);
    let status = call!(tokenpin_set_cookie_matches(
        field_at.ptr,
        field_at.len,
        name_at.ptr,
        name_at.len,
        out
    ));
    if world.fair() {
        assert_eq!(world.read(out, status), Some(u8::from(set_cookie::matches(&field, &name))));
    }
    (status, false)
}

fn classify(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (method, target) = request_line(input);
    let (method_at, target_at) = (world.bytes(input, method), world.bytes(input, target));
    let rules = world.rules(input);
    let (rules_at, count) = world.array(input, &rules);
    let (replace, prompt_cache) = (world.number(input, 2), world.number(input, 2));
    let (group, existing, ids) = (world.out(input), world.out(input), world.out(input));
    let status = call!(tokenpin_classify(
        rules_at,
        count,
        replace,
        prompt_cache,
        method_at.ptr,
        method_at.len,
        target_at.ptr,
        target_at.len,
        group,
        existing,
        ids
    ));
    if world.fair() {
        assert_eq!(status, OK);
        let own: Vec<_> = rules
            .iter()
            .map(|rule| {
                // SAFETY: a block of this size.
                let pattern =
                    unsafe { slice::from_raw_parts(rule.pattern.ptr.cast(), rule.pattern.len) };
                let group = Group::from_number(rule.group).unwrap();
                Rule { pattern, group, ids: Ids::from_number(rule.ids).unwrap() }
            })
            .collect();
        let core = tokenpin::classify(&own, replace == 1, prompt_cache == 1, method, target);
        assert_eq!(world.read(group, status), Some(core.group as u8));
        assert_eq!(world.read(existing, status), Some(u8::from(core.existing)));
        assert_eq!(world.read(ids, status), Some(core.ids as u8));
    }
    (status, false)
}

fn id_ring_init(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let mut keys: Vec<(u8, Role)> = Vec::new();
    for i in 0..=input.small(9) {
        let id = if input.one_in(8) { input.byte() } else { i };
        keys.push((id, if i == 0 { Role::Sign } else { input.pick(Role::ALL) }));
    }
    let given: Vec<_> = keys
        .iter()
        .map(|(id, role)| tokenpin_cookie_key { id: *id, role: *role as u8, secret: secret(*id) })
        .collect();
    let (at, count) = world.array(input, &given);
    let placement = secret(if input.one_in(8) { 0 } else { 200 });
    let placement_key =
        if input.flag() { ptr::null() } else { world.put(input, &placement).cast() };
    let out = world.out::<tokenpin_id_ring>(input);
    let error = config_error(world, input);
    let status = call!(tokenpin_id_ring_init(out, at, count, placement_key, error));
    if !world.overlap {
        check_error(error, status);
    }
    if world.fair() {
        let core: Vec<_> = keys.iter().map(|(id, role)| cookie_key(*id, *role)).collect();
        let placement = (!placement_key.is_null()).then(|| Secret::new(placement));
        assert_eq!(status == OK, tokenpin::IdRing::new(&core, placement.as_ref()).is_ok());
    }
    if status == OK && !world.overlap {
        // SAFETY: written to; a copy is a ring too.
        let words = Box::new(unsafe { out.read() });
        world.id_rings.push(IdRing { words, keys, alive: world.fair() });
        if world.id_rings.len() > 3 {
            world.id_rings.remove(0);
        }
    }
    (status, false)
}

fn id_ring_wipe(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let odd = world.odd(input);
    let i = input.below(world.id_rings.len().max(1));
    let pointer = match world.id_rings.get_mut(i) {
        Some(ring) if !odd => {
            ring.alive = false;
            &raw mut *ring.words
        }
        _ => ptr::null_mut(),
    };
    // SAFETY: null, or a ring, wiped or not.
    unsafe { tokenpin_id_ring_wipe(pointer) };
    done("tokenpin_id_ring_wipe", OK);
    if !pointer.is_null() {
        assert!(world.id_rings[i].words.private_words.iter().all(|&word| word == 0), "not wiped");
    }
    (OK, false)
}

/// A ring for one id, with its scope and owner: as C sees them and as the core does.
struct Sealing {
    at: *const tokenpin_id_ring,
    scope_at: tokenpin_bytes,
    owner_at: tokenpin_bytes,
    ring: Option<tokenpin::IdRing>,
    scope: Vec<u8>,
    owner: Vec<u8>,
}

impl Sealing {
    fn new(world: &mut World, input: &mut Input<'_>) -> Self {
        let odd = world.odd(input);
        let i = input.below(world.id_rings.len().max(1));
        let (words, ring) = match world.id_rings.get(i) {
            Some(ring) if !odd => {
                world.was_odd |= !ring.alive;
                let keys: Vec<_> =
                    ring.keys.iter().map(|(id, role)| cookie_key(*id, *role)).collect();
                (ring.words.private_words, tokenpin::IdRing::new(&keys, None).ok())
            }
            _ => {
                world.was_odd = true;
                ([input.u64() & 0xff; 38], None)
            }
        };
        let at = world.put(input, &tokenpin_id_ring { private_words: words });
        let (scope, owner) = (input.limited(MAX_SCOPE), input.limited(MAX_KEY));
        let (scope_at, owner_at) = (world.bytes(input, &scope), world.bytes(input, &owner));
        Self { at, scope_at, owner_at, ring, scope, owner }
    }

    /// Returns `None` if scope or owner is too long.
    fn core(&self) -> Option<IdSealer<'_>> {
        IdSealer::new(self.ring.as_ref().unwrap(), &self.scope, &self.owner).ok()
    }
}

fn native(input: &mut Input<'_>) -> Vec<u8> {
    let some: [&'static [u8]; 4] = [
        b"file-AbCdEfGhIjKlMnOpQrStUv",
        b"resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41",
        b"batch_0494a322-8b14-42a0-be43-71fc2ddb9af2",
        b"msg_1",
    ];
    if input.flag() { input.limited(255) } else { input.pick(&some).to_vec() }
}

fn id_seal(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let sealing = Sealing::new(world, input);
    let (id, pin) = (native(input), u64::from(input.byte()));
    let id_at = world.bytes(input, &id);
    let out = world.buffer(input, TOKENPIN_MAX_SEALED_ID);
    let (scope, owner) = (sealing.scope_at, sealing.owner_at);
    let status = call!(tokenpin_id_seal(
        sealing.at,
        scope.ptr,
        scope.len,
        owner.ptr,
        owner.len,
        pin,
        id_at.ptr,
        id_at.len,
        out.start,
        out.capacity,
        out.len
    ));
    let made = world.written(&out, status);
    if world.fair() {
        let core = sealing.core().map(|core| core.seal(&id, pin));
        match core {
            Some(Some(core)) => {
                assert!(made.is_none_or(|made| made == core.as_bytes()));
                assert!([OK, Status::BufferTooSmall as i32].contains(&status));
            }
            Some(None) => assert_eq!(status, Status::Id as i32),
            None => assert_ne!(status, OK),
        }
    }
    (status, false)
}

fn id_open(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let sealing = Sealing::new(world, input);
    let (id, pin) = (native(input), u64::from(input.byte()));
    let mut text = id.clone();
    if let Some(sealed) = sealing.ring.as_ref().and_then(|_| sealing.core()?.seal(&id, pin)) {
        text = sealed.as_bytes().to_vec();
    }
    if input.one_in(3) {
        let at = input.below(text.len().max(1));
        text.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
    }
    let text_at = world.bytes(input, &text);
    let out = world.buffer(input, TOKENPIN_MAX_ID);
    let (verdict, pin_out, key) = (world.out(input), world.out(input), world.out(input));
    let (scope, owner) = (sealing.scope_at, sealing.owner_at);
    let status = call!(tokenpin_id_open(
        sealing.at,
        scope.ptr,
        scope.len,
        owner.ptr,
        owner.len,
        text_at.ptr,
        text_at.len,
        out.start,
        out.capacity,
        out.len,
        verdict,
        pin_out,
        key
    ));
    if !world.fair() {
        return (status, false);
    }
    let Some(core) = sealing.core() else {
        assert_ne!(status, OK);
        return (status, false);
    };
    let (expected, opened) = core.open(&text);
    let small = opened.as_ref().is_some_and(|opened| opened.native().len() > out.capacity);
    assert_eq!(status, if small { Status::BufferTooSmall as i32 } else { OK });
    if let (Some(verdict), Some(pin)) = (world.read(verdict, status), world.read(pin_out, status)) {
        assert_eq!(verdict, expected as u8);
        match opened {
            Some(opened) => {
                assert_eq!(pin, opened.pin);
                assert_eq!(world.read(key, status), Some(opened.key_id));
                assert_eq!(world.written(&out, status).as_deref(), Some(opened.native()));
            }
            // Only the verdict.
            None => assert_eq!(pin.to_ne_bytes(), [FILL; 8]),
        }
    }
    (status, false)
}

fn id_mark(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let sealing = Sealing::new(world, input);
    let (content, pin) = (input.limited(80), u64::from(input.byte()));
    let content_at = world.bytes(input, &content);
    let out = world.outs(input, TOKENPIN_ID_MARK_LEN);
    let (scope, owner) = (sealing.scope_at, sealing.owner_at);
    let status = call!(tokenpin_id_mark(
        sealing.at,
        scope.ptr,
        scope.len,
        owner.ptr,
        owner.len,
        pin,
        content_at.ptr,
        content_at.len,
        out
    ));
    if world.fair() {
        let core = sealing.core().and_then(|core| core.mark(&content, pin));
        assert_eq!(status == OK, core.is_some());
        if let Some(core) = core {
            // SAFETY: a block of this size.
            let made = unsafe { slice::from_raw_parts(out.cast::<u8>(), TOKENPIN_ID_MARK_LEN) };
            assert_eq!(made, core);
        }
    }
    (status, false)
}

fn id_open_mark(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let sealing = Sealing::new(world, input);
    let mut text = input.limited(80);
    if let Some(mark) = sealing.ring.as_ref().and_then(|_| sealing.core()?.mark(&text, 7)) {
        text.extend_from_slice(&mark);
    }
    if input.one_in(3) {
        text.pop();
    }
    let text_at = world.bytes(input, &text);
    let (len, verdict, pin) = (world.out(input), world.out(input), world.out(input));
    let (scope, owner) = (sealing.scope_at, sealing.owner_at);
    let status = call!(tokenpin_id_open_mark(
        sealing.at,
        scope.ptr,
        scope.len,
        owner.ptr,
        owner.len,
        text_at.ptr,
        text_at.len,
        len,
        verdict,
        pin
    ));
    if world.fair() {
        let core = sealing.core().map(|core| core.open_mark(&text));
        assert_eq!(status == OK, core.is_some());
        if let Some((expected, opened)) = core {
            assert_eq!(world.read(verdict, status), Some(expected as u8));
            if let Some((content, account)) = opened {
                assert_eq!(world.read(len, status), Some(content.len()));
                assert_eq!(world.read(pin, status), Some(account));
            }
        }
    }
    (status, false)
}

/// Keeps the state that a call has begun or changed.
fn keep<T: Copy>(world: &World, state: *mut T, status: i32, kept: impl FnOnce(T)) {
    if status == OK && !world.overlap {
        // SAFETY: a block of this size.
        kept(unsafe { state.read() });
    }
}

fn limit<T>(kept: &mut Vec<T>) {
    if kept.len() > 3 {
        kept.remove(0);
    }
}

fn summary_init(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let out = world.out(input);
    let status = call!(tokenpin_id_summary_init(out));
    let mut made = None;
    keep(world, out, status, |state| made = Some(state));
    world.summaries.extend(made);
    limit(&mut world.summaries);
    (status, false)
}

fn opener_init(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let out = world.out(input);
    let status = call!(tokenpin_id_opener_init(out));
    let mut made = None;
    keep(world, out, status, |state| made = Some(state));
    world.openers.extend(made);
    limit(&mut world.openers);
    (status, false)
}

fn sealer_init(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let out = world.out(input);
    let framing = world.number(input, 2);
    let status = call!(tokenpin_id_sealer_init(out, framing));
    let mut made = None;
    keep(world, out, status, |state| made = Some(state));
    world.sealers.extend(made);
    limit(&mut world.sealers);
    (status, false)
}

fn summary_report(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let summaries = world.summaries.clone();
    let summary = world.state(input, &summaries);
    let out = world.out::<tokenpin_id_report>(input);
    let status = call!(tokenpin_id_summary_report(summary, out));
    if let Some(says) = world.read(out, status) {
        assert!(IdVerdict::from_number(says.verdict).is_some());
        let switches = [says.refused, says.unreadable, says.existing, says.seals, says.unstored];
        assert!(switches.iter().all(|it| *it <= 1));
    }
    (status, false)
}

fn id_owner(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let handle = world.handle(input);
    // SAFETY: zero is a value of every field.
    let mut request: tokenpin_request = unsafe { std::mem::zeroed() };
    (request.consumers, request.consumer_count) = values(world, input, b"alice");
    request.consumer_trusted = world.number(input, 2);
    let request = world.put(input, &request);
    let (out, within) = out_near::<tokenpin_bytes>(world, input, handle);
    let status = call!(tokenpin_affinity_id_owner(handle, request, out));
    assert!(!within || status != OK);
    if let Some(owner) = world.read(out, status) {
        assert!(owner.len <= MAX_KEY);
    }
    (status, false)
}

/// Returns a body or target with ids in it.
fn document(input: &mut Input<'_>) -> Vec<u8> {
    let some: [&'static [u8]; 6] = [
        br#"{"previous_response_id":"resp_1","file_id":"file-AbCdEfGhIjKlMnOpQrStUvAYY6LwmZI43_KzSLQ6xiQtItp0"}"#,
        br#"{"input":[{"id":"msg_1"},{"id":"\u0072s_2","encrypted_content":"gAAAAAB"}],"store":false}"#,
        b"data: {\"id\":\"resp_1\"}\n\ndata: [DONE]\n\n",
        b"/v1/responses/resp_1/input_items?after=msg_%31",
        b"https://files/v1/files/file-1/content",
        br#"{"conversation":{"id":"#,
    ];
    if input.flag() { input.bytes().to_vec() } else { input.pick(&some).to_vec() }
}

fn open_target(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (handle, using) = (world.handle(input), world.id_use(input));
    let summaries = world.summaries.clone();
    let summary = world.state(input, &summaries);
    let target = document(input);
    let target_at = world.bytes(input, &target);
    let out = world.buffer(input, target.len());
    let status = call!(tokenpin_affinity_open_target(
        handle,
        using,
        summary,
        target_at.ptr,
        target_at.len,
        out.start,
        out.capacity,
        out.len
    ));
    if let Some(opened) = world.written(&out, status) {
        assert!(opened.len() <= target.len());
    }
    keep_summary(world, summary, status);
    (status, false)
}

fn keep_summary(world: &mut World, summary: *mut tokenpin_id_summary, status: i32) {
    let mut made = None;
    keep(world, summary, status, |state| made = Some(state));
    world.summaries.extend(made);
    limit(&mut world.summaries);
}

/// Checks the result of a step on its chunk.
fn check_piece(world: &World, piece: *mut tokenpin_piece, len: usize, status: i32) {
    let Some(piece) = world.read(piece, status) else { return };
    assert!(piece.pass <= piece.taken && piece.taken <= len);
    assert!(piece.taken > 0 || piece.put_len > 0 || len == 0, "every step does something");
    let held = world.blocks.iter().any(|block| {
        let memory = block.memory.as_ptr_range();
        let end = piece.put.wrapping_add(piece.put_len);
        memory.start <= piece.put && end <= memory.end
    });
    assert!(held || piece.put_len == 0, "what is put lies in the state");
}

fn open_step(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (handle, using) = (world.handle(input), world.id_use(input));
    let (summaries, openers) = (world.summaries.clone(), world.openers.clone());
    let (summary, opener) = (world.state(input, &summaries), world.state(input, &openers));
    let chunk = document(input);
    let chunk_at = world.bytes(input, &chunk);
    let piece = world.out(input);
    let status = call!(tokenpin_affinity_open_step(
        handle,
        using,
        summary,
        opener,
        chunk_at.ptr,
        chunk_at.len,
        piece
    ));
    check_piece(world, piece, chunk_at.len, status);
    keep_opened(world, summary, opener, status);
    (status, false)
}

fn open_end(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (handle, using) = (world.handle(input), world.id_use(input));
    let (summaries, openers) = (world.summaries.clone(), world.openers.clone());
    let (summary, opener) = (world.state(input, &summaries), world.state(input, &openers));
    let piece = world.out(input);
    let status = call!(tokenpin_affinity_open_end(handle, using, summary, opener, piece));
    check_piece(world, piece, 0, status);
    keep_opened(world, summary, opener, status);
    (status, false)
}

fn keep_opened(
    world: &mut World,
    summary: *mut tokenpin_id_summary,
    opener: *mut tokenpin_id_opener,
    status: i32,
) {
    keep_summary(world, summary, status);
    let mut made = None;
    keep(world, opener, status, |state| made = Some(state));
    world.openers.extend(made);
    limit(&mut world.openers);
}

fn open_in_place(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (handle, using) = (world.handle(input), world.id_use(input));
    let summaries = world.summaries.clone();
    let summary = world.state(input, &summaries);
    let body = document(input);
    let body_at = world.bytes(input, &body);
    if let Some(block) =
        world.blocks.last_mut().filter(|it| it.memory.as_ptr() == body_at.ptr.cast())
    {
        block.output = true;
    }
    let (len, unexpected) = (world.out(input), world.out(input));
    let status = call!(tokenpin_affinity_open_in_place(
        handle,
        using,
        summary,
        body_at.ptr.cast_mut(),
        body_at.len,
        len,
        unexpected
    ));
    if let Some(len) = world.read(len, status) {
        assert!(len <= body.len());
    }
    keep_summary(world, summary, status);
    (status, false)
}

fn sealed_by(world: &mut World, input: &mut Input<'_>) -> (*const tokenpin_id_summary, u32) {
    let summaries = world.summaries.clone();
    let summary =
        if input.flag() { ptr::null() } else { world.state(input, &summaries).cast_const() };
    (summary, u32::from(input.byte() % 8))
}

fn seal_step(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (handle, using) = (world.handle(input), world.id_use(input));
    let (summary, slot) = sealed_by(world, input);
    let sealers = world.sealers.clone();
    let sealer = world.state(input, &sealers);
    let chunk = document(input);
    let chunk_at = world.bytes(input, &chunk);
    let piece = world.out(input);
    let status = call!(tokenpin_affinity_seal_step(
        handle,
        using,
        summary,
        slot,
        sealer,
        chunk_at.ptr,
        chunk_at.len,
        piece
    ));
    check_piece(world, piece, chunk_at.len, status);
    keep_sealed(world, sealer, status);
    (status, false)
}

fn seal_end(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (handle, using) = (world.handle(input), world.id_use(input));
    let (summary, slot) = sealed_by(world, input);
    let sealers = world.sealers.clone();
    let sealer = world.state(input, &sealers);
    let piece = world.out(input);
    let status = call!(tokenpin_affinity_seal_end(handle, using, summary, slot, sealer, piece));
    check_piece(world, piece, 0, status);
    keep_sealed(world, sealer, status);
    (status, false)
}

fn keep_sealed(world: &mut World, sealer: *mut tokenpin_id_sealer, status: i32) {
    let mut made = None;
    keep(world, sealer, status, |state| made = Some(state));
    world.sealers.extend(made);
    limit(&mut world.sealers);
}

fn seal_target(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let (handle, using) = (world.handle(input), world.id_use(input));
    let (summary, slot) = sealed_by(world, input);
    let text = document(input);
    let text_at = world.bytes(input, &text);
    let out = world.buffer(input, 1024);
    let status = call!(tokenpin_affinity_seal_target(
        handle,
        using,
        summary,
        slot,
        text_at.ptr,
        text_at.len,
        out.start,
        out.capacity,
        out.len
    ));
    if let Some(sealed) = world.written(&out, status) {
        // Ids only grow, but the origin that replaces the upstream may be shorter.
        let absolute = text.windows(3).any(|it| it == b"://");
        assert!(absolute || sealed.len() >= text_at.len);
    }
    (status, false)
}

fn id_key(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let handle = world.handle(input);
    let number = input.byte();
    let (out, within) = out_near::<tokenpin_bytes>(world, input, handle);
    let status = call!(tokenpin_affinity_id_key(handle, number, out));
    assert!(!within || status != OK);
    if let Some(name) = world.read(out, status) {
        assert!((1..=32).contains(&name.len));
    }
    (status, false)
}

fn refusal(world: &mut World, input: &mut Input<'_>) -> (i32, bool) {
    let any = world.decisions.len();
    // SAFETY: zero is a value of every field.
    let zero: tokenpin_decision = unsafe { std::mem::zeroed() };
    let mut decision = world.decisions.get(input.below(any.max(1))).copied().unwrap_or(zero);
    let edited = input.one_in(3);
    if edited {
        (decision.outcome, decision.pin_state) = (input.byte() % 9, input.byte() % 9);
        (decision.source, decision.id_verdict) = (input.byte() % 9, input.byte() % 9);
    }
    let decision = world.put(input, &decision);
    let (http, out) = (world.out::<u16>(input), world.out::<u8>(input));
    let status = call!(tokenpin_decision_refusal(decision, http, out));
    assert!(!world.fair() || edited || status == OK);
    if let (Some(http), Some(out)) = (world.read(http, status), world.read(out, status)) {
        assert_eq!(Refusal::from_number(out).unwrap().status(), http);
    }
    (status, false)
}
