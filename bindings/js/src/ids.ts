import type { Affinity } from './affinity.js';
import * as a from './arguments.js';
import { type Ids, IdVerdict, type Mode } from './enums.js';
import * as layout from './layout.js';
import { ID_MARK_LEN, MAX_SEALED_ID } from './limits.js';
import * as m from './memory.js';
import type { Bytes, RingKey } from './types.js';

const VERDICTS = Object.values(IdVerdict);

/** The scope and the owner of an id. */
export interface IdPlace {
  /** The set of accounts, 0 to 1024 bytes. */
  scope?: Bytes;
  /** The owner of the ids, 0 to 4096 bytes; none by default. */
  owner?: Bytes;
}

/**
 * The verdict on a text: with the verdict `sealed`, an id or content of the account with the
 * identity hash `pin`.
 */
export interface Opened {
  readonly verdict: IdVerdict;
  /** The id, or the content, as the provider made it; null unless it is sealed. */
  readonly native: string | null;
  /** The identity hash of its account; null unless it is sealed. */
  readonly pin: bigint | null;
}

/** The keys that seal ids, without an affinity. `close` wipes them. */
export class IdRing {
  readonly #owned: a.Owned;

  /**
   * Keys as for cookies, which may be used: what is made of them differs. `placementKey` must not
   * be one of them.
   */
  constructor(keys: readonly RingKey[], placementKey?: Uint8Array) {
    this.#owned = a.ringOf(this, keys, placementKey, layout.ID_RING.sizeof, 'tokenpin_id_ring');
  }

  /**
   * Seals an id of the account with the identity hash `pin`. One that is sealed so already stays as
   * it is.
   */
  seal(id: Bytes, pin: bigint, place: IdPlace = {}): string {
    const mark = m.enter();
    try {
      const [length, buffer] = [m.room(4), m.room(MAX_SEALED_ID)];
      const [scope, scopeLength, owner, ownerLength] = putPlace(place);
      const at = m.put(id, 'id');
      m.check(
        m.wasm.tokenpin_id_seal(
          this.#owned.at,
          scope,
          scopeLength,
          owner,
          ownerLength,
          m.wide(pin, 'pin'),
          at,
          m.length,
          buffer,
          MAX_SEALED_ID,
          length,
        ),
      );
      return m.text(buffer, m.u32[length >> 2] as number);
    } finally {
      m.leave(mark);
    }
  }

  /** Opens a text that may be a sealed id. */
  open(text: Bytes, place: IdPlace = {}): Opened {
    const mark = m.enter();
    try {
      const [pin, length, verdict] = [m.room(8), m.room(4), m.room(2)];
      const [scope, scopeLength, owner, ownerLength] = putPlace(place);
      const at = m.put(text, 'text');
      const size = m.length;
      const buffer = m.room(size);
      m.check(
        m.wasm.tokenpin_id_open(
          this.#owned.at,
          scope,
          scopeLength,
          owner,
          ownerLength,
          at,
          size,
          buffer,
          size,
          length,
          verdict,
          pin,
          verdict + 1,
        ),
      );
      return opened(verdict, buffer, length, pin);
    } finally {
      m.leave(mark);
    }
  }

  /** The mark that goes behind encrypted content. */
  mark(content: Bytes, pin: bigint, place: IdPlace = {}): string {
    const mark = m.enter();
    try {
      const buffer = m.room(ID_MARK_LEN);
      const [scope, scopeLength, owner, ownerLength] = putPlace(place);
      const at = m.put(content, 'content');
      m.check(
        m.wasm.tokenpin_id_mark(
          this.#owned.at,
          scope,
          scopeLength,
          owner,
          ownerLength,
          m.wide(pin, 'pin'),
          at,
          m.length,
          buffer,
        ),
      );
      return m.text(buffer, ID_MARK_LEN);
    } finally {
      m.leave(mark);
    }
  }

  /** Reads the mark behind encrypted content. */
  openMark(text: Bytes, place: IdPlace = {}): Opened {
    const mark = m.enter();
    try {
      const [pin, length, verdict] = [m.room(8), m.room(4), m.room(1)];
      const [scope, scopeLength, owner, ownerLength] = putPlace(place);
      const at = m.put(text, 'text');
      m.check(
        m.wasm.tokenpin_id_open_mark(
          this.#owned.at,
          scope,
          scopeLength,
          owner,
          ownerLength,
          at,
          m.length,
          length,
          verdict,
          pin,
        ),
      );
      return opened(verdict, at, length, pin);
    } finally {
      m.leave(mark);
    }
  }

  /** Wipes the keys. What is called later throws. */
  close(): void {
    this.#owned.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function putPlace(place: IdPlace): [number, number, number, number] {
  const [scope, scopeLength] = [m.put(place.scope ?? '', 'scope'), m.length];
  const owner = m.put(place.owner ?? '', 'owner');
  return [scope, scopeLength, owner, m.length];
}

function opened(at: number, text: number, length: number, pin: number): Opened {
  const verdict = VERDICTS[m.u8[at] as number] as IdVerdict;
  if (verdict !== 'sealed') return { verdict, native: null, pin: null };
  return { verdict, native: m.text(text, m.u32[length >> 2] as number), pin: m.bits(pin) };
}

// ---- Requests and responses

/** The options for opening a request's ids. */
export interface OpenerOptions extends IdPlace {
  /** The ids that are read, from `Affinity.classify`. */
  ids: Ids;
  /** Their treatment; as configured by default. */
  mode?: Mode | null;
}

/** The options for sealing a response's ids. */
export interface SealerOptions extends IdPlace {
  /**
   * The opener of the request: ids, scope, owner and mode are as they were there, and an id is
   * returned as the client wrote it.
   */
  opener?: IdOpener;
  /** The ids that are read, if there is no opener. */
  ids?: Ids;
  /** Their treatment; as configured by default. */
  mode?: Mode | null;
  /** True if the body is server-sent events. */
  events?: boolean;
  /** The upstream's authority. Absolute URLs that lead there are rewritten. */
  upstream?: Bytes;
  /** Scheme and authority of the client's request, which replace those of the upstream. */
  origin?: Bytes;
}

const OPENER = new Set(['ids', 'mode', 'scope', 'owner']);
const SEALER = new Set([...OPENER, 'opener', 'events', 'upstream', 'origin']);

/** The texts that each step borrows. */
interface Use {
  readonly scope: Bytes;
  readonly owner: Bytes;
  readonly upstream: Bytes;
  readonly origin: Bytes;
  readonly ids: Ids;
  readonly mode: Mode;
}

function putUse(use: Use): number {
  const U = layout.ID_USE;
  const at = m.room(U.sizeof);
  m.putBytes(at + U.scope, use.scope, 'scope');
  m.putBytes(at + U.owner, use.owner, 'owner');
  m.putBytes(at + U.upstream, use.upstream, 'upstream');
  m.putBytes(at + U.origin, use.origin, 'origin');
  m.u8[at + U.ids] = m.number(a.IDS, use.ids, 'ids');
  m.u8[at + U.hasMode] = 1;
  m.u8[at + U.mode] = m.number(a.MODES, use.mode, 'mode');
  return at;
}

/** A copy of bytes, which no one changes. */
function own(value: Bytes | undefined): Bytes {
  return value === undefined ? '' : value instanceof Uint8Array ? value.slice() : value;
}

/** The state of something that lies in here between calls. */
class State {
  readonly #bytes: Uint8Array;

  constructor(size: number, init: (at: number) => number) {
    this.#bytes = new Uint8Array(size);
    const mark = m.enter();
    try {
      const at = m.room(size);
      m.check(init(at));
      this.take(at);
    } finally {
      m.leave(mark);
    }
  }

  put(): number {
    const at = m.room(this.#bytes.length);
    m.u8.set(this.#bytes, at);
    return at;
  }

  take(at: number): void {
    this.#bytes.set(m.u8.subarray(at, at + this.#bytes.length));
  }
}

const SLICE = 1 << 15;

/** A body that goes through, in chunks. */
abstract class Rewriter {
  #ended = false;
  /** The number of ids that were rewritten. */
  changed = 0;
  /** The number of documents that were not understood, and passed unchanged from there on. */
  unexpected = 0;

  protected abstract state(): {
    step(at: number, length: number, piece: number): number;
    end(piece: number): number;
    done(): void;
  };

  /**
   * A chunk of the body, rewritten. What is held back goes out with a later one. It may be the
   * chunk itself, or a part of it.
   */
  push(chunk: Uint8Array): Uint8Array {
    if (!(chunk instanceof Uint8Array)) throw new TypeError('chunk must be a Uint8Array');
    return this.#run((state, piece, parts) => {
      for (let start = 0; start < chunk.length; start += SLICE) {
        const mark = m.enter();
        const length = Math.min(SLICE, chunk.length - start);
        const at = m.put(chunk.subarray(start, start + length), 'chunk');
        for (let done = 0; done < length; ) {
          m.check(state.step(at + done, length - done, piece));
          const [pass, taken] = [m.u32[(piece + P.pass) >> 2] as number, m.u32[(piece + P.taken) >> 2] as number];
          if (pass > 0) parts.push(chunk.subarray(start + done, start + done + pass));
          this.#take(piece, parts);
          done += taken;
        }
        m.leave(mark);
      }
    });
  }

  /** Returns the held rest of a body that ends here. */
  finish(): Uint8Array {
    return this.#run((state, piece, parts) => {
      m.check(state.end(piece));
      this.#take(piece, parts);
      this.#ended = true;
    });
  }

  /** A whole body, rewritten. */
  body(body: Uint8Array): Uint8Array {
    return joined([this.push(body), this.finish()]);
  }

  /** The same for a body that streams. */
  stream(): TransformStream<Uint8Array, Uint8Array> {
    const enqueue = (made: Uint8Array, controller: TransformStreamDefaultController<Uint8Array>) => {
      if (made.length > 0) controller.enqueue(made);
    };
    return new TransformStream({
      transform: (chunk, controller) => enqueue(this.push(chunk), controller),
      flush: (controller) => enqueue(this.finish(), controller),
    });
  }

  #run(then: (state: ReturnType<Rewriter['state']>, piece: number, parts: Uint8Array[]) => void): Uint8Array {
    if (this.#ended) throw new Error('the body has ended');
    const mark = m.enter();
    try {
      const piece = m.room(P.sizeof);
      const state = this.state();
      const parts: Uint8Array[] = [];
      then(state, piece, parts);
      state.done();
      return joined(parts);
    } finally {
      m.leave(mark);
    }
  }

  #take(piece: number, parts: Uint8Array[]): void {
    const put = m.u32[(piece + P.put) >> 2] as number;
    const length = m.u32[(piece + P.putLen) >> 2] as number;
    if (length > 0) parts.push(m.u8.slice(put, put + length));
    this.changed = m.u32[(piece + P.changed) >> 2] as number;
    this.unexpected = m.u32[(piece + P.unexpected) >> 2] as number;
  }
}

const P = layout.PIECE;
const EMPTY = new Uint8Array(0);

/** One array of several. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const full = parts.filter((part) => part.length > 0);
  if (full.length < 2) return full[0] ?? EMPTY;
  const made = new Uint8Array(full.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of full) {
    made.set(part, at);
    at += part.length;
  }
  return made;
}

/** The ids of a request so far. Keys are numbers, which `Affinity.idKey` spells. */
export interface IdReport {
  /** The worst verdict of all ids. */
  readonly verdict: IdVerdict;
  /** The key whose id is refused, of a conflict both. */
  readonly keys: readonly [number | null, number | null];
  /** True if the request is refused for its ids. */
  readonly refused: boolean;
  /** True if a string that may be an id is too long to be read. */
  readonly unreadable: boolean;
  /** True if the request names existing state. */
  readonly existing: boolean;
  /** True if the ids of the response are sealed regardless of what the client sent. */
  readonly seals: boolean;
  /** True if anything in the response may change. If not, it need not be read. */
  readonly changesResponse: boolean;
  /** True if the body says `"store": false`. */
  readonly unstored: boolean;
  /** True if the path is for uploads, so that the request may have a multipart body. */
  readonly uploads: boolean;
  /**
   * True if the path is a download. Nothing is to be sealed in the response's body, a client's own.
   */
  readonly downloads: boolean;
  /**
   * The id that is refused, or that names the account, as the client wrote it; empty for what is
   * not fit for a text.
   */
  readonly quoted: string;
  /** The number of ids that were opened. */
  readonly opened: number;
  /** The number of plain ids. */
  readonly plain: number;
  /** The number of ids whose form could not be remembered. */
  readonly echoesLost: number;
}

/**
 * Opens the ids of one request: see `Affinity.opener`. Give it to `Affinity.decide` when the body
 * was read.
 */
export class IdOpener<T extends Bytes = Bytes> extends Rewriter {
  readonly #affinity: Affinity;
  readonly #use: Use;
  readonly #summary: State;
  readonly #opener: State;
  /** The target for the upstream: text, or bytes, as it was given. */
  readonly target: T;

  /** @internal */
  constructor(affinity: Affinity, target: T, options: OpenerOptions) {
    super();
    a.known(options, OPENER, 'options');
    this.#affinity = affinity;
    const { ids, mode, scope, owner } = options;
    this.#use = { ids, mode: mode ?? affinity.idMode, scope: own(scope), owner: own(owner), upstream: '', origin: '' };
    this.#summary = new State(layout.ID_SUMMARY.sizeof, m.wasm.tokenpin_id_summary_init);
    this.#opener = new State(layout.ID_OPENER.sizeof, m.wasm.tokenpin_id_opener_init);
    const mark = m.enter();
    try {
      const [summary, use, length] = [this.#summary.put(), putUse(this.#use), m.room(4)];
      const at = m.put(target, 'target');
      const size = m.length;
      const buffer = m.room(size);
      m.check(m.wasm.tokenpin_affinity_open_target(affinity.at, use, summary, at, size, buffer, size, length));
      this.#summary.take(summary);
      this.target = m.like(target, buffer, m.u32[length >> 2] as number);
    } finally {
      m.leave(mark);
    }
  }

  protected override state() {
    const [affinity, use, summary, opener] = [
      this.#affinity.at,
      putUse(this.#use),
      this.#summary.put(),
      this.#opener.put(),
    ];
    return {
      step: (at: number, length: number, piece: number) =>
        m.wasm.tokenpin_affinity_open_step(affinity, use, summary, opener, at, length, piece),
      end: (piece: number) => m.wasm.tokenpin_affinity_open_end(affinity, use, summary, opener, piece),
      done: () => {
        this.#summary.take(summary);
        this.#opener.take(opener);
      },
    };
  }

  /** @internal */
  putSummary(): number {
    return this.#summary.put();
  }

  /** Which ids are looked at. */
  get ids(): Ids {
    return this.#use.ids;
  }

  /** Their treatment. */
  get mode(): Mode {
    return this.#use.mode;
  }

  /** The ids so far. */
  report(): IdReport {
    const R = layout.ID_REPORT;
    const mark = m.enter();
    try {
      const at = m.room(R.sizeof);
      m.check(m.wasm.tokenpin_id_summary_report(this.#summary.put(), at));
      const flag = (field: number) => m.u8[at + field] === 1;
      const count = (field: number) => m.u32[(at + field) >> 2] as number;
      return {
        verdict: VERDICTS[m.u8[at + R.verdict] as number] as IdVerdict,
        keys: a.idKeys(at + R.keys),
        refused: flag(R.refused),
        unreadable: flag(R.unreadable),
        existing: flag(R.existing),
        seals: flag(R.seals),
        changesResponse: flag(R.changesResponse),
        unstored: flag(R.unstored),
        uploads: flag(R.uploads),
        downloads: flag(R.downloads),
        quoted: m.text(at + R.quoted, m.u8[at + R.quotedLen] as number),
        opened: count(R.opened),
        plain: count(R.plain),
        echoesLost: count(R.echoesLost),
      };
    } finally {
      m.leave(mark);
    }
  }

  /** The state that a sealer takes over. @internal */
  get use(): Use {
    return this.#use;
  }
}

/** Seals the ids of one response: see `Affinity.sealer`. */
export class IdSealer extends Rewriter {
  readonly #affinity: Affinity;
  readonly #slot: number;
  readonly #use: Use;
  readonly #opener: IdOpener | undefined;
  readonly #sealer: State;

  /** @internal */
  constructor(affinity: Affinity, slot: number, options: SealerOptions) {
    super();
    // Also an opener that stands in their place.
    a.known(options, SEALER, 'options');
    const { opener, events = false } = options;
    if (opener !== undefined && !(opener instanceof IdOpener)) throw new TypeError('opener must be an IdOpener');
    this.#affinity = affinity;
    this.#slot = m.whole(slot, 0xffffffff, 'slot');
    this.#opener = opener;
    const before = opener?.use;
    this.#use = {
      // Nothing at all is refused below: a body whose ids no one seals looks like one that has
      // none.
      ids: (options.ids ?? before?.ids) as Ids,
      mode: options.mode ?? before?.mode ?? affinity.idMode,
      scope: own(options.scope ?? before?.scope),
      owner: own(options.owner ?? before?.owner),
      upstream: own(options.upstream),
      origin: own(options.origin),
    };
    // Refuses missing or unfit options here, and not with the first chunk.
    this.target('/');
    const framing = m.flag(events, 'events');
    this.#sealer = new State(layout.ID_SEALER.sizeof, (at) => m.wasm.tokenpin_id_sealer_init(at, framing));
  }

  protected override state() {
    const [affinity, use, summary, sealer] = [
      this.#affinity.at,
      putUse(this.#use),
      this.#opener?.putSummary() ?? 0,
      this.#sealer.put(),
    ];
    const slot = this.#slot;
    return {
      step: (at: number, length: number, piece: number) =>
        m.wasm.tokenpin_affinity_seal_step(affinity, use, summary, slot, sealer, at, length, piece),
      end: (piece: number) => m.wasm.tokenpin_affinity_seal_end(affinity, use, summary, slot, sealer, piece),
      done: () => this.#sealer.take(sealer),
    };
  }

  /** The value of Location, Content-Location or Operation-Location, with its ids sealed. */
  target<T extends Bytes>(text: T): T {
    const mark = m.enter();
    try {
      const [affinity, use, summary] = [this.#affinity.at, putUse(this.#use), this.#opener?.putSummary() ?? 0];
      const length = m.room(4);
      const at = m.put(text, 'text');
      const size = m.length;
      for (let capacity = size + 256; ; capacity = m.u32[length >> 2] as number) {
        const buffer = m.room(capacity);
        const status = m.wasm.tokenpin_affinity_seal_target(
          affinity,
          use,
          summary,
          this.#slot,
          at,
          size,
          buffer,
          capacity,
          length,
        );
        if (status === 9 && (m.u32[length >> 2] as number) > capacity) continue;
        m.check(status);
        return m.like(text, buffer, m.u32[length >> 2] as number);
      }
    } finally {
      m.leave(mark);
    }
  }
}
