import { describe, expect, test } from 'vitest';
import { decodeNeighbour, encodeNeighbourRequest } from '../../../../checks/host/neighbour.ts';
import { readReversePathFilter } from '../../../../checks/host/reverse-path.ts';
import { fakeHost } from '../../../support/fake-host.ts';
import { address, hex, truncations } from '../packet/support.ts';

const entry = hex(`
  02 00 0000          # AF_INET
  03000000            # interface 3
  0200 00 01          # NUD_REACHABLE, no flags, RTN_UNICAST
  0800 0100 0a000001  # NDA_DST 10.0.0.1
  0a00 0200 020000000001 0000  # NDA_LLADDR
`);

describe('neighbours', () => {
  test('the question names one next hop on one interface', () => {
    expect(Buffer.from(encodeNeighbourRequest(address('10.0.0.1'), 3)).toString('hex')).toBe(
      ['02000000', '03000000', '00000000', '08000100', '0a000001'].join(''),
    );
  });

  test('an entry', () => {
    expect(decodeNeighbour(entry)).toEqual({
      index: 3,
      destination: new Uint8Array([10, 0, 0, 1]),
      state: 'reachable',
      linkAddress: '02:00:00:00:00:01',
    });
  });

  test.each([
    [0x00, 'none'],
    [0x01, 'incomplete'],
    [0x04, 'stale'],
    [0x08, 'delay'],
    [0x10, 'probe'],
    [0x20, 'failed'],
    [0x40, 'noarp'],
    [0x80, 'permanent'],
  ])('state %i is %s', (bits, state) => {
    const copy = Uint8Array.from(entry);
    copy[8] = bits;
    expect(decodeNeighbour(copy)?.state).toBe(state);
  });

  test('what is cut or says nothing is no entry', () => {
    for (const cut of truncations(entry)) decodeNeighbour(cut);
    expect(decodeNeighbour(entry.subarray(0, 12))).toBeUndefined();
  });
});

describe('the reverse path filter in force', () => {
  const files = (all: string, own: string) => ({
    '/proc/sys/net/ipv4/conf/all/rp_filter': all,
    '/proc/sys/net/ipv4/conf/eth0.7/rp_filter': own,
  });

  test.each([
    ['0\n', '0\n', 0],
    ['0\n', '1\n', 1],
    ['2\n', '1\n', 2],
    ['1\n', '0\n', 1],
    ['', '1\n', undefined],
    ['9\n', '1\n', undefined],
  ])('all %j, its own %j', async (all, own, want) => {
    expect(await readReversePathFilter(fakeHost({ files: files(all, own) }), 'eth0.7')).toBe(want);
  });

  test('of an interface that is not there, or has no name of one', async () => {
    const host = fakeHost({ files: files('1\n', '1\n') });
    for (const name of ['eth1', '../all', '', 'a b'])
      expect(await readReversePathFilter(host, name)).toBeUndefined();
    const denied = fakeHost({
      files: { '/proc/sys/net/ipv4/conf/all/rp_filter': { error: 'EACCES' } },
    });
    expect(await readReversePathFilter(denied, 'eth0')).toBeUndefined();
  });
});
