// Runs the programs of a page, as they are printed, in a folder where the package is installed.
//
//   node readme.js PAGE FOLDER
//
// One that begins with the name of a file is written there, for others to import. server.js is
// started, and asked.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { provider } from './provider.js';

/** The programs of a page: those with a name, and those without. */
export function programs(page) {
  const blocks = [...page.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, text]) => text);
  const named = new Map(
    blocks.flatMap((text) => [...text.matchAll(/^\/\/ (\S+\.js)\n/g)].map(([, name]) => [name, text])),
  );
  return { named, plain: blocks.filter((text) => !/^\/\/ \S+\.js\n/.test(text)) };
}

export const SECRETS = {
  PLACEMENT_KEY: '11'.repeat(16),
  COOKIE_KEY: '22'.repeat(16),
  TOKEN_A: 'sk-a',
  TOKEN_B: 'sk-b',
};

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

async function serverOf(folder) {
  const upstream = await provider();
  const port = await freePort();
  const env = { ...process.env, ...SECRETS, UPSTREAM: upstream.url, PORT: String(port) };
  const server = spawn(process.execPath, ['server.js'], { cwd: folder, env, stdio: 'inherit' });
  try {
    const url = `http://127.0.0.1:${port}`;
    for (let i = 0; ; i++) {
      const answer = await fetch(`${url}/health`).catch(() => null);
      if (answer !== null) break;
      assert.ok(i < 200 && server.exitCode === null, 'server.js does not answer');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const made = await (await fetch(`${url}/v1/responses`, { method: 'POST', body: '{}' })).json();
    assert.match(made.id, /tp[0-9]$/);
    assert.equal((await fetch(`${url}/v1/responses/${made.id}`)).status, 200);
  } finally {
    server.kill();
    await upstream.stop();
  }
}

if (process.argv[1] === import.meta.filename) {
  const [page, folder] = process.argv.slice(2);
  const { named, plain } = programs(readFileSync(page, 'utf8'));
  for (const [name, text] of named) writeFileSync(join(folder, name), text);
  plain.forEach((text, i) => {
    writeFileSync(join(folder, `program-${i}.js`), text);
    const { status } = spawnSync(process.execPath, [`program-${i}.js`], { cwd: folder, stdio: 'inherit' });
    assert.equal(status, 0, text);
  });
  await serverOf(folder);
  console.log(`${plain.length} programs of ${page}, and a server of ${named.size} files`);
}
