import { beforeEach, describe, expect, test, vi } from 'vitest';
import { createAssessment } from '../../../agent/assessment.ts';
import { createFirewallReview } from '../../../agent/firewall-review.ts';
import { chooseProvider } from '../../../agent/provider-selection.ts';
import type { FirewallReading, FirewallView } from '../../../checks/host/firewall.ts';
import type { NoticedWipe } from '../../../checks/wiped-rules.ts';
import { openCatalogue } from '../../../rules/catalogue.ts';
import { said } from '../../support/document.ts';
import { peerAddress } from '../../support/fake-network.ts';
import { fakeNode } from '../../support/fake-node.ts';
import { noDiagnoses } from '../../support/findings.ts';
import { decidedByRule, someView } from '../../support/firewall.ts';

const catalogue = await openCatalogue();
const peers = [{ name: 'worker-2', addresses: { ipv4: peerAddress.ipv4 } }];
const path = 'canal.vxlan.firewall';
const wiped = 'canal.firewall-wipe';
type Loaded = Parameters<typeof chooseProvider>[2];

const signal = new AbortController().signal;
const open = someView({});
const dropping = someView({ verdict: 'drop', decidedBy: decidedByRule() });

const wipe: NoticedWipe = {
  owner: 'kube-proxy',
  place: 'nf_tables ip nat',
  family: 'ip',
  what: 'rules',
  lost: 3,
  chains: [],
  elsewhere: [],
  mayBeOwn: false,
  noticedAt: '2026-11-24T04:00:00.000Z',
};

/** An assessment of these requirements whose firewall is what the test says, when the test says it. */
function assess(...only: readonly string[]) {
  let view: FirewallView = open;
  let wipes: readonly NoticedWipe[] = [];
  let passing = Number.POSITIVE_INFINITY;
  let waiting: (() => void)[] = [];
  const node = fakeNode({
    network: { echo: () => ({ replied: true }) },
    host: {
      capabilities: { netRaw: true, netAdmin: true },
      async firewall(): Promise<FirewallReading> {
        if (--passing < 0) await new Promise<void>((resolve) => waiting.push(resolve));
        return { readable: true, view };
      },
    },
  });
  const values = { provider: 'canal', set: {}, only, ignore: [] };
  const assessment = createAssessment({
    node,
    nodeName: 'worker-1',
    catalogue,
    chosen: chooseProvider(
      catalogue,
      'canal',
      { values, origins: {} } as unknown as Loaded,
      [],
      [],
    ),
    values: { timeoutSeconds: 1, tryModules: false, discover: 'static' },
    intervalMs: 3_600_000,
    confirmRounds: 2,
    takesTurns: true,
    everyPeer: false,
    verdictSeconds: () => 60,
    diagnoses: noDiagnoses,
    wipes: () => wipes,
  });
  return {
    assessment,
    change(next: FirewallView, lost: readonly NoticedWipe[] = []): void {
      view = next;
      wipes = lost;
    },
    /** So many readings more, and the next ones wait. */
    allow(count: number): void {
      passing = count;
    },
    waiting: (): number => waiting.length,
    /** Who waits reads the rules as they are now. */
    release(): void {
      passing = Number.POSITIVE_INFINITY;
      for (const resolve of waiting) resolve();
      waiting = [];
    },
    words: (): Readonly<Record<string, string>> =>
      Object.fromEntries(
        assessment.findings().map((finding) => {
          const { requirement, target } = finding;
          const name = target.scope === 'peer' ? target.direction : requirement;
          return [name, said(finding)];
        }),
      ),
  };
}

describe('a review of the firewall', () => {
  test('in the middle of the first round: what was asked is asked again at once, what was not stays for later', async () => {
    const { assessment, change, allow, waiting, release, words } = assess(path);
    // The look at the start of the round, and that of the first of two tests.
    allow(2);
    const round = assessment.round(peers, signal);
    await vi.waitFor(() => {
      expect([words(), waiting()]).toEqual([{ outbound: 'pass' }, 1]);
    });

    change(dropping);
    allow(1);
    await assessment.reviewFirewall(signal);
    expect(words()).toEqual({ outbound: 'fail dropped-by-sender-firewall' });

    release();
    await round;
    expect(words()).toEqual({
      outbound: 'fail dropped-by-sender-firewall',
      inbound: 'fail dropped-by-receiver-firewall',
    });

    // The next round comes in an hour.
    change(open);
    await assessment.reviewFirewall(signal);
    expect(words()).toEqual({ outbound: 'pass', inbound: 'pass' });
  });

  test('asks for wiped rules, too', async () => {
    const { assessment, change, words } = assess(wiped);
    await assessment.round(peers, signal);
    expect(words()).toEqual({ [wiped]: 'pass' });
    change(open, [wipe]);
    await assessment.reviewFirewall(signal);
    expect(words()).toEqual({ [wiped]: 'fail firewall-rules-wiped' });
    expect(assessment.readiness().readiness).toBe('not-ready');
    change(open);
    await assessment.reviewFirewall(signal);
    expect(words()).toEqual({ [wiped]: 'pass' });
    expect(assessment.readiness().readiness).toBe('ready');
  });

  test('asks nothing that is not there to be asked any more', async () => {
    const { assessment, change, waiting, allow, words } = assess(path);
    await assessment.round(peers, signal);
    await assessment.round([], signal);
    expect(words()).toEqual({ [path]: 'skip no-peers' });
    change(dropping);
    allow(0);
    await assessment.reviewFirewall(signal);
    expect(waiting()).toBe(0);
  });
});

describe('after a change of the rules', () => {
  const told: string[] = [];
  const tell = (word: string) => () => {
    told.push(word);
  };
  const review = (given: { readonly hasRoundEnded: boolean; readonly isThere?: boolean }) =>
    createFirewallReview({
      assessment: () =>
        given.isThere === false
          ? undefined
          : { reviewFirewall: async () => await Promise.resolve().then(tell('asked')) },
      hooks: {},
      hasRoundEnded: () => given.hasRoundEnded,
      judge: tell('judged'),
    });
  beforeEach(() => {
    told.length = 0;
  });

  test('all is asked again, then the node is judged', async () => {
    await review({ hasRoundEnded: true })(signal);
    expect(told).toEqual(['asked', 'judged']);
  });

  test('before the first round has ended all is asked again, and the node is not judged yet', async () => {
    await review({ hasRoundEnded: false })(signal);
    expect(told).toEqual(['asked']);
  });

  test('at the end of the agent nothing is judged any more', async () => {
    await review({ hasRoundEnded: true })(AbortSignal.abort());
    expect(told).toEqual(['asked']);
  });

  test('nothing is asked that never was', async () => {
    await review({ hasRoundEnded: false, isThere: false })(signal);
    expect(told).toEqual([]);
  });
});
