/** @module The report for a person: worst first, one line a finding, what to do below it. Pure. */
import { styleText } from 'node:util';
import { groupAlternatives } from './alternatives.ts';
import { nextStep } from './messages.ts';
import type { Finding, ProviderVerdict, StatusDocument } from './model.ts';
import { isUntoldByRules } from './readiness.ts';
import { renderTable, wrap } from './text-layout.ts';

export interface TextOptions {
  readonly color: boolean;
  /** Columns of the terminal; absent where lines may be of any length, as in a file. */
  readonly width?: number;
  /** The findings to list, where not all are wanted; the summary counts all of them, anyway. */
  readonly shown?: readonly Finding[];
}

/** Renders the whole document. */
export function renderText(document: StatusDocument, options: TextOptions): string {
  const clean = printable(document);
  const { providers, findings } = clean;
  const lines = [...headLines(clean, options), ''];
  if (providers !== undefined && providers.length > 0) {
    lines.push(...providerLines(providers, options), '', ...allSummary(providers, clean));
  } else {
    const { shown = document.findings } = options;
    const peerCount = new Set(clean.peers.map(({ name }) => name)).size;
    const all = entriesOf(findings, peerCount);
    const entries = sortEntries(
      shown === document.findings
        ? all
        : entriesOf(printable({ ...document, findings: [...shown] }).findings, peerCount),
    );
    const column = Math.max(
      0,
      ...entries.map((entry) => (isUnnamed(entry) ? 0 : entry.requirement.length)),
    );
    for (const entry of entries)
      lines.push(...entryLines(entry, column, { ...options, peerCount }));
    if (entries.length > 0) lines.push('');
    lines.push(...reasonLines(clean, options), summaryLine(clean, all, shown.length, options));
  }
  return `${lines.join('\n')}\n`;
}

/** How a line is marked. `alternative`: it failed, but another of its group passes. */
type Mark = 'fail' | 'warn' | 'unknown' | 'info' | 'alternative' | 'pass' | 'skip';

/** Worst first. */
const marks: Readonly<
  Record<Mark, { readonly rank: number; readonly label: string; readonly style: Style }>
> = {
  fail: { rank: 0, label: '✗ FAIL', style: 'red' },
  warn: { rank: 1, label: '! WARN', style: 'yellow' },
  unknown: { rank: 2, label: '? UNKNOWN', style: 'magenta' },
  info: { rank: 3, label: 'i INFO', style: 'cyan' },
  alternative: { rank: 4, label: 'i INFO', style: 'cyan' },
  pass: { rank: 5, label: '✓ PASS', style: 'green' },
  skip: { rank: 6, label: '- SKIP', style: 'dim' },
};
type Style = 'red' | 'yellow' | 'magenta' | 'cyan' | 'green' | 'dim' | 'bold';

const labelWidth = 9;
/** So many peers that fail alike are one line. */
const alikeFrom = 4;
const namesShown = 8;
const commandsShown = 8;

/** One line of the report, for one finding or for several that are alike. */
interface Entry {
  readonly mark: Mark;
  readonly requirement: string;
  readonly findings: readonly Finding[];
}

function entriesOf(findings: readonly Finding[], peerCount: number): Entry[] {
  const groups = new Map<string, { mark: Mark; requirement: string; findings: Finding[] }>();
  for (const { outcome, members } of groupAlternatives(findings)) {
    for (const finding of members) {
      const mark = markOf(finding, outcome === 'pass');
      const { requirement } = finding;
      const key = keyOf(finding, mark);
      const group = groups.get(key);
      if (group === undefined) groups.set(key, { mark, requirement, findings: [finding] });
      else group.findings.push(finding);
    }
  }
  return [...groups.values()].flatMap((group) =>
    isFolded(group) || group.findings.length >= alikeFrom || isOfAllPeers(group, peerCount)
      ? [group]
      : group.findings.map((finding) => ({
          ...group,
          requirement: finding.requirement,
          findings: [finding],
        })),
  );
}

/** Passes are one line a requirement (of the node: one line a kind), what does not apply one line a reason. */
function keyOf(finding: Finding, mark: Mark): string {
  const { requirement, kind, reason = '', target } = finding;
  if (mark === 'skip') return `skip ${reason}`;
  // What the rules let pass, and why they do not tell, is one line for all requirements.
  if (kind === 'host-firewall' && mark === 'pass') return 'pass host-firewall';
  if (isUntoldByRules(finding)) return `${mark} ${kind} ${reason}`;
  if (mark === 'pass') return target.scope === 'node' ? `pass ${kind}` : `pass ${requirement}`;
  const direction = target.scope === 'peer' ? target.direction : 'node';
  return [mark, requirement, reason, direction].join(' ');
}

/** Whether its findings stay together even when they are few. */
function isFolded({ mark, findings }: Entry): boolean {
  const [first] = findings;
  if (mark === 'skip' || (first !== undefined && isUntoldByRules(first))) return true;
  return mark === 'pass' && first?.target.scope === 'peer';
}

/** Whether one and the same thing is said of every peer: of two it is told once, too. */
function isOfAllPeers({ findings }: Entry, peerCount: number): boolean {
  const [first] = findings;
  if (peerCount < 2 || peersOf(findings).size < peerCount) return false;
  return findings.every(({ message }) => message === first?.message);
}

function peersOf(findings: readonly Finding[]): ReadonlySet<string> {
  return new Set(findings.flatMap(({ target }) => (target.scope === 'peer' ? [target.name] : [])));
}

/** Whether it stands for several requirements of this node. */
function isManyRequirements({ mark, findings }: Entry): boolean {
  const [first] = findings;
  if (first === undefined || findings.length < 2) return false;
  if (isUntoldByRules(first)) return true;
  if (first.kind === 'host-firewall') return mark === 'pass';
  return mark === 'pass' && first.target.scope === 'node';
}

function markOf({ outcome, level }: Finding, alternativePasses: boolean): Mark {
  if (outcome === 'pass' || outcome === 'skip') return outcome;
  if (alternativePasses) return 'alternative';
  if (outcome === 'unknown') return 'unknown';
  return failedMarks[level];
}

const failedMarks = { required: 'fail', recommended: 'warn', info: 'info' } as const;

/** Its requirements are listed instead: every one is named, so that --only and --ignore can use it. */
function isUnnamed(entry: Entry): boolean {
  return entry.mark === 'skip' || isManyRequirements(entry);
}

function sortEntries(entries: readonly Entry[]): Entry[] {
  const levels = { required: 0, recommended: 1, info: 2 };
  const rank = ({ mark, findings }: Entry): number =>
    marks[mark].rank * 10 + levels[findings[0]?.level ?? 'info'];
  return [...entries].sort((one, other) => rank(one) - rank(other));
}

function entryLines(
  entry: Entry,
  column: number,
  options: TextOptions & { readonly peerCount: number },
): string[] {
  const { mark, findings } = entry;
  const [first] = findings;
  if (first === undefined) return [];
  const { label, style } = marks[mark];
  const { width = Number.POSITIVE_INFINITY, color } = options;
  const name = isUnnamed(entry) ? '' : `${entry.requirement.padEnd(column)}  `;
  const head = `${label.padEnd(labelWidth)}  ${name}`;
  const body = [targetText(entry, options.peerCount), sentenceOf(entry)]
    .filter((part) => part !== '')
    .join('  ');
  const indent = ' '.repeat(labelWidth + 2);
  const [line = '', ...more] = wrap(body, { width, indent, first: head });
  const marked = paint(line.slice(0, labelWidth), style, color) + line.slice(labelWidth);
  const lines = [marked, ...more];
  if (mark === 'pass' || mark === 'skip' || mark === 'alternative') return lines;

  const detail = (word: string, text: string): void => {
    const start = `${indent}${word.padEnd(4)}  `;
    const wrapped = wrap(text, { width, indent: ' '.repeat(start.length), first: start });
    lines.push(...wrapped.map((one) => paint(one, 'dim', color)));
  };
  detail('why', [first.reason ?? first.outcome, levelText(first, mark)].join(', '));
  const commands = [...new Set(findings.flatMap(commandsOf))];
  const next = nextStep(first);
  for (const command of commands.slice(0, commandsShown)) detail('fix', command);
  const more_ = commands.length - commandsShown;
  if (more_ > 0) detail('fix', `and ${more_} more, on other nodes or for other peers`);
  if (commands.length === 0 && next !== undefined) detail('next', next);
  if (first.documentation !== undefined) detail('docs', first.documentation);
  return lines;
}

/** Peers that fail alike may each need a command of their own. */
function commandsOf({ remedy }: Finding): readonly string[] {
  return (remedy ?? []).flatMap(({ on, commands }) =>
    commands.map((command) => `on ${on}: ${command}`),
  );
}

function levelText({ level }: Finding, mark: Mark): string {
  return mark === 'unknown' ? `${level}: it could not be determined` : level;
}

function sentenceOf(entry: Entry): string {
  const { mark, findings } = entry;
  const [first] = findings;
  if (first === undefined) return '';
  const ids = [...new Set(findings.map(({ requirement }) => requirement))].join(', ');
  if (mark === 'skip') return `${first.reason ?? 'not-applicable'}: ${ids}`;
  if (isManyRequirements(entry)) {
    const many = `${findings.length} of kind ${first.kind}: ${ids}`;
    return mark === 'pass' ? many : `${many}; for example: ${first.message}`;
  }
  const sentence =
    mark === 'alternative' ? `${first.message} (an alternative passes)` : first.message;
  const differs = findings.some(({ message }) => message !== first.message);
  if (!differs) return sentence;
  // Of many passes the slowest or largest says nothing; of many failures one shows what they are like.
  return mark === 'pass' ? '' : `for example: ${sentence}`;
}

/** `→ worker-2 (10.0.0.12)`, `← worker-2`, or how many of them. */
function targetText({ mark, findings }: Entry, peerCount: number): string {
  const peers = findings.flatMap(({ target }) => (target.scope === 'peer' ? [target] : []));
  const [first] = peers;
  if (mark === 'skip' || first === undefined) return '';
  if (findings.length === 1) {
    const shown = first.name === first.address ? first.name : `${first.name} (${first.address})`;
    return `${arrows[first.direction]} ${shown}`;
  }
  const byArrow = new Map<string, string[]>();
  for (const name of new Set(peers.map((peer) => peer.name))) {
    const own = new Set(peers.filter((peer) => peer.name === name).map((peer) => peer.direction));
    // `↔` says both ways of this very peer, and nothing of the others.
    const arrow = own.size > 1 ? '↔' : own.has('outbound') ? arrows.outbound : arrows.inbound;
    byArrow.set(arrow, [...(byArrow.get(arrow) ?? []), name]);
  }
  const isAll = (names: readonly string[]): boolean =>
    mark !== 'pass' && peerCount > 1 && names.length === peerCount;
  return [...byArrow]
    .map(([arrow, names]) =>
      isAll(names)
        ? `${arrow} all ${names.length} peers`
        : names.length < alikeFrom
          ? `${arrow} ${names.join(', ')}`
          : `${arrow} ${names.length} peers${mark === 'pass' ? '' : `: ${shorten(names)}`}`,
    )
    .join('; ');
}

const arrows = { outbound: '→', inbound: '←' } as const;

function shorten(names: readonly string[]): string {
  const rest = names.length - namesShown;
  return rest <= 1 ? names.join(', ') : `${names.slice(0, namesShown).join(', ')} and ${rest} more`;
}

function headLines(
  { node, provider, peers, providers }: StatusDocument,
  { width = Number.POSITIVE_INFINITY }: TextOptions,
): string[] {
  const lines = [`${node.name}: ${node.os}, kernel ${node.kernel}, ${node.architecture}`];
  if (provider !== null) {
    const options = Object.entries(provider.options)
      .filter(([, value]) => value !== '')
      .map(([name, value]) => `${name}=${value}`)
      .join(' ');
    lines.push(
      `${provider.name} (${sources[provider.source]})${options === '' ? '' : ` ${options}`}`,
    );
  }
  if (peers.length > 0) {
    // A peer of two families is listed with each of its addresses, and is one peer.
    const names = peers.map(({ name, agent }) =>
      agent === 'reachable' ? name : `${name} (agent ${agent})`,
    );
    const count = new Set(peers.map(({ name }) => name)).size;
    lines.push(`${countOf(count, 'peer')}: ${shorten([...new Set(names)])}`);
  } else if (providers === undefined) {
    lines.push('no peers');
  }
  return lines.flatMap((line) => wrap(line, { width, indent: '  ', first: '' }));
}

const sources = {
  flag: 'named by --provider',
  environment: 'named in the environment',
  file: 'named in the configuration file',
  detected: 'detected here',
  default: 'default',
} as const;

function reasonLines(
  { readiness, reasons = [] }: StatusDocument,
  { width }: TextOptions,
): string[] {
  if (readiness === 'ready' || reasons.length === 0) return [];
  const [first = '', ...more] = reasons;
  const rest = more.length === 0 ? '' : ` (and ${more.length} more)`;
  return wrap(`This node is ${readiness}: ${first}${rest}`, {
    width: width ?? Number.POSITIVE_INFINITY,
    indent: '  ',
    first: '',
  });
}

function summaryLine(
  document: StatusDocument,
  entries: readonly Entry[],
  shown: number,
  { color }: TextOptions,
): string {
  const count = (mark: Mark): number =>
    entries
      .filter((entry) => entry.mark === mark)
      .reduce((total, { findings }) => total + findings.length, 0);
  const parts = [
    `${count('fail')} failed`,
    countOf(count('warn'), 'warning'),
    `${count('unknown')} unknown`,
    `${count('pass')} passed`,
    `${count('skip')} skipped`,
  ];
  const style = { ready: 'green', 'not-ready': 'red', unknown: 'magenta' } as const;
  const word = paint(document.readiness, style[document.readiness], color);
  const noPath = document.findings.some(({ reason }) => reason === 'no-peers')
    ? '; no path was tested (no other node is known)'
    : '';
  const { length } = document.findings;
  const part = shown < length ? `; ${shown} of ${countOf(length, 'finding')} shown` : '';
  return `${word}: ${parts.join(', ')}${part}${noPath} (${document.durationSeconds.toFixed(1)} s)`;
}

function providerLines(providers: readonly ProviderVerdict[], { color }: TextOptions): string[] {
  const style = { ready: 'green', 'not-ready': 'red', unknown: 'magenta' } as const;
  const table = renderTable({
    header: ['provider', 'readiness', 'failed', 'warnings', 'unknown', 'passed', 'skipped'],
    rows: providers.map(({ name, readiness, summary }) => [
      name,
      readiness,
      String(summary.fail),
      String(summary.warn),
      String(summary.unknown),
      String(summary.pass),
      String(summary.skip),
    ]),
  }).split('\n');
  return table.map((line, index) => {
    const verdict = providers[index - 2];
    if (verdict === undefined) return line;
    return line.replace(` ${verdict.readiness} `, (word) =>
      word.replace(verdict.readiness, paint(verdict.readiness, style[verdict.readiness], color)),
    );
  });
}

function allSummary(providers: readonly ProviderVerdict[], document: StatusDocument): string[] {
  const ready = providers.filter(({ readiness }) => readiness === 'ready').map(({ name }) => name);
  const word = ready.length === 0 ? 'none' : ready.join(', ');
  const noPath = document.peers.length === 0 ? '; no path was tested (no other node is known)' : '';
  return [
    'cni-preflight check --provider NAME tells why.',
    `This node could run: ${word}${noPath} (${document.durationSeconds.toFixed(1)} s)`,
  ];
}

function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function paint(text: string, style: Style, color: boolean): string {
  return color ? styleText(style, text, { validateStream: false }) : text;
}

/** Peers put words into findings: none of them may steer the terminal, or turn a line around. */
function printable(document: StatusDocument): StatusDocument {
  const text = JSON.stringify(document, (_key, value: unknown) =>
    typeof value === 'string' ? value.replaceAll(unprintable, '\uFFFD') : value,
  );
  const clean: StatusDocument = JSON.parse(text);
  return clean;
}

/** Control characters, format characters that change the direction, and line separators. */
const unprintable = /[\p{Cc}\u200E\u200F\u2028-\u202E\u2066-\u2069]/gu;
