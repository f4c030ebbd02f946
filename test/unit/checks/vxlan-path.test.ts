import { expect, test } from 'vitest';
import type { Answer } from '../../../checks/check.ts';
import type { Link, Route } from '../../../checks/host/host.ts';
import { vxlanPath } from '../../../checks/vxlan-path.ts';
import {
  fakeNetwork,
  fakePeer,
  type NetworkScript,
  peerContext,
  someTarget,
} from '../../support/fake-network.ts';

const route: Route = { interface: 'eth0', index: 2, type: 'unicast' };
const eth0: Link = { index: 2, name: 'eth0', mtu: 1500, up: true, loopback: false };
const params = { port: 8472, overheadBytes: 50 };

async function ask(
  udp: NonNullable<NetworkScript['udp']>,
  change: { readonly route?: Route | 'none'; readonly mtu?: number } = {},
): Promise<{ answer: Answer; sizes: readonly (number | undefined)[] }> {
  const sizes: (number | undefined)[] = [];
  const network = fakeNetwork({
    udp: (n, path, probe, ...rest) => {
      sizes.push(probe.totalBytes);
      expect(probe).toMatchObject({ port: 8472, payload: 'vxlan' });
      expect(probe.dontFragment).toBeUndefined();
      return udp(n, path, probe, ...rest);
    },
  });
  const peer = fakePeer({
    heard: async (nonces) => ({ witnessSeconds: 3600, heard: nonces.map(() => false) }),
  });
  const answer = await vxlanPath.run(
    params,
    someTarget(),
    peerContext({
      network,
      peer,
      route: change.route ?? route,
      links: [{ ...eth0, mtu: change.mtu ?? 1500 }],
    }),
  );
  return { answer, sizes };
}

test('a full-sized packet that arrives is a pass, and no small one is sent', async () => {
  const { answer, sizes } = await ask(() => ({ witnessed: 'seen' }));
  expect(answer).toMatchObject({ outcome: 'pass', evidence: { packetBytes: 1500 } });
  expect(sizes).toEqual([1500]);
});

test('small packets arrive and large ones do not: the fragments are lost', async () => {
  const { answer } = await ask((_n, _path, { totalBytes }) =>
    totalBytes === undefined ? { witnessed: 'seen' } : {},
  );
  expect(answer).toMatchObject({
    outcome: 'fail',
    reason: 'fragments-lost',
    evidence: { packetBytes: 1500, sent: 3 },
  });
});

test('a closed port is the business of its own requirement', async () => {
  const { answer, sizes } = await ask(() => ({}));
  expect(answer).toMatchObject({ outcome: 'skip', reason: 'not-applicable' });
  expect(sizes).toEqual([1500, 1500, 1500, undefined, undefined, undefined]);
});

test('what is not a drop is said as it is', async () => {
  const { answer, sizes } = await ask(() => ({ sendError: 'EPERM' }));
  expect(answer).toMatchObject({ outcome: 'fail', reason: 'dropped-by-sender-firewall' });
  expect(sizes).toHaveLength(3);
});

test.each<{ name: string; change: Parameters<typeof ask>[1] }>([
  { name: 'without a route', change: { route: 'none' } },
  { name: 'where the interface is too small for it', change: { mtu: 1400 } },
])('$name it does not apply', async ({ change }) => {
  const { answer, sizes } = await ask(() => ({}), change);
  expect(answer).toMatchObject({ outcome: 'skip', reason: 'not-applicable' });
  expect(sizes).toEqual([]);
});
