import { beforeAll, describe, expect, test } from 'vitest';
import { createMetrics, generateMetricsDoc, type ProbeKind } from '../../../agent/metrics.ts';
import type { Finding, StatusDocument } from '../../../agent/model.ts';
import { someDocument, someFinding } from '../../support/findings.ts';

/** The sample lines of one metric, without its name. */
async function samplesOf(
  metrics: ReturnType<typeof createMetrics>,
  name: string,
): Promise<string[]> {
  const { body } = await metrics.render();
  return body
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .map((line) => line.slice(name.length).trim());
}

const fresh = () => createMetrics({ version: '0.1.0' });
const update = (change: Partial<StatusDocument>) => {
  const metrics = fresh();
  metrics.update(someDocument(change));
  return metrics;
};
const failed = (change: Parameters<typeof someFinding>[0]): Finding =>
  someFinding({ outcome: 'fail', reason: 'dropped', ...change });

describe('before the first round', () => {
  test('readiness is unknown, and what was not measured is absent', async () => {
    const metrics = fresh();
    expect(await samplesOf(metrics, 'cni_preflight_node_readiness')).toEqual([
      '{state="ready"} 0',
      '{state="not-ready"} 0',
      '{state="unknown"} 1',
    ]);
    for (const name of ['path_mtu_bytes', 'last_round_timestamp_seconds', 'peer_failed_omitted']) {
      expect(await samplesOf(metrics, `cni_preflight_${name}`)).toEqual([]);
    }
    expect(await samplesOf(metrics, 'cni_preflight_build_info')).toEqual([
      `{version="0.1.0",node_version="${process.versions.node}"} 1`,
    ]);
  });

  test('two agents in one process share nothing', async () => {
    const [one, other] = [fresh(), fresh()];
    one.probeSent('udp-port');
    expect(await samplesOf(other, 'cni_preflight_probes_sent_total')).toEqual([]);
  });
});

describe('the document', () => {
  test('gives readiness, peers, kernel and provider', async () => {
    const metrics = update({
      readiness: 'not-ready',
      peers: [
        { name: 'worker-2', address: '10.0.0.2', agent: 'reachable' },
        { name: 'worker-3', address: '10.0.0.3', agent: 'absent' },
        { name: 'worker-4', address: '10.0.0.4', agent: 'absent' },
      ],
    });
    expect(await samplesOf(metrics, 'cni_preflight_node_readiness')).toContain(
      '{state="not-ready"} 1',
    );
    expect(await samplesOf(metrics, 'cni_preflight_node_readiness')).toContain(
      '{state="unknown"} 0',
    );
    expect(await samplesOf(metrics, 'cni_preflight_peers')).toEqual([
      '{state="reachable"} 1',
      '{state="absent"} 2',
      '{state="unreachable"} 0',
      '{state="unknown"} 0',
    ]);
    expect(await samplesOf(metrics, 'cni_preflight_kernel_info')).toEqual(['{release="6.18.5"} 1']);
    expect(await samplesOf(metrics, 'cni_preflight_provider_info')).toEqual([
      '{provider="canal",encapsulation="vxlan"} 1',
    ]);
  });

  test('replaces what the last one said', async () => {
    const metrics = update({ findings: [failed({ peer: 'worker-2' })] });
    metrics.update(someDocument({ provider: null, findings: [] }));
    for (const name of ['provider_info', 'requirement_outcome', 'peer_failed']) {
      expect(await samplesOf(metrics, `cni_preflight_${name}`)).toEqual([]);
    }
    expect(await samplesOf(metrics, 'cni_preflight_peer_failed_omitted')).toEqual(['0']);
    metrics.update(someDocument({ provider: { name: 'weave', options: {}, source: 'flag' } }));
    expect(await samplesOf(metrics, 'cni_preflight_provider_info')).toEqual([
      '{provider="weave",encapsulation=""} 1',
    ]);
  });

  test('counts findings by level and outcome, zeros too', async () => {
    const metrics = update({ findings: [failed({}), failed({}), someFinding({ level: 'info' })] });
    const samples = await samplesOf(metrics, 'cni_preflight_findings');
    expect(samples).toHaveLength(12);
    expect(samples).toContain('{level="required",outcome="fail"} 2');
    expect(samples).toContain('{level="info",outcome="pass"} 1');
    expect(samples).toContain('{level="recommended",outcome="skip"} 0');
  });

  test.each([
    { found: ['pass', 'fail', 'unknown', 'skip'], want: 'fail' },
    { found: ['pass', 'unknown', 'skip'], want: 'unknown' },
    { found: ['skip', 'pass'], want: 'pass' },
    { found: ['skip'], want: 'skip' },
  ] as const)('of $found the worst is $want', async ({ found, want }) => {
    const findings = found.map((outcome, index) =>
      someFinding({ outcome, peer: `worker-${index}` }),
    );
    const samples = await samplesOf(update({ findings }), 'cni_preflight_requirement_outcome');
    expect(samples).toHaveLength(4);
    expect(samples.filter((line) => line.endsWith(' 1'))).toEqual([
      `{requirement="canal.vxlan",level="required",outcome="${want}"} 1`,
    ]);
  });

  test('a partial loss is a warning beside the pass', async () => {
    const findings = [
      someFinding({ peer: 'worker-2' }),
      failed({ peer: 'worker-2', level: 'recommended', reason: 'partial-loss' }),
    ];
    const samples = await samplesOf(update({ findings }), 'cni_preflight_requirement_outcome');
    expect(samples.filter((line) => line.endsWith(' 1'))).toEqual([
      '{requirement="canal.vxlan",level="required",outcome="pass"} 1',
      '{requirement="canal.vxlan",level="recommended",outcome="fail"} 1',
    ]);
  });
});

describe('failing pairs', () => {
  const name = 'cni_preflight_peer_failed';

  test('are those of peers that fail, both families as one', async () => {
    const metrics = update({
      findings: [
        failed({}),
        someFinding({ peer: 'worker-3' }),
        someFinding({ peer: 'worker-4', outcome: 'unknown', reason: 'no-witness' }),
        failed({ peer: 'worker-2', family: 'ipv4' }),
        failed({ peer: 'worker-2', family: 'ipv6', reason: 'no-route' }),
        failed({ peer: 'worker-2', direction: 'inbound' }),
      ],
    });
    expect(await samplesOf(metrics, name)).toEqual([
      '{requirement="canal.vxlan",peer="worker-2",direction="inbound",reason="dropped"} 1',
      '{requirement="canal.vxlan",peer="worker-2",direction="outbound",reason="dropped"} 1',
    ]);
  });

  test('are the 20 worst: required first, then the oldest; the rest is counted', async () => {
    const findings = Array.from({ length: 50 }, (_, index) =>
      failed({
        peer: `worker-${index}`,
        level: index < 5 ? 'required' : 'recommended',
        since: `2026-11-23T12:00:${String(59 - index).padStart(2, '0')}.000Z`,
      }),
    );
    const metrics = update({ findings });
    const samples = await samplesOf(metrics, name);
    const peers = samples.map((line) => Number(/worker-(\d+)/.exec(line)?.[1]));
    expect(peers).toEqual([4, 3, 2, 1, 0, ...Array.from({ length: 15 }, (_, index) => 49 - index)]);
    expect(await samplesOf(metrics, 'cni_preflight_peer_failed_omitted')).toEqual(['30']);
  });

  test('a name of a peer cannot break the format', async () => {
    const samples = await samplesOf(update({ findings: [failed({ peer: 'a"b\\c\nd' })] }), name);
    expect(samples[0]).toContain('peer="a\\"b\\\\c\\nd"');
  });
});

describe('counters', () => {
  test('count by kind', async () => {
    const metrics = fresh();
    metrics.probeSent('udp-port');
    metrics.probeSent('udp-port');
    metrics.probeSent('tcp-port');
    metrics.probeLost('udp-port');
    metrics.probeInconclusive('icmp-echo');
    expect(await samplesOf(metrics, 'cni_preflight_probes_sent_total')).toEqual([
      '{kind="udp-port"} 2',
      '{kind="tcp-port"} 1',
    ]);
    expect(await samplesOf(metrics, 'cni_preflight_probes_lost_total')).toEqual([
      '{kind="udp-port"} 1',
    ]);
    expect(await samplesOf(metrics, 'cni_preflight_probes_inconclusive_total')).toEqual([
      '{kind="icmp-echo"} 1',
    ]);
  });

  test('round trips begin at 50 µs', async () => {
    const metrics = fresh();
    metrics.rtt('icmp-echo', 0.00004);
    metrics.rtt('icmp-echo', 0.0003);
    const samples = await samplesOf(metrics, 'cni_preflight_probe_rtt_seconds_bucket');
    expect(samples[0]).toBe('{le="0.00005",kind="icmp-echo"} 1');
    expect(samples.at(-1)).toBe('{le="+Inf",kind="icmp-echo"} 2');
  });

  test('dropped datagrams by reason, of which there is a bounded number', async () => {
    const metrics = fresh();
    metrics.datagramDropped('malformed');
    metrics.datagramDropped('malformed', 4);
    for (let index = 0; index < 100; index += 1) metrics.datagramDropped(`reason-${index}`);
    const samples = await samplesOf(metrics, 'cni_preflight_datagrams_dropped_total');
    expect(samples).toHaveLength(16);
    expect(samples).toContain('{reason="malformed"} 5');
    expect(samples).toContain('{reason="other"} 86');
  });

  test('rounds are timed, and the latest is dated', async () => {
    const metrics = fresh();
    metrics.roundFinished(0.3, 1_795_435_200_500);
    expect(await samplesOf(metrics, 'cni_preflight_last_round_timestamp_seconds')).toEqual([
      '1795435200.5',
    ]);
    expect(await samplesOf(metrics, 'cni_preflight_round_duration_seconds_sum')).toEqual(['0.3']);
  });

  test('the path MTU is the smallest of the latest round', async () => {
    const metrics = fresh();
    const shown = async () => (await samplesOf(metrics, 'cni_preflight_path_mtu_bytes'))[0];
    metrics.pathMtu(1500);
    metrics.pathMtu(1400);
    metrics.pathMtu(1450);
    expect(await shown()).toBe('1400');
    metrics.roundFinished(1, 0);
    expect(await shown()).toBe('1400');
    metrics.roundFinished(1, 0);
    expect(await shown()).toBe('1400');
    metrics.pathMtu(1500);
    expect(await shown()).toBe('1400');
    metrics.roundFinished(1, 0);
    expect(await shown()).toBe('1500');
  });
});

describe('the worst case', () => {
  const metrics = fresh();
  beforeAll(() => {
    const kinds: ProbeKind[] = [
      'icmp-echo',
      'udp-port',
      'tcp-port',
      'ip-protocol',
      'vxlan-path',
      'path-mtu',
      'overlay-path',
      'latency',
      'peer-agreement',
    ];
    for (const kind of kinds) {
      metrics.probeSent(kind);
      metrics.probeLost(kind);
      metrics.probeInconclusive(kind);
      metrics.rtt(kind, 0.001);
    }
    for (let index = 0; index < 50; index += 1) metrics.datagramDropped(`reason-${index}`);
    metrics.pathMtu(1500);
    metrics.roundFinished(1, Date.now());
    const findings = Array.from({ length: 5000 }, (_, index) =>
      failed({
        requirement: `canal.requirement-${index % 90}`,
        level: index % 90 < 30 ? 'recommended' : 'required',
        peer: `worker-${index % 1000}`,
        outcome: index % 3 === 0 ? 'pass' : 'fail',
      }),
    );
    const peers = Array.from({ length: 1000 }, (_, index) => ({
      name: `worker-${index}`,
      address: '10.0.0.2',
      agent: 'unreachable' as const,
    }));
    const rules = Array.from({ length: 4000 }, (_, index) =>
      someFinding({
        kind: 'host-firewall',
        requirement: `canal.requirement-${index % 90}.firewall`,
        peer: `worker-${index % 1000}`,
        direction: index % 4 < 2 ? 'inbound' : 'outbound',
        evidence: { verdict: index % 7 === 0 ? 'drop' : 'accept' },
      }),
    );
    metrics.rulesetChanged();
    metrics.update(someDocument({ findings: [...findings, ...rules], peers }));
  });

  test('is 500 series at most, with 1,000 peers and 90 requirements', async () => {
    const { body } = await metrics.render();
    const series = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    expect(series.length).toBeGreaterThan(450);
    expect(series.length).toBeLessThanOrEqual(500);
  });

  test('leaves out the least of the requirements: what passes', async () => {
    const samples = await samplesOf(metrics, 'cni_preflight_requirement_outcome');
    expect(samples).toHaveLength(240);
    const failures = samples.filter((line) => line.endsWith('outcome="fail"} 1'));
    expect(failures).toHaveLength(60);
    expect(failures.filter((line) => line.includes('level="recommended"'))).toHaveLength(20);
  });

  test('every metric of the documentation is rendered, and the reverse', async () => {
    const { body } = await metrics.render();
    const rendered = [...body.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name);
    const documented = [
      ...generateMetricsDoc().matchAll(/`((?:cni_preflight|process|nodejs)_[a-z0-9_]+)`/g),
    ].map(([, name]) => name);
    expect(new Set(rendered)).toEqual(new Set(documented));
  });
});

test('docs/metrics.md is what the generator writes', async () => {
  const path = new URL('../../../docs/metrics.md', import.meta.url).pathname;
  await expect(generateMetricsDoc()).toMatchFileSnapshot(path);
});

describe('the firewall', () => {
  const rules = { kind: 'host-firewall', requirement: 'canal.vxlan.firewall' } as const;

  test('its verdict is the worst over all peers, by the id of the requirement itself', async () => {
    const metrics = update({
      findings: [
        someFinding({ peer: 'worker-2' }),
        someFinding({ ...rules, peer: 'worker-2', evidence: { verdict: 'accept' } }),
        someFinding({
          ...rules,
          peer: 'worker-2',
          direction: 'inbound',
          evidence: { verdict: 'accept' },
        }),
        someFinding({
          ...rules,
          peer: 'worker-3',
          direction: 'inbound',
          evidence: { verdict: 'drop' },
        }),
      ],
    });
    expect(await samplesOf(metrics, 'cni_preflight_firewall_verdict')).toEqual([
      '{requirement="canal.vxlan",direction="inbound",verdict="drop"} 1',
      '{requirement="canal.vxlan",direction="outbound",verdict="accept"} 1',
    ]);
    expect(await samplesOf(metrics, 'cni_preflight_requirement_outcome')).toHaveLength(4);
  });

  test('what could not be read is undetermined, and goes with its findings', async () => {
    const unreadable = someFinding({
      ...rules,
      peer: 'worker-2',
      outcome: 'unknown',
      reason: 'missing-net-admin',
    });
    const metrics = update({ findings: [unreadable] });
    expect(await samplesOf(metrics, 'cni_preflight_firewall_verdict')).toEqual([
      '{requirement="canal.vxlan",direction="outbound",verdict="undetermined"} 1',
    ]);
    metrics.update(someDocument({ findings: [] }));
    expect(await samplesOf(metrics, 'cni_preflight_firewall_verdict')).toEqual([]);
  });

  test('its changes are counted from 0 on', async () => {
    const metrics = fresh();
    const name = 'cni_preflight_firewall_ruleset_changes_total';
    expect(await samplesOf(metrics, name)).toEqual(['0']);
    metrics.rulesetChanged();
    expect(await samplesOf(metrics, name)).toEqual(['1']);
  });
});
