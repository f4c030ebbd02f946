/** @module The words for what is as it should be. Pure. */
import type { Facts } from './message-facts.ts';
import { familyOf, milliseconds, ownerOf } from './message-parts.ts';

/** Says what was seen. */
export function passMessage(facts: Facts): string {
  const { kind, thing, get, has } = facts;
  const rtt = has('rttSeconds') ? ` in ${milliseconds(get('rttSeconds'))}` : '';
  switch (kind) {
    case 'kernel-version':
      return `kernel ${get('kernel')} is ${get('want')}${has('backport') ? ' by its vendor’s backports' : ''}`;
    case 'kernel-feature':
      return `the kernel has ${get('feature')} (${get('source')})`;
    case 'sysctl':
      return `${get('key')} is ${get('found')}`;
    case 'sysctl-files':
      return has('found')
        ? `${get('key')} gets ${get('found')} from ${get('file')}`
        : `no file of sysctl.d sets ${get('key')}`;
    case 'forwarding':
      return has('interfaces')
        ? `${familyOf(facts)} is forwarded from ${get('interfaces')}`
        : `${get('key')} is ${get('found')}`;
    case 'reverse-path':
      return `no reverse-path filter is in the way on ${get('interfaces')}`;
    case 'kernel-table':
      return `the ${get('table')} table holds ${get('count')} of ${get('limit')}`;
    case 'kernel-counter':
      return `${get('counter')}: ${get('value')} since the boot`;
    case 'ipv6-state':
      return `IPv6 is as it should be on ${get('interfaces')}`;
    case 'traffic-filters':
      return "no filter of tc comes before the provider's own";
    case 'selinux':
      return get('mode') === 'enforcing'
        ? 'SELinux enforces, and has forbidden nothing of this'
        : `SELinux is ${get('mode')}`;
    case 'known-issue':
      return `this is no such machine (by its ${get('without')})`;
    case 'return-path':
      return `the way back is by ${get('wayBack')}, and no filter asks for another`;
    case 'cni-files':
      return has('files') ? `nothing stands before ${get('files')}` : 'no CNI is configured yet';
    case 'policy-routing':
      if (has('tables')) return 'the routing tables local and main are asked';
      return has('ways')
        ? 'the routes to pods are in force'
        : 'no policy rule stands before the routes to pods';
    case 'firewall-backends':
      return get('backends') === 'none'
        ? 'no iptables rules of Kubernetes are there yet'
        : `the iptables rules of Kubernetes are all in ${get('backends')}`;
    case 'cni-plugins':
      return has('command')
        ? `${get('plugin')} finds ${get('command')}`
        : `the plugins of ${get('file')} are there: ${get('plugins')}`;
    case 'cni-token':
      return `the token in ${get('file')} is in force`;
    case 'service-manager':
      return has('managers')
        ? `a reload of the firewall takes nothing away: ${get('managers')}`
        : `${get('manager')} leaves the network of pods alone`;
    case 'port-owner':
      return get('owner') === 'nobody'
        ? `${thing} is free`
        : `${thing} belongs to ${ownerOf(facts)}`;
    case 'device-conflict':
      return `no ${get('device')} device is in the way on UDP port ${get('port')}`;
    case 'datastore':
      return `${get('store')} answers: ${get('healthy')}`;
    case 'firewall-wipe':
      return 'nobody took away the rules that the provider and kube-proxy wrote';
    case 'icmp-echo':
      return `answers${rtt}`;
    case 'udp-port':
    case 'vxlan-path':
    case 'ip-protocol':
      return `${thing}: arrives${rtt}`;
    case 'host-firewall':
      return `${thing}: this node's firewall lets it pass`;
    case 'tcp-port':
      if (has('listening')) {
        return get('listening') === 'true'
          ? `${thing}: connected`
          : `${thing}: the path is open, nobody listens yet`;
      }
      return `${thing} cannot be reached from outside, as it should be`;
    case 'path-mtu':
      return `the path carries ${get('pathMtuBytes')} bytes, as the overlay needs`;
    case 'overlay-path':
      return `${get('overlayAddress')} answers over ${get('device')}${rtt}`;
    case 'overlay-device':
      return `the overlay's devices are up: ${get('devices')}`;
    case 'overlay-state':
      return `the way to its pods (${get('podSubnets')}) leads into the overlay`;
    case 'host-forward':
      return `this node's firewall lets pass what comes from ${get('inInterface')} for ${get('outInterface')}`;
    case 'pod-source':
      return `pods keep their address on the way to ${get('destination')}`;
    case 'latency':
      return `the round trip takes ${milliseconds(get('rttSeconds'))}`;
    case 'peer-agreement':
      return 'both nodes are set up alike';
    case 'agent':
      return 'as it should be';
  }
}
