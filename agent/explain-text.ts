/** @module An explanation for a tired person: the verdict, who decides, then how it came to that. Pure. */
import { styleText } from 'node:util';
import type { Packet } from 'node-nftables';
import { type FirewallPlace, placeText } from '../checks/firewall-verdict.ts';
import type { Explanation, PathStep } from './explain-answer.ts';
import { protocolName } from './explain-question.ts';

/** Many lines about one packet. */
export function explanationText(explanation: Explanation, { color }: { color: boolean }): string {
  const { verdict, packet, decidedBy, knownAs, candidates, path } = explanation;
  const style = { accept: 'green', drop: 'red', reject: 'red', undetermined: 'magenta' } as const;
  const word = verdictWords(explanation);
  const painted = color ? styleText(style[verdict], word, { validateStream: false }) : word;
  const lines = [''];
  if (verdict !== 'undetermined') {
    if (decidedBy === null) lines.push('decided by   nobody: no rule and no policy sees it');
    else {
      lines.push(`decided by   ${whereOf(decidedBy)}`);
      if (decidedBy.rule !== undefined) lines.push(`             ${decidedBy.rule}`);
      if (knownAs !== undefined) lines.push(`             ${knownAs}`);
    }
    for (const one of candidates) lines.push(`or by        ${placeText(one)}`);
  }
  for (const one of explanation.possible)
    lines.push(
      `possible     ${one.verdict}, by ${one.decidedBy === null ? 'nobody' : placeText(one.decidedBy)}`,
    );
  for (const one of explanation.undetermined) {
    const place =
      one.table === undefined ? '' : `${one.family} ${one.table} ${one.chain}${whichOf(one)}: `;
    lines.push(`not told     ${place}${one.why}`);
  }
  for (const one of explanation.rewrites) lines.push(`rewritten    ${one}`);
  if (explanation.arrives === 'elsewhere')
    lines.push('             so nothing that listens where it was sent to sees it');
  if (verdict !== 'undetermined')
    for (const one of explanation.notModelled) lines.push(`not modelled ${one}`);
  if (path.length > 0) {
    lines.push('', 'rules met, in order');
    const shown = path.slice(0, shownSteps);
    const width = String(shown.length).length;
    for (const [index, step] of shown.entries())
      lines.push(...stepLines(step, `${String(index + 1).padStart(width + 2)}  `));
    if (path.length > shown.length)
      lines.push(`  and ${path.length - shown.length} more (--format json lists them all)`);
  }
  for (const { manager, on, commands } of explanation.remedy ?? []) {
    lines.push('', `what would let it pass (${manager}${on === '' ? '' : `, on ${on}`})`);
    for (const command of commands) lines.push(`  ${command}`);
  }
  return `${painted}: ${[packetText(packet), ...lines].map(printable).join('\n')}\n`;
}

/** One line about one packet of many. */
export function explanationLine(explanation: Explanation, line: number): string {
  const { packet, decidedBy, undetermined } = explanation;
  const why =
    decidedBy === null ? (undetermined[0]?.why ?? 'no rule sees it') : placeText(decidedBy);
  return `${printable(`${line}: ${verdictWords(explanation)}: ${packetText(packet)}: ${why}`)}\n`;
}

const shownSteps = 200;

function verdictWords({ verdict, answer, arrives }: Explanation): string {
  if (verdict === 'reject' && answer !== undefined) return `REJECT (with ${answer})`;
  if (verdict === 'accept' && arrives !== 'as-asked')
    return `ACCEPT, but ${arrives === 'elsewhere' ? '' : 'maybe '}sent elsewhere`;
  return verdict.toUpperCase();
}

function packetText(packet: Packet): string {
  const { protocol, direction, source, destination, sourcePort, destinationPort, icmpType } =
    packet;
  const name = protocolName(protocol);
  const what =
    icmpType !== undefined
      ? `${name} type ${icmpType}`
      : destinationPort === undefined
        ? name
        : `${name}/${destinationPort}`;
  const { inInterface, outInterface, conntrack = 'new' } = packet;
  const ways = [
    inInterface === undefined ? '' : `in by ${inInterface}`,
    outInterface === undefined ? '' : `out by ${outInterface}`,
    conntrack,
  ].filter((part) => part !== '');
  const kind = { in: 'to this host', out: 'sent by this host', forward: 'forwarded' }[direction];
  return [
    what,
    `from ${source ?? 'anywhere'}${sourcePort === undefined ? '' : ` port ${sourcePort}`}`,
    `to ${destination ?? 'anywhere'},`,
    `${kind} (${ways.join(', ')})`,
  ].join(' ');
}

function whereOf(place: FirewallPlace): string {
  const { backend, family, table, chain, hook, policy } = place;
  const which = policy === undefined ? whichOf(place) : `, policy ${policy}`;
  return `${family} ${table} ${chain}${which} (${backend}, hook ${hook})`;
}

function whichOf({ handle, number }: Pick<Partial<FirewallPlace>, 'handle' | 'number'>): string {
  return [
    handle === undefined ? '' : `, handle ${handle}`,
    number === undefined ? '' : `, rule ${number}`,
  ].join('');
}

function stepLines(step: PathStep, head: string): string[] {
  const { family, table, chain, rule = '', matched, did } = step;
  const indent = ' '.repeat(head.length);
  const what = did.length === 0 ? '' : `${matched === 'maybe' ? 'maybe ' : ''}${did.join(', ')}`;
  return [
    `${head}${family} ${table} ${chain}${whichOf(step)}${what === '' ? '' : `: ${what}`}`,
    `${indent}${rule}`,
  ];
}

/** Comments and prefixes in rules are other people's words: none of them may steer the terminal, or turn a line around. */
function printable(text: string): string {
  return text.replaceAll(unprintable, '\uFFFD');
}

/** Control characters, format characters that change the direction, and line separators. */
const unprintable = /[\p{Cc}\u200E\u200F\u2028-\u202E\u2066-\u2069]/gu;
