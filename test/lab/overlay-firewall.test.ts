/** A firewall that lets the tunnel pass and our probes in the tunnel not: nothing is called broken that is not. And a peer that Felix forgot. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { said, theFinding } from '../support/document.ts';
import { createLab, type Lab, type LabNode } from '../support/lab.ts';
import { type Agents, startAgents } from '../support/mesh.ts';
import { createOverlay, type Overlay } from '../support/overlay.ts';

const ids = ['flannel.overlay', 'flannel.overlay-pods', 'flannel.vxlan.firewall'];
const selection = ['--provider', 'flannel', ...ids.flatMap((id) => ['--only', id])];

let lab: Lab;
let overlay: Overlay;
let agents: Agents;
let n2: LabNode;
beforeAll(async () => {
  lab = await createLab({ nodes: 2, ipv6: false });
  overlay = await createOverlay(lab);
  n2 = lab.node('n2');
  agents = await startAgents(lab, selection);
});
afterAll(async () => {
  await agents[Symbol.asyncDispose]();
  await overlay[Symbol.asyncDispose]();
  await lab[Symbol.asyncDispose]();
});

async function saidByN1(overlayWord: string, podsWord: string): Promise<void> {
  await agents.on('n1').statusWhen(`${overlayWord}, ${podsWord}`, (document) => {
    const word = (requirement: string): string =>
      said(theFinding(document, { requirement, peer: 'n2', direction: 'outbound' }));
    return word('flannel.overlay') === overlayWord && word('flannel.overlay-pods') === podsWord;
  });
}

/** As ufw and others do it: what the node itself is not asked for is dropped. */
const closed = (more: string): string =>
  `table inet closed { chain c { type filter hook input priority 0; policy drop; iif lo accept
    ct state established,related accept; udp dport 8472 accept; iifname "e0" meta l4proto { tcp, udp, icmp } accept; ${more}; }\n }`;

test('an echo through the tunnel is enough where probes are not let in', async () => {
  await saidByN1('pass', 'pass');
  await n2.nft(closed('icmp type echo-request accept'));
  await n2.forgetFlows();
  await saidByN1('pass', 'pass');
  const document = await agents.on('n1').statusWhen('what answered', (one) =>
    ['flannel.overlay', 'flannel.overlay-pods'].every((requirement) => {
      const way = { requirement, peer: 'n2', direction: 'outbound' } as const;
      return theFinding(one, way).evidence['answeredOtherWay'] === true;
    }),
  );
  expect(document.readiness).toBe('ready');
  expect(await overlay.on('n1').reachesPod(overlay.on('n2'))).toBe(true);
  await n2.flush();
  await saidByN1('pass', 'pass');
});

test('where neither is, nothing is known, and nothing is called broken', async () => {
  await n2.nft(closed('counter'));
  await n2.forgetFlows();
  await saidByN1('unknown overlay-untested', 'unknown overlay-untested');
  expect(await overlay.on('n1').reachesPod(overlay.on('n2'))).toBe(true);
  await n2.flush();
  await saidByN1('pass', 'pass');
});

test('a node that is missing in the list of VXLAN peers is dropped by that rule', async () => {
  const rules = `ipset create cali40all-vxlan-net hash:net; ipset add cali40all-vxlan-net 10.99.2.2
    iptables-nft -N cali-INPUT; iptables-nft -A INPUT -j cali-INPUT
    iptables-nft -A cali-INPUT -p udp --dport 8472 -m set ! --match-set cali40all-vxlan-net src -j DROP`;
  await n2.exec('sh', ['-ec', rules]);
  const inbound = {
    requirement: 'flannel.vxlan.firewall',
    peer: 'n1',
    direction: 'inbound',
  } as const;
  const document = await agents
    .on('n2')
    .statusWhen('the drop', (one) => said(theFinding(one, inbound)).startsWith('fail'));
  expect(theFinding(document, inbound)).toMatchObject({
    reason: 'dropped-by-receiver-firewall',
    culprit: { where: 'receiver-ingress', node: 'n2', firewall: { chain: 'cali-INPUT' } },
    remedy: null,
  });
  await n2.exec('ipset', ['add', 'cali40all-vxlan-net', '10.99.1.2']);
  await n2.exec('iptables-nft', ['-A', 'INPUT', '-p', 'udp', '--dport', '9', '-j', 'ACCEPT']);
  await agents.on('n2').statusWhen('a pass', (one) => said(theFinding(one, inbound)) === 'pass', {
    deadlineMs: 45_000,
  });
});
