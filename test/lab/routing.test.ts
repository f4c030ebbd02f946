/** Routes and policy rules, read from the kernel and compared with what was set up. */
import { beforeEach, describe, expect, test } from 'vitest';
import { createMachine } from '../../checks/host/machine.ts';
import { isUsualRule } from '../../checks/host/routing.ts';
import { enterNewNetwork, shell } from '../support/own-network.ts';

beforeEach(() => {
  enterNewNetwork();
  shell(`ip link add left type veth peer name right
    ip link set left up; ip link set right up
    ip addr add 10.9.9.1/24 dev left; ip addr add 10.8.8.1/24 dev right
    ip addr add 2001:db8::1/64 dev left nodad`);
});

const host = createMachine();

describe('routes', () => {
  const to = async (destination: string) =>
    (await host.routes()).filter((route) => route.destination === destination);

  test('of another table, with a source and a protocol', async () => {
    shell(
      'ip route add default via 10.9.9.254 table 30400 proto 12 metric 7 src 10.9.9.1; ip route add throw 10.77.0.0/16 table 52',
    );
    expect(await to('0.0.0.0/0')).toEqual([
      {
        family: 'ipv4',
        destination: '0.0.0.0/0',
        type: 'unicast',
        table: 30400,
        protocol: 12,
        metric: 7,
        source: '10.9.9.1',
        hops: [
          { interface: 'left', index: expect.any(Number), gateway: '10.9.9.254', onlink: false },
        ],
      },
    ]);
    expect(await to('10.77.0.0/16')).toMatchObject([{ type: 'throw', table: 52, hops: [] }]);
  });

  test.each(['blackhole', 'unreachable', 'prohibit'])('that refuse: %s', async (type) => {
    shell(`ip route add ${type} 10.244.2.0/26 proto bird`);
    expect(await to('10.244.2.0/26')).toMatchObject([{ type, table: 254, protocol: 12, hops: [] }]);
  });

  test('with several hops, one of them onlink', async () => {
    shell(
      'ip route add 10.79.0.0/16 nexthop via 10.9.9.254 nexthop via 10.244.0.0 dev right onlink',
    );
    expect(await to('10.79.0.0/16')).toMatchObject([
      {
        hops: [
          { interface: 'left', gateway: '10.9.9.254', onlink: false },
          { interface: 'right', gateway: '10.244.0.0', onlink: true },
        ],
      },
    ]);
  });

  test('of IPv6, and a gateway of the other family', async () => {
    shell(
      'ip route add 2001:db8:7::/48 via 2001:db8::fe; ip route add 10.81.0.0/16 via inet6 2001:db8::fe dev left',
    );
    expect(await to('2001:db8:7::/48')).toMatchObject([
      { family: 'ipv6', table: 254, hops: [{ interface: 'left', gateway: '2001:db8::fe' }] },
    ]);
    expect(await to('10.81.0.0/16')).toMatchObject([
      { family: 'ipv4', hops: [{ interface: 'left', gateway: '2001:db8::fe' }] },
    ]);
  });

  test('asked for with a source address, policy rules decide', async () => {
    shell(`ip route add default via 10.9.9.254
      ip route add default via 10.8.8.254 table 30400; ip rule add from 10.9.9.1 pref 30400 lookup 30400`);
    expect(await host.route('10.99.0.1')).toMatchObject({ interface: 'left', table: 254 });
    expect(await host.route('10.99.0.1', '10.9.9.1')).toMatchObject({
      interface: 'right',
      gateway: '10.8.8.254',
      table: 30400,
    });
    expect(await host.route('10.9.9.1')).toMatchObject({ type: 'local', table: 255 });
  });
});

describe('policy rules', () => {
  const added = async (commands: string) => {
    shell(commands);
    return (await host.rules()).filter((rule) => !isUsualRule(rule));
  };
  const plain = { family: 'ipv4', action: 'lookup', inverted: false, others: [] };

  test('of every Linux', async () => {
    const rules = await host.rules();
    expect(rules.every(isUsualRule)).toBe(true);
    expect(rules.map(({ family, priority, table }) => [family, priority, table])).toEqual([
      ['ipv4', 0, 255],
      ['ipv4', 32766, 254],
      ['ipv4', 32767, 253],
      ['ipv6', 0, 255],
      ['ipv6', 32766, 254],
    ]);
  });

  test.each<{ name: string; command: string; want: object }>([
    {
      name: 'by source, as nm-cloud-setup adds them',
      command: 'ip rule add from 10.9.9.1 pref 30400 lookup 30400',
      want: { ...plain, priority: 30400, table: 30400, source: '10.9.9.1/32' },
    },
    {
      name: 'all packets, as tailscale adds them',
      command: 'ip rule add pref 5270 lookup 52',
      want: { ...plain, priority: 5270, table: 52 },
    },
    {
      name: 'by mark, inverted, as wg-quick adds them',
      command: 'ip rule add not fwmark 51820 pref 100 table 51820',
      want: {
        ...plain,
        priority: 100,
        table: 51820,
        inverted: true,
        mark: { value: 51820, mask: 0xffff_ffff },
      },
    },
    {
      name: 'without default routes, as wg-quick adds them',
      command: 'ip rule add pref 99 table main suppress_prefixlength 0',
      want: { ...plain, priority: 99, table: 254, suppressPrefixLength: 0 },
    },
    {
      name: 'by mark and mask, destination and interfaces',
      command: 'ip rule add to 10.96.0.0/12 iif left oif right fwmark 0x10/0xff pref 7 table 9',
      want: {
        ...plain,
        priority: 7,
        table: 9,
        destination: '10.96.0.0/12',
        inInterface: 'left',
        outInterface: 'right',
        mark: { value: 0x10, mask: 0xff },
      },
    },
    {
      name: 'by what is told by name only',
      command: 'ip rule add ipproto tcp dport 443 tos 0x10 pref 7 table 9',
      want: { priority: 7, others: ['tos', 'ip-protocol', 'destination-port'] },
    },
    {
      name: 'that refuse',
      command: 'ip rule add to 10.1.0.0/16 pref 7 prohibit',
      want: { action: 'prohibit', destination: '10.1.0.0/16' },
    },
    {
      name: 'that go on elsewhere',
      command: 'ip rule add pref 7 goto 32766',
      want: { action: 'goto', goto: 32766 },
    },
    {
      name: 'of IPv6',
      command: 'ip -6 rule add from 2001:db8::/64 pref 7 table 9',
      want: { ...plain, family: 'ipv6', source: '2001:db8::/64' },
    },
  ])('$name', async ({ command, want }) => {
    expect(await added(command)).toEqual([expect.objectContaining(want)]);
  });

  test('a missing rule is missing', async () => {
    shell('ip rule del pref 0');
    expect((await host.rules()).filter(({ table }) => table === 255)).toMatchObject([
      { family: 'ipv6' },
    ]);
  });
});
