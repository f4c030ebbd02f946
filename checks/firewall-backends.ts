/** @module Whether iptables rules of Kubernetes stand in both of its backends: the packets meet both, and a drop or a stale address in either wins. */
import type { Ruleset } from 'node-nftables';
import { type RuleOwners, ruleOwnerOf } from '../rules/rule-owners.ts';
import { type Answer, type Check, fail, pass, unknown } from './check.ts';
import { backendOf } from './firewall-verdict.ts';

/** Whether iptables rules of Kubernetes stand in both of its backends. */
export const firewallBackends: Check<'firewall-backends'> = {
  kind: 'firewall-backends',
  summary: 'the iptables rules of Kubernetes are all in one backend, legacy or nf_tables',
  scope: 'node',
  needs: ['net-admin'],

  async run(_params, _target, { host, ruleOwners }) {
    const reading = await host.firewall();
    if (!reading.readable) return unknown(reading.reason, { why: reading.why });
    return judgeBackends(reading.view.ruleset, ruleOwners);
  },
};

type Backend = 'iptables-legacy' | 'iptables-nft';

/**
 * Chains that say nothing of where their owner writes its rules. The kubelet makes a few of its own by the host's iptables, whatever
 * kube-proxy uses; Calico keeps its old ones empty; the portmap plugin takes the iptables of whoever starts it.
 */
const ownersWithBackend = new Set(['kube-proxy', 'calico', 'flannel', 'cilium', 'weave']);
const ofKubeProxy = /^KUBE-(SERVICES|NODEPORTS|FORWARD|SVC-|SEP-|EXT-|EXTERNAL-SERVICES)/;

/** Judges the rules as they stand. */
export function judgeBackends(ruleset: Ruleset, owners: RuleOwners): Answer {
  const chains = chainsByFamily(ruleset, owners);
  for (const [family, counts] of chains) {
    const twice = [...counts].find(([, { legacy, nft }]) => legacy.length > 0 && nft.length > 0);
    const place = { family, where: 'both' } as const;
    if (twice !== undefined) {
      const [owner, { legacy, nft }] = twice;
      return mixed({ ...place, legacy: owner, nft: owner, ...samples(legacy, nft) });
    }
    const legacy = [...counts].find(([, count]) => count.legacy.length > 0);
    const nft = [...counts].find(([, count]) => count.nft.length > 0);
    if (legacy === undefined || nft === undefined) continue;
    return mixed({
      ...place,
      where: 'each',
      legacy: legacy[0],
      nft: nft[0],
      ...samples(legacy[1].legacy, nft[1].nft),
    });
  }
  const backends = new Set(
    [...chains.values()].flatMap((counts) =>
      [...counts.values()].map(({ legacy }) =>
        legacy.length > 0 ? 'iptables-legacy' : 'iptables-nft',
      ),
    ),
  );
  return pass({ backends: backends.size === 0 ? 'none' : [...backends].join(',') });
}

interface Places {
  readonly legacy: string[];
  readonly nft: string[];
}

/** The chains with rules in them, of each owner. A chain alone does nothing, and stays behind after `iptables -F`. */
function chainsByFamily(
  ruleset: Ruleset,
  owners: RuleOwners,
): ReadonlyMap<string, ReadonlyMap<string, Places>> {
  const filled = new Set(ruleset.rules.map((rule) => keyOf({ ...rule, name: rule.chain })));
  const found = new Map<string, Map<string, Places>>();
  for (const chain of ruleset.chains) {
    const owner = ruleOwnerOf(owners, chain);
    const backend = backendOf(chain, ruleset);
    if (owner === undefined || !ownersWithBackend.has(owner) || backend === 'nf_tables') continue;
    if (owner === 'kube-proxy' && !ofKubeProxy.test(chain.name)) continue;
    if (!filled.has(keyOf(chain))) continue;
    const family = found.get(chain.family) ?? new Map<string, Places>();
    found.set(chain.family, family);
    const places = family.get(owner) ?? { legacy: [], nft: [] };
    family.set(owner, places);
    listOf(places, backend).push(`${chain.table} ${chain.name}`);
  }
  return found;
}

function keyOf(chain: {
  readonly backend: string;
  readonly family: string;
  readonly table: string;
  readonly name: string;
}): string {
  return `${chain.backend} ${chain.family} ${chain.table} ${chain.name}`;
}

function listOf(places: Places, backend: Backend): string[] {
  return backend === 'iptables-legacy' ? places.legacy : places.nft;
}

function samples(
  legacy: readonly string[],
  nft: readonly string[],
): Record<string, string | number> {
  return {
    legacyChains: legacy.length,
    legacyFirst: legacy[0] ?? '',
    nftChains: nft.length,
    nftFirst: nft[0] ?? '',
  };
}

function mixed(evidence: Record<string, string | number>): Answer {
  return fail('iptables-backends-mixed', evidence, { where: 'node', node: 'this' });
}
