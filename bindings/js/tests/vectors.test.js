// The vectors, and that comparing them can fail.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import * as tokenpin from 'tokenpin';
import * as vectors from './vectors.js';

const FOLDER = new URL('../../../tests/vectors/', import.meta.url);
const load = (name) => readFileSync(new URL(name, FOLDER), 'utf8');

test('every vector holds', async () => {
  const there = readdirSync(FOLDER).filter((name) => /^jump_.*\.csv$|_v1\.json$/.test(name));
  assert.deepEqual([...vectors.FILES, ...vectors.JUMPS].sort(), there.sort());
  assert.ok((await vectors.all(tokenpin, load)) > 10000);
});

test('a vector that does not hold is noticed', async () => {
  for (const [name, from, to] of [
    ['selection_v1.json', '"hash":"', '"hash":"f'],
    ['cookie_v1.json', '"verdict":"valid"', '"verdict":"absent"'],
    ['ids_v1.json', '"sealed":"', '"sealed":"x'],
    ['id_bodies_v1.json', '"sealed":1', '"sealed":2'],
    ['decision_v1.json', '"may_move":true', '"may_move":false'],
    ['decision_ids_v1.json', '"answer":"set_cookie"', '"answer":"nothing"'],
  ]) {
    const changed = (asked) => {
      const text = load(asked);
      if (asked !== name) return text;
      const compact = JSON.stringify(JSON.parse(text));
      assert.ok(compact.includes(from), `${name} has no ${from}`);
      return compact.replace(from, to);
    };
    await assert.rejects(vectors.all(tokenpin, changed), /is not/, name);
  }
});

test('in worker threads, each with its own module, at the same time', async () => {
  const run = () =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: FOLDER.href });
      worker.on('message', resolve);
      worker.on('error', reject);
    });
  const [first, second] = await Promise.all([run(), run()]);
  assert.ok(first > 10000);
  assert.equal(first, second);
});
