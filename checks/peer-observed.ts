/**
 * @module The receiver's half of a diagnosis as it travels between agents (docs/wire-format.md): short enough for one datagram, and hostile
 * until it is read.
 */
import type { Static } from 'typebox';
import { Type } from '../rules/type.ts';
import type {
  CounterName,
  ReceiverEvidence,
  RulesVerdict,
  Sight,
  StationReport,
} from './diagnosis/evidence.ts';
import type { FirewallPlace } from './firewall-verdict.ts';
import { reader, strict, text, writeBody } from './peer-wire.ts';
import { believable, longestCommand, mostCommands } from './remedy/hearsay.ts';
import type { Remedy } from './remedy/remedy.ts';

/** Their places on the wire: new ones come last, and none goes. */
const counterPlaces: Readonly<Record<CounterName, number>> = {
  udpNoPorts: 0,
  udpInErrors: 1,
  udpInCsumErrors: 2,
  udpRcvbufErrors: 3,
  tcpInCsumErrors: 4,
  tcpListenDrops: 5,
  icmpInCsumErrors: 6,
  ipInAddrErrors: 7,
  ipInNoRoutes: 8,
  ipOutNoRoutes: 9,
  ipForwDatagrams: 10,
  ipReasmReqds: 11,
  ipReasmFails: 12,
  ipFragCreates: 13,
  ipFragFails: 14,
  reversePathFilter: 15,
  conntrackDrop: 16,
  conntrackEarlyDrop: 17,
  conntrackInsertFailed: 18,
  conntrackInvalid: 19,
  softnetDropped: 20,
  deviceReceiveDrops: 21,
  deviceReceiveErrors: 22,
  deviceTransmitDrops: 23,
  neighbourTableFull: 24,
};
const counterNames = Object.keys(counterPlaces) as readonly CounterName[];

const mostRemedies = 4;
const Count = Type.Integer({ minimum: 0, maximum: 0xffff_ffff });
const Name = text(64);

/** A `Sight`; what is 0 or empty is left out. */
const SightShape = Type.Object(
  {
    p: Type.Optional(Count),
    a: Type.Optional(Count),
    f: Type.Optional(Count),
    h: Type.Optional(Count),
    b: Type.Optional(Count),
    e: Type.Optional(
      Type.Array(Type.Object({ t: Count, c: Count, f: text(45) }, strict), { maxItems: 4 }),
    ),
    i: Type.Optional(Type.Array(text(15), { maxItems: 4 })),
  },
  strict,
);
const StationsShape = Type.Object(
  {
    o: SightShape,
    n: SightShape,
    p: SightShape,
    c: Type.Array(Type.Union([Count, Type.Null()]), { maxItems: 64 }),
    l: Type.Optional(Count),
  },
  strict,
);

/** A `FirewallPlace`: backend, family, table, chain, hook, handle, number, policy, rule. */
const PlaceShape = Type.Object(
  {
    b: Type.Enum(['nf_tables', 'iptables-nft', 'iptables-legacy']),
    f: text(16),
    t: Name,
    c: Name,
    k: text(16),
    h: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
    n: Type.Optional(Count),
    p: Type.Optional(text(16)),
    r: Type.Optional(text(400)),
  },
  strict,
);
/** A `RulesVerdict`: verdict, place, candidates, undetermined, programs, where to, counted, remedies. */
const RulesShape = Type.Object(
  {
    v: Type.Enum(['accept', 'drop', 'reject', 'redirected', 'undetermined']),
    w: Type.Optional(PlaceShape),
    c: Type.Optional(Type.Array(PlaceShape, { maxItems: 8 })),
    u: Type.Optional(Type.Array(text(200), { maxItems: 8 })),
    g: Type.Optional(Type.Array(text(100), { maxItems: 8 })),
    t: Type.Optional(text(64)),
    k: Type.Optional(Count),
    m: Type.Optional(
      Type.Array(
        Type.Object(
          {
            m: text(16),
            c: Type.Array(text(longestCommand), { minItems: 1, maxItems: mostCommands }),
          },
          strict,
        ),
        { maxItems: mostRemedies },
      ),
    ),
  },
  strict,
);
const Observed = Type.Object(
  {
    w: Type.Optional(Count),
    s: Type.Optional(StationsShape),
    r: Type.Optional(Type.Object({ p: RulesShape, a: RulesShape }, strict)),
    o: Type.Enum(['nobody', 'process', 'kernel', 'unknown']),
    d: Type.Boolean(),
    i: Type.Optional(text(15)),
    f: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 })),
    g: Type.Optional(Type.Boolean()),
  },
  strict,
);
type Observed = Static<typeof Observed>;
type RulesShape = Static<typeof RulesShape>;
type PlaceShape = Static<typeof PlaceShape>;
type SightShape = Static<typeof SightShape>;

const readShape = reader(Observed);

/** How much of what is for persons is said. */
interface Detail {
  readonly ruleLetters: number;
  readonly candidates: number;
  readonly texts: number;
  readonly textLetters: number;
  readonly answerRemedies: boolean;
  readonly probeRemedies: boolean;
}

/** From everything to what a verdict needs: what would cure it goes last. */
const details: readonly Detail[] = [
  {
    ruleLetters: 200,
    candidates: 4,
    texts: 4,
    textLetters: 120,
    answerRemedies: true,
    probeRemedies: true,
  },
  {
    ruleLetters: 100,
    candidates: 2,
    texts: 2,
    textLetters: 80,
    answerRemedies: true,
    probeRemedies: true,
  },
  {
    ruleLetters: 80,
    candidates: 1,
    texts: 1,
    textLetters: 60,
    answerRemedies: false,
    probeRemedies: true,
  },
  {
    ruleLetters: 60,
    candidates: 0,
    texts: 1,
    textLetters: 40,
    answerRemedies: false,
    probeRemedies: true,
  },
  {
    ruleLetters: 24,
    candidates: 0,
    texts: 1,
    textLetters: 24,
    answerRemedies: false,
    probeRemedies: true,
  },
  {
    ruleLetters: 24,
    candidates: 0,
    texts: 1,
    textLetters: 24,
    answerRemedies: false,
    probeRemedies: false,
  },
];

/** The body of a response, no longer than a datagram carries; what a person would miss least is cut first. */
export function writeObserved(evidence: ReceiverEvidence, maximumBytes: number): Uint8Array {
  let body: Uint8Array = new Uint8Array();
  for (const detail of details) {
    body = writeBody(encode(evidence, detail));
    if (body.length <= maximumBytes) return body;
  }
  // Names of tables and chains as long as nobody gives them.
  const { rules: _, ...rest } = evidence;
  body = writeBody(encode(rest, details[details.length - 1] ?? noDetail));
  return body;
}

const noDetail: Detail = {
  ruleLetters: 0,
  candidates: 0,
  texts: 0,
  textLetters: 0,
  answerRemedies: false,
  probeRemedies: false,
};

/** What a peer said that it saw; undefined when it is no such body. Remedies that do not read like ours are left out. */
export function readObserved(bytes: Uint8Array): ReceiverEvidence | undefined {
  const shape = readShape(bytes);
  return shape === undefined ? undefined : decode(shape);
}

function encode(evidence: ReceiverEvidence, detail: Detail): Observed {
  const { witnessed, stations, rules, interfaceToSender, reversePathFilter, echoIgnored } =
    evidence;
  return {
    ...(witnessed === undefined ? {} : { w: witnessed }),
    ...(stations === undefined ? {} : { s: encodeStations(stations) }),
    ...(rules === undefined
      ? {}
      : {
          r: {
            p: encodeRules(rules.probe, detail, detail.probeRemedies),
            a: encodeRules(rules.answer, detail, detail.answerRemedies),
          },
        }),
    o: evidence.owner,
    d: evidence.ownsDestination,
    ...(interfaceToSender === undefined ? {} : { i: cut(interfaceToSender, 15) }),
    ...(reversePathFilter === undefined ? {} : { f: reversePathFilter }),
    ...(echoIgnored === undefined ? {} : { g: echoIgnored }),
  };
}

function encodeStations(report: StationReport): NonNullable<Observed['s']> {
  const { out, nic, pastIngress, counters, lost } = report;
  const values: (number | null)[] = counterNames.map(() => null);
  for (const counter of counterNames) {
    const value = counters[counter];
    if (value !== undefined) values[counterPlaces[counter]] = Math.min(value, 0xffff_ffff);
  }
  return {
    o: encodeSight(out),
    n: encodeSight(nic),
    p: encodeSight(pastIngress),
    c: values,
    ...(lost === 0 ? {} : { l: lost }),
  };
}

function encodeSight(sight: Sight): SightShape {
  const { probes, answers, fragments, otherHost, badChecksums, errors, interfaces } = sight;
  return {
    ...(probes === 0 ? {} : { p: probes }),
    ...(answers === 0 ? {} : { a: answers }),
    ...(fragments === 0 ? {} : { f: fragments }),
    ...(otherHost === 0 ? {} : { h: otherHost }),
    ...(badChecksums === 0 ? {} : { b: badChecksums }),
    ...(errors.length === 0
      ? {}
      : { e: errors.slice(0, 2).map(({ type, code, from }) => ({ t: type, c: code, f: from })) }),
    ...(interfaces.length === 0 ? {} : { i: interfaces.slice(0, 2).map((one) => cut(one, 15)) }),
  };
}

function encodeRules(rules: RulesVerdict, detail: Detail, hasRemedies: boolean): RulesShape {
  const { verdict, place, rewrittenTo, counted } = rules;
  const cures = rules.remedies
    .filter(isShort)
    .slice(0, mostRemedies)
    .map(({ manager, commands }) => ({ m: manager, c: [...commands] }));
  const candidates = rules.candidates.slice(0, detail.candidates);
  const some = (texts: readonly string[]): string[] =>
    texts.slice(0, detail.texts).map((one) => cut(one, detail.textLetters));
  const [undetermined, programs] = [some(rules.undetermined), some(rules.programs)];
  return {
    v: verdict,
    ...(place === undefined ? {} : { w: encodePlace(place, detail) }),
    ...(candidates.length === 0
      ? {}
      : { c: candidates.map((candidate) => encodePlace(candidate, detail)) }),
    ...(undetermined.length === 0 ? {} : { u: undetermined }),
    ...(programs.length === 0 ? {} : { g: programs }),
    ...(rewrittenTo === undefined ? {} : { t: cut(rewrittenTo, 64) }),
    ...(counted === undefined ? {} : { k: Math.min(counted, 0xffff_ffff) }),
    ...(hasRemedies && cures.length > 0 ? { m: cures } : {}),
  };
}

/** A remedy is whole or not there. */
function isShort({ commands }: Remedy): boolean {
  return (
    commands.length <= mostCommands && commands.every((command) => command.length <= longestCommand)
  );
}

function encodePlace(place: FirewallPlace, { ruleLetters }: Detail): PlaceShape {
  const { backend, family, table, chain, hook, handle, number, policy, rule } = place;
  return {
    b: backend,
    f: family,
    t: cut(table, 64),
    c: cut(chain, 64),
    k: hook,
    ...(handle === undefined ? {} : { h: handle }),
    ...(number === undefined ? {} : { n: number }),
    ...(policy === undefined ? {} : { p: policy }),
    ...(rule === undefined ? {} : { r: cut(rule, ruleLetters) }),
  };
}

/** Three points say that something is missing. */
function cut(whole: string, letters: number): string {
  const clean = whole.replace(/\p{Cc}/gu, ' ');
  return clean.length <= letters ? clean : `${clean.slice(0, Math.max(0, letters - 3))}...`;
}

function decode(shape: Observed): ReceiverEvidence {
  const { w, s, r, o, d, i, f, g } = shape;
  const filter = f === 0 || f === 1 || f === 2 ? f : undefined;
  return {
    ...(w === undefined ? {} : { witnessed: w }),
    ...(s === undefined ? {} : { stations: decodeStations(s) }),
    ...(r === undefined ? {} : { rules: { probe: decodeRules(r.p), answer: decodeRules(r.a) } }),
    owner: o,
    ownsDestination: d,
    ...(i === undefined ? {} : { interfaceToSender: i }),
    ...(filter === undefined ? {} : { reversePathFilter: filter }),
    ...(g === undefined ? {} : { echoIgnored: g }),
  };
}

function decodeStations({ o, n, p, c, l }: NonNullable<Observed['s']>): StationReport {
  const counters: Partial<Record<CounterName, number>> = {};
  for (const counter of counterNames) {
    const value = c[counterPlaces[counter]];
    if (typeof value === 'number') counters[counter] = value;
  }
  return {
    out: decodeSight(o),
    nic: decodeSight(n),
    pastIngress: decodeSight(p),
    counters,
    lost: l ?? 0,
  };
}

function decodeSight({ p, a, f, h, b, e, i }: SightShape): Sight {
  return {
    probes: p ?? 0,
    answers: a ?? 0,
    fragments: f ?? 0,
    otherHost: h ?? 0,
    badChecksums: b ?? 0,
    errors: (e ?? []).map(({ t, c, f: from }) => ({ type: t, code: c, from })),
    interfaces: i ?? [],
  };
}

function decodeRules({ v, w, c, u, g, t, k, m }: RulesShape): RulesVerdict {
  return {
    verdict: v,
    ...(w === undefined ? {} : { place: decodePlace(w) }),
    candidates: (c ?? []).map(decodePlace),
    undetermined: u ?? [],
    programs: g ?? [],
    ...(t === undefined ? {} : { rewrittenTo: t }),
    ...(k === undefined ? {} : { counted: k }),
    remedies: believable((m ?? []).map(({ m: manager, c: commands }) => ({ manager, commands }))),
  };
}

function decodePlace({ b, f, t, c, k, h, n, p, r }: PlaceShape): FirewallPlace {
  return {
    backend: b,
    family: f,
    table: t,
    chain: c,
    hook: k,
    ...(h === undefined ? {} : { handle: h }),
    ...(n === undefined ? {} : { number: n }),
    ...(p === undefined ? {} : { policy: p }),
    ...(r === undefined ? {} : { rule: r }),
  };
}
