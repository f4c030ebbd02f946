/** What drivers and IPv6 of a node are like, asked of the kernel itself; each fault with its remedy, typed. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer } from '../../checks/check.ts';
import { createLab, type Lab, type LabNode } from '../support/lab.ts';
import {
  openRequirements,
  type RequirementQuestion,
  type Requirements,
} from '../support/requirements.ts';

let lab: Lab;
let n1: LabNode;
let requirements: Requirements;
beforeAll(async () => {
  lab = await createLab({ nodes: 1 });
  n1 = lab.node('n1');
  requirements = openRequirements(n1);
});
afterAll(async () => {
  await requirements[Symbol.asyncDispose]();
  await lab[Symbol.asyncDispose]();
});

async function ask(
  requirement: string,
  given: Omit<RequirementQuestion, 'requirement'> = {},
): Promise<Answer> {
  return await requirements.ask({ requirement, underlay: ['e0'], ...given });
}

/** Types the commands that hold for now: those for the next boot would write to files of this machine. */
async function cure(answer: Answer): Promise<void> {
  const remedies = answer.outcome === 'fail' ? (answer.remedy ?? []) : [];
  const commands = remedies.flatMap((one) => one.commands).filter((one) => !/ >> | -i /.test(one));
  expect(commands.length).toBeGreaterThan(0);
  for (const command of commands) await n1.exec('sh', ['-ec', command]);
}

async function features(): Promise<string> {
  return (await n1.exec('ethtool', ['-k', 'e0'])).stdout;
}

describe('what a driver leaves to the hardware', () => {
  const tunnels = ['tx-udp_tnl-segmentation', 'tx-udp_tnl-csum-segmentation'];
  const params = {
    symptom: 'made for this test',
    driver: { of: 'underlay', names: ['veth'], features: tunnels },
  };

  test('is told as ethtool does, and is off after the remedy, and nothing else', async () => {
    const before = await features();
    for (const name of tunnels) expect(before).toContain(`${name}: on`);
    const found = await ask('flannel.vmware-offload', { params });
    expect(found).toMatchObject({
      outcome: 'fail',
      reason: 'known-issue',
      evidence: { interface: 'e0', driver: 'veth', features: tunnels.join(',') },
    });
    await cure(found);
    expect(await ask('flannel.vmware-offload', { params })).toMatchObject({ outcome: 'pass' });
    const changed = (await features())
      .split('\n')
      .filter((line, index) => line !== before.split('\n')[index]);
    expect(changed.map((line) => line.trim())).toEqual(tunnels.map((name) => `${name}: off`));
  });

  test('another driver is none of it', async () => {
    await n1.exec('ethtool', ['-K', 'e0', 'tx-udp_tnl-segmentation', 'on']);
    expect(await ask('flannel.vmware-offload')).toMatchObject({
      outcome: 'pass',
      evidence: { without: 'driver' },
    });
  });
});

describe('IPv6', () => {
  const dual = { set: { ipFamily: 'dual' } };

  test('switched off for devices that come, then on the one that is there', async () => {
    expect(await ask('flannel.ipv6-enabled', dual)).toMatchObject({ outcome: 'pass' });
    await n1.exec('sysctl', ['-qw', 'net.ipv6.conf.default.disable_ipv6=1']);
    const before = await ask('flannel.ipv6-enabled', dual);
    expect(before).toMatchObject({ outcome: 'fail', evidence: { interfaces: 'default' } });
    await n1.ip(['link add cni0 type bridge', 'link set cni0 up']);
    const refused = await n1.exec('ip', ['addr', 'add', 'fd00::1/64', 'dev', 'cni0'], {
      expectExit: 'any',
    });
    expect(refused.exitCode).not.toBe(0);
    const found = await ask('flannel.ipv6-enabled', dual);
    expect(found).toMatchObject({ outcome: 'fail', evidence: { interfaces: 'cni0' } });
    await cure(found);
    expect(await ask('flannel.ipv6-enabled', dual)).toMatchObject({ outcome: 'pass' });
    await n1.ip(['addr add fd00::1/64 dev cni0']);
    await cure(before);
    await n1.ip(['link del cni0']);
    expect(await ask('flannel.ipv6-enabled', dual)).toMatchObject({ outcome: 'pass' });
  });

  test('a default route of an advertisement, on a node that forwards', async () => {
    expect(await ask('flannel.accept-ra', dual)).toMatchObject({ outcome: 'skip' });
    await n1.exec('sysctl', ['-qw', 'net.ipv6.conf.e0.accept_ra=1']);
    await n1.exec(
      'ip',
      '-6 route replace default via fd99:1::fe dev e0 metric 900 proto ra'.split(' '),
    );
    const found = await ask('flannel.accept-ra', dual);
    expect(found).toMatchObject({ outcome: 'fail', evidence: { interfaces: 'e0' } });
    await cure(found);
    expect(await ask('flannel.accept-ra', dual)).toMatchObject({ outcome: 'pass' });
  });
});

describe('filters of tc', () => {
  // What is the provider's own is told by the name: here a classifier stands for it.
  const question = { params: { own: ['u32'] } };
  const filter = async (pref: number, what: string): Promise<void> => {
    await n1.exec('sh', [
      '-ec',
      `tc filter add dev lxc1 ingress protocol all pref ${pref} ${what}`,
    ]);
  };

  test('one of another program is told where it is asked before the own', async () => {
    expect(await ask('cilium.traffic-filters', question)).toMatchObject({ outcome: 'skip' });
    await n1.ip(['link add lxc1 type veth peer name pod1', 'link set lxc1 up']);
    await n1.exec('tc', ['qdisc', 'add', 'dev', 'lxc1', 'clsact']);
    const foreign = "bpf da bytecode '1,6 0 0 0'";
    await filter(20, foreign);
    expect(await ask('cilium.traffic-filters', question)).toMatchObject({ outcome: 'pass' });
    await filter(10, 'u32 match u32 0 0');
    expect(await ask('cilium.traffic-filters', question)).toMatchObject({ outcome: 'pass' });
    await filter(5, foreign);
    expect(await ask('cilium.traffic-filters', question)).toMatchObject({
      outcome: 'fail',
      reason: 'foreign-filter',
      evidence: {
        interface: 'lxc1',
        place: 'tc-ingress',
        filter: 'bpf without a name',
        priority: 5,
      },
    });
    await n1.exec('tc', ['filter', 'del', 'dev', 'lxc1', 'ingress', 'pref', '5']);
    expect(await ask('cilium.traffic-filters', question)).toMatchObject({ outcome: 'pass' });
  });
});

test('tables and counters are read from the kernel that runs', async () => {
  expect(await ask('flannel.conntrack-table')).toMatchObject({ outcome: 'pass' });
  expect(await ask('flannel.conntrack-races')).toMatchObject({ outcome: 'pass' });
  // Only the first network namespace of a machine shows its neighbour tables.
  expect(await ask('flannel.neighbour-table')).toMatchObject({ outcome: 'skip' });
  expect(await ask('flannel.kernel-ip6tables-mark')).toMatchObject({ outcome: 'pass' });
  expect(await ask('flannel.kernel-vxlan-checksum')).toMatchObject({ outcome: 'pass' });
});
