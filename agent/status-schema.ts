/** @module The JSON Schemas of what is served: the status document and its companions. */
import type { Static, TSchema } from 'typebox';
import { reasons } from '../checks/check.ts';
import { kinds } from '../rules/schema.ts';
import { Type } from '../rules/type.ts';
import type { Finding, StatusDocument } from './model.ts';

const object = <P extends Parameters<typeof Type.Object>[0]>(properties: P, description?: string) =>
  Type.Object(properties, {
    additionalProperties: false,
    ...(description === undefined ? {} : { description }),
  });
const words = <T extends string>(...values: readonly T[]) =>
  Type.Unsafe<T>(Type.Union(values.map((value) => Type.Literal(value))));
const orNull = <S extends TSchema>(schema: S) => Type.Union([schema, Type.Null()]);

const Scalar = Type.Union([Type.String(), Type.Number(), Type.Boolean()]);
const Timestamp = Type.String({
  pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\.\\d{3}Z$',
  description: 'RFC 3339, UTC, milliseconds.',
});
const Count = Type.Integer({ minimum: 0 });
const Options = Type.Record(Type.String(), Scalar);

export const OutcomeSchema = words('pass', 'fail', 'skip', 'unknown');
export const ReadinessSchema = words('ready', 'not-ready', 'unknown');
const LevelSchema = words('required', 'recommended', 'info');
const AgentSchema = words('reachable', 'absent', 'unreachable', 'unknown');

/** A rule, or the policy of a chain. */
export const FirewallPlaceSchema = object({
  backend: words('nf_tables', 'iptables-nft', 'iptables-legacy'),
  family: Type.String(),
  table: Type.String(),
  chain: Type.String(),
  hook: Type.String(),
  handle: Type.Optional(Type.Integer({ minimum: 0 })),
  number: Type.Optional(Type.Integer({ minimum: 0 })),
  policy: Type.Optional(Type.String()),
  rule: Type.Optional(Type.String()),
});

export const FindingSchema = object(
  {
    requirement: Type.String(),
    kind: words(...kinds, 'agent'),
    level: LevelSchema,
    outcome: OutcomeSchema,
    reason: Type.Optional(words(...reasons)),
    message: Type.String({ description: 'One sentence for a person.' }),
    target: Type.Union([
      object({ scope: Type.Literal('node') }),
      object({
        scope: Type.Literal('peer'),
        name: Type.String(),
        address: Type.String(),
        family: words('ipv4', 'ipv6'),
        direction: words('outbound', 'inbound'),
      }),
    ]),
    evidence: Type.Record(Type.String(), Scalar),
    culprit: orNull(
      object({
        where: words(
          'sender-egress',
          'path',
          'receiver-ingress',
          'receiver-listener',
          'receiver-forward',
          'mtu',
          'node',
          'peer-agent',
        ),
        node: Type.String(),
        firewall: Type.Optional(FirewallPlaceSchema),
        candidates: Type.Optional(Type.Array(FirewallPlaceSchema)),
      }),
    ),
    remedy: orNull(
      Type.Array(
        object({
          manager: Type.String(),
          on: Type.String(),
          commands: Type.Array(Type.String()),
        }),
      ),
    ),
    documentation: Type.Optional(Type.String()),
    sources: Type.Array(Type.String()),
    since: Timestamp,
    checkedAt: Timestamp,
    durationSeconds: Type.Number({ minimum: 0 }),
  },
  'One requirement, one target, what came out, and since when.',
);

const SummarySchema = object({
  pass: Count,
  fail: Count,
  warn: Count,
  info: Count,
  unknown: Count,
  skip: Count,
});

/** `check --format json` and `GET /status`. */
export const StatusSchema = object(
  {
    schema: Type.Literal('cni-preflight/status/v1'),
    agent: object({ version: Type.String() }),
    node: object({
      name: Type.String(),
      addresses: Type.Array(Type.String()),
      kernel: Type.String(),
      os: Type.String(),
      architecture: Type.String(),
    }),
    provider: orNull(
      object({
        name: Type.String(),
        options: Options,
        source: words('flag', 'environment', 'file', 'detected', 'default'),
      }),
    ),
    providers: Type.Optional(
      Type.Array(
        object({
          name: Type.String(),
          options: Options,
          readiness: ReadinessSchema,
          summary: SummarySchema,
        }),
      ),
    ),
    readiness: ReadinessSchema,
    reasons: Type.Optional(Type.Array(Type.String())),
    since: Timestamp,
    summary: SummarySchema,
    peers: Type.Array(object({ name: Type.String(), address: Type.String(), agent: AgentSchema })),
    findings: Type.Array(FindingSchema),
    startedAt: Timestamp,
    durationSeconds: Type.Number({ minimum: 0 }),
  },
  'What a node, and its way to its peers, is fit for.',
);

export const ReadyzSchema = object({
  readiness: ReadinessSchema,
  reasons: Type.Array(Type.String()),
});

export const HealthzSchema = object({
  alive: Type.Boolean(),
  lastRoundAgeSeconds: Type.Number({ minimum: 0 }),
  limitSeconds: Type.Number({ minimum: 0 }),
});

export const MeshSchema = object(
  {
    schema: Type.Literal('cni-preflight/mesh/v1'),
    collectedAt: Timestamp,
    nodes: Type.Array(
      object({
        name: Type.String(),
        address: Type.String(),
        agent: AgentSchema,
        readiness: ReadinessSchema,
      }),
    ),
    pairs: Type.Array(
      object({
        sender: Type.String(),
        receiver: Type.String(),
        outcome: OutcomeSchema,
        requirement: Type.Optional(Type.String()),
        reason: Type.Optional(Type.String()),
        reportedBy: Type.String(),
      }),
    ),
    summary: Type.Array(Type.String(), {
      description: 'What fails, in few sentences: one for all pairs that one node has in common.',
    }),
    complete: Type.Boolean({
      description: 'Whether pairs that pass are listed, too; in a large cluster they are not.',
    }),
    omitted: Count,
  },
  'What each node says of its way to each other node.',
);
export type Mesh = Static<typeof MeshSchema>;

export const ErrorSchema = object({ code: Type.String(), message: Type.String() });

/** The document as others see it: without what only this process needs. */
export function publicDocument(document: StatusDocument): StatusDocument {
  return { ...document, findings: document.findings.map(publicFinding) };
}

function publicFinding({
  anyOf: _anyOf,
  eitherDirection: _eitherDirection,
  ...finding
}: Finding): Finding {
  return finding;
}
