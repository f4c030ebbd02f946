import { expect, test } from 'vitest';
import { latency } from '../../../checks/latency.ts';
import { fakeNetwork, peerContext, someTarget } from '../../support/fake-network.ts';

async function ask(rtts: readonly (number | undefined)[], maximumMilliseconds = 10) {
  const network = fakeNetwork({
    echo: (n) => {
      const rttSeconds = rtts[n];
      return rttSeconds === undefined ? {} : { replied: true, rttSeconds };
    },
  });
  const answer = await latency.run({ maximumMilliseconds }, someTarget(), peerContext({ network }));
  return { answer, sent: network.sent.echo };
}

test.each<{ name: string; rtts: (number | undefined)[]; want: object }>([
  {
    name: 'a short way',
    rtts: [0.001, 0.002, 0.003, 0.004, 0.005],
    want: { outcome: 'pass', evidence: { rttSeconds: 0.003, smallestRttSeconds: 0.001 } },
  },
  {
    name: 'just the bound',
    rtts: [0.01, 0.01, 0.01, 0.01, 0.01],
    want: { outcome: 'pass', evidence: { rttSeconds: 0.01, maximumSeconds: 0.01 } },
  },
  {
    name: 'a long way',
    rtts: [0.02, 0.011, 0.012, 0.015, 0.013],
    want: { outcome: 'fail', reason: 'latency-too-high', evidence: { rttSeconds: 0.013 } },
  },
  {
    name: 'two slow ones of five',
    rtts: [0.9, 0.001, 0.9, 0.001, 0.001],
    want: { outcome: 'pass', evidence: { rttSeconds: 0.001 } },
  },
  {
    name: 'only one that came back',
    rtts: [0.5, undefined, undefined, undefined, undefined],
    want: { outcome: 'fail', evidence: { rttSeconds: 0.5 } },
  },
])('the median decides: $name', async ({ rtts, want }) => {
  const { answer, sent } = await ask(rtts);
  expect(answer).toMatchObject(want);
  expect(sent).toBe(5);
});

test('a silent peer is asked once', async () => {
  expect(await ask([undefined])).toEqual({
    answer: { outcome: 'unknown', reason: 'no-reply', evidence: { sent: 1 } },
    sent: 1,
  });
});
