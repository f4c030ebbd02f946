/** @module Rulesets as text for `nft -f`, each rule with what it asks of a packet. */
import type { Direction } from '../evaluate/types.ts';
import type { Hook } from '../model.ts';
import type { IpFamily } from './address.ts';
import { type InterfaceName, interfaces } from './arena.ts';
import type { Declare } from './comparison.ts';
import { type Constraint, equal } from './constraint.ts';
import { type Context, type MarkSetter, usedFields } from './context.ts';
import { generateIptables } from './iptables.ts';
import { drawOtherProtocol, narrowMatch, TCP, UDP, wideMatch } from './matches.ts';
import type { Random } from './random.ts';
import type { ChainText, RestoreText, Script, TableText } from './script.ts';
import { type Ending, ending, passingStatement, verdictMap } from './statements.ts';

/** A rule and how to hit it. */
export interface Aim {
  /** `family table chain index`: the rule's place, which the ruleset that is read back has too. */
  readonly place: string;
  readonly text: string;
  readonly kinds: readonly string[];
  readonly direction: Direction;
  readonly family: IpFamily;
  readonly protocol: number;
  readonly constraints: readonly Constraint[];
}

export interface Generated {
  readonly script: Script;
  readonly aims: readonly Aim[];
}

type BaseContext = Omit<Context, 'direction' | 'family' | 'protocol' | 'constraints'>;

const directions: Readonly<Record<Hook, readonly Direction[]>> = {
  ingress: ['in', 'forward'],
  prerouting: ['in', 'forward'],
  input: ['in'],
  forward: ['forward'],
  output: ['out'],
  postrouting: ['forward', 'out'],
  egress: ['forward', 'out'],
};

const maximumDepth = 3;
/** Of each family's iptables beside the rules of nft. */
const iptablesShare = 0.2;

export function generate(random: Random): Generated {
  const setters: MarkSetter[] = [];
  const aims: Aim[] = [];
  const tables: TableText[] = [];
  const count = random.between(1, 3);
  for (let i = 0; i < count; i++) {
    tables.push(drawTable(random, `t${i}`, setters, aims));
  }
  const restores: RestoreText[] = [];
  for (const family of ['ip', 'ip6'] as const) {
    if (!random.chance(iptablesShare)) continue;
    const restore = generateIptables(random, family, random.chance(0.5) ? 'nft' : 'legacy');
    restores.push(restore.restore);
    aims.push(...restore.aims);
  }
  return { script: { tables, restores }, aims };
}

function drawTable(random: Random, name: string, setters: MarkSetter[], aims: Aim[]): TableText {
  const family = random.weigh([
    [50, 'inet'],
    [20, 'ip'],
    [18, 'ip6'],
    [12, 'netdev'],
  ] as const);
  const table: TableText = { family, name, sets: [], chains: [], isDormant: random.chance(0.03) };
  const declare: Declare = (kind, body) => {
    const set = `${kind === 'set' ? 's' : 'm'}${table.sets.length}`;
    table.sets.push(`  ${kind} ${set} {\n    ${body}\n  }\n`);
    return set;
  };
  const count = family === 'netdev' ? random.between(1, 2) : random.between(1, 4);
  for (let i = 0; i < count; i++) {
    // Rules of a dormant table hold no aims: no packet shall meet them.
    drawBaseChain(random, table, declare, setters, table.isDormant ? [] : aims);
  }
  return table;
}

function drawBaseChain(
  random: Random,
  table: TableText,
  declare: Declare,
  setters: MarkSetter[],
  aims: Aim[],
): void {
  const { family } = table;
  const isNetdev = family === 'netdev';
  const hook: Hook = isNetdev
    ? random.pick(['ingress', 'egress'] as const)
    : random.weigh<Hook>([
        [18, 'prerouting'],
        [34, 'input'],
        [22, 'forward'],
        [16, 'output'],
        [10, 'postrouting'],
      ]);
  const isNatHook = hook !== 'forward' && !isNetdev;
  const type = random.weigh([
    [85, 'filter'],
    [isNatHook ? 12 : 0, 'nat'],
    [hook === 'output' ? 8 : 0, 'route'],
  ] as const);
  const policy =
    type === 'filter' && random.chance(hook === 'prerouting' || isNetdev ? 0.008 : 0.14)
      ? 'drop'
      : 'accept';
  // Equal priorities too: their order is for the kernel to choose.
  const priority = random.weigh([
    [40, policy === 'drop' ? 490 : 0],
    // Mostly at the end, so that not too many rules are behind it.
    [type === 'nat' || policy === 'drop' ? 0 : 15, -150],
    [type === 'nat' || isNetdev || policy === 'drop' ? 0 : 12, -300],
    [15, policy === 'drop' ? 500 : 100],
    [policy === 'drop' ? 4 : 18, random.between(type === 'nat' ? -190 : -500, 500)],
  ] as const);
  const device = isNetdev ? random.pick(interfaces) : undefined;
  const on = device === undefined ? '' : ` device "${device}"`;
  const chain: ChainText = {
    name: `c${table.chains.length}`,
    header: `    type ${type} hook ${hook}${on} priority ${priority}; policy ${policy};\n`,
    rules: [],
  };
  table.chains.push(chain);
  const base: BaseContext = {
    tableFamily: family,
    chainType: type,
    hook,
    priority,
    ...(device === undefined ? {} : { device }),
    declare,
    setters,
  };
  const count = random.between(2, 7);
  for (let i = 0; i < count; i++) {
    const context = drawContext(random, base);
    drawRule(random, table, chain, context, 0, false, setters, aims);
  }
}

/** A rule of a base chain may be about any packet that comes there. */
function drawContext(random: Random, base: BaseContext): Context {
  const { tableFamily, device, hook } = base;
  const family =
    tableFamily === 'ip' || tableFamily === 'ip6' ? tableFamily : random.chance(0.6) ? 'ip' : 'ip6';
  const constraints: Constraint[] = [];
  if (device !== undefined) {
    constraints.push(
      equal(
        hook === 'ingress' ? 'inInterface' : 'outInterface',
        device satisfies string as InterfaceName,
      ),
    );
  }
  return {
    ...base,
    direction: random.pick(directions[hook]),
    family,
    protocol: undefined,
    constraints,
  };
}

function drawRule(
  random: Random,
  table: TableText,
  chain: ChainText,
  above: Context,
  depth: number,
  isEnd: boolean,
  setters: MarkSetter[],
  aims: Aim[],
): void {
  const isPinned = above.protocol !== undefined;
  const protocol =
    above.protocol ??
    random.weigh<() => number>([
      [40, () => TCP],
      [40, () => UDP],
      [12, () => (above.family === 'ip' ? 1 : 58)],
      [6, () => drawOtherProtocol(random, above)],
    ])();
  const context: Context = { ...above, protocol };
  const used = usedFields(context);
  const parts: string[] = [];
  const kinds: string[] = [];
  const own: Constraint[] = [];
  const addMatch = (
    match:
      | { text: string; kinds: readonly string[]; constraints: readonly Constraint[] }
      | undefined,
  ): void => {
    if (match === undefined) return;
    parts.push(match.text);
    kinds.push(...match.kinds);
    own.push(...match.constraints);
    for (const { field } of match.constraints) used.add(field);
  };
  // In a chain that few packets reach a rule needs no match of its own.
  const isLast = isEnd && random.chance(0.4);
  const isIcmpOrOther = protocol !== TCP && protocol !== UDP;
  if (isIcmpOrOther && !isPinned) parts.push(`meta l4proto ${protocol}`);
  const entersByMap = context.chainType !== 'nat' && !isLast && random.chance(0.1);
  if (!isLast && !entersByMap) addMatch(narrowMatch(random, context, used));
  const isNarrow = own.length > 0;
  const extra = random.weigh([
    [30, 0],
    [45, 1],
    [20, 2],
    [8, 3],
  ] as const);
  for (let i = 0; i < extra; i++) addMatch(wideMatch(random, context, used));
  const down = (): Context => ({ ...context, constraints: [...context.constraints, ...own] });
  const enter = (): string => drawChain(random, table, down(), depth + 1, setters, aims);
  const waiting: (() => void)[] = [];
  if (entersByMap) {
    const name = `c${table.chains.length}`;
    let isEntered = false;
    const map = verdictMap(random, context, used, () => {
      const verdict = random.pick([
        'accept',
        'drop',
        'continue',
        'return',
        'jump',
        'goto',
      ] as const);
      if (verdict !== 'jump' && verdict !== 'goto') return verdict;
      if (depth >= maximumDepth) return 'drop';
      isEntered = true;
      return `${verdict} ${name}`;
    });
    if (map === undefined) addMatch(narrowMatch(random, context, used));
    else {
      const reserved: ChainText = { name, header: '', rules: [] };
      if (isEntered) table.chains.push(reserved);
      addMatch(map);
      if (isEntered) {
        // Entered by some elements only: few of its rules need be within reach, and none has matches of its own.
        waiting.push(() => {
          reserved.rules.push(random.pick(['counter accept', 'counter drop', 'counter', 'return']));
        });
      }
      finish(parts.join(' '), own);
      for (const job of waiting) job();
      return;
    }
  }
  let mark: number | undefined;
  const statements = random.weigh([
    [50, 0],
    [40, 1],
    [10, 2],
  ] as const);
  for (let i = 0; i < statements; i++) {
    const statement = passingStatement(random, context, used);
    for (const constraint of statement.constraints ?? []) {
      own.push(constraint);
      used.add(constraint.field);
    }
    parts.push(statement.text);
    kinds.push(...statement.kinds);
    mark = statement.mark ?? mark;
  }
  // A rule that lets everything through to its verdict would hide those behind it.
  const mayEnd = isNarrow || isEnd || random.chance(0.1);
  const end: Ending = ending(random, context, depth, depth < maximumDepth && !isLast, mayEnd);
  kinds.push(...end.kinds);
  if (end.enters !== undefined) parts.push(`${end.enters} ${enter()}`);
  else if (end.text !== '') parts.push(end.text);
  if (parts.length === 0) parts.push('counter');
  const passesOn = end.kinds.includes('no verdict') || end.text === 'continue';
  if (
    mark !== undefined &&
    passesOn &&
    depth === 0 &&
    !kinds.includes('limit') &&
    !kinds.includes('quota')
  ) {
    setters.push({
      mark,
      direction: context.direction,
      family: context.family,
      protocol,
      constraints: [...own, equal('protocol', protocol)],
    });
  }
  finish(parts.join(' '), own);

  function finish(text: string, constraints: readonly Constraint[]): void {
    const comment = random.chance(0.15) ? ` comment "rule ${aims.length}"` : '';
    chain.rules.push(text + comment);
    aims.push({
      place: `${table.family} ${table.name} ${chain.name} ${chain.rules.length}`,
      text,
      kinds: [...new Set(kinds)],
      direction: context.direction,
      family: context.family,
      protocol,
      constraints: [...context.constraints, ...constraints],
    });
  }
}

function drawChain(
  random: Random,
  table: TableText,
  context: Context,
  depth: number,
  setters: MarkSetter[],
  aims: Aim[],
): string {
  const chain: ChainText = { name: `c${table.chains.length}`, header: '', rules: [] };
  table.chains.push(chain);
  const count = random.between(1, 4);
  for (let i = 1; i <= count; i++) {
    drawRule(random, table, chain, context, depth, i === count, setters, aims);
  }
  return chain.name;
}
