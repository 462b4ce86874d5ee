// The vectors as a Worker.

import * as tokenpin from 'tokenpin';
import { all } from '../vectors.js';

export default {
  async fetch(_request, env) {
    try {
      return Response.json({ count: await all(tokenpin, async (name) => (await fetch(env.VECTORS + name)).text()) });
    } catch (error) {
      return Response.json({ error: error.stack });
    }
  },
};
