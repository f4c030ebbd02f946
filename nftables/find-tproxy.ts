/** @module Whether a rule of this host might hand a packet to a transparent proxy. */
import { KernelError } from './errors.ts';
import { readLegacy } from './legacy.ts';
import {
  askGeneration,
  attempt,
  dumpRules,
  hasNftables,
  type ReadOptions,
  readChains,
  readRuleset,
} from './read.ts';
import { holdsTproxy, judgeTproxy, type ProxyQuestion, type ProxyRules } from './tproxy.ts';

/** Legacy tables that a packet meets before a socket is chosen. */
const beforeInput = ['raw', 'mangle', 'nat'] as const;
const nothing: ProxyRules = { tables: [], chains: [], rules: [] };

/** Tells whether some rule might hand a new packet from another node to a transparent proxy. */
export async function findTproxy(
  question: ProxyQuestion,
  options: ReadOptions = {},
): Promise<ProxyAnswer> {
  return await createTproxyFinder(options)(question);
}

/** `possible`: some rule might take the packet. `unreadable`: the rules could not be read. */
export type ProxyAnswer = 'none' | 'possible' | 'unreadable';

export interface FinderOptions extends ReadOptions {
  /** How long one look at the rules serves, 10 s by default: a caller asks for one port after the other. */
  readonly memoryMs?: number;
}

/**
 * Makes a `findTproxy` with a memory. Nearly every node has no such rule, and may have 100,000 others: they are
 * searched as bytes and not decoded, and not searched again while the generation stays. A look serves at least
 * ten times as long as it took, so that rules that change all the time cost a tenth of a core and no more.
 */
export function createTproxyFinder(
  options: FinderOptions = {},
): (question: ProxyQuestion) => Promise<ProxyAnswer> {
  const { memoryMs = 10_000 } = options;
  let look: Look | undefined;
  let clean: number | undefined;
  const read = async (): Promise<ProxyRules | 'unreadable'> => {
    try {
      const legacy = await readLegacy(options.root ?? '/', beforeInput);
      if (!holdsTproxy(legacy)) {
        const found = await searchRules(options, clean);
        clean = found.tproxy ? undefined : found.generation;
        if (!found.tproxy) return nothing;
      }
      // Which mark a rule sees depends on all others, so now all are needed.
      return await readRuleset(options);
    } catch (cause) {
      if (isRefusal(cause)) return 'unreadable';
      throw cause;
    }
  };
  return async (question) => {
    if (look === undefined || performance.now() >= look.until()) {
      const start = performance.now();
      let end = Number.POSITIVE_INFINITY;
      const ruleset = read().finally(() => {
        end = performance.now();
      });
      look = {
        until: () => Math.max(start + memoryMs, end + 10 * (end - start)),
        ruleset,
        answers: new Map(),
      };
    }
    const { ruleset, answers } = look;
    const rules = await ruleset;
    if (rules === 'unreadable') return rules;
    // The walk through 50,000 rules takes a tenth of a second, and every probe of a port asks the same.
    const key = `${question.transport} ${question.port}`;
    const answer = answers.get(key) ?? judgeTproxy(rules, question);
    answers.set(key, answer);
    return answer;
  };
}

/** One look at the rules, and what was found in it: at most one answer a port. */
interface Look {
  readonly until: () => number;
  readonly ruleset: Promise<ProxyRules | 'unreadable'>;
  readonly answers: Map<string, 'none' | 'possible'>;
}

interface Search {
  readonly tproxy: boolean;
  readonly generation?: number | undefined;
}

/** Searches the rules of nf_tables for one that names a transparent proxy, unless they are those of `clean`. */
async function searchRules(options: ReadOptions, clean: number | undefined): Promise<Search> {
  if (!(await hasNftables(options))) return { tproxy: false };
  return await attempt<Search>(
    async (socket) => {
      const before = askGeneration(socket);
      if (before !== undefined && before === clean) return { tproxy: false, generation: before };
      let tproxy = false;
      const chains = await readChains(socket);
      const isConsistent =
        chains !== undefined &&
        (await dumpRules(socket, chains, (payload) => {
          const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
          // A name or a comment may say so too: then the rules are decoded for nothing.
          tproxy ||= bytes.includes('tproxy') || bytes.includes('TPROXY');
        }));
      if (!isConsistent || askGeneration(socket) !== before) return undefined;
      return { tproxy, generation: before };
    },
    { tproxy: false },
  );
}

/** What may not be read is unreadable; so is what the kernel cannot give. A bug is neither. */
function isRefusal(cause: unknown): boolean {
  if (cause instanceof KernelError) return true;
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string';
}
