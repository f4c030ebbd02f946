import { describe, expect, test } from 'vitest';
import { encodeConntrackRequest, readConntrackUsage } from '../../../../checks/host/conntrack.ts';
import { fakeHost } from '../../../support/fake-host.ts';

describe('conntrack', () => {
  test('the question names one tuple without ports', () => {
    const flow = { protocol: 4, source: '10.0.0.1', destination: '10.0.0.2' };
    expect(Buffer.from(encodeConntrackRequest(flow)).toString('hex')).toBe(
      [
        '3800000001010100', // length 56, IPCTNL_MSG_CT_GET, NLM_F_REQUEST
        '0100000000000000',
        '02000000', // AF_INET
        '24000180', // CTA_TUPLE_ORIG
        '14000180', // CTA_TUPLE_IP
        '080001000a000001',
        '080002000a000002',
        '0c000280', // CTA_TUPLE_PROTO
        '0500010004000000',
      ].join(''),
    );
  });

  test('two families make no flow', () => {
    expect(() =>
      encodeConntrackRequest({ protocol: 4, source: '10.0.0.1', destination: '::1' }),
    ).toThrow(/one address family/);
  });

  test.each([
    { name: 'in use', count: '17\n', want: { count: 17, limit: 262_144 } },
    { name: 'not in use', count: undefined, want: undefined },
  ])('usage: $name', async ({ count, want }) => {
    const directory = '/proc/sys/net/netfilter';
    const files = {
      [`${directory}/nf_conntrack_max`]: '262144\n',
      ...(count === undefined ? {} : { [`${directory}/nf_conntrack_count`]: count }),
    };
    expect(await readConntrackUsage(fakeHost({ files }))).toEqual(want);
  });

  test('a usage that may not be read limits nothing, and ends no round', async () => {
    const files = { '/proc/sys/net/netfilter/nf_conntrack_count': { error: 'EACCES' } };
    expect(await readConntrackUsage(fakeHost({ files }))).toBeUndefined();
  });
});
