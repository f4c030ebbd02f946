import { describe, expect, test } from 'vitest';
import { datastore } from '../../../checks/datastore.ts';
import { type FakeMachine, fakeContext, fakeHost } from '../../support/fake-host.ts';

const node = { scope: 'node' } as const;

describe('datastore', () => {
  const etcd = 'http://10.0.0.1:2379';
  const api = 'https://10.0.0.1:6443';
  const run = async (
    store: 'etcd' | 'kubernetes',
    endpoints: string,
    http: FakeMachine['http'] = {},
    signal = new AbortController().signal,
  ) =>
    await datastore.run(
      { store, endpointsOption: 'endpoints' },
      node,
      fakeContext({ host: fakeHost({ http }), options: { endpoints }, signal }),
    );
  const version = { status: 200, body: '{"etcdserver":"3.5.9"}' };

  test.each<{
    name: string;
    store: 'etcd' | 'kubernetes';
    endpoints: string;
    http: NonNullable<FakeMachine['http']>;
    want: object;
  }>([
    {
      name: 'no endpoint',
      store: 'etcd',
      endpoints: ' , ',
      http: {},
      want: { outcome: 'skip', reason: 'no-endpoint-given' },
    },
    {
      name: 'a healthy etcd',
      store: 'etcd',
      endpoints: etcd,
      http: {
        [`${etcd}/health`]: { status: 200, body: '{"health":"true","reason":""}' },
        [`${etcd}/version`]: version,
      },
      want: { outcome: 'pass', evidence: { healthy: `${etcd} etcd-3.5.9` } },
    },
    {
      name: 'an unhealthy etcd',
      store: 'etcd',
      endpoints: etcd,
      http: { [`${etcd}/health`]: { status: 503, body: '{"health":"false"}' } },
      want: { outcome: 'fail', reason: 'datastore-unhealthy' },
    },
    {
      name: 'somebody else on the port',
      store: 'etcd',
      endpoints: etcd,
      http: { [`${etcd}/health`]: { status: 404, body: 'nginx' } },
      want: { outcome: 'fail', reason: 'datastore-unhealthy' },
    },
    {
      name: 'nobody there',
      store: 'etcd',
      endpoints: etcd,
      http: { [`${etcd}/health`]: { error: 'ECONNREFUSED' } },
      want: { outcome: 'fail', reason: 'datastore-unreachable' },
    },
    {
      name: 'one of two, written without a scheme, with a password that is not shown',
      store: 'etcd',
      endpoints: 'http://root:secret@10.0.0.1:2379, 10.0.0.2:2379',
      http: {
        'http://root:secret@10.0.0.1:2379/health': { status: 200, body: '{"health":"true"}' },
        'http://root:secret@10.0.0.1:2379/version': { error: 'ECONNRESET' },
        'http://10.0.0.2:2379/health': { error: 'ETIMEDOUT' },
      },
      want: {
        outcome: 'pass',
        evidence: {
          store: 'etcd',
          healthy: `${etcd} health-true`,
          unreachable: 'http://10.0.0.2:2379 ETIMEDOUT',
        },
      },
    },
    {
      name: 'an etcd that wants a certificate is reached',
      store: 'etcd',
      endpoints: 'https://10.0.0.1:2379',
      http: {
        'https://10.0.0.1:2379/health': { error: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED' },
      },
      want: {
        outcome: 'pass',
        evidence: { healthy: 'https://10.0.0.1:2379 wants-a-client-certificate' },
      },
    },
    ...[200, 401, 403].map((status) => ({
      name: `an API server that answers ${status}`,
      store: 'kubernetes' as const,
      endpoints: '10.0.0.1:6443',
      http: {
        [`${api}/readyz`]: { status, body: 'ok' },
        [`${api}/version`]: { status: 200, body: '{"gitVersion": "v1.31.4+k3s1"}' },
      },
      want: { outcome: 'pass', evidence: { healthy: `${api} kubernetes-v1.31.4+k3s1` } },
    })),
    {
      name: 'an API server that is not ready',
      store: 'kubernetes',
      endpoints: api,
      http: { [`${api}/readyz`]: { status: 500, body: '[-]etcd failed' } },
      want: { outcome: 'fail', reason: 'datastore-unhealthy' },
    },
    {
      name: 'something that is no URL',
      store: 'etcd',
      endpoints: 'http://[::1',
      http: {},
      want: { outcome: 'fail', evidence: { unreachable: 'unreadable ERR_INVALID_URL' } },
    },
  ])('$name', async ({ store, endpoints, http, want }) => {
    expect(await run(store, endpoints, http)).toMatchObject(want);
  });

  test('a shutdown in the middle is not an unreachable datastore', async () => {
    const http = { [`${etcd}/health`]: { error: 'ETIMEDOUT' } };
    expect(await run('etcd', etcd, http, AbortSignal.abort())).toMatchObject({
      outcome: 'unknown',
      reason: 'deadline',
    });
  });
});
