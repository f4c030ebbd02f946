/** @module A node without sockets: a machine, a network and agents of peers made of data. */
import type { Node } from '../../agent/node.ts';
import type { Host } from '../../checks/host/host.ts';
import type { PeerChannel } from '../../checks/peer-channel.ts';
import type { PeerService } from '../../checks/peer-service.ts';
import {
  fakeNetwork,
  type NetworkScript,
  noAgent,
  ownAddresses,
  peerContext,
} from './fake-network.ts';

export interface FakeNode extends Node {
  /** What the rounds kept for peers that ask. */
  readonly remembered: readonly Parameters<PeerService['remember']>[];
}

function refuse(what: string): never {
  throw new Error(`the test did not expect ${what}`);
}

/** Builds a node. Without a channel no peer has an agent. */
export function fakeNode(
  given: {
    readonly network?: NetworkScript;
    readonly host?: Partial<Host>;
    readonly witnesses?: Node['witnesses'];
    readonly underlay?: Node['underlay'];
    readonly channel?: (address: string) => PeerChannel;
  } = {},
): FakeNode {
  const remembered: Parameters<PeerService['remember']>[] = [];
  const host: Host = {
    ...peerContext({ network: fakeNetwork(given.network), addresses: ownAddresses }).host,
    conntrackUsage: async () => undefined,
    firewall: async () => ({ readable: false, reason: 'missing-net-admin', why: '' }),
    ...given.host,
  };
  return {
    remembered,
    host,
    firewallView: () => undefined,
    os: {
      kernel: '6.1.0',
      os: 'Debian GNU/Linux 12 (bookworm)',
      id: 'debian',
      idLike: '',
      versionId: '12',
      architecture: 'x86_64',
      hostname: 'worker-1',
    },
    service: {
      answer: async () => refuse('a question of a peer'),
      close: async () => {},
      remember: (...args) => {
        remembered.push(args);
      },
    },
    witnesses: given.witnesses ?? ['ipv4', 'ipv6'],
    underlay: given.underlay ?? ownAddresses,
    setPeers: async () => refuse('other peers'),
    setProvider: async () => refuse('another provider'),
    channel: (address) => given.channel?.(address) ?? noAgent,
    isPeer: () => true,
    mac: undefined,
    [Symbol.asyncDispose]: async () => {},
  };
}
