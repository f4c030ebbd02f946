/**
 * A running overlay, broken in one place for each peer of one node: what the node says of every one of them, who is to blame, and that
 * what it tells to type cures it. Nothing is said of the peer where nothing is broken.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Finding, StatusDocument } from '../../agent/model.ts';
import { findingsOf, said, theFinding } from '../support/document.ts';
import { createLab, type Lab, type LabAgent, type LabNode } from '../support/lab.ts';
import { quick } from '../support/mesh.ts';
import { bridgeDevice, createOverlay, type Overlay, tunnelDevice } from '../support/overlay.ts';

const requirements = ['overlay', 'overlay-devices', 'overlay-pods', 'pod-routes'] as const;
const selection = [
  '--provider',
  'flannel',
  ...requirements.flatMap((name) => ['--only', `flannel.${name}`]),
];

/** One fault, with what n1 says of the peer that has it; what is not named passes. */
interface Case {
  readonly peer: string;
  readonly name: string;
  readonly break: () => Promise<unknown>;
  readonly says: Readonly<Partial<Record<(typeof requirements)[number], string>>>;
  readonly evidence?: object;
  readonly culprit?: object | null;
  /** Undoes it where there is nothing to type; else what was told must do. */
  readonly mend?: () => Promise<unknown>;
}

let lab: Lab;
let overlay: Overlay;
let n1: LabNode;
const agents: LabAgent[] = [];
beforeAll(async () => {
  lab = await createLab({ nodes: 11, ipv6: false });
  overlay = await createOverlay(lab);
  n1 = lab.node('n1');
});
afterAll(async () => {
  await Promise.all(agents.map((agent) => agent[Symbol.asyncDispose]()));
  await overlay[Symbol.asyncDispose]();
  await lab[Symbol.asyncDispose]();
});

const mac = (name: string): string => overlay.on(name).mac;
const bridge = async (line: string): Promise<unknown> =>
  await n1.exec('bridge', ['fdb', ...line.split(' ')]);
const ofThis = { where: 'node', node: 'n1' };

const cases: readonly Case[] = [
  {
    peer: 'n2',
    name: 'answers that are lost on the way back',
    break: () =>
      n1.nft(`table ip lost { chain c { type filter hook prerouting priority -300;
        iifname "${tunnelDevice}" ip saddr 10.244.2.0 udp sport 10472 drop; }\n }`),
    says: {},
    evidence: { answersLost: 3 },
    mend: () => n1.nft('delete table ip lost'),
  },
  {
    peer: 'n3',
    name: 'another link-layer address than the one that was published',
    break: () => overlay.makeTunnel('n3', { mac: '02:00:00:00:bb:03' }),
    says: { overlay: 'fail vtep-mac-differs', 'overlay-pods': 'skip not-applicable' },
    evidence: { entryMac: '02:00:00:00:aa:03', peerMac: '02:00:00:00:bb:03' },
    culprit: { where: 'node', node: 'n3' },
  },
  {
    peer: 'n4',
    name: 'another VNI',
    break: () => overlay.makeTunnel('n4', { vni: 4096 }),
    says: { overlay: 'fail peer-disagrees', 'overlay-pods': 'skip not-applicable' },
    evidence: { vniHere: 1, vniThere: 4096 },
    mend: () => overlay.makeTunnel('n4'),
  },
  {
    peer: 'n5',
    name: 'a stale destination',
    break: () => bridge(`replace ${mac('n5')} dev ${tunnelDevice} dst 10.99.5.99`),
    says: { overlay: 'fail fdb-destination-stale', 'overlay-pods': 'skip not-applicable' },
    evidence: { entryDestination: '10.99.5.99', peerLocal: '10.99.5.2' },
    culprit: ofThis,
  },
  {
    peer: 'n6',
    name: 'no neighbour entry',
    break: () => n1.ip([`neigh del 10.244.6.0 dev ${tunnelDevice}`]),
    says: { overlay: 'fail overlay-entry-missing', 'overlay-pods': 'skip not-applicable' },
    evidence: { entry: 'neighbour', peerMac: '02:00:00:00:aa:06' },
    culprit: ofThis,
  },
  {
    peer: 'n7',
    name: 'no route',
    break: () => n1.ip([`route del 10.244.7.0/24`]),
    says: { overlay: 'fail overlay-route-missing', 'overlay-pods': 'fail overlay-route-missing' },
    evidence: { to: '10.244.7.0', interface: 'e0' },
    culprit: ofThis,
  },
  {
    peer: 'n8',
    name: 'a bridge of somebody else with one half of the prefix',
    break: () =>
      n1.ip([
        'link add docker0 type bridge',
        'addr add 10.244.8.129/25 dev docker0',
        'link set docker0 up',
      ]),
    says: { 'pod-routes': 'fail pod-subnet-overlaps' },
    evidence: { interface: 'docker0', address: '10.244.8.129/25' },
    culprit: ofThis,
    mend: () => n1.ip(['link del docker0']),
  },
  {
    peer: 'n9',
    name: 'a tunnel from an address that the node does not have, and that is published',
    break: async () => {
      await overlay.makeTunnel('n9', { local: '192.0.2.9' });
      await bridge(`replace ${mac('n9')} dev ${tunnelDevice} dst 192.0.2.9`);
    },
    says: { overlay: 'fail overlay-source-address', 'overlay-pods': 'skip not-applicable' },
    evidence: { problem: 'stray', local: '192.0.2.9' },
    culprit: { where: 'node', node: 'n9' },
    mend: async () => {
      await overlay.makeTunnel('n9');
      await bridge(`replace ${mac('n9')} dev ${tunnelDevice} dst 10.99.9.2`);
    },
  },
  {
    peer: 'n10',
    name: 'a network that is too small for the overlay and loses fragments',
    break: async () => {
      await lab.router.pathMtu(lab.node('n10'), 1400);
      await lab
        .node('n10')
        .nft(
          'table netdev small { chain c { type filter hook ingress device e0 priority 0; ip frag-off & 0x3fff != 0 drop; }\n }',
        );
    },
    says: { overlay: 'fail large-packets-lost' },
    evidence: { packetBytes: 1450 },
    mend: async () => {
      await lab.node('n10').nft('delete table netdev small');
      await lab.router.pathMtu(lab.node('n10'), 1500);
    },
  },
  {
    peer: 'n11',
    name: 'a bridge that is down',
    break: () => lab.node('n11').ip([`link set ${bridgeDevice} down`]),
    says: { 'overlay-pods': 'fail overlay-device-down' },
    evidence: { device: 'cni0', overlayAddress: '10.244.11.1' },
    culprit: { where: 'node', node: 'n11' },
    mend: () => lab.node('n11').ip([`link set ${bridgeDevice} up`]),
  },
];

/** What n1 says of its way to a peer, by requirement. */
function outbound(document: StatusDocument, peer: string): readonly string[] {
  return findingsOf(document, { peer, direction: 'outbound' })
    .filter(({ reason }) => reason !== 'partial-loss')
    .map((finding) => `${finding.requirement.replace('flannel.', '')}: ${said(finding)}`)
    .sort();
}

function isSaid(document: StatusDocument, peer: string, says: Case['says']): boolean {
  const wanted = requirements
    .filter((name) => name !== 'overlay-devices')
    .map((name) => `${name}: ${says[name] ?? 'pass'}`)
    .sort();
  return JSON.stringify(outbound(document, peer)) === JSON.stringify(wanted);
}

function theFault({ peer, says }: Case, document: StatusDocument): Finding {
  const name = requirements.find((one) => says[one]?.startsWith('fail') === true) ?? 'overlay';
  return theFinding(document, { requirement: `flannel.${name}`, peer, direction: 'outbound' });
}

test('each fault is told from every other one, and what is told to type cures it', async () => {
  for (const one of cases) await one.break();
  const [watcher, ...others] = await Promise.all(
    lab.nodes.map((node) => {
      const peers = node === n1 ? lab.peerArguments(n1) : ['--peer', `${n1.address4}=n1`];
      return node.agent([...selection, ...quick(node === n1 ? 1 : 3), ...peers]);
    }),
  );
  agents.push(...[watcher, ...others].filter((agent) => agent !== undefined));
  if (watcher === undefined) throw new Error('no agent on n1');

  const broken = new Map<Case, Finding>();
  for (const one of cases) {
    const document = await watcher.statusWhen(
      one.name,
      (given) => isSaid(given, one.peer, one.says),
      { deadlineMs: 60_000 },
    );
    const fault = theFault(one, document);
    broken.set(one, fault);
    expect(fault.evidence, one.name).toMatchObject(one.evidence ?? {});
    expect(fault.culprit, one.name).toEqual(one.culprit ?? null);
  }
  // The nodes that are to blame say so themselves.
  const own = async (index: number): Promise<string> => {
    const document = await agents[index]?.status();
    if (document === undefined) throw new Error(`no agent ${index}`);
    return said(theFinding(document, { requirement: 'flannel.overlay-devices' }));
  };
  expect(await own(8)).toBe('fail overlay-source-address');
  expect(await own(10)).toBe('fail overlay-device-down');
  expect(await own(1)).toBe('pass');

  for (const [one, { remedy }] of broken) {
    expect(remedy === null, `${one.name}: ${JSON.stringify(remedy)}`).toBe(one.mend !== undefined);
    await one.mend?.();
    for (const line of (remedy ?? []).flatMap(({ commands }) => commands))
      await n1.exec('sh', ['-ec', line]);
  }
  for (const { peer, name } of cases)
    await watcher.statusWhen(`nothing of ${name}`, (document) => isSaid(document, peer, {}));
  // And it is so.
  const [one, ...rest] = overlay.members;
  const reached = await Promise.all(rest.map(async (other) => await one?.reachesPod(other, 1450)));
  expect(reached).toEqual(rest.map(() => true));
});
