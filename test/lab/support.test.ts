import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLab, type Lab } from '../support/lab.ts';
import { until } from '../support/wait.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await createLab({ nodes: 3 });
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
});

/** Exit code of one ping: 0 answered, 1 silence, 2 refused by the own stack. */
async function ping(own: string, destination: string, ...options: string[]): Promise<number> {
  const args = ['-n', '-q', '-c', '1', '-W', '1', ...options, destination];
  const { exitCode } = await lab.node(own).exec('ping', args, { expectExit: [0, 1, 2] });
  return exitCode;
}

describe('a lab', () => {
  test('carries packets between all of its nodes, in both families', async () => {
    for (const { name } of lab.nodes) {
      for (const { address4, address6 } of lab.nodes) {
        expect(await ping(name, address4), `${name} to ${address4}`).toBe(0);
        expect(await ping(name, address6), `${name} to ${address6}`).toBe(0);
      }
    }
  });

  test('loses only what a rule drops, only in its direction, and only while the rule stands', async () => {
    const { address4 } = lab.node('n2');
    {
      await using fault = await lab
        .node('n2')
        .chain('input', ['icmp type echo-request ip saddr 10.99.1.2 counter drop']);
      expect(await ping('n1', address4)).toBe(1);
      expect(await fault.packets()).toBe(1);
      expect(await ping('n3', address4)).toBe(0);
      expect(await ping('n2', lab.node('n1').address4)).toBe(0);
    }
    expect(await ping('n1', address4)).toBe(0);
  });

  test('has a router that can drop one way only', async () => {
    await using _ = await lab.router.chain('forward', 'iifname "e1" icmpv6 type echo-request drop');
    expect(await ping('n1', lab.node('n2').address6)).toBe(1);
    expect(await ping('n2', lab.node('n1').address6)).toBe(0);
  });

  test('cuts the path MTU to one node only, and the router says so', async () => {
    await lab.router.pathMtu(lab.node('n2'), 1400);
    const [own, narrow, wide] = [lab.node('n1'), lab.node('n2'), lab.node('n3')];
    for (const header of [20, 40]) {
      const address = header === 20 ? 'address4' : 'address6';
      const size = (packetBytes: number): string[] => [
        '-M',
        'do',
        '-s',
        `${packetBytes - header - 8}`,
      ];
      expect(await ping('n1', narrow[address], ...size(1400))).toBe(0);
      expect(await ping('n1', narrow[address], ...size(1401))).toBe(1);
      expect(await ping('n1', wide[address], ...size(1500))).toBe(0);
      const { stdout } = await own.exec('ip', ['route', 'get', narrow[address]]);
      expect(stdout).toContain('mtu 1400');
    }
    await lab.router.pathMtu(narrow, 1500);
    await own.exec('ip', ['route', 'flush', 'cache']);
    await own.exec('ip', ['-6', 'route', 'flush', 'cache']);
  });

  test('can be a black hole', async () => {
    const narrow = lab.node('n3');
    await lab.router.pathMtu(narrow, 1400);
    await using silence = await lab.router.silence();
    const own = lab.node('n1');
    for (const address of [narrow.address4, narrow.address6]) {
      expect(await ping('n1', address, '-M', 'do', '-s', '1440')).toBe(1);
      const { stdout } = await own.exec('ip', ['route', 'get', address]);
      expect(stdout).not.toContain('mtu');
    }
    expect(await silence.packets()).toBe(2);
    await lab.router.pathMtu(narrow, 1500);
  });

  test('gives every node a name, hands for HTTP, and ports that listen', async () => {
    const n2 = lab.node('n2');
    const url = `http://${n2.address4}:8080/`;
    {
      await using _ = await n2.listen(8080, '0.0.0.0', 'hello');
      expect(await lab.node('n1').http(url)).toMatchObject({ status: 200, body: 'hello' });
    }
    await expect(lab.node('n1').http(url)).rejects.toThrow('ECONNREFUSED');
  });

  test('sees every change of a host, and none where nothing changed', async () => {
    const [own, ...peers] = lab.nodes;
    if (own === undefined) throw new Error('no node');
    const before = await own.snapshotHost(peers);
    expect(await own.snapshotHost(peers)).toEqual(before);
    const changes: Record<string, readonly [string[], string[]]> = {
      links: [
        ['ip', 'link', 'set', 'e0', 'mtu', '1499'],
        ['ip', 'link', 'set', 'e0', 'mtu', '1500'],
      ],
      sysctls: [
        ['sysctl', '-qw', 'net.ipv4.ip_default_ttl=63'],
        ['sysctl', '-qw', 'net.ipv4.ip_default_ttl=64'],
      ],
      'nft ruleset': [
        ['nft', 'add table ip x'],
        ['nft', 'delete table ip x'],
      ],
      ipsets: [
        ['ipset', 'create', 'x', 'hash:ip'],
        ['ipset', 'destroy', 'x'],
      ],
      'queueing disciplines': [
        ['tc', 'qdisc', 'add', 'dev', 'e0', 'clsact'],
        ['tc', 'qdisc', 'del', 'dev', 'e0', 'clsact'],
      ],
      'rules, IPv6': [
        ['ip', '-6', 'rule', 'add', 'fwmark', '9', 'lookup', '100'],
        ['ip', '-6', 'rule', 'del', 'fwmark', '9'],
      ],
    };
    for (const [topic, [change, undo]] of Object.entries(changes)) {
      await own.exec(change[0] ?? '', change.slice(1));
      expect((await own.snapshotHost(peers))[topic], topic).not.toBe(before[topic]);
      await own.exec(undo[0] ?? '', undo.slice(1));
    }
    expect(await own.snapshotHost(peers)).toEqual(before);
  });

  test('sees a legacy table that somebody asked for', async () => {
    await using other = await createLab({ nodes: 1, ipv6: false });
    const own = other.node('n1');
    const before = await own.snapshotHost([]);
    await own.exec('iptables-legacy', ['-S']);
    expect((await own.snapshotHost([]))['iptables tables']).toBe(
      `${before['iptables tables']}filter\n`,
    );
  });

  test('leaves no namespace behind', async () => {
    const namespaces = async (): Promise<readonly string[]> =>
      (await lab.router.exec('ip', ['netns', 'list'])).stdout
        .split('\n')
        .map((line) => line.split(' ')[0] ?? '');
    let own: readonly string[];
    {
      await using other = await createLab({ nodes: 2, mtu: 1400 });
      own = [other.router, ...other.nodes].map(({ namespace }) => namespace);
      expect(await namespaces()).toEqual(expect.arrayContaining([...own]));
    }
    // Labs of other test files come and go at the same time.
    expect((await namespaces()).filter((name) => own.includes(name))).toEqual([]);
  });

  test('prints what it saw last when a wait was in vain', async () => {
    let looks = 0;
    const waiting = until('the cows come home', async () => undefined, {
      deadlineMs: 100,
      describe: () => `${++looks} look`,
    });
    await expect(waiting).rejects.toThrow(/cows come home\n1 look/);
  });
});
