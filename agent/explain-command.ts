/** @module `cni-preflight explain`: what this host's firewall does with a packet, and which rule decides. Reads, sends nothing. */
import { createReadStream } from 'node:fs';
import type { Packet } from 'node-nftables';
import { readCapabilities } from '../checks/host/capabilities.ts';
import { createFirewall, type FirewallReading } from '../checks/host/firewall.ts';
import type { ExplainRun } from './commands.ts';
import { ConfigurationError } from './configuration-error.ts';
import { exitCodes } from './exit-code.ts';
import { type Explanation, explain, unexplained } from './explain-answer.ts';
import { packetOfArguments, packetOfLine } from './explain-question.ts';
import { explanationLine, explanationText } from './explain-text.ts';
import { linesOf } from './lines.ts';

/** Bytes of one line of `--packets`. */
const longestLine = 16 << 10;

/** Answers what was asked. Resolves to the exit code. */
export async function runExplain(run: ExplainRun): Promise<number> {
  const { packetsFile } = run;
  if (packetsFile !== undefined) {
    const { what, from, to } = run.asked;
    if (what !== undefined || from !== undefined || to !== undefined)
      throw new ConfigurationError([
        { path: '--packets', message: 'the packets of a file, or one packet: not both' },
      ]);
    return await explainFile(packetsFile, run);
  }
  const packet = packetOfArguments(run.asked);
  const { explanation } = answerWith(await readFirewall(run), packet);
  run.write(
    run.format === 'text'
      ? explanationText(explanation, { color: run.color })
      : `${JSON.stringify(explanation, undefined, run.format === 'json' ? 2 : undefined)}\n`,
  );
  return exitCodeOf([explanation.verdict]);
}

async function readFirewall(run: ExplainRun): Promise<FirewallReading> {
  const firewall = run.firewall ?? createFirewall({ netAdmin: readCapabilities().netAdmin });
  return await firewall.read();
}

function answerWith(reading: FirewallReading, packet: Packet): { explanation: Explanation } {
  return {
    explanation: reading.readable
      ? explain(packet, reading.view)
      : unexplained(packet, reading.reason, reading.why),
  };
}

/** Answers every line; a line that is no packet is reported with its number, and the others are still answered. */
async function explainFile(path: string, run: ExplainRun): Promise<number> {
  const stream = path === '-' ? run.input : createReadStream(path);
  const reading = await readFirewall(run);
  const verdicts = new Set<Explanation['verdict']>();
  let bad = 0;
  let count = 0;
  const { format, write } = run;
  if (format === 'json') write('[');
  try {
    for await (const { number, text } of linesOf(stream, longestLine)) {
      run.signal.throwIfAborted();
      if (text?.trim() === '') continue;
      const packet =
        text === undefined ? `is longer than ${longestLine} bytes` : packetOfLine(text);
      if (typeof packet === 'string') {
        bad++;
        run.complain(`${path}:${number}: ${packet}`);
        continue;
      }
      const { explanation } = answerWith(reading, packet);
      verdicts.add(explanation.verdict);
      if (format === 'text') write(explanationLine(explanation, number));
      else {
        const answer = JSON.stringify({ line: number, ...explanation });
        write(format === 'jsonl' ? `${answer}\n` : `${count === 0 ? '\n' : ',\n'}${answer}`);
      }
      count++;
    }
  } catch (error) {
    if (run.signal.aborted || !isFileError(error)) throw error;
    throw new ConfigurationError([{ path: '--packets', message: error.message }], {
      cause: error,
    });
  } finally {
    if (format === 'json') write('\n]\n');
  }
  if (bad > 0) return exitCodes.usage;
  return exitCodeOf(verdicts);
}

/** The worst of them. */
function exitCodeOf(given: Iterable<Explanation['verdict']>): number {
  const verdicts = new Set(given);
  if (verdicts.has('drop') || verdicts.has('reject')) return exitCodes.unfit;
  return verdicts.has('undetermined') ? exitCodes.undetermined : exitCodes.fit;
}

function isFileError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && 'syscall' in error;
}
