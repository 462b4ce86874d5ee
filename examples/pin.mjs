// Pins a session: its second request, with the cookie of the first, gets the same account.
import { Affinity } from 'tokenpin';

const accounts = ['account-a', 'account-b'];
const affinity = new Affinity({
  slots: accounts,
  // 16 random bytes each, from your secret store, the same on every replica.
  placementKey: new TextEncoder().encode('a placement key!'),
  cookieKeys: [{ id: 1, secret: new TextEncoder().encode('a cookie secret!') }],
});

const first = affinity.decide({ method: 'POST', target: '/v1/responses' });
if (first.slot === null) throw new Error('no account can serve: answer 503');
console.log(`a new session: ${accounts[first.slot]}`);

// Send it with that account's token. Then, with the status of the account's response:
const { answer, text } = affinity.finish(first, 200);
if (answer !== 'set_cookie') throw new Error('no cookie');
console.log(`Set-Cookie: ${text}`);

const [cookies] = text.split(';');
const next = affinity.decide({ method: 'GET', target: '/v1/responses/resp_1', cookies });
if (next.slot === null) throw new Error('no account can serve: answer 503');
console.log(`its next request: ${accounts[next.slot]}, ${next.outcome}`);
