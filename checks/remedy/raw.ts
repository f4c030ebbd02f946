/** @module Changes in the words of `nft` and of `iptables`: a rule before the one that decides. Pure. */
import type { Rule } from 'node-nftables';
import { baseOf, type Case, type Change, stepsOf } from './change.ts';
import { type ChainKey, chainNamed, rulesOf, sameChain } from './edit.ts';
import { acceptExpressions } from './expressions.ts';
import { isIptables, isShared, manages, ownerOf } from './managers.ts';
import { icmpProtocols, type Opening, portProtocols } from './opening.ts';

/** A place for a rule: before another one, or behind the last. */
interface Place {
  readonly chain: ChainKey;
  readonly before?: Rule;
}

/** The places for an accepting rule, the one that leaves most of the other rules in force first. */
function placesFor(given: Case): readonly Place[] {
  const { blocker, ruleset } = given;
  const base = baseOf(blocker);
  const lastInBase = stepsOf(given).findLast(({ chain }) => sameChain(chain, base));
  const firstRule = rulesOf(ruleset, base)[0];
  const fallbacks: Place[] = [
    ...(lastInBase === undefined ? [] : [{ chain: base, before: lastInBase.rule }]),
    ...(firstRule === undefined ? [] : [{ chain: base, before: firstRule }]),
  ];
  if (blocker.kind === 'policy') return [{ chain: base }, ...fallbacks];
  const { chain, rule } = blocker;
  // Nobody but the kernel can add to the chain of `jump { … }`.
  const isOpen = !chain.name.startsWith('__chain') && ownerOf(chain, ruleset) !== 'program';
  const isOwn = sameChain(chain, base) || (isOpen && !isShared(chain, ruleset));
  return [...(isOwn ? [{ chain, before: rule }] : []), ...fallbacks];
}

/** What `nft` would do. Not in tables that belong to another program's socket: the kernel refuses. */
export function nftChanges(given: Case): readonly Change[] {
  const { ruleset, opening } = given;
  return placesFor(given).flatMap(({ chain, before }): Change[] => {
    const table = ruleset.tables.find(
      ({ backend, family, name }) =>
        backend === 'nf_tables' && family === chain.family && name === chain.table,
    );
    if (chain.backend !== 'nf_tables' || table?.owner !== undefined) return [];
    if (!isNftName(chain.table) || !isNftName(chain.name)) return [];
    const where = `${chain.family} ${chain.table} ${chain.name}`;
    const words = `${nftWords(opening, chain)} accept`;
    const edit = {
      chain,
      at: before?.index ?? ('end' as const),
      expressions: acceptExpressions(opening, chain.family),
    };
    const command =
      before === undefined
        ? `nft add rule ${where} ${words}`
        : `nft insert rule ${where} position ${before.handle} ${words}`;
    return [{ manager: 'nftables', commands: [command], edit }];
  });
}

/** As nft's scanner reads a name, without what a shell would read in it. */
function isNftName(name: string): boolean {
  return /^[A-Za-z_.][A-Za-z0-9_.-]*$/.test(name);
}

function nftWords(opening: Opening, { family: table }: ChainKey): string {
  const { family, protocol, devices, source, destination, port, icmpType, established } = opening;
  if (devices !== undefined) {
    const { inInterface, outInterface } = devices;
    const family_ = table === family ? [] : [nftFamily(family, table)];
    return [...family_, `iifname ${quoted(inInterface)} oifname ${quoted(outInterface)}`].join(' ');
  }
  const transport = protocol === undefined ? undefined : portProtocols.get(protocol);
  const namesFamily = source === undefined && destination === undefined && table !== family;
  const icmp = family === 'ip' ? 'icmp' : 'icmpv6';
  return [
    ...(namesFamily ? [nftFamily(family, table)] : []),
    ...(source === undefined ? [] : [`${family} saddr ${source.text}`]),
    ...(destination === undefined ? [] : [`${family} daddr ${destination.text}`]),
    port !== undefined && transport !== undefined
      ? `${transport} dport ${port}`
      : icmpType !== undefined
        ? `${icmp} type ${icmpType}`
        : established?.sourcePort !== undefined && transport !== undefined
          ? `${transport} sport ${established.sourcePort}`
          : `meta l4proto ${protocol}`,
    ...(established === undefined || table === 'netdev' ? [] : ['ct state established']),
  ].join(' ');
}

/** So that a shell does not look for files of such a name. */
function quoted(name: string): string {
  return name.endsWith('*') ? `'${name}'` : name;
}

function nftFamily(family: 'ip' | 'ip6', table: ChainKey['family']): string {
  if (table === 'inet') return `meta nfproto ${family === 'ip' ? 'ipv4' : 'ipv6'}`;
  return `meta protocol ${family}`;
}

/** What `iptables` would do, in tables that it made. */
export function iptablesChanges(given: Case): readonly Change[] {
  const { ruleset, blocker } = given;
  const base = baseOf(blocker);
  // Docker keeps one chain for rules of others, and asks that they are put there.
  const places: Place[] = [];
  if (given.opening.direction === 'forward' && manages('docker', base, ruleset)) {
    const chain = chainNamed(ruleset, base, 'DOCKER-USER');
    const before = chain === undefined ? undefined : rulesOf(ruleset, chain)[0];
    if (chain !== undefined) places.push(before === undefined ? { chain } : { chain, before });
  }
  const owner = ownerOf(blocker.chain, ruleset);
  if (owner === 'iptables') places.push(...placesFor(given));
  return places.flatMap((place) => iptablesChange(given, place));
}

function iptablesChange(
  { ruleset, opening, managers }: Case,
  { chain, before }: Place,
): readonly Change[] {
  const { family, table, name, backend } = chain;
  if (family !== opening.family || !isIptables(chain, ruleset)) return [];
  if (!/^[A-Za-z0-9_.][A-Za-z0-9_.-]*$/.test(name) || !/^[a-z]+$/.test(table)) return [];
  const kind = backend === 'iptables-legacy' ? 'legacy' : 'nft';
  const program = managers.iptables[kind];
  const binary = family === 'ip' ? program : program.replace(/^iptables/, 'ip6tables');
  const words = [
    binary,
    ...(table === 'filter' ? [] : ['-t', table]),
    ...(before === undefined ? ['-A', name] : ['-I', name, String(before.index)]),
    iptablesWords(opening),
    '-j ACCEPT',
  ];
  const edit = {
    chain,
    at: before?.index ?? ('end' as const),
    expressions: acceptExpressions(opening, family),
  };
  return [{ manager: 'iptables', commands: [words.join(' ')], edit }];
}

/** `-s 10.0.0.2 -p udp --dport 8472`: also what stands in ufw's own files. */
export function iptablesWords(opening: Opening): string {
  const { family, protocol, devices, source, destination, port, icmpType, established } = opening;
  if (devices !== undefined) {
    const [from, to] = [devices.inInterface, devices.outInterface].map((name) =>
      name.replace(/\*$/, '+'),
    );
    return `-i ${from} -o ${to}`;
  }
  if (protocol === undefined) return '';
  const sourcePort = established?.sourcePort;
  const hasPort = port !== undefined || sourcePort !== undefined;
  const icmp = family === 'ip' ? 'icmp' : 'icmpv6';
  const isIcmp = icmpProtocols.get(protocol) === family;
  return [
    ...(source === undefined ? [] : [`-s ${source.text}`]),
    ...(destination === undefined ? [] : [`-d ${destination.text}`]),
    `-p ${hasPort ? portProtocols.get(protocol) : isIcmp ? icmp : protocol}`,
    ...(port === undefined ? [] : [`--dport ${port}`]),
    ...(sourcePort === undefined ? [] : [`--sport ${sourcePort}`]),
    ...(icmpType === undefined ? [] : [`--${icmp}-type ${icmpType}`]),
    ...(established === undefined ? [] : ['-m conntrack --ctstate ESTABLISHED']),
  ].join(' ');
}
