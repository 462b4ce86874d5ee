// A provider with state in its accounts, as a server of node:http behind the gateway.
//
// An id says which account made it: with another account it answers 404. What the account got is in
// the header x-seen.

import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

export const ACCOUNTS = ['a', 'b', 'c', 'd', 'e', 'f'].map((letter) => `sk-${letter}`);

export const markOf = (account) => createHash('sha256').update(account).digest('hex').slice(0, 16);

async function answer(request, response) {
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts);
  const { headers, method, url } = request;
  const account = (headers.authorization ?? '').replace('Bearer ', '');
  const shown = body.length < 10000 ? body.toString('latin1') : createHash('sha256').update(body).digest('hex');
  const out = [['content-type', 'application/json']];
  const say = (status, text) => {
    const seen = { method, url, account, headers, body: shown };
    response.writeHead(status, [...out, ['x-seen', JSON.stringify(seen)]].flat());
    response.end(text);
  };
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith('x-say-')) for (const one of value.split('|')) out.push([name.slice(6), one]);
  }
  if (headers['x-fails'] === account || headers['x-fails'] === 'all') {
    out.push(['retry-after', '7']);
    return say(429, '{"error":{"code":"rate_limited"}}');
  }
  const asked = body[0] === 0x7b ? JSON.parse(body.toString()) : {};
  const named = url
    .split('?')[0]
    .split('/')
    .filter((word) => word.startsWith('resp_'));
  if (asked.previous_response_id) named.push(asked.previous_response_id);
  if (named.some((name) => !name.includes(markOf(account)))) return say(404, '{"error":{"code":"not_found"}}');
  const native = method === 'GET' && named[0] ? named[0] : `resp_${markOf(account)}${randomBytes(16).toString('hex')}`;
  if (asked.stream) {
    out[0] = ['content-type', 'text/event-stream'];
    response.writeHead(200, out.flat());
    const made = { id: native, object: 'response', created_at: 1, model: 'm', output: [], status: 'in_progress' };
    const events = [
      ['response.created', { response: made }],
      ...Array.from({ length: 20 }, () => ['response.output_text.delta', { item_id: 'msg_1', delta: 'x' }]),
      ['response.completed', { response: { ...made, status: 'completed' } }],
    ];
    const text = events
      .map(([type, event], i) => `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: i, ...event })}\n\n`)
      .join('');
    // In pieces that end in the middle of ids.
    for (let at = 0; at < text.length; at += 37) {
      response.write(text.slice(at, at + 37));
      if (at % 5 === 0) await new Promise(setImmediate);
    }
    return response.end();
  }
  const text = JSON.stringify({
    id: native,
    object: 'response',
    created_at: 1,
    model: 'm',
    output: [],
    status: 'completed',
    results_url: `http://${headers.host}/v1/responses/${native}`,
  });
  out.push(
    ['content-length', String(Buffer.byteLength(text))],
    ['etag', '"strong"'],
    ['location', `/v1/responses/${native}`],
  );
  say(Number(headers['x-status'] ?? 200), method === 'HEAD' ? undefined : text);
}

/** Starts it on a free port. Gives its address, and what stops it. */
export async function provider() {
  const server = createServer(answer);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = () =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${server.address().port}`, stop };
}
