import { describe, expect, test } from 'vitest';
import type { Answer, Context } from '../../../checks/check.ts';
import { firewallWipe } from '../../../checks/firewall-wipe.ts';
import type { FirewallReading } from '../../../checks/host/firewall.ts';
import type { NoticedWipe } from '../../../checks/wiped-rules.ts';
import { openCatalogue } from '../../../rules/catalogue.ts';
import { fakeContext, fakeHost } from '../../support/fake-host.ts';
import { someView } from '../../support/firewall.ts';

const { ruleOwners } = await openCatalogue();
const readable: FirewallReading = {
  readable: true,
  view: someView({}),
};

const nft = { pid: 42, name: 'nft' };
function wipe(given: Partial<NoticedWipe> = {}): NoticedWipe {
  return {
    owner: 'kube-proxy',
    place: 'nf_tables ip nat',
    family: 'ip',
    what: 'rules',
    lost: 12,
    chains: [],
    elsewhere: [],
    mayBeOwn: false,
    process: nft,
    noticedAt: '2026-11-24T04:00:00.000Z',
    ...given,
  };
}

type Given = Partial<Pick<Context, 'options' | 'distribution' | 'facts'>> & {
  readonly reading?: FirewallReading;
};

async function ask(wipes: Context['wipes'], given: Given = {}): Promise<Answer> {
  const { reading = readable, ...rest } = given;
  const context = fakeContext({
    host: { ...fakeHost({}), firewall: async () => reading },
    ruleOwners,
    ...(wipes === undefined ? {} : { wipes }),
    ...rest,
  });
  return await firewallWipe.run({}, { scope: 'node' }, context);
}

function word(answer: Answer): string {
  return answer.outcome === 'pass' ? 'pass' : `${answer.outcome} ${answer.reason}`;
}

const runs = (provider: string): Pick<Context, 'facts'> => ({
  facts: { provider, encapsulation: 'vxlan', vni: 1, port: 8472, mtu: 1450 },
});

describe('the check of wiped rules', () => {
  test('fails with whose rules went, from where, by whom, and how they come back', async () => {
    expect(await ask(() => [wipe()])).toEqual({
      outcome: 'fail',
      reason: 'firewall-rules-wiped',
      culprit: { where: 'node', node: 'this' },
      evidence: {
        owners: 'kube-proxy',
        lost: '12 rules of nf_tables ip nat',
        noticedAt: '2026-11-24T04:00:00.000Z',
        process: 'nft',
        pid: 42,
        advice: expect.stringContaining('flush ruleset') as string,
      },
      remedy: [
        {
          manager: 'kube-proxy',
          commands: [
            'kubectl -n kube-system delete pod -l k8s-app=kube-proxy --field-selector spec.nodeName=NODE',
          ],
        },
      ],
    });
  });

  test('puts what one process took from several owners into one finding', async () => {
    const answer = await ask(
      () => [
        wipe({ noticedAt: '2026-11-24T04:00:02.000Z' }),
        wipe({ owner: 'calico', lost: 1 }),
        wipe({ owner: 'flannel', what: 'entries', chains: ['FORWARD', 'INPUT'] }),
      ],
      runs('canal'),
    );
    expect(answer.evidence).toMatchObject({
      owners: 'kube-proxy, Calico, flannel',
      lost: '12 rules of nf_tables ip nat; 1 rule of nf_tables ip nat; the way from FORWARD and INPUT into its chains of nf_tables ip nat',
      noticedAt: '2026-11-24T04:00:00.000Z',
      pid: 42,
    });
    // Both come back with one pod.
    expect(answer.outcome === 'fail' && answer.remedy?.map(({ manager }) => manager)).toEqual([
      'kube-proxy',
      'calico',
    ]);
  });

  test.each([
    { distribution: 'rke2', want: "systemctl restart 'rke2-*'" },
    { distribution: 'k3s', want: "systemctl restart 'k3s*'" },
    { distribution: 'rke', want: 'docker restart kube-proxy' },
  ])('knows how kube-proxy comes back on $distribution', async ({ distribution, want }) => {
    const answer = await ask(() => [wipe()], { distribution });
    expect(answer.outcome === 'fail' && answer.remedy?.[0]?.commands).toEqual([want]);
  });

  test('names processes, and no pid, where there were several', async () => {
    const firewalld = { pid: 7, name: 'firewalld' };
    const { evidence = {} } = await ask(() => [wipe(), wipe({ process: firewalld })]);
    expect(evidence).toMatchObject({ process: 'nft, firewalld' });
    expect(evidence).not.toHaveProperty('pid');
    expect(evidence).not.toHaveProperty('advice');
  });

  test('gives no advice where its owner may have done it', async () => {
    const { evidence = {} } = await ask(() => [wipe({ mayBeOwn: true })]);
    expect(evidence).toMatchObject({ process: 'nft', pid: 42 });
    expect(evidence).not.toHaveProperty('advice');
  });

  test('names nobody where nobody is known', async () => {
    const { process: _, ...nameless } = wipe();
    const { evidence = {} } = await ask(() => [nameless]);
    expect(Object.keys(evidence)).toEqual(['owners', 'lost', 'noticedAt']);
  });

  const denied: FirewallReading = { readable: false, reason: 'missing-net-admin', why: 'no' };
  test.each([
    { name: 'nothing was wiped', wipes: () => [], given: {}, want: 'pass' },
    { name: 'a single look', wipes: undefined, given: {}, want: 'skip no-history' },
    { name: 'nobody has looked yet', wipes: () => undefined, given: {}, want: 'skip no-history' },
    {
      name: 'the rules may not be read, whatever was there before',
      wipes: () => [wipe()],
      given: { reading: denied },
      want: 'unknown missing-net-admin',
    },
    {
      name: 'what another provider left behind has gone',
      wipes: () => [wipe({ owner: 'calico' }), wipe({ owner: 'weave' })],
      given: runs('flannel'),
      want: 'pass',
    },
    {
      name: 'the same, of the provider that runs',
      wipes: () => [wipe({ owner: 'calico' })],
      given: runs('calico'),
      want: 'fail firewall-rules-wiped',
    },
    {
      name: 'kube-proxy, which Cilium replaces',
      wipes: () => [wipe()],
      given: { ...runs('cilium'), options: { kubeProxyReplacement: true } },
      want: 'pass',
    },
    {
      name: 'kube-proxy, which Cilium does not replace',
      wipes: () => [wipe()],
      given: { ...runs('cilium'), options: { kubeProxyReplacement: false } },
      want: 'fail firewall-rules-wiped',
    },
    {
      name: 'an owner that the catalogue does not have any more',
      wipes: () => [wipe({ owner: 'kitewire' })],
      given: {},
      want: 'pass',
    },
  ])('$name: $want', async ({ wipes, given, want }) => {
    expect(word(await ask(wipes, given))).toBe(want);
  });
});
