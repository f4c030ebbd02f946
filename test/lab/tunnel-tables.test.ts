/** What the kernel says of the far ends of a tunnel, read by this very process in a network namespace of its own. */
import { beforeEach, expect, test } from 'vitest';
import type { Host, Link } from '../../checks/host/host.ts';
import { createMachine } from '../../checks/host/machine.ts';
import { enterNewNetwork, shell } from '../support/own-network.ts';

beforeEach(() => {
  enterNewNetwork();
  shell(`ip link add e0 type veth peer name e1
    ip link set e0 up; ip link set e1 up; ip addr add 192.0.2.1/24 dev e0
    ip link add flannel.1 address 02:00:00:00:aa:01 type vxlan id 1 dev e0 local 192.0.2.1 dstport 8472 nolearning
    ip addr add 10.42.0.0/32 dev flannel.1; ip link set flannel.1 up`);
});

async function tunnel(host: Pick<Host, 'links'>): Promise<Link> {
  const link = (await host.links()).find(({ name }) => name === 'flannel.1');
  if (link === undefined) throw new Error('no flannel.1');
  return link;
}

test('its own address, its neighbours and where it sends to, and no others', async () => {
  shell(`ip neigh add 10.42.1.0 lladdr 02:00:00:00:aa:02 dev flannel.1 nud permanent
    ip neigh add 10.42.2.0 lladdr 02:00:00:00:aa:03 dev flannel.1 nud reachable
    ip neigh add 192.0.2.9 lladdr 02:00:00:00:cc:09 dev e0 nud permanent
    bridge fdb append 02:00:00:00:aa:02 dev flannel.1 dst 192.0.2.2
    bridge fdb append 02:00:00:00:aa:03 dev flannel.1 dst 192.0.2.3`);
  const machine = createMachine();
  const link = await tunnel(machine);
  expect(link).toMatchObject({ mac: '02:00:00:00:aa:01', local: '192.0.2.1', learning: false });
  expect(link).not.toHaveProperty('asksForEntries');
  const neighbours = await machine.tunnelNeighbours(link.index);
  const overlay = neighbours.filter(({ address }) => address.startsWith('10.'));
  expect(overlay.sort((one, other) => one.address.localeCompare(other.address))).toEqual([
    { address: '10.42.1.0', mac: '02:00:00:00:aa:02', permanent: true },
    { address: '10.42.2.0', mac: '02:00:00:00:aa:03', permanent: false },
  ]);
  expect(neighbours.some(({ address }) => address === '192.0.2.9')).toBe(false);
  const entries = await machine.forwardingDatabase(link.index);
  expect([...entries].sort((one, other) => one.mac.localeCompare(other.mac))).toEqual([
    { mac: '02:00:00:00:aa:02', destination: '192.0.2.2' },
    { mac: '02:00:00:00:aa:03', destination: '192.0.2.3' },
  ]);
});

test('a neighbour that did not answer has no address', async () => {
  shell('ip neigh add 10.42.3.0 dev flannel.1 nud none');
  const machine = createMachine();
  const found = await machine.tunnelNeighbours((await tunnel(machine)).index);
  expect(found.find(({ address }) => address === '10.42.3.0')?.mac).toBeUndefined();
});

test('a device that asks a program for entries says so', async () => {
  shell(
    'ip link del flannel.1; ip link add flannel.1 type vxlan id 1 dstport 8472 nolearning l3miss',
  );
  expect(await tunnel(createMachine())).toMatchObject({ asksForEntries: true });
});

test('a device that is gone has neither', async () => {
  const machine = createMachine();
  expect(await machine.tunnelNeighbours(4711)).toEqual([]);
  expect(await machine.forwardingDatabase(4711)).toEqual([]);
});
