/** Refusals: nobody listens, a firewall rejects, a router rejects, a port listens that should not. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusDocument } from '../../agent/model.ts';
import { findingsOf, said, theFinding } from '../support/document.ts';
import { createLab, type Fault, type Lab } from '../support/lab.ts';
import { type Agents, type BrokenPath, startAgents } from '../support/mesh.ts';

const selection = [
  '--provider',
  'calico',
  '--set',
  'encapsulation=vxlan',
  '--only',
  'calico.bgp',
  '--only',
  'calico.vxlan',
  '--only',
  'calico.felix-health',
];

// n3 is a peer without an agent.
let lab: Lab;
let agents: Agents;
beforeAll(async () => {
  lab = await createLab({ nodes: 3 });
  const [n1, n2] = [lab.node('n1'), lab.node('n2')];
  // Tests come faster than a kernel answers with ICMP errors by default.
  await Promise.all(
    [...lab.nodes, lab.router].map((place) =>
      place.exec('sysctl', ['-qw', 'net.ipv4.icmp_ratelimit=0', 'net.ipv6.icmp.ratelimit=0']),
    ),
  );
  agents = await startAgents(lab, selection, { families: ['ipv4', 'ipv6'], on: [n1, n2] });
});
afterAll(async () => {
  await agents[Symbol.asyncDispose]();
  await lab[Symbol.asyncDispose]();
});

/** Waits until the way from n1 to n2 is broken like this over these families, the reverse is not, and then until all is well. */
async function expectBroken(
  requirement: string,
  families: readonly BrokenPath['family'][],
  word: string,
  culprit: BrokenPath['culprit'],
  fault: Fault,
): Promise<StatusDocument> {
  await using _ = fault;
  const broken = families.map((family) => ({
    sender: 'n1',
    receiver: 'n2',
    family,
    said: word,
    culprit,
  }));
  const documents = await agents.agreeThat(requirement, broken);
  const document = documents.get('n1');
  if (document === undefined) throw new Error('no document of n1');
  return document;
}

const both = ['ipv4', 'ipv6'] as const;
const receiver = { where: 'receiver-ingress', node: 'n2' } as const;
const path = { where: 'path', node: 'path' } as const;

describe('tcp/179', () => {
  const requirement = 'calico.bgp';

  test('nobody listens: the path is open', async () => {
    await agents.agreeThat(requirement, []);
    const document = await agents.on('n1').status();
    for (const family of both) {
      const finding = theFinding(document, {
        requirement,
        peer: 'n2',
        direction: 'outbound',
        family,
      });
      expect(finding.evidence).toMatchObject({ connected: 0, listening: false });
      expect(finding.evidence['witnessed']).toBeGreaterThan(0);
    }
  });

  test('something listens', async () => {
    await using _ = await lab.node('n2').listen(179, '::');
    await agents
      .on('n1')
      .statusWhen('a listener', (document) =>
        both.every(
          (family) =>
            theFinding(document, { requirement, peer: 'n2', direction: 'outbound', family })
              .evidence['listening'] === true,
        ),
      );
    await agents.agreeThat(requirement, []);
  });

  test('a firewall resets the connection, which looks like nobody to the sender', async () => {
    const fault = await lab.node('n2').chain('input', 'tcp dport 179 reject with tcp reset');
    const document = await expectBroken(
      requirement,
      both,
      'fail rejected-by-receiver-firewall',
      receiver,
      fault,
    );
    const finding = theFinding(document, {
      requirement,
      peer: 'n2',
      direction: 'outbound',
      family: 'ipv4',
    });
    expect(finding.evidence).toMatchObject({ connected: 0, witnessed: 0 });
    await agents.agreeThat(requirement, []);
  });

  test('the own firewall says that it is prohibited', async () => {
    const fault = await lab
      .node('n1')
      .chain('output', 'tcp dport 179 ip daddr 10.99.2.2 reject with icmpx admin-prohibited');
    await expectBroken(
      requirement,
      ['ipv4'],
      'fail rejected-by-sender-firewall',
      { where: 'sender-egress', node: 'n1' },
      fault,
    );
  });

  test('a default reject of the router is not the receiver’s', async () => {
    const fault = await lab.router.chain(
      'forward',
      'iifname "e1" oifname "e2" tcp dport 179 reject',
    );
    await expectBroken(requirement, both, 'fail rejected-by-firewall', path, fault);
  });

  test('a default reject, too', async () => {
    const fault = await lab.node('n2').chain('input', 'tcp dport 179 reject');
    await expectBroken(requirement, both, 'fail rejected-by-receiver-firewall', receiver, fault);
  });

  test('a firewall says that it is prohibited', async () => {
    await agents.agreeThat(requirement, []);
    const fault = await lab
      .node('n2')
      .chain('input', 'tcp dport 179 reject with icmpx admin-prohibited');
    const document = await expectBroken(
      requirement,
      both,
      'fail rejected-by-receiver-firewall',
      receiver,
      fault,
    );
    expect(evidenceTowardsN2(document, requirement)).toMatchObject({
      ipv4: { icmp: '3/13', rejectedBy: lab.node('n2').address4 },
      ipv6: { icmp: '1/1', rejectedBy: lab.node('n2').address6 },
    });
  });

  test('the router says that it is prohibited, in one direction', async () => {
    const fault = await lab.router.chain(
      'forward',
      'iifname "e1" oifname "e2" tcp dport 179 reject with icmpx admin-prohibited',
    );
    const document = await expectBroken(
      requirement,
      both,
      'fail rejected-by-firewall',
      path,
      fault,
    );
    expect(evidenceTowardsN2(document, requirement)).toMatchObject({
      ipv4: { icmp: '3/13', rejectedBy: '10.99.1.254' },
      ipv6: { icmp: '1/1', rejectedBy: 'fd99:1::fe' },
    });
  });

  test('a firewall drops it', async () => {
    const fault = await lab.node('n2').chain('input', 'tcp dport 179 drop');
    await expectBroken(requirement, both, 'fail dropped-by-receiver-firewall', receiver, fault);
    await agents.agreeThat(requirement, []);
  });

  test('the own firewall rejects it', async () => {
    const fault = await lab.node('n1').chain('output', 'tcp dport 179 ip daddr 10.99.2.2 reject');
    await expectBroken(
      requirement,
      ['ipv4'],
      'fail rejected-by-sender-firewall',
      { where: 'sender-egress', node: 'n1' },
      fault,
    );
    await agents.agreeThat(requirement, []);
  });
});

describe('udp/4789', () => {
  const requirement = 'calico.vxlan';

  test('a firewall says that it is prohibited', async () => {
    await agents.agreeThat(requirement, []);
    const fault = await lab
      .node('n2')
      .chain('input', 'udp dport 4789 reject with icmpx admin-prohibited');
    const document = await expectBroken(
      requirement,
      both,
      'fail rejected-by-receiver-firewall',
      receiver,
      fault,
    );
    expect(evidenceTowardsN2(document, requirement)).toMatchObject({
      ipv4: { icmp: '3/13' },
      ipv6: { icmp: '1/1' },
    });
  });

  test('the router says that it is prohibited, in one direction', async () => {
    const fault = await lab.router.chain(
      'forward',
      'iifname "e1" oifname "e2" udp dport 4789 reject with icmpx admin-prohibited',
    );
    await expectBroken(requirement, both, 'fail rejected-by-firewall', path, fault);
  });

  test('a default reject of the receiver: the witness knows that it is no open path', async () => {
    const fault = await lab.node('n2').chain('input', 'udp dport 4789 reject');
    await expectBroken(requirement, both, 'fail rejected-by-receiver-firewall', receiver, fault);
    await agents.agreeThat(requirement, []);
  });

  test('a default reject of the router is not the receiver’s', async () => {
    const fault = await lab.router.chain(
      'forward',
      'iifname "e1" oifname "e2" udp dport 4789 reject',
    );
    await expectBroken(requirement, both, 'fail rejected-by-firewall', path, fault);
    await agents.agreeThat(requirement, []);
  });
});

describe('a host-local port', () => {
  const requirement = 'calico.felix-health';

  test('is closed to the peers', async () => {
    await agents.agreeThat(requirement, []);
  });

  test('listens on loopback only', async () => {
    await using _ = await lab.node('n2').listen(9099, '127.0.0.1');
    await agents.agreeThat(requirement, []);
  });

  test('is exposed', async () => {
    const listener = await lab.node('n2').listen(9099, '::');
    const culprit = { where: 'receiver-listener', node: 'n2' } as const;
    await expectBroken(requirement, both, 'fail exposed', culprit, {
      packets: () => Promise.resolve(0),
      [Symbol.asyncDispose]: async () => await listener[Symbol.asyncDispose](),
    });
    await agents.agreeThat(requirement, []);
  });
});

describe('without a witness', () => {
  const towards = (document: StatusDocument, requirement: string): string =>
    findingsOf(document, { requirement, peer: 'n3', direction: 'outbound', family: 'ipv4' })
      .map(said)
      .join();

  test.each([
    ['nobody listens', undefined],
    ['a default reject', 'meta l4proto { tcp, udp } th dport { 179, 4789 } reject'],
  ] as const)('%s is the same refusal', async (_name, rule) => {
    await using _ = rule === undefined ? nothing : await lab.node('n3').chain('input', rule);
    for (const requirement of ['calico.bgp', 'calico.vxlan']) {
      const document = await agents
        .on('n1')
        .statusWhen(
          `${requirement} refused`,
          (one) => towards(one, requirement) === 'unknown refused-unwitnessed',
        );
      expect(
        said(
          theFinding(document, { requirement, peer: 'n3', direction: 'inbound', family: 'ipv4' }),
        ),
      ).toBe('unknown peer-has-not-probed');
    }
  });

  test('a prohibition needs no witness', async () => {
    await using _ = await lab
      .node('n3')
      .chain(
        'input',
        'meta l4proto { tcp, udp } th dport { 179, 4789 } reject with icmpx admin-prohibited',
      );
    for (const requirement of ['calico.bgp', 'calico.vxlan']) {
      const document = await agents
        .on('n1')
        .statusWhen(
          `${requirement} rejected`,
          (one) => towards(one, requirement) === 'fail rejected-by-firewall',
        );
      expect(
        theFinding(document, { requirement, peer: 'n3', direction: 'outbound', family: 'ipv4' })
          .culprit,
      ).toEqual({ where: 'receiver-ingress', node: 'n3' });
    }
  });

  test('silence of UDP says nothing, a connection that times out does', async () => {
    await using _ = await lab
      .node('n3')
      .chain('input', 'meta l4proto { tcp, udp } th dport { 179, 4789 } drop');
    await agents
      .on('n1')
      .statusWhen(
        'silence',
        (one) =>
          towards(one, 'calico.vxlan') === 'unknown no-witness' &&
          towards(one, 'calico.bgp') === 'fail timed-out',
      );
  });
});

const nothing: AsyncDisposable = { [Symbol.asyncDispose]: async () => {} };

function evidenceTowardsN2(document: StatusDocument, requirement: string): object {
  return Object.fromEntries(
    both.map((family) => [
      family,
      theFinding(document, { requirement, peer: 'n2', direction: 'outbound', family }).evidence,
    ]),
  );
}
