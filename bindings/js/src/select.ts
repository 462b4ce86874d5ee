import * as a from './arguments.js';
import { Strategy } from './enums.js';
import * as layout from './layout.js';
import * as m from './memory.js';
import type { Bytes, Key, Slot, SlotStatus } from './types.js';

export const STRATEGIES = Object.values(Strategy);

/** The jump consistent hash: the bucket, 0 to `buckets` - 1, of a key of 64 bits. */
export function jump(key: bigint, buckets: number): number {
  m.wide(key, 'key');
  m.whole(buckets, 0xffffffff, 'buckets');
  const mark = m.enter();
  const at = m.room(4);
  try {
    m.check(m.wasm.tokenpin_jump(key, buckets, at));
    return m.u32[at >> 2] as number;
  } finally {
    m.leave(mark);
  }
}

/** The identity hash of an account, which is its pin. */
export function identityHash(identity: Bytes): bigint {
  const mark = m.enter();
  try {
    const hash = m.room(8);
    const at = m.put(identity, 'identity');
    m.check(m.wasm.tokenpin_identity_hash(at, m.length, hash));
    return m.bits(hash);
  } finally {
    m.leave(mark);
  }
}

/** The hash of an affinity key, from which selection starts. */
export function keyHash(placementKey: Uint8Array, key: Key, scope: Bytes = ''): bigint {
  const mark = m.enter();
  try {
    const hash = m.room(8);
    const placement = m.putExactly(placementKey, 16, 'placementKey');
    const made = a.putKey(key);
    const at = m.put(scope, 'scope');
    m.check(m.wasm.tokenpin_key_hash(placement, at, m.length, made, hash));
    return m.bits(hash);
  } finally {
    m.leaveWiped(mark);
  }
}

/** The strategy and the candidates of a selection. */
export interface Selection {
  /** `jump` by default. */
  strategy?: Strategy;
  /** Unix seconds, by which cooldowns end; 0 by default. */
  now?: number;
  /** True if the key is an anonymous id: draining slots come last for it. */
  anonymous?: boolean;
  /** The slots that were tried already. */
  tried?: readonly number[];
  /** The key itself, for the strategy `higress_fnv1a_modulo`. */
  key?: Key;
}

/**
 * Slots by themselves, without an affinity. Slots can be changed at any time; `close` gives their
 * memory back.
 */
export class Slots {
  readonly #owned: a.Owned;
  /** The number of slots, vacant ones included. */
  readonly length: number;

  constructor(slots: readonly Slot[]) {
    this.length = a.list(slots, 'slots').length;
    const size = Math.max(1, this.length) * layout.SLOT.sizeof;
    const block = m.allocate(size);
    try {
      for (let i = 0; i < this.length; i++) {
        const slot = slots[i] as Slot;
        const mark = m.enter();
        try {
          const made = m.room(layout.SLOT_CONFIG.sizeof);
          a.putSlot(made, slot, `slots[${i}]`);
          const [ptr, len, status] = [
            m.u32[made >> 2] as number,
            m.u32[(made >> 2) + 1] as number,
            made + layout.SLOT_CONFIG.status,
          ];
          const at = block + i * layout.SLOT.sizeof;
          m.check(
            slot === null ? m.wasm.tokenpin_slot_init_vacant(at) : m.wasm.tokenpin_slot_init(at, ptr, len, status),
          );
        } finally {
          m.leave(mark);
        }
      }
    } catch (error) {
      m.release(block, size);
      throw error;
    }
    this.#owned = new a.Owned(this, block, size, () => {});
  }

  #at(slot: number): number {
    m.whole(slot, 0xffffffff, 'slot');
    if (slot >= this.length) throw m.failure(27);
    return this.#owned.at + slot * layout.SLOT.sizeof;
  }

  /** State, weight and until of a slot. */
  get(slot: number): SlotStatus {
    const at = this.#at(slot);
    const mark = m.enter();
    try {
      const status = m.room(layout.SLOT_STATUS.sizeof);
      m.check(m.wasm.tokenpin_slot_get(at, status));
      return a.readStatus(status);
    } finally {
      m.leave(mark);
    }
  }

  /** Changes state, weight and until of a slot. What is not said is that of a new slot. */
  set(slot: number, status: Partial<SlotStatus>): void {
    const mark = m.enter();
    try {
      const made = m.room(layout.SLOT_STATUS.sizeof);
      a.known(status, a.STATUS, 'status');
      a.putStatus(made, status, 'status');
      m.check(m.wasm.tokenpin_slot_set(this.#at(slot), made));
    } finally {
      m.leave(mark);
    }
  }

  /** The slot that serves the key with this hash; null if none can. */
  select(hash: bigint, selection: Selection = {}): number | null {
    m.wide(hash, 'hash');
    const mark = m.enter();
    try {
      const [selected, filter] = [m.room(4), putFilter(selection)];
      const strategy = m.number(STRATEGIES, selection.strategy ?? 'jump', 'strategy');
      const key = strategy === 2 && selection.key !== undefined ? a.putKey(selection.key) : 0;
      const at = this.#owned.at;
      m.check(
        key !== 0
          ? m.wasm.tokenpin_select_higress(at, this.length, filter, hash, key, selected)
          : m.wasm.tokenpin_select(strategy, at, this.length, filter, hash, selected),
      );
      const slot = m.u32[selected >> 2] as number;
      return slot === layout.SLOT_NONE ? null : slot;
    } finally {
      m.leave(mark);
    }
  }

  /** The slots for many hashes, -1 where none can serve; in `out`, if it is given. */
  selectBatch(hashes: BigUint64Array, selection: Selection = {}, out?: Int32Array): Int32Array {
    if (!(hashes instanceof BigUint64Array)) throw new TypeError('hashes must be a BigUint64Array');
    if (out !== undefined && !(out instanceof Int32Array)) throw new TypeError('out must be an Int32Array');
    if (out !== undefined && out.length !== hashes.length) {
      throw new RangeError(`out must have ${hashes.length} elements, and not ${out.length}`);
    }
    const mark = m.enter();
    try {
      const filter = putFilter(selection);
      const strategy = m.number(STRATEGIES, selection.strategy ?? 'jump', 'strategy');
      const at = this.#owned.at;
      const most = Math.min(hashes.length, BATCH);
      const [given, selected] = [m.room(most * 8), m.room(most * 4)];
      const made = out ?? new Int32Array(hashes.length);
      for (let i = 0; i === 0 || i < hashes.length; i += BATCH) {
        const count = Math.min(BATCH, hashes.length - i);
        new BigUint64Array(m.u8.buffer, given, count).set(hashes.subarray(i, i + count));
        m.check(m.wasm.tokenpin_select_batch(strategy, at, this.length, filter, given, count, selected));
        made.set(new Int32Array(m.u8.buffer, selected, count), i);
      }
      return made;
    } finally {
      m.leave(mark);
    }
  }

  /** Releases the memory. Later calls throw. */
  close(): void {
    this.#owned.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const BATCH = 2048;

function putFilter(selection: Selection): number {
  const { now, tried, triedCount, anonymous, sizeof } = layout.FILTER;
  const slots = a.list(selection.tried ?? [], 'tried');
  const list = a.putTried(slots);
  const into = m.room(sizeof);
  m.putNumber(into + now, selection.now ?? 0, 'now');
  m.u32[(into + tried) >> 2] = list;
  m.u32[(into + triedCount) >> 2] = slots.length;
  m.set8(into + anonymous, m.flag(selection.anonymous ?? false, 'anonymous'));
  return into;
}
