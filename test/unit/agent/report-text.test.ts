import { describe, expect, test } from 'vitest';
import { describeFinding } from '../../../agent/messages.ts';
import type { Finding } from '../../../agent/model.ts';
import { renderReport } from '../../../agent/report.ts';
import { renderText } from '../../../agent/report-text.ts';
import { type FindingChange, someDocument, someFinding } from '../../support/findings.ts';

const finding = (change: FindingChange): Finding => {
  const plain = someFinding(change);
  return { ...plain, ...describeFinding(plain) };
};
const dropped: FindingChange = {
  outcome: 'fail',
  reason: 'dropped',
  evidence: { port: 8472, sent: 3 },
};
const render = (findings: readonly Finding[], options: { color?: boolean; width?: number } = {}) =>
  renderText(someDocument({ findings }), { color: false, ...options });
/** What the report says, without its head and its last line. */
const body = (...args: Parameters<typeof render>): string[] =>
  render(...args)
    .split('\n')
    .slice(4, -3);
const marksOf = (lines: readonly string[]): string[] =>
  lines.flatMap((line) => /^\S (\w+)/.exec(line)?.[1] ?? []);

describe('the report for a person', () => {
  test('a failure says who, what, why, what next and where to read', () => {
    expect(
      render([finding({ ...dropped, peer: 'worker-2' })]),
    ).toBe(`worker-1: Debian GNU/Linux 13, kernel 6.18.5, x86_64
canal (named by --provider) encapsulation=vxlan
1 peer: worker-2

✗ FAIL     canal.vxlan  → worker-2 (10.0.0.2)  UDP port 8472: none of 3 probes got past the firewall of worker-2, and nobody refused them
           why   dropped, required
           next  on worker-2: nft -a list ruleset | grep -nw 8472; iptables-save | grep -w -e 8472 -e policy -e DROP -e REJECT; then the network between (security groups), then this node
           docs  docs/troubleshooting.md#dropped

ready: 1 failed, 0 warnings, 0 unknown, 0 passed, 0 skipped (0.8 s)
`);
  });

  test('worst first: failures, warnings, what is unknown, information, passes, what does not apply', () => {
    const lines = body([
      finding({ requirement: 'a', outcome: 'skip', reason: 'not-applicable' }),
      finding({ requirement: 'b' }),
      finding({ ...dropped, requirement: 'c', level: 'info' }),
      finding({ requirement: 'd', outcome: 'unknown', reason: 'no-witness' }),
      finding({ ...dropped, requirement: 'e', level: 'recommended' }),
      finding({ ...dropped, requirement: 'f' }),
    ]);
    expect(marksOf(lines)).toEqual(['FAIL', 'WARN', 'UNKNOWN', 'INFO', 'PASS', 'SKIP']);
  });

  test('an inbound finding has its arrow the other way round', () => {
    const [line] = body([finding({ ...dropped, peer: 'worker-2', direction: 'inbound' })]);
    expect(line).toContain(
      '← worker-2 (10.0.0.2)  UDP port 8472: none of 3 probes got past the firewall of this node',
    );
  });

  test('four peers that fail alike are one line, three are three', () => {
    const failing = (count: number) =>
      Array.from({ length: count }, (_, index) => finding({ ...dropped, peer: `w${index}` }));
    expect(marksOf(body(failing(3)))).toEqual(['FAIL', 'FAIL', 'FAIL']);
    const [line = ''] = body(failing(4));
    expect(line).toContain('→ 4 peers: w0, w1, w2, w3  for example: UDP port 8472: none of 3');
    expect(marksOf(body(failing(4)))).toEqual(['FAIL']);
    expect(body(failing(20))[0]).toContain(
      '→ 20 peers: w0, w1, w2, w3, w4, w5, w6, w7 and 12 more',
    );
  });

  test('what is the same with every peer is one line, and names none of them', () => {
    const peers = ['w0', 'w1'].map((name) => ({
      name,
      address: '10.0.0.2',
      agent: 'reachable' as const,
    }));
    const findings = peers.map(({ name }) =>
      finding({
        ...dropped,
        reason: 'dropped-by-receiver-firewall',
        peer: name,
        direction: 'inbound',
        culprit: {
          where: 'receiver-ingress',
          node: 'worker-1',
          firewall: {
            backend: 'nf_tables',
            family: 'inet',
            table: 'filter',
            chain: 'input',
            hook: 'input',
            handle: 12,
            rule: 'udp dport 8472 drop',
          },
        },
      }),
    );
    const text = renderText(someDocument({ peers, findings }), { color: false });
    expect(text).toContain(
      '✗ FAIL     canal.vxlan  ← all 2 peers  this node\'s firewall drops it: inet filter input, handle 12 "udp dport 8472 drop" (UDP port 8472)',
    );
  });

  test('remedies are told on every node that needs one, each once', () => {
    const command = 'nft insert rule inet filter input position 12 accept';
    const findings = ['w0', 'w1', 'w2', 'w3', 'w4'].map((peer, index) => ({
      ...finding({ ...dropped, peer }),
      remedy: [{ manager: 'nftables', on: `w${Math.min(index, 3)}`, commands: [command] }],
    }));
    expect(body(findings).filter((line) => line.includes('fix'))).toEqual(
      ['w0', 'w1', 'w2', 'w3'].map((name) => `           fix   on ${name}: ${command}`),
    );
  });

  test('peers that fail for different reasons, or in different directions, stay apart', () => {
    const findings = [0, 1, 2, 3].flatMap((index) => [
      finding({ ...dropped, peer: `w${index}` }),
      finding({ ...dropped, peer: `w${index}`, direction: 'inbound' }),
      finding({ ...dropped, requirement: 'other', reason: 'rewritten', peer: `w${index}` }),
    ]);
    expect(marksOf(body(findings))).toHaveLength(3);
  });

  test('passes are one line a requirement, what does not apply one line a reason', () => {
    const lines = body([
      ...['a', 'b'].flatMap((peer) => [
        finding({ peer, evidence: { port: 8472 } }),
        finding({ peer, direction: 'inbound', evidence: { port: 8472 } }),
      ]),
      ...['x', 'y', 'z'].map((requirement) =>
        finding({ requirement, outcome: 'skip', reason: 'no-peers' }),
      ),
    ]);
    expect(lines).toEqual([
      '✓ PASS     canal.vxlan  ↔ a, b  UDP port 8472: arrives',
      '- SKIP     no-peers: x, y, z',
    ]);
  });

  test('an arrow of both directions is about one and the same peer', () => {
    const [line = ''] = body([
      finding({ peer: 'a', evidence: { port: 8472 } }),
      finding({ peer: 'a', direction: 'inbound', evidence: { port: 8472 } }),
      finding({ peer: 'b', direction: 'inbound', evidence: { port: 8472 } }),
      finding({ peer: 'c', evidence: { port: 8472 } }),
    ]);
    expect(line).toContain('↔ a; ← b; → c  UDP port 8472: arrives');
  });

  test('many passes of one kind on this node are one line that names each of them', () => {
    const passes = (count: number) =>
      Array.from({ length: count }, (_, index) => finding({ requirement: `canal.r${index}` }));
    expect(marksOf(body(passes(3)))).toEqual(['PASS', 'PASS', 'PASS']);
    expect(body(passes(12))).toEqual([
      `✓ PASS     12 of kind udp-port: ${passes(12)
        .map(({ requirement }) => requirement)
        .join(', ')}`,
    ]);
    expect(render(passes(12))).toContain('12 passed');
  });

  test('what an alternative makes up for is information, and does not count as failed', () => {
    const text = render([
      finding({ ...dropped, anyOf: 'g', peer: 'a' }),
      finding({ requirement: 'icmp', anyOf: 'g', peer: 'a' }),
    ]);
    expect(text).toContain('i INFO');
    expect(text).toContain('(an alternative passes)');
    expect(text).toContain('ready: 0 failed,');
  });

  test('without peers the last line says that no path was tested', () => {
    const text = renderText(
      someDocument({
        peers: [],
        findings: [finding({ outcome: 'skip', reason: 'no-peers' })],
      }),
      { color: false },
    );
    expect(text.trimEnd().split('\n').at(-1)).toBe(
      'ready: 0 failed, 0 warnings, 0 unknown, 0 passed, 1 skipped; no path was tested (no other node is known) (0.8 s)',
    );
  });

  test('the summary counts what is not shown, too, and says so', () => {
    const failed = finding({ ...dropped, peer: 'a' });
    const document = someDocument({ findings: [finding({}), failed] });
    const text = renderText(document, { color: false, shown: [failed] });
    expect(text).not.toContain('PASS');
    expect(text.trimEnd().split('\n').at(-1)).toBe(
      'ready: 1 failed, 0 warnings, 0 unknown, 1 passed, 0 skipped; 1 of 2 findings shown (0.8 s)',
    );
    expect(renderText(document, { color: false })).not.toContain('shown');
  });

  test('a peer of two families is one peer', () => {
    const text = renderText(
      someDocument({
        peers: [
          { name: 'worker-2', address: '10.0.0.12', agent: 'reachable' },
          { name: 'worker-2', address: 'fd00::12', agent: 'reachable' },
          { name: 'worker-3', address: '10.0.0.13', agent: 'absent' },
        ],
      }),
      { color: false },
    );
    expect(text).toContain('2 peers: worker-2, worker-3 (agent absent)\n');
  });

  test('why the node is not ready stands before the last line', () => {
    const document = someDocument({
      readiness: 'not-ready',
      reasons: ['canal.vxlan, outbound, fails with 2 of 2 peers: dropped', 'another'],
      findings: [],
    });
    expect(renderText(document, { color: false })).toContain(
      'This node is not-ready: canal.vxlan, outbound, fails with 2 of 2 peers: dropped (and 1 more)\nnot-ready: 0 failed',
    );
  });

  test.each([60, 80, 120])(
    'fits a terminal of %i columns but for words that are longer',
    (width) => {
      const lines = body([finding({ ...dropped, peer: 'worker-2' })], { width });
      for (const line of lines.filter((one) => one.trim().includes(' '))) {
        expect(line.length).toBeLessThanOrEqual(width);
      }
      expect(lines.length).toBeGreaterThan(4);
    },
  );

  test('colour only where it was asked for', () => {
    const failing = [finding({ ...dropped, peer: 'worker-2' })];
    expect(render(failing)).not.toContain('\u001B');
    expect(render(failing, { color: true })).toContain('\u001B[31m✗ FAIL');
  });

  test('words of a peer cannot steer the terminal, nor make lines of their own', () => {
    const text = render([
      { ...finding({ ...dropped, peer: 'w' }), message: 'a\u001B[2Jb\nc\u202Ed\u009B1m' },
    ]);
    expect(text).toContain('a\uFFFD[2Jb\uFFFDc\uFFFDd\uFFFD1m');
  });

  test('all providers are a table', () => {
    const summary = { pass: 9, fail: 1, warn: 2, info: 0, unknown: 3, skip: 4 };
    const text = renderText(
      someDocument({
        provider: null,
        peers: [],
        findings: [],
        providers: [
          { name: 'canal', options: {}, readiness: 'ready', summary: { ...summary, fail: 0 } },
          { name: 'cilium', options: {}, readiness: 'not-ready', summary },
        ],
      }),
      { color: false },
    );
    expect(text).toBe(`worker-1: Debian GNU/Linux 13, kernel 6.18.5, x86_64

provider  readiness  failed  warnings  unknown  passed  skipped
--------  ---------  ------  --------  -------  ------  -------
canal     ready      0       2         3        9       4
cilium    not-ready  1       2         3        9       4

cni-preflight check --provider NAME tells why.
This node could run: canal; no path was tested (no other node is known) (0.8 s)
`);
  });
});

describe('the report in other formats', () => {
  test('JSON is indented by two, and holds nothing that only the program needs', () => {
    const document = someDocument({
      findings: [someFinding({ anyOf: 'g', eitherDirection: true })],
    });
    const text = renderReport(document, { format: 'json', color: false });
    expect(text).toMatch(/^\{\n {2}"schema": "cni-preflight\/status\/v1",\n[\s\S]*\n\}\n$/);
    expect(text).not.toMatch(/anyOf|eitherDirection/);
  });

  test('YAML says the same as JSON', async () => {
    const { parse } = await import('yaml');
    const document = someDocument();
    const yaml = renderReport(document, { format: 'yaml', color: false });
    expect(parse(yaml)).toEqual(
      JSON.parse(renderReport(document, { format: 'json', color: false })),
    );
    expect(yaml).not.toMatch(/[&*]a\d/);
  });
});

describe('what the firewall’s rules say', () => {
  const rules = { kind: 'host-firewall', peer: 'worker-2' } as const;
  const evidence = { protocol: 'udp', port: 8472 };

  test('passes are one line for all requirements', () => {
    const [line, ...rest] = body([
      finding({ ...rules, requirement: 'canal.vxlan.firewall', evidence }),
      finding({ ...rules, requirement: 'canal.bgp.firewall', evidence, direction: 'inbound' }),
    ]);
    expect(line).toContain('2 of kind host-firewall: canal.vxlan.firewall, canal.bgp.firewall');
    expect(rest.filter((one) => one.includes('firewall'))).toEqual([]);
  });

  test('so is what they do not tell, with why', () => {
    const untold = { ...rules, outcome: 'unknown', reason: 'missing-net-admin' } as const;
    const lines = body([
      finding({ ...untold, requirement: 'canal.vxlan.firewall' }),
      finding({ ...untold, requirement: 'canal.bgp.firewall' }),
    ]);
    expect(marksOf(lines)).toEqual(['UNKNOWN']);
    expect(lines[0]).toContain('CAP_NET_ADMIN');
  });

  test('what was wiped, where it may not be looked at, is a line of its own', () => {
    const untold = { outcome: 'unknown', reason: 'missing-net-admin' } as const;
    const wipe = { ...untold, kind: 'firewall-wipe' } as const;
    const lines = body([
      finding({ ...rules, ...untold, requirement: 'canal.vxlan.firewall' }),
      finding({ ...wipe, requirement: 'canal.firewall-wipe' }),
      finding({ ...wipe, requirement: 'flannel.firewall-wipe' }),
    ]);
    expect(marksOf(lines)).toEqual(['UNKNOWN', 'UNKNOWN']);
    expect(lines.join('\n')).toContain(
      '2 of kind firewall-wipe: canal.firewall-wipe, flannel.firewall-wipe',
    );
  });

  test('a failure names the rule', () => {
    const decidedBy = 'inet filter input handle 12: udp dport 8472 drop';
    const lines = body([
      finding({
        ...rules,
        requirement: 'canal.vxlan.firewall',
        outcome: 'fail',
        reason: 'dropped-by-receiver-firewall',
        direction: 'inbound',
        evidence: { ...evidence, decidedBy },
      }),
    ]);
    expect(lines[0]).toContain(
      `UDP port 8472: the firewall of this node drops what comes in (${decidedBy})`,
    );
    expect(lines.join('\n')).toContain('cni-preflight explain udp/8472 --from 10.0.0.2');
  });
});
