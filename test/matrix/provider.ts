/**
 * @module The provider that the matrix runs: one requirement a protocol. Each comes several times under other names, for an agent
 * answers a question that it was asked within seconds from memory, and a run must not hear of the run before.
 */
import type { Topic } from './fault.ts';

/** How many names a requirement has; they are taken in turn. */
export const generations = 8;

export const topics: readonly Topic[] = [
  'icmp',
  'udp',
  'tcp',
  'vxlan',
  'ipip',
  'mtu',
  'size',
  'overlay',
  'agreement',
];

/** Id of a requirement: `matrix.udp-3`. */
export function requirementId(topic: Topic, generation: number): string {
  return `matrix.${topic}-${generation}`;
}

/** What a finding is about; undefined for one that is none of ours. */
export function topicOf(requirement: string): Topic | undefined {
  return topics.find((topic) => requirement.startsWith(`matrix.${topic}-`));
}

const kindOf: Readonly<Record<Topic, { kind: string; params: object }>> = {
  icmp: { kind: 'icmp-echo', params: {} },
  udp: { kind: 'udp-port', params: { port: { option: 'udpPort' }, payload: 'zero' } },
  tcp: { kind: 'tcp-port', params: { port: { option: 'tcpPort' } } },
  vxlan: { kind: 'udp-port', params: { port: { option: 'tunnelPort' }, payload: 'vxlan' } },
  ipip: { kind: 'ip-protocol', params: { protocol: 4 } },
  mtu: { kind: 'path-mtu', params: { overheadBytes: 50, overheadBytesIpv6: 50 } },
  size: { kind: 'vxlan-path', params: { port: { option: 'tunnelPort' }, overheadBytes: 50 } },
  overlay: { kind: 'overlay-path', params: { devices: ['flannel.1'] } },
  agreement: { kind: 'peer-agreement', params: { fields: ['vni', 'port'] } },
};

const port = (about: string, value: number): object => ({ about, type: 'port', default: value });

/** The file of the provider; YAML's reader takes JSON. */
export function providerFile(): string {
  const common = {
    purpose: 'the matrix asks for it',
    source: ['https://www.rfc-editor.org/rfc/rfc1122'],
  };
  const requirements = Array.from({ length: generations }, (_, generation) =>
    topics.map((topic) => ({
      id: requirementId(topic, generation),
      level: 'required',
      scope: 'peer',
      ...kindOf[topic],
      ...common,
    })),
  ).flat();
  return JSON.stringify({
    provider: 'matrix',
    title: 'The fault matrix',
    about: 'What the fault matrix asks of nodes.',
    status: 'maintained',
    distributions: ['upstream'],
    features: Object.fromEntries(
      [
        'networkModel',
        'routeDistribution',
        'networkPolicies',
        'mesh',
        'externalDatastore',
        'encryption',
        'ingressEgressPolicies',
      ].map((name) => [name, 'No']),
    ),
    options: {
      encapsulation: {
        about: 'How packets travel.',
        type: 'choice',
        values: ['vxlan'],
        default: 'vxlan',
      },
      tunnelPort: port('UDP port of VXLAN.', 8472),
      udpPort: port('A UDP port.', 4789),
      tcpPort: port('A TCP port.', 179),
      vni: { about: 'VXLAN network identifier.', type: 'number', default: 1 },
      mtu: { about: 'MTU of the overlay.', type: 'number', default: 0 },
    },
    detect: {
      files: [],
      links: [
        {
          name: 'flannel.1',
          kind: 'vxlan',
          set: { encapsulation: 'vxlan' },
          read: { port: 'tunnelPort', vni: 'vni', mtu: 'mtu' },
        },
      ],
      without: [],
    },
    requirements: [
      ...requirements,
      {
        id: 'matrix.forwarding',
        kind: 'sysctl',
        level: 'info',
        scope: 'node',
        params: { key: 'net/ipv4/ip_forward', values: ['1'], absent: 'skip' },
        ...common,
      },
    ],
  });
}
