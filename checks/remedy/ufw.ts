/**
 * @module Changes in ufw's words (ufw(8)). Pure.
 *
 * INPUT jumps to ufw-before-input, which ends in a jump to ufw-user-input, where `ufw allow` appends and `ufw insert 1` puts a rule
 * first. What the command has no words for (protocol 4, ICMP) stands in /etc/ufw/before.rules: chain ufw-before-input.
 */
import { baseOf, type Case, type Change } from './change.ts';
import { type ChainKey, chainNamed } from './edit.ts';
import { acceptExpressions } from './expressions.ts';
import type { Opening } from './opening.ts';
import { iptablesWords } from './raw.ts';

const hooks = { in: 'input', out: 'output', forward: 'forward' } as const;
/** ufw.util.supported_protocols, of those without ports; `gre` and the others are of both families. */
const portless: ReadonlyMap<number, string> = new Map([
  [47, 'gre'],
  [50, 'esp'],
  [51, 'ah'],
]);
const ported: ReadonlyMap<number, string> = new Map([
  [6, 'tcp'],
  [17, 'udp'],
]);

export function ufwChanges(given: Case): readonly Change[] {
  const { opening, ruleset, blocker } = given;
  const base = baseOf(blocker);
  const { direction, family } = opening;
  if (base.family !== family || base.table !== 'filter') return [];
  const prefix = family === 'ip' ? 'ufw' : 'ufw6';
  const find = (part: string): ChainKey | undefined =>
    chainNamed(ruleset, base, `${prefix}-${part}-${hooks[direction]}`);
  const user = find('user');
  const before = find('before');
  const expressions = acceptExpressions(opening, family);
  const rule = ruleWords(opening);
  const changes: Change[] = [];
  if (user !== undefined && rule !== undefined) {
    const route = direction === 'forward' ? 'route ' : '';
    // Positions are counted over both families, IPv4 first; `prepend` asks for none, but is not in ufw before 0.36.
    const first = family === 'ip' ? 'insert 1' : 'prepend';
    changes.push(
      {
        manager: 'ufw',
        commands: [`ufw ${route}allow ${rule}`],
        edit: { chain: user, at: 'end', expressions },
      },
      {
        manager: 'ufw',
        commands: [`ufw ${route}${first} allow ${rule}`],
        edit: { chain: user, at: 1, expressions },
      },
    );
  }
  if (before !== undefined) {
    const file = `/etc/ufw/before${family === 'ip' ? '' : '6'}.rules`;
    const line = `-A ${before.name} ${iptablesWords(opening)} -j ACCEPT`;
    changes.push({
      manager: 'ufw',
      commands: [`sed -i '/^# End required lines/a ${line}' ${file}`, 'ufw reload'],
      edit: { chain: before, at: 1, expressions },
    });
  }
  return changes;
}

/** `from 10.0.0.2 to any port 8472 proto udp`; undefined for a protocol that ufw has no word for. */
function ruleWords(opening: Opening): string | undefined {
  const { direction, family, protocol, port, devices } = opening;
  if (devices !== undefined) {
    const [from, to] = [devices.inInterface, devices.outInterface].map((name) =>
      name.replace(/\*$/, '+'),
    );
    return `in on ${from} out on ${to}`;
  }
  if (protocol === undefined) return undefined;
  const any = family === 'ip' ? '0.0.0.0/0' : '::/0';
  const source = opening.source?.text;
  const destination = opening.destination?.text;
  const name = port === undefined ? portless.get(protocol) : ported.get(protocol);
  if (name === undefined) return undefined;
  // Without an address ufw would open both families.
  const isBare = source === undefined && destination === undefined;
  return [
    ...(direction === 'out' ? ['out'] : []),
    ...(isBare ? [`from ${any}`] : source === undefined ? [] : [`from ${source}`]),
    `to ${destination ?? 'any'}`,
    ...(port === undefined ? [] : [`port ${port}`]),
    `proto ${name}`,
  ].join(' ');
}
