/** @module The question that every requirement with a port or protocol puts to the node's own firewall. Pure. */
import type { ParamsByKind, Requirement } from './schema.ts';

/** What a derived requirement's id ends with. */
export const firewallSuffix = '.firewall';

/** What a requirement asks of a firewall; undefined for kinds whose packets are none that a rule could name. */
export function firewallParamsOf({
  kind,
  params,
}: Pick<Requirement, 'kind' | 'params'>): ParamsByKind['host-firewall'] | undefined {
  const port = 'port' in params ? params.port : undefined;
  switch (kind) {
    case 'udp-port':
    case 'vxlan-path':
      return port === undefined ? undefined : { protocol: 'udp', port };
    case 'tcp-port':
      return port === undefined ? undefined : { protocol: 'tcp', port };
    case 'icmp-echo':
      return { protocol: 'icmp' };
    case 'ip-protocol':
      return 'protocol' in params && typeof params.protocol === 'number'
        ? { protocol: params.protocol }
        : undefined;
    case 'kernel-version':
    case 'kernel-feature':
    case 'sysctl':
    case 'sysctl-files':
    case 'forwarding':
    case 'reverse-path':
    case 'return-path':
    case 'kernel-table':
    case 'kernel-counter':
    case 'ipv6-state':
    case 'known-issue':
    case 'traffic-filters':
    case 'selinux':
    case 'cni-files':
    case 'policy-routing':
    case 'service-manager':
    case 'firewall-backends':
    case 'cni-plugins':
    case 'cni-token':
    case 'port-owner':
    case 'device-conflict':
    case 'path-mtu':
    case 'overlay-path':
    case 'overlay-device':
    case 'overlay-state':
    case 'host-forward':
    case 'pod-source':
    case 'latency':
    case 'datastore':
    case 'firewall-wipe':
    case 'peer-agreement':
    case 'host-firewall':
      return undefined;
  }
}

/**
 * Adds to each requirement of a path one of kind `host-firewall`, so that no file has to repeat its port. What must not be reached
 * (`host-local`) asks nothing of a firewall, and of several requirements with one port (full-sized packets to it) the first asks.
 */
export function withFirewallRequirements(requirements: readonly Requirement[]): Requirement[] {
  const asked = new Set<string>();
  return requirements.flatMap((requirement): Requirement[] => {
    const params = requirement.scope === 'peer' ? firewallParamsOf(requirement) : undefined;
    if (params === undefined) return [requirement];
    const { level, peerRole = '', anyOf = '', direction } = requirement;
    const key = [level, peerRole, anyOf, direction, params.protocol, params.port ?? ''].join(' ');
    if (asked.has(key)) return [requirement];
    asked.add(key);
    const derived: Requirement<'host-firewall'> = {
      ...requirement,
      id: `${requirement.id}${firewallSuffix}`,
      kind: 'host-firewall',
      params,
      purpose: `the node's own firewall lets it pass: ${requirement.purpose}`,
      ...(requirement.anyOf === undefined
        ? {}
        : { anyOf: `${requirement.anyOf}${firewallSuffix}` }),
    };
    return [requirement, derived];
  });
}

/** The requirement that a derived one was made of. */
export function pathRequirementOf(id: string): string {
  return id.endsWith(firewallSuffix) ? id.slice(0, -firewallSuffix.length) : id;
}
