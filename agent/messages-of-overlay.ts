/** @module The words for what is wrong with a running overlay. Pure. */
import type { Reason } from '../checks/check.ts';
import type { Facts, Words } from './message-facts.ts';

/** What writes the entries of an overlay into the kernel, and does so anew when it starts. */
const restart = "restart the provider's pod there (kubectl -n kube-system delete pod NAME)";

export const overlayWords = {
  'overlay-device-down': {
    message: ({ get, blamed, receiver }) =>
      `${get('device')}${blamed === receiver && receiver !== 'this node' ? ` of ${receiver}` : ''} is down, and no packet of a pod passes it`,
    next: ({ get, blamed, receiver }) =>
      `${blamed === receiver && receiver !== 'this node' ? `on ${receiver}: ` : ''}ip -details link show dev ${get('device')}; then restart the provider's pod of that node`,
  },
  'overlay-source-address': {
    message: (facts) => sourceProblem(facts),
    next: ({ get, receiver }) =>
      get('problem') === 'other-route'
        ? `ip -details link show dev ${get('device')}; name the interface to the provider (flannel --iface, Calico IP_AUTODETECTION_METHOD)`
        : `on ${receiver}: ip -details link show dev ${get('device')}; ip -brief address; name the interface to the provider (flannel --iface, Calico IP_AUTODETECTION_METHOD)`,
  },
  'overlay-route-missing': {
    message: ({ get, has, receiver }) =>
      has('interface')
        ? `nothing leads ${get('to')} of ${receiver} into the overlay: it goes by ${get('interface')}, as everything else does`
        : `there is no route to ${get('to')}, an overlay address of ${receiver}`,
    next: ({ sender, get }) => `on ${sender}: ip route get ${get('to')}; then ${restart}`,
  },
  'overlay-entry-missing': {
    message: ({ get, receiver }) =>
      get('entry') === 'neighbour'
        ? `${get('device')} has no neighbour entry for ${get('overlayAddress')}, the far end of ${receiver}`
        : `${get('device')} has no forwarding entry for ${get('peerMac')}, the far end of ${receiver}`,
    next: ({ sender, get }) =>
      `on ${sender}: ip neigh show dev ${get('device')}; bridge fdb show dev ${get('device')}; then ${restart}`,
  },
  'pod-route-diverted': {
    message: ({ get, has, receiver }) => {
      const way = has('interface')
        ? `by ${get('interface')}`
        : `to a route of type ${get('routeType')}`;
      const table = has('table') ? ` (table ${get('table')})` : '';
      return `packets to pods of ${receiver} (${get('to')}) go ${way}${table} and not into the overlay`;
    },
    next: ({ sender, get }) =>
      `on ${sender}: ip route get ${get('to')}; ip rule; give one of the two networks another prefix`,
  },
  'vtep-mac-differs': {
    message: ({ get, receiver }) =>
      `${get('device')} of ${receiver} has the link-layer address ${get('peerMac')}, this node sends to ${get('entryMac')}: such frames arrive and are thrown away`,
    next: ({ receiver, get }) =>
      `on ${receiver}: MACAddressPolicy=none for ${get('device')} in a file of /etc/systemd/network (see the manual), then restart its provider's pod`,
  },
  'fdb-destination-stale': {
    message: ({ get, receiver }) =>
      `${get('device')} sends what is for ${receiver} to ${get('entryDestination')}, its tunnel ends at ${get('peerLocal')}`,
    next: ({ sender, get }) =>
      `on ${sender}: bridge fdb show dev ${get('device')}; kubectl get node -o yaml | grep public-ip; then ${restart}`,
  },
  'pod-subnet-shared': {
    message: ({ get, receiver }) =>
      `this node and ${receiver} have the same addresses for their pods: ${get('subnetHere')} here, ${get('subnetThere')} there`,
    next: () =>
      'kubectl get nodes -o custom-columns=NAME:.metadata.name,PODS:.spec.podCIDR; take the newer node out of the cluster, and let it join anew',
  },
  'pod-subnet-overlaps': {
    message: ({ get, receiver }) =>
      `${get('interface')} of this node has ${get('address')}, which is an address of the pods of ${receiver} (${get('subnetThere')})`,
    next: ({ get }) => `ip address show dev ${get('interface')}; give it another prefix`,
  },
  'large-packets-lost': {
    message: ({ get }) =>
      `small packets cross the overlay, those of ${get('packetBytes')} bytes are lost`,
    next: ({ sender, address, get }) =>
      `on ${sender}: tracepath -n ${address}; ping -c 3 -M do -s ${withoutHeaders(get)} ${get('overlayAddress')}; lower the overlay's MTU`,
  },
  'pod-network-unreachable': {
    message: ({ get, receiver }) =>
      `the tunnel to ${receiver} works, but ${get('overlayAddress')} behind it does not answer`,
    next: ({ receiver, get }) =>
      `on ${receiver}: ip address show dev ${get('device')}; ip route get ${get('overlayAddress')}`,
  },
  'pod-source-filtered': {
    message: ({ get, receiver }) =>
      `packets from ${get('podAddress')}, an address of this node's pods, do not reach ${receiver}, those from the node's own address do`,
    next: ({ receiver }) =>
      `let the network pass addresses of pods (source/destination check, port security), or use encapsulation; sysctl -a | grep '\\.rp_filter' on ${receiver}`,
  },
  'pod-source-rewritten': {
    message: ({ get }) =>
      `packets of pods to pods of other nodes leave with the address of this node (${get('source')} to ${get('destination')})`,
    next: () => 'iptables -t nat -S POSTROUTING; pods to pods must come to a RETURN first',
  },
  'dropped-by-forward': {
    message: (facts) => forwarded(facts, 'drops'),
    next: explainForward,
  },
  'rejected-by-forward': {
    message: (facts) => forwarded(facts, 'rejects'),
    next: explainForward,
  },
  'overlay-untested': {
    message: ({ get, receiver }) =>
      `${get('overlayAddress')} does not answer, and the firewall of ${receiver} may be what takes our probes: nothing is known of the overlay itself`,
    next: ({ receiver }) => `on ${receiver}: let UDP port 10472 in from the overlay, or ICMP echo`,
  },
} as const satisfies Partial<Readonly<Record<Reason, Words>>>;

function sourceProblem({ get, has, receiver }: Facts): string {
  const device = get('device');
  switch (get('problem')) {
    case 'shared':
      return `${device} of ${receiver} sends from ${get('local')}, which is an address of this node as well`;
    case 'other-route':
      return `${device} sends from ${get('local')}, but the way to ${receiver} starts at ${get('wanted')}`;
    default:
      return `${device} of ${has('overlayAddress') && has('address') ? receiver : 'this node'} sends from ${get('local')}, which is no address of that node`;
  }
}

function forwarded({ get }: Facts, does: string): string {
  return `this node's firewall ${does} what comes from ${get('inInterface')} for ${get('outInterface')}: packets between its pods and those of other nodes`;
}

function explainForward({ get }: Facts): string {
  return `cni-preflight explain tcp/8080 --from ${get('source')} --to ${get('destination')} --in-interface ${get('inInterface')} --out-interface ${get('outInterface')}`;
}

/** What ping(8) calls the size: without the headers of IPv4 and ICMP. */
function withoutHeaders(get: Facts['get']): string {
  const bytes = Number(get('packetBytes')) - 28;
  return Number.isFinite(bytes) ? String(bytes) : '?';
}
