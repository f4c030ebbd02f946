/** `explain` on hosts with firewalls of several kinds. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { builtProgram, createLab, type Lab, type LabNode } from '../support/lab.ts';

let lab: Lab;
let n1: LabNode;
beforeAll(async () => {
  lab = await createLab({ nodes: 2 });
  n1 = lab.node('n1');
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
});

async function explain(
  ...args: readonly string[]
): Promise<{ code: number; out: string; err: string }> {
  const { exitCode, stdout, stderr } = await n1.program(['explain', ...args], {
    expectExit: 'any',
  });
  return { code: exitCode, out: stdout, err: stderr };
}

async function documentOf(...args: readonly string[]) {
  const { out } = await explain(...args, '--format', 'json');
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
  beforeAll(async () => {
    await n1.nft(`table inet filter {
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
  afterAll(() => n1.flush());

  test.each([
    ['a friend', ['udp/8472', '--from', '10.99.2.2'], 0, 'accept', { chain: 'cluster' }],
    ['a stranger', ['udp/8472', '--from', '10.99.4.2'], 3, 'drop', { policy: 'drop' }],
    ['a reject', ['udp/9999', '--from', '10.99.2.2'], 3, 'reject', { chain: 'input' }],
    ['a limit', ['tcp/22', '--from', '10.99.2.2'], 4, 'undetermined', null],
    ['outbound', ['udp/8472', '--to', '10.99.2.2'], 3, 'drop', { hook: 'output' }],
    ['outbound to elsewhere', ['udp/53', '--to', '10.99.2.2'], 0, 'accept', { hook: 'output' }],
  ] as const)('%s', async (_name, args, code, verdict, decidedBy) => {
    expect((await explain(...args)).code).toBe(code);
    const document = await documentOf(...args);
    expect(document.verdict).toBe(verdict);
    if (decidedBy === null) expect(document.decidedBy).toBeNull();
    else expect(document.decidedBy).toMatchObject(decidedBy);
  });

  test('the deciding rule has the handle that nft shows, and stands last on the path', async () => {
    const { stdout } = await n1.exec('nft', ['-a', 'list', 'chain', 'inet', 'filter', 'cluster']);
    const handle = Number(/udp dport 8472 accept # handle (\d+)/.exec(stdout)?.[1]);
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
    const { exitCode, stdout, stderr } = await n1.program(
      ['explain', '--packets', '-', '--format', 'jsonl'],
      { expectExit: 'any', input: `${lines.join('\n')}\n` },
    );
    expect(stderr).toBe('cni-preflight: -:1235: is not JSON\n');
    expect(exitCode).toBe(2);
    const answers = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { line: number; verdict: string });
    expect(answers).toHaveLength(4999);
    for (const { line, verdict } of answers)
      expect(verdict).toBe(line % 2 === 1 ? 'accept' : 'drop');
  });
});

describe('a host with ufw', () => {
  // The chains of /usr/share/ufw/iptables, with one rule of the user, as `ufw enable` and `ufw allow 22/tcp` leave them.
  beforeAll(async () => {
    await n1.exec('iptables-nft-restore', [], {
      input: `*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-logging-input - [0:0]
:ufw-before-input - [0:0]
:ufw-after-input - [0:0]
:ufw-after-logging-input - [0:0]
:ufw-reject-input - [0:0]
:ufw-track-input - [0:0]
:ufw-user-input - [0:0]
:ufw-not-local - [0:0]
:ufw-skip-to-policy-input - [0:0]
-A INPUT -j ufw-before-logging-input
-A INPUT -j ufw-before-input
-A INPUT -j ufw-after-input
-A INPUT -j ufw-after-logging-input
-A INPUT -j ufw-reject-input
-A INPUT -j ufw-track-input
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp --icmp-type echo-request -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -d 239.255.255.250/32 -p udp --dport 1900 -j ACCEPT
-A ufw-before-input -j ufw-user-input
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN
-A ufw-not-local -m addrtype --dst-type BROADCAST -j RETURN
-A ufw-not-local -j DROP
-A ufw-after-input -p udp --dport 137 -j ufw-skip-to-policy-input
-A ufw-after-logging-input -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A ufw-skip-to-policy-input -j DROP
-A ufw-user-input -p tcp --dport 22 -j ACCEPT
-A ufw-user-input -s 10.99.3.0/24 -p udp --dport 8472 -j DROP
COMMIT
`,
    });
  });
  afterAll(() => n1.flush());

  test('the default decides, as its user knows it, with the rules that were met', async () => {
    const { code, out } = await explain('udp/8472', '--from', '10.99.2.2');
    expect(out).toContain('DROP: udp/8472 from 10.99.2.2');
    expect(code).toBe(3);
    expect(out).toContain('decided by   ip filter INPUT, policy drop (iptables-nft, hook input)');
    expect(out).toContain('ufw: the default, deny (incoming)');
    for (const met of [
      'ip filter INPUT, ',
      'ip filter ufw-before-input, ',
      'ip filter ufw-not-local, ',
    ])
      expect(out).toContain(met);
  });

  test('a rule of the user', async () => {
    const denied = await explain('udp/8472', '--from', '10.99.3.2');
    expect(denied.code).toBe(3);
    expect(denied.out).toContain('deny in from 10.99.3.0/24 to any port 8472 proto udp');
    const allowed = await explain('tcp/22', '--from', '10.99.2.2');
    expect(allowed.code).toBe(0);
    expect(allowed.out).toContain('allow in from any to any port 22 proto tcp');
  });

  test('ping is let pass by a rule of ufw’s own', async () => {
    const { code, out } = await explain('icmp', '--from', '10.99.2.2');
    expect(code).toBe(0);
    expect(out).toContain('ufw: a rule of its own, in /etc/ufw/before.rules');
  });
});

test('legacy iptables', async () => {
  const rule = ['INPUT', '-p', 'tcp', '--dport', '179', '-j', 'REJECT'];
  await n1.exec('iptables-legacy', ['-A', ...rule]);
  try {
    const { verdict, decidedBy } = await documentOf('tcp/179', '--from', '10.99.2.2');
    expect(verdict).toBe('reject');
    expect(decidedBy).toMatchObject({ backend: 'iptables-legacy', chain: 'INPUT', number: 1 });
    expect(decidedBy).not.toHaveProperty('handle');
  } finally {
    await n1.exec('iptables-legacy', ['-D', ...rule]);
  }
});

test('without CAP_NET_ADMIN it says so, and does not guess', async () => {
  const { exitCode, stdout } = await n1.exec(
    'setpriv',
    [
      '--bounding-set',
      '-net_admin',
      '--inh-caps',
      '-net_admin',
      process.execPath,
      builtProgram(),
      'explain',
      'udp/8472',
      '--from',
      '10.99.2.2',
      '--format',
      'json',
    ],
    { expectExit: 'any' },
  );
  expect(exitCode).toBe(4);
  expect(JSON.parse(stdout)).toMatchObject({
    verdict: 'undetermined',
    decidedBy: null,
    undetermined: [{ expression: 'missing-net-admin' }],
  });
});

test('wrong usage is 2, and says what is wrong', async () => {
  const { code, err } = await explain('udp/8472');
  expect(code).toBe(2);
  expect(err).toContain('--from ADDR');
});
