import * as a from './arguments.js';
import { type Kind, SameSite, Verdict } from './enums.js';
import * as layout from './layout.js';
import { COOKIE_VALUE_LEN, MAX_SET_COOKIE } from './limits.js';
import * as m from './memory.js';
import type { Bytes, Classification, Key, RingKey, Rule } from './types.js';

const U32 = 0xffffffff;
const VERDICTS = Object.values(Verdict);
const SAME_SITES = Object.values(SameSite);

/** The contents of a cookie. */
export interface Cookie {
  kind: Kind;
  /** The anonymous id, 16 bytes; a nonce for the other kinds. */
  id: Uint8Array;
  /** The identity hash of the session's account. */
  pin: bigint;
  /** The first issue, in unix seconds; kept through every refresh. */
  issuedAt: number;
  /** The latest issue, in unix seconds. */
  refreshedAt: number;
}

/** Whose cookies are meant. */
export interface CookiePlace {
  /** The cookie's name. */
  name: Bytes;
  /** The set of accounts, 0 to 1024 bytes. */
  scope?: Bytes;
  /** The affinity key that the cookie is bound to; none for anonymous ones. */
  key?: Key | null;
}

/**
 * When a cookie is read, and how long it is good for, in seconds. 0 switches a limit off, except
 * for skew.
 */
export interface CookieLimits {
  now: number;
  /** The tolerance for clocks that run ahead, in seconds; 300 by default. */
  skew?: number;
  /** The longest life since the first issue; 30 days by default. */
  maxLife?: number;
  /** The longest time since the latest issue; no limit by default. */
  maxIdle?: number;
  /**
   * A fifth of this after its latest issue a cookie is due to be issued again; never by default.
   */
  refreshInterval?: number;
}

/** A cookie that was read: what it says, where its tag was found good. */
export interface Read {
  readonly verdict: Verdict;
  readonly cookie: Cookie | null;
}

/** The keys that sign cookies, without an affinity. `close` wipes them. */
export class KeyRing {
  readonly #owned: a.Owned;

  /** 1 to 8 keys, exactly one of which signs. `placementKey` must not be one of them. */
  constructor(keys: readonly RingKey[], placementKey?: Uint8Array) {
    this.#owned = a.ringOf(this, keys, placementKey, layout.KEY_RING.sizeof, 'tokenpin_key_ring');
  }

  /** The value of a cookie, 67 characters. */
  encode(cookie: Cookie, place: CookiePlace): string {
    const C = layout.COOKIE;
    const mark = m.enter();
    try {
      const [made, value] = [m.room(C.sizeof), m.room(COOKIE_VALUE_LEN)];
      const pin = m.wide(cookie.pin, 'cookie.pin');
      m.u32[(made + C.pin) >> 2] = Number(BigInt.asUintN(32, pin));
      m.u32[(made + C.pin + 4) >> 2] = Number(pin >> 32n);
      m.set32(made + C.issuedAt, m.whole(cookie.issuedAt, U32, 'cookie.issuedAt'));
      m.set32(made + C.refreshedAt, m.whole(cookie.refreshedAt, U32, 'cookie.refreshedAt'));
      m.set8(made + C.kind, m.number(a.KINDS, cookie.kind, 'cookie.kind'));
      const id = m.putExactly(cookie.id, 16, 'cookie.id');
      m.u8.copyWithin(made + C.id, id, id + 16);
      const key = putKey(place.key);
      const [name, nameLength] = [m.put(place.name, 'name'), m.length];
      const scope = m.put(place.scope ?? '', 'scope');
      m.check(m.wasm.tokenpin_cookie_encode(this.#owned.at, name, nameLength, scope, m.length, key, made, value));
      return m.text(value, COOKIE_VALUE_LEN);
    } finally {
      m.leave(mark);
    }
  }

  /** Reads the value of a cookie. A bad one is a verdict, not an error. */
  decode(value: Bytes, place: CookiePlace, limits: CookieLimits): Read {
    const [C, L] = [layout.COOKIE, layout.LIMITS];
    const mark = m.enter();
    try {
      const [made, verdict, limit] = [m.room(C.sizeof), m.room(1), m.room(L.sizeof)];
      m.set32(limit + L.skew, m.whole(limits.skew ?? 300, U32, 'skew'));
      m.set32(limit + L.maxLife, m.whole(limits.maxLife ?? 2592000, U32, 'maxLife'));
      m.set32(limit + L.maxIdle, m.whole(limits.maxIdle ?? 0, U32, 'maxIdle'));
      m.set32(limit + L.refreshInterval, m.whole(limits.refreshInterval ?? 0, U32, 'refreshInterval'));
      m.u8[made + C.kind] = NOT_READ;
      const now = BigInt(m.whole(limits.now, Number.MAX_SAFE_INTEGER, 'now'));
      const key = putKey(place.key);
      const [name, nameLength] = [m.put(place.name, 'name'), m.length];
      const [scope, scopeLength] = [m.put(place.scope ?? '', 'scope'), m.length];
      const at = m.put(value, 'value');
      m.check(
        m.wasm.tokenpin_cookie_decode(
          this.#owned.at,
          name,
          nameLength,
          scope,
          scopeLength,
          key,
          limit,
          now,
          at,
          m.length,
          verdict,
          made,
        ),
      );
      const found = VERDICTS[m.u8[verdict] as number] as Verdict;
      return { verdict: found, cookie: m.u8[made + C.kind] === NOT_READ ? null : readCookie(made) };
    } finally {
      m.leave(mark);
    }
  }

  /** Wipes the keys. Later calls throw. */
  close(): void {
    this.#owned.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** No kind: the cookie is only written where its tag was found good. */
const NOT_READ = 0xff;

function putKey(key: Key | null | undefined): number {
  return key === undefined || key === null ? 0 : a.putKey(key);
}

function readCookie(at: number): Cookie {
  const C = layout.COOKIE;
  return {
    kind: a.KINDS[m.u8[at + C.kind] as number] as Kind,
    id: m.u8.slice(at + C.id, at + C.id + 16),
    pin: m.bits(at + C.pin),
    issuedAt: m.u32[(at + C.issuedAt) >> 2] as number,
    refreshedAt: m.u32[(at + C.refreshedAt) >> 2] as number,
  };
}

/** The default name of a scope's cookie. */
export function defaultCookieName(scope: Bytes = ''): string {
  const mark = m.enter();
  try {
    const [length, buffer] = [m.room(4), m.room(256)];
    const at = m.put(scope, 'scope');
    m.check(m.wasm.tokenpin_cookie_default_name(at, m.length, buffer, 256, length));
    return m.text(buffer, m.u32[length >> 2] as number);
  } finally {
    m.leave(mark);
  }
}

/** The values of the cookies of a name in one `Cookie` field. */
export function cookieValues<T extends Bytes>(field: T, name: Bytes): T[] {
  const mark = m.enter();
  try {
    const [offset, value] = [m.room(4), m.room(layout.BYTES.sizeof)];
    const [at, length] = [m.put(field, 'field'), m.length];
    const named = m.put(name, 'name');
    m.u32[offset >> 2] = 0;
    const found: T[] = [];
    for (;;) {
      const status = m.wasm.tokenpin_cookie_next(at, length, named, m.length, offset, value);
      if (status === END) return found;
      m.check(status);
      found.push(m.like(field, m.u32[value >> 2] as number, m.u32[(value >> 2) + 1] as number));
    }
  } finally {
    m.leave(mark);
  }
}

const END = 10;

/** A `Cookie` field without the cookies of a name. Empty means that the field should go. */
export function cookieStrip<T extends Bytes>(field: T, name: Bytes): T {
  const mark = m.enter();
  try {
    const length = m.room(4);
    const [at, size] = [m.put(field, 'field'), m.length];
    const named = m.put(name, 'name');
    const nameSize = m.length;
    const buffer = m.room(size);
    m.check(m.wasm.tokenpin_cookie_strip(at, size, named, nameSize, buffer, size, length));
    return m.like(field, buffer, m.u32[length >> 2] as number);
  } finally {
    m.leave(mark);
  }
}

/** The attributes of a cookie. */
export interface Attributes {
  /** In seconds; a session cookie by default. */
  maxAge?: number;
  /** `/` by default. */
  path?: Bytes;
  domain?: Bytes;
  /** On by default. */
  secure?: boolean;
  /** On by default. */
  httpOnly?: boolean;
  /** `lax` by default. */
  sameSite?: SameSite;
  partitioned?: boolean;
}

/** The value of a `Set-Cookie` field. */
export function setCookie(name: Bytes, value: Bytes, attributes: Attributes = {}): string {
  const A = layout.ATTRIBUTES;
  const mark = m.enter();
  try {
    const [made, length] = [m.room(A.sizeof), m.room(4)];
    m.putBytes(made + A.path, attributes.path ?? '', 'path');
    m.putBytes(made + A.domain, attributes.domain ?? '', 'domain');
    m.set8(made + A.secure, m.flag(attributes.secure ?? true, 'secure'));
    m.set8(made + A.httpOnly, m.flag(attributes.httpOnly ?? true, 'httpOnly'));
    m.set8(made + A.sameSite, m.number(SAME_SITES, attributes.sameSite ?? 'lax', 'sameSite'));
    m.set8(made + A.partitioned, m.flag(attributes.partitioned ?? false, 'partitioned'));
    const age = m.whole(attributes.maxAge ?? 0, U32, 'maxAge');
    const [named, nameLength] = [m.put(name, 'name'), m.length];
    const [at, size] = [m.put(value, 'value'), m.length];
    const capacity = MAX_SET_COOKIE + size;
    const buffer = m.room(capacity);
    m.check(m.wasm.tokenpin_set_cookie_write(named, nameLength, at, size, made, age, buffer, capacity, length));
    return m.text(buffer, m.u32[length >> 2] as number);
  } finally {
    m.leave(mark);
  }
}

/** True if a `Set-Cookie` field sets a cookie of a name. */
export function setCookieMatches(field: Bytes, name: Bytes): boolean {
  const mark = m.enter();
  try {
    const out = m.room(1);
    const [at, length] = [m.put(field, 'field'), m.length];
    const named = m.put(name, 'name');
    m.check(m.wasm.tokenpin_set_cookie_matches(at, length, named, m.length, out));
    return m.u8[out] === 1;
  } finally {
    m.leave(mark);
  }
}

/** The table that classifies requests. */
export interface Table {
  /** Rules in front of the default ones. */
  rules?: readonly Rule[];
  /** Leave the default rules out. */
  replaceRules?: boolean;
  /** Opt in to the prompt-cache group. */
  promptCache?: boolean;
}

/** Classifies a request by its method and its target. */
export function classify(method: Bytes, target: Bytes, table: Table = {}): Classification {
  const mark = m.enter();
  try {
    const out = m.room(3);
    const rules = a.list(table.rules ?? [], 'rules');
    const list = a.putRules(rules);
    const replace = m.flag(table.replaceRules ?? false, 'replaceRules');
    const cache = m.flag(table.promptCache ?? false, 'promptCache');
    const [named, size] = [m.put(method, 'method'), m.length];
    const at = m.put(target, 'target');
    m.check(
      m.wasm.tokenpin_classify(list, rules.length, replace, cache, named, size, at, m.length, out, out + 1, out + 2),
    );
    return a.classification(out);
  } finally {
    m.leave(mark);
  }
}
