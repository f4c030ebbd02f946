/** @module Who made a rule, and how its user knows it: told by the names of chains and tables. Pure. */
import type { Ruleset } from 'node-nftables';
import type { FirewallPlace } from '../checks/firewall-verdict.ts';

/** How the user of a firewall manager knows a rule or policy; undefined for rules that no manager is known to have made. */
export function ownerWords(
  place: FirewallPlace,
  { chains }: Pick<Ruleset, 'chains'>,
): string | undefined {
  const { chain, table } = place;
  const hasUfw = chains.some(
    ({ name, family }) =>
      family === place.family && (name === 'ufw-user-input' || name === 'ufw6-user-input'),
  );
  if (hasUfw) {
    const words = ufwWords(place);
    if (words !== undefined) return words;
  }
  if (table === 'firewalld' || /^(IN|FWD[IO]?|OUT)_[a-z]/.test(chain)) return firewalldWords(place);
  return owners.find(({ pattern }) => pattern.test(chain) || pattern.test(table))?.words;
}

const directions: Readonly<Record<string, string>> = {
  INPUT: 'incoming',
  OUTPUT: 'outgoing',
  FORWARD: 'routed',
};

/** The chains that ufw's init file makes: `ufw-before-*`, `ufw-user-*`, `ufw-after-*`, and the way to the policy. */
function ufwWords({ chain, policy, rule = '' }: FirewallPlace): string | undefined {
  const direction = directions[chain];
  if (policy !== undefined && direction !== undefined)
    return `ufw: the default, ${ufwPolicies[policy] ?? policy} (${direction})`;
  const match = /^ufw6?-([a-z-]+?)-(input|output|forward)$/.exec(chain);
  const [, part = '', hook = ''] = match ?? [];
  const word = directions[hook.toUpperCase()] ?? hook;
  if (part === 'skip-to-policy')
    return `ufw: the default, ${/REJECT/.test(rule) ? 'reject' : /DROP/.test(rule) ? 'deny' : 'allow'} (${word})`;
  if (part === 'user' || part === 'user-logging')
    return `ufw: a rule of yours, as \`ufw status numbered\` lists it: ${ufwRule(rule, hook)}`;
  if (chain.includes('user-limit')) return 'ufw: a rule of yours with `limit`';
  if (part === 'before' || part === 'after')
    return `ufw: a rule of its own, in /etc/ufw/${part}${chain.startsWith('ufw6') ? '6' : ''}.rules`;
  return match === null ? undefined : 'ufw: a rule of its own';
}

const ufwPolicies: Readonly<Record<string, string>> = { drop: 'deny', accept: 'allow' };
const ufwActions = [
  [/-j (?:ufw6?-user-limit|ufw6?-user-limit-accept)/, 'limit'],
  [/REJECT|\breject\b/, 'reject'],
  [/DROP|\bdrop\b/, 'deny'],
  [/ACCEPT|\baccept\b/, 'allow'],
] as const;

/** `deny in from 10.0.0.2 to any port 8472 proto udp`: from `-s 10.0.0.2/32 -p udp --dport 8472 -j DROP`. */
function ufwRule(rule: string, hook: string): string {
  const option = (pattern: RegExp): string | undefined => pattern.exec(rule)?.[1];
  const action = ufwActions.find(([pattern]) => pattern.test(rule))?.[1] ?? 'a rule';
  const source = option(/(?:-s |saddr )(\S+)/)?.replace(/\/(32|128)$/, '');
  const destination = option(/(?:-d |daddr )(\S+)/)?.replace(/\/(32|128)$/, '');
  const port = option(/(?:--dports? |dport )(\{[^}]*\}|\S+)/);
  const protocol = option(/(?:-p |^)(udp|tcp)\b/) ?? option(/\b(udp|tcp)\b/);
  const way = { input: 'in', output: 'out', forward: 'fwd' }[hook] ?? '';
  return [
    action,
    way,
    `from ${source ?? 'any'}`,
    `to ${destination ?? 'any'}`,
    port === undefined ? '' : `port ${port}`,
    protocol === undefined ? '' : `proto ${protocol}`,
  ]
    .filter((part) => part !== '')
    .join(' ');
}

/** firewalld names its chains `filter_IN_ZONE_deny`, or `IN_ZONE_deny` with the backend iptables. */
function firewalldWords({ chain }: FirewallPlace): string {
  const match =
    /(?:^|_)(IN|FWD[IO]?|OUT)_(.+?)(?:_(pre|log|deny|allow|post))?$/.exec(chain) ?? undefined;
  if (match === undefined) return 'firewalld: what no zone lets pass';
  const [, , name = '', part] = match;
  const zone = name.startsWith('policy_')
    ? `policy ${name.slice('policy_'.length)}`
    : `zone ${name}`;
  return part === undefined
    ? `firewalld: the target of ${zone}`
    : `firewalld: ${zone}, as \`firewall-cmd --list-all --zone=${name}\` lists it`;
}

const owners = [
  { pattern: /^KUBE-|^kube-proxy$/, words: 'a rule of kube-proxy' },
  { pattern: /^(cali-|calico)/, words: 'a rule of Calico' },
  { pattern: /^(FLANNEL-|flannel)/, words: 'a rule of flannel' },
  { pattern: /^(CILIUM_|OLD_CILIUM_|cilium)/, words: 'a rule of Cilium' },
  { pattern: /^WEAVE-/, words: 'a rule of Weave' },
  { pattern: /^DOCKER/, words: 'a rule of Docker' },
  { pattern: /^CNI-/, words: 'a rule of a CNI plugin (portmap)' },
  { pattern: /^f2b-/, words: 'a ban of fail2ban' },
] as const;
