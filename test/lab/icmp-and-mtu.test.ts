/** ICMP that is filtered, paths that are too narrow, fragments that are lost; and the route cache that nobody touches. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusDocument } from '../../agent/model.ts';
import { said, theFinding, type Which } from '../support/document.ts';
import { createLab, type Fault, type Lab } from '../support/lab.ts';

const agentArguments = [
  '--provider',
  'flannel',
  '--only',
  'flannel.module-vxlan',
  '--interval',
  '1',
];

// A check runs on n1; the others only answer, and probe n1 when they are asked to.
let lab: Lab;
beforeAll(async () => {
  lab = await createLab({ nodes: 3 });
  await Promise.all(
    ['n2', 'n3'].map(async (name) => {
      const node = lab.node(name);
      const peers = lab.peerArguments(node, ['ipv4', 'ipv6']);
      await node.agent([...agentArguments, '--timeout', '0.5', ...peers]);
    }),
  );
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
});

/** Checks from n1 over both families. */
async function checkFromN1(only: readonly string[], more: readonly string[] = []) {
  const n1 = lab.node('n1');
  return await n1.check([
    '--provider',
    'flannel',
    '--timeout',
    '0.5',
    ...only.flatMap((id) => ['--only', id]),
    ...more,
    ...lab.peerArguments(n1, ['ipv4', 'ipv6']),
  ]);
}

const families = ['ipv4', 'ipv6'] as const;
type Family = (typeof families)[number];

function outbound(
  document: StatusDocument,
  peer: string,
  family: Family,
  requirement: string,
): ReturnType<typeof theFinding> {
  const which: Which = { requirement, peer, family, direction: 'outbound' };
  return theFinding(document, which);
}

describe('ICMP echo', () => {
  const requirement = 'flannel.icmp';
  const echoRequest = { ipv4: 'icmp type echo-request', ipv6: 'icmpv6 type echo-request' };

  test('is answered', async () => {
    const { document } = await checkFromN1([requirement]);
    for (const family of families)
      expect(said(outbound(document, 'n2', family, requirement))).toBe('pass');
  });

  test.each(families)('is dropped on the way, %s', async (family) => {
    await using _ = await lab.router.chain('forward', `oifname "e2" ${echoRequest[family]} drop`);
    const { exitCode, document } = await checkFromN1([requirement]);
    // Flannel does not need it.
    expect(exitCode).toBe(0);
    for (const other of families) {
      const expected = other === family ? 'fail dropped-on-the-way' : 'pass';
      expect(said(outbound(document, 'n2', other, requirement)), other).toBe(expected);
      expect(said(outbound(document, 'n3', other, requirement)), other).toBe('pass');
      const inbound = { requirement, peer: 'n2', family: other, direction: 'inbound' } as const;
      expect(said(theFinding(document, inbound)), other).toBe('pass');
    }
  });

  test('is dropped by the own firewall', async () => {
    await using _ = await lab.node('n1').chain('output', `${echoRequest.ipv4} drop`);
    const { document } = await checkFromN1([requirement]);
    for (const peer of ['n2', 'n3']) {
      const finding = outbound(document, peer, 'ipv4', requirement);
      expect(said(finding)).toBe('fail dropped-by-sender-firewall');
      expect(finding.culprit).toMatchObject({
        where: 'sender-egress',
        node: 'n1',
        firewall: {
          hook: 'output',
          rule: expect.stringMatching(/^icmp type echo-request.* drop$/),
        },
      });
      expect(said(outbound(document, peer, 'ipv6', requirement))).toBe('pass');
    }
  });
});

describe('path MTU', () => {
  const requirement = 'flannel.path-mtu';

  test('of 1500 is what the overlay needs', async () => {
    const { document } = await checkFromN1([requirement]);
    for (const family of families) {
      for (const peer of ['n2', 'n3']) {
        const finding = outbound(document, peer, family, requirement);
        expect(said(finding)).toBe('pass');
        expect(finding.evidence).toMatchObject({ neededBytes: 1500, pathMtuBytes: 1500 });
      }
    }
  });

  test.each([
    ['and the router says so', undefined],
    ['and the router is silent', 'silence'],
  ] as const)('of 1400 to n2, %s', async (_name, silence) => {
    const [n1, n2, n3] = lab.nodes;
    if (n1 === undefined || n2 === undefined || n3 === undefined) throw new Error('three nodes');
    await using router = await narrow('n2', 1400, silence !== undefined);
    const before = await n1.snapshotHost([n2, n3]);
    const theirs = await n2.snapshotHost([n1, n3]);
    const { exitCode, document } = await checkFromN1([requirement]);
    expect(await n1.snapshotHost([n2, n3])).toEqual(before);
    expect(await n2.snapshotHost([n1, n3])).toEqual(theirs);
    // Recommended only.
    expect(exitCode).toBe(0);
    for (const family of families) {
      const finding = outbound(document, 'n2', family, requirement);
      expect(said(finding), family).toBe('fail path-mtu-too-small');
      expect(finding.culprit).toEqual({ where: 'mtu', node: 'path' });
      const reportedBy = family === 'ipv4' ? '10.99.1.254' : 'fd99:1::fe';
      expect(finding.evidence, family).toMatchObject({
        neededBytes: 1500,
        pathMtuBytes: 1400,
        ...(silence === undefined ? { reportedBy } : { icmpErrors: 'none' }),
      });
      expect(said(outbound(document, 'n3', family, requirement)), family).toBe('pass');
      // The way back is as wide as ever.
      const inbound = { requirement, peer: 'n2', family, direction: 'inbound' } as const;
      expect(said(theFinding(document, inbound)), family).toBe('pass');
    }
    if (silence !== undefined) expect(await router.packets()).toBeGreaterThan(0);
  });

  test('is measured with what the overlay will need', async () => {
    await using _ = await narrow('n2', 1400, false);
    const enough = await checkFromN1([requirement], ['--set', 'mtu=1350']);
    expect(said(outbound(enough.document, 'n2', 'ipv4', requirement))).toBe('pass');
    const tooMuch = await checkFromN1([requirement], ['--set', 'mtu=1351']);
    const finding = outbound(tooMuch.document, 'n2', 'ipv4', requirement);
    expect(said(finding)).toBe('fail path-mtu-too-small');
    expect(finding.evidence).toMatchObject({ neededBytes: 1401, pathMtuBytes: 1400 });
  });
});

describe('a full-sized VXLAN packet', () => {
  const requirement = 'flannel.vxlan-path';

  test('passes whole, and in fragments where the router cuts it', async () => {
    const whole = await checkFromN1([requirement]);
    for (const family of families) {
      const finding = outbound(whole.document, 'n2', family, requirement);
      expect(said(finding), family).toBe('pass');
      expect(finding.evidence).toMatchObject({ packetBytes: 1500 });
    }
    await using _ = await narrow('n2', 1400, false);
    const cut = await checkFromN1([requirement]);
    const finding = outbound(cut.document, 'n2', 'ipv4', requirement);
    expect(said(finding)).toBe('pass');
    expect(finding.evidence).toMatchObject({ packetBytes: 1500 });
  });

  test('loses its fragments on the way', async () => {
    await using _ = await narrow('n2', 1400, false);
    // Behind the router, for its own hooks see packets before it cuts them.
    await using dropped = await lab
      .node('n2')
      .chain('ingress', 'ip frag-off & 0x1fff != 0 counter drop', {
        family: 'netdev',
        device: 'e0',
      });
    const { exitCode, document } = await checkFromN1([requirement]);
    expect(exitCode).toBe(0);
    expect(said(outbound(document, 'n2', 'ipv4', requirement))).toBe('fail fragments-lost');
    expect(said(outbound(document, 'n3', 'ipv4', requirement))).toBe('pass');
    expect(await dropped.packets()).toBeGreaterThanOrEqual(3);
  });

  test('over IPv6 nobody cuts it on the way', async () => {
    await using _ = await narrow('n2', 1400, false);
    const { document } = await checkFromN1([requirement]);
    expect(said(outbound(document, 'n2', 'ipv6', requirement))).toBe('fail fragments-lost');
    expect(said(outbound(document, 'n3', 'ipv6', requirement))).toBe('pass');
  });

  test('is not blamed for a closed port', async () => {
    await using _ = await lab.node('n2').chain('input', 'udp dport 8472 drop');
    const { document } = await checkFromN1([requirement]);
    for (const family of families) {
      expect(said(outbound(document, 'n2', family, requirement))).toBe('skip not-applicable');
      expect(said(outbound(document, 'n3', family, requirement))).toBe('pass');
    }
  });

  test('does not go out where the own interface is too small; path-mtu says so', async () => {
    const { document } = await checkFromN1(
      [requirement, 'flannel.path-mtu'],
      ['--set', 'mtu=1451'],
    );
    for (const family of families) {
      expect(said(outbound(document, 'n2', family, requirement))).toBe('skip not-applicable');
      const finding = outbound(document, 'n2', family, 'flannel.path-mtu');
      expect(said(finding)).toBe('fail path-mtu-too-small');
      expect(finding.culprit).toEqual({ where: 'mtu', node: 'n1' });
    }
  });
});

/** Only packets up to this size reach the node, until the returned object is gone. */
async function narrow(node: string, bytes: number, silent: boolean): Promise<Fault> {
  await lab.router.pathMtu(lab.node(node), bytes);
  const silence = silent ? await lab.router.silence() : undefined;
  return {
    packets: async () => (await silence?.packets()) ?? 0,
    [Symbol.asyncDispose]: async () => {
      await silence?.[Symbol.asyncDispose]();
      await lab.router.pathMtu(lab.node(node), 1500);
    },
  };
}
