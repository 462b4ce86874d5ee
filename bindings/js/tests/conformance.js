// A gateway in fastify, with a configuration in the words of gateways/config.schema.json.
//
//   node conformance.js CONFIG PORT PROVIDER
//
// Keys and secrets are in the environment (`env`).

import { readFileSync } from 'node:fs';
import fastify from 'fastify';
import { Affinity } from 'tokenpin';
import plugin from 'tokenpin/fastify';
import { Gateway } from 'tokenpin/gateway';

const [file, port, provider] = process.argv.slice(2);
const words = JSON.parse(readFileSync(file, 'utf8'));

/** Takes a word out, so that what is left at the end is an unknown name. */
function take(from, name) {
  const value = from[name];
  delete from[name];
  return value;
}
const secret = ({ env }) => Uint8Array.from(Buffer.from(process.env[env], 'hex'));
const ring = (keys = []) => keys.map(({ key, ...rest }) => ({ ...rest, secret: secret(key) }));
const camel = (it) =>
  Object.fromEntries(
    Object.entries(it).map(([name, value]) => [name.replace(/_(.)/g, (_, letter) => letter.toUpperCase()), value]),
  );

const tokens = take(words, 'tokens');
const placed = tokens.map((token, i) => ({ slot: i, ...token }));
const capacity = take(words, 'capacity') ?? 1 + Math.max(...placed.map(({ slot }) => slot));
const slots = new Array(capacity).fill(null);
const accounts = new Array(capacity).fill(null);
const removed = new Set();
for (const { slot, name, headers = [], ...status } of placed) {
  slots[slot] = { identity: name, ...status };
  accounts[slot] = {};
  for (const header of headers) {
    if (header.remove) removed.add(header.name);
    else accounts[slot][header.name] = (header.prefix ?? '') + (header.value ?? process.env[header.env]);
  }
}

const { name: cookieName, max_age: maxAge, ...cookie } = take(words, 'cookie') ?? {};
const config = {
  slots,
  placementKey: secret(take(words, 'placement_key')),
  cookieKeys: ring(take(words, 'cookie_keys')),
  idKeys: ring(take(words, 'id_keys')),
  idMode: take(words, 'sealed_ids') ?? 'off',
  rules: (take(words, 'rules') ?? []).map((rule) => ({ ids: rule.group === 'stateful' ? 'both' : 'none', ...rule })),
  cookieName: cookieName || null,
  maxAge: typeof maxAge === 'number' ? maxAge : null,
  ...camel(cookie),
};
const options = { upstream: provider, accounts };
const named = { consumerHeader: take(words, 'consumer')?.header, carrierHeader: take(words, 'carrier_header') };
for (const source of take(words, 'session') ?? []) named.sessionHeader = source.header;
for (const [name, value] of Object.entries(named)) if (value !== undefined) options[name] = value;
const retry = take(words, 'retry');
if (retry !== undefined) options.retry = { statuses: retry.status, max: retry.max ?? 1 };
const cooldowns = take(words, 'cooldowns');
if (cooldowns !== undefined) {
  options.cooldowns = cooldowns.map(({ status, state, seconds, max_seconds, retry_after }) => ({
    statuses: status,
    state,
    seconds,
    retryAfter: retry_after ? (max_seconds ?? 3600) : null,
  }));
}
for (const [name, word] of [
  ['maxBody', 'max_body'],
  ['maxHeld', 'max_held_bodies'],
  ['bodies', 'bodies'],
]) {
  const value = take(words, word);
  if (value !== undefined) options[name] = value;
}
// It always sets it, and refuses each WebSocket.
for (const word of ['cache_control', 'refuse_upgrades']) take(words, word);
// The rest has the same names; unknown names are refused.
const gateway = new Gateway(new Affinity({ ...config, ...camel(words) }), options);

/** Without the headers that are taken off besides. */
function fetch(request) {
  if (removed.size === 0) return gateway.fetch(request);
  const headers = new Headers(request.headers);
  for (const name of removed) headers.delete(name);
  return gateway.fetch(new Request(request, { headers }));
}

const app = fastify({ http: { maxHeaderSize: 1 << 20 } });
await app.register(plugin, { gateway: () => ({ fetch }) });
await app.listen({ port: Number(port), host: '127.0.0.1' });
