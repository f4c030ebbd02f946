import { describe, expect, test } from 'vitest';
import {
  canonicalAddress,
  readPeerLines,
  readPeers,
  withoutOwn,
} from '../../../agent/peer-list.ts';

const entries = (...texts: string[]) => texts.map((text) => ({ text, place: '--peer' }));

describe('the peers as an operator writes them', () => {
  test.each([
    { name: 'an IPv4 address', given: ['10.0.0.2'], want: [['10.0.0.2', { ipv4: '10.0.0.2' }]] },
    { name: 'a named one', given: ['10.0.0.2=w2'], want: [['w2', { ipv4: '10.0.0.2' }]] },
    { name: 'IPv6', given: ['fd00::2=w2'], want: [['w2', { ipv6: 'fd00::2' }]] },
    { name: 'brackets', given: ['[fd00::2]=w2'], want: [['w2', { ipv6: 'fd00::2' }]] },
    { name: 'long IPv6', given: ['FD00:0:0::0002'], want: [['fd00::2', { ipv6: 'fd00::2' }]] },
    { name: 'IPv4-mapped', given: ['::ffff:10.0.0.2'], want: [['10.0.0.2', { ipv4: '10.0.0.2' }]] },
    {
      name: 'one name with an address of each family is one peer',
      given: ['10.0.0.2=w2', 'fd00::2=w2', '10.0.0.3'],
      want: [
        ['w2', { ipv4: '10.0.0.2', ipv6: 'fd00::2' }],
        ['10.0.0.3', { ipv4: '10.0.0.3' }],
      ],
    },
  ])('accepts $name', ({ given, want }) => {
    const { peers, problems } = readPeers(entries(...given));
    expect(problems).toEqual([]);
    expect(peers.map(({ name, addresses }) => [name, addresses])).toEqual(want);
  });

  test.each([
    {
      given: ['worker-2'],
      want: '"worker-2" is not an address: write ADDR=worker-2, or use --discover dns',
    },
    {
      given: ['worker-2=10.0.0.2'],
      want: '"worker-2=10.0.0.2" is the wrong way round: write 10.0.0.2=worker-2',
    },
    {
      given: ['10.0.0.2:10472'],
      want: '"10.0.0.2:10472": a peer has no port of its own: write 10.0.0.2',
    },
    {
      given: ['10.0.0.2:99999'],
      want: '"10.0.0.2:99999": port 99999 is out of range, and a peer has no port of its own: write 10.0.0.2',
    },
    {
      given: ['[fd00::2]:8472'],
      want: '"[fd00::2]:8472": a peer has no port of its own: write [fd00::2]',
    },
    { given: ['10.0.0'], want: '"10.0.0" is not a whole IPv4 or IPv6 address' },
    { given: ['10.0.0.256=x'], want: '"10.0.0.256" is not a whole IPv4 or IPv6 address' },
    { given: ['10.0.0.0/24'], want: '"10.0.0.0/24" is not a whole IPv4 or IPv6 address' },
    { given: ['fd00:::2'], want: '"fd00:::2" is not a whole IPv4 or IPv6 address' },
    {
      given: ['fe80::1%eth0'],
      want: '"fe80::1%eth0" has a zone, which means something on one node only: write a global or unique local address',
    },
    { given: ['0.0.0.0'], want: '"0.0.0.0" is the unspecified address, not the address of a node' },
    { given: ['ff02::1'], want: '"ff02::1" is a multicast address, not the address of a node' },
    {
      given: ['10.0.0.2='],
      want: '"10.0.0.2=" has an empty name: write 10.0.0.2 or 10.0.0.2=NAME',
    },
    {
      given: ['10.0.0.2=a b'],
      want: '"a b" is not a name for a peer: letters, digits, dots, dashes and underscores only',
    },
    { given: [''], want: 'a peer is empty: write ADDR or ADDR=NAME' },
    {
      given: ['10.0.0.2=w2', '10.0.0.3=w2'],
      want: 'two peers are named "w2": 10.0.0.2 (--peer) and 10.0.0.3; give each its own name',
    },
    {
      given: ['10.0.0.2=w2', '10.0.0.2=w3'],
      want: '10.0.0.2 is named "w3" here and "w2" in --peer: give it one name',
    },
  ])('refuses $given', ({ given, want }) => {
    expect(readPeers(entries(...given)).problems).toEqual([{ place: '--peer', message: want }]);
  });

  test('a repeated address counts once, keeps the name it was given anywhere, and is said once', () => {
    const { peers, notes } = readPeers(
      entries('10.0.0.2', '10.0.0.2=w2', '10.0.0.2', 'fd00::2', 'fd00:0::2'),
    );
    expect(peers.map(({ name }) => name)).toEqual(['w2', 'fd00::2']);
    expect(notes).toEqual([
      'peer 10.0.0.2 is listed more than once and counts once',
      'peer fd00::2 is listed more than once and counts once',
    ]);
  });

  test('the own node is left out with all its addresses, and said', () => {
    const { peers } = readPeers(entries('10.0.0.1=w1', 'fd00::1=w1', '10.0.0.2=w2', '10.0.0.3'));
    const others = withoutOwn(peers, ['127.0.0.1', 'FD00:0::1', '10.0.0.3']);
    expect(others.peers.map(({ name }) => name)).toEqual(['w2']);
    expect(others.notes).toEqual([
      'peer fd00::1 (w1) is this node and is left out',
      'peer 10.0.0.3 is this node and is left out',
    ]);
  });

  test('a file has one peer a line, in either form, with comments', () => {
    const text =
      '# nodes\n10.0.0.1 w1\n\n10.0.0.2=w2 # the second\r\n  - "10.0.0.3"\nfd00::4\tw4\n';
    expect(readPeerLines(text, 'nodes')).toEqual([
      { text: '10.0.0.1=w1', place: 'nodes:2' },
      { text: '10.0.0.2=w2', place: 'nodes:4' },
      { text: '10.0.0.3', place: 'nodes:5' },
      { text: 'fd00::4=w4', place: 'nodes:6' },
    ]);
  });

  test.each([
    { given: '010.0.0.1', want: undefined },
    { given: 'localhost', want: undefined },
    { given: '2001:DB8:0:0:0:0:0:1', want: '2001:db8::1' },
  ])('writes $given in one way', ({ given, want }) => {
    expect(canonicalAddress(given)).toBe(want);
  });
});
