// The memory of the one instance of the module: who has which block, and how arguments get in and
// results out.

import { SENTENCES, type Status } from './enums.js';
import { TokenpinError } from './errors.js';
import { ABI_VERSION, BYTES, type Exports } from './layout.js';
import type { Bytes } from './types.js';

/** The functions of the C interface. @internal */
export let wasm: Exports;
/** The memory. It moves when it grows, which only `grow` brings about; so no one keeps these. */
export let u8: Uint8Array;
export let u16: Uint16Array;
export let u32: Uint32Array;

let heap = 0;
let stack = 0;
let limit = 0;
let base = 0;

/** The imports of the module, which only `tokenpin_affinity_new` and `_free` would call. */
export const IMPORTS = { env: { malloc: () => 0, free: () => {} } };

export function install(instance: WebAssembly.Instance): void {
  wasm = instance.exports as unknown as Exports;
  look();
  const found = wasm.tokenpin_abi_version();
  if (found !== ABI_VERSION) {
    throw new Error(`tokenpin.wasm has version ${found} of the interface, and this package version ${ABI_VERSION}`);
  }
  heap = (Number(wasm.__heap_base.value) + 15) & ~15;
  base = stack = allocate(ARENA);
  limit = base + ARENA;
}

function look(): void {
  u8 = new Uint8Array(wasm.memory.buffer);
  u16 = new Uint16Array(wasm.memory.buffer);
  u32 = new Uint32Array(wasm.memory.buffer);
}

// ---- Blocks, of powers of two, so that a block that was given back fits the next owner.

const given: number[][] = Array.from({ length: 32 }, () => []);

function order(size: number): number {
  if (size > 2 ** 30) throw tooLarge();
  return Math.max(4, 32 - Math.clz32(size - 1));
}

/** A block of at least `size` bytes, aligned to 16. */
export function allocate(size: number): number {
  const power = order(size);
  const before = given[power]?.pop();
  if (before !== undefined) return before;
  const [block, end] = [heap, heap + 2 ** power];
  if (end > u8.length) grow(end);
  heap = end;
  return block;
}

export function release(block: number, size: number): void {
  given[order(size)]?.push(block);
}

function grow(end: number): void {
  try {
    // At least by a quarter, so that views are not made for each block.
    wasm.memory.grow(Math.ceil(Math.max(end - u8.length, u8.length / 4) / 65536));
  } catch {
    throw tooLarge();
  }
  look();
}

function tooLarge(): TokenpinError {
  return failure(8);
}

// ---- A stack for what lives during one call.

const ARENA = 1 << 16;
const spilled: [number, number][] = [];

/**
 * Begins a call: what is put from here on lives until `leave`. Calls may nest, as getters of
 * arguments may call.
 */
export function enter(): number {
  return stack;
}

export function leave(mark: number): void {
  stack = mark;
  if (mark === base) {
    for (let spill = spilled.pop(); spill !== undefined; spill = spilled.pop()) release(...spill);
  }
}

/** Like `leave`, behind arguments that were secret. */
export function leaveWiped(mark: number): void {
  u8.fill(0, mark, stack);
  for (const [block, size] of spilled) u8.fill(0, block, block + size);
  leave(mark);
}

/** That many bytes until `leave`, aligned to 8. */
export function room(size: number): number {
  const at = (stack + 7) & ~7;
  if (at + size <= limit) {
    stack = at + size;
    return at;
  }
  const block = allocate(size);
  spilled.push([block, size]);
  return block;
}

// ---- Arguments in.

const encoder = new TextEncoder();

/** The length of what `put` put last. */
export let length = 0;

/** Puts bytes where the module finds them. They are `length` long. */
export function put(value: Bytes, what: string): number {
  if (typeof value === 'string') {
    const size = value.length;
    if (size <= 256) {
      const at = room(size);
      const memory = u8;
      let i = 0;
      for (; i < size; i++) {
        const code = value.charCodeAt(i);
        if (code > 127) break;
        memory[at + i] = code;
      }
      if (i === size) {
        length = size;
        return at;
      }
    }
    // A UTF-16 unit takes up to three bytes.
    const wide = room(size * 3);
    length = encoder.encodeInto(value, u8.subarray(wide, wide + size * 3)).written;
    return wide;
  }
  if (!(value instanceof Uint8Array)) throw new TypeError(`${what} must be a string or a Uint8Array`);
  const at = room(value.length);
  u8.set(value, at);
  length = value.length;
  return at;
}

/** Puts bytes, and into a `tokenpin_bytes` at `into` where they are. */
export function putBytes(into: number, value: Bytes, what: string): void {
  const at = put(value, what);
  u32[(into + BYTES.ptr) >> 2] = at;
  u32[(into + BYTES.len) >> 2] = length;
}

/** A list of `tokenpin_bytes`. It is `length` long. */
export function putList(values: readonly Bytes[], what: string): number {
  const count = values.length;
  const list = room(count * BYTES.sizeof);
  for (let i = 0; i < count; i++) putBytes(list + i * BYTES.sizeof, values[i] as Bytes, what);
  length = count;
  return list;
}

/** Exactly that many bytes, as a number or a secret has. */
export function putExactly(value: Uint8Array, size: number, what: string): number {
  if (!(value instanceof Uint8Array)) throw new TypeError(`${what} must be a Uint8Array`);
  if (value.length !== size) throw new RangeError(`${what} must have ${size} bytes, and not ${value.length}`);
  return put(value, what);
}

/** A whole number into 64 bits, as two halves. */
export function putNumber(into: number, value: number, what: string): void {
  whole(value, Number.MAX_SAFE_INTEGER, what);
  u32[into >> 2] = value >>> 0;
  u32[(into >> 2) + 1] = value / 4294967296;
}

/**
 * Puts a byte. What a getter gave is worked out before the memory is looked at, which it may have
 * moved.
 */
export function set8(at: number, value: number): void {
  u8[at] = value;
}

/** The same for 32 bits. */
export function set32(at: number, value: number): void {
  u32[at >> 2] = value;
}

/** Checks a whole number. */
export function whole(value: number, most: number, what: string): number {
  if (typeof value !== 'number') throw new TypeError(`${what} must be a number`);
  if (!Number.isInteger(value) || value < 0 || value > most) {
    throw new RangeError(`${what} must be a whole number from 0 to ${most}, and not ${value}`);
  }
  return value;
}

/** Checks a number of 64 bits. */
export function wide(value: bigint, what: string): bigint {
  if (typeof value !== 'bigint') throw new TypeError(`${what} must be a bigint`);
  if (BigInt.asUintN(64, value) !== value) throw new RangeError(`${what} must be from 0 to 2^64 - 1`);
  return value;
}

/** Checks a switch. */
export function flag(value: boolean, what: string): number {
  if (typeof value !== 'boolean') throw new TypeError(`${what} must be a boolean`);
  return value ? 1 : 0;
}

/**
 * The number of a name of an enum, whose values are in the order of their numbers. The error does
 * not show the given one, which may be a secret in the wrong place.
 */
export function number(values: readonly string[], value: string, what: string): number {
  const found = values.indexOf(value);
  if (found < 0) throw new TypeError(`${what} must be one of ${values.join(', ')}`);
  return found;
}

// ---- Results out.

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * Text of the module's own making, which is ASCII, or a client's, where bytes that are no UTF-8 are
 * replaced.
 */
export function text(at: number, size: number): string {
  if (size > 64) return decoder.decode(u8.subarray(at, at + size));
  let made = '';
  for (let i = at; i < at + size; i++) {
    const code = u8[i] as number;
    if (code > 127) return decoder.decode(u8.subarray(at, at + size));
    made += String.fromCharCode(code);
  }
  return made;
}

/** Returns text for text, and bytes for bytes. */
export function like<T extends Bytes>(given: T, at: number, size: number): T {
  return (typeof given === 'string' ? text(at, size) : u8.slice(at, at + size)) as T;
}

/** 64 bits. */
export function bits(at: number): bigint {
  return (BigInt(u32[(at >> 2) + 1] as number) << 32n) | BigInt(u32[at >> 2] as number);
}

/** 64 bits that are below 2^53. */
export function seconds(at: number): number {
  return (u32[(at >> 2) + 1] as number) * 4294967296 + (u32[at >> 2] as number);
}

/** Throws what a status says. */
export function check(status: number): void {
  if (status !== 0) throw failure(status);
}

export function failure(status: number): TokenpinError {
  const [name, sentence] = SENTENCES[status] ?? [`status_${status}` as Status, 'unknown'];
  return new TokenpinError(name, sentence, status);
}
