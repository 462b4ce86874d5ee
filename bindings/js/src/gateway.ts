// A gateway as a function from `Request` to `Response`. The rules are those of
// docs/guides/embedding.md and of the other hosts.

import type { Affinity, Decision } from './affinity.js';
import { cookieStrip, setCookieMatches } from './cookies.js';
import type { Ids, Mode, Refusal } from './enums.js';
import { TokenpinError } from './errors.js';
import { type IdOpener, type IdSealer, joined } from './ids.js';
import { CREDENTIAL_KEYS, CREDENTIAL_WORDS, DIGEST_HEADERS, LOCATION_HEADERS, PAYER_HEADERS } from './layout.js';
import type { Bytes, SlotStatus } from './types.js';

/** The effect of some statuses on the account that answered with them. */
export interface Cooldown {
  /** Each 400 to 599. */
  statuses: readonly number[];
  /**
   * `draining`, the default: the account keeps its sessions and gets no new anonymous ones; or
   * `down`: it serves no session.
   */
  state?: 'draining' | 'down';
  /** The time in seconds; 30 by default. */
  seconds?: number;
  /**
   * The most seconds that the response may ask for, instead of `seconds`; 3600 by default,
   * null to ignore it.
   */
  retryAfter?: number | null;
}

/** When a request is tried again on another account. */
export interface Retry {
  /** Each 400 to 599; 401 and 429 by default. A 5xx may come after the work was done. */
  statuses?: readonly number[];
  /** The greatest number of retries, 1 to 3; once by default. */
  max?: number;
  /** The longest body that is kept for it; 1 MiB by default. */
  bodyLimit?: number;
}

/** The headers of an account; a string is a bearer token, null is for a vacant slot. */
export type Credentials = string | null | Readonly<Record<string, string>>;

export interface GatewayOptions {
  /** The upstream, such as `https://api.openai.com`. */
  upstream: string;
  /** The credentials of the accounts, slot by slot. */
  accounts: readonly Credentials[];
  /** The function that sends a request; the global `fetch` by default. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** A header with the consumer's name: one that clients cannot set. */
  consumerHeader?: string;
  /** A header with a session key. */
  sessionHeader?: string;
  /** A header that carries the cookie's value for clients that keep no cookies. */
  carrierHeader?: string;
  /** The set of accounts that a request is about. */
  scope?: (request: Request) => Bytes;
  /** Bytes of one client only, so that its parallel first requests agree. */
  idHint?: (request: Request) => Bytes;
  /** True if a request names existing state that neither path nor ids show. */
  existing?: (request: Request) => boolean;
  /** The mode of ids for a request. */
  sealedIds?: (request: Request) => Mode;
  /** True if bodies are read also in the mode `off`, for what they name; on by default. */
  bodies?: boolean;
  /** The longest body that is read; 64 MiB by default. */
  maxBody?: number;
  /** The most bytes of all bodies that are held at a time; 1 GiB by default. */
  maxHeld?: number;
  /**
   * Scheme and authority that the client knows, for absolute URLs in responses; those of
   * `request.url` by default.
   */
  origin?: (request: Request) => string;
  /** Leave the client's own credentials in. */
  forwardClientCredentials?: boolean;
  /** The effect of statuses on accounts; 401 and 429 let it drain by default. */
  cooldowns?: readonly Cooldown[];
  /** Try another account if the request may move; never by default. */
  retry?: Retry;
  /** Receives each decision, for metrics. */
  onDecision?: (decision: Decision, request: Request) => void;
}

const NAMES = new Set([
  'upstream',
  'accounts',
  'fetch',
  'consumerHeader',
  'sessionHeader',
  'carrierHeader',
  'scope',
  'idHint',
  'existing',
  'sealedIds',
  'bodies',
  'maxBody',
  'maxHeld',
  'origin',
  'forwardClientCredentials',
  'cooldowns',
  'retry',
  'onDecision',
]);

/** One configuration at work. `export default { fetch: gateway.fetch }` is a Worker. */
export class Gateway {
  readonly affinity: Affinity;
  /** Without what is secret. @internal */
  readonly options: Omit<GatewayOptions, 'accounts'>;
  /** @internal */
  readonly cooldowns: readonly Required<Cooldown>[];
  /** @internal */
  readonly retry: Required<Retry> | null;
  readonly #base: string;
  /** The upstream's authority. @internal */
  readonly authority: string;
  readonly #accounts: readonly (readonly [string, string])[][];
  readonly #names: ReadonlySet<string>;
  readonly #cooled: (SlotStatus | null)[];
  #held = 0;

  constructor(affinity: Affinity, options: GatewayOptions) {
    for (const name of Object.keys(options)) if (!NAMES.has(name)) throw new TypeError(`options have no ${name}`);
    const { accounts, ...open } = options;
    const upstream = new URL(open.upstream);
    this.affinity = affinity;
    this.options = open;
    this.#base = upstream.origin + upstream.pathname.replace(/\/$/, '');
    this.authority = upstream.host;
    const slots = affinity.length;
    if (accounts.length !== slots) {
      throw new TypeError(`accounts of ${accounts.length} slots for an affinity of ${slots}`);
    }
    this.#accounts = accounts.map(headersOf);
    this.#names = new Set(this.#accounts.flat().map(([name]) => folded(name)));
    this.#cooled = this.#accounts.map(() => null);
    this.cooldowns = (options.cooldowns ?? [{ statuses: [401, 429] }]).map((cooldown, i) => {
      const it = { state: 'draining', seconds: 30, retryAfter: 3600, ...cooldown } as const;
      if (!failures(it.statuses))
        throw new RangeError(`cooldowns[${i}]: the statuses are not one or more of 400 to 599`);
      if (it.state !== 'draining' && it.state !== 'down')
        throw new TypeError(`cooldowns[${i}]: the state is neither draining nor down`);
      if (!(it.seconds >= 1) || (it.retryAfter !== null && !(it.retryAfter >= 1))) {
        throw new RangeError(`cooldowns[${i}]: a time is less than a second`);
      }
      return it;
    });
    this.retry =
      options.retry === undefined ? null : { statuses: [401, 429], max: 1, bodyLimit: 1 << 20, ...options.retry };
    if (this.retry !== null && !failures(this.retry.statuses)) {
      throw new RangeError('retry: the statuses are not one or more of 400 to 599');
    }
    if (this.retry !== null && !(this.retry.max >= 1 && this.retry.max <= 3))
      throw new RangeError('retry: max is not 1 to 3');
    const carrier = options.carrierHeader?.toLowerCase();
    const taken = [options.consumerHeader?.toLowerCase(), options.sessionHeader?.toLowerCase(), 'cookie', 'set-cookie'];
    if (carrier !== undefined && (taken.includes(carrier) || isClientCredential(carrier))) {
      throw new TypeError(`the carrier header ${carrier} is used for something else`);
    }
    if (!((options.maxBody ?? 1) >= 1 && (options.maxHeld ?? 1) >= 1)) {
      throw new RangeError('maxBody or maxHeld is less than a byte');
    }
  }

  /** Answers a request. Throws what `fetch` throws if the upstream does not answer. */
  readonly fetch = async (request: Request): Promise<Response> => {
    let exchange: Exchange | undefined;
    try {
      exchange = new Exchange(this, request);
      return await exchange.run();
    } catch (error) {
      if (error instanceof Refused) return error.answer(request.headers);
      throw error;
    } finally {
      exchange?.close();
    }
  };

  /** Changes a slot's state, weight and until. Until it is up again, responses do not change it. */
  setSlot(slot: number, status: Partial<SlotStatus>): void {
    this.affinity.setSlot(slot, status);
    this.#cooled[slot] = null;
  }

  /** Lets the account in a slot cool down, if its response asks for that. @internal */
  cool(slot: number, status: number, headers: Headers): void {
    const cooldown = this.cooldowns.find((each) => each.statuses.includes(status));
    if (cooldown === undefined) return;
    const now = Math.floor(Date.now() / 1000);
    const asked = cooldown.retryAfter === null ? null : retryAfter(headers, now);
    const seconds = asked === null ? cooldown.seconds : Math.min(Math.max(asked, 1), cooldown.retryAfter ?? 0);
    const [state, until] = [cooldown.state, now + Math.floor(seconds)];
    const live = this.affinity.getSlot(slot);
    if (live.state !== 'up' && !(live.until !== 0 && now >= live.until)) {
      const ours = this.#cooled[slot];
      const isOurs = ours?.state === live.state && ours.weight === live.weight && ours.until === live.until;
      const longer = live.state === state && live.until < until;
      const worse = live.state === 'draining' && state === 'down';
      if (!isOurs || !(longer || worse)) return;
    }
    const status_ = { state, weight: live.weight, until };
    this.affinity.setSlot(slot, status_);
    this.#cooled[slot] = status_;
  }

  /** Puts the credentials of the account in a slot, and takes out those of others. @internal */
  apply(slot: number, headers: Headers): void {
    for (const name of [...headers.keys()]) if (this.#names.has(folded(name))) headers.delete(name);
    for (const [name, value] of this.#accounts[slot] ?? []) headers.append(name, value);
  }

  /**
   * Counts what is held of all bodies. False if it is too much, and then it is not counted.
   * @internal
   */
  hold(size: number): boolean {
    if (this.#held + size > (this.options.maxHeld ?? 1 << 30)) return false;
    this.#held += size;
    return true;
  }

  /** @internal */
  letGo(size: number): void {
    this.#held -= size;
  }

  /** @internal */
  send(target: string, init: RequestInit): Promise<Response> {
    const send = this.options.fetch ?? fetch;
    return send(this.#base + target, init);
  }
}

/** The gateway's own answer: a row of the tables in docs/guides/embedding.md. */
class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    override readonly message: string,
    readonly more: { param?: string | null; ofRequest?: boolean; headers?: Record<string, string> } = {},
  ) {
    super(message);
  }

  answer(request: Headers): Response {
    const { param = null, ofRequest = false, headers = {} } = this.more;
    let content: object;
    if (request.has('anthropic-version')) {
      const kinds: Record<number, string> = { 404: 'not_found_error', 413: 'request_too_large' };
      const type = this.status >= 500 ? 'api_error' : (kinds[this.status] ?? 'invalid_request_error');
      content = { type: 'error', error: { type, message: this.message } };
    } else {
      const type = ofRequest ? 'invalid_request_error' : 'gateway_error';
      content = { error: { message: this.message, type, param, code: this.code } };
    }
    return new Response(JSON.stringify(content), {
      status: this.status,
      headers: { 'content-type': 'application/json', ...headers },
    });
  }
}

function ofError(error: unknown): unknown {
  if (!(error instanceof TokenpinError)) return error;
  return error.status === 'scope_length'
    ? new Refused(400, 'bad_tenant', 'The tenant cannot be determined.')
    : new Refused(500, 'affinity_error', 'The gateway cannot choose an account.');
}

function ofDecision(affinity: Affinity, decision: Decision, opener: IdOpener | undefined): Refused {
  // The client's own text, of the characters that ids have.
  const id = opener?.report().quoted ?? '';
  const quoted = id === '' ? '' : ` '${id}'`;
  const [first, second] = decision.idKeys.map((key) => (key === null ? null : affinity.idKey(key)));
  const rows: Record<Exclude<Refusal, 'none'>, [string, string?]> = {
    no_account_available: ['No account is available.'],
    bad_affinity_key: ["The session's key cannot be used."],
    session_unavailable: ["The session's account is unavailable."],
    previous_response_not_found: [`The previous response${quoted} was not found.`, first ?? ''],
    invalid_encrypted_content: ['The encrypted content could not be verified.'],
    not_found: [`The object${quoted} named by '${first}' was not found.`, first ?? ''],
    conflicting_accounts: [
      `The objects named by '${first}' and '${second}' cannot be used together: they were created apart.`,
      second ?? '',
    ],
    unreadable_body: ["The request's body cannot be read."],
  };
  const [message, param] = rows[decision.refusal as keyof typeof rows];
  const status = decision.refusalStatus;
  return new Refused(status, decision.refusal, message, {
    param: param ?? null,
    ofRequest: status < 500,
    headers: decision.retryAfter > 0 ? { 'retry-after': String(decision.retryAfter) } : {},
  });
}

const tooLarge = () => new Refused(413, 'request_too_large', "The request's body is too large.", { ofRequest: true });
const tooMany = () =>
  new Refused(503, 'too_many_bodies', 'The gateway holds too many requests.', { headers: { 'retry-after': '1' } });
const unreadable = () => new Refused(400, 'unreadable_body', "The request's body cannot be read.", { ofRequest: true });

type Part = Uint8Array<ArrayBuffer>;

/** One request and its response. */
class Exchange {
  readonly #gateway: Gateway;
  readonly #request: Request;
  readonly #headers: Headers;
  readonly #target: string;
  readonly #path: string;
  readonly #ids: Ids;
  readonly #scope: Bytes;
  readonly #cookieName: string;
  readonly #opener: IdOpener<string> | undefined;
  readonly #tried: number[] = [];
  #share = 0;
  #changed = false;
  #decision!: Decision;

  constructor(gateway: Gateway, request: Request) {
    const { affinity, options } = gateway;
    this.#gateway = gateway;
    this.#request = request;
    this.#headers = request.headers;
    const url = new URL(request.url);
    this.#target = url.pathname + url.search;
    this.#path = url.pathname;
    if (listed(this.#headers, 'upgrade').includes('websocket')) {
      throw new Refused(426, 'websocket_not_supported', 'This is not served over a WebSocket.', {
        ofRequest: true,
        headers: { upgrade: 'HTTP/1.1', connection: 'upgrade' },
      });
    }
    try {
      this.#scope = options.scope?.(request) ?? '';
      this.#cookieName = affinity.cookieName(this.#scope);
      this.#ids = affinity.classify(request.method, this.#path).ids;
      if (this.#ids === 'none') return;
      const owner = affinity.idOwner(this.#values(options.consumerHeader), true);
      const mode = options.sealedIds?.(request) ?? null;
      const opener = affinity.opener(this.#target, { ids: this.#ids, scope: this.#scope, owner, mode });
      if (opener.mode !== 'off' || ((options.bodies ?? true) && this.#hasBody())) this.#opener = opener;
    } catch (error) {
      throw ofError(error);
    }
  }

  async run(): Promise<Response> {
    let body: ReadableStream<Uint8Array> | Part | null = this.#hasBody() ? this.#request.body : null;
    if (this.#opener !== undefined && this.#waits(this.#opener)) body = await this.#read(this.#opener);
    this.#decide();
    const limit = this.#gateway.retry !== null && this.#decision.mayMove ? this.#gateway.retry.bodyLimit : -1;
    const kept = new Kept(body, limit);
    for (;;) {
      const slot = this.#slot;
      const response = await this.#send(kept);
      this.#gateway.cool(slot, response.status, response.headers);
      if (this.#mayRetry(response.status) && kept.whole && this.#another()) {
        await response.body?.cancel();
        continue;
      }
      return this.#respond(response);
    }
  }

  get #slot(): number {
    return this.#decision.slot as number;
  }

  // ---- The request

  #hasBody(): boolean {
    return this.#request.body !== null && this.#headers.get('content-length') !== '0';
  }

  /** True if the body has to be read before anything else is done. */
  #waits(opener: IdOpener): boolean {
    if (!this.#hasBody()) return false;
    const { mode } = opener;
    const [content, encoded] = [contentOf(this.#headers), isEncoded(this.#headers)];
    if (content === 'json' && !encoded) {
      const length = Number(this.#headers.get('content-length') ?? 0);
      // In the mode `off`, what is too long passes.
      return mode !== 'off' || !(length > this.#maxBody);
    }
    if (mode === 'off' || mode === 'open' || (mode === 'seal' && content !== 'json')) return false;
    if (mode === 'strict' && content === 'multipart' && opener.report().uploads) return false;
    if (content !== 'json') {
      throw new Refused(415, 'unsupported_content_type', "The request's body has to be JSON.", { ofRequest: true });
    }
    throw new Refused(415, 'unsupported_content_encoding', "The request's body must not be encoded.", {
      ofRequest: true,
      headers: { 'accept-encoding': 'identity' },
    });
  }

  get #maxBody(): number {
    return this.#gateway.options.maxBody ?? 64 << 20;
  }

  /**
   * Reads the body and opens its ids. One that is too long passes in the mode `off`, what was read
   * of it in front.
   */
  async #read(opener: IdOpener): Promise<Part | ReadableStream<Uint8Array>> {
    const reader = (this.#request.body as ReadableStream<Uint8Array>).getReader();
    const parts: Uint8Array[] = [];
    const length = Number(this.#headers.get('content-length') ?? 0);
    let refused = opener.mode !== 'off' && length > this.#maxBody ? tooLarge() : null;
    let came = 0;
    for (;;) {
      const { done, value: chunk } = await reader.read();
      if (done) break;
      came += chunk.length;
      if (refused !== null) {
        // Most clients read the answer no sooner than all is sent.
        if (came <= this.#maxBody) continue;
        await reader.cancel();
        throw refused;
      }
      const over = came > this.#maxBody ? tooLarge() : this.#gateway.hold(chunk.length) ? null : tooMany();
      if (over === null) {
        this.#share += chunk.length;
        parts.push(opener.push(chunk));
      } else if (opener.mode === 'off') {
        return behind([...parts, opener.finish(), chunk], reader);
      } else {
        this.close();
        refused = over;
        came = 0;
        parts.length = 0;
      }
    }
    if (refused !== null) throw refused;
    parts.push(opener.finish());
    const body = joined(parts) as Part;
    if (opener.mode === 'strict' && (opener.unexpected > 0 || !isUtf8(body))) throw unreadable();
    // The text in place of an id is shorter.
    this.#changed = body.length !== came;
    return body;
  }

  #decide(): void {
    const { affinity, options } = this.#gateway;
    const carried = options.carrierHeader === undefined ? null : this.#headers.get(options.carrierHeader);
    const cookies = this.#headers.get('cookie');
    try {
      const given = options.idHint?.(this.#request) ?? '';
      const hint = typeof given === 'string' ? new TextEncoder().encode(given) : given;
      const hinted = hint.length > 0 && hint.length <= 4096 ? affinity.idHint(hint) : null;
      this.#decision = affinity.decide({
        method: this.#request.method,
        target: this.#path,
        cookies: cookies === null ? [] : bytesOf(cookies),
        consumer: this.#values(options.consumerHeader),
        consumerTrusted: true,
        session: this.#values(options.sessionHeader),
        existing: options.existing?.(this.#request) ?? false,
        ids: this.#opener ?? null,
        carrierValue: carried === null ? '' : bytesOf(theOne(carried) ?? ''),
        carrier: carried !== null,
        scope: this.#scope,
        tried: this.#tried,
        idHint: hinted,
      });
    } catch (error) {
      throw ofError(error);
    }
    options.onDecision?.(this.#decision, this.#request);
    if (this.#decision.slot === null) throw ofDecision(affinity, this.#decision, this.#opener);
  }

  #values(name: string | undefined): Bytes[] {
    const value = name === undefined ? null : this.#headers.get(name);
    return value === null ? [] : [bytesOf(theOne(value) ?? value)];
  }

  #send(kept: Kept): Promise<Response> {
    const { options } = this.#gateway;
    const headers = new Headers(this.#headers);
    const cookie = headers.get('cookie');
    if (cookie !== null) {
      const left = textOf(cookieStrip(bytesOf(cookie), this.#cookieName));
      if (left === '') headers.delete('cookie');
      else headers.set('cookie', left);
    }
    for (const name of [...HOPS, ...listed(headers, 'connection')]) headers.delete(name);
    if (options.carrierHeader !== undefined) headers.delete(options.carrierHeader);
    if (!(options.forwardClientCredentials ?? false)) {
      for (const name of [...headers.keys()]) if (isClientCredential(name)) headers.delete(name);
    }
    // `fetch` undoes what it knows of encodings, and the ids in a response could not be seen.
    headers.set('accept-encoding', 'identity');
    const body = kept.take();
    if (body instanceof Uint8Array) headers.delete('content-length');
    if (this.#changed) for (const name of DIGEST_HEADERS) headers.delete(name);
    this.#gateway.apply(this.#slot, headers);
    return this.#gateway.send(this.#opener?.target ?? this.#target, {
      method: this.#request.method,
      headers,
      body,
      redirect: 'manual',
      signal: this.#request.signal ?? null,
      ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
    } as RequestInit);
  }

  /** Nothing is held any more. */
  close(): void {
    this.#gateway.letGo(this.#share);
    this.#share = 0;
  }

  // ---- The response

  #mayRetry(status: number): boolean {
    const { retry } = this.#gateway;
    return (
      retry !== null && this.#decision.mayMove && this.#tried.length < retry.max && retry.statuses.includes(status)
    );
  }

  /** Decides again, without the account that was asked. */
  #another(): boolean {
    const before = this.#decision;
    this.#tried.push(this.#slot);
    try {
      this.#decide();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#decision = before;
      return false;
    }
    return true;
  }

  #respond(response: Response): Response {
    const { options } = this.#gateway;
    const headers = new Headers(response.headers);
    const cookies = headers.getSetCookie();
    headers.delete('set-cookie');
    for (const cookie of cookies) {
      if (!setCookieMatches(bytesOf(cookie), this.#cookieName)) headers.append('set-cookie', cookie);
    }
    for (const name of [...HOPS, ...listed(headers, 'connection')]) headers.delete(name);
    if (options.carrierHeader !== undefined) headers.delete(options.carrierHeader);
    const [empty, encoding] = [
      this.#request.method === 'HEAD' || NO_BODY.has(response.status),
      headers.get('content-encoding'),
    ];
    if (encoding !== null && !empty && /^(x-)?(gzip|deflate|br|identity)$/i.test(encoding.trim())) {
      headers.delete('content-encoding');
      headers.delete('content-length');
    }
    const sealer = this.#sealer(headers);
    let body = response.body;
    if (sealer !== null) {
      for (const name of LOCATION_HEADERS) {
        const value = headers.get(name);
        if (value !== null) headers.set(name, textOf(sealer.target(bytesOf(value))));
      }
      if (!NO_BODY.has(response.status) && response.status !== 206 && !this.#passes(headers)) {
        for (const name of [...DIGEST_HEADERS, 'content-length', 'accept-ranges']) headers.delete(name);
        if (!(headers.get('etag') ?? 'W/').startsWith('W/')) headers.delete('etag');
        if (body !== null && !empty) body = body.pipeThrough(sealer.stream()) as typeof body;
      }
    }
    this.#setCookie(response.status, headers);
    const { status, statusText } = response;
    return new Response(empty ? null : body, { status, statusText, headers });
  }

  #setCookie(status: number, headers: Headers): void {
    if (!this.#decision.setsCookie) return;
    let finished: { answer: string; text: string };
    try {
      finished = this.#gateway.affinity.finish(this.#decision, status);
    } catch {
      // The affinity was closed under way: the response is returned without a cookie.
      return;
    }
    const { answer, text } = finished;
    const carrier = this.#gateway.options.carrierHeader;
    if (answer === 'set_cookie') headers.append('set-cookie', text);
    else if (answer === 'carrier' && carrier !== undefined) headers.set(carrier, text);
    else return;
    // A cached value would share a session.
    headers.append('cache-control', `no-cache="${answer === 'set_cookie' ? 'Set-Cookie' : carrier}"`);
  }

  #sealer(headers: Headers): IdSealer | null {
    const opener = this.#opener;
    if (!opener?.report().changesResponse) return null;
    const origin = this.#gateway.options.origin?.(this.#request) ?? new URL(this.#request.url).origin;
    const events = contentOf(headers) === 'events';
    return this.#gateway.affinity.sealer(this.#slot, { opener, events, upstream: this.#gateway.authority, origin });
  }

  #passes(headers: Headers): boolean {
    const content = contentOf(headers);
    return (
      (content !== 'json' && content !== 'events') || this.#opener?.report().downloads === true || isEncoded(headers)
    );
  }
}

/** A body that may be sent again. */
class Kept {
  #body: ReadableStream<Uint8Array> | Part | null;
  /** A copy of what passed, while there is room. */
  #parts: Uint8Array[] | null = [];
  /** True if the body can be sent again. */
  whole = false;

  constructor(
    body: ReadableStream<Uint8Array> | Part | null,
    readonly limit: number,
  ) {
    this.#body = body;
    if (!(body instanceof ReadableStream)) this.whole = (body?.length ?? 0) <= limit;
  }

  take(): ReadableStream<Uint8Array> | Part | null {
    const body = this.#body;
    if (!(body instanceof ReadableStream) || this.limit < 0) return body;
    let room = this.limit;
    return body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform: (chunk, controller) => {
          room -= chunk.length;
          if (room < 0) this.#parts = null;
          this.#parts?.push(chunk.slice());
          controller.enqueue(chunk);
        },
        flush: () => {
          if (this.#parts === null) return;
          this.#body = joined(this.#parts) as Part;
          this.whole = true;
        },
      }),
    );
  }
}

/** A stream of these parts, and then of what a reader gives. */
function behind(parts: Uint8Array[], reader: ReadableStreamDefaultReader<Uint8Array>): ReadableStream<Uint8Array> {
  const front = parts.filter((part) => part.length > 0);
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = front.length > 0 ? { done: false, value: front.shift() } : await reader.read();
      if (done || value === undefined) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

// ---- Headers. Their values are bytes, each of which `Headers` gives as a character.

function bytesOf(value: string): Bytes {
  return /^[\x00-\x7f]*$/.test(value) ? value : Uint8Array.from(value, (letter) => letter.charCodeAt(0));
}

function textOf(value: Bytes): string {
  return typeof value === 'string' ? value : Array.from(value, (byte) => String.fromCharCode(byte)).join('');
}

/** The value that copies of it make, joined by commas; null for different ones. */
function theOne(value: string): string | null {
  const parts = value.split(',').map((part) => part.replace(/^[ \t]+|[ \t]+$/g, ''));
  const different = new Set(parts.filter((part) => part !== ''));
  return different.size > 1 ? null : ([...different][0] ?? '');
}

function listed(headers: Headers, name: string): string[] {
  const parts = (headers.get(name) ?? '').split(',').map((part) => part.trim().toLowerCase());
  return parts.filter((part) => TOKEN.test(part));
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
const HOPS = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'host',
  'expect',
];
const NO_BODY = new Set([101, 204, 205, 304]);

function headersOf(account: Credentials, i: number): [string, string][] {
  if (account === null) return [];
  const headers = typeof account === 'string' ? { authorization: `Bearer ${account}` } : account;
  return Object.entries(headers).map(([name, value]) => {
    if (
      !TOKEN.test(name.toLowerCase()) ||
      typeof value !== 'string' ||
      /[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]/.test(value)
    ) {
      throw new TypeError(`accounts[${i}]: ${name} is no header, or has a bad byte in its value`);
    }
    return [name.toLowerCase(), value];
  });
}

/** Returns the name as a server sees it that makes a variable of it. */
function folded(name: string): string {
  return name.replaceAll('_', '-');
}

/** True if a header of this name, in lower case, is a client's own credential. */
function isClientCredential(name: string): boolean {
  const words = folded(name).split('-');
  const isKey = words.some((word, i) => word === 'key' && CREDENTIAL_KEYS.includes(words[i - 1] ?? ''));
  return isKey || PAYER_HEADERS.includes(folded(name)) || words.some((word) => CREDENTIAL_WORDS.includes(word));
}

/** A body without a type is taken for JSON: many servers do, too. */
function contentOf(headers: Headers): 'json' | 'events' | 'multipart' | 'other' {
  const kind = (headers.get('content-type') ?? '').split(/[;,]/)[0]?.trim().toLowerCase() ?? '';
  if (kind === '' || kind === 'application/json' || kind.endsWith('+json')) return 'json';
  if (kind === 'text/event-stream') return 'events';
  return kind.startsWith('multipart/') ? 'multipart' : 'other';
}

function isEncoded(headers: Headers): boolean {
  return listed(headers, 'content-encoding').some((coding) => coding !== 'identity');
}

function isUtf8(body: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(body);
    return true;
  } catch {
    return false;
  }
}

function failures(statuses: readonly number[]): boolean {
  return statuses.length > 0 && statuses.every((status) => Number.isInteger(status) && status >= 400 && status <= 599);
}

function decimal(text: string): number | null {
  return /^[0-9]+(\.[0-9]+)?$/.test(text) ? Math.ceil(Math.min(Number(text), 2 ** 40)) : null;
}

/** The whole seconds that cover what a response asks to wait. */
function retryAfter(headers: Headers, now: number): number | null {
  const milliseconds = decimal(headers.get('retry-after-ms') ?? '');
  if (milliseconds !== null) return Math.ceil(milliseconds / 1000);
  const asked = headers.get('retry-after');
  if (asked === null) return null;
  const seconds = decimal(asked.trim());
  if (seconds !== null) return seconds;
  const date = /^[A-Z][a-z]{2}, /.test(asked) ? Date.parse(asked) : Number.NaN;
  return Number.isNaN(date) ? null : Math.max(0, Math.ceil(date / 1000) - now);
}
