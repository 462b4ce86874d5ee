// The vectors in Deno and Bun: run with the folder of the vectors, and the file that has them.

import { readFileSync } from 'node:fs';
import process from 'node:process';
import * as tokenpin from 'tokenpin';

const [folder, vectors] = process.argv.slice(2);
const { all } = await import(vectors);
console.log(await all(tokenpin, (name) => readFileSync(`${folder}/${name}`, 'utf8')));
