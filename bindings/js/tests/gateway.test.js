// The gateway: its function by itself, in fastify and in hono, in front of a provider with state in
// its accounts.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import fastify from 'fastify';
import { Hono } from 'hono';
import { Affinity } from 'tokenpin';
import plugin from 'tokenpin/fastify';
import { Gateway } from 'tokenpin/gateway';
import { ACCOUNTS, markOf, provider } from './provider.js';

const bytes = (text) => new TextEncoder().encode(text);
let upstream;
before(async () => {
  upstream = await provider();
});
after(() => upstream.stop());

export function affinityOf(config = {}) {
  return new Affinity({
    slots: ['a', 'b', 'c', 'd', 'e', 'f'].map((letter) => `account-${letter}`),
    placementKey: bytes('a placement key!'),
    cookieKeys: [{ id: 1, secret: bytes('sixteen secrets!') }],
    cookieName: 'pin',
    secure: false,
    idMode: 'seal',
    ...config,
  });
}

function gatewayOf({ config, ...options } = {}) {
  return new Gateway(affinityOf(config), {
    upstream: upstream.url,
    accounts: ACCOUNTS,
    consumerHeader: 'X-Consumer',
    sessionHeader: 'X-Session',
    carrierHeader: 'X-Pin',
    cooldowns: [{ statuses: [429], seconds: 5 }],
    retry: {},
    ...options,
  });
}

const HOST = 'http://gateway.example';

/** A request through the gateway: status, headers, body, and what the account saw. */
async function ask(gateway, method, target, { body, headers = {} } = {}) {
  const init = { method, headers: { 'content-type': 'application/json', ...headers } };
  if (body !== undefined)
    Object.assign(init, {
      body: typeof body === 'object' && !(body instanceof ReadableStream) ? JSON.stringify(body) : body,
      duplex: 'half',
    });
  const send = gateway.fetch ?? gateway;
  const response = await send(new Request(HOST + target, init));
  const text = await response.text();
  const seen = response.headers.get('x-seen');
  const json = text.startsWith('{') ? JSON.parse(text) : undefined;
  return { status: response.status, headers: response.headers, text, json, seen: seen && JSON.parse(seen) };
}

describe('a session', () => {
  test('stays at its account by its cookie only', async () => {
    const gateway = gatewayOf({ config: { idMode: 'off' } });
    for (let session = 0; session < 12; session++) {
      const first = await ask(gateway, 'POST', '/v1/responses', {
        body: { input: 'x' },
        headers: { cookie: 'theme=dark' },
      });
      assert.equal(first.status, 200);
      assert.equal(first.headers.get('cache-control'), 'no-cache="Set-Cookie"');
      const [cookie] = first.headers.getSetCookie();
      assert.match(cookie, /^pin=[\w-]{67}; Path=\/; Max-Age=2592000; HttpOnly; SameSite=Lax$/);
      const again = await ask(gateway, 'GET', `/v1/responses/${first.json.id}`, {
        headers: { cookie: `theme=dark; ${cookie.split(';')[0]}; a=b` },
      });
      assert.equal(again.status, 200);
      assert.equal(again.seen.account, first.seen.account);
      assert.equal(again.seen.headers.cookie, 'theme=dark; a=b');
      assert.deepEqual(again.headers.getSetCookie(), []);
    }
  });

  test('stays at its account by its ids only', async () => {
    const gateway = gatewayOf();
    for (let session = 0; session < 12; session++) {
      const first = await ask(gateway, 'POST', '/v1/responses', { body: { input: 'x' } });
      assert.match(first.json.id, /^resp_[\w-]+tp[0-9]$/);
      assert.equal(first.headers.get('location'), `/v1/responses/${first.json.id}`);
      assert.equal(first.json.results_url, `${HOST}/v1/responses/${first.json.id}`);
      for (const name of ['etag', 'content-length']) assert.equal(first.headers.get(name), null);
      const second = await ask(gateway, 'POST', '/v1/responses', { body: { previous_response_id: first.json.id } });
      assert.equal(second.status, 200);
      assert.equal(second.seen.account, first.seen.account);
      assert.ok(JSON.parse(second.seen.body).previous_response_id.includes(markOf(first.seen.account)));
      const read = await ask(gateway, 'GET', `/v1/responses/${second.json.id}?include=x`);
      assert.equal(read.status, 200);
      assert.match(read.seen.url, /^\/v1\/responses\/resp_[0-9a-f]{48}\?include=x$/);
      assert.equal(read.json.id, second.json.id);
    }
  });

  test('stays at its account by the carrier header, or a key', async () => {
    const gateway = gatewayOf({ config: { idMode: 'off' } });
    const first = await ask(gateway, 'POST', '/v1/responses', { body: {}, headers: { 'x-pin': '' } });
    const value = first.headers.get('x-pin');
    assert.match(value, /^[\w-]{67}$/);
    assert.equal(first.headers.get('cache-control'), 'no-cache="X-Pin"');
    const again = await ask(gateway, 'GET', `/v1/responses/${first.json.id}`, { headers: { 'x-pin': value } });
    assert.equal(again.seen.account, first.seen.account);
    assert.equal(again.seen.headers['x-pin'], undefined);
    for (const name of ['x-consumer', 'x-session']) {
      const one = await ask(gateway, 'POST', '/v1/responses', { body: {}, headers: { [name]: 'alice' } });
      const joined = await ask(gateway, 'POST', '/v1/responses', { body: {}, headers: { [name]: 'alice, alice' } });
      assert.equal(joined.seen.account, one.seen.account);
    }
  });

  test('of bytes that are no UTF-8 is that of the same bytes elsewhere', async () => {
    const gateway = gatewayOf({ config: { idMode: 'off' } });
    const name = Uint8Array.of(0x4a, 0xe9, 0xff);
    const wanted = gateway.affinity.decide({
      method: 'POST',
      target: '/v1/responses',
      consumer: name,
      consumerTrusted: true,
    });
    const got = await ask(gateway, 'POST', '/v1/responses', { body: {}, headers: { 'x-consumer': 'J\xe9\xff' } });
    assert.equal(got.seen.account, ACCOUNTS[wanted.slot]);
  });
});

describe('events', () => {
  test('stream, and their ids are sealed wherever they are cut', async () => {
    const gateway = gatewayOf();
    const { text, headers } = await ask(gateway, 'POST', '/v1/responses', { body: { stream: true } });
    assert.equal(headers.get('content-type'), 'text/event-stream');
    const ids = [...text.matchAll(/"id":"(resp_[\w-]+)"/g)].map((match) => match[1]);
    assert.equal(ids.length, 2);
    assert.equal(new Set(ids).size, 1);
    assert.match(ids[0], /tp[0-9]$/);
    assert.equal((await ask(gateway, 'GET', `/v1/responses/${ids[0]}`)).status, 200);
  });

  test('are passed on as they come', async () => {
    let release;
    const gate = new Promise((resolve) => {
      release = resolve;
    });
    const gateway = gatewayOf({
      fetch: async () =>
        new Response(
          new ReadableStream({
            async start(controller) {
              controller.enqueue(bytes('data: {"id":"resp_1"}\n\n'));
              await gate;
              controller.enqueue(bytes('data: {"id":"resp_1"}\n\n'));
              controller.close();
            },
          }),
          { headers: { 'content-type': 'text/event-stream' } },
        ),
    });
    const response = await gateway.fetch(new Request(`${HOST}/v1/responses`, { method: 'POST', body: '{}' }));
    const reader = response.body.getReader();
    let first = '';
    while (!first.endsWith('\n\n')) first += new TextDecoder().decode((await reader.read()).value);
    assert.match(first, /^data: \{"id":"resp_[\w-]+tp[0-9]"\}\n\n$/);
    release();
    assert.notEqual((await reader.read()).value, undefined);
  });
});

describe('accounts', () => {
  test("get their credentials, and never a client's", async () => {
    const gateway = gatewayOf();
    const headers = {
      authorization: 'Bearer mine',
      'x-api-key': 'mine',
      'openai-organization': 'org',
      api_key: 'mine',
      'x-goog-api-key': 'mine',
      connection: 'x-hop',
      'x-hop': '1',
      'x-other': 'stays',
      te: 'trailers',
    };
    const { seen } = await ask(gateway, 'POST', '/v1/responses', { body: {}, headers });
    assert.ok(ACCOUNTS.includes(seen.account));
    for (const name of ['x-api-key', 'openai-organization', 'api_key', 'x-goog-api-key', 'x-hop', 'te']) {
      assert.equal(seen.headers[name], undefined, name);
    }
    assert.equal(seen.headers['x-other'], 'stays');
    assert.equal(seen.headers['accept-encoding'], 'identity');
    const left = await ask(gatewayOf({ forwardClientCredentials: true }), 'POST', '/v1/responses', {
      body: {},
      headers,
    });
    assert.equal(left.seen.headers['x-api-key'], 'mine');
    assert.ok(ACCOUNTS.includes(left.seen.account));
  });

  test('that answer 429 drain, and the request goes to another', async () => {
    const gateway = gatewayOf();
    const { account } = (await ask(gateway, 'POST', '/v1/responses', { body: {}, headers: { 'x-session': 's' } })).seen;
    const slot = ACCOUNTS.indexOf(account);
    const moved = await ask(gateway, 'POST', '/v1/responses', {
      body: {},
      headers: { 'x-session': 's', 'x-fails': account },
    });
    assert.equal(moved.status, 200);
    assert.notEqual(moved.seen.account, account);
    const { state, until } = gateway.affinity.getSlot(slot);
    assert.equal(state, 'draining');
    assert.ok(Math.abs(until - Date.now() / 1000 - 7) < 3);
    const none = await ask(gatewayOf({ retry: undefined }), 'POST', '/v1/responses', {
      body: {},
      headers: { 'x-session': 's', 'x-fails': account },
    });
    assert.equal(none.status, 429);
  });

  test('are asked again with a body that streamed', async () => {
    const gateway = gatewayOf({ config: { idMode: 'off' }, bodies: false });
    const stream = () =>
      new ReadableStream({
        start(controller) {
          controller.enqueue(bytes('{"a"'));
          controller.enqueue(bytes(':1}'));
          controller.close();
        },
      });
    const headers = { 'x-session': 's', 'x-pin': '' };
    const { account } = (await ask(gateway, 'POST', '/v1/responses', { body: stream(), headers })).seen;
    const moved = await ask(gateway, 'POST', '/v1/chat/completions', {
      body: stream(),
      headers: { ...headers, 'x-fails': 'all' },
    });
    assert.equal(moved.status, 429);
    assert.equal(moved.seen.body, '{"a":1}');
    const again = await ask(gateway, 'POST', '/v1/embeddings', { body: stream(), headers: { 'x-fails': account } });
    assert.equal(again.status, 200);
    assert.equal(again.seen.body, '{"a":1}');
  });

  test('do not lose what an operator has set', async () => {
    const gateway = gatewayOf({ retry: undefined });
    const { account } = (await ask(gateway, 'POST', '/v1/responses', { body: {}, headers: { 'x-session': 's' } })).seen;
    const slot = ACCOUNTS.indexOf(account);
    const set = { state: 'draining', weight: 7, until: 2 ** 40 };
    gateway.setSlot(slot, set);
    const failed = await ask(gateway, 'GET', '/v1/responses', { headers: { 'x-session': 's', 'x-fails': 'all' } });
    assert.equal(failed.status, 429);
    assert.deepEqual(gateway.affinity.getSlot(slot), set);
  });

  test('cool down for as long as the response says', async () => {
    for (const [headers, wanted] of [
      [{}, 5],
      [{ 'retry-after': '0' }, 1],
      [{ 'retry-after': '99999' }, 3600],
      [{ 'retry-after': '6.2' }, 7],
      [{ 'retry-after': 'soon' }, 5],
      [{ 'retry-after-ms': '1500', 'retry-after': '7' }, 2],
      [{ 'retry-after': '1'.repeat(400) }, 3600],
      [{ 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' }, 1],
      [{ 'retry-after': new Date(Date.now() + 100_000).toUTCString() }, 100],
    ]) {
      const gateway = gatewayOf({ retry: undefined, fetch: async () => new Response('', { status: 429, headers }) });
      await ask(gateway, 'POST', '/v1/responses', { body: {} });
      const cooled = gateway.affinity.getSlot(
        [0, 1, 2, 3, 4, 5].find((slot) => gateway.affinity.getSlot(slot).state !== 'up'),
      );
      assert.ok(Math.abs(cooled.until - Date.now() / 1000 - wanted) < 3, JSON.stringify(headers));
    }
  });
});

describe('a refusal', () => {
  const errorOf = ({ json }) => json.error;

  test('of an id that was not made here', async () => {
    const gateway = gatewayOf();
    const made = (await ask(gateway, 'POST', '/v1/responses', { body: {} })).json.id;
    const body = { previous_response_id: made.slice(0, -6) + (made.at(-6) === 'A' ? 'B' : 'A') + made.slice(-5) };
    const refused = await ask(gateway, 'POST', '/v1/responses', { body });
    assert.equal(refused.status, 400);
    assert.deepEqual(errorOf(refused), {
      message: `The previous response '${body.previous_response_id}' was not found.`,
      type: 'invalid_request_error',
      param: 'previous_response_id',
      code: 'previous_response_not_found',
    });
    const anthropic = await ask(gateway, 'GET', `/v1/responses/${body.previous_response_id}`, {
      headers: { 'anthropic-version': '1' },
    });
    assert.equal(anthropic.status, 404);
    assert.deepEqual(anthropic.json, {
      type: 'error',
      error: {
        type: 'not_found_error',
        message: `The object '${body.previous_response_id}' named by 'path' was not found.`,
      },
    });
  });

  test('of two ids in two accounts, and of one whose account is down', async () => {
    const gateway = gatewayOf();
    const made = new Map();
    while (made.size < 2) {
      const one = await ask(gateway, 'POST', '/v1/responses', { body: {} });
      made.set(one.seen.account, one.json.id);
    }
    const [[account, first], [, second]] = made;
    const mixed = await ask(gateway, 'POST', '/v1/responses', {
      body: { previous_response_id: first, input: [{ type: 'item_reference', id: second }] },
    });
    assert.equal(mixed.status, 400);
    assert.equal(errorOf(mixed).code, 'conflicting_accounts');
    gateway.setSlot(ACCOUNTS.indexOf(account), { state: 'down', until: Math.floor(Date.now() / 1000) + 50 });
    const down = await ask(gateway, 'GET', `/v1/responses/${first}`);
    assert.deepEqual(
      [down.status, errorOf(down).code, errorOf(down).type],
      [503, 'session_unavailable', 'gateway_error'],
    );
    assert.ok(Math.abs(down.headers.get('retry-after') - 50) <= 2);
  });

  test('of bodies that are too long, too many, or cannot be read', async () => {
    const big = JSON.stringify({ input: 'x'.repeat(5000) });
    const stream = () =>
      new ReadableStream({
        start(controller) {
          controller.enqueue(bytes(big));
          controller.close();
        },
      });
    for (const body of [big, stream()]) {
      const refused = await ask(gatewayOf({ maxBody: 4000 }), 'POST', '/v1/responses', { body });
      assert.deepEqual([refused.status, errorOf(refused).code], [413, 'request_too_large']);
    }
    const many = await ask(gatewayOf({ maxHeld: 4000 }), 'POST', '/v1/responses', { body: big });
    assert.deepEqual([many.status, errorOf(many).code, many.headers.get('retry-after')], [503, 'too_many_bodies', '1']);
    for (const body of [big, stream()]) {
      const passed = await ask(gatewayOf({ maxBody: 4000, config: { idMode: 'off' } }), 'POST', '/v1/responses', {
        body,
      });
      assert.deepEqual([passed.status, passed.seen.body], [200, big]);
    }
    const strict = gatewayOf({ config: { idMode: 'strict' } });
    const bad = await ask(strict, 'POST', '/v1/responses', { body: '{"a":' });
    assert.deepEqual([bad.status, errorOf(bad).code], [400, 'unreadable_body']);
    const form = await ask(strict, 'POST', '/v1/responses', { body: 'a=b', headers: { 'content-type': 'text/plain' } });
    assert.deepEqual([form.status, errorOf(form).code], [415, 'unsupported_content_type']);
    const encoded = await ask(gatewayOf(), 'POST', '/v1/responses', {
      body: '{}',
      headers: { 'content-encoding': 'gzip' },
    });
    assert.deepEqual([encoded.status, encoded.headers.get('accept-encoding')], [415, 'identity']);
  });

  test('of what holds too much ends when the request has', async () => {
    const gateway = gatewayOf({ maxHeld: 4000 });
    for (let i = 0; i < 5; i++) {
      assert.equal((await ask(gateway, 'POST', '/v1/responses', { body: { input: 'x'.repeat(3000) } })).status, 200);
    }
  });

  test('of a WebSocket, a tenant that is too long, and where all is down', async () => {
    const gateway = gatewayOf({ scope: (request) => request.headers.get('x-tenant') ?? '' });
    const upgrade = await gateway.fetch({
      url: `${HOST}/v1/responses`,
      method: 'GET',
      body: null,
      headers: new Headers({ upgrade: 'websocket' }),
    });
    assert.deepEqual([upgrade.status, upgrade.headers.get('connection')], [426, 'upgrade']);
    const tenant = await ask(gateway, 'POST', '/v1/responses', { body: {}, headers: { 'x-tenant': 't'.repeat(1025) } });
    assert.deepEqual([tenant.status, errorOf(tenant).code], [400, 'bad_tenant']);
    for (let slot = 0; slot < 6; slot++) gateway.setSlot(slot, { state: 'down' });
    const none = await ask(gateway, 'POST', '/v1/responses', { body: {} });
    assert.deepEqual(
      [none.status, errorOf(none).code, none.headers.get('retry-after')],
      [503, 'no_account_available', null],
    );
    gateway.affinity.close();
    const closed = await ask(gateway, 'POST', '/v1/responses', { body: {} });
    assert.deepEqual([closed.status, errorOf(closed).code], [500, 'affinity_error']);
  });
});

describe('a response', () => {
  test("loses an upstream's cookie of our name, and keeps all others", async () => {
    const gateway = gatewayOf();
    const headers = { 'x-say-set-cookie': 'pin=theirs|a=1; Path=/|b=2', 'x-say-x-pin': 'theirs' };
    const answered = await ask(gateway, 'POST', '/v1/responses', { body: {}, headers });
    const cookies = answered.headers.getSetCookie();
    assert.deepEqual(cookies.slice(0, 2), ['a=1; Path=/', 'b=2']);
    assert.match(cookies[2], /^pin=[\w-]{67};/);
    assert.equal(answered.headers.get('x-pin'), null);
  });

  test('that is compressed nevertheless is what the client gets plain', async () => {
    const { gzipSync } = await import('node:zlib');
    const { createServer } = await import('node:http');
    const server = createServer((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
      response.end(gzipSync('{"id":"resp_1"}'));
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const gateway = gatewayOf({ upstream: `http://127.0.0.1:${server.address().port}` });
    const answered = await ask(gateway, 'POST', '/v1/responses', { body: {} });
    assert.equal(answered.headers.get('content-encoding'), null);
    assert.match(answered.json.id, /tp[0-9]$/);
    server.close();
    server.closeAllConnections();
  });

  test('to HEAD has none, a redirect is passed on, and files are left alone', async () => {
    const gateway = gatewayOf();
    const made = await ask(gateway, 'POST', '/v1/responses', { body: {} });
    const head = await ask(gateway, 'HEAD', `/v1/responses/${made.json.id}`);
    assert.deepEqual([head.status, head.text], [200, '']);
    const redirect = await ask(gateway, 'GET', `/v1/responses/${made.json.id}`, { headers: { 'x-status': '307' } });
    assert.deepEqual([redirect.status, redirect.headers.get('location')], [307, `/v1/responses/${made.json.id}`]);
    const content = await ask(gateway, 'GET', '/v1/files/x/content');
    assert.doesNotMatch(content.text, /tp[0-9]/);
    assert.notEqual(content.headers.get('etag'), null);
  });
});

test('each decision is reported', async () => {
  const told = [];
  const gateway = gatewayOf({ onDecision: ({ outcome, source }, { method }) => told.push([outcome, source, method]) });
  const made = await ask(gateway, 'POST', '/v1/responses', { body: {} });
  await ask(gateway, 'GET', `/v1/responses/${made.json.id}`);
  assert.deepEqual(told, [
    ['placed', 'minted', 'POST'],
    ['pinned', 'id', 'GET'],
  ]);
});

test('options that do not fit are reported', () => {
  for (const [options, message] of [
    [{ accounts: ['a'] }, /accounts of 1 slots for an affinity of 6/],
    [{ accounts: [...ACCOUNTS.slice(1), 'x\n'] }, /accounts\[5\]: authorization is no header/],
    [{ accounts: [...ACCOUNTS.slice(1), { 'x y': 'c' }] }, /accounts\[5\]: x y is no header/],
    [{ carrierHeader: 'Cookie' }, /the carrier header cookie is used/],
    [{ carrierHeader: 'X-Session' }, /the carrier header x-session is used/],
    [{ carrierHeader: 'X-Api-Key' }, /the carrier header x-api-key is used/],
    [{ cooldowns: [{ statuses: [429] }, { statuses: [] }] }, /cooldowns\[1\]: the statuses/],
    [{ cooldowns: [{ statuses: [200] }] }, /cooldowns\[0\]: the statuses are not one or more of 400 to 599/],
    [{ cooldowns: [{ statuses: [429], state: 'up' }] }, /cooldowns\[0\]: the state is neither draining nor down/],
    [{ cooldowns: [{ statuses: [429], seconds: 0 }] }, /less than a second/],
    [{ cooldowns: [{ statuses: [429], retryAfter: 0 }] }, /less than a second/],
    [{ retry: { statuses: [600] } }, /retry: the statuses/],
    [{ retry: { max: 4 } }, /retry: max is not 1 to 3/],
    [{ maxBody: 0 }, /less than a byte/],
    [{ upstream: 'nonsense' }, /Invalid URL/],
    [{ consumerheader: 'X' }, /options have no consumerheader/],
  ]) {
    assert.throws(() => gatewayOf(options), message);
  }
});

test('no account is shown', () => {
  const gateway = gatewayOf();
  assert.doesNotMatch(inspect(gateway, { depth: 9, showHidden: true }) + JSON.stringify(gateway), /sk-[a-f]/);
  assert.throws(
    () => gatewayOf({ accounts: [...ACCOUNTS.slice(1), 'sk-secret\n'] }),
    (error) => !/secret/.test(error.stack),
  );
});

test('a hint of any length is one of bytes', async () => {
  for (const length of [1, 1000, 2000, 5000]) {
    const gateway = gatewayOf({ config: { idMode: 'off' }, idHint: () => 'é'.repeat(length) });
    const accounts = new Set();
    for (let i = 0; i < 12; i++) accounts.add((await ask(gateway, 'POST', '/v1/responses', { body: {} })).seen.account);
    // Of more than 4096 bytes none is made.
    assert.equal(accounts.size === 1, length <= 2000);
  }
});

test('a host that throws, throws', async () => {
  const gateway = gatewayOf({
    fetch: async () => {
      throw new TypeError('no route');
    },
  });
  await assert.rejects(ask(gateway, 'POST', '/v1/responses', { body: {} }), /no route/);
});

describe('in a server', () => {
  const served = {};
  before(async () => {
    const app = fastify();
    app.get('/health', async () => ({ ok: true }));
    app.post('/echo', async (request) => request.body);
    await app.register(plugin, { gateway: () => served.gateway });
    served.url = await app.listen({ port: 0, host: '127.0.0.1' });
    served.stop = () => {
      app.server.closeAllConnections();
      return app.close();
    };
    served.gateway = gatewayOf();
  });
  after(() => served.stop());

  async function through(method, target, body, headers = {}) {
    const init = { method, headers: { 'content-type': 'application/json', ...headers }, redirect: 'manual' };
    const response = await fetch(served.url + target, body === undefined ? init : { ...init, body });
    return { status: response.status, headers: response.headers, text: await response.text() };
  }

  test('fastify passes everything through, and keeps its own routes', async () => {
    const first = await through('POST', '/v1/responses', '{"input":"x"}', { cookie: 'a=b' });
    assert.equal(first.status, 200);
    const { id } = JSON.parse(first.text);
    assert.match(id, /tp[0-9]$/);
    assert.equal(JSON.parse(first.text).results_url, `${served.url}/v1/responses/${id}`);
    assert.equal((await through('GET', `/v1/responses/${id}`)).status, 200);
    assert.equal((await through('DELETE', `/v1/responses/${id}`)).status, 200);
    assert.equal((await through('HEAD', `/v1/responses/${id}`)).text, '');
    assert.equal((await through('GET', '/health')).text, '{"ok":true}');
    assert.equal((await through('POST', '/echo', '{"a":1}')).text, '{"a":1}');
    const both = await through('POST', '/v1/responses', '{}', { 'x-say-set-cookie': 'a=1|b=2' });
    assert.equal(both.headers.getSetCookie().length, 3);
    const form = await through('POST', '/v1/files', 'a\xff', { 'content-type': 'multipart/form-data; boundary=x' });
    assert.equal(form.status, 200);
  });

  test('fastify streams', async () => {
    const { text, headers } = await through('POST', '/v1/responses', '{"stream":true}');
    assert.equal(headers.get('content-type'), 'text/event-stream');
    assert.equal([...text.matchAll(/"id":"resp_[\w-]+tp[0-9]"/g)].length, 2);
  });

  test('fastify gives each Cookie field, and paths that look like hosts', async () => {
    const { request } = await import('node:http');
    const { port } = new URL(served.url);
    const seen = await new Promise((resolve, reject) => {
      const made = request(
        {
          port,
          path: '//elsewhere.example/v1/responses',
          headers: ['cookie', 'a=1', 'cookie', `pin=${'x'.repeat(67)}; b=2`, 'host', 'h.example'],
        },
        (response) => {
          response.resume();
          resolve(JSON.parse(response.headers['x-seen']));
        },
      );
      made.on('error', reject);
      made.end();
    });
    assert.equal(seen.headers.cookie, 'a=1; b=2');
    assert.equal(seen.url, '//elsewhere.example/v1/responses');
  });

  /** An upstream that streams without an end. What became of its first response is reported. */
  async function endless() {
    const { createServer } = await import('node:http');
    const server = createServer((request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const timer = setInterval(() => response.write('data: {"id":"resp_1"}\n\n'), 5);
      response.on('close', () => {
        clearInterval(timer);
        server.emit('gone');
      });
      server.breaks = () => request.socket.destroy();
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const gone = new Promise((resolve) => server.once('gone', resolve));
    const stop = () => new Promise((resolve) => server.close(resolve));
    return { url: `http://127.0.0.1:${server.address().port}`, gone, server, stop };
  }

  test('fastify lets go of an account when its client goes', async () => {
    const upstream = await endless();
    served.gateway = gatewayOf({ upstream: upstream.url });
    const abort = new AbortController();
    const response = await fetch(`${served.url}/v1/responses`, { method: 'POST', body: '{}', signal: abort.signal });
    await response.body.getReader().read();
    abort.abort();
    await upstream.gone;
    await upstream.stop();
  });

  test('fastify does not end what an account has broken off', async () => {
    const upstream = await endless();
    served.gateway = gatewayOf({ upstream: upstream.url });
    const response = await fetch(`${served.url}/v1/responses`, { method: 'POST', body: '{}' });
    const reader = response.body.getReader();
    await reader.read();
    upstream.server.breaks();
    await assert.rejects(async () => {
      while (!(await reader.read()).done);
    });
    await upstream.stop();
  });

  test('fastify takes another gateway immediately', async () => {
    const told = [];
    served.gateway = gatewayOf({ onDecision: (decision) => told.push(decision.slot) });
    await through('POST', '/v1/responses', '{}');
    assert.equal(told.length, 1);
  });

  test('hono', async () => {
    const app = new Hono();
    const gateway = gatewayOf();
    app.get('/health', (context) => context.text('ok'));
    app.all('/v1/*', (context) => gateway.fetch(context.req.raw));
    const answered = await ask((request) => app.fetch(request), 'POST', '/v1/responses', { body: { input: 'x' } });
    assert.match(answered.json.id, /tp[0-9]$/);
    assert.equal((await ask((request) => app.fetch(request), 'GET', '/health')).text, 'ok');
  });
});
