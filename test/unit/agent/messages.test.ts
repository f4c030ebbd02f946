import { describe, expect, test } from 'vitest';
import type { FindingFacts } from '../../../agent/message-facts.ts';
import { describeFinding, documentationOf, messageOf, nextStep } from '../../../agent/messages.ts';
import { type Reason, reasons } from '../../../checks/check.ts';
import { kinds } from '../../../rules/schema.ts';
import { readText } from '../../support/sources.ts';

const manual = readText('docs/troubleshooting.md');
const finding = (change: Partial<FindingFacts>): FindingFacts => ({
  requirement: 'canal.vxlan',
  kind: 'udp-port',
  outcome: 'fail',
  target: {
    scope: 'peer',
    name: 'worker-2',
    address: '10.0.0.12',
    family: 'ipv4',
    direction: 'outbound',
  },
  evidence: {},
  ...change,
});

describe('the manual', () => {
  const sections = manual.split('\n').flatMap((line) => /^## ([a-z0-9-]+)$/.exec(line)?.[1] ?? []);

  test('has a section for every reason, once, in the order of the code, and for nothing else', () => {
    expect(sections).toEqual([...reasons]);
  });

  test('links only to sections that it has', () => {
    const anchors = new Set([...sections, 'opening-a-port']);
    for (const [, anchor = ''] of manual.matchAll(/\]\(#([^)]+)\)/g)) {
      expect(anchors).toContain(anchor);
    }
  });

  test('is where a finding points', () => {
    expect(documentationOf('dropped')).toBe('docs/troubleshooting.md#dropped');
    expect(describeFinding(finding({ reason: 'dropped' })).documentation).toBe(
      'docs/troubleshooting.md#dropped',
    );
  });

  test.each(['nft insert rule', 'iptables -I', 'firewall-cmd --permanent', 'ufw allow'])(
    'says how to open a port with %s',
    (command) => {
      const section = manual.slice(manual.indexOf('## Opening'), manual.indexOf('# This node'));
      expect(section).toContain(command);
    },
  );
});

describe('the words of a finding', () => {
  test.each(kinds.flatMap((kind) => reasons.map((reason) => ({ kind, reason }))))(
    '$reason of $kind is one whole sentence, whatever evidence there is',
    ({ kind, reason }) => {
      const outcome = 'unknown';
      for (const target of [finding({}).target, { scope: 'node' } as const]) {
        const facts = finding({ kind, reason, outcome, target });
        for (const text of [messageOf(facts), nextStep(facts) ?? 'nothing to do']) {
          expect(text).not.toMatch(/undefined|null|NaN|\n|^\s*$/);
        }
      }
    },
  );

  test.each<{ reason: Reason; given: Partial<FindingFacts>; message: string; next: string }>([
    {
      reason: 'dropped',
      given: { evidence: { transport: 'udp', port: 8472, sent: 3, witnessed: 0 } },
      message:
        'UDP port 8472: none of 3 probes got past the firewall of worker-2, and nobody refused them',
      next: 'on worker-2: nft -a list ruleset | grep -nw 8472; iptables-save | grep -w -e 8472 -e policy -e DROP -e REJECT; then the network between (security groups), then this node',
    },
    {
      reason: 'firewall-rules-wiped',
      given: {
        kind: 'firewall-wipe',
        target: { scope: 'node' },
        evidence: {
          owners: 'kube-proxy, flannel',
          lost: '4 rules of nf_tables ip nat',
          process: 'firewalld',
          pid: 712,
          advice: 'FlushAllOnReload=no',
        },
      },
      message:
        'rules of kube-proxy, flannel are gone from the firewall: 4 rules of nf_tables ip nat; firewalld (pid 712) took them away. Against the next time: FlushAllOnReload=no',
      next: 'nft list ruleset; iptables-save; then start again what had written them',
    },
    {
      reason: 'firewall-rules-wiped',
      given: {
        kind: 'firewall-wipe',
        target: { scope: 'node' },
        evidence: { owners: 'kube-proxy', lost: '1 rule of iptables-legacy ip nat' },
      },
      message: 'rules of kube-proxy are gone from the firewall: 1 rule of iptables-legacy ip nat',
      next: 'nft list ruleset; iptables-save; then start again what had written them',
    },
    {
      reason: 'dropped-by-sender-firewall',
      given: { kind: 'icmp-echo', evidence: { transport: 'icmp', errno: 'EPERM' } },
      message: 'ICMP echo: the firewall of this node drops what it sends',
      next: 'on this node: nft -a list ruleset | grep -nw icmp; iptables-save | grep -w -e icmp -e policy -e DROP -e REJECT (output and postrouting)',
    },
    {
      reason: 'rejected-by-firewall',
      given: {
        kind: 'tcp-port',
        evidence: { port: 179, icmp: '3/13', rejectedBy: '10.0.0.12' },
        culprit: { where: 'receiver-ingress', node: 'worker-2' },
      },
      message: 'TCP port 179: a firewall rejects it, and answers from worker-2 (ICMP 3/13)',
      next: 'on worker-2: nft -a list ruleset | grep -nw 179; iptables-save | grep -w -e 179 -e policy -e DROP -e REJECT',
    },
    {
      reason: 'rejected-by-firewall',
      given: {
        kind: 'tcp-port',
        evidence: { port: 179, icmp: '3/13', rejectedBy: '10.0.0.254' },
        culprit: { where: 'path', node: 'path' },
      },
      message: 'TCP port 179: a firewall rejects it, and answers from 10.0.0.254 (ICMP 3/13)',
      next: 'ask whoever runs 10.0.0.254 to let it pass',
    },
    {
      reason: 'partial-loss',
      given: { evidence: { sent: 9, lost: 2, lostSourcePorts: '40001', roundsSinceLoss: 0 } },
      message: '2 of 9 probes were lost, from source ports 40001: one of several paths may be dead',
      next: 'on this node: ip route get 10.0.0.12; look at each member of the bond, and at each equal-cost path',
    },
    {
      reason: 'partial-loss',
      given: { evidence: { sent: 9, lost: 2, lostSourcePorts: '40001', roundsSinceLoss: 1 } },
      message:
        '2 of 9 probes were lost, from source ports 40001: one of several paths may be dead; none in the last round',
      next: 'on this node: ip route get 10.0.0.12; look at each member of the bond, and at each equal-cost path',
    },
    {
      reason: 'partial-loss',
      given: { evidence: { sent: 9, lost: 2, lostSourcePorts: '40001', roundsSinceLoss: 7 } },
      message:
        '2 of 9 probes were lost, from source ports 40001: one of several paths may be dead; none in the last 7 rounds',
      next: 'on this node: ip route get 10.0.0.12; look at each member of the bond, and at each equal-cost path',
    },
    {
      reason: 'inconclusive',
      given: { outcome: 'unknown', evidence: { transport: 'udp', port: 8472 } },
      message: 'UDP port 8472: this process stalled while it waited, so silence proves nothing',
      next: 'uptime; run it again when the node is less busy',
    },
    {
      reason: 'inconclusive',
      given: {
        outcome: 'unknown',
        evidence: { transport: 'udp', port: 8472, witnessOverloaded: true },
      },
      message:
        'UDP port 8472: the witness on worker-2 had no room for all that came, so silence proves nothing',
      next: 'uptime on worker-2; its metric cni_preflight_datagrams_dropped_total tells a flood of forged probes',
    },
    {
      reason: 'path-mtu-too-small',
      given: {
        kind: 'path-mtu',
        evidence: { neededBytes: 1500, pathMtuBytes: 1400, reportedBy: '10.0.0.1' },
      },
      message: 'the path carries packets of 1400 bytes, the overlay needs 1500, says 10.0.0.1',
      next: "on this node: tracepath -n 10.0.0.12; or lower the overlay's MTU by 100 bytes on every node",
    },
    {
      reason: 'path-mtu-too-small',
      given: {
        kind: 'path-mtu',
        evidence: { neededBytes: 1500, pathMtuBytes: 1400, icmpErrors: 'none' },
      },
      message:
        'the path carries packets of 1400 bytes, the overlay needs 1500, and no router says so (ICMP is filtered: a black hole)',
      next: "on this node: tracepath -n 10.0.0.12; or lower the overlay's MTU by 100 bytes on every node",
    },
    {
      reason: 'latency-too-high',
      given: { kind: 'latency', evidence: { rttSeconds: 0.12345, maximumSeconds: 0.1 } },
      message: 'the round trip takes 123 ms, more than 100 ms',
      next: 'on this node: ping -c 20 10.0.0.12',
    },
    {
      reason: 'port-taken',
      given: {
        kind: 'port-owner',
        target: { scope: 'node' },
        evidence: { transport: 'udp', port: 8472, owner: 'dnsmasq', pid: 77, uid: 0 },
      },
      message: 'UDP port 8472 is taken by dnsmasq (pid 77)',
      next: "ss -ulnpe 'sport = :8472'",
    },
    {
      reason: 'peer-disagrees',
      given: {
        kind: 'peer-agreement',
        evidence: { vniHere: 1, vniThere: 4096, portHere: 8472, portThere: 8472 },
      },
      message: 'the two nodes are set up differently: vni 1 here, 4096 there',
      next: 'ip -details link show type vxlan (on both nodes)',
    },
  ])('$reason: $message', ({ reason, given, message, next }) => {
    const facts = finding({ reason, ...given });
    expect([messageOf(facts), nextStep(facts)]).toEqual([message, next]);
  });

  test('an inbound finding sends to the other node, not to this one', () => {
    const target = { ...finding({}).target, direction: 'inbound' } as FindingFacts['target'];
    const evidence = { port: 8472, sent: 3 };
    expect(messageOf(finding({ reason: 'dropped', target, evidence }))).toContain(
      'got past the firewall of this node',
    );
    expect(messageOf(finding({ reason: 'no-route', target, evidence }))).toContain(
      'worker-2 has no way out',
    );
    expect(nextStep(finding({ reason: 'no-route', target, evidence }))).toBe(
      'on worker-2: ip route get ADDRESS-OF-THIS-NODE',
    );
  });

  test('a peer that does not answer is named, whichever way was to be tested', () => {
    const silent = finding({
      outcome: 'unknown',
      reason: 'peer-unreachable',
      target: {
        scope: 'peer',
        name: 'worker-2',
        address: '10.0.0.12',
        family: 'ipv4',
        direction: 'inbound',
      },
      evidence: { agent: 'unreachable' },
    });
    expect(messageOf(silent)).toBe('nothing answers on worker-2: no agent, no echo, no TCP port');
    expect(nextStep(silent)).toBe('on this node: ping -c 3 10.0.0.12; ip route get 10.0.0.12');
  });

  test('what a peer says cannot become a command of its own', () => {
    const evidence = { device: 'flannel.1', overlayAddress: '10.42.0.1; reboot $(id) `id` | sh' };
    const typed = nextStep(finding({ kind: 'overlay-path', reason: 'wrong-host', evidence }));
    expect(typed).toBe(
      'on this node: ip route get 10.42.0.1? reboot ??id? ?id? ? sh; bridge fdb show dev flannel.1',
    );
  });

  test.each([
    {
      kind: 'tcp-port',
      evidence: { port: 179, listening: false },
      want: 'TCP port 179: the path is open, nobody listens yet',
    },
    {
      kind: 'tcp-port',
      evidence: { port: 9099 },
      want: 'TCP port 9099 cannot be reached from outside, as it should be',
    },
    {
      kind: 'udp-port',
      evidence: { port: 8472, rttSeconds: 0.000213 },
      want: 'UDP port 8472: arrives in 0.21 ms',
    },
    {
      kind: 'kernel-version',
      evidence: { kernel: '6.1.0', want: '>= 5.10' },
      want: 'kernel 6.1.0 is >= 5.10',
    },
    {
      kind: 'port-owner',
      evidence: { transport: 'tcp', port: 9099, owner: 'nobody' },
      want: 'TCP port 9099 is free',
    },
    {
      kind: 'path-mtu',
      evidence: { pathMtuBytes: 1500 },
      want: 'the path carries 1500 bytes, as the overlay needs',
    },
  ] as const)('a pass of $kind says what was seen', ({ kind, evidence, want }) => {
    expect(messageOf(finding({ kind, outcome: 'pass', evidence }))).toBe(want);
  });
});
