/** @module The answer to a test as it travels between agents; hostile until validated. */
import type { Static } from 'typebox';
import { Type } from '../rules/type.ts';
import { type Answer, type AnswerCulprit, type AnswerRemedy, reasons } from './check.ts';
import type { FirewallPlace } from './firewall-verdict.ts';
import { strict, text } from './peer-wire.ts';
import { believable } from './remedy/hearsay.ts';

const mostEvidence = 24;
const mostRemedies = 4;
const mostCandidates = 3;
const longestText = 128;
const longestRule = 240;

const Evidence = Type.Record(
  Type.String({ pattern: '^[^\\s\\p{Cc}]{1,40}$' }),
  Type.Union([text(200), Type.Number(), Type.Boolean()]),
  { maxProperties: mostEvidence, ...strict },
);

/** A rule, or the policy of a chain. */
export const PlaceShape = Type.Object(
  {
    backend: Type.Union([
      Type.Literal('nf_tables'),
      Type.Literal('iptables-nft'),
      Type.Literal('iptables-legacy'),
    ]),
    family: text(16),
    table: text(longestText),
    chain: text(longestText),
    hook: text(16),
    handle: Type.Optional(Type.Integer({ minimum: 0 })),
    number: Type.Optional(Type.Integer({ minimum: 0 })),
    policy: Type.Optional(text(16)),
    rule: Type.Optional(text(longestRule)),
  },
  strict,
);

const Side = Type.Union([Type.Literal('this'), Type.Literal('peer')]);

export const AnswerShape = Type.Object(
  {
    outcome: Type.Union([
      Type.Literal('pass'),
      Type.Literal('fail'),
      Type.Literal('skip'),
      Type.Literal('unknown'),
    ]),
    reason: Type.Optional(Type.Enum(reasons)),
    evidence: Type.Optional(Evidence),
    culprit: Type.Optional(
      Type.Object(
        {
          where: Type.Union([
            Type.Literal('sender-egress'),
            Type.Literal('path'),
            Type.Literal('receiver-ingress'),
            Type.Literal('receiver-listener'),
            Type.Literal('receiver-forward'),
            Type.Literal('mtu'),
            Type.Literal('node'),
            Type.Literal('peer-agent'),
          ]),
          node: Type.Union([Type.Literal('this'), Type.Literal('peer'), Type.Literal('path')]),
          firewall: Type.Optional(PlaceShape),
          candidates: Type.Optional(Type.Array(PlaceShape, { maxItems: mostCandidates })),
        },
        strict,
      ),
    ),
    remedy: Type.Optional(
      Type.Array(
        Type.Object(
          {
            manager: Type.String({ pattern: '^[a-z0-9_-]{1,24}$' }),
            on: Side,
            commands: Type.Array(text(500), { minItems: 1, maxItems: 8 }),
          },
          strict,
        ),
        { maxItems: mostRemedies },
      ),
    ),
  },
  strict,
);
export type TravellingAnswer = Static<typeof AnswerShape>;

/** An answer as it travels: the shape above. Long evidence is cut, not refused. */
export function travelling(answer: Answer): TravellingAnswer {
  const evidence = Object.fromEntries(
    Object.entries(answer.evidence ?? {})
      .slice(0, mostEvidence)
      .map(([key, value]) => [key, typeof value === 'string' ? clean(value, 120) : value]),
  );
  const { outcome } = answer;
  if (outcome === 'pass') return { outcome, evidence };
  const { reason } = answer;
  if (outcome !== 'fail') return { outcome, reason, evidence };
  const { culprit, remedy = [] } = answer;
  return {
    outcome,
    reason,
    evidence,
    ...(culprit === undefined ? {} : { culprit: travellingCulprit(culprit) }),
    ...(remedy.length === 0 || remedy.length > mostRemedies
      ? {}
      : { remedy: remedy.map(travellingRemedy) }),
  };
}

function travellingCulprit(culprit: AnswerCulprit): NonNullable<TravellingAnswer['culprit']> {
  const { where, node, firewall, candidates = [] } = culprit;
  return {
    where,
    node,
    ...(firewall === undefined ? {} : { firewall: travellingPlace(firewall) }),
    ...(candidates.length === 0
      ? {}
      : { candidates: candidates.slice(0, mostCandidates).map(travellingPlace) }),
  };
}

/** A place with its texts cut to what a peer takes. */
export function travellingPlace(place: FirewallPlace): Static<typeof PlaceShape> {
  const { family, table, chain, hook, rule } = place;
  return {
    ...place,
    family: clean(family, 16),
    table: clean(table, longestText),
    chain: clean(chain, longestText),
    hook: clean(hook, 16),
    ...(rule === undefined ? {} : { rule: clean(rule, longestRule) }),
  };
}

/** The asker calls this node its peer; of a test towards the asker this node is the sender. */
function travellingRemedy({ manager, on = 'this', commands }: AnswerRemedy) {
  return { manager, on, commands: [...commands] };
}

function clean(value: string, most: number): string {
  return value.slice(0, most).replaceAll(/\p{Cc}/gu, ' ');
}

/** What a travelled answer says; undefined where an outcome lacks its reason. */
export function arrived(shape: TravellingAnswer): Answer | undefined {
  const { outcome, reason, evidence = {}, culprit } = shape;
  if (outcome === 'pass') return { outcome, evidence };
  if (reason === undefined) return undefined;
  if (outcome !== 'fail') return { outcome, reason, evidence };
  const remedy = ownOf(shape.remedy ?? []);
  return {
    outcome,
    reason,
    evidence,
    ...(culprit === undefined ? {} : { culprit }),
    ...(remedy.length === 0 ? {} : { remedy }),
  };
}

/** What the other node proposes to type on itself. Nothing of it is shown for this node, which knows its own rules best. */
function ownOf(remedy: NonNullable<TravellingAnswer['remedy']>): readonly AnswerRemedy[] {
  const own = believable(remedy.filter(({ on }) => on === 'this'));
  return own.map((one) => ({ ...one, on: 'this' }));
}

/** Ever less of an answer, for a response that has little room: what matters least goes first. */
export const slimmer: readonly ((answer: TravellingAnswer) => TravellingAnswer)[] = [
  ({ remedy: _remedy, ...rest }) => rest,
  ({ evidence: _evidence, ...rest }) => ({ ...rest, evidence: {} }),
  ({ culprit, ...rest }) =>
    culprit === undefined
      ? rest
      : { ...rest, culprit: { where: culprit.where, node: culprit.node } },
];
