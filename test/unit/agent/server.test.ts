import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { InjectOptions } from 'fastify';
import { Check } from 'typebox/value';
import { afterEach, describe, expect, test } from 'vitest';
import { openapi, peerOperations } from '../../../agent/openapi.ts';
import { createServer, type ServerOptions } from '../../../agent/server.ts';
import {
  ErrorSchema,
  HealthzSchema,
  ReadyzSchema,
  StatusSchema,
} from '../../../agent/status-schema.ts';
import { someDocument, someFinding } from '../../support/findings.ts';

const document = someDocument({
  readiness: 'not-ready',
  reasons: ['canal.vxlan, outbound, fails with 1 of 1 peer: dropped'],
  findings: [
    someFinding({ requirement: 'canal.ip-forward', anyOf: 'group', eitherDirection: true }),
    someFinding({ peer: 'worker-2', outcome: 'fail', reason: 'dropped' }),
    someFinding({
      requirement: 'canal.mtu',
      peer: 'worker-2',
      outcome: 'unknown',
      reason: 'no-witness',
    }),
  ],
});

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

interface Heard {
  operation: string;
  body: string;
  address: string;
  signature: string | undefined;
}

function serverWith(change: Partial<ServerOptions> = {}) {
  const heard: Heard[] = [];
  const app = createServer({
    version: '0.1.0',
    document: () => document,
    renderText: ({ findings }, shown) => `${shown.length} of ${findings.length} findings\n`,
    metrics: {
      render: () =>
        Promise.resolve({ contentType: 'text/plain; version=0.0.4', body: 'metric 1\n' }),
    },
    health: () => ({ idleMs: 1_500, limitMs: 90_000 }),
    providers: () => ({ providers: ['canal'] }),
    mesh: () =>
      Promise.resolve({
        schema: 'cni-preflight/mesh/v1',
        collectedAt: '2026-11-23T12:00:00.000Z',
        nodes: [],
        pairs: [],
        summary: [],
        complete: true,
        omitted: 0,
      }),
    runNow: () => Promise.resolve(),
    peerApi: {
      handle: (operation, body, address, signature) => {
        heard.push({ operation, body: Buffer.from(body).toString(), address, signature });
        return Promise.resolve({ status: 200, body: { operation } });
      },
    },
    ...change,
  });
  open.push(app);
  return { app, heard, get: (url: string, headers = {}) => app.inject({ url, headers }) };
}

describe('GET /status', () => {
  test('is the document, valid by its schema, without internal fields', async () => {
    const { get } = serverWith();
    const response = await get('/status');
    expect(response.statusCode).toBe(200);
    expect(response.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(Check(StatusSchema, response.json())).toBe(true);
    expect(response.body).not.toContain('anyOf');
    expect(response.body).not.toContain('eitherDirection');
    expect(response.json()).toMatchObject({ readiness: 'not-ready', reasons: document.reasons });
  });

  test.each([
    { accept: undefined, url: '/status', want: 'application/json' },
    { accept: '*/*', url: '/status', want: 'application/json' },
    { accept: 'text/plain', url: '/status', want: 'text/plain' },
    { accept: 'text/html, text/plain;q=0.5', url: '/status', want: 'text/plain' },
    { accept: 'application/json, text/plain, */*', url: '/status', want: 'application/json' },
    { accept: undefined, url: '/status?format=text', want: 'text/plain' },
    { accept: 'text/plain', url: '/status?format=json', want: 'application/json' },
  ])('$url with Accept $accept is $want', async ({ accept, url, want }) => {
    const { get } = serverWith();
    const response = await get(url, accept === undefined ? {} : { accept });
    expect(response.headers['content-type']).toBe(`${want}; charset=utf-8`);
    if (want === 'text/plain') expect(response.body).toBe('3 of 3 findings\n');
  });

  test.each([
    { query: 'outcome=fail', want: ['canal.vxlan'] },
    { query: 'outcome=fail,unknown', want: ['canal.vxlan', 'canal.mtu'] },
    { query: 'outcome=skip', want: [] },
    { query: 'requirement=canal.mtu', want: ['canal.mtu'] },
    { query: 'peer=worker-2', want: ['canal.vxlan', 'canal.mtu'] },
    { query: 'peer=worker-2&outcome=unknown', want: ['canal.mtu'] },
  ])('?$query', async ({ query, want }) => {
    const { get } = serverWith();
    const response = await get(`/status?${query}`);
    const findings: { requirement: string }[] = response.json().findings;
    expect(findings.map(({ requirement }) => requirement)).toEqual(want);
  });

  test('text of a part has the summary of it all', async () => {
    const { get } = serverWith();
    const response = await get('/status?format=text&outcome=fail');
    expect(response.body).toBe('1 of 3 findings\n');
  });

  test.each([
    {
      query: 'outcome=bad',
      code: 'UNKNOWN_OUTCOME',
      names: ['"bad"', 'fail, pass, skip, unknown'],
    },
    { query: 'outcome=', code: 'UNKNOWN_OUTCOME', names: ['""'] },
    {
      query: 'requirement=canal.vxln',
      code: 'UNKNOWN_REQUIREMENT',
      names: ['"canal.vxln"', 'canal.vxlan'],
    },
    { query: 'peer=worker-9', code: 'UNKNOWN_PEER', names: ['"worker-9"', 'worker-2'] },
    { query: 'format=yaml', code: 'UNKNOWN_FORMAT', names: ['"yaml"', 'json, text'] },
    { query: 'outcom=fail', code: 'UNKNOWN_PARAMETER', names: ['"outcom"', 'outcome'] },
    { query: 'outcome=fail&outcome=pass', code: 'REPEATED_PARAMETER', names: ['outcome'] },
    { query: '__proto__=1', code: 'UNKNOWN_PARAMETER', names: [] },
  ])('?$query is refused', async ({ query, code, names }) => {
    const { get } = serverWith();
    const response = await get(`/status?${query}`);
    expect(response.statusCode).toBe(400);
    expect(response.json().code).toBe(code);
    for (const name of names) expect(response.json().message).toContain(name);
  });

  test('a long list of what would be valid is cut', async () => {
    const peers = Array.from({ length: 50 }, (_, index) => ({
      name: `worker-${index}`,
      address: '10.0.0.2',
      agent: 'unknown' as const,
    }));
    const { get } = serverWith({ document: () => someDocument({ peers }) });
    expect((await get('/status?peer=x')).json().message).toMatch(/ and 30 more$/);
    const none = serverWith({ document: () => someDocument({ peers: [] }) });
    expect((await none.get('/status?peer=x')).json().message).toMatch(/there is none now$/);
  });
});

describe('GET /', () => {
  test('is a page of its own that escapes whatever a peer is called', async () => {
    const evil = '<script>alert(1)</script>"\'&';
    const { get } = serverWith({
      document: () =>
        someDocument({
          node: { ...document.node, name: evil, os: evil },
          reasons: [evil],
          findings: [
            someFinding({ peer: evil, message: evil, requirement: evil, evidence: { evil } }),
          ],
        }),
    });
    const response = await get('/');
    expect(response.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(response.body).not.toContain('<script');
    expect(response.body).toContain('&#60;script&#62;');
    expect(response.body).not.toMatch(/(src|href)="(https?:)?\/\//);
  });

  test('its policy allows its style and nothing else', async () => {
    const { get } = serverWith();
    const response = await get('/');
    const policy = String(response.headers['content-security-policy']);
    expect(policy).toMatch(/^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+';/);
    const style = /<style>([^]*)<\/style>/.exec(response.body)?.[1] ?? '';
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(style));
    expect(policy).toContain(Buffer.from(digest).toString('base64'));
    expect(response.body).not.toMatch(/ style="/);
    expect(response.body).toContain('http-equiv="refresh"');
  });

  test('shows the worst first, and says how many it leaves out', async () => {
    const findings = [
      someFinding({ requirement: 'canal.a' }),
      someFinding({ requirement: 'canal.b', outcome: 'fail', reason: 'dropped', level: 'info' }),
      someFinding({ requirement: 'canal.c', outcome: 'unknown', reason: 'no-witness' }),
      someFinding({
        requirement: 'canal.d',
        outcome: 'fail',
        reason: 'dropped',
        level: 'recommended',
      }),
      someFinding({ requirement: 'canal.e', outcome: 'fail', reason: 'dropped' }),
      ...Array.from({ length: 600 }, () =>
        someFinding({ requirement: 'canal.z', outcome: 'skip' }),
      ),
    ];
    const { get } = serverWith({ document: () => someDocument({ findings, provider: null }) });
    const { body } = await get('/');
    const order = [...body.matchAll(/<code>(canal\.[a-e])<\/code>/g)].map(([, id]) => id);
    expect(order).toEqual(['canal.e', 'canal.d', 'canal.c', 'canal.b', 'canal.a']);
    expect(body).toContain('105 more findings');
    expect(body).toContain('no provider');
  });

  test('says which peers have no agent', async () => {
    const peers = (['absent', 'absent', 'unreachable', 'reachable'] as const).map(
      (agent, index) => ({
        name: `worker-${index}`,
        address: '10.0.0.2',
        agent,
      }),
    );
    const { get } = serverWith({ document: () => someDocument({ peers }) });
    expect((await get('/')).body).toContain('4 peers, their agents: 2 absent, 1 unreachable');
  });
});

describe('GET /healthz and /readyz', () => {
  test.each([
    { idleMs: 90_000, want: 200 },
    { idleMs: 90_001, want: 503 },
  ])('$idleMs ms since a round: $want', async ({ idleMs, want }) => {
    const { get } = serverWith({ health: () => ({ idleMs, limitMs: 90_000 }) });
    const response = await get('/healthz');
    expect(response.statusCode).toBe(want);
    expect(Check(HealthzSchema, response.json())).toBe(true);
    expect(response.json().alive).toBe(want === 200);
  });

  test('a node that is not ready is alive', async () => {
    const { get } = serverWith();
    expect((await get('/healthz')).statusCode).toBe(200);
  });

  test.each([
    { readiness: 'ready', want: 200 },
    { readiness: 'not-ready', want: 503 },
    { readiness: 'unknown', want: 503 },
  ] as const)('$readiness is $want', async ({ readiness, want }) => {
    const reasons = readiness === 'ready' ? [] : ['because'];
    const { get } = serverWith({ document: () => someDocument({ readiness, reasons }) });
    const response = await get('/readyz');
    expect(response.statusCode).toBe(want);
    expect(Check(ReadyzSchema, response.json())).toBe(true);
    expect(response.json()).toEqual({ readiness, reasons });
  });
});

describe('the other pages', () => {
  test('/metrics', async () => {
    const { get } = serverWith();
    const response = await get('/metrics');
    expect(response.headers['content-type']).toBe('text/plain; version=0.0.4');
    expect(response.body).toBe('metric 1\n');
  });

  test('/providers and /mesh', async () => {
    const { get } = serverWith();
    expect((await get('/providers')).json()).toEqual({ providers: ['canal'] });
    expect((await get('/mesh')).json().schema).toBe('cni-preflight/mesh/v1');
  });

  test('none of them says what runs here, or may be cached', async () => {
    const { get } = serverWith();
    for (const url of ['/', '/status', '/metrics', '/healthz', '/nowhere']) {
      const { headers } = await get(url);
      expect(headers).toMatchObject({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
      });
      expect(headers).not.toHaveProperty('server');
      expect(headers).not.toHaveProperty('x-powered-by');
    }
  });
});

describe('POST /check', () => {
  test('answers with the status after the round', async () => {
    let ran = 0;
    const { app } = serverWith({
      runNow: () => {
        ran += 1;
        return Promise.resolve();
      },
      document: () => someDocument({ readiness: ran === 0 ? 'not-ready' : 'ready' }),
    });
    const response = await app.inject({ method: 'POST', url: '/check' });
    expect(response.statusCode).toBe(200);
    expect(Check(StatusSchema, response.json())).toBe(true);
    expect(response.json().readiness).toBe('ready');
  });

  test('has a limit for each address', async () => {
    const { app } = serverWith();
    const post = (remoteAddress: string) =>
      app.inject({ method: 'POST', url: '/check', remoteAddress });
    for (let count = 0; count < 60; count += 1)
      expect((await post('10.0.0.9')).statusCode).toBe(200);
    const refused = await post('10.0.0.9');
    expect(refused.statusCode).toBe(429);
    expect(refused.json().code).toBe('TOO_MANY_REQUESTS');
    expect((await post('10.0.0.8')).statusCode).toBe(200);
  });

  test('a proxy’s word for an address is not taken', async () => {
    const { app } = serverWith();
    for (let count = 0; count < 60; count += 1) await app.inject({ method: 'POST', url: '/check' });
    const headers = { 'x-forwarded-for': '10.9.9.9' };
    const refused = await app.inject({ method: 'POST', url: '/check', headers });
    expect(refused.statusCode).toBe(429);
  });
});

describe('POST /peer/v1', () => {
  const post = (change: Partial<InjectOptions> = {}): InjectOptions => ({
    method: 'POST',
    url: '/peer/v1/facts',
    headers: { 'content-type': 'application/json' },
    payload: '{"op": "facts"}',
    ...change,
  });

  test.each([...peerOperations])('%s reaches the peer API as it came', async (operation) => {
    const { app, heard } = serverWith();
    const response = await app.inject(
      post({
        url: `/peer/v1/${operation}`,
        payload: '{ "not":  parsed',
        remoteAddress: '::ffff:10.0.0.7',
        headers: { 'content-type': 'application/json', 'x-cni-preflight-signature': 'abc' },
      }),
    );
    expect(response.json()).toEqual({ operation });
    expect(heard).toEqual([
      { operation, body: '{ "not":  parsed', address: '10.0.0.7', signature: 'abc' },
    ]);
  });

  test('the answer’s status, bytes and signature go back', async () => {
    const { app } = serverWith({
      peerApi: {
        handle: () =>
          Promise.resolve({
            status: 403,
            body: Buffer.from('{"code":"A","message":"b"}'),
            signature: 'mac',
          }),
      },
    });
    const response = await app.inject(post());
    expect(response.statusCode).toBe(403);
    expect(response.headers['x-cni-preflight-signature']).toBe('mac');
    expect(response.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(response.json()).toEqual({ code: 'A', message: 'b' });
  });

  test.each([
    {
      name: 'text',
      change: { headers: { 'content-type': 'text/plain' } },
      status: 415,
      code: 'UNSUPPORTED_MEDIA_TYPE',
    },
    {
      name: 'no type and no body',
      change: { headers: {}, payload: '' },
      status: 415,
      code: 'UNSUPPORTED_MEDIA_TYPE',
    },
    {
      name: 'a body of 16 KiB and a byte',
      change: { payload: 'x'.repeat(16 * 1024 + 1) },
      status: 413,
      code: 'BODY_TOO_LARGE',
    },
    {
      name: 'another method',
      change: { method: 'GET' as const, payload: '' },
      status: 405,
      code: 'METHOD_NOT_ALLOWED',
    },
    {
      name: 'an operation that is not',
      change: { url: '/peer/v1/reboot' },
      status: 404,
      code: 'NOT_FOUND',
    },
    {
      name: 'a version that is not',
      change: { url: '/peer/v2/facts' },
      status: 404,
      code: 'NOT_FOUND',
    },
  ])('$name is $status', async ({ change, status, code }) => {
    const { app, heard } = serverWith();
    const response = await app.inject(post(change));
    expect(response.statusCode).toBe(status);
    expect(Check(ErrorSchema, response.json())).toBe(true);
    expect(response.json().code).toBe(code);
    expect(heard).toEqual([]);
  });

  test('16 KiB are let through', async () => {
    const { app, heard } = serverWith();
    await app.inject(post({ payload: 'x'.repeat(16 * 1024) }));
    expect(heard[0]?.body).toHaveLength(16 * 1024);
  });

  test('50 a second and address, IPv4 on either kind of socket', async () => {
    const { app, heard } = serverWith();
    for (let count = 0; count < 50; count += 1)
      await app.inject(post({ remoteAddress: '10.0.0.7' }));
    const refused = await app.inject(post({ remoteAddress: '::ffff:10.0.0.7' }));
    expect(refused.statusCode).toBe(429);
    expect(heard).toHaveLength(50);
  });
});

describe('errors', () => {
  test.each([
    { method: 'GET', url: '/nowhere', status: 404, code: 'NOT_FOUND' },
    { method: 'GET', url: '/status/', status: 404, code: 'NOT_FOUND' },
    { method: 'POST', url: '/status', status: 405, code: 'METHOD_NOT_ALLOWED' },
    { method: 'DELETE', url: '/metrics?x=1', status: 405, code: 'METHOD_NOT_ALLOWED' },
    { method: 'GET', url: '/check', status: 405, code: 'METHOD_NOT_ALLOWED' },
    { method: 'GET', url: '/%zz', status: 400, code: 'BAD_REQUEST' },
  ] as const)('$method $url is $status', async ({ method, url, status, code }) => {
    const { app } = serverWith();
    const response = await app.inject({ method, url });
    expect(response.statusCode).toBe(status);
    expect(Check(ErrorSchema, response.json())).toBe(true);
    expect(response.json().code).toBe(code);
  });

  test('405 says what is allowed', async () => {
    const { app } = serverWith();
    expect((await app.inject({ method: 'PUT', url: '/status' })).headers['allow']).toBe(
      'GET, HEAD',
    );
    expect((await app.inject({ method: 'GET', url: '/check' })).headers['allow']).toBe('POST');
  });

  test('what goes wrong in here is not told', async () => {
    const { get } = serverWith({ mesh: () => Promise.reject(new Error('secret path /etc/key')) });
    const response = await get('/mesh');
    expect(response.statusCode).toBe(500);
    expect(response.json()).toEqual({
      code: 'INTERNAL_ERROR',
      message: 'the agent could not answer; its log says why',
    });
  });

  test('broken JSON for POST /check is the caller’s fault', async () => {
    const { app } = serverWith();
    const response = await app.inject({
      method: 'POST',
      url: '/check',
      headers: { 'content-type': 'application/json' },
      payload: '{',
    });
    expect(response.statusCode).toBe(400);
    expect(response.json().code).toBe('BAD_REQUEST');
  });
});

describe('on a real socket', () => {
  test('what is not HTTP gets JSON, and the server lives on', async () => {
    const { app } = serverWith();
    const address = new URL(await app.listen({ host: '127.0.0.1', port: 0 }));
    const answer = await new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = connect(Number(address.port), '127.0.0.1', () =>
        socket.write('\0\0garbage\r\n\r\n'),
      );
      socket.on('data', (chunk) => {
        text += chunk.toString();
      });
      socket.on('close', () => {
        resolve(text);
      });
      socket.on('error', reject);
    });
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"code":"BAD_REQUEST"');
    expect((await fetch(new URL('/healthz', address))).status).toBe(200);
  });

  test('whoever sends garbage and never hangs up keeps no connection', async () => {
    const { app } = serverWith();
    const address = new URL(await app.listen({ host: '127.0.0.1', port: 0 }));
    const socket = connect({ port: Number(address.port), host: '127.0.0.1', allowHalfOpen: true });
    socket.write('\0\0garbage\r\n\r\n');
    socket.resume();
    await new Promise<void>((resolve) => {
      socket.once('end', resolve);
    });
    const open = (): Promise<number> =>
      new Promise((resolve) => {
        app.server.getConnections((_error, count) => {
          resolve(count);
        });
      });
    await expect.poll(open).toBe(0);
    socket.destroy();
  });

  test('an address that takes more connections than it needs takes them from nobody else', async () => {
    const { app } = serverWith();
    const address = new URL(await app.listen({ host: '127.0.0.1', port: 0 }));
    const ended = { '127.0.0.1': 0, '127.0.0.2': 0 };
    const from = (localAddress: keyof typeof ended): Socket => {
      const { hostname: host, port } = address;
      const socket = connect({ host, port: Number(port), localAddress });
      socket.on('close', () => ended[localAddress]++);
      // One that was not let in may learn it by a reset.
      return socket.on('error', () => {}).resume();
    };
    const greedy = Array.from({ length: 40 }, () => from('127.0.0.1'));
    await expect.poll(() => ended['127.0.0.1']).toBe(8);

    const other = from('127.0.0.2');
    other.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(String(await once(other, 'data'))).toMatch(/^HTTP\/1\.1 200 /);
    expect(ended).toEqual({ '127.0.0.1': 8, '127.0.0.2': 0 });

    // Who hangs up may come back.
    for (const socket of greedy) socket.destroy();
    await expect.poll(() => ended['127.0.0.1']).toBe(40);
    await expect.poll(async () => (await fetch(new URL('/healthz', address))).status).toBe(200);
    other.destroy();
  });

  test('closing ends a request that is under way, in less than a second', async () => {
    const { app } = serverWith({ runNow: () => new Promise(() => {}) });
    const address = new URL(await app.listen({ host: '127.0.0.1', port: 0 }));
    const ended = fetch(new URL('/check', address), { method: 'POST' }).then(
      () => 'answered',
      () => 'cut off',
    );
    await fetch(new URL('/status', address));
    const startedAt = performance.now();
    await app.close();
    expect(await ended).toBe('cut off');
    expect(performance.now() - startedAt).toBeLessThan(1000);
  });
});

describe('/openapi.json', () => {
  test('names every route, and the reverse', async () => {
    const { app } = serverWith();
    const served = new Set<string>();
    app.addHook('onRoute', ({ url, method }) => {
      for (const one of [method].flat()) if (one !== 'HEAD') served.add(`${one} ${url}`);
    });
    await app.ready();
    const response = await app.inject('/openapi.json');
    const paths: Record<string, Record<string, unknown>> = response.json().paths;
    const described = Object.entries(paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(described.sort()).toEqual([...served].sort());
    expect(served.size).toBe(16);
  });

  test('refers to nothing that it does not hold', () => {
    const description = openapi('0.1.0');
    const text = JSON.stringify(description);
    const references = [...text.matchAll(/#\/components\/schemas\/(\w+)/g)].map(([, name]) => name);
    for (const name of references) {
      expect(description).toHaveProperty(['components', 'schemas', name ?? '']);
    }
    expect(references.length).toBeGreaterThan(5);
  });
});
