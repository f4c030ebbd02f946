/**
 * @module `npm run differential -- --decisions N --seed S [--seconds T]`: holds the evaluator against the kernel that runs here.
 *
 * Progress and failures go to stderr, one line of JSON with the figures to stdout. Exits 1 when anything was wrong.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { compile } from '../evaluate/index.ts';
import { readRuleset } from '../read.ts';
import { createArena } from './arena.ts';
import { openConntrack } from './conntrack.ts';
import { generate } from './generate.ts';
import { minimise } from './minimise.ts';
import { createOracle } from './oracle.ts';
import { createRandom } from './random.ts';
import { caseText } from './report.ts';
import { type Bench, type Decision, playRound } from './round.ts';
import { createLoader, type Script, scriptText } from './script.ts';
import { count, createTotals, summaryOf, type Totals, tableOf, wrongOf } from './totals.ts';

const { values } = parseArgs({
  options: {
    decisions: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '0' },
    /** The number of one ruleset of the seed: only that one. */
    ruleset: { type: 'string' },
    /** A directory for failing cases; without it they are printed. */
    failures: { type: 'string' },
    /** How many failing cases to make small and show. */
    show: { type: 'string', default: '5' },
  },
});
const wanted = Number(values.decisions);
const seed = Number(values.seed);
const limitMs =
  Number(values.seconds) > 0 ? Number(values.seconds) * 1000 : Number.POSITIVE_INFINITY;
const only = values.ruleset === undefined ? undefined : Number(values.ruleset);
const enoughCases = Number(values.show);

const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

const arena = createArena();
const bench: Bench = {
  loader: createLoader(arena),
  oracle: createOracle(arena),
  conntrack: openConntrack(),
  environment: arena.environment,
  read: readRuleset,
  evaluator: (ruleset, environment) => compile(ruleset, environment).evaluate,
};
const totals = createTotals();
const shown = new Set<string>();
const missedKinds = new Map<string, number>();
const reasons = new Map<string, number>();
const started = performance.now();
let told = started;

for (let number = only ?? 0; totals.decisions < wanted; number++) {
  await playOne(number);
  const now = performance.now();
  if (now - told > 5000) {
    told = now;
    say(progress(totals));
  }
  if (only !== undefined || now - started > limitMs) break;
}
const seconds = (performance.now() - started) / 1000;
say(progress(totals));
say(tableOf(totals));
if (missedKinds.size > 0) {
  const list = [...missedKinds].sort(([, a], [, b]) => b - a).slice(0, 12);
  say(`rules not hit, by what they hold: ${list.map(([kind, n]) => `${kind} ${n}`).join(', ')}`);
}
if (reasons.size > 0) {
  const list = [...reasons].sort(([, a], [, b]) => b - a).slice(0, 12);
  say(`undetermined, because: ${list.map(([why, n]) => `${why} ${n}`).join('; ')}`);
}
process.stdout.write(`${JSON.stringify(summaryOf(totals, seed, seconds))}\n`);
process.exitCode = wrongOf(totals) > 0 || totals.decisions === 0 ? 1 : 0;

async function playOne(number: number): Promise<void> {
  // Every ruleset can be made again by its number alone.
  const generated = generate(createRandom(seed * 1_000_003 + number));
  for (let tries = 0; ; tries++) {
    try {
      const random = createRandom(seed * 7_368_787 + number);
      const round = await playRound(bench, random, generated);
      totals.rulesets += 1;
      totals.rules += round.rules;
      totals.rulesHit += round.rules - round.missed.length;
      for (const { kinds } of round.missed) {
        for (const kind of kinds) missedKinds.set(kind, (missedKinds.get(kind) ?? 0) + 1);
      }
      const faulty: Decision[] = [];
      for (const decision of round.decisions) {
        const { judgement, kinds } = decision;
        if (judgement === undefined) {
          if (decision.isRefused) totals.refused += 1;
          else totals.unexplained += 1;
          continue;
        }
        count(totals, judgement, kinds);
        if (!judgement.isDetermined) countReasons(decision);
        if (judgement.faults.length > 0) faulty.push(decision);
      }
      await showFaults(generated.script, faulty, number);
      return;
    } catch (cause) {
      if (!isLoss(cause) || tries > 5) {
        say(`ruleset ${number} of seed ${seed}:\n${scriptText(generated.script)}`);
        throw cause;
      }
      totals.repeated += 1;
    }
  }
}

function countReasons({ answer }: Decision): void {
  const whys = new Set(answer.unknowns.map(({ why, expression }) => `${expression.kind}: ${why}`));
  for (const why of whys) reasons.set(why, (reasons.get(why) ?? 0) + 1);
}

function isLoss(cause: unknown): boolean {
  return cause instanceof Error && cause.message.includes('ENOBUFS');
}

/** One case of each sort. */
async function showFaults(
  script: Script,
  faulty: readonly Decision[],
  number: number,
): Promise<void> {
  for (const decision of faulty) {
    const signature = signatureOf(decision);
    if (shown.size >= enoughCases || shown.has(signature)) continue;
    shown.add(signature);
    const small = await minimise(
      bench,
      script,
      decision.shot,
      (one) => signatureOf(one) === signature,
    );
    const origin = `seed ${seed}, ruleset ${number}${small === undefined ? ' (not by this packet alone)' : ''}`;
    const text = caseText(small?.script ?? script, small?.decision ?? decision, origin);
    if (values.failures === undefined) say(text);
    else {
      mkdirSync(values.failures, { recursive: true });
      const name = `${seed}-${number}-${shown.size}-${signature.replaceAll(/[^a-z]+/g, '-').slice(0, 60)}`;
      writeFileSync(`${values.failures}/${name}.md`, text);
    }
  }
}

/** What went wrong, without the names of this case. */
function signatureOf({ judgement, answer, kinds }: Decision): string {
  const faults = (judgement?.faults ?? []).map(({ fault }) => fault);
  return `${[...new Set(faults)].sort().join('+')} ${answer.verdict} ${[...kinds].sort().join(' ')}`.trim();
}

function progress({
  rulesets,
  decisions,
  undetermined,
  rules,
  rulesHit,
  refused,
  unexplained,
}: Totals): string {
  const minutes = (performance.now() - started) / 60_000;
  const percent = (part: number, whole: number): string =>
    whole === 0 ? '-' : `${((100 * part) / whole).toFixed(1)} %`;
  return `${rulesets} rulesets, ${decisions} decisions (${Math.round(decisions / minutes)} a minute), ${wrongOf(totals)} wrong, ${percent(undetermined, decisions)} undetermined, ${percent(rulesHit, rules)} of the rules hit, ${refused} refused by conntrack, ${unexplained} unexplained`;
}
