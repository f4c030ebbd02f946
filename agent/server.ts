/** @module The HTTP server of the agent. Knows no socket but its own: all it serves is handed in. */
import type { Socket } from 'node:net';
import rateLimit from '@fastify/rate-limit';
import fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  LogController,
} from 'fastify';
import type { Finding, Outcome, StatusDocument } from './model.ts';
import { openapi, type PeerOperation, peerOperations } from './openapi.ts';
import { statusPage } from './status-page.ts';
import { type Mesh, publicDocument } from './status-schema.ts';

/** What a peer's request came to. */
export interface PeerApiAnswer {
  readonly status: number;
  /** JSON as bytes, or a value to write as JSON; `{code, message}` when the status is not 200. */
  readonly body: unknown;
  /** Of the body, when a key is configured. */
  readonly signature?: string;
}

/** The agent's side of what peers ask over HTTP. */
export interface PeerApi {
  /** The body is as it came, for that is what was signed; addresses are canonical, IPv4 also on a dual-stack socket. */
  handle(
    operation: PeerOperation,
    body: Uint8Array,
    remoteAddress: string,
    signature: string | undefined,
    localAddress?: string,
  ): Promise<PeerApiAnswer>;
}

export interface ServerOptions {
  readonly version: string;
  /** What is known now, internal fields included. */
  readonly document: () => StatusDocument;
  /** The document as text: the findings that are shown, and the summary of them all. */
  readonly renderText: (document: StatusDocument, shown: readonly Finding[]) => string;
  readonly metrics: { render(): Promise<{ readonly contentType: string; readonly body: string }> };
  /** How long no round has begun or ended, and how long that may be. */
  readonly health: () => { readonly idleMs: number; readonly limitMs: number };
  /** As `providers --format json`. */
  readonly providers: () => unknown;
  readonly mesh: () => Promise<Mesh>;
  /** Resolves after a round that began after the call. */
  readonly runNow: () => Promise<void>;
  readonly peerApi: PeerApi;
  readonly logger?: FastifyBaseLogger;
}

const maximumBodyBytes = 16 * 1024;
const requestTimeoutMs = 10_000;
/** Node looks for overdue requests every 30 s otherwise, and they keep their connections until then. */
const connectionsCheckMs = 2_000;
const keepAliveMs = 5_000;
/** A browser or a scraper holds a few; beyond it somebody leaks them. */
const maximumConnections = 256;
/** One address takes no more of them, so that it takes them from nobody else. */
const maximumConnectionsPerAddress = 32;
const peerRequestsPerSecond = 50;
const checksPerMinute = 60;
/** Addresses whose requests are counted; the one that was seen longest ago is forgotten. */
const countedAddresses = 4_096;

/** In place of the framework's compilers of validators and serializers: loading those costs 1.5 MB. */
function noSchemas(): never {
  throw new Error('no route here has a schema');
}

const securityHeaders = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
} as const;

/** Makes the server, which does not listen yet. Closing it ends every connection at once. */
export function createServer(options: ServerOptions): FastifyInstance {
  const app = fastify({
    ...(options.logger === undefined ? { logger: false } : { loggerInstance: options.logger }),
    // A scrape a second is no news; what fails is logged by the error handler.
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: false,
    bodyLimit: maximumBodyBytes,
    requestTimeout: requestTimeoutMs,
    http: { connectionsCheckingInterval: connectionsCheckMs },
    keepAliveTimeout: keepAliveMs,
    forceCloseConnections: true,
    return503OnClosing: true,
    routerOptions: { ignoreTrailingSlash: false },
    schemaController: {
      compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas },
    },
    frameworkErrors(error, _request, reply) {
      sendError(reply, error);
    },
    clientErrorHandler(error, socket) {
      const { status, code, message } = refusalOf(error.code);
      const body = JSON.stringify({ code, message });
      if (socket.writable) {
        socket.write(
          `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        );
      }
      // Not `end`: it waits for the other side to close as well, and one that never does keeps its connection for ever.
      socket.destroySoon();
    },
  });
  app.server.maxConnections = maximumConnections;
  app.server.on('connection', createConnectionLimit(maximumConnectionsPerAddress));
  app.removeContentTypeParser('text/plain');

  const methods = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const known = methods.get(url) ?? new Set<string>();
    methods.set(url, known);
    for (const one of [method].flat()) known.add(one);
  });
  app.addHook('onSend', async (_request, reply) => {
    reply.headers(securityHeaders);
  });
  app.setErrorHandler((error: FastifyError, _request, reply) => {
    if (statusOf(error) >= 500) options.logger?.error({ err: error }, 'request failed');
    sendError(reply, error);
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] ?? '';
    const allowed = methods.get(path);
    if (allowed === undefined) {
      return problem(
        reply,
        404,
        'NOT_FOUND',
        `there is no ${path}; /openapi.json lists what there is`,
      );
    }
    const list = [...allowed].join(', ');
    reply.header('allow', list);
    return problem(reply, 405, 'METHOD_NOT_ALLOWED', `${path} takes ${list}`);
  });

  // A route's limit is set when the route is made, so the plugin comes first.
  void app.register(rateLimit, {
    global: false,
    cache: countedAddresses,
    keyGenerator: ({ ip }) => canonical(ip),
    errorResponseBuilder: (_request, { after }) =>
      Object.assign(new Error(`too many requests from this address; come back in ${after}`), {
        code: 'TOO_MANY_REQUESTS',
        statusCode: 429,
      }),
  });
  void app.register(async (scope) => {
    addPages(scope, options);
    addProbes(scope, options);
    addCheck(scope, options);
    void scope.register(async (peers) => {
      addPeerApi(peers, options.peerApi);
    });
  });
  return app;
}

/** Hangs up on an address that has so many connections already. */
function createConnectionLimit(perAddress: number): (socket: Socket) => void {
  const open = new Map<string, number>();
  return (socket) => {
    const address = canonical(socket.remoteAddress ?? '');
    const others = open.get(address) ?? 0;
    if (others >= perAddress) {
      socket.destroy();
      return;
    }
    open.set(address, others + 1);
    socket.once('close', () => {
      const left = (open.get(address) ?? 1) - 1;
      if (left === 0) open.delete(address);
      else open.set(address, left);
    });
  };
}

/** What whoever sends something that is no request is told. */
interface Refusal {
  readonly status: string;
  readonly code: string;
  readonly message: string;
}

function refusalOf(errorCode: string): Refusal {
  return refusals[errorCode] ?? notHttp;
}

const notHttp: Refusal = {
  status: '400 Bad Request',
  code: 'BAD_REQUEST',
  message: 'this is not HTTP',
};
const refusals: Readonly<Record<string, Refusal>> = {
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: '408 Request Timeout',
    code: 'REQUEST_TIMEOUT',
    message: `the request was not there after ${requestTimeoutMs / 1000} seconds`,
  },
  HPE_HEADER_OVERFLOW: {
    status: '431 Request Header Fields Too Large',
    code: 'BAD_REQUEST',
    message: 'the headers are too long',
  },
};

/** Opens the port of a server. Resolves to the URL that it is reached by. */
export async function listen(
  server: FastifyInstance,
  { address, port }: { readonly address: string; readonly port: number },
): Promise<string> {
  return await server.listen({ host: address, port });
}

function addPages(app: FastifyInstance, options: ServerOptions): void {
  app.get('/', (_request, reply) => {
    const { html, contentSecurityPolicy } = statusPage(options.document());
    return reply
      .header('content-security-policy', contentSecurityPolicy)
      .type('text/html; charset=utf-8')
      .send(html);
  });

  app.get('/status', (request, reply) => {
    const document = options.document();
    const selected = select(document, request.query, request.headers.accept);
    if ('message' in selected) return problem(reply, 400, selected.code, selected.message);
    if (selected.format === 'json')
      return publicDocument({ ...document, findings: selected.findings });
    const text = options.renderText(document, selected.findings);
    return reply.type('text/plain; charset=utf-8').send(text);
  });

  app.get('/providers', () => options.providers());
  app.get('/mesh', () => options.mesh());
  const description = openapi(options.version);
  app.get('/openapi.json', () => description);
}

function addProbes(app: FastifyInstance, options: ServerOptions): void {
  app.get('/metrics', async (_request, reply) => {
    const { contentType, body } = await options.metrics.render();
    return reply.type(contentType).send(body);
  });

  app.get('/healthz', (_request, reply) => {
    const { idleMs, limitMs } = options.health();
    const alive = idleMs <= limitMs;
    return reply.code(alive ? 200 : 503).send({
      alive,
      lastRoundAgeSeconds: idleMs / 1000,
      limitSeconds: limitMs / 1000,
    });
  });

  app.get('/readyz', (_request, reply) => {
    const { readiness, reasons = [] } = options.document();
    return reply.code(readiness === 'ready' ? 200 : 503).send({ readiness, reasons });
  });
}

function addCheck(app: FastifyInstance, options: ServerOptions): void {
  const config = { rateLimit: { max: checksPerMinute, timeWindow: 60_000 } };
  app.post('/check', { config }, async () => {
    await options.runNow();
    return publicDocument(options.document());
  });
}

/** In a scope of its own: these bodies reach the peer API as bytes, and no other type of body gets in. */
function addPeerApi(app: FastifyInstance, api: PeerApi): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    done(null, body);
  });
  const config = { rateLimit: { max: peerRequestsPerSecond, timeWindow: 1_000 } };
  for (const operation of peerOperations) {
    app.post(`/peer/v1/${operation}`, { config }, async (request, reply) => {
      const { body } = request;
      if (!(body instanceof Uint8Array)) {
        return problem(reply, 415, 'UNSUPPORTED_MEDIA_TYPE', 'the body must be application/json');
      }
      const signature = request.headers['x-cni-preflight-signature'];
      const answer = await api.handle(
        operation,
        body,
        canonical(request.ip),
        typeof signature === 'string' ? signature : undefined,
        canonical(request.socket.localAddress ?? ''),
      );
      if (answer.signature !== undefined) {
        reply.header('x-cni-preflight-signature', answer.signature);
      }
      reply.code(answer.status).type('application/json; charset=utf-8');
      return answer.body instanceof Uint8Array
        ? reply.send(Buffer.from(answer.body))
        : reply.send(JSON.stringify(answer.body));
    });
  }
}

type Selected =
  | { readonly format: 'json' | 'text'; readonly findings: readonly Finding[] }
  | { readonly code: string; readonly message: string };

const outcomes: readonly Outcome[] = ['pass', 'fail', 'skip', 'unknown'];
const filters = ['format', 'outcome', 'requirement', 'peer'];

/** Picks findings and format. A filter that is not known is an error: an empty list would look like good news. */
function select(document: StatusDocument, query: unknown, accept: string | undefined): Selected {
  const given = new Map(Object.entries(query ?? {}));
  for (const [name, value] of given) {
    if (!filters.includes(name)) {
      return refusal('UNKNOWN_PARAMETER', name, '', filters);
    }
    if (typeof value !== 'string') {
      return { code: 'REPEATED_PARAMETER', message: `${name} is given more than once` };
    }
  }
  const text = (name: string): string | undefined => {
    const value: unknown = given.get(name);
    return typeof value === 'string' ? value : undefined;
  };

  const format = text('format');
  if (format !== undefined && format !== 'json' && format !== 'text') {
    return refusal('UNKNOWN_FORMAT', 'format', format, ['json', 'text']);
  }
  let { findings } = document;
  const outcome = text('outcome')?.split(',');
  if (outcome !== undefined) {
    const strange = outcome.find((one) => !outcomes.some((known) => known === one));
    if (strange !== undefined) return refusal('UNKNOWN_OUTCOME', 'outcome', strange, outcomes);
    findings = findings.filter((finding) => outcome.includes(finding.outcome));
  }
  const requirement = text('requirement');
  if (requirement !== undefined) {
    const known = document.findings.map((finding) => finding.requirement);
    if (!known.includes(requirement)) {
      return refusal('UNKNOWN_REQUIREMENT', 'requirement', requirement, known);
    }
    findings = findings.filter((finding) => finding.requirement === requirement);
  }
  const peer = text('peer');
  if (peer !== undefined) {
    const known = document.peers.map(({ name }) => name);
    if (!known.includes(peer)) return refusal('UNKNOWN_PEER', 'peer', peer, known);
    findings = findings.filter(({ target }) => target.scope === 'peer' && target.name === peer);
  }
  return { format: format ?? (prefersText(accept) ? 'text' : 'json'), findings };
}

const listedChoices = 20;

function refusal(
  code: string,
  name: string,
  value: string,
  known: readonly string[],
): { readonly code: string; readonly message: string } {
  const choices = [...new Set(known)].sort();
  const listed = choices.slice(0, listedChoices).join(', ');
  const more = choices.length > listedChoices ? ` and ${choices.length - listedChoices} more` : '';
  const valid = choices.length === 0 ? 'there is none now' : `valid: ${listed}${more}`;
  const subject = code === 'UNKNOWN_PARAMETER' ? `parameter "${name}"` : `${name} "${value}"`;
  return { code, message: `${subject} is not known; ${valid}` };
}

/** Whether text is asked for by name and JSON is not: curl's and a browser's wildcard get JSON. */
function prefersText(accept = ''): boolean {
  const types = accept.split(',').map((entry) => entry.split(';', 1)[0]?.trim().toLowerCase());
  return types.includes('text/plain') && !types.includes('application/json');
}

/** An IPv4 peer on a dual-stack socket is the same peer. */
function canonical(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '');
}

function problem(reply: FastifyReply, status: number, code: string, message: string): FastifyReply {
  return reply.code(status).send({ code, message });
}

const codes: Readonly<Record<number, string>> = {
  400: 'BAD_REQUEST',
  404: 'NOT_FOUND',
  408: 'REQUEST_TIMEOUT',
  413: 'BODY_TOO_LARGE',
  414: 'URL_TOO_LONG',
  415: 'UNSUPPORTED_MEDIA_TYPE',
  429: 'TOO_MANY_REQUESTS',
  503: 'CLOSING',
};

function statusOf({ statusCode = 500 }: FastifyError): number {
  return statusCode >= 400 && statusCode < 600 ? statusCode : 500;
}

/** Says what the caller did wrong; what went wrong in here goes to the log only. */
function sendError(reply: FastifyReply, error: FastifyError): void {
  const status = statusOf(error);
  const code = codes[status] ?? (status < 500 ? 'BAD_REQUEST' : 'INTERNAL_ERROR');
  const message = status < 500 ? error.message : 'the agent could not answer; its log says why';
  void reply.code(status).send({ code, message });
}
