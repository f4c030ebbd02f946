/** @module Every check. Leave one out and the compiler says which. */
import type { Kind } from '../rules/schema.ts';
import type { Check } from './check.ts';
import { cniFiles } from './cni-files.ts';
import { cniPlugins } from './cni-plugins.ts';
import { cniToken } from './cni-token.ts';
import { datastore } from './datastore.ts';
import { deviceConflict } from './device-conflict.ts';
import { firewallBackends } from './firewall-backends.ts';
import { firewallWipe } from './firewall-wipe.ts';
import { forwarding } from './forwarding.ts';
import { hostFirewall } from './host-firewall.ts';
import { hostForward } from './host-forward.ts';
import { icmpEcho } from './icmp-echo.ts';
import { ipProtocol } from './ip-protocol.ts';
import { ipv6State } from './ipv6-state.ts';
import { kernelCounter } from './kernel-counter.ts';
import { kernelFeature } from './kernel-feature.ts';
import { kernelTable } from './kernel-table.ts';
import { kernelVersion } from './kernel-version.ts';
import { knownIssue } from './known-issue.ts';
import { latency } from './latency.ts';
import { overlayDevice } from './overlay-device.ts';
import { overlayPath } from './overlay-path.ts';
import { overlayState } from './overlay-state.ts';
import { pathMtu } from './path-mtu.ts';
import { peerAgreement } from './peer-agreement.ts';
import { podSource } from './pod-source.ts';
import { policyRouting } from './policy-routing.ts';
import { portOwner } from './port-owner.ts';
import { returnPath } from './return-path.ts';
import { reversePath } from './reverse-path.ts';
import { selinux } from './selinux.ts';
import { serviceManager } from './service-manager.ts';
import { sysctl } from './sysctl.ts';
import { sysctlFiles } from './sysctl-files.ts';
import { tcpPort } from './tcp-port.ts';
import { trafficFilters } from './traffic-filters.ts';
import { udpPort } from './udp-port.ts';
import { vxlanPath } from './vxlan-path.ts';

export const checks: { readonly [K in Kind]: Check<K> } = {
  'cni-files': cniFiles,
  'cni-plugins': cniPlugins,
  'cni-token': cniToken,
  datastore,
  'device-conflict': deviceConflict,
  'firewall-backends': firewallBackends,
  'firewall-wipe': firewallWipe,
  forwarding,
  'host-firewall': hostFirewall,
  'host-forward': hostForward,
  'icmp-echo': icmpEcho,
  'ip-protocol': ipProtocol,
  'ipv6-state': ipv6State,
  'kernel-counter': kernelCounter,
  'kernel-feature': kernelFeature,
  'kernel-table': kernelTable,
  'kernel-version': kernelVersion,
  'known-issue': knownIssue,
  latency,
  'overlay-device': overlayDevice,
  'overlay-path': overlayPath,
  'overlay-state': overlayState,
  'path-mtu': pathMtu,
  'peer-agreement': peerAgreement,
  'policy-routing': policyRouting,
  'pod-source': podSource,
  'port-owner': portOwner,
  'return-path': returnPath,
  'reverse-path': reversePath,
  'service-manager': serviceManager,
  selinux,
  sysctl,
  'sysctl-files': sysctlFiles,
  'tcp-port': tcpPort,
  'traffic-filters': trafficFilters,
  'udp-port': udpPort,
  'vxlan-path': vxlanPath,
};
