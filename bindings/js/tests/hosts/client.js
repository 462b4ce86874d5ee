// OpenAI's client in front of a gateway: sessions that keep no cookies, and events that stream.

import assert from 'node:assert/strict';
import OpenAI from 'openai';

/**
 * Runs some sessions. The accounts that served are reported, for a test that all of them were used.
 */
export async function sessions(url, count = 12) {
  const accounts = new Set();
  const client = new OpenAI({
    apiKey: 'sk-of-the-client',
    baseURL: `${url}/v1`,
    maxRetries: 0,
    fetch: async (...given) => {
      const response = await fetch(...given);
      const seen = response.headers.get('x-seen');
      if (seen !== null) accounts.add(JSON.parse(seen).account);
      return response;
    },
  });
  for (let session = 0; session < count; session++) {
    const first = await client.responses.create({ model: 'm', input: 'x' });
    assert.match(first.id, /^resp_[\w-]+tp[0-9]$/);
    const second = await client.responses.create({ model: 'm', input: 'y', previous_response_id: first.id });
    assert.equal((await client.responses.retrieve(second.id)).id, second.id);
    let [streamed, events] = ['', 0];
    for await (const event of await client.responses.create({
      model: 'm',
      input: 'z',
      previous_response_id: second.id,
      stream: true,
    })) {
      events++;
      if (event.type === 'response.completed') streamed = event.response.id;
    }
    assert.equal(events, 22);
    assert.equal((await client.responses.retrieve(streamed)).id, streamed);
  }
  const changed = (id) => id.slice(0, -6) + (id.at(-6) === 'A' ? 'B' : 'A') + id.slice(-5);
  const { id } = await client.responses.create({ model: 'm', input: 'x' });
  await assert.rejects(client.responses.retrieve(changed(id)), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError, String(error));
    assert.equal(error.code, 'not_found');
    return true;
  });
  return accounts;
}
