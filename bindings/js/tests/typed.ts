// Code that the compiler has to accept, and code that it has to refuse.

import fastify from 'fastify';
import { Affinity, type Decision, IdRing, jump, KeyRing, Outcome, Slots, TokenpinError } from 'tokenpin';
import plugin from 'tokenpin/fastify';
import { Gateway } from 'tokenpin/gateway';

const secret = new Uint8Array(16);
using affinity = new Affinity({
  slots: ['a', { identity: new Uint8Array(1), state: 'draining' }, null],
  placementKey: secret,
  cookieKeys: [{ id: 1, secret, role: 'sign' }],
  sameSite: 'strict',
  success: [200, 299],
});
const decision: Decision = affinity.decide({ method: 'POST', target: '/v1/responses', cookies: ['a=b'] });
const slot: number | null = decision.slot;
const placed: boolean = decision.outcome === Outcome.PLACED || decision.outcome === 'pinned';
const { answer, text } = affinity.finish(decision, 200);
const line: string = answer === 'set_cookie' ? text : '';
const field: string = new KeyRing([{ id: 1, secret }]).encode(
  { kind: 'anonymous', id: secret, pin: 1n, issuedAt: 1, refreshedAt: 1 },
  { name: 'a', key: { kind: 'combined', consumer: 'a', session: 'b' } },
);
const native: string | null = new IdRing([{ id: 1, secret }]).open('x').native;
const many: Int32Array = new Slots(['a']).selectBatch(new BigUint64Array(1));
const stream: ReadableStream<Uint8Array> = new Blob([])
  .stream()
  .pipeThrough(affinity.sealer(0, { ids: 'both' }).stream());
const gateway = new Gateway(affinity, {
  upstream: 'https://api.example',
  accounts: ['a', { 'x-api-key': 'b' }, null],
  retry: {},
});
const answered: Promise<Response> = gateway.fetch(new Request('https://gateway.example/v1/responses'));
await fastify().register(plugin, { gateway, prefix: '/openai' });
export default { fetch: gateway.fetch };

// @ts-expect-error no number of 64 bits is a number
jump(1, 3);
// @ts-expect-error no such word
new Affinity({ slots: ['a'], placementKey: secret, cookieKeys: [], idMode: 'on' });
// @ts-expect-error something is missing
new Affinity({ slots: ['a'], cookieKeys: [] });
// @ts-expect-error no such outcome
if (decision.outcome === 'moved') throw new Error();
// @ts-expect-error plain data, and not to be changed
decision.slot = 1;
// @ts-expect-error no such option
new Gateway(affinity, { upstream: 'https://api.example', accounts: [], retries: 1 });
// @ts-expect-error what throws has a status of the list
if (new Error() instanceof TokenpinError && (null as unknown as TokenpinError).status === 'nonsense') throw new Error();

export { answered, field, line, many, native, placed, slot, stream };
