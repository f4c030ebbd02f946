/** @module Whether a reload of the firewall's manager takes the rules of a CNI and of kube-proxy with it. */
import type { Ruleset } from 'node-nftables';
import { type RuleOwners, ruleOwnerOf } from '../../rules/rule-owners.ts';
import { type Answer, fail, pass, unknown } from '../check.ts';
import { backendOf } from '../firewall-verdict.ts';
import type { Host } from '../host/host.ts';
import { enabledUnits, parseSettings, serviceState } from './state.ts';

/** What a manager takes away when it is loaded again: all rules, or those that iptables made. */
interface Manager {
  readonly name: string;
  readonly flushes: 'everything' | 'iptables';
  readonly next: string;
}

export async function judgeReload(host: Host, owners: RuleOwners): Promise<Answer> {
  const enabled = await enabledUnits(host);
  if (enabled === undefined) return unknown('service-undetermined', { service: 'firewalld' });
  const managers = await flushingManagers(host, enabled);
  if (managers.length === 0) return pass({ managers: 'none that flushes rules of others' });
  const reading = await host.firewall();
  const names = managers.map(({ name }) => name).join(',');
  if (!reading.readable) return unknown(reading.reason, { managers: names });
  for (const { name, flushes, next } of managers) {
    const chains = chainsOfOthers(reading.view.ruleset, flushes, owners);
    if (chains === 0) continue;
    return fail(
      'firewall-reload-flushes',
      { manager: name, chains, cure: next },
      { where: 'node', node: 'this' },
    );
  }
  return pass({ managers: `${names}, but there is nothing to lose yet` });
}

function chainsOfOthers(ruleset: Ruleset, flushes: Manager['flushes'], owners: RuleOwners): number {
  return ruleset.chains.filter((chain) => {
    if (ruleOwnerOf(owners, chain) === undefined) return false;
    const backend = backendOf(chain, ruleset);
    return flushes === 'iptables' ? backend !== 'nf_tables' : backend !== 'iptables-legacy';
  }).length;
}

async function flushingManagers(
  host: Host,
  enabled: ReadonlySet<string>,
): Promise<readonly Manager[]> {
  const found: Manager[] = [];
  if (await firewalldFlushes(host)) {
    found.push({
      name: 'firewalld',
      flushes: 'iptables',
      next: 'systemctl disable --now firewalld, or firewalld 2.0 with FirewallBackend=nftables',
    });
  }
  if (enabled.has('nftables.service')) {
    for (const path of ['/etc/nftables.conf', '/etc/sysconfig/nftables.conf']) {
      if (!/^\s*flush\s+ruleset\b/m.test((await host.readText(path)) ?? '')) continue;
      found.push({
        name: path,
        flushes: 'everything',
        next: `in ${path}: destroy table inet filter, instead of flush ruleset`,
      });
    }
  }
  for (const unit of ['iptables.service', 'netfilter-persistent.service']) {
    if (!enabled.has(unit)) continue;
    found.push({ name: unit, flushes: 'iptables', next: `systemctl disable ${unit}` });
  }
  return found;
}

/**
 * Until version 2.0 firewalld flushes every table of iptables when it is loaded again, whatever its backend and whatever
 * FlushAllOnReload says (seen with 1.3.3); since then only with the backend iptables. RHEL 9 and later have the change in 1.2.5 and 1.3.4.
 */
async function firewalldFlushes(host: Host): Promise<boolean> {
  if ((await serviceState(host, 'firewalld.service')) !== 'running') return false;
  const settings = parseSettings((await host.readText('/etc/firewalld/firewalld.conf')) ?? '');
  const backend = settings.find(({ key }) => key === 'FirewallBackend')?.value.toLowerCase();
  if (backend === 'iptables') return true;
  const version = await firewalldVersion(host);
  if (version === undefined || version >= 2) return false;
  const { id, idLike, versionId } = await host.osFacts();
  const isRhel = id === 'rhel' || idLike.split(' ').includes('rhel');
  return !(isRhel && Number.parseInt(versionId, 10) >= 9);
}

/** The number before the first dot, from its Python package; undefined where that is not found. */
async function firewalldVersion(host: Host): Promise<number | undefined> {
  const pythons = ((await host.listDirectory('/usr/lib')) ?? []).filter((name) =>
    /^python3(\.[0-9]+)?$/.test(name),
  );
  for (const python of pythons) {
    for (const packages of ['dist-packages', 'site-packages']) {
      const path = `/usr/lib/${python}/${packages}/firewall/config/__init__.py`;
      const major = /^VERSION\s*=\s*['"]([0-9]{1,4})\./m.exec(
        (await host.readText(path)) ?? '',
      )?.[1];
      if (major !== undefined) return Number(major);
    }
  }
  return undefined;
}
