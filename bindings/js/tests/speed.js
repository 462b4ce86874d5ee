// The cost of calls, beside peers: the least of many short runs each, in one process.

import { createRequire } from 'node:module';
import { Affinity, IdRing, identityHash, jump, KeyRing, Slots } from 'tokenpin';

const { sign, unsign } = createRequire(import.meta.url)('cookie-signature');
const bytes = (text) => new TextEncoder().encode(text);
const keys = [{ id: 1, secret: bytes('sixteen secrets!') }];

let kept;

/** Nanoseconds a call. */
function time(call, runs = 60) {
  for (let i = 0; i < 20000; i++) kept = call();
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < runs; run++) {
    const begin = process.hrtime.bigint();
    for (let i = 0; i < 2000; i++) kept = call();
    least = Math.min(least, Number(process.hrtime.bigint() - begin) / 2000);
  }
  return least;
}

/** The paper's loop, as packages for JavaScript have it. */
function jumpHash(key, buckets) {
  let [b, j] = [-1n, 0n];
  while (j < BigInt(buckets)) {
    b = j;
    key = BigInt.asUintN(64, key * 2862933555777941757n + 1n);
    j = BigInt(Math.floor(Number(b + 1n) * (2147483648 / Number((key >> 33n) + 1n))));
  }
  return Number(b);
}

const affinity = new Affinity({
  slots: Array.from({ length: 16 }, (_, slot) => `account-${slot}`),
  placementKey: bytes('a placement key!'),
  cookieKeys: keys,
});
const now = Math.floor(Date.now() / 1000);
const fresh = affinity.decide({ method: 'POST', target: '/v1/responses', now });
const cookies = affinity.finish(fresh, 200).text.split(';')[0];
const pinned = { method: 'GET', target: '/v1/responses/resp_1', cookies };
const named = { method: 'POST', target: '/v1/responses', consumer: 'alice', consumerTrusted: true };
const empty = { method: 'POST', target: '/v1/responses' };
if (affinity.decide(pinned).outcome !== 'pinned') throw new Error('not pinned');

const ring = new KeyRing(keys);
const ids = new IdRing(keys);
const pin = identityHash('account-1');
const cookie = { kind: 'anonymous', id: new Uint8Array(16).fill(7), pin, issuedAt: now, refreshedAt: now };
const value = ring.encode(cookie, { name: 'pin' });
const sealed = ids.seal('resp_68f0a1b2c3d4e5f60718293a4b5c6d7e', pin);
const signed = sign(value, 'sixteen secrets!');
const slots = new Slots(Array.from({ length: 16 }, (_, slot) => `account-${slot}`));
const hashes = BigUint64Array.from({ length: 1000 }, (_, i) => BigInt(i) * 0x9e3779b97f4a7c15n);
const out = new Int32Array(1000);
for (const hash of hashes) if (jump(hash, 1000) !== jumpHash(hash, 1000)) throw new Error(`jump of ${hash}`);
const chunk = bytes(`data: {"id":"resp_68f0a1b2c3d4e5f60718293a4b5c6d7e","delta":"${'x'.repeat(150)}"}\n\n`);
const sealer = affinity.sealer(1, { ids: 'items', mode: 'seal', events: true });

const rows = [
  ['a decision with a cookie', () => affinity.decide(pinned)],
  ["with a consumer's name", () => affinity.decide(named)],
  ['with a new cookie, and random numbers', () => affinity.decide(empty)],
  ['`finish`, with a cookie', () => affinity.finish(fresh, 200)],
  [
    "making a cookie's value",
    () => ring.encode(cookie, { name: 'pin' }),
    'cookie-signature',
    () => sign(value, 'sixteen secrets!'),
  ],
  [
    "reading a cookie's value",
    () => ring.decode(value, { name: 'pin' }, { now }),
    'cookie-signature',
    () => unsign(signed, 'sixteen secrets!'),
  ],
  ['sealing an id', () => ids.seal('resp_68f0a1b2c3d4e5f60718293a4b5c6d7e', pin)],
  ['opening an id', () => ids.open(sealed)],
  ['sealing an event of 215 bytes', () => sealer.push(chunk)],
  [
    'jump hash, 1000 buckets',
    () => jump(0x123456789abcdefn, 1000),
    'in JavaScript',
    () => jumpHash(0x123456789abcdefn, 1000),
  ],
];
for (const [name, call, peer, other] of rows) {
  const own = time(call);
  const beside = other === undefined ? '' : time(other);
  const compared = beside === '' ? '' : `${peer}: ${beside.toFixed(0)}, ${(beside / own).toFixed(1)} times as much`;
  console.log(`| ${name} | ${own.toFixed(0)} | ${compared} |`);
}
console.log(
  `| one key of a batch of 1000 | ${(time(() => slots.selectBatch(hashes, {}, out), 30) / 1000).toFixed(0)} | |`,
);
if (kept === undefined) throw new Error('nothing was kept');
