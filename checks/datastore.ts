/** @module Asks the datastore's endpoints whether they are there and well. */
import type { ParamsByKind } from '../rules/schema.ts';
import { type Answer, type Check, fail, pass, skip, unknown } from './check.ts';
import type { Host } from './host/host.ts';
import { withDeadline } from './time.ts';

type Store = ParamsByKind['datastore']['store'];

/** What one endpoint turned out to be. */
interface Endpoint {
  /** Without credentials: it becomes evidence. */
  readonly url: string;
  readonly state: 'healthy' | 'unhealthy' | 'unreachable';
  readonly detail: string;
}

const maximumEndpoints = 16;

/** Asks the datastore's endpoints whether they are there and well. One healthy endpoint is enough. */
export const datastore: Check<'datastore'> = {
  kind: 'datastore',
  summary: 'the datastore answers',
  scope: 'node',
  needs: [],

  async run({ store, endpointsOption }, _target, { host, options, signal, timeoutMs }) {
    const given = endpointsOf(options[endpointsOption]);
    if (given.length === 0) return skip('no-endpoint-given', { store, option: endpointsOption });
    const endpoints = await Promise.all(
      given.map((url) => askEndpoint(store, url, { host, signal, timeoutMs })),
    );
    if (signal.aborted) return unknown('deadline', { store });
    return judgeEndpoints(store, endpoints);
  },
};

function endpointsOf(option: string | number | boolean | undefined): readonly string[] {
  if (typeof option !== 'string') return [];
  const parts = option.split(',').map((part) => part.trim());
  return parts.filter((part) => part !== '').slice(0, maximumEndpoints);
}

function judgeEndpoints(store: Store, endpoints: readonly Endpoint[]): Answer {
  const describe = (state: Endpoint['state']): string =>
    endpoints
      .filter((endpoint) => endpoint.state === state)
      .map(({ url, detail }) => `${url} ${detail}`)
      .join(',');
  const evidence: Record<string, string> = { store };
  for (const state of ['healthy', 'unhealthy', 'unreachable'] as const) {
    const text = describe(state);
    if (text !== '') evidence[state] = text;
  }
  if (evidence['healthy'] !== undefined) return pass(evidence);
  return evidence['unhealthy'] === undefined
    ? fail('datastore-unreachable', evidence)
    : fail('datastore-unhealthy', evidence);
}

interface Asking {
  readonly host: Host;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

async function askEndpoint(store: Store, text: string, asking: Asking): Promise<Endpoint> {
  const url = parseEndpoint(store, text);
  if (url === undefined)
    return { url: 'unreadable', state: 'unreachable', detail: 'ERR_INVALID_URL' };
  const paths = store === 'etcd' ? ['/health', '/version'] : ['/readyz', '/version'];
  const ask = async (path: string): Promise<Awaited<ReturnType<Host['httpGet']>>> =>
    await withDeadline(asking.timeoutMs, asking.signal, (signal) =>
      asking.host.httpGet(new URL(path, url).href, signal),
    );
  const shown = `${url.protocol}//${url.host}`;
  const [first = '', second = ''] = paths;
  const answer = await ask(first);
  if ('error' in answer) return { url: shown, ...judgeError(answer.error) };
  const verdict = store === 'etcd' ? judgeEtcd(answer) : judgeKubernetes(answer);
  if (verdict.state === 'unhealthy') return { url: shown, ...verdict };
  const version = await ask(second);
  const found = 'error' in version ? '' : versionOf(store, version.body);
  return { url: shown, state: 'healthy', detail: found === '' ? verdict.detail : found };
}

/** An endpoint may be written without a scheme: etcd's flags allow it, and people do. */
function parseEndpoint(store: Store, text: string): URL | undefined {
  const scheme = store === 'etcd' ? 'http://' : 'https://';
  const whole = text.includes('://') ? text : `${scheme}${text}`;
  if (!URL.canParse(whole)) return undefined;
  const url = new URL(whole);
  return url.protocol === 'http:' || url.protocol === 'https:' ? url : undefined;
}

/** A TLS alert came from the far end, so it is reached: it wants a client certificate that is none of ours. */
function judgeError(error: string): Pick<Endpoint, 'state' | 'detail'> {
  const isAlert = /^ERR_SSL_.*ALERT/.test(error);
  return isAlert
    ? { state: 'healthy', detail: 'wants-a-client-certificate' }
    : { state: 'unreachable', detail: error };
}

interface Response {
  readonly status: number;
  readonly body: string;
}

/** etcd answers `{"health":"true"}`, with a reason beside it since 3.4; 503 when it is not well. */
function judgeEtcd({ status, body }: Response): Pick<Endpoint, 'state' | 'detail'> {
  if (isRefusal(status)) return { state: 'healthy', detail: `status-${status}` };
  const isHealthy = status === 200 && /"health"\s*:\s*"?true"?/.test(body);
  return isHealthy
    ? { state: 'healthy', detail: 'health-true' }
    : { state: 'unhealthy', detail: `status-${status}` };
}

/** Anonymous requests may be refused: 401 and 403 still come from an API server that works. */
function judgeKubernetes({ status }: Response): Pick<Endpoint, 'state' | 'detail'> {
  const isThere = status === 200 || isRefusal(status);
  return { state: isThere ? 'healthy' : 'unhealthy', detail: `status-${status}` };
}

function isRefusal(status: number): boolean {
  return status === 401 || status === 403;
}

function versionOf(store: Store, body: string): string {
  const field = store === 'etcd' ? 'etcdserver' : 'gitVersion';
  const version = new RegExp(`"${field}"\\s*:\\s*"([A-Za-z0-9.+-]{1,40})"`).exec(body)?.[1];
  return version === undefined ? '' : `${store}-${version}`;
}
