/**
 * @module Changes in firewalld's words (firewall-cmd(1), firewalld.richlanguage(5)). Pure.
 *
 * Packets of a zone go through filter_IN_ZONE, which jumps to its chains _pre, _log, _deny, _allow and _post and then does what the
 * zone's target says. What is added is appended to _allow; a rich rule of negative priority stands in _pre, in order of priority.
 * With the backend iptables the chains are IN_ZONE and so on, in the table filter. A policy has chains IN_policy_NAME.
 */
import { baseOf, type Case, type Change, stepsOf } from './change.ts';
import { type ChainKey, chainNamed } from './edit.ts';
import { acceptExpressions, deviceMatch } from './expressions.ts';
import { icmpProtocols, type Opening, portProtocols } from './opening.ts';

/** A zone or policy, and where its chains are. */
interface Target {
  readonly option: string;
  readonly chain: (part: 'pre' | 'allow') => ChainKey | undefined;
}

export function firewalldChanges(given: Case): readonly Change[] {
  const { opening } = given;
  if (opening.devices !== undefined) return trusted(given, opening.devices.inInterface);
  const target = targetOf(given);
  const rich = richRule(opening);
  if (target === undefined || rich === undefined) return [];
  const changes: Change[] = [];
  const propose = (part: 'pre' | 'allow', add: string, hasFamily: boolean): void => {
    const chain = target.chain(part);
    if (chain === undefined) return;
    changes.push({
      manager: 'firewalld',
      commands: [
        `firewall-cmd ${target.option} ${add}`,
        `firewall-cmd --permanent ${target.option} ${add}`,
      ],
      edit: {
        chain,
        at: 'end',
        expressions: acceptExpressions(opening, chain.family, { family: hasFamily }),
      },
    });
  };
  const plain = plainOption(opening);
  if (plain !== undefined) propose('allow', plain, false);
  else propose('allow', `--add-rich-rule='rule ${rich}'`, true);
  propose('pre', `--add-rich-rule='rule priority="-1" ${rich}'`, true);
  return changes;
}

/** What comes in by a device of the zone `trusted` is sent on to any other (its target is ACCEPT). */
function trusted({ ruleset, blocker }: Case, device: string): readonly Change[] {
  const base = baseOf(blocker);
  const chain = chainNamed(ruleset, base, 'filter_FORWARD_ZONES');
  if (chain === undefined) return [];
  const option = `--change-interface=${device.replace(/\*$/, '+')}`;
  const expressions = [
    ...deviceMatch('iifname', device),
    { kind: 'verdict', verdict: { code: 'accept' } } as const,
  ];
  const commands = ['', '--permanent '].map((how) => `firewall-cmd ${how}--zone=trusted ${option}`);
  return [{ manager: 'firewalld', commands, edit: { chain, at: 1, expressions } }];
}

const sides = { in: 'IN', out: 'OUT', forward: 'FWD' } as const;

/** The zone or policy in which the packet is lost: that of the deciding rule's chain, else the last that it came through. */
function targetOf(given: Case): Target | undefined {
  const { blocker, ruleset, opening } = given;
  const base = baseOf(blocker);
  const prefix = `${base.table === 'firewalld' ? 'filter_' : ''}${sides[opening.direction]}_`;
  const names = [
    blocker.chain.name,
    ...stepsOf(given)
      .map(({ chain }) => chain.name)
      .reverse(),
  ];
  for (const name of names) {
    if (!name.startsWith(prefix)) continue;
    const whole = name.slice(prefix.length);
    const has = (zone: string): boolean =>
      chainNamed(ruleset, base, `${prefix}${zone}_allow`) !== undefined;
    const zone = has(whole) ? whole : whole.replace(/_(pre|log|deny|allow|post)$/, '');
    if (!has(zone)) continue;
    const policy = /^policy_(.+)$/.exec(zone)?.[1];
    // Between zones only a policy decides, and a new one takes effect with a reload alone.
    if (policy === undefined && opening.direction !== 'in') continue;
    if (!/^[A-Za-z0-9_][A-Za-z0-9_-]*$/.test(policy ?? zone)) return undefined;
    return {
      option: policy === undefined ? `--zone=${zone}` : `--policy=${policy}`,
      chain: (part) => chainNamed(ruleset, base, `${prefix}${zone}_${part}`),
    };
  }
  return undefined;
}

/** `--add-port=8472/udp`, where no address is to be named. */
function plainOption({ source, destination, port, protocol }: Opening): string | undefined {
  if (source !== undefined || destination !== undefined) return undefined;
  if (protocol === undefined) return undefined;
  if (port !== undefined) return `--add-port=${port}/${portProtocols.get(protocol)}`;
  return icmpProtocols.has(protocol) ? undefined : `--add-protocol=${protocol}`;
}

/** Types that firewalld has names for (/usr/lib/firewalld/icmptypes). */
const icmpNames: Readonly<Record<'ip' | 'ip6', ReadonlyMap<number, string>>> = {
  ip: new Map([
    [0, 'echo-reply'],
    [3, 'destination-unreachable'],
    [8, 'echo-request'],
    [11, 'time-exceeded'],
    [12, 'parameter-problem'],
  ]),
  ip6: new Map([
    [1, 'destination-unreachable'],
    [2, 'packet-too-big'],
    [3, 'time-exceeded'],
    [4, 'parameter-problem'],
    [128, 'echo-request'],
    [129, 'echo-reply'],
  ]),
};

function richRule(opening: Opening): string | undefined {
  const { family, source, destination, port, protocol, icmpType } = opening;
  if (protocol === undefined) return undefined;
  const icmpName = icmpType === undefined ? undefined : icmpNames[family].get(icmpType);
  if (icmpType !== undefined && icmpName === undefined) return undefined;
  return [
    `family="${family === 'ip' ? 'ipv4' : 'ipv6'}"`,
    ...(source === undefined ? [] : [`source address="${source.text}"`]),
    ...(destination === undefined ? [] : [`destination address="${destination.text}"`]),
    port !== undefined
      ? `port port="${port}" protocol="${portProtocols.get(protocol)}"`
      : icmpName !== undefined
        ? `icmp-type name="${icmpName}"`
        : `protocol value="${protocol}"`,
    'accept',
  ].join(' ');
}
