/** @module What the agent writes: JSON lines on stdout, one for each change of a finding. */
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';
import type { Change } from './findings.ts';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface LogOptions {
  readonly level: LogLevel;
  readonly node: string;
  readonly version: string;
  /** Where the lines go; stdout unless told. */
  readonly destination?: DestinationStream;
}

/** Makes the logger of an agent. */
export function createLogger({ level, node, version, destination }: LogOptions): Logger {
  const options = {
    level,
    base: { node, version },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/** Writes one line a change: what got worse as a warning, what got well as information, what never was ill for debugging. */
export function logChanges(log: Logger, changes: readonly Change[]): void {
  for (const change of changes) {
    const { finding, previous } = change;
    const { requirement, level, outcome, reason, target, evidence, culprit, message } = finding;
    const fields = {
      requirement,
      // `level` is the severity of the line.
      requirementLevel: level,
      outcome,
      ...(reason === undefined ? {} : { reason }),
      ...(previous === undefined ? {} : { previous }),
      ...(target.scope === 'node'
        ? {}
        : {
            peer: target.name,
            address: target.address,
            family: target.family,
            direction: target.direction,
          }),
      evidence,
      ...(culprit === null ? {} : { culprit }),
      detail: message,
    };
    log[severityOf(change)](fields, change.gone ? 'finding gone' : 'finding changed');
  }
}

function severityOf({ finding, previous, gone }: Change): 'warn' | 'info' | 'debug' {
  if (gone) return finding.outcome === 'fail' ? 'info' : 'debug';
  if (finding.outcome === 'fail') return finding.level === 'info' ? 'info' : 'warn';
  if (finding.outcome === 'unknown') return 'info';
  return previous === undefined ? 'debug' : 'info';
}
