// README.md's gateway in Deno and Bun.

import process from 'node:process';
import { gatewayOf } from './gateway.js';

const gateway = gatewayOf(process.env);
const port = Number(process.env.PORT);
if ('Deno' in globalThis) Deno.serve({ port, hostname: '127.0.0.1' }, gateway.fetch);
else Bun.serve({ port, hostname: '127.0.0.1', fetch: gateway.fetch });
