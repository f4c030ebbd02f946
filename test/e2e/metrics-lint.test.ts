import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { createMetrics } from '../../agent/metrics.ts';
import { someDocument, someFinding } from '../support/findings.ts';

function promtool(body: string) {
  return spawnSync('promtool', ['check', 'metrics'], { input: body, encoding: 'utf8' });
}

describe('promtool check metrics', () => {
  test('accepts every metric', async () => {
    const metrics = createMetrics({ version: '0.1.0' });
    metrics.probeSent('udp-port');
    metrics.probeLost('udp-port');
    metrics.probeInconclusive('udp-port');
    metrics.rtt('udp-port', 0.0002);
    metrics.datagramDropped('malformed');
    metrics.pathMtu(1500);
    metrics.roundFinished(0.4, Date.now());
    metrics.update(
      someDocument({
        findings: [someFinding({ peer: 'worker-2', outcome: 'fail', reason: 'dropped' })],
      }),
    );
    const { error, status, stdout, stderr } = promtool((await metrics.render()).body);
    expect(error).toBeUndefined();
    expect(`${stdout}${stderr}`).toBe('');
    expect(status).toBe(0);
  });

  test('would say so if it did not', () => {
    const { status, stderr } = promtool('# TYPE roundMilliseconds gauge\nroundMilliseconds 1\n');
    expect(stderr).toContain('roundMilliseconds');
    expect(status).not.toBe(0);
  });
});
