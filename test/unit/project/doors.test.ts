import { describe, expect, test } from 'vitest';
import { filesWith, sources } from '../../support/sources.ts';

/** The differential test is not published, and does to its own namespaces what it likes. */
const product = new Map(
  [...sources('agent', 'checks', 'rules', 'nftables')].filter(
    ([path]) => !path.startsWith('nftables/differential/'),
  ),
);

describe('what the program can do to a node is answered by a few files', () => {
  test.each([
    {
      what: 'starts processes',
      pattern: /['"](node:)?child_process['"]/,
      in: ['checks/host/exec.ts'],
    },
    { what: 'reads the environment', pattern: /process\.env\b/, in: ['agent/config.ts'] },
    { what: 'ends the process', pattern: /process\.exit\(/, in: ['agent/main.ts'] },
    { what: 'creates metrics', pattern: /['"]prom-client['"]/, in: ['agent/metrics.ts'] },
    { what: 'opens a port for HTTP', pattern: /\.listen\(/, in: ['agent/server.ts'] },
    {
      what: 'declares bind(2); the second for netlink alone, which has no port',
      pattern: /int bind\(/,
      in: ['checks/host/libc.ts', 'nftables/libc.ts'],
    },
    {
      what: 'binds a socket: to an own address and a port that source-ports.ts hands out; the second a packet socket, which has none',
      pattern: /\.bind\(/,
      in: ['checks/host/network-linux.ts', 'checks/host/sockets.ts'],
    },
    {
      what: 'loads the package of which only the types are wanted',
      pattern: /import (?!type\b)[^;]*from 'typebox/,
      in: [],
    },
    {
      what: 'names the reader of YAML where it is loaded at once',
      pattern: /import (?!type\b)[^;]*from 'yaml'/,
      in: ['rules/load.ts'],
    },
    {
      what: 'makes a server or datagram socket of Node',
      pattern: /import [^;]*\bcreateServer\b[^;]* from 'node:|['"](node:)?(dgram|cluster)['"]/,
      in: [],
    },
  ])('$what: $in', ({ pattern, in: allowed }) => {
    const elsewhere = filesWith(product, pattern).filter((path) => !allowed.includes(path));
    expect(elsewhere).toEqual([]);
  });
});
