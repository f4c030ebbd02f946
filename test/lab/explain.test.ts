/** `explain` on hosts with firewalls of several kinds. */
import { beforeEach, describe, expect, test } from 'vitest';
import { createFirewall } from '../../checks/host/firewall.ts';
import { enterFirewallHost, explainHere, nft } from '../support/firewall-host.ts';
import { builtProgram } from '../support/lab.ts';
import { shell } from '../support/own-network.ts';
import { run } from '../support/process.ts';

beforeEach(() => {
  enterFirewallHost();
});

type Words = readonly [what: string, ...flags: readonly string[]];

function askedOf([what, ...flags]: Words): Parameters<typeof explainHere>[0] {
  const valueOf = (flag: string): string | undefined => flags[flags.indexOf(flag) + 1];
  return {
    what,
    ...(flags.includes('--from') ? { from: valueOf('--from') ?? '' } : {}),
    ...(flags.includes('--to') ? { to: valueOf('--to') ?? '' } : {}),
  };
}

async function explain(...words: Words): ReturnType<typeof explainHere> {
  return await explainHere(askedOf(words));
}

async function documentOf(...words: Words) {
  const { out } = await explainHere(askedOf(words), 'json');
  return JSON.parse(out) as {
    readonly packet: Readonly<Record<string, unknown>>;
    readonly verdict: string;
    readonly decidedBy: Readonly<Record<string, unknown>> | null;
    readonly path: readonly Readonly<Record<string, unknown>>[];
    readonly arrives: string;
    readonly rewrites: readonly string[];
  };
}

test('without a rule: accept, by nobody, with what the routes tell', async () => {
  const { code, out } = await explain('udp/8472', '--from', '10.99.2.2');
  expect(code).toBe(0);
  expect(out).toContain(
    'ACCEPT: udp/8472 from 10.99.2.2 to 10.99.1.2, to this host (in by e0, new)',
  );
  expect((await documentOf('tcp/6443', '--to', 'fd99:2::2')).packet).toMatchObject({
    direction: 'out',
    source: 'fd99:1::2',
    outInterface: 'e0',
  });
  expect(
    (await documentOf('udp/53', '--from', '10.99.2.2', '--to', '10.99.1.7')).packet,
  ).toMatchObject({ direction: 'forward', inInterface: 'e0', outInterface: 'e0' });
});

describe('a ruleset of nft', () => {
  beforeEach(() => {
    nft(`table inet filter {
      set friends { type ipv4_addr; elements = { 10.99.2.2, 10.99.3.2 }; }
      chain cluster { udp dport 8472 accept; tcp dport 10250 accept; }
      chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iif lo accept
        ip saddr @friends jump cluster
        tcp dport 22 limit rate 3/minute accept
        udp dport 9999 reject with icmp type admin-prohibited
      }
      chain output { type filter hook output priority filter; policy accept; udp dport 8472 drop; }
    }
    table ip nat {
      chain prerouting { type nat hook prerouting priority dstnat; udp dport 5000 redirect to :8472; }
    }`);
  });

  test.each([
    ['a friend', ['udp/8472', '--from', '10.99.2.2'], 0, 'accept', { chain: 'cluster' }],
    ['a stranger', ['udp/8472', '--from', '10.99.4.2'], 3, 'drop', { policy: 'drop' }],
    ['a reject', ['udp/9999', '--from', '10.99.2.2'], 3, 'reject', { chain: 'input' }],
    ['a limit', ['tcp/22', '--from', '10.99.2.2'], 4, 'undetermined', null],
    ['outbound', ['udp/8472', '--to', '10.99.2.2'], 3, 'drop', { hook: 'output' }],
    ['outbound to elsewhere', ['udp/53', '--to', '10.99.2.2'], 0, 'accept', { hook: 'output' }],
  ] as const)('%s', async (_name, args, code, verdict, decidedBy) => {
    expect((await explain(...(args as Words))).code).toBe(code);
    const document = await documentOf(...(args as Words));
    expect(document.verdict).toBe(verdict);
    if (decidedBy === null) expect(document.decidedBy).toBeNull();
    else expect(document.decidedBy).toMatchObject(decidedBy);
  });

  test('the deciding rule has the handle that nft shows, and stands last on the path', async () => {
    const listed = shell('nft -a list chain inet filter cluster');
    const handle = Number(/udp dport 8472 accept # handle (\d+)/.exec(listed)?.[1]);
    const { decidedBy, path } = await documentOf('udp/8472', '--from', '10.99.2.2');
    expect(decidedBy).toEqual({
      backend: 'nf_tables',
      family: 'inet',
      table: 'filter',
      chain: 'cluster',
      hook: 'input',
      handle,
      rule: 'udp dport 8472 accept',
    });
    expect(path.map(({ chain, did }) => [chain, did])).toEqual([
      ['input', ['jump cluster']],
      ['cluster', ['accept']],
    ]);
  });

  test('a redirect: accepted, but elsewhere', async () => {
    const document = await documentOf('udp/5000', '--from', '10.99.2.2');
    expect(document).toMatchObject({ verdict: 'accept', arrives: 'elsewhere' });
    expect(document.rewrites[0]).toContain('8472');
  });

  test('thousands of packets in one run, and a bad line by its number', async () => {
    const lines = Array.from({ length: 5000 }, (_, index) =>
      JSON.stringify({
        direction: 'in',
        protocol: 'udp',
        source: index % 2 === 0 ? '10.99.2.2' : '10.99.4.2',
        destinationPort: 8472,
      }),
    );
    lines[1234] = 'no packet';
    const { code, out, err } = await explainHere({}, 'jsonl', lines);
    expect(err).toBe('-:1235: is not JSON');
    expect(code).toBe(2);
    const answers = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { line: number; verdict: string });
    expect(answers).toHaveLength(4999);
    for (const { line, verdict } of answers)
      expect(verdict).toBe(line % 2 === 1 ? 'accept' : 'drop');
  });
});

test('legacy iptables', async () => {
  shell('iptables-legacy -A INPUT -s 10.99.2.2 -p tcp -j DROP');
  const { verdict, decidedBy } = await documentOf('tcp/179', '--from', '10.99.2.2');
  expect(verdict).toBe('drop');
  expect(decidedBy).toMatchObject({
    backend: 'iptables-legacy',
    chain: 'INPUT',
    number: 1,
    rule: '-A INPUT -s 10.99.2.2/32 -p tcp -j DROP',
  });
  expect(decidedBy).not.toHaveProperty('handle');
});

test('a picture is kept while nothing changes, and another one made when something did', async () => {
  const firewall = createFirewall({ netAdmin: true });
  await firewall.read();
  const first = firewall.latest;
  await firewall.read();
  expect(firewall.latest).toBe(first);
  nft('table inet t { chain c { type filter hook input priority 0; udp dport 1 drop; }\n}');
  await firewall.read();
  expect(firewall.latest).not.toBe(first);
  expect(firewall.latest?.ruleset.rules).toHaveLength(1);
});

describe('the built program', () => {
  const program = [process.execPath, builtProgram(), 'explain'];

  test('without CAP_NET_ADMIN it says so, and does not guess', async () => {
    const without = ['--bounding-set', '-net_admin', '--inh-caps', '-net_admin'];
    const { exitCode, stdout } = await run(
      'setpriv',
      [...without, ...program, 'udp/8472', '--from', '10.99.2.2', '--format', 'json'],
      { expectExit: 'any' },
    );
    expect(exitCode).toBe(4);
    expect(JSON.parse(stdout)).toMatchObject({
      verdict: 'undetermined',
      decidedBy: null,
      undetermined: [{ expression: 'missing-net-admin' }],
    });
  });

  test('with it, it reads packets from its standard input', async () => {
    nft('table inet t { chain c { type filter hook input priority 0; udp dport 8472 drop; }\n}');
    const [command = '', ...args] = program;
    const line = '{"direction":"in","protocol":"udp","source":"10.99.2.2","destinationPort":8472}';
    const { exitCode, stdout } = await run(command, [...args, '--packets', '-'], {
      expectExit: 'any',
      input: `${line}\n`,
    });
    expect(stdout).toMatch(/^1: DROP: udp\/8472 /);
    expect(exitCode).toBe(3);
  });
});

test('a guard that asks for a mark, as kube-proxy has one, stops no packet without, and one that a rule has marked', async () => {
  const guard = (first: string): string => `table ip filter {
    chain KUBE-FIREWALL { meta mark & 0x8000 == 0x8000 drop; }
    chain OUTPUT { type filter hook output priority 0; jump KUBE-FIREWALL; }
    chain INPUT { type filter hook input priority 0; ${first} jump KUBE-FIREWALL; }
  }`;
  nft(guard(''));
  for (const way of ['--from', '--to'])
    expect(await documentOf('udp/8472', way, '10.0.0.2')).toMatchObject({ verdict: 'accept' });
  nft(`flush ruleset; ${guard('udp dport 8472 meta mark set 0x8000;')}`);
  expect(await documentOf('udp/8472', '--from', '10.0.0.2')).toMatchObject({
    verdict: 'drop',
    decidedBy: { chain: 'KUBE-FIREWALL' },
  });
});
