import { describe, expect, test } from 'vitest';
import type { Answer, Context } from '../../../checks/check.ts';
import type { Family } from '../../../checks/family.ts';
import type { Link, Route } from '../../../checks/host/host.ts';
import type { Observation } from '../../../checks/host/network.ts';
import { pathMtu } from '../../../checks/path-mtu.ts';
import {
  fakeNetwork,
  icmpError,
  type NetworkScript,
  noAgent,
  peerAddress,
  peerContext,
  routerAddress,
  someTarget,
} from '../../support/fake-network.ts';

const route: Route = { interface: 'eth0', index: 2, type: 'unicast' };
const link = (mtu: number): Link => ({ index: 2, name: 'eth0', mtu, up: true, loopback: false });

/** A path that carries so many bytes, and what its narrowest router says of larger ones. */
interface FakePath {
  readonly mtu: number;
  /** The MTU that it reports; `silent` for a black hole. */
  readonly says: number | 'silent';
  readonly interfaceMtu?: number;
}

function oversized({ says }: FakePath, family: Family): Partial<Observation> {
  if (says === 'silent') return {};
  const [type, code] = family === 'ipv4' ? [3, 4] : [2, 0];
  return {
    errors: [{ errno: 'EMSGSIZE', type, code, mtu: says, offender: routerAddress[family] }],
  };
}

/** On IPv4 the peer's kernel echoes what arrives; over UDP its witness answers. */
function networkOf(path: FakePath, family: Family): NetworkScript {
  return {
    ...(family === 'ipv4'
      ? {
          echo: (_n, _path, { totalBytes = 0, dontFragment }) => {
            expect(dontFragment).toBe(true);
            return totalBytes <= path.mtu ? { replied: true } : oversized(path, family);
          },
        }
      : {}),
    udp: (_n, _path, { totalBytes = 0, dontFragment }) => {
      expect(dontFragment).toBe(true);
      return totalBytes <= path.mtu ? { witnessed: 'seen' } : oversized(path, family);
    },
  };
}

async function measure(
  network: NetworkScript,
  given: {
    readonly needed: number;
    readonly family?: Family;
    readonly interfaceMtu?: number;
    readonly context?: Partial<Context>;
  },
): Promise<{ answer: Answer; sent: number }> {
  const fake = fakeNetwork(network);
  const context = peerContext({
    network: fake,
    peer: noAgent,
    route,
    links: [link(given.interfaceMtu ?? 9000)],
    facts: { provider: '', encapsulation: '', vni: 0, port: 0, mtu: given.needed - 50 },
    ...given.context,
  });
  const target = someTarget({ family: given.family ?? 'ipv4' });
  const answer = await pathMtu.run({ overheadBytes: 50 }, target, context);
  return { answer, sent: fake.sent.echo + fake.sent.udp };
}

test('a path that carries what the overlay needs is a pass', async () => {
  const { answer, sent } = await measure(networkOf({ mtu: 1500, says: 1500 }, 'ipv4'), {
    needed: 1500,
  });
  expect(answer).toEqual({
    outcome: 'pass',
    evidence: {
      neededBytes: 1500,
      neededFor: 'overlay MTU 1450 + 50',
      interfaceMtuBytes: 9000,
      pathMtuBytes: 1500,
    },
  });
  expect(sent).toBe(2);
});

test('an interface smaller than needed fails before anything is sent', async () => {
  const { answer, sent } = await measure({}, { needed: 1550, interfaceMtu: 1500 });
  expect(answer).toMatchObject({
    outcome: 'fail',
    reason: 'path-mtu-too-small',
    evidence: { neededBytes: 1550, pathMtuBytes: 1500, reportedBy: 'eth0' },
    culprit: { where: 'mtu', node: 'this' },
  });
  expect(sent).toBe(0);
});

test('without an overlay device the interface says how much is needed', async () => {
  const unknown = { provider: '', encapsulation: '', vni: 0, port: 0, mtu: 0 };
  const { answer } = await measure(networkOf({ mtu: 1500, says: 1500 }, 'ipv4'), {
    needed: 0,
    interfaceMtu: 1500,
    context: { facts: unknown },
  });
  expect(answer).toMatchObject({
    outcome: 'pass',
    evidence: { neededBytes: 1500, neededFor: 'MTU of eth0' },
  });
});

test.each<{ name: string; route: Route | 'none' }>([
  { name: 'no route', route: 'none' },
  { name: 'a blackhole route', route: { ...route, type: 'blackhole' } },
  { name: 'a link that is gone', route: { ...route, index: 9 } },
])('with $name it does not apply', async ({ route: given }) => {
  const context = peerContext({ route: given, links: [link(1500)] });
  expect(await pathMtu.run({ overheadBytes: 50 }, someTarget(), context)).toMatchObject({
    outcome: 'skip',
    reason: 'not-applicable',
  });
});

test('the overhead of IPv6 counts on IPv6', async () => {
  const sizes: (number | undefined)[] = [];
  const context = peerContext({
    network: fakeNetwork({
      udp: (_n, _path, { totalBytes }) => {
        sizes.push(totalBytes);
        return { witnessed: 'seen' };
      },
    }),
    route,
    links: [link(1500)],
  });
  const target = someTarget({ family: 'ipv6' });
  const params = { overheadBytes: 30, overheadBytesIpv6: 50 };
  expect(await pathMtu.run(params, target, context)).toMatchObject({ outcome: 'pass' });
  expect(sizes).toEqual([1280, 1500]);
});

describe('the search finds the exact size', () => {
  const sizes = Array.from({ length: 20 }, (_, index) => 577 + index * 443);

  test.each<{ name: string; says: (mtu: number) => number | 'silent' }>([
    { name: 'a router that reports its MTU', says: (mtu) => mtu },
    { name: 'a black hole', says: () => 'silent' },
    { name: 'a router older than RFC 1191, which reports 0', says: () => 0 },
    { name: 'a report larger than what was asked', says: () => 20_000 },
    { name: 'a report of the size that was asked', says: () => 9000 },
    { name: 'a report one too large', says: (mtu) => mtu + 1 },
    { name: 'a report one too small', says: (mtu) => mtu - 1 },
    { name: 'a report half the truth', says: (mtu) => Math.floor(mtu / 2) },
    { name: 'a report twice the truth', says: (mtu) => mtu * 2 },
    { name: 'a report of 68 bytes', says: () => 68 },
  ])('behind $name', async ({ says }) => {
    for (const mtu of sizes) {
      const path = { mtu, says: says(mtu) };
      const { answer, sent } = await measure(networkOf(path, 'ipv4'), { needed: 9000 });
      expect(answer).toMatchObject({
        outcome: 'fail',
        reason: 'path-mtu-too-small',
        evidence: {
          pathMtuBytes: mtu,
          ...(path.says === 'silent' ? { icmpErrors: 'none' } : { reportedBy: routerAddress.ipv4 }),
        },
        culprit: { where: 'mtu', node: 'path' },
      });
      expect(sent).toBeLessThan(160);
    }
  });

  test('on every size up to what is needed, and IPv6 through UDP alone', async () => {
    for (let mtu = 1280; mtu < 1500; mtu++) {
      const { answer } = await measure(networkOf({ mtu, says: 'silent' }, 'ipv6'), {
        needed: 1500,
        family: 'ipv6',
      });
      expect(answer).toMatchObject({ outcome: 'fail', evidence: { pathMtuBytes: mtu } });
    }
  });
});

test('where echo is filtered, a port unreachable of the peer says that a UDP probe arrived', async () => {
  const network: NetworkScript = {
    echo: () => ({}),
    udp: (_n, _path, { totalBytes = 0 }) =>
      totalBytes <= 1400 ? { errors: [icmpError(3, 3, peerAddress.ipv4)] } : {},
  };
  const { answer } = await measure(network, { needed: 1500 });
  expect(answer).toMatchObject({ outcome: 'fail', evidence: { pathMtuBytes: 1400 } });
});

test('a port unreachable of somebody else does not', async () => {
  const network: NetworkScript = {
    echo: () => ({}),
    udp: () => ({ errors: [icmpError(3, 3, routerAddress.ipv4)] }),
  };
  expect((await measure(network, { needed: 1500 })).answer).toMatchObject({
    outcome: 'unknown',
    reason: 'no-witness',
  });
});

test('a peer that answers nothing, not even small packets, is unknown', async () => {
  const { answer } = await measure({ echo: () => ({}), udp: () => ({}) }, { needed: 1500 });
  expect(answer).toMatchObject({ outcome: 'unknown', reason: 'no-witness' });
});

test('a large packet that got through after all is a pass, whatever a router said before', async () => {
  let large = 0;
  const network: NetworkScript = {
    echo: (_n, _path, { totalBytes = 0 }) =>
      totalBytes === 1500 && ++large === 1
        ? { errors: [{ errno: 'EMSGSIZE', type: 3, code: 4, mtu: 1499, offender: '192.0.2.254' }] }
        : { replied: true },
  };
  const { answer } = await measure(network, { needed: 1500 });
  expect(answer).toMatchObject({ outcome: 'pass', evidence: { pathMtuBytes: 1500 } });
});

test('large packets that only our own stall may have missed are no small path', async () => {
  const network: NetworkScript = {
    echo: (_n, _path, { totalBytes = 0 }) =>
      totalBytes <= 576 ? { replied: true } : { stalled: true },
  };
  const { answer } = await measure(network, { needed: 1500 });
  expect(answer).toMatchObject({ outcome: 'unknown', reason: 'inconclusive' });
});

test('a search that the deadline cut short proves nothing', async () => {
  const stop = new AbortController();
  const network: NetworkScript = {
    echo: (_n, _path, { totalBytes = 0 }) => {
      if (totalBytes > 576) stop.abort();
      return totalBytes <= 576 ? { replied: true } : {};
    },
  };
  const { answer } = await measure(network, { needed: 1500, context: { signal: stop.signal } });
  expect(answer).toMatchObject({ outcome: 'unknown', reason: 'deadline' });
});

test('one lost packet of a good path is tried again', async () => {
  let lost = 0;
  const network: NetworkScript = {
    echo: (_n, _path, { totalBytes = 0 }) =>
      totalBytes === 1500 && lost++ < 2 ? {} : { replied: true },
  };
  expect((await measure(network, { needed: 1500 })).answer).toMatchObject({ outcome: 'pass' });
});
