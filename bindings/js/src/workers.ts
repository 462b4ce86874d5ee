// For Workers, which compile no module at run time: the bundler hands over a compiled one.

import module from './tokenpin.wasm';
import { IMPORTS, install } from './memory.js';

install(new WebAssembly.Instance(module, IMPORTS));

export * from './index.js';
