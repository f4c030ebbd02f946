import { once } from 'node:events';
import { createServer } from 'node:http';
import { describe, expect, test } from 'vitest';
import { httpGet } from '../../../../checks/host/http-get.ts';

describe('HTTP', () => {
  test('status and body; a redirect is not followed, a long body is cut, an abort is told', async () => {
    await using server = createServer((request, response) => {
      if (request.url === '/moved') response.writeHead(302, { location: '/' }).end('moved');
      else if (request.url === '/long') response.end('x'.repeat(200_000));
      else if (request.url !== '/silent') response.end('{"health":"true"}');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const base = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
    const { signal } = new AbortController();
    expect(await httpGet(`${base}/health`, signal)).toEqual({
      status: 200,
      body: '{"health":"true"}',
    });
    expect(await httpGet(`${base}/moved`, signal)).toEqual({ status: 302, body: 'moved' });
    const long = await httpGet(`${base}/long`, signal);
    expect('body' in long && long.body.length).toBe(65_536);
    const stop = new AbortController();
    const silent = httpGet(`${base}/silent`, stop.signal);
    stop.abort();
    expect(await silent).toEqual({ error: 'ETIMEDOUT' });
    server.closeAllConnections();
  });

  test('nobody there is an error code, not an exception', async () => {
    const { signal } = new AbortController();
    expect(await httpGet('http://127.0.0.1:1/', signal)).toEqual({ error: 'ECONNREFUSED' });
  });
});
