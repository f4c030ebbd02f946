import { describe, expect, test } from 'vitest';
import { decodeDiag, encodeDiagRequest, parseProcNet } from '../../../../checks/host/owners.ts';

// Captured from Linux 6.18: the IPv4 socket of an external VXLAN device on 4789.
const kernelSocket = Buffer.from(
  [
    '02070000', // AF_INET, TCP_CLOSE
    '12b50000', // source port 4789, destination port
    '00'.repeat(32), // addresses
    '00000000', // interface
    '0900000000000000', // cookie
    '00'.repeat(12), // expires, rqueue, wqueue
    '00000000', // uid
    'c60e0100', // inode 69318
    '0500080000000000',
  ].join(''),
  'hex',
);

describe('sock_diag', () => {
  test('the request asks the kernel to compare the port', () => {
    expect(
      Buffer.from(encodeDiagRequest(2, { transport: 'udp', port: 8472 })).toString('hex'),
    ).toBe(
      [
        '48000000', // length 72
        '1400', // SOCK_DIAG_BY_FAMILY
        '0103', // NLM_F_REQUEST | NLM_F_DUMP
        '01000000', // sequence
        '00000000', // port id
        '02110000', // AF_INET, IPPROTO_UDP
        '80000000', // 1 << TCP_CLOSE
        '21180000', // 8472
        '00'.repeat(44),
      ].join(''),
    );
  });

  test('the socket of a VXLAN device has an inode like any other', () => {
    expect(decodeDiag(kernelSocket, 'udp')).toEqual({
      transport: 'udp',
      family: 'ipv4',
      address: '0.0.0.0',
      port: 4789,
      uid: 0,
      inode: 69_318,
    });
  });

  test('a socket in another state is not an owner', () => {
    expect(decodeDiag(kernelSocket, 'tcp')).toBeUndefined();
  });

  test('no truncation throws', () => {
    for (let length = 0; length < 72; length++) {
      expect(decodeDiag(kernelSocket.subarray(0, length), 'udp')).toBeUndefined();
    }
  });
});

describe('/proc/net', () => {
  const udp = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 7564: 00000000:2118 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 15665 2 00000000bed4788c 0
 7565: 0100007F:0035 0100007F:9999 01 00000000:00000000 00:00000000 00000000   101        0 15666 2 00000000bed4788c 0
`;
  const tcp6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1234 1
   1: B80D0120000000000000000001000000:01BB 00000000000000000000000000000000:0000 01 00000000:00000000 00:00000000 00000000  1000        0 1235 1
`;

  test('a bound UDP socket is an owner, a connected one is not', () => {
    expect(parseProcNet(udp, 'udp', 'ipv4')).toEqual([
      { transport: 'udp', family: 'ipv4', address: '0.0.0.0', port: 8472, uid: 0, inode: 15_665 },
    ]);
  });

  test('a listening TCP socket is an owner, a connection is not', () => {
    expect(parseProcNet(tcp6, 'tcp', 'ipv6')).toEqual([
      { transport: 'tcp', family: 'ipv6', address: '::1', port: 8080, uid: 1000, inode: 1234 },
    ]);
  });

  test.each(['', 'header', 'header\n\n', 'header\n 1: zz:zz', 'header\n0: 00:00 x 07'])(
    'nothing is taken from %j',
    (text) => {
      expect(parseProcNet(text, 'udp', 'ipv4')).toEqual([]);
    },
  );
});
