// The vectors in a worker thread. Gives the number of checks.

import { readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import * as tokenpin from 'tokenpin';
import { all } from './vectors.js';

parentPort.postMessage(await all(tokenpin, (name) => readFileSync(new URL(name, workerData), 'utf8')));
