/** @module The words for what could not be told, or does not apply. Pure. */
import type { Reason } from '../checks/check.ts';
import type { Words } from './message-facts.ts';
import { runAgent } from './message-parts.ts';

export const doubtWords = {
  'no-witness': {
    message: (facts) =>
      facts.kind === 'peer-agreement' || facts.kind === 'overlay-path'
        ? `no agent answers on ${facts.receiver}, so its settings are not known`
        : `${facts.thing}: no agent answers on ${facts.receiver}, so nobody can say what arrived`,
    next: runAgent,
  },
  'key-mismatch': {
    message: ({ sender, receiver }) =>
      `the agents on ${sender} and ${receiver} have different keys, or only one has a key: neither answers the other`,
    next: () => 'sha256sum KEYFILE on both nodes; give every node the same --key-file, or none',
  },
  'peer-unreachable': {
    // Of the peer's own way to this node nothing was heard: it is the peer that does not answer.
    message: ({ get, sender, receiver }) =>
      `nothing answers on ${get('agent') === 'unreachable' ? sender : receiver}: no agent, no echo, no TCP port`,
    next: ({ get, sender, address, receiver, peerAddress }) =>
      get('agent') === 'unreachable'
        ? `on ${receiver}: ping -c 3 ${peerAddress}; ip route get ${peerAddress}`
        : `on ${sender}: ping -c 3 ${address}; ip route get ${address}`,
  },
  'peer-has-not-probed': {
    message: ({ sender, get }) =>
      get('agent') === 'absent'
        ? `no agent answers on ${sender}, so nobody has tested this way`
        : `${sender} has not tested this way yet`,
    next: ({ sender, get }) =>
      get('agent') === 'absent'
        ? `run cni-preflight on ${sender}, too: check --wait 60 on all nodes at once, or the agent`
        : 'wait for its next round; check has --wait S',
  },
  'unconfirmed': {
    message: (facts) =>
      `${facts.thing}: failed once${facts.has('suspected') ? ` (${facts.get('suspected')})` : ''}, the next round will tell`,
  },
  'inconclusive': {
    message: ({ thing, has, receiver }) =>
      has('witnessOverloaded')
        ? `${thing}: the witness on ${receiver} had no room for all that came, so silence proves nothing`
        : `${thing}: this process stalled while it waited, so silence proves nothing`,
    next: ({ has, receiver }) =>
      has('witnessOverloaded')
        ? `uptime on ${receiver}; its metric cni_preflight_datagrams_dropped_total tells a flood of forged probes`
        : 'uptime; run it again when the node is less busy',
  },
  'stale': {
    message: ({ has, get }) =>
      `not tested for three rounds${has('lastOutcome') ? `; the last answer was ${get('lastOutcome')}` : ''}`,
    next: ({ sender }) => `look at the log of the agent on ${sender}`,
  },
  'service-undetermined': {
    message: ({ get }) => `whether ${get('service')} runs on this host cannot be seen from here`,
    next: ({ get }) => `systemctl status ${get('service')}, on the host itself`,
  },
  'missing-net-raw': {
    message: () => 'could not look: raw sockets need CAP_NET_RAW',
    next: () => 'run it as root, or grant CAP_NET_RAW',
  },
  'missing-net-admin': {
    message: () => 'could not look: reading the firewall needs CAP_NET_ADMIN',
    next: () => 'run it as root, or grant CAP_NET_ADMIN',
  },
  'permission-denied': {
    message: ({ has, get }) =>
      `could not look: ${has('unreadable') ? `${get('unreadable')} may not be read` : 'permission was denied'}`,
    next: () => 'run it as root',
  },
  'check-crashed': {
    message: ({ kind, has, get }) =>
      `the check ${kind} itself failed${has('error') ? `: ${get('error')}` : ''}; this is a bug`,
    next: () => 'please report it with the output of --format json',
  },
  'deadline': {
    message: (facts) => `${facts.thing}: not finished in time`,
    next: () => 'a larger --timeout gives it more',
  },
  'no-peers': {
    message: () => 'no node is known besides this one, so no path was tested',
    next: () => '--peer ADDR[=NAME], or --peers-file FILE',
  },
  'no-address': {
    message: () => 'the two nodes have no address family in common',
    next: () => 'ip -brief address; give the peer an address of the same family',
  },
  'no-overlay-device': {
    message: () => 'the overlay does not run on both nodes yet',
  },
  'not-applicable': {
    message: ({ has, get }) =>
      has('setBy')
        ? `${get('key')} is set by ${get('setBy')} when it starts`
        : 'does not apply here',
  },
  'not-in-the-catalogue-of-the-peer': {
    message: ({ sender }) => `the agent on ${sender} does not know this requirement`,
    next: () => 'run the same version, provider and --rules on all nodes',
  },
  'no-provider-detected': {
    message: () => 'no CNI runs on this node yet, and none was named',
    next: () => '--provider NAME',
  },
} as const satisfies Partial<Readonly<Record<Reason, Words>>>;
