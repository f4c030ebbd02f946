import { describe, expect, test } from 'vitest';
import { ConfigurationError } from '../../../agent/configuration-error.ts';
import {
  type ExplainArguments,
  packetOfArguments,
  packetOfLine,
} from '../../../agent/explain-question.ts';

describe('a command line', () => {
  test.each<{ name: string; given: ExplainArguments; want: object }>([
    {
      name: 'from: a packet to this host',
      given: { what: 'udp/8472', from: '10.0.0.2' },
      want: {
        direction: 'in',
        protocol: 17,
        family: 'ip',
        source: '10.0.0.2',
        destinationPort: 8472,
        conntrack: 'new',
        mark: 0,
      },
    },
    {
      name: 'to: a packet of this host',
      given: { what: 'tcp/6443', to: 'fd00::1', outInterface: 'eth0' },
      want: {
        direction: 'out',
        protocol: 6,
        family: 'ip6',
        destination: 'fd00::1',
        destinationPort: 6443,
        outInterface: 'eth0',
        conntrack: 'new',
        mark: 0,
      },
    },
    {
      name: 'both: one that is forwarded',
      given: { what: '4', from: '10.0.0.0/24', to: '10.1.0.1' },
      want: {
        direction: 'forward',
        protocol: 4,
        family: 'ip',
        source: '10.0.0.0/24',
        destination: '10.1.0.1',
        conntrack: 'new',
        mark: 0,
      },
    },
    {
      name: 'icmp alone is an echo request',
      given: { what: 'icmp', from: '10.0.0.2' },
      want: {
        direction: 'in',
        protocol: 1,
        family: 'ip',
        source: '10.0.0.2',
        icmpType: 8,
        icmpCode: 0,
        conntrack: 'new',
        mark: 0,
      },
    },
    {
      name: 'another type of ICMPv6, with any code',
      given: { what: 'icmpv6/1', from: 'fd00::2' },
      want: {
        direction: 'in',
        protocol: 58,
        family: 'ip6',
        source: 'fd00::2',
        icmpType: 1,
        conntrack: 'new',
        mark: 0,
      },
    },
    {
      name: 'a port that is not named stays open',
      given: { what: 'udp', from: '10.0.0.2' },
      want: {
        direction: 'in',
        protocol: 17,
        family: 'ip',
        source: '10.0.0.2',
        conntrack: 'new',
        mark: 0,
      },
    },
  ])('$name', ({ given, want }) => {
    expect(packetOfArguments(given)).toEqual(want);
  });

  test.each<[ExplainArguments, string]>([
    [{ what: 'udq/8472', from: '10.0.0.2' }, 'is not PROTO or PROTO/PORT'],
    [{ what: 'udp/8472/1', from: '10.0.0.2' }, 'is not PROTO or PROTO/PORT'],
    [{ what: 'constructor', from: '10.0.0.2' }, 'is not PROTO or PROTO/PORT'],
    [{ what: '256', from: '10.0.0.2' }, 'is not PROTO or PROTO/PORT'],
    [{ what: 'udp/65536', from: '10.0.0.2' }, 'is not a port of udp'],
    [{ what: 'udp/0', from: '10.0.0.2' }, 'is not a port of udp'],
    [{ what: 'udp/', from: '10.0.0.2' }, 'is not a port of udp'],
    [{ what: 'esp/1', from: '10.0.0.2' }, 'esp has no ports'],
    [{ what: 'icmp/256', from: '10.0.0.2' }, 'is not a type of icmp'],
    [{ what: 'udp/1' }, '--from ADDR, --to ADDR, or both'],
    [{ what: 'udp/1', from: 'worker-2' }, '--from: "worker-2" is neither'],
    [{ what: 'udp/1', from: '10.0.0.0/33' }, 'is neither an IP address nor a prefix'],
    [{ what: 'udp/1', from: 'fe80::1%eth0' }, 'is neither an IP address nor a prefix'],
    [{ what: 'udp/1', from: '10.0.0.2', to: 'fd00::1' }, 'another address family'],
    [{ what: 'icmp', from: 'fd00::1' }, 'icmp does not go with IPv6'],
    [{ what: 'icmpv6', to: '10.0.0.1' }, 'icmpv6 does not go with IPv4'],
    [{ what: 'udp/1', from: '10.0.0.2', outInterface: 'eth0' }, 'only an --in-interface'],
    [{ what: 'udp/1', to: '10.0.0.2', inInterface: 'eth0' }, 'only an --out-interface'],
    [{ what: 'udp/1', from: '10.0.0.2', inInterface: 'a b' }, 'cannot name an interface'],
  ])('%j is refused: %s', (given, message) => {
    expect(() => packetOfArguments(given)).toThrow(ConfigurationError);
    expect(() => packetOfArguments(given)).toThrow(message);
  });
});

describe('a line of a file', () => {
  test('everything that may be said', () => {
    const line = {
      direction: 'forward',
      protocol: 'tcp',
      source: '10.0.0.2',
      destination: '10.1.0.0/16',
      sourcePort: 40000,
      destinationPort: 443,
      inInterface: 'eth0',
      outInterface: 'cni0',
      conntrack: 'established',
    };
    expect(packetOfLine(JSON.stringify(line))).toEqual({
      ...line,
      protocol: 6,
      family: 'ip',
      mark: 0,
    });
  });

  test('what is left out is open, and the packet is new', () => {
    const line = '{"direction":"in","protocol":1,"source":"10.0.0.2"}';
    expect(packetOfLine(line)).toEqual({
      direction: 'in',
      protocol: 1,
      family: 'ip',
      source: '10.0.0.2',
      conntrack: 'new',
      mark: 0,
    });
  });

  const good = { direction: 'in', protocol: 'udp', source: '10.0.0.2' };
  test.each<[string, string]>([
    ['{', 'is not JSON'],
    ['null', 'is not an object'],
    ['[]', 'is not an object'],
    ['"in"', 'is not an object'],
    ['{}', 'direction is not'],
    [JSON.stringify({ ...good, direction: 'sideways' }), 'direction is not'],
    [JSON.stringify({ ...good, direction: ['in'] }), 'direction is not'],
    [JSON.stringify({ ...good, protocol: 'toString' }), 'protocol is not'],
    [JSON.stringify({ ...good, protocol: 300 }), 'protocol is not'],
    [JSON.stringify({ ...good, protocol: 1.5 }), 'protocol is not'],
    [JSON.stringify({ ...good, source: 5 }), 'source is neither'],
    [JSON.stringify({ ...good, source: undefined }), 'has neither source nor destination'],
    [JSON.stringify({ ...good, destination: 'fd00::1' }), 'two families'],
    [JSON.stringify({ ...good, sourcePort: -1 }), 'sourcePort is not a whole number'],
    [JSON.stringify({ ...good, destinationPort: 65536 }), 'destinationPort is not'],
    [JSON.stringify({ ...good, icmpType: 256 }), 'icmpType is not'],
    [JSON.stringify({ ...good, inInterface: 'x'.repeat(16) }), 'inInterface cannot name'],
    [JSON.stringify({ ...good, inInterface: 7 }), 'inInterface cannot name'],
    [JSON.stringify({ ...good, conntrack: 'old' }), 'conntrack is not'],
    [JSON.stringify({ ...good, port: 8472 }), 'unknown field "port"'],
    ['{"__proto__":{"direction":"in"},"protocol":"udp"}', 'unknown field "__proto__"'],
    [JSON.stringify({ ...good, protocol: 'icmpv6' }), 'does not go with these addresses'],
  ])('%s: %s', (line, message) => {
    expect(packetOfLine(line)).toContain(message);
  });
});
