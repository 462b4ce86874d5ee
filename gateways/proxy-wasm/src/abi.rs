//! The interface of proxy-wasm 0.2.1, as far as the filter uses it: the host's functions, and the
//! hooks that it calls. All `unsafe` code is here. Nothing in it panics, regardless of the host's
//! answers: a VM serves all requests of a worker, and a panic would end it.

#![allow(unsafe_code)]

use alloc::alloc::alloc;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::cell::RefCell;
use core::ptr::{null, null_mut};

use crate::config::Chain;
use crate::stream::Stream;

/// A map of headers.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Map {
    Request = 0,
    Response = 2,
}

#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Buffer {
    RequestBody = 0,
    ResponseBody = 1,
    Configuration = 7,
}

#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Metric {
    Counter = 0,
    Gauge = 1,
}

#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Level {
    Info = 2,
    Warn = 3,
    Error = 4,
}

/// The answer of a hook to its host.
#[derive(Clone, Copy, PartialEq)]
#[repr(u32)]
pub(crate) enum Action {
    Continue = 0,
    /// Of headers: they wait, and the body comes. Of a body: it is kept, and more comes.
    Pause = 1,
}

/// A status of the host's.
type Status = u32;
const OK: Status = 0;
const CAS_MISMATCH: Status = 8;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> Status;
    fn proxy_log(level: u32, message: *const u8, size: usize) -> Status;
    fn proxy_set_tick_period_milliseconds(period: u32) -> Status;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        most: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> Status;
    fn proxy_set_buffer_bytes(
        buffer: u32,
        start: usize,
        size: usize,
        data: *const u8,
        data_size: usize,
    ) -> Status;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> Status;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> Status;
    fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> Status;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> Status;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> Status;
    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> Status;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        version: *mut u32,
    ) -> Status;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        version: u32,
    ) -> Status;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> Status;
    fn proxy_increment_metric(id: u32, by: i64) -> Status;
    fn proxy_record_metric(id: u32, value: u64) -> Status;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> Status;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn environ_sizes_get(count: *mut usize, size: *mut usize) -> Status;
    fn environ_get(variables: *mut *mut u8, texts: *mut u8) -> Status;
}

// `memcmp`, which the compiler calls.
#[link(name = "c")]
unsafe extern "C" {}

/// Calls a function that hands over memory, which the host has allocated with
/// `proxy_on_memory_allocate`.
#[expect(clippy::same_length_and_capacity, reason = "that is how the host has it allocated")]
fn taken(call: impl FnOnce(*mut *mut u8, *mut usize) -> Status) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    let status = call(&raw mut data, &raw mut size);
    // SAFETY: what the host gives is a block of this size from the global allocator, aligned for
    // bytes, filled by the host, and only ours.
    let bytes =
        if data.is_null() { Vec::new() } else { unsafe { Vec::from_raw_parts(data, size, size) } };
    (status == OK).then_some(bytes)
}

// SAFETY, of each call below: the host reads the bytes that a pointer and a size name, only during
// the call, and writes to the places that are given for it.

pub(crate) fn log(level: Level, message: &str) {
    unsafe { proxy_log(level as u32, message.as_ptr(), message.len()) };
}

/// The wall clock, in unix seconds.
pub(crate) fn unix_now() -> u64 {
    let mut time = 0;
    unsafe { proxy_get_current_time_nanoseconds(&raw mut time) };
    time / 1_000_000_000
}

/// An environment variable that the host gives to the VM.
pub(crate) fn variable(name: &str) -> Option<Vec<u8>> {
    let (mut count, mut size) = (0, 0);
    unsafe { environ_sizes_get(&raw mut count, &raw mut size) };
    let mut variables = vec![null_mut(); count];
    let mut texts = vec![0; size];
    unsafe { environ_get(variables.as_mut_ptr(), texts.as_mut_ptr()) };
    texts.split(|&byte| byte == 0).find_map(|text| {
        let (found, value) = text.split_at_checked(name.len())?;
        Some(value.strip_prefix(b"=")?.to_vec()).filter(|_| found == name.as_bytes())
    })
}

pub(crate) fn set_tick_period(milliseconds: u32) {
    unsafe { proxy_set_tick_period_milliseconds(milliseconds) };
}

/// Some bytes of a buffer; nothing if it has none there.
pub(crate) fn buffer(buffer: Buffer, start: usize, most: usize) -> Vec<u8> {
    let call =
        |data, size| unsafe { proxy_get_buffer_bytes(buffer as u32, start, most, data, size) };
    taken(call).unwrap_or_default()
}

/// Puts bytes in place of the first `size` of a buffer.
pub(crate) fn replace_buffer(buffer: Buffer, size: usize, bytes: &[u8]) {
    unsafe { proxy_set_buffer_bytes(buffer as u32, 0, size, bytes.as_ptr(), bytes.len()) };
}

/// All headers of a map, as the interface writes them; nothing if this hook has none.
pub(crate) fn headers(map: Map) -> Vec<u8> {
    taken(|data, size| unsafe { proxy_get_header_map_pairs(map as u32, data, size) })
        .unwrap_or_default()
}

/// In place of all that there are.
pub(crate) fn set_header(map: Map, name: &str, value: &[u8]) {
    let (map, name_len) = (map as u32, name.len());
    unsafe {
        proxy_replace_header_map_value(map, name.as_ptr(), name_len, value.as_ptr(), value.len())
    };
}

pub(crate) fn add_header(map: Map, name: &str, value: &[u8]) {
    let (map, name_len) = (map as u32, name.len());
    unsafe {
        proxy_add_header_map_value(map, name.as_ptr(), name_len, value.as_ptr(), value.len())
    };
}

pub(crate) fn remove_header(map: Map, name: &str) {
    unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) };
}

pub(crate) fn property(path: &[&str]) -> Option<Vec<u8>> {
    let path = path.join("\0");
    taken(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

pub(crate) fn set_property(name: &str, value: &[u8]) {
    unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

/// The value that all VMs of the host share under a key, and its version; 0 if there is none.
pub(crate) fn shared(key: &str) -> (Vec<u8>, u32) {
    let mut version = 0;
    let call = |data, size| unsafe {
        proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut version)
    };
    let bytes = taken(call).unwrap_or_default();
    (bytes, version)
}

/// False if the version has changed. (Version 0, for no value, is not compared.)
pub(crate) fn set_shared(key: &str, value: &[u8], version: u32) -> bool {
    let status = unsafe {
        proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version)
    };
    status != CAS_MISMATCH
}

pub(crate) fn define_metric(kind: Metric, name: &str) -> u32 {
    let mut id = 0;
    unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) };
    id
}

pub(crate) fn increment_metric(id: u32, by: u32) {
    unsafe { proxy_increment_metric(id, by.into()) };
}

pub(crate) fn record_metric(id: u32, value: u64) {
    unsafe { proxy_record_metric(id, value) };
}

/// Answers the request. The hook then stops.
pub(crate) fn respond(status: u16, details: &str, headers: &[(&str, &str)], body: &[u8]) {
    let mut pairs = Vec::with_capacity(256);
    // These numbers suffice for the headers of every answer.
    let mut number = |len: usize| {
        pairs.extend_from_slice(&u32::try_from(len).unwrap_or_default().to_le_bytes());
    };
    number(headers.len());
    for (name, value) in headers {
        number(name.len());
        number(value.len());
    }
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        pairs.extend_from_slice(text.as_bytes());
        pairs.push(0);
    }
    let body_at = if body.is_empty() { null() } else { body.as_ptr() };
    unsafe {
        proxy_send_local_response(
            status.into(),
            details.as_ptr(),
            details.len(),
            body_at,
            body.len(),
            pairs.as_ptr(),
            pairs.len(),
            -1,
        )
    };
}

// The hooks.

/// The contexts of this VM, by the host's numbers.
struct Vm {
    /// The known way in which the host holds requests.
    holding: Holding,
    /// A plugin's configuration each; none before the host has configured it.
    roots: Table<Option<Rc<Chain>>>,
    streams: Table<Stream>,
}

struct Alone<T>(T);

// SAFETY: a VM has one thread.
unsafe impl<T> Sync for Alone<T> {}

static VM: Alone<RefCell<Vm>> = Alone(RefCell::new(Vm {
    holding: Holding::Unknown,
    roots: Table(Vec::new()),
    streams: Table(Vec::new()),
}));

fn vm<T>(then: impl FnOnce(&mut Vm) -> T) -> Option<T> {
    VM.0.try_borrow_mut().ok().map(|mut vm| then(&mut vm))
}

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[cfg(target_family = "wasm")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// Sorted by number. New ones mostly have the greatest.
struct Table<T>(Vec<(u32, T)>);

impl<T> Table<T> {
    fn place(&self, id: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |(each, _)| *each)
    }

    fn get(&self, id: u32) -> Option<&T> {
        self.0.get(self.place(id).ok()?).map(|(_, value)| value)
    }

    fn put(&mut self, id: u32, value: T) {
        match self.place(id) {
            Err(at) => self.0.insert(at, (id, value)),
            Ok(at) => {
                if let Some(entry) = self.0.get_mut(at) {
                    entry.1 = value;
                }
            }
        }
    }

    fn take(&mut self, id: u32) -> Option<T> {
        let at = self.place(id).ok()?;
        Some(self.0.remove(at).1)
    }
}

/// Records whether the host shows the body of a request whose headers wait. One that does not lets
/// the request hang, and can only be recognised by that.
#[derive(Clone, Copy, PartialEq)]
enum Holding {
    Unknown,
    Works,
    /// It is in the log.
    Fails,
}

/// The seconds that a request waits for the first bytes of its body before a line in the log.
const PATIENCE: u64 = 5;

fn watch_holding() {
    let now = unix_now();
    let hangs = vm(|vm| {
        let is_late = |since: u64| now > since + PATIENCE;
        let hangs = vm.holding == Holding::Unknown
            && vm.streams.0.iter().any(|(_, stream)| stream.waits_since().is_some_and(is_late));
        if hangs {
            vm.holding = Holding::Fails;
        }
        hangs
    });
    if hangs == Some(true) {
        crate::host::log(
            Level::Error,
            "a request has waited 5 seconds for its body: has the plugin's configuration \
             allow_on_headers_stop_iteration: true? A host without it needs bodies: false, and sealed_ids: off",
        );
    }
}

/// Runs a hook of a stream, which is out of the table meanwhile.
fn stream(id: u32, hook: impl FnOnce(&mut Stream) -> Action) -> Action {
    let Some(mut stream) = vm(|vm| vm.streams.take(id)).flatten() else {
        // Nothing passes that the filter knows nothing of.
        respond(503, "unconfigured", &[], b"");
        return Action::Pause;
    };
    let action = hook(&mut stream);
    vm(|vm| vm.streams.put(id, stream));
    action
}

/// Nothing has to be constructed. Without this the linker would have each hook do it.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        // SAFETY: the size is not zero.
        Ok(layout) if size != 0 => unsafe { alloc(layout) },
        _ => null_mut(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(id: u32, root: u32) {
    vm(|vm| {
        if root == 0 {
            vm.roots.put(id, None);
        } else if let Some(Some(chain)) = vm.roots.get(root) {
            let stream = Stream::new(Rc::clone(chain));
            vm.streams.put(id, stream);
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_: u32, _: usize) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(id: u32, size: usize) -> u32 {
    let chain = crate::configure(&buffer(Buffer::Configuration, 0, size));
    let is_good = chain.is_some();
    if is_good {
        vm(|vm| vm.roots.put(id, chain));
    }
    is_good.into()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(id: u32) {
    if let Some(chain) = vm(|vm| vm.roots.get(id).cloned()).flatten().flatten() {
        chain.look_after();
        watch_holding();
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(id: u32, _: usize, is_whole: u32) -> Action {
    stream(id, |stream| stream.on_request_headers(is_whole != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(id: u32, size: usize, is_last: u32) -> Action {
    stream(id, |stream| {
        if stream.waits_since().is_some() {
            vm(|vm| vm.holding = Holding::Works);
        }
        stream.on_request_body(size, is_last != 0)
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(id: u32, _: usize) -> Action {
    stream(id, Stream::on_request_trailers)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(id: u32, _: usize, is_whole: u32) -> Action {
    stream(id, |stream| stream.on_response_headers(is_whole != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(id: u32, size: usize, is_last: u32) -> Action {
    stream(id, |stream| stream.on_response_body(size, is_last != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(id: u32) -> u32 {
    if let Some(mut stream) = vm(|vm| vm.streams.take(id)).flatten() {
        stream.on_done();
    }
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(id: u32) {
    // Dropped when the table is free again.
    let _stream = vm(|vm| vm.streams.take(id));
    let _root = vm(|vm| vm.roots.take(id));
}
