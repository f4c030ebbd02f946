/**
 * @module What a peer says that should be typed: believed only where it reads like a remedy of ours. A command ends on somebody's screen
 * and then in a root shell, so each is matched as a whole, word by word; whatever a shell would read as more than words is no remedy.
 */
import type { Remedy } from './remedy.ts';

/** At most so many commands are shown of what a peer said. */
export const mostCommands = 8;
export const longestCommand = 300;

const name = '[A-Za-z0-9_.][A-Za-z0-9_.-]{0,63}';
const address = '[0-9A-Fa-f.:]{2,45}(?:/[0-9]{1,3})?';
const number = '[0-9]{1,10}';
const word = '[a-z][a-z0-9-]{0,15}';

/** What an accepting rule of nft matches: addresses, a port, a protocol, an ICMP type, an interface. */
const nftMatch = [
  `ip6? [sd]addr ${address}`,
  `(?:udp|tcp|sctp|udplite|dccp|th) [ds]port ${number}`,
  `icmp(?:v6)? type (?:${number}|${word})`,
  `meta (?:l4proto|nfproto|protocol) (?:${number}|${word})`,
  `[io]ifname (?:${name}|"${name}")`,
  `ct state (?:${word},){0,3}${word}`,
].join('|');

const iptablesMatch = [
  `-[sd] ${address}`,
  `-p (?:${number}|${word})`,
  `--[ds]port ${number}`,
  `--icmp(?:v6)?-type ${number}`,
  `-[io] ${name}`,
  '-m conntrack --ctstate ESTABLISHED',
].join('|');

const ufwWord = [
  'in',
  'out',
  `on ${name}`,
  `from (?:any|${address})`,
  `to (?:any|${address})`,
  `port ${number}`,
  `proto ${word}`,
].join('|');

const richMatch = [
  'priority="-?[0-9]{1,5}"',
  'family="ipv[46]"',
  `(?:source|destination) address="${address}"`,
  `port port="${number}" protocol="${word}"`,
  `icmp-type name="${word}(?:-${word})?"`,
  `protocol value="(?:${number}|${word})"`,
].join('|');

const whole = (pattern: string): RegExp => new RegExp(`^(?:${pattern})$`);
const iptablesRule = `(?: (?:${iptablesMatch})){0,8} -j ACCEPT`;

/** Every form that a remedy of a path has (raw.ts, ufw.ts, firewalld.ts, ../diagnosis): each lets packets pass, and does nothing else. */
const forms: Readonly<Record<string, readonly RegExp[]>> = {
  nftables: [
    whole(
      `nft (?:insert|add) rule (?:inet|ip6?|bridge|netdev|arp) ${name} ${name}` +
        `(?: (?:position|handle) ${number})?(?: (?:${nftMatch})){0,8} accept`,
    ),
  ],
  iptables: [
    whole(
      `ip6?tables(?:-nft|-legacy)?(?: -t ${word})? (?:-A ${name}|-I ${name}(?: ${number})?)${iptablesRule}`,
    ),
  ],
  ufw: [
    whole(`ufw (?:route )?(?:insert ${number} |prepend )?allow(?: (?:${ufwWord})){1,8}`),
    whole(
      `sed -i '/\\^# End required lines/a -A ${name}${iptablesRule}' /etc/ufw/before6?\\.rules`,
    ),
    whole('ufw reload'),
  ],
  firewalld: [
    whole(
      `firewall-cmd(?: --permanent)? --(?:zone|policy)=${name} ` +
        `(?:--add-port=${number}/${word}|--add-protocol=(?:${number}|${word})` +
        `|--add-rich-rule='rule(?: (?:${richMatch})){1,8} accept')`,
    ),
  ],
  sysctl: [
    whole(`sysctl -w net(?:\\.ipv4\\.conf\\.${name}\\.|/ipv4/conf/${name}/)rp_filter=2`),
    whole('sysctl -w net\\.ipv(?:4\\.icmp_|6\\.icmp\\.)echo_ignore_all=0'),
  ],
  iproute2: [whole(`ip neigh del ${address} dev ${name}`)],
};

/** Those of a peer's remedies that may be shown; one with a command that reads like anything else is left out whole. */
export function believable(
  remedies: readonly { readonly manager: string; readonly commands: readonly string[] }[],
): readonly Remedy[] {
  const believed: Remedy[] = [];
  let left = mostCommands;
  for (const { manager, commands } of remedies) {
    if (!isManager(manager) || commands.length === 0 || commands.length > left) continue;
    const known = forms[manager] ?? [];
    const areKnown = commands.every(
      (command) => command.length <= longestCommand && known.some((form) => form.test(command)),
    );
    if (!areKnown) continue;
    left -= commands.length;
    believed.push({ manager, commands: [...commands] });
  }
  return believed;
}

function isManager(
  text: string,
): text is 'nftables' | 'iptables' | 'ufw' | 'firewalld' | 'sysctl' | 'iproute2' {
  return Object.hasOwn(forms, text);
}
