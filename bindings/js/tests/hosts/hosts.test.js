// The package in real hosts: the vectors, and README.md's gateway with OpenAI's client in front and
// a provider behind.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, extname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import wabt from 'wabt';
import { provider } from '../provider.js';
import { programs, SECRETS } from '../readme.js';
import { sessions } from './client.js';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const VECTORS = path('../../../../tests/vectors');
const MODULES = path('../../../../build/js/hosts/node_modules');
const PACKAGE = path('../../../../build/js/package');
const work = mkdtempSync(join(tmpdir(), 'tokenpin-hosts-'));
after(() => rmSync(work, { recursive: true, force: true }));

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

/** Runs a server until `then` is done with it. */
async function serving(command, options, url, then) {
  const server = spawn(command[0], command.slice(1), { stdio: 'inherit', ...options });
  try {
    for (let i = 0; ; i++) {
      const answer = await fetch(url).catch(() => null);
      await answer?.text();
      if (answer !== null) break;
      assert.ok(i < 600 && server.exitCode === null, `${basename(command[0])} does not answer`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return await then();
  } finally {
    server.kill();
    if (server.exitCode === null) await once(server, 'exit');
  }
}

/**
 * Files that others load: the package, the vectors, the files of the tests. What a page found out
 * is posted.
 */
let files;
before(async () => {
  const types = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };
  const folders = { package: PACKAGE, vectors: VECTORS, tests: path('..') };
  let found;
  const result = new Promise((resolve) => {
    found = resolve;
  });
  const server = createHttp((request, response) => {
    const [, folder, ...rest] = request.url.split('/');
    if (request.method === 'POST') {
      request.setEncoding('utf8').on('data', (text) => found(JSON.parse(text)));
      return response.end();
    }
    const file = join(folders[folder] ?? '', ...rest);
    if (!(folder in folders) || !existsSync(file) || rest.includes('..')) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': types[extname(file)] ?? 'text/plain' }).end(readFileSync(file));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  files = { url: `http://127.0.0.1:${server.address().port}`, result, server };
});
after(() => {
  files.server.close();
  files.server.closeAllConnections();
});

/** The files of README.md's gateway, in a folder where the package is installed. */
const example = join(work, 'example');
mkdirSync(join(example, 'node_modules'), { recursive: true });
execFileSync('cp', ['-r', PACKAGE, join(example, 'node_modules', 'tokenpin')]);
writeFileSync(
  join(example, 'package.json'),
  '{ "private": true, "type": "module", "dependencies": { "tokenpin": "*" } }',
);
for (const [name, text] of programs(readFileSync(path('../../README.md'), 'utf8')).named) {
  writeFileSync(join(example, name), text);
}
for (const name of ['serve.js', 'vectors-run.js']) copyFileSync(path(name), join(example, name));

async function servesSessions(command, options, port, upstream) {
  const url = `http://127.0.0.1:${port}`;
  try {
    const accounts = await serving(command, options, `${url}/v1/models`, () => sessions(url));
    assert.deepEqual([...accounts].sort(), ['sk-a', 'sk-b']);
  } finally {
    await upstream.stop();
  }
}

test('the module has no trap that a panic could be', async () => {
  const tools = await wabt();
  const features = {
    bulk_memory: true,
    multi_value: true,
    mutable_globals: true,
    sat_float_to_int: true,
    sign_extension: true,
  };
  const module = tools.readWasm(readFileSync(join(PACKAGE, 'dist', 'tokenpin.wasm')), features);
  const lines = module.toText({}).split('\n');
  const traps = lines.flatMap((line, i) => (line.trim() === 'unreachable' ? [i] : []));
  // The one there is the arm of a jump table that no number of an enum leads to, behind a block
  // that has ended.
  assert.ok(lines.length > 10000 && traps.length <= 1, `${traps.length} traps`);
  for (const i of traps) assert.equal(lines[i - 1].trim(), 'end');
});

describe('workerd', () => {
  /** A Worker's files as a bundler makes them, and the configuration to run them. */
  async function workerOf(entry, port, bindings) {
    const out = mkdtempSync(join(work, 'worker-'));
    const { metafile } = await build({
      entryPoints: [entry],
      bundle: true,
      format: 'esm',
      conditions: ['workerd'],
      loader: { '.wasm': 'copy' },
      assetNames: '[name]',
      outdir: out,
      metafile: true,
      logLevel: 'warning',
      nodePaths: [MODULES],
    });
    const names = Object.keys(metafile.outputs).map((name) => basename(name));
    // The main module is the first.
    names.sort((a, b) => Number(a.endsWith('.wasm')) - Number(b.endsWith('.wasm')));
    const modules = names.map((name) => {
      const kind = name.endsWith('.wasm') ? 'wasm' : 'esModule';
      return `(name = "${name}", ${kind} = embed "${name}")`;
    });
    assert.equal(modules.length, 2);
    const texts = Object.entries(bindings).map(([name, text]) => `(name = "${name}", text = "${text}")`);
    writeFileSync(
      join(out, 'config.capnp'),
      `using Workerd = import "/workerd/workerd.capnp";
       const config :Workerd.Config = (
         services = [(name = "main", worker = .worker), (name = "internet", network = (allow = ["private", "public"]))],
         sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
       );
       const worker :Workerd.Worker = (
         modules = [${modules.join(', ')}], compatibilityDate = "2026-01-01", bindings = [${texts.join(', ')}],
       );`,
    );
    return [join(MODULES, '@cloudflare/workerd-linux-64/bin/workerd'), 'serve', join(out, 'config.capnp')];
  }

  test('holds every vector', async () => {
    const port = await freePort();
    const command = await workerOf(path('vectors-worker.js'), port, { VECTORS: `${files.url}/vectors/` });
    const url = `http://127.0.0.1:${port}`;
    const found = await serving(command, {}, url, async () => (await fetch(url)).json());
    assert.ok(found.count > 10000, found.error);
  });

  test("runs the gateway, with OpenAI's client", async () => {
    const [port, upstream] = [await freePort(), await provider()];
    const command = await workerOf(join(example, 'worker.js'), port, { ...SECRETS, UPSTREAM: upstream.url });
    await servesSessions(command, {}, port, upstream);
  });
});

describe('Chromium', () => {
  test('holds every vector, in a page', async () => {
    const browser = spawn(
      'chromium',
      [
        '--headless=new',
        '--no-sandbox',
        '--disable-gpu',
        '--no-first-run',
        `--user-data-dir=${join(work, 'profile')}`,
        `${files.url}/tests/hosts/page.html`,
      ],
      { stdio: 'ignore', detached: true },
    );
    try {
      const found = await files.result;
      assert.ok(found.count > 10000, found.error);
    } finally {
      process.kill(-browser.pid);
      if (browser.exitCode === null) await once(browser, 'exit');
    }
  });
});

for (const [name, binary, flags] of [
  ['Deno', '@deno/linux-x64-glibc/deno', ['run', '--quiet', '--allow-all', '--node-modules-dir=manual']],
  ['Bun', '@oven/bun-linux-x64/bin/bun', []],
]) {
  const command = [join(MODULES, binary), ...flags];
  describe(name, () => {
    test('holds every vector', () => {
      const given = [join(example, 'vectors-run.js'), VECTORS, path('../vectors.js')];
      const count = execFileSync(command[0], [...command.slice(1), ...given], { cwd: example, encoding: 'utf8' });
      assert.ok(Number(count) > 10000, count);
    });

    test("runs the gateway, with OpenAI's client", async () => {
      const [port, upstream] = [await freePort(), await provider()];
      const env = { ...process.env, ...SECRETS, UPSTREAM: upstream.url, PORT: String(port) };
      await servesSessions([...command, 'serve.js'], { cwd: example, env }, port, upstream);
    });
  });
}
