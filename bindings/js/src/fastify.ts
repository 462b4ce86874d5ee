// A plugin for fastify, in front of the same gateway.

import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import type { Gateway } from './gateway.js';

export interface TokenpinOptions {
  /** The gateway, or a function that gives the current one for each request. */
  gateway: Gateway | (() => Gateway);
}

/**
 * Every request below the prefix that it is registered with goes through the gateway, with the path
 * unchanged.
 */
const tokenpin: FastifyPluginAsync<TokenpinOptions> = async (fastify, { gateway }) => {
  fastify.removeAllContentTypeParsers();
  // Bodies stream, and the gateway has its own limit on what it reads.
  fastify.addContentTypeParser('*', (_request, _payload, done) => done(null));
  fastify.all('/*', { exposeHeadRoute: false }, async (request, reply) => {
    const abort = new AbortController();
    reply.raw.once('close', () => abort.abort());
    const made = requestOf(request, abort.signal);
    const { status, headers, body } = await (typeof gateway === 'function' ? gateway() : gateway).fetch(made);
    reply.code(status);
    for (const [name, value] of headers) if (name !== 'set-cookie') reply.header(name, value);
    const cookies = headers.getSetCookie();
    if (cookies.length > 0) reply.header('set-cookie', cookies);
    return reply.send(body === null ? undefined : Readable.fromWeb(body as ReadableStream));
  });
};

function requestOf({ raw, protocol, host }: FastifyRequest, signal: AbortSignal): Request {
  const headers = new Headers();
  for (let i = 0; i < raw.rawHeaders.length; i += 2) {
    const name = raw.rawHeaders[i] as string;
    // Those of HTTP/2 that are no headers.
    if (!name.startsWith(':')) headers.append(name, raw.rawHeaders[i + 1] as string);
  }
  const hasBody = raw.headers['content-length'] !== undefined || raw.headers['transfer-encoding'] !== undefined;
  const target = raw.url ?? '/';
  return new Request(target.startsWith('/') ? `${protocol}://${host || 'localhost'}${target}` : target, {
    method: raw.method ?? 'GET',
    headers,
    signal,
    ...(hasBody && raw.method !== 'GET' && raw.method !== 'HEAD' ? { body: Readable.toWeb(raw), duplex: 'half' } : {}),
  } as RequestInit);
}

export default tokenpin;
