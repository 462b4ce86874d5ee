// For Workers, which compile no module at run time: the bundler hands over a compiled one.

import { IMPORTS, install } from './memory.js';
import module from './tokenpin.wasm';

install(new WebAssembly.Instance(module, IMPORTS));

export * from './index.js';
