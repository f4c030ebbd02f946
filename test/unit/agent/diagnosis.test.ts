/** When a failed path is diagnosed, and what of it the answer says. */
import { describe, expect, test } from 'vitest';
import { createDiagnoses, type DiagnosesOptions } from '../../../agent/diagnosis.ts';
import { type Answer, fail, pass, unknown } from '../../../checks/check.ts';
import type { PathEvidence } from '../../../checks/diagnosis/evidence.ts';
import { pathEvidence as path, taking, verdict } from '../../support/evidence.ts';
import { fakeNode } from '../../support/fake-node.ts';
import { nodeTest, peerTest, udpRequirement } from '../../support/findings.ts';
import { decidedByRule, someView } from '../../support/firewall.ts';

const { signal } = new AbortController();
const lost = fail('dropped', { port: 8472, sent: 3 });
const onTheWay = path({ last: 'left' });

function given(
  options: {
    readonly evidence?: PathEvidence | undefined;
    readonly netRaw?: boolean;
    readonly collect?: DiagnosesOptions['collect'];
    readonly view?: ReturnType<typeof someView>;
  } = {},
) {
  const clock = { ms: 0 };
  const collected: string[] = [];
  const { evidence = onTheWay, netRaw = true, view } = options;
  const node = fakeNode({});
  const diagnoses = createDiagnoses({
    node: {
      ...node,
      host: { ...node.host, capabilities: { netRaw, netAdmin: true } },
      firewallView: () => view,
    },
    now: () => clock.ms,
    collect:
      options.collect ??
      (async ({ address }) => {
        collected.push(address);
        return Object.hasOwn(options, 'evidence') ? options.evidence : evidence;
      }),
  });
  const explain = async (answer: Answer, test_ = peerTest()) =>
    await diagnoses.explain(test_, answer, signal);
  return { explain, clock, collected };
}

const reasonOf = (answer: Answer): string =>
  answer.outcome === 'pass' ? 'pass' : `${answer.outcome} ${answer.reason}`;

describe('a failed path', () => {
  test('is diagnosed at once', async () => {
    const { explain, collected } = given();
    expect(reasonOf(await explain(lost))).toBe('fail dropped-on-the-way');
    expect(collected).toEqual(['10.0.0.2']);
  });

  test('is diagnosed again after a minute; until then the last diagnosis stands', async () => {
    const { explain, clock, collected } = given();
    for (const ms of [0, 30_000, 59_999]) {
      clock.ms = ms;
      expect(reasonOf(await explain(lost))).toBe('fail dropped-on-the-way');
    }
    expect(collected).toHaveLength(1);
    clock.ms = 60_000;
    await explain(lost);
    expect(collected).toHaveLength(2);
  });

  test('that fails otherwise within the minute is another failure', async () => {
    const { explain, collected } = given();
    const culprit = { where: 'path', node: 'path' } as const;
    const refusedBy = (rejectedBy: string) =>
      fail('rejected-by-firewall', { port: 8472, rejectedBy }, culprit);
    for (const answer of [
      lost,
      refusedBy('10.0.0.2'),
      refusedBy('10.9.9.9'),
      refusedBy('10.9.9.9'),
    ])
      await explain(answer);
    expect(collected).toHaveLength(3);
  });

  test('that passed in between is a new failure', async () => {
    const { explain, collected } = given();
    await explain(lost);
    expect(await explain(pass({ port: 8472 }))).toEqual(pass({ port: 8472 }));
    expect(reasonOf(await explain(lost))).toBe('fail dropped-on-the-way');
    expect(collected).toHaveLength(2);
  });

  test('of two requirements of one port is one, of two peers or ports are two', async () => {
    const { explain, collected } = given();
    const other = peerTest({ requirement: udpRequirement({ id: 'canal.other' }) });
    await Promise.all([explain(lost), explain(lost, other)]);
    expect(collected).toHaveLength(1);
    await explain(
      lost,
      peerTest({ requirement: { ...udpRequirement(), params: { port: 9, payload: 'zero' } } }),
    );
    expect(collected).toHaveLength(2);
  });

  test('is not diagnosed where nobody may look: the own rules tell what they can', async () => {
    const view = someView({ verdict: 'drop', decidedBy: decidedByRule() });
    for (const blind of [given({ netRaw: false, view }), given({ evidence: undefined, view })]) {
      expect(await blind.explain(lost)).toMatchObject({
        reason: 'dropped-by-sender-firewall',
        culprit: { where: 'sender-egress', node: 'this' },
      });
    }
    expect(await given({ netRaw: false }).explain(lost)).toBe(lost);
  });

  test('that could not be looked at is looked at in the next round', async () => {
    const { explain, collected } = given({ evidence: undefined });
    await explain(lost);
    await explain(lost);
    expect(collected).toHaveLength(2);
  });

  test('of another kind, of this node, or that must fail, stays as it is', async () => {
    const { explain, collected } = given();
    const slow = fail('latency-too-high', {});
    const inverted = peerTest();
    const target =
      inverted.target.scope === 'peer' ? { ...inverted.target, mustReach: false } : inverted.target;
    expect(await explain(slow)).toBe(slow);
    expect(await explain(lost, nodeTest())).toBe(lost);
    expect(await explain(lost, { ...inverted, target })).toBe(lost);
    expect(collected).toEqual([]);
  });

  test('towards a peer of which nothing is heard fails only by what this node itself does', async () => {
    const gone = unknown('peer-unreachable', { port: 8472 });
    const own = path({
      receiver: 'no-agent',
      sender: { rules: { probe: taking('output'), answer: verdict() } },
    });
    expect(reasonOf(await given({ evidence: own }).explain(gone))).toBe(
      'fail dropped-by-sender-firewall',
    );
    const beyond = path({ last: 'left', receiver: 'no-agent' });
    expect(await given({ evidence: beyond }).explain(gone)).toBe(gone);
    expect(await given().explain(unknown('no-witness', {}))).toEqual(unknown('no-witness', {}));
  });
});

test('four at a time, twelve wait, and further ones go without', async () => {
  let open: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  let running = 0;
  let most = 0;
  const { explain } = given({
    collect: async () => {
      running++;
      most = Math.max(most, running);
      await gate;
      running--;
      return onTheWay;
    },
  });
  const answers = Array.from({ length: 20 }, (_, port) =>
    explain(
      lost,
      peerTest({
        requirement: { ...udpRequirement(), params: { port: port + 1, payload: 'zero' } },
      }),
    ),
  );
  // Those that go without do not wait for anybody.
  const without = await Promise.all(answers.slice(16));
  expect(without.map(reasonOf)).toEqual(Array.from({ length: 4 }, () => 'fail dropped'));
  open();
  const others = await Promise.all(answers.slice(0, 16));
  expect(new Set(others.map(reasonOf))).toEqual(new Set(['fail dropped-on-the-way']));
  expect(most).toBe(4);
});
