/** @module What the command line calls: the two commands that do the work. */

import type { Firewall } from '../checks/host/firewall.ts';
import type { LoadedConfiguration } from './config.ts';
import type { ExplainArguments } from './explain-question.ts';
import type { StatusDocument } from './model.ts';

/** How far a check has come, for a person who waits. */
export interface Progress {
  /** What is being done, e.g. `testing the way to 3 peers`. */
  readonly doing: string;
  readonly done?: number;
  readonly of?: number;
}

export interface CheckRun {
  readonly progress: (progress: Progress) => void;
  /** Aborts at SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

export interface AgentRun {
  /** Aborts at SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /** Settles the configuration anew, from the same flags and environment; throws `ConfigurationError`. */
  readonly reload: () => LoadedConfiguration;
}

/** One question to the firewall, or a file of them. */
export interface ExplainRun {
  readonly asked: ExplainArguments;
  /** Lines of packets; `-` is the standard input. */
  readonly packetsFile?: string;
  readonly format: 'text' | 'json' | 'jsonl';
  readonly color: boolean;
  readonly input: AsyncIterable<Uint8Array | string>;
  readonly write: (text: string) => void;
  readonly complain: (text: string) => void;
  readonly signal: AbortSignal;
  /** This host's own when absent. */
  readonly firewall?: Pick<Firewall, 'read'>;
}

/** The commands, so that the command line can be tested without them. */
export interface Commands {
  readonly check: (loaded: LoadedConfiguration, run: CheckRun) => Promise<StatusDocument>;
  /** Runs until its signal aborts; resolves to the exit code. */
  readonly agent: (loaded: LoadedConfiguration, run: AgentRun) => Promise<number>;
  /** Resolves to the exit code. */
  readonly explain: (run: ExplainRun) => Promise<number>;
}
