// All of tests/vectors, whose README says how the files read. It runs in every host: `load` gives a
// file's text.

export const FILES = [
  'selection_v1.json',
  'cookie_v1.json',
  'ids_v1.json',
  'id_bodies_v1.json',
  'decision_v1.json',
  'decision_ids_v1.json',
];
export const JUMPS = [
  'jump_clickhouse.csv',
  'jump_go-jump_refcpp.csv',
  'jump_guava.csv',
  'jump_python_lithammer.csv',
  'jump_rounding_edges.csv',
  'jump_rust_jmphash.csv',
];

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

export const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
export const hex64 = (number) => number.toString(16).padStart(16, '0');
const bits = (text) => BigInt(`0x${text}`);
const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

/** JSON with the keys of objects in order, so that equal things are equal texts. */
function canonical(value) {
  return JSON.stringify(value, (_, it) => {
    if (typeof it === 'bigint') return hex64(it);
    if (it instanceof Uint8Array) return hex(it);
    if (it === null || typeof it !== 'object' || Array.isArray(it)) return it;
    return Object.fromEntries(Object.entries(it).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

export class Checks {
  count = 0;

  equal(found, wanted, where) {
    const [left, right] = [canonical(found), canonical(wanted)];
    if (left !== right) throw new Error(`${left}\nis not ${right}\nin ${canonical(where)?.slice(0, 2000)}`);
    this.count++;
  }

  refused(call, status, where) {
    let found = 'nothing';
    try {
      call();
    } catch (error) {
      found = error.status ?? String(error);
    }
    this.equal(found, status, where);
  }
}

export function keyOf(tokenpin, key) {
  if (key === null || key === undefined) return null;
  const kind = Object.values(tokenpin.Kind)[key.kind];
  const [first, second] = [unhex(key.key), key.session === undefined ? undefined : unhex(key.session)];
  if (kind === 'anonymous') return { kind, id: first };
  if (kind === 'session') return { kind, session: first };
  return kind === 'consumer' ? { kind, consumer: first } : { kind, consumer: first, session: second };
}

const slotsOf = (slots) => slots.map((slot) => (slot === null ? null : { ...slot, identity: unhex(slot.identity) }));
const ringOf = (keys) => keys.map((key) => ({ ...key, secret: unhex(key.secret) }));
const chunks = (bytes, size) => {
  const made = [];
  for (let at = 0; at < bytes.length; at += size) made.push(bytes.subarray(at, at + size));
  return made;
};
export const textOf = (parts) => {
  const streaming = new TextDecoder('utf-8', { ignoreBOM: true });
  return parts.map((part) => streaming.decode(part, { stream: true })).join('') + streaming.decode();
};

export function jumps(tokenpin, checks, text) {
  const [head, ...rows] = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const names = head.split(',').map((name) => name.trim());
  for (const row of rows) {
    const values = Object.fromEntries(row.split(',').map((value, i) => [names[i], value.trim()]));
    const bucket = Number(values.reference_f64 ?? values.bucket);
    checks.equal(tokenpin.jump(BigInt(values.key), Number(values.n)), bucket, row);
  }
}

export function selection(tokenpin, checks, file) {
  for (const it of file.identity_hash) checks.equal(hex64(tokenpin.identityHash(unhex(it.identity))), it.hash, it);
  for (const it of file.key_hash) {
    const found = tokenpin.keyHash(unhex(it.placement_key), keyOf(tokenpin, it.key), unhex(it.scope));
    checks.equal(hex64(found), it.h, it);
  }
  for (const it of file.jump) checks.equal(tokenpin.jump(bits(it.key), it.n), it.bucket, it);
  for (const it of file.select) {
    const slots = new tokenpin.Slots(slotsOf(it.slots));
    const { strategy, now, anonymous, tried } = it;
    const key = keyOf(tokenpin, it.key);
    const how = { strategy, now, anonymous, tried, ...(key === null ? {} : { key }) };
    checks.equal(slots.select(bits(it.h), how), it.slot, it);
    if (strategy !== 'higress_fnv1a_modulo') {
      const many = slots.selectBatch(BigUint64Array.of(bits(it.h), bits(it.h)), how);
      checks.equal([...many], [it.slot ?? -1, it.slot ?? -1], it);
    }
    slots.close();
  }
}

const cookieOf = (cookie) =>
  cookie && {
    kind: cookie.kind,
    id: hex(cookie.id),
    pin: hex64(cookie.pin),
    issued_at: cookie.issuedAt,
    refreshed_at: cookie.refreshedAt,
  };

export function cookies(tokenpin, checks, file) {
  const kinds = Object.values(tokenpin.Kind);
  for (const it of file.encode) {
    const ring = new tokenpin.KeyRing(ringOf(it.ring));
    const { kind, id, pin, issued_at: issuedAt, refreshed_at: refreshedAt } = it.cookie;
    const cookie = { kind: kinds[kind], id: unhex(id), pin: bits(pin), issuedAt, refreshedAt };
    const place = { name: it.name, scope: unhex(it.scope), key: keyOf(tokenpin, it.key) };
    checks.equal(ring.encode(cookie, place), it.value, it);
    ring.close();
  }
  for (const it of file.decode) {
    const ring = new tokenpin.KeyRing(ringOf(it.ring));
    const place = { name: it.name, scope: unhex(it.scope), key: keyOf(tokenpin, it.key) };
    const limits = Object.fromEntries(Object.entries(it.limits).map(([name, value]) => [camel(name), value]));
    const { verdict, cookie } = ring.decode(it.value, place, { ...limits, now: it.now });
    const wanted = it.cookie && { ...it.cookie, kind: kinds[it.cookie.kind] };
    checks.equal({ verdict, cookie: cookieOf(cookie) }, { verdict: it.verdict, cookie: wanted }, it);
    ring.close();
  }
  for (const it of file.header) {
    checks.equal(tokenpin.cookieValues(it.field, it.name), it.values, it);
    checks.equal(tokenpin.cookieStrip(it.field, it.name), it.stripped, it);
    const field = encoder.encode(it.field);
    checks.equal(
      tokenpin.cookieValues(field, it.name).map((value) => decoder.decode(value)),
      it.values,
      it,
    );
    checks.equal(decoder.decode(tokenpin.cookieStrip(field, it.name)), it.stripped, it);
  }
  for (const it of file.default_name) checks.equal(tokenpin.defaultCookieName(unhex(it.scope)), it.name, it);
}

export function ids(tokenpin, checks, file) {
  const at = (it) => [new tokenpin.IdRing(ringOf(it.ring)), { scope: unhex(it.scope), owner: unhex(it.owner) }];
  for (const it of file.seal) {
    const [ring, place] = at(it);
    if (it.sealed === null) checks.refused(() => ring.seal(it.id, bits(it.pin), place), 'id', it);
    else checks.equal(ring.seal(it.id, bits(it.pin), place), it.sealed, it);
    ring.close();
  }
  for (const it of file.mark) {
    const [ring, place] = at(it);
    checks.equal(ring.mark(it.content, bits(it.pin), place), it.mark, it);
    ring.close();
  }
  for (const [section, call, name] of [
    ['open', 'open', 'native'],
    ['open_mark', 'openMark', 'content'],
  ]) {
    for (const it of file[section]) {
      const [ring, place] = at(it);
      const { verdict, native, pin } = ring[call](it.text, place);
      const wanted = { verdict: it.verdict, native: it[name], pin: it.pin };
      checks.equal({ verdict, native, pin: pin && hex64(pin) }, wanted, it);
      ring.close();
    }
  }
}

/** A summary without its account, which the C interface does not tell: the decision shows it. */
function summaryOf(opener) {
  const { verdict, keys, refused, unreadable, existing, unstored, opened, plain, uploads, downloads, quoted } =
    opener.report();
  return {
    uploads,
    downloads,
    quoted,
    verdict,
    keys: keys.map((key) => key ?? 255),
    refused,
    unreadable,
    existing,
    unstored,
    opened,
    plain,
  };
}
const withoutAccount = ({ account: _, ...summary }) => summary;

export function bodies(tokenpin, checks, file, size) {
  const [given] = file.with;
  const affinity = new tokenpin.Affinity({
    slots: ['account-a', 'account-b'],
    placementKey: encoder.encode('p'.repeat(16)),
    cookieKeys: ringOf(given.ring),
  });
  const pins = [0, 1].map((slot) => hex64(affinity.pin(slot)));
  checks.equal(pins, given.accounts, given);
  const slot = given.accounts.indexOf(given.pin);
  const place = { scope: unhex(given.scope), owner: unhex(given.owner) };
  const origin = { upstream: given.upstream, origin: given.origin };
  const through = (rewriter, body) => [
    ...chunks(encoder.encode(body), size).map((part) => rewriter.push(part)),
    rewriter.finish(),
  ];
  for (const it of file.responses) {
    const sealer = affinity.sealer(slot, { ids: it.ids, events: it.events, mode: 'seal', ...place, ...origin });
    const out = textOf(through(sealer, it.body));
    const { changed: sealed, unexpected } = sealer;
    checks.equal({ out, sealed, unexpected }, { out: it.out, sealed: it.sealed, unexpected: it.unexpected }, it);
  }
  for (const it of file.requests) {
    const opener = affinity.opener('', { ids: it.ids, mode: it.mode, ...place });
    const out = textOf(through(opener, it.body));
    const wanted = { out: it.out, unexpected: it.unexpected, summary: withoutAccount(it.summary) };
    checks.equal({ out, unexpected: opener.unexpected, summary: summaryOf(opener) }, wanted, it);
    const whole = affinity.opener('', { ids: it.ids, mode: it.mode, ...place });
    checks.equal(decoder.decode(whole.body(encoder.encode(it.body))), it.out, it);
  }
  for (const it of file.targets) {
    const opener = affinity.opener(it.target, { ids: it.ids, mode: it.mode, ...place });
    checks.equal([opener.target, summaryOf(opener)], [it.out, withoutAccount(it.summary)], it);
  }
  for (const it of file.locations) {
    const sealer = affinity.sealer(slot, { ids: 'items', mode: 'seal', ...place, ...origin });
    checks.equal(sealer.target(it.target), it.out, it);
  }
  affinity.close();
}

const CONFIG = [
  'strategy',
  'policy_existing',
  'policy_new',
  'skew',
  'max_life',
  'max_idle',
  'max_age',
  'combine_keys',
  'reject_bad_keys',
  'keyed_cookies',
  'mint_single',
  'prompt_cache',
  'cookie_name',
  'id_mode',
  'id_owner',
  'foreign_seals',
  'encrypted_content',
  'id_prefixes',
  'id_collections',
  'id_fields',
  'success',
];

export function affinityOf(tokenpin, it) {
  const same = Object.fromEntries(CONFIG.map((name) => [camel(name), it[name]]));
  const attributes = Object.fromEntries(Object.entries(it.attributes).map(([name, value]) => [camel(name), value]));
  return new tokenpin.Affinity({
    ...same,
    ...attributes,
    slots: slotsOf(it.slots),
    placementKey: unhex(it.placement_key),
    cookieKeys: ringOf(it.cookie_keys),
    idKeys: ringOf(it.id_keys),
    scope: unhex(it.scope),
  });
}

function requestOf(it, opener) {
  return {
    method: it.method,
    target: it.target,
    cookies: it.cookies,
    consumer: it.consumers.map(unhex),
    consumerTrusted: it.consumer_trusted,
    session: it.sessions.map(unhex),
    group: it.group,
    existing: it.existing,
    carrierValue: it.carrier_value,
    carrier: it.carrier,
    scope: unhex(it.scope),
    tried: it.tried,
    now: it.now,
    entropy: unhex(it.entropy),
    idHint: it.id_hint && unhex(it.id_hint),
    ids: opener,
  };
}

function decisionOf(decision) {
  const { slot, source, outcome, verdict, ambiguous, existing, refusal, fingerprint } = decision;
  const cookie = decision.setsCookie
    ? { value: decision.cookieValue, max_age: decision.maxAge, carrier: decision.carrier }
    : null;
  return {
    slot,
    source,
    outcome,
    verdict,
    ambiguous,
    existing,
    refusal,
    cookie,
    fingerprint: hex64(fingerprint),
    pin_state: decision.pinState,
    id_verdict: decision.idVerdict,
    id_keys: decision.idKeys.map((key) => key ?? 255),
    key_reason: decision.keyReason,
    may_move: decision.mayMove,
    retry_after: decision.retryAfter,
    refusal_status: decision.refusalStatus,
  };
}

/** Opens a request's ids, where a host looked at them, as the case says it is done. */
function openerOf(checks, affinity, it) {
  if (it.opened === undefined) return null;
  const { request } = it;
  const { ids } = affinity.classify(request.method, request.target);
  const owner = affinity.idOwner(request.consumers.map(unhex), request.consumer_trusted);
  const opener = affinity.opener(request.target, { ids, owner, scope: unhex(request.scope) });
  const body = decoder.decode(opener.body(encoder.encode(request.body)));
  const found = {
    ids,
    body,
    target: opener.target,
    unexpected: opener.unexpected,
    seals: opener.report().seals,
    summary: summaryOf(opener),
  };
  checks.equal(found, { ...it.opened, summary: withoutAccount(it.opened.summary) }, it);
  return opener;
}

export function decisions(tokenpin, checks, file) {
  for (const it of file.classify ?? []) {
    const { group, existing, ids } = it;
    const found = tokenpin.classify(it.method, it.target, { promptCache: it.prompt_cache });
    checks.equal(found, { group, existing, ids }, it);
  }
  for (const it of file.id_hint ?? []) {
    const affinity = new tokenpin.Affinity({
      slots: ['a'],
      placementKey: unhex(it.placement_key),
      cookieKeys: [{ id: 1, secret: encoder.encode('s'.repeat(16)) }],
    });
    checks.equal(hex(affinity.idHint(unhex(it.of))), it.id_hint, it);
    affinity.close();
  }
  for (const it of file.cases) {
    const affinity = affinityOf(tokenpin, file.configs[it.config]);
    const decision = affinity.decide(requestOf(it.request, openerOf(checks, affinity, it)));
    checks.equal(decisionOf(decision), it.decision, it);
    checks.equal(hex64(affinity.liveFingerprint(it.request.now)), it.live_fingerprint, it);
    for (const { status, answer, text } of it.finish) {
      checks.equal(affinity.finish(decision, status), { answer, text }, it);
    }
    affinity.close();
  }
  for (const it of file.refused) {
    const affinity = affinityOf(tokenpin, file.configs[it.config]);
    const opener = openerOf(checks, affinity, it);
    checks.refused(() => affinity.decide(requestOf(it.request, opener)), it.error, it);
    affinity.close();
  }
}

/** Everything. Gives the number of checks. */
export async function all(tokenpin, load) {
  const checks = new Checks();
  for (const name of JUMPS) jumps(tokenpin, checks, await load(name));
  const file = async (name) => JSON.parse(await load(name));
  selection(tokenpin, checks, await file('selection_v1.json'));
  cookies(tokenpin, checks, await file('cookie_v1.json'));
  ids(tokenpin, checks, await file('ids_v1.json'));
  const given = await file('id_bodies_v1.json');
  for (const size of [1, 2, 7, 1000000]) bodies(tokenpin, checks, given, size);
  decisions(tokenpin, checks, await file('decision_v1.json'));
  decisions(tokenpin, checks, await file('decision_ids_v1.json'));
  return checks.count;
}
