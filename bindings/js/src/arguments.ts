// The arguments that several parts take, and how they become structures of the C interface.

import { Field, Group, Ids, Kind, Mode, Role, State } from './enums.js';
import { ConfigError } from './errors.js';
import * as layout from './layout.js';
import { MAX_WEIGHT } from './limits.js';
import * as m from './memory.js';
import type { Classification, Key, RingKey, Rule, Slot, SlotStatus } from './types.js';

export const KINDS = Object.values(Kind);
export const STATES = Object.values(State);
export const GROUPS = Object.values(Group);
export const MODES = Object.values(Mode);
export const IDS = Object.values(Ids);
const ROLES = Object.values(Role);
const FIELDS = Object.values(Field);

const U32 = 0xffffffff;

/** Refuses names that an object does not have, so that a misspelt one is not ignored. */
export function known(given: object, names: ReadonlySet<string>, what: string): void {
  if (typeof given !== 'object' || given === null) throw new TypeError(`${what} must be an object`);
  for (const name of Object.keys(given)) {
    if (!names.has(name)) throw new TypeError(`${what} has no ${name}`);
  }
}

export function list<T>(value: readonly T[], what: string): readonly T[] {
  if (!Array.isArray(value)) throw new TypeError(`${what} must be an array`);
  return value;
}

const RING_KEY = new Set(['id', 'secret', 'role']);

export function putRing(keys: readonly RingKey[], what: string): number {
  const { id, role, secret, sizeof } = layout.COOKIE_KEY;
  const at = m.room(keys.length * sizeof);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as RingKey;
    const name = `${what}[${i}]`;
    known(key, RING_KEY, name);
    const into = at + i * sizeof;
    const from = m.putExactly(key.secret, 16, `${name}.secret`);
    m.set8(into + id, m.whole(key.id, 255, `${name}.id`));
    m.set8(into + role, m.number(ROLES, key.role ?? 'sign', `${name}.role`));
    m.u8.copyWithin(into + secret, from, from + 16);
  }
  return at;
}

export function putKey(key: Key): number {
  const into = m.room(layout.KEY.sizeof);
  if (typeof key !== 'object' || key === null) throw new TypeError('key must be an object');
  m.set8(into + layout.KEY.kind, m.number(KINDS, key.kind, 'key.kind'));
  switch (key.kind) {
    case 'anonymous':
      m.putBytes(into + layout.KEY.key, key.id, 'key.id');
      break;
    case 'session':
      m.putBytes(into + layout.KEY.key, key.session, 'key.session');
      break;
    default:
      m.putBytes(into + layout.KEY.key, key.consumer, 'key.consumer');
      if (key.kind === 'combined') m.putBytes(into + layout.KEY.session, key.session, 'key.session');
  }
  return into;
}

export function putStatus(into: number, status: Partial<SlotStatus>, what: string): void {
  const { state, weight, until } = layout.SLOT_STATUS;
  m.set8(into + state, m.number(STATES, status.state ?? 'up', `${what}.state`));
  m.set32(into + weight, m.whole(status.weight ?? MAX_WEIGHT, U32, `${what}.weight`));
  m.putNumber(into + until, status.until ?? 0, `${what}.until`);
}

export function readStatus(from: number): SlotStatus {
  const { state, weight, until } = layout.SLOT_STATUS;
  return {
    state: STATES[m.u8[from + state] as number] as State,
    weight: m.u32[(from + weight) >> 2] as number,
    until: m.seconds(from + until),
  };
}

export const STATUS = new Set(['state', 'weight', 'until']);
const SLOT = new Set(['identity', ...STATUS]);
const VACANT = { state: State.VACANT, weight: 0, until: 0 };

/** A slot's identity and status, where each slot is put by `into`. */
export function putSlot(into: number, slot: Slot, what: string): void {
  const { identity, status } = layout.SLOT_CONFIG;
  const isPlain = typeof slot === 'string' || slot instanceof Uint8Array;
  if (slot !== null && !isPlain) known(slot, SLOT, what);
  const name = slot === null ? '' : isPlain ? slot : slot.identity;
  m.putBytes(into + identity, name, slot === null || isPlain ? what : `${what}.identity`);
  putStatus(into + status, slot === null ? VACANT : isPlain ? {} : slot, what);
}

export function putTried(tried: readonly number[]): number {
  const at = m.room(tried.length * 4);
  for (let i = 0; i < tried.length; i++) m.set32(at + 4 * i, m.whole(tried[i] as number, U32, 'tried'));
  return at;
}

const RULE = new Set(['pattern', 'group', 'ids']);

export function putRules(rules: readonly Rule[]): number {
  const { pattern, group, ids, sizeof } = layout.RULE;
  const at = m.room(rules.length * sizeof);
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i] as Rule;
    const what = `rules[${i}]`;
    known(rule, RULE, what);
    const into = at + i * sizeof;
    m.putBytes(into + pattern, rule.pattern, `${what}.pattern`);
    m.set8(into + group, m.number(GROUPS, rule.group ?? 'stateful', `${what}.group`));
    m.set8(into + ids, m.number(IDS, rule.ids ?? 'none', `${what}.ids`));
  }
  return at;
}

/** Throws what a configuration was refused for. */
export function checkConfig(status: number, error: number): void {
  if (status === 0) return;
  const { status: why, field, index } = layout.CONFIG_ERROR;
  const { status: name, text, number } = m.failure(m.u32[(error + why) >> 2] || status);
  throw new ConfigError(
    name,
    text,
    number,
    FIELDS[m.u32[(error + field) >> 2] as number] ?? Field.CONFIG,
    m.seconds(error + index),
  );
}

/** Memory that is released when its owner is collected, if it was not closed. */
export class Owned {
  static readonly #registry = new FinalizationRegistry<Owned>((owned) => owned.free());
  #block: number;
  readonly #wipe: (block: number) => void;

  constructor(
    owner: object,
    block: number,
    readonly size: number,
    wipe: (block: number) => void,
  ) {
    this.#block = block;
    this.#wipe = wipe;
    Owned.#registry.register(owner, this, this);
  }

  /** The address. Throws if it was closed. */
  get at(): number {
    if (this.#block === 0) throw m.failure(7);
    return this.#block;
  }

  close(): void {
    Owned.#registry.unregister(this);
    this.free();
  }

  private free(): void {
    if (this.#block === 0) return;
    this.#wipe(this.#block);
    m.release(this.#block, this.size);
    this.#block = 0;
  }
}

const NO_KEYS: readonly [number | null, number | null] = Object.freeze([null, null]);

/** The numbers of two keys of the table of ids.  */
export function idKeys(at: number): readonly [number | null, number | null] {
  const [first, second] = [m.u8[at] as number, m.u8[at + 1] as number];
  if (first === layout.ID_KEY_NONE && second === layout.ID_KEY_NONE) return NO_KEYS;
  const key = (number: number) => (number === layout.ID_KEY_NONE ? null : number);
  return [key(first), key(second)];
}

export function classification(out: number): Classification {
  return {
    group: GROUPS[m.u8[out] as number] as Group,
    existing: m.u8[out + 1] === 1,
    ids: IDS[m.u8[out + 2] as number] as Ids,
  };
}

/** A ring of keys in its own block. */
export function ringOf(
  owner: object,
  keys: readonly RingKey[],
  placementKey: Uint8Array | undefined,
  size: number,
  kind: 'tokenpin_key_ring' | 'tokenpin_id_ring',
): Owned {
  const mark = m.enter();
  try {
    const error = m.room(layout.CONFIG_ERROR.sizeof);
    const made = putRing(list(keys, 'keys'), 'keys');
    const placement = placementKey === undefined ? 0 : m.putExactly(placementKey, 16, 'placementKey');
    m.u32[(error + layout.CONFIG_ERROR.status) >> 2] = 0;
    const block = m.allocate(size);
    const status = m.wasm[`${kind}_init`](block, made, keys.length, placement, error);
    if (status !== 0) m.release(block, size);
    checkConfig(status, error);
    return new Owned(owner, block, size, m.wasm[`${kind}_wipe`]);
  } finally {
    m.leaveWiped(mark);
  }
}
