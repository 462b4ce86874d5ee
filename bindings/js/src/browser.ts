// For browsers, and for every host that has only `fetch`.

import { IMPORTS, install } from './memory.js';

const response = await fetch(new URL('./tokenpin.wasm', import.meta.url));
if (!response.ok) throw new Error(`tokenpin.wasm cannot be fetched: status ${response.status}`);
install((await WebAssembly.instantiate(await response.arrayBuffer(), IMPORTS)).instance);

export * from './index.js';
