// Tests beyond the types: wrong arguments, closed handles, hostile lengths, memory, and what the
// module is made of.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import * as tokenpin from 'tokenpin';
import { Affinity, ConfigError, IdRing, KeyRing, Slots, TokenpinError } from 'tokenpin';

const bytes = (text) => new TextEncoder().encode(text);
const KEY = { id: 1, secret: bytes('sixteen secrets!') };
const PLACEMENT = bytes('a placement key!');
const affinityOf = (config = {}) =>
  new Affinity({ slots: ['a', 'b', 'c', null], placementKey: PLACEMENT, cookieKeys: [KEY], ...config });
// Internals of the package.
const inside = await import(new URL('./memory.js', import.meta.resolve('tokenpin')));
const PACKAGE = new URL('../package.json', import.meta.resolve('tokenpin'));
const FILE = new URL('./tokenpin.wasm', import.meta.resolve('tokenpin'));

describe('errors', () => {
  test('of what a getter of an argument has closed, also where another one lies there by now', () => {
    const [affinity, slots] = [affinityOf(), new Slots(['a'])];
    const method = () => {
      affinity.close();
      affinityOf({ slots: ['x'] });
    };
    const strategy = () => {
      slots.close();
      new Slots(['x', 'y']);
    };
    const closed = { status: 'not_initialised' };
    assert.throws(() => affinity.decide(Object.defineProperty({}, 'method', { get: method })), closed);
    assert.throws(() => slots.select(1n, Object.defineProperty({}, 'strategy', { get: strategy })), closed);
  });

  test('have the name and the text of the status', () => {
    const affinity = affinityOf();
    assert.throws(
      () => affinity.decide({ tried: [9] }),
      (error) => {
        assert.ok(error instanceof TokenpinError && error instanceof Error);
        assert.deepEqual([error.status, error.number, error.name], ['slot_range', 27, 'TokenpinError']);
        assert.equal(error.text, 'the slot number is not below the capacity');
        assert.equal(error.message, 'slot_range: the slot number is not below the capacity');
        return true;
      },
    );
  });

  test('of a configuration say where', () => {
    for (const [config, status, field, index] of [
      [{ slots: [] }, 'slot_count', 'slots', 0],
      [{ slots: ['a', 'b', 'a'] }, 'duplicate_identity', 'slots', 2],
      [{ slots: ['a', ''] }, 'identity_empty', 'slots', 1],
      [{ slots: ['a', { identity: 'b', weight: 65537 }] }, 'weight', 'slots', 1],
      [{ slots: ['a', { identity: 'b', until: 2 ** 46 }] }, 'until', 'slots', 1],
      [{ placementKey: new Uint8Array(16) }, 'zero_secret', 'placement_key', 0],
      [
        { cookieKeys: [KEY, { id: 1, secret: bytes('another secret..'), role: 'accept' }] },
        'duplicate_key_id',
        'cookie_keys',
        1,
      ],
      [{ cookieKeys: [KEY, { id: 2, secret: KEY.secret, role: 'accept' }] }, 'duplicate_secret', 'cookie_keys', 1],
      [{ cookieKeys: [] }, 'key_count', 'cookie_keys', 0],
      [{ idKeys: [{ ...KEY, role: 'retire' }] }, 'signing_keys', 'id_keys', 0],
      [{ scope: 's'.repeat(1025) }, 'scope_length', 'scope', 0],
      [{ cookieName: 'a b' }, 'cookie_name', 'cookie_name', 0],
      [{ path: 'a' }, 'attribute', 'path', 0],
      [{ domain: 'a;b' }, 'attribute', 'domain', 0],
      [{ sameSite: 'none', secure: false, cookieName: 'a' }, 'needs_secure', 'same_site', 0],
      [{ maxAge: 34560001 }, 'max_age', 'max_age', 0],
      [{ success: [300, 200] }, 'success_range', 'success', 0],
      [{ rules: [{ pattern: 'a' }, { pattern: 'a//b' }] }, 'pattern', 'rules', 1],
      [{ idFields: [{ name: 'x'.repeat(33) }] }, 'id_field', 'id_fields', 0],
    ]) {
      assert.throws(
        () => affinityOf(config),
        (error) => {
          assert.ok(error instanceof ConfigError && error instanceof TokenpinError, String(error));
          assert.deepEqual([error.status, error.field, error.index], [status, field, index]);
          assert.ok(error.message.startsWith(`${field}[${index}]: ${status}: `), error.message);
          return true;
        },
      );
    }
    assert.throws(() => new KeyRing([KEY, { ...KEY, id: 2, role: 'accept' }]), {
      status: 'duplicate_secret',
      index: 1,
    });
    assert.throws(() => new IdRing([KEY], KEY.secret), ConfigError);
  });

  test('tell no secret', () => {
    const secret = bytes('SECRETSECRETSECR');
    for (const role of ['sign', 'nonsense']) {
      try {
        affinityOf({
          cookieKeys: [
            { id: 1, secret, role },
            { id: 1, secret },
          ],
        });
        assert.fail();
      } catch (error) {
        assert.doesNotMatch(`${error.message}${error.stack}${JSON.stringify(error)}`, /SECRET/);
      }
    }
    assert.doesNotMatch(JSON.stringify(affinityOf()), /secret/i);
  });
});

describe('wrong types', () => {
  const affinity = affinityOf();
  const wrong = [undefined, null, 1, NaN, 'x', Symbol('s'), {}, [], () => {}, 1n, true];
  const refused = (call, value) =>
    assert.throws(
      () => {
        call();
        assert.fail(`${String(value)} is taken`);
      },
      (error) => {
        assert.ok(
          error instanceof TypeError || error instanceof RangeError || error instanceof TokenpinError,
          `${String(value)}: ${error.stack}`,
        );
        return true;
      },
    );

  test('are refused by name in a configuration', () => {
    for (const [config, message] of [
      [{ slots: 'abc' }, 'slots must be an array'],
      [{ slots: ['a', 7] }, 'slots[1] must be an object'],
      [{ slots: ['a', undefined] }, 'slots[1] must be an object'],
      [{ slots: new Array(3) }, 'slots[0] must be an object'],
      [{ slots: [{ identity: 7 }] }, 'slots[0].identity must be a string or a Uint8Array'],
      [{ slots: [{ identity: 'a', wieght: 7 }] }, 'slots[0] has no wieght'],
      [{ slots: [{ identity: 'a', weight: '7' }] }, 'slots[0].weight must be a number'],
      [
        { slots: [{ identity: 'a', weight: 0.5 }] },
        'slots[0].weight must be a whole number from 0 to 4294967295, and not 0.5',
      ],
      [{ slots: [{ identity: 'a', state: 'Up' }] }, 'slots[0].state must be one of up, draining, down, vacant'],
      [{ placementKey: 'a placement key!' }, 'placementKey must be a Uint8Array'],
      [{ placementKey: new Uint8Array(15) }, 'placementKey must have 16 bytes, and not 15'],
      [{ cookieKeys: KEY }, 'cookieKeys must be an array'],
      [{ cookieKeys: [{ ...KEY, id: 256 }] }, 'cookieKeys[0].id must be a whole number from 0 to 255, and not 256'],
      [{ cookieKeys: [{ ...KEY, key: 1 }] }, 'cookieKeys[0] has no key'],
      [{ keyedCookies: 1 }, 'keyedCookies must be a boolean'],
      [{ keyedCookie: true }, 'config has no keyedCookie'],
      [{ size: 1 }, 'config has no size'],
      [{ maxAge: -1 }, 'maxAge must be a whole number from 0 to 4294967295, and not -1'],
      [{ idMode: 'on' }, 'idMode must be one of off, open, seal, strict'],
      [{ success: 200 }, 'success must be an array'],
      [{ rules: [{ pattern: 'a', group: 'none' }] }, 'rules[0].group must be one of stateless, stateful, prompt_cache'],
      [{ idFields: [{ name: 'a', kind: Symbol('k') }] }, 'idFields[0].kind must be one of path, query'],
      [{ idPrefixes: ['a', 1] }, 'idPrefixes must be a string or a Uint8Array'],
    ]) {
      assert.throws(
        () => affinityOf(config),
        (error) => {
          assert.ok(error.message.startsWith(message), error.message);
          return true;
        },
      );
    }
    // A secret in the wrong place is not shown.
    assert.throws(
      () => affinityOf({ strategy: 'sk-secret' }),
      (error) => error instanceof TypeError && !error.message.includes('sk-'),
    );
    refused(() => new Affinity(), undefined);
    refused(() => new Affinity(null), null);
  });

  test('are refused by name where a status or the use of ids is given', () => {
    const affinity = affinityOf({ idMode: 'seal' });
    const slots = new Slots(['a', 'b']);
    const opener = affinity.opener('/', { ids: 'both', owner: 'alice' });
    for (const [call, message] of [
      [() => affinity.setSlot(0, 'down'), 'status must be an object'],
      [() => affinity.setSlot(0, { State: 'down' }), 'status has no State'],
      [() => slots.set(0, 'down'), 'status must be an object'],
      [() => slots.set(0, { wieght: 1 }), 'status has no wieght'],
      [() => affinity.opener('/', { ids: 'both', ownr: 'alice' }), 'options has no ownr'],
      [() => affinity.sealer(0, { ids: 'both', event: true }), 'options has no event'],
      [() => affinity.sealer(0, opener), 'options has no '],
      [() => affinity.sealer(0, {}), 'ids must be one of none, open, both, items'],
      [() => affinity.sealer(0, { ids: 'all' }), 'ids must be one of'],
      [() => affinity.sealer(0, { ids: 'both', mode: 'on' }), 'mode must be one of'],
    ]) {
      assert.throws(call, (error) => {
        assert.ok(error instanceof TypeError && error.message.startsWith(message), error.stack);
        return true;
      });
    }
    assert.throws(() => affinity.sealer(0, { ids: 'both', owner: 'x'.repeat(4097) }), { status: 'key_length' });
    assert.equal(affinity.getSlot(0).state, 'up');
    assert.equal(slots.get(0).state, 'up');
  });

  test('of every argument of a request', () => {
    for (const name of [
      'method',
      'target',
      'cookies',
      'consumer',
      'session',
      'carrierValue',
      'scope',
      'entropy',
      'idHint',
      'tried',
      'now',
      'group',
      'existing',
      'consumerTrusted',
      'carrier',
      'ids',
    ]) {
      const fine = new Set(
        {
          method: ['x'],
          target: ['x'],
          cookies: ['x'],
          consumer: ['x'],
          session: ['x'],
          carrierValue: ['x'],
          scope: ['x'],
          now: [1],
          existing: [true],
          consumerTrusted: [true],
          carrier: [true],
          idHint: [null],
          group: [null],
          ids: [null],
        }[name] ?? [],
      );
      for (const value of wrong) {
        if (value === undefined || fine.has(value)) continue;
        if (Array.isArray(value) && ['cookies', 'consumer', 'session', 'tried'].includes(name)) continue;
        refused(() => affinity.decide({ [name]: value }), value);
      }
    }
    for (const now of [-1, 0.5, 2 ** 53, NaN, Infinity, '1', 1n]) refused(() => affinity.decide({ now }), now);
    for (const tried of [['0'], [-1], [2 ** 32], [0.5], [null]]) refused(() => affinity.decide({ tried }), tried);
    for (const entropy of [new Uint8Array(15), new Uint8Array(17), [0]])
      refused(() => affinity.decide({ entropy }), entropy);
    refused(() => affinity.decide({ method: 'POST', target: '/v1/files', entropy: new Uint8Array(16) }), 'entropy');
  });

  test('of every other function', () => {
    const ring = new KeyRing([KEY]);
    const ids = new IdRing([KEY]);
    const slots = new Slots(['a', 'b']);
    const calls = {
      jump: (value) => tokenpin.jump(value === 1n ? 1 : value, 3),
      buckets: (value) => tokenpin.jump(1n, value === 1 ? 0 : value),
      identityHash: (value) => tokenpin.identityHash(value === 'x' ? '' : value),
      keyHash: (value) => tokenpin.keyHash(PLACEMENT, value),
      placement: (value) => tokenpin.keyHash(value, { kind: 'consumer', consumer: 'a' }),
      Slots: (value) => new Slots(value),
      set: (value) => slots.set(value === 1 ? 2 : value, {}),
      status: (value) => slots.set(0, { weight: value === 1 ? 1e9 : (value ?? 'x') }),
      select: (value) => slots.select(value === 1n ? -1n : value),
      batch: (value) => slots.selectBatch(value),
      out: (value) => slots.selectBatch(new BigUint64Array(1), {}, value ?? 1),
      KeyRing: (value) => new KeyRing(value),
      encode: (value) => ring.encode(value, { name: 'a' }),
      decode: (value) => ring.decode(value === 'x' ? 1 : value, { name: 'a' }, { now: 1 }),
      now: (value) => ring.decode('x', { name: 'a' }, { now: value === 1 ? -1 : value }),
      seal: (value) => ids.seal(value === 'x' ? 'a b' : value, 1n),
      pin: (value) => ids.seal('a', value === 1n ? 2n ** 64n : value),
      open: (value) => ids.open(value === 'x' ? 1 : value),
      mark: (value) => ids.mark(value === 'x' ? '' : value, 1n),
      cookieValues: (value) => tokenpin.cookieValues('a=b', value === 'x' ? 1 : value),
      strip: (value) => tokenpin.cookieStrip(value === 'x' ? 1 : value, 'a'),
      setCookie: (value) => tokenpin.setCookie(value === 'x' ? 'a b' : value, 'a'),
      matches: (value) => tokenpin.setCookieMatches(value === 'x' ? 1 : value, 'a'),
      classify: (value) => tokenpin.classify(value === 'x' ? 1 : value, '/'),
      setSlot: (value) => affinity.setSlot(value === 1 ? 3 : value, {}),
      getSlot: (value) => affinity.getSlot(value === 1 ? 4 : value),
      find: (value) => affinity.find(value === 'x' ? 1 : value),
      hint: (value) => affinity.idHint(value === 'x' ? '' : value),
      key: (value) => affinity.idKey(value === 1 ? 255 : value),
      owner: (value) => affinity.idOwner('a', value === true || value === undefined ? 1 : value),
      opener: (value) => affinity.opener('/', { ids: value }),
      openerTarget: (value) => affinity.opener(value === 'x' ? 1 : value, { ids: 'both' }),
      sealer: (value) => affinity.sealer(value === 1 ? 3 : value, { ids: 'both' }),
      finish: (value) => affinity.finish(value, 200),
      push: (value) => affinity.opener('/', { ids: 'both' }).push(value),
      live: (value) => affinity.liveFingerprint(value === 1 || value === undefined ? -1 : value),
      cookieName: (value) => affinity.cookieName(value === 'x' || value === undefined ? 1 : value),
    };
    for (const [name, call] of Object.entries(calls)) {
      for (const value of wrong) {
        if (name === 'Slots' && Array.isArray(value)) continue;
        refused(() => call(value), `${name} of ${String(value)}`);
      }
    }
    assert.throws(() => affinity.finish(affinity.decide(), 65536), RangeError);
    assert.equal(affinity.decide({ method: 'POST', target: '/v1/files' }).outcome, 'placed');
  });

  test('a decision that someone changed is refused, and nothing breaks out of a header', () => {
    const decision = affinity.decide({ method: 'POST', target: '/v1/responses' });
    for (const value of ['x', `${'x'.repeat(60)}\r\nA: b`, 'x'.repeat(68), '', null, 7]) {
      const changed = Object.assign(affinity.decide({ method: 'POST', target: '/v1/responses' }), {
        cookieValue: value,
      });
      try {
        assert.match(affinity.finish(changed, 200).text, /^__Host-tokenpin=[\w-]{67}; /);
      } catch (error) {
        assert.ok(error instanceof TypeError || error.status === 'bad_decision', error.stack);
      }
    }
    assert.equal(affinity.finish(decision, 200).answer, 'set_cookie');
    assert.throws(() => affinityOf({ scope: 'x' }).finish(decision, 200), { status: 'stale' });
  });
});

describe('handles', () => {
  test('that are closed throw, also twice', () => {
    const affinity = affinityOf({ idMode: 'seal' });
    const opener = affinity.opener('/v1/files', { ids: 'both' });
    const sealer = affinity.sealer(0, { opener });
    const decision = affinity.decide();
    affinity.close();
    affinity.close();
    const closed = { status: 'not_initialised' };
    for (const call of [
      () => affinity.decide(),
      () => affinity.finish(decision, 200),
      () => affinity.getSlot(0),
      () => affinity.setSlot(0, {}),
      () => affinity.find('a'),
      () => affinity.pin(0),
      () => affinity.cookieName(),
      () => affinity.idHint('a'),
      () => affinity.classify('GET', '/'),
      () => affinity.idOwner('a', true),
      () => affinity.idKey(0),
      () => affinity.fingerprint,
      () => affinity.liveFingerprint(),
      () => affinity.opener('/', { ids: 'both' }),
      () => affinity.sealer(0, { ids: 'both' }),
      () => opener.push(bytes('{}')),
      () => opener.finish(),
      () => sealer.push(bytes('{}')),
      () => sealer.target('/'),
    ]) {
      assert.throws(call, closed, call.toString());
    }
    assert.equal(opener.report().verdict, 'none');
    const [ring, ids, slots] = [new KeyRing([KEY]), new IdRing([KEY]), new Slots(['a'])];
    for (const it of [ring, ids, slots]) it[Symbol.dispose]();
    assert.throws(() => ring.decode('x', { name: 'a' }, { now: 1 }), closed);
    assert.throws(() => ids.open('x'), closed);
    assert.throws(() => slots.select(1n), closed);
    assert.throws(() => slots.get(0), closed);
  });

  test('leave their memory to the next, and no key in it', () => {
    const secret = bytes('ASECRETOFTHERING');
    const rounds = (count) => {
      for (let i = 0; i < count; i++) {
        const affinity = affinityOf({
          cookieKeys: [{ id: 1, secret }],
          slots: Array.from({ length: 200 }, (_, slot) => `account-${slot}`),
        });
        affinity.decide({ method: 'POST', target: '/v1/responses' });
        affinity.close();
        new KeyRing([{ id: 1, secret }]).close();
        new IdRing([{ id: 1, secret }]).close();
        new Slots(['a', 'b']).close();
        assert.throws(() =>
          affinityOf({
            cookieKeys: [
              { id: 1, secret },
              { id: 1, secret },
            ],
          }),
        );
      }
      return inside.wasm.memory.buffer.byteLength;
    };
    const before = rounds(5);
    assert.equal(rounds(200), before);
    assert.equal(Buffer.from(inside.wasm.memory.buffer).indexOf(Buffer.from(secret)), -1);
  });

  test('that no one refers to give their memory back', () => {
    const text = `
      import { Affinity } from 'tokenpin';
      const inside = await import(new URL('./memory.js', import.meta.resolve('tokenpin')));
      const text = new TextEncoder();
      const cookieKeys = [{ id: 1, secret: text.encode('sixteen secrets!') }];
      const placementKey = text.encode('a placement key!');
      const slots = Array.from({ length: 2000 }, (_, i) => 'account-' + i);
      const sizes = [];
      for (let round = 0; round < 6; round++) {
        for (let i = 0; i < 20; i++) new Affinity({ slots, placementKey, cookieKeys });
        for (let i = 0; i < 5; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 5)); }
        sizes.push(inside.wasm.memory.buffer.byteLength);
      }
      console.log(JSON.stringify(sizes));`;
    const sizes = JSON.parse(run(text));
    assert.equal(sizes.at(-1), sizes[1]);
  });
});

/** A program by itself, in its own process. */
function run(text, ...flags) {
  const cwd = fileURLToPath(new URL('.', import.meta.url));
  return execFileSync(process.execPath, ['--expose-gc', ...flags, '--input-type=module', '-e', text], {
    cwd,
    encoding: 'utf8',
  });
}

describe('lengths', () => {
  const affinity = affinityOf({ idMode: 'seal' });
  const now = 1_800_000_000;

  test('of a request may be anything', () => {
    const cookie = affinity
      .finish(affinity.decide({ method: 'POST', target: '/v1/responses', now }), 200)
      .text.split(';')[0];
    for (const size of [0, 1, 255, 256, 257, 65535, 65536, 1 << 20, 1 << 24]) {
      const pad = 'p='.padEnd(size, 'x');
      const found = affinity.decide({
        method: 'GET',
        target: `/v1/responses/${pad}`,
        cookies: [pad, `${pad}; ${cookie}`],
        now,
      });
      assert.deepEqual([found.outcome, found.verdict], ['pinned', 'valid'], String(size));
    }
    const many = affinity.decide({
      target: '/v1/responses',
      cookies: [...Array.from({ length: 50000 }, () => 'a=b'), cookie],
      now,
    });
    assert.equal(many.verdict, 'valid');
    assert.equal(
      affinity.decide({ consumer: 'c'.repeat(4097), consumerTrusted: true, group: 'stateful' }).keyReason,
      'too_long',
    );
    assert.throws(() => affinity.decide({ scope: 'x'.repeat(1 << 20) }), { status: 'scope_length' });
    assert.throws(() => affinity.decide({ target: 'x'.repeat(2 ** 29 - 100) }), { status: 'out_of_memory' });
    assert.equal(affinity.decide({ method: 'GET', target: '/v1/responses/x', cookies: cookie, now }).outcome, 'pinned');
  });

  test('text is its UTF-8, at every length', () => {
    for (const unit of ['é', '€', '😀', '\u0000', '\ud800']) {
      for (const size of [1, 7, 127, 128, 255, 256, 257, 2000]) {
        const text = unit.repeat(size);
        assert.equal(tokenpin.identityHash(text), tokenpin.identityHash(bytes(text)), unit);
        assert.equal(tokenpin.identityHash(`x${text}`), tokenpin.identityHash(Buffer.from(`x${text}`)), unit);
      }
    }
    assert.equal(tokenpin.cookieStrip('a=é; pin=1; b=😀', 'pin'), 'a=é; b=😀');
    assert.equal(tokenpin.cookieStrip('\ufeffa=1', 'pin'), '\ufeffa=1');
  });

  test('of bodies, in chunks of any size', () => {
    const item = '{"id":"resp_1","object":"response","text":"é"},';
    const body = bytes(`[${item.repeat(20000)}null]`);
    const made = [1000, 32767, 32768, 32769, 70000, body.length].map((size) => {
      const sealer = affinity.sealer(0, { ids: 'both' });
      const parts = [];
      for (let at = 0; at < body.length; at += size) parts.push(sealer.push(body.subarray(at, at + size)));
      parts.push(sealer.finish());
      assert.equal(sealer.changed, 20000);
      assert.throws(() => sealer.push(body), /the body has ended/);
      return Buffer.concat(parts);
    });
    for (const one of made) assert.ok(one.equals(made[0]));
    const opener = affinity.opener('/', { ids: 'both' });
    assert.ok(Buffer.from(opener.body(made[0])).equals(Buffer.from(body)));
    assert.equal(opener.report().opened, 20000);
    const plain = bytes('{"text":"nothing to do"}');
    assert.equal(affinity.opener('/', { ids: 'both' }).push(plain).buffer, plain.buffer);
  });

  test('of streams', async () => {
    const sealer = affinity.sealer(0, { ids: 'both' });
    const stream = new Blob(['{"id":"resp_1"}']).stream().pipeThrough(sealer.stream());
    const text = await new Response(stream).text();
    assert.match(text, /^\{"id":"resp_[\w-]+tp[0-9]"\}$/);
    const opened = new Response(new Blob([text]).stream().pipeThrough(affinity.opener('/', { ids: 'both' }).stream()));
    assert.equal(await opened.text(), '{"id":"resp_1"}');
  });

  test('of batches', () => {
    const slots = new Slots(Array.from({ length: 1000 }, (_, i) => `account-${i}`));
    for (const size of [0, 1, 2047, 2048, 2049, 5000]) {
      const hashes = BigUint64Array.from({ length: size }, (_, i) => BigInt(i) * 0x9e3779b97f4a7c15n);
      const out = new Int32Array(size);
      assert.equal(slots.selectBatch(hashes, {}, out), out);
      assert.deepEqual(
        [...out],
        [...hashes].map((hash) => slots.select(hash)),
      );
    }
    assert.throws(() => slots.selectBatch(new BigUint64Array(3), {}, new Int32Array(2)), RangeError);
    assert.throws(() => slots.selectBatch(new BigUint64Array(0), { strategy: 'higress_fnv1a_modulo' }), {
      status: 'strategy',
    });
    assert.equal(new Slots([null]).select(1n), null);
    assert.deepEqual([...new Slots([null]).selectBatch(BigUint64Array.of(1n))], [-1]);
    assert.throws(() => new Slots([]).select(1n), { status: 'slot_count' });
  });
});

describe('calls within calls', () => {
  test('by getters do not disturb each other', () => {
    const affinity = affinityOf();
    const plain = affinity.decide({
      method: 'POST',
      target: '/v1/responses',
      consumer: 'alice',
      consumerTrusted: true,
    });
    const consumer = new Proxy(['alice'], {
      get(target, name) {
        for (let i = 0; i < 3; i++)
          affinity.decide({
            method: 'GET',
            target: `/v1/files/${'x'.repeat(100000)}`,
            consumer: 'bob',
            consumerTrusted: true,
          });
        assert.throws(() => affinity.decide({ tried: [9] }));
        return Reflect.get(target, name);
      },
    });
    const nested = affinity.decide({
      get method() {
        affinity.find('x'.repeat(70000));
        return 'POST';
      },
      target: '/v1/responses',
      consumer,
      consumerTrusted: true,
    });
    assert.deepEqual({ ...nested }, { ...plain });
  });

  test('by getters may move the memory', () => {
    const affinity = affinityOf();
    // Twice as much each time, so that it has to grow.
    let size = 2 ** 20;
    const grown = (value) => {
      size *= 2;
      affinity.find('x'.repeat(size));
      return value;
    };
    for (let turn = 0; turn < 4; turn++) {
      const ring = new KeyRing([
        {
          get id() {
            return grown(7);
          },
          secret: KEY.secret,
        },
      ]);
      const cookie = { kind: 'anonymous', id: new Uint8Array(16), pin: 3n, issuedAt: 5, refreshedAt: 5 };
      const value = ring.encode(cookie, { name: 'a' });
      const same = new KeyRing([{ ...KEY, id: 7 }]);
      assert.equal(same.decode(value, { name: 'a' }, { now: 5 }).verdict, 'valid');
    }
  });

  test('that throw leave nothing behind', () => {
    const text = `
      import { Affinity } from 'tokenpin';
      const inside = await import(new URL('./memory.js', import.meta.resolve('tokenpin')));
      const text = new TextEncoder();
      const affinity = new Affinity({
        slots: ['a', 'b'],
        placementKey: text.encode('a placement key!'),
        cookieKeys: [{ id: 1, secret: text.encode('sixteen secrets!') }],
      });
      const sizes = [];
      for (let round = 0; round < 2; round++) {
        for (let i = 0; i < 3000; i++) {
          try { affinity.decide({ target: 'x'.repeat(100000), tried: [1, 'x'] }); } catch {}
          try { affinity.decide({ target: 'x'.repeat(100000), cookies: { get length() { throw 1; } } }); } catch {}
        }
        sizes.push(inside.wasm.memory.buffer.byteLength);
      }
      console.log(JSON.stringify(sizes));`;
    const [first, second] = JSON.parse(run(text));
    assert.equal(second, first);
  });
});

test('a decision makes no garbage beside itself', () => {
  const text = `
    import { Affinity } from 'tokenpin';
    const text = new TextEncoder();
    const affinity = new Affinity({
      slots: ['a', 'b', 'c'],
      placementKey: text.encode('a placement key!'),
      cookieKeys: [{ id: 1, secret: text.encode('sixteen secrets!') }],
    });
    const first = affinity.decide({ method: 'POST', target: '/v1/responses' });
    const cookies = affinity.finish(first, 200).text.split(';')[0];
    const request = { method: 'GET', target: '/v1/responses/resp_1', cookies, now: 1800000000 };
    request.now = Math.floor(Date.now() / 1000);
    let kept;
    const measure = (call) => {
      for (let i = 0; i < 30000; i++) kept = call();
      const runs = [];
      for (let run = 0; run < 5; run++) {
        gc();
        const before = process.memoryUsage().heapUsed;
        for (let i = 0; i < 20000; i++) kept = call();
        runs.push((process.memoryUsage().heapUsed - before) / 20000);
      }
      return Math.min(...runs);
    };
    const pinned = affinity.decide(request);
    console.log(JSON.stringify({
      decide: measure(() => affinity.decide(request)), nothing: measure(() => affinity.finish(pinned, 200)),
      copy: measure(() => Object.assign(Object.create(null), pinned)),
    }));`;
  const { decide, nothing } = JSON.parse(run(text, '--max-semi-space-size=64', '--min-semi-space-size=64'));
  // A decision has 21 fields of 8 bytes and a head of 24.
  assert.ok(decide > 100 && decide < 260, `${decide} bytes a decision`);
  assert.ok(nothing < 8, `${nothing} bytes a call that gives nothing new`);
});

describe('the package', () => {
  const module = new WebAssembly.Module(readFileSync(FILE));

  test('asks its host for malloc and free only: a reachable panic would be an import too', () => {
    const imports = WebAssembly.Module.imports(module).map(({ module: from, name }) => `${from}.${name}`);
    assert.deepEqual(imports.sort(), ['env.free', 'env.malloc']);
  });

  test('has every function of the header', () => {
    const header = readFileSync(new URL('../../../include/tokenpin.ffi', import.meta.url), 'utf8');
    const declared = new Set([...header.matchAll(/\b(tokenpin_\w+)\(/g)].map((match) => match[1]));
    const there = WebAssembly.Module.exports(module)
      .map(({ name }) => name)
      .filter((name) => name.startsWith('tokenpin_'));
    assert.deepEqual(there.sort(), [...declared].sort());
  });

  test('lays its structures out as the library does', async () => {
    const layout = await import(new URL('./layout.js', import.meta.resolve('tokenpin')));
    const { exports: it } = new WebAssembly.Instance(module, { env: { malloc: () => 0, free: () => {} } });
    const at = (it.__heap_base.value + 15) & ~15;
    const view = new DataView(it.memory.buffer);
    const clean = () => new Uint8Array(it.memory.buffer, at, 8192).fill(0);
    const C = layout.CONFIG;
    // The library knows this size, and a smaller one only where nothing is lost; what is longer has
    // to be zero.
    assert.equal(it.tokenpin_config_init(at, C.sizeof), 0);
    assert.equal(view.getUint32(at + C.size, true), C.sizeof);
    assert.deepEqual(
      ['maxAge', 'skew', 'maxLife', 'maxIdle'].map((name) => view.getUint32(at + C[name], true)),
      [0xffffffff, 300, 2592000, 0],
    );
    assert.deepEqual(
      ['successFirst', 'successLast'].map((name) => view.getUint16(at + C[name], true)),
      [200, 299],
    );
    assert.deepEqual(
      Object.keys(C)
        .slice(Object.keys(C).indexOf('strategy'), -1)
        .map((name) => view.getUint8(at + C[name])),
      [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    );
    // The last byte that it writes is within the size, and one more byte is another size.
    clean().fill(0xee);
    assert.equal(it.tokenpin_config_init(at, C.sizeof), 0);
    assert.equal(view.getUint8(at + C.sizeof), 0xee);
    assert.equal(view.getUint8(at + C.encryptedContent), 1);
    view.setUint32(at + C.size, C.sizeof + 8, true);
    view.setUint8(at + C.sizeof, 1);
    assert.equal(it.tokenpin_affinity_size(at, at + 4096, 0), 6);
    // The library writes into the others no further than their ends.
    const D = 4096;
    for (const [name, init] of [
      ['ID_SUMMARY', (to) => it.tokenpin_id_summary_init(to)],
      ['ID_OPENER', (to) => it.tokenpin_id_opener_init(to)],
      ['ID_SEALER', (to) => it.tokenpin_id_sealer_init(to, 0)],
      ['SLOT', (to) => it.tokenpin_slot_init_vacant(to)],
    ]) {
      const size = layout[name].sizeof;
      for (const fill of [0x11, 0x22]) {
        new Uint8Array(it.memory.buffer, at + D, 4000).fill(fill);
        assert.equal(init(at + D), 0, name);
        assert.equal(view.getUint8(at + D + size), fill, name);
      }
    }
  });

  test('is small', () => {
    const files = readdirSync(new URL('dist', PACKAGE)).map((name) => new URL(`dist/${name}`, PACKAGE));
    const size = files.reduce((sum, file) => sum + gzipSync(readFileSync(file), { level: 9 }).length, 0);
    assert.ok(size < 100 * 1024, `${size} bytes gzipped`);
    console.log(`# ${size} bytes gzipped, ${gzipSync(readFileSync(FILE), { level: 9 }).length} of them the module`);
  });

  test('has the version of the library, and nothing that runs when it is installed', () => {
    const manifest = JSON.parse(readFileSync(PACKAGE, 'utf8'));
    const cargo = readFileSync(new URL('../../../Cargo.toml', import.meta.url), 'utf8');
    assert.equal(manifest.version, /^version = "(.*)"$/m.exec(cargo)[1]);
    for (const name of ['scripts', 'dependencies', 'optionalDependencies', 'bin', 'gypfile']) {
      assert.equal(manifest[name], undefined, name);
    }
  });
});
