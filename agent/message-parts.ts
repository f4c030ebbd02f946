/** @module Parts that several sentences share. Pure. */
import type { Reason } from '../checks/check.ts';
import type { FirewallPlace } from '../checks/firewall-verdict.ts';
import type { Facts } from './message-facts.ts';

/**
 * Who does it, first of all: `worker-2's firewall drops it: inet filter input, handle 12 "udp dport 8472 drop" (UDP port 8472)`. Undefined
 * where no rule or policy is known.
 */
export function culpritFirst(reason: Reason, facts: Facts): string | undefined {
  const { place, blamed, thing, receiver, outcome } = facts;
  if (outcome !== 'fail' || place === undefined) return undefined;
  const node = blamed === '' ? receiver : blamed;
  return `${node}'s firewall ${deedOf(reason, facts)}: ${placeWords(place)} (${thing})`;
}

function deedOf(reason: Reason, { get, has }: Facts): string {
  if (reason === 'rewritten')
    return `sends it elsewhere${has('rewrittenTo') ? ` (${get('rewrittenTo')})` : ''}`;
  if (reason.startsWith('answer-')) return 'drops the answer';
  return reason.startsWith('rejected-') ? 'rejects it' : 'drops it';
}

/** `inet filter input, handle 12 "udp dport 8472 drop"`. iptables counts its rules, and knows no handles. */
function placeWords(place: FirewallPlace): string {
  const { backend, family, table, chain, handle, number, policy, rule } = place;
  const where = `${family} ${table} ${chain}`;
  if (policy !== undefined) return `${where}, policy ${policy}`;
  const isCounted = number !== undefined && (backend !== 'nf_tables' || handle === undefined);
  const which = isCounted ? `rule ${number}` : `handle ${handle ?? '?'}`;
  return `${where}, ${which}${rule === undefined ? '' : ` "${rule}"`}`;
}

/** The rule that decides, where the evidence names one that nobody is blamed for. */
export function ruleOf({ place, has, get }: Facts): string {
  return place === undefined && has('decidedBy') ? get('decidedBy') : '';
}

/** What else it may be, where a diagnosis could not tell. */
export function candidatesOf({ has, get }: Facts): string {
  return has('candidates') ? `; one of: ${get('candidates')}` : '';
}

export function becauseOf({ has, get }: Facts): string {
  const parts = [
    has('why') ? get('why') : '',
    has('undetermined') ? get('undetermined') : '',
    has('notModelled') ? `not modelled: ${get('notModelled')}` : '',
  ].filter((part) => part !== '');
  return parts.length === 0 ? '' : `: ${parts.join('; ')}`;
}

/** The question to this node's own firewall, as one types it. */
export function explainIt({ get, has, kind, peerAddress, receiver }: Facts): string {
  const protocol = protocolOf(kind, get, has);
  const way = receiver === 'this node' ? '--from' : '--to';
  return `on this node: cni-preflight explain ${protocol} ${way} ${peerAddress}`;
}

export function protocolOf(kind: Facts['kind'], get: Facts['get'], has: Facts['has']): string {
  const word =
    kind === 'tcp-port' ? 'tcp' : kind === 'udp-port' || kind === 'vxlan-path' ? 'udp' : '';
  const protocol = word !== '' ? word : has('protocol') ? get('protocol') : 'icmp';
  return has('port') ? `${protocol}/${get('port')}` : protocol;
}

/** How to see the rules that matter, with whichever tool is there. */
export function listRules({ kind, get, has }: Facts): string {
  const word = has('port') ? get('port') : kind === 'ip-protocol' ? 'proto' : 'icmp';
  return `nft -a list ruleset | grep -nw ${word}; iptables-save | grep -w -e ${word} -e policy -e DROP -e REJECT`;
}

/** The packets in question, as they are captured. */
export function captureIt({ kind, get, has, peerAddress }: Facts): string {
  const protocol = protocolOf(kind, get, has).split('/')[0] ?? '';
  const what = has('port')
    ? `${protocol} port ${get('port')}`
    : /^\d+$/.test(protocol)
      ? `proto ${protocol}`
      : 'icmp or icmp6';
  return `tcpdump -ni any host ${peerAddress} and ${what}`;
}

export function runAgent({ receiver, sender }: Facts): string {
  const where = receiver === 'this node' ? sender : receiver;
  return `run cni-preflight on ${where}, too: check --wait 60 on all nodes at once, or the agent`;
}

export function probesOf({ get, has }: Facts): string {
  if (!has('sent')) return 'the probes';
  return get('sent') === '1' ? '1 probe' : `${get('sent')} probes`;
}

export function ownerOf({ get, has }: Facts): string {
  const owner = get('owner');
  if (owner === 'kernel') return 'the kernel (a tunnel device)';
  if (owner === 'unnamed') return `a process of uid ${get('uid')} whose name may not be seen`;
  return has('pid') ? `${owner} (pid ${get('pid')})` : owner;
}

export function icmpOf({ get, has }: Facts): string {
  return has('icmp') ? ` (ICMP ${get('icmp')})` : '';
}

export function differencesOf({ get, has }: Facts): string {
  return ['provider', 'encapsulation', 'vni', 'port', 'mtu']
    .filter((field) => has(`${field}Here`) && get(`${field}Here`) !== get(`${field}There`))
    .map((field) => `${field} ${get(`${field}Here`)} here, ${get(`${field}There`)} there`)
    .join('; ');
}

export function shortfall(get: Facts['get']): string {
  const missing = Number(get('neededBytes')) - Number(get('pathMtuBytes'));
  return Number.isFinite(missing) ? String(missing) : '?';
}

export function milliseconds(seconds: string): string {
  const ms = Number(seconds) * 1000;
  if (!Number.isFinite(ms)) return '?';
  return `${ms >= 100 ? ms.toFixed(0) : ms >= 1 ? ms.toFixed(1) : ms.toFixed(2)} ms`;
}

export function familyOf({ get }: Facts): string {
  return get('family') === 'ipv6' ? 'IPv6' : 'IPv4';
}

export function oneOf(values: string): string {
  return values.replaceAll(',', ' or ');
}

/** Evidence lists `URL detail` pairs. */
export function firstUrl(list: string): string {
  return list.split(/[ ,]/)[0] ?? '';
}
