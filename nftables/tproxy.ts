/**
 * @module Whether a rule might hand a packet to a transparent proxy. Pure.
 *
 * TPROXY is invisible to a witness behind INPUT: the packet arrives unchanged and is given to another socket.
 * Only what certainly cannot match is excluded. The packet mark is followed through every rule that may set it
 * before or in prerouting; marks that tc or a BPF program sets are not seen.
 */
import type { Chain, Comparison, Expression, ExpressionOf, Rule, Ruleset } from './model.ts';

/** A new packet from another node to a port of this one. */
export interface ProxyQuestion {
  readonly transport: 'udp' | 'tcp';
  readonly port: number;
}

/** The part of a ruleset that is looked at. */
export type ProxyRules = Pick<Ruleset, 'tables' | 'chains' | 'rules'>;

/** Whether any rule, reachable or not, is a TPROXY rule. */
export function holdsTproxy({ rules }: Pick<Ruleset, 'rules'>): boolean {
  return rules.some(({ expressions }) => expressions.some(isTproxy));
}

/** Whether some TPROXY rule might take the packet. */
export function judgeTproxy(ruleset: ProxyRules, question: ProxyQuestion): 'none' | 'possible' {
  if (!holdsTproxy(ruleset)) return 'none';
  const program = compile(ruleset);
  let marks: Marks = new Set([0]);
  for (;;) {
    const walk = walkAll(program, question, marks);
    if (walk.tproxy) return 'possible';
    if (walk.marks === 'any') {
      if (marks === 'any') return 'none';
      marks = 'any';
    } else if (marks === 'any' || walk.marks.size === marks.size) {
      return 'none';
    } else {
      marks = walk.marks.size > maximumMarks ? 'any' : walk.marks;
    }
  }
}

/** Every mark that the packet may carry. Grows with each walk, until it stays. */
type Marks = ReadonlySet<number> | 'any';
const maximumMarks = 32;

interface Program {
  readonly entries: readonly Chain[];
  readonly chainsByTable: ReadonlyMap<string, readonly Chain[]>;
  readonly rulesByChain: ReadonlyMap<string, readonly Rule[]>;
}

interface Walk {
  readonly tproxy: boolean;
  readonly marks: Marks;
}

function compile({ tables, chains, rules }: ProxyRules): Program {
  const dormant = new Set(tables.filter((table) => table.dormant).map((t) => tableKey(t, t.name)));
  const entries = chains.filter(
    (chain) => isEntry(chain) && !dormant.has(tableKey(chain, chain.table)),
  );
  return {
    entries,
    chainsByTable: groupBy(chains, (chain) => tableKey(chain, chain.table)),
    rulesByChain: groupBy(rules, (rule) => chainKey(rule, rule.chain)),
  };
}

/** What a packet meets up to prerouting, in any family that sees IP packets. */
function isEntry({ family, base }: Chain): boolean {
  if (family === 'arp' || base === undefined) return false;
  return base.hook === 'prerouting' || base.hook === 'ingress';
}

function walkAll(program: Program, question: ProxyQuestion, marks: Marks): Walk {
  const found: Mutable = { tproxy: false, marks: marks === 'any' ? marks : new Set(marks) };
  for (const entry of program.entries) {
    for (const nfproto of nfprotosOf(entry)) {
      for (const mark of marks === 'any' ? [undefined] : marks) {
        walkFrom(program, entry, { ...question, nfproto, mark }, found);
      }
    }
  }
  return found;
}

interface Mutable {
  tproxy: boolean;
  marks: Set<number> | 'any';
}

/** What is known of the packet; `mark` undefined is any. */
interface Packet extends ProxyQuestion {
  readonly nfproto: 2 | 10;
  readonly mark: number | undefined;
}

function nfprotosOf({ family }: Chain): readonly (2 | 10)[] {
  if (family === 'ip') return [2];
  return family === 'ip6' ? [10] : [2, 10];
}

/** Visits every chain that the packet may reach from this base chain, each once. */
function walkFrom(program: Program, entry: Chain, packet: Packet, found: Mutable): void {
  const seen = new Set<string>();
  const open = [chainKey(entry, entry.name)];
  for (let key = open.pop(); key !== undefined; key = open.pop()) {
    if (seen.has(key)) continue;
    seen.add(key);
    for (const rule of program.rulesByChain.get(key) ?? []) {
      for (const effect of effectsOf(rule, packet)) {
        if (effect.kind === 'tproxy') found.tproxy = true;
        else if (effect.kind === 'mark') addMark(found, effect.mark);
        else if (effect.kind === 'jump') open.push(chainKey(rule, effect.chain));
        else {
          const chains = program.chainsByTable.get(tableKey(rule, rule.table)) ?? [];
          open.push(...chains.map((chain) => chainKey(chain, chain.name)));
        }
      }
    }
  }
}

function addMark(found: Mutable, mark: number | undefined): void {
  if (mark === undefined || found.marks === 'any') found.marks = 'any';
  else found.marks.add(mark);
}

/** What a rule may do to the packet. */
type Effect =
  | { readonly kind: 'tproxy' }
  | { readonly kind: 'mark'; readonly mark: number | undefined }
  | { readonly kind: 'jump'; readonly chain: string }
  | { readonly kind: 'jump-anywhere' };

/** Runs a rule on what is known, up to an expression that certainly does not match. */
function effectsOf({ expressions }: Rule, packet: Packet): readonly Effect[] {
  const registers = new Registers();
  const effects: Effect[] = [];
  for (const expression of expressions) {
    if (!mayMatch(expression, packet, registers)) break;
    const effect = effectOf(expression, packet, registers);
    if (effect !== undefined) effects.push(effect);
  }
  return effects;
}

/** False only when the expression certainly ends the rule. Loads what it loads. */
function mayMatch(expression: Expression, packet: Packet, registers: Registers): boolean {
  switch (expression.kind) {
    case 'payload':
      registers.set(expression.register, payloadOf(expression, packet), expression.length);
      return true;
    case 'meta':
      // The longest meta value is an interface name of 16 bytes.
      registers.set(expression.register, metaOf(expression.key, packet), 16);
      return true;
    case 'immediate':
      registers.set(expression.register, expression.value, expression.value.length);
      return true;
    case 'bitwise': {
      if (expression.operation !== 'mask-xor') {
        registers.set(expression.destination, undefined, expression.length);
        return true;
      }
      const source = registers.get(expression.source, expression.mask.length);
      const value = source?.map((byte, index) => {
        return (byte & (expression.mask[index] ?? 0)) ^ (expression.xor[index] ?? 0);
      });
      registers.set(expression.destination, value, expression.mask.length);
      return true;
    }
    case 'cmp': {
      const found = registers.get(expression.register, expression.value.length);
      if (found === undefined) return true;
      return holds(compareBytes(found, expression.value), expression.comparison);
    }
    case 'range': {
      const found = registers.get(expression.register, expression.first.length);
      if (found === undefined) return true;
      const isInside =
        compareBytes(found, expression.first) >= 0 && compareBytes(found, expression.last) <= 0;
      return isInside === (expression.comparison === 'eq');
    }
    case 'lookup':
      if (typeof expression.gives === 'object') registers.forget();
      return true;
    case 'match':
      return matchMay(expression, packet);
    case 'meta-set':
    case 'verdict':
    case 'tproxy':
    case 'target':
    case 'counter':
      return true;
    case 'byteorder':
    case 'connlimit':
    case 'ct':
    case 'ct-set':
    case 'dup':
    case 'dynset':
    case 'exthdr':
    case 'exthdr-set':
    case 'fib':
    case 'flow-offload':
    case 'fwd':
    case 'hash':
    case 'inner':
    case 'last':
    case 'limit':
    case 'log':
    case 'masq':
    case 'nat':
    case 'notrack':
    case 'numgen':
    case 'objref':
    case 'opaque':
    case 'osf':
    case 'payload-set':
    case 'queue':
    case 'quota':
    case 'redir':
    case 'reject':
    case 'rt':
    case 'socket':
    case 'synproxy':
    case 'tunnel':
    case 'xfrm':
      // Whatever it is, it may match and write any register.
      registers.forget();
      return true;
  }
}

function effectOf(
  expression: Expression,
  packet: Packet,
  registers: Registers,
): Effect | undefined {
  if (isTproxy(expression)) return { kind: 'tproxy' };
  if (expression.kind === 'verdict') {
    const { verdict } = expression;
    if (verdict.code === 'queue') return { kind: 'mark', mark: undefined };
    const goes = verdict.code === 'jump' || verdict.code === 'goto';
    return goes ? { kind: 'jump', chain: verdict.chain } : undefined;
  }
  if (expression.kind === 'meta-set') {
    if (expression.key !== 'mark') return undefined;
    const value = registers.get(expression.register, 4);
    return { kind: 'mark', mark: value === undefined ? undefined : hostNumber(value, 0) };
  }
  if (expression.kind === 'lookup') {
    return expression.gives === 'verdict' ? { kind: 'jump-anywhere' } : undefined;
  }
  if (expression.kind === 'target') return targetEffect(expression, packet);
  // User space may give the packet back with another mark.
  if (expression.kind === 'queue') return { kind: 'mark', mark: undefined };
  return expression.kind === 'opaque' ? opaqueEffects.get(expression.name) : undefined;
}

/** What expressions might do whose attributes are not understood. */
const opaqueEffects: ReadonlyMap<string, Effect> = new Map<string, Effect>([
  ['queue', { kind: 'mark', mark: undefined }],
  ['meta', { kind: 'mark', mark: undefined }],
  ['immediate', { kind: 'jump-anywhere' }],
  ['lookup', { kind: 'jump-anywhere' }],
]);

function isTproxy(expression: Expression): boolean {
  if (expression.kind === 'tproxy') return true;
  if (expression.kind === 'opaque') return expression.name === 'tproxy';
  return expression.kind === 'target' && expression.name === 'TPROXY';
}

type Extension = ExpressionOf<'match' | 'target'>;

/** Targets of x_tables that can change the packet mark; anything else keeps it. */
const markingTargets: ReadonlySet<string> = new Set(['CONNMARK', 'HMARK', 'SET', 'NFQUEUE']);

/** struct xt_mark_tginfo2 (linux/netfilter/xt_mark.h): u32 mark, u32 mask; mark = (mark & ~mask) ^ value. */
function targetEffect({ name, revision, info }: Extension, packet: Packet): Effect | undefined {
  if (name === 'MARK') {
    const isKnown = revision === 2 && info.length >= 8;
    if (!isKnown) return { kind: 'mark', mark: undefined };
    const [value, mask] = [hostNumber(info, 0), hostNumber(info, 4)];
    if (packet.mark === undefined && mask !== 0xffff_ffff) return { kind: 'mark', mark: undefined };
    return { kind: 'mark', mark: (((packet.mark ?? 0) & ~mask) ^ value) >>> 0 };
  }
  return markingTargets.has(name) ? { kind: 'mark', mark: undefined } : undefined;
}

/** The x_tables matches that are understood; true for all others. */
function matchMay({ name, revision, info }: Extension, packet: Packet): boolean {
  switch (name) {
    case 'udp':
    case 'tcp': {
      // struct xt_udp: u16 source[2], u16 destination[2], u8 inverse; xt_tcp has three bytes before `inverse`.
      const inverseAt = name === 'udp' ? 8 : 11;
      if (info.length <= inverseAt) return true;
      if (name !== packet.transport) return false;
      const isInside = packet.port >= hostShort(info, 4) && packet.port <= hostShort(info, 6);
      return isInside !== (((info[inverseAt] ?? 0) & 2) !== 0);
    }
    case 'multiport':
      return revision === 1 ? multiportMay(info, packet.port) : true;
    case 'mark': {
      // struct xt_mark_mtinfo1: u32 mark, u32 mask, u8 invert.
      if (revision !== 1 || info.length < 9 || packet.mark === undefined) return true;
      const isEqual = (packet.mark & hostNumber(info, 4)) >>> 0 === hostNumber(info, 0);
      return isEqual !== (info[8] !== 0);
    }
    default:
      return true;
  }
}

/** struct xt_multiport_v1: u8 flags (1 is destination), u8 count, u16 ports[15], u8 range flags[15], u8 invert. */
function multiportMay(info: Uint8Array, port: number): boolean {
  if (info.length < 48 || info[0] !== 1) return true;
  let isInside = false;
  const count = Math.min(info[1] ?? 0, 15);
  for (let index = 0; index < count; index++) {
    const first = hostShort(info, 2 + index * 2);
    // A set flag says that the next entry is the end of a range that starts here.
    const isRange = info[32 + index] !== 0 && index + 1 < count;
    const last = isRange ? hostShort(info, 4 + index * 2) : first;
    if (port >= first && port <= last) isInside = true;
    if (isRange) index++;
  }
  return isInside !== (info[47] !== 0);
}

/** What the packet's own bytes are known to be. IPv6's next header may be an extension's, so it is not known. */
function payloadOf(
  { base, offset, length }: ExpressionOf<'payload'>,
  packet: Packet,
): Uint8Array | undefined {
  if (base === 'transport' && offset === 2 && length === 2) {
    return Uint8Array.of(packet.port >> 8, packet.port & 0xff);
  }
  if (base === 'network' && packet.nfproto === 2 && offset === 9 && length === 1) {
    return Uint8Array.of(protocolOf(packet));
  }
  return undefined;
}

function metaOf(key: string, packet: Packet): Uint8Array | undefined {
  switch (key) {
    case 'l4proto':
      return Uint8Array.of(protocolOf(packet));
    case 'nfproto':
      return Uint8Array.of(packet.nfproto);
    case 'protocol':
      return packet.nfproto === 2 ? Uint8Array.of(0x08, 0x00) : Uint8Array.of(0x86, 0xdd);
    case 'mark':
      return packet.mark === undefined
        ? undefined
        : new Uint8Array(new Uint32Array([packet.mark]).buffer);
    default:
      return undefined;
  }
}

function protocolOf({ transport }: Packet): number {
  return transport === 'udp' ? 17 : 6;
}

/** The sixteen 32-bit words of a rule; a word that is not known has no bytes. */
class Registers {
  readonly #bytes: (number | undefined)[] = Array.from({ length: 64 }, () => undefined);

  /** Fills whole words, as the kernel does; an unknown value forgets them. */
  set(register: number, value: Uint8Array | undefined, length: number): void {
    const words = Math.max(1, Math.ceil(length / 4));
    for (let index = 0; index < words * 4; index++) {
      const byte = value === undefined ? undefined : (value[index] ?? 0);
      const isKept = value === undefined || index < Math.ceil(value.length / 4) * 4;
      this.#bytes[register * 4 + index] = isKept ? byte : undefined;
    }
  }

  get(register: number, length: number): Uint8Array | undefined {
    const bytes = new Uint8Array(length);
    for (let index = 0; index < length; index++) {
      const byte = this.#bytes[register * 4 + index];
      if (byte === undefined) return undefined;
      bytes[index] = byte;
    }
    return bytes;
  }

  forget(): void {
    this.#bytes.fill(undefined);
  }
}

function holds(order: number, comparison: Comparison): boolean {
  switch (comparison) {
    case 'eq':
      return order === 0;
    case 'neq':
      return order !== 0;
    case 'lt':
      return order < 0;
    case 'lte':
      return order <= 0;
    case 'gt':
      return order > 0;
    case 'gte':
      return order >= 0;
  }
}

/** As memcmp(3) on equally long bytes. */
function compareBytes(one: Uint8Array, other: Uint8Array): number {
  for (const [index, byte] of one.entries()) {
    const difference = byte - (other[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function hostNumber(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at, true);
}

function hostShort(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint16(at, true);
}

interface Placed {
  readonly backend: string;
  readonly family: string;
  readonly table?: string;
}

function tableKey({ backend, family }: Placed, table: string): string {
  return `${backend}\0${family}\0${table}`;
}

function chainKey(placed: Placed, chain: string): string {
  return `${tableKey(placed, placed.table ?? '')}\0${chain}`;
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): ReadonlyMap<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
