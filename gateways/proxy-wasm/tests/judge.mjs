// Says why the filter refuses each configuration, as `make schema` asks. A line of the input holds
// the kind (filter or route), a tab and the JSON; a line of the output the refusal, or nothing if
// it is accepted.
//
//   node judge.mjs tokenpin.wasm
//
// The host below has what the filter asks a host for while it reads a configuration. The hooks of
// requests run in Envoy.

import { readFileSync, writeSync } from 'node:fs';

const [, , path] = process.argv;
const OK = 0;
const NOT_FOUND = 1;
const REFUSED = 'tokenpin: configuration refused: ';

let configuration = new Uint8Array();
let refusal = '';
let instance;

const memory = () => Buffer.from(instance.exports.memory.buffer);
const text = (at, size) => memory().toString('utf8', at, at + size);
const put = (at, number) => memory().writeUInt32LE(number, at);

/** Hands bytes over in memory that the filter allocates. */
function give(bytes, data, size) {
  const at = bytes.length === 0 ? 0 : instance.exports.proxy_on_memory_allocate(bytes.length);
  memory().set(bytes, at);
  put(data, at);
  put(size, bytes.length);
  return OK;
}

const variables = Object.entries(process.env).map(([name, value]) => Buffer.from(`${name}=${value}\0`));

const host = {
  env: {
    proxy_log(level, at, size) {
      const line = text(at, size);
      if (line.startsWith(REFUSED)) refusal = line.slice(REFUSED.length);
      return OK;
    },
    proxy_get_buffer_bytes: (buffer, start, most, data, size) =>
      give(configuration.subarray(start, start + most), data, size),
    proxy_get_current_time_nanoseconds(at) {
      memory().writeBigUInt64LE(BigInt(Date.now()) * 1_000_000n, at);
      return OK;
    },
    proxy_get_property: () => NOT_FOUND,
    proxy_get_shared_data: () => NOT_FOUND,
    proxy_set_shared_data: () => OK,
    proxy_set_tick_period_milliseconds: () => OK,
    proxy_define_metric(type, at, size, id) {
      put(id, 1);
      return OK;
    },
    proxy_record_metric: () => OK,
    proxy_increment_metric: () => OK,
  },
  wasi_snapshot_preview1: {
    random_get(at, size) {
      crypto.getRandomValues(new Uint8Array(instance.exports.memory.buffer, at, size));
      return OK;
    },
    environ_sizes_get(count, size) {
      put(count, variables.length);
      put(size, Buffer.concat(variables).length);
      return OK;
    },
    environ_get(table, at) {
      for (const [i, variable] of variables.entries()) {
        put(table + 4 * i, at);
        memory().set(variable, at);
        at += variable.length;
      }
      return OK;
    },
  },
};

const never = (name) => () => {
  throw new Error(`${name}, which no configuration needs`);
};
const module = new WebAssembly.Module(readFileSync(path));
for (const { module: part, name } of WebAssembly.Module.imports(module)) host[part][name] ??= never(name);
instance = new WebAssembly.Instance(module, host);
instance.exports._initialize();

const ROOT = 1;
const start = { filter: '', route: 'routes.r' };
const said = [];
for (const line of readFileSync(0, 'utf8').split('\n').slice(0, -1)) {
  const [kind, json] = [line.slice(0, line.indexOf('\t')), line.slice(line.indexOf('\t') + 1)];
  configuration = Buffer.from(kind === 'route' ? `{"routes":{"r":${json}}}` : json);
  refusal = '';
  instance.exports.proxy_on_context_create(ROOT, 0);
  const taken = instance.exports.proxy_on_configure(ROOT, configuration.length) === 1;
  if (taken !== (refusal === '')) throw new Error(`taken: ${taken}, but "${refusal}": ${line}`);
  instance.exports.proxy_on_delete(ROOT);
  const inner = refusal.startsWith(start[kind]) ? refusal.slice(start[kind].length) : refusal;
  said.push(`${inner.replace(/^(\.|: )/, '')}\n`);
}
writeSync(1, said.join(''));
