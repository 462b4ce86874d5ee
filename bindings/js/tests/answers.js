// Answers calls of tests/twin.py: a line of JSON each, {call, on, with}, answered by a line. Bytes
// are {"$": hex}, and numbers of 64 bits {"n": decimal}. What is made stays here, under a number.

import { createInterface } from 'node:readline';
import * as tokenpin from 'tokenpin';

const things = new Map();

function taken(value) {
  if (Array.isArray(value)) return value.map(taken);
  if (value === null || typeof value !== 'object') return value;
  if ('$' in value) return Uint8Array.from(Buffer.from(value.$, 'hex'));
  if ('n' in value) return BigInt(value.n);
  if ('thing' in value) return things.get(value.thing);
  return Object.fromEntries(Object.entries(value).map(([name, it]) => [name, taken(it)]));
}

function given(value) {
  if (typeof value === 'bigint') return { n: String(value) };
  if (value instanceof Uint8Array) return { $: Buffer.from(value).toString('hex') };
  if (Array.isArray(value) || value instanceof Int32Array) return Array.from(value, given);
  if (value instanceof tokenpin.Decision) return { ...plain(value), fingerprint: { n: String(value.fingerprint) } };
  return value === null || typeof value !== 'object' ? value : plain(value);
}
const plain = (value) => Object.fromEntries(Object.entries(value).map(([name, it]) => [name, given(it)]));

/** Calls of several steps. */
const own = {
  make: (number, kind, ...rest) => {
    things.set(number, new tokenpin[kind](...rest));
    return null;
  },
  batch: (slots, hashes, how) => slots.selectBatch(BigUint64Array.from(hashes), how),
  open: (number, affinity, target, options, body, size) => {
    const opener = affinity.opener(target, options);
    const parts = [];
    for (let at = 0; at < body.length; at += size) parts.push(opener.push(body.subarray(at, at + size)));
    parts.push(opener.finish());
    things.set(number, opener);
    return [opener.target, Buffer.concat(parts), opener.report(), opener.unexpected];
  },
  seal: (affinity, slot, options, body, size) => {
    const sealer = affinity.sealer(slot, options);
    const parts = [];
    for (let at = 0; at < body.length; at += size) parts.push(sealer.push(body.subarray(at, at + size)));
    parts.push(sealer.finish());
    return [Buffer.concat(parts), sealer.changed, sealer.unexpected];
  },
  sealTarget: (affinity, slot, options, target) => affinity.sealer(slot, options).target(target),
  decide: (number, affinity, request) => {
    const decision = affinity.decide(request);
    things.set(number, decision);
    return decision;
  },
  fingerprint: (affinity) => affinity.fingerprint,
};

for await (const line of createInterface({ input: process.stdin })) {
  const { call, on, with: rest, forget } = JSON.parse(line);
  if (forget !== undefined) things.delete(forget);
  let answer;
  try {
    const args = taken(rest);
    if (on !== undefined) answer = { is: given(things.get(on)[call](...args)) };
    else answer = { is: given((own[call] ?? tokenpin[call])(...args)) };
  } catch (error) {
    if (!(error instanceof tokenpin.TokenpinError)) answer = { wrong: error.stack };
    else answer = { status: error.number };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
