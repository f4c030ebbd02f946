/** @module The bodies of requests and responses between agents (docs/wire-format.md); hostile until validated. */
import type { Static } from 'typebox';
import { Type } from '../rules/type.ts';
import { AnswerShape } from './peer-answer.ts';
import type { PeerFacts } from './peer-channel.ts';
import { maximumBodyBytes, reader, strict, text, writeBody } from './peer-wire.ts';

/** A key; only its pattern counts, a record looks at nothing else of it. */
const keyOf = (maxLength: number) => Type.String({ pattern: `^[^\\s\\p{Cc}]{1,${maxLength}}$` });
const shortText = text(128);
/** Kinds that a peer may be asked to test towards the asker: those that send a few packets and no more. */
export const wishableKinds = [
  'icmp-echo',
  'udp-port',
  'tcp-port',
  'ip-protocol',
  'path-mtu',
  'vxlan-path',
] as const;
export type WishableKind = (typeof wishableKinds)[number];

const Wish = Type.Object(
  {
    id: shortText,
    kind: Type.Enum(wishableKinds),
    mustReach: Type.Boolean(),
    params: Type.Record(keyOf(40), Type.Union([Type.Number(), shortText]), {
      maxProperties: 6,
      ...strict,
    }),
  },
  strict,
);

/** Nonces and sessions. */
const Hex64 = Type.String({ pattern: '^[0-9a-f]{16}$' });
const Port = Type.Integer({ minimum: 1, maximum: 65535 });
const ObserveId = Type.String({ pattern: '^[0-9a-f]{16}$' });

/** Every request; `op` says which. */
export const Request = Type.Union([
  Type.Object({ op: Type.Literal('facts') }, strict),
  Type.Object(
    {
      op: Type.Literal('heard'),
      nonces: Type.Array(Hex64, { minItems: 1, maxItems: 32 }),
      /** The asker's own: its probes may have come from another of its addresses than the question. */
      session: Type.Optional(Hex64),
    },
    strict,
  ),
  Type.Object({ op: Type.Literal('watch'), protocol: Type.Literal('tcp'), port: Port }, strict),
  Type.Object(
    { op: Type.Literal('watch'), protocol: Type.Union([Type.Literal(4), Type.Literal(50)]) },
    strict,
  ),
  Type.Object({ op: Type.Literal('sighting'), id: shortText }, strict),
  Type.Object(
    {
      op: Type.Literal('observe'),
      /** Drawn by the asker: the question may come twice. */
      id: ObserveId,
      protocol: Type.Union([Type.Literal(6), Type.Literal(17)]),
      port: Port,
    },
    strict,
  ),
  Type.Object(
    {
      op: Type.Literal('observe'),
      id: ObserveId,
      protocol: Type.Union([Type.Literal('icmp'), Type.Literal(4), Type.Literal(50)]),
    },
    strict,
  ),
  Type.Object({ op: Type.Literal('observed'), id: ObserveId }, strict),
  Type.Object(
    {
      op: Type.Literal('confirm'),
      requirements: Type.Array(Wish, { minItems: 1, maxItems: 8 }),
      /** An older answer is of no use: the peer tests again. */
      maximumAgeSeconds: Type.Number({ minimum: 0, maximum: 3600 }),
    },
    strict,
  ),
]);
export type Request = Static<typeof Request>;

const Whole = Type.Integer({ minimum: 0, maximum: 0xffff_ffff });

const Facts = Type.Object(
  {
    session: Hex64,
    node: shortText,
    version: text(32),
    witness: Type.Boolean(),
    provider: text(64),
    encapsulation: text(64),
    vni: Whole,
    port: Whole,
    mtu: Whole,
    overlay: Type.Record(keyOf(32), text(45), { maxProperties: 8, ...strict }),
    answers: Type.Array(text(32), { maxItems: 8 }),
    tunnels: Type.Record(
      keyOf(32),
      Type.Object(
        {
          mac: Type.Optional(Type.String({ pattern: '^[0-9a-f]{2}(:[0-9a-f]{2}){5}$' })),
          local: Type.Optional(text(45)),
          stray: Type.Optional(Type.Boolean()),
        },
        strict,
      ),
      { maxProperties: 4, ...strict },
    ),
    down: Type.Array(text(32), { maxItems: 4 }),
    podSubnets: Type.Array(text(49), { maxItems: 8 }),
  },
  strict,
);
const Heard = Type.Object(
  {
    witnessSeconds: Type.Number({ minimum: 0 }),
    overloadedSeconds: Type.Optional(Type.Number({ minimum: 0 })),
    heard: Type.Array(Type.Boolean(), { maxItems: 32 }),
  },
  strict,
);
const ObserveOpened = Type.Object({ id: ObserveId }, strict);
/** What a datagram brings instead of an answer; HTTP has status codes for it. */
const Refused = Type.Object(
  { refused: Type.Union([Type.Literal('busy'), Type.Literal('unable')]) },
  strict,
);
const WatchOpened = Type.Object({ id: shortText }, strict);
const SightingShape = Type.Object(
  { seen: Type.Integer({ minimum: 0 }), established: Type.Optional(Type.Boolean()) },
  strict,
);
/** Nothing older than a day is kept; a date beyond any calendar would end in a throw. */
const AgeSeconds = Type.Number({ minimum: 0, maximum: 86_400 });
const Verdicts = Type.Object(
  {
    verdicts: Type.Array(
      Type.Object({ id: shortText, ageSeconds: AgeSeconds, answer: AnswerShape }, strict),
      { maxItems: 8 },
    ),
    pending: Type.Boolean(),
  },
  strict,
);

export const readRequest = reader(Request);
export const readFacts = reader(Facts);
export const readHeard = reader(Heard);
export const readWatchOpened = reader(WatchOpened);
export const readObserveOpened = reader(ObserveOpened);
export const readRefused = reader(Refused);
export const readSighting = reader(SightingShape);
export const readVerdicts = reader(Verdicts);

/** What a node says of itself, as long as it may be: what peers can do without goes first. */
export function writeFacts(facts: PeerFacts): Uint8Array {
  const none = { podSubnets: [], down: [], tunnels: {}, answers: [], overlay: {} } as const;
  let short = facts;
  let body = writeBody(short);
  for (const name of ['podSubnets', 'down', 'tunnels', 'answers', 'overlay'] as const) {
    if (body.length <= maximumBodyBytes) break;
    short = { ...short, [name]: none[name] };
    body = writeBody(short);
  }
  return body;
}

/** Whether a peer may be asked to test this kind. */
export function isWishable(kind: string): kind is WishableKind {
  return wishableKinds.some((wishable) => wishable === kind);
}
