import { expect, test } from 'vitest';
import type { OverlayFacts } from '../../../checks/check.ts';
import { peerAgreement } from '../../../checks/peer-agreement.ts';
import {
  fakeNetwork,
  fakePeer,
  noAgent,
  peerContext,
  someFacts,
  someTarget,
} from '../../support/fake-network.ts';

const fields = ['provider', 'encapsulation', 'vni', 'port', 'mtu'] as const;
const facts: OverlayFacts = {
  provider: 'canal',
  encapsulation: 'vxlan',
  vni: 1,
  port: 8472,
  mtu: 1450,
};

async function ask(here: Partial<OverlayFacts>, there: Partial<OverlayFacts>) {
  const peer = fakePeer({ facts: someFacts({ ...facts, ...there }) });
  const context = peerContext({ peer, facts: { ...facts, ...here } });
  return await peerAgreement.run({ fields: [...fields] }, someTarget(), context);
}

test('two nodes that run the same agree', async () => {
  expect(await ask({}, {})).toMatchObject({
    outcome: 'pass',
    evidence: { portHere: 8472, portThere: 8472, encapsulationHere: 'vxlan' },
  });
});

test.each<{ field: (typeof fields)[number]; there: Partial<OverlayFacts> }>([
  { field: 'provider', there: { provider: 'flannel' } },
  { field: 'encapsulation', there: { encapsulation: 'ipip' } },
  { field: 'vni', there: { vni: 4096 } },
  { field: 'port', there: { port: 4789 } },
  { field: 'mtu', there: { mtu: 1400 } },
])('another $field is a disagreement', async ({ field, there }) => {
  expect(await ask({}, there)).toMatchObject({
    outcome: 'fail',
    reason: 'peer-disagrees',
    evidence: { [`${field}Here`]: facts[field], [`${field}There`]: there[field] },
  });
});

test.each<{ name: string; here: Partial<OverlayFacts>; there: Partial<OverlayFacts> }>([
  { name: 'here', here: { vni: 0, encapsulation: '' }, there: { vni: 7, encapsulation: 'ipip' } },
  { name: 'there', here: {}, there: { vni: 0, encapsulation: '' } },
])('what is not known $name is not compared', async ({ here, there }) => {
  const answer = await ask(here, there);
  expect(answer.outcome).toBe('pass');
  expect(Object.keys(answer.evidence ?? {}).join()).not.toMatch(/vni|encapsulation/);
});

test('nothing known on one side does not apply', async () => {
  const nothing: OverlayFacts = { provider: '', encapsulation: '', vni: 0, port: 0, mtu: 0 };
  expect(await ask(nothing, {})).toMatchObject({ outcome: 'skip', reason: 'not-applicable' });
});

test.each([
  { replied: true, reason: 'no-witness' },
  { replied: false, reason: 'peer-unreachable' },
])('without an agent it is unknown: $reason', async ({ replied, reason }) => {
  const network = fakeNetwork({ echo: () => ({ replied }), tcp: () => ({}) });
  const context = peerContext({ network, peer: noAgent, facts });
  const answer = await peerAgreement.run({ fields: ['vni'] }, someTarget(), context);
  expect(answer).toMatchObject({ outcome: 'unknown', reason });
});
