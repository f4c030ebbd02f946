/** Remedies, typed for real: the packet did not pass before and does after, and what was not asked for still does not. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { builtProgram, createLab, type Fault, type Lab, type LabNode } from '../support/lab.ts';
import { LongProcess } from '../support/process.ts';
import { until } from '../support/wait.ts';

let lab: Lab;
let n1: LabNode;
let n2: LabNode;
let folder: string;
beforeAll(async () => {
  lab = await createLab({ nodes: 3 });
  n1 = lab.node('n1');
  n2 = lab.node('n2');
  folder = mkdtempSync(join(tmpdir(), 'remedy-'));
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

interface Told {
  readonly verdict: string;
  readonly remedy:
    | readonly { readonly manager: string; readonly commands: readonly string[] }[]
    | null;
}

/** Runs a shell line on n1; `binds` are lines that mount files over the machine's own, for that line alone. */
async function shell(line: string, binds = ''): Promise<string> {
  const { stdout } = await n1.exec('sh', ['-ec', `${binds}\n${line}`]);
  return stdout;
}

async function explain(args: string, binds = ''): Promise<Told> {
  const { stdout } = await n1.exec(
    'sh',
    [
      '-ec',
      `${binds}\nexec "$0" "$1" explain ${args} --format json`,
      process.execPath,
      builtProgram(),
    ],
    { expectExit: 'any' },
  );
  return JSON.parse(stdout) as Told;
}

/** Behind every other chain: counts what has come through. */
async function gauge(): Promise<Fault> {
  return await n1.chain('input', 'udp dport { 8472, 8473 } counter', { priority: 1000 });
}

/** How many datagrams the gauge has met after one more was sent. */
async function sent(through: Fault, from: LabNode, port: number, address = n1.address4) {
  await from.exec('bash', ['-c', `echo x > /dev/udp/${address}/${port}`]);
  return await through.packets();
}

async function apply(told: Told, binds = ''): Promise<readonly string[]> {
  const commands = (told.remedy ?? []).flatMap((one) => one.commands);
  for (const command of commands) await shell(command, binds);
  await n1.forgetFlows();
  return commands;
}

const asked = 'udp/8472 --from 10.99.2.2';

/** Opens a way by what is told, and looks at what that opens: neither another port, nor the way from another node. */
async function expectOpened(
  binds = '',
  question = asked,
  address = n1.address4,
): Promise<readonly string[]> {
  const counted = await gauge();
  try {
    expect(await sent(counted, n2, 8472, address)).toBe(0);
    const told = await explain(question, binds);
    expect(told.verdict).not.toBe('accept');
    const commands = await apply(told, binds);
    expect(commands.length).toBeGreaterThan(0);
    expect(await sent(counted, n2, 8472, address)).toBe(1);
    expect(await sent(counted, n2, 8473, address)).toBe(1);
    expect(await sent(counted, lab.node('n3'), 8472, address)).toBe(1);
    return commands;
  } finally {
    await counted[Symbol.asyncDispose]();
  }
}

const asked6 = 'udp/8472 --from fd99:2::2';

describe('nft', () => {
  const cases = [
    {
      name: 'a rule',
      rules:
        'table inet filter { chain input { type filter hook input priority 0; tcp dport 22 accept; udp dport 8000-9000 drop; } }',
      want: [
        /^nft insert rule inet filter input position \d+ ip saddr 10\.99\.2\.2 udp dport 8472 accept$/,
      ],
    },
    {
      name: 'a policy',
      rules:
        'table inet filter { chain input { type filter hook input priority 0; policy drop; tcp dport 22 accept; } }',
      want: [/^nft add rule inet filter input ip saddr 10\.99\.2\.2 udp dport 8472 accept$/],
    },
    {
      name: 'a chain that forwarded packets come through as well: not there',
      rules: `table inet filter { chain strict { log; reject; }
        chain input { type filter hook input priority 0; udp dport 8000-9000 jump strict; }
        chain forward { type filter hook forward priority 0; jump strict; } }`,
      want: [/^nft insert rule inet filter input position/],
    },
    {
      name: 'two tables',
      rules: `table inet one { chain c { type filter hook input priority 0; udp dport 8000-9000 drop; } }
        table ip two { chain c { type filter hook prerouting priority -150; policy accept; ip saddr 10.99.0.0/16 udp dport 8400-8500 drop; udp dport 8473 drop; } }`,
      want: [/^nft insert rule ip two c position/, /^nft insert rule inet one c position/],
    },
    {
      name: 'a chain that returns to a policy',
      rules:
        'table inet filter { chain input { type filter hook input priority 0; policy drop; udp dport 8000-9000 return; accept; } }',
      want: [/^nft insert rule inet filter input position/],
    },
  ] as const;
  test.each(cases)('$name', async ({ rules, want }) => {
    await n1.flush();
    await n1.nft(rules.replaceAll('}', '}\n'));
    const commands = await expectOpened();
    expect(commands).toHaveLength(want.length);
    for (const [place, pattern] of want.entries()) expect(commands[place]).toMatch(pattern);
    await n1.flush();
  });

  test('IPv6, ICMP and a protocol without ports', async () => {
    await n1.nft(
      'table inet filter { chain input { type filter hook input priority 0; policy drop; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; }\n }',
    );
    for (const question of [
      'icmp --from 10.99.2.2',
      'icmpv6 --from fd99:2::2',
      '4 --from 10.99.2.2',
    ]) {
      expect(await apply(await explain(question)), question).toHaveLength(1);
      expect((await explain(question)).verdict, question).toBe('accept');
    }
    expect(await expectOpened('', asked6, n1.address6)).toHaveLength(1);
    await n2.exec('ping', ['-c', '1', '-W', '2', n1.address4]);
    expect((await explain('icmp --from 10.99.3.2')).verdict).toBe('drop');
    await n1.flush();
  });

  test('rules that a program writes: nothing is told', async () => {
    await n1.nft(
      'table ip calico { chain c { type filter hook input priority 0; udp dport 8472 drop; }\n }',
    );
    expect(await explain(asked)).toMatchObject({ verdict: 'drop', remedy: null });
    await n1.flush();
  });
});

describe.each(['iptables-nft', 'iptables-legacy'])('%s', (iptables) => {
  const ip6tables = iptables.replace('iptables', 'ip6tables');

  test('a rule, a policy, and a table of its own', async () => {
    await shell(
      `${iptables} -A INPUT -p tcp --dport 22 -j ACCEPT; ${iptables} -A INPUT -p udp -m multiport --dports 8472,8473 -j REJECT;
      ${iptables} -P INPUT DROP; ${iptables} -t raw -A PREROUTING -p udp --dport 8000:9000 -j DROP`,
    );
    try {
      expect(await expectOpened()).toEqual([
        `${iptables} -t raw -I PREROUTING 1 -s 10.99.2.2 -p udp --dport 8472 -j ACCEPT`,
        `${iptables} -I INPUT 2 -s 10.99.2.2 -p udp --dport 8472 -j ACCEPT`,
      ]);
      expect(await apply(await explain('icmp --from 10.99.2.2'))).toEqual([
        `${iptables} -A INPUT -s 10.99.2.2 -p icmp --icmp-type 8 -j ACCEPT`,
      ]);
      await n2.exec('ping', ['-c', '1', '-W', '2', n1.address4]);
    } finally {
      await shell(
        `${iptables} -P INPUT ACCEPT; ${iptables} -F; ${iptables} -X; ${iptables} -t raw -F; ${iptables} -t raw -X`,
      );
    }
  });

  test('IPv6', async () => {
    await shell(`${ip6tables} -A INPUT -p udp -j DROP`);
    try {
      expect(await expectOpened('', asked6, n1.address6)).toHaveLength(1);
    } finally {
      await shell(`${ip6tables} -F; ${ip6tables} -X`);
    }
  });
});

describe('ufw', () => {
  let binds = '';
  beforeAll(async () => {
    await n1.flush();
    const own = join(folder, 'ufw');
    cpSync('/etc/ufw', own, { recursive: true });
    cpSync('/etc/default/ufw', join(folder, 'ufw-default'));
    binds = `mount --bind ${own} /etc/ufw; mount --bind ${join(folder, 'ufw-default')} /etc/default/ufw;`;
    await shell('ufw --force enable', binds);
  });
  afterAll(async () => {
    await shell('ufw --force disable', binds);
    await n1.flush();
  });

  test('default deny', async () => {
    expect(await expectOpened(binds)).toEqual([
      'ufw allow from 10.99.2.2 to any port 8472 proto udp',
    ]);
    expect(await shell('ufw status', binds)).toContain('8472/udp');
    await shell('ufw delete allow from 10.99.2.2 to any port 8472 proto udp', binds);
  });

  test('a deny stands before', async () => {
    await shell('ufw deny 8000:9000/udp', binds);
    expect(await expectOpened(binds)).toEqual([
      'ufw insert 1 allow from 10.99.2.2 to any port 8472 proto udp',
    ]);
  });

  test('what has no words stands in its file', async () => {
    const told = await explain('4 --from 10.99.2.2', binds);
    expect(told.remedy?.[0]?.commands).toHaveLength(2);
    await apply(told, binds);
    expect((await explain('4 --from 10.99.2.2', binds)).verdict).toBe('accept');
    expect((await explain('4 --from 10.99.3.2', binds)).verdict).not.toBe('accept');
  });

  test('IPv6', async () => {
    expect((await expectOpened(binds, asked6, n1.address6)).join()).toContain('ufw');
  });

  test('packets that are sent on, and sent out', async () => {
    await shell('ufw default deny outgoing', binds);
    expect(await apply(await explain('udp/8472 --to 10.99.2.2', binds), binds)).toEqual([
      'ufw allow out to 10.99.2.2 port 8472 proto udp',
    ]);
    expect((await explain('udp/8472 --to 10.99.2.2', binds)).verdict).toBe('accept');
    const question = 'tcp/179 --from 10.99.2.2 --to 10.99.3.2';
    expect(await apply(await explain(question, binds), binds)).toEqual([
      'ufw route allow from 10.99.2.2 to 10.99.3.2 port 179 proto tcp',
    ]);
    expect((await explain(question, binds)).verdict).toBe('accept');
  });
});

describe('firewalld', () => {
  const services: LongProcess[] = [];
  const inNode = (line: string): LongProcess =>
    new LongProcess('ip', ['netns', 'exec', n1.namespace, 'sh', '-ec', line]);
  beforeAll(async () => {
    await n1.flush();
    const own = join(folder, 'firewalld');
    cpSync('/etc/firewalld', own, { recursive: true });
    mkdirSync('/run/dbus', { recursive: true });
    services.push(inNode('exec dbus-daemon --system --nofork --nopidfile'));
    await until('the bus runs', () =>
      Promise.resolve(existsSync('/run/dbus/system_bus_socket') ? true : undefined),
    );
    services.push(inNode(`mount --bind ${own} /etc/firewalld; exec firewalld --nofork --nopid`));
    await until('firewalld runs', async () =>
      (await n1.exec('firewall-cmd', ['--state'], { expectExit: 'any' })).exitCode === 0
        ? true
        : undefined,
    );
  }, 60_000);
  afterAll(async () => {
    for (const service of services.reverse()) await service.stop();
    await n1.flush();
  });

  test('a zone that lets little pass', async () => {
    const rule =
      'rule family="ipv4" source address="10.99.2.2" port port="8472" protocol="udp" accept';
    expect(await expectOpened()).toEqual([
      `firewall-cmd --zone=public --add-rich-rule='${rule}'`,
      `firewall-cmd --permanent --zone=public --add-rich-rule='${rule}'`,
    ]);
  }, 60_000);
});
