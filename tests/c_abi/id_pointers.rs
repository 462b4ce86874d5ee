//! Every fault of a pointer, one at a time, in each function of the ids: null, misaligned, a length
//! that is zero or impossible, a buffer that is a byte short, an object that was never begun. Each
//! memory that is written lies once over the front and the back of each other. All memory is
//! allocated to the byte, and outputs are uninitialised. An overlap that no status refuses does no
//! harm.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::ptr::{null_mut, without_provenance_mut};

use super::*;

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Handle,
    /// A structure that is only read.
    Thing,
    /// A thing that was begun, and is changed.
    State,
    /// The same, only read.
    Kept,
    /// The same, or null.
    Source,
    Bytes,
    /// Bytes that are rewritten where they are.
    Body,
    Out,
    /// A buffer; the next parameter is its length.
    Buffer,
}

#[derive(Clone, Copy)]
struct Param {
    role: Role,
    from: *const u8,
    /// The size of the memory; of a buffer, what the call needs.
    size: usize,
    align: usize,
    /// The status for no bytes.
    empty: Status,
}

fn param<T>(role: Role, from: *const T) -> Param {
    let (size, align) = (size_of::<T>(), align_of::<T>());
    Param { role, from: from.cast(), size, align, empty: Status::Ok }
}

fn read(from: &[u8]) -> Param {
    let (from, size) = (from.as_ptr(), from.len());
    Param { role: Role::Bytes, from, size, align: 1, empty: Status::Ok }
}

fn out<T>() -> Param {
    param::<T>(Role::Out, null())
}

fn room() -> Param {
    Param { role: Role::Buffer, from: null(), size: 0, align: 1, empty: Status::Ok }
}

impl Param {
    fn is_written(&self) -> bool {
        matches!(self.role, Role::State | Role::Body | Role::Out | Role::Buffer)
    }

    fn is_read(&self) -> bool {
        !matches!(self.role, Role::Out | Role::Buffer)
    }
}

/// Memory of some size, of which not a byte more may be touched. Its start is aligned for all.
struct Memory(*mut u8, Layout);

impl Memory {
    /// Holds what the parameter needs.
    fn of(param: &Param) -> Self {
        let size = param.size;
        let layout = Layout::from_size_align(size, 16).unwrap();
        if size == 0 {
            return Self(without_provenance_mut(16), layout);
        }
        // SAFETY: there is something to allocate, with room for what is copied.
        unsafe {
            let at = alloc(layout);
            if !param.from.is_null() {
                at.copy_from_nonoverlapping(param.from, size);
            }
            Self(at, layout)
        }
    }

    fn zeroed(size: usize) -> Self {
        let layout = Layout::from_size_align(size, 16).unwrap();
        // SAFETY: no thing here is empty.
        Self(unsafe { alloc_zeroed(layout) }, layout)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.1.size() > 0 {
            // SAFETY: allocated with this layout.
            unsafe { dealloc(self.0, self.1) };
        }
    }
}

#[derive(Clone, Copy)]
struct Arg {
    at: *mut u8,
    len: usize,
}

struct Row<'a> {
    name: &'a str,
    call: &'a dyn Fn(&[Arg]) -> i32,
    params: Vec<Param>,
    /// For each memory that is written, with what it must not overlap.
    apart: &'a [(usize, &'a [usize])],
}

impl Row<'_> {
    fn memory(&self) -> Vec<Memory> {
        self.params.iter().map(Memory::of).collect()
    }

    fn args(&self, memory: &[Memory]) -> Vec<Arg> {
        let arg = |(param, memory): (&Param, &Memory)| match param.role {
            Role::Handle => Arg { at: param.from.cast_mut(), len: 0 },
            _ => Arg { at: memory.0, len: param.size },
        };
        self.params.iter().zip(memory).map(arg).collect()
    }

    /// Makes the call with one argument changed.
    #[track_caller]
    fn with(&self, i: usize, arg: Arg, status: Status) {
        let memory = self.memory();
        let mut args = self.args(&memory);
        args[i] = arg;
        let got = (self.call)(&args);
        assert_eq!(got, status as i32, "{}, parameter {i}: not {}", self.name, status.name());
    }

    fn faults(&mut self) {
        if let Some(i) = self.params.iter().position(|param| param.role == Role::Buffer) {
            let memory = self.memory();
            is((self.call)(&self.args(&memory)), Status::BufferTooSmall);
            // SAFETY: the length needed was written.
            self.params[i].size = unsafe { memory[i + 1].0.cast::<usize>().read_unaligned() };
        }
        let memory = self.memory();
        is((self.call)(&self.args(&memory)), Status::Ok);
        for (i, param) in self.params.iter().enumerate() {
            self.faults_of(i, param);
        }
        for (i, written) in self.params.iter().enumerate().filter(|(_, it)| it.is_written()) {
            for (j, other) in self.params.iter().enumerate().filter(|(j, _)| *j != i) {
                let refused = self.apart.iter().any(|(it, from)| *it == i && from.contains(&j));
                // The memory of objects that were begun, and bytes that are rewritten, is separate.
                if refused || other.is_read() && !written.is_read() {
                    self.overlap((i, written), (j, other), refused);
                }
            }
        }
    }

    fn faults_of(&self, i: usize, param: &Param) {
        let memory = Memory::of(param);
        let len = param.size;
        let at = if param.role == Role::Handle { param.from.cast_mut() } else { memory.0 };
        let null = |len| Arg { at: null_mut(), len };
        match param.role {
            Role::Source => self.with(i, null(0), Status::Ok),
            Role::Bytes | Role::Body => {
                self.with(i, null(1), Status::NullPointer);
                self.with(i, null(0), param.empty);
                let nowhere = without_provenance_mut(1);
                self.with(i, Arg { at: nowhere, len: 0 }, param.empty);
                self.with(i, Arg { at, len: TOO_LONG }, Status::Length);
                self.with(i, Arg { at, len: usize::MAX }, Status::Length);
            }
            Role::Buffer => {
                self.with(i, null(1), Status::NullPointer);
                self.with(i, null(0), Status::BufferTooSmall);
                self.with(i, Arg { at, len: TOO_LONG }, Status::Length);
                for len in [1, len - 1] {
                    let short = Memory::of(&Param { size: len, ..*param });
                    self.with(i, Arg { at: short.0, len }, Status::BufferTooSmall);
                }
            }
            _ => self.with(i, null(0), Status::NullPointer),
        }
        for off in [1, 2, 4].into_iter().filter(|off| *off < param.align) {
            self.with(i, Arg { at: at.wrapping_add(off), len }, Status::Misaligned);
        }
        if matches!(param.role, Role::State | Role::Kept | Role::Source) {
            let zeroed = Memory::zeroed(len);
            self.with(i, Arg { at: zeroed.0, len }, Status::NotInitialised);
        }
    }

    /// Writes `i` at the front of `j`, at its back, and in front of it with only the end in it.
    fn overlap(&self, (i, written): (usize, &Param), (j, other): (usize, &Param), refused: bool) {
        let status = if refused { Status::Overlap } else { Status::Ok };
        let (size, align) = (written.size, written.align);
        let back = (other.size - 1) / align * align;
        let (within, reach) = if other.role == Role::Handle { (0, 16) } else { (size, back) };
        for place in [0, reach, 0_usize.wrapping_sub(size - align)] {
            let memory = self.memory();
            let mut args = self.args(&memory);
            // All of it is live: the one that is read, and the one that is written over it.
            let live = Memory::zeroed(other.size + 2 * size.next_multiple_of(16));
            if other.role != Role::Handle {
                args[j].at = live.0.wrapping_add(within.next_multiple_of(16));
                if other.is_read() {
                    // SAFETY: there is room for both on each side.
                    unsafe { args[j].at.copy_from_nonoverlapping(other.from, other.size) };
                }
            } else if place > reach {
                continue;
            }
            args[i].at = args[j].at.wrapping_add(place);
            let (got, name) = ((self.call)(&args), status.name());
            assert_eq!(got, status as i32, "{}: {i} at {place} of {j}: not {name}", self.name);
        }
    }
}

/// The bytes of an argument.
macro_rules! bytes {
    ($arg:expr) => {
        $arg.at.cast_const().cast::<c_void>()
    };
}

#[test]
fn every_pointer_to_one_id() {
    let keys = cookie_keys();
    let keys_at = (keys.as_ptr(), keys.len());
    let mut ring = begun(|out| unsafe {
        tokenpin_id_ring_init(out, keys_at.0, keys_at.1, null(), null_mut())
    });
    let ring = ring.as_mut_ptr();
    let (scope, owner) = (lent(b"openai"), lent(b"alice"));
    let (id, content) = (lent(b"file-AbCdEfGhIjKlMnOpQrStUv"), lent(b"gAAAAABo"));
    let sealed = buffer(|to, room, len| unsafe {
        let (scope, owner) = (at(&scope), at(&owner));
        tokenpin_id_seal(ring, scope, 6, owner, 5, 7, at(&id), id.len(), to, room, len)
    });
    let mark: [u8; 26] = get(|out: *mut [u8; 26]| unsafe {
        let (scope, owner, content) = (at(&scope), at(&owner), at(&content));
        tokenpin_id_mark(ring, scope, 6, owner, 5, 7, content, 8, out.cast())
    });
    let marked = lent(&[&content[..], &mark].concat());
    let the_ring = param(Role::Kept, ring.cast_const());
    let no_id = |from| Param { empty: Status::Id, ..read(from) };
    let rows = [
        Row {
            name: "seal",
            call: &|a| unsafe {
                let (scope, owner, id) = (bytes!(a[1]), bytes!(a[2]), bytes!(a[3]));
                let (ring, to, len) = (a[0].at.cast(), a[4].at.cast(), a[5].at.cast());
                let (s, o, i, room) = (a[1].len, a[2].len, a[3].len, a[4].len);
                tokenpin_id_seal(ring, scope, s, owner, o, 7, id, i, to, room, len)
            },
            params: vec![the_ring, read(&scope), read(&owner), no_id(&id), room(), out::<usize>()],
            apart: &[(4, &[0]), (5, &[0])],
        },
        Row {
            name: "open",
            call: &|a| unsafe {
                let (scope, owner, text) = (bytes!(a[1]), bytes!(a[2]), bytes!(a[3]));
                let (ring, to, len) = (a[0].at.cast(), a[4].at.cast(), a[5].at.cast());
                let (s, o, t, room) = (a[1].len, a[2].len, a[3].len, a[4].len);
                let (verdict, pin, key) = (a[6].at, a[7].at.cast(), a[8].at);
                tokenpin_id_open(
                    ring, scope, s, owner, o, text, t, to, room, len, verdict, pin, key,
                )
            },
            params: vec![
                the_ring,
                read(&scope),
                read(&owner),
                read(&sealed),
                room(),
                out::<usize>(),
                out::<u8>(),
                out::<u64>(),
                out::<u8>(),
            ],
            apart: &[(4, &[0]), (5, &[0]), (6, &[0]), (7, &[0]), (8, &[0])],
        },
        Row {
            name: "mark",
            call: &|a| unsafe {
                let (scope, owner, content) = (bytes!(a[1]), bytes!(a[2]), bytes!(a[3]));
                let (ring, mark) = (a[0].at.cast(), a[4].at.cast());
                let (s, o, c) = (a[1].len, a[2].len, a[3].len);
                tokenpin_id_mark(ring, scope, s, owner, o, 7, content, c, mark)
            },
            params: vec![the_ring, read(&scope), read(&owner), no_id(&content), out::<[u8; 26]>()],
            apart: &[(4, &[0])],
        },
        Row {
            name: "open_mark",
            call: &|a| unsafe {
                let (scope, owner, text) = (bytes!(a[1]), bytes!(a[2]), bytes!(a[3]));
                let (ring, len) = (a[0].at.cast(), a[4].at.cast());
                let (s, o, t) = (a[1].len, a[2].len, a[3].len);
                let (verdict, pin) = (a[5].at, a[6].at.cast());
                tokenpin_id_open_mark(ring, scope, s, owner, o, text, t, len, verdict, pin)
            },
            params: vec![
                the_ring,
                read(&scope),
                read(&owner),
                read(&marked),
                out::<usize>(),
                out::<u8>(),
                out::<u64>(),
            ],
            apart: &[(4, &[0]), (5, &[0]), (6, &[0])],
        },
    ];
    for mut row in rows {
        row.faults();
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a row for each function")]
fn every_pointer_to_the_ids_of_a_request() {
    let affinity = affinity();
    let the_affinity = param(Role::Handle, affinity.cast_const());
    let used = Box::new(id_use());
    let using = param(Role::Thing, &raw const *used);
    let (mut noted, mut open, mut seal) = (begun_summary(), begun_opener(), begun_sealer());
    let state = |from: *const u8, size| Param {
        role: Role::State,
        from,
        size,
        align: align_of::<u64>(),
        empty: Status::Ok,
    };
    let opener = state(open.as_mut_ptr().cast(), size_of::<tokenpin_id_opener>());
    let sealer = state(seal.as_mut_ptr().cast(), size_of::<tokenpin_id_sealer>());
    let summary = state(noted.as_mut_ptr().cast(), size_of::<tokenpin_id_summary>());
    let kept = Param { role: Role::Kept, ..summary };
    let source = Param { role: Role::Source, ..summary };
    let request = Box::new(request());
    let document = lent(br#"{"id":"resp_1","file_id":"file-1","x":"\u00e9"}"#);
    let target = lent(b"/v1/files/file-1?after=file-2");
    let body = Param { role: Role::Body, ..read(&document) };
    let rows = [
        Row {
            name: "id_owner",
            call: &|a| unsafe {
                let (affinity, request) = (a[0].at.cast(), a[1].at.cast());
                tokenpin_affinity_id_owner(affinity, request, a[2].at.cast())
            },
            params: vec![
                the_affinity,
                param(Role::Thing, &raw const *request),
                out::<tokenpin_bytes>(),
            ],
            apart: &[(2, &[0])],
        },
        Row {
            name: "summary_report",
            call: &|a| unsafe { tokenpin_id_summary_report(a[0].at.cast(), a[1].at.cast()) },
            params: vec![kept, out::<tokenpin_id_report>()],
            apart: &[(1, &[0])],
        },
        Row {
            name: "open_target",
            call: &|a| unsafe {
                let (affinity, using, summary) = (a[0].at.cast(), a[1].at.cast(), a[2].at.cast());
                let (target, len) = (bytes!(a[3]), a[3].len);
                let (to, room, needed) = (a[4].at.cast(), a[4].len, a[5].at.cast());
                tokenpin_affinity_open_target(
                    affinity, using, summary, target, len, to, room, needed,
                )
            },
            params: vec![the_affinity, using, summary, read(&target), room(), out::<usize>()],
            apart: &[(2, &[0, 1, 3]), (4, &[0, 1, 2, 3]), (5, &[0, 1, 2, 3])],
        },
        Row {
            name: "open_step",
            call: &|a| unsafe {
                let (affinity, using, summary) = (a[0].at.cast(), a[1].at.cast(), a[2].at.cast());
                let (opener, chunk, len) = (a[3].at.cast(), bytes!(a[4]), a[4].len);
                let piece = a[5].at.cast();
                tokenpin_affinity_open_step(affinity, using, summary, opener, chunk, len, piece)
            },
            params: vec![
                the_affinity,
                using,
                summary,
                opener,
                read(&document),
                out::<tokenpin_piece>(),
            ],
            apart: &[(2, &[0, 1, 3, 4, 5]), (3, &[0, 1, 2, 4, 5]), (5, &[0, 1, 2, 3, 4])],
        },
        Row {
            name: "open_end",
            call: &|a| unsafe {
                let (affinity, using, summary) = (a[0].at.cast(), a[1].at.cast(), a[2].at.cast());
                let (opener, piece) = (a[3].at.cast(), a[4].at.cast());
                tokenpin_affinity_open_end(affinity, using, summary, opener, piece)
            },
            params: vec![the_affinity, using, summary, opener, out::<tokenpin_piece>()],
            apart: &[(2, &[0, 1, 3, 4]), (3, &[0, 1, 2, 4]), (4, &[0, 1, 2, 3])],
        },
        Row {
            name: "open_in_place",
            call: &|a| unsafe {
                let (affinity, using, summary) = (a[0].at.cast(), a[1].at.cast(), a[2].at.cast());
                let (body, len) = (a[3].at.cast(), a[3].len);
                let (new_len, unexpected) = (a[4].at.cast(), a[5].at.cast());
                tokenpin_affinity_open_in_place(
                    affinity, using, summary, body, len, new_len, unexpected,
                )
            },
            params: vec![the_affinity, using, summary, body, out::<usize>(), out::<u32>()],
            apart: &[
                (2, &[0, 1, 3, 4, 5]),
                (3, &[0, 1, 2, 4, 5]),
                (4, &[0, 1, 2, 3, 5]),
                (5, &[0, 1, 2, 3, 4]),
            ],
        },
        Row {
            name: "seal_step",
            call: &|a| unsafe {
                let (affinity, using, summary) = (a[0].at.cast(), a[1].at.cast(), a[2].at.cast());
                let (sealer, chunk, len) = (a[3].at.cast(), bytes!(a[4]), a[4].len);
                let piece = a[5].at.cast();
                tokenpin_affinity_seal_step(affinity, using, summary, 1, sealer, chunk, len, piece)
            },
            params: vec![
                the_affinity,
                using,
                source,
                sealer,
                read(&document),
                out::<tokenpin_piece>(),
            ],
            apart: &[(3, &[0, 1, 2, 4, 5]), (5, &[0, 1, 2, 3, 4])],
        },
        Row {
            name: "seal_end",
            call: &|a| unsafe {
                let (affinity, using, summary) = (a[0].at.cast(), a[1].at.cast(), a[2].at.cast());
                let (sealer, piece) = (a[3].at.cast(), a[4].at.cast());
                tokenpin_affinity_seal_end(affinity, using, summary, 1, sealer, piece)
            },
            params: vec![the_affinity, using, source, sealer, out::<tokenpin_piece>()],
            apart: &[(3, &[0, 1, 2, 4]), (4, &[0, 1, 2, 3])],
        },
        Row {
            name: "seal_target",
            call: &|a| unsafe {
                let (affinity, using, summary) = (a[0].at.cast(), a[1].at.cast(), a[2].at.cast());
                let (text, len) = (bytes!(a[3]), a[3].len);
                let (to, room, needed) = (a[4].at.cast(), a[4].len, a[5].at.cast());
                tokenpin_affinity_seal_target(
                    affinity, using, summary, 1, text, len, to, room, needed,
                )
            },
            params: vec![the_affinity, using, source, read(&target), room(), out::<usize>()],
            apart: &[(4, &[0, 1, 2, 3]), (5, &[0, 1, 2, 3])],
        },
        Row {
            name: "id_key",
            call: &|a| unsafe { tokenpin_affinity_id_key(a[0].at.cast(), 5, a[1].at.cast()) },
            params: vec![the_affinity, out::<tokenpin_bytes>()],
            apart: &[(1, &[0])],
        },
    ];
    for mut row in rows {
        row.faults();
    }
    unsafe { tokenpin_affinity_free(affinity) };
}
