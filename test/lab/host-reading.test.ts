import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTproxyFinder, findTproxy, readRuleset } from 'node-nftables';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { datastore } from '../../checks/datastore.ts';
import { deviceConflict } from '../../checks/device-conflict.ts';
import { createMachine } from '../../checks/host/machine.ts';
import { portOwner } from '../../checks/port-owner.ts';
import { fakeContext } from '../support/fake-host.ts';
import { enterNewNetwork, shell } from '../support/own-network.ts';

beforeEach(() => {
  enterNewNetwork();
});

const node = { scope: 'node' } as const;
const udp = { transport: 'udp', port: 8472 } as const;

describe('interfaces', () => {
  test('a plain and an external VXLAN device are told apart', async () => {
    shell(`ip link add flannel.1 type vxlan id 1 dstport 8472 local 127.0.0.1 nolearning
      ip link add outer type vxlan external dstport 4789
      ip link add six type vxlan id 7 dstport 4790 local ::1 learning`);
    const links = await createMachine().links();
    expect(links.find(({ name }) => name === 'flannel.1')).toMatchObject({
      kind: 'vxlan',
      vni: 1,
      port: 8472,
      external: false,
      learning: false,
      local: '127.0.0.1',
      up: false,
    });
    expect(links.find(({ name }) => name === 'outer')).toMatchObject({
      port: 4789,
      external: true,
    });
    expect(links.find(({ name }) => name === 'six')).toMatchObject({
      vni: 7,
      local: '::1',
      learning: true,
    });
    expect(links.find(({ name }) => name === 'lo')).toMatchObject({ loopback: true, up: true });
  });

  test('addresses and routes are those that ip shows, and asking leaves no trace', async () => {
    shell(`ip link add left type veth peer name right
      ip link set left up; ip link set right up
      ip addr add 10.9.9.1/24 dev left
      ip addr add 2001:db8::1/64 dev left nodad
      ip route add 10.77.0.0/16 via 10.9.9.254
      ip route add blackhole 10.78.0.0/16`);
    const machine = createMachine();
    const before = shell('ip route show table all; ip route show cache; ip -6 route show cache');
    expect(await machine.addresses()).toContainEqual({
      index: expect.any(Number),
      interface: 'left',
      address: '10.9.9.1',
      prefixLength: 24,
      family: 'ipv4',
      scope: 'global',
    });
    expect(await machine.route('10.77.1.2')).toMatchObject({
      interface: 'left',
      gateway: '10.9.9.254',
      source: '10.9.9.1',
      type: 'unicast',
    });
    expect(await machine.route('10.9.9.1')).toMatchObject({ interface: 'lo', type: 'local' });
    expect(await machine.route('2001:db8::99')).toMatchObject({
      interface: 'left',
      source: '2001:db8::1',
    });
    expect(await machine.route('10.78.0.1')).toMatchObject({ type: 'blackhole' });
    expect(await machine.route('192.0.2.1')).toBeUndefined();
    expect(shell('ip route show table all; ip route show cache; ip -6 route show cache')).toBe(
      before,
    );
  });
});

describe('owners of a port', () => {
  test('the socket of a VXLAN device is the kernel’s, on both families', async () => {
    shell('ip link add outer type vxlan external dstport 8472; ip link set outer up');
    const owners = await createMachine().portOwners('udp', 8472);
    expect(owners.map(({ family, kernel }) => `${family} ${kernel}`).toSorted()).toEqual([
      'ipv4 true',
      'ipv6 true',
    ]);
    expect(owners.every(({ process }) => process === undefined)).toBe(true);
  });

  test('a listening process is named, a connection to it is not an owner', async () => {
    await using server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    const owners = await createMachine().portOwners('tcp', port);
    expect(owners).toHaveLength(1);
    expect(owners[0]).toMatchObject({
      address: '127.0.0.1',
      family: 'ipv4',
      kernel: false,
      process: readFileSync('/proc/self/comm', 'utf8').trim(),
    });
  });

  test('port-owner passes the kernel on 8472, and finds a stranger there', async () => {
    const params = { ...udp, processes: [], kernel: true };
    const host = createMachine();
    expect(await portOwner.run(params, node, fakeContext({ host }))).toMatchObject({
      outcome: 'pass',
      evidence: { owner: 'nobody' },
    });
    shell('ip link add vx type vxlan id 1 dstport 8472; ip link set vx up');
    expect(await portOwner.run(params, node, fakeContext({ host }))).toMatchObject({
      outcome: 'pass',
      evidence: { owner: 'kernel' },
    });
    shell('ip link del vx');
    const stranger = spawn('python3', [
      '-c',
      "import socket,sys;s=socket.socket(2,2);s.bind(('',8472));print('up',flush=True);sys.stdin.read()",
    ]);
    try {
      await once(stranger.stdout, 'data');
      expect(await portOwner.run(params, node, fakeContext({ host }))).toMatchObject({
        outcome: 'fail',
        reason: 'port-taken',
        evidence: { owner: 'python3' },
      });
    } finally {
      stranger.kill();
    }
  });

  test('device-conflict says of an external device beside a plain one what the kernel says', async () => {
    shell('ip link add flannel.1 type vxlan id 1 dstport 8472; ip link set flannel.1 up');
    const params = { device: 'vxlan', port: 8472, own: ['cilium_vxlan'], external: true } as const;
    const context = fakeContext({ host: createMachine() });
    expect(await deviceConflict.run(params, node, context)).toMatchObject({
      outcome: 'fail',
      evidence: { conflict: 'mode', link: 'flannel.1' },
    });
    const comesUp =
      'ip link add cilium_vxlan type vxlan external dstport 8472 && ip link set cilium_vxlan up';
    expect(() => shell(comesUp)).toThrow(/Address already in use/);
    shell('ip link del cilium_vxlan; ip link del flannel.1');
    expect(await deviceConflict.run(params, node, context)).toMatchObject({ outcome: 'pass' });
    expect(() => shell(comesUp)).not.toThrow();
  });

  test('device-conflict says of a second device of one VNI what the kernel says', async () => {
    shell('ip link add old type vxlan id 1 dstport 8472');
    const context = fakeContext({ host: createMachine() });
    const params = { device: 'vxlan', port: 8472, own: ['flannel.1'], external: false } as const;
    expect(await deviceConflict.run({ ...params, vni: 1 }, node, context)).toMatchObject({
      outcome: 'fail',
      evidence: { conflict: 'vni', link: 'old' },
    });
    expect(() => shell('ip link add flannel.1 type vxlan id 1 dstport 8472')).toThrow(
      /VNI already/,
    );
    expect(await deviceConflict.run({ ...params, vni: 2 }, node, context)).toMatchObject({
      outcome: 'pass',
    });
    expect(() => {
      shell(
        'ip link add flannel.2 type vxlan id 2 dstport 8472; ip link set old up; ip link set flannel.2 up',
      );
    }).not.toThrow();
  });
});

describe('transparent proxies', () => {
  const table = (rules: string): void => {
    shell(`nft -f - <<'END'
table inet t {
  chain divert {
    meta l4proto udp tproxy to :50080
  }
  chain pre {
    type filter hook prerouting priority mangle; policy accept;
    ${rules}
  }
}
END`);
  };

  test.each([
    { name: 'no rule at all', rules: 'udp dport 8472 accept', want: 'none' },
    { name: 'any udp', rules: 'meta l4proto udp tproxy to :50080', want: 'possible' },
    { name: 'this port', rules: 'udp dport 8472 tproxy to :50080', want: 'possible' },
    { name: 'another port', rules: 'udp dport 53 tproxy to :50080', want: 'none' },
    { name: 'another protocol', rules: 'tcp dport 8472 tproxy to :50080', want: 'none' },
    { name: 'a range around it', rules: 'udp dport 8000-9000 tproxy to :50080', want: 'possible' },
    { name: 'a range beside it', rules: 'udp dport 9000-9999 tproxy to :50080', want: 'none' },
    { name: 'all but this port', rules: 'udp dport != 8472 tproxy to :50080', want: 'none' },
    { name: 'a set of ports', rules: 'udp dport { 53, 5353 } tproxy to :50080', want: 'possible' },
    {
      name: 'a mark that nobody sets',
      rules: 'meta l4proto udp meta mark 0x200 tproxy to :50080',
      want: 'none',
    },
    {
      name: 'a mark that a rule sets',
      rules: 'meta mark set 0x200; meta l4proto udp meta mark 0x200 tproxy to :50080',
      want: 'possible',
    },
    {
      name: 'a mark of which a rule sets another',
      rules: 'meta mark set 0x100; meta l4proto udp meta mark 0x200 tproxy to :50080',
      want: 'none',
    },
    {
      name: 'bits of a mark that two rules set together',
      rules:
        'meta mark set meta mark | 0x1; meta mark set meta mark | 0x2; meta l4proto udp meta mark & 0x3 == 0x3 tproxy to :50080',
      want: 'possible',
    },
    {
      name: 'a mark from the connection',
      rules: 'meta mark set ct mark; meta l4proto udp meta mark 0x200 tproxy to :50080',
      want: 'possible',
    },
    { name: 'a chain behind a jump', rules: 'meta l4proto udp jump divert', want: 'possible' },
    { name: 'a chain behind another port', rules: 'udp dport 53 jump divert', want: 'none' },
    {
      name: 'a chain behind a verdict map',
      rules: 'meta l4proto udp udp dport vmap { 8472 : jump divert }',
      want: 'possible',
    },
    { name: 'a chain that nobody jumps to', rules: 'counter', want: 'none' },
  ])('nft, $name: $want', async ({ rules, want }) => {
    table(rules.replaceAll('; ', '\n    '));
    expect(await findTproxy(udp)).toBe(want);
  });

  test('a dormant table is nobody’s', async () => {
    shell(`nft 'add table inet t { flags dormant; }'
      nft 'add chain inet t pre { type filter hook prerouting priority 0; }'
      nft add rule inet t pre meta l4proto udp tproxy to :50080`);
    expect(await findTproxy(udp)).toBe('none');
    shell(`nft 'add table inet t'`);
    expect(await findTproxy(udp)).toBe('possible');
  });

  const arguments_ = [
    { name: 'any udp', given: '-p udp', want: 'possible' },
    { name: 'this port', given: '-p udp --dport 8472', want: 'possible' },
    { name: 'another port', given: '-p udp --dport 53', want: 'none' },
    { name: 'not this port', given: '-p udp ! --dport 8472', want: 'none' },
    { name: 'another protocol', given: '-p tcp', want: 'none' },
    { name: 'ports with it', given: '-p udp -m multiport --dports 53,8000:9000', want: 'possible' },
    { name: 'ports without it', given: '-p udp -m multiport --dports 53,9000:9999', want: 'none' },
    { name: 'a mark', given: '-p udp -m mark --mark 0x200/0xf00', want: 'none' },
    { name: 'no mark', given: '-p udp -m mark ! --mark 0x200/0xf00', want: 'possible' },
    { name: 'an address', given: '-p udp -s 10.0.0.0/8', want: 'possible' },
    { name: 'a match that is not understood', given: '-p udp -m socket', want: 'possible' },
  ];

  test.each(
    ['iptables-nft', 'iptables-legacy', 'ip6tables-nft', 'ip6tables-legacy'].flatMap((program) =>
      arguments_.map((row) => ({ program, ...row })),
    ),
  )('$program, $name: $want', async ({ program, given, want }) => {
    const rule = program.startsWith('ip6') ? given.replace('10.0.0.0/8', 'fd00::/8') : given;
    shell(`${program} -t mangle -A PREROUTING ${rule} -j TPROXY --on-port 50080`);
    expect(await findTproxy(udp)).toBe(want);
  });

  test.each(['iptables-nft', 'iptables-legacy'])(
    '%s, marks and chains are followed',
    async (program) => {
      shell(`${program} -t mangle -N DIVERT
      ${program} -t mangle -A DIVERT -p udp -m mark --mark 0x200/0xf00 -j TPROXY --on-port 50080
      ${program} -t mangle -A PREROUTING -p udp -j DIVERT`);
      expect(await findTproxy(udp)).toBe('none');
      shell(`${program} -t mangle -I PREROUTING -j MARK --or-mark 0x200`);
      expect(await findTproxy(udp)).toBe('possible');
      shell(`${program} -t mangle -R PREROUTING 1 -p tcp -j MARK --or-mark 0x200`);
      expect(await findTproxy(udp)).toBe('none');
      expect(await findTproxy({ transport: 'tcp', port: 80 })).toBe('none');
    },
  );

  test('reading creates no legacy table', async () => {
    const names = (): string =>
      ['ip_tables_names', 'ip6_tables_names']
        .map((name) => readFileSync(`/proc/net/${name}`, 'utf8'))
        .join('--\n');
    expect(names()).toBe('--\n');
    expect(await findTproxy(udp)).toBe('none');
    expect(names()).toBe('--\n');
    shell('iptables-legacy -t nat -A PREROUTING -p udp -j MARK --set-mark 1');
    const before = names();
    expect(await findTproxy(udp)).toBe('none');
    expect(names()).toBe(before);
    expect(before).toMatch(/^nat\n--/);
  });

  test('every rule is read, with its handle, its chain’s hook and what it does', async () => {
    shell(`nft add table ip six
      nft 'add chain ip six in { type filter hook input priority -5; policy drop; }'
      nft add chain ip six other`);
    shell(
      `(for port in $(seq 1 3000); do echo "add rule ip six other udp dport $port accept"; done) | nft -f -`,
    );
    const ruleset = await readRuleset();
    expect(ruleset.rules).toHaveLength(3000);
    const shown = shell('nft -a list chain ip six other');
    const last = ruleset.rules.at(-1);
    expect(shown).toContain(`udp dport 3000 accept # handle ${last?.handle}`);
    expect(last?.expressions.at(-1)).toEqual({ kind: 'verdict', verdict: { code: 'accept' } });
    expect(ruleset.chains.find(({ name }) => name === 'in')?.base).toEqual({
      hook: 'input',
      priority: -5,
      policy: 'drop',
      type: 'filter',
      devices: [],
    });
  });

  test('a rule that is added, changed or removed later is found out', async () => {
    const find = createTproxyFinder({ memoryMs: 0 });
    const settled = async (want: string): Promise<void> => {
      await expect.poll(() => find(udp), { timeout: 5000, interval: 20 }).toBe(want);
    };
    await settled('none');
    shell(`nft add table inet t
      nft 'add chain inet t pre { type filter hook prerouting priority 0; }'
      nft add rule inet t pre udp dport 8472 tproxy to :50080`);
    await settled('possible');
    shell('nft replace rule inet t pre handle 2 udp dport 53 tproxy to :50080');
    await settled('none');
    shell('nft delete table inet t');
    await settled('none');
    shell('iptables-legacy -t mangle -A PREROUTING -p udp -j TPROXY --on-port 1');
    await settled('possible');
  });

  test('a comment that says tproxy is not one', async () => {
    shell(`nft add table inet t
      nft 'add chain inet t pre { type filter hook prerouting priority 0; }'
      nft 'add rule inet t pre udp dport 8472 accept comment "no tproxy"'`);
    expect(await findTproxy(udp)).toBe('none');
  });

  test('machine: possible, none', async () => {
    const machine = createMachine();
    shell(`nft add table inet t
      nft 'add chain inet t pre { type filter hook prerouting priority 0; }'
      nft add rule inet t pre udp dport 8472 tproxy to :50080`);
    expect(await machine.tproxyPossible('udp', 8472)).toBe(true);
    expect(await machine.tproxyPossible('udp', 4789)).toBe(false);
  });
});

describe('connection tracking', () => {
  test('a flow of protocol 4 establishes the other direction, and its own only after a reply', async () => {
    const machine = createMachine();
    const flow = { protocol: 4, source: '10.1.1.1', destination: '10.1.1.2' };
    const reverse = { protocol: 4, source: '10.1.1.2', destination: '10.1.1.1' };
    expect(await machine.conntrackEstablishes(flow)).toBe(false);
    shell('conntrack -I -s 10.1.1.1 -d 10.1.1.2 -p 4 -t 60 2>&1');
    expect(await machine.conntrackEstablishes(flow)).toBe(false);
    expect(await machine.conntrackEstablishes(reverse)).toBe(true);
    expect(await machine.conntrackEstablishes({ ...flow, protocol: 50 })).toBe(false);
    shell(
      'conntrack -D -p 4 2>&1; conntrack -I -s 10.1.1.1 -d 10.1.1.2 -p 4 -t 60 -u SEEN_REPLY 2>&1',
    );
    expect(await machine.conntrackEstablishes(flow)).toBe(true);
  });
});

describe('a link in a throw-away namespace', () => {
  test('vxlan exists, an invented kind does not, and nothing is left', async () => {
    const before = shell('ip -o link');
    const { signal } = new AbortController();
    expect(await createMachine().tryLink('vxlan', signal)).toBe(true);
    expect(await createMachine().tryLink('nosuchkind', signal)).toBe(false);
    expect(shell('ip -o link')).toBe(before);
  });
});

describe('datastore', () => {
  const directories: string[] = [];
  const started: ChildProcess[] = [];

  afterEach(() => {
    for (const child of started.splice(0)) child.kill('SIGKILL');
    for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
  });

  test('a real etcd is found healthy, and unreachable once it has gone', {
    timeout: 40_000,
  }, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'etcd-'));
    directories.push(directory);
    const etcd = spawn(
      'etcd',
      [
        '--data-dir',
        directory,
        '--listen-client-urls',
        'http://127.0.0.1:12379',
        '--advertise-client-urls',
        'http://127.0.0.1:12379',
        '--listen-peer-urls',
        'http://127.0.0.1:12380',
        '--log-level',
        'error',
      ],
      { stdio: 'ignore' },
    );
    started.push(etcd);
    const context = fakeContext({
      host: createMachine(),
      options: { endpoints: 'http://127.0.0.1:12379,127.0.0.1:1' },
      timeoutMs: 1000,
    });
    const params = { store: 'etcd', endpointsOption: 'endpoints' } as const;
    const ask = async (): Promise<unknown> => await datastore.run(params, node, context);
    await expect.poll(ask, { timeout: 20_000, interval: 200 }).toMatchObject({
      outcome: 'pass',
      evidence: {
        healthy: expect.stringMatching(/^http:\/\/127\.0\.0\.1:12379 etcd-3\./),
        unreachable: 'http://127.0.0.1:1 ECONNREFUSED',
      },
    });
    etcd.kill('SIGKILL');
    await once(etcd, 'exit');
    expect(await ask()).toMatchObject({ outcome: 'fail', reason: 'datastore-unreachable' });
  });
});

test('no descriptor is left behind', async () => {
  const machine = createMachine();
  const look = async (): Promise<number> => {
    await Promise.all([machine.links(), machine.addresses(), machine.route('127.0.0.1')]);
    await machine.portOwners('udp', 8472);
    await findTproxy(udp);
    return readdirSync('/proc/self/fd').length;
  };
  const first = await look();
  for (let round = 0; round < 20; round++) await look();
  expect(await look()).toBeLessThanOrEqual(first);
});
