/**
 * @module Why probes through a tunnel are lost: what this node has of the tunnel, compared with what the peer says of its own end. Pure.
 * Asked only after a loss: entries that differ and work all the same are nobody's business.
 */
import type { Answer, AnswerCulprit, Evidence, Reason } from '../check.ts';
import type {
  ForwardingEntry,
  InterfaceAddress,
  Link,
  Route,
  TunnelNeighbour,
} from '../host/host.ts';
import type { PeerFacts } from '../peer-channel.ts';
import { isStray, subnetWith } from './ends.ts';
import { type Command, destinationRemedy, neighbourRemedy, routeRemedy } from './remedies.ts';
import { judgeRoute, type RouteProblem } from './routes.ts';

/** What the kernel of this node has of one tunnel. */
export interface OwnEnd {
  readonly link: Link;
  readonly addresses: readonly InterfaceAddress[];
  readonly neighbours: readonly TunnelNeighbour[];
  readonly entries: readonly ForwardingEntry[];
  /** To the peer's overlay address. */
  readonly route: Route | undefined;
  /** To the peer's node. */
  readonly underlay: Route | undefined;
}

/** Whom the probes were for. */
export interface Far {
  readonly facts: PeerFacts;
  /** The peer's overlay address. */
  readonly overlayAddress: string;
  /** The peer's address on the underlay, as this node knows it. */
  readonly address: string;
  /** What this node runs. */
  readonly own: { readonly vni: number; readonly port: number };
}

export type Failure = Extract<Answer, { readonly outcome: 'fail' }>;

const thisNode: AnswerCulprit = { where: 'node', node: 'this' };
const peerNode: AnswerCulprit = { where: 'node', node: 'peer' };

/** The first thing on the way that cannot work; undefined where everything fits together. */
export function explainLoss(own: OwnEnd, far: Far): Failure | undefined {
  const { link, route, underlay } = own;
  const about: Evidence = { device: link.name, overlayAddress: far.overlayAddress };
  if (!link.up) return failure('overlay-device-down', about, thisNode);
  const routed = judgeRoute(route, {
    devices: [link.name],
    underlay,
    peers: [far.address, far.overlayAddress],
  });
  if (routed !== undefined) {
    const isMissing = routed.reason === 'overlay-route-missing';
    const answer = routeFailure(routed, { ...about, to: far.overlayAddress });
    return withRemedy(answer, isMissing ? [routeOf(far, link)] : []);
  }
  // A direct route needs no tunnel.
  if (route?.interface !== link.name || link.kind !== 'vxlan') return undefined;
  return (
    disagreement(far, about) ??
    (isStray(link.local, own.addresses) ? strayHere(link, about) : undefined) ??
    entryProblem(own, far, about) ??
    otherSource(own, about)
  );
}

/** One UDP port or VNI on the one node, another on the other one. */
function disagreement({ facts, own }: Far, about: Evidence): Failure | undefined {
  const differs = (['vni', 'port'] as const).filter(
    (field) => own[field] !== 0 && facts[field] !== 0 && own[field] !== facts[field],
  );
  if (differs.length === 0) return undefined;
  const values = differs.flatMap((field) => [
    [`${field}Here`, own[field]],
    [`${field}There`, facts[field]],
  ]);
  return failure('peer-disagrees', { ...about, ...Object.fromEntries(values) });
}

function strayHere({ local = '' }: Link, about: Evidence): Failure {
  return failure('overlay-source-address', { ...about, local, problem: 'stray' }, thisNode);
}

/** What a device that learns nothing by itself was told of the peer. */
function entryProblem(own: OwnEnd, far: Far, about: Evidence): Failure | undefined {
  const { link, neighbours, entries } = own;
  if (link.external === true || link.learning === true || link.asksForEntries === true)
    return undefined;
  const { overlayAddress, facts, address } = far;
  const end = facts.tunnels[link.name];
  if (end?.mac === undefined) return undefined;
  const { mac: peerMac, local: destination = address } = end;
  const device = link.name;
  const forwarding = destinationRemedy({ device, mac: peerMac, destination });
  const both = [neighbourRemedy({ device, overlayAddress, mac: peerMac }), forwarding];
  const told = neighbours.find((one) => one.address === overlayAddress)?.mac;
  if (told === undefined) {
    const evidence = { ...about, entry: 'neighbour', peerMac };
    return withRemedy(failure('overlay-entry-missing', evidence, thisNode), both);
  }
  if (told !== peerMac) {
    const evidence = { ...about, entryMac: told, peerMac };
    return withRemedy(failure('vtep-mac-differs', evidence, peerNode), both);
  }
  const destinations = entries.filter(({ mac }) => mac === peerMac).map((one) => one.destination);
  if (destinations.length === 0) {
    const evidence = { ...about, entry: 'forwarding', peerMac };
    return withRemedy(failure('overlay-entry-missing', evidence, thisNode), [forwarding]);
  }
  if (destinations.includes(address)) return undefined;
  if (!destinations.includes(destination)) {
    const found = destinations.slice(0, 4).join(',');
    const evidence = { ...about, peerMac, entryDestination: found, peerLocal: destination };
    // Where the peer itself sends from an address that it does not have, to send there is no cure.
    const cure = end.stray === true ? [] : [forwarding];
    return withRemedy(failure('fdb-destination-stale', evidence, thisNode), cure);
  }
  return wrongEnd(own, { ...about, local: destination, address }, end.stray === true);
}

/** The peer's tunnel ends at another address than its agent does: one that it does not have, or that this node has as well. */
function wrongEnd(own: OwnEnd, evidence: Evidence, isPeersStray: boolean): Failure | undefined {
  const { local } = evidence;
  const problem = isPeersStray
    ? 'stray'
    : own.addresses.some((one) => one.address === local)
      ? 'shared'
      : undefined;
  return problem === undefined
    ? undefined
    : failure('overlay-source-address', { ...evidence, problem }, peerNode);
}

/** Outer packets say to come from another address than the one that talks to the peer: where a router looks at it, they are lost. */
function otherSource({ link, underlay }: OwnEnd, about: Evidence): Failure | undefined {
  const { local } = link;
  const wanted = underlay?.source;
  if (local === undefined || wanted === undefined || local === wanted) return undefined;
  return failure(
    'overlay-source-address',
    { ...about, local, wanted, problem: 'other-route' },
    thisNode,
  );
}

/** What a route that does not lead into the overlay is called. */
export function routeFailure({ reason, evidence }: RouteProblem, about: Evidence): Failure {
  return failure(reason, { ...about, ...evidence }, thisNode);
}

function routeOf({ facts, overlayAddress }: Far, { name: device }: Link): Command | undefined {
  const subnet = subnetWith(overlayAddress, facts.podSubnets);
  return subnet === undefined ? undefined : routeRemedy({ subnet, overlayAddress, device });
}

/** All commands or none. */
function withRemedy(answer: Failure, commands: readonly (Command | undefined)[]): Failure {
  const known = commands.filter((command) => command !== undefined);
  if (known.length === 0 || known.length < commands.length) return answer;
  return { ...answer, remedy: [{ manager: 'iproute2', commands: known }] };
}

function failure(reason: Reason, evidence: Evidence, culprit?: AnswerCulprit): Failure {
  const answer = { outcome: 'fail', reason, evidence } as const;
  return culprit === undefined ? answer : { ...answer, culprit };
}
