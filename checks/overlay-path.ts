/**
 * @module The overlay itself: the peer's agent answers on its overlay address, small and in the overlay's full size, and it must be the
 * same agent. What is lost is explained by what this node has of the tunnel and what the peer says of its own end.
 */
import {
  type Answer,
  type Check,
  type Context,
  fail,
  type PeerTarget,
  skip,
  unknown,
} from './check.ts';
import type { Family } from './family.ts';
import type { InterfaceAddress, Link } from './host/host.ts';
import { explainLoss, type Failure, routeFailure } from './overlay/loss.ts';
import { judgeRoute } from './overlay/routes.ts';
import { parseAddress } from './packet/address.ts';
import type { PeerFacts } from './peer-channel.ts';
import { agentPort } from './peer-client.ts';
import { probeUdpPort } from './udp-path.ts';

/** Sends probes to the peer's overlay address; the session in the answer shows that the right host got them. */
export const overlayPath: Check<'overlay-path'> = {
  kind: 'overlay-path',
  summary: 'the peer answers on its overlay address',
  scope: 'peer',
  needs: [],

  async run({ devices, pods = false }, target, context) {
    if (target.scope !== 'peer') throw new Error('overlay-path is for peers');
    const own = (await context.host.addresses()).filter(
      (one) => devices.includes(one.interface) && one.family === target.family,
    );
    const [source] = own;
    if (source === undefined) return skip('no-overlay-device');
    const facts = await context.peer?.facts(context.signal);
    if (facts === undefined) return unknown('no-witness');
    const device = devices.find((name) => facts.overlay[`${name}/${target.family}`] !== undefined);
    const address = device === undefined ? undefined : facts.overlay[`${device}/${target.family}`];
    if (device === undefined || address === undefined || !isOf(target.family, address))
      return skip('no-overlay-device');
    const test: OverlayTest = { device, address, source, facts, target, context };
    const answer = pods ? await testPods(test) : await testTunnel(test);
    if (answer.outcome === 'skip' || answer.outcome === 'unknown') return answer;
    return { ...answer, evidence: { ...answer.evidence, device, overlayAddress: address } };
  },
};

/** One overlay address of a peer, and what its agent says of itself. */
interface OverlayTest {
  readonly device: string;
  readonly address: string;
  /** The own address on the device of that name. */
  readonly source: InterfaceAddress;
  readonly facts: PeerFacts;
  readonly target: PeerTarget;
  readonly context: Context;
}

async function testTunnel(test: OverlayTest): Promise<Answer> {
  const link = (await test.context.host.links()).find(({ name }) => name === test.source.interface);
  const small = await probe(test, {});
  if (small.outcome === 'pass') return await testFullSize(test, link, small);
  if (!isLoss(small)) return small;
  const found = await otherWay(test);
  if (found === 'this-agent') return await testFullSize(test, link, arrivedAnyway(small));
  if (found === 'another-agent') return fail('wrong-host', small.evidence ?? {});
  const explained = link === undefined ? undefined : await explain(test, link);
  return explained === undefined ? unexplained(test, small) : merged(small, explained);
}

/** Packets as large as the overlay may send them, where small ones arrive. */
async function testFullSize(
  test: OverlayTest,
  link: Link | undefined,
  small: Answer,
): Promise<Answer> {
  if (link === undefined || link.mtu <= leastFullBytes || link.mtu > mostFullBytes) return small;
  const full = await probe(test, { totalBytes: link.mtu });
  if (full.outcome === 'pass' && small.outcome === 'pass')
    return { ...small, evidence: { ...small.evidence, packetBytes: link.mtu } };
  if (full.outcome !== 'fail' || full.reason !== 'dropped') return small;
  // One that is as small as the first must still arrive: or all of it was lost in between.
  const again = await probe(test, {});
  return again.outcome === 'pass' ? fail('large-packets-lost', full.evidence) : small;
}

/** Smaller ones are no larger than the first. */
const leastFullBytes = 576;
const mostFullBytes = 9000;

async function testPods(test: OverlayTest): Promise<Answer> {
  const { device, facts } = test;
  // The kernel of the peer answers for an address of a device that is down; no pod behind it can.
  if (facts.down.includes(device)) return deviceDown(device);
  const fromPods = await probe(test, { source: test.source.address });
  if (!isLoss(fromPods)) return fromPods;
  const explained = await explainPodLoss(test);
  if (explained !== undefined) return merged(fromPods, explained);
  const found = await otherWay(test);
  if (found === 'another-agent') return fail('wrong-host', fromPods.evidence ?? {});
  if (found === 'this-agent' && (await echoesFromPods(test))) return arrivedAnyway(fromPods);
  if (!isOpen(test)) return unexplained(test, fromPods);
  if (found === 'this-agent') {
    // The same packets from this node's own address arrive.
    const evidence = { ...fromPods.evidence, podAddress: test.source.address };
    return fail('pod-source-filtered', evidence);
  }
  const tunnel = await tunnelAnswers(test);
  // The tunnel's own requirement says so.
  if (tunnel === false) return skip('not-applicable', { tunnel: 'fails too' });
  return fail('pod-network-unreachable', fromPods.evidence ?? {}, {
    where: 'receiver-forward',
    node: 'peer',
  });
}

/** Firewalls that let no agent's probe in often let an echo in. With DF, for only so its source address may be chosen, and over IPv4. */
async function echoesFromPods({ address, source, target, context }: OverlayTest): Promise<boolean> {
  if (target.family !== 'ipv4') return false;
  const path = { family: target.family, destination: address, source: source.address };
  const { timeoutMs, signal } = context;
  const { network } = context.host;
  return (await network.echo(path, { dontFragment: true }, timeoutMs, signal)).replied;
}

/** Whether the far end of the tunnel itself answers; undefined where there is no tunnel. */
async function tunnelAnswers(test: OverlayTest): Promise<boolean | undefined> {
  const { facts, target, context } = test;
  const ends = Object.keys(facts.tunnels).flatMap(
    (name) => facts.overlay[`${name}/${target.family}`] ?? [],
  );
  const [end] = ends.filter((address) => isOf(target.family, address));
  if (end === undefined) return undefined;
  const there = await context.peer?.factsAt(end, context.signal);
  return there?.session === facts.session;
}

async function probe(
  { address, facts, target, context }: OverlayTest,
  how: { readonly totalBytes?: number; readonly source?: string },
): Promise<Answer> {
  const asked = { port: agentPort, payload: 'zero', session: facts.session, ...how } as const;
  return await probeUdpPort(asked, { ...target, address }, context);
}

/** Whether probes of ours were sent and came to nothing, which something may explain. */
function isLoss(answer: Answer): boolean {
  if (answer.outcome === 'unknown')
    return answer.reason === 'peer-unreachable' || answer.reason === 'no-witness';
  return answer.outcome === 'fail' && losses.has(answer.reason);
}

const losses: ReadonlySet<string> = new Set([
  'dropped',
  'no-route',
  'rejected-by-firewall',
  'dropped-by-sender-firewall',
  'rejected-by-sender-firewall',
]);

/** Who answers there to an echo or to a request: firewalls that let no agent's probe in often let those in. */
async function otherWay({
  address,
  facts,
  context,
}: OverlayTest): Promise<'this-agent' | 'another-agent' | 'nobody'> {
  const there = await context.peer?.factsAt(address, context.signal);
  if (there === undefined) return 'nobody';
  return there.session === facts.session ? 'this-agent' : 'another-agent';
}

function arrivedAnyway({ evidence = {} }: Answer): Answer {
  return { outcome: 'pass', evidence: { ...evidence, answeredOtherWay: true } };
}

async function explain(test: OverlayTest, link: Link): Promise<Failure | undefined> {
  const { facts, target, address, context } = test;
  if (facts.down.includes(test.device)) return deviceDown(test.device);
  const { host } = context;
  const own = {
    link,
    addresses: await host.addresses(),
    neighbours: await host.tunnelNeighbours(link.index),
    entries: link.kind === 'vxlan' ? await host.forwardingDatabase(link.index) : [],
    route: await host.route(address),
    underlay: await host.route(target.address),
  };
  const far = { facts, overlayAddress: address, address: target.address, own: context.facts };
  return explainLoss(own, far);
}

function deviceDown(device: string): Failure {
  const culprit = { where: 'node', node: 'peer' } as const;
  return { outcome: 'fail', reason: 'overlay-device-down', evidence: { device }, culprit };
}

/** The route to the peer's pods does not lead to them; undefined where it does. */
async function explainPodLoss(test: OverlayTest): Promise<Failure | undefined> {
  const { address, facts, target, context } = test;
  const { host } = context;
  const ends = Object.keys(facts.tunnels);
  const far = ends.flatMap((name) => facts.overlay[`${name}/${target.family}`] ?? []);
  const problem = judgeRoute(await host.route(address), {
    devices: ends,
    underlay: await host.route(target.address),
    peers: [target.address, ...far],
  });
  return problem === undefined ? undefined : routeFailure(problem, { to: address });
}

/** Nothing is wrong with what can be looked at. Where the peer's rules may be what took our probes, that says nothing of pods. */
function unexplained(test: OverlayTest, lost: Answer): Answer {
  const isBlind = lost.outcome === 'unknown' || !isOpen(test);
  return isBlind ? unknown('overlay-untested', lost.evidence) : lost;
}

function isOpen({ facts, device, target }: OverlayTest): boolean {
  return facts.answers.includes(`${device}/${target.family}`);
}

function merged(lost: Answer, explained: Failure): Answer {
  return { ...explained, evidence: { ...lost.evidence, ...explained.evidence } };
}

/** The peer wrote the address, so it may be anything. */
function isOf(family: Family, address: string): boolean {
  return parseAddress(address)?.length === (family === 'ipv4' ? 4 : 16);
}
