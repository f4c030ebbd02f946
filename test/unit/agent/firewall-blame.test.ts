import { expect, test } from 'vitest';
import { blameFirewall } from '../../../agent/firewall-blame.ts';
import { fail, pass } from '../../../checks/check.ts';
import { peerTest } from '../../support/findings.ts';
import { decidedByRule, someView } from '../../support/firewall.ts';

const lost = fail('dropped', { port: 8472, sent: 3 });
const drops = someView({ verdict: 'drop', decidedBy: decidedByRule() });

test('a rule that drops what comes in explains what the peer lost', () => {
  expect(blameFirewall(lost, peerTest(), 'inbound', drops)).toEqual({
    ...lost,
    reason: 'dropped-by-receiver-firewall',
    culprit: {
      where: 'receiver-ingress',
      node: 'peer',
      firewall: expect.objectContaining({ handle: 12, chain: 'input' }),
    },
  });
  expect(drops.asked.at(-1)).toMatchObject({ direction: 'in', destinationPort: 8472 });
});

test('a rule that drops what goes out explains what this node lost', () => {
  expect(blameFirewall(lost, peerTest(), 'outbound', drops)).toMatchObject({
    reason: 'dropped-by-sender-firewall',
    culprit: { where: 'sender-egress', node: 'this', firewall: { handle: 12 } },
  });
});

test('what was seen behind INPUT was lost for another reason than its rules', () => {
  const late = fail('timed-out', { witnessed: 3 });
  expect(blameFirewall(late, peerTest(), 'inbound', drops)).toMatchObject({ reason: 'timed-out' });
  const never = fail('timed-out', { witnessed: 0 });
  expect(blameFirewall(never, peerTest(), 'inbound', drops)).toMatchObject({
    reason: 'dropped-by-receiver-firewall',
  });
});

test('rules that let it pass, or do not tell, or may not be read, add nothing', () => {
  for (const view of [someView({}), someView({ verdict: 'undetermined' }), undefined])
    expect(blameFirewall(lost, peerTest(), 'inbound', view)).toBe(lost);
});

test('what passed needs no explanation, and what no firewall does has another', () => {
  const passed = pass({});
  expect(blameFirewall(passed, peerTest(), 'inbound', drops)).toBe(passed);
  const slow = fail('latency-too-high', {});
  expect(blameFirewall(slow, peerTest(), 'inbound', drops)).toBe(slow);
});

test('who was seen to refuse it stays to blame', () => {
  const refused = fail('rejected-by-firewall', {}, { where: 'receiver-ingress', node: 'peer' });
  expect(blameFirewall(refused, peerTest(), 'outbound', drops)).toBe(refused);
  expect(blameFirewall(refused, peerTest(), 'inbound', drops)).toMatchObject({
    culprit: { where: 'receiver-ingress', firewall: { handle: 12 } },
  });
});

test('a redirect explains only what arrived elsewhere', () => {
  const redirects = someView({ arrives: 'elsewhere', decidedBy: decidedByRule() });
  expect(blameFirewall(lost, peerTest(), 'inbound', redirects)).toBe(lost);
  expect(blameFirewall(fail('rewritten', {}), peerTest(), 'inbound', redirects)).toMatchObject({
    culprit: { where: 'receiver-ingress' },
  });
});

test('a port that must not be reached is nobody’s fault', () => {
  const planned = peerTest();
  const target =
    planned.target.scope === 'peer' ? { ...planned.target, mustReach: false } : planned.target;
  expect(blameFirewall(lost, { ...planned, target }, 'outbound', drops)).toBe(lost);
});
