/**
 * @module The addresses of a peer's pods are its own, and packets to them take the way into the overlay: by the routes and addresses of
 * this node and by what the peer says of itself. Sends nothing.
 */
import {
  type Answer,
  type AnswerCulprit,
  type Check,
  type Context,
  type Evidence,
  fail,
  type PeerTarget,
  pass,
  skip,
  unknown,
} from './check.ts';
import { hostAnswers } from './icmp-echo.ts';
import { matchesDevice } from './overlay/devices.ts';
import { podSubnets, sharedSubnet, subnetWith } from './overlay/ends.ts';
import { judgeRoute } from './overlay/routes.ts';
import { addressIn, parsePrefix } from './packet/prefix.ts';
import type { PeerFacts } from './peer-channel.ts';

const thisNode: AnswerCulprit = { where: 'node', node: 'this' };

/** Compares what this node has with what the peer's agent says of its pods. */
export const overlayState: Check<'overlay-state'> = {
  kind: 'overlay-state',
  summary: "packets to the peer's pods take the way into the overlay",
  scope: 'peer',
  needs: [],

  async run({ tunnels, bridges = [], subnetFiles = [] }, target, context) {
    if (target.scope !== 'peer') throw new Error('overlay-state is for peers');
    const { host } = context;
    const links = await host.links();
    const ends = links.filter(({ name }) => matchesDevice(tunnels, name)).map(({ name }) => name);
    if (ends.length === 0) return skip('no-overlay-device');
    const facts = await context.peer?.facts(context.signal);
    if (facts === undefined)
      return unknown((await hostAnswers(target, context)) ? 'no-witness' : 'peer-unreachable');
    const theirs = subnetsOf(facts, target);
    if (theirs.length === 0) return skip('no-overlay-device');
    const addresses = await host.addresses();
    const own = await podSubnets(host, addresses, { tunnels, bridges, subnetFiles });
    const shared = sharedSubnet(own, theirs);
    if (shared !== undefined) {
      const [subnetHere, subnetThere] = shared;
      return fail('pod-subnet-shared', { subnetHere, subnetThere });
    }
    const evidence = { podSubnets: theirs.join(',') };
    return (
      foreignAddress(addresses, theirs, context) ??
      (await divertedRoute(ends, theirs, { facts, target, context })) ??
      pass(evidence)
    );
  },
};

function subnetsOf({ podSubnets: all }: PeerFacts, { family }: PeerTarget): readonly string[] {
  return all.filter((text) => parsePrefix(text)?.bytes.length === (family === 'ipv4' ? 4 : 16));
}

/** An address of this node, on a device that is none of the provider's, that a pod of the peer may have: it would never be reached. */
function foreignAddress(
  addresses: Awaited<ReturnType<Context['host']['addresses']>>,
  theirs: readonly string[],
  { interfaces }: Context,
): Answer | undefined {
  for (const { interface: device, address, prefixLength } of addresses) {
    if (matchesDevice(interfaces, device)) continue;
    const subnetThere = subnetWith(address, theirs);
    if (subnetThere === undefined) continue;
    const evidence = { subnetThere, interface: device, address: `${address}/${prefixLength}` };
    return fail('pod-subnet-overlaps', evidence, thisNode);
  }
  return undefined;
}

/** The first pods of a node have the lowest addresses; a foreign prefix may cover one half only. */
function samplesOf(subnet: string): readonly string[] {
  const prefix = parsePrefix(subnet);
  if (prefix === undefined) return [];
  const hostBits = prefix.bytes.length * 8 - prefix.length;
  const half = 2 ** Math.min(31, Math.max(0, hostBits - 1));
  const offsets = [...new Set([2, half + 2, 2 * half - 2])].filter((offset) => offset >= 0);
  return offsets.flatMap((offset) => addressIn(prefix, offset) ?? []);
}

/** A route to one of the peer's pods that leads neither into a tunnel nor to the peer's node. */
async function divertedRoute(
  ends: readonly string[],
  theirs: readonly string[],
  far: { readonly facts: PeerFacts; readonly target: PeerTarget; readonly context: Context },
): Promise<Answer | undefined> {
  const { facts, target, context } = far;
  const { host } = context;
  const underlay = await host.route(target.address);
  for (const subnet of theirs) {
    for (const to of samplesOf(subnet)) {
      const route = await host.route(to);
      const problem = judgeRoute(route, {
        devices: ends,
        underlay,
        peers: [target.address, ...Object.values(facts.overlay)],
      });
      // Where the default route takes them, a router may know the way; the probes of the overlay tell.
      if (problem?.reason !== 'pod-route-diverted') continue;
      if (matchesDevice(context.interfaces, route?.interface ?? '')) continue;
      const evidence: Evidence = { subnetThere: subnet, to, ...problem.evidence };
      return fail('pod-route-diverted', evidence, thisNode);
    }
  }
  return undefined;
}
