/**
 * The slice of the differential test that runs every time: generated rulesets and packets, the kernel's own trace of each packet, and
 * the evaluator's answer beside it. The seeds are fixed, so that what fails here fails again.
 */
import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';

interface Summary {
  readonly decisions: number;
  readonly determinedShare: number;
  readonly rulesHitShare: number;
  readonly wrongVerdicts: number;
  readonly wrongHandles: number;
  readonly notAmongPossible: number;
  readonly wrongPaths: number;
  readonly wrongArrivals: number;
  readonly refused: number;
  readonly unexplained: number;
}

const program = new URL('../../../nftables/dist/differential/main.js', import.meta.url).pathname;

/** Its own namespaces, made by itself; what it says of a failure ends in the test's. */
async function run(
  options: readonly string[],
): Promise<{ summary: Summary; said: string; code: number | null }> {
  const child = spawn(process.execPath, [program, ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let said = '';
  child.stdout.on('data', (text: Buffer) => {
    out += text.toString();
  });
  child.stderr.on('data', (text: Buffer) => {
    said += text.toString();
  });
  const code = await new Promise<number | null>((resolve) => {
    child.on('close', resolve);
  });
  return { summary: JSON.parse(out.trim().split('\n').at(-1) ?? '{}'), said, code };
}

describe('the kernel agrees with the evaluator', () => {
  it.each([1, 2, 3])('on generated rulesets and packets, seed %i', async (seed) => {
    const limits = ['--decisions', '6000', '--seconds', '20', '--show', '2'];
    const { summary, said, code } = await run(['--seed', String(seed), ...limits]);
    const wrong =
      summary.wrongVerdicts +
      summary.wrongHandles +
      summary.notAmongPossible +
      summary.wrongPaths +
      summary.wrongArrivals;
    expect({ wrong, code }, said).toEqual({ wrong: 0, code: 0 });
    expect(summary.decisions).toBeGreaterThan(500);
    // A slow machine sees few rulesets: the shares of the full run (0.9) vary more here.
    expect(summary.determinedShare).toBeGreaterThan(0.8);
    expect(summary.rulesHitShare).toBeGreaterThan(0.8);
    // What the kernel lost without a rule's doing: almost all of it conntrack has refused.
    expect(summary.refused / summary.decisions).toBeLessThan(0.01);
    expect(summary.unexplained / summary.decisions).toBeLessThan(0.001);
  });
});
