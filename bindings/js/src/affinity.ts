import * as a from './arguments.js';
import type { Strategy } from './enums.js';
import {
  Answer,
  ForeignSeals,
  type Group,
  IdOwner,
  IdVerdict,
  KeyKind,
  KeyReason,
  type Mode,
  Outcome,
  PinState,
  Policy,
  Refusal,
  SameSite,
  Source,
  Verdict,
} from './enums.js';
import { IdOpener, IdSealer, type OpenerOptions, type SealerOptions } from './ids.js';
import * as layout from './layout.js';
import { COOKIE_VALUE_LEN, MAX_SET_COOKIE } from './limits.js';
import * as m from './memory.js';
import { STRATEGIES } from './select.js';
import type { Bytes, Classification, RingKey, Rule, Slot, SlotStatus } from './types.js';

const U32 = 0xffffffff;
const SAME_SITES = Object.values(SameSite);
const POLICIES = Object.values(Policy);
const OWNERS = Object.values(IdOwner);
const FOREIGN = Object.values(ForeignSeals);
const KEY_KINDS = Object.values(KeyKind);
const SOURCES = Object.values(Source);
const OUTCOMES = Object.values(Outcome);
const PIN_STATES = Object.values(PinState);
const VERDICTS = Object.values(Verdict);
const ID_VERDICTS = Object.values(IdVerdict);
const KEY_REASONS = Object.values(KeyReason);
const REFUSALS = Object.values(Refusal);
const ANSWERS = Object.values(Answer);

/**
 * The input of an affinity. docs/spec/decision.md says what each setting means.
 */
export interface Config {
  /** The accounts, at the numbers that decisions name; null is room to grow. */
  slots: readonly Slot[];
  /** 16 random bytes, the same on all replicas, which decide where keys go. */
  placementKey: Uint8Array;
  /** 1 to 8 keys, exactly one of which signs. */
  cookieKeys: readonly RingKey[];
  /** The strategy that selects a slot; `jump` by default. */
  strategy?: Strategy;
  /** The scope of requests that have none. */
  scope?: Bytes;
  /** The cookie's name; by default, that of the request's scope. */
  cookieName?: Bytes | null;
  /** `Path`; `/` by default. */
  path?: Bytes;
  /** `Domain`; none by default. */
  domain?: Bytes;
  /** `Secure`; on by default. */
  secure?: boolean;
  /** `HttpOnly`; on by default. */
  httpOnly?: boolean;
  /** `SameSite`; `lax` by default. */
  sameSite?: SameSite;
  /** `Partitioned`; off by default. */
  partitioned?: boolean;
  /**
   * `Max-Age` in seconds, 0 for a session cookie; by default, as long as the cookie can be
   * valid.
   */
  maxAge?: number | null;
  /** Tolerance for clocks that run ahead, in seconds; 300 by default. */
  skew?: number;
  /** The longest life of a cookie in seconds, 0 for no limit; 30 days by default. */
  maxLife?: number;
  /** The longest time between refreshes in seconds; no limit by default. */
  maxIdle?: number;
  /**
   * For requests that name existing state, where the pinned account is down; `fail_fast` by
   * default.
   */
  policyExisting?: Policy;
  /** For all others; `fallback_and_update` by default. */
  policyNew?: Policy;
  /** Use consumer and session key together if a request has both. */
  combineKeys?: boolean;
  /** Reject a request whose key cannot be used, instead of trying the next source. */
  rejectBadKeys?: boolean;
  /** Give cookies to sessions that have a key. */
  keyedCookies?: boolean;
  /** Mint cookies also if only one slot holds an account. */
  mintSingle?: boolean;
  /**
   * The first and the last response status on which a cookie is set; 200 to 299 by default.
   */
  success?: readonly [number, number];
  /** The configuration's own classification rules, in front of the default ones. */
  rules?: readonly Rule[];
  /** Leave the default rules out. */
  replaceRules?: boolean;
  /** Give affinity to the prompt-cache group too. */
  promptCache?: boolean;
  /** The treatment of ids; nothing (`off`) by default. */
  idMode?: Mode;
  /** The keys that seal ids, at most 8; the cookie keys by default. */
  idKeys?: readonly RingKey[];
  /** The owner of a sealed id; `none` by default. */
  idOwner?: IdOwner;
  /** The treatment of another gateway's ids; `auto` by default. */
  foreignSeals?: ForeignSeals;
  /** Mark encrypted content; on by default. */
  encryptedContent?: boolean;
  /** Keys that are read for ids, in addition to those of the table. */
  idFields?: readonly { name: Bytes; kind?: KeyKind }[];
  /** Prefixes of ids that are sealed, in addition to those of the table. */
  idPrefixes?: readonly Bytes[];
  /** Segments of a path that an id follows, in addition to those of the table. */
  idCollections?: readonly Bytes[];
}

/** One value of a header, or several. */
export type Values = Bytes | readonly Bytes[];

/** A request, as far as the decision depends on it. */
export interface Request {
  /** The method; `CONNECT` for a WebSocket handshake. */
  method?: Bytes;
  /** The target as the client sent it, such as `/v1/responses?x=1`. */
  target?: Bytes;
  /** The `Cookie` fields. */
  cookies?: Values;
  /** The values of the consumer header. */
  consumer?: Values;
  /** True if those come from a source that may name consumers. */
  consumerTrusted?: boolean;
  /** The values of the session header. */
  session?: Values;
  /** The group of the API; by default, method and target are classified. */
  group?: Group | null;
  /** True if the request names existing state, where only you can know that. */
  existing?: boolean;
  /** The opener of the request's ids. */
  ids?: IdOpener | null;
  /** A cookie's value that came in a separate header. */
  carrierValue?: Bytes;
  /**
   * True if the answer is returned in that header; implied if `carrierValue` is not empty.
   */
  carrier?: boolean;
  /** The set of accounts that the request is about; the configured one by default. */
  scope?: Bytes;
  /** The slots that this request has tried already. */
  tried?: readonly number[];
  /** The wall clock in unix seconds; the system's by default. */
  now?: number;
  /** 16 random bytes; the system's by default. */
  entropy?: Uint8Array;
  /** 16 bytes of `Affinity.idHint`, which become the id of a new session. */
  idHint?: Uint8Array | null;
}

/** The result of `finish`. */
export interface Finished {
  /** The kind of answer: `nothing`, `set_cookie` or `carrier`. */
  readonly answer: Answer;
  /** The value of `Set-Cookie`, or of the carrier header. */
  readonly text: string;
}

const NOTHING: Finished = Object.freeze({ answer: 'nothing', text: '' });

function byte(at: number): number {
  return m.u8[at] as number;
}

/**
 * The answer to a request. It is plain data, good until its affinity's configuration is another
 * one.
 */
export class Decision {
  /** The slot whose account serves; null if none does. */
  readonly slot: number | null;
  /** The source of the affinity. */
  readonly source: Source;
  /** The outcome of the decision. */
  readonly outcome: Outcome;
  /** The state of the pinned account. */
  readonly pinState: PinState;
  /** The verdict on the cookie. */
  readonly verdict: Verdict;
  /** The verdict on the request's ids. */
  readonly idVerdict: IdVerdict;
  /**
   * The key that names the account or is refused, of a conflict both, by number: `Affinity.idKey`
   * spells it.
   */
  readonly idKeys: readonly [number | null, number | null];
  /** The reason why a key is not used, or `ok`. */
  readonly keyReason: KeyReason;
  /** True if valid cookies carry different ids. */
  readonly ambiguous: boolean;
  /** True if the request names existing state. */
  readonly existing: boolean;
  /** True if the request may be sent to another account when this one refuses it. */
  readonly mayMove: boolean;
  /**
   * The seconds until the first slot that could serve is up again, for `Retry-After`; 0 for
   * unknown.
   */
  readonly retryAfter: number;
  /** True if a cookie is set on success. */
  readonly setsCookie: boolean;
  /** True if it goes in the carrier header. */
  readonly carrier: boolean;
  /** Its `Max-Age`. */
  readonly maxAge: number;
  /** Its value; null if there is none. */
  readonly cookieValue: string | null;
  /** The refusal to answer with if no slot serves; else `none`. */
  readonly refusal: Refusal;
  /** The HTTP status of the refusal; else 200. */
  readonly refusalStatus: number;
  readonly #low: number;
  readonly #high: number;
  /** The suffix of the cookie's name; -1 for none. */
  readonly #suffix: number;

  private constructor(at: number, refusal: number) {
    const D = layout.DECISION;
    const slot = m.u32[(at + D.slot) >> 2] as number;
    this.slot = slot === layout.SLOT_NONE ? null : slot;
    this.source = SOURCES[byte(at + D.source)] as Source;
    this.outcome = OUTCOMES[byte(at + D.outcome)] as Outcome;
    this.pinState = PIN_STATES[byte(at + D.pinState)] as PinState;
    this.verdict = VERDICTS[byte(at + D.verdict)] as Verdict;
    this.idVerdict = ID_VERDICTS[byte(at + D.idVerdict)] as IdVerdict;
    this.idKeys = a.idKeys(at + D.idKeys);
    this.keyReason = KEY_REASONS[byte(at + D.keyReason)] as KeyReason;
    this.ambiguous = byte(at + D.ambiguous) === 1;
    this.existing = byte(at + D.existing) === 1;
    this.mayMove = byte(at + D.mayMove) === 1;
    this.retryAfter = m.u32[(at + D.retryAfter) >> 2] as number;
    this.setsCookie = byte(at + D.cookie) === 1;
    this.carrier = byte(at + D.carrier) === 1;
    this.maxAge = m.u32[(at + D.maxAge) >> 2] as number;
    this.cookieValue = this.setsCookie ? m.text(at + D.value, COOKIE_VALUE_LEN) : null;
    this.refusal = REFUSALS[refusal & 0xff] as Refusal;
    this.refusalStatus = refusal >> 8;
    this.#low = m.u32[(at + D.fingerprint) >> 2] as number;
    this.#high = m.u32[(at + D.fingerprint + 4) >> 2] as number;
    const suffix = at + D.nameSuffix;
    this.#suffix =
      byte(at + D.hasNameSuffix) === 0
        ? -1
        : (byte(suffix) | (byte(suffix + 1) << 8) | (byte(suffix + 2) << 16)) + byte(suffix + 3) * 16777216;
  }

  /** @internal */
  static read(at: number, refusal: number): Decision {
    return new Decision(at, refusal);
  }

  /** The state that `finish` needs. @internal */
  write(at: number): void {
    const { u8, u32 } = m;
    const D = layout.DECISION;
    u32[(at + D.fingerprint) >> 2] = this.#low;
    u32[(at + D.fingerprint + 4) >> 2] = this.#high;
    u32[(at + D.maxAge) >> 2] = this.maxAge;
    u8[at + D.cookie] = this.setsCookie ? 1 : 0;
    u8[at + D.carrier] = this.carrier ? 1 : 0;
    u8[at + D.hasNameSuffix] = this.#suffix < 0 ? 0 : 1;
    for (let i = 0; i < 4; i++) u8[at + D.nameSuffix + i] = this.#suffix / 256 ** i;
    const value = this.cookieValue;
    for (let i = 0; i < COOKIE_VALUE_LEN; i++) u8[at + D.value + i] = value === null ? 65 : value.charCodeAt(i);
  }

  /** The fingerprint of the configuration that decided. */
  get fingerprint(): bigint {
    return (BigInt(this.#high) << 32n) | BigInt(this.#low);
  }
}

function putConfig(config: Config): number {
  a.known(config, CONFIG_NAMES, 'config');
  const C = layout.CONFIG;
  const at = m.room(C.sizeof);
  m.check(m.wasm.tokenpin_config_init(at, C.sizeof));

  const bytes = (field: number, value: Bytes | null | undefined, what: string) => {
    if (value !== undefined && value !== null) m.putBytes(at + field, value, what);
  };
  const flag = (field: number, value: boolean | undefined, what: string) => {
    if (value !== undefined) m.u8[at + field] = m.flag(value, what);
  };
  const name = (field: number, values: readonly string[], value: string | undefined, what: string) => {
    if (value !== undefined) m.u8[at + field] = m.number(values, value, what);
  };
  const seconds = (field: number, value: number | null | undefined, what: string) => {
    if (value !== undefined && value !== null) m.u32[(at + field) >> 2] = m.whole(value, U32, what);
  };
  const all = (field: number, count: number, of: number) => {
    m.u32[(at + field) >> 2] = of;
    m.u32[(at + field + 4) >> 2] = count;
  };

  const slots = a.list(config.slots, 'slots');
  const slotsAt = m.room(slots.length * layout.SLOT_CONFIG.sizeof);
  for (let i = 0; i < slots.length; i++) {
    a.putSlot(slotsAt + i * layout.SLOT_CONFIG.sizeof, slots[i] as Slot, `slots[${i}]`);
  }
  all(C.slots, slots.length, slotsAt);
  const ring = (field: number, keys: readonly RingKey[], what: string) =>
    all(field, a.list(keys, what).length, a.putRing(keys, what));
  ring(C.cookieKeys, config.cookieKeys, 'cookieKeys');
  ring(C.idKeys, config.idKeys ?? [], 'idKeys');
  const rules = a.list(config.rules ?? [], 'rules');
  all(C.rules, rules.length, a.putRules(rules));
  const words = (field: number, values: readonly Bytes[], what: string) =>
    all(field, a.list(values, what).length, m.putList(values, what));
  words(C.idPrefixes, config.idPrefixes ?? [], 'idPrefixes');
  words(C.idCollections, config.idCollections ?? [], 'idCollections');
  const fields = a.list(config.idFields ?? [], 'idFields');
  const fieldsAt = m.room(fields.length * layout.ID_FIELD.sizeof);
  for (let i = 0; i < fields.length; i++) {
    const what = `idFields[${i}]`;
    const field = fields[i] as { name: Bytes; kind?: KeyKind };
    a.known(field, ID_FIELD, what);
    const into = fieldsAt + i * layout.ID_FIELD.sizeof;
    m.putBytes(into + layout.ID_FIELD.name, field.name, `${what}.name`);
    m.set8(into + layout.ID_FIELD.kind, m.number(KEY_KINDS, field.kind ?? 'id', `${what}.kind`));
  }
  all(C.idFields, fields.length, fieldsAt);

  const placement = m.putExactly(config.placementKey, 16, 'placementKey');
  m.u8.copyWithin(at + C.placementKey, placement, placement + 16);
  bytes(C.scope, config.scope, 'scope');
  bytes(C.cookieName, config.cookieName, 'cookieName');
  bytes(C.attributes + layout.ATTRIBUTES.path, config.path, 'path');
  bytes(C.attributes + layout.ATTRIBUTES.domain, config.domain, 'domain');
  flag(C.attributes + layout.ATTRIBUTES.secure, config.secure, 'secure');
  flag(C.attributes + layout.ATTRIBUTES.httpOnly, config.httpOnly, 'httpOnly');
  name(C.attributes + layout.ATTRIBUTES.sameSite, SAME_SITES, config.sameSite, 'sameSite');
  flag(C.attributes + layout.ATTRIBUTES.partitioned, config.partitioned, 'partitioned');
  seconds(C.maxAge, config.maxAge, 'maxAge');
  seconds(C.skew, config.skew, 'skew');
  seconds(C.maxLife, config.maxLife, 'maxLife');
  seconds(C.maxIdle, config.maxIdle, 'maxIdle');
  if (config.success !== undefined) {
    const [first, last] = a.list(config.success, 'success');
    m.u16[(at + C.successFirst) >> 1] = m.whole(first as number, 0xffff, 'success[0]');
    m.u16[(at + C.successLast) >> 1] = m.whole(last as number, 0xffff, 'success[1]');
  }
  name(C.strategy, STRATEGIES, config.strategy, 'strategy');
  name(C.policyExisting, POLICIES, config.policyExisting, 'policyExisting');
  name(C.policyNew, POLICIES, config.policyNew, 'policyNew');
  flag(C.combineKeys, config.combineKeys, 'combineKeys');
  flag(C.rejectBadKeys, config.rejectBadKeys, 'rejectBadKeys');
  flag(C.keyedCookies, config.keyedCookies, 'keyedCookies');
  flag(C.mintSingle, config.mintSingle, 'mintSingle');
  flag(C.promptCache, config.promptCache, 'promptCache');
  flag(C.replaceRules, config.replaceRules, 'replaceRules');
  name(C.idMode, a.MODES, config.idMode, 'idMode');
  name(C.idOwner, OWNERS, config.idOwner, 'idOwner');
  name(C.foreignSeals, FOREIGN, config.foreignSeals, 'foreignSeals');
  flag(C.encryptedContent, config.encryptedContent, 'encryptedContent');
  return at;
}

const ID_FIELD = new Set(['name', 'kind']);
const CONFIG_NAMES = new Set([
  ...Object.keys(layout.CONFIG).filter((name) => !/^(size|sizeof|attributes|success.*|.*Count)$/.test(name)),
  ...Object.keys(layout.ATTRIBUTES).filter((name) => name !== 'sizeof'),
  'success',
]);

function values(given: Values): readonly Bytes[] | null {
  return typeof given === 'string' || given instanceof Uint8Array ? null : given;
}

/** Puts the values of a header, and where they are into the request. */
function putValues(into: number, given: Values, what: string): void {
  const several = values(given);
  if (several !== null) {
    const list = m.putList(a.list(several, what), what);
    m.u32[into >> 2] = list;
    m.u32[(into >> 2) + 1] = m.length;
    return;
  }
  const list = m.room(layout.BYTES.sizeof);
  m.putBytes(list, given as Bytes, what);
  m.u32[into >> 2] = list;
  m.u32[(into >> 2) + 1] = 1;
}

// ---- Random numbers, in one go for many requests.

const pool = new Uint32Array(1024);
let used = pool.length;

function putRandom(at: number): void {
  if (used === pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  for (let i = 0; i < 4; i++) m.u32[(at >> 2) + i] = pool[used++] as number;
}

/**
 * One checked configuration at work, immutable except for the state, weight and until of its slots.
 * `close` wipes its keys; one that no one refers to any more is closed when it is collected.
 */
export class Affinity {
  readonly #owned: a.Owned;
  /** The number of slots, vacant ones included. */
  readonly length: number;
  /** The treatment of ids. */
  readonly idMode: Mode;

  constructor(config: Config) {
    const mark = m.enter();
    try {
      const [size, handle, error] = [m.room(4), m.room(4), m.room(layout.CONFIG_ERROR.sizeof)];
      const made = putConfig(config);
      m.u32[(error + layout.CONFIG_ERROR.status) >> 2] = 0;
      a.checkConfig(m.wasm.tokenpin_affinity_size(made, size, error), error);
      const bytes = m.u32[size >> 2] as number;
      const block = m.allocate(bytes);
      const status = m.wasm.tokenpin_affinity_init(block, bytes, made, handle, error);
      if (status !== 0) m.release(block, bytes);
      a.checkConfig(status, error);
      this.length = m.u32[(made + layout.CONFIG.slotCount) >> 2] as number;
      this.idMode = a.MODES[m.u8[made + layout.CONFIG.idMode] as number] as Mode;
      // The handle is the block.
      this.#owned = new a.Owned(this, block, bytes, m.wasm.tokenpin_affinity_wipe);
    } finally {
      m.leaveWiped(mark);
    }
  }

  /** Asked for behind the arguments, whose getters may have closed it. @internal */
  get at(): number {
    return this.#owned.at;
  }

  /** Decides which account serves a request. */
  decide(request: Request = {}): Decision {
    const mark = m.enter();
    try {
      const decision = m.room(layout.DECISION.sizeof);
      const made = putRequest(request);
      m.check(m.wasm.tokenpin_affinity_decide(this.#owned.at, made, decision));
      let refusal = 200 << 8;
      if (m.u32[(decision + layout.DECISION.slot) >> 2] === layout.SLOT_NONE) {
        m.check(m.wasm.tokenpin_decision_refusal(decision, made, made + 2));
        refusal = ((m.u16[made >> 1] as number) << 8) | (m.u8[made + 2] as number);
      }
      return Decision.read(decision, refusal);
    } finally {
      m.leave(mark);
    }
  }

  /** Returns the cookie or the carrier's value for a response of this status. */
  finish(decision: Decision, status: number): Finished {
    if (!(decision instanceof Decision)) throw new TypeError('decision must be a Decision');
    m.whole(status, 0xffff, 'status');
    const mark = m.enter();
    try {
      const at = m.room(layout.DECISION.sizeof);
      decision.write(at);
      const [length, answer, buffer] = [m.room(4), m.room(1), m.room(MAX_SET_COOKIE)];
      m.check(m.wasm.tokenpin_affinity_finish(this.#owned.at, at, status, buffer, MAX_SET_COOKIE, length, answer));
      const kind = m.u8[answer] as number;
      if (kind === 0) return NOTHING;
      return { answer: ANSWERS[kind] as Answer, text: m.text(buffer, m.u32[length >> 2] as number) };
    } finally {
      m.leave(mark);
    }
  }

  /** State, weight and until of a slot. */
  getSlot(slot: number): SlotStatus {
    return this.#read(slot, (status) => a.readStatus(status));
  }

  /** The identity hash of the account in a slot; null if it is vacant. */
  pin(slot: number): bigint | null {
    return this.#read(slot, (status, hash) => (a.readStatus(status).state === 'vacant' ? null : m.bits(hash)));
  }

  #read<T>(slot: number, then: (status: number, hash: number) => T): T {
    m.whole(slot, U32, 'slot');
    const mark = m.enter();
    try {
      const [status, hash] = [m.room(layout.SLOT_STATUS.sizeof), m.room(8)];
      m.check(m.wasm.tokenpin_affinity_get_slot(this.#owned.at, slot, status, hash));
      return then(status, hash);
    } finally {
      m.leave(mark);
    }
  }

  /**
   * Changes state, weight and until of a slot. What is not said is that of a new slot: give what
   * `getSlot` gave to keep it.
   */
  setSlot(slot: number, status: Partial<SlotStatus>): void {
    m.whole(slot, U32, 'slot');
    const mark = m.enter();
    try {
      const made = m.room(layout.SLOT_STATUS.sizeof);
      a.known(status, a.STATUS, 'status');
      a.putStatus(made, status, 'status');
      m.check(m.wasm.tokenpin_affinity_set_slot(this.#owned.at, slot, made));
    } finally {
      m.leave(mark);
    }
  }

  /** The slot of an account; null if it is not in the set. */
  find(identity: Bytes): number | null {
    const mark = m.enter();
    try {
      const slot = m.room(4);
      const at = m.put(identity, 'identity');
      m.check(m.wasm.tokenpin_affinity_find(this.#owned.at, at, m.length, slot));
      const found = m.u32[slot >> 2] as number;
      return found === layout.SLOT_NONE ? null : found;
    } finally {
      m.leave(mark);
    }
  }

  /** The name of a scope's cookie. */
  cookieName(scope: Bytes = ''): string {
    const mark = m.enter();
    try {
      const [length, buffer] = [m.room(4), m.room(256)];
      const at = m.put(scope, 'scope');
      m.check(m.wasm.tokenpin_affinity_cookie_name(this.#owned.at, at, m.length, buffer, 256, length));
      return m.text(buffer, m.u32[length >> 2] as number);
    } finally {
      m.leave(mark);
    }
  }

  /**
   * 16 bytes for `Request.idHint`, from 1 to 4096 bytes that belong to one client and to no one
   * else.
   */
  idHint(of: Bytes): Uint8Array {
    const mark = m.enter();
    try {
      const hint = m.room(16);
      const at = m.put(of, 'of');
      m.check(m.wasm.tokenpin_affinity_id_hint(this.#owned.at, at, m.length, hint));
      return m.u8.slice(hint, hint + 16);
    } finally {
      m.leave(mark);
    }
  }

  /** Classifies a request by the configured table. */
  classify(method: Bytes, target: Bytes): Classification {
    const mark = m.enter();
    try {
      const out = m.room(3);
      const [method_, length] = [m.put(method, 'method'), m.length];
      const at = m.put(target, 'target');
      m.check(m.wasm.tokenpin_affinity_classify(this.#owned.at, method_, length, at, m.length, out, out + 1, out + 2));
      return a.classification(out);
    } finally {
      m.leave(mark);
    }
  }

  /** The owner of a request's ids: its consumer if ids belong to consumers, else empty. */
  idOwner(consumer: Values, consumerTrusted: boolean): Uint8Array {
    const mark = m.enter();
    try {
      const owner = m.room(layout.BYTES.sizeof);
      const request = putRequest({ consumer, consumerTrusted, now: 0, entropy: ZERO });
      m.check(m.wasm.tokenpin_affinity_id_owner(this.#owned.at, request, owner));
      const at = m.u32[owner >> 2] as number;
      return m.u8.slice(at, at + (m.u32[(owner >> 2) + 1] as number));
    } finally {
      m.leave(mark);
    }
  }

  /** The name of a key of the table of ids, by its number. */
  idKey(key: number): string {
    m.whole(key, 255, 'key');
    const mark = m.enter();
    try {
      const name = m.room(layout.BYTES.sizeof);
      m.check(m.wasm.tokenpin_affinity_id_key(this.#owned.at, key, name));
      return m.text(m.u32[name >> 2] as number, m.u32[(name >> 2) + 1] as number);
    } finally {
      m.leave(mark);
    }
  }

  /**
   * Opens the ids of a request: those of its target immediately, those of its body as it is given.
   */
  opener(target: string, options: OpenerOptions): IdOpener<string>;
  opener(target: Uint8Array, options: OpenerOptions): IdOpener<Uint8Array>;
  opener(target: Bytes, options: OpenerOptions): IdOpener {
    return new IdOpener(this, target, options);
  }

  /** Seals the ids of a response of the account in a slot. */
  sealer(slot: number, options: SealerOptions): IdSealer {
    return new IdSealer(this, slot, options);
  }

  /** The fingerprint of the configuration. Replicas that show different ones do not agree. */
  get fingerprint(): bigint {
    const mark = m.enter();
    try {
      const hash = m.room(8);
      m.check(m.wasm.tokenpin_affinity_fingerprint(this.#owned.at, hash));
      return m.bits(hash);
    } finally {
      m.leave(mark);
    }
  }

  /** The fingerprint of states and weights at a unix second; now, if none is given. */
  liveFingerprint(now: number = unixNow()): bigint {
    m.whole(now, Number.MAX_SAFE_INTEGER, 'now');
    const mark = m.enter();
    try {
      const hash = m.room(8);
      m.check(m.wasm.tokenpin_affinity_live_fingerprint(this.#owned.at, BigInt(now), hash));
      return m.bits(hash);
    } finally {
      m.leave(mark);
    }
  }

  /** Wipes the keys and releases the memory. Later calls throw. */
  close(): void {
    this.#owned.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const ZERO = new Uint8Array(16);

function unixNow(): number {
  return Math.floor(Date.now() / 1000);
}

function putRequest(request: Request): number {
  const R = layout.REQUEST;
  const { method, target, cookies, consumer, session, group, ids, carrierValue, scope, tried, now, entropy, idHint } =
    request;
  const { existing, consumerTrusted: trusted, carrier } = request;
  const at = m.room(R.sizeof);
  m.u32.fill(0, at >> 2, (at + R.sizeof) >> 2);
  if (method !== undefined) m.putBytes(at + R.method, method, 'method');
  if (target !== undefined) m.putBytes(at + R.target, target, 'target');
  if (consumer !== undefined) putValues(at + R.consumers, consumer, 'consumer');
  if (session !== undefined) putValues(at + R.sessions, session, 'session');
  if (cookies !== undefined) putValues(at + R.cookies, cookies, 'cookies');
  if (carrierValue !== undefined) m.putBytes(at + R.carrierValue, carrierValue, 'carrierValue');
  if (scope !== undefined) m.putBytes(at + R.scope, scope, 'scope');
  if (ids !== undefined && ids !== null) {
    if (!(ids instanceof IdOpener)) throw new TypeError('ids must be an IdOpener');
    m.u32[(at + R.ids) >> 2] = ids.putSummary();
  }
  if (tried !== undefined && a.list(tried, 'tried').length > 0) {
    const list = a.putTried(tried);
    m.u32[(at + R.tried) >> 2] = list;
    m.u32[(at + R.triedCount) >> 2] = tried.length;
  }
  m.putNumber(at + R.now, now === undefined ? unixNow() : now, 'now');
  if (entropy === undefined) {
    putRandom(at + R.entropy);
  } else {
    const from = m.putExactly(entropy, 16, 'entropy');
    m.u8.copyWithin(at + R.entropy, from, from + 16);
  }
  if (idHint !== undefined && idHint !== null) {
    const hint = m.putExactly(idHint, 16, 'idHint');
    m.u32[(at + R.idHint) >> 2] = hint;
  }
  if (group !== undefined && group !== null) {
    m.u8[at + R.hasGroup] = 1;
    m.u8[at + R.group] = m.number(a.GROUPS, group, 'group');
  }
  if (existing !== undefined) m.u8[at + R.existing] = m.flag(existing, 'existing');
  if (trusted !== undefined) m.u8[at + R.consumerTrusted] = m.flag(trusted, 'consumerTrusted');
  if (carrier !== undefined) m.u8[at + R.carrier] = m.flag(carrier, 'carrier');
  return at;
}
