import { describe, expect, test } from 'vitest';
import type { Configuration } from '../../../agent/config.ts';
import { createDiscovery } from '../../../agent/discovery.ts';
import type { Peer } from '../../../agent/peer-list.ts';

const staticPeers: readonly Peer[] = [{ name: 'worker-2', addresses: { ipv4: '192.0.2.2' } }];
type Names = Record<string, readonly string[] | Error>;

function discovery(
  given: {
    readonly names?: () => Names;
    readonly peers?: readonly Peer[];
    readonly discover?: Configuration['discover'];
    readonly own?: readonly string[];
  } = {},
) {
  const problems: string[] = [];
  const names: () => Names = given.names ?? (() => ({}));
  const made = createDiscovery(
    {
      peers: given.peers ?? [],
      discover: given.discover ?? 'dns',
      discoverName: Object.keys(names()),
    },
    {
      ownAddresses: async () => given.own ?? [],
      onProblem: (name) => {
        problems.push(name);
      },
      resolve: async (name) => {
        const said = names()[name] ?? new Error('ENOTFOUND');
        if (said instanceof Error) throw said;
        return said;
      },
    },
  );
  return { find: async () => await made.find(), problems };
}

test('without discovery the peers are those of the configuration', async () => {
  expect(await discovery({ peers: staticPeers, discover: 'static' }).find()).toBe(staticPeers);
});

describe('names', () => {
  test.each<{ name: string; addresses: readonly string[]; want: readonly Peer[] }>([
    {
      name: 'of one node are its name',
      addresses: ['192.0.2.3', '2001:db8::3'],
      want: [{ name: 'nodes', addresses: { ipv4: '192.0.2.3', ipv6: '2001:db8::3' } }],
    },
    {
      name: 'of many nodes leave them their addresses',
      addresses: ['192.0.2.3', '192.0.2.4', '2001:db8::3'],
      want: [
        { name: '192.0.2.3', addresses: { ipv4: '192.0.2.3' } },
        { name: '192.0.2.4', addresses: { ipv4: '192.0.2.4' } },
        { name: '2001:db8::3', addresses: { ipv6: '2001:db8::3' } },
      ],
    },
    { name: 'without an address give no peer', addresses: [], want: [] },
  ])('$name', async ({ addresses, want }) => {
    expect(await discovery({ names: () => ({ nodes: addresses }) }).find()).toEqual(want);
  });

  test('come on top of the configured peers, each address once', async () => {
    const names = () => ({
      nodes: ['192.0.2.2', '192.0.2.3', '192.0.2.4'],
      more: ['192.0.2.4', '192.0.2.5'],
    });
    const found = await discovery({ peers: staticPeers, names }).find();
    expect(found.map(({ name, addresses }) => [name, addresses.ipv4])).toEqual([
      ['worker-2', '192.0.2.2'],
      ['192.0.2.3', '192.0.2.3'],
      ['192.0.2.4', '192.0.2.4'],
      ['more', '192.0.2.5'],
    ]);
  });

  test('include this node, which is left out', async () => {
    const names = () => ({ nodes: ['192.0.2.1', '192.0.2.3', '192.0.2.4'] });
    const found = await discovery({ names, own: ['192.0.2.1', '127.0.0.1'] }).find();
    expect(found.map(({ name }) => name)).toEqual(['192.0.2.3', '192.0.2.4']);
  });

  test('are asked anew each time', async () => {
    let nodes = ['192.0.2.3', '192.0.2.4'];
    const made = discovery({ names: () => ({ nodes }) });
    await made.find();
    nodes = ['192.0.2.4', '192.0.2.5'];
    expect((await made.find()).map(({ name }) => name)).toEqual(['192.0.2.4', '192.0.2.5']);
  });

  test('that fail keep what they had, and are told', async () => {
    let nodes: readonly string[] | Error = ['192.0.2.3'];
    const made = discovery({ names: () => ({ nodes, never: new Error('ENOTFOUND') }) });
    await made.find();
    nodes = new Error('ETIMEOUT');
    expect(await made.find()).toEqual([{ name: 'nodes', addresses: { ipv4: '192.0.2.3' } }]);
    expect(made.problems).toEqual(['never', 'nodes', 'never']);
  });

  test('that resolve to the whole world do not fill the memory', async () => {
    const nodes = Array.from(
      { length: 12_000 },
      (_, n) => `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`,
    );
    expect(await discovery({ names: () => ({ nodes }) }).find()).toHaveLength(10_000);
  });
});
