// For Node, Deno and Bun: the module lies beside, and is read immediately.

import { readFileSync } from 'node:fs';
import { IMPORTS, install } from './memory.js';

const module = new WebAssembly.Module(readFileSync(new URL('./tokenpin.wasm', import.meta.url)));
install(new WebAssembly.Instance(module, IMPORTS));

export * from './index.js';
