// Runs a program built for wasm32-wasip1 in Node's WebAssembly: node wasi.mjs PROGRAM
// [ARGUMENT...]. It sees only the checkout, under its own path.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { WASI } from "node:wasi";

const [program, ...args] = process.argv.slice(2);
const folder = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
const preopens = { [folder]: folder };
const wasi = new WASI({ version: "preview1", args: [program, ...args], preopens, returnOnExit: true });
const module = await WebAssembly.compile(await readFile(program));
process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));
