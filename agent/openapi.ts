/** @module What the HTTP server offers, as OpenAPI 3.1: written from the schemas of what it sends. */
import {
  ErrorSchema,
  HealthzSchema,
  MeshSchema,
  OutcomeSchema,
  ReadyzSchema,
  StatusSchema,
} from './status-schema.ts';

/** What one agent may ask another over HTTP. */
export const peerOperations = [
  'watch',
  'sighting',
  'observe',
  'observed',
  'heard',
  'confirm',
  'facts',
] as const;
export type PeerOperation = (typeof peerOperations)[number];

/** Describes every route of the server. */
export function openapi(version: string): Readonly<Record<string, unknown>> {
  return {
    openapi: '3.1.0',
    info: {
      title: 'cni-preflight agent',
      version,
      description: 'Whether a node, and its way to its peers, is fit for its CNI.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths: {
      '/': { get: operation('The status page.', { 200: html }) },
      '/status': {
        get: operation(
          'The status document, or its text.',
          {
            200: {
              description: 'What is known now.',
              content: {
                'application/json': { schema: reference('Status') },
                'text/plain': { schema: { type: 'string' } },
              },
            },
            400: problem('A filter that is not known.'),
          },
          [
            query('format', 'The form; without it the Accept header decides.', {
              type: 'string',
              enum: ['json', 'text'],
            }),
            query(
              'outcome',
              'Findings of these outcomes only, separated by commas.',
              OutcomeSchema,
            ),
            query('requirement', 'Findings of this requirement only.', { type: 'string' }),
            query('peer', 'Findings about this peer only.', { type: 'string' }),
          ],
        ),
      },
      '/metrics': {
        get: operation('Metrics for Prometheus.', {
          200: {
            description: 'The text format.',
            content: { 'text/plain': { schema: { type: 'string' } } },
          },
        }),
      },
      '/healthz': {
        get: operation('Whether the agent lives; never depends on peers.', {
          200: json('It does.', 'Healthz'),
          503: json('No round has begun or ended for too long.', 'Healthz'),
        }),
      },
      '/readyz': {
        get: operation(
          'Whether the node is ready. For people and automation, not for the kubelet.',
          {
            200: json('It is.', 'Readyz'),
            503: json('It is not, or nobody knows; with the reasons.', 'Readyz'),
          },
        ),
      },
      '/providers': {
        get: operation('The catalogue and the comparison table.', {
          200: {
            description: 'As `cni-preflight providers --format json`.',
            content: { 'application/json': {} },
          },
        }),
      },
      '/mesh': {
        get: operation('The matrix of all nodes, at most 10 seconds old.', {
          200: json('What each node says of its way to the others.', 'Mesh'),
        }),
      },
      '/check': {
        post: operation('Runs a round now. Callers share it; there is one in 5 seconds at most.', {
          200: json('The status after the round.', 'Status'),
          429: problem('Too many requests from this address.'),
          503: problem('The agent is about to end.'),
        }),
      },
      '/openapi.json': {
        get: operation('This document.', {
          200: { description: 'OpenAPI 3.1.', content: { 'application/json': {} } },
        }),
      },
      ...Object.fromEntries(
        peerOperations.map((name) => [`/peer/v1/${name}`, { post: peerOperation(name) }]),
      ),
    },
    components: {
      schemas: {
        Status: StatusSchema,
        Mesh: MeshSchema,
        Healthz: HealthzSchema,
        Readyz: ReadyzSchema,
        Error: ErrorSchema,
      },
    },
  };
}

const html = { description: 'HTML.', content: { 'text/html': { schema: { type: 'string' } } } };

function operation(summary: string, responses: object, parameters: readonly object[] = []): object {
  return parameters.length === 0 ? { summary, responses } : { summary, parameters, responses };
}

function peerOperation(name: PeerOperation): object {
  return {
    summary: `Between agents: ${name} (docs/wire-format.md).`,
    parameters: [
      {
        name: 'x-cni-preflight-signature',
        in: 'header',
        description: 'Keyed MAC of the body, when a key is configured.',
        schema: { type: 'string' },
      },
    ],
    requestBody: {
      required: true,
      content: { 'application/json': { schema: { type: 'object' } } },
    },
    responses: {
      200: { description: 'The answer.', content: { 'application/json': {} } },
      400: problem('The body is not understood.'),
      401: problem('The agent has a key, and the request is not signed with it.'),
      403: problem('This address may not ask.'),
      413: problem('The body is larger than 16 KiB.'),
      415: problem('The body is not JSON.'),
      429: problem('Too many requests from this address, or too many watches.'),
      503: problem('This agent may not open the socket that a watch needs.'),
    },
  };
}

function query(name: string, description: string, schema: object): object {
  return { name, in: 'query', required: false, description, schema };
}

function json(description: string, name: string): object {
  return { description, content: { 'application/json': { schema: reference(name) } } };
}

function problem(description: string): object {
  return json(description, 'Error');
}

function reference(name: string): object {
  return { $ref: `#/components/schemas/${name}` };
}
