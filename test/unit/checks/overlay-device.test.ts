import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Answer } from '../../../checks/check.ts';
import type { InterfaceAddress, Link } from '../../../checks/host/host.ts';
import { overlayDevice } from '../../../checks/overlay-device.ts';
import { ownAddresses, peerContext } from '../../support/fake-network.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const flannel: Link = {
  index: 5,
  name: 'flannel.1',
  mtu: 1450,
  up: true,
  loopback: false,
  kind: 'vxlan',
  local: '192.0.2.1',
};
const bridge: Link = { index: 6, name: 'cni0', mtu: 1450, up: true, loopback: false };

/** Looks at what is given first, and after a second at the last. */
async function ask(
  looks: readonly (readonly Link[])[],
  addresses: readonly InterfaceAddress[] = ownAddresses,
): Promise<Answer> {
  const context = peerContext({ addresses });
  let seen = 0;
  const host = { ...context.host, links: async () => looks[seen++] ?? looks.at(-1) ?? [] };
  const answer = overlayDevice.run(
    { tunnels: ['flannel.*'], bridges: ['cni0'] },
    { scope: 'node' },
    { ...context, host },
  );
  await vi.advanceTimersByTimeAsync(1000);
  return await answer;
}

test('devices that are up and send from an own address are right', async () => {
  expect(await ask([[flannel, bridge]])).toMatchObject({
    outcome: 'pass',
    evidence: { devices: 'flannel.1 from 192.0.2.1,cni0' },
  });
});

test('before the provider runs there is nothing to say', async () => {
  expect(await ask([[]])).toMatchObject({ outcome: 'skip', reason: 'no-overlay-device' });
});

test('a tunnel that is down', async () => {
  const answer = await ask([[{ ...flannel, up: false }, bridge]]);
  expect(answer).toMatchObject({
    outcome: 'fail',
    reason: 'overlay-device-down',
    evidence: { device: 'flannel.1' },
  });
  expect(answer).not.toHaveProperty('remedy');
});

test('a bridge that is down has a cure', async () => {
  expect(await ask([[flannel, { ...bridge, up: false }]])).toMatchObject({
    reason: 'overlay-device-down',
    evidence: { device: 'cni0' },
    remedy: [{ manager: 'iproute2', commands: ['ip link set cni0 up'] }],
  });
});

test('a device that comes up within a second was only made', async () => {
  expect(await ask([[{ ...flannel, up: false }], [flannel]])).toMatchObject({ outcome: 'pass' });
});

test('a tunnel that sends from an address of nobody', async () => {
  expect(await ask([[{ ...flannel, local: '198.51.100.1' }]])).toMatchObject({
    outcome: 'fail',
    reason: 'overlay-source-address',
    evidence: { device: 'flannel.1', local: '198.51.100.1', problem: 'stray' },
  });
});
