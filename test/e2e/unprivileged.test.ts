/** @module The program without any right: what can be told is told, the rest is unknown and says which right is missing. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusDocument } from '../../agent/model.ts';
import { describe as describeDocument, findingsOf, said, theFinding } from '../support/document.ts';
import { builtProgram, createLab, type Lab, type LabNode } from '../support/lab.ts';

const settings = ['--provider', 'canal', '--timeout', '0.4'];
const slow = { deadlineMs: 60_000 };

let lab: Lab;
let n1: LabNode;
let under: readonly string[];

beforeAll(async () => {
  lab = await createLab({ nodes: 2, ipv6: false });
  n1 = lab.node('n1');
  under = await withoutRights();
  const n2 = lab.node('n2');
  await n2.agent([...settings, '--interval', '2', ...lab.peerArguments(n2)]);
});
afterAll(() => lab[Symbol.asyncDispose]());

describe('without any right', () => {
  test('check tells what it can, calls the rest unknown, and exits 4', async () => {
    const [command = '', ...args] = under;
    const { exitCode, stdout, stderr } = await n1.exec(
      command,
      [
        ...args,
        process.execPath,
        builtProgram(),
        'check',
        ...settings,
        ...lab.peerArguments(n1),
        '--format',
        'json',
      ],
      { expectExit: 'any', environment: { HOME: '/nonexistent' } },
    );
    expect(stderr).toBe('');
    const document: StatusDocument = JSON.parse(stdout);
    expect(exitCode, describeDocument(document)).toBe(4);
    expect(document.readiness).toBe('unknown');
    expectToldAndUnknown(document);
    // The kernel gives this user no ping socket, either.
    expect(said(theFinding(document, outbound('canal.icmp')))).toBe('unknown missing-net-raw');
  });

  test('the kernel lets it ping where ping_group_range does', async () => {
    await n1.exec('sysctl', ['-qw', 'net.ipv4.ping_group_range=0 2147483647']);
    await using agent = await n1.agent([...settings, '--interval', '1', ...lab.peerArguments(n1)], {
      under,
    });
    for (const requirement of ['canal.icmp', 'canal.latency']) {
      await agent.statusWhen(
        `${requirement} by a ping socket`,
        (document) => findingsOf(document, outbound(requirement))[0]?.outcome === 'pass',
        slow,
      );
    }
  });

  test('the agent serves, says unknown, and goes on', async () => {
    await using agent = await n1.agent([...settings, '--interval', '1', ...lab.peerArguments(n1)], {
      under,
    });
    const document = await agent.statusWhen(
      'what it could not look at',
      // The readiness is judged when the round ends.
      (seen) =>
        findingsOf(seen, { requirement: 'canal.vxlan' }).length === 2 &&
        seen.reasons?.some((reason) => reason.includes('missing-net-raw')) === true,
      slow,
    );
    expectToldAndUnknown(document);
    expect(await agent.get('/readyz')).toMatchObject({
      status: 503,
      body: expect.stringContaining('missing-net-raw'),
    });
    await agent.statusWhen('a later round', ({ findings }) =>
      findings.some(({ checkedAt }) => checkedAt > (document.findings[0]?.checkedAt ?? '')),
    );
    expect(await agent.get('/healthz')).toMatchObject({ status: 200 });
    expect(agent.stderr).toBe('');
    expect(agent.stdout).not.toContain('check crashed');
    expect(await agent.stop()).toMatchObject({ exitCode: 0 });
  });
});

/** An ordinary UDP socket probes, but nobody witnesses here. */
function expectToldAndUnknown(document: StatusDocument): void {
  for (const id of ['canal.kernel', 'canal.ip-forward', 'canal.vxlan-owner']) {
    const { outcome } = theFinding(document, { requirement: id });
    expect(`${id} ${outcome}`).toMatch(/ (?:pass|skip)$/);
  }
  expect(said(theFinding(document, outbound('canal.vxlan')))).toBe('pass');
  expect(said(theFinding(document, { requirement: 'canal.vxlan', direction: 'inbound' }))).toBe(
    'unknown missing-net-raw',
  );
  expect(said(theFinding(document, outbound('canal.path-mtu')))).toBe('unknown missing-net-raw');
  expect(document.findings.filter(({ outcome }) => outcome === 'fail')).toEqual([]);
  expect(document.findings.filter(({ reason }) => reason === 'check-crashed')).toEqual([]);
}

function outbound(requirement: string) {
  return { requirement, direction: 'outbound' } as const;
}

/** Runs a command as `nobody` without capabilities; as root without any where no other user exists or may read the checkout. */
async function withoutRights(): Promise<readonly string[]> {
  const nothing = ['--inh-caps=-all', '--bounding-set=-all'];
  const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups', ...nothing];
  const { exitCode } = await n1.exec('setpriv', [...nobody, 'test', '-r', builtProgram()], {
    expectExit: 'any',
  });
  return ['setpriv', ...(exitCode === 0 ? nobody : nothing)];
}
